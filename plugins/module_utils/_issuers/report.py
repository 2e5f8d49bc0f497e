# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nginx has of issuers of signed tokens on this host, and how old it is."""

from __future__ import annotations

import os
import time
import typing as t

from .._host import files
from .._host.error import HostError, told
from . import state
from .key_sets import RULES, RULES_LIMIT, KeySetError, is_stale, problem_of, read_rules, source_of, surplus_of


def report(directory: str, folder: str) -> t.List[t.Dict[str, t.Any]]:
    """Each issuer in the rules below nginx's folder, with what the agent keeps in its own."""
    try:
        data = files.read(os.path.join(directory, RULES), RULES_LIMIT, follow=True)
        issuers = read_rules(data.decode("utf-8", "replace"))["issuers"] if data else {}
        known = state.load_known(folder)
        now = time.time()
        found = []
        for name in sorted(issuers):
            keys = list(issuers[name]["keys"])
            one: t.Dict[str, t.Any] = {
                "name": name,
                "issuer": str(issuers[name]["issuer"]),
                "key_count": len(keys),
                "kids": [str(key["kid"]) for key in keys],
                "algorithms": sorted({str(algorithm) for key in keys for algorithm in key["algorithms"]}),
                "jwks_url": "",
                "fetched_seconds_ago": None,
                "left_out": [],
                "problems": [],
            }
            if issuers[name].get("key_set"):
                source = source_of(name, issuers[name]["key_set"])
                mine = known.get(name)
                one["jwks_url"] = source.url
                if mine is not None and mine.url == source.url:
                    one["left_out"] = list(mine.left_out)
                    one["fetched_seconds_ago"] = int(max(0.0, now - mine.fetched_at)) if mine.fetched_at else None
                problem = problem_of(source, mine, now)
                if not problem and is_stale(source, mine, now):
                    problem = f"issuer {name}: nobody has fetched its key set for more than three intervals"
                one["problems"] = [words for words in (problem, surplus_of(source, mine, now)) if words]
            found.append(one)
        live = state.load_result(folder)
        if live and found:
            found[0]["problems"].append(f"fetched keys are not live: {live}")
        return found
    except (KeyError, TypeError, AttributeError):
        raise KeySetError("the rules for signed tokens cannot be read: run wssgate.nginx.site") from None
    except (HostError, OSError) as error:
        raise KeySetError(f"what nginx has of issuers cannot be read: {told(error)}") from None
