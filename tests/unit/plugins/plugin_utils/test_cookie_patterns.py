# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The regular expressions that read a token out of a Cookie header, against the same rules written by hand."""

from __future__ import annotations

import re
import string
import typing as t

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.wssgate.nginx.plugins.plugin_utils._cookie_patterns import cookie_patterns

TOKEN = "ABCDEF1234565789"
OTHER_TOKEN = "zyxwvu-_98765432"
ALPHABET = set(string.ascii_letters + string.digits + "_-")
BLANKS = " \t"


def knows_possessive_quantifiers() -> bool:
    """Whether this Python reads `*+` as nginx's PCRE does: before 3.11 it has none, before 3.11.5 they miss matches."""
    try:
        return re.match(r"(?:(?!b)a*+;)*+b", "b") is not None
    except re.error:
        return False


def as_python_spells_it(pattern: str) -> str:
    pattern = pattern.replace("(?<wss", "(?P<wss")
    # What is given back in vain changes the time that it takes and nothing else.
    return pattern if knows_possessive_quantifiers() else re.sub(r"([*+}])\+", r"\1", pattern)


class Read:
    """What nginx's two maps make of a header."""

    def __init__(self, name: str) -> None:
        self.patterns = {key: re.compile(as_python_spells_it(one)) for key, one in cookie_patterns(name).items()}

    def token(self, header: str) -> str:
        match = self.patterns["token"].search(header)
        return match["wss_value"] if match else ""

    def others(self, header: str) -> str:
        for key in ("absent", "first", "later"):
            match = self.patterns[key].search(header)
            if match:
                return "".join(group or "" for group in match.groups())
        return ""


def is_the_cookie(part: str, name: str) -> bool:
    """Would some server read this part of the header as the cookie?"""
    return "=" in part and part.split("=", 1)[0].strip(BLANKS) == name


def value_as_written(part: str, name: str) -> str:
    """The value, where the cookie is written as RFC 6265 has it: at most one blank, the name, '=', the value."""
    if part[:1] in BLANKS:
        part = part[1:]
    return part[len(name) + 1 :] if part.startswith(f"{name}=") else ""


def token_by_hand(header: str, name: str) -> str:
    mine = [part for part in header.split(";") if is_the_cookie(part, name)]
    value = value_as_written(mine[0], name) if len(mine) == 1 else ""
    return value if 16 <= len(value) <= 128 and set(value) <= ALPHABET else ""


def others_by_hand(header: str, name: str) -> str:
    parts = header.split(";")
    if not any(is_the_cookie(part, name) for part in parts):
        return header
    if not token_by_hand(header, name):
        return ""
    left = ";".join(part for part in parts if not is_the_cookie(part, name))
    # The blank behind the semicolon goes with the token when the token stood first.
    return left[1:] if is_the_cookie(parts[0], name) and left[:1] in BLANKS and left else left


NAMES = ["AUTH", "__Host-AUTH", "a.b", "a-b", "A", "-"]
READERS = {name: Read(name) for name in NAMES}


def parts(name: str) -> st.SearchStrategy[str]:
    """Parts of a header that are the cookie, nearly so, or something else."""
    names = st.sampled_from(
        [
            name,
            name,
            name,
            f"{name} ",
            f" {name}",
            f"\t{name}\t",
            f"  {name}",
            name.lower(),
            name.swapcase(),
            f"{name}x",
            f"x{name}",
            "a.b",
            "axb",
            "other",
            "",
            f"x,{name}",
            f'"{name}"',
            f"%20{name}",
        ]
    )
    values = st.one_of(
        st.sampled_from(
            [
                TOKEN,
                TOKEN,
                OTHER_TOKEN,
                f"{TOKEN} ",
                f" {TOKEN}",
                f"{TOKEN}\t",
                f'"{TOKEN}"',
                f"../{TOKEN}",
                f"{TOKEN}/",
                f"{TOKEN},{name}={TOKEN}",
                f"{TOKEN}={TOKEN}",
                f"{TOKEN}é",
                "%41" * 8,
                "",
            ]
        ),
        st.integers(14, 18).map(lambda length: "a" * length),
        st.integers(126, 130).map(lambda length: "b" * length),
        st.text(alphabet=sorted(ALPHABET) + [".", "/", "%", " ", "\0"], max_size=20),
    )
    cookies = st.tuples(
        st.sampled_from(["", "", " ", "\t", "  "]), names, st.sampled_from(["=", "=", "=", "", " ="]), values
    ).map("".join)
    return st.one_of(cookies, cookies, st.text(alphabet='a =\t,"\\' + name, max_size=8))


def headers(name: str) -> st.SearchStrategy[str]:
    honest = st.lists(st.sampled_from([f"{name}={TOKEN}", "a=1", "b=2", f"{name.lower()}=3"]), max_size=4).map(
        "; ".join
    )
    spoilt = st.lists(parts(name), max_size=5).map(";".join)
    return st.one_of(honest, spoilt)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), headers(name))))
def test_the_patterns_read_what_the_rules_say(case: t.Tuple[str, str]) -> None:
    name, header = case
    assert READERS[name].token(header) == token_by_hand(header, name)
    left = READERS[name].others(header)
    assert left == others_by_hand(header, name)
    assert not any(is_the_cookie(part, name) for part in left.split(";"))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(blacklist_characters="\n\r", blacklist_categories=("Cs",)), max_size=60))
@example("")
@example(";")
@example(f"AUTH={TOKEN};")
@example(f";AUTH={TOKEN}")
def test_any_text_at_all_is_read_by_the_rules(header: str) -> None:
    assert READERS["AUTH"].token(header) == token_by_hand(header, "AUTH")
    assert READERS["AUTH"].others(header) == others_by_hand(header, "AUTH")


# The rules once more as a table for people: the header, the token in it, and what the upstream gets.
TABLE = {
    "the cookie alone": (f"AUTH={TOKEN}", TOKEN, ""),
    "the cookie first": (f"AUTH={TOKEN}; a=1; b=2", TOKEN, "a=1; b=2"),
    "the cookie in the middle": (f"a=1; AUTH={TOKEN}; b=2", TOKEN, "a=1; b=2"),
    "the cookie last": (f"a=1; b=2; AUTH={TOKEN}", TOKEN, "a=1; b=2"),
    "no cookies": ("", "", ""),
    "other cookies only": ("a=1; b=2", "", "a=1; b=2"),
    "no blank behind the semicolon": (f"a=1;AUTH={TOKEN};b=2", TOKEN, "a=1;b=2"),
    "the shortest token": ("AUTH=" + "a" * 16, "a" * 16, ""),
    "the longest token": ("AUTH=" + "a" * 128, "a" * 128, ""),
    "a token too short": ("AUTH=" + "a" * 15, "", ""),
    "a token too long": ("AUTH=" + "a" * 129, "", ""),
    "a path for a token": ("AUTH=../../../../etc/passwd", "", ""),
    "a token behind a dot": (f"AUTH=./{TOKEN}", "", ""),
    "a quoted token": (f'AUTH="{TOKEN}"', "", ""),
    "a blank before the token": (f"AUTH= {TOKEN}", "", ""),
    "a blank behind the token": (f"AUTH={TOKEN} ", "", ""),
    "a blank behind the name": (f"AUTH ={TOKEN}", "", ""),
    "two blanks before the name": (f"a=1;  AUTH={TOKEN}", "", ""),
    "the name in lower case": (f"auth={TOKEN}", "", f"auth={TOKEN}"),
    "the name in mixed case beside the right one": (f"AuTh={OTHER_TOKEN}; AUTH={TOKEN}", TOKEN, f"AuTh={OTHER_TOKEN}"),
    "the cookie twice": (f"AUTH={TOKEN}; AUTH={TOKEN}", "", ""),
    "a good one and a bad one": (f"AUTH={TOKEN}; AUTH=bad", "", ""),
    "a bad one and a good one": (f"AUTH=bad; AUTH={TOKEN}", "", ""),
    "a second one with a blank in its name": (f"AUTH={TOKEN}; AUTH =x", "", ""),
    "a second one behind a tab": (f"AUTH={TOKEN};\tAUTH=x", "", ""),
    "a second one, empty": (f"AUTH={TOKEN}; AUTH=", "", ""),
    "a second one far behind": (f"AUTH={TOKEN}; a=1; b=2; AUTH=x", "", ""),
    "a comma, which some nginx took for a semicolon": (f"x=1,AUTH={TOKEN}", "", f"x=1,AUTH={TOKEN}"),
    "a comma behind the token": (f"AUTH={TOKEN},b=2", "", ""),
    "a name that ends with the cookie's": (f"XAUTH={TOKEN}", "", f"XAUTH={TOKEN}"),
    "a name that begins with the cookie's": (f"AUTHX={TOKEN}", "", f"AUTHX={TOKEN}"),
    "the name without a value": ("AUTH", "", "AUTH"),
    "an empty value": ("AUTH=", "", ""),
    "a NUL in the token": (f"AUTH={TOKEN}\0", "", ""),
    "a letter beyond ASCII in the token": (f"AUTH={TOKEN}é", "", ""),
}


@pytest.mark.parametrize(("header", "token", "left"), TABLE.values(), ids=TABLE.keys())
def test_the_table_of_headers(header: str, token: str, left: str) -> None:
    assert READERS["AUTH"].token(header) == token
    assert READERS["AUTH"].others(header) == left


def test_a_dot_in_a_cookies_name_is_a_dot() -> None:
    assert READERS["a.b"].token(f"a.b={TOKEN}") == TOKEN
    assert READERS["a.b"].token(f"axb={TOKEN}") == ""
    assert READERS["a.b"].token(f"axb={OTHER_TOKEN}; a.b={TOKEN}") == TOKEN


def test_a_long_header_costs_one_pass() -> None:
    # What is repeated is never given back (*+), so that nothing is tried in two ways.
    for name, pattern in cookie_patterns("AUTH").items():
        assert not re.search(r"\*(?!\+)", pattern.replace(r"(?![ \t]*AUTH[ \t]*=)", "")), name


def test_all_cookies_have_the_same_captures_and_each_pattern_has_its_own() -> None:
    found = []
    for name in ("AUTH", "other.name"):
        captures: t.List[str] = []
        for pattern in cookie_patterns(name).values():
            captures += re.findall(r"\(\?<(\w+)>", pattern)
        assert len(captures) == len(set(captures)) == 5
        found.append(captures)
    assert found[0] == found[1]
