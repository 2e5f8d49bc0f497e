# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read nginx configuration files: which files does it load, where does it log.

nginx can say so itself (``nginx -T``), but doing so it opens every log, binds every listener and resolves every
host name. A run that changes nothing should not do any of that, so the files are read here. Nothing is judged:
what is wrong with a configuration is for ``nginx -t`` to say.
"""

from __future__ import annotations

import glob
import os
import re

from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

# Files that nginx opens only while it reads its configuration: a change of one takes effect at the next reload.
# Not in the list are files that it opens for every request (auth_basic_user_file) and compiled modules
# (load_module), which a reload can't exchange.
LOADED_ONCE = re.compile(
    r"(?:(?:(?:proxy|grpc|uwsgi)_)?ssl_(?:certificate|certificate_key|trusted_certificate|client_certificate|crl"
    r"|password_file|dhparam|session_ticket_key|stapling_file|ech_file)"
    r"|geoip_(?:country|city|org)|geoip2"
    r"|js_import|js_include|js_preload_object|perl_require|xslt_stylesheet"
    r"|\w+_by_lua_file)\Z"
)

# How the formats begin that role wss_proxy gives to the log which holds tokens.
SESSION_FORMAT = "wss_session_"

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|\#[^\n]*)
    | (?P<end>[;{}])
    | (?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<plain>(?:\\.|\$\{|[^\s;{\\])+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Lua has its own strings and comments; the module's own lexer reads these blocks, so braces in them do not count.
_LUA_TOKEN = re.compile(
    r"""--\[(?P<a>=*)\[.*?\](?P=a)\] | --[^\n]* | \[(?P<b>=*)\[.*?\](?P=b)\]"""
    r""" | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | [{}]""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WILDCARD = re.compile(r"[*?\[]")


class Directive(NamedTuple):
    """One directive, ended by a semicolon or followed by a block."""

    words: Tuple[str, ...]
    context: Tuple[str, ...]
    start: int
    end: int


class Tree(NamedTuple):
    """What a main file and everything that it includes name."""

    files: List[str]
    """Configuration files in the order in which nginx opens them; those that do not exist too."""
    loaded: List[str]
    """Certificates, keys and the like that nginx loads together with its configuration."""
    directories: List[str]
    """Directories that includes with a wildcard look into."""
    error_logs: List[str]
    """Absolute paths of the error logs outside any block: the master writes there."""
    sockets: List[str]
    """Paths of listening unix sockets."""
    pid_owner: Optional[str]
    """The file that holds the pid directive."""
    session_logs: List[str] = []
    """Paths of the logs that tell which token opened which connection."""


def _skip_lua(text: str, position: int) -> int:
    depth = 1
    for found in _LUA_TOKEN.finditer(text, position):
        if found.group() == "{":
            depth += 1
        elif found.group() == "}":
            depth -= 1
            if not depth:
                return found.end()
    return len(text)


def directives(text: str) -> Iterator[Directive]:
    """Yield the directives of ``text``, each block's head before what is in it."""
    context: List[str] = []
    words: List[str] = []
    start = position = 0
    while True:
        found = _TOKEN.match(text, position)
        if not found:
            return
        position = found.end()
        kind, token = found.lastgroup, found.group()
        if kind == "blank":
            continue
        if kind == "end":
            if token != "}" and words:
                yield Directive(tuple(words), tuple(context), start, found.start())
            if token == "{":
                context.append(words[0] if words else "")
                if context[-1].endswith("_by_lua_block"):
                    position = _skip_lua(text, position)
                    context.pop()
            elif token == "}" and context:
                context.pop()
            words = []
            continue
        if not words:
            start = found.start()
        if kind == "quoted":
            token = token[1:-1]
        words.append(_ESCAPED.sub(r"\1", token))


def _read(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def read_tree(main: str) -> Tree:
    """Follow ``main`` and its includes; names are relative to the folder of ``main``, as nginx has it."""
    tree = Tree([], [], [], [], [], None, [])
    pid_owners: List[str] = []
    seen: Set[str] = set()
    base = os.path.dirname(main)

    def once(names: List[str], name: str) -> None:
        if name not in names:
            names.append(name)

    def visit(path: str, outer: Tuple[str, ...]) -> None:
        if path in seen:
            return
        seen.add(path)
        tree.files.append(path)
        for directive in directives(_read(path)):
            name, arguments = directive.words[0], directive.words[1:]
            if not arguments:
                continue
            context = outer + directive.context
            if name == "include":
                wanted = os.path.join(base, arguments[0])
                if not _WILDCARD.search(wanted):
                    visit(wanted, context)
                    continue
                for directory in sorted(glob.glob(os.path.dirname(wanted))):
                    once(tree.directories, directory)
                for included in sorted(glob.glob(wanted)):
                    visit(included, context)
            elif name == "pid" and not context:
                pid_owners.append(path)
            elif name == "error_log" and not context:
                if arguments[0].startswith("/"):
                    once(tree.error_logs, arguments[0])
            elif name == "access_log" and arguments[1:2] and arguments[1].startswith(SESSION_FORMAT):
                if arguments[0].startswith("/") and "$" not in arguments[0]:
                    once(tree.session_logs, arguments[0])
            elif name == "listen" and arguments[0].startswith("unix:"):
                once(tree.sockets, arguments[0][len("unix:") :])
            elif LOADED_ONCE.match(name):
                for argument in arguments:
                    # js_import takes "name from file"; a name with a variable is opened at each handshake.
                    if "$" in argument or argument.startswith(("data:", "engine:", "store:")):
                        continue
                    candidate = os.path.join(base, argument)
                    if name.startswith(("js_", "perl_", "xslt_", "geoip")) and not os.path.lexists(candidate):
                        continue
                    once(tree.loaded, candidate)

    visit(main, ())
    return tree._replace(pid_owner=pid_owners[0] if pid_owners else None)


def with_pid(text: str, pid_path: str, add: bool) -> str:
    """Return the main file's ``text`` with its pid directive naming ``pid_path``; line numbers stay as they are.

    Without a pid directive in ``text`` one is put in front when ``add`` is true.
    """
    wanted = f'pid "{pid_path}"'
    for directive in directives(text):
        if directive.words[0] == "pid" and not directive.context:
            lines = text.count("\n", directive.start, directive.end)
            return text[: directive.start] + wanted + "\n" * lines + text[directive.end :]
    return f"{wanted}; {text}" if add else text
