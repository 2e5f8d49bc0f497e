# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of version 1.0.0 is still taken, at all depths: data/argument_specs-1.0.0.json has them."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
RELEASED: t.Dict[str, t.Any] = json.loads(
    (Path(__file__).parent / "data" / "argument_specs-1.0.0.json").read_text(encoding="utf-8")
)

Options = t.Dict[str, t.Any]


def losses(old: Options, new: Options, *above: str) -> t.Iterator[str]:
    """What somebody who wrote the old options would lose.

    An option with a new name stays under its old one, too, with a description that names the new one. An alias would
    not do: Ansible's validation takes it, and neither roles nor filters see it.
    """
    for name, before in old.items():
        path = ".".join([*above, name])
        after = new.get(name)
        if after is None:
            yield f"{path} is gone"
            continue
        # Of type raw is what the role checks itself: it takes what it took before.
        for key in [] if after.get("type") == "raw" else ["type", "elements"]:
            if after.get(key) not in (before.get(key), "raw"):
                yield f"{path}: {key} was {before.get(key)} and is {after.get(key)}"
        gone = set(before.get("choices", [])) - set(after.get("choices", before.get("choices", [])))
        if gone:
            yield f"{path}: {', '.join(sorted(gone))} cannot be chosen any more"
        if after.get("choices") and not before.get("choices"):
            yield f"{path}: took any value and has choices now"
        if after.get("required") and not before.get("required"):
            yield f"{path} is required now"
        yield from losses(before.get("options", {}), after.get("options", {}), *above, name)
    for name, option in new.items():
        # Whoever wrote these options for 1.0.0 could not know of it.
        if option.get("required") and name not in old:
            yield f"{'.'.join([*above, name])} is new and required"


@pytest.mark.parametrize("role", RELEASED)
def test_an_option_of_1_0_0_is_still_taken_with_its_type(role: str) -> None:
    current = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    entry_points = current["argument_specs"]
    assert [name for name in RELEASED[role] if name not in entry_points] == []
    for name, entry_point in RELEASED[role].items():
        assert list(losses(entry_point.get("options", {}), entry_points[name].get("options", {}))) == []


def servers() -> t.Tuple[Options, Options]:
    """The released specification and a copy to change: of everything, and of what a location takes."""
    changed = copy.deepcopy(RELEASED["wss_proxy"]["main"]["options"])
    return changed, changed["wss_proxy_servers"]["options"]["locations"]["options"]


def lost(changed: Options) -> t.List[str]:
    return list(losses(RELEASED["wss_proxy"]["main"]["options"], changed))


PLACE = "wss_proxy_servers.locations"


def test_a_nested_option_that_is_gone_is_a_loss() -> None:
    changed, location = servers()
    del location["realm"]
    assert lost(changed) == [f"{PLACE}.realm is gone"]


def test_another_type_is_a_loss() -> None:
    changed, location = servers()
    location["idle_timeout"]["type"] = "str"
    location["origins"]["elements"] = "int"
    assert lost(changed) == [
        f"{PLACE}.origins: elements was str and is int",
        f"{PLACE}.idle_timeout: type was int and is str",
    ]


def test_a_type_that_takes_more_is_no_loss() -> None:
    changed, location = servers()
    location["origins"]["elements"] = "raw"
    del changed["wss_proxy_servers"]["elements"]
    changed["wss_proxy_servers"]["type"] = "raw"
    assert lost(changed) == []
    del location["realm"]
    assert lost(changed) == [f"{PLACE}.realm is gone"]


def test_a_choice_that_is_gone_is_a_loss_and_a_further_one_is_not() -> None:
    changed, location = servers()
    location["auth"]["choices"].remove("basic")
    location["auth"]["choices"].append("jwt")
    assert lost(changed) == [f"{PLACE}.auth: basic cannot be chosen any more"]


def test_a_requirement_that_was_none_is_a_loss() -> None:
    changed, location = servers()
    location["realm"]["required"] = True
    location["issuer"] = {"type": "str", "required": True}
    assert lost(changed) == [f"{PLACE}.realm is required now", f"{PLACE}.issuer is new and required"]


def test_a_name_that_has_become_an_alias_is_a_loss_and_a_new_option_is_not() -> None:
    changed, location = servers()
    location["password_realm"] = {**location.pop("realm"), "aliases": ["realm"]}
    location["http"] = {"type": "bool", "default": False}
    assert lost(changed) == [f"{PLACE}.realm is gone"]
