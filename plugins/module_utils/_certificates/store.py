# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pairs of certificate and key on the disk of a host: what is there, what has to change, and changing it.

Planning reads and checks everything and raises all problems at once; only then does anything get written. How a pair
is replaced is in pair.py.
"""

from __future__ import annotations

import datetime
import errno
import os
import stat
import tempfile
import time
import typing as t

from . import x509 as crypto
from . import pair as pair_files
from .x509 import CertificateError
from .pair import CERTIFICATE_MODE, DIRECTORY_MODE, KEY_MODE

CERTBOT_RENEWAL = "/etc/letsencrypt/renewal"
_SIZE_LIMIT = 1024 * 1024


class Spec(t.NamedTuple):
    """One certificate as it was asked for."""

    name: str
    provider: str
    certificate_path: str
    key_path: str
    names: t.Tuple[str, ...] = ()
    common_name: t.Optional[str] = None
    key_type: str = "P-256"
    days: int = 397
    renew_before_days: int = 30
    reuse_key: bool = False
    certificate_content: t.Optional[str] = None
    key_content: t.Optional[str] = None
    remote: bool = False
    symlinks_allowed: bool = False
    # With an authority of one's own: its name and certificate, and what it has just signed
    authority: t.Optional[str] = None
    issuer: t.Optional[str] = None
    issued: t.Optional[str] = None

    @property
    def next_key_path(self) -> str:
        """Where a new key waits for its certificate."""
        return self.key_path + ".next"


class Pair(t.NamedTuple):
    """A certificate file and its key file, as bytes; None is a file that is not there."""

    certificate: t.Optional[bytes] = None
    key: t.Optional[bytes] = None


class ClientAuthority(t.NamedTuple):
    """Who signs the certificates of clients, as it was asked for."""

    name: str
    certificate_path: str
    crl_path: str
    certificate_content: str
    crl_content: t.Optional[str] = None


class AuthorityPlan(t.NamedTuple):
    """What is to be done about the authority of clients: content by path, None for a file that is to go."""

    authority: ClientAuthority
    before: t.Dict[str, t.Optional[bytes]]
    after: t.Dict[str, t.Optional[bytes]]
    facts_before: t.Dict[str, t.Any]
    facts: t.Dict[str, t.Any]
    wrong_attributes: t.Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything on the disk is to change."""
        return self.before != self.after or bool(self.wrong_attributes)


class Plan(t.NamedTuple):
    """What is to be done about one certificate."""

    spec: Spec
    before: Pair
    after: Pair
    facts_before: t.Dict[str, t.Any]
    facts: t.Dict[str, t.Any]
    reasons: t.Tuple[str, ...] = ()
    wrong_attributes: t.Tuple[str, ...] = ()
    due: t.Tuple[str, ...] = ()
    needs_request: bool = False
    # What a killed run has left
    interrupted: t.Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything on the disk is to change."""
        return self.before != self.after or bool(self.wrong_attributes) or self.needs_request or bool(self.interrupted)


def read_regular(path: str, follow: bool) -> t.Optional[bytes]:
    """Return the content of a regular file, or None when it is not there."""
    if not follow and os.path.islink(os.path.dirname(path)):
        raise CertificateError(
            f"{os.path.dirname(path)} is a symlink: name the folder it points to, or set symlinks_allowed: true"
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        if error.errno == errno.ELOOP:
            raise CertificateError(
                f"{path} is a symlink: remove it, name the file it points to, or set symlinks_allowed: true"
            ) from error
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CertificateError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(_SIZE_LIMIT + 1)
    if len(content) > _SIZE_LIMIT:
        raise CertificateError(f"{path} is too large for a certificate or a key")
    return content


def _wrong_attributes(modes: t.Mapping[str, int]) -> t.Iterator[str]:
    """Name the files whose owner or mode is not the wanted one."""
    for path, mode in modes.items():
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_IMODE(status.st_mode) != mode or (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            yield path


def _facts(pair: Pair, now: datetime.datetime) -> t.Dict[str, t.Any]:
    """Describe a certificate; an empty dictionary stands for one that is not there or damaged."""
    try:
        return crypto.describe(crypto.load_certificates(pair.certificate or b"")[0], now)
    except (CertificateError, ValueError):
        return {}


def _loaded(pair: Pair) -> t.Tuple[t.Any, t.Any]:
    """Return certificate and key of a pair that belongs together, or raise."""
    if pair.certificate is None or pair.key is None:
        raise CertificateError("there is none yet")
    certificate = crypto.load_certificates(pair.certificate)[0]
    key = crypto.load_key(pair.key)
    if crypto.public_bytes(certificate.public_key()) != crypto.public_bytes(key.public_key()):
        raise CertificateError("its key is another certificate's")
    return certificate, key


def _key_for(spec: Spec, before: Pair) -> t.Tuple[t.Any, bytes]:
    """Return the key there is, where it is to stay and can, or a new one."""
    key, key_bytes = None, None
    if spec.reuse_key and before.key is not None:
        try:
            key, key_bytes = crypto.load_key(before.key), before.key
        except CertificateError:
            key = None
        if key is not None and crypto.key_type_of(key.public_key()) != spec.key_type:
            key = None
    if key is None or key_bytes is None:
        key = crypto.new_key(spec.key_type)
        key_bytes = crypto.key_pem(key)
    return key, key_bytes


def _make_self_signed(spec: Spec, before: Pair, now: datetime.datetime) -> Pair:
    key, key_bytes = _key_for(spec, before)
    common_name = crypto.common_name_for(spec.names, spec.common_name)
    certificate = crypto.new_certificate(key.public_key(), spec.names, common_name, spec.days, now, key)
    return Pair(crypto.certificate_pem(certificate), key_bytes)


def _self_signed_reasons(spec: Spec, before: Pair, now: datetime.datetime) -> t.List[str]:
    """Say why a self-signed certificate has to be made, or nothing when the one there is good."""
    try:
        certificate, _key = _loaded(before)
    except CertificateError as error:
        return [str(error)]
    reasons = crypto.due_reasons(certificate, spec.names, spec.key_type, spec.renew_before_days, now)
    issuer = None
    if spec.authority is None:
        if not crypto.is_self_signed(certificate):
            reasons.append("it is not self-signed")
    elif spec.issuer is None:
        reasons.append(f"there is no authority {spec.authority} yet")
    else:
        issuer = crypto.load_certificates(spec.issuer.encode())[0]
        if not crypto.is_signed_by(certificate, issuer):
            reasons.append(f"the authority {spec.authority} did not sign it")
    if crypto.common_name_of(certificate) != crypto.common_name_for(spec.names, spec.common_name):
        reasons.append("its common name differs")
    # No certificate outlives its authority
    is_cut = issuer is not None and crypto.not_after(certificate) == crypto.not_after(issuer)
    if crypto.lifetime_days(certificate) != spec.days and not is_cut:
        reasons.append("its lifetime differs")
    return reasons


def _signed(spec: Spec, now: datetime.datetime) -> Pair:
    """Return the pair of what an authority has just signed and the key that waits for it."""
    key = read_regular(spec.next_key_path, spec.symlinks_allowed)
    if key is None:
        raise CertificateError(f"{spec.next_key_path}, the key of the request, is gone")
    pair = Pair(_with_newline(spec.issued or ""), key)
    problems = file_problems(pair.certificate or b"", key, spec.names, now)
    if problems:
        raise CertificateError("; ".join(problems))
    return pair


def request(planned: Plan) -> bytes:
    """Make the key that a new certificate is for, have it wait beside the old one, and return the request."""
    spec = planned.spec
    key, key_bytes = _key_for(spec, planned.before)
    _replace(os.path.realpath(spec.next_key_path) if spec.symlinks_allowed else spec.next_key_path, key_bytes, KEY_MODE)
    return crypto.new_request(key)


def _plan_self_signed(spec: Spec, before: Pair, now: datetime.datetime) -> t.Tuple[Pair, t.List[str], t.List[str]]:
    if spec.issued is not None:
        return _signed(spec, now), [f"the authority {spec.authority} has signed it"], []
    reasons = _self_signed_reasons(spec, before, now)
    if spec.authority is not None:
        # Its authority has to be asked first; until then what is there stays
        return before, reasons, []
    return (_make_self_signed(spec, before, now) if reasons else before), reasons, []


def _plan_acme(spec: Spec, before: Pair, now: datetime.datetime) -> t.Tuple[Pair, t.List[str], t.List[str]]:
    """Keep what an authority issued, however old; have a placeholder where there is nothing, so that nginx starts."""
    try:
        certificate, _key = _loaded(before)
    except CertificateError as error:
        return (
            _make_self_signed(spec, before, now),
            [f"{error}: a placeholder is made"],
            ["there is only a placeholder"],
        )
    if not crypto.is_self_signed(certificate):
        return before, [], crypto.due_reasons(certificate, spec.names, spec.key_type, spec.renew_before_days, now)
    reasons = crypto.due_reasons(certificate, spec.names, spec.key_type, spec.renew_before_days, now)
    after = _make_self_signed(spec, before, now) if reasons else before
    return after, reasons, ["there is only a placeholder"]


def file_problems(certificate: bytes, key: bytes, names: t.Iterable[str], now: datetime.datetime) -> t.List[str]:
    """Return what is wrong with a certificate and a key that somebody brings."""
    problems = []
    chain: t.List[t.Any] = []
    loaded_key = None
    try:
        chain = crypto.load_certificates(certificate)
    except CertificateError as error:
        problems.append(f"the certificate cannot be used: {error}")
    try:
        loaded_key = crypto.load_key(key)
    except CertificateError as error:
        problems.append(f"the key cannot be used: {error}")
    if chain and loaded_key is not None:
        problems.extend(crypto.pair_problems(chain, loaded_key, names, now))
    return problems


def _with_newline(content: str) -> bytes:
    return (content.strip() + "\n").encode("utf-8", "surrogateescape")


def _plan_files(spec: Spec, before: Pair, now: datetime.datetime) -> t.Tuple[Pair, t.List[str], t.List[str]]:
    if spec.remote:
        after = before
        for path, content in ((spec.certificate_path, before.certificate), (spec.key_path, before.key)):
            if content is None:
                raise CertificateError(f"{path} is not there, and remote: true says that it is on the host already")
        if os.stat(spec.key_path).st_mode & stat.S_IRWXO:
            raise CertificateError(f"everybody on the host has access to the key {spec.key_path}: set its mode to 0600")
    else:
        after = Pair(_with_newline(spec.certificate_content or ""), _with_newline(spec.key_content or ""))
    problems = file_problems(after.certificate or b"", after.key or b"", spec.names, now)
    if problems:
        raise CertificateError("; ".join(problems))
    return after, ([] if before == after else ["its content differs"]), []


_PLANNERS = {"selfsigned": _plan_self_signed, "files": _plan_files, "acme": _plan_acme}


def plan(spec: Spec, now: datetime.datetime) -> Plan:
    """Find out what has to change for one certificate; touches nothing."""
    follow = spec.symlinks_allowed or spec.remote
    paths = real_paths(spec)
    # A pair whose second half a killed run could not bring any more is completed first
    waiting = None if spec.remote else pair_files.pending_certificate(*paths)
    before = Pair(read_regular(waiting or spec.certificate_path, follow), read_regular(spec.key_path, follow))
    after, reasons, due = _PLANNERS[spec.provider](spec, before, now)
    return Plan(
        spec=spec,
        before=before,
        after=after,
        facts_before=_facts(before, now),
        facts=_facts(after, now),
        reasons=tuple(reasons),
        wrong_attributes=()
        if spec.remote
        else tuple(_wrong_attributes({spec.key_path: KEY_MODE, spec.certificate_path: CERTIFICATE_MODE})),
        due=tuple(due),
        needs_request=spec.authority is not None and spec.issued is None and bool(reasons),
        interrupted=() if spec.remote else tuple(pair_files.interrupted(*paths)),
    )


def real_paths(spec: Spec) -> t.Tuple[str, str]:
    """Return where certificate and key are written."""
    if spec.symlinks_allowed:
        return os.path.realpath(spec.certificate_path), os.path.realpath(spec.key_path)
    return spec.certificate_path, spec.key_path


def plan_all(
    specs: t.Iterable[Spec], now: datetime.datetime, authorities: t.Iterable[ClientAuthority] = ()
) -> t.Tuple[t.List[Plan], t.List[AuthorityPlan]]:
    """Plan every certificate and every authority of clients, or raise with everything that is wrong with any of them."""
    plans, authority_plans, problems = [], [], []
    owners: t.Dict[str, str] = {}
    for spec in specs:
        for path in (spec.certificate_path, spec.key_path):
            if path in owners and not spec.remote:
                problems.append(f"certificate {spec.name}: {path} is a file of certificate {owners[path]} too")
            owners[path] = spec.name
        try:
            plans.append(plan(spec, now))
        except CertificateError as error:
            problems.append(f"certificate {spec.name}: {error}")
    for authority in authorities:
        for path in (authority.certificate_path, authority.crl_path):
            if path in owners:
                problems.append(
                    f"client authority {authority.name}: {path} is a file of certificate {owners[path]} too"
                )
        try:
            authority_plans.append(plan_client_authority(authority, now))
        except CertificateError as error:
            problems.append(f"client authority {authority.name}: {error}")
    if problems:
        raise CertificateError("\n".join(problems))
    return plans, authority_plans


def client_authority_problems(certificate: bytes, crl: t.Optional[bytes], now: datetime.datetime) -> t.List[str]:
    """Return what is wrong with an authority of clients and its revocation lists."""
    problems = []
    authorities: t.List[t.Any] = []
    lists: t.List[t.Any] = []
    # One file for both is a mistake easily made, and everybody may read this one
    if b"PRIVATE KEY-----" in certificate:
        problems.append("there is a private key beside the certificate, and nginx needs none: take it out")
    try:
        authorities = crypto.load_certificates(certificate)
    except CertificateError as error:
        problems.append(f"the certificate cannot be used: {error}")
    if crl is not None:
        try:
            lists = crypto.load_revocation_lists(crl)
        except CertificateError as error:
            problems.append(f"the revocation list cannot be used: {error}")
    return problems or crypto.client_authority_problems(authorities, lists, now)


def authority_facts(
    certificate: t.Optional[bytes], crl: t.Optional[bytes], now: datetime.datetime
) -> t.Dict[str, t.Any]:
    """Describe an authority of clients; an empty dictionary stands for one that is not there or damaged."""
    try:
        described = crypto.describe(crypto.load_certificates(certificate or b"")[0], now)
        facts = {key: described[key] for key in ("subject", "fingerprint", "not_after", "days_left")}
        lists = crypto.load_revocation_lists(crl) if crl else []
    except (CertificateError, ValueError):
        return {}
    ends = [end for end in map(crypto.next_update, lists) if end is not None]
    facts["revoked"] = sum(len(revoked) for revoked in lists)
    facts["crl_next_update"] = min(ends).strftime("%Y-%m-%dT%H:%M:%SZ") if ends else None
    facts["crl_days_left"] = (min(ends) - now).days if ends else None
    return facts


def plan_client_authority(authority: ClientAuthority, now: datetime.datetime) -> AuthorityPlan:
    """Find out what has to change for one authority of clients; touches nothing."""
    certificate_path, crl_path = authority.certificate_path, authority.crl_path
    before = {path: read_regular(path, follow=False) for path in (certificate_path, crl_path)}
    after = {
        certificate_path: _with_newline(authority.certificate_content),
        crl_path: _with_newline(authority.crl_content) if authority.crl_content else None,
    }
    problems = client_authority_problems(after[certificate_path] or b"", after[crl_path], now)
    if problems:
        raise CertificateError("; ".join(problems))
    return AuthorityPlan(
        authority=authority,
        before=before,
        after=after,
        facts_before=authority_facts(before[certificate_path], before[crl_path], now),
        facts=authority_facts(after[certificate_path], after[crl_path], now),
        wrong_attributes=tuple(
            _wrong_attributes({path: CERTIFICATE_MODE for path, content in after.items() if content is not None})
        ),
    )


def apply_client_authority(planned: AuthorityPlan) -> None:
    """Bring one authority of clients to the wanted state."""
    for path, content in planned.after.items():
        if content is not None:
            if content != planned.before[path] or path in planned.wrong_attributes:
                _replace(path, content, CERTIFICATE_MODE)
        elif planned.before[path] is not None:
            os.unlink(path)
            _sync_directory(path)


def _stage(path: str, content: bytes, mode: int) -> str:
    """Write a file beside its final path, readable by nobody else until it is complete."""
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        previous = os.umask(0o777 & ~DIRECTORY_MODE)
        try:
            os.makedirs(directory, DIRECTORY_MODE)
        finally:
            os.umask(previous)
    descriptor, staged = tempfile.mkstemp(prefix=".wssgate-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except OSError:
        os.unlink(staged)
        raise
    return staged


def _sync_directory(path: str) -> None:
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: str, content: bytes, mode: int) -> None:
    staged = _stage(path, content, mode)
    os.rename(staged, path)
    _sync_directory(path)


def write_pair(certificate_path: str, key_path: str, wanted: Pair, name: str = "", follow: bool = False) -> None:
    """Put a new pair in place."""
    try:
        pair_files.replace(certificate_path, key_path, name, pair_files.PairFiles(*wanted), follow)
    except pair_files.PairError as error:
        raise CertificateError(str(error)) from error


def _back_up(path: str, content: t.Optional[bytes], suffix: str) -> t.List[str]:
    if content is None:
        return []
    _replace(path + suffix, content, KEY_MODE)
    return [path + suffix]


def apply(planned: Plan, backup: bool = False) -> t.List[str]:
    """Bring one certificate to the wanted state and return the copies that were kept of the old one."""
    spec, copies = planned.spec, []
    certificate_path, key_path = real_paths(spec)
    try:
        if planned.before != planned.after:
            # Before the copies are made
            pair_files.check_attributes(certificate_path, key_path)
        if planned.interrupted:
            pair_files.recover(certificate_path, key_path)
    except pair_files.PairError as error:
        raise CertificateError(str(error)) from error
    if planned.before != planned.after:
        if backup:
            suffix = time.strftime(".%Y-%m-%dT%H%M%SZ~", time.gmtime())
            copies = _back_up(certificate_path, planned.before.certificate, suffix) + _back_up(
                key_path, planned.before.key, suffix
            )
        write_pair(certificate_path, key_path, planned.after, spec.name, spec.symlinks_allowed)
        if spec.issued is not None:
            os.unlink(spec.next_key_path)
    for path in planned.wrong_attributes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if spec.symlinks_allowed else os.O_NOFOLLOW))
        try:
            os.fchown(descriptor, os.geteuid(), os.getegid())
            os.fchmod(descriptor, KEY_MODE if path == spec.key_path else CERTIFICATE_MODE)
        finally:
            os.close(descriptor)
    return copies


def certbot_server(lineage: str, directory: str = CERTBOT_RENEWAL) -> t.Optional[str]:
    """Return the directory URL of the authority that certbot has a certificate from, or None when it has none."""
    try:
        with open(os.path.join(directory, f"{lineage}.conf"), encoding="utf-8") as stream:
            for line in stream:
                key, equals, value = line.partition("=")
                if equals and key.strip() == "server":
                    return value.strip()
    except FileNotFoundError:
        return None
    return None
