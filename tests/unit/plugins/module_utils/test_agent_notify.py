# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application is told of, in which parts, and what becomes of what cannot be sent."""

from __future__ import annotations

import json
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import ending as ending_module
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import notify as notify_module
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.causes import DRAINED, LIFETIME, REVOKED
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.ending import Ending
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.notify import Teller
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.notify_settings import (
    Endpoint,
    Notify,
    parse_key,
    parse_url,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.webhook import DeliveryError, sign
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Session
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

KEY = "whsec_" + "c2VjcmV0" * 4
SOON = 10.0


def session(number: int, token: str = "token-of-somebody-1") -> Session:
    key = ("1", str(number), "1")
    pair = (("127.0.0.1", 443), ("127.0.0.1", 1000 + number))
    return Session(key, 1000.0 + number, pair, "203.0.113.9", token, b"", "gate.example.com", "/wss")


class Gate:
    """What the agent is to a duty."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    def open_sessions(self) -> dict[t.Any, Session]:
        return {}

    def end(self, _sessions: t.Any, _cause: str) -> int:
        return 0

    def note(self, about: str, problem: str) -> None:
        self.notes[about] = problem

    def say(self, _line: str) -> None:
        pass


class Application:
    """Takes the place of connections: keeps what is sent, and refuses it, or keeps it waiting, on demand."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, t.Any]] = []
        self.headers: list[dict[str, str]] = []
        self.problem = ""
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, _endpoint: Endpoint, _ca: str) -> Application:
        return self

    def post(self, body: bytes, headers: dict[str, str], _until: float) -> None:
        assert self.may_go_on.wait(SOON)
        self.bodies.append(json.loads(body))
        self.headers.append(headers)
        if self.problem:
            raise DeliveryError(self.problem)

    def close(self) -> None:
        pass

    def sessions(self) -> int:
        return sum(len(body["data"]["sessions"]) for body in self.bodies)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Application:
    application = Application()
    monkeypatch.setattr(notify_module, "Connection", application)
    return application


@pytest.fixture
def teller(application: Application, tmp_path: Path) -> t.Iterator[Teller]:
    teller = Teller(Gate(), Notify("http://app.example.com/secret", KEY), str(tmp_path))
    yield teller
    application.may_go_on.set()
    teller.close()


def wait_for(condition: t.Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_signature_is_that_which_the_specification_s_own_library_makes() -> None:
    secret = parse_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (
        sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://app", Endpoint("app", 80, "/")),
        ("https://app.example.com/a?b=c", Endpoint("app.example.com", 443, "/a?b=c", is_tls=True)),
        ("http://192.0.2.1:8080/", Endpoint("192.0.2.1", 8080, "/")),
        ("https://[2001:db8::1]:8443/x", Endpoint("2001:db8::1", 8443, "/x", is_tls=True)),
        ("http://[2001:db8::1]/x", Endpoint("2001:db8::1", 80, "/x")),
        ("http://unix:/run/a.sock", Endpoint("localhost", 0, "/", socket="/run/a.sock")),
        ("http://unix:/run/a.sock:/x:y", Endpoint("localhost", 0, "/x:y", socket="/run/a.sock")),
    ],
)
def test_a_url_names_a_host_or_a_socket(url: str, endpoint: Endpoint) -> None:
    assert parse_url(url) == endpoint


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://app.example.com/", "app.example.com"),
        ("http://app_1:443/", "app_1:443"),
        ("https://app.example.com:443/", "app.example.com"),
        ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
        ("http://unix:/run/a.sock:/x", "localhost"),
    ],
)
def test_the_host_is_named_as_a_browser_does_it(url: str, header: str) -> None:
    assert parse_url(url).header == header


def test_one_post_is_about_one_token(teller: Teller, application: Application) -> None:
    first, second = "token-of-somebody-1", "token-of-somebody-2"
    teller.tell([session(1, first), session(2, first), session(3, second)], REVOKED, 2000.0)
    wait_for(lambda: application.sessions() == 3)
    found = {body["data"]["fingerprint"]: body["data"] for body in application.bodies}
    assert {name: len(data["sessions"]) for name, data in found.items()} == {
        fingerprint(first): 2,
        fingerprint(second): 1,
    }
    assert all(data["cause"] == "revoked" and data["deadline"] == "1970-01-01T00:33:20.000Z" for data in found.values())
    assert len({headers["webhook-id"] for headers in application.headers}) == 2


@pytest.mark.parametrize("cause", [LIFETIME, DRAINED])
def test_sessions_that_end_for_no_token_s_sake_are_told_of_a_hundred_at_a_time(
    teller: Teller, application: Application, cause: str
) -> None:
    teller.tell(
        [session(number, f"token-of-somebody-{number}" if number % 2 else "") for number in range(250)], cause, 0
    )
    wait_for(lambda: application.sessions() == 250)
    assert sorted(len(body["data"]["sessions"]) for body in application.bodies) == [50, 100, 100]
    for body in application.bodies:
        assert (body["data"]["subject"], body["data"]["fingerprint"]) == (None, None)
        for one in body["data"]["sessions"]:
            number = one["id"].split("-")[1]
            assert one["fingerprint"] == (fingerprint(f"token-of-somebody-{number}") if int(number) % 2 else None)


def test_where_no_thread_can_be_had_the_agent_goes_on_and_sends_later(
    teller: Teller, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        teller.tell([session(1)], REVOKED, time.time() + 60)
        teller.turn()
        assert "no thread" in teller.gate.notes["application"]
    again = teller.next_turn()
    assert again is not None and again - time.monotonic() < SOON
    teller.turn()
    wait_for(lambda: application.sessions() == 1)
    wait_for(lambda: not teller.status())
    teller.turn()
    assert not teller.gate.notes["application"]


def test_what_waits_is_bounded_and_what_is_too_much_is_reported(
    teller: Teller, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "WAITING_AT_MOST", 10)
    application.may_go_on.clear()
    for number in range(15):
        teller.tell([session(number, f"token-of-somebody-{number}")], REVOKED, time.time() + 60)
    assert teller.status() == "10 sessions to tell the application of"
    teller.turn()
    problem = teller.gate.notes["application"]
    assert problem == "the application at app.example.com:80 was not told of 5 sessions that ended"
    application.may_go_on.set()
    wait_for(lambda: not teller.status())
    assert application.sessions() == 10
    # What was missed stays in sight for a while, and then goes.
    teller.turn()
    assert teller.gate.notes["application"] == problem
    later = time.monotonic() + notify_module.REMEMBERED + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    teller.turn()
    assert teller.gate.notes["application"] == ""


def test_what_is_refused_is_given_up_at_the_deadline(
    teller: Teller, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "RETRY_FOR", 0.5)
    application.problem = "answers with 500"
    teller.tell([session(1)], REVOKED, time.time())
    wait_for(lambda: not teller.status())
    assert len(application.bodies) > 1
    assert len({headers["webhook-id"] for headers in application.headers}) == 1
    teller.turn()
    assert teller.gate.notes["application"] == (
        "the application at app.example.com:80 answers with 500, "
        "the application at app.example.com:80 was not told of 1 sessions that ended"
    )


# What is to end


class Kernel:
    """Takes the place of ss."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: set[t.Any] = set()
        self.closed: list[str] = []
        self.works = True
        monkeypatch.setattr(ending_module.sockets, "live_pairs", self.live)
        monkeypatch.setattr(ending_module.sockets, "close_sockets", self.close)
        monkeypatch.setattr(ending_module, "still_open", lambda some, live: [one for one in some if one.pair in live])

    def live(self, pairs: t.Collection[t.Any]) -> dict[t.Any, tuple[str, str]]:
        return {pair: (str(pair), "") for pair in pairs if pair in self.open}

    def close(self, ends: t.Sequence[tuple[str, str]]) -> str:
        self.closed += [end[0] for end in ends]
        if self.works:
            self.open = {pair for pair in self.open if str(pair) not in self.closed}
        return ""


def test_the_kernel_is_not_asked_before_the_moment_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, ending = Kernel(monkeypatch), Ending()
    kernel.open = {session(1).pair, session(2).pair}
    now = time.monotonic()
    assert ending.add([session(1)], now + 60) == [session(1)]
    assert ending.add([session(1)], now + 90) == []
    assert not ending.is_due() and ending.next_try() == now + 60
    ending.add([session(2)])
    ending.try_due(lambda one: True)
    assert kernel.closed == [str(session(2).pair)]
    # An earlier end counts.
    ending.add([session(1)], now)
    ending.try_due(lambda one: True)
    assert kernel.closed == [str(session(2).pair), str(session(1).pair)]


def test_a_session_that_was_closed_meanwhile_is_settled_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, ending = Kernel(monkeypatch), Ending()
    ending.add([session(1)])
    ending.try_due(lambda one: False)
    assert not ending.owed and not kernel.closed and not ending.problem and ending.next_try() is None


def test_what_does_not_end_is_tried_again_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, ending = Kernel(monkeypatch), Ending()
    kernel.open, kernel.works = {session(1).pair}, False
    ending.add([session(1)])
    for _time in range(5):
        assert not ending.stubborn()
        wait_for(ending.is_due)
        ending.try_due(lambda one: True)
    assert [owing.session for owing in ending.stubborn()] == [session(1)]
    # Another connection with its numbers has done nothing yet.
    ending.add([session(1)._replace(started_at=1.0)])
    assert not ending.stubborn() and len(ending.owed) == 1


def test_a_fault_is_felt_for_no_longer_than_it_has_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, ending = Kernel(monkeypatch), Ending()
    kernel.open, kernel.works = {session(1).pair}, False
    now = begin = time.monotonic()
    monkeypatch.setattr(ending_module.time, "monotonic", lambda: now)
    ending.add([session(1)])
    tries = []
    while now - begin < 300:
        tries.append(now - begin)
        ending.try_due(lambda one: True)
        moment = ending.next_try()
        assert moment is not None and now < moment <= now + 60
        now = moment
    assert tries[1] < 0.1
    # A fault that ends right after one try is over for good at the next.
    for last, following in zip(tries[1:], tries[2:]):
        assert following - last <= last + 1e-6, tries


def test_of_very_many_some_are_ended_at_a_time_and_all_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, ending = Kernel(monkeypatch), Ending()
    many = [session(number) for number in range(2500)]
    kernel.open = {one.pair for one in many}
    ending.add(many)
    for left in (1500, 500, 0):
        ending.try_due(lambda one: True)
        assert len(kernel.open) == left
    wait_for(lambda: (ending.try_due(lambda one: True), not ending.owed)[1])
    assert len(kernel.closed) == 2500 and ending.next_try() is None
