# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certbot holds gets to clients, or what was there stays, to the byte."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import pair as pair_files

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "certificates" / "files" / "deploy_certificates.py"


def load() -> t.Any:
    specification = importlib.util.spec_from_file_location("deploy_certificates", PROGRAM)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # The role puts it beside the program under this name
    sys.modules["wssgate_pair_files"] = pair_files
    # typing.NamedTuple looks its module up
    sys.modules["deploy_certificates"] = module
    specification.loader.exec_module(module)
    return module


deploy_certificates = load()


class Pem(t.NamedTuple):
    certificate: bytes
    key: bytes


def pair() -> Pem:
    key = crypto.new_key("P-256")
    certificate = crypto.new_certificate(key.public_key(), ["DNS:wcs.example.com"], "wcs", 90, crypto.utc_now(), key)
    return Pem(crypto.certificate_pem(certificate), crypto.key_pem(key))


OLD, NEW = pair(), pair()


class Front:
    """Stands for nginx: a TLS listener that takes on the installed pair when it is reloaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.context: ssl.SSLContext | None = None
        self.reload()
        threading.Thread(target=self.serve, daemon=True).start()

    def reload(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.folder / "fullchain.pem"), str(self.folder / "privkey.pem"))
        self.context = context

    def serve(self) -> None:
        while True:
            try:
                raw, _address = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), raw:
                assert self.context is not None
                raw.settimeout(5)
                self.context.wrap_socket(raw, server_side=True).close()


class Place:
    """certbot's folder, nginx's folder and an nginx."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live = folder / "live" / "wcs"
        self.installed = folder / "certificates" / "wcs"
        for path in (self.live, self.installed):
            path.mkdir(parents=True)
        self.put(self.live, NEW)
        self.put(self.installed, OLD)
        self.front = Front(self.installed)
        self.commands: list[str] = []
        self.broken = ""
        self.configuration = {
            "nginx": ["nginx"],
            "live_directory": str(self.live.parent),
            "pid_path": str(folder / "nginx.pid"),
            "timeout": 1,
            "certificates": [
                {
                    "name": "wcs",
                    "lineage": "wcs",
                    "certificate_path": str(self.installed / "fullchain.pem"),
                    "key_path": str(self.installed / "privkey.pem"),
                    "server_name": "wcs.example.com",
                    "served_at": [self.front.address],
                }
            ],
        }
        monkeypatch.setattr(deploy_certificates, "run", self.run)

    def run(self, command: t.Sequence[str]) -> None:
        self.commands.append(" ".join(command[1:]))
        if "-t" in command and self.broken:
            raise deploy_certificates.DeployError(self.broken)
        if "reload" in command:
            self.front.reload()

    @staticmethod
    def put(folder: Path, pem: Pem) -> None:
        (folder / "fullchain.pem").write_bytes(pem.certificate)
        (folder / "privkey.pem").write_bytes(pem.key)

    @staticmethod
    def content(folder: Path) -> Pem:
        return Pem((folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes())

    def deploy(self) -> dict[str, t.Any]:
        return deploy_certificates.deploy(self.configuration)

    def reloads(self) -> int:
        return self.commands.count("-s reload")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Place]:
    made = Place(tmp_path, monkeypatch)
    yield made
    made.front.listener.shutdown(socket.SHUT_RDWR)
    made.front.listener.close()


def test_a_new_certificate_is_installed_and_served_after_one_reload(place: Place) -> None:
    result = place.deploy()
    assert result == {"changed": True, "installed": ["wcs"], "reloaded": True, "served": ["wcs"]}
    assert place.content(place.installed) == NEW
    assert place.commands == ["-t -q", "-s reload"]
    assert stat.S_IMODE((place.installed / "privkey.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((place.installed / "fullchain.pem").stat().st_mode) == 0o644


def test_a_second_run_does_nothing(place: Place) -> None:
    place.deploy()
    place.commands.clear()
    assert place.deploy()["changed"] is False
    assert place.commands == []


def test_what_was_not_issued_yet_leaves_the_placeholder(place: Place) -> None:
    for path in place.live.iterdir():
        path.unlink()
    assert place.deploy() == {"changed": False, "installed": [], "reloaded": False, "served": []}
    assert place.content(place.installed) == OLD


def test_a_key_of_another_certificate_is_not_installed(place: Place) -> None:
    (place.live / "privkey.pem").write_bytes(OLD.key)
    with pytest.raises(deploy_certificates.DeployError, match="do not belong together.*what was there is still there"):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.commands == []


def test_what_nginx_refuses_is_taken_back(place: Place) -> None:
    place.broken = "nginx: [emerg] something else is wrong"
    with pytest.raises(deploy_certificates.DeployError, match="something else is wrong; what was there is still there"):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.reloads() == 0


def test_a_first_pair_that_nginx_refuses_is_taken_away_again(place: Place) -> None:
    for path in place.installed.iterdir():
        path.unlink()
    place.broken = "no"
    with pytest.raises(deploy_certificates.DeployError):
        place.deploy()
    assert list(place.installed.iterdir()) == []


def test_half_a_pair_is_as_it_was_when_nginx_refuses_the_new_one(place: Place) -> None:
    (place.installed / "fullchain.pem").unlink()
    place.broken = "no"
    with pytest.raises(deploy_certificates.DeployError):
        place.deploy()
    assert [path.name for path in place.installed.iterdir()] == ["privkey.pem"]
    assert (place.installed / "privkey.pem").read_bytes() == OLD.key


def test_the_old_pair_stays_when_the_new_one_cannot_be_put_in_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_one: str, other: str) -> bool:
        raise OSError(28, "No space left on device", other)

    monkeypatch.setattr(pair_files, "exchange", fail)
    with pytest.raises(
        deploy_certificates.DeployError, match="certificate wcs: .*No space left.*what was there is still there"
    ):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert sorted(path.name for path in place.installed.parent.rglob("*")) == ["fullchain.pem", "privkey.pem", "wcs"]


@pytest.mark.parametrize("damage", ["another key", "no key", "dangling links", "no certificate in it"])
def test_a_damaged_certificate_keeps_no_other_from_being_served(place: Place, damage: str) -> None:
    bad = place.live.parent / "bad"
    bad.mkdir()
    place.put(bad, Pem(NEW.certificate, OLD.key))
    if damage == "no key":
        (bad / "privkey.pem").unlink()
    elif damage == "dangling links":
        for name in ("fullchain.pem", "privkey.pem"):
            (bad / name).unlink()
            (bad / name).symlink_to("../../archive/bad/gone.pem")
    elif damage == "no certificate in it":
        (bad / "fullchain.pem").write_bytes(b"\0" * 100)
    elsewhere = place.installed.parent / "bad"
    other = dict(place.configuration["certificates"][0], name="bad", lineage="bad",
                 certificate_path=str(elsewhere / "fullchain.pem"),
                 key_path=str(elsewhere / "privkey.pem"))  # fmt: skip
    place.configuration["certificates"].insert(0, other)
    with pytest.raises(
        deploy_certificates.DeployError, match="^certificate bad: .*bad.*; what was there is still there and served$"
    ):
        place.deploy()
    assert place.content(place.installed) == NEW
    assert place.commands == ["-t -q", "-s reload"]
    assert not elsewhere.exists()


def test_the_program_ends_with_an_error_though_others_were_served(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.live.parent / "bad").mkdir()
    place.put(place.live.parent / "bad", Pem(NEW.certificate, OLD.key))
    place.configuration["certificates"].append(
        {**place.configuration["certificates"][0], "name": "bad", "lineage": "bad"}
    )
    (tmp_path / "wssgate.json").write_text(json.dumps(place.configuration))
    monkeypatch.setattr(sys, "argv", ["deploy", "--configuration", str(tmp_path / "wssgate.json")])
    assert deploy_certificates.main() == 1
    assert "certificate bad: " in capsys.readouterr().err
    assert place.reloads() == 1


def test_a_reload_that_fails_does_not_hide_what_else_is_wrong(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.live.parent / "bad").mkdir()
    place.put(place.live.parent / "bad", Pem(NEW.certificate, OLD.key))
    place.configuration["certificates"].append(
        {**place.configuration["certificates"][0], "name": "bad", "lineage": "bad"}
    )

    def fail(command: t.Sequence[str]) -> None:
        if "reload" in command:
            raise subprocess.TimeoutExpired("nginx", 60)

    monkeypatch.setattr(deploy_certificates, "run", fail)
    with pytest.raises(deploy_certificates.DeployError, match="certificate bad: .*; Command 'nginx' timed out"):
        place.deploy()


def test_what_a_killed_run_left_in_two_folders_is_completed(place: Place, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    place.configuration["certificates"][0]["key_path"] = str(keys / "wcs.key")
    (place.installed / "privkey.pem").unlink()
    (keys / "wcs.key").write_bytes(NEW.key)
    (place.installed / "fullchain.pem.wssgate-new").write_bytes(NEW.certificate)
    (place.front.folder / "privkey.pem").write_bytes(NEW.key)
    assert place.deploy()["served"] == ["wcs"]
    assert (place.installed / "fullchain.pem").read_bytes() == NEW.certificate
    assert not (place.installed / "fullchain.pem.wssgate-new").exists()


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_symlink_is_not_written_through(place: Place, tmp_path: Path, which: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    if which == "folder":
        os.rename(place.installed, elsewhere)
        place.installed.symlink_to(elsewhere)
    else:
        elsewhere.mkdir()
        os.rename(place.installed / "privkey.pem", elsewhere / "privkey.pem")
        (place.installed / "privkey.pem").symlink_to(elsewhere / "privkey.pem")
    with pytest.raises(deploy_certificates.DeployError, match="is a symlink"):
        place.deploy()
    assert (elsewhere / "privkey.pem").read_bytes() == OLD.key


def test_an_installed_certificate_that_nginx_has_not_read_is_brought_by_a_reload(place: Place) -> None:
    place.put(place.installed, NEW)
    assert place.deploy() == {"changed": True, "installed": [], "reloaded": True, "served": ["wcs"]}
    assert place.reloads() == 1


def test_a_wrong_address_is_named_and_costs_one_reload_and_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configuration["certificates"][0]["served_at"] = [place.front.address, "127.0.0.1:1"]
    with pytest.raises(
        deploy_certificates.DeployError, match=r"at 127\.0\.0\.1:1, where nothing answers in TLS: see served_at"
    ):
        place.deploy()
    assert place.reloads() == 1
    monkeypatch.setattr(deploy_certificates, "newest_worker", lambda _path: time.time())
    for _run in range(2):
        with pytest.raises(deploy_certificates.DeployError, match="although nginx has read it: see served_at"):
            place.deploy()
    assert place.reloads() == 1


def test_a_reload_that_changes_nothing_for_clients_is_an_error(place: Place) -> None:
    place.front.reload = lambda: None  # type: ignore[method-assign]
    with pytest.raises(
        deploy_certificates.DeployError,
        match="nginx was reloaded, but clients do not get .* where another certificate is served",
    ):
        place.deploy()


def test_workers_are_known_by_their_master_and_the_time_they_were_started(tmp_path: Path) -> None:
    process = os.fork()
    if process == 0:
        time.sleep(30)
        os._exit(0)
    try:
        (tmp_path / "nginx.pid").write_text(f"{os.getpid()}\n")
        assert abs(deploy_certificates.newest_worker(str(tmp_path / "nginx.pid")) - time.time()) < 5
        (tmp_path / "childless.pid").write_text(f"{process}\n")
        assert deploy_certificates.newest_worker(str(tmp_path / "childless.pid")) == 0
        assert deploy_certificates.newest_worker(str(tmp_path / "none.pid")) == 0
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)


def test_the_words_of_a_command_that_fails_are_kept() -> None:
    with pytest.raises(deploy_certificates.DeployError, match="sh -c echo wrong; exit 1: wrong"):
        deploy_certificates.run(["sh", "-c", "echo wrong; exit 1"])
