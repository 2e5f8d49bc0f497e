# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role knows its own variables and what is handed to it by name, never another's private ones or defaults."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _role_variables

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
NAMES = _role_variables.ROLE_NAMES

# The public variables that roles read of others, and why. Each has one default: the role's that has the variable.
CROSSING: t.Dict[str, t.Dict[str, str]] = {
    "nginx": {
        "wss_proxy_servers": "what nginx_needs is worked out from, together with the eight that follow",
        "wss_proxy_upstreams": "their sockets may be in /tmp",
        "wss_proxy_http_redirect_enabled": "another port that clients connect to",
        "wss_proxy_http_redirect_port": "which one",
        "wss_proxy_token_store_path": "nginx has to see the folder",
        "wss_proxy_access_log_path": "nginx has to write there",
        "wss_proxy_session_log_path": "and there",
        "wss_proxy_acme_webroot": "nginx has to see the folder",
        "wss_proxy_drain_path": "nginx has to see the file, and uninstall removes it",
        "wss_proxy_jwt_socket_path": "nginx asks itself about signed tokens by it",
        "wss_proxy_revocations_path": "what was taken back of them, which uninstall removes",
        "wss_proxy_metrics": "the port that a scraper connects to",
        "balancer_haproxy_socket": "where a balancer tells what it finds of the gate after a change",
        "balancer_check_interval": "and when it has looked again",
    },
    "certificates": {
        "nginx_binary": "the program that takes a renewed certificate up",
        "nginx_directory": "its configuration",
        "nginx_pid_path": "its process",
        "nginx_live_timeout": "how long that may take",
        "nginx_found": "packages that role nginx has seen already",
    },
    "htpasswd": {"nginx_group": "the group that has to read the files"},
    "token_store": {
        "nginx_group": "the group that has to look into the store",
        "nginx_user": "role nginx has looked for the account already",
        "nginx_found": "packages that role nginx has seen already",
        "wss_proxy_revocations_path": "what was taken back of signed tokens, whose sessions end here",
        "nginx_binary": "what the unit needs that makes fetched keys live, together with the five that follow",
        "nginx_directory": "the configuration that has the keys",
        "nginx_live_timeout": "how long that may take",
        "nginx_log_directory": "where nginx tells why it does not run it",
        "nginx_pid_path": "its process",
        "nginx_service": "its service",
        "wss_proxy_issuers": "where their keys are fetched",
        "wss_proxy_drain_path": "whether the host is drained, which is a metric",
        "monitoring_enabled": "whether the agent writes metrics",
    },
    "token_hub": {
        "token_store_hub": "what gates and hubs have to agree on",
    },
    "wss_proxy": {
        "certificates_list": "the certificates that servers name",
        "certificates_directory": "where they are",
        "certificates_acme_webroot": "what port 80 serves to an authority",
        "htpasswd_files": "the password files that servers name",
        "token_store_path": "where a token is looked for",
        "token_store_session_log": "where sessions are noted",
        "token_store_hub": "whether a gate that starts has to catch up first",
        "token_store_pruner": "whether an agent ends sessions whose time is over",
        "nginx_directory": "where the gate's own files are",
        "nginx_group": "the group that has to look into the folders of signed tokens",
        "nginx_javascript_module": "whether there is one",
        "nginx_javascript_packages": "whether nginx can test the configuration, and what is missing where it cannot",
        "nginx_install_enabled": "whether role nginx installs them",
        "nginx_packages": "and whether nginx is there at all",
        "nginx_log_directory": "where its access log is",
        "nginx_found": "the versions that the configuration is written for",
        "token_store_metrics_file": "what the agent counts, for a scraper",
        "monitoring_enabled": "whether metrics are served beside the servers",
        "monitoring_listen": "where",
        "monitoring_server_names": "by which names",
        "monitoring_certificate": "with which certificate",
        "monitoring_allow_from": "to whom, as the two that follow",
        "monitoring_htpasswd_file": "with a password",
        "monitoring_client_certificates": "with a certificate",
        "monitoring_nginx_exporter_enabled": "whether nginx's own counters are among them",
        "monitoring_nginx_exporter_port": "where they come from",
        "monitoring_node_exporter_enabled": "whether the host's own are",
    },
    "monitoring": {
        "balancer_haproxy_directory": "where a balancer's port for metrics is written down",
        "nginx_found": "whether role nginx has seen anything of an earlier run",
        "nginx_binary": "module nginx_info asks for it",
        "nginx_directory": "where the port is written down that nginx serves already",
        "nginx_group": "who gets to the sockets that nginx passes a scraper to",
        "token_store_pruner": "whether there is an agent, which counts what is open",
        "wss_proxy_access_log_path": "what mtail counts",
        "wss_proxy_unseen_locations": "whose sessions it counts, as the agent cannot",
        "wss_proxy_uncounted_addresses": "which balancers ask by themselves whether the gate is alive",
    },
    "balancer": {},
    "wcs": {},
}
MODULES = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}


def code_of(path: Path) -> str:
    """A file without comments and without the messages and the texts around it that only name variables."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return re.sub(r"wssgate\.nginx\.\w+", "", "\n".join(lines))


def files_of(role: str) -> t.List[Path]:
    folders = [ROLES / role / name for name in ("tasks", "vars", "defaults", "templates", "handlers")]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in (".yml", ".j2")]


def public_names(role: str) -> t.Set[str]:
    names = {name for entry in _role_variables.entry_points_of(role).values() for name in entry.get("options") or {}}
    return names | {name for name in _role_variables.RESULTS if name.startswith(f"{role}_")}


@pytest.mark.parametrize("role", NAMES)
def test_no_role_reads_a_private_variable_of_another(role: str) -> None:
    others = "|".join(name for name in (*NAMES, "wssgate") if name != role)
    for path in files_of(role):
        found = re.findall(rf"(?<![a-z_])__(?:{others})_[a-z0-9_]+", code_of(path))
        assert found == [], path


def test_no_playbook_reads_a_private_variable_of_a_role() -> None:
    for path in (ROOT / "playbooks").rglob("*.yml"):
        read = set(re.findall(rf"(?<![a-z_])__(?:{'|'.join(NAMES)})_[a-z0-9_]+", code_of(path)))
        its_own = set(re.findall(r"^ +(__[a-z0-9_]+):", code_of(path), re.MULTILINE))
        assert read - its_own == set(), path


def test_every_private_variable_has_the_prefix_of_its_role() -> None:
    for role in NAMES:
        for path in files_of(role):
            private = set(re.findall(r"(?<![a-z_])__[a-z][a-z0-9_]*", code_of(path)))
            assert {name for name in private if not name.startswith(f"__{role}_")} == set(), path


@pytest.mark.parametrize("role", NAMES)
def test_the_public_variables_that_a_role_reads_of_others_are_those_on_the_list(role: str) -> None:
    others = {name for other in NAMES if other != role for name in public_names(other)} - public_names(role)
    read = {name for path in files_of(role) for name in re.findall(r"(?<![\w.])[a-z][a-z0-9_]*\b(?!:)", code_of(path))}
    assert sorted((read & others) - MODULES) == sorted(CROSSING[role])


def test_no_default_of_a_role_is_written_again_elsewhere() -> None:
    """What reads another's variable takes that role's default with it (lookup role_variable), or nothing ('' or [])."""
    names = {name for role in NAMES for name in _role_variables.options_of(role)}
    for path in [*(path for role in NAMES for path in files_of(role)), *(ROOT / "playbooks").rglob("*.yml")]:
        for name, default in re.findall(r"\b([a-z_]+) \| default\(([^()]+)", code_of(path)):
            assert name not in names or default.partition(",")[0] in ("''", "[]", "none", "omit"), f"{path}: {name}"


@pytest.mark.parametrize(
    "path", ["wssgate.drain", "/etc/nginx", "/var/lib/nginx/tokens", "/run/nginx.pid", "/usr/sbin/nginx"]
)
def test_a_path_stands_in_one_role(path: str) -> None:
    """In its default, of which defaults/main.yml is made, and in no task, variable or playbook but quickstart's own."""
    found = [
        str(file.relative_to(ROOT))
        for file in [*(file for role in NAMES for file in files_of(role)), *(ROOT / "playbooks").glob("*.yml")]
        if re.search(
            rf"(?<![\w/]){re.escape(path)}(?![\w/.-])",
            re.sub(r"\bmsg: .*|fail_msg: >-\n(?: +.*\n)+|words: >-\n(?: {6}.*\n)+", "", code_of(file)),
        )
        or (path == "wssgate.drain" and path in code_of(file))
    ]
    assert len([name for name in found if "quickstart" not in name]) == 1, found


# -- the lookup by which roles and playbooks read each other's variables


def looked_up(name: str, expression: str = "lookup('wssgate.nginx.role_variable', name)", **variables: t.Any) -> t.Any:
    given = {
        key: _role_variables.trust_as_template(value) if isinstance(value, str) else value
        for key, value in variables.items()
    }
    facts = {"os_family": "Debian"}
    templar = Templar(loader=DataLoader(), variables={"ansible_facts": facts, "name": name, **given})
    return templar.template(_role_variables.trust_as_template("{{ " + expression + " }}"))


@pytest.mark.parametrize(
    ("name", "variables", "value"),
    [
        ("wss_proxy_drain_path", {}, "/etc/nginx/wssgate.drain"),
        ("wss_proxy_drain_path", {"nginx_directory": "/srv/nginx"}, "/srv/nginx/wssgate.drain"),
        ("wss_proxy_drain_path", {"wss_proxy_drain_path": "/run/{{ which }}", "which": "drain"}, "/run/drain"),
        ("wss_proxy_drain_path", {"wss_proxy_drain_path": ""}, ""),
        ("nginx_group", {}, "www-data"),
        ("nginx_group", {"nginx_group": "web"}, "web"),
        ("htpasswd_group", {"nginx_group": "web"}, "web"),
        ("token_store_group", {}, "www-data"),
        ("nginx_live_timeout", {}, 10),
        ("wss_proxy_http_redirect_enabled", {}, True),
        ("wss_proxy_servers", {}, []),
        ("wss_proxy_servers", {"wss_proxy_servers": [{"name": "a"}]}, [{"name": "a"}]),
        ("certificates_list", {}, []),
        ("wss_proxy_session_log_path", {}, ""),
    ],
)
def test_a_variable_is_the_host_s_or_has_the_role_s_default(
    name: str, variables: t.Dict[str, t.Any], value: t.Any
) -> None:
    assert looked_up(name, **variables) == value


def test_one_that_is_empty_may_have_the_default_instead() -> None:
    expression = "lookup('wssgate.nginx.role_variable', name, or_default=true)"
    assert looked_up("wss_proxy_drain_path", expression, wss_proxy_drain_path="") == "/etc/nginx/wssgate.drain"
    assert looked_up("wss_proxy_drain_path", expression, wss_proxy_drain_path="/run/drain") == "/run/drain"


def test_a_name_that_no_role_has_is_an_error() -> None:
    with pytest.raises(Exception, match="no role has a variable wss_proxy_drane_path"):
        looked_up("wss_proxy_drane_path")


def test_every_default_can_be_read_from_outside_of_its_role() -> None:
    for role in NAMES:
        for name, default in yaml.safe_load(
            (ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8")
        ).items():
            assert "__" not in str(default), name
            if "{{" in str(default):
                looked_up(name)


def test_variables_of_the_first_version_that_go_are_told_when_they_are_used() -> None:
    def used(**variables: t.Any) -> t.List[str]:
        return _role_variables.deprecated_names("nginx", variables, lambda value: value)

    assert used() == used(nginx_packages_besides=[], nginx_paths_besides=[]) == []
    assert used(nginx_packages_besides=["vim"]) == ["nginx_packages_besides"]
    assert used(nginx_paths_besides=["/etc/hosts"]) == ["nginx_paths_besides"]
