# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.molecule.gate import Gate
from lib.molecule.nginx_host import NginxHost

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"


@pytest.fixture
def nginx(gate: Gate) -> Iterator[NginxHost]:
    """The host as deployed, and as deployed again afterwards."""
    nginx = NginxHost.prepared(gate)
    before = nginx.snapshot()
    yield nginx
    nginx.sh("systemctl is-active --quiet nginx || systemctl start nginx")
    nginx.apply(nginx.files)
    assert nginx.snapshot() == before


def deploy(nginx: NginxHost, **variables: Any) -> tuple[int, str]:
    """Run the roles, as a user would; the exit status and what Ansible printed, in one line."""
    finished = subprocess.run(
        [
            "ansible-playbook",
            "--inventory",
            os.environ["MOLECULE_INVENTORY_FILE"],
            "--limit",
            nginx.gate.name,
            "--extra-vars",
            json.dumps(variables),
            str(CONVERGE),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_NOCOLOR": "1",
        },
    )
    return finished.returncode, " ".join((finished.stdout + finished.stderr).replace('\\"', '"').split())


# -- through the roles; what nginx refuses is scenario bad_input's business --------------------------------------------


def test_a_server_taken_out_of_the_inventory_loses_its_file_and_nothing_else_changes(nginx: NginxHost) -> None:
    if "debian12" in nginx.gate.name:
        pytest.skip("it takes long, and nothing in it depends on the system; once is enough")
    nginx.sh(
        "echo '# theirs' > /etc/nginx/conf.d/theirs.conf; echo '# theirs' > /etc/nginx/wssgate.d/theirs.conf; "
        "systemctl reload nginx"
    )
    servers = [
        {
            "name": "first",
            "listen": [{"port": 8081, "address": "127.0.0.1", "tls": False}],
            "locations": [
                {
                    "path": "/wss",
                    "upstream": "http://127.0.0.1:8080",
                    "auth": "none",
                    "origins": ["https://app.example.com"],
                }
            ],
        }
    ]
    names = nginx.sh("cd /etc/nginx; find . -not -name '*second*' -not -name 'gate.conf' -type f | xargs sha256sum")
    try:
        status, output = deploy(nginx, wss_proxy_servers=servers)
        assert status == 0, output
        assert "second" not in nginx.sh("ls /etc/nginx/wssgate.d")
        assert nginx.sh("cd /etc/nginx; find . -not -name 'gate.conf' -type f | xargs sha256sum") == names
    finally:
        nginx.sh("rm /etc/nginx/conf.d/theirs.conf /etc/nginx/wssgate.d/theirs.conf")


# -- what cannot become live; more of that, kills among it, is in tests/functional/test_transaction.py -----------------


def test_a_listener_that_widens_is_rolled_back_or_restarted_when_that_is_allowed(nginx: NginxHost) -> None:
    narrow, wide = nginx.with_server("127.0.0.1:9001"), nginx.with_server("0.0.0.0:9001", "wide")
    nginx.apply(narrow)
    master, before = nginx.master, nginx.snapshot()
    result = nginx.attempt(wide)
    assert result["failed"] and "still could not bind()" in result["msg"] and "allow_restart" in result["msg"]
    assert (nginx.master, nginx.snapshot(), nginx.get(9001)) == (master, before, "hello")

    result = nginx.apply(wide, allow_restart=True)
    assert result["restarted"] and nginx.get(9001) == "wide"
    assert nginx.sh("systemctl is-active nginx").strip() == "active"
    assert int(nginx.sh("systemctl show --value --property MainPID nginx")) == nginx.master
    # Back again: the other way round nginx can't do it either.
    assert nginx.apply(narrow, allow_restart=True)["restarted"]


def test_a_listener_goes_while_sessions_are_open_on_it(nginx: NginxHost) -> None:
    # An upstream that answers slowly: the session is open while the listener goes.
    nginx.write("/root/slow.py", _SLOW_UPSTREAM)
    nginx.write("/root/session.py", _SESSION)
    nginx.sh("rm -f /root/session /root/go; systemd-run --unit slow python3 /root/slow.py 9003")
    try:
        nginx.wait_for("ss -ltn | grep -q 127.0.0.1:9003")
        nginx.apply(
            nginx.with_server(
                "127.0.0.1:9001", extra="location /slow { proxy_pass http://127.0.0.1:9003; proxy_buffering off; }"
            )
        )
        nginx.sh("systemd-run --unit session sh -c 'exec python3 /root/session.py > /root/session'")
        nginx.wait_for("grep -q begin /root/session")
        assert nginx.apply(nginx.files)["reloaded"]
        assert nginx.get(9001) == ""
        assert nginx.sh("cat /root/session") == "begin\n"
        nginx.sh("touch /root/go")
        nginx.wait_for("grep -q end /root/session")
    finally:
        nginx.sh("systemctl stop slow session || true")


def test_a_full_disk_while_staging_changes_nothing(nginx: NginxHost) -> None:
    nginx.apply(nginx.with_server("127.0.0.1:9001"))
    # The same configuration on a filesystem with next to no room.
    nginx.sh(
        "mkdir -p /mnt/small; mount -t tmpfs -o size=512k none /mnt/small; cp -a /etc/nginx/. /mnt/small; "
        "mount --bind /mnt/small /etc/nginx"
    )
    try:
        before = nginx.snapshot()
        result = nginx.attempt(nginx.with_server("127.0.0.1:9001", extra="# " + "x" * 60000 + "\n" + "# y\n" * 120000))
        assert result["failed"] and "No space left on device" in result["msg"]
        assert nginx.snapshot() == before and nginx.get(9001) == "hello"
    finally:
        nginx.sh("umount /etc/nginx /mnt/small")


# -- the nginx that is there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["systemctl stop nginx", "systemctl kill --signal KILL nginx; systemctl stop nginx"])
def test_a_dead_nginx_is_started_by_its_service(nginx: NginxHost, end: str) -> None:
    nginx.sh(end)
    nginx.sh("echo 1 > /run/nginx.pid")
    result = nginx.apply(nginx.with_server("127.0.0.1:9001"))
    assert result["started"] and not result["reloaded"]
    assert nginx.get(9001) == "hello"
    assert int(nginx.sh("systemctl show --value --property MainPID nginx")) == nginx.master


def test_uninstalling_brings_back_what_the_package_had(nginx: NginxHost) -> None:
    result = nginx.apply({}, present=False, absent=[])
    assert result["reloaded"]
    assert nginx.sh("dpkg --verify nginx-common nginx || true") == ""
    assert nginx.sh("readlink /etc/nginx/sites-enabled/default").strip() == "/etc/nginx/sites-available/default"
    assert "wssgate" not in nginx.sh("find /etc/nginx; nginx -T 2>/dev/null")
    assert "Welcome to nginx" in nginx.get(80)
    assert not nginx.apply({}, present=False, absent=[])["changed"]


_SLOW_UPSTREAM = """
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nbegin\\n")
        while not os.path.exists("/root/go"):
            time.sleep(0.05)
        connection.sendall(b"end\\n")
"""
_SESSION = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", 9001))
connection.sendall(b"GET /slow HTTP/1.0\\r\\n\\r\\n")
for line in connection.makefile():
    if line.strip() in ("begin", "end"):
        print(line.strip(), flush=True)
"""
