# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _token_report as report

TOTALS = {"tokens": 1, "valid": 1, "expired": 0, "corrupt": 0, "foreign": 0}


def token(fingerprint: str = "3b1f0a9c77de", **values: object) -> dict[str, object]:
    return {
        "fingerprint": fingerprint,
        "subject": "client-42",
        "form": "managed",
        "issued_at": 1800000000,
        "expires_at": 1800003600,
        "seconds_left": 3600,
        "valid": True,
        **values,
    }


def removed(count: int = 1, **values: object) -> dict[str, object]:
    return {
        "removed": count,
        "quarantined": 0,
        "fingerprints": {"removed": ["3b1f0a9c77de"] * count, "quarantined": []},
        **values,
    }


def test_a_token_of_all_proxies_is_one_line_and_its_sessions_are_added_up() -> None:
    results = {host: {"tokens": [token(sessions=2)], "totals": TOTALS, "foreign": []} for host in ("a", "b")}
    (entry,) = report.merge(results)["tokens"]
    assert (entry["proxies"], entry["missing"], entry["sessions"]) == (["a", "b"], [], 4)
    assert report.lines(results)[1].split() == [
        "3b1f0a9c77de",
        "client-42",
        "managed",
        "2027-01-15T08:00:00Z",
        "2027-01-15T09:00:00Z",
        "1h",
        "4",
        "all",
    ]


def test_a_token_that_a_proxy_lacks_or_has_with_another_end_shows() -> None:
    results = {
        "a": {"tokens": [token()], "totals": TOTALS},
        "b": {"tokens": [token(expires_at=1800007200)], "totals": TOTALS},
    }
    merged = report.merge(results)
    assert [entry["missing"] for entry in merged["tokens"]] == [["b"], ["a"]]
    assert report.lines(results)[1].endswith("only:a")


def test_tokens_that_end_first_come_first_and_endless_ones_last() -> None:
    tokens = [token("ccc", expires_at=None), token("bbb", expires_at=20), token("aaa", expires_at=10)]
    merged = report.merge({"a": {"tokens": tokens, "totals": TOTALS}})
    assert [entry["fingerprint"] for entry in merged["tokens"]] == ["aaa", "bbb", "ccc"]


def test_a_long_line_has_no_single_blank_at_which_yaml_would_fold_it() -> None:
    tokens = [token(seconds_left=3725)]
    header, line, _totals = report.lines(
        {"a-proxy-with-a-long-name": {"tokens": tokens, "totals": TOTALS}, "b": {"tokens": [], "totals": TOTALS}}
    )[:3]
    assert re.search(r"\S \S", header) is None
    assert re.search(r"\S \S", line) is None
    assert "1h2m" in line


def test_foreign_things_and_an_empty_store_are_told() -> None:
    totals = {**TOTALS, "tokens": 0, "valid": 0, "foreign": 1}
    foreign = [{"kind": "symlink", "inode": 7, "fingerprint": "0c0beacef887"}]
    text = report.lines({"a": {"tokens": [], "totals": totals, "foreign": foreign}})
    assert text == ["No tokens.", "a: 0 valid of 0 tokens, 1 foreign", "a: symlink in the store, inode 7"]


def test_ended_tokens_are_told_to_open_the_gate_until_they_are_removed() -> None:
    totals = {**TOTALS, "tokens": 3, "valid": 1, "expired": 2}
    (_none, text) = report.lines({"a": {"tokens": [], "totals": totals}})
    assert text == "a: 1 valid of 3 tokens, 2 expired (open the gate until they are removed)"


def test_a_result_of_something_else_is_refused_by_the_name_of_its_host() -> None:
    with pytest.raises(report.ReportError, match="b has no result"):
        report.merge({"a": {"tokens": [], "totals": TOTALS}, "b": {"msg": "failed"}})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "ended"), (-5, "ended"), (59, "59s"), (3600, "1h"), (3725, "1h 2m"), (90061, "1d 1h")],
)
def test_a_duration_has_two_units_at_most(seconds: int | None, text: str) -> None:
    assert report.duration_text(seconds) == text


def test_what_was_revoked_is_told_by_proxy() -> None:
    sessions = {"found": 3, "ended": 2, "remaining": 1}
    results = {
        "b": removed(sessions=sessions, failed=True, msg="1 open session(s) could not be ended: why"),
        "a": removed(),
    }
    assert report.change_lines(results) == [
        "a: 1 removed (3b1f0a9c77de)",
        "b: 1 removed (3b1f0a9c77de), 2 open sessions ended, 1 could NOT be ended",
        "FAILED b: 1 open session(s) could not be ended: why",
    ]


@pytest.mark.parametrize(("count", "text"), [(0, "0 open sessions"), (1, "1 open session"), (2, "2 open sessions")])
def test_one_session_is_not_told_as_several(count: int, text: str) -> None:
    totals = {**TOTALS, "sessions": count}
    assert report.lines({"a": {"tokens": [], "totals": totals}})[-1].endswith(f", {text}")
    sessions = {"found": count, "ended": count, "remaining": 0}
    assert report.change_lines({"a": removed(sessions=sessions)})[0].endswith(f", {text} ended")


def test_a_proxy_that_did_not_answer_is_a_failure_and_not_nothing_removed() -> None:
    assert report.change_lines({"a": removed(0), "b": {"unreachable": True}}) == ["a: 0 removed", "FAILED b: no answer"]
    assert report.change_lines({"a": removed(0)}) == ["a: 0 removed", "Nothing was removed."]


def taken_back(kind: str = "jti", change: str = "created", **more: Any) -> dict[str, Any]:
    entry = {"kind": kind, "id": "ab" * 32, "issued_before": None, "until": 1800000000, "change": change}
    if kind == "sub":
        entry["issued_before"] = 1790000000
    counts = {name: int(name == change) for name in ("created", "updated", "removed", "unchanged")}
    sessions = {"found": 2, "ended": 2, "remaining": 0}
    return {"takes_signed_tokens": True, **counts, "entries": [entry], "sessions": sessions, **more}


NO_ISSUERS = {"takes_signed_tokens": False, "entries": [], "sessions": {"found": 0, "ended": 0, "remaining": 0}}


def test_signed_tokens_are_told_beside_opaque_ones_and_nothing_of_proxies_that_take_none() -> None:
    results = {"a": removed(), "b": removed(0)}
    signed = {"a": NO_ISSUERS, "b": taken_back("sub")}
    assert report.change_lines(results, signed) == [
        "a: 1 removed (3b1f0a9c77de)",
        "b: 0 removed; signed tokens issued before 2026-09-21T14:13:20Z taken back until 2027-01-15T08:00:00Z, "
        "2 open sessions ended",
    ]
    assert report.changes({"a": removed()}, {"a": NO_ISSUERS}) == report.changes({"a": removed()})
    assert report.changes(results, signed)["proxies"]["b"]["signed"]["created"] == 1


def test_a_signed_token_alone_is_told_alone() -> None:
    assert report.change_lines({}, {"a": taken_back(), "b": taken_back(change="unchanged"), "c": NO_ISSUERS}) == [
        "a: signed token abababababab taken back until 2027-01-15T08:00:00Z, 2 open sessions ended",
        "b: signed token abababababab was taken back already until 2027-01-15T08:00:00Z, 2 open sessions ended",
    ]
    assert report.changes({}, {"c": NO_ISSUERS})["failures"] == [
        "none of these proxies takes signed tokens (wss_proxy_issuers)"
    ]


def test_a_fingerprint_of_a_signed_token_is_told_with_what_to_do() -> None:
    found = {**removed(0), "signed": [{"token_id": "ab" * 32, "sessions": 2}]}
    first, told, last = report.change_lines({"a": found})
    assert (first, last) == ("a: 0 removed", "Nothing was removed.")
    assert told.startswith("a: abababababab is a signed token (JWT), in no store, with 2 open sessions, which go on.")
    assert f"token_revoke -e token_id={'ab' * 32} (or -e jti=" in told
    assert told.endswith("session_end -e fingerprint=abababababab")
    assert report.changes({"a": found})["proxies"]["a"]["not_removed"] == found["signed"]
    assert "not_removed" not in report.changes({"a": {**removed(), "signed": []}})["proxies"]["a"]


def test_a_failure_of_both_is_told_once() -> None:
    gone = {"unreachable": True, "msg": "gone"}
    assert report.changes({"a": gone}, {"a": gone})["failures"] == ["a: gone"]
    # A container that is stopped is no unreachable host to its connection, and Ansible names a folder of each task.
    said = [f"Failed to create temporary directory. mkdir ansible-tmp-17960003{n}.42-480-12645{n}" for n in (16, 21)]
    stopped = [{"failed": True, "msg": words} for words in said]
    assert report.changes({"a": stopped[0]}, {"a": stopped[1]})["failures"] == [
        "a: Failed to create temporary directory. mkdir ansible-tmp"
    ]
    failed = taken_back(failed=True, msg="1 open session(s) could not be ended: why")
    assert report.change_lines({}, {"a": failed})[-1] == "FAILED a: 1 open session(s) could not be ended: why"


# What ansible-core before 2.19 makes of a number that was templated on its way to a filter.


class Text(str):
    """As AnsibleUnsafeText: a str of another class."""


def as_text(value: object) -> object:
    """The same with every number and None as text."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value if isinstance(value, (bool, str)) else Text(value)


def test_a_time_may_be_text() -> None:
    assert report.time_text(Text("1800003600")) == report.time_text(1800003600) == "2027-01-15 09:00:00"
    assert report.time_text(Text("")) == report.time_text(Text("None")) == "-"
    assert report.duration_text(Text("3725")) == "1h 2m"


def test_a_listing_of_text_is_the_same_as_one_of_numbers() -> None:
    tokens = [
        token("bbb", expires_at=1800007200, sessions=2),
        token("aaa", sessions=0),
        token("ccc", expires_at=None, seconds_left=None),
    ]
    results = {"a": {"tokens": tokens, "totals": {**TOTALS, "expired": 1, "sessions": 2}, "foreign": []}}
    texts = {"a": {"tokens": as_text(tokens), "totals": as_text(results["a"]["totals"]), "foreign": []}}
    assert report.merge(texts) == report.merge(results)
    assert report.lines(texts) == report.lines(results)


def test_changes_of_text_are_the_same_as_those_of_numbers() -> None:
    results = {"a": removed(sessions={"found": 3, "ended": 3, "remaining": 0}), "b": removed(0)}
    texts = as_text(results)
    assert report.changes(texts) == report.changes(results)
    assert report.change_lines(texts) == report.change_lines(results)


ISSUED = {"tokens": ["a-token"], "expires_at": 1800003600, "fingerprints": {"created": ["3b1f0a9c77de"]}}


def test_what_was_issued_is_told_with_its_end() -> None:
    for ends in (1800003600, Text("1800003600")):
        result = {**ISSUED, "expires_at": ends}
        assert report.issued_lines(result, ["a", "b"], Text("client-42")) == [
            "For:         client-42",
            "Valid until: 2027-01-15 09:00:00 UTC",
            "Proxies:     a, b",
            "Fingerprint: 3b1f0a9c77de",
            "Token:       a-token",
        ]
        assert report.issued(result, ["a"], "client-42")["expires_at"] == 1800003600
    assert report.issued({**ISSUED, "expires_at": None}, ["a"])["expires_at"] is None


def test_what_was_issued_without_a_name_or_an_end_is_told_as_such() -> None:
    result = {"fingerprints": {"created": []}}
    assert report.issued_lines(result, ["a"], "") == [
        "For:         nobody in particular",
        "Valid until: it is revoked",
        "Proxies:     a",
        "Fingerprint: none yet (check mode)",
        "Token:       none yet (check mode)",
    ]


def test_tokens_that_went_to_a_file_are_not_told() -> None:
    told = report.issued(ISSUED, ["a"], None, "/root/token")
    assert (told["tokens"], told["token_file"]) == ([], "/root/token")
    lines = report.issued_lines(ISSUED, ["a"], None, "/root/token")
    assert lines[-1] == "Token:       written to /root/token"
    assert not any("a-token" in line for line in lines)


def test_an_answer_about_something_else_is_refused() -> None:
    with pytest.raises(report.ReportError, match="wss_token"):
        report.issued({"msg": "failed"}, ["a"])
