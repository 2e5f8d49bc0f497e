# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' variables: their values by the types of argument_specs.yml, and names that are probably misspelt.

Ansible converts a value to check it and hands the role what was given. ``-e name=value`` and INI inventories give
strings, and to Jinja the string "false" is true.
"""

from __future__ import annotations

import copy
import difflib
import functools
import re
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleUndefinedVariable
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_bool, check_type_int

from . import _platforms

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 takes every text for a template

    def trust_as_template(value: str) -> str:
        return value


ROLES_PATH = Path(__file__).resolve().parents[2] / "roles"
ROLE_NAMES = (
    "nginx",
    "certificates",
    "htpasswd",
    "token_store",
    "token_hub",
    "wss_proxy",
    "balancer",
    "wcs",
    "monitoring",
)
# Nobody else's variables begin with these. Roles for nginx, certificates and password files are many.
OWN_PREFIXES = ("token_store", "token_hub", "wss_proxy", "wcs")
# Read by the playbooks' plays, so in no role's specification.
PLAY_VARIABLES = ("wssgate_hosts", "wssgate_hosts_required", "wssgate_serial")
# Facts that the roles set for later roles and for playbooks: what role nginx found on the host, what check looks at,
# which sessions the agent cannot count, and whose questions nobody does.
RESULTS = (
    "nginx_found",
    "wss_proxy_targets",
    "wss_proxy_unseen_locations",
    "wss_proxy_uncounted_addresses",
    "token_hub_hashes",
    "token_hub_authority",
    "token_hub_state",
    "balancer_state",
    "monitoring_problems",
    "monitoring_scrape_config",
)
OTHER_VARIABLES = "wss_proxy_other_variables"
# Of difflib: wss_proxies_servers is 0.89 like wss_proxy_servers.
ALIKE = 0.88
# Of the command line's few variables, more can be suspected: expires is 0.82 like expires_at.
ALIKE_PARAMETER = 0.8

_WANTED = {"bool": "true or false", "int": "a whole number"}

Options = t.Mapping[str, t.Mapping[str, t.Any]]
Template = t.Callable[[t.Any], t.Any]


@functools.lru_cache(maxsize=None)
def entry_points_of(role: str) -> t.Dict[str, t.Any]:
    """The role's argument_specs.yml."""
    text = (ROLES_PATH / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]


def options_of(role: str) -> Options:
    """The options of the role's entry point main."""
    return entry_points_of(role)["main"]["options"]


@functools.lru_cache(maxsize=None)
def _defaults_of(role: str) -> t.Dict[str, t.Any]:
    """The role's defaults/main.yml."""
    text = (ROLES_PATH / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def default_of(name: str) -> t.Any:
    """What a role's defaults/main.yml has for a variable, still to be templated. Raises KeyError."""
    role = next((role for role in ROLE_NAMES if name.startswith(f"{role}_")), "")
    value = (_defaults_of(role) if role else {})[name]
    return trust_as_template(value) if isinstance(value, str) else copy.deepcopy(value)


@functools.lru_cache(maxsize=None)
def known_names() -> t.FrozenSet[str]:
    """All variables of all roles."""
    names = {
        name for role in ROLE_NAMES for entry in entry_points_of(role).values() for name in entry.get("options") or {}
    }
    return frozenset(names.union(PLAY_VARIABLES, RESULTS))


def _scalar(value: t.Any, kind: str) -> t.Any:
    """The value as Ansible converts it; a boolean is no number here. Raises TypeError."""
    if kind == "bool":
        return check_type_bool(value)
    if isinstance(value, bool):
        raise TypeError("a boolean")
    return check_type_int(value)


def typed(value: t.Any, spec: t.Mapping[str, t.Any], name: str, problems: t.List[str]) -> t.Any:
    """The value with its booleans and numbers as such, at every depth; what is none stays and is added to the
    problems.
    """
    kind, options = spec.get("type", "str"), spec.get("options")
    if kind in _WANTED:
        try:
            return _scalar(value, kind)
        except (TypeError, ValueError):
            shown = "empty" if value is None or value == "" else repr(str(value))
            problems.append(f"{name} is {shown}; it must be {_WANTED[kind]}")
            return value
    if kind == "str" and name.endswith("mode") and not isinstance(value, str):
        # YAML reads a bare 0710 as the number 456, and to the modules 710 is the mode 01306.
        problems.append(
            f"{name} is {value!r}; it must be an octal mode in quotes, such as {spec.get('default', '0640')!r}"
        )
        return value
    if kind == "list" and spec.get("elements") == "str" and not isinstance(value, (list, tuple)):
        shown = "empty" if value is None or value == "" else repr(str(value))
        problems.append(f"{name} is {shown}; it must be a list, such as [one, two], or []")
        return value
    # Raw with options: a list of dictionaries that Ansible is not to check, see argument_specs.yml.
    if kind in ("list", "raw") and isinstance(value, (list, tuple)):
        inner = {"type": spec.get("elements", "dict" if options else "raw"), "options": options}
        return [typed(item, inner, f"{name}[{index}]", problems) for index, item in enumerate(value)]
    is_dict = kind == "dict" or (kind == "raw" and isinstance(spec.get("default"), t.Mapping))
    if is_dict and options and isinstance(value, t.Mapping):
        return {key: _nested(inner, str(key), options, name, problems) for key, inner in value.items()}
    return value


def _nested(value: t.Any, key: str, options: Options, where: str, problems: t.List[str]) -> t.Any:
    if key not in options:
        close = difflib.get_close_matches(key, options, 1)
        problems.append(
            f"{where} has no option {key!r}; "
            + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(options)}")
        )
        return value
    return value if value is None else typed(value, options[key], f"{where}.{key}", problems)


def parameter_problems(
    kinds: t.Mapping[str, t.Union[str, t.Sequence[str]]], variables: t.Mapping[str, t.Any], template: Template
) -> t.List[str]:
    """What is wrong with those of the parameters of a playbook that were given; a kind is a type or a list of
    choices.
    """
    problems: t.List[str] = []
    for name, kind in kinds.items():
        if name in variables:
            value = template(variables[name])
            if isinstance(kind, str):
                typed(value, {"type": kind}, name, problems)
            else:
                problems += choice_problems(value, kind, name)
    return problems


def choice_problems(value: t.Any, choices: t.Sequence[str], name: str) -> t.List[str]:
    """What is wrong with a value that has to be one of some."""
    return [] if value in choices else [f"{name} is {str(value)!r}; it must be one of {', '.join(choices)}"]


def misspelt_parameters(
    kinds: t.Iterable[str], given: t.Iterable[str], variables: t.Mapping[str, t.Any], template: Template
) -> t.List[str]:
    """One sentence for each variable of the command line that was probably meant for a parameter of the playbook.

    A token whose ttl was misspelt would have no end. Variables of the inventory are left alone: the names of parameters
    are short, and somebody's own may well be like them.
    """
    problems = []
    others = _other_names(variables, template)
    for name in sorted(given):
        if name in kinds or name in others or name in known_names():
            continue
        found = []
        for known in kinds:
            ratio = difflib.SequenceMatcher(None, name, known).ratio()
            edits = distance(name, known)
            if edits <= 1 or (len(known) > 4 and ratio >= ALIKE_PARAMETER) or _is_part_of(name, known):
                found.append((edits, -ratio, known))
        if found:
            problems.append(
                f"this playbook has no parameter {name}; did you mean {min(found)[2]}? "
                f"If it is for something else, name it in {OTHER_VARIABLES}"
            )
    return problems


def _is_part_of(name: str, known: str) -> bool:
    """Whether a name is the beginning of a word or the last words of another: sub of subject, key of jwt_key."""
    if len(name) < 3:
        return False
    return known.endswith(f"_{name}") or (known.startswith(name) and known[len(name) :][:1] not in ("", "_"))


def undefined_problems(value: t.Any, name: str, template: Template) -> t.List[str]:
    """One sentence for each place of a value, at every depth, whose template needs what is not defined.

    ansible-core reports such a variable as one of the task that first reads the value, and not where it stands.
    """
    if isinstance(value, t.Mapping):
        return [text for key, inner in value.items() for text in undefined_problems(inner, f"{name}.{key}", template)]
    if isinstance(value, (list, tuple)):
        return [
            text
            for index, inner in enumerate(value)
            for text in undefined_problems(inner, f"{name}[{index}]", template)
        ]
    if not isinstance(value, str) or "{" not in value:
        return []
    try:
        template(value)
    except AnsibleUndefinedVariable as error:
        found = re.search(r"'[^']+' is undefined", str(error))
        words = found.group() if found else str(error).rstrip(".")
        return [f"{name} needs a variable that is not there for this host: {words}; define it, or correct its name"]
    except Exception:  # noqa: BLE001
        # Whatever else is wrong is for the task that reads it, such as omit, which stands for no value here.
        return []
    return []


def value_problems(role: str, variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """What is wrong with the types and choices of the role's variables."""
    problems: t.List[str] = []
    for name, spec in options_of(role).items():
        if name not in variables:
            continue
        # Role wss_proxy's own lists are the gate's model's to check.
        is_deep = bool(spec.get("options")) or spec.get("elements") == "str"
        if is_deep:
            undefined = undefined_problems(variables[name], name, template)
            if undefined:
                problems += undefined
                continue
        if spec["type"] in _WANTED or name.endswith("_mode") or (is_deep and role != "wss_proxy"):
            typed(template(variables[name]), spec, name, problems)
        elif "choices" in spec:
            problems += choice_problems(template(variables[name]), spec["choices"], name)
    return problems


def shape_problems(role: str, variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """What is wrong with the role's dictionaries, and what ansible-core finds wrong with lists and dictionaries.

    It would look only when a play comes to the role, which is after other roles have changed something.
    """
    problems, specification, given = [], {}, {}
    for name, spec in options_of(role).items():
        if spec["type"] not in ("list", "dict") or name not in variables or variables[name] == spec.get("default"):
            continue
        try:
            value = template(variables[name])
        except Exception:  # noqa: BLE001
            # For the task that reads it: it may need what is not known yet.
            continue
        if spec["type"] == "dict" and value is not None and not isinstance(value, t.Mapping):
            # ansible-core would take it for key=value, and fails with a traceback for a number.
            kind = next((words for type_, words in _KINDS.items() if isinstance(value, type_)), "a text")
            problems.append(f"{name} is {kind}; it must be a dictionary")
        else:
            specification[name], given[name] = spec, value
    return problems + (list(ArgumentSpecValidator(specification).validate(given).error_messages) if given else [])


_KINDS: t.Mapping[type, str] = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
_SERIAL = re.compile(r"([1-9][0-9]{0,3}|([1-9][0-9]?|100)%)\Z")


def serial_problems(variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """What is wrong with how many gates get a change at once."""
    if "wssgate_serial" not in variables:
        return []
    value = template(variables["wssgate_serial"])
    if _SERIAL.match(str(value)):
        return []
    shown = "" if value is None else value
    return [f"wssgate_serial is {shown}: it has to be a number of gates, 1 or more, or a share of them such as 25%."]


# What the roles read of ansible_facts before they gather anything themselves.
FACTS: t.Mapping[str, t.Sequence[str]] = {
    "balancer": ("os_family", "service_mgr", "interfaces"),
    "certificates": ("os_family", "service_mgr"),
    "htpasswd": ("os_family",),
    "monitoring": ("os_family", "service_mgr"),
    "nginx": ("os_family", "service_mgr"),
    "token_hub": ("os_family", "service_mgr"),
    "token_store": ("os_family",),
    "wcs": (),
    "wss_proxy": ("os_family", "interfaces"),
}


# Roles that cannot do without what the table of operating systems has for the host's family. All that token_store takes
# from it can be given by variables, and wcs takes nothing.
PLATFORM_ROLES = ("balancer", "certificates", "htpasswd", "monitoring", "nginx", "token_hub", "wss_proxy")

# Variables of 1.0.0 that are still taken, and what is to be known of them. They go in 2.0.0.
DEPRECATED = {
    "nginx_packages_besides": "Each role looks for its own packages. Install others by a task of your own",
    "nginx_paths_besides": "It counts for nothing any more: each role compares its own files in one task",
}


def deprecated_names(role: str, variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """Those of the role's deprecated variables that are in use."""
    return [name for name in options_of(role) if name in DEPRECATED and template(variables.get(name) or [])]


def platform_problems(role: str, variables: t.Mapping[str, t.Any]) -> t.List[str]:
    """One sentence where a role cannot work on the host's operating system."""
    return _platforms.problems(variables.get("ansible_facts") or {}) if role in PLATFORM_ROLES else []


def fact_problems(role: str, variables: t.Mapping[str, t.Any]) -> t.List[str]:
    """What a role needs to know of its host."""
    facts = variables.get("ansible_facts") or {}
    missing = [name for name in FACTS[role] if name not in facts]
    if not missing:
        return []
    return [
        f"role {role} needs facts of {variables.get('inventory_hostname', 'the host')} that the play has not gathered "
        f"({', '.join(missing)}): "
        "set gather_facts: true in the play, with gather_subset: ['!all', min, network] or without gather_subset"
        # Ansible asks the program ip for them, and tells nothing of a host that has none.
        + ("; where it has gathered them, the host lacks iproute2 (on EL: iproute)" if "interfaces" in missing else "")
    ]


# -- misspelt names


def distance(one: str, other: str) -> int:
    """How many letters were left out, added, exchanged for another or swapped with their neighbour."""
    before: t.List[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, target in enumerate(other, 1):
            cost = min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (letter != target))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == target:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, last = last, current
    return last[-1]


def _extends(name: str, known: str) -> bool:
    """Whether a name has more words than a known one, or a number, as helper variables have:
    wss_proxy_servers_common.
    """
    words = iter(re.sub(r"[0-9]+$", "", name).split("_"))
    return all(word in words for word in known.split("_"))


def _fits(value: t.Any, spec: t.Mapping[str, t.Any]) -> bool:
    """Whether a value could be meant for an option; a list of users is not meant for the name of one."""
    kind = spec.get("type")
    if kind == "raw":
        # A list of dictionaries, written as one by mistake, but not the text of somebody else's variable.
        return not spec.get("options") or not isinstance(value, str) or "{{" in value
    if kind in ("list", "dict"):
        return isinstance(value, list if kind == "list" else t.Mapping) or (isinstance(value, str) and "{{" in value)
    return not isinstance(value, (list, t.Mapping))


def _specification(name: str) -> t.Mapping[str, t.Any]:
    for role in ROLE_NAMES:
        for entry in entry_points_of(role).values():
            if name in (entry.get("options") or {}):
                return entry["options"][name]
    return {"type": "raw"}


def meant_by(name: str, value: t.Any, role: str) -> t.Optional[str]:
    """The variable of the role that a name nobody knows was probably meant to be."""
    is_own = role in OWN_PREFIXES
    if is_own:
        if not name.startswith(role[:2]):
            return None
    # The role's name may be what is misspelt: ngnix_sessions, certificate_list.
    elif not name.startswith(f"{role}_") and distance(name.partition("_")[0], role) > 1:
        return None
    found = []
    for known in [*options_of(role), *(PLAY_VARIABLES if role == "wss_proxy" else ())]:
        if abs(len(known) - len(name)) > 3 or _extends(name, known) or not _fits(value, _specification(known)):
            continue
        ratio = difflib.SequenceMatcher(None, name, known).ratio()
        if ratio < ALIKE:
            continue
        edits = distance(name, known)
        # Words left out or added are not slips of the finger; see unknown_names.
        if edits <= 1 or (is_own and (edits <= 2 or len(name.split("_")) == len(known.split("_")))):
            found.append((edits, -ratio, known))
    return min(found)[2] if found else None


def _other_names(variables: t.Mapping[str, t.Any], template: Template) -> t.Sequence[t.Any]:
    """The names that somebody has declared to be for something else."""
    others = template(variables.get(OTHER_VARIABLES) or [])
    return others if isinstance(others, (list, tuple)) else []


def _candidates(variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    others = _other_names(variables, template)
    return [name for name in variables if isinstance(name, str) and name not in known_names() and name not in others]


def misspelt_names(role: str, variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """One sentence for each variable that was probably meant for the role and would silently count for nothing."""
    problems = []
    for name in _candidates(variables, template):
        known = meant_by(name, variables[name], role)
        if known:
            problems.append(
                f"there is no variable {name}; did you mean {known}? If it is another program's, name it in "
                f"{OTHER_VARIABLES}"
            )
    return sorted(problems)


def unknown_names(role: str, variables: t.Mapping[str, t.Any], template: Template) -> t.List[str]:
    """Other variables with the role's prefix, where that prefix is nobody else's."""
    if role not in OWN_PREFIXES:
        return []
    return sorted(
        name
        for name in _candidates(variables, template)
        if name.startswith(f"{role}_") and not meant_by(name, variables[name], role)
    )
