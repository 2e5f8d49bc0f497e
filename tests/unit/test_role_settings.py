# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is given as a string acts as the value that it spells, or is refused; what is misspelt is named."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _role_variables
from ansible_collections.wssgate.nginx.plugins.plugin_utils._balancer import model as _balancer_model
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import model as _gate, options as _gate_options

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


ROLES = Path(__file__).resolve().parents[2] / "roles"
Options = t.Dict[str, t.Any]


def loaded(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options_of(role: str) -> Options:
    return loaded(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


# All of them, of all roles.
SCALARS = [
    (role, name, spec["type"])
    for role in sorted(path.name for path in ROLES.iterdir() if path.is_dir())
    for name, spec in options_of(role).items()
    if spec["type"] in ("bool", "int") and "counts for nothing" not in str(spec["description"])
]
# Role wss_proxy's go through the gate's model.
IN_THE_MODEL = [
    (name, kind)
    for role, name, kind in SCALARS
    if name.removeprefix("wss_proxy_") in _gate_options.CONTEXT_DEFAULTS and role == "wss_proxy"
]
# As role balancer's go through its own, but for what is a gate's own variable.
IN_THE_BALANCER_S_MODEL = {
    name
    for role, name, _kind in SCALARS
    if role == "balancer"
    and (name.removeprefix("balancer_") in _balancer_model.CONTEXT_DEFAULTS or name == "balancer_gate_weight")
}
IN_A_VARIABLE = [
    (role, name, kind)
    for role, name, kind in SCALARS
    if (name, kind) not in IN_THE_MODEL and name not in IN_THE_BALANCER_S_MODEL
]

GIVEN = {
    "bool": {
        "true": True,
        "false": False,
        "yes": True,
        "no": False,
        "on": True,
        "off": False,
        "True": True,
        "False": False,
        "1": True,
        "0": False,
    },
    "int": {"0": 0, "1": 1, "4000": 4000, "65536": 65536},
}
GARBAGE = {
    "bool": ["", "perhaps", "2", "falsch", None, []],
    "int": ["", "many", "1.5", "4k", "0x10", True, None, [], "true"],
}


def value_of(role: str, variable: str, **given: t.Any) -> t.Any:
    """One of a role's own variables, with what an inventory or a command line gives."""
    expression = loaded(ROLES / role / "vars" / "main.yml")[variable]
    return Templar(loader=DataLoader(), variables=given).template(trust_as_template(expression))


def test_there_is_something_to_try() -> None:
    assert len(SCALARS) >= 30
    assert len(IN_THE_MODEL) >= 5


@pytest.mark.parametrize(("role", "name", "kind"), IN_A_VARIABLE)
def test_a_string_acts_as_the_value_that_it_spells(role: str, name: str, kind: str) -> None:
    for text, value in GIVEN[kind].items():
        for given in (text, value):
            found = value_of(role, f"__{name}", **{name: given})
            assert found == value and (isinstance(found, bool) or kind == "int"), (name, given, found)


@pytest.mark.parametrize(("role", "name", "kind"), IN_A_VARIABLE)
def test_what_spells_no_value_is_refused_by_name(role: str, name: str, kind: str) -> None:
    for given in GARBAGE[kind]:
        with pytest.raises(Exception, match=f"{name} is .*; it must be"):
            value_of(role, f"__{name}", **{name: given})
        assert _role_variables.value_problems(role, {name: given}, lambda value: value) == [
            (
                f"{name} is {'empty' if given in (None, '') else repr(str(given))}; it must be "
                f"{'true or false' if kind == 'bool' else 'a whole number'}"
            )
        ]


@pytest.mark.parametrize(("name", "kind"), IN_THE_MODEL)
def test_the_gate_renders_what_it_checked(name: str, kind: str) -> None:
    key = name.removeprefix("wss_proxy_")
    servers = [{"name": "a", "certificate": "a", "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}]}]
    context = {"certificates": [{"name": "a"}], "token_store_path": "/srv/tokens"}
    for text, value in GIVEN[kind].items():
        as_text, as_value = ({**context, key: given} for given in (text, value))
        problems = _gate.gate_errors(servers, as_value)
        assert [problem.replace(repr(text), repr(value)) for problem in _gate.gate_errors(servers, as_text)] == problems
        if not problems:
            assert _gate.gate_model(servers, as_text) == _gate.gate_model(servers, as_value)
            assert _gate.gate_model(servers, as_text).get(key, value) == value
    for given in GARBAGE[kind]:
        if given is not None:  # YAML's null is the default
            assert any(key in problem for problem in _gate.gate_errors(servers, {**context, key: given})), given


def code_of(text: str) -> str:
    """A file without its comments and without the names of variables that it quotes or explains."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return re.sub(r"typed\('[a-z_]+'\)", "", text)


# Messages name the variables.
def expressions(text: str) -> t.Iterator[str]:
    yield from re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text, re.DOTALL)
    # Conditions and assertions are expressions without braces.
    yield from re.findall(r"^ *(?:when|that|failed_when|changed_when|until): (?!>|$)(.+)$", text, re.MULTILINE)
    yield from re.findall(r"^ *- ([^\n:]*)$", text, re.MULTILINE)


@pytest.mark.parametrize(("role", "name", "_kind"), SCALARS)
def test_tasks_and_templates_use_no_value_as_it_was_given(role: str, name: str, _kind: str) -> None:
    for path in [
        *(ROLES / role / "tasks").glob("*.yml"),
        *(ROLES / role / "templates").rglob("*.j2"),
        ROLES / role / "vars" / "main.yml",
    ]:
        for expression in expressions(code_of(path.read_text(encoding="utf-8"))):
            outside_quotes = re.sub(r"'[^'\n]*'", "''", expression)
            if (
                f"| wssgate.nginx.typed('{name}')" in " ".join(path.read_text(encoding="utf-8").split())
                or role == "wss_proxy"
            ) and path.parent.name == "vars":
                continue  # Where it gets its type
            assert not re.search(rf"(?<![a-z_]){name}\b", outside_quotes), f"{path.name}: {expression}"


def test_role_wss_proxy_renders_its_model_and_nothing_else() -> None:
    for path in (ROLES / "wss_proxy" / "templates").rglob("*.j2"):
        assert not re.search(
            r"(?<![a-z_.])(?:wss_proxy|nginx|token_store|certificates)_[a-z_]+",
            " ".join(expressions(path.read_text(encoding="utf-8"))),
        ), path


def test_nested_booleans_and_numbers_get_their_types_and_the_rest_stays() -> None:
    given = [
        {
            "name": "a",
            "provider": "selfsigned",
            "days": "90",
            "reuse_key": "false",
            "remote": "no",
            "key_type": None,
            "subject_alt_names": ["1"],
        }
    ]
    assert value_of("certificates", "__certificates_list", certificates_list=given) == [
        {
            "name": "a",
            "provider": "selfsigned",
            "days": 90,
            "reuse_key": False,
            "remote": False,
            "key_type": None,
            "subject_alt_names": ["1"],
        }
    ]
    for given, problem in (
        ([{"name": "a", "provder": "files"}], "certificates_list[0] has no option 'provder'; did you mean 'provider'?"),
        ([{"name": "a", "remote": "perhaps"}], "certificates_list[0].remote is 'perhaps'; it must be true or false"),
    ):
        assert _role_variables.value_problems("certificates", {"certificates_list": given}, lambda value: value) == [
            problem
        ]
    users = [{"path": "/etc/nginx/.htpasswd", "users": [{"name": "a", "pasword": "hidden words"}]}]
    found = _role_variables.value_problems("htpasswd", {"htpasswd_files": users}, lambda value: value)
    assert found == ["htpasswd_files[0].users[0] has no option 'pasword'; did you mean 'password'?"]


def test_so_do_those_of_a_dictionary_of_options() -> None:
    def problems(**hub: t.Any) -> t.List[str]:
        return _role_variables.value_problems("token_store", {"token_store_hub": hub}, lambda value: value)

    assert problems(url="rediss://hub", issuers=[{"name": "app", "max_ttl": "60"}]) == []
    assert problems(sentinel_auth="perhaps", issuers=[{"name": "app", "max_ttl": "soon"}], ulr="rediss://hub") == [
        "token_store_hub.sentinel_auth is 'perhaps'; it must be true or false",
        "token_store_hub.issuers[0].max_ttl is 'soon'; it must be a whole number",
        "token_store_hub has no option 'ulr'; did you mean 'url'?",
    ]


def test_a_choice_is_checked_before_anything_changes() -> None:
    found = _role_variables.value_problems("token_store", {"token_store_pruner": "chron"}, lambda value: value)
    assert found == ["token_store_pruner is 'chron'; it must be one of auto, agent, systemd, cron, none"]


# -- names


def misspelt(*names: str, value: t.Any = "x", **others: t.Any) -> t.List[str]:
    variables = {**dict.fromkeys(names, value), **others}
    return [
        found
        for role in _role_variables.ROLE_NAMES
        for found in _role_variables.misspelt_names(role, variables, lambda inner: inner)
    ]


@pytest.mark.parametrize(
    ("name", "meant", "value"),
    [
        ("wss_proxy_server", "wss_proxy_servers", []),
        ("wss_proxy_serves", "wss_proxy_servers", []),
        ("wss_proxy_sevrers", "wss_proxy_servers", []),
        ("wss_proxies_servers", "wss_proxy_servers", []),
        ("wssproxy_servers", "wss_proxy_servers", []),
        ("ws_proxy_servers", "wss_proxy_servers", []),
        ("wss_proxy_upstream", "wss_proxy_upstreams", []),
        ("wss_proxy_tls_ticket", "wss_proxy_tls_tickets", 0),
        ("wss_proxy_bufer_size", "wss_proxy_buffer_size", "4096"),
        ("token_store_pth", "token_store_path", "/srv/tokens"),
        ("token_store_owners", "token_store_owner", "root"),
        ("wcs_allow_domain", "wcs_allow_domains", []),
        ("wssgate_host", "wssgate_hosts", "gates"),
        ("nginx_session", "nginx_sessions", 8000),
        ("nginx_alow_restart", "nginx_allow_restart", True),
        ("certificates_lists", "certificates_list", []),
        ("htpasswd_file", "htpasswd_files", []),
        ("wss_proxy_server", "wss_proxy_servers", {"name": "gate"}),
        ("ngnix_sessions", "nginx_sessions", 8000),
        ("certificate_list", "certificates_list", [{"name": "gate"}]),
    ],
)
def test_a_misspelt_variable_is_named_with_the_one_that_was_meant(name: str, meant: str, value: t.Any) -> None:
    assert misspelt(name, value=value) == [
        (
            f"there is no variable {name}; did you mean {meant}? If it is another program's, name it in "
            f"wss_proxy_other_variables"
        )
    ]
    assert misspelt(name, value=value, wss_proxy_other_variables=[name]) == []


@pytest.mark.parametrize(
    "name",
    [
        # Helpers of one's own
        "wss_proxy_servers_common",
        "wss_proxy_servers2",
        "wss_proxy_base_servers",
        "nginx_sessions_default",
        "wss_proxy_region",
        "all_wss_proxy_servers",
        "token_store_backup",
        "certificates_list_internal",
        "htpasswd_files_extra",
        # Of other people's roles for nginx
        "nginx_vhosts",
        "nginx_upstreams",
        "nginx_worker_connections",
        "nginx_sendfile",
        "nginx_server_tokens",
        "nginx_tcp_nopush",
        "nginx_extra_http_options",
        "nginx_conf_template",
        "nginx_pidfile",
        "nginx_log_dir",
        "nginx_error_log",
        "nginx_bin_path",
        "nginx_package_name",
        "nginx_state",
        "nginx_service_state",
        "nginx_client_max_body_size",
        "nginx_remove_default_vhost",
        "nginx_http_params",
        "nginx_sites",
        "nginx_configs",
        "nginx_dir",
        "nginx_version",
        # Others
        "certificate_list",
        "certificates",
        "htpasswd",
        "inventory_hostname",
        "ansible_host",
        "groups",
        "webserver_sessions",
        "subject",
        "token",
        "token_file",
        "wcs_version",
        "wcs_license",
    ],
)
def test_what_is_somebody_else_s_is_left_alone(name: str) -> None:
    assert misspelt(name) == []


def test_a_list_is_not_meant_for_a_name() -> None:
    assert misspelt("nginx_users", value=[{"name": "a"}]) == []
    assert misspelt("nginx_users", value="www-data") != []


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_no_variable_of_ours_is_taken_for_a_misspelt_one(role: str) -> None:
    assert misspelt(*_role_variables.known_names()) == []
    for known in options_of(role):
        assert not [
            other for other in _role_variables.known_names() - {known} if _role_variables.distance(known, other) == 1
        ]


def test_what_nobody_else_would_name_so_gets_a_warning() -> None:
    variables = dict.fromkeys(
        (
            "wss_proxy_region",
            "token_store_backup",
            "nginx_vhosts",
            "certificates_dir",
            "htpasswd_salt",
            "wcs_version",
            "wss_proxy_server",
        ),
        1,
    )
    found = {
        role: _role_variables.unknown_names(role, variables, lambda inner: inner) for role in _role_variables.ROLE_NAMES
    }
    assert {role: names for role, names in found.items() if names} == {
        "token_store": ["token_store_backup"],
        "wss_proxy": ["wss_proxy_region"],
        "wcs": ["wcs_version"],
    }


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("abc", "abc", 0),
        ("abc", "ab", 1),
        ("ab", "abc", 1),
        ("abc", "acb", 1),
        ("abc", "axc", 1),
        ("abc", "cba", 2),
        ("", "ab", 2),
    ],
)
def test_edits_are_counted(one: str, other: str, edits: int) -> None:
    assert _role_variables.distance(one, other) == edits


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_a_play_without_facts_is_told_what_to_gather(role: str) -> None:
    assert (
        _role_variables.fact_problems(
            role, {"ansible_facts": {"os_family": "Debian", "service_mgr": "systemd", "interfaces": []}}
        )
        == []
    )
    found = _role_variables.fact_problems(role, {"inventory_hostname": "gate"})
    if role == "wcs":
        assert found == []  # as ever: it asks the host itself
        return
    assert len(found) == 1
    assert f"role {role} needs facts of gate" in found[0] and "gather_facts: true" in found[0]
    assert ("iproute2" in found[0]) == (role in ("balancer", "wss_proxy")), (
        "Ansible finds interfaces with its program alone"
    )


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_a_role_that_reads_facts_asks_for_them(role: str) -> None:
    """And no other: a play of 1.0.0 without facts goes on."""
    files = [path for path in (ROLES / role).rglob("*.yml") if path.parent.name in ("tasks", "vars", "defaults")]
    read = {
        name
        for path in files
        for name in re.findall(r"ansible_facts\['(os_family|service_mgr)'\]", path.read_text(encoding="utf-8"))
    }
    # The check of the operating system reads it for the roles that cannot do without.
    read |= {"os_family"} if role in _role_variables.PLATFORM_ROLES else set()
    assert read == {name for name in _role_variables.FACTS[role] if name != "interfaces"}


def test_parameters_of_playbooks_are_checked_where_they_are_given() -> None:
    kinds = {"days": "int", "with_token": "bool", "count": "int"}
    assert _role_variables.parameter_problems(kinds, {"days": "14", "with_token": "yes"}, lambda value: value) == []
    assert _role_variables.parameter_problems(kinds, {"days": "two", "with_token": "ture"}, lambda value: value) == [
        "days is 'two'; it must be a whole number",
        "with_token is 'ture'; it must be true or false",
    ]


def test_a_parameter_with_choices_has_to_be_one_of_them() -> None:
    kinds = {"output": ["text", "json"]}
    assert _role_variables.parameter_problems(kinds, {"output": "json"}, lambda value: value) == []
    assert _role_variables.parameter_problems(kinds, {"output": "xml"}, lambda value: value) == [
        "output is 'xml'; it must be one of text, json"
    ]


@pytest.mark.parametrize("playbook", sorted((ROLES.parent / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_a_playbook_checks_every_boolean_and_number_that_it_takes(playbook: Path) -> None:
    text = playbook.read_text(encoding="utf-8")
    used = set(re.findall(r"(?<![\w.(])([a-z][a-z_]*) \| default\([^()|]*\) \| (?:bool|int)\b", text)) - {
        "quickstart_port"
    }
    given = {
        name: kind
        for play in yaml.safe_load(text)
        for task in play.get("tasks", [])
        for name, kind in task.get("vars", {}).get("__parameters", {}).items()
    }
    checked = {name for name, kind in given.items() if kind in ("bool", "int")}
    assert used <= checked, f"{playbook.name}: {used - checked}"
    parameters = re.findall(r"^#   ([a-z_]+)  ", text, re.MULTILINE)
    assert checked <= set(parameters), f"{playbook.name} explains no {checked - set(parameters)}"
    if given:
        assert set(given) == set(parameters), f"{playbook.name} finds no misspelt {set(parameters) - set(given)}"


PARAMETERS = {"subject": "str", "ttl": "int", "expires_at": "int", "token_file": "str", "output": "str"}


@pytest.mark.parametrize(
    "name, meant",
    [("subjects", "subject"), ("tll", "ttl"), ("tt", "ttl"), ("expires", "expires_at"), ("tokenfile", "token_file")]
    + [("sub", "subject"), ("file", "token_file")],
)
def test_a_misspelt_parameter_of_the_command_line_is_a_problem_that_names_the_one_that_was_meant(
    name: str, meant: str
) -> None:
    (found,) = _role_variables.misspelt_parameters(PARAMETERS, {name}, {}, lambda value: value)
    assert f"has no parameter {name}; did you mean {meant}?" in found
    others = {"wss_proxy_other_variables": [name]}
    assert _role_variables.misspelt_parameters(PARAMETERS, {name}, others, lambda value: value) == []


@pytest.mark.parametrize(
    "name",
    [*PARAMETERS, "wssgate_hosts", "token_store_path", "ansible_user", "ansible_become", "title", "token", "host"]
    + ["to", "at"],
)
def test_other_variables_of_the_command_line_are_no_misspelt_parameters(name: str) -> None:
    assert _role_variables.misspelt_parameters(PARAMETERS, {name}, {}, lambda value: value) == []


# -- entry points


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir() if path.is_dir()))
def test_what_plays_call_by_name_is_documented(role: str) -> None:
    entries = loaded(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]
    files = {path.stem for path in (ROLES / role / "tasks").glob("*.yml")}
    assert set(entries) <= files
    assert files & {"preflight", "acme", "uninstall", "activate"} <= set(entries)
    assert "`tasks_from: preflight`" in (ROLES / role / "README.md").read_text(encoding="utf-8")
    for entry in entries.values():
        for name, spec in (entry.get("options") or {}).items():
            assert spec == entries["main"]["options"].get(name, spec), name


@pytest.mark.parametrize("given", [710, 0o710])
@pytest.mark.parametrize(("role", "name"), [("token_store", "token_store_mode"), ("htpasswd", "htpasswd_mode")])
def test_a_mode_without_quotes_is_refused(role: str, name: str, given: int) -> None:
    """The modules take 710 for the mode 01306, which lets everybody list a folder of tokens."""
    (problem,) = _role_variables.value_problems(role, {name: given}, lambda value: value)
    assert problem.startswith(f"{name} is {given}; it must be an octal mode in quotes")
    assert _role_variables.value_problems(role, {name: "0710"}, lambda value: value) == []


def test_the_mode_of_a_password_file_is_quoted_too() -> None:
    files = [{"path": "/etc/nginx/.htpasswd", "users": [], "mode": 640}]
    (problem,) = _role_variables.value_problems("htpasswd", {"htpasswd_files": files}, lambda value: value)
    assert problem.startswith("htpasswd_files[0].mode is 640; it must be an octal mode in quotes")


@pytest.mark.parametrize(("role", "name"), [("nginx", "nginx_packages"), ("token_store", "token_store_packages")])
@pytest.mark.parametrize(("given", "shown"), [("nginx", "'nginx'"), ("", "empty"), (None, "empty")])
def test_a_lone_text_is_no_list(role: str, name: str, given: t.Any, shown: str) -> None:
    found = _role_variables.value_problems(role, {name: given}, lambda value: value)
    assert found == [f"{name} is {shown}; it must be a list, such as [one, two], or []"]
    assert _role_variables.value_problems(role, {name: ["nginx"]}, lambda value: value) == []


@pytest.mark.parametrize(
    ("given", "shown"), [("sockets=/run/a", "a text"), (7, "a number"), (True, "true or false"), (["a"], "a list")]
)
def test_what_has_to_be_a_dictionary_is_one(given: t.Any, shown: str) -> None:
    found = _role_variables.shape_problems("nginx", {"nginx_needs": given}, lambda value: value)
    assert found == [f"nginx_needs is {shown}; it must be a dictionary"]
    assert _role_variables.shape_problems("nginx", {"nginx_needs": {}}, lambda value: value) == []


def test_what_ansible_finds_wrong_with_a_list_is_told_before_the_first_change() -> None:
    (problem,) = _role_variables.shape_problems("nginx", {"nginx_paths_besides": {"a": 1}}, lambda value: value)
    assert "nginx_paths_besides" in problem and "list" in problem


def test_a_value_that_is_not_known_yet_is_left_to_the_task_that_reads_it() -> None:
    variables = {"nginx_needs": trust_as_template("{{ registered_later }}")}
    template = Templar(DataLoader(), variables=variables).template
    assert _role_variables.shape_problems("nginx", variables, template) == []


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_the_lookup_checks_every_list_and_dictionary(role: str) -> None:
    """Playbook site has Ansible itself check nothing any more."""
    for name, spec in options_of(role).items():
        if spec["type"] in ("list", "dict"):
            given = {name: 7 if spec["type"] == "dict" else {"a": 1}}
            found = [_role_variables.value_problems, _role_variables.shape_problems]
            assert any(check(role, given, lambda value: value) for check in found), name


def problems_of(role: str, **given: t.Any) -> t.List[str]:
    """What is wrong with variables as an inventory gives them, templates in them and all."""

    def trusted(value: t.Any) -> t.Any:
        if isinstance(value, dict):
            return {key: trusted(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [trusted(inner) for inner in value]
        return trust_as_template(value) if isinstance(value, str) else value

    variables = trusted(given)
    return _role_variables.value_problems(role, variables, Templar(DataLoader(), variables=variables).template)


def test_a_variable_that_is_not_there_is_named_with_its_place() -> None:
    places = [{"path": "/a", "upstream": "http://{{ host }}:80"}, {"path": "/b", "upstream": "http://{{ absent }}:80"}]
    found = problems_of("wss_proxy", host="192.0.2.1", wss_proxy_servers=[{"name": "a", "locations": places}])
    assert found == [
        (
            "wss_proxy_servers[0].locations[1].upstream needs a variable that is not there for this host: 'absent' "
            "is undefined; define it, or correct its name"
        )
    ]
    found = problems_of("wss_proxy", wss_proxy_servers="{{ absent }}")
    assert found == [
        "wss_proxy_servers needs a variable that is not there for this host: 'absent' is undefined; define it, or "
        "correct its name"
    ]
    (problem,) = problems_of("htpasswd", htpasswd_files=[{"path": "{{ known.absent }}", "users": []}], known={"a": 1})
    assert problem.startswith("htpasswd_files[0].path needs a variable") and "absent" in problem


def test_templates_that_have_what_they_need_are_no_problem() -> None:
    places = [{"path": "{{ absent | default('/a') }}", "upstream": "http://{{ host }}:80", "idle_timeout": 5}]
    servers = [{"name": "{{ absent | default(omit) }}", "locations": places}]
    assert problems_of("wss_proxy", host="192.0.2.1", wss_proxy_servers=servers, omit="__omit_place_holder__1") == []
    # What is no template at all is for the task that reads it.
    assert problems_of("wss_proxy", wss_proxy_servers=[{"name": "{{ host", "locations": []}]) == []
