# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain port beside other people's sites: who answers for which name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lib import wire
from lib.local_gate import LocalGate, free_port

# As in other people's files, with the names that they have there.
OTHER = (
    "server {{\n    listen {address}{default};\n    server_name {name};\n    location / {{\n        return "
    "200 other;\n    }}\n}}\n"
)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(port: int) -> Iterator[LocalGate]:
    local_gate = LocalGate([])
    location = {
        "path": "/wss",
        "upstream": "http://127.0.0.1:9",
        "auth": "none",
        "origins": ["https://app.example.com"],
    }
    webroot = local_gate.root / "acme"
    proof = webroot / ".well-known/acme-challenge/proof"
    proof.parent.mkdir(parents=True)
    proof.write_text("proven\n")
    # The gate's own servers have two addresses, one of them alone; the last server answers for any name.
    servers = {
        "one": (["one.example.com", "*.one.example.com"], "127.0.0.1"),
        "two": (["two.example.com", "one.example.com"], "127.0.0.2"),
        "any": (["_"], "127.0.0.1"),
    }
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_acme_webroot": str(webroot),
        "wss_proxy_http_redirect_enabled": True,
        "wss_proxy_http_redirect_port": port,
        "wss_proxy_servers": [
            {
                "name": name,
                "server_names": names,
                "certificate": "gate",
                "listen": [{"address": address, "port": free_port()}],
                "locations": [location],
            }
            for name, (names, address) in servers.items()
        ],
    }
    with local_gate:
        yield local_gate


def ask(port: int, host: str, path: str = "/", address: str = "127.0.0.1") -> tuple[int, str]:
    endpoint = wire.Endpoint(port=port, host=address, tls=False)
    with wire.handshake(endpoint, wire.Request(path, host=host, headers=())) as reply:
        return reply.status, reply.header("Location") or reply.body.decode()


def test_names_that_are_not_the_gate_s_get_nothing(local_gate: LocalGate, port: int) -> None:
    for host in ("evil.example", "_", "127.0.0.1"):
        assert ask(port, host)[0] == 404
        assert ask(port, host, address="127.0.0.2")[0] == 404
    assert ask(port, "two.example.com")[0] == 404
    assert ask(port, "evil.example", "/.well-known/acme-challenge/proof") == (200, "proven\n")


def test_each_address_redirects_its_own_names(local_gate: LocalGate, port: int) -> None:
    https = {server["name"]: server["listen"][0]["port"] for server in local_gate.variables["wss_proxy_servers"]}
    assert ask(port, "one.example.com", "/x?y") == (308, f"https://one.example.com:{https['one']}/x?y")
    assert ask(port, "a.b.one.example.com") == (308, f"https://a.b.one.example.com:{https['one']}/")
    assert ask(port, "one.example.com", address="127.0.0.2") == (308, f"https://one.example.com:{https['two']}/")
    assert ask(port, "two.example.com", address="127.0.0.2") == (308, f"https://two.example.com:{https['two']}/")


def beside(local_gate: LocalGate, port: int, default: str, name: str) -> tuple[str, dict[str, tuple[int, str]]]:
    """What nginx warns of, and who answers for which name, beside another site on the same address."""
    site = local_gate.etc / "conf.d" / "other.conf"
    site.write_text(OTHER.format(address=f"127.0.0.1:{port}", default=default, name=name))
    try:
        tested = local_gate.test()
        assert tested.returncode == 0, tested.stderr
        local_gate.reload()
        hosts = ("one.example.com", "other.example.com", "evil.example")
        return "".join(re.findall(r"\[(?:warn|emerg)\].*", tested.stderr)), {host: ask(port, host) for host in hosts}
    finally:
        site.unlink()
        local_gate.reload()


def test_another_site_keeps_its_names(local_gate: LocalGate, port: int) -> None:
    warnings, answers = beside(local_gate, port, "", "other.example.com")
    assert warnings == ""
    assert (answers["one.example.com"][0], answers["other.example.com"], answers["evil.example"][0]) == (
        308,
        (200, "other"),
        404,
    )


@pytest.mark.parametrize("name", ["_", '""', "other.example.com"])
def test_another_site_may_be_the_default_as_debian_s_is(local_gate: LocalGate, port: int, name: str) -> None:
    warnings, answers = beside(local_gate, port, " default_server", name)
    assert warnings == ""
    assert (answers["one.example.com"][0], answers["other.example.com"], answers["evil.example"]) == (
        308,
        (200, "other"),
        (200, "other"),
    )
