# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the agent writes metrics: what may be asked for, and what the host has to have for it."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from .._host import files
from .._host.error import HostError
from .._host.run import run
from .settings import Metrics

STATE_SUFFIX = ".state"
# In memory, so it is made at each boot.
MADE = "/run"
# What the unit may not see, or has of its own
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
MODE = "0750"
LIBRARY = "prometheus_client"
PACKAGE = "python3-prometheus-client"
PYTHON_TIMEOUT = 30
_OPTION = re.compile(r" --metrics (\S+)")


class MetricsError(HostError):
    """What is wrong with the settings of metrics."""


def read(given: t.Optional[t.Mapping[str, t.Any]], scheduler: str) -> t.Optional[Metrics]:
    """What a module was given, where it was given something."""
    if not given:
        return None
    if scheduler != "agent":
        raise MetricsError(
            f"metrics need the agent, which this host does not have with scheduler {scheduler}: leave them out, or "
            "have the agent where systemd runs"
        )
    found = Metrics(given["path"], given["main_file"], given["binary"], given["pid_file"], given["drain_path"] or "")
    for name, value in found._asdict().items():
        if not value and name == "drain_file":
            continue
        # systemd and the unit's list of paths take these for something else.
        if not re.match(r"/[A-Za-z0-9._@+,=:/-]*[A-Za-z0-9._@+,=:-]\Z", value) or ".." in value.split("/"):
            raise MetricsError(
                f"metrics: {name} must be an absolute path of letters, digits and ._@+,=:-/ without '..', not {value!r}"
            )
    path = os.path.normpath(found.path)
    if any(path.startswith(folder + "/") for folder in HIDDEN):
        raise MetricsError(
            f"metrics: path {path}: the agent may not write below {', '.join(HIDDEN)}: choose another one, such as "
            "/run/wssgate-metrics/agent.prom"
        )
    if os.path.dirname(path) in ("/", MADE):
        raise MetricsError(
            f"metrics: path {path} has to be in a folder of its own, such as /run/wssgate-metrics/agent.prom"
        )
    return found._replace(path=path)


def folders(metrics: t.Optional[Metrics], group: str) -> t.List[t.Dict[str, str]]:
    """The folder that is made for the file, as option folders of wss_token_pruner has it."""
    folder = os.path.dirname(metrics.path) if metrics is not None else ""
    if not folder.startswith(MADE + "/"):
        return []
    return [{"path": folder, "owner": "root", "group": group, "mode": MODE}]


def check_host(metrics: Metrics, python: str) -> None:
    """Raise where the agent would write nothing."""
    folder = os.path.dirname(metrics.path)
    if not os.path.isdir(folder):
        raise MetricsError(f"metrics: folder {folder} is not there: make it first, or have the file below {MADE}")
    if run([python, "-I", "-c", f"import {LIBRARY}"], PYTHON_TIMEOUT).status != 0:
        raise MetricsError(f"metrics need {LIBRARY}, which {python} does not find: install package {PACKAGE}")


def words(metrics: Metrics) -> t.List[str]:
    """The agent's options."""
    return [
        "--metrics", metrics.path, "--nginx-main", metrics.main_file, "--nginx-binary", metrics.binary,
        "--nginx-pid", metrics.pid_file, "--drain-file", metrics.drain_file,
    ]  # fmt: skip


def remove_former(changes: t.Iterable[t.Any], metrics: t.Optional[Metrics]) -> None:
    """Remove what nobody writes any more: it would be read as if it were of now."""
    for change in changes:
        former = _OPTION.search(change.before or "") if change.path.endswith(".service") else None
        if former is not None and (metrics is None or former.group(1) != metrics.path):
            for suffix in ("", STATE_SUFFIX):
                files.remove(former.group(1) + suffix)
            folder = os.path.dirname(former.group(1))
            if folder.startswith(MADE + "/"):
                # Not empty: somebody else's files are in it.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
