# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a call asks of the file system, counted: for some tokens it is the same in a small store and in a large one."""

from __future__ import annotations

import json
import os
import weakref
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import record
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import store as token_store
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint
from ansible_collections.wssgate.nginx.plugins.modules import wss_token, wss_token_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

SMALL, LARGE = 20, 3000
LATER = 4_000_000_000
COUNTED = ("open", "stat", "unlink", "rename", "utime", "listdir", "fsync")


def name(number: int) -> str:
    return f"many-token-{number:08d}"


def filled(path: Path, count: int) -> Path:
    path.mkdir(mode=0o710)
    for number in range(count):
        document = {"subject": f"client-{number}", "issued_at": 1, "expires_at": LATER}
        (path / name(number)).write_text(json.dumps(document, separators=(",", ":")) + "\n")
        os.utime(path / name(number), (LATER, LATER))
    return path


class Entries:
    """A listing that is counted, entry by entry."""

    def __init__(self, entries: Any, calls: Counter[str]) -> None:
        self._entries, self._calls = entries, calls

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        entry = next(self._entries)
        self._calls["listed"] += 1
        return entry


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the file system was asked what, and how many names were listed."""
    found: Counter[str] = Counter()

    def counted(what: str) -> Any:
        real = getattr(os, what)

        def call(*arguments: Any, **options: Any) -> Any:
            found[what] += 1
            return real(*arguments, **options)

        return call

    for what in COUNTED:
        monkeypatch.setattr(os, what, counted(what))
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *arguments: Entries(scandir(*arguments), found))
    return found


def asked_of(
    calls: Counter[str], capsys: pytest.CaptureFixture[str], module: Any, **arguments: Any
) -> tuple[dict[str, Any], Counter[str]]:
    calls.clear()
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    counted = Counter(calls)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "failed" not in answer, answer
    return answer, counted


@pytest.mark.parametrize(
    "arguments",
    [
        {"tokens": ["a-new-token-of-16"]},
        {"tokens": ["a-new-token-of-16"], "subject": "alice", "ttl": 60},
        {"generate": 1},
        {"generate": 5, "subject": "alice", "ttl": 60},
        {"tokens": [name(7)], "subject": "client-7", "expires_at": LATER},
        {"tokens": [name(7)], "state": "absent"},
        {"tokens": [name(7)], "state": "absent", "disconnect": True},
        {"tokens": ["nobodys-token-of-16"], "state": "absent", "disconnect": True},
    ],
    ids=lambda arguments: " ".join(str(one) for one in arguments),
)
def test_a_call_for_some_tokens_looks_at_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: Counter[str], arguments: dict[str, Any]
) -> None:
    log = tmp_path / "log" / "sessions.log"
    log.parent.mkdir()
    log.touch(mode=0o600)
    counted = []
    for count in (SMALL, LARGE):
        path = filled(tmp_path / str(count), count)
        answer, asked = asked_of(calls, capsys, wss_token, path=str(path), session_log=str(log), **arguments)
        assert answer["created"] + answer["removed"] + answer["unchanged"] > 0
        counted.append(asked)
    assert counted[0] == counted[1]
    assert counted[0]["open"] > 0


def test_a_token_is_found_by_its_fingerprint_by_the_names_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: Counter[str]
) -> None:
    counted = []
    for count in (SMALL, LARGE):
        path = filled(tmp_path / str(count), count)
        answer, asked = asked_of(
            calls, capsys, wss_token, path=str(path), state="absent", fingerprints=[fingerprint(name(7))]
        )
        assert answer["removed"] == 1
        assert asked.pop("listed") == count
        counted.append(asked)
    assert counted[0] == counted[1]


def test_of_a_large_store_no_more_is_listed_than_what_some_names_are_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "LIST_FROM", 100)
    path = filled(tmp_path / "tokens", LARGE)
    new = [f"new-token-of-16-{number:08d}" for number in range(100)]
    answer, asked = asked_of(calls, capsys, wss_token, path=str(path), tokens=new)
    assert answer["created"] == 100
    assert asked["listed"] <= 100 * token_store.LISTED_AT_MOST + 1
    # Of a small one all is listed, and none is asked for.
    answer, asked = asked_of(calls, capsys, wss_token, path=str(filled(tmp_path / "small", 50)), tokens=new)
    assert answer["created"] == 100 and asked["listed"] == 50 and asked["stat"] < 100


@pytest.mark.parametrize("limits", [{"subjects": ["client-7"]}, {"limit": 1}, {"limit": 0}], ids=str)
def test_of_a_store_no_more_is_kept_than_what_is_to_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    path = filled(tmp_path / "tokens", 200)
    soon = LATER - 1000
    (path / name(7)).write_text(json.dumps({"subject": "client-7", "issued_at": 1, "expires_at": soon}))
    most = 0
    each = token_store.TokenStore.each

    def watched(self: Any, *arguments: Any) -> Iterator[Any]:
        nonlocal most
        seen = []
        for token in each(self, *arguments):
            seen.append(weakref.ref(token.name))
            most = max(most, sum(1 for one in seen if one() is not None))
            yield token
            del token

    class Holder(str):
        """A name that can be watched for being let go."""

    made = token_store.Token
    monkeypatch.setattr(token_store, "Token", lambda name_, *fields: made(Holder(name_), *fields))
    monkeypatch.setattr(token_store.TokenStore, "each", watched)
    answer, _asked = asked_of(Counter(), capsys, wss_token_info, path=str(path), **limits)
    assert [token["subject"] for token in answer["tokens"]] == ([] if limits.get("limit") == 0 else ["client-7"])
    assert answer["totals"]["tokens"] == answer["totals"]["subjects"] == 200
    # The one that is kept, the one that is looked at, and the one before.
    assert most <= 3


def test_a_limit_below_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with patch_module_args({"path": str(filled(tmp_path / "tokens", 1)), "limit": -1}), pytest.raises(SystemExit):
        wss_token_info.main()
    assert json.loads(capsys.readouterr().out)["msg"] == "limit must be 0 or more, not -1"


@pytest.mark.parametrize(
    "document",
    [
        '{"subject":"client-7","issued_at":1,"expires_at":4000000000}',
        '{"subject":null,"issued_at":null,"expires_at":null}',
        '{"subject":"","issued_at":0,"expires_at":99999999999}',
        '{"subject":"a\\u00e9 \\"b\\" \\\\","issued_at":1,"expires_at":2}',
        '{"subject":"tab\there","issued_at":1,"expires_at":2}',
        '{"subject":"é","issued_at":1,"expires_at":2}',
        '{"subject":"a","issued_at":01,"expires_at":2}',
        '{"subject":"a","issued_at":1,"expires_at":00}',
        '{"subject":"a","issued_at":1,"expires_at":10000000000000000000}',
        '{"subject":"a","issued_at":1,"expires_at":-1}',
        '{"subject":"a","issued_at":1,"expires_at":2}}',
        '{"subject":"a","issued_at":1,"expires_at":2',
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "x"])
def test_a_document_says_the_same_whether_json_reads_it_or_not(document: str, end: str) -> None:
    plainly = record.parse_document((document + end).encode())
    # A blank in front, which JSON lets pass, is not how this collection writes it.
    assert record._PLAIN_DOCUMENT.match(b" " + document.encode()) is None
    assert record.parse_document(b" " + (document + end).encode()) == plainly


def test_by_subject_no_token_of_another_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("a list of all tokens")

    monkeypatch.setattr(token_store.TokenStore, "scan", refused)
    path = str(filled(tmp_path / "tokens", 20))
    for arguments in ({"state": "absent"}, {"ttl": 60}):
        answer, _asked = asked_of(Counter(), capsys, wss_token, path=path, subject="client-7", **arguments)
        assert (answer["removed"], answer["created"]) == ((1, 0) if "state" in arguments else (0, 1))
