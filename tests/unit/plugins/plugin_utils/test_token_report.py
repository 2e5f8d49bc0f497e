# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

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
        "3b1f0a9c77de", "client-42", "managed", "2027-01-15T08:00:00", "2027-01-15T09:00:00", "1h", "4", "all",
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
    results = {"b": removed(sessions=sessions, failed=True, msg="1 open session(s) could not be ended: why"), "a": removed()}
    assert report.change_lines(results) == [
        "a: 1 removed (3b1f0a9c77de)",
        "b: 1 removed (3b1f0a9c77de), 2 open sessions ended, 1 could NOT be ended",
        "FAILED b: 1 open session(s) could not be ended: why",
    ]


def test_a_proxy_that_did_not_answer_is_a_failure_and_not_nothing_removed() -> None:
    assert report.change_lines({"a": removed(0), "b": {"unreachable": True}}) == ["a: 0 removed", "FAILED b: no answer"]
    assert report.change_lines({"a": removed(0)}) == ["a: 0 removed", "Nothing was removed."]
