# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that make a host prune its tokens by itself."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import shlex
import shutil
import stat
import typing as t

from .._host import files
from .._host.endpoint import Endpoint
from .._host.locks import PLACE as LOCKS
from .._host.shipped import MARKER, needed, package_files, start_program
from .._hub import settings as hub_settings
from .._issuers import state as key_state
from . import asked, key_units, left_open, metrics_settings, notify_settings, orders
from .hub_held import NAME as HELD
from .hub_position import POSITION
from .key_units import KeySets
from .notify_settings import STATE, Notify
from .prune import IDENTITY
from .service import IDENTITY as AGENT_IDENTITY
from .settings import Metrics

PROGRAM = "_agent.prune"
AGENT_PROGRAM = "_agent.service"
# Where 1.0.0 put them, all in one folder. They are removed.
FORMER_CODE = ("_token_pattern", "_token_store", "_sessions", "_prune")
# Seconds that a run may take. It waits for locks by itself, but not that long: one that hangs must not be the last one.
TIME_LIMIT = 300
PACKAGE = "wssgate_tokens"
UNITS = "/etc/systemd/system"
CRON = "/etc/cron.d"
TMPFILES = "/etc/tmpfiles.d"
SCHEDULERS = ("agent", "systemd", "cron", "none")

AGENT = """\
{marker}
[Unit]
Description=End every token and session of the WebSocket gate when it should end
Documentation=https://galaxy.ansible.com/ui/repo/published/wssgate/nginx/
# It is started again however often it ends: without it expired tokens would stay valid.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
Restart=always
RestartSec=1
WatchdogSec=30
TimeoutStartSec={limit}
TimeoutStopSec=10
# Some 20 MiB are usual, and 600 bytes for each token of a hub. More than this is a fault, and the next one begins with
# what is on the disk.
MemoryMax={memory}
TimerSlackNSec=10ms
# The locks, which only root may hold. They stay from run to run.
RuntimeDirectory={locks}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory={identity}
StateDirectoryMode=0700
SyslogIdentifier={identity}
# To close sockets, to read and remove what belongs to whoever owns the store, and to keep the session log append-only.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN CAP_LINUX_IMMUTABLE
NoNewPrivileges=yes
UMask=0077
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=yes
PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
{network}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@resources @mount @reboot @swap
KeyringMode=private

[Install]
WantedBy=multi-user.target
"""

SERVICE = """\
{marker}
[Unit]
Description=Remove expired tokens of the WebSocket gate and end their sessions
# With a short interval, systemd would take its starts for a service that cannot run.
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={command}
TimeoutStartSec={limit}
# The locks, which only root may hold. They stay from run to run.
RuntimeDirectory={locks}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
# What it reports is a notice; that it started and ended four times a minute is not.
SyslogLevel=notice
LogLevelMax=notice
SyslogIdentifier={identity}
# To close sockets, to read and remove what belongs to whoever owns the store, and to keep the session log append-only.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_DAC_OVERRIDE CAP_FOWNER CAP_CHOWN CAP_LINUX_IMMUTABLE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX
LockPersonality=yes
"""

TIMER = """\
{marker}
[Unit]
Description=Remove expired tokens of the WebSocket gate every {interval} s

[Timer]
OnBootSec={interval}
OnUnitInactiveSec={interval}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

CRONTAB = """\
{marker}
# cron knows minutes only, so that one call does the turns of a minute.
* * * * * root timeout -k 10 {limit} {command} --every {interval} --for 60 --syslog
"""


class Settings(t.NamedTuple):
    store: str
    session_log: str
    log_limit: int
    interval: int
    directory: str
    python: str
    end_on_removal: bool = True
    notify: t.Optional[Notify] = None
    revocations: str = ""
    key_sets: t.Optional[KeySets] = None
    hub: t.Optional[hub_settings.Settings] = None
    hub_password: str = ""
    metrics: t.Optional[Metrics] = None
    metrics_group: str = "root"

    def agent_command(self) -> t.List[str]:
        """The agent, which systemd runs all the time."""
        words = [self.python, "-I", self.directory + "/agent", "--store", self.store]
        if self.session_log:
            words += ["--session-log", self.session_log, "--log-limit", str(self.log_limit)]
        if not self.end_on_removal:
            words.append("--keep-on-removal")
        if self.key_sets is not None:
            words += ["--key-sets", self.key_sets.rules]
        if self.metrics is not None:
            words += metrics_settings.words(self.metrics)
        return [*words, *self._revocations()]

    def command(self) -> t.List[str]:
        words = [self.python, "-I", self.directory + "/prune", "--store", self.store]
        if self.session_log:
            words += ["--session-log", self.session_log, "--log-limit", str(self.log_limit)]
        return [*words, *self._revocations()]

    def _revocations(self) -> t.List[str]:
        return ["--revocations", self.revocations] if self.revocations else []


class Change(t.NamedTuple):
    path: str
    before: t.Optional[str]
    after: t.Optional[str]


# What ProtectHome= of the unit hides
HOMES = ("/home", "/root", "/run/user")


def is_home(path: str) -> bool:
    """Whether a path is where the unit may not look."""
    return any(path == home or path.startswith(home + "/") for home in HOMES)


def detect_scheduler() -> str:
    """What scheduler ``auto`` stands for on this host."""
    if runs_systemd():
        return "agent"
    if os.path.isdir(CRON) and (shutil.which("cron", path=_PATH) or shutil.which("crond", path=_PATH)):
        return "cron"
    return "none"


def runs_systemd() -> bool:
    """Whether systemd is the init system."""
    return os.path.isdir("/run/systemd/system")


_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


@functools.lru_cache(maxsize=None)
def code(scheduler: str = "", has_key_sets: bool = False) -> t.Tuple[str, ...]:
    """The pruner or the agent and all that it imports: files below module_utils, in the same folders below PACKAGE."""
    programs = [PROGRAM, AGENT_PROGRAM] if scheduler == "agent" else [PROGRAM]
    programs += [key_units.PROGRAM] if has_key_sets else []
    return tuple(dict.fromkeys(name for program in programs for name in needed(program)))


def wanted_files(settings: Settings, scheduler: str) -> t.Dict[str, str]:
    """Every file that shall be there, with its content."""
    package = settings.directory + "/" + PACKAGE
    key_sets = settings.key_sets if scheduler == "agent" else None
    wanted = package_files(package, code(scheduler, key_sets is not None))
    wanted[settings.directory + "/prune"] = start_program(settings.python, settings.directory, PACKAGE, PROGRAM)
    command = " ".join(shlex.quote(word) for word in settings.command())
    writable = ["-" + settings.store]
    if settings.session_log:
        writable.append("-" + os.path.dirname(settings.session_log))
    if settings.revocations:
        writable.append("-" + settings.revocations)
    if scheduler == "agent":
        wanted[settings.directory + "/agent"] = start_program(
            settings.python, settings.directory, PACKAGE, AGENT_PROGRAM
        )
        # The folder above it: within that a store that is mounted, unmounted or replaced is seen, and can be written.
        above = os.path.dirname(settings.store)
        if above != "/":
            writable[0] = "-" + above
        above = os.path.dirname(settings.revocations)
        if above not in ("", "/"):
            writable[-1] = "-" + above
        if settings.hub is not None:
            writable.append("-" + os.path.dirname(hub_settings.MARKER))
        if settings.metrics is not None:
            writable.append("-" + os.path.dirname(settings.metrics.path))
        writable = list(dict.fromkeys(writable))
        shares_tmp = any((word + "/").startswith(("-/tmp/", "-/var/tmp/")) for word in writable)
        wanted[f"{UNITS}/{AGENT_IDENTITY}.service"] = AGENT.format(
            marker=MARKER,
            identity=AGENT_IDENTITY,
            command=" ".join(shlex.quote(word) for word in settings.agent_command()).replace("%", "%%"),
            writable=" ".join(writable).replace("%", "%%"),
            limit=TIME_LIMIT,
            locks=os.path.basename(LOCKS),
            private_tmp="no" if shares_tmp else "yes",
            network=network_of(settings.notify, key_sets, settings.hub),
            memory="512M" if settings.hub is None else "2G",
        )
        if key_sets is not None:
            wanted[settings.directory + "/keys"] = start_program(
                settings.python, settings.directory, PACKAGE, key_units.PROGRAM
            )
            wanted.update(key_units.wanted_units(key_sets, UNITS, settings.python, settings.directory))
        at_boot = [
            (folder["path"], folder["mode"], folder["group"])
            for folder in metrics_settings.folders(settings.metrics, settings.metrics_group)
        ]
        if settings.hub is not None:
            at_boot.insert(0, (os.path.dirname(hub_settings.MARKER), "0755", "root"))
        if at_boot:
            lines = [f"d {folder} {mode} root {group} -" for folder, mode, group in at_boot]
            wanted[f"{TMPFILES}/{AGENT_IDENTITY}.conf"] = "\n".join([MARKER, *lines, ""])
        if settings.hub is not None:
            wanted[f"{STATE}/{hub_settings.NAME}"] = hub_settings.text_of(settings.hub) + "\n"
            if settings.hub_password:
                wanted[f"{STATE}/{hub_settings.PASSWORD_NAME}"] = settings.hub_password + "\n"
        if settings.notify is not None:
            wanted[secrets()] = notify_settings.text_of(settings.store, settings.notify)
    elif scheduler == "systemd":
        wanted[f"{UNITS}/{IDENTITY}.service"] = SERVICE.format(
            marker=MARKER,
            identity=IDENTITY,
            command=command.replace("%", "%%"),
            writable=" ".join(writable).replace("%", "%%"),
            limit=TIME_LIMIT,
            locks=os.path.basename(LOCKS),
        )
        wanted[f"{UNITS}/{IDENTITY}.timer"] = TIMER.format(marker=MARKER, interval=settings.interval)
    elif scheduler == "cron":
        wanted[f"{CRON}/{IDENTITY}"] = CRONTAB.format(
            marker=MARKER, command=command.replace("%", "\\%"), interval=settings.interval, limit=TIME_LIMIT
        )
    return wanted


def secrets() -> str:
    """The file of what the agent is told and its command line must not hold."""
    return f"{STATE}/{notify_settings.NAME}"


def private() -> t.Tuple[str, ...]:
    """All files of the agent that are for root alone."""
    return (secrets(), f"{STATE}/{hub_settings.NAME}", f"{STATE}/{hub_settings.PASSWORD_NAME}")


def network_of(
    notify: t.Optional[Notify],
    key_sets: t.Optional[KeySets] = None,
    hub: t.Optional[hub_settings.Settings] = None,
) -> str:
    """What the agent's unit may reach: the application, key sets and the hub alone, as far as that can be told."""
    if hub is not None:
        # Its primary may move, and have a name.
        return "RestrictAddressFamilies=AF_NETLINK AF_UNIX AF_INET AF_INET6"
    lines = ["RestrictAddressFamilies=AF_NETLINK AF_UNIX", "IPAddressDeny=any"]
    endpoints: t.List[Endpoint] = [] if key_sets is None else key_sets.endpoints()
    if notify is not None and not notify.endpoint.socket:
        endpoints.append(notify.endpoint)
    if not endpoints:
        return "\n".join(lines)
    lines[0] += " AF_INET AF_INET6"
    hosts = dict.fromkeys(endpoint.host for endpoint in endpoints)
    try:
        allowed = [host if host == "localhost" else str(ipaddress.ip_address(host)) for host in hosts]
    except ValueError:
        # One has a name. Its addresses, and those of who resolves it, may be others tomorrow.
        return lines[0]
    return "\n".join([*lines, *(f"IPAddressAllow={address}" for address in allowed)])


def possible_files(settings: Settings) -> t.List[str]:
    """Every file that any scheduler may need: what is not wanted of these goes away."""
    names: t.Dict[str, None] = {}
    for scheduler in SCHEDULERS:
        names.update(dict.fromkeys(wanted_files(settings, scheduler)))
    names.update(dict.fromkeys(package_files(f"{settings.directory}/{PACKAGE}", code("agent", has_key_sets=True))))
    names[settings.directory + "/keys"] = None
    names.update(dict.fromkeys(f"{UNITS}/{unit}" for unit in (key_units.PATH_UNIT, key_units.SERVICE_UNIT)))
    names.update(dict.fromkeys(f"{settings.directory}/{PACKAGE}/{name}.py" for name in FORMER_CODE))
    names.update(dict.fromkeys([*private(), f"{TMPFILES}/{AGENT_IDENTITY}.conf"]))
    return list(names)


def changes(settings: Settings, scheduler: t.Optional[str]) -> t.List[Change]:
    """What is to be written and removed; without a scheduler everything is removed."""
    wanted = {} if scheduler is None else wanted_files(settings, scheduler)
    found: t.List[Change] = []
    for path in possible_files(settings):
        before = _read(path)
        if before != wanted.get(path) or (path in wanted and _mode(path) != mode_of(path)):
            found.append(Change(path, before, wanted.get(path)))
    return found


def mode_of(path: str) -> int:
    """The mode of a file that is written."""
    return files.PRIVATE if path in private() else files.PUBLIC


def apply(settings: Settings, found: t.Sequence[Change]) -> None:
    """Write and remove files."""
    for change in found:
        if change.after is None:
            files.remove(change.path, follow=True)
        else:
            # An operator may have put the folder elsewhere with a link.
            files.make_folders(os.path.dirname(change.path), 0o700 if change.path in private() else files.FOLDER)
            files.write(
                change.path, change.after.encode("utf-8"), mode_of(change.path), follow=change.path not in private()
            )
        if change.after is None and change.path == f"{UNITS}/{AGENT_IDENTITY}.service":
            orders.forget(STATE)
            kept = (left_open.NAME, asked.NAME, notify_settings.NAME, POSITION, HELD)
            left_open.forget(STATE, (*kept, *key_state.NAMES))
        if change.after is None and change.path == f"{UNITS}/{key_units.PATH_UNIT}":
            for name in key_state.NAMES:
                files.remove(os.path.join(STATE, name))
    if any(change.after is None for change in found):
        package = settings.directory + "/" + PACKAGE
        if not os.path.exists(settings.directory + "/prune"):
            names = code("agent", has_key_sets=True)
            folders = [package + "/" + folder for folder in dict.fromkeys(name.partition(".")[0] for name in names)]
            for directory in (*folders, package):
                shutil.rmtree(directory + "/__pycache__", ignore_errors=True)
            for directory in (*folders, package, settings.directory):
                # Not empty: somebody else's files are in it.
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


def _read(path: str) -> t.Optional[str]:
    content = files.read(path)
    return None if content is None else content.decode("utf-8", "replace")


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)
