#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_config
version_added: 1.0.0
short_description: Put a whole nginx configuration in place, tested and live, or change nothing
description:
  - Compares the wanted files with the disk, has C(nginx -t) test the whole wanted configuration in a private copy, puts
    the files in place by renaming, reloads nginx, and waits until new workers of the same master run.
  - When they do not, what was there before is put back, nginx is reloaded once more, and the task fails with nginx's
    own words. That C(nginx -t) passes and a reload exits with 0 does not mean that nginx took the configuration on, for
    example when a port is taken.
  - Reloads as well when nothing differs but a running worker is older than something that it has read, be it a file of
    the configuration or a certificate. So a play that was cut short is made good by the next one, and a renewed
    certificate is picked up. Nothing is remembered for that on the host. At most one reload a run.
  - Starts nginx when it does not run. Never restarts it, since that cuts every session, unless O(allow_restart) is set.
  - A run that is killed leaves a work folder in O(directory); the next run undoes what that run had done and starts
    anew.
options:
  directory:
    description:
      - Absolute path of the configuration folder. Everything is relative to it.
    type: path
    default: /etc/nginx
  main_file:
    description:
      - Name of the main file in O(directory). It has to be among O(files).
      - One that is there without the marker is kept as RV(ignore:main_file) with C(.wssgate-saved) behind it, and comes
        back with O(state=absent).
    type: str
    default: nginx.conf
  files:
    description:
      - All files of the configuration that this task is about. Each has to be O(main_file) or in one of
        O(owned_directories).
      - Includes in them should be relative (C(include wssgate.d/*.conf)). nginx would read what an absolute path names
        from the present configuration when it tests the wanted one.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path relative to O(directory).
        type: str
        required: true
      content:
        description: The whole content. It has to have O(marker) in a comment in its first five lines.
        type: str
        required: true
      mode:
        description: Permissions, as an octal number in quotes. The owner is the user that the task runs as.
        type: str
        default: '0644'
  secret_files:
    description:
      - Further files, as O(files), whose content is in no diff and in no other output. Their mode is 0600.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      path:
        description: Path relative to O(directory).
        type: str
        required: true
      content:
        description: The whole text, with O(marker) in a comment in its first five lines.
        type: str
        required: true
  owned_directories:
    description:
      - Folders below O(directory) from which files with O(marker) in their first five lines are removed when they are
        not among O(files). Files without it are left alone and named in a warning.
    type: list
    elements: str
    default: [wssgate.d]
  marker:
    description: Text by which files of this collection are recognised.
    type: str
    default: wssgate.nginx
  absent:
    description:
      - Symbolic links, relative to O(directory), that are not to be there, like C(sites-enabled/default) of the Debian
        package.
      - They are kept under another name and come back when they are no longer listed here, and with O(state=absent).
      - Something else than a symbolic link is left alone and named in a warning.
    type: list
    elements: str
    default: []
  service:
    description:
      - Name of the service that is started when nginx does not run, by C(systemctl) where systemd runs, else by
        C(service).
      - When empty, O(binary) is started directly.
    type: str
    default: nginx
  error_log:
    description:
      - Absolute path of a log in which nginx's words are looked for when it does not go live.
      - The C(error_log) outside any block of the configuration is looked into in any case.
    type: path
  live_timeout:
    description: Seconds within which nginx has to run the new configuration.
    type: float
    default: 10
  allow_restart:
    description:
      - Whether nginx may be restarted when a reload is not enough, as for a listener that changes from one address to
        all.
      - This cuts every session.
    type: bool
    default: false
  sessions:
    description:
      - Sessions that the workers have to carry together. The module warns where those that run have too few descriptors
        or connections for them.
      - V(0) asks for none.
    type: int
    default: 0
  sockets:
    description:
      - Unix sockets that the configuration listens on, with the mode and group that they shall have. nginx itself
        makes such a socket with mode 0666.
      - They are looked at each millisecond from before nginx is told to make them, and the configuration is live only
        when each has its mode and group; otherwise what was there before is put back, sockets included.
      - A new one is open to everybody for about a millisecond, on a busy host for some. A folder of its own, with a
        mode that keeps others out, closes that as well.
      - One that is there already gets its mode and group in each run.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      path:
        description: Absolute path of the socket. A symbolic link, or anything else that is no socket, is refused.
        type: path
        required: true
      mode:
        description: Permissions, as an octal number in quotes.
        type: str
        default: '0660'
      group:
        description: Name or number of the group; without it the group stays as it is.
        type: str
  probes:
    description:
      - Locations that are asked for a WebSocket before and after the change, from the host itself and without
        credentials. When one that answered does not any more, what was there before is put back, nginx is reloaded once
        more, and the task fails with what was answered.
      - No answer, V(404) and statuses from V(500) on count as worse than any other. Which other one it is does not
        count, as a change may be about just that. What was not answered well before is not judged.
      - Where nginx did not run before there is nothing to compare with.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      host:
        description: Address that nginx listens on.
        type: str
        default: 127.0.0.1
      port:
        description: Port that nginx listens on.
        type: int
        required: true
      server_name:
        description: Name of the server, for TLS and in the header C(Host).
        type: str
        required: true
      tls:
        description: Whether the port speaks TLS. The certificate is not verified here.
        type: bool
        default: true
      proxy_protocol:
        description: Whether the port wants a PROXY header first.
        type: bool
        default: false
      path:
        description: Path to ask for.
        type: str
        required: true
      origin:
        description: Value of the header C(Origin). Without it none is sent.
        type: str
        default: ''
  defer:
    description:
      - Compare and test only, and leave what is to be done to another task, which RV(deferred) asks for. So a change of
        several hosts can be tested on all of them before the first of them gets it.
      - Where there is nothing to do the task is what it is without this option.
    type: bool
    default: false
    version_added: 1.1.0
  keep_former:
    description:
      - Keep what was there before a change, in a folder of root's in O(directory), until a task with O(state=settled)
        or O(state=former) follows. So others than the host can judge the change, such as the balancers in front of it.
        RV(kept_former) tells whether there is anything.
      - Any other run of this module removes it.
    type: bool
    default: false
    version_added: 1.1.0
  state:
    description:
      - V(absent) removes every file with the marker, puts back what was displaced, and reloads nginx if it runs.
        O(files) and O(absent) are not needed then.
      - V(settled) removes what O(keep_former) has left. V(former) puts it back and reloads nginx, and fails where there
        is nothing. Both since version 1.1.0.
    type: str
    choices: [present, absent, settled, former]
    default: present
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.nginx
attributes:
  check_mode:
    details:
      - The configuration is staged and tested in check mode as well, where nginx is installed. That a file is missing
        is only a warning then, as an earlier task may be about to make it.
  diff_mode:
    description:
      - Returns files before and after. Of a page (C(.html)) it returns the number of lines and the SHA-256, and of a
        file that nobody but its owner may read, as those of O(secret_files), only that it changes.
    support: full
notes:
  - Files that nginx opens for each request, like a password file, and compiled modules are not looked at to decide
    about a reload.
  - What tells about a change is a file's change time (ctime), since its modification time can be set. Anything that
    alters it, like C(chmod), makes one reload due.
  - nginx replaces a worker that crashed, with the configuration that its master has in memory. If all workers crash
    after a file was changed behind this module's back and before its next run, that change is missed until the one
    after.
  - nginx from 1.27.4 goes on using a certificate that was overwritten in place within the second in which it was last
    written. Put certificates in place by renaming, as C(ansible.builtin.copy) does.
  - A log that the configuration has in a format whose name begins with C(wss_session_) holds tokens. It is made
    before nginx opens it, for root alone (0600) and, where the file system has that, append-only, so that a log
    rotation does not give it to the workers. C(chattr -a) is needed before such a log is removed by hand. When its
    path changes, the former one is noted in C(/run/wssgate), so that the sessions of workers that still write to it
    are found.
  - A run that another one keeps waiting for 60 seconds fails. Only root can hold the lock, which is in C(/run/wssgate).
  - Files of O(owned_directories), O(main_file) and folders on the way to them must not be symbolic links.
seealso:
  - module: wssgate.nginx.nginx_info
  - name: Controlling nginx
    description: What nginx does when it is told to reload.
    link: https://nginx.org/en/docs/control.html
author:
  - wssgate contributors (@wssgate)
"""

EXAMPLES = r"""
- name: Put the configuration in place
  wssgate.nginx.nginx_config:
    files:
      - path: nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
      - path: wssgate.d/gate.conf
        content: "{{ lookup('ansible.builtin.template', 'gate.conf.j2') }}"
    absent:
      - sites-enabled/default

- name: Go back to what was there before
  wssgate.nginx.nginx_config:
    state: absent
"""

RETURN = r"""
changed_files:
  description: Paths that were put, relative to O(directory).
  returned: success
  type: list
  elements: str
  sample: [wssgate.d/gate.conf]
removed_files:
  description: Paths that were removed, relative to O(directory).
  returned: success
  type: list
  elements: str
  sample: [sites-enabled/default]
reloaded:
  description: Whether nginx was reloaded. In check mode, whether it would be; likewise the two that follow.
  returned: success
  type: bool
started:
  description: Whether nginx was started.
  returned: success
  type: bool
restarted:
  description: Whether nginx was restarted, which cut every session.
  returned: success
  type: bool
deferred:
  description: Whether something is to be done that was left to another task, because of O(defer). RV(reason) says why.
  returned: success
  type: bool
  version_added: 1.1.0
answering:
  description:
    - With RV(deferred), whether nginx answers one of O(probes) well now, or runs where there are none. A host of which
      this is not so cannot show what a change does to clients.
  returned: success
  type: bool
  version_added: 1.1.0
kept_former:
  description: Whether there is something for O(state=settled) or O(state=former), because of O(keep_former).
  returned: success
  type: bool
  version_added: 1.1.0
protected_sockets:
  description: Sockets of O(sockets) that had another mode or group in a run that had nothing else to do.
  returned: success
  type: list
  elements: str
  version_added: 1.1.0
  sample: [/run/gate.sock]
reason:
  description: Why something was done.
  returned: success
  type: str
  sample: /etc/nginx/certificates/gate/fullchain.pem is newer than the running workers
workers:
  description: Process ids of the workers that run the configuration.
  returned: success
  type: list
  elements: int
  sample: [4711, 4712]
capacity:
  description:
    - Whether the workers that run can carry the sessions that were asked for. A worker takes two connections, and so
      two open files, a session, and 512 of each besides. None when no worker runs, without O(sessions), and in check
      mode.
  returned: success
  type: dict
  contains:
    wanted:
      description: How many were asked for.
      type: int
    sessions:
      description: How many all workers can carry together.
      type: int
    workers:
      description: Number of workers.
      type: int
    descriptors:
      description: How many files each may have open, as the system has it.
      type: int
    connections:
      description: How many connections each may have, as the configuration has it.
      type: int
    problem:
      description: What is lacking and what to set. Empty when all is well.
      type: str
nginx_output:
  description: What nginx said.
  returned: failure
  type: str
  sample: 'nginx: [emerg] unknown directive "lisen" in /etc/nginx/wssgate.d/gate.conf:3'
"""

import grp
import re

from typing import Any, Dict, List, Tuple

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError
from ..module_utils._handshake.served import Address
from ..module_utils._nginx import former
from ..module_utils._nginx.answers import Probe
from ..module_utils._nginx.error import NginxError
from ..module_utils._nginx.files import SECRET_MODE
from ..module_utils._nginx.plan import Settings
from ..module_utils._nginx.sockets import Socket
from ..module_utils._nginx.transaction import Outcome, Transaction


def read_files(files: Any, secret_files: Any = ()) -> Dict[str, Tuple[str, int]]:
    """Return the files by path."""
    found: Dict[str, Tuple[str, int]] = {}
    for number, file in enumerate(secret_files):
        if file["path"] in found:
            raise NginxError(f"secret_files[{number}]: {file['path']} is there twice")
        found[file["path"]] = (file["content"], SECRET_MODE)
    for number, file in enumerate(files):
        if file["path"] in found:
            raise NginxError(f"files[{number}]: {file['path']} is there twice")
        try:
            mode = int(file["mode"], 8)
        except ValueError:
            mode = -1
        if not 0o400 <= mode <= 0o777:
            raise NginxError(f"files[{number}]: mode {file['mode']!r} is not an octal number like '0644'")
        found[file["path"]] = (file["content"], mode)
    return found


def read_sockets(sockets: Any, check: bool) -> List[Socket]:
    """Return the sockets with the numbers of their groups."""
    found = []
    for number, wanted in enumerate(sockets):
        mode, group, gid = wanted["mode"], wanted["group"], -1
        if not re.match(r"0?[0-7]{3}\Z", mode):
            raise NginxError(f"sockets[{number}]: mode {mode!r} is not an octal number like '0660'")
        if group and group.isdigit():
            gid = int(group)
        elif group:
            try:
                gid = grp.getgrnam(group).gr_gid
            except KeyError:
                # In check mode an earlier task may be about to make it.
                if not check:
                    raise NginxError(f"sockets[{number}]: there is no group {group!r}") from None
        found.append(Socket(wanted["path"], int(mode, 8), gid))
    return found


def read_probes(probes: Any) -> List[Probe]:
    """Return the locations to ask."""
    found = []
    for number, one in enumerate(probes):
        if not 0 < one["port"] < 65536:
            raise NginxError(f"probes[{number}]: {one['port']} is no port: 1 to 65535")
        if not one["path"].startswith("/") or re.search(r"[\x00-\x20\x7f]", one["path"] + one["origin"]):
            raise NginxError(f"probes[{number}]: path has to begin with /, and neither it nor origin may hold blanks")
        address = Address(one["host"], one["port"], one["server_name"], one["tls"], one["proxy_protocol"])
        found.append(Probe(address, one["path"], one["origin"]))
    return found


def done(state: str, settings: Settings) -> Outcome:
    """Do what the state stands for."""
    if state == "settled":
        return former.settle(settings)
    return former.put_back(settings) if state == "former" else Transaction(settings).run()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/etc/nginx"},
            "main_file": {"type": "str", "default": "nginx.conf"},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
            "secret_files": {
                "type": "list",
                "elements": "dict",
                # Their paths are none; the content of each is.
                "no_log": False,
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                },
            },
            "owned_directories": {"type": "list", "elements": "str", "default": ["wssgate.d"]},
            "marker": {"type": "str", "default": "wssgate.nginx"},
            "absent": {"type": "list", "elements": "str", "default": []},
            "binary": {"type": "path", "default": "/usr/sbin/nginx"},
            "service": {"type": "str", "default": "nginx"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
            "error_log": {"type": "path"},
            "live_timeout": {"type": "float", "default": 10},
            "allow_restart": {"type": "bool", "default": False},
            "sessions": {"type": "int", "default": 0},
            "sockets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mode": {"type": "str", "default": "0660"},
                    "group": {"type": "str"},
                },
            },
            "probes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "host": {"type": "str", "default": "127.0.0.1"},
                    "port": {"type": "int", "required": True},
                    "server_name": {"type": "str", "required": True},
                    "tls": {"type": "bool", "default": True},
                    "proxy_protocol": {"type": "bool", "default": False},
                    "path": {"type": "str", "required": True},
                    "origin": {"type": "str", "default": ""},
                },
            },
            "defer": {"type": "bool", "default": False},
            "keep_former": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent", "settled", "former"], "default": "present"},
        },
        supports_check_mode=True,
    )
    values = module.params
    try:
        outcome = done(
            values["state"],
            Settings(
                directory=values["directory"],
                binary=values["binary"],
                main_file=values["main_file"],
                pid_file=values["pid_file"],
                files=read_files(values["files"], values["secret_files"]),
                owned_directories=[folder.rstrip("/") for folder in values["owned_directories"]],
                marker=values["marker"],
                absent=values["absent"],
                service=values["service"],
                error_log=values["error_log"] or "",
                live_timeout=values["live_timeout"],
                allow_restart=values["allow_restart"],
                sockets=read_sockets(values["sockets"], module.check_mode),
                present=values["state"] != "absent",
                sessions=values["sessions"],
                probes=read_probes(values["probes"]),
                defer=values["defer"],
                keep_former=values["keep_former"],
                check=module.check_mode,
            ),
        )
    except HostError as error:
        module.fail_json(msg=str(error), nginx_output=getattr(error, "nginx_output", ""))
    for warning in outcome.warnings:
        module.warn(warning)
    returned = outcome.result()
    if module._diff:
        returned["diff"] = outcome.diff()
    module.exit_json(**returned)


if __name__ == "__main__":
    main()
