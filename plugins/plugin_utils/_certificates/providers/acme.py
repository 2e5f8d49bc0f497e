# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that an ACME authority issues: what certbot is asked, and what is done with its answer."""

from __future__ import annotations

import typing as t

from ....module_utils._certificates import x509 as crypto
from ....module_utils._certificates.paths import pair_paths
from .provider import Certificate, Provider

_CURVES = {"P-256": "secp256r1", "P-384": "secp384r1"}
DEFAULT_SERVED_AT = ["127.0.0.1:443"]


class _Acme(Provider):
    name = "acme"
    needs_gate = True
    remedy = "its renewal fails or does not run: see /var/log/letsencrypt and the timer of certbot"
    if_self_signed = "is a placeholder: no authority has issued one yet"

    def check(self, certificate: Certificate) -> None:
        for name in certificate.names:
            # RFC 8555 with http-01: the authority asks this host, by this name, over http
            if not name.startswith("DNS:") or "*" in name:
                certificate.note(
                    f"{name} cannot be proven over http to an ACME authority; name hosts without wildcards"
                )


def _hosts(item: t.Mapping[str, t.Any]) -> list[str]:
    return list(dict.fromkeys(crypto.parse_name(str(name)).partition(":")[2] for name in item["subject_alt_names"]))


def certbot_command(
    item: t.Mapping[str, t.Any],
    directory: str,
    webroot: str,
    email: str,
    account_file: str,
    hook: str,
    force: bool = False,
) -> list[str]:
    """Return the command that asks for one certificate."""
    key_type = str(item.get("key_type") or "P-256")
    command = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--server", directory]
    command += ["--email", email] if email else ["--register-unsafely-without-email"]
    if account_file:
        command += ["--config", account_file]
    command += ["--cert-name", str(item["name"]), "--webroot", "--webroot-path", webroot]
    for host in _hosts(item):
        command += ["--domain", host]
    if key_type.startswith("RSA-"):
        command += ["--key-type", "rsa", "--rsa-key-size", key_type[4:]]
    else:
        command += ["--key-type", "ecdsa", "--elliptic-curve", _CURVES[key_type]]
    command += ["--reuse-key"] if item.get("reuse_key") else ["--no-reuse-key"]
    # certbot runs a post-hook once, after all certificates that are due
    command += [
        "--post-hook",
        hook,
        "--renew-with-new-domains",
        "--force-renewal" if force else "--keep-until-expiring",
    ]
    return command


def acme_deployment(item: t.Mapping[str, t.Any], directory: str) -> dict[str, t.Any]:
    """Return what certbot's hook needs to know about one certificate."""
    paths = pair_paths(directory, str(item["name"]), item.get("certificate_path"), item.get("key_path"))
    return {
        "name": str(item["name"]),
        "lineage": str(item["name"]),
        "certificate_path": paths.certificate,
        "key_path": paths.key,
        "server_name": _hosts(item)[0],
        "served_at": [str(address) for address in item.get("served_at") or DEFAULT_SERVED_AT],
    }


ACME = _Acme()
