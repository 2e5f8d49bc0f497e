# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The port by which a scraper reads a balancer's or a hub's metrics: HAProxy's there, as nginx's is on a gate.

Addresses are asked for always: whoever may try passwords has a balancer work for each.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ..module_utils._certificates.paths import pair_paths
from . import _htpasswd
from ._certificates.providers import PROVIDERS
from ._gate import addresses
from ._gate.patterns import FILE_PATH
from ._problems import WHOLE_NUMBER, Problems

BALANCER, HUB = "balancer", "hub"
GROUPS = {BALANCER: "wss_balancers", HUB: "wss_hubs"}
GATES = "wss_proxies"
# Section and files of HAProxy's.
NAME = "wssgate-metrics"
# What is read of the host, each of the role whose name it begins with.
VARIABLES = (
    "monitoring_enabled",
    "monitoring_listen",
    "monitoring_balancer_listen",
    "monitoring_hub_listen",
    "monitoring_hub_exporter_port",
    "monitoring_scrape_exporter_port",
    "monitoring_certificate",
    "monitoring_allow_from",
    "monitoring_htpasswd_file",
    "monitoring_client_certificates",
    "certificates_list",
    "certificates_directory",
    "htpasswd_files",
    "htpasswd_salt_seed",
    "balancer_services",
    "token_hub_port",
    "token_hub_sentinel_port",
)
LISTEN_DEFAULTS: t.Dict[str, t.Any] = {"port": None, "address": ""}
CLIENT_DEFAULTS: t.Dict[str, t.Any] = {"ca_path": "", "crl_path": "", "depth": 1}
_USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
# What crypt(3) has on all of these systems; HAProxy has nothing else.
_HASH = re.compile(r"\$(?:5|6|2[aby])\$[A-Za-z0-9./$=]+")

Values = t.Mapping[str, t.Any]


def is_served(values: Values, problems: Problems) -> bool:
    """Whether the role has the port on a balancer or a hub: not where an exporter of the operator's own is scraped."""
    where = "monitoring"
    own = problems.number(where, "monitoring_scrape_exporter_port", values["monitoring_scrape_exporter_port"], 0, 65535)
    return problems.flag(where, "monitoring_enabled", values["monitoring_enabled"]) and not own


def listen_name(kind: str, values: Values) -> str:
    """The variable that has the listeners."""
    own = f"monitoring_{kind}_listen"
    return own if values[own] else "monitoring_listen"


def read(
    kind: str, host: str, groups: t.Collection[str], values: Values, is_hashed: bool = False
) -> t.Dict[str, t.Any]:
    """The port of a balancer or a hub as templates render it; ``problems`` is all that is wrong.

    ``groups`` are those that the host is in. Hashing takes a third of a second, so that passwords are left out where
    they are not asked for (``is_hashed``).
    """
    problems = Problems()
    model: t.Dict[str, t.Any] = {"kind": kind, "name": NAME, "is_served": is_served(values, problems)}
    if model["is_served"]:
        where = f"monitoring of {kind} {host!r}"
        model.update(
            {
                "listeners": _listeners(problems, where, kind, values),
                "pair": _pair(problems, where, values),
                "networks": _networks(problems, where, values),
                "users": _users(problems, where, host, values, is_hashed),
                "client_certificates": _client_certificates(problems, where, values),
                "exporter_port": problems.number(
                    where, "monitoring_hub_exporter_port", values["monitoring_hub_exporter_port"], 1, 65535
                ),
            }
        )
        _check_password(problems, where, model)
        _check_ports(problems, where, kind, groups, values, model)
        model["ports"] = [entry["port"] for entry in model["listeners"]]
    model["problems"] = problems.found
    return model


def _listeners(problems: Problems, where: str, kind: str, values: Values) -> t.List[t.Dict[str, t.Any]]:
    name = listen_name(kind, values)
    found: t.List[t.Dict[str, t.Any]] = []
    for here, item in problems.entries(where, name, values[name]):
        options = problems.options(here, item, LISTEN_DEFAULTS)
        address = str(options["address"] or "").strip("[]")
        try:
            parsed = ipaddress.ip_address(address) if address else None
        except ValueError:
            problems.add(here, f"address {address!r} is not an IP address")
            parsed = None
        at = "" if parsed is None else f"[{parsed}]" if parsed.version == 6 else str(parsed)
        entry = {"address": at, "port": problems.number(here, "port", options["port"], 1, 65535)}
        if entry in found:
            problems.add(where, f"{name} has {at}:{entry['port']} twice; keep one")
        found.append(entry)
    if not found:
        problems.add(where, f"{name} is empty; name a port, such as [{{port: 9443}}]")
    return found


def _pair(problems: Problems, where: str, values: Values) -> t.Dict[str, str]:
    name = str(values["monitoring_certificate"] or "")
    given = values["certificates_list"]
    known = {
        str(item["name"]): item
        for item in (given if isinstance(given, (list, tuple)) else [])
        if isinstance(item, t.Mapping) and item.get("name")
    }
    if name not in known:
        problems.add(
            where,
            f"monitoring_certificate {name!r} is not in certificates_list of this host (there: "
            f"{', '.join(sorted(known)) or 'none'}); add it there, or name one of these",
        )
        return {"certificate_path": "", "key_path": ""}
    own = known[name]
    provider = PROVIDERS.get(str(own.get("provider")))
    if provider and provider.needs_gate:
        problems.add(
            where,
            f"monitoring_certificate {name!r} has provider {provider.name}, whose authority asks an nginx that is not "
            "here; take "
            "another provider",
        )
    paths = pair_paths(str(values["certificates_directory"]), name, own.get("certificate_path"), own.get("key_path"))
    return {
        key: problems.matches(where, f"{key} of certificate {name!r}", path, FILE_PATH, "an absolute path")
        for key, path in (("certificate_path", paths.certificate), ("key_path", paths.key))
    }


def _networks(problems: Problems, where: str, values: Values) -> t.List[str]:
    name = "monitoring_allow_from"
    networks: t.List[t.Any] = list(addresses.networks_of(problems, where, name, values[name]))
    if not values[name]:
        problems.add(
            where, f"{name} is empty, and metrics are for the scraper alone; set it to the scraper's addresses"
        )
    for version in (4, 6):
        whole = ipaddress.collapse_addresses(one for one in networks if one.version == version)
        if any(network.prefixlen == 0 for network in whole):
            problems.add(
                where, f"{name} is the whole Internet of IPv{version}, which protects nothing; name the scraper's "
                "addresses only"
            )  # fmt: skip
    return [str(network) for network in networks]


def _users(problems: Problems, where: str, host: str, values: Values, is_hashed: bool) -> t.List[t.Dict[str, str]]:
    path = str(values["monitoring_htpasswd_file"] or "")
    if not path:
        return []
    files = values["htpasswd_files"] if isinstance(values["htpasswd_files"], (list, tuple)) else []
    own = [item for item in files if isinstance(item, t.Mapping) and str(item.get("path")) == path]
    if not own:
        problems.add(
            where,
            f"monitoring_htpasswd_file {path!r} is not in htpasswd_files of this host; HAProxy has passwords in its "
            "configuration, so add it there",
        )
        return []
    wrong = _htpasswd.htpasswd_problems(own)
    if wrong:
        problems.found += [f"{where}: {words}" for words in wrong]
        return []
    digests: t.Dict[str, str] = {}
    if is_hashed:
        text = _htpasswd.htpasswd_content(own[0], host, str(values["htpasswd_salt_seed"] or ""))
        digests = dict(line.split(":", 1) for line in text.splitlines())
    found = []
    for user in own[0]["users"]:
        name = str(user["name"])
        if not _USER.fullmatch(name):
            problems.add(where, f"user {name!r} of {path} has other letters than HAProxy takes (A-Z a-z 0-9 . _ @ -)")
        elif user.get("hash") is not None and not _HASH.fullmatch(str(user["hash"])):
            problems.add(
                where,
                f"the hash of user {name!r} of {path} is of a kind that nginx alone knows; give password, or a hash "
                "that begins with $6$, $5$ or $2y$",
            )
        else:
            found.append({"name": name, "hash": digests.get(name, "")})
    return found


def _client_certificates(problems: Problems, where: str, values: Values) -> t.Dict[str, t.Any]:
    given = values["monitoring_client_certificates"]
    if not given:
        return {}
    here = f"{where}, monitoring_client_certificates"
    options = problems.options(here, given, CLIENT_DEFAULTS)
    problems.number(here, "depth", options["depth"], 1, 10)
    return {
        "ca_path": problems.matches(
            here, "ca_path", options["ca_path"], FILE_PATH, "the absolute path of the authority's certificate"
        ),
        "crl_path": problems.optional(here, "crl_path", options["crl_path"], FILE_PATH, "an absolute path"),
    }


def _check_password(problems: Problems, where: str, model: Values) -> None:
    if not model["users"] and not model["client_certificates"] and not problems.found:
        problems.add(
            where,
            "an address alone would open the metrics; set monitoring_htpasswd_file or monitoring_client_certificates, "
            "too",
        )


def _check_ports(
    problems: Problems, where: str, kind: str, groups: t.Collection[str], values: Values, model: Values
) -> None:
    """Each port is one thing's."""
    name = listen_name(kind, values)
    taken = _taken(kind, groups, values, model)
    for entry in model["listeners"]:
        if entry["port"] in taken:
            problems.add(
                where, f"port {entry['port']} of {name} is that of {taken[entry['port']]}; set another in "
                f"monitoring_{kind}_listen"
            )  # fmt: skip
    if kind == HUB and model["exporter_port"] in _ports_of(GROUPS[BALANCER] in groups, groups, values):
        words = _ports_of(GROUPS[BALANCER] in groups, groups, values)[model["exporter_port"]]
        problems.add(
            where, f"port {model['exporter_port']} of monitoring_hub_exporter_port is that of {words}; set another"
        )


def _taken(kind: str, groups: t.Collection[str], values: Values, model: Values) -> t.Dict[int, str]:
    found = _ports_of(GROUPS[BALANCER] in groups, groups, values)
    if GATES in groups:
        found |= dict.fromkeys(_given_ports(values["monitoring_listen"]), "the gate's metrics on this host")
    if kind == HUB:
        found[model["exporter_port"]] = "monitoring_hub_exporter_port"
        if GROUPS[BALANCER] in groups:
            name = listen_name(BALANCER, values)
            found |= dict.fromkeys(_given_ports(values[name]), "the balancer's metrics on this host")
    return found


def _ports_of(is_balancer: bool, groups: t.Collection[str], values: Values) -> t.Dict[int, str]:
    """Ports of what is not metrics."""
    found: t.Dict[int, str] = {}
    if is_balancer:
        services = values["balancer_services"]
        for item in services if isinstance(services, (list, tuple)) else ():
            if isinstance(item, t.Mapping):
                for port in _given_ports([{"port": 443, **item}]):
                    found[port] = f"service {item.get('name')!r} of balancer_services"
    if GROUPS[HUB] in groups:
        for name in ("token_hub_port", "token_hub_sentinel_port"):
            found |= dict.fromkeys(_given_ports([{"port": values[name]}]), name)
    return found


def _given_ports(given: t.Any) -> t.List[int]:
    items = given if isinstance(given, (list, tuple)) else ()
    ports = [str(item.get("port")) for item in items if isinstance(item, t.Mapping)]
    return [int(port) for port in ports if WHOLE_NUMBER.fullmatch(port)]
