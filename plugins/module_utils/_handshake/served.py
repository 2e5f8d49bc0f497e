# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which certificates clients get, however bad they are. Needs nothing but Python."""

from __future__ import annotations

import contextlib
import socket
import ssl
import typing as t

# A server with an RSA and an ECDSA certificate chooses by what the client can do
_CIPHERS = ("aECDSA", "aRSA")


class Address(t.NamedTuple):
    """Where a server of the gate listens."""

    host: str
    port: int
    server_name: str
    tls: bool = True
    proxy_protocol: bool = False


def connect(address: Address, timeout: float) -> socket.socket:
    """Connect, and say who connects where the listener wants to hear that first."""
    connection = socket.create_connection((address.host, address.port), timeout=timeout)
    if address.proxy_protocol:
        # Its own address: what the gate then takes for the client's is the same, whether it trusts this host or not.
        family = "TCP6" if connection.family == socket.AF_INET6 else "TCP4"
        (source, source_port), (host, port) = connection.getsockname()[:2], connection.getpeername()[:2]
        header = f"PROXY {family} {plain_address(source)} {plain_address(host)} {source_port} {port}\r\n"
        connection.sendall(header.encode("ascii"))
    return connection


def plain_address(address: str) -> str:
    """An IPv6 address of a link has the link's name behind it, which is nothing to the other side."""
    return address.partition("%")[0]


def trusting_context() -> ssl.SSLContext:
    """Return a context that takes any certificate: what is served is looked at here, and trusted by nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def session(address: Address, timeout: float, context: ssl.SSLContext) -> t.Iterator[ssl.SSLSocket]:
    """Hold a TLS session."""
    with connect(address, timeout) as connection:
        with context.wrap_socket(connection, server_hostname=address.server_name) as tls:
            yield tls


def certificates(address: Address, timeout: float) -> t.List[bytes]:
    """Return each certificate, as DER, that clients get; none where nothing answers in TLS."""
    found: t.List[bytes] = []
    for ciphers in (*_CIPHERS, None):
        context = trusting_context()
        if ciphers is not None:
            # TLS 1.3's cipher suites do not say which certificate is wanted
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        try:
            with session(address, timeout, context) as tls:
                served = tls.getpeercert(binary_form=True)
        except (OSError, ValueError):
            continue
        if served is not None and served not in found:
            found.append(served)
    return found
