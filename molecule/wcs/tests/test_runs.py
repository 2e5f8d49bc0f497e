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
    assert (wcs.lines(), wcs.starts) == (before, starts)


def test_a_dry_run_names_the_change_and_makes_none(wcs: WebCallServer) -> None:
    before, starts = wcs.lines(), wcs.starts
    result = wcs.play("--check", "--diff", wcs_client_ip_header="X-Other")
    assert result.returncode == 0, result.stdout
    assert "ws.ip_forward_header: X-Client-IP -> X-Other" in result.stdout
    assert "Restart the Web Call Server" in result.stdout
    assert PASSWORD not in result.stdout
    assert (wcs.lines(), wcs.starts) == (before, starts)


def test_no_output_holds_the_keystores_password_and_a_change_may_wait_for_the_next_start(wcs: WebCallServer) -> None:
    starts = wcs.starts
    result = wcs.play("--diff", "-vvv", wcs_client_ip_header="X-Other", wcs_restart_enabled=False)
    assert result.returncode == 0, result.stdout
    assert b"ws.ip_forward_header=X-Other" in wcs.lines()
    assert PASSWORD.encode() in b"\n".join(wcs.lines())
    encoded = wcs.host.check_output("base64 -w 0 /root/kept")
    for secret in (PASSWORD, encoded[:40], encoded[200:240]):
        assert secret not in result.stdout
    assert "count from the Web Call Server's next start on" in result.stdout
    assert wcs.starts == starts
