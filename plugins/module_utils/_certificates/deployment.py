# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings certificates that certbot holds to nginx, and does not believe it until they are on the wire.

certbot runs this once after each attempt to renew, however many certificates it renewed. It compares, so that it can be
run at any time: certbot's certificate with the installed one, and the installed one with what a client gets. Without a
difference it does nothing. It has the lock of nginx_config meanwhile, reloads as that does, at most once but for
putting something back, and never restarts nginx; sessions go on.

A certificate that is damaged keeps no other from being installed; it is reported at the end. One that clients do not
get where they got the former one makes room for that again.

Needs nothing but Python: it runs on the host without Ansible. Exit status 1 says that something is not as it should be;
the words are on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import typing as t

from . import pair as pair_files
from .pair import PairFiles
from .paths import CERTIFICATE, KEY
from .._handshake.served import Address, certificates
from .._host import files
from .._host.error import HostError
from .._host.run import run
from .._nginx.files import Exchange, Lock, Operations
from .._nginx.live import Activator, Family, NotLive, System, changed_at, sayings
from .._nginx.process import Finder, started_at
from .._nginx.syntax import read_tree

CONFIGURATION = "/etc/letsencrypt/wssgate.json"
TEST_LIMIT = 120
CONNECT_LIMIT = 5.0
PAUSE = 0.2
UNTOUCHED = "what was there is still there and served"
# What stops one certificate and not the others
_FAULTS = (HostError, OSError, ValueError)


class DeployError(HostError):
    """Says what keeps a certificate from being served."""


class Entry(t.NamedTuple):
    """A certificate, as the configuration has it."""

    name: str
    lineage: str
    certificate_path: str
    key_path: str
    server_name: str
    served_at: t.Sequence[str]

    def put(self, wanted: PairFiles) -> None:
        """Have certificate and key at their paths, both or neither; a file may be one that is not there."""
        pair_files.replace(self.certificate_path, self.key_path, self.name, wanted)

    def served(self, address: str) -> t.List[bytes]:
        """Return the certificates, as DER, that clients of an address get; none where nothing answers in TLS."""
        host, _colon, port = address.rpartition(":")
        if not port.isdigit():
            return []
        return certificates(Address(host.strip("[]"), int(port), self.server_name), CONNECT_LIMIT)


class Known(t.NamedTuple):
    """A certificate that certbot holds, and what was there before it if it has just been installed."""

    entry: Entry
    # As DER
    wanted: bytes
    before: t.Optional[PairFiles] = None
    # Where clients got the former one
    former_at: t.Tuple[str, ...] = ()


class Missing(t.NamedTuple):
    """An address where clients do not get a certificate."""

    known: Known
    address: str
    serves_another: bool

    def __str__(self) -> str:
        what = "another certificate is served" if self.serves_another else "nothing answers in TLS"
        return f"{self.known.entry.name} ({self.known.entry.server_name}) at {self.address}, where {what}"


def first_certificate(pem: bytes) -> bytes:
    """Return the server's own certificate as DER."""
    end = b"-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert((pem.partition(end)[0] + end).decode("ascii", "replace").strip() + "\n")


def check_pair(certificate_path: str, key_path: str) -> None:
    """Have OpenSSL say whether certificate and key belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase must not wait for somebody to type it
        context.load_cert_chain(certificate_path, key_path, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise DeployError(f"{certificate_path} and {key_path} do not belong together: {error}") from None


class Deployment:
    """One run of the program."""

    def __init__(self, configuration: t.Mapping[str, t.Any]) -> None:
        self.nginx: t.List[str] = list(configuration["nginx"])
        self.main = self.nginx[-1]
        self.directory = os.path.dirname(self.main)
        self.live_directory: str = configuration["live_directory"]
        self.timeout: float = configuration["timeout"]
        self.entries = [Entry(**{name: item[name] for name in Entry._fields}) for item in configuration["certificates"]]
        self.known: t.List[Known] = []
        self.problems: t.List[str] = []
        self._activator = Activator(
            Finder(self.nginx[0], self.main, configuration["pid_path"]),
            self.main,
            "",
            "",
            self.timeout,
            System(),
            Operations(),
        )

    @property
    def installed(self) -> t.List[Known]:
        return [known for known in self.known if known.before is not None]

    def run(self) -> t.Dict[str, t.Any]:
        """Install what is new, reload once if need be, and prove that it is served; else put back what was there."""
        with Lock(self.directory):
            # What a killed nginx_config has left half done must not go live
            Exchange(self.directory, Operations()).recover()
            # More than one master, or none that may be looked at, is known before anything changes
            family = self._activator.family()
            for entry in self.entries:
                try:
                    self._install(entry)
                except _FAULTS as error:
                    self.problems.append(f"certificate {entry.name}: {error}; {UNTOUCHED}")
            missing = [] if self.installed else self._missing()
            # A reload that has been would not help again: then the fault is elsewhere
            is_due = bool(self.installed) or (bool(missing) and not self._is_read(family))
            if is_due:
                self._test()
                self._go_live()
            elif missing:
                self._note_missing(missing, "although nginx has read it")
        if self.problems:
            raise DeployError("; ".join(self.problems))
        return {
            "changed": is_due,
            "installed": [known.entry.name for known in self.installed],
            "reloaded": is_due,
            "served": [known.entry.name for known in self.known],
        }

    # -- install -----------------------------------------------------------------------------------------------------

    def _install(self, entry: Entry) -> None:
        source = os.path.join(self.live_directory, entry.lineage)
        certificate_path, key_path = os.path.join(source, CERTIFICATE), os.path.join(source, KEY)
        pair_files.recover(entry.certificate_path, entry.key_path)
        if not os.path.lexists(certificate_path) and not os.path.lexists(key_path):
            # Not issued yet: the placeholder stays
            return
        # Only looked at: what is replaced is never reached through a link
        before = PairFiles(*(files.read(path, follow=True) for path in (entry.certificate_path, entry.key_path)))
        # certbot's own are links to those of a renewal
        wanted = PairFiles(files.read(certificate_path, follow=True), files.read(key_path, follow=True))
        for path, content in zip((certificate_path, key_path), wanted):
            if content is None:
                raise DeployError(f"{path} is not there")
        check_pair(certificate_path, key_path)
        served = first_certificate(wanted.certificate or b"")
        if wanted == before:
            self.known.append(Known(entry, served))
            return
        former_at = self._former_at(entry, before)
        entry.put(wanted)
        self.known.append(Known(entry, served, before, former_at))

    @staticmethod
    def _former_at(entry: Entry, before: PairFiles) -> t.Tuple[str, ...]:
        try:
            former = first_certificate(before.certificate or b"")
        except ValueError:
            # None yet, or a damaged one
            return ()
        return tuple(address for address in entry.served_at if former in entry.served(address))

    # -- look --------------------------------------------------------------------------------------------------------

    def _missing(self) -> t.List[Missing]:
        found = []
        for known in self.known:
            for address in known.entry.served_at:
                served = known.entry.served(address)
                if known.wanted not in served:
                    found.append(Missing(known, address, bool(served)))
        return found

    def _note_missing(self, missing: t.Sequence[Missing], why: str) -> None:
        where = ", ".join(map(str, missing))
        self.problems.append(
            f"clients do not get {where}, {why}: see served_at in certificates_list, and nginx's error.log"
        )

    def _is_read(self, family: Family) -> bool:
        """Whether every worker is younger than the newest of the certificates."""
        entries = [known.entry for known in self.known]
        newest = max(changed_at(path) for entry in entries for path in (entry.certificate_path, entry.key_path))
        return bool(family.workers) and all(started_at(worker) >= newest for worker in family.workers)

    # -- act ---------------------------------------------------------------------------------------------------------

    def _test(self) -> None:
        """Have nginx test its configuration with the new pairs; where it refuses, none of them stays."""
        try:
            finished = run([*self.nginx, "-t", "-q"], TEST_LIMIT, joined=True)
            if finished.status != 0:
                said = sayings(finished.output) or finished.output.split("\n")
                raise DeployError(f"nginx refuses its configuration: {'; '.join(said).strip()}")
        except (HostError, OSError) as error:
            for known in self.installed:
                known.entry.put(t.cast(PairFiles, known.before))
            raise DeployError("; ".join([*self.problems, f"{error}; {UNTOUCHED}"])) from None

    def _go_live(self) -> None:
        try:
            self._reload()
        except NotLive as error:
            self.problems.append(f"nginx does not take on its configuration: {error}{self._put_back(self.installed)}")
            return
        except (HostError, OSError) as error:
            self.problems.append(str(error))
            return
        deadline = time.monotonic() + self.timeout
        missing = self._missing()
        while missing and time.monotonic() < deadline:
            time.sleep(PAUSE)
            missing = self._missing()
        if missing:
            self._note_missing(missing, "though nginx was reloaded")
            # Where the former one was not served either, it would not be now: served_at is wrong, or the configuration
            lost = [one.known for one in missing if one.address in one.known.former_at]
            self.problems[-1] += self._put_back([known for known in self.installed if known in lost])

    def _reload(self) -> None:
        master = self._activator.family().master
        if master is None:
            raise DeployError("nginx does not run, and takes the certificates on when it is started")
        tree = read_tree(self.main)
        self._activator.reload(master, tree, tree)

    def _put_back(self, certificates: t.Sequence[Known]) -> str:
        """Have former pairs in place and served again; return how that went, for the end of a message."""
        if not certificates:
            return ""
        names = ", ".join(known.entry.name for known in certificates)
        try:
            for known in certificates:
                known.entry.put(t.cast(PairFiles, known.before))
            self._reload()
        except (*_FAULTS, NotLive) as error:
            return f"; what was there before of {names} was to be put back, and that failed: {error}"
        return f"; what was there before of {names} was put back and is served"


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Bring certbot's certificates to nginx.")
    parser.add_argument(
        "--configuration", default=CONFIGURATION, help="JSON file that says which (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        with open(arguments.configuration, encoding="utf-8") as stream:
            configuration = json.load(stream)
        sys.stdout.write(json.dumps(Deployment(configuration).run()) + "\n")
    except _FAULTS as error:
        sys.stderr.write(f"{os.path.basename(sys.argv[0])}: {error}\n")
        return 1
    return 0
