# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import stat
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import store
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.x509 import CertificateError
from ansible_collections.wssgate.nginx.tests.lib import pki
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

NOW = crypto.utc_now()
DAY = datetime.timedelta(days=1)


class Authority(t.NamedTuple):
    certificate: t.Any
    key: t.Any

    @property
    def pem(self) -> str:
        return crypto.certificate_pem(self.certificate).decode()

    def crl(self, end: int = 30, signer: t.Any = None, revoked: int = 1) -> str:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW - 40 * DAY)
            .next_update(NOW + end * DAY)
        )
        for number in range(revoked):
            entry = x509.RevokedCertificateBuilder().serial_number(number + 1).revocation_date(NOW - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(signer or self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def authority(name: str, end: int = 100, ca: bool = True) -> Authority:
    identity = pki.issue(name, ca=ca, begin=-20, end=end)
    return Authority(identity.certificate, identity.key)


CLIENTS, OTHERS = authority("clients"), authority("others")


def asked(folder: Path, certificate: str = CLIENTS.pem, crl: str | None = None) -> store.ClientAuthority:
    return store.ClientAuthority(
        "clients", str(folder / "clients/ca.pem"), str(folder / "clients/crl.pem"), certificate, crl
    )


def put(wanted: store.ClientAuthority) -> store.AuthorityPlan:
    planned = store.plan_client_authority(wanted, NOW)
    store.apply_client_authority(planned)
    return planned


def test_an_authority_and_its_list_are_put_in_place_for_everybody_to_read_and_left_alone_after(tmp_path: Path) -> None:
    wanted = asked(tmp_path, crl=CLIENTS.crl(end=29))
    planned = put(wanted)

    assert planned.changed
    assert (planned.facts["revoked"], planned.facts["crl_days_left"]) == (1, 29)
    assert Path(wanted.certificate_path).read_text() == CLIENTS.pem
    assert Path(wanted.crl_path).read_text() == wanted.crl_content
    assert stat.S_IMODE(Path(wanted.crl_path).stat().st_mode) == 0o644
    assert not put(wanted).changed


def test_a_list_that_is_not_wanted_any_more_goes(tmp_path: Path) -> None:
    put(asked(tmp_path, crl=CLIENTS.crl()))
    assert put(asked(tmp_path)).changed
    assert [path.name for path in (tmp_path / "clients").iterdir()] == ["ca.pem"]


def test_a_mode_that_lets_others_write_is_put_right(tmp_path: Path) -> None:
    wanted = asked(tmp_path)
    put(wanted)
    Path(wanted.certificate_path).chmod(0o666)

    assert put(wanted).wrong_attributes == (wanted.certificate_path,)
    assert stat.S_IMODE(Path(wanted.certificate_path).stat().st_mode) == 0o644


def test_an_authority_is_not_written_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "clients").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CertificateError, match="is a symlink"):
        put(asked(tmp_path))
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "certificate, crl, words",
    [
        (authority("clients", end=-1).pem, None, "the authority CN=clients expired on"),
        (authority("clients", ca=False).pem, None, "CN=clients is not the certificate of an authority"),
        (CLIENTS.pem, CLIENTS.crl(end=-10), "the revocation list of CN=clients was good until"),
        (CLIENTS.pem, OTHERS.crl(), "the revocation list of CN=others was not signed by any of the authorities"),
        (CLIENTS.pem, CLIENTS.crl(signer=OTHERS.key), "the revocation list of CN=clients was not signed by any"),
        (
            CLIENTS.pem + OTHERS.pem,
            CLIENTS.crl(),
            "there is no revocation list of CN=others, without which nginx refuses",
        ),
        (CLIENTS.pem, "nothing", "there is no PEM revocation list in it"),
        ("nothing", None, "there is no PEM certificate in it"),
        (CLIENTS.pem + crypto.key_pem(CLIENTS.key).decode(), None, "there is a private key beside the certificate"),
    ],
)
def test_what_would_have_nginx_refuse_clients_is_refused_and_changes_nothing(
    tmp_path: Path, certificate: str, crl: str | None, words: str
) -> None:
    with pytest.raises(CertificateError, match="client authority clients: ") as error:
        store.plan_all([], NOW, [asked(tmp_path, certificate, crl)])
    assert words in str(error.value)
    assert not (tmp_path / "clients").exists()


def test_several_authorities_each_bring_their_list(tmp_path: Path) -> None:
    assert (
        put(asked(tmp_path, CLIENTS.pem + OTHERS.pem, CLIENTS.crl(end=20) + OTHERS.crl(end=10, revoked=2))).facts[
            "revoked"
        ]
        == 3
    )


def test_an_authority_and_a_certificate_cannot_share_a_file(tmp_path: Path) -> None:
    wanted = asked(tmp_path)
    certificate = store.Spec(
        "wcs", "selfsigned", wanted.certificate_path, str(tmp_path / "wcs.key"), ("DNS:wcs.example.com",)
    )

    with pytest.raises(CertificateError, match="ca.pem is a file of certificate wcs too"):
        store.plan_all([certificate], NOW, [wanted])
