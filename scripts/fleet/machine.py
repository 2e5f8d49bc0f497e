# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of `make fleet`, and what clients and balancers see of it.

The inventory is examples/fleet/inventory.yml, as anybody may copy it. What only holds for the containers (how Ansible
reaches them, their addresses, a certificate that was made for them) is in .cache/fleet/.

    WSSGATE_FLEET_PORT     first of two ports of 127.0.0.1 that lead to the balancers; 8443
    WSSGATE_FLEET_NETWORK  the containers' network; 172.30.77.0/24
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "fleet"
LOGS = ROOT / ".cache" / "logs"
EXAMPLE = ROOT / "examples" / "fleet" / "inventory.yml"
OVERLAY = FOLDER / "containers.yml"
CERTIFICATES = FOLDER / "certificates"
SHOWN = FOLDER / "shown.json"
PLAYBOOKS = ROOT / "scripts" / "fleet"
ROUTES = Path("/proc/net/route")

NETWORK = "wssgate-fleet"
LABEL = "wssgate.nginx.fleet"
NAME, ORIGIN, GATE_PORT = "wss.example.com", "https://app.example.com", 8443
# Gates on each system that is there; a hub needs one engine, and so one system.
IMAGES = {
    **{"gate1": "debian12-nginx", "gate2": "debian13-nginx", "gate3": "debian14-nginx"},
    **dict.fromkeys(("hub1", "hub2", "hub3"), "debian13"),
    **{"front1": "debian12", "front2": "debian13"},
}
ISSUE, REVOKE = "wssgate.nginx.token_issue", "wssgate.nginx.token_revoke"

# Asks a gate from itself, as its balancers would: argument 1 is a token.
KNOCK = """
import socket, ssl, sys
plain = socket.create_connection(("127.0.0.1", 8443), 5)
plain.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 8443\\r\\n")
tls = ssl._create_unverified_context().wrap_socket(plain, server_hostname="wss.example.com")
tls.sendall((
    "GET /wss HTTP/1.1\\r\\nHost: wss.example.com\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
    "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n"
    "Origin: https://app.example.com\\r\\nCookie: AUTH=" + sys.stdin.read().strip() + "\\r\\n\\r\\n").encode())
print(tls.recv(64).split()[1].decode())
"""
# What HAProxy has of each gate: sessions, state
STATE = """
import json, socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/haproxy/wssgate.sock"); s.sendall(b"show stat\\n")
rows = [line.split(",") for line in b"".join(iter(lambda: s.recv(65536), b"")).decode().splitlines() if line]
print(json.dumps({row[1]: [int(row[4] or 0), row[17]] for row in rows[1:] if row[1].startswith("gate")}))
"""


class FleetError(Exception):
    """What went wrong, for a person."""


START = time.monotonic()


def say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - START), 60)
    print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)


# -- the machine


def settings() -> Path:
    return FOLDER / "settings.json"


def setting(name: str, variable: str, default: str) -> str:
    """As the fleet that is there was started, else as it was asked for."""
    if settings().exists():
        return str(json.loads(settings().read_text())[name])
    return os.environ.get(variable) or default


def keep_settings() -> None:
    content = {"network": str(network()), "port": str(ports()["front1"])}
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings().write_text(json.dumps(content))


def network() -> ipaddress.IPv4Network:
    text = setting("network", "WSSGATE_FLEET_NETWORK", "172.30.77.0/24")
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise FleetError(f"WSSGATE_FLEET_NETWORK={text} is no network: {error}") from None
    if found.prefixlen != 24:
        raise FleetError(f"WSSGATE_FLEET_NETWORK={text} has to be a /24, such as 172.30.77.0/24")
    return found


def ports() -> dict[str, int]:
    text = setting("port", "WSSGATE_FLEET_PORT", "8443")
    if not text.isdigit() or not 0 < int(text) < 65535:
        raise FleetError(f"WSSGATE_FLEET_PORT={text} is no port with another one after it")
    return {"front1": int(text), "front2": int(text) + 1}


def docker(*arguments: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        found = subprocess.run(
            ["docker", *arguments], input=text, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError:
        raise FleetError(
            "There is no command docker. The fleet needs a Docker Engine on this machine: install one (Debian: "
            "`apt install docker.io`), or run `make images` as root, which does"
        ) from None
    except subprocess.TimeoutExpired:
        raise FleetError(f"docker {arguments[0]} has no answer for two minutes") from None
    if check and found.returncode:
        raise FleetError(f"docker {arguments[0]}: {found.stderr.strip()}")
    return found


def check_docker() -> None:
    found = docker("version", "--format", "{{.Server.Version}}", check=False)
    if found.returncode:
        raise FleetError(
            f"No Docker Engine answers ({(found.stderr or found.stdout).strip().splitlines()[-1]}). Start it, or run "
            "`make images` as root, which does"
        )


def container(host: str) -> str:
    return f"wssgate-{host}"


def containers() -> dict[str, dict[str, Any]]:
    """Those of a fleet that are there, by host."""
    ids = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout.split()
    found = json.loads(docker("inspect", *ids).stdout) if ids else []
    return {one["Name"].removeprefix("/wssgate-"): one for one in found}


def check_checkout(there: dict[str, dict[str, Any]]) -> None:
    """One fleet on a machine: the names are fixed, so that commands can be copied."""
    for one in there.values():
        if (other := one["Config"]["Labels"][LABEL]) != str(ROOT):
            raise FleetError(f"The fleet of another checkout is there ({other}); `make fleet-absent` takes it away")
    for host in IMAGES:
        if host not in there and docker("inspect", container(host), check=False).returncode == 0:
            raise FleetError(f"A container {container(host)} is there that is not of the fleet; rename or remove it")


def check_ports(missing: list[str]) -> None:
    for host, port in ports().items():
        if host not in missing:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise FleetError(
                    f"Port {port} of 127.0.0.1 cannot be had ({error.strerror}). Take others: make fleet PORT=…"
                ) from None


def check_network() -> None:
    """A network that this machine is in already would be cut off by the containers'."""
    wanted = network()
    for line in ROUTES.read_text().splitlines()[1:]:
        interface, target, _gateway, _flags, _count, _use, _metric, mask = line.split()[:8]
        bits = (int.from_bytes(bytes.fromhex(one), "little") for one in (target, mask))
        address, netmask = bits
        if not netmask:
            continue
        other = ipaddress.IPv4Network((address, bin(netmask).count("1")))
        if wanted.overlaps(other):
            raise FleetError(
                f"The containers' network {wanted} overlaps with {other} of interface {interface}. Take another one: "
                "make fleet NETWORK=10.77.77.0/24"
            )


# -- the containers


def example() -> dict[str, Any]:
    inventory: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return inventory


def moved(address: str) -> str:
    """An address of the example as it is in the containers' network."""
    return str(network()[int(ipaddress.IPv4Address(address)) & 0xFF])


def overlay(**location: object) -> dict[str, Any]:
    """What only holds for the containers, as a second inventory; with these options of the gates' location, if any."""
    found: dict[str, Any] = {
        "all": {
            "vars": {
                "ansible_connection": "community.docker.docker",
                "ansible_python_interpreter": "/usr/bin/python3",
                "ansible_user": "root",
                "ansible_become": False,
                "fleet_certificates": str(CERTIFICATES),
            }
        }
    }
    for group in ("wss_proxies", "wss_hubs", "wss_balancers"):
        hosts = {
            # By name: where a task is delegated, inventory_hostname is not the host that it runs on.
            name: {"ansible_host": moved(host["ansible_host"]), "ansible_docker_host": container(name)}
            for name, host in example()[group]["hosts"].items()
        }
        found[group] = {"hosts": hosts, "vars": {}}
    found["wss_balancers"]["vars"] = {
        # A container may have few descriptors.
        "balancer_max_connections": 2000,
        "balancer_addresses": [{"address": vip()}],
    }
    if location:
        servers = example()["wss_proxies"]["vars"]["wss_proxy_servers"]
        servers[0]["locations"][0].update(location)
        found["wss_proxies"]["vars"]["wss_proxy_servers"] = servers
    return found


def write_overlay(**location: object) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    OVERLAY.write_text(yaml.safe_dump(overlay(**location), sort_keys=False))


def vip() -> str:
    """The address that clients use."""
    return moved(example()["wss_balancers"]["vars"]["balancer_addresses"][0]["address"])


def address(host: str) -> str:
    group = {"gate": "wss_proxies", "hub": "wss_hubs", "front": "wss_balancers"}[host[:-1]]
    return moved(example()[group]["hosts"][host]["ansible_host"])


def write_files() -> None:
    from lib import pki

    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    if (CERTIFICATES / "wss.key").exists():
        return
    authority = pki.issue("authority of the fleet on this machine", ca=True, strict=True)
    pair = pki.issue(NAME, authority, [NAME], strict=True)
    for name, content in (("ca.pem", authority.pem), ("wss.pem", pair.pem + authority.pem)):
        (CERTIFICATES / name).write_bytes(content)
    (CERTIFICATES / "wss.key.new").touch(mode=0o600)
    (CERTIFICATES / "wss.key.new").write_bytes(pair.key_pem)
    (CERTIFICATES / "wss.key.new").rename(CERTIFICATES / "wss.key")


def cgroup2() -> str:
    """Where this machine has it; the script that makes images mounts it, where it is nowhere yet."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return next((mount[1] for mount in mounts if mount[2] == "cgroup2"), "/sys/fs/cgroup")


def run_container(host: str) -> None:
    image = IMAGES[host]
    # systemd of Debian 14 boots on cgroup v2 alone: see scripts/lib.sh.
    cgroup = cgroup2() if image.startswith("debian14") else "/sys/fs/cgroup"
    published = [f"--publish=127.0.0.1:{ports()[host]}:443"] if host in ports() else []
    docker(
        *("run", "--detach", f"--name={container(host)}", f"--hostname={host}", f"--label={LABEL}={ROOT}"),
        *(f"--network={NETWORK}", f"--ip={address(host)}", *published),
        # systemd as PID 1 without --privileged; `ss -K` and keepalived need NET_ADMIN.
        *("--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=seccomp=unconfined", "--cgroupns=host"),
        *(f"--volume={cgroup}:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/tmp", f"wssgate-test:{image}"),
    )


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise FleetError(f"Waited {seconds:.0f} seconds in vain: {what}")
        time.sleep(0.1)


def has_booted(host: str) -> bool:
    # A unit that failed at boot, none of ours, leaves it degraded.
    found = docker("exec", container(host), "systemctl", "is-system-running", check=False).stdout.strip()
    return found in ("running", "degraded")


def play(log: str, playbook: str | Path, *arguments: str, check: bool = True) -> str:
    """Run a playbook on the fleet and return what it printed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"fleet-{log}.log"
    with path.open("w") as file:
        code = subprocess.run(
            [str(ROOT / "scripts" / "fleet.sh"), str(playbook), *arguments],
            env={**os.environ, "NO_COLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            **{"stdout": file, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "check": False},
        ).returncode
    text = path.read_text()
    if check and code:
        print("\n".join(text.splitlines()[-40:]))
        raise FleetError(f"{Path(playbook).name} failed; whole log: {path}")
    return text if code == 0 else ""


def changes(text: str) -> dict[str, int]:
    """How many tasks changed something, by host."""
    found = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", text, re.MULTILINE)
    return {host: int(count) for host, count in found}


# -- what clients see


def handshake(host: str, port: int, token: str, preamble: bytes = b"") -> Any:
    """The gate's answer."""
    from lib import wire

    endpoint = wire.Endpoint(host=host, port=port, server_name=NAME, ca_path=CERTIFICATES / "ca.pem")
    request = wire.Request(path="/wss", host=NAME).origin(ORIGIN)
    return wire.handshake(endpoint, request.token(token) if token else request, timeout=20, preamble=preamble)


def status(token: str) -> int:
    """By the address; 0 for no answer at all."""
    from lib import wire

    try:
        with handshake(vip(), 443, token) as reply:
            return int(reply.status)
    except (OSError, wire.WireError):
        return 0


def status_at(gate: str, token: str) -> int:
    """Of one gate, asked from itself; 0 for no answer at all."""
    found = docker("exec", "--interactive", container(gate), "python3", "-c", KNOCK, check=False, text=token)
    return int(found.stdout.strip() or 0) if found.returncode == 0 else 0


@dataclass
class Front:
    """Open sessions and states of gates, as both balancers have them."""

    sessions: dict[str, int]
    states: dict[str, list[str]]

    def shown(self) -> str:
        """Of gates that get sessions: those of a dead one stand there until their clients have gone."""
        return ", ".join(
            f"{count} on {gate}"
            for gate, count in sorted(self.sessions.items())
            if any(state.startswith("UP") for state in self.states[gate])
        )


def front() -> Front:
    found = Front({}, {})
    for host in ports():
        for gate, (count, state) in json.loads(docker("exec", container(host), "python3", "-c", STATE).stdout).items():
            found.sessions[gate] = found.sessions.get(gate, 0) + count
            found.states.setdefault(gate, []).append(state)
    return found


def holders() -> list[str]:
    """The balancers that have the address: one, unless they do not reach each other."""
    return [host for host in ports() if f" {vip()}/" in docker("exec", container(host), "ip", "-4", "address").stdout]


def holder() -> str:
    """The balancer that has the address."""
    return next(iter(holders()), "")
