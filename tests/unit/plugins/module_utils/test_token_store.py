# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ctypes
import errno
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import record, writing
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import store as token_store
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import (
    CORRUPT,
    MANAGED,
    TOUCHED,
    Attributes,
    Draft,
    StoreError,
    document_of,
    fingerprint,
    is_token,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.writing import STAGING
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store

ONE = "one-token-of-16ch"
TWO = "two-token-of-16ch"
NOW = 1_800_000_000
ANY = Attributes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = tmp_path / "tokens"
    store.mkdir(mode=0o710)
    return store


def managed(name: str, ends: int | None = NOW + 60, subject: str = "somebody") -> Draft:
    return Draft(name, document_of(subject, NOW, ends))


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


# The name


@pytest.mark.parametrize(
    "value",
    [
        "a" * 15,
        "a" * 129,
        "",
        "../../../etc/passwd",
        "aaaaaaaaaaaaaaa/",
        "aaaaaaaaaaaaaaaa\n",
        "aaaaaaaaaaaaaaaa.",
        "aaaaaaaaaaaaaaaä",
        "aaaaaaaaaaaaaaaa\0",
        "aaaaaaaa aaaaaaaa",
    ],
)
def test_a_name_outside_the_pattern_is_no_token(value: str) -> None:
    assert not is_token(value)


@pytest.mark.parametrize("value", ["a" * 16, "Z" * 128, "abc-DEF_0123456789", "-" * 16])
def test_a_name_within_the_pattern_is_a_token(value: str) -> None:
    assert is_token(value)


def test_a_fingerprint_is_the_first_12_digits_of_the_sha_256() -> None:
    assert fingerprint("aaaaaaaaaaaaaaaa") == "0c0beacef887"


# The directory


def test_a_store_that_is_a_symlink_is_refused(tmp_path: Path, path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StoreError, match="is a symlink"):
        with open_store(str(tmp_path / "link")):
            pass


@pytest.mark.parametrize("tail", ["/", "//", "/."])
def test_a_slash_at_the_end_does_not_make_a_symlink_a_store(tmp_path: Path, path: Path, tail: str) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StoreError, match="is a symlink"):
        with open_store(str(tmp_path / "link") + tail):
            pass


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is not a directory"):
        with open_store(str(tmp_path / "file")):
            pass


@pytest.mark.parametrize("value", ["tokens", "./tokens", ""])
def test_a_relative_store_path_is_refused(value: str) -> None:
    with pytest.raises(StoreError, match="must be absolute"):
        with open_store(value):
            pass


def test_a_store_path_with_two_dots_is_refused() -> None:
    with pytest.raises(StoreError, match="must not contain"):
        with open_store("/var/lib/../tokens"):
            pass


def test_a_missing_store_names_the_role_that_creates_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="token_store"):
        with open_store(str(tmp_path / "none")):
            pass


def test_a_missing_store_counts_as_empty_where_that_is_allowed(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "none"), write=False, missing_ok=True) as store:
        assert store.look(ONE) is None
        assert store.scan() == ([], [])
        assert list(store.names()) == []


def test_a_directory_put_in_the_stores_place_is_not_written_to(tmp_path: Path, path: Path) -> None:
    with open_store(str(path)) as store:
        path.rename(tmp_path / "moved")
        path.mkdir()
        store.create([ONE], ANY)
        store.write([managed(TWO)], ANY)
    assert names(path) == []
    assert names(tmp_path / "moved") == [ONE, TWO]


# Files


def test_a_new_file_is_empty_and_0600_whatever_the_umask(path: Path) -> None:
    old = os.umask(0o777)
    try:
        with open_store(str(path)) as store:
            assert store.create([ONE, TWO], ANY) == [ONE, TWO]
    finally:
        os.umask(old)
    for name in (ONE, TWO):
        found = (path / name).stat()
        assert (found.st_size, stat.S_IMODE(found.st_mode)) == (0, 0o600)


def test_a_new_file_has_the_mode_that_is_asked_for(path: Path) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], Attributes(mode=0o640))
        store.write([managed(TWO)], Attributes(mode=0o640))
    assert {stat.S_IMODE((path / name).stat().st_mode) for name in (ONE, TWO)} == {0o640}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_new_file_has_the_owner_that_is_asked_for(path: Path) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], Attributes(uid=12, gid=34))
        store.write([managed(TWO)], Attributes(uid=12, gid=34))
    assert {((path / name).stat().st_uid, (path / name).stat().st_gid) for name in (ONE, TWO)} == {(12, 34)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_rewritten_file_keeps_its_owner_and_mode(path: Path) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], Attributes(uid=12, gid=34, mode=0o644))
        store.write([managed(ONE)._replace(replaces=store.look(ONE))], ANY)
    found = (path / ONE).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o644)


def test_a_managed_file_holds_json_and_ends_with_its_mtime(path: Path) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE), managed(TWO, ends=None)], ANY)
    assert json.loads((path / ONE).read_text()) == {"subject": "somebody", "issued_at": NOW, "expires_at": NOW + 60}
    assert (path / ONE).stat().st_mtime == NOW + 60
    assert (path / TWO).stat().st_mtime == record.NO_EXPIRY_MTIME


def test_what_was_written_is_what_is_read(path: Path) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE, subject="Jürgen \u2603")], ANY)
        store.create([TWO], ANY)
        first, second = store.look(ONE), store.look(TWO)
    assert first is not None and second is not None
    assert (first.form, first.subject, first.expires_at) == (MANAGED, "Jürgen \u2603", NOW + 60)
    assert (second.form, second.subject, second.expires_at) == (TOUCHED, None, None)


def test_a_token_ends_at_its_second_and_not_before(path: Path) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE, ends=NOW)], ANY)
        token = store.look(ONE)
    assert token is not None
    assert token.is_valid(NOW - 1)
    assert not token.is_valid(NOW)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"\0\0\0\0",
        b'{"expires_at": "soon"}',
        b'{"expires_at": true}',
        b'{"expires_at": 1.5}',
        b'{"subject": 7}',
        b'{"issued_at": []}',
        b"[" * 60000,
        b" " * 70000,
    ],
)
def test_a_file_that_is_no_json_object_of_ours_is_corrupt(path: Path, content: bytes) -> None:
    (path / ONE).write_bytes(content)
    with open_store(str(path)) as store:
        token = store.look(ONE)
    assert token is not None
    assert token.form == CORRUPT
    assert not token.is_valid(NOW)


@pytest.mark.parametrize("content", [b"\n", b"  \r\n"])
def test_a_file_that_echo_made_counts_as_touched(path: Path, content: bytes) -> None:
    (path / ONE).write_bytes(content)
    with open_store(str(path)) as store:
        token = store.look(ONE)
    assert token is not None and token.form == TOUCHED


# Foreign things


def make_foreign(path: Path, kind: str, name: str) -> None:
    if kind == "symlink":
        (path / name).symlink_to("/etc/passwd")
    elif kind == "directory":
        (path / name).mkdir()
    elif kind == "fifo":
        os.mkfifo(path / name)


@pytest.mark.parametrize("kind", ["symlink", "directory", "fifo"])
def test_what_is_no_file_is_refused_by_name_and_reported_by_a_scan(path: Path, kind: str) -> None:
    make_foreign(path, kind, ONE)
    with open_store(str(path)) as store:
        with pytest.raises(StoreError, match=kind) as error:
            store.look(ONE)
        tokens, foreign = store.scan()
        assert store.due(NOW) == ([], [])
        with pytest.raises(StoreError, match=kind):
            store.create([ONE], ANY)
    assert ONE not in str(error.value)
    assert tokens == []
    assert [(thing.kind, thing.fingerprint) for thing in foreign] == [(kind, fingerprint(ONE))]
    assert names(path) == [ONE]


def test_a_symlink_is_not_followed_when_its_attributes_are_changed(tmp_path: Path, path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch(mode=0o600)
    with open_store(str(path)) as store:
        store.create([ONE], ANY)
        token = store.look(ONE)
        assert token is not None
        (path / ONE).unlink()
        (path / ONE).symlink_to(victim)
        with pytest.raises(StoreError):
            store.set_attributes(token, Attributes(mode=0o644))
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


def test_a_directory_in_a_token_s_place_keeps_its_mode(path: Path) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], ANY)
        token = store.look(ONE)
        assert token is not None
        (path / ONE).unlink()
        (path / ONE).mkdir(mode=0o700)
        with pytest.raises(StoreError, match=f"token {fingerprint(ONE)} is no longer a file"):
            store.set_attributes(token, Attributes(mode=0o644))
    assert stat.S_IMODE((path / ONE).stat().st_mode) == 0o700


def test_a_symlink_is_not_followed_when_a_file_is_read(tmp_path: Path, path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"subject": "root"}')
    (path / ONE).symlink_to(secret)
    with open_store(str(path)) as store:
        with pytest.raises(StoreError):
            store._read(ONE)


def test_a_dangling_symlink_is_not_created_through(tmp_path: Path, path: Path) -> None:
    (path / ONE).symlink_to(tmp_path / "elsewhere")
    with open_store(str(path)) as store:
        with pytest.raises(StoreError, match="symlink"):
            store.create([TWO, ONE], ANY)
    assert not (tmp_path / "elsewhere").exists()
    assert names(path) == [ONE]


def test_names_that_are_no_tokens_are_reported_and_stay(path: Path) -> None:
    for name in ("README", ".hidden", ONE + ".bak"):
        (path / name).touch()
    os.close(os.open(os.fsencode(path) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
    with open_store(str(path)) as store:
        tokens, foreign = store.scan()
        assert store.due(NOW) == ([], [])
    assert tokens == []
    assert [thing.kind for thing in foreign] == ["foreign name"] * 4
    assert len(list(path.iterdir())) == 4


def test_a_name_in_skip_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE), managed(TWO)], ANY)
        read = []
        monkeypatch.setattr(store, "_read", lambda name: read.append(name) or b"{}")
        tokens, _foreign = store.scan(skip={ONE})
    assert read == [TWO]
    assert [token.name for token in tokens] == [TWO]


# Pruning


def test_only_ended_managed_files_are_due(path: Path) -> None:
    with open_store(str(path)) as store:
        store.create(["touched-token-16ch"], ANY)
        store.write([managed(ONE, NOW), managed(TWO, NOW + 1), managed("endless-token-16c", None)], ANY)
        expired, corrupt = store.due(NOW)
    assert [token.name for token in expired] == [ONE]
    assert corrupt == []


def test_a_touched_file_is_never_due_however_old_it_is(path: Path) -> None:
    (path / ONE).touch()
    os.utime(path / ONE, (1, 1))
    with open_store(str(path)) as store:
        assert store.due(NOW * 2) == ([], [])


@pytest.mark.parametrize("content", ["", "\n"])
def test_pruning_leaves_the_times_of_a_touched_file_alone(path: Path, content: str) -> None:
    (path / ONE).write_text(content)
    os.utime(path / ONE, (1, 1))
    with open_store(str(path)) as store:
        assert store.due(NOW) == ([], [])
    assert (path / ONE).stat().st_mtime == 1


def test_a_managed_file_that_was_touched_by_hand_keeps_its_end(path: Path) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE, NOW + 60)], ANY)
        os.utime(path / ONE, (NOW - 5, NOW - 5))
        assert store.due(NOW) == ([], [])
        assert (path / ONE).stat().st_mtime == NOW + 60
        assert [token.name for token in store.due(NOW + 60)[0]] == [ONE]


def test_a_file_that_is_not_due_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE)], ANY)
        store.create([TWO], ANY)
        monkeypatch.setattr(store, "_read", lambda name: pytest.fail("opened"))
        assert store.due(NOW) == ([], [])


def test_a_corrupt_file_is_due_only_when_nobody_can_be_writing_it(path: Path) -> None:
    (path / ONE).write_text("{")
    now = time.time()
    with open_store(str(path)) as store:
        assert store.due(now + 1) == ([], [])
        expired, corrupt = store.due(now + token_store.QUARANTINE_GRACE + 1)
        assert (expired, [token.name for token in corrupt]) == ([], [ONE])
        store.quarantine([ONE])
        tokens, foreign = store.scan()
    assert tokens == []
    assert [thing.kind for thing in foreign] == ["quarantined token"]
    assert (path / (".corrupt-" + ONE)).read_text() == "{"


def test_a_clock_that_jumped_back_makes_nothing_due(path: Path) -> None:
    with open_store(str(path)) as store:
        store.write([managed(ONE, NOW + 60)], ANY)
        assert store.due(NOW - 10**8) == ([], [])


# All or nothing


def failing_after(count: int, real: object, code: int) -> object:
    calls = []

    def call(*args: object, **kwargs: object) -> object:
        if len(calls) == count:
            raise OSError(code, os.strerror(code), args[0])
        calls.append(1)
        return real(*args, **kwargs)  # type: ignore[operator]

    return call


def test_a_disk_that_fills_up_while_creating_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(str(path)) as store:
        monkeypatch.setattr(os, "open", failing_after(2, os.open, errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left on device; nothing was created") as error:
            store.create([ONE, TWO, "three-token-of-16"], ANY)
        monkeypatch.undo()
    assert "three-token-of-16" not in str(error.value)
    assert names(path) == []


@pytest.mark.parametrize("call", ["write", "rename", "utime"])
def test_a_disk_that_fills_up_while_writing_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with open_store(str(path)) as store:
        monkeypatch.setattr(os, call, failing_after(1, getattr(os, call), errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left on device; nothing was created"):
            store.write([managed(ONE), managed(TWO)], ANY)
        monkeypatch.undo()
    assert names(path) == []


def test_a_disk_that_breaks_while_it_is_written_to_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def syncfs(_descriptor: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    with open_store(str(path)) as store:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kwargs: Library)
        # So many are written to the disk by one call.
        with pytest.raises(StoreError, match="Input/output error; nothing was created"):
            store.write([managed(f"{ONE}{number}") for number in range(writing.FSYNC_EACH + 1)], ANY)
        monkeypatch.undo()
    assert names(path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_removal_that_does_not_reach_the_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], ANY)
        monkeypatch.setattr(os, "fsync", failing_after(0, os.fsync, code))
        with pytest.raises(StoreError, match="cannot write the store to the disk: " + os.strerror(code)):
            store.remove([ONE])
        monkeypatch.undo()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EROFS])
def test_a_file_system_that_cannot_be_told_to_write_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], ANY)
        monkeypatch.setattr(os, "fsync", failing_after(0, os.fsync, code))
        store.remove([ONE])
        monkeypatch.undo()
    assert names(path) == []


def test_a_store_that_cannot_be_written_is_a_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(str(path)) as store:
        store.create([ONE], ANY)

        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), args[0])

        monkeypatch.setattr(os, "unlink", refuse)
        with pytest.raises(StoreError, match="Read-only file system; 0 of 1 were removed") as error:
            store.remove([ONE])
        monkeypatch.undo()
    assert ONE not in str(error.value)


@pytest.mark.parametrize("count", [1, writing.FSYNC_EACH + 1])
def test_a_file_is_on_the_disk_before_it_gets_its_name(path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    events: list[str] = []
    real_fsync, real_rename, real_syncfs = os.fsync, os.rename, writing._sync_file_system
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), real_fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda *a, **k: (events.append("rename"), real_rename(*a, **k)))
    monkeypatch.setattr(writing, "_sync_file_system", lambda *a: (events.append("sync"), real_syncfs(*a)))
    with open_store(str(path)) as store:
        store.write([managed(f"token-number-{number:05d}") for number in range(count)], ANY)
    # the last one is the directory's own
    assert events == ["sync"] + ["rename"] * count + ["sync"]


def test_without_syncfs_every_file_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(*args: object, **kwargs: object) -> None:
        raise OSError("no such library")

    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(writing.ctypes, "CDLL", no_library)
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    with open_store(str(path)) as store:
        store.write([managed(f"token-number-{number:05d}") for number in range(20)], ANY)
    assert len(synced) == 21


# Several at once, and killed ones


def issue(path: str, first: int) -> None:
    for number in range(first, first + 20):
        with open_store(path) as store:
            store.write([managed(f"token-number-{number:05d}")], ANY)


def test_calls_side_by_side_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=issue, args=(str(path), 100 * number)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert len(names(path)) == 120


def test_a_second_run_waits_for_the_first_and_gives_up_with_a_clear_error(path: Path) -> None:
    with open_store(str(path)):
        started = time.monotonic()
        with pytest.raises(HostError, match="locked by another run"):
            with open_store(str(path), wait=0.2):
                pass
        assert time.monotonic() - started >= 0.2
        with open_store(str(path), write=False) as store:
            assert store.scan() == ([], [])


KILLED = """
import sys
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import *
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import Attributes, Draft, document_of
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store
print("ready", flush=True)
with open_store(sys.argv[1]) as store:
    for batch in range(1000):
        store.write(
            [Draft("token-%04d-%06d" % (batch, n), document_of("x" * 200, 1, 9999999999)) for n in range(200)],
            Attributes(),
        )
"""


def test_a_killed_run_leaves_no_half_written_token_and_no_rest(path: Path, tmp_path: Path) -> None:
    seen_rest = False
    import ansible_collections

    tree = str(Path(next(iter(ansible_collections.__path__))).parent)
    for round_number in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": tree},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * round_number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        seen_rest = seen_rest or (path / STAGING).exists()
        for entry in path.iterdir():
            if entry.name != STAGING:
                assert json.loads(entry.read_text())["expires_at"] == 9999999999
                assert entry.stat().st_mtime == 9999999999
        with open_store(str(path)) as store:
            assert not (path / STAGING).exists()
            store.remove([token.name for token in store.scan()[0]])
    assert seen_rest, "no kill met a run in the middle of its work; the test proves nothing"
    assert names(path) == []


def test_a_token_that_was_linked_back_out_of_the_removed_ones_is_removed_again(path: Path) -> None:
    """To move one name of a file over another of its names is no change, and no error."""
    with open_store(str(path)) as store:
        store.create([ONE, TWO], Attributes())
        assert store.take_away([ONE], owed=True).removed == [ONE]
        os.link(path / ENDED / ONE, path / ONE)
        assert store.take_away([ONE, TWO], owed=True).removed == [ONE, TWO]
        assert names(path) == [ENDED]
        assert [record.is_token_again for record in store.owed()] == [False, False]
