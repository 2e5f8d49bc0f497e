# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit of docs/monitoring.md, as it stands there, has each line of the access log in the journal, from where
Debian's systemd-journal-upload takes it. Other shippers are in tests/functional/test_monitoring_shipping.py.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from lib import guide, wire
from lib.processes import wait_for

HOST, ORIGIN = "wcs.example.com", "https://app.example.com"
LOG = "/var/log/nginx/wss_access.log"
UNKNOWN = "0123456789abcdefSTRANGER"
BLOCKS = [
    block
    for block in guide.blocks(Path(__file__).resolve().parents[3] / "docs/monitoring.md")
    if block.heading == "journald"
]


@pytest.fixture(scope="module")
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.certificate("wcs"), server_name=HOST)


def refused(host, endpoint) -> str:
    """The line of one more that is refused."""
    before = host.check_output(f"wc -l <{LOG}")

    def is_logged() -> bool:
        assert wire.handshake(endpoint, wire.Request("/wss", host=HOST).origin(ORIGIN).token(UNKNOWN)).status == 403
        return bool(host.check_output(f"wc -l <{LOG}") != before)

    # After a rotation nginx may write some more into the old file.
    wait_for(is_logged)
    return host.check_output(f"tail -n 1 {LOG}")


def test_a_line_arrives_in_the_journal_from_each_file_and_from_there_elsewhere(host, endpoint):
    unit, command = BLOCKS
    name, program = Path(unit.name).name, "/usr/lib/systemd/systemd-journal"
    content = base64.b64encode(unit.content.encode()).decode()
    host.check_output(f"echo {content} | base64 -d >{unit.name} && systemctl daemon-reload")
    host.check_output("apt-get -qqy install --no-install-recommends jq systemd-journal-remote")
    host.check_output(f"systemctl enable --now {name}")

    def journal(*options: str) -> str:
        return host.run(f"journalctl {' '.join(options)} -t wssgate -o cat").stdout

    try:
        # It begins with what comes from then on.
        wait_for(lambda: refused(host, endpoint) and '"reason"' in journal())
        for _file in range(2):
            line = refused(host, endpoint)
            wait_for(lambda line=line: line in journal())
            assert json.loads(line)["reason"] == "token" and UNKNOWN not in journal()
            host.check_output("logrotate --force /etc/logrotate.d/nginx")
        assert re.fullmatch(r" *\d+ token", host.check_output(command.content.strip()))
        host.check_output(
            f"mkdir -p /root/remote && systemd-run --unit=journal-remote {program}-remote "
            "--listen-http=127.0.0.1:19532 --output=/root/remote/all.journal --split-mode=none"
        )
        wait_for(lambda: host.run("ss -Hltn sport = :19532").stdout)
        upload = f"{program}-upload --url=http://127.0.0.1:19532 --save-state=/root/upload"
        host.check_output(f"systemd-run --unit=journal-upload {upload}")
        line = refused(host, endpoint)
        wait_for(lambda: line in journal("--file=/root/remote/all.journal"), 40)
    finally:
        host.run(f"systemctl stop journal-upload journal-remote; systemctl disable --now {name}; rm {unit.name}")
