# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of wss_monitors on this machine: Prometheus and Alertmanager by the files and the command lines that role
monitoring has for them, quicker, and a receiver that notes what it is told.

The role's tasks for the host itself (packages, units) are left out; what they write is rendered by their own words.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from . import alerting, guide, metrics
from .local_gate import free_port

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/monitoring"
FOLDER = "/etc/prometheus/wssgate"
PAGE = ROOT / "docs/monitoring.md"
TEMPLATE = Path("/usr/share/prometheus/alertmanager/default.tmpl")
# Alertmanager's own, where its configuration names none, in seconds: how long it waits for more alerts of a group, and
# until it tells of what changed in it.
WAITS = {"group_wait": 30, "group_interval": 300, "repeat_interval": 4 * 3600}
# A play that has the variables of the role; tasks follow.
PLAY_OF_ROLE = """\
- name: Render what a monitor gets
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Have the variables of the role
      ansible.builtin.include_role:
        name: wssgate.nginx.monitoring
        tasks_from: scrape_config
        public: true
"""
PLAY = (
    PLAY_OF_ROLE
    + """\
    - name: Render them
      ansible.builtin.template:
        src: {role}/templates/{prometheus[src]}
        dest: "{{{{ playbook_dir }}}}/prometheus.yml"
        mode: '0644'
      vars:
        ansible_managed: "{{{{ __monitoring_managed }}}}"
    - name: Write what Alertmanager gets
      ansible.builtin.copy:
        content: {alertmanager[content]}
        dest: "{{{{ playbook_dir }}}}/alertmanager.yml"
        mode: '0600'
    - name: Write how they are started
      ansible.builtin.copy:
        content: "{{{{ __monitoring_monitor_services | to_json }}}}"
        dest: "{{{{ playbook_dir }}}}/services.json"
        mode: '0644'
"""
)


def alertmanager() -> list[str]:
    """Debian's Alertmanager, and what it has to be started by where its package is unpacked and not installed: it reads
    its template where it was built to, so that it gets a file system of its own, with the package's /usr/share.
    """
    program = Path(str(metrics.prometheus_program("prometheus-alertmanager")))
    if TEMPLATE.exists():
        return [str(program)]
    share = program.parents[1] / "share"
    script = f'mount --bind "$0" {TEMPLATE.parents[2]} && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(share), str(program)]


def content_of_page(webhook: str) -> str:
    """What docs/monitoring.md gives for an example of ``monitoring_alertmanager_content``, with another address."""
    (block,) = [one.content for one in guide.blocks(PAGE) if "monitoring_alertmanager_content" in one.content]
    text = str(yaml.safe_load(block)["monitoring_alertmanager_content"])
    found = yaml.safe_load(text)["receivers"][0]["webhook_configs"][0]["url"]
    return text.replace(found, webhook)


def quicker_alertmanager(text: str, factor: int) -> str:
    """Alertmanager's configuration with its waits, which it has by default where none are named, divided."""
    settings = yaml.safe_load(text)
    settings["route"] |= {name: f"{seconds * 1000 // factor}ms" for name, seconds in WAITS.items()}
    return yaml.safe_dump(settings)


def _writing(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The arguments of modules that write a file."""
    for task in tasks:
        yield from _writing(task.get("block", []))
        yield from (args for args in task.values() if isinstance(args, dict) and "dest" in args)


class Told:
    """What the receiver was told: for each alert, by its labels, the words ``firing`` and ``resolved`` in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: dict[tuple[tuple[str, str], ...], list[str]] = {}

    def take(self, message: dict[str, Any]) -> None:
        with self._lock:
            for alert in message["alerts"]:
                key = tuple(sorted((name, alert["labels"][name]) for name in ("alertname", "instance", "severity")))
                self._words.setdefault(key, []).append(alert["status"])

    def words(self) -> dict[tuple[str, str], list[str]]:
        """By the name of the alert and the host."""
        with self._lock:
            return {(dict(key)["alertname"], dict(key)["instance"]): list(one) for key, one in self._words.items()}


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.take(message)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output is the test's."""


class Monitor(alerting.Watch):
    """Prometheus and Alertmanager. ``hosts`` is what the inventory has by group, ``variables`` are those of all hosts;
    ``files`` go where the role puts the authority and the password.
    """

    def __init__(
        self, folder: Path, hosts: dict[str, Any], variables: dict[str, Any], files: dict[str, bytes], factor: int
    ) -> None:
        super().__init__(folder, [], factor)
        self.told, self.factor = Told(), factor
        self.alertmanager_url = f"http://127.0.0.1:{free_port()}"
        self._webhook = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
        self._webhook.told = self.told  # type: ignore[attr-defined]
        listen = {
            "monitoring_prometheus_listen": self.url.removeprefix("http://"),
            "monitoring_alertmanager_listen": self.alertmanager_url.removeprefix("http://"),
            "monitoring_alertmanager_content": content_of_page(f"http://127.0.0.1:{self._webhook.server_port}/"),
        }
        self._render({"all": {"vars": {**variables, **listen}}, **hosts})
        for name, content in files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)

    def _render(self, inventory: dict[str, Any]) -> None:
        tasks = yaml.safe_load((ROLE / "tasks/monitor_configure.yml").read_text(encoding="utf-8"))
        task = {Path(args["dest"]).name: args for args in _writing(tasks)}
        alertmanager = {"content": json.dumps(task["alertmanager.yml"]["content"])}
        # The very words of the role's own tasks
        play = PLAY.format(role=ROLE, prometheus=task["prometheus.yml"], alertmanager=alertmanager)
        rendered = self.folder / "rendered"
        rendered.mkdir()
        (rendered / "play.yml").write_text(play, encoding="utf-8")
        (rendered / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(rendered / "inventory.yml")]
        done = subprocess.run([*command, str(rendered / "play.yml")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self._quicken(rendered)

    def _quicken(self, rendered: Path) -> None:
        """What was rendered, with shorter waits and with files of this folder."""
        text = (rendered / "prometheus.yml").read_text(encoding="utf-8").replace(FOLDER, str(self.folder))
        settings = yaml.safe_load(text)
        settings["global"] = dict.fromkeys(settings["global"], alerting.INTERVAL)
        for job in settings["scrape_configs"]:
            job["scrape_interval"] = alerting.INTERVAL
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        text = (rendered / "alertmanager.yml").read_text(encoding="utf-8")
        (self.folder / "alertmanager.yml").write_text(quicker_alertmanager(text, self.factor), encoding="utf-8")
        self.services = {one["name"]: one for one in json.loads((rendered / "services.json").read_text())}
        for tool, words in (("promtool", ["check", "config"]), ("amtool", ["check-config"])):
            file = self.folder / ("prometheus.yml" if tool == "promtool" else "alertmanager.yml")
            command = [str(metrics.prometheus_program(tool)), *words, str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

    def _start(self) -> None:
        threading.Thread(target=self._webhook.serve_forever, daemon=True).start()
        self._stack.callback(self._webhook.server_close)
        self._stack.callback(self._webhook.shutdown)
        log = self._stack.enter_context((self.folder / "alertmanager-log").open("wb"))
        command = [*alertmanager(), *self._command("prometheus-alertmanager")]
        alerting.run(self._stack, command, self.alertmanager_url, log)
        super()._start()

    def arguments(self) -> list[str]:
        return self._command("prometheus")

    def _command(self, service: str) -> list[str]:
        """The role's, with this folder in place of the host's."""
        words = str(self.services[service]["arguments"])
        for path in (FOLDER, "/var/lib/prometheus"):
            words = words.replace(path, str(self.folder))
        return words.split()
