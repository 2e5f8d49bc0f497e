# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check finds at a small fleet in which something of each kind is wrong, as its modules return it."""

from __future__ import annotations

import datetime
from typing import Any

NOW = datetime.datetime(2026, 11, 29, 12, 0, tzinfo=datetime.timezone.utc)
DAYS = 14
# Each ends what it may stand in: an element's text, an attribute's value, a comment, a style sheet.
HOSTILE = """</p></style><!--"'><script>document.title='broken in'</script><img src=x onerror=alert(1)>\u202e\x1b[31m"""
LONG = "x" * 200


def certificate(**changes: Any) -> dict[str, Any]:
    return {
        "name": "wcs",
        "provider": "acme",
        "certificate_path": "/etc/nginx/certificates/wcs/fullchain.pem",
        "problems": [],
        "subject_alt_names": ["DNS:wcs.example.com", "DNS:www.example.com"],
        "issuer": "C=US,O=Example Trust,CN=E7",
        "self_signed": False,
        "days_left": 61,
        "not_after": "2027-01-29T08:30:00Z",
        "key_type": "P-256",
        "served": True,
        **changes,
    }


def location(**changes: Any) -> dict[str, Any]:
    return {
        "path": "/wss",
        "auth": "token",
        "client_certificate": False,
        "without_token": 403,
        "with_token": 101,
        **changes,
    }


def server(**changes: Any) -> dict[str, Any]:
    return {
        "name": "wcs",
        "server_name": "wcs.example.com",
        "address": "127.0.0.1:443",
        "client_address": "127.0.0.1",
        "tls": True,
        "tls_versions": ["TLSv1.2", "TLSv1.3"],
        "key_exchange_group": "X25519MLKEM768",
        "certificates": [certificate()],
        "client_authority": None,
        "locations": [location(), location(path="/signed", auth="jwt", without_token=403, with_token=None)],
        **changes,
    }


def issuer(**changes: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "issuer": "https://id.example.com",
        "key_count": 2,
        "kids": ["2026-10", "2026-11"],
        "algorithms": ["ES256"],
        "jwks_url": "https://id.example.com/jwks.json",
        "fetched_seconds_ago": 260,
        "left_out": [],
        "problems": [],
        **changes,
    }


def gate(**changes: Any) -> dict[str, Any]:
    return {
        "targets": [server()],
        "issuers": [issuer()],
        "pruner": {"scheduler": "agent", "problems": []},
        "revocations": {"totals": {"tokens": 3, "subjects": 1}, "problems": []},
        "capacity": {
            "wanted": 20000,
            "sessions": 24000,
            "workers": 4,
            "descriptors": 13024,
            "connections": 13024,
            "problem": "",
        },
        **changes,
    }


def balancer(held: bool, **changes: Any) -> dict[str, Any]:
    gates = [
        {"name": name, "state": "up", "status": "UP", "check": "L7OK/403", "sessions": 812, "weight": 100}
        for name in ("gate1.example.com", "gate2.example.com")
    ]
    gates.append({"name": "gate3.example.com", "state": "down", "status": "DOWN", "check": "L4TOUT", "sessions": 0})
    return {
        "haproxy": {
            "running": True,
            "version": "2.6.12",
            "sessions": 1624,
            "max_connections": 40000,
            "services": [{"name": "wcs", "sessions": 1624, "gates": gates}],
        },
        "keepalived": {"running": True, "addresses": [{"address": "192.0.2.10", "held": held}]},
        **changes,
    }


def hub(**changes: Any) -> dict[str, Any]:
    facts = {
        "engine": "valkey",
        "version": "8.1.1",
        "role": "primary",
        "replicas": 2,
        "is_linked": True,
        "clients": 9,
        "memory_used": 7 << 20,
        "memory_limit": 256 << 20,
        "has_append_only_file": True,
        "writes_fail": False,
    }
    return {"problems": [], "server": {**facts, **changes}}


def fleet() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Gates, balancers and the hub's servers."""
    shop = server(
        name="shop",
        server_name="shop.example.com",
        certificates=[certificate(name="shop", days_left=9, not_after="2026-12-08T08:30:00Z", provider="files")],
        client_authority={"problems": [], "days_left": 700, "revoked": 4, "crl_days_left": 30},
        locations=[location(path="/chat", auth="basic", without_token=401, with_token=None)],
    )
    wrong = server(
        locations=[location(with_token=502), location(path="/open", auth="none", without_token=502, with_token=None)]
    )
    gates = {
        "gate1.example.com": gate(targets=[server(), shop]),
        "gate2.example.com": gate(
            targets=[wrong, shop], pruner={"scheduler": "agent", "problems": ["the agent does not run (dead)"]}
        ),
        "gate3.example.com": {
            "msg": "Failed to connect to the host via ssh: Connection timed out",
            "unreachable": True,
        },
    }
    lost = hub(role="replica", replicas=0, is_linked=False)
    lost["problems"] = ["hub2.example.com:6380 is a replica that has lost its primary"]
    hubs = {"hub1.example.com": hub(), "hub2.example.com": lost}
    return gates, {"front1": balancer(True), "front2": balancer(False)}, hubs


def hostile(words: str = HOSTILE) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The same with a text in each place that a host, a certificate or an inventory may fill."""
    signed = certificate(name=words, subject_alt_names=[f"DNS:{words}"], issuer=words, key_type=words, not_after=words)
    unreadable = {"name": words, "certificate_path": words, "problems": [words]}
    place = server(
        name=words,
        server_name=words,
        address=words,
        key_exchange_group=words,
        tls_versions=[words],
        certificates=[signed, unreadable],
        client_authority={"problems": [words], "days_left": 3, "revoked": 0, "crl_days_left": 3},
        locations=[
            location(path=words, without_token=200, addresses=[{"kind": "allow", "networks": ["192.0.2.0/24"]}])
        ],
    )
    gates = {
        words: gate(
            targets=[place],
            issuers=[issuer(name=words, issuer=words, kids=[words], algorithms=[words], left_out=[words])],
            pruner={"scheduler": words, "problems": [words]},
            capacity={"wanted": 1, "sessions": 0, "problem": words},
        ),
        f"{words} away": {"msg": words, "unreachable": True},
    }
    odd = balancer(False)
    odd["haproxy"]["version"] = words
    odd["haproxy"]["services"] = [
        {"name": words, "sessions": 0, "gates": [{"name": words, "state": "down", "check": words, "sessions": 0}]}
    ]
    odd["keepalived"]["addresses"] = [{"address": words, "held": False}]
    told = hub(engine=words, version=words, role=words)
    told["problems"] = [words]
    return gates, {words: odd}, {words: told}
