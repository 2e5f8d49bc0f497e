#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_probe
short_description: Open a WebSocket through the gate and tell what happens
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Opens one WebSocket as a client would, pings through it, closes it, and tells the status, the time of each step and
    the facts of TLS and certificate.
  - It fails when the answer is not one of O(expected_status), and when the answer is V(101) but no working WebSocket
    comes of it.
  - It follows no redirect and uses no proxy, whatever the environment says.
requirements:
  - websockets >= 13 where the module runs, usually the controller (C(delegate_to=localhost) with the controller's own
    Python)
  - cryptography there, for the facts of a certificate that is not verified (O(validate_certs=false))
options:
  url:
    description:
      - What to open, C(wss://host[:port]/path), or C(ws://) without TLS. V(https) and V(http) are taken for these two.
      - It is shown in the output of C(-vvv). Keep secrets out of its query.
    type: str
    required: true
  connect_to:
    description:
      - Connect to this C(host[:port]) instead of the URL's. The host name in TLS and in the C(Host) header stays the
        URL's.
      - So a gate can be probed before DNS points to it, or each of several behind one name.
    type: str
  token:
    description:
      - Token to send, in the cookie O(cookie_name) or as O(token_source) has it.
    type: str
  encoded_token:
    description:
      - The same as O(token), in base64 (filter P(ansible.builtin.b64encode#filter)).
      - For a play that shows the token afterwards, on purpose. From ansible-core 2.22 on, Ansible replaces whatever a
        module was given as a secret in everything that it prints later. In base64 it looks for something else than
        the token.
    type: str
  cookie_name:
    description:
      - Name of the cookie that carries the token.
    type: str
    default: AUTH
  token_source:
    description:
      - Where the token goes. V(cookie) is the cookie O(cookie_name), V(bearer) the header C(Authorization), for a
        location whose C(sources) have it.
    type: str
    choices: [cookie, bearer]
    default: cookie
    version_added: 1.1.0
  origin:
    description:
      - Value of the C(Origin) header, as in V(https://app.example.com). None is sent by default.
    type: str
  username:
    description:
      - User name for basic authentication.
    type: str
  password:
    description:
      - Password for basic authentication.
    type: str
  headers:
    description:
      - Other headers to send. They are shown in the output of C(-vvv). Those with a secret belong into
        O(secret_headers).
    type: dict
    default: {}
  secret_headers:
    description:
      - Other headers to send, hidden in every output.
      - Ansible hides each value wherever it occurs in the result, so a short value may hide more than itself.
    type: dict
    default: {}
  subprotocols:
    description:
      - Subprotocols to offer, the preferred first.
    type: list
    elements: str
    default: []
  ping:
    description:
      - Whether to send a ping through the open WebSocket and to wait for the pong. Its absence is a failure.
    type: bool
    default: true
  text:
    description:
      - Text to send through the open WebSocket. The next message that comes is RV(reply). Its absence is a failure.
    type: str
  ca_path:
    description:
      - File with the CA certificates to trust, in PEM, instead of the system's. A self-signed certificate is its own
        CA.
    type: path
  validate_certs:
    description:
      - Whether the certificate must be trusted and be valid for the URL's host.
    type: bool
    default: true
  timeout:
    description:
      - Seconds for the whole probe.
    type: float
    default: 10
  expected_status:
    description:
      - HTTP statuses that count as success. V(-1) stands for no answer at all.
      - Set it to V(403) to prove that the gate is shut.
    type: list
    elements: int
    default: [101]
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: It changes nothing and probes in check mode too.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token
  - module: ansible.builtin.uri
    description: For plain HTTP.
"""

EXAMPLES = r"""
- name: Prove that a token opens the gate
  wssgate.nginx.wss_probe:
    url: wss://wcs.example.com/wss
    origin: https://app.example.com
    token: "{{ vault_probe_token }}"
  delegate_to: localhost
  vars:
    # websockets is installed beside Ansible, not in the system's Python.
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  register: wcs_probe

- name: Tell a certificate that ends soon
  ansible.builtin.assert:
    that: wcs_probe.certificate.days_left > 14
    fail_msg: "The certificate ends on {{ wcs_probe.certificate.not_after }}"

- name: Prove that the gate is shut without a token
  wssgate.nginx.wss_probe:
    url: wss://wcs.example.com/wss
    origin: https://app.example.com
    expected_status: [403]
  delegate_to: localhost

- name: Probe each gate behind one name, and what is behind it
  wssgate.nginx.wss_probe:
    url: wss://wcs.example.com/wss
    connect_to: "{{ ansible_host }}:443"
    ca_path: files/wcs.pem
    username: operator
    password: "{{ vault_operator_password }}"
    text: hello
  delegate_to: localhost
"""

RETURN = r"""
status:
  description: HTTP status of the answer, V(-1) when there was none.
  returned: always
  type: int
  sample: 101
upgraded:
  description: Whether the answer opened a WebSocket, every header of it right.
  returned: always
  type: bool
  sample: true
accept_valid:
  description: Whether RV(status) is V(101) and C(Sec-WebSocket-Accept) is the answer to the key that was sent.
  returned: always
  type: bool
  sample: true
reason:
  description: Why there is no working WebSocket. Empty when there is one.
  returned: always
  type: str
  sample: 403 Forbidden (the address, the origin or the token is not accepted)
subprotocol:
  description: The subprotocol that the server chose.
  returned: always
  type: str
  sample: null
reply:
  description: The message that came back. None without O(text).
  returned: always
  type: str
  sample: null
connect_seconds:
  description: Time to resolve the name and connect. None when it failed.
  returned: always
  type: float
  sample: 0.000181
tls_seconds:
  description: Time of the TLS handshake. None without TLS.
  returned: always
  type: float
  sample: 0.003712
upgrade_seconds:
  description: Time from the request to the end of the answer's head.
  returned: always
  type: float
  sample: 0.001906
ping_seconds:
  description: Time from a ping to its pong.
  returned: always
  type: float
  sample: 0.000512
message_seconds:
  description: Time from O(text) to the end of RV(reply).
  returned: always
  type: float
  sample: null
tls_version:
  description: Version of TLS. None without TLS.
  returned: always
  type: str
  sample: TLSv1.3
cipher:
  description: Cipher suite.
  returned: always
  type: str
  sample: TLS_AES_256_GCM_SHA384
key_exchange_group:
  description:
    - Group of the key exchange. It is one that Python's OpenSSL has, too. Which one browsers get,
      M(wssgate.nginx.wss_gate_info) tells.
    - None without TLS, and with a Python before 3.15 or its OpenSSL before 3.2, which cannot tell it.
  returned: always
  type: str
  sample: X25519MLKEM768
certificate:
  description:
    The server's certificate. None without TLS, and when it was not verified and the Python library cryptography is
    missing.
  returned: always
  type: dict
  contains:
    subject:
      description: Subject, by attribute name. Attributes that occur more than once are joined by a comma.
      type: dict
    issuer:
      description: Issuer, likewise.
      type: dict
    subject_alt_names:
      description: The DNS names and IP addresses it is for, as V(DNS:wcs.example.com).
      type: list
      elements: str
    not_after:
      description: Its end in UTC.
      type: str
    days_left:
      description: Whole days until its end. Negative when it has passed.
      type: int
  sample:
    subject: {commonName: wcs.example.com}
    issuer: {commonName: wcs.example.com}
    subject_alt_names: ["DNS:wcs.example.com"]
    not_after: "2027-11-21T04:08:00Z"
    days_left: 364
"""

import base64
import json
import math
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._handshake.probe import (
    WEBSOCKETS_IMPORT_ERROR,
    Ask,
    Outcome,
    ProbeArgumentError,
    Target,
    TlsOptions,
    build_headers,
    encoded_credentials,
    parse_target,
    probe,
    verdict,
)


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "url": {"type": "str", "required": True},
        "connect_to": {"type": "str"},
        "token": {"type": "str", "no_log": True},
        "encoded_token": {"type": "str", "no_log": True},
        "cookie_name": {"type": "str", "default": "AUTH"},
        "token_source": {"type": "str", "choices": ["cookie", "bearer"], "default": "cookie"},
        "origin": {"type": "str"},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "headers": {"type": "dict", "default": {}},
        "secret_headers": {"type": "dict", "default": {}, "no_log": True},
        "subprotocols": {"type": "list", "elements": "str", "default": []},
        "ping": {"type": "bool", "default": True},
        "text": {"type": "str"},
        "ca_path": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 10.0},
        "expected_status": {"type": "list", "elements": "int", "default": [101]},
    }


HIDDEN = "********"


def given_token(params: t.Mapping[str, t.Any]) -> t.Optional[str]:
    if params["encoded_token"] is None:
        return t.cast(t.Optional[str], params["token"])
    try:
        return base64.b64decode(params["encoded_token"], validate=True).decode("ascii")
    except ValueError:
        raise ProbeArgumentError("encoded_token is not a token in base64") from None


def secrets_of(params: t.Mapping[str, t.Any]) -> t.List[str]:
    """What must not be shown, in every form in which a server may send it back, the longest first."""
    found = {str(value) for value in params["secret_headers"].values()}
    found.update(params[name] for name in ("token", "encoded_token", "password") if params[name])
    if params["encoded_token"]:
        found.add(given_token(params) or "")
    if params["password"]:
        found.add(encoded_credentials(params["username"], params["password"]))
    found |= {json.dumps(value, ensure_ascii=is_ascii)[1:-1] for value in found for is_ascii in (False, True)}
    return sorted(filter(None, found), key=len, reverse=True)


def without(secrets: t.Sequence[str], value: t.Any) -> t.Any:
    """The value without the secrets.

    Ansible looks for what the options hold, and for nothing that is made of it: what is in base64 is read as easily.
    """
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {name: without(secrets, item) for name, item in value.items()}
    if isinstance(value, list):
        return [without(secrets, item) for item in value]
    return value


def attempt(params: t.Mapping[str, t.Any]) -> t.Tuple[Target, Outcome]:
    if not (math.isfinite(params["timeout"]) and params["timeout"] > 0):
        raise ProbeArgumentError("timeout must be more than 0 seconds")
    if not params["expected_status"]:
        raise ProbeArgumentError("expected_status must name at least one status")
    target = parse_target(params["url"], params["connect_to"])
    ask = Ask(
        headers=build_headers(
            {**params["headers"], **params["secret_headers"]},
            params["cookie_name"],
            given_token(params),
            params["username"],
            params["password"],
            params["token_source"],
        ),
        origin=params["origin"],
        subprotocols=tuple(params["subprotocols"]),
        message=params["text"],
        ping=params["ping"],
    )
    return target, probe(target, ask, TlsOptions(params["validate_certs"], params["ca_path"]), params["timeout"])


def result_of(outcome: Outcome) -> t.Dict[str, t.Any]:
    result = asdict(outcome)
    for name, value in result.items():
        if name.endswith("_seconds") and value is not None:
            result[name] = round(value, 6)
    return {"changed": False, **result}


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("token", "encoded_token")],
        required_by={"password": ["username"]},
    )
    if WEBSOCKETS_IMPORT_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("websockets >= 13", reason="to speak as a WebSocket client"),
            exception=WEBSOCKETS_IMPORT_ERROR,
        )
    try:
        secrets = secrets_of(module.params)
        target, outcome = attempt(module.params)
    except ProbeArgumentError as error:
        module.fail_json(msg=str(error))
    result = without(secrets, result_of(outcome))
    if outcome.status != -1 and target.secure and outcome.certificate is None:
        module.warn("The certificate was not verified, and its facts need the Python library cryptography.")
    problem = verdict(outcome, module.params["expected_status"])
    if problem is not None:
        module.fail_json(msg=without(secrets, f"{target.url}: {problem}"), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
