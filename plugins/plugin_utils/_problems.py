# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads an operator's input and collects all that is wrong with it, so that it is seen in one go.

Each reader returns a value of the kind that was wanted, whatever it was given, so that reading can go on.
"""

from __future__ import annotations

import difflib
import re
import typing as t


WHOLE_NUMBER = re.compile(r"-?[0-9]{1,10}")


# What is not shown of a value that holds it, such as a whole server that is not in a list.
SECRET_OPTIONS = ("upstream_headers",)


def shown(value: t.Any) -> str:
    """How a value is quoted in a message; a password in a URL is not, nor is an option that holds secrets."""
    return re.sub(r"//[^/]*@", "//…@", repr(_without_secrets(value)))


def _without_secrets(value: t.Any) -> t.Any:
    if isinstance(value, t.Mapping):
        return {key: "…" if key in SECRET_OPTIONS else _without_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in value]
    return value


class Problems:
    """What is wrong, one sentence each: where it stands, what it is, what to do."""

    def __init__(self) -> None:
        self.found: t.List[str] = []

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def options(self, where: str, given: t.Any, defaults: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        """What was given over the defaults; YAML's null means the default."""
        if not isinstance(given, t.Mapping):
            self.add(where, f"{shown(given)} is not a set of options; write 'option: value', one a line")
            return dict(defaults)
        for key in given:
            # A misspelt option must not silently mean its default.
            if key not in defaults:
                close = difflib.get_close_matches(str(key), defaults, 1)
                self.add(
                    where,
                    f"there is no option {key!r} here; "
                    + (f"{close[0]!r} is one" if close else f"there are {', '.join(defaults)}"),
                )
        return {**defaults, **{key: value for key, value in given.items() if value is not None}}

    def items(self, where: str, key: str, value: t.Any, remedy: str = "put it in [ ]") -> t.List[t.Any]:
        """A list. A lone text is refused: its letters would pass for items."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.add(where, f"{key} {shown(value)} is not a list; {remedy}")
            return []
        return list(value)

    def entries(self, where: str, key: str, value: t.Any) -> t.List[t.Tuple[str, t.Mapping[str, t.Any]]]:
        """A list of sets of options, each with where it stands."""
        found = []
        # Of a number or a text [ ] would make no set of options.
        remedy = "put it in [ ]" if isinstance(value, t.Mapping) else f"write {key}: [{{option: value}}]"
        for index, item in enumerate(self.items(where, key, value, remedy)):
            here = f"{where}, {key}[{index}]"
            if isinstance(item, t.Mapping):
                found.append((here, item))
            else:
                self.add(here, f"{shown(item)} is not a set of options; write 'option: value', one a line")
        return found

    def matches(self, where: str, key: str, value: t.Any, pattern: t.Pattern[str], wanted: str) -> str:
        """The value as text, the whole of which fits the pattern."""
        text = "" if value is None else str(value)
        if not pattern.fullmatch(text):
            self.add(where, f"{key} {shown(text)} is not {wanted}")
        return text

    def optional(self, where: str, key: str, value: t.Any, pattern: t.Pattern[str], wanted: str) -> str:
        """The same for what may be left empty."""
        return "" if value in (None, "") else self.matches(where, key, value, pattern, wanted)

    def number(self, where: str, key: str, value: t.Any, low: int, high: int) -> int:
        """A whole number within bounds, else the lower bound."""
        text = str(value)
        number = int(text) if WHOLE_NUMBER.fullmatch(text) else low - 1
        if not low <= number <= high:
            self.add(where, f"{key} {shown(value)} is not a whole number from {low} to {high}")
            return low
        return number

    def flag(self, where: str, key: str, value: t.Any) -> bool:
        """A boolean in any of YAML's spellings."""
        text = str(value).lower()
        if text in ("true", "yes", "on", "1"):
            return True
        if text not in ("false", "no", "off", "0"):
            self.add(where, f"{key} {shown(value)} is neither true nor false")
        return False

    def choice(self, where: str, key: str, value: t.Any, choices: t.Sequence[str]) -> str:
        text = str(value)
        if text not in choices:
            self.add(where, f"{key} {shown(text)} is none of {', '.join(choices)}")
        return text

    def raw(self, where: str, key: str, value: t.Any) -> str:
        """Text that is taken as it is."""
        if value is not None and not isinstance(value, str):
            self.add(where, f"{key} is not text; write it as one block (key: |)")
            return ""
        return (value or "").rstrip()
