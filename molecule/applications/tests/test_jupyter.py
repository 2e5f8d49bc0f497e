# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jupyter Server behind the gate: JupyterLab in Chromium."""

from __future__ import annotations

import pytest
from conftest import Application, MakeApplication
from cookbook import keep_picture, log_in, reasons
from playwright.sync_api import Locator, Page, expect
from lib.molecule.browser import open_socket

SITE = "https://jupyter.example.com"
EVENTS = "wss://jupyter.example.com/jupyter/api/events/subscribe"


@pytest.fixture
def jupyter(application: MakeApplication) -> Application:
    return application("jupyter.example.com", "jupyter", f"{SITE}/jupyter/lab?reset")


def kernel(window: Page) -> Locator:
    """What the status bar tells of the notebook's kernel."""
    return window.locator("#jp-main-statusbar", has_text="(ipykernel)")


def run_a_cell(window: Page) -> None:
    # JupyterLab asks whether news are welcome, whenever it comes to it.
    news = window.get_by_role("alert").get_by_role("button", name="No", exact=True)
    window.add_locator_handler(news, lambda button: button.click())
    window.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
    # What is run before the kernel is there is not run at all.
    expect(kernel(window)).to_contain_text("| Idle")
    cell = window.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click()
    window.keyboard.type("print(6 * 7, 'behind the gate')")
    window.keyboard.press("Shift+Enter")
    expect(window.locator(".jp-Notebook .jp-OutputArea-output").first).to_have_text("42 behind the gate\n")


def test_log_in_run_a_cell_and_open_a_terminal(jupyter: Application, window: Page) -> None:
    log_in(window, jupyter.url, jupyter.token())
    run_a_cell(window)
    keep_picture(window, "jupyter")
    window.get_by_title("New Launcher").first.click()
    window.locator(".jp-LauncherCard", has_text="Terminal").click()
    window.locator(".jp-Terminal .xterm-screen").click()
    window.keyboard.type("echo $((6 * 7)) > /home/jupyter/from-the-terminal\n")
    jupyter.host.check_output(
        "for i in $(seq 300); do grep -qx 42 /home/jupyter/from-the-terminal && exit 0; sleep 0.1; done; exit 1"
    )
    # Nothing of it was refused, and the gate's token has been the only one: Jupyter itself asks for none.
    asks_nothing = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8888/jupyter/api/contents').status)"
    assert jupyter.host.check_output(f'python3 -c "{asks_nothing}"') == "200"


def test_without_a_token_neither_page_nor_rest_nor_websocket_opens(jupyter: Application, window: Page) -> None:
    before = len(jupyter.logged())
    response = window.goto(jupyter.url)
    assert response is not None and response.status == 403
    # The page that asks for the token may reach nothing at all; this one of the same host may.
    window.goto(f"{SITE}/nothing")
    assert window.evaluate("fetch('/jupyter/api/contents').then(answer => answer.status)") == 403
    assert open_socket(window, EVENTS) == "closed 1006"
    assert reasons(jupyter.logged()[before:]) == {(403, "token"), (404, "path")}


@pytest.mark.whole
def test_a_page_of_another_site_reaches_nothing(jupyter: Application, window: Page, foreign: Page) -> None:
    """Also with the visitor's own token in the browser."""
    token = jupyter.token()
    window.context.add_cookies(
        [{"name": "AUTH", "value": token, "url": f"{SITE}/jupyter/", "sameSite": "None", "secure": True}]
    )
    before = len(jupyter.logged())
    assert open_socket(foreign, EVENTS) == "closed 1006"
    sent = foreign.evaluate(
        """url => fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}' })
            .then(answer => answer.type)""",
        f"{SITE}/jupyter/api/terminals",
    )
    assert sent == "opaque"
    assert reasons(jupyter.logged()[before:]) == {(403, "origin")}


@pytest.mark.whole
def test_revoking_the_token_ends_what_is_open(jupyter: Application, window: Page) -> None:
    token = jupyter.token()
    log_in(window, jupyter.url, token)
    run_a_cell(window)
    assert jupyter.revoke(token)["sessions"]["ended"] >= 2, "a kernel's WebSocket and that of the events"
    # JupyterLab tries again for a while.
    expect(kernel(window)).not_to_contain_text("| Idle")
    expect(kernel(window)).to_contain_text("| Disconnected", timeout=60_000)
