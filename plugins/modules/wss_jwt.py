#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_jwt
short_description: Sign a token (JWT) that opens the gate
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Signs a token with a private key, for locations with C(auth=jwt) of role
    R(wssgate.nginx.wss_proxy, ansible_collections.wssgate.nginx.wss_proxy_role). No gate has to be reached, because
    each has the public key.
  - It runs where the private key is, usually on the controller (C(delegate_to=localhost)). The key is read and never
    written.
  - What a gate would refuse is not signed, such as a weak key, a curve that nginx's module does not have, or a token
    that lives longer than O(max_token_lifetime).
  - Each call makes another token. On the host it changes nothing, so RV(ignore:changed) is always false.
requirements:
  - cryptography >= 3.3 where the module runs. ansible-core needs it, so the controller's own Python has it.
options:
  key_path:
    description:
      - File with the private key, in PEM. A symlink is not followed.
      - P-256, P-384, or RSA with 2048 to 8192 bits. C(openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)
        makes one.
    type: path
  key:
    description:
      - The private key itself, in PEM, for example out of a vault.
      - Ansible hands a module its arguments in a file of a temporary folder of that user's, which it then removes. With
        C(ansible_pipelining=true) among the task's C(vars) there is no such file.
    type: str
  key_passphrase:
    description: The passphrase of an encrypted private key.
    type: str
  algorithm:
    description:
      - What to sign with. It has to fit the key.
      - V(ES256) is for P-256, V(ES384) for P-384, V(RS256) and V(PS256) are for RSA.
      - The default is what the key is for, and V(RS256) with an RSA key.
    type: str
    choices: [ES256, ES384, RS256, PS256]
  kid:
    description:
      - The name of the key in the token's header. Where the gate has the public key in a JWKS, it has to be the name in
        there.
      - The default is the key's thumbprint (RFC 7638).
    type: str
  issuer:
    description: The claim C(iss), letter by letter as the gate's issuer has it.
    type: str
    required: true
  audience:
    description: The claim C(aud). One of them has to be among those of the gate's issuer.
    type: list
    elements: str
    required: true
  subject:
    description:
      - The claim C(sub), whom the token is for. By it all tokens of a client can be taken back at once.
      - Text without control characters. Up to 256 characters, where each byte of a character beyond ASCII counts as
        three.
    type: str
  ttl:
    description: Life of the token in seconds. The default is 900, unless O(expires_at) is there.
    type: int
  expires_at:
    description: End of the token in seconds since 1970 UTC, the claim C(exp).
    type: int
  not_before:
    description: Begin of the token in seconds since 1970 UTC, the claim C(nbf). Without it the token counts at once.
    type: int
  max_token_lifetime:
    description:
      - Seconds from now within which the token has to end. What C(max_token_lifetime) of the gate's issuer is, beyond
        which it refuses tokens.
    type: int
    default: 86400
  jti:
    description: The claim C(jti), the token's own name. The default is 128 random bits.
    type: str
  claims:
    description:
      - Further claims, for C(require) and C(headers) of the gate's issuer.
      - Those that have an option here are refused (C(iss), C(sub), C(aud), C(exp), C(nbf), C(jti)), and so is C(iat),
        which is the time of the signature.
    type: dict
    default: {}
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: Everything is checked and no token is signed.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token
notes:
  - RV(token) is a secret. Set C(no_log) on the task, or whoever reads the output can use it.
  - Browsers keep about 4 KB in a cookie. There is a warning when the token is nearly as long.
"""

EXAMPLES = r"""
- name: Sign a token for client 42
  wssgate.nginx.wss_jwt:
    key_path: /etc/wssgate/main.key
    issuer: https://id.example.com
    audience: [wss.example.com]
    subject: client-42
    ttl: 3600
  delegate_to: localhost
  register: signed
  no_log: true

- name: Sign one with a key out of a vault, for members of the support
  wssgate.nginx.wss_jwt:
    key: "{{ vault_gate_key }}"
    issuer: https://id.example.com
    audience: [wss.example.com]
    subject: client-42
    claims:
      groups: [support]
  delegate_to: localhost
  vars:
    ansible_pipelining: true
  register: signed
  no_log: true
"""

RETURN = r"""
token:
  description: The token. Whoever has it gets in.
  returned: success, and not in check mode
  type: str
jti:
  description: Its own name.
  returned: success, and in check mode where O(jti) is given
  type: str
  sample: 0d5f7c1a4e2b49f08a1be4bb0a6cb5b3
token_id:
  description: What the access log of a gate and its revocations have for it, made of issuer and RV(jti).
  returned: success, and in check mode where O(jti) is given
  type: str
  sample: 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4
subject:
  description: Whom it is for. None without O(subject).
  returned: success
  type: str
  sample: client-42
expires_at:
  description: Its end, in seconds since 1970 UTC.
  returned: success
  type: int
  sample: 1798761600
algorithm:
  description: What it is signed with.
  returned: success
  type: str
  sample: ES256
algorithms:
  description: All that the key is for.
  returned: success
  type: list
  elements: str
  sample: [ES256]
kid:
  description: The name of the key in its header.
  returned: success
  type: str
  sample: NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
public_key:
  description: The public key, in PEM, as C(keys) of the gate's issuer take it.
  returned: success
  type: str
"""

import os
import stat
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._host import files
from ..module_utils._host.error import HostError, reason
from ..module_utils._jwt import keys
from ..module_utils._jwt.token import COOKIE_LENGTH, TokenFaultError, Wanted, draft, sign

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
SECRET_OPTIONS = ("key", "key_passphrase")
DEFAULT_TTL = 900


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "key_path": {"type": "path"},
        "key": {"type": "str", "no_log": True},
        "key_passphrase": {"type": "str", "no_log": True},
        "algorithm": {"type": "str", "choices": list(keys.ALGORITHMS)},
        "kid": {"type": "str"},
        "issuer": {"type": "str", "required": True},
        "audience": {"type": "list", "elements": "str", "required": True},
        "subject": {"type": "str"},
        "ttl": {"type": "int"},
        "expires_at": {"type": "int"},
        "not_before": {"type": "int"},
        # A number of seconds
        "max_token_lifetime": {"type": "int", "default": 86400, "no_log": False},
        "jti": {"type": "str"},
        "claims": {"type": "dict", "default": {}},
    }


def wanted(params: t.Mapping[str, t.Any]) -> Wanted:
    given = {name: params[name] for name in Wanted._fields}
    if given["ttl"] is None and given["expires_at"] is None:
        given["ttl"] = DEFAULT_TTL
    return Wanted(**given)


def text_of(path: str) -> str:
    try:
        content = files.read(path)
    except OSError as error:
        raise TokenFaultError(f"key_path {path} cannot be read: {reason(error)}") from error
    if content is None:
        raise TokenFaultError(f"key_path {path} is not there")
    return content.decode("utf-8", "replace")


def signing_key(module: AnsibleModule) -> keys.SigningKey:
    """The key, with where it came from in what is wrong with it."""
    path, where = module.params["key_path"], "key"
    if path is not None:
        where = f"key_path {path}"
        if os.path.exists(path) and os.stat(path).st_mode & stat.S_IROTH:
            module.warn(f"{where} can be read by everybody on this machine, who could sign tokens; chmod 600 it")
    try:
        return keys.read(module.params["key"] if path is None else text_of(path), module.params["key_passphrase"])
    except keys.KeyFaultError as error:
        raise TokenFaultError(f"{where}: {error}") from error


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    key = signing_key(module)
    parts = draft(wanted(module.params), key, int(time.time()))
    result: t.Dict[str, t.Any] = {
        "changed": False,
        "subject": parts.payload.get("sub"),
        "expires_at": parts.payload["exp"],
        "algorithm": parts.header["alg"],
        "algorithms": list(key.algorithms),
        "kid": parts.header["kid"],
        "public_key": key.public_pem(),
    }
    # In check mode, too: a token can be too long.
    token = sign(parts, key)
    if len(token) > COOKIE_LENGTH:
        module.warn(
            f"The token is {len(token)} characters long, and a cookie holds about 4096: a browser may drop it. Leave "
            "claims out, or have clients send it in Authorization."
        )
    if not module.check_mode:
        result["token"] = token
    if not module.check_mode or module.params["jti"]:
        result.update(jti=parts.payload["jti"], token_id=parts.token_id)
    return result


class JwtModule(AnsibleModule):
    """Keeps its secrets out of results by not putting them there, instead of by looking for them.

    No result is made of the key's text or its passphrase. The search would cut a short passphrase out of the token.
    """

    def _log_invocation(self) -> None:
        # Called at the end of __init__. The log has no secret because of the arguments' own no_log.
        self.no_log_values: t.Set[str] = set()
        super()._log_invocation()

    def invocation(self) -> t.Dict[str, t.Any]:
        arguments = dict(self.params)
        arguments.update({option: HIDDEN for option in SECRET_OPTIONS if arguments[option] is not None})
        return {"module_args": arguments}


def main() -> None:
    module = JwtModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("key_path", "key"), ("ttl", "expires_at")],
        required_one_of=[("key_path", "key")],
        supports_check_mode=True,
    )
    module.no_log_values = set()  # also where a later Ansible calls _log_invocation no more
    invocation = module.invocation()
    if keys.CRYPTOGRAPHY_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("cryptography >= 3.3", reason="to sign tokens"),
            exception=keys.CRYPTOGRAPHY_ERROR,
            invocation=invocation,
        )
    try:
        result = run(module)
    except HostError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
