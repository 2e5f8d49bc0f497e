# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's hosts: what role token_hub renders, and what gates have to know of it."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ...module_utils._hub import keys
from .. import _role_variables
from .._problems import Problems, shown
from . import acl, settings

GROUP = "wss_hubs"
# Facts that the role sets: SHA-256 of the passwords that a host has made, and the authority of the hub.
HASHES, AUTHORITY = "token_hub_hashes", "token_hub_authority"
# Of role monitoring: whether a host serves metrics.
MONITORED = "monitoring_enabled"
# On gates
CLIENT_FOLDER = "/etc/wssgate/hub"
CLIENT_CA, CLIENT_PASSWORD = f"{CLIENT_FOLDER}/ca.pem", f"{CLIENT_FOLDER}/password"
# On hubs
FOLDER, DATA = "/etc/wssgate/token_hub", "/var/lib/wssgate-hub"
PASSWORDS = f"{FOLDER}/passwords"
SERVICE, SENTINEL_SERVICE = "wssgate-hub", "wssgate-hub-sentinel"

# Made on every hub, by each for itself; an issuer's on the first.
OWN_USERS = (keys.OPERATOR, acl.MONITOR)
REPLICATED_USERS = (acl.REPLICA, acl.SENTINEL)
LEAST_MEMORY = 16 * 1024 * 1024

_BIND = re.compile(r"-?(?:\*|::\*|[0-9A-Fa-f:.]+)")
_HASH = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"^(Redis|Valkey) server v=(\S+)", re.MULTILINE)
_UNIT = re.compile(r"^ExecStart=\S*/(redis|valkey)-server ", re.MULTILINE)
_LINE = re.compile(r"user (\S+) on ((?:#[0-9a-f]{64} )+)")


def found(text: str) -> t.Dict[str, t.Any]:
    """What the role has seen on a host, from what its command printed: the engine of the hub that is there, the engines
    that are installed, with their versions, the file of users, and whether the folder is there.
    """
    installed = {name.lower(): version for name, version in _VERSION.findall(text)}
    unit = _UNIT.search(text)
    return {
        "current": unit[1] if unit else "",
        "installed": installed,
        "users": "".join(f"{line}\n" for line in text.splitlines() if line.startswith("user ")),
        "has_folder": "folder" in text.splitlines(),
    }


class Host(t.NamedTuple):
    """A host of the inventory, with its variables."""

    name: str
    variables: t.Mapping[str, t.Any]

    def value(self, name: str) -> t.Any:
        """A variable, or its role's default."""
        return self.variables[name] if name in self.variables else _role_variables.default_of(name)

    def hashes(self) -> t.Optional[t.Mapping[str, str]]:
        """SHA-256 of the passwords that the host has made, by user; None where it was not asked in this run."""
        found = self.variables.get(HASHES)
        return found if isinstance(found, t.Mapping) else None

    def address(self) -> str:
        """By which gates and other hubs reach it."""
        return str(self.value("token_hub_address") or self.variables.get("ansible_host") or self.name)

    def gate(self) -> str:
        """Its name as a gate."""
        given = self.variables.get(settings.WHERE)
        return str((given.get("gate") if isinstance(given, t.Mapping) else "") or self.name.lower())


class Fleet:
    """The hubs and the gates of an inventory, and what token_store_hub is for all of them."""

    def __init__(self, hubs: t.Sequence[Host], gates: t.Sequence[Host], others: t.Sequence[Host] = ()) -> None:
        self.hubs = list(hubs)
        self.gates = list(gates)
        # Gates of the inventory that wssgate_hosts leaves out
        self.others = list(others)

    def given(self, host: Host) -> t.Any:
        """token_store_hub of a host. A hub that has none takes that of the first gate, where it is usually set."""
        own = host.variables.get(settings.WHERE)
        if own is None and host in self.hubs:
            return next((gate.variables[settings.WHERE] for gate in self.gates if settings.WHERE in gate.variables), {})
        return own or {}

    def nodes(self, problems: Problems) -> t.List[t.Dict[str, t.Any]]:
        """Where each hub is."""
        found: t.List[t.Dict[str, t.Any]] = []
        for hub in self.hubs:
            address = settings.address(hub.address(), 1)
            if address is None:
                problems.add(f"token_hub_address of {hub.name}", f"{shown(hub.address())} is no name and no address")
            node = {
                "name": hub.name,
                "host": hub.address(),
                "port": problems.number(hub.name, "token_hub_port", hub.value("token_hub_port"), 1, 65535),
                "sentinel_port": problems.number(
                    hub.name, "token_hub_sentinel_port", hub.value("token_hub_sentinel_port"), 1, 65535
                ),
            }
            for other in found:
                if other["host"] == node["host"]:
                    problems.add(
                        GROUP,
                        f"{other['name']} and {node['name']} have the same address {node['host']}; set "
                        "token_hub_address of each to one that the gates reach it by",
                    )
            if len(self.hubs) > 1 and node["host"] in ("localhost", "127.0.0.1", "::1"):
                problems.add(
                    GROUP, f"the address of {hub.name} is {node['host']}, which no other host reaches it by; set "
                    "token_hub_address"
                )  # fmt: skip
            found.append(node)
        if len(found) not in (0, 1, 3):
            problems.add(
                GROUP,
                f"it has {len(found)} hosts ({', '.join(hub.name for hub in self.hubs)}), and a hub is one host, or "
                "three, of which two can agree that the third is gone; take some out or add one",
            )
        return found


def client(fleet: Fleet, host: Host, problems: Problems) -> t.Dict[str, t.Any]:
    """What a gate, a playbook or a module on this host has to know: ``is_enabled`` is False where there is no hub."""
    given = fleet.given(host)
    found = settings.read(given, host.name, problems)
    is_own = settings.is_own(given)
    nodes = [] if is_own else fleet.nodes(problems)
    if is_own and fleet.hubs:
        problems.add(
            settings.WHERE,
            f"it names a server of your own, and the group {GROUP} has hosts; leave one of the two out",
        )
    if not is_own and not fleet.hubs and isinstance(given, t.Mapping) and given:
        problems.add(settings.WHERE, f"it names no server (url, or sentinels), and the group {GROUP} has no hosts")
    if nodes:
        for key in ("username", "password_path", "ca_path", "operator_password"):
            if isinstance(given, t.Mapping) and given.get(key):
                problems.add(
                    settings.WHERE, f"{key} is for a server of your own; with hosts in the group {GROUP} leave it out"
                )
    found["is_enabled"] = is_own or bool(nodes)
    found["is_own_server"] = is_own
    if len(nodes) == 1:
        found["server"] = {key: nodes[0][key] for key in ("host", "port")}
    elif nodes:
        found["sentinels"] = [{"host": node["host"], "port": node["sentinel_port"]} for node in nodes]
    if nodes:
        found["ca_path"] = CLIENT_CA
    if not found["password"] and not found["password_path"]:
        found["password_path"] = CLIENT_PASSWORD
    # On hubs, for playbooks that run their module there; for a server of the user's own that runs on the controller.
    found["operator_password_path"] = "" if is_own else f"{PASSWORDS}/{keys.OPERATOR}"
    found["operator_ca_path"] = found["ca_path"] if is_own else f"{FOLDER}/ca.pem"
    found["gate_hosts"] = _gate_names(fleet, host, problems)
    found["gates"] = list(found["gate_hosts"])
    found["hubs"] = [hub.name for hub in fleet.hubs]
    return found


def _gate_names(fleet: Fleet, host: Host, problems: Problems) -> t.Dict[str, str]:
    """The hosts of the inventory by their names in the hub."""
    names: t.Dict[str, str] = {}
    for gate in fleet.gates:
        name = gate.gate()
        if name in names:
            problems.add(settings.WHERE, f"{names[name]} and {gate.name} have the same name in the hub, {name}")
        # What is wrong with this host's own was told before.
        if gate.name != host.name and not keys.GATE.fullmatch(name):
            problems.add(
                settings.WHERE,
                f"the name of gate {gate.name} in the hub, {shown(name)}, has other letters than a-z, 0-9, '-', '_' "
                "and '.', or more than 64; set token_store_hub.gate of that host",
            )
        names[name] = gate.name
    return names


def server(
    fleet: Fleet, host: Host, problems: Problems, engine: t.Mapping[str, t.Any], kept: str = "", primary: str = ""
) -> t.Dict[str, t.Any]:
    """What is rendered on a hub. ``kept`` is the file of users that is there: who was not asked in this run keeps his
    password. ``primary`` is the host that is the primary now; the first becomes it where there is none.
    """
    known = client(fleet, host, problems)
    nodes = fleet.nodes(Problems())
    is_replicated = len(nodes) > 1
    _same_fleet(fleet, known, problems)

    def number(name: str, low: int, high: int) -> int:
        return problems.number(f"token_hub_{name}", "its value", host.value(f"token_hub_{name}"), low, high)

    quorum = number("quorum", 1, 9)
    if is_replicated and not len(nodes) // 2 < quorum <= len(nodes):
        problems.add(
            "token_hub_quorum",
            f"{quorum} of {len(nodes)} Sentinels would have to agree that the primary is gone; it must be 2 or 3: "
            "with fewer each half of a split network would have a primary",
        )
    pair = [f"{FOLDER}/certificates/hub/{name}.pem" for name in ("fullchain", "privkey")]
    ca = f"{FOLDER}/ca.pem"
    model = {
        "engine": dict(engine),
        "name": host.name,
        "host": host.address(),
        "port": number("port", 1, 65535),
        "sentinel_port": number("sentinel_port", 1, 65535),
        "bind": [
            problems.matches("token_hub_bind", "its item", text, _BIND, "an address, or * or -::* for all")
            for text in problems.items("token_hub_bind", "it", host.value("token_hub_bind"))
        ],
        "memory": number("memory", LEAST_MEMORY, 2**40),
        "max_clients": number("max_clients", 16, 60000),
        "appendfsync": problems.choice(
            "token_hub_appendfsync", "its value", host.value("token_hub_appendfsync"), ("always", "everysec")
        ),
        "down_after": number("down_after", 1, 3600),
        "quorum": quorum,
        "service": known["service"],
        "nodes": nodes,
        "is_replicated": is_replicated,
        "is_first": bool(nodes) and nodes[0]["name"] == host.name,
        "primary": next((node for node in nodes if node["name"] == primary), nodes[0] if nodes else {}),
        "fleet": known["fleet"],
        "folder": FOLDER,
        "data": DATA,
        "sentinel_data": f"/var/lib/{SENTINEL_SERVICE}",
        # Where the services have copies of what root alone may read
        "credentials": f"/run/{SERVICE}",
        "sentinel_credentials": f"/run/{SENTINEL_SERVICE}",
        "secrets": [*pair, f"{FOLDER}/users.acl", *((ca, f"{PASSWORDS}/{acl.REPLICA}") if is_replicated else ())],
        "sentinel_secrets": [*pair, ca, f"{FOLDER}/sentinel-users.acl", f"{PASSWORDS}/{acl.SENTINEL}"],
        "units": {"server": SERVICE, "sentinel": SENTINEL_SERVICE},
        # How role monitoring's exporter reaches it
        "exporter": {
            "url": exporter_url(host),
            "user": acl.EXPORTER,
            "password_path": f"{PASSWORDS}/{acl.EXPORTER}",
            "ca_path": ca,
        },
    }
    if model["port"] == model["sentinel_port"]:
        problems.add("token_hub_sentinel_port", f"it is {model['port']}, as is token_hub_port; take another one")
    if not model["bind"]:
        problems.add("token_hub_bind", "it is empty, so nobody could reach the hub; give addresses of this host")
    model.update(_users(fleet, host, known, is_replicated, kept, problems))
    return model


def left_out(fleet: Fleet, kept: str) -> t.List[str]:
    """One sentence where gates follow the hub by its file of users and would not be among these any more."""
    users = {found[1] for found in map(_LINE.match, kept.splitlines()) if found}
    names = [gate.name for gate in fleet.others if keys.gate_user(gate.gate()) in users]
    if not names:
        return []
    return [
        f"wssgate_hosts leaves out {', '.join(names)}, which follow this hub and could not log in any more; for a run "
        "on some of the gates use --limit"
    ]


def _same_fleet(fleet: Fleet, known: t.Mapping[str, t.Any], problems: Problems) -> None:
    """Gates that differ in these would not understand each other."""
    for gate in fleet.gates:
        other = settings.read(fleet.given(gate), gate.name, Problems())
        for key in ("fleet", "issuers"):
            if other[key] != known[key]:
                problems.add(
                    settings.WHERE,
                    f"{key} of {gate.name} differs from that of the hub; set it once for all, in group_vars/all for "
                    "example",
                )


def _users(
    fleet: Fleet, host: Host, known: t.Mapping[str, t.Any], is_replicated: bool, kept: str, problems: Problems
) -> t.Dict[str, t.Any]:
    """The lines of the files of users, who has no password yet, and which passwords this host makes."""
    name = known["fleet"]
    givens = _given_passwords(host, problems)
    before = {found[1]: [one[1:] for one in found[2].split()] for found in map(_LINE.match, kept.splitlines()) if found}
    gates = {keys.gate_user(gate.gate()): gate for gate in fleet.gates}
    has_exporter = _has_exporter(fleet, problems)
    own = [*OWN_USERS, *([acl.EXPORTER] * has_exporter), *(REPLICATED_USERS if is_replicated else ())]
    issuers = [keys.issuer_user(issuer["name"]) for issuer in known["issuers"]]
    known_users = [*gates, *own, *issuers]
    for user in givens:
        if user not in known_users:
            problems.add("token_hub_passwords", f"there is no user {shown(user)}; there are {', '.join(known_users)}")

    def hashes(user: str) -> t.List[str]:
        if user in givens:
            return [digest(givens[user])]
        if user in gates:
            given = settings.read(fleet.given(gates[user]), gates[user].name, Problems())["password"]
            if given:
                return [digest(given)]
        makers = [gates[user]] if user in gates else fleet.hubs[:1] if user in issuers else fleet.hubs
        found: t.Dict[str, str] = {}
        is_complete = True
        for maker in makers:
            made = (maker.hashes() or {}).get(user, "")
            if _HASH.fullmatch(str(made)):
                found[str(made)] = ""
            else:
                is_complete = False
        return list(found) if is_complete else list(dict.fromkeys([*found, *before.get(user, [])]))

    users = [
        *(acl.gate(name, gate.gate()) for gate in gates.values()),
        acl.operator(name),
        *(acl.issuer(name, issuer["name"]) for issuer in known["issuers"]),
        acl.monitor(),
        *([acl.exporter()] * has_exporter),
        *((acl.replica(), acl.sentinel()) if is_replicated else ()),
    ]
    discovering = [acl.discoverer(user) for user in (*gates, keys.OPERATOR, *issuers, acl.MONITOR)]
    makes = [*own, *(issuers if fleet.hubs and fleet.hubs[0].name == host.name else [])]
    return {
        "users": [acl.NOBODY, *(acl.line(user, hashes(user.name)) for user in users)],
        "sentinel_users": [
            acl.NOBODY,
            *(acl.line(user, hashes(user.name)) for user in (acl.sentinel_peer(), *discovering)),
        ],
        "without_password": [user.name for user in users if not hashes(user.name)],
        # Those of others, whose hash is known: nothing is made for an issuer whose file was taken away.
        "passwords_of_host": [
            {
                "user": user,
                "path": f"{PASSWORDS}/{user}",
                "content": givens.get(user, ""),
                "text": _text(user, known["service"], host, problems),
                "kept": bool(before.get(user)) and user in issuers,
            }
            for user in makes
        ],
    }


def exporter_url(host: Host) -> str:
    """By which the exporter of a hub reaches its server."""
    address = host.address()
    name = f"[{address}]" if ":" in address.strip("[]") and not address.startswith("[") else address
    return f"rediss://{name}:{host.value('token_hub_port')}"


def _has_exporter(fleet: Fleet, problems: Problems) -> bool:
    """Whether a hub serves metrics. All hubs have the same users then, as a replica has to take a primary's place."""
    return any(problems.flag(hub.name, MONITORED, hub.value(MONITORED)) for hub in fleet.hubs)


def _text(user: str, service: str, host: Host, problems: Problems) -> str:
    """What the file of a password has: those of servers and of the exporter are read by them."""
    if user == acl.EXPORTER:
        if re.search(r'["\\]', str(_given_passwords(host, Problems()).get(user, ""))):
            problems.add("token_hub_passwords", f"that of {user} has a quote or a backslash; take another one")
        # Versions differ in whether they look for it with the user in front.
        url = exporter_url(host)
        return json.dumps(dict.fromkeys((url, url.replace("//", f"//{user}@", 1)), "{}"))
    if user == acl.REPLICA:
        return f"masteruser {user}\nmasterauth {{}}"
    if user == acl.SENTINEL:
        return "\n".join(
            [
                f"sentinel auth-user {service} {user}",
                f"sentinel auth-pass {service} {{}}",
                f"sentinel sentinel-user {user}",
                "sentinel sentinel-pass {}",
            ]
        )
    return "{}"


def _given_passwords(host: Host, problems: Problems) -> t.Dict[str, str]:
    where = "token_hub_passwords"
    given = host.value(where)
    if not isinstance(given, t.Mapping):
        problems.add(where, "it must be a dictionary of users and passwords")
        return {}
    found = {str(user): settings.password(where, str(user), text, problems) for user, text in given.items()}
    return {user: text for user, text in found.items() if text}


def digest(password: str) -> str:
    """What the file of users has of a password."""
    return hashlib.sha256(password.encode("utf-8")).hexdigest()
