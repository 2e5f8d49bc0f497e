# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer in front of the gates of a fleet on this machine: the HAProxy that role balancer renders, killed and
started by a test. Which gate took a session, the gate's answer tells.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .local_balancer import LocalBalancer, haproxy_binary
from .local_gate import free_port
from .processes import is_running, wait_for

# Who connects to a gate from this machine
OWN_ADDRESS = "127.0.0.1"
HEADER = "X-Gate"


def is_installed() -> bool:
    """Whether there is a HAProxy; make chaos fetches one."""
    return haproxy_binary() is not None


def address(number: int) -> str:
    """Of a gate's listener for the balancer."""
    return f"127.77.0.{number + 1}"


def listener(number: int, port: int) -> dict[str, Any]:
    return {"address": address(number), "port": port, "tls": False, "proxy_protocol": True}


def header_of(name: str) -> str:
    """A directive by which a gate names itself, in whatever it answers."""
    return f"add_header {HEADER} {name} always;"


def gate_of(head: bytes) -> str:
    """The gate that answered; '' where nobody has."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _colon, value = line.partition(":")
        if name.lower() == HEADER.lower():
            return value.strip()
    return ""


class Front:
    """HAProxy before the gates, all of which have a listener for it at this port."""

    def __init__(self, gates: Sequence[str], gate_port: int, check: Mapping[str, str]) -> None:
        self.gates, self.port = list(gates), free_port()
        self.balancer = LocalBalancer(
            OWN_ADDRESS,
            balancer_services=[{"name": "gate", "port": self.port, "gate_port": gate_port, "tls": False, **check}],
            balancer_gates=[{"name": name, "address": address(number)} for number, name in enumerate(gates)],
            balancer_check_interval=1, balancer_check_fall=2, balancer_check_rise=1, balancer_slow_start=0,
            balancer_max_connections=2000,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self) -> Iterator[Front]:
        with self.balancer:
            yield self

    def kill(self) -> None:
        """All its processes at once, as a power cut does; kernel and clients are told by the kernel alone."""
        family = self.balancer.family()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, family)))
        self.balancer.pid_file.unlink(missing_ok=True)

    def start(self) -> None:
        self.balancer.settings().haproxy.activate(restart=False, seconds=20)

    def takes(self) -> bool:
        """Whether some gate gets sessions."""
        with contextlib.suppress(OSError, LookupError, ValueError):
            return any(self.balancer.state(gate) == "up" for gate in self.gates)
        return False
