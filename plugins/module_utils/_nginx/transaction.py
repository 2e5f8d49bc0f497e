# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration transaction: compare, stage, test, commit, reload, prove live, else put back."""

from __future__ import annotations

import os
import re
import time

from typing import Any, Dict, List, Optional, Sequence

from .._host.diff import in_one_line
from .._host.error import HostError, reason
from .._host.files import FileError
from .._sessions.protection import prepare, release, remember
from .answers import Probe, any_is_well, ask, worse
from .capacity import Capacity, measure
from .error import NginxError, explained
from .files import (
    SAVED_SUFFIX,
    Change,
    Entry,
    Exchange,
    Lock,
    Operations,
    parents,
    read_entry,
)
from .live import (
    Activator,
    Family,
    NotLive,
    System,
    newest_change,
    messages_of,
)
from .plan import Planner, Settings, check_settings, to_bytes
from .process import Finder, Process, started_at
from .sockets import Guard, Socket, present, problem, protect
from .syntax import Tree, read_tree, with_pid

TEST_LIMIT = 120
"""Seconds that nginx -t may take: it resolves every host name in the configuration."""

PAGE_SUFFIX = ".html"
"""A page is no configuration: hundreds of lines of it would hide what is."""

_MISSING_FILE = re.compile(r'"([^"]+)"[^"]*No such file or directory')


class Outcome:
    """What was, or in check mode would be, done."""

    def __init__(self) -> None:
        self.changes: List[Change] = []
        self.reloaded = False
        self.started = False
        self.restarted = False
        self.deferred = False
        # Of what is deferred: whether clients are answered now, which shows afterwards what the change has done.
        self.answering = False
        self.kept = False
        self.sockets: List[str] = []
        self.reason = "nothing to do"
        self.workers: List[int] = []
        self.warnings: List[str] = []
        self.capacity: Optional[Capacity] = None

    @property
    def shown(self) -> List[Change]:
        """Return the changes but for the copies of what was displaced. What was left to a later run is none."""
        return [] if self.deferred else [change for change in self.changes if SAVED_SUFFIX not in change.path]

    def result(self) -> Dict[str, Any]:
        """Return what the module returns."""
        return {
            "changed": not self.deferred
            and (bool(self.changes) or self.reloaded or self.started or self.restarted or bool(self.sockets)),
            "changed_files": [change.path for change in self.shown if change.after],
            "removed_files": [change.path for change in self.shown if not change.after],
            "reloaded": self.reloaded,
            "started": self.started,
            "restarted": self.restarted,
            "deferred": self.deferred,
            "answering": self.answering,
            "kept_former": self.kept,
            "protected_sockets": self.sockets,
            "reason": self.reason,
            "workers": self.workers,
            "capacity": self.capacity.result() if self.capacity else None,
        }

    def diff(self) -> List[Dict[str, str]]:
        """Return the changes in the form that Ansible prints."""
        return [
            {
                "before": _text(change, change.before),
                "after": _text(change, change.after),
                "before_header": change.path,
                "after_header": change.path,
            }
            for change in self.shown
        ]


def _is_secret(change: Change) -> bool:
    """Whether others may not read it, before or after: what it was then is no secret of less worth."""
    return any(
        entry.kind == "file" and not entry.mode & 0o077 for entry in (change.before, change.after) if entry is not None
    )


def _text(change: Change, entry: Optional[Entry]) -> str:
    if entry is None:
        return ""
    if _is_secret(change):
        # Not its digest, either: a short secret could be guessed from that.
        return "not shown, {}\n".format("as it was" if entry is change.before else "as it will be")
    path = change.path
    content = entry.content.decode("utf-8", "replace")
    if entry.kind == "link":
        return f"link to {content}\n"
    return in_one_line(content) if path.endswith(PAGE_SUFFIX) else content


class Transaction:
    """One run of nginx_config."""

    def __init__(
        self,
        settings: Settings,
        operations: Optional[Operations] = None,
        system: Optional[System] = None,
    ) -> None:
        self.settings = settings
        self.outcome = Outcome()
        self._operations = operations or Operations()
        self._system = system or System()
        self._finder = Finder(settings.binary, settings.main, settings.pid_file)
        self._exchange = Exchange(settings.directory, self._operations)
        self._new_session_logs: List[str] = []
        self._activator = Activator(
            self._finder,
            settings.main,
            settings.service,
            settings.error_log,
            settings.live_timeout,
            self._system,
            self._operations,
        )

    def run(self) -> Outcome:
        """Bring the host to what is wanted, or leave everything as it was and raise NginxError."""
        settings = self.settings
        check_settings(settings)
        if not self._is_installed() and settings.present and not settings.check:
            raise NginxError(f"{settings.binary} is not there: install nginx first")
        if not os.path.isdir(settings.directory):
            return self._without_directory()
        planner = Planner(settings)
        try:
            with Lock(settings.directory):
                self._recover()
                self.outcome.changes = planner.plan()
                self._apply()
        except OSError as error:
            raise NginxError(explained(error)) from error
        self.outcome.warnings += planner.warnings + self._activator.warnings
        self._look_at_capacity()
        return self.outcome

    def _look_at_capacity(self) -> None:
        """Warn where the workers that run now cannot carry the sessions that were asked for."""
        settings = self.settings
        if settings.sessions and settings.present and not settings.check and not self.outcome.deferred:
            self.outcome.capacity = measure(settings.main, self.outcome.workers, settings.sessions)
            problem = self.outcome.capacity.problem() if self.outcome.capacity else ""
            self.outcome.warnings += [problem] if problem else []

    def _is_installed(self) -> bool:
        return os.access(self.settings.binary, os.X_OK)

    def _without_directory(self) -> Outcome:
        settings = self.settings
        if settings.present and not settings.check:
            raise NginxError(f"{settings.directory} is not there: install nginx first")
        if settings.present:
            self.outcome.reason = "the configuration differs"
            self.outcome.changes = [Change(path, None, settings.entry(path)) for path in settings.files]
        return self.outcome

    def _recover(self) -> None:
        """Undo what a killed run has left half done, so that there is one former state to come back to."""
        interrupted = self._exchange.interrupted()
        if interrupted and self.settings.check:
            self.outcome.warnings.append(
                f"a killed run has left {', '.join(interrupted)}; the next run puts that right"
            )
        elif interrupted:
            for path in self._exchange.recover():
                self.outcome.warnings.append(
                    f"{self.settings.path(path)} was altered after a killed run had written it and is left as it is"
                )

    # -- test --------------------------------------------------------------------------------------------------------

    def _test(self, tree: str) -> None:
        """Have nginx test the staged tree."""
        settings = self.settings
        main = os.path.join(tree, settings.main_file)
        entry = read_entry(os.path.realpath(main))
        if entry is None:
            raise NginxError(f"{settings.main} leads nowhere; nothing was changed")
        # nginx -t opens the pid file; the real one it would create, owned and labelled as the caller.
        has_no_pid = read_tree(main).pid_owner is None
        content = with_pid(
            entry.content.decode("utf-8", "surrogateescape"), os.path.join(self._exchange.work, "pid"), has_no_pid
        )
        self._operations.unlink(main)
        self._operations.write(main, to_bytes(content), 0o600)
        finished = self._system.run([settings.binary, "-t", "-q", "-c", main], TEST_LIMIT)
        output = finished.output.replace(tree + "/", os.path.join(settings.directory, "")).strip()
        said = messages_of(output)
        if finished.status == 0:
            self.outcome.warnings += ["nginx -t: " + line for line in said if line.startswith("[warn]")]
            return
        fatal = [line for line in said if line.startswith("[emerg]")] or said or output.splitlines()
        if settings.check and fatal and self._is_for_others_to_bring(fatal[0]):
            self.outcome.warnings.append(f"nginx -t misses a file that an earlier task may yet put there: {fatal[0]}")
            return
        raise NginxError(
            f"nginx refuses this configuration; nothing was changed: {'; '.join(fatal) or 'it does not say why'}",
            output,
        )

    def _is_for_others_to_bring(self, complaint: str) -> bool:
        """Whether nginx misses a file that this run does not decide about."""
        missing = _MISSING_FILE.search(complaint)
        return missing is not None and not any(
            missing.group(1).startswith(self.settings.path(folder) + "/") for folder in self.settings.owned_directories
        )

    # -- act ---------------------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        settings, outcome = self.settings, self.outcome
        before = read_tree(settings.main)
        family = self._activator.family() if self._is_installed() else Family(None, [])
        outcome.workers = [worker.pid for worker in family.workers]
        self._note_pid_file(family.master)
        reason = self._reason(before, family)
        if not reason:
            self._protect_what_is_there(family)
            return
        outcome.reason = reason
        master: Optional[Process] = family.master
        fate = {change.path: bool(change.after) for change in outcome.changes}
        has_main = fate.get(settings.main_file, os.path.lexists(settings.main))
        if not has_main and master:
            outcome.warnings.append(
                f"there is no former {settings.main} to go back to; nginx keeps running with what it has read"
            )
            master = None
        if settings.check:
            outcome.reloaded = bool(master)
            outcome.started = settings.starts and not master
            if self._is_installed() and has_main:
                self._test_only(before)
            return
        if settings.defer:
            outcome.deferred = True
            if self._is_installed() and has_main:
                self._test_only(before)
            outcome.answering = bool(master) and any_is_well(settings.probes)
            return
        try:
            self._exchange.open_work()
            tree = self._exchange.stage(outcome.changes)
            if self._is_installed() and has_main:
                self._prepare_session_logs(before, tree)
                self._test(tree)
            answers = ask(settings.probes) if master and settings.present else {}
            if outcome.changes:
                self._exchange.commit(outcome.changes)
            if master or settings.starts:
                self._go_live(before, master, answers)
        except BaseException:
            # Whatever happens, Control-C too, the former configuration comes back.
            self._exchange.undo()
            for path in self._new_session_logs:
                release(path)
            self._close()
            raise
        if settings.keep_former and outcome.changes and (outcome.reloaded or outcome.restarted):
            self._exchange.keep()
            outcome.kept = True
        self._close()
        if not settings.present:
            self._remove_empty_folders()

    def _prepare_session_logs(self, before: Tree, staged: str) -> None:
        """Make logs that hold tokens root's before nginx opens them, and note which ones workers will go on writing."""
        wanted = read_tree(os.path.join(staged, self.settings.main_file)).session_logs
        self._new_session_logs = [path for path in wanted if path not in before.session_logs]
        for path in wanted:
            # Without the folder nginx's test fails, and says so.
            if os.path.isdir(os.path.dirname(path)):
                try:
                    prepare(path)
                except (FileError, OSError) as error:
                    why = f"it {error.message}" if isinstance(error, FileError) else reason(error)
                    raise NginxError(
                        f"{path} cannot be made a log for root alone: {why}; nothing was changed"
                    ) from error
        formers = [path for path in before.session_logs if path not in wanted]
        if wanted and formers:
            try:
                remember(wanted, formers)
            except (HostError, OSError) as error:
                raise NginxError(
                    f"that sessions are logged in {', '.join(formers)} cannot be noted: {error}; nothing was changed"
                ) from error

    def _protect_what_is_there(self, family: Family) -> None:
        """Give sockets their mode in a run that has nothing else to do."""
        settings = self.settings
        if not settings.starts or not family.workers:
            return
        for wanted in settings.sockets:
            changed = protect(wanted, settings.check)
            if changed is None:
                raise NginxError(
                    f"{wanted.path} is not there any more, though nginx listens on it: nobody can connect until nginx "
                    "is "
                    "restarted"
                )
            if changed:
                self.outcome.sockets.append(wanted.path)
                self.outcome.reason = "a socket had another mode or group"

    def _test_only(self, before: Tree) -> None:
        if not os.access(self.settings.directory, os.W_OK):
            self.outcome.warnings.append(
                f"{self.settings.directory} is not writable, so nginx did not test the configuration"
            )
            return
        try:
            self._exchange.open_work()
            tree = self._exchange.stage(self.outcome.changes)
            if not self.settings.check:
                self._prepare_session_logs(before, tree)
            self._test(tree)
        except BaseException:
            for path in self._new_session_logs:
                release(path)
            raise
        finally:
            self._close()

    def _close(self) -> None:
        try:
            self._exchange.close()
        except OSError as error:
            self.outcome.warnings.append(
                f"{self._exchange.work} could not be removed ({error.strerror}): the next run undoes and does all this "
                "once more"
            )

    def _reason(self, before: Tree, family: Family) -> str:
        """Return why something has to be done, nothing when nothing has."""
        if self.outcome.changes:
            return "the configuration differs"
        if not self.settings.starts or not self._is_installed():
            return ""
        if not family.master:
            return "nginx was not running"
        if not family.workers:
            return "nginx had no worker"
        newest, path = newest_change(before, self.settings.directory)
        if newest > time.time():
            self.outcome.warnings.append(
                f"the clock was set back: {path} changed in the future, and until then every run reloads"
            )
        if any(started_at(worker) < newest for worker in family.workers):
            return f"{path} is newer than the running workers"
        return ""

    def _note_pid_file(self, master: Optional[Process]) -> None:
        named = self._finder.pid_in_file()
        if master and named != master.pid:
            what = f"process {named}" if named else "no process"
            self.outcome.warnings.append(
                f"{self.settings.pid_file} names {what}, but nginx's master is process {master.pid}: "
                "scripts that rely on it fail"
            )

    def _remove_empty_folders(self) -> None:
        """Remove our folders when the last of our files has gone for good.

        Not while they are in use: an empty one does no harm, and its end would make the folder around it look changed.
        """
        for change in self.outcome.changes:
            for folder in reversed(list(parents(change.path))):
                is_ours = any((folder + "/").startswith(owned + "/") for owned in self.settings.owned_directories)
                if not is_ours or not self._exchange.remove_if_empty(folder):
                    break

    # -- live --------------------------------------------------------------------------------------------------------

    def _go_live(self, before: Tree, master: Optional[Process], answers: Dict[Probe, int]) -> None:
        """Have nginx take on what is on the disk; if it does not, put back what was there."""
        settings, outcome = self.settings, self.outcome
        after = read_tree(settings.main)
        former = present(before.sockets)
        try:
            with Guard(settings.sockets):
                if master:
                    outcome.workers = self._activator.reload(master, before, after)
                else:
                    outcome.workers = self._activator.start(after)
            self._check_sockets()
            outcome.reloaded, outcome.started = bool(master), not master
            self._check_answers(answers, before, after, former)
            self._release_session_logs(before, after)
            return
        except NotLive as error:
            complaint = str(error)
        if master and settings.allow_restart:
            try:
                with Guard(settings.sockets):
                    outcome.workers = self._activator.restart(before, after)
                self._check_sockets()
                outcome.restarted = True
                self._check_answers(answers, before, after, former)
                self._release_session_logs(before, after)
                return
            except NotLive as error:
                complaint = str(error)
        message = f"nginx found the configuration right but does not run it: {complaint}"
        if outcome.changes:
            message += self._go_back(before, after, bool(master), former)
        if master and "bind()" in complaint and not settings.allow_restart:
            message += (
                ". Either another process has that address, or nginx itself has it in a narrower or wider form, which "
                "it "
                "can't exchange without a restart (allow_restart cuts every session)"
            )
        raise NginxError(message, complaint)

    def _check_answers(self, answers: Dict[Probe, int], before: Tree, after: Tree, sockets: Sequence[Socket]) -> None:
        """Put back what was there when a location does not answer any more that did before."""
        complaints = worse(answers)
        if not complaints:
            return
        message = f"nginx runs the configuration, but clients get worse answers: {'; '.join(complaints[:5])}"
        if len(complaints) > 5:
            message += f"; and {len(complaints) - 5} more"
        if self.outcome.changes:
            message += self._go_back(before, after, True, sockets)
        else:
            message += ". Nothing was changed in it, so there is nothing to put back"
        raise NginxError(message)

    def _check_sockets(self) -> None:
        complaint = problem(self.settings.sockets)
        if complaint:
            raise NotLive(complaint)

    @staticmethod
    def _release_session_logs(before: Tree, after: Tree) -> None:
        """Let logs be removed that nginx's master does not open any more."""
        for path in before.session_logs:
            if path not in after.session_logs:
                release(path)

    def _go_back(self, before: Tree, after: Tree, was_running: bool, sockets: Sequence[Socket]) -> str:
        """Put back what was there, sockets with the mode that they had, and say how that went."""
        left = self._exchange.undo()
        message = ". What was there before was put back"
        running = self._activator.family().master
        try:
            with Guard(sockets):
                if running:
                    self._activator.reload(running, after, before)
                elif was_running:
                    self._activator.start(before)
            complaint = problem(sockets) if running or was_running else ""
            if complaint:
                raise NotLive(complaint)
            message += " and is live" if running or was_running else "; nginx is not running, as before"
        except NotLive as error:
            message += f", but that did not become live either: {error}"
        if left:
            message += f". Altered by somebody else in the meantime and left: {', '.join(left)}"
        return message
