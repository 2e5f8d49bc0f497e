#!/usr/bin/python3
# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Managed by wssgate.nginx: changes made here are lost

"""Brings certificates that certbot holds to nginx, and does not believe it until they are on the wire.

certbot runs this once after each attempt to renew, however many certificates it renewed. It compares, so that it can be
run at any time: certbot's certificate with the installed one, and the installed one with what a client gets. Without a
difference it does nothing. nginx is reloaded at most once and never restarted; sessions go on.

A certificate that is damaged keeps no other from being installed; it is reported at the end.

Needs nothing but Python. Exit status 1 says that something is not as it should be; the words are on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import typing as t

# Where the role puts what module wss_certificate uses, too
sys.path.insert(0, "/usr/local/lib")

import wssgate_pair_files as pair_files

CONFIGURATION = "/etc/letsencrypt/wssgate.json"
# A server with an RSA and an ECDSA certificate chooses by what the client can do
CIPHERS = ("aECDSA", "aRSA")


class DeployError(Exception):
    """Says what keeps a certificate from being served."""


Files = pair_files.PairFiles
# An entry of the configuration, and its certificate as DER
Known = t.Tuple[t.Dict[str, t.Any], bytes]


def read_file(path: str) -> t.Optional[bytes]:
    """Return the content of a file, or None when it is not there."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def read_files(certificate_path: str, key_path: str) -> Files:
    """Return certificate and key."""
    return Files(read_file(certificate_path), read_file(key_path))


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


def install(entry: t.Dict[str, t.Any], files: Files) -> None:
    """Have a certificate and its key at their final paths, both or neither; a file may be one that is not there."""
    pair_files.replace(entry["certificate_path"], entry["key_path"], entry["name"], files)


def certificates_served(address: str, server_name: str, timeout: float) -> t.List[bytes]:
    """Return the certificates, as DER, that clients of an address get for a name; none when nothing answers there."""
    host, _colon, port = address.rpartition(":")
    found = []
    for ciphers in (*CIPHERS, None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Only what is served is looked at here; whether a client trusts it is not this program's business
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if ciphers is not None:
            # TLS 1.3's cipher suites do not say which certificate is wanted
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout) as raw:
                with context.wrap_socket(raw, server_hostname=server_name) as connection:
                    served = connection.getpeercert(binary_form=True)
        except (OSError, ValueError):
            continue
        if served is not None:
            found.append(served)
    return found


def faults(known: t.Sequence[Known]) -> t.List[str]:
    """Say where clients do not get a certificate, and what they get."""
    found = []
    for entry, wanted in known:
        for address in entry["served_at"]:
            served = certificates_served(address, entry["server_name"], timeout=5)
            if wanted not in served:
                what = "another certificate is served" if served else "nothing answers in TLS"
                found.append(f"{entry['name']} ({entry['server_name']}) at {address}, where {what}")
    return found


def newest_worker(pid_path: str) -> float:
    """Return when nginx's newest worker was started, in seconds since 1970; 0 without one."""
    try:
        with open(pid_path, encoding="ascii") as stream:
            master = int(stream.read())
    except (OSError, ValueError):
        return 0.0
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    newest = 0.0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                # proc(5): what follows the command in parentheses is state, parent, …; the 22nd field is the start in ticks
                fields = stream.read().rpartition(")")[2].split()
        except OSError:
            # It has just ended
            continue
        if int(fields[1]) == master:
            newest = max(newest, boot + int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    return newest


def has_been_reloaded(configuration: t.Dict[str, t.Any], known: t.Sequence[Known]) -> bool:
    """Tell whether nginx has read the newest of the certificates already."""
    written = max(os.stat(entry["certificate_path"]).st_mtime for entry, _wanted in known)
    return newest_worker(configuration["pid_path"]) > written


def run(command: t.Sequence[str]) -> None:
    """Run a command of nginx, or raise with its words."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    if result.returncode != 0:
        raise DeployError(f"{' '.join(command)}: {result.stdout.decode('utf-8', 'replace').strip()}")


def look(configuration: t.Dict[str, t.Any], entry: t.Dict[str, t.Any]) -> t.Tuple[t.Optional[Files], Files]:
    """Return what certbot holds of a certificate, if it holds it and it is sound, and what is installed."""
    source = os.path.join(configuration["live_directory"], entry["lineage"])
    certificate_path, key_path = os.path.join(source, "fullchain.pem"), os.path.join(source, "privkey.pem")
    pair_files.recover(entry["certificate_path"], entry["key_path"])
    before = read_files(entry["certificate_path"], entry["key_path"])
    if not os.path.lexists(certificate_path) and not os.path.lexists(key_path):
        # Not issued yet: the placeholder stays
        return None, before
    files = read_files(certificate_path, key_path)
    for path, content in zip((certificate_path, key_path), files):
        if content is None:
            raise DeployError(f"{path} is not there")
    check_pair(certificate_path, key_path)
    return files, before


def deploy(configuration: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """Install what is new, reload once if need be, and prove that it is served."""
    installed: t.List[t.Tuple[t.Dict[str, t.Any], Files]] = []
    known: t.List[Known] = []
    problems: t.List[str] = []
    for entry in configuration["certificates"]:
        try:
            files, before = look(configuration, entry)
            if files is None:
                continue
            if files != before:
                install(entry, files)
                installed.append((entry, before))
            known.append((entry, first_certificate(files.certificate or b"")))
        except (DeployError, pair_files.PairError, OSError, ValueError) as error:
            problems.append(f"certificate {entry['name']}: {error}; what was there is still there and served")
    try:
        missing = [] if installed else faults(known)
        # A reload that has been would not help again: then the fault is elsewhere
        due = bool(installed) or (bool(missing) and not has_been_reloaded(configuration, known))
        if due:
            run([*configuration["nginx"], "-t", "-q"])
    except (DeployError, OSError, subprocess.TimeoutExpired) as error:
        for entry, before in installed:
            install(entry, before)
        raise DeployError("; ".join([*problems, f"{error}; what was there is still there and served"])) from None
    try:
        if due:
            run([*configuration["nginx"], "-s", "reload"])
            prove(known, configuration["timeout"])
        elif missing:
            raise DeployError(
                f"clients do not get {', '.join(missing)}, although nginx has read it: see served_at in certificates_list, and nginx's error.log"
            )
    except (DeployError, OSError, subprocess.TimeoutExpired) as error:
        problems.append(str(error))
    if problems:
        raise DeployError("; ".join(problems))
    return {
        "changed": due,
        "installed": [entry["name"] for entry, _before in installed],
        "reloaded": due,
        "served": [entry["name"] for entry, _wanted in known],
    }


def prove(known: t.Sequence[Known], timeout: float) -> None:
    """Wait until clients get every certificate, or raise."""
    deadline = time.monotonic() + timeout
    while True:
        missing = faults(known)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise DeployError(
                f"nginx was reloaded, but clients do not get {', '.join(missing)}: see served_at in certificates_list, and nginx's error.log"
            )
        time.sleep(0.2)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Bring certbot's certificates to nginx.")
    parser.add_argument(
        "--configuration", default=CONFIGURATION, help="JSON file that says which (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with open(arguments.configuration, encoding="utf-8") as stream:
        configuration = json.load(stream)
    try:
        print(json.dumps(deploy(configuration)))
    except (DeployError, pair_files.PairError, OSError, subprocess.TimeoutExpired) as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
