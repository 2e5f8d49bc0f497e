# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What further runs do and say. It does not depend on the system, so it is asked on one."""

from __future__ import annotations

from conftest import WebCallServer

testinfra_hosts = ["ansible://wssgate-wcs-debian13"]

PASSWORD = "hunter2-keystore"


def test_another_spelling_of_the_same_value_is_left_alone(wcs: WebCallServer) -> None:
    wcs.host.check_output(f"sed -i 's/^ws.ip_forward_header=.*/  ws.ip_forward_header : X-Client-IP/' {wcs.path}")
    before, starts = wcs.lines(), wcs.starts
    result = wcs.play()
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout
    assert "service_facts" not in result.stdout
    assert (wcs.lines(), wcs.starts) == (before, starts)


def test_a_dry_run_names_the_change_and_makes_none(wcs: WebCallServer) -> None:
    before, starts = wcs.lines(), wcs.starts
    result = wcs.play("--check", "--diff", wcs_client_ip_header="X-Other")
    assert result.returncode == 0, result.stdout
    assert "ws.ip_forward_header: X-Client-IP -> X-Other" in result.stdout
    assert "Restart the Web Call Server" in result.stdout
    assert PASSWORD not in result.stdout
    assert (wcs.lines(), wcs.starts, wcs.owes_restart) == (before, starts, False)


def test_no_output_holds_the_keystores_password_and_a_change_may_wait_for_a_run_that_may_restart(
    wcs: WebCallServer,
) -> None:
    starts = wcs.starts
    # A string, as `-e wcs_restart_enabled=false` on the command line makes of it.
    result = wcs.play("--diff", "-vvv", wcs_client_ip_header="X-Other", wcs_restart_enabled="false")
    assert result.returncode == 0, result.stdout
    assert b"ws.ip_forward_header=X-Other" in wcs.lines()
    assert PASSWORD.encode() in b"\n".join(wcs.lines())
    encoded = wcs.host.check_output("base64 -w 0 /root/kept")
    for secret in (PASSWORD, encoded[:40], encoded[200:240]):
        assert secret not in result.stdout
    assert "count from the Web Call Server's next start on" in result.stdout
    assert (wcs.starts, wcs.owes_restart) == (starts, True)
    wcs.host.check_output(f"cp -a {wcs.note} /root/note")

    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode == 0, result.stdout
    assert (wcs.starts, wcs.owes_restart) == (starts + 1, False)

    # What is noted is of an earlier start, as after one that somebody else has made: then nothing is owed.
    wcs.host.check_output(f"mv /root/note {wcs.note}")
    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode == 0, result.stdout
    assert "changed=0 " in result.stdout
    assert (wcs.starts, wcs.owes_restart) == (starts + 1, False)


def test_a_restart_that_failed_is_made_up_for_once(wcs: WebCallServer) -> None:
    # It runs on with the old settings.
    with wcs.drop_in("[Unit]", "RefuseManualStop=yes"):
        result = wcs.play(wcs_client_ip_header="X-Other")
        assert result.returncode != 0
        assert "Operation refused" in result.stdout
    assert b"ws.ip_forward_header=X-Other" in wcs.lines()
    note = wcs.host.file(wcs.note)
    assert (note.is_file, note.user, note.mode) == (True, "root", 0o600)
    before, starts = wcs.lines(), wcs.starts

    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode == 0, result.stdout
    assert "An earlier run changed settings" in result.stdout
    assert "changed=1 " in result.stdout
    assert (wcs.lines(), wcs.starts, wcs.owes_restart) == (before, starts + 1, False)


def test_a_run_that_can_not_write_changes_nothing_and_leaves_the_restart_to_the_next(wcs: WebCallServer) -> None:
    # On a file system with room for the file as it is, and not for what would take its place.
    folder = wcs.path.rpartition("/")[0]
    wcs.host.check_output(f"mount -t tmpfs -o size=8k tmpfs {folder}")
    try:
        wcs.host.check_output(f"printf '%4095s\\n' '#' > {wcs.path}")
        before, starts = wcs.lines(), wcs.starts
        result = wcs.play()
        assert result.returncode != 0
        assert "No space left" in result.stdout
        assert (wcs.lines(), wcs.starts, wcs.owes_restart) == (before, starts, True)
    finally:
        wcs.host.check_output(f"umount {folder}")
    # The settings that are there now are the wanted ones.
    result = wcs.play()
    assert result.returncode == 0, result.stdout
    assert (wcs.starts, wcs.owes_restart) == (starts + 1, False)
