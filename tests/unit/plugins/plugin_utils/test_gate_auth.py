# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of authentication methods: what auth takes, and what follows from each of its values."""

from __future__ import annotations

import itertools
import re
import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.pattern import TOKEN_PATTERN
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import auth, model, options
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.auth import carried
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.context import Gate


def test_auth_takes_what_the_argument_specs_name() -> None:
    assert set(auth.combination.LISTED) == set(options.AUTH_LISTED)
    assert set(options.SERVER_AUTH_KINDS) <= set(auth.KINDS)


@pytest.mark.parametrize(
    ("name", "methods", "required", "enough", "answers"),
    [
        ("token", ["token"], ["token"], ["token"], (403,)),
        ("basic", ["basic"], ["basic"], ["basic"], (401,)),
        ("token_or_basic", ["basic", "token"], [], ["basic", "token"], (401, 403)),
        ("token_and_basic", ["basic", "token"], ["basic", "token"], [], (401, 403)),
        ("jwt", ["jwt"], ["jwt"], ["jwt"], (403,)),
        ("jwt_or_basic", ["basic", "jwt"], [], ["basic", "jwt"], (401, 403)),
        ("jwt_and_basic", ["basic", "jwt"], ["basic", "jwt"], [], (401, 403)),
        ("external", ["external"], ["external"], ["external"], (401, 403)),
        ("none", ["none"], ["none"], ["none"], (101,)),
    ],
)
def test_what_each_kind_asks_for_and_answers(
    name: str, methods: t.List[str], required: t.List[str], enough: t.List[str], answers: t.Tuple[int, ...]
) -> None:
    kind = auth.kind_of(name)
    assert [method.name for method in kind.methods] == methods
    assert [method.name for method in kind.methods if kind.requires(method)] == required
    assert [method.name for method in kind.methods if kind.is_content_with(method)] == enough
    assert kind.answers() == answers


def test_every_method_has_another_name() -> None:
    names = [method.name for method in auth.METHODS]
    assert names == list(dict.fromkeys(names)) != []


def test_an_unknown_kind_asks_for_nothing_and_expects_no_answer() -> None:
    kind = auth.kind_of("password")
    assert (kind.methods, kind.answers()) == ((), ())
    assert not any(kind.uses(method) or kind.is_content_with(method) for method in auth.METHODS)


CONTEXT = {"certificates": [{"name": "wcs"}], "token_store_path": "/t", "htpasswd_files": [{"path": "/etc/htpasswd"}]}


def read(given: t.Any, context: t.Any = None, **more: t.Any) -> t.Tuple[t.List[str], t.Dict[str, t.Any]]:
    """What is wrong with a location that has this auth, and what is made of it."""
    location = {"path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": given, **more}
    server = {"name": "wcs", "listen": [{"port": 443}], "certificate": "wcs", "locations": [location]}
    if "client_certificates" in more:
        server["client_certificates"] = location.pop("client_certificates")
    gate = model.read([server], context or CONTEXT)
    return gate.problems.found, gate.servers[0]["locations"][0]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"any": ["token", "basic"]}, "token_or_basic"),
        ({"any": ["basic", "token"]}, "token_or_basic"),
        ({"all": ["basic", "token"]}, "token_and_basic"),
        ({"any": ["token"]}, "token"),
        ({"all": ["token"]}, "token"),
        ({"any": ["token"], "all": None}, "token"),
    ],
)
def test_a_list_that_has_a_name_is_what_the_name_is(given: t.Any, name: str) -> None:
    problems, location = read(given)
    assert problems == []
    assert location == read(name)[1]
    assert (location["auth"], location["combination"]) == (name, None)


@pytest.mark.parametrize("rest", [[], ["token"], ["token", "basic"]])
def test_a_certificate_among_all_is_the_option_of_that_name(rest: t.List[str]) -> None:
    certificates = {"ca_path": "/etc/ca.pem", "required": False}
    problems, location = read({"all": ["client_certificate", *rest]}, client_certificates=certificates)
    name = "_and_".join(rest) or "none"
    assert problems == []
    assert location == read(name, client_certificate_required=True, client_certificates=certificates)[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs any or all, one of the two"),
        ({"any": ["token"], "all": ["basic"]}, "needs any or all, one of the two"),
        ({"some": ["token"]}, "there is no option 'some' here"),
        ({"anny": ["token"]}, "'any' is one"),
        ({1: ["token"]}, "there is no option 1 here"),
        ({"any": []}, "auth any is empty; name some of token, jwt, external, client_certificate, basic"),
        ({"all": []}, "auth all is empty"),
        ({"any": "token"}, "auth any 'token' is not a list; put it in [ ]"),
        ({"any": ["token", "token"]}, "auth any names token twice; keep one"),
        ({"all": ["token", "none"]}, "auth all has none in it, which asks for nothing"),
        ({"any": ["none"]}, "set auth: none to let everybody in"),
        ({"any": ["token", "password"]}, "auth any has 'password' in it, which is none of token, jwt"),
        ({"any": ["token", "jwt_or_basic"]}, "auth any has 'jwt_or_basic' in it"),
        ({"any": ["token", {"all": ["jwt", "basic"]}]}, "lists of methods do not go within each other"),
        ({"any": ["token", ["basic"]]}, "lists of methods do not go within each other"),
        ({"any": [None]}, "auth any has None in it"),
        ({"any": [1]}, "auth any has 1 in it"),
        (["token", "basic"], "does not tell whether one of them is enough; write {any: [...]} or {all: [...]}"),
        ([], "does not tell whether one of them is enough"),
        ("token_or_external", "auth 'token_or_external' is none of token, basic"),
        ("jwt_or_token", "others are written {any: [token, jwt]} or {all: [token, jwt]}"),
        (False, "auth 'False' is none of"),
        ({"all": ["token", "jwt", "basic"]}, "two places in Authorization"),
        ({"any": ["token", "client_certificate"]}, "needs client_certificates with required: false on the server"),
    ],
)
def test_a_combination_that_cannot_be_is_one_error_that_names_the_location(given: t.Any, words: str) -> None:
    problems, _location = read(given, sources=["cookie"])
    assert len(problems) == 1, problems
    assert problems[0].startswith("server 'wcs', locations[0]") and words in problems[0]


@pytest.mark.parametrize(
    ("given", "more", "words"),
    [
        (
            {"any": ["token", "client_certificate"]},
            {"client_certificates": {"ca_path": "/etc/ca.pem"}},
            "the server asks every path for one; set client_certificates.required: false there",
        ),
        (
            {"any": ["token", "client_certificate"]},
            {"client_certificates": {"ca_path": "/c", "required": False}, "client_certificate_required": True},
            "client_certificate_required asks everybody for one; leave that out",
        ),
        (
            {"all": ["token", "client_certificate"]},
            {"client_certificates": {"ca_path": "/c", "required": False}, "client_certificate_required": False},
            "client_certificate_required is false; leave that out",
        ),
        ({"all": ["token", "client_certificate"]}, {}, "needs client_certificates on the server"),
        ({"any": ["token", "external"]}, {}, "needs external_auth_url"),
        (
            {"all": ["token", "external", "basic"]},
            {"external_auth_url": "http://127.0.0.1:1/", "sources": ["bearer"]},
            "takes the password from Authorization, which cannot hold a token too; set sources: [cookie]",
        ),
        (
            {"any": ["basic", "external"]},
            {"external_auth_url": "http://127.0.0.1:1/", "sources": ["cookie"]},
            "sources",
        ),
    ],
)
def test_what_goes_with_a_combination_is_checked(given: t.Any, more: t.Any, words: str) -> None:
    problems, _location = read(given, **more)
    assert len(problems) == 1 and words in problems[0], problems


@pytest.mark.parametrize("is_any", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_combination_is_known_by_its_name(is_any: bool, count: int) -> None:
    """Playbook check gets nothing but the name."""
    for names in itertools.combinations(auth.combination.LISTED, count):
        kind = auth.combination.kind(names, is_any)
        assert auth.kind_of(kind.name).methods == kind.methods
        assert auth.kind_of(kind.name).is_any == is_any
        assert {method.name for method in kind.methods} == set(names)


def test_a_signed_token_has_its_place_beside_an_opaque_one() -> None:
    any_, all_ = auth.combination.kind(("token", "jwt"), True), auth.combination.kind(("token", "jwt"), False)
    gate = Gate({})
    for kind, given, wanted in (
        (any_, None, [["cookie", "bearer"], ["cookie", "bearer"]]),
        (any_, ["cookie"], [["cookie"], ["cookie"]]),
        (all_, None, [["cookie"], ["bearer"]]),
        (all_, ["bearer", "cookie"], [["cookie"], ["bearer"]]),
    ):
        found = [carried.sources(gate, "here", kind, method, given) for method in (auth.TOKEN, auth.JWT)]
        assert found == wanted
    assert gate.problems.found == []
    for given in (["cookie"], ["bearer"]):
        for method in (auth.TOKEN, auth.JWT):
            carried.sources(gate, "here", all_, method, given)
    assert len(gate.problems.found) == 2 and "leave sources out" in gate.problems.found[0]


def test_no_token_has_a_dot_by_which_it_could_be_taken_for_a_signed_one() -> None:
    assert not re.fullmatch(TOKEN_PATTERN, "a" * 16 + ".b.c")
    assert re.fullmatch(TOKEN_PATTERN, "a" * 16)
