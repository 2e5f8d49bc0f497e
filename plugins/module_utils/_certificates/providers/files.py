# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that somebody brings, or that is on the host already and is only checked."""

from __future__ import annotations

import datetime
import os
import stat

from ..contents import file_problems, with_newline
from ..model import Pair, Spec
from ..x509 import CertificateError
from .provider import Provider, Wanted


class _Files(Provider):
    name = "files"
    arguments = {
        "certificate_content": {"type": "str"},
        "key_content": {"type": "str", "no_log": True},
        "remote": {"type": "bool", "default": False},
    }

    def check(self, spec: Spec) -> None:
        given = [content for content in (spec.certificate_content, spec.key_content) if content]
        if bool(given) == spec.remote or len(given) == 1:
            raise CertificateError("give certificate_content and key_content, or remote: true")

    def plan(self, spec: Spec, before: Pair, now: datetime.datetime) -> Wanted:
        after = before if spec.remote else _brought(spec)
        if spec.remote:
            _check_on_host(spec, before)
        problems = file_problems(after.certificate or b"", after.key or b"", spec.names, now)
        if problems:
            raise CertificateError("; ".join(problems))
        return Wanted(after, [] if before == after else ["its content differs"])


def _brought(spec: Spec) -> Pair:
    return Pair(with_newline(spec.certificate_content or ""), with_newline(spec.key_content or ""))


def _check_on_host(spec: Spec, before: Pair) -> None:
    for path, content in ((spec.certificate_path, before.certificate), (spec.key_path, before.key)):
        if content is None:
            raise CertificateError(f"{path} is not there, and remote: true says that it is on the host already")
    if os.stat(spec.key_path).st_mode & stat.S_IRWXO:
        raise CertificateError(f"everybody on the host has access to the key {spec.key_path}: set its mode to 0600")


FILES = _Files()
