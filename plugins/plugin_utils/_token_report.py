# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The token lists of several proxies as one, for a person or a program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("fingerprint", "subject", "form", "issued", "expires", "left", "sessions", "proxies")
SUBJECT_WIDTH = 40
CHANGES = ("removed", "quarantined")


class ReportError(Exception):
    """The results do not come from wss_token_info."""


def merge(results: Mapping[str, Any]) -> dict[str, Any]:
    """One entry a token, with the proxies that have it; proxies that say different things are told apart."""
    tokens: dict[tuple[Any, ...], dict[str, Any]] = {}
    for host, result in results.items():
        if not isinstance(result, Mapping) or "tokens" not in result or "totals" not in result:
            raise ReportError(f"{host} has no result of wss_token_info")
        for token in result["tokens"]:
            key = (token["fingerprint"], token["subject"], token["form"], token["expires_at"])
            entry = tokens.setdefault(key, {**token, "proxies": [], "sessions": None})
            entry["proxies"].append(host)
            sessions = token.get("sessions")
            if sessions is not None:
                entry["sessions"] = (entry["sessions"] or 0) + int(sessions)
    proxies = sorted(results)
    for entry in tokens.values():
        entry["proxies"].sort()
        entry["missing"] = [host for host in proxies if host not in entry["proxies"]]
    return {
        "proxies": proxies,
        "tokens": sorted(tokens.values(), key=_soonest_first),
        "totals": {host: dict(results[host]["totals"]) for host in proxies},
        "foreign": {host: list(results[host].get("foreign", [])) for host in proxies if results[host].get("foreign")},
    }


def _soonest_first(token: Mapping[str, Any]) -> tuple[float, str, str]:
    ends = token["expires_at"]
    return (float("inf") if ends is None else float(ends), token["subject"] or "", token["fingerprint"])


def time_text(moment: int | None) -> str:
    return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))


def duration_text(seconds: int | None) -> str:
    """Two units at most: 3d 4h, 12m 5s."""
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "ended"
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def lines(results: Mapping[str, Any]) -> list[str]:
    """A table for a person, times in UTC.

    No cell of ours holds a blank: output as YAML (callback_result_format) folds long lines at single blanks.
    """
    merged = merge(results)
    proxies = merged["proxies"]
    rows = [tuple(name.upper() for name in COLUMNS)]
    for token in merged["tokens"]:
        subject = token["subject"] or "-"
        rows.append(
            (
                token["fingerprint"],
                subject if len(subject) <= SUBJECT_WIDTH else subject[: SUBJECT_WIDTH - 1] + "…",
                token["form"],
                time_text(token["issued_at"]).replace(" ", "T"),
                time_text(token["expires_at"]).replace(" ", "T"),
                duration_text(token["seconds_left"]).replace(" ", ""),
                "-" if token["sessions"] is None else str(token["sessions"]),
                "all" if not token["missing"] else "only:" + ",".join(token["proxies"]),
            )
        )
    text = _aligned(rows) if merged["tokens"] else ["No tokens."]
    for host in proxies:
        text.append(f"{host}: {_totals_text(merged['totals'][host])}")
        text += [
            f"{host}: {thing['kind']} in the store, inode {thing['inode']}" for thing in merged["foreign"].get(host, [])
        ]
    return text


def _totals_text(totals: Mapping[str, int]) -> str:
    words = [f"{totals['valid']} valid of {totals['tokens']} tokens"]
    words += [f"{totals[name]} {name}" for name in ("expired", "corrupt", "foreign") if totals.get(name)]
    if totals.get("sessions") is not None:
        words.append(f"{totals['sessions']} open sessions")
    return ", ".join(words)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def changes(results: Mapping[str, Any]) -> dict[str, Any]:
    """What wss_token removed on each proxy, and the words of each that did not do it all."""
    proxies: dict[str, Any] = {}
    failures: list[str] = []
    for host, result in sorted(results.items()):
        known = isinstance(result, Mapping) and "removed" in result
        if known:
            proxies[host] = {name: result[name] for name in CHANGES}
            proxies[host]["fingerprints"] = sorted(sum((result["fingerprints"][name] for name in CHANGES), []))
            proxies[host]["sessions"] = result.get("sessions")
        if not known or result.get("failed"):
            words = result.get("msg") if isinstance(result, Mapping) else None
            failures.append(f"{host}: {words or 'no answer'}")
    return {"proxies": proxies, "failures": failures}


def change_lines(results: Mapping[str, Any]) -> list[str]:
    merged = changes(results)
    text = []
    for host, result in sorted(merged["proxies"].items()):
        words = f"{result['removed']} removed"
        if result["quarantined"]:
            words += f", {result['quarantined']} set aside"
        if result["fingerprints"]:
            words += f" ({', '.join(result['fingerprints'])})"
        sessions = result.get("sessions")
        if sessions is not None:
            words += f", {sessions['ended']} open sessions ended"
            if sessions["remaining"]:
                words += f", {sessions['remaining']} could NOT be ended"
        text.append(f"{host}: {words}")
    text += [f"FAILED {failure}" for failure in merged["failures"]]
    if not merged["failures"] and not any(
        result["removed"] or result["quarantined"] for result in merged["proxies"].values()
    ):
        text.append("Nothing was removed.")
    return text
