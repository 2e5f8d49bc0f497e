# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which locations are asked before and after a change of the gate, by nginx_config on the gate itself."""

from __future__ import annotations

import itertools
import typing as t

# Each costs a TLS handshake or two on the gate.
AT_MOST = 100


def probes_of(targets: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[t.Dict[str, t.Any]]:
    """Make nginx_config's probes of the targets of a gate: one location of each server first, then the rest."""
    asked = [
        [
            {
                **{key: target[key] for key in ("host", "port", "server_name", "tls", "proxy_protocol")},
                "path": location["path"],
                "origin": location["origin"],
            }
            for location in target["locations"]
        ]
        for target in targets
    ]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*asked))
    return list(itertools.islice((probe for probe in rounds if probe is not None), AT_MOST))
