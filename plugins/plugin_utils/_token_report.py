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
NUMBERS = ("issued_at", "expires_at", "seconds_left")


class ReportError(Exception):
    """The results do not come from wss_token_info."""


def number(value: Any) -> int | None:
    """A number of a result, or None.

    Before 2.19 ansible-core hands filters the text of what was templated on the way, of None as well.
    """
    return None if value is None or value in ("", "None") else int(value)


def merge(results: Mapping[str, Any]) -> dict[str, Any]:
    """One entry a token, with the proxies that have it; proxies that say different things are told apart."""
    tokens: dict[tuple[Any, ...], dict[str, Any]] = {}
    for host, result in results.items():
        if not isinstance(result, Mapping) or "tokens" not in result or "totals" not in result:
            raise ReportError(f"{host} has no result of wss_token_info")
        for token in result["tokens"]:
            numbers = {name: number(token.get(name)) for name in NUMBERS}
            key = (token["fingerprint"], token["subject"], token["form"], numbers["expires_at"])
            entry = tokens.setdefault(key, {**token, **numbers, "proxies": [], "sessions": None})
            entry["proxies"].append(host)
            sessions = number(token.get("sessions"))
            if sessions is not None:
                entry["sessions"] = (entry["sessions"] or 0) + sessions
    proxies = sorted(results)
    for entry in tokens.values():
        entry["proxies"].sort()
        entry["missing"] = [host for host in proxies if host not in entry["proxies"]]
    return {
        "proxies": proxies,
        "tokens": sorted(tokens.values(), key=_soonest_first),
        "totals": {host: _numbers(results[host]["totals"]) for host in proxies},
        "foreign": {host: list(results[host].get("foreign", [])) for host in proxies if results[host].get("foreign")},
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, int | None]:
    return {name: number(value) for name, value in values.items()}


def _soonest_first(token: Mapping[str, Any]) -> tuple[float, str, str]:
    ends = token["expires_at"]
    return (float("inf") if ends is None else float(ends), token["subject"] or "", token["fingerprint"])


def time_text(moment: Any) -> str:
    seconds = number(moment)
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def time_cell(moment: Any) -> str:
    """The same without a blank, with the zone as ISO 8601 writes UTC."""
    text = time_text(moment)
    return text if text == "-" else text.replace(" ", "T") + "Z"


def duration_text(seconds: Any) -> str:
    """Two units at most: 3d 4h, 12m 5s."""
    seconds = number(seconds)
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
    """A table for a person, times in UTC, which they name (Z).

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
                time_cell(token["issued_at"]),
                time_cell(token["expires_at"]),
                duration_text(token["seconds_left"]).replace(" ", ""),
                "-" if token["sessions"] is None else str(token["sessions"]),
                "all" if not token["missing"] else "only:" + ",".join(token["proxies"]),
            )
        )
    text = aligned(rows) if merged["tokens"] else ["No tokens."]
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
        words.append(open_sessions(totals["sessions"]))
    return ", ".join(words)


def open_sessions(count: int) -> str:
    return f"{count} open session{'' if count == 1 else 's'}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def changes(results: Mapping[str, Any]) -> dict[str, Any]:
    """What wss_token removed on each proxy, and the words of each that did not do it all."""
    proxies: dict[str, Any] = {}
    failures: list[str] = []
    for host, result in sorted(results.items()):
        known = isinstance(result, Mapping) and "removed" in result
        if known:
            proxies[host] = {name: number(result[name]) for name in CHANGES}
            proxies[host]["fingerprints"] = sorted(sum((result["fingerprints"][name] for name in CHANGES), []))
            sessions = result.get("sessions")
            proxies[host]["sessions"] = _numbers(sessions) if isinstance(sessions, Mapping) else None
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
            words += f", {open_sessions(sessions['ended'])} ended"
            if sessions["remaining"]:
                words += f", {sessions['remaining']} could NOT be ended"
        text.append(f"{host}: {words}")
    text += [f"FAILED {failure}" for failure in merged["failures"]]
    if not merged["failures"] and not any(
        result["removed"] or result["quarantined"] for result in merged["proxies"].values()
    ):
        text.append("Nothing was removed.")
    return text


def issued(
    result: Mapping[str, Any], proxies: Sequence[str], subject: Any = None, token_file: str | None = None
) -> dict[str, Any]:
    """What wss_token generated, for a program. Tokens that were written to a file are not in it."""
    if not isinstance(result, Mapping) or "fingerprints" not in result:
        raise ReportError("this is no result of wss_token")
    return {
        "subject": str(subject) if subject is not None and str(subject) else None,
        "expires_at": number(result.get("expires_at")),
        "fingerprints": list(result["fingerprints"]["created"]),
        "proxies": list(proxies),
        "tokens": [] if token_file else list(result.get("tokens", [])),
        "token_file": token_file or None,
    }


def issued_lines(
    result: Mapping[str, Any], proxies: Sequence[str], subject: Any = None, token_file: str | None = None
) -> list[str]:
    """The same for a person."""
    told = issued(result, proxies, subject, token_file)
    none_yet = "none yet (check mode)"
    ends = told["expires_at"]
    shown = f"written to {token_file}" if token_file else ", ".join(told["tokens"]) or none_yet
    return [
        f"For:         {told['subject'] or 'nobody in particular'}",
        f"Valid until: {'it is revoked' if ends is None else time_text(ends) + ' UTC'}",
        f"Proxies:     {', '.join(told['proxies'])}",
        f"Fingerprint: {', '.join(told['fingerprints']) or none_yet}",
        f"Token:       {shown}",
    ]
