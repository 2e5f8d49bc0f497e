# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to sign a token that several gates take: what each of them has for the issuer, and whether the key is one of its.

No gate is asked. Keys that only a gate can read (``path``) or fetch cannot be compared, and that is told.
"""

from __future__ import annotations

import typing as t

from ...module_utils._jwt import keys as private_keys
from . import issuers, public_keys
from .context import Gate

# Where the controller can read a key.
READABLE = ("content", "source")


class Rules(t.NamedTuple):
    """What one gate has for an issuer."""

    issuer: str
    audience: t.List[str]
    max_token_lifetime: int
    require: t.List[t.Dict[str, t.Any]]
    kid: str
    algorithms: t.List[str]
    is_known: bool


def plan(
    given: t.Mapping[str, t.Any],
    name: str,
    key_files: t.Mapping[str, t.Any],
    key: str,
    passphrase: t.Optional[str] = None,
    audience: t.Optional[str] = None,
    claims: t.Optional[t.Mapping[str, t.Any]] = None,
) -> t.Dict[str, t.Any]:
    """What to sign for these gates, by their ``wss_proxy_issuers``; all that is wrong stands in ``problems``."""
    if private_keys.CRYPTOGRAPHY_ERROR is not None:
        return {"problems": ["the controller's Python has no library cryptography to sign with; install it there"]}
    try:
        public_key = private_keys.read(key, passphrase or None).public_pem()
    except private_keys.KeyFaultError as error:
        # In the words of the playbook's parameters.
        return {"problems": [f"jwt_key: {error}".replace("key_passphrase", "jwt_key_passphrase")]}
    found: t.Dict[str, Rules] = {}
    problems: t.List[str] = []
    for host, value in given.items():
        rules, wrong = _rules(value, name, key_files, public_key)
        if rules is not None:
            signed = {**(claims or {}), "iss": rules.issuer, "aud": audience or rules.audience[0]}
            signed.update(dict.fromkeys(("exp", "iat", "jti"), ""))
            wrong += [problem for rule in rules.require for problem in _lacking(rule, signed)]
            found[host] = rules
        problems += [f"{host}: {problem}" for problem in wrong]
    if problems:
        return {"problems": problems}
    return _common(found, audience)


def _rules(
    value: t.Any, name: str, key_files: t.Mapping[str, t.Any], public_key: str
) -> t.Tuple[t.Optional[Rules], t.List[str]]:
    entries = [entry for entry in value if isinstance(entry, t.Mapping)] if isinstance(value, (list, tuple)) else []
    chosen = [entry for entry in entries if str(entry.get("name")) == name]
    if not chosen:
        names = ", ".join(str(entry.get("name")) for entry in entries)
        return None, [f"issuer {name!r} is not in wss_proxy_issuers, which has {names or 'nobody'}"]
    known, is_whole = _known_keys(chosen[0])
    # Of keys that are not known, some may be for algorithms that the others are not for.
    left_out = ("jwks_url",) if is_whole else ("jwks_url", "algorithms")
    entry = {option: given for option, given in chosen[0].items() if option not in left_out}
    entry["keys"] = known if known or is_whole else [{"content": public_key}]
    gate = Gate({"key_files": key_files})
    issuer = issuers.read(gate, [entry, *chosen[1:]]).get(name)
    if gate.problems.found or issuer is None:
        return None, gate.problems.found
    (own,) = public_keys.read(public_key)
    found = next((one for one in issuer["keys"] if one["spki"] == own.spki), None)
    if found is None and is_whole:
        return None, [
            f"the key is none of issuer {name!r}, so the gate would refuse what it signs; add its public key to keys "
            "(openssl pkey -in FILE -pubout) and run site"
        ]
    allowed = chosen[0].get("algorithms") or own.algorithms
    algorithms = [one for one in (found["algorithms"] if found else own.algorithms) if one in allowed]
    if not algorithms:
        return None, [f"issuer {name!r} takes {', '.join(allowed)}, and the key is for {', '.join(own.algorithms)}"]
    rules = Rules(
        issuer["issuer"],
        issuer["audience"],
        issuer["max_token_lifetime"],
        issuer["require"],
        found["kid"] if found else "",
        algorithms,
        bool(found and known),
    )
    return rules, []


def _known_keys(entry: t.Mapping[str, t.Any]) -> t.Tuple[t.List[t.Any], bool]:
    """The entries of its keys that the controller can read, and whether these are all."""
    given = entry.get("keys") or []
    # What is no list, or no entry, is read with the rest and told there.
    if not isinstance(given, (list, tuple)):
        return given, True
    known = [key for key in given if not isinstance(key, t.Mapping) or any(key.get(kind) for kind in READABLE)]
    return known, len(known) == len(given) and not entry.get("jwks_url")


def _common(found: t.Mapping[str, Rules], audience: t.Optional[str]) -> t.Dict[str, t.Any]:
    """What all gates take alike."""
    problems: t.List[str] = []
    for field, words in (("issuer", "issuer"), ("kid", "kid for this key")):
        values = {getattr(rules, field) for rules in found.values() if field != "kid" or rules.is_known}
        if len(values) > 1:
            problems.append(
                f"the gates differ in their {words} ({', '.join(repr(value) for value in sorted(values))}); limit the "
                "run to some of them (--limit), or make them alike"
            )
    first = next(iter(found.values()))
    audiences = [one for one in first.audience if all(one in rules.audience for rules in found.values())]
    if audience and audience not in audiences:
        problems.append(
            f"audience {audience!r} is not what every gate takes, which is {', '.join(audiences) or 'nothing'}"
        )
    elif not audiences:
        problems.append("the gates have no audience in common; limit the run to some of them (--limit)")
    algorithms = [one for one in first.algorithms if all(one in rules.algorithms for rules in found.values())]
    if not algorithms:
        problems.append("the gates have no algorithm for this key in common; make their algorithms alike")
    if problems:
        return {"problems": problems}
    known = [rules for rules in found.values() if rules.is_known]
    return {
        "problems": [],
        "issuer": first.issuer,
        "audience": audience or audiences[0],
        "max_token_lifetime": min(rules.max_token_lifetime for rules in found.values()),
        "kid": known[0].kid if known else "",
        "algorithm": algorithms[0],
        "unchecked": sorted(host for host, rules in found.items() if not rules.is_known),
    }


def _lacking(rule: t.Mapping[str, t.Any], claims: t.Mapping[str, t.Any]) -> t.List[str]:
    """What a rule of ``require`` misses in the claims, as roles/wss_proxy/files/jwt.js judges."""
    wanted = rule["values"]
    if rule["scopes"]:
        held = [
            word
            for name in ("scope", "scp")
            for value in [claims.get(name, [])]
            for word in (value.split(" ") if isinstance(value, str) else value)
        ]
        what = f"the scopes {' '.join(wanted)}"
    else:
        value: t.Any = claims
        for name in rule["claim"]:
            value = value.get(name) if isinstance(value, t.Mapping) else None
        what = "the claim " + ".".join(rule["claim"])
        if wanted:
            what += f" with {'all' if rule['all'] else 'one'} of {', '.join(map(str, wanted))}"
        if value is None:
            return [f"the issuer requires {what}; give it in claims"]
        held = list(value) if isinstance(value, (list, tuple)) else [value]
    # To Python true is 1, and to the gate it is not.
    count = sum(any(type(one) is type(other) and one == other for other in held) for one in wanted)
    if wanted and count < (len(wanted) if rule["all"] else 1):
        return [f"the issuer requires {what}; give it in claims"]
    return []
