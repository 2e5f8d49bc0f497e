# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site and the unit tests read in Markdown files: links, the anchors of headings, code spans."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

FENCE = re.compile(r"^ *(```+|~~~+)")
# The address of a link or picture. Code spans before it are skipped by the first alternative.
LINK = re.compile(
    r"(?P<code>`+)(?!`).+?(?<!`)(?P=code)(?!`)|(?P<open>\]\()(?P<address>[^()\s]+)(?P<close>\))", re.DOTALL
)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
# A code span that is not the text of a link.
SPAN = re.compile(r"(?<!\[)(?<!`)`([a-z][a-z0-9_]+)`(?!\])(?!`)")


def prose(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces: whether one is prose, and the piece. Those that are not are fenced blocks of code."""
    piece: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        found = FENCE.match(line)
        if not fence and found:
            yield True, "".join(piece)
            piece, fence = [line], found[1]
        elif fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            yield False, "".join([*piece, line])
            piece, fence = [], ""
        else:
            piece.append(line)
    yield not fence, "".join(piece)


def rewritten(text: str, change: Callable[[str], str]) -> str:
    """The text with another address for each link in its prose.

    change: gets an address, returns the one to have instead.
    """

    def link(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        return f"{match['open']}{change(match['address'])}{match['close']}"

    return "".join(LINK.sub(link, piece) if is_prose else piece for is_prose, piece in prose(text))


def links(text: str) -> list[str]:
    """The addresses of all links and pictures, as they are written."""
    found: list[str] = []

    def note(address: str) -> str:
        found.append(address)
        return address

    rewritten(text, note)
    return found


def linked(text: str, pages: dict[str, str]) -> str:
    """The text with a link for each code span that is one of the names.

    pages: by name, the address.
    """

    def span(match: re.Match[str]) -> str:
        name = match[1]
        return f"[`{name}`]({pages[name]})" if name in pages else match[0]

    def line(one: str) -> str:
        return one if HEADING.match(one) else SPAN.sub(span, one)

    def lines(piece: str) -> str:
        return "".join(map(line, piece.splitlines(keepends=True)))

    return "".join(lines(piece) if is_prose else piece for is_prose, piece in prose(text))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading, when no other of the page has the same."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("**", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """The anchors of a page: those of its headings, and those that it sets itself."""
    found: set[str] = set(re.findall(r'<a id="([^"]+)">', text))
    for is_prose, piece in prose(text):
        for line in piece.splitlines() if is_prose else ():
            heading = HEADING.match(line)
            if not heading:
                continue
            name = candidate = slug(heading[1])
            count = 0
            while candidate in found:
                count += 1
                candidate = f"{name}-{count}"
            found.add(candidate)
    return found


def is_elsewhere(address: str) -> bool:
    """Whether an address leaves the repository."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*:", address))


def target(page: str, address: str) -> tuple[str, str]:
    """The path that a relative address leads to, seen from the repository's root, and its anchor (or nothing).

    page: the path of the file that the link is in.
    """
    path, _hash, anchor = address.partition("#")
    if not path:
        return page, anchor
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)), anchor
