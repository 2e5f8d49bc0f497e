# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server is like, whether it can be a hub, and whether a user may there what he has to and no more."""

from __future__ import annotations

import typing as t

from . import keys
from .connection import Connection, Refused, Reply, number

LEAST = 7
GATE, OPERATOR, ISSUER, MONITOR = "gate", "operator", "issuer", "monitor"
# Where who has not got the right gets NOPERM, and who has it an error, or an answer, without any change
PROBE = "wssgate-rights"


class Check(t.NamedTuple):
    """A command that changes nothing, and whether the user must or must not be allowed to use it."""

    words: t.Tuple[str, ...]
    is_allowed: bool

    def shown(self) -> str:
        return " ".join(self.words[:2])


def facts(info: t.Mapping[str, str]) -> t.Dict[str, t.Any]:
    """What the module returns of INFO."""
    return {
        "engine": "valkey" if info.get("valkey_version") else "redis",
        "version": info.get("valkey_version") or info.get("redis_version", ""),
        "run_id": info.get("run_id", ""),
        # As the engines and their tools have it
        "role": "primary" if info.get("role") == "master" else "replica",
        "replicas": sum(
            1 for name, value in info.items() if name.startswith("slave") and "state=online" in value.split(",")
        ),
        "is_linked": info.get("role") == "master" or info.get("master_link_status") == "up",
        "clients": number(info, "connected_clients"),
        "memory_used": number(info, "used_memory"),
        "memory_limit": number(info, "maxmemory"),
        "eviction": info.get("maxmemory_policy", ""),
        "is_loading": info.get("loading", "0") != "0",
        "has_append_only_file": info.get("aof_enabled") == "1",
        "has_snapshots": info.get("rdb_last_save_time", "0") != "0",
        "writes_fail": info.get("aof_last_write_status", "ok") != "ok" or (
            info.get("aof_last_bgrewrite_status", "ok") != "ok"
        ),
        "uptime": number(info, "uptime_in_seconds"),
    }  # fmt: skip


def certificate_problem(where: str, end: int, days: int, now: float) -> str:
    """What is wrong with a certificate that ends within so many days; empty where nothing is."""
    left = (end - now) / 86400
    if left >= days:
        return ""
    return (
        f"{where} has a certificate that ends in {max(left, 0):.1f} days, and nobody reaches the hub then: have it "
        "renewed, which playbook site does for the hosts of wss_hubs in its last 30 days"
    )


def server_problems(where: str, found: t.Mapping[str, t.Any]) -> t.List[str]:
    """Why this server cannot be a hub, or will not be one for long; one sentence each, with what to do."""
    problems = []
    version = str(found["version"])
    # Valkey begins with 7.2
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < LEAST:
        problems.append(
            f"{where} is {found['engine']} {version or 'of an unknown version'}, and a hub needs {LEAST}.0 or newer, "
            "which has selectors for its users: upgrade it, or name another server"
        )
    if not found["has_append_only_file"]:
        problems.append(
            f"{where} has no append-only file, so that a crash loses tokens and revocations: set appendonly yes there"
        )
    if found["eviction"] != "noeviction":
        problems.append(
            f"{where} throws keys away when its memory is full (maxmemory-policy {found['eviction'] or 'unknown'}), "
            "and with them revocations: set maxmemory-policy noeviction there"
        )
    if found["writes_fail"]:
        problems.append(f"{where} cannot write its append-only file: see its log and the space on its disk")
    if found["memory_limit"] and found["memory_used"] >= 0.9 * found["memory_limit"]:
        share = 100 * found["memory_used"] // found["memory_limit"]
        problems.append(
            f"{where} uses {share} % of its memory and soon takes no entry any more: give it more (token_hub_memory, "
            "or maxmemory of a server of your own), or see which issuer writes so much"
        )
    if not found["is_linked"]:
        problems.append(f"{where} is a replica that has lost its primary")
    return problems


def checks(kind: str, fleet: str, name: str) -> t.List[Check]:
    """What a user of this kind has to be able to do, and some of what he must not."""
    mine = keys.gate(fleet, name)
    issuers = keys.issue(fleet, PROBE)
    id_zero = ("NOMKSTREAM", "0-0", "probe", "1")
    # A fields' value is missing, a number is none, an id cannot be: what comes after the check of rights.
    appends = {
        key: ("XADD", key, *id_zero)
        for key in (keys.operate(fleet), keys.revoked(fleet, name), keys.revoked(fleet, PROBE), issuers)
    }
    writes = {key: ("HSET", key, "a", "1", "b") for key in (mine, keys.standing(fleet), keys.gate(fleet, PROBE))}
    trims = {key: ("XTRIM", key, "MAXLEN", "none") for key in (issuers, keys.operate(fleet))}
    reads = [
        ("XREAD", "COUNT", "1", "STREAMS", keys.operate(fleet), "0-0"),
        ("HGET", keys.standing(fleet), PROBE),
        ("HGETALL", mine if kind == GATE else keys.gate(fleet, PROBE)),
        ("XREVRANGE", issuers, "+", "-", "COUNT", "1"),
    ]
    about = [("PING",), ("TIME",), ("INFO", "server")]
    never = [
        ("SET", keys.prefix(fleet) + PROBE, "1", "none"),
        ("EVAL", "return 1", "0"),
        ("CONFIG", "GET", "save"),
        ("ACL", "LIST"),
    ]
    allowed: t.List[t.Tuple[str, ...]] = []
    if kind == GATE:
        allowed = [*about, *reads, writes[mine], appends[keys.revoked(fleet, name)], trims[issuers]]
    elif kind == OPERATOR:
        allowed = [*about, *reads, appends[keys.operate(fleet)], writes[keys.standing(fleet)]]
        never += [appends[keys.revoked(fleet, name)], writes[mine]]
    elif kind == ISSUER:
        stream = keys.issue(fleet, name)
        allowed = [("PING",), ("XADD", stream, *id_zero)]
        never += [*reads, ("XREVRANGE", stream, "+", "-", "COUNT", "1"), ("XTRIM", stream, "MAXLEN", "none")]
    elif kind == MONITOR:
        allowed = [("PING",), ("INFO", "server")]
        never += reads
    never += [words for words in (*appends.values(), *writes.values(), *trims.values()) if words not in allowed]
    # An operator may trim what he appended; whether he does is nobody's harm.
    never = [words for words in never if not (kind == OPERATOR and words == trims[keys.operate(fleet)])]
    return [*(Check(words, True) for words in allowed), *(Check(words, False) for words in never)]


def _is_permitted(ask: t.Callable[..., Reply], words: t.Sequence[str]) -> bool:
    try:
        ask(*words)
    except Refused as error:
        return error.kind != "NOPERM"
    return True


def rights_problems(connection: Connection, kind: str, fleet: str, name: str) -> t.List[str]:
    """What the user of this connection may not though he has to, and may though he must not."""
    user = connection.endpoint.username
    found = [(check, _is_permitted(connection.ask, check.words)) for check in checks(kind, fleet, name)]
    lacks = [check.shown() for check, is_permitted in found if check.is_allowed and not is_permitted]
    exceeds = [check.shown() for check, is_permitted in found if is_permitted and not check.is_allowed]
    problems = []
    rules = "docs/hub.md has the rules of each user"
    if lacks:
        problems.append(f"user {user} lacks rights of {'an' if kind[0] in 'io' else 'a'} {kind} at "
                        f"{connection.endpoint.shown()}: {', '.join(lacks)}; {rules}")  # fmt: skip
    if exceeds:
        problems.append(f"user {user} may more than {'an' if kind[0] in 'io' else 'a'} {kind} must at "
                        f"{connection.endpoint.shown()}: {', '.join(exceeds)}; {rules}")  # fmt: skip
    return problems


def quorum_problem(connection: Connection, service: str) -> str:
    """Why the Sentinels could not agree on another primary; '' where they could, or this user may not ask."""
    try:
        connection.ask("SENTINEL", "CKQUORUM", service)
    except Refused as error:
        if error.kind == "NOQUORUM":
            return (
                f"the Sentinels of {service} could not make another server the primary ({str(error)[9:].strip()}): "
                "three of them have to run and reach each other, with a quorum of 2"
            )
        if error.kind != "NOPERM":
            return f"the Sentinel at {connection.endpoint.shown()} has no answer for {service}: {error}"
    return ""
