# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import grp
import hashlib
import importlib.machinery
import json
import os
import pwd
import stat
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run as host_run
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import install as pruner
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import metrics_settings
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import state as pruner_state
from ansible_collections.wssgate.nginx.plugins.module_utils._host import shipped
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import merge
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import settings as hub_settings
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import owed
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import LEFT_SOMETHING
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import (
    Attributes,
    Draft,
    document_of,
    fingerprint,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store
from ansible_collections.wssgate.nginx.plugins.modules import wss_token_pruner, wss_token_pruner_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

ENDED = "ended-token-of-16"
LASTING = "lasting-token-of-16"
PYTHON = shipped.choose_python(sys.executable)
AGENT = "wssgate-agent.service"
TIMER = "wssgate-token-prune.timer"
SERVICE = "wssgate-token-prune.service"
# Of nobody
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIUSJsO/7BTfXiX6YeToXy0jNIuZlgwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJQXV0aG9yaXR5MB4XDTI2MTEyOTAyNDE1NloXDTM2MTEyNjAy
NDE1NlowFDESMBAGA1UEAwwJQXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEeys8Dl9/kJ3i/jYZ1AS6aMskCQOIndf3bfIZXzof+ew1P06d1dv4gfF/
RHv9m7xVuCyDEY69I+TExr2ZB3BsuaNTMFEwHQYDVR0OBBYEFAUlP+6SIWV0TCMD
1TiPmLiVYlUFMB8GA1UdIwQYMBaAFAUlP+6SIWV0TCMD1TiPmLiVYlUFMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgAj+jwDjDzpi36JJ60hnpghqt
kmEB+o+TrzEWZphXdJ8CIDEfVF62nNfOfY9SMHMeWsdG8c59i3ndmRrk3Pay5oh0
-----END CERTIFICATE-----
"""
AGENT_CODE = {
    "_agent/gate_look.py",
    "_agent/metrics.py",
    "_agent/metrics_settings.py",
    "_agent/session_counts.py",
    "_certificates/__init__.py",
    "_certificates/x509.py",
    "_nginx/__init__.py",
    "_nginx/capacity.py",
    "_nginx/connections.py",
    "_nginx/error.py",
    "_nginx/files.py",
    "_nginx/live.py",
    "_nginx/process.py",
    "_nginx/syntax.py",
    "_agent/agent.py",
    "_agent/asked.py",
    "_agent/asking.py",
    "_agent/causes.py",
    "_agent/ending.py",
    "_agent/duties.py",
    "_agent/duty.py",
    "_agent/key_set_duty.py",
    "_agent/hub.py",
    "_agent/hub_held.py",
    "_agent/hub_lost.py",
    "_agent/hub_marker.py",
    "_agent/hub_position.py",
    "_agent/hub_refused.py",
    "_agent/hub_removed.py",
    "_agent/hub_signed.py",
    "_agent/hub_store.py",
    "_agent/left_open.py",
    "_agent/lifetime.py",
    "_agent/look_ahead.py",
    "_agent/order_duty.py",
    "_agent/order_work.py",
    "_agent/orders.py",
    "_agent/revocations.py",
    "_agent/log_watch.py",
    "_agent/notify.py",
    "_agent/settings.py",
    "_agent/service.py",
    "_agent/store_watch.py",
    "_agent/webhook.py",
    "_host/files.py",
    "_host/http_client.py",
    "_host/inotify.py",
    "_host/lent.py",
    "_host/systemd.py",
    "_host/wall_timer.py",
    "_issuers/__init__.py",
    "_issuers/fetch.py",
    "_issuers/jwk.py",
    "_issuers/key_sets.py",
    "_issuers/state.py",
    "_hub/__init__.py",
    "_hub/client.py",
    "_hub/connection.py",
    "_hub/error.py",
    "_hub/flooding.py",
    "_hub/following.py",
    "_hub/held.py",
    "_hub/keys.py",
    "_hub/merge.py",
    "_hub/records.py",
    "_hub/settings.py",
    "_hub/trimming.py",
    "_hub/wire.py",
    "_sessions/selection.py",
    "_tokens/request.py",
}
# That of a package which an earlier task of the play installs.
GROUP_TO_COME = "group-to-come"
CODE = {
    "__init__.py",
    "_agent/__init__.py",
    "_agent/notify_settings.py",
    "_agent/prune.py",
    "_agent/revoking.py",
    "_host/__init__.py",
    "_host/endpoint.py",
    "_host/error.py",
    "_host/files.py",
    "_host/locks.py",
    "_host/run.py",
    "_revocations/__init__.py",
    "_revocations/store.py",
    "_sessions/__init__.py",
    "_sessions/ending.py",
    "_sessions/lines.py",
    "_sessions/follow.py",
    "_sessions/log.py",
    "_sessions/sockets.py",
    "_sessions/protection.py",
    "_sessions/workers.py",
    "_tokens/__init__.py",
    "_tokens/pattern.py",
    "_tokens/record.py",
    "_tokens/folder.py",
    "_tokens/owed.py",
    "_tokens/writing.py",
    "_tokens/store.py",
}


class Machine:
    """The folders that the module writes to, elsewhere, and the calls of systemctl."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units, self.cron = root / "systemd", root / "cron.d"
        self.library = root / "lib" / "wssgate"
        self.store, self.log = root / "tokens", root / "log" / "sessions.log"
        for folder in (self.units, self.cron, self.store, self.log.parent):
            folder.mkdir(parents=True)
        self.scheduler = "systemd"
        self.on = False
        self.calls: list[list[str]] = []
        self.journal: list[str] = []
        self.service = {"Result": "success", "ExecMainStatus": "0"}
        self.under_way = 0
        self.timer = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}

        # What the agent reports
        self.agent = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "StatusText": "4 sessions",
        }
        self.running: set[str] = set()

    def run(self, words: list[str], limit: float = host_run.LIMIT) -> host_run.Finished:
        if words[0] == "journalctl":
            return host_run.Finished(0, "".join(f"{line}\n" for line in self.journal))
        if words[0] != "systemctl":
            return host_run.run(words, limit)
        verb = words[1]
        if verb == "show":
            found = {**self.service, **self.timer, "InvocationID": "f" * 32}
            if words[2] == SERVICE:
                if self.under_way:  # nobody knows yet how it ends
                    self.under_way -= 1
                    found.update(ActiveState="activating", Result="success", ExecMainStatus="0")
                else:
                    found["ActiveState"] = "inactive"
            if words[2] == AGENT:
                found.update(self.agent)
            wanted = words[3].partition("=")[2].split(",")
            return host_run.Finished(0, "".join(f"{name}={found[name]}\n" for name in wanted))
        if verb in ("is-enabled", "is-active"):
            is_on = AGENT in self.running if words[-1] == AGENT else self.on
            return host_run.Finished(0 if is_on else 1, "")
        self.calls.append(words[1:])
        if verb in ("enable", "disable") and words[-1] == AGENT:
            self.running = {AGENT} if verb == "enable" else set()
        elif verb in ("enable", "disable"):
            self.on = verb == "enable"
        return host_run.Finished(0, "")

    def files(self) -> set[str]:
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        return {name for name in found if "__pycache__" not in name}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(pruner, "UNITS", str(machine.units))
    monkeypatch.setattr(pruner, "CRON", str(machine.cron))
    monkeypatch.setattr(pruner, "STATE", str(tmp_path / "state"), raising=False)
    monkeypatch.setattr(wss_token_pruner, "STATE", str(tmp_path / "state"))
    monkeypatch.setattr(pruner, "TMPFILES", str(tmp_path / "tmpfiles"))
    monkeypatch.setattr(hub_settings, "MARKER", str(tmp_path / "run/hub/caught-up"))
    for name, value in (("UNITS", machine.units), ("CRON", machine.cron)):
        monkeypatch.setattr(pruner_state, name, str(value))
    monkeypatch.setattr(wss_token_pruner, "UNITS", str(machine.units))
    monkeypatch.setattr(wss_token_pruner, "detect_scheduler", lambda: machine.scheduler)
    monkeypatch.setattr(wss_token_pruner, "runs_systemd", lambda: machine.scheduler in ("agent", "systemd"))
    for module in (wss_token_pruner, pruner_state):
        monkeypatch.setattr(module, "run", machine.run)
    return machine


@pytest.fixture
def run(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(**arguments: Any) -> dict[str, Any]:
        arguments = {
            "store": str(machine.store), "session_log": str(machine.log), "directory": str(machine.library),
            **arguments,
        }  # fmt: skip
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wss_token_pruner.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call


def issue(machine: Machine) -> None:
    with open_store(str(machine.store)) as store:
        drafts = [Draft(ENDED, document_of("x", 1, 2)), Draft(LASTING, document_of("x", 1, 2**31))]
        store.write(drafts, Attributes())


def names(machine: Machine) -> set[str]:
    return {path.name for path in machine.store.iterdir() if path.name != owed.ENDED}


def library() -> set[str]:
    return {"lib/wssgate/prune", *(f"lib/wssgate/wssgate_tokens/{name}" for name in CODE)}


# The agent


def agent_files() -> set[str]:
    return library() | {"lib/wssgate/agent", *(f"lib/wssgate/wssgate_tokens/{name}" for name in AGENT_CODE)}


def test_the_agent_its_unit_and_all_of_its_code_are_there_and_it_runs(machine: Machine, run: Any) -> None:
    answer = run(scheduler="agent")
    assert (answer["changed"], answer["scheduler"]) == (True, "agent")
    assert machine.files() == agent_files() | {f"systemd/{AGENT}"}
    assert machine.calls == [["daemon-reload"], ["enable", AGENT], ["restart", AGENT]]
    unit = (machine.units / AGENT).read_text()
    command = f"{PYTHON} -I {machine.library}/agent --store {machine.store} --session-log {machine.log}"
    assert f"ExecStart={command} --log-limit 4194304\n" in unit
    assert f"ReadWritePaths=-{machine.store.parent} -{machine.log.parent}\n" in unit
    machine.calls.clear()
    again = run(scheduler="agent")
    assert (again["changed"], machine.calls) == (False, [])


@pytest.mark.parametrize(
    ("scheduler", "unit", "command"),
    [("agent", AGENT, "--log-limit 4194304"), ("systemd", "wssgate-token-prune.service", "--log-limit 4194304")],
)
def test_the_folder_of_revocations_is_looked_into_and_may_be_written(
    machine: Machine, run: Any, scheduler: str, unit: str, command: str
) -> None:
    run(scheduler=scheduler, revocations="/srv/gate/revoked")
    text = (machine.units / unit).read_text()
    assert f" {command} --revocations /srv/gate/revoked\n" in text
    (writable,) = (line.split("=", 1)[1].split(" ") for line in text.splitlines() if line.startswith("ReadWritePaths"))
    assert writable[2:] == ["-/srv/gate" if scheduler == "agent" else "-/srv/gate/revoked"]
    failed = run(scheduler=scheduler, revocations="/home/gate/revoked")
    assert failed["failed"] and failed["msg"].startswith("revocations /home/gate/revoked: ")


# Metrics


@pytest.fixture
def made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /run, and a host that has the library."""
    made = machine.root / "run"
    made.mkdir()
    monkeypatch.setattr(metrics_settings, "MADE", str(made))
    # This machine's folder for tests is below /tmp.
    monkeypatch.setattr(metrics_settings, "HIDDEN", ("/home", "/root", "/run/user"))
    monkeypatch.setattr(metrics_settings, "LIBRARY", "json")
    return made


def own_group() -> str:
    return grp.getgrgid(os.getegid()).gr_name


def test_the_agent_that_writes_metrics_may_write_them_and_its_folder_is_there_at_each_boot(
    machine: Machine, run: Any, made: Path
) -> None:
    file = made / "metrics" / "agent.prom"
    metrics = {"path": str(file), "group": own_group(), "main_file": "/srv/nginx/nginx.conf"}
    answer = run(scheduler="agent", metrics=metrics)
    assert answer["changed"] and str(file.parent) in answer["changed_files"]
    unit = (machine.units / AGENT).read_text()
    assert (
        f" --metrics {file} --nginx-main /srv/nginx/nginx.conf --nginx-binary /usr/sbin/nginx "
        "--nginx-pid /run/nginx.pid --drain-file /etc/nginx/wssgate.drain\n"
    ) in unit
    (writable,) = (line.split("=", 1)[1].split(" ") for line in unit.splitlines() if line.startswith("ReadWritePaths"))
    assert f"-{file.parent}" in writable
    at_boot = (machine.root / "tmpfiles/wssgate-agent.conf").read_text()
    assert f"\nd {file.parent} 0750 root {own_group()} -\n" in at_boot
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    assert run(scheduler="agent", metrics=metrics)["changed"] is False


def test_metrics_of_another_path_or_of_none_leave_no_old_file_to_be_read(
    machine: Machine, run: Any, made: Path
) -> None:
    file = made / "metrics" / "agent.prom"
    run(scheduler="agent", metrics={"path": str(file), "group": own_group()})
    for name in ("agent.prom", "agent.prom.state"):
        (file.parent / name).write_text("old\n")
    run(scheduler="agent", metrics={"path": str(made / "other" / "agent.prom"), "group": own_group()})
    assert not file.parent.exists()
    (made / "other" / "agent.prom").write_text("old\n")
    (made / "other" / "of-others").write_text("")
    run(scheduler="agent")
    assert [path.name for path in (made / "other").iterdir()] == ["of-others"]
    assert "--metrics" not in (machine.units / AGENT).read_text()
    assert not (machine.root / "tmpfiles/wssgate-agent.conf").exists()


@pytest.mark.parametrize(
    ("scheduler", "path", "words"),
    [
        ("systemd", "/run/metrics/agent.prom", "metrics need the agent, which this host does not have with scheduler"),
        ("cron", "/run/metrics/agent.prom", "metrics need the agent, which this host does not have with scheduler"),
        ("none", "/run/metrics/agent.prom", "metrics need the agent, which this host does not have with scheduler"),
        ("agent", "metrics/agent.prom", "path must be an absolute path"),
        ("agent", "/run/../etc/agent.prom", "path must be an absolute path"),
        ("agent", "/run/a b/agent.prom", "path must be an absolute path"),
        ("agent", "/run/%h/agent.prom", "path must be an absolute path"),
        ("agent", "/run/metrics/", "path must be an absolute path"),
        ("agent", "/home/x/agent.prom", "may not write below"),
        ("agent", "/run/user/0/agent.prom", "may not write below"),
        ("agent", "/agent.prom", "has to be in a folder of its own"),
    ],
)
def test_metrics_that_nobody_could_write_are_refused_and_nothing_changes(
    machine: Machine, run: Any, made: Path, scheduler: str, path: str, words: str
) -> None:
    before = machine.files()
    failed = run(scheduler=scheduler, metrics={"path": path})
    assert failed["failed"] and words in failed["msg"]
    assert machine.files() == before and not machine.calls


def test_a_host_that_lacks_what_metrics_need_is_told_so_before_anything_changes(
    machine: Machine, run: Any, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.files()
    missing = run(scheduler="agent", metrics={"path": str(machine.root / "elsewhere" / "agent.prom")})
    assert missing["failed"] and f"folder {machine.root}/elsewhere is not there: make it first" in missing["msg"]
    monkeypatch.setattr(metrics_settings, "LIBRARY", "library_of_nobody")
    (machine.root / "elsewhere").mkdir()
    failed = run(scheduler="agent", metrics={"path": str(machine.root / "elsewhere" / "agent.prom")})
    assert failed["failed"] and "install package python3-prometheus-client" in failed["msg"]
    assert machine.files() == before and not machine.calls
    # A dry run cannot know what an earlier task of the play would install.
    dry = run(
        scheduler="agent", metrics={"path": str(machine.root / "elsewhere" / "agent.prom")}, _ansible_check_mode=True
    )
    assert dry["changed"] and machine.files() == before


def test_the_installed_agent_starts_with_nothing_but_its_files(machine: Machine, run: Any) -> None:
    run(scheduler="agent")
    program = [PYTHON, "-I", str(machine.library / "agent"), "--help"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "--keep-on-removal" in done.stdout


def test_the_agent_runs_before_the_timer_whose_place_it_takes_is_stopped(machine: Machine, run: Any) -> None:
    run(scheduler="systemd")
    machine.calls.clear()
    run(scheduler="agent")
    assert machine.calls == [
        ["daemon-reload"], ["enable", AGENT], ["restart", AGENT],
        ["disable", "--now", TIMER], ["stop", SERVICE], ["daemon-reload"],
    ]  # fmt: skip
    assert machine.files() == agent_files() | {f"systemd/{AGENT}"}


def test_the_timer_stays_when_the_agent_does_not_start(machine: Machine, run: Any) -> None:
    run(scheduler="systemd")
    machine.agent.update(ActiveState="failed", Result="exit-code", ExecMainStatus="1")
    machine.journal = ["another agent is at work"]
    answer = run(scheduler="agent")
    assert answer["failed"] and "another agent is at work" in answer["msg"]
    assert machine.on and (machine.units / TIMER).exists()


def test_what_the_agent_cannot_do_is_a_warning(machine: Machine, run: Any) -> None:
    machine.agent["StatusText"] = "4 sessions with a token; 2 expired tokens cannot be removed"
    answer = run(scheduler="agent")
    assert answer["changed"] and "2 expired tokens cannot be removed" in str(answer["warnings"])


def test_a_session_log_that_the_gate_is_yet_to_write_is_no_warning(machine: Machine, run: Any) -> None:
    problem = f"{machine.log} does not exist: the gate writes no session log"
    machine.agent["StatusText"] = f"0 sessions in the log; {problem}"
    assert problem not in str(run(scheduler="agent").get("warnings"))
    machine.agent["StatusText"] += "; the disk of the log is full"
    machine.log.touch()
    assert problem in str(run(scheduler="agent", log_limit=5 << 20)["warnings"])


def test_removals_by_hand_can_leave_sessions_open(machine: Machine, run: Any) -> None:
    run(scheduler="agent", end_on_removal=False)
    assert " --keep-on-removal\n" in (machine.units / AGENT).read_text()


@pytest.mark.parametrize("change", [{"state": "absent"}, {"scheduler": "cron"}])
def test_what_the_agent_kept_goes_with_it(machine: Machine, run: Any, change: dict[str, str]) -> None:
    run(scheduler="agent")
    state = machine.root / "state"
    state.mkdir()
    for name in ("left-open.json", "hub-position.json", "hub-revoked"):
        (state / name).write_text("{}")
    run(**change)
    assert not state.exists()


@pytest.mark.parametrize(
    ("store", "is_private"), [("/tmp/tokens", "no"), ("/var/tmp/a/tokens", "no"), ("/srv/100%n/tokens", "yes")]
)
def test_the_agent_s_unit_lets_it_at_its_store(machine: Machine, run: Any, store: str, is_private: str) -> None:
    run(scheduler="agent", store=store, session_log="/var/log/nginx/wssgate/sessions.log")
    unit = (machine.units / AGENT).read_text()
    assert f"PrivateTmp={is_private}\n" in unit
    assert f"ReadWritePaths=-{store.rpartition('/')[0].replace('%', '%%')} -/var/log/nginx/wssgate\n" in unit


def test_absent_takes_the_agent_away(machine: Machine, run: Any) -> None:
    run(scheduler="agent")
    machine.calls.clear()
    assert run(state="absent")["changed"]
    assert not machine.library.exists() and not (machine.units / AGENT).exists()
    assert machine.calls == [["disable", "--now", AGENT], ["daemon-reload"]]


# An application that is told

KEY = "whsec_" + "c2VjcmV0" * 4
ANOTHER_KEY = "whsec_" + "b3RoZXJz" * 4
TOLD = {"scheduler": "agent", "notify_url": "http://unix:/run/app.sock:/ending", "notify_key": KEY}


def test_whom_the_agent_tells_is_in_a_file_for_root_alone_and_nowhere_else(machine: Machine, run: Any) -> None:
    answer = run(**TOLD, notify_grace=20, _ansible_diff=True)
    path = machine.root / "state" / "settings.json"
    assert json.loads(path.read_text()) == {
        "store": str(machine.store), "notify": {"url": TOLD["notify_url"], "key": KEY, "grace": 20, "ca": ""},
    }  # fmt: skip
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    others = [one for one in machine.root.rglob("*") if one.is_file() and one != path]
    assert not [one for one in others if KEY.encode() in one.read_bytes()]
    assert KEY not in json.dumps(answer) + str(machine.calls)
    shown = next(one for one in answer["diff"] if one["after_header"] == str(path))
    assert shown["before"] == ""
    assert shown["after"] == f"store: {machine.store}\ngrace: 20\napplication: unix:/run/app.sock\nkey: hidden\n"
    assert not run(**TOLD, notify_grace=20)["changed"]


HUB = {
    "fleet": "main", "gate": "g1", "gates": ["g1", "g2"], "server": {"host": "hub.example.com", "port": 6379},
    "username": "gate-g1", "password": "password-of-the-hub",
    "issuers": [{"name": "app", "max_ttl": 60, "subjects": ["client-"], "max_tokens": 5}],
}  # fmt: skip


def test_the_hub_is_in_a_file_its_password_in_another_and_the_agent_may_reach_it(machine: Machine, run: Any) -> None:
    answer = run(scheduler="agent", hub=HUB, _ansible_diff=True)
    state = machine.root / "state"
    found = hub_settings.load(str(state))
    assert found is not None
    assert found.servers == (("hub.example.com", 6379),) and found.gates == ("g1", "g2")
    assert found.issuers[0] == ("app", merge.Rules(60, ("client-",), 5))
    assert found.marker == hub_settings.MARKER and found.password_path == str(state / "hub-password")
    for name in ("hub.json", "hub-password"):
        assert (state / name).stat().st_mode & 0o777 == 0o600
    assert (state / "hub-password").read_text() == "password-of-the-hub\n"
    assert "password-of-the-hub" not in json.dumps(answer) + str(machine.calls)
    unit = (machine.units / AGENT).read_text()
    assert "AF_INET AF_INET6" in unit and "IPAddressDeny" not in unit and str(machine.root / "run") in unit
    assert f"d {machine.root}/run/hub 0755" in (machine.root / "tmpfiles" / "wssgate-agent.conf").read_text()
    assert not run(scheduler="agent", hub=HUB)["changed"]
    assert run(scheduler="agent", hub={**HUB, "max_staleness": 300, "max_token_lifetime": 900})["changed"]
    found = hub_settings.load(str(state))
    assert found is not None and (found.max_staleness, found.longest_signed) == (300, 900)
    # Without a hub nothing of it is left.
    assert run(scheduler="agent")["changed"]
    assert not list(state.glob("hub*")) and not list((machine.root / "tmpfiles").iterdir())
    assert "AF_INET" not in (machine.units / AGENT).read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"server": {}}, "server and sentinels have host and port"), ({"fleet": "a}b"}, "a name that no key can have"),
        ({"issuers": [{"name": "app"}]}, "issuers name, max_ttl"), ({"password": ""}, "password or password_path"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_hub_is_told_before_anything_changes(
    machine: Machine, run: Any, changes: dict[str, Any], words: str
) -> None:
    assert words in run(scheduler="agent", hub={**HUB, **changes})["msg"]
    assert not machine.library.exists()


def test_a_hub_needs_the_agent(machine: Machine, run: Any) -> None:
    assert "hub needs the agent" in run(scheduler="systemd", hub=HUB)["msg"]


def test_another_key_has_the_agent_start_anew_and_no_diff_shows_it(machine: Machine, run: Any) -> None:
    run(**TOLD)
    machine.calls.clear()
    answer = run(**{**TOLD, "notify_key": ANOTHER_KEY}, _ansible_diff=True)
    assert ["restart", AGENT] in machine.calls
    (shown,) = answer["diff"]
    assert shown["after"].endswith("key: hidden, another one\n")
    assert KEY not in str(answer) and ANOTHER_KEY not in str(answer)


def test_an_application_that_is_told_no_longer_leaves_no_secret(machine: Machine, run: Any) -> None:
    run(**TOLD)
    machine.calls.clear()
    answer = run(scheduler="agent")
    path = machine.root / "state" / "settings.json"
    assert not path.exists()
    assert answer["changed_files"] == [str(path)] and ["restart", AGENT] in machine.calls
    assert not run(scheduler="agent")["changed"]


@pytest.mark.parametrize("change", [{"state": "absent"}, {"scheduler": "cron"}])
def test_the_secret_goes_with_the_agent(machine: Machine, run: Any, change: dict[str, str]) -> None:
    run(**TOLD)
    (machine.root / "state" / "asked.json").write_text("[]")
    run(**change)
    assert not (machine.root / "state").exists()


def test_the_agent_s_unit_reaches_as_much_of_the_network_as_the_application_needs(machine: Machine, run: Any) -> None:
    def network(url: str) -> set[str]:
        run(**{**TOLD, "notify_url": url})
        lines = (machine.units / AGENT).read_text().splitlines()
        return {line for line in lines if line.startswith(("RestrictAddressFamilies=", "IPAddress"))}

    none = {"RestrictAddressFamilies=AF_NETLINK AF_UNIX", "IPAddressDeny=any"}
    some = {"RestrictAddressFamilies=AF_NETLINK AF_UNIX AF_INET AF_INET6"}
    assert network("http://unix:/run/app.sock") == none
    assert network("http://127.0.0.1:8080/") == {*some, "IPAddressDeny=any", "IPAddressAllow=127.0.0.1"}
    assert network("https://[2001:db8::1]/") == {*some, "IPAddressDeny=any", "IPAddressAllow=2001:db8::1"}
    assert network("http://localhost/") == {*some, "IPAddressDeny=any", "IPAddressAllow=localhost"}
    assert network("https://app.example.com/") == some


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"notify_url": ""}, "notify_key needs notify_url"),
        ({"notify_url": "", "notify_key": "", "notify_grace": 5}, "notify_grace needs notify_url"),
        ({"notify_key": ""}, "notify_url needs notify_key"),
        ({"notify_key": "secret"}, "notify_key must be whsec_ and the base64 of 24 to 64 random bytes"),
        ({"notify_key": "whsec_!"}, "is no base64"),
        ({"notify_key": "whsec_" + "c2VjcmV0" * 3}, "not of 18"),
        ({"notify_key": "whsec_" + "c2VjcmV0" * 11}, "not of 66"),
        ({"notify_grace": 61}, "notify_grace must be 0 to 60 seconds, not 61"),
        ({"notify_grace": -1}, "notify_grace must be 0 to 60 seconds, not -1"),
        ({"scheduler": "cron"}, "needs the agent"),
        ({"scheduler": "none"}, "needs the agent"),
        ({"scheduler": "systemd"}, "needs the agent"),
        ({"session_log": ""}, "notify_url needs session_log"),
        ({"notify_url": "ftp://a"}, "must begin with http://"),
        ({"notify_url": "http://"}, "must have the name or the address of a host"),
        ({"notify_url": "http://a b/"}, "must have the name or the address of a host"),
        ({"notify_url": "http://a/\u00e9"}, "printable ASCII"),
        ({"notify_url": "http://a/x#y"}, "printable ASCII only, without blanks and #"),
        ({"notify_url": "http://user:pass@a/"}, "no user and no password"),
        ({"notify_url": "http://[fe80::1%eth0]/"}, "no IPv6 address"),
        ({"notify_url": "http://[fe80::1%eth0\nExecStartPre=sh]/"}, "no IPv6 address"),
        ({"notify_url": f"http://{'a' * 64}.example.com/"}, "the name or the address of a host"),
        ({"notify_url": "http://a:0/"}, "port of 1 to 65535"),
        ({"notify_url": "http://a:65536/"}, "port of 1 to 65535"),
        ({"notify_url": "http://a:b/"}, "port of 1 to 65535"),
        ({"notify_url": "http://[::g]/"}, "no IPv6 address"),
        ({"notify_url": "http://a/\r\nX-Y: z"}, "printable ASCII"),
        ({"notify_url": "https://unix:/run/app.sock"}, "there is no TLS on it"),
        ({"notify_url": "http://unix:/"}, "absolute path of a socket"),
        ({"notify_url": "http://unix:/run/../app.sock"}, "absolute path of a socket"),
        ({"notify_url": "http://unix:/tmp/app.sock"}, "may not look below"),
        ({"notify_url": "http://unix:/" + "a" * 200}, "107 characters at most"),
        ({"notify_ca_path": "/etc/hosts"}, "holds no certificates in PEM"),
        ({"notify_ca_path": "/nowhere/ca.pem"}, "is not on this host"),
        ({"notify_ca_path": "ca.pem"}, "must be absolute"),
    ],
)
def test_what_cannot_work_is_one_error_and_changes_nothing(
    machine: Machine, run: Any, change: dict[str, Any], words: str
) -> None:
    answer = run(**{**TOLD, **change})
    assert answer["failed"] and words in answer["msg"], answer
    assert not machine.files() and not machine.calls
    assert KEY not in str(answer) and "pass@" not in answer["msg"]


def test_an_authority_is_for_https_alone(machine: Machine, run: Any, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY)
    assert "https://" in run(**TOLD, notify_ca_path=str(authority))["msg"]
    answer = run(**{**TOLD, "notify_url": "https://app.example.com"}, notify_ca_path=str(authority))
    assert json.loads((machine.root / "state" / "settings.json").read_text())["notify"]["ca"] == AUTHORITY
    assert "authorities: 1" in str(answer["diff"])


# systemd


def test_with_systemd_the_pruner_its_unit_and_its_timer_are_there_and_the_timer_runs(
    machine: Machine, run: Any
) -> None:
    answer = run()
    assert (answer["changed"], answer["scheduler"]) == (True, "systemd")
    units = {f"systemd/wssgate-token-prune.{kind}" for kind in ("service", "timer")}
    assert machine.files() == library() | units
    assert machine.calls == [["daemon-reload"], ["enable", TIMER], ["restart", TIMER], ["start", SERVICE]]
    timer = (machine.units / TIMER).read_text()
    assert "OnUnitInactiveSec=15\n" in timer
    service = (machine.units / "wssgate-token-prune.service").read_text()
    assert f"--store {machine.store} --session-log {machine.log} --log-limit 4194304\n" in service
    assert f"ReadWritePaths=-{machine.store} -{machine.log.parent}\n" in service
    # It is a oneshot unit, which else may run for ever; and another run must find its locks where it left them.
    assert "TimeoutStartSec=300\n" in service
    assert "RuntimeDirectory=wssgate\nRuntimeDirectoryMode=0700\nRuntimeDirectoryPreserve=yes\n" in service


def test_a_second_run_changes_nothing(machine: Machine, run: Any) -> None:
    for scheduler in ("systemd", "cron", "none"):
        assert run(scheduler=scheduler)["changed"]
        machine.calls.clear()
        again = run(scheduler=scheduler)
        assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])
        assert machine.calls == ([["start", SERVICE]] if scheduler == "systemd" else [])


def test_a_timer_that_somebody_stopped_runs_again(machine: Machine, run: Any) -> None:
    run()
    machine.on = False
    machine.calls.clear()
    answer = run()
    assert answer["changed"] and answer["changed_files"] == []
    assert machine.calls == [["enable", TIMER], ["restart", TIMER], ["start", SERVICE]]


def test_a_file_that_somebody_changed_is_put_right(machine: Machine, run: Any) -> None:
    run()
    spoilt = machine.library / "wssgate_tokens" / "_agent" / "prune.py"
    before = spoilt.read_text()
    spoilt.write_text("pass\n")
    (machine.units / TIMER).chmod(0o600)
    answer = run()
    assert set(answer["changed_files"]) == {str(spoilt), str(machine.units / TIMER)}
    assert spoilt.read_text() == before
    assert stat.S_IMODE((machine.units / TIMER).stat().st_mode) == 0o644
    assert not run()["changed"]


def test_another_interval_restarts_the_timer(machine: Machine, run: Any) -> None:
    run()
    machine.calls.clear()
    assert run(interval=60)["changed_files"] == [str(machine.units / TIMER)]
    assert machine.calls == [["daemon-reload"], ["enable", TIMER], ["restart", TIMER], ["start", SERVICE]]


def test_check_mode_says_what_the_run_then_does_and_writes_nothing(machine: Machine, run: Any) -> None:
    predicted = run(_ansible_check_mode=True)
    assert machine.files() == set() and machine.calls == []
    done = run()
    assert (predicted["changed"], predicted["changed_files"], predicted["diff"]) == (
        True,
        done["changed_files"],
        done["diff"],
    )
    assert not run(_ansible_check_mode=True)["changed"]


def test_a_diff_shows_how_the_pruner_is_run_and_of_its_source_a_line_a_file(machine: Machine, run: Any) -> None:
    programs, *others = run()["diff"]
    lines = programs["after"].splitlines()
    assert {line.split(": ")[0] for line in lines} == {str(machine.root / name) for name in library()}
    for line in lines:
        path, words = line.split(": ")
        source = Path(path).read_bytes()
        count = len(source.splitlines())
        assert words == f"{count} line{'s' * (count > 1)}, SHA-256 {hashlib.sha256(source).hexdigest()[:12]}…"
    units = {str(machine.units / name) for name in (TIMER, "wssgate-token-prune.service")}
    assert {diff["after_header"] for diff in others} == units
    assert any("OnUnitInactiveSec=15\n" in diff["after"] for diff in others)

    spoilt = machine.library / "prune"
    before = spoilt.read_bytes()
    spoilt.write_bytes(b"pass\n")
    (programs,) = run()["diff"]
    assert programs["before"].startswith(f"{spoilt}: 1 line, SHA-256 ")
    assert hashlib.sha256(before).hexdigest()[:12] in programs["after"]

    programs, *_others = run(state="absent")["diff"]
    assert len(programs["before"].splitlines()) == len(library()) and programs["after"] == ""


def test_a_failed_systemctl_is_told_in_its_own_words(
    machine: Machine, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wss_token_pruner, "run", lambda *_a, **_k: host_run.Finished(1, "", "Unit is masked.\n"))
    assert run()["msg"] == "systemctl daemon-reload failed: Unit is masked."


# cron, and nothing


def test_with_cron_one_line_does_the_turns_of_a_minute(machine: Machine, run: Any) -> None:
    machine.scheduler = "cron"
    answer = run(interval=20)
    assert answer["scheduler"] == "cron"
    assert machine.files() == library() | {"cron.d/wssgate-token-prune"}
    assert machine.calls == []
    (line,) = [line for line in (machine.cron / "wssgate-token-prune").read_text().splitlines() if line[:1] != "#"]
    assert line == (
        f"* * * * * root timeout -k 10 300 {PYTHON} -I {machine.library}/prune "
        f"--store {machine.store} --session-log {machine.log} "
        "--log-limit 4194304 --every 20 --for 60 --syslog"
    )


def test_a_percent_sign_is_none_of_cron_s_line_ends_nor_of_systemd_s_specifiers(machine: Machine, run: Any) -> None:
    run(scheduler="cron", store="/srv/100%n")
    assert "--store /srv/100\\%n " in (machine.cron / "wssgate-token-prune").read_text()
    run(scheduler="systemd", store="/srv/100%n")
    assert "--store /srv/100%%n " in (machine.units / "wssgate-token-prune.service").read_text()


def test_without_a_scheduler_the_pruner_is_there_and_nothing_runs_it(machine: Machine, run: Any) -> None:
    machine.scheduler = "none"
    assert run()["scheduler"] == "none"
    assert machine.files() == library()


def test_another_scheduler_replaces_the_one_before(machine: Machine, run: Any) -> None:
    run()
    machine.calls.clear()
    run(scheduler="cron")
    assert machine.files() == library() | {"cron.d/wssgate-token-prune"}
    assert machine.calls == [["disable", "--now", TIMER], ["stop", SERVICE], ["daemon-reload"]]
    assert not machine.on
    run()
    assert not (machine.cron / "wssgate-token-prune").exists()
    assert machine.on


@pytest.mark.parametrize(("systemd", "cron", "expected"), [(1, 1, "agent"), (0, 1, "cron"), (0, 0, "none")])
def test_the_scheduler_is_what_the_host_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, systemd: int, cron: int, expected: str
) -> None:
    real = os.path.isdir
    monkeypatch.setattr(
        pruner.os.path, "isdir", lambda path: bool(systemd) if path == "/run/systemd/system" else real(path)
    )
    monkeypatch.setattr(
        pruner.shutil, "which", lambda name, path: "/usr/sbin/cron" if cron and name == "cron" else None
    )
    assert pruner.detect_scheduler() == expected


# Removing it


def test_absent_leaves_nothing_but_tokens_and_other_people_s_files(machine: Machine, run: Any) -> None:
    issue(machine)
    run()
    for folder in ("wssgate_tokens", "wssgate_tokens/_agent"):
        (machine.library / folder / "__pycache__").mkdir()
        (machine.library / folder / "__pycache__" / "prune.pyc").touch()
    (machine.library / "of-somebody-else").touch()
    machine.calls.clear()
    predicted = run(state="absent", _ansible_check_mode=True)
    assert predicted["changed"] and machine.on
    assert run(state="absent")["changed"]
    assert machine.files() == {"lib/wssgate/of-somebody-else", f"tokens/{ENDED}", f"tokens/{LASTING}"}
    assert machine.calls == [["disable", "--now", TIMER], ["stop", "wssgate-token-prune.service"], ["daemon-reload"]]
    assert not (machine.library / "wssgate_tokens").exists()
    assert not run(state="absent")["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_the_files_that_1_0_0_put_elsewhere_go_away(machine: Machine, run: Any, state: str) -> None:
    package = machine.library / "wssgate_tokens"
    package.mkdir(parents=True)
    for name in ("__init__", "_prune", "_sessions", "_token_pattern", "_token_store"):
        (package / f"{name}.py").write_text("# of 1.0.0\n")
    assert run(state=state)["changed"]
    left = {path.name for path in package.glob("*.py")} if package.exists() else set()
    assert left == ({"__init__.py"} if state == "present" else set())
    assert not run(state=state)["changed"]


def test_a_link_in_the_place_of_a_file_is_not_written_through(machine: Machine, run: Any) -> None:
    victim = machine.root / "victim"
    victim.write_text("precious")
    (machine.units / TIMER).symlink_to(victim)
    assert "is a symlink" in run()["msg"]
    assert victim.read_text() == "precious"


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"interval": 0}, "interval must be 1 to 3600 seconds with systemd, not 0"),
        ({"store": "/root/tokens"}, "store /root/tokens: the pruner that systemd runs may not look below /home"),
        ({"session_log": "/home/gate/sessions.log"}, "session_log /home/gate/sessions.log: the pruner that systemd"),
        ({"interval": 3601}, "interval must be 1 to 3600 seconds with systemd, not 3601"),
        ({"interval": 61, "scheduler": "cron"}, "interval must be 1 to 60 seconds with cron, not 61"),
        ({"log_limit": 65535}, "log_limit must be 65536 bytes or more, not 65535"),
        ({"store": "/var/lib/two words"}, "store must not hold blanks: '/var/lib/two words'"),
        ({"store": "/var/lib/x\nExecStart=/bin/evil"}, "store must not hold blanks"),
        ({"session_log": "sessions.log"}, "path must be absolute, not 'sessions.log'"),
        ({"directory": "/usr/../etc"}, "path must not contain '..'"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(
    machine: Machine, run: Any, arguments: dict[str, Any], words: str
) -> None:
    answer = run(**arguments)
    assert answer["failed"] and answer["msg"].startswith(words)
    assert machine.files() == set() and machine.calls == []


# The interpreter


def python_at(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_pruner_runs_with_the_first_python_of_the_system_that_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = f'exec {sys.executable} "$@"'
    old = python_at(tmp_path / "old", "exit 1")
    broken = python_at(tmp_path / "broken", "echo no module named ctypes >&2; exit 1")
    no_program = tmp_path / "no-program"
    no_program.write_bytes(b"\x7fELF")
    no_program.chmod(0o755)
    suited = python_at(tmp_path / "suited", real)
    later = python_at(tmp_path / "later", real)
    none = str(tmp_path / "none")
    for found, expected in (
        ([none, old, broken, str(no_program), suited, later], suited),
        ([later, suited], later),
        ([none, old], "/root/venv/bin/python"),
    ):
        monkeypatch.setattr(shipped, "PYTHONS", tuple(found))
        assert shipped.choose_python("/root/venv/bin/python") == expected


def test_a_python_that_is_too_old_is_not_suited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped.is_suited(sys.executable)
    monkeypatch.setattr(shipped, "PYTHON_TEST", shipped.PYTHON_TEST.replace("(3, 8)", "(99, 0)"))
    assert not shipped.is_suited(sys.executable)


def test_where_ansible_runs_in_a_virtual_environment_the_system_s_python_runs_the_pruner(
    machine: Machine, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = python_at(machine.root / "usr" / "python3", f'exec {sys.executable} "$@"')
    monkeypatch.setattr(shipped, "PYTHONS", (system,))
    monkeypatch.setattr(sys, "executable", "/root/venv/bin/python")
    run()
    assert f"ExecStart={system} -I " in (machine.units / SERVICE).read_text()


# Whether it works


def test_a_pruner_that_cannot_be_started_fails_the_run(machine: Machine, run: Any) -> None:
    machine.service = {"Result": "exit-code", "ExecMainStatus": "203"}
    answer = run()
    assert answer["failed"]
    assert answer["msg"] == (
        f"the pruner does not work, so expired tokens would stay valid: {PYTHON} ended with 203: "
        "systemd cannot run its interpreter"
    )
    machine.service = {"Result": "timeout", "ExecMainStatus": "0"}
    assert run()["msg"].endswith("ended with -1: result timeout")
    machine.service = {"Result": "exit-code", "ExecMainStatus": "1"}
    machine.journal = ["/x does not exist: the role wssgate.nginx.token_store creates it"]
    assert run()["msg"].endswith("ended with 1: /x does not exist: the role wssgate.nginx.token_store creates it")


def test_a_pruner_that_left_something_is_a_warning(machine: Machine, run: Any) -> None:
    machine.service = {"Result": "exit-code", "ExecMainStatus": str(LEFT_SOMETHING)}
    machine.journal = ["open sessions could not be ended"]
    answer = run()
    assert "failed" not in answer
    assert any(
        "could not do all of it: open sessions could not be ended" in str(warning) for warning in answer["warnings"]
    )
    machine.calls.clear()
    run(_ansible_check_mode=True)
    assert machine.calls == [], "a dry run starts nothing"


def test_with_cron_its_command_is_run_once(machine: Machine, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    issue(machine)
    machine.log.touch()
    run(scheduler="cron")
    assert names(machine) == {LASTING}
    broken = python_at(machine.root / "python3", "echo no such module; exit 1")
    monkeypatch.setattr(wss_token_pruner, "choose_python", lambda _fallback: broken)
    assert run(scheduler="cron")["msg"].endswith(f"{broken} ended with 1: no such module")


@pytest.fixture
def look(machine: Machine, run: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    def call() -> tuple[str, list[str]]:
        capsys.readouterr()
        with patch_module_args({}), pytest.raises(SystemExit):
            wss_token_pruner_info.main()
        answer = json.loads(capsys.readouterr().out)
        assert not answer["changed"]
        return answer["scheduler"], answer["problems"]

    return call


def test_a_pruner_that_is_not_there_is_reported(look: Any) -> None:
    scheduler, (problem,) = look()
    assert scheduler == "none" and problem.startswith("nothing removes expired tokens here: run wssgate.nginx.site")


def test_a_pruner_of_systemd_that_stands_still_or_fails_is_reported(machine: Machine, run: Any, look: Any) -> None:
    run()
    assert look() == ("systemd", [])
    machine.timer["UnitFileState"] = "disabled"
    assert look()[1] == ["the timer of the pruner does not start at the next boot: run wssgate.nginx.site"]
    machine.timer["ActiveState"] = "inactive"
    assert look()[1] == ["the timer of the pruner does not run (loaded, inactive): run wssgate.nginx.site"]
    machine.timer["ActiveState"] = "active"
    machine.timer["UnitFileState"] = "enabled"
    machine.service = {"Result": "exit-code", "ExecMainStatus": "3"}
    machine.journal = ["one", "two"]
    assert look()[1] == ["the last run of the pruner ended with 3: one; two"]


def test_a_run_under_way_is_waited_for(machine: Machine, run: Any, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(pruner_state, "PAUSE", 0)
    machine.service = {"Result": "exit-code", "ExecMainStatus": "203"}
    machine.under_way = 3
    assert look()[1] == ["the last run of the pruner ended with 203: systemd cannot run its interpreter"]
    # One that hangs is not waited for longer than that.
    monkeypatch.setattr(pruner_state, "RUN_PATIENCE", -1)
    machine.under_way = 1000
    assert look()[1] == []


def test_a_pruner_of_cron_that_cannot_be_run_is_reported(
    machine: Machine, run: Any, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner_state, "CRON_DAEMONS", (Path("/proc/self/comm").read_text().strip(),))
    machine.scheduler = "cron"
    run()
    assert look() == ("cron", [])
    monkeypatch.setattr(pruner_state, "CRON_DAEMONS", ())
    assert look()[1] == ["cron does not run, so nothing removes expired tokens"]
    (machine.library / "wssgate_tokens" / "_sessions" / "ending.py").unlink()
    assert "the pruner cannot be run (1): " in look()[1][1] and "_sessions" in look()[1][1]
    (machine.cron / "wssgate-token-prune").write_text("# nothing\n")
    assert look()[1][1].endswith("holds no command: run wssgate.nginx.site")


# What was installed


def command_of(machine: Machine, *more: str) -> list[str]:
    (line,) = [line for line in (machine.cron / "wssgate-token-prune").read_text().splitlines() if line[:1] != "#"]
    words = line.split(" root ", 1)[1].split()
    return [*words[: words.index("--every")], *more]


def test_what_cron_runs_prunes_in_turns_until_its_minute_is_over(machine: Machine, run: Any) -> None:
    run(scheduler="cron")
    machine.log.touch()
    issue(machine)
    started = time.monotonic()
    with subprocess.Popen(
        command_of(machine, "--every", "0.5", "--for", "1.4"), stdout=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"removed 1 expired: {fingerprint(ENDED)}\n"
        assert names(machine) == {LASTING}
        issue(machine)  # for the next turn
        assert process.stdout.readline() == f"removed 1 expired: {fingerprint(ENDED)}\n"
        assert process.stdout.read() == ""
        assert process.wait() == 0
    assert 1 <= time.monotonic() - started < 5
    assert names(machine) == {LASTING}
    assert machine.log.stat().st_mode & 0o077 == 0


def test_the_pruner_says_nothing_when_nothing_is_due(machine: Machine, run: Any) -> None:
    run(scheduler="cron")
    machine.log.touch()
    done = subprocess.run(command_of(machine), capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_the_pruner_fails_with_a_reason_when_it_cannot_do_it(machine: Machine, run: Any) -> None:
    run(scheduler="cron")
    issue(machine)
    # Without a log nobody knows whose sessions are open.
    done = subprocess.run(command_of(machine), capture_output=True, text=True, check=False)
    assert done.returncode == LEFT_SOMETHING
    assert "removed 1 expired" in done.stdout
    assert "open sessions could not be ended" in done.stdout and "does not exist" in done.stdout
    machine.store.rename(machine.root / "elsewhere")
    done = subprocess.run(command_of(machine), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == f"{machine.store} does not exist: the role wssgate.nginx.token_store creates it\n"
    assert done.stderr == ""


def test_a_collection_without_its_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader:
        @staticmethod
        def get_source(_name: str) -> None:
            return None

    module = types.ModuleType("_token_store")
    module.__spec__ = importlib.machinery.ModuleSpec("_token_store", Loader())  # type: ignore[arg-type]
    monkeypatch.setattr(shipped.importlib, "import_module", lambda *_names: module)
    with pytest.raises(OSError, match="the source of _token_store is not there"):
        shipped.source_of("_token_store")


# folders


def folder_of(path: Path, **others: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "owner": pwd.getpwuid(os.geteuid()).pw_name,
        "group": grp.getgrgid(os.getegid()).gr_name,
        "mode": "0710",
        **others,
    }


def test_folders_are_made_before_the_pruner_runs_and_a_second_run_changes_nothing(machine: Machine, run: Any) -> None:
    path = machine.root / "srv" / "wss" / "tokens"
    answer = run(folders=[folder_of(path)], store=str(path))
    assert answer["changed"] and answer["changed_files"][0] == answer["diff"][0]["after_header"] == str(path)
    assert [stat.S_IMODE(made.stat().st_mode) for made in (path, path.parent)] == [0o710, 0o710]
    again = run(folders=[folder_of(path)], store=str(path))
    assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])


def test_a_folder_with_another_mode_is_put_right(machine: Machine, run: Any) -> None:
    run(folders=[folder_of(machine.store)])
    machine.store.chmod(0o777)
    answer = run(folders=[folder_of(machine.store)])
    assert answer["changed_files"] == [str(machine.store)]
    assert answer["diff"][0]["before"].endswith(" 0777\n") and answer["diff"][0]["after"].endswith(" 0710\n")
    assert stat.S_IMODE(machine.store.stat().st_mode) == 0o710


@pytest.mark.parametrize("is_there", [True, False])
def test_check_mode_makes_no_folder_and_changes_none(machine: Machine, run: Any, is_there: bool) -> None:
    path = machine.store if is_there else machine.root / "srv" / "tokens"
    if is_there:
        path.chmod(0o777)
    answer = run(folders=[folder_of(path, group=GROUP_TO_COME)], _ansible_check_mode=True)
    assert str(path) in answer["changed_files"]
    assert path.exists() is is_there and not (machine.root / "srv").exists()
    assert not is_there or stat.S_IMODE(path.stat().st_mode) == 0o777


@pytest.mark.parametrize("what", ["link", "file", "owner", "group"])
def test_what_cannot_be_a_folder_is_refused(machine: Machine, run: Any, what: str) -> None:
    path, others = machine.root / "srv", {}
    if what == "link":
        path.symlink_to(machine.store)
    elif what == "file":
        path.touch()
    else:
        others = {what: GROUP_TO_COME}
    answer = run(folders=[folder_of(path, **others)])
    words = f"{what} {GROUP_TO_COME} of {path} is not on this host" if others else f"{path} is there and no folder"
    assert answer["failed"] and answer["msg"].startswith(words)
    assert machine.files() <= {"srv"} and (not others or not path.exists())


# -- key sets that the agent fetches


KEYS_PATH, KEYS_SERVICE = "wssgate-keys.path", "wssgate-keys.service"
KEY_SETS = {"urls": ["https://id.example.com/jwks.json"], "directory": "/srv/nginx", "live_timeout": 7}


def test_fetched_keys_are_made_live_by_a_unit_of_their_own(machine: Machine, run: Any) -> None:
    machine.scheduler = "agent"
    assert run(key_sets=KEY_SETS)["changed"]
    agent = (machine.units / AGENT).read_text()
    assert "--key-sets /srv/nginx/wssgate.d/jwt.json" in agent
    # The address of a name is not known before.
    assert "AF_INET6" in agent and "IPAddress" not in agent
    assert "/srv/nginx" not in agent.partition("ReadWritePaths=")[2]
    service = (machine.units / KEYS_SERVICE).read_text()
    assert " --directory /srv/nginx --binary /usr/sbin/nginx --pid-file /run/nginx.pid --live-timeout 7 " in service
    # Keys of many issuers may come at once, and what the unit could not take away must not start it for ever.
    assert "\nStartLimitIntervalSec=60\nStartLimitBurst=100\n\n[Service]\n" in service
    assert "PathExists=/var/lib/wssgate-agent/key_candidate.json" in (machine.units / KEYS_PATH).read_text()
    assert {"lib/wssgate/keys", "lib/wssgate/wssgate_tokens/_nginx/transaction.py"} <= machine.files()
    assert ["enable", KEYS_PATH] in machine.calls and ["restart", KEYS_PATH] in machine.calls


@pytest.mark.parametrize(
    ("urls", "allowed"),
    [
        (["https://192.0.2.7/keys"], ["192.0.2.7"]),
        (["https://192.0.2.7/keys", "https://[2001:db8::7]:8443/"], ["192.0.2.7", "2001:db8::7"]),
    ],
)
def test_the_agent_reaches_no_more_than_the_addresses_of_the_sets(
    machine: Machine, run: Any, urls: list[str], allowed: list[str]
) -> None:
    machine.scheduler = "agent"
    run(key_sets={**KEY_SETS, "urls": urls})
    lines = (machine.units / AGENT).read_text().splitlines()
    assert "IPAddressDeny=any" in lines
    assert [line.partition("=")[2] for line in lines if line.startswith("IPAddressAllow=")] == allowed


def test_without_key_sets_all_of_it_goes(machine: Machine, run: Any, tmp_path: Path) -> None:
    machine.scheduler = "agent"
    run()
    before = machine.files()
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    run(key_sets=KEY_SETS)
    (state / "key_sets.json").write_text("{}")
    machine.calls.clear()
    assert run()["changed"]
    assert machine.files() == before
    assert ["disable", "--now", KEYS_PATH] in machine.calls and ["stop", KEYS_SERVICE] in machine.calls
    assert not run()["changed"]


@pytest.mark.parametrize("scheduler", ["systemd", "cron", "none"])
def test_key_sets_need_the_agent(machine: Machine, run: Any, scheduler: str) -> None:
    answer = run(scheduler=scheduler, key_sets=KEY_SETS)
    assert answer["failed"] and "jwks_url needs the agent" in answer["msg"]
    assert not list(machine.units.iterdir()) and not machine.calls


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"urls": ["http://id.example.com/"]}, "jwks_url must begin with https://"),
        ({"urls": ["https://user:secret@id.example.com/"]}, "no user and no password"),
        ({"directory": "/etc/my nginx"}, "directory must be an absolute path"),
    ],
)
def test_bad_key_sets_are_refused_before_anything_changes(
    machine: Machine, run: Any, wrong: dict[str, Any], words: str
) -> None:
    answer = run(scheduler="agent", key_sets={**KEY_SETS, **wrong})
    assert answer["failed"] and words in answer["msg"] and "secret" not in answer["msg"]
    assert not list(machine.units.iterdir()) and not machine.calls
