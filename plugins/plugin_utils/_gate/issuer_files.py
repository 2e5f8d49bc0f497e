# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files have that issuers of signed tokens name for their public keys."""

from __future__ import annotations

import base64
import binascii
import typing as t

from .._certificates.reading import Read, UnreadableError


def contents(issuers: t.Any, read: Read, host_files: t.Mapping[str, t.Any]) -> t.Dict[str, t.Dict[str, str]]:
    """By 'source:' or 'path:' and the file, its content, or the problem with it."""
    found: t.Dict[str, t.Dict[str, str]] = {}
    for key in _keys(issuers):
        source = key.get("source")
        if isinstance(source, str) and source:
            try:
                found[f"source:{source}"] = {"content": str(read(source))}
            except UnreadableError as error:
                found[f"source:{source}"] = {"problem": str(error)}
    for path, content in host_files.items():
        found[f"path:{path}"] = _of_host(path, content)
    return found


def _keys(issuers: t.Any) -> t.Iterator[t.Mapping[str, t.Any]]:
    """The entries as far as they are any; what is wrong with the rest, the check of all servers tells."""
    for issuer in issuers if isinstance(issuers, (list, tuple)) else ():
        keys = issuer.get("keys") if isinstance(issuer, t.Mapping) else None
        for key in keys if isinstance(keys, (list, tuple)) else ():
            if isinstance(key, t.Mapping):
                yield key


def _of_host(path: str, content: t.Any) -> t.Dict[str, str]:
    """As M(ansible.builtin.slurp) returned it."""
    if not content:
        return {"problem": f"{path} is not on the host, or cannot be read there"}
    try:
        return {"content": base64.b64decode(content).decode("ascii")}
    except (binascii.Error, UnicodeDecodeError):
        return {"problem": f"{path} of the host is not text"}
