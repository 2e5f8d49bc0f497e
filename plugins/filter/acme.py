# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters behind provider acme of the certificates role: what certbot is asked, and what is done with its answer."""

from __future__ import annotations

import typing as t

from ..module_utils._certificates import x509 as crypto

_CURVES = {"P-256": "secp256r1", "P-384": "secp384r1"}
DEFAULT_SERVED_AT = ["127.0.0.1:443"]


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
    """Return what deploy_certificates needs to know about one certificate."""
    own = f"{directory}/{item['name']}"
    return {
        "name": str(item["name"]),
        "lineage": str(item["name"]),
        "certificate_path": str(item.get("certificate_path") or f"{own}/fullchain.pem"),
        "key_path": str(item.get("key_path") or f"{own}/privkey.pem"),
        "server_name": _hosts(item)[0],
        "served_at": [str(address) for address in item.get("served_at") or DEFAULT_SERVED_AT],
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"certbot_command": certbot_command, "acme_deployment": acme_deployment}
