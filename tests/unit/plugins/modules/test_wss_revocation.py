# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wss_revocation and wss_revocation_info: arguments in, one JSON object out, and files as jwt.js reads them."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._host import locks
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations import store
from ansible_collections.wssgate.nginx.plugins.modules import wss_revocation, wss_revocation_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

ISSUER, OTHER = "https://id.example.com", "https://other.example.com"
TOKEN_ID = "ab" * 32
NOW = int(time.time())
# Not over before the last test has begun
SOON = NOW + 86400
Answer = Dict[str, Any]


class Host:
    def __init__(self, root: Path) -> None:
        self.root, self.etc = root, root / "etc"
        self.path = root / "revoked"
        self.path.mkdir(mode=0o710)
        for kind in store.KINDS:
            (self.path / kind).mkdir(mode=0o710)
        (self.etc / "wssgate.d").mkdir(parents=True)
        self.log = root / "sessions.log"
        self.log.touch(mode=0o600)
        self.takes((ISSUER, 3600))

    def takes(self, *issuers: tuple[str, int]) -> None:
        found = {f"n{i}": {"issuer": one, "max_token_lifetime": long} for i, (one, long) in enumerate(issuers)}
        (self.etc / "wssgate.d/jwt.json").write_text(json.dumps({"issuers": found}))

    def of_token(self, jti: str, issuer: str = ISSUER) -> Path:
        return self.path / "jti" / hashlib.sha256(f"{issuer}\n{jti}".encode()).hexdigest()

    def of_subject(self, subject: str) -> Path:
        return self.path / "sub" / hashlib.sha256(subject.encode()).hexdigest()

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {
            str(one.relative_to(self.path)): (one.read_bytes(), one.stat().st_mtime_ns)
            for one in self.path.rglob("*")
            if one.is_file()
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(locks, "PLACE", str(tmp_path / "locks"))
    return Host(tmp_path)


@pytest.fixture
def ask(host: Host, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(module: Any = wss_revocation, **options: Any) -> Answer:
        capsys.readouterr()
        arguments = {"path": str(host.path), "nginx_directory": str(host.etc), **options}
        if module is wss_revocation:
            arguments = {"session_log": str(host.log), "store": str(host.root / "tokens"), **arguments}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        answer: Answer = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_a_token_is_an_empty_file_that_bears_its_end(host: Host, ask: Callable[..., Answer]) -> None:
    answer = ask(jti=["t-1"], until=SOON + 900, _ansible_diff=True)
    assert (answer["changed"], answer["created"], answer["takes_signed_tokens"]) == (True, 1, True)
    path = host.of_token("t-1")
    found = path.stat()
    assert (path.read_bytes(), int(found.st_mtime), stat.S_IMODE(found.st_mode)) == (b"", SOON + 900, 0o640)
    assert found.st_gid == path.parent.stat().st_gid
    assert answer["entries"] == [
        {"kind": "jti", "id": path.name, "issued_before": None, "until": SOON + 900, "change": "created"}
    ]
    assert answer["diff"]["before"] == ""
    assert answer["diff"]["after"].startswith(f"jti {path.name[:12]} until 20")
    before = host.files()
    for more in ({"until": SOON + 900}, {"until": SOON + 800}, {}):
        again = ask(jti=["t-1"], **more)
        assert (again["changed"], again["unchanged"], host.files()) == (False, 1, before)
    later = ask(jti=["t-1"], until=SOON + 901)
    assert (later["changed"], later["updated"], int(path.stat().st_mtime)) == (True, 1, SOON + 901)


def test_by_default_it_ends_with_the_longest_token_of_any_issuer(host: Host, ask: Callable[..., Answer]) -> None:
    host.takes((ISSUER, 60), (OTHER, 7200))
    (entry,) = ask(token_ids=[TOKEN_ID])["entries"]
    assert entry["id"] == TOKEN_ID and 7200 <= entry["until"] - time.time() + 5 <= 7210
    far = NOW + 10000
    (entry,) = ask(subject=["ann"], issued_before=far)["entries"]
    assert entry["until"] == far + 7200


def test_a_subject_has_a_time_and_the_later_one_counts(host: Host, ask: Callable[..., Answer]) -> None:
    ask(subject=["Zoë"], issued_before=NOW - 100)
    path = host.of_subject("Zoë")
    assert path.read_bytes() == b"%d\n" % (NOW - 100)
    end = int(path.stat().st_mtime)
    before = host.files()
    for earlier in (NOW - 100, NOW - 101, 1):
        assert ask(subject=["Zoë"], issued_before=earlier)["changed"] is False
    assert host.files() == before
    answer = ask(subject=["Zoë"], issued_before=NOW - 99, until=int(time.time()) + 60)
    assert (answer["updated"], path.read_bytes()) == (1, b"%d\n" % (NOW - 99))
    # What it stood for so far ends when it was to end.
    assert int(path.stat().st_mtime) == end
    since = time.time()
    answer = ask(subject=["Zoë"])
    # What is issued in this very second is void, too.
    assert since < answer["entries"][0]["issued_before"] <= time.time() + 1


def test_check_mode_changes_nothing_and_tells_the_same(host: Host, ask: Callable[..., Answer]) -> None:
    wanted = {"jti": ["t-1", "t-2", "t-1"], "subject": ["ann"], "issued_before": NOW, "until": SOON + 900}
    dry = ask(**wanted, _ansible_check_mode=True, _ansible_diff=True)
    assert host.files() == {}
    real = ask(**wanted, _ansible_diff=True)
    assert {**dry, "invocation": 0} == {**real, "invocation": 0}
    assert real["created"] == 3 and len(host.files()) == 3
    gone = ask(jti=["t-1"], subject=["ann", "bob"], state="absent", _ansible_check_mode=True)
    assert (gone["removed"], gone["unchanged"], len(host.files())) == (2, 1, 3)
    gone = ask(jti=["t-1"], subject=["ann", "bob"], state="absent")
    assert (gone["changed"], gone["removed"], gone["unchanged"]) == (True, 2, 1)
    assert list(host.files()) == [str(host.of_token("t-2").relative_to(host.path))]
    assert ask(jti=["t-1"], state="absent")["changed"] is False


def test_what_somebody_made_by_hand_stays_as_it_is(host: Host, ask: Callable[..., Answer]) -> None:
    host.of_token("t-1").touch()
    host.of_subject("ann").write_text(f"{NOW}")
    before = host.files()
    answer = ask(jti=["t-1"], subject=["ann"], issued_before=NOW, until=SOON + 60)
    assert (answer["changed"], host.files()) == (False, before)
    assert [one["until"] for one in ask(wss_revocation_info)["revocations"]] == [None, None]
    ask(subject=["ann"], issued_before=NOW + 1)
    assert host.of_subject("ann").read_text() == f"{NOW + 1}\n"
    assert [one["until"] for one in ask(wss_revocation_info, subject=["ann"])["revocations"]] == [None]


def test_what_cannot_be_read_is_replaced(host: Host, ask: Callable[..., Answer]) -> None:
    host.of_subject("ann").write_text("soon")
    (problem,) = ask(wss_revocation_info)["problems"]
    assert problem.endswith(
        "has no time in seconds since 1970: every token of its subject is refused until it is removed"
    )
    assert ask(subject=["ann"], issued_before=NOW)["updated"] == 1
    assert ask(wss_revocation_info)["problems"] == []


def test_one_that_is_about_to_go_is_taken_back_anew(host: Host, ask: Callable[..., Answer]) -> None:
    ask(jti=["t-1"], until=int(time.time()) + 2)
    path = host.of_token("t-1")
    end = int(path.stat().st_mtime)
    while time.time() <= end:
        time.sleep(0.05)
    assert ask(jti=["t-1"])["updated"] == 1
    assert path.stat().st_mtime > end + 3000


def test_one_that_was_given_too_early_an_end_gets_the_usual_one(host: Host, ask: Callable[..., Answer]) -> None:
    host.takes((ISSUER, 7200))
    soon = int(time.time()) + 60
    ask(jti=["t-1"], until=soon)
    ask(subject=["ann"], issued_before=NOW, until=soon)
    for asked, path in (
        ({"jti": ["t-1"]}, host.of_token("t-1")),
        ({"subject": ["ann"], "issued_before": NOW}, host.of_subject("ann")),
    ):
        assert ask(**asked)["updated"] == 1
        assert path.stat().st_mtime >= NOW + 7200
        assert ask(**asked)["changed"] is False
        # Tokens may live longer by now.
        host.takes((ISSUER, 86400))
        assert ask(**asked)["updated"] == 1
        assert path.stat().st_mtime >= NOW + 86400
        assert ask(**asked)["changed"] is False
        host.takes((ISSUER, 7200))
        assert ask(**asked)["changed"] is False


def test_a_gate_without_signed_tokens_is_left_alone(host: Host, ask: Callable[..., Answer]) -> None:
    (host.etc / "wssgate.d/jwt.json").unlink()
    answer = ask(subject=["ann"], issuers_required=False)
    assert (answer["changed"], answer["takes_signed_tokens"], answer["sessions"]["found"]) == (False, False, 0)
    assert host.files() == {}
    assert ask(subject=["ann"])["msg"].startswith("this gate takes no signed tokens: there is no ")
    assert ask(wss_revocation_info)["takes_signed_tokens"] is False
    host.takes()
    assert ask(subject=["ann"], issuers_required=False)["takes_signed_tokens"] is False


def test_the_one_issuer_need_not_be_named(host: Host, ask: Callable[..., Answer]) -> None:
    ask(jti=["t-1"])
    assert host.of_token("t-1").exists()
    host.takes((ISSUER, 60), (OTHER, 60))
    assert ask(jti=["t-2"])["msg"] == (
        f"a jti counts with its issuer, and this gate has several: give one of '{ISSUER}', '{OTHER}'"
    )
    ask(jti=["t-2"], issuer=OTHER)
    assert host.of_token("t-2", OTHER).exists() and not host.of_token("t-2").exists()


WHOLE = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing is asked for: give jti, token_ids or subject"),
        ({"jti": []}, "jti is empty: name at least one, or leave it out"),
        ({"subject": [""]}, "subject[0] is empty"),
        ({"jti": ["a", "b\nc"]}, "jti[1] has a control character, which no token has that the gate takes"),
        ({"jti": [WHOLE]}, "jti[0] is a whole token: give its claim jti"),
        ({"token_ids": ["t-1"]}, "token_ids[0] is not the id of a token: 64 of the digits 0-9 and a-f are needed"),
        ({"token_ids": ["AB" * 32]}, "token_ids[0] is not the id of a token"),
        ({"token_ids": ["../" * 20 + "etc"]}, "token_ids[0] is not the id of a token"),
        ({"subject": ["a"], "issuer": ISSUER}, "issuer is for jti, which is not given"),
        ({"jti": ["a"], "issuer": "https://evil"}, "issuer 'https://evil' is none of this gate's, by the claim iss"),
        ({"jti": ["a"], "issued_before": NOW}, "issued_before is for subject, which is not given"),
        ({"subject": ["a"], "issued_before": 0}, "issued_before must be in seconds since 1970, not 0"),
        ({"subject": ["a"], "issued_before": NOW * 1000}, "issued_before must be in seconds since 1970"),
        ({"subject": ["a"], "issued_before": NOW * 9}, "issued_before is"),
        ({"subject": ["a"], "issued_before": "soon"}, "argument 'issued_before' is of type"),
        ({"subject": ["a"], "until": NOW - 1}, f"until is {NOW - 1}, which has passed"),
        ({"subject": ["a"], "until": NOW * 1000}, f"until is {NOW * 1000}, more than 10 years ahead"),
        ({"subject": ["a"], "issued_before": SOON + 90, "until": SOON + 90}, "must be later than issued_before"),
        ({"subject": ["a"], "state": "absent", "until": SOON + 60}, "until is for state=present"),
        ({"subject": ["a"], "state": "absent", "issued_before": NOW}, "issued_before is for state=present"),
        ({"subject": ["a"], "state": "gone"}, "value of state must be one of"),
        ({"subject": ["a"], "subjects": ["b"]}, "Unsupported parameters"),
    ],
    # Without the texts: the time in them differs from one process to the next.
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_cannot_be_meant_is_one_clear_error_and_changes_nothing(
    host: Host, ask: Callable[..., Answer], options: dict[str, Any], words: str
) -> None:
    answer = ask(**options)
    assert answer["failed"] and words in answer["msg"], answer["msg"]
    assert "\n" not in answer["msg"] and WHOLE not in answer["msg"]
    assert host.files() == {}


def link(path: Path) -> None:
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


def widen(path: Path) -> None:
    path.chmod(0o777)


@pytest.mark.parametrize("name", ["", "jti", "sub"])
@pytest.mark.parametrize(
    ("harm", "words"), [(link, "is a symlink, which is not followed"), (widen, "can be written by others than root")]
)
def test_a_folder_that_others_may_have_made_is_refused(
    host: Host, ask: Callable[..., Answer], name: str, harm: Callable[[Path], None], words: str
) -> None:
    harm(host.path / name)
    answer = ask(jti=["t-1"])
    assert answer["failed"] and words in answer["msg"] and str(host.path / name).rstrip("/") in answer["msg"]
    assert host.files() == {}
    shown = ask(wss_revocation_info)
    assert words in (shown["msg"] if harm is link else shown["problems"][0])


def test_without_the_folder_the_role_is_named(host: Host, ask: Callable[..., Answer]) -> None:
    (host.path / "sub").rmdir()
    expected = f"{host.path}/sub does not exist: role wss_proxy makes it where a location takes signed tokens"
    assert ask(jti=["t-1"])["msg"] == expected
    assert ask(wss_revocation_info)["problems"] == [expected]
    # Role wss_proxy would have made it by now.
    assert ask(jti=["t-1"], _ansible_check_mode=True)["created"] == 1


def test_a_link_in_the_place_of_an_entry_is_not_written_through(host: Host, ask: Callable[..., Answer]) -> None:
    outside = host.root / "outside"
    outside.write_text("mine")
    for path in (host.of_subject("ann"), host.of_token("t-1")):
        path.symlink_to(outside)
    failed = ask(subject=["bob", "ann"], issued_before=NOW)
    assert f"{host.of_subject('ann')} is a symlink" in failed["msg"]
    assert not host.of_subject("bob").exists()
    assert f"{host.of_token('t-1')} is a symlink" in ask(jti=["t-1"], state="absent")["msg"]
    assert outside.read_text() == "mine"
    # It takes the token back as it is, wherever it leads.
    assert ask(jti=["t-1"])["changed"] is False
    outside.unlink()
    assert store.is_void(host.of_token("t-1").name, "", None, str(host.path))
    assert ask(wss_revocation_info)["totals"] == {"tokens": 1, "subjects": 1}


def test_a_configuration_that_is_none_is_an_error(host: Host, ask: Callable[..., Answer]) -> None:
    (host.etc / "wssgate.d/jwt.json").write_text("[]")
    assert "does not have the gate's issuers: run wssgate.nginx.site" in ask(jti=["t-1"])["msg"]


def test_sessions_that_cannot_be_looked_at_are_told_once_all_is_taken_back(
    host: Host, ask: Callable[..., Answer]
) -> None:
    host.log.unlink()
    failed = ask(jti=["t-1"])
    assert failed["failed"] and "open sessions could not be ended" in failed["msg"] and failed["created"] == 1
    assert host.of_token("t-1").exists()
    warned = ask(jti=["t-2"], disconnect_required=False)
    assert "failed" not in warned and "could not be ended" in json.dumps(warned["warnings"])
    assert "sessions" not in ask(jti=["t-3"], disconnect=False)


def test_the_list_has_those_that_end_first_in_front_and_those_that_are_asked_for(
    host: Host, ask: Callable[..., Answer]
) -> None:
    ask(jti=["late"], until=SOON + 900)
    ask(jti=["soon"], until=SOON + 100)
    ask(subject=["ann"], issued_before=NOW, until=SOON + 500)
    (host.path / "jti" / "README").touch()
    found = ask(wss_revocation_info)
    assert [one["until"] - SOON for one in found["revocations"]] == [100, 500, 900]
    assert found["totals"] == {"tokens": 2, "subjects": 1}
    assert found["problems"] == [f"{host.path} holds 1 names that stand for no token and no subject: remove them"]
    (one,) = ask(wss_revocation_info, subject=["ann", "bob"])["revocations"]
    assert (one["kind"], one["issued_before"], one["problem"]) == ("sub", NOW, "")
    assert ask(wss_revocation_info, jti=["none"])["revocations"] == []
    assert ask(wss_revocation_info, issuer=ISSUER)["failed"]


def test_the_documentation_names_every_option() -> None:
    for module, spec in (
        (wss_revocation, wss_revocation.argument_spec()),
        (wss_revocation_info, {"jti", "issuer", "token_ids", "subject", "path", "nginx_directory"}),
    ):
        assert set(yaml.safe_load(module.DOCUMENTATION)["options"]) == set(spec)


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads what it likes")
def test_who_may_not_look_is_told(host: Host, ask: Callable[..., Answer]) -> None:
    ask(jti=["t-1"])
    (host.path / "jti").chmod(0o700)
    (problem,) = ask(wss_revocation_info)["problems"]
    assert problem == f"{host.path}/jti has mode 0700: nginx's group has to look names up in it (0710)"
