# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables as command lines and inventories give them, through the real roles and playbooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib.local_gate import LocalGate, free_port

SERVER: dict[str, Any] = {
    "name": "gate",
    "certificate": "gate",
    "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
}
CERTIFICATE = {"name": "gate", "provider": "selfsigned", "subject_alt_names": ["DNS:gate.example.com"]}


class Inventory:
    """One host that is this machine, and one that is in no group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        variables = {"certificates_list": [CERTIFICATE], "wss_proxy_servers": [SERVER]}
        self.file(
            "inventory.json",
            {"wss_proxies": {"hosts": {"gate": host}, "vars": variables}, "others": {"hosts": {"other": host}}},
        )

    def file(self, name: str, content: Any) -> str:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def run(self, playbook: str, *arguments: str, **variables: Any) -> tuple[int, str]:
        """The exit status, and all that was said without its line breaks."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(self.folder / "inventory.json"),
                playbook,
                *arguments,
            ]
            + (["-e", json.dumps(variables)] if variables else []),
            cwd=self.folder,
            env=dict(
                os.environ,
                ANSIBLE_INJECT_FACT_VARS="false",
                ANSIBLE_NOCOWS="1",
                ANSIBLE_FORCE_COLOR="0",
                ANSIBLE_DEPRECATION_WARNINGS="false",
            ),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    return Inventory(tmp_path_factory.mktemp("inventory"))


# -- what is given as a string

TYPED = {
    "nginx_sessions": 300,
    "nginx_drain_timeout": 0,
    "nginx_live_timeout": 20,
    "nginx_keepalive_timeout": 60,
    "nginx_types_hash_max_size": 1024,
    "nginx_sendfile_enabled": False,
    "nginx_tcp_nopush_enabled": False,
    "nginx_tcp_nodelay_enabled": True,
    "nginx_server_tokens_enabled": False,
    "nginx_default_site_enabled": False,
    "nginx_allow_restart": True,
    "nginx_install_enabled": False,
    "nginx_hardening_enabled": False,
    "nginx_selinux_enabled": False,
    "nginx_firewall_enabled": False,
    "wss_proxy_tls_tickets": 0,
    "wss_proxy_buffer_size": 16384,
    "wss_proxy_drain_retry_after": 7,
    "wss_proxy_http_redirect_enabled": False,
    "wss_proxy_http_redirect_port": 8080,
    "wss_proxy_allow_empty": False,
}


def test_strings_render_what_they_spell() -> None:
    with LocalGate([]) as local_gate:
        local_gate.variables["wss_proxy_certificates"] = [local_gate.certificate()]
        servers = [
            {**SERVER, "server_names": ["gate.example.com"], "listen": [{"port": free_port(), "address": "127.0.0.1"}]}
        ]
        local_gate.apply(wss_proxy_servers=servers, **TYPED)
        configuration = local_gate.configuration()
        text = "".join(configuration.values())
        for line in (
            "worker_rlimit_nofile 1624;",
            "sendfile off;",
            "tcp_nodelay on;",
            "server_tokens off;",
            "proxy_buffers 8 16384;",
            "keepalive_timeout 60s;",
        ):
            assert line in text
        assert "NumTickets" not in text and "worker_shutdown_timeout" not in text
        output = local_gate.apply(**{name: str(value).lower() for name, value in TYPED.items()})
        assert local_gate.configuration() == configuration
        assert "changed=0" in output


def test_an_empty_list_takes_no_gate_away_by_itself() -> None:
    with LocalGate([]) as local_gate:
        local_gate.variables["wss_proxy_certificates"] = [local_gate.certificate()]
        servers = [
            {**SERVER, "server_names": ["gate.example.com"], "listen": [{"port": free_port(), "address": "127.0.0.1"}]}
        ]
        local_gate.apply(wss_proxy_servers=servers)
        configuration = local_gate.configuration()
        with pytest.raises(AssertionError) as refused:
            local_gate.apply(wss_proxy_servers=[])
        output = " ".join(str(refused.value).split())
        assert (
            "wss_proxy_servers is empty for localhost, which has a gate (server_gate.conf); this run would take it away"
            in output
        )
        assert "wss_proxy_allow_empty: true" in output
        assert local_gate.configuration() == configuration
        local_gate.apply(wss_proxy_allow_empty="true")
        assert (
            "wssgate.d/server_gate.conf" in configuration
            and "wssgate.d/server_gate.conf" not in local_gate.configuration()
        )
        # Nothing is left that could go away.
        assert "changed=0" in local_gate.apply(wss_proxy_allow_empty="false")


# -- what is told before anything changes


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (
            ["-e", "nginx_allow_restart=maybe", "-e", "nginx_sessions=4k"],
            "nginx_sessions is '4k'; it must be a whole number "
            "nginx_allow_restart is 'maybe'; it must be true or false",
        ),
        (["-e", '{"wss_proxy_server": []}'], "there is no variable wss_proxy_server; did you mean wss_proxy_servers?"),
        (
            ["-e", '{"wss_proxy_servers": []}', "-e", '{"nginx_directory": "@"}'],
            "wss_proxy_servers is empty for gate, which has a gate (server_old.conf)",
        ),
        (
            ["-e", '{"wss_proxy_servers": [{"name": "gate", "listen": 443}]}'],
            "server 'gate': listen 443 is not a list; write listen: [{option: value}]",
        ),
        (
            ["-e", "wss_proxy_tls_profile=moden"],
            "wss_proxy_tls_profile is 'moden'; it must be one of intermediate, modern",
        ),
        (
            ["-e", '{"certificates_list": [{"name": "gate", "provder": "files"}]}'],
            "certificates_list[0] has no option 'provder'; did you mean 'provider'?",
        ),
    ],
)
def test_site_answers_before_it_changes_anything(
    inventory: Inventory, tmp_path: Path, arguments: list[str], answer: str
) -> None:
    (tmp_path / "wssgate.d").mkdir()
    (tmp_path / "wssgate.d" / "server_old.conf").write_text(
        "#\n# Ansible managed by wssgate.nginx; changes made here are lost\n#\n"
    )
    (tmp_path / "wssgate.d" / "server_other.conf").write_text("# somebody else's\n")
    status, output = inventory.run(
        "wssgate.nginx.site",
        "--check",
        *(argument.replace("@", str(tmp_path)) for argument in arguments),
        ansible_become=False,
    )
    assert status != 0, output[-2000:]
    assert answer in output, output[-2000:]
    assert "changed=0" in output
    assert "_Ansible" not in output


# Each with the answer that playbook site gives. Ansible's own was the whole of argument_specs.yml, and names of its
# classes.
LOCATION = {**SERVER["locations"][0], "origins": ["https://a.example"]}
PASSWORD = "hidden words"
GOLDEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "wss_proxy",
        {"wss_proxy_servers": [{**SERVER, "listen": 443, "locations": [LOCATION]}]},
        "server 'gate': listen 443 is not a list; write listen: [{option: value}]",
    ),
    (
        "wss_proxy",
        {"wss_proxy_servers": [{**SERVER, "listen": {"port": 443}, "locations": [LOCATION]}]},
        "server 'gate': listen {'port': 443} is not a list; put it in [ ]",
    ),
    (
        "wss_proxy",
        {"wss_proxy_servers": {"name": "gate"}},
        "wss_proxy: wss_proxy_servers {'name': 'gate'} is not a list; put it in [ ]",
    ),
    (
        "wss_proxy",
        {"wss_proxy_upstreams": {"name": "gate"}},
        "wss_proxy: wss_proxy_upstreams {'name': 'gate'} is not a list; put it in [ ]",
    ),
    ("certificates", {"certificates_list": CERTIFICATE}, "certificates_list is not a list"),
    (
        "certificates",
        {"certificates_list": ["gate"]},
        "certificates_list[0] is not a dictionary with name and provider",
    ),
    ("certificates", {"certificates_authorities": {"name": "a"}}, "certificates_authorities is not a list"),
    (
        "certificates",
        {"certificates_client_authorities": {"name": "a"}},
        "certificates_client_authorities is not a list",
    ),
    (
        "nginx",
        {"nginx_needs": {"sockets": [{"path": "/run/a; reboot"}]}},
        "nginx_needs must have absolute paths without blanks (/run/a; reboot), octal modes in quotes (0660) and names "
        "of groups ().",
    ),
    ("htpasswd", {"htpasswd_files": {"path": "/etc/nginx/.htpasswd"}}, "htpasswd_files is not a list"),
    (
        "htpasswd",
        {"htpasswd_files": [{"path": "/etc/nginx/.htpasswd", "users": {"name": "a", "password": PASSWORD}}]},
        "htpasswd_files[0] (/etc/nginx/.htpasswd): users is not a list",
    ),
]


def own_play(inventory: Inventory, name: str, gather_facts: bool, roles: list[tuple[str, dict[str, Any]]]) -> str:
    """A play of one's own that runs each role with some variables and shows its answer."""
    tasks = [
        {
            "block": [{"ansible.builtin.include_role": {"name": f"wssgate.nginx.{role}"}}],
            "rescue": [{"ansible.builtin.debug": {"msg": f"answer {number} is {{{{ ansible_failed_result.msg }}}}"}}],
            "vars": variables,
        }
        for number, (role, variables) in enumerate(roles)
    ]
    subset = ["!all", "min", "network"]
    # The lookup loads the filters once for all tasks.
    play = {
        "hosts": "{{ query('wssgate.nginx.gate_hosts', 'gate') }}",
        "gather_facts": gather_facts,
        "gather_subset": subset,
        "tasks": tasks,
    }
    status, output = inventory.run(inventory.file(f"{name}.json", [play]), "--check")
    assert status == 0, output[-2000:]
    return output.replace("''", "'")


def test_a_play_of_one_s_own_gets_the_answers_that_site_gives(inventory: Inventory) -> None:
    output = own_play(inventory, "own", True, [(role, variables) for role, variables, _answer in GOLDEN])
    for number, (_role, _variables, answer) in enumerate(GOLDEN):
        assert f"answer {number} is {answer}" in output, (number, output[-6000:])
    assert "_Ansible" not in output and "Traceback" not in output and PASSWORD not in output
    assert "argument_spec_data" not in output


def test_a_play_without_facts_is_told_to_gather_them(inventory: Inventory) -> None:
    roles = ["nginx", "certificates", "htpasswd", "token_store", "wss_proxy"]
    output = own_play(inventory, "without_facts", False, [(role, {}) for role in roles])
    for number, role in enumerate(roles):
        assert f"answer {number} is role {role} needs facts of gate that the play has not gathered" in output
    assert "set gather_facts: true" in output
    assert "Traceback" not in output and "has no attribute" not in output


def test_a_play_that_is_not_root_is_told_to_become(inventory: Inventory) -> None:
    """Where nginx is a service, that is: without one it may be anybody's own."""
    play = """\
- hosts: gate
  gather_subset: ['!all', min, network]
  roles: [wssgate.nginx.nginx]
  vars:
    ansible_become: true
    ansible_become_user: nobody
    ansible_become_method: su
    ansible_become_flags: -s /bin/sh
    ansible_pipelining: true
    ansible_python_interpreter: /usr/bin/python3
"""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody without a password")
    status, output = inventory.run(inventory.file("not_root.yml", play))
    assert status != 0
    assert "this run is not root there: set become: true in the play, or connect as root" in output, output[-2000:]
    assert "changed=0" in output


# -- no host, no server


@pytest.mark.parametrize(
    "playbook",
    [
        *("site", "check", "drain", "undrain", "rebalance", "uninstall", "session_end", "session_list"),
        *("token_issue", "token_list", "token_prune", "token_revoke"),
    ],
)
def test_a_run_that_would_do_nothing_fails_and_says_why(inventory: Inventory, playbook: str) -> None:
    status, output = inventory.run(f"wssgate.nginx.{playbook}", "--limit", "other")
    assert status != 0
    assert (
        "--limit other leaves none of the hosts that match 'wss_proxies' (gate), so nothing would be done" in output
    ), output[-1000:]


def test_a_group_that_is_not_there_is_an_error_unless_it_may_be_missing(inventory: Inventory) -> None:
    status, output = inventory.run("wssgate.nginx.site", "--check", wssgate_hosts="wss_proxy")
    assert status != 0 and "No host of the inventory matches 'wss_proxy', so nothing would be done" in output, output[
        -1000:
    ]
    for arguments in (["-e", "wssgate_hosts_required=false"], ["--list-tasks"], ["--syntax-check"]):
        status, output = inventory.run("wssgate.nginx.site", *arguments, wssgate_hosts="wss_proxy")
        assert status == 0, output[-1000:]


def test_check_fails_for_a_host_without_servers(inventory: Inventory) -> None:
    status, output = inventory.run("wssgate.nginx.check", "--limit", "gate", ansible_become=False, wss_proxy_servers=[])
    assert status != 0 and "gate has no wss_proxy_servers, so there is nothing to check" in output, output[-1000:]


def test_a_playbook_s_parameter_that_is_no_boolean_is_refused(inventory: Inventory) -> None:
    status, output = inventory.run("wssgate.nginx.token_prune", "-e", "disconnect=fasle", ansible_become=False)
    assert status != 0 and "disconnect is 'fasle'; it must be true or false" in output, output[-1000:]


def test_a_misspelt_parameter_of_a_playbook_is_refused_before_a_token_is_issued(inventory: Inventory) -> None:
    given = ("-e", "subject=client-42", "-e", "tll=60")
    status, output = inventory.run("wssgate.nginx.token_issue", *given, ansible_become=False)
    assert status != 0 and "this playbook has no parameter tll; did you mean ttl?" in output, output[-1000:]
    assert "Issue the token on the first proxy" not in output


# -- tags

PARTS = {
    "gate": (
        "Activate | Make the configuration live",
        "Files | ",
        "Pruner | ",
        "Certificates | Ensure",
        "Install",
    ),
    "nginx": ("Activate | Make the configuration live", "Files | ", "Pruner | ", "Certificates | Ensure"),
    "certificates": (
        "Certificates | Ensure the certificates and keys are in place",
        "Files | ",
        "Pruner | ",
        "Install | Say that nginx",
    ),
    "htpasswd": ("Files | Ensure the files hold the users", "Activate | ", "Pruner | ", "Certificates | Ensure"),
    "token_store": ("Pruner | Ensure the store is there", "Activate | ", "Files | ", "Certificates | Ensure"),
}


@pytest.mark.parametrize("tag", PARTS)
def test_a_part_of_site_runs_by_its_tag_with_all_that_it_needs(inventory: Inventory, tag: str) -> None:
    present, *absent = PARTS[tag]
    status, output = inventory.run(
        "wssgate.nginx.site",
        "--check",
        "--tags",
        tag,
        ansible_become=False,
        htpasswd_files=[{"path": "/etc/nginx/.htpasswd", "users": []}],
    )
    assert status == 0, output[-2000:]
    assert present in output
    for name in absent:
        assert f": {name}" not in output, name
    for role in ("nginx", "certificates", "htpasswd", "token_store", "wss_proxy"):
        assert f"wssgate.nginx.{role} : Preflight | Check the settings" in output
    assert "wssgate.nginx.nginx : Detect | Look at the nginx that is installed" in output


def test_tags_of_one_s_own_keep_the_roles_together(inventory: Inventory) -> None:
    play = """\
- hosts: "{{ query('wssgate.nginx.gate_hosts', 'gate') }}"
  gather_subset: ['!all', min, network]
  roles:
    - {role: wssgate.nginx.nginx, tags: [base]}
    - {role: wssgate.nginx.token_store, tags: [tokens]}
    - {role: wssgate.nginx.wss_proxy, tags: [front]}
"""
    playbook = inventory.file("own_tags.yml", play)
    status, output = inventory.run(playbook, "--check", "--tags", "front")
    assert status == 0, output[-2000:]
    assert "Activate | Make the configuration live" in output
    assert "Drop-in" not in output and "Pruner | " not in output
    status, output = inventory.run(playbook, "--check", "--tags", "front", "-e", "nginx_sessions=4k")
    assert status != 0 and "nginx_sessions" in output and "changed=0" in output
