# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A signed token, for the person or the program that asked for it."""

from __future__ import annotations

import typing as t

from ._token_report import ReportError, number, time_text


def issued(
    result: t.Any, plan: t.Mapping[str, t.Any], proxies: t.Sequence[str], token_file: t.Optional[str] = None
) -> t.Dict[str, t.Any]:
    """What wss_jwt signed, for a program. A token that was written to a file is not in it."""
    if not isinstance(result, t.Mapping) or "public_key" not in result:
        raise ReportError("this is no result of wss_jwt")
    token = result.get("token")
    return {
        "subject": result["subject"] or None,
        "expires_at": number(result["expires_at"]),
        "issuer": plan["issuer"],
        "audience": plan["audience"],
        "algorithm": result["algorithm"],
        "kid": result["kid"],
        "jti": result.get("jti"),
        "token_id": result.get("token_id"),
        "proxies": list(proxies),
        "unchecked": list(plan["unchecked"]),
        "tokens": [] if token_file or not token else [token],
        "token_file": token_file or None,
    }


def issued_lines(
    result: t.Any, plan: t.Mapping[str, t.Any], proxies: t.Sequence[str], token_file: t.Optional[str] = None
) -> t.List[str]:
    """The same for a person."""
    told = issued(result, plan, proxies, token_file)
    none_yet = "none yet (check mode)"
    shown = ", ".join(told["tokens"]) or none_yet
    if token_file and told["token_id"]:
        shown = f"written to {token_file}"
    lines = [
        f"For:         {told['subject'] or 'nobody in particular'}",
        f"Valid until: {time_text(told['expires_at'])} UTC",
        f"Issuer:      {told['issuer']}, for {told['audience']}",
        f"Key:         {told['kid']} ({told['algorithm']})",
        f"Proxies:     {', '.join(told['proxies'])}",
    ]
    if told["unchecked"]:
        lines.append(f"Not checked: whether the key is one of the issuer's on {', '.join(told['unchecked'])}")
    return [
        *lines,
        f"Token name:  {told['jti'] or none_yet}",
        f"In the log:  {told['token_id'] or none_yet}",
        f"Token:       {shown}",
    ]
