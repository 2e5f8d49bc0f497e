# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as Ansible's templates see them."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.filter import gate
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.options import CONTEXT_DEFAULTS

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


SERVERS = [
    {
        "name": "wcs",
        "server_names": ["wcs.example.com"],
        "certificate": "wcs",
        "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
    }
]
CONTEXT = {"certificates": [{"name": "wcs"}], "token_store_path": "/var/lib/nginx/tokens"}


def rendered(expression: str, **variables: t.Any) -> t.Any:
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(f"{{{{ {expression} }}}}"))


def test_a_sound_gate_has_no_errors() -> None:
    assert gate.gate_errors(SERVERS, CONTEXT) == []
    assert gate.gate_model(SERVERS, CONTEXT)["servers"][0]["name"] == "wcs"


def test_the_context_may_be_left_out() -> None:
    assert gate.gate_errors([]) == []
    assert gate.gate_model([])["servers"] == []


def test_a_model_of_what_is_wrong_is_an_ansible_error_that_names_all_of_it() -> None:
    wrong = [{**SERVERS[0], "certificate": "nope", "locations": [{"path": "wss", "upstream": "x"}]}]
    found = gate.gate_errors(wrong, CONTEXT)
    assert len(found) == 3
    with pytest.raises(AnsibleFilterError) as error:
        gate.gate_model(wrong, CONTEXT)
    for line in found:
        assert line in str(error.value)


def test_both_filters_work_in_a_template() -> None:
    assert rendered("servers | wssgate.nginx.gate_errors(context)", servers=SERVERS, context=CONTEXT) == []
    model = rendered("servers | wssgate.nginx.gate_model(context)", servers=SERVERS, context=CONTEXT)
    assert model["servers"][0]["locations"][0]["origins"]["allowed"] == ["https://wcs.example.com"]


def test_templates_inside_of_the_servers_are_resolved() -> None:
    servers = [
        {
            "name": "wcs",
            "server_names": [trust_as_template("{{ domain }}")],
            "listen": [{"port": trust_as_template("{{ port }}")}],
            "certificate": "wcs",
            "locations": trust_as_template("{{ locations }}"),
        }
    ]
    locations = [{"path": "/wss", "upstream": trust_as_template("http://127.0.0.1:{{ port + 1 }}")}]
    model = rendered(
        "servers | wssgate.nginx.gate_model(context)",
        servers=servers,
        context=CONTEXT,
        domain="gate.example",
        port=8443,
        locations=locations,
    )
    assert model["servers"][0]["locations"][0]["origins"]["allowed"] == ["https://gate.example:8443"]
    assert model["servers"][0]["locations"][0]["upstream"]["url"] == "http://127.0.0.1:8444/wss"


def test_a_template_that_fails_says_why() -> None:
    with pytest.raises(AnsibleError, match="certificate 'wcs' is not in certificates_list"):
        rendered("servers | wssgate.nginx.gate_model({})", servers=SERVERS)


def test_each_filter_is_documented() -> None:
    folder = Path(gate.__file__).parent
    for name in gate.FilterModule().filters():
        documented = yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8"))
        assert documented["DOCUMENTATION"]["name"] == name


def test_the_documentation_names_every_key_of_the_context() -> None:
    text = (Path(gate.__file__).parent / "gate_errors.yml").read_text(encoding="utf-8")
    assert [key for key in CONTEXT_DEFAULTS if f"V({key})" not in text] == []
