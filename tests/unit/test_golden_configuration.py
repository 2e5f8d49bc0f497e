# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The complete configuration that the roles render, compared byte by byte with the files below data/golden/.

A change of the gate's code or of a template shows there as a diff. `make golden` writes the files anew; read the diff
before it is committed. The gates are those of molecule/documents, molecule/attacks and molecule/monitoring, and one
that has every option (data/golden/options.yml).
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import auth, options as gate_options

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "unit" / "data" / "golden"
# Set: the files are written, not compared.
WRITE = "WSSGATE_GOLDEN"

# What Debian 12 and 13 have.
OLDER = {"nginx_found": {"version": "1.22.1", "openssl_version": "3.0.17", "packages": ["nginx"]}}
NEWER = {"nginx_found": {"version": "1.26.3", "openssl_version": "3.5.1", "packages": ["nginx"]}}

Options = t.Dict[str, t.Any]


def load(path: Path) -> Options:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def every_option() -> Options:
    return load(GOLDEN / "options.yml")


def hosts() -> t.Dict[str, Options]:
    """The variables of each set, by its name."""
    inventory = load(ROOT / "molecule/documents/molecule.yml")["provisioner"]["inventory"]
    scraped = load(ROOT / "molecule/monitoring/molecule.yml")["provisioner"]["inventory"]["group_vars"]["wss_proxies"]
    # What molecule makes of $$.
    documents = json.loads(json.dumps(inventory["group_vars"]["wss_proxies"]).replace("$$", "$"))
    return {
        "documents-debian12": {**documents, **OLDER},
        "documents-debian13": {**documents, **inventory["host_vars"]["wssgate-documents-debian13"], **NEWER},
        "attacks": {**load(ROOT / "molecule/attacks/vars/gate.yml"), **NEWER},
        "monitoring": {**scraped, **NEWER},
        "options-debian12": {**every_option(), **OLDER},
        "options-debian13": {**every_option(), "wss_proxy_tls_profile": "modern", **NEWER},
    }


# The same as set "monitoring", for what metrics add to it. Nothing of it is kept.
UNMONITORED = "unmonitored"


def without_copies(text: str) -> str:
    """Without the scripts and the style that are in it word for word: they are files of their own."""
    for name in ("connection_check.js", "connection_check.css", "jwt.js"):
        copy = (ROOT / "roles/wss_proxy/files" / name).read_text(encoding="utf-8").strip()
        text = text.replace(copy, f"({name})")
    return text


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> t.Dict[str, str]:
    """The text of every file, by its set and path."""
    folder = tmp_path_factory.mktemp("golden")
    common = {
        "ansible_python_interpreter": sys.executable,
        "golden_folder": str(folder),
        "golden_nginx_template": str(ROOT / "roles/nginx/templates/nginx.conf.j2"),
    }
    inventory = folder / "inventory.json"
    every = {**hosts(), UNMONITORED: {**hosts()["monitoring"], "monitoring_enabled": False}}
    inventory.write_text(json.dumps({"all": {"hosts": every, "vars": common}}))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), str(GOLDEN / "play.yml")],
        cwd=folder,
        env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return {
        f"{name}/{path}": without_copies(text)
        for name in every
        for path, text in json.loads((folder / f"{name}.json").read_text(encoding="utf-8")).items()
    }


@pytest.fixture(scope="module")
def rendered(played: t.Dict[str, str]) -> t.Dict[str, str]:
    """The text of every file, by its path below data/golden."""
    found = {path: text for path, text in played.items() if not path.startswith(f"{UNMONITORED}/")}
    if os.environ.get(WRITE):
        for name in hosts():
            shutil.rmtree(GOLDEN / name, ignore_errors=True)
        for path, text in found.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_text(text, encoding="utf-8", newline="")
    return found


def golden() -> t.Dict[str, str]:
    files = (path for path in sorted(GOLDEN.glob("*/**/*")) if path.is_file())
    return {str(path.relative_to(GOLDEN)): path.read_bytes().decode() for path in files}


def test_the_configuration_is_the_golden_one(rendered: t.Dict[str, str]) -> None:
    expected = golden()
    diff = [
        line
        for path in sorted({*expected, *rendered})
        if expected.get(path) != rendered.get(path)
        for line in difflib.unified_diff(
            expected.get(path, "").splitlines(),
            rendered.get(path, "").splitlines(),
            f"golden/{path}",
            f"rendered/{path}",
            n=2,
            lineterm="",
        )
    ]
    assert expected == rendered, "\n".join([*diff, "", "If this is what you want: make golden"])


def test_every_file_has_its_first_line_and_ends_with_a_newline(rendered: t.Dict[str, str]) -> None:
    """What nginx_config knows its own files by."""
    for path, text in rendered.items():
        assert "wssgate.nginx" in "".join(text.splitlines(keepends=True)[:2]), path
        assert text.endswith("\n"), path


def test_metrics_add_nothing_to_the_way_of_a_handshake(played: t.Dict[str, str]) -> None:
    """A server of its own, and variables that nobody else asks for: a handshake takes no instruction more."""
    without, scraped = (
        {path.partition("/")[2]: text for path, text in played.items() if path.startswith(f"{name}/")}
        for name in (UNMONITORED, "monitoring")
    )
    assert set(scraped) - set(without) == {"wssgate.d/metrics.conf"} and set(without) <= set(scraped)
    geo = re.compile(r"\n# the metrics: allow_from\ngeo \$(\w+) \{[^}]*\}\n")
    (variable,) = geo.findall(scraped["wssgate.d/gate.conf"])
    scraped["wssgate.d/gate.conf"] = geo.sub("", scraped["wssgate.d/gate.conf"])
    # nginx works out the value of a geo when it is asked for.
    assert f"${variable}" in scraped.pop("wssgate.d/metrics.conf")
    assert scraped == without


def dictionaries(value: t.Any) -> t.List[Options]:
    return [item for item in value if isinstance(item, dict)]


def test_the_golden_set_has_every_option() -> None:
    variables = every_option()
    servers = variables["wss_proxy_servers"]
    upstreams = variables["wss_proxy_upstreams"]
    issuers = variables["wss_proxy_issuers"]
    locations = [item for server in servers for item in server["locations"]]
    used = {
        "wss_proxy_servers": servers,
        "wss_proxy_servers.listen": [item for server in servers for item in server.get("listen", [])],
        "wss_proxy_servers.locations": locations,
        "wss_proxy_servers.locations.upstream_headers": [
            item for location in locations for item in location.get("upstream_headers", [])
        ],
        "wss_proxy_servers.locations.auth": dictionaries(item.get("auth") for item in locations),
        "wss_proxy_servers.locations.http": dictionaries(item.get("http") for item in locations),
        "wss_proxy_servers.client_certificates": dictionaries(s.get("client_certificates") for s in servers),
        "wss_proxy_servers.error_pages": [item for server in servers for item in server.get("error_pages", [])],
        "wss_proxy_issuers": issuers,
        # No file is read here.
        "wss_proxy_issuers.keys": [{"source": "", "path": ""}, *(key for issuer in issuers for key in issuer["keys"])],
        "wss_proxy_issuers.require": [rule for issuer in issuers for rule in issuer.get("require", [])],
        "wss_proxy_issuers.headers": [header for issuer in issuers for header in issuer.get("headers", [])],
        "wss_proxy_upstreams": upstreams,
        "wss_proxy_upstreams.servers": dictionaries(item for group in upstreams for item in group["servers"]),
    }
    assert set(used) == set(gate_options.OPTIONS)
    for name, options in gate_options.OPTIONS.items():
        missing = set(options).difference(*used[name])
        assert not missing, f"options.yml has no {', '.join(sorted(missing))} in {name}"
    methods = [item.get("auth", "token") for item in locations]
    assert {method for method in methods if isinstance(method, str)} == set(auth.KINDS)
    assert {name for item in dictionaries(methods) for names in item.values() for name in names} == set(
        gate_options.AUTH_LISTED
    )
    assert {item["balancing"] for item in upstreams} == set(gate_options.BALANCING_METHODS) - {"round_robin"}
    assert {item["scheme"] for item in upstreams} == set(gate_options.SCHEMES)


def test_every_method_of_authentication_has_its_part_of_the_templates() -> None:
    parts = {path.stem for path in (ROOT / "roles/wss_proxy/templates/parts/auth").glob("*.j2")}
    assert parts == {"combined", *(method.name for method in auth.METHODS)}
