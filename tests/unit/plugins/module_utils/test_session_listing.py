# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is open by one look at the log and the kernel, and what becomes of connections that are to end."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import (
    ending,
    listing,
    log as session_log,
    sockets,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import Ended, end_present
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.listing import look, open_subjects, unlisted_of
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.selection import Selection, id_of
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.sockets import Connection, Pair
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import StoreError
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.report import count_sessions

ONE, TWO = "one-token-of-16ch", "two-token-of-16ch"
# Two lines a connection, as ss of iproute2 4.15 to 6.x writes them.
LISTED = """\
ESTAB      0      0      192.0.2.1:443  203.0.113.7:50001
\t cubic wscale:7,7 rto:204 bytes_sent:204813 bytes_retrans:12 bytes_acked:204801 bytes_received:18211 segs_out:8
CLOSE-WAIT 1      0      [::ffff:192.0.2.1]:443 [::ffff:203.0.113.8]:50002
\t cubic bytes_received:77
ESTAB      0      0      [2001:db8::1]:443 [2001:db8::9]:50003 users:(("nginx",pid=7,fd=3))
nonsense
\t bytes_sent:1
ESTAB      0      0      nowhere:443 203.0.113.9:50004
\t bytes_sent:2
"""


def pair(port: int, client: str = "203.0.113.7") -> Pair:
    return ("192.0.2.1", 443), (client, port)


def start(number: int, token: str = ONE, port: int = 50001, pid: int = 700, moment: float = 1800000000.5) -> str:
    return (
        f"S {moment} {pid} {number} 1 203.0.113.7 {port} 192.0.2.1 443 198.51.100.9 {token} wcs.example.com /wss "
        "3240-3600\n"
    )


class Kernel:
    """Connections that are up, by what ss would list."""

    def __init__(self) -> None:
        self.up: t.Dict[Pair, Connection] = {}
        self.calls: t.List[t.Set[int]] = []
        self.meanwhile: t.Callable[[], None] = lambda: None
        self.complaint = ""

    def connect(self, port: int, is_established: bool = True, client: str = "203.0.113.7") -> None:
        self.up[pair(port, client)] = Connection(("192.0.2.1:443", f"{client}:{port}"), is_established, 5, 7)

    def connections(self, ports: t.Iterable[int]) -> t.Dict[Pair, Connection]:
        self.calls.append(set(ports))
        found = {one: value for one, value in self.up.items() if one[0][1] in self.calls[-1]}
        self.meanwhile()
        return found

    def live(self, _ports: t.Any) -> t.Dict[Pair, t.Tuple[str, str]]:
        return {one: value.ends for one, value in self.up.items()}

    def live_pairs(self, pairs: t.Collection[Pair]) -> t.Dict[Pair, t.Tuple[str, str]]:
        return {one: value.ends for one, value in self.up.items() if one in pairs}

    def close(self, ends: t.Sequence[t.Tuple[str, str]]) -> str:
        if not self.complaint:
            self.up = {one: value for one, value in self.up.items() if value.ends not in ends}
        return self.complaint


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    monkeypatch.setattr(sockets, "connections", fake.connections)
    monkeypatch.setattr(sockets, "live_sockets", fake.live)
    monkeypatch.setattr(sockets, "live_pairs", fake.live_pairs)
    monkeypatch.setattr(sockets, "close_sockets", fake.close)
    monkeypatch.setattr(session_log, "is_running", lambda pid: pid == 700)
    monkeypatch.setattr(session_log, "started_at", lambda _pid: 0.0)
    monkeypatch.setattr(ending, "DEADLINE", 0.2)
    return fake


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.log"
    path.touch(mode=0o600)
    return path


# Connections with their details


def test_a_connection_is_read_with_its_state_and_its_bytes() -> None:
    assert sockets.parse_connections(LISTED) == {
        pair(50001): Connection(("192.0.2.1:443", "203.0.113.7:50001"), True, 18211, 204813),
        pair(50002, "203.0.113.8"): Connection(
            ("[::ffff:192.0.2.1]:443", "[::ffff:203.0.113.8]:50002"), False, 77, None
        ),
        (("2001:db8::1", 443), ("2001:db8::9", 50003)): Connection(
            ("[2001:db8::1]:443", "[2001:db8::9]:50003"), True, None, None
        ),
    }


def test_no_port_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_ss", lambda _arguments: pytest.fail("all connections of the host would be listed"))
    assert sockets.connections([]) == {} and sockets.live_sockets([]) == {}


# One look


def test_sessions_are_listed_the_oldest_first_by_one_call_to_the_kernel(log: Path, kernel: Kernel) -> None:
    log.write_text(start(2, port=50002, moment=1800000009) + start(1) + start(3, port=50003))
    kernel.connect(50001)
    kernel.connect(50002)
    seen = look(str(log), [8443])
    assert [id_of(session) for session in seen.sessions] == ["700-1-1", "700-2-1"]
    assert kernel.calls == [{443, 8443}]
    assert seen.unlisted == []


def test_a_connection_that_the_log_does_not_have_is_unlisted_where_it_is_up(log: Path, kernel: Kernel) -> None:
    # Over, of a worker that crashed, and none at all.
    log.write_text(start(1) + "E 1800000001.0 700 1 1 101\n" + start(2, port=50002, pid=701) + start(9, port=50009))
    for port in (50001, 50002, 50003, 50009):
        kernel.connect(port)
    kernel.connect(50004, is_established=False)
    seen = look(str(log))
    assert [id_of(session) for session in seen.sessions] == ["700-9-1"]
    assert seen.unlisted == [pair(50001), pair(50002), pair(50003)]


def test_what_begins_or_ends_during_the_look_is_neither_open_nor_unlisted(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1) + start(2, port=50002))
    for port in (50001, 50002, 50003):
        kernel.connect(port)

    def meanwhile() -> None:
        with log.open("a") as file:
            file.write("E 1800000001.0 700 1 1 101\n" + start(3, port=50003))

    kernel.meanwhile = meanwhile
    seen = look(str(log))
    assert [id_of(session) for session in seen.sessions] == ["700-2-1", "700-3-1"]
    assert seen.unlisted == []


def test_without_a_log_all_connections_to_the_ports_are_unlisted(kernel: Kernel, tmp_path: Path) -> None:
    kernel.connect(50001)
    assert look("", [443]).unlisted == [pair(50001)]
    assert look(str(tmp_path / "none"), [443], missing_ok=True).unlisted == [pair(50001)]
    with pytest.raises(StoreError, match="does not exist: the gate writes no session log"):
        look(str(tmp_path / "none"), [443])


def test_unlisted_connections_are_found_by_the_other_end(log: Path, kernel: Kernel) -> None:
    kernel.connect(50001)
    kernel.connect(50002, client="2001:db8::9")
    seen = look(str(log), [443])
    assert len(unlisted_of(seen, [])) == 2
    assert unlisted_of(seen, Selection(addresses=("203.0.113.0/24",)).networks()) == [pair(50001)]


def test_a_session_without_a_token_is_not_counted_among_those_of_tokens(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1) + start(2, token="-", port=50002))
    kernel.connect(50001)
    kernel.connect(50002)
    sessions = look(str(log)).sessions
    assert len(sessions) == 2 and count_sessions(sessions) == {ONE: 1}


# Subjects


def test_the_file_of_a_token_is_read_once_and_one_that_has_gone_has_no_subject(tmp_path: Path) -> None:
    (tmp_path / ONE).write_text('{"subject": "client-42"}')
    with open_subjects(str(tmp_path)) as subjects:
        assert subjects(ONE) == "client-42"
        (tmp_path / ONE).unlink()
        assert subjects(ONE) == "client-42"
        assert subjects(TWO) is None
        assert subjects.problem() == ""


def test_a_file_that_cannot_be_read_is_told_and_its_token_is_not(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir()
    (tmp_path / TWO).symlink_to("/etc/passwd")
    with open_subjects(str(tmp_path)) as subjects:
        assert subjects(ONE) is None and subjects(TWO) is None
        problem = subjects.problem()
    assert "as a directory" in problem and "(and 1 more)" in problem
    assert ONE not in problem and TWO not in problem


def test_a_store_that_is_not_there_is_told_and_is_an_error_where_it_is_needed(tmp_path: Path) -> None:
    with open_subjects(str(tmp_path / "none")) as subjects:
        assert subjects.problem() == ""
        assert subjects(ONE) is None and subjects(TWO) is None
        assert "none does not exist" in subjects.problem() and "more" not in subjects.problem()
    with pytest.raises(StoreError, match="does not exist"), open_subjects(str(tmp_path / "none"), required=True):
        pass


# Ending


def everything(_session: t.Any) -> bool:
    return True


def test_a_session_that_begins_while_others_are_ended_is_left_alone(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(start(1))
    kernel.connect(50001)

    def close_and_return(ends: t.Sequence[t.Tuple[str, str]]) -> str:
        with log.open("a") as file:
            file.write(start(2, port=50002))
        kernel.connect(50002)
        return kernel.close(ends)

    monkeypatch.setattr(sockets, "close_sockets", close_and_return)
    ended, found, left = end_present(str(log), everything)
    assert ended == Ended(1, 1)
    assert [id_of(session) for session in found] == ["700-1-1"] and left == []
    assert list(kernel.up) == [pair(50002)]


def test_a_clock_that_was_set_back_keeps_no_session_open(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1, moment=9999999999))
    kernel.connect(50001)
    assert end_present(str(log), everything)[0] == Ended(1, 1)


def test_those_that_remain_are_told_from_those_that_ended(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1) + f"S 1800000000.1 700 2 1 unix:  unix:/run/x.sock  unix: {ONE}\n")
    kernel.connect(50001)
    ended, found, left = end_present(str(log), everything)
    assert ended[:3] == (2, 1, 1) and "unix socket" in ended.reason
    assert {id_of(session) for session in found} == {"700-1-1", "700-2-1"}
    assert [id_of(session) for session in left] == ["700-2-1"]


def test_a_dry_run_tells_how_many_and_closes_none(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1))
    kernel.connect(50001)
    assert end_present(str(log), everything, dry=True)[0] == Ended(1, 1)
    assert listing.end_connections([pair(50001)], dry=True) == Ended(1, 1)
    assert list(kernel.up) == [pair(50001)]


def test_connections_end_and_what_the_kernel_forbids_is_told(kernel: Kernel) -> None:
    kernel.connect(50001)
    kernel.connect(50002)
    kernel.complaint = "SOCK_DESTROY answers: Operation not permitted"
    assert listing.end_connections([pair(50001), pair(50003)])[:4] == (2, 1, 1, kernel.complaint)
    kernel.complaint = ""
    assert listing.end_connections([pair(50001)]) == Ended(1, 1)
    assert list(kernel.up) == [pair(50002)]


def test_ss_that_fails_is_told_and_counts_as_nothing_ended(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_pairs: t.Any) -> t.NoReturn:
        raise sockets.SocketError("ss is not installed")

    monkeypatch.setattr(sockets, "live_pairs", fail)
    assert listing.end_connections([pair(50001)])[:4] == (1, 0, 1, "ss is not installed")


# What is told of one


def test_a_session_is_described_without_its_token(log: Path, kernel: Kernel) -> None:
    log.write_text(start(1))
    kernel.connect(50001)
    (session,) = look(str(log)).sessions
    told = listing.describe(session, kernel.up[pair(50001)], "client-42", "http://127.0.0.1:8080/wss", 1800000060.9)
    assert told == {
        "id": "700-1-1",
        "client": "198.51.100.9",
        "client_port": 50001,
        "peer": "203.0.113.7",
        "subject": "client-42",
        "fingerprint": "2f3826076da5",
        "server": "wcs.example.com",
        "location": "/wss",
        "upstream": "http://127.0.0.1:8080/wss",
        "since": 1800000000,
        "age": 60,
        "ends_at_earliest": 1800003240,
        "ends_at_latest": 1800003600,
        "bytes_received": 5,
        "bytes_sent": 7,
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        # As version 1.0.0 wrote it
        (
            f"S 1800000000.1 700 1 1 203.0.113.7 50001 192.0.2.1 443 203.0.113.7 {ONE}\n",
            {"client": "203.0.113.7", "peer": None, "server": None, "location": None, "ends_at_latest": None},
        ),
        # Without a token
        (
            "S 1800000000.1 700 1 1 203.0.113.7 50001 192.0.2.1 443 ::ffff:203.0.113.7 - wcs.example.com /open -\n",
            {"client": "203.0.113.7", "peer": None, "fingerprint": None, "location": "/open"},
        ),
        # Over a unix socket, of a load balancer on the same host
        (
            f"S 1800000000.1 700 1 1 unix:  unix:/run/x.sock  198.51.100.9 {ONE} wcs.example.com /wss -\n",
            {"client": "198.51.100.9", "client_port": None, "peer": "unix:", "bytes_sent": None},
        ),
        (
            f"S 1800000000.1 700 1 1 unix:  unix:/run/x.sock  unix: {ONE} wcs.example.com /wss -\n",
            {"client": "unix:", "client_port": None, "peer": None},
        ),
    ],
)
def test_what_is_not_known_of_a_session_is_none(log: Path, kernel: Kernel, line: str, told: t.Dict[str, t.Any]) -> None:
    log.write_text(line)
    kernel.connect(50001)
    (session,) = look(str(log)).sessions
    connection = kernel.up[session.pair] if session.pair else None
    found = listing.describe(session, connection, None, None, 0.0)
    assert {name: found[name] for name in told} == told
    assert found["age"] == 0, "a clock that was set back"


def test_the_log_is_shared_with_others_that_read_it(log: Path, kernel: Kernel) -> None:
    """The agent holds its lock for reading all the time that it reads."""
    with session_log.open_logs(str(log)):
        assert look(str(log)).sessions == []
    assert os.stat(log).st_size == 0
