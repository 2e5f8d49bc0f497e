# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which modules name sessions."""

from __future__ import annotations

import typing as t

from .._tokens.request import check_fingerprints
from .selection import Selection, SelectionError

OPTIONS = ("subjects", "fingerprints", "clients", "servers", "locations", "ids")


def argument_spec() -> t.Dict[str, t.Any]:
    """The options of the sessions, and where the gate has what is known of them."""
    return {
        "path": {"type": "path", "default": "/var/lib/nginx/tokens"},
        "session_log": {"type": "path", "default": "/var/log/nginx/wssgate/sessions.log"},
        "nginx_directory": {"type": "path", "default": "/etc/nginx"},
        **{name: {"type": "list", "elements": "str"} for name in OPTIONS},
    }


def given(params: t.Mapping[str, t.Any]) -> t.List[str]:
    """The names of those that are given."""
    return [name for name in OPTIONS if params[name] is not None]


def selection_of(params: t.Mapping[str, t.Any]) -> Selection:
    """The selection, checked. What is given names something: without it more sessions would be meant, not fewer."""
    for name in given(params):
        if not params[name]:
            raise SelectionError(f"{name} is empty: name at least one, or leave it out")
        for index, one in enumerate(params[name]):
            if not one.strip():
                raise SelectionError(f"{name}[{index}] is empty")
    check_fingerprints(params["fingerprints"] or ())
    selection = Selection(
        ids=tuple(params["ids"] or ()),
        subjects=tuple(params["subjects"] or ()),
        fingerprints=tuple(params["fingerprints"] or ()),
        addresses=tuple(params["clients"] or ()),
        server_names=tuple(params["servers"] or ()),
        locations=tuple(params["locations"] or ()),
    )
    selection.check()
    return selection
