# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Web Call Server's client behind the gate: the vendor's WebSDK in Chromium, against a stand-in of the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Application, MakeApplication
from cookbook import keep_picture, reasons
from playwright.sync_api import Page, expect
from lib.molecule.browser import open_socket

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cookbook" / "web-call-server.md"
SITE = "https://wcs.example.com"
PROPERTIES = "/usr/local/FlashphonerWebCallServer/conf/flashphoner.properties"


@pytest.fixture
def wcs(application: MakeApplication) -> Application:
    return application("wcs.example.com", "wcs", "wss://wcs.example.com/wss")


def connect(window: Page, token: str) -> None:
    window.goto(f"{SITE}/")
    window.get_by_label("Token").fill(token)
    window.get_by_role("button", name="Connect").click()


def cookies(window: Page) -> list[str]:
    return [cookie["name"] for cookie in window.context.cookies()]


def test_a_session_is_established_and_the_server_knows_the_client_s_address(wcs: Application, window: Page) -> None:
    connect(window, wcs.token())
    expect(window.locator("#status")).to_have_text("ESTABLISHED")
    keep_picture(window, "web-call-server", height=60)
    session = json.loads(wcs.host.check_output("tail -n 1 /root/wcs.jsonl"))
    assert session == {"client": "127.0.0.1", "cookie": None, "version": "2.0"}


def test_the_settings_of_the_page_are_those_that_role_wcs_wrote(wcs: Application) -> None:
    (settings,) = re.findall(r"^```conf\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert set(settings.splitlines()) <= set(wcs.host.file(PROPERTIES).content_string.splitlines())


def test_a_token_that_is_not_there_fails_the_session_and_clears_the_cookie(wcs: Application, window: Page) -> None:
    before = len(wcs.logged())
    connect(window, "no-such-token-0123456789")
    expect(window.locator("#status")).to_have_text("FAILED")
    assert cookies(window) == []
    assert reasons(wcs.logged()[before:]) == {(403, "token")}


@pytest.mark.whole
def test_a_page_of_another_site_opens_no_session(wcs: Application, window: Page, foreign: Page) -> None:
    cookie = {"name": "AUTH", "value": wcs.token(), "url": f"{SITE}/wss", "sameSite": "None", "secure": True}
    window.context.add_cookies([cookie])  # type: ignore[list-item]
    before = len(wcs.logged())
    assert open_socket(foreign, wcs.url) == "closed 1006"
    assert reasons(wcs.logged()[before:]) == {(403, "origin")}


def test_revoking_the_token_ends_the_session_and_clears_the_cookie(wcs: Application, window: Page) -> None:
    token = wcs.token()
    connect(window, token)
    expect(window.locator("#status")).to_have_text("ESTABLISHED")
    assert wcs.revoke(token)["sessions"]["ended"] == 1
    expect(window.locator("#status")).to_have_text("DISCONNECTED")
    assert cookies(window) == []
