# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module refuses, and what it leaves alone. None of it depends on the system: one host is enough."""

from __future__ import annotations

from conftest import ONE, STORE, store

from lib.molecule import modules

testinfra_hosts = ["ansible://wssgate-tokens-debian13"]

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
    run = modules.run_module_with_each(
        "wssgate.nginx.wss_token", name, tmp_path, [{"path": STORE, **options} for options, _words in BAD_INPUT]
    )
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
