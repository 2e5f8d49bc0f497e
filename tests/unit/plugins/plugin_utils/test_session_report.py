# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _session_report as report
from ansible_collections.wssgate.nginx.plugins.plugin_utils._token_report import ReportError


def session(number: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "id": f"700-{number}-1",
        "client": "203.0.113.9",
        "client_port": 50001,
        "peer": None,
        "subject": "client-42",
        "fingerprint": "3b1f0a9c77de",
        "server": "wcs.example.com",
        "location": "/wss",
        "upstream": "http://127.0.0.1:8080/wss",
        "since": 1800000000 + number,
        "age": 3725,
        "ends_at_earliest": None,
        "ends_at_latest": 1800003600,
        "bytes_received": 18211,
        "bytes_sent": 204813,
        **values,
    }


def result(*sessions: dict[str, Any], total: int | None = None, unlisted: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "sessions": list(sessions),
        "unlisted": [{"client": client, "client_port": 40000} for client in unlisted],
        "totals": {"sessions": len(sessions) if total is None else total, "unlisted": len(unlisted)},
    }


def ended(count: int = 1, remaining: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "found": count + remaining,
        "ended": count,
        "remaining": remaining,
        "reason": "",
        "ids": [f"700-{number}-1" for number in range(count)],
        "remaining_ids": [],
        **values,
    }


def test_the_sessions_of_all_proxies_are_one_table_the_oldest_first() -> None:
    results = {"b": result(session(1), session(4)), "a": result(session(3), session(2))}
    found = report.merge(results)
    assert [(one["host"], one["id"]) for one in found["sessions"]] == [
        ("b", "700-1-1"), ("a", "700-2-1"), ("a", "700-3-1"), ("b", "700-4-1"),
    ]  # fmt: skip
    header, line = report.lines(results)[:2]
    assert header.split() == [name.upper() for name in report.COLUMNS]
    assert line.split() == [
        *("b", "700-1-1", "203.0.113.9", "client-42", "3b1f0a9c77de", "wcs.example.com", "/wss"),
        *("2027-01-15T08:00:01Z", "1h2m", "2027-01-15T09:00:00Z", "17K", "200K"),
    ]


def test_a_line_has_no_single_blank_at_which_yaml_would_fold_it() -> None:
    header, line = report.lines({"a-proxy": result(session(subject=None, server=None, bytes_sent=None))})[:2]
    assert re.search(r"\S \S", header) is None and re.search(r"\S \S", line) is None


def test_a_session_of_which_little_is_known_has_dashes() -> None:
    names = ("subject", "fingerprint", "server", "location", "ends_at_latest", "bytes_received", "bytes_sent")
    line = report.lines({"a": result(session(**dict.fromkeys(names), age=0))})[1]
    assert line.split()[3:7] == ["-"] * 4 and line.split()[8:] == ["1s", "-", "-", "-"]


def test_each_proxy_tells_how_many_there_are_and_what_is_not_in_the_log() -> None:
    results = {
        "a": result(session(), total=20, unlisted=("192.0.2.1", "192.0.2.2", "192.0.2.1")),
        "b": result(unlisted=("192.0.2.1",)),
        "c": result(),
    }
    assert report.lines(results)[2:] == [
        "a: 20 open sessions, 1 of them shown, 3 connections not in the session log: 192.0.2.1 (2), 192.0.2.2 (1)",
        "b: 0 open sessions, 1 connection not in the session log: 192.0.2.1 (1)",
        "c: 0 open sessions",
    ]
    many = report.lines({"a": result(unlisted=tuple(f"192.0.2.{number}" for number in range(12)))})
    assert many[0] == "No sessions." and many[1].endswith("192.0.2.9 (1) and 2 more addresses")


def test_what_was_asked_for_stands_above() -> None:
    criteria = {"subject": "client-42", "client": ["::1", "::2"], "location": "", "all": False, "id": None}
    above = "Criteria: subject=client-42, client=::1,::2"
    assert report.lines({"a": result()}, criteria)[0] == above
    assert report.end_lines({"a": ended()}, criteria)[0] == above
    assert report.end_lines({"a": ended()}, {"all": True})[0] == "Criteria: all=True"
    assert report.lines({"a": result()}, {"subject": ""})[0] == "No sessions."


def test_a_result_of_something_else_is_refused_by_the_name_of_its_host() -> None:
    with pytest.raises(ReportError, match="b has no result of wss_session_info"):
        report.merge({"a": result(), "b": {"msg": "failed"}})


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0B"), (9999, "9999B"), (10000, "9K"), (204813, "200K"), (10**8, "95M"), (10**13, "9313G")],
)
def test_a_size_has_four_digits_at_most(size: int | None, text: str) -> None:
    assert report.size_text(size) == text


def test_what_was_ended_is_told_by_proxy() -> None:
    unlisted = {"found": 2, "ended": 1, "remaining": 1}
    results = {
        "b": ended(2, 1, failed=True, msg="1 session could not be ended: why"),
        "a": ended(1, unlisted=unlisted, failed=True, msg="1 session could not be ended: why"),
        "c": ended(0),
    }
    assert report.end_lines(results) == [
        "a: 1 open session ended, 1 other connection ended, 1 could NOT be ended",
        "b: 2 open sessions ended, 1 could NOT be ended",
        "c: 0 open sessions ended",
        "FAILED a: 1 session could not be ended: why",
        "FAILED b: 1 session could not be ended: why",
    ]
    assert report.ends(results)["proxies"]["a"] == {
        "found": 1, "ended": 1, "remaining": 0, "ids": ["700-0-1"], "unlisted": unlisted,
    }  # fmt: skip


def test_a_dry_run_tells_what_would_be_done() -> None:
    assert report.end_lines({"a": ended(2)}, dry=True) == ["a: 2 open sessions would be ended"]
    assert report.end_lines({"a": ended(0)}, dry=True)[-1] == "Nothing would be ended."
    assert report.end_lines({"a": ended(0)})[-1] == "Nothing was ended."


def test_a_proxy_that_did_not_answer_is_a_failure_and_not_nothing_ended() -> None:
    results = {"a": ended(0), "b": {"unreachable": True, "msg": "no route"}, "c": {}}
    assert report.end_lines(results) == ["a: 0 open sessions ended", "FAILED b: no route", "FAILED c: no answer"]
