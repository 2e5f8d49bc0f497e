# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe against servers on the loopback: a real one, and ones that misbehave."""

from __future__ import annotations

import asyncio
import base64
import builtins
import contextlib
import datetime
import hashlib
import ipaddress
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake import probe as probe_utils
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake.tls_facts import facts_of_der, facts_of_verified
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake.probe import (
    ProbeArgumentError,
    build_headers,
    parse_target,
)
from ansible_collections.wssgate.nginx.plugins.modules import wss_probe
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve

TOKEN = "a-token-that-nobody-may-see"
PASSWORD = "a-password-that-nobody-may-see"
DAY = datetime.timedelta(days=1)


# Servers


def certificate(folder: Path, days: float = 10) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, "gate.example.com"),
        ]
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [
        x509.DNSName("gate.example.com"),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + days * DAY + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain_path, key_path = folder / "fullchain.pem", folder / "privkey.pem"
    chain_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain_path, key_path


class Echo:
    """A real WebSocket server that keeps the headers it received.

    One thread reads and writes: OpenSSL is not made for two on a connection.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, **options: Any) -> None:
        self.requests: list[Any] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._options = {"sock": self._listener, "ssl": tls, "process_request": self._keep, **options}
        self._loop = asyncio.new_event_loop()
        # Of that loop: an asyncio.Event of Python 3.8 belongs to the one of the thread that makes it.
        self._is_over: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        async with serve(self._converse, **self._options):
            await self._is_over

    def _keep(self, _connection: ServerConnection, request: Any) -> None:
        self.requests.append(request)

    async def _converse(self, connection: ServerConnection) -> None:
        async for message in connection:
            if message == "headers?":
                await connection.send(json.dumps(list(connection.request.headers.raw_items())))
            elif message == "fragments?":
                await connection.send(iter(["one ", "two ", "three"]))
            else:
                await connection.send(message)

    def __enter__(self) -> Echo:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set_result, None)
        self._thread.join()
        self._loop.close()

    @property
    def headers(self) -> Any:
        return self.requests[-1].headers


@contextlib.contextmanager
def scripted(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does with its one connection what `act` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            connection, _peer = listener.accept()
            with connection, contextlib.suppress(OSError):
                act(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    return head


def accept_key(head: bytes) -> bytes:
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
    assert key
    return base64.b64encode(hashlib.sha1(key.group(1) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def switching(accept: bytes, more: bytes = b"") -> bytes:
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]
    return b"\r\n".join(lines) + b"\r\n" + more + b"\r\n"


def answering(
    answer: Callable[[bytes], bytes], then: Callable[[socket.socket], None] | None = None
) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(answer(read_head(connection)))
        if then is not None:
            then(connection)

    return act


def until_gone(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


# The module


class Result(Dict[str, Any]):
    text: str


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(url: str, **arguments: Any) -> Result:
        with patch_module_args({"url": url, "timeout": 5, **arguments}), pytest.raises(SystemExit) as ended:
            wss_probe.main()
        captured = capsys.readouterr()
        result = Result(json.loads(captured.out))
        result.text = captured.out + captured.err
        assert bool(ended.value.code) == result.get("failed", False)
        return result

    return run


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


def server_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@pytest.fixture(scope="module")
def plain() -> Iterator[Echo]:
    with Echo(select_subprotocol=lambda _connection, offered: offered[0] if offered else None) as server:
        yield server


@pytest.fixture(scope="module")
def secure(tls_files: tuple[Path, Path]) -> Iterator[Echo]:
    with Echo(server_context(tls_files)) as server:
        yield server


Run = Callable[..., Result]


def test_a_websocket_that_opens_is_a_success_with_the_time_of_each_step(probe: Run, plain: Echo) -> None:
    result = probe(f"ws://127.0.0.1:{plain.port}/wss")
    assert result["status"] == 101
    assert result["upgraded"] and result["accept_valid"]
    assert result["reason"] == ""
    assert not result["changed"]
    for step in ("connect_seconds", "upgrade_seconds", "ping_seconds"):
        assert 0 < result[step] < 5
    for absent in (
        "tls_seconds",
        "tls_version",
        "cipher",
        "key_exchange_group",
        "certificate",
        "subprotocol",
        "reply",
        "message_seconds",
    ):
        assert result[absent] is None


def test_it_probes_in_check_mode_too(probe: Run, plain: Echo) -> None:
    assert probe(f"ws://127.0.0.1:{plain.port}/", _ansible_check_mode=True)["upgraded"]


def test_the_facts_of_tls_and_of_a_verified_certificate_are_told(
    probe: Run, secure: Echo, tls_files: tuple[Path, Path]
) -> None:
    result = probe(f"wss://localhost:{secure.port}/", connect_to=f"127.0.0.1:{secure.port}", ca_path=str(tls_files[0]))
    assert result["tls_version"] == "TLSv1.3"
    assert result["cipher"].startswith("TLS_")
    assert result["tls_seconds"] > 0
    facts = result["certificate"]
    assert facts["subject"] == facts["issuer"] == {"organizationName": "Example", "commonName": "gate.example.com"}
    assert facts["subject_alt_names"] == ["DNS:gate.example.com", "DNS:localhost", "IP:127.0.0.1"]
    assert facts["days_left"] == 10
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["not_after"])


def _refuse(_self: ssl.SSLSocket) -> str:
    raise NotImplementedError("OpenSSL 3.2 is needed")


@pytest.mark.parametrize(
    ("method", "told"), [(lambda _self: "X25519MLKEM768", "X25519MLKEM768"), (_refuse, None), (None, None)]
)
def test_the_group_of_the_key_exchange_is_told_where_python_can(
    probe: Run, secure: Echo, monkeypatch: pytest.MonkeyPatch, method: Any, told: str | None
) -> None:
    """From Python 3.15 on, with OpenSSL 3.2."""
    if method is None:
        monkeypatch.delattr(ssl.SSLSocket, "group", raising=False)
    else:
        monkeypatch.setattr(ssl.SSLSocket, "group", method, raising=False)
    result = probe(f"wss://127.0.0.1:{secure.port}/", validate_certs=False)
    assert result["upgraded"] and result["key_exchange_group"] == told


def test_a_certificate_that_is_not_verified_tells_the_same_facts(
    probe: Run, secure: Echo, tls_files: tuple[Path, Path]
) -> None:
    verified = probe(f"wss://127.0.0.1:{secure.port}/", ca_path=str(tls_files[0]))
    unverified = probe(f"wss://127.0.0.1:{secure.port}/", validate_certs=False)
    assert verified["certificate"] == unverified["certificate"]


def test_the_facts_are_unknown_where_nothing_can_read_the_certificate(
    probe: Run, secure: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def importing(name: str, *rest: Any, **options: Any) -> Any:
        if name == "cryptography":
            raise ImportError(name)
        return real_import(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    result = probe(f"wss://127.0.0.1:{secure.port}/", validate_certs=False)
    assert result["upgraded"]
    assert result["certificate"] is None
    assert any("cryptography" in str(warning) for warning in result["warnings"])


def test_an_unknown_issuer_is_a_failure_that_says_so(probe: Run, secure: Echo) -> None:
    result = probe(f"wss://127.0.0.1:{secure.port}/")
    assert result["failed"]
    assert result["status"] == -1
    assert re.search(r"the certificate is not accepted: self.signed certificate", result["msg"])


def test_a_certificate_for_another_name_is_a_failure_that_says_so(
    probe: Run, secure: Echo, tls_files: tuple[Path, Path]
) -> None:
    result = probe("wss://other.example.com/", connect_to=f"127.0.0.1:{secure.port}", ca_path=str(tls_files[0]))
    assert result["failed"]
    assert "not valid for 'other.example.com'" in result["msg"]


def test_an_expired_certificate_is_a_failure_and_its_days_are_negative(probe: Run, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=-3)
    with Echo(server_context(files)) as server:
        result = probe(f"wss://localhost:{server.port}/", ca_path=str(files[0]))
        assert "certificate has expired" in result["msg"]
        assert probe(f"wss://localhost:{server.port}/", validate_certs=False)["certificate"]["days_left"] == -3


def test_connect_to_leaves_the_host_header_and_the_tls_name_alone(probe: Run, tls_files: tuple[Path, Path]) -> None:
    names = []
    context = server_context(tls_files)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with Echo(context) as server:
        probe("wss://gate.example.com/wss", connect_to=f"127.0.0.1:{server.port}", ca_path=str(tls_files[0]))
        assert names == ["gate.example.com"]
        assert server.headers["Host"] == "gate.example.com"
        assert server.requests[-1].path == "/wss"


def test_everything_asked_for_is_sent(probe: Run, plain: Echo) -> None:
    result = probe(
        f"ws://127.0.0.1:{plain.port}/wss?room=1",
        token=TOKEN,
        cookie_name="__Host-AUTH",
        origin="https://app.example.com",
        username="operator",
        password=PASSWORD,
        headers={"X-One": 1, "cookie": "theme=dark"},
        secret_headers={"X-Key": "secret-of-a-header"},
        subprotocols=["chat", "second"],
    )
    headers = plain.headers
    assert plain.requests[-1].path == "/wss?room=1"
    assert headers.get_all("Cookie") == [f"theme=dark; __Host-AUTH={TOKEN}"]
    assert headers["Origin"] == "https://app.example.com"
    assert headers["Authorization"] == "Basic " + base64.b64encode(f"operator:{PASSWORD}".encode()).decode()
    assert headers["X-One"] == "1"
    assert headers["X-Key"] == "secret-of-a-header"
    assert headers["Sec-WebSocket-Protocol"] == "chat, second"
    assert result["subprotocol"] == "chat"


def test_without_an_origin_none_is_sent(probe: Run, plain: Echo) -> None:
    probe(f"ws://127.0.0.1:{plain.port}/")
    assert "Origin" not in plain.headers
    assert "Cookie" not in plain.headers


def test_no_output_holds_a_secret_even_when_the_server_tells_it(probe: Run, plain: Echo) -> None:
    result = probe(
        f"ws://127.0.0.1:{plain.port}/?key=in-the-query",
        token=TOKEN,
        username="operator",
        password=PASSWORD,
        secret_headers={"X-Key": "secret-of-a-header"},
        text="headers?",
    )
    encoded = base64.b64encode(f"operator:{PASSWORD}".encode()).decode()
    assert "Authorization" in result["reply"]
    for secret in (TOKEN, PASSWORD, encoded, "secret-of-a-header"):
        assert secret not in result.text


@pytest.fixture
def registered_secrets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible as it is from 2.22 on: it hides the values of no_log options, and nothing that a module adds to them."""

    def values(module: AnsibleModule) -> set[str]:
        return set(module.validation_result._no_log_values) if hasattr(module, "validation_result") else set()

    monkeypatch.setattr(AnsibleModule, "no_log_values", property(values, lambda _module, _value: None), raising=False)


def test_a_decodable_form_of_a_secret_is_hidden_by_the_module_itself(
    probe: Run, plain: Echo, registered_secrets_alone: None
) -> None:
    password, key = 'quoted "password"', 'quoted "key"'
    encoded = base64.b64encode(f"operator:{password}".encode()).decode()
    result = probe(
        f"ws://127.0.0.1:{plain.port}/",
        username="operator",
        password=password,
        secret_headers={"X-Key": key},
        text="headers?",
    )
    assert "Authorization" in result["reply"] and "X-Key" in result["reply"]
    for secret in (encoded, json.dumps(key)[1:-1], password, key):
        assert secret not in result["reply"] and json.dumps(secret)[1:-1] not in result.text


def test_a_failure_that_quotes_the_server_holds_no_secret(probe: Run, registered_secrets_alone: None) -> None:
    encoded = base64.b64encode(f"operator:{PASSWORD}".encode())

    def answer(head: bytes) -> bytes:
        return switching(accept_key(head)).replace(b"Upgrade: websocket", b"Upgrade: " + encoded)

    quoting = answering(answer, until_gone)
    with scripted(quoting) as port:
        result = probe(f"ws://127.0.0.1:{port}/", username="operator", password=PASSWORD)
    assert result["failed"] and "Upgrade" in result["msg"]
    assert encoded.decode() not in result.text


def test_an_encoded_token_is_sent_as_it_is_and_shown_in_no_form(
    probe: Run, plain: Echo, registered_secrets_alone: None
) -> None:
    encoded = base64.b64encode(TOKEN.encode()).decode()
    result = probe(f"ws://127.0.0.1:{plain.port}/", encoded_token=encoded, text="headers?")
    assert plain.headers["Cookie"] == f"AUTH={TOKEN}"
    assert "Cookie" in result["reply"]
    assert TOKEN not in result.text and encoded not in result.text


def test_what_ansible_takes_for_secret_leaves_an_encoded_token_showable() -> None:
    # From 2.22 on it replaces these values in whatever a play shows later, and a play may show its token on purpose.
    arguments = {"url": "ws://host/", "encoded_token": base64.b64encode(TOKEN.encode()).decode()}
    hidden = ArgumentSpecValidator(wss_probe.argument_spec()).validate(arguments)._no_log_values
    assert hidden and not any(value in TOKEN for value in hidden)


def test_a_failure_holds_no_secret_and_no_query(probe: Run) -> None:
    with scripted(answering(lambda _head: b"HTTP/1.1 403 Forbidden\r\n\r\n")) as port:
        result = probe(
            f"ws://127.0.0.1:{port}/wss?key=in-the-query", token=TOKEN, username="operator", password=PASSWORD
        )
    assert TOKEN not in result.text and PASSWORD not in result.text
    assert "in-the-query" not in result["msg"]


def test_a_message_is_answered(probe: Run, plain: Echo) -> None:
    result = probe(f"ws://127.0.0.1:{plain.port}/", text="grüß dich")
    assert result["reply"] == "grüß dich"
    assert result["message_seconds"] > 0


def test_an_answer_in_fragments_is_put_together(probe: Run, plain: Echo) -> None:
    assert probe(f"ws://127.0.0.1:{plain.port}/", text="fragments?")["reply"] == "one two three"


def test_a_refusal_is_a_failure_that_tells_what_the_gate_means(probe: Run) -> None:
    with scripted(
        answering(lambda _head: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nno", until_gone)
    ) as port:
        result = probe(f"ws://127.0.0.1:{port}/wss?x=1")
    assert result["failed"]
    assert result["status"] == 403
    assert (
        result["msg"] == f"ws://127.0.0.1:{port}/wss: expected 101, got 403 Forbidden "
        "(the address, the origin or the token is not accepted)"
    )
    assert not result["upgraded"] and not result["accept_valid"]


def test_an_expected_refusal_is_a_success(probe: Run) -> None:
    with scripted(answering(lambda _head: b"HTTP/1.1 429 \r\n\r\n")) as port:
        result = probe(f"ws://127.0.0.1:{port}/", expected_status=[403, 429])
    assert "failed" not in result
    assert result["status"] == 429
    assert result["reason"] == "429 Too Many Requests (too many attempts or open sessions)"


def test_an_open_gate_is_a_failure_where_a_shut_one_is_expected(probe: Run, plain: Echo) -> None:
    result = probe(f"ws://127.0.0.1:{plain.port}/wss", expected_status=[401, 403])
    assert result["failed"]
    assert result["msg"].endswith("/wss: expected 401 or 403, got 101 (the WebSocket was opened)")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda head: switching(accept_key(head)[::-1]), id="wrong"),
        pytest.param(lambda head: switching(b""), id="empty"),
        pytest.param(
            lambda head: switching(accept_key(head), b"Sec-WebSocket-Accept: " + accept_key(head) + b"\r\n"), id="twice"
        ),
        pytest.param(lambda head: b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", id="missing"),
    ],
)
def test_a_101_with_another_accept_is_a_failure_with_all_facts(probe: Run, answer: Callable[[bytes], bytes]) -> None:
    with scripted(answering(answer, until_gone)) as port:
        result = probe(f"ws://127.0.0.1:{port}/")
    assert result["failed"]
    assert result["status"] == 101
    assert result["upgrade_seconds"] > 0
    assert not result["upgraded"] and not result["accept_valid"]
    assert "the answer is 101 with a missing or wrong Sec-WebSocket-Accept" in result["msg"]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda answer: answer.replace(b"Upgrade: websocket", b"Upgrade: h2c"), "Upgrade"),
        (lambda answer: answer.replace(b"Connection: upgrade", b"Connection: close"), "Connection"),
        (
            lambda answer: answer.replace(b"Connection:", b"Sec-WebSocket-Protocol: unasked\r\nConnection:"),
            "subprotocol",
        ),
    ],
)
def test_a_101_that_is_no_websocket_is_a_failure(probe: Run, spoilt: Callable[[bytes], bytes], reason: str) -> None:
    with scripted(answering(lambda head: spoilt(switching(accept_key(head))), until_gone)) as port:
        result = probe(f"ws://127.0.0.1:{port}/")
    assert result["failed"]
    assert result["accept_valid"] and not result["upgraded"]
    assert reason in result["msg"]


def test_a_server_that_sends_no_pong_is_a_failure_unless_no_ping_is_wanted(probe: Run) -> None:
    silent = answering(lambda head: switching(accept_key(head)), until_gone)
    with scripted(silent) as port:
        result = probe(f"ws://127.0.0.1:{port}/", timeout=2)
    assert result["failed"]
    assert result["upgraded"]
    assert result["ping_seconds"] is None
    assert result["msg"].endswith("timed out after 2 s while waiting for the pong")
    with scripted(silent) as port:
        assert probe(f"ws://127.0.0.1:{port}/", ping=False)["upgraded"]


def test_a_pong_to_something_else_does_not_count(probe: Run) -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(b"\x8a\x03own")
        until_gone(connection)

    with scripted(answering(lambda head: switching(accept_key(head)), act)) as port:
        result = probe(f"ws://127.0.0.1:{port}/", timeout=2)
    assert result["upgraded"] and result["ping_seconds"] is None


def test_frames_right_behind_the_answer_are_not_lost(probe: Run) -> None:
    with scripted(
        answering(lambda head: switching(accept_key(head)) + b"\x88\x02" + struct.pack("!H", 1013), until_gone)
    ) as port:
        result = probe(f"ws://127.0.0.1:{port}/")
    assert result["msg"].endswith("the server closed the WebSocket with 1013 while waiting for the pong")


def test_a_broken_frame_is_a_failure_that_says_so(probe: Run) -> None:
    with scripted(answering(lambda head: switching(accept_key(head)) + b"\xff\x00", until_gone)) as port:
        result = probe(f"ws://127.0.0.1:{port}/")
    assert result["failed"]
    assert "the server broke the protocol while waiting for the pong" in result["msg"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is no HTTP"),
        (b"x" * 70000, "its head does not end"),
        (b"HTTP/1.1 200 OK\r\n", "the server ended the connection while waiting for the answer"),
    ],
)
def test_an_answer_that_is_no_http_is_a_failure_that_says_so(probe: Run, answer: bytes, reason: str) -> None:
    with scripted(answering(lambda _head: answer)) as port:
        result = probe(f"ws://127.0.0.1:{port}/")
    assert result["failed"]
    assert result["status"] == -1
    assert reason in result["msg"]


def test_a_server_that_never_answers_is_given_up_in_time(probe: Run) -> None:
    with scripted(until_gone) as port:
        start = time.monotonic()
        result = probe(f"ws://127.0.0.1:{port}/", timeout=2)
        assert time.monotonic() - start < 20
    assert result["msg"].endswith("timed out after 2 s while waiting for the answer to the handshake")


def test_the_time_limit_holds_against_a_server_that_drips(probe: Run) -> None:
    def drip(connection: socket.socket) -> None:
        for _number in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    with scripted(drip) as port:
        assert "timed out after 0.5 s" in probe(f"ws://127.0.0.1:{port}/", timeout=0.5)["msg"]


def test_no_step_starts_when_the_time_has_run_out() -> None:
    late = probe_utils.Probe(parse_target("ws://127.0.0.1/"), probe_utils.Ask(), probe_utils.TlsOptions(), 2)
    late._deadline = time.monotonic() - 1
    with pytest.raises(probe_utils._Failure, match="timed out after 2 s while asking"):
        late._step("while asking")


def test_a_closed_port_is_a_failure_unless_no_answer_is_expected(probe: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = probe(f"wss://127.0.0.1:{port}/wss")
    assert (
        result["msg"]
        == f"wss://127.0.0.1:{port}/wss: expected 101, but cannot connect to 127.0.0.1:{port}: Connection refused"
    )
    assert result["connect_seconds"] is None
    assert "failed" not in probe(f"wss://127.0.0.1:{port}/", expected_status=[-1])


def test_plain_http_on_a_tls_port_is_a_failure_of_tls(probe: Run, plain: Echo) -> None:
    assert ": expected 101, but TLS failed: " in probe(f"wss://127.0.0.1:{plain.port}/")["msg"]


def test_without_the_library_it_says_what_to_install(probe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wss_probe, "WEBSOCKETS_IMPORT_ERROR", "ImportError: no")
    assert "websockets >= 13" in probe("ws://127.0.0.1:1/")["msg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "ftp://host/"}, "must look like wss://"),
        ({"url": "wss:///path"}, "must look like wss://"),
        ({"url": "wss://host:port/"}, "url is no URL"),
        ({"url": "wss://user:secret-in-url@host/"}, "use username and password"),
        ({"url": "wss://host/#part"}, "fragment"),
        ({"url": "wss://host/a b"}, "percent-encoded"),
        ({"connect_to": "[::1"}, "connect_to must be host"),
        ({"connect_to": "host:70000"}, "connect_to must be host"),
        ({"connect_to": "http://host"}, "connect_to must be host"),
        ({"token": f"{TOKEN}; x"}, "token has characters that no cookie can carry"),
        ({"token": TOKEN, "cookie_name": "a;b"}, "is no name of a cookie"),
        ({"encoded_token": TOKEN}, "encoded_token is not a token in base64"),
        ({"encoded_token": "w6k="}, "encoded_token is not a token in base64"),
        ({"token": TOKEN, "encoded_token": "YQ=="}, "mutually exclusive"),
        ({"headers": {"X-A": f"{TOKEN}\r\nX-B: 1"}}, "the value of the header 'X-A'"),
        ({"headers": {"X A": "1"}}, "'X A' is no name of a header"),
        ({"headers": {"Upgrade": "h2c"}}, "made by the handshake itself"),
        ({"secret_headers": {"Authorization": "Bearer x"}, "username": "a"}, "made by the handshake itself"),
        ({"username": "a:b"}, "colon"),
        ({"timeout": 0}, "timeout must be more"),
        ({"timeout": "nan"}, "timeout must be more"),
        ({"expected_status": []}, "at least one status"),
        ({"password": PASSWORD}, "username"),
        (
            {"url": "wss://127.0.0.1:1/", "ca_path": "/nonexistent.pem"},
            "ca_path '/nonexistent.pem' cannot be used: No such file",
        ),
    ],
)
def test_bad_input_gets_one_clear_error(probe: Run, arguments: dict[str, Any], words: str) -> None:
    result = probe(**{"url": "ws://127.0.0.1:1/", **arguments})
    assert result["failed"]
    assert words in result["msg"]
    for secret in (TOKEN, PASSWORD, "secret-in-url"):
        assert secret not in result["msg"]


def test_an_authorization_header_of_ones_own_may_be_sent() -> None:
    assert build_headers({"Authorization": "Bearer x"}, "AUTH", None, None, None) == (("Authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("url", "connect_to", "secure", "host", "port", "address"),
    [
        ("wss://host/x", None, True, "host", 443, "host:443"),
        ("https://host:8443", None, True, "host", 8443, "host:8443"),
        ("http://host/", None, False, "host", 80, "host:80"),
        ("wss://[2001:db8::1]/", None, True, "2001:db8::1", 443, "[2001:db8::1]:443"),
        ("wss://host:8443/", "192.0.2.1", True, "host", 8443, "192.0.2.1:8443"),
        ("wss://host/", "[2001:db8::1]:1", True, "host", 443, "[2001:db8::1]:1"),
    ],
)
def test_the_url_says_what_to_ask_and_connect_to_where(
    url: str, connect_to: str | None, secure: bool, host: str, port: int, address: str
) -> None:
    target = parse_target(url, connect_to)
    assert (target.secure, target.host, target.port, target.address) == (secure, host, port, address)


def test_a_url_without_a_path_asks_for_the_root() -> None:
    assert parse_target("wss://host").resource == "/"
    assert parse_target("wss://host?a=1").resource == "/?a=1"


def test_attributes_that_occur_twice_are_joined() -> None:
    facts = facts_of_verified(
        {
            "subject": ((("organizationalUnitName", "one"),), (("organizationalUnitName", "two"),)),
            "issuer": (),
            "notAfter": "Jan  2 00:00:00 2026 GMT",
        },
        now=1767225600 + 1,
    )
    assert facts == {
        "subject": {"organizationalUnitName": "one, two"},
        "issuer": {},
        "subject_alt_names": [],
        "not_after": "2026-01-02T00:00:00Z",
        "days_left": 0,
    }


def test_a_certificate_that_nobody_can_parse_has_no_facts() -> None:
    assert facts_of_der(b"no certificate", 0) is None


def test_nothing_a_network_does_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(socket, "create_connection", fail)
    outcome = probe_utils.probe(parse_target("ws://a..b/"), probe_utils.Ask(), probe_utils.TlsOptions(), 1)
    assert outcome.reason == "cannot connect to a..b:80: label empty or too long"


def test_what_is_not_to_be_shown_is_not_in_a_repr() -> None:
    ask = probe_utils.Ask(headers=build_headers({}, "AUTH", TOKEN, None, None))
    assert TOKEN not in repr(ask)


def test_a_token_may_go_in_authorization_which_is_there_once() -> None:
    assert build_headers({"Cookie": "a=1"}, "AUTH", TOKEN, None, None, "bearer") == (
        ("Authorization", f"Bearer {TOKEN}"),
        ("Cookie", "a=1"),
    )
    for headers, username in (({"authorization": "x"}, None), ({}, "operator")):
        with pytest.raises(probe_utils.ProbeArgumentError, match="drop the other"):
            build_headers(headers, "AUTH", TOKEN, username, "", "bearer")
    with pytest.raises(probe_utils.ProbeArgumentError, match="characters"):
        build_headers({}, "AUTH", TOKEN + " x", None, None, "bearer")


def test_a_cookie_needs_no_more_than_one_header_line() -> None:
    assert build_headers({"Cookie": "a=1", "cookie": "b=2"}, "AUTH", TOKEN, None, None) == (
        ("Cookie", f"a=1; b=2; AUTH={TOKEN}"),
    )


def test_an_error_in_arguments_names_no_value() -> None:
    with pytest.raises(ProbeArgumentError) as error:
        build_headers({"X-Key": "secret\n"}, "AUTH", None, None, None)
    assert "secret" not in str(error.value)
