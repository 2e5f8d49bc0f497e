# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import os
import stat
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import files, store
from ansible_collections.wssgate.nginx.plugins.module_utils._host.files import READ_LIMIT
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.model import Pair, Plan, Spec
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.x509 import CertificateError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

NOW = crypto.utc_now()
DAY = datetime.timedelta(days=1)
NAMES = ("DNS:wcs.example.com",)


class Issued(t.NamedTuple):
    certificate: t.Any
    key: t.Any

    @property
    def pem(self) -> str:
        return crypto.certificate_pem(self.certificate).decode()

    @property
    def key_pem(self) -> str:
        return crypto.key_pem(self.key).decode()


def authority(common_name: str, issuer: Issued | None = None, key_type: str = "P-256") -> Issued:
    key = crypto.new_key(key_type)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 1000 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def server(
    issuer: Issued,
    names: t.Sequence[str] = NAMES,
    days: int = 90,
    begin: datetime.datetime = NOW,
    key_type: str = "P-256",
) -> Issued:
    key = crypto.new_key(key_type)
    return Issued(
        crypto.new_certificate(key.public_key(), names, "wcs", days, begin, issuer.key, issuer.certificate), key
    )


ROOT = authority("root")
INTERMEDIATE = authority("intermediate", ROOT)
SERVER = server(INTERMEDIATE)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    folder = tmp_path / "wcs"
    return Spec("wcs", "selfsigned", str(folder / "fullchain.pem"), str(folder / "privkey.pem"), NAMES)


def from_files(spec: Spec, certificate: str, key: str) -> Spec:
    return spec._replace(provider="files", certificate_content=certificate, key_content=key)


def put(spec: Spec, now: datetime.datetime = NOW) -> Plan:
    planned = store.plan(spec, now)
    store.apply(planned)
    return planned


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def problem(spec: Spec) -> str:
    with pytest.raises(CertificateError) as caught:
        store.plan(spec, NOW)
    assert not os.path.exists(spec.key_path)
    return str(caught.value)


# Self-signed


def test_a_self_signed_certificate_is_made_with_its_names_and_a_private_key_that_nobody_else_reads(
    spec: Spec,
) -> None:
    put(spec._replace(names=("DNS:wcs.example.com", "IP:192.0.2.10", "IP:2001:db8::1")))

    certificate = crypto.load_certificates(Path(spec.certificate_path).read_bytes())[0]
    assert crypto.names_of(certificate) == ["DNS:wcs.example.com", "IP:192.0.2.10", "IP:2001:db8::1"]
    assert crypto.key_type_of(certificate.public_key()) == "P-256"
    assert crypto.lifetime_days(certificate) == 397
    assert crypto.is_self_signed(certificate)
    assert (mode(spec.certificate_path), mode(spec.key_path)) == (0o644, 0o600)


def test_a_second_run_changes_nothing(spec: Spec) -> None:
    put(spec)

    assert not store.plan(spec, NOW + 300 * DAY).changed


@pytest.mark.parametrize("key_type", ["P-384", "RSA-2048"])
def test_the_key_has_the_kind_that_was_asked_for(spec: Spec, key_type: str) -> None:
    put(spec._replace(key_type=key_type))

    assert not store.plan(spec._replace(key_type=key_type), NOW).changed
    assert store.plan(spec, NOW).reasons == ("its key type differs",)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"names": ("DNS:other.example.com",), "common_name": "wcs.example.com"}, "its names differ"),
        ({"common_name": "other"}, "its common name differs"),
        ({"days": 90}, "its lifetime differs"),
        ({"renew_before_days": 397}, "it has 396 days left"),
    ],
)
def test_a_self_signed_certificate_is_made_anew_when_it_is_not_what_was_asked_for(
    spec: Spec, change: dict[str, t.Any], reason: str
) -> None:
    put(spec)

    assert store.plan(spec._replace(**change), NOW).reasons == (reason,)


def test_a_self_signed_certificate_is_made_anew_before_it_ends_with_a_new_key(spec: Spec) -> None:
    first = put(spec)
    later = NOW + 370 * DAY

    assert not store.plan(spec, NOW + 366 * DAY).changed
    second = put(spec, later)
    assert second.facts["serial"] != first.facts["serial"]
    assert second.after.key != first.after.key


def test_the_key_stays_when_that_was_asked_for(spec: Spec) -> None:
    first = put(spec)
    second = put(spec._replace(reuse_key=True), NOW + 380 * DAY)

    assert second.facts["serial"] != first.facts["serial"]
    assert second.after.key == first.after.key


def test_a_key_of_another_kind_is_not_kept(spec: Spec) -> None:
    first = put(spec)
    second = put(spec._replace(reuse_key=True, key_type="P-384"))

    assert second.after.key != first.after.key


@pytest.mark.parametrize("damage", ["missing key", "other key", "damaged certificate"])
def test_a_damaged_pair_is_made_anew(spec: Spec, damage: str) -> None:
    put(spec)
    if damage == "missing key":
        os.unlink(spec.key_path)
    elif damage == "other key":
        Path(spec.key_path).write_text(SERVER.key_pem)
    else:
        Path(spec.certificate_path).write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

    assert put(spec).changed
    assert not store.plan(spec, NOW).changed


def test_wrong_modes_are_put_right_without_a_new_certificate(spec: Spec) -> None:
    first = put(spec)
    os.chmod(spec.key_path, 0o644)
    os.chmod(spec.certificate_path, 0o600)

    second = put(spec)
    assert second.changed and second.after == first.after
    assert (mode(spec.certificate_path), mode(spec.key_path)) == (0o644, 0o600)


# Files


def test_a_chain_and_its_key_are_installed_as_they_come_and_left_alone_after(spec: Spec) -> None:
    wanted = from_files(spec, SERVER.pem + INTERMEDIATE.pem, SERVER.key_pem)

    assert put(wanted).changed
    assert Path(spec.certificate_path).read_text() == SERVER.pem + INTERMEDIATE.pem
    assert mode(spec.key_path) == 0o600
    assert not store.plan(wanted, NOW).changed


def test_a_key_that_is_another_certificates_is_refused(spec: Spec) -> None:
    assert "not the key of the certificate CN=wcs" in problem(from_files(spec, SERVER.pem, INTERMEDIATE.key_pem))


def test_a_chain_with_the_servers_certificate_last_is_refused(spec: Spec) -> None:
    assert "the certificate of the key is number 2; put it first" in problem(
        from_files(spec, INTERMEDIATE.pem + SERVER.pem, SERVER.key_pem)
    )


@pytest.mark.parametrize("issuers", [ROOT.pem + INTERMEDIATE.pem, authority("intermediate", ROOT).pem])
def test_a_chain_whose_links_do_not_follow_each_other_is_refused(spec: Spec, issuers: str) -> None:
    assert "certificate number 1 (CN=wcs) was not signed by number 2" in problem(
        from_files(spec, SERVER.pem + issuers, SERVER.key_pem)
    )


def test_an_rsa_authority_is_understood(spec: Spec) -> None:
    rsa_authority = authority("rsa", key_type="RSA-2048")
    issued = server(rsa_authority, key_type="RSA-2048")

    assert put(from_files(spec, issued.pem + rsa_authority.pem, issued.key_pem)).changed


def test_an_expired_certificate_is_refused(spec: Spec) -> None:
    old = server(INTERMEDIATE, days=10, begin=NOW - 20 * DAY)

    assert "the certificate expired on" in problem(from_files(spec, old.pem, old.key_pem))


def test_a_certificate_of_the_future_is_refused(spec: Spec) -> None:
    early = server(INTERMEDIATE, begin=NOW + 2 * DAY)

    assert "is valid only from" in problem(from_files(spec, early.pem, early.key_pem))


def test_a_certificate_for_other_names_is_refused(spec: Spec) -> None:
    wanted = from_files(spec, SERVER.pem, SERVER.key_pem)._replace(names=("DNS:wcs.example.com", "DNS:b.example.com"))

    assert problem(wanted) == "the certificate is not for DNS:b.example.com; it is for DNS:wcs.example.com"


def test_a_wildcard_is_good_for_one_label_and_no_more(spec: Spec) -> None:
    wildcard = server(INTERMEDIATE, names=["DNS:*.example.com"])
    wanted = from_files(spec, wildcard.pem, wildcard.key_pem)

    for name in ("DNS:example.com", "DNS:a.b.example.com"):
        assert name in problem(wanted._replace(names=(name,)))
    assert put(wanted).changed


def test_a_weak_key_is_refused() -> None:
    key = crypto.rsa.generate_private_key(public_exponent=65537, key_size=1024)
    certificate = crypto.new_certificate(
        key.public_key(), NAMES, "weak", 90, NOW, INTERMEDIATE.key, INTERMEDIATE.certificate
    )

    assert "RSA-1024 key is too weak" in "".join(crypto.pair_problems([certificate], key, NAMES, NOW))


def test_a_key_with_a_passphrase_is_refused_and_not_shown(spec: Spec) -> None:
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    locked = SERVER.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()
    message = problem(from_files(spec, SERVER.pem, locked))

    assert "passphrase" in message
    assert locked.splitlines()[1] not in message


@pytest.mark.parametrize(
    "certificate, key, words",
    [
        ("", SERVER.key_pem, "no PEM certificate"),
        (SERVER.key_pem, SERVER.key_pem, "no PEM certificate"),
        (SERVER.pem, SERVER.pem, "no PEM private key"),
        (SERVER.pem.replace("MII", "MIX"), SERVER.key_pem, "number 1 in it is damaged"),
        (SERVER.pem, SERVER.key_pem.replace("MIG", "MIX"), "the private key is damaged"),
    ],
)
def test_what_is_not_a_certificate_or_a_key_is_refused_without_showing_it(
    spec: Spec, certificate: str, key: str, words: str
) -> None:
    message = problem(from_files(spec, certificate, key))

    assert words in message
    assert SERVER.key_pem.splitlines()[1] not in message


def test_one_bad_certificate_keeps_all_from_being_changed(spec: Spec) -> None:
    bad = from_files(
        spec._replace(name="bad", certificate_path="/nowhere/a", key_path="/nowhere/b"), SERVER.pem, ROOT.key_pem
    )
    worse = bad._replace(name="worse", certificate_path="/nowhere/c", key_path="/nowhere/d", key_content="x")

    with pytest.raises(CertificateError) as caught:
        store.plan_all([spec, bad, worse], NOW)
    assert len(str(caught.value).splitlines()) == 2


def test_two_certificates_cannot_share_a_file(spec: Spec) -> None:
    with pytest.raises(CertificateError, match="is a file of certificate wcs too"):
        store.plan_all([spec, spec._replace(name="other")], NOW)


# On the host already


@pytest.fixture
def remote(spec: Spec) -> Spec:
    os.makedirs(os.path.dirname(spec.certificate_path))
    Path(spec.certificate_path).write_text(SERVER.pem)
    Path(spec.key_path).write_text(SERVER.key_pem)
    os.chmod(spec.key_path, 0o640)
    return spec._replace(provider="files", remote=True)


def test_files_on_the_host_are_checked_and_not_touched(remote: Spec) -> None:
    assert not store.plan(remote, NOW).changed
    assert mode(remote.key_path) == 0o640


def test_a_key_on_the_host_that_everybody_can_read_is_refused(remote: Spec) -> None:
    os.chmod(remote.key_path, 0o644)

    with pytest.raises(CertificateError, match="everybody on the host has access"):
        store.plan(remote, NOW)


def test_a_file_that_is_not_on_the_host_is_named(remote: Spec) -> None:
    os.unlink(remote.key_path)

    with pytest.raises(CertificateError, match=r"privkey\.pem is not there"):
        store.plan(remote, NOW)


# ACME


def test_there_is_a_placeholder_until_an_authority_has_issued(spec: Spec) -> None:
    acme = spec._replace(provider="acme")

    assert put(acme).due == ("there is only a placeholder",)
    again = store.plan(acme, NOW)
    assert not again.changed and again.due == ("there is only a placeholder",)


@pytest.mark.parametrize(
    "issued, due",
    [
        (SERVER, ()),
        (server(INTERMEDIATE, days=20), ("it has 19 days left",)),
        (server(INTERMEDIATE, days=10, begin=NOW - 20 * DAY), ("it has expired",)),
        (server(INTERMEDIATE, names=["DNS:old.example.com"]), ("its names differ",)),
    ],
)
def test_what_an_authority_issued_is_kept_however_old_or_wrong(
    spec: Spec, issued: Issued, due: tuple[str, ...]
) -> None:
    os.makedirs(os.path.dirname(spec.certificate_path))
    store.write_pair(spec.certificate_path, spec.key_path, Pair(issued.pem.encode(), issued.key_pem.encode()))

    planned = store.plan(spec._replace(provider="acme"), NOW)
    assert not planned.changed
    assert planned.due == due


# The disk


@pytest.mark.parametrize("which", ["certificate_path", "key_path", "folder"])
def test_a_symlink_is_not_followed_unless_allowed(spec: Spec, tmp_path: Path, which: str) -> None:
    put(spec)
    target = tmp_path / "elsewhere"
    path = os.path.dirname(spec.key_path) if which == "folder" else getattr(spec, which)
    os.rename(path, target)
    os.symlink(target, path)

    with pytest.raises(CertificateError, match="is a symlink"):
        store.plan(spec, NOW)
    allowed = spec._replace(symlinks_allowed=True, days=90)
    assert put(allowed).changed
    assert os.path.islink(path)
    assert not store.plan(allowed, NOW).changed


def test_a_directory_in_place_of_a_key_is_named(spec: Spec) -> None:
    os.makedirs(spec.key_path)

    with pytest.raises(CertificateError, match=r"privkey\.pem is not a regular file"):
        store.plan(spec, NOW)


def test_a_file_that_no_certificate_is_as_large_as_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fullchain.pem"
    path.write_bytes(b"\n" * READ_LIMIT)
    assert files.read_regular(str(path), follow=False) == b"\n" * READ_LIMIT
    path.write_bytes(b"\n" * (READ_LIMIT + 1))
    with pytest.raises(CertificateError, match="fullchain.pem is too large for a certificate or a key"):
        files.read_regular(str(path), follow=False)


def test_a_signed_certificate_whose_key_is_gone_is_refused(spec: Spec) -> None:
    signed = spec._replace(authority="members", issuer=ROOT.pem, issued=server(ROOT).pem)
    with pytest.raises(CertificateError, match="the key of the request, is gone"):
        store.plan(signed, NOW)


def test_what_a_killed_run_left_is_completed_and_not_made_anew(spec: Spec, tmp_path: Path) -> None:
    apart = spec._replace(key_path=str(tmp_path / "keys" / "wcs.key"))
    put(apart)
    issued = server(INTERMEDIATE)
    Path(apart.key_path).write_text(issued.key_pem)
    Path(apart.certificate_path + ".wssgate-new").write_text(issued.pem)

    planned = put(apart._replace(provider="acme"))
    assert planned.changed and planned.due == ()
    assert Path(apart.certificate_path).read_text() == issued.pem
    assert not store.plan(apart._replace(provider="acme"), NOW).changed


def test_a_folder_that_a_killed_run_left_is_removed_though_nothing_else_changes(spec: Spec, tmp_path: Path) -> None:
    put(spec)
    left = tmp_path / ".wssgate-pair-wcs-abcd_123"
    left.mkdir()
    (left / "privkey.pem").write_text("old")

    assert store.plan(spec, NOW).interrupted == (str(left),)
    assert put(spec).changed
    assert os.listdir(tmp_path) == ["wcs"]
    assert not store.plan(spec, NOW).changed


def test_copies_are_kept_only_when_asked_for_and_for_root_alone(spec: Spec) -> None:
    put(spec)
    assert store.apply(store.plan(spec._replace(days=90), NOW)) == []

    copies = store.apply(store.plan(spec, NOW), backup=True)
    assert len(copies) == 2
    assert {mode(path) for path in copies} == {0o600}


# Names


@pytest.mark.parametrize(
    "text, expected",
    [
        ("wcs.example.com", "DNS:wcs.example.com"),
        ("DNS:WCS.Example.com.", "DNS:wcs.example.com"),
        ("*.example.com", "DNS:*.example.com"),
        ("192.0.2.1", "IP:192.0.2.1"),
        ("IP:2001:DB8:0::1", "IP:2001:db8::1"),
        ("2001:db8::1", "IP:2001:db8::1"),
        ("localhost", "DNS:localhost"),
    ],
)
def test_names_come_in_one_form(text: str, expected: str) -> None:
    assert crypto.parse_name(text) == expected


@pytest.mark.parametrize(
    "text", ["", "DNS:", "IP:wcs", "a b", "münchen.example", "*", "*.com", "a.*.com", "a..b", "x" * 64, "https://wcs"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(CertificateError):
        crypto.parse_name(text)


def test_an_immutable_key_is_refused_before_copies_are_made(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply(store.plan(spec, NOW))
    before = sorted(os.listdir(os.path.dirname(spec.key_path)))
    monkeypatch.setattr(store.pair_files, "_attributes", lambda path: "i" if path == spec.key_path else "")
    with pytest.raises(CertificateError, match=f"{spec.key_path} is immutable .*chattr -i .*nothing was changed"):
        store.apply(store.plan(spec._replace(names=("DNS:other.example.com",)), NOW), backup=True)
    assert sorted(os.listdir(os.path.dirname(spec.key_path))) == before
