# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.wssgate.nginx.plugins.plugin_utils._htpasswd import (
    htpasswd_content,
    htpasswd_problems,
    htpasswd_written,
)

PASSWORD = "correct horse battery"
DIGEST = "x" * 86
USER = {"name": "operator", "password": PASSWORD}


def file_with(*users: t.Any, **more: t.Any) -> dict[str, t.Any]:
    return {"path": "/etc/nginx/.htpasswd", "users": list(users), **more}


def one_problem(*files: t.Any) -> str:
    problems = htpasswd_problems(list(files))
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    "value",
    [
        f"$6$salt${DIGEST}",
        f"$6$rounds=20000$0123456789abcdef${DIGEST}",
        f"$5$salt${'x' * 43}",
        f"$apr1$salt${'x' * 22}",
        f"$2y$08${'x' * 53}",
        f"$2b$05${'x' * 53}",
        "{SSHA}MTIzNDU2Nzg5MDEyMzQ1Njc4OTBzYWx0",
    ],
)
def test_a_hash_that_nginx_checks_quickly_is_taken_as_it_is(value: str) -> None:
    item = file_with({"name": "operator", "hash": value})

    assert htpasswd_problems([item]) == []
    assert htpasswd_content(item, "gate") == f"operator:{value}\n"


@pytest.mark.parametrize(
    "value",
    [
        "secret-in-clear",
        "{PLAIN}secret",
        "{SHA}MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
        "{SSHA}MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=",
        "{SSHA}x",
        f"$1$salt${'x' * 22}",
        f"$6$salt${'x' * 85}",
        f"$5$salt${DIGEST}",
        f"$6$salt${DIGEST}\n",
        f"$6$salt${DIGEST}\nroot:secret",
        f"$y$j9T$salt${'x' * 43}",
        f"$2y$08${'x' * 52}",
        "",
        12345,
    ],
)
def test_a_hash_that_nginx_does_not_know_is_refused_without_showing_it(value: t.Any) -> None:
    problem = one_problem(file_with({"name": "operator", "hash": value}))

    assert "users[0] (operator): the hash is" in problem
    assert not value or str(value) not in problem


@pytest.mark.parametrize(
    "value, reason",
    [
        (f"$6$rounds=20001$salt${DIGEST}", "20001 rounds"),
        (f"$6$rounds=656000$salt${DIGEST}", "656000 rounds"),
        (f"$5$rounds=535000$salt${'x' * 43}", "535000 rounds"),
        (f"$2y$09${'x' * 53}", "cost 9"),
        (f"$2b$12${'x' * 53}", "cost 12"),
    ],
)
def test_a_hash_too_slow_for_an_event_loop_is_refused_unless_allowed(value: str, reason: str) -> None:
    user = {"name": "operator", "hash": value}

    assert reason in one_problem(file_with(user))
    assert htpasswd_problems([file_with({**user, "allow_slow_hash": True})]) == []


@pytest.mark.parametrize("name", ["a:b", "a b", "a\tb", "a\nb", "a\x00b", "a\u2028b", "#a", "a\x7fb"])
def test_a_user_name_that_would_break_the_line_is_refused(name: str) -> None:
    assert "a name has no colon, blank" in one_problem(file_with({"name": name, "password": PASSWORD}))


@pytest.mark.parametrize(
    "user", [{"password": PASSWORD}, {"name": "", "password": PASSWORD}, {"name": 7, "password": PASSWORD}]
)
def test_a_user_without_a_name_is_refused(user: dict[str, t.Any]) -> None:
    assert "users[0] has no name" in one_problem(file_with(user))


def test_both_password_and_hash_are_refused() -> None:
    assert "both password and hash" in one_problem(file_with({**USER, "hash": f"$6$salt${DIGEST}"}))


@pytest.mark.parametrize("user", [{"name": "operator"}, {"name": "operator", "password": None}])
def test_neither_password_nor_hash_is_refused(user: dict[str, t.Any]) -> None:
    assert "neither password nor hash" in one_problem(file_with(user))


@pytest.mark.parametrize(
    "password, reason",
    [
        ("", "is empty"),
        (12345, "put it in quotes"),
        (True, "put it in quotes"),
        ("two\nlines", "control character"),
        ("cut\x00here", "control character"),
        ("\u00e4" * 256, "longer than the 511 bytes"),
    ],
)
def test_a_password_that_would_not_work_is_refused_without_showing_it(password: t.Any, reason: str) -> None:
    problem = one_problem(file_with({"name": "operator", "password": password}))

    assert reason in problem
    assert not password or str(password) not in problem


def test_a_password_of_the_greatest_length_works() -> None:
    assert htpasswd_problems([file_with({"name": "operator", "password": "x" * 511})]) == []


def test_a_user_twice_in_one_file_is_refused() -> None:
    assert "users[1] (operator): the name is there twice" in one_problem(file_with(USER, USER))


def test_a_user_in_two_files_is_fine() -> None:
    assert htpasswd_problems([file_with(USER), {"path": "/etc/nginx/other", "users": [USER]}]) == []


def test_a_path_twice_is_refused_however_it_is_written() -> None:
    assert "the path is there twice" in one_problem(file_with(USER), {"path": "/etc//nginx/./.htpasswd", "users": []})


@pytest.mark.parametrize("path", [None, "", "relative", "/etc/nginx/", "/etc/\nnginx"])
def test_a_path_that_is_no_absolute_file_is_refused(path: t.Any) -> None:
    assert "absolute path" in one_problem({"path": path, "users": []})


@pytest.mark.parametrize(
    "value, reason",
    [
        ("text", "htpasswd_files is not a list"),
        ([7], "htpasswd_files[0] is not a dictionary"),
        ([{"path": "/a"}], "users is not a list"),
        ([{"path": "/a", "users": ["operator"]}], "users[0] is not a dictionary"),
    ],
)
def test_input_of_the_wrong_shape_is_named(value: t.Any, reason: str) -> None:
    problems = htpasswd_problems(value)

    assert len(problems) == 1
    assert reason in problems[0]


def test_every_problem_is_reported_and_none_shows_the_password() -> None:
    problems = htpasswd_problems([file_with({"name": "a:b", "password": PASSWORD}, {**USER, "hash": "x"}, USER, USER)])

    assert len(problems) == 4
    assert PASSWORD not in " ".join(problems)


def test_a_password_becomes_a_hash_of_5000_rounds_that_stays_the_same() -> None:
    first = htpasswd_content(file_with(USER), "gate")

    assert first == htpasswd_content(file_with(USER), "gate")
    assert first.startswith("operator:$6$")
    assert "rounds=" not in first
    assert PASSWORD not in first


def test_the_salt_depends_on_host_path_user_and_seed_and_not_on_the_password() -> None:
    def salt(user: dict[str, str] = USER, host: str = "gate", path: str = "/a", seed: str = "") -> str:
        return htpasswd_content({"path": path, "users": [user]}, host, seed).split("$")[2]

    assert len({salt(), salt(host="other"), salt(path="/b"), salt(seed="x"), salt({**USER, "name": "o"})}) == 5
    assert salt() == salt({**USER, "password": "another"})
    assert len(salt()) == 16


def test_the_order_of_users_is_kept_and_no_user_means_no_line() -> None:
    other = {"name": "aaa", "hash": f"$6$salt${DIGEST}"}

    assert [line.split(":")[0] for line in htpasswd_content(file_with(USER, other), "gate").splitlines()] == [
        "operator",
        "aaa",
    ]
    assert htpasswd_content(file_with(), "gate") == ""


def test_content_is_never_made_from_wrong_input() -> None:
    with pytest.raises(AnsibleFilterError, match="no colon"):
        htpasswd_content(file_with({"name": "a:b", "password": PASSWORD}), "gate")


def test_files_are_handed_over_with_their_own_attributes_or_those_of_all() -> None:
    users = [{"name": "a", "hash": "$6$salt$" + "x" * 86}]
    files = [
        {"path": "/etc/nginx/a", "users": users},
        {"path": "/etc/nginx/b", "users": [], "owner": "web", "group": None, "mode": "0600"},
    ]
    header = "# Ansible managed by wssgate.nginx; changes made here are lost\n"
    assert htpasswd_written(files, "host", "root", "www-data", "0640") == [
        {
            "path": "/etc/nginx/a",
            "content": f"{header}a:$6$salt${'x' * 86}\n",
            "owner": "root",
            "group": "www-data",
            "mode": "0640",
        },
        {"path": "/etc/nginx/b", "content": header, "owner": "web", "group": "www-data", "mode": "0600"},
    ]


def test_another_seed_gives_other_hashes() -> None:
    files = [{"path": "/etc/nginx/a", "users": [{"name": "a", "password": "b"}]}]
    found = [htpasswd_written(files, "host", "root", "web", "0640", seed) for seed in ("", "", "x")]
    assert found[0] == found[1] != found[2]
