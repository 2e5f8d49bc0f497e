#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_gate_info
short_description: Tell what clients of a gate meet
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Connects to the servers of a gate as clients do, from the gate itself, and tells which versions of TLS they speak,
    how they exchange keys, which certificates they serve and how they answer handshakes without and with a token.
  - Reads the certificates that they should serve, and says what is wrong with them.
  - What it finds is no failure. The playbook C(wssgate.nginx.check) judges it.
requirements:
  - python3-cryptography 3.3 or newer on the host
options:
  targets:
    description:
      The servers. The filter P(wssgate.nginx.gate_targets#filter) makes them from the variables of the roles.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the server.
        type: str
        required: true
      server_name:
        description: Host name to ask for, in TLS and in the C(Host) header.
        type: str
        required: true
      server_names:
        description: Names that its certificates have to be for.
        type: list
        elements: str
        default: []
      host:
        description: Address to connect to.
        type: str
        default: 127.0.0.1
      port:
        description: Port to connect to.
        type: int
        required: true
      tls:
        description: Whether it speaks TLS.
        type: bool
        default: true
      proxy_protocol:
        description: Whether it wants a PROXY protocol header.
        type: bool
        default: false
      certificates:
        description:
          Certificates it should serve, each with C(certificate_path), C(key_path), and whatever else is to come back
          with it.
        type: list
        elements: dict
        default: []
      ca_path:
        description: Certificate of the authority of its clients.
        type: path
      crl_path:
        description: What that authority has revoked.
        type: path
      locations:
        description:
          - Locations to try, each with C(path), C(origin), C(auth), C(cookie_name) or C(bearer) where the token is
            sent, and whatever else is to come back with it.
        type: list
        elements: dict
        default: []
  nginx:
    description: The nginx whose workers are asked whether they can carry the sessions of the gate.
    type: dict
    suboptions:
      binary:
        description: Absolute path of nginx.
        type: path
        default: /usr/sbin/nginx
      main_file:
        description: Absolute path of the main file; only a master that runs it is looked for.
        type: path
        default: /etc/nginx/nginx.conf
      pid_file:
        description: Absolute path of nginx's pid file. It is a hint only.
        type: path
        default: /run/nginx.pid
      sessions:
        description:
          Sessions that the workers have to carry together. By default those that its configuration was written for.
        type: int
  token:
    description: Token to try where a location has a C(cookie_name) or C(bearer). It is shown nowhere.
    type: str
  timeout:
    description: Seconds for each connection.
    type: float
    default: 5
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: It changes nothing.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_probe
    description: From where the clients are.
"""

EXAMPLES = r"""
- name: Ask the gate
  wssgate.nginx.wss_gate_info:
    targets:
      - name: wcs
        server_name: wcs.example.com
        server_names: [wcs.example.com]
        port: 443
        certificates:
          - certificate_path: /etc/nginx/certificates/wcs/fullchain.pem
            key_path: /etc/nginx/certificates/wcs/privkey.pem
        locations:
          - path: /wss
            origin: https://wcs.example.com
  register: wcs_gate
"""

RETURN = r"""
capacity:
  description:
    - Whether the workers that run can carry the sessions that were asked for. A worker takes two connections, and so
      two open files, a session, and 512 of each besides. None when no worker runs, and without O(nginx).
  returned: success
  type: dict
  contains:
    wanted:
      description: How many were asked for.
      type: int
    sessions:
      description: How many all workers can carry together.
      type: int
    workers:
      description: Number of workers.
      type: int
    descriptors:
      description: How many files each may have open, as the system has it.
      type: int
    connections:
      description: How many connections each may have, as the configuration has it.
      type: int
    problem:
      description: What is lacking and what to set. Empty when all is well.
      type: str
issuers:
  description:
    - The issuers of signed tokens whose tokens this nginx takes, by name. Empty without O(nginx).
  returned: success
  type: list
  elements: dict
  version_added: 1.1.0
  contains:
    name:
      description: Name of the issuer in the inventory.
      type: str
    issuer:
      description: The claim C(iss) of its tokens.
      type: str
    key_count:
      description: Number of its keys that nginx has.
      type: int
    kids:
      description: Their C(kid), empty for one that has none.
      type: list
      elements: str
    algorithms:
      description: What they are for.
      type: list
      elements: str
    jwks_url:
      description: Where they are fetched. Empty where they are from the inventory.
      type: str
    fetched_seconds_ago:
      description: Age of the last fetch that succeeded. None where there was none.
      type: int
    left_out:
      description: Keys of the set that are not taken, and why.
      type: list
      elements: str
    problems:
      description: What is wrong with the set, and with making it live.
      type: list
      elements: str
targets:
  description: What was found, in the order of O(targets).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the server.
      type: str
    server_name:
      description: Host name that was asked for.
      type: str
    address:
      description: Where it was asked.
      type: str
    client_address:
      description: Address that the gate was asked from. None when nothing answered.
      type: str
      version_added: 1.1.0
      sample: 127.0.0.1
    tls_versions:
      description: Versions of TLS that it speaks. Empty when nothing answered, or without TLS.
      type: list
      elements: str
    key_exchange_group:
      description:
        - Group that it chooses for the key exchange when a client offers V(X25519MLKEM768), V(x25519), V(secp256r1) and
          V(secp384r1), in this order, as browsers do. The first of them is safe from quantum computers.
        - None without TLS 1.3.
      type: str
      sample: X25519MLKEM768
    certificates:
      description:
        - Each certificate with C(problems) (what is wrong with it, its key and its chain), C(served) (whether clients
          get it), and its facts as in the return value C(certificates) of M(wssgate.nginx.wss_certificate).
      type: list
      elements: dict
    client_authority:
      description:
        C(problems) of the authority of clients, C(days_left), C(revoked), C(crl_days_left). None without one.
      type: dict
    locations:
      description:
        Each location with C(without_token) and C(with_token), the status of the answer, V(-1) for none. C(with_token)
        is None where none was sent.
      type: list
      elements: dict
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._agent.notify_settings import STATE
from ..module_utils._certificates import x509 as crypto
from ..module_utils._handshake import check
from ..module_utils._handshake.answer import answer
from ..module_utils._host.error import HostError
from ..module_utils._issuers.report import report
from ..module_utils._nginx.capacity import measure_running

NGINX_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "binary": {"type": "path", "default": "/usr/sbin/nginx"},
    "main_file": {"type": "path", "default": "/etc/nginx/nginx.conf"},
    "pid_file": {"type": "path", "default": "/run/nginx.pid"},
    "sessions": {"type": "int"},
}
TARGET_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "server_name": {"type": "str", "required": True},
    "server_names": {"type": "list", "elements": "str", "default": []},
    "host": {"type": "str", "default": "127.0.0.1"},
    "port": {"type": "int", "required": True},
    "tls": {"type": "bool", "default": True},
    "proxy_protocol": {"type": "bool", "default": False},
    "certificates": {"type": "list", "elements": "dict", "default": []},
    "ca_path": {"type": "path"},
    "crl_path": {"type": "path"},
    "locations": {"type": "list", "elements": "dict", "default": []},
}


def look(target: t.Dict[str, t.Any], token: t.Optional[str], timeout: float) -> t.Dict[str, t.Any]:
    """Return what clients of one server meet."""
    now = crypto.utc_now()
    address = check.Address(
        target["host"], target["port"], target["server_name"], target["tls"], target["proxy_protocol"]
    )
    served = check.served_fingerprints(address, timeout) if address.tls else []
    locations = []
    for location in target["locations"]:
        origin, cookie_name = location.get("origin") or "", location.get("cookie_name") or ""
        cookie = f"{cookie_name}={token}" if cookie_name and token else ""
        authorization = f"Bearer {token}" if location.get("bearer") and token else ""
        locations.append(
            {
                **location,
                "without_token": answer(address, location["path"], timeout, origin),
                "with_token": answer(address, location["path"], timeout, origin, cookie, authorization)
                if cookie or authorization
                else None,
            }
        )
    return {
        "name": target["name"],
        "server_name": target["server_name"],
        "address": f"{target['host']}:{target['port']}",
        "client_address": check.client_address(address, timeout),
        "tls": target["tls"],
        "tls_versions": check.tls_versions(address, timeout) if address.tls else [],
        "key_exchange_group": check.key_exchange_group(address, timeout) if address.tls else None,
        "certificates": [
            {
                **item,
                **check.certificate(item["certificate_path"], item["key_path"], target["server_names"], served, now),
            }
            for item in target["certificates"]
        ],
        "client_authority": check.client_authority(target["ca_path"], target["crl_path"] or "", now)
        if target["ca_path"]
        else None,
        "locations": locations,
    }


def capacity(nginx: t.Optional[t.Dict[str, t.Any]]) -> t.Optional[t.Dict[str, t.Any]]:
    """Return whether nginx's workers can carry the sessions that were asked for."""
    if nginx is None:
        return None
    found = measure_running(nginx["binary"], nginx["main_file"], nginx["pid_file"], nginx["sessions"] or 0)
    return found.result() if found else None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "targets": {"type": "list", "elements": "dict", "required": True, "options": TARGET_OPTIONS},
            "nginx": {"type": "dict", "options": NGINX_OPTIONS},
            "token": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    if crypto.CRYPTOGRAPHY_ERROR is not None:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=crypto.CRYPTOGRAPHY_ERROR)
    params = module.params
    issuers: t.List[t.Dict[str, t.Any]] = []
    try:
        found = capacity(params["nginx"])
        if params["nginx"] is not None:
            issuers = report(os.path.dirname(params["nginx"]["main_file"]), STATE)
    except HostError as error:
        module.fail_json(msg=str(error))
    targets = [look(target, params["token"], params["timeout"]) for target in params["targets"]]
    module.exit_json(changed=False, capacity=found, issuers=issuers, targets=targets)


if __name__ == "__main__":
    main()
