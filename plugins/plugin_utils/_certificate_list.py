# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads certificates_list on the controller: what is wrong with it, and the content of the files it names.

Everything that can be known before a host is touched is found here, so that a wrong key or an expired certificate
stops the play before its first change. Messages name certificates and files, never a key.
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils._certificates import x509 as crypto
from ..module_utils._certificates import store

PROVIDERS = ("selfsigned", "files", "acme")
# What wss_certificate takes; the rest is for the role
MODULE_KEYS = (
    "name",
    "provider",
    "subject_alt_names",
    "common_name",
    "key_type",
    "days",
    "renew_before_days",
    "reuse_key",
    "authority",
    "certificate_path",
    "key_path",
    "certificate_content",
    "key_content",
    "remote",
    "symlinks_allowed",
)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_PATH = re.compile(r"/[^\x00-\x1f]*[^\x00-\x1f/]")


class UnreadableError(Exception):
    """Says why a file of the controller could not be read."""


def _content(
    problems: t.List[str],
    read: t.Callable[[str], str],
    where: str,
    item: t.Mapping[str, t.Any],
    what: str,
    otherwise: str = "",
) -> t.Optional[str]:
    """Return what an item gives as WHAT_source or WHAT_content, or note why there is nothing."""
    given = [key for key in (f"{what}_source", f"{what}_content") if item.get(key)]
    if len(given) != 1:
        problems.append(
            f"{where}: give {what}_source (a file of the controller) or {what}_content{', not both' if given else ''}{otherwise}"
        )
        return None
    value = str(item[given[0]])
    if given[0].endswith("_content"):
        return value
    try:
        return read(value)
    except UnreadableError as error:
        problems.append(f"{where}: {given[0]}: {error}")
        return None


class ClientAuthorityList:
    """certificates_client_authorities, checked and with the content of the files it names."""

    def __init__(self, authorities: t.Any, read: t.Callable[[str], str]) -> None:
        """Read the list. The function read returns the content of a file of the controller or raises UnreadableError."""
        self.problems: t.List[str] = []
        self.authorities: t.List[t.Dict[str, t.Any]] = []
        if not isinstance(authorities, t.Sequence) or isinstance(authorities, str):
            self.problems.append("certificates_client_authorities is not a list")
            return
        for number, item in enumerate(authorities):
            name = str(item.get("name", "")) if isinstance(item, t.Mapping) else ""
            if not _NAME.fullmatch(name):
                self.problems.append(
                    f"certificates_client_authorities[{number}]: name ({name!r}) has to be 1 to 64 letters, digits, '_', '.' or '-', "
                    "and to begin with none of the last two"
                )
                continue
            where = f"client authority {name}"
            if name in [other["name"] for other in self.authorities]:
                self.problems.append(f"{where}: the name is there twice")
            found = len(self.problems)
            certificate = _content(self.problems, read, where, item, "certificate")
            crl = (
                _content(self.problems, read, where, item, "crl")
                if item.get("crl_source") or item.get("crl_content")
                else None
            )
            if certificate is not None and len(self.problems) == found and crypto.CRYPTOGRAPHY_ERROR is None:
                wrong = store.client_authority_problems(
                    certificate.encode(), crl.encode() if crl else None, crypto.utc_now()
                )
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
        if not _NAME.fullmatch(name) or not given.get("host"):
            problems.append(
                f"certificates_authorities[{number}]: name ({name!r}) and host are needed, the host of the inventory that keeps its key"
            )
        if name in names:
            problems.append(f"authority {name}: the name is there twice")
        names.add(name)
        if given.get("key_type") is not None and given["key_type"] not in crypto.KEY_TYPES:
            problems.append(
                f"authority {name}: key_type is {given['key_type']!r}, and there are {', '.join(crypto.KEY_TYPES)}"
            )
    return problems


class CertificateList:
    """certificates_list, checked and completed."""

    def __init__(
        self,
        certificates: t.Any,
        directory: str,
        read: t.Callable[[str], str],
        authorities: t.Optional[t.Collection[str]] = None,
    ) -> None:
        """Read the list. The function read returns the content of a file of the controller or raises UnreadableError."""
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
        if not _NAME.fullmatch(name):
            self.problems.append(
                f"{where}: name ({name!r}) has to be 1 to 64 letters, digits, '_', '.' or '-', and to begin with none of the last two"
            )
            return
        where = f"certificate {name}"
        if name in self._names:
            self.problems.append(f"{where}: the name is there twice")
        self._names.add(name)
        provider = item.get("provider")
        if provider not in PROVIDERS:
            self.problems.append(f"{where}: provider is {provider!r}, and there are {', '.join(PROVIDERS)}")
            return
        completed = {key: item[key] for key in MODULE_KEYS if item.get(key) is not None}
        names = self._check_names(where, item, provider)
        self._check_paths(where, item)
        self._check_numbers(where, item)
        if provider != "selfsigned":
            self._refuse(where, item, provider, ("authority",))
        elif item.get("authority") and self.authorities is not None and item["authority"] not in self.authorities:
            known = ", ".join(sorted(self.authorities)) or "none"
            self.problems.append(
                f"{where}: authority {item['authority']!r} is not in certificates_authorities (there: {known})"
            )
        if provider == "files":
            self._check_files(where, item, names, completed)
        else:
            self._refuse(
                where,
                item,
                provider,
                ("certificate_source", "key_source", "certificate_content", "key_content", "remote"),
            )
        self.certificates.append(completed)

    def _refuse(self, where: str, item: t.Mapping[str, t.Any], provider: str, keys: t.Iterable[str]) -> None:
        for key in keys:
            if item.get(key):
                self.problems.append(f"{where}: {key} does not go with provider {provider}")

    def _check_names(self, where: str, item: t.Mapping[str, t.Any], provider: str) -> t.List[str]:
        given = item.get("subject_alt_names") or []
        if not isinstance(given, t.Sequence) or isinstance(given, str):
            self.problems.append(f"{where}: subject_alt_names is not a list")
            return []
        if not given and provider != "files":
            self.problems.append(f"{where}: subject_alt_names is empty, and a certificate is for at least one name")
        names = []
        for text in given:
            try:
                names.append(crypto.parse_name(str(text)))
            except crypto.CertificateError as error:
                self.problems.append(f"{where}: subject_alt_names: {error}")
        if provider == "acme":
            for name in names:
                # RFC 8555 with http-01: the authority asks this host, by this name, over http
                if not name.startswith("DNS:") or "*" in name:
                    self.problems.append(
                        f"{where}: {name} cannot be proven over http to an ACME authority; name hosts without wildcards"
                    )
        return names

    def _check_paths(self, where: str, item: t.Mapping[str, t.Any]) -> None:
        defaults = {"certificate_path": "fullchain.pem", "key_path": "privkey.pem"}
        if item.get("remote") and not (item.get("certificate_path") and item.get("key_path")):
            self.problems.append(
                f"{where}: remote: true needs certificate_path and key_path, the files that are on the host already"
            )
        for key, default in defaults.items():
            path = str(item.get(key) or f"{self.directory}/{item['name']}/{default}")
            if not _PATH.fullmatch(path):
                self.problems.append(f"{where}: {key} is not the absolute path of a file")
            elif path in self._paths and not item.get("remote"):
                self.problems.append(f"{where}: {path} is a file of {self._paths[path]} too")
            self._paths.setdefault(path, where)

    def _check_numbers(self, where: str, item: t.Mapping[str, t.Any]) -> None:
        numbers = {"days": 397, "renew_before_days": 30}
        for key in numbers:
            value = item.get(key)
            if value is None:
                continue
            if not re.fullmatch(r"[0-9]{1,5}", str(value)) or not int(value):
                self.problems.append(f"{where}: {key} is not a whole number from 1 to 99999")
                return
            numbers[key] = int(value)
        if item["provider"] == "selfsigned" and numbers["days"] <= numbers["renew_before_days"]:
            self.problems.append(
                f"{where}: renew_before_days ({numbers['renew_before_days']}) has to be less than days ({numbers['days']})"
            )
        if item.get("key_type") is not None and item["key_type"] not in crypto.KEY_TYPES:
            self.problems.append(
                f"{where}: key_type is {item['key_type']!r}, and there are {', '.join(crypto.KEY_TYPES)}"
            )

    def _check_files(
        self, where: str, item: t.Mapping[str, t.Any], names: t.List[str], completed: t.Dict[str, t.Any]
    ) -> None:
        if item.get("remote"):
            self._refuse(
                where,
                item,
                "files and remote: true",
                ("certificate_source", "key_source", "certificate_content", "key_content"),
            )
            return
        contents = {}
        for what in ("certificate", "key"):
            value = _content(self.problems, self.read, where, item, what, ", or remote: true")
            if value is not None:
                contents[what] = completed[f"{what}_content"] = value
        # ansible-core itself depends on cryptography; should it be missing, the host finds the same problems later
        if len(contents) == 2 and crypto.CRYPTOGRAPHY_ERROR is None:
            found = store.file_problems(
                contents["certificate"].encode(), contents["key"].encode(), names, crypto.utc_now()
            )
            self.problems.extend(f"{where}: {problem}" for problem in found)
