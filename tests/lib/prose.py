"""Text of pages that programs write."""

from __future__ import annotations

import re
import textwrap

WIDTH = 120


def wrapped(text: str) -> str:
    """The same Markdown with its paragraphs and items at most 120 characters wide; tables and blocks stay."""
    lines: list[str] = []
    is_block = False
    for line in text.split("\n"):
        if line.startswith("```"):
            is_block = not is_block
        if len(line) <= WIDTH or is_block or line.startswith(("|", "#", "!", "    ")):
            lines.append(line)
            continue
        item = re.match(r" *(?:[-*] |[0-9]+\. )?", line)
        indent = " " * (item.end() if item else 0)
        # A command is to be copied, so it stays in one line.
        line = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), line)
        parts = textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines += [part.replace("\0", " ") for part in parts]
    return "\n".join(lines)
