# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests with a browser share: the pages' pictures, and the page that asks for the token."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / ".cache" / "artifacts" / "applications"
MOST = 150 * 1024


def keep_picture(page: Page, name: str, height: int = 620) -> None:
    """Keeps what the page shows; with WSSGATE_PICTURES set, as the picture of the cookbook, too."""
    page.set_viewport_size({"width": 1000, "height": height})
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < MOST, f"{path} is too large for the cookbook"
    if os.environ.get("WSSGATE_PICTURES"):
        shutil.copyfile(path, ROOT / "docs" / "cookbook" / path.name)


def log_in(page: Page, url: str, token: str) -> None:
    """As a person does: open the address, get the page that asks for the token, give it."""
    response = page.goto(url)
    assert response is not None and response.status == 403
    page.get_by_label("This page needs a token.").fill(token)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_label("This page needs a token.")).to_have_count(0)


def reasons(lines: list[dict[str, Any]]) -> set[tuple[int, str]]:
    """The status and reason of each refusal among these lines of the access log."""
    return {(line["status"], line["reason"]) for line in lines if line["reason"]}
