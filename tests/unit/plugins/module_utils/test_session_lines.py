# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reader who asks for certain tokens passes over the lines about others, and finds what one finds who reads all."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path
from typing import Callable

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import log as session_log
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import (
    Ended,
    Wanted,
    end_sessions,
    signed_like,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.follow import Follower
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.lines import Sieve, Start
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Key, Log
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

ONE = "one-token-of-16-E"
TOKENS = (ONE, "two-token-of-16-S", "1234567890123456", "-")
CLIENTS = ("203.0.113.7", "203.0.113.8", "::ffff:203.0.113.7", "2001:db8::1", "unix:", "no-address", "10.0.0.300")
PORTS = (50001, 50002, 50003, 99999)
SIGNED_ID = "ab" * 32
REST = (
    "",
    " gate.example.com",
    " gate.example.com /wss -",
    " gate.example.com /wsS 3240-3600",
    f" gate.example.com /wss - {SIGNED_ID} 1800000000 alice%20K",
    " gate.example.com /wss - - - bob more",
)


def line(random_: random.Random, ends: dict[str, tuple[str, str]], starts: dict[str, str]) -> str:
    """A line about few workers, connections and ports, so that they meet.

    ``ends``: of each connection of a worker. ``starts``: the last start of each request. A line that is written again
    when the log is shortened is a copy of that.
    """
    connection = f"{random_.choice((700, 701))} {random_.randrange(4)}"
    key = f"{connection} {random_.randrange(1, 3)}"
    if random_.random() < 0.3:
        return f"E 1800000001.000 {key} {random_.choice(('101', '101', '499', '-'))}\n"
    client, port = ends.setdefault(connection, (random_.choice(CLIENTS), str(random_.choice(PORTS))))
    port = "-" if client == "unix:" else port
    kind = random_.choice("SSSK")
    if kind == "K" and key in starts:
        return kind + starts[key][1:]
    starts[key] = (
        f"{kind} 1800000000.123 {key} {client} {port} 192.0.2.1 443 198.51.100.9 "
        f"{random_.choice(TOKENS)}{random_.choice(REST)}\n"
    )
    return starts[key]


def torn(random_: random.Random, text: str) -> str:
    """The line, or a part of it without a line feed, as on a full disk, or with what nginx leaves in a sparse file."""
    chance = random_.random()
    if chance < 0.15:
        return text[: random_.randrange(1, len(text))]
    return "\0" * 3 + text if chance < 0.2 else text


def sessions_of(data: bytes, parts: int, wanted: Wanted | None) -> dict[Key, session_log.Session]:
    log = Log(concerns=None if wanted is None else wanted.concerns)
    for start in range(0, len(data), parts):
        log.feed(data[start : start + parts])
    return log.open


@pytest.mark.parametrize("seed", range(300))
def test_what_is_known_of_certain_tokens_is_what_a_reader_of_all_lines_knows(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_ = random.Random(seed)
    monkeypatch.setattr(session_log, "ENDS_KEPT", random_.choice((3, 50000)))
    ends: dict[str, tuple[str, str]] = {}
    starts: dict[str, str] = {}
    data = "".join(torn(random_, line(random_, ends, starts)) for _line in range(60)).encode() + b"\n"
    wanted = random_.choice((Wanted([ONE]), Wanted(fingerprints=[fingerprint(ONE)]), Wanted(until={ONE: 1e12})))
    parts = random_.choice((7, 100, len(data)))
    all_of_them = {key: one for key, one in sessions_of(data, parts, None).items() if wanted.covers(one)}
    found = {key: one for key, one in sessions_of(data, parts, wanted).items() if wanted.covers(one)}
    assert found == all_of_them


def test_a_torn_line_is_read_with_care_wherever_it_is_torn() -> None:
    sieve = Sieve(lambda _token, _id: False)
    other = f"S 1800000000.123 700 1 1 unix:E - unix:/run/a.S - 198.51.100.S {TOKENS[1]} gate.S /wsS 1-2 - 1 aliceS"
    ends = "E 1800000001.000 700 2 1 101"
    assert sieve.unconcerned(other.encode()) == ("S", b"700 1 1")
    assert sieve.unconcerned(ends.encode()) == ("E", b"700 2 1")
    for whole in (other, ends):
        for length in range(1, len(whole)):
            for behind in (other, ends):
                assert sieve.unconcerned((whole[:length] + behind).encode()) is None, (whole[:length], behind)


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with two thousand sessions, one of them of the token; the kernel has that one."""
    pair = (("192.0.2.1", 443), ("203.0.113.7", 50001))
    up = {pair: ("192.0.2.1:443", "203.0.113.7:50001")}

    def close(_ends: object) -> str:
        up.clear()
        return ""

    monkeypatch.setattr(sockets, "live_pairs", lambda pairs: {one: up[one] for one in pairs if one in up})
    monkeypatch.setattr(sockets, "live_sockets", lambda _ports: dict(up))
    monkeypatch.setattr(sockets, "close_sockets", close)
    monkeypatch.setattr(session_log, "is_running", lambda _pid: True)
    lines = []
    for number in range(2000):
        token = ONE if number == 1000 else f"other-token-{number:08d}"
        client = "203.0.113.7 50001" if number == 1000 else f"198.51.100.1 {10000 + number}"
        lines.append(f"S 1800000000.123 700 {number} 1 {client} 192.0.2.1 443 198.51.100.9 {token} g.example /wss -\n")
        if number % 2:
            lines.append(f"E 1800000000.123 700 {number} 1 101\n")
    path = tmp_path / "sessions.log"
    path.write_text("".join(lines))
    path.chmod(0o600)
    return path


@pytest.fixture
def read_with_care(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections of the lines that were."""
    found: list[str] = []
    start = Log._start

    def noted(self: Log, fields: Start, line_: bytes) -> None:
        found.append(fields.connection)
        start(self, fields, line_)

    monkeypatch.setattr(Log, "_start", noted)
    return found


@pytest.mark.parametrize(
    "wanted",
    [Wanted([ONE]), Wanted(fingerprints=[fingerprint(ONE)]), Wanted(until={ONE: 1e12})],
    ids=["token", "fingerprint", "time"],
)
def test_to_end_the_sessions_of_one_token_no_other_line_is_read_with_care(
    wanted: Wanted, busy: Path, read_with_care: list[str]
) -> None:
    assert end_sessions(str(busy), wanted) == Ended(1, 1)
    assert read_with_care == ["1000"]


def test_a_follower_of_one_token_reads_no_other_line_with_care(busy: Path, read_with_care: list[str]) -> None:
    follower = Follower(str(busy), concerns=Wanted([ONE]).concerns)
    assert [session.token for session in follower.read()] == [ONE]
    with busy.open("a") as log:
        log.write("E 1800000002.000 700 1000 1 101\n")
    follower.read()
    assert not follower.open and read_with_care == ["1000"]


def test_a_signed_token_is_found_among_others_by_its_line_alone(busy: Path, read_with_care: list[str]) -> None:
    with busy.open("a") as log:
        log.write(
            "S 1800000000.123 700 5000 1 203.0.113.7 50001 192.0.2.1 443 198.51.100.9 - g.example /wss - "
            f"{SIGNED_ID} 1800000000 alice\n"
        )
    assert signed_like(str(busy), [SIGNED_ID[:12]]) == {SIGNED_ID: 1}
    assert read_with_care == ["5000"]


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0", "255.255.255.255", "10.0.0.1", "1.2.3", "1.2.3.4.", "1.2.3.256", "01.2.3.4", "1.2.3.4\n", "1.2.3.4.5"],
)
def test_an_ipv4_address_is_spelled_as_ipaddress_spells_it(text: str) -> None:
    def spelled(read: Callable[[str], object]) -> str:
        try:
            return str(read(text))
        except ValueError:
            return "refused"

    assert spelled(sockets.plain_address) == spelled(ipaddress.ip_address)
