# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP connections of this host, listed and closed by ``ss`` of iproute2."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import typing as t

from .._host.error import HostError
from .._host.run import ProgramError, run

# For each call the kernel goes through all connections. Of IPv6 ones 200 make a filter of some 15 KiB; it takes 64.
FILTERS_A_CALL = 200
# From here on one listing of all connections is cheaper.
PAIRS_ASKED_FOR = 400
STATES = ("established", "close-wait", "fin-wait-1", "fin-wait-2")
SS_TIMEOUT = 20
# A million connections, a line each. A list that is cut would pass for one without the rest.
SS_OUTPUT = 128 << 20

Address = t.Tuple[str, int]
Pair = t.Tuple[Address, Address]  # the gate's end and the client's end of a connection

_ESTABLISHED = "ESTAB"
# Spelled in one way only. ipaddress takes many times as long.
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}\Z")
_COUNT = re.compile(r"\bbytes_(sent|received):([0-9]{1,20})(?=\s|\Z)")


class Connection(t.NamedTuple):
    """A connection with both ends as ss writes them, and what has passed through it where the kernel counts that."""

    ends: t.Tuple[str, str]
    is_established: bool
    bytes_received: t.Optional[int] = None
    bytes_sent: t.Optional[int] = None


class SocketError(HostError):
    """The kernel's sockets cannot be listed or closed."""


# Reading an address takes longer than all else that a line of the session log needs, and most come again.
@functools.lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """One spelling for each address: no brackets, no interface, IPv4 also where it came over an IPv6 socket."""
    if _IPV4.match(text):
        return text
    address = ipaddress.ip_address(text.replace("[", "").replace("]", "").partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def end_of(address: str, port: str) -> Address:
    number = int(port)
    if not 0 <= number <= 65535:
        # One such number in a filter, and ss refuses the whole of it.
        raise ValueError("no port has this number")
    return plain_address(address), number


def _ss(arguments: t.Sequence[str]) -> t.Tuple[str, str]:
    try:
        done = run(["ss", "--no-header", "--tcp", "--numeric", *arguments], SS_TIMEOUT, SS_OUTPUT)
    except ProgramError as error:
        if error.is_missing:
            raise SocketError("ss is not installed (package iproute2, on EL iproute)") from None
        raise SocketError(str(error)) from None
    errors = done.errors.strip()
    if done.status != 0:
        # No line from a program that failed is not the same as no connection.
        raise SocketError(f"ss failed with {done.status}: {(errors.splitlines() or ['no words'])[-1]}")
    return done.output, errors


def _states() -> t.List[str]:
    return [word for state in STATES for word in ("state", state)]


def parse_sockets(text: str) -> t.Dict[Pair, t.Tuple[str, str]]:
    """Each connection with both ends as ss writes them, which is how it wants them back."""
    found: t.Dict[Pair, t.Tuple[str, str]] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        # Without options for details the two ends come last.
        local, peer = fields[-2:]
        with contextlib.suppress(ValueError):
            pair = (end_of(*local.rsplit(":", 1)), end_of(*peer.rsplit(":", 1)))
            found[pair] = (local, peer)
    return found


def parse_connections(text: str) -> t.Dict[Pair, Connection]:
    """The same with details: what ss has to say of a connection stands on the lines below it, which are indented."""
    found: t.Dict[Pair, Connection] = {}
    pair: t.Optional[Pair] = None
    for line in text.splitlines():
        if line[:1] not in (" ", "\t"):
            pair = None
            # State, two queues, and the ends; what else there may be comes behind them.
            fields = line.split()
            if len(fields) < 5:
                continue
            with contextlib.suppress(ValueError):
                pair = (end_of(*fields[3].rsplit(":", 1)), end_of(*fields[4].rsplit(":", 1)))
                found[pair] = Connection((fields[3], fields[4]), fields[0] == _ESTABLISHED)
        if pair is not None and "bytes_" in line:
            for name, number in _COUNT.findall(line):
                if name == "received":
                    found[pair] = found[pair]._replace(bytes_received=int(number))
                else:
                    found[pair] = found[pair]._replace(bytes_sent=int(number))
    return found


def connections(ports: t.Iterable[int]) -> t.Dict[Pair, Connection]:
    """The connections to these ports, all by one call."""
    condition = _to_ports(ports)
    return parse_connections(_answer(["--info", *_states(), condition])) if condition else {}


def live_sockets(ports: t.Iterable[int]) -> t.Dict[Pair, t.Tuple[str, str]]:
    condition = _to_ports(ports)
    return _listed(condition) if condition else {}


def _to_ports(ports: t.Iterable[int]) -> str:
    return " or ".join(f"sport = :{port}" for port in sorted(set(ports)))


def _listed(condition: str) -> t.Dict[Pair, t.Tuple[str, str]]:
    return parse_sockets(_answer([*_states(), condition]))


def _answer(arguments: t.Sequence[str]) -> str:
    output, errors = _ss(arguments)
    if errors and not output:
        # In a container without cgroup2 ss complains and still answers.
        lines = [line for line in errors.splitlines() if "cgroup" not in line]
        if lines:
            raise SocketError(f"ss: {lines[-1]}")
    return output


def live_pairs(pairs: t.Collection[Pair]) -> t.Dict[Pair, t.Tuple[str, str]]:
    """Those of these connections that are up. Of few only these are asked for: a busy gate has many others."""
    if len(pairs) > PAIRS_ASKED_FOR:
        return live_sockets({local[1] for local, _peer in pairs})
    found: t.Dict[Pair, t.Tuple[str, str]] = {}
    wanted = sorted({(local[1], peer[1]) for local, peer in pairs})
    for start in range(0, len(wanted), FILTERS_A_CALL):
        some = wanted[start : start + FILTERS_A_CALL]
        # By the ports alone: ss writes one address in several ways.
        found.update(_listed(" or ".join(f"( sport = :{local} and dport = :{peer} )" for local, peer in some)))
    return {pair: ends for pair, ends in found.items() if pair in pairs}


def close_sockets(ends: t.Sequence[t.Tuple[str, str]]) -> str:
    """Have the kernel reset these connections; return what ss complained about."""
    complaints: t.List[str] = []
    for start in range(0, len(ends), FILTERS_A_CALL):
        some = ends[start : start + FILTERS_A_CALL]
        condition = " or ".join(f"( src {_bare(local)} and dst {_bare(peer)} )" for local, peer in some)
        _output, errors = _ss(["--kill", *_states(), condition])
        complaints += [line for line in errors.splitlines() if "cgroup" not in line]
    return complaints[-1] if complaints else ""


def _bare(end: str) -> str:
    """Without the interface, which ss prints but does not take back everywhere."""
    address, port = end.rsplit(":", 1)
    return f"[{address.strip('[]').partition('%')[0]}]:{port}" if ":" in address else end
