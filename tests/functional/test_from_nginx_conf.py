# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of docs/from-nginx-conf.md: the hand-written file and the gate of its inventory, on the wire."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from lib import wire
from lib.http_client import HEAD_END, receive_head, stop_listening
from lib.local_gate import LocalGate, LocalNginx, free_port, nginx_binary
from lib.processes import wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from-nginx-conf.md"
NAME = "live.example.com"
SITE = f"https://{NAME}"
BALANCER, STRANGER = "127.0.0.2", "127.0.0.9"
# What the hash of the page was made of.
USERNAME, PASSWORD = "alice", "correct horse battery staple"
NGINX_CONF = """\
user www-data;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/log/error.log warn;
events {{
    worker_connections 256;
}}
http {{
    include mime.types;
    access_log off;
    {temporary}
    include conf.d/*.conf;
}}
"""


def example() -> str:
    """The part of the page that the test goes by."""
    return PAGE.read_text(encoding="utf-8").partition("\n## A whole file\n")[2]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", example(), re.DOTALL | re.MULTILINE)
    return found


def rows(first: str) -> dict[str, tuple[str, ...]]:
    """The table with this word on top of its first column."""
    table = example().partition(f"\n| {first} |")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {name: tuple(cells) for name, *cells in lines}


class Upstream:
    """Answers an Upgrade with 101 and anything else with 200; it keeps the heads."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heads: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = receive_head(connection).partition(HEAD_END)[0].decode("latin-1")
            self.heads.append(head)
            if re.search(r"(?im)^Upgrade:", head):
                connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
                while connection.recv(4096):
                    pass
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        stop_listening(self._listener)


class Decider(ThreadingHTTPServer):
    """The service of /staff: one session is good, and it is Carol's."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(204 if self.headers["Cookie"] == "session=carols" else 403)
                self.send_header("X-User", "carol")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@dataclass(frozen=True)
class Front:
    """The file or the gate, as its clients meet it."""

    nginx: LocalNginx
    port: int
    plain_port: int
    upstream: Upstream

    def members(self, path: str = "/members") -> wire.Request:
        return wire.Request(path, host=NAME).origin(SITE).basic(USERNAME, PASSWORD)

    def staff(self, session: str) -> wire.Request:
        return wire.Request("/staff", host=NAME).origin(SITE).cookie(f"session={session}")

    def ask(self, request: wire.Request, source: str = STRANGER, tls: bool = True) -> wire.Reply:
        port = self.port if tls else self.plain_port
        return wire.handshake(wire.Endpoint(port=port, tls=tls, source=source, server_name=NAME), request)

    def status(self, request: wire.Request, tls: bool = True) -> str:
        with self.ask(request, tls=tls) as reply:
            return str(reply.status)

    def third(self) -> str:
        """A third session of one address, which the balancer names."""
        request = self.members().having("X-Forwarded-For", "198.51.100.3")
        with self.ask(request, BALANCER) as first, self.ask(request, BALANCER) as second:
            assert first.status == second.status == 101
            with self.ask(request, BALANCER) as reply:
                status = str(reply.status)
        # Somebody else behind the same balancer is not counted with them.
        with self.ask(request.having("X-Forwarded-For", "198.51.100.4"), BALANCER) as other:
            assert other.status == 101
        return status

    def got(self, request: wire.Request, header: str) -> str | None:
        """What the upstream got under this name."""
        before = len(self.upstream.heads)
        with self.ask(request) as reply:
            assert reply.status == 101
            (head,) = wait_for(lambda: self.upstream.heads[before:])
        values = re.findall(rf"(?im)^{header}: *(.*?)\r?$", head)
        assert len(values) < 2
        return values[0] if values else None


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def decider() -> Iterator[Decider]:
    decider = Decider()
    yield decider
    decider.shutdown()
    decider.server_close()


@pytest.fixture(scope="module")
def pages() -> Iterator[Path]:
    """A folder that nginx's workers can read. Below pytest's own nobody else can, once another pytest has started."""
    with tempfile.TemporaryDirectory(prefix="wssgate-live-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def here(upstream: Upstream, decider: Decider, pages: Path) -> Callable[[str, LocalNginx], str]:
    """Puts the addresses and paths of this machine in the nginx of the page's."""
    (pages / "index.html").write_text("<!DOCTYPE html><title>Live</title>")
    (pages / "50x.html").write_text("<!DOCTYPE html><title>Later</title>")
    (hashed,) = re.findall(r"hash: (\S+)", block("yaml"))
    (pages / "htpasswd").write_text(f"{USERNAME}:{hashed}\n")

    def replace(text: str, nginx: LocalNginx) -> str:
        for old, new in {
            "/etc/letsencrypt/live/live.example.com": str(nginx.etc / "certificates" / "live"),
            "/etc/nginx/live.htpasswd": str(pages / "htpasswd"),
            "/srv/live": str(pages),
            "127.0.0.1:9000": f"127.0.0.1:{decider.server_address[1]}",
            "192.0.2.7": BALANCER,
            **{f"192.0.2.{number}:8080": f"127.0.0.1:{upstream.port}" for number in (11, 12, 13)},
        }.items():
            assert old in text, f"the page no longer has {old}"
            text = text.replace(old, new)
        return text

    return replace


@pytest.fixture(scope="module")
def file(upstream: Upstream, here: Callable[[str, LocalNginx], str]) -> Iterator[Front]:
    port, plain_port = free_port(), free_port()
    with LocalNginx() as nginx:
        shutil.copyfile(nginx_binary(), nginx.binary)
        Path(nginx.binary).chmod(0o755)
        (nginx.etc / "conf.d").mkdir(parents=True)
        (nginx.etc / "mime.types").write_text("types {\n    text/html html;\n}\n")
        for folder in (nginx.log, nginx.root / "temporary"):
            folder.mkdir()
        LocalGate.certificate(nginx, "live", (NAME,))  # type: ignore[arg-type]
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {nginx.root}/temporary/{kind};" for kind in kinds)
        (nginx.etc / "nginx.conf").write_text(NGINX_CONF.format(root=nginx.root, temporary=temporary))
        text = here(block("nginx"), nginx).replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        (nginx.etc / "conf.d" / "live.conf").write_text(text.replace("listen 80;", f"listen 127.0.0.1:{plain_port};"))
        nginx.start()
        wait_for(nginx.workers)
        yield Front(nginx, port, plain_port, upstream)


class Gate(LocalGate):
    """What the page's inventory makes of a host."""

    def __init__(self, here: Callable[[str, LocalNginx], str]) -> None:
        super().__init__([])
        self.port, self.plain_port = free_port(), free_port()
        (name, group) = next(iter(yaml.safe_load(here(block("yaml"), self)).items()))
        assert (name, list(group["hosts"])) == ("wss_proxies", [NAME])
        described: dict[str, Any] = group["vars"]
        (server,) = described["wss_proxy_servers"]
        assert server["listen"] == [{"port": 443}]
        server["listen"] = [{"port": self.port, "address": "127.0.0.1"}]
        self.certificate("live", (NAME,))
        self.variables |= described
        self.variables |= {"wss_proxy_http_redirect_enabled": True, "wss_proxy_http_redirect_port": self.plain_port}


@pytest.fixture(scope="module")
def gate(upstream: Upstream, here: Callable[[str, LocalNginx], str]) -> Iterator[Front]:
    local_gate = Gate(here)
    with local_gate:
        yield Front(local_gate, local_gate.port, local_gate.plain_port, upstream)


ASKED: dict[str, Callable[[Front], str]] = {
    "`/members`, from the page of the chat, with the password": lambda front: front.status(front.members()),
    "the same without the password": lambda front: front.status(front.members().without("Authorization")),
    "the same from a page of `https://evil.example.net`": lambda front: front.status(
        front.members().origin("https://evil.example.net")
    ),
    "the same without an `Origin`": lambda front: front.status(front.members().origin(None)),
    "the same with `Upgrade: h2c`": lambda front: front.status(front.members().having("Upgrade", "h2c")),
    "the same without `Upgrade`": lambda front: front.status(front.members().without("Upgrade").without("Connection")),
    "the same over HTTP/1.0": lambda front: front.status(front.members().but(version="HTTP/1.0")),
    "the same with POST": lambda front: front.status(front.members().but(method="POST").having("Content-Length", "0")),
    "the same to `/members-only`": lambda front: front.status(front.members("/members-only")),
    "a third session of one address": Front.third,
    "`/staff`, with a session that the service knows": lambda front: front.status(front.staff("carols")),
    "the same with one that it does not know": lambda front: front.status(front.staff("mallorys")),
    "`/`, the page of the chat": lambda front: front.status(wire.Request("/", host=NAME, headers=())),
    "`/nothing`": lambda front: front.status(wire.Request("/nothing", host=NAME, headers=())),
    "`http://live.example.com/`": lambda front: front.status(wire.Request("/", host=NAME, headers=()), tls=False),
}


def test_nginx_takes_the_file_and_the_gate(file: Front, gate: Front) -> None:
    for front in (file, gate):
        done = front.nginx.test()
        assert done.returncode == 0, done.stderr
    assert "[warn]" not in gate.nginx.test().stderr


def test_the_table_lists_what_is_asked() -> None:
    assert list(rows("what is sent")) == list(ASKED)


@pytest.mark.parametrize("words", ASKED)
def test_the_answers_are_those_of_the_table(file: Front, gate: Front, words: str) -> None:
    assert (ASKED[words](file), ASKED[words](gate)) == rows("what is sent")[words]


def test_the_upstream_gets_what_the_table_says(file: Front, gate: Front) -> None:
    table = rows("header")
    (address,) = [words for words in table if words.startswith("`X-Forwarded-For`")]
    request = gate.members().having("X-Forwarded-For", "203.0.113.9")
    got = [f"`{front.got(request, 'X-Forwarded-For')}`".replace(STRANGER, "ADDRESS") for front in (file, gate)]
    assert tuple(got) == table[address]

    (user,) = [words for words in table if words.startswith("`X-User`")]
    request = gate.staff("carols").having("X-User", "root")
    assert [f"`{front.got(request, 'X-User')}`, the service's word" for front in (file, gate)] == list(table[user])

    assert table["`Authorization` of a member"] == ("the password", "none")
    assert (file.got(file.members(), "Authorization") or "").startswith("Basic ")
    assert gate.got(gate.members(), "Authorization") is None
