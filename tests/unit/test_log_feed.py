# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each line of the log reaches mtail once, whoever is started again meanwhile and however the log is rotated."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> t.Any:
    loader = importlib.machinery.SourceFileLoader("log_feed", str(ROOT / "roles/monitoring/files/log_feed.py"))
    spec = importlib.util.spec_from_loader("log_feed", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


feed_program = load()


class Logs:
    """A log, the pipe, and a feed between them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "wss_access.log"
        self.state = folder / "state"
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)

    def feed(self) -> t.Any:
        made = feed_program.Feed(str(self.path), str(self.state), self.writer)
        made.begin()
        return made

    def write(self, *lines: str, path: t.Optional[Path] = None) -> None:
        with open(path or self.path, "a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))

    def got(self) -> t.List[str]:
        try:
            return os.read(self.reader, 1 << 20).decode().splitlines()
        except BlockingIOError:
            return []


@pytest.fixture
def logs(tmp_path: Path) -> t.Iterator[Logs]:
    made = Logs(tmp_path)
    yield made
    os.close(made.reader)
    os.close(made.writer)


def test_it_begins_at_the_end_and_passes_on_what_is_written_then(logs: Logs) -> None:
    logs.write("before")
    feed = logs.feed()
    logs.write("one", "two")
    feed.turn()
    assert logs.got() == ["one", "two"]
    assert not feed.turn() and logs.got() == []


def test_a_log_that_comes_later_is_passed_on_from_its_beginning(logs: Logs) -> None:
    feed = logs.feed()
    feed.turn()
    logs.write("one")
    feed.turn()
    assert logs.got() == ["one"]


def test_half_a_line_waits_for_its_other_half(logs: Logs) -> None:
    logs.write()
    feed = logs.feed()
    with open(logs.path, "a", encoding="utf-8") as stream:
        stream.write("one\ntw")
    feed.turn()
    assert logs.got() == ["one"]
    logs.write("o")
    feed.turn()
    assert logs.got() == ["two"]


def test_what_is_written_to_the_old_log_after_a_rotation_is_passed_on(logs: Logs, tmp_path: Path) -> None:
    logs.write()
    feed = logs.feed()
    old = tmp_path / "wss_access.log.1"
    logs.path.rename(old)
    # As logrotate's create has it; nginx still has the old one open
    logs.write()
    feed.turn()
    logs.write("one", path=old)
    feed.turn()
    logs.write("two")
    logs.write("three", path=old)
    feed.turn()
    assert sorted(logs.got()) == ["one", "three", "two"]
    assert not feed.turn() and logs.got() == []


def test_an_old_log_is_closed_when_nobody_writes_to_it_any_more(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.write()
    feed = logs.feed()
    logs.path.rename(tmp_path / "wss_access.log.1")
    logs.write("one")
    feed.turn()
    assert len(feed.logs) == 2
    monkeypatch.setattr(feed_program, "PATIENCE", -1)
    feed.turn()
    assert [log.offset for log in feed.logs] == [4]
    assert logs.got() == ["one"]


def test_one_that_is_started_again_goes_on_where_the_last_one_was(logs: Logs, tmp_path: Path) -> None:
    logs.write("before")
    logs.feed()
    logs.write("one")
    feed = logs.feed()
    feed.turn()
    assert logs.got() == ["one"]
    logs.write("two")
    # Rotated while none ran: the rest of the old one, then the new one
    logs.path.rename(tmp_path / "wss_access.log.1")
    logs.write("three")
    again = logs.feed()
    again.turn()
    assert logs.got() == ["two", "three"]


def test_a_log_that_was_emptied_is_read_anew(logs: Logs) -> None:
    logs.write("a long line before")
    feed = logs.feed()
    logs.path.write_text("one\n")
    feed.turn()
    assert logs.got() == ["one"]


def test_nothing_is_lost_where_mtail_is_behind(logs: Logs) -> None:
    logs.write()
    feed = logs.feed()
    lines = [f"{number:0100}" for number in range(3000)]
    logs.write(*lines)
    found: t.List[str] = []

    class Poll:
        """Somebody reads as soon as the pipe is full."""

        def register(self, *_: object) -> None:
            pass

        def poll(self, _timeout: int) -> None:
            found.append(os.read(logs.reader, 1 << 16).decode())

    feed_program.select.poll, before = Poll, feed_program.select.poll
    try:
        while feed.turn():
            pass
    finally:
        feed_program.select.poll = before
    assert "".join([*found, *(f"{line}\n" for line in logs.got())]).splitlines() == lines


def test_each_log_is_passed_on_that_was_rotated_while_mtail_did_not_read(logs: Logs, tmp_path: Path) -> None:
    logs.write()
    feed = logs.feed()
    lines = [f"{number:0100}" for number in range(1500)]
    logs.write(*lines)
    found: t.List[str] = []
    rotations = 2

    class Poll:
        """The log is rotated twice, and somebody reads only then."""

        def register(self, *_: object) -> None:
            pass

        def poll(self, _timeout: int) -> None:
            nonlocal rotations
            if not rotations:
                found.append(os.read(logs.reader, 1 << 16).decode())
                return
            # By other names than logrotate's, which move on
            logs.path.rename(tmp_path / f"wss_access.log-{rotations}")
            lines.append(f"after {rotations}")
            logs.write(lines[-1])
            rotations -= 1

    feed_program.select.poll, before = Poll, feed_program.select.poll
    try:
        while feed.turn():
            pass
    finally:
        feed_program.select.poll = before
    assert sorted("".join([*found, *(f"{line}\n" for line in logs.got())]).splitlines()) == sorted(lines)


def test_no_link_is_followed(logs: Logs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    logs.path.symlink_to(secret)
    feed = logs.feed()
    logs.write("more", path=secret)
    feed.turn()
    assert logs.got() == [] and feed.logs == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"1:2": "x"}', '{"1:2": null}'])
def test_a_state_that_cannot_be_read_is_none(logs: Logs, text: str) -> None:
    logs.write("before")
    logs.state.write_text(text)
    feed = logs.feed()
    logs.write("one")
    feed.turn()
    assert logs.got() == ["one"]


def test_a_full_disk_has_nothing_passed_on_twice(logs: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    logs.write("before")
    feed = logs.feed()
    # As where the disk is full: the new state cannot be written.
    blocked = logs.state.with_name("state.new")
    blocked.mkdir()
    for line in ("one", "two"):
        logs.write(line)
        feed.turn()
        assert logs.got() == [line]
    assert capsys.readouterr().err.count("cannot be written") == 1
    # Written as soon as that can be, though nothing more is logged
    blocked.rmdir()
    feed.turn()
    logs.write("three")
    logs.feed().turn()
    assert logs.got() == ["three"]


def test_it_wants_the_pipe_of_systemd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert feed_program.main(["log", "state"]) == 2
    assert "a pipe of systemd's" in capsys.readouterr().err
