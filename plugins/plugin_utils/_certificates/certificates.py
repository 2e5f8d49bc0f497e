# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""certificates_list."""

from __future__ import annotations

import re
import typing as t

from ...module_utils._certificates import x509 as crypto
from ...module_utils._certificates.paths import pair_paths
from ...module_utils._certificates.providers.registry import arguments
from .providers import PROVIDERS, refused
from .providers.provider import Certificate, Provider
from .reading import NAME, NAME_RULE, Read

# What wss_certificate takes; the rest is for the role
MODULE_KEYS = (
    "name",
    "provider",
    "subject_alt_names",
    "certificate_path",
    "key_path",
    "symlinks_allowed",
    *arguments(),
)
_PATH = re.compile(r"/[^\x00-\x1f]*[^\x00-\x1f/]")


class CertificateList:
    """certificates_list, checked and completed."""

    def __init__(
        self, certificates: t.Any, directory: str, read: Read, authorities: t.Optional[t.Collection[str]] = None
    ) -> None:
        """Read the list. ``authorities`` has the names in certificates_authorities, or None where nobody knows them."""
        self.authorities = authorities
        self.directory = directory
        self.read = read
        self.problems: t.List[str] = []
        self.certificates: t.List[t.Dict[str, t.Any]] = []
        self._names: t.Set[str] = set()
        self._paths: t.Dict[str, str] = {}
        if not isinstance(certificates, t.Sequence) or isinstance(certificates, str):
            self.problems.append("certificates_list is not a list")
            return
        for number, item in enumerate(certificates):
            self._take(f"certificates_list[{number}]", item)

    def _take(self, where: str, item: t.Any) -> None:
        if not isinstance(item, t.Mapping):
            self.problems.append(f"{where} is not a dictionary with name and provider")
            return
        name = str(item.get("name", ""))
        if not NAME.fullmatch(name):
            self.problems.append(f"{where}: name ({name!r}) {NAME_RULE}")
            return
        where = f"certificate {name}"
        if name in self._names:
            self.problems.append(f"{where}: the name is there twice")
        self._names.add(name)
        provider = PROVIDERS.get(str(item.get("provider")))
        if provider is None:
            self.problems.append(f"{where}: provider is {item.get('provider')!r}, and there are {', '.join(PROVIDERS)}")
            return
        certificate = Certificate(
            where=where,
            item=item,
            names=self._read_names(where, item, provider),
            numbers=self._read_numbers(where, item),
            completed={key: item[key] for key in MODULE_KEYS if item.get(key) is not None},
            problems=self.problems,
            read=self.read,
            authorities=self.authorities,
        )
        self._check_paths(where, item)
        if item.get("key_type") is not None and item["key_type"] not in crypto.KEY_TYPES:
            self.problems.append(
                f"{where}: key_type is {item['key_type']!r}, and there are {', '.join(crypto.KEY_TYPES)}"
            )
        certificate.refuse(provider.name, refused(provider))
        provider.check(certificate)
        self.certificates.append(certificate.completed)

    def _read_names(self, where: str, item: t.Mapping[str, t.Any], provider: Provider) -> t.List[str]:
        given = item.get("subject_alt_names") or []
        if not isinstance(given, t.Sequence) or isinstance(given, str):
            self.problems.append(f"{where}: subject_alt_names is not a list")
            return []
        if not given and provider.needs_names:
            self.problems.append(f"{where}: subject_alt_names is empty, and a certificate is for at least one name")
        names = []
        for text in given:
            try:
                names.append(crypto.parse_name(str(text)))
            except crypto.CertificateError as error:
                self.problems.append(f"{where}: subject_alt_names: {error}")
        return names

    def _read_numbers(self, where: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
        """Whole numbers with their defaults; those that are none are told and keep the default."""
        numbers = {key: int(arguments()[key]["default"]) for key in ("days", "renew_before_days")}
        for key in numbers:
            value = item.get(key)
            if value is None:
                continue
            if not re.fullmatch(r"[0-9]{1,5}", str(value)) or not int(value):
                self.problems.append(f"{where}: {key} is not a whole number from 1 to 99999")
                return {}
            numbers[key] = int(value)
        return numbers

    def _check_paths(self, where: str, item: t.Mapping[str, t.Any]) -> None:
        paths = pair_paths(self.directory, str(item["name"]), item.get("certificate_path"), item.get("key_path"))
        for key, path in (("certificate_path", paths.certificate), ("key_path", paths.key)):
            if not _PATH.fullmatch(path):
                self.problems.append(f"{where}: {key} is not the absolute path of a file")
            elif path in self._paths and not item.get("remote"):
                self.problems.append(f"{where}: {path} is a file of {self._paths[path]} too")
            self._paths.setdefault(path, where)
