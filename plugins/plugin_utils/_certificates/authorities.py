# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""certificates_client_authorities and certificates_authorities."""

from __future__ import annotations

import typing as t

from ...module_utils._certificates import x509 as crypto
from ...module_utils._certificates.contents import client_authority_problems
from .reading import NAME, NAME_RULE, Read, content_of


class ClientAuthorityList:
    """certificates_client_authorities, checked and with the content of the files it names."""

    def __init__(self, authorities: t.Any, read: Read) -> None:
        """Read the list."""
        self.problems: t.List[str] = []
        self.authorities: t.List[t.Dict[str, t.Any]] = []
        if not isinstance(authorities, t.Sequence) or isinstance(authorities, str):
            self.problems.append("certificates_client_authorities is not a list")
            return
        for number, item in enumerate(authorities):
            name = str(item.get("name", "")) if isinstance(item, t.Mapping) else ""
            if not NAME.fullmatch(name):
                self.problems.append(f"certificates_client_authorities[{number}]: name ({name!r}) {NAME_RULE}")
                continue
            where = f"client authority {name}"
            if name in [other["name"] for other in self.authorities]:
                self.problems.append(f"{where}: the name is there twice")
            found = len(self.problems)
            certificate = content_of(self.problems, read, where, item, "certificate")
            crl = (
                content_of(self.problems, read, where, item, "crl")
                if item.get("crl_source") or item.get("crl_content")
                else None
            )
            if certificate is not None and len(self.problems) == found and crypto.CRYPTOGRAPHY_ERROR is None:
                wrong = client_authority_problems(certificate.encode(), crl.encode() if crl else None, crypto.utc_now())
                self.problems.extend(f"{where}: {problem}" for problem in wrong)
            self.authorities.append({"name": name, "certificate_content": certificate or "", "crl_content": crl})


def authority_problems(authorities: t.Any) -> t.List[str]:
    """Return what is wrong with certificates_authorities."""
    if not isinstance(authorities, t.Sequence) or isinstance(authorities, str):
        return ["certificates_authorities is not a list"]
    problems = []
    names: t.Set[str] = set()
    for number, item in enumerate(authorities):
        given = item if isinstance(item, t.Mapping) else {}
        name = str(given.get("name", ""))
        if not NAME.fullmatch(name) or not given.get("host"):
            problems.append(
                f"certificates_authorities[{number}]: name ({name!r}) and host are needed, "
                "the host of the inventory that keeps its key"
            )
        if name in names:
            problems.append(f"authority {name}: the name is there twice")
        names.add(name)
        if given.get("key_type") is not None and given["key_type"] not in crypto.KEY_TYPES:
            problems.append(
                f"authority {name}: key_type is {given['key_type']!r}, and there are {', '.join(crypto.KEY_TYPES)}"
            )
    return problems
