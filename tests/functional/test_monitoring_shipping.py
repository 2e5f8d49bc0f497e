# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/monitoring.md gives for shipping the access log, as it stands there, by Debian's rsyslog and syslog-ng: a
gate's line arrives with its fields, from the next file as well, and no token is in it. The journal, which needs
systemd, is for scenario `monitoring`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib import pki, shippers, wire
from lib.local_gate import LocalGate, free_port
from lib.network_namespace import own_network
from lib.processes import running, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="file systems and networks of their own are for root"),
    pytest.mark.skipif(shippers.packages() is None, reason="make functional fetches them (WSSGATE_SHIPPERS)"),
]

NAME, ORIGIN = "gate.example.com", "https://app.example.com"
TOKEN, UNKNOWN = "Token-that-is-good-00001", "Token-of-nobody-at-all-01"
SHIPPERS = ("rsyslog", "syslog-ng")
KINDS: dict[str, Any] = {"string": str, "integer": int, "number": (int, float)}
SECTION = shippers.PAGE.read_text(encoding="utf-8").partition("## Ship the log")[2]
FIELDS = dict(re.findall(r"(?m)^\| `(\w+)` \| (string|integer|number)\b", SECTION))
IDENTITY = pki.issue(shippers.RECEIVER, names=[shippers.RECEIVER], ca=True)


@pytest.fixture(scope="module")
def gate() -> Iterator[LocalGate]:
    try:
        network = own_network()
        network.__enter__()
    except PermissionError:
        pytest.skip("no network namespace can be made here (CAP_SYS_ADMIN)")
    try:
        gate, upstream = LocalGate([]), free_port()
        common = {"upstream": f"http://127.0.0.1:{upstream}", "origins": [ORIGIN]}
        gate.port = free_port()
        gate.variables |= {
            "wss_proxy_certificates": [gate.certificate()],
            "wss_proxy_servers": [
                {
                    "name": "wss",
                    "server_names": [NAME],
                    "certificate": "gate",
                    "listen": [{"port": gate.port}],
                    "locations": [
                        {"path": "/wss", **common},
                        {"path": "/bearer", "sources": ["cookie", "bearer"], **common},
                    ],
                }
            ],
        }
        with running("echo_server", "--echo", f"127.0.0.1:{upstream}"), gate:
            gate.issue(TOKEN)
            yield gate
    finally:
        network.__exit__(None, None, None)


def ask(gate: LocalGate, request: wire.Request) -> int:
    with wire.handshake(wire.Endpoint(port=gate.port, server_name=NAME), request) as reply:
        return int(reply.status)


def asked(path: str = "/wss") -> wire.Request:
    return wire.Request(path, host=NAME).origin(ORIGIN)


def refused(gate: LocalGate) -> str:
    """The line of one more that is refused."""
    before = gate.access_log.read_text()
    assert ask(gate, asked().token(UNKNOWN)) == 403
    wait_for(lambda: gate.access_log.read_text() != before and gate.access_log.read_text().endswith("\n"))
    return gate.access_log.read_text().splitlines()[-1]


def rotate(gate: LocalGate) -> None:
    """As logrotate does, and once nginx has the new file."""
    gate.access_log.rename(gate.access_log.with_suffix(".log.1"))
    gate.access_log.touch()
    gate.access_log.chmod(0o666)
    gate.signal(signal.SIGUSR1)
    files = [Path(f"/proc/{pid}/fd") for pid in gate.workers()]
    wait_for(lambda: all(str(gate.access_log) in {os.readlink(fd) for fd in one.iterdir()} for one in files))


@pytest.mark.parametrize("heading", SHIPPERS)
def test_a_line_arrives_with_its_fields_from_each_file_and_no_token(
    gate: LocalGate, tmp_path: Path, heading: str
) -> None:
    assert ask(gate, asked().token(TOKEN)) == 101
    with (
        shippers.receiver(tmp_path / "receiver", IDENTITY) as received,
        shippers.running(heading, tmp_path, gate.log, IDENTITY.pem),
    ):
        for _file in range(2):
            line = refused(gate)
            wait_for(lambda line=line: line in received.read_text(), 30)
            found = json.loads(line)
            assert set(found) <= set(FIELDS)
            assert [name for name, value in found.items() if not isinstance(value, KINDS[FIELDS[name]])] == []
            assert (found["server"], found["location"], found["reason"]) == (NAME, "/wss", "token")
            rotate(gate)
        text = received.read_text()
    assert {name.rstrip(":") for name in re.findall(r"<\d+>1 \S+ \S+ (\S+)", text)} == {"wssgate"}
    assert TOKEN not in text and UNKNOWN not in text and "sessions.log" not in text


@pytest.mark.parametrize("heading", SHIPPERS)
@pytest.mark.parametrize("kind", ["another name", "another authority"])
def test_somebody_else_in_the_receiver_s_place_gets_nothing(
    gate: LocalGate, tmp_path: Path, heading: str, kind: str
) -> None:
    authority = pki.issue("authority", ca=True)
    name = "else.example.com" if kind == "another name" else shippers.RECEIVER
    other = pki.issue(name, authority if kind == "another name" else None, [name], ca=kind != "another name")
    with (
        shippers.receiver(tmp_path / "receiver", other) as received,
        shippers.running(heading, tmp_path, gate.log, authority.pem),
    ):
        refused(gate)
        time.sleep(4)
        assert received.read_text() == ""


def test_the_log_that_is_shipped_has_no_token_and_the_other_one_does(gate: LocalGate) -> None:
    before = len(gate.access_log.read_text().splitlines())
    assert ask(gate, asked().token(TOKEN)) == 101
    # It has what the shipped one must not have, and the page says so.
    wait_for(lambda: TOKEN in gate.session_log.read_text())
    assert "**Never ship the session log**, `/var/log/nginx/wssgate/sessions.log`" in SECTION
    requests = (
        asked().token(UNKNOWN),
        asked(f"/wss?token={UNKNOWN}").token(TOKEN),
        asked("/bearer").adding("Authorization", f"Bearer {UNKNOWN}"),
        asked("/bearer").adding("Authorization", f"Bearer {TOKEN}"),
        asked(f"/nowhere/{UNKNOWN}"),
        asked().token(TOKEN).adding("Sec-WebSocket-Protocol", UNKNOWN),
        asked().token(TOKEN).adding("Authorization", f"Bearer {UNKNOWN}"),
    )
    assert {ask(gate, request) for request in requests} >= {101, 401, 403, 404}
    wait_for(lambda: len(gate.access_log.read_text().splitlines()) >= before + 1 + len(requests))
    texts = [path.read_text() for path in gate.log.glob("wss_access.log*")]
    assert [word for word in (TOKEN, UNKNOWN) if any(word in text for text in texts)] == []
