# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbook check asks of the gates, what their answers mean, and the table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._certificates.paths import pair_paths
from . import _check_levels as levels
from ._certificates.providers import PROVIDERS, Provider
from ._check_levels import CRITICAL, WARNING, Finding
from ._gate import addresses, auth, origins
from ._gate.auth import client_certificate

COLUMNS = ("host", "server", "certificate", "names", "issuer", "left", "key", "chain", "TLS", "key exchange")
ANSWER_COLUMNS = ("host", "location", "auth", "without token", "with token")
ISSUER_COLUMNS = ("host", "issuer", "keys", "algorithms", "fetched")
NAMES_WIDTH = 40
OLD_TLS = ("TLSv1", "TLSv1.1")
# The gate's answer while the host is drained
DRAINING = 503


def targets(
    model: Mapping[str, Any], certificates: Sequence[Mapping[str, Any]], directory: str
) -> list[dict[str, Any]]:
    """What wss_gate_info is to look at: each server at the listener that is most like its clients'."""
    known = {
        pair_paths(directory, str(item["name"]), item.get("certificate_path")).certificate: item
        for item in certificates
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
                        "addresses": [
                            {"kind": item["kind"], "networks": item["networks"]} for item in location["addresses"]
                        ],
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


def certificate_name(certificate: Mapping[str, Any]) -> str:
    """How a certificate is called; one that is not of the role has its path alone."""
    return str(certificate.get("name") or certificate["certificate_path"])


def _certificate_problems(certificate: Mapping[str, Any], days: int) -> list[Finding]:
    name = certificate_name(certificate)
    label = f"certificate {name}"
    provider = PROVIDERS.get(str(certificate.get("provider"))) or Provider()

    def finding(level: str, words: str) -> Finding:
        return Finding(level, "certificate", name, f"{label}{words}")

    found = [finding(CRITICAL, f": {problem}") for problem in certificate["problems"]]
    left = certificate.get("days_left")
    if left is None:
        return found
    if 0 <= left < days:
        found.append(finding(WARNING, f" ends in {left} days ({certificate['not_after']}): {provider.remedy}"))
    if certificate.get("self_signed") and provider.if_self_signed:
        found.append(finding(CRITICAL, f" {provider.if_self_signed}"))
    if not certificate.get("served"):
        words = " is not the one that clients get: run site.yml, and see nginx's error.log"
        found.append(finding(CRITICAL, words))
    return found


def _is_refused(location: Mapping[str, Any], client: str | None) -> bool:
    """Whether the gate lets in no client of the address from which this host has asked."""
    return bool(client) and not addresses.lets_in(location.get("addresses") or [], str(client))


def _location_problems(location: Mapping[str, Any], client: str | None = None) -> list[Finding]:
    expected = auth.kind_of(str(location["auth"])).answers()
    path = location["path"]
    without, with_token = location["without_token"], location["with_token"]
    if location["client_certificate"]:
        expected, with_token = client_certificate.ANSWERS, None
    if _is_refused(location, client):
        expected, with_token = (403,), None

    def finding(level: str, words: str) -> Finding:
        return Finding(level, "location", path, f"{path} {words}")

    # No upstream is asked for such a client, so the answer is the gate's own.
    if without == DRAINING and 101 not in expected:
        words = "takes no new sessions (503): the host is drained; playbook undrain puts it back"
        return [finding(WARNING, words)]
    found = []
    # 429 is an answer of the limits, and says nothing of the rest
    if without not in (*expected, 429):
        words = " or ".join(str(status) for status in expected)
        found.append(finding(CRITICAL, f"answers {status_text(without)} to a client without a token, not {words}"))
    if with_token is not None and with_token not in (101, 429):
        found.append(finding(CRITICAL, f"answers {status_text(with_token)} to a client with a token, not 101"))
    return found


def _server_problems(server: Mapping[str, Any], days: int) -> list[Finding]:
    if server["tls"] and not server["tls_versions"]:
        return [Finding(CRITICAL, "server", "", f"nothing answers in TLS at {server['address']}")]
    found = []
    old = [version for version in server["tls_versions"] if version in OLD_TLS]
    if old:
        found.append(Finding(WARNING, "server", "", f"it speaks {', '.join(old)}, which clients have given up"))
    for certificate in server["certificates"]:
        found += _certificate_problems(certificate, days)
    authority = server["client_authority"]
    if authority:
        problems = [(CRITICAL, problem) for problem in authority["problems"]]
        for key, what in (("days_left", "the authority"), ("crl_days_left", "the revocation list")):
            left = authority.get(key)
            if left is not None and 0 <= left < days:
                problems.append((WARNING, f"{what} ends in {left} days; every client is refused from then on"))
        found += [Finding(level, "authority", "", f"client certificates: {words}") for level, words in problems]
    for location in server["locations"]:
        found += _location_problems(location, server.get("client_address"))
    return found


def _host_problems(result: Mapping[str, Any]) -> list[Finding]:
    """What is wrong beside the servers."""
    found = [
        # Without a key every token of the issuer is refused; else those that nginx has go on.
        Finding(WARNING if issuer["key_count"] else CRITICAL, "issuer", issuer["name"], problem)
        for issuer in result.get("issuers", [])
        for problem in issuer["problems"]
    ]
    # The agent reports key sets, too.
    known = {finding.problem for finding in found}
    agent = dict.fromkeys(result.get("pruner", {}).get("problems", []))
    found = [Finding(CRITICAL, "agent", "", problem) for problem in agent if problem not in known] + found
    taken_back = result.get("revocations") or {}
    if taken_back.get("totals"):
        found += [Finding(CRITICAL, "revocations", "", problem) for problem in taken_back["problems"]]
    # Nobody's session is in danger, but nobody would be told if one were.
    found += [Finding(WARNING, "metrics", "", problem) for problem in result.get("metrics") or []]
    capacity = result.get("capacity")
    if capacity and capacity["problem"]:
        found.append(Finding(WARNING, "capacity", "", capacity["problem"]))
    return list({(finding.part, finding.problem): finding for finding in found}.values())


def report(results: Mapping[str, Any], days: int) -> dict[str, Any]:
    """Everything, for a program; problems holds what is wrong already or will be within the days."""
    days = int(days)  # ansible-core before 2.19 hands a filter the text of a templated number
    found: dict[str, Any] = {name: {} for name in ("hosts", "revocations", "issuers", "agents", "capacities")}
    problems: list[dict[str, str]] = []
    for host, result in sorted(results.items()):
        if not isinstance(result, Mapping) or "targets" not in result:
            problems.append(levels.not_asked(result).entry(host, ""))
            continue
        found["hosts"][host] = result["targets"]
        found["issuers"][host] = result.get("issuers", [])
        problems += [finding.entry(host, "") for finding in _host_problems(result)]
        taken_back = result.get("revocations") or {}
        if taken_back.get("totals"):
            found["revocations"][host] = {name: int(count) for name, count in taken_back["totals"].items()}
        agent = result.get("pruner") or {}
        if "problems" in agent:
            found["agents"][host] = {"scheduler": agent.get("scheduler", ""), "problems": list(agent["problems"])}
        if result.get("capacity"):
            found["capacities"][host] = dict(result["capacity"])
        for server in result["targets"]:
            problems += [finding.entry(host, server["name"]) for finding in _server_problems(server, days)]
    return {"days": days, **found, "problems": problems}


def status_text(status: int | None) -> str:
    """The status of an answer as people read it."""
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
            versions_text(server),
            _group(server),
        )
    names = ", ".join(name.partition(":")[2] for name in certificate["subject_alt_names"])
    issuer = "itself" if certificate["self_signed"] else certificate["issuer"]
    return (
        host,
        server["name"],
        certificate_name(certificate),
        _shortened(names),
        _shortened(issuer),
        f"{certificate['days_left']}d",
        certificate["key_type"],
        "wrong" if certificate["problems"] else "ok" if certificate["served"] else "not served",
        versions_text(server),
        _group(server),
    )


def _issuer_row(host: str, issuer: Mapping[str, Any]) -> tuple[str, ...]:
    kids = ", ".join(kid or "-" for kid in issuer["kids"])
    return (
        host,
        issuer["name"],
        f"{issuer['key_count']}" + (f" ({_shortened(kids)})" if kids else ""),
        " ".join(issuer["algorithms"]),
        fetched_text(issuer),
    )


def fetched_text(issuer: Mapping[str, Any]) -> str:
    """How old the keys of an issuer are."""
    age = issuer["fetched_seconds_ago"]
    return "from the inventory" if not issuer["jwks_url"] else "not yet" if age is None else f"{_age(age)} ago"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def versions_text(server: Mapping[str, Any]) -> str:
    """The versions of TLS that a server speaks."""
    return "+".join(version.replace("TLSv", "") for version in server["tls_versions"]) or "-"


def _group(server: Mapping[str, Any]) -> str:
    return server.get("key_exchange_group") or "-"


def revocations_text(totals: Mapping[str, int]) -> str:
    """How many signed tokens and subjects are taken back."""
    words = [
        f"{count} {name if count != 1 else name[:-1]}"
        for name, count in totals.items()
        if name in ("tokens", "subjects")
    ]
    return ", ".join(words)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def lines(results: Mapping[str, Any], days: int) -> list[str]:
    """The same for a person."""
    return lines_of(report(results, days))


def auth_text(server: Mapping[str, Any], location: Mapping[str, Any]) -> str:
    """What a location asks for, and whether this host is let in at all."""
    words = location["auth"] + (" + certificate" if location["client_certificate"] else "")
    refused = _is_refused(location, server.get("client_address"))
    return words + (f", not from {server['client_address']}" if refused else "")


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """A report for a person."""
    certificates = [tuple(name.upper() for name in COLUMNS)]
    answers = [tuple(name.upper() for name in ANSWER_COLUMNS)]
    for host, servers in found["hosts"].items():
        for server in servers:
            certificates += [_certificate_row(host, server, certificate) for certificate in server["certificates"]]
            for location in server["locations"]:
                where = f"{server['server_name']}{location['path']}"
                asked = auth_text(server, location)
                answers.append(
                    (host, where, asked, status_text(location["without_token"]), status_text(location["with_token"]))
                )
    text = _aligned(certificates) + [""] + _aligned(answers) + [""]
    issuers = [_issuer_row(host, issuer) for host, some in found["issuers"].items() for issuer in some]
    if issuers:
        text += _aligned([tuple(name.upper() for name in ISSUER_COLUMNS), *issuers]) + [""]
    text += [
        f"{host}: taken back of signed tokens: {revocations_text(totals)}"
        for host, totals in found["revocations"].items()
    ]
    for entry in found["problems"]:
        where = f"{entry['host']}, server {entry['server']}" if entry["server"] else entry["host"]
        text.append(f"WRONG {where}: {entry['problem']}")
    if not found["problems"]:
        text.append(f"Nothing will break within {found['days']} days.")
    return text
