# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of key sets on a host: what is known of each, keys that wait to be made live, and how that went."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._host import files
from .._host.error import HostError
from .key_sets import Known, known_of

# In the agent's folder, for root alone
KNOWN = "key_sets.json"
CANDIDATE = "key_candidate.json"
RESULT = "key_result.json"
NAMES = (KNOWN, CANDIDATE, RESULT)
LIMIT = 16 << 20

Keys = t.Dict[str, t.Tuple[str, t.List[t.Mapping[str, str]]]]


def _load(folder: str, name: str) -> t.Any:
    """What a file holds; None where there is none that can be read, which is worked out anew."""
    with contextlib.suppress(OSError, HostError, ValueError, RecursionError):
        data = files.read(os.path.join(folder, name), LIMIT)
        return json.loads(data.decode("utf-8")) if data else None
    return None


def _save(folder: str, name: str, document: t.Any) -> None:
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    files.write(os.path.join(folder, name), text.encode("utf-8"), files.PRIVATE)


def load_known(folder: str) -> t.Dict[str, Known]:
    """What is known of key sets, by the names of their issuers."""
    document = _load(folder, KNOWN)
    found = {}
    if isinstance(document, dict) and isinstance(document.get("issuers"), dict):
        for name, entry in document["issuers"].items():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found[str(name)] = known_of(entry)
    return found


def save_known(folder: str, known: t.Mapping[str, Known]) -> None:
    """Keep what is known of key sets."""
    _save(folder, KNOWN, {"issuers": {name: one.document() for name, one in known.items()}})


def offer(folder: str, keys: Keys) -> None:
    """Leave keys for whoever makes them live: by issuer its URL and JWKs."""
    _save(folder, CANDIDATE, {name: {"url": url, "keys": jwks} for name, (url, jwks) in keys.items()})


def is_offered(folder: str) -> bool:
    """Whether the keys that were left have not been taken yet."""
    return os.path.lexists(os.path.join(folder, CANDIDATE))


def take(folder: str) -> t.Optional[Keys]:
    """Take the keys that were left; they are gone then, whatever becomes of them. None where there are none."""
    document = _load(folder, CANDIDATE)
    files.remove(os.path.join(folder, CANDIDATE))
    if not isinstance(document, dict):
        return None
    found: Keys = {}
    for name, entry in document.items():
        if isinstance(entry, dict) and isinstance(entry.get("keys"), list):
            found[str(name)] = (str(entry.get("url")), entry["keys"])
    return found


def begin(folder: str) -> None:
    """Note that keys are about to be made live: until there is a result nobody knows whether nginx has them."""
    _save(folder, RESULT, {"is_done": False, "problem": ""})


def save_result(folder: str, problem: str) -> None:
    """Note how it went; an empty problem when the keys are live."""
    _save(folder, RESULT, {"is_done": True, "problem": problem})


def load_result(folder: str) -> t.Optional[str]:
    """Why the keys that were taken last are not live; empty when they are, or when nobody has tried.

    None when it has begun and there is no result: it is under way, or was killed, perhaps between the two steps of
    writing the keys and having nginx read them.
    """
    document = _load(folder, RESULT)
    if not isinstance(document, dict):
        return ""
    return str(document.get("problem") or "") if document.get("is_done") is True else None
