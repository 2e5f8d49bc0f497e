# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service tells systemd about itself (sd_notify(3)). Without systemd nobody is told."""

from __future__ import annotations

import os
import socket
import typing as t


def notify(*lines: str) -> bool:
    """Send lines such as ``READY=1``; return whether there is somebody to send them to."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.connect(address)
            sender.sendall("\n".join(lines).encode("utf-8"))
        except OSError:
            return False
    return True


def watchdog_interval() -> t.Optional[float]:
    """Seconds within which systemd wants to hear ``WATCHDOG=1`` again; None where it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
