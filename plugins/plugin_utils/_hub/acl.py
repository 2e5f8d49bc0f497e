# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may what in the hub: its users and their rules, for Redis 7.0 and newer and for Valkey.

Nothing is allowed but what stands here. A command outside of these, such as CONFIG, EVAL, KEYS, SCAN, FLUSHALL or DEL,
nobody may use. AUTH, HELLO, RESET and QUIT need no rights.
"""

from __future__ import annotations

import typing as t

from ...module_utils._hub import keys

MONITOR = "monitor"
EXPORTER = "exporter"
REPLICA = "replica"
SENTINEL = "sentinel"

# What changes nothing, of the streams and hashes that there are
READ = (
    *("exists", "type", "hget", "hgetall", "hlen", "hmget", "hscan"),
    *("xinfo|stream", "xlen", "xrange", "xread", "xrevrange"),
)
# The hub's clock, its run id and its position; many at once, each of which is checked; and whether replicas have it
ABOUT = ("ping", "time", "info", "wait", "multi", "exec", "discard")
# How a client finds the primary
DISCOVER = (
    "ping",
    *(f"sentinel|{word}" for word in ("get-master-addr-by-name", "master", "masters", "replicas", "sentinels")),
    *("sentinel|slaves", "subscribe", "psubscribe"),
)
# As the documentation of Sentinel has it for Redis 6.2 and newer
FAILOVER = (
    *("multi", "slaveof", "replicaof", "ping", "exec", "subscribe", "config|rewrite", "role", "publish", "info"),
    *("client|setname", "client|kill", "script|kill"),
)


class User(t.NamedTuple):
    """A user: its name, and its rules but for the password."""

    name: str
    rules: str


def rules(commands: t.Sequence[str], *patterns: str, channels: str = "") -> str:
    """Rules that allow these commands on these keys."""
    words = [f"&{channels}"] if channels else []
    return " ".join([*patterns, *words, *(f"+{command}" for command in commands)])


def selector(commands: t.Sequence[str], pattern: str) -> str:
    """Rules beside the others: these commands on these keys."""
    return f"({rules(commands, pattern)})"


def gate(fleet: str, name: str) -> User:
    """A gate reads all, writes what is its own, and trims what issuers appended."""
    return User(
        keys.gate_user(name),
        " ".join(
            [
                rules((*ABOUT, *READ), f"%R~{keys.prefix(fleet)}*"),
                selector(("hset", "hdel"), f"%W~{keys.gate(fleet, name)}"),
                selector(("xadd", "xtrim"), f"%W~{keys.revoked(fleet, name)}"),
                selector(("xtrim",), f"%W~{keys.issue(fleet, '*')}"),
            ]
        ),
    )


def operator(fleet: str) -> User:
    """Operators issue, revoke and cut off."""
    return User(
        keys.OPERATOR,
        " ".join(
            [
                rules((*ABOUT, *READ), f"%R~{keys.prefix(fleet)}*"),
                selector(("xadd", "xtrim"), f"%W~{keys.operate(fleet)}"),
                selector(("hset", "hsetnx", "hdel"), f"%W~{keys.standing(fleet)}"),
            ]
        ),
    )


def issuer(fleet: str, name: str) -> User:
    """An issuer appends to its stream."""
    return User(keys.issuer_user(name), rules(("xadd", "ping"), f"%W~{keys.issue(fleet, name)}"))


def monitor() -> User:
    """Who only looks how the server is; no key."""
    return User(MONITOR, rules(("info", "ping")))


def exporter() -> User:
    """Who turns the server's own figures into metrics; no key, and no command but INFO."""
    return User(EXPORTER, rules(("info",)))


def replica() -> User:
    """A replica, as its primary knows it."""
    return User(REPLICA, rules(("psync", "replconf", "ping")))


def sentinel() -> User:
    """A Sentinel, as a server knows it."""
    return User(SENTINEL, rules(FAILOVER, channels="__sentinel__:hello"))


def sentinel_peer() -> User:
    """A Sentinel, as another one knows it."""
    return User(
        SENTINEL, rules(("ping", "info", "auth", "hello", "publish", "sentinel"), channels="__sentinel__:hello")
    )


def discoverer(name: str) -> User:
    """A user of the servers, as a Sentinel knows it."""
    # Whether the Sentinels could agree is for those who watch over them.
    return User(name, rules((*DISCOVER, *(("sentinel|ckquorum",) if name == MONITOR else ())), channels="*"))


def line(user: User, hashes: t.Sequence[str]) -> str:
    """A user's line of the file of users; one without a password that could be right stays off."""
    passwords = " ".join(f"#{one}" for one in hashes)
    state = f"on {passwords}" if hashes else "off"
    # No pattern or channel but those that follow; and no command.
    return f"user {user.name} {state} resetkeys resetchannels -@all {user.rules}"


# Nobody is let in without a name.
NOBODY = "user default off resetpass resetkeys resetchannels -@all"
