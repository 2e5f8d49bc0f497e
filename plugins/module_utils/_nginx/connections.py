# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the clients and the upstreams that nginx's workers are connected with.

A session has two ends in a worker: the client's, which counts, and the upstream's. /proc tells them apart. What a
client is connected to is an address that nginx listens on, or did: a worker that is shutting down has closed its
listeners.

Which process has which socket takes CAP_SYS_PTRACE to see, since workers have changed their account. Root in a
container may lack it. Then the account that a socket belongs to has to do, which may be a few too many, where others
share it, and never too few.
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct

from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Set, Tuple

_ESTABLISHED = "01"
_TIME_WAIT = "06"
_LISTENING = "0A"
_UNIX_CONNECTED = "03"
# Of /proc/sys/net/ipv4/ip_local_port_range, where it cannot be read.
_FIRST_EPHEMERAL, _LAST_EPHEMERAL = 32768, 60999


class Socket(NamedTuple):
    """A TCP socket of /proc/net/tcp or tcp6."""

    port: int
    state: str
    account: str
    inode: str
    address: str = ""
    peer: str = ""


class Clients(NamedTuple):
    """The clients of nginx: how many there are, and the addresses and ports where they reached it by TCP."""

    number: int
    ports: FrozenSet[Tuple[str, int]] = frozenset()


class Connections(NamedTuple):
    """The connections of nginx: its clients, and how many local ports it uses to each address and port elsewhere."""

    clients: Clients
    upstreams: Dict[Tuple[str, int], int] = {}


def _address(text: str) -> str:
    """An address of /proc/net/tcp: words of 32 bits in the machine's own order. IPv4 within IPv6 is IPv4."""
    words = struct.pack(f"={len(text) // 8}I", *(int(text[start : start + 8], 16) for start in range(0, len(text), 8)))
    address = ipaddress.ip_address(words)
    return str(getattr(address, "ipv4_mapped", None) or address)


def parse_tcp(text: str) -> List[Socket]:
    """Return what /proc/net/tcp lists."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            address, _colon, port = fields[1].rpartition(":")
            found.append(Socket(int(port, 16), fields[3], fields[7], fields[9], address, fields[2]))
    return found


def parse_unix(text: str) -> Set[str]:
    """Return the inodes of the connections that were accepted on a path; the other end of such a connection has no
    path.
    """
    found: Set[str] = set()
    for line in text.splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[5] == _UNIX_CONNECTED:
            found.add(fields[6])
    return found


def inodes(pid: int, proc: str = "/proc") -> Optional[Set[str]]:
    """Return the inodes of the sockets that a process has open, none when it is gone; nothing when that must not be
    seen.
    """
    folder = f"{proc}/{pid}/fd"
    found: Set[str] = set()
    try:
        names = os.listdir(folder)
    except PermissionError:
        return None
    except OSError:
        return found
    for name in names:
        try:
            socket = re.match(r"socket:\[([0-9]+)\]\Z", os.readlink(f"{folder}/{name}"))
        except PermissionError:
            return None
        except OSError:
            continue
        if socket:
            found.add(socket.group(1))
    return found


def accounts(pids: Iterable[int], proc: str = "/proc") -> Set[str]:
    """Return the numbers of the accounts that processes work as."""
    found = set()
    for pid in pids:
        line = re.search(r"^Uid:\s+[0-9]+\s+([0-9]+)", _read(f"{proc}/{pid}/status"), re.MULTILINE)
        if line:
            found.add(line.group(1))
    return found


def count(master: int, workers: Iterable[int], proc: str = "/proc") -> int:
    """Return how many clients are connected with ``workers``."""
    return clients(master, workers, proc).number


def clients(master: int, workers: Iterable[int], proc: str = "/proc") -> Clients:
    """Return the clients that are connected with ``workers``."""
    return connections(master, workers, proc).clients


def connections(master: int, workers: Iterable[int], proc: str = "/proc") -> Connections:
    """Return all connections of ``workers``."""
    pids = list(workers)
    folder = f"{proc}/{master}/net"
    sockets = parse_tcp(_read(folder + "/tcp")) + parse_tcp(_read(folder + "/tcp6"))
    ephemeral = ephemeral_ports(proc)[0]
    held = [inodes(pid, proc) for pid in pids]
    listeners = inodes(master, proc)
    over_unix = 0
    if listeners is None or None in held:
        accounts_of_ours = accounts(pids, proc)
        ports = {socket.port for socket in sockets if socket.state == _LISTENING}
        ours = [socket for socket in sockets if socket.account in accounts_of_ours]
    else:
        seen: Set[str] = set().union(*(found for found in held if found))
        ports = {socket.port for socket in sockets if socket.state == _LISTENING and socket.inode in listeners | seen}
        ours = [socket for socket in sockets if socket.inode in seen]
        over_unix = len(parse_unix(_read(folder + "/unix")) & seen)
    served: List[Socket] = []
    upstreams: Dict[str, int] = {}
    for socket in ours:
        if socket.port in ports or socket.port < ephemeral:
            if socket.state == _ESTABLISHED:
                served.append(socket)
        elif socket.state not in (_LISTENING, _TIME_WAIT):
            upstreams[socket.peer] = upstreams.get(socket.peer, 0) + 1
    found = _clients(served)
    return Connections(found._replace(number=found.number + over_unix), _peers(upstreams))


def _clients(sockets: Iterable[Socket]) -> Clients:
    found = {socket.inode: (socket.address, socket.port) for socket in sockets}
    return Clients(len(found), frozenset((_address(address), port) for address, port in set(found.values())))


def _peers(counts: Dict[str, int]) -> Dict[Tuple[str, int], int]:
    found: Dict[Tuple[str, int], int] = {}
    for peer, count_of_peer in counts.items():
        address, _colon, port = peer.rpartition(":")
        key = (_address(address), int(port, 16))
        found[key] = found.get(key, 0) + count_of_peer
    return found


def _read(path: str) -> str:
    try:
        with open(path, "r") as stream:
            return stream.read()
    except OSError:
        return ""


def ephemeral_ports(proc: str = "/proc") -> Tuple[int, int]:
    """Return the first and the last of the ports that connections from here get."""
    words = _read(f"{proc}/sys/net/ipv4/ip_local_port_range").split()
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
        return int(words[0]), int(words[1])
    return _FIRST_EPHEMERAL, _LAST_EPHEMERAL
