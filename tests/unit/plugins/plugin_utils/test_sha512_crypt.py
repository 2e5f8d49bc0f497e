# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._sha512_crypt import sha512_crypt

# The vectors of https://www.akkadia.org/drepper/SHA-crypt.txt: salt, rounds, password, hash
SPECIFICATION = [
    (
        "saltstring",
        None,
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    (
        "saltstringsaltstring",
        10000,
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$"
        "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    (
        "toolongsaltstring",
        5000,
        "This is just a test",
        "$6$rounds=5000$toolongsaltstrin$"
        "lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0",
    ),
    (
        "anotherlongsaltstring",
        1400,
        "a very much longer text to encrypt.  This one even stretches over morethan one line.",
        "$6$rounds=1400$anotherlongsalts$"
        "POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
    ),
    (
        "short",
        77777,
        "we have a short salt string but not a short password",
        "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
    ),
    (
        "asaltof16chars..",
        123456,
        "a short string",
        "$6$rounds=123456$asaltof16chars..$"
        "BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xXgMNrCzIMVcgEJAstJeonj1",
    ),
    (
        "roundstoolow",
        10,
        "the minimum number is still observed",
        "$6$rounds=1000$roundstoolow$"
        "kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX.",
    ),
]

# Lengths about the 64 bytes of a SHA-512 block, and characters of more than one byte
PASSWORDS = ["x", "x" * 63, "x" * 64, "x" * 65, "x" * 129, "pässwörd: with blanks", "\u5bc6\u7801"]


@pytest.mark.parametrize("salt, rounds, password, expected", SPECIFICATION)
def test_the_vectors_of_the_specification_come_out(salt: str, rounds: int | None, password: str, expected: str) -> None:
    assert sha512_crypt(password.encode(), salt, rounds) == expected


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not here to compare with")
@pytest.mark.parametrize("salt", ["a", "./09AZaz", "0123456789abcdef"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_openssl_agrees(password: str, salt: str) -> None:
    command = ["openssl", "passwd", "-6", "-salt", salt, "-stdin"]
    expected = subprocess.run(command, input=password, check=True, capture_output=True, encoding="utf-8").stdout.strip()

    assert sha512_crypt(password.encode(), salt) == expected
