# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Those whose signed tokens locations take: their keys, and what has to be in a token.

What comes of it is what jwt.js reads.
"""

from __future__ import annotations

import re
import typing as t

from ...module_utils._agent.notify_settings import HIDDEN, is_hidden
from ...module_utils._host.endpoint import UrlError, parse_url
from . import public_keys
from .context import GATE_HEADERS, Gate
from .options import (
    ISSUER_DEFAULTS,
    ISSUER_HEADER_DEFAULTS,
    ISSUER_KEY_DEFAULTS,
    ISSUER_RULE_DEFAULTS,
    SIGNATURE_ALGORITHMS,
)
from .patterns import FILE_PATH, HEADER_NAME, NAME
from .upstream_headers import HYPHENS_MAX, OWN_PREFIXES

ISSUER = re.compile(r"[!-~]{1,255}")
AUDIENCE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
SCOPE = re.compile(r"[!#-\[\]-~]{1,255}")
CLOCK_SKEW_MAX = 30
LIFETIME_MAX = 31_536_000
INTERVAL_MIN, INTERVAL_MAX = 10, 86_400
GRACE_MAX = 86_400
# nginx reads their texts in one answer of its own.
HEADERS_MAX = 8

REFUSED_ALGORITHMS = {
    "none": "it is no signature; have tokens signed with ES256",
    "EdDSA": "no version of nginx's module that was found knows it; have tokens signed with ES256",
}
SHARED_SECRET = (
    "it is a shared secret, with which whoever checks tokens could sign them; have them signed with ES256 and give the "
    "public key"
)


def read(gate: Gate, given: t.Any) -> t.Dict[str, t.Dict[str, t.Any]]:
    """The issuers by name."""
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for where, item in gate.problems.entries("wss_proxy", "wss_proxy_issuers", given):
        options = gate.problems.options(where, item, ISSUER_DEFAULTS)
        name = gate.problems.matches(
            where, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'"
        )
        where = f"issuer {name!r}"
        issuer = _issuer(gate, where, options)
        if name in found:
            gate.problems.add(where, "this name is used twice in wss_proxy_issuers; give each issuer its own")
        for other, known in found.items():
            if known["issuer"] == issuer["issuer"]:
                gate.problems.add(
                    where,
                    f"issuer {issuer['issuer']!r} is that of {other!r} already; put their keys into one entry",
                )
        found[name] = issuer
    return found


def _issuer(gate: Gate, where: str, options: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    problems = gate.problems
    audience = problems.items(where, "audience", options["audience"])
    # What is no list is told already.
    if not audience and isinstance(options["audience"], (list, tuple)):
        problems.add(where, "audience is empty; name what tokens for this gate have in aud")
    chosen = _algorithms(gate, where, options["algorithms"])
    keys = _keys(gate, where, options, chosen)
    return {
        "issuer": problems.matches(where, "issuer", options["issuer"], ISSUER, "1 to 255 visible ASCII characters"),
        "audience": [
            problems.matches(where, "audience", item, AUDIENCE, "1 to 255 visible ASCII characters")
            for item in audience
        ],
        "keys": keys,
        "key_set": _key_set(gate, where, options, chosen, keys),
        "clock_skew": problems.number(where, "clock_skew", options["clock_skew"], 0, CLOCK_SKEW_MAX),
        "max_token_lifetime": problems.number(
            where, "max_token_lifetime", options["max_token_lifetime"], 1, LIFETIME_MAX
        ),
        "require": _rules(gate, where, options["require"]),
        "headers": _headers(gate, where, options["headers"]),
    }


def _key_set(
    gate: Gate,
    where: str,
    options: t.Mapping[str, t.Any],
    chosen: t.Sequence[str],
    start: t.Sequence[t.Mapping[str, t.Any]],
) -> t.Optional[t.Dict[str, t.Any]]:
    """Where its keys are fetched from; None where they are not."""
    problems = gate.problems
    url, authorities = str(options["jwks_url"]), gate.path(where, "jwks_ca_path", options["jwks_ca_path"])
    interval = problems.number(where, "jwks_interval", options["jwks_interval"], INTERVAL_MIN, INTERVAL_MAX)
    grace = problems.number(where, "key_grace", options["key_grace"], 0, GRACE_MAX)
    if not url:
        for name in ("jwks_ca_path", "jwks_interval", "key_grace"):
            if options[name] != ISSUER_DEFAULTS[name]:
                problems.add(where, f"{name} is for a set that is fetched; give jwks_url, or leave it out")
        return None
    try:
        parse_url(url, "jwks_url", ("https",))
    except UrlError as error:
        why = "" if url.startswith("https://") else ": whoever could change the set on its way could sign tokens"
        problems.add(where, f"{error}{why}")
    if is_hidden(authorities):
        problems.add(
            where,
            f"jwks_ca_path {authorities!r} is where the agent may not look ({', '.join(HIDDEN)}); put the file "
            "elsewhere, such as below /etc/ssl",
        )
    return {
        "url": url,
        "ca_path": authorities,
        "interval": interval,
        "grace": grace,
        "algorithms": [name for name in chosen if name in SIGNATURE_ALGORITHMS],
        "start": list(start),
    }


def _keys(
    gate: Gate, where: str, options: t.Mapping[str, t.Any], chosen: t.Sequence[str]
) -> t.List[t.Dict[str, t.Any]]:
    problems = gate.problems
    keys: t.List[public_keys.PublicKey] = []
    entries = problems.entries(where, "keys", options["keys"])
    if options["keys"] in ([], ()) and not options["jwks_url"]:
        problems.add(where, "keys is empty; name at least one public key, or give jwks_url")
    for here, item in entries:
        options_of_key = problems.options(here, item, ISSUER_KEY_DEFAULTS)
        # A misspelt option is told already.
        text = _text(gate, here, options_of_key) if set(options_of_key) == set(ISSUER_KEY_DEFAULTS) else None
        if text is None:
            continue
        try:
            keys += public_keys.read(text)
        except public_keys.KeyProblemError as error:
            problems.add(here, str(error))
    try:
        public_keys.check_together(keys)
    except public_keys.KeyProblemError as error:
        problems.add(where, str(error))
    found = [entry for entry in (key.rendered(chosen) for key in keys) if entry]
    for name in chosen:
        if name in SIGNATURE_ALGORITHMS and keys and not any(name in key["algorithms"] for key in found):
            problems.add(where, f"algorithms has {name}, which no key is for; leave it out or add its key")
    return found


def _algorithms(gate: Gate, where: str, given: t.Any) -> t.List[str]:
    chosen = [str(name) for name in gate.problems.items(where, "algorithms", given)]
    for name in chosen:
        reason = SHARED_SECRET if re.fullmatch("HS[0-9]+", name) else REFUSED_ALGORITHMS.get(name)
        if reason:
            gate.problems.add(where, f"algorithms has {name}: {reason}")
        else:
            gate.problems.choice(where, "algorithms", name, SIGNATURE_ALGORITHMS)
    return chosen


def _text(gate: Gate, where: str, options: t.Mapping[str, t.Any]) -> t.Optional[str]:
    """What a PEM or JWKS says; None where that is told already."""
    given = [kind for kind in ISSUER_KEY_DEFAULTS if options[kind]]
    if len(given) != 1:
        gate.problems.add(
            where,
            "give content (a PEM or JWKS), source (a file of the controller) or path (a file of the host)"
            f"{', one of them' if given else ''}",
        )
        return None
    kind = given[0]
    value = options[kind]
    if kind == "content":
        if not isinstance(value, str):
            gate.problems.add(where, "content is not text; write it as one block (content: |), a JWKS too")
            return None
        return value
    if kind == "path" and not FILE_PATH.fullmatch(str(value)):
        gate.path(where, "path", value)
        return None
    found = gate.context["key_files"].get(f"{kind}:{value}")
    if found is None or found.get("problem"):
        reason = (found or {}).get("problem") or f"{value} has not been read"
        gate.problems.add(where, f"{kind}: {reason}")
        return None
    return str(found["content"])


def _path(gate: Gate, where: str, given: t.Any) -> t.List[str]:
    """Names of claims within each other."""
    names = list(given) if isinstance(given, (list, tuple)) else [given]
    if not names or not all(isinstance(name, str) and name for name in names):
        gate.problems.add(where, "claim is neither a claim's name nor a list of names such as [realm_access, roles]")
        return []
    return names


def _rules(gate: Gate, where: str, given: t.Any) -> t.List[t.Dict[str, t.Any]]:
    problems = gate.problems
    found = []
    for here, item in problems.entries(where, "require", given):
        options = problems.options(here, item, ISSUER_RULE_DEFAULTS)
        values = {key: problems.items(here, key, options[key]) for key in ("any_of", "all_of", "scopes")}
        if values["any_of"] and values["all_of"]:
            problems.add(here, "any_of and all_of are two rules; give each an entry")
        # A list out of a variable that came to nothing must not let everybody in who has the claim.
        empty = [key for key in values if key in item and options[key] in (None, [], ())]
        if empty and not any(values.values()):
            problems.add(here, f"{empty[0]} is empty; leave it out where a claim only has to be there")
        if bool(options["claim"]) == bool(values["scopes"]):
            problems.add(here, "give claim or scopes, one of them")
        if values["scopes"]:
            scopes = [
                problems.matches(here, "scopes", item, SCOPE, "a scope (RFC 6749 3.3)") for item in values["scopes"]
            ]
            if values["any_of"] or values["all_of"]:
                problems.add(here, "any_of and all_of go with claim; all of scopes are required")
            found.append({"scopes": True, "claim": [], "values": scopes, "all": True})
        elif options["claim"]:
            wanted = values["any_of"] or values["all_of"]
            # YAML's booleans are numbers to Python, and not to JavaScript.
            if not all(isinstance(value, (str, bool, int)) for value in wanted):
                problems.add(here, "any_of and all_of take texts, whole numbers, true and false")
            claim = _path(gate, here, options["claim"])
            found.append({"scopes": False, "claim": claim, "values": wanted, "all": bool(values["all_of"])})
    return found


def _headers(gate: Gate, where: str, given: t.Any) -> t.List[t.Dict[str, t.Any]]:
    problems = gate.problems
    found: t.List[t.Dict[str, t.Any]] = []
    for here, item in problems.entries(where, "headers", given):
        options = problems.options(here, item, ISSUER_HEADER_DEFAULTS)
        name = problems.matches(here, "name", options["name"], HEADER_NAME, "a header's name")
        if name.lower() in GATE_HEADERS or name.lower().startswith(OWN_PREFIXES):
            problems.add(here, f"{name!r} is a header that the gate or the handshake itself sets; name another")
        if name.count("-") > HYPHENS_MAX:
            problems.add(
                here, f"{name!r} has more than {HYPHENS_MAX} hyphens, and a client may write each as _; name another"
            )
        if name.lower() in (header["name"].lower() for header in found):
            problems.add(here, f"{name!r} is there twice; a header has one value")
        found.append({"name": name, "claim": _path(gate, here, options["claim"])})
    if len(found) > HEADERS_MAX:
        problems.add(where, f"headers has {len(found)} entries, and {HEADERS_MAX} are taken")
    return found


def answer_headers(issuers: t.Iterable[t.Mapping[str, t.Any]]) -> t.List[str]:
    """The headers for upstreams, each once; their places tell in which header of its own nginx gets their values."""
    names: t.Dict[str, str] = {}
    for issuer in issuers:
        for header in issuer["headers"]:
            names.setdefault(header["name"].lower(), header["name"])
    return list(names.values())


def key_sets(issuers: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
    """The sets that are fetched, by the names of their issuers."""
    return {name: issuer["key_set"] for name, issuer in issuers.items() if issuer["key_set"]}


def for_nginx(issuers: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
    """As jwt.js reads them."""
    places = {name.lower(): place for place, name in enumerate(answer_headers(issuers.values()))}
    return {
        name: {
            **{key: value for key, value in issuer.items() if value is not None},
            "headers": [
                {"answer": f"Wssgate-Claim-{places[header['name'].lower()]}", "claim": header["claim"]}
                for header in issuer["headers"]
            ],
        }
        for name, issuer in issuers.items()
    }
