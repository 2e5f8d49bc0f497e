# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can read the log that holds tokens: what an intruder in a worker gets through its descriptor of it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import System
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import protection as _session_log
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import shorten

from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it takes a worker that is not root, and root to become one")

WORKER = 33
# A worker has the descriptor that its master opened for writing, and nothing more. So has this one.
WORK = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    what = []
    for name, flags in (("read", os.O_RDONLY), ("rewrite", os.O_RDWR), ("empty", os.O_WRONLY | os.O_TRUNC)):
        try:
            os.close(os.open("/proc/self/fd/%d" % log, flags))
            what.append(name)
        except OSError:
            pass
    for name, call, argument in (("chmod", os.fchmod, 0o666), ("truncate", os.ftruncate, 0)):
        try:
            call(log, argument)
            what.append(name)
        except OSError:
            pass
    print(" ".join(what), flush=True)
"""


class Worker:
    def __init__(self, log):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORK, str(log), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def can(self):
        """What it can do by its descriptor, beyond appending."""
        self.process.stdin.write("now\n")
        self.process.stdin.flush()
        return set(self.process.stdout.readline().split())

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def log(host):
    folder = host.root / "private"
    folder.mkdir(mode=0o700)
    yield folder / "sessions.log"
    for one in folder.iterdir():
        _session_log.release(str(one))


@pytest.fixture
def worker(log):
    started = []

    def start():
        started.append(Worker(log))
        return started[-1]

    yield start
    for one in started:
        one.end()


def has_attribute(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        return _session_log.is_append_only(handle)
    finally:
        os.close(handle)


@pytest.fixture
def files(host, port, log):
    def make(path=log, answer="hello"):
        return host.files(
            top="user www-data;",
            http="    log_format wss_session_start 'S $pid';\n",
            gate=host.server("127.0.0.1:%d" % port, answer, "access_log {0} wss_session_start;".format(path)),
        )

    return make


def owner_and_mode(path):
    found = path.lstat()
    return found.st_uid, stat.S_IMODE(found.st_mode)


class Watching(System):
    """Looks at the log whenever something is about to open it."""

    def __init__(self, log):
        self.log = log
        self.seen = []

    def run(self, command, limit):
        self.seen.append(owner_and_mode(self.log))
        return super().run(command, limit)

    def signal(self, pid, number):
        self.seen.append(owner_and_mode(self.log))
        super().signal(pid, number)


def open_anew(host):
    """As logrotate has nginx do it; returns when master and workers have."""
    trace = host.log.read_text()
    os.kill(host.master.pid, signal.SIGUSR1)
    # The workers come last, and none of them may enter the folder.
    wait_for(lambda: host.log.read_text()[len(trace) :].count("(13: Permission denied)") >= len(host.workers()))


def test_it_is_root_s_alone_before_nginx_opens_it_for_the_first_time(host, port, log, files):
    system = Watching(log)
    host.apply(files(), system=system)
    assert len(system.seen) >= 2 and set(system.seen) == {(0, 0o600)}
    host.get(port)
    wait_for(lambda: log.read_bytes())
    assert owner_and_mode(log) == (0, 0o600)


def test_one_that_the_workers_were_given_is_taken_back_before_new_workers_get_it(host, log, files):
    host.apply(files())
    _session_log.release(str(log))
    os.chown(log, WORKER, WORKER)
    log.chmod(0o644)
    system = Watching(log)
    host.apply(files(answer="other"), system=system)
    assert set(system.seen) == {(0, 0o600)}


@pytest.mark.parametrize("what", ["a symbolic link", "not a file"])
def test_anything_else_in_its_place_is_refused_and_nothing_changes(host, log, files, what):
    if what == "a symbolic link":
        log.symlink_to(host.root / "elsewhere")
    else:
        log.mkdir()
    with pytest.raises(NginxError, match="{0} cannot be made a log for root alone: .*nothing was changed".format(log)):
        host.apply(files())
    assert not (host.root / "elsewhere").exists() and not (host.etc / "wssgate.d").exists()
    if log.is_dir():
        log.rmdir()


def test_a_worker_gets_nothing_out_of_its_descriptor(host, log, files, worker):
    host.apply(files())
    one = worker()
    assert one.can() - {"truncate"} == set()


def test_nor_after_nginx_was_told_to_open_its_logs_anew(host, port, log, files, worker):
    host.apply(files())
    probe = log.with_name("probe")
    probe.touch()
    if subprocess.run(["chattr", "+a", str(probe)], capture_output=True, check=False).returncode:
        pytest.skip("there is no append-only attribute here")
    subprocess.run(["chattr", "-a", str(probe)], check=True)
    one = worker()
    for _turn in range(3):
        open_anew(host)
        assert owner_and_mode(log) == (0, 0o600)
        assert one.can() == set()
    size = log.stat().st_size
    assert host.get(port) == "hello"
    wait_for(lambda: log.stat().st_size > size)


def test_nor_after_a_run_of_the_pruner_where_there_is_no_such_attribute(host, log, files, worker):
    """The window: from a rotation to the next run of the pruner, or to any run that ends sessions."""
    host.apply(files())
    _session_log.release(str(log))
    one = worker()
    open_anew(host)
    assert owner_and_mode(log)[0] == WORKER, "nginx did not give it away: the test proves nothing"
    assert shorten(str(log)) == "short"
    assert owner_and_mode(log) == (0, 0o600)
    assert one.can() - {"truncate"} == set()


def test_a_log_that_was_renamed_stays_root_s_and_the_new_one_becomes_it(host, port, log, files, worker):
    host.apply(files())
    one = worker()
    _session_log.release(str(log))
    log.rename(log.with_name("sessions.log.1"))
    open_anew(host)
    assert owner_and_mode(log.with_name("sessions.log.1")) == (0, 0o600)
    assert one.can() - {"truncate"} == set()
    # No worker has the new one: they may not enter the folder. Those of the next reload do.
    shorten(str(log))
    two = worker()
    os.kill(host.master.pid, signal.SIGHUP)
    wait_for(lambda: host.get(port))
    assert owner_and_mode(log) == (0, 0o600)
    assert two.can() - {"truncate"} == set()


def test_a_path_that_changes_is_noted_and_the_former_log_can_be_removed(host, log, files):
    host.apply(files())
    other = log.with_name("other.log")
    host.apply(files(other))
    assert _session_log.former_logs(str(other)) == [str(log)]
    assert not has_attribute(log)
    log.unlink()


def test_a_dry_run_notes_no_change_of_the_path(host, log, files):
    host.apply(files())
    other = log.with_name("other.log")
    host.apply(files(other), check=True)
    assert _session_log.former_logs(str(other)) == []


def test_a_change_that_is_taken_back_leaves_the_log_as_it_was(host, port, log, files):
    host.apply(files())
    other = log.with_name("other.log")
    from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.sockets import Socket

    with pytest.raises(NginxError, match="put back and is live"):
        host.apply(files(other), sockets=[Socket("/nowhere", 0o600)])
    assert owner_and_mode(log) == (0, 0o600)
    assert _session_log.former_logs(str(log)) == []
    other.unlink()
