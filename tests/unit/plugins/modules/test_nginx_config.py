# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.modules import nginx_config, nginx_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

MARK = "# wssgate.nginx\n"


def run(module, capsys, **arguments):
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def arguments(tmp_path):
    return {
        "directory": str(tmp_path / "etc"),
        "binary": str(tmp_path / "nginx"),
        "_ansible_check_mode": True,
        "files": [{"path": "nginx.conf", "content": MARK}, {"path": "wssgate.d/a.conf", "content": MARK}],
    }


def test_check_mode_on_a_bare_host_says_what_would_be_there(arguments, capsys):
    result = run(nginx_config, capsys, _ansible_diff=True, **arguments)
    assert result["changed"] and result["changed_files"] == ["nginx.conf", "wssgate.d/a.conf"]
    assert result["diff"][0] == {
        "before": "",
        "after": MARK,
        "before_header": "nginx.conf",
        "after_header": "nginx.conf",
    }


def test_check_mode_with_a_folder_but_no_nginx_compares(arguments, capsys, tmp_path):
    (tmp_path / "etc" / "wssgate.d").mkdir(parents=True)
    (tmp_path / "etc" / "nginx.conf").write_text(MARK)
    (tmp_path / "etc" / "nginx.conf").chmod(0o644)
    (tmp_path / "etc" / "wssgate.d" / "b.conf").write_text(MARK)
    result = run(nginx_config, capsys, **arguments)
    assert result["changed_files"] == ["wssgate.d/a.conf"] and result["removed_files"] == ["wssgate.d/b.conf"]
    assert "diff" not in result
    assert sorted(path.name for path in (tmp_path / "etc").rglob("*")) == ["b.conf", "nginx.conf", "wssgate.d"]


def test_without_nginx_a_real_run_says_what_is_missing(arguments, capsys):
    result = run(nginx_config, capsys, **{**arguments, "_ansible_check_mode": False})
    assert result["failed"] and result["msg"].endswith("is not there: install nginx first")


def test_absent_works_without_nginx(arguments, capsys, tmp_path):
    (tmp_path / "etc" / "wssgate.d").mkdir(parents=True)
    (tmp_path / "etc" / "nginx.conf").write_text(MARK)
    (tmp_path / "etc" / "nginx.conf.wssgate-saved").write_text("package")
    (tmp_path / "etc" / "wssgate.d" / "a.conf").write_text(MARK)
    values = {"directory": arguments["directory"], "binary": arguments["binary"], "state": "absent"}
    result = run(nginx_config, capsys, **values)
    assert result["changed_files"] == ["nginx.conf"] and result["removed_files"] == ["wssgate.d/a.conf"]
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["nginx.conf"]
    assert (tmp_path / "etc" / "nginx.conf").read_text() == "package"
    assert not run(nginx_config, capsys, **values)["changed"]


def test_absent_on_a_host_without_the_folder_has_nothing_to_do(arguments, capsys):
    assert not run(nginx_config, capsys, directory=arguments["directory"], binary=arguments["binary"], state="absent")[
        "changed"
    ]


def test_a_file_that_is_listed_twice_is_told_by_its_index():
    file = {"path": "a", "content": "", "mode": "0644"}
    with pytest.raises(NginxError, match=r"files\[1\]: a is there twice"):
        nginx_config.read_files([file, file])


@pytest.mark.parametrize("mode", ["rw", "", "9", "0", "01777", "-0644", "4644"])
def test_a_mode_that_is_none_is_told(mode):
    with pytest.raises(NginxError, match=r"files\[0\]: mode"):
        nginx_config.read_files([{"path": "a", "content": "", "mode": mode}])


def test_modes_are_octal():
    assert nginx_config.read_files([{"path": "a", "content": "x", "mode": "0640"}]) == {"a": ("x", 0o640)}


def test_info_without_nginx_does_not_fail(capsys, tmp_path):
    result = run(nginx_info, capsys, binary=str(tmp_path / "nginx"))
    assert result["installed"] is False and result["changed"] is False


def test_a_fix_that_this_nginx_lacks_is_warned_of_with_the_version_that_has_it(capsys, monkeypatch, tmp_path):
    fix = {"name": "CVE-2026-42533", "what": "buffer overflow in maps", "fixed_in": "1.22.1-9+deb12u10"}
    found = {"version": "1.22.1", "package_version": "1.22.1-9+deb12u9", "missing_fixes": [fix]}
    monkeypatch.setattr(nginx_info, "gather", lambda *_arguments: found)
    result = run(nginx_info, capsys, binary=str(tmp_path / "nginx"))
    assert result["missing_fixes"] == [fix]
    (warning,) = result["warnings"]
    assert (
        "nginx 1.22.1-9+deb12u9 lacks the fix for CVE-2026-42533 (buffer overflow in maps); 1.22.1-9+deb12u10 has it"
        in str(warning)
    )


@pytest.mark.parametrize("mode", ["rw", "", "9", "0888", "4644", "0o660", "660 "])
def test_a_socket_s_mode_that_is_none_is_told(mode):
    with pytest.raises(NginxError, match=r"sockets\[0\]: mode"):
        nginx_config.read_sockets([{"path": "/run/a", "mode": mode, "group": None}], False)


def test_a_socket_s_group_that_is_not_there_is_told_but_for_check_mode():
    wanted = [{"path": "/run/a", "mode": "0660", "group": "no-such-group"}]
    with pytest.raises(NginxError, match=r"sockets\[0\]: there is no group 'no-such-group'"):
        nginx_config.read_sockets(wanted, False)
    assert nginx_config.read_sockets(wanted, True) == [("/run/a", 0o660, -1)]


def test_a_socket_s_group_may_be_a_number_a_name_or_left_out():
    wanted = [{"path": "/run/a", "mode": "660", "group": group} for group in ("12", "root", "", None)]
    assert [found.gid for found in nginx_config.read_sockets(wanted, False)] == [12, 0, -1, -1]


def test_a_socket_s_path_has_to_be_absolute(arguments, capsys):
    result = run(nginx_config, capsys, sockets=[{"path": "run/a"}], **arguments)
    assert result["failed"] and "sockets: 'run/a' has to be an absolute path" in result["msg"]


SECRET = "unit-secret-of-an-upstream"


def test_the_content_of_a_secret_file_is_in_no_output(arguments, capsys, tmp_path):
    content = f'{MARK}proxy_set_header X "{SECRET}";\n'
    secret = {"path": "wssgate.d/headers.inc", "content": content}
    before = tmp_path / "etc" / "wssgate.d" / "headers.inc"
    before.parent.mkdir(parents=True)
    for old, mode in (("", 0), (f"{MARK}{SECRET} of old", 0o644), (content, 0o644), (f"{MARK}{SECRET} of old", 0o600)):
        before.unlink(missing_ok=True)
        if old:
            before.write_text(old)
            before.chmod(mode)
        result = run(nginx_config, capsys, _ansible_diff=True, **arguments, secret_files=[secret])
        assert "wssgate.d/headers.inc" in result["changed_files"]
        (shown,) = [item for item in result["diff"] if item["after_header"] == secret["path"]]
        assert shown["before"] == ("not shown, as it was\n" if old else "")
        assert shown["after"] == "not shown, as it will be\n"
        assert SECRET not in json.dumps(result)
    # Nor when it goes.
    result = run(nginx_config, capsys, _ansible_diff=True, **arguments)
    assert result["removed_files"] == ["wssgate.d/headers.inc"] and SECRET not in json.dumps(result)


def test_a_secret_file_is_its_owners_alone_and_there_once():
    secret = {"path": "a", "content": "x"}
    assert nginx_config.read_files([], [secret]) == {"a": ("x", 0o600)}
    with pytest.raises(NginxError, match=r"secret_files\[1\]: a is there twice"):
        nginx_config.read_files([], [secret, secret])
    with pytest.raises(NginxError, match=r"files\[0\]: a is there twice"):
        nginx_config.read_files([{**secret, "mode": "0644"}], [secret])
