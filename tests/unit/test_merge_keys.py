# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible warns of each key that is beside a merge key (``<<``) and in it: in every run of somebody who did nothing."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/**/*.yml")])


def keys_of(mapping: yaml.MappingNode) -> t.Iterator[str]:
    """Those of a mapping and of all that it merges."""
    for key, value in mapping.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from keys_of(one)
        else:
            yield key.value


def duplicates(node: yaml.Node) -> t.List[str]:
    if isinstance(node, yaml.SequenceNode):
        return [key for one in node.value for key in duplicates(one)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = list(keys_of(node))
    return [key for key in keys if keys.count(key) > 1] + [key for _key, one in node.value for key in duplicates(one)]


def test_there_is_something_to_find() -> None:
    assert len(FILES) > 100
    assert duplicates(yaml.compose("a: &a {b: 1}\nc: {<<: *a, b: 2}\n")) == ["b", "b"]
    assert duplicates(yaml.compose("a: &a {b: 1}\nc: {<<: *a, d: 2}\n")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_key_stands_beside_a_merge_key_and_in_it(path: Path) -> None:
    # Custom tags, such as !unsafe, are not built: the nodes are enough.
    assert [key for one in yaml.compose_all(path.read_text("utf-8")) for key in duplicates(one)] == []
