# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered configuration before the eyes of other people's tools, with nearly every option in use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crossplane
import pytest

from lib.local_gate import LocalGate, free_port

# What the linter says of this configuration, and why it stays: plugin, a part of what it points at, the reason.
ACCEPTED = (
    (
        "if_is_evil",
        "set $wss_refused",
        (
            "each such block ends in a return, and set and return run in one phase: nothing of the location is "
            "left to go wrong"
        ),
    ),
    (
        "worker_rlimit_nofile_vs_connections",
        "worker_rlimit_nofile",
        "worker_connections counts both sides of a session already, a descriptor each; files of its own come on top",
    ),
    (
        "hsts_header",
        "files.example.com",
        "HSTS binds a whole host name for months, so an operator asks for it (hsts_max_age)",
    ),
    (
        "proxy_pass_normalized",
        "location /app/",
        "the upstream is to get the very path that the gate has looked at, not another spelling of it",
    ),
    (
        "try_files_is_evil_too",
        "404.html",
        "a page beside a gate is asked for seldom, and a cache of names would show what is gone",
    ),
    (
        "add_header_redefinition",
        "location = /check",
        "the page has headers of its own; 426 and 429 are not among its answers",
    ),
)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(port: int) -> Iterator[LocalGate]:
    local_gate = LocalGate([])
    passwords, page = local_gate.etc / "passwords", local_gate.root / "page"
    passwords.write_text("operator:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
    page.mkdir()
    (page / "404.html").write_text("not here\n")
    listen = {"address": "127.0.0.1", "port": port}
    origins = ["https://app.example.com", "https://app.example.com:8443", f"https://gate.example.com:{port}"]
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "htpasswd_files": [{"path": str(passwords), "users": []}],
        "nginx_drain_timeout": 60,
        "wss_proxy_upstreams": [
            {
                "name": "group",
                "scheme": "ws",
                "balancing": "least_conn",
                "servers": [
                    {"address": "127.0.0.1:8081"},
                    {"address": "127.0.0.1:8082", "weight": 2},
                    {"address": "127.0.0.1:8083", "backup": True},
                ],
            },
        ],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": ["gate.example.com", "localhost"],
                "certificate": "gate",
                "listen": [listen | {"default_server": True}],
                "hsts_max_age": 31536000,
                "connection_check_path": "/check",
                "client_max_body_size": "1k",
                "locations": [
                    {
                        "path": "/wss",
                        "upstream": "http://127.0.0.1:8080",
                        "origins": origins,
                        "max_attempts_per_second": 50,
                        "max_sessions_per_address": 100,
                        "max_sessions_per_token": 2,
                    },
                    {
                        "path": "/both",
                        "upstream": "group",
                        "auth": "token_and_basic",
                        "htpasswd_file": str(passwords),
                        "origins": origins,
                    },
                    {
                        "path": "/either",
                        "upstream": "wss://localhost:8443",
                        "auth": "token_or_basic",
                        "htpasswd_file": str(passwords),
                        "origins": origins,
                        "cookie_name": "__Host-AUTH",
                    },
                    {
                        "path": "/app/",
                        "upstream": "http://127.0.0.1:8080",
                        "auth": "external",
                        "external_auth_url": "http://127.0.0.1:8090/may",
                        "origins": origins,
                        "allow_missing_origin": True,
                    },
                ],
            },
            {
                "name": "files",
                "server_names": ["files.example.com"],
                "certificate": "gate",
                "listen": [listen],
                "root": str(page),
                "error_pages": [{"codes": [403, 404], "path": "/404.html"}],
                "trusted_proxies": ["192.0.2.0/24"],
                "real_ip_header": "X-Forwarded-For",
                "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080", "origins": origins}],
            },
        ],
    }
    with local_gate:
        yield local_gate


def test_crossplane_parses_every_file(local_gate: LocalGate) -> None:
    parsed = crossplane.parse(str(local_gate.etc / "nginx.conf"))
    assert parsed["errors"] == []
    read = {Path(file["file"]).name for file in parsed["config"]}
    assert read >= {"nginx.conf", "gate.conf", "handshake.inc", "tls.inc", "server_gate.conf", "server_files.conf"}
    # It knows each directive, the number of its arguments and where it may stand.
    assert all(file["status"] == "ok" for file in parsed["config"])


def gixy(path: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("gixy")), "--format", "json", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_gixy_finds_nothing_that_is_not_explained(local_gate: LocalGate, tmp_path: Path) -> None:
    for name, text in local_gate.configuration().items():
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        # The linter's own parser of expressions is older than possessive quantifiers; they match the same, only faster.
        # And it ends with an error where an Origin may be missing.
        copy.write_text(text.replace("*+", "*").replace('$http_origin !~* "^(?:|', '$http_origin !~* "^(?:'))
    shutil.copy(local_gate.etc / "mime.types", tmp_path)
    found = gixy(tmp_path / "nginx.conf")
    rest = [
        finding
        for finding in found
        if not any(finding["plugin"] == plugin and part in finding["config"] for plugin, part, _reason in ACCEPTED)
    ]
    assert rest == []
    # An explanation for what is not there any more explains nothing.
    for plugin, part, _reason in ACCEPTED:
        assert any(finding["plugin"] == plugin and part in finding["config"] for finding in found), (
            f"{plugin} is not found any more"
        )


def test_gixy_would_find_something(tmp_path: Path) -> None:
    bad = tmp_path / "nginx.conf"
    bad.write_text("events {}\nhttp {\n server {\n  location /a {\n   return 302 http://$host$uri;\n  }\n }\n}\n")
    assert "http_splitting" in {finding["plugin"] for finding in gixy(bad)}


def sslyze(port: int, profile: str) -> list[str]:
    """What a server lacks of Mozilla's profile."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sslyze")), f"--mozilla_config={profile}", f"localhost:{port}"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    _scan, mark, verdict = done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    assert mark and f'"{profile}" configuration' in verdict, done.stdout[-2000:] + done.stderr[-1000:]
    return [line.strip(" *") for line in verdict.splitlines() if line.strip().startswith("*")]


def test_tls_is_mozillas_intermediate_but_for_the_test_certificates_issuer(local_gate: LocalGate, port: int) -> None:
    lacking = sslyze(port, "intermediate")
    assert [line.partition(":")[0] for line in lacking] == ["certificate_path_validation"], lacking


def test_tls_is_not_mozillas_modern_that_has_one_version_only(local_gate: LocalGate, port: int) -> None:
    """The scanner does tell the profiles apart."""
    assert any(line.startswith("tls_versions") for line in sslyze(port, "modern"))
