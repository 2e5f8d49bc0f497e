# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Web Call Server gets its three settings, keeps all others, and is restarted once."""

from __future__ import annotations

from conftest import WebCallServer


def test_the_settings_are_there_and_everything_else_is_as_it_was(wcs: WebCallServer) -> None:
    expected = wcs.lines("/root/flashphoner.properties.before")
    expected[6] = b"ws.ip_forward_header=X-Client-IP"
    # The last of two settings of one key is the one that counts. A line's end stays, too.
    expected[11] = b"ws.map_custom_headers=true\r"
    assert wcs.lines() == [*expected, b"allow_domains=app.example.com,*.example.org", b""]


def test_owner_and_mode_are_as_they_were(wcs: WebCallServer) -> None:
    file = wcs.host.file(wcs.path)
    assert (file.user, file.group, file.mode) == ("daemon", "adm", 0o640)


def test_it_was_restarted_once(wcs: WebCallServer) -> None:
    """That a run without a change restarts nothing is asked in test_runs.py."""
    assert wcs.starts == 2  # its first start, and the one for the change
