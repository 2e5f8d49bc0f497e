# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role monitoring refuses before it changes anything, and what it finds to do."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _platforms
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import metrics

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19

    def trust_as_template(value: str) -> str:
        return value


ROLE = Path(__file__).resolve().parents[2] / "roles/monitoring"
# sl local_address rem_address st: 443 and 9113 are listened on, 9443 is somebody's connection
LISTENING = """\
   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:2399 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:24E3 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
   0: 00000000000000000000000000000000:2394 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0
"""
SERVED = "    listen 9443 ssl;\n    listen [::]:9443 ssl;\n    listen 192.0.2.1:9108 ssl;\n"


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return [trusted(item) for item in value] if isinstance(value, list) else value


def role_value(name: str, **given: t.Any) -> t.Any:
    known: t.Dict[str, t.Any] = {"inventory_hostname": "gate", "ansible_facts": {"service_mgr": "systemd"}}
    for part in ("defaults", "vars"):
        known |= trusted(yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8")))
    known["ansible_facts"]["os_family"] = given.pop("os_family", "Debian")
    known["ansible_facts"]["service_mgr"] = given.pop("service_mgr", "systemd")
    return Templar(loader=DataLoader(), variables={**known, **given}).template(trust_as_template("{{ " + name + " }}"))


def refused(**given: t.Any) -> t.List[str]:
    return [str(rule["words"]) for rule in role_value("__monitoring_rules", **given) if rule["is_broken"]]


def test_the_defaults_are_not_refused() -> None:
    assert refused() == []


@pytest.mark.parametrize("pruner", ["cron", "none", "systemd"])
def test_metrics_without_the_agent_are_refused(pruner: str) -> None:
    assert refused(token_store_pruner=pruner) == [
        (
            "monitoring_enabled needs the agent of role token_store, which counts what is open, and token_store_pruner "
            f"is {pruner}: set it to auto."
        )
    ]


def test_a_host_without_systemd_is_refused() -> None:
    (found,) = refused(service_mgr="sysvinit")
    assert "gate does not run systemd" in found and "set monitoring_enabled to false there" in found


def test_bounds_that_are_none_are_refused() -> None:
    assert "monitoring_cpu_quota (0) must be 1 or more" in refused(monitoring_cpu_quota=0)[0]
    assert "monitoring_memory_max (16) 32 or more" in refused(monitoring_memory_max="16")[0]


def test_one_port_for_two_is_refused() -> None:
    (found,) = refused(monitoring_listen=[{"port": 9113}])
    assert "monitoring_nginx_exporter_port is 9113, which monitoring_listen has, too" in found


@pytest.mark.parametrize(
    ("listen", "served", "taken"),
    [
        ([{"port": 9443}], "", []),
        ([{"port": 9113}], "", [9113]),
        ([{"port": "9113"}, {"port": 9443}], "", [9113]),
        ([{"port": 9108}], "", [9108]),
        ([{"port": 9108}, {"port": 9443}], SERVED, []),
        ([{"port": 443}], SERVED, [443]),
        ("9113", "", []),
        (["9113"], "", []),
    ],
)
def test_a_port_of_another_program_is_found(listen: t.Any, served: str, taken: t.List[int]) -> None:
    found = role_value(
        "__monitoring_taken",
        monitoring_listen=listen,
        __monitoring_listening={"stdout": LISTENING},
        __monitoring_served={"stdout": served},
    )
    assert found == taken


def test_nginx_looks_where_the_programs_are() -> None:
    assert role_value("__monitoring_log_socket") == metrics.LOG_SOCKET
    assert role_value("__monitoring_node_socket") == metrics.NODE_SOCKET
    assert role_value("__monitoring_status_socket") == metrics.STATUS_SOCKET
    assert role_value("monitoring_listen") == metrics.DEFAULTS["listen"]
    assert role_value("monitoring_nginx_exporter_port") == metrics.DEFAULTS["nginx_exporter_port"]


def test_what_there_is_no_package_of_is_told() -> None:
    wanted = {"monitoring_nginx_exporter_enabled": True, "monitoring_node_exporter_enabled": "yes"}
    assert role_value("__monitoring_packages", **wanted) == [
        "mtail",
        "prometheus-nginx-exporter",
        "prometheus-node-exporter",
    ]
    assert role_value("__monitoring_lacking", **wanted) == []
    assert role_value("__monitoring_lacking", os_family="RedHat", **wanted) == [
        _platforms.FAMILIES["RedHat"]["monitoring"][name]["metrics"] for name in ("mtail", "nginx_exporter")
    ]
    assert role_value("__monitoring_programs", os_family="RedHat", **wanted) == ["node_exporter"]


def test_role_nginx_looks_where_the_programs_are() -> None:
    found = yaml.safe_load((ROLE.parent / "nginx" / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert found["__nginx_monitoring_directory"] == role_value("__monitoring_directory")


def test_every_program_has_its_units_and_what_is_off_has_none() -> None:
    every = {"monitoring_nginx_exporter_enabled": True, "monitoring_node_exporter_enabled": True}
    # Of Prometheus, of whoever has one, and of balancers and hubs
    others = {
        "monitor.conf",
        "prometheus.yml",
        "scrape.yml",
        "front.cfg",
        "hub-exporter.service",
        "hub-metrics.service",
    }
    files = {path.name.removesuffix(".j2") for path in (ROLE / "templates").glob("*.j2")} - others
    all_units = {name.removeprefix("wssgate-") for name in role_value("__monitoring_units", **every)}
    assert all_units == files - {"wssgate.mtail"}
    assert role_value("__monitoring_units") == [
        "wssgate-log-feed.socket",
        "wssgate-mtail.service",
        "wssgate-log-feed.service",
    ]


def test_a_unit_is_started_again_for_its_program() -> None:
    folder = role_value("__monitoring_directory")
    changed = {"differing_files": [f"{folder}/log-feed"], "paths": {}, "packages": []}
    assert "wssgate-log-feed.service" in role_value("__monitoring_changed_units", __monitoring_info=changed)
    changed["differing_files"] = [f"{folder}/progs/wssgate.mtail"]
    found = role_value("__monitoring_changed_units", __monitoring_info=changed)
    assert "wssgate-mtail.service" in found and "wssgate-log-feed.service" not in found


def test_what_is_not_wanted_any_more_is_left_over() -> None:
    units = role_value("__monitoring_units_directory")
    paths = {f"{units}/wssgate-mtail.service": {}, f"{units}/wssgate-nginx-exporter.service": {}}
    info = {"paths": paths, "differing_files": [], "packages": []}
    assert role_value("__monitoring_left", __monitoring_info=info, monitoring_enabled=True) == [
        f"{units}/wssgate-nginx-exporter.service"
    ]
    assert role_value("__monitoring_left", __monitoring_info=info) == list(paths)


@pytest.mark.parametrize(
    ("kind", "ports", "own", "taken"),
    [
        ("balancer", [9443], "", []),
        ("balancer", [9113], "", [9113]),
        ("balancer", [9113], "    bind :9113 ssl crt /a.pem\n", []),
        ("balancer", [9113], "    bind [::1]:9113 ssl crt /a.pem\n", []),
        ("balancer", [9113], "    bind :91130 ssl crt /a.pem\n", [9113]),
        ("hub", [9443], "", [9113]),
        ("hub", [9443], "    -web.listen-address=127.0.0.1:9113 \\\n", []),
    ],
)
def test_a_port_of_another_program_is_found_on_balancers_and_hubs(
    kind: str, ports: t.List[int], own: str, taken: t.List[int]
) -> None:
    front = {"kind": kind, "ports": ports, "exporter_port": 9113}
    listening = {"stdout": LISTENING + own}
    assert (
        role_value("__monitoring_front_taken", __monitoring_front=front, __monitoring_front_listening=listening)
        == taken
    )


def tasks(name: str) -> t.List[t.Dict[str, t.Any]]:
    """All tasks of a file, those of blocks behind the block that has them."""
    found: t.List[t.Dict[str, t.Any]] = []
    waiting = list(yaml.safe_load((ROLE / "tasks" / name).read_text(encoding="utf-8")))
    while waiting:
        task = waiting.pop(0)
        found.append(task)
        waiting = [*task.get("block", []), *task.get("rescue", []), *task.get("always", []), *waiting]
    return found


def test_a_unit_of_somebody_else_is_neither_hidden_nor_removed_nor_disabled() -> None:
    found = tasks("install.yml")
    (brought,) = [
        task["vars"]["__monitoring_brought"] for task in found if "__monitoring_brought" in task.get("vars", {})
    ]
    looked = [
        {"item": name, "stat": {"exists": exists}} for name, exists in (("own.service", True), ("new.service", False))
    ]
    ours = role_value("brought", brought=trust_as_template(brought), __monitoring_others={"results": looked})
    assert ours == ["new.service"]
    touching = [
        task for task in found
        if "__monitoring_units_directory }}/{{ item }}" in str(task.get("ansible.builtin.file"))
        or "'disable'" in str(task.get("ansible.builtin.command"))
    ]  # fmt: skip
    assert len(touching) == 3
    assert all("__monitoring_brought" in str(task) for task in touching)


@pytest.mark.parametrize(
    ("log", "empty", "hidden"),
    [
        ("/var/log/nginx/wss_access.log", "/var:ro", {"/boot", "/etc", "/media", "/mnt", "/opt", "/srv"}),
        ("/srv/logs/wss.log", "/var:ro /srv:ro", {"/boot", "/etc", "/media", "/mnt", "/opt"}),
        ("/data/logs/wss.log", "/var:ro", {"/boot", "/etc", "/media", "/mnt", "/opt", "/srv"}),
    ],
)
def test_the_feed_sees_the_log_s_folder_wherever_it_is(log: str, empty: str, hidden: t.Set[str]) -> None:
    path = ROLE / "templates/log-feed.service.j2"
    unit = role_value(
        f"lookup('ansible.builtin.template', '{path}', template_vars=__monitoring_header)", __monitoring_access_log=log
    )
    lines = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert lines["TemporaryFileSystem"] == empty
    assert lines["BindReadOnlyPaths"] == log.rsplit("/", 1)[0]
    # What is inaccessible has nothing bound below it; /home and /root are empty.
    assert set(lines["InaccessiblePaths"].replace("-", "").split()) == hidden
    assert lines["ProtectHome"] == "tmpfs"


@pytest.mark.parametrize(
    ("status", "error", "fails"),
    [
        (0, "", False),
        (1, "Failed to disable unit: Unit prometheus.service does not exist", False),
        (1, "Failed to disable unit: Unit file prometheus.service does not exist.", False),
        (1, "Failed to connect to bus: No such file or directory", True),
    ],
)
def test_prometheus_that_was_never_installed_is_taken_away_all_the_same(status: int, error: str, fails: bool) -> None:
    (stop,) = [task for task in tasks("monitor_uninstall.yml") if "Stop the services" in task["name"]]
    result = {"rc": status, "stderr": error}
    assert role_value(f"({stop['failed_when']})", **{stop["register"]: result}) is fails


def test_a_configuration_of_alertmanager_that_is_refused_says_so_and_comes_first() -> None:
    names = [task["name"] for task in tasks("monitor_configure.yml")]
    alertmanager = [number for number, name in enumerate(names) if name.endswith("of Alertmanager is there")]
    prometheus = [
        number for number, name in enumerate(names) if name.endswith(("of Prometheus is there", "alerts are there"))
    ]
    assert alertmanager[0] < min(prometheus)
    (words,) = [
        task["ansible.builtin.fail"]["msg"] for task in tasks("monitor_configure.yml") if "ansible.builtin.fail" in task
    ]
    assert "amtool check-config" in words and "monitoring_alertmanager_content" in words
