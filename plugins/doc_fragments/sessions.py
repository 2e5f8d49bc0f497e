# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Which sessions, for the modules that list and end them."""

    DOCUMENTATION = r"""
options:
  subjects:
    description:
      - Only sessions whose token is for one of these subjects, as its file has it now, or the claim C(sub) of a signed
        one. The session of a token that is gone has none.
    type: list
    elements: str
  fingerprints:
    description:
      - Only sessions of tokens whose SHA-256 begins with one of these, of 8 to 64 hexadecimal digits. Of a signed token
        it is C(token_id) of the access log, by which M(wssgate.nginx.wss_revocation) takes it back.
    type: list
    elements: str
  clients:
    description:
      - Only sessions of clients with one of these addresses, or within one of these networks (V(192.0.2.0/24)).
      - Behind a load balancer that the gate trusts, it is the address of the client that the load balancer names.
    type: list
    elements: str
  servers:
    description:
      - Only sessions of these servers, by the first of the C(server_names) of each.
    type: list
    elements: str
  locations:
    description:
      - Only sessions of these locations, by the C(path) of each.
    type: list
    elements: str
  ids:
    description:
      - Only these sessions, by the ids that M(wssgate.nginx.wss_session_info) returns. An id is of one gate.
    type: list
    elements: str
  nginx_directory:
    description:
      - Absolute path of the folder of nginx's configuration. The gate's files in it have the upstreams and the ports
        of its locations.
    type: path
    default: /etc/nginx
"""
