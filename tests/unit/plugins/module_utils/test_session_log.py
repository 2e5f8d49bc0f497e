# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session log is root's alone, and former ones are found."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host.files import FileError
from ansible_collections.wssgate.nginx.plugins.module_utils._host import locks as _locks
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets as _sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import protection as _session_log
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import (
    former_logs,
    is_append_only,
    prepare,
    release,
    release_all,
    remember,
    secure,
    set_append_only,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import LINE_LIMIT, Log, shorten
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import (
    Ended,
    Wanted,
    end_sessions,
    open_sessions,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what is given away is root's")
WORKER = 33
ONE = "one-token-of-16ch"


def start(connection: int = 1, port: int = 50001) -> str:
    return f"S 1800000000.123 {os.getpid()} {connection} 1 203.0.113.7 {port} 192.0.2.1 443 198.51.100.9 {ONE}\n"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "run" / "wssgate"
    place.parent.mkdir()
    monkeypatch.setattr(_locks, "PLACE", str(place))
    return place


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sessions.log"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def flag(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        return is_append_only(fd)
    finally:
        os.close(fd)


def test_it_is_made_for_root_alone_whatever_the_umask(log: Path) -> None:
    umask = os.umask(0)
    try:
        assert prepare(str(log))
    finally:
        os.umask(umask)
    assert (mode(log), log.stat().st_size) == (0o600, 0)
    assert not prepare(str(log))


@as_root
def test_one_that_is_there_is_taken_back_with_what_is_in_it(log: Path) -> None:
    log.write_text(start())
    os.chown(log, WORKER, WORKER)
    log.chmod(0o644)
    assert prepare(str(log))
    assert (log.stat().st_uid, log.stat().st_gid, mode(log), log.read_text()) == (0, 0, 0o600, start())


@pytest.mark.parametrize("what", ["a link", "a folder", "a fifo"])
def test_anything_but_a_file_is_refused_and_left_alone(log: Path, what: str) -> None:
    if what == "a link":
        log.symlink_to(log.with_name("target"))
    elif what == "a folder":
        log.mkdir()
    else:
        os.mkfifo(log)
    with pytest.raises(FileError, match="is a symlink|is not a regular file"):
        prepare(str(log))
    assert not log.with_name("target").exists()


@as_root
def test_it_can_be_neither_given_away_nor_emptied_nor_moved(log: Path, append_only: None) -> None:
    prepare(str(log))
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, b"line\n")
        for deed in (
            lambda: os.chown(log, WORKER, -1),
            lambda: log.chmod(0o644),
            lambda: os.ftruncate(descriptor, 0),
            lambda: log.rename(log.with_name("sessions.log.1")),
            log.unlink,
        ):
            with pytest.raises(PermissionError):
                deed()
    finally:
        os.close(descriptor)
    assert (log.stat().st_uid, mode(log), log.read_text()) == (0, 0o600, "line\n")
    release(str(log))
    log.unlink()


@as_root
def test_shortening_leaves_it_append_only(log: Path, append_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockets, "live_sockets", lambda ports: {})
    log.write_text(start() * 2000)
    prepare(str(log))
    assert shorten(str(log), limit=50000) in ("collapsed", "punched")
    assert flag(log) and mode(log) == 0o600
    assert log.stat().st_blocks * 512 < 50000


@as_root
def test_what_was_given_away_before_the_attribute_was_there_is_taken_back(log: Path, append_only: None) -> None:
    log.touch(mode=0o640)
    os.chown(log, WORKER, WORKER)
    fd = os.open(log, os.O_RDONLY)
    try:
        set_append_only(fd, True)
        assert secure(fd)
        assert not secure(fd)
    finally:
        os.close(fd)
    assert flag(log) and (log.stat().st_uid, mode(log)) == (0, 0o600)


@as_root
def test_revoking_takes_the_log_back_and_a_dry_run_does_not(log: Path) -> None:
    log.touch()
    os.chown(log, WORKER, WORKER)
    end_sessions(str(log), Wanted([ONE]), dry=True)
    assert log.stat().st_uid == WORKER
    end_sessions(str(log), Wanted([ONE]))
    assert (log.stat().st_uid, mode(log)) == (0, 0o600)


# Former logs


@pytest.fixture
def old_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_session_log, "_oldest_worker", lambda: 0.0)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = {(("192.0.2.1", 443), ("203.0.113.7", port)): ("", "") for port in range(50001, 50010)}
    monkeypatch.setattr(_sockets, "live_sockets", lambda ports: pairs)
    monkeypatch.setattr(_sockets, "live_pairs", lambda wanted: {pair: pairs[pair] for pair in wanted if pair in pairs})


@as_root
def test_the_sessions_of_a_former_log_are_found(log: Path, tmp_path: Path, old_worker: None, sockets: None) -> None:
    former = tmp_path / "former.log"
    former.write_text(start(1, 50001))
    log.write_text(start(2, 50002))
    assert len(open_sessions(str(log))) == 1
    remember([str(log)], [str(former)])
    assert [session.key[1] for session in open_sessions(str(log))] == ["1", "2"]


@as_root
def test_a_path_that_changed_twice_and_back_is_followed_and_no_further(old_worker: None) -> None:
    remember(["/b"], ["/a"])
    remember(["/c"], ["/b"])
    assert former_logs("/c") == ["/a", "/b"]
    remember(["/b"], ["/c"])
    assert sorted(former_logs("/b")) == ["/a", "/c"]
    assert former_logs("/other") == []


@as_root
def test_processes_are_not_looked_through_for_a_log_that_has_no_former_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_session_log, "_oldest_worker", lambda: 0.0)
    remember(["/b"], ["/a"])
    monkeypatch.setattr(_session_log, "_oldest_worker", lambda: pytest.fail("all processes were looked through"))
    assert former_logs("/other") == []


@as_root
def test_a_former_log_is_forgotten_once_no_worker_of_its_time_runs(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session_log, "_oldest_worker", lambda: 0.0)
    remember(["/b"], ["/a"])
    assert former_logs("/b") == ["/a"]
    monkeypatch.setattr(_session_log, "_oldest_worker", lambda: 1e12)
    assert former_logs("/b") == []
    remember(["/d"], ["/c"])
    assert "/a" not in (place / "former-session-logs").read_text()


def test_the_oldest_worker_is_looked_for_and_none_that_is_seen_is_no_proof(tmp_path: Path) -> None:
    assert _session_log._oldest_worker(str(tmp_path)) == 0.0
    workers = {
        "7": ("nginx: worker process", 900),
        "8": ("nginx: worker process is shutting down", 500),
        "9": ("nginx: master process", 100),
    }
    for pid, (title, ticks) in workers.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(title.encode() + b"\0")
        (tmp_path / pid / "stat").write_text(f"{pid} (ng) inx) S 1 " + "0 " * 17 + f"{ticks} 0 0\n")
    (tmp_path / "10").mkdir()
    (tmp_path / "self").mkdir()
    assert _session_log._oldest_worker(str(tmp_path)) == 500 / os.sysconf("SC_CLK_TCK")


@as_root
def test_one_path_in_two_spellings_is_one_path(old_worker: None) -> None:
    remember(["/b//c"], ["/a/./a"])
    assert former_logs("/b/c/") == ["/a/a"]


@as_root
def test_a_former_log_that_was_removed_is_no_error_and_one_that_cannot_be_read_is(
    log: Path, tmp_path: Path, old_worker: None, sockets: None
) -> None:
    log.touch()
    former = tmp_path / "former.log"
    remember([str(log)], [str(former)])
    assert end_sessions(str(log), Wanted([ONE])).reason == ""
    former.symlink_to(log)
    assert str(former) in end_sessions(str(log), Wanted([ONE])).reason


@as_root
def test_the_record_is_for_root_alone_and_a_damaged_line_of_it_hides_no_other(place: Path, old_worker: None) -> None:
    remember(["/b"], ["/a"])
    record = place / "former-session-logs"
    assert mode(record) == 0o600
    record.write_bytes(b"\xff\n{}\nnull\n" + record.read_bytes())
    assert former_logs("/b") == ["/a"]


def test_logs_that_were_renamed_more_than_once_are_read(log: Path, sockets: None) -> None:
    log.touch()
    for number, name in enumerate(("sessions.log.2", "sessions.log.1", "sessions.log-20261128"), 1):
        log.with_name(name).write_text(start(number, 50000 + number))
    log.with_name("sessions.log.2.gz").write_text("no log")
    log.with_name("sessions.log.backup").write_text(start(9, 50009))
    assert sorted(session.key[1] for session in open_sessions(str(log))) == ["1", "2", "3"]


@pytest.mark.parametrize(("mode", "is_released"), [(0o700, True), (0o755, False)])
def test_logs_of_former_paths_are_released_in_a_folder_of_their_own(
    log: Path, append_only: None, mode: int, is_released: bool
) -> None:
    former = log.with_name("former.log")
    for one in (log, former):
        prepare(str(one))
    log.parent.chmod(mode)
    release_all(str(log))
    try:
        assert [flag(log), flag(former)] == [False, not is_released]
    finally:
        release(str(former))


@pytest.mark.parametrize("kind", ["S", "K"])
def test_whatever_a_full_disk_left_of_a_line_the_next_one_counts(kind: str) -> None:
    torn = start(1, 50001)[:-1] + " gate /wss 3240-3600"
    whole = f"{kind}{start(2, 50002)[1:]}"
    for cut in range(1, len(torn) + 1):
        log = Log()
        log.feed((torn[:cut] + whole).encode())
        assert [session.key[1] for session in log.open.values()] == ["2"], torn[:cut]
        # As it is written again when the log is shortened
        assert [session.line for session in log.open.values()] == [whole[:-1].encode()]
        log.feed(f"{torn[:cut]}E 1800000001.456 {os.getpid()} 2 1 101\n".encode())
        assert not log.open, torn[:cut]


def test_what_is_torn_off_an_end_hides_no_line() -> None:
    torn = f"E 1800000001.456 {os.getpid()} 1 1 101"
    for cut in range(1, len(torn) + 1):
        log = Log()
        log.feed((torn[:cut] + start(2)).encode())
        assert [session.key[1] for session in log.open.values()] == ["2"], torn[:cut]


def test_holes_in_the_log_hide_no_line() -> None:
    log = Log()
    log.feed(b"\0" * 4096 + start(1).encode() + b"\0" * 4096 + start(2, 50002).encode())
    assert [session.key[1] for session in log.open.values()] == ["1", "2"]
    assert all(session.line.startswith(b"S ") for session in log.open.values())


def test_a_session_whose_line_is_gone_is_known_on_unless_it_is_over() -> None:
    before = Log()
    before.feed(start(1).encode())
    (session,) = list(before.open.values())
    log = Log()
    log.keep(session)
    assert list(log.open.values()) == [session]
    # Its end was logged, while its connection went on without the token.
    log.feed(f"E 1800000001.456 {os.getpid()} 1 1 101\n".encode())
    assert not log.open
    log.keep(session)
    assert not log.open
    # Another connection has its ports.
    log = Log()
    log.feed(start(2).encode())
    log.keep(session)
    assert [one.key[1] for one in log.open.values()] == ["2"]


def test_a_line_without_an_end_takes_neither_memory_nor_time_and_hides_no_line() -> None:
    log = Log()
    for _part in range(64):
        log.feed(b"x" * (1 << 20))
        assert len(log._rest) <= LINE_LIMIT
    log.feed(start(1).encode())
    assert [session.key[1] for session in log.open.values()] == ["1"]
    # In one part, too
    log.feed(b"E " + b"9" * (1 << 20) + start(2, 50002).encode())
    assert [session.key[1] for session in log.open.values()] == ["1", "2"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("1800000000.123", "1e300"),
        ("1800000000.123", "-1"),
        ("1800000000.123", "nan"),
        (" 7 1 ", " 7\x1b]0;x\x07 1 "),
        (" 7 1 ", " 7_0 1 "),
        (" 7 1 ", " 7 " + "1" * 11 + " "),
        ("198.51.100.9", "\x1b[31m198.51.100.9"),
        ("198.51.100.9", "\u009b31m198.51.100.9"),
        ("198.51.100.9", "198.51.100.9\r"),
    ],
)
def test_what_nginx_never_writes_is_no_session_and_no_end(field: str, value: str) -> None:
    """A worker that was taken over can write to the log. What it writes is shown to operators and applications."""
    log = Log()
    assert field in start(7)
    log.feed(start(7).replace(field, value).encode())
    assert not log.open
    log.feed(b"E 1800000001.456 1 " + b"9" * 1000 + b" 1 101\n")
    assert not log._ended


def test_very_many_requests_of_one_connection_are_read_as_quickly_as_those_of_many(log: Path) -> None:
    def seconds(lines: list[str]) -> float:
        began = time.process_time()
        Log().feed("".join(lines).encode())
        return time.process_time() - began

    many = [start(number, number % 60000 + 1) for number in range(8000)]
    one = [start(1).replace(" 1 1 203", f" 1 {number} 203") for number in range(8000)]
    assert seconds(one) < 5 * seconds(many) + 0.5


def test_of_a_long_log_no_more_than_a_part_is_in_memory_at_a_time(
    log: Path, sockets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that nobody has shortened for days may be larger than the memory that the agent may have."""
    text = (start(1) + f"E 1800000001.456 {os.getpid()} 1 1 101\n").encode()
    log.write_bytes(text * ((6 << 20) // len(text)) + start(2, 50002).encode())
    most = []
    feed = Log.feed
    monkeypatch.setattr(Log, "feed", lambda self, data: (most.append(len(data)), feed(self, data))[1])
    assert [session.key[1] for session in open_sessions(str(log))] == ["2"]
    assert end_sessions(str(log), Wanted(["another-token-16"])) == Ended()
    assert shorten(str(log)) in ("collapsed", "punched", "kept")
    assert len(most) > 12 and max(most) <= 1 << 20
