#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_certificate
short_description: Install, make and renew the certificates of a gate
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - One call looks after all certificates of a host. Everything is read and checked first. With one problem anywhere
    nothing is changed, and the error names every problem.
  - A certificate and its key are replaced together, in one step where both are in a folder of their own, as they are by
    default. The folder has the certificate's name, or nothing else is in it. Where they are elsewhere, or the file
    system cannot exchange two folders, the key goes first and the certificate follows. If the host is killed between
    the two, nginx does not start until the next call completes the pair.
  - Keys are written as V(0600), certificates as V(0644), both owned by the user that runs the module, usually root.
  - A key is shown in no output, diff, error or log.
  - Does not reload nginx. M(wssgate.nginx.nginx_config) notices by itself that a certificate is newer than the workers.
requirements:
  - python3-cryptography 3.3 or newer on the host
options:
  certificates:
    description: The certificates.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the certificate, for its folder and for messages.
        type: str
        required: true
      provider:
        description:
          - V(selfsigned) makes a certificate that signs itself, and makes it anew before it ends.
          - V(files) checks and installs a certificate that comes with the call or is on the host already.
          - V(acme) keeps what an authority has issued, and makes a self-signed placeholder where there is nothing, so
            that nginx can start. RV(certificates[].due) says why a certificate has to be asked for. This module does
            not ask for it.
        type: str
        choices: [selfsigned, files, acme]
        required: true
      subject_alt_names:
        description:
          - Names the certificate is for, as V(DNS:name), V(IP:address), or just the name or the address.
          - With O(certificates[].provider=files) the certificate is refused when it is not for all of them.
        type: list
        elements: str
        default: []
      common_name:
        description:
          - Common name of the subject. By default the first of O(certificates[].subject_alt_names). Clients look at the
            names alone.
        type: str
      key_type:
        description: Kind of the key to make. An RSA signature costs the gate several times the processor time of P-256.
        type: str
        choices: [P-256, P-384, RSA-2048, RSA-3072, RSA-4096]
        default: P-256
      days:
        description: Lifetime of a self-signed certificate in days. Another value makes a new one.
        type: int
        default: 397
      renew_before_days:
        description: Days before its end from which on a certificate counts as due.
        type: int
        default: 30
      reuse_key:
        description: Keep the key when a self-signed certificate is made anew.
        type: bool
        default: false
      authority:
        description:
          - With O(certificates[].provider=selfsigned), name of an authority in O(issuers) that signs the certificate
            instead of its own key.
          - Where a certificate is needed, RV(certificates[].request) has to be signed, with
            M(wssgate.nginx.wss_authority), and a second call brings the result in O(issued). The old certificate stays
            until then.
        type: str
      certificate_path:
        description:
          - Path of the certificate with its chain. By default C(fullchain.pem) in a folder named after the certificate
            in O(directory).
        type: path
      key_path:
        description: Path of the private key. By default C(privkey.pem) in that folder.
        type: path
      certificate_content:
        description:
          - With O(certificates[].provider=files), the certificate as PEM, followed by its issuers up to but without the
            root.
        type: str
      key_content:
        description: With O(certificates[].provider=files), the private key as PEM, without passphrase.
        type: str
      remote:
        description:
          - With O(certificates[].provider=files), certificate and key are on the host already and are only checked,
            never touched.
        type: bool
        default: false
      symlinks_allowed:
        description: Follow symlinks at the paths and write where they point to. Without it symlinks are refused.
        type: bool
        default: false
  issuers:
    description: Certificates, as PEM, of the authorities that O(certificates[].authority) names.
    type: dict
    default: {}
  issued:
    description: Certificates, as PEM, that the authorities have just signed, by the name of the certificate.
    type: dict
    default: {}
  client_authorities:
    description:
      - Authorities whose clients a server lets in. The certificate becomes C(ca.pem) in a folder named after the
        authority in O(directory), the revocation lists C(crl.pem) beside it.
      - Refused is what would have nginx refuse every client, such as a revocation list that is out of date.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the authority, for its folder and for messages.
        type: str
        required: true
      certificate_content:
        description:
          - Certificate of the authority as PEM. Several are possible, such as an intermediate one and its root.
        type: str
        required: true
      crl_content:
        description:
          - Revocation lists as PEM, one of each authority in O(client_authorities[].certificate_content). Without any
            the file goes.
        type: str
  directory:
    description: Folder of the certificates and authorities that have no path of their own.
    type: path
    default: /etc/nginx/certificates
  acme_directory:
    description:
      - With V(acme), URL of the authority's directory. A certificate that certbot has from another one counts as due.
    type: str
  backup:
    description: Keep a copy of a certificate and its key, readable by root alone, before they are replaced.
    type: bool
    default: false
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: Where python3-cryptography is not installed yet, everything counts as to be created.
  diff_mode:
    support: full
    details: Returns what is public about a certificate, never a key.
seealso:
  - module: wssgate.nginx.nginx_config
  - module: community.crypto.x509_certificate
"""

EXAMPLES = r"""
- name: Look after the certificates
  wssgate.nginx.wss_certificate:
    certificates:
      - name: wcs
        provider: selfsigned
        subject_alt_names: [DNS:wcs.example.com, IP:192.0.2.10]
      - name: shop
        provider: files
        subject_alt_names: [shop.example.com]
        certificate_content: "{{ lookup('ansible.builtin.file', 'shop.pem') }}"
        key_content: "{{ vault_shop_key }}"

- name: Check a certificate that something else looks after
  wssgate.nginx.wss_certificate:
    certificates:
      - name: other
        provider: files
        remote: true
        certificate_path: /etc/ssl/certs/other.pem
        key_path: /etc/ssl/private/other.key
"""

RETURN = r"""
certificates:
  description: The certificates as they are now, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the certificate.
      type: str
    changed:
      description: Whether anything about it changed.
      type: bool
    reasons:
      description: Why a new certificate was made or installed.
      type: list
      elements: str
    due:
      description:
        - With O(certificates[].provider=acme), why a certificate has to be asked for. Empty when it need not be.
      type: list
      elements: str
    request:
      description:
        - What O(certificates[].authority) has to sign, as PEM. None when there is nothing to sign, and in check mode.
      type: str
    other_authority:
      description:
        - With O(certificates[].provider=acme), whether certbot has it from another authority than O(acme_directory).
      type: bool
    certificate_path:
      description: Path of the certificate.
      type: str
    key_path:
      description: Path of the key.
      type: str
    subject:
      description: Subject.
      type: str
    issuer:
      description: Issuer.
      type: str
    serial:
      description: Serial number, hexadecimal.
      type: str
    fingerprint:
      description: SHA-256 of the certificate, hexadecimal.
      type: str
    subject_alt_names:
      description: Names it is for.
      type: list
      elements: str
    key_type:
      description: Kind of its key.
      type: str
    not_before:
      description: When it begins, UTC.
      type: str
    not_after:
      description: When it ends, UTC.
      type: str
    days_left:
      description: Whole days until it ends.
      type: int
    self_signed:
      description: Whether it vouches for itself.
      type: bool
client_authorities:
  description: The authorities of clients as they are now, or would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the authority.
      type: str
    changed:
      description: Whether anything about it changed.
      type: bool
    certificate_path:
      description: Path of its certificate.
      type: str
    crl_path:
      description: Path of its revocation lists, which exists where there are any.
      type: str
    subject:
      description: Subject.
      type: str
    fingerprint:
      description: SHA-256 of the certificate, hexadecimal.
      type: str
    not_after:
      description: When the certificate ends, UTC.
      type: str
    days_left:
      description: Whole days until it ends.
      type: int
    revoked:
      description: Number of revoked certificates.
      type: int
    crl_next_update:
      description: When the first revocation list is out of date, UTC. None without any.
      type: str
    crl_days_left:
      description: Whole days until then.
      type: int
backup_files:
  description: Copies that were kept.
  returned: when O(backup=true)
  type: list
  elements: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._certificates import store
from ..module_utils._certificates import x509 as crypto
from ..module_utils._certificates.clients import AuthorityPlan, ClientAuthority, apply_client_authority
from ..module_utils._certificates.model import Plan, Spec
from ..module_utils._certificates.paths import DIRECTORY, authority_paths, pair_paths
from ..module_utils._certificates.providers.registry import PROVIDERS, arguments, refused
from ..module_utils._host.error import HostError

CERTIFICATE_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "provider": {"type": "str", "required": True, "choices": list(PROVIDERS)},
    "subject_alt_names": {"type": "list", "elements": "str", "default": []},
    "certificate_path": {"type": "path"},
    "key_path": {"type": "path", "no_log": False},
    "symlinks_allowed": {"type": "bool", "default": False},
    **arguments(),
}

AUTHORITY_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "certificate_content": {"type": "str", "required": True},
    "crl_content": {"type": "str"},
}


def read_authority(options: t.Dict[str, t.Any], directory: str) -> ClientAuthority:
    """Turn one item of the argument into what was asked for."""
    paths = authority_paths(directory, options["name"])
    return ClientAuthority(
        name=options["name"],
        certificate_path=paths.certificate,
        crl_path=paths.crl,
        certificate_content=options["certificate_content"],
        crl_content=options["crl_content"],
    )


def read_spec(options: t.Dict[str, t.Any], params: t.Dict[str, t.Any]) -> Spec:
    """Turn one item of the argument into what was asked for."""
    provider = PROVIDERS[options["provider"]]
    paths = pair_paths(params["directory"], options["name"], options["certificate_path"], options["key_path"])
    read: t.Dict[str, t.Any] = {
        **{key: value for key, value in options.items() if key in Spec._fields},
        "names": tuple(dict.fromkeys(crypto.parse_name(name) for name in options["subject_alt_names"])),
        "certificate_path": os.path.normpath(paths.certificate),
        "key_path": os.path.normpath(paths.key),
        "issuer": params["issuers"].get(options["authority"]) if options["authority"] else None,
        "issued": params["issued"].get(options["name"]) if options["authority"] else None,
        "own": {key: options[key] for key in provider.arguments if key not in Spec._fields},
    }
    for key in refused(provider, options):
        raise crypto.CertificateError(f"{key} does not go with provider {provider.name}")
    spec = Spec(**read)
    provider.check(spec)
    return spec


def read_specs(params: t.Dict[str, t.Any]) -> t.List[Spec]:
    """Turn the argument into what was asked for, or raise with everything that is wrong with it."""
    specs, problems = [], []
    for options in params["certificates"]:
        try:
            specs.append(read_spec(options, params))
        except crypto.CertificateError as error:
            problems.append(f"certificate {options['name']}: {error}")
    if problems:
        raise crypto.CertificateError("\n".join(problems))
    return specs


def as_text(facts: t.Dict[str, t.Any]) -> str:
    """Return the public facts of a certificate for a diff."""
    shown = {key: value for key, value in facts.items() if key not in ("days_left", "crl_days_left")}
    return "".join(f"{key}: {', '.join(value) if isinstance(value, list) else value}\n" for key, value in shown.items())


def diff_of(plan: Plan) -> t.Dict[str, str]:
    """Return the diff of one certificate."""
    before, after = as_text(plan.facts_before), as_text(plan.facts)
    if plan.before.key != plan.after.key:
        before += "key: the old one\n" if plan.before.key is not None else ""
        after += "key: a new one\n"
    for path in plan.wrong_attributes:
        before += f"owner or mode of {path}: wrong\n"
        after += f"owner or mode of {path}: right\n"
    for path in plan.interrupted:
        before += f"left by a killed run: {path}\n"
    return {
        "before_header": plan.spec.certificate_path,
        "after_header": plan.spec.certificate_path,
        "before": before,
        "after": after,
    }


def authority_diff(plan: AuthorityPlan) -> t.Dict[str, str]:
    """Return the diff of one authority of clients."""
    path = plan.authority.certificate_path
    before, after = as_text(plan.facts_before), as_text(plan.facts)
    for wrong in plan.wrong_attributes:
        before += f"owner or mode of {wrong}: wrong\n"
        after += f"owner or mode of {wrong}: right\n"
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE_OPTIONS},
            "issuers": {"type": "dict", "default": {}},
            "issued": {"type": "dict", "default": {}},
            "client_authorities": {"type": "list", "elements": "dict", "default": [], "options": AUTHORITY_OPTIONS},
            "directory": {"type": "path", "default": DIRECTORY},
            "acme_directory": {"type": "str"},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if crypto.CRYPTOGRAPHY_ERROR is not None:
        if not module.check_mode:
            module.fail_json(msg=missing_required_lib("cryptography"), exception=crypto.CRYPTOGRAPHY_ERROR)
        # Nothing can be looked at yet; whatever is wanted has still to be made
        names = [options["name"] for options in module.params["certificates"] + module.params["client_authorities"]]
        module.exit_json(
            changed=bool(names),
            msg=f"would look after {', '.join(names) or 'no certificate'} once python3-cryptography is installed",
            certificates=[
                {"name": options["name"], "changed": True, "reasons": [], "due": []}
                for options in module.params["certificates"]
            ],
        )

    copies: t.List[str] = []
    requests: t.Dict[str, str] = {}
    try:
        directory = module.params["directory"]
        plans, authority_plans = store.plan_all(
            read_specs(module.params),
            crypto.utc_now(),
            [read_authority(options, directory) for options in module.params["client_authorities"]],
        )
        for plan in plans:
            if plan.changed and not module.check_mode:
                copies += store.apply(plan, module.params["backup"])
                if plan.needs_request:
                    requests[plan.spec.name] = store.request(plan).decode("ascii")
                    continue
                for path in (plan.spec.certificate_path, plan.spec.key_path):
                    module.set_default_selinux_context(path, False)
        for authority_plan in authority_plans:
            if authority_plan.changed and not module.check_mode:
                apply_client_authority(authority_plan)
                for path, content in authority_plan.after.items():
                    if content is not None:
                        module.set_default_selinux_context(path, False)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a file'} could not be written: {error.strerror}")

    def other_authority(spec: Spec) -> bool:
        return PROVIDERS[spec.provider].is_from_another(spec, module.params["acme_directory"])

    result: t.Dict[str, t.Any] = {
        "changed": any(plan.changed for plan in plans) or any(plan.changed for plan in authority_plans),
        "certificates": [
            {
                "name": plan.spec.name,
                "changed": plan.changed,
                "reasons": list(plan.reasons),
                "due": list(plan.due) + (["another authority issued it"] if other_authority(plan.spec) else []),
                "request": requests.get(plan.spec.name),
                "other_authority": other_authority(plan.spec),
                "certificate_path": plan.spec.certificate_path,
                "key_path": plan.spec.key_path,
                **plan.facts,
            }
            for plan in plans
        ],
        "client_authorities": [
            {
                "name": plan.authority.name,
                "changed": plan.changed,
                "certificate_path": plan.authority.certificate_path,
                "crl_path": plan.authority.crl_path,
                **plan.facts,
            }
            for plan in authority_plans
        ],
        "diff": [diff_of(plan) for plan in plans if plan.changed]
        + [authority_diff(plan) for plan in authority_plans if plan.changed],
    }
    if module.params["backup"]:
        result["backup_files"] = copies
    module.exit_json(**result)


if __name__ == "__main__":
    main()
