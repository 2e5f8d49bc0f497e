# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a token must not be seen. None of it depends on the system: one host is enough."""

from __future__ import annotations

import threading
import time

from conftest import ONE, STORE, TWO, fingerprint

from lib.molecule import modules

testinfra_hosts = ["ansible://wssgate-tokens-debian13"]
SESSION_LOG = "/var/log/nginx/wssgate/sessions.log"


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


def test_no_file_that_others_can_read_holds_a_token(host, wss_token, handshake_status):
    wss_token(tokens=[ONE])
    assert handshake_status(ONE) == 101
    found = host.run(
        "grep -rslF -- converge-token-number-1 /etc /var/log /var/lib /var/cache /run /tmp /root /usr/local; "
        f"grep -rslF -- {ONE} /etc /var/log /var/lib /var/cache /run /tmp /root /usr/local"
    ).stdout.split()
    assert set(found) <= {SESSION_LOG}
    reading = host.run(f"setpriv --reuid=www-data --regid=www-data --clear-groups cat {SESSION_LOG}")
    assert reading.rc != 0
    assert host.run(f"find /var /etc /run /tmp /usr/local -name '{ONE}' -not -path '{STORE}/*'").stdout == ""
