# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ansible-core is tried on which Python, against which hosts, and what is left out for which reason."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Python of the containers' own, by Debian release
DEBIAN_PYTHONS = {"11": "3.9", "12": "3.11", "13": "3.13", "14": "3.14"}
# What modules and their utilities are for
MODULE_PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
# The one that is tried on every host system, and the one that knows the oldest Pythons of hosts and is still maintained
MAIN, OLDEST_HOSTS = "2.21", "2.18"
PRE_RELEASE = "pre-release"


@dataclass(frozen=True)
class Core:
    """A minor version of ansible-core."""

    name: str
    requirement: str
    # Those that it runs on, the wanted ones first. What it does not support pip refuses.
    pythons: tuple[str, ...]
    # The Debian releases of the hosts that it deploys to
    hosts: tuple[str, ...]
    # Also by the Docker connection, which is a collection of its own
    is_docker: bool = False


CORES = (
    Core("2.16", "ansible-core~=2.16.0", ("3.10", "3.11", "3.12"), ("12",)),
    Core("2.18", "ansible-core~=2.18.0", ("3.11", "3.12", "3.13"), ("13",)),
    Core("2.19", "ansible-core~=2.19.0", ("3.12", "3.11", "3.13"), ("12",), is_docker=True),
    Core("2.20", "ansible-core~=2.20.0", ("3.12", "3.13", "3.14"), ("13",)),
    Core(MAIN, f"ansible-core~={MAIN}.0", ("3.14", "3.13", "3.12"), ("11", "12", "13", "14")),
    Core(PRE_RELEASE, f"ansible-core>{MAIN}.999", ("3.13", "3.14"), ("13",)),
)


def core_of(version: str) -> str:
    """Whose row it is, by a version such as 2.21.3 or a name; empty where no row is of it."""
    names = [core.name for core in CORES]
    minor = ".".join(version.split(".")[:2])
    if minor in names:
        return minor
    is_newer = tuple(int(part) for part in re.findall(r"\d+", minor)) > tuple(int(part) for part in MAIN.split("."))
    return PRE_RELEASE if is_newer else ""


@dataclass(frozen=True)
class Interpreter:
    """A Python: a program of this machine, or one in a container of a Debian release."""

    version: str
    program: str = ""
    release: str = ""

    @property
    def place(self) -> str:
        return f"Debian {self.release}" if self.release else "this machine"


def works(program: str, version: str) -> bool:
    """Whether it is that Python, and one that can make virtual environments."""
    question = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run(
            [program, "-c", question], capture_output=True, text=True, timeout=20, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found == version


def on_this_machine(versions: tuple[str, ...] = MODULE_PYTHONS) -> dict[str, Interpreter]:
    """By version: those in PATH, of pyenv and of uv."""
    found = {}
    for version in versions:
        homes = [Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"]
        programs = [shutil.which(f"python{version}") or ""]
        for home in homes:
            programs += sorted(str(path) for path in home.glob(f"*{version}*/bin/python{version}"))
        program = next((one for one in programs if one and works(one, version)), "")
        if program:
            found[version] = Interpreter(version, program=program)
    return found


def choose(core: Core, machine: Mapping[str, Interpreter]) -> Interpreter | None:
    """The first of the wanted ones that this machine has, or a container."""
    containers = {version: Interpreter(version, release=release) for release, version in DEBIAN_PYTHONS.items()}
    return next((found for one in core.pythons if (found := machine.get(one) or containers.get(one))), None)


def pythons_of_hosts_alone(machine: Mapping[str, Interpreter]) -> list[str]:
    """Those that no controller runs on, whose unit tests would be those of modules, too."""
    chosen = {found.version for core in CORES if (found := choose(core, machine))}
    return [version for version in MODULE_PYTHONS if version not in chosen]


def excess_of_the_host(release: str, target_pythons: tuple[str, ...]) -> str:
    """Why a version does not manage hosts of a Debian release; nothing where it does."""
    version = DEBIAN_PYTHONS[release]
    if version in target_pythons:
        return ""
    return f"manages hosts with Python {target_pythons[0]} to {target_pythons[-1]}; Debian {release} has {version}"
