# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Markdown files: their links lead somewhere, and the site has each guide."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "scripts" / "site"
# Where a link in it is seen from: report.py and its like put notes into pages.
SEEN_FROM = {
    "tests/bench/notes.md": "docs/performance.md",
    "tests/bench/sizing_notes.md": "docs/sizing.md",
    "tests/bench/systems_notes.md": "docs/systems-figures.md",
}
# Files that the site does not have: GitHub shows them.
NO_PAGES = {"CHANGELOG.md"}
REPOSITORY = "https://github.com/wssgate/wssgate.nginx/tree/main/"


def loaded() -> t.Any:
    spec = importlib.util.spec_from_file_location("markdown", SITE / "markdown.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


markdown = loaded()


def pages() -> list[str]:
    folders = ("", "changelogs", "docs", "examples", "molecule", "playbooks", "roles", "tests")
    found = [path for folder in folders for path in (ROOT / folder).glob("**/*.md" if folder else "*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found if "node_modules" not in path.parts)


def broken(page: str, text: str) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for address in markdown.links(text):
        if markdown.is_elsewhere(address):
            continue
        path, anchor = markdown.target(SEEN_FROM.get(page, page), address)
        target = ROOT / path
        if not target.exists():
            found.append(f"{address}: there is no {path}")
        elif anchor and (target.suffix != ".md" or anchor not in markdown.anchors(target.read_text("utf-8"))):
            found.append(f"{address}: {path} has no such heading")
    return found


@pytest.mark.parametrize("page", pages())
def test_each_link_leads_to_a_file_and_a_heading_that_is_there(page: str) -> None:
    assert broken(page, (ROOT / page).read_text("utf-8")) == []


def is_shipped(path: str) -> bool:
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["build_ignore"]
    return not any(fnmatch.fnmatch(path, one) or path.startswith(f"{one}/") for one in ignored)


@pytest.mark.parametrize("page", [page for page in pages() if is_shipped(page)])
def test_what_the_artifact_has_not_is_named_by_its_full_address(page: str) -> None:
    for address in markdown.links((ROOT / page).read_text("utf-8")):
        if address.startswith(REPOSITORY):
            path = address.removeprefix(REPOSITORY).partition("#")[0]
            assert (ROOT / path).exists() and not is_shipped(path), address
        elif not markdown.is_elsewhere(address):
            assert is_shipped(markdown.target(page, address)[0].rstrip("/")), address


@pytest.mark.parametrize(
    "text",
    ["[x](missing.md)", "[x](fleet.md#missing)", "[x](#missing)", "![x](missing.svg)", "`a` [x](missing.md) `b`"],
)
def test_a_link_to_nowhere_is_found(text: str) -> None:
    assert len(broken("docs/hub.md", text)) == 1


@pytest.mark.parametrize("text", ["`[x](missing.md)`", "```\n[x](missing.md)\n```\n", "[x](fleet.md#the-front)"])
def test_code_and_what_is_there_are_left_alone(text: str) -> None:
    assert broken("docs/hub.md", text) == []


def test_headings_of_the_same_text_have_anchors_of_their_own() -> None:
    assert markdown.anchors("# `A` b, c\n## [A](x.md) b, c\n```\n# no\n```\n### d/e") == {"a-b-c", "a-b-c-1", "de"}


def test_the_site_has_each_guide_and_each_role_once() -> None:
    index = (SITE / "index.md").read_text("utf-8")
    listed = re.findall(r"^(\S+\.md)$", index, re.MULTILINE)
    wanted = [page for page in pages() if re.match(r"docs/|roles/[^/]+/README\.md$|[A-Z_]+\.md$", page)]
    assert sorted(listed) == sorted(set(wanted) - NO_PAGES)


def test_names_of_modules_become_links_but_not_in_headings_and_code() -> None:
    text = "# `wss_token`\n`wss_token` and [`wss_token`](x.md)\n```\n`wss_token`\n```\n"
    expected = "# `wss_token`\n[`wss_token`](m.rst) and [`wss_token`](x.md)\n```\n`wss_token`\n```\n"
    assert markdown.linked(text, {"wss_token": "m.rst"}) == expected
