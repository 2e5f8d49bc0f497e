# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The token lists of several proxies as one, for a person or a program."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("fingerprint", "subject", "form", "issued", "expires", "left", "sessions", "proxies")
SUBJECT_WIDTH = 40
CHANGES = ("removed", "quarantined")
SIGNED_CHANGES = ("created", "updated", "unchanged")
FINGERPRINT_WIDTH = 12
SHOWN_AT_MOST = 20
# Ansible's folder for one task, in what it says of a host that it does not reach
TASK_FOLDER = re.compile(r"ansible-tmp(-[0-9.]+)+")
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
    if totals.get("expired"):
        # The gate looks whether the file is there.
        words.append(f"{totals['expired']} expired (open the gate until they are removed)")
    words += [f"{totals[name]} {name}" for name in ("corrupt", "foreign") if totals.get(name)]
    if totals.get("sessions") is not None:
        words.append(open_sessions(totals["sessions"]))
    return ", ".join(words)


def open_sessions(count: int) -> str:
    return f"{count} open session{'' if count == 1 else 's'}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def changes(
    results: Mapping[str, Any], signed: Mapping[str, Any] | None = None, hub: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What wss_token removed on each proxy, what wss_revocation took back, and the words of each that failed.

    ``hub``: what wss_hub_token returned, with the hosts of the gates. Then the results are those of the others.
    """
    proxies: dict[str, Any] = {}
    failures: list[str] = []
    for host, result in sorted(results.items()):
        known = isinstance(result, Mapping) and "removed" in result
        if known:
            proxies[host] = {name: number(result[name]) for name in CHANGES}
            proxies[host]["fingerprints"] = sorted(sum((result["fingerprints"][name] for name in CHANGES), []))
            sessions = result.get("sessions")
            proxies[host]["sessions"] = _numbers(sessions) if isinstance(sessions, Mapping) else None
            if result.get("signed"):
                proxies[host]["not_removed"] = [_numbered(one) for one in result["signed"]]
        _add_failure(failures, host, result, known)
    takes_any = False
    for host, result in sorted((signed or {}).items()):
        known = isinstance(result, Mapping) and "takes_signed_tokens" in result
        _add_failure(failures, host, result, known)
        if known and str(result["takes_signed_tokens"]).lower() == "true":
            takes_any = True
            nothing: dict[str, Any] = {**dict.fromkeys(CHANGES, 0), "fingerprints": [], "sessions": None}
            proxies.setdefault(host, nothing)["signed"] = _taken_back(result)
    if not hub:
        if signed and not results and not takes_any and not failures:
            failures.append("none of these proxies takes signed tokens (wss_proxy_issuers)")
        return {"proxies": proxies, "failures": failures}
    told = _told_by_hub(hub)
    asked = {*results, *(signed or {})}
    for host, silent in told["unconfirmed"].items():
        words = f"it has not confirmed what was revoked through the hub ({_silence(silent)})"
        if host not in asked:
            failures.append(f"{host}: {words}, and is not in this run")
        else:
            failures = [f"{one}; {words}" if one.startswith(f"{host}: ") else one for one in failures]
    return {"proxies": proxies, "failures": failures, "hub": told}


def _told_by_hub(hub: Mapping[str, Any]) -> dict[str, Any]:
    hosts = hub["gate_hosts"]
    return {
        "position": hub["position"] or None,
        "problem": hub["problem"] or None,
        "confirmed": [hosts.get(gate, gate) for gate in hub["confirmed"]],
        "unconfirmed": {hosts.get(one["gate"], one["gate"]): _seconds(one["silent"]) for one in hub["unconfirmed"]},
    }


def _seconds(value: Any) -> float | None:
    return None if value is None or value in ("", "None") else float(value)


def _silence(seconds: float | None) -> str:
    return "it has never reported" if seconds is None else f"silent for {seconds:g} s"


def _add_failure(failures: list[str], host: str, result: Any, known: bool) -> None:
    """Note a proxy that did not do it all; what it told twice, once."""
    if not known or result.get("failed"):
        words = result.get("msg") if isinstance(result, Mapping) else None
        failure = f"{host}: {TASK_FOLDER.sub('ansible-tmp', str(words)) if words else 'no answer'}"
        if failure not in failures:
            failures.append(failure)


def _numbered(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "sessions": number(one["sessions"])}


def _taken_back(result: Mapping[str, Any]) -> dict[str, Any]:
    sessions = result.get("sessions")
    return {
        **{name: number(result[name]) for name in SIGNED_CHANGES},
        "entries": [
            {**entry, "issued_before": number(entry["issued_before"]), "until": number(entry["until"])}
            for entry in result["entries"]
        ],
        "sessions": _numbers(sessions) if isinstance(sessions, Mapping) else None,
    }


def _hub_lines(told: Mapping[str, Any]) -> list[str]:
    if told["problem"]:
        return [f"The hub did not take it ({told['problem']}), so each proxy is asked by Ansible."]
    if not told["position"]:
        return ["It would be revoked through the hub (check mode)."]
    text = []
    if told["confirmed"]:
        text.append(f"Revoked through the hub and confirmed: {', '.join(told['confirmed'])}")
    text += [f"{host}: not confirmed through the hub, {_silence(one)}" for host, one in told["unconfirmed"].items()]
    return text or ["Revoked through the hub, which has no proxy to confirm it."]


def change_lines(
    results: Mapping[str, Any], signed: Mapping[str, Any] | None = None, hub: Mapping[str, Any] | None = None
) -> list[str]:
    merged = changes(results, signed, hub)
    text = _hub_lines(merged["hub"]) if hub else []
    for host, result in sorted(merged["proxies"].items()):
        parts = []
        if host in results:
            words = f"{result['removed']} removed"
            if result["quarantined"]:
                words += f", {result['quarantined']} set aside"
            if result["fingerprints"]:
                words += f" ({', '.join(result['fingerprints'])})"
            parts.append(words + _sessions_text(result.get("sessions")))
        if result.get("signed"):
            parts.append(_taken_back_text(result["signed"]))
        text.append(f"{host}: {'; '.join(parts)}")
        text += [f"{host}: {_not_removed_text(one)}" for one in result.get("not_removed", [])]
    text += [f"FAILED {failure}" for failure in merged["failures"]]
    if (
        not hub
        and not merged["failures"]
        and not any(
            result["removed"] or result["quarantined"] or result.get("signed") for result in merged["proxies"].values()
        )
    ):
        text.append("Nothing was removed.")
    return text


def _sessions_text(sessions: Mapping[str, int] | None) -> str:
    if sessions is None:
        return ""
    words = f", {open_sessions(sessions['ended'])} ended"
    return words + (f", {sessions['remaining']} could NOT be ended" if sessions["remaining"] else "")


def _not_removed_text(signed: Mapping[str, Any]) -> str:
    """What to do about a signed token whose fingerprint somebody took for one of the store."""
    token_id = signed["token_id"]
    short = token_id[:FINGERPRINT_WIDTH]
    return (
        f"{short} is a signed token (JWT), in no store, with {open_sessions(signed['sessions'])}, which go on. To take "
        f"it back: token_revoke -e token_id={token_id} (or -e jti=, its claim). To end sessions alone: session_end "
        f"-e fingerprint={short}"
    )


def _taken_back_text(signed: Mapping[str, Any]) -> str:
    """What became of signed tokens: each entry, and how many sessions."""
    words = []
    for entry in signed["entries"]:
        what = (
            f"signed token {entry['id'][:FINGERPRINT_WIDTH]}"
            if entry["kind"] == "jti"
            else f"signed tokens issued before {time_cell(entry['issued_before'])}"
        )
        done = "were taken back already" if entry["change"] == "unchanged" else "taken back"
        done = done.replace("were", "was") if entry["kind"] == "jti" else done
        until = "" if entry["until"] is None else f" until {time_cell(entry['until'])}"
        words.append(f"{what} {done}{until}")
    return ", ".join(words) + _sessions_text(signed["sessions"])


def issued(
    result: Mapping[str, Any],
    proxies: Sequence[str],
    subject: Any = None,
    token_file: str | None = None,
    missing: Sequence[str] = (),
) -> dict[str, Any]:
    """What wss_token generated, for a program. Tokens that were written to a file are not in it.

    ``missing``: proxies that could not be reached.
    """
    if not isinstance(result, Mapping) or "fingerprints" not in result:
        raise ReportError("this is no result of wss_token")
    return {
        "subject": str(subject) if subject is not None and str(subject) else None,
        "expires_at": number(result.get("expires_at")),
        "fingerprints": list(result["fingerprints"]["created"]),
        "proxies": list(proxies),
        "missing": list(missing),
        "tokens": [] if token_file else list(result.get("tokens", [])),
        "token_file": token_file or None,
    }


def issued_lines(
    result: Mapping[str, Any],
    proxies: Sequence[str],
    subject: Any = None,
    token_file: str | None = None,
    missing: Sequence[str] = (),
) -> list[str]:
    """The same for a person."""
    told = issued(result, proxies, subject, token_file, missing)
    none_yet = "none yet (check mode)"
    ends = told["expires_at"]
    shown = f"written to {token_file}" if token_file else ", ".join(told["tokens"]) or none_yet
    return [
        f"For:         {told['subject'] or 'nobody in particular'}",
        f"Valid until: {'it is revoked' if ends is None else time_text(ends) + ' UTC'}",
        f"Proxies:     {', '.join(told['proxies'])}",
        *([f"NOT on:      {', '.join(told['missing'])}, which cannot be reached"] if told["missing"] else []),
        f"Fingerprint: {', '.join(told['fingerprints']) or none_yet}",
        f"Token:       {shown}",
    ]


def adoption(result: Mapping[str, Any], exports: Mapping[str, Any], is_dry: bool = False) -> dict[str, Any]:
    """What the hub has adopted of the tokens of each proxy, for a program, with lines for a person."""
    read = {host: len(one["exported"]) for host, one in exports.items() if "exported" in one}
    failures = [
        f"{host}: {one.get('msg') or 'no answer'}; run this again once it is there"
        for host, one in sorted(exports.items())
        if "exported" not in one
    ]
    adopted, left = list(result.get("adopted") or []), list(result.get("left_alone") or [])
    if "adopted" not in result:
        failures.insert(0, f"the hub has adopted nothing: {result.get('msg') or 'no answer'}")
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one["reason"], []).append(one["fingerprint"])
    text = [f"{host}: {count} token{'' if count == 1 else 's'}" for host, count in sorted(read.items())]
    were = "would be" if is_dry else "was" if len(adopted) == 1 else "were"
    text.append(f"{len(adopted)} {were} adopted" + _some(adopted))
    text += [f"{len(some)} left alone: {reason}{_some(some)}" for reason, some in sorted(reasons.items())]
    text += [f"FAILED {failure}" for failure in failures]
    return {"proxies": read, "adopted": adopted, "left_alone": left, "failures": failures, "lines": text}


def _some(fingerprints: Sequence[str]) -> str:
    """The first of them, which are as many as a person reads."""
    if not fingerprints:
        return ""
    more = f" and {len(fingerprints) - SHOWN_AT_MOST} more" if len(fingerprints) > SHOWN_AT_MOST else ""
    return f" ({', '.join(fingerprints[:SHOWN_AT_MOST])}{more})"
