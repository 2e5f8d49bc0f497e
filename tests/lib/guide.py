# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fenced blocks of a page of Markdown: files by their names, and commands, each below its heading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# A file is named at the beginning of a sentence of the paragraph above: `site.yml`, your own playbook:
FILE = re.compile(r"(?:^|\. )`([\w./-]+)`[,:]")


@dataclass(frozen=True)
class Block:
    """``name`` is the file's, empty for commands. ``content`` ends with a line break."""

    heading: str
    name: str
    language: str
    content: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of the page, in its order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        paragraph = " ".join(before.rstrip().rpartition("\n\n")[2].split())
        names = FILE.findall(paragraph) if fence[1] != "console" else []
        found.append(Block(HEADING.findall(before)[-1], names[-1] if names else "", fence[1], fence[2]))
    return found
