# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open sessions of several proxies as one list, and what became of those that were to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ._token_report import SUBJECT_WIDTH, ReportError, aligned, duration_text, number, open_sessions, time_cell

COLUMNS = (
    *("host", "id", "client", "subject", "fingerprint", "server", "location"),
    *("since", "age", "ends", "received", "sent"),
)
NUMBERS = (
    *("client_port", "since", "age", "ends_at_earliest", "ends_at_latest"),
    *("bytes_received", "bytes_sent"),
)
ADDRESSES_SHOWN = 10
COUNTS = ("found", "ended", "remaining")


def merge(results: Mapping[str, Any]) -> dict[str, Any]:
    """The sessions of all proxies, the oldest first, each with its host."""
    sessions: list[dict[str, Any]] = []
    unlisted: list[dict[str, Any]] = []
    for host, result in sorted(results.items()):
        if not isinstance(result, Mapping) or "sessions" not in result or "unlisted" not in result:
            raise ReportError(f"{host} has no result of wss_session_info")
        for session in result["sessions"]:
            numbers = {name: number(session.get(name)) for name in NUMBERS}
            sessions.append({"host": host, **session, **numbers})
        for one in result["unlisted"]:
            unlisted.append({"host": host, "client": one["client"], "client_port": number(one["client_port"])})
    return {
        "proxies": sorted(results),
        # The sort is stable: of one second, as the host has them.
        "sessions": sorted(sessions, key=lambda session: session["since"] or 0),
        "unlisted": unlisted,
        "totals": {host: _numbers(results[host]["totals"]) for host in sorted(results)},
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, int]:
    return {name: number(value) or 0 for name, value in values.items()}


def lines(results: Mapping[str, Any], criteria: Mapping[str, Any] | None = None) -> list[str]:
    """A table for a person, times in UTC, which they name (Z). No cell of ours holds a blank, see token_table."""
    merged = merge(results)
    rows = [tuple(name.upper() for name in COLUMNS)]
    for session in merged["sessions"]:
        subject = session["subject"] or "-"
        rows.append(
            (
                session["host"],
                session["id"],
                session["client"],
                subject if len(subject) <= SUBJECT_WIDTH else subject[: SUBJECT_WIDTH - 1] + "…",
                session["fingerprint"] or "-",
                session["server"] or "-",
                session["location"] or "-",
                time_cell(session["since"]),
                duration_text(max(1, session["age"] or 0)).replace(" ", ""),
                time_cell(session["ends_at_latest"]),
                size_text(session["bytes_received"]),
                size_text(session["bytes_sent"]),
            )
        )
    text = [_criteria_text(criteria)] if _given(criteria) else []
    text += aligned(rows) if merged["sessions"] else ["No sessions."]
    for host in merged["proxies"]:
        totals = merged["totals"][host]
        words = open_sessions(totals["sessions"])
        shown = sum(1 for session in merged["sessions"] if session["host"] == host)
        if shown != totals["sessions"]:
            words += f", {shown} of them shown"
        text.append(f"{host}: {words}{_unlisted_text(merged['unlisted'], host)}")
    return text


def _unlisted_text(unlisted: Sequence[Mapping[str, Any]], host: str) -> str:
    """How many connections of each address the session log does not have."""
    counts = Counter(one["client"] for one in unlisted if one["host"] == host)
    if not counts:
        return ""
    some = [f"{address} ({count})" for address, count in counts.most_common(ADDRESSES_SHOWN)]
    more = f" and {len(counts) - len(some)} more addresses" if len(counts) > len(some) else ""
    total = sum(counts.values())
    return f", {total} connection{'' if total == 1 else 's'} not in the session log: {', '.join(some)}{more}"


def _given(criteria: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (criteria or {}).items() if value not in (None, "", False)}


def _criteria_text(criteria: Mapping[str, Any] | None) -> str:
    def text(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    return "Criteria: " + ", ".join(f"{name}={text(value)}" for name, value in _given(criteria).items())


def size_text(count: Any) -> str:
    """Bytes with the unit that leaves at most four digits: 980B, 12K, 1300M."""
    size = number(count)
    if size is None:
        return "-"
    for unit in ("B", "K", "M"):
        if size < 10_000:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}G"


def ends(results: Mapping[str, Any]) -> dict[str, Any]:
    """What wss_session ended on each proxy, and the words of each that did not do it all."""
    proxies: dict[str, Any] = {}
    failures: list[str] = []
    for host, result in sorted(results.items()):
        known = isinstance(result, Mapping) and "found" in result
        if known:
            proxies[host] = {name: number(result[name]) for name in COUNTS}
            proxies[host]["ids"] = list(result["ids"])
            unlisted = result.get("unlisted")
            proxies[host]["unlisted"] = _numbers(unlisted) if isinstance(unlisted, Mapping) else None
        if not known or result.get("failed"):
            words = result.get("msg") if isinstance(result, Mapping) else None
            failures.append(f"{host}: {words or 'no answer'}")
    return {"proxies": proxies, "failures": failures}


def end_lines(results: Mapping[str, Any], criteria: Mapping[str, Any] | None = None, dry: bool = False) -> list[str]:
    """The same for a person; with `dry` as what would be done."""
    merged = ends(results)
    done = "would be ended" if dry else "ended"
    text = [_criteria_text(criteria)] if _given(criteria) else []
    total = 0
    for host, result in merged["proxies"].items():
        words = f"{open_sessions(result['ended'])} {done}"
        total += result["ended"]
        remaining = result["remaining"]
        if result["unlisted"] is not None:
            count = result["unlisted"]["ended"]
            words += f", {count} other connection{'' if count == 1 else 's'} {done}"
            total += count
            remaining += result["unlisted"]["remaining"]
        if remaining:
            words += f", {remaining} could NOT be ended"
        text.append(f"{host}: {words}")
    text += [f"FAILED {failure}" for failure in merged["failures"]]
    if not total and not merged["failures"]:
        text.append(f"Nothing {done}." if dry else "Nothing was ended.")
    return text
