# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard is one by Grafana's schema, as the classes of Grafana's own SDK have it."""

from __future__ import annotations

import copy
import json
import typing as t
from pathlib import Path

import pytest

from lib import grafana

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD: t.Dict[str, t.Any] = json.loads((ROOT / "roles/monitoring/files/dashboard.json").read_text(encoding="utf-8"))
# By type
FIRST = {panel["type"]: number for number, panel in reversed(list(enumerate(DASHBOARD["panels"])))}
STAT, SERIES = FIRST["stat"], FIRST["timeseries"]


def lost(before: t.Any, after: t.Any, path: str = "$") -> t.List[str]:
    """What is in the one and not in the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = [f"{path}.{key}" for key in before if key not in after]
        return found + [one for key in before if key in after for one in lost(before[key], after[key], f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [one for number, item in enumerate(before) for one in lost(item, after[number], f"{path}[{number}]")]
    return [] if before == after else [path]


def test_it_is_of_the_newest_schema() -> None:
    assert DASHBOARD["schemaVersion"] == grafana.SCHEMA_VERSION


def test_it_has_nothing_that_the_schema_has_otherwise() -> None:
    assert grafana.problems(DASHBOARD) == []


def test_whoever_reads_it_by_the_schema_loses_nothing() -> None:
    assert lost(DASHBOARD, grafana.read_and_written(DASHBOARD)) == []


MISTAKES: t.Dict[str, t.Tuple[t.Tuple[t.Any, ...], t.Any, str]] = {
    "an unknown key": (("panles",), [], "$.panles: Dashboard has no such key"),
    "a number as a text": (("version",), "1", "$.version: '1' is not int"),
    "a yes as a number": (("version",), True, "$.version: True is not int"),
    "a word as a truth": (("editable",), "yes", "$.editable: 'yes' is not bool"),
    "an unknown choice": (("links", 0, "type"), "page", "$.links[0].type: 'page' is none of ['link', 'dashboards']"),
    "a link without its icon": (("links", 0, "icon"), None, "$.links[0].icon: None is not str"),
    "a choice of nothing": (
        ("templating", "list", 0, "current"),
        {},
        "$.templating.list[0].current: 'text' is missing",
    ),
    "no list": (("tags",), "wssgate", "$.tags: 'wssgate' is not a list"),
    "no object": (("time",), "now-6h", "$.time: 'now-6h' is not an object"),
    "a time without its end": (("time",), {"from": "now-6h"}, "$.time: 'to' is missing"),
    "an unknown panel": (("panels", STAT, "type"), "number", f"$.panels[{STAT}].type: there is no panel 'number'"),
    "an unknown key of a panel": (("panels", STAT, "unit"), "s", f"$.panels[{STAT}].unit: Panel has no such key"),
    "an unknown option": (("panels", STAT, "options", "color"), "x", f"$.panels[{STAT}].options.color: Options has no"),
    "an unknown value of an option": (
        ("panels", STAT, "options", "graphMode"),
        "pie",
        f"$.panels[{STAT}].options.graphMode: 'pie' is none of ['none', 'line', 'area']",
    ),
    "an unknown key of a query": (
        ("panels", SERIES, "targets", 0, "query"),
        "up",
        f"$.panels[{SERIES}].targets[0].query: Dataquery has no such key",
    ),
    "another data source": (
        ("panels", SERIES, "targets", 0, "datasource", "type"),
        "influx",
        f"$.panels[{SERIES}].targets[0]: no data source",
    ),
    "an unknown style": (
        ("panels", SERIES, "fieldConfig", "defaults", "custom", "drawStyle"),
        "circle",
        f"$.panels[{SERIES}].fieldConfig.defaults.custom.drawStyle: 'circle' is none of ",
    ),
    "a bound that is none": (
        ("panels", SERIES, "fieldConfig", "defaults", "thresholds", "steps", 0, "value"),
        "none",
        f"$.panels[{SERIES}].fieldConfig.defaults.thresholds.steps[0].value: 'none' is not float",
    ),
    "an unknown key of a row": (("panels", 0, "options"), {}, "$.panels[0].options: RowPanel has no such key"),
}


@pytest.mark.parametrize(("keys", "value", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(keys: t.Tuple[t.Any, ...], value: t.Any, words: str) -> None:
    changed: t.Any = copy.deepcopy(DASHBOARD)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (found, *more) = grafana.problems(changed)
    # An object that lacks one key may lack another.
    assert found.startswith(words) and all("is missing" in one for one in more), [found, *more]
