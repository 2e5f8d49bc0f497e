# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which application is asked before sessions are ended: the options, and the file that the agent has them from.

The file holds a secret, so it is root's alone, and the command line, the unit and the logs have nothing of it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import typing as t

from .._host import endpoint, files
from .._host.endpoint import Endpoint, UrlError
from .._host.error import HostError

STATE = "/var/lib/wssgate-agent"
NAME = "settings.json"
LONGEST_GRACE = 60
# What Standard Webhooks asks of a secret for HMAC-SHA256
KEY_PREFIX = "whsec_"
KEY_BYTES = (24, 64)
# sun_path of a unix socket, with the zero at its end
SOCKET_PATH_LIMIT = 107
# What ProtectHome= and PrivateTmp= of the unit hide
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_PATH = re.compile(r"/[!-~]*\Z")


class NotifyError(HostError):
    """What is wrong with the options of notifications. It holds no key."""


class Notify(t.NamedTuple):
    """The application, the secret shared with it, and the seconds that it has."""

    url: str
    key: str
    grace: int = 0
    ca: str = ""  # certificates of the authorities that count, in PEM; empty for those of the system

    @property
    def endpoint(self) -> Endpoint:
        return parse_url(self.url)

    @property
    def secret(self) -> bytes:
        return parse_key(self.key)

    def check(self) -> None:
        """Raise NotifyError for what cannot work."""
        parse_url(self.url)
        parse_key(self.key)
        if not 0 <= self.grace <= LONGEST_GRACE:
            raise NotifyError(f"notify_grace must be 0 to {LONGEST_GRACE} seconds, not {self.grace}")
        if self.ca and not self.endpoint.is_tls:
            raise NotifyError("notify_ca_path is for a notify_url that begins with https://: leave it out")


def parse_url(url: str) -> Endpoint:
    """Return what a URL names. Messages hold nothing of it, as there may be a secret in it."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ("http", "https"):
        raise NotifyError("notify_url must begin with http:// or https://, or with http://unix:/ for a unix socket")
    if rest.startswith("unix:"):
        return _parse_unix(scheme, rest[len("unix:") :])
    if "@" in rest.partition("/")[0]:
        raise NotifyError("notify_url must hold no user and no password: what is sent is signed with notify_key")
    try:
        return endpoint.parse_url(url, "notify_url")
    except UrlError as error:
        raise NotifyError(str(error)) from None


def _target(text: str) -> str:
    try:
        return endpoint.parse_target(text, "notify_url")
    except UrlError as error:
        raise NotifyError(str(error)) from None


def _parse_unix(scheme: str, rest: str) -> Endpoint:
    if scheme != "http":
        raise NotifyError("notify_url with a unix socket must begin with http://: there is no TLS on it")
    path, _colon, target = rest.partition(":")
    if not _PATH.match(path) or path == "/" or ".." in path.split("/"):
        raise NotifyError(
            "notify_url must have the absolute path of a socket after unix:, such as http://unix:/run/a.sock"
        )
    if len(path) > SOCKET_PATH_LIMIT:
        raise NotifyError(f"notify_url: the path of a socket has {SOCKET_PATH_LIMIT} characters at most")
    if is_hidden(path):
        raise NotifyError(f"notify_url: the agent may not look below {', '.join(HIDDEN)}: put the socket below /run")
    return Endpoint("localhost", 0, _target(target), socket=path)


def is_hidden(path: str) -> bool:
    """Whether a path is where the agent may not look."""
    return any(path == one or path.startswith(one + "/") for one in HIDDEN)


def parse_key(key: str) -> bytes:
    """Return the bytes of a secret as Standard Webhooks writes it: whsec_ and base64."""
    how = f"{KEY_PREFIX} and the base64 of {KEY_BYTES[0]} to {KEY_BYTES[1]} random bytes"
    if not key.startswith(KEY_PREFIX):
        raise NotifyError(f"notify_key must be {how}")
    try:
        secret = base64.b64decode(key[len(KEY_PREFIX) :].encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise NotifyError(f"notify_key must be {how}; what follows {KEY_PREFIX} is no base64") from None
    if not KEY_BYTES[0] <= len(secret) <= KEY_BYTES[1]:
        raise NotifyError(f"notify_key must be {how}, not of {len(secret)}")
    return secret


# The file


def text_of(store: str, notify: Notify) -> str:
    """What the file holds."""
    return json.dumps({"store": store, "notify": notify._asdict()}, indent=2) + "\n"


def shown(text: t.Optional[str], other: t.Optional[str]) -> str:
    """The file as a diff may show it, beside what it was or shall be."""
    if text is None:
        return ""
    lines = {**_fields(text)}
    key = lines.pop("key", "")
    is_same = other is None or _fields(other).get("key") == key
    ca = lines.pop("ca", "")
    words = [f"{name}: {lines[name]}" for name in ("store", "grace") if name in lines]
    with contextlib.suppress(NotifyError):
        words.append(f"application: {parse_url(str(lines.get('url'))).shown}")
    if ca:
        words.append(f"authorities: {str(ca).count('BEGIN CERTIFICATE')}")
    words.append("key: hidden" if is_same else "key: hidden, another one")
    return "".join(word + "\n" for word in words)


def _fields(text: str) -> t.Dict[str, t.Any]:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        document = json.loads(text)
        return {"store": document["store"], **document["notify"]}
    return {}


def load(folder: str = STATE) -> t.Optional[t.Tuple[str, Notify]]:
    """The store and the application that the agent is told of; None where it is told of none."""
    data = files.read(os.path.join(folder, NAME))
    if data is None:
        return None
    try:
        document = json.loads(data.decode("utf-8"))
        found = document["notify"]
        notify = Notify(str(found["url"]), str(found["key"]), int(found["grace"]), str(found["ca"]))
        notify.check()
        return str(document["store"]), notify
    except (ValueError, KeyError, TypeError):
        raise NotifyError(f"{folder}/{NAME} cannot be read: run wssgate.nginx.site") from None


def grace_of(store: str, folder: str = STATE) -> int:
    """Seconds that an application has to close sessions of this store by itself before the agent has them closed."""
    with contextlib.suppress(OSError, HostError):
        found = load(folder)
        if found is not None and os.path.normpath(found[0]) == os.path.normpath(store):
            return found[1].grace
    return 0
