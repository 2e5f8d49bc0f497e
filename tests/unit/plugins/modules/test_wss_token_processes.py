# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wss_token in processes of its own: several at once, killed ones, and disks that are full or read-only."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import LEFT_SOMETHING
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import main as prune
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.writing import STAGING
from ansible_collections.wssgate.nginx.plugins.modules import wss_token
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

ENDS = 4_000_000_000
BATCH = [f"batch-token-{number:06d}" for number in range(400)]
KILLS = 25
MEETINGS = 25


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    # In memory where that is to be had: on a busy disk most of a run, and so most kills, would be waiting for it.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="wssgate-unit-", dir=memory) as folder:
        store = Path(folder) / "tokens"
        store.mkdir(mode=0o710)
        yield store


class Call:
    """One call of the module in a process of its own."""

    def __init__(self, answer: Path, **arguments: Any) -> None:
        self._answer = answer
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            with answer.open("w") as file, contextlib.redirect_stdout(file), patch_module_args(arguments):
                with contextlib.suppress(SystemExit):
                    wss_token.main()
            status = 0
        finally:
            os._exit(status)

    def result(self) -> dict[str, Any]:
        assert os.waitpid(self.pid, 0)[1] == 0
        answer: dict[str, Any] = json.loads(self._answer.read_text())
        return answer

    def kill(self) -> bool:
        """Whether it was still at work."""
        os.kill(self.pid, signal.SIGKILL)
        return os.WIFSIGNALED(os.waitpid(self.pid, 0)[1])


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


# Several at once


def test_calls_at_once_lose_nothing(path: Path, tmp_path: Path) -> None:
    for turn in range(MEETINGS):
        before = [f"gone-{turn:04d}-token-{number:04d}" for number in range(20)]
        for token in before:
            (path / token).touch()
        managed, plain = (
            [f"{kind}-{turn:04d}-token-{number:04d}" for number in range(20)] for kind in ("managed", "plain")
        )
        calls = [
            Call(tmp_path / "a", path=str(path), tokens=managed, subject="x", expires_at=ENDS),
            Call(tmp_path / "b", path=str(path), tokens=plain),
            Call(tmp_path / "c", path=str(path), tokens=before, state="absent"),
            Call(tmp_path / "d", path=str(path), generate=20, subject="y", ttl=600),
        ]
        created = [call.result() for call in calls]
        assert [(result.get("created"), result.get("removed")) for result in created] == [
            (20, 0),
            (20, 0),
            (0, 20),
            (20, 0),
        ]
        assert names(path) == {*managed, *plain, *created[3]["tokens"]}
        for entry in path.iterdir():
            entry.unlink()


def test_calls_at_once_for_one_subject_make_one_token(path: Path, tmp_path: Path) -> None:
    for turn in range(MEETINGS):
        calls = [Call(tmp_path / name, path=str(path), subject=f"x{turn}", ttl=600) for name in ("a", "b", "c")]
        assert sorted(call.result()["created"] for call in calls) == [0, 0, 1]
    assert len(names(path)) == MEETINGS


# Killed ones


def whole(path: Path) -> Iterator[str]:
    """Every name that the gate would take for a token; each must be a finished file."""
    for entry in path.iterdir():
        if entry.name != STAGING:
            document = json.loads(entry.read_text())
            assert (document["expires_at"], entry.stat().st_mtime) == (ENDS, ENDS)
            yield entry.name


def duration(path: Path, tmp_path: Path, **arguments: Any) -> float:
    started = time.monotonic()
    assert "failed" not in Call(tmp_path / "first", path=str(path), **arguments).result()
    return time.monotonic() - started


def killed_runs(path: Path, tmp_path: Path, longest: float, **arguments: Any) -> Iterator[None]:
    """Kills at moments all over the run; the caller looks after each, and sets the store up before it.

    How long a run takes changes with what else the machine does, so the moments follow what the last kill met.
    """
    moments = random.Random(5)
    met = 0
    for _turn in range(8 * KILLS):
        call = Call(tmp_path / "killed", path=str(path), **arguments)
        time.sleep(moments.uniform(0, longest))
        is_met = call.kill()
        longest *= 1.1 if is_met else 0.8
        met += is_met
        yield
        if met == KILLS:
            return
    raise AssertionError(f"only {met} kills met a run at work; the test proves too little")


def test_a_killed_batch_leaves_whole_tokens_only_and_the_next_run_completes_it(path: Path, tmp_path: Path) -> None:
    arguments = {"tokens": BATCH, "subject": "x", "expires_at": ENDS}
    longest = duration(path, tmp_path, **arguments)
    halves = rests = 0
    for entry in path.iterdir():
        entry.unlink()
    for _kill in killed_runs(path, tmp_path, longest, **arguments):
        there = set(whole(path))
        assert there <= set(BATCH)
        halves += 0 < len(there) < len(BATCH)
        rests += (path / STAGING).exists()
        result = Call(tmp_path / "next", path=str(path), **arguments).result()
        assert (result["created"], result["unchanged"]) == (len(BATCH) - len(there), len(there))
        assert set(whole(path)) == set(BATCH) == names(path)
        for entry in path.iterdir():
            entry.unlink()
    assert rests, "no kill left anything to clear; the test proves nothing"


def test_a_killed_rewrite_leaves_each_token_old_or_new(path: Path, tmp_path: Path) -> None:
    for subject in ("old", "new"):
        longest = duration(path, tmp_path, tokens=BATCH, subject=subject, expires_at=ENDS)
    arguments = {"tokens": BATCH, "subject": "old", "expires_at": ENDS}
    for _kill in killed_runs(path, tmp_path, longest, **arguments):
        assert set(whole(path)) == set(BATCH)
        assert {json.loads((path / token).read_text())["subject"] for token in BATCH} <= {"old", "new"}
        Call(tmp_path / "next", path=str(path), **{**arguments, "subject": "new"}).result()
        assert names(path) == set(BATCH)


def test_a_killed_removal_is_completed_by_the_next_run(path: Path, tmp_path: Path) -> None:
    def fill() -> None:
        Call(
            tmp_path / "fill", path=str(path), tokens=[*BATCH, "other-token-of-16"], subject="x", expires_at=ENDS
        ).result()

    fill()
    arguments = {"tokens": BATCH, "state": "absent"}
    longest = duration(path, tmp_path, **arguments)
    fill()
    for _kill in killed_runs(path, tmp_path, longest, **arguments):
        left = set(whole(path)) - {"other-token-of-16"}
        result = Call(tmp_path / "next", path=str(path), **arguments).result()
        assert (result["removed"], names(path)) == (len(left), {"other-token-of-16"})
        fill()


def test_what_a_killed_run_left_is_cleared_by_the_pruner_too(path: Path) -> None:
    (path / STAGING).mkdir()
    (path / STAGING / "0").write_text('{"subj')
    assert prune(["--store", str(path)]) == 0
    assert names(path) == set()


# Disks


def mounted(path: Path, *options: str) -> None:
    done = subprocess.run(["mount", *options, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("nothing can be mounted here: " + done.stderr.strip())


@pytest.fixture
def small(path: Path) -> Iterator[Path]:
    """A store on a disk of 64 KiB."""
    mounted(path, "-t", "tmpfs", "-o", "size=64k,nr_inodes=1000", "tmpfs")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("arguments", [{"tokens": BATCH}, {"generate": 100}], ids=["given", "generated"])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_done(
    small: Path, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    # Kept, and so small that its one block is there already.
    Call(tmp_path / "a", path=str(small), tokens=["kept-token-of-16c"], subject="x", expires_at=ENDS).result()
    result = Call(tmp_path / "b", path=str(small), subject="x", expires_at=ENDS, **arguments).result()
    assert result["failed"]
    assert result["msg"].endswith("No space left on device; nothing was created")
    assert names(small) == {"kept-token-of-16c"} == set(whole(small))
    # Revoking needs no room.
    (small / "filler").write_bytes(b"x" * 40960)
    with contextlib.suppress(OSError), (small / "filler").open("ab") as file:
        while True:
            file.write(b"x" * 512)
            file.flush()
    assert Call(tmp_path / "c", path=str(small), tokens=["kept-token-of-16c"], state="absent").result()["removed"] == 1


@pytest.fixture
def read_only(path: Path) -> Iterator[Path]:
    (path / "touched-token-of-16").touch()
    ended = path / "ended-token-of-16c"
    ended.write_text('{"expires_at": 5}')
    os.utime(ended, (5, 5))
    mounted(path, "--bind", str(path))
    subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tokens": ["new-token-of-16-c"]}, "nothing was created"),
        ({"subject": "x", "ttl": 60}, "cannot prepare the writing of tokens"),
        ({"tokens": ["touched-token-of-16"], "state": "absent"}, "0 of 1 were removed"),
        ({"expired": True, "state": "absent"}, "0 of 1 were removed"),
        ({"tokens": ["touched-token-of-16"], "mode": "0640"}, "cannot change owner or mode"),
    ],
)
def test_a_read_only_store_is_a_clear_error(
    read_only: Path, tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    before = names(read_only)
    result = Call(tmp_path / "a", path=str(read_only), **arguments).result()
    assert result["failed"] and "Read-only file system" in result["msg"] and words in result["msg"]
    assert "-token-of-16" not in json.dumps(result)
    assert names(read_only) == before


def test_a_read_only_store_that_is_as_wanted_is_no_error(read_only: Path, tmp_path: Path) -> None:
    result = Call(tmp_path / "a", path=str(read_only), tokens=["touched-token-of-16"]).result()
    assert (result["changed"], result["unchanged"]) == (False, 1)


def test_the_pruner_says_why_it_cannot_remove(read_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prune(["--store", str(read_only)]) == LEFT_SOMETHING
    output = capsys.readouterr().out
    assert "Read-only file system" in output and "-token-of-16" not in output
