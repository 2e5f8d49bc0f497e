# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import (
    Build,
    Finder,
    Process,
    now_in_ticks,
    parse_build,
    read_process,
    read_processes,
    started_at,
)

DEBIAN = """nginx version: nginx/1.22.1
built with OpenSSL 3.0.17 1 Jul 2025
TLS SNI support enabled
configure arguments: --with-cc-opt='-g -O2 -ffile-prefix-map=/build=. -fPIC' --prefix=/usr/share/nginx \
--conf-path=/etc/nginx/nginx.conf --with-http_ssl_module --with-stream=dynamic
"""


class Proc:
    """A made-up /proc."""

    def __init__(self, root, binary):
        self.root = root
        self.binary = binary
        (root / "self" / "ns").mkdir(parents=True)
        (root / "self" / "ns" / "pid").symlink_to("pid:[1]")

    def add(
        self,
        pid,
        parent=1,
        title="nginx: master process nginx",
        program=None,
        namespace="pid:[1]",
        state="S",
        opened=(),
    ):
        folder = self.root / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "fd").mkdir()
        (folder / "stat").write_text(
            "{} (nginx: (odd) name) {} {} {} 77 0 0\n".format(pid, state, parent, " ".join("0" * 17))
        )
        (folder / "cmdline").write_bytes(title.replace(" ", "\0").encode() + b"\0")
        (folder / "exe").symlink_to(program or self.binary)
        (folder / "ns" / "pid").symlink_to(namespace)
        for number, path in enumerate(opened):
            (folder / "fd" / str(number)).symlink_to(path)


@pytest.fixture
def proc(tmp_path):
    binary = tmp_path / "nginx"
    binary.write_text("")
    return Proc(tmp_path / "proc", str(binary))


@pytest.fixture
def finder(proc, tmp_path):
    build = Build("1.22.1", [f"--conf-path={tmp_path}/etc/nginx.conf"])
    return Finder(
        proc.binary, str(tmp_path / "etc" / "nginx.conf"), str(tmp_path / "pid"), lambda: build, str(proc.root)
    )


def master(finder, proc):
    return finder.master(read_processes(str(proc.root)))


def test_the_build_is_read_with_quoted_arguments():
    build = parse_build(DEBIAN)
    assert build.version == "1.22.1"
    assert build.arguments[0] == "--with-cc-opt=-g -O2 -ffile-prefix-map=/build=. -fPIC"
    assert build.path("conf-path", "x") == "/etc/nginx/nginx.conf"
    assert build.path("pid-path", "logs/nginx.pid") == "/usr/share/nginx/logs/nginx.pid"
    assert build.option("user") == ""


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("built with OpenSSL 3.0.17 1 Jul 2025", "3.0.17"),
        ("built with OpenSSL 3.5.7 9 Jun 2026 (running with OpenSSL 3.5.9 29 Sep 2026)", "3.5.9"),
        ("built with OpenSSL 1.1.1 (compatible; AWS-LC 1.40.0) (running with AWS-LC 1.40.0)", "1.1.1"),
        ("built with LibreSSL 4.1.0", ""),
        ("built by gcc 14.2.0 (Alpine 14.2.0)", ""),
    ],
)
def test_the_openssl_is_the_one_that_nginx_runs_with(line, version):
    assert parse_build(f"nginx version: nginx/1.26.3\n{line}\nTLS SNI support enabled\n").openssl_version == version


def test_a_finder_asks_its_own_binary(tmp_path):
    binary = tmp_path / "nginx"
    binary.write_text(
        "#!/bin/sh\necho 'nginx version: nginx/1.0' >&2; echo 'configure arguments: --conf-path=/x/nginx.conf' >&2\n"
    )
    binary.chmod(0o755)
    assert Finder(str(binary), "/x/nginx.conf", "/pid")._runs_our_main(Process(1, 1, 1, "nginx: master process nginx"))


def test_a_build_without_arguments_is_read_and_nonsense_is_told():
    assert parse_build("nginx version: openresty/1.25.3.1\n").version == "1.25.3.1"
    with pytest.raises(NginxError, match="which version"):
        parse_build("Segmentation fault")


def test_a_process_is_read_whatever_its_name(proc):
    proc.add(10, parent=3, title="nginx: worker process")
    assert read_process(10, str(proc.root)) == Process(10, 3, 77, "nginx: worker process")


def test_zombies_and_the_dead_are_no_processes(proc):
    proc.add(10, state="Z")
    assert read_process(10, str(proc.root)) is None
    assert read_process(11, str(proc.root)) is None


def test_a_process_that_ends_while_it_is_read_is_none(proc):
    proc.add(10)
    (proc.root / "10" / "stat").write_text("10 (nginx) S 1\n")
    assert read_process(10, str(proc.root)) is None


def test_other_programs_are_not_listed(proc):
    proc.add(10)
    proc.add(11, title="sh -c nginx: master process")
    proc.add(12, state="Z")
    assert [process.pid for process in read_processes(str(proc.root))] == [10]


@pytest.mark.parametrize(
    ("title", "states"),
    [
        ("nginx: worker process", (True, False, False)),
        ("nginx: worker process is shutting down", (False, True, False)),
        ("nginx: master process /usr/sbin/nginx", (False, False, True)),
        ("nginx: cache manager process", (False, False, False)),
    ],
)
def test_titles_tell_what_a_process_does(title, states):
    process = Process(1, 1, 1, title)
    assert (process.is_worker, process.is_shutting_down, process.is_starting) == states


def test_the_master_is_known_by_its_main_file(proc, finder, tmp_path):
    proc.add(10, title=f"nginx: master process nginx -c {tmp_path}/other.conf")
    assert master(finder, proc) is None
    proc.add(11, title=f"nginx: master process nginx -c {tmp_path}/etc/../etc/nginx.conf -g daemon on;")
    assert master(finder, proc).pid == 11


def test_both_forms_of_the_option_are_known_and_an_unfinished_one_is_none(proc, finder, tmp_path):
    proc.add(10, title=f"nginx: master process nginx -c{tmp_path}/other.conf")
    assert master(finder, proc) is None
    proc.add(11, title="nginx: master process nginx -c")
    assert master(finder, proc).pid == 11


def test_the_binary_is_asked_only_when_the_title_leaves_it_open(proc, finder, tmp_path):
    asked = []
    build = finder._build
    finder._build = lambda: asked.append(1) or build()
    proc.add(10, title=f"nginx: master process nginx -c {tmp_path}/etc/nginx.conf")
    assert master(finder, proc) and not asked
    proc.add(11, title="nginx: master process nginx -c /other.conf")
    proc.add(12, program="/opt/nginx")
    assert master(finder, proc).pid == 10 and not asked


def test_a_master_without_option_runs_the_main_file_of_its_build(proc, finder):
    proc.add(10)
    assert master(finder, proc).pid == 10
    finder.main = "/elsewhere/nginx.conf"
    assert master(finder, proc) is None


def test_a_master_of_another_binary_is_not_ours(proc, finder):
    proc.add(10, program="/opt/nginx")
    assert master(finder, proc) is None


def test_a_master_whose_binary_was_upgraded_is_still_ours(proc, finder):
    proc.add(10, program=proc.binary + " (deleted)")
    assert master(finder, proc).pid == 10


def test_a_master_in_a_container_is_not_ours(proc, finder):
    proc.add(10, namespace="pid:[2]")
    assert master(finder, proc) is None


def test_a_process_that_this_user_may_not_look_into_is_taken_by_its_title(proc, finder, monkeypatch):
    proc.add(10, program="/opt/nginx")

    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(os, "readlink", refuse)
    assert finder._runs_our_binary(read_process(10, str(proc.root)))


def test_a_child_that_has_just_been_forked_is_no_second_master(proc, finder):
    proc.add(10)
    proc.add(11, parent=10)
    assert master(finder, proc).pid == 10


def test_while_a_binary_is_exchanged_the_pid_file_tells_the_new_master(proc, finder, tmp_path):
    proc.add(10)
    proc.add(11, parent=10)
    (tmp_path / "pid").write_text("11\n")
    assert master(finder, proc).pid == 11


def test_two_masters_that_nothing_tells_apart_are_an_error(proc, finder):
    proc.add(10)
    proc.add(11)
    with pytest.raises(NginxError, match="pids 1[01], 1[01]"):
        master(finder, proc)


@pytest.mark.parametrize("content", ["", "x", "-", "\0"])
def test_a_pid_file_with_nonsense_names_nobody(finder, tmp_path, content):
    (tmp_path / "pid").write_text(content)
    assert finder.pid_in_file() == 0


def test_orphans_are_workers_of_our_logs_whose_master_is_gone(proc, finder):
    proc.add(10)
    proc.add(11, parent=10, title="nginx: worker process", opened=["/log"])
    proc.add(12, parent=1, title="nginx: worker process", opened=["/dev/null", "/log"])
    proc.add(13, parent=1, title="nginx: worker process", opened=["/other.log"])
    proc.add(14, parent=1, title="nginx: worker process is shutting down", opened=["/log"])
    proc.add(15, parent=1, title="nginx: worker process", opened=["/log"], program="/opt/nginx")
    proc.add(16, parent=1, title="nginx: worker process", opened=["/log"], namespace="pid:[2]")
    found = finder.orphans(read_processes(str(proc.root)), ["/log"])
    assert [process.pid for process in found] == [12]


def test_the_clocks_agree_with_the_kernel():
    process = read_process(os.getpid())
    assert process.started <= now_in_ticks()
    assert started_at(process) <= time.time()
    assert abs(started_at(process) - os.stat("/proc/self").st_ctime) < 3600
