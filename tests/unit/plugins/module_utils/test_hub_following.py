# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The threads that follow the hub, with a hub that is away."""

from __future__ import annotations

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import client, connection, following
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.client import Primary
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.settings import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import RefusedError

# Seconds after which a gate has to be with a hub that is there again
AGREED = 5.0
SETTINGS = Settings("main", "one", (("hub", 1),), "gate-one", "")


def test_a_hub_that_was_away_for_long_is_asked_again_within_seconds(monkeypatch):
    pauses = []
    inbox = following.Inbox()
    inbox.room("urgent")
    worker = following.Writer("urgent", SETTINGS, inbox, following.Generation())

    def wait(seconds):
        inbox.take()
        pauses.append(seconds)
        if len(pauses) == 50:
            inbox.close()

    def reach(_settings, first):
        raise HubError("hub:1 cannot be reached")

    monkeypatch.setattr(following, "reach", reach)
    monkeypatch.setattr(inbox.is_stopped, "wait", wait)
    worker.run()
    assert len(pauses) == 50 and pauses[0] < 1
    assert max(pauses) < AGREED / 2, "and some time is left to connect and read"


class Server:
    """A connection that notes what is written. It refuses `refused`, and is over once the queue is empty."""

    def __init__(self, run, refused=()):
        self.run, self.refused, self.words = run, refused, []

    def call(self, *words):
        if words[0] == "PING":
            raise HubError("enough")
        self.words.append(words)
        if words[0] in self.refused:
            raise RefusedError("NOREPLICAS")
        return b"5-0"

    def close(self):
        pass


@pytest.fixture
def inbox():
    found = following.Inbox()
    found.room("writing", 100)
    yield found
    found.close()


@pytest.fixture
def writer(inbox, monkeypatch):
    monkeypatch.setattr(following, "BLOCK", 0)
    generation = following.Generation()
    generation.look("first", False)
    return following.Writer("writing", SETTINGS, inbox, generation)


def work(writer, server):
    with pytest.raises(HubError):
        writer.work(Primary(server, server.run))
    return [words[0] for words in server.words]


def test_a_report_goes_to_the_server_that_it_is_about_alone(writer):
    writer.report({"operate": "5-0"}, 1)
    assert work(writer, Server("second")) == [], "it would confirm what the other server has at that place"
    writer.report({"operate": "5-0"}, 1)
    server = Server("first")
    assert work(writer, server) == ["HSET"] and server.words[0][2:] == ("operate", "5-0")
    # The same server has less than it had.
    writer._shared.look("first", True)
    writer.report({"operate": "6-0"}, 1)
    assert work(writer, Server("first")) == []


def test_a_report_that_was_refused_is_made_again(writer):
    writer.report({"operate": "5-0"}, 1)
    assert work(writer, Server("first", ["HSET"])) == ["HSET"]
    writer.trim([])
    assert work(writer, Server("first")) == ["HSET"]


def test_a_trim_that_was_refused_is_no_problem_any_more_once_one_is_done(writer, inbox):
    writer.trim([("XTRIM", "a")])
    work(writer, Server("first", ["XTRIM"]))
    assert inbox.take()[0].problem
    writer.trim([("XTRIM", "a")])
    work(writer, Server("first"))
    assert [one.problem for one in inbox.take() if one.who == "trim"] == [""]


@pytest.mark.parametrize(("least", "places"), [(0, ["*"]), (5, ["*"]), (6, ["*", "6-*"])])
def test_a_revocation_is_not_before_what_it_takes_back(writer, least, places):
    writer.append("a", ["type", "revoke"], least)
    server = Server("first")
    assert work(writer, server) == ["XADD"] * len(places)
    assert [words[2] for words in server.words] == places


class Streams:
    """A connection to a server with one token in `standing`. It is over at the command `breaks_at`, or after some."""

    info = b"# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"

    def __init__(self, run, breaks_at="", reads=2):
        self.run, self.breaks_at, self.reads = run, breaks_at, reads

    def call(self, *words, **_options):
        if words[0] == self.breaks_at:
            raise HubError("the hub closes the connection")
        if words[0] == "TIME":
            return [b"1", b"0"]
        if words[0] == "INFO":
            return self.info
        return [b"0", [b"a", b"b"]]

    def calls(self, commands, **_options):
        if commands[0][0] == self.breaks_at:
            raise HubError("the hub closes the connection")
        if commands[0][0] == "XREVRANGE":
            return [[] for _command in commands]
        self.reads -= 1
        if self.reads < 0:
            raise HubError("enough")
        return [None, [b"1", b"0"], *([[]] if len(commands) > 2 else [])]

    def close(self):
        pass


@pytest.fixture
def reader(inbox):
    inbox.room("urgent", 100)
    return following.Reader("urgent", SETTINGS, inbox, ["operate"], following.Generation(), with_standing=True)


def read(reader, server):
    """What it hands over until the connection is over, and why that was."""
    with pytest.raises(HubError) as error:
        reader.work(Primary(server, server.run))
    return [one for one in reader.inbox.take() if isinstance(one, following.Reading)], str(error.value)


@pytest.mark.parametrize("breaks_at", ["TIME", "HSCAN"])
def test_what_ends_a_connection_at_the_beginning_has_the_next_one_begin_again(reader, breaks_at):
    """Else the gate would wait for ever for what it has to catch up with, or lack tokens without an end."""
    read(reader, Streams("first", breaks_at))
    found, _why = read(reader, Streams("first"))
    assert found[0].targets == {"operate": (0, 0)} and len(found[1].standing) == 1
    assert {one.generation for one in found} == {1}
    # And once it has all it goes on where it was.
    again, _why = read(reader, Streams("first"))
    assert [one.targets for one in again] == [None, None]


def test_a_server_that_is_the_primary_no_more_is_not_read_as_the_new_one(reader):
    """What it alone has would count as what the new one has: such a revocation would be told to nobody."""
    found, _why = read(reader, Streams("first"))
    assert [one.generation for one in found] == [1] * 4

    class Former(Streams):
        def calls(self, commands, **options):
            # Another thread comes to the new primary, while this one is still with the former.
            if commands[0][0] == "XREAD" and self.reads == 1:
                reader._shared.look("second", False)
            return super().calls(commands, **options)

    found, why = read(reader, Former("first"))
    assert "another server" in why and {one.generation for one in found} == {1}
    found, _why = read(reader, Streams("second"))
    assert {one.generation for one in found} == {2} and found[0].targets is not None


@pytest.mark.parametrize("reply", [[b"9" * 400, b"0"], [b"-5", b"0"], [b"0", b"0"], [b"1" * 15, b"0"]])
def test_a_hub_without_a_clock_is_not_followed(reply):
    """A number that no calculation takes would end the agent, and with it what it does without the hub."""
    with pytest.raises(HubError, match="no time"):
        following._clock(reply)


@pytest.mark.parametrize(("entries", "is_at_end"), [(0, True), (1, True), (500, False)])
def test_a_reader_is_at_the_end_though_something_comes_each_time(reader, entries, is_at_end):
    """A gate that was without the hub for max_staleness would let nobody in while an issuer is busy."""
    given = [[f"{number + 1}-0".encode(), [b"type", b"x"]] for number in range(entries)]

    class Busy(Streams):
        def calls(self, commands, **options):
            reply = super().calls(commands, **options)
            if commands[0][0] == "XREAD" and given:
                assert commands[0][2] == 500
                reply[0] = [[commands[0][6], given]]
            return reply

    found, _why = read(reader, Busy("first"))
    assert [(len(one.records), one.is_at_end) for one in found[2:]] == [(entries, is_at_end)] * 2


def test_a_thread_begins_with_the_server_that_has_shown_the_way(reader, monkeypatch):
    asked = []

    def reach(_settings, first):
        asked.append(first)
        if len(asked) == 3:
            reader.inbox.is_stopped.set()
        return Primary(Streams("first", "TIME"), "first", 2)

    monkeypatch.setattr(following, "reach", reach)
    monkeypatch.setattr(following, "PAUSES", (0,))
    reader.run()
    assert asked == [0, 2, 2]


ALONE = b"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
REPLICA = b"# Replication\r\nrole:slave\r\nconnected_slaves:0\r\n"


@pytest.mark.parametrize(
    ("info", "named", "why", "asked"),
    [
        (Streams.info, ("hub", 2), "enough", 0),  # it has replicas: nobody else is asked
        (ALONE, ("hub", 2), "another primary", 1),
        (REPLICA, ("hub", 1), "is a replica", 0),
        (ALONE, ("hub", 1), "enough", 1),  # its replicas are away, and it is the primary
        (ALONE, None, "enough", 2),  # no Sentinel answers: what there is goes on
    ],
)
def test_a_server_that_the_sentinels_have_replaced_is_left(inbox, monkeypatch, info, named, why, asked):
    """It takes itself for the primary for ten seconds more, and nothing is revoked there."""
    found = []

    def primary_of(endpoint, service, _patience):
        found.append((endpoint.host, service))
        if named is None:
            raise HubError("no answer")
        return named

    monkeypatch.setattr(connection, "primary_of", primary_of)
    monkeypatch.setattr(client, "_password", lambda _settings: "password")
    settings = SETTINGS._replace(servers=(("first", 3), ("second", 3)), service="main")
    inbox.room("urgent", 100)
    reader = following.Reader("urgent", settings, inbox, ["operate"], following.Generation())
    server = Streams("first")
    server.info = info
    with pytest.raises(HubError, match=why):
        reader.work(Primary(server, "first", 1, ("hub", 1)))
    assert found == [("second", "main"), ("first", "main")][:asked], (
        "once a second, the one that has shown the way first"
    )


def test_a_hub_of_one_server_is_asked_for_no_replicas(reader):
    server = Streams("first")
    server.info = ALONE
    assert read(reader, server)[1] == "enough"
