# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make fleet` shows: each step is looked at, and one that does not hold ends the run with an error."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import machine
from lib import wire
from machine import FleetError, docker, say, wait_for

STAYS, GOES = "client-stays", "client-goes"
CLIENTS = 6
# As a run gives it that is about to drain gate1
ORDER = """
import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/haproxy/wssgate.sock")
s.sendall(b"set server wss/gate1 state drain\\n"); s.recv(1024)
"""


class Client(threading.Thread):
    """Keeps a session through the balancers' address: sends, awaits the echo, and connects again when it was cut."""

    def __init__(self, token: str) -> None:
        super().__init__(daemon=True)
        self.token = token
        self.is_connected = False
        self.cuts = 0
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.is_set():
            try:
                with machine.handshake(machine.vip(), 443, self.token) as reply:
                    if reply.status == 101:
                        self.is_connected = True
                        self._talk(reply.session)
            except (OSError, wire.WireError):
                # What a client does: again
                pass
            self.cuts += self.is_connected and not self._end.is_set()
            self.is_connected = False
            self._end.wait(0.2)

    def _talk(self, session: wire.Session) -> None:
        while not self._end.wait(0.5):
            if session.echo("hello", timeout=30) != "hello":
                raise wire.WireError("something else came back")

    def end(self) -> None:
        self._end.set()


class Knocker(threading.Thread):
    """Opens a session after the other, and counts those that were refused."""

    def __init__(self, token: str) -> None:
        super().__init__(daemon=True)
        self.token = token
        self.answers: dict[int, int] = {}
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.2):
            answer = machine.status(self.token)
            self.answers[answer] = self.answers.get(answer, 0) + 1

    def end(self) -> dict[int, int]:
        self._end.set()
        self.join()
        return self.answers


def expect(is_so: bool, text: str) -> None:
    if not is_so:
        raise FleetError(text)


def issue(subject: str) -> str:
    path = machine.FOLDER / f"token-{subject}"
    machine.play(
        f"issue-{subject}",
        *(machine.ISSUE, "-e", f"subject={subject}", "-e", "ttl=86400", "-e", f"token_file={path}"),
    )
    return path.read_text().strip()


def is_up(gate: str) -> bool:
    return all(state.startswith("UP") for state in machine.front().states[gate])


def all_are_up() -> bool:
    """For each balancer; not while one of them is booting."""
    with contextlib.suppress(FleetError):
        return all(is_up(host) for host in machine.IMAGES if host.startswith("gate"))
    return False


def is_alive(gate: str) -> bool:
    """For any of the balancers."""
    return any(state.startswith("UP") for state in machine.front().states[gate])


def run() -> None:
    gates = [host for host in machine.IMAGES if host.startswith("gate")]
    wait_for("each balancer finds each gate alive", lambda: all(is_up(gate) for gate in gates))
    wait_for("one balancer takes the address", machine.holder)
    stays, goes = show_use(gates)
    clients = [Client(token) for token in (stays, goes) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        wait_for("all clients are connected", lambda: all(client.is_connected for client in clients))
        say(f"{len(clients)} clients hold sessions through {machine.vip()}: {machine.front().shown()}")
        show_kill_and_revoke(clients, goes)
        show_return(stays, goes)
        show_rolling_change(clients[:CLIENTS], stays)
    finally:
        for client in clients:
            client.end()


def show_use(gates: list[str]) -> tuple[str, str]:
    say("== 1. Issue: a token for each of two clients, by one entry in the hub")
    stays, goes = issue(STAYS), issue(GOES)
    for gate in gates:
        wait_for(f"{gate} admits the new token", lambda gate=gate: machine.status_at(gate, stays) == 101, 30)
    say("All three gates admit them: none of the gates was asked")
    say(f"== 2. Use: wss://{machine.NAME}/wss by the one address, {machine.vip()}, which {machine.holder()} has")
    expect(machine.status(stays) == 101, f"{machine.vip()} does not admit a token that was issued")
    expect(machine.status("") == 403, f"{machine.vip()} admits somebody without a token")
    say("With a token: 101. Without one: 403")
    return stays, goes


def show_kill_and_revoke(clients: list[Client], goes: str) -> None:
    others = clients[:CLIENTS], clients[CLIENTS:]
    say("== 3. gate2 dies: docker kill wssgate-gate2")
    on_it = machine.front().sessions.get("gate2", 0)
    start = time.monotonic()
    docker("kill", machine.container("gate2"))
    wait_for("all clients are back", lambda: sum(client.cuts for client in clients) >= on_it
             and all(client.is_connected for client in clients))  # fmt: skip
    cuts, seconds = sum(client.cuts for client in clients), time.monotonic() - start
    say(f"{cuts} of {len(clients)} sessions were cut, those on gate2; all clients are back after {seconds:.1f} s")
    wait_for("the balancers see that gate2 is dead", lambda: not is_alive("gate2"))
    wait_for("all clients are back", lambda: all(client.is_connected for client in clients))
    say(f"The balancers send nobody to gate2 any more: {machine.front().shown()}")
    before = sum(client.cuts for client in others[0])
    say(f"== 4. Revoke all tokens of {GOES} while gate2 is dead")
    text = machine.play("revoke", machine.REVOKE, "-e", f"subject={GOES}", check=False)
    expect(not text, "The revocation reports success, although gate2 is dead")
    log = " ".join((machine.LOGS / "fleet-revoke.log").read_text().split())
    expect("gate2" in log, f"The revocation does not name gate2: {machine.LOGS}/fleet-revoke.log")
    if told := re.search(r"gate\d: not confirmed through the hub, silent for [\d.]+ s", log):
        say(f"The command fails, and tells why: {told[0].strip()}")
    wait_for("the revoked sessions end", lambda: not any(client.is_connected for client in others[1]), 30)
    answers: list[int] = []
    # 0 while a balancer still tries the dead gate
    wait_for("the revoked token is refused", lambda: answers.append(machine.status(goes)) or answers[-1] == 403)
    expect(101 not in answers, "A revoked token is still good")
    expect(
        all(client.is_connected for client in others[0]) and sum(client.cuts for client in others[0]) == before,
        "The other client's sessions were cut, too",
    )
    say("gate1 and gate3 confirmed it. gate2 will do it when it comes back, before it lets anybody in")
    say(f"{GOES}: sessions closed, 403. {STAYS}: none cut")
    for client in others[1]:
        client.end()


def show_return(stays: str, goes: str) -> None:
    say("== 5. gate2 comes back, with the revoked token still on its disk, while the hub is away (docker pause)")
    hubs = [machine.container(host) for host in machine.IMAGES if host.startswith("hub")]
    docker("pause", *hubs)
    try:
        docker("start", machine.container("gate2"))
        wait_for("gate2 answers", lambda: machine.status_at("gate2", goes))
        answers = [machine.status_at("gate2", token) for token in (goes, stays)]
        expect(answers == [503, 503], f"gate2 answers {answers} although it has not caught up with the hub")
        store = docker("exec", machine.container("gate2"), "test", "-e", f"/var/lib/nginx/tokens/{goes}", check=False)
        expect(store.returncode == 0, "The revoked token's file is not on gate2's disk")
        say("gate2 answers 503 (hub_behind) to both tokens: it cannot know what was revoked meanwhile")
        expect(machine.status(stays) == 101, "The other gates do not serve without the hub")
        say("gate1 and gate3 serve on without the hub, and the balancers send nobody to gate2")
    finally:
        docker("unpause", *hubs)
    wait_for("gate2 catches up", lambda: machine.status_at("gate2", stays) == 101, 180)
    expect(machine.status_at("gate2", goes) == 403, "gate2 admits a token that was revoked while it was dead")
    say(f"The hub is back. gate2 has caught up: {GOES} 403, {STAYS} 101")
    wait_for("the balancers send sessions to gate2", lambda: is_up("gate2"))
    say("The balancers send it sessions again")


def show_rolling_change(clients: list[Client], stays: str) -> None:
    say("== 6. A change rolls over the gates under open sessions: site with another idle_timeout")
    wait_for("all clients are connected", lambda: all(client.is_connected for client in clients))
    # Those that came later have the balancers' least busy gate: now also gate2.
    before = sum(client.cuts for client in clients)
    machine.write_overlay(idle_timeout=300)
    knocker = Knocker(stays)
    knocker.start()
    changed = machine.changes(machine.play("change", "wssgate.nginx.site"))
    answers = knocker.end()
    expect(all(changed[gate] for gate in changed if gate.startswith("gate")), f"Not each gate was changed: {changed}")
    expect(set(answers) == {101}, f"Handshakes failed meanwhile: {answers}")
    cuts = sum(client.cuts for client in clients) - before
    expect(cuts == 0, f"{cuts} sessions were cut meanwhile")
    say(f"One gate first, then the others. {answers[101]} handshakes meanwhile, all 101; no session was cut")


# -- for `make fleet-test` alone


def hub_fails_over() -> None:
    stays = (machine.FOLDER / f"token-{STAYS}").read_text().strip()
    say("The hub's primary dies; another one takes over, and what is issued then counts")
    docker("kill", machine.container("hub1"))
    start = time.monotonic()

    def can_issue() -> str:
        # By another host of the hub: the first one is dead.
        path = machine.FOLDER / "token-later"
        found = machine.play(
            "issue-later",
            *(machine.ISSUE, "-e", "subject=later", "-e", "ttl=3600", "-e", f"token_file={path}"),
            check=False,
        )
        return path.read_text().strip() if found else ""

    later = wait_for("another host of the hub becomes the primary", can_issue, 120)
    say(f"Issued again {time.monotonic() - start:.0f} s after the kill")
    for gate in ("gate1", "gate2", "gate3"):
        wait_for(f"{gate} admits it", lambda gate=gate: machine.status_at(gate, later) == 101, 90)
    expect(machine.status(stays) == 101, "A token of before is not good any more")
    docker("start", machine.container("hub1"))
    wait_for("hub1 boots", lambda: machine.has_booted("hub1"))
    wait_for("hub1 follows, and check has nothing against it", lambda: machine.play("check-hub", "wssgate.nginx.check",
             check=False), 180)  # fmt: skip
    say("hub1 is back as a replica")


def address_moves() -> None:
    stays = (machine.FOLDER / f"token-{STAYS}").read_text().strip()
    first = machine.holder()
    other = next(host for host in machine.ports() if host != first)
    show_other_dies(first, other, stays)
    show_parted(first, other, stays)
    first = machine.holder()
    say(f"{first}, which has the address, dies; the other balancer takes it")
    docker("kill", machine.container(first))
    start = time.monotonic()
    wait_for("the other balancer answers", lambda: machine.status(stays) == 101, 60)
    say(f"Clients reach a gate again after {time.monotonic() - start:.1f} s")
    docker("start", machine.container(first))


def show_other_dies(first: str, other: str, stays: str) -> None:
    say(f"{other}, which has not the address, dies; nobody notices")
    client, knocker = Client(stays), Knocker(stays)
    client.start()
    try:
        wait_for("a client is connected", lambda: client.is_connected)
        knocker.start()
        docker("kill", machine.container(other))
        # As long as it would take to move an address
        time.sleep(10)
        answers = knocker.end()
        expect(set(answers) == {101} and client.cuts == 0, f"Clients noticed: {answers}, {client.cuts} sessions cut")
    finally:
        client.end()
    docker("start", machine.container(other))
    wait_for(f"{other} finds the gates alive", all_are_up)
    expect(machine.holder() == first, f"{other} has taken the address when it came back")


def show_parted(first: str, other: str, stays: str) -> None:
    say("The balancers do not reach each other: both have the address, and check says so")
    ways = [(here, machine.address(there)) for here, there in ((first, other), (other, first))]
    for here, there in ways:
        # Not by a route: keepalived's socket is bound to its interface and needs none. Nobody has this address.
        nowhere = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        docker("exec", machine.container(here), "ip", "neigh", "replace", there, *nowhere, "dev", "eth0")
    try:
        wait_for("both have the address", lambda: len(machine.holders()) == 2)
        expect(machine.status(stays) == 101, "Clients do not reach a gate by either of them")
        expect(not machine.play("check-parted", "wssgate.nginx.check", check=False), "check finds nothing wrong")
        log = " ".join((machine.LOGS / "fleet-check-parted.log").read_text().split())
        expect(f"it has the address {machine.vip()}, and so have others" in log, "check does not name what is wrong")
    finally:
        for here, there in ways:
            docker("exec", machine.container(here), "ip", "neigh", "del", there, "dev", "eth0")
    wait_for("one of them has the address again", lambda: len(machine.holders()) == 1)


def trees() -> dict[str, str]:
    """Names and content of all that nginx has, by gate."""
    words = "cd /etc/nginx && find . | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum"
    gates = [host for host in machine.IMAGES if host.startswith("gate")]
    return {gate: docker("exec", machine.container(gate), "sh", "-c", words).stdout for gate in gates}


def change_is_taken_back() -> None:
    say("A change that makes the first gate worse: it gets back what it had, and the others are left alone")
    before, has = trees(), machine.OVERLAY.read_text()
    machine.write_overlay(upstream="http://127.0.0.1:9", auth="none")
    try:
        expect(not machine.play("worse", "wssgate.nginx.site", check=False), "site reports success")
    finally:
        machine.OVERLAY.write_text(has)
    log = " ".join((machine.LOGS / "fleet-worse.log").read_text().split())
    told = "/wss answered 403 before and 502 now. What was there before was put back and is live"
    expect(told in log, f"site does not tell what is worse: {machine.LOGS}/fleet-worse.log")
    expect(trees() == before, "A gate has not what it had before")
    expect(all_are_up(), "A balancer has taken a gate out")


def roll_is_interrupted() -> None:
    say("Ctrl-C in roll, while gate1 is out of service: it stays drained, and undrain takes it back")
    tasks, log = machine.FOLDER / "wait.yml", machine.LOGS / "fleet-interrupted.log"
    tasks.write_text("- ansible.builtin.command: sleep 600\n")
    command = [str(machine.ROOT / "scripts/fleet.sh"), "wssgate.nginx.roll", "-e", f"roll_tasks={tasks}"]
    command += ["-e", "drain_deadline=0", "-e", "drain_required=false"]
    with log.open("w") as file:
        run_ = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for("gate1 is out of service", lambda: "Do what the file says" in log.read_text(), 300)
    finally:
        # As a terminal does: to all that it has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run_.pid, signal.SIGINT)
        run_.wait(60)
    drained = docker("exec", machine.container("gate1"), "test", "-e", "/etc/nginx/wssgate.drain", check=False)
    expect(drained.returncode == 0, "gate1 takes sessions again without anybody's word")
    expect([is_up(gate) for gate in ("gate1", "gate2", "gate3")] == [False, True, True], "Others are out, too")
    machine.play("undrain", "wssgate.nginx.undrain", "--limit", "gate1")
    wait_for("the balancers send sessions to gate1 again", all_are_up)


def order_is_left_behind() -> None:
    say("An order of a run that was killed keeps gate1 out at HAProxy: check names it, and roll takes it back")
    for host in machine.ports():
        docker("exec", machine.container(host), "python3", "-c", ORDER)
    expect(not machine.play("check-order", "wssgate.nginx.check", check=False), "check finds nothing wrong")
    log = " ".join((machine.LOGS / "fleet-check-order.log").read_text().split())
    expect("gate gate1 gets no new sessions, by an order that no check lifts" in log, "check does not name the order")
    tasks = machine.FOLDER / "nothing.yml"
    tasks.write_text("- ansible.builtin.command: 'true'\n")
    options = (f"roll_tasks={tasks}", "drain_deadline=0", "drain_required=false")
    machine.play("roll-order", "wssgate.nginx.roll", *(word for one in options for word in ("-e", one)))
    expect(all_are_up(), "gate1 is still out")


def next_steps() -> str:
    ca, path = ".cache/fleet/certificates/ca.pem", f".cache/fleet/token-{STAYS}"
    port = machine.ports()["front1"]
    return f"""
The fleet runs. Its inventory is examples/fleet/inventory.yml, to be copied for hosts of yours. Try:

  # A handshake by the address: 101, and 403 without the cookie
  curl --http1.1 -si --max-time 3 --resolve {machine.NAME}:443:{machine.vip()} --cacert {ca} \\
    -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \\
    -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' -H 'Origin: {machine.ORIGIN}' \\
    -H "Cookie: AUTH=$(cat {path})" https://{machine.NAME}/wss
  # By ports of this machine, one for each balancer: --connect-to {machine.NAME}:443:127.0.0.1:{port} (or {port + 1})

  scripts/fleet.sh wssgate.nginx.check                        # how all of it is
  scripts/fleet.sh wssgate.nginx.session_list                 # who is connected
  scripts/fleet.sh {machine.ISSUE} -e subject=me -e ttl=3600 -e token_file=/tmp/token
  scripts/fleet.sh {machine.REVOKE} -e subject=me
  scripts/fleet.sh wssgate.nginx.roll -e roll_restart=true -e drain_rate=10   # nginx anew, gate by gate
  docker kill {machine.container("front1")}                        # the address moves; docker start … again
  docker kill {machine.container("hub1")}                          # another one becomes the primary
  docker exec -it {machine.container("gate1")} bash

  make fleet          # starts what was stopped
  make fleet-absent   # takes all of it away"""
