# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""noVNC with websockify behind the gate: a screen in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Application, MakeApplication
from cookbook import keep_picture, log_in, reasons
from playwright.sync_api import Page
from lib.molecule.browser import open_socket

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cookbook" / "novnc.md"
SITE = "https://vnc.example.com"
SOCKET = "wss://vnc.example.com/vnc/websockify"
BLUE, GREEN = "#2f6ea5", "#3a7d44"


@pytest.fixture
def vnc(application: MakeApplication) -> Application:
    (url,) = re.findall(r"^```text\n(\S+)\n```$", PAGE.read_text("utf-8"), re.MULTILINE)
    return application("vnc.example.com", "vnc", url)


@pytest.fixture(scope="module", autouse=True)
def _drawing(host) -> Iterator[None]:
    """A clock and a logo on the screen, as soon as the X server takes connections."""
    host.check_output("for i in $(seq 100); do runuser -u screen -- xsetroot -d :1 && exit 0; sleep 0.1; done; exit 1")
    for name, command in (("clock", "xclock -geometry 220x220+60+60"), ("logo", "xlogo -geometry 220x220+420+240")):
        host.check_output(f"systemctl reset-failed drawing-{name} 2>/dev/null; systemd-run --unit drawing-{name} "
                          f"--uid screen /usr/bin/{command} -display :1")  # fmt: skip
    yield
    host.check_output("systemctl stop drawing-clock drawing-logo")


def paint(vnc: Application, color: str) -> None:
    vnc.host.check_output(f"runuser -u screen -- xsetroot -d :1 -solid '{color}'")


def wait_for_screen(window: Page, color: str) -> None:
    """Until more than half of the pixels of noVNC's canvas have this color."""
    window.wait_for_function(
        """color => {
            const canvas = document.querySelector('#noVNC_container canvas');
            if (!canvas || !canvas.width) return false;
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            const wanted = [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
            let count = 0;
            for (let at = 0; at < data.length; at += 4) {
                if (wanted.every((value, part) => Math.abs(data[at + part] - value) < 4)) count += 1;
            }
            return count > data.length / 8;
        }""",
        arg=color,
    )


def test_the_page_shows_the_screen_and_follows_it(vnc: Application, window: Page) -> None:
    paint(vnc, GREEN)
    log_in(window, vnc.url, vnc.token())
    wait_for_screen(window, GREEN)
    paint(vnc, BLUE)
    wait_for_screen(window, BLUE)
    keep_picture(window, "novnc")


def test_without_a_token_neither_page_nor_screen_opens(vnc: Application, window: Page) -> None:
    before = len(vnc.logged())
    response = window.goto(vnc.url)
    assert response is not None and response.status == 403
    # The page that asks for the token may reach nothing at all; this one of the same host may.
    window.goto(f"{SITE}/nothing")
    assert open_socket(window, SOCKET) == "closed 1006"
    assert reasons(vnc.logged()[before:]) == {(403, "token"), (404, "path")}


@pytest.mark.whole
def test_a_page_of_another_site_gets_no_screen(vnc: Application, window: Page, foreign: Page) -> None:
    token = vnc.token()
    window.context.add_cookies(
        [{"name": "AUTH", "value": token, "url": f"{SITE}/vnc/", "sameSite": "None", "secure": True}]
    )
    before = len(vnc.logged())
    assert open_socket(foreign, SOCKET) == "closed 1006"
    assert reasons(vnc.logged()[before:]) == {(403, "origin")}


def test_revoking_the_token_takes_the_screen_away(vnc: Application, window: Page) -> None:
    token = vnc.token()
    paint(vnc, BLUE)
    log_in(window, vnc.url, token)
    wait_for_screen(window, BLUE)
    assert vnc.revoke(token)["sessions"]["ended"] >= 1
    window.wait_for_function("document.documentElement.classList.contains('noVNC_connected') === false")
