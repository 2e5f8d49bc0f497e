# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import hashlib
import os
import pwd

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._host import owned
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import info as _nginx_info
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.info import (
    differing_files,
    gather,
    installed_packages,
    modules,
    package_version,
    parse_dpkg,
    path_states,
    service_state,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._host.run import Finished
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Build

OWNER = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def test_the_package_that_is_installed_tells_the_version():
    assert parse_dpkg("nginx-common ii  1.22.1-9+deb12u9\nnginx ii  1.22.1-9+deb12u9\n") == "1.22.1-9+deb12u9"
    assert (
        parse_dpkg("nginx un  \nnginx-core ii  1.18.0-6ubuntu14\nnginx-common ii  1.18.0-6ubuntu14\n")
        == "1.18.0-6ubuntu14"
    )


def test_a_package_that_was_removed_tells_nothing():
    assert (
        parse_dpkg("nginx rc  1.22.1-9\nnginx-common un  \ndpkg-query: no packages found matching nginx-core\n") == ""
    )


def test_a_binary_from_elsewhere_has_no_package():
    assert package_version("/opt/nginx/sbin/nginx") == ""


def test_modules_in_the_binary_and_loadable_ones_are_told_apart():
    build = Build(
        "1.22.1",
        [
            "--prefix=/x",
            "--with-http_ssl_module",
            "--with-http_v2_module",
            "--with-stream=dynamic",
            "--with-mail",
            "--with-threads",
            "--with-http_geoip_module=dynamic",
            "--with-stream_ssl_preread_module",
            "--with-cc-opt=-O2",
            "--add-module=http_x_module",
        ],
    )
    assert modules(build, False) == ["http_ssl", "http_v2", "mail", "stream_ssl_preread"]
    assert modules(build, True) == ["http_geoip", "stream"]


def test_a_host_without_nginx_gets_an_answer_of_the_same_form():
    found = gather("/missing", "/etc/nginx/nginx.conf", "/run/nginx.pid", False)
    assert found["installed"] is False and found["version"] == found["openssl_version"] == "" and found["workers"] == []


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        (
            "/usr/bin/dpkg-query",
            "nginx ii \ncertbot rc \nhalf iU \niproute2 ii \ndpkg-query: no packages found matching absent\n",
        ),
        (
            "/usr/bin/rpm",
            (
                "nginx\npackage certbot is not installed\npackage half is not installed\niproute2\npackage absent "
                "is not installed\n"
            ),
        ),
    ],
)
def test_packages_count_when_they_are_wholly_installed(monkeypatch, program, answer):
    asked = []
    monkeypatch.setattr(_nginx_info.os.path, "exists", lambda path: path == program)
    monkeypatch.setattr(_nginx_info, "run", lambda command, limit: asked.append(command) or Finished(1, answer))
    assert installed_packages(["iproute2", "certbot", "half", "absent", "nginx"]) == ["iproute2", "nginx"]
    assert asked[0][0] == program and asked[0][-6:] == ["--", "iproute2", "certbot", "half", "absent", "nginx"]


def test_without_a_known_package_manager_no_package_counts(monkeypatch):
    monkeypatch.setattr(_nginx_info.os.path, "exists", lambda path: False)
    assert installed_packages(["nginx"]) == []
    assert installed_packages([]) == []


@pytest.mark.parametrize(
    ("answer", "enabled", "reload_needed"),
    [
        ("UnitFileState=enabled\nNeedDaemonReload=no\n", True, False),
        ("NeedDaemonReload=yes\nUnitFileState=enabled\n", True, True),
        ("UnitFileState=disabled\nNeedDaemonReload=no\n", False, False),
        # A unit that is not there.
        ("UnitFileState=\nNeedDaemonReload=no\n", False, False),
        ("", False, False),
    ],
)
def test_the_service_is_as_systemd_says(monkeypatch, answer, enabled, reload_needed):
    asked = []
    monkeypatch.setattr(_nginx_info.os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(_nginx_info, "run", lambda command, limit: asked.append(command) or Finished(0, answer))
    assert service_state("nginx") == {"enabled": enabled, "reload_needed": reload_needed}
    assert asked[0][-2:] == ["--", "nginx"]


@pytest.mark.parametrize("name", ["", "nginx"])
def test_without_systemd_or_a_name_nobody_is_asked_for_the_service(monkeypatch, name):
    monkeypatch.setattr(_nginx_info.os.path, "isdir", lambda path: not name)
    monkeypatch.setattr(_nginx_info, "run", lambda command, limit: pytest.fail("asked"))
    assert service_state(name) == {"enabled": False, "reload_needed": False}


def test_a_file_s_state_is_its_content_owner_and_mode(tmp_path):
    path = tmp_path / "wssgate.conf"
    path.write_bytes(b"[Service]\n")
    path.chmod(0o640)
    sha256 = hashlib.sha256(b"[Service]\n").hexdigest()
    assert path_states([str(path)]) == {str(path): {"kind": "file", "sha256": sha256, **OWNER, "mode": "0640"}}


def test_a_folder_has_no_content(tmp_path):
    path = tmp_path / "tokens"
    path.mkdir()
    path.chmod(0o1710)
    assert path_states([str(path)]) == {str(path): {"kind": "directory", **OWNER, "mode": "1710"}}


def test_an_owner_without_a_name_is_its_number(tmp_path, monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(owned.pwd, "getpwuid", unknown)
    monkeypatch.setattr(owned.grp, "getgrgid", unknown)
    state = path_states([str(tmp_path)])[str(tmp_path)]
    assert (state["owner"], state["group"]) == (str(os.getuid()), str(os.getgid()))


def test_what_is_neither_file_nor_folder_is_left_out(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "way").symlink_to(tmp_path)
    os.mkfifo(str(tmp_path / "fifo"))
    names = ("link", "way", "fifo", "missing")
    assert path_states([str(tmp_path / name) for name in names]) == {}


def wanted_file(path, **others):
    return {"path": str(path), "content": "limits\n", "mode": "0644", **OWNER, **others}


def test_a_file_that_is_as_it_should_be_does_not_differ(tmp_path):
    path = tmp_path / "drop-in"
    path.write_text("limits\n")
    path.chmod(0o644)
    assert differing_files([wanted_file(path)]) == differing_files([]) == []


@pytest.mark.parametrize(
    "others", [{"content": "limits"}, {"mode": "0600"}, {"owner": "nobody-at-all"}, {"group": "nobody-at-all"}]
)
def test_a_file_that_is_otherwise_differs(tmp_path, others):
    path = tmp_path / "drop-in"
    path.write_text("limits\n")
    path.chmod(0o644)
    assert differing_files([wanted_file(path, **others)]) == [str(path)]


def test_what_is_missing_or_no_file_differs(tmp_path):
    there = tmp_path / "there"
    there.write_text("limits\n")
    there.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(there)
    paths = [tmp_path / "missing", link, tmp_path]
    assert differing_files([wanted_file(path) for path in paths]) == [str(path) for path in paths]
