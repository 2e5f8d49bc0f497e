# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation as a site, in a browser; `make docs-site` builds it and runs this."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".cache" / "docs-site"
GUIDES = sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/**/*.md"))
# Pages with pictures in their Markdown, and how many.
PICTURES = {
    page.relative_to(ROOT).as_posix(): len(re.findall(r"^```mermaid$", page.read_text("utf-8"), re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")]
    if "```mermaid" in page.read_text("utf-8")
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "this drives Debian's package chromium; install it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.getuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that notes what it asks others for, and fails for that."""
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: None if request.url.startswith("file:") else asked.append(request.url))
    yield page
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == []


def address(markdown: str) -> str:
    return (SITE / markdown).with_suffix(".html").as_uri()


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_each_picture_is_drawn(page: Page, name: str) -> None:
    page.goto(address(name))
    page.wait_for_function("() => [...document.querySelectorAll('.mermaid')].every(one => one.dataset.processed)")
    assert page.locator(".mermaid > svg").count() == PICTURES[name]
    assert "Syntax error" not in page.locator("body").inner_text()


@pytest.mark.parametrize("name", ["README.md", "docs/hub.md", "collections/wss_token_module.md"])
def test_a_page_is_read_without_asking_anybody_else(page: Page, name: str) -> None:
    page.goto(address(name))
    assert page.locator("h1").count() == 1


def test_a_search_finds_guides_and_modules(page: Page) -> None:
    page.goto(f"{(SITE / 'search.html').as_uri()}?q=revoke")
    page.wait_for_selector("#search-results ul.search li a")
    page.wait_for_function("() => document.querySelectorAll('#search-results li a').length > 5")
    found = page.locator("#search-results li a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert any("docs/" in link for link in found) and any("collections/" in link for link in found)


def test_a_link_to_a_module_leads_to_its_page(page: Page) -> None:
    page.goto(address("README.md"))
    page.get_by_role("link", name="wss_token", exact=True).first.click()
    assert page.url.endswith("/collections/wss_token_module.html")


def test_what_is_no_page_is_shown_by_the_repository(page: Page) -> None:
    page.goto(address("docs/fleet.md"))
    link = page.get_by_role("link", name="this inventory").get_attribute("href")
    assert link == "https://github.com/wssgate/wssgate.nginx/blob/main/examples/fleet/inventory.yml"


@pytest.mark.parametrize("name", GUIDES)
def test_the_navigation_of_the_first_page_has_each_guide(name: str) -> None:
    text = (SITE / "index.html").read_text("utf-8")
    assert f'href="{Path(name).with_suffix(".html").as_posix()}"' in text
