#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_session_info
short_description: List the open sessions of a gate
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Lists who is connected with the gate, by which token, to which location and since when. It shows fingerprints, never
    a token.
  - A session is in the session log when a token has let it in, or when the gate lists it for another reason. Of all
    other connections to the gate's ports RV(unlisted) has the addresses.
  - With O(session_log) empty, for a gate without a session log, all connections are in RV(unlisted).
  - Where several criteria are given, a session has to meet all of them. Of each it has to meet one value.
requirements:
  - ss of iproute2 on the host
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.tokens
  - wssgate.nginx.token_store
  - wssgate.nginx.sessions
attributes:
  check_mode:
    details: It changes nothing.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_session
  - module: wssgate.nginx.wss_token_info
notes:
  - nginx and the module have to be in the same network namespace.
"""

EXAMPLES = r"""
- name: List all open sessions
  wssgate.nginx.wss_session_info:
  register: open_sessions

- name: List what one client has open at one location
  wssgate.nginx.wss_session_info:
    subjects: [client-42]
    locations: [/wss]
  register: sessions_of_client

- name: List who is connected from a network
  wssgate.nginx.wss_session_info:
    clients: [203.0.113.0/24, "2001:db8::/32"]
  register: sessions_of_network
"""

RETURN = r"""
sessions:
  description: The open sessions that meet the criteria, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    age:
      description: Seconds since it began.
      type: int
    bytes_received:
      description:
        - Bytes that the gate has received from the client on this connection, as the kernel counts them. TLS is
          included, and so is what other requests on the same connection have used (HTTP/2).
        - None where the kernel does not tell, and over a unix socket.
      type: int
    bytes_sent:
      description: Bytes that the gate has sent to the client. As RV(sessions[].bytes_received); what was sent twice
        counts twice.
      type: int
    client:
      description: Address of the client, behind a trusted load balancer as that names it.
      type: str
    client_port:
      description: Port of the other end of the connection. None over a unix socket.
      type: int
    ends_at_earliest:
      description: The session ends at this time at the earliest because of its location's greatest lifetime, in seconds
        since 1970 UTC. None where the location has none. A session may end earlier for other reasons.
      type: int
    ends_at_latest:
      description: The session ends at this time at the latest. As RV(sessions[].ends_at_earliest).
      type: int
    fingerprint:
      description:
        - First 12 hexadecimal digits of the token's SHA-256, of a signed token those of C(token_id) of the access log.
          None where no token let it in.
      type: str
    id:
      description: Names the session as long as it is open, for O(ids).
      type: str
    location:
      description: Path of the location. None for a session that began before version 1.1.0 was deployed.
      type: str
    peer:
      description: Address of the other end of the connection where it is not the client, for example that of a load
        balancer. None where it is.
      type: str
    server:
      description: First name of the server. None for a session that began before version 1.1.0 was deployed.
      type: str
    since:
      description: When it began, in seconds since 1970 UTC.
      type: int
    subject:
      description: Whom its token is for. None where the file, or a signed token, does not say, and where the file is
        gone.
      type: str
    upstream:
      description: Where the location passes it, as nginx's configuration has it now. None where that does not have the
        location.
      type: str
  sample:
    - age: 3600
      bytes_received: 18211
      bytes_sent: 204813
      client: 203.0.113.9
      client_port: 50112
      ends_at_earliest:
      ends_at_latest:
      fingerprint: 3b1f0a9c77de
      id: 812-4711-1
      location: /wss
      peer:
      server: wcs.example.com
      since: 1798706800
      subject: client-42
      upstream: http://127.0.0.1:8080/wss
unlisted:
  description:
    - Connections to the gate's ports that the session log does not have. Sessions that came with a password only are
      among them, also those of before the session log, connections that have no session yet, or no more, and those to
      other servers on the same ports.
    - With O(clients) those whose other end is there. With any other criterion none.
  returned: success
  type: list
  elements: dict
  contains:
    client:
      description: Address of the other end. Behind a load balancer it is that of the load balancer.
      type: str
    client_port:
      description: Port of the other end.
      type: int
  sample: []
totals:
  description: Numbers of the whole gate, whatever the criteria.
  returned: success
  type: dict
  contains:
    sessions:
      description: Open sessions.
      type: int
    unlisted:
      description: Connections that the session log does not have.
      type: int
  sample: {sessions: 1, unlisted: 0}
now:
  description: The host's clock in seconds since 1970 UTC.
  returned: success
  type: int
  sample: 1798710400
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import attempted, unnamed
from ..module_utils._nginx.gate_files import read_gate_files
from ..module_utils._sessions.criteria import argument_spec, given, selection_of
from ..module_utils._sessions.listing import describe, look, open_subjects, unlisted_of


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    params = module.params
    selection = selection_of(params)
    criteria = given(params)
    gate = read_gate_files(params["nginx_directory"])
    with open_subjects(params["path"], required=bool(selection.subjects) and not module.check_mode) as subjects:
        seen = look(params["session_log"], gate.ports, missing_ok=module.check_mode)
        now = time.time()
        is_meant = selection.matcher(subjects)
        sessions = [
            describe(
                session,
                seen.connections[session.pair] if session.pair else None,
                subjects(session.token) if session.token else session.subject or None,
                gate.upstream(session.pair[0][1] if session.pair else None, session.server_name, session.location),
                now,
            )
            for session in seen.sessions
            if is_meant(session)
        ]
        if subjects.problem():
            module.warn(subjects.problem())
    unlisted = unlisted_of(seen, selection.networks()) if criteria in ([], ["clients"]) else []
    return {
        "now": int(now),
        "sessions": sessions,
        "unlisted": [{"client": client, "client_port": port} for _gate, (client, port) in unlisted],
        "totals": {"sessions": len(seen.sessions), "unlisted": len(seen.unlisted)},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result, failure = attempted(lambda: run(module), unnamed)
    if failure is not None:
        module.fail_json(msg=failure)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
