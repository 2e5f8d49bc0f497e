# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider of certificates is an entry in two registries and its two files, and there is one place for paths."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.lookup import certificate_problems, certificates
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import paths, store
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.providers import acme as on_host_acme
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.providers import provider as on_host_provider
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.providers import registry as on_host
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.making import self_signed
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.model import Pair, Spec
from ansible_collections.wssgate.nginx.plugins.modules import wss_certificate
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates import providers as on_controller
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.certificates import (
    MODULE_KEYS,
    CertificateList,
)
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.providers.provider import Certificate

ROOT = Path(__file__).resolve().parents[2]
NAMES = list(on_host.PROVIDERS)
ITEM = {"name": "wcs", "subject_alt_names": ["wcs.example.com"]}


def specs(role: str = "certificates") -> dict[str, t.Any]:
    with open(ROOT / f"roles/{role}/meta/argument_specs.yml", encoding="utf-8") as stream:
        return yaml.safe_load(stream)["argument_specs"]["main"]["options"]


def suboptions() -> dict[str, t.Any]:
    return yaml.safe_load(wss_certificate.DOCUMENTATION)["options"]["certificates"]["suboptions"]


# Providers


def test_the_host_the_controller_and_the_documentation_know_the_same_providers() -> None:
    assert list(on_controller.PROVIDERS) == NAMES
    assert specs()["certificates_list"]["options"]["provider"]["choices"] == NAMES
    assert suboptions()["provider"]["choices"] == NAMES


def test_what_providers_take_is_documented_and_handed_on() -> None:
    documented = suboptions()
    for name, given in wss_certificate.CERTIFICATE_OPTIONS.items():
        assert documented[name]["type"] == given["type"], name
        assert documented[name].get("default") == given.get("default"), name
    assert sorted(documented) == sorted(wss_certificate.CERTIFICATE_OPTIONS) == sorted(MODULE_KEYS)


def test_two_providers_take_an_argument_of_one_name_in_the_same_way() -> None:
    for one in on_host.PROVIDERS.values():
        for other in on_host.PROVIDERS.values():
            for name in set(one.arguments) & set(other.arguments):
                assert one.arguments[name] == other.arguments[name], (one.name, other.name, name)


@pytest.mark.parametrize(
    "name",
    sorted(str(path.relative_to(ROOT)) for path in (ROOT / "plugins").rglob("*.py") if path.parent.name != "providers"),
)
def test_nothing_but_a_provider_asks_which_one_it_is(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"""provider["'\]\w]*\)? *(?:==|!=|(?:not )?in) *[(\["']""", text)


class Vault(on_host_provider.Provider):
    """Makes what it is asked for, as a store of secrets would, and takes an argument of its own."""

    name = "vault"
    arguments: t.ClassVar[on_host_provider.Arguments] = {"secret": {"type": "str"}}

    def check(self, spec: Spec) -> None:
        if not spec.own["secret"]:
            raise crypto.CertificateError("secret is missing")

    def plan(self, spec: Spec, before: Pair, now: t.Any) -> t.Any:
        made = before if before.certificate else self_signed(spec, before, now)
        return on_host_provider.Wanted(made, [] if before.certificate else [f"{spec.own['secret']} is new"])


class VaultOptions(on_controller.Provider):
    name = "vault"
    own = ("secret",)

    def check(self, certificate: Certificate) -> None:
        if not certificate.item.get("secret"):
            certificate.note("provider vault needs secret")


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(on_host.PROVIDERS, "vault", Vault())
    monkeypatch.setitem(on_controller.PROVIDERS, "vault", VaultOptions())


def params(tmp_path: Path, **options: t.Any) -> dict[str, t.Any]:
    item = {name: given.get("default") for name, given in wss_certificate.CERTIFICATE_OPTIONS.items()}
    return {"directory": str(tmp_path), "issuers": {}, "issued": {}, "certificates": [{**item, **ITEM, **options}]}


@pytest.mark.usefixtures("vault")
def test_a_new_provider_needs_no_more_than_its_entries_on_the_host(tmp_path: Path) -> None:
    wanted = wss_certificate.read_specs(params(tmp_path, provider="vault", secret="kv/gate"))
    plans, _authorities = store.plan_all(wanted, crypto.utc_now())
    assert plans[0].reasons == ("kv/gate is new",)
    store.apply(plans[0])
    assert (tmp_path / "wcs" / "fullchain.pem").exists()
    assert not store.plan_all(wanted, crypto.utc_now())[0][0].changed
    with pytest.raises(crypto.CertificateError, match="certificate wcs: secret is missing"):
        wss_certificate.read_specs(params(tmp_path, provider="vault", secret=None))
    with pytest.raises(crypto.CertificateError, match="certificate wcs: authority does not go with provider vault"):
        wss_certificate.read_specs(params(tmp_path, provider="vault", secret="kv/gate", authority="gates"))


@pytest.mark.usefixtures("vault")
def test_a_new_provider_needs_no_more_than_its_entries_on_the_controller() -> None:
    def problems(**options: t.Any) -> list[str]:
        return CertificateList([{**ITEM, **options}], paths.DIRECTORY, lambda _source: "").problems

    assert problems(provider="vault", secret="kv/gate") == []
    assert problems(provider="vault") == ["certificate wcs: provider vault needs secret"]
    assert problems(provider="vault", secret="kv/gate", remote=True) == [
        "certificate wcs: remote does not go with provider vault"
    ]
    assert problems(provider="selfsigned", secret="kv/gate") == [
        "certificate wcs: secret does not go with provider selfsigned"
    ]
    assert problems(provider="valt") == [
        f"certificate wcs: provider is 'valt', and there are {', '.join([*NAMES, 'vault'])}"
    ]


# Paths


def defaults_of_the_folder() -> dict[str, str]:
    with open(ROOT / "roles/wss_proxy/meta/computed_defaults.yml", encoding="utf-8") as stream:
        computed = yaml.safe_load(stream)["wss_proxy_certificates_directory"]
    # Role certificates' own, wherever the play does not set it.
    found = re.fullmatch(r"\{\{ lookup\('wssgate.nginx.role_variable', '(\w+)'\) \}\}", computed)
    with open(ROOT / "playbooks/quickstart.yml", encoding="utf-8") as stream:
        quickstart = yaml.safe_load(stream)[0]["vars"]["__quickstart_ca_path"]
    return {
        "role certificates": specs()["certificates_directory"]["default"],
        "role wss_proxy": specs()[found[1]]["default"] if found else computed,
        "playbook quickstart": str(Path(quickstart).parents[1]),
        "wss_certificate": yaml.safe_load(wss_certificate.DOCUMENTATION)["options"]["directory"]["default"],
        **{
            plugin.__name__: yaml.safe_load(plugin.DOCUMENTATION)["options"]["directory"]["default"]
            for plugin in (certificates, certificate_problems)
        },
    }


@pytest.mark.parametrize("where", sorted(defaults_of_the_folder()))
def test_the_folder_of_certificates_has_one_default(where: str) -> None:
    assert defaults_of_the_folder()[where] == paths.DIRECTORY


def test_no_other_file_of_the_code_spells_these_paths() -> None:
    spelled = re.compile(r"""[/"'](?:fullchain|privkey|ca|crl)\.pem["']|["']/etc/nginx/certificates""")
    documentation = re.compile(r'^(?:DOCUMENTATION|EXAMPLES|RETURN) = r""".*?^"""', re.MULTILINE | re.DOTALL)
    found = {
        str(path.relative_to(ROOT)): sorted(set(spelled.findall(documentation.sub("", path.read_text("utf-8")))))
        for path in (ROOT / "plugins").rglob("*.py")
    }
    assert {name: names for name, names in found.items() if names} == {
        "plugins/module_utils/_certificates/paths.py": [
            '"/etc/nginx/certificates',
            '"ca.pem"',
            '"crl.pem"',
            '"fullchain.pem"',
            '"privkey.pem"',
        ],
        # An authority of one's own is in a folder of its own, which no gate reads
        "plugins/module_utils/_certificates/authority.py": ['"ca.pem"'],
        # The hub's, which each gate has a copy of
        "plugins/plugin_utils/_hub/hosts.py": ['/ca.pem"'],
    }


def test_a_path_of_its_own_wins() -> None:
    assert paths.pair_paths("/srv/certs", "wcs") == ("/srv/certs/wcs/fullchain.pem", "/srv/certs/wcs/privkey.pem")
    assert paths.pair_paths("/srv/certs", "wcs", None, "/keys/wcs.key") == (
        "/srv/certs/wcs/fullchain.pem",
        "/keys/wcs.key",
    )
    assert paths.authority_paths("/srv/certs", "clients") == ("/srv/certs/clients/ca.pem", "/srv/certs/clients/crl.pem")


# ACME


@pytest.mark.parametrize(
    "asked, is_from_another",
    [("https://ca.example/dir", False), ("https://staging.example/dir", True), (None, False), ("", False)],
)
def test_a_certificate_that_certbot_has_from_another_authority_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, is_from_another: bool
) -> None:
    acme = on_host.PROVIDERS["acme"]
    monkeypatch.setattr(on_host_acme, "CERTBOT_RENEWAL", str(tmp_path))
    wanted = Spec("wcs", "acme", "/c.pem", "/k.pem")
    assert not acme.is_from_another(wanted, asked), "certbot has none yet"
    (tmp_path / "wcs.conf").write_text("version = 2\n[renewalparams]\nserver = https://ca.example/dir\n")
    assert acme.is_from_another(wanted, asked) == is_from_another
