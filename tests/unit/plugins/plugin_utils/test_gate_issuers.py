# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers of signed tokens: their keys, what is wrong with them, and what nginx gets of them."""

from __future__ import annotations

import base64
import json
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ansible_collections.wssgate.nginx.plugins.lookup.issuer_key_files import LookupModule
from ansible_collections.wssgate.nginx.plugins.plugin_utils._controller_file import controller_file_reader
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import issuer_files, issuers, model, public_keys
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.context import Gate
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.needs import gate_needs

P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
RSA, WEAK = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024)


def pem(key: t.Any) -> str:
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: t.Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def number(value: int, length: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(length, "big")).rstrip(b"=").decode()


def jwk(key: t.Any, **members: t.Any) -> t.Dict[str, t.Any]:
    numbers = key.public_key().public_numbers()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        length = (key.curve.key_size + 7) // 8
        curve = f"P-{key.curve.key_size}"
        found = {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length)}
    else:
        found = {"kty": "RSA", "n": number(numbers.n, key.key_size // 8), "e": number(numbers.e, 3)}
    return {**found, **members}


def jwks(*keys: t.Mapping[str, t.Any]) -> str:
    return json.dumps({"keys": list(keys)})


def issuer(**changes: t.Any) -> t.Dict[str, t.Any]:
    return {
        "name": "main",
        "issuer": "https://id.example.com",
        "audience": ["wss"],
        "keys": [{"content": pem(P256)}],
        **changes,
    }


def read(*given: t.Any, **context: t.Any) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    gate = Gate(context)
    found = issuers.read(gate, list(given))
    return found, gate.problems.found


def test_the_smallest_issuer_gets_the_defaults() -> None:
    found, problems = read(issuer())
    assert problems == []
    assert found == {
        "main": {
            "issuer": "https://id.example.com",
            "audience": ["wss"],
            "keys": [{"kid": "", "algorithms": ["ES256"], "spki": "".join(pem(P256).splitlines()[1:-1])}],
            "key_set": None,
            "clock_skew": 5,
            "max_token_lifetime": 86400,
            "require": [],
            "headers": [],
        }
    }


# ---- Keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (pem(P256), [("", ("ES256",))]),
        (pem(P384), [("", ("ES384",))]),
        (pem(RSA), [("", ("RS256", "PS256"))]),
        (f"# mine\n{pem(P256)}\n{pem(RSA)}", [("", ("ES256",)), ("", ("RS256", "PS256"))]),
        (jwks(jwk(P256, kid="a")), [("a", ("ES256",))]),
        (json.dumps(jwk(P256, kid="a")), [("a", ("ES256",))]),
        (json.dumps([jwk(P256)]), [("", ("ES256",))]),
        (jwks(jwk(RSA, kid="r", alg="PS256")), [("r", ("PS256",))]),
        (jwks(jwk(RSA, use="enc", alg="RSA-OAEP"), jwk(P384, use="sig")), [("", ("ES384",))]),
        (jwks(jwk(RSA, key_ops=["encrypt"]), jwk(P384, key_ops=["verify"])), [("", ("ES384",))]),
    ],
)
def test_keys_are_read(text: str, expected: t.List[t.Any]) -> None:
    assert [(key.kid, key.algorithms) for key in public_keys.read(text)] == expected


def test_a_jwk_and_a_pem_of_one_key_are_the_same() -> None:
    for key in (P256, P384, RSA):
        assert public_keys.read(jwks(jwk(key)))[0].spki == public_keys.read(pem(key))[0].spki


def test_a_certificate_is_a_key(tmp_path: t.Any) -> None:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = x509.Name([])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(P256.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
    text = builder.sign(P256, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    assert public_keys.read(text)[0].spki == public_keys.read(pem(P256))[0].spki


ED25519 = ed25519.Ed25519PrivateKey.generate()
P521 = ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (private_pem(P256), ("private key", "openssl pkey")),
        (pem(P256) + private_pem(P256), ("private key", "-pubout")),
        (jwks(jwk(P256, d="AAAA", kid="a")), ("key 'a' is a private key", "leave out d")),
        (jwks(jwk(RSA, p="AAAA")), ("is a private key",)),
        (pem(WEAK), ("RSA with 1024 bits", "2048")),
        (jwks(jwk(WEAK, kid="w")), ("key 'w' is RSA with 1024 bits",)),
        (pem(P521), ("curve secp521r1", "P-256 or P-384")),
        (jwks(jwk(P521)), ("curve 'P-521'", "P-256 or P-384")),
        (jwks({**jwk(P256), "crv": "secp256k1"}), ("curve 'secp256k1'",)),
        (jwks({**jwk(P256), "crv": "P-384"}), ("32 bytes for x", "48")),
        (jwks({**jwk(P256), "y": jwk(P256)["x"]}), ("no point on P-256",)),
        (jwks({**jwk(P256), "x": "no=base64"}), ("no x in base64url",)),
        (jwks({**jwk(P256), "x": 7}), ("no x in base64url",)),
        (jwks({**jwk(RSA), "e": "AA"}), ("no RSA key",)),
        (jwks({"kty": "RSA", "kid": "r"}), ("key 'r' has no n",)),
        (jwks({"kty": "oct", "k": "AAAA"}), ("shared secret", "ES256")),
        (jwks({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), ("type 'OKP'", "ES256")),
        (pem(ED25519), ("neither EC nor RSA", "Ed25519")),
        (jwks(jwk(P256, alg="ES384")), ("is for 'ES384'", "ES256")),
        (jwks(jwk(RSA, alg="RS512")), ("is for 'RS512'", "RS256, PS256")),
        (jwks(jwk(P256, kid=7)), ("kid that is not",)),
        (jwks(jwk(P256, kid="a b")), ("kid that is not",)),
        (jwks(), ("no key for signatures",)),
        ('{"keys": {}}', ("no list 'keys'",)),
        ('{"keys": [', ("is no JSON",)),
        ('{"keys": [{"kty": "EC", "kty": "oct"}]}', ("same name twice",)),
        ("ssh-ed25519 AAAA", ("neither a PEM", "JSON Web Key Set")),
        ("", ("neither a PEM",)),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", ("cannot be read", "whole")),
        ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", ("no public key",)),
    ],
)
def test_a_bad_key_gets_one_sentence(text: str, words: t.Tuple[str, ...]) -> None:
    _found, problems = read(issuer(keys=[{"content": text or " "}]))
    assert len(problems) == 1, problems
    assert problems[0].startswith("issuer 'main', keys[0]: ")
    assert all(word in problems[0] for word in words), problems
    # What is secret is in no message.
    assert "AAAA" not in problems[0]


# ---- Options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([issuer(name="a b")], ("name 'a b'",)),
        ([issuer(issuer="")], ("issuer '' is not",)),
        ([issuer(issuer="a\nb")], ("visible ASCII",)),
        ([issuer(audience=[])], ("audience is empty", "aud")),
        ([issuer(audience="wss")], ("audience 'wss' is not a list",)),
        ([issuer(keys=[])], ("keys is empty",)),
        ([issuer(keys=[{}])], ("keys[0]", "give content", "source", "path")),
        ([issuer(keys=[{"content": pem(P256), "path": "/a"}])], ("keys[0]", "one of them")),
        ([issuer(keys=[{"content": {"keys": []}}])], ("content is not text", "content: |")),
        ([issuer(keys=[{"path": "a.pem"}])], ("path 'a.pem' is not an absolute path",)),
        ([issuer(keys=[{"source": "a.pem"}])], ("keys[0]: source: a.pem has not been read",)),
        ([issuer(keys=[{"contents": ""}])], ("no option 'contents'", "'content' is one")),
        ([issuer(jwks_uri="https://id.example.com")], ("no option 'jwks_uri'", "'jwks_url' is one")),
        ([issuer(algorithms=["HS256"])], ("HS256", "shared secret", "ES256")),
        ([issuer(algorithms=["none"])], ("none", "no signature")),
        ([issuer(algorithms=["EdDSA"])], ("EdDSA", "no version of nginx's module")),
        ([issuer(algorithms=["RS512"])], ("'RS512' is none of ES256, ES384, RS256, PS256",)),
        ([issuer(algorithms=["ES256", "RS256"])], ("RS256, which no key is for",)),
        ([issuer(clock_skew=31)], ("clock_skew 31", "0 to 30")),
        ([issuer(max_token_lifetime=0)], ("max_token_lifetime 0",)),
        (
            [issuer(keys=[{"content": jwks(jwk(P256, kid="a"), jwk(RSA, kid="a"))}])],
            ("two keys have the kid 'a'", "keep one"),
        ),
        (
            [issuer(keys=[{"content": jwks(jwk(P256, kid="a"))}, {"content": jwks(jwk(P384, kid="a"))}])],
            ("two keys have the kid 'a'",),
        ),
        ([issuer(keys=[{"content": pem(P256)}, {"content": pem(P256)}])], ("the same key twice",)),
        ([issuer(), issuer(issuer="https://b.example")], ("this name is used twice",)),
        ([issuer(), issuer(name="b")], ("issuer 'b'", "is that of 'main' already")),
        ([issuer(require=[{}])], ("require[0]", "claim or scopes")),
        ([issuer(require=[{"claim": "a", "scopes": ["b"]}])], ("claim or scopes, one of them",)),
        ([issuer(require=[{"claim": "a", "any_of": ["b"], "all_of": ["c"]}])], ("two rules",)),
        ([issuer(require=[{"claim": "a", "any_of": "b"}])], ("any_of 'b' is not a list",)),
        ([issuer(require=[{"claim": "a", "any_of": []}])], ("require[0]", "any_of is empty; leave it out")),
        ([issuer(require=[{"claim": "a", "all_of": None}])], ("all_of is empty; leave it out",)),
        ([issuer(require=[{"claim": "a", "any_of": [1.5]}])], ("texts, whole numbers",)),
        ([issuer(require=[{"claim": ["a", 7]}])], ("neither a claim's name",)),
        ([issuer(require=[{"scopes": ["a b"]}])], ("scopes 'a b' is not a scope",)),
        ([issuer(headers=[{"name": "X-User"}])], ("neither a claim's name",)),
        ([issuer(headers=[{"name": "Cookie", "claim": "a"}])], ("'Cookie' is a header that the gate",)),
        ([issuer(headers=[{"name": "X-Forwarded-User", "claim": "a"}])], ("'X-Forwarded-User' is a header",)),
        ([issuer(headers=[{"name": "X-A", "claim": "a"}, {"name": "x-a", "claim": "b"}])], ("is there twice",)),
        ([issuer(headers=[{"name": "X-A-B-C-D-E", "claim": "a"}])], ("more than 4 hyphens",)),
        ([issuer(headers=[{"name": f"X-{i}", "claim": "a"} for i in range(9)])], ("9 entries, and 8",)),
        (["main"], ("wss_proxy_issuers[0]", "not a set of options")),
    ],
)
def test_a_bad_issuer_gets_one_sentence(given: t.List[t.Any], words: t.Tuple[str, ...]) -> None:
    _found, problems = read(*given)
    assert len(problems) == 1, problems
    assert all(word in problems[0] for word in words), problems


def test_algorithms_narrow_what_keys_are_for() -> None:
    found, problems = read(issuer(keys=[{"content": pem(RSA)}, {"content": pem(P256)}], algorithms=["PS256"]))
    assert problems == []
    assert [key["algorithms"] for key in found["main"]["keys"]] == [["PS256"]]


def test_rules_and_headers_are_as_nginx_reads_them() -> None:
    found, problems = read(
        issuer(
            require=[
                {"claim": "groups", "any_of": ["a", 1, True]},
                {"claim": ["x", "y"], "all_of": ["b"]},
                {"claim": "z"},
                {"scopes": ["wss:open"]},
            ],
            headers=[{"name": "X-User", "claim": "sub"}, {"name": "X-Y", "claim": ["x", "y"]}],
        ),
        issuer(name="b", issuer="b", headers=[{"name": "x-user", "claim": "name"}]),
    )
    assert problems == []
    for_nginx = issuers.for_nginx(found)
    assert for_nginx["main"]["require"] == [
        {"scopes": False, "claim": ["groups"], "values": ["a", 1, True], "all": False},
        {"scopes": False, "claim": ["x", "y"], "values": ["b"], "all": True},
        {"scopes": False, "claim": ["z"], "values": [], "all": False},
        {"scopes": True, "claim": [], "values": ["wss:open"], "all": True},
    ]
    assert for_nginx["main"]["headers"] == [
        {"answer": "Wssgate-Claim-0", "claim": ["sub"]},
        {"answer": "Wssgate-Claim-1", "claim": ["x", "y"]},
    ]
    assert for_nginx["b"]["headers"] == [{"answer": "Wssgate-Claim-0", "claim": ["name"]}]


def test_files_of_keys_are_taken_as_they_were_read() -> None:
    files = {
        "source:a.pem": {"content": pem(P256)},
        "path:/etc/b.pem": {"content": pem(RSA)},
        "path:/etc/c.pem": {"problem": "/etc/c.pem is not on the host"},
    }
    found, problems = read(issuer(keys=[{"source": "a.pem"}, {"path": "/etc/b.pem"}]), key_files=files)
    assert problems == []
    assert [key["algorithms"] for key in found["main"]["keys"]] == [["ES256"], ["RS256", "PS256"]]
    _found, problems = read(issuer(keys=[{"path": "/etc/c.pem"}]), key_files=files)
    assert problems == ["issuer 'main', keys[0]: path: /etc/c.pem is not on the host"]


# ---- Locations


OPEN = {"origins": ["https://app.example.com"]}


def location(**changes: t.Any) -> t.Dict[str, t.Any]:
    return {"path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": "jwt", "issuers": ["main"], **OPEN, **changes}


def server(*locations: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {"name": "gate", "listen": [{"port": 8443, "tls": False}], "locations": list(locations)}


CONTEXT = {
    "issuers": [issuer(), issuer(name="other", issuer="https://other.example.com")],
    "token_store_path": "/srv/tokens",
    "htpasswd_files": [{"path": "/etc/nginx/.htpasswd"}],
}


@pytest.mark.parametrize(
    ("changes", "context", "words"),
    [
        ({"issuers": []}, {}, ("auth jwt needs issuers", "wss_proxy_issuers")),
        ({"issuers": ["mian"]}, {}, ("issuer 'mian' is not in wss_proxy_issuers", "main, other")),
        ({"issuers": ["main", "main"]}, {}, ("names one twice",)),
        ({"issuers": "main"}, {}, ("issuers 'main' is not a list",)),
        ({"auth": "token"}, {}, ("issuers goes with auth: jwt, not with token",)),
        ({"max_sessions_per_token": 1}, {}, ("max_sessions_per_token goes with a token; auth is jwt",)),
        ({"auth": "jwt_and_basic", "sources": ["bearer"]}, {}, ("takes the password from Authorization",)),
        ({}, {"javascript_module": ""}, ("needs nginx's JavaScript module", "auth: external", "nginx-module-njs")),
    ],
)
def test_a_bad_location_gets_one_sentence(
    changes: t.Dict[str, t.Any], context: t.Dict[str, t.Any], words: t.Tuple[str, ...]
) -> None:
    problems = model.gate_errors([server(location(**changes))], {**CONTEXT, **context})
    assert len(problems) == 1, problems
    assert problems[0].startswith("server 'gate', locations[0]: ")
    assert all(word in problems[0] for word in words), problems


@pytest.mark.parametrize("path", ["/run/jwt.sock", "/jwt.sock", "/var/lib/nginx/jwt.sock", "/run/wssgate/../jwt.sock"])
def test_the_sockets_folder_is_the_gates_own(path: str) -> None:
    problems = model.gate_errors([], {"jwt_socket_path": path})
    assert problems, path
    assert model.gate_errors([], {"jwt_socket_path": "/run/wssgate/jwt.sock"}) == []


@pytest.mark.parametrize("path", ["/var/lib", "/srv", "/", "/var/lib/../x"])
def test_the_folder_of_revocations_is_its_own(path: str) -> None:
    problems = model.gate_errors([], {"revocations_path": path})
    assert problems
    assert all("revocations_path" in problem for problem in problems)


def test_a_header_of_the_gates_own_is_no_claims_header() -> None:
    context = {**CONTEXT, "issuers": [issuer(headers=[{"name": "x-client-ip", "claim": "ip"}])]}
    (problem,) = model.gate_errors([server(location())], context)
    assert "issuer 'main', headers: 'x-client-ip' is a header of the gate's own" in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["cookie", "bearer"]),
        ({"sources": ["cookie"]}, ["cookie"]),
        ({"sources": ["bearer"]}, ["bearer"]),
        ({"auth": "jwt_or_basic"}, ["cookie", "bearer"]),
        ({"auth": "jwt_and_basic"}, ["cookie"]),
        ({"auth": "token", "issuers": []}, ["cookie"]),
    ],
)
def test_where_a_token_comes_from(changes: t.Dict[str, t.Any], expected: t.List[str]) -> None:
    made = model.gate_model([server(location(**changes))], CONTEXT)
    found = made["servers"][0]["locations"][0]
    assert (found["jwt"] or found["token"])["sources"] == expected


def test_a_signed_token_and_another_of_one_cookies_name_are_two_variables() -> None:
    opaque = location(path="/t", auth="token", issuers=[])
    made = model.gate_model([server(location(), opaque)], CONTEXT)
    variables = [(loc["jwt"] or loc["token"])["variable"] for loc in made["servers"][0]["locations"]]
    assert len(set(variables)) == 2
    assert [cookie["name"] for cookie in made["cookies"]] == ["AUTH", "AUTH"]


def test_each_location_has_its_issuers_and_every_other_clears_their_headers() -> None:
    context = {
        **CONTEXT,
        "issuers": [
            issuer(headers=[{"name": "X-User", "claim": "sub"}]),
            issuer(name="other", issuer="o", headers=[{"name": "X-Org-Unit", "claim": "ou"}]),
        ],
    }
    places = [location(), location(path="/o", issuers=["other"]), location(path="/n", auth="none", issuers=[])]
    made = model.gate_model([server(*places)], context)
    assert made["jwt"]["locations"] == {"gate_0": ["main"], "gate_1": ["other"]}
    cleared = [set(loc["cleared_headers"]) for loc in made["servers"][0]["locations"]]
    names = {"X-User", "X_User", "X-Org-Unit", "X_Org-Unit", "X-Org_Unit", "X_Org_Unit"}
    assert [names - found for found in cleared] == [{"X-User"}, {"X-Org-Unit"}, set()]
    assert made["servers"][0]["locations"][1]["jwt"]["headers"] == [{"name": "X-Org-Unit", "place": 1}]


def test_sessions_of_signed_tokens_need_an_agent_or_a_warning() -> None:
    log = {**CONTEXT, "session_log_path": "/var/log/nginx/wssgate/sessions.log"}
    places = [server(location(), location(path="/n", auth="none", issuers=[]))]
    found = model.gate_model(places, log)["servers"][0]["locations"]
    assert [one["ends_in_time"] for one in found] == [True, False]
    assert not any("session log" in words for words in model.gate_warnings(places, log))
    (words,) = [words for words in model.gate_warnings(places, CONTEXT) if "session log" in words]
    assert words.startswith("server 'gate', locations[0]: without a session log nothing ends sessions")


def test_only_a_location_with_signed_tokens_needs_the_module() -> None:
    needed = gate_needs([server(location())], CONTEXT)
    assert needed["javascript"] is True
    assert {"path": "/var/lib/nginx/wssgate/jwt.sock", "mode": "0666", "group": ""} in needed["sockets"]
    assert "/var/lib/nginx/wssgate" in needed["writable_paths"]
    # Role nginx does not know the issuers.
    assert gate_needs([server(location())], {})["javascript"] is True
    without = gate_needs([server(location(auth="none", issuers=[]))], CONTEXT)
    assert (without["javascript"], without["sockets"]) == (False, [])


# ---- Their files


def test_files_of_the_controller_and_of_the_host_are_read(tmp_path: t.Any) -> None:
    there = tmp_path / "a.pem"
    there.write_text(pem(P256))
    gone = str(tmp_path / "b.pem")
    given = [
        issuer(keys=[{"source": str(there)}, {"source": gone}, {"content": "x"}, "text"]),
        "text",
        issuer(keys="text"),
    ]
    host_files = {
        "/c.pem": base64.b64encode(b"text").decode(),
        "/d.pem": "",
        "/e.pem": base64.b64encode(b"\xff").decode(),
    }
    read_file = controller_file_reader(LookupModule(loader=DataLoader()), {})
    found = issuer_files.contents(given, read_file, host_files)
    assert found[f"source:{there}"] == {"content": pem(P256)}
    assert "is not on the controller" in found[f"source:{gone}"]["problem"]
    assert found["path:/c.pem"] == {"content": "text"}
    assert found["path:/d.pem"] == {"problem": "/d.pem is not on the host, or cannot be read there"}
    assert found["path:/e.pem"] == {"problem": "/e.pem of the host is not text"}
    assert len(found) == 5
    assert issuer_files.contents(None, read_file, {}) == issuer_files.contents([], read_file, {}) == {}


# ---- Key sets that are fetched

URL = "https://id.example.com/jwks.json"


def test_an_issuer_with_a_url_needs_no_keys() -> None:
    found, problems = read(issuer(keys=[], jwks_url=URL, algorithms=["ES256"]))
    assert problems == []
    assert found["main"]["key_set"] == {
        "url": URL, "ca_path": "", "interval": 300, "grace": 0, "algorithms": ["ES256"], "start": [],
    }  # fmt: skip
    rendered = issuers.for_nginx(found)["main"]
    assert rendered["keys"] == [] and rendered["key_set"]["url"] == URL
    assert issuers.key_sets(found) == {"main": found["main"]["key_set"]}


def test_keys_beside_a_url_are_a_start() -> None:
    found, problems = read(issuer(jwks_url=URL))
    assert problems == []
    assert found["main"]["key_set"]["start"] == found["main"]["keys"] != []


def test_without_a_url_nginx_gets_nothing_of_it() -> None:
    found, _problems = read(issuer())
    assert "key_set" not in issuers.for_nginx(found)["main"] and issuers.key_sets(found) == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jwks_url": "http://id.example.com/"}, ("jwks_url must begin with https://", "could sign tokens")),
        ({"jwks_url": "HTTPS://id.example.com/"}, ("jwks_url must begin with https://",)),
        ({"jwks_url": "file:///etc/passwd"}, ("jwks_url must begin with https://",)),
        ({"jwks_url": "id.example.com"}, ("jwks_url must begin with https://",)),
        ({"jwks_url": 7}, ("jwks_url must begin with https://",)),
        ({"jwks_url": "https://me:secret@id.example.com/"}, ("no user and no password",)),
        ({"jwks_url": "https:///jwks"}, ("name or the address of a host",)),
        ({"jwks_url": "https://id.example.com:0/"}, ("port of 1 to 65535",)),
        ({"jwks_url": "https://id.example.com/a b"}, ("without blanks",)),
        ({"jwks_url": URL, "jwks_interval": 9}, ("jwks_interval", "from 10 to 86400")),
        ({"jwks_url": URL, "jwks_interval": "soon"}, ("jwks_interval", "whole number")),
        ({"jwks_url": URL, "key_grace": -1}, ("key_grace", "from 0 to 86400")),
        ({"jwks_url": URL, "key_grace": 86401}, ("key_grace", "from 0 to 86400")),
        ({"jwks_url": URL, "jwks_ca_path": "ca.pem"}, ("jwks_ca_path", "absolute path")),
        ({"jwks_url": URL, "jwks_ca_path": "/home/me/ca.pem"}, ("jwks_ca_path", "may not look")),
        ({"jwks_url": URL, "jwks_ca_path": "/tmp/ca.pem"}, ("jwks_ca_path", "may not look")),
        ({"jwks_interval": 60}, ("jwks_interval is for a set that is fetched", "jwks_url")),
        ({"key_grace": 60}, ("key_grace is for a set that is fetched",)),
        ({"keys": []}, ("keys is empty", "jwks_url")),
    ],
)
def test_a_bad_key_set_gets_one_sentence(changes: t.Dict[str, t.Any], words: t.Tuple[str, ...]) -> None:
    keys = {"keys": []} if "jwks_url" in changes else {}
    _found, problems = read(issuer(**{**keys, **changes}))
    assert len(problems) == 1, problems
    assert problems[0].startswith("issuer 'main': ")
    assert all(word in problems[0] for word in words), problems
    assert "secret" not in problems[0]
