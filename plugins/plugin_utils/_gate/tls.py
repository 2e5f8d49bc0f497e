# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS towards clients: certificates, those that clients show, resumption, key exchange."""

from __future__ import annotations

import re
import typing as t

from ...module_utils._certificates.paths import pair_paths
from .context import Gate
from .options import CLIENT_CERTIFICATES_DEFAULTS
from .patterns import FILE_PATH


def addresses(server: t.Mapping[str, t.Any]) -> t.List[str]:
    return [address for entry in server["listeners"] if entry["tls"] for address in entry["addresses"]]


def certificates(gate: Gate, where: str, given: t.Any, has_tls: bool) -> t.List[t.Dict[str, str]]:
    problems = gate.problems
    names = [given] if isinstance(given, str) and given else problems.items(where, "certificate", given or None)
    if has_tls and not names:
        problems.add(
            where, "it listens with TLS and names no certificate; set certificate to a name from certificates_list"
        )
    found = []
    for name in names:
        certificate = gate.certificates.get(str(name))
        if certificate is None:
            known = ", ".join(sorted(gate.certificates)) or "none"
            problems.add(
                where,
                f"certificate {name!r} is not in certificates_list (there: {known}); add it there, or name one of "
                "these",
            )
            continue
        paths = pair_paths(
            gate.context["certificates_directory"],
            str(name),
            certificate.get("certificate_path"),
            certificate.get("key_path"),
        )
        here = f"certificate {name!r}"
        found.append(
            {
                "certificate": gate.path(here, "certificate_path", paths.certificate),
                "key": gate.path(here, "key_path", paths.key),
            }
        )
    return found


def client_certificates(gate: Gate, where: str, given: t.Any, has_tls: bool) -> t.Optional[t.Dict[str, t.Any]]:
    problems = gate.problems
    if not given:
        return None
    options = problems.options(where, given, CLIENT_CERTIFICATES_DEFAULTS)
    if not has_tls:
        problems.add(where, "client certificates need a listener with TLS")
    return {
        "ca_path": problems.matches(
            where, "ca_path", options["ca_path"], FILE_PATH, "the absolute path of the authority's certificate"
        ),
        "crl_path": gate.path(where, "crl_path", options["crl_path"]),
        "required": problems.flag(where, "required", options["required"]),
        "subject_header": gate.header(where, "subject_header", options["subject_header"]),
        "depth": problems.number(where, "depth", options["depth"], 1, 10),
    }


def decide_resumption(gate: Gate) -> None:
    """No server of an address resumes TLS where one of them asks for client certificates.

    A resumed session keeps the verdict of its first handshake, whatever has been revoked or has expired since, and
    nginx goes by the address's default server when it decides whether to resume one.
    """
    asking = [server for server in gate.servers if server["client_certificates"]]
    verifying = {address for server in asking for address in addresses(server)}
    for server in gate.servers:
        server["tls_resumption"] = verifying.isdisjoint(addresses(server))


def key_exchange_groups(gate: Gate) -> t.List[str]:
    """What is offered for the key exchange, the best first; OpenSSL refuses the list for a name that it does not
    know.
    """
    known = re.match(r"([0-9]+)\.([0-9]+)", str(gate.context["openssl_version"]))
    is_post_quantum = known is not None and (int(known[1]), int(known[2])) >= (3, 5)
    return ["X25519MLKEM768"] * is_post_quantum + ["X25519", "prime256v1", "secp384r1"]
