# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token from its issue to its end, on all proxies of the group, with sessions that are open meanwhile."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time

import pytest
from support import modules, wire
from support.gate import Gate

PROXIES = ("wssgate-token_life-debian12", "wssgate-token_life-debian13")
STORE = "/var/lib/nginx/tokens"
LOG = "/var/log/nginx/wssgate/sessions.log"

# The group is the subject here, so one host's connection serves for all.
testinfra_hosts = [f"docker://{PROXIES[0]}"]


class Proxy:
    def __init__(self, name, scratch):
        self.gate = Gate(name=name, scratch=scratch)
        self.endpoint = wire.Endpoint(port=self.gate.port, ca_path=self.gate.ca_path, server_name="wcs.example.com")
        self.request = wire.Request(host="wcs.example.com").origin("https://app.example.com")

    def knock(self, token):
        return wire.handshake(self.endpoint, self.request.token(token))

    def status(self, token):
        with self.knock(token) as reply:
            return reply.status


@pytest.fixture
def proxies(tmp_path):
    return [Proxy(name, tmp_path) for name in PROXIES]


@pytest.fixture
def play(tmp_path):
    def run(name, *arguments, **variables):
        done = modules.run_playbook(f"wssgate.nginx.{name}", tmp_path, *arguments, **variables)
        assert done.returncode == 0, done.text[-3000:]
        return done

    return run


@pytest.fixture
def issue(play):
    def run(**variables):
        done = play("token_issue", output="json", **variables)
        return done.result(PROXIES[0])["msg"]

    return run


@pytest.fixture(autouse=True)
def clean(proxies):
    yield
    for proxy in proxies:
        proxy.gate.run("sh", "-c", f"rm -rf {STORE}/* {STORE}/.??*")


def listed(play):
    return play("token_list", output="json").result(PROXIES[0])["msg"]


def test_a_token_is_issued_listed_and_revoked_on_every_proxy(proxies, issue, play):
    (token,) = issue(subject="client-42", ttl=600)["tokens"]
    assert [proxy.status(token) for proxy in proxies] == [101, 101]
    (entry,) = listed(play)["tokens"]
    assert (entry["subject"], entry["missing"], entry["proxies"]) == ("client-42", [], sorted(PROXIES))
    revoked = play("token_revoke", subject="client-42", output="json").result(PROXIES[0])
    assert [proxy.status(token) for proxy in proxies] == [403, 403]
    assert token not in str(revoked)


def test_a_token_can_be_written_to_a_file_of_the_controller_and_shown_nowhere(issue, play, tmp_path):
    path = tmp_path / "token"
    done = play("token_issue", "-vvv", subject="client-42", token_file=str(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    token = path.read_text().strip()
    assert len(token) == 32 and token not in done.text
    assert token not in play("token_revoke", "-vvv", token_file=str(path)).text


def test_revoking_ends_the_sessions_of_the_token_and_a_bystander_s_goes_on(proxies, issue, play):
    (token,) = issue(subject="client-42", ttl=600)["tokens"]
    (other,) = issue(subject="bystander", ttl=600)["tokens"]
    with contextlib.ExitStack() as stack:
        mine = [stack.enter_context(proxy.knock(token)).session for proxy in proxies]
        bystanders = [stack.enter_context(proxy.knock(other)).session for proxy in proxies]
        assert [session.echo("hello") for session in (*mine, *bystanders)] == ["hello"] * 4
        assert {entry["subject"]: entry["sessions"] for entry in listed(play)["tokens"]} == {
            "client-42": 2,
            "bystander": 2,
        }
        report = play("token_revoke", subject="client-42", output="json")
        assert all(session.ended(1) for session in mine)
        assert [session.echo("still here") for session in bystanders] == ["still here"] * 2
    assert "'remaining': 0" in str(report.result(PROXIES[0])) or '"remaining": 0' in report.text
    assert [proxy.status(token) for proxy in proxies] == [403, 403]


def test_a_session_is_closed_within_a_second_of_the_removal_of_its_token(proxies):
    """Timed on the proxy's own clock: the file's end against the socket's end, as the client sees it."""
    proxy = proxies[0]
    token = "closed-within-a-second-01"
    proxy.gate.run("sh", "-c", f"umask 077; echo '{{\"expires_at\": 5}}' > {STORE}/{token}.tmp; touch {STORE}/{token}")
    with proxy.knock(token) as reply:
        ended = []
        waiting = threading.Thread(target=lambda: ended.append((reply.session.ended(60), time.monotonic())))
        waiting.start()
        proxy.gate.run("sh", "-c", f"mv {STORE}/{token}.tmp {STORE}/{token}")
        started = time.monotonic()
        proxy.gate.run("python3", "-I", "/usr/local/lib/wssgate/prune", "--store", STORE, "--session-log", LOG)
        waiting.join()
    assert ended[0][0] and ended[0][1] - started < 1


def test_the_timer_ends_a_token_and_its_session_within_its_interval(proxies, issue):
    (token,) = issue(subject="short", ttl=5)["tokens"]
    with proxies[0].knock(token) as reply:
        assert reply.session.echo("hello") == "hello"
        assert reply.session.ended(5 + 15 + 5)
    assert proxies[0].status(token) == 403
    journal = proxies[0].gate.run("journalctl", "--no-pager", "-u", "wssgate-token-prune")
    assert "removed 1 expired" in journal and "ended 1 of 1 open sessions" in journal
    assert token not in journal


def test_a_reload_does_not_hide_a_session(proxies, issue, play):
    (token,) = issue(subject="client-42", ttl=600)["tokens"]
    with proxies[0].knock(token) as reply:
        proxies[0].gate.run("nginx", "-s", "reload")
        time.sleep(1)
        assert reply.session.echo("old worker") == "old worker"
        play("token_revoke", subject="client-42")
        assert reply.session.ended(1)


def test_a_rotation_of_nginx_s_logs_neither_hides_a_session_nor_opens_the_log_to_workers(proxies, issue, play):
    proxy = proxies[0]
    (token,) = issue(subject="client-42", ttl=600)["tokens"]
    with proxy.knock(token) as before:
        proxy.gate.run("nginx", "-s", "reopen")
        time.sleep(0.5)
        as_worker = "setpriv --reuid=www-data --regid=www-data --clear-groups"
        assert "denied" in proxy.gate.run("sh", "-c", f"{as_worker} cat {LOG} 2>&1 || true")
        with proxy.knock(token) as after:
            play("token_revoke", subject="client-42")
            assert before.session.ended(1) and after.session.ended(1)


def test_the_pruner_is_there_once_and_its_code_is_the_module_s_own(proxies):
    ours = os.path.join(os.environ.get("MOLECULE_PROJECT_DIRECTORY", "."), "plugins", "module_utils")
    for name in ("_token_pattern.py", "_token_store.py", "_sessions.py", "_prune.py"):
        with open(os.path.join(ours, name), "rb") as file:
            assert proxies[0].gate.read(f"/usr/local/lib/wssgate/wssgate_tokens/{name}") == file.read()
