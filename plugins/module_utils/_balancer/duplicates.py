# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host that is no balancer has an address already that is to move between balancers.

keepalived takes an address whoever has it. Clients would reach now one of the two hosts, now the other.
"""

from __future__ import annotations

import socket
import struct
import time
import typing as t

from .error import BalancerError

TRIES, PAUSE = 3, 0.3
_ETH_P_ARP, _REQUEST, _REPLY = 0x0806, 1, 2
_EVERYBODY = b"\xff" * 6


def owner(address: str, interface: str) -> str:
    """The hardware address of the host that has an IPv4 address, asked for by ARP as RFC 5227 has it; none where
    nobody answers.
    """
    wanted = socket.inet_aton(address)
    try:
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ARP))
    except OSError as error:
        raise BalancerError(f"nobody could be asked for {address}: {error.strerror}") from error
    with link:
        try:
            link.bind((interface, _ETH_P_ARP))
        except OSError as error:
            raise BalancerError(f"nobody could be asked for {address} on {interface}: {error.strerror}") from error
        own = link.getsockname()[4]
        head = _EVERYBODY + own + struct.pack("!H", _ETH_P_ARP) + struct.pack("!HHBBH", 1, 0x0800, 6, 4, _REQUEST)
        for _number in range(TRIES):
            link.send(head + own + b"\0" * 4 + b"\0" * 6 + wanted)
            end = time.monotonic() + PAUSE
            while time.monotonic() < end:
                link.settimeout(max(0.001, end - time.monotonic()))
                try:
                    frame = link.recv(128)
                except socket.timeout:
                    break
                if len(frame) < 42:
                    continue
                (operation,) = struct.unpack("!H", frame[20:22])
                sender, claimed = frame[22:28], frame[28:32]
                if operation == _REPLY and claimed == wanted and sender != own:
                    return sender.hex(":")
    return ""


def refuse(addresses: t.Sequence[t.Mapping[str, str]], peers: t.Sequence[str]) -> None:
    """Raise BalancerError where somebody else than one of the other balancers answers for an address."""
    for entry in addresses:
        found = owner(entry["address"], entry["interface"])
        if found and found not in [owner(peer, entry["interface"]) for peer in peers]:
            raise BalancerError(
                f"address {entry['address']} is taken: the host with the hardware address {found} answers for it on "
                f"{entry['interface']}, and it is no balancer; nothing was changed. Name a free address, or take it "
                "from that host"
            )
