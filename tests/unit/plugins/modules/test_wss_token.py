# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os
import stat
import time
from pathlib import Path
from typing import Any, Dict

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import store as _token_store
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint
from ansible_collections.wssgate.nginx.plugins.modules import wss_token, wss_token_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import IS_MASKED_BY_CONTROLLER, patch_module_args

ONE = "one-token-of-16ch"
TWO = "two-token-of-16ch"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = tmp_path / "tokens"
    store.mkdir(mode=0o710)
    return store


class Answer(Dict[str, Any]):
    text: str


def run(capsys: pytest.CaptureFixture[str], module: Any = wss_token, **arguments: Any) -> Answer:
    arguments.setdefault("_ansible_diff", True)
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    captured = capsys.readouterr()
    answer = Answer(json.loads(captured.out))
    answer.text = captured.out + captured.err
    return answer


def test_no_output_holds_a_given_token(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    for extra in (
        {},
        {"subject": "x", "ttl": 60},
        {"state": "absent"},
        {"exclusive": True},
        {"_ansible_check_mode": True},
    ):
        answer = run(capsys, path=str(path), tokens=[ONE, TWO], **extra)
        assert "failed" not in answer
        assert ONE not in answer.text and TWO not in answer.text
        assert answer["invocation"]["module_args"]["tokens"] == wss_token.HIDDEN


def encoded(*tokens: str) -> list[str]:
    return [base64.b64encode(token.encode()).decode() for token in tokens]


def test_an_encoded_token_is_as_good_as_a_plain_one_and_is_shown_in_no_form(
    capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    for extra in ({}, {"subject": "x", "ttl": 60}, {"_ansible_check_mode": True}, {"state": "absent"}):
        answer = run(capsys, path=str(path), encoded_tokens=encoded(ONE, TWO), **extra)
        assert "failed" not in answer
        assert not any(secret in answer.text for secret in (ONE, TWO, *encoded(ONE, TWO)))
        assert answer["invocation"]["module_args"]["encoded_tokens"] == wss_token.HIDDEN
        wanted = set() if extra.get("state") == "absent" else {ONE, TWO}
        assert {entry.name for entry in path.iterdir()} == wanted


def test_what_ansible_takes_for_secret_leaves_an_encoded_token_showable() -> None:
    # From 2.22 on it replaces these values in whatever a play shows later, and a play may show its token on purpose.
    validated = ArgumentSpecValidator(wss_token.argument_spec()).validate({"path": "/", "encoded_tokens": encoded(ONE)})
    assert validated._no_log_values and not any(value in ONE for value in validated._no_log_values)


@pytest.mark.parametrize("value", [ONE, "w6k=", "YQ"])
def test_what_is_no_base64_is_named_by_its_index_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], path: Path, value: str
) -> None:
    answer = run(capsys, path=str(path), encoded_tokens=[*encoded(TWO), value])
    assert answer["msg"] == "encoded_tokens[1] is not a token in base64; nothing was changed"
    assert value not in answer.text
    assert list(path.iterdir()) == []


def test_tokens_are_given_in_one_form(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    assert "mutually exclusive" in run(capsys, path=str(path), tokens=[ONE], encoded_tokens=encoded(TWO))["msg"]


@pytest.mark.skipif(IS_MASKED_BY_CONTROLLER, reason="ansible-core hides what is short itself")
def test_an_error_about_a_token_names_its_index_and_is_readable(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path=str(path), tokens=[ONE, "e"])
    assert answer["failed"]
    assert answer["msg"] == "tokens[1] is not a token: it has 1 character, at least 16 are needed; nothing was changed"
    assert ONE not in answer.text
    assert list(path.iterdir()) == []


def test_the_value_of_a_wrong_token_is_not_shown(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    wrong = "almost-a-token-with-a-dot."
    answer = run(capsys, path=str(path), tokens=[wrong])
    assert answer["failed"]
    assert wrong not in answer.text and wrong[:-1] not in answer.text


def test_an_operating_system_error_does_not_show_a_token(
    capsys: pytest.CaptureFixture[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise PermissionError(13, "Permission denied", ONE)

    monkeypatch.setattr(wss_token, "make_plan", fail)
    answer = run(capsys, path=str(path), tokens=[ONE])
    assert answer["failed"]
    assert ONE not in answer.text


def test_generated_tokens_are_returned(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path=str(path), generate=2)
    assert answer["changed"] and answer["created"] == 2
    assert {entry.name for entry in path.iterdir()} == set(answer["tokens"])
    assert answer["fingerprints"]["created"] == [fingerprint(token) for token in answer["tokens"]]
    assert not any(token in answer["diff"]["after"] for token in answer["tokens"])


def test_check_mode_generates_nothing_and_says_how_many(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path=str(path), generate=2, _ansible_check_mode=True)
    assert answer["changed"] and answer["created"] == 2
    assert "tokens" not in answer and answer["fingerprints"]["created"] == []
    assert list(path.iterdir()) == []


def test_check_mode_works_before_the_store_is_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "none"
    for arguments in ({"tokens": [ONE]}, {"subject": "x"}, {"expired": True, "state": "absent"}):
        answer = run(capsys, path=str(missing), _ansible_check_mode=True, group="no-such-group", **arguments)
        assert "failed" not in answer, answer
    answer = run(capsys, wss_token_info, path=str(missing), _ansible_check_mode=True)
    assert answer["totals"]["tokens"] == 0
    assert not missing.exists()


def test_check_mode_says_what_the_run_then_does(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    (path / TWO).touch()
    arguments = {"path": str(path), "tokens": [ONE], "exclusive": True}
    predicted = run(capsys, _ansible_check_mode=True, **arguments)
    assert {entry.name for entry in path.iterdir()} == {TWO}
    done = run(capsys, **arguments)
    assert {entry.name for entry in path.iterdir()} == {ONE}
    for key in ("changed", "created", "updated", "removed", "unchanged", "fingerprints", "diff"):
        assert predicted[key] == done[key]
    assert run(capsys, _ansible_check_mode=True, **arguments)["changed"] is False
    assert run(capsys, **arguments)["changed"] is False


THREE = "three-token-of-16"
ENDED = "ended-token-of-16"
SOON = int(time.time()) + 50


@pytest.fixture
def stocked(path: Path) -> Path:
    """A touched token, two of a subject of which one ends soon, one that has ended, one that is corrupt."""
    (path / ONE).touch()
    for name, ends in ((TWO, 2**31), (THREE, SOON), (ENDED, 5)):
        (path / name).write_text(json.dumps({"subject": "x", "issued_at": 1, "expires_at": ends}))
        os.utime(path / name, (ends, ends))
    (path / "corrupt-token-of-16").write_text("{")
    os.utime(path / "corrupt-token-of-16", (5, 5))
    return path


def picture(path: Path) -> dict[str, tuple[str, int, int, int]]:
    found = {entry.name: (entry.read_text(), entry.stat()) for entry in path.iterdir()}
    return {name: (text, status.st_mode, int(status.st_mtime), status.st_ino) for name, (text, status) in found.items()}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"tokens": [ONE, "fresh-token-of-16c"]}, (1, 0, 0, 0)),
        ({"tokens": [ONE, TWO], "subject": "y", "ttl": 60}, (0, 2, 0, 0)),
        ({"tokens": [TWO], "expires_at": 4000000000}, (0, 1, 0, 0)),
        ({"tokens": [ENDED], "subject": "x", "ttl": 60}, (0, 1, 0, 0)),
        ({"tokens": [ONE, TWO], "mode": "0640"}, (0, 2, 0, 0)),
        ({"tokens": [ONE], "exclusive": True}, (0, 0, 4, 0)),
        ({"tokens": [THREE], "ttl": 600, "renew_before": 100}, (0, 1, 0, 0)),
        ({"subject": "x", "count": 3, "ttl": 600}, (1, 0, 0, 0)),
        ({"subject": "x", "count": 2, "ttl": 600, "renew_before": 100}, (1, 0, 0, 0)),
        ({"subject": "x", "exclusive": True}, (0, 0, 2, 0)),
        ({"generate": 3}, (3, 0, 0, 0)),
        ({"state": "absent", "tokens": [ONE, "never-there-token-16"]}, (0, 0, 1, 0)),
        ({"state": "absent", "fingerprints": [fingerprint(TWO)]}, (0, 0, 1, 0)),
        ({"state": "absent", "subject": "x"}, (0, 0, 3, 0)),
        ({"state": "absent", "expired": True}, (0, 0, 1, 1)),
    ],
)
def test_in_every_state_check_mode_and_diff_say_what_the_run_then_does(
    capsys: pytest.CaptureFixture[str],
    stocked: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    expected: tuple[int, int, int, int],
) -> None:
    # What nobody wrote just now.
    monkeypatch.setattr(_token_store, "QUARANTINE_GRACE", 0)
    before = picture(stocked)
    # One moment for both, or an end that is counted from it would differ by a second.
    monkeypatch.setattr(wss_token.time, "time", lambda: SOON - 50.0)
    predicted = run(capsys, path=str(stocked), _ansible_check_mode=True, **arguments)
    assert picture(stocked) == before
    done = run(capsys, path=str(stocked), **arguments)
    counts = ("created", "updated", "removed", "quarantined")
    assert tuple(done[key] for key in counts) == expected
    for key in ("changed", "unchanged", *counts):
        assert predicted[key] == done[key]
    if "tokens" not in done:
        assert (predicted["diff"], predicted["fingerprints"]) == (done["diff"], done["fingerprints"])
    new = {fingerprint(name) for name in picture(stocked)} - {fingerprint(name) for name in before}
    gone = {fingerprint(name) for name in before} - {fingerprint(name) for name in picture(stocked)}
    lines = {side: {line.split()[0] for line in done["diff"][side].splitlines()} for side in ("before", "after")}
    told = {
        fingerprint_
        for fingerprint_ in lines["after"] - lines["before"]
        if f"{fingerprint_} quarantined" not in done["diff"]["after"]
    }
    assert new - {fingerprint(".corrupt-corrupt-token-of-16")} == told
    assert gone == (lines["before"] - lines["after"]) | set(done["fingerprints"]["quarantined"])
    if "generate" in arguments:
        return
    again = run(capsys, path=str(stocked), **arguments)
    assert (again["changed"], again["diff"]["before"], again["diff"]["after"]) == (False, "", "")


def test_a_run_without_diff_returns_none(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    assert "diff" not in run(capsys, path=str(path), tokens=[ONE], _ansible_diff=False)


@pytest.mark.parametrize("mode", ["0640", 0o640, "640"])
def test_the_mode_may_be_octal_digits_or_a_number(capsys: pytest.CaptureFixture[str], path: Path, mode: object) -> None:
    assert run(capsys, path=str(path), tokens=[ONE], mode=mode)["changed"]
    assert stat.S_IMODE((path / ONE).stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", ["u=rw", "0666", "0602", 600, "4755", "9", True])
def test_a_mode_that_is_none_or_lets_others_write_is_refused(
    capsys: pytest.CaptureFixture[str], path: Path, mode: object
) -> None:
    answer = run(capsys, path=str(path), tokens=[ONE], mode=mode)
    assert answer["failed"] and answer["msg"].startswith("mode must be")
    assert list(path.iterdir()) == []


def test_an_unknown_owner_is_a_clear_error(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path=str(path), tokens=[ONE], owner="no-such-user")
    assert answer["msg"] == "owner 'no-such-user' does not exist on this host"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_group_are_given_by_name_or_number(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    run(capsys, path=str(path), tokens=[ONE], owner="daemon", group="34")
    found = (path / ONE).stat()
    assert (found.st_uid, found.st_gid) == (1, 34)


def test_a_symlink_with_a_tokens_name_is_warned_about(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    (path / TWO).symlink_to("/etc/passwd")
    answer = run(capsys, path=str(path), tokens=[ONE], exclusive=True)
    assert answer["foreign"][0]["kind"] == "symlink"
    assert any("symlink" in str(warning) for warning in answer["warnings"])
    assert TWO not in answer.text
    assert (path / TWO).is_symlink()


@pytest.mark.skipif(IS_MASKED_BY_CONTROLLER, reason="ansible-core hides what is short itself")
def test_a_result_with_many_tokens_is_not_searched_for_each_of_them(
    capsys: pytest.CaptureFixture[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    from ansible.module_utils import basic

    real = basic.remove_values
    monkeypatch.setattr(
        basic, "remove_values", lambda value, hidden: (seen.append(len(hidden)), real(value, hidden))[1]
    )
    run(capsys, path=str(path), tokens=[f"token-number-{number:06d}" for number in range(100)])
    assert seen[-1] == 0


def test_the_list_module_shows_no_token(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    run(capsys, path=str(path), tokens=[ONE], subject="x", ttl=60)
    (path / TWO).write_text("{")
    answer = run(capsys, wss_token_info, path=str(path))
    assert answer["changed"] is False
    assert [token["subject"] for token in answer["tokens"]] == ["x", None]
    assert any("no readable JSON" in str(warning) for warning in answer["warnings"])
    assert ONE not in answer.text and TWO not in answer.text


def test_the_list_module_refuses_what_is_no_fingerprint(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, wss_token_info, path=str(path), fingerprints=[ONE])
    assert answer["failed"] and ONE not in answer["msg"]
