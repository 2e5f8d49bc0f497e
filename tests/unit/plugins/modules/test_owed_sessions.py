# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bad file, a failing ss or a killed run: the other tokens go, and every session that is owed an end gets it.

The files, the connections and `ss` are real; only nginx is not there, so the tests write its session log.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run as host_run
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import prune as _prune
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import record
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import store as _token_store
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import CANNOT_WORK, DONE, LEFT_SOMETHING
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import Wanted, end_sessions
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import QUARANTINE_PREFIX, open_store
from ansible_collections.wssgate.nginx.plugins.modules import wss_token, wss_token_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

TOKENS = [f"{word}-token-of-16-ch" for word in ("first", "second", "third", "fourth", "fifth", "sixth")]
ONE, TWO, THREE = TOKENS[:3]


class Gate:
    """A store, a session log, and sessions: connections on the loopback that only the kernel's help can end."""

    def __init__(self, root: Path) -> None:
        self.store = root / "tokens"
        self.store.mkdir(mode=0o710)
        self.log = root / "sessions.log"
        self.log.touch(mode=0o600)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = [self.listener]
        self.count = 0

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    def hang_up(self) -> None:
        """Close what clients and gate have between them: a process may have 1,024 descriptors."""
        for one in self.sockets[1:]:
            one.close()
        del self.sockets[1:]

    def issue(self, name: str, ends: Any = 5, subject: str = "x") -> None:
        path = self.store / name
        path.write_text(json.dumps({"subject": subject, "issued_at": 1, "expires_at": ends}))
        os.utime(path, (5, 5))

    def spoil(self, name: str) -> None:
        (self.store / name).write_text("{")
        os.utime(self.store / name, (5, 5))

    def connect(self) -> tuple[socket.socket, tuple[str, int]]:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        accepted, address = self.listener.accept()
        self.sockets += [client, accepted]
        return client, address

    def write(self, token: str, address: tuple[str, int], started_at: float | None = None) -> None:
        """The line that nginx writes when a token has let a client in; this process is the worker."""
        self.count += 1
        moment = time.time() if started_at is None else started_at
        with self.log.open("a") as file:
            file.write(
                f"S {moment:.3f} {os.getpid()} {self.count} 1 {address[0]} {address[1]} "
                f"127.0.0.1 {self.port} 203.0.113.9 {token}\n"
            )

    def open(self, token: str, started_at: float | None = None) -> socket.socket:
        client, address = self.connect()
        self.write(token, address, started_at)
        return client

    def names(self) -> set[str]:
        return {entry.name for entry in self.store.iterdir() if entry.name != ENDED}

    def owed(self) -> set[str]:
        with open_store(str(self.store), write=False) as store:
            return {record.name for record in store.owed()}

    def prune(self) -> int:
        return _prune.main(["--store", str(self.store), "--session-log", str(self.log)])


def is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    try:
        probe = gate.open("probe-token-of-16-c")
        end_sessions(str(gate.log), Wanted(["probe-token-of-16-c"]))
        if is_open(probe):
            pytest.skip("ss cannot close a connection here (CAP_NET_ADMIN, CONFIG_INET_DIAG_DESTROY)")
        yield gate
    finally:
        gate.close()


@pytest.fixture
def failing_ss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a program named ss in front of the real one; called without one, takes it away."""
    path = host_run.PATH

    def fail(script: str | None) -> None:
        monkeypatch.setattr(host_run, "PATH", path)
        if script is not None:
            folder = tmp_path / "bin"
            folder.mkdir(exist_ok=True)
            (folder / "ss").write_text(f"#!/bin/sh\n{script}\n")
            (folder / "ss").chmod(0o755)
            monkeypatch.setattr(host_run, "PATH", f"{folder}:{path}")

    return fail


def call(capsys: pytest.CaptureFixture[str], gate: Gate, module: Any = wss_token, **arguments: Any) -> dict[str, Any]:
    capsys.readouterr()
    options: dict[str, Any] = {"path": str(gate.store), **arguments}
    if module is wss_token:
        options.setdefault("session_log", str(gate.log))
    with patch_module_args(options), pytest.raises(SystemExit):
        module.main()
    text = capsys.readouterr().out
    assert not any(token in text for token in TOKENS)
    answer: dict[str, Any] = json.loads(text)
    return answer


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the time after which nobody looks again had passed."""
    monkeypatch.setattr(record, "SECOND_LOOK", 0)


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    done = subprocess.run(["chattr", "+i", str(path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this file system or account knows no immutable file: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


# One bad file


def test_an_immutable_file_keeps_no_other_token_and_no_session(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    for token in TOKENS:
        gate.issue(token)
    clients = {token: gate.open(token) for token in TOKENS}
    # The first that a listing finds: whatever stops at it leaves all others.
    stuck = os.listdir(gate.store)[0]
    with immutable(gate.store / stuck):
        assert gate.prune() == LEFT_SOMETHING
        text = capsys.readouterr().out
        assert f"cannot remove token {fingerprint(stuck)}: Operation not permitted; 5 of 6 were removed" in text
        assert "ended 6 of 6 open sessions" in text
        assert gate.names() == {stuck}
        assert [token for token, client in clients.items() if is_open(client)] == []
        again = gate.open(stuck)
        assert gate.prune() == LEFT_SOMETHING
        assert not is_open(again)
    assert gate.prune() == DONE
    assert gate.names() == set()
    assert not any(token in text for token in TOKENS)


def test_revoking_a_subject_goes_past_an_immutable_token_and_fails_with_its_fingerprint(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in TOKENS:
        gate.issue(token, ends=2**31)
    clients = [gate.open(token) for token in TOKENS]
    stuck = os.listdir(gate.store)[0]
    with immutable(gate.store / stuck):
        answer = call(capsys, gate, subject="x", state="absent", disconnect=True, disconnect_required=False)
    assert answer["failed"] and f"cannot remove token {fingerprint(stuck)}: Operation not permitted" in answer["msg"]
    assert (answer["removed"], answer["sessions"]) == (5, {"found": 6, "ended": 6, "remaining": 0})
    assert len(answer["fingerprints"]["removed"]) == 5 and fingerprint(stuck) not in answer["fingerprints"]["removed"]
    assert gate.names() == {stuck}
    assert not any(is_open(client) for client in clients)


def test_a_name_that_is_no_file_keeps_no_other_from_being_revoked(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in (ONE, THREE):
        gate.issue(token, ends=2**31)
    (gate.store / TWO).symlink_to("/etc/passwd")
    clients = [gate.open(token) for token in (ONE, TWO, THREE)]
    answer = call(capsys, gate, tokens=[ONE, TWO, THREE], state="absent", disconnect=True)
    assert answer["failed"] and f"token {fingerprint(TWO)} exists" in answer["msg"] and "as a symlink" in answer["msg"]
    assert (answer["removed"], answer["sessions"]["ended"]) == (2, 3) and gate.names() == {TWO}
    assert not any(is_open(client) for client in clients)


def test_a_token_that_cannot_be_adjusted_keeps_no_other_from_being_removed(
    gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in (ONE, TWO):
        gate.issue(token, ends=2**31)
    with immutable(gate.store / ONE):
        answer = call(capsys, gate, tokens=[ONE], mode="0640", exclusive=True)
    assert answer["failed"] and f"cannot change owner or mode of token {fingerprint(ONE)}" in answer["msg"]
    assert (answer["updated"], answer["removed"]) == (0, 1) and gate.names() == {ONE}


@pytest.mark.parametrize(
    ("number", "stays"),
    [
        ("10000000000000000000", True), ("1" + "0" * 400, True), ("-10000000000000000000", False),
        ("1e400", False), ("NaN", False), ("-Infinity", False), ("5.5", False), ("true", False),
    ],
)  # fmt: skip
def test_no_number_in_a_file_stops_a_run_or_a_list(
    gate: Gate, capsys: pytest.CaptureFixture[str], number: str, stays: bool
) -> None:
    gate.issue(TWO)
    (gate.store / ONE).write_text(f'{{"subject": "x", "issued_at": {number}, "expires_at": {number}}}')
    os.utime(gate.store / ONE, (5, 5))
    assert _quarantine_now(gate) == DONE
    assert (gate.store / ONE).exists() == stays and not (gate.store / TWO).exists()
    listed = call(capsys, gate, wss_token_info)
    assert "failed" not in listed and listed["totals"]["tokens"] == stays
    if stays:
        assert listed["tokens"][0]["expires_at"] == record.LAST_SECOND
        # Neither does it keep tokens from being issued and renewed.
        for arguments in ({"subject": "x", "ttl": 60}, {"tokens": [ONE], "subject": "y"}):
            assert "failed" not in call(capsys, gate, **arguments)


def _quarantine_now(gate: Gate) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_token_store, "QUARANTINE_GRACE", -1)
        return gate.prune()


def test_half_a_character_in_a_subject_is_no_readable_json(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    (gate.store / ONE).write_text('{"subject": "\\ud800", "expires_at": 5}')
    listed = call(capsys, gate, wss_token_info)
    assert listed["totals"]["corrupt"] == 1


def test_a_file_that_cannot_be_read_keeps_no_other(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in TOKENS:
        gate.issue(token)
    bad = os.listdir(gate.store)[0]
    real = os.read

    def read(fd: int, count: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(bad):
            raise OSError(5, "Input/output error")
        return real(fd, count)

    monkeypatch.setattr(os, "read", read)
    assert gate.prune() == LEFT_SOMETHING
    assert f"cannot read token {fingerprint(bad)}: Input/output error" in capsys.readouterr().out
    assert gate.names() == {bad}
    gate.issue(ONE, ends=2**31, subject="y")
    answer = call(capsys, gate, subject="y", state="absent")
    assert (answer["failed"], answer["removed"]) == (True, 1 if bad != ONE else 0)


def test_what_was_set_aside_before_is_not_lost_and_stops_nothing(gate: Gate) -> None:
    for number, content in enumerate(("{1", "{2", "{3")):
        (gate.store / ONE).write_text(content)
        os.utime(gate.store / ONE, (5, 5))
        gate.issue(TWO)
        if number == 1:
            (gate.store / f"{QUARANTINE_PREFIX}{ONE}.1").mkdir()
        assert _quarantine_now(gate) == DONE
    kept = {path.name: path.read_text() for path in gate.store.glob(QUARANTINE_PREFIX + "*") if path.is_file()}
    name = QUARANTINE_PREFIX + ONE
    assert kept == {name: "{1", f"{name}.2": "{2", f"{name}.3": "{3"}
    assert not (gate.store / TWO).exists()


def test_many_failures_are_told_in_few_lines(
    gate: Gate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        gate.issue(f"many-tokens-that-stay-{number:03d}")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    assert gate.prune() == LEFT_SOMETHING
    text = capsys.readouterr().out
    assert "and 90 more; 0 of 100 were removed, and the others still open the gate" in text and len(text) < 2000


# Sessions that are owed an end


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "echo 'Cannot open netlink socket' >&2; exit 255",
        "kill -9 $$",
        'case " $* " in *" --kill "*) exit 1;; esac; exec /usr/bin/ss "$@"',
    ],
    ids=["silent", "with words", "killed", "when it closes"],
)
def test_a_session_outlives_no_failure_of_ss(
    gate: Gate, failing_ss: Any, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.issue(ONE)
    gate.spoil(TWO)
    clients = [gate.open(ONE), gate.open(TWO)]
    bystander = gate.open(THREE)
    failing_ss(script)
    assert _quarantine_now(gate) == LEFT_SOMETHING
    assert gate.names() == {QUARANTINE_PREFIX + TWO}, "the door is shut whatever becomes of the sessions"
    assert gate.owed() == {ONE, TWO}
    assert "could not be ended and are tried again at the next run: ss failed with" in capsys.readouterr().out
    assert gate.prune() == LEFT_SOMETHING, "it is reported until it is done"
    assert all(is_open(client) for client in clients)
    failing_ss(None)
    assert gate.prune() == DONE
    assert "ended 2 of 2 open sessions" in capsys.readouterr().out
    assert not any(is_open(client) for client in clients) and is_open(bystander)


def test_an_ss_that_cannot_be_run_is_told(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", "ss")

    gate.issue(ONE)
    gate.open(ONE)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert gate.prune() == LEFT_SOMETHING
    assert "cannot run ss: Permission denied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("by", "gone_before"),
    [
        ("tokens", False),
        ("tokens", True),
        ("fingerprints", False),
        ("fingerprints", True),
        ("subject", False),
        ("expired", False),
    ],
)
def test_what_a_revocation_could_not_end_the_pruner_ends(
    gate: Gate, failing_ss: Any, capsys: pytest.CaptureFixture[str], by: str, gone_before: bool
) -> None:
    gate.issue(ONE, ends=5 if by == "expired" else 2**31)
    client = gate.open(ONE)
    if gone_before:
        (gate.store / ONE).unlink()
    failing_ss('case " $* " in *" --kill "*) exit 1;; esac; exec /usr/bin/ss "$@"')
    how = {"tokens": [ONE], "fingerprints": [fingerprint(ONE)], "subject": "x", "expired": True}[by]
    answer = call(capsys, gate, **{by: how}, state="absent", disconnect=True)
    assert answer["failed"] and answer["msg"].endswith("; each run of the pruner tries again")
    assert answer["sessions"] == {"found": 1, "ended": 0, "remaining": 1}
    assert gate.names() == set() and gate.owed() == {ONE} and is_open(client)
    failing_ss(None)
    assert gate.prune() == DONE
    assert not is_open(client)


def test_without_disconnect_or_a_session_log_nothing_is_owed(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    for token in (ONE, TWO):
        gate.issue(token)
    client = gate.open(ONE)
    assert call(capsys, gate, tokens=[ONE], state="absent")["removed"] == 1
    assert _prune.main(["--store", str(gate.store)]) == DONE
    assert list(gate.store.iterdir()) == []
    assert is_open(client)


def test_check_mode_owes_and_forgets_nothing(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settled(monkeypatch)
    for token in (ONE, TWO):
        gate.issue(token)
    client = gate.open(ONE)
    with open_store(str(gate.store)) as store:
        store.take_away([TWO], owed=True)
    for arguments in ({"tokens": [ONE]}, {"expired": True}):
        answer = call(capsys, gate, state="absent", disconnect=True, _ansible_check_mode=True, **arguments)
        assert (answer["removed"], answer["sessions"]["found"]) == (1, 1)
    assert gate.names() == {ONE} and gate.owed() == {TWO} and is_open(client)


def test_a_session_that_shows_after_its_token_was_removed_ends_at_the_next_run(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker that was held up between its look at the file and its line in the log."""
    gate.issue(ONE, ends=2**31)
    client, address = gate.connect()
    assert call(capsys, gate, tokens=[ONE], state="absent", disconnect=True)["sessions"]["found"] == 0
    assert gate.prune() == DONE
    gate.write(ONE, address)
    assert is_open(client)
    assert gate.prune() == DONE
    assert not is_open(client)
    assert gate.owed() == {ONE}, "another may follow"
    settled(monkeypatch)
    assert gate.prune() == DONE
    assert list(gate.store.iterdir()) == []


def test_playbook_token_prune_forgets_what_is_over_where_nothing_else_does(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.issue(ONE, ends=2**31)
    client, address = gate.connect()
    call(capsys, gate, tokens=[ONE], state="absent", disconnect=True)
    gate.write(ONE, address)
    expired = {"expired": True, "state": "absent", "disconnect": True}
    assert call(capsys, gate, **expired)["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
    assert not is_open(client)
    settled(monkeypatch)
    assert not call(capsys, gate, **expired)["changed"]
    assert list(gate.store.iterdir()) == []


def test_a_token_issued_anew_keeps_its_sessions_and_the_old_ones_end(gate: Gate, failing_ss: Any) -> None:
    gate.issue(ONE)
    old = gate.open(ONE)
    failing_ss("exit 1")
    assert gate.prune() == LEFT_SOMETHING
    gate.issue(ONE, ends=2**31)
    removed = (gate.store / ENDED / ONE).stat().st_ctime
    new = gate.open(ONE, removed + 1)
    failing_ss(None)
    assert gate.prune() == DONE
    assert not is_open(old) and is_open(new)
    # The same name once more: both are owed by one record, which counts from the later removal.
    gate.issue(ONE)
    failing_ss("exit 1")
    assert gate.prune() == LEFT_SOMETHING
    failing_ss(None)
    assert gate.prune() == DONE
    assert not is_open(new)


def test_a_record_that_is_new_since_it_was_listed_is_not_forgotten(gate: Gate) -> None:
    with open_store(str(gate.store)) as store:
        gate.issue(ONE)
        store.take_away([ONE], owed=True)
        listed = store.owed()
        gate.issue(ONE)
        store.take_away([ONE], owed=True)
        assert store.settle(listed) == []
        assert [record.name for record in store.owed()] == [ONE]
        assert store.settle(store.owed()) == []
        assert store.owed() == []
    assert list(gate.store.iterdir()) == []


def test_a_clock_that_was_put_back_makes_no_record_permanent() -> None:
    removed = record.Owed(ONE, 10**9, (1, 1), False)
    assert [removed.is_settled(10**9 + offset) for offset in (-40, -5, 0, 5, 40)] == [True, False, False, False, True]


def test_what_is_owed_is_no_token_and_nothing_foreign(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    gate.issue(ONE)
    with open_store(str(gate.store)) as store:
        store.take_away([ONE], owed=True)
    listed = call(capsys, gate, wss_token_info)
    assert (listed["tokens"], listed["foreign"]) == ([], [])
    assert (gate.store / ENDED).stat().st_mode & 0o777 == 0o700
    assert call(capsys, gate, tokens=[ONE], subject="x", ttl=60)["created"] == 1


@pytest.mark.parametrize("obstacle", ["a folder in the record's place", "a symlink", "a file", "no room"])
@pytest.mark.parametrize("by", ["the pruner", "wss_token"])
def test_a_token_goes_and_its_session_ends_where_nothing_can_be_noted(
    gate: Gate,
    obstacle: str,
    by: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate.issue(ONE)
    client = gate.open(ONE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if obstacle == "a folder in the record's place":
        (gate.store / ENDED / ONE).mkdir(parents=True)
    elif obstacle == "a symlink":
        (gate.store / ENDED).symlink_to(elsewhere)
    elif obstacle == "a file":
        (gate.store / ENDED).touch()
    else:

        def full(*_arguments: object, **_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "rename", full)
    if by == "the pruner":
        gate.prune()
    else:
        call(capsys, gate, state="absent", expired=True, disconnect=True)
    assert gate.names() == set()
    assert not is_open(client)
    assert list(elsewhere.iterdir()) == []


# Killed runs

STEPS = (
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.utime",
    "os.scandir",
    "os.listdir",
    "subprocess.Popen",
    "open",
)


def killed_before_step(number: int, work: Any) -> bool:
    """Runs the work in a process that is killed before its step of that number; whether it came to that."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        left = number

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in STEPS and not str(arguments[:1]).endswith(".py',)"):
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.addaudithook(count)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("by", ["the pruner", "a revocation"])
def test_a_run_killed_before_any_step_leaves_no_session_behind(
    gate: Gate, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(monkeypatch)  # so that records are forgotten within the run, too
    monkeypatch.setattr(_token_store, "QUARANTINE_GRACE", -1)

    def work() -> None:
        if by == "the pruner":
            gate.prune()
            return
        arguments = {
            "path": str(gate.store), "session_log": str(gate.log),
            "state": "absent", "expired": True, "disconnect": True,
        }  # fmt: skip
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            wss_token.main()

    for number in range(1000):
        gate.issue(ONE)
        gate.issue(TWO)
        gate.spoil(THREE)
        clients = {token: gate.open(token) for token in (ONE, TWO, THREE)}
        is_killed = killed_before_step(number, work)
        for token, client in clients.items():
            held = (gate.store / token).exists() or token in gate.owed()
            assert held or not is_open(client), f"killed before step {number}: a session that nobody will end"
        assert gate.prune() == DONE
        assert not any(is_open(client) for client in clients.values())
        assert not any((gate.store / token).exists() for token in clients)
        gate.hang_up()
        gate.log.write_text("")
        if not is_killed:
            break
    assert number > 12, "these are not all steps"
    assert gate.owed() == set()


# The exit code


def test_a_pruner_that_cannot_work_differs_from_one_that_left_something(gate: Gate, tmp_path: Path) -> None:
    assert _prune.main(["--store", str(tmp_path / "none")]) == CANNOT_WORK
    gate.issue(ONE)
    assert _prune.main(["--store", str(gate.store), "--session-log", str(tmp_path / "none")]) == LEFT_SOMETHING
    # The worst of its turns counts.
    codes = iter([DONE, LEFT_SOMETHING, CANNOT_WORK, DONE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_prune, "_once", lambda *_arguments: next(codes))
        assert _prune.main(["--store", "/", "--every", "0.01", "--for", "0.035"]) == CANNOT_WORK
