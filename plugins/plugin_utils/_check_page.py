# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbook check found, as one page of HTML that needs nothing else and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import _check_levels as levels
from . import _check_report as gates
from . import _check_summary as summaries
from ._check_style import STYLE
from ._hub import report as _hub_report

TITLES = {"gates": "Gates", "balancers": "Balancers", "hubs": "Hub"}
VERDICTS = {
    levels.CRITICAL: "Something is wrong now",
    levels.UNKNOWN: "Not everything could be asked",
    levels.WARNING: "Something is about to be wrong",
}


class Html(str):
    """Markup that was made here. Any other text is escaped where it is put in."""


class Item(NamedTuple):
    """One thing of a host: what it is, what was found of it, and by which part and name problems are about it."""

    title: str
    facts: Sequence[tuple[str, Any]]
    part: str
    name: str = ""
    server: str = ""


def _escaped(text: Any) -> str:
    return html.escape(summaries.plain(text), quote=True)


def _element(name: str, *children: Any, **attributes: str) -> Html:
    opened = "".join(f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"' for key, value in attributes.items())
    inner = "".join(child if isinstance(child, Html) else _escaped(child) for child in children)
    return Html(f"<{name}{opened}>{inner}</{name}>")


def _joined(parts: Iterable[Html]) -> Html:
    """One part a line, so that a page can be compared with another."""
    return Html("".join(f"\n{part}" for part in parts) + "\n")


def _badge(level: str) -> Html:
    return _element("span", level, class_=f"badge {level}")


# What is shown of each host


def _certificate_item(server: Mapping[str, Any], certificate: Mapping[str, Any]) -> Item:
    title = f"Certificate {gates.certificate_name(certificate)}"
    place = ("certificate", gates.certificate_name(certificate), server["name"])
    if "days_left" not in certificate:
        return Item(title, [("Server", server["name"]), ("File", "unreadable")], *place)
    facts = [
        ("Server", server["name"]),
        ("Names", ", ".join(name.partition(":")[2] for name in certificate["subject_alt_names"])),
        ("Issuer", "itself" if certificate["self_signed"] else certificate["issuer"]),
        ("Ends", f"{certificate['not_after']}, {certificate['days_left']} days left"),
        ("Key", certificate["key_type"]),
        ("Served", "yes" if certificate["served"] else "no"),
    ]
    return Item(title, facts, *place)


def _authority_item(server: Mapping[str, Any]) -> Item:
    authority = server["client_authority"]
    labels = {
        "days_left": "Days left", "revoked": "Revoked", "crl_days_left": "Days left of the revocation list",
    }  # fmt: skip
    facts = [("Server", server["name"])]
    facts += [(label, authority[key]) for key, label in labels.items() if authority.get(key) is not None]
    return Item("Authority of clients", facts, "authority", server=server["name"])


def _server_items(server: Mapping[str, Any]) -> Iterator[Item]:
    facts = [("Asked at", server["address"]), ("TLS", gates.versions_text(server))]
    facts += [("Key exchange", server["key_exchange_group"])] if server.get("key_exchange_group") else []
    yield Item(f"Server {server['name']}", facts, "server", server=server["name"])
    for certificate in server["certificates"]:
        yield _certificate_item(server, certificate)
    if server["client_authority"]:
        yield _authority_item(server)
    for location in server["locations"]:
        facts = [
            ("Server", server["name"]),
            ("Asks for", gates.auth_text(server, location)),
            ("Without token", gates.status_text(location["without_token"])),
            ("With token", gates.status_text(location["with_token"])),
        ]
        title = f"Location {server['server_name']}{location['path']}"
        yield Item(title, facts, "location", location["path"], server["name"])


def _gate_items(found: Mapping[str, Any], host: str) -> Iterator[Item]:
    for server in found["hosts"].get(host, []):
        yield from _server_items(server)
    if host in found["agents"]:
        runner = found["agents"][host]["scheduler"] or "none"
        yield Item("Agent", [("Expired tokens are removed by", runner)], "agent")
    for issuer in found["issuers"].get(host, []):
        facts = [
            ("Issuer", issuer["issuer"]),
            ("Keys", f"{issuer['key_count']}" + "".join(f", {kid}" for kid in issuer["kids"] if kid)),
            ("Algorithms", " ".join(issuer["algorithms"])),
            ("Fetched", gates.fetched_text(issuer)),
        ]
        facts += [("Left out", words) for words in issuer["left_out"]]
        yield Item(f"Key set {issuer['name']}", facts, "issuer", issuer["name"])
    if host in found["revocations"]:
        totals = gates.revocations_text(found["revocations"][host])
        yield Item("Signed tokens taken back", [("Entries", totals)], "revocations")
    if host in found["capacities"]:
        capacity = found["capacities"][host]
        facts = [("Sessions asked for", capacity.get("wanted", "-")), ("Carried", capacity.get("sessions", "-"))]
        facts += [("Workers", capacity["workers"])] if "workers" in capacity else []
        yield Item("Capacity", facts, "capacity")


def _balancer_items(found: Mapping[str, Any], host: str) -> Iterator[Item]:
    state = found["balancers"]["hosts"].get(host)
    if state is None:
        return
    haproxy, keepalived = state["haproxy"], state["keepalived"]
    facts = [("Version", haproxy["version"] or "does not answer"), ("Sessions", haproxy["sessions"])]
    yield Item("HAProxy", facts, "haproxy")
    for service in haproxy["services"]:
        facts = [("Sessions", service["sessions"])]
        for gate in service["gates"]:
            facts.append((gate["name"], " ".join(filter(None, (gate["state"], gate["check"], f"{gate['sessions']}")))))
        yield Item(f"Service {service['name']}", facts, "service", service["name"])
    if keepalived["addresses"]:
        yield Item("keepalived", [("Runs", "yes" if keepalived["running"] else "no")], "keepalived")
    for entry in keepalived["addresses"]:
        facts = [("Held here", "yes" if entry["held"] else "no")]
        yield Item(f"Address {entry['address']}", facts, "address", entry["address"])


def _hub_items(found: Mapping[str, Any], host: str) -> Iterator[Item]:
    state = found["hubs"]["hosts"].get(host)
    if state is None:
        return
    yield Item("Server", _hub_report.facts(state["server"]), "hub")


ITEMS = {"gates": _gate_items, "balancers": _balancer_items, "hubs": _hub_items}


# The page


def _item(item: Item, problems: Sequence[Mapping[str, Any]]) -> Html:
    level = levels.worst(problem["level"] for problem in problems)
    facts = [Html(_element("dt", label) + _element("dd", value)) for label, value in item.facts]
    parts = [_element("h4", _element("span", item.title), _badge(level)), _element("dl", *facts)]
    parts += [_element("p", problem["problem"], class_="wrong") for problem in problems]
    return _element("li", *parts, class_=f"item {level}")


def _is_about(problem: Mapping[str, Any], item: Item) -> bool:
    own = (problem["part"], problem["name"], problem.get("server", ""))
    return own == (item.part, item.name, item.server)


class _Host(NamedTuple):
    kind: str
    name: str
    level: str
    items: Sequence[Item]
    problems: Sequence[Mapping[str, Any]]


def _hosts(found: Mapping[str, Any], kind: str, known: Sequence[tuple[str, Mapping[str, Any]]]) -> list[_Host]:
    """The hosts of a kind, the worst first."""
    hosts = []
    for name in found["asked"][kind]:
        problems = [problem for of_kind, problem in known if of_kind == kind and problem["host"] == name]
        level = levels.worst(problem["level"] for problem in problems)
        hosts.append(_Host(kind, name, level, list(ITEMS[kind](found, name)), problems))
    return sorted(hosts, key=lambda host: -levels.LEVELS.index(host.level))


def _host(host: _Host, anchor: str) -> Html:
    shown: list[tuple[str, Html]] = []
    rest = list(host.problems)
    for item in host.items:
        about = [problem for problem in host.problems if _is_about(problem, item)]
        rest = [problem for problem in rest if problem not in about]
        shown.append((levels.worst(problem["level"] for problem in about), _item(item, about)))
    shown.sort(key=lambda entry: -levels.LEVELS.index(entry[0]))
    # What is about nothing that is shown: above all, that the host could not be asked.
    parts = [_element("h3", _element("span", host.name), _badge(host.level))]
    parts += [_element("p", problem["problem"], class_=f"wrong {problem['level']}") for problem in rest]
    if shown:
        parts.append(_element("ul", _joined(one for _level, one in shown), class_="items"))
    return _element("section", _joined(parts), class_=f"host {host.level}", id=anchor)


def _problem(problem: Mapping[str, Any], anchor: str | None) -> Html:
    words = summaries.where(problem)
    place = _element("a", words, href=f"#{anchor}") if anchor else _element("strong", words)
    return _element("li", _badge(problem["level"]), _element("p", place, ": ", problem["problem"]))


def page(found: Mapping[str, Any]) -> str:
    """Return the page."""
    known = list(summaries.problems(found))
    hosts = {kind: _hosts(found, kind, known) for kind in TITLES}
    anchors = {(kind, host.name): f"{kind}-{number}" for kind in hosts for number, host in enumerate(hosts[kind])}
    status = found["status"]
    calm = f"Nothing will break within {found['days']} days"
    counts = summaries.counts_text(found)
    verdict = VERDICTS.get(status, calm) + (f": {counts}" if counts else "")
    body = [
        _element(
            "header",
            _element("h1", "wssgate check"),
            _element("p", f"{summaries.counted(found)}, asked at {found['time']}", class_="muted"),
            _element("p", verdict, class_=f"verdict {status}"),
        )
    ]
    if known:
        listed = [_problem(problem, anchors.get((kind, problem["host"]))) for kind, problem in known]
        parts = [_element("h2", "What is wrong"), _element("ul", _joined(listed), class_="problems")]
        body.append(_element("section", _joined(parts)))
    for kind, title in TITLES.items():
        cards = [_host(host, anchors[kind, host.name]) for host in hosts[kind]]
        if cards:
            body.append(_element("section", _joined([_element("h2", title), *cards])))
    digest = base64.b64encode(hashlib.sha256(STYLE.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    head = [
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        # Without it a browser asks the server that the page lies on for /favicon.ico.
        Html('<link rel="icon" href="data:,">'),
        _element("title", f"wssgate check: {status}"),
        Html(f"<style>{STYLE}</style>"),
    ]
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{_joined(head)}</head>\n<body>{_joined(body)}</body>\n</html>\n'
