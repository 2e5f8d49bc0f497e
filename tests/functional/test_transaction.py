# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import Lock
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.info import gather
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import System
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.syntax import read_tree

from lib.processes import is_running, wait_for
from lib.transaction_faults import at_step, die, killed_at_each_step


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


def kill_master(host):
    """And see it gone: who has been killed is still in /proc for a moment, and passes for alive."""
    master = host.master.pid
    os.kill(master, signal.SIGKILL)
    wait_for(lambda: not is_running(master))


class Counting(System):
    """Notes the commands and signals."""

    def __init__(self):
        self.commands = []
        self.signals = []

    def run(self, command, limit):
        self.commands.append(list(command))
        return super().run(command, limit)

    def signal(self, pid, number):
        self.signals.append((pid, number))
        super().signal(pid, number)


# -- the straight way --------------------------------------------------------------------------------------------------


def test_the_first_run_starts_nginx_and_the_second_does_nothing(host, port):
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    first = host.apply(files)
    assert first.started and not first.reloaded
    assert first.workers == host.workers()
    assert host.get(port) == "hello"

    before, system = host.snapshot(), Counting()
    second = host.apply(files, system=system)
    assert not second.result()["changed"]
    assert second.workers == first.workers
    assert second.reason == "nothing to do"
    assert host.snapshot() == before
    assert system.commands == [] and system.signals == []


def test_a_change_is_one_reload_and_open_sessions_go_on(host, port, other_port, upstream):
    to_upstream = host.server(
        f"127.0.0.1:{port}", extra=f"location /held {{ proxy_pass http://127.0.0.1:{upstream.port}; }}"
    )
    first = host.apply(host.files(gate=to_upstream))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as session:
        session.sendall(b"GET /held HTTP/1.0\r\n\r\n")
        answer = session.recv(65536)

        system = Counting()
        # The listener that the session came in by is gone afterwards.
        second = host.apply(host.files(gate=host.server(f"127.0.0.1:{other_port}")), system=system)
        assert second.reloaded and second.reason == "the configuration differs"
        assert [number for _, number in system.signals] == [signal.SIGHUP]
        assert not set(first.workers) & set(second.workers)
        assert host.get(port) is None
        assert host.get(other_port) == "hello"

        upstream.release.set()
        while not answer.endswith(b"end"):
            part = session.recv(65536)
            assert part, "the session was cut"
            answer += part


def test_the_run_after_a_reload_does_nothing_even_when_it_comes_at_once(host, port):
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    for number in range(5):
        files = host.files(gate=host.server(f"127.0.0.1:{port}", f"answer{number}"))
        assert host.apply(files).reloaded
        assert host.get(port) == f"answer{number}"
        assert not host.apply(files).result()["changed"]


def test_a_removed_server_loses_its_file_and_nothing_else_changes(host, port, other_port):
    (host.etc / "conf.d").mkdir()
    (host.etc / "conf.d" / "theirs.conf").write_text("# theirs\n")
    (host.etc / "wssgate.d").mkdir()
    (host.etc / "wssgate.d" / "theirs.conf").write_text("# theirs as well\n")
    one, two = host.server(f"127.0.0.1:{port}"), host.server(f"127.0.0.1:{other_port}")
    host.apply(host.files(one=one, two=two))
    before = host.snapshot()

    outcome = host.apply(host.files(one=one))
    assert outcome.result()["removed_files"] == ["wssgate.d/two.conf"]
    assert outcome.result()["changed_files"] == []
    assert "wssgate.d/theirs.conf" in " ".join(outcome.warnings)
    assert host.get(other_port) is None and host.get(port) == "hello"
    del before["wssgate.d/two.conf"]
    assert host.snapshot() == before


def test_check_mode_tells_and_changes_nothing(host, port, other_port):
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    fresh = host.apply(files, check=True)
    assert fresh.started and fresh.result()["changed"]
    assert host.snapshot() == {} and host.family() == []

    host.apply(files)
    before, workers = host.snapshot(), host.workers()
    outcome = host.apply(host.files(gate=host.server(f"127.0.0.1:{other_port}")), check=True)
    assert outcome.reloaded and outcome.result()["changed_files"] == ["wssgate.d/gate.conf"]
    assert [change["before_header"] for change in outcome.diff()] == ["wssgate.d/gate.conf"]
    with pytest.raises(NginxError, match="unknown directive"):
        host.apply(host.files(top="nonsense on;"), check=True)
    assert host.snapshot() == before and host.workers() == workers


def test_check_mode_forgives_a_certificate_that_is_yet_to_come_and_a_real_run_does_not(host, port):
    files = host.files(
        gate=host.server(
            f"127.0.0.1:{port} ssl",
            extra="ssl_certificate certificates/gate/fullchain.pem; ssl_certificate_key certificates/gate/privkey.pem;",
        )
    )
    outcome = host.apply(files, check=True)
    assert "certificates/gate/fullchain.pem" in " ".join(outcome.warnings)
    with pytest.raises(NginxError, match="No such file or directory"):
        host.apply(files)
    assert host.snapshot() == {}


def test_check_mode_does_not_forgive_a_missing_file_that_only_this_run_could_bring(host):
    with pytest.raises(NginxError, match="forgotten.inc"):
        host.apply(host.files(http="include wssgate.d/forgotten.inc;"), check=True)


def test_the_test_of_a_configuration_leaves_the_real_pid_file_alone(host, port):
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")), check=True)
    assert not host.pid_file.exists()
    with pytest.raises(NginxError):
        host.apply(host.files(top="nonsense on;"))
    assert not host.pid_file.exists()


def test_absent_brings_back_the_displaced_main_file_and_link(host, port, other_port):
    theirs = (
        host.main()
        .replace("# Ansible managed by wssgate.nginx", "# the package's own")
        .replace("include conf.d/*.conf;", "include sites-enabled/*;")
    )
    (host.etc / "nginx.conf").write_text(theirs)
    (host.etc / "sites-enabled").mkdir()
    (host.etc / "sites-available").mkdir()
    (host.etc / "sites-available" / "default").write_text(
        host.server(f"127.0.0.1:{other_port}", "default").replace(host.server("")[:2], "##")
    )
    (host.etc / "sites-enabled" / "default").symlink_to("../sites-available/default")
    host.start()
    before = host.snapshot(content_only=True)
    assert host.get(other_port) == "default"

    files = host.files(gate=host.server(f"127.0.0.1:{port}"), http="include sites-enabled/*;")
    outcome = host.apply(files, absent=["sites-enabled/default"])
    assert outcome.reloaded and outcome.result()["removed_files"] == ["sites-enabled/default"]
    assert host.get(other_port) is None and host.get(port) == "hello"
    assert not host.apply(files, absent=["sites-enabled/default"]).result()["changed"]

    # The user wants the default site after all.
    outcome = host.apply(files)
    assert outcome.result()["changed_files"] == ["sites-enabled/default"]
    assert host.get(other_port) == "default"
    host.apply(files, absent=["sites-enabled/default"])

    outcome = host.apply(present=False)
    assert outcome.reloaded
    assert host.snapshot(content_only=True) == before
    assert host.get(other_port) == "default" and host.get(port) is None
    assert not host.apply(present=False).result()["changed"]


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_bad_directive_is_told_with_file_and_line_and_changes_nothing(host, port):
    good = host.server(f"127.0.0.1:{port}")
    host.apply(host.files(gate=good))
    before, workers = host.snapshot(), host.workers()
    bad = good.replace("location", "nonsense on;\n    location")
    line = 1 + bad[: bad.index("nonsense")].count("\n")
    with pytest.raises(NginxError) as caught:
        host.apply(host.files(gate=bad))
    assert f'[emerg] unknown directive "nonsense" in {host.etc}/wssgate.d/gate.conf:{line}' in str(caught.value)
    assert host.snapshot() == before and host.workers() == workers and host.get(port) == "hello"
    assert not host.apply(host.files(gate=good)).result()["changed"]


def test_a_port_of_another_process_is_told_and_the_old_configuration_comes_back(host, port):
    good = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(good)
    before = host.snapshot(content_only=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(NginxError) as caught:
            host.apply(
                host.files(
                    gate=host.server(f"127.0.0.1:{port}", "new"),
                    other=host.server(f"127.0.0.1:{taken.getsockname()[1]}"),
                )
            )
    assert "still could not bind()" in str(caught.value)
    assert "was put back and is live" in str(caught.value)
    assert "still could not bind()" in caught.value.nginx_output
    assert host.snapshot(content_only=True) == before
    assert host.get(port) == "hello"
    # What was put back is what runs: there is nothing to make good.
    assert not host.apply(good).result()["changed"]


def test_a_listener_that_widens_fails_as_a_reload_and_works_as_an_allowed_restart(host, port):
    narrow = host.files(gate=host.server(f"127.0.0.1:{port}"))
    wide = host.files(gate=host.server(f"0.0.0.0:{port}", "wide"))
    master = host.apply(narrow) and host.master.pid
    with pytest.raises(NginxError, match="allow_restart"):
        host.apply(wide)
    assert host.get(port) == "hello" and host.master.pid == master

    outcome = host.apply(wide, allow_restart=True)
    assert outcome.restarted and not outcome.reloaded
    assert host.get(port) == "wide" and host.master.pid != master
    assert not host.apply(wide, allow_restart=True).result()["changed"]


def test_an_allowed_restart_that_fails_brings_the_old_configuration_back(host, port):
    good = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(good)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(NginxError, match="put back and is live"):
            host.apply(host.files(gate=host.server(f"127.0.0.1:{taken.getsockname()[1]}")), allow_restart=True)
    assert host.get(port) == "hello"
    assert not host.apply(good).result()["changed"]


def test_workers_that_die_at_once_are_not_live(host, port):
    good = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(good)
    begin = time.monotonic()
    with pytest.raises(NginxError, match="/nowhere") as caught:
        host.apply(
            host.files(top="working_directory /nowhere;", gate=host.server(f"127.0.0.1:{port}", "new")),
            live_timeout=60,
        )
    assert "was put back and is live" in str(caught.value)
    # Nobody served in the meantime, so the whole live_timeout would be too long.
    assert time.monotonic() - begin < 30
    assert host.get(port) == "hello"


def test_a_start_that_fails_leaves_neither_files_nor_nginx(host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(NginxError, match="still could not bind.*not running, as before"):
            host.apply(host.files(gate=host.server(f"127.0.0.1:{taken.getsockname()[1]}")))
    assert host.snapshot() == {} and host.family() == []


def test_no_space_at_any_step_leaves_what_was_there(host, port):
    good = host.files(
        gate=host.server(f"127.0.0.1:{port}"), gone=host.server(f"127.0.0.1:{port}", extra="server_name gone;")
    )
    host.apply(good)
    before = host.snapshot(content_only=True)
    new = host.files(
        gate=host.server(f"127.0.0.1:{port}", "new"),
        more=host.server(f"127.0.0.1:{port}", extra="server_name more;"),
    )
    # The last steps only remove traces; what goes wrong there is a warning.
    number = 0
    while host.get(port) == "hello":
        operations, system, _ = at_step(number, no_space, processes=[])
        message = ""
        try:
            host.apply(new, operations=operations, system=system)
        except NginxError as error:
            message = str(error)
        if message:
            assert "No space left on device" in message, f"step {number}"
            assert host.snapshot(content_only=True) == before, f"step {number}"
        number += 1
    assert number > 10
    assert host.get(port) == "new"


def test_a_run_killed_at_any_step_is_made_good_by_the_next(host, port):
    old = host.files(
        gate=host.server(f"127.0.0.1:{port}", "old"),
        gone=host.server(f"127.0.0.1:{port}", extra="server_name gone;"),
    )
    new = host.files(
        http="server_tokens off;",
        gate=host.server(f"127.0.0.1:{port}", "new"),
        more=host.server(f"127.0.0.1:{port}", extra="server_name more;"),
    )
    steps = killed_at_each_step(
        host.settings(old),
        host.settings(new),
        lambda: (host.get(port), host.snapshot(content_only=True)),
    )
    assert steps > 25
    assert host.get(port) == "new"


def test_a_killed_run_is_undone_before_a_next_one_that_fails(host, port):
    """The mixture that a kill leaves must never become what is come back to."""
    old = host.files(gate=host.server(f"127.0.0.1:{port}", "old"))
    new = host.files(http="server_tokens off;", gate=host.server(f"127.0.0.1:{port}", "new"))
    host.apply(old)
    before = host.snapshot(content_only=True)
    child = os.fork()
    if not child:
        operations, system, steps = at_step(-1, die)
        rename = operations.rename

        def second_rename(*arguments):
            # The journal's is the first, that of gate.conf the second, that of the main file the third.
            if steps.count("rename") == 2:
                die()
            rename(*arguments)

        operations.rename = second_rename
        try:
            host.apply(new, operations=operations, system=system)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert (host.etc / "wssgate.d" / "gate.conf").read_text() == new["wssgate.d/gate.conf"][0]
    with pytest.raises(NginxError, match="nonsense"):
        host.apply(host.files(top="nonsense on;"))
    assert host.snapshot(content_only=True) == before


def test_what_somebody_altered_after_a_kill_is_not_overwritten_by_the_undoing(host, port):
    old = host.files(gate=host.server(f"127.0.0.1:{port}", "old"))
    host.apply(old)
    child = os.fork()
    if not child:
        # The signal to nginx is the one after everything is committed.
        operations, system, _ = at_step(0, die, disk=[], processes=["signal"])
        try:
            host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", "new")), operations=operations, system=system)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    by_hand = host.server(f"127.0.0.1:{port}", "by-hand")
    (host.etc / "wssgate.d" / "gate.conf").write_text(by_hand)
    outcome = host.apply({**old, "wssgate.d/gate.conf": (by_hand, 0o644)})
    assert any("gate.conf was altered" in warning for warning in outcome.warnings)
    assert host.get(port) == "by-hand"


def test_a_second_run_waits_for_the_first(host, port):
    with Lock(str(host.etc)):
        runs = []
        thread = threading.Thread(
            target=lambda: runs.append(host.apply(host.files(gate=host.server(f"127.0.0.1:{port}"))))
        )
        thread.start()
        time.sleep(0.5)
        assert not runs and host.snapshot() == {}
    thread.join(10)
    assert runs and runs[0].started


# -- the master that is meant
# --------------------------------------------------------------------------------------------


@pytest.fixture
def bystander():
    """A process that a HUP would end."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_foreign_pid_file_does_not_mislead_the_reload(host, port, bystander):
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    host.pid_file.write_text(f"{bystander.pid}\n")
    outcome = host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", "new")))
    assert outcome.reloaded and host.get(port) == "new"
    assert bystander.poll() is None
    assert f"names process {bystander.pid}, but nginx's master is process {host.master.pid}" in " ".join(
        outcome.warnings
    )


@pytest.mark.parametrize("content", ["", "nonsense", "999999999", "bystander"])
def test_a_dead_nginx_is_started_whatever_its_pid_file_says(host, port, bystander, content):
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(files)
    host.stop()
    host.pid_file.write_text(str(bystander.pid) if content == "bystander" else content)
    outcome = host.apply(files)
    assert outcome.started and outcome.reason == "nginx was not running"
    assert host.get(port) == "hello" and bystander.poll() is None
    assert not host.apply(files).result()["changed"]


def test_workers_of_a_killed_master_make_way_and_keep_their_sessions(host, port, upstream):
    files = host.files(
        gate=host.server(
            f"127.0.0.1:{port}", extra=f"location /held {{ proxy_pass http://127.0.0.1:{upstream.port}; }}"
        )
    )
    host.apply(files)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as session:
        session.sendall(b"GET /held HTTP/1.0\r\n\r\n")
        answer = session.recv(65536)
        kill_master(host)
        outcome = host.apply(files)
        assert outcome.started and host.get(port) == "hello"
        upstream.release.set()
        while not answer.endswith(b"end"):
            part = session.recv(65536)
            assert part, "the session was cut"
            answer += part


@pytest.mark.parametrize("who", ["everybody", "the master alone"])
def test_a_socket_that_a_killed_nginx_left_does_not_block_the_start(host, who):
    path = host.root / "gate.sock"
    files = host.files(gate=host.server(f"unix:{path}"))
    host.apply(files)
    if who == "everybody":
        host.stop()
    else:
        kill_master(host)
    assert path.is_socket()
    outcome = host.apply(files)
    assert outcome.started
    assert f"{path}, left by a killed nginx, was removed" in outcome.warnings


def test_the_socket_of_somebody_who_is_alive_is_left_alone(host):
    path = host.root / "theirs.sock"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        with pytest.raises(NginxError):
            host.apply(host.files(gate=host.server(f"unix:{path}")))
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))


def test_another_nginx_with_another_main_file_is_left_alone(host, port, other_port):
    other = host.etc / "other.conf"
    other.write_text(host.main().replace("nginx.pid", "other.pid").replace("wssgate.d", "other.d"))
    (host.etc / "other.d").mkdir()
    (host.etc / "other.d" / "server.conf").write_text(host.server(f"127.0.0.1:{other_port}", "other"))
    subprocess.run([host.binary, "-c", str(other)], check=True, stderr=subprocess.DEVNULL)
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    # The command returns before its daemon has written a pid and forked workers.
    wait_for(
        lambda: (
            (host.root / "other.pid").is_file() and (host.root / "other.pid").read_text() and len(host.workers()) == 2
        )
    )
    theirs = set(host.workers())
    host.pid_file.write_text((host.root / "other.pid").read_text())
    assert host.apply(files).started
    assert host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", "new"))).reloaded
    assert theirs <= set(host.workers())
    assert host.get(other_port) == "other" and host.get(port) == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a pid namespace")
def test_an_nginx_in_a_container_is_left_alone_though_its_paths_are_the_same(host, port):
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    (host.etc / "wssgate.d").mkdir()
    (host.etc / "nginx.conf").write_text(host.main(top="daemon off;"))
    container = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", host.binary, "-c", str(host.etc / "nginx.conf")],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: len(host.workers()) == 2)
        inside = set(host.workers())
        outcome = host.apply(files)
        assert outcome.started and not outcome.reloaded
        assert inside <= set(host.workers())
        assert host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", "new"))).reloaded
        assert inside <= set(host.workers())
    finally:
        container.kill()
        container.wait()


# -- when a reload is due
# --------------------------------------------------------------------------------------------------


def served(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


@pytest.fixture
def with_tls(host, port, certificate):
    certificate()
    files = host.files(
        gate=host.server(
            f"127.0.0.1:{port} ssl",
            extra="ssl_certificate certificates/gate/fullchain.pem; ssl_certificate_key certificates/gate/privkey.pem;",
        )
    )
    host.apply(files)
    return files


def test_a_certificate_replaced_behind_ansibles_back_is_reloaded(host, port, certificate, with_tls):
    former = served(port)
    assert not host.apply(with_tls).result()["changed"]
    certificate()
    assert served(port) == former
    outcome = host.apply(with_tls)
    assert outcome.reloaded and not outcome.changes
    assert "certificates/gate/" in outcome.reason and outcome.reason.endswith("is newer than the running workers")
    assert served(port) != former
    assert not host.apply(with_tls).result()["changed"]


def test_a_certificate_restored_with_an_old_time_is_reloaded(host, port, certificate, with_tls):
    former = served(port)
    new = certificate(folder=host.root / "new")
    for name in ("fullchain.pem", "privkey.pem"):
        os.utime(new / name, (1, 1))
        shutil.copy2(new / name, host.etc / "certificates" / "gate" / name)
    assert host.apply(with_tls).reloaded
    assert served(port) != former


def test_a_certificate_renewed_by_setting_a_link_is_reloaded(host, port, certificate):
    first, second = certificate(folder=host.root / "first"), certificate(folder=host.root / "second")
    (host.etc / "live").symlink_to(first)
    files = host.files(
        gate=host.server(
            f"127.0.0.1:{port} ssl", extra="ssl_certificate live/fullchain.pem; ssl_certificate_key live/privkey.pem;"
        )
    )
    host.apply(files)
    former = served(port)
    (host.etc / "next").symlink_to(second)
    os.rename(host.etc / "next", host.etc / "live")
    assert host.apply(files).reloaded
    assert served(port) != former


def test_a_broken_certificate_is_told_and_the_former_goes_on_being_served(host, port, with_tls):
    former = served(port)
    (host.etc / "certificates" / "gate" / "fullchain.pem").write_text("nonsense")
    with pytest.raises(NginxError, match="cannot load certificate"):
        host.apply(with_tls)
    assert served(port) == former


def test_password_files_are_read_at_each_request_and_need_no_reload(host, port):
    (host.etc / "passwords").write_text("")
    files = host.files(gate=host.server(f"127.0.0.1:{port}", extra="auth_basic x; auth_basic_user_file passwords;"))
    host.apply(files)
    (host.etc / "passwords").write_text("a:b\n")
    assert not host.apply(files).result()["changed"]


def test_an_included_file_changed_or_removed_behind_ansibles_back_is_reloaded(host, port, other_port):
    (host.etc / "conf.d").mkdir()
    theirs = host.etc / "conf.d" / "theirs.conf"
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(files)
    theirs.write_text(host.server(f"127.0.0.1:{other_port}", "theirs"))
    assert host.apply(files).reloaded and host.get(other_port) == "theirs"
    assert not host.apply(files).result()["changed"]
    theirs.unlink()
    assert host.apply(files).reloaded and host.get(other_port) is None
    assert not host.apply(files).result()["changed"]


def test_what_is_read_only_by_name_counts_too(host, port):
    (host.etc / "snippets").mkdir()
    (host.etc / "snippets" / "one.inc").write_text("add_header X-One 1;\n")
    files = host.files(gate=host.server(f"127.0.0.1:{port}", extra="include snippets/one.inc;"))
    host.apply(files)
    (host.etc / "snippets" / "one.inc").write_text("add_header X-One 2;\n")
    assert "snippets/one.inc" in host.apply(files).reason


# -- what is refused
# -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["wssgate.d", "wssgate.d/gate.conf", "nginx.conf"])
def test_a_symbolic_link_at_a_managed_path_is_refused(host, port, path):
    files = host.files(gate=host.server(f"127.0.0.1:{port}"))
    host.apply(files)
    elsewhere = host.root / "elsewhere"
    os.rename(host.etc / path, elsewhere)
    (host.etc / path).symlink_to(elsewhere)
    before, content = host.snapshot(), elsewhere.read_text() if elsewhere.is_file() else ""
    with pytest.raises(NginxError, match=f"{host.etc / path} is a symbolic link"):
        host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", "new")))
    assert host.snapshot() == before
    assert content == (elsewhere.read_text() if elsewhere.is_file() else "")


def test_somebody_elses_file_at_a_managed_path_is_refused(host, port):
    (host.etc / "wssgate.d").mkdir()
    (host.etc / "wssgate.d" / "gate.conf").write_text("# mine\n")
    before = host.snapshot()
    with pytest.raises(NginxError, match="gate.conf is there without the marker"):
        host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    assert host.snapshot() == before


# -- what there is to know
# -----------------------------------------------------------------------------------------------


def test_info_tells_what_is_built_and_what_runs(host, port):
    facts = gather(host.binary, str(host.etc / "nginx.conf"), str(host.pid_file), True)
    assert facts["version"].count(".") == 2 and "http_ssl" in facts["modules"]
    assert (facts["running"], facts["master_pid"], facts["workers"]) == (False, 0, [])
    workers = host.apply(host.files(gate=host.server(f"127.0.0.1:{port}"))).workers
    facts = gather(host.binary, str(host.etc / "nginx.conf"), str(host.pid_file), True)
    assert facts["running"] and facts["master_pid"] == host.master.pid
    assert sorted(worker["pid"] for worker in facts["workers"]) == workers
    assert all(abs(worker["started"] - time.time()) < 60 and not worker["shutting_down"] for worker in facts["workers"])


def test_what_is_read_here_is_what_nginx_itself_reads(host, port, other_port):
    (host.etc / "conf.d").mkdir()
    (host.etc / "snippets").mkdir()
    (host.etc / "snippets" / "one.inc").write_text("add_header X-One 1; include snippets/two.inc;\n")
    (host.etc / "snippets" / "two.inc").write_text('add_header X-Two "} # not a comment; {";\n')
    (host.etc / "conf.d" / "b.conf").write_text(
        host.server(f"127.0.0.1:{other_port}", extra="include snippets/one.inc;")
    )
    (host.etc / "conf.d" / "a.conf").write_text(
        '# include snippets/no.inc;\nmap $uri $x { "~^/a{2}" 1; include snippets/map.inc; }\n'
    )
    (host.etc / "conf.d" / "b.conf.off").write_text("include snippets/no.inc;\n")
    (host.etc / "snippets" / "map.inc").write_text("'~;}{' 2;\n")
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    message = subprocess.run(
        [host.binary, "-T", "-q", "-c", str(host.etc / "nginx.conf")], capture_output=True, text=True, check=True
    )
    files = [
        line[len("# configuration file ") : -1]
        for line in message.stdout.splitlines()
        if line.startswith("# configuration file ")
    ]
    assert sorted(read_tree(str(host.etc / "nginx.conf")).files) == sorted(files)
    assert len(files) == 7
