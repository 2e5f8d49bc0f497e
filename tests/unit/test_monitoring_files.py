# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts, the dashboard and docs/monitoring.md name metrics that there are, and each alert has its section there."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml

from lib import metrics

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
PAGE = "https://github.com/wssgate/wssgate.nginx/blob/main/docs/monitoring.md"
ALERTS: t.Dict[str, t.Any] = {
    rule["alert"]: rule
    for path in sorted((ROOT / "roles/monitoring/files/rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}

DASHBOARD = json.loads((ROOT / "roles/monitoring/files/dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def strangers(expression: str) -> t.Set[str]:
    """What an expression names and no metric of its own has."""
    names, labels = metrics.used_by(expression)
    known = {name: metrics.metric_of(name) for name in names}
    unknown = {name for name, metric in known.items() if metric is None and name not in metrics.PROMETHEUS_METRICS}
    theirs = {label for metric in known.values() if metric for label in metric.labels}
    bounds = {"le"} if any(name.endswith("_bucket") for name in names) else set()
    return unknown | labels - theirs - bounds - set(metrics.TARGET_LABELS)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (server) (rate(wssgate_handshakes_total{reason!=""}[5m]))', set()),
        ('up{job="a"} == 0 and wssgate_sessions_owed > 0', set()),
        ("sum by (le) (rate(wssgate_session_duration_seconds_bucket[5m]))", set()),
        ("wssgate_sesions_owed > 0", {"wssgate_sesions_owed"}),
        ("wssgate_tokens_bucket", {"wssgate_tokens_bucket"}),
        ("node_timex_offset_seconds > 1", {"node_timex_offset_seconds"}),
        ('wssgate_sessions{client="x"}', {"client"}),
        ('wssgate_sessions_owed{server="x", job="y"}', {"server"}),
        ("sum by (token) (wssgate_sessions)", {"token"}),
        ("a / on (instance, host) group_left (kind) wssgate_sessions", {"host", "kind"}),
        ("sum by (le) (wssgate_sessions)", {"le"}),
    ],
)
def test_what_is_not_of_the_metrics_is_seen(expression: str, found: t.Set[str]) -> None:
    assert strangers(expression) == found


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_goes_by_metrics_that_there_are(alert: str) -> None:
    assert metrics.used_by(ALERTS[alert]["expr"])[0]
    assert strangers(ALERTS[alert]["expr"]) == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_tells_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
    # Labels of templates have to be left by the expression.
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    grouped = re.match(r"sum by \(([^)]*)\)", rule["expr"])
    if grouped:
        assert named <= set(grouped[1].split(", "))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_section_that_tells_what_to_do(alert: str) -> None:
    parts = re.findall(rf"(?ms)^### {alert}\n(.*?)(?=^##|\Z)", DOCS)
    assert len(parts) == 1, alert
    assert re.findall(r"(?m)^\*\*(.+?)\*\*", parts[0]) == ["What it means.", "Look at", "Do."]


def test_the_table_of_alerts_has_them_all() -> None:
    rows = re.findall(r"(?m)^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \|", DOCS)
    assert rows == [(name, name.lower(), rule["labels"]["severity"]) for name, rule in ALERTS.items()]


def test_the_table_of_metrics_has_them_all() -> None:
    rows = {}
    for row in re.findall(r"(?m)^\| `wssgate_.*$", DOCS):
        name, kind, unit, labels, source, about = [cell.strip() for cell in row.strip("|").split("|")]
        assert unit and about
        found = metrics.Metric(kind, tuple(source.split(", ")), tuple(re.findall(r"`(\w+)`", labels)))
        rows[name.strip("`")] = found
    assert rows == metrics.METRICS


def test_the_table_of_other_metrics_has_those_that_are_asked_for() -> None:
    rows = dict(re.findall(r"(?m)^\| `((?:haproxy|redis)_\w+)` \|([^|]*)\|", DOCS))
    assert {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()} == {
        name: metric.labels for name, metric in metrics.OTHER_METRICS.items()
    }


# -- the dashboard


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_asks_for_metrics_that_there_are(query: str) -> None:
    assert metrics.used_by(query)[0]
    assert strangers(query) == set()


def test_the_dashboard_shows_each_metric() -> None:
    named = {name for query in QUERIES for name in metrics.used_by(query)[0]}
    shown = {name for name, metric in metrics.METRICS.items() if {name, f"{name}_bucket"} & named}
    assert sorted(set(metrics.METRICS) - shown) == []


def test_a_row_of_the_dashboard_is_a_question() -> None:
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == [
        "Who is in?",
        "Who is refused, and why?",
        "How long?",
        "How much?",
        "Will it break?",
        "Is the fleet one?",
    ]


def test_the_dashboard_goes_to_any_grafana() -> None:
    """By a variable for the data source, and with nothing of one Grafana's own."""
    assert DASHBOARD["schemaVersion"] == 42
    assert "id" not in DASHBOARD and "__inputs" not in DASHBOARD
    by_name = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(by_name) == ["datasource", "instance", "server"]
    assert (by_name["datasource"]["type"], by_name["datasource"]["query"]) == ("datasource", "prometheus")
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    asked = [*PANELS, *(target for panel in PANELS for target in panel["targets"])]
    asked += [variable for variable in by_name.values() if variable["type"] == "query"]
    assert [part for part in asked if part["datasource"] != wanted] == []
    for query in QUERIES:
        assert 'instance=~"$instance"' in query, query
        about_servers = {"server"} & {
            label for name in metrics.used_by(query)[0] for label in getattr(metrics.metric_of(name), "labels", ())
        }
        assert ('server=~"$server"' in query) == bool(about_servers), query


def test_no_panel_covers_another() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: t.Set[t.Tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _y in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


# -- log shipping


def test_the_reference_of_the_log_has_each_of_its_fields() -> None:
    template = (ROOT / "roles/wss_proxy/templates/gate.conf.j2").read_text(encoding="utf-8")
    (format_of_the_log,) = re.findall(r"(?ms)^log_format wss escape=json$(.*?);$", template)
    logged = re.findall(r'"(\w+)":("?)\$', format_of_the_log)
    rows = re.findall(r"(?m)^\| `(\w+)` \| (string|integer|number)\b", DOCS.partition("## Ship the log")[2])
    assert [name for name, _quote in logged] == [name for name, _kind in rows]
    assert [kind == "string" for _name, kind in rows] == [quote == '"' for _name, quote in logged]


def test_no_example_ships_the_log_that_has_tokens() -> None:
    """It is named once, where it says not to, and no example takes more than the one file."""
    examples = re.findall(r"(?ms)^```(?:alloy|yaml|rsyslog|conf|ini)$(.*?)^```$", DOCS.partition("## Ship the log")[2])
    assert len(examples) == 6
    for example in examples:
        assert set(re.findall(r"/var/log/[^\s\"\],]+", example)) == {"/var/log/nginx/wss_access.log"}


def test_the_alerts_are_for_the_jobs_of_the_role_s_readme() -> None:
    text = (ROOT / "roles/monitoring/README.md").read_text(encoding="utf-8")
    jobs = re.findall(r"job_name: *(\S+)", text)
    (wanted,) = re.findall(r'job=~"([^"]+)"', ALERTS["WssgateNotScraped"]["expr"])
    assert jobs and all(re.fullmatch(wanted, job) for job in jobs), jobs
