# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to signing, as it stands: its keys, its inventory, its example in Python, and its login page."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.modules import wss_jwt
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import signing
from lib.local_gate import free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "jwt-signing.md"


def block(language: str, word: str) -> str:
    """The guide's block of this language that has the word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody has made a key pair by the guide."""
    subprocess.run(["sh", "-ec", block("console", "genpkey")], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "main.key").stat().st_mode & 0o777 == 0o600
    return tmp_path


def claims_of(token: str, folder: Path) -> dict[str, object]:
    key = (folder / "main.pem").read_text(encoding="ascii")
    found: dict[str, object] = jwt.decode(
        token, key, ["ES256"], audience="wss.example.com", issuer="https://id.example.com"
    )
    return found


def test_the_key_is_one_of_the_issuer_of_the_inventory(folder: Path) -> None:
    issuers = yaml.safe_load(block("yaml", "wss_proxy_issuers"))["wss_proxy_issuers"]
    files = {"source:{{ inventory_dir }}/main.pem": {"content": (folder / "main.pem").read_text(encoding="ascii")}}
    found = signing.plan({"gate": issuers}, "main", files, (folder / "main.key").read_text(encoding="ascii"))
    assert found["problems"] == [] and found["unchecked"] == []
    assert (found["issuer"], found["audience"]) == ("https://id.example.com", "wss.example.com")


def test_the_task_has_options_of_the_module() -> None:
    (task,) = yaml.safe_load(block("yaml", "wss_jwt"))
    assert set(task["wssgate.nginx.wss_jwt"]) <= set(wss_jwt.argument_spec())
    assert task["no_log"] is True


def test_the_example_in_python_signs(folder: Path) -> None:
    program = [sys.executable, "-c", block("python", "jwt.encode")]
    token = subprocess.run(program, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    claims = claims_of(token, folder)
    assert claims["sub"] == "client-42" and {"exp", "iat", "jti"} < set(claims)


@pytest.fixture
def login(folder: Path) -> Iterator[int]:
    """The login page on a port of its own."""
    signing_code = block("python", "jwt.encode").replace('print(token_for("client-42"))\n', "")
    (folder / "tokens.py").write_text(signing_code, encoding="utf-8")
    port = free_port()
    code = block("python", "class Login").replace("8000", str(port))
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": "."}) as server:
        deadline = time.monotonic() + 20
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.05)
        yield port
        server.terminate()


def sign_in(port: int, **fields: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/", urllib.parse.urlencode(fields))
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("Set-Cookie") or ""


def test_the_login_page_sets_the_cookie_for_whoever_has_the_password(folder: Path, login: int) -> None:
    status, cookie = sign_in(login, name="alice", password="correct horse battery staple")
    assert status == 303
    token, _semicolon, attributes = cookie.removeprefix("AUTH=").partition("; ")
    assert claims_of(token, folder)["sub"] == "alice"
    assert attributes == "Path=/wss; Max-Age=600; Secure; HttpOnly; SameSite=Strict"
    for fields in ({"name": "alice", "password": "wrong"}, {"name": "mallory", "password": ""}, {"name": ""}, {}):
        assert sign_in(login, **fields) == (403, "")
