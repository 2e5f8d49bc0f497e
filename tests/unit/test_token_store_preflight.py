# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role token_store refuses paths at which the pruner that systemd runs may not look."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


ROLE = Path(__file__).resolve().parents[2] / "roles" / "token_store"


def words_for(service_mgr: str, named: str = "the pruner that systemd runs", **given: t.Any) -> str | None:
    """The words of the rule that has these in it; None where it is kept."""
    found = [words for words in rules_broken("__token_store_rules", service_mgr, **given) if named in words]
    return found[0] if found else None


def rules_broken(name: str, service_mgr: str, **given: t.Any) -> list[str]:
    """What is wrong with the settings by these rules."""
    variables = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")),
        **{name: trusted(value) for name, value in role_variables().items()},
        "ansible_facts": {"service_mgr": service_mgr},
        "inventory_hostname": "gate",
        "token_store_group": "www-data",
        "token_store_metrics_file": "",
        **given,
    }
    templar = Templar(loader=DataLoader(), variables=variables)
    return [rule["words"] for rule in templar.template(variables[name]) if rule["is_broken"]]


def role_variables() -> dict[str, t.Any]:
    return yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ["/root/tokens", "/home/gate/tokens", "/home", "//home/tokens", "/run/user/0/tokens"])
def test_a_store_that_the_unit_cannot_see_is_refused(path: str) -> None:
    words = words_for("systemd", token_store_path=path)
    assert words is not None and words.startswith(f"token_store_path {path}: ") and "token_store_pruner: cron" in words
    assert words_for("sysvinit", token_store_path=path) is None
    assert words_for("sysvinit", token_store_path=path, token_store_pruner="systemd") is not None
    assert words_for("systemd", token_store_path=path, token_store_pruner="cron") is None
    assert words_for("systemd", token_store_path=path, token_store_pruner="none") is None


def test_so_is_a_session_log() -> None:
    words = words_for("systemd", token_store_session_log="/root/sessions.log")
    assert words is not None and words.startswith("token_store_session_log /root/sessions.log: ")


@pytest.mark.parametrize("path", ["/var/lib/nginx/tokens", "/homes/tokens", "/srv/home/tokens", "/rooted"])
def test_other_paths_are_no_matter(path: str) -> None:
    assert words_for("systemd", token_store_path=path, token_store_session_log="") is None


METRICS = "/run/wssgate-metrics/agent.prom"


@pytest.mark.parametrize(
    ("service_mgr", "pruner", "is_refused"),
    [
        ("systemd", "auto", False),
        ("systemd", "agent", False),
        ("sysvinit", "agent", False),
        ("sysvinit", "auto", True),
        ("systemd", "systemd", True),
        ("systemd", "cron", True),
        ("systemd", "none", True),
    ],
)
def test_metrics_without_the_agent_are_refused(service_mgr: str, pruner: str, is_refused: bool) -> None:
    named = "token_store_metrics_file needs the agent"
    words = words_for(service_mgr, named, token_store_pruner=pruner, token_store_metrics_file=METRICS)
    assert (words is not None) == is_refused
    assert words is None or words.startswith("token_store_metrics_file needs the agent")
    assert words_for(service_mgr, named, token_store_pruner=pruner, token_store_metrics_file="") is None


KEY = "whsec_" + "c2VjcmV0" * 4
TOLD = {"token_store_notify_url": "https://app.example.com/ending", "token_store_notify_key": KEY}


def notify_words(service_mgr: str = "systemd", **given: t.Any) -> list[str]:
    """What is wrong with the settings of notifications."""
    return rules_broken("__token_store_notify_rules", service_mgr, **given)


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {name: trusted(one) for name, one in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"token_store_notify_url": ""}, "need token_store_notify_url"),
        ({"token_store_notify_url": "ftp://app.example.com"}, "token_store_notify_url must be http://"),
        ({"token_store_notify_url": "https://user:secret@app.example.com"}, "without blanks, user and password"),
        ({"token_store_notify_url": "http://unix:run/app.sock"}, None),
        ({"token_store_notify_key": ""}, "token_store_notify_key must be whsec_"),
        ({"token_store_notify_key": "whsec_c2VjcmV0"}, "token_store_notify_key must be whsec_"),
        ({"token_store_notify_key": KEY.removeprefix("whsec_")}, "token_store_notify_key must be whsec_"),
        ({"token_store_notify_key": KEY + "\n"}, "token_store_notify_key must be whsec_"),
        ({"token_store_notify_grace": 61}, "must be 0 to 60 seconds, not 61"),
        ({"token_store_notify_grace": -1}, "must be 0 to 60 seconds, not -1"),
        ({"token_store_notify_ca_path": "ca.pem"}, "token_store_notify_ca_path must be an absolute path"),
        ({"token_store_pruner": "cron"}, "needs the agent"),
        ({"token_store_pruner": "none"}, "needs the agent"),
        ({"service_mgr": "sysvinit"}, "needs the agent"),
        ({"token_store_session_log": ""}, "needs token_store_session_log"),
    ],
)
def test_each_mistake_about_notifications_is_one_sentence_without_the_key(
    changes: dict[str, t.Any], words: str | None
) -> None:
    found = notify_words(**{**TOLD, **changes})
    # unix: without a path would be the name of a host: the module refuses its port.
    assert [words in one for one in found] == ([] if words is None else [True])
    assert KEY not in str(found)


def test_an_application_may_be_told_over_tcp_over_tls_and_through_a_unix_socket() -> None:
    assert notify_words() == []
    for url in ("http://127.0.0.1:8080", "https://[::1]/x?y=%20", "http://unix:/run/app.sock:/ending"):
        assert notify_words(**{**TOLD, "token_store_notify_url": url, "token_store_notify_grace": 60}) == []
    assert notify_words(**TOLD, token_store_notify_ca_path="/etc/ssl/own.pem") == []


@pytest.mark.parametrize("name", ["token_store_path", "token_store_session_log", "token_store_metrics_file"])
@pytest.mark.parametrize(
    "path", ["tokens", "//", "/", "/var/../etc", "/var/tokens/..", "/var/lib/my tokens", "/tokens\n", " /tokens", "/\t"]
)
def test_a_path_is_absolute_and_leads_nowhere_else(name: str, path: str) -> None:
    words = f"{name} must be an absolute path without blanks and '..', not {json.dumps(path)}."
    assert words in rules_broken("__token_store_rules", "systemd", **{name: path})


@pytest.mark.parametrize("path", ["/srv/tokens", "/srv/..tokens", "/srv/tokens..", "/srv/a..b/tokens", "/a"])
def test_other_paths_are_fine(path: str) -> None:
    assert rules_broken("__token_store_rules", "systemd", token_store_path=path) == []


def test_a_store_without_a_path_is_none() -> None:
    (words,) = rules_broken("__token_store_rules", "systemd", token_store_path="")
    assert words == "token_store_path must be an absolute path without blanks and '..', not \"empty\"."
    # A session log and metrics there need not be.
    assert rules_broken("__token_store_rules", "systemd", token_store_session_log="") == []


@pytest.mark.parametrize(
    "given",
    [{"token_store_owner": ""}, {"token_store_group": ""}, *({"token_store_mode": m} for m in ("0777", "0731"))],
)
def test_a_store_that_others_may_write_is_refused(given: dict[str, str]) -> None:
    (words,) = rules_broken("__token_store_rules", "systemd", **given)
    assert "must be octal digits in quotes" in words
