# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wss_token on real hosts: what it does to the store, and what the gate then answers."""

from __future__ import annotations

import json

from conftest import ONE, STORE, store


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


def test_the_tokens_of_the_play_let_in(host, handshake_status):
    assert handshake_status("converge-token-number-1") == handshake_status("converge-token-number-2") == 101
    own = json.loads(host.check_output(f"cat {STORE}/????????????????????????????????"))
    assert own["subject"] == "client-42" and own["expires_at"] - own["issued_at"] == 86400


def test_a_token_file_is_empty_and_readable_by_root_alone(host):
    file = host.file(f"{STORE}/converge-token-number-1")
    assert (file.user, file.group, file.mode, file.size) == ("root", "root", 0o600, 0)


def test_a_created_token_lets_in_and_a_removed_one_locks_out_without_a_reload(host, wss_token, handshake_status):
    before = nginx_processes(host)
    assert handshake_status(ONE) == 403
    assert wss_token(tokens=[ONE])["changed"]
    assert handshake_status(ONE) == 101
    assert wss_token(tokens=[ONE], state="absent")["changed"]
    assert handshake_status(ONE) == 403
    assert nginx_processes(host) == before


def test_touch_by_hand_lets_in_and_rm_locks_out_without_a_reload(host, handshake_status):
    before = nginx_processes(host)
    host.check_output(f"touch {STORE}/{ONE}")
    assert handshake_status(ONE) == 101
    host.check_output(f"rm {STORE}/{ONE}")
    assert handshake_status(ONE) == 403
    assert nginx_processes(host) == before


def test_a_generated_token_lets_in(wss_token, handshake_status):
    result = wss_token(generate=1, subject="molecule", ttl=300)
    (token,) = result["tokens"]
    assert handshake_status(token) == 101
    assert wss_token(subject="molecule", state="absent")["removed"] == 1
    assert handshake_status(token) == 403


def test_nothing_is_left_in_the_store_but_tokens(host):
    assert all(not entry.startswith(".") for entry in store(host))
