# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake import check
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake.answer import NO_ANSWER, answer

NOW = crypto.utc_now()


class Gate:
    """A listener that lets in whoever has the cookie, from the right page."""

    def __init__(self, folder: Path, tls: bool = True, proxy_protocol: bool = False) -> None:
        key = crypto.new_key("P-256")
        certificate = crypto.new_certificate(key.public_key(), ["DNS:wcs.example.com"], "wcs", 90, NOW, key)
        self.certificate_path, self.key_path = folder / "fullchain.pem", folder / "privkey.pem"
        self.certificate_path.write_bytes(crypto.certificate_pem(certificate))
        self.key_path.write_bytes(crypto.key_pem(key))
        self.key_path.chmod(0o600)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(str(self.certificate_path), str(self.key_path))
        self.tls, self.proxy_protocol = tls, proxy_protocol
        self.lines: t.List[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = check.Address(
            "127.0.0.1", self.listener.getsockname()[1], "wcs.example.com", tls, proxy_protocol
        )
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                raw, _address = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), raw:
                raw.settimeout(5)
                line = b""
                while self.proxy_protocol and not line.endswith(b"\r\n"):
                    line += raw.recv(1)
                self.lines.append(line)
                if self.proxy_protocol and not line.startswith(b"PROXY TCP4 "):
                    continue
                connection = self.context.wrap_socket(raw, server_side=True) if self.tls else raw
                connection.sendall(self.reply(connection.recv(4096).decode("latin-1")))
                connection.close()

    def stop(self) -> None:
        # close() alone does not wake the thread that waits for a connection
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @staticmethod
    def reply(request: str) -> bytes:
        if request.startswith("GET /garbage "):
            return b"SSH-2.0-OpenSSH\r\n"
        is_right = (
            "Upgrade: websocket" in request
            and "Origin: https://app.example.com" in request
            and "Host: wcs.example.com" in request
        )
        has_token = "Cookie: AUTH=token" in request or "Authorization: Bearer token" in request
        return b"HTTP/1.1 %d x\r\n\r\n" % (101 if is_right and has_token else 403)


@pytest.fixture(params=[(True, False), (False, False), (True, True)], ids=["tls", "plain", "proxy_protocol"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[Gate]:
    made = Gate(tmp_path, *request.param)
    yield made
    made.stop()


@pytest.fixture
def tls_gate(tmp_path: Path) -> t.Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.stop()


def test_a_handshake_is_answered_with_and_without_a_token(gate: Gate) -> None:
    assert answer(gate.address, "/wss", 5, "https://app.example.com") == 403
    assert answer(gate.address, "/wss", 5, "https://app.example.com", "AUTH=token") == 101
    assert answer(gate.address, "/wss", 5, "https://app.example.com", "", "Bearer token") == 101


def test_the_address_is_the_one_that_the_gate_sees_and_is_told(gate: Gate) -> None:
    assert check.client_address(gate.address, 5) == "127.0.0.1"
    answer(gate.address, "/wss", 5)
    if gate.proxy_protocol:
        kind, source, host, source_port, port = gate.lines[-1].decode().split()[1:]
        assert (kind, source, host, int(port)) == ("TCP4", "127.0.0.1", "127.0.0.1", gate.address.port)
        assert int(source_port) > 1
    gate.stop()
    assert check.client_address(gate.address, 1) is None


def test_what_is_no_answer_is_told_from_one(tls_gate: Gate) -> None:
    assert answer(tls_gate.address, "/garbage", 5) == NO_ANSWER
    tls_gate.stop()
    assert answer(tls_gate.address, "/wss", 1) == NO_ANSWER
    assert check.tls_versions(tls_gate.address, 1) == []
    assert check.served_fingerprints(tls_gate.address, 1) == []


def test_the_versions_of_tls_are_those_that_it_speaks(tls_gate: Gate) -> None:
    assert check.tls_versions(tls_gate.address, 5) == ["TLSv1.2", "TLSv1.3"]
    tls_gate.context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert check.tls_versions(tls_gate.address, 5) == ["TLSv1.2"]


@pytest.mark.parametrize(
    ("curve", "group"),
    [("X25519", "x25519"), ("prime256v1", "secp256r1"), ("secp384r1", "secp384r1"), ("secp521r1", None)],
)
def test_the_group_of_the_key_exchange_is_the_one_that_the_server_chooses(
    tls_gate: Gate, curve: str, group: str
) -> None:
    try:
        tls_gate.context.set_ecdh_curve(curve)
    except ssl.SSLError:
        # Older Pythons make a key of the curve first, which that one is not for.
        if curve != "X25519":
            raise
        pytest.skip("this Python's servers do not know X25519 by name")
    assert check.key_exchange_group(tls_gate.address, 5) == group


def test_a_group_is_told_through_the_proxy_protocol_and_of_tls_1_3_alone(gate: Gate) -> None:
    gate.context.set_ecdh_curve("secp384r1")
    assert check.key_exchange_group(gate.address, 2) == ("secp384r1" if gate.tls else None)
    gate.context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert check.key_exchange_group(gate.address, 2) is None
    gate.stop()
    assert check.key_exchange_group(gate.address, 2) is None


def test_a_certificate_that_clients_get_is_told_from_another(tls_gate: Gate, tmp_path: Path) -> None:
    served = check.served_fingerprints(tls_gate.address, 5)
    paths = str(tls_gate.certificate_path), str(tls_gate.key_path)
    found = check.certificate(*paths, ["wcs.example.com"], served, NOW)
    assert (found["served"], found["problems"], found["days_left"]) == (True, [], 89)
    (tmp_path / "other").mkdir()
    other = Gate(tmp_path / "other")
    other.stop()
    assert check.certificate(str(other.certificate_path), str(other.key_path), [], served, NOW)["served"] is False


def test_what_is_wrong_with_a_certificate_is_told(tls_gate: Gate) -> None:
    paths = str(tls_gate.certificate_path), str(tls_gate.key_path)
    assert "is not for DNS:b.example.com" in check.certificate(*paths, ["b.example.com"], [], NOW)["problems"][0]
    tls_gate.certificate_path.unlink()
    assert check.certificate(*paths, [], [], NOW)["problems"] == [
        f"{paths[0]} cannot be read: No such file or directory"
    ]


def test_an_authority_of_clients_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert check.client_authority(str(tmp_path / "ca.pem"), "", NOW)["problems"] == [
        f"{tmp_path}/ca.pem cannot be read: No such file or directory"
    ]
