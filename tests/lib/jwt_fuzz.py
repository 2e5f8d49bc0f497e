# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random signed tokens, most of them nearly right."""

from __future__ import annotations

import json
import random
from typing import Any

from .jwt_attacks import ISSUER, LIFETIME, NOW, OTHER_ISSUER, SKEW, Signers, claims
from .jwt_signing import base64url, encoded

TIMES = [NOW, NOW - SKEW, NOW - SKEW - 1, NOW + SKEW, NOW + SKEW + 1, NOW + 60.5, NOW - 100, NOW - 101]
TIMES += [NOW + LIFETIME + SKEW, NOW + LIFETIME + SKEW + 1, 0, -1, 10**18, 1e3, str(NOW), None, True, [NOW], {}]
TEXTS: list[Any] = [
    "client-1",
    "cut-off",
    "broken",
    "Zoë\u2028",
    "a\0b",
    "a,b",
    "50%",
    " a ",
    "x" * 300,
    "😀",
    "\ufffd",
]
TEXTS += ["", 7, None, False, ["a"], {"a": "b"}, "revoked-1", "\x7f", "é" * 60]
VALUES: dict[str, list[Any]] = {
    "iss": [ISSUER, OTHER_ISSUER, "", None, 7, [ISSUER], ISSUER + "/"],
    "aud": ["wss", "wss-admin", ["api", "wss"], ["api"], [], "", None, 7, ["wss", 7], {"a": "wss"}, [["wss"]]],
    "sub": TEXTS,
    "jti": TEXTS,
    "exp": TIMES,
    "nbf": TIMES,
    "iat": TIMES,
    "name": [*TEXTS, ["a", "b,c", 7, True, None], [["a"]], 12, -3, "x" * 1025, "ë" * 171],
    "groups": ["ops", "dev", "x", ["x", "ops"], [], None, {"ops": 1}, [["ops"]], 1],
    "realm_access": [{"roles": ["a", "b"]}, {"roles": "a"}, {"roles": ["a"]}, {}, [], None, "roles", {"roles": None}],
    "verified": [True, False, 1, "true", None, [True]],
    "scope": ["wss chat", "chat wss x", "wss", "", None, ["wss", "chat"], 7, {"wss": 1}, "wss  chat"],
    "tenant": [None, "", 0, False, []],
    "constructor": [{"name": "x"}, "x", {}],
    "scp": ["wss chat", ["chat", "wss"], ["wss", 7], None],
    "__proto__": [{"exp": 1}, 1],
    "x": [[[[[[[[1]]]]]]], [[[[[[[[1]]]]]]]], {"a": {"b": []}}, 1e308, -0.0, 1e-7, "\\", '"', ":", '":"', "{"],
}
HEADERS: dict[str, list[Any]] = {
    "alg": ["ES256", "ES384", "RS256", "PS256", "none", "HS256", "es256", "", None, 7, ["ES256"], "ES256\n"],
    "kid": ["ec-1", "ec-2", "rsa-1", "rsa-2", "", "x", "EC-1", None, 7, ["ec-1"], "../x"],
    "typ": ["JWT", "jwt", "at+jwt", "application/jwt", "application/at+JWT", "JOSE", "", None, 7, "JWT\n", "jwt "],
    "crit": [[], ["exp"]],
    "b64": [False, True],
    "cty": ["JWT", "json"],
    "zip": ["DEF"],
    "jku": ["https://evil.example.com/"],
    "x5c": [["MIIB"]],
    "x": [1, "\\u0061", {"a": {"a": 1}}],
}
NUMBERS = ["01", "+1", "1.", ".5", "-", "0x1", "1e", "1e5", "-0", "1.5e+3", "NaN", "Infinity", "1_0", "--1", "1e400"]
SNIPPETS = [
    '"x":1',
    '"x":"\\ud800"',
    '"x":"\\udc00\\ud800"',
    '"x":"\t"',
    '"\\u0078":2',
    '"x":tru',
    '"x":null',
    '"x":"\\/"',
]
SNIPPETS += ['"x":"\\q"', '"x":[1,]', '"x":[,1]', '"x":{,}', '"x":{"a":1,"a":2}', '"x":[{"a":1},{"a":1}]', "x:1", "1:1"]
SNIPPETS += [
    '"exp":1',
    '"sub":"root"',
    '"\\u0065xp":1',
    '"alg":"none"',
    '"":1',
    '"\\ud83d\\ude00":1',
    '"x":"\ufffd"',
    ",",
]
LETTERS = "ABCyz019-_=+/. \n\0.é"


class Fuzz:
    def __init__(self, signers: Signers, seed: int) -> None:
        self.by, self.random = signers, random.Random(seed)

    def token(self) -> str:
        by = self.by
        usual = [by.es256] * 4 + [by.es384, by.rs256, by.ps256, by.pem]
        signer = self.random.choice([*usual, by.other, by.other, by.stranger, by.strange_rsa])
        good = claims()
        if signer is by.other:
            good |= {"iss": OTHER_ISSUER, "groups": ["ops"], "realm_access": {"roles": ["b", "a"]}}
            good |= {"verified": True, "scope": "wss chat", "tenant": "x"}
        header = signer.header()
        for members, pool in ((good, VALUES), (header, HEADERS)):
            for _ in range(self.random.choice([0, 0, 0, 0, 1, 1, 2])):
                name = self.random.choice(list(pool))
                if self.random.random() < 0.15:
                    members.pop(name, None)
                else:
                    members[name] = self.random.choice(pool[name])
        texts = [self._text(header), self._text(good)]
        way = header.get("alg")
        way = way if signer.algorithm in ("RS256", "PS256") and way in ("RS256", "PS256") else signer.algorithm
        signed = ".".join(map(encoded, texts))
        signature = bytearray(signer.signature(signed.encode(), way))
        self._spoil(signature)
        return self._mangled(f"{signed}.{base64url(bytes(signature))}")

    def _text(self, members: dict[str, Any]) -> str | bytes:
        pairs = list(members.items())
        self.random.shuffle(pairs)
        text = json.dumps(
            dict(pairs), ensure_ascii=self.random.random() < 0.5, indent=self.random.choice([None, None, 1])
        )
        chance = self.random.random()
        if chance < 0.06:
            more = self.random.choice(SNIPPETS)
            text = text[:-1] + "," + more + "}" if self.random.random() < 0.5 else "{" + more + "," + text[1:]
        elif chance < 0.09:
            text = text[:-1] + ',"x":' + self.random.choice(NUMBERS) + "}"
        elif chance < 0.12:
            place = self.random.randrange(len(text) + 1)
            text = text[:place] + self.random.choice([*'{}[],:"\\ \t\n1a\0', "\u00a0", "\ufeff", "\x0b"]) + text[place:]
        elif chance < 0.13:
            data = bytearray(text.encode())
            data[self.random.randrange(len(data))] = self.random.randrange(256)
            return bytes(data)
        return text

    def _spoil(self, signature: bytearray) -> None:
        chance = self.random.random()
        if chance < 0.04:
            signature[self.random.randrange(len(signature))] ^= 1 << self.random.randrange(8)
        elif chance < 0.05:
            signature.append(0)
        elif chance < 0.06:
            del signature[-1]
        elif chance < 0.07:
            signature[:] = bytes(len(signature))

    def _mangled(self, token: str) -> str:
        if self.random.random() > 0.08:
            return token
        place = self.random.randrange(len(token) + 1)
        letter = self.random.choice(LETTERS)
        return self.random.choice(
            [token[:place] + letter + token[place:], token[:place] + letter + token[place + 1 :], token[:place]]
        )
