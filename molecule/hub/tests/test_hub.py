# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub as a service: what a gate has for it, who may read what, its sandbox, and its return after a kill."""

from __future__ import annotations

import hashlib
import re

import testinfra

from lib.molecule import scraping
from lib.molecule.modules import run_playbook
from lib.processes import wait_for

HUB, GATE = "wssgate-hub-debian13", "wssgate-hub-debian12"
testinfra_hosts = [f"docker://{HUB}"]
FOLDER = "/etc/wssgate/token_hub"
METRICS = "metrics.example.com"
METRICS_UNITS = ("wssgate-hub-exporter", "wssgate-hub-metrics")
METRICS_FILES = (
    *(f"/etc/systemd/system/{unit}.service" for unit in METRICS_UNITS),
    "/etc/wssgate/monitoring",
    f"{FOLDER}/passwords/exporter",
)
ROOT_ONLY = (
    "users.acl",
    "passwords/operator",
    "passwords/monitor",
    "passwords/issuer-app",
    "passwords/exporter",
    "certificates/hub/privkey.pem",
)
CLI = (
    "env REDISCLI_AUTH=$(cat {path}) valkey-cli --no-auth-warning --tls --cacert {folder}/ca.pem "
    "-h {hub} -p 6380 --user"
)


def ask(host, user: str, words: str) -> str:
    command = CLI.format(path=f"{FOLDER}/passwords/{user}", folder=FOLDER, hub=HUB)
    return host.run(f"{command} {user} {words}").stdout.strip()


def test_the_gate_s_password_never_left_it_and_the_hub_has_its_hash(host):
    gate = testinfra.get_host(f"docker://{GATE}")
    password = gate.file("/etc/wssgate/hub/password")
    assert (password.user, password.mode) == ("root", 0o600) and len(password.content_string.strip()) == 43
    secret = password.content_string.strip()
    assert f"#{hashlib.sha256(secret.encode()).hexdigest()}" in host.file(f"{FOLDER}/users.acl").content_string
    assert host.run(f"grep -rqF {secret} /etc /var/lib /run").rc == 1
    assert gate.file("/etc/wssgate/hub/ca.pem").content_string == host.file(f"{FOLDER}/ca.pem").content_string


def test_root_alone_reads_what_is_secret(host):
    for name in ROOT_ONLY:
        found = host.file(f"{FOLDER}/{name}")
        assert (found.user, found.mode) == ("root", 0o600), name
    assert host.run("journalctl -u wssgate-hub | grep -E '#[0-9a-f]{64}'").rc == 1


def test_the_package_s_own_instance_was_never_started(host):
    assert host.run("systemctl is-active valkey-server").stdout.strip() == "inactive"
    assert host.run("systemctl is-enabled valkey-server").stdout.strip() == "disabled"
    assert not host.run("journalctl -u valkey-server -o cat | grep -i started").stdout
    assert {line.split()[3].rpartition(":")[2] for line in host.run("ss -Hltn").stdout.splitlines()} == {
        *("6380", "9443", "9121")
    }
    # Nor by UDP
    assert "6380" not in host.run("ss -Hlun").stdout


def test_its_data_are_for_nobody_else(host):
    assert host.run("find -L /var/lib/wssgate-hub -type f").stdout
    assert not host.run("find -L /var/lib/wssgate-hub /run/wssgate-hub -perm /077").stdout


def test_the_service_has_no_rights_of_its_own(host):
    pid = host.run("systemctl show -P MainPID wssgate-hub").stdout.strip()
    status = host.file(f"/proc/{pid}/status").content_string
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE) and re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert int(re.search(r"^Uid:\t(\d+)", status, re.MULTILINE)[1]) > 60000
    exposure = host.run("systemd-analyze security --no-pager wssgate-hub | tail -1").stdout
    assert float(re.search(r"wssgate-hub.service: ([0-9.]+)", exposure)[1]) <= 1.2


def test_it_answers_its_users_and_comes_back_after_a_kill(host):
    assert ask(host, "monitor", "ping") == "PONG"
    entry = ask(host, "operator", "xadd '{wssgate:main}:operate' '*' revoke f")
    assert re.fullmatch(r"[0-9]+-[0-9]+", entry)
    assert ask(host, "issuer-app", "xrange '{wssgate:main}:operate' - +").startswith("NOPERM")
    assert host.run("systemctl kill -s KILL wssgate-hub").rc == 0
    assert entry in wait_for(
        lambda: entry in (text := ask(host, "operator", "xrange '{wssgate:main}:operate' - +")) and text
    )


def test_playbooks_issue_and_revoke_on_a_host_of_the_hub(tmp_path):
    gate = testinfra.get_host(f"docker://{GATE}")
    run = run_playbook("wssgate.nginx.token_issue", tmp_path, subject="client-42", ttl=600, output="json")
    assert run.returncode == 0, run.text
    told = next(found["msg"] for found in run.results(GATE) if isinstance(found.get("msg"), dict))
    (token,) = told["tokens"]
    assert told["proxies"] == [GATE]
    wait_for(lambda: gate.file(f"/var/lib/nginx/tokens/{token}").exists)
    run = run_playbook("wssgate.nginx.token_revoke", tmp_path, fingerprint=told["fingerprints"][0])
    assert run.returncode == 0 and f"Revoked through the hub and confirmed: {GATE}" in run.text, run.text
    assert not gate.file(f"/var/lib/nginx/tokens/{token}").exists


def test_a_run_of_the_hub_alone_changes_nothing_and_keeps_who_is_not_in_it(host, tmp_path):
    before = host.file(f"{FOLDER}/users.acl").content_string
    assert re.search(rf"(?m)^user gate-{GATE} on #[0-9a-f]{{64}} ", before)
    for options in (("--check",), ()):
        run = run_playbook("wssgate.nginx.site", tmp_path, "--limit", HUB, *options, wssgate_hosts_required=False)
        assert run.returncode == 0, run.text[-3000:]
        assert run.stats(HUB)["changed"] == 0
    assert host.file(f"{FOLDER}/users.acl").content_string == before


def metrics_ca(host, tmp_path):
    path = tmp_path / "metrics.pem"
    path.write_text(host.file("/etc/nginx/certificates/metrics/fullchain.pem").content_string)
    return path


def test_a_scraper_with_the_password_gets_the_metrics(host, tmp_path):
    ca_path = metrics_ca(host, tmp_path)
    assert scraping.scrape(HUB, METRICS, ca_path, "staple battery")[0] == 401
    status, body = scraping.scrape(HUB, METRICS, ca_path)
    assert status == 200 and "\nredis_up 1\n" in body and "\nredis_memory_max_bytes " in body
    assert set(host.check_output(f"systemctl is-active {' '.join(METRICS_UNITS)}").split()) == {"active"}
    for package in ("haproxy", "prometheus-redis-exporter"):
        assert host.run(f"systemctl is-enabled {package}").stdout.strip() == "disabled"
        assert host.run(f"systemctl is-active {package}").stdout.strip() == "inactive"
    # From elsewhere nobody reaches the exporter, which asks for no password.
    assert re.findall(r"(\S+):9121 ", host.check_output("ss -Hltn")) == ["127.0.0.1"]


def test_playbook_check_tells_of_metrics_that_are_not_served(host, tmp_path):
    ended = "wssgate-hub-metrics.service is inactive, so that metrics are missing"
    told = run_playbook("wssgate.nginx.check", tmp_path, with_token=False).text
    assert "metrics are missing" not in told and "could not be asked" not in told, told[-3000:]
    host.check_output("systemctl stop wssgate-hub-metrics")
    try:
        told = run_playbook("wssgate.nginx.check", tmp_path, with_token=False).text
    finally:
        host.check_output("systemctl start wssgate-hub-metrics")
    assert ended in told and "wssgate-hub-exporter.service is" not in told, told[-3000:]


def test_metrics_that_are_not_wanted_any_more_go_and_the_hub_stays(host, tmp_path):
    """Last: what served them is not there any more."""
    ca_path = metrics_ca(host, tmp_path)
    login = CLI.format(path=f"{FOLDER}/passwords/monitor", folder=FOLDER, hub=HUB)
    password = host.check_output(f"cut -d '\"' -f 4 {FOLDER}/passwords/exporter").strip()

    def site(*arguments: str) -> dict[str, int]:
        run = run_playbook("wssgate.nginx.site", tmp_path, *arguments, monitoring_enabled=False)
        assert run.returncode == 0, run.text[-3000:]
        return {name: run.stats(name)["changed"] for name in (HUB, GATE)}

    def logs_in() -> bool:
        command = login.replace(f"$(cat {FOLDER}/passwords/monitor)", password)
        return "redis_version" in host.run(f"{command} exporter info server").stdout

    assert logs_in()
    # A dry run tells of it, and does nothing.
    told = site("--check")
    assert told == {HUB: 3, GATE: 0}
    assert scraping.scrape(HUB, METRICS, ca_path)[0] == 200
    assert all(host.file(path).exists for path in METRICS_FILES) and logs_in()
    # And one restart, which follows from a file that is written.
    assert site() == {HUB: 4, GATE: 0}
    assert not [path for path in METRICS_FILES if host.file(path).exists]
    assert scraping.is_closed(HUB, METRICS, ca_path)
    assert host.run("systemctl list-units --all --plain --no-legend 'wssgate-hub-*' | grep -v not-found").stdout == ""
    assert "exporter" not in host.file(f"{FOLDER}/users.acl").content_string and not logs_in()
    assert ask(host, "monitor", "ping") == "PONG"
    assert site() == {HUB: 0, GATE: 0}
