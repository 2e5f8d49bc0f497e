# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count the clients that nginx's workers are connected with.

A session has two ends in a worker: the client's, which counts, and the upstream's. /proc tells them apart. What a
client is connected to is an address that nginx listens on, or did: a worker that is shutting down has closed its
listeners.

Which process has which socket takes CAP_SYS_PTRACE to see, since workers have changed their account. Root in a
container may lack it. Then the account that a socket belongs to has to do, which may be a few too many, where others
share it, and never too few.
"""

from __future__ import annotations

import os
import re

from typing import Iterable, List, NamedTuple, Optional, Set

_ESTABLISHED = "01"
_LISTENING = "0A"
_UNIX_CONNECTED = "03"
# Of /proc/sys/net/ipv4/ip_local_port_range, where it cannot be read.
_FIRST_EPHEMERAL = 32768


class Socket(NamedTuple):
    """A TCP socket of /proc/net/tcp or tcp6."""

    port: int
    state: str
    account: str
    inode: str


def parse_tcp(text: str) -> List[Socket]:
    """Return what /proc/net/tcp lists."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            found.append(Socket(int(fields[1].rpartition(":")[2], 16), fields[3], fields[7], fields[9]))
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
    pids = list(workers)
    folder = f"{proc}/{master}/net"
    sockets = parse_tcp(_read(folder + "/tcp")) + parse_tcp(_read(folder + "/tcp6"))
    ephemeral = _first_ephemeral(_read(f"{proc}/sys/net/ipv4/ip_local_port_range"))
    held = [inodes(pid, proc) for pid in pids]
    listeners = inodes(master, proc)
    if listeners is None or None in held:
        ours = accounts(pids, proc)
        ports = {socket.port for socket in sockets if socket.state == _LISTENING}
        return len(
            {
                socket.inode
                for socket in sockets
                if socket.state == _ESTABLISHED
                and socket.account in ours
                and (socket.port in ports or socket.port < ephemeral)
            }
        )
    seen: Set[str] = set().union(*(found for found in held if found))
    ports = {socket.port for socket in sockets if socket.state == _LISTENING and socket.inode in listeners | seen}
    clients = {
        socket.inode
        for socket in sockets
        if socket.state == _ESTABLISHED and socket.inode in seen and (socket.port in ports or socket.port < ephemeral)
    }
    return len(clients) + len(parse_unix(_read(folder + "/unix")) & seen)


def _read(path: str) -> str:
    try:
        with open(path, "r") as stream:
            return stream.read()
    except OSError:
        return ""


def _first_ephemeral(text: str) -> int:
    words = text.split()
    return int(words[0]) if words and words[0].isdigit() else _FIRST_EPHEMERAL
