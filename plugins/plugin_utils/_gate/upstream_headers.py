# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that a location's upstream gets from the gate, the same in each request, such as an API key.

Their values are secrets. They are in no message and not in the model, which Ansible shows; each location's stand in a
file of their own, which is root's alone.
"""

from __future__ import annotations

import itertools
import re
import typing as t

from .context import GATE_HEADERS, Gate
from .options import UPSTREAM_HEADER_DEFAULTS
from .patterns import HEADER_NAME

# Visible ASCII, with blanks within (RFC 9110 5.5).
VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# A parameter of nginx's has to fit its buffer of 4096 bytes: NGX_CONF_BUFFER in ngx_conf_file.c.
WRITTEN_MAX_LENGTH = 4000
# Each may be - or _ in what a client sends: 16 spellings.
HYPHENS_MAX = 4
# The gate's own, all that begin so.
OWN_PREFIXES = ("sec-websocket-", "x-forwarded-")


def read(
    gate: Gate, where: str, slug: str, server_name: str, path: str, forwards_credentials: bool, given: t.Any
) -> t.List[str]:
    """The names; what else is wanted of them is in ``gate.upstream_headers``."""
    headers: t.List[t.Dict[str, str]] = []
    for here, item in _entries(gate, where, given):
        options = gate.problems.options(here, item, UPSTREAM_HEADER_DEFAULTS)
        name = gate.problems.matches(here, "name", options["name"], HEADER_NAME, "a header's name")
        _check_name(gate, here, name, forwards_credentials)
        if name.lower() in (header["name"].lower() for header in headers):
            gate.problems.add(here, f"{name!r} is there twice; a header has one value")
        headers.append({"name": name, "value": _value(gate, here, options["value"])})
    if headers:
        gate.upstream_headers.append(
            {
                "file": f"headers_{slug}.inc",
                "server": server_name,
                "path": path,
                "headers": headers,
                "cleared": [spelling for header in headers for spelling in other_spellings(header["name"])],
            }
        )
    return [header["name"] for header in headers]


def _entries(gate: Gate, where: str, given: t.Any) -> t.Iterator[t.Tuple[str, t.Mapping[str, t.Any]]]:
    """As Problems.entries, without a word of what was given."""
    if not isinstance(given, (list, tuple)):
        gate.problems.add(where, "upstream_headers is not a list; write '- name: …' and 'value: …' for each header")
        return
    for index, item in enumerate(given):
        here = f"{where}, upstream_headers[{index}]"
        if isinstance(item, t.Mapping):
            yield here, item
        else:
            gate.problems.add(here, "this is not a set of options; write 'name: …' and 'value: …', one a line")


def _check_name(gate: Gate, where: str, name: str, forwards_credentials: bool) -> None:
    lower = name.lower()
    if lower == "authorization":
        if forwards_credentials:
            gate.problems.add(
                where, "Authorization is the client's own with forward_credentials: true; keep one of the two"
            )
    elif lower == "host":
        gate.problems.add(where, "Host is a header that the gate sets itself; set the location's upstream_host")
    elif lower in GATE_HEADERS or lower.startswith(OWN_PREFIXES):
        gate.problems.add(where, f"{name!r} is a header that the gate or the handshake itself sets; name another")
    if name.count("-") > HYPHENS_MAX:
        gate.problems.add(
            where, f"{name!r} has more than {HYPHENS_MAX} hyphens, and a client may write each as _; name another"
        )


def _value(gate: Gate, where: str, given: t.Any) -> str:
    """The value as it stands between the quotes in nginx's configuration."""
    is_text = given is not None and not isinstance(given, (bool, float, list, tuple, t.Mapping))
    text = str(given) if is_text else ""
    if given in (None, ""):
        gate.problems.add(where, "there is no value; write 'value: …' below the name")
        return ""
    if not is_text or not VALUE.fullmatch(text):
        gate.problems.add(
            where,
            "value is not text of visible ASCII characters, with blanks only between them; put it in quotes, on one "
            "line",
        )
        return ""
    # nginx has no way to write a $ that begins no variable; $wss_dollar is one.
    written = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "${wss_dollar}")
    if len(written) > WRITTEN_MAX_LENGTH:
        gate.problems.add(where, f"value is too long for nginx, which takes {WRITTEN_MAX_LENGTH} characters")
    return written


def other_spellings(name: str) -> t.List[str]:
    """With underscores: upstreams that speak CGI or WSGI take X_Api_Key for X-Api-Key (RFC 3875 4.1.18)."""
    parts = name.split("-")
    joined = itertools.product("-_", repeat=len(parts) - 1)
    return ["".join(itertools.chain.from_iterable(zip(parts, (*marks, "")))) for marks in joined if "_" in marks]
