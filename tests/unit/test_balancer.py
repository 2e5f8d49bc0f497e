# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role balancer's model: what is refused, each with one sentence, and what its templates make of the rest."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import jinja2
import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._balancer import stats
from ansible_collections.wssgate.nginx.plugins.modules import wss_balancer_gate
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.error import BalancerError
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.service import HAProxy, Keepalived, Systemd
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.transaction import Settings, Transaction
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.tree import SAVED_SUFFIX, Tree
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _balancer_report, _platforms
from ansible_collections.wssgate.nginx.plugins.plugin_utils._balancer import hosts, model

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/unit/data/balancer"
WITH_SOURCE: t.Dict[str, t.Any] = {"services": [{"name": "wcs", "ca_source": "b"}]}
MARK = "# Ansible managed by wssgate.nginx\n"

Options = t.Dict[str, t.Any]

FACTS: Options = {
    "interfaces": ["lo", "eth0", "br-lan"],
    "lo": {"ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0"}, "ipv6": [{"address": "::1"}]},
    "eth0": {
        "ipv4": {"address": "192.0.2.2", "netmask": "255.255.255.0"},
        # As keepalived adds it: a network of its own, which makes no other address fit.
        "ipv4_secondaries": [{"address": "192.0.2.10", "netmask": "255.255.255.255"}],
    },
    "br_lan": {"ipv4": {"address": "10.1.0.2", "netmask": "255.255.0.0"}},
}


def server(**changes: t.Any) -> Options:
    return {
        "name": "wcs",
        "server_names": ["_", "wcs.example.com"],
        "listen": [{"port": 443}, {"port": 8443, "proxy_protocol": True}],
        "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
        **changes,
    }


def gate(number: int, **changes: t.Any) -> Options:
    return {"name": f"gate{number}", "address": f"192.0.2.2{number}", "servers": [server()], **changes}


def context(**changes: t.Any) -> Options:
    return {
        "host": "front1",
        "services": [{"name": "wcs"}],
        "gates": [gate(1), gate(2)],
        "balancers": [{"name": "front1", "address": "192.0.2.2"}, {"name": "front2", "address": "192.0.2.3"}],
        "addresses": [{"address": "192.0.2.10"}],
        "facts": FACTS,
        **changes,
    }


def both(**changes: t.Any) -> t.List[Options]:
    return [gate(1, servers=[server(**changes)]), gate(2)]


REFUSED: t.Dict[str, t.Tuple[Options, str]] = {
    "no gates": ({"gates": []}, "there are no gates: put them into the group wss_proxies"),
    "no services": ({"services": []}, "balancer_services is empty"),
    "an unknown option": (
        {"services": [{"name": "wcs", "prot": 443}]},
        "there is no option 'prot' here; 'port' is one",
    ),
    "a name that is a directive": ({"services": [{"name": "a\nbind :1", "server": "wcs"}]}, "is not a name of letters"),
    "two services of one name": (
        {"services": [{"name": "wcs"}, {"name": "wcs", "port": 444}]},
        "service 'wcs': two services have this name",
    ),
    "a service of the metrics' name": (
        {"services": [{"name": "WSSgate-metrics", "server": "wcs"}]},
        "service 'WSSgate-metrics': the port of the metrics has this name; give the service another",
    ),
    "two services on one port": (
        {"services": [{"name": "wcs"}, {"name": "b", "server": "wcs"}]},
        "service 'b': port 443 is that of service 'wcs'; give each its own",
    ),
    "a port": ({"services": [{"name": "wcs", "port": 65536}]}, "port 65536 is not a whole number from 1 to 65535"),
    "an unknown server": (
        {"services": [{"name": "wcs", "server": "wsc"}], "gates": [gate(1)]},
        "gate 'gate1' has no server 'wsc' in wss_proxy_servers (there is wcs); name one in server, or set gate_port",
    ),
    "no listener": (
        {"gates": both(listen=[{"port": 443}])},
        "server 'wcs' of gate 'gate1' has no listener with proxy_protocol: true; add one, such as {port: 8443",
    ),
    "two listeners": (
        {"gates": both(listen=[{"port": 1, "proxy_protocol": True}, {"port": 2, "proxy_protocol": "yes"}])},
        "has several listeners with proxy_protocol: true; name one in gate_port",
    ),
    "a port without the PROXY protocol": (
        {"services": [{"name": "wcs", "gate_port": 443}], "gates": [gate(1)]},
        "server 'wcs' of gate 'gate1' has no listener with proxy_protocol: true at port 443",
    ),
    "no name": (
        {"gates": [gate(1, servers=[server(server_names=["_"])])]},
        "no name is known that the gates' certificate is good for; set server_name",
    ),
    "a path with a blank": ({"services": [{"name": "wcs", "path": "/a b"}]}, "path '/a b' is not a path that starts"),
    "an origin": ({"services": [{"name": "wcs", "origin": "example"}]}, "origin 'example' is not an origin such as"),
    "two kinds of authority": (
        {
            "services": [{"name": "wcs", "ca_path": "/a", "ca_source": "b"}],
            "authorities": {"b": {"content": "BEGIN CERTIFICATE"}},
        },
        "ca_path and ca_source are both set; keep one",
    ),
    "no authority": (
        {**WITH_SOURCE, "authorities": {"b": {"problem": "b is not on the controller"}}},
        "ca_source 'b': b is not on the controller",
    ),
    "a key for an authority": (
        {**WITH_SOURCE, "authorities": {"b": {"content": "BEGIN CERTIFICATE PRIVATE KEY"}}},
        "ca_source 'b' is not a file of certificates, and of nothing else",
    ),
    "an idle session that is cut": (
        {"gates": both(locations=[{"path": "/wss", "idle_timeout": 90000}])},
        "has idle_timeout 90000, and balancer_idle_timeout (86400) would cut its sessions first",
    ),
    "a gate that does not trust": (
        {"gates": both(trusted_proxies=["192.0.2.2", "198.51.100.0/24"])},
        "server 'wcs' of gate 'gate1' does not trust balancer 'front2' (192.0.2.3); leave trusted_proxies out there",
    ),
    "a gate without an address": (
        {"gates": [gate(1, address="")]},
        "gate 'gate1': its address is not known: set balancer_gate_address for it",
    ),
    "a gate by its name": ({"gates": [gate(1, address="gate1.example.com")]}, "is not an IP address"),
    "two gates of one address": (
        {"gates": [gate(1), gate(2, address="192.0.2.21")]},
        "gate 'gate2': it has the address 192.0.2.21 of gate 'gate1'; give each its own",
    ),
    "a weight": ({"gates": [gate(1, weight=257)]}, "weight 257 is not a whole number from 0 to 256"),
    "one address for two balancers": (
        {"balancers": [{"name": "front1", "address": "192.0.2.2"}, {"name": "front2", "address": "192.0.2.2"}]},
        "balancer 'front2': it has the address 192.0.2.2 of balancer 'front1'; set balancer_address for each",
    ),
    "a balancer without an address": (
        {"addresses": [], "balancers": [{"name": "front1", "address": ""}]},
        "balancer 'front1': its address is not known: set balancer_address for it",
    ),
    "an address that moves for one balancer": (
        {"balancers": [{"name": "front1", "address": "192.0.2.2"}]},
        "balancer_addresses are for two balancers and more, and the group wss_balancers has 1",
    ),
    "an address outside of the networks": (
        {"addresses": [{"address": "198.51.100.1"}]},
        "it is in no network of an interface of front1 (192.0.2.0/24 (eth0), 10.1.0.0/16 (br-lan))",
    ),
    "an address outside of an interface's networks": (
        {"addresses": [{"address": "192.0.2.10", "interface": "br-lan"}]},
        "address 192.0.2.10: it is in no network of br-lan of front1",
    ),
    "an interface": (
        {"addresses": [{"address": "192.0.2.10", "interface": "eth9"}]},
        "front1 has no interface 'eth9'; there are eth0, br-lan",
    ),
    "outside of nothing": (
        {"addresses": [{"address": "192.0.2.10", "outside_allowed": True}]},
        "outside_allowed needs interface; name it",
    ),
    "the network itself": ({"addresses": [{"address": "192.0.2.255"}]}, "it stands for the whole of 192.0.2.0/24"),
    "a balancer's own address": (
        {"addresses": [{"address": "192.0.2.3"}]},
        "address 192.0.2.3: it is balancer 'front2''s own; an address that moves is nobody's",
    ),
    "a gate's own address": (
        {"addresses": [{"address": "192.0.2.21"}]},
        "address 192.0.2.21: it is gate 'gate1''s own",
    ),
    "one address twice": (
        {"addresses": [{"address": "192.0.2.10"}, {"address": "192.0.2.10", "router_id": 10}]},
        "address 192.0.2.10: it is in balancer_addresses twice; keep one",
    ),
    "one router id twice": (
        {"addresses": [{"address": "192.0.2.10"}, {"address": "192.0.2.11", "router_id": 10}]},
        "address 192.0.2.11: router_id 10 is that of 192.0.2.10; give each its own",
    ),
    "a router id": (
        {"addresses": [{"address": "192.0.2.10", "router_id": 256}]},
        "router_id 256 is not a whole number from 1 to 255",
    ),
    "an address of IPv6": ({"addresses": [{"address": "2001:db8::1"}]}, "is not an IPv4 address, such as 192.0.2.10"),
    "an address that the host has by itself": (
        {"addresses": [{"address": "10.1.0.2"}]},
        "address 10.1.0.2: front1 has it on br-lan by itself; an address that moves is nobody's",
    ),
    "a gate of a name that HAProxy has": ({"gates": [gate(1, name="BACKEND")]}, "HAProxy's own figures have this name"),
    "a balancer's name that is a directive": (
        {
            "addresses": [],
            "host": "a\n}",
            "balancers": [{"name": "a\n}", "address": "192.0.2.2"}],
        },
        "is not a name of letters",
    ),
    "a path with a comment": ({"services": [{"name": "wcs", "path": "/a#b"}]}, "path '/a#b' is not a path that starts"),
    "a path with a quote": ({"services": [{"name": "wcs", "path": '/a"b'}]}, "is not a path that starts"),
    "an origin with a line": (
        {"services": [{"name": "wcs", "origin": "https://a.example\nbind :1"}]},
        "is not an origin such as",
    ),
    "a server name with a variable": (
        {"services": [{"name": "wcs", "server_name": "a${HOME}"}]},
        "is not a host name",
    ),
    "an authority's path with a blank": (
        {"services": [{"name": "wcs", "ca_path": "/etc/a b.pem"}]},
        "ca_path '/etc/a b.pem' is not an absolute path",
    ),
    "a number": ({"check_interval": 0}, "balancer_check_interval 0 is not a whole number from 1 to 3600"),
    "a socket": ({"haproxy_socket": "/run/a b"}, "balancer_haproxy_socket '/run/a b' is not an absolute path"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_wrong_is_told_in_one_sentence(what: str) -> None:
    changes, words = REFUSED[what]
    found = model.errors(context(**changes))
    assert len(found) == 1 and words in found[0], found


def test_what_is_right_is_not_refused() -> None:
    assert model.errors(context()) == []
    assert model.errors(context(addresses=[], balancers=[{"name": "front1", "address": "192.0.2.2"}])) == []
    outside = {"address": "203.0.113.9", "interface": "eth0", "outside_allowed": True}
    assert model.errors(context(addresses=[outside])) == []
    assert model.errors(context(gates=both(trusted_proxies=["192.0.2.0/24"]))) == []


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_rendered() -> None:
    wrong = context(services=[{"name": "wcs", "port": 0}], addresses=[{"address": "198.51.100.1"}])
    assert len(model.errors(wrong)) == 2
    with pytest.raises(model.BalancerError, match="198.51.100.1"):
        model.model(wrong)


def test_a_service_follows_from_the_gates_server() -> None:
    made = model.model(context())["services"][0]
    assert (made["server_name"], made["path"], made["tls"]) == ("wcs.example.com", "/wss", True)
    assert [one["at"] for one in made["gates"]] == ["192.0.2.21:8443", "192.0.2.22:8443"]
    assert made["ca_path"] == "/etc/ssl/certs/ca-certificates.crt"


def test_whoever_has_an_address_keeps_it_unless_the_first_is_preferred() -> None:
    def priorities(**changes: t.Any) -> t.List[int]:
        return [model.model(context(host=host, **changes))["addresses"][0]["priority"] for host in ("front1", "front2")]

    assert priorities() == [200, 200]
    assert priorities(preempt_enabled=True) == [200, 199]


def test_a_balancer_whose_services_all_fail_is_still_one() -> None:
    services = [{"name": f"s{number}", "server": "wcs", "port": 1000 + number} for number in range(40)]
    made = model.model(context(services=services))
    assert 0 < 200 + made["script_weight"] * 40 < 200


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"ansible_host": "192.0.2.1"}, "192.0.2.1"),
        ({"ansible_host": "192.0.2.1", "own": "10.0.0.1"}, "10.0.0.1"),
        ({"ansible_host": "127.0.0.1", "ansible_facts": {"default_ipv4": {"address": "10.0.0.2"}}}, "10.0.0.2"),
        ({"ansible_host": "gate", "ansible_facts": {"default_ipv4": {"address": "10.0.0.2"}}}, "10.0.0.2"),
        ({"ansible_facts": {"default_ipv4": {}, "default_ipv6": {"address": "2001:db8::1"}}}, "2001:db8::1"),
        ({"own": "no address"}, "no address"),
        ({"ansible_host": "gate", "ansible_facts": {}}, ""),
    ],
)
def test_where_a_host_is_reached(variables: Options, address: str) -> None:
    assert hosts.address_of("gate", variables, "own") == address
    assert hosts.address_of("192.0.2.9", {}, "own") == "192.0.2.9"


# -- what is rendered


def rendered() -> t.Dict[str, str]:
    """The files of the first balancer, with all that there is in them."""
    services = [
        {"name": "wcs", "ca_source": "ca.pem", "origin": "https://app.example.com", "max_connections": 500},
        {"name": "plain", "server": "wcs", "port": 80, "tls": False, "extra_directives": "# By hand\nfullconn 9"},
    ]
    given = context(
        services=services,
        authorities={"ca.pem": {"content": "-----BEGIN CERTIFICATE-----\n"}},
        gates=[gate(1), gate(2, weight=50), gate(3, address="2001:db8::3")],
        addresses=[{"address": "192.0.2.10"}, {"address": "10.1.0.9", "router_id": 77}],
    )
    made = model.model(given)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(ROOT / "roles/balancer/templates")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    environment.filters["comment"] = lambda text, *_, decoration="# ": decoration + text
    variables = {
        "ansible_managed": "Ansible managed by wssgate.nginx; changes made here are lost",
        "inventory_hostname": "front1",
        "__balancer_model": made,
        "__balancer_platform": _platforms.platform("Debian"),
        "__balancer_check_path": "/usr/local/lib/wssgate/balancer-check",
        "__balancer_check_user": "keepalived_script",
    }

    def text(name: str, **more: t.Any) -> str:
        lines = environment.get_template(name).render(**variables, **more).split("\n")
        return "\n".join(lines[1:] if lines[0].startswith("#jinja2") else lines)

    return {
        "haproxy.cfg": text("haproxy.cfg.j2"),
        "keepalived.conf": text("keepalived.conf.j2"),
        "drop-in.conf": text("drop-in.conf.j2"),
        **{f"{one['name']}.cfg": text("service.cfg.j2", __balancer_service=one) for one in made["services"]},
    }


def test_the_configuration_is_the_golden_one() -> None:
    found = rendered()
    if os.environ.get("WSSGATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        for name, content in found.items():
            (GOLDEN / name).write_text(content, encoding="utf-8")
    assert found == {path.name: path.read_text(encoding="utf-8") for path in GOLDEN.iterdir()}


# -- files on the host


def test_what_somebody_else_had_is_kept_and_comes_back(tmp_path: Path) -> None:
    main = tmp_path / "haproxy.cfg"
    main.write_text("theirs\n")
    wanted = {"haproxy.cfg": MARK, "wssgate.d/a.cfg": MARK}
    Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", wanted).commit()
    assert main.read_text() == MARK and (tmp_path / f"haproxy.cfg{SAVED_SUFFIX}").read_text() == "theirs\n"
    assert Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", wanted).changes == []
    Tree(str(tmp_path), "haproxy.cfg", "wssgate.d").commit()
    assert [path.name for path in tmp_path.iterdir()] == ["haproxy.cfg"] and main.read_text() == "theirs\n"
    assert Tree(str(tmp_path), "haproxy.cfg", "wssgate.d").changes == []


def test_files_of_others_in_the_folder_are_tested_and_stay(tmp_path: Path) -> None:
    folder = tmp_path / "wssgate.d"
    folder.mkdir()
    for name in ("theirs.cfg", "theirs.pem", "old.pem"):
        (folder / name).write_text("theirs\n")
    (folder / "old.cfg").write_text(MARK)
    tree = Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {"haproxy.cfg": MARK, "wssgate.d/a.cfg": MARK})
    with tree.staged() as staged:
        assert sorted(path.name for path in (Path(staged) / "wssgate.d").iterdir()) == ["a.cfg", "theirs.cfg"]
    tree.commit()
    assert sorted(path.name for path in folder.iterdir()) == ["a.cfg", "theirs.cfg", "theirs.pem"]


def test_undo_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text("theirs\n")
    tree = Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {"haproxy.cfg": MARK, "wssgate.d/a.cfg": MARK})
    tree.commit()
    tree.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["haproxy.cfg"]
    assert (tmp_path / "haproxy.cfg").read_text() == "theirs\n"


def test_nothing_is_written_through_a_link_or_over_a_service_of_somebody_else_s(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "wssgate.d").symlink_to(elsewhere)
    with pytest.raises(BalancerError, match="is not a folder"):
        Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {"haproxy.cfg": MARK})
    (tmp_path / "wssgate.d").unlink()
    (tmp_path / "wssgate.d").mkdir()
    (tmp_path / "wssgate.d/a.cfg").write_text("theirs\n")
    with pytest.raises(BalancerError, match="is there and not of this collection"):
        Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {"haproxy.cfg": MARK, "wssgate.d/a.cfg": MARK})
    for name in ("../a.cfg", "/etc/passwd", "wssgate.d/../a.cfg", "other.cfg", "wssgate.d/.a"):
        with pytest.raises(BalancerError, match="is neither"):
            Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", {name: MARK})


def test_keepalived_s_answer_counts_though_it_sends_itself_a_signal(tmp_path: Path) -> None:
    """As 2.2.7 does at the end of its test: Debian 12."""
    binary = tmp_path / "keepalived"
    keepalived = Keepalived(str(binary), str(tmp_path), "keepalived.conf", "keepalived")
    binary.write_text("#!/bin/sh\nkill -TERM 0\nexit 0\n")
    binary.chmod(0o755)
    keepalived.test(str(tmp_path))
    binary.write_text("#!/bin/sh\necho unknown keyword\nkill -TERM 0\nexit 5\n")
    with pytest.raises(BalancerError, match="keepalived refuses the configuration.*unknown keyword"):
        keepalived.test(str(tmp_path))


@pytest.mark.parametrize(("found", "is_enabled"), [("disabled", True), ("enabled", False), ("masked", False)])
def test_services_start_with_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, is_enabled: bool
) -> None:
    calls: t.List[t.Tuple[str, ...]] = []
    monkeypatch.setattr(Systemd, "show", lambda _self, key: found if key == "UnitFileState" else "")
    monkeypatch.setattr(Systemd, "call", lambda _self, *words: calls.append(words))
    haproxy = HAProxy("/none", str(tmp_path), "haproxy.cfg", "wssgate.d", "/none", "haproxy", "/none")
    keepalived = Keepalived("/none", str(tmp_path / "none"), "keepalived.conf", "keepalived")
    for check in (True, False):
        settings = Settings(haproxy, keepalived, {"haproxy.cfg": MARK}, {}, enabled=True, check=check)
        run = Transaction(settings)
        front = Tree(str(tmp_path), "haproxy.cfg", "wssgate.d", settings.haproxy_files)
        run._enable(front, Tree(str(tmp_path), "keepalived.conf"))
        # There is nothing for keepalived, which stays as it is.
        assert run.outcome.enabled == ["haproxy"] * is_enabled
        assert run.outcome.result()["changed"] is is_enabled
    assert calls == [("enable", "haproxy")] * is_enabled


# -- what check tells

ROWS = """\
# pxname,svname,scur,status,weight,check_status,check_code,
wcs,FRONTEND,7,OPEN,,,,
wcs,gate1,5,UP,100,L7OK,403,
wcs,gate2,2,NOLB,100,L7OKC,503,
wcs,gate3,0,DOWN 1/2,100,* L4CON,,
wcs,gate4,0,UP,100,* L7OK,0,
wcs,BACKEND,7,UP,200,,,
"""


def test_haproxy_s_words_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "ask", lambda _path, _command: ROWS)
    found = stats.services("/run/x.sock")
    assert [(one["name"], one["sessions"]) for one in found] == [("wcs", 7)]
    assert [(one["state"], one["check"], one["sessions"]) for one in found[0]["gates"]] == [
        ("up", "L7OK/403", 5),
        ("draining", "L7OKC/503", 2),
        ("down", "L4CON", 0),
        ("up", "L7OK", 0),
    ]


def test_an_order_that_a_killed_run_has_left_is_taken_back_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS.replace("wcs,gate1,5,UP", "wcs,gate1,5,DRAIN (agent)").replace("DOWN 1/2", "MAINT")
    orders: list[str] = []
    monkeypatch.setattr(stats, "info", lambda _path: {"Pid": "1"})
    monkeypatch.setattr(
        stats, "ask", lambda _path, words: rows if words == "show stat" else str(orders.append(words) or "")
    )

    def done(gate: str, check: bool = False) -> Options:
        given = {"haproxy_socket": "/run/x.sock", "gate": gate, "state": "ready", "services": []}
        return wss_balancer_gate.done(given, check)

    assert done("gate1", check=True) == {"changed": True, "services": ["wcs"], "reached": True} and orders == []
    assert done("gate1")["services"] == ["wcs"] and orders == ["set server wcs/gate1 state ready"]
    # What the checks have found, or an operator has for maintenance, is left.
    assert [done(gate)["changed"] for gate in ("gate2", "gate3", "gate4")] == [False] * 3 and len(orders) == 1


def state(held: bool, running: bool = True, gate_state: str = "up") -> Options:
    gates = [{"name": "gate1", "state": gate_state, "check": "L7OK/403", "status": "UP", "sessions": 5, "weight": 1}]
    return {
        "haproxy": {
            "running": running,
            "version": "2.6.12" if running else "",
            "sessions": 5,
            "max_connections": 100,
            "services": [{"name": "wcs", "sessions": 5, "gates": gates}] if running else [],
        },
        "keepalived": {"running": True, "addresses": [{"address": "192.0.2.10", "held": held}]},
    }


def test_a_balancer_is_a_line() -> None:
    assert _balancer_report.lines({"front1": state(True), "front2": state(False)}) == [
        "front1: haproxy 2.6.12; wcs: 5 sessions (gate1 up L7OK/403 5); keepalived runs, has 192.0.2.10",
        "front2: haproxy 2.6.12; wcs: 5 sessions (gate1 up L7OK/403 5); keepalived runs, has no address",
    ]
    assert _balancer_report.report({}) == {"hosts": {}, "problems": []}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"a": state(True), "b": state(True)}, ["it has the address 192.0.2.10, and so have others: a, b"]),
        ({"a": state(False), "b": state(False)}, ["no balancer that was asked has the address 192.0.2.10"]),
        ({"a": state(True, running=False)}, ["HAProxy does not answer: see journalctl -u haproxy"]),
        ({"a": state(True, gate_state="draining")}, ["service wcs: no gate takes new sessions"]),
        (
            {"a": state(True, gate_state="down")},
            ["service wcs: gate gate1 is down (L7OK/403)", "service wcs: no gate takes new sessions"],
        ),
        ({"a": {"msg": "no way"}}, ["it could not be asked: no way"]),
    ],
)
def test_what_is_wrong_with_balancers_is_told(results: Options, words: t.List[str]) -> None:
    assert [problem["problem"] for problem in _balancer_report.report(results)["problems"]] == words


def test_a_gate_that_an_order_keeps_out_is_named_and_one_that_is_drained_is_not() -> None:
    """The order of a run that was killed; no check of the gate lifts it, and nobody would miss the gate."""
    found = state(True, gate_state="draining")
    ((gate,),) = (service["gates"] for service in found["haproxy"]["services"])
    gate["status"] = "DRAIN"
    told = [problem["problem"] for problem in _balancer_report.report({"a": found})["problems"]]
    assert told[0] == (
        "service wcs: gate gate1 gets no new sessions, by an order that no check lifts (DRAIN): playbook undrain for "
        "gate1 takes it back"
    )
    gate["status"] = "NOLB 1/2"
    assert len(_balancer_report.report({"a": found})["problems"]) == len(told) - 1


def test_a_gate_that_is_down_is_a_warning_while_others_take_its_sessions() -> None:
    def levels(found: Options) -> t.List[str]:
        return [problem["level"] for problem in _balancer_report.report({"a": found})["problems"]]

    found = state(True, gate_state="down")
    assert levels(found) == ["warning", "critical"]
    (service,) = found["haproxy"]["services"]
    service["gates"].append({**service["gates"][0], "name": "gate2", "state": "up"})
    assert levels(found) == ["warning"]
    assert levels(state(True, running=False)) == levels(state(False)) == ["critical"]
    assert levels({"msg": "no way"}) == ["unknown"]
