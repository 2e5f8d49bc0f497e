# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a JavaScript file becomes when something small in it is wrong: each way, one at a time.

acorn reads the file (Debian's node-acorn, which eslint brings along).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Where Debian has Node's modules; a Node from elsewhere does not look there.
MODULES = "/usr/share/nodejs"
READER = """\
const acorn = require('acorn');
const text = require('fs').readFileSync(0, 'utf8');
const tree = acorn.parse(text, {ecmaVersion: 2018, sourceType: 'module'});
process.stdout.write(JSON.stringify(tree, (name, value) => name === 'value' && value instanceof RegExp ? null : value));
"""

COMPARISONS = {
    "===": ["!=="],
    "!==": ["==="],
    "<": ["<=", ">="],
    "<=": ["<", ">"],
    ">": [">=", "<="],
    ">=": [">", "<"],
    "+": ["-"],
    "-": ["+"],
    "*": ["/"],
    "/": ["*"],
}
# What stands before such a call, or goes into it, is of the same kind as what comes out.
SHORTENED = ("replace", "map", "join", "concat", "split", "slice", "match", "toString")
UNWRAPPED = ("Math.ceil", "Math.floor", "String", "parseInt")

Node = dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """Text between two places of the file, and what stands there instead."""

    place: str
    line: int
    start: int
    end: int
    before: str
    after: str
    # Of several that read alike.
    number: int = 1

    @property
    def name(self) -> str:
        change = " -> ".join(part or "nothing" for part in _shortened(self.before, self.after))
        return f"{self.place}: {change}" + (f" ({self.number})" if self.number > 1 else "")

    def of(self, text: str) -> str:
        return text[: self.start] + self.after + text[self.end :]


# Of two long texts, what stands around that in which they differ.
AROUND = 24


def _shortened(before: str, after: str) -> tuple[str, str]:
    if max(len(before), len(after)) < 70:
        return " ".join(before.split()), " ".join(after.split())
    first = next((place for place, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    cut = max(0, first - AROUND), max(0, last - AROUND)

    def short(text: str) -> str:
        inner = " ".join(text[cut[0] : len(text) - cut[1]].split())
        return ("…" if cut[0] else "") + (inner if len(inner) < 120 else f"{inner[:60]}…") + ("…" if cut[1] else "")

    return short(before), short(after)


def tree(text: str) -> Node:
    done = subprocess.run(
        ["node", "-e", READER],
        input=text,
        env={"NODE_PATH": MODULES, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LookupError(f"node cannot read the file: {done.stderr[-500:]}")
    found: Node = json.loads(done.stdout)
    return found


def mutants(path: Path) -> list[Mutant]:
    """In the order of the file, each text once."""
    text = path.read_text()
    # Node counts in units of UTF-16, Python in characters.
    if not text.isascii():
        raise LookupError(f"{path.name} has other characters than ASCII: places would be counted wrong")
    found: dict[tuple[int, int, str], Mutant] = {}
    for node, place in _walk(tree(text), path.name):
        for start, end, after in _changes(node, text):
            if after == text[start:end]:
                continue
            line = text.count("\n", 0, start) + 1
            found.setdefault((start, end, after), Mutant(place, line, start, end, text[start:end], after))
    counted: dict[str, int] = {}
    numbered = []
    for mutant in sorted(found.values(), key=lambda mutant: (mutant.start, mutant.end)):
        counted[mutant.name] = counted.get(mutant.name, 0) + 1
        numbered.append(replace(mutant, number=counted[mutant.name]))
    return numbered


def _walk(node: Any, place: str) -> Iterator[tuple[Node, str]]:
    """Each node that is code, with the function or the constant of the file that it is in."""
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, place)
    elif isinstance(node, dict) and "type" in node:
        kind = node["type"]
        if kind in ("ImportDeclaration", "ExportDefaultDeclaration"):
            return
        # A constant of the file itself, whose name has a dot.
        if kind == "FunctionDeclaration" or (kind == "VariableDeclarator" and "." in place):
            place = node["id"]["name"]
        yield node, place
        for name, value in node.items():
            # The name of a member is no value.
            if not (name == "key" and kind == "Property" and not node["computed"]):
                yield from _walk(value, place)


Change = tuple[int, int, str]


def _changes(node: Node, text: str) -> Iterator[Change]:
    start, end, kind = node["start"], node["end"], node["type"]

    def of(part: Node) -> str:
        return text[part["start"] : part["end"]]

    if kind in ("IfStatement", "ConditionalExpression") or (kind == "ForStatement" and node["test"]):
        test = node["test"]
        yield test["start"], test["end"], "false"
        if kind != "ForStatement":
            yield test["start"], test["end"], "true"
    elif kind == "LogicalExpression":
        yield start, end, of(node["left"])
        yield start, end, of(node["right"])
    elif kind == "BinaryExpression":
        for operator in COMPARISONS.get(node["operator"], []):
            between = text[node["left"]["end"] : node["right"]["start"]]
            changed = between.replace(node["operator"], operator)
            yield node["left"]["end"], node["right"]["start"], changed
        if node["operator"] == "+":
            yield start, end, of(node["left"])
            yield start, end, of(node["right"])
    elif kind == "AwaitExpression" or (kind == "UnaryExpression" and node["operator"] == "!"):
        yield start, end, of(node["argument"])
    elif kind == "Literal":
        yield from _literals(node, text)
    elif kind == "ExpressionStatement" or kind == "ThrowStatement":
        yield start, end, ";"
    elif kind == "ReturnStatement" and node["argument"]:
        yield start, end, "return undefined;"
    elif kind == "ReturnStatement":
        yield start, end, ";"
    elif kind in ("ArrayExpression", "ObjectExpression"):
        parts = node["elements" if kind == "ArrayExpression" else "properties"]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if not last:
                yield part["start"], parts[number + 1]["start"], ""
            elif number:
                yield parts[number - 1]["end"], part["end"], ""
            else:
                yield part["start"], part["end"], ""
    elif kind == "AssignmentExpression" and node["operator"] == "+=":
        yield start, end, f"{of(node['left'])} = {of(node['right'])}"
    elif kind == "CallExpression":
        yield from _calls(node, of)


def _calls(node: Node, of: Any) -> Iterator[Change]:
    callee, arguments = node["callee"], node["arguments"]
    if callee["type"] == "MemberExpression" and of(callee["property"]) in SHORTENED:
        yield node["start"], node["end"], of(callee["object"])
    if of(callee) in UNWRAPPED:
        yield node["start"], node["end"], of(arguments[0])
    if of(callee) in ("Math.min", "Math.max"):
        for argument in arguments:
            yield node["start"], node["end"], of(argument)


def _literals(node: Node, text: str) -> Iterator[Change]:
    start, end, value = node["start"], node["end"], node.get("value")
    if "regex" in node:
        for pattern in dict.fromkeys(patterns(node["regex"]["pattern"])):
            yield start, end, f"/{pattern}/{node['regex']['flags']}"
        for flag in node["regex"]["flags"]:
            yield start, end, f"/{node['regex']['pattern']}/{node['regex']['flags'].replace(flag, '')}"
    elif isinstance(value, bool):
        yield start, end, "false" if value else "true"
    elif isinstance(value, (int, float)):
        yield start, end, str(value + 1)
        if value:
            yield start, end, str(value - 1)
    elif isinstance(value, str):
        yield start, end, "''" if value else "'x'"


# A part of a regular expression: a class, the beginning of a group, an escape, a quantifier, or any other character.
PART = re.compile(
    r"\[\^?(?:\\.|[^\]\\])+\]|\((?:\?[:=!])?|\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)|[*+?]|\{[0-9]+(?:,[0-9]*)?\}|."
)
MEMBER = re.compile(r"\\?(?:u[0-9a-fA-F]{4}|.)(?:-\\?(?:u[0-9a-fA-F]{4}|[^\]]))?", re.DOTALL)
END = r"(?![\s\S])"


def patterns(pattern: str) -> Iterator[str]:
    """The pattern without one part, without one character of a class, with other numbers, without an alternative."""
    parts = PART.findall(pattern.replace(END, "\0"))
    assert "".join(parts).replace("\0", END) == pattern

    def joined(changed: list[str]) -> str:
        return "".join(changed).replace("\0", END)

    for number, part in enumerate(parts):
        others = []
        if part.startswith("["):
            others = [""] + _classes(part)
        elif re.fullmatch(r"\{\d+,\d+\}", part):
            least, most = part[1:-1].split(",")
            others = [f"{{{least},}}", f"{{{least},{int(most) - 1}}}", f"{{{int(least) + 1},{most}}}"]
            if int(least):
                others.append(f"{{{int(least) - 1},{most}}}")
        elif part in ("*", "+", "?"):
            others = ["", {"*": "+", "+": "*", "?": ""}[part]]
        elif part.startswith("(") or part in (")", "|"):
            continue
        else:
            others = [""]
        for other in others:
            # A quantifier stays with nothing to repeat: then the pattern is none, which is seen at once.
            yield joined(parts[:number] + [other] + parts[number + 1 :])
    yield from _alternatives(parts, joined)


def _classes(part: str) -> list[str]:
    sign = "[^" if part.startswith("[^") else "["
    members = MEMBER.findall(part[len(sign) : -1])
    found = [("[" if sign == "[^" else "[^") + "".join(members) + "]"]
    if len(members) > 1:
        found += [sign + "".join(members[:number] + members[number + 1 :]) + "]" for number in range(len(members))]
    return found


def _alternatives(parts: list[str], joined: Any) -> Iterator[str]:
    """Each | with what stands before it, or behind it, up to the next one or the group's end."""
    for number, part in enumerate(parts):
        if part == "|":
            for step in (-1, 1):
                depth, place = 0, number + step
                while 0 <= place < len(parts):
                    other = parts[place]
                    opens, closes = other.startswith("("), other == ")"
                    inner, outer = (closes, opens) if step < 0 else (opens, closes)
                    if depth == 0 and (outer or other == "|"):
                        break
                    depth += inner - outer
                    place += step
                low, high = sorted((number, place - step))
                yield joined(parts[:low] + parts[high + 1 :])
