# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module wss_hub_token refuses before it asks the hub. tests/functional has it with one."""

from __future__ import annotations

import base64
import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.adopting import Adoption
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Merge, Rules
from ansible_collections.wssgate.nginx.plugins.modules import wss_hub_token
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

TOKEN = "token-of-before-the-hub"
WHERE = {"server": {"host": "127.0.0.1", "port": 1}, "password": "operator" * 3}


def call(capsys: pytest.CaptureFixture[str], **arguments: t.Any) -> t.Dict[str, t.Any]:
    with patch_module_args({**WHERE, **arguments}), pytest.raises(SystemExit):
        wss_hub_token.main()
    found: t.Dict[str, t.Any] = json.loads(capsys.readouterr().out)
    return found


def encoded(*tokens: t.Any) -> str:
    return base64.b64encode(json.dumps(list(tokens)).encode()).decode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"jti": ["t-1"]}, "jti is for state=absent"),
        ({"state": "absent", "jti": ["t-1"]}, "jti needs issuer"),
        ({"state": "absent", "jti": [], "issuer": "https://id"}, "jti is empty"),
        ({"state": "absent", "jti": ["eyJx.eyJx.c2ln"], "issuer": "https://id"}, "is a whole token"),
        ({"state": "absent", "token_ids": ["ab" * 31]}, "token_ids[0] is not the id of a token"),
        ({"state": "absent", "token_ids": ["ab" * 32], "subject": "ann"}, "not both"),
        ({"state": "absent", "token_ids": ["ab" * 32], "until": 5}, "until is 5, which has passed"),
        ({"state": "absent", "fingerprints": ["ab" * 32], "until": 5}, "until is for signed tokens"),
        ({"state": "absent", "fingerprints": ["ab" * 32], "issued_before": 5}, "issued_before is for signed tokens"),
        ({"state": "absent", "subject": "ann", "issued_before": 0}, "issued_before must be in seconds"),
        ({"state": "absent", "subject": "ann", "ack_timeout": 601}, "ack_timeout must be 0 to 600"),
        ({"state": "absent", "adopt": encoded()}, "adopt is for state=present"),
        ({"adopt": encoded(), "subject": "ann"}, "adopt is for state=present, and nothing else"),
        ({"adopt": "e30="}, "adopt is not the base64 of a JSON list"),
        ({"adopt": TOKEN}, "adopt is not the base64 of a JSON list"),
        ({"password": None}, "password or password_path is needed"),
        ({"gates": ["a b"], "state": "absent", "subject": "ann"}, "cannot be the name of a gate"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_the_hub_is_asked(
    capsys: pytest.CaptureFixture[str], arguments: t.Dict[str, t.Any], words: str
) -> None:
    found = call(capsys, **arguments)
    assert found["failed"] and words in found["msg"]
    assert found["request_problem"] == found["msg"] and "hub_problem" not in found
    assert TOKEN not in json.dumps(found["msg"])


def test_a_hub_that_is_away_is_another_matter(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = call(capsys, state="absent", subject="ann")
    assert found["failed"] and found["hub_problem"] == found["msg"] and "request_problem" not in found
    found = call(capsys, state="absent", subject="ann", password="", password_path=str(tmp_path / "none"))
    assert "is not there" in found.get("hub_problem", found)


def adopted(*given: t.Dict[str, t.Any], now: t.Optional[int] = None) -> Adoption:
    return Adoption(given, Merge({"app": Rules(60)}), int(time.time()) if now is None else now)


def test_a_token_of_a_clock_that_was_ahead_is_of_now() -> None:
    one = {"token": TOKEN, "subject": "ann", "issued_at": 1500, "expires_at": None}
    assert [item.issued_at for item in adopted(one, now=900).wanted] == [900]


def test_gates_that_differ_agree_on_the_earliest_end_and_not_on_two_subjects() -> None:
    one = {"token": TOKEN, "subject": "ann", "issued_at": 5, "expires_at": None}
    found = adopted(one, {**one, "expires_at": 2000, "issued_at": 7}, {**one, "expires_at": 1000}, now=900)
    assert [tuple(item) for item in found.wanted] == [(TOKEN, "ann", 5, 1000)]
    found = adopted(one, {**one, "subject": None}, now=900)
    assert found.wanted == [] and found.left_alone[0]["reason"] == "gates have it for different subjects"
    assert TOKEN not in json.dumps(found.left_alone)
    assert adopted({**one, "expires_at": 899}, now=900).left_alone[0]["reason"] == "it has expired"


@pytest.mark.parametrize(
    "wrong", [{"token": "short"}, {}, {"token": TOKEN, "expires_at": "x"}, {"token": TOKEN, "subject": "\0"}]
)
def test_what_is_no_token_is_refused_without_a_word_of_it(wrong: t.Dict[str, t.Any]) -> None:
    with pytest.raises(Exception, match=r"adopt\[0\] has no|control character") as raised:
        adopted(wrong)
    assert TOKEN not in str(raised.value)
