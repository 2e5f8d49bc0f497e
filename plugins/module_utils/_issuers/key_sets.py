# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key sets that a gate fetches: where from, what is known of each, and the keys that nginx gets of it.

The rules for signed tokens are one file of nginx's configuration (jwt.json). Ansible decides about all of it but the
keys of issuers that have a ``key_set``: these are worked out here, by Ansible's run on the host and by the agent alike,
so that neither undoes what the other did.
"""

from __future__ import annotations

import json
import typing as t

from .._host.error import HostError
from .jwk import KEYS_MAX, KeyProblemError, KeySet, check_together, read_set

# The rules, below nginx's folder
RULES = "wssgate.d/jwt.json"
RULES_LIMIT = 16 << 20
# Keys that are named among those that were left out of a set: a set may have thousands.
LEFT_OUT_NAMED = 20
# A set is reported that was not fetched for so many intervals.
STALE_INTERVALS = 3


class KeySetError(HostError):
    """What is wrong with the rules, or with what is kept of key sets."""


class Source(t.NamedTuple):
    """Where the keys of an issuer come from."""

    name: str
    url: str
    ca_path: str
    interval: int
    grace: int
    algorithms: t.Tuple[str, ...] = ()
    # Keys that count until the first set was fetched, as nginx gets them
    start: t.Tuple[t.Mapping[str, t.Any], ...] = ()


class Known(t.NamedTuple):
    """What was fetched from a URL. Moments are seconds since 1970."""

    url: str
    etag: str = ""
    # The last moment at which the set was as it is here; 0 when it never was fetched
    fetched_at: float = 0.0
    # JWKs that have nothing but what counts
    keys: t.Tuple[t.Mapping[str, str], ...] = ()
    # Those that are no longer in the set, and until when they count
    leaving: t.Tuple[t.Tuple[t.Mapping[str, str], float], ...] = ()
    left_out: t.Tuple[str, ...] = ()
    # Why the last try failed, and since when all of them have
    problem: str = ""
    failing_since: float = 0.0
    # Whether there was a set, and it is none that may be taken
    is_refused: bool = False

    def document(self) -> t.Dict[str, t.Any]:
        """For a file."""
        return {**self._asdict(), "leaving": [{"key": key, "until": until} for key, until in self.leaving]}


def known_of(document: t.Mapping[str, t.Any]) -> Known:
    """Read what :meth:`Known.document` returned; raise ValueError, KeyError or TypeError for anything else."""
    keys = tuple(_jwk(key) for key in document["keys"])
    leaving = tuple((_jwk(item["key"]), float(item["until"])) for item in document["leaving"])
    return Known(
        str(document["url"]),
        str(document["etag"]),
        float(document["fetched_at"]),
        keys,
        leaving,
        tuple(str(words) for words in document["left_out"]),
        str(document["problem"]),
        float(document["failing_since"]),
        bool(document["is_refused"]),
    )


def _jwk(given: t.Any) -> t.Mapping[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise TypeError(given)
    return given


# The rules


def read_rules(text: str) -> t.Dict[str, t.Any]:
    """The rules as they are in their file."""
    try:
        document = json.loads(text)
        if isinstance(document, dict) and isinstance(document["issuers"], dict):
            return document
    except (ValueError, KeyError):
        pass
    raise KeySetError("the rules for signed tokens cannot be read: run wssgate.nginx.site")


def rules_text(document: t.Mapping[str, t.Any]) -> str:
    """The file of the rules, byte by byte as role wss_proxy renders it."""
    return f" {json.dumps(document, indent=2, sort_keys=True, separators=(',', ': '))}\n"


def sources_of(document: t.Mapping[str, t.Any]) -> t.Dict[str, Source]:
    """The issuers, by name, whose keys are fetched."""
    found = {}
    for name, issuer in document["issuers"].items():
        if isinstance(issuer, dict) and issuer.get("key_set"):
            found[name] = source_of(name, issuer["key_set"])
    return found


def source_of(name: str, given: t.Mapping[str, t.Any]) -> Source:
    """Where the keys of an issuer come from, as the rules have it."""
    try:
        return Source(
            str(name),
            str(given["url"]),
            str(given["ca_path"]),
            max(1, int(given["interval"])),
            max(0, int(given["grace"])),
            tuple(str(one) for one in given["algorithms"]),
            tuple(dict(key) for key in given["start"]),
        )
    except (KeyError, TypeError, ValueError):
        raise KeySetError(f"the key set of issuer {name} cannot be read: run wssgate.nginx.site") from None


# The keys


def accepted(source: Source, known: t.Optional[Known], found: KeySet, etag: str, now: float) -> Known:
    """What is known once a set was fetched; raise KeyProblemError for one that may not be taken."""
    check_together(found.keys, "the set")
    if not any(key.rendered(source.algorithms) for key in found.keys):
        raise KeyProblemError(f"it has no key for {', '.join(source.algorithms)}")
    keys = tuple(key.jwk() for key in sorted(found.keys, key=lambda key: (key.kid, key.spki)))
    leaving: t.Tuple[t.Tuple[t.Mapping[str, str], float], ...] = ()
    if known is not None and known.url == source.url:
        # A clock that was put back prolongs nothing beyond the grace.
        leaving = tuple((key, min(until, now + source.grace)) for key, until in known.leaving if until > now)
        gone = [key for key in known.keys if key not in keys and source.grace]
        leaving += tuple((key, now + source.grace) for key in gone)
        leaving = tuple(one for one in leaving if not _is_replaced(one[0], keys))
        # A provider that has other keys at each fetch would fill the disk.
        leaving = _last(leaving, KEYS_MAX)
    left_out = tuple(found.left_out[:LEFT_OUT_NAMED])
    if len(found.left_out) > LEFT_OUT_NAMED:
        left_out += (f"{len(found.left_out) - LEFT_OUT_NAMED} more",)
    return Known(source.url, etag, now, keys, leaving, left_out)


def _is_replaced(key: t.Mapping[str, str], keys: t.Sequence[t.Mapping[str, str]]) -> bool:
    """Whether keys have this one, or another one of its name."""
    bare = {name: value for name, value in key.items() if name not in ("kid", "alg")}
    for other in keys:
        if key.get("kid") and key.get("kid") == other.get("kid"):
            return True
        if bare == {name: value for name, value in other.items() if name not in ("kid", "alg")}:
            return True
    return False


def _last(leaving: t.Sequence[t.Tuple[t.Mapping[str, str], float]], most: int) -> t.Tuple[t.Any, ...]:
    """Those that count longest, so many at most, in their order."""
    chosen = sorted(range(len(leaving)), key=lambda number: leaving[number][1], reverse=True)[: max(0, most)]
    return tuple(leaving[number] for number in sorted(chosen))


def counting(known: Known, now: float) -> t.List[t.Mapping[str, str]]:
    """The keys that count now: those of the set, and those that were in it a short while ago, as far as nginx takes so
    many.
    """
    leaving = [one for one in known.leaving if one[1] > now]
    return [*known.keys, *(key for key, _until in _last(leaving, KEYS_MAX - len(known.keys)))]


def surplus_of(source: Source, known: t.Optional[Known], now: float) -> str:
    """What to say of keys within their grace for which there is no room; empty when there is."""
    if known is None or known.url != source.url:
        return ""
    count = len(known.keys) + sum(1 for _key, until in known.leaving if until > now) - KEYS_MAX
    if count <= 0:
        return ""
    return (
        f"issuer {source.name}: {count} key{'s' if count > 1 else ''} that went from its set no longer count, though "
        f"key_grace is not over: {KEYS_MAX} keys of an issuer are taken, and those of the set come first"
    )


def rendered(source: Source, keys: t.Sequence[t.Mapping[str, str]]) -> t.List[t.Dict[str, t.Any]]:
    """What nginx gets of JWKs, checked once more; raise KeyProblemError where that is nothing."""
    found = read_set(json.dumps({"keys": list(keys)})).keys
    check_together(found)
    entries = [entry for entry in (key.rendered(source.algorithms) for key in found) if entry]
    if not entries:
        raise KeyProblemError(f"it has no key for {', '.join(source.algorithms)}")
    return sorted(entries, key=lambda entry: (entry["kid"], entry["spki"]))


def merged(
    document: t.Mapping[str, t.Any], keys: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]
) -> t.Dict[str, t.Any]:
    """The rules with other keys of some issuers."""
    issuers = {
        name: {**issuer, "keys": list(keys[name])} if name in keys else issuer
        for name, issuer in document["issuers"].items()
    }
    return {**document, "issuers": issuers}


def is_stale(source: Source, known: t.Optional[Known], now: float) -> bool:
    """Whether the set was not fetched for too long."""
    if known is None or known.url != source.url:
        return False
    since = known.fetched_at or known.failing_since
    return now - since > STALE_INTERVALS * source.interval


def problem_of(source: Source, known: t.Optional[Known], now: float) -> str:
    """What somebody has to look after; empty when nothing is. It stays the same while nothing changes."""
    if known is None or known.url != source.url or not known.problem:
        return ""
    if not known.is_refused and not is_stale(source, known, now):
        return ""
    return f"issuer {source.name}: {known.problem}, so its keys stay as they were"
