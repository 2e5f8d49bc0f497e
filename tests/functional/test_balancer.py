# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real HAProxy, as role balancer renders it, in front of two real gates: who the client is, who gets sessions, and what
a change does to open ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer import duplicates, rotation, state, stats
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.error import BalancerError
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.transaction import TICK
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.tree import Tree
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _roll

from lib import wire
from lib.local_balancer import LocalBalancer, haproxy_binary
from lib.local_gate import GateCopy, LocalGate
from lib.network_namespace import own_network
from lib.processes import running, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace is for root"),
    pytest.mark.skipif(haproxy_binary() is None, reason="make functional fetches HAProxy (WSSGATE_HAPROXY)"),
]

NAME, TOKEN = "gate.example.com", "token-of-a-client-0001"
GATE_1, GATE_2, BALANCER, CLIENT, LIAR = "127.0.0.3", "127.0.0.4", "127.0.0.9", "127.0.0.7", "127.0.0.8"
CHECKING = "127.0.0.10"
FORGED = "203.0.113.66"
# Everything has the ports of a network of its own.
PORT, OTHER_PORT, GATE_PORT = 443, 444, 8443
CHECK = Path(__file__).resolve().parents[2] / "roles/balancer/files/balancer_check.py"
REQUEST = wire.Request(path="/wss", host=NAME).origin(f"https://{NAME}").token(TOKEN)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except PermissionError:
            pytest.skip("no network namespace can be made here (CAP_SYS_ADMIN)")
        yield


@pytest.fixture(scope="module")
def gate_1(network: None) -> Iterator[LocalGate]:
    gate = LocalGate([])
    gate.variables |= {
        "wss_proxy_certificates": [gate.certificate()],
        "wss_proxy_balancers": [BALANCER],
        "wss_proxy_servers": [
            {
                "name": "wcs",
                "server_names": [NAME],
                "certificate": "gate",
                "listen": [{"address": GATE_1, "port": GATE_PORT, "proxy_protocol": True}],
                "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080", "origins": [f"https://{NAME}"]}],
            }
        ],
    }
    with running("echo_server", "--echo", "127.0.0.1:8080"), gate:
        gate.issue(TOKEN)
        yield gate


@pytest.fixture(scope="module")
def gate_2(gate_1: LocalGate) -> Iterator[GateCopy]:
    with gate_1.copy(lambda _name, text: text.replace(GATE_1, GATE_2), {}) as gate:
        yield gate


@pytest.fixture(scope="module")
def ca_path(gate_1: LocalGate) -> Path:
    return gate_1.etc / "certificates/gate/fullchain.pem"


@pytest.fixture(scope="module")
def balancer(gate_1: LocalGate, gate_2: GateCopy, ca_path: Path) -> Iterator[LocalBalancer]:
    service = {"gate_port": GATE_PORT, "server_name": NAME, "path": "/wss", "ca_source": str(ca_path)}
    balancer = LocalBalancer(
        BALANCER,
        balancer_services=[{"name": "wcs", "port": PORT, **service}, {"name": "wcs2", "port": OTHER_PORT, **service}],
        balancer_gates=[{"name": "gate1", "address": GATE_1}, {"name": "gate2", "address": GATE_2}],
        balancer_check_interval=1,
        balancer_check_fall=2,
        balancer_check_rise=1,
        balancer_slow_start=0,
        # A process may have 20,000 descriptors on some machines.
        balancer_max_connections=2000,
    )
    with balancer:
        for name in ("gate1", "gate2"):
            for one in ("wcs", "wcs2"):
                wait_for(lambda name=name, one=one: balancer.check(name, one))
        yield balancer


@pytest.fixture(autouse=True)
def all_is_well(balancer: LocalBalancer) -> Iterator[None]:
    yield
    assert balancer.on_disk() == balancer.files
    for name in ("gate1", "gate2"):
        balancer.await_state(name, "up")


def connect(ca_path: Path, port: int = PORT, source: str = CLIENT) -> wire.Reply:
    endpoint = wire.Endpoint(port=port, host="127.0.0.1", server_name=NAME, ca_path=ca_path, source=source)
    return wire.handshake(endpoint, REQUEST)


def session(ca_path: Path, port: int = PORT) -> wire.Session:
    reply = connect(ca_path, port)
    assert reply.status == 101 and reply.session
    return reply.session


def taken(gate: LocalGate | GateCopy) -> int:
    """How many sessions a gate has ever had."""
    return len(re.findall(r"(?m)^S ", gate.session_log.read_text()))


@pytest.mark.parametrize("port", [PORT, OTHER_PORT])
def test_the_upstream_gets_the_client_s_own_address(balancer: LocalBalancer, ca_path: Path, port: int) -> None:
    with session(ca_path, port) as opened:
        opened.send("headers?")
        headers = json.loads(opened.receive_text())["headers"]
    assert [value for name, value in headers if name.lower() == "x-client-ip"] == [CLIENT]


def lines_about(gate: LocalGate | GateCopy, client: str) -> list[str]:
    return [line for line in gate.access_log.read_text().splitlines() if f'"client":"{client}"' in line]


def straight(ca_path: Path, source: str, claimed: str) -> int:
    endpoint = wire.Endpoint(port=GATE_PORT, host=GATE_1, server_name=NAME, ca_path=ca_path, source=source)
    header = f"PROXY TCP4 {claimed} {GATE_1} 40000 {GATE_PORT}\r\n".encode()
    with wire.handshake(endpoint, REQUEST, preamble=header) as reply:
        return reply.status


def test_who_lies_in_a_proxy_header_and_is_no_balancer_is_refused(gate_1: LocalGate, ca_path: Path) -> None:
    assert straight(ca_path, LIAR, FORGED) == 403
    # A session of before may be logged later.
    line = json.loads(wait_for(lambda: lines_about(gate_1, LIAR))[-1])
    assert line["reason"] == "proxy_header"
    assert straight(ca_path, LIAR, LIAR) == 101, "its own address is no lie"
    assert straight(ca_path, BALANCER, FORGED) == 101, "the balancer is believed"


def test_a_check_is_a_handshake_that_the_gate_answers_as_nobody_s(gate_1: LocalGate, balancer: LocalBalancer) -> None:
    assert balancer.check("gate1") == "L7OK/403"
    wait_for(lambda: f'"client":"{BALANCER}"' in gate_1.access_log.read_text())


def test_a_drained_gate_gets_nobody_new_and_keeps_whom_it_has(
    balancer: LocalBalancer, gate_1: LocalGate, gate_2: GateCopy, ca_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        before = taken(gate_1)
        opened = [stack.enter_context(session(ca_path)) for _ in range(4)]
        wait_for(lambda: taken(gate_1) > before)
        drain = gate_1.etc / "wssgate.drain"
        drain.touch()
        stack.callback(drain.unlink, missing_ok=True)
        balancer.await_state("gate1", "draining", "wcs")
        assert balancer.check("gate1", "wcs") == "L7OKC/503"
        ones, others = taken(gate_1), taken(gate_2)
        opened += [stack.enter_context(session(ca_path)) for _ in range(4)]
        wait_for(lambda: taken(gate_2) == others + 4)
        assert taken(gate_1) == ones
        assert [one.echo() for one in opened] == ["hello"] * 8
        drain.unlink()
        balancer.await_state("gate1", "up", "wcs")
        assert [one.echo() for one in opened] == ["hello"] * 8
        before = taken(gate_1)
        # leastconn: it has fewer than the other.
        opened += [stack.enter_context(session(ca_path)) for _ in range(4)]
        wait_for(lambda: taken(gate_1) > before)


def test_a_dead_gate_gets_nobody_and_comes_back(balancer: LocalBalancer, gate_2: GateCopy, ca_path: Path) -> None:
    gate_2.stop()
    try:
        # Before the check has seen it, another gate is asked.
        for _ in range(4):
            with session(ca_path) as opened:
                assert opened.echo() == "hello"
        balancer.await_state("gate2", "down")
        assert balancer.check("gate2").startswith("L4")
    finally:
        gate_2.start()
    balancer.await_state("gate2", "up")


@pytest.mark.parametrize("names", [("another.example.com",), (NAME,)], ids=["another name", "nobody vouches for it"])
def test_a_gate_with_another_s_certificate_gets_nobody(
    balancer: LocalBalancer, gate_1: LocalGate, gate_2: GateCopy, ca_path: Path, names: tuple[str, ...]
) -> None:
    """The first is vouched for, with a wrong name; the second has the name, and no authority that is known."""
    before = {path.name: path.read_bytes() for path in (gate_2.etc / "certificates/gate").iterdir()}
    gate_1.certificate("other", names)
    folder = gate_1.etc / "certificates/other"
    files = dict(balancer.files)
    if names != (NAME,):
        trusted = ca_path.read_text() + (folder / "fullchain.pem").read_text()
        files |= {name: trusted for name in files if name.endswith(".pem")}
    balancer.apply(files)
    try:
        for name in before:
            os.replace(folder / name, gate_2.etc / "certificates/gate" / name)
        gate_2.reload()
        balancer.await_state("gate2", "down")
        assert balancer.check("gate2").startswith("L6RSP")
        with session(ca_path) as opened:
            assert opened.echo() == "hello"
    finally:
        for name, content in before.items():
            staged = gate_2.etc / f"{name}.new"
            staged.write_bytes(content)
            os.replace(staged, gate_2.etc / "certificates/gate" / name)
        gate_2.reload()
        balancer.apply()


def edited(balancer: LocalBalancer, text: str, name: str = "wssgate.d/wcs.cfg") -> dict[str, str]:
    return {**balancer.files, name: balancer.files[name] + text}


def test_a_reload_cuts_no_session_and_refuses_nobody(balancer: LocalBalancer, ca_path: Path) -> None:
    failed: list[BaseException] = []
    done = threading.Event()
    made = 0

    def come_and_go() -> None:
        nonlocal made
        while not done.is_set():
            try:
                with session(ca_path) as opened:
                    assert opened.echo() == "hello"
                made += 1
            except BaseException as error:
                failed.append(error)

    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(session(ca_path)) for _ in range(20)]
        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            for number in range(3):
                worker, count = balancer.worker(), made
                outcome = balancer.apply(edited(balancer, f"    # {number}\n"))
                assert outcome.haproxy == "reloaded" and balancer.worker() != worker
                wait_for(lambda count=count: made > count + 2)
        finally:
            done.set()
            thread.join(30)
            balancer.apply()
        assert failed == []
        assert [one.echo() for one in opened] == ["hello"] * 20


def test_a_second_run_changes_nothing(balancer: LocalBalancer) -> None:
    worker = balancer.worker()
    outcome = balancer.apply()
    assert outcome.result()["changed"] is False and balancer.worker() == worker


@pytest.mark.parametrize(
    "text", ["    server gate3 127.0.0.5:8443 chek\n", "    bind :445 ssl crt /nonexistent.pem\n", "balance leastcon\n"]
)
def test_a_mistyped_configuration_never_goes_live(balancer: LocalBalancer, text: str) -> None:
    worker, before = balancer.worker(), balancer.on_disk()
    for check in (True, False):
        with pytest.raises(BalancerError, match="refuses the configuration, and nothing was changed"):
            balancer.apply(edited(balancer, text), check=check)
    assert balancer.worker() == worker and balancer.on_disk() == before
    assert not list(balancer.etc.glob(".wssgate-*"))


def test_a_configuration_that_cannot_be_served_is_put_back(balancer: LocalBalancer, ca_path: Path) -> None:
    """HAProxy's test binds nothing: that another program has the port shows at the reload alone."""
    before = balancer.on_disk()
    with socket.create_server(("127.0.0.1", 445)), session(ca_path) as opened:
        with pytest.raises(BalancerError, match="was put back and is live"):
            balancer.apply(edited(balancer, "    bind 127.0.0.1:445\n"), live_timeout=3)
        assert balancer.on_disk() == before
        assert opened.echo() == "hello"
        with session(ca_path) as another:
            assert another.echo() == "hello"


class Comers:
    """Clients that come and go until the end, and what went wrong with them."""

    def __init__(self, ca_path: Path) -> None:
        self.ca_path = ca_path
        self.failed: list[str] = []
        self.made = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                with session(self.ca_path) as opened:
                    assert opened.echo() == "hello"
                self.made += 1
            except Exception as error:
                self.failed.append(repr(error))

    def __enter__(self) -> Comers:
        self._thread.start()
        self.await_some()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(30)

    def await_some(self) -> None:
        count = self.made + len(self.failed)
        wait_for(lambda: self.made + len(self.failed) > count + 3)


def test_gates_are_rolled_one_after_the_other_and_no_handshake_fails(
    balancer: LocalBalancer, gate_1: LocalGate, gate_2: GateCopy, ca_path: Path
) -> None:
    """As playbook roll does it: out, drained, left to the checks, restarted, back, and only then the next one."""
    path = str(balancer.socket)
    with Comers(ca_path) as comers:
        for gate, name in ((gate_1, "gate1"), (gate_2, "gate2")):
            drain = gate.etc / "wssgate.drain"
            services = rotation.take_out(path, name, grace=2)
            assert services == ["wcs", "wcs2"]
            try:
                drain.touch()
                assert rotation.leave_to_checks(path, name, services, True, 20)
                assert balancer.state(name) == "draining"
                before = taken(gate)
                comers.await_some()
                assert taken(gate) == before
                gate.stop()
                gate.start()
            finally:
                drain.unlink()
            assert rotation.await_up(path, name, services, 20) == []
            comers.await_some()
    assert comers.failed == [] and comers.made > 12


def test_a_gate_that_is_out_is_left_to_its_checks_by_order_alone(balancer: LocalBalancer) -> None:
    path = str(balancer.socket)
    assert rotation.take_out(path, "gate1", check=True) == ["wcs", "wcs2"] and balancer.state("gate1") == "up"
    services = rotation.take_out(path, "gate1")
    assert balancer.state("gate1") == balancer.state("gate1", "wcs2") == "draining"
    assert rotation.take_out(path, "gate1") == [], "what somebody else has taken out is left so"
    assert rotation.await_up(path, "gate1", services, 0) == services
    assert not rotation.leave_to_checks(path, "gate1", services, True, 0), "it never refused"
    assert rotation.await_up(path, "gate1", services, 20) == []
    # As after a run that was killed in between; what the gate itself wants is left to the checks.
    assert rotation.take_out(path, "gate1") == services and rotation.release(path, "gate2") == []
    assert rotation.release(path, "gate1", check=True) == services and balancer.state("gate1") == "draining"
    assert rotation.release(path, "gate1") == services and rotation.await_up(path, "gate1", services, 20) == []
    assert rotation.release(path, "gate1") == []
    with pytest.raises(BalancerError, match="no name of HAProxy's"):
        rotation._order(path, "wcs", "gate1 state drain; shutdown sessions", "drain")


def test_the_last_check_shows_before_haproxy_takes_a_gate_out(balancer: LocalBalancer, gate_2: GateCopy) -> None:
    gate_2.stop()
    try:
        wait_for(lambda: not balancer.check("gate2").startswith("L7OK"))
        before = {"results": [{"item": "front", "haproxy": {"services": stats.services(str(balancer.socket))}}]}
        balancer.await_state("gate2", "down")
    finally:
        gate_2.start()
    balancer.await_state("gate2", "up")
    state.await_checks(str(balancer.socket), 1.4)
    after = {"results": [{"item": "front", "haproxy": {"services": stats.services(str(balancer.socket))}}]}
    assert sorted(_roll.worse_gates(after, before)) == ["gate2"] and _roll.worse_gates(before, after) == {}
    assert _roll.in_rotation(["gate1", "gate2"], after) == ["gate1", "gate2"]


def test_what_is_no_longer_wanted_goes(balancer: LocalBalancer, ca_path: Path) -> None:
    rest = {name: text for name, text in balancer.files.items() if "wcs2" not in name}
    outcome = balancer.apply(rest)
    assert sorted(Path(path).name for path in outcome.result()["removed_files"]) == ["wcs2.cfg", "wcs2.pem"]
    with pytest.raises(ConnectionRefusedError):
        connect(ca_path, OTHER_PORT)
    balancer.apply()


def test_what_a_killed_run_has_written_is_taken_up_by_the_next(balancer: LocalBalancer) -> None:
    files = edited(balancer, "    # written, and never reloaded\n")
    # What is written in the very moment of a reload counts as read by it.
    began = balancer.settings(files).haproxy.took_up_at()
    wait_for(lambda: time.time() > began + 2 * TICK)
    Tree(str(balancer.etc), "haproxy.cfg", "wssgate.d", files).commit()
    worker = balancer.worker()
    try:
        assert balancer.apply(files, check=True).haproxy == "reloaded"
        assert balancer.apply(files).haproxy == "reloaded" and balancer.worker() != worker
        assert balancer.apply(files).result()["changed"] is False
    finally:
        balancer.apply()


@pytest.fixture
def neighbour() -> Iterator[tuple[str, str]]:
    """An interface with a host behind it; its name and the host's address."""
    name, address = "wss-near", "198.51.100.7"
    holder = subprocess.Popen(["unshare", "--net", "sleep", "300"])
    try:
        wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/thread-self/ns/net"))
        inside = ["nsenter", "-t", str(holder.pid), "-n"]
        for command in (
            ["ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", str(holder.pid)],
            ["ip", "link", "set", name, "up"],
            [*inside, "ip", "link", "set", "far", "up"],
            [*inside, "ip", "address", "add", f"{address}/24", "dev", "far"],
        ):
            subprocess.run(command, check=True)
        yield name, address
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)
        holder.kill()
        holder.wait()


def test_an_address_that_a_host_has_already_is_refused(
    balancer: LocalBalancer, neighbour: tuple[str, str], tmp_path: Path
) -> None:
    interface, address = neighbour
    wait_for(lambda: duplicates.owner(address, interface))
    assert duplicates.owner("198.51.100.9", interface) == ""
    wanted = {"keepalived_files": {"keepalived.conf": f"# managed by wssgate.nginx\n{address}/32 dev {interface}\n"}}
    claimed = [{"address": address, "interface": interface}]
    for check in (True, False):
        with pytest.raises(BalancerError, match=f"address {address} is taken: the host with the hardware address"):
            balancer.apply(addresses=claimed, peers=["198.51.100.9"], check=check, **wanted)
    # That of another balancer is where it belongs.
    duplicates.refuse(claimed, [address])
    with pytest.raises(BalancerError, match="nobody could be asked for"):
        duplicates.owner(address, "nowhere0")


def ask(*arguments: str) -> int:
    """The script that keepalived runs."""
    return subprocess.run([sys.executable, str(CHECK), *arguments], timeout=20, check=False).returncode


def test_keepalived_s_check_goes_through_haproxy_to_a_gate(
    balancer: LocalBalancer, gate_1: LocalGate, gate_2: GateCopy, ca_path: Path
) -> None:
    connects = ("--port", str(PORT))
    shakes_hands = (
        *connects, "--address", CHECKING, "--path", "/wss", "--server-name", NAME, "--ca-path", str(ca_path)
    )  # fmt: skip
    assert ask(*connects) == ask(*shakes_hands) == 0
    # Metrics leave out what balancers ask, and know it by the address.
    wait_for(lambda: lines_about(gate_1, CHECKING) + lines_about(gate_2, CHECKING))
    assert ask("--port", "9") == 1
    assert ask(*connects, "--path", "/wss", "--server-name", "another.example.com", "--ca-path", str(ca_path)) == 1
    drains = [gate.etc / "wssgate.drain" for gate in (gate_1, gate_2)]
    try:
        for drain in drains:
            drain.touch()
        for name in ("gate1", "gate2"):
            balancer.await_state(name, "draining", "wcs")
        assert (ask(*connects), ask(*shakes_hands)) == (0, 1)
    finally:
        for drain in drains:
            drain.unlink()


def test_only_root_may_ask_for_the_state(balancer: LocalBalancer) -> None:
    assert balancer.socket.stat().st_mode & 0o777 == 0o600
    listening: Any = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    assert {int(line.split()[3].rpartition(":")[2]) for line in listening.splitlines()} <= {
        PORT,
        OTHER_PORT,
        GATE_PORT,
        8080,
    }
