# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that comes from the controller, or that is on the host already."""

from __future__ import annotations

from ....module_utils._certificates import x509 as crypto
from ....module_utils._certificates.contents import file_problems
from ..reading import content_of
from .provider import Certificate, Provider

_BROUGHT = ("certificate_source", "key_source", "certificate_content", "key_content")


class _Files(Provider):
    name = "files"
    own = (*_BROUGHT, "remote")
    needs_names = False

    def check(self, certificate: Certificate) -> None:
        item = certificate.item
        if item.get("remote"):
            if not (item.get("certificate_path") and item.get("key_path")):
                certificate.note(
                    "remote: true needs certificate_path and key_path, the files that are on the host already"
                )
            certificate.refuse("files and remote: true", _BROUGHT)
            return
        contents = {}
        for what in ("certificate", "key"):
            value = content_of(
                certificate.problems, certificate.read, certificate.where, item, what, ", or remote: true"
            )
            if value is not None:
                contents[what] = certificate.completed[f"{what}_content"] = value
        # ansible-core itself depends on cryptography; should it be missing, the host finds the same problems later
        if len(contents) == 2 and crypto.CRYPTOGRAPHY_ERROR is None:
            for problem in file_problems(
                contents["certificate"].encode(), contents["key"].encode(), certificate.names, crypto.utc_now()
            ):
                certificate.note(problem)


FILES = _Files()
