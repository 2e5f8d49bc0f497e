# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate and a model of its rules, written by hand, agree on every request that a fuzzer thinks of.

WSSGATE_FUZZ_BATCHES (600; 40 requests each) sets how long it goes on, WSSGATE_FUZZ_SEED repeats a run: each run prints
its own. They come from hypothesis, which shrinks what it finds; a sixth as many more from a random number generator
alone. A failure shows the bytes of the one request on which gate and model differ.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lib.fuzz_cases import (
    INVALID_TOKENS,
    ISSUERS,
    LOCATIONS,
    PASSWORD,
    SIGNED_TOKENS,
    USERNAME,
    VALID_TOKENS,
    Case,
    chosen_by,
    honest,
    make,
)
from lib.head_echo import HeadEcho
from lib.http_client import Answer, Client
from lib.jwt_model import Model
from lib.local_gate import LocalGate, LocalNginx, free_port
from lib.model import Rules, Verdict, judge
from lib.processes import wait_for

BATCHES = int(os.environ.get("WSSGATE_FUZZ_BATCHES", "600"))
SEED = int(os.environ.get("WSSGATE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
BATCH_SIZE = 40

# What a case's choices take. Hypothesis draws them for some cases at a time: to draw each choice takes ten times as
# long as to try it.
CASE_BYTES = 48
DRAWN = 8


def decoded(data: bytes) -> Case:
    """The case that these bytes choose: one a choice, two among many options. Zeros are an honest handshake."""
    source = iter(data)

    def pick(options: Sequence[Any]) -> Any:
        index = next(source, 0)
        if len(options) > 256:
            index = index << 8 | next(source, 0)
        return options[index % len(options)]

    return make(pick)


def decoded_all(parts: list[bytes]) -> list[Case]:
    data = b"".join(parts)
    return [decoded(data[start : start + CASE_BYTES]) for start in range(0, len(data), CASE_BYTES)]


batches = st.lists(
    st.binary(min_size=DRAWN * CASE_BYTES, max_size=DRAWN * CASE_BYTES),
    min_size=BATCH_SIZE // DRAWN,
    max_size=BATCH_SIZE // DRAWN,
).map(decoded_all)

# What the gate writes to the upstream under names that a client may try to take for itself.
FIXED_HEADERS = {
    "upgrade": "websocket",
    "connection": "upgrade",
    "x-forwarded-proto": "http",
}
ADDRESS_HEADERS = ("x-client-ip", "x-real-ip", "x-forwarded-for")
# As many requests are under way at a time, each from an address of its own, by which the log tells them apart.
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 10))


class Comparison:
    """A gate, what is behind it, and the model of it."""

    def __init__(self, nginx: LocalNginx, port: int, head_echo: HeadEcho, rules: Rules) -> None:
        self.nginx, self.head_echo, self.rules = nginx, head_echo, rules
        self.askers = [Client(port, address) for address in ADDRESSES]
        self.seen: Counter[int] = Counter()
        self.log = nginx.access_log.open(errors="replace")

    def check(self, batch: list[Case]) -> None:
        self.log.seek(0, os.SEEK_END)
        count = self.head_echo.count
        verdicts = [
            judge(self.rules, case.request_line, case.lines, self.askers[number % len(self.askers)].address)
            for number, case in enumerate(batch)
        ]
        for start in range(0, len(batch), len(self.askers)):
            # The last group may have fewer cases than there are askers.
            group = list(zip(self.askers, batch[start:], verdicts[start:], strict=False))
            for asker, case, _verdict in group:
                asker.send(case.encode())
            answers = [asker.receive() for asker, _case, _verdict in group]
            for answer, (asker, case, verdict) in zip(answers, group, strict=True):
                problem = differs(verdict, answer, asker.address)
                assert not problem, (
                    f"{problem}\n  the model: {verdict.status} {verdict.reason}\n"
                    f"  the gate:  {answer.status} {answer.headers}\n"
                    f"  request:   {case.encode()!r}"
                )
                self.seen[answer.status] += 1
        opened = [verdict for verdict in verdicts if verdict.status in (101, 200)]
        assert self.head_echo.count - count == len(opened), "a refused request reached the upstream"
        self.check_log(batch, verdicts)

    def check_log(self, batch: list[Case], verdicts: list[Verdict]) -> None:
        """One line each, with the reason of the refusal."""
        text = ""

        def is_complete() -> bool:
            nonlocal text
            text += self.log.read()
            return text.count("\n") >= len(verdicts)

        wait_for(is_complete)
        entries: dict[str, list[dict[str, Any]]] = {}
        for line in text.splitlines():
            entry = json.loads(line)
            entries.setdefault(entry["client"], []).append(entry)
        for number, asker in enumerate(self.askers):
            mine = slice(number, None, len(self.askers))
            for entry, case, verdict in zip(entries.get(asker.address, []), batch[mine], verdicts[mine], strict=True):
                logged = (entry["status"], entry["reason"], entry["location"])
                wanted = (
                    verdict.status or entry["status"],
                    verdict.reason,
                    verdict.location.path.decode() if verdict.location else "",
                )
                assert logged == wanted, (
                    f"the log says {logged}, the model {wanted}: {entry}\n  request: {case.encode()!r}"
                )
        assert not any(token.decode() in text for token in VALID_TOKENS + SIGNED_TOKENS), "a token is in the log"


def differs(verdict: Verdict, answer: Answer, address: str) -> str:
    """What is wrong with the answer, or nothing."""
    if answer.status != verdict.status:
        return f"status {answer.status} instead of {verdict.status}"
    if verdict.status not in (101, 200):
        for name in ("Upgrade", "Allow", "WWW-Authenticate"):
            wanted = verdict.headers.get(name, [])
            if answer.status and answer.all(name) != wanted:
                return f"{name} {answer.all(name)} instead of {wanted}"
        return ""
    if verdict.method == b"HEAD":
        return ""
    head = answer.tunnel if verdict.status == 101 else answer.body
    first, *lines = head.decode("latin-1").split("\r\n")
    if first != f"{verdict.method.decode()} {verdict.target.decode('latin-1')} HTTP/1.1":
        return f"the upstream was asked {first!r}"
    got: dict[str, list[str]] = {}
    for line in lines:
        name, _colon, value = line.partition(":")
        got.setdefault(name.lower(), []).append(value.strip(" "))
    wanted_headers = {name: [value] for name, value in FIXED_HEADERS.items()} | {
        name: [address] for name in ADDRESS_HEADERS
    }
    if verdict.status == 200:
        wanted_headers |= {"upgrade": [], "connection": ["close"]}
    wanted_headers["host"] = [verdict.host.decode("latin-1")]
    wanted_headers["cookie"] = [cookie.decode("latin-1").strip(" ") for cookie in verdict.cookies]
    wanted_headers["origin"] = [origin.decode("latin-1") for origin in verdict.origin]
    wanted_headers["authorization"] = wanted_headers["forwarded"] = wanted_headers["x-client-subject"] = []
    for name, wanted in wanted_headers.items():
        if got.get(name, []) != wanted:
            return f"the upstream got {name} {got.get(name, [])} instead of {wanted}"
    return ""


def is_joining(nginx: LocalNginx) -> bool:
    version = re.search(r"nginx/(\d+)\.(\d+)", nginx.command("-v").stderr)
    assert version
    return tuple(map(int, version.groups())) >= (1, 23)


@pytest.fixture(scope="module")
def head_echo() -> Iterator[HeadEcho]:
    head_echo = HeadEcho()
    yield head_echo
    head_echo.close()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(head_echo: HeadEcho, port: int) -> Iterator[LocalGate]:
    locations = [
        {
            "path": location.path.decode(),
            "upstream": f"http://127.0.0.1:{head_echo.port}",
            "auth": location.auth,
            "cookie_name": location.cookie.decode(),
            "origins": [origin.decode() for origin in location.origins],
            "allow_missing_origin": location.is_missing_origin_allowed,
            "allow_from": list(location.allow),
            "deny_from": list(location.deny),
        }
        | ({"http": {"methods": [method.decode() for method in location.methods]}} if location.methods else {})
        | ({"sources": list(location.sources)} if location.sources != ("cookie",) else {})
        | ({"sources": list(location.sources), "issuers": ["main"]} if "jwt" in location.auth else {})
        | ({"htpasswd_file": "@passwords@"} if "basic" in location.auth else {})
        for location in LOCATIONS
    ]
    local_gate = LocalGate([], token_store_pruner="agent", wss_proxy_issuers=ISSUERS)
    passwords = local_gate.etc / "passwords"
    digest = base64.b64encode(hashlib.sha1(PASSWORD).digest())
    passwords.write_bytes(USERNAME + b":{SHA}" + digest + b"\n")
    for location in locations:
        if "htpasswd_file" in location:
            location["htpasswd_file"] = str(passwords)
    local_gate.variables["wss_proxy_servers"] = [
        {
            "name": "gate",
            "server_names": ["gate.example.com"],
            "locations": locations,
            "listen": [{"address": "127.0.0.1", "port": port, "tls": False, "default_server": True}],
        }
    ]
    local_gate.variables["htpasswd_files"] = [{"path": str(passwords), "users": []}]
    for token in VALID_TOKENS:
        local_gate.issue(token.decode())
    for trap in INVALID_TOKENS:
        if b"/" not in trap and trap.strip(b"."):
            local_gate.issue(os.fsdecode(trap))
    (local_gate.tokens / "directory-in-the-store").unlink()
    (local_gate.tokens / "directory-in-the-store").mkdir()
    with local_gate:
        yield local_gate


@pytest.fixture(scope="module")
def rules(local_gate: LocalGate) -> Rules:
    model = Model(ISSUERS, local_gate.root / "revoked")

    @functools.cache
    def signed(token: bytes) -> str:
        """All that is said of them stays true for a day."""
        return str(model.judged(token.decode(), time.time())["reason"])

    return Rules(LOCATIONS, frozenset(VALID_TOKENS), USERNAME, PASSWORD, is_joining(local_gate), signed)


def test_every_location_accepts_an_honest_handshake_and_honest_plain_requests(
    local_gate: LocalGate, head_echo: HeadEcho, port: int, rules: Rules
) -> None:
    comparison = Comparison(local_gate, port, head_echo, rules)
    for location in LOCATIONS:
        words, lines = honest(location, VALID_TOKENS[1])
        comparison.check([Case(b" ".join(words), tuple(lines))])
    for location in LOCATIONS:
        words, lines = honest(location, VALID_TOKENS[1])
        plain = [line for line in lines if not line.startswith((b"Upgrade:", b"Connection:", b"Sec-WebSocket-"))]
        for method in location.methods:
            comparison.check([Case(b" ".join([method, *words[1:]]), tuple(plain))])
    assert comparison.seen == {101: len(LOCATIONS), 200: sum(len(location.methods) for location in LOCATIONS)}


def test_a_path_too_long_for_the_matcher_is_refused(
    local_gate: LocalGate, head_echo: HeadEcho, port: int, rules: Rules
) -> None:
    """PCRE's compiler (pcre_jit) gives up on a path of many parts; nginx then takes the default of the map."""
    other = free_port()

    def edit(path: str, text: str) -> str:
        return "pcre_jit on;\n" + text if path == "nginx.conf" else text

    with local_gate.copy(edit, {port: other}) as copy:
        comparison = Comparison(copy, other, head_echo, rules)
        words, lines = honest(LOCATIONS[0], VALID_TOKENS[1])
        for path in (b"/shop/" + b";/" * 3500 + b"Staff/x", b"/app/.." + b"%20" * 2600):
            comparison.check([Case(b" ".join([words[0], path, words[2]]), tuple(lines))])


@pytest.fixture
def comparison(
    local_gate: LocalGate, head_echo: HeadEcho, port: int, rules: Rules, capsys: pytest.CaptureFixture[str]
) -> Iterator[Comparison]:
    """Prints what it has seen, failed or not."""
    comparison = Comparison(local_gate, port, head_echo, rules)
    start = time.monotonic()
    yield comparison
    seconds = time.monotonic() - start
    with capsys.disabled():
        print(
            f"\n  {comparison.seen.total()} requests in {seconds:.1f} s, WSSGATE_FUZZ_SEED={SEED}: "
            f"{dict(sorted(comparison.seen.items()))}"
        )


def test_the_gate_and_the_model_agree_on_what_hypothesis_tries(comparison: Comparison) -> None:
    @hypothesis.seed(SEED)
    @settings(max_examples=BATCHES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @hypothesis.given(batches)
    def agree(batch: list[Case]) -> None:
        comparison.check(batch)

    agree()
    is_varied(comparison)


def test_the_gate_and_the_model_agree_on_many_random_requests(comparison: Comparison) -> None:
    source = random.Random(SEED)
    for _ in range(max(BATCHES // 6, 1)):
        comparison.check([chosen_by(source) for _ in range(BATCH_SIZE)])
    is_varied(comparison)


def is_varied(comparison: Comparison) -> None:
    """Each answer was seen, and enough of them got in for the way to the upstream to be tried, too."""
    assert comparison.seen[101] > comparison.seen.total() / 20
    assert comparison.seen[200] > comparison.seen.total() / 40
    assert set(comparison.seen) >= {0, 101, 200, 400, 401, 403, 404, 405, 426, 505}


# -- each guard is missed
# --------------------------------------------------------------------------------------------------

HANDSHAKE, SERVER, GATE = "wssgate.d/handshake.inc", "wssgate.d/server_gate.conf", "wssgate.d/gate.conf"
IF = r"if \(%s[^{]*\) \{[^}]*\}"
IF_ORIGIN = r'if \(\$(?:http_origin|wss_page) !~\* "[^"]*"\) \{[^}]*\}'

# What is taken out or weakened: the file, what stands there, and what stands there instead.
GUARDS = {
    "HTTP/1.1 only": (HANDSHAKE, IF % r"\$server_protocol", ""),
    "GET only": (HANDSHAKE, IF % r"\$request_method", ""),
    "an Upgrade": (HANDSHAKE, IF % r"\$wss_upgrade", ""),
    "a Connection": (HANDSHAKE, IF % r"\$wss_connection", ""),
    "no h2c": (GATE, r"websocket 1;", "websocket 1; h2c 1;"),
    "the word upgrade in Connection, not the letters": (GATE, r'"~\*\^[^"]*upgrade[^"]*"', '"~*upgrade"'),
    "the addresses that are allowed": (SERVER, IF % r"\$wss_allow_\w+", ""),
    "the addresses that are denied": (SERVER, IF % r"\$wss_deny_\w+", ""),
    "the end of a network": (GATE, r"127\.0\.0\.0/29", "127.0.0.0/28"),
    "the origin": (SERVER, IF_ORIGIN, ""),
    "an origin at all": (SERVER, r'(\$http_origin !~\* )"\^(?!\(\?:\|)([^"]*)\$"', r'\1"^(?:|\2)$"'),
    "a handshake with an origin": (SERVER, r'"\^\(\?:1\|from ', '"^(?:[01]|from '),
    "an origin to its end": (SERVER, r'(app://localhost\))\$"', r'\1"'),
    "the dots of an origin": (SERVER, r"https://app\\\.example\\\.com", "https://app.example.com"),
    "an origin with its default port": (SERVER, r"(https://app\\\.example\\\.com)\(\?::443\)\?", r"\1"),
    "the labels of a wildcard": (SERVER, r"\(\?:\[a-z0-9_-\]\{1,63\}\\\.\)\{1,126\}", ".*"),
    "the beginning of a wildcard": (SERVER, r"\|(https://\(\?:\[)", r"|.*\1"),
    "the end of a wildcard": (SERVER, r"(example\\\.org)\(\?::443\)\?", r"\1.*"),
    "the default port of a wildcard": (SERVER, r"(example\\\.org)\(\?::443\)\?", r"\1"),
    "the scheme of a wildcard": (SERVER, r"https://\(\?:\[", "https?://(?:["),
    "the port of a wildcard": (SERVER, r"(example\\\.org):8080", r"\1(?::8080)?"),
    "the token's subrequest": (SERVER, r"auth_request [^;]*;", ""),
    "the token's file": (SERVER, IF % r"!-f ", ""),
    "the token's file, not its folder": (SERVER, r"!-f ", "!-e "),
    "the map on the cookie": (SERVER, r"/\$wss_token_AUTH\b", "/$cookie_AUTH"),
    "the cookie's case": (GATE, r'"~(\^[^"]*<wss_value>)', r'"~*\1'),
    "the cookie once": (GATE, r'(<wss_value>\[A-Za-z0-9_-\]\{16,128\}\))[^"]*"', r'\1(?:;|$)"'),
    "the cookie's blanks": (GATE, r"AUTH=(\(\?<wss_value)", r"AUTH[ \\t]*=\1"),
    "a token's letters": (GATE, r"(<wss_value>)\[A-Za-z0-9_-\]", r"\1[^;]"),
    "a token's least length": (GATE, r"(<wss_value>\[A-Za-z0-9_-\])\{16,128\}", r"\1{1,128}"),
    "a token's greatest length": (GATE, r"(<wss_value>\[A-Za-z0-9_-\])\{16,128\}", r"\1{16,}"),
    "the password": (SERVER, r'auth_basic "[^;]*;', "auth_basic off;"),
    "a token or a password": (SERVER, r"satisfy any;", ""),
    "the signed token's subrequest": (SERVER, r"auth_request /\.wssgate/jwt/[^;]*;", ""),
    "a signed token's letters": (GATE, r"(<wss_value>)\[A-Za-z0-9\._-\]\+\+", r"\1[^;]*+"),
    "nothing behind a signed token": (GATE, r"(<wss_jwt_of_bearer>[^)]*\))\$", r"\1"),
    "a spoilt token in Authorization": (SERVER, IF % r"\$wss_jwt_spoilt = 1", ""),
    "no signed token": (SERVER, IF % r'\$wss_(?:token|either)_\w+ = ""', ""),
    "what the judge is told of the way": (SERVER, r"proxy_set_header Wssgate-Source [^;]*;", ""),
    "the token kept from the upstream": (SERVER, r"proxy_set_header Cookie [^;]*;", ""),
    "the password kept from the upstream": (SERVER, r"proxy_set_header Authorization [^;]*;", ""),
    "the other cookies passed on": (GATE, r'"\$\{wss_before\}\$\{wss_behind\}"', '"$wss_before"'),
    "the upstream's Host": (SERVER, r"proxy_set_header Host [^;]*;", ""),
    "the upstream's Upgrade": (SERVER, r"proxy_set_header Upgrade [^;]*;", "proxy_set_header Upgrade $http_upgrade;"),
    "the upstream's Connection": (
        SERVER,
        r"proxy_set_header Connection [^;]*;",
        "proxy_set_header Connection $http_connection;",
    ),
    "X-Client-IP": (SERVER, r"proxy_set_header X-Client-IP [^;]*;", ""),
    "X-Real-IP": (SERVER, r"proxy_set_header X-Real-IP [^;]*;", ""),
    "X-Forwarded-For": (SERVER, r"(proxy_set_header X-Forwarded-For) [^;]*;", r"\1 $proxy_add_x_forwarded_for;"),
    "X-Forwarded-Proto": (SERVER, r"proxy_set_header X-Forwarded-Proto [^;]*;", ""),
    "X-Client-Subject": (SERVER, r"proxy_set_header X-Client-Subject [^;]*;", ""),
    "one reading of a path": (SERVER, IF % r"\$wss_ambiguous", ""),
    "the parameters of a path's parts": (GATE, r"\(\?:\[;/\?#\]", "(?:[/?#]"),
    "a path encoded twice": (GATE, r"\\\.\|%\(\?:25\)\*2e", r"\."),
    "a location within a folder": (SERVER, IF % r"\$wss_reading_\w+", ""),
    "a location within a folder, in any case": (GATE, r'"~\*(\^/\(\?:\[\. )', r'"~\1'),
    "a location within a folder, with parameters": (GATE, r"\(\?:;\[\^/\]\*\)\?", ""),
    "a location within a folder, with empty parts": (GATE, r"/\(\?:\[\. \]\*\(\?:;\[\^/\]\*\)\?/\)\*", "/"),
    "a location within a folder, with dots and blanks": (GATE, r"\[\. \]\*", ""),
    "a location within a folder, with a slash": (GATE, r'\(\?:/[^"]{,60}\)\?(\(\?:\[\?#\]\|\$\)")', r"\1"),
    "a location within a folder, with a query": (GATE, r"\(\?:\[\?#\]\|\$\)", "$"),
    "a folder within a folder, with a query": (GATE, r"\(\?:\[/\?#\]\|\$\)", "(?:/|$)"),
    "a letter encoded twice": (GATE, r"%\(\?:25\)\*\[0-7\]\[0-9a-f\]\|", ""),
    "an overlong letter in two bytes": (GATE, r"\[\\xc0\\xc1\]\|", ""),
    "an overlong letter in three bytes": (GATE, r"\|\\xe0\[\\x80-\\x9f\]", ""),
    "an overlong letter in four bytes": (GATE, r"\|\\xf0\[\\x80-\\x8f\]", ""),
    "the exact path": (SERVER, r"location = (/wss|/open) ", r"location \1 "),
    "the internal location": (SERVER, r"internal;", ""),
    "426 with Upgrade": (SERVER, r"add_header Upgrade [^;]*;", ""),
    "405 with Allow": (SERVER, r"add_header Allow [^;]*;", ""),
    "the reason in the log": (SERVER, r"set \$wss_location [^;]*;", ""),
    "no token in the log": (GATE, r'"duration":', '"cookie":"$http_cookie","duration":'),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_that_is_taken_out_is_missed(
    name: str, local_gate: LocalGate, head_echo: HeadEcho, port: int, rules: Rules
) -> None:
    file, there, instead = GUARDS[name]

    def edit(path: str, text: str) -> str:
        if path != file:
            return text
        edited, count = re.subn(there, instead, text)
        assert count, f"{there} is not in {path}"
        return edited

    other = free_port()
    source = random.Random(name)
    with local_gate.copy(edit, {port: other}) as copy:
        comparison = Comparison(copy, other, head_echo, rules)

        def ask_until_seen() -> None:
            for _ in range(1000):
                comparison.check([chosen_by(source) for _ in range(BATCH_SIZE)])

        with pytest.raises(AssertionError):
            ask_until_seen()
