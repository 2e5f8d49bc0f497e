# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""token_store_hub, the hosts of a hub, its users and its engine: what is made of them, and what is refused."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import engine, hosts, report, settings
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub.hosts import Fleet, Host
from ansible_collections.wssgate.nginx.plugins.plugin_utils._problems import Problems

ONE, TWO = "1" * 64, "2" * 64
OWN = {"url": "rediss://hub.example.com", "password": "p" * 16}


def fleet(hubs: int = 1, gates: t.Sequence[str] = ("one", "two"), hub: t.Any = None, **variables: t.Any) -> Fleet:
    """A fleet whose gates have made their passwords."""
    option = {} if hub is None else {"token_store_hub": hub}
    return Fleet(
        [Host(f"hub{number}", {**option, **variables}) for number in range(1, hubs + 1)],
        [Host(name, {**option, "token_hub_hashes": {f"gate-{name}": ONE}}) for name in gates],
    )


def client(given: Fleet) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    problems = Problems()
    return hosts.client(given, given.gates[0], problems), problems.found


def server(given: Fleet, kept: str = "", number: int = 0) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    problems = Problems()
    return hosts.server(given, given.hubs[number], problems, {"name": "redis"}, kept), problems.found


def test_without_a_group_and_without_a_server_there_is_no_hub() -> None:
    found, problems = client(fleet(hubs=0))
    assert not found["is_enabled"] and problems == []


def test_one_host_of_the_group_is_all_that_a_gate_needs() -> None:
    found, problems = client(fleet())
    assert problems == []
    assert found["server"] == {"host": "hub1", "port": 6380} and found["sentinels"] == []
    assert (found["username"], found["password_path"]) == ("gate-one", "/etc/wssgate/hub/password")
    assert (found["ca_path"], found["gates"]) == ("/etc/wssgate/hub/ca.pem", ["one", "two"])


def test_gates_that_a_pattern_leaves_out_are_not_taken_from_the_users_of_a_hub() -> None:
    given = fleet(gates=["one"])
    given.others = [Host("two", {}), Host("Three", {})]
    kept = f"user gate-one on #{ONE} -@all\nuser gate-three on #{TWO} -@all\n"
    (words,) = hosts.left_out(given, kept)
    assert words.startswith("wssgate_hosts leaves out Three, which follow this hub") and "--limit" in words
    # Of a hub that is new, or does not know them, nobody is taken.
    assert hosts.left_out(given, "") == [] == hosts.left_out(fleet(), kept)


def test_three_are_found_by_their_sentinels() -> None:
    found, problems = client(fleet(hubs=3))
    assert problems == [] and found["server"] is None
    assert found["sentinels"] == [{"host": f"hub{number}", "port": 26380} for number in (1, 2, 3)]


def test_a_server_of_one_s_own_needs_no_group() -> None:
    found, problems = client(fleet(hubs=0, hub=OWN))
    assert problems == [] and found["is_own_server"]
    assert found["server"] == {"host": "hub.example.com", "port": 6379} and found["password"] == "p" * 16


@pytest.mark.parametrize(
    ("hub", "words"),
    [
        ({**OWN, "url": "redis://hub"}, "url begins with redis://, which is without TLS"),
        ({**OWN, "url": "rediss://a:secretsecret@hub"}, "url has a user or a password in it"),
        ({**OWN, "url": "https://hub"}, "is not rediss://HOST or rediss://HOST:PORT"),
        ({**OWN, "url": "rediss://hub:99999"}, "is not rediss://HOST or rediss://HOST:PORT"),
        ({"url": "rediss://:secretsecret"}, "url is not rediss://HOST or rediss://HOST:PORT"),
        ({"url": "rediss:a:secretsecret@hub"}, "url is not rediss://HOST or rediss://HOST:PORT"),
        ({"url": "rediss://hub?password=secretsecret"}, "url is not rediss://HOST or rediss://HOST:PORT"),
        ({"url": ["rediss://a:secretsecret"]}, "url is not rediss://HOST or rediss://HOST:PORT"),
        ({"sentinels": ["a:1", "a:secretsecret@b"]}, "sentinels[1] is not HOST or HOST:PORT"),
        ({"sentinels": "a:secretsecret@b"}, "sentinels is not a list"),
        ("rediss://a:secret/secretsecret@hub", "it is not a set of options"),
        (["secretsecret"], "it is not a set of options"),
        ({**OWN, "sentinels": ["a:1"]}, "url and sentinels exclude each other"),
        ({"sentinels": ["a:1", "a:1"]}, "sentinels has a:1 twice"),
        ({**OWN, "password": "short"}, "password must be 16 to 512 characters"),
        ({**OWN, "password_path": "/p"}, "password and password_path exclude each other"),
        ({**OWN, "fleet": "a*"}, "fleet 'a*' is not 1 to 64 of"),
        ({**OWN, "gate": "a:revoked"}, "gate 'a:revoked' is not 1 to 64 of"),
        ({**OWN, "ulr": "x"}, "there is no option 'ulr' here; 'url' is one"),
        ({**OWN, "issuers": [{"name": "a", "max_ttl": 0}]}, "max_ttl 0 is not a whole number from 1 to 31536000"),
        ({**OWN, "issuers": [{"name": "a"}, {"name": "a"}]}, "name a is there twice"),
        ({**OWN, "issuers": [{"max_ttl": 5}]}, "name '' is not 1 to 32 of"),
        ({"fleet": "main"}, "it names no server (url, or sentinels), and the group wss_hubs has no hosts"),
    ],
)
def test_each_mistake_is_one_sentence(hub: t.Any, words: str) -> None:
    _found, problems = client(fleet(hubs=0, gates=["one"], hub=hub))
    assert len(problems) == 1 and words in problems[0] and "secretsecret" not in problems[0], problems


def test_a_hub_of_the_group_beside_what_is_no_dictionary_is_one_sentence_too() -> None:
    _found, problems = client(fleet(gates=["one"], hub="rediss://a:secretsecret@hub"))
    assert len(problems) == 1 and "it is not a set of options" in problems[0] and "secretsecret" not in problems[0]


@pytest.mark.parametrize("count", [2, 4, 5])
def test_a_hub_is_one_host_or_three(count: int) -> None:
    _found, problems = client(fleet(hubs=count))
    assert len(problems) == 1 and f"it has {count} hosts" in problems[0] and "one host, or three" in problems[0]


@pytest.mark.parametrize(
    ("count", "variables", "words"),
    [
        (3, {"token_hub_quorum": 1}, "1 of 3 Sentinels would have to agree"),
        (3, {"token_hub_quorum": 4}, "4 of 3 Sentinels would have to agree"),
        (3, {"token_hub_address": "10.0.0.1"}, "have the same address 10.0.0.1"),
        (1, {"token_hub_sentinel_port": 6380}, "it is 6380, as is token_hub_port"),
        (1, {"token_hub_memory": 1000}, "is not a whole number from 16777216"),
        (1, {"token_hub_bind": []}, "it is empty"),
        (1, {"token_hub_bind": ["eth0"]}, "is not an address"),
        (1, {"token_hub_passwords": {"gate-three": "p" * 16}}, "there is no user 'gate-three'"),
        (1, {"token_hub_passwords": {"operator": "short"}}, "operator must be 16 to 512 characters"),
    ],
)
def test_a_hub_that_could_not_work_is_refused(count: int, variables: t.Dict[str, t.Any], words: str) -> None:
    _found, problems = server(fleet(hubs=count, **variables))
    assert any(words in problem for problem in problems), problems
    assert not any("short" in problem.replace("shortest", "") for problem in problems)


def test_a_server_of_one_s_own_and_the_group_exclude_each_other() -> None:
    _found, problems = client(fleet(hub=OWN))
    assert any("the group wss_hubs has hosts; leave one of the two out" in problem for problem in problems)


def test_gates_of_one_fleet_have_one_name_each_and_one_configuration() -> None:
    given = fleet(gates=["One", "one"])
    assert any("have the same name in the hub, one" in problem for problem in client(given)[1])
    given = fleet(hub={"issuers": [{"name": "app"}]})
    given.gates[1] = Host("two", {"token_store_hub": {"issuers": [{"name": "app", "max_ttl": 5}]}})
    assert any("issuers of two differs from that of the hub" in problem for problem in server(given)[1])


def lines(model: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    return {line.split()[1]: line for line in model["users"]}


def test_nobody_has_rights_that_are_not_his_own() -> None:
    model, problems = server(fleet(hub={"issuers": [{"name": "app"}]}))
    assert problems == []
    found = lines(model)
    assert list(found) == ["default", "gate-one", "gate-two", "operator", "issuer-app", "monitor"]
    assert found["default"] == "user default off resetpass resetkeys resetchannels -@all"
    assert found["issuer-app"].endswith("resetkeys resetchannels -@all %W~{wssgate:main}:issue:app +xadd +ping")
    assert all(" -@all " in line + " " and "+@" not in line and "~*" not in line and "&*" not in line
               for line in model["users"])  # fmt: skip


def test_a_user_without_a_known_password_stays_off() -> None:
    given = fleet()
    given.gates[1] = Host("two", {})
    model, _problems = server(given)
    assert "gate-two" in model["without_password"] and "gate-one" not in model["without_password"]
    assert lines(model)["gate-two"].startswith("user gate-two off resetkeys")
    assert lines(model)["gate-one"].startswith(f"user gate-one on #{ONE} resetkeys")


def test_who_was_not_asked_in_this_run_keeps_his_password_and_who_has_another_one_gets_that() -> None:
    given = fleet()
    given.gates[1] = Host("two", {})
    kept = f"user gate-one on #{TWO} resetkeys\nuser gate-two on #{TWO} resetkeys\n"
    found = lines(server(given, kept)[0])
    assert f"gate-one on #{ONE} reset" in found["gate-one"] and f"gate-two on #{TWO} reset" in found["gate-two"]


def test_a_password_that_was_given_stands_as_its_hash_alone() -> None:
    model, problems = server(fleet(token_hub_passwords={"operator": "correct horse battery".replace(" ", "-")}))
    assert problems == []
    assert hosts.digest("correct-horse-battery") in lines(model)["operator"]
    assert "correct" not in "".join(model["users"])


def test_each_of_three_hubs_logs_in_with_a_password_of_its_own() -> None:
    given = fleet(hubs=3)
    for number, hash_ in enumerate((ONE, TWO, "3" * 64)):
        own = dict.fromkeys(("operator", "monitor", "replica", "sentinel"), hash_)
        given.hubs[number] = Host(given.hubs[number].name, {"token_hub_hashes": own})
    model, problems = server(given, number=1)
    assert problems == [] and model["is_replicated"] and model["primary"]["name"] == "hub1"
    assert lines(model)["replica"].startswith(f"user replica on #{ONE} #{TWO} #{'3' * 64} ")
    assert [item["user"] for item in model["passwords_of_host"]] == ["operator", "monitor", "replica", "sentinel"]


# -- engines


@pytest.mark.parametrize(
    ("release", "planned"),
    [("12.11", "redis"), ("13.1", "valkey"), ("22.04", "redis"), ("24.04", "valkey")],
)
def test_a_new_hub_runs_valkey_where_the_system_has_it(release: str, planned: str) -> None:
    facts = {"os_family": "Debian", "distribution_version": release}
    assert engine.choose("auto", "", facts) == planned
    # An upgrade of the system changes nothing.
    assert engine.choose("auto", "redis", facts) == "redis"


@pytest.mark.parametrize(
    ("engines", "is_refused"),
    [
        ({"a": ("redis", "7.0.15"), "b": ("valkey", "8.1.1"), "c": ("valkey", "8.1.1")}, True),
        ({"a": ("redis", "7.0.15"), "b": ("redis", "8.0.2"), "c": ("redis", "7.0.15")}, True),
        ({"a": ("redis", ""), "b": ("valkey", ""), "c": ("redis", "")}, True),
        ({"a": ("redis", "7.0.15"), "b": ("redis", "7.2.4"), "c": ("redis", "")}, False),
    ],
)
def test_mixed_engines_or_major_versions_are_refused(engines: t.Dict[str, t.Tuple[str, str]], is_refused: bool) -> None:
    problems = engine.mixed(engines)
    assert len(problems) == is_refused
    assert not is_refused or "cannot replicate from each other" in problems[0]


@pytest.mark.parametrize(
    ("wanted", "current", "installed", "words"),
    [
        ("auto", "", {"redis": "6.0.16"}, "redis 6.0.16, and the hub needs 7.0 or newer"),
        ("redis", "valkey", {"valkey": "8.1.1"}, "whose files redis cannot read"),
        ("valkey", "redis", {"redis": "8.0.2"}, "valkey reads files of redis 7 only"),
        ("valkey", "redis", {"redis": "7.0.15"}, ""),
        ("auto", "redis", {"redis": "7.0.15"}, ""),
    ],
)
def test_an_engine_that_cannot_take_over_is_refused(
    wanted: str, current: str, installed: t.Dict[str, str], words: str
) -> None:
    facts = {"os_family": "Debian", "distribution_version": "12"}
    problems = engine.problems("hub1", wanted, {"current": current, "installed": installed}, facts)
    assert [words in problem for problem in problems] == ([True] if words else [])


def test_what_was_seen_on_a_host_is_read() -> None:
    text = (
        "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc\nRedis server v=7.0.15 sha=0\n"
        "ExecStart=/usr/bin/redis-server /etc/wssgate/token_hub/hub.conf\nuser default off\nfolder\n"
    )
    assert hosts.found(text) == {
        "current": "redis",
        "installed": {"valkey": "8.1.1", "redis": "7.0.15"},
        "users": "user default off\n",
        "has_folder": True,
    }
    assert hosts.found("") == {"current": "", "installed": {}, "users": "", "has_folder": False}


def test_check_has_one_line_of_a_hub() -> None:
    server_ = {
        "engine": "valkey", "version": "8.1.1", "role": "primary", "is_linked": True, "replicas": 2, "clients": 5,
        "memory_used": 1048576, "memory_limit": 268435456, "has_append_only_file": True, "writes_fail": False,
    }  # fmt: skip
    assert report.line({"server": server_, "problems": []}) == (
        "valkey 8.1.1, primary, 2 replicas, memory 1.0 MiB of 256.0 MiB, append-only file ok, 5 clients"
    )
    assert report.line({"server": {}, "problems": ["hub1:6380 cannot be reached: x"]}) == (
        "does not answer: hub1:6380 cannot be reached: x"
    )
    assert settings.is_own({"url": "x"}) and not settings.is_own({"issuers": []})


# -- a hub that serves metrics


@pytest.mark.parametrize("count", [1, 3])
def test_the_exporter_is_a_user_where_a_hub_serves_metrics(count: int) -> None:
    assert "exporter" not in str(server(fleet(hubs=count))[0]["users"])
    given = fleet(hubs=count)
    # One of them is enough: a replica has the users of its primary.
    given.hubs[0] = Host("hub1", {"monitoring_enabled": "yes", "token_hub_hashes": {"exporter": TWO}})
    for number in range(count):
        model, problems = server(given, number=number)
        assert problems == []
        (line,) = [line for line in model["users"] if line.startswith("user exporter ")]
        assert line.partition(" resetkeys")[2] == " resetchannels -@all +info" and TWO in line
        assert "exporter" not in str(model["sentinel_users"])
        (item,) = [item for item in model["passwords_of_host"] if item["user"] == "exporter"]
        name = f"hub{number + 1}"
        # Under both names by which versions of the exporter look it up
        assert json.loads(item["text"].replace("{}", "secret")) == {
            f"rediss://{name}:6380": "secret",
            f"rediss://exporter@{name}:6380": "secret",
        }
        assert model["exporter"]["url"] == f"rediss://{name}:6380"
        assert model["exporter"]["password_path"] == item["path"]


def test_a_password_that_would_break_the_exporter_s_file_is_refused() -> None:
    for word in ('"' * 16, "\\" * 16):
        given = fleet(monitoring_enabled=True, token_hub_passwords={"exporter": word})
        (found,) = server(given)[1]
        assert found == "token_hub_passwords: that of exporter has a quote or a backslash; take another one"


def test_the_exporter_reaches_a_hub_by_an_address_of_ipv6() -> None:
    assert hosts.exporter_url(Host("a", {"token_hub_address": "2001:db8::1"})) == "rediss://[2001:db8::1]:6380"
    assert hosts.exporter_url(Host("a", {"token_hub_address": "[2001:db8::1]"})) == "rediss://[2001:db8::1]:6380"


def test_whether_a_hub_serves_metrics_is_true_or_false() -> None:
    assert server(fleet(monitoring_enabled="perhaps"))[1] == [
        "hub1: monitoring_enabled 'perhaps' is neither true nor false"
    ]
