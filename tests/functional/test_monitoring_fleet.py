# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a balancer and a hub tell, by the real HAProxy and the real exporter, and to whom; and a real Prometheus has it
under the names that alerts and the dashboard ask for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import local_hub, metrics, pki
from lib.local_balancer import LocalBalancer, haproxy_binary
from lib.local_gate import free_port
from lib.monitored_hub import PASSWORD, USER, VARIABLES, MonitoredHub
from lib.processes import end, wait_for

EXPORTER = metrics.prometheus_program("prometheus-redis-exporter")
PROMETHEUS = metrics.prometheus_program("prometheus")
pytestmark = [
    pytest.mark.skipif(haproxy_binary() is None, reason="make functional fetches HAProxy (WSSGATE_HAPROXY)"),
    pytest.mark.skipif(EXPORTER is None or PROMETHEUS is None, reason="make functional fetches them"),
    pytest.mark.skipif(not local_hub.is_installed(), reason="redis-tools is not there; make images brings it"),
]

ROOT = Path(__file__).resolve().parents[2]
NAME = "metrics.example.com"
# The scraper's address, and one that is on no list.
NEAR, FAR = "127.0.0.1", "127.0.0.7"
AUTHORITY = pki.issue("authority", ca=True)
SERVER = pki.issue(NAME, AUTHORITY, [NAME, "localhost"])
CLIENT_AUTHORITY = pki.issue("authority of scrapers", ca=True)
CLIENT = pki.issue("scraper", CLIENT_AUTHORITY)
STRANGER = pki.issue("scraper", pki.issue("another authority", ca=True))


def answer(port: int, request: str = "GET /metrics", source: str = NEAR, identity: Path | None = None,
           password: str | None = PASSWORD) -> tuple[int, str]:  # fmt: skip
    """Status and body; ssl.SSLError or OSError where there is no answer."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    if identity:
        context.load_cert_chain(identity)
    lines = [f"{request} HTTP/1.1", f"Host: {NAME}", "Connection: close"]
    if password:
        lines.append("Authorization: Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode())
    found = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while data := connection.recv(65536):
            found += data
    head, _, body = found.partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("closed without an answer")
    return int(head.split()[1]), body.decode()


@pytest.fixture(scope="module")
def alive() -> Iterator[int]:
    """Port of something that answers a balancer's check as a gate does, whatever comes before the request."""
    with socket.create_server(("127.0.0.3", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


class Port:
    """A port of metrics that a test asks."""

    def __init__(self, port: int, wanted: list[str]) -> None:
        self.port = port
        self.wanted = wanted


def balancer_of(alive: int, port: int, **variables: Any) -> LocalBalancer:
    service = {"gate_port": alive, "server_name": NAME, "path": "/wss", "tls": False}
    balancer = LocalBalancer(
        "127.0.0.1",
        balancer_services=[{"name": "wss", "port": free_port(), **service}],
        # Nothing listens at the second.
        balancer_gates=[{"name": "gate1", "address": "127.0.0.3"}, {"name": "gate2", "address": "127.0.0.4"}],
        balancer_check_interval=1,
        balancer_check_fall=1,
        balancer_check_rise=1,
        balancer_slow_start=0,
        balancer_max_connections=2000,
        monitoring_listen=[{"port": port}],
        **{**VARIABLES, **variables},
    )
    balancer.pair = (SERVER.pem + SERVER.key_pem).decode()
    return balancer


@pytest.fixture(scope="module")
def balancer(alive: int) -> Iterator[tuple[LocalBalancer, Port]]:
    port = free_port()
    with balancer_of(alive, port) as found:
        found.await_state("gate1", "up")
        found.await_state("gate2", "down")
        yield (
            found,
            Port(
                port,
                [
                    'haproxy_server_status{proxy="wss",server="gate1",state="UP"} 1',
                    'haproxy_server_status{proxy="wss",server="gate2",state="DOWN"} 1',
                    'haproxy_server_current_sessions{proxy="wss",server="gate1"} 0',
                ],
            ),
        )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    folder = tmp_path_factory.mktemp("hub")
    with contextlib.ExitStack() as stack:
        (server,) = local_hub.make(folder / "server", name="localhost", **VARIABLES)
        stack.callback(server.stop)
        server.start()
        server.connect("monitor").close()
        monitored = stack.enter_context(MonitoredHub(server, folder, SERVER.pem + SERVER.key_pem))

        def serves() -> bool:
            with contextlib.suppress(OSError):
                return answer(monitored.port)[0] == 200
            return False

        wait_for(serves, 20)
        yield Port(monitored.port, ["redis_up 1", "redis_memory_used_bytes ", "redis_memory_max_bytes 2.68435456e+08"])


@pytest.fixture(params=["balancer", "hub"])
def port(request: pytest.FixtureRequest) -> Port:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Port) else found[1]


def test_the_scraper_gets_the_metrics(port: Port) -> None:
    assert answer(port.port)[0] == 200
    # The first look of an exporter may find no server yet.
    wait_for(lambda: all(words in answer(port.port)[1] for words in port.wanted))
    # A query has nobody ask another server.
    assert answer(port.port, "GET /metrics?target=redis://127.0.0.1:1")[0] == 200


@pytest.mark.parametrize("password", [None, "staple battery", ""])
def test_nobody_gets_them_without_the_password(port: Port, password: str | None) -> None:
    status, body = answer(port.port, password=password)
    assert status == 401 and "haproxy_" not in body and "redis_" not in body


def test_nobody_gets_to_tls_from_another_address(port: Port) -> None:
    with pytest.raises((ssl.SSLEOFError, ConnectionError)):
        answer(port.port, source=FAR)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [("GET /", 404), ("GET /scrape?target=redis://127.0.0.1:1", 404), ("GET /metrics/", 404), ("POST /metrics", 405)],
)
def test_nothing_else_is_there(port: Port, request_line: str, status: int) -> None:
    assert answer(port.port, request_line)[0] == status
    assert answer(port.port, request_line, password=None)[0] in (401, 405)


def test_metrics_come_and_go_by_a_reload(balancer: tuple[LocalBalancer, Port]) -> None:
    found, port = balancer
    kept = dict(found.private)
    assert sorted(found.on_disk()) == [
        "haproxy.cfg", "wssgate.d/wss.cfg", "wssgate.d/wssgate-metrics.cfg", "wssgate.d/wssgate-metrics.pem"
    ]  # fmt: skip
    assert found.apply().result()["changed"] is False
    master = found.family()[0]
    found.private = {}
    assert found.apply().result()["haproxy"] == "reloaded"
    assert sorted(found.on_disk()) == ["haproxy.cfg", "wssgate.d/wss.cfg"]

    def is_refused() -> bool:
        try:
            answer(port.port)
        except OSError:
            return True
        return False

    wait_for(is_refused)
    found.private = kept
    assert found.apply().result()["haproxy"] == "reloaded"
    assert found.family()[0] == master
    wait_for(lambda: not is_refused() and answer(port.port)[0] == 200)
    # One of whose pair nothing can be made is refused before anything changes.
    before, pair = found.on_disk(), found.pair
    found.pair = SERVER.pem.decode()
    with pytest.raises(Exception, match="HAProxy refuses the configuration, and nothing was changed"):
        found.apply()
    found.pair = pair
    assert found.on_disk() == before and answer(port.port)[0] == 200


def test_a_scraper_may_show_a_certificate_instead(alive: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(CLIENT_AUTHORITY.pem)
    for name, identity in (("right", CLIENT), ("wrong", STRANGER)):
        (tmp_path / name).write_bytes(identity.pem + identity.key_pem)
    port = free_port()
    own = {"monitoring_htpasswd_file": "", "monitoring_client_certificates": {"ca_path": str(tmp_path / "ca.pem")}}
    with balancer_of(alive, port, **own):
        assert answer(port, identity=tmp_path / "right", password=None)[0] == 200
        for identity in (None, tmp_path / "wrong"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                answer(port, identity=identity)


def test_prometheus_has_them_under_the_names_that_are_asked_for(
    balancer: tuple[LocalBalancer, Port], hub: Port, tmp_path: Path
) -> None:
    hosts = {"ansible_host": "localhost", **VARIABLES, "monitoring_scrape_username": USER}
    inventory = {
        "all": {"vars": {**hosts, "monitoring_scrape_ca_source": "/srv/ca.pem", "monitoring_scrape_interval": 5}},
        "wss_balancers": {"hosts": {"front1": {"monitoring_listen": [{"port": balancer[1].port}]}}},
        "wss_hubs": {"hosts": {"hub1": {"monitoring_hub_listen": [{"port": hub.port}]}}},
    }
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "inventory.yml")]
    command += [str(ROOT / "playbooks/scrape_config.yml"), "-e", f"file={tmp_path / 'scrape.yml'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    (tmp_path / "password").write_text(PASSWORD)
    text = (tmp_path / "scrape.yml").read_text()
    assert PASSWORD not in text
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/wssgate", str(tmp_path)))
    listen = free_port()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        words = [str(PROMETHEUS), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        process = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{listen}"], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(end, [process.pid])

        def found(expression: str) -> list[dict[str, str]]:
            query = urllib.parse.urlencode({"query": expression})
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{listen}/api/v1/query?{query}", timeout=10) as reply:
                    return [series["metric"] for series in json.loads(reply.read())["data"]["result"]]
            return []

        wait_for(lambda: len(found("up == 1")) == 2, 60)
        (down,) = found('haproxy_server_status{state="DOWN"} == 1')
        assert down == {
            "__name__": "haproxy_server_status", "job": "wssgate_balancer", "instance": "front1",
            "service": "wss", "gate": "gate2", "state": "DOWN",
        }  # fmt: skip
        assert found("redis_up == 1") == [{"__name__": "redis_up", "job": "wssgate_hub", "instance": "hub1"}]
        assert found("redis_memory_used_bytes / (redis_memory_max_bytes > 0) < 0.8") != []
        every = {series["__name__"] for series in found('{job=~"wssgate_.+"}')}
        # One server that has no replica is no replica.
        assert set(metrics.OTHER_METRICS) - every == {"redis_master_link_up"}
