# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub that is broken or hostile: whatever it sends, one error in bounded time and memory, without its words."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
import typing as t
import warnings
from pathlib import Path

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import client, connection, wire
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import Connection, Endpoint
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.settings import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import TOO_LONG, RefusedError, Wire

from lib import pki

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "password-of-the-gate-itself"


def replied(data: bytes, **options: t.Any) -> t.Any:
    """What a call makes of these bytes."""
    near, far = socket.socketpair()

    def send() -> None:
        try:
            far.recv(4096)
            far.sendall(data)
            far.shutdown(socket.SHUT_WR)
            far.recv(4096)
        except OSError:
            pass  # the call has ended
        far.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    found = Wire(near, 2.0)
    try:
        return found.call("PING", **options)
    finally:
        found.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"+PONG\r\n", b"PONG"), (b":-7\r\n", -7), (b"$-1\r\n", None), (b"*-1\r\n", None), (b"*0\r\n", []),
        (b"$2\r\n\r\n\r\n", b"\r\n"), (b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", [1, [b"a"]]),
        (b"$2000\r\n" + b"x" * 2000 + b"\r\n", TOO_LONG),
    ],
)  # fmt: skip
def test_what_is_a_reply_is_read(data: bytes, reply: object) -> None:
    assert replied(data) == reply


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-2\r\n", b"*-2\r\n", b"*-9223372036854775808\r\n",
        b"$+1\r\na\r\n",
        b"$ 1\r\na\r\n", b"$1_0\r\n0123456789\r\n", b"$\r\n", b":\r\n", b":1e3\r\n", b":0x10\r\n", b"$1\r\nabc\r\n",
        b"$99999999999999999999\r\n", b"$9999999999999999999\r\n", b"*1\r\n" * 9 + b":1\r\n", b"*1\r\n" * 100_000,
        b"%1\r\n+a\r\n+b\r\n", b"_\r\n", b"x" * 200_000, b"+" + b"x" * 200_000, b"$5\r\nab", b"*3\r\n:1\r\n", b"",
        "$\u0661\r\na\r\n".encode(),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_one_error(data: bytes) -> None:
    with pytest.raises(HubError, match="^(the hub sends what is no reply|the hub closes the connection)$"):
        replied(data)


def test_a_reply_that_never_ends_takes_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST", 1 << 20)
    for data in (
        b"*9999999999\r\n" + b":1\r\n" * 100_000,
        b"*9999999999\r\n" + (b"$1000\r\n" + b"x" * 1000 + b"\r\n") * 2000,
        b"*9999999999\r\n" + (b"+" + b"x" * 1000 + b"\r\n") * 2000,
        b"*9999999999\r\n" + b"*0\r\n" * 100_000,
        # Those that are not kept, too
        b"*9999999999\r\n" + (b"$2000\r\n" + b"x" * 2000 + b"\r\n") * 20_000,
    ):
        with pytest.raises(HubError, match="more than 1048576 bytes at once"):
            replied(data)
    # Items that are dropped take no memory, and are no more for that than a server can send.
    many = b"*9999999999\r\n" + b"$1\r\na\r\n" * 100_000
    monkeypatch.setattr(wire, "MOST_DROPPED", 50_000)
    with pytest.raises(HubError, match="more than 50000 items at once"):
        replied(many, fields_at=0)
    monkeypatch.setattr(wire, "MOST_DROPPED", 200_000)
    assert replied(many.replace(b"9999999999", b"100000", 1), fields_at=0) is TOO_LONG


def test_a_reply_that_comes_byte_by_byte_takes_a_bounded_time() -> None:
    near, far = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        try:
            far.sendall(b"$1000\r\n")
            while not stop.wait(0.01):
                far.sendall(b"x")
        except OSError:
            pass  # the call has ended

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    began = time.monotonic()
    with pytest.raises(HubError, match="does not answer in time"):
        Wire(near, 0.5).call("PING")
    # The 1000 bytes would have taken ten seconds.
    assert time.monotonic() - began < 5
    stop.set()
    thread.join(5)
    far.close()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("NOPERM this user has no permissions", "does not let this user do that"),
        ("MOVED 3999 attacker.example.com:6379", "is a cluster"), ("OOM command not allowed", "memory is full"),
        ("ERR unknown command 'XADD' with args 'secret-token'", "the hub refuses: ERR"),
        ("NOQUORUM 1 usable Sentinels", "^NOQUORUM 1 usable"), ("NOQUORUM \x1b[2J", "^the hub refuses: NOQUORUM"),
        ("\x1b[2Jsecret-token", "the hub refuses: ERR"), ("", "the hub refuses: ERR"), ("X" * 5000, "refuses: ERR"),
    ],
)  # fmt: skip
def test_a_refusal_repeats_nothing_of_what_the_server_says(told: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        replied(f"-{told}\r\n".encode())
    assert caught.value.told == told
    for secret in ("secret-token", "attacker", "\x1b", "XXXXX"):
        assert secret not in str(caught.value)


class Impostor:
    """A server with TLS that answers each connection with the same bytes, and notes what it gets."""

    def __init__(
        self, folder: Path, authority: pki.Identity, answer: bytes, name: str = "localhost", end: int = 90
    ) -> None:
        identity = pki.issue(name, authority, names=[name], begin=-10, end=end)
        (folder / f"{name}.pem").write_bytes(identity.pem + identity.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem")
        self.got = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answer = answer
        self.context = context
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _address = self.listener.accept()
            except OSError:
                return
            try:
                plain.settimeout(5)
                with self.context.wrap_socket(plain, server_side=True) as tls:
                    while data := tls.recv(65536):
                        self.got += data
                        tls.sendall(self.answer)
            except OSError:
                plain.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def authority() -> pki.Identity:
    return pki.issue("authority of the hub", ca=True)


@pytest.fixture
def place(tmp_path: Path, authority: pki.Identity) -> Path:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return tmp_path


def settings_of(place: Path, *ports: int) -> Settings:
    servers = tuple(("localhost", port) for port in ports)
    return Settings(
        "f", "g1", servers, "gate-g1", str(place / "password"), service="wssgate", sentinel_auth=False,
        ca_path=str(place / "ca.pem"),
    )  # fmt: skip


@pytest.mark.parametrize("version", ["none", "1.1"])
def test_a_server_without_tls_or_with_an_old_one_gets_no_password(
    place: Path, authority: pki.Identity, version: str
) -> None:
    server = Impostor(place, authority, b"+OK\r\n")
    if version == "none":
        server.context = NoTls()  # type: ignore[assignment]
    else:
        server.context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            # That they are old is the point.
            warnings.simplefilter("ignore", DeprecationWarning)
            server.context.minimum_version = ssl.TLSVersion.TLSv1
            server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with pytest.raises(HubError, match="does not agree on TLS"):
            client.reach(settings_of(place, server.port)._replace(service=""))
        assert PASSWORD.encode() not in server.got
    finally:
        server.close()


class NoTls:
    """Takes a connection as it is."""

    def wrap_socket(self, plain: socket.socket, server_side: bool) -> socket.socket:
        assert server_side
        return plain


@pytest.mark.parametrize("is_known", [False, True])
def test_a_sentinel_that_names_another_server_gets_it_no_password(
    place: Path, authority: pki.Identity, is_known: bool
) -> None:
    """Of another authority, or of the hub's own but for another name."""
    foreign = authority if is_known else pki.issue("another authority", ca=True)
    attacker = Impostor(place, foreign, b"+OK\r\n", "attacker.example.com")
    port = str(attacker.port).encode()
    answer = b"*2\r\n$9\r\nlocalhost\r\n$%d\r\n%s\r\n" % (len(port), port)
    sentinel = Impostor(place, authority, answer)
    try:
        with pytest.raises(HubError, match="has a certificate that is not trusted"):
            client.reach(settings_of(place, sentinel.port))
        assert attacker.got == b"" and PASSWORD.encode() not in sentinel.got
    finally:
        attacker.close()
        sentinel.close()


def test_a_certificate_that_has_ended_is_to_be_renewed(place: Path, authority: pki.Identity) -> None:
    server = Impostor(place, authority, b"+OK\r\n", end=-1)
    try:
        with pytest.raises(HubError, match="is not trusted: certificate has expired; have it renewed there"):
            client.reach(settings_of(place, server.port)._replace(service=""))
        assert server.got == b""
    finally:
        server.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read on this host: No such file or directory; put the file there"),
        ("", "are no certificates in PEM"), ("no certificate", "are no certificates in PEM"),
    ],
)  # fmt: skip
def test_authorities_that_are_not_there_are_a_mistake_and_no_hub_that_is_away(
    place: Path, content: t.Optional[str], words: str
) -> None:
    path = place / "authorities.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(HubError) as caught:
        wire.connect("localhost", 1, str(path))
    assert str(path) in str(caught.value) and words in str(caught.value) and "ca_path" in str(caught.value)
    away = yaml.safe_load((ROOT / "roles" / "token_hub" / "vars" / "main.yml").read_text())["__token_hub_away"]
    assert re.search(away, str(caught.value)) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"*2\r\n:1\r\n:2\r\n", b"*2\r\n$-1\r\n$-1\r\n", b"*1\r\n$1\r\na\r\n", b":5\r\n", b"+OK\r\n",
        b"*2\r\n*0\r\n*0\r\n",
        b"*2\r\n$9\r\nlocalhost\r\n$5\r\n99999\r\n", b"*2\r\n$9\r\nlocalhost\r\n$1\r\n0\r\n",
        b"*2\r\n$9\r\nlocalhost\r\n$2\r\n-1\r\n", b"*2\r\n$5\r\n\x1b[2Jx\r\n$4\r\n6379\r\n",
        b"*2\r\n$2000\r\n" + b"x" * 2000 + b"\r\n$4\r\n6379\r\n", b"*2\r\n$4\r\na\r\nb\r\n$4\r\n6379\r\n",
    ],
)  # fmt: skip
def test_a_sentinel_that_names_no_address_is_one_error(place: Path, authority: pki.Identity, answer: bytes) -> None:
    sentinel = Impostor(place, authority, answer)
    try:
        with pytest.raises(HubError, match="answers with no address") as caught:
            client.reach(settings_of(place, sentinel.port))
        assert str(caught.value).isprintable()
    finally:
        sentinel.close()


def test_the_next_sentinel_is_asked(place: Path, authority: pki.Identity) -> None:
    silent = Impostor(place, authority, b"*-1\r\n")
    broken = Impostor(place, authority, b"nonsense\r\n")
    try:
        with pytest.raises(HubError, match="knows no service wssgate"):
            client.reach(settings_of(place, 1, broken.port, silent.port))
        endpoints = [
            Endpoint("localhost", port, str(place / "ca.pem")) for port in (1, broken.port, silent.port)
        ]  # fmt: skip
        with pytest.raises(HubError, match=r"no Sentinel tells.*cannot be reached.*no reply.*knows no service"):
            connection.primary(endpoints, "wssgate")
    finally:
        silent.close()
        broken.close()


class Dead:
    """A host that is paused: the kernel takes connections, and nothing comes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def taken(self) -> int:
        """How many connections have come since the last time."""
        self.listener.settimeout(0)
        for number in range(100):
            try:
                self.listener.accept()[0].close()
            except BlockingIOError:
                return number
        return 100


def address_of(port: int) -> bytes:
    return b"*2\r\n$9\r\nlocalhost\r\n$%d\r\n%d\r\n" % (len(str(port)), port)


def test_a_sentinel_or_a_primary_that_hangs_keeps_a_gate_no_longer_than_the_others_need(
    place: Path, authority: pki.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 30.0)
    monkeypatch.setattr(client, "SHORT", 0.5)
    dead, dead_primary = Dead(), Dead()
    primary = Impostor(place, authority, b"+OK\r\n")
    # Two still name the one that hangs.
    late = [Impostor(place, authority, address_of(dead_primary.port)) for _number in range(2)]
    knows = Impostor(place, authority, address_of(primary.port))
    try:
        settings = settings_of(place, dead.port, *(one.port for one in late), knows.port)
        began = time.monotonic()
        found = client.reach(settings)
        found.wire.close()
        assert time.monotonic() - began < wire.PATIENCE
        assert (found.at, found.wire.patience) == (3, 30.0)
        assert (dead.taken(), dead_primary.taken()) == (1, 1), "once is enough"
        # The next time it begins with the one that has shown the way.
        found = client.reach(settings, first=found.at)
        found.wire.close()
        assert (found.at, dead.taken(), dead_primary.taken()) == (3, 0, 0)
    finally:
        for one in (primary, knows, *late):
            one.close()
        dead.listener.close()
        dead_primary.listener.close()


@pytest.mark.parametrize("answer", [b"+OK\r\n", b":1\r\n", b"*-1\r\n", b"*1\r\n:1\r\n", b"$3\r\n\xff:\xfe\r\n"])
def test_a_server_that_answers_all_alike_is_no_crash(place: Path, authority: pki.Identity, answer: bytes) -> None:
    server = Impostor(place, authority, answer)
    try:
        found = client.reach(settings_of(place, server.port)._replace(service=""))
        assert found.run == ""
        found.wire.close()
    finally:
        server.close()


@pytest.mark.parametrize("host", ["", "..", "a..b", "a" * 70 + ".example.com", "localhost\x00"])
def test_a_name_that_is_none_is_one_error(host: str) -> None:
    with pytest.raises(HubError):
        Connection(Endpoint(host, 1))


@pytest.mark.parametrize("port", [-1, 65536, 2**40])
def test_a_port_that_is_none_is_one_error(port: int) -> None:
    with pytest.raises(HubError, match="is no name or address with a port"):
        Connection(Endpoint("127.0.0.1", port))
