# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SHA-512 crypt ("$6$") from the standard library alone.

Python 3.13 has no crypt module, and passlib is unmaintained, so neither can be relied on where
Ansible runs. The algorithm is the one of https://www.akkadia.org/drepper/SHA-crypt.txt; the
comments name its numbered steps.
"""

from __future__ import annotations

import hashlib

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DEFAULT_ROUNDS = 5000
MAX_SALT_LENGTH = 16
_MIN_ROUNDS = 1000
_MAX_ROUNDS = 999999999


def _stretch(block: bytes, length: int) -> bytes:
    """Repeat a block until it fills exactly length bytes."""
    return (block * (length // len(block) + 1))[:length]


def _encode(value: int, characters: int) -> str:
    """Write the lowest six bits first, as crypt's own base64 does."""
    encoded = []
    for _unused in range(characters):
        encoded.append(ALPHABET[value & 63])
        value >>= 6
    return "".join(encoded)


def _encode_digest(digest: bytes) -> str:
    """Step 22: three bytes at a time, the columns changing places from group to group."""
    columns = [0, 21, 42]
    encoded = []
    for _unused in range(21):
        first, second, third = (digest[column] for column in columns)
        encoded.append(_encode(first << 16 | second << 8 | third, 4))
        columns = [columns[1] + 1, columns[2] + 1, columns[0] + 1]
    encoded.append(_encode(digest[63], 2))
    return "".join(encoded)


def sha512_crypt(password: bytes, salt: str, rounds: int | None = None) -> str:
    """Return the "$6$" hash of a password.

    Without rounds the hash uses the specification's 5000 and does not spell them out.
    """
    salt_bytes = salt.encode("ascii")[:MAX_SALT_LENGTH]
    effective_rounds = DEFAULT_ROUNDS if rounds is None else min(max(rounds, _MIN_ROUNDS), _MAX_ROUNDS)
    length = len(password)

    # Steps 4 to 8
    alternate = hashlib.sha512(password + salt_bytes + password).digest()

    # Steps 1 to 3 and 9 to 12
    initial = hashlib.sha512(password + salt_bytes + _stretch(alternate, length))
    bits = length
    while bits:
        initial.update(alternate if bits & 1 else password)
        bits >>= 1
    digest = initial.digest()

    # Steps 13 to 16
    password_sequence = _stretch(hashlib.sha512(password * length).digest(), length)
    # Steps 17 to 20
    salt_sequence = _stretch(hashlib.sha512(salt_bytes * (16 + digest[0])).digest(), len(salt_bytes))

    # Step 21
    for number in range(effective_rounds):
        odd = number & 1
        block = password_sequence if odd else digest
        if number % 3:
            block += salt_sequence
        if number % 7:
            block += password_sequence
        block += digest if odd else password_sequence
        digest = hashlib.sha512(block).digest()

    prefix = "$6$" if rounds is None else f"$6$rounds={effective_rounds}$"
    return f"{prefix}{salt_bytes.decode('ascii')}${_encode_digest(digest)}"
