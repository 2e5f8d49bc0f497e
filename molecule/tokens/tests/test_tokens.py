# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wss_token on real hosts: what it does to the store, and what the gate then answers."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest
from support import modules, wire

STORE = "/var/lib/nginx/tokens"
ONE = "molecule-token-number-one"
TWO = "molecule-token-number-two"
SESSION_LOG = "/var/log/nginx/wssgate/sessions.log"


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:12]


@pytest.fixture
def name(host):
    return host.backend.get_pytest_id().rpartition("://")[2]


@pytest.fixture
def wss_token(name, tmp_path):
    """Runs the module, without a word about secrets in any output."""

    def run(*arguments, **options):
        done = modules.run_module("wssgate.nginx.wss_token", name, tmp_path, *arguments, path=STORE, **options)
        for token in options.get("tokens", ()):
            assert len(token) < 8 or token not in done.text
        return done.result(name)

    return run


@pytest.fixture
def knock(gate):
    """The status that a handshake with this token gets."""
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")
    request = wire.Request(host="wcs.example.com").origin("https://app.example.com")

    def status(token):
        with wire.handshake(endpoint, request.token(token)) as reply:
            return reply.status

    return status


@pytest.fixture(autouse=True)
def clean(host):
    yield
    host.run(f"rm -rf {STORE}/molecule-* {STORE}/README")


def store(host):
    return set(host.check_output(f"ls -A {STORE}").split())


def nginx_processes(host):
    return host.check_output("pgrep -x nginx | sort").split()


def test_the_store_can_be_searched_but_neither_listed_nor_written_by_the_workers(host):
    directory = host.file(STORE)
    assert (directory.user, directory.group, directory.mode) == ("root", "www-data", 0o710)
    as_worker = "setpriv --reuid=www-data --regid=www-data --clear-groups "
    assert host.run(f"{as_worker} test -f {STORE}/converge-token-number-1").rc == 0
    assert host.run(f"{as_worker} ls {STORE}").rc != 0
    assert host.run(f"{as_worker} touch {STORE}/molecule-minted-by-worker").rc != 0
    assert host.run(f"{as_worker} cat {STORE}/converge-token-number-1").rc != 0


def test_the_tokens_of_the_play_let_in(host, knock):
    assert knock("converge-token-number-1") == knock("converge-token-number-2") == 101
    own = json.loads(host.check_output(f"cat {STORE}/????????????????????????????????"))
    assert own["subject"] == "client-42" and own["expires_at"] - own["issued_at"] == 86400


def test_a_token_file_is_empty_and_readable_by_root_alone(host):
    file = host.file(f"{STORE}/converge-token-number-1")
    assert (file.user, file.group, file.mode, file.size) == ("root", "root", 0o600, 0)


def test_a_created_token_lets_in_and_a_removed_one_locks_out_without_a_reload(host, wss_token, knock):
    before = nginx_processes(host)
    assert knock(ONE) == 403
    assert wss_token(tokens=[ONE])["changed"]
    assert knock(ONE) == 101
    assert wss_token(tokens=[ONE], state="absent")["changed"]
    assert knock(ONE) == 403
    assert nginx_processes(host) == before


def test_touch_by_hand_lets_in_and_rm_locks_out_without_a_reload(host, knock):
    before = nginx_processes(host)
    host.check_output(f"touch {STORE}/{ONE}")
    assert knock(ONE) == 101
    host.check_output(f"rm {STORE}/{ONE}")
    assert knock(ONE) == 403
    assert nginx_processes(host) == before


def test_a_generated_token_lets_in(wss_token, knock):
    result = wss_token(generate=1, subject="molecule", ttl=300)
    (token,) = result["tokens"]
    assert knock(token) == 101
    assert wss_token(subject="molecule", state="absent")["removed"] == 1
    assert knock(token) == 403


def test_a_second_call_changes_nothing(wss_token):
    assert wss_token(tokens=[ONE, TWO])["created"] == 2
    result = wss_token(tokens=[ONE, TWO])
    assert (result["changed"], result["unchanged"]) == (False, 2)
    assert result["diff"]["before"] == result["diff"]["after"] == ""


def test_check_mode_changes_nothing_and_says_what_will_be(host, wss_token):
    before = store(host)
    said = wss_token("--check", tokens=[ONE, TWO])
    assert said["changed"] and said["created"] == 2
    assert store(host) == before
    done = wss_token(tokens=[ONE, TWO])
    assert (said["created"], said["diff"]) == (done["created"], done["diff"])
    assert fingerprint(ONE) in done["diff"]["after"]


def test_exclusive_leaves_these_tokens_alone_in_the_store(host, wss_token):
    kept = sorted(store(host))
    host.check_output(f"touch {STORE}/{TWO} {STORE}/README")
    result = wss_token(tokens=[*kept, ONE], exclusive=True)
    assert (result["created"], result["removed"]) == (1, 1)
    assert store(host) == {*kept, ONE, "README"}
    assert [thing["kind"] for thing in result["foreign"]] == ["foreign name"]


BAD_INPUT = [
    ({"tokens": [ONE, "molecule-token.with-a-dot"]}, "tokens[1] is not a token: it holds a character other than"),
    ({"tokens": ["short"]}, "tokens[0] is not a token: it has 5 characters, at least 16 are needed"),
    ({"tokens": ["l" * 129]}, "tokens[0] is not a token: it has 129 characters, at most 128 are allowed"),
    ({"tokens": [], "exclusive": True}, "exclusive with an empty list would remove every token of the store"),
    ({"tokens": [ONE], "path": "/tmp/symlink-store"}, "/tmp/symlink-store is a symlink"),
    ({"tokens": [ONE], "path": "/tmp/file-store"}, "/tmp/file-store is not a directory"),
]


def test_bad_input_is_one_clear_error_and_changes_nothing(host, name, tmp_path):
    host.check_output(f"ln -sfn {STORE} /tmp/symlink-store; touch /tmp/file-store")
    before = store(host)
    run = modules.run_module_with_each("wssgate.nginx.wss_token", name, tmp_path, [{"path": STORE, **options} for options, _words in BAD_INPUT])
    results = run.results(name)
    assert len(results) == len(BAD_INPUT)
    for result, (options, words) in zip(results, BAD_INPUT, strict=True):
        assert result["failed"] and result["msg"].startswith(words), (options, result)
        assert not result.get("changed")
    assert "molecule-token.with-a-dot" not in run.text and "l" * 129 not in run.text
    assert store(host) == before


def test_a_symlink_with_a_token_s_name_is_refused_and_stays(host, wss_token):
    host.check_output(f"ln -s /etc/passwd {STORE}/{ONE}")
    for state in ("present", "absent"):
        result = wss_token(tokens=[ONE], state=state)
        assert result["failed"] and "symlink" in result["msg"]
    assert host.file(f"{STORE}/{ONE}").is_symlink


def test_a_read_only_store_is_a_clear_error(host, wss_token):
    host.check_output(f"mount --bind {STORE} {STORE} && mount -o remount,bind,ro {STORE}")
    try:
        before = store(host)
        result = wss_token(tokens=[ONE])
        assert result["failed"] and result["msg"].endswith("Read-only file system; nothing was created")
        result = wss_token(tokens=["converge-token-number-1"], state="absent")
        assert result["failed"] and "Read-only file system; 0 of 1 were removed" in result["msg"]
    finally:
        host.check_output(f"umount {STORE}")
    assert store(host) == before


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_done(host, name, tmp_path):
    host.check_output("mkdir -p /mnt/small && mount -t tmpfs -o size=64k,nr_inodes=40 tmpfs /mnt/small")
    try:
        for options in ({"tokens": [f"molecule-token-{n:06d}" for n in range(60)]}, {"generate": 60, "subject": "x"}):
            run = modules.run_module("wssgate.nginx.wss_token", name, tmp_path, path="/mnt/small", **options)
            result = run.result(name)
            assert result["failed"] and "No space left on device; nothing was created" in result["msg"]
            assert host.check_output("ls -A /mnt/small") == ""
    finally:
        host.check_output("umount /mnt/small")


def test_the_most_talkative_output_holds_no_given_token(host, name, tmp_path):
    run = modules.run_module(
        "wssgate.nginx.wss_token",
        name,
        tmp_path,
        "-vvv",
        path=STORE,
        tokens=[ONE, TWO],
        subject="molecule",
        ttl=60,
        environment={"ANSIBLE_STDOUT_CALLBACK": "default"},
    )
    assert run.returncode == 0
    assert fingerprint(ONE) in run.text
    assert ONE not in run.text and TWO not in run.text


def test_no_process_has_a_token_among_its_arguments(host, wss_token):
    seen = set()
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            seen.update(host.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | sort -u").stdout.splitlines())
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        wss_token(tokens=[ONE, TWO])
    finally:
        stop.set()
        watcher.join()
    assert any("python" in line for line in seen), "nothing was seen; the test proves nothing"
    assert not any(ONE in line or TWO in line for line in seen)


def test_no_file_that_others_can_read_holds_a_token(host, wss_token, knock):
    wss_token(tokens=[ONE])
    assert knock(ONE) == 101
    found = host.run(
        "grep -rslF -- converge-token-number-1 /etc /var/log /var/lib /var/cache /run /tmp /root /usr/local; "
        f"grep -rslF -- {ONE} /etc /var/log /var/lib /var/cache /run /tmp /root /usr/local"
    ).stdout.split()
    assert set(found) <= {SESSION_LOG}
    reading = host.run(f"setpriv --reuid=www-data --regid=www-data --clear-groups cat {SESSION_LOG}")
    assert reading.rc != 0
    assert host.run(f"find /var /etc /run /tmp /usr/local -name '{ONE}' -not -path '{STORE}/*'").stdout == ""


def test_nothing_is_left_in_the_store_but_tokens(host):
    assert all(not entry.startswith(".") for entry in store(host))
