#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_key_set_info
short_description: Tell the public keys that a gate has of issuers whose keys are fetched
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - For each issuer of signed tokens with a C(jwks_url), tells the keys that the gate's agent has fetched. Where it has
    not fetched any yet, tells the keys that nginx has from this URL, or fetches the set as the agent does.
  - Changes nothing on the host. Role wss_proxy puts the keys into nginx's configuration.
  - A set that cannot be fetched, or that may not be taken, is an error where the issuer has no keys to start with.
options:
  key_sets:
    description: The sets, by the names of the issuers, as role wss_proxy has them in its rules for signed tokens.
    type: dict
    required: true
  rules:
    description: Absolute path of these rules on the host.
    type: path
    default: /etc/nginx/wssgate.d/jwt.json
  fetch:
    description: Whether to fetch a set of which no key is known.
    type: bool
    default: true
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: It changes nothing.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token_pruner
    description: Installs the agent.
"""

EXAMPLES = r"""
- name: Look at the keys of an identity provider
  wssgate.nginx.wss_key_set_info:
    key_sets:
      main:
        url: https://id.example.com/jwks.json
        ca_path: ''
        interval: 300
        grace: 0
        algorithms: []
        start: []
  register: key_sets
"""

RETURN = r"""
issuers:
  description: By the names of the issuers, a dictionary with C(keys), as nginx gets them.
  returned: success
  type: dict
  sample:
    main:
      keys: [{kid: '2026', algorithms: [ES256], spki: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE}]
origins:
  description:
    - By the names of the issuers, where their keys are from. V(agent) for what the agent has fetched, V(nginx) for what
      nginx has from this URL, V(fetched) for what was fetched now, V(start) for the keys to start with.
  returned: success
  type: dict
  sample:
    main: agent
"""

import contextlib
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.notify_settings import STATE
from ..module_utils._host import files
from ..module_utils._host.error import HostError
from ..module_utils._issuers import state
from ..module_utils._issuers.fetch import fetch
from ..module_utils._issuers.key_sets import (
    RULES_LIMIT,
    KeySetError,
    Known,
    Source,
    counting,
    read_rules,
    rendered,
    source_of,
    sources_of,
    surplus_of,
)

Entries = t.List[t.Dict[str, t.Any]]


def in_nginx(path: str) -> t.Dict[str, t.Tuple[str, Entries]]:
    """The URL and the fetched keys of each issuer in the rules on the host, as far as these can be read."""
    with contextlib.suppress(OSError, HostError):
        data = files.read(path, RULES_LIMIT)
        if data:
            document = read_rules(data.decode("utf-8", "replace"))
            keys = {name: list(document["issuers"][name]["keys"]) for name in document["issuers"]}
            return {
                name: (source.url, keys[name])
                for name, source in sources_of(document).items()
                if keys[name] != list(source.start)
            }
    return {}


def look(
    module: AnsibleModule, source: Source, known: t.Optional[Known], live: t.Tuple[str, Entries]
) -> t.Dict[str, t.Any]:
    """The keys of one issuer, and where they are from."""
    if known is not None and known.url == source.url and known.keys:
        now = time.time()
        surplus = surplus_of(source, known, now)
        if surplus:
            module.warn(surplus)
        try:
            return {"origin": "agent", "keys": rendered(source, counting(known, now))}
        except HostError as error:
            raise KeySetError(f"issuer {source.name!r}, jwks_url: the set that was fetched last: {error}") from None
    if live[0] == source.url and live[1]:
        chosen = [
            {**key, "algorithms": [one for one in key["algorithms"] if one in (source.algorithms or [one])]}
            for key in live[1]
        ]
        if any(key["algorithms"] for key in chosen):
            return {"origin": "nginx", "keys": [key for key in chosen if key["algorithms"]]}
    if not module.params["fetch"]:
        return {"origin": "start", "keys": list(source.start)}
    try:
        return {"origin": "fetched", "keys": rendered(source, fetch(source, None).keys)}
    except HostError as error:
        if not source.start:
            raise KeySetError(
                f"issuer {source.name!r}, jwks_url: {error}. Nothing was changed. Put that right, or give the issuer "
                "keys to start with"
            ) from None
        module.warn(f"issuer {source.name!r}, jwks_url: {error}. It starts with its keys")
        return {"origin": "start", "keys": list(source.start)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # They are public.
            "key_sets": {"type": "dict", "required": True, "no_log": False},
            "rules": {"type": "path", "default": "/etc/nginx/wssgate.d/jwt.json"},
            "fetch": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    try:
        known = state.load_known(STATE)
        live = in_nginx(module.params["rules"])
        for name, given in module.params["key_sets"].items():
            source = source_of(name, given)
            found[name] = look(module, source, known.get(name), live.get(name, ("", [])))
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        issuers={name: {"keys": one["keys"]} for name, one in found.items()},
        origins={name: one["origin"] for name, one in found.items()},
    )


if __name__ == "__main__":
    main()
