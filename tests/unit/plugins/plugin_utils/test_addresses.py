# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From where clients may come: what the lists take, what nginx gets of them, and what the check expects by them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import addresses, model as _gate

Options = t.Dict[str, t.Any]
CONTEXT: Options = {"certificates": [{"name": "wcs"}], "token_store_path": "/var/lib/nginx/tokens"}


def servers(location: Options, **changes: t.Any) -> t.List[Options]:
    item = {"path": "/wss", "upstream": "http://127.0.0.1:8080", **location}
    return [{"name": "wcs", "server_names": ["w.example"], "certificate": "wcs", "locations": [item], **changes}]


def read(location: Options, **changes: t.Any) -> t.List[Options]:
    """The lists that the location's clients have to pass."""
    return _gate.gate_model(servers(location, **changes), CONTEXT)["servers"][0]["locations"][0]["addresses"]


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        (["192.0.2.7"], ["192.0.2.7/32"]),
        (["10.0.0.0/8", "2001:DB8::/32"], ["10.0.0.0/8", "2001:db8::/32"]),
        (["2001:db8:0::1"], ["2001:db8::1/128"]),
        (["10.0.0.0/255.0.0.0"], ["10.0.0.0/8"]),
        (["::ffff:192.0.2.7", "::ffff:198.51.100.0/120"], ["192.0.2.7/32", "198.51.100.0/24"]),
        (["::ffff:0:0/96"], ["0.0.0.0/0"]),
        (["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"]),
    ],
)
def test_networks_are_written_as_nginx_reads_them(given: t.List[str], networks: t.List[str]) -> None:
    for key in ("allow", "deny"):
        (found,) = read({f"{key}_from": given})
        assert (found["kind"], found["networks"], found["variable"]) == (key, networks, f"wss_{key}_wcs_0")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["10.0.0.1/8"], "'10.0.0.1/8' is not an address or a network in CIDR notation (10.0.0.1/8 has host bits set)"),
        (["2001:db8::1/32"], "'2001:db8::1/32' is not an address or a network"),
        (["192.0.2.256"], "'192.0.2.256' is not an address or a network"),
        (
            ["client.example.com"],
            "'client.example.com' is not an address or a network in CIDR notation (such as 192.0.2.7",
        ),
        (["unix:"], "'unix:' is not an address or a network"),
        (["all"], "'all' is not an address or a network"),
        (["fe80::1%eth0"], "'fe80::1%eth0' is not an address or a network"),
        (["192.0.2.1; return 200"], "is not an address or a network"),
        ([None], "'None' is not an address or a network"),
        (["255.255.255.255"], "'255.255.255.255' is the broadcast address, which no client has; leave it out"),
    ],
)
def test_what_is_no_network_gets_one_sentence(given: t.List[str], words: str) -> None:
    for key in ("allow_from", "deny_from"):
        (found,) = _gate.gate_errors(servers({key: given}), CONTEXT)
        assert found.startswith(f"server 'wcs', locations[0], {key}[0]: ") and words in found
        (found,) = _gate.gate_errors(servers({}, **{key: given}), CONTEXT)
        assert found.startswith(f"server 'wcs', {key}[0]: ") and words in found


@pytest.mark.parametrize("again", ["192.0.2.7", "192.0.2.7/32", "::ffff:192.0.2.7"])
def test_a_network_that_is_there_twice_is_refused(again: str) -> None:
    (found,) = _gate.gate_errors(servers({"allow_from": ["192.0.2.7", again]}), CONTEXT)
    assert found == f"server 'wcs', locations[0], allow_from[1]: {again!r} is there twice; keep one"


def test_a_lone_address_is_no_list() -> None:
    (found,) = _gate.gate_errors(servers({"deny_from": "192.0.2.7"}), CONTEXT)
    assert found == "server 'wcs', locations[0]: deny_from '192.0.2.7' is not a list; put it in [ ]"


def test_a_locations_lists_count_besides_the_servers() -> None:
    found = read({"allow_from": ["192.0.2.7"]}, allow_from=["192.0.2.0/24"], deny_from=["192.0.2.8"])
    assert [(item["variable"], item["networks"]) for item in found] == [
        ("wss_server_allow_wcs", ["192.0.2.0/24"]),
        ("wss_server_deny_wcs", ["192.0.2.8/32"]),
        ("wss_allow_wcs_0", ["192.0.2.7/32"]),
    ]


def test_no_servers_list_is_taken_for_that_of_another_servers_location() -> None:
    given = [
        *servers({"allow_from": ["192.0.2.7"]}),
        {**servers({})[0], "name": "wcs_0", "server_names": ["x.example"], "allow_from": ["192.0.2.8"]},
    ]
    found = _gate.gate_model(given, CONTEXT)["addresses"]
    assert [item["variable"] for item in found] == ["wss_allow_wcs_0", "wss_server_allow_wcs_0"]


@pytest.mark.parametrize(
    ("network", "covers_none"), [("0.0.0.0/0", True), ("255.0.0.0/8", True), ("::/0", False), ("10.0.0.0/8", False)]
)
def test_a_network_around_the_address_of_sockets_is_known(network: str, covers_none: bool) -> None:
    """nginx takes a client of a unix socket for 255.255.255.255."""
    assert read({"allow_from": [network]})[0]["covers_none"] is covers_none


@pytest.mark.parametrize(
    ("location", "address", "is_let_in"),
    [
        ({}, "192.0.2.7", True),
        ({"allow_from": ["192.0.2.0/24"]}, "192.0.2.7", True),
        ({"allow_from": ["192.0.2.0/24"]}, "::ffff:192.0.2.7", True),
        ({"allow_from": ["192.0.2.0/24"]}, "198.51.100.7", False),
        ({"allow_from": ["192.0.2.0/24"]}, "2001:db8::1", False),
        ({"allow_from": ["::/0"]}, "::ffff:192.0.2.7", False),
        ({"deny_from": ["192.0.2.0/24"]}, "192.0.2.7", False),
        ({"deny_from": ["192.0.2.0/24"]}, "198.51.100.7", True),
        ({"allow_from": ["192.0.2.7"], "deny_from": ["192.0.2.0/24"]}, "192.0.2.7", False),
        ({"allow_from": ["192.0.2.0/24"], "deny_from": ["192.0.2.7"]}, "192.0.2.8", True),
    ],
)
def test_the_check_expects_what_the_gate_does(location: Options, address: str, is_let_in: bool) -> None:
    assert addresses.lets_in(read(location), address) is is_let_in
