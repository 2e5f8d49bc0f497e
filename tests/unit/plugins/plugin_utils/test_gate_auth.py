# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of authentication methods: what auth takes, and what follows from each of its values."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import auth, options


def test_auth_takes_what_the_argument_specs_name() -> None:
    assert tuple(auth.KINDS) == options.AUTH_KINDS
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
