#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token_pruner
short_description: Have a host end tokens and their sessions by itself
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Installs the agent of a gate, a service of systemd that ends every token at its second, and the sessions of a token
    as soon as its file is gone, however it was removed.
  - Where systemd does not run it installs the pruner instead, which removes the tokens whose end has passed and ends
    their sessions every few seconds, and an entry of cron that runs it.
  - The pruner is the same code as module M(wssgate.nginx.wss_token), put on the host once. It needs Python and nothing
    of Ansible.
  - The pruner runs with the system's own Python (C(/usr/bin/python3), else another one of the system), so that neither
    a virtual environment of Ansible nor an upgrade of the system takes it away. Only where none of Python 3.8 or newer
    is there it runs with Ansible's.
  - At the end it is run once, as its timer does. The module fails when the pruner cannot work, and warns when it worked
    and left something undone, such as a session that could not be ended.
  - It logs the number of tokens and their fingerprints to the journal, or with cron to syslog. It is silent when
    nothing happened.
options:
  state:
    description:
      - V(present) installs the pruner and runs it at the given interval.
      - V(absent) removes it and what runs it. Tokens are not touched.
    type: str
    choices: [present, absent]
    default: present
  store:
    description:
      - Absolute path of the token store. With systemd not below C(/home), C(/root) or C(/run/user), where its units may
        not look.
      - The alias O(path) was added in version 1.1.0, so that C(module_defaults) of the group C(wssgate.nginx.tokens)
        sets it as well.
    type: path
    aliases: [path]
    default: /var/lib/nginx/tokens
  session_log:
    description:
      - Absolute path of the session log. Empty means that sessions are not ended. With systemd not below
        C(/home), C(/root) or C(/run/user).
    type: str
    default: /var/log/nginx/wssgate/sessions.log
  log_limit:
    description:
      - Size in bytes beyond which the session log is shortened. Lines about open sessions stay.
    type: int
    default: 4194304
  interval:
    description:
      - Seconds between two runs of the pruner, 1 to 3600. With cron at most 60. The agent needs none.
    type: int
    default: 15
  scheduler:
    description:
      - V(auto) takes V(agent) where systemd is the init system, else V(cron) where that is installed, else V(none).
      - V(agent) is the service C(wssgate-agent). It was added in version 1.1.0.
      - With V(systemd) a timer, and with V(cron) cron, runs the pruner every O(interval) seconds. Neither looks at what
        happens in between.
      - With V(none) the pruner is installed and nothing runs it.
      - When another one is chosen, what ran before goes after the new one works.
    type: str
    choices: [auto, agent, systemd, cron, none]
    default: auto
  end_on_removal:
    description:
      - Whether the agent ends the sessions of a token whose file somebody removes by hand. Sessions of tokens whose end
        has come, and of those that M(wssgate.nginx.wss_token) removes with
        O(wssgate.nginx.wss_token#module:disconnect=true), are ended in any case.
      - Sessions that had no token any more when the agent first started are left as they are.
    type: bool
    default: true
    version_added: 1.1.0
  revocations:
    description:
      - Absolute path of the folder of what was taken back of signed tokens (M(wssgate.nginx.wss_revocation)). Their
        sessions are ended, and what stands for tokens whose time is over is removed. Empty means that nobody looks.
        With systemd not below C(/home), C(/root) or C(/run/user).
    type: str
    default: ''
    version_added: 1.1.0
  notify_url:
    description:
      - Where the agent sends a signed POST before it ends sessions, so that the application can close them with a code
        of its own. V(http://HOST[:PORT]/PATH), V(https://HOST[:PORT]/PATH) or V(http://unix:/SOCKET:/PATH). Empty means
        that nobody is told.
      - Only the agent does it, and only with O(session_log).
    type: str
    default: ''
    version_added: 1.1.0
  notify_key:
    description:
      - The secret that the application checks the signature with, C(whsec_) and the base64 of 24 to 64 random bytes, as
        Standard Webhooks has it. It is written to a file for root alone.
    type: str
    version_added: 1.1.0
  notify_grace:
    description:
      - Seconds, 0 to 60, that the application has to close the sessions before the kernel does. New handshakes are
        refused at once.
    type: int
    default: 0
    version_added: 1.1.0
  notify_ca_path:
    description:
      - File on the host with the certificates, in PEM, of the authorities that may vouch for the application. It is
        read when the module runs. Without it those of the system count.
    type: path
    version_added: 1.1.0
  key_sets:
    description:
      - Key sets of issuers of signed tokens that the agent fetches, and the nginx that gets their keys. A unit of
        systemd makes new keys live, through the same transaction as M(wssgate.nginx.nginx_config).
      - Only the agent does it. Without this option nothing is fetched, and the agent reaches no network for it.
    type: dict
    version_added: 1.1.0
    suboptions:
      urls:
        description:
          - Where the sets are. The agent may connect to these addresses, and to any where one of them is a name. Which
            set is whose is in the rules of role wss_proxy, below O(key_sets.directory).
        type: list
        elements: str
        required: true
      directory:
        description: Folder of nginx's configuration.
        type: path
        default: /etc/nginx
      binary:
        description: Absolute path of nginx.
        type: path
        default: /usr/sbin/nginx
      pid_file:
        description: Absolute path of nginx's pid file.
        type: path
        default: /run/nginx.pid
      service:
        description: Name of nginx's service.
        type: str
        default: nginx
      error_log:
        description: Absolute path of nginx's log.
        type: path
      live_timeout:
        description: Seconds within which nginx has to run new keys.
        type: float
        default: 10
  metrics:
    description:
      - File that the agent keeps writing what it counts to, in Prometheus's text format, and the nginx that it is
        about.
      - Only the agent does it. It needs the Python package C(prometheus_client) for the system's Python, and tells when
        certificates end where C(cryptography) is there as well.
    type: dict
    version_added: 1.1.0
    suboptions:
      path:
        description:
          - Absolute path of the file, not below C(/home), C(/root), C(/run/user), C(/tmp) or C(/var/tmp). What the
            agent goes on counting with after a restart is beside it, in the same name with C(.state) behind.
          - A folder within C(/run) is made, also at each boot. Any other has to be there.
        type: path
        required: true
      group:
        description: Group that may read what is in a folder within C(/run).
        type: str
        default: root
      main_file:
        description: Absolute path of nginx's main file.
        type: path
        default: /etc/nginx/nginx.conf
      binary:
        description: Absolute path of nginx.
        type: path
        default: /usr/sbin/nginx
      pid_file:
        description: Absolute path of nginx's pid file.
        type: path
        default: /run/nginx.pid
      drain_path:
        description: Absolute path of the drain file of M(wssgate.nginx.wss_drain). Empty where there is none.
        type: str
        default: /etc/nginx/wssgate.drain
  hub:
    description:
      - The hub that the agent follows, see role P(wssgate.nginx.token_store#role). Only the agent does it.
      - It is what lookup P(wssgate.nginx.hub_client#lookup) returns, as far as the options below go.
    type: dict
    version_added: 1.1.0
    suboptions:
      fleet:
        description: Name of the fleet in the hub's keys.
        type: str
        required: true
      gate:
        description: Name of this gate in them.
        type: str
        required: true
      gates:
        description: Names of all gates of the fleet.
        type: list
        elements: str
        default: []
      server:
        description: Where the hub is, with C(host) and C(port).
        type: dict
      sentinels:
        description: Its Sentinels, each with C(host) and C(port), instead of O(hub.server).
        type: list
        elements: dict
        default: []
      service:
        description: Name that the Sentinels have for it.
        type: str
        default: wssgate
      sentinel_auth:
        description: Whether to log in to the Sentinels.
        type: bool
        default: true
      ca_path:
        description: File with the authorities that may vouch for it, in PEM. Empty for the system's.
        type: str
        default: ''
      username:
        description: User that the gate logs in as.
        type: str
        required: true
      password:
        description: Its password. It is written to a file for root alone.
        type: str
        default: ''
      password_path:
        description: File that has it, where O(hub.password) is empty.
        type: str
        default: ''
      issuers:
        description: Each issuer's C(name), C(max_ttl), C(subjects) and C(max_tokens).
        type: list
        elements: dict
        default: []
      startup_grace:
        description: Seconds after which the gate lets in by what it has, though it has not caught up. With 0 it waits.
        type: int
        default: 0
      max_staleness:
        description:
          - Seconds without an answer of the hub after which the gate lets nobody in by a token, until it has caught up.
            With 0 it never refuses.
        type: int
        default: 0
      max_token_lifetime:
        description:
          - Longest life of a signed token that the gate takes, in seconds. What is taken back through the hub without
            an end is kept for so long.
        type: int
        default: 86400
  directory:
    description:
      - Where the pruner is installed.
    type: path
    default: /usr/local/lib/wssgate
  folders:
    description:
      - Folders that have to be there before the pruner runs, such as the store and that of the session log.
      - Folders above them that are missing are made in the same way. A symlink in the place of one is refused.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      path:
        description: Absolute path of the folder.
        type: path
        required: true
      owner:
        description: Name of the owner, or a number in quotes.
        type: str
        default: root
      group:
        description: Name of the group, or a number in quotes.
        type: str
        required: true
      mode:
        description: Permissions, as an octal number in quotes.
        type: str
        required: true
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.tokens
attributes:
  diff_mode:
    description: Returns what has changed. Of the program it returns the number of lines and the SHA-256 of each file.
    support: full
seealso:
  - module: wssgate.nginx.wss_token
  - module: wssgate.nginx.wss_token_pruner_info
"""

EXAMPLES = r"""
- name: Remove expired tokens every 15 seconds
  wssgate.nginx.wss_token_pruner:

- name: Leave pruning to somebody else
  wssgate.nginx.wss_token_pruner:
    state: absent
"""

RETURN = r"""
scheduler:
  description: What runs the pruner, V(systemd), V(cron) or V(none).
  returned: success
  type: str
  sample: systemd
changed_files:
  description: The files that were written or removed, and the folders that were made or changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/wssgate-token-prune.timer]
"""

import os
import ssl
import sys
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import files, owned
from ..module_utils._host.diff import in_one_line
from ..module_utils._host.error import HostError
from ..module_utils._host.run import run
from ..module_utils._host.shipped import choose_python
from ..module_utils._agent import key_units, metrics_settings, notify_settings
from ..module_utils._agent.key_units import KeySets
from ..module_utils._agent.notify_settings import STATE, Notify, NotifyError
from ..module_utils._agent.service import IDENTITY as AGENT_IDENTITY
from ..module_utils._agent.prune import DONE, IDENTITY, LEFT_SOMETHING
from ..module_utils._agent.install import (
    TIME_LIMIT,
    UNITS,
    Change,
    Settings,
    apply,
    changes,
    is_home,
    detect_scheduler,
    runs_systemd,
    private,
    secrets,
)
from ..module_utils._agent.state import agent_problems, last_run
from ..module_utils._hub import settings as hub_settings
from ..module_utils._hub.merge import Rules
from ..module_utils._hub.error import HubError
from ..module_utils._sessions.protection import release_all
from ..module_utils._tokens.record import StoreError
from ..module_utils._tokens.store import check_path

TIMER = IDENTITY + ".timer"
AGENT = AGENT_IDENTITY + ".service"
SERVICE = IDENTITY + ".service"
# A run of the pruner, which systemctl and cron's command wait for, and what systemd needs to end it.
PATIENCE = TIME_LIMIT + 120


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "store": {"type": "path", "aliases": ["path"], "default": "/var/lib/nginx/tokens"},
        "session_log": {"type": "str", "default": "/var/log/nginx/wssgate/sessions.log"},
        "log_limit": {"type": "int", "default": 4194304},
        "interval": {"type": "int", "default": 15},
        "scheduler": {"type": "str", "choices": ["auto", "agent", "systemd", "cron", "none"], "default": "auto"},
        "directory": {"type": "path", "default": "/usr/local/lib/wssgate"},
        "end_on_removal": {"type": "bool", "default": True},
        "revocations": {"type": "str", "default": ""},
        "notify_url": {"type": "str", "default": ""},
        "notify_key": {"type": "str", "no_log": True},
        "notify_grace": {"type": "int", "default": 0},
        "notify_ca_path": {"type": "path"},
        "key_sets": {
            "type": "dict",
            # The sets are of public keys.
            "no_log": False,
            "options": {
                "urls": {"type": "list", "elements": "str", "required": True},
                "directory": {"type": "path", "default": "/etc/nginx"},
                "binary": {"type": "path", "default": "/usr/sbin/nginx"},
                "pid_file": {"type": "path", "default": "/run/nginx.pid"},
                "service": {"type": "str", "default": "nginx"},
                "error_log": {"type": "path"},
                "live_timeout": {"type": "float", "default": 10},
            },
        },
        "metrics": {
            "type": "dict",
            "options": {
                "path": {"type": "path", "required": True},
                "group": {"type": "str", "default": "root"},
                "main_file": {"type": "path", "default": "/etc/nginx/nginx.conf"},
                "binary": {"type": "path", "default": "/usr/sbin/nginx"},
                "pid_file": {"type": "path", "default": "/run/nginx.pid"},
                "drain_path": {"type": "str", "default": "/etc/nginx/wssgate.drain"},
            },
        },
        "hub": {
            "type": "dict",
            "options": {
                "fleet": {"type": "str", "required": True},
                "gate": {"type": "str", "required": True},
                "gates": {"type": "list", "elements": "str", "default": []},
                "server": {"type": "dict"},
                "sentinels": {"type": "list", "elements": "dict", "default": []},
                "service": {"type": "str", "default": "wssgate"},
                "sentinel_auth": {"type": "bool", "default": True},
                "ca_path": {"type": "str", "default": ""},
                "username": {"type": "str", "required": True},
                "password": {"type": "str", "default": "", "no_log": True},
                "password_path": {"type": "str", "default": "", "no_log": False},
                "issuers": {"type": "list", "elements": "dict", "default": []},
                "startup_grace": {"type": "int", "default": 0},
                "max_staleness": {"type": "int", "default": 0},
                # A number of seconds
                "max_token_lifetime": {"type": "int", "default": 86400, "no_log": False},
            },
        },
        "folders": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": {"type": "path", "required": True},
                "owner": {"type": "str", "default": "root"},
                "group": {"type": "str", "required": True},
                "mode": {"type": "str", "required": True},
            },
        },
    }


def settings_of(module: AnsibleModule, scheduler: str) -> Settings:
    params = module.params
    interval = params["interval"]
    longest = 60 if scheduler == "cron" else 3600
    if not 1 <= interval <= longest:
        raise StoreError(f"interval must be 1 to {longest} seconds with {scheduler}, not {interval}")
    if params["log_limit"] < 65536:
        raise StoreError(f"log_limit must be 65536 bytes or more, not {params['log_limit']}")
    paths = {}
    for name in ("store", "session_log", "directory", "revocations"):
        value = params[name]
        if value and any(character.isspace() for character in value):
            raise StoreError(f"{name} must not hold blanks: {value!r}")
        paths[name] = check_path(value) if value else ""
        if scheduler in ("agent", "systemd") and name != "directory" and is_home(paths[name]):
            raise StoreError(
                f"{name} {paths[name]}: the pruner that systemd runs may not look below /home, /root and /run/user: "
                "choose another path, or scheduler cron"
            )
    return Settings(
        store=paths["store"],
        session_log=paths["session_log"],
        log_limit=params["log_limit"],
        interval=interval,
        directory=paths["directory"],
        python=choose_python(sys.executable),
        end_on_removal=params["end_on_removal"],
        notify=notify_of(module, scheduler) if params["state"] == "present" else None,
        revocations=paths["revocations"],
        key_sets=key_sets_of(params["key_sets"], scheduler) if params["state"] == "present" else None,
        hub=hub_of(params["hub"], scheduler) if params["state"] == "present" else None,
        hub_password=(params["hub"] or {}).get("password") or "",
        metrics=metrics_settings.read(params["metrics"], scheduler) if params["state"] == "present" else None,
        metrics_group=(params["metrics"] or {}).get("group") or "root",
    )


def key_sets_of(given: t.Optional[t.Mapping[str, t.Any]], scheduler: str) -> t.Optional[KeySets]:
    """The key sets that the agent fetches, where there are some."""
    if not given or not given["urls"]:
        return None
    if scheduler != "agent":
        raise StoreError(
            f"jwks_url needs the agent, which this host does not have with scheduler {scheduler}: give the issuer keys "
            "in place of it, or have the agent where systemd runs"
        )
    found = KeySets(**{**given, "urls": tuple(given["urls"]), "error_log": given["error_log"] or ""})
    found.endpoints()
    for name in ("directory", "binary", "pid_file", "error_log"):
        value = getattr(found, name)
        if value and (any(character.isspace() for character in value) or not os.path.isabs(value)):
            raise StoreError(f"key_sets: {name} must be an absolute path without blanks, not {value!r}")
    return found


def hub_of(given: t.Optional[t.Mapping[str, t.Any]], scheduler: str) -> t.Optional[hub_settings.Settings]:
    """The hub that the agent follows, where there is one."""
    if not given:
        return None
    if scheduler != "agent":
        raise HubError(
            f"hub needs the agent, which this host does not have with scheduler {scheduler}: leave it out, or have the "
            "agent where systemd runs"
        )
    places = given["sentinels"] or [given["server"] or {}]
    try:
        servers = tuple((str(place["host"]), int(place["port"])) for place in places)
        issuers = tuple(
            (
                str(one["name"]),
                Rules(int(one["max_ttl"]), tuple(map(str, one["subjects"])), int(one["max_tokens"])),
            )
            for one in given["issuers"]
        )
    except (KeyError, TypeError, ValueError):
        raise HubError(
            "hub: server and sentinels have host and port, issuers name, max_ttl, subjects and max_tokens"
        ) from None
    found = hub_settings.Settings(
        fleet=given["fleet"],
        gate=given["gate"],
        servers=servers,
        username=given["username"],
        password_path=f"{STATE}/{hub_settings.PASSWORD_NAME}" if given["password"] else given["password_path"],
        service=given["service"] if given["sentinels"] else "",
        sentinel_auth=given["sentinel_auth"],
        ca_path=given["ca_path"],
        issuers=issuers,
        gates=tuple(given["gates"]),
        marker=hub_settings.MARKER,
        startup_grace=given["startup_grace"],
        max_staleness=given["max_staleness"],
        longest_signed=given["max_token_lifetime"],
    )
    if not found.password_path:
        raise HubError("hub needs password or password_path")
    hub_settings.check(found)
    return found


def notify_of(module: AnsibleModule, scheduler: str) -> t.Optional[Notify]:
    """The application that is told of ends, where there is one."""
    params = module.params
    url, key, grace, path = (params["notify_" + name] for name in ("url", "key", "grace", "ca_path"))
    if not url:
        without = [name for name in ("notify_key", "notify_grace", "notify_ca_path") if params[name]]
        if without:
            raise NotifyError(f"{without[0]} needs notify_url: set both, or neither")
        return None
    if scheduler != "agent":
        raise NotifyError(
            f"notify_url needs the agent, which this host does not have with scheduler {scheduler}: "
            "leave it out, or have the agent where systemd runs"
        )
    if not params["session_log"]:
        raise NotifyError("notify_url needs session_log: without it nobody can tell which sessions end")
    found = Notify(url, key or "", grace)
    if not key:
        raise NotifyError("notify_url needs notify_key, the secret by which the application knows who sends")
    found.check()
    if path:
        found = found._replace(ca=authorities(module, path))
        found.check()
    return found


def authorities(module: AnsibleModule, path: str) -> str:
    """The certificates in a file of the host."""
    if not os.path.isabs(path):
        raise NotifyError(f"notify_ca_path must be absolute, not {path!r}")
    try:
        data = files.read(path, follow=True)
        if data is None:
            if module.check_mode:
                module.warn(f"notify_ca_path {path} does not exist yet")
                return ""
            raise NotifyError(f"notify_ca_path {path} is not on this host: put it there before, or leave it out")
        text = data.decode("ascii")
        ssl.create_default_context(cadata=text)
    except (ValueError, ssl.SSLError):
        raise NotifyError(f"notify_ca_path {path} holds no certificates in PEM") from None
    return text


def systemctl(*words: str) -> None:
    code, output, errors = run(["systemctl", *words], PATIENCE)
    if code != 0:
        raise StoreError(f"systemctl {' '.join(words)} failed: {(errors or output).strip()}")


def is_running(scheduler: str, has_key_sets: bool = False) -> bool:
    """Whether what runs the pruner runs and will at the next boot."""
    unit = {"agent": AGENT, "systemd": TIMER}.get(scheduler)
    units = [unit] if unit is not None else []
    units += [key_units.PATH_UNIT] if has_key_sets else []
    return not units or all(
        run(["systemctl", verb, "--quiet", one]).status == 0 for one in units for verb in ("is-enabled", "is-active")
    )


def keep_folder(module: AnsibleModule, wanted: t.Mapping[str, t.Any]) -> t.Optional[t.Dict[str, str]]:
    """Have a folder as wanted; return the diff, or nothing where it was so already."""
    path = check_path(wanted["path"])
    found = owned.look(path)
    if found.kind not in (owned.ABSENT, owned.FOLDER):
        raise StoreError(f"{path} is there and no folder (a symlink is none): remove it, or choose another path")
    given = dict(wanted)
    for database, option in (("passwd", "owner"), ("group", "group")):
        if not owned.is_known(database, wanted[option]):
            if not module.check_mode:
                raise StoreError(
                    f"{option} {wanted[option]} of {path} is not on this host: make it first, or name another"
                )
            # A dry run cannot know what an earlier task of the play would make.
            given[option] = None
    changed = found.kind == owned.ABSENT
    if not module.check_mode:
        for folder in owned.missing_folders(path):
            files.make_folder(folder, 0o700)
            module.set_fs_attributes_if_different(module.load_file_common_arguments(given, folder), False)
    if found.kind == owned.FOLDER:
        changed = module.set_fs_attributes_if_different(module.load_file_common_arguments(given, path), False)
    if not changed:
        return None
    before = "" if found.kind == owned.ABSENT else f"{found.shown()}\n"
    return _diff(path, before, f"{wanted['owner']}:{wanted['group']} {wanted['mode']}\n")


def present(module: AnsibleModule) -> t.Dict[str, t.Any]:
    scheduler = module.params["scheduler"]
    if scheduler == "auto":
        scheduler = detect_scheduler()
    settings = settings_of(module, scheduler)
    found = changes(settings, scheduler)
    is_on = is_running(scheduler, settings.key_sets is not None)
    wanted_folders = [*module.params["folders"], *metrics_settings.folders(settings.metrics, settings.metrics_group)]
    folders = [changed for wanted in wanted_folders for changed in [keep_folder(module, wanted)] if changed]
    if not module.check_mode and settings.metrics is not None:
        metrics_settings.check_host(settings.metrics, settings.python)
    if not module.check_mode:
        # What is new works before what it takes the place of goes: there is no moment in which nothing prunes.
        # Before the agent starts anew, so that it is told of no application that is not there any more.
        added = [change for change in found if change.after is not None or change.path in private()]
        apply(settings, added)
        if settings.hub is not None:
            # As tmpfiles.d has it made at boot
            files.make_folders(os.path.dirname(hub_settings.MARKER))
        has_new_units = any(change.path.startswith(UNITS + "/") for change in added)
        if has_new_units and runs_systemd():
            systemctl("daemon-reload")
        if scheduler == "systemd" and (has_new_units or not is_on):
            systemctl("enable", TIMER)
            systemctl("restart", TIMER)
        if settings.key_sets is not None and (added or not is_on):
            systemctl("enable", key_units.PATH_UNIT)
            # One that failed to start its service a few times has given up.
            run(["systemctl", "reset-failed", key_units.PATH_UNIT, key_units.SERVICE_UNIT], PATIENCE)
            systemctl("restart", key_units.PATH_UNIT)
        if scheduler == "agent" and (added or not is_on):
            systemctl("enable", AGENT)
            # Its own complaint points to a journal that is elsewhere.
            run(["systemctl", "restart", AGENT], PATIENCE)
        try_once(module, settings, scheduler)
        metrics_settings.remove_former(found, settings.metrics)
        removed = [change for change in found if change not in added]
        stop_units(removed)
        apply(settings, removed)
        if any(change.path.startswith(UNITS + "/") for change in removed) and runs_systemd():
            systemctl("daemon-reload")
    result = result_of(found, scheduler, bool(found or folders) or not is_on, settings.directory)
    result["changed_files"] = [changed["after_header"] for changed in folders] + result["changed_files"]
    result["diff"] = folders + result["diff"]
    return result


def try_once(module: AnsibleModule, settings: Settings, scheduler: str) -> None:
    """Run the pruner as its scheduler does: one that cannot work would leave expired tokens valid, in silence.

    What it ran and could not do, such as a session that stays, is a warning: it must not stop the run that may put it
    right.
    """
    if scheduler == "systemd":
        # Its own complaint points to a journal that is elsewhere.
        run(["systemctl", "start", SERVICE], PATIENCE)
        code, told = last_run()
    elif scheduler == "agent":
        code, told = last_run(AGENT)
        problems = agent_problems() if code == DONE else []
        if settings.session_log and not os.path.lexists(settings.session_log):
            # The gate that is to write it comes later in the play.
            problems = [one for one in problems if not one.startswith(settings.session_log)]
        if problems:
            code, told = LEFT_SOMETHING, problems
    elif scheduler == "cron":
        code, output, errors = run(settings.command(), PATIENCE)
        told = (output + errors).strip().splitlines()
    else:
        return
    words = "; ".join(told) or "it reports nothing"
    if code == LEFT_SOMETHING:
        module.warn(f"the {'agent' if scheduler == 'agent' else 'pruner'} could not do all of it: {words}")
    elif code != DONE:
        raise StoreError(
            f"the pruner does not work, so expired tokens would stay valid: {settings.python} ended with {code}: "
            f"{words}"
        )


def stop_units(removed: t.Sequence[Change]) -> None:
    """Stop what is being removed. A run under way would go on with a store and a log that may be going as well."""
    paths = {change.path for change in removed}
    if not runs_systemd():
        return
    for unit in (AGENT, TIMER, key_units.PATH_UNIT):
        if f"{UNITS}/{unit}" in paths:
            systemctl("disable", "--now", unit)
    for unit in (SERVICE, key_units.SERVICE_UNIT):
        if f"{UNITS}/{unit}" in paths:
            systemctl("stop", unit)
    if f"{UNITS}/{key_units.SERVICE_UNIT}" in paths:
        # A failed one would be listed without its file.
        run(["systemctl", "reset-failed", key_units.PATH_UNIT, key_units.SERVICE_UNIT])


def absent(module: AnsibleModule) -> t.Dict[str, t.Any]:
    settings = settings_of(module, "none")
    found = changes(settings, None)
    if found and not module.check_mode:
        stop_units(found)
        metrics_settings.remove_former(found, None)
        apply(settings, found)
        if runs_systemd():
            systemctl("daemon-reload")
    if settings.session_log and not module.check_mode:
        # So that they can be removed. Not before the pruner is gone: its run would take them back.
        release_all(settings.session_log)
    return result_of(found, "none", bool(found), settings.directory)


def result_of(found: t.Sequence[Change], scheduler: str, changed: bool, directory: str) -> t.Dict[str, t.Any]:
    programs = [change for change in found if change.path.startswith(directory + "/")]
    diff = [
        _diff(change.path, shown(change, change.before, change.after), shown(change, change.after, change.before))
        for change in found
        if change not in programs
    ]
    if programs:
        header = f"{directory} (programs, a line each)"
        diff.insert(0, _diff(header, _lines_of(programs, "before"), _lines_of(programs, "after")))
    return {
        "changed": changed,
        "scheduler": scheduler,
        "changed_files": [change.path for change in found],
        "diff": diff,
    }


def shown(change: Change, text: t.Optional[str], other: t.Optional[str]) -> str:
    """A file as a diff shows it."""
    if change.path.endswith("/" + hub_settings.PASSWORD_NAME):
        return "" if text is None else "password: hidden" + ("\n" if other in (None, text) else ", another one\n")
    return notify_settings.shown(text, other) if change.path == secrets() else text or ""


def _diff(header: str, before: str, after: str) -> t.Dict[str, str]:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _lines_of(programs: t.Iterable[Change], side: str) -> str:
    texts = [(change.path, getattr(change, side)) for change in programs]
    return "".join(f"{path}: {in_one_line(text)}" for path, text in texts if text is not None)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = present(module) if module.params["state"] == "present" else absent(module)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {os.strerror(error.errno or 0)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
