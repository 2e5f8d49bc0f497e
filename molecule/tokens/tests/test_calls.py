# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How wss_token is called and what it then says. It does not depend on the system, so it is asked on one."""

from __future__ import annotations

from conftest import ONE, STORE, TWO, fingerprint, store

testinfra_hosts = ["ansible://wssgate-tokens-debian13"]


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
