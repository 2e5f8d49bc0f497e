# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each mistake gets one clear error; the host stays as it was, to the byte and to the process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lib import wire
from lib.molecule.modules import Run, run_playbook

SCENARIO = Path(__file__).parents[1]
HOST = "wssgate-bad_input-debian12"
SERVER: dict[str, Any] = {
    "name": "wcs",
    "server_names": ["wcs.example.com"],
    "certificate": "wcs",
    "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
}
USERS = [{"name": "operator", "password": "correct horse"}]

# What is asked for, and the words that the error must have.
MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    # All that is wrong with the servers is told at once.
    (
        "a certificate that nobody defined, two servers of one name, an upstream that is no URL, a directive "
        "smuggled in, a tiny buffer"
    ): (
        {
            "wss_proxy_servers": [
                {**SERVER, "certificate": "typo"},
                {
                    **SERVER,
                    "server_names": ["b.example.com"],
                    "locations": [{"path": "/wss", "upstream": "127.0.0.1:8080"}],
                },
                {
                    **SERVER,
                    "name": "smuggler",
                    "server_names": ["c.example.com"],
                    "locations": [{"path": "/wss { return 200; }", "upstream": "http://127.0.0.1:8080"}],
                },
            ],
            "wss_proxy_buffer_size": 100,
        },
        (
            "server 'wcs': certificate 'typo' is not in certificates_list (there: wcs)",
            "server 'wcs': two servers have this name",
            "server 'wcs', locations[0]: upstream '127.0.0.1:8080' is neither a URL",
            "server 'smuggler', locations[0]: path '/wss { return 200; }' is not a path that starts with /",
            "wss_proxy: buffer_size 100 is not a whole number from 1024 to 1048576",
        ),
    ),
    "a user name with a colon": (
        {
            "htpasswd_files": [
                {"path": "/etc/nginx/.htpasswd", "users": [{"name": "op:erator", "password": "hidden words"}]}
            ]
        },
        ("colon",),
    ),
    "a token store that is no absolute path": ({"token_store_path": "tokens"}, ("token_store_path", "absolute")),
    "a group of a unix socket that is not there": (
        {
            "wss_proxy_servers": [
                {**SERVER, "listen": [{"port": 443}, {"unix": "/run/gate.sock", "unix_group": "nobodys"}]}
            ]
        },
        ("unix_group nobodys is no group on", "install what brings it, or make it"),
    ),
    "a log format that would end its own quotes": (
        {"nginx_log_format": "it's'; return 200"},
        ("nginx_log_format one line without single quotes",),
    ),
    "an account for the workers that is not there": (
        {"nginx_user": "nginx"},
        ("nginx_user nginx is not on", "leave nginx_user out for www-data"),
    ),
    "an owner of the token store that is not there": (
        {"token_store_owner": "nobodys"},
        ("token_store_owner nobodys is not on", "or name another"),
    ),
    "a list of servers that is misspelt": (
        {"wss_proxy_server": [SERVER]},
        ("there is no variable wss_proxy_server; did you mean wss_proxy_servers?",),
    ),
    "no servers for a host that has a gate": (
        {"wss_proxy_servers": []},
        ("which has a gate (server_wcs.conf); this run would take it away", "set wss_proxy_allow_empty: true"),
    ),
    "a number and a boolean that are none": (
        {"nginx_sessions": "4k", "nginx_allow_restart": "maybe"},
        (
            "nginx_sessions is '4k'; it must be a whole number",
            "nginx_allow_restart is 'maybe'; it must be true or false",
        ),
    ),
}


def output_of(run: Run) -> str:
    """All of its output, without the line breaks that it was laid out with."""
    return " ".join(run.text.split())


def message_of(result: dict[str, Any]) -> str:
    """What a task that failed says, with each item of a loop that failed, without line breaks."""
    # ansible-core 2.21 tells of an item that failed by its exception alone.
    failed = [item for item in result.get("results", []) if item.get("failed") or "exception" in item]
    return " ".join(" ".join(found["msg"] for found in (result, *failed)).split())


def state(host: Any) -> str:
    """All that a run could have touched, and the processes that serve."""
    return host.check_output(
        "find /etc/nginx /var/lib/nginx/tokens /etc/systemd/system -xdev -not -type d -printf '%p %i %m %u %T@ "
        "%s %l\\n' | sort; pgrep -fa '^nginx:'"
    )


@pytest.fixture(scope="module")
def asked(host: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, bool]:
    """One run with all mistakes, and whether the host was as before: each is asked for by another name of the host."""
    folder = tmp_path_factory.mktemp("mistakes")
    names = {f"mistake{number}": variables for number, (variables, _words) in enumerate(MISTAKES.values())}
    common = {"ansible_connection": "community.docker.docker", "ansible_host": HOST}
    hosts = {name: common | variables for name, variables in names.items()}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"wss_proxies": {"children": {"mistakes": {"hosts": hosts}}}}))
    before = state(host)
    run = run_playbook("wssgate.nginx.site", folder, "-i", str(inventory), wssgate_hosts="mistakes")
    return run, state(host) == before


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_changes_nothing(asked: tuple[Run, bool], mistake: str) -> None:
    run, is_as_before = asked
    name = f"mistake{[*MISTAKES].index(mistake)}"
    assert run.stats(name)["failures"] == 1 and run.stats(name)["changed"] == 0, run.text[-3000:]
    told = message_of(run.result(name))
    for word in MISTAKES[mistake][1]:
        assert word in told
    assert run.returncode != 0 and "hidden words" not in run.text
    assert is_as_before


def test_a_directive_that_nginx_does_not_know_is_named_with_its_line_and_changes_nothing(host, tmp_path):
    before = state(host)
    server = {**SERVER, "extra_directives": "# a remark\nlisen 444;"}
    run = run_playbook("wssgate.nginx.site", tmp_path, wss_proxy_servers=[server])
    told = message_of(run.result(HOST))
    found = re.search(r'unknown directive "lisen" in /etc/nginx/wssgate\.d/server_wcs\.conf:(\d+)', told)
    assert run.returncode != 0 and found, run.text[-3000:]
    assert int(found[1]) > 10 and "nothing was changed" in told
    assert run.stats(HOST)["changed"] == 0
    assert state(host) == before


def test_an_operating_system_that_nobody_wrote_for_is_refused_by_name(host, tmp_path):
    before = state(host)
    run = run_playbook(str(SCENARIO / "unsupported.yml"), tmp_path)
    assert run.returncode != 0
    assert "9front is not supported: this collection knows the families " in output_of(run)
    assert state(host) == before


def test_without_a_token_store_the_gate_that_would_refuse_everybody_is_not_made(host, tmp_path):
    before = state(host)
    run = run_playbook(str(SCENARIO / "without_store.yml"), tmp_path)
    assert run.returncode != 0
    assert "/srv/no-tokens is no folder on" in output_of(run)
    assert "run role wssgate.nginx.token_store before this one" in output_of(run)
    assert state(host) == before


def test_a_port_taken_by_another_process_is_told_in_nginx_s_words_and_the_old_gate_serves_on(host, gate, tmp_path):
    host.check_output("systemd-run --unit=squatter python3 -m http.server --bind 0.0.0.0 9443")
    host.check_output(
        "sh -c 'for i in $(seq 50); do ss -Hltn sport = :9443 | grep -q . && exit 0; sleep 0.1; done; exit 1'"
    )
    server = {**SERVER, "listen": [{"port": 443}, {"port": 9443}]}
    configuration = "cat /etc/nginx/nginx.conf /etc/nginx/wssgate.d/* | sha256sum"
    before = host.check_output(configuration)
    try:
        run = run_playbook("wssgate.nginx.site", tmp_path, wss_proxy_servers=[server], nginx_live_timeout=4)
        output = output_of(run)
        assert run.returncode != 0
        assert "bind() to 0.0.0.0:9443 failed (98: Address already in use)" in output, output[-2000:]
        assert host.check_output(configuration) == before
        endpoint = wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")
        assert (
            wire.handshake(endpoint, wire.Request(host="wcs.example.com").origin("https://wcs.example.com")).status
            == 403
        )
    finally:
        host.run("systemctl stop squatter")
