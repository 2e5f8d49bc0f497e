# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub as role token_hub renders it, on Redis of this machine: who may what, what is kept, what is shown to nobody.

Scenario hub has it as a service, on Valkey.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import connection as hub_connection
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import info, keys
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import Connection, Refused, parse_info
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.modules import wss_hub_info
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import acl

from lib import local_hub, pki
from lib.local_hub import LocalHub
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(not local_hub.is_installed(), reason="redis-tools is not there; make images brings it")

FLEET = "main"
ISSUE, OTHER_ISSUE = keys.issue(FLEET, "app"), keys.issue(FLEET, "shop")
OPERATE, STANDING = keys.operate(FLEET), keys.standing(FLEET)
MINE, OTHER = keys.gate(FLEET, "one"), keys.gate(FLEET, "two")
MY_REVOKED, OTHER_REVOKED = keys.revoked(FLEET, "one"), keys.revoked(FLEET, "two")
# Of this fleet and of none of its kinds, of another fleet, and of nobody
FOREIGN = (keys.prefix(FLEET) + "other", keys.operate("other"), keys.issue("main2", "app"), "anything")
KEYS = (ISSUE, OTHER_ISSUE, OPERATE, STANDING, MINE, OTHER, MY_REVOKED, OTHER_REVOKED, *FOREIGN)
OF_FLEET = frozenset(key for key in KEYS if key.startswith(keys.prefix(FLEET)))

# A user of the test alone, who asks the server what the others may.
ADMIN = "judge"
ADMIN_LINE = f"user {ADMIN} on >{'judge' * 5} ~* &* +@all"

# Commands without rights: whoever is connected may use them.
ALWAYS = frozenset({"auth", "hello", "reset", "quit"})
READS = ("exists", "type", "hget", "hgetall", "hlen", "hmget", "hscan", "xinfo|stream", "xlen", "xrange", "xread")
READERS = {**dict.fromkeys((*READS, "xrevrange"), OF_FLEET)}
WITHOUT_KEYS = ("ping", "time", "info", "wait", "multi", "exec", "discard")
# By user and command the keys that it may be used on; None is one without keys. What is not here, nobody may.
MAY: dict[str, dict[str, frozenset[str] | None]] = {
    "gate-one": {
        **dict.fromkeys(WITHOUT_KEYS),
        **READERS,
        "hset": frozenset({MINE}),
        "hdel": frozenset({MINE}),
        "xadd": frozenset({MY_REVOKED}),
        "xtrim": frozenset({MY_REVOKED, ISSUE, OTHER_ISSUE}),
    },
    "operator": {
        **dict.fromkeys(WITHOUT_KEYS),
        **READERS,
        "xadd": frozenset({OPERATE}),
        "xtrim": frozenset({OPERATE}),
        **dict.fromkeys(("hset", "hsetnx", "hdel"), frozenset({STANDING})),
    },
    "issuer-app": {"ping": None, "xadd": frozenset({ISSUE})},
    "monitor": {"ping": None, "info": None},
    "exporter": {"info": None},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    (found,) = local_hub.make(tmp_path_factory.mktemp("hub"), extra_users=[ADMIN_LINE], monitoring_enabled=True)
    found.start()
    found.connect("monitor").close()
    yield found
    found.stop()


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[LocalHub]:
    """One for a single test, with little memory."""
    (found,) = local_hub.make(tmp_path, token_hub_memory=16 * 1024 * 1024)
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def judge(hub: LocalHub) -> Iterator[Connection]:
    with Connection(hub.endpoint(ADMIN, "judge" * 5)) as found:
        yield found


class Command:
    """A command of the server, with words that it takes."""

    def __init__(self, name: str, arity: int, first_key: int, flags: list[str]) -> None:
        self.name = name
        self.words = name.split("|")
        self.least = abs(arity)
        self.first_key = first_key
        self.flags = flags

    def line(self, key: str) -> list[str]:
        """A call with one key, as far as the command has keys in a fixed place; elsewhere by hand."""
        if self.name in BY_HAND:
            return [*self.words, *(key if word == "KEY" else word for word in BY_HAND[self.name])]
        rest = ["1"] * max(self.least - len(self.words), 0)
        if self.first_key and len(rest) >= self.first_key - len(self.words) + 1:
            rest[self.first_key - len(self.words)] = key
        return [*self.words, *rest]


# Those whose keys follow a number or a word
BY_HAND = {
    "xread": ("COUNT", "1", "STREAMS", "KEY", "0-0"),
    "xreadgroup": ("GROUP", "g", "c", "STREAMS", "KEY", "0-0"),
    "eval": ("return 1", "1", "KEY"),
    "eval_ro": ("return 1", "1", "KEY"),
    "evalsha": ("0" * 40, "1", "KEY"),
    "evalsha_ro": ("0" * 40, "1", "KEY"),
    "fcall": ("f", "1", "KEY"),
    "fcall_ro": ("f", "1", "KEY"),
    "lmpop": ("1", "KEY", "LEFT"),
    "blmpop": ("1", "1", "KEY", "LEFT"),
    "zmpop": ("1", "KEY", "MIN"),
    "bzmpop": ("1", "1", "KEY", "MIN"),
    "sintercard": ("1", "KEY"),
    "zinter": ("1", "KEY"),
    "zunion": ("1", "KEY"),
    "zdiff": ("1", "KEY"),
    "zintercard": ("1", "KEY"),
    "zinterstore": ("KEY", "1", "KEY"),
    "zunionstore": ("KEY", "1", "KEY"),
    "zdiffstore": ("KEY", "1", "KEY"),
    "migrate": ("127.0.0.1", "1", "KEY", "0", "1"),
}


def commands(judge: Connection) -> list[Command]:
    """All that the server has, subcommands instead of what holds them."""

    def read(entries: list) -> Iterator[Command]:
        for entry in entries:
            name, arity, flags, first = entry[0], entry[1], entry[2], entry[3]
            subcommands = entry[9] if len(entry) > 9 else []
            if subcommands:
                yield from read(subcommands)
            else:
                yield Command(name.lower(), arity, first, flags)

    return list(read(judge.ask("COMMAND")))


def allowed_by_server(judge: Connection, user: str, words: list[str]) -> bool:
    answer = str(judge.ask("ACL", "DRYRUN", user, *words))
    assert answer == "OK" or "has no permissions" in answer, (words, answer)
    return answer == "OK"


@pytest.mark.parametrize("user", MAY)
def test_a_user_may_use_exactly_the_commands_of_the_table_on_its_keys(judge: Connection, user: str) -> None:
    """Every command that the server has, on every kind of key."""
    tried, wrong = 0, []
    for command in commands(judge):
        has_key = bool(command.first_key) or command.name in BY_HAND
        for key in KEYS if has_key else KEYS[:1]:
            wanted = command.name in ALWAYS or (
                command.name in MAY[user]
                and (MAY[user][command.name] is None or key in (MAY[user][command.name] or ()))
            )
            try:
                found = allowed_by_server(judge, user, command.line(key))
            except Refused as error:
                # A container such as CLIENT alone, which is no command.
                if "unknown" not in error.told.lower() and "not found" not in error.told.lower():
                    raise
                continue
            tried += 1
            if found != wanted:
                wrong.append((command.name, key, "allowed" if found else "refused"))
    assert wrong == []
    assert tried > 2000, "the server has some 400 commands, half of which have keys"


SWITCHED_OFF = ("debug", "module|load", "module|loadex", "module|unload")


@pytest.mark.parametrize("user", MAY)
def test_the_server_does_refuse_what_the_table_does_not_have(hub: LocalHub, judge: Connection, user: str) -> None:
    """By the user's own connection: what DRYRUN tells is what happens."""
    wrong = []
    with hub.connect(user) as connection:
        for command in commands(judge):
            if command.name in ALWAYS or command.name in MAY[user]:
                continue
            try:
                wrong.append((command.name, connection.ask(*command.line(OPERATE))))
            except Refused as error:
                # What the configuration has off is refused before anybody's rights are looked at.
                if "NOPERM" not in error.told and (command.name not in SWITCHED_OFF or "not allowed" not in error.told):
                    wrong.append((command.name, error.told))
    assert wrong == []


@pytest.mark.parametrize(
    ("user", "kind", "name"),
    [
        ("gate-one", "gate", "one"),
        ("operator", "operator", ""),
        ("issuer-app", "issuer", "app"),
        ("monitor", "monitor", ""),
    ],
)
def test_what_the_module_tries_finds_nothing_wrong_and_changes_nothing(
    hub: LocalHub, judge: Connection, user: str, kind: str, name: str
) -> None:
    before = judge.ask("DBSIZE")
    with hub.connect(user) as connection:
        assert info.rights_problems(connection, kind, FLEET, name) == []
    assert judge.ask("DBSIZE") == before


def test_it_names_what_a_user_lacks_and_what_is_too_much(hub: LocalHub, judge: Connection) -> None:
    judge.ask("ACL", "SETUSER", "gate-poor", "on", ">" + "poor" * 5, "~*", "+ping")
    judge.ask("ACL", "SETUSER", "gate-rich", "on", ">" + "rich" * 5, "~*", "+@all")
    with Connection(hub.endpoint("gate-poor", "poor" * 5)) as connection:
        (lacks,) = info.rights_problems(connection, "gate", FLEET, "poor")
    assert (
        lacks.startswith("user gate-poor lacks rights of a gate at 127.0.0.1:") and f"XADD {{wssgate:{FLEET}}}" in lacks
    )
    with Connection(hub.endpoint("gate-rich", "rich" * 5)) as connection:
        (exceeds,) = info.rights_problems(connection, "gate", FLEET, "rich")
    assert "may more than a gate must" in exceeds and f"XADD {OPERATE}" in exceeds and "EVAL" in exceeds
    assert judge.ask("DBSIZE") == 0 or not judge.ask("EXISTS", keys.prefix(FLEET) + info.PROBE)


def test_an_issuer_appends_and_nothing_else(hub: LocalHub) -> None:
    with hub.connect("issuer-app") as issuer, hub.connect("gate-one") as gate, hub.connect("operator") as operator:
        first = issuer.ask("XADD", ISSUE, "*", "token", "t" * 32, "subject", "client-1", "ttl", "60")
        for words in (
            ("XADD", OTHER_ISSUE, "*", "a", "b"),
            ("XADD", OPERATE, "*", "a", "b"),
            ("XRANGE", ISSUE, "-", "+"),
        ):
            with pytest.raises(Refused, match="does not let this user"):
                issuer.ask(*words)
        assert gate.ask("XRANGE", ISSUE, "-", "+")[0][0] == first
        with pytest.raises(Refused, match="does not let this user"):
            gate.ask("XADD", ISSUE, "*", "a", "b")
        revoke = operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
        # What it can do to itself: docs/hub.md has what gates make of it.
        issuer.ask("XADD", ISSUE, "MAXLEN", "0", "99999999999999-0", "a", "b")
        assert gate.ask("XLEN", ISSUE) == 0
        assert gate.ask("XREAD", "STREAMS", OPERATE, "0-0")[0][1][-1][0] == revoke


# -- who is let in


def test_nobody_is_let_in_without_a_name_or_with_a_wrong_password(hub: LocalHub) -> None:
    with Connection(hub.endpoint()) as connection:
        for words in (("PING",), ("INFO",), ("XADD", ISSUE, "*", "a", "b")):
            with pytest.raises(Refused, match="wants a user"):
                connection.ask(*words)
    for user, password in (("operator", "wrong" * 8), ("default", ""), ("default", "x" * 20), ("nobody", "x" * 20)):
        with pytest.raises(HubError, match=f"does not let user {user} in: user or password are not right"):
            Connection(hub.endpoint(user, password))


def test_a_password_of_one_user_is_none_of_another(hub: LocalHub) -> None:
    with pytest.raises(HubError, match="does not let user operator in"):
        Connection(hub.endpoint("operator", hub.password("issuer-app")))


def test_a_server_of_another_authority_or_name_is_not_trusted(hub: LocalHub, tmp_path: Path) -> None:
    foreign = tmp_path / "ca.pem"
    foreign.write_bytes(pki.issue("another authority", ca=True).pem)
    with pytest.raises(HubError, match="127.0.0.1:[0-9]+ has a certificate that is not trusted"):
        Connection(hub.endpoint("operator")._replace(ca_path=str(foreign)))
    with pytest.raises(HubError, match="is not trusted"):
        Connection(hub.endpoint("operator")._replace(host="localhost"))
    # The system's authorities know nothing of it.
    with pytest.raises(HubError, match="is not trusted"):
        Connection(hub.endpoint("operator")._replace(ca_path=""))


def test_the_guide_makes_on_a_server_of_one_s_own_the_users_that_the_role_makes(
    hub: LocalHub, judge: Connection, tmp_path: Path
) -> None:
    """The commands of docs/hub.md, as they stand there."""
    guide = (Path(__file__).resolve().parents[2] / "docs" / "hub.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", guide, re.DOTALL)
    commands = textwrap.dedent(block)
    for there, here in (
        ("password of a user who may do this", "judge" * 5), ("valkey-cli", "redis-cli --no-auth-warning"),
        ("/etc/ssl/certs/hub-ca.pem", str(hub.credentials / "ca.pem")), ("hub.example.com", "127.0.0.1"),
        ("6379", str(hub.port)), ("--user admin", f"--user {ADMIN}"), ("gate1 gate2", "new-1 new-2"),
        ("(app)", "(new)"), ("make_user operator ", "make_user new-operator "),
        # It would write into the file of the other tests.
        ("hub acl save", "true"),
    ):  # fmt: skip
        assert there in commands, f"{there} is not in the guide"
        commands = commands.replace(there, here)
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stdout.split() == ["OK"] * 4, done.stdout + done.stderr
    passwords = yaml.safe_load((tmp_path / "hub-passwords.yml").read_text())["hub_passwords"]
    assert (tmp_path / "hub-passwords.yml").stat().st_mode & 0o077 == 0
    wanted = {
        "gate-new-1": acl.gate(FLEET, "new-1"), "gate-new-2": acl.gate(FLEET, "new-2"),
        "new-operator": acl.operator(FLEET), "issuer-new": acl.issuer(FLEET, "new"),
    }  # fmt: skip
    assert set(passwords) == set(wanted)

    def rights(user: str) -> list[object]:
        found = judge.ask("ACL", "GETUSER", user)
        return [value for name, value in zip(found[::2], found[1::2], strict=True) if name != "passwords"]

    for name, user in wanted.items():
        Connection(hub.endpoint(name, passwords[name])).close()
        rules = re.findall(r"\([^)]*\)|\S+", f"resetkeys resetchannels -@all {user.rules}")
        judge.ask("ACL", "SETUSER", "as-the-role", "reset", "on", f"#{'0' * 64}", *rules)
        assert rights(name) == rights("as-the-role")
    judge.ask("ACL", "DELUSER", "as-the-role", *wanted)


def test_there_is_no_way_in_without_tls_nor_by_an_old_version(hub: LocalHub) -> None:
    with socket.create_connection(("127.0.0.1", hub.port), 5) as plain:
        plain.settimeout(5)
        plain.sendall(b"*1\r\n$4\r\nPING\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = plain.recv(100)
        assert b"PONG" not in answer and b"NOAUTH" not in answer
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", hub.port), 5) as plain,
        pytest.raises(ssl.SSLError, match="(?i)version|alert|protocol"),
    ):
        old.wrap_socket(plain)


def test_it_listens_at_its_port_and_at_no_other(hub: LocalHub) -> None:
    assert hub.process is not None
    shown = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
    ours = [line.split()[4] for line in shown.splitlines() if f"pid={hub.process.pid}," in line]
    assert ours == [f"127.0.0.1:{hub.port}"]


# -- what is shown to nobody


def test_no_secret_stands_in_what_the_server_tells_or_was_started_with(hub: LocalHub, judge: Connection) -> None:
    token = "secret-token-" + "s" * 30
    with hub.connect("issuer-app") as issuer, hub.connect("operator") as operator:
        issuer.ask("XADD", ISSUE, "*", "token", token)
        with pytest.raises(Refused):
            operator.ask("XADD", ISSUE, "*", "token", token)
        with pytest.raises(Refused):
            issuer.ask("XADD", ISSUE, "1-1", "token", token)
    assert hub.process is not None
    texts = {
        "INFO": judge.ask("INFO", "everything"),
        "CONFIG": repr(judge.ask("CONFIG", "GET", "*")),
        "SLOWLOG": repr(judge.ask("SLOWLOG", "GET", "-1")),
        "ACL LOG": repr(judge.ask("ACL", "LOG")),
        "ACL LIST": repr([line for line in judge.ask("ACL", "LIST") if ADMIN not in line]),
        "CLIENT LIST": judge.ask("CLIENT", "LIST"),
        "arguments": Path(f"/proc/{hub.process.pid}/cmdline").read_text(),
        "environment": Path(f"/proc/{hub.process.pid}/environ").read_text(),
        "log": hub.log.read_text(),
        "configuration": (hub.folder / "hub.conf").read_text(),
        "users": (hub.credentials / "users.acl").read_text().replace(ADMIN_LINE, ""),
    }
    secrets = [token, *(hub.password(user) for user in (*MAY, "issuer-shop", "gate-two"))]
    assert {name: [one for one in secrets if one in text] for name, text in texts.items()} == dict.fromkeys(texts, [])
    assert judge.ask("CONFIG", "GET", "slowlog-log-slower-than")[1] == "-1"


@pytest.mark.parametrize("is_right", [True, False])
def test_the_module_s_result_has_no_password(hub: LocalHub, capsys: pytest.CaptureFixture[str], is_right: bool) -> None:
    """What -vvv shows of it is the arguments, which the result has."""
    password = hub.password("gate-one") if is_right else "wrong-password-of-gate-one"
    arguments = {
        "host": "127.0.0.1", "port": hub.port, "ca_path": str(hub.credentials / "ca.pem"), "username": "gate-one",
        "password": password, "kind": "gate", "name": "one",
    }  # fmt: skip
    with patch_module_args(arguments), pytest.raises(SystemExit):
        wss_hub_info.main()
    text = capsys.readouterr().out
    assert ('"problems": []' in text) == is_right and password not in text


@pytest.mark.parametrize(("days", "is_soon"), [(0, False), (88, False), (91, True)])
def test_a_certificate_that_ends_soon_is_told_in_time(hub: LocalHub, days: int, is_soon: bool) -> None:
    """That of the test's hub has 90 days."""
    endpoint = hub.endpoint("monitor")
    found, problems = wss_hub_info.look(
        {
            **dict.fromkeys(("sentinels", "sentinel_port", "password_path", "kind")),
            **{"host": endpoint.host, "port": endpoint.port, "ca_path": endpoint.ca_path},
            **{"username": endpoint.username, "password": endpoint.password, "certificate_days": days},
        }
    )
    assert 89 * 86400 < found["certificate_not_after"] - time.time() < 91 * 86400
    assert [problem for problem in problems if re.search("a certificate that ends in (89|90)[.]", problem)] == problems
    assert (len(problems) == 1) == is_soon


# -- what is kept


def test_what_was_confirmed_survives_a_kill(own_hub: LocalHub) -> None:
    """Killed while it takes entries: each one that was answered is there afterwards."""
    confirmed: list[str] = []
    with own_hub.connect("operator") as operator, contextlib.suppress(HubError):
        while True:
            confirmed.append(operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64))
            if len(confirmed) == 500:
                own_hub.kill()
    assert len(confirmed) == 500
    own_hub.start()
    with own_hub.connect("operator") as operator:
        found = [entry[0] for entry in operator.ask("XRANGE", OPERATE, "-", "+")]
    assert found[: len(confirmed)] == confirmed


def test_a_file_whose_end_was_torn_off_is_read_up_to_there(own_hub: LocalHub) -> None:
    with own_hub.connect("operator") as operator:
        entries = [operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64) for _number in range(20)]
    own_hub.kill()
    (file,) = (own_hub.data / "appendonlydir").glob("*.incr.aof")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 30)
    own_hub.start()
    with own_hub.connect("operator") as operator:
        assert [entry[0] for entry in operator.ask("XRANGE", OPERATE, "-", "+")] == entries[:-1]
        assert operator.ask("XADD", OPERATE, "*", "revoke", "e" * 64)


def test_a_file_that_is_damaged_elsewhere_is_not_taken_for_an_empty_one(own_hub: LocalHub) -> None:
    """A hub that began without its revocations would be worse than none."""
    with own_hub.connect("operator") as operator:
        for _number in range(20):
            operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
    own_hub.kill()
    (file,) = (own_hub.data / "appendonlydir").glob("*.incr.aof")
    with file.open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\0" * 40)
    own_hub.start()
    assert own_hub.process is not None and own_hub.process.wait(30) != 0
    assert "Bad file format reading the append only file" in own_hub.log.read_text()


def test_an_issuer_that_fills_the_memory_stops_itself_and_trimming_helps(own_hub: LocalHub) -> None:
    with own_hub.connect("issuer-app") as issuer, own_hub.connect("gate-one") as gate:
        with own_hub.connect("operator") as operator:
            revoke = operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
        text = "x" * 65536

        def flood() -> None:
            for _ in range(500):
                issuer.ask("XADD", ISSUE, "*", "token", text)

        with pytest.raises(Refused, match="memory is full"):
            flood()
        found = info.facts(parse_info(gate.ask("INFO")))
        assert found["memory_used"] < 1.5 * found["memory_limit"], "what a flood does to the hub's memory is bounded"
        # Nothing was thrown away.
        assert gate.ask("XRANGE", OPERATE, "-", "+")[0][0] == revoke
        with own_hub.connect("operator") as operator, pytest.raises(Refused, match="memory is full"):
            operator.ask("XADD", OPERATE, "*", "revoke", "e" * 64)
        assert gate.ask("XTRIM", ISSUE, "MAXLEN", "10") > 0
        with own_hub.connect("operator") as operator:
            assert operator.ask("XADD", OPERATE, "*", "revoke", "e" * 64)


# -- a server of the user's own


def test_each_reason_why_a_server_cannot_be_a_hub_is_one_sentence(hub: LocalHub, judge: Connection) -> None:
    def problems() -> list[str]:
        with hub.connect("monitor") as monitor:
            return info.server_problems("hub", info.facts(parse_info(monitor.ask("INFO"))))

    assert problems() == []
    judge.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    judge.ask("CONFIG", "SET", "appendonly", "no")
    try:
        assert problems() == [
            "hub has no append-only file, so that a crash loses tokens and revocations: set appendonly yes there",
            "hub throws keys away when its memory is full (maxmemory-policy allkeys-lru), and with them revocations: "
            "set maxmemory-policy noeviction there",
        ]
    finally:
        judge.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        judge.ask("CONFIG", "SET", "appendonly", "yes")


GOOD = {
    "engine": "redis", "version": "7.0.15", "has_append_only_file": True, "eviction": "noeviction",
    "writes_fail": False, "memory_limit": 100, "memory_used": 10, "is_linked": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "6.2.14"}, "is redis 6.2.14, and a hub needs 7.0 or newer, which has selectors"),
        ({"version": ""}, "is redis of an unknown version, and a hub needs 7.0"),
        ({"version": "seven"}, "is redis seven, and a hub needs 7.0"),
        ({"has_append_only_file": False}, "has no append-only file, so that a crash loses tokens and revocations: set"),
        ({"eviction": "volatile-ttl"}, "throws keys away when its memory is full (maxmemory-policy volatile-ttl)"),
        ({"eviction": ""}, "(maxmemory-policy unknown)"),
        ({"writes_fail": True}, "cannot write its append-only file: see its log and the space on its disk"),
        ({"memory_used": 95}, "uses 95 % of its memory and soon takes no entry any more: give it more"),
        ({"is_linked": False}, "is a replica that has lost its primary"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_server_is_one_sentence_with_where_and_what_to_do(changes: dict, words: str) -> None:
    assert info.server_problems("hub:1", GOOD) == []
    (problem,) = info.server_problems("hub:1", {**GOOD, **changes})
    assert problem.startswith("hub:1 ") and words in problem


def test_what_stays_on_a_server_of_one_s_own_goes_by_the_guide(tmp_path: Path) -> None:
    (found,) = local_hub.make(tmp_path, extra_users=[ADMIN_LINE])
    found.start()
    try:
        with found.connect("operator") as operator, found.connect("gate-one") as gate:
            operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
            gate.ask("HSET", MINE, "operate", "1-1")
            gate.ask("XADD", MY_REVOKED, "*", "revoke", "f" * 64)
        guide = (local_hub.ROOT / "docs" / "hub.md").read_text()
        (commands,) = re.findall(r"```console\n(export REDISCLI_AUTH.*?)```", guide, re.DOTALL)
        for there, here in (
            ("password of a user who may do this", "judge" * 5), ("--user admin", f"--user {ADMIN} --no-auth-warning"),
            ("/etc/ssl/certs/hub-ca.pem", str(found.credentials / "ca.pem")),
            ("-h hub.example.com -p 6379", f"-h 127.0.0.1 -p {found.port}"),
        ):  # fmt: skip
            assert there in commands
            commands = commands.replace(there, here)
        with Connection(found.endpoint(ADMIN, "judge" * 5)) as judge:
            other = keys.operate("other")
            judge.ask("XADD", other, "*", "a", "b")
            subprocess.run(["bash", "-euc", commands], check=True, capture_output=True, timeout=60)
            assert judge.ask("KEYS", "*") == [other]
            assert set(judge.ask("ACL", "USERS")) == {"default", ADMIN, "issuer-shop"}
    finally:
        found.stop()


# -- three of them


def issue_by_sentinel(hubs: list[LocalHub], folder: Path, token: str) -> None:
    """As the example of docs/hub-tokens.md does it for an application; Debian's Python has python3-redis."""
    guide = (Path(__file__).resolve().parents[2] / "docs" / "hub-tokens.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```py\n(.*?)```", guide, re.DOTALL)
    (folder / "hub-password").write_text(hubs[0].password("issuer-app") + "\n")
    for there, here in (
        ('[(f"hub{number}.example.com", 26380) for number in (1, 2, 3)]',
         repr([(hub.name, hub.sentinel_port) for hub in hubs])),
        ("/etc/my-app/hub-password", str(folder / "hub-password")),
        ("/etc/my-app/hub-ca.pem", str(hubs[0].credentials / "ca.pem")),
    ):  # fmt: skip
        assert there in code, f"{there} is not in the example"
        code = code.replace(there, here)
    code += f"hub.xadd({ISSUE!r}, {{'token': {token!r}, 'subject': 'client-42', 'ttl': 60}})\n"
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_three_servers_choose_another_primary_and_have_what_was_confirmed(tmp_path: Path) -> None:
    hubs = local_hub.make(tmp_path, 3, token_hub_down_after=1)
    first = hubs[0]
    try:
        for hub in hubs:
            hub.start()

        def state(hub: LocalHub) -> dict:
            # Sentinel ends all connections of a server that it makes another's replica.
            with contextlib.suppress(HubError), hub.connect("monitor") as monitor:
                return info.facts(parse_info(monitor.ask("INFO")))
            return {}

        wait_for(lambda: state(first).get("replicas") == 2)
        for hub in hubs:
            hub.start_sentinel()
        sentinels = [
            first.endpoint("gate-one")._replace(host=hub.name, port=hub.sentinel_port) for hub in hubs
        ]  # fmt: skip

        def primary() -> tuple[str, int] | None:
            with contextlib.suppress(HubError):
                return hub_connection.primary(sentinels, "wssgate")
            return None

        wait_for(lambda: primary() == (first.name, first.port))

        def know_each_other() -> bool:
            counts = []
            with contextlib.suppress(HubError):
                for one in sentinels:
                    with Connection(one) as sentinel:
                        counts += [len(sentinel.ask("SENTINEL", word, "wssgate")) for word in ("SENTINELS", "REPLICAS")]
            return counts == [2] * 6

        wait_for(know_each_other)

        def told() -> list[str]:
            # By the one that stays
            endpoint = hubs[2].endpoint("monitor")
            return wss_hub_info.look(
                {
                    **dict.fromkeys(("sentinels", "password_path", "kind")),
                    **{"host": endpoint.host, "port": endpoint.port, "sentinel_port": hubs[2].sentinel_port},
                    **{"service": "wssgate", "ca_path": endpoint.ca_path},
                    **{"username": endpoint.username, "password": endpoint.password, "certificate_days": 0},
                }
            )[1]

        assert told() == []
        issue_by_sentinel(hubs, tmp_path, "token-before-another-one-is-the-primary")
        with Connection(sentinels[0]) as sentinel:
            for words in (
                ("SENTINEL", "FAILOVER", "wssgate"),
                ("SENTINEL", "SET", "wssgate", "quorum", "1"),
                ("INFO",),
            ):
                with pytest.raises(Refused, match="does not let this user"):
                    sentinel.ask(*words)
        with first.connect("operator") as operator:
            confirmed = operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
            assert operator.ask("WAIT", "2", "5000") == 2
        first.kill()
        wait_for(lambda: (primary() or (first.name,))[0] != first.name, 30)
        second = next(hub for hub in hubs if hub.name == primary()[0])

        def append() -> str | None:
            # Until a replica follows it, and until it is the primary: until then it refuses, or breaks off.
            with contextlib.suppress(HubError), second.connect("operator") as operator:
                return operator.ask("XADD", OPERATE, "*", "revoke", "e" * 64)
            return None

        later = wait_for(append, 30)
        first.start()

        def is_replica() -> bool:
            found = state(first)
            return found.get("role") == "replica" and bool(found["is_linked"])

        wait_for(is_replica, 60)

        def entries() -> list[str]:
            with contextlib.suppress(HubError), first.connect("operator") as operator:
                return [entry[0] for entry in operator.ask("XRANGE", OPERATE, "-", "+")]
            return []

        found = wait_for(entries)
        # Whoever is broken off before the answer appends once more.
        assert found[0] == confirmed and found[-1] == later
        issue_by_sentinel(hubs, tmp_path, "token-since-another-one-is-the-primary")

        def issues() -> int:
            # On a busy machine yet another server may be the primary by now, and this one is its replica.
            with contextlib.suppress(HubError), second.connect("operator") as operator:
                return int(operator.ask("XLEN", ISSUE))
            return 0

        wait_for(lambda: issues() == 2)
        for hub in hubs[:2]:
            assert hub.sentinel is not None
            hub.sentinel.kill()
        wait_for(lambda: any("could not make another server the primary" in text for text in told()))
        assert hubs[2].sentinel is not None
        hubs[2].sentinel.kill()
        wait_for(lambda: any("no Sentinel of wssgate answers there" in text for text in told()))
    finally:
        for hub in hubs:
            hub.stop()


def test_one_server_that_is_left_of_three_takes_nothing_and_tells_why(tmp_path: Path) -> None:
    hubs = local_hub.make(tmp_path, 3)
    first = hubs[0]
    try:
        for hub in hubs:
            hub.start()
        with first.connect("operator") as operator, first.connect("gate-one") as gate:

            def replicas() -> int:
                return int(info.facts(parse_info(gate.ask("INFO")))["replicas"])

            wait_for(lambda: replicas() == 2, 60)
            kept = operator.ask("XADD", OPERATE, "*", "revoke", "e" * 64)
            for hub in hubs[1:]:
                hub.kill()
            wait_for(lambda: replicas() == 0, 60)
            with pytest.raises(Refused) as refused:
                operator.ask("XADD", OPERATE, "*", "revoke", "f" * 64)
            assert refused.value.kind == "NOREPLICAS"
            # Whoever reads goes on.
            assert [entry[0] for entry in gate.ask("XRANGE", OPERATE, "-", "+")] == [kept]
    finally:
        for hub in hubs:
            hub.stop()
