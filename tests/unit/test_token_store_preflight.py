# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role token_store refuses paths at which the pruner that systemd runs may not look."""

from __future__ import annotations

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


def words_for(service_mgr: str, named: str = "reach the paths", **given: t.Any) -> str | None:
    """What the task of the preflight so named says; None where it passes or is skipped."""
    tasks = yaml.safe_load((ROLE / "tasks" / "preflight.yml").read_text(encoding="utf-8"))
    (task,) = [task for task in tasks if named in task["name"]]
    variables = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")),
        **{name: trust_as_template(value) for name, value in task.get("vars", {}).items()},
        "ansible_facts": {"service_mgr": service_mgr},
        "inventory_hostname": "gate",
        **given,
    }
    templar = Templar(loader=DataLoader(), variables=variables)

    def value(expression: str) -> t.Any:
        return templar.template(trust_as_template(f"{{{{ ({expression}) | bool }}}}"))

    that = task["ansible.builtin.assert"]["that"]
    if not value(task["when"]) or all(map(value, [that] if isinstance(that, str) else that)):
        return None
    return templar.template(trust_as_template(task["ansible.builtin.assert"]["fail_msg"]))


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
    named = "the agent is there that writes metrics"
    words = words_for(service_mgr, named, token_store_pruner=pruner, token_store_metrics_file=METRICS)
    assert (words is not None) == is_refused
    assert words is None or words.startswith("token_store_metrics_file needs the agent")
    assert words_for(service_mgr, named, token_store_pruner=pruner, token_store_metrics_file="") is None


KEY = "whsec_" + "c2VjcmV0" * 4
TOLD = {"token_store_notify_url": "https://app.example.com/ending", "token_store_notify_key": KEY}


def notify_words(service_mgr: str = "systemd", **given: t.Any) -> list[str]:
    """What is wrong with the settings of notifications."""
    variables = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")),
        **{name: trusted(value) for name, value in loaded_vars().items()},
        "ansible_facts": {"service_mgr": service_mgr},
        "inventory_hostname": "gate",
        **given,
    }
    variables["__token_store_notify_grace"] = variables["token_store_notify_grace"]
    templar = Templar(loader=DataLoader(), variables=variables)
    rules = templar.template(variables["__token_store_notify_rules"])
    return [rule["words"] for rule in rules if rule["is_broken"]]


def loaded_vars() -> dict[str, t.Any]:
    return {
        name: value
        for name, value in yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8")).items()
        if name == "__token_store_notify_rules"
    }


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, list):
        return [trusted(one) for one in value]
    if isinstance(value, dict):
        return {name: trusted(one) for name, one in value.items()}
    return trust_as_template(value)


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
