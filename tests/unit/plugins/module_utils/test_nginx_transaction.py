# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of things, with an nginx that is made up. tests/functional has a real one."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import transaction as _nginx_transaction
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import WORK_PREFIX, Operations
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import System
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.plan import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Finished, Process, now_in_ticks
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.transaction import Transaction

MARK = "# wssgate.nginx\n"
STEPS = [name for name in vars(Operations) if not name.startswith("_")]


class Nginx(System):
    """A made-up nginx: each signal or start gives it new workers, unless it is told to refuse."""

    def __init__(self, root):
        self.root = root
        self.master = 10
        self.generation = 0
        self.started = now_in_ticks() + 1
        self.tested = []
        self.events = []
        self.verdict = Finished(0, "")
        self.refuses = 0
        time.sleep(0.03)

    def run(self, command, limit):
        if "-t" in command:
            self.tested.append(
                {
                    str(path.relative_to(Path(command[-1]).parent)): path.read_text()
                    for path in Path(command[-1]).parent.rglob("*")
                    if path.is_file()
                }
            )
            return self.verdict._replace(output=self.verdict.output.replace("TREE", os.path.dirname(command[-1])))
        self.events.append("start")
        self.renew()
        self.master = 10
        return Finished(0, "")

    def renew(self):
        if self.refuses:
            self.refuses -= 1
            return
        self.generation += 1
        self.started = now_in_ticks() + 1

    def signal(self, pid, number):
        self.events.append(signal.Signals(number).name)
        if number == signal.SIGTERM:
            self.master = 0
        else:
            self.renew()

    def processes(self):
        if not self.master:
            return []
        return [
            Process(self.master, 1, 1, "nginx: master process nginx -c {0}/etc/nginx.conf".format(self.root)),
            Process(100 + self.generation, self.master, self.started, "nginx: worker process"),
        ]


@pytest.fixture
def host(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "nginx").write_text("")
    (tmp_path / "nginx").chmod(0o755)
    (tmp_path / "pid").write_text("10")
    monkeypatch.setattr(_nginx_transaction.Finder, "_runs_our_binary", lambda self, process: True)
    nginx = Nginx(tmp_path)

    def apply(files=None, operations=None, **settings):
        values = {
            "directory": str(tmp_path / "etc"),
            "binary": str(tmp_path / "nginx"),
            "main_file": "nginx.conf",
            "service": "",
            "pid_file": str(tmp_path / "pid"),
            "owned_directories": ["wssgate.d"],
            "live_timeout": 0.3,
            "files": {path: (MARK + content, 0o644) for path, content in (files or {}).items()},
        }
        return Transaction(Settings(**{**values, **settings}), operations, nginx).run()

    nginx.apply = apply
    nginx.etc = tmp_path / "etc"
    nginx.snapshot = lambda: {
        str(path.relative_to(tmp_path)): path.read_text() if path.is_file() else None
        for path in sorted((tmp_path / "etc").rglob("*"))
    }
    return nginx


OLD = {
    "nginx.conf": "pid /run/nginx.pid; include wssgate.d/*.conf;",
    "wssgate.d/a.conf": "old",
    "wssgate.d/gone.conf": "gone",
}
NEW = {
    "nginx.conf": "pid /run/nginx.pid; include wssgate.d/*.conf; # new",
    "wssgate.d/a.conf": "new",
    "wssgate.d/b/b.conf": "b",
}


def test_what_is_tested_is_the_wanted_tree_with_another_pid_file(host):
    host.apply(OLD)
    host.apply(NEW)
    tested = host.tested[-1]
    assert set(tested) == set(NEW)
    assert tested["wssgate.d/a.conf"] == MARK + "new"
    assert "/run/nginx.pid" not in tested["nginx.conf"] and WORK_PREFIX in tested["nginx.conf"]
    assert host.snapshot()["etc/nginx.conf"] == MARK + NEW["nginx.conf"]


def test_no_change_neither_tests_nor_signals(host):
    host.apply(OLD)
    del host.tested[:], host.events[:]
    for check in (False, True):
        outcome = host.apply(OLD, check=check)
        assert not outcome.result()["changed"] and host.tested == [] and host.events == []
        assert outcome.reason == "nothing to do" and outcome.warnings == []


def test_one_signal_a_run(host):
    host.apply(OLD)
    del host.events[:]
    assert host.apply(NEW).reloaded
    assert host.events == ["SIGHUP"]


def test_a_refused_test_touches_nothing_and_names_the_real_path(host):
    host.apply(OLD)
    before, inodes = host.snapshot(), {path: path.stat().st_ctime_ns for path in host.etc.rglob("*")}
    host.verdict = Finished(
        1, 'nginx: [emerg] unknown directive "x" in TREE/wssgate.d/a.conf:2\nnginx: configuration file failed\n'
    )
    with pytest.raises(NginxError) as caught:
        host.apply(NEW)
    assert '"x" in {0}/wssgate.d/a.conf:2'.format(host.etc) in str(caught.value)
    assert WORK_PREFIX not in str(caught.value) + caught.value.nginx_output
    assert host.snapshot() == before and {path: path.stat().st_ctime_ns for path in host.etc.rglob("*")} == inodes


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("", "it does not say why"),
        ("Segmentation fault\n", "Segmentation fault"),
        ("nginx: [alert] a\nnginx: [emerg] b\nnginx: [warn] c\nnginx: configuration file failed\n", "[emerg] b"),
        ("nginx: [alert] a\nnginx: configuration file failed\n", "[alert] a"),
    ],
)
def test_a_failed_test_is_told_by_the_most_telling_line(host, output, told, check):
    host.verdict = Finished(1, output)
    with pytest.raises(NginxError) as caught:
        host.apply(NEW, check=check)
    assert str(caught.value).endswith("nothing was changed: " + told)
    assert caught.value.nginx_output == output.strip()


def test_warnings_of_the_test_are_passed_on(host):
    host.verdict = Finished(0, 'nginx: [warn] conflicting server name "x" on 0.0.0.0:443, ignored\n')
    assert any("conflicting server name" in warning for warning in host.apply(NEW).warnings)


def test_a_reload_that_is_refused_puts_everything_back_and_reloads_again(host):
    host.apply(OLD)
    before = host.snapshot()
    del host.events[:]
    host.refuses = 1
    with pytest.raises(NginxError) as caught:
        host.apply(NEW)
    assert str(caught.value).endswith("What was there before was put back and is live")
    assert host.snapshot() == before
    assert host.events == ["SIGHUP", "SIGHUP"]
    del host.events[:]
    assert not host.apply(OLD).result()["changed"]


def test_a_return_that_does_not_become_live_is_told_as_well(host):
    host.apply(OLD)
    before = host.snapshot()
    host.refuses = 2
    with pytest.raises(NginxError, match="that did not become live either"):
        host.apply(NEW)
    assert host.snapshot() == before


def test_a_master_that_dies_of_the_new_configuration_is_started_with_the_former(host):
    host.apply(OLD)
    before = host.snapshot()

    def crash(pid, number):
        host.master = 0

    host.signal = crash
    with pytest.raises(NginxError, match="put back and is live"):
        host.apply(NEW)
    assert host.snapshot() == before and host.master and host.events[-1] == "start"


def test_a_due_reload_that_fails_has_nothing_to_put_back(host):
    host.apply(OLD)
    (host.etc / "wssgate.d" / "theirs.conf").write_text("theirs")
    host.refuses = 1
    with pytest.raises(NginxError) as caught:
        host.apply(OLD)
    assert "put back" not in str(caught.value)


def test_a_restart_comes_only_when_allowed_and_only_when_a_reload_was_not_enough(host):
    host.apply(OLD)
    del host.events[:]
    assert host.apply(NEW, allow_restart=True).reloaded
    assert host.events == ["SIGHUP"]
    host.refuses = 1
    outcome = host.apply(OLD, allow_restart=True)
    assert outcome.restarted and not outcome.reloaded
    assert host.events == ["SIGHUP", "SIGHUP", "SIGTERM", "start"]


def test_an_interrupt_at_any_step_puts_everything_back(host):
    host.apply(OLD)
    before = host.snapshot()

    def interrupted_at(number):
        count = iter(range(10000))
        operations = Operations()

        def breaking(method):
            def step(*arguments):
                if next(count) == number:
                    raise KeyboardInterrupt
                return method(*arguments)

            return step

        for name in STEPS:
            setattr(operations, name, breaking(getattr(operations, name)))
        return operations

    number = 0
    while True:
        operations = interrupted_at(number)
        del host.events[:]
        try:
            host.apply(NEW, operations)
        except KeyboardInterrupt:
            if host.snapshot() != before:
                # It came when all was live and only traces were being removed.
                assert host.events == ["SIGHUP"], "step {0}".format(number)
                assert set(host.apply(NEW).warnings) == set() and not host.apply(NEW).result()["changed"]
                break
        else:
            raise AssertionError("there was no interrupt at step {0}".format(number))
        number += 1
    assert number > 20


def test_errors_of_the_system_say_where_and_what_to_do(host):
    operations = Operations()
    told = {
        errno.EACCES: "/x, /y: Permission denied: this has to run as a user who may do that (become: true)",
        errno.EXDEV: (
            "/x, /y: Invalid cross-device link: it is a mount of its own; the whole configuration has "
            "to be on one filesystem"
        ),
        errno.ENOSPC: "/x, /y: No space left on device",
    }
    for number, hint in told.items():

        def fail(*_, number=number):
            raise OSError(number, os.strerror(number), "/x", None, "/y")

        operations.rename = fail
        with pytest.raises(NginxError) as caught:
            host.apply(NEW, operations)
        assert str(caught.value) == hint + "; what was there is still there"
        assert host.snapshot() == {}


def test_an_error_of_the_system_without_a_place_is_told_as_it_is(host):
    operations = Operations()

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    operations.rename = fail
    with pytest.raises(NginxError, match=r"\ANo space left on device; what was there is still there"):
        host.apply(NEW, operations)


def test_a_work_folder_that_can_not_be_removed_does_not_fail_a_run_that_is_live(host):
    operations = Operations()
    unlink = operations.unlink

    def refuse(path):
        if path.endswith("journal.json"):
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path)

    operations.unlink = refuse
    outcome = host.apply(NEW, operations)
    assert outcome.started or outcome.reloaded
    assert any("could not be removed" in warning for warning in outcome.warnings)


def test_check_mode_tells_of_a_killed_run_and_leaves_it_to_the_next(host):
    host.apply(OLD)
    work = host.etc / (WORK_PREFIX + "x")
    work.mkdir()
    outcome = host.apply(OLD, check=True)
    assert work.is_dir() and "the next run puts that right" in outcome.warnings[0]
    host.apply(OLD)
    assert not work.exists()


@pytest.mark.parametrize(
    ("missing", "forgiven"),
    [
        (
            (
                '[emerg] cannot load certificate "{0}/certificates/x.pem": BIO_new_file() failed (SSL: '
                "error:80000002:system library::No such file or directory)"
            ),
            True,
        ),
        ('[emerg] open() "/var/log/nginx/wssgate/sessions.log" failed (2: No such file or directory)', True),
        ('[emerg] open() "{0}/wssgate.d/x.inc" failed (2: No such file or directory) in {0}/nginx.conf:1', False),
        ('[emerg] open() "/var/log/nginx/x" failed (13: Permission denied)', False),
        ('[emerg] unknown directive "x"', False),
    ],
)
def test_check_mode_forgives_only_a_file_that_may_yet_come(host, missing, forgiven):
    host.verdict = Finished(1, "nginx: " + missing.format("TREE") + "\n")
    if forgiven:
        assert "may yet put there" in " ".join(host.apply(NEW, check=True).warnings)
    else:
        with pytest.raises(NginxError):
            host.apply(NEW, check=True)
    assert host.snapshot() == {}
    with pytest.raises(NginxError):
        host.apply(NEW)


def test_check_mode_without_the_right_to_write_says_that_nginx_tested_nothing(host, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert "not writable" in " ".join(host.apply(NEW, check=True).warnings)
    assert host.tested == []


def test_a_clock_that_was_set_back_is_told(host, monkeypatch):
    host.apply(OLD)
    monkeypatch.setattr(_nginx_transaction, "newest_change", lambda *_: (time.time() + 99, "/etc/x"))
    outcome = host.apply(OLD)
    assert outcome.reloaded and "clock was set back: /etc/x" in outcome.warnings[0]


def test_a_dead_nginx_is_started_and_what_it_refuses_leaves_it_dead(host):
    host.apply(OLD)
    host.master = 0
    del host.events[:]
    outcome = host.apply(OLD)
    assert outcome.started and not outcome.reloaded and outcome.reason == "nginx was not running"
    assert host.events == ["start"] and outcome.result()["changed"]

    host.master = 0
    before = host.snapshot()

    def fail(command, limit):
        return Finished(0, "") if "-t" in command else host.events.append("start") or Finished(1, "no")

    host.run = fail
    with pytest.raises(NginxError, match="put back; nginx is not running, as before"):
        host.apply(NEW, allow_restart=True)
    assert host.events == ["start", "start"] and host.snapshot() == before


def test_a_port_that_is_taken_is_explained_where_a_restart_could_be_allowed(host, tmp_path):
    log = tmp_path / "error.log"
    host.apply(OLD)
    renew = host.renew

    def refuse():
        if host.refuses:
            with log.open("a") as stream:
                stream.write("1 [emerg] 10#10: bind() to 0.0.0.0:443 failed (98: Address already in use)\n")
        renew()

    host.renew = refuse
    for allowed, explained in ((False, True), (True, False)):
        host.refuses = 2 if allowed else 1
        with pytest.raises(NginxError) as caught:
            host.apply(NEW, error_log=str(log), allow_restart=allowed)
        assert "[emerg] bind() to 0.0.0.0:443 failed" in str(caught.value)
        assert ("Either another process has that address" in str(caught.value)) == explained


@pytest.mark.parametrize("what", ["reloaded", "started", "restarted"])
def test_whatever_was_done_is_a_change(what):
    outcome = _nginx_transaction.Outcome()
    assert not outcome.result()["changed"]
    setattr(outcome, what, True)
    assert outcome.result()["changed"] and outcome.result()[what]


def test_a_single_older_worker_makes_a_reload_due(host, monkeypatch):
    host.apply(OLD)
    newest = time.time()
    processes = host.processes
    monkeypatch.setattr(_nginx_transaction, "newest_change", lambda *_: (newest, "/etc/x"))
    time.sleep(0.03)
    host.renew()
    assert not host.apply(OLD).reloaded
    old = Process(99, 10, 5, "nginx: worker process")
    host.processes = lambda: processes() + [old._replace(title="nginx: worker process is shutting down")]
    assert not host.apply(OLD).reloaded
    generation = host.generation
    host.processes = lambda: processes() + ([old] if host.generation == generation else [])
    assert host.apply(OLD).reason == "/etc/x is newer than the running workers"


def test_a_master_without_workers_is_reloaded(host):
    host.apply(OLD)
    processes, generation = host.processes, host.generation
    host.processes = lambda: processes()[:1] if host.generation == generation else processes()
    assert host.apply(OLD).reason == "nginx had no worker"


def test_a_pid_file_that_names_another_is_told_each_time(host, tmp_path):
    host.apply(OLD)
    (tmp_path / "pid").write_text("7")
    assert "names process 7, but nginx's master is process 10" in host.apply(OLD).warnings[0]
    (tmp_path / "pid").unlink()
    assert "names no process" in host.apply(OLD).warnings[0]


def test_absent_without_a_former_main_file_leaves_nginx_running_and_says_so(host):
    host.apply(NEW)
    del host.events[:]
    outcome = host.apply(present=False)
    assert "keeps running with what it has read" in outcome.warnings[0]
    assert host.snapshot() == {} and host.events == []
    assert not host.apply(present=False).result()["changed"]


def test_absent_reloads_an_nginx_that_runs(host):
    (host.etc / "nginx.conf").write_text("package")
    host.apply(NEW)
    del host.events[:]
    assert host.apply(present=False).reloaded and host.events == ["SIGHUP"]


def test_absent_does_without_a_main_file_that_somebody_has_removed(host):
    host.apply(NEW)
    (host.etc / "nginx.conf").unlink()
    host.apply(present=False)
    assert host.snapshot() == {}


def test_absent_with_a_main_file_that_leads_nowhere_changes_nothing(host):
    host.apply(NEW)
    (host.etc / "nginx.conf").unlink()
    (host.etc / "nginx.conf").symlink_to("missing")
    before = host.snapshot()
    with pytest.raises(NginxError, match="nginx.conf leads nowhere"):
        host.apply(present=False)
    assert host.snapshot() == before


def test_a_folder_that_becomes_empty_stays_while_it_is_in_use(host):
    host.apply(NEW)
    host.apply(OLD)
    assert host.snapshot()["etc/wssgate.d/b"] is None and not list((host.etc / "wssgate.d" / "b").iterdir())
    assert not host.apply(OLD).result()["changed"]


def test_what_can_not_be_meant_is_refused_before_anything_is_looked_at(host):
    with pytest.raises(NginxError, match="have to contain main_file"):
        host.apply({"wssgate.d/a.conf": ""}, check=True)
    with pytest.raises(NginxError, match="live_timeout"):
        host.apply(OLD, live_timeout=0, directory="/missing", binary="/missing")


def test_the_diff_shows_what_was_and_what_is(host):
    (host.etc / "sites-enabled").mkdir()
    (host.etc / "sites-enabled" / "default").symlink_to("/somewhere")
    host.apply(OLD)
    outcome = host.apply(NEW, absent=["sites-enabled/default"], check=True)
    shown = {change["after_header"]: (change["before"], change["after"]) for change in outcome.diff()}
    assert shown == {
        "nginx.conf": (MARK + OLD["nginx.conf"], MARK + NEW["nginx.conf"]),
        "wssgate.d/a.conf": (MARK + "old", MARK + "new"),
        "wssgate.d/b/b.conf": ("", MARK + "b"),
        "wssgate.d/gone.conf": (MARK + "gone", ""),
        "sites-enabled/default": ("link to /somewhere\n", ""),
    }


def test_the_diff_of_a_page_is_one_line_and_that_of_configuration_is_all_of_it(host):
    page = "<p>\n" * 400
    for installed in (True, False):
        if not installed:
            host.etc.rmdir()
        outcome = host.apply({**OLD, "wssgate.d/check.html": page}, check=True)
        shown = {change["after_header"]: change["after"] for change in outcome.diff()}
        assert shown["nginx.conf"] == MARK + OLD["nginx.conf"] and shown["wssgate.d/a.conf"] == MARK + "old"
        assert re.fullmatch(r"40\d lines, SHA-256 [0-9a-f]{12}…\n", shown["wssgate.d/check.html"])


def test_without_nginx_check_mode_has_nothing_to_start(host, tmp_path):
    host.apply(OLD)
    (tmp_path / "nginx").unlink()
    outcome = host.apply(OLD, check=True)
    assert not outcome.result()["changed"] and outcome.reason == "nothing to do"


def test_without_nginx_a_run_fails_before_it_changes_anything(host, tmp_path):
    before = host.snapshot()
    (tmp_path / "nginx").chmod(0o644)
    with pytest.raises(NginxError, match="nginx is not there: install nginx first"):
        host.apply(OLD)
    assert host.snapshot() == before and host.events == []


def test_without_nginxs_folder_a_run_fails_and_check_mode_tells_what_would_come(host, tmp_path):
    host.etc.rmdir()
    with pytest.raises(NginxError, match="etc is not there: install nginx first"):
        host.apply(OLD)
    assert not host.etc.exists()
    assert sorted(change.path for change in host.apply(OLD, check=True).changes) == sorted(OLD)


def test_absent_does_not_start_an_nginx_that_does_not_run(host):
    (host.etc / "nginx.conf").write_text("package")
    host.apply(NEW)
    host.master = 0
    del host.events[:]
    outcome = host.apply(present=False)
    assert not outcome.started and host.events == []
    assert host.snapshot() == {"etc/nginx.conf": "package"}
    assert not host.apply(present=False).result()["changed"]


def test_absent_leaves_folders_in_which_somebody_has_something(host):
    host.apply(NEW)
    (host.etc / "wssgate.d" / "theirs").write_text("")
    host.apply(present=False)
    assert host.snapshot() == {"etc/wssgate.d": None, "etc/wssgate.d/theirs": ""}


def test_copies_of_what_was_displaced_are_not_shown(host):
    (host.etc / "nginx.conf").write_text("package")
    outcome = host.apply(OLD)
    assert len(outcome.changes) == 4
    assert outcome.result()["changed_files"] == ["wssgate.d/a.conf", "wssgate.d/gone.conf", "nginx.conf"]
    assert [change["before_header"] for change in outcome.diff()] == [
        "wssgate.d/a.conf",
        "wssgate.d/gone.conf",
        "nginx.conf",
    ]


def test_what_was_altered_while_nginx_refused_is_left_and_told(host):
    host.apply(OLD)

    def alter(pid, number):
        (host.etc / "wssgate.d" / "a.conf").write_text("by hand")
        host.signal = lambda *_: host.renew()

    host.signal = alter
    with pytest.raises(NginxError, match="Altered by somebody else in the meantime and left: wssgate.d/a.conf"):
        host.apply(NEW)
    assert (host.etc / "wssgate.d" / "a.conf").read_text() == "by hand"
