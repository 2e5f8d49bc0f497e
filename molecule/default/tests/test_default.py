# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of the README, as its operator and its clients meet it."""

from __future__ import annotations

import json
import socket
import ssl
import time

import pytest

from lib import wire

STORE = "/var/lib/nginx/tokens"
TOKEN = "0123456789abcdefTESTtoken"
ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")


@pytest.fixture
def request_():
    return wire.Request(host="wcs.example.com").origin(ORIGIN)


@pytest.fixture
def token(host):
    """A token made by hand, as the published recipe does."""
    host.check_output(f"touch {STORE}/{TOKEN}")
    yield TOKEN
    host.run(f"rm -f {STORE}/{TOKEN}")


def master(host):
    return host.check_output("cat /run/nginx.pid"), host.check_output("pgrep -f '^nginx: worker'")


def test_a_token_in_the_cookie_opens_a_websocket_that_echoes(endpoint, request_, token):
    with wire.handshake(endpoint, request_.token(token)) as reply:
        assert reply.upgraded
        assert reply.session.echo("hello") == "hello"


def test_without_a_token_the_answer_is_403_and_no_reason_is_given(endpoint, request_):
    reply = wire.handshake(endpoint, request_)
    assert reply.status == 403
    assert b"token" not in reply.body.lower()


def test_touch_lets_in_and_rm_locks_out_without_a_reload(host, endpoint, request_):
    host.run(f"rm -f {STORE}/made-by-hand-0123456789")
    before = master(host)
    attempt = request_.token("made-by-hand-0123456789")
    assert wire.handshake(endpoint, attempt).status == 403
    host.check_output(f"touch {STORE}/made-by-hand-0123456789")
    with wire.handshake(endpoint, attempt) as reply:
        assert reply.status == 101
    host.check_output(f"rm {STORE}/made-by-hand-0123456789")
    assert wire.handshake(endpoint, attempt).status == 403
    assert master(host) == before


def test_a_live_session_ends_when_its_token_is_removed_by_hand_and_no_other(host, endpoint, request_, token):
    other = f"{token}-of-somebody-else"
    host.check_output(f"touch {STORE}/{other}")
    with (
        wire.handshake(endpoint, request_.token(token)) as reply,
        wire.handshake(endpoint, request_.token(other)) as bystander,
    ):
        host.check_output(f"rm {STORE}/{token}")
        assert reply.session.ended(20)
        assert bystander.session.echo("still here") == "still here"
    host.check_output(f"rm -f {STORE}/{other}")


def test_port_80_redirects_to_https_and_keeps_path_and_query(gate):
    plain = wire.Endpoint(port=gate.plain_port, tls=False)
    reply = wire.handshake(plain, wire.Request(host="wcs.example.com", path="/wss?room=1", headers=()))
    assert (reply.status, reply.header("Location")) == (308, "https://wcs.example.com/wss?room=1")


def test_the_package_s_default_site_is_gone_and_other_people_s_server_still_answers(host, gate):
    assert not host.file("/etc/nginx/sites-enabled/default").exists
    assert (
        b"Welcome to nginx"
        not in wire.handshake(
            wire.Endpoint(port=gate.plain_port, tls=False), wire.Request(host="wcs.example.com", headers=())
        ).body
    )
    answer = host.check_output(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8088/').read().decode())\""
    )
    assert answer.strip() == "somebody else's"


def test_the_worker_can_neither_list_the_store_nor_make_a_token(host):
    assert host.run(f"su -s /bin/sh www-data -c 'ls {STORE}'").rc != 0
    assert host.run(f"su -s /bin/sh www-data -c 'touch {STORE}/minted-by-a-worker-1'").rc != 0
    store = host.file(STORE)
    assert (store.user, store.group, store.mode) == ("root", "www-data", 0o710)


def test_keys_and_passwords_are_not_readable_by_others(host):
    key = host.file("/etc/nginx/certificates/wcs/privkey.pem")
    assert (key.user, key.mode) == ("root", 0o600)
    passwords = host.file("/etc/nginx/.htpasswd")
    assert (passwords.user, passwords.group, passwords.mode) == ("root", "www-data", 0o640)
    assert "\noperator:$6$" in passwords.content_string
    assert "correct horse" not in passwords.content_string


def test_the_access_log_has_one_json_line_a_session_with_its_reason(host, endpoint, request_, token):
    with wire.handshake(endpoint, request_.token(token)) as reply:
        assert reply.session.echo("twelve bytes") == "twelve bytes"
    wire.handshake(endpoint, request_.origin("https://evil.example"))
    lines = []
    for _attempt in range(50):
        text = host.check_output("tail -n 50 /var/log/nginx/wss_access.log")
        lines = [json.loads(line) for line in text.splitlines()]
        if any(line["status"] == 101 and line["bytes_from_client"] for line in lines):
            break
        time.sleep(0.1)
    opened = [line for line in lines if line["status"] == 101 and line["bytes_from_client"]]
    assert opened, lines
    assert opened[-1]["reason"] == ""
    assert opened[-1]["location"] == "/wss"
    assert opened[-1]["server"] == "wcs.example.com"
    assert opened[-1]["upstream"] == "127.0.0.1:8080"
    assert opened[-1]["bytes_to_client"] > len("twelve bytes")
    refused = [line for line in lines if line["reason"] == "origin"]
    assert refused and refused[-1]["status"] == 403


def test_the_drop_in_is_loaded_and_nginx_starts_with_the_system(host):
    shown = host.check_output("systemctl show nginx --property=Restart,UnitFileState,NeedDaemonReload")
    assert set(shown.split()) == {"Restart=on-failure", "UnitFileState=enabled", "NeedDaemonReload=no"}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # deprecated, which is the point
def test_old_tls_versions_are_refused(gate):
    context = ssl.create_default_context(cafile=str(gate.ca_path))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as connection:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_hostname="wcs.example.com")
