# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The units that make fetched keys live: one that sees what the agent has left, and one that is root to act on it."""

from __future__ import annotations

import os
import shlex
import typing as t

from .._host.endpoint import Endpoint, parse_url
from .._host.shipped import MARKER
from .._issuers.key_sets import RULES
from .._issuers.state import CANDIDATE
from .key_activation import IDENTITY
from .notify_settings import STATE

PROGRAM = "_agent.key_activation"
PATH_UNIT = IDENTITY + ".path"
SERVICE_UNIT = IDENTITY + ".service"
# Seconds that a run may take: it waits for a lock, and nginx has to test and to run the configuration.
TIME_LIMIT = 600

PATH = """\
{marker}
[Unit]
Description=See keys for signed tokens that the WebSocket gate has fetched

[Path]
PathExists={candidate}

[Install]
WantedBy=multi-user.target
"""

SERVICE = """\
{marker}
[Unit]
Description=Make fetched keys for signed tokens live in the WebSocket gate
# Of many issuers new keys may come a second apart. With systemd's own limit, 5 starts in 10 seconds, the unit that sees
# them would give up for good.
StartLimitIntervalSec=60
StartLimitBurst=100

[Service]
Type=oneshot
ExecStart={command}
TimeoutStartSec={limit}
SyslogIdentifier={identity}
# It tests nginx's configuration as nginx does, which reads certificates and opens logs and temporary files wherever
# they are, tells nginx to reload, and waits for its new workers.
CapabilityBoundingSet=CAP_KILL CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN CAP_FSETID CAP_LINUX_IMMUTABLE CAP_SYS_PTRACE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW CAP_SETUID CAP_SETGID CAP_SYS_RESOURCE
NoNewPrivileges=yes
ProtectSystem=full
ReadWritePaths={writable}
ProtectHome=read-only
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@mount @reboot @swap
KeyringMode=private
"""


class KeySets(t.NamedTuple):
    """What the units have to know: where key sets are fetched from, and whose nginx gets them."""

    urls: t.Tuple[str, ...]
    directory: str
    binary: str
    pid_file: str
    service: str
    error_log: str
    live_timeout: float

    @property
    def rules(self) -> str:
        """The file that names key sets and has their keys."""
        return os.path.join(self.directory, RULES)

    def endpoints(self) -> t.List[Endpoint]:
        """The servers; raise UrlError for what is no URL of one."""
        return [parse_url(url, "jwks_url", ("https",)) for url in self.urls]


def wanted_units(key_sets: KeySets, folder: str, python: str, directory: str) -> t.Dict[str, str]:
    """The units, by their paths in a folder; the program is in another one."""
    words = [python, "-I", directory + "/keys"]
    words += ["--directory", key_sets.directory, "--binary", key_sets.binary, "--pid-file", key_sets.pid_file]
    words += ["--live-timeout", f"{key_sets.live_timeout:g}"]
    for option, value in (("--service", key_sets.service), ("--error-log", key_sets.error_log)):
        words += [option, value] if value else []
    return {
        f"{folder}/{PATH_UNIT}": PATH.format(marker=MARKER, candidate=f"{STATE}/{CANDIDATE}"),
        f"{folder}/{SERVICE_UNIT}": SERVICE.format(
            marker=MARKER,
            identity=IDENTITY,
            command=" ".join(shlex.quote(word) for word in words).replace("%", "%%"),
            limit=TIME_LIMIT,
            writable=f"-{key_sets.directory}".replace("%", "%%"),
        ),
    }
