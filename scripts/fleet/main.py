# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole fleet in containers of this machine, shown at work: main.py up|absent|test"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import machine
import show
from machine import FleetError, docker, say


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One at a time."""
    machine.LOGS.mkdir(parents=True, exist_ok=True)
    with (machine.LOGS / "fleet.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetError("Another `make fleet` or `make fleet-absent` is at work") from None
        yield


def start_containers(there: dict) -> bool:
    """Whether something had to be started."""
    missing = [host for host in machine.IMAGES if host not in there]
    stopped = [host for host, one in there.items() if not one["State"]["Running"] or one["State"]["Paused"]]
    if not missing and not stopped:
        return False
    if missing:
        # What is left of another fleet's start does not count.
        if not there:
            machine.settings().unlink(missing_ok=True)
        machine.check_ports(missing)
        has_network = docker("network", "inspect", machine.NETWORK, check=False).returncode == 0
        if not has_network:
            machine.check_network()
        say("Images of Debian 12, 13 and 14 with systemd (the first time some minutes)")
        subprocess.run([str(machine.ROOT / "scripts" / "images.sh"), "12", "13", "14"], check=True)
        if not has_network:
            subnet = machine.network()
            docker(
                *("network", "create", f"--label={machine.LABEL}={machine.ROOT}", f"--subnet={subnet}"),
                *(f"--gateway={subnet[1]}", machine.NETWORK),
            )
    say(
        "Starting containers: three gates (Debian 12, 13 and 14), three hosts of the hub, two balancers"
        if len(missing) == len(machine.IMAGES)
        else f"Starting {', '.join([*missing, *stopped])}"
    )
    machine.keep_settings()
    for host in missing:
        machine.run_container(host)
    for host in stopped:
        command = "unpause" if there[host]["State"]["Paused"] else "start"
        docker(command, machine.container(host))
    for host in [*missing, *stopped]:
        machine.wait_for(f"{host} boots", lambda host=host: machine.has_booted(host))
    return True


def up() -> None:
    machine.check_docker()
    there = machine.containers()
    machine.check_checkout(there)
    shown = json.loads(machine.SHOWN.read_text()) if machine.SHOWN.exists() else {}
    has_started = start_containers(there)
    ids = {host: one["Id"] for host, one in machine.containers().items()}
    if shown.get("containers") != ids:
        machine.SHOWN.unlink(missing_ok=True)
        machine.write_files()
        machine.write_overlay()
        say("Putting an application behind each gate: an echo server")
        machine.play("application", machine.PLAYBOOKS / "application.yml")
        say("Deploying the fleet: ansible-playbook -i examples/fleet/inventory.yml wssgate.nginx.site (some minutes)")
        machine.play("site", "wssgate.nginx.site")
        show.run()
        machine.SHOWN.write_text(json.dumps({"containers": ids}))
    elif has_started:
        say("What was stopped runs again; a gate takes sessions once it has caught up with the hub")
    else:
        say("The fleet runs already; nothing was changed")
    print(show.next_steps(), flush=True)


def absent() -> None:
    """Take everything away, in whatever state it is."""
    if shutil.which("docker"):
        machine.check_docker()
        if ids := docker("ps", "--all", "--quiet", "--filter", f"label={machine.LABEL}").stdout.split():
            say(f"Removing {len(ids)} containers")
            docker("rm", "--force", "--volumes", *ids)
        for one in docker("network", "ls", "--quiet", "--filter", f"label={machine.LABEL}").stdout.split():
            say("Removing their network")
            docker("network", "rm", one)
    if machine.FOLDER.exists():
        say("Removing their files")
        shutil.rmtree(machine.FOLDER)
    say("There is no fleet on this machine")


def test() -> None:
    """The whole of it, from nothing to nothing."""
    absent()
    up()
    before = {host: one["State"]["StartedAt"] for host, one in machine.containers().items()}
    start = time.monotonic()
    up()
    if (seconds := time.monotonic() - start) > 20:
        raise FleetError(f"A second `make fleet` took {seconds:.0f} seconds")
    if before != {host: one["State"]["StartedAt"] for host, one in machine.containers().items()}:
        raise FleetError("A second `make fleet` has restarted something")
    say("Running site once more: nothing is to change")
    text = machine.play("site-again", "wssgate.nginx.site")
    if (counts := machine.changes(text)) != dict.fromkeys(machine.IMAGES, 0):
        raise FleetError(f"A second run of site changed something: {counts}")
    say("Running check: nothing is to be wrong")
    machine.play("check", "wssgate.nginx.check")
    show.change_is_taken_back()
    show.roll_is_interrupted()
    show.order_is_left_behind()
    show.hub_fails_over()
    show.address_moves()
    absent()
    absent()


def main() -> int:
    commands = {"up": up, "absent": absent, "test": test}
    try:
        with locked():
            commands[sys.argv[1]]()
    except FleetError as error:
        print(f"== {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"== {error.cmd[0]} failed, see above", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("== Stopped; `make fleet` goes on, `make fleet-absent` takes all away", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
