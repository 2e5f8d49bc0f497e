# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upstream gets of the gate's own: its Host, and headers whose values are secrets."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import model as _gate

Options = t.Dict[str, t.Any]
SECRET = "the-secret-of-the-upstream"
CONTEXT: Options = {
    "certificates": [{"name": "wcs"}],
    "token_store_path": "/var/lib/nginx/tokens",
    "upstreams": [
        {"name": "one", "scheme": "https", "servers": ["app.internal:443"]},
        {"name": "same", "servers": ["app.internal:8080", {"address": "app.internal:8080", "backup": True}]},
        {"name": "two", "servers": ["a.internal:8080", "b.internal:8080"]},
        {"name": "ports", "servers": ["a.internal:8080", "a.internal:8081"]},
        {"name": "mixed", "servers": ["a.internal:8080", "unix:/run/a.sock"]},
        {"name": "sockets", "servers": ["unix:/run/a.sock"]},
    ],
}


def servers(*locations: Options, **changes: t.Any) -> t.List[Options]:
    made = [
        {"path": f"/{number}", "upstream": "http://127.0.0.1:8080", **item} for number, item in enumerate(locations)
    ]
    return [{"name": "wcs", "server_names": ["wcs.example.com"], "certificate": "wcs", "locations": made, **changes}]


def header(name: str = "X-Api-Key", value: t.Any = SECRET) -> Options:
    return {"name": name, "value": value}


def errors(*locations: Options, **changes: t.Any) -> t.List[str]:
    return _gate.gate_errors(servers(*locations, **changes), CONTEXT)


def made(*locations: Options) -> t.List[Options]:
    return _gate.gate_model(servers(*locations), CONTEXT)["servers"][0]["locations"]


# -- upstream_host ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "upstream_host", "host"),
    [
        ("http://app.internal:8080", "client", ""),
        ("http://app.internal:8080", "upstream", "app.internal:8080"),
        ("http://app.internal:80/x", "upstream", "app.internal"),
        ("ws://app.internal", "upstream", "app.internal"),
        ("wss://app.internal:443", "upstream", "app.internal"),
        ("https://app.internal:80", "upstream", "app.internal:80"),
        ("http://[::1]:8080", "upstream", "[::1]:8080"),
        ("one", "upstream", "app.internal"),
        ("same", "upstream", "app.internal:8080"),
        ("http://127.0.0.1:8080", "app.example", "app.example"),
        ("http://127.0.0.1:8080", "App.example:8443", "App.example:8443"),
        ("two", "app.example", "app.example"),
        ("http://unix:/run/app.sock", "localhost", "localhost"),
    ],
)
def test_the_upstream_is_asked_for_the_host_that_it_serves(upstream: str, upstream_host: str, host: str) -> None:
    assert made({"upstream": upstream, "upstream_host": upstream_host})[0]["upstream_host"] == host


def test_the_name_in_the_upstreams_certificate_is_a_matter_of_its_own() -> None:
    item = {"upstream": "https://app.internal", "upstream_host": "other.example"}
    assert made(item)[0]["upstream"]["tls"]["name"] == "app.internal"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"upstream_host": "app example"},
            "upstream_host 'app example' is none of client, upstream, and a host name with or without a port",
        ),
        ({"upstream_host": "https://app.example"}, "is none of client, upstream, and a host name"),
        ({"upstream_host": "$http_host"}, "is none of client, upstream, and a host name"),
        ({"upstream_host": ""}, "is none of client, upstream, and a host name"),
        ({"upstream_host": True}, "is none of client, upstream, and a host name"),
        ({"upstream_host": ["a"]}, "is none of client, upstream, and a host name"),
        ({"upstream_host": "app.example:0"}, "upstream_host port '0' is not a whole number from 1 to 65535"),
        (
            {"upstream": "http://unix:/run/app.sock", "upstream_host": "upstream"},
            "upstream_host: upstream needs one host name, and upstream 'http://unix:/run/app.sock' has none; write the "
            "name",
        ),
        ({"upstream": "sockets", "upstream_host": "upstream"}, "upstream 'sockets' has none; write the name"),
        ({"upstream": "mixed", "upstream_host": "upstream"}, "upstream 'mixed' has several; write the name"),
        ({"upstream": "two", "upstream_host": "upstream"}, "upstream 'two' has several; write the name"),
        ({"upstream": "ports", "upstream_host": "upstream"}, "upstream 'ports' has several; write the name"),
    ],
)
def test_a_host_that_cannot_be_meant_is_refused(changes: Options, words: str) -> None:
    (found,) = errors(changes)
    assert found.startswith("server 'wcs', locations[0]: ") and words in found


# -- upstream_headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "where", "words"),
    [
        (
            {"X-Api-Key": SECRET},
            "",
            "upstream_headers is not a list; write '- name: …' and 'value: …' for each header",
        ),
        (SECRET, "", "upstream_headers is not a list"),
        ([f"X-Api-Key: {SECRET}"], "[0]", "this is not a set of options; write 'name: …' and 'value: …', one a line"),
        ([header("X Api")], "[0]", "name 'X Api' is not a header's name"),
        ([header("X_Api")], "[0]", "name 'X_Api' is not a header's name"),
        ([header("")], "[0]", "name '' is not a header's name"),
        ([header("X-Api:")], "[0]", "name 'X-Api:' is not a header's name"),
        ([header("a-b-c-d-e-f")], "[0]", "has more than 4 hyphens, and a client may write each as _; name another"),
        ([{"name": "X-Api-Key"}], "[0]", "there is no value; write 'value: …' below the name"),
        ([header(value="")], "[0]", "there is no value; write 'value: …' below the name"),
        ([header(value=None)], "[0]", "there is no value; write 'value: …' below the name"),
        *(
            (
                [header(value=value)],
                "[0]",
                "value is not text of visible ASCII characters, with blanks only between them",
            )
            for value in (
                True,
                1.5,
                [SECRET],
                {"a": SECRET},
                f" {SECRET}",
                f"{SECRET} ",
                f"{SECRET}\n",
                f"a\r\n{SECRET}",
                f"{SECRET}\0",
                f"\t{SECRET}",
                f"a\tb{SECRET}",
                f"{SECRET}\x7f",
                f"{SECRET}é",
                f"{SECRET}\u2028",
            )
        ),
        ([header(value=SECRET * 200)], "[0]", "value is too long for nginx, which takes 4000 characters"),
        ([header(value="$" * 400)], "[0]", "value is too long for nginx, which takes 4000 characters"),
        ([header(), header("x-api-key", "other")], "[1]", "'x-api-key' is there twice; a header has one value"),
        ([header("host")], "[0]", "Host is a header that the gate sets itself; set the location's upstream_host"),
        *(
            ([header(name)], "[0]", f"'{name}' is a header that the gate or the handshake itself sets; name another")
            for name in (
                "Upgrade",
                "connection",
                "Cookie",
                "Origin",
                "Sec-WebSocket-Key",
                "sec-websocket-protocol",
                "Sec-WebSocket-Whatever",
                "X-Forwarded-For",
                "X-Forwarded-Port",
                "X-Real-IP",
                "Forwarded",
                "Content-Length",
                "Transfer-Encoding",
                "TE",
                "Expect",
                "X-Original-URI",
            )
        ),
    ],
)
def test_a_header_that_cannot_be_sent_gets_one_sentence_without_its_value(given: t.Any, where: str, words: str) -> None:
    (found,) = errors({"upstream_headers": given})
    assert found.startswith(f"server 'wcs', locations[0]{where and ', upstream_headers' + where}: ")
    assert words in found and SECRET not in found


@pytest.mark.parametrize(
    "name", ["X-Client-IP", "x-client-subject", "X-Original-URL", "X-HTTP-Method-Override", "X-Caller"]
)
def test_a_header_that_names_the_client_or_the_request_is_the_gates(name: str) -> None:
    (found,) = errors({"upstream_headers": [header(name)]}, {"client_ip_header": "X-Caller"})
    assert found.startswith(f"server 'wcs', location '/0', upstream_headers: {name!r} is a header of the gate's own")


def test_a_password_for_the_upstream_takes_the_place_of_the_clients() -> None:
    assert errors({"upstream_headers": [header("Authorization", "Bearer x")]}) == []
    (found,) = errors({"upstream_headers": [header("authorization")], "forward_credentials": True})
    assert "Authorization is the client's own with forward_credentials: true; keep one of the two" in found


@pytest.mark.parametrize(
    "given",
    [
        {"name": "wcs", "locations": [{"path": "/", "upstream_headers": [header()]}]},
        [[{"path": "/", "upstream_headers": [header()]}]],
        [{"name": "wcs", "locations": {"path": "/", "upstream_headers": {"X-Api-Key": SECRET}}}],
        [{"name": "wcs", "locations": [[{"path": "/", "upstream_headers": (header(),)}]]}],
    ],
)
def test_a_secret_is_in_no_message_about_what_is_around_it(given: t.Any) -> None:
    found = "\n".join(_gate.gate_errors(given, CONTEXT))
    assert found and SECRET not in found


def test_the_model_has_no_value() -> None:
    item = {"upstream_headers": [header(), header("Authorization", f"Bearer {SECRET}")]}
    model = _gate.gate_model(servers(item), CONTEXT)
    assert SECRET not in repr(model)
    assert model["servers"][0]["locations"][0]["upstream_headers"] == ["X-Api-Key", "Authorization"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (SECRET, SECRET),
        (12345, "12345"),
        ("a b", "a b"),
        ('say "x"', 'say \\"x\\"'),
        ("back\\slash\\n", "back\\\\slash\\\\n"),
        ("$ecret$", "${wss_dollar}ecret${wss_dollar}"),
        ("${remote_addr}", "${wss_dollar}{remote_addr}"),
        ("a;b{c}d#e'f", "a;b{c}d#e'f"),
    ],
)
def test_a_value_is_written_as_nginx_reads_it(value: t.Any, written: str) -> None:
    (file,) = _gate.gate_upstream_headers(servers({"upstream_headers": [header(value=value)]}), CONTEXT)
    assert file["headers"][0]["value"] == written
    assert (file["file"], file["server"], file["path"]) == ("headers_wcs_0.inc", "wcs", "/0")


def test_every_spelling_with_underscores_is_cleared() -> None:
    (file,) = _gate.gate_upstream_headers(servers({"upstream_headers": [header("A-B-C"), header("Plain")]}), CONTEXT)
    assert file["cleared"] == ["A-B_C", "A_B-C", "A_B_C"]


def test_what_one_location_sets_every_other_one_clears() -> None:
    first, second, third = made(
        {"upstream_headers": [header(), header("Authorization")]},
        {"upstream_headers": [header("X-Role", "reader")]},
        {"forward_credentials": True},
    )
    api_key = ["X-Api-Key", "X-Api_Key", "X_Api-Key", "X_Api_Key"]
    role = ["X-Role", "X_Role"]
    assert first["cleared_upstream_headers"] == role
    assert second["cleared_upstream_headers"] == api_key
    assert third["cleared_upstream_headers"] == [*api_key, *role]
    # Whose a constant is does not matter to a service that decides.
    assert [item["cleared_external_headers"] for item in (first, second, third)] == [[*api_key, *role]] * 3


def test_a_gate_with_mistakes_has_no_files() -> None:
    with pytest.raises(_gate.GateError):
        _gate.gate_upstream_headers(servers({"upstream_headers": [header("Host")]}), CONTEXT)
