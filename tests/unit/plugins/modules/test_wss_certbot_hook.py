# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""certbot's hook is on the host, made of the modules' own files, and nothing is left of it or of its former form."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import hook
from ansible_collections.wssgate.nginx.plugins.module_utils._host import shipped
from ansible_collections.wssgate.nginx.plugins.modules import wss_certbot_hook
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

PYTHON = shipped.choose_python(sys.executable)
SOURCES = Path(__file__).resolve().parents[4] / "plugins/module_utils"
CERTIFICATE = {
    "name": "wcs",
    "lineage": "wcs",
    "certificate_path": "/etc/nginx/certificates/wcs/fullchain.pem",
    "key_path": "/etc/nginx/certificates/wcs/privkey.pem",
    "server_name": "wcs.example.com",
    "served_at": ["127.0.0.1:443"],
}


class Machine:
    """The folders that the module writes to, elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program, self.configuration = root / "sbin/deploy", root / "etc/letsencrypt/wssgate.json"
        self.library = root / "lib/wssgate"
        self.former = root / "lib/wssgate_pair_files.py"
        self.nginx = root / "etc/nginx"
        for folder in (self.program.parent, self.library.parent, self.nginx):
            folder.mkdir(parents=True)

    @property
    def package(self) -> Path:
        return self.library / hook.PACKAGE

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(hook, "PROGRAM", str(made.program))
    monkeypatch.setattr(hook, "CONFIGURATION", str(made.configuration))
    monkeypatch.setattr(hook, "DIRECTORY", str(made.library))
    pycache = made.former.parent / "__pycache__" / "wssgate_pair_files.*.pyc"
    monkeypatch.setattr(hook, "FORMER", (str(made.former), str(pycache)))
    return made


@pytest.fixture
def run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(**arguments: Any) -> dict[str, Any]:
        given = {"certificates": [CERTIFICATE], "directory": str(machine.nginx), **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            wss_certbot_hook.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call


def start(machine: Machine) -> subprocess.CompletedProcess[str]:
    command = [str(machine.program), "--configuration", str(machine.configuration)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_hook_is_the_modules_own_code_and_its_configuration_is_what_was_given(machine: Machine, run: Any) -> None:
    answer = run()
    assert (answer["changed"], answer["program"]) == (True, str(machine.program))
    assert {str(machine.root / name) for name in machine.files()} == set(answer["changed_files"])
    for name in ("_certificates/pair.py", "_nginx/live.py", "_handshake/served.py"):
        assert (machine.package / name).read_bytes() == (SOURCES / name).read_bytes()
    configuration = json.loads(machine.configuration.read_text())
    assert configuration["certificates"] == [CERTIFICATE]
    assert configuration["nginx"] == ["/usr/sbin/nginx", "-c", f"{machine.nginx}/nginx.conf"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in machine.package.rglob("*.py")}
    assert (modes, stat.S_IMODE(machine.program.stat().st_mode)) == ({0o644}, 0o755)


def test_it_runs_without_ansible(machine: Machine, run: Any) -> None:
    run(certificates=[], binary="/nowhere/nginx")
    done = start(machine)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"changed": False, "installed": [], "reloaded": False, "served": []}


def test_a_second_run_does_nothing_and_a_wrong_mode_is_put_right(machine: Machine, run: Any) -> None:
    run()
    assert not run()["changed"]
    machine.program.chmod(0o700)
    assert run()["changed_files"] == [str(machine.program)]
    assert not run()["changed"]


def test_another_certificate_changes_the_configuration_alone_and_the_diff_shows_it(machine: Machine, run: Any) -> None:
    run()
    answer = run(certificates=[{**CERTIFICATE, "server_name": "www.example.com"}])
    assert answer["changed_files"] == [str(machine.configuration)]
    assert "www.example.com" in answer["diff"][0]["after"] and "wcs.example.com" in answer["diff"][0]["before"]


def test_no_diff_shows_the_source_of_a_program(machine: Machine, run: Any) -> None:
    for change in run()["diff"]:
        assert change["after_header"] == str(machine.configuration) or change["after"].count("\n") == 1
    assert "import" not in json.dumps(run(state="absent")["diff"])


def test_a_dry_run_tells_and_writes_nothing(machine: Machine, run: Any) -> None:
    assert run(_ansible_check_mode=True)["changed"]
    assert machine.files() == set()


@pytest.mark.parametrize("state", ["present", "absent"])
def test_nothing_is_left_of_what_1_0_0_put_there(machine: Machine, run: Any, state: str) -> None:
    pycache = machine.former.parent / "__pycache__"
    pycache.mkdir()
    theirs = pycache / "theirs.cpython-311.pyc"
    for path in (machine.former, pycache / "wssgate_pair_files.cpython-311.pyc", theirs):
        path.write_text("")
    answer = run(state=state)
    assert str(machine.former) in answer["changed_files"]
    assert not machine.former.exists()
    assert os.listdir(pycache) == [theirs.name]
    assert not run(state=state)["changed"]


def test_code_that_the_hook_does_not_need_any_more_goes(machine: Machine, run: Any) -> None:
    run()
    old = machine.package / "_old" / "part.py"
    old.parent.mkdir()
    old.write_text("")
    assert run()["changed_files"] == [str(old)]
    assert not old.parent.exists()
    assert not run()["changed"]


def test_nothing_is_left_of_the_hook_that_has_run_and_others_files_stay(machine: Machine, run: Any) -> None:
    run(certificates=[], binary="/nowhere/nginx")
    assert start(machine).returncode == 0
    (machine.library / "prune").write_text("")
    assert run(state="absent")["changed"]
    assert machine.files() == {"lib/wssgate/prune"}
    assert os.listdir(machine.library) == ["prune"]
    assert not run(state="absent")["changed"]


def test_the_folder_goes_with_the_last_of_its_files(machine: Machine, run: Any) -> None:
    run()
    run(state="absent")
    assert not machine.library.exists()


def test_a_link_in_place_of_the_program_is_not_written_through(machine: Machine, run: Any) -> None:
    target = machine.root / "target"
    target.write_text("theirs")
    machine.program.symlink_to(target)
    answer = run()
    assert answer["failed"] and f"{machine.program} is a symlink" in answer["msg"]
    assert target.read_text() == "theirs"
    assert machine.files() == {"target", "sbin/deploy"}
