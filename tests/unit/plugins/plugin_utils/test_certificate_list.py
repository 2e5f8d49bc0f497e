# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.authorities import (
    ClientAuthorityList,
    authority_problems,
)
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.certificates import CertificateList
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.reading import UnreadableError

KEY = crypto.new_key("P-256")
KEY_PEM = crypto.key_pem(KEY).decode()
PEM = crypto.certificate_pem(
    crypto.new_certificate(KEY.public_key(), ["DNS:wcs.example.com"], "wcs", 90, crypto.utc_now(), KEY)
).decode()

SELF_SIGNED = {"name": "wcs", "provider": "selfsigned", "subject_alt_names": ["wcs.example.com"]}
FILES = {"name": "wcs", "provider": "files", "subject_alt_names": ["wcs.example.com"]}
SOURCES = {**FILES, "certificate_source": "wcs.pem", "key_source": "wcs.key"}
ACME = {**SELF_SIGNED, "provider": "acme"}


def read(source: str) -> str:
    try:
        return {"wcs.pem": PEM, "wcs.key": KEY_PEM}[source]
    except KeyError:
        raise UnreadableError(f"{source} is not on the controller") from None


def problems(*certificates: t.Any) -> list[str]:
    return CertificateList(list(certificates), "/etc/nginx/certificates", read).problems


@pytest.mark.parametrize(
    "certificate",
    [
        SELF_SIGNED,
        ACME,
        SOURCES,
        {**FILES, "certificate_content": PEM, "key_content": KEY_PEM},
        {**FILES, "certificate_source": "wcs.pem", "key_content": KEY_PEM},
        {**FILES, "remote": True, "certificate_path": "/a.pem", "key_path": "/a.key"},
    ],
)
def test_a_good_certificate_has_no_problem(certificate: dict[str, t.Any]) -> None:
    assert problems(certificate) == []


@pytest.mark.parametrize(
    "certificate, words",
    [
        ("wcs", "is not a dictionary"),
        ({**SELF_SIGNED, "name": "../wcs"}, "name ('../wcs') has to be"),
        ({**SELF_SIGNED, "name": ".."}, "name ('..') has to be"),
        ({"provider": "selfsigned"}, "name ('') has to be"),
        (
            {**SELF_SIGNED, "provider": "letsencrypt"},
            "provider is 'letsencrypt', and there are selfsigned, files, acme",
        ),
        ({**SELF_SIGNED, "subject_alt_names": []}, "subject_alt_names is empty"),
        ({**SELF_SIGNED, "subject_alt_names": "wcs.example.com"}, "subject_alt_names is not a list"),
        ({**SELF_SIGNED, "subject_alt_names": ["a b"]}, "'a b' is neither a host name"),
        ({**SELF_SIGNED, "certificate_path": "relative"}, "certificate_path is not the absolute path"),
        ({**SELF_SIGNED, "days": 30}, "renew_before_days (30) has to be less than days (30)"),
        ({**SELF_SIGNED, "days": "many"}, "days is not a whole number"),
        ({**SELF_SIGNED, "key_type": "DSA"}, "key_type is 'DSA'"),
        ({**SELF_SIGNED, "key_source": "wcs.key"}, "key_source does not go with provider selfsigned"),
        ({**ACME, "subject_alt_names": ["*.example.com"]}, "cannot be proven over http"),
        ({**ACME, "subject_alt_names": ["192.0.2.1"]}, "cannot be proven over http"),
        ({**FILES, "key_source": "wcs.key"}, "give certificate_source"),
        ({**SOURCES, "key_content": KEY_PEM}, "give key_source (a file of the controller) or key_content, not both"),
        ({**SOURCES, "key_source": "none.key"}, "key_source: none.key is not on the controller"),
        ({**SOURCES, "key_source": "wcs.pem"}, "there is no PEM private key in it"),
        ({**SOURCES, "subject_alt_names": ["other.example.com"]}, "the certificate is not for DNS:other.example.com"),
        ({**FILES, "remote": True}, "remote: true needs certificate_path and key_path"),
        (
            {**SOURCES, "remote": True, "certificate_path": "/a.pem", "key_path": "/a.key"},
            "certificate_source does not go with provider files and remote: true",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_that_shows_no_key(certificate: t.Any, words: str) -> None:
    found = problems(certificate)

    assert words in found[0]
    assert KEY_PEM.splitlines()[1] not in " ".join(found)


def test_a_list_that_is_none_is_named() -> None:
    assert CertificateList("wcs", "/etc", read).problems == ["certificates_list is not a list"]


def test_a_name_twice_is_refused() -> None:
    assert "certificate wcs: the name is there twice" in problems(SELF_SIGNED, SELF_SIGNED)


def test_two_certificates_cannot_share_a_file() -> None:
    paths = {"certificate_path": "/etc/nginx/certificates/wcs/fullchain.pem", "key_path": "/other.key"}

    assert problems(SELF_SIGNED, {**SELF_SIGNED, "name": "b", **paths}) == [
        "certificate b: /etc/nginx/certificates/wcs/fullchain.pem is a file of certificate wcs too"
    ]


def test_the_module_gets_the_content_of_files_and_nothing_that_is_for_the_role() -> None:
    found = CertificateList([{**SOURCES, "unknown": 1}], "/etc", read).certificates

    assert found == [{**FILES, "certificate_content": PEM, "key_content": KEY_PEM}]


@pytest.mark.parametrize(
    "authority, words",
    [
        ("clients", "certificates_client_authorities[0]: name ('') has to be"),
        ({"name": "../clients", "certificate_source": "wcs.pem"}, "name ('../clients') has to be"),
        ({"name": "clients"}, "give certificate_source (a file of the controller) or certificate_content"),
        ({"name": "clients", "certificate_source": "wcs.pem", "certificate_content": PEM}, "not both"),
        (
            {"name": "clients", "certificate_source": "none.pem"},
            "certificate_source: none.pem is not on the controller",
        ),
        ({"name": "clients", "certificate_source": "wcs.pem"}, "is not the certificate of an authority"),
        ({"name": "clients", "certificate_content": PEM + KEY_PEM}, "there is a private key beside the certificate"),
        (
            {"name": "clients", "certificate_content": PEM, "crl_source": "none.crl"},
            "crl_source: none.crl is not on the controller",
        ),
        ({"name": "clients", "certificate_content": PEM, "crl_content": PEM}, "there is no PEM revocation list in it"),
    ],
)
def test_what_is_wrong_with_an_authority_of_clients_is_said_in_one_sentence(authority: t.Any, words: str) -> None:
    found = ClientAuthorityList([authority], read).problems

    assert words in found[0]
    assert KEY_PEM.splitlines()[1] not in " ".join(found)


def test_an_authority_of_clients_twice_is_refused() -> None:
    item = {"name": "clients", "certificate_source": "wcs.pem"}

    assert "client authority clients: the name is there twice" in ClientAuthorityList([item, item], read).problems
    assert ClientAuthorityList("clients", read).problems == ["certificates_client_authorities is not a list"]


@pytest.mark.parametrize(
    "authorities, words",
    [
        ("gates", "certificates_authorities is not a list"),
        (["gates"], "certificates_authorities[0]: name ('') and host are needed"),
        ([{"name": "gates"}], "certificates_authorities[0]: name ('gates') and host are needed"),
        ([{"name": "../gates", "host": "a"}], "name ('../gates') and host are needed"),
        ([{"name": "gates", "host": "a"}, {"name": "gates", "host": "b"}], "authority gates: the name is there twice"),
        ([{"name": "gates", "host": "a", "key_type": "DSA"}], "authority gates: key_type is 'DSA'"),
    ],
)
def test_what_is_wrong_with_an_authority_of_one_s_own_is_said(authorities: t.Any, words: str) -> None:
    assert words in authority_problems(authorities)[0]


def test_a_certificate_is_signed_by_an_authority_that_there_is() -> None:
    item = {**SELF_SIGNED, "authority": "gates"}

    assert CertificateList([item], "/etc", read, ["gates"]).problems == []
    assert CertificateList([item], "/etc", read, ["others"]).problems == [
        "certificate wcs: authority 'gates' is not in certificates_authorities (there: others)"
    ]
    assert problems({**ACME, "authority": "gates"}) == ["certificate wcs: authority does not go with provider acme"]
