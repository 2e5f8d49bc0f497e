# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus with the role's own rules, quicker; what it sends to an Alertmanager, a test takes."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from . import metrics
from .local_gate import free_port
from .processes import end, wait_for

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "roles/monitoring/files/rules"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# A rule's `for:`, a window, the step of a subquery, an offset. Nothing else of a rule is a time span.
_SPAN = re.compile(r"(?P<before>\bfor: |\[|(?<=\d[smhd]):|\boffset )(?P<number>\d+)(?P<unit>[smhd])\b")
# A scrape that takes longer has failed, on a busy machine too.
INTERVAL = "1s"


def quicker(text: str, factor: int) -> str:
    """Rules in which everything is waited for and looked back at for a part of the time; thresholds stay."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found['before']}{int(found['number']) * UNITS[found['unit']] * 1000 // factor}ms"

    return _SPAN.sub(shorter, text)


class Fired:
    """What Alertmanager would have got: each alert by its name and labels, when it fired, and whether it is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, bool]] = {}

    def take(self, alerts: list[dict[str, Any]]) -> None:
        with self._lock:
            for alert in alerts:
                labels = dict(alert["labels"])
                key = labels.pop("alertname"), tuple(sorted(labels.items()))
                # Of one that goes on the end lies ahead.
                over = datetime.fromisoformat(alert["endsAt"]) <= datetime.now(timezone.utc)
                self._seen.setdefault(key, {})[alert["startsAt"]] = over

    def times(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[bool]]:
        """How often each fired, and whether each time is over."""
        with self._lock:
            return {key: list(one.values()) for key, one in self._seen.items()}

    def names(self, is_over: bool | None = None) -> set[str]:
        """Alerts that fired; those of which all are over, or of which some are not."""
        found: dict[str, bool] = {}
        for (name, _labels), over in self.times().items():
            found[name] = found.get(name, True) and all(over)
        return {name for name, over in found.items() if is_over is None or over == is_over}


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.fired.take(told)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output is the test's."""


class Watch:
    """Prometheus, on jobs as playbook scrape_config has them."""

    def __init__(self, folder: Path, scrape_configs: list[dict[str, Any]], factor: int) -> None:
        self.folder, self.fired = folder, Fired()
        self._stack = contextlib.ExitStack()
        self._receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
        self._receiver.fired = self.fired  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{free_port()}"
        rules = folder / "rules"
        rules.mkdir(parents=True)
        for path in RULES.glob("*.yml"):
            (rules / path.name).write_text(quicker(path.read_text(encoding="utf-8"), factor), encoding="utf-8")
        settings = {
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [f"{rules}/*.yml"],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self._receiver.server_port}"]}]}]
            },
            "scrape_configs": [{**job, "scrape_interval": INTERVAL} for job in scrape_configs],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def __enter__(self) -> Watch:
        threading.Thread(target=self._receiver.serve_forever, daemon=True).start()
        self._stack.callback(self._receiver.server_close)
        self._stack.callback(self._receiver.shutdown)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        log = self._stack.enter_context((self.folder / "log").open("wb"))
        run(self._stack, [str(metrics.prometheus_program("prometheus")), *self.arguments()], self.url, log)

    def arguments(self) -> list[str]:
        """Prometheus's command line."""
        return [
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def alerts(self, state: str = "") -> set[str]:
        """Alerts that are pending or firing in Prometheus itself."""
        return {one["labels"]["alertname"] for one in self._get("alerts")["alerts"] if state in ("", one["state"])}

    def errors(self) -> list[str]:
        """What is wrong with the last scrapes."""
        return [one["lastError"] for one in self._get("targets")["activeTargets"]]

    def number(self, expression: str) -> float | None:
        """The sum of what an expression finds; None where it finds nothing."""
        found = self._get("query?" + urllib.parse.urlencode({"query": expression}))["result"]
        return sum(float(one["value"][1]) for one in found) if found else None

    def until(self, condition: Callable[[], Any], seconds: float, about: Callable[[], str]) -> None:
        """Wait, and tell what there is where it was in vain."""
        try:
            wait_for(condition, seconds)
        except AssertionError:
            fired = f"fired: {self.fired.times()}; now: {self.alerts()}"
            raise AssertionError(f"{about()}; {fired}; scrapes: {self.errors()}") from None


def run(stack: contextlib.ExitStack, command: list[str], url: str, log: BinaryIO) -> None:
    """Start Prometheus or Alertmanager, until the stack is closed, and wait until it is ready."""
    process = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(end, [process.pid])
    wait_for(lambda: process.poll() is not None or _answers(f"{url}/-/ready"), 60)
    assert process.poll() is None, Path(log.name).read_text()[-3000:]


def _answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=10) as answer:
        return bool(answer.status == 200)
    return False
