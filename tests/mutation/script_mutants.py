# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the tests notice when something small is wrong in jwt.js, which judges signed tokens?

Each of script_syntax's mutants is first asked for the answers that tests/functional/test_jwt.py goes by: the table of
attacks, the table of answers, the known vectors, and random tokens beside the model. What passes all that is tried by
test_jwt.py and test_jwt_gate.py themselves, in a copy of the checkout. Prints what notices each; exits 1 when one goes
unnoticed that is not in EXPLAINED. `make mutants ARGS='WORDS…'` tries only those whose names contain all the words.

WSSGATE_NGINX and WSSGATE_NJS_MODULE name another nginx, see lib/local_gate.py.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import issuers, public_keys
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.context import Gate

from lib import jwt_answers, jwt_attacks
from lib.jwt_fuzz import Fuzz
from lib.jwt_judge import JWT, Judge
from lib.jwt_model import Model

from .code_mutants import COPIED, LIMIT, HarnessError
from .script_syntax import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/functional/data/wycheproof"
TESTS = ("tests/functional/test_jwt.py", "tests/functional/test_jwt_gate.py")
TOKENS = 3000
SEED = 1
# A mutant that does not end is noticed, too.
PATIENCE = 20.0
WORKERS = 2

# What nobody notices: a mutant's name, or its beginning and a star, and why.
EXPLAINED: tuple[tuple[str, str], ...] = (
    # Another way to the same answer.
    (
        r"FORM: /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)(?![\s\S])/ -> /^([A-Za-z0-9_-]*)*",
        "nothing is no JSON",
    ),
    (r'JSON_NAME: /""[ \t\r\n]*:/g -> /"[ \t\r\n]*:/g', 'each text is "" by then'),
    (
        r"JSON_VALUE: …0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![\s\S])/ -> …0-9]+)?(?:[eE][+-]?[0-9]*)?)(?![\s\S])/",
        "JSON.parse refuses it, too",
    ),
    (
        r"LIFETIME: /^([0-9]{1,10})-([0-9]{1,10})(?![\s\S])/ -> /^([0-9]{1,9})*",
        "so many seconds are more than a token has",
    ),
    ("parsed: skeleton.match(JSON_WORD) || [] -> skeleton*", "where JavaScript finds null, njs finds an empty list"),
    ("parsed: skeleton.match(JSON_NAME) || [] -> skeleton*", "where JavaScript finds null, njs finds an empty list"),
    ("includes: < -> <=", "nothing in jwt.json is undefined"),
    ("includes: return false; -> return undefined;", "neither is true"),
    ("candidates: isNamed -> true", "what kid is counts below only where one is named"),
    ("isSignedBy: false -> true", "whether a key may be taken out again: nobody does"),
    ("isSigned: return false; -> return undefined;", "neither is true"),
    ("scopes: has(claims, name) -> true", "no claim is undefined, and no rule wants that"),
    ("checkRequirements: < -> <= (2)", "nothing that was found is undefined"),
    ("checkRevocations: '' -> 'x'", "a name for no subject, which is not looked up"),
    ("checkRevocations: parseInt(text, 10) -> text", "a comparison makes a number of digits, too"),
    (r"encoded: /[^ -$&-+\--~]+/g -> /[^ -$&-+\--~]/g", "a character at a time; njs has whole ones"),
    (r"encoded: /[^ -$&-+\--~]+/g -> /[^ -$&-+\--~]*/g", "nothing, encoded, is nothing"),
    ("encoded: /^ +| +$/g -> /^ *| +$/g", "nothing, encoded, is nothing"),
    ("encoded: /^ +| +$/g -> /^ +| *$/g", "nothing, encoded, is nothing"),
    ("lifetime: '' -> 'x'", "nobody looks at the whole of what was found"),
    ("judge: has(claims, 'sub') -> true", "what is no text is encoded to nothing"),
    ("answer: '' -> 'x'", "the one is no token, like the other"),
    # What only time, or another njs, tells.
    ("ALGORITHMS: , point: *", "the same key in another form, which costs more"),
    ("ALGORITHMS: , hash: 'SHA-256' -> nothing*", "but for 0.7.9, njs takes SHA-256 where none is named"),
    ("material: rules.point && njs.version_number >= 0x000800 -> *", "0.7.9 takes no points: make jwt-engines notices"),
    ("material: >= -> *", "0.7.9 takes no points: make jwt-engines notices"),
    ("material: 0x000800 -> *", "no njs is called so"),
)

Check = tuple[str, Callable[[Judge], str]]


class Suite:
    """Questions to a judge, with the answers that they must get; the cheap ones first."""

    def __init__(self) -> None:
        self.by = jwt_attacks.Signers()
        options = self.by.options()
        gate = Gate({"issuers": options})
        self.issuers = issuers.for_nginx(issuers.read(gate, options))
        assert not gate.problems.found
        self.names = issuers.answer_headers(issuers.read(gate, options).values())
        self.checks: list[Check] = [
            ("the table of attacks", self._table),
            ("the table of answers", self._answers),
            ("known tokens", self._known),
            ("known signatures", self._signatures),
            ("random tokens", self._random),
            ("a store that is not there", self._store),
        ]
        self.rows = jwt_attacks.rows(self.by)
        self.known = list(_known())
        self.signatures = list(_signatures())
        fuzz = Fuzz(self.by, SEED)
        self.tokens = [fuzz.token() for _ in range(TOKENS)]
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder)
            for kind in ("jti", "sub"):
                (store / kind).mkdir()
            jwt_attacks.revoke(store)
            model = Model(options, store)
            self.expected = [model.judged(token, jwt_attacks.NOW) for token in self.tokens]

    def first(self, script: str) -> str:
        """What fails first with this for jwt.js, or nothing."""
        try:
            with Judge(self.issuers, script, PATIENCE) as judge:
                jwt_attacks.revoke(judge.store)
                for name, check in self.checks:
                    try:
                        if complaint := check(judge):
                            return f"{name}: {complaint}"
                    except Exception as error:
                        # Whatever it is: from jwt.js as it is, nothing comes.
                        return f"{name}: {error!r}"
                # What is refused is no error.
                if found := re.search(r"exited on signal|\[error\].*", judge.error_log()):
                    return f"error.log: {found[0]}"
        except AssertionError as error:
            return f"nginx itself: {str(error).strip().splitlines()[-1]}"
        return ""

    def _table(self, judge: Judge) -> str:
        for names in dict.fromkeys(row.issuers for row in self.rows):
            rows = [row for row in self.rows if row.issuers == names]
            answers = judge.judged([row.token for row in rows], jwt_attacks.NOW, names)
            for row, answer in zip(rows, answers, strict=True):
                if answer["reason"] != row.reason:
                    return row.name
                for header, text in (row.headers or {}).items():
                    if answer["headers"].get(f"Wssgate-Claim-{self.names.index(header)}") != text:
                        return row.name
        return ""

    def _answers(self, judge: Judge) -> str:
        return next(filter(None, (jwt_answers.complaint(judge, self.by, row) for row in jwt_answers.ANSWERS)), "")

    def _known(self, judge: Judge) -> str:
        answers = judge.signed([(text, keys) for _, text, keys, _ in self.known])
        return next(
            (
                name
                for (name, _, _, is_right), answer in zip(self.known, answers, strict=True)
                if (answer == "signed") != is_right
            ),
            "",
        )

    def _signatures(self, judge: Judge) -> str:
        answers = judge.verified([case for case, _ in self.signatures])
        wrong = [case for (case, right), answer in zip(self.signatures, answers, strict=True) if answer != right]
        return str(wrong[0]["message"]) if wrong else ""

    def _random(self, judge: Judge) -> str:
        answers = judge.judged(self.tokens, jwt_attacks.NOW)
        for token, expected, answer in zip(self.tokens, self.expected, answers, strict=True):
            if expected != answer:
                return f"{token[:40]}… {answer['reason'] or 'passes'} instead of {expected['reason'] or 'passing'}"
        return ""

    def _store(self, judge: Judge) -> str:
        token = self.by.es256.sign(jwt_attacks.claims())
        for kind in ("jti", "sub"):
            aside = (judge.store / kind).rename(judge.store / "aside")
            (answer,) = judge.judged([token], jwt_attacks.NOW)
            aside.rename(judge.store / kind)
            if answer != {"reason": "jwt_store"}:
                return kind
        return ""


def _groups(name: str) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    for group in json.loads((VECTORS / name).read_text())["testGroups"]:
        jwk = group.get("public") or group.get("private")
        with contextlib.suppress(public_keys.KeyProblemError):
            keys = public_keys.read(json.dumps({"keys": [jwk]}) if jwk else group["publicKeyPem"])
            yield group["tests"], [key._asdict() for key in keys]


# As test_jwt.py has it: signed well, with an algorithm that is not taken, or without claims.
OTHERWISE = {346, 350, 259, 272}


def _known() -> Iterator[tuple[str, str, Any, bool]]:
    for tests, keys in _groups("json_web_signature_test.json"):
        for case in tests:
            text = case["jws"] if isinstance(case["jws"], str) else json.dumps(case["jws"])
            yield case["comment"], text, keys, case["result"] == "valid" and case["tcId"] not in OTHERWISE


def _signatures() -> Iterator[tuple[dict[str, Any], bool]]:
    for tests, keys in _groups("ecdsa_secp256r1_sha256_p1363_test.json"):
        for case in tests:
            asked = {"key": keys[0], "algorithm": "ES256", "message": case["msg"], "signature": case["sig"]}
            yield asked, case["result"] == "valid"


def by_tests(copy: Path, script: str) -> str:
    """The test that fails in a copy of the checkout with this for jwt.js, or nothing."""
    (copy / JWT.relative_to(ROOT)).write_text(script)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *TESTS],
            cwd=copy, capture_output=True, text=True, timeout=2 * LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"a test that did not end in {2 * LIMIT} s"
    if done.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) \S*?([^/\s]+::.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or not failed:
        raise HarnessError(f"pytest, exit {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    return failed[1]


def is_meant(part: str, mutant: Mutant) -> bool:
    return mutant.name.startswith(part[:-1]) if part.endswith("*") else mutant.name == part


def reason_of(mutant: Mutant) -> str:
    return next((why for part, why in EXPLAINED if is_meant(part, mutant)), "")


def main() -> int:
    words = sys.argv[1:]
    source = JWT.read_text()
    known = mutants(JWT)
    chosen = [mutant for mutant in known if all(word in f"{JWT.name} {mutant.name}" for word in words)]
    if not chosen:
        print(f"nothing in {JWT.name} is named so")
        return 0
    start = time.monotonic()
    suite = Suite()
    for _ in range(2):
        if failed := suite.first(source):
            print(f"{JWT.name} as it is fails: {failed}")
            return 1
    print(f"{JWT.name} as it is: nothing fails; {len(chosen)} mutants", flush=True)
    left: list[Mutant] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, noticed in zip(chosen, pool.map(lambda one: suite.first(one.of(source)), chosen), strict=True):
            if noticed:
                print(f"ok   {mutant.line} {mutant.name}: {ascii(noticed)[1:-1][:100]}", flush=True)
            else:
                left.append(mutant)
    print(f"{len(left)} of {len(chosen)} left for the tests themselves, {time.monotonic() - start:.0f} s", flush=True)
    unnoticed = explained = errors = 0
    with tempfile.TemporaryDirectory(prefix="wssgate-mutants-") as folder:
        copy = Path(folder)
        for name in (*COPIED, "tests/functional", "docs"):
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name,
                    copy / name,
                    ignore=shutil.ignore_patterns("__pycache__", ".venv"),
                    dirs_exist_ok=True,
                )
            else:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        for mutant in left:
            # An explanation counts only while nothing notices; to look again, take it out.
            reason = reason_of(mutant)
            noticed = ""
            if not reason:
                try:
                    noticed = by_tests(copy, mutant.of(source))
                except HarnessError as error:
                    errors += 1
                    print(f"ERR  {mutant.line} {mutant.name}: {error}", flush=True)
                    continue
            unnoticed += not noticed and not reason
            explained += bool(reason)
            verdict = "ok  " if noticed else "know" if reason else "MISS"
            print(f"{verdict} {mutant.line} {mutant.name}: {noticed or reason or 'nothing notices'}", flush=True)
    print(
        f"{len(chosen)} mutants of {JWT.name}, {explained} explained, {unnoticed} unnoticed, {errors} with an error of "
        f"the tests themselves; {time.monotonic() - start:.0f} s"
    )
    for part, _why in EXPLAINED:
        if not words and not any(is_meant(part, mutant) for mutant in known):
            print(f"an explanation for what is not there any more: {part}")
            return 1
    return 1 if unnoticed or errors else 0


if __name__ == "__main__":
    sys.exit(main())
