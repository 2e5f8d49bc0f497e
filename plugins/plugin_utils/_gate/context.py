# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known around the servers, and what has been found while they are read."""

from __future__ import annotations

import re
import typing as t

from .._problems import Problems
from .options import CONTEXT_DEFAULTS, TLS_PROFILES
from .patterns import BALANCER, FILE_PATH, HEADER_NAME, UNIX_PATH_MAX_BYTES, is_plain

# Headers to the upstream that the gate sets itself, where a second one of the name would contradict it, and those that
# a handshake is made of.
GATE_HEADERS = (
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-original-uri",
    "x-real-ip",
)


# /var/lib/revoked, and not /var/lib.
OWN_FOLDER_DEPTH = 3
# Bytes that a session may hold each way for messages, at least and at most
MESSAGE_BUFFER = (1024, 1048576)


class Gate:
    """One reading of the operator's servers: the context, all that is wrong, and what the servers share."""

    def __init__(self, context: t.Any) -> None:
        self.problems = Problems()
        # What works and is seldom meant.
        self.warnings: t.List[str] = []
        self.context = self._read_context(context)
        self.certificates = self._named("certificates", "name")
        self.htpasswd_files = self._named("htpasswd_files", "path")
        self.upstreams: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.issuers: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.cookies: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.origins: t.List[t.Dict[str, t.Any]] = []
        self.addresses: t.List[t.Dict[str, t.Any]] = []
        self.zones: t.List[t.Dict[str, t.Any]] = []
        self.upstream_headers: t.List[t.Dict[str, t.Any]] = []
        self.readings: t.List[t.Dict[str, t.Any]] = []
        self.redirect_addresses: t.List[str] = []
        self.servers: t.List[t.Dict[str, t.Any]] = []
        self.metrics: t.Optional[t.Dict[str, t.Any]] = None
        self._alike: t.Dict[t.Tuple[str, t.Hashable], str] = {}

    def _read_context(self, given: t.Any) -> t.Dict[str, t.Any]:
        where = "wss_proxy"
        context = self.problems.options(where, given, CONTEXT_DEFAULTS)
        for key in (
            "token_store_path",
            "nginx_directory",
            "certificates_directory",
            "ca_bundle_path",
            "access_log_path",
            "session_log_path",
            "acme_webroot",
            "drain_path",
            "hub_marker_path",
            "revocations_path",
            "jwt_socket_path",
        ):
            context[key] = self.path(where, key, context[key])
        for item in self.problems.items(where, "balancers", context["balancers"]):
            self.problems.matches(where, "balancers", item, BALANCER, "a balancer's address, or the name of one")
        self._check_own_folders(where, context)
        if context["drain_path"].startswith("/root/"):
            self.problems.add(
                where,
                f"drain_path {context['drain_path']!r} is in root's own folder, where nginx's workers see nothing; "
                "choose another",
            )
        for key in ("ipv6", "http_redirect_enabled"):
            context[key] = self.problems.flag(where, key, context[key])
        for key, low, high in (
            ("drain_retry_after", 1, 86400),
            ("buffer_size", *MESSAGE_BUFFER),
            ("tls_tickets", 0, 10),
        ):
            context[key] = self.problems.number(where, key, context[key], low, high)
        context["tls_profile"] = self.problems.choice(where, "tls_profile", context["tls_profile"], TLS_PROFILES)
        return context

    def _check_own_folders(self, where: str, context: t.Mapping[str, t.Any]) -> None:
        """The role makes these folders, and keeps others out of them: they must be nobody else's."""
        self.unix_path(where, context["jwt_socket_path"])
        if "wssgate" not in context["jwt_socket_path"].split("/")[-2:][0]:
            self.problems.add(
                where,
                f"jwt_socket_path {context['jwt_socket_path']!r} is in a folder that is not the gate's own; have "
                "wssgate in the folder's name, such as /run/wssgate/jwt.sock",
            )
        if not is_plain(context["revocations_path"]) or context["revocations_path"].count("/") < OWN_FOLDER_DEPTH:
            self.problems.add(
                where,
                f"revocations_path {context['revocations_path']!r} is no folder of its own; name one such as "
                "/var/lib/nginx/revoked",
            )

    def _named(self, key: str, name: str) -> t.Dict[str, t.Any]:
        """What another role puts on the host, by name. That role checks the entries, here they are only looked up."""
        items = self.problems.items("wss_proxy", key, self.context[key])
        return {str(item[name]): item for item in items if isinstance(item, t.Mapping) and item.get(name)}

    def alike(self, kind: str, content: t.Hashable, name: str) -> str:
        """The name of the first of this kind with the same content, which may be this one.

        A session keeps 16 bytes for each variable that the configuration has, whether it uses it or not: what is alike
        has one of them.
        """
        return self._alike.setdefault((kind, content), name)

    def version(self) -> t.Tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"[0-9]+", str(self.context["nginx_version"]))[:3])

    def has_http2_directive(self) -> bool:
        return self.version() >= (1, 25, 1)

    def path(self, where: str, key: str, value: t.Any) -> str:
        """An absolute path, or none."""
        return self.problems.optional(
            where, key, value, FILE_PATH, "an absolute path of letters, digits and . _ @ + , = : / -"
        ).rstrip("/")

    def unix_path(self, where: str, path: str) -> None:
        length = len(path.encode())
        if length > UNIX_PATH_MAX_BYTES:
            self.problems.add(
                where, f"the unix socket's path is {length} bytes long; the system takes {UNIX_PATH_MAX_BYTES} at most"
            )
        if not is_plain(path):
            # Two spellings of one socket would pass for two.
            self.problems.add(
                where, f"the unix socket's path {path!r} has an empty, '.' or '..' part in it; write it without"
            )

    def header(self, where: str, key: str, value: t.Any) -> str:
        name = self.problems.matches(where, key, value, HEADER_NAME, "a header's name")
        if name.lower() in GATE_HEADERS:
            self.problems.add(
                where, f"{key} {name!r} is a header that the gate or the handshake itself sets; name another"
            )
        return name
