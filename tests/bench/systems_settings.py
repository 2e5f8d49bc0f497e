# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings tried on a copy of the gate, one at a time: what is looked for in its files, and what replaces it."""

from __future__ import annotations

from dataclasses import dataclass, field

# Where a directive of the server is added: after one that each copy has.
SERVER = r"(?<=    )request_pool_size [^;]*;"
EVENTS = r"(?<=    )worker_connections ([^;]*);"
MAIN = r"(?m)^worker_processes 1;"


@dataclass(frozen=True)
class Setting:
    """One of them. `changes` are regular expressions and what they become, `environment` is nginx's."""

    title: str
    changes: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def server(directives: str) -> list[tuple[str, str]]:
    """The same server with directives on top of its own."""
    return [(SERVER, rf"\g<0> {directives}")]


def changed(directive: str, value: str) -> list[tuple[str, str]]:
    """The same with another value of a directive, wherever it stands."""
    return [(rf"(?<= ){directive} [^;]*;|(?m:^){directive} [^;]*;", f"{directive} {value};" if value else "")]


def buffers(size: int) -> list[tuple[str, str]]:
    """What `message_buffer_size` of so many bytes renders, in each location."""
    return [(r"\n +proxy_buffers [^;]*;", ""), *changed("proxy_buffer_size", f"{size}; proxy_buffers 8 {size}")]


def tunable(name: str, value: int) -> dict[str, str]:
    """A setting of the C library for its memory (glibc.malloc)."""
    return {"GLIBC_TUNABLES": f"glibc.malloc.{name}={value}"}


#: For the memory of an idle session.
MEMORY = [
    Setting("the gate as the roles make it"),
    Setting("`ssl_ecdh_curve X25519`: no ML-KEM offered", changed("ssl_ecdh_curve", "X25519")),
    Setting("`ssl_session_tickets off`", server("ssl_session_tickets off;")),
    Setting("`ssl_session_cache none`", changed("ssl_session_cache", "none")),
    Setting("`ssl_protocols TLSv1.3` alone", changed("ssl_protocols", "TLSv1.3")),
    Setting(
        "one cipher for each version of TLS",
        [
            *changed("ssl_ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            *server("ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"),
        ],
    ),
    Setting("`ssl_conf_command Options KTLS`: the kernel encrypts", server("ssl_conf_command Options KTLS;")),
    Setting("`ssl_buffer_size 512`", changed("ssl_buffer_size", "512")),
    Setting("`ssl_buffer_size 4k`", changed("ssl_buffer_size", "4k")),
    Setting("`ssl_buffer_size 16k`, nginx's default", changed("ssl_buffer_size", "16k")),
    Setting("`request_pool_size 1536`", changed("request_pool_size", "1536")),
    Setting("`request_pool_size 2k`", changed("request_pool_size", "2k")),
    Setting("`request_pool_size 3k`", changed("request_pool_size", "3k")),
    Setting("`request_pool_size 4k`, nginx's default", changed("request_pool_size", "4k")),
    Setting("`connection_pool_size 512`, nginx's default", changed("connection_pool_size", "512")),
    Setting("`client_header_buffer_size 512`", server("client_header_buffer_size 512;")),
    Setting("`message_buffer_size: 8192`", buffers(8192)),
    Setting("`message_buffer_size: 12288`", buffers(12288)),
    Setting("`message_buffer_size: 16384`, as `large`", buffers(16384)),
    Setting("`MALLOC_ARENA_MAX=1`", environment={"MALLOC_ARENA_MAX": "1"}),
    Setting("`glibc.malloc.tcache_count=0`", environment=tunable("tcache_count", 0)),
    Setting("`glibc.malloc.top_pad=0`", environment=tunable("top_pad", 0)),
    Setting("`glibc.malloc.mmap_threshold=65536`", environment=tunable("mmap_threshold", 65536)),
]

#: For the CPU of a message.
MESSAGE = [
    Setting("the gate as the roles make it"),
    Setting("`tcp_nopush off`", changed("tcp_nopush", "off")),
    Setting("`sendfile off`", changed("sendfile", "off")),
    Setting("`listen … rcvbuf=256k sndbuf=256k`", [(r"(listen 127[^;]*) ssl;", r"\1 ssl rcvbuf=256k sndbuf=256k;")]),
    Setting("`listen … reuseport`", [(r"(listen 127[^;]*) ssl;", r"\1 ssl reuseport;")]),
    Setting("`multi_accept on`", [(EVENTS, r"\g<0> multi_accept on;")]),
    Setting("`worker_cpu_affinity 10`", [(MAIN, r"\g<0> worker_cpu_affinity 10;")]),
    Setting("`ssl_conf_command Options KTLS`", server("ssl_conf_command Options KTLS;")),
    Setting("`message_buffer_size: 8192`", buffers(8192)),
    Setting("`message_buffer_size: 12288`", buffers(12288)),
    Setting("`message_buffer_size: 16384`, as `large`", buffers(16384)),
    Setting("`message_buffer_size: 20480`", buffers(20480)),
]
