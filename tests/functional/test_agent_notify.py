# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application is asked before sessions end: real nginx, the agent as a process, and an application on http.server.

Whatever becomes of the application, a session ends when it should.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import notify_settings
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.notify_settings import Notify
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

from lib import pki, wire
from lib.local_gate import LocalGate, free_port
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

ORIGIN = "https://app.example.com"
MINE, OTHER = "token-that-is-to-end-1", "token-of-a-bystander-1"
SECRET = b"a secret of thirty-two bytes, 32"
KEY = "whsec_" + base64.b64encode(SECRET).decode()
CLOSED_BY_APPLICATION = 4001
# What takes a moment where nothing else runs may take so long beside other tests.
SOON = 10.0
# A grace that no test waits for the end of
LONG = 60
# Of sessions at /short, in seconds
LIFETIME = 6
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import revoking
from ansible_collections.wssgate.nginx.plugins.modules import wss_token
revoking.STATE = sys.argv[1]
with patch_module_args(json.load(sys.stdin)):
    wss_token.main()
"""


def of_collection() -> str:
    return str(Path(notify_settings.__file__).parents[6])


class Post:
    """A notification as it came in."""

    def __init__(self, headers: dict[str, str], body: bytes, path: str) -> None:
        self.headers, self.body, self.path, self.at = headers, body, path, time.time()
        self.document = json.loads(body)
        self.data = self.document["data"]
        self.deadline = datetime.datetime.fromisoformat(self.data["deadline"]).timestamp()

    @property
    def identity(self) -> str:
        return self.headers["webhook-id"]

    def check(self) -> None:
        """As the specification has it, without any of the collection's code."""
        signed = f"{self.identity}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert self.headers["webhook-signature"] == f"v1,{expected}"
        assert abs(int(self.headers["webhook-timestamp"]) - self.at) < SOON
        assert self.headers["content-type"] == "application/json"
        assert self.document["type"] == "sessions.ending"
        assert MINE not in self.body.decode() and OTHER not in self.body.decode()


class Application(http.server.ThreadingHTTPServer):
    """What is behind the gate: WebSockets by GET, notifications by POST."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.sockets: dict[str, socket.socket] = {}
        self.reset()

    def reset(self) -> None:
        self.posts: list[Post] = []
        self.closes = False  # sessions that it is told of, by itself
        self.answers: list[int] = []  # then 204
        self.behaviour: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None

    def of(self, cause: str) -> list[Post]:
        return [post for post in self.posts if post.data["cause"] == cause]

    def close_sessions(self, post: Post) -> None:
        for session in post.data["sessions"]:
            upstream = self.sockets.get(session["fingerprint"])
            if upstream is not None:
                with contextlib.suppress(OSError):
                    upstream.sendall(b"\x88\x02" + struct.pack("!H", CLOSED_BY_APPLICATION))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Application

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        token = self.headers["Cookie"].partition("=")[2]
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", wire.accept_of(self.headers["Sec-WebSocket-Key"]))
        self.end_headers()
        self.wfile.flush()
        self.server.sockets[fingerprint(token)] = self.connection
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                head = self.rfile.read(6)
                if len(head) < 6 or head[0] & 15 == wire.OPCODE_CLOSE:
                    return
                data = self.rfile.read(head[1] & 127)
                self.wfile.write(bytes([head[0], len(data)]) + bytes(b ^ head[2 + i % 4] for i, b in enumerate(data)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        post = Post({name.lower(): value for name, value in self.headers.items()}, body, self.path)
        self.server.posts.append(post)
        if self.server.behaviour is not None:
            self.server.behaviour(self)
            return
        if self.server.closes:
            self.server.close_sessions(post)
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    with Application(free_port()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def local_gate(application: Application) -> Iterator[LocalGate]:
    upstream = f"http://127.0.0.1:{application.server_address[1]}"
    server = {
        "name": "gate", "server_names": ["gate.example.com"],
        "listen": [{"tls": False, "address": "127.0.0.1", "port": free_port()}],
        # The application finds a session by the fingerprint of its token.
        "locations": [
            {"path": path, "upstream": upstream, "origins": [ORIGIN], "forward_credentials": True, **options}
            for path, options in (("/wss", {}), ("/short", {"max_session_lifetime": LIFETIME}))
        ],
    }  # fmt: skip
    with LocalGate([server], token_store_pruner="agent") as gate:
        yield gate


class Agent:
    """The agent as a process, and what it reports."""

    def __init__(self, gate: Gate) -> None:
        words = f"import sys; sys.path.insert(0, {of_collection()!r}); "
        words += "from ansible_collections.wssgate.nginx.plugins.module_utils._agent.service import main; "
        self.command = [
            sys.executable, "-c", f"{words}sys.exit(main(sys.argv[1:]))", "--store", str(gate.store),
            "--session-log", str(gate.log), "--state", str(gate.state),
        ]  # fmt: skip
        self.status = ""
        self._reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        place = gate.state.parent / f"notify-{os.urandom(4).hex()}"
        self._reports.bind(str(place))
        self.output = gate.state.parent / f"{place.name}.out"
        # Nothing of the environment decides where a notification goes.
        proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "x://y"}
        with self.output.open("wb") as stream:
            self.process = subprocess.Popen(
                self.command, stdout=stream, stderr=stream, env={**os.environ, **proxies, "NOTIFY_SOCKET": str(place)}
            )
        threading.Thread(target=self._read, daemon=True).start()
        wait_for(lambda: self.status)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                for line in self._reports.recv(65536).decode().splitlines():
                    if line.startswith("STATUS="):
                        self.status = line.partition("=")[2]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # it was killed before
            # Who waits in recv() is woken.
            self._reports.shutdown(socket.SHUT_RDWR)
            self._reports.close()


class Gate:
    """The gate, its agent and its clients."""

    def __init__(self, local_gate: LocalGate, application: Application, folder: Path, stack: contextlib.ExitStack):
        self.local_gate, self.application, self.stack = local_gate, application, stack
        self.store, self.log, self.state = local_gate.tokens, local_gate.session_log, folder / "state"
        self.state.mkdir(mode=0o700)
        (listen,) = local_gate.variables["wss_proxy_servers"][0]["listen"]
        self.endpoint = wire.Endpoint(port=listen["port"], tls=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.application.server_address[1]}/ending?x=1"

    def agent(self, grace: int = 0, url: str = "", ca: str = "") -> Agent:
        """An agent that tells the application."""
        text = notify_settings.text_of(str(self.store), Notify(url or self.url, KEY, grace, ca))
        (self.state / notify_settings.NAME).write_text(text)
        agent = Agent(self)
        self.stack.callback(agent.kill)
        return agent

    def handshake(self, token: str, path: str = "/wss") -> wire.Reply:
        request = wire.Request(path=path, host="gate.example.com").origin(ORIGIN).token(token)
        return self.stack.enter_context(wire.handshake(self.endpoint, request))

    def open(self, token: str, path: str = "/wss") -> wire.Session:
        reply = self.handshake(token, path)
        assert reply.status == 101 and reply.session is not None
        assert reply.session.echo("hello") == "hello"
        return reply.session

    def issue(self, token: str, subject: str | None = "client-42", expires_at: int | None = None) -> None:
        text = json.dumps({"subject": subject, "issued_at": 1, "expires_at": expires_at})
        (self.store / token).write_text(text)

    def revoke(self) -> dict[str, Any]:
        arguments = {
            "path": str(self.store), "session_log": str(self.log), "tokens": [MINE], "state": "absent",
            "disconnect": True,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", MODULE, str(self.state)], input=json.dumps(arguments), capture_output=True,
            text=True, env={**os.environ, "PYTHONPATH": of_collection()}, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def told(self, cause: str) -> Post:
        """The one notification of this cause."""
        wait_for(lambda: self.application.of(cause), SOON)
        (post,) = self.application.of(cause)
        post.check()
        return post


@pytest.fixture
def gate(local_gate: LocalGate, application: Application, tmp_path: Path) -> Iterator[Gate]:
    application.reset()
    with contextlib.ExitStack() as stack:
        found = Gate(local_gate, application, tmp_path, stack)
        for token in (MINE, OTHER):
            found.issue(token)
        yield found
    for path in local_gate.tokens.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def close_code(session: wire.Session) -> int | None:
    return session.receive().close_code


def is_ended(session: wire.Session, seconds: float = SOON) -> bool:
    return session.ended(seconds)


def is_open(session: wire.Session) -> bool:
    return session.echo("still here") == "still here"


# What is sent, and what the application does with it


def test_an_application_that_is_told_closes_the_sessions_with_a_code_of_its_own(gate: Gate) -> None:
    gate.application.closes = True
    agent = gate.agent(LONG)
    session, bystander = gate.open(MINE), gate.open(OTHER)
    before = time.time()
    (gate.store / MINE).unlink()
    assert close_code(session) == CLOSED_BY_APPLICATION
    assert gate.handshake(MINE).status == 403
    post = gate.told("removed")
    assert post.path == "/ending?x=1"
    # The file has gone, so nobody can tell whose it was.
    assert (post.data["subject"], post.data["fingerprint"]) == (None, fingerprint(MINE))
    assert before + LONG <= post.deadline <= time.time() + LONG
    (told,) = post.data["sessions"]
    line = next(line.split(" ") for line in gate.log.read_text().splitlines() if f" {MINE}" in line)
    assert told["id"] == "-".join(line[2:5])
    assert (told["client"], told["server"], told["location"]) == ("127.0.0.1", "gate.example.com", "/wss")
    since = datetime.datetime.fromisoformat(told["since"]).timestamp()
    assert since == pytest.approx(float(line[1]), abs=0.002)
    assert is_open(bystander)
    # It has ended by itself, which is nothing to report.
    wait_for(lambda: "session" in agent.status and "application" not in agent.status)
    assert KEY not in agent.output.read_text() + agent.status


def test_what_the_application_leaves_open_the_kernel_closes_at_the_deadline(gate: Gate) -> None:
    gate.agent(2)
    session, bystander = gate.open(MINE), gate.open(OTHER)
    removed = time.time()
    (gate.store / MINE).unlink()
    post = gate.told("removed")
    assert removed + 2 - 0.01 <= post.deadline < removed + 2 + SOON
    while time.time() < post.deadline - 0.3:
        assert is_open(session)
    assert is_ended(session)
    assert post.deadline - 0.01 <= time.time() < post.deadline + SOON
    assert is_open(bystander)


def test_at_the_end_of_a_token_the_application_learns_whose_it_was(gate: Gate) -> None:
    gate.application.closes = True
    gate.agent(LONG)
    end = int(time.time()) + 3
    gate.issue(MINE, "somebody", end)
    session = gate.open(MINE)
    assert close_code(session) == CLOSED_BY_APPLICATION
    assert end <= time.time() < end + SOON
    post = gate.told("expired")
    assert post.data["subject"] == post.data["sessions"][0]["subject"] == "somebody"
    assert end + LONG <= post.deadline < end + LONG + SOON
    assert gate.handshake(MINE).status == 403


def test_without_a_grace_the_application_is_told_and_the_kernel_closes_at_once(gate: Gate) -> None:
    gate.agent(0)
    session = gate.open(MINE)
    (gate.store / MINE).unlink()
    assert is_ended(session)
    post = gate.told("removed")
    assert post.deadline <= time.time()


def test_of_a_session_s_longest_time_the_application_is_told_so_much_earlier(gate: Gate) -> None:
    gate.agent(3)
    began = time.time()
    session, bystander = gate.open(MINE, "/short"), gate.open(MINE)
    post = gate.told("lifetime")
    assert [one["location"] for one in post.data["sessions"]] == ["/short"]
    assert post.data["subject"] == "client-42"
    assert began < post.deadline < began + LIFETIME + SOON
    assert is_open(session)
    assert is_ended(session)
    assert time.time() >= post.deadline - 0.01
    # All in all it has lasted as long as it may, and not the grace longer.
    assert post.deadline == pytest.approx(began + LIFETIME, abs=2.0)
    assert is_open(bystander)


def test_sessions_of_several_tokens_are_told_of_by_token(gate: Gate) -> None:
    gate.agent(LONG)
    sessions = [gate.open(MINE), gate.open(MINE), gate.open(OTHER)]
    for token in (MINE, OTHER):
        (gate.store / token).unlink()
    wait_for(lambda: sum(len(post.data["sessions"]) for post in gate.application.of("removed")) == 3, SOON)
    for post in gate.application.of("removed"):
        post.check()
        assert {one["fingerprint"] for one in post.data["sessions"]} == {post.data["fingerprint"]}
    assert all(is_open(session) for session in sessions)


# What the guide has applications do

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "notifications.md"
JUDGES = {
    "python": (
        [sys.executable],
        "\nimport json, sys\npost = json.load(sys.stdin)\n"
        "print(is_genuine(post['key'], post['headers'], post['body'].encode()))\n",
    ),
    "js": (
        ["node", "--input-type=module", "-"],
        "\nconst post = JSON.parse(process.env.POST);\n"
        "console.log(isGenuine(post.key, post.headers, Buffer.from(post.body)) ? 'True' : 'False');\n",
    ),
}


@pytest.mark.parametrize("language", JUDGES)
def test_the_guide_s_code_tells_a_notification_from_a_forgery(gate: Gate, language: str, tmp_path: Path) -> None:
    command, driver = JUDGES[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "genuine" in block.lower()]
    gate.agent(LONG)
    gate.open(MINE)
    (gate.store / MINE).unlink()
    post = gate.told("removed")

    def judged(key: str = KEY, body: str = post.body.decode(), **headers: str) -> str:
        text = json.dumps({"key": key, "headers": {**post.headers, **headers}, "body": body})
        if language == "python":
            (tmp_path / "judge.py").write_text(code + driver)
            words, standard_input = [*command, str(tmp_path / "judge.py")], text
        else:
            words, standard_input = command, code + driver
        done = subprocess.run(
            words, input=standard_input, capture_output=True, text=True, env={**os.environ, "POST": text}, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert judged() == "True"
    assert judged(**{"webhook-signature": "v1,AAAA " + post.headers["webhook-signature"]}) == "True"
    assert judged(body=post.body.decode() + " ") == "False"
    assert judged(key="whsec_" + base64.b64encode(b"another secret of 24 byt").decode()) == "False"
    assert judged(**{"webhook-id": "msg_another"}) == "False"
    # Sent again an hour later, under its own signature
    stamp = int(post.headers["webhook-timestamp"]) - 3600
    signed = f"{post.identity}.{stamp}.".encode() + post.body
    signature = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert judged(**{"webhook-timestamp": str(stamp), "webhook-signature": f"v1,{signature}"}) == "False"


# By module


def test_a_revocation_waits_for_what_the_application_does(gate: Gate) -> None:
    gate.application.closes = True
    gate.agent(LONG)
    session, bystander = gate.open(MINE), gate.open(OTHER)
    codes: list[int | None] = []

    def listen() -> None:
        codes.append(close_code(session))
        session.close()

    client = threading.Thread(target=listen)
    client.start()
    began = time.monotonic()
    answer = gate.revoke()
    client.join()
    assert answer["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
    assert time.monotonic() - began < LONG / 2
    assert codes == [CLOSED_BY_APPLICATION]
    assert gate.told("revoked").data["subject"] == "client-42"
    assert is_open(bystander)


def test_a_revocation_returns_when_the_kernel_has_closed_what_was_left(gate: Gate) -> None:
    gate.agent(2)
    session = gate.open(MINE)
    answer = gate.revoke()
    assert answer["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
    assert is_ended(session)
    assert time.time() >= gate.told("revoked").deadline - 0.01


def test_a_revocation_ends_the_sessions_itself_where_no_agent_runs(gate: Gate) -> None:
    gate.agent(1).kill()
    session = gate.open(MINE)
    assert gate.revoke()["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
    assert is_ended(session)


def test_without_a_grace_a_revocation_ends_sessions_as_ever_and_the_application_is_told(gate: Gate) -> None:
    gate.agent(0)
    sessions = [gate.open(MINE) for _number in range(3)]
    assert gate.revoke()["sessions"] == {"found": 3, "ended": 3, "remaining": 0}
    assert all(is_ended(session) for session in sessions)
    assert len(gate.told("revoked").data["sessions"]) == 3


# An application in trouble


def hold_back(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.rfile.read(1)


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 204 ")
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.2)


def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(307)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def refuse(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(500)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def babble(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"what?\r\n\r\n")
    handler.close_connection = True


def hang_up(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


TROUBLES = {
    "slow": (hold_back, "does not answer in time"),
    "dripping": (drip, "does not answer in time"),
    "redirecting": (redirect, "a redirect (307), which is not followed"),
    "failing": (refuse, "answers with 500"),
    "babbling": (babble, "something else than HTTP"),
    "hanging up": (hang_up, "without an answer"),
}


@pytest.mark.parametrize(("behaviour", "words"), TROUBLES.values(), ids=TROUBLES)
def test_an_application_in_trouble_delays_no_end_and_is_reported(
    gate: Gate, behaviour: Callable[[http.server.BaseHTTPRequestHandler], None], words: str
) -> None:
    gate.application.behaviour = behaviour
    agent = gate.agent(1)
    session, bystander = gate.open(MINE), gate.open(OTHER)
    (gate.store / MINE).unlink()
    wait_for(lambda: gate.application.posts, SOON)
    deadline = gate.application.posts[0].deadline
    assert is_ended(session)
    assert time.time() < deadline + SOON
    assert is_open(bystander)
    wait_for(lambda: words in agent.status, 2 * SOON)
    wait_for(lambda: "was not told of 1 sessions that ended" in agent.status, 2 * SOON)
    assert {post.path for post in gate.application.posts} == {"/ending?x=1"}
    for post in gate.application.posts:
        post.check()
    # What it is told later shows that it is well again.
    gate.application.reset()
    (gate.store / OTHER).unlink()
    gate.told("removed")
    wait_for(lambda: words not in agent.status, SOON)
    assert is_ended(bystander)


def test_an_application_that_is_not_there_delays_no_end(gate: Gate) -> None:
    agent = gate.agent(1, f"http://127.0.0.1:{free_port()}/")
    session, bystander = gate.open(MINE), gate.open(OTHER)
    began = time.monotonic()
    (gate.store / MINE).unlink()
    assert is_ended(session)
    assert 0.9 < time.monotonic() - began < SOON
    assert is_open(bystander)
    wait_for(lambda: "cannot be reached: Connection refused" in agent.status, SOON)


def test_what_failed_is_sent_again_as_the_same_message(gate: Gate) -> None:
    gate.application.answers = [500, 503]
    agent = gate.agent(LONG)
    gate.open(MINE)
    (gate.store / MINE).unlink()
    wait_for(lambda: len(gate.application.posts) == 3, SOON)
    for post in gate.application.posts:
        post.check()
    assert len({post.identity for post in gate.application.posts}) == 1
    assert len({post.body for post in gate.application.posts}) == 1
    wait_for(lambda: "application" not in agent.status, SOON)


def test_an_agent_that_is_stopped_waits_for_no_application(gate: Gate) -> None:
    gate.application.behaviour = hold_back
    agent = gate.agent(LONG)
    gate.open(MINE)
    (gate.store / MINE).unlink()
    wait_for(lambda: gate.application.posts, SOON)
    began = time.monotonic()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(SOON) == 0
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("again", [False, True], ids=["removed", "removed and made again"])
def test_an_agent_that_is_killed_in_the_grace_moves_no_deadline(gate: Gate, again: bool) -> None:
    agent = gate.agent(8)
    session, bystander = gate.open(MINE), gate.open(OTHER)
    (gate.store / MINE).unlink()
    first = gate.told("removed")
    if again:
        gate.issue(MINE)
    agent.kill()
    gate.application.reset()
    assert is_open(session)
    gate.agent(8)
    second = gate.told("removed")
    assert (second.deadline, second.identity) == (first.deadline, first.identity)
    assert is_open(session)
    assert is_ended(session)
    assert first.deadline - 0.01 <= time.time() < first.deadline + SOON
    assert is_open(bystander)
    # What is over needs no record.
    wait_for(lambda: not (gate.state / "asked.json").exists())


def test_a_token_that_was_revoked_while_no_agent_ran_is_asked_for_by_the_next(gate: Gate) -> None:
    gate.agent(LONG).kill()
    session = gate.open(MINE)
    removed = time.time()
    folder = gate.store / ".wssgate-ended"
    folder.mkdir(mode=0o700)
    (gate.store / MINE).rename(folder / MINE)
    # The application's time begins with the removal, and not with the agent.
    wait_for(lambda: time.time() > removed + 2)
    gate.agent(LONG)
    post = gate.told("revoked")
    assert post.deadline == pytest.approx(removed + LONG, abs=1.0)
    assert is_open(session)


def test_settings_that_cannot_be_read_keep_no_session_open(gate: Gate) -> None:
    gate.agent(LONG).kill()
    (gate.state / notify_settings.NAME).write_text("{")
    agent = Agent(gate)
    gate.stack.callback(agent.kill)
    assert "the application is not told" in agent.status
    session = gate.open(MINE)
    (gate.store / MINE).unlink()
    assert is_ended(session)


# Ways to the application


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wssgate-test-", dir="/run"))
    yield folder
    shutil.rmtree(folder)


class UnixApplication(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, application: Application) -> None:
        class Local(Handler):
            def do_POST(self) -> None:
                assert self.headers["Host"] == "localhost"
                # What it is told is for the sessions of the other one.
                self.server = application  # type: ignore[assignment]
                super().do_POST()

        super().__init__(path, Local)


def test_an_application_is_told_through_a_unix_socket(gate: Gate, socket_folder: Path) -> None:
    path = socket_folder / "app.sock"
    gate.application.closes = True
    with UnixApplication(str(path), gate.application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        gate.agent(LONG, f"http://unix:{path}:/told")
        session = gate.open(MINE)
        (gate.store / MINE).unlink()
        assert close_code(session) == CLOSED_BY_APPLICATION
        assert gate.told("removed").path == "/told"
        server.shutdown()


@pytest.fixture
def tls_port(application: Application, tmp_path: Path) -> Iterator[tuple[int, pki.Identity]]:
    """The same application over TLS, and the authority that vouches for it."""
    authority = pki.issue("Authority of the test", ca=True)
    identity = pki.issue("localhost", authority, ["localhost"])
    (tmp_path / "pair.pem").write_bytes(identity.pem + identity.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")

    class Secure(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[ssl.SSLSocket, Any]:
            plain, address = self.socket.accept()
            return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_arguments: object) -> None:
            """A client that does not take the certificate."""

    class Told(Handler):
        def do_POST(self) -> None:
            self.server = application
            super().do_POST()

    with Secure(("127.0.0.1", free_port()), Told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], authority
        server.shutdown()


def test_over_tls_the_authority_that_was_named_counts(gate: Gate, tls_port: tuple[int, pki.Identity]) -> None:
    port, authority = tls_port
    gate.application.closes = True
    gate.agent(LONG, f"https://localhost:{port}/told", authority.pem.decode())
    session = gate.open(MINE)
    (gate.store / MINE).unlink()
    assert close_code(session) == CLOSED_BY_APPLICATION
    gate.told("removed")


@pytest.mark.parametrize(
    ("host", "is_named"), [("localhost", False), ("127.0.0.1", True)], ids=["another authority", "another name"]
)
def test_over_tls_nobody_else_is_told(
    gate: Gate, tls_port: tuple[int, pki.Identity], host: str, is_named: bool
) -> None:
    port, authority = tls_port
    other = authority if is_named else pki.issue("Another authority", ca=True)
    agent = gate.agent(1, f"https://{host}:{port}/told", other.pem.decode())
    session = gate.open(MINE)
    (gate.store / MINE).unlink()
    assert is_ended(session)
    wait_for(lambda: "has a certificate that does not count" in agent.status, SOON)
    assert not gate.application.posts
