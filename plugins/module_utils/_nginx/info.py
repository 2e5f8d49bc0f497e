# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which nginx is installed and running."""

from __future__ import annotations

import hashlib
import os
import re

from typing import Any, Dict, List, Optional

from .._host import owned
from .._host.error import HostError
from .._host.run import run
from .capacity import descriptors
from .connections import Clients, clients, count
from .fixes import missing_fixes
from .process import (
    Build,
    Finder,
    read_build,
    read_processes,
    started_at,
)

# All binary packages of one source have one version; which of them holds the binary differs from release to release.
_PACKAGES = ("nginx", "nginx-common", "nginx-core", "nginx-light", "nginx-full", "nginx-extras")


def package_version(binary: str) -> str:
    """Return the version of the package that ``binary`` is from; nothing when that can't be told."""
    if binary != "/usr/sbin/nginx":
        return ""
    try:
        if os.path.exists("/usr/bin/dpkg-query"):
            # It exits with 1 when one of the names is unknown and still answers for the others.
            return parse_dpkg(
                run(
                    ["/usr/bin/dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev} ${Version}\n", *_PACKAGES], 30
                ).output
            )
        if os.path.exists("/usr/bin/rpm"):
            finished = run(["/usr/bin/rpm", "-qf", "--qf", "%{VERSION}-%{RELEASE}\n", binary], 30)
            return finished.output.splitlines()[0] if finished.status == 0 and finished.output else ""
    except HostError:
        return ""
    return ""


def parse_dpkg(output: str) -> str:
    """Return the version in dpkg-query's answer, of the first of the packages that is installed."""
    installed = dict(re.findall(r"^(\S+) ii\s+(\S+)$", output, re.MULTILINE))
    return next((installed[name] for name in _PACKAGES if name in installed), "")


def installed_packages(names: List[str]) -> List[str]:
    """Return those of the names that are installed packages; none where it can't be told."""
    if not names:
        return []
    try:
        if os.path.exists("/usr/bin/dpkg-query"):
            output = run(
                ["/usr/bin/dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", "--", *names], 30
            ).output
            found = set(re.findall(r"^(\S+) ii\s*$", output, re.MULTILINE))
        elif os.path.exists("/usr/bin/rpm"):
            # Of one that is not installed it says so, in a sentence.
            found = set(run(["/usr/bin/rpm", "-q", "--qf", "%{NAME}\n", "--", *names], 30).output.splitlines())
        else:
            return []
    except HostError:
        return []
    return [name for name in names if name in found]


def service_state(name: str) -> Dict[str, bool]:
    """Return whether systemd starts the service with the system, and whether it has yet to read a changed unit file."""
    said: Dict[str, str] = {}
    # sd_booted(3): what tells that systemd runs the system.
    if name and os.path.isdir("/run/systemd/system"):
        try:
            output = run(["systemctl", "show", "--property=UnitFileState,NeedDaemonReload", "--", name], 30).output
            said = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        except HostError:
            pass
    return {"enabled": said.get("UnitFileState") == "enabled", "reload_needed": said.get("NeedDaemonReload") == "yes"}


def path_states(paths: List[str]) -> Dict[str, Dict[str, str]]:
    """Return kind, owner, group, mode and a file's content (SHA-256) of the paths that are files or folders; a symlink
    is neither.
    """
    found: Dict[str, Dict[str, str]] = {}
    for path in paths:
        there = owned.look(path)
        if there.kind == owned.FILE:
            found[path] = {"kind": "file", "sha256": hashlib.sha256(there.content).hexdigest()}
        elif there.kind == owned.FOLDER:
            found[path] = {"kind": "directory"}
        else:
            continue
        found[path].update(owner=there.owner, group=there.group, mode=there.mode)
    return found


def differing_files(wanted: List[Dict[str, str]]) -> List[str]:
    """Return the paths of those files that are not as they are wanted, in content, owner, group or mode."""
    found = path_states([file["path"] for file in wanted])
    return [
        file["path"]
        for file in wanted
        if found.get(file["path"])
        != {
            "kind": "file",
            "sha256": hashlib.sha256(file["content"].encode("utf-8", "surrogateescape")).hexdigest(),
            "owner": file["owner"],
            "group": file["group"],
            "mode": file["mode"],
        }
    ]


def modules(build: Build, dynamic: bool) -> List[str]:
    """Return the names of the modules that are in the binary, or of those built to be loaded."""
    found = set()
    for argument in build.arguments:
        option = re.match(r"--with-(http|mail|stream|http_\w+|mail_\w+|stream_\w+?)(?:_module)?(=dynamic)?\Z", argument)
        if option and bool(option.group(2)) == dynamic:
            found.add(re.sub(r"_module\Z", "", option.group(1)))
    return sorted(found)


def gather(binary: str, main_file: str, pid_file: str, installed: bool, connections: bool = False) -> Dict[str, Any]:
    """Return everything that nginx_info returns."""
    found: Dict[str, Any] = {
        "installed": installed,
        "version": "",
        "openssl_version": "",
        "package_version": "",
        "configure_arguments": [],
        "modules": [],
        "dynamic_modules": [],
        "prefix": "",
        "main_file": "",
        "pid_file": "",
        "user": "",
        "running": False,
        "master_pid": 0,
        "workers": [],
        "missing_fixes": [],
    }
    if connections:
        found["connections"] = 0
    if not installed:
        return found
    build = read_build(binary)
    processes = read_processes()
    finder = Finder(binary, main_file, pid_file, lambda: build)
    master = finder.master(processes)
    found.update(
        version=build.version,
        openssl_version=build.openssl_version,
        package_version=package_version(binary),
        configure_arguments=build.arguments,
        modules=modules(build, False),
        dynamic_modules=modules(build, True),
        prefix=build.option("prefix") or "/usr/local/nginx",
        main_file=build.path("conf-path", "conf/nginx.conf"),
        pid_file=build.path("pid-path", "logs/nginx.pid"),
        user=build.option("user") or "nobody",
    )
    found["missing_fixes"] = missing_fixes(build.version, found["package_version"])
    if master:
        found.update(
            running=True,
            master_pid=master.pid,
            workers=[
                {
                    "pid": process.pid,
                    "started": round(started_at(process), 2),
                    "shutting_down": process.is_shutting_down,
                    "descriptors": descriptors(process.pid),
                }
                for process in processes
                if process.parent == master.pid and (process.is_worker or process.is_shutting_down)
            ],
        )
        if connections:
            # After an upgrade of the binary the former master is there until its last session has ended.
            masters = {process.pid for process in finder.masters(processes)}
            found["connections"] = count(
                master.pid,
                [
                    process.pid
                    for process in processes
                    if process.parent in masters and (process.is_worker or process.is_shutting_down)
                ],
            )
    return found


def clients_of(binary: str, main_file: str, pid_file: str) -> Optional[Clients]:
    """Return the clients of the nginx that runs this main file; nothing where none runs."""
    if not os.access(binary, os.X_OK):
        return None
    processes = read_processes()
    finder = Finder(binary, main_file, pid_file, lambda: read_build(binary))
    master = finder.master(processes)
    if master is None:
        return None
    masters = {process.pid for process in finder.masters(processes)}
    workers = [one for one in processes if one.parent in masters and (one.is_worker or one.is_shutting_down)]
    return clients(master.pid, [worker.pid for worker in workers])
