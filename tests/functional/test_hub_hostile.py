# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issuers and a gate that were broken into: whatever they append, the store is what an independent model says.

WSSGATE_HUB_FUZZ (500) is how many entries each issuer appends, WSSGATE_FUZZ_SEED repeats a run: each prints its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import threading
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub_position import POSITION
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import parse_info
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.operating import Operator
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import RefusedError, Wire

from lib import hub_model
from lib.agent_process import AgentProcess
from lib.hub_server import FLEET, HubServer
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent is for root")

ENTRIES = int(os.environ.get("WSSGATE_HUB_FUZZ", "500"))
SEED = int(os.environ.get("WSSGATE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
GATE, BROKEN_GATE = "g1", "g2"
# Those whose applications were broken into, and one of which not
BROKEN = {f"app{number}": Rules(3600, ("client-", "Ä"), 40) for number in range(5)} | {"free": Rules(120, (), 60)}
ISSUERS = {**BROKEN, "shop": Rules(600, (), 100)}
Fields = list[bytes]


class Gate:
    """A store and an agent."""

    def __init__(self, root: Path, hub: HubServer) -> None:
        self.store, log = root / "tokens", root / "sessions.log"
        self.store.mkdir(mode=0o710)
        log.touch(mode=0o600)
        self.agent = AgentProcess(root / "agent", self.store, log)
        file = self.agent.state / settings.NAME
        file.write_text(settings.text_of(hub.settings_of(GATE)))
        file.chmod(0o600)

    def start(self) -> None:
        self.agent.start()
        wait_for(lambda: "follows the hub" in self.agent.status)

    def names(self) -> set[str]:
        return {path.name for path in self.store.iterdir() if not path.name.startswith(".")}


class World(t.NamedTuple):
    hub: HubServer
    gate: Gate


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    hub = HubServer(tmp_path / "hub", [GATE, BROKEN_GATE], ISSUERS, ["appendfsync everysec"])
    hub.start()
    gate = Gate(tmp_path, hub)
    yield World(hub, gate)
    if gate.agent.is_running:
        gate.agent.kill()
    hub.kill()


def victim(name: str) -> str:
    return f"token-of-somebody-else-{name}"


NUMBERS = [
    *(b"60", b"119", b"120", b"3600", b"3601", b"0", b"-1", b"+60", b" 60", b"60 ", b"60\n", b"6e1", b"60.0", b"0x3c"),
    *(b"", b"60\x00", "\u0666\u0660".encode(), b"1" * 13, b"9" * 400, b"00060", b"nan", b"inf", b"1_0", b"\xff"),
]  # fmt: skip
SUBJECTS = [
    *(b"client-1", b"client-", "client-\u00e4".encode(), "\u00c4rger".encode(), b"client-" + b"x" * 248),
    *(b"client-" + b"x" * 249, b"client-" + b"x" * 2000, b"Client-1", b"admin", b"", b"client-\x00", b"client-\n"),
    *(b"client-\x7f", "client-\u0085".encode(), "client-\u2028".encode(), b"client-\xff", "A\u0308rger".encode()),
    *(b"\xed\xa0\x80", b" client-1", "client-\u202e".encode(), b"client-1\r\nSet-Cookie: a=b"),
]  # fmt: skip
NAMES = [
    b"token",
    b"subject",
    b"ttl",
    b"type",
    b"expires_at",
    b"fingerprint",
    b"TOKEN",
    b"token ",
    b"",
    b"\xff",
    b"before",
]


def token_of(source: random.Random, number: int) -> bytes:
    return source.choice(
        [
            f"token-of-a-fuzzer-{number}".encode(), f"token-of-a-fuzzer-{number}".encode(),
            f"token-of-a-fuzzer-{source.randrange(60)}".encode(),
            *(victim(name).encode() for name in ("shop", "operator", "hand", "revoked")),
            b"../../../../etc/passwd", b"..", b".", b"a/b-of-a-fuzzer-token", b"token-of-a-fuzzer\x00",
            b"x" * 15,
            b"x" * 16, b"x" * 128, b"x" * 129, b"token-of-a-fuzzer-\xc3\xa4", b"", b".hidden-token-of-a-fuzzer",
            b"token of a fuzzer",
            b"-rf-token-of-a-fuzzer", b"token-of-a-fuzzer\n", b"x" * 5000,
        ]
    )  # fmt: skip


def entry(source: random.Random, number: int) -> Fields:
    """An entry that an issuer should not, or just may, append."""
    fields: Fields = [
        b"token",
        token_of(source, number),
        b"subject",
        b"client-%d" % source.randrange(5),
        b"ttl",
        b"100",
    ]
    kind = source.random()
    if kind < 0.25:
        return fields
    if kind < 0.7:
        fields[3 if source.random() < 0.5 else 5] = b""
        fields[3] = fields[3] or source.choice(SUBJECTS)
        fields[5] = fields[5] or source.choice(NUMBERS)
    elif kind < 0.8:
        # What is an operator's or a gate's to write
        fingerprint = hub_model.fingerprint(victim(source.choice(["shop", "operator", "hand"]))).encode()
        fields = source.choice(
            [
                [b"type", b"revoke", b"fingerprint", fingerprint], [b"fingerprint", fingerprint[:12]],
                [b"type", b"cut", b"subject", b"vip"], [b"type", b"issue", *fields], [*fields, b"type", b"issue"],
                [*fields[:4], b"expires_at", b"4102444800"], [*fields, b"expires_at", b"4102444800"],
                [b"type", b"void", b"issuer", b"shop", b"since", b"99999999999999-0"],
            ]
        )  # fmt: skip
    else:
        for _step in range(source.randint(1, 3)):
            place = 2 * source.randrange(len(fields) // 2)
            what = source.randrange(4)
            if what == 0:
                fields[place] = source.choice(NAMES)
            elif what == 1 and len(fields) > 2:
                del fields[place : place + 2]
            elif what == 2:
                fields += [source.choice(NAMES), source.choice([*NUMBERS, *SUBJECTS])]
            else:
                fields += fields[place : place + 2] * source.choice([1, 9, 300])
        if source.random() < 0.02:
            fields[1] = b"x" * 500_000
    return fields


def place_of(source: random.Random, number: int, is_last: bool) -> str:
    """The id that it asks for: mostly the hub's."""
    now = int(time.time() * 1000)
    if is_last and source.random() < 0.5:
        return f"{now + 10**9 + number}-*"
    odd = [f"{now - 5000}-*", "0-0", "1-1", f"{now}-{number}", f"{now}-18446744073709551615", "x", "-1", f"{now}-*"]
    return "*" if source.random() < 0.9 else source.choice(odd)


def gate_entry(source: random.Random) -> Fields:
    """What a gate should not append to its own stream. Revoking is its right, and so tokens of victims are no part."""
    now = int(time.time() * 1000)
    return source.choice(
        [
            [b"type", b"issue", b"token", b"token-of-a-broken-gate", b"subject", b"client-1", b"ttl", b"60"],
            [b"token", b"token-of-a-broken-gate", b"subject", b"client-1", b"ttl", b"60"],
            [b"type", b"cut", b"subject", b"vip"], [b"type", b"revoke", b"fingerprint", b""],
            [b"type", b"revoke", b"fingerprint", hub_model.fingerprint(victim("shop")).encode()[:11]],
            [b"type", b"revoke", b"fingerprint", hub_model.fingerprint(victim("shop")).upper().encode()],
            [b"type", b"revoke", b"fingerprint", b".*" * 20], [b"type", b"revoke", b"subject", b"vip"],
            [b"type", b"void", b"issuer", b"shop", b"since", b"0-0"],
            [b"type", b"void", b"issuer", b"shop", b"since", b"x"],
            [b"type", b"void", b"issuer", b"shop", b"since", b"%d-0" % now],
            [b"type", b"void", b"issuer", b"../shop", b"since", b"99999999999999-0"],
        ]
    )  # fmt: skip


def modelled(fields: Fields) -> dict[str, str]:
    """An entry for the model: what is no text, too long, too much or there twice has no fields at all."""
    if len(fields) > 16 or any(len(one) > 1024 for one in fields):
        return {}
    try:
        texts = [one.decode("utf-8") for one in fields]
    except UnicodeDecodeError:
        return {}
    found = dict(zip(texts[::2], texts[1::2], strict=True))
    is_odd = len(found) * 2 != len(texts)
    # Its model of a subject is of printable text: a control character is what the guide forbids.
    subject = found.get("subject", "")
    is_odd = is_odd or any(ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u2028\u2029" for one in subject)
    return {} if is_odd else found


def test_whatever_broken_issuers_and_a_broken_gate_append_the_store_is_what_the_model_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"WSSGATE_FUZZ_SEED={SEED}")
    monkeypatch.setattr(hub_model, "_good_subject", lambda text: 0 < len(text.encode()) <= 255)
    source = random.Random(SEED)
    hub, gate = world
    (gate.store / victim("hand")).touch()
    gate.start()
    streams: hub_model.World = {"operate": []}
    for name, ttl in (("shop", 600), ("revoked", 500)):
        place = hub.issue("shop", victim(name), "vip", ttl)
        fields = {"token": victim(name), "subject": "vip", "ttl": str(ttl)}
        streams.setdefault("issue:shop", []).append((records.parse_id(place) or (0, 0), fields))
    for words in (
        records.issue(victim("operator"), "vip", ttl=700),
        records.revoke(hub_model.fingerprint(victim("revoked"))),
    ):
        place = hub.operate(*words)
        fields = dict(zip(words[::2], words[1::2], strict=True))
        streams["operate"].append((records.parse_id(place) or (0, 0), fields))
    wait_for(lambda: gate.names() == {victim(name) for name in ("hand", "shop", "operator")})
    before = {path.name: path.read_bytes() for path in gate.store.iterdir() if path.is_file()}

    # A token that was given: replayed by others as it is, and by its own issuer again
    wires = {name: hub.enter(keys.issuer_user(name)) for name in BROKEN}
    appended = 0
    for number in range(ENTRIES):
        for name, wire in wires.items():
            fields = entry(source, number * len(wires) + appended)
            place_asked = place_of(source, number, number > ENTRIES * 0.97)
            try:
                given = wire.call("XADD", keys.issue(FLEET, name), place_asked, *fields)
            except RefusedError:
                continue
            appended += 1
            place_given = records.parse_id(given) or (0, 0)
            streams.setdefault(f"issue:{name}", []).append((place_given, modelled(fields)))
    wire = hub.enter(keys.gate_user(BROKEN_GATE))
    for _number in range(ENTRIES // 4):
        # Nothing of it is a record, so the model has nothing of it.
        wire.call("XADD", keys.revoked(FLEET, BROKEN_GATE), "*", *gate_entry(source))
    assert appended > 0.8 * ENTRIES * len(BROKEN), "most of it is taken by the hub: it is the gates that judge"

    last = {stream: entries[-1][0] for stream, entries in streams.items()}
    bounds = {name: hub_model.Bounds(*rules) for name, rules in ISSUERS.items()}

    def has_come_past() -> bool:
        reported = {name: records.parse_id(text) or (0, 0) for name, text in hub.reported(GATE).items()}
        return all(reported.get(stream, (0, 0)) >= place for stream, place in last.items())

    wait_for(has_come_past)
    now = int(time.time() * 1000)
    expected = {
        token: issue
        for token, issue in hub_model.states(streams, bounds, now).items()
        if isinstance(issue, hub_model.Issued) and issue.end > now
    }
    ours = {token for token in expected if not token.startswith("token-of-somebody")}
    assert len(ours) > 20, "some of it is within the bounds"
    wait_for(lambda: gate.names() == {*expected, victim("hand")}, 20)
    # A file that somebody has made stays as it is: of that the model knows nothing.
    expected.pop(victim("hand"), None)
    for token, issue in expected.items():
        found = json.loads((gate.store / token).read_text())
        assert (found["subject"], found["issued_at"]) == (issue.subject, issue.id[0] // 1000), (token, issue)
        assert found["expires_at"] == -(-int(issue.end) // 1000), (token, issue)
        rules = ISSUERS.get(issue.stream.removeprefix("issue:"), Rules(700))
        assert found["expires_at"] - now / 1000 <= rules.max_ttl + 61, (token, issue)
    # Nobody else's is another one, or gone, and the agent reports what it refused in bounded words.
    assert {name: (gate.store / name).read_bytes() for name in before} == before
    assert len(gate.agent.status) < 2000 and gate.agent.status.isprintable()
    assert "token-of-" not in gate.agent.status
    # A gate that reads it all for the first time comes to the same.
    names = gate.names()
    gate.agent.kill()
    for path in gate.store.iterdir():
        if path.is_file() and path.name != victim("hand"):
            path.unlink()
    (gate.agent.state / POSITION).unlink()
    gate.start()
    wait_for(lambda: gate.names() == names, 20)


def test_a_flood_of_large_entries_keeps_no_revocation_out(tmp_path: Path) -> None:
    limit = 16 * 1024 * 1024
    hub = HubServer(tmp_path / "hub", [GATE], {"app": Rules(3600), "shop": Rules(600)}, [f"maxmemory {limit}"])
    hub.start()
    gate = Gate(tmp_path, hub)
    stop = threading.Event()
    refusals, most = [0], [0]

    def flood() -> None:
        wire = hub.enter(keys.issuer_user("app"))
        size = 500_000
        while not stop.is_set():
            try:
                wire.call("XADD", keys.issue(FLEET, "app"), "*", "token", b"x" * size)
            except RefusedError as error:
                # Where no large one fits in any more smaller ones may.
                refusals[0] += error.code == "OOM"
                size = max(size // 2, 1100)

    thread = threading.Thread(target=flood, daemon=True)
    try:
        gate.start()
        for number in range(4):
            hub.issue("shop", victim(str(number)), "vip", 600)
        wait_for(lambda: len(gate.names()) == 4)
        # Full to the last small entry, before a gate does something about it
        gate.agent.stop()
        thread.start()
        wait_for(lambda: refusals[0] > 100)
        gate.agent.go_on()
        for number in range(3):
            wire = hub.enter(keys.OPERATOR)
            found = parse_info(wire.call("INFO", "memory", longest=1 << 16).decode())
            most[0] = max(most[0], int(found["used_memory"]))

            def revoke(wire: Wire = wire, number: int = number) -> bool:
                # By itself it tries again for five seconds, which a busy machine may need more than once.
                with contextlib.suppress(RefusedError):
                    return bool(Operator(wire, FLEET).revoke(hub_model.fingerprint(victim(str(number)))))
                return False

            wait_for(revoke, 30)
            wire.close()
            wait_for(lambda number=number: victim(str(number)) not in gate.names())
        assert refusals[0] > 0 and gate.names() == {victim("3")}
        assert most[0] < 1.5 * limit
        # What others issued is still in the hub, for a gate that comes.
        assert hub.call("XLEN", keys.issue(FLEET, "shop")) == 4
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(20)
        gate.agent.kill()
        hub.kill()


@pytest.mark.parametrize("entries", [[[b"a", b"b"] * 500_000], [[b"a", b"b" * 1_000_000]] * 40])
def test_entries_that_are_too_much_for_one_reply_keep_nobody_from_what_others_issue(
    tmp_path: Path, entries: list[list[bytes]]
) -> None:
    # As the role has it: replies of more than some 25 MB cost the connection.
    hub = HubServer(tmp_path / "hub", [GATE], {"app": Rules(3600), "shop": Rules(600)})
    hub.start()
    gate = Gate(tmp_path, hub)
    try:
        wire = hub.enter(keys.issuer_user("app"))
        wire.patience = 60
        for fields in entries:
            wire.call("XADD", keys.issue(FLEET, "app"), "*", *fields)
        wire.close()
        hub.issue("shop", victim("shop"), "vip", 600)
        gate.agent.start()
        wait_for(lambda: gate.names() == {victim("shop")}, 60)
    finally:
        gate.agent.kill()
        hub.kill()


def test_an_issuer_that_names_an_id_of_before_replaces_no_token(world: World) -> None:
    hub, gate = world
    gate.start()
    place = records.parse_id(hub.issue("shop", victim("shop"), "vip", 600))
    hub.operate(*records.issue(victim("operator"), "root", 86400))
    names = {victim("shop"), victim("operator")}
    wait_for(lambda: gate.names() == names)
    before = {name: (gate.store / name).read_text() for name in names}
    assert place is not None
    # Shorter and longer ones than those that are there
    hub.issue("app0", victim("operator"), "client-1", 2, f"{place[0] - 1000}-0")
    hub.issue("app0", victim("shop"), "client-1", 100, f"{place[0] - 999}-0")
    last = hub.issue("app0", victim("own"), "client-1", 60)
    wait_for(lambda: hub.reported(GATE).get("issue:app0") == last)
    time.sleep(2)
    gate.agent.kill()
    gate.start()
    wait_for(lambda: gate.names() == {*names, victim("own")})
    assert {name: (gate.store / name).read_text() for name in names} == before
    # Whoever removes such a file revokes the token, as any other.
    (gate.store / victim("shop")).unlink()
    wait_for(lambda: hub.call("XLEN", keys.revoked(FLEET, GATE)) == 1)


def test_an_issuer_that_trims_its_own_stream_away_takes_nobody_s_token(world: World) -> None:
    hub, gate = world
    gate.start()
    hub.issue("shop", victim("shop"), "vip", 600)
    hub.issue("app0", victim("own"), "client-1", 600)
    wait_for(lambda: gate.names() == {victim("shop"), victim("own")})
    wire = hub.enter(keys.issuer_user("app0"))
    stream = keys.issue(FLEET, "app0")
    for words in (("MAXLEN", "0", "*"), ("MINID", "99999999999999-0", "*"), ("NOMKSTREAM", "MAXLEN", "~", "0", "*")):
        wire.call("XADD", stream, *words, "a", "b")
    with pytest.raises(RefusedError, match="does not let this user"):
        wire.call("XADD", keys.issue(FLEET, "shop"), "MAXLEN", "0", "*", "a", "b")
    late = hub.issue("app0", victim("late"), "client-1", 600)
    wait_for(lambda: victim("late") in gate.names())
    assert records.parse_id(late) and gate.names() == {victim(name) for name in ("shop", "own", "late")}
    assert hub.call("XLEN", keys.issue(FLEET, "shop")) == 1


def test_what_is_too_large_for_the_server_is_not_taken(world: World) -> None:
    """It closes the connection, of that issuer alone."""
    hub, gate = world
    gate.start()
    wire = hub.enter(keys.issuer_user("app0"))
    with pytest.raises(HubError):
        wire.call("XADD", keys.issue(FLEET, "app0"), "*", "token", b"x" * 5_000_000)
    assert hub.call("XLEN", keys.issue(FLEET, "app0")) == 0
    assert re.match(r"[0-9]+-[0-9]+$", hub.issue("shop", victim("shop"), "vip", 60))
    wait_for(lambda: gate.names() == {victim("shop")})


def test_what_another_hub_of_the_same_name_has_is_not_taken_for_removed_here(world: World) -> None:
    """A gate of a test fleet that is put into production would have revoked all tokens of that."""
    hub, gate = world
    former = hub.operate(*records.issue("token-of-the-former-hub"))
    gate.start()
    wait_for(lambda: hub.reported(GATE).get(records.OPERATE) == former)
    gate.agent.kill()
    hub.call("FLUSHALL")
    # The other hub is older than what this gate has seen last, and has newer entries, too.
    second = int(former.partition("-")[0])
    fields = records.issue("token-of-the-other-hub-1")
    hub.append(keys.operate(FLEET), fields, place=f"{second - 5000}-0")
    last = hub.operate(*records.issue("token-of-the-other-hub-2"))
    gate.start()
    wait_for(lambda: {"token-of-the-other-hub-1", "token-of-the-other-hub-2"} <= gate.names())
    wait_for(lambda: hub.reported(GATE).get(records.OPERATE) == last)
    assert hub.call("XLEN", keys.revoked(FLEET, GATE)) == 0
    # What is removed while no agent runs still is, in this hub.
    gate.agent.kill()
    (gate.store / "token-of-the-other-hub-1").unlink()
    gate.start()
    wait_for(lambda: hub.call("XLEN", keys.revoked(FLEET, GATE)) == 1)
    assert gate.names() == {"token-of-the-former-hub", "token-of-the-other-hub-2"}


def test_an_issuer_cannot_have_a_token_removed_that_was_made_by_hand(world: World) -> None:
    """By issuing it, too, so that its own issue is void, or is cut off."""
    hub, gate = world
    hand = {victim("hand-1"), victim("hand-2")}
    for name in hand:
        (gate.store / name).touch()
    gate.start()
    now = int(time.time() * 1000)
    hub.operate(*records.cut_off("client-1"))
    last = {
        "app1": hub.issue("app1", victim("hand-1"), "client-1", 100, f"{now - 5000}-0"),
        "app0": hub.issue("app0", "token-of-a-fuzzer-ahead", "client-2", 100, f"{now + 10**9}-0"),
    }
    last["app0"] = hub.issue("app0", victim("hand-2"), "client-2", 100)
    wait_for(lambda: last.items() <= {name[6:]: text for name, text in hub.reported(GATE).items()}.items())
    assert gate.names() == hand
    # Nor when all is read anew and looked through
    gate.agent.kill()
    gate.start()
    wait_for(lambda: "because a file of the name is there" in gate.agent.status)
    assert gate.names() == hand
    # Whoever may, can.
    hub.operate(*records.revoke(hub_model.fingerprint(victim("hand-1"))))
    wait_for(lambda: gate.names() == {victim("hand-2")})
