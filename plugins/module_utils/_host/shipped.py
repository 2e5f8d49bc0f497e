# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Code of the collection that is put on a host, where it runs without Ansible: the same files, in the same folders."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import typing as t

from .run import ProgramError, run

MARKER = "# Ansible managed by wssgate.nginx: changes made here are lost"
START = """\
#!{python} -I
{marker}

import sys

sys.path.insert(0, {directory!r})

from {package}.{module} import main

sys.exit(main())
"""

# The interpreters of the system, which outlive Ansible's choice: that may be a virtual environment in somebody's home,
# where a unit may not look, or a version that goes with the next release of the system.
PYTHONS = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/local/bin/python3") + tuple(
    f"/usr/bin/python3.{minor}" for minor in range(20, 7, -1)
)
# Debian's python3-minimal has not all of them.
PYTHON_TEST = (
    "import argparse, base64, binascii, collections, contextlib, ctypes, datetime, errno, fcntl, functools, glob, "
    "hashlib, heapq, hmac, http, importlib, io, ipaddress, itertools, json, math, os, queue, random, re, secrets, "
    "select, selectors, shlex, shutil, signal, socket, ssl, stat, struct, subprocess, sys, syslog, tempfile, "
    "threading, time, typing, unicodedata; "
    "sys.exit(sys.version_info < (3, 8))"
)
PYTHON_TIMEOUT = 30

_ROOT = __name__.rpartition(".")[0].rpartition(".")[0]


def choose_python(fallback: str) -> str:
    """The first interpreter of the system that can run what is shipped, else the one given."""
    for path in PYTHONS:
        if is_suited(path):
            return path
    return fallback


def is_suited(path: str) -> bool:
    if not os.access(path, os.X_OK):
        return False
    try:
        return run([path, "-I", "-c", PYTHON_TEST], PYTHON_TIMEOUT).status == 0
    except ProgramError:
        return False


def source_of(name: str) -> str:
    """The source of a file below module_utils, from wherever Ansible has put it."""
    module = importlib.import_module(f"{_ROOT}.{name}")
    loader = t.cast(t.Any, module.__spec__).loader
    source: t.Union[str, bytes, None] = loader.get_source(module.__name__)
    if source is None:
        raise OSError(f"the source of {name} is not there")
    # Python's loaders return text, that of Ansible's controller returns bytes.
    return source.decode("utf-8") if isinstance(source, bytes) else source


def needed(name: str) -> t.List[str]:
    """A file below module_utils and all those that it imports, directly or not."""
    found: t.List[str] = []
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            waiting += _imports(one)
    return sorted(found)


def _imports(name: str) -> t.Iterator[str]:
    folder = name.split(".")[:-1]
    for node in ast.walk(ast.parse(source_of(name))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = folder[: len(folder) - node.level + 1] + (node.module.split(".") if node.module else [])
            # `from .x import y`: y may be a file in the folder x, or something in the file x.
            for alias in node.names:
                inner = ".".join([*base, alias.name])
                yield inner if _is_file(inner) else ".".join(base)


def _is_file(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"{_ROOT}.{name}") is not None
    except ModuleNotFoundError:
        # What it is in is no folder
        return False


def package_files(package: str, names: t.Iterable[str]) -> t.Dict[str, str]:
    """What is written for files below module_utils, by path; ``package`` is the folder that stands for it."""
    files = {f"{package}/__init__.py": MARKER + "\n"}
    for name in names:
        *folders, file = name.split(".")
        for depth in range(1, len(folders) + 1):
            files["/".join([package, *folders[:depth], "__init__.py"])] = MARKER + "\n"
        files["/".join([package, *folders, f"{file}.py"])] = source_of(name)
    return files


def start_program(python: str, directory: str, package: str, module: str) -> str:
    """The program that runs ``main`` of a shipped file."""
    return START.format(python=python, marker=MARKER, directory=directory, package=package, module=module)
