# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of gates do with a hub: local_hub's single one, with a user who may everything."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import Wire, connect

from . import local_hub
from .processes import wait_for

FLEET = "test"
ROOT = "user root on nopass ~* &* +@all"


class HubServer:
    """The server, its users, and what tests do to it. ``lines`` are more of its configuration."""

    def __init__(
        self, folder: Path, gates: t.Sequence[str], issuers: t.Mapping[str, Rules], lines: t.Sequence[str] = ()
    ) -> None:
        self.folder, self.gates, self.issuers = folder, list(gates), dict(issuers)
        folder.mkdir(mode=0o700)
        (self.local,) = local_hub.make(folder, 1, [ROOT], gates, list(issuers), FLEET, "localhost", lines)
        self.data, self.port, self.ca = self.local.data, self.local.port, self.local.credentials / "ca.pem"
        for one in (folder, self.data):
            one.chmod(0o700)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.local.process

    def password_file(self, user: str) -> Path:
        folder = self.folder / "gates" if user.startswith(keys.gate_user("")) else self.local.folder
        return folder / user

    def start(self) -> None:
        assert local_hub.is_installed(), f"{local_hub.BINARY} is missing: install redis-tools"
        self.local.start()
        wait_for(self.answers)

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "the hub has ended"
        with contextlib.suppress(HubError):
            return bool(self.call("PING") == b"PONG")
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.local.kill()
            self.local.process = None

    def backup(self) -> Path:
        """What its disk has now."""
        copy = self.folder / "backup"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.data, copy)
        return copy

    def restore(self, copy: Path) -> None:
        """Begin again with what the disk had once."""
        self.kill()
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        self.start()

    def enter(self, user: str = "root") -> Wire:
        wire = connect("localhost", self.port, str(self.ca))
        password = "" if user == "root" else self.password_file(user).read_text().strip()
        wire.call("AUTH", user, password)
        return wire

    def call(self, *words: str | int, user: str = "root") -> t.Any:
        wire = self.enter(user)
        try:
            return wire.call(*words, longest=1 << 20)
        finally:
            wire.close()

    def append(self, key: str, fields: t.Sequence[str], user: str = keys.OPERATOR, place: str = "*") -> str:
        """Append to a stream as the user who may."""
        return str(self.call("XADD", key, place, *fields, user=user).decode())

    def issue(self, issuer: str, token: str, subject: str, ttl: int | str, place: str = "*") -> str:
        fields = ("token", token, "subject", subject, "ttl", str(ttl))
        return self.append(keys.issue(FLEET, issuer), fields, keys.issuer_user(issuer), place)

    def operate(self, *fields: str) -> str:
        return self.append(keys.operate(FLEET), fields)

    def settings_of(self, gate: str, **changes: t.Any) -> settings.Settings:
        """What a gate has to know."""
        user = keys.gate_user(gate)
        return settings.Settings(
            FLEET, gate, (("localhost", self.port),), user, str(self.password_file(user)),
            ca_path=str(self.ca), issuers=tuple(self.issuers.items()), gates=tuple(self.gates),
        )._replace(**changes)  # fmt: skip

    def reported(self, gate: str) -> dict[str, str]:
        """What a gate has reported."""
        flat = [one.decode() for one in self.call("HGETALL", keys.gate(FLEET, gate))]
        return dict(zip(flat[::2], flat[1::2], strict=True))
