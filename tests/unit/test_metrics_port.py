# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of a balancer's or a hub's metrics: what is rendered, and its files on the host."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import jinja2
import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._balancer import stats
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.error import BalancerError
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.service import HAProxy, Keepalived
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.transaction import Outcome, Settings, Transaction
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.tree import Tree
from ansible_collections.wssgate.nginx.plugins.modules import wss_balancer_config
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _metrics_port, _role_variables

ROOT = Path(__file__).resolve().parents[2]
MARK = "# Ansible managed by wssgate.nginx\n"


def front(kind: str, **changes: t.Any) -> str:
    """The port of a balancer's or a hub's metrics."""
    file = "/etc/nginx/.htpasswd-metrics"
    values = {
        **{name: _role_variables.default_of(name) for name in _metrics_port.VARIABLES},
        "monitoring_enabled": True,
        "monitoring_certificate": "front",
        "monitoring_allow_from": ["192.0.2.40", "2001:db8::/64"],
        "certificates_list": [{"name": "front"}],
        "certificates_directory": "/etc/nginx/certificates",
        "htpasswd_files": [{"path": file, "users": [{"name": "prometheus", "hash": "$6$salt$" + "x" * 86}]}],
        **changes,
    }
    made = _metrics_port.read(kind, "front1", [_metrics_port.GROUPS[kind]], values, is_hashed=True)
    assert made["problems"] == []
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(ROOT / "roles/monitoring/templates")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters["comment"] = lambda text, *_, decoration="# ": decoration + text
    paths = {"pair": "/etc/pair.pem", "ca": "/etc/ca.pem", "crl": "/etc/crl.pem"}
    managed = "Ansible managed by wssgate.nginx; changes made here are lost"
    text = environment.get_template("front.cfg.j2").render(ansible_managed=managed, front=made, has_ipv6=True, **paths)
    return text.partition("\n")[2]


def test_the_ports_of_metrics_are_the_golden_ones() -> None:
    password = {"monitoring_htpasswd_file": "/etc/nginx/.htpasswd-metrics"}
    certificate = {"monitoring_client_certificates": {"ca_path": "/srv/ca.pem", "crl_path": "/srv/crl.pem"}}
    listen = {"monitoring_listen": [{"port": 9443}, {"port": 9444, "address": "192.0.2.2"}]}
    found = {
        "balancer.cfg": front("balancer", **password, **listen),
        "balancer-mtls.cfg": front("balancer", **certificate),
        "hub.cfg": front("hub", **password, **certificate),
    }
    folder = ROOT / "tests/unit/data/metrics_port"
    if os.environ.get("WSSGATE_GOLDEN"):
        folder.mkdir(exist_ok=True)
        for name, content in found.items():
            (folder / name).write_text(content, encoding="utf-8")
    assert found == {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_what_holds_secrets_is_root_s_alone_and_in_no_diff(tmp_path: Path) -> None:
    name, secret = "wssgate.d/wssgate-metrics.cfg", f"{MARK}user a password $6$secret\n"
    pair = {name.replace(".cfg", ".pem"): "-----BEGIN PRIVATE KEY-----"}

    def tree(*, wanted: bool = True) -> Tree:
        more = {name: secret, **pair} if wanted else {}
        return Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {"haproxy.cfg": MARK, **more}, frozenset(more))

    def modes() -> t.List[int]:
        return [path.stat().st_mode & 0o777 for path in (tmp_path / "wssgate.d").iterdir()]

    def told(one: Tree) -> str:
        outcome = Outcome()
        outcome.changes = one.changes
        return str(outcome.diff()) + str(outcome.result())

    first = tree()
    with first.staged() as staged:
        assert all(path.stat().st_mode & 0o077 == 0 for path in (Path(staged) / "wssgate.d").iterdir())
    first.commit()
    assert modes() == [0o600, 0o600] and "secret" not in told(first) and "PRIVATE" not in told(first)
    assert "(not shown)" in told(first) and tree().changes == []
    # Somebody opens it: that is a change.
    (tmp_path / name).chmod(0o644)
    assert [change.path for change in tree().changes] == [name]
    tree().commit()
    assert modes() == [0o600, 0o600]
    # It goes, and comes back closed where the reload fails.
    last = tree(wanted=False)
    assert "secret" not in told(last) and "PRIVATE" not in told(last)
    last.commit()
    assert not (tmp_path / "wssgate.d").exists() or modes() == []
    last.undo()
    assert modes() == [0o600, 0o600] and (tmp_path / name).read_text() == secret


def test_a_pair_is_one_file_and_what_lacks_of_it_is_told(tmp_path: Path) -> None:
    paths = {"certificate_path": str(tmp_path / "a.pem"), "key_path": str(tmp_path / "a.key")}
    given = {
        "haproxy_private_files": {"wssgate.d/a.cfg": MARK},
        "haproxy_pairs": [{"name": "wssgate.d/a.pem", **paths}],
    }
    assert wss_balancer_config.secret_files(given)[1] == list(paths.values())
    (tmp_path / "a.pem").write_text("certificate")
    (tmp_path / "a.key").write_text("key\n\n")
    found, lacking = wss_balancer_config.secret_files(given)
    assert found == {"wssgate.d/a.cfg": MARK, "wssgate.d/a.pem": "certificate\nkey\n"} and lacking == []
    haproxy = HAProxy("/none", str(tmp_path), "haproxy.cfg", "wssgate.d", "/none", "", "/none")
    keepalived = Keepalived("/none", str(tmp_path / "none"), "keepalived.conf", "")
    settings = Settings(haproxy, keepalived, {"haproxy.cfg": MARK}, {}, lacking=["/a.pem"])
    with pytest.raises(BalancerError, match="/a.pem is not there; nothing was changed. Run role certificates"):
        Transaction(settings).run()
    assert not (tmp_path / "haproxy.cfg").exists()
    assert Transaction(settings._replace(check=True)).run().result()["changed"]


def test_the_metrics_are_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stats.METRICS == _metrics_port.NAME
    columns = "# pxname,svname,scur,status,check_status,check_code,weight\n"
    rows = f"wcs,FRONTEND,1,OPEN,,,\n{_metrics_port.NAME},FRONTEND,1,OPEN,,,\n"
    monkeypatch.setattr(stats, "ask", lambda _path, _command: columns + rows)
    assert [service["name"] for service in stats.services("/none")] == ["wcs"]
