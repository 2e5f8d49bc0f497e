#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_hub_info
short_description: Tell what a hub is like, and whether it can be one
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Asks a Valkey or Redis over TLS for its version, persistence, memory and replicas, and tries what the user may
    there. It changes nothing.
  - Each reason why the server cannot be a hub is one sentence in RV(problems). The module itself does not fail for
    them, but with O(strict).
options:
  host:
    description: Name or address of the server, which its certificate must be for. This or O(sentinels) is needed.
    type: str
  port:
    description: Its port for TLS.
    type: int
    default: 6379
  sentinels:
    description: Sentinels that tell where the primary is, each V(HOST:PORT).
    type: list
    elements: str
  service:
    description: Name that the Sentinels have for the servers.
    type: str
    default: wssgate
  sentinel_auth:
    description: Log in to the Sentinels as well, with the same user and password.
    type: bool
    default: true
  sentinel_port:
    description:
      - Port of the Sentinel on O(host), which is asked whether the Sentinels could agree on another primary. Where they
        could not, that is one of RV(problems).
    type: int
  ca_path:
    description: File with the certificates of the authorities that may vouch for it. Without it those of the system.
    type: path
  username:
    description: Who logs in.
    type: str
    required: true
  password:
    description: The password.
    type: str
  password_path:
    description: File with the password, instead of O(password).
    type: path
  kind:
    description: What the user is, to try what he may. Without it nothing is tried.
    type: str
    choices: [gate, operator, issuer, monitor]
  fleet:
    description: Name of the fleet in the hub's keys.
    type: str
    default: main
  name:
    description: Name of the gate or issuer in the hub's keys.
    type: str
    default: ''
  certificate_days:
    description: A certificate of the server that ends within that many days is a problem.
    type: int
    default: 0
  wait:
    description:
      - Seconds to wait for a server that cannot be reached, or is reading its files, and with O(strict) for problems to
        pass, as a replica has one until it has found its primary.
    type: int
    default: 0
  strict:
    description: Fail where there are problems.
    type: bool
    default: false
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_hub_password
"""

EXAMPLES = r"""
- name: See whether this gate can use the hub
  wssgate.nginx.wss_hub_info:
    host: hub.example.com
    ca_path: /etc/ssl/certs/hub-ca.pem
    username: gate-one
    password_path: /etc/wssgate/hub/password
    kind: gate
    name: one
    strict: true
"""

RETURN = r"""
problems:
  description: What is wrong, one sentence each with what to do.
  returned: success
  type: list
  elements: str
  sample: []
server:
  description: What the server is like. Empty where it cannot be asked, or the user may not ask.
  returned: success
  type: dict
  contains:
    engine:
      description: V(valkey) or V(redis).
      type: str
      sample: valkey
    version:
      description: Its version.
      type: str
      sample: 8.1.1
    certificate_not_after:
      description: When its certificate ends, in seconds since 1970.
      type: int
    run_id:
      description: Another one after each start.
      type: str
    role:
      description: V(primary) or V(replica).
      type: str
      sample: primary
    replicas:
      description: Number of replicas that are there.
      type: int
      sample: 2
    is_linked:
      description: Whether a replica has its primary.
      type: bool
    clients:
      description: Number of connections.
      type: int
      sample: 4
    memory_used:
      description: Bytes in use.
      type: int
    memory_limit:
      description: Bytes that it may use; 0 is without a bound.
      type: int
    eviction:
      description: What it throws away when its memory is full.
      type: str
      sample: noeviction
    is_loading:
      description: Whether it is reading its files.
      type: bool
    has_append_only_file:
      description: Whether it keeps what it was told.
      type: bool
    has_snapshots:
      description: Whether it has written one.
      type: bool
    writes_fail:
      description: Whether it could not write its file.
      type: bool
    uptime:
      description: Seconds since its start.
      type: int
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import files
from ..module_utils._host.error import HostError
from ..module_utils._hub import connection as _connection
from ..module_utils._hub import info as _info
from ..module_utils._hub.connection import Connection, Endpoint, Refused, parse_info
from ..module_utils._hub.error import HubError

INTERVAL = 0.2


def read_password(params: t.Mapping[str, t.Any]) -> str:
    """The password, as it was given or from its file."""
    if params["password"] or not params["password_path"]:
        return params["password"] or ""
    content = files.read(params["password_path"], 4096)
    if content is None:
        raise HubError(f"{params['password_path']}, the file of the password, is not there")
    return content.decode("utf-8", "replace").strip()


def read_sentinels(params: t.Mapping[str, t.Any], endpoint: Endpoint) -> t.List[Endpoint]:
    """The Sentinels' addresses."""
    found = []
    for text in params["sentinels"] or []:
        host, _colon, port = text.rpartition(":")
        if not host or not port.isdigit():
            raise HubError(f"sentinels: {text!r} is not HOST:PORT")
        one = endpoint._replace(host=host.strip("[]"), port=int(port))
        found.append(one if params["sentinel_auth"] else one._replace(username="", password=""))
    return found


def look(params: t.Mapping[str, t.Any]) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    """What the server is like, and what is wrong."""
    endpoint = Endpoint(
        params["host"] or "", params["port"], params["ca_path"] or "", params["username"], read_password(params)
    )
    problems: t.List[str] = []
    sentinels = read_sentinels(params, endpoint)
    if sentinels:
        host, port = _connection.primary(sentinels, params["service"])
        endpoint = endpoint._replace(host=host, port=port)
    with Connection(endpoint) as connection:
        try:
            found = _info.facts(parse_info(connection.ask("INFO")))
        except Refused as error:
            # LOADING among them
            if error.kind != "NOPERM":
                raise HubError(f"{endpoint.shown()}: {error}") from None
            found = {}
        else:
            found["certificate_not_after"] = connection.wire.certificate_end()
            problems += _info.server_problems(endpoint.shown(), found)
            problem = _info.certificate_problem(
                endpoint.shown(), found["certificate_not_after"], params["certificate_days"], time.time()
            )
            problems += [problem] if problem else []
        if params["kind"]:
            problems += _info.rights_problems(connection, params["kind"], params["fleet"], params["name"])
    if params["sentinel_port"]:
        problems += look_at_sentinel(endpoint._replace(port=params["sentinel_port"]), params["service"])
    return found, problems


def look_at_sentinel(endpoint: Endpoint, service: str) -> t.List[str]:
    """What is wrong with the Sentinels, as one of them tells. It is no reason to know nothing of the server."""
    try:
        with Connection(endpoint) as connection:
            problem = _info.quorum_problem(connection, service)
    except HubError as error:
        problem = f"no Sentinel of {service} answers there: {error}"
    return [problem] if problem else []


def wait_for(params: t.Mapping[str, t.Any]) -> t.Tuple[t.Dict[str, t.Any], t.List[str]]:
    """The same, once it can be asked."""
    end = time.monotonic() + params["wait"]
    while True:
        try:
            found, problems = look(params)
            if not problems or not params["strict"] or time.monotonic() >= end:
                return found, problems
        except HubError:
            if time.monotonic() >= end:
                raise
        time.sleep(INTERVAL)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str"},
            "port": {"type": "int", "default": 6379},
            "sentinels": {"type": "list", "elements": "str"},
            "service": {"type": "str", "default": "wssgate"},
            "sentinel_auth": {"type": "bool", "default": True},
            "sentinel_port": {"type": "int"},
            "ca_path": {"type": "path"},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "password_path": {"type": "path", "no_log": False},
            "kind": {"type": "str", "choices": [_info.GATE, _info.OPERATOR, _info.ISSUER, _info.MONITOR]},
            "fleet": {"type": "str", "default": "main"},
            "name": {"type": "str", "default": ""},
            "certificate_days": {"type": "int", "default": 0},
            "wait": {"type": "int", "default": 0},
            "strict": {"type": "bool", "default": False},
        },
        required_one_of=[("host", "sentinels")],
        mutually_exclusive=[("host", "sentinels"), ("sentinels", "sentinel_port"), ("password", "password_path")],
        supports_check_mode=True,
    )
    found: t.Dict[str, t.Any] = {}
    try:
        found, problems = wait_for(module.params)
    except HostError as error:
        problems = [str(error)]
    except OSError as error:
        problems = [f"{error.filename or 'a file'}: {error.strerror}"]
    if problems and module.params["strict"]:
        module.fail_json(msg="; ".join(problems), problems=problems, server=found)
    module.exit_json(changed=False, problems=problems, server=found)


if __name__ == "__main__":
    main()
