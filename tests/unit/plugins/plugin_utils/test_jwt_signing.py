# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to sign a token that several gates take: what they have in common, and what is wrong with a key or an issuer."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._jwt import keys as private_keys
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _jwt_report
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import signing
from ansible_collections.wssgate.nginx.plugins.plugin_utils._token_report import ReportError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

P256, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def private(key: t.Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public(key: t.Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def jwk(key: t.Any, kid: str) -> str:
    return json.dumps({"keys": [{**private_keys.SigningKey(key, ()).jwk(), "kid": kid}]})


def issuer(**changes: t.Any) -> t.Dict[str, t.Any]:
    return {
        "name": "main",
        "issuer": "https://id.example.com",
        "audience": ["wss", "chat"],
        "keys": [{"content": public(P256)}],
        **changes,
    }


def plan(*issuers: t.Any, key: t.Any = P256, **options: t.Any) -> t.Dict[str, t.Any]:
    files = options.pop("key_files", {})
    given = {f"gate{number}": [one] if isinstance(one, dict) else one for number, one in enumerate(issuers)}
    return signing.plan(given, "main", files, private(key), **options)


def problem(*issuers: t.Any, **options: t.Any) -> str:
    (found,) = plan(*issuers, **options)["problems"]
    return str(found)


def test_one_gate_is_taken_at_its_word() -> None:
    assert plan(issuer(max_token_lifetime=60)) == {
        "problems": [],
        "issuer": "https://id.example.com",
        "audience": "wss",
        "max_token_lifetime": 60,
        "kid": "",
        "algorithm": "ES256",
        "unchecked": [],
    }


def test_of_several_gates_the_token_is_for_all() -> None:
    found = plan(issuer(max_token_lifetime=60), issuer(audience=["chat"], max_token_lifetime=30))
    assert (found["audience"], found["max_token_lifetime"], found["problems"]) == ("chat", 30, [])
    rsa_keys = [{"content": public(RSA)}]
    found = plan(issuer(keys=rsa_keys), issuer(keys=rsa_keys, algorithms=["PS256"]), key=RSA)
    assert found["algorithm"] == "PS256"


def test_the_key_has_the_name_that_the_gates_know() -> None:
    assert plan(issuer(keys=[{"content": jwk(OTHER, "old")}, {"content": jwk(P256, "new")}]))["kid"] == "new"


def test_a_key_of_a_file_is_found() -> None:
    files = {"source:main.pem": {"content": public(P256)}}
    assert plan(issuer(keys=[{"source": "main.pem"}]), key_files=files)["unchecked"] == []
    files = {"source:main.pem": {"problem": "main.pem is not on the controller"}}
    assert "main.pem is not on the controller" in problem(issuer(keys=[{"source": "main.pem"}]), key_files=files)


@pytest.mark.parametrize("keys", [[], [{"content": public(RSA)}], [{"content": public(OTHER)}]])
def test_keys_that_only_the_gate_can_read_are_not_checked_and_that_is_told(keys: t.List[t.Any]) -> None:
    found = plan(issuer(keys=[*keys, {"path": "/etc/ssl/main.pem"}], algorithms=["RS256", "ES256"]), issuer())
    assert (found["problems"], found["unchecked"], found["algorithm"]) == ([], ["gate0"], "ES256")
    # Which of them the key is shows as soon as it is among those that can be read.
    keys = [{"content": jwk(P256, "k")}, {"path": "/etc/ssl/main.pem"}]
    assert (plan(issuer(keys=keys))["unchecked"], plan(issuer(keys=keys))["kid"]) == ([], "k")


def test_keys_that_the_gate_fetches_are_not_checked_either() -> None:
    given = issuer(jwks_url="https://id.example.com/jwks")
    del given["keys"]
    assert plan(given)["unchecked"] == ["gate0"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (issuer(name="other"), "gate0: issuer 'main' is not in wss_proxy_issuers, which has other"),
        ([], "gate0: issuer 'main' is not in wss_proxy_issuers, which has nobody"),
        ("text", "which has nobody"),
        (issuer(keys=[{"content": public(OTHER)}]), "gate0: the key is none of issuer 'main'"),
        (issuer(keys=[{"content": private(P256)}]), "it holds a private key"),
        (issuer(keys=[]), "keys is empty"),
        (issuer(keys="main.pem"), "is not a list"),
        (issuer(isuer="x"), "there is no option 'isuer' here"),
        (issuer(keys=[{"path": "/etc/a.pem"}], algorithms=["RS256"]), "takes RS256, and the key is for ES256"),
        (issuer(audience=[]), "audience is empty"),
        ([issuer(), issuer()], "this name is used twice"),
    ],
)
def test_what_is_wrong_with_an_issuer_is_told_by_gate(given: t.Any, words: str) -> None:
    assert any(words in one for one in plan(given)["problems"])


def test_what_is_wrong_with_the_key_is_told_in_the_playbook_s_words() -> None:
    found = signing.plan({"gate": [issuer()]}, "main", {}, public(P256))["problems"]
    assert found == ["jwt_key: it is a public key (PUBLIC KEY), with which nobody can sign; give the private one"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (issuer(issuer="https://other.example.com"), "the gates differ in their issuer"),
        (issuer(keys=[{"content": jwk(P256, "b")}]), "the gates differ in their kid for this key"),
        (issuer(audience=["else"]), "the gates have no audience in common"),
    ],
)
def test_gates_that_differ_cannot_have_one_token(second: t.Any, words: str) -> None:
    assert words in problem(issuer(keys=[{"content": jwk(P256, "a")}]) if "kid" in words else issuer(), second)


def test_gates_without_an_algorithm_in_common_cannot_have_one_either() -> None:
    one, two = (issuer(keys=[{"content": public(RSA)}], algorithms=[name]) for name in ("RS256", "PS256"))
    assert "no algorithm for this key in common" in problem(one, two, key=RSA)


def test_an_audience_that_was_asked_for_has_to_be_one_of_the_gates() -> None:
    assert plan(issuer(), audience="chat")["audience"] == "chat"
    assert "audience 'api' is not what every gate takes, which is wss, chat" in problem(issuer(), audience="api")


@pytest.mark.parametrize(
    ("rule", "claims", "is_met"),
    [
        ({"claim": "tenant"}, {}, False),
        ({"claim": "tenant"}, {"tenant": None}, False),
        ({"claim": "tenant"}, {"tenant": 0}, True),
        ({"claim": "sub"}, {"sub": "client-42"}, True),
        ({"claim": "iss", "any_of": ["https://id.example.com"]}, {}, True),
        ({"claim": "aud", "any_of": ["wss"]}, {}, True),
        ({"claim": "exp"}, {}, True),
        ({"claim": "groups", "any_of": ["ops", "support"]}, {"groups": ["a", "support"]}, True),
        ({"claim": "groups", "any_of": ["ops", "support"]}, {"groups": "ops"}, True),
        ({"claim": "groups", "any_of": ["ops", "support"]}, {"groups": ["a"]}, False),
        ({"claim": "groups", "all_of": ["ops", "support"]}, {"groups": ["ops"]}, False),
        ({"claim": "groups", "all_of": ["ops", "support"]}, {"groups": ["support", "ops"]}, True),
        ({"claim": ["realm_access", "roles"], "any_of": ["chat"]}, {"realm_access": {"roles": ["chat"]}}, True),
        ({"claim": ["realm_access", "roles"], "any_of": ["chat"]}, {"realm_access": "chat"}, False),
        ({"claim": "level", "any_of": [1]}, {"level": True}, False),
        ({"claim": "level", "any_of": [True]}, {"level": True}, True),
        ({"scopes": ["a", "b"]}, {"scope": "b a c"}, True),
        ({"scopes": ["a", "b"]}, {"scope": "a", "scp": ["b"]}, True),
        ({"scopes": ["a", "b"]}, {"scope": "a"}, False),
    ],
)
def test_what_the_issuer_requires_is_in_the_token(rule: t.Any, claims: t.Any, is_met: bool) -> None:
    found = plan(issuer(require=[rule]), claims=claims)["problems"]
    assert (found == []) is is_met
    assert is_met or found[0].startswith("gate0: the issuer requires the ")


# ---- The answer

SIGNED = {"public_key": "…", "subject": "client-42", "expires_at": 1800003600, "algorithm": "ES256", "kid": "k"}
MADE = {**SIGNED, "token": "a-token", "jti": "t-1", "token_id": "ab12"}


def test_what_was_signed_is_told() -> None:
    lines = _jwt_report.issued_lines(MADE, plan(issuer()), ["a", "b"])
    assert lines == [
        "For:         client-42",
        "Valid until: 2027-01-15 09:00:00 UTC",
        "Issuer:      https://id.example.com, for wss",
        "Key:         k (ES256)",
        "Proxies:     a, b",
        "Token name:  t-1",
        "In the log:  ab12",
        "Token:       a-token",
    ]
    told = _jwt_report.issued(MADE, plan(issuer()), ["a"], "/root/token")
    assert (told["tokens"], told["token_file"], told["expires_at"]) == ([], "/root/token", 1800003600)
    lines = _jwt_report.issued_lines(MADE, plan(issuer()), ["a"], "/root/token")
    assert lines[-1] == "Token:       written to /root/token" and not any("a-token" in line for line in lines)


def test_what_was_not_checked_and_not_signed_is_told() -> None:
    found = plan(issuer(keys=[{"path": "/etc/a.pem"}]))
    lines = _jwt_report.issued_lines({**SIGNED, "subject": None}, found, ["gate0"], "/root/token")
    assert lines[0] == "For:         nobody in particular"
    assert "Not checked: whether the key is one of the issuer's on gate0" in lines
    assert lines[-3:] == [
        "Token name:  none yet (check mode)",
        "In the log:  none yet (check mode)",
        "Token:       none yet (check mode)",
    ]


def test_an_answer_about_something_else_is_refused() -> None:
    with pytest.raises(ReportError, match="wss_jwt"):
        _jwt_report.issued({"msg": "failed"}, {}, [])
