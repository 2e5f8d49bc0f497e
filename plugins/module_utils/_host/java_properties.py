# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of Java properties, read as java.util.Properties.load(InputStream) reads them, and changed line by line.

A file is ISO 8859-1 there, so each byte is a character, and what is not changed stays byte for byte.
"""

from __future__ import annotations

import re
import typing as t

from .error import HostError

ENCODING = "iso-8859-1"
BLANKS = " \t\f"
# A line ends with a carriage return, too.
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_SETTING = re.compile(r"((?:\\.|[^\\ \t\f=:])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_NAMED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_TO_ESCAPE = {"\\": "\\\\", **{character: f"\\{name}" for name, character in _NAMED.items()}}


class Setting(t.NamedTuple):
    """A key and its value; ``start`` and ``stop``: where it stands, in one line or several, without the last's end."""

    key: str
    value: str
    start: int
    stop: int


class Change(t.NamedTuple):
    """``before`` is None where the key was not set."""

    key: str
    before: t.Optional[str]
    after: str


def settings_of(text: str) -> t.Tuple[t.List[Setting], bool]:
    """What a file sets, in its order, and whether it ends amid a line, with a backslash that has the next one go on.

    Raises HostError for an escape that Java refuses, and the whole file with it.
    """
    found: t.List[Setting] = []
    line, start, number, is_open = "", 0, 0, False
    for match in _LINE.finditer(text):
        if match.start() == len(text):
            break
        number += 1
        part = match.group(1).lstrip(BLANKS)
        if not line:
            # A comment goes on in no other line.
            if not part or part[0] in "#!":
                is_open = False
                continue
            start = match.start()
        is_open = (len(part) - len(part.rstrip("\\"))) % 2 == 1
        line += part[:-1] if is_open else part
        if is_open and match.end() < len(text):
            continue
        # Java takes a backslash alone, and nothing after it, for an empty key.
        if line:
            found.append(_setting(line, start, match.end(1), number))
        line = ""
    return found, is_open


def _setting(line: str, start: int, stop: int, number: int) -> Setting:
    match = _SETTING.match(line)
    key, value = match.groups() if match else (line, "")
    return Setting(_unescaped(key, number), _unescaped(value, number), start, stop)


def _unescaped(text: str, number: int) -> str:
    def character(match: t.Match[str]) -> str:
        escape: str = match.group(1)
        if escape[0] != "u":
            return _NAMED.get(escape, escape)
        if escape == "u":
            raise HostError(
                rf"line {number} has \u without four hexadecimal digits, and Java refuses the whole file for it"
            )
        return chr(int(escape[1:], 16))

    found = _ESCAPE.sub(character, text)
    # Two escapes make one character beyond U+FFFF.
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if "\\u" in text else found


def line_of(key: str, value: str) -> str:
    """A setting in one line of ASCII."""
    rest = value.lstrip(" ")
    return _escaped(key, " =:#!") + "=" + r"\ " * (len(value) - len(rest)) + _escaped(rest)


def _escaped(text: str, besides: str = "") -> str:
    return "".join(_escaped_character(one, besides) for one in text)


def _escaped_character(one: str, besides: str) -> str:
    if one in _TO_ESCAPE:
        return _TO_ESCAPE[one]
    if one in besides:
        return f"\\{one}"
    if " " <= one <= "~":
        return one
    units = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04X}" for at in range(0, len(units), 2))


def changed(text: str, wanted: t.Mapping[str, str]) -> t.Tuple[str, t.List[Change]]:
    """The file with these settings, and what that changes: of several lines of a key the last, which is what counts.

    Raises HostError as settings_of does.
    """
    last = {one.key: one for one in settings_of(text)[0]}
    changes = []
    for key, value in wanted.items():
        before = last[key].value if key in last else None
        if before != value:
            changes.append(Change(key, before, value))
    replaced = [last[one.key] for one in changes if one.before is not None]
    for old in sorted(replaced, key=lambda one: one.start, reverse=True):
        text = text[: old.start] + line_of(old.key, wanted[old.key]) + text[old.stop :]
    added = "".join(f"{line_of(one.key, one.after)}\n" for one in changes if one.before is None)
    if not added:
        return text, changes
    if settings_of(text)[1]:
        # An empty line ends what a backslash has gone on.
        return f"{text}\n\n{added}", changes
    return text + ("" if not text or text[-1] in "\r\n" else "\n") + added, changes
