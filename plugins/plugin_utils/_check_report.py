# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbook check asks of the gates, what their answers mean, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._gate import auth, origins
from ._gate.auth import client_certificate

COLUMNS = ("host", "server", "certificate", "names", "issuer", "left", "key", "chain", "TLS", "key exchange")
ANSWER_COLUMNS = ("host", "location", "auth", "without token", "with token")
NAMES_WIDTH = 40
OLD_TLS = ("TLSv1", "TLSv1.1")
# The gate's answer while the host is drained
DRAINING = 503


def targets(
    model: Mapping[str, Any], certificates: Sequence[Mapping[str, Any]], directory: str
) -> list[dict[str, Any]]:
    """What wss_gate_info is to look at: each server at the listener that is most like its clients'."""
    known = {
        str(item.get("certificate_path") or f"{directory}/{item['name']}/fullchain.pem"): item for item in certificates
    }
    found = []
    for server in model["servers"]:
        listeners = [entry for entry in server["listeners"] if not entry["unix"]]
        if not listeners:
            continue
        entry = min(listeners, key=lambda listener: (not listener["tls"], listener["proxy_protocol"]))
        # A name that a wildcard stands for will do
        name = server["server_names"][0].replace("*", "any").strip(".")
        clients = server["client_certificates"]
        found.append(
            {
                "name": server["name"],
                "server_name": name,
                "server_names": [
                    other for other in server["server_names"] if "." in other and not other.startswith(("~", "."))
                ],
                "host": entry["address"].strip("[]") or "127.0.0.1",
                "port": entry["port"],
                "tls": entry["tls"],
                "proxy_protocol": entry["proxy_protocol"],
                "certificates": [
                    {
                        "name": known.get(item["certificate"], {}).get("name", ""),
                        "provider": known.get(item["certificate"], {}).get("provider", ""),
                        "certificate_path": item["certificate"],
                        "key_path": item["key"],
                    }
                    for item in server["certificates"]
                ],
                "ca_path": clients["ca_path"] if clients else None,
                "crl_path": (clients["crl_path"] or None) if clients else None,
                "locations": [
                    {
                        "path": location["path"],
                        "auth": location["auth"],
                        # The token to try goes by one way, though a location may take two.
                        "cookie_name": location["cookie"]["name"] if "cookie" in _token_sources(location) else "",
                        "bearer": _token_sources(location) == ["bearer"],
                        "uses_token": bool(_token_sources(location)),
                        "origin": origins.example(location["origins"]),
                        "client_certificate": client_certificate.is_required(server, location),
                    }
                    for location in server["locations"]
                ],
            }
        )
    return found


def _token_sources(location: Mapping[str, Any]) -> list[str]:
    """Where a token may come from that is enough."""
    is_enough = auth.kind_of(location["auth"]).is_content_with(auth.TOKEN)
    return location["token"]["sources"] if is_enough else []


def _certificate_problems(certificate: Mapping[str, Any], days: int) -> list[str]:
    label = f"certificate {certificate.get('name') or certificate['certificate_path']}"
    found = [f"{label}: {problem}" for problem in certificate["problems"]]
    left = certificate.get("days_left")
    if left is None:
        return found
    if 0 <= left < days:
        remedy = {
            "acme": "its renewal fails or does not run: see /var/log/letsencrypt and the timer of certbot",
            "selfsigned": "a run of site.yml makes a new one once renew_before_days is reached",
        }.get(str(certificate.get("provider")), "bring a new one")
        found.append(f"{label} ends in {left} days ({certificate['not_after']}): {remedy}")
    if certificate.get("provider") == "acme" and certificate.get("self_signed"):
        found.append(f"{label} is a placeholder: no authority has issued one yet")
    if not certificate.get("served"):
        found.append(f"{label} is not the one that clients get: run site.yml, and see nginx's error.log")
    return found


def _location_problems(location: Mapping[str, Any]) -> list[str]:
    expected = auth.kind_of(str(location["auth"])).answers()
    without, with_token = location["without_token"], location["with_token"]
    if location["client_certificate"]:
        expected, with_token = client_certificate.ANSWERS, None
    # No upstream is asked for such a client, so the answer is the gate's own.
    if without == DRAINING and 101 not in expected:
        return [f"{location['path']} takes no new sessions (503): the host is drained; playbook undrain puts it back"]
    found = []
    # 429 is an answer of the limits, and says nothing of the rest
    if without not in (*expected, 429):
        words = " or ".join(str(status) for status in expected)
        found.append(f"{location['path']} answers {_status(without)} to a client without a token, not {words}")
    if with_token is not None and with_token not in (101, 429):
        found.append(f"{location['path']} answers {_status(with_token)} to a client with a token, not 101")
    return found


def _server_problems(server: Mapping[str, Any], days: int) -> list[str]:
    if server["tls"] and not server["tls_versions"]:
        return [f"nothing answers in TLS at {server['address']}"]
    found = []
    old = [version for version in server["tls_versions"] if version in OLD_TLS]
    if old:
        found.append(f"it speaks {', '.join(old)}, which clients have given up")
    for certificate in server["certificates"]:
        found += _certificate_problems(certificate, days)
    authority = server["client_authority"]
    if authority:
        found += [f"client certificates: {problem}" for problem in authority["problems"]]
        for key, what in (("days_left", "the authority"), ("crl_days_left", "the revocation list")):
            left = authority.get(key)
            if left is not None and 0 <= left < days:
                found.append(f"client certificates: {what} ends in {left} days; every client is refused from then on")
    for location in server["locations"]:
        found += _location_problems(location)
    return found


def report(results: Mapping[str, Any], days: int) -> dict[str, Any]:
    """Everything, for a program; problems holds what is wrong already or will be within the days."""
    days = int(days)  # ansible-core before 2.19 hands a filter the text of a templated number
    hosts: dict[str, Any] = {}
    problems: list[dict[str, str]] = []
    for host, result in sorted(results.items()):
        if not isinstance(result, Mapping) or "targets" not in result:
            words = result.get("msg") if isinstance(result, Mapping) else None
            problems.append({"host": host, "server": "", "problem": f"it could not be asked: {words or 'no answer'}"})
            continue
        hosts[host] = result["targets"]
        problems += [
            {"host": host, "server": "", "problem": problem} for problem in result.get("pruner", {}).get("problems", [])
        ]
        capacity = result.get("capacity")
        if capacity and capacity["problem"]:
            problems.append({"host": host, "server": "", "problem": capacity["problem"]})
        for server in result["targets"]:
            problems += [
                {"host": host, "server": server["name"], "problem": problem}
                for problem in _server_problems(server, days)
            ]
    return {"days": days, "hosts": hosts, "problems": problems}


def _status(status: int | None) -> str:
    return "-" if status is None else "nothing" if status < 0 else str(status)


def _shortened(text: str, width: int = NAMES_WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _certificate_row(host: str, server: Mapping[str, Any], certificate: Mapping[str, Any]) -> tuple[str, ...]:
    if "days_left" not in certificate:
        return (
            host,
            server["name"],
            certificate.get("name") or "-",
            "-",
            "-",
            "-",
            "-",
            "unreadable",
            _versions(server),
            _group(server),
        )
    names = ", ".join(name.partition(":")[2] for name in certificate["subject_alt_names"])
    issuer = "itself" if certificate["self_signed"] else certificate["issuer"]
    return (
        host,
        server["name"],
        certificate.get("name") or certificate["certificate_path"],
        _shortened(names),
        _shortened(issuer),
        f"{certificate['days_left']}d",
        certificate["key_type"],
        "wrong" if certificate["problems"] else "ok" if certificate["served"] else "not served",
        _versions(server),
        _group(server),
    )


def _versions(server: Mapping[str, Any]) -> str:
    return "+".join(version.replace("TLSv", "") for version in server["tls_versions"]) or "-"


def _group(server: Mapping[str, Any]) -> str:
    return server.get("key_exchange_group") or "-"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def lines(results: Mapping[str, Any], days: int) -> list[str]:
    """The same for a person."""
    found = report(results, days)
    certificates = [tuple(name.upper() for name in COLUMNS)]
    answers = [tuple(name.upper() for name in ANSWER_COLUMNS)]
    for host, servers in found["hosts"].items():
        for server in servers:
            certificates += [_certificate_row(host, server, certificate) for certificate in server["certificates"]]
            for location in server["locations"]:
                where = f"{server['server_name']}{location['path']}"
                auth = location["auth"] + (" + certificate" if location["client_certificate"] else "")
                answers.append((host, where, auth, _status(location["without_token"]), _status(location["with_token"])))
    text = _aligned(certificates) + [""] + _aligned(answers) + [""]
    for entry in found["problems"]:
        where = f"{entry['host']}, server {entry['server']}" if entry["server"] else entry["host"]
        text.append(f"WRONG {where}: {entry['problem']}")
    if not found["problems"]:
        text.append(f"Nothing will break within {days} days.")
    return text
