# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role refuses, and what it leaves alone. None of it depends on the system: one host is enough."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import WebCallServer

testinfra_hosts = ["ansible://wssgate-wcs-debian12"]
ADDED = b"allow_domains=c.example"
REFUSING = Path(__file__).parents[1] / "refused.yml"


def test_without_its_service_nothing_is_restarted_and_without_domains_theirs_stay(wcs: WebCallServer) -> None:
    starts = wcs.starts
    # That another unit mentions it does not make it one.
    with wcs.drop_in("[Unit]", "After=no-such-service.service"):
        result = wcs.play(wcs_client_ip_header="X-Other", wcs_service="no-such-service", wcs_allow_domains=[])
    assert result.returncode == 0, result.stdout
    assert {b"ws.ip_forward_header=X-Other", b"allow_domains=app.example.com,*.example.org"} <= set(wcs.lines())
    assert "count from the Web Call Server's next start on" in result.stdout
    assert wcs.starts == starts
    assert not wcs.owes_restart


def test_a_symlink_is_refused_and_its_target_untouched(wcs: WebCallServer) -> None:
    wcs.host.check_output(f"mv {wcs.path} /root/elsewhere; ln -s /root/elsewhere {wcs.path}")
    before = wcs.lines("/root/elsewhere")
    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode != 0
    assert "is not a regular file; a symlink is not followed" in result.stdout
    assert wcs.lines("/root/elsewhere") == before
    assert wcs.host.file(wcs.path).is_symlink


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("allow_domains=a.example,\\\\\\n b.example\\n", [ADDED, b""]),
        ("x=1\\\\\\nws.ip_forward_header=X-Real-IP\\n", [b"x=1\\", b"ws.ip_forward_header=X-Real-IP", ADDED, b""]),
        ("x=1\\\\\\n", [b"x=1\\", b"", b"", ADDED, b""]),
        ("x=1\\rws.ip_forward_header=X-Real-IP", [b"x=1\rws.ip_forward_header=X-Other", ADDED, b""]),
    ],
    ids=["several lines", "a line that goes on", "the end", "a carriage return alone"],
)
def test_a_file_is_read_as_java_reads_it(wcs: WebCallServer, text: str, lines: list[bytes]) -> None:
    wcs.host.check_output(f"sed -i '/^allow_domains/d' {wcs.path}")
    count = len(wcs.lines()) - 1
    wcs.host.check_output(f"printf '%b' '{text}' >> {wcs.path}")
    result = wcs.play(wcs_client_ip_header="X-Other", wcs_allow_domains=["c.example"])
    assert result.returncode == 0, result.stdout
    assert wcs.lines()[count:] == lines
    result = wcs.play(wcs_client_ip_header="X-Other", wcs_allow_domains=["c.example"])
    assert "changed=0 " in result.stdout


def test_a_file_that_java_refuses_is_refused_before_anything_changes(wcs: WebCallServer) -> None:
    wcs.host.check_output(f"printf '%b' 'x=\\\\u12\\n' >> {wcs.path}")
    before = wcs.lines()
    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode != 0
    assert "without four hexadecimal digits" in result.stdout
    assert (wcs.lines(), wcs.owes_restart) == (before, False)


def test_a_missing_file_is_an_error_but_not_for_a_dry_run(wcs: WebCallServer) -> None:
    missing = {"wcs_properties_path": "/usr/local/other/flashphoner.properties"}
    result = wcs.play(**missing)
    assert result.returncode != 0
    assert "is not there; install the Web Call Server first" in result.stdout
    result = wcs.play("--check", **missing)
    assert result.returncode == 0, result.stdout
    assert "is not there yet" in result.stdout


# What is asked for, and the words that it gets.
NAME = "must be a header's name"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a newline in the header": ({"wcs_client_ip_header": "X-Client-IP\n"}, NAME),
    "a header that is no string": ({"wcs_client_ip_header": True}, NAME),
    "a newline in a domain": ({"wcs_allow_domains": ["a.example\n"]}, NAME),
    "a backslash in a domain": ({"wcs_allow_domains": ["a.example\\"]}, NAME),
    "a string": (
        {"wcs_allow_domains": "app.example.com"},
        "wcs_allow_domains is 'app.example.com'; it must be a list, such as [one, two], or []",
    ),
    "an empty string": (
        {"wcs_allow_domains": ""},
        "wcs_allow_domains is empty; it must be a list, such as [one, two], or []",
    ),
    # YAML makes a boolean of the country in [no].
    "a list of more than strings": ({"wcs_allow_domains": ["a.example", 1, False]}, 'it is ["a.example", 1, false].'),
    "a dict": ({"wcs_allow_domains": {"app.example.com": True}}, "wcs_allow_domains"),
}


def test_values_that_would_make_another_setting_are_refused(wcs: WebCallServer) -> None:
    before, starts = wcs.lines(), wcs.starts
    result = wcs.play(play=REFUSING, scenario_cases=[variables for variables, _words in REFUSED.values()])
    assert result.returncode == 0, result.stdout
    (encoded,) = re.findall(r"SAID\s+(\S+)\s+END", result.stdout)
    messages = dict(zip(REFUSED, json.loads(base64.b64decode(encoded)), strict=True))
    assert {name: text for name, text in messages.items() if REFUSED[name][1] not in text} == {}
    assert (wcs.lines(), wcs.starts, wcs.owes_restart) == (before, starts, False)


@pytest.mark.parametrize(
    "make",
    ["ln -s /root/no-such-file {note}", "touch {note}; chown daemon {note}"],
    ids=["a symlink", "somebody else's file"],
)
def test_a_note_that_is_not_roots_file_is_refused(wcs: WebCallServer, make: str) -> None:
    before, starts = wcs.lines(), wcs.starts
    wcs.host.check_output(make.format(note=wcs.note))
    result = wcs.play(wcs_client_ip_header="X-Other")
    assert result.returncode != 0
    assert "is not a regular file of root's" in result.stdout
    assert (wcs.lines(), wcs.starts) == (before, starts)
    assert not wcs.host.file("/root/no-such-file").exists
