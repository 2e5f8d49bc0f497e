# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port that a scraper connects to: never open to everybody, and nobody else's."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import metrics
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.model import gate_errors, gate_model
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.needs import gate_needs

Options = t.Dict[str, t.Any]

LOCATION = {"path": "/wss", "upstream": "http://127.0.0.1:8080"}
SERVER = {"name": "wcs", "certificate": "wcs", "server_names": ["WCS.example.com"], "locations": [LOCATION]}
METRICS = {"certificate": "wcs", "allow_from": ["192.0.2.50"], "agent_file": "/run/agent.prom"}


def context(**changed: t.Any) -> Options:
    return {
        "certificates": [{"name": "wcs"}],
        "htpasswd_files": [{"path": "/etc/nginx/.htpasswd"}],
        "token_store_path": "/srv/tokens",
        "session_log_path": "/var/log/nginx/wssgate/sessions.log",
        "metrics": {**METRICS, **changed},
    }


def test_without_any_there_is_no_such_server() -> None:
    without = {**context(), "metrics": {}}
    assert gate_model([SERVER], without)["metrics"] is None
    assert 9443 not in gate_needs([SERVER], without)["ports"]


def test_what_is_asked_for_is_served() -> None:
    model = gate_model([SERVER], context(nginx_exporter=True, nginx_exporter_port=9000, node_exporter="yes"))["metrics"]
    assert [upstream["path"] for upstream in model["upstreams"]] == ["/metrics/log", "/metrics/nginx", "/metrics/node"]
    assert model["agent_file"] == "/run/agent.prom"
    assert model["upstreams"][1]["url"] == "http://127.0.0.1:9000/metrics"
    assert model["tls_resumption"]
    needs = gate_needs([SERVER], context(nginx_exporter=True))
    assert 9443 in needs["ports"]
    assert [socket["path"] for socket in needs["sockets"]] == [metrics.STATUS_SOCKET]
    assert gate_needs([SERVER], context(listen=[{"port": 9443, "address": "127.0.0.1"}]))["ports"] == [80, 443]


@pytest.mark.parametrize(
    "protection",
    [
        {"allow_from": ["192.0.2.50", "2001:db8::/32"]},
        {"allow_from": [], "htpasswd_file": "/etc/nginx/.htpasswd"},
        {"allow_from": [], "client_certificates": {"ca_path": "/etc/ssl/scraper.pem"}},
        {"allow_from": ["0.0.0.0/0", "::/0"], "htpasswd_file": "/etc/nginx/.htpasswd"},
    ],
)
def test_one_protection_is_enough(protection: Options) -> None:
    assert gate_errors([SERVER], context(**protection)) == []


REFUSED: t.Dict[str, t.Tuple[Options, str]] = {
    "nothing": ({"allow_from": []}, "monitoring: metrics would be open to everybody"),
    "everybody": ({"allow_from": ["0.0.0.0/0"]}, "monitoring_allow_from is the whole Internet of IPv4"),
    "everybody of IPv6": (
        {"allow_from": ["192.0.2.1", "::/0"]},
        "monitoring_allow_from is the whole Internet of IPv6",
    ),
    "two halves": ({"allow_from": ["0.0.0.0/1", "128.0.0.0/1"]}, "the whole Internet of IPv4"),
    "no address": ({"allow_from": ["scraper"]}, "'scraper' is not an address or a network in CIDR notation"),
    "the gate's port": ({"listen": [{"port": 443}]}, "port 443 is that of server 'wcs', and metrics have one of their"),
    "the redirect's port": ({"listen": [{"port": 80}]}, "port 80 is that of the redirect of server 'wcs'"),
    "twice": ({"listen": [{"port": 9443}, {"port": 9443}]}, "monitoring_listen has 9443 twice"),
    "no port": ({"listen": []}, "listen is empty"),
    "a port that is none": ({"listen": [{"port": 0}]}, "port 0 is not a whole number from 1 to 65535"),
    "no TLS": ({"listen": [{"port": 9443, "tls": False}]}, "there is no option 'tls' here"),
    "no certificate": ({"certificate": ""}, "it listens with TLS and names no certificate"),
    "an unknown certificate": ({"certificate": "other"}, "certificate 'other' is not in certificates_list"),
    "no authority": ({"client_certificates": {"depth": 1}}, "ca_path '' is not the absolute path"),
    "an unknown option": ({"alow_from": []}, "there is no option 'alow_from' here; 'allow_from' is one"),
    "a directive as a file": ({"htpasswd_file": "/x; return 200"}, "htpasswd_file '/x; return 200' is not an absolute"),
    "a directive as a name": ({"server_names": ["a; b"]}, "server name 'a; b' is not a host name"),
    "a directive as a file of the agent's": ({"agent_file": "/x {"}, "agent_file '/x {' is not an absolute path"),
    "an exporter's port": ({"nginx_exporter": True, "nginx_exporter_port": "9113/x"}, "is not a whole number"),
}


@pytest.mark.parametrize(("changed", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_one_sentence(changed: Options, words: str) -> None:
    found = gate_errors([SERVER], context(**changed))
    assert len({problem.replace("[::]:", "") for problem in found}) == 1, found
    assert words in found[0]
    assert found[0].startswith("monitoring")


def test_a_path_of_the_gate_s_own_is_no_matter_and_a_second_server_there_is() -> None:
    """Metrics are on a port of their own: on the gate's the same path is a location like another."""
    own = {**SERVER, "locations": [{**LOCATION, "path": "/metrics/log"}]}
    assert gate_errors([own], context()) == []
    (found,) = gate_errors([{**own, "listen": [{"port": 9443}]}], context())
    assert found == (
        "monitoring: port 9443 is that of server 'wcs', and metrics have one of their own; set another in "
        "monitoring_listen"
    )


def test_balancers_are_named_for_the_reader_of_the_log() -> None:
    assert gate_model([SERVER], context())["metrics"]["balancers"] == []
    # One whose address is not known yet is passed over.
    given = {**context(), "balancers": ["192.0.2.11", "2001:DB8:0::11", "front3"]}
    assert gate_model([SERVER], given)["metrics"]["balancers"] == ["192.0.2.11", "2001:db8::11"]


def test_what_the_agent_does_not_see_is_named_for_the_reader_of_the_log() -> None:
    locations = [
        {**LOCATION, "path": "/token"},
        {**LOCATION, "path": "/open", "auth": "none"},
        {**LOCATION, "path": "/listed", "auth": "none", "session_listed": True},
        {**LOCATION, "path": "/either", "auth": {"any": ["token", "basic"]}},
    ]
    server = {**SERVER, "locations": locations}
    model = gate_model([server], context())
    assert model["metrics"]["unseen"] == [{"server": "wcs.example.com", "location": "/open"}]
    # Who came by a password counts as well.
    assert [location["session_noted"] for location in model["servers"][0]["locations"]] == [False, False, True, True]
    without_log = {**context(), "session_log_path": ""}
    found = gate_model([{**server, "locations": [locations[0]]}], without_log)["metrics"]["unseen"]
    assert found == [{"server": "wcs.example.com", "location": "/token"}]
    without = gate_model([server], {**context(), "metrics": {}})
    assert [location["session_noted"] for location in without["servers"][0]["locations"]][3] is False
