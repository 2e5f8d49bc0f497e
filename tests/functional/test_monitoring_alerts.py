# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each alert fires when it has to, does not when it has not, and resolves; promtool says so. An expression with a
mistake in it is noticed.
"""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import metrics

TOOL = metrics.prometheus_program("promtool")
pytestmark = pytest.mark.skipif(TOOL is None, reason="make functional fetches promtool (WSSGATE_PROMETHEUS)")

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).parent / "data" / "alerts"
RULES = sorted((ROOT / "roles/monitoring/files/rules").glob("*.yml"))
ALERTS = {
    rule["alert"]: rule
    for path in RULES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
# How to turn round what an expression says.
OPPOSITES = {
    ">": "<",
    "<": ">",
    "<=": ">",
    "==": "!=",
    "=": "!=",
    "!=": "=",
    "=~": "!~",
    "and": "unless",
    "unless": "and",
    "or": "and",
}
UNITS = {"m": 60, "h": 3600}


def result_of(alert: str, rule: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """What promtool says of an alert's tests with this rule alone."""
    rules = folder / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "wssgate", "rules": [rule]}]}), encoding="utf-8")
    tests = folder / "tests.yml"
    text = (TESTS / f"{alert}.yml").read_text(encoding="utf-8")
    tests.write_text(text.replace("[RULES]", f"[{rules}]"), encoding="utf-8")
    return subprocess.run([str(TOOL), "test", "rules", str(tests)], capture_output=True, text=True, check=False)


def seconds(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def mutants(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A rule with one mistake each, and what the mistake is."""

    def with_expression(what: str, start: int, end: int, text: str) -> tuple[str, dict[str, Any]]:
        changed = copy.deepcopy(rule)
        changed["expr"] = expression[:start] + text + expression[end:]
        return f"{what} at {start}: {changed['expr']}", changed

    expression = rule["expr"]
    for found in re.finditer(r"==|=~|!=|<=|[<>=]|\b(?:and|or|unless)\b", expression):
        yield with_expression("turned round", *found.span(), OPPOSITES[found[0]])
    # Not those of time spans, of matched statuses, and of replaced labels
    for found in re.finditer(r"(?<![\w\"|.\[])\d+(?:\.\d+)?(?![\w\"|.])", expression):
        if float(found[0]) == 0:
            yield with_expression("less than none", *found.span(), "-1")
        else:
            for factor in (0.5, 2):
                yield with_expression(f"times {factor}", *found.span(), str(float(found[0]) * factor))
    for found in re.finditer(r"\babs(?=\()", expression):
        yield with_expression("not absolute", *found.span(), "")
    for found in re.finditer(r"\b(?:(?:wssgate|haproxy|redis)_\w+|up)\{[^}]+\}", expression):
        yield with_expression("all series", *found.span(), found[0].partition("{")[0])
    for factor in (0, 0.5, 2):
        changed = copy.deepcopy(rule)
        changed["for"] = f"{int(seconds(rule['for']) * factor)}s"
        yield f"for {changed['for']}", changed


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_and_does_not_and_resolves(alert: str, tmp_path: Path) -> None:
    result = result_of(alert, ALERTS[alert], tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_its_tests_have_all_of_that(alert: str) -> None:
    """A moment before, one at which it fires, and one after that; and a case at no moment of which it fires."""
    courses = []
    for case in yaml.safe_load((TESTS / f"{alert}.yml").read_text(encoding="utf-8"))["tests"]:
        checks = case["alert_rule_test"]
        assert {check["alertname"] for check in checks} == {alert}
        courses.append("".join("1" if check["exp_alerts"] else "0" for check in checks))
    assert any(re.fullmatch("0+1+0+", course) for course in courses), courses
    assert any(set(course) == {"0"} for course in courses), courses


def test_every_file_of_tests_is_of_an_alert() -> None:
    assert {path.stem for path in TESTS.iterdir()} == set(ALERTS)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_prometheus_takes_the_rules(path: Path) -> None:
    result = subprocess.run(
        [str(TOOL), "check", "rules", "--lint-fatal", str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_a_mistake_in_an_alert_is_noticed(alert: str, tmp_path: Path) -> None:
    unnoticed = [
        mistake for mistake, rule in mutants(ALERTS[alert]) if result_of(alert, rule, tmp_path).returncode == 0
    ]
    assert unnoticed == []
