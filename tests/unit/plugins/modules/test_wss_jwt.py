# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens: what other libraries and the gate read in them, what is refused, and that no secret gets out."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import joserfc.jwk
import joserfc.jwt
import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._jwt import keys, token as tokens
from ansible_collections.wssgate.nginx.plugins.modules import wss_jwt
from ansible_collections.wssgate.nginx.plugins.module_utils._issuers import jwk
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import public_keys
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import IS_MASKED_BY_CONTROLLER, patch_module_args
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

PASSPHRASE = "e"  # in every token and every message
ISSUER = "https://id.example.com"
KEYS: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
}
FORMATS = {
    "PKCS8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
}


def pem(key: Any, passphrase: str = "", form: str = "PKCS8") -> str:
    encryption: Any = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, FORMATS[form], encryption).decode()


def public_pem(key: Any) -> str:
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(check: bool = False, **options: Any) -> dict[str, Any]:
        if "key" not in options and "key_path" not in options:
            options["key"] = pem(KEYS["P-256"])
        arguments = {"issuer": ISSUER, "audience": ["wss"], **options, "_ansible_check_mode": check}
        arguments = {name: value for name, value in arguments.items() if value is not None}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wss_jwt.main()
        text = capsys.readouterr().out
        result: dict[str, Any] = json.loads(text)
        # No line of a private key; its last ones may have the public one in them.
        shown = json.dumps({name: value for name, value in result.items() if name != "public_key"})
        given = options.get("key") or ""
        if "PRIVATE" in given:
            assert not any(line in shown for line in given.splitlines() if len(line) > 20 and "-----" not in line)
        return result

    return run


def failure(result: dict[str, Any]) -> str:
    assert result.get("failed"), result
    return str(result["msg"])


def part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


# ---- What is signed


@pytest.mark.parametrize(
    ("kind", "algorithm", "expected"),
    [
        ("P-256", None, "ES256"),
        ("P-256", "ES256", "ES256"),
        ("P-384", None, "ES384"),
        ("RSA", None, "RS256"),
        ("RSA", "RS256", "RS256"),
        ("RSA", "PS256", "PS256"),
    ],
)
def test_other_libraries_find_the_signature_right(run: Any, kind: str, algorithm: str | None, expected: str) -> None:
    result = run(key=pem(KEYS[kind]), algorithm=algorithm, subject="client-42")
    token = result["token"]
    assert result["algorithm"] == expected == part(token, 0)["alg"]
    claims = jwt.decode(token, result["public_key"], algorithms=[expected], audience="wss", issuer=ISSUER)
    assert claims["sub"] == "client-42"
    loaded = joserfc.jwk.import_key(result["public_key"], "RSA" if kind == "RSA" else "EC")
    assert joserfc.jwt.decode(token, loaded, algorithms=[expected]).claims == claims
    # What it signed with is for nothing else, and a token that was changed is nobody's.
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(token[:-8] + "AAAAAAAA", result["public_key"], algorithms=[expected], audience="wss")


def test_an_ecdsa_signature_has_its_length_in_spite_of_leading_zeros(run: Any) -> None:
    key = keys.read(pem(KEYS["P-256"]), None)
    found = {len(key.sign(str(number).encode(), "ES256")) for number in range(600)}
    # Of 600 some have r or s with a zero byte in front.
    assert found == {64}
    assert {len(keys.read(pem(KEYS["P-384"]), None).sign(str(n).encode(), "ES384")) for n in range(300)} == {96}


def test_the_claims_are_those_that_were_asked_for(run: Any) -> None:
    before = int(time.time())
    result = run(subject="client-42", ttl=60, claims={"groups": ["ops"], "level": 3, "nested": {"a": None}})
    claims = part(result["token"], 1)
    assert before <= claims["iat"] <= time.time()
    assert claims == {
        "iss": ISSUER,
        "aud": "wss",
        "sub": "client-42",
        "iat": claims["iat"],
        "exp": claims["iat"] + 60,
        "jti": result["jti"],
        "groups": ["ops"],
        "level": 3,
        "nested": {"a": None},
    }
    assert result["expires_at"] == claims["exp"] and result["subject"] == "client-42"
    assert part(result["token"], 0) == {"alg": "ES256", "kid": result["kid"], "typ": "JWT"}
    assert result["changed"] is False


def test_without_more_a_token_lives_for_a_quarter_of_an_hour_and_has_a_name_of_its_own(run: Any) -> None:
    results = [run(), run()]
    claims = [part(result["token"], 1) for result in results]
    assert all(one["exp"] == one["iat"] + 900 and "sub" not in one for one in claims)
    assert results[0]["jti"] != results[1]["jti"] and len(results[0]["jti"]) == 32
    assert results[0]["subject"] is None


def test_what_is_given_by_name_is_taken(run: Any) -> None:
    ends, begins = int(time.time()) + 500, int(time.time()) + 100
    result = run(jti="mine", kid="key-1", expires_at=ends, not_before=begins, audience=["a", "b"])
    claims = part(result["token"], 1)
    assert (claims["jti"], claims["exp"], claims["nbf"], claims["aud"]) == ("mine", ends, begins, ["a", "b"])
    assert part(result["token"], 0)["kid"] == result["kid"] == "key-1"
    assert result["token_id"] == hashlib.sha256(f"{ISSUER}\nmine".encode()).hexdigest()


def test_a_subject_beyond_ascii_is_text(run: Any) -> None:
    assert part(run(subject="Jörg 東京")["token"], 1)["sub"] == "Jörg 東京"


@pytest.mark.parametrize("kind", KEYS)
def test_the_name_of_a_key_is_its_thumbprint(run: Any, kind: str) -> None:
    result = run(key=pem(KEYS[kind]))
    expected = joserfc.jwk.import_key(result["public_key"], "RSA" if kind == "RSA" else "EC").thumbprint()
    assert result["kid"] == expected


def test_the_thumbprint_is_that_of_the_standard_s_example() -> None:
    # RFC 7638 3.1
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
        "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu"
        "6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8"
        "awapJzKnqDKgw"
    )
    modulus = int.from_bytes(base64.urlsafe_b64decode(n + "=="), "big")

    class Private(rsa.RSAPrivateKey):  # type: ignore[misc]
        """Of which the public half alone is known."""

        def public_key(self) -> Any:
            return rsa.RSAPublicNumbers(65537, modulus).public_key()

    Private.__abstractmethods__ = frozenset()
    assert keys.SigningKey(Private(), ()).thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("kind", KEYS)
def test_a_gate_takes_the_public_key(run: Any, kind: str) -> None:
    result = run(key=pem(KEYS[kind]))
    (found,) = public_keys.read(result["public_key"])
    assert list(found.algorithms) == result["algorithms"]


def test_what_is_signed_here_and_what_a_gate_takes_are_the_same() -> None:
    assert keys.ALGORITHMS == jwk.ALGORITHMS == tuple(wss_jwt.argument_spec()["algorithm"]["choices"])
    assert (keys.RSA_MIN_BITS, keys.RSA_MAX_BITS) == (jwk.RSA_MIN_BITS, jwk.RSA_MAX_BITS)
    assert [(one[1],) for one in keys.CURVES.values()] == list(jwk.EC_ALGORITHMS.values())
    script = (Path(__file__).parents[4] / "roles/wss_proxy/files/jwt.js").read_text(encoding="utf-8")
    for name in ("TOKEN_MAX_LENGTH", "SUBJECT_MAX_LENGTH", "DEPTH_MAX", "TIME_MAX"):
        assert f"const {name} = {getattr(tokens, name)};" in script


# ---- Keys


@pytest.mark.skipif(IS_MASKED_BY_CONTROLLER, reason="ansible-core hides what is short itself")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_read_from_a_file_encrypted_or_not(run: Any, tmp_path: Path, kind: str, form: str) -> None:
    path = tmp_path / "key"
    for passphrase in ("", PASSPHRASE):
        path.write_text(pem(KEYS[kind], passphrase, form))
        path.chmod(0o600)
        before = path.stat()
        result = run(key_path=str(path), key_passphrase=passphrase or None)
        assert public_pem(KEYS[kind]) == result["public_key"]
        # A passphrase of one letter is not cut out of the token.
        jwt.decode(result["token"], result["public_key"], algorithms=result["algorithms"], audience="wss")
        assert str(path) not in str(result.get("warnings"))
        assert os.listdir(tmp_path) == ["key"] and path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    "command",
    [
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        # With the curve's parameters in front
        ["ecparam", "-name", "prime256v1", "-genkey"],
    ],
)
def test_what_openssl_makes_is_read(run: Any, command: list[str]) -> None:
    made = subprocess.run(["openssl", *command], capture_output=True, text=True, check=True).stdout
    assert run(key=made)["token"]


@pytest.mark.skipif(IS_MASKED_BY_CONTROLLER, reason="ansible-core hides what is short itself")
def test_the_invocation_has_no_secret(run: Any) -> None:
    result = run(key=pem(KEYS["P-256"], PASSPHRASE), key_passphrase=PASSPHRASE)
    arguments = result["invocation"]["module_args"]
    assert arguments["key"] == arguments["key_passphrase"] == wss_jwt.HIDDEN
    assert arguments["issuer"] == ISSUER
    assert result["token"] not in json.dumps(result["invocation"])


def test_a_key_that_everybody_can_read_is_warned_about(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(pem(KEYS["P-256"]))
    path.chmod(0o644)
    assert f"key_path {path} can be read by everybody" in str(run(key_path=str(path))["warnings"])


def openssh(key: Any) -> str:
    encryption = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption).decode()


BROKEN = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("key", "passphrase", "words"),
    [
        (lambda: public_pem(KEYS["P-256"]), None, "it is a public key (PUBLIC KEY)"),
        (
            lambda: "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
            None,
            "it is a public key (CERTIFICATE)",
        ),
        (lambda: "", None, "it has no private key in PEM"),
        (lambda: "hello", None, "it has no private key in PEM"),
        (lambda: "$ANSIBLE_VAULT;1.1;AES256\n3061\n", None, "still encrypted by ansible-vault"),
        (lambda: openssh(KEYS["P-256"]), None, "it is a key for SSH"),
        (lambda: BROKEN, None, "it cannot be read as a private key"),
        (lambda: pem(KEYS["P-256"]) + pem(KEYS["RSA"]), None, "it has 2 private keys"),
        (lambda: pem(KEYS["P-256"], "correct horse"), None, "it is encrypted; give its passphrase"),
        (lambda: pem(KEYS["P-256"], "correct horse"), "", "it is encrypted; give its passphrase"),
        (lambda: pem(KEYS["P-256"], "correct horse"), "battery staple", "is key_passphrase right"),
        (lambda: pem(KEYS["RSA"], "correct horse", "traditional"), "battery staple", "is key_passphrase right"),
        (lambda: pem(KEYS["RSA"], "correct horse", "traditional"), None, "it is encrypted; give its passphrase"),
        (lambda: pem(KEYS["P-256"]), "correct horse", "it is not encrypted; leave key_passphrase out"),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), None, "it is on the curve secp256k1"),
        (lambda: pem(ec.generate_private_key(ec.SECP521R1())), None, "it is on the curve secp521r1"),
        (lambda: pem(rsa.generate_private_key(65537, 1024)), None, "it is RSA with 1024 bits"),
        (lambda: pem(ed25519.Ed25519PrivateKey.generate()), None, "it is neither EC nor RSA but Ed25519"),
        (lambda: pem(dsa.generate_private_key(1024)), None, "it is neither EC nor RSA but DSA"),
    ],
)
def test_a_wrong_key_is_told_apart(run: Any, tmp_path: Path, key: Any, passphrase: str | None, words: str) -> None:
    text = key()
    message = failure(run(key=text, key_passphrase=passphrase))
    assert message.startswith("key: it ") and words in message
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    message = failure(run(key_path=str(path), key_passphrase=passphrase))
    assert message.startswith(f"key_path {path}: ") and words in message
    assert not passphrase or f"'{passphrase}'" not in message


def test_a_file_that_is_none_is_refused(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert failure(run(key_path=str(path))) == f"key_path {path} is not there"
    path.mkdir()
    assert "is not a regular file" in failure(run(key_path=str(path)))
    link = tmp_path / "link"
    real = tmp_path / "real"
    real.write_text(pem(KEYS["P-256"]))
    link.symlink_to(real)
    assert "is a symlink, which is not followed" in failure(run(key_path=str(link)))


# ---- What is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": 0}, "ttl must be a number of seconds above 0, not 0"),
        ({"ttl": -5}, "ttl must be a number of seconds above 0, not -5"),
        ({"ttl": 86401}, "ttl is 86401 seconds ahead, and max_token_lifetime is 86400"),
        ({"ttl": 61, "max_token_lifetime": 60}, "max_token_lifetime is 60"),
        ({"max_token_lifetime": 0}, "max_token_lifetime must be above 0"),
        ({"expires_at": 1}, "expires_at 1 is not in the future"),
        ({"expires_at": 253402300800, "max_token_lifetime": 2**60}, "is not in the future"),
        ({"expires_at": 4102444800}, "max_token_lifetime is 86400"),
        ({"not_before": 4102444800}, "not_before 4102444800 is not before the end"),
        ({"not_before": -1}, "not_before -1 is not before the end"),
        ({"algorithm": "ES384"}, "algorithm ES384 does not fit the key, which is for ES256"),
        ({"algorithm": "RS256"}, "algorithm RS256 does not fit the key"),
        ({"algorithm": "HS256"}, "value of algorithm must be one of"),
        ({"algorithm": "none"}, "value of algorithm must be one of"),
        ({"issuer": "https://id.example.com/ö"}, "issuer must be"),
        ({"issuer": ""}, "issuer must be"),
        ({"audience": []}, "audience is empty"),
        ({"audience": ["wss", ""]}, "audience '' must be"),
        ({"subject": ""}, "subject must be text without control characters"),
        ({"subject": "a\nb"}, "subject must be text without control characters"),
        ({"subject": "a\x01"}, "subject must be text without control characters"),
        ({"subject": "a" * 257}, "subject is longer than 256"),
        ({"subject": "ö" * 43}, "subject is longer than 256"),
        ({"jti": "a\x7f"}, "jti must be text without control characters"),
        ({"jti": ""}, "jti must be text"),
        ({"kid": "a b"}, "kid must be 1 to 255 visible ASCII characters"),
        ({"claims": {"iss": "x"}}, "claims has iss, which has an option of its own: issuer"),
        ({"claims": {"sub": "x"}}, "claims has sub, which has an option of its own: subject"),
        ({"claims": {"aud": "x"}}, "claims has aud, which has an option of its own: audience"),
        ({"claims": {"exp": 1}}, "claims has exp, which has an option of its own: ttl or expires_at"),
        ({"claims": {"nbf": 1}}, "claims has nbf, which has an option of its own: not_before"),
        ({"claims": {"jti": "x"}}, "claims has jti, which has an option of its own: jti"),
        ({"claims": {"iat": 1}}, "claims has iat, which is the time of the signature"),
        ({"claims": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}}, "more than 8 levels"),
        ({"claims": {"a": "x" * 6000}}, "characters long, and a gate takes 8192"),
        ({"ttl": 60, "expires_at": 1}, "mutually exclusive"),
        ({"key": None, "key_path": None}, "one of the following is required: key_path, key"),
        ({"key_path": "/x", "key": "-----"}, "mutually exclusive"),
    ],
)
def test_what_a_gate_would_refuse_is_not_signed(run: Any, options: dict[str, Any], words: str) -> None:
    for check in (False, True):
        result = run(check=check, **options)
        assert words in failure(result)
        assert "token" not in result


def test_claims_at_the_bounds_are_signed(run: Any) -> None:
    claims = {"a": {"b": {"c": {"d": {"e": {"f": {"g": {}}}}}}}}
    assert run(claims=claims, subject="a" * 256, ttl=86400)["token"]
    assert run(subject="ö" * 42)["token"]


def test_what_json_has_no_form_for_is_refused() -> None:
    key = keys.read(pem(KEYS["P-256"]), None)
    for claims in ({"a": float("nan")}, {"a": b"bytes"}, {"a": "\ud800"}):
        with pytest.raises(tokens.TokenFaultError, match="what JSON has no form for"):
            tokens.draft(tokens.Wanted("iss", ["wss"], ttl=1, claims=claims), key, 0)


def test_a_name_is_there_once_whatever_it_was_before() -> None:
    key = keys.read(pem(KEYS["P-256"]), None)
    parts = tokens.draft(tokens.Wanted("iss", ["wss"], ttl=1, claims={1: "a", "1": "b"}), key, 0)
    token = tokens.sign(parts, key)
    text = token.split(".")[1]
    assert base64.urlsafe_b64decode(text + "==").count(b'"1":') == 1


def test_a_long_token_is_warned_about(run: Any) -> None:
    assert "a browser may drop it" in str(run(claims={"a": "x" * 3000})["warnings"])


def test_check_mode_signs_nothing(run: Any) -> None:
    result = run(check=True, subject="client-42", ttl=60)
    assert not {"token", "jti", "token_id"} & set(result)
    assert result["subject"] == "client-42" and result["public_key"] == public_pem(KEYS["P-256"])
    assert run(check=True, jti="mine")["jti"] == "mine"


def test_a_missing_library_is_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "CRYPTOGRAPHY_ERROR", "No module named 'cryptography'")
    assert "cryptography >= 3.3" in failure(run())
