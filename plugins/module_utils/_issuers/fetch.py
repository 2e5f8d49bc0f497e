# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches a key set: TLS is verified, no redirect is followed, and time and size are bounded."""

from __future__ import annotations

import re
import ssl
import time
import typing as t

from .._host import files
from .._host.endpoint import UrlError, parse_url
from .._host.error import HostError, reason
from .._host.http_client import Connection, RequestError
from .jwk import KeyProblemError, read_set
from .key_sets import Known, Source, accepted

SIZE_LIMIT = 256 << 10
# Seconds that all of it may take, but for the system's look-up of a name
TIME_LIMIT = 10.0
ETAG = re.compile(r'(W/)?"[!#-~]{0,1000}"\Z')
AUTHORITIES_LIMIT = 4 << 20


class FetchError(HostError):
    """A set that could not be fetched. The text says from where and why."""


def fetch(source: Source, known: t.Optional[Known]) -> Known:
    """Return what is known after a fetch.

    Raise FetchError where there is none, and KeyProblemError for a set that may not be taken.
    """
    endpoint = parse_url(source.url, "jwks_url", ("https",))
    before = known if known is not None and known.url == source.url and known.keys else None
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "wssgate",
    }
    if before is not None and before.etag:
        headers["If-None-Match"] = before.etag
    try:
        connection = Connection(endpoint, authorities(source.ca_path))
        try:
            until = time.monotonic() + TIME_LIMIT
            answer = connection.request("GET", headers, until, SIZE_LIMIT + 1)
        finally:
            connection.close()
    except RequestError as error:
        raise FetchError(f"{endpoint.shown} {error}") from None
    now = time.time()
    if answer.status == 304 and before is not None:
        leaving = tuple((key, min(until, now + source.grace)) for key, until in before.leaving if until > now)
        return before._replace(fetched_at=now, leaving=leaving, problem="", failing_since=0.0, is_refused=False)
    if 300 <= answer.status < 400:
        raise FetchError(f"{endpoint.shown} answers with a redirect ({answer.status}), which is not followed")
    if answer.status != 200:
        raise FetchError(f"{endpoint.shown} answers with {answer.status}")
    if len(answer.body) > SIZE_LIMIT:
        raise FetchError(f"{endpoint.shown} answers with more than {SIZE_LIMIT >> 10} KiB")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError(f"{endpoint.shown} answers in an encoding that was not asked for")
    try:
        text = answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise FetchError(f"{endpoint.shown} answers with what is no text") from None
    if text.lstrip()[:1] != "{":
        raise FetchError(f"{endpoint.shown} answers with what is no JSON Web Key Set")
    etag = answer.headers.get("etag", "")
    try:
        return accepted(source, before, read_set(text, leaves_out=True), etag if ETAG.match(etag) else "", now)
    except KeyProblemError as error:
        raise KeyProblemError(f"the key set of {endpoint.shown} is not taken: {error}") from None


def authorities(path: str) -> str:
    """The certificates, in PEM, of the authorities that count; empty for those of the system."""
    if not path:
        return ""
    try:
        data = files.read(path, AUTHORITIES_LIMIT, follow=True)
    except OSError as error:
        raise FetchError(f"jwks_ca_path {path} cannot be read: {reason(error)}") from None
    if data is None:
        raise FetchError(f"jwks_ca_path {path} is not on this host")
    try:
        text = data.decode("ascii")
        ssl.create_default_context(cadata=text)
    except (ValueError, ssl.SSLError):
        raise FetchError(f"jwks_ca_path {path} holds no certificates in PEM") from None
    return text


def failed(source: Source, known: t.Optional[Known], error: HostError, now: float) -> Known:
    """What is known once a fetch has failed: what was known, and why it did."""
    before = known if known is not None and known.url == source.url else Known(source.url)
    return before._replace(
        # In a status line problems are told apart by this.
        problem=str(error).replace("; ", ", "),
        failing_since=before.failing_since or now,
        is_refused=isinstance(error, (KeyProblemError, UrlError)),
    )
