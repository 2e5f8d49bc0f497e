# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What signed tokens cost, beside opaque ones of the same gate and beside peers that check them.

    make bench NAME=jwt                             # all parts, about 50 minutes; 1,000,000 verifications on each njs
    make bench NAME=jwt ARGS='--write docs'         # docs/jwt-figures.md, .json, and pictures
    make bench NAME=jwt ARGS='--parts handshake --only gate_token gate_es256 --rounds 3'

handshake     CPU of a handshake with TLS 1.3: everybody's, in turn.
instructions  nginx's own instructions outside the kernel for one, by callgrind: the gate with each kind of token.
memory        What an idle session keeps.
flood         CPU of a token whose signature is wrong, over a connection that stays and over a new one, beside that of a
              good one; and how long messages of an honest session take meanwhile.
growth        The worker's memory over many verifications, every second thousand of them of wrong signatures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lib import load
from lib.jwt_signing import Signer
from lib.local_gate import nginx_binary
from lib.prose import wrapped

from . import counts
from .contenders import CACHE, DEBIAN_NGINX, NAME, ORIGIN, PEERS, Contender, Envoy, Gate, HAProxy, Nginx, Shared
from .drawing import draw
from .gate import machine
from .measures import COUNTED_ROUNDS, Bench, percentile, ratio

PARTS = ("handshake", "instructions", "memory", "flood", "growth")
ISSUER, AUDIENCE = "https://id.example.com", "wss.example.com"
ALGORITHMS = ("ES256", "RS256")
FIGURES, PAGE = "jwt-figures.json", "jwt-figures.md"


class Keys:
    """One key an algorithm, and tokens by it; the wrong ones are signed by somebody else."""

    def __init__(self, folder: Path) -> None:
        self.signers = {name: Signer(name, name.lower()) for name in ALGORITHMS}
        strangers = {name: Signer(name, name.lower()) for name in ALGORITHMS}
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "client-42", "jti": "t-1", "iat": now, "exp": now + 80_000}
        self.cookies = {name: f"AUTH={signer.sign(claims)}" for name, signer in self.signers.items()}
        self.wrong = {name: f"AUTH={signer.sign(claims)}" for name, signer in strangers.items()}
        self.jwks = json.dumps({"keys": [signer.jwk(alg=name) for name, signer in self.signers.items()]})
        self.path = folder / "jwks.json"
        self.path.write_text(self.jwks)
        self.pems = {name: folder / f"{name}.pem" for name in ALGORITHMS}
        for name, signer in self.signers.items():
            self.pems[name].write_text(signer.public_pem)


class SharedKeys(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.keys = Keys(self.root)


class Signed(Contender):
    """A contender with signed tokens; no algorithm: opaque ones."""

    shared: SharedKeys
    algorithm = ""
    refusal = b"403"

    @property
    def target(self) -> load.Target:
        target = super().target
        return replace(target, cookie=self.shared.keys.cookies[self.algorithm]) if self.algorithm else target

    @property
    def forged(self) -> load.Target:
        return replace(self.target, cookie=self.shared.keys.wrong[self.algorithm])


class SignedGate(Signed, Gate):
    name, title, check = "gate_token", "this gate, newest nginx: opaque token", "a file"
    can_reload = False
    binary = None
    module = "builtin"

    def __init__(self, shared: SharedKeys) -> None:
        super().__init__(shared)
        self.variables = {
            # Their sessions end in time.
            "token_store_pruner": "agent",
            "nginx_javascript_module": self.module,
            "wss_proxy_issuers": [
                {"name": "main", "issuer": ISSUER, "audience": [AUDIENCE], "keys": [{"content": shared.keys.jwks}]}
            ],
        }

    def _server(self) -> dict[str, Any]:
        server = super()._server()
        (location,) = server["locations"]
        server["locations"] = [location, location | {"path": "/signed", "auth": "jwt", "issuers": ["main"]}]
        return server

    @property
    def target(self) -> load.Target:
        return replace(super().target, path="/signed" if self.algorithm else "/wss")


class SignedPages(SignedGate):
    """Plain requests, without TLS: what is left is the judging."""

    tls = False

    def _server(self) -> dict[str, Any]:
        server = super()._server()
        for location in server["locations"]:
            location["http"] = True
            # nginx waits as long for its own answer, too, and other work may keep that.
            location["connect_timeout"] = 60
        return server

    @property
    def target(self) -> load.Target:
        return replace(super().target, plain=True)


class SignedHAProxy(Signed, HAProxy):
    name, title, check = "haproxy", "HAProxy", "jwt_verify, alg, iss, exp, Origin"
    can_reload = False

    def command(self) -> list[str]:
        command = super().command()
        path, pem = self.folder / "haproxy.cfg", self.shared.keys.pems[self.algorithm]
        rules = f"""\
    http-request set-var(txn.jwt) req.cook(AUTH)
    http-request set-var(txn.end) var(txn.jwt),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny status 403 unless {{ var(txn.jwt),jwt_header_query('$.alg') -m str {self.algorithm} }}
    http-request deny status 403 unless {{ var(txn.jwt),jwt_payload_query('$.iss') -m str {ISSUER} }}
    http-request deny status 403 if {{ var(txn.end),sub(txn.now) -m int lt 0 }}
    http-request deny status 403 unless {{ var(txn.jwt),jwt_verify("{self.algorithm}","{pem}") 1 }}
"""
        kept = [line for line in path.read_text().splitlines() if "token_known" not in line]
        where = kept.index("    default_backend echo")
        path.write_text("\n".join(kept[:where]) + "\n" + rules + "\n".join(kept[where:]) + "\n")
        return command


class SignedEnvoy(Signed, Envoy):
    name, title, check = "envoy", "Envoy", "jwt_authn, Origin by RBAC"
    refusal = b"401"

    def command(self) -> list[str]:
        command = super().command()
        path = self.folder / "envoy.yaml"
        lines = path.read_text().splitlines()
        # The cookie's rule goes.
        first = next(number for number, line in enumerate(lines) if line.strip() == "- header:")
        del lines[first : first + 3]
        where = next(number for number, line in enumerate(lines) if line.strip() == "- name: rbac")
        lines[where:where] = f"""\
          - name: jwt
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                main:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  from_cookies: [AUTH]
                  local_jwks: {{filename: {self.shared.keys.path}}}
              rules:
              - match: {{prefix: /}}
                requires: {{provider_name: main}}""".splitlines()
        path.write_text("\n".join(lines) + "\n")
        return command


class SignedModule(Signed, Nginx):
    name, title, check = "module", "nginx-auth-jwt on the newest nginx", "auth_jwt, no iss, Origin by if"
    binary = Path(nginx_binary())
    refusal = b"401"

    def __init__(self, shared: SharedKeys) -> None:
        super().__init__(shared)
        self.http = "access_log @folder@/access.log;"
        self.location = f"""\
if ($http_origin != {ORIGIN}) {{
                return 403;
            }}
            auth_jwt "{NAME}" token=$cookie_AUTH;
            auth_jwt_key_file {shared.keys.path};"""


def kind(base: type[Signed], algorithm: str, **more: Any) -> type[Signed]:
    """The contender with that algorithm."""
    plain = base.name.partition("_")[0]
    attributes = {
        "name": f"{plain}_{algorithm.lower()}",
        "title": f"{base.title.partition(':')[0]}: {algorithm}",
        "algorithm": algorithm,
        "check": "jwt.js" if issubclass(base, SignedGate) else base.check,
    }
    return type(f"{base.__name__}{algorithm}", (base,), attributes | more)


class DebianGate(SignedGate):
    name, title = "debian_token", "this gate, Debian's nginx: opaque token"
    binary = DEBIAN_NGINX
    module = str(PEERS / "usr/lib/nginx/modules/ngx_http_js_module.so")


GATES: list[type[Signed]] = [
    SignedGate,
    *(kind(SignedGate, name) for name in ALGORITHMS),
    DebianGate,
    *(kind(DebianGate, name) for name in ALGORITHMS),
]
PEER_KINDS: list[type[Signed]] = [
    kind(base, name) for base in (SignedModule, SignedHAProxy, SignedEnvoy) for name in ALGORITHMS
]


def growing(name: str, title: str, binary: Path | None, module: Path | str) -> type[Signed]:
    attributes = {"name": name, "title": title, "binary": binary, "module": str(module)}
    return kind(SignedPages, "ES256", **attributes)


# Whose memory is looked at for long. `make jwt-engines` takes Debian 13's nginx out of its image.
ENGINE = CACHE / "njs" / "debian13"
GROWING: list[type[Signed]] = [
    growing("growing_newest", "this gate, newest nginx", None, "builtin"),
    growing("growing_debian", "this gate, Debian's nginx", DEBIAN_NGINX, DebianGate.module),
    growing("growing_debian13", "this gate, Debian 13's nginx", ENGINE / "nginx", ENGINE / "ngx_http_js_module.so"),
]


class JwtBench(Bench):
    def __init__(self, shared: SharedKeys, only: list[str], rounds: int, scale: float, say: Callable[[str], None]):
        super().__init__(shared, only, rounds, scale, say)
        self.kinds = [one for one in (*GATES, *PEER_KINDS) if not only or one.name in only]

    def handshake(self) -> dict[str, Any]:
        with ExitStack() as stack:
            running = self._running(stack, self.kinds)
            for contender in running:
                load.together(1, load.handshakes, contender.target, count=self._count(100))
            return self._each_round(running, "handshakes", lambda c: self._handshake(c, resume=False), slices=4)

    def instructions(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in self.kinds:
            if not issubclass(one, SignedGate):
                continue
            with ExitStack() as stack:
                for contender in self._running(stack, [one]):
                    work = partial(self._handshakes_of, contender.target)
                    with counts.Counted(contender) as below:
                        found[contender.name] = [
                            counts.slope(below.instructions, work, self._count(40)) for _ in range(COUNTED_ROUNDS)
                        ]
                    self.say(f"instructions: {contender.title}: {statistics.median(found[contender.name]):,.0f}")
        return found

    @staticmethod
    def _handshakes_of(target: load.Target, count: int) -> None:
        load.together(1, load.handshakes, target, count=count)

    def flood(self) -> dict[str, Any]:
        with ExitStack() as stack:
            running = self._running(stack, [one for one in self.kinds if one.algorithm])
            for contender in running:
                load.together(1, load.handshakes, contender.target, count=self._count(100))
            return {
                "cost": self._each_round(running, "wrong signatures", self._refused),
                "felt": self._each_round(running, "honest sessions meanwhile", self._felt, min(3, self.rounds)),
            }

    def _refused(self, contender: Signed) -> dict[str, float]:
        found = {}
        count, expect = self._count(1000), contender.refusal
        spent, done = self._spent(
            contender, lambda: load.together(1, load.refusals, contender.forged, count=count, expect=expect)
        )
        found["kept_us"], found["kept_connections"] = spent / count * 1e6, done[0]["connections"]
        count = self._count(100)
        for name, target, status in (("new_us", contender.forged, expect), ("good_us", contender.target, b"101")):
            spent, _done = self._spent(
                contender, lambda t=target, s=status: load.together(1, load.handshakes, t, count=count, expect=s)
            )
            found[name] = spent / count * 1e6
        return found

    def _felt(self, contender: Signed) -> dict[str, float]:
        found = {}
        seconds = max(1.0, 2.0 * self.scale)
        for name, attackers in (("quiet", 0), ("attacked", 3)):
            attack = [
                load.Client(load.refusals, contender.forged, seconds=seconds + 0.5, expect=contender.refusal)
                for _ in range(attackers)
            ]
            honest = load.Client(load.paced, contender.target, size=64, rate=200.0, seconds=seconds)
            try:
                honest.told()
                times = honest.result()["times"]
            except RuntimeError as error:
                # What a flood does to a peer is a figure, too.
                self.say(f"{contender.title}: an honest session failed: {error} {contender.log_tail()[-500:]}")
                for client in attack:
                    client.end()
                return {}
            found[f"{name}_p50_ms"] = percentile(times, 0.5) * 1e3
            found[f"{name}_p99_ms"] = percentile(times, 0.99) * 1e3
            results = [client.result() for client in attack]
            if results:
                found["refused_per_second"] = sum(one["done"] / one["seconds"] for one in results)
        return found

    def growth(self, verifications: int) -> dict[str, list[list[float]]]:
        """By contender: how many were judged, and KiB of nginx then.

        All of them at once: time is not what is measured. An interrupt ends it, or a contender that fails, and what was
        found so far counts.
        """
        found: dict[str, list[list[float]]] = {}
        step = max(1000, verifications // 100)
        shared, self.shared = self.shared, self.shared.with_pages()
        try:
            with ExitStack() as stack:
                running = self._running(stack, GROWING)
                self._verify(running, 2000, load.requests)
                done = 0
                while True:
                    for contender in running:
                        found.setdefault(contender.title, []).append([done, contender.memory()])
                    told = ", ".join(f"{title} {points[-1][1]:,} KiB" for title, points in found.items())
                    self.say(f"growth: after {done:,} verifications: {told}")
                    if done >= verifications:
                        break
                    # In thousands, good and wrong.
                    for number in range(step // 1000):
                        self._verify(running, 1000, load.refusals if number % 2 else load.requests)
                    done += step // 1000 * 1000
        except (KeyboardInterrupt, RuntimeError) as error:
            if not found:
                raise
            self.say(f"growth: ended early: {error!r}")
        finally:
            self.shared = shared
        return found

    @staticmethod
    def _verify(running: list[Contender], count: int, work: Callable[..., dict[str, Any]]) -> None:
        """Each contender judges that many tokens of two clients, to refuse them where their signatures are wrong."""
        clients = [
            load.Client(work, contender.forged if work is load.refusals else contender.target, count=count // 2)
            for contender in running
            for _ in range(2)
        ]
        for client in clients:
            client.result()


# -- the page


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def of_gate(name: str) -> str:
    """The opaque token of the same nginx."""
    return "debian_token" if name.startswith("debian") else "gate_token"


def measured(results: dict[str, Any]) -> str:
    """How each part came about: a reader has to know what else the machine did, and how often it was asked."""
    told = [
        f"{part} {found['date']}, {found['rounds']} rounds, {found['scale']:g} of the usual number, load "
        f"{found['load_before']:.1f} when it began"
        for part in PARTS
        if (found := results.get(part))
    ]
    return f"Measured: {'; '.join(told)}. Beside other work ratios count, and times do not.\n"


def in_order(found: Any) -> Any:
    """As contenders are named; the file of the figures has them by the alphabet."""
    if not isinstance(found, dict):
        return found
    order = [one.name for one in (*GATES, *PEER_KINDS, *GROWING)]
    if set(found) <= set(order):
        return {name: found[name] for name in sorted(found, key=order.index)}
    return {name: in_order(value) for name, value in found.items()}


def page(results: dict[str, Any]) -> str:
    results = in_order(results)
    titles = {one.name: (one.title, one.check) for one in (*GATES, *PEER_KINDS)}
    facts = results["contenders"]
    parts = ["# What signed tokens cost: figures\n", "Made by `make bench NAME=jwt`; do not edit.\n"]
    about = results["machine"]
    parts.append(
        f"{about['cpu']}, {about['cores']} cores, {about['system']}, Linux {about['kernel']}. Everybody has one "
        "worker, the same P-256 certificate, TLS 1.3, the same upstream, and writes an access log. "
        + "; ".join(sorted({f"{fact['title'].partition(':')[0]} {fact['version']}" for fact in facts.values()}))
        + ".\n"
    )
    parts.append(measured(results))
    if "handshake" in results:
        figures = results["handshake"]["figures"]
        rows = [
            [
                *titles[name],
                f"{statistics.median(one['cpu_us']):,.0f}",
                f"{ratio(figures, name, of_gate(name), 'cpu_us'):.2f}" if of_gate(name) in figures else "",
                f"{statistics.median(one['p50_ms']):.2f}",
            ]
            for name, one in figures.items()
        ]
        head = ["", "checks by", "CPU, µs", "× an opaque token", "median, ms"]
        parts += ["## A handshake\n", "Peers are compared with the gate's opaque token on the newest nginx.\n"]
        parts.append(table(head, rows))
    if "instructions" in results:
        figures = {name: statistics.median(values) for name, values in results["instructions"]["figures"].items()}
        rows = [
            [titles[name][0], f"{value / 1e6:.2f}", f"{value / figures.get(of_gate(name), value):.2f}"]
            for name, value in figures.items()
        ]
        parts += ["## Instructions of a handshake\n", "Outside the kernel, by callgrind.\n"]
        parts.append(table(["", "millions", "× an opaque token"], rows))
    if "memory" in results:
        rows = []
        for name, one in results["memory"]["figures"].items():
            most = max(int(number) for number in one if number.isdigit())
            rows.append([titles[name][0], f"{most:,}", f"{(one[str(most)] - one['0']) / most:.1f}"])
        parts += ["## Memory of an idle session\n", table(["", "sessions", "KiB each"], rows)]
    if "flood" in results:
        cost, felt = results["flood"]["figures"]["cost"], results["flood"]["figures"]["felt"]
        rows = [
            [
                titles[name][0],
                *(f"{statistics.median(one[key]):,.0f}" for key in ("good_us", "new_us", "kept_us")),
                *(
                    f"{statistics.median(felt[name][key]):,.2f}" if name in felt else "the session ended"
                    for key in ("quiet_p99_ms", "attacked_p99_ms", "refused_per_second")
                ),
            ]
            for name, one in cost.items()
        ]
        head = ["CPU, µs", "a good token", "a wrong one", "over a connection that stays"]
        head += ["p99 of a message, ms", "under a flood of three", "refused a second"]
        parts += ["## A flood of wrong signatures\n", table(head, rows)]
    if "growth" in results:
        parts.append("## Memory over many verifications\n")
        for title, points in results["growth"]["figures"].items():
            later = [value for number, value in points if number >= points[-1][0] / 10]
            parts.append(
                f"{title}: {points[0][1]:,} KiB after a warm-up; from {points[-1][0] // 10:,.0f} to "
                f"{points[-1][0]:,.0f} verifications {min(later):,} to {max(later):,} KiB.\n"
            )
        parts.append("![The worker's memory over many verifications](performance/jwt-growth.svg)\n")
    return "\n".join(parts)


def pictures(results: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    found = []
    if "handshake" in results:
        figures = results["handshake"]["figures"]
        found.append(
            {
                "path": str(folder / "jwt-handshake.svg"),
                "title": "CPU of a handshake",
                "unit": "µs",
                "kind": "bars",
                "labels": [fact["title"] for name, fact in results["contenders"].items() if name in figures],
                "series": {
                    "CPU": [
                        statistics.median(figures[name]["cpu_us"]) for name in results["contenders"] if name in figures
                    ]
                },
            }
        )
    if "growth" in results:
        series = {title: dict(points) for title, points in results["growth"]["figures"].items()}
        numbers = sorted({number for points in series.values() for number in points})
        found.append(
            {
                "path": str(folder / "jwt-growth.svg"),
                "title": "nginx's memory while it judges signed tokens",
                "unit": "MiB",
                "kind": "lines",
                "x": "verifications",
                "labels": numbers,
                # One may have judged more than another.
                "series": {
                    title: [points[number] / 1024 if number in points else float("nan") for number in numbers]
                    for title, points in series.items()
                },
            }
        )
    return found


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    drawn = pictures(results, folder / "performance")
    text = page(results)
    if "handshake" in results:
        text = text.replace(
            "## A handshake\n", "## A handshake\n\n![CPU of a handshake](performance/jwt-handshake.svg)\n"
        )
    (folder / "performance").mkdir(exist_ok=True)
    (folder / PAGE).write_text(wrapped(text))
    draw(drawn)
    return [folder / PAGE, *(Path(picture["path"]) for picture in drawn)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    names = [one.name for one in (*GATES, *PEER_KINDS)]
    parser.add_argument("--only", nargs="+", default=[], choices=names)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="how many of each")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--verifications", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file; parts not measured stay in it")
    parser.add_argument(
        "--write", type=Path, metavar="DOCS", help="write the page, figures and pictures to this folder"
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    arguments = parser.parse_args()
    path = arguments.json or (arguments.write / FIGURES if arguments.write else None)
    results: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
    if not arguments.report:
        measure(arguments, results, path)
    print(page(results))
    if arguments.write:
        for written in write(results, arguments.write):
            print(f"written: {written}")


def measure(arguments: argparse.Namespace, results: dict[str, Any], path: Path | None) -> None:
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    shared = SharedKeys()
    try:
        bench = JwtBench(shared, arguments.only, arguments.rounds, arguments.scale, say)
        work = {
            "handshake": bench.handshake,
            "instructions": bench.instructions,
            "memory": lambda: bench.memory(arguments.sessions),
            "flood": bench.flood,
            "growth": lambda: bench.growth(arguments.verifications),
        }
        for part in arguments.parts:
            start = time.monotonic()
            before = os.getloadavg()[0]
            results[part] = {
                "figures": work[part](),
                "seconds": round(time.monotonic() - start),
                "rounds": bench.rounds,
                "scale": bench.scale,
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "load_before": before,
            }
            results["machine"] = machine()
            results["contenders"] = results.get("contenders", {}) | bench.facts
            results["missing"] = bench.missing
            if path:
                path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    finally:
        shared.close()


if __name__ == "__main__":
    main()
