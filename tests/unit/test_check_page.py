# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check writes to a file: a page of HTML, JSON, and a line for Nagios, of the same findings."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _check_page, _check_summary

from lib import check_sample

# `make golden` writes it anew.
GOLDEN = Path(__file__).parent / "data" / "check" / "page.html"
VOID = {"meta", "link", "img"}


def summary(results: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return _check_summary.summary(*results, check_sample.DAYS, check_sample.NOW)


class Page(HTMLParser):
    """A page as a browser reads it: elements with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.others: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "each element ends"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def of(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag and kind in (found.get("class") or "").split(" ")]


def test_the_page_is_as_it_was() -> None:
    page = _check_page.page(summary(check_sample.fleet()))
    if os.environ.get("WSSGATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_a_text_of_a_host_a_certificate_or_the_inventory_is_no_markup() -> None:
    plain = Page(_check_page.page(summary(check_sample.hostile("harmless"))))
    odd = Page(_check_page.page(summary(check_sample.hostile())))
    assert [tag for tag, _found in odd.elements] == [tag for tag, _found in plain.elements]
    assert [sorted(found) for _tag, found in odd.elements] == [sorted(found) for _tag, found in plain.elements]
    assert odd.others == [] and not odd.of("script") and not odd.of("img")
    shown = check_sample.HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\u001b")
    assert len([text for _tag, text in odd.texts if shown in text]) > 30
    # Nothing that an editor or a terminal that shows the source would obey, either.
    assert all(char.isprintable() or char == "\n" for char in _check_page.page(summary(check_sample.hostile())))


def test_the_page_asks_nobody_for_anything() -> None:
    text = _check_page.page(summary(check_sample.fleet()))
    page = Page(text)
    for tag, found in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (found.get(name) or "#").startswith(("#", "data:,")), (tag, found)
        assert not [name for name in found if name.startswith("on") or name == "style"]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style and "@import" not in style
    (policy,) = [found["content"] or "" for tag, found in page.elements if found.get("http-equiv")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy


def test_every_host_is_there_with_what_was_found_of_it_and_the_worst_is_on_top() -> None:
    found = summary(check_sample.fleet())
    page = Page(_check_page.page(found))
    hosts = [(one["id"], (one["class"] or "").split()[1]) for one in page.of("section", "host")]
    assert hosts == [
        *(("gates-0", "critical"), ("gates-1", "unknown"), ("gates-2", "warning")),
        *(("balancers-0", "warning"), ("balancers-1", "warning")),
        *(("hubs-0", "critical"), ("hubs-1", "ok")),
    ]
    titles = {text for tag, text in page.texts if tag == "span"}
    for one in (
        *("gate1.example.com", "gate2.example.com", "gate3.example.com", "front1", "front2", "hub1.example.com"),
        *("Server wcs", "Certificate wcs", "Certificate shop", "Location wcs.example.com/wss", "Authority of clients"),
        *("Location shop.example.com/chat", "Agent", "Key set main", "Signed tokens taken back", "Capacity"),
        *("HAProxy", "Service wcs", "keepalived", "Address 192.0.2.10"),
    ):
        assert one in titles, one
    (listed,) = [page.texts[number + 1 :] for number, one in enumerate(page.texts) if one == ("h2", "What is wrong")]
    levels = [text for tag, text in listed if tag == "span"][: len(list(_check_summary.problems(found)))]
    assert levels == ["critical"] * 4 + ["unknown"] + ["warning"] * 4
    # Each leads to its host.
    ids = {one["id"] for one in page.of("section", "host")}
    assert {(one["href"] or "")[1:] for one in page.of("a")} <= ids and page.of("a")


def test_a_problem_stands_with_what_it_is_about() -> None:
    text = _check_page.page(summary(check_sample.fleet()))
    items = re.findall(r'<li class="item (\w+)"><h4><span>(.*?)</span>.*?</li>', text)
    assert ("critical", "Location wcs.example.com/open") in items and ("ok", "Location shop.example.com/chat") in items
    assert ("critical", "Agent") in items and ("ok", "Agent") in items
    assert [level for level, title in items if title == "Certificate shop"] == ["warning"] * 2
    assert [level for level, title in items if title == "Certificate wcs"] == ["ok"] * 2
    assert [level for level, title in items if title == "Service wcs"] == ["warning"] * 2


def test_a_problem_of_a_server_is_not_its_neighbour_s() -> None:
    wrong = check_sample.server(
        name="b", server_name="b.example.com", locations=[check_sample.location(with_token=502)]
    )
    text = _check_page.page(summary(({"one": check_sample.gate(targets=[check_sample.server(), wrong])}, {}, {})))
    items = re.findall(r'<li class="item (\w+)"><h4><span>Location (.*?)</span>', text)
    assert ("critical", "b.example.com/wss") in items and ("ok", "wcs.example.com/wss") in items


def test_a_page_of_which_nothing_is_wrong_has_no_list() -> None:
    found = summary(({"a": check_sample.gate()}, {}, {}))
    text = _check_page.page(found)
    assert (found["status"], found["exit_code"]) == ("ok", 0)
    assert "Nothing will break within 14 days" in text and "What is wrong" not in text
    assert "Balancers" not in text and "Hub" not in text


WARNED = {"targets": [check_sample.server(certificates=[check_sample.certificate(days_left=3)])]}
BROKEN = {"targets": [check_sample.server(tls_versions=[])]}
AWAY = {"msg": "no route to host"}


@pytest.mark.parametrize(
    ("gates", "status", "code"),
    [
        ([check_sample.gate()], "ok", 0),
        ([check_sample.gate(), WARNED], "warning", 1),
        ([check_sample.gate(), AWAY], "unknown", 3),
        ([WARNED, AWAY], "unknown", 3),
        ([BROKEN, WARNED, AWAY], "critical", 2),
    ],
)
def test_the_worst_of_all_decides(gates: list[dict[str, Any]], status: str, code: int) -> None:
    found = summary((dict(zip("abc", gates, strict=False)), {}, {}))
    assert (found["status"], found["exit_code"]) == (status, code)
    assert _check_summary.nagios_line(found).startswith(f"WSSGATE {status.upper()} - ")
    assert f'class="verdict {status}"' in _check_page.page(found)
    assert json.loads(_check_summary.as_json(found))["status"] == status


@pytest.mark.parametrize("part", [1, 2])
def test_balancers_and_the_hub_count_as_gates_do(part: int) -> None:
    calm: list[dict[str, Any]] = [{"a": check_sample.gate()}, {}, {}]
    calm[part] = {"b": AWAY}
    assert _check_summary.summary(*calm, 14)["status"] == "unknown"
    calm[part] = {"b": {"server": {}, "problems": ["it does not answer"], "haproxy": {"running": False},
                        "keepalived": {"addresses": []}}}  # fmt: skip
    assert _check_summary.summary(*calm, 14)["status"] == "critical"


# https://www.monitoring-plugins.org/doc/guidelines.html
FIGURE = re.compile(r"'[^'=]+'=-?[0-9]+(?:[a-zA-Z%]+)?(?:;[0-9.:~@-]*){0,4}")


@pytest.mark.parametrize("results", [check_sample.fleet(), check_sample.hostile(), check_sample.hostile("a|b'=\nc")])
def test_the_line_for_nagios_is_one_line_with_figures(results: tuple[Any, Any, Any]) -> None:
    line = _check_summary.nagios_line(summary(results))
    assert "\n" not in line and line.isprintable() and line.count("|") == 1 and not set("<>") & set(line)
    text, figures = line.split(" | ")
    assert text.startswith("WSSGATE CRITICAL - ") and len(text) < 400
    assert re.sub(FIGURE, "", figures).strip() == ""


def test_the_line_tells_what_is_worst_and_the_figures_what_is_near() -> None:
    line = _check_summary.nagios_line(summary(check_sample.fleet()))
    assert line == (
        "WSSGATE CRITICAL - gate2.example.com: the agent does not run (dead) (4 critical, 1 unknown, 4 warnings; "
        "3 gates, 2 balancers, 2 servers of the hub) | 'critical'=4;;;0 'unknown'=1;;;0 'warning'=4;;;0 "
        "'days_left shop'=9;14:;0: 'days_left wcs'=61;14:;0: 'sessions front1'=1624;;;0;40000 "
        "'sessions front2'=1624;;;0;40000 'memory hub1.example.com'=7340032B;;;0;268435456 "
        "'memory hub2.example.com'=7340032B;;;0;268435456"
    )
    calm = _check_summary.nagios_line(summary(({"a": check_sample.gate()}, {}, {})))
    assert calm.startswith("WSSGATE OK - 1 gate: nothing will break within 14 days | 'critical'=0;;;0 ")


def test_of_a_certificate_the_first_end_counts() -> None:
    gates = {
        name: {"targets": [check_sample.server(certificates=[check_sample.certificate(days_left=left)])]}
        for name, left in (("a", 50), ("b", 40), ("c", 60))
    }
    assert "'days_left wcs'=40;14:;0:" in _check_summary.nagios_line(summary((gates, {}, {})))


def test_the_json_has_all_of_it() -> None:
    found = json.loads(_check_summary.as_json(summary(check_sample.fleet())))
    assert (found["status"], found["exit_code"], found["time"]) == ("critical", 2, "2026-11-29T12:00:00Z")
    assert found["asked"]["gates"] == ["gate1.example.com", "gate2.example.com", "gate3.example.com"]
    assert found["hosts"]["gate1.example.com"][0]["name"] == "wcs"
    assert found["agents"]["gate2.example.com"]["problems"] == ["the agent does not run (dead)"]
    assert [len(found[kind]["problems"]) for kind in ("balancers", "hubs")] == [2, 1]


def test_the_text_names_every_host_and_every_problem() -> None:
    found = summary(check_sample.fleet())
    text = "\n".join(_check_summary.lines(found))
    for _kind, problem in _check_summary.problems(found):
        assert problem["problem"] in text
    for name in ("gate1.example.com", "front1", "hub1.example.com"):
        assert name in text
