# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key sets that a gate fetches: what a key is, which keys count, and what is kept and made live of them."""

from __future__ import annotations

import base64
import json
import time
import typing as t

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ansible_collections.wssgate.nginx.plugins.module_utils._agent import key_activation
from ansible_collections.wssgate.nginx.plugins.module_utils._issuers import jwk, key_sets, report, state
from ansible_collections.wssgate.nginx.plugins.module_utils._issuers.key_sets import Known, Source
from ansible_collections.wssgate.nginx.plugins.modules import wss_key_set_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

URL = "https://id.example.com/jwks.json"
PRIVATE = {
    "a": ec.generate_private_key(ec.SECP256R1()),
    "b": ec.generate_private_key(ec.SECP384R1()),
    "c": rsa.generate_private_key(65537, 2048),
    "d": rsa.generate_private_key(3, 3072),
}


def numbers(kid: str) -> jwk.PublicKey:
    found = PRIVATE[kid].public_key().public_numbers()
    if isinstance(found, rsa.RSAPublicNumbers):
        return jwk.rsa("the key", kid, found.n, found.e)
    return jwk.elliptic("the key", kid, f"P-{found.curve.key_size}", found.x, found.y)


KEYS = {kid: numbers(kid) for kid in PRIVATE}


def source(**changes: t.Any) -> Source:
    return Source("main", URL, "", 300, 0)._replace(**changes)


def fetched(*kids: str) -> jwk.KeySet:
    return jwk.read_set(json.dumps({"keys": [KEYS[kid].jwk() for kid in kids]}), leaves_out=True)


def accepted(known: t.Optional[Known], *kids: str, now: float = 1000.0, **changes: t.Any) -> Known:
    return key_sets.accepted(source(**changes), known, fetched(*kids), "", now)


def counting(known: Known, now: float) -> t.List[str]:
    return [key["kid"] for key in key_sets.counting(known, now)]


# -- keys


@pytest.mark.parametrize("kid", sorted(PRIVATE))
def test_a_key_has_the_bytes_that_openssl_gives_it(kid: str) -> None:
    der = (
        PRIVATE[kid]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert KEYS[kid].spki == base64.b64encode(der).decode()
    assert jwk.read_set(json.dumps(KEYS[kid].jwk())).keys == [KEYS[kid]]


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (-1, 1), (1, 1), (jwk.CURVES["P-256"].prime, 1), (1, jwk.CURVES["P-256"].prime)]
)
def test_what_is_no_point_is_no_key(x: int, y: int) -> None:
    with pytest.raises(jwk.KeyProblemError, match="no point on P-256"):
        jwk.elliptic("the key", "", "P-256", x, y)


@pytest.mark.parametrize(
    ("modulus", "exponent", "words"),
    [
        (2**2047 + 1, 1, "do not go together"),
        (2**2047 + 1, 4, "do not go together"),
        (2**2047, 65537, "do not go together"),
        (2**2047 + 1, 2**2048 + 1, "do not go together"),
        (2**2046 + 1, 65537, "RSA with 2047 bits"),
        (2**8192 + 1, 65537, "RSA with 8193 bits"),
        (2**4095 + 1, 2**64 + 1, "an e of 65 bits"),
    ],
)
def test_a_bad_rsa_key_is_refused(modulus: int, exponent: int, words: str) -> None:
    with pytest.raises(jwk.KeyProblemError, match=words):
        jwk.rsa("the key", "", modulus, exponent)


def test_a_set_that_is_no_json_is_refused() -> None:
    for text in ('{"keys": [NaN]}', '{"keys": [' + "[" * 100000, '{"keys": [1]}', "[]", "{}"):
        with pytest.raises(jwk.KeyProblemError):
            jwk.read_set(text, leaves_out=True)


def test_more_keys_than_anybody_has_are_refused() -> None:
    with pytest.raises(jwk.KeyProblemError, match="65 keys for signatures, and 64 are taken"):
        jwk.check_together([KEYS["a"]._replace(kid=f"k{n}", spki=str(n)) for n in range(65)])


# -- which keys count


def test_a_key_that_has_gone_is_dropped_at_once_without_a_grace() -> None:
    known = accepted(accepted(None, "a", "b"), "b")
    assert counting(known, 1000.0) == ["b"]


def test_a_key_that_has_gone_counts_for_its_grace_and_no_longer() -> None:
    first = accepted(None, "a", "b", grace=60)
    second = accepted(first, "b", grace=60, now=1100.0)
    assert counting(second, 1159.9) == ["b", "a"]
    # A further fetch does not prolong it.
    third = accepted(second, "b", grace=60, now=1130.0)
    assert counting(third, 1159.9) == ["b", "a"] and counting(third, 1160.0) == ["b"]
    # One that has come back is one of the set.
    assert counting(accepted(third, "a", "b", grace=60, now=1140.0), 1e9) == ["a", "b"]


def test_a_clock_that_is_put_back_prolongs_no_grace() -> None:
    known = accepted(accepted(None, "a", "b", grace=60, now=100000.0), "b", grace=60, now=100000.0)
    again = accepted(known, "b", grace=60, now=1000.0)
    assert counting(again, 1060.0) == ["b"]


def test_a_key_of_the_same_name_takes_the_place_of_the_one_before_at_once() -> None:
    known = accepted(None, "a", grace=60)
    another = jwk.KeySet([KEYS["b"]._replace(kid="a")], [])
    found = key_sets.accepted(source(grace=60), known, another, "", 1010.0)
    assert [key["crv"] for key in key_sets.counting(found, 1010.0)] == ["P-384"]


def test_what_was_known_of_another_url_does_not_count() -> None:
    known = accepted(None, "a", grace=60)._replace(url="https://other.example.com/")
    assert counting(accepted(known, "b", grace=60), 1000.0) == ["b"]


def test_a_set_without_a_key_for_the_algorithms_is_refused() -> None:
    with pytest.raises(jwk.KeyProblemError, match="no key for ES384"):
        accepted(None, "a", "c", algorithms=("ES384",))
    assert key_sets.rendered(source(algorithms=("PS256",)), [KEYS["a"].jwk(), KEYS["c"].jwk()]) == [
        {"kid": "c", "algorithms": ["PS256"], "spki": KEYS["c"].spki}
    ]


def test_of_many_keys_that_are_left_out_some_are_named() -> None:
    others = [{"use": "enc"}] * 10000
    found = jwk.read_set(json.dumps({"keys": [KEYS["a"].jwk(), *others]}), leaves_out=True)
    known = key_sets.accepted(source(), None, found, "", 1000.0)
    assert known.left_out[:2] == ("key 1 is not for signatures", "key 2 is not for signatures")
    assert known.left_out[-1] == "9980 more" and len(known.left_out) == 21


def test_the_order_in_a_set_makes_no_difference() -> None:
    jwks = [KEYS[kid].jwk() for kid in "abcd"]
    assert key_sets.rendered(source(), jwks) == key_sets.rendered(source(), jwks[::-1])


# -- when somebody has to look after it


def test_a_set_is_a_problem_when_it_is_old_or_wrong() -> None:
    known = accepted(None, "a")
    assert key_sets.problem_of(source(), None, 0) == key_sets.problem_of(source(), known, 1e9) == ""
    failing = known._replace(problem="id.example.com:443 answers with 500", failing_since=1300.0)
    assert key_sets.problem_of(source(), failing, 1000.0 + 900) == ""
    assert "answers with 500" in key_sets.problem_of(source(), failing, 1000.0 + 901)
    assert "answers with 500" in key_sets.problem_of(source(), failing._replace(is_refused=True), 1301.0)
    assert key_sets.problem_of(source(url="https://new.example.com/"), failing, 1e9) == ""


# -- more keys than nginx takes


def jwks(first: int, last: int) -> jwk.KeySet:
    found = []
    for number in range(first, last):
        point = ec.derive_private_key(number + 1, ec.SECP256R1()).public_key().public_numbers()
        found.append(jwk.elliptic("the key", f"k{number:03}", "P-256", point.x, point.y))
    return jwk.KeySet(found, [])


def test_keys_of_a_set_come_before_those_within_their_grace_and_what_has_no_room_is_told(tmp_path: t.Any) -> None:
    kind = source(grace=60)
    first = key_sets.accepted(kind, None, jwks(0, 10), "", 1000.0)
    second = key_sets.accepted(kind, first, jwks(10, 20), "", 1010.0)
    third = key_sets.accepted(kind, second, jwks(20, 72), "", 1020.0)
    # All of the set, those that went last, and two of those that went first.
    assert len(set(counting(third, 1030.0))) == jwk.KEYS_MAX == 64
    assert set(counting(third, 1030.0)) >= {f"k{number:03}" for number in range(10, 72)}
    assert len(key_sets.rendered(kind, key_sets.counting(third, 1030.0))) == 64
    told = key_sets.surplus_of(kind, third, 1030.0)
    assert told.startswith("issuer main: 8 keys that went from its set no longer count, though key_grace is not over")
    # When the first are over there is room for the others.
    assert set(counting(third, 1070.0)) == {f"k{number:03}" for number in range(10, 72)}
    assert key_sets.surplus_of(kind, third, 1070.0) == key_sets.surplus_of(kind, None, 0) == ""
    assert key_sets.surplus_of(kind._replace(url="https://new.example.com/"), third, 1030.0) == ""
    # As playbook check has it.
    (tmp_path / "etc/wssgate.d").mkdir(parents=True)
    (tmp_path / "etc" / key_sets.RULES).write_text(key_sets.rules_text(rules(grace=60)))
    now = time.time()
    leaving = tuple((key, now + 60) for key, _until in third.leaving)
    state.save_known(str(tmp_path), {"main": third._replace(leaving=leaving, fetched_at=now)})
    (main, _other) = report.report(str(tmp_path / "etc"), str(tmp_path))
    assert main["problems"] == [told]


def test_a_provider_with_other_keys_at_each_fetch_fills_no_disk() -> None:
    known = None
    for turn in range(20):
        known = key_sets.accepted(source(grace=86400), known, jwks(turn * 10, turn * 10 + 10), "", 1000.0 + turn)
    assert known is not None and len(known.leaving) == jwk.KEYS_MAX
    assert {key["kid"] for key, _until in known.leaving} >= {f"k{number:03}" for number in range(130, 190)}


# -- what is kept


def test_what_is_known_survives_and_what_is_damaged_is_forgotten(tmp_path: t.Any) -> None:
    known = accepted(accepted(None, "a", "c", grace=60), "c", grace=60)
    state.save_known(str(tmp_path), {"main": known})
    assert state.load_known(str(tmp_path)) == {"main": known}
    path = tmp_path / state.KNOWN
    assert path.stat().st_mode & 0o777 == 0o600
    for text in ("", "[]", "{", '{"issuers": []}', '{"issuers": {"main": {"keys": 7}}}', "[" * 100000):
        path.write_text(text)
        assert state.load_known(str(tmp_path)) == {}


def test_keys_that_were_left_are_taken_once(tmp_path: t.Any) -> None:
    state.offer(str(tmp_path), {"main": (URL, [KEYS["a"].jwk()])})
    assert state.is_offered(str(tmp_path))
    assert state.take(str(tmp_path)) == {"main": (URL, [KEYS["a"].jwk()])}
    assert not state.is_offered(str(tmp_path)) and state.take(str(tmp_path)) is None
    (tmp_path / state.CANDIDATE).write_text("{")
    assert state.take(str(tmp_path)) is None and not state.is_offered(str(tmp_path))


# -- what is made live


def rules(**key_set: t.Any) -> t.Dict[str, t.Any]:
    given = {"url": URL, "ca_path": "", "interval": 300, "grace": 0, "algorithms": [], "start": [], **key_set}
    return {
        "": "managed",
        "issuers": {
            "main": {"issuer": "https://id.example.com", "keys": [], "key_set": given},
            "other": {"issuer": "x", "keys": [KEYS["d"].rendered()]},
        },
    }


def test_nothing_but_the_keys_of_the_issuer_changes() -> None:
    before = rules()
    text = key_activation.edited(key_sets.rules_text(before), {"main": (URL, [KEYS["a"].jwk()])})
    after = json.loads(text)
    assert after["issuers"]["main"].pop("keys") == [KEYS["a"].rendered()]
    before["issuers"]["main"].pop("keys")
    assert after == before


@pytest.mark.parametrize(
    "offered",
    [
        {},
        {"main": ("https://former.example.com/", [KEYS["a"].jwk()])},
        # It has keys of the inventory, which nobody may exchange.
        {"other": ("", [KEYS["a"].jwk()])},
        {"unknown": (URL, [KEYS["a"].jwk()])},
    ],
)
def test_keys_of_nobody_s_are_left(offered: state.Keys) -> None:
    text = key_sets.rules_text(rules())
    assert key_activation.edited(text, offered) == text


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}],
        [{**KEYS["a"].jwk(), "d": "AAAA"}],
        [KEYS["a"].jwk(), KEYS["a"].jwk()],
        [{"kid": "a", "algorithms": ["ES256"], "spki": "AAAA"}],
        ["a"],
    ],
)
def test_what_the_agent_left_is_checked_once_more(wrong: t.Any) -> None:
    with pytest.raises(key_sets.KeySetError, match="the keys of issuer main are not taken"):
        key_activation.edited(key_sets.rules_text(rules()), {"main": (URL, wrong)})


# -- what Ansible makes of it


@pytest.fixture
def look(tmp_path: t.Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Any:
    def refused(*_: t.Any) -> Known:
        raise key_sets.KeySetError("id.example.com:443 cannot be reached")

    monkeypatch.setattr(wss_key_set_info, "STATE", str(tmp_path))
    monkeypatch.setattr(wss_key_set_info, "fetch", refused)

    # Where code of the controller was imported before, Ansible shows warnings itself.
    warned: t.List[str] = []
    monkeypatch.setattr(wss_key_set_info.AnsibleModule, "warn", lambda _self, text: warned.append(text))

    def call(document: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        given = {"main": document["issuers"]["main"]["key_set"]}
        with patch_module_args({"key_sets": given, "rules": str(tmp_path / "jwt.json")}), pytest.raises(SystemExit):
            wss_key_set_info.main()
        return {**json.loads(capsys.readouterr().out), "warnings": warned}

    return call


def test_keys_without_room_are_a_warning(look: t.Any, tmp_path: t.Any) -> None:
    now = time.time()
    known = key_sets.accepted(source(grace=60), None, jwks(0, 30), "", now)
    known = key_sets.accepted(source(grace=60), known, jwks(30, 80), "", now)
    state.save_known(str(tmp_path), {"main": known})
    found = look(rules(grace=60))
    assert len(found["issuers"]["main"]["keys"]) == 64 and found["origins"] == {"main": "agent"}
    assert "16 keys that went from its set no longer count" in json.dumps(found["warnings"])


def live(tmp_path: t.Any, keys: t.List[t.Any], **key_set: t.Any) -> None:
    (tmp_path / "jwt.json").write_text(key_sets.rules_text(key_sets.merged(rules(**key_set), {"main": keys})))


def test_what_the_agent_has_fetched_comes_first(look: t.Any, tmp_path: t.Any) -> None:
    live(tmp_path, [KEYS["a"].rendered()])
    state.save_known(str(tmp_path), {"main": accepted(None, "b", now=time.time())})
    found = look(rules())
    assert found["issuers"] == {"main": {"keys": [KEYS["b"].rendered()]}} and found["origins"] == {"main": "agent"}


def test_then_what_nginx_has_from_this_url(look: t.Any, tmp_path: t.Any) -> None:
    live(tmp_path, [KEYS["a"].rendered()])
    state.save_known(str(tmp_path), {"main": accepted(None, "b")._replace(url="https://former.example.com/")})
    assert look(rules())["issuers"] == {"main": {"keys": [KEYS["a"].rendered()]}}


def test_keys_to_start_with_are_not_taken_for_fetched_ones(look: t.Any, tmp_path: t.Any) -> None:
    live(tmp_path, [KEYS["a"].rendered()], start=[KEYS["a"].rendered()])
    found = look(rules(start=[KEYS["c"].rendered()]))
    assert found["issuers"] == {"main": {"keys": [KEYS["c"].rendered()]}} and found["origins"] == {"main": "start"}


def test_without_any_key_it_is_an_error(look: t.Any, tmp_path: t.Any) -> None:
    live(tmp_path, [KEYS["a"].rendered()])
    found = look(rules(url="https://new.example.com/"))
    assert found["failed"] and "issuer 'main', jwks_url: id.example.com:443 cannot be reached" in found["msg"]


# -- what check gets


def test_the_report_has_issuers_of_both_kinds(tmp_path: t.Any) -> None:
    folder = tmp_path / "wssgate.d"
    folder.mkdir()
    live(folder, [KEYS["a"].rendered(), KEYS["c"].rendered()])
    state.save_known(
        str(tmp_path),
        {"main": accepted(None, "a", "c", now=time.time() - 1000)._replace(problem="answers with 500")},
    )
    state.save_result(str(tmp_path), "nginx refuses this configuration")
    main, other = report.report(str(tmp_path), str(tmp_path))
    assert (main["key_count"], main["kids"], main["algorithms"]) == (2, ["a", "c"], ["ES256", "PS256", "RS256"])
    assert main["jwks_url"] == URL and 1000 <= main["fetched_seconds_ago"] < 1060
    assert main["problems"] == [
        "issuer main: answers with 500, so its keys stay as they were",
        "fetched keys are not live: nginx refuses this configuration",
    ]
    assert (other["jwks_url"], other["fetched_seconds_ago"], other["problems"]) == ("", None, [])
    assert report.report(str(tmp_path / "nowhere"), str(tmp_path)) == []
