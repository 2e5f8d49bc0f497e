# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of the hub's users: made once, for root alone, and never made again behind anybody's back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import passwords
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.passwords import Result, Wanted


def path_of(folder: Path) -> Path:
    return folder / "wssgate" / "hub" / "password"


def test_a_password_is_made_once_and_its_hash_is_told(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    first = passwords.ensure(Wanted("gate-one", str(path)))
    password = path.read_text().strip()
    assert first == Result(True, hashlib.sha256(password.encode()).hexdigest()) and len(password) == 43
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert passwords.ensure(Wanted("gate-one", str(path))) == Result(False, first.sha256)


def test_a_dry_run_makes_none(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    assert passwords.ensure(Wanted("gate-one", str(path)), is_dry=True) == Result(True, "")
    assert not path.parent.exists()


def test_one_that_others_could_read_is_closed_and_stays(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    before = passwords.ensure(Wanted("gate-one", str(path)))
    path.chmod(0o644)
    assert passwords.ensure(Wanted("gate-one", str(path))) == Result(True, before.sha256)
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_was_given_is_written_and_its_hash_is_not_told(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    passwords.ensure(Wanted("operator", str(path)))
    given = Wanted("operator", str(path), content="correct-horse-battery")
    assert passwords.ensure(given) == Result(True, "") and path.read_text() == "correct-horse-battery\n"
    assert passwords.ensure(given) == Result(False, "")


def test_none_is_made_for_a_file_that_was_taken_away_while_the_hub_has_its_hash(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    assert passwords.ensure(Wanted("issuer-app", str(path), is_kept=True)) == Result(False, "")
    assert not path.exists()


def test_a_server_reads_its_own_from_the_lines_that_it_takes(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    wanted = Wanted("sentinel", str(path), text="sentinel auth-pass hub {}\nsentinel sentinel-pass {}")
    found = passwords.ensure(wanted)
    first, second = path.read_text().splitlines()
    password = first.split()[-1]
    assert second.split()[-1] == password and hashlib.sha256(password.encode()).hexdigest() == found.sha256
    assert passwords.ensure(wanted) == Result(False, found.sha256)


@pytest.mark.parametrize("content", ["short", "with blanks in between them", "a\nsecond-line-of-the-file"])
def test_what_could_be_no_password_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    with pytest.raises(HostError, match="the password of operator must be 16 to 512 characters") as error:
        passwords.ensure(Wanted("operator", str(path_of(tmp_path)), content=content))
    assert content not in str(error.value) and not path_of(tmp_path).exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.parent.mkdir(parents=True)
    target = tmp_path / "target"
    target.write_text("somebody else's")
    path.symlink_to(target)
    with pytest.raises(HostError, match="symlink|link"):
        passwords.ensure(Wanted("gate-one", str(path)))
    assert target.read_text() == "somebody else's"
