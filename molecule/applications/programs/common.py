# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Python clients share: where to, who they are, and the lines that the tests read.

Environment: URL; CA, the certificate to trust; TOKEN or BEARER, the token as a cookie or as a header; ORIGIN.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
from typing import Any, NoReturn
from urllib.parse import urlsplit

URL = urlsplit(os.environ["URL"])
CA = os.environ["CA"]
ORIGIN = os.environ.get("ORIGIN")
# `work` does all there is to do; `hold` connects and waits for the connection's end.
MODE = sys.argv[1]

# A client that nobody waits for any more leaves.
signal.alarm(180)


def headers() -> dict[str, str]:
    found = {}
    if "TOKEN" in os.environ:
        found["Cookie"] = f"AUTH={os.environ['TOKEN']}"
    if "BEARER" in os.environ:
        found["Authorization"] = f"Bearer {os.environ['BEARER']}"
    if ORIGIN:
        found["Origin"] = ORIGIN
    return found


def tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CA)


def tell(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def finish(event: str, **facts: Any) -> NoReturn:
    """For a client whose library has threads or tasks of its own, which would keep it."""
    tell(event, **facts)
    os._exit(0)
