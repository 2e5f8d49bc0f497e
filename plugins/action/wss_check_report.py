# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what playbook check found to a file of the controller, whatever host the task is for."""

from __future__ import annotations

import os
import stat
import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils._host import files
from ..module_utils._host.error import HostError
from ..plugin_utils import _check_page, _check_summary

WRITERS: t.Dict[str, t.Callable[[t.Mapping[str, t.Any]], str]] = {
    "html": _check_page.page,
    "json": _check_summary.as_json,
    "nagios": lambda found: _check_summary.nagios_line(found) + "\n",
    "text": lambda found: "".join(f"{_check_summary.plain(line)}\n" for line in _check_summary.lines(found)),
}


class ActionModule(ActionBase):
    """Runs here alone."""

    TRANSFERS_FILES = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        _result, given = self.validate_argument_spec(
            argument_spec={
                "path": {"type": "path", "required": True},
                "output": {"type": "str", "required": True, "choices": sorted(WRITERS)},
                "summary": {"type": "dict", "required": True},
            }
        )
        path = given["path"]
        try:
            mode = self._mode(path)
            if not self._task.check_mode:
                content = WRITERS[given["output"]](given["summary"])
                files.write(path, content.encode("utf-8", "replace"), mode, follow=True)
        except HostError as error:
            return {**result, "failed": True, "msg": f"report: {error}"}
        except OSError as error:
            return {
                **result,
                "failed": True,
                "msg": f"report: {path} cannot be written: {os.strerror(error.errno or 0)}",
            }
        return {**result, "changed": True, "path": path}

    @staticmethod
    def _mode(path: str) -> int:
        """That of the file that is there, which somebody may have chosen; else its owner alone reads it."""
        if not os.path.isabs(path):
            raise HostError(f"{path} is no absolute path")
        if not os.path.isdir(os.path.dirname(path)):
            raise HostError(f"the folder {os.path.dirname(path)} is not there on the controller: make it first")
        if files.check(path):
            return stat.S_IMODE(os.stat(path).st_mode)
        return files.PRIVATE
