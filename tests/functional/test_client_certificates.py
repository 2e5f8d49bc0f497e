# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in TLS and resumed sessions against client certificates, on the newest nginx.

molecule/certificates tries the same on Debian's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lib import client_certificates, pki
from lib.client_certificates import ADDRESSES
from lib.head_echo import HeadEcho
from lib.local_gate import LocalGate, free_port


class CertificatesGate(LocalGate):
    def __init__(self) -> None:
        self.head_echo = HeadEcho()
        super().__init__([])
        self.pki = self.root / "pki"
        pki.write(self.pki)
        authorities: dict[str, dict[str, Any]] = {
            "clients": {"ca_path": str(self.pki / "clients.pem"), "crl_path": str(self.pki / "clients.crl")},
            "namesakes": {"ca_path": str(self.pki / "namesakes.pem")},
        }
        self.addresses = tuple(replace(address, port=free_port()) for address in ADDRESSES)
        servers = []
        for address in self.addresses:
            for name in address.names[:-1]:
                locations = [server for server in address.servers if server.name == name]
                is_default = name == address.names[0]
                is_asked = locations[0].asks != "no"
                authority = authorities.get(address.authority, {})
                is_required = all(location.asks == "must" for location in locations)
                is_optional = is_asked and not is_required
                upstream = f"http://127.0.0.1:{self.head_echo.port}"
                servers.append(
                    {
                        "name": name.partition(".")[0], "server_names": [name], "certificate": "gate",
                        "listen": [{"address": "127.0.0.1", "port": address.port, "default_server": is_default}],
                        "client_certificates": {**authority, "required": is_required} if is_asked else {},
                        "locations": [
                            {"path": location.path, "upstream": upstream, "auth": "none"}
                            | ({"client_certificate_required": location.asks == "must"} if is_optional else {})
                            for location in locations
                        ],
                    }
                )  # fmt: skip
        self.variables |= {"wss_proxy_certificates": [self.certificate()], "wss_proxy_servers": servers}
        # What an operator has set for all sites must not bring back what the servers turn off.
        self.variables["nginx_http_extra_directives"] += (
            "\nssl_session_cache shared:operator:1m;\nssl_session_tickets on;"
        )

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.head_echo.close()

    def site(self) -> client_certificates.Site:
        return client_certificates.Site(
            self.addresses, str(self.pki), str(self.pki / "clients.crl"), str(self.pid_path)
        )


@pytest.fixture(scope="module")
def local_gate() -> Iterator[CertificatesGate]:
    with CertificatesGate() as local_gate:
        yield local_gate


def test_no_name_and_no_resumed_session_opens_what_a_certificate_does_not(local_gate: CertificatesGate) -> None:
    found = client_certificates.run(local_gate.site())
    assert not found["complaints"], "\n".join(found["complaints"])
    # It did try.
    assert found["tried"] > 600
