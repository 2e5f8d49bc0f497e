# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each answer of the gate is counted once, whatever is started again or rotated meanwhile; nobody else reads it."""

from __future__ import annotations

import base64
import collections
import contextlib
import re
import time

import pytest

from lib import wire
from lib.molecule import scraping
from lib.molecule.modules import run_playbook

HOST = "wcs.example.com"
ORIGIN = "https://app.example.com"
STORE = "/var/lib/nginx/tokens"
TOKEN = "0123456789abcdefTESTtoken"
OPERATOR = ("operator", "correct horse")
SCRAPER = base64.b64encode(b"prometheus:battery staple").decode()
UNITS = (
    "wssgate-log-feed.socket",
    "wssgate-log-feed.service",
    "wssgate-mtail.service",
    "wssgate-nginx-exporter.service",
    "wssgate-node-exporter.socket",
)
SERIES = re.compile(r"([a-z_0-9]+)(?:\{(.*)\})? ([0-9.e+-]+|NaN|[+-]Inf)$")


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.certificate("wcs"), server_name=HOST)


@pytest.fixture(scope="module")
def scraper(gate):
    return wire.Endpoint(port=gate.published(9443), ca_path=gate.certificate("wcs"), server_name=HOST)


@pytest.fixture(scope="module", autouse=True)
def token(host):
    host.check_output(f"touch {STORE}/{TOKEN}")
    yield TOKEN
    host.run(f"rm -f {STORE}/{TOKEN}")


def request(path: str = "/wss", **changes) -> wire.Request:
    return wire.Request(host=HOST, path=path, **changes)


def scrape(scraper, path: str, *headers: str) -> tuple[int, str]:
    return scraping.get(scraper, HOST, path, *headers)


def metrics(scraper, path: str = "/metrics/log") -> dict[tuple[str, str], float]:
    status, body = scrape(scraper, path, f"Authorization: Basic {SCRAPER}")
    assert status == 200, body
    return {(m[1], m[2] or ""): float(m[3]) for line in body.splitlines() if (m := SERIES.match(line.strip()))}


def refusals(scraper) -> collections.Counter:
    """How many by location, status and reason."""
    counted: collections.Counter = collections.Counter()
    for (name, labels), value in metrics(scraper).items():
        if name == "wssgate_handshakes_total":
            found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            assert found["server"] in (HOST, "-"), labels
            counted[found["location"], int(found["status"]), found["reason"]] += int(value)
    return counted


def own_series(scraper) -> set[tuple[str, str]]:
    """Without those that mtail and its runtime have of themselves, which come when they come."""
    return {series for series in metrics(scraper) if series[0].startswith("wssgate_")}


def settled(scraper, before: collections.Counter, wanted: collections.Counter, seconds: float = 20) -> None:
    """What was driven is counted, no more and no less."""
    deadline = time.monotonic() + seconds
    while (found := refusals(scraper) - before) != wanted:
        assert time.monotonic() < deadline, f"more: {found - wanted}; less: {wanted - found}"
        time.sleep(0.2)


def refuse(endpoint, times: int = 1) -> collections.Counter:
    """Without a token, so often."""
    for _ in range(times):
        assert wire.handshake(endpoint, request().origin(ORIGIN)).status == 403
    return collections.Counter({("/wss", 403, "token"): times})


def passed(endpoint, asked: wire.Request) -> None:
    with wire.handshake(endpoint, asked) as reply:
        assert reply.upgraded
        assert reply.session.echo("hello") == "hello"


def test_what_runs_is_what_was_asked_for_and_no_port_is_open_but_the_one(host):
    assert set(host.check_output(f"systemctl is-active {' '.join(UNITS)}").split()) == {"active"}
    listening = set(re.findall(r"(\S+):(\d+) ", host.check_output("ss -Hltn")))
    assert {(a, p) for a, p in listening if not a.startswith("127.")} <= {
        (a, p) for a in ("0.0.0.0", "[::]", "*") for p in ("80", "443", "9443")
    }
    for package in ("mtail", "prometheus-node-exporter", "prometheus-nginx-exporter"):
        assert host.run(f"systemctl is-enabled {package}").stdout.strip() == "disabled"
        assert host.run(f"systemctl is-active {package}").stdout.strip() == "inactive"


def test_mtail_reads_no_log_and_opens_no_port(host):
    account = "wssgate-mtail"
    pid = host.check_output("systemctl show --property MainPID --value wssgate-mtail")
    assert host.check_output(f"ps -o user:20= -p {pid}").strip() == account
    assert host.run(f"nsenter --target {pid} --mount ls /var/log/nginx").rc != 0
    assert host.check_output("stat -c %U:%G:%a /run/wssgate-mtail") == f"{account}:www-data:2750"
    assert host.check_output("stat -c %a /run/wssgate-log-feed.fifo") == "600"
    assert re.fullmatch(r"[0-9]+", host.check_output("systemctl show --property MemoryMax --value wssgate-mtail"))
    assert host.check_output("systemctl show --property CPUQuotaPerSecUSec --value wssgate-mtail") == "500ms"


@pytest.mark.parametrize("path", ["/metrics/log", "/metrics/agent", "/metrics/nginx", "/metrics/node"])
def test_without_the_password_nothing_is_read(scraper, path):
    assert scrape(scraper, path)[0] == 401


def test_nginx_and_the_host_tell_theirs(scraper):
    assert any(name == "nginx_connections_active" for name, _labels in metrics(scraper, "/metrics/nginx"))
    assert any(name == "node_boot_time_seconds" for name, _labels in metrics(scraper, "/metrics/node"))


# First of those that open sessions: the agent counts one when it is over, or has been open for some time.
def test_the_agent_counts_who_is_in_and_still_does_when_it_is_started_again(host, endpoint, scraper):
    within(30, lambda: of_agent(scraper, "wssgate_sessions", "/wss"), 0)
    before = of_agent(scraper, "wssgate_handshakes_total", "/wss")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(wire.handshake(endpoint, request().origin(ORIGIN).token(TOKEN))).upgraded
        within(30, lambda: of_agent(scraper, "wssgate_sessions", "/wss"), 3)
        within(30, lambda: of_agent(scraper, "wssgate_handshakes_total", "/wss"), before + 3)
        host.check_output("systemctl restart wssgate-agent")
        within(30, lambda: of_agent(scraper, "wssgate_sessions", "/wss"), 3)
    within(30, lambda: of_agent(scraper, "wssgate_sessions", "/wss"), 0)


def test_each_answer_is_counted_once(host, endpoint, scraper):
    before = refusals(scraper)
    wanted: collections.Counter = collections.Counter()

    def ask(status: int, reason: str, asked: wire.Request, location: str | None = None) -> None:
        where = asked.path if location is None else location
        assert wire.handshake(endpoint, asked).status == status, (where, reason)
        wanted[where, status, reason] += 1

    good = request().origin(ORIGIN).token(TOKEN)
    ask(403, "token", request().origin(ORIGIN))
    ask(403, "origin", request().origin("https://evil.example.com").token(TOKEN))
    ask(405, "method", request(method="POST").origin(ORIGIN).token(TOKEN))
    ask(426, "upgrade", good.without("Upgrade"))
    ask(400, "connection", good.without("Connection"))
    ask(400, "protocol", request(version="HTTP/1.0").origin(ORIGIN).token(TOKEN))
    ask(404, "path", request("/nowhere").origin(ORIGIN), location="")
    ask(403, "address", request("/near").origin(ORIGIN).token(TOKEN))
    ask(400, "path_spelling", request("/app/%255c..%255cx").origin(ORIGIN).token(TOKEN), location="/app/")
    ask(400, "two_tokens", request("/bearer").origin(ORIGIN).token(TOKEN).adding("Authorization", f"Bearer {TOKEN}"))
    ask(401, "token", request("/bearer").origin(ORIGIN).adding("Authorization", f"Bearer {TOKEN}-unknown"))
    ask(401, "basic_auth", request("/basic").origin(ORIGIN))
    ask(401, "basic_auth", request("/basic").origin(ORIGIN).basic("operator", "wrong"))
    ask(502, "upstream_unreachable", request("/gone").origin(ORIGIN).token(TOKEN))
    ask(504, "upstream_silent", request("/silent").origin(ORIGIN).token(TOKEN))
    with wire.handshake(endpoint, request("/few").origin(ORIGIN).token(TOKEN)) as reply:
        assert reply.upgraded
        ask(429, "limit", request("/few").origin(ORIGIN).token(TOKEN))
    host.check_output("touch /etc/nginx/wssgate.drain")
    try:
        ask(503, "draining", good)
    finally:
        host.check_output("rm /etc/nginx/wssgate.drain")
    # The agent counts those that a token opens. These two open it without one.
    passed(endpoint, request("/open").origin(ORIGIN))
    wanted["/open", 101, ""] += 1
    passed(endpoint, request("/basic").origin(ORIGIN).basic(*OPERATOR))
    wanted["/basic", 101, ""] += 1
    passed(endpoint, good)
    passed(endpoint, request("/either").origin(ORIGIN).basic(*OPERATOR))
    settled(scraper, before, wanted)


def test_a_session_has_its_length_and_its_bytes(endpoint, scraper):
    before = metrics(scraper)
    passed(endpoint, request("/open").origin(ORIGIN))
    count = ("wssgate_session_duration_seconds_count", f'location="/open",server="{HOST}"')
    deadline = time.monotonic() + 20
    while (found := metrics(scraper)).get(count, 0) != before.get(count, 0) + 1:
        assert time.monotonic() < deadline, sorted(key for key in found if "duration" in key[0])
        time.sleep(0.2)
    for direction in ("in", "out"):
        key = ("wssgate_bytes_total", f'direction="{direction}",location="/open",server="{HOST}"')
        assert found[key] > before.get(key, 0)


def of_agent(scraper, name: str, location: str) -> float:
    found = metrics(scraper, "/metrics/agent")
    return sum(value for (one, labels), value in found.items() if one == name and f'location="{location}"' in labels)


def within(seconds: float, find, wanted) -> None:
    deadline = time.monotonic() + seconds
    while (found := find()) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.2)


def test_what_clients_send_makes_no_series(endpoint, scraper):
    counted = refusals(scraper)
    wanted: collections.Counter = refuse(endpoint)
    settled(scraper, counted, wanted)
    before = own_series(scraper)
    for number in range(50):
        asked = request(f"/random-{number}").origin(f"https://{number}.example.com").token(f"{TOKEN}{number}")
        assert wire.handshake(endpoint, asked).status == 404
        wanted["", 404, "path"] += 1
    settled(scraper, counted, wanted)
    new = own_series(scraper) - before
    # A line's bytes may be told a moment after its answer, so that those of an earlier one are among them.
    assert not [labels for _name, labels in new if f'server="{HOST}"' not in labels or "random" in labels], new
    assert {labels for name, labels in new if name == "wssgate_handshakes_total"} <= {
        f'location="",reason="path",server="{HOST}",status="404"'
    }


def test_a_log_that_is_rotated_under_load_loses_nothing(host, endpoint, scraper):
    before = refusals(scraper)
    wanted: collections.Counter = collections.Counter()
    for round_ in range(3):
        wanted += refuse(endpoint, 5)
        # As Debian's logrotate does, only that nginx goes on in the old one for longer.
        host.check_output(f"mv /var/log/nginx/wss_access.log /var/log/nginx/wss_access.log.{round_ + 1}")
        host.check_output("install -m 0640 -o www-data -g adm /dev/null /var/log/nginx/wss_access.log")
        wanted += refuse(endpoint, 5)
        host.check_output("nginx -s reopen")
        wanted += refuse(endpoint, 5)
    settled(scraper, before, wanted)
    host.check_output("logrotate --force /etc/logrotate.d/nginx")
    settled(scraper, before, wanted + refuse(endpoint, 5))


@pytest.mark.parametrize("restart", ["systemctl restart wssgate-log-feed", "systemctl reload nginx"])
def test_what_is_started_again_counts_nothing_twice(host, endpoint, scraper, restart):
    before = refusals(scraper)
    wanted = refuse(endpoint, 10)
    host.check_output(restart)
    settled(scraper, before, wanted + refuse(endpoint, 10))


def test_nginx_that_is_restarted_loses_nothing(host, endpoint, scraper):
    before = refusals(scraper)
    wanted = refuse(endpoint, 5)
    host.check_output("systemctl restart nginx")
    settled(scraper, before, wanted + refuse(endpoint, 5))


def test_what_is_refused_while_mtail_is_down_is_counted_when_it_is_back(host, endpoint, scraper):
    settled(scraper, refusals(scraper), collections.Counter())
    host.check_output("systemctl stop wssgate-mtail")
    wanted = refuse(endpoint, 10)
    assert scrape(scraper, "/metrics/log", f"Authorization: Basic {SCRAPER}")[0] == 502
    host.check_output("systemctl start wssgate-mtail")
    wanted += refuse(endpoint, 10)
    deadline = time.monotonic() + 20
    while True:
        # Its counters begin at 0.
        with contextlib.suppress(AssertionError):
            if refusals(scraper) == wanted:
                break
        assert time.monotonic() < deadline, host.run("journalctl --no-pager -n 20 -u wssgate-mtail").stdout
        time.sleep(0.2)


def test_the_units_are_shut_in(host):
    for unit, most in (
        ("wssgate-mtail.service", 2.5),
        ("wssgate-log-feed.service", 2.5),
        ("wssgate-nginx-exporter.service", 3.5),
        ("wssgate-node-exporter.service", 5.0),
    ):
        exposure = re.search(
            r"Overall exposure level for \S+: ([0-9.]+)", host.run(f"systemd-analyze security {unit}").stdout
        )
        assert exposure and float(exposure[1]) <= most, (unit, exposure and exposure[1])


# Last: the gate's log has these, and so have the counts of other tests.
@pytest.mark.parametrize("path", ["/metrics/log", "/metrics/agent", "/metrics/nginx", "/metrics/node"])
def test_the_gate_s_own_port_serves_none(endpoint, path):
    assert scrape(endpoint, path, f"Authorization: Basic {SCRAPER}")[0] == 404


def test_playbook_check_tells_what_does_not_count(host, tmp_path):
    host.check_output("systemctl stop wssgate-mtail")
    try:
        told = run_playbook("wssgate.nginx.check", tmp_path, with_token=False).text
    finally:
        host.check_output("systemctl start wssgate-mtail")
    assert "wssgate-mtail.service is inactive, so that metrics are missing" in told
    assert "wssgate-nginx-exporter.service is" not in told
