# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run as host_run
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import ending, log as session_log
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets, workers
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import prune
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.sockets import parse_sockets, plain_address
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Log, shorten
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import (
    Ended,
    Wanted,
    end_sessions,
    open_sessions,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import (
    Attributes,
    Draft,
    StoreError,
    document_of,
    fingerprint,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.writing import STAGING

ONE = "one-token-of-16ch"
TWO = "two-token-of-16ch"


def start(
    token: str = ONE,
    connection: int = 1,
    port: int = 50001,
    client: str = "203.0.113.7",
    server: str = "192.0.2.1",
    request: int = 1,
    pid: int | str = 700,
    kind: str = "S",
) -> str:
    return f"{kind} 1800000000.123 {pid} {connection} {request} {client} {port} {server} 443 198.51.100.9 {token}\n"


def end(connection: int = 1, request: int = 1, pid: int = 700) -> str:
    return f"E 1800000001.000 {pid} {connection} {request} 101\n"


def tokens_of(*lines: str) -> list[str]:
    log = Log()
    log.feed("".join(lines).encode())
    return [session.token for session in log.open.values()]


class Kernel:
    """Sockets that are up; closing obeys unless it may not."""

    def __init__(self) -> None:
        self.up: dict[sockets.Pair, tuple[str, str]] = {}
        self.crashed: set[int] = set()
        self.started: dict[int, float] = {}
        self.complaint = ""
        self.closed: list[tuple[str, str]] = []

    def connect(self, port: int, client: str = "203.0.113.7", server: str = "192.0.2.1") -> None:
        self.up[((server, 443), (client, port))] = (f"{server}:443", f"{client}:{port}")

    def live(self, ports: object) -> dict[sockets.Pair, tuple[str, str]]:
        return {pair: ends for pair, ends in self.up.items() if pair[0][1] in set(ports)}  # type: ignore[call-overload]

    def live_pairs(self, pairs: set[sockets.Pair]) -> dict[sockets.Pair, tuple[str, str]]:
        return {pair: ends for pair, ends in self.up.items() if pair in pairs}

    def close(self, ends: list[tuple[str, str]]) -> str:
        if not self.complaint:
            self.closed += ends
            self.up = {pair: both for pair, both in self.up.items() if both not in ends}
        return self.complaint


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    monkeypatch.setattr(sockets, "live_sockets", fake.live)
    monkeypatch.setattr(sockets, "live_pairs", fake.live_pairs)
    monkeypatch.setattr(sockets, "close_sockets", fake.close)
    monkeypatch.setattr(session_log, "is_running", lambda pid: pid not in fake.crashed)
    monkeypatch.setattr(session_log, "started_at", fake.started.get)
    monkeypatch.setattr(ending, "DEADLINE", 0.2)
    return fake


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.log"
    path.touch(mode=0o600)
    return path


# The log


def test_a_session_is_open_from_its_start_to_its_end() -> None:
    assert tokens_of(start()) == [ONE]
    assert tokens_of(start(), end()) == []


def test_the_end_of_another_request_worker_or_connection_ends_nothing() -> None:
    assert tokens_of(start(), end(connection=2), end(request=2), end(pid=701)) == [ONE]


def test_a_port_used_again_belongs_to_the_token_that_used_it_last() -> None:
    assert tokens_of(start(ONE, 1), start(TWO, 2)) == [TWO]


def test_a_connection_that_goes_on_with_another_token_belongs_to_that() -> None:
    assert tokens_of(start(ONE, 1, request=1), end(1, 1), start(TWO, 1, request=2)) == [TWO]


def test_requests_at_a_time_on_one_connection_are_open_until_each_has_ended() -> None:
    """HTTP/2: a short request beside a long download does not end that."""
    both = start(ONE, 1, request=1), start(TWO, 1, request=2)
    assert tokens_of(*both) == [ONE, TWO]
    assert tokens_of(*both, end(1, 2)) == [ONE]
    assert tokens_of(*both, end(1, 2), start(ONE, 1, request=3), end(1, 1)) == [ONE]
    # Another connection from the same port: this one is over, with all that it had.
    assert tokens_of(*both, start(TWO, 2)) == [TWO]


def test_a_long_request_ends_with_its_token_though_a_short_one_came_behind_it(log: Path, kernel: Kernel) -> None:
    kernel.connect(50001)
    log.write_text(start(ONE, 1, request=1) + start(TWO, 1, request=2) + end(1, 2))
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1)


def test_a_connection_number_used_again_after_a_restart_is_a_new_session() -> None:
    assert tokens_of(start(ONE), end(), start(TWO, port=50002)) == [TWO]


def test_a_line_kept_from_before_is_open_unless_its_end_was_written() -> None:
    assert tokens_of(start(kind="K")) == [ONE]
    assert tokens_of(end(), start(kind="K")) == []
    assert tokens_of(start(kind="K"), end()) == []
    assert tokens_of(start(TWO), start(ONE, kind="K")) == [TWO]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "S",
        "garbage\n",
        "S 1 2 3 4\n",
        "\0\0\0\n",
        "E 1 2\n",
        start("short"),
        start("../../etc/passwd-0000"),
        start(client="nowhere"),
        start().replace("1800000000.123", "then"),
        start().rstrip("\n"),
        "\xff\xfe\n",
        start()[5:],
        start(pid="-1"),
        start(pid="x"),
    ],
)
def test_a_line_that_is_none_of_ours_is_passed_over(line: str) -> None:
    assert tokens_of(line) == []
    assert tokens_of(line + "\n", start()) == [ONE]


def test_a_line_may_arrive_in_pieces() -> None:
    log = Log()
    for byte in start().encode():
        log.feed(bytes([byte]))
    assert [session.token for session in log.open.values()] == [ONE]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("[::ffff:203.0.113.7]", "203.0.113.7"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("[fe80::1]%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_spelling(text: str, plain: str) -> None:
    assert plain_address(text) == plain


def test_the_sockets_that_ss_lists_are_understood() -> None:
    found = parse_sockets(
        "ESTAB 0 0 192.0.2.1:443 203.0.113.7:50001\n"
        "CLOSE-WAIT 1 0 [::ffff:192.0.2.1]:443 [::ffff:203.0.113.8]:50002   \n"
        "ESTAB 0 0 [fe80::1]%eth0:443 [fe80::2%eth0]:50003\n"
        "nonsense\n"
    )
    assert list(found) == [
        (("192.0.2.1", 443), ("203.0.113.7", 50001)),
        (("192.0.2.1", 443), ("203.0.113.8", 50002)),
        (("fe80::1", 443), ("fe80::2", 50003)),
    ]


# Ending


def test_the_sessions_of_a_token_end_and_no_others(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE, 1, 50001) + start(TWO, 2, 50002) + start(ONE, 3, 50003))
    for port in (50001, 50002, 50003):
        kernel.connect(port)
    assert end_sessions(str(log), Wanted([ONE])) == Ended(2, 2, 0, "")
    assert [ends[1] for ends in kernel.up.values()] == ["203.0.113.7:50002"]


def test_a_session_is_found_by_the_fingerprint_of_its_token(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE, 1, 50001) + start(TWO, 2, 50002))
    kernel.connect(50001)
    kernel.connect(50002)
    assert end_sessions(str(log), Wanted(fingerprints=[fingerprint(TWO)])).ended == 1
    assert kernel.closed == [("192.0.2.1:443", "203.0.113.7:50002")]


def test_a_connection_that_took_over_the_port_of_an_ended_session_is_left_alone(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE, 1, 50001) + end(1))
    kernel.connect(50001)  # not a session of any token
    assert end_sessions(str(log), Wanted([ONE])) == Ended()
    assert kernel.closed == []


def test_a_connection_that_took_over_the_ports_of_a_session_whose_worker_crashed_is_left_alone(
    log: Path, kernel: Kernel
) -> None:
    log.write_text(start(ONE, 1, 50001, pid=700) + start(ONE, 1, 50002, pid=701))
    kernel.connect(50001)
    kernel.connect(50002)
    kernel.crashed.add(700)
    assert [session.key[0] for session in open_sessions(str(log))] == ["701"]
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1, 0, "")
    assert kernel.closed == [("192.0.2.1:443", "203.0.113.7:50002")]


def test_a_session_over_a_unix_socket_went_with_its_worker(log: Path, kernel: Kernel) -> None:
    log.write_text(f"S 1800000000.1 7 1 1 unix:  unix:/run/x.sock  unix: {ONE}\n")
    kernel.crashed.add(7)
    assert end_sessions(str(log), Wanted([ONE])) == Ended()


def test_a_session_over_a_unix_socket_whose_worker_s_number_is_another_process_s_is_over(
    log: Path, kernel: Kernel
) -> None:
    log.write_text(f"S 1800000000.1 7 1 1 unix:  unix:/run/x.sock  unix: {ONE}\n")
    kernel.started[7] = 1800000060.0
    assert open_sessions(str(log)) == []
    assert end_sessions(str(log), Wanted([ONE])) == Ended()
    kernel.started[7] = 1800000000.5  # within what the clocks may differ by
    assert end_sessions(str(log), Wanted([ONE])).remaining == 1


def test_a_session_with_a_socket_is_told_by_that_and_by_no_clock(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE, 1, 50001, pid=700))
    kernel.connect(50001)
    kernel.started[700] = 1800000060.0
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1, 0, "")


def test_when_a_process_started_is_read_from_proc() -> None:
    before = time.time()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        started = workers.started_at(process.pid)
        assert process.stdin is not None
        process.stdin.close()
    assert started is not None
    # Where this machine's clock was set forward, it counts as started earlier.
    late = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - workers.booted_at()
    assert before - 0.5 <= started + late <= time.time() + 0.5


@pytest.mark.parametrize("content", [None, "", "7 (nginx) S 1", "7 (nginx) " + "x " * 30])
def test_a_process_that_proc_hides_is_taken_for_the_worker(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "7").mkdir()
        (tmp_path / "7" / "stat").write_text(content)
    assert workers.started_at(7, str(tmp_path)) is None
    monkeypatch.setattr(session_log, "is_running", lambda _pid: True)
    monkeypatch.setattr(session_log, "started_at", lambda _pid: None)
    log.write_text(f"S 1800000000.1 7 1 1 unix:  unix:/run/x.sock  unix: {ONE}\n")
    assert len(open_sessions(str(log))) == 1


def test_a_clock_that_was_set_forward_makes_no_process_younger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of /run has the time by the clock as it was."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    (tmp_path / "early").touch()
    os.utime(tmp_path / "early", (booted - 3600, booted - 3600))
    assert abs(workers.booted_at(str(tmp_path)) - booted) < 5  # not in memory: may come from an image
    real = os.stat
    devices = {str(tmp_path): 1, os.path.join(str(tmp_path), ".."): 2}

    def stat_of(path: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
        if path in devices:
            return types.SimpleNamespace(st_dev=devices[path])
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat_of)
    assert workers.booted_at(str(tmp_path)) == pytest.approx(booted - 3600)


def test_a_process_that_runs_is_told_from_one_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    assert not session_log.is_running(gone.pid)
    assert session_log.is_running(os.getpid()) and session_log.is_running(1)


def test_a_session_without_a_socket_is_over(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE))
    assert end_sessions(str(log), Wanted([ONE])) == Ended()


def test_a_session_that_starts_while_others_are_ended_is_ended_too(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(start(ONE, 1, 50001))
    kernel.connect(50001)

    def close_and_open(ends: list[tuple[str, str]]) -> str:
        if not kernel.closed:
            with log.open("a") as file:
                file.write(start(ONE, 2, 50002))
            kernel.connect(50002)
        return kernel.close(ends)

    monkeypatch.setattr(sockets, "close_sockets", close_and_open)
    assert end_sessions(str(log), Wanted([ONE])) == Ended(2, 2, 0, "")


def test_a_session_that_was_let_in_just_before_and_logged_just_after_is_ended(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        if not pauses:
            log.write_text(start(ONE))
            kernel.connect(50001)
        pauses.append(seconds)
        real_sleep(seconds)

    real_sleep = ending.time.sleep
    monkeypatch.setattr(ending.time, "sleep", pause)
    assert end_sessions(str(log), Wanted([ONE])).ended == 1


def test_what_the_kernel_forbids_is_counted_and_told(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE))
    kernel.connect(50001)
    kernel.complaint = "SOCK_DESTROY answers: Operation not permitted"
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 0, 1, kernel.complaint, frozenset({ONE}))


def test_a_first_look_that_takes_longer_than_the_deadline_is_no_reason_to_leave_sessions_open(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(start(ONE))
    kernel.connect(50001)
    monkeypatch.setattr(ending, "DEADLINE", 0.0)
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1, 0, "")


def test_a_session_that_stays_without_a_complaint_is_told(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(start(ONE))
    kernel.connect(50001)
    monkeypatch.setattr(sockets, "close_sockets", lambda _ends: "")
    ended = end_sessions(str(log), Wanted([ONE]))
    assert (ended.found, ended.remaining) == (1, 1)
    assert "they are still there" in ended.reason


def test_a_complaint_about_a_session_that_ended_all_the_same_is_not_told(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(start(ONE))
    kernel.connect(50001)
    monkeypatch.setattr(
        sockets, "close_sockets", lambda ends: kernel.close(ends) or "RTNETLINK answers: Invalid argument"
    )
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1, 0, "")


def test_a_session_over_a_unix_socket_is_counted_as_one_that_cannot_be_ended(log: Path, kernel: Kernel) -> None:
    log.write_text(f"S 1800000000.1 7 1 1 unix:  unix:/run/x.sock  unix: {ONE}\n")
    ended = end_sessions(str(log), Wanted([ONE]))
    assert (ended.found, ended.remaining) == (1, 1)
    assert "unix socket" in ended.reason


def test_a_missing_log_is_told_and_a_symlink_is_not_followed(tmp_path: Path, log: Path) -> None:
    assert "does not exist" in end_sessions(str(tmp_path / "none"), Wanted([ONE])).reason
    (tmp_path / "link").symlink_to(log)
    assert "is a symlink" in end_sessions(str(tmp_path / "link"), Wanted([ONE])).reason


def test_a_log_that_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in end_sessions(str(tmp_path / "pipe"), Wanted([ONE])).reason


def test_what_ss_complains_of_is_told_and_a_missing_cgroup_is_no_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    complaint = "Failed to open cgroup2 by ID"
    monkeypatch.setattr(sockets, "_ss", lambda _arguments: ("", complaint))
    assert sockets.live_sockets([443]) == {}
    complaint += "\nCannot open netlink socket: Protocol not supported"
    with pytest.raises(sockets.SocketError, match="ss: Cannot open netlink socket"):
        sockets.live_sockets([443])


def test_for_the_sessions_of_one_token_no_other_connection_is_listed(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy gate has thousands, and the list of all takes longer than the end of one."""
    kernel.connect(50001)
    kernel.connect(50002)
    log.write_text(start(ONE) + start(TWO, 2, 50002))
    monkeypatch.setattr(sockets, "live_sockets", lambda _ports: pytest.fail("all connections were listed"))
    assert end_sessions(str(log), Wanted([ONE])) == Ended(1, 1)


def test_many_connections_are_closed_in_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each the kernel goes through all: 10,000 in calls of 40 took five seconds."""
    calls: list[list[str]] = []
    monkeypatch.setattr(sockets, "_ss", lambda arguments: calls.append(arguments) or ("", ""))
    assert sockets.close_sockets([("192.0.2.1:443", f"203.0.113.7:{port}") for port in range(10_000, 11_000)]) == ""
    assert len(calls) == 5
    assert sum(call[-1].count("203.0.113.7:") for call in calls) == 1000


def test_an_address_that_comes_again_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is most of what a line of the log takes, and a busy gate writes a thousand a second."""
    read = []
    real = sockets.ipaddress.ip_address
    monkeypatch.setattr(sockets.ipaddress, "ip_address", lambda text: read.append(text) or real(text))
    tokens_of(*(start(ONE, number, 50000 + number, client="2001:db8::77") for number in range(1, 6)))
    assert read.count("2001:db8::77") == 1


def test_a_dry_run_counts_and_closes_nothing(log: Path, kernel: Kernel) -> None:
    log.write_text(start(ONE))
    kernel.connect(50001)
    assert end_sessions(str(log), Wanted([ONE]), dry=True) == Ended(1, 1, 0, "")
    assert kernel.closed == []


def test_no_ss_is_told(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_text(start(ONE))
    monkeypatch.setattr(host_run, "PATH", "/no/such/folder")
    ended = end_sessions(str(log), Wanted([ONE]))
    assert (ended.found, ended.remaining) == (1, 1) and "iproute2" in ended.reason


def test_a_log_that_was_renamed_is_read_before_the_new_one(tmp_path: Path, log: Path, kernel: Kernel) -> None:
    (tmp_path / "sessions.log.1").write_text(start(ONE, 1, 50001) + start(TWO, 2, 50002))
    log.write_text(end(1) + start(ONE, 3, 50003))
    for port in (50001, 50002, 50003):
        kernel.connect(port)
    assert [session.token for session in open_sessions(str(log))] == [TWO, ONE]
    assert end_sessions(str(log), Wanted([ONE])).ended == 1


def test_what_has_the_name_of_a_renamed_log_and_is_none_keeps_no_session_open(
    tmp_path: Path, log: Path, kernel: Kernel
) -> None:
    (tmp_path / "sessions.log.1").mkdir()
    (tmp_path / "sessions.log.2").symlink_to("/etc/passwd")
    log.write_text(start(ONE))
    kernel.connect(50001)
    assert end_sessions(str(log), Wanted([ONE])).ended == 1


# Shortening


def fill(log: Path, count: int) -> None:
    log.write_text(start(TWO, 999999, 50999) + "".join(start(ONE, n, 40000 + n % 9000) + end(n) for n in range(count)))


def test_a_short_log_stays_and_becomes_root_s_alone(log: Path, kernel: Kernel) -> None:
    fill(log, 10)
    log.chmod(0o644)
    before = log.read_bytes()
    assert shorten(str(log), limit=100000) == "short"
    assert log.read_bytes() == before
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_long_log_is_shortened_and_its_open_sessions_stay(log: Path, kernel: Kernel) -> None:
    kernel.connect(50999)
    fill(log, 2000)
    used = log.stat().st_blocks
    assert shorten(str(log), limit=50000) in ("collapsed", "punched")
    assert log.stat().st_blocks < used / 4
    assert [session.token for session in open_sessions(str(log))] == [TWO]
    assert end_sessions(str(log), Wanted([TWO])).ended == 1


def test_a_log_is_shortened_again_and_again_while_nginx_writes(log: Path, kernel: Kernel) -> None:
    kernel.connect(50999)
    fill(log, 1)
    writer = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        for turn in range(5):
            for number in range(2000):
                connection = turn * 2000 + number
                os.write(writer, (start(ONE, connection, 40000 + number) + end(connection)).encode())
            assert shorten(str(log), limit=50000) in ("collapsed", "punched")
            assert log.stat().st_blocks * 512 < 50000
    finally:
        os.close(writer)
    assert [session.token for session in open_sessions(str(log))] == [TWO]


def test_a_file_system_that_cannot_collapse_gets_a_hole(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = session_log._fallocate
    monkeypatch.setattr(
        session_log,
        "_fallocate",
        lambda fd, mode, *rest: mode != session_log._COLLAPSE_RANGE and real(fd, mode, *rest),
    )
    kernel.connect(50999)
    fill(log, 2000)
    assert shorten(str(log), limit=50000) == "punched"
    assert log.stat().st_blocks * 512 < 50000
    assert [session.token for session in open_sessions(str(log))] == [TWO]
    assert shorten(str(log), limit=50000) == "short"


def test_a_file_system_that_takes_nothing_out_of_a_file_does_not_make_the_log_longer_at_each_run(
    log: Path, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_log, "_fallocate", lambda *_arguments: False)
    kernel.connect(50999)
    fill(log, 2000)
    before = log.read_bytes()
    assert [shorten(str(log), limit=50000) for _run in range(2)] == ["kept", "kept"]
    assert log.read_bytes() == before


def test_asking_whether_the_log_can_be_shortened_leaves_it_as_it_is(log: Path) -> None:
    fill(log, 10)
    before = log.read_bytes(), log.stat().st_blocks
    with session_log.LogFile(str(log), shorten=True) as file:
        assert file.can_discard()
    assert (log.read_bytes(), log.stat().st_blocks) == before


def test_shortening_forgets_sessions_whose_socket_is_gone(log: Path, kernel: Kernel) -> None:
    fill(log, 2000)
    shorten(str(log), limit=50000)
    assert b"K 1800000000.123 700 999999 1" not in log.read_bytes()


# The pruner


@pytest.mark.parametrize("kind", ["file", "link", "folder in it"])
def test_a_leftover_that_cannot_be_cleared_keeps_no_token_valid(tmp_path: Path, log: Path, kind: str) -> None:
    store_path = tmp_path / "tokens"
    store_path.mkdir()
    staging = store_path / STAGING
    if kind == "file":
        staging.touch()
    elif kind == "link":
        staging.symlink_to(tmp_path)
    else:
        (staging / "folder").mkdir(parents=True)
    (store_path / ONE).write_text('{"subject": "a", "issued_at": 1, "expires_at": 2}')
    pruned = prune(str(store_path), str(log))
    assert pruned.removed == [ONE] and not (store_path / ONE).exists()
    assert pruned.is_failure and len(pruned.problems) == 1
    with pytest.raises(StoreError), open_store(str(store_path)) as store:
        store.write([Draft(TWO, document_of("a", 1, None))], Attributes())
    assert not (store_path / TWO).exists()


def test_the_pruner_removes_what_has_ended_and_ends_its_sessions(tmp_path: Path, log: Path, kernel: Kernel) -> None:
    store_path = tmp_path / "tokens"
    store_path.mkdir()
    with open_store(str(store_path)) as store:
        store.write([Draft(ONE, document_of("x", 1, 100)), Draft(TWO, document_of("x", 1, 200))], Attributes())
    log.write_text(start(ONE, 1, 50001) + start(TWO, 2, 50002))
    kernel.connect(50001)
    kernel.connect(50002)
    pruned = prune(str(store_path), str(log), now=150)
    assert {entry.name for entry in store_path.iterdir()} == {TWO, ENDED}
    assert kernel.closed == [("192.0.2.1:443", "203.0.113.7:50001")]
    assert pruned.words() == [f"removed 1 expired: {fingerprint(ONE)}", "ended 1 of 1 open sessions"]
    assert prune(str(store_path), str(log), now=150).words() == []


# -- a field that comes later


def test_a_session_that_began_before_a_field_was_added_is_still_known() -> None:
    later = start(TWO, connection=2, port=50002).rstrip("\n") + " gate.example.com /wss 3240-3600\n"
    assert tokens_of(start(ONE), later) == [ONE, TWO]
    assert tokens_of(later.rstrip("\n") + " - - - more\n") == []


def test_a_line_has_the_place_and_the_lifetime_of_a_session() -> None:
    log = session_log.Log()
    log.feed((start(ONE).rstrip("\n") + " gate.example.com /wss 3240-3600\n").encode())
    log.feed((start(TWO, connection=2, port=50002).rstrip("\n") + " gate.example.com /wss -\n").encode())
    with_lifetime, without = list(log.open.values())
    assert (with_lifetime.server_name, with_lifetime.location) == ("gate.example.com", "/wss")
    assert (with_lifetime.lifetime, without.lifetime) == ((3240, 3600), None)


def signed(*fields: str) -> session_log.Session:
    log = session_log.Log()
    log.feed((start(session_log.NONE).rstrip("\n") + " ".join([" gate.example.com /wss -", *fields]) + "\n").encode())
    (session,) = list(log.open.values())
    return session


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (("a" * 64, "1700000000", "ann"), ("a" * 64, 1700000000, "ann")),
        (("-", "-", "Zo%C3%AB%20\\x22\\x5Cx41%2520"), ("", None, 'Zoë "\\x41%20')),
        (("-", "-", "%2D"), ("", None, "-")),
        (("", "-", ""), ("", None, "")),
        (("a" * 63, "1e9", "-"), ("", None, "")),
        (("A" * 64, "-1", "%C3"), ("", None, "\ufffd")),
        ((), ("", None, "")),
    ],
)
def test_a_line_has_what_a_signed_token_is_taken_back_by(fields: t.Any, found: t.Any) -> None:
    session = signed(*fields)
    assert (session.token_id, session.issued, session.subject) == found
    assert session.is_signed == (found[0] != "" or found[2] != "")


def test_a_session_may_have_no_token() -> None:
    log = session_log.Log()
    log.feed(start(session_log.NONE).encode())
    (session,) = list(log.open.values())
    assert session.token == ""
    assert not Wanted([""], [""], {"": 1e12}).covers(session)


# A session that no signed token let in has none of the three that one has.
@pytest.mark.parametrize(
    ("name", "line", "fewer"),
    [("start", session_log.Start, 3), ("start_jwt", session_log.Start, 0), ("end", session_log.End, 0)],
)
def test_nginx_writes_the_fields_that_are_read(name: str, line: t.Any, fewer: int) -> None:
    template = Path(__file__).resolve().parents[4] / "roles/wss_proxy/templates/gate.conf.j2"
    found = re.search(rf"^log_format wss_session_{name}\n((?:    '.*'\n?)+);", template.read_text(), re.MULTILINE)
    assert found
    assert len("".join(re.findall(r"'(.*)'", found[1])).split()) == len(line._fields) - fewer
