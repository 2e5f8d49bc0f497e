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

from lib import wire
from lib.molecule import modules
from lib.molecule.gate import Gate

PROXIES = ("wssgate-token_life-debian12", "wssgate-token_life-debian13")
STORE = "/var/lib/nginx/tokens"
LOG = "/var/log/nginx/wssgate/sessions.log"
# What takes a second where nothing else runs may take so many beside other scenarios.
SOON = 5

# The group is the subject here, so one host's connection serves for all.
testinfra_hosts = [f"docker://{PROXIES[0]}"]


class Proxy:
    def __init__(self, name, scratch):
        self.name = name
        self.scratch = scratch
        self.gate = Gate(name=name, scratch=scratch)
        self.endpoint = wire.Endpoint(port=self.gate.port, ca_path=self.gate.ca_path, server_name="wcs.example.com")
        self.request = wire.Request(host="wcs.example.com").origin("https://app.example.com")

    def knock(self, token):
        return wire.handshake(self.endpoint, self.request.token(token))

    def knock_with(self, token):
        """A session with a token that is new."""
        self.gate.run("touch", f"{STORE}/{token}")
        return self.knock(token)

    def status(self, token):
        with self.knock(token) as reply:
            return reply.status

    def tokens(self):
        return self.gate.run("ls", "-A", STORE).split()

    def journal(self, expected):
        """What the agent reported, once that is among it."""
        deadline = time.monotonic() + 30
        while expected not in (text := self.gate.run("journalctl", "--no-pager", "-u", "wssgate-agent")):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        return text

    def wss_token(self, **options):
        return modules.run_module("wssgate.nginx.wss_token", self.name, self.scratch, path=STORE, **options).result(
            self.name
        )


@pytest.fixture
def proxies(tmp_path):
    return [Proxy(name, tmp_path) for name in PROXIES]


@pytest.fixture
def play(tmp_path):
    """Runs an ops playbook; `changes` of what comes back is the number of changed tasks on all proxies."""

    def run(name, *arguments, fails=False, **variables):
        done = modules.run_playbook(f"wssgate.nginx.{name}", tmp_path, *arguments, **variables)
        assert (done.returncode != 0) == fails, done.text[-3000:]
        done.changes = sum(done.report["stats"].get(proxy, {}).get("changed", 0) for proxy in PROXIES)
        return done

    return run


@pytest.fixture
def issue(play):
    """The token that token_issue says it issued."""

    def run(**variables):
        (token,) = said(play("token_issue", output="json", **variables))["tokens"]
        return token

    return run


@pytest.fixture(autouse=True)
def clean(proxies):
    def empty():
        for proxy in proxies:
            proxy.gate.run("sh", "-c", f"rm -rf {STORE}/* {STORE}/.??*")

    empty()
    yield
    empty()


def said(done):
    """What the playbook shows at its end, on the first proxy for all."""
    return [result["msg"] for result in done.results(PROXIES[0]) if "msg" in result][-1]


def test_a_token_is_issued_used_listed_and_revoked_on_every_proxy(proxies, issue, play):
    token, other = issue(subject="client-42", ttl=600), issue(subject="bystander", ttl=600)
    with contextlib.ExitStack() as stack:
        mine = [stack.enter_context(proxy.knock(token)).session for proxy in proxies]
        bystanders = [stack.enter_context(proxy.knock(other)).session for proxy in proxies]
        assert [session.echo("hello") for session in (*mine, *bystanders)] == ["hello"] * 4

        listing = play("token_list", output="json")
        assert listing.changes == 0
        assert [
            (entry["subject"], entry["sessions"], entry["missing"], entry["proxies"])
            for entry in said(listing)["tokens"]
        ] == [("client-42", 2, [], sorted(PROXIES)), ("bystander", 2, [], sorted(PROXIES))]

        revoked = play("token_revoke", subject="client-42", output="json")
        assert all(session.ended(SOON) for session in mine)
        assert [session.echo("still here") for session in bystanders] == ["still here"] * 2
    (fingerprint,) = said(revoked)["proxies"][PROXIES[0]]["fingerprints"]
    assert said(revoked) == {
        "failures": [],
        "proxies": {
            name: {
                "removed": 1, "quarantined": 0, "fingerprints": [fingerprint],
                "sessions": {"ended": 1, "found": 1, "remaining": 0},
            }
            for name in PROXIES
        },
    }  # fmt: skip
    assert [proxy.status(token) for proxy in proxies] == [403, 403]
    assert [proxy.status(other) for proxy in proxies] == [101, 101]
    for done in (listing, revoked):
        assert token not in done.text and other not in done.text

    again = play("token_revoke", subject="client-42")
    assert again.changes == 0
    assert said(again)[-1] == "Nothing was removed."


def test_sessions_are_listed_and_ended_on_every_proxy_at_once(proxies, play):
    mine, other = "token-of-client-42-for-all", "token-of-a-bystander-for-all"
    for proxy in proxies:
        for token, subject in ((mine, "client-42"), (other, "bystander")):
            proxy.gate.run("sh", "-c", f'echo \'{{"subject": "{subject}"}}\' > {STORE}/{token}')
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(proxy.knock(mine)).session for proxy in proxies]
        bystanders = [stack.enter_context(proxy.knock(other)).session for proxy in proxies]

        listing = play("session_list", output="json", subject="client-42")
        assert listing.changes == 0
        found = said(listing)["sessions"]
        assert sorted(session["host"] for session in found) == sorted(PROXIES)
        for session in found:
            assert (session["subject"], session["server"]) == ("client-42", "wcs.example.com")
            assert (session["location"], session["upstream"]) == ("/wss", "http://127.0.0.1:8080/wss")
            # On both systems the kernel tells, TLS included.
            assert session["bytes_received"] > 300 and session["bytes_sent"] > 300
        assert [said(listing)["totals"][name]["sessions"] for name in PROXIES] == [2, 2]

        dry = play("session_end", "--check", subject="client-42")
        assert [session.echo("dry") for session in sessions] == ["dry"] * 2
        assert said(dry)[1:] == [f"{name}: 1 open session would be ended" for name in PROXIES]
        ended = play("session_end", subject="client-42")
        assert ended.changes == 2
        assert all(session.ended(SOON) for session in sessions)
        assert [session.echo("still here") for session in bystanders] == ["still here"] * 2
    # Its token still opens the gate.
    assert [proxy.status(mine) for proxy in proxies] == [101, 101]
    for done in (listing, dry, ended):
        assert mine not in done.text and other not in done.text


def test_a_token_can_be_written_to_a_file_of_the_controller_and_shown_nowhere(proxies, play, tmp_path):
    path = tmp_path / "token"
    done = play("token_issue", "-vvv", subject="client-42", token_file=str(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    token = path.read_text().strip()
    assert len(token) == 32 and token not in done.text
    assert [proxy.status(token) for proxy in proxies] == [101, 101]
    assert token not in play("token_revoke", "-vvv", token_file=str(path)).text
    assert [proxy.status(token) for proxy in proxies] == [403, 403]


def test_a_token_that_one_proxy_cannot_take_is_withdrawn_from_the_others(proxies, play):
    proxies[1].gate.run("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", STORE)
    try:
        done = play("token_issue", subject="client-42", fails=True)
    finally:
        proxies[1].gate.run("umount", STORE)
    assert f"{PROXIES[1]} did not take the token, so it was withdrawn from the others." in done.text
    assert [proxy.tokens() for proxy in proxies] == [[], []]


def test_a_session_is_closed_at_once_when_its_token_is_removed(proxies):
    proxy = proxies[0]
    token = "closed-within-a-second-01"
    proxy.gate.run("touch", f"{STORE}/{token}")
    with proxy.knock(token) as reply:
        ended = []
        waiting = threading.Thread(target=lambda: ended.append((reply.session.ended(60), time.time())))
        waiting.start()
        proxy.gate.run(
            "sh",
            "-c",
            (
                f"echo '{{\"expires_at\": 5}}' > {STORE}/ended.tmp && touch -d @5 {STORE}/ended.tmp && mv "
                f"{STORE}/ended.tmp {STORE}/{token}"
            ),
        )
        proxy.gate.run("python3", "-I", "/usr/local/lib/wssgate/prune", "--store", STORE, "--session-log", LOG)
        waiting.join()
    # The folder changed last when the token went, however long it took to get there.
    removed = float(proxy.gate.run("stat", "-c", "%.9Y", STORE))
    assert ended[0][0] and ended[0][1] - removed < SOON


def test_a_token_is_renewed_in_time_and_the_old_one_stays_until_its_end(proxies):
    proxy = proxies[0]
    (old,) = proxy.wss_token(subject="standing", ttl=600)["tokens"]
    # More is left than renew_before asks for: nothing to do.
    assert not proxy.wss_token(subject="standing", ttl=600, renew_before=1)["changed"]
    time.sleep(1)
    renewed = proxy.wss_token(subject="standing", ttl=700, renew_before=599)
    (new,) = renewed["tokens"]
    assert (renewed["created"], renewed["updated"], renewed["removed"]) == (1, 0, 0)
    assert (proxy.status(old), proxy.status(new)) == (101, 101)
    assert not proxy.wss_token(subject="standing", ttl=700, renew_before=599)["changed"]


def expiry_of(proxy, token):
    """The end of a token, by its file's modification time."""
    return int(proxy.gate.run("stat", "-c", "%Y", f"{STORE}/{token}"))


def is_open(reply):
    with contextlib.suppress(OSError, wire.WireError):
        return reply.session is not None and reply.session.echo("hello") == "hello"
    return False


def test_at_its_end_a_token_and_its_sessions_end_on_every_proxy_by_themselves(proxies, issue, play):
    lasting = issue(subject="lasting", ttl=600)
    with contextlib.ExitStack() as stack:
        # Where the machine is so busy that the end comes before everybody is in, once more with a longer life.
        for ttl in (15, 50):
            begin = time.monotonic()
            short = issue(subject="short", ttl=ttl)
            replies = [stack.enter_context(proxy.knock(short)) for proxy in proxies]
            are_open = [is_open(reply) for reply in replies]
            if all(are_open) or time.monotonic() - begin < ttl:
                break
        assert are_open == [True, True]
        bystanders = [stack.enter_context(proxy.knock(lasting)).session for proxy in proxies]
        end = {proxy.name: expiry_of(proxy, short) for proxy in proxies}
        # nginx's own idle time is 75 s.
        for proxy, reply in zip(proxies, replies, strict=True):
            assert reply.session.ended(ttl + SOON)
            assert 0 <= time.time() - end[proxy.name] < SOON
        assert [bystander.echo("still here") for bystander in bystanders] == ["still here"] * 2
    assert [proxy.status(short) for proxy in proxies] == [403, 403]
    assert [proxy.status(lasting) for proxy in proxies] == [101, 101]
    for proxy in proxies:
        journal = proxy.journal("removed 1 expired")
        assert "removed 1 expired" in journal and short not in journal
    assert play("token_prune").changes == 0


def test_a_token_s_file_that_is_removed_by_hand_ends_its_sessions_and_no_others(proxies):
    for proxy in proxies:
        with proxy.knock_with("removed-by-hand-by-rm-01") as mine, proxy.knock_with("not-removed-by-hand-01") as other:
            proxy.gate.run("rm", f"{STORE}/removed-by-hand-by-rm-01")
            assert mine.session.ended(SOON)
            assert other.session.echo("still here") == "still here"


def test_a_session_ends_when_it_has_lasted_as_long_as_it_may_and_no_other(proxies):
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(proxy.knock_with("longer-than-the-timed-ones-1")).session for proxy in proxies]
        timed = [
            stack.enter_context(wire.handshake(proxy.endpoint, proxy.request.but(path="/timed"))) for proxy in proxies
        ]
        assert [reply.session.echo("hello") for reply in timed] == ["hello"] * 2
        assert all(reply.session.ended(2 + SOON) for reply in timed)
        assert time.monotonic() - began >= 2
        assert [session.echo("still here") for session in others] == ["still here"] * 2
    for proxy in proxies:
        assert "they have lasted as long as they may" in proxy.journal("they have lasted as long as they may")


def test_the_agent_ends_what_it_missed_while_it_did_not_run(proxies):
    proxy = proxies[0]
    with proxy.knock_with("removed-while-it-was-down") as mine, proxy.knock_with("there-while-it-was-down-1") as other:
        proxy.gate.run("systemctl", "stop", "wssgate-agent")
        proxy.gate.run("rm", f"{STORE}/removed-while-it-was-down")
        assert mine.session.echo("still here") == "still here"
        proxy.gate.run("systemctl", "start", "wssgate-agent")
        assert mine.session.ended(SOON)
        assert other.session.echo("still here") == "still here"


def test_an_agent_that_was_killed_or_hangs_is_started_again(proxies):
    proxy = proxies[0]
    for signal in ("KILL", "STOP"):
        before = proxy.gate.run("systemctl", "show", "--property=MainPID", "--value", "wssgate-agent").strip()
        # Hung: the watchdog of the unit notices, 30 seconds later; the test does not wait so long.
        if signal == "STOP":
            folder = "/run/systemd/system/wssgate-agent.service.d"
            short = f"printf '[Service]\nWatchdogSec=2\n' > {folder}/short.conf"
            proxy.gate.run("sh", "-c", f"mkdir -p {folder} && {short} && systemctl daemon-reload")
            proxy.gate.run("systemctl", "restart", "wssgate-agent")
            before = proxy.gate.run("systemctl", "show", "--property=MainPID", "--value", "wssgate-agent").strip()
        proxy.gate.run("kill", f"-{signal}", before)
        assert wait_for(lambda before=before: runs_anew(proxy, before))
    proxy.gate.run("sh", "-c", f"rm -r {folder} && systemctl daemon-reload && systemctl restart wssgate-agent")
    with proxy.knock_with("after-the-agent-was-killed") as mine:
        proxy.gate.run("rm", f"{STORE}/after-the-agent-was-killed")
        assert mine.session.ended(SOON)


def runs_anew(proxy, before):
    shown = proxy.gate.run("systemctl", "show", "--property=MainPID,ActiveState", "--value", "wssgate-agent").split()
    return "active" in shown and not {before, "0"} & set(shown)


def wait_for(is_so, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_the_agent_is_shut_in(proxies):
    for proxy in proxies:
        assert exposure(proxy) <= 2.0


def exposure(proxy):
    judged = proxy.gate.run("systemd-analyze", "security", "--no-pager", "wssgate-agent.service").splitlines()
    (found,) = [line for line in judged if "Overall exposure level" in line]
    return float(found.split(":")[1].split()[0])


# Keeps the last notification in a file. It listens on the address or the socket that it is given.
APPLICATION = r"""
import http.server, socketserver, sys
where = sys.argv[1]

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/run/told.new", "wb").write(self.headers["webhook-signature"].encode() + b" " + body)
        __import__("os").replace("/run/told.new", "/run/told")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass

socketserver.TCPServer.allow_reuse_address = True
if where.startswith("/"):
    socketserver.UnixStreamServer(where, Handler).serve_forever()
socketserver.TCPServer(("127.0.0.1", int(where)), Handler).serve_forever()
"""
# A name, which the agent's unit has to let be resolved, and a socket; and how far the agent is exposed then
APPLICATIONS = (
    (PROXIES[0], "8089", "http://application.test:8089/ending", 2.5),
    (PROXIES[1], "/run/application.sock", "http://unix:/run/application.sock:/ending", 2.0),
)


@pytest.mark.parametrize(("name", "where", "url", "exposed"), APPLICATIONS, ids=["by name", "by socket"])
def test_an_application_is_asked_before_the_agent_cuts(proxies, name, where, url, exposed):
    (proxy,) = [proxy for proxy in proxies if proxy.name == name]
    key, token = "whsec_" + "c2VjcmV0" * 4, "token-of-which-is-told-01"

    def install(**options):
        return modules.run_module("wssgate.nginx.wss_token_pruner", name, proxy.scratch, **options).result(name)

    proxy.gate.run("sh", "-c", "grep -q application.test /etc/hosts || echo 127.0.0.1 application.test >> /etc/hosts")
    proxy.gate.run("sh", "-c", "rm -f /run/told /run/application.sock")
    proxy.gate.run("sh", "-c", 'printf %s "$1" > /run/application.py', "sh", APPLICATION)
    unit = "--unit=wssgate-test-application"  # --collect: one that failed leaves nothing
    proxy.gate.run("systemd-run", "--quiet", "--collect", unit, "/usr/bin/python3", "/run/application.py", where)
    try:
        assert key not in str(install(notify_url=url, notify_key=key, notify_grace=3))
        with proxy.knock_with(token) as mine:
            proxy.gate.run("rm", f"{STORE}/{token}")
            assert wait_for(lambda: "v1," in proxy.gate.run("sh", "-c", "cat /run/told || true"))
            assert proxy.status(token) == 403
            assert mine.session.echo("in the grace") == "in the grace"
            assert mine.session.ended(3 + SOON)
        assert '"location":"/wss"' in proxy.gate.run("cat", "/run/told")
        assert exposure(proxy) <= exposed
        secret = "/var/lib/wssgate-agent/settings.json"
        assert proxy.gate.run("stat", "--format=%a %U", secret).split() == ["600", "root"]
        assert key not in proxy.gate.run("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; journalctl --no-pager")
    finally:
        proxy.gate.run("systemctl", "stop", "wssgate-test-application")
        found = install()
    assert found["changed"]
    proxy.gate.run("test", "!", "-e", secret)


def test_a_store_that_is_moved_away_cuts_nobody_and_is_reported(proxies):
    proxy = proxies[0]
    with proxy.knock_with("there-before-the-moving-01") as mine:
        proxy.gate.run("mv", STORE, f"{STORE}.away")
        try:
            assert wait_for(lambda: f"{STORE} is not there: no session is ended for it" in status(proxy))
            assert mine.session.echo("still here") == "still here"
        finally:
            proxy.gate.run("mv", f"{STORE}.away", STORE)
        assert wait_for(lambda: "is not there" not in status(proxy))
        assert mine.session.echo("still here") == "still here"
        proxy.gate.run("rm", f"{STORE}/there-before-the-moving-01")
        assert mine.session.ended(SOON)


def status(proxy):
    return proxy.gate.run("systemctl", "show", "--property=StatusText", "--value", "wssgate-agent")


def test_a_timer_takes_the_place_of_the_agent_and_gives_it_back(proxies):
    """Both directions, as a host comes from version 1.0.0; with the timer the units of the pruner work."""
    proxy = proxies[0]
    for scheduler, unit in (("systemd", "wssgate-token-prune.timer"), ("agent", "wssgate-agent.service")):
        done = modules.run_module(
            "wssgate.nginx.wss_token_pruner", proxy.name, proxy.scratch, scheduler=scheduler, interval=5
        ).result(proxy.name)
        assert done["changed"] and done["scheduler"] == scheduler, done
        listed = proxy.gate.run("sh", "-c", "systemctl list-units --all --plain --no-legend 'wssgate-*' || true")
        active = {line.split()[0] for line in listed.splitlines() if line.split()[2] == "active"}
        assert active == {unit}
        if scheduler == "systemd":
            written = proxy.gate.run("systemctl", "cat", "wssgate-token-prune.service")
            assert "ExecStart=/usr/bin/python3 -I /usr/local/lib/wssgate/prune" in written
            result = proxy.gate.run(
                "systemctl", "show", "--property=Result,ExecMainStatus", "wssgate-token-prune.service"
            )
            assert result.split() == ["Result=success", "ExecMainStatus=0"]


def test_sessions_from_before_a_reload_and_a_rotation_of_nginx_s_logs_end_too(proxies):
    proxy = proxies[0]
    token = "before-a-reload-and-after"
    proxy.gate.run("touch", f"{STORE}/{token}")
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(proxy.knock(token)).session]
        proxy.gate.run("nginx", "-s", "reload")
        time.sleep(0.5)
        sessions.append(stack.enter_context(proxy.knock(token)).session)
        proxy.gate.run("nginx", "-s", "reopen")
        time.sleep(0.5)
        as_worker = "setpriv --reuid=www-data --regid=www-data --clear-groups"
        assert "denied" in proxy.gate.run("sh", "-c", f"{as_worker} cat {LOG} 2>&1 || true")
        sessions.append(stack.enter_context(proxy.knock(token)).session)
        assert [session.echo("old or new") for session in sessions] == ["old or new"] * 3
        assert proxy.wss_token(tokens=[token], state="absent", disconnect=True)["sessions"]["ended"] == 3
        assert all(session.ended(SOON) for session in sessions)


def test_what_a_revocation_could_not_end_the_host_ends_by_itself(proxies, play):
    """A program ss that fails on one proxy, in front of the real one for the module and for the unit."""
    token = "owed-an-end-by-one-proxy"
    with contextlib.ExitStack() as stack:
        for proxy in proxies:
            proxy.gate.run("touch", f"{STORE}/{token}")
        sessions = [stack.enter_context(proxy.knock(token)).session for proxy in proxies]
        failing = "printf '#!/bin/sh\\nexit 1\\n' > /usr/local/sbin/ss && chmod 755 /usr/local/sbin/ss"
        proxies[0].gate.run("sh", "-c", failing)
        try:
            (tmp_path := proxies[0].scratch / "token").write_text(token)
            done = play("token_revoke", token_file=str(tmp_path), fails=True)
            assert f"{PROXIES[0]}: 1 open session(s) could not be ended: ss failed with 1" in done.text
            assert "each run of the pruner tries again" in done.text
            assert [proxy.status(token) for proxy in proxies] == [403, 403]
            assert sessions[1].ended(SOON) and sessions[0].echo("still here") == "still here"
            assert "ss failed with 1" in proxies[0].journal("ss failed with 1")
        finally:
            proxies[0].gate.run("rm", "-f", "/usr/local/sbin/ss")
        # The agent's pauses have grown meanwhile.
        assert sessions[0].ended(60)


def test_the_agent_runs_with_the_system_s_python_wherever_ansible_s_is(proxies):
    """A virtual environment below /root, where the unit may not look."""
    proxy = proxies[0]
    proxy.gate.run("sh", "-c", "mkdir -p /root/venv/bin && ln -sf /usr/bin/python3 /root/venv/bin/python")
    python = ("-e", "ansible_python_interpreter=/root/venv/bin/python")
    done = modules.run_module("wssgate.nginx.wss_token_pruner", proxy.name, proxy.scratch, *python).result(proxy.name)
    assert "failed" not in done and not done["changed"], done
    unit = proxy.gate.run("systemctl", "cat", "wssgate-agent.service")
    assert "ExecStart=/usr/bin/python3 -I /usr/local/lib/wssgate/agent" in unit


def test_an_agent_that_stands_still_or_cannot_be_run_is_reported_and_fails_a_run(proxies, play):
    folder = "/etc/systemd/system/wssgate-agent.service.d"
    proxies[0].gate.run("systemctl", "stop", "wssgate-agent")
    # As an interpreter that went with an upgrade, or that is in a home.
    lost = f"printf '[Service]\nRestart=no\nExecStart=\nExecStart=/root/venv/bin/python none\n' > {folder}/lost.conf"
    stop = "systemctl daemon-reload && systemctl stop wssgate-agent"
    proxies[1].gate.run("sh", "-c", f"mkdir -p {folder} && {lost} && {stop}")
    try:
        agent = modules.run_module("wssgate.nginx.wss_token_pruner", PROXIES[1], proxies[1].scratch)
        checked = play("check", output="json", fails=True)
    finally:
        proxies[1].gate.run("sh", "-c", f"rm -r {folder} && systemctl daemon-reload")
        again = modules.run_module("wssgate.nginx.wss_token_pruner", "all", proxies[0].scratch)
    agent = agent.result(PROXIES[1])
    assert agent["failed"] and "does not work, so expired tokens would stay valid" in agent["msg"]
    assert "ended with 203: " in agent["msg"]
    (report,) = [result["msg"] for result in checked.results(PROXIES[0]) if isinstance(result.get("msg"), dict)]
    problems = {entry["host"]: entry["problem"] for entry in report["problems"]}
    assert problems[PROXIES[0]].startswith("the agent does not run (loaded, inactive, ")
    assert problems[PROXIES[1]].startswith("the agent does not run (loaded, failed, exit code 203)")
    assert [again.result(name)["changed"] for name in PROXIES] == [True, True]


def test_the_pruner_is_there_once_and_its_code_is_the_module_s_own(proxies):
    ours = os.path.join(os.environ.get("MOLECULE_PROJECT_DIRECTORY", "."), "plugins", "module_utils")
    for name in (
        "_tokens/pattern.py",
        "_tokens/store.py",
        "_tokens/record.py",
        "_sessions/log.py",
        "_sessions/ending.py",
        "_agent/prune.py",
        "_agent/agent.py",
        "_agent/service.py",
    ):
        with open(os.path.join(ours, name), "rb") as file:
            assert proxies[0].gate.read(f"/usr/local/lib/wssgate/wssgate_tokens/{name}") == file.read()
