# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _check_report
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import model as _gate

CERTIFICATE: dict[str, t.Any] = {
    "name": "wcs",
    "provider": "selfsigned",
    "certificate_path": "/etc/nginx/certificates/wcs/fullchain.pem",
    "problems": [],
    "subject_alt_names": ["DNS:wcs.example.com"],
    "issuer": "CN=wcs.example.com",
    "self_signed": True,
    "days_left": 100,
    "not_after": "2027-01-01T00:00:00Z",
    "key_type": "P-256",
    "served": True,
}
LOCATION = {"path": "/wss", "auth": "token", "client_certificate": False, "without_token": 403, "with_token": 101}
SERVER: dict[str, t.Any] = {
    "name": "wcs",
    "server_name": "wcs.example.com",
    "address": "127.0.0.1:443",
    "tls": True,
    "tls_versions": ["TLSv1.2", "TLSv1.3"],
    "key_exchange_group": "X25519MLKEM768",
    "certificates": [CERTIFICATE],
    "client_authority": None,
    "locations": [LOCATION],
}


NEAR = [{"kind": "allow", "networks": ["192.0.2.0/24"]}]


def problems(**changes: t.Any) -> list[str]:
    found = _check_report.report({"a": {"targets": [{**SERVER, **changes}]}}, 14)
    return [entry["problem"] for entry in found["problems"]]


def with_certificate(**changes: t.Any) -> list[str]:
    return problems(certificates=[{**CERTIFICATE, **changes}])


def with_location(**changes: t.Any) -> list[str]:
    return problems(locations=[{**LOCATION, **changes}])


def levels(result: dict[str, t.Any]) -> list[tuple[str, str, str]]:
    found = _check_report.report({"a": result}, 14)["problems"]
    return [(entry["level"], entry["part"], entry["name"]) for entry in found]


def of_server(**changes: t.Any) -> list[tuple[str, str, str]]:
    return levels({"targets": [{**SERVER, **changes}]})


def of_certificate(**changes: t.Any) -> list[tuple[str, str, str]]:
    return of_server(certificates=[{**CERTIFICATE, **changes}])


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (of_certificate(days_left=13), ("warning", "certificate", "wcs")),
        (of_certificate(days_left=-1, problems=["it has expired"]), ("critical", "certificate", "wcs")),
        (of_certificate(provider="acme"), ("critical", "certificate", "wcs")),
        (of_certificate(served=False, name=""), ("critical", "certificate", CERTIFICATE["certificate_path"])),
        (of_server(tls_versions=[]), ("critical", "server", "")),
        (of_server(tls_versions=["TLSv1.1"]), ("warning", "server", "")),
        (of_server(client_authority={"problems": ["there is none"]}), ("critical", "authority", "")),
        (of_server(client_authority={"problems": [], "crl_days_left": 0}), ("warning", "authority", "")),
        (of_server(locations=[{**LOCATION, "with_token": 502}]), ("critical", "location", "/wss")),
        (of_server(locations=[{**LOCATION, "without_token": 101}]), ("critical", "location", "/wss")),
        # Somebody has drained it
        (of_server(locations=[{**LOCATION, "without_token": 503, "with_token": 503}]), ("warning", "location", "/wss")),
        (levels({"targets": [], "pruner": {"problems": ["it does not run"]}}), ("critical", "agent", "")),
        (levels({"targets": [], "capacity": {"problem": "too few"}}), ("warning", "capacity", "")),
        (levels({"targets": [], "metrics": ["mtail is failed"]}), ("warning", "metrics", "")),
        (levels({"targets": [], "revocations": {"totals": {"a": 1}, "problems": ["b"]}}),
         ("critical", "revocations", "")),
        (levels({"targets": [], "issuers": [{"name": "main", "key_count": 2, "problems": ["its keys stay"]}]}),
         ("warning", "issuer", "main")),
        (levels({"targets": [], "issuers": [{"name": "main", "key_count": 0, "problems": ["it has none"]}]}),
         ("critical", "issuer", "main")),
        (levels({"msg": "no route to host"}), ("unknown", "host", "")),
        (levels({}), ("unknown", "host", "")),
    ],
)  # fmt: skip
def test_how_bad_it_is_and_what_it_is_about(found: list[tuple[str, str, str]], wanted: tuple[str, str, str]) -> None:
    assert found == [wanted]


def test_what_is_right_is_no_problem() -> None:
    assert problems() == []
    assert _check_report.lines({"a": {"targets": [SERVER]}}, 14)[-1] == "Nothing will break within 14 days."


def test_the_table_tells_how_keys_are_exchanged() -> None:
    for group, words in (("X25519MLKEM768", "X25519MLKEM768"), (None, "-")):
        text = _check_report.lines({"a": {"targets": [{**SERVER, "key_exchange_group": group}]}}, 14)
        assert text[0].endswith("KEY EXCHANGE") and text[1].split()[-1] == words


@pytest.mark.parametrize(
    "found, words",
    [
        (
            with_certificate(days_left=13),
            "certificate wcs ends in 13 days (2027-01-01T00:00:00Z): a run of site.yml makes a new one",
        ),
        (
            with_certificate(days_left=13, provider="acme", self_signed=False),
            "ends in 13 days (2027-01-01T00:00:00Z): its renewal fails or does not run",
        ),
        (with_certificate(days_left=0, provider="files"), "ends in 0 days (2027-01-01T00:00:00Z): bring a new one"),
        (with_certificate(problems=["the chain is out of order"]), "certificate wcs: the chain is out of order"),
        (with_certificate(provider="acme"), "certificate wcs is a placeholder"),
        (with_certificate(served=False), "certificate wcs is not the one that clients get"),
        (problems(tls_versions=[]), "nothing answers in TLS at 127.0.0.1:443"),
        (problems(tls_versions=["TLSv1.1", "TLSv1.2"]), "it speaks TLSv1.1, which clients have given up"),
        (
            problems(client_authority={"problems": [], "days_left": 400, "crl_days_left": 3}),
            "the revocation list ends in 3 days",
        ),
        (
            problems(client_authority={"problems": [], "days_left": 3, "crl_days_left": None}),
            "the authority ends in 3 days",
        ),
        (problems(client_authority={"problems": ["there is none"]}), "client certificates: there is none"),
        (with_location(without_token=101), "/wss answers 101 to a client without a token, not 403"),
        (with_location(without_token=-1), "/wss answers nothing to a client without a token, not 403"),
        (with_location(with_token=502), "/wss answers 502 to a client with a token, not 101"),
        (with_location(without_token=503, with_token=503), "/wss takes no new sessions (503): the host is drained"),
        (with_location(with_token=503), "/wss answers 503 to a client with a token, not 101"),
        (
            with_location(auth="none", without_token=502, with_token=None),
            "/wss answers 502 to a client without a token, not 101",
        ),
        (
            problems(
                client_address="127.0.0.1",
                locations=[{**LOCATION, "auth": "none", "addresses": NEAR, "without_token": 101, "with_token": None}],
            ),
            "/wss answers 101 to a client without a token, not 403",
        ),
        (
            problems(
                client_address="127.0.0.1",
                locations=[{**LOCATION, "auth": "none", "addresses": NEAR, "without_token": 503, "with_token": None}],
            ),
            "/wss takes no new sessions (503): the host is drained",
        ),
        (
            problems(client_address="192.0.2.7", locations=[{**LOCATION, "addresses": NEAR, "with_token": 403}]),
            "/wss answers 403 to a client with a token, not 101",
        ),
        (
            with_location(client_certificate=True, without_token=101),
            "/wss answers 101 to a client without a token, not 403",
        ),
    ],
)
def test_what_is_wrong_or_will_be_is_told_once(found: list[str], words: str) -> None:
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "found",
    [
        with_certificate(days_left=14),
        with_location(auth="token_or_basic", without_token=401),
        with_location(auth="basic", without_token=401, with_token=None),
        with_location(without_token=429, with_token=429),
        with_location(with_token=None),
        with_location(addresses=NEAR),
        problems(client_address="192.0.2.7", locations=[{**LOCATION, "addresses": NEAR}]),
        # This host's own address is not let in, and that is what it meets
        problems(client_address="127.0.0.1", locations=[{**LOCATION, "addresses": NEAR, "with_token": 403}]),
        problems(
            client_address="127.0.0.1",
            locations=[{**LOCATION, "auth": "none", "addresses": NEAR, "without_token": 403, "with_token": None}],
        ),
        # Nobody has a certificate of a client to try here
        with_location(client_certificate=True, with_token=403),
        problems(tls=False, tls_versions=[], certificates=[]),
    ],
)
def test_what_is_meant_so_is_no_problem(found: list[str]) -> None:
    assert found == []


def test_the_table_tells_where_this_host_is_not_let_in() -> None:
    for client, words in (("127.0.0.1", "token, not from 127.0.0.1"), ("192.0.2.7", "token")):
        server = {**SERVER, "client_address": client, "locations": [{**LOCATION, "addresses": NEAR}]}
        text = _check_report.lines({"a": {"targets": [server]}}, 14)
        (line,) = [line for line in text if "/wss" in line and not line.startswith("WRONG")]
        assert f"/wss  {words}  " in line


def test_a_certificate_that_cannot_be_read_is_in_the_table_too() -> None:
    unreadable = {"name": "wcs", "certificate_path": "/a.pem", "problems": ["/a.pem cannot be read"]}
    text = _check_report.lines({"a": {"targets": [{**SERVER, "certificates": [unreadable]}]}}, 14)
    assert "unreadable" in text[1]
    assert text[-1] == "WRONG a, server wcs: certificate wcs: /a.pem cannot be read"


def test_a_host_that_could_not_be_asked_is_a_problem() -> None:
    found = _check_report.report({"a": {"targets": [SERVER]}, "b": {"msg": "no cryptography"}, "c": {}}, 14)
    assert [(entry["host"], entry["problem"]) for entry in found["problems"]] == [
        ("b", "it could not be asked: no cryptography"),
        ("c", "it could not be asked: no answer"),
    ]


@pytest.mark.parametrize("words", ["", "100000 sessions were asked for (nginx_sessions), and nginx carries 19488"])
def test_a_host_that_cannot_carry_its_sessions_is_a_problem(words: str) -> None:
    results = {"a": {"targets": [SERVER], "capacity": {"problem": words}}, "b": {"targets": [SERVER], "capacity": None}}
    found = _check_report.report(results, 14)["problems"]
    entry = {"host": "a", "server": "", "problem": words, "level": "warning", "part": "capacity", "name": ""}
    assert found == ([entry] if words else [])
    assert _check_report.lines(results, 14)[-1] == (
        f"WRONG a: {words}" if words else "Nothing will break within 14 days."
    )


def test_each_server_is_asked_where_it_is_most_like_its_clients() -> None:
    given = [
        {
            "name": "wcs",
            "server_names": ["*.example.com", "wcs.example.org"],
            "listen": [{"port": 8080, "tls": False}, {"port": 8443, "address": "192.0.2.1"}],
            "certificate": "wcs",
            "client_certificates": {"ca_path": "/ca.pem", "required": False},
            "locations": [
                {
                    "path": "/wss",
                    "upstream": "http://127.0.0.1:1",
                    "origins": ["https://app.example.com"],
                    "cookie_name": "T",
                },
                {
                    "path": "/any",
                    "upstream": "http://127.0.0.1:1",
                    "origins": ["https://*.example.com"],
                    "cookie_name": "T",
                    "allow_from": ["192.0.2.0/24"],
                },
                {
                    "path": "/in",
                    "upstream": "http://127.0.0.1:1",
                    "auth": "none",
                    "origins": ["https://app.example.com"],
                    "client_certificate_required": True,
                },
                {
                    "path": "/program",
                    "upstream": "http://127.0.0.1:1",
                    "origins": ["https://app.example.com"],
                    "sources": ["bearer"],
                },
                {
                    "path": "/both",
                    "upstream": "http://127.0.0.1:1",
                    "origins": ["https://app.example.com"],
                    "sources": ["bearer", "cookie"],
                },
            ],
        },
        {
            "name": "socket",
            "server_names": ["b.example.com"],
            "listen": [{"unix": "/run/b.sock", "tls": False}],
            "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:1", "origins": ["https://app.example.com"]}],
        },
    ]
    certificates = [{"name": "wcs", "provider": "acme"}]
    context = {
        "certificates": certificates,
        "certificates_directory": "/etc/nginx/certificates",
        "nginx_version": "1.26.0",
        "token_store_path": "/var/lib/nginx/tokens",
        "ca_bundle_path": "/ca",
    }
    (target,) = _check_report.targets(_gate.gate_model(given, context), certificates, "/etc/nginx/certificates")
    assert (target["server_name"], target["host"], target["port"], target["tls"]) == (
        "any.example.com",
        "192.0.2.1",
        8443,
        True,
    )
    assert target["server_names"] == ["*.example.com", "wcs.example.org"]
    assert target["certificates"][0]["provider"] == "acme"
    assert (target["ca_path"], target["crl_path"]) == ("/ca.pem", None)
    assert [loc["addresses"] for loc in target["locations"]] == [[], NEAR, [], [], []]
    assert [
        (loc["path"], loc["cookie_name"], loc["bearer"], loc["uses_token"], loc["client_certificate"])
        for loc in target["locations"]
    ] == [
        ("/wss", "T", False, True, False),
        ("/any", "T", False, True, False),
        ("/in", "", False, False, True),
        ("/program", "", True, True, False),
        ("/both", "AUTH", False, True, False),
    ]
    assert [loc["origin"] for loc in target["locations"]] == [
        "https://app.example.com", "https://any.example.com", *["https://app.example.com"] * 3,
    ]  # fmt: skip


def test_the_days_may_be_text() -> None:
    # ansible-core before 2.19 hands a filter the text of a templated number.
    results = {"a": {"targets": [{**SERVER, "certificates": [{**CERTIFICATE, "days_left": 13}]}]}}
    for days in (14, 13):
        assert _check_report.report(results, t.cast(int, str(days))) == _check_report.report(results, days)
        assert _check_report.lines(results, t.cast(int, str(days))) == _check_report.lines(results, days)


def test_a_pruner_that_does_not_work_is_a_problem_of_its_host() -> None:
    result = {"targets": [SERVER], "pruner": {"problems": ["the timer of the pruner does not run"]}}
    found = _check_report.report({"a": result, "b": {"targets": [SERVER], "pruner": {"skipped": True}}}, 14)
    words = "the timer of the pruner does not run"
    entry = {"host": "a", "server": "", "problem": words, "level": "critical", "part": "agent", "name": ""}
    assert found["problems"] == [entry]
    assert _check_report.lines({"a": result}, 14)[-1] == "WRONG a: the timer of the pruner does not run"


def test_what_is_taken_back_is_counted_and_a_folder_that_is_not_as_it_should_be_is_a_problem() -> None:
    found = {"totals": {"tokens": 1, "subjects": 2}, "problems": ["the folder can be written by others than root"]}
    result = {"targets": [SERVER], "revocations": found}
    text = _check_report.lines({"a": result, "b": {"targets": [SERVER], "revocations": {"skipped": True}}}, 14)
    assert "a: taken back of signed tokens: 1 token, 2 subjects" in text
    assert not any(line.startswith("b: ") for line in text)
    assert text[-1] == "WRONG a: the folder can be written by others than root"
    assert _check_report.report({"a": result}, 14)["revocations"] == {"a": {"tokens": 1, "subjects": 2}}


ISSUER: dict[str, t.Any] = {
    "name": "main",
    "issuer": "https://id.example.com",
    "key_count": 2,
    "kids": ["2026-11", "2026-12"],
    "algorithms": ["ES256", "RS256"],
    "jwks_url": "https://id.example.com/jwks.json",
    "fetched_seconds_ago": 130,
    "left_out": [],
    "problems": [],
}


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ["main", "2 (2026-11, 2026-12)", "ES256 RS256", "2 min ago"]),
        ({"fetched_seconds_ago": 119}, ["119 s ago"]),
        ({"fetched_seconds_ago": 7200}, ["2 h ago"]),
        ({"fetched_seconds_ago": 200000}, ["2 d ago"]),
        ({"fetched_seconds_ago": None}, ["not yet"]),
        ({"jwks_url": "", "fetched_seconds_ago": None, "kids": ["", "b"]}, ["2 (-, b)", "from the inventory"]),
    ],
)
def test_issuers_have_a_table_with_keys_algorithms_and_age(changes: dict[str, t.Any], cells: list[str]) -> None:
    lines = _check_report.lines({"a": {"targets": [SERVER], "issuers": [{**ISSUER, **changes}]}}, 14)
    (row,) = [line for line in lines if line.startswith("a     main")]
    assert all(cell in row for cell in cells), row


def test_a_problem_of_a_key_set_is_told_once() -> None:
    words = "issuer main: its keys stay"
    result = {"targets": [SERVER], "issuers": [{**ISSUER, "problems": [words]}], "pruner": {"problems": [words]}}
    found = _check_report.report({"a": result}, 14)
    entry = {"host": "a", "server": "", "problem": words, "level": "warning", "part": "issuer", "name": "main"}
    assert found["problems"] == [entry]
    assert found["issuers"] == {"a": result["issuers"]}
