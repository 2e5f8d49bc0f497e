# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx 1.18, the oldest that the gate runs on, does not know is rendered only for a version that does."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
TEMPLATES = sorted(path for path in ROLES.glob("*/templates/**/*.j2") if not path.match("*.html.j2"))

# Directives and variables that nginx has had since later than 1.18.0, by the release that brought them: the entries of
# its modules' tables of commands and variables in each release up to 1.31.4. Mail, stream and modules of other
# protocols are left out.
NEWER = {
    "1.19.0": "ssl_ocsp ssl_ocsp_cache ssl_ocsp_responder",
    "1.19.3": "proxy_cookie_flags userid_flags",
    "1.19.4": (
        "ssl_conf_command proxy_ssl_conf_command grpc_ssl_conf_command uwsgi_ssl_conf_command ssl_reject_handshake"
    ),
    "1.19.10": "keepalive_time $connection_time",
    "1.21.4": "mp4_start_key_frame $ssl_alpn_protocol",
    "1.21.5": "$ssl_curve",
    "1.23.2": "$proxy_protocol_tlv_",
    "1.25.0": (
        "http3 http3_hq http3_max_concurrent_streams http3_stream_buffer_size quic_gso quic_host_key quic_retry $http3"
    ),
    "1.25.1": "http2",
    "1.27.2": "proxy_pass_trailers",
    "1.27.4": "keepalive_min_timeout proxy_ssl_certificate_cache ssl_certificate_cache ssl_object_cache_inheritable",
    "1.29.0": "early_hints",
    "1.29.1": "ssl_certificate_compression",
    "1.29.3": "add_header_inherit add_trailer_inherit $is_request_port $request_port $ssl_client_sigalg $ssl_sigalg",
    "1.29.4": "ssl_ech_file $ssl_ech_outer_server_name $ssl_ech_status",
    "1.29.6": "sticky",
    "1.29.8": "max_headers",
    "1.31.0": "least_time tunnel_pass",
    "1.31.2": "$ssl_sigalgs",
    "1.31.3": "proxy_socket_rcvbuf proxy_socket_sndbuf",
}
FIRST = {name: version for version, names in NEWER.items() for name in names.split()}
# What in the gate's model says that the version is reached; tests of the filter hold these to the versions.
FLAGS = {"1.19.4": "has_conf_command", "1.25.1": "has_http2_directive"}


def newer(text: str) -> t.Iterator[t.Tuple[str, t.List[str]]]:
    """Each newer directive or variable of a template, with the conditions around it."""
    conditions: t.List[str] = []
    for line in text.splitlines():
        for tag, condition in re.findall(r"{%-?\s*(if|elif|else|endif)\b\s*(.*?)\s*-?%}", line):
            if tag == "if":
                conditions.append(condition)
            elif tag == "endif":
                conditions.pop()
            else:
                conditions[-1] = condition
        if line.lstrip().startswith("#"):
            continue
        words = re.findall(r"^\s*([a-z0-9_]+)\b", line)[:1] + re.findall(r"\$[a-z0-9_]+", line)
        for word in words:
            if word in FIRST:
                yield word, list(conditions)


def is_guarded(name: str, conditions: t.Iterable[str]) -> bool:
    flag = FLAGS.get(FIRST[name])
    return flag is not None and any(
        re.search(rf"(?<!not )\b(?:__wss_proxy_)?gate\.{flag}\b", condition) for condition in conditions
    )


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROLES)))
def test_what_the_oldest_nginx_does_not_know_depends_on_the_version(path: Path) -> None:
    bare = [name for name, conditions in newer(path.read_text(encoding="utf-8")) if not is_guarded(name, conditions)]
    assert bare == []


def test_what_is_guarded_is_found() -> None:
    found = {name for path in TEMPLATES for name, _conditions in newer(path.read_text(encoding="utf-8"))}
    assert found >= {"ssl_conf_command", "http2"}


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("ssl_conf_command NumTickets 1;", False),
        ("{% if gate.has_http2_directive %}\nssl_conf_command NumTickets 1;\n{% endif %}", False),
        ("{% if gate.has_conf_command %}\n{% endif %}\nssl_conf_command NumTickets 1;", False),
        ("{% if not gate.has_conf_command %}\nssl_conf_command NumTickets 1;\n{% endif %}", False),
        (
            (
                "{% if x %}\n{% if __wss_proxy_gate.has_conf_command %}\n  ssl_conf_command NumTickets 1;\n{% "
                "endif %}\n{% endif %}"
            ),
            True,
        ),
        ("proxy_set_header X-Curve $ssl_curve;", False),
    ],
)
def test_a_directive_without_its_condition_is_noticed(text: str, is_good: bool) -> None:
    assert [is_guarded(name, conditions) for name, conditions in newer(text)] == [is_good]
