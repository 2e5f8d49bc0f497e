# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role certificates wants to know of ACME before it changes anything."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


ROLE = Path(__file__).resolve().parents[2] / "roles" / "certificates"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
ACME = {
    "certificates_list": [{"name": "wcs", "provider": "acme", "subject_alt_names": ["wcs.example.com"]}],
    "certificates_acme_terms_agreed": True,
}


def loaded(name: str) -> t.Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) else value


class Role:
    """The role with some variables."""

    def __init__(self, **given: t.Any) -> None:
        variables = trusted({**loaded("defaults/main.yml"), **loaded("vars/main.yml")})
        facts = {"os_family": "Debian", "distribution": "Debian"}
        self.templar = Templar(loader=DataLoader(), variables={"ansible_facts": facts, **variables, **ACME, **given})

    def value(self, expression: str) -> t.Any:
        return self.templar.template(trust_as_template(f"{{{{ {expression} }}}}"))

    def passes(self) -> bool:
        return self.value("__certificates_acme_problems | length == 0")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"certificates_acme_directory": "https://acme.example.com/dir"},
        {"certificates_acme_staging_enabled": True},
        # As a command line has it
        {"certificates_acme_staging_enabled": "true", "certificates_acme_terms_agreed": "true"},
        {"certificates_acme_staging_enabled": "false", "certificates_acme_directory": "https://acme.example.com/dir"},
        {"certificates_acme_staging_enabled": True, "certificates_acme_directory": STAGING},
        {"certificates_acme_eab_kid": "kid", "certificates_acme_eab_hmac_key": "key"},
        # Nothing of it counts without a certificate of an authority
        {
            "certificates_list": [],
            "certificates_acme_terms_agreed": False,
            "certificates_acme_directory": "http://acme.example.com",
        },
    ],
)
def test_what_acme_needs_is_there(given: dict[str, t.Any]) -> None:
    assert Role(**given).passes()


@pytest.mark.parametrize(
    "given",
    [
        {"certificates_acme_terms_agreed": False},
        {"certificates_acme_terms_agreed": "false"},
        {"certificates_acme_directory": "http://acme.example.com/dir"},
        {"certificates_acme_webroot": "acme"},
        {"certificates_acme_eab_kid": "kid"},
        {"certificates_acme_eab_hmac_key": "key"},
        {"certificates_acme_staging_enabled": True, "certificates_acme_directory": "https://acme.example.com/dir"},
        {"certificates_acme_staging_enabled": "true", "certificates_acme_directory": "https://acme.example.com/dir"},
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused(given: dict[str, t.Any]) -> None:
    assert not Role(**given).passes()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "https://acme-v02.api.letsencrypt.org/directory"),
        ({"certificates_acme_staging_enabled": "true"}, STAGING),
        ({"certificates_acme_staging_enabled": "false"}, "https://acme-v02.api.letsencrypt.org/directory"),
        ({"certificates_acme_directory": "https://acme.example.com/dir"}, "https://acme.example.com/dir"),
    ],
)
def test_the_authority_is_the_one_that_was_named(given: dict[str, t.Any], expected: str) -> None:
    assert Role(**given).value("__certificates_acme_directory") == expected
