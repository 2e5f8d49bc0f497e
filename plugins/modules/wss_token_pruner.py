#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token_pruner
short_description: Have a host remove expired tokens by itself
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Installs the pruner, which removes the tokens whose end has passed and ends their sessions, and what runs it, a timer of systemd
    or an entry of cron.
  - The pruner is the same code as module M(wssgate.nginx.wss_token), put on the host once. It needs Python and nothing of Ansible.
  - The pruner runs with the system's own Python (C(/usr/bin/python3), else another one of the system), so that neither a virtual
    environment of Ansible nor an upgrade of the system takes it away. Only where none of Python 3.8 or newer is there it runs with Ansible's.
  - At the end it is run once, as its timer does. The module fails when the pruner cannot work, and warns when it worked and
    left something undone, such as a session that could not be ended.
  - It logs the number of tokens and their fingerprints to the journal, or with cron to syslog. It is silent when nothing happened.
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
      - Absolute path of the token store. With systemd not below C(/home), C(/root) or C(/run/user), where its unit may not look.
      - The alias O(path) was added in version 1.1.0, so that C(module_defaults) of the group C(wssgate.nginx.tokens) sets it as well.
    type: path
    aliases: [path]
    default: /var/lib/nginx/tokens
  session_log:
    description:
      - Absolute path of the session log. Empty means that sessions are not ended. With systemd not below C(/home), C(/root) or C(/run/user).
    type: str
    default: /var/log/nginx/wssgate/sessions.log
  log_limit:
    description:
      - Size in bytes beyond which the session log is shortened. Lines about open sessions stay.
    type: int
    default: 4194304
  interval:
    description:
      - Seconds between two runs, 1 to 3600. With cron at most 60.
    type: int
    default: 15
  scheduler:
    description:
      - What runs the pruner. V(auto) takes systemd where it is the init system, else cron where that is installed, else V(none).
      - With V(none) the pruner is installed and nothing runs it.
    type: str
    choices: [auto, systemd, cron, none]
    default: auto
  directory:
    description:
      - Where the pruner is installed.
    type: path
    default: /usr/local/lib/wssgate
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
  description: The files that were written or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/wssgate-token-prune.timer]
"""

import os
import sys
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.diff import in_one_line
from ..module_utils._agent.prune import DONE, IDENTITY, LEFT_SOMETHING
from ..module_utils._agent.install import (
    UNITS,
    Change,
    Settings,
    apply,
    changes,
    choose_python,
    is_home,
    detect_scheduler,
)
from ..module_utils._agent.state import last_run
from ..module_utils._sessions.protection import release_all
from ..module_utils._tokens.record import StoreError
from ..module_utils._tokens.store import check_path

TIMER = IDENTITY + ".timer"
SERVICE = IDENTITY + ".service"


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "store": {"type": "path", "aliases": ["path"], "default": "/var/lib/nginx/tokens"},
        "session_log": {"type": "str", "default": "/var/log/nginx/wssgate/sessions.log"},
        "log_limit": {"type": "int", "default": 4194304},
        "interval": {"type": "int", "default": 15},
        "scheduler": {"type": "str", "choices": ["auto", "systemd", "cron", "none"], "default": "auto"},
        "directory": {"type": "path", "default": "/usr/local/lib/wssgate"},
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
    for name in ("store", "session_log", "directory"):
        value = params[name]
        if value and any(character.isspace() for character in value):
            raise StoreError(f"{name} must not hold blanks: {value!r}")
        paths[name] = check_path(value) if value else ""
        if scheduler == "systemd" and name != "directory" and is_home(paths[name]):
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
    )


def systemctl(module: AnsibleModule, *words: str) -> None:
    code, output, errors = module.run_command(["systemctl", *words])
    if code != 0:
        raise StoreError(f"systemctl {' '.join(words)} failed: {(errors or output).strip()}")


def timer_is_on(module: AnsibleModule) -> bool:
    enabled = module.run_command(["systemctl", "is-enabled", "--quiet", TIMER])[0] == 0
    return enabled and module.run_command(["systemctl", "is-active", "--quiet", TIMER])[0] == 0


def present(module: AnsibleModule) -> t.Dict[str, t.Any]:
    scheduler = module.params["scheduler"]
    if scheduler == "auto":
        scheduler = detect_scheduler()
    settings = settings_of(module, scheduler)
    found = changes(settings, scheduler)
    is_on = scheduler != "systemd" or timer_is_on(module)
    if not module.check_mode:
        if scheduler != "systemd":
            stop_timer(module, found)
        apply(settings, found)
        units = any(change.path.startswith(UNITS + "/") for change in found)
        if units and detect_scheduler() == "systemd":
            systemctl(module, "daemon-reload")
        if scheduler == "systemd" and (units or not is_on):
            systemctl(module, "enable", TIMER)
            systemctl(module, "restart", TIMER)
        try_once(module, settings, scheduler)
    return result_of(found, scheduler, bool(found) or not is_on, settings.directory)


def try_once(module: AnsibleModule, settings: Settings, scheduler: str) -> None:
    """Run the pruner as its scheduler does: one that cannot work would leave expired tokens valid, in silence.

    What it ran and could not do, such as a session that stays, is a warning: it must not stop the run that may put it right.
    """
    if scheduler == "systemd":
        # Its own complaint points to a journal that is elsewhere.
        module.run_command(["systemctl", "start", SERVICE])
        code, told = last_run(module.run_command)
    elif scheduler == "cron":
        code, output, errors = module.run_command(settings.command())
        told = (output + errors).strip().splitlines()
    else:
        return
    words = "; ".join(told) or "it reports nothing"
    if code == LEFT_SOMETHING:
        module.warn(f"the pruner could not do all of it: {words}")
    elif code != DONE:
        raise StoreError(
            f"the pruner does not work, so expired tokens would stay valid: {settings.python} ended with {code}: {words}"
        )


def stop_timer(module: AnsibleModule, found: t.Sequence[Change]) -> None:
    unit = f"{UNITS}/{TIMER}"
    if any(change.path == unit and change.after is None for change in found) and detect_scheduler() == "systemd":
        systemctl(module, "disable", "--now", TIMER)


def stop_service(module: AnsibleModule, found: t.Sequence[Change]) -> None:
    """End a run that is under way: it would go on with a store and a log that are being removed."""
    unit = f"{UNITS}/{SERVICE}"
    if any(change.path == unit and change.after is None for change in found) and detect_scheduler() == "systemd":
        systemctl(module, "stop", SERVICE)


def absent(module: AnsibleModule) -> t.Dict[str, t.Any]:
    settings = settings_of(module, "none")
    found = changes(settings, None)
    if found and not module.check_mode:
        stop_timer(module, found)
        stop_service(module, found)
        apply(settings, found)
        if detect_scheduler() == "systemd":
            systemctl(module, "daemon-reload")
    if settings.session_log and not module.check_mode:
        # So that they can be removed. Not before the pruner is gone: its run would take them back.
        release_all(settings.session_log)
    return result_of(found, "none", bool(found), settings.directory)


def result_of(found: t.Sequence[Change], scheduler: str, changed: bool, directory: str) -> t.Dict[str, t.Any]:
    programs = [change for change in found if change.path.startswith(directory + "/")]
    diff = [_diff(change.path, change.before or "", change.after or "") for change in found if change not in programs]
    if programs:
        header = f"{directory} (programs, a line each)"
        diff.insert(0, _diff(header, _lines_of(programs, "before"), _lines_of(programs, "after")))
    return {
        "changed": changed,
        "scheduler": scheduler,
        "changed_files": [change.path for change in found],
        "diff": diff,
    }


def _diff(header: str, before: str, after: str) -> t.Dict[str, str]:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _lines_of(programs: t.Iterable[Change], side: str) -> str:
    texts = [(change.path, getattr(change, side)) for change in programs]
    return "".join(f"{path}: {in_one_line(text)}" for path, text in texts if text is not None)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = present(module) if module.params["state"] == "present" else absent(module)
    except StoreError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {os.strerror(error.errno or 0)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
