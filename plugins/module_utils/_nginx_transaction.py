# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration transaction: compare, stage, test, commit, reload, prove live, else put back."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import stat
import time

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, unquote

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx_error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx_files import (
    SAVED_SUFFIX,
    WORK_PREFIX,
    Change,
    Entry,
    Exchange,
    Lock,
    Operations,
    identity,
    parents,
    read_entry,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx_process import (
    Finder,
    Finished,
    Process,
    now_in_ticks,
    read_processes,
    run,
    started_at,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx_syntax import Tree, read_tree, with_pid

TEST_LIMIT = 120
"""Seconds that nginx -t may take: it resolves every host name in the configuration."""
START_LIMIT = 90
POLL = 0.02
SETTLE = 0.1
"""Seconds that the same new workers have to be seen for: one that crashes at once is none."""
TICK = 0.02
"""Seconds, twice the unit in which /proc tells when a process started."""

_MISSING_FILE = re.compile(r"\(2: No such file or directory\)|error:\w+:[^:]*:[^:]*:No such file or directory|:No such file")
_NOT_OURS_LIMIT = 10


class Settings(NamedTuple):
    """What the caller wants."""

    directory: str
    binary: str
    main_file: str
    pid_file: str
    files: Dict[str, Tuple[str, int]] = {}
    """relative path → content, mode"""
    owned_directories: Sequence[str] = ()
    marker: str = "wssgate.nginx"
    absent: Sequence[str] = ()
    service: str = "nginx"
    error_log: str = ""
    live_timeout: float = 10
    allow_restart: bool = False
    present: bool = True
    check: bool = False

    @property
    def main(self) -> str:
        """Return the absolute path of the main file."""
        return os.path.join(self.directory, self.main_file)


class Outcome:
    """What was, or in check mode would be, done."""

    def __init__(self) -> None:
        self.changes: List[Change] = []
        self.reloaded = False
        self.started = False
        self.restarted = False
        self.reason = ""
        self.workers: List[int] = []
        self.warnings: List[str] = []

    @property
    def changed(self) -> bool:
        """Whether anything on the host is other than before."""
        return bool(self.changes) or self.reloaded or self.started or self.restarted

    @property
    def shown(self) -> List[Change]:
        """Return the changes but for the copies of what was displaced."""
        return [change for change in self.changes if SAVED_SUFFIX not in change.path]

    @property
    def changed_files(self) -> List[str]:
        """Return the paths that were put."""
        return [change.path for change in self.shown if change.after]

    @property
    def removed_files(self) -> List[str]:
        """Return the paths that went away."""
        return [change.path for change in self.shown if not change.after]

    def diff(self) -> List[Dict[str, str]]:
        """Return the changes in the form that Ansible prints."""
        return [
            {
                "before": _text(change.before), "after": _text(change.after),
                "before_header": change.path, "after_header": change.path,
            }
            for change in self.shown
        ]


class NotLive(Exception):
    """A configuration that nginx did not take on, with what its log says."""


def _sayings(output: str) -> List[str]:
    """Return what nginx said, from warnings upwards, without time stamps, process numbers and repetitions."""
    found: List[str] = []
    for said in re.findall(r"\[(?:emerg|alert|crit|warn)\] .*", output):
        said = re.sub(r"\A(\[\w+\]) \d+#\d+: (?:\*\d+ )?", r"\1 ", said)
        if said not in found:
            found.append(said)
    return found


def _copy(entry: Entry) -> Entry:
    """Return what a copy of ``entry`` is: it belongs to whoever makes it."""
    return entry._replace(owner=os.geteuid())


def _text(entry: Optional[Entry]) -> str:
    if entry is None:
        return ""
    content = entry.content.decode("utf-8", "replace")
    if entry.kind == "link":
        return "link to {0}\n".format(content)
    return content


def saved_name(path: str) -> str:
    """Return where a displaced ``path`` is kept: beside the main file, under a name that no include matches."""
    return quote(path, safe="") + SAVED_SUFFIX


def check_path(path: str) -> None:
    """Refuse a managed path that could lead out of the folder."""
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise NginxError("path {0!r} has to be relative to directory, without empty, . or .. parts".format(path))
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise NginxError("path {0!r} contains a control character".format(path))
    if parts[0].startswith(WORK_PREFIX) or SAVED_SUFFIX in path:
        raise NginxError("path {0!r} is one of those that nginx_config uses itself".format(path))


def check_settings(settings: Settings) -> None:
    """Refuse what can't be meant, before anything is looked at."""
    if not os.path.isabs(settings.directory):
        raise NginxError("directory {0!r} has to be an absolute path".format(settings.directory))
    if not settings.marker.strip() or "\n" in settings.marker:
        raise NginxError("marker has to be one line and not blank")
    if settings.live_timeout <= 0:
        raise NginxError("live_timeout has to be greater than 0 seconds")
    if "/" in settings.main_file:
        raise NginxError("main_file {0!r} has to be in directory itself".format(settings.main_file))
    for path in [settings.main_file, *settings.owned_directories, *settings.absent, *settings.files]:
        check_path(path)
    if not settings.present:
        return
    if settings.main_file not in settings.files:
        raise NginxError("files have to contain main_file ({0})".format(settings.main_file))
    for path, (content, mode) in settings.files.items():
        folders = list(parents(path))
        if path != settings.main_file and not any(folder in settings.owned_directories for folder in folders):
            raise NginxError(
                "{0} is neither main_file nor in one of owned_directories ({1}): it could not be found again when it is "
                "no longer wanted".format(path, ", ".join(settings.owned_directories) or "none")
            )
        if any(folder in settings.files for folder in folders):
            raise NginxError("{0} is in a folder that is itself one of files".format(path))
        if path in settings.absent:
            raise NginxError("{0} is in files and in absent".format(path))
        if not Entry("file", content.encode(), mode, 0).is_marked(settings.marker):
            raise NginxError(
                "the content of {0} does not have the marker {1!r} in its first five lines: "
                "put it in a comment there".format(path, settings.marker)
            )


def changed_at(path: str) -> float:
    """Return when what ``path`` leads to was last exchanged or written, in seconds since 1970; 0 when it is not there.

    The change time is used, since anybody can set the modification time; and that of every symbolic link on the way,
    since certificates are often renewed by setting a link.
    """
    newest = 0.0
    resolved = "/"
    rest = path.split("/")[::-1]
    hops = 0
    status = None
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            resolved = os.path.dirname(resolved)
            continue
        candidate = os.path.join(resolved, part)
        try:
            status = os.lstat(candidate)
            if not stat.S_ISLNK(status.st_mode):
                resolved = candidate
                continue
            newest = max(newest, status.st_ctime)
            target = os.readlink(candidate)
        except OSError:
            return 0.0
        hops += 1
        if hops > 40:
            return 0.0
        if target.startswith("/"):
            resolved = "/"
        rest.extend(target.split("/")[::-1])
    return max(newest, status.st_ctime) if status else 0.0


def newest_change(tree: Tree, directory: str) -> Tuple[float, str]:
    """Return when the newest of what nginx reads changed, and what that is.

    Folders count as well, because a file that was removed has no time any more; not so ``directory`` itself, where work
    folders come and go.
    """
    paths = tree.files + tree.loaded + [folder for folder in tree.directories if not _same(folder, directory)]
    return max(((changed_at(path), path) for path in paths), default=(0.0, ""))


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


class LogWatch:
    """Reads what nginx adds to its error logs from now on."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._starts = {path: self._size(path) for path in paths}

    @staticmethod
    def _size(path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError:
            return 0

    def lines(self) -> List[str]:
        """Return the lines added so far."""
        lines: List[str] = []
        for path, start in self._starts.items():
            try:
                if not stat.S_ISREG(os.stat(path).st_mode):
                    continue
                with open(path, "rb") as stream:
                    stream.seek(start)
                    lines += stream.read(1 << 20).decode("utf-8", "replace").splitlines()
            except OSError:
                continue
        return lines

    def complaints(self) -> List[str]:
        """Return what nginx gave up on, without time stamps and repetitions."""
        return [line for line in _sayings("\n".join(self.lines())) if not line.startswith("[warn]")]

    def gave_up(self) -> bool:
        """Whether there is a complaint after which nginx does not go on: it tries bind() and listen() five times."""
        return any(
            complaint.startswith("[emerg] ") and not re.match(r"\[emerg\] (?:bind|listen)\(\) to ", complaint)
            for complaint in self.complaints()
        )


class System:
    """Everything that acts on processes, so that tests can break each of them."""

    def run(self, command: Sequence[str], limit: float) -> Finished:
        """Run a command to its end."""
        return run(command, limit)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal."""
        os.kill(pid, number)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Transaction:
    """One run of nginx_config."""

    def __init__(
        self, settings: Settings, operations: Optional[Operations] = None, system: Optional[System] = None,
        finder: Optional[Finder] = None,
    ) -> None:
        self.settings = settings
        self.outcome = Outcome()
        self._operations = operations or Operations()
        self._system = system or System()
        self._finder = finder or Finder(settings.binary, settings.main, settings.pid_file)
        self._exchange = Exchange(settings.directory, self._operations)

    # -- the whole -------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Bring the host to what is wanted, or change nothing and raise NginxError."""
        settings = self.settings
        check_settings(settings)
        installed = os.access(settings.binary, os.X_OK)
        if not os.path.isdir(settings.directory):
            return self._without_directory()
        if settings.present and not installed and not settings.check:
            raise NginxError("{0} is not there: install nginx first".format(settings.binary))
        try:
            with Lock(settings.directory):
                self._recover()
                self.outcome.changes = self._plan()
                if installed:
                    self._with_nginx()
                elif self.outcome.changes and not settings.check:
                    self._without_nginx()
        except OSError as error:
            raise NginxError(_explain(error)) from error
        if not self.outcome.reason:
            self.outcome.reason = "the configuration differs" if self.outcome.changes else "nothing to do"
        return self.outcome

    def _without_directory(self) -> Outcome:
        if not self.settings.present:
            self.outcome.reason = "nothing to do"
            return self.outcome
        if not self.settings.check:
            raise NginxError("{0} is not there: install nginx first".format(self.settings.directory))
        self.outcome.changes = [
            Change(path, None, self._wanted(content, mode)) for path, (content, mode) in self.settings.files.items()
        ]
        self.outcome.reason = "the configuration differs"
        return self.outcome

    def _recover(self) -> None:
        interrupted = self._exchange.interrupted()
        if not interrupted:
            return
        if self.settings.check:
            self.outcome.warnings.append("a killed run has left {0}; the next run puts that right".format(
                ", ".join(interrupted)))
            return
        for path in self._exchange.recover():
            self.outcome.warnings.append(
                "{0} was altered after a killed run had written it and is left as it is".format(self._exchange.path(path))
            )

    # -- compare ---------------------------------------------------------------------------------------------------

    def _wanted(self, content: str, mode: int) -> Entry:
        return Entry("file", content.encode("utf-8", "surrogateescape"), mode, os.geteuid())

    def _found(self, path: str) -> Optional[Entry]:
        """Return what is at a managed path, refusing to go through symbolic links or to replace anything but a file."""
        for folder in parents(path):
            self._is_folder(folder)
        return read_entry(self._exchange.path(path))

    def _is_folder(self, folder: str) -> bool:
        """Whether there is such a folder; refuse anything else there."""
        path = self._exchange.path(folder)
        entry = read_entry(path)
        if entry and (entry.kind != "other" or not os.path.isdir(path)):
            raise NginxError("{0} is {1}, not a folder, and nothing is written through it: remove it first".format(
                path, "a symbolic link" if entry.kind == "link" else "in the way"))
        return entry is not None

    def _plan(self) -> List[Change]:
        settings = self.settings
        changes: List[Change] = []
        wanted = settings.files if settings.present else {}
        # Included files before the main file that includes them.
        for path in sorted(wanted, key=lambda name: (name == settings.main_file, name)):
            found = self._found(path)
            where = self._exchange.path(path)
            if found and found.kind != "file":
                raise NginxError("{0} is {1}: remove it first".format(
                    where, "a symbolic link" if found.kind == "link" else "not a file"))
            if found and not found.is_marked(settings.marker):
                if path != settings.main_file:
                    raise NginxError(
                        "{0} is there without the marker {1!r} in its first five lines, so it is somebody else's: "
                        "move it away first".format(where, settings.marker)
                    )
                changes += self._save(path, found)
            entry = self._wanted(*wanted[path])
            if identity(found) != identity(entry):
                changes.append(Change(path, found, entry))
        changes += self._remove_unwanted()
        changes += self._set_aside() if settings.present else []
        back = self._put_back()
        # The main file is ours and unwanted, yet there is a former one to take its place.
        return [change for change in changes if change.path not in {other.path for other in back}] + back

    def _save(self, path: str, found: Entry) -> List[Change]:
        """Keep ``found``, which is about to be displaced; an older saved one moves out of the way."""
        name = saved_name(path)
        saved = read_entry(self._exchange.path(name))
        if saved and (saved.kind, saved.content) == (found.kind, found.content):
            return []
        changes = [Change(name, saved, _copy(found))]
        if saved:
            number = 1
            while os.path.lexists(self._exchange.path("{0}.{1}".format(name, number))):
                number += 1
            changes.insert(0, Change("{0}.{1}".format(name, number), None, _copy(saved)))
        return changes

    def _remove_unwanted(self) -> List[Change]:
        settings = self.settings
        changes: List[Change] = []
        others: List[str] = []
        for owned in settings.owned_directories:
            for path in self._files_in(owned):
                if settings.present and path in settings.files:
                    continue
                entry = read_entry(self._exchange.path(path))
                if entry and entry.is_marked(settings.marker):
                    changes.append(Change(path, entry, None))
                elif entry and not os.path.basename(path).startswith("."):
                    others.append(path)
        if others:
            self.outcome.warnings.append("not ours and left alone in {0}: {1}{2}".format(
                settings.directory, ", ".join(others[:_NOT_OURS_LIMIT]), " …" if len(others) > _NOT_OURS_LIMIT else ""))
        if not settings.present:
            main = self._found(settings.main_file)
            if main and main.is_marked(settings.marker):
                changes.append(Change(settings.main_file, main, None))
        return changes

    def _files_in(self, folder: str) -> List[str]:
        if not self._is_folder(folder):
            return []
        found = []
        for place, _, names in os.walk(self._exchange.path(folder)):
            relative = os.path.relpath(place, self.settings.directory)
            found += [os.path.join(relative, name) for name in names]
        return sorted(found)

    def _set_aside(self) -> List[Change]:
        changes: List[Change] = []
        for path in self.settings.absent:
            found = self._found(path)
            if found is None:
                continue
            if found.kind != "link":
                self.outcome.warnings.append("{0} is not a symbolic link and is left alone".format(
                    self._exchange.path(path)))
                continue
            changes += self._save(path, found)
            changes.append(Change(path, found, None))
        return changes

    def _put_back(self) -> List[Change]:
        """Put back what earlier runs have set aside and is no longer to be absent; with state absent that is all."""
        settings = self.settings
        changes: List[Change] = []
        for name in sorted(os.listdir(settings.directory)):
            path = unquote(name[:-len(SAVED_SUFFIX)])
            if not name.endswith(SAVED_SUFFIX) or saved_name(path) != name:
                continue
            if settings.present and (path == settings.main_file or path in settings.absent):
                continue
            saved = read_entry(self._exchange.path(name))
            found = self._found(path)
            if saved is None or saved.kind == "other":
                continue
            if path == settings.main_file and found and not found.is_marked(settings.marker):
                self.outcome.warnings.append("{0} is no longer ours and stays; {1} stays as well".format(
                    settings.main, self._exchange.path(name)))
                continue
            if found is None and not os.path.isdir(os.path.dirname(self._exchange.path(path))):
                continue
            if found is None or path == settings.main_file:
                changes.append(Change(path, found, _copy(saved)))
            changes.append(Change(name, saved, None))
        return changes

    # -- test ------------------------------------------------------------------------------------------------------

    def _test(self, tree: str) -> None:
        """Have nginx test the staged tree."""
        settings = self.settings
        main = os.path.join(tree, settings.main_file)
        entry = read_entry(os.path.realpath(main))
        if entry is None:
            raise NginxError("there would be no main file {0}".format(settings.main))
        content = entry.content.decode("utf-8", "surrogateescape")
        # nginx -t opens the pid file and would create the real one, owned and labelled as the caller.
        pid_owner = read_tree(main).pid_owner
        content = with_pid(content, os.path.join(self._exchange.work, "pid"), pid_owner is None)
        self._operations.unlink(main)
        self._operations.write(main, content.encode("utf-8", "surrogateescape"), 0o600)
        finished = self._system.run([settings.binary, "-t", "-q", "-c", main], TEST_LIMIT)
        output = finished.output.replace(tree + "/", settings.directory.rstrip("/") + "/").strip()
        said = _sayings(output)
        if finished.status == 0:
            self.outcome.warnings += ["nginx -t: " + line for line in said if line.startswith("[warn]")]
            return
        fatal = [line for line in said if line.startswith("[emerg]")] or said or output.splitlines()[:1]
        if settings.check and fatal and _MISSING_FILE.search(fatal[0]):
            self.outcome.warnings.append(
                "nginx -t misses a file that an earlier task may yet put there: {0}".format(fatal[0]))
            return
        raise NginxError("nginx refuses this configuration; nothing was changed: {0}".format("; ".join(fatal)), output)

    # -- act -------------------------------------------------------------------------------------------------------

    def _with_nginx(self) -> None:
        settings, outcome = self.settings, self.outcome
        before = read_tree(settings.main)
        processes = read_processes()
        master = self._finder.master(processes)
        workers = _workers(processes, master)
        outcome.workers = [worker.pid for worker in workers]
        self._note_pid_file(master)
        reason = self._reason(before, master, workers)
        if not reason:
            return
        outcome.reason = reason
        if settings.check:
            self._check_only(master)
            return
        try:
            self._exchange.open_work()
            tree = self._exchange.stage(outcome.changes)
            after_is_complete = settings.main_file not in outcome.removed_files
            if after_is_complete:
                self._test(tree)
            elif master:
                outcome.warnings.append(
                    "there is no former {0} to go back to; nginx keeps running with what it has read".format(settings.main))
                master = None
            if outcome.changes:
                self._commit()
            if after_is_complete and (master or settings.present):
                self._go_live(before, master)
            self._exchange.close()
            self._remove_empty_folders()
        except BaseException:
            # Whatever happens, Control-C too, the former configuration comes back.
            self._exchange.undo()
            self._exchange.close()
            raise

    def _check_only(self, master: Optional[Process]) -> None:
        outcome = self.outcome
        outcome.reloaded = bool(master) and self.settings.main_file not in outcome.removed_files
        outcome.started = not master and self.settings.present
        if self.settings.main_file in outcome.removed_files:
            return
        if not os.access(self.settings.directory, os.W_OK):
            outcome.warnings.append("{0} is not writable: the configuration was not tested".format(self.settings.directory))
            return
        try:
            self._exchange.open_work()
            self._test(self._exchange.stage(outcome.changes))
        finally:
            self._exchange.close()

    def _without_nginx(self) -> None:
        try:
            self._exchange.open_work()
            self._exchange.stage(self.outcome.changes)
            self._commit()
            self._exchange.close()
            self._remove_empty_folders()
        except BaseException:
            self._exchange.undo()
            self._exchange.close()
            raise

    def _reason(self, before: Tree, master: Optional[Process], workers: Sequence[Process]) -> str:
        """Return why something has to be done, nothing when nothing has."""
        if self.outcome.changes:
            return "the configuration differs"
        if not self.settings.present:
            return ""
        if not master:
            return "nginx was not running"
        if not workers:
            return "nginx had no worker"
        newest, path = newest_change(before, self.settings.directory)
        if newest > time.time():
            self.outcome.warnings.append(
                "{0} was changed in the future: the clock was set back, and until it catches up every run reloads".format(path))
        if any(started_at(worker) < newest for worker in workers):
            return "{0} is newer than the running workers".format(path)
        return ""

    def _note_pid_file(self, master: Optional[Process]) -> None:
        named = self._finder.pid_in_file()
        if master and named != master.pid:
            self.outcome.warnings.append("{0} {1}, but nginx's master is process {2}: its own scripts will miss it".format(
                self.settings.pid_file, "names process {0}".format(named) if named else "names no process", master.pid))

    def _commit(self) -> None:
        self._exchange.commit(self.outcome.changes)

    def _remove_empty_folders(self) -> None:
        """Remove folders of ours in which a removal has left nothing."""
        owned = self.settings.owned_directories
        for path in self.outcome.removed_files:
            for folder in reversed(list(parents(path))):
                is_ours = any(folder.startswith(top + "/") or (folder == top and not self.settings.present) for top in owned)
                if not is_ours or not self._exchange.remove_if_empty(folder):
                    break

    # -- live ------------------------------------------------------------------------------------------------------

    def _go_live(self, before: Tree, master: Optional[Process]) -> None:
        """Have nginx take on what is on the disk; if it does not, put back what was there."""
        settings, outcome = self.settings, self.outcome
        after = read_tree(settings.main)
        try:
            outcome.workers = self._activate(before, after, master)
            outcome.reloaded, outcome.started = bool(master), not master
            return
        except NotLive as error:
            complaint = error
        if master and settings.allow_restart:
            try:
                outcome.workers = self._restart(before, after)
                outcome.restarted = True
                return
            except NotLive as error:
                complaint = error
        left = self._exchange.undo()
        message = "the configuration passed nginx's test but did not become live within {0:g} s: {1}".format(
            settings.live_timeout, complaint)
        if not outcome.changes:
            raise NginxError(message, str(complaint))
        running = self._finder.master()
        if running or master:
            try:
                self._activate(after, before, running)
                message += ". What was there before was put back and is live"
            except NotLive as error:
                message += ". What was there before was put back, but that did not become live either: {0}".format(error)
        else:
            message += ". What was there before was put back; nginx is not running, as before"
        if left:
            message += ". Altered by somebody else in the meantime and left: {0}".format(", ".join(left))
        if master and "bind()" in message and not settings.allow_restart:
            message += (
                ". Either another process has that address, or nginx itself has it in a narrower or wider form, which it "
                "can't exchange without a restart (allow_restart cuts every session)"
            )
        raise NginxError(message, str(complaint))

    def _activate(self, before: Tree, after: Tree, master: Optional[Process]) -> List[int]:
        """Reload ``master``, or start nginx where there is none, and return the new workers."""
        since = now_in_ticks()
        # New workers have to be distinguishable from the last change on the disk and from the former workers.
        self._system.sleep(TICK)
        watch = LogWatch(self._logs(before, after))
        if master:
            try:
                self._system.signal(master.pid, signal.SIGHUP)
            except ProcessLookupError:
                master = None
        said = "" if master else self._start(after)
        return self._wait_until_live(since, watch, said)

    def _logs(self, *trees: Tree) -> List[str]:
        logs = [self.settings.error_log] if self.settings.error_log else []
        for tree in trees:
            logs += [path for path in tree.error_logs if path not in logs]
        return logs

    def _restart(self, before: Tree, after: Tree) -> List[int]:
        since = now_in_ticks()
        self._system.sleep(TICK)
        watch = LogWatch(self._logs(before, after))
        master = self._finder.master()
        if master:
            self._system.signal(master.pid, signal.SIGTERM)
            deadline = time.monotonic() + self.settings.live_timeout
            while self._finder.master():
                if time.monotonic() > deadline:
                    raise NotLive("nginx's master, process {0}, does not end".format(master.pid))
                self._system.sleep(POLL)
        return self._wait_until_live(since, watch, self._start(after))

    def _start(self, tree: Tree) -> str:
        """Start nginx and return what the starter said when it failed."""
        self._clear_the_way(tree)
        service = self.settings.service
        if not service:
            finished = self._system.run([self.settings.binary, "-c", self.settings.main], START_LIMIT)
        elif os.path.isdir("/run/systemd/system"):
            # A unit that failed a few times in a row is refused until it is reset; it may well not have failed at all.
            self._system.run(["systemctl", "reset-failed", service], START_LIMIT)
            finished = self._system.run(["systemctl", "start", service], START_LIMIT)
        else:
            finished = self._system.run(["service", service, "start"], START_LIMIT)
        return finished.output.strip() if finished.status else ""

    def _clear_the_way(self, tree: Tree) -> None:
        """Remove what a killed nginx has left and a new one would stumble over, though its test passes."""
        for worker in self._finder.orphans(self._logs(tree)):
            # QUIT: it frees the listeners at once and sees its sessions through.
            self._system.signal(worker.pid, signal.SIGQUIT)
            self.outcome.warnings.append("worker {0} of a killed nginx held its listeners and was told to quit".format(worker.pid))
        for path in tree.sockets:
            if _is_dead_socket(path):
                self._operations.unlink(path)
                self.outcome.warnings.append("{0}, left by a killed nginx, was removed".format(path))

    def _wait_until_live(self, since: int, watch: LogWatch, said: str) -> List[int]:
        deadline = time.monotonic() + self.settings.live_timeout
        steady: List[int] = []
        steady_since = 0.0
        while True:
            processes = read_processes()
            master = self._finder.master(processes)
            children = [process for process in processes if master and process.parent == master.pid]
            new = sorted(child.pid for child in children if child.is_worker and child.started > since)
            is_moving = any(
                child.is_starting or (child.is_worker and child.started <= since) for child in children
            )
            moment = time.monotonic()
            if new != steady:
                steady, steady_since = new, moment
            if steady and moment - steady_since >= SETTLE:
                if not is_moving:
                    return steady
                if moment > deadline:
                    self.outcome.warnings.append("a former worker does not react to being told to quit")
                    return steady
            if moment > deadline or (not new and (watch.gave_up() or (said and not master))):
                complaints = watch.complaints() or said.splitlines()
                raise NotLive("; ".join(complaints) or "nginx's error log says nothing about it")
            self._system.sleep(POLL)


def _workers(processes: Sequence[Process], master: Optional[Process]) -> List[Process]:
    return [process for process in processes if master and process.parent == master.pid and process.is_worker]


def _is_dead_socket(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _explain(error: OSError) -> str:
    where = ", ".join(str(name) for name in (error.filename, error.filename2) if name)
    message = "{0}: {1}".format(where, error.strerror) if where else str(error.strerror or error)
    if error.errno in (errno.EACCES, errno.EPERM):
        message += ": this has to run as a user who may write there (become: true)"
    elif error.errno in (errno.EXDEV, errno.EBUSY):
        message += ": it is a mount of its own; the whole configuration has to be on one filesystem"
    return message + "; what was there is still there"


def result(outcome: Outcome) -> Dict[str, Any]:
    """Return what the module returns."""
    return {
        "changed": outcome.changed,
        "changed_files": outcome.changed_files,
        "removed_files": outcome.removed_files,
        "reloaded": outcome.reloaded,
        "started": outcome.started,
        "restarted": outcome.restarted,
        "reason": outcome.reason,
        "workers": outcome.workers,
    }
