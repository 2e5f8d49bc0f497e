# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make fleet` says before it starts anything, and what `make fleet-absent` takes away."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "fleet"))
import machine  # noqa: E402 (they are programs beside each other, no package)
import main  # noqa: E402


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WSSGATE_FLEET_PORT", "WSSGATE_FLEET_NETWORK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "FOLDER", tmp_path / "fleet")
    monkeypatch.setattr(machine, "LOGS", tmp_path / "logs")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A docker that has two containers and a network of a fleet until they are removed; what it was asked."""
    log, left = tmp_path / "asked", tmp_path / "left"
    left.touch()
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
        echo "$*" >>{log}
        case $1$2 in
            ps*) [ ! -e {left} ] || echo one two ;;
            networkls) [ ! -e {left} ] || echo net ;;
            networkrm) rm {left} ;;
        esac
        """
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def test_the_example_has_the_hosts_that_are_started_and_their_addresses_move_as_a_whole() -> None:
    example, overlay = machine.example(), machine.overlay()
    groups = ("wss_proxies", "wss_hubs", "wss_balancers")
    assert sorted(host for group in groups for host in example[group]["hosts"]) == sorted(machine.IMAGES)
    addresses = [host["ansible_host"] for group in groups for host in overlay[group]["hosts"].values()]
    assert len({*addresses, machine.vip()}) == len(machine.IMAGES) + 1
    assert all(ipaddress.IPv4Address(one) in machine.network() for one in (*addresses, machine.vip()))
    assert len({machine.IMAGES[host] for host in example["wss_hubs"]["hosts"]}) == 1


def test_the_rolling_change_is_of_one_option() -> None:
    before = machine.example()["wss_proxies"]["vars"]["wss_proxy_servers"]
    after = machine.overlay(idle_timeout=300)["wss_proxies"]["vars"]["wss_proxy_servers"]
    assert after[0]["locations"][0].pop("idle_timeout") == 300
    assert after == before


def test_sessions_of_a_dead_gate_are_not_shown_as_if_it_got_any() -> None:
    found = machine.Front({"gate1": 7, "gate2": 3}, {"gate1": ["UP", "DOWN"], "gate2": ["DOWN", "DOWN"]})
    assert found.shown() == "7 on gate1"


def test_without_docker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(machine.FleetError, match="no command docker.*apt install docker.io"):
        machine.check_docker()


def test_an_engine_that_does_not_answer_is_named(asked: Path) -> None:
    Path(asked.parent / "bin" / "docker").write_text("#!/bin/sh\necho Cannot connect >&2; exit 1\n")
    with pytest.raises(machine.FleetError, match=r"No Docker Engine answers \(Cannot connect\)"):
        machine.check_docker()


def test_a_port_that_is_taken_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("WSSGATE_FLEET_PORT", str(port))
        with pytest.raises(machine.FleetError, match=rf"Port {port} of 127.0.0.1 .* make fleet PORT="):
            machine.check_ports(["front1"])
        # A container that is there has it by right.
        machine.check_ports(["gate1"])


@pytest.mark.parametrize("text", ["0", "65535", "web", "-1"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WSSGATE_FLEET_PORT", text)
    with pytest.raises(machine.FleetError, match="is no port with another one after it"):
        machine.ports()


def test_a_fleet_that_is_there_keeps_its_ports_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSGATE_FLEET_PORT", "9443")
    machine.keep_settings()
    monkeypatch.delenv("WSSGATE_FLEET_PORT")
    monkeypatch.setenv("WSSGATE_FLEET_NETWORK", "10.0.0.0/24")
    assert machine.ports() == {"front1": 9443, "front2": 9444}
    assert str(machine.network()) == "172.30.77.0/24"


@pytest.mark.parametrize("text", ["172.30.0.0/16", "172.30.77.5/24", "net"])
def test_a_network_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WSSGATE_FLEET_NETWORK", text)
    with pytest.raises(machine.FleetError, match=f"WSSGATE_FLEET_NETWORK={text}"):
        machine.network()


ROUTE = "eth0\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("target", "mask", "is_refused"),
    [
        # 0.0.0.0/0, which everything overlaps with
        ("00000000", "00000000", False),
        # 10.1.0.0/16
        ("0000010A", "0000FFFF", False),
        # 172.30.0.0/16
        ("00001EAC", "0000FFFF", True),
        # 172.30.77.0/24
        ("004D1EAC", "00FFFFFF", True),
    ],
)
def test_a_network_that_this_machine_is_in_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, mask: str, is_refused: bool
) -> None:
    routes = tmp_path / "route"
    routes.write_text("Iface\tDestination\n" + ROUTE.format(target, mask))
    monkeypatch.setattr(machine, "ROUTES", routes)
    if not is_refused:
        machine.check_network()
        return
    with pytest.raises(machine.FleetError, match="overlaps with .* of interface eth0"):
        machine.check_network()


def test_the_fleet_of_another_checkout_is_left_alone(asked: Path) -> None:
    there: dict[str, Any] = {"gate1": {"Config": {"Labels": {machine.LABEL: "/elsewhere"}}}}
    with pytest.raises(machine.FleetError, match="another checkout is there .*/elsewhere"):
        machine.check_checkout(there)


def test_all_is_taken_away_and_a_second_time_there_is_nothing_to_do(asked: Path) -> None:
    machine.FOLDER.mkdir()
    (machine.FOLDER / "token").touch()
    main.absent()
    text = asked.read_text()
    assert "rm --force --volumes one two" in text and "network rm net" in text
    assert all(f"label={machine.LABEL}" in line for line in text.splitlines() if line.startswith(("ps", "network ls")))
    assert not machine.FOLDER.exists()
    asked.unlink()
    main.absent()
    assert " rm " not in asked.read_text() and not asked.read_text().startswith("rm")
