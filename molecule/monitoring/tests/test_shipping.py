# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/monitoring.md gives for shipping the access log, as it stands there, with Debian's packages: a line arrives
with its fields, from the next file as well, and no token is in it.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from lib import guide, pki, wire
from lib.processes import wait_for

HOST, ORIGIN = "wcs.example.com", "https://app.example.com"
LOG, SESSIONS = "/var/log/nginx/wss_access.log", "/var/log/nginx/wssgate/sessions.log"
TOKEN, UNKNOWN = "0123456789abcdefTESTship", "0123456789abcdefSTRANGER"
RECEIVER, PORT, RECEIVED = "logs.example.com", 6514, "/root/received"
PAGE = Path(__file__).resolve().parents[3] / "docs/monitoring.md"
# By the heading: the file's name and its content, as the page has them.
FILES = {block.heading: block for block in guide.blocks(PAGE) if block.name.startswith("/etc/")}
KINDS = {"string": str, "integer": int, "number": (int, float)}
FIELDS = dict(re.findall(r"(?m)^\| `(\w+)` \| (string|integer|number)\b", PAGE.read_text().partition("## Ship the")[2]))


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.certificate("wcs"), server_name=HOST)


def write(host, path: str, content: bytes) -> None:
    host.check_output(f"echo {base64.b64encode(content).decode()} | base64 -d >{path}")


def install(host, *packages: str) -> None:
    host.check_output(
        f"DEBIAN_FRONTEND=noninteractive apt-get -qqy install --no-install-recommends {' '.join(packages)}"
    )


def refused(host, endpoint) -> str:
    """The line of one more that is refused."""
    before = host.check_output(f"wc -l <{LOG}")

    def is_logged() -> bool:
        assert wire.handshake(endpoint, wire.Request("/wss", host=HOST).origin(ORIGIN).token(UNKNOWN)).status == 403
        return bool(host.check_output(f"wc -l <{LOG}") != before)

    # After a rotation nginx may write some more into the old file.
    wait_for(is_logged)
    return host.check_output(f"tail -n 1 {LOG}")


@pytest.fixture(scope="module")
def receiver(host):
    """Whoever vouches for it is among those that the host trusts."""
    identity = pki.issue(RECEIVER, names=[RECEIVER], ca=True)
    install(host, "ca-certificates")
    write(host, "/usr/local/share/ca-certificates/receiver.crt", identity.pem)
    write(host, "/root/receiver.pem", identity.pem + identity.key_pem)
    host.check_output("update-ca-certificates")
    host.check_output(f"grep -q {RECEIVER} /etc/hosts || echo 127.0.0.1 {RECEIVER} >>/etc/hosts")
    host.check_output(
        "systemd-run --unit=receiver --setenv=PYTHONPATH=/mnt/tests "
        f"python3 -m lib.log_receiver {PORT} /root/receiver.pem {RECEIVED}"
    )
    wait_for(lambda: host.run(f"ss -Hltn sport = :{PORT}").stdout)
    yield RECEIVED
    host.run("systemctl stop receiver")


def arrives(host, endpoint, find) -> None:
    """A line does, whole, and one of the file after the next rotation; ``find`` gives all that arrived."""
    for _file in range(2):
        line = refused(host, endpoint)
        wait_for(lambda line=line: line in find(), 40)
        host.check_output("logrotate --force /etc/logrotate.d/nginx")
        found = json.loads(line)
        assert set(found) <= set(FIELDS)
        assert {
            name: type(value).__name__ for name, value in found.items() if not isinstance(value, KINDS[FIELDS[name]])
        } == {}
        assert (found["server"], found["location"], found["status"], found["reason"]) == (HOST, "/wss", 403, "token")
    assert TOKEN not in find() and UNKNOWN not in find()


@pytest.mark.parametrize(
    ("heading", "packages"), [("rsyslog", ("rsyslog", "rsyslog-gnutls")), ("syslog-ng", ("syslog-ng-core",))]
)
def test_a_line_arrives_by_syslog_over_tls(host, endpoint, receiver, heading, packages):
    # The one takes the other's place.
    install(host, *packages)
    host.check_output(f": >{receiver}")
    write(host, FILES[heading].name, FILES[heading].content.encode())
    host.check_output(f"systemctl restart {heading}")
    # A header, and the line as it is
    arrives(host, endpoint, lambda: host.check_output(f"cat {receiver}"))
    headers = re.findall(r"<\d+>1 \S+ \S+ (\S+)", host.check_output(f"cat {receiver}"))
    assert {name.rstrip(":") for name in headers} == {"wssgate"}
    host.check_output(f"systemctl stop {heading}; rm {FILES[heading].name}")


def test_a_line_arrives_in_the_journal_and_from_there_elsewhere(host, endpoint, tmp_path):
    unit = FILES["journald"]
    write(host, unit.name, unit.content.encode())
    name = Path(unit.name).name
    host.check_output(f"systemctl daemon-reload && systemctl enable --now {name}")
    # It begins with what comes from then on.
    wait_for(lambda: refused(host, endpoint) and '"reason"' in host.run("journalctl -t wssgate -o cat").stdout)
    arrives(host, endpoint, lambda: host.check_output("journalctl -t wssgate -o cat"))
    command = next(block.content for block in guide.blocks(PAGE) if block.content.startswith("journalctl -t wssgate "))
    install(host, "jq", "systemd-journal-remote")
    assert re.fullmatch(r" *\d+ token", host.check_output(command.strip()))
    program = "/usr/lib/systemd/systemd-journal"
    host.check_output(
        f"mkdir -p /root/remote && systemd-run --unit=journal-remote {program}-remote "
        "--listen-http=127.0.0.1:19532 --output=/root/remote/all.journal --split-mode=none"
    )
    wait_for(lambda: host.run("ss -Hltn sport = :19532").stdout)
    host.check_output(
        f"systemd-run --unit=journal-upload {program}-upload --url=http://127.0.0.1:19532 --save-state=/root/u"
    )
    line = refused(host, endpoint)
    wait_for(lambda: line in host.run("journalctl --file=/root/remote/all.journal -t wssgate -o cat").stdout, 40)
    host.check_output(f"systemctl disable --now {name} journal-upload journal-remote 2>/dev/null; rm {unit.name}")


def test_the_log_that_is_shipped_has_no_token_and_the_other_one_does(host, endpoint):
    asked = wire.Request("/wss", host=HOST).origin(ORIGIN)
    host.check_output(f"touch /var/lib/nginx/tokens/{TOKEN}")
    before = int(host.check_output(f"wc -l <{LOG}"))
    try:
        with wire.handshake(endpoint, asked.token(TOKEN)) as reply:
            assert reply.upgraded
            assert TOKEN in wait_for(lambda: host.run(f"grep {TOKEN} {SESSIONS}").stdout)
        for request in (
            asked.token(UNKNOWN),
            wire.Request(f"/wss?token={UNKNOWN}", host=HOST).origin(ORIGIN).token(TOKEN),
            wire.Request("/bearer", host=HOST).origin(ORIGIN).adding("Authorization", f"Bearer {UNKNOWN}"),
            wire.Request(f"/nowhere/{UNKNOWN}", host=HOST).origin(ORIGIN),
            asked.token(TOKEN).adding("Sec-WebSocket-Protocol", UNKNOWN),
            asked.token(TOKEN).adding("Authorization", f"Bearer {UNKNOWN}"),
        ):
            with wire.handshake(endpoint, request) as reply:
                assert reply.status in (101, 400, 401, 403, 404)
        wait_for(lambda: int(host.check_output(f"wc -l <{LOG}")) >= before + 7)
    finally:
        host.check_output(f"rm -f /var/lib/nginx/tokens/{TOKEN}")
    assert host.run(f"grep -e {TOKEN} -e {UNKNOWN} {LOG} {LOG}.1").stdout == ""
