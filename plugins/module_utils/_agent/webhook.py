# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One POST to an application, signed as Standard Webhooks does it. It takes no longer than it may."""

from __future__ import annotations

import base64
import hashlib
import hmac
import typing as t

from .._host import http_client
from .._host.http_client import RequestError

# Bytes of an answer that are read, so that the connection can be used again.
ANSWER_LIMIT = 1 << 16


class DeliveryError(RequestError):
    """The application did not take it; the text says why and holds nothing of what was sent."""


def sign(secret: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """The value of header webhook-signature."""
    signed = b"%s.%d.%s" % (identity.encode("ascii"), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode("ascii")


class Connection(http_client.Connection):
    """A connection to the application."""

    def post(self, body: bytes, headers: t.Mapping[str, str], until: float) -> None:
        """Send it; return once the application has answered with 2xx. ``until`` is of the monotonic clock."""
        try:
            status = self.request("POST", headers, until, ANSWER_LIMIT, body).status
        except RequestError as error:
            raise DeliveryError(str(error)) from None
        if 300 <= status < 400:
            raise DeliveryError(f"answers with a redirect ({status}), which is not followed")
        if not 200 <= status < 300:
            raise DeliveryError(f"answers with {status}")
