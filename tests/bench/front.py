# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many sessions are cut when a part of the front fails or is taken out, and within how long they are back.

    make bench NAME=front                           # a quarter of an hour, the half of it until the hosts are there
    make bench NAME=front ARGS='--write docs'       # docs/front-figures.md and .json
    make bench NAME=front ARGS='--keep'             # leaves the hosts; --on takes them

Three gates and two balancers with one address, in containers, deployed by playbook `site`. Each session echoes twice a
second, and one that is cut connects again at once and, where that fails, every tenth of a second. Besides somebody new
comes ten times a second. Playbook `roll` installs nginx's packages anew on gate after gate, `site` changes an option
of all gates, a gate is drained and taken back, HAProxy is killed, and the whole balancer. What is happening is printed
every 15 seconds, and after --minutes the whole of it is given up.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import crowd, pki, wire
from lib.processes import wait_for

from .controller import Hosts
from .front_report import JSON, PAGE, RATE, page
from .gate import machine

ROOT = Path(__file__).resolve().parents[2]
GATES = Hosts("front-gate", 3, "wssgate-test:debian12-nginx", [f"--volume={ROOT}/tests/lib:/mnt/tests/lib:ro"])
FRONTS = Hosts("front-balancer", 2, "wssgate-test:debian12")
NAME, ORIGIN, TOKEN = "gate.example.com", "https://app.example.com", "token-of-the-bench-of-the-front"
STORE = "/var/lib/nginx/tokens"
PAUSE, RETRY, KNOCK = 0.5, 0.1, 0.1
# A session that is silent for so long is as good as cut.
SILENT = 3.0
# Seconds between two lines while something happens, and after which a playbook is given up
TELL, PATIENCE = 15.0, 600.0
# What `site` changes
IDLE_TIMEOUT = 300
NGINX = ("nginx", "nginx-common")
REINSTALL = f"""\
- name: Install nginx's packages anew
  ansible.builtin.command: apt-get -qy --reinstall install {" ".join(NGINX)}
  environment: {{DEBIAN_FRONTEND: noninteractive}}
  changed_when: true
"""


def run(name: str, *command: str) -> str:
    """Run a command on a host."""
    done = subprocess.run(["docker", "exec", name, *command], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{name}: {' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def prepare(name: str) -> None:
    """Have what is installed later there by then, and an upstream on a gate."""
    run(name, "apt-get", "-qq", "update")
    packages = NGINX if name in GATES.names else ("haproxy", "keepalived")
    run(
        name, "apt-get", "-qqy", "--reinstall", "--download-only", "--no-install-recommends", "install", *packages
    )  # fmt: skip
    if name in GATES.names:
        run(
            name, "systemd-run", "--unit=echo", "--setenv=PYTHONPATH=/mnt/tests",
            "python3", "-m", "lib.echo_server", "--echo", "127.0.0.1:8080",
        )  # fmt: skip


def free_address() -> str:
    """One of the containers' network, far from those that containers get."""
    text = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    return str(ipaddress.ip_network(text)[-3])


class Front:
    """The hosts, and what is done to them."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.chain, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        self.inventory = folder / "inventory.json"
        self.killed = ""

    def write(self, **location_options: Any) -> None:
        """Inventory and certificate; the latter stays for those who come again."""
        if not self.chain.exists():
            pki.self_signed(self.folder, NAME)
            self.key.chmod(0o600)
        (self.folder / "reinstall.yml").write_text(REINSTALL)
        location = {
            "path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": "token", "origins": [ORIGIN],
            **location_options,
        }  # fmt: skip
        gates = {
            "certificates_list": [
                {
                    "name": "gate", "provider": "files",
                    "certificate_source": str(self.chain), "key_source": str(self.key),
                }
            ],
            "wss_proxy_servers": [
                {
                    "name": "wss", "server_names": [NAME], "certificate": "gate",
                    "listen": [{"port": 8443, "proxy_protocol": True}], "locations": [location],
                }
            ],
        }  # fmt: skip
        fronts = {
            "balancer_services": [{"name": "wss", "port": 443, "ca_source": str(self.chain)}],
            # Beside the address of another fleet in the same network
            "balancer_addresses": [{"address": self.address, "router_id": 52}],
            "balancer_check_interval": 1,
            "balancer_slow_start": 0,
            # A container may have 20,000 descriptors here and there.
            "balancer_max_connections": 2000,
        }
        common = {
            "ansible_connection": "community.docker.docker",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        children = {
            "wss_proxies": {"hosts": dict.fromkeys(GATES.names), "vars": gates},
            "wss_balancers": {"hosts": dict.fromkeys(FRONTS.names), "vars": fronts},
        }
        self.inventory.write_text(json.dumps({"all": {"vars": common, "children": children}}))

    def play(self, playbook: str, *arguments: str) -> None:
        done = subprocess.run(
            ["ansible-playbook", "-i", str(self.inventory), f"wssgate.nginx.{playbook}", *arguments],
            env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_FORCE_COLOR": "0"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        (self.folder / f"{playbook}.log").write_text(done.stdout)
        if done.returncode:
            raise RuntimeError(f"{playbook} ended with {done.returncode}: {done.stdout[-4000:]}")

    def deploy(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            list(pool.map(prepare, (*GATES.names, *FRONTS.names)))
        self.play("site")
        for name in GATES.names:
            run(name, "install", "-o", "root", "-g", "www-data", "-m", "0640", "/dev/null", f"{STORE}/{TOKEN}")
        self.holder()

    def holder(self) -> str:
        """The balancer that has the address."""

        def found() -> str:
            there = []
            for name in FRONTS.names:
                with contextlib.suppress(RuntimeError):
                    if f" {self.address}/" in run(name, "ip", "-4", "address"):
                        there.append(name)
            return there[0] if len(there) == 1 else ""

        return str(wait_for(found, 60))

    # What happens

    def roll(self) -> None:
        self.play(
            "roll", "-e", f"roll_tasks={self.folder}/reinstall.yml", "-e", "roll_restart=true",
            "-e", f"drain_rate={RATE}", "-e", "drain_interval=1", "-e", "drain_deadline=120",
        )  # fmt: skip

    def change(self) -> None:
        """Another option of the location, on each gate, a gate at a time."""
        self.write(idle_timeout=IDLE_TIMEOUT)
        self.play("site", "--tags", "gate", "-e", "wssgate_serial=1")

    def drain(self) -> None:
        self.play("drain", "--limit", GATES.names[0], "-e", "drain_deadline=0", "-e", "drain_required=false")

    def undrain(self) -> None:
        self.play("undrain", "--limit", GATES.names[0])

    def kill_haproxy(self) -> None:
        run(self.holder(), "systemctl", "kill", "--signal=KILL", "haproxy")

    def kill_balancer(self) -> None:
        self.killed = self.holder()
        subprocess.run(["docker", "kill", self.killed], check=True, capture_output=True, timeout=60)

    def start_balancer(self) -> None:
        """The one that was killed, until its HAProxy serves."""
        subprocess.run(["docker", "start", self.killed], check=True, capture_output=True, timeout=60)

        def serves() -> bool:
            with contextlib.suppress(RuntimeError):
                return run(self.killed, "systemctl", "is-active", "haproxy", "keepalived").split() == ["active"] * 2
            return False

        wait_for(serves, 120)


class Client:
    """One client: a session, another one when it is cut, and when it had one again."""

    def __init__(self, opener: crowd.Crowd) -> None:
        self.opener = opener
        self.session: crowd.Session | None = None
        # When a session was cut, and when there was one again
        self.cuts: list[tuple[float, float]] = []
        self.refused = self.silent = 0

    async def open(self) -> None:
        while self.session is None:
            self.session = await self.opener.open()
            if self.session is None:
                self.refused += 1
                await asyncio.sleep(RETRY)

    async def live(self) -> None:
        await self.open()
        while True:
            await asyncio.sleep(PAUSE)
            try:
                assert self.session is not None
                async with asyncio.timeout(SILENT):
                    await self.session.echo()
            except (OSError, EOFError) as error:
                cut = time.monotonic()
                self.silent += isinstance(error, TimeoutError)
                if self.session is not None:
                    self.session.drop()
                self.session = None
                await self.open()
                self.cuts.append((cut, time.monotonic()))


class Bench:
    def __init__(self, front: Front, say: Callable[[str], None]) -> None:
        self.front, self.say = front, say
        self.tls = ssl.create_default_context(cafile=str(front.chain))
        self.request = wire.Request("/wss", host=NAME).origin(ORIGIN).token(TOKEN).encode()
        self.clients: list[Client] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.knocked = self.failed = 0
        self.found: list[dict[str, Any]] = []

    def opener(self) -> crowd.Crowd:
        return crowd.Crowd(443, self.request, self.tls, 5, host=self.front.address)

    async def knock(self) -> None:
        """Somebody new, again and again."""
        opener = self.opener()
        while True:
            session = await opener.open()
            self.knocked += 1
            if session is None:
                self.failed += 1
            else:
                session.drop()
            await asyncio.sleep(KNOCK)

    async def grow(self, count: int) -> None:
        """To so many clients."""
        added = [Client(self.opener()) for _number in range(count - len(self.clients))]
        self.clients += added
        self.tasks += [asyncio.create_task(client.live()) for client in added]
        await self.all_back(120)
        if not self.are_all_there():
            raise RuntimeError(f"not all sessions could be opened: {added[-1].opener.seen.failed[-3:]}")

    def are_all_there(self) -> bool:
        return all(client.session is not None for client in self.clients)

    async def all_back(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.are_all_there() and time.monotonic() < end:
            await asyncio.sleep(0.1)

    async def event(self, what: str, act: Callable[[], object], watch: float) -> None:
        """Do it, and note what became of the sessions until ``watch`` seconds after it and until all are back."""
        for client in self.clients:
            client.cuts, client.refused, client.silent = [], 0, 0
        self.knocked = self.failed = 0
        start = time.monotonic()
        telling = asyncio.create_task(self.tell(what))
        try:
            await asyncio.to_thread(act)
            took = time.monotonic() - start
            await asyncio.sleep(watch)
            await self.all_back(60)
        finally:
            telling.cancel()
        cuts = [one for client in self.clients for one in client.cuts]
        ends = sorted(back - start for _cut, back in cuts)
        found = {
            "what": what,
            "sessions": len(self.clients),
            "took_s": round(took, 1),
            "cut": sum(bool(client.cuts) for client in self.clients),
            "cuts": len(cuts),
            "cuts_in_a_second": most_in_a_second([cut for cut, _back in cuts]),
            "silent": sum(client.silent for client in self.clients),
            "longest_away_s": round(max(back - cut for cut, back in cuts), 1) if cuts else None,
            "half_back_s": round(ends[len(ends) // 2], 1) if ends else None,
            "all_back_s": round(ends[-1], 1) if ends else None,
            "attempts_failed": sum(client.refused for client in self.clients),
            "newcomers": self.knocked,
            "newcomers_failed": self.failed,
            "are_all_back": self.are_all_there(),
        }
        self.say(json.dumps(found))
        self.found.append(found)

    async def tell(self, what: str) -> None:
        """How far it is, again and again."""
        while True:
            await asyncio.sleep(TELL)
            there = sum(client.session is not None for client in self.clients)
            cuts = sum(len(client.cuts) for client in self.clients)
            self.say(
                f"{what}: {there} sessions are open, {cuts} were cut; {self.failed} of {self.knocked} newcomers failed"
            )

    async def shrink(self, count: int) -> None:
        """To so many clients."""
        for client, task in list(zip(self.clients, self.tasks, strict=True))[count:]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if client.session is not None:
                client.session.drop()
        del self.clients[count:], self.tasks[count:]

    async def go(self, sessions: int, rolled: int) -> None:
        """All that happens, what is over soon first; what came of it is in ``found``."""
        front = self.front
        knocking = asyncio.create_task(self.knock())
        try:
            await self.grow(sessions)
            await self.event("a gate is drained by playbook `drain`", front.drain, 5)
            await self.event("and taken back by `undrain`", front.undrain, 5)
            await self.event("HAProxy is killed on the balancer with the address", front.kill_haproxy, 15)
            await self.event("the balancer with the address is killed", front.kill_balancer, 20)
            await asyncio.to_thread(front.start_balancer)
            await self.event("`site` changes an option of three gates", front.change, 5)
            await self.shrink(rolled)
            await self.event("`roll` installs nginx's packages anew on three gates", front.roll, 3)
        finally:
            for task in (knocking, *self.tasks):
                task.cancel()
            await asyncio.gather(knocking, *self.tasks, return_exceptions=True)


def most_in_a_second(moments: list[float]) -> int:
    """How many of them lie within one second."""
    ordered, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while ordered[first] < moment - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


async def in_time(bench: Bench, sessions: int, rolled: int, minutes: float) -> bool:
    """Whether all of it is over in time. What has begun by then is given up."""
    try:
        async with asyncio.timeout(minutes * 60):
            await bench.go(sessions, rolled)
            return True
    except (TimeoutError, RuntimeError, subprocess.SubprocessError, AssertionError) as error:
        bench.say(f"given up: {error or type(error).__name__}")
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rolled", type=int, default=300, help="sessions while playbook roll runs")
    parser.add_argument("--minutes", type=float, default=25, help="after which what is measured is given up")
    parser.add_argument("--keep", action="store_true", help="leave the hosts")
    parser.add_argument("--on", action="store_true", help="take the hosts of an earlier run")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the page and the figures to this folder")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    given = parser.parse_args()
    if given.report:
        folder = given.write or ROOT / "docs"
        (folder / PAGE).write_text(page(json.loads((folder / JSON).read_text())))
        return 0
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    crowd.raise_limit()
    folder = Path(os.environ["CACHE"]) / "bench-front"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    front = Front(folder, free_address())
    try:
        if not given.on:
            say(f"starting {', '.join((*GATES.names, *FRONTS.names))}")
            GATES.__enter__()
            FRONTS.__enter__()
            front.write()
            say("deploying them by playbook site")
            front.deploy()
        say(f"{given.sessions} sessions through {front.address}, which {front.holder()} has")
        start, before = time.monotonic(), os.getloadavg()[0]
        bench = Bench(front, say)
        is_whole = asyncio.run(in_time(bench, given.sessions, given.rolled, given.minutes))
        part = {
            "figures": bench.found,
            "is_whole": is_whole,
            "seconds": round(time.monotonic() - start),
            "scale": 1 if (given.sessions, given.rolled) == (500, 300) else round(given.sessions / 500, 2),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "load_before": round(before, 1),
        }
        results = {"front": part, "machine": machine()}
        print(page(results))
        if given.write:
            (given.write / JSON).write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            (given.write / PAGE).write_text(page(results))
    finally:
        if not given.keep:
            GATES.__exit__()
            FRONTS.__exit__()
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
