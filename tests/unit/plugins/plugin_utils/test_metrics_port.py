# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port of a balancer's or a hub's metrics is never open, and each mistake is one sentence."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _metrics_port, _role_variables

FILE = "/etc/nginx/.htpasswd-metrics"
PASSWORD = "battery staple"
BALANCER, HUB = _metrics_port.BALANCER, _metrics_port.HUB
Values = t.Dict[str, t.Any]


def values(**changes: t.Any) -> Values:
    defaults = {name: _role_variables.default_of(name) for name in _metrics_port.VARIABLES}
    return {
        **defaults,
        "monitoring_enabled": True,
        "monitoring_certificate": "front",
        "monitoring_allow_from": ["192.0.2.40", "2001:db8::/64"],
        "monitoring_htpasswd_file": FILE,
        "certificates_list": [{"name": "front"}],
        "certificates_directory": "/etc/nginx/certificates",
        "htpasswd_files": [{"path": FILE, "users": [{"name": "prometheus", "password": PASSWORD}]}],
        "balancer_services": [{"name": "wss"}],
        **changes,
    }


def read(kind: str = BALANCER, groups: t.Sequence[str] = (), is_hashed: bool = False, **changes: t.Any) -> Values:
    return _metrics_port.read(kind, "host1", groups or [_metrics_port.GROUPS[kind]], values(**changes), is_hashed)


def test_what_is_right_is_rendered_with_hashes_alone() -> None:
    found = read(is_hashed=True)
    assert found["problems"] == [] and found["is_served"]
    assert found["listeners"] == [{"address": "", "port": 9443}] and found["ports"] == [9443]
    assert found["networks"] == ["192.0.2.40/32", "2001:db8::/64"]
    assert found["pair"] == {
        "certificate_path": "/etc/nginx/certificates/front/fullchain.pem",
        "key_path": "/etc/nginx/certificates/front/privkey.pem",
    }
    assert [user["name"] for user in found["users"]] == ["prometheus"]
    assert found["users"][0]["hash"].startswith("$6$") and PASSWORD not in str(found)
    assert read(is_hashed=True) == found and read() == {**found, "users": [{"name": "prometheus", "hash": ""}]}


def test_paths_and_ports_of_ones_own_count() -> None:
    own = {"name": "front", "certificate_path": "/srv/a.pem", "key_path": "/srv/a.key"}
    found = read(HUB, certificates_list=[own], monitoring_hub_listen=[{"port": "9500", "address": "2001:db8::1"}])
    assert found["problems"] == []
    assert found["pair"] == {"certificate_path": "/srv/a.pem", "key_path": "/srv/a.key"}
    assert found["listeners"] == [{"address": "[2001:db8::1]", "port": 9500}]
    assert read(BALANCER, monitoring_hub_listen=[{"port": 9500}])["ports"] == [9443]


@pytest.mark.parametrize("kind", [BALANCER, HUB])
def test_there_is_no_port_unless_it_is_wanted(kind: str) -> None:
    for off in ({"monitoring_enabled": False}, {"monitoring_enabled": "no"}, {"monitoring_scrape_exporter_port": 8404}):
        found = read(kind, **off, monitoring_allow_from=[])
        assert not found["is_served"] and found["problems"] == []


def test_a_client_certificate_stands_for_a_password() -> None:
    found = read(monitoring_htpasswd_file="", monitoring_client_certificates={"ca_path": "/srv/ca.pem"})
    assert found["problems"] == [] and found["users"] == []
    assert found["client_certificates"] == {"ca_path": "/srv/ca.pem", "crl_path": ""}


REFUSED: t.Dict[str, t.Tuple[str, Values, str]] = {
    "no addresses": (
        BALANCER,
        {"monitoring_allow_from": []},
        "monitoring of balancer 'host1': monitoring_allow_from is empty, and metrics are for the scraper alone",
    ),
    "all addresses": (
        HUB,
        {"monitoring_allow_from": ["0.0.0.0/1", "128.0.0.0/1"]},
        "monitoring of hub 'host1': monitoring_allow_from is the whole Internet of IPv4",
    ),
    "an address": (BALANCER, {"monitoring_allow_from": ["scraper"]}, "'scraper' is not an address or a network"),
    "addresses alone": (
        BALANCER,
        {"monitoring_htpasswd_file": ""},
        "an address alone would open the metrics; set monitoring_htpasswd_file or monitoring_client_certificates, too",
    ),
    "no certificate": (
        BALANCER,
        {"monitoring_certificate": ""},
        "monitoring_certificate '' is not in certificates_list of this host (there: front)",
    ),
    "another certificate": (HUB, {"certificates_list": []}, "certificates_list of this host (there: none); add it"),
    "an authority that asks nginx": (
        BALANCER,
        {"certificates_list": [{"name": "front", "provider": "acme"}]},
        "has provider acme, whose authority asks an nginx that is not here; take another provider",
    ),
    "no such password file": (
        BALANCER,
        {"htpasswd_files": []},
        f"monitoring_htpasswd_file '{FILE}' is not in htpasswd_files of this host",
    ),
    "a user that is a directive": (
        BALANCER,
        {"htpasswd_files": [{"path": FILE, "users": [{"name": "a$b", "password": PASSWORD}]}]},
        "has other letters than HAProxy takes",
    ),
    "a hash of nginx's": (
        BALANCER,
        {"htpasswd_files": [{"path": FILE, "users": [{"name": "a", "hash": "$apr1$abcdefgh$" + "x" * 22}]}]},
        "is of a kind that nginx alone knows; give password",
    ),
    "a path that is a directive": (
        BALANCER,
        {"monitoring_client_certificates": {"ca_path": "/a verify none"}},
        "ca_path '/a verify none' is not the absolute path",
    ),
    "no port": (BALANCER, {"monitoring_listen": []}, "monitoring_listen is empty; name a port"),
    "no number": (BALANCER, {"monitoring_listen": [{"port": "many"}]}, "port 'many' is not a whole number from 1"),
    "an address to listen on": (
        HUB,
        {"monitoring_hub_listen": [{"port": 9443, "address": "a\nb"}]},
        "monitoring_hub_listen[0]: address 'a\\nb' is not an IP address",
    ),
    "one port twice": (
        BALANCER,
        {"monitoring_balancer_listen": [{"port": 9443}, {"port": 9443}]},
        "monitoring_balancer_listen has :9443 twice; keep one",
    ),
    "a service's port": (
        BALANCER,
        {"monitoring_listen": [{"port": 443}]},
        "port 443 of monitoring_listen is that of service 'wss' of balancer_services; set another in "
        "monitoring_balancer_listen",
    ),
    "the hub's port": (
        HUB,
        {"token_hub_port": 9443},
        "port 9443 of monitoring_listen is that of token_hub_port; set another in monitoring_hub_listen",
    ),
    "the exporter's port": (
        HUB,
        {"monitoring_hub_exporter_port": 9443},
        "port 9443 of monitoring_listen is that of monitoring_hub_exporter_port",
    ),
    "the hub's port for the exporter": (
        HUB,
        {"monitoring_hub_exporter_port": 6380},
        "port 6380 of monitoring_hub_exporter_port is that of token_hub_port; set another",
    ),
    "an own port that is none": (
        BALANCER,
        {"monitoring_scrape_exporter_port": 70000},
        "monitoring_scrape_exporter_port 70000 is not a whole number from 0",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_mistake_is_one_sentence(what: str) -> None:
    kind, changes, words = REFUSED[what]
    found = read(kind, **changes)["problems"]
    assert len(found) == 1 and words in found[0], found
    assert PASSWORD not in found[0]


def test_two_things_of_one_host_have_a_port_each() -> None:
    both = [_metrics_port.GATES, "wss_balancers", "wss_hubs"]
    (found,) = read(BALANCER, both)["problems"]
    assert "port 9443 of monitoring_listen is that of the gate's metrics on this host" in found
    assert "set another in monitoring_balancer_listen" in found
    own = {"monitoring_balancer_listen": [{"port": 9444}], "monitoring_hub_listen": [{"port": 9445}]}
    assert read(BALANCER, both, **own)["problems"] == read(HUB, both, **own)["problems"] == []
    (found,) = read(HUB, both, **{**own, "monitoring_hub_listen": [{"port": 9444}]})["problems"]
    assert "port 9444 of monitoring_hub_listen is that of the balancer's metrics on this host" in found
