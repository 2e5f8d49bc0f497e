# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ssl
import stat
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.filter.certificates import signing_requests
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import authority as _authority
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import store
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.model import Plan, Spec
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.x509 import CertificateError

NOW = crypto.utc_now()
DAY = datetime.timedelta(days=1)
NAMES = ("DNS:wcs.example.com",)


def made(folder: Path, days: int = 3650) -> _authority.Authority:
    authority = _authority.Authority(str(folder / "authorities" / "gates"))
    authority.make("gates", "P-256", days, NOW)
    return authority


def asked(folder: Path, authority: _authority.Authority | None, **changes: t.Any) -> Spec:
    own = folder / "wcs"
    issuer = authority.pem.decode() if authority and authority.pem else None
    spec = Spec(
        "wcs",
        "selfsigned",
        str(own / "fullchain.pem"),
        str(own / "privkey.pem"),
        NAMES,
        authority="gates",
        issuer=issuer,
    )
    return spec._replace(**changes)


def signed(spec: Spec, authority: _authority.Authority, now: datetime.datetime = NOW) -> Plan:
    """Both calls, and what the authority does in between."""
    planned = store.plan(spec, now)
    assert planned.needs_request
    request = _authority.Request(spec.name, store.request(planned).decode(), spec.names, None, spec.days)
    planned = store.plan(spec._replace(issued=authority.sign(request, now).decode()), now)
    store.apply(planned)
    return planned


def test_an_authority_keeps_its_key_for_root_alone_and_stays(tmp_path: Path) -> None:
    authority = made(tmp_path)
    assert stat.S_IMODE(Path(authority.key_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(authority.key_path).parent.stat().st_mode) == 0o700
    assert _authority.Authority(str(tmp_path / "authorities" / "gates")).pem == authority.pem


def test_what_it_signs_is_for_a_server_and_good_for_clients_that_trust_it(tmp_path: Path) -> None:
    authority = made(tmp_path)
    planned = signed(asked(tmp_path, authority), authority)
    certificate = crypto.load_certificates(planned.after.certificate or b"")[0]
    assert crypto.is_signed_by(certificate, authority.certificate)
    assert crypto.names_of(certificate) == list(NAMES)
    assert not crypto.may_sign(certificate)
    assert crypto.may_sign(authority.certificate)
    # And no authority below it
    assert authority.certificate.extensions.get_extension_for_class(crypto.x509.BasicConstraints).value.path_length == 0


def test_a_second_run_asks_for_nothing_and_no_key_is_left_waiting(tmp_path: Path) -> None:
    authority = made(tmp_path)
    signed(asked(tmp_path, authority), authority)
    assert not store.plan(asked(tmp_path, authority), NOW).changed
    assert sorted(path.name for path in (tmp_path / "wcs").iterdir()) == ["fullchain.pem", "privkey.pem"]


@pytest.mark.parametrize("reuse_key", [False, True])
def test_it_is_made_anew_before_it_ends_with_the_key_that_was_asked_for(tmp_path: Path, reuse_key: bool) -> None:
    authority = made(tmp_path)
    spec = asked(tmp_path, authority, reuse_key=reuse_key)
    first = signed(spec, authority)
    assert not store.plan(spec, NOW + 360 * DAY).changed
    second = signed(spec, authority, NOW + 370 * DAY)
    assert (first.after.key == second.after.key) is reuse_key


def test_another_authority_has_it_made_anew(tmp_path: Path) -> None:
    authority = made(tmp_path)
    signed(asked(tmp_path, authority), authority)
    other = made(tmp_path / "other")
    assert store.plan(asked(tmp_path, other), NOW).reasons == ("the authority gates did not sign it",)
    assert store.plan(asked(tmp_path, None), NOW).reasons == ("there is no authority gates yet",)


def test_until_it_is_signed_what_was_there_stays(tmp_path: Path) -> None:
    authority = made(tmp_path)
    before = signed(asked(tmp_path, authority), authority).after
    planned = store.plan(asked(tmp_path, authority, days=100), NOW)
    store.apply(planned)
    store.request(planned)
    assert (tmp_path / "wcs" / "privkey.pem").read_bytes() == before.key
    assert stat.S_IMODE((tmp_path / "wcs" / "privkey.pem.next").stat().st_mode) == 0o600


def test_a_certificate_of_another_request_is_refused(tmp_path: Path) -> None:
    authority = made(tmp_path)
    spec = asked(tmp_path, authority)
    planned = store.plan(spec, NOW)
    first = store.request(planned).decode()
    store.request(planned)
    issued = authority.sign(_authority.Request("wcs", first, NAMES), NOW).decode()
    with pytest.raises(CertificateError, match="is not the key of the certificate"):
        store.plan(spec._replace(issued=issued), NOW)


def test_no_certificate_outlives_the_authority_and_is_not_made_anew_for_that(tmp_path: Path) -> None:
    authority = made(tmp_path, days=200)
    planned = signed(asked(tmp_path, authority), authority)
    assert planned.facts["not_after"] == crypto.describe(authority.certificate, NOW)["not_after"]
    assert not store.plan(asked(tmp_path, authority), NOW).changed


def test_an_authority_that_has_ended_signs_nothing(tmp_path: Path) -> None:
    authority = made(tmp_path, days=10)
    request = _authority.Request("wcs", crypto.new_request(crypto.new_key("P-256")).decode(), NAMES)
    with pytest.raises(CertificateError, match="the authority expired on"):
        authority.sign(request, NOW + 11 * DAY)


@pytest.mark.parametrize("which", ["ca.pem", "ca.key"])
def test_half_an_authority_is_an_error_and_not_a_new_one(tmp_path: Path, which: str) -> None:
    made(tmp_path)
    folder = tmp_path / "authorities" / "gates"
    (folder / which).unlink()
    with pytest.raises(CertificateError, match=f"{which} is gone: bring it back from a backup"):
        _authority.Authority(str(folder))


def test_a_key_that_others_can_read_and_one_of_another_authority_are_errors(tmp_path: Path) -> None:
    key = Path(made(tmp_path).key_path)
    key.chmod(0o640)
    with pytest.raises(CertificateError, match="others than root have access"):
        _authority.Authority(str(key.parent))
    key.write_bytes(crypto.key_pem(crypto.new_key("P-256")))
    key.chmod(0o600)
    with pytest.raises(CertificateError, match="is not the key of"):
        _authority.Authority(str(key.parent))


def test_a_request_that_was_tampered_with_is_refused() -> None:
    der = crypto.x509.load_pem_x509_csr(crypto.new_request(crypto.new_key("P-256"))).public_bytes(
        crypto.serialization.Encoding.DER
    )
    # The signature is at the end
    other = crypto.x509.load_pem_x509_csr(crypto.new_request(crypto.new_key("P-256"))).public_key()
    key = crypto.public_bytes(crypto.x509.load_der_x509_csr(der).public_key())
    assert key in der
    forged = ssl.DER_cert_to_PEM_cert(der.replace(key, crypto.public_bytes(other))).replace(
        "CERTIFICATE", "CERTIFICATE REQUEST"
    )
    with pytest.raises(CertificateError, match="not made with its own key"):
        crypto.load_request(forged.encode())
    with pytest.raises(CertificateError, match="damaged"):
        crypto.load_request(b"nothing")


def test_each_authority_gets_the_requests_that_are_for_it() -> None:
    looked_at = [{"name": "a", "request": "A"}, {"name": "b", "request": None}, {"name": "c", "request": "C"}]
    certificates = [
        {
            "name": "a",
            "authority": "gates",
            "subject_alt_names": ["a.example.com"],
            "days": 30,
            "provider": "selfsigned",
        },
        {"name": "b", "authority": "gates", "subject_alt_names": ["b.example.com"]},
        {"name": "c", "authority": "other", "subject_alt_names": ["c.example.com"]},
    ]
    assert signing_requests(looked_at, certificates, "gates") == [
        {"name": "a", "subject_alt_names": ["a.example.com"], "days": 30, "request": "A"}
    ]
