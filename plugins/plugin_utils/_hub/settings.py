# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""token_store_hub: what gates, playbooks and modules have to know of the hub."""

from __future__ import annotations

import re
import typing as t

from ...module_utils._hub import keys
from .. import _role_variables
from .._problems import Problems

WHERE = "token_store_hub"
PORT, SENTINEL_PORT = 6379, 26379
_OPTIONS = _role_variables.options_of("token_store")[WHERE]["options"]


def defaults(options: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
    """The defaults of argument_specs.yml; nothing of its type ('' or []) for what has none."""
    return {name: option.get("default", [] if option["type"] == "list" else "") for name, option in options.items()}


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
_ADDRESS = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/[^\s]*[^\s/]")
_USER = re.compile(r"[!-~]{1,128}")
# One line, as a file of it is one; what a password may else be is the server's to say.
_PASSWORD = re.compile(r"[^\x00-\x20\x7f]{16,512}")
_SUBJECT = re.compile(r"[^\x00-\x1f\x7f]{1,128}")

Address = t.Dict[str, t.Any]


def is_own(hub: t.Any) -> bool:
    """Whether it names a server of the user's own."""
    return isinstance(hub, t.Mapping) and bool(hub.get("url") or hub.get("sentinels"))


def address(text: t.Any, port: int) -> t.Optional[Address]:
    """HOST[:PORT], or None where it is none."""
    found = _ADDRESS.fullmatch(str(text))
    if found is None or not 0 < int(found[2] or port) < 65536:
        return None
    return {"host": found[1].strip("[]"), "port": int(found[2] or port)}


def read(given: t.Any, gate: str, problems: Problems) -> t.Dict[str, t.Any]:
    """The dictionary, checked and completed for the gate of this name; where the servers are is as it was given."""
    if given and not isinstance(given, t.Mapping):
        # It may be a URL with a password.
        problems.add(WHERE, "it is not a set of options; write 'url: rediss://HOST' in it, one option a line")
        given = {}
    options = problems.options(WHERE, given or {}, defaults(_OPTIONS))
    found: t.Dict[str, t.Any] = {"server": None, "sentinels": []}
    if options["url"] and options["sentinels"]:
        problems.add(WHERE, "url and sentinels exclude each other; take the one out that is not meant")
    if options["url"]:
        found["server"] = _server(str(options["url"]), problems)
    sentinels = options["sentinels"]
    if not isinstance(sentinels, list):
        problems.add(WHERE, "sentinels is not a list; put it in [ ]")
        sentinels = []
    for index, text in enumerate(sentinels):
        one = address(text, SENTINEL_PORT)
        if one is None:
            problems.add(WHERE, f"sentinels[{index}] is not HOST or HOST:PORT")
        elif one in found["sentinels"]:
            problems.add(WHERE, f"sentinels has {text} twice")
        else:
            found["sentinels"].append(one)
    found["service"] = problems.matches(WHERE, "service", options["service"], _SERVICE, "a name for Sentinels")
    found["sentinel_auth"] = problems.flag(WHERE, "sentinel_auth", options["sentinel_auth"])
    name_rule = "1 to 64 of a-z, 0-9, '-', '_' and '.', the first a letter or digit"
    found["fleet"] = problems.matches(WHERE, "fleet", options["fleet"], keys.FLEET, name_rule)
    # A host's name may be in capitals; its key and its user are not.
    found["gate"] = problems.matches(WHERE, "gate", options["gate"] or gate.lower(), keys.GATE, name_rule)
    for key in ("ca_path", "password_path"):
        found[key] = problems.optional(WHERE, key, options[key], _PATH, "an absolute path without blanks")
    for key, default in (("username", keys.gate_user(found["gate"])), ("operator_username", keys.OPERATOR)):
        found[key] = problems.matches(WHERE, key, options[key] or default, _USER, "a name without blanks")
    for key in ("password", "operator_password"):
        found[key] = password(WHERE, key, options[key], problems)
    if found["password"] and found["password_path"]:
        problems.add(WHERE, "password and password_path exclude each other; take one out")
    found["startup_grace"] = problems.number(WHERE, "startup_grace", options["startup_grace"], 0, 86400)
    found["max_staleness"] = problems.number(WHERE, "max_staleness", options["max_staleness"], 0, 31536000)
    if 0 < found["max_staleness"] <= found["startup_grace"]:
        problems.add(
            WHERE,
            f"max_staleness ({found['max_staleness']}) must be longer than startup_grace ({found['startup_grace']}), "
            "within which the gate may have no sight of the hub",
        )
    found["issuers"] = _issuers(options["issuers"], problems)
    return found


def password(where: str, key: str, value: t.Any, problems: Problems) -> str:
    """A password, which no message shows."""
    text = "" if value is None else str(value)
    if text and not _PASSWORD.fullmatch(text):
        problems.add(where, f"{key} must be 16 to 512 characters without blanks, such as `openssl rand -hex 32` makes")
        return ""
    return text


def _server(url: str, problems: Problems) -> t.Optional[Address]:
    scheme, _colon, rest = url.partition("://")
    if scheme == "redis":
        problems.add(WHERE, "url begins with redis://, which is without TLS; the hub needs rediss://")
    elif "@" in rest:
        problems.add(WHERE, "url has a user or a password in it; give them in username and password")
    else:
        found = address(rest.rstrip("/"), PORT) if scheme == "rediss" else None
        if found is not None:
            return found
        # What stands there is not repeated: a password may be in it, in whatever way.
        problems.add(WHERE, "url is not rediss://HOST or rediss://HOST:PORT")
    return None


def _issuers(given: t.Any, problems: Problems) -> t.List[t.Dict[str, t.Any]]:
    found: t.List[t.Dict[str, t.Any]] = []
    for where, item in problems.entries(WHERE, "issuers", given):
        options = problems.options(where, item, defaults(_OPTIONS["issuers"]["options"]))
        name = problems.matches(
            where, "name", options["name"], keys.ISSUER, "1 to 32 of a-z, 0-9, '-' and '_', the first a letter or digit"
        )
        if name in [one["name"] for one in found]:
            problems.add(where, f"name {name} is there twice")
        found.append(
            {
                "name": name,
                "max_ttl": problems.number(where, "max_ttl", options["max_ttl"], 1, 31536000),
                "subjects": [
                    problems.matches(where, "subjects", text, _SUBJECT, "1 to 128 characters")
                    for text in problems.items(where, "subjects", options["subjects"])
                ],
                "max_tokens": problems.number(where, "max_tokens", options["max_tokens"], 1, 10000000),
            }
        )
    return found
