# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's variables: what is generated from argument_specs fits them, and they fit the code."""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _role_variables
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import auth, model as _gate, options as _gate_options

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
# What a play with gather_subset min and network knows of a host.
FACTS = {
    "os_family": "Debian",
    "distribution": "Debian",
    "service_mgr": "systemd",
    "python": {"executable": "/usr/bin/python3"},
    "lo": {},
}

Options = t.Dict[str, t.Any]


def loaded(path: Path) -> Options:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def defaults_of(role: str) -> Options:
    return loaded(ROLES / role / "defaults" / "main.yml")


def specs_of(role: str) -> Options:
    return loaded(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]


def options_of(role: str) -> Options:
    return specs_of(role)["main"].get("options", {})


def every_option(options: Options, *above: str) -> t.Iterator[t.Tuple[str, Options]]:
    """All options at all depths, each with its path."""
    for name, spec in options.items():
        yield ".".join([*above, name]), spec
        yield from every_option(spec.get("options", {}), *above, name)


def is_literal(value: t.Any) -> bool:
    return "{{" not in str(value)


def trusted(value: t.Any) -> t.Any:
    """The same with its templates taken for templates."""
    if isinstance(value, dict):
        return {key: trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) else value


def resolved(role: str) -> Options:
    """A role's defaults as its argument validation sees them: before any task, with vars/main.yml alone."""
    variables = trusted({**defaults_of(role), **loaded(ROLES / role / "vars" / "main.yml")})
    templar = Templar(
        loader=DataLoader(), variables={"ansible_facts": FACTS, "inventory_hostname": "gate", **variables}
    )
    return {name: templar.template(variables[name]) for name in defaults_of(role)}


def strict(options: Options) -> Options:
    """The same, with dictionaries, and lists of them, that Ansible takes for anything: the roles' own checks answer
    better.
    """
    return {
        name: _strict(spec) if spec["type"] == "raw" and "options" in spec else spec for name, spec in options.items()
    }


def _strict(spec: Options) -> Options:
    is_dictionary = isinstance(spec.get("default"), dict)
    return {**spec, **({"type": "dict"} if is_dictionary else {"type": "list", "elements": "dict"})}


def complaints(role: str, given: Options) -> t.List[str]:
    return ArgumentSpecValidator(strict(options_of(role))).validate(given).error_messages


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_argument_specs_name_the_same_variables(role: str) -> None:
    assert sorted(defaults_of(role)) == sorted(options_of(role))


@pytest.mark.parametrize("role", NAMES)
def test_a_default_is_the_same_in_both(role: str) -> None:
    options = options_of(role)
    for name, default in defaults_of(role).items():
        if is_literal(default):
            assert options[name].get("default") == default, name
        else:
            assert "default" not in options[name], f"{name} is worked out: its specification's text says from what"


@pytest.mark.parametrize("role", NAMES)
def test_variables_begin_with_their_roles_name(role: str) -> None:
    assert [name for name in defaults_of(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_every_option_says_what_it_is(role: str) -> None:
    for entry, spec in specs_of(role).items():
        for path, option in every_option(spec.get("options", {})):
            assert option.get("description"), f"{entry}: {path} has no description"
            assert option.get("type"), f"{entry}: {path} has no type"
            assert option["type"] != "list" or option.get("elements"), (
                f"{entry}: {path} does not say what it is a list of"
            )


@pytest.mark.parametrize("role", NAMES)
def test_the_readme_names_every_option(role: str) -> None:
    named = set(re.findall(r"`([^`\n]+)`", (ROLES / role / "README.md").read_text(encoding="utf-8")))
    assert [path for path, _spec in every_option(options_of(role)) if path.rpartition(".")[2] not in named] == []


@pytest.mark.parametrize("role", NAMES)
def test_the_defaults_pass_the_validation_that_comes_before_the_first_task(role: str) -> None:
    assert complaints(role, resolved(role)) == []


# -- wss_proxy, whose options live in _gate/options.py too


def nested(*names: str) -> Options:
    options = options_of("wss_proxy")
    for name in names:
        options = options[name]["options"]
    return options


LEVELS = {
    "wss_proxy_servers": _gate_options.SERVER_DEFAULTS,
    "wss_proxy_servers.listen": _gate_options.LISTEN_DEFAULTS,
    "wss_proxy_servers.locations": _gate_options.LOCATION_DEFAULTS,
    "wss_proxy_servers.client_certificates": _gate_options.CLIENT_CERTIFICATES_DEFAULTS,
    "wss_proxy_servers.error_pages": _gate_options.ERROR_PAGE_DEFAULTS,
    "wss_proxy_upstreams": _gate_options.UPSTREAM_DEFAULTS,
    "wss_proxy_upstreams.servers": _gate_options.PEER_DEFAULTS,
    "wss_proxy_issuers": _gate_options.ISSUER_DEFAULTS,
    "wss_proxy_issuers.keys": _gate_options.ISSUER_KEY_DEFAULTS,
    "wss_proxy_issuers.require": _gate_options.ISSUER_RULE_DEFAULTS,
    "wss_proxy_issuers.headers": _gate_options.ISSUER_HEADER_DEFAULTS,
}


@pytest.mark.parametrize("level", LEVELS)
def test_the_gate_and_its_specification_know_the_same_options_and_defaults(level: str) -> None:
    options = nested(*level.split("."))
    assert list(options) == list(LEVELS[level])
    for name, default in LEVELS[level].items():
        if "default" in options[name]:
            assert options[name]["default"] == default, name
        else:
            # Needed, or worked out from something else.
            assert default in ("", None, {}, []) or options[name].get("required"), name


def test_the_gate_and_its_specification_offer_the_same_choices() -> None:
    assert nested("wss_proxy_servers")["auth"]["choices"] == list(_gate_options.SERVER_AUTH_KINDS)
    # A list of methods is no choice.
    assert all(f"V({kind})" in str(nested("wss_proxy_servers", "locations")["auth"]) for kind in auth.KINDS)
    assert nested("wss_proxy_upstreams")["balancing"]["choices"] == list(_gate_options.BALANCING_METHODS)
    assert nested("wss_proxy_issuers")["algorithms"]["choices"] == list(_gate_options.SIGNATURE_ALGORITHMS)
    assert nested("wss_proxy_upstreams")["scheme"]["choices"] == list(_gate_options.SCHEMES)


def test_the_role_tells_the_gate_all_that_it_asks_for() -> None:
    variables = loaded(ROLES / "wss_proxy" / "vars" / "main.yml")
    told = [name.removeprefix("wss_proxy_") for name in variables["__wss_proxy_context_variables"]]
    assert sorted([*told, *variables["__wss_proxy_context_found"]]) == sorted(_gate_options.CONTEXT_DEFAULTS)


# Every option there is, as an operator may write it.
# Servers with most options, in the types that they may come in.
WHOLE: Options = {
    "wss_proxy_servers": [
        {
            "name": "wcs",
            "server_names": ["wcs.example.com", "*.wcs.example.com"],
            "listen": [
                {"port": 443, "address": "192.0.2.1", "tls": True, "proxy_protocol": True, "default_server": True},
                {"port": "8443", "tls": "yes"},
                {"unix": "/run/gate.sock", "unix_group": "haproxy", "unix_mode": "0660", "tls": False},
            ],
            "certificate": ["ecdsa", "rsa"],
            "locations": [
                {
                    "path": "/wss",
                    "upstream": "https://192.0.2.2:8443",
                    "auth": "token_and_basic",
                    "cookie_name": "__Host-AUTH",
                    "sources": ["cookie"],
                    "origins": ["https://app.example.com", "http://localhost:3000"],
                    "allow_missing_origin": True,
                    "allow_from": ["192.0.2.0/24"],
                    "deny_from": ["192.0.2.7"],
                    "http": {"methods": ["GET", "HEAD"]},
                    "htpasswd_file": "/etc/nginx/.htpasswd",
                    "realm": "Operators (only)",
                    "idle_timeout": 600,
                    "connect_timeout": "5",
                    "messages": "",
                    "message_buffer_size": 16384,
                    "max_attempts_per_second": 5,
                    "max_sessions_per_address": 10,
                    "max_sessions_per_token": 1,
                    "max_session_lifetime": 86400,
                    "max_session_lifetime_spread": 25,
                    "session_listed": True,
                    "client_ip_header": "X-Client-IP",
                    "forward_credentials": True,
                    "upstream_host": "app.internal:8443",
                    "upstream_headers": [{"name": "X-Api-Key", "value": "secret"}],
                    "upstream_verify_enabled": True,
                    "upstream_ca_path": "/etc/ssl/ca.pem",
                    "upstream_tls_name": "wcs.internal",
                    "client_certificate_required": True,
                    "extra_directives": "proxy_buffering off;",
                },
                {
                    "path": "/auth/",
                    "upstream": "app",
                    "auth": "external",
                    "external_auth_url": "http://127.0.0.1:9000/check",
                },
            ],
            "http_redirect_enabled": True,
            "http_redirect_port": 8080,
            "auth": "basic",
            "htpasswd_file": "/etc/nginx/.htpasswd",
            "realm": "Restricted",
            "root": "/srv/www",
            "index": ["index.html"],
            "error_pages": [{"codes": [404, 500], "path": "/error.html"}],
            "trusted_proxies": ["10.0.0.0/8", "unix:"],
            "refuse_untrusted_proxies": True,
            "real_ip_header": "X-Forwarded-For",
            "allow_from": ["192.0.2.0/24", "2001:db8::/32"],
            "deny_from": ["192.0.2.7"],
            "hsts_max_age": 31536000,
            "http2_enabled": True,
            "client_max_body_size": "500m",
            "client_certificates": {
                "ca_path": "/etc/ssl/a.pem",
                "crl_path": "/etc/ssl/b.pem",
                "required": False,
                "subject_header": "X-Subject",
                "depth": 2,
            },
            "connection_check_path": "/check",
            "extra_directives": "gzip off;",
        },
        {
            "name": "lone",
            "certificate": "rsa",
            "listen": [{"port": 9443}],
            "locations": [{"path": "/", "upstream": "ws://127.0.0.1:8080"}],
            "client_certificates": {},
            "client_max_body_size": 0,
        },
    ],
    "wss_proxy_upstreams": [
        {
            "name": "app",
            "scheme": "wss",
            "servers": [
                "app.example:8443",
                {
                    "address": "unix:/run/app.sock",
                    "weight": 2,
                    "max_fails": 0,
                    "fail_timeout": 5,
                    "backup": True,
                    "down": True,
                },
            ],
            "balancing": "least_conn",
            "hash_key": "$remote_addr consistent",
            "verify_enabled": True,
            "ca_path": "/etc/ssl/ca.pem",
            "tls_name": "app.example",
        }
    ],
    "wss_proxy_issuers": [
        {
            "name": "main",
            "issuer": "https://id.example.com",
            "audience": ["wss"],
            "keys": [{"source": "keys/main.pem"}, {"path": "/etc/ssl/main.pem"}],
            "clock_skew": "10",
        }
    ],
    "wss_proxy_certificates": [{"name": "ecdsa", "provider": "selfsigned"}, {"name": "rsa", "provider": "files"}],
    "wss_proxy_htpasswd_files": [{"path": "/etc/nginx/.htpasswd", "users": []}],
    "wss_proxy_tls_profile": "modern",
}


def whole_but(level: str, name: str, value: t.Any) -> Options:
    changed = copy.deepcopy(WHOLE)
    place = changed
    for key in level.split("."):
        place = place[key][0] if isinstance(place[key], list) else place[key]
    place[name] = value
    return changed


def test_the_specification_takes_every_option_that_the_gate_takes() -> None:
    named = {path for path, _option in every_option(options_of("wss_proxy"))}
    # The golden set has every option, as another test asks of it.
    golden = {
        name: value
        for name, value in loaded(ROLES.parent / "tests/unit/data/golden/options.yml").items()
        if name in ("wss_proxy_servers", "wss_proxy_upstreams", "wss_proxy_issuers")
    }
    used = {*paths_of(WHOLE), *paths_of(golden)}
    assert {path for path in named if "." in path} == {
        path for path in used if "." in path and not path.startswith(("wss_proxy_cert", "wss_proxy_htp"))
    }
    assert complaints("wss_proxy", {**resolved("wss_proxy"), **golden}) == []
    assert complaints("wss_proxy", {**resolved("wss_proxy"), **WHOLE}) == []
    context = {
        "upstreams": WHOLE["wss_proxy_upstreams"],
        "certificates": WHOLE["wss_proxy_certificates"],
        "htpasswd_files": WHOLE["wss_proxy_htpasswd_files"],
        "token_store_path": "/var/lib/nginx/tokens",
        "session_log_path": "/var/log/nginx/wssgate/sessions.log",
    }
    assert _gate.gate_errors(WHOLE["wss_proxy_servers"], context) == []


def paths_of(value: t.Any, *above: str) -> t.Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            for key, inner in item.items():
                yield ".".join([*above, key])
                yield from paths_of(inner, *above, key)


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        ("wss_proxy_servers", "naem", "x"),
        ("wss_proxy_servers", "auth", "token"),
        ("wss_proxy_servers", "hsts_max_age", "1y"),
        ("wss_proxy_servers", "http2_enabled", "perhaps"),
        ("wss_proxy_servers.locations", "origin", "https://a.example"),
        ("wss_proxy_servers.listen", "ssl", True),
        ("wss_proxy_servers.client_certificates", "depth", "deep"),
        ("wss_proxy_servers.error_pages", "codes", ["all"]),
        ("wss_proxy_upstreams", "balancing", "fastest"),
        ("wss_proxy_upstreams", "scheme", "h2"),
    ],
)
def test_the_specification_refuses_what_no_option_can_be(level: str, name: str, value: t.Any) -> None:
    given = whole_but(level, name, value)
    found = complaints("wss_proxy", given)
    assert found
    assert all(name in message for message in found)
    # Whose answer the operator gets.
    context = {
        "upstreams": given["wss_proxy_upstreams"],
        "certificates": WHOLE["wss_proxy_certificates"],
        "htpasswd_files": WHOLE["wss_proxy_htpasswd_files"],
    }
    assert any(name.removesuffix("s") in message for message in _gate.gate_errors(given["wss_proxy_servers"], context))


# -- guides

GUIDES = [
    path
    for path in [*ROLES.parent.glob("docs/**/*.md"), *ROLES.glob("*/README.md"), ROLES.parent / "README.md"]
    if path.exists()
]
MODULES = {path.stem for path in (ROLES.parent / "plugins" / "modules").glob("*.py")}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(ROLES.parent)))
def test_guides_name_only_variables_that_there_are(guide: Path) -> None:
    known = {name for role in NAMES for name in defaults_of(role)} | MODULES | set(NAMES) | set(_role_variables.RESULTS)
    entry_points = [spec.get("options", {}) for role in NAMES for spec in specs_of(role).values()]
    known |= {name for options in entry_points for path, _option in every_option(options) for name in path.split(".")}
    code = re.findall(r"`([^`\n]+)`", guide.read_text(encoding="utf-8"))
    named = {word for text in code for word in re.findall(rf"\b(?:{'|'.join(NAMES)})_[a-z0-9_]+\b(?!\.)", text)}
    assert named - known == set()


# -- nginx, whose drop-in and ports follow from what the gate needs


def worked_out(name: str, **given: t.Any) -> t.Any:
    """One of role nginx's own variables, in an inventory that says this."""
    variables = trusted({**defaults_of("nginx"), **loaded(ROLES / "nginx" / "vars" / "main.yml"), **given})
    return Templar(loader=DataLoader(), variables={"ansible_facts": FACTS, **variables}).template(variables[name])


@pytest.mark.parametrize(
    ("upstream", "listen", "is_shared"),
    [
        ("http://127.0.0.1:8080", [{"port": 443}], False),
        ("http://unix:/run/app.sock", [{"unix": "/run/gate.sock"}], False),
        ("http://unix:/tmp/app.sock", [{"port": 443}], True),
        ("http://unix:/var/tmp/app.sock", [{"port": 443}], True),
        ("http://127.0.0.1:8080", [{"unix": "/tmp/gate.sock"}], True),
        ("http://unix:/srv/tmp/app.sock", [{"port": 443}], False),
    ],
)
def test_a_socket_in_tmp_is_shared_with_nginx(upstream: str, listen: t.List[Options], is_shared: bool) -> None:
    servers = [{"name": "a", "listen": listen, "locations": [{"path": "/wss", "upstream": upstream}]}]
    assert worked_out("__nginx_needs", wss_proxy_servers=servers)["shared_tmp"] is is_shared
    groups = [{"name": "g", "servers": [{"address": "unix:/tmp/app.sock"}]}]
    assert worked_out("__nginx_needs", wss_proxy_servers=servers, wss_proxy_upstreams=groups)["shared_tmp"] is True
    assert (
        worked_out("__nginx_needs", wss_proxy_servers=servers, wss_proxy_drain_path="/tmp/drain")["shared_tmp"] is True
    )


def test_nginx_may_write_where_it_has_to() -> None:
    assert worked_out("__nginx_sandbox_paths") == []
    servers = [{"name": "a", "listen": [{"unix": "/srv/gate/a.sock"}, {"unix": "/run/b.sock"}, {"port": 443}]}]
    found = worked_out(
        "__nginx_sandbox_paths",
        wss_proxy_servers=servers,
        nginx_log_directory="/srv/log",
        nginx_writable_paths=["/srv/uploads", "/var/www", "/variant"],
        wss_proxy_access_log_path="/srv/sessions/access.log",
    )
    assert found == ["/srv/log", "/srv/gate", "/srv/sessions", "/srv/uploads", "/variant"]


def test_what_a_play_hands_over_is_what_nginx_goes_by() -> None:
    given = {"sockets": [{"path": "/run/a.sock"}], "ports": ["443"], "shared_tmp": "yes"}
    assert worked_out("__nginx_needs", nginx_needs=given, wss_proxy_servers=[{"name": "a"}]) == {
        "sockets": [{"path": "/run/a.sock"}],
        "ports": [443],
        "writable_paths": [],
        "shared_tmp": True,
        "javascript": False,
    }


SIGNED = {"nginx_needs": {"javascript": True}}
LINKED = {"__nginx_javascript_enabled": {"stdout": "/etc/nginx/modules-enabled/50-mod-http-js.conf"}}


@pytest.mark.parametrize(
    ("given", "packages", "is_loaded"),
    [
        ({}, ["nginx"], False),
        (SIGNED, ["nginx", "libnginx-mod-http-js"], True),
        # Somebody else's modules-enabled loads it: twice would be an error.
        ({**SIGNED, **LINKED}, ["nginx", "libnginx-mod-http-js"], False),
        ({**SIGNED, "nginx_javascript_module": "builtin", "nginx_javascript_packages": []}, ["nginx"], False),
    ],
)
def test_the_javascript_module_is_there_where_signed_tokens_are(
    given: Options, packages: t.List[str], is_loaded: bool
) -> None:
    known = {"__nginx_javascript_enabled": {}, "wss_proxy_servers": [], **given}
    assert worked_out("__nginx_wanted_packages", **known) == packages
    assert worked_out("__nginx_loads_javascript", **known) is is_loaded


def test_the_firewall_opens_the_ports_of_the_gate_s_servers() -> None:
    servers = [{"name": "a", "listen": [{"port": 8443}, {"port": 9443, "address": "127.0.0.1"}]}]
    assert worked_out("__nginx_needs", wss_proxy_servers=servers)["ports"] == [80, 8443]
    assert worked_out("__nginx_needs", wss_proxy_servers=servers, wss_proxy_http_redirect_enabled="false")["ports"] == [
        8443
    ]
    assert worked_out("__nginx_needs")["ports"] == []
