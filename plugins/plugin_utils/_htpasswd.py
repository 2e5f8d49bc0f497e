# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password files: what is wrong with htpasswd_files, and what goes into a file.

Messages name files and users, never a password or a hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import posixpath
import re
import typing as t

from ansible.errors import AnsibleFilterError

from ._sha512_crypt import (
    ALPHABET,
    DEFAULT_ROUNDS,
    MAX_SALT_LENGTH,
    sha512_crypt,
)

# nginx verifies a password inside the worker's event loop, so every other session waits for it:
# 5000 rounds take 1 ms, 656,000 rounds (passlib's default) 166 ms.
MAX_ROUNDS = 20000
MAX_BCRYPT_COST = 8
# CRYPT_MAX_PASSPHRASE_SIZE of libxcrypt is 512 with the terminating zero
MAX_PASSWORD_BYTES = 511

_SHA_CRYPT = re.compile(r"\$[56]\$(?:rounds=(?P<rounds>[0-9]{1,9})\$)?[./0-9A-Za-z]{1,16}\$(?P<digest>[./0-9A-Za-z]+)")
_SHA_CRYPT_DIGEST_LENGTHS = {"$5$": 43, "$6$": 86}
_APR1 = re.compile(r"\$apr1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}")
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./0-9A-Za-z]{53}")
_SSHA = re.compile(r"\{SSHA\}(?P<value>[+/0-9A-Za-z]+={0,2})")
_SHA1_LENGTH = 20
_CONTROL_OR_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\u3000]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RECOGNISED = "$6$, $5$, $apr1$, $2y$/$2b$/$2a$ and {SSHA}"


def _text(value: t.Any) -> str | None:
    """Return text, including vaulted text, or None for what YAML read as something else."""
    if value is None or isinstance(value, (bool, int, float, list, tuple, dict)):
        return None
    return str(value)


def _hash_problem(value: str, allow_slow_hash: bool) -> str | None:
    """Say what keeps nginx from using a given hash, or None."""
    sha_crypt = _SHA_CRYPT.fullmatch(value)
    if sha_crypt:
        if len(sha_crypt.group("digest")) != _SHA_CRYPT_DIGEST_LENGTHS[value[:3]]:
            return f"is a {value[:3]} hash that was cut short or is too long"
        rounds = int(sha_crypt.group("rounds") or DEFAULT_ROUNDS)
        if rounds > MAX_ROUNDS and not allow_slow_hash:
            return (
                f"takes {rounds} rounds, more than {MAX_ROUNDS}, and stops every other session of the worker while "
                "it is checked: use fewer rounds, or set allow_slow_hash to true for this user"
            )
        return None
    bcrypt = _BCRYPT.fullmatch(value)
    if bcrypt:
        cost = int(bcrypt.group("cost"))
        if cost > MAX_BCRYPT_COST and not allow_slow_hash:
            return (
                f"is bcrypt with cost {cost}, more than {MAX_BCRYPT_COST}, and stops every other session of the worker "
                "while it is checked: use a lower cost, or set allow_slow_hash to true for this user"
            )
        return None
    if _APR1.fullmatch(value):
        return None
    ssha = _SSHA.fullmatch(value)
    if ssha:
        try:
            decoded = base64.b64decode(ssha.group("value"), validate=True)
        except binascii.Error:
            decoded = b""
        return None if len(decoded) > _SHA1_LENGTH else "is an {SSHA} hash without a salt or not in base64"
    return (
        f"is not a hash that is safe to use with nginx: it takes {_RECOGNISED}, in full; plain text goes into password"
    )


def _password_problem(value: t.Any) -> str | None:
    """Say what keeps a password from working, or None."""
    password = _text(value)
    if password is None:
        return "is not text: put it in quotes"
    if not password:
        return "is empty"
    if _CONTROL.search(password):
        return "has a control character, such as a line break"
    if len(password.encode("utf-8", "surrogateescape")) > MAX_PASSWORD_BYTES:
        return f"is longer than the {MAX_PASSWORD_BYTES} bytes that crypt takes"
    return None


def _user_problems(user: t.Any, where: str) -> t.Iterator[str]:
    """Say what is wrong with one user, apart from the rest of its file."""
    if not isinstance(user, t.Mapping):
        yield f"{where} is not a dictionary with name and password or hash"
        return
    name = _text(user.get("name"))
    if not name:
        yield f"{where} has no name, or one that is not text"
        return
    if ":" in name or name.startswith("#") or _CONTROL_OR_BLANK.search(name):
        # A line of the file is name:hash, and '#' starts a comment
        yield f"{where}: a name has no colon, blank, control character or leading '#'"
        return
    where = f"{where} ({name})"
    given = [key for key in ("password", "hash") if user.get(key) is not None]
    if len(given) != 1:
        yield f"{where} has {'both password and hash' if given else 'neither password nor hash'}: give one of them"
        return
    if given == ["password"]:
        problem = _password_problem(user["password"])
    else:
        problem = _hash_problem(_text(user["hash"]) or "", bool(user.get("allow_slow_hash", False)))
    if problem:
        yield f"{where}: the {given[0]} {problem}"


def htpasswd_problems(files: t.Any) -> list[str]:
    """Return one sentence for everything that is wrong with htpasswd_files."""
    if not isinstance(files, t.Sequence) or isinstance(files, str):
        return ["htpasswd_files is not a list"]
    problems: list[str] = []
    paths: set[str] = set()
    for number, item in enumerate(files):
        where = f"htpasswd_files[{number}]"
        if not isinstance(item, t.Mapping):
            problems.append(f"{where} is not a dictionary with path and users")
            continue
        path = _text(item.get("path"))
        if not path or not path.startswith("/") or path.endswith("/") or _CONTROL.search(path):
            problems.append(f"{where}: path has to be the absolute path of a file")
        else:
            where = f"{where} ({path})"
            path = posixpath.normpath(path)
            if path in paths:
                problems.append(f"{where}: the path is there twice")
            paths.add(path)
        users = item.get("users")
        if not isinstance(users, t.Sequence) or isinstance(users, str):
            problems.append(f"{where}: users is not a list")
            continue
        names: set[str] = set()
        for position, user in enumerate(users):
            problems.extend(_user_problems(user, f"{where}: users[{position}]"))
            name = _text(user.get("name")) if isinstance(user, t.Mapping) else None
            if name and name in names:
                problems.append(f"{where}: users[{position}] ({name}): the name is there twice")
            if name:
                names.add(name)
    return problems


def _salt(host: str, path: str, name: str, seed: str) -> str:
    """Derive a salt that stays the same from run to run and says nothing about the password."""
    digest = hashlib.sha512(json.dumps([seed, host, path, name]).encode("utf-8")).digest()
    return "".join(ALPHABET[byte & 63] for byte in digest[:MAX_SALT_LENGTH])


def htpasswd_content(item: t.Mapping[str, t.Any], host: str, seed: str = "") -> str:
    """Return the lines of one password file."""
    if htpasswd_problems([item]):
        raise AnsibleFilterError("; ".join(htpasswd_problems([item])))
    lines = []
    for user in item["users"]:
        name = str(user["name"])
        if user.get("hash") is not None:
            value = str(user["hash"])
        else:
            password = str(user["password"]).encode("utf-8", "surrogateescape")
            value = sha512_crypt(password, _salt(str(host), str(item["path"]), name, str(seed)))
        lines.append(f"{name}:{value}\n")
    return "".join(lines)


# So that it is known whose a file is.
HEADER = "# Ansible managed by wssgate.nginx; changes made here are lost\n"


def htpasswd_written(
    files: t.Sequence[t.Mapping[str, t.Any]], host: str, owner: str, group: str, mode: str, seed: str = ""
) -> list[dict[str, str]]:
    """Return the files as module wss_htpasswd takes them."""
    attributes = {"owner": owner, "group": group, "mode": mode}
    return [
        {
            "path": str(item["path"]),
            "content": HEADER + htpasswd_content(item, host, seed),
            # YAML's null means the default.
            **{key: str(item[key] if item.get(key) is not None else value) for key, value in attributes.items()},
        }
        for item in files
    ]
