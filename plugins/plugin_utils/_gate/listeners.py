# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server listens, whom it redirects there, and which load balancers it takes a client's address from."""

from __future__ import annotations

import ipaddress
import typing as t

from .context import Gate
from .options import LISTEN_DEFAULTS
from .patterns import ADDRESS, GROUP_NAME, HEADER_NAME, MODE, NETWORK, is_address


def read(gate: Gate, where: str, given: t.Any, has_trusted: bool) -> t.List[t.Dict[str, t.Any]]:
    problems = gate.problems
    listeners = []
    if not given:
        problems.add(where, "listen is empty; name at least one port, such as [{port: 443}]")
    for here, item in problems.entries(where, "listen", given):
        options = problems.options(here, item, LISTEN_DEFAULTS)
        unix = gate.path(here, "unix", options["unix"])
        address = _address(gate, here, options["address"])
        port = 0
        if unix:
            gate.unix_path(here, unix)
            if options["port"] is not None or options["address"]:
                problems.add(here, "a unix socket has neither port nor address; name one of them only")
        elif options["port"] is None:
            problems.add(here, "it names neither a port nor a unix socket; name one")
        else:
            port = problems.number(here, "port", options["port"], 1, 65535)
        if not isinstance(options["unix_mode"], str):
            # YAML reads a bare 0660 as the number 432, which would pass for another mode.
            problems.add(here, "unix_mode is not quoted; write it as '0660'")
        proxy_protocol = problems.flag(here, "proxy_protocol", options["proxy_protocol"])
        if proxy_protocol and not has_trusted:
            problems.add(
                here,
                "proxy_protocol without trusted_proxies would let every client choose its address; name the proxies",
            )
        listeners.append(
            {
                "port": port,
                "address": address,
                "unix": unix,
                "unix_group": problems.optional(
                    here, "unix_group", options["unix_group"], GROUP_NAME, "a group's name"
                ),
                "unix_mode": problems.matches(
                    here, "unix_mode", options["unix_mode"], MODE, "an octal mode such as '0660'"
                ),
                "addresses": [f"unix:{unix}"] if unix else _addresses(gate, address, port),
                "tls": problems.flag(here, "tls", options["tls"]),
                "proxy_protocol": proxy_protocol,
                "default_server": problems.flag(here, "default_server", options["default_server"]),
            }
        )
    return listeners


def _addresses(gate: Gate, address: str, port: int) -> t.List[str]:
    """What nginx's listen takes, one spelling for each address; without one, every address of the host."""
    if address == "0.0.0.0":
        return [str(port)]
    if address:
        return [f"{address}:{port}"]
    return [str(port)] + ([f"[::]:{port}"] if gate.context["ipv6"] else [])


def _address(gate: Gate, where: str, given: t.Any) -> str:
    """An address in one spelling, so that two that are the same are seen to be."""
    text = str(given or "")
    if not text:
        return ""
    if not ADDRESS.fullmatch(text) or not is_address(text):
        gate.problems.add(where, f"address {text!r} is not an IP address")
        return ""
    parsed = ipaddress.ip_address(text.strip("[]"))
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)


def redirect(
    gate: Gate, where: str, listeners: t.Sequence[t.Mapping[str, t.Any]], options: t.Mapping[str, t.Any]
) -> t.Optional[t.Dict[str, t.Any]]:
    """The plain port that sends browsers to https, on the addresses that https is served on."""
    problems = gate.problems
    given = options["http_redirect_enabled"]
    is_enabled = (
        gate.context["http_redirect_enabled"] if given is None else problems.flag(where, "http_redirect_enabled", given)
    )
    port = options["http_redirect_port"]
    port = problems.number(
        where, "http_redirect_port", gate.context["http_redirect_port"] if port is None else port, 1, 65535
    )
    secure = [entry for entry in listeners if entry["tls"] and entry["port"]]
    if not is_enabled or not secure:
        return None
    hosts = list(dict.fromkeys(entry["address"] for entry in secure))
    return {
        "port": port,
        "to": "" if secure[0]["port"] == 443 else f":{secure[0]['port']}",
        "addresses": [address for host in ([""] if "" in hosts else hosts) for address in _addresses(gate, host, port)],
    }


def has_proxy_protocol(given: t.Any) -> bool:
    """Whether any of the listeners, as an operator wrote them, has it."""
    return isinstance(given, (list, tuple)) and any(
        isinstance(item, t.Mapping) and str(item.get("proxy_protocol")).lower() in ("true", "yes", "on", "1")
        for item in given
    )


def balancers_by_address(gate: Gate) -> t.Tuple[t.List[str], t.List[str]]:
    """The balancers of the inventory: addresses, and names of those whose address is not known."""
    given = gate.context["balancers"] if isinstance(gate.context["balancers"], (list, tuple)) else []
    known: t.List[str] = []
    unknown: t.List[str] = []
    for item in map(str, given):
        (known if is_address(item) else unknown).append(item)
    return known, unknown


def balancers(gate: Gate, where: str) -> t.List[str]:
    """The balancers of the inventory, which a server trusts that names nobody."""
    known, unknown = balancers_by_address(gate)
    if unknown:
        gate.problems.add(
            where,
            f"where {', '.join(unknown)} comes from is not known, and the PROXY protocol is believed from there; set "
            "balancer_address for it, run without --limit, so that its facts are gathered, or set trusted_proxies",
        )
    return known


def trusted_proxies(gate: Gate, where: str, given: t.Any) -> t.List[str]:
    trusted = []
    networks: t.List[t.Any] = []
    for index, item in enumerate(gate.problems.items(where, "trusted_proxies", given)):
        here = f"{where}, trusted_proxies[{index}]"
        text = str(item)
        if text == "unix:":
            trusted.append(text)
            continue
        try:
            if not NETWORK.fullmatch(text):
                raise ValueError("such as 192.0.2.7 or 10.0.0.0/8")
            network = ipaddress.ip_network(text)
        except ValueError as error:
            gate.problems.add(here, f"{text!r} is not an address or a network in CIDR notation ({error})")
            continue
        if network.prefixlen == 0:
            gate.problems.add(
                here,
                f"{text} would trust the whole Internet to name a client's address; name the load balancers only",
            )
        else:
            networks.append(network)
        trusted.append(str(network))
    for version in (4, 6):
        if any(
            whole.prefixlen == 0 for whole in ipaddress.collapse_addresses(n for n in networks if n.version == version)
        ):
            # Such as 0.0.0.0/1 and 128.0.0.0/1.
            gate.problems.add(
                f"{where}, trusted_proxies",
                f"these together would trust the whole Internet of IPv{version} to name a client's address; name the "
                "load balancers only",
            )
    return trusted


def real_ip_header(
    gate: Gate, where: str, given: t.Any, listeners: t.Sequence[t.Mapping[str, t.Any]], trusted: t.Sequence[str]
) -> str:
    """Where the load balancers name the client; nothing without load balancers."""
    has_proxy_protocol = any(entry["proxy_protocol"] for entry in listeners)
    # nginx's own word, as in its real_ip_header.
    if given == "proxy_protocol" and has_proxy_protocol:
        given = ""
    header = gate.problems.optional(
        where,
        "real_ip_header",
        given,
        HEADER_NAME,
        "a header's name (proxy_protocol goes with a listener that has it)",
    )
    if not trusted:
        if header:
            gate.problems.add(
                where,
                "real_ip_header without trusted_proxies would let every client choose its address; name the proxies",
            )
        return ""
    return header or ("proxy_protocol" if has_proxy_protocol else "X-Forwarded-For")
