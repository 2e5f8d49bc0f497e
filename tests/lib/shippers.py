# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's rsyslog and syslog-ng with a file of docs/monitoring.md in its own place, in a file system of their own: a
gate's logs are /var/log/nginx there. Nothing of this machine is touched.

The environment variable WSSGATE_SHIPPERS names a folder with the unpacked packages; `scripts/shippers.sh` fetches them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import guide, pki
from .processes import end, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/monitoring.md"
# As the page has them.
RECEIVER, PORT = "logs.example.com", 6514
LOG = "/var/log/nginx/wss_access.log"
# $0 and $1 are laid over the machine's own /etc and /usr, $2 is where the gate's logs are.
SCRIPT = """
set -eu
mount -t tmpfs tmpfs /var
mkdir -p /var/log/nginx /var/spool/rsyslog /var/lib/syslog-ng
mount --bind "$2" /var/log/nginx
mount -t tmpfs tmpfs /run
mount -t overlay -o lowerdir="$0:$1/etc:/etc" overlay /etc
mount -t overlay -o lowerdir="$1/usr:/usr" overlay /usr
shift 2
exec "$@"
"""
COMMANDS = {
    "rsyslog": ["/usr/sbin/rsyslogd", "-n", "-i", "/run/rsyslogd.pid"],
    "syslog-ng": ["/usr/sbin/syslog-ng", "--foreground", "--no-caps"],
}


def packages() -> Path | None:
    """The folder with the unpacked packages."""
    folder = os.environ.get("WSSGATE_SHIPPERS")
    return Path(folder) if folder else None


def example(heading: str) -> guide.Block:
    """The file that the page has below a heading."""
    (found,) = [one for one in guide.blocks(PAGE) if one.heading == heading and one.name.startswith("/etc/")]
    return found


@contextlib.contextmanager
def receiver(folder: Path, identity: pki.Identity) -> Iterator[Path]:
    """Somebody who takes what is sent to RECEIVER, and shows this certificate; the file that has it."""
    folder.mkdir()
    (folder / "pair.pem").write_bytes(identity.pem + identity.key_pem)
    output = folder / "received"
    output.touch()
    program = str(Path(__file__).with_name("log_receiver.py"))
    process = subprocess.Popen([sys.executable, program, str(PORT), str(folder / "pair.pem"), str(output)])

    def listens() -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", PORT)):
            return True
        return False

    try:
        wait_for(listens)
        yield output
    finally:
        end([process.pid])
        process.wait()


@contextlib.contextmanager
def running(heading: str, folder: Path, logs: Path, authority: bytes) -> Iterator[Path]:
    """The program with the page's file, for these logs; ``authority`` is all that the machine trusts. Its output."""
    root = packages()
    assert root is not None
    etc = folder / "etc"
    # The packages' own files read this machine's log and the kernel's besides.
    version = (root / "etc/syslog-ng/syslog-ng.conf").read_text(encoding="utf-8").splitlines()[0]
    file = example(heading)
    for name, content in {
        "hosts": f"127.0.0.1 localhost {RECEIVER}\n",
        "ssl/certs/ca-certificates.crt": authority.decode(),
        "rsyslog.conf": f'global(workDirectory="/var/spool/rsyslog")\ninclude(file="{file.name}")\n',
        "syslog-ng/syslog-ng.conf": f'{version}\n@include "scl.conf"\n@include "{file.name}"\n',
        file.name.removeprefix("/etc/"): file.content,
    }.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(content, encoding="utf-8")
    output = folder / "output"
    command = ["unshare", "--mount", "sh", "-c", SCRIPT, str(etc), str(root), str(logs), *COMMANDS[heading]]
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield output
        assert process.poll() is None, output.read_text(errors="replace")
    finally:
        end([process.pid])
        process.wait()
