# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import socket

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import Operations
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import (
    Activator,
    LogWatch,
    NotLive,
    System,
    changed_at,
    newest_change,
    messages_of,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._host.run import Finished, ProgramError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Process
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.syntax import Tree

WORKER, ENDING, FORKED = (
    "nginx: worker process",
    "nginx: worker process is shutting down",
    "nginx: master process nginx",
)
MASTER = Process(10, 1, 5, "nginx: master process nginx")


def tree(log=None, **values):
    return Tree([], [], [], [str(log)] if log else [], [], None)._replace(**values)


def child(pid, started, title=WORKER):
    return Process(pid, MASTER.pid, started, title)


OLD, NEW = child(11, 50), child(21, 101)


class Finder:
    binary = "/usr/sbin/nginx"
    left = ()

    def master(self, processes):
        return next((process for process in processes if process.pid == MASTER.pid), None)

    def orphans(self, processes, logs):
        return self.left


class Script(System):
    """Plays scenes: each is who is there, until which second after the signal."""

    def __init__(self, *scenes, log=None):
        self.scenes = list(scenes)
        self.now = 0.0
        self.signals = []
        self.commands = []
        self.status = 0
        self.output = ""
        self.log = log

    def run(self, command, limit):
        self.commands.append(list(command))
        return Finished(self.status, self.output)

    def signal(self, pid, number):
        self.signals.append((pid, number))

    def sleep(self, seconds):
        self.now += seconds

    def clock(self):
        return self.now

    def ticks(self):
        return 100

    def processes(self):
        for until, processes in self.scenes:
            if self.now < until:
                return list(processes)
        return list(self.scenes[-1][1])


def activator(system, service="", finder=None, error_log=""):
    return Activator(finder or Finder(), "/etc/nginx/nginx.conf", service, str(error_log), 5, system, Operations())


def reload(*scenes, log=None):
    system = Script(*scenes)
    return activator(system).reload(MASTER, tree(log), tree(log)), system


# -- the proof
# -----------------------------------------------------------------------------------------------------------


def test_new_workers_are_live_when_the_former_ones_step_back():
    live, system = reload((1, [MASTER, OLD]), (2, [MASTER, OLD, NEW]), (9, [MASTER, child(11, 50, ENDING), NEW]))
    assert live == [NEW.pid]
    assert system.signals == [(MASTER.pid, signal.SIGHUP)]
    assert system.now >= 2


def test_former_workers_alone_are_no_proof():
    with pytest.raises(NotLive, match="no steady new worker within 5 s"):
        reload((9, [MASTER, OLD]))


def test_a_worker_of_the_very_tick_of_the_reload_is_no_proof():
    with pytest.raises(NotLive):
        reload((9, [MASTER, child(21, 100)]))


def test_workers_of_another_master_are_no_proof():
    with pytest.raises(NotLive):
        reload((9, [MASTER, OLD, NEW._replace(parent=99)]))


def test_helpers_are_no_proof():
    with pytest.raises(NotLive):
        reload((9, [MASTER, OLD, child(21, 101, "nginx: cache manager process")]))


def test_workers_that_crash_and_are_replaced_again_and_again_are_not_live():
    scenes = [(number / 20, [MASTER, child(100 + number, 101 + number)]) for number in range(200)]
    with pytest.raises(NotLive):
        reload(*scenes)


def test_a_worker_that_is_still_being_set_up_is_waited_for():
    _, system = reload((1, [MASTER, NEW, child(22, 101, FORKED)]), (9, [MASTER, NEW, child(22, 101)]))
    assert system.now >= 1.1


def test_a_former_worker_that_hangs_does_not_undo_a_live_configuration_but_is_told():
    system = Script((9, [MASTER, OLD, NEW]))
    acting = activator(system)
    assert acting.reload(MASTER, tree(), tree()) == [NEW.pid]
    assert system.now > 5 and "does not react" in acting.warnings[0]


def test_new_workers_that_are_followed_by_others_for_ever_are_given_up_in_time():
    """Steady workers, and all the time a child that is only just starting: nothing to wait for beyond the limit."""
    system = Script((99, [MASTER, NEW, child(22, 101, FORKED)]))
    with pytest.raises(NotLive):
        activator(system).reload(MASTER, tree(), tree())
    assert system.now < 6


def test_a_master_left_without_workers_is_given_up_soon():
    system = Script((0.2, [MASTER, OLD]), (9, [MASTER, child(11, 50, ENDING)]))
    with pytest.raises(NotLive):
        activator(system).reload(MASTER, tree(), tree())
    assert system.now < 2


def test_workers_that_take_their_time_to_start_are_no_reason_to_go_back():
    """The former ones are told to quit at once, and the new ones may look their account up in a slow directory."""
    slow = [MASTER, child(11, 50, ENDING), child(21, 101, FORKED)]
    workers, system = reload((0.2, [MASTER, OLD]), (3, slow), (9, [MASTER, NEW]))
    assert workers == [NEW.pid] and system.now >= 3


def test_a_master_that_is_gone_is_told():
    class Gone(Script):
        def signal(self, pid, number):
            raise ProcessLookupError

    with pytest.raises(NotLive, match="process 10, has just ended"):
        activator(Gone((9, []))).reload(MASTER, tree(), tree())


def test_a_pause_separates_the_change_from_the_signal():
    system = Script((9, [MASTER, NEW]))
    moments = []
    system.signal = lambda *_: moments.append(system.now)
    activator(system).reload(MASTER, tree(), tree())
    assert moments[0] >= 2 / os.sysconf("SC_CLK_TCK")


# -- the words
# -----------------------------------------------------------------------------------------------------------


class Talking(Script):
    """A master that logs when it gets its signal."""

    def __init__(self, log, words):
        super().__init__((99, [MASTER, OLD]))
        self.log, self.words = log, words

    def signal(self, pid, number):
        with open(str(self.log), "a") as stream:
            stream.write(self.words)


def told(log, words):
    system = Talking(log, words)
    with pytest.raises(NotLive) as caught:
        activator(system).reload(MASTER, tree(log), tree(log))
    return str(caught.value), system.now


def test_a_log_that_the_caller_names_is_read_too(tmp_path):
    system = Talking(tmp_path / "log", "1 [emerg] 10#10: still could not bind()\n")
    with pytest.raises(NotLive, match="still could not bind"):
        activator(system, error_log=tmp_path / "log").reload(MASTER, tree(), tree())


def test_the_log_of_the_new_configuration_is_read_as_well_as_that_of_the_former(tmp_path):
    for before, after in (("log", "other"), ("other", "log")):
        system = Talking(tmp_path / "log", "1 [emerg] 10#10: still could not bind()\n")
        with pytest.raises(NotLive, match="still could not bind"):
            activator(system).reload(MASTER, tree(tmp_path / before), tree(tmp_path / after))


def test_the_masters_words_since_the_reload_are_told_once_without_times(tmp_path):
    log = tmp_path / "error.log"
    log.write_text("2026/11/21 04:00:00 [emerg] 10#10: of yesterday\n")
    bind = "2026/11/21 04:16:27 [emerg] 10#10: bind() to 0.0.0.0:443 failed (98: Address already in use)\n"
    words, seconds = told(log, bind * 5 + "2026/11/21 04:16:29 [emerg] 10#10: still could not bind()\n")
    assert words == "[emerg] bind() to 0.0.0.0:443 failed (98: Address already in use); [emerg] still could not bind()"
    assert seconds < 1


def test_a_first_failed_bind_is_not_the_end_as_nginx_tries_again(tmp_path):
    _, seconds = told(tmp_path / "log", "1 [emerg] 10#10: bind() to 0.0.0.0:443 failed (98: Address already in use)\n")
    assert seconds >= 5


def test_what_the_master_shrugs_off_does_not_end_the_wait(tmp_path):
    _, seconds = told(tmp_path / "log", "1 [alert] 10#10: worker process 31 exited on signal 9\n")
    assert seconds >= 5


def test_words_of_the_master_do_not_count_once_new_workers_are_there(tmp_path):
    class Both(Talking):
        def processes(self):
            return [MASTER, NEW]

    system = Both(tmp_path / "log", "1 [emerg] 10#10: something\n")
    assert activator(system).reload(MASTER, tree(tmp_path / "log"), tree()) == [NEW.pid]


def test_a_worry_of_another_process_does_not_end_the_wait(tmp_path):
    words, seconds = told(tmp_path / "log", '1 [emerg] 11#11: open() "/log" failed (13: Permission denied)\n')
    assert seconds >= 5
    assert "Permission denied" in words


def test_the_last_words_of_a_worker_that_died_are_told(tmp_path):
    words, seconds = told(
        tmp_path / "log",
        '1 [emerg] 31#31: chdir("/x") failed\n1 [crit] 44#44: *7 not ours\n'
        "1 [alert] 10#10: worker process 31 exited with fatal code 2 and cannot be respawned\n",
    )
    assert seconds < 1
    assert (
        words
        == '[emerg] chdir("/x") failed; [alert] worker process 31 exited with fatal code 2 and cannot be respawned'
    )


def test_warnings_are_not_the_reason(tmp_path):
    words, _ = told(tmp_path / "log", "1 [warn] 10#10: conflicting server name\n")
    assert "conflicting" not in words


def test_messages_are_found_in_the_output_of_any_version():
    assert messages_of(
        'nginx: [emerg] unknown directive "x" in /etc/nginx/nginx.conf:1\n'
        "2026/11/21 04:27:35 [emerg] 25832#25832: *1 other\n"
        "nginx: configuration file /etc/nginx/nginx.conf test failed\n"
        "nginx: [warn] careful\n"
    ) == ['[emerg] unknown directive "x" in /etc/nginx/nginx.conf:1', "[emerg] other", "[warn] careful"]


def test_a_log_that_is_a_pipe_or_not_there_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    watch = LogWatch([str(tmp_path / "pipe"), str(tmp_path / "missing")])
    assert watch.complaints(1) == [] and not watch.gave_up(1)


# -- starting
# ------------------------------------------------------------------------------------------------------------


def test_without_a_service_the_binary_is_started():
    system = Script((9, [MASTER, NEW]))
    assert activator(system).start(tree()) == [NEW.pid]
    assert system.commands == [["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"]]


@pytest.mark.parametrize(
    ("systemd", "commands"),
    [
        # A unit that failed too often is refused until it is reset.
        (True, [["systemctl", "reset-failed", "web"], ["systemctl", "start", "web"]]),
        (False, [["service", "web", "start"]]),
    ],
)
def test_a_service_is_started_by_what_runs_services_here(monkeypatch, systemd, commands):
    monkeypatch.setattr(os.path, "isdir", lambda path: systemd)
    system = Script((9, [MASTER, NEW]))
    activator(system, service="web").start(tree())
    assert system.commands == commands


def test_a_starter_that_fails_is_quoted_when_nginx_said_nothing():
    system = Script((9, []))
    system.status, system.output = 1, "Unit web.service is masked.\n"
    with pytest.raises(NotLive, match="Unit web.service is masked."):
        activator(system).start(tree())
    assert system.now < 1


def test_a_starter_that_fails_without_a_word_is_told_all_the_same():
    system = Script((9, []))
    system.status = 1
    with pytest.raises(NotLive, match="the start failed"):
        activator(system).start(tree())


def test_a_start_may_take_its_time():
    orphan = NEW._replace(pid=31, parent=1)
    assert activator(Script((4, [orphan]), (9, [orphan, MASTER, NEW]))).start(tree()) == [NEW.pid]


def test_a_starter_that_is_missing_is_told():
    class Missing(Script):
        def run(self, command, limit):
            raise ProgramError("cannot run service: No such file or directory", "service", is_missing=True)

    with pytest.raises(NotLive, match="cannot run service"):
        activator(Missing((9, [])), service="web").start(tree())


def test_a_restart_waits_for_the_end_before_it_starts():
    system = Script((1, [MASTER, OLD]), (2, []), (9, [MASTER, NEW]))
    order = []
    system.signal = lambda pid, number: order.append((number, system.now))
    system.run = lambda command, limit: order.append(("start", system.now)) or Finished(0, "")
    assert activator(system).restart(tree(), tree()) == [NEW.pid]
    assert [step for step, _ in order] == [signal.SIGTERM, "start"]
    assert order[1][1] >= 1


def test_a_restart_of_what_has_ended_by_itself_is_a_start():
    system = Script((0.1, []), (9, [MASTER, NEW]))
    assert activator(system).restart(tree(), tree()) == [NEW.pid]
    assert system.signals == [] and len(system.commands) == 1


def test_a_master_that_does_not_end_is_told():
    with pytest.raises(NotLive, match="does not end"):
        activator(Script((99, [MASTER, OLD]))).restart(tree(), tree())


def test_orphans_are_told_to_quit_gracefully_before_a_start():
    finder = Finder()
    finder.left = [child(31, 40)]
    system = Script((9, [MASTER, NEW]))
    acting = activator(system, finder=finder)
    acting.start(tree())
    assert system.signals == [(31, signal.SIGQUIT)]
    assert "worker 31" in acting.warnings[0]


def test_a_dead_socket_is_removed_and_anything_else_at_its_path_is_not(tmp_path):
    dead, alive, file = tmp_path / "dead", tmp_path / "alive", tmp_path / "file"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead))
    file.write_text("")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(alive))
        there.listen()
        acting = activator(Script((9, [MASTER, NEW])))
        acting.start(tree(sockets=[str(path) for path in (alive, dead, file)]))
    assert not dead.exists() and alive.exists() and file.exists()
    assert acting.warnings == [f"{dead}, left by a killed nginx, was removed"]


def test_a_socket_whose_owner_is_just_ending_is_waited_for(tmp_path):
    path = tmp_path / "gate.sock"
    ending = socket.socket(socket.AF_UNIX)
    ending.bind(str(path))
    ending.listen()

    class Ends(Script):
        def sleep(self, seconds):
            super().sleep(seconds)
            if self.now > 0.5:
                ending.close()

    activator(Ends((9, [MASTER, NEW]))).start(tree(sockets=[str(path)]))
    assert not path.exists()


def test_the_real_system_waits_and_signals():
    system = System()
    begin = system.clock()
    system.sleep(0.05)
    assert system.clock() - begin >= 0.05
    child = os.fork()
    if not child:
        signal.pause()
    system.signal(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


# -- what has changed
# ----------------------------------------------------------------------------------------------------


def test_the_change_time_counts_and_not_what_anybody_can_set(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    os.utime(path, (1, 1))
    assert changed_at(str(path)) == path.stat().st_ctime > 1
    os.utime(path, (2**33, 2**33))
    assert changed_at(str(path)) == path.stat().st_ctime < 2**32


def test_every_link_on_the_way_counts(tmp_path, monkeypatch):
    times = {}
    lstat = os.lstat

    def remember(path, **_):
        times[path] = lstat(path).st_ctime
        return lstat(path)

    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "one.pem").write_text("")
    (tmp_path / "live").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "now.pem").symlink_to("../archive/./one.pem")
    monkeypatch.setattr(os, "lstat", remember)
    newest = changed_at(str(tmp_path / "live" / "now.pem"))
    for name in ("live", "archive/now.pem", "archive/one.pem"):
        assert str(tmp_path / name) in times
    assert newest == max(times[str(tmp_path / name)] for name in ("live", "archive/now.pem", "archive/one.pem"))


@pytest.mark.parametrize("path", ["missing", "loop", "file/below"])
def test_what_is_not_there_has_no_time(tmp_path, path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    assert changed_at(str(tmp_path / path)) == 0


def test_the_newest_of_files_certificates_and_folders_is_named(tmp_path, monkeypatch):
    for name in ("main", "cert", "folder", "itself"):
        (tmp_path / name).mkdir()
    times = {"main": 1.0, "cert": 2.0, "folder": 3.0, "itself": 4.0}
    module = "ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live.changed_at"
    monkeypatch.setattr(module, lambda path: times[os.path.basename(path)])
    everything = Tree(
        files=[str(tmp_path / "main")],
        loaded=[str(tmp_path / "cert")],
        error_logs=[],
        sockets=[],
        pid_owner=None,
        directories=[str(tmp_path / "folder"), str(tmp_path / "x" / ".." / "itself")],
    )
    assert newest_change(everything, str(tmp_path / "itself")) == (3.0, str(tmp_path / "folder"))
