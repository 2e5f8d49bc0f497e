# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certbot holds gets to clients, or what was there stays, to the byte."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import stat
import sys
import threading
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import deployment
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import pair as pair_files
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.deployment import DeployError
from ansible_collections.wssgate.nginx.plugins.module_utils._host import locks, shipped
from ansible_collections.wssgate.nginx.plugins.module_utils._host.locks import LockError
from ansible_collections.wssgate.nginx.plugins.module_utils._host.run import Finished
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import (
    Change,
    Entry,
    Exchange,
    Lock,
    Operations,
    read_entry,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import Family, NotLive
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Process, now_in_ticks

MASTER = "nginx: master process nginx"
WORKER = "nginx: worker process"


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
            "nginx": ["nginx", "-c", str(folder / "nginx" / "nginx.conf")],
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
        (folder / "nginx").mkdir()
        (folder / "nginx" / "nginx.conf").write_text("events {}\n")
        self.master: Process | None = Process(1, 0, 1, MASTER)
        self.started = 1
        self.fails_to_reload: list[str] = []
        (folder / "locks").mkdir(0o700)
        monkeypatch.setattr(locks, "PLACE", str(folder / "locks"))
        monkeypatch.setattr(deployment, "run", self.run)
        monkeypatch.setattr(deployment, "Activator", lambda *_arguments: self)

    # What of nginx's transaction is used

    def family(self) -> Family:
        return Family(self.master, [Process(2, 1, self.started, WORKER)] if self.master else [])

    def reload(self, _master: Process, _before: t.Any, _after: t.Any) -> list[int]:
        self.commands.append("reload")
        with pytest.raises(LockError, match="locked by another run"), Lock(str(self.nginx), 0.05):
            pass
        if self.fails_to_reload:
            raise NotLive(self.fails_to_reload.pop())
        self.front.reload()
        self.started = now_in_ticks() + 1
        return [2]

    def run(self, command: t.Sequence[str], *_limit: t.Any, **_options: t.Any) -> Finished:
        self.commands.append(command[-2])
        return Finished(1, self.broken) if self.broken else Finished(0, "")

    @property
    def nginx(self) -> Path:
        return Path(self.configuration["nginx"][-1]).parent

    @staticmethod
    def put(folder: Path, pem: Pem) -> None:
        (folder / "fullchain.pem").write_bytes(pem.certificate)
        (folder / "privkey.pem").write_bytes(pem.key)

    @staticmethod
    def content(folder: Path) -> Pem:
        return Pem((folder / "fullchain.pem").read_bytes(), (folder / "privkey.pem").read_bytes())

    def deploy(self) -> dict[str, t.Any]:
        return deployment.Deployment(self.configuration).run()

    def reloads(self) -> int:
        return self.commands.count("reload")


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
    assert place.commands == ["-t", "reload"]
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
    with pytest.raises(DeployError, match="do not belong together.*what was there is still there"):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.commands == []


def test_what_nginx_refuses_is_taken_back(place: Place) -> None:
    place.broken = "nginx: [emerg] something else is wrong"
    with pytest.raises(DeployError, match="something else is wrong; what was there is still there"):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.reloads() == 0


def test_a_first_pair_that_nginx_refuses_is_taken_away_again(place: Place) -> None:
    for path in place.installed.iterdir():
        path.unlink()
    place.broken = "no"
    with pytest.raises(DeployError):
        place.deploy()
    assert list(place.installed.iterdir()) == []


def test_half_a_pair_is_as_it_was_when_nginx_refuses_the_new_one(place: Place) -> None:
    (place.installed / "fullchain.pem").unlink()
    place.broken = "no"
    with pytest.raises(DeployError):
        place.deploy()
    assert [path.name for path in place.installed.iterdir()] == ["privkey.pem"]
    assert (place.installed / "privkey.pem").read_bytes() == OLD.key


def test_the_old_pair_stays_when_the_new_one_cannot_be_put_in_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_one: str, other: str) -> bool:
        raise OSError(28, "No space left on device", other)

    monkeypatch.setattr(pair_files, "exchange", fail)
    with pytest.raises(DeployError, match="certificate wcs: .*No space left.*what was there is still there"):
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
    with pytest.raises(DeployError, match="^certificate bad: .*bad.*; what was there is still there and served$"):
        place.deploy()
    assert place.content(place.installed) == NEW
    assert place.commands == ["-t", "reload"]
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
    assert deployment.main() == 1
    assert "certificate bad: " in capsys.readouterr().err
    assert place.reloads() == 1


def test_a_reload_that_fails_does_not_hide_what_else_is_wrong(place: Place) -> None:
    (place.live.parent / "bad").mkdir()
    place.put(place.live.parent / "bad", Pem(NEW.certificate, OLD.key))
    place.configuration["certificates"].append(
        {**place.configuration["certificates"][0], "name": "bad", "lineage": "bad"}
    )

    place.fails_to_reload = ["no steady new worker"]
    with pytest.raises(DeployError, match="certificate bad: .*; nginx does not take on .*: no steady new worker"):
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
    with pytest.raises(DeployError, match="is a symlink"):
        place.deploy()
    assert (elsewhere / "privkey.pem").read_bytes() == OLD.key


def test_an_installed_certificate_that_nginx_has_not_read_is_brought_by_a_reload(place: Place) -> None:
    place.put(place.installed, NEW)
    assert place.deploy() == {"changed": True, "installed": [], "reloaded": True, "served": ["wcs"]}
    assert place.reloads() == 1


def test_a_wrong_address_is_named_and_costs_one_reload_and_no_more(place: Place) -> None:
    place.configuration["certificates"][0]["served_at"] = [place.front.address, "127.0.0.1:1"]
    with pytest.raises(
        DeployError, match=r"at 127\.0\.0\.1:1, where nothing answers in TLS, though nginx was reloaded: see served_at"
    ):
        place.deploy()
    assert place.reloads() == 1
    for _run in range(2):
        with pytest.raises(DeployError, match="although nginx has read it: see served_at"):
            place.deploy()
    assert place.reloads() == 1


def test_a_wrong_address_keeps_no_certificate_from_clients_of_the_right_one(place: Place) -> None:
    place.configuration["certificates"][0]["served_at"] = [place.front.address, "127.0.0.1:1"]
    with pytest.raises(DeployError) as raised:
        place.deploy()
    assert "put back" not in str(raised.value)
    assert place.content(place.installed) == NEW


def test_what_clients_got_before_comes_back_where_they_do_not_get_the_new_one(place: Place) -> None:
    place.front.reload = lambda: None  # type: ignore[method-assign]
    with pytest.raises(
        DeployError,
        match="clients do not get .* where another certificate is served, though nginx was reloaded: .*; "
        "what was there before of wcs was put back and is served",
    ):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.commands == ["-t", "reload", "reload"]


def test_of_two_certificates_only_the_one_that_clients_do_not_get_makes_room_again(place: Place) -> None:
    other = place.installed.parent / "other"
    other.mkdir()
    place.put(other, OLD)
    front = Front(other)
    front.reload = lambda: None  # type: ignore[method-assign]
    (place.live.parent / "other").mkdir()
    place.put(place.live.parent / "other", NEW)
    place.configuration["certificates"].append({
        **place.configuration["certificates"][0], "name": "other", "lineage": "other", "served_at": [front.address],
        "certificate_path": str(other / "fullchain.pem"), "key_path": str(other / "privkey.pem"),
    })  # fmt: skip
    with pytest.raises(DeployError, match="clients do not get other .*what was there before of other was put back"):
        place.deploy()
    front.listener.close()
    assert (place.content(place.installed), place.content(other)) == (NEW, OLD)


def test_what_nginx_does_not_take_on_is_put_back_and_reloaded(place: Place) -> None:
    place.fails_to_reload = ["[emerg] no port"]
    with pytest.raises(
        DeployError,
        match=r"nginx does not take on .*: \[emerg\] no port; what was there before of wcs was put back and",
    ):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.commands == ["-t", "reload", "reload"]


def test_what_cannot_be_put_back_live_is_told(place: Place) -> None:
    place.fails_to_reload = ["it died again", "it died"]
    with pytest.raises(DeployError, match="it died; .* wcs was to be put back, and that failed: it died again"):
        place.deploy()
    assert place.content(place.installed) == OLD


def test_an_nginx_that_does_not_run_gets_the_certificate_for_its_next_start(place: Place) -> None:
    place.master = None
    with pytest.raises(DeployError, match="nginx does not run, and takes the certificates on when it is started"):
        place.deploy()
    assert place.content(place.installed) == NEW


def test_a_configuration_that_is_being_changed_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "Lock", lambda directory: Lock(directory, 0.05))
    with Lock(str(place.nginx)), pytest.raises(LockError, match="locked by another run"):
        place.deploy()
    assert place.content(place.installed) == OLD
    assert place.commands == []


def test_what_a_killed_transaction_has_left_half_done_does_not_go_live(place: Place) -> None:
    main = place.nginx / "nginx.conf"
    change = Change("nginx.conf", read_entry(str(main)), Entry("file", b"half done", 0o644, os.geteuid()))
    exchange = Exchange(str(place.nginx), Operations())
    exchange.open_work()
    exchange.stage([change])
    exchange.commit([change])
    assert main.read_text() == "half done"
    place.deploy()
    assert main.read_text() == "events {}\n"
    assert os.listdir(place.nginx) == ["nginx.conf"]


def test_the_program_needs_no_library_but_python_s() -> None:
    names = shipped.needed("_certificates.deployment")
    assert {"_certificates.pair", "_handshake.served", "_host.locks", "_nginx.files", "_nginx.live"} <= set(names)
    for name in names:
        assert "cryptography" not in shipped.source_of(name), name
