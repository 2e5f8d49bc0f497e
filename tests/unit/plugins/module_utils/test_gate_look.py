# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What metrics have of nginx, by its configuration and by /proc."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import gate_look, metrics
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.gate_look import GateLook
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.settings import Metrics
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Process

SERVER = """
server {
    server_name gate.example.com www.example.com;
    ssl_certificate certificates/gate/fullchain.pem;
    ssl_certificate $another;
    ssl_client_certificate /srv/clients.pem;
    location = /wss {
        set $wss_location /wss;
        proxy_pass http://127.0.0.1:8080/inner;
    }
    location /app/ {
        set $wss_location /app/;
        set $wss_refused "";
        proxy_pass https://pool;
    }
    location /over {
        set $wss_location /over;
        proxy_pass http://unix:/run/app.sock:/;
    }
    location = /.wssgate/token { proxy_pass http://127.0.0.1:1; }
}
"""
MAIN = "events { worker_connections 700; }\nhttp { include conf.d/*.conf; }\n"


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "gate.conf").write_text(SERVER)
    (tmp_path / "nginx.conf").write_text(MAIN)
    return tmp_path / "nginx.conf"


class Nginx:
    """A master and two workers that started a while after the system, as a test has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, started: float) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        self.boot = started - 1000
        self.family = [
            Process(10, 1, 100 * ticks, "nginx: master process /usr/sbin/nginx -c /etc/nginx/nginx.conf"),
            Process(11, 10, 1000 * ticks, "nginx: worker process"),
            Process(12, 10, 1000 * ticks, "nginx: worker process"),
        ]
        monkeypatch.setattr(gate_look, "read_processes", lambda: self.family)
        monkeypatch.setattr(gate_look, "started_at", lambda process: self.boot + process.started / ticks)
        monkeypatch.setattr(gate_look.Finder, "master", lambda finder, processes: (processes or [None])[0])


def look(main: Path) -> gate_look.Look:
    return GateLook(Metrics("/run/x/y", str(main))).look()


def test_what_the_configuration_names(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_look, "read_processes", list)
    found = look(main)
    assert found.upstreams == {
        ("gate.example.com", "/wss"): "127.0.0.1:8080",
        ("gate.example.com", "/app/"): "pool",
        ("gate.example.com", "/over"): "unix:/run/app.sock",
    }
    # Files that are not there hold none.
    assert found.certificates == {str(main.parent / "certificates/gate/fullchain.pem"): 0.0, "/srv/clients.pem": 0.0}
    assert (found.is_live, found.connections) == (False, None)


def test_what_is_on_the_disk_is_live_where_all_workers_are_younger(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = main.stat().st_ctime
    nginx = Nginx(monkeypatch, changed + 5)
    assert look(main).is_live
    nginx.boot -= 10
    assert not look(main).is_live
    nginx.family = []
    assert not look(main).is_live


def test_the_configuration_is_read_again_only_when_it_has_changed(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_look, "read_processes", list)
    read: list[str] = []
    real = gate_look.read_tree

    def noted(path: str) -> t.Any:
        read.append(path)
        return real(path)

    monkeypatch.setattr(gate_look, "read_tree", noted)
    watched = GateLook(Metrics("/run/x/y", str(main)))
    assert len(watched.look().upstreams) == 3
    watched.look()
    assert len(read) == 1
    time.sleep(0.05)  # changes within one tick of the file system's clock have the same time
    (main.parent / "conf.d" / "more.conf").write_text(SERVER.replace("gate.example.com", "more.example.com"))
    assert len(watched.look().upstreams) == 6
    assert len(read) == 2


def test_workers_of_before_have_an_age_since_they_were_replaced(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = main.stat().st_ctime
    nginx = Nginx(monkeypatch, now - 60)
    ticks = os.sysconf("SC_CLK_TCK")
    nginx.family += [
        Process(7, 10, 200 * ticks, "nginx: worker process is shutting down"),
        Process(8, 10, 700 * ticks, "nginx: worker process is shutting down"),
    ]
    found = look(main)
    assert found.old_workers == {"7", "8"}
    # The one of 200 was replaced by that of 700, 300 seconds before those of now.
    assert found.oldest == pytest.approx(360, abs=30)
    assert found.connections_limit == 1400


def test_the_worker_that_is_nearest_to_its_limit_counts(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Nginx(monkeypatch, main.stat().st_ctime + 5)
    monkeypatch.setattr(gate_look, "open_descriptors", lambda pid: {11: 900, 12: 40}[pid])
    monkeypatch.setattr(gate_look, "descriptors", lambda pid: {11: 10000, 12: 50}[pid])
    found = look(main)
    assert (found.descriptors, found.descriptors_limit) == (40, 50)


def test_a_path_that_is_no_utf8_can_be_told(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_look, "read_processes", list)
    (main.parent / "conf.d" / "other.conf").write_bytes(b"server { ssl_certificate /srv/caf\xe9.pem; }\n")
    paths = [metrics._shown(path) for path in look(main).certificates]
    assert "/srv/caf\\udce9.pem" in paths
    assert all(path.encode("utf-8") for path in paths)
