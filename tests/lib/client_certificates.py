# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can a client certificate open what it must not, by a foreign or missing name in TLS, or by a resumed session?

`run` tries all that there is on a site: each name in TLS with each host in the request; a TLS session begun at each
place and resumed at each other; sessions that began before their certificate was revoked. It does so with TLS 1.2 and
1.3, and with several identities. It returns how many handshakes it tried, and what did not come of them as it has to.

Standard library only: beside wire.py, it also runs inside a container (`python3 client_certificates.py JSON`, a Site).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import wire

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
# A certificate of the authority, one that it has revoked, one that has expired, one of another authority of the same
# name, none.
GOOD, REVOKED, EXPIRED, NAMESAKE, NOBODY = "alice", "mallory", "carol", "bob", ""
SIGNED = {"clients": (GOOD, REVOKED), "namesakes": (NAMESAKE,)}
UNKNOWN_NAME = "nobody.example.com"
# A loaded machine may take its time.
PATIENCE = 20.0


@dataclass(frozen=True)
class Server:
    """A server's location, which asks for a certificate, takes one, or does neither."""

    name: str
    path: str = "/wss"
    asks: str = "no"  # or may, or must


@dataclass(frozen=True)
class Address:
    """A port, its servers, the default one first, and the authority of those that ask."""

    port: int
    servers: tuple[Server, ...]
    authority: str = ""

    def asks(self, name: str) -> bool:
        """Whether the server that clients find under this name, or the default one, verifies them."""
        known = [server for server in self.servers if server.name == name] or [
            server for server in self.servers if server.name == self.servers[0].name
        ]
        return any(server.asks != "no" for server in known)

    @property
    def is_guarded(self) -> bool:
        return any(self.asks(server.name) for server in self.servers)

    @property
    def names(self) -> list[str]:
        """What a client may say in TLS; nothing is no name at all."""
        return [*dict.fromkeys(server.name for server in self.servers), ""]


# The gate of molecule/certificates. tests/functional has one of the same servers, on its own ports.
ADDRESSES = (
    Address(
        443,
        (
            Server("signed.example.com"),
            Server("members.example.com", "/wss", "must"),
            Server("mixed.example.com", "/wss", "must"),
            Server("mixed.example.com", "/open", "may"),
        ),
        "clients",
    ),
    Address(8443, (Server("guild.example.com", "/wss", "must"), Server("foyer.example.com")), "clients"),
    Address(9443, (Server("rivals.example.com", "/wss", "must"),), "namesakes"),
    Address(10443, (Server("lobby.example.com"),)),
)


@dataclass(frozen=True)
class Site:
    """`pki` is a folder that pki.py wrote; `crl` the list that nginx reads, and `pid` its pid file."""

    addresses: tuple[Address, ...]
    pki: str
    crl: str
    pid: str

    @classmethod
    def read(cls, text: str) -> Site:
        found = json.loads(text)
        found["addresses"] = tuple(
            Address(item["port"], tuple(Server(**server) for server in item["servers"]), item["authority"])
            for item in found["addresses"]
        )
        return cls(**found)

    def write(self) -> str:
        return json.dumps(asdict(self))


class KeptOpen:
    """A connection that whoever reads an answer from it cannot close: its TLS session would be gone with it."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.recv = connection.recv

    def close(self) -> None:
        pass


@dataclass
class Answer:
    status: int
    reason: str
    is_reused: bool
    session: ssl.SSLSession | None


class Trial:
    """All handshakes of one client: one version of TLS, one certificate or none. Sessions belong to it."""

    def __init__(self, site: Site, version: ssl.TLSVersion, identity: str) -> None:
        self.version, self.identity = version, identity
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._context.minimum_version = self._context.maximum_version = version
        if identity:
            self._context.load_cert_chain(str(Path(site.pki, f"{identity}.pem")))

    def ask(self, address: Address, name: str, server: Server, session: ssl.SSLSession | None = None) -> Answer:
        authority = server.name if address.port == 443 else f"{server.name}:{address.port}"
        request = wire.Request(server.path, host=authority).origin(f"https://{authority}")
        plain = wire.Endpoint(port=address.port, tls=False).connect()
        with self._context.wrap_socket(plain, server_hostname=name or None, session=session) as tls:
            tls.sendall(request.encode())
            reply = wire.read_reply(KeptOpen(tls))
            # With TLS 1.3 what resumes a session comes after the handshake, at the latest with the answer.
            return Answer(reply.status, reply.reason, bool(tls.session_reused), tls.session)

    def expected(self, address: Address, name: str, server: Server, bad: tuple[str, ...]) -> int:
        """The answer to a full handshake; `bad` are the identities that a list revokes."""
        is_shown = bool(self.identity) and address.asks(name)
        is_good = self.identity in SIGNED.get(address.authority, ()) and self.identity not in bad
        if name in [known.name for known in address.servers] and name != server.name and address.asks(server.name):
            return 421
        if not address.asks(server.name):
            return 101
        if is_shown and not is_good:
            return 400
        return 101 if is_shown or server.asks == "may" else 403

    def __str__(self) -> str:
        return f"{self.version.name.replace('_', '.')}, {self.identity or 'no certificate'}"


class Run:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.tried = 0
        self.complaints: list[str] = []

    def check(
        self,
        trial: Trial,
        address: Address,
        name: str,
        server: Server,
        begun: str = "",
        session: ssl.SSLSession | None = None,
    ) -> Answer | None:
        """`begun` says where the session comes from."""
        what = f"{trial}: TLS for {name or 'no name'}, request for {server.name}{server.path} at {address.port}{begun}"
        self.tried += 1
        try:
            answer = trial.ask(address, name, server, session)
        except (OSError, wire.WireError) as error:
            self.complaints.append(f"{what}: no answer: {error!r}")
            return None
        expected = trial.expected(address, name, server, (REVOKED,))
        if answer.status != expected:
            self.complaints.append(f"{what}: {answer.status}, not {expected}{' (resumed)' if answer.is_reused else ''}")
        elif answer.is_reused and address.is_guarded:
            self.complaints.append(f"{what}: the session was resumed")
        return answer

    def names(self, trial: Trial) -> None:
        for address in self.site.addresses:
            for name in (*address.names, UNKNOWN_NAME):
                for server in address.servers:
                    self.check(trial, address, name, server)

    def begin(self, trial: Trial, address: Address, name: str) -> Answer:
        """A session in the server that the name leads to, let in or not."""
        self.tried += 1
        known = next((server for server in address.servers if server.name == name), address.servers[0])
        answer = trial.ask(address, name, known)
        if answer.session is None:
            self.complaints.append(f"{trial}: there is no session for {name or 'no name'} at {address.port}")
        return answer

    def resume(self, trial: Trial) -> None:
        """A session begun at each place, resumed at each place: a new one each time, as some are good only once."""
        for source in self.site.addresses:
            for first in source.names:
                for address in self.site.addresses:
                    if not address.is_guarded:
                        continue
                    for second in address.names:
                        for server in address.servers:
                            if server.asks == "must":
                                begun = self.begin(trial, source, first).session
                                self.check(
                                    trial,
                                    address,
                                    second,
                                    server,
                                    f", begun for {first or 'no name'} at {source.port}",
                                    begun,
                                )

    def control(self, trial: Trial) -> None:
        """Where nobody is asked for a certificate, sessions are resumed. Else all the rest would prove nothing."""
        for address in self.site.addresses:
            if not address.is_guarded:
                name = address.names[0]
                begun = self.begin(trial, address, name).session
                answer = self.check(trial, address, name, address.servers[0], ", begun there", begun)
                if answer is None or not answer.is_reused:
                    self.complaints.append(f"{trial}: no session is resumed at {address.port}")

    def revoke(self) -> None:
        """Sessions that began when the certificate was still good."""
        places = [
            (address, name)
            for address in self.site.addresses
            if address.authority == "clients"
            for name in address.names
        ]
        trials = [Trial(self.site, version, REVOKED) for version in VERSIONS]
        begun = []
        with self.list_in_use("none_revoked.crl"):
            for trial in trials:
                for address, name in places:
                    answer = self.begin(trial, address, name)
                    if address.asks(name) and answer.status != 101:
                        self.complaints.append(
                            f"{trial}: {answer.status} for {name or 'no name'} at {address.port} before it was revoked"
                        )
                    begun.append((trial, address, name, answer.session))
        for trial, address, name, session in begun:
            for server in address.servers:
                if address.asks(server.name):
                    self.check(trial, address, name, server, ", begun before it was revoked", session)

    @contextlib.contextmanager
    def list_in_use(self, name: str) -> Iterator[None]:
        """Another revocation list, and the one that was there before again."""
        before = Path(f"{self.site.crl}.before")
        shutil.copyfile(self.site.crl, before)
        try:
            self._use(Path(self.site.pki, name))
            yield
        finally:
            self._use(before)
            before.unlink()

    def _use(self, source: Path) -> None:
        new = Path(f"{self.site.crl}.new")
        shutil.copyfile(source, new)
        os.replace(new, self.site.crl)
        master = int(Path(self.site.pid).read_text())
        old = workers(master)
        os.kill(master, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while not (now := workers(master)) or now & old:
            if time.monotonic() > deadline:
                raise TimeoutError("nginx was told to reload, and its workers are still the old ones")
            time.sleep(0.02)


def workers(master: int) -> set[int]:
    """Those that take connections."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == master:
                title = (path.parent / "cmdline").read_bytes().rstrip(b"\0")
                if title == b"nginx: worker process":
                    found.add(int(path.parent.name))
    return found


def run(site: Site) -> dict[str, Any]:
    tried = Run(site)
    for version in VERSIONS:
        for identity in (GOOD, REVOKED, EXPIRED, NAMESAKE, NOBODY):
            tried.names(Trial(site, version, identity))
        # What one authority has signed, the other has not: what a session lends shows with these.
        for identity in (GOOD, NAMESAKE):
            tried.resume(Trial(site, version, identity))
        tried.control(Trial(site, version, NOBODY))
    tried.revoke()
    return {"tried": tried.tried, "complaints": tried.complaints}


def main() -> None:
    json.dump(run(Site.read(sys.argv[1])), sys.stdout)


if __name__ == "__main__":
    main()
