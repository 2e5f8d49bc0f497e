# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.filter import acme

ITEM: dict[str, t.Any] = {
    "name": "wcs",
    "provider": "acme",
    "subject_alt_names": ["DNS:WCS.example.com", "www.example.com", "wcs.example.com."],
}


def command(account_file: str = "", email: str = "", force: bool = False, **options: t.Any) -> list[str]:
    return acme.certbot_command(
        {**ITEM, **options},
        "https://ca.example/dir",
        "/var/lib/acme",
        email,
        account_file,
        "/usr/local/sbin/deploy",
        force,
    )


def value_of(given: list[str], option: str) -> str:
    return given[given.index(option) + 1]


def test_certbot_is_asked_once_for_each_name_over_http_and_never_for_a_person() -> None:
    given = command()
    assert given[:3] == ["certbot", "certonly", "--non-interactive"]
    assert [given[index + 1] for index, word in enumerate(given) if word == "--domain"] == [
        "wcs.example.com",
        "www.example.com",
    ]
    assert value_of(given, "--server") == "https://ca.example/dir"
    assert value_of(given, "--webroot-path") == "/var/lib/acme"
    assert value_of(given, "--cert-name") == "wcs"
    assert value_of(given, "--post-hook") == "/usr/local/sbin/deploy"


@pytest.mark.parametrize(
    ("key_type", "expected"),
    [
        (None, ["--key-type", "ecdsa", "--elliptic-curve", "secp256r1"]),
        ("P-384", ["--key-type", "ecdsa", "--elliptic-curve", "secp384r1"]),
        ("RSA-3072", ["--key-type", "rsa", "--rsa-key-size", "3072"]),
    ],
)
def test_the_key_has_the_kind_that_was_asked_for(key_type: str | None, expected: list[str]) -> None:
    given = command(key_type=key_type)
    start = given.index("--key-type")
    assert given[start : start + 4] == expected


@pytest.mark.parametrize(
    ("reuse_key", "expected"), [(True, "--reuse-key"), (False, "--no-reuse-key"), (None, "--no-reuse-key")]
)
def test_the_key_is_new_at_each_renewal_unless_asked_otherwise(reuse_key: bool | None, expected: str) -> None:
    given = command(reuse_key=reuse_key)
    assert expected in given
    assert len({"--reuse-key", "--no-reuse-key"} & set(given)) == 1


def test_no_address_is_given_where_there_is_none() -> None:
    assert "--register-unsafely-without-email" in command()
    given = command(email="ops@example.com")
    assert value_of(given, "--email") == "ops@example.com"
    assert "--register-unsafely-without-email" not in given


def test_the_key_of_an_external_account_is_in_a_file_and_not_in_the_arguments() -> None:
    assert "--config" not in command()
    given = command(account_file="/etc/letsencrypt/account.ini")
    assert value_of(given, "--config") == "/etc/letsencrypt/account.ini"
    assert not [word for word in given if word.startswith("--eab")]


def test_a_certificate_that_is_not_due_is_kept_unless_another_authority_issued_it() -> None:
    assert {"--keep-until-expiring", "--force-renewal"} & set(command()) == {"--keep-until-expiring"}
    assert {"--keep-until-expiring", "--force-renewal"} & set(command(force=True)) == {"--force-renewal"}


def test_a_renewed_certificate_goes_to_where_the_server_has_it() -> None:
    assert acme.acme_deployment(ITEM, "/etc/nginx/certificates") == {
        "name": "wcs",
        "lineage": "wcs",
        "certificate_path": "/etc/nginx/certificates/wcs/fullchain.pem",
        "key_path": "/etc/nginx/certificates/wcs/privkey.pem",
        "server_name": "wcs.example.com",
        "served_at": ["127.0.0.1:443"],
    }
    own = {"certificate_path": "/srv/a.pem", "key_path": "/srv/a.key", "served_at": ["192.0.2.1:8443"]}
    assert {key: value for key, value in acme.acme_deployment({**ITEM, **own}, "/x").items() if key in own} == own
