# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each panel of the dashboard shows something where there is something: a real Prometheus scrapes every metric that a
fleet has, and is asked what the panels ask.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lib import metrics
from lib.local_gate import free_port
from lib.processes import end, wait_for

PROGRAM = metrics.prometheus_program("prometheus")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="make functional fetches Prometheus (WSSGATE_PROMETHEUS)")

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "roles/monitoring/files/dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
GATES = ("gate1", "gate2")
# The hosts by what they are scraped for.
HOSTS = {"log": GATES, "agent": GATES, "balancer": ("front1",), "hub": ("hub1",)}
# What Grafana puts in, where everything is chosen.
FILLED = {"$instance": ".*", "$server": ".*", "$__rate_interval": "10s"}


class Gate(BaseHTTPRequestHandler):
    """Serves the example of all metrics; counters are higher at each scrape."""

    begun = time.monotonic()

    def do_GET(self) -> None:
        step = int((time.monotonic() - self.begun) * 10)
        body = metrics.example(self.path.rpartition("/")[2], time.time(), step).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test's output is the test's."""


class Prometheus:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def numbers(self, expression: str) -> list[float]:
        """What an expression finds, without what is no number."""
        found = self.get("/api/v1/query", query=filled(expression))["result"]
        return [float(series["value"][1]) for series in found if not math.isnan(float(series["value"][1]))]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def filled(expression: str) -> str:
    for name, value in FILLED.items():
        expression = expression.replace(name, value)
    return expression


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Gate))
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        stack.callback(gate.shutdown)
        jobs = [
            {
                "job_name": f"wssgate_{source}",
                "metrics_path": f"/metrics/{source}",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{gate.server_port}"], "labels": {"instance": name}} for name in names
                ],
            }
            for source, names in HOSTS.items()
        ]
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "roles/monitoring/files/rules/*.yml")],
            "scrape_configs": jobs,
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
        port = free_port()
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            [
                str(PROGRAM),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(end, [process.pid])
        running = Prometheus(port)
        wait_for(lambda: process.poll() is not None or running.is_ready(), 60)
        assert process.poll() is None, (folder / "log").read_text()
        # Two scrapes of each, so that there are rates.
        wait_for(lambda: len(running.numbers("rate(wssgate_bytes_total[10s])")) == 2 * len(GATES), 60)
        wait_for(lambda: len(running.numbers("rate(wssgate_agent_errors_total[10s])")) == len(GATES), 60)
        yield running


@pytest.mark.parametrize(("title", "expression"), QUERIES)
def test_a_panel_shows_something(prometheus: Prometheus, title: str, expression: str) -> None:
    wait_for(lambda: prometheus.numbers(expression), 15)


def test_a_panel_that_asks_for_something_else_shows_nothing(prometheus: Prometheus) -> None:
    assert prometheus.numbers('wssgate_sessions{instance=~"$instance", server=~"$server"}')
    assert not prometheus.numbers('wssgate_session{instance=~"$instance", server=~"$server"}')
    assert not prometheus.numbers('wssgate_sessions{instance=~"$instance", reason=~"$server.+"}')


def test_what_can_be_chosen_is_there(prometheus: Prometheus) -> None:
    found = {}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked, variable
            values = prometheus.get(f"/api/v1/label/{asked[2]}/values", **{"match[]": filled(asked[1])})
            found[variable["name"]] = values
    every = sorted({name for names in HOSTS.values() for name in names})
    assert found == {"instance": every, "server": [metrics.EXAMPLES["server"]]}


def test_prometheus_has_no_trouble_with_the_alerts(prometheus: Prometheus) -> None:
    wait_for(lambda: "unknown" not in {rule["health"] for rule in rules_of(prometheus)}, 30)
    assert [(rule["name"], rule.get("lastError")) for rule in rules_of(prometheus) if rule["health"] != "ok"] == []


def rules_of(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]
