# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports and upstreams, read from the files that the roles render."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.gate_files import read_gate_files

GOLDEN = Path(__file__).parents[2] / "data/golden"


@pytest.mark.parametrize("system", ["debian12", "debian13"])
def test_every_location_of_the_rendered_files_has_its_upstream(system: str) -> None:
    found = read_gate_files(str(GOLDEN / f"options-{system}"))
    # Its second port is for one address; the redirect's port 80 is no location's.
    assert found.upstream(443, "gate.example.com", "/token") == "http://plain/token"
    assert found.upstream(8443, "Gate.example.com", "/token") == "http://plain/token"
    assert found.upstream(80, "gate.example.com", "/token") is None
    # A location that has a service to decide has two of them, of which one is the upstream.
    assert found.upstream(443, "gate.example.com", "/external") == "http://unix:/run/app/a.sock:/external"
    assert found.upstream(443, "gate.example.com", "/external/") == "https://app.internal.example.com:8443/below/"
    assert found.upstream(None, "balanced.example.com", "/wss") == "http://127.0.0.1:8080/wss"
    assert found.upstream(443, "gate.example.com", "/nowhere") is None
    assert {443, 7443, 8443, 5443} <= found.ports and 80 not in found.ports


def test_a_server_has_its_first_name_and_a_location_of_somebody_else_s_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "wssgate.d").mkdir()
    (tmp_path / "wssgate.d/server_one.conf").write_text(
        "server { listen 127.0.0.1; server_name Chat.example.com *.example.com;\n"
        "location /wss { set $wss_location /wss; proxy_pass http://a; }\n"
        "location /open { set $wss_location /open; return 404; }\n"
        "location = /auth { proxy_pass http://b; } }\n"
        "server { listen 81; server_name chat.example.com; location / { return 308 https://$host; } }\n"
    )
    assert read_gate_files(str(tmp_path)) == ({80}, {(80, "chat.example.com", "/wss"): "http://a"})


def test_a_folder_a_file_or_a_link_that_is_none_of_ours_is_passed_over(tmp_path: Path) -> None:
    assert read_gate_files(str(tmp_path)) == (set(), {})
    folder = tmp_path / "wssgate.d"
    folder.mkdir()
    text = "server { listen 443 ssl; server_name a; location /wss { set $wss_location /wss; proxy_pass http://b; } }"
    (folder / "server_one.conf").write_text(text)
    (folder / "server_two.conf").write_bytes(b"server { listen 444; \xff { ; } } }")
    (folder / "server_link.conf").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(text.replace("443", "445"))
    (folder / "server_folder.conf").mkdir()
    (folder / "server_other.conf.bak").write_text(text.replace("443", "446"))
    assert read_gate_files(str(tmp_path)) == ({443}, {(443, "a", "/wss"): "http://b"})
