# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a crowd of clients saw while the gate was changed, its tokens came and went, and nginx was reloaded."""

from __future__ import annotations

import json
import os
import time

import pytest

DRAIN_TIMEOUT = 3
SESSIONS = int(os.environ.get("WSSGATE_SESSIONS") or 100)


@pytest.fixture(scope="module")
def stay(host):
    report = json.loads(host.file("/root/stay.json").content_string)
    print({key: value for key, value in report.items() if key not in ("dropped", "refused")})
    return report


@pytest.fixture(scope="module")
def leave(host):
    return json.loads(host.file("/root/leave.json").content_string)


def test_no_session_was_dropped(stay):
    assert stay["sessions"] == SESSIONS
    assert stay["dropped"] == []
    # Each of them spoke all the time.
    assert stay["echoes"] > 8 * stay["sessions"]


def test_no_echo_took_a_second_longer_than_without_the_gate(stay):
    assert stay["slowest"] < stay["slowest_direct"] + 1


def test_no_handshake_failed(stay):
    assert stay["refused"] == []
    assert stay["handshakes"] > 50


def test_the_drain_timeout_cut_the_sessions_of_workers_that_had_it_and_no_sooner(host, leave):
    reloaded = float(host.file("/root/reloaded").content_string)
    assert leave["sessions"] == len(leave["dropped"]) == 5
    # A client notices when it next speaks, which it does once a second; the first reload may take its time on a busy
    # machine.
    waited = [drop["time"] - reloaded for drop in leave["dropped"]]
    assert min(waited) > DRAIN_TIMEOUT - 0.5
    assert max(waited) < DRAIN_TIMEOUT + 15


def test_the_workers_that_were_replaced_are_gone_with_their_sessions(host):
    deadline = time.monotonic() + DRAIN_TIMEOUT + 15
    # From its beginning: the shell that looks has the same words in its own command line.
    while leaving := host.run("pgrep -f '^nginx: worker process is shutting down'").stdout.split():
        assert time.monotonic() < deadline, leaving
        time.sleep(0.2)
    assert host.run("pgrep -f '^nginx: worker process$'").stdout.split()


def test_what_was_changed_is_live(host, gate):
    assert "proxy_read_timeout 71s;" in host.file("/etc/nginx/wssgate.d/server_wcs.conf").content_string
    served = host.run(
        "openssl s_client -connect 127.0.0.1:443 -servername wcs.example.com </dev/null 2>/dev/null | openssl "
        "x509 -noout -subject"
    )
    assert "renewed.example.com" in served.stdout


def test_only_the_token_that_was_meant_to_stay_is_in_the_store(host):
    assert host.file("/var/lib/nginx/tokens").listdir() == ["token-of-the-whole-crowd"]
