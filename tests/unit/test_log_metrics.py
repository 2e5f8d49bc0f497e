# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mtail counts of the gate's access log. The lines are made from the template's log_format.

tests/functional/test_newest_nginx.py counts what nginx wrote of each attack.
"""

from __future__ import annotations

import json
import random
import re
import string
from pathlib import Path
from typing import Any

import jinja2
import pytest

from lib import mtail

TEMPLATE = Path(__file__).resolve().parents[2] / "roles/wss_proxy/templates/gate.conf.j2"
SERVER, PLACE = "wcs.example.com", "/wss"
# Role wss_proxy's table of answers, in its order, by what the log has of each
ANSWERS = [
    (403, "proxy_header"),
    (400, "protocol"),
    (405, "method"),
    (426, "upgrade"),
    (400, "connection"),
    (503, "draining"),
    (503, "hub_behind"),
    (403, "address"),
    (400, "path_spelling"),
    (403, "origin"),
    (400, "two_tokens"),
    (429, "limit"),
    (401, "basic_auth"),
    (403, "token"),
    (401, "token"),
    (403, "jwt_signature"),
    (403, "external_auth"),
    (413, "body_size"),
    (502, "upstream_unreachable"),
    (504, "upstream_silent"),
    (403, "client_certificate"),
    (421, "server_name"),
    (408, "client_silent"),
    (499, "client_gone"),
    (500, "full"),
    (503, "upstream"),
]


def log_format(**gate: bool) -> str:
    """The text of the format between its quotes, as a gate with these features has it."""
    source = TEMPLATE.read_text()
    begin = source.index("log_format wss escape=json")
    text = jinja2.Template(source[begin : source.index(";", source.index("}}'", begin))]).render(__wss_proxy_gate=gate)
    return "".join(re.findall(r"'([^']*)'", text))


def escaped(value: object) -> str:
    """As nginx's escape=json writes it: bytes beyond ASCII stay."""
    return json.dumps(str(value), ensure_ascii=False)[1:-1]


def line(form: str | None = None, **values: Any) -> str:
    """A line of the log; what is not given is that of a handshake whose token is unknown."""
    known = {
        "time_iso8601": "2026-11-29T16:00:00+00:00", "remote_addr": "203.0.113.7", "server_name": SERVER,
        "wss_location": PLACE, "status": 403, "wss_reason": "token", "request_time": "0.000",
        "wss_bytes_from_client": 0, "bytes_sent": 0, "upstream_addr": "", "upstream_status": "", "connection": 12,
        "wss_jwt_subject": "", "wss_jwt_id": "", "wss_kind": "websocket", "wss_sent_method": "GET", **values,
    }  # fmt: skip
    return re.sub(r"\$([a-z0-9_]+)", lambda found: escaped(known[found.group(1)]), form or log_format())


def session(**values: Any) -> str:
    return line(
        **{"status": 101, "wss_reason": "", "upstream_addr": "127.0.0.1:8080", "upstream_status": 101, **values}
    )


def counted(folder: Path, lines: list[str], **more: Any) -> dict[tuple[str, mtail.Labels], float]:
    log = folder / "wss_access.log"
    log.write_bytes("".join(one + "\n" for one in lines).encode())
    return mtail.counted(folder, log, **more)


def handshakes(found: dict[tuple[str, mtail.Labels], float]) -> dict[tuple[str, str, str, str], float]:
    """By server, location, status and reason."""
    return {
        (one.get("server", ""), one.get("location", ""), one.get("status", ""), one.get("reason", "")): value
        for name, one, value in ((name, dict(labels), value) for (name, labels), value in found.items())
        if name == "wssgate_handshakes_total"
    }


def test_the_format_is_the_one_of_the_template() -> None:
    for gate in ({}, {"jwt": True}, {"has_http": True}, {"jwt": True, "has_http": True}):
        keys = list(json.loads(line(log_format(**gate))))
        assert keys[:3] == ["time", "client", "server"]
        assert ("token_id" in keys, "method" in keys) == ("jwt" in gate, "has_http" in gate)


@pytest.mark.parametrize("gate", [{}, {"jwt": True}, {"has_http": True}, {"jwt": True, "has_http": True}])
def test_each_answer_is_counted_by_status_and_reason(tmp_path: Path, gate: dict[str, bool]) -> None:
    form = log_format(**gate)
    lines = [
        line(form, status=status, wss_reason=reason)
        for number, (status, reason) in enumerate(ANSWERS, start=1)
        for _one in range(number)
    ]
    random.Random(1).shuffle(lines)
    expected = {
        (SERVER, PLACE, str(status), reason): number for number, (status, reason) in enumerate(ANSWERS, start=1)
    }
    assert handshakes(counted(tmp_path, lines)) == expected


def test_a_path_that_no_location_has_and_a_host_that_no_server_has(tmp_path: Path) -> None:
    lines = [
        line(status=404, wss_reason="path", wss_location=""),
        line(status=404, wss_reason="path", wss_location="", server_name=""),
        line(status=404, wss_reason="path", wss_location="", server_name="wssgate.invalid"),
    ]
    assert handshakes(counted(tmp_path, lines)) == {(SERVER, "", "404", "path"): 1, ("-", "", "404", "path"): 2}


def test_a_session_counts_as_a_handshake_only_where_the_agent_does_not_see_it(tmp_path: Path) -> None:
    lines = [session(), session(wss_location="/open"), session(wss_location="/open", server_name="b.example.com")]
    unseen = [{"server": "b.example.com", "location": "/open"}, {"server": "b.example.com", "location": "/wss"}]
    assert handshakes(counted(tmp_path, lines)) == {}
    assert handshakes(counted(tmp_path, lines, unseen=unseen)) == {("b.example.com", "/open", "101", ""): 1}


def test_what_balancers_ask_by_themselves_is_nobodys_handshake(tmp_path: Path) -> None:
    balancers = ["192.0.2.11", "2001:db8::11"]
    asked = [line(remote_addr=address, wss_reason="origin") for address in (*balancers, "192.0.2.111", "203.0.113.7")]
    asked += [session(remote_addr="192.0.2.11", wss_location="/open")]
    unseen = [{"server": SERVER, "location": "/open"}]
    found = counted(tmp_path, asked, unseen=unseen, balancers=balancers)
    assert handshakes(found) == {(SERVER, PLACE, "403", "origin"): 2}
    assert not [labels for _name, labels in found if ("location", "/open") in labels]
    assert handshakes(counted(tmp_path, asked, unseen=unseen)) == {
        (SERVER, PLACE, "403", "origin"): 4, (SERVER, "/open", "101", ""): 1
    }  # fmt: skip


def test_a_plain_request_that_passed_is_neither_a_handshake_nor_a_session(tmp_path: Path) -> None:
    form = log_format(has_http=True)
    lines = [line(form, status=200, wss_reason="", wss_kind="http", wss_bytes_from_client=7, bytes_sent=11)]
    assert counted(tmp_path, lines, unseen=[{"server": SERVER, "location": PLACE}]) == {
        ("wssgate_bytes_total", (("direction", "in"), ("location", PLACE), ("server", SERVER))): 7,
        ("wssgate_bytes_total", (("direction", "out"), ("location", PLACE), ("server", SERVER))): 11,
    }


def test_durations_and_bytes(tmp_path: Path) -> None:
    lines = [
        session(request_time=duration, wss_bytes_from_client=2**40, bytes_sent=3)
        for duration in ("0.004", "0.999", "59.000", "100000.250")
    ]
    found = counted(tmp_path, lines)
    where = (("location", PLACE), ("server", SERVER))
    buckets = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name.endswith("duration_seconds_bucket")
    }
    assert buckets == {
        "1": 2, "5": 2, "15": 2, "60": 3, "300": 3, "900": 3, "3600": 3, "14400": 3, "43200": 3, "86400": 3, "+Inf": 4,
    }  # fmt: skip
    assert found["wssgate_session_duration_seconds_count", where] == 4
    assert found["wssgate_session_duration_seconds_sum", where] == pytest.approx(100060.253)
    assert found["wssgate_bytes_total", (("direction", "in"), *where)] == 4 * 2**40
    assert found["wssgate_bytes_total", (("direction", "out"), *where)] == 12


def test_the_number_of_series_stays_whatever_clients_send(tmp_path: Path) -> None:
    """A client has a say in these fields: its address, whom its token is for, its method and the upstream's words."""
    form = log_format(jwt=True, has_http=True)
    chance = random.Random(7)
    forged = '","server":"evil.example","location":"/evil","status":101,"reason":"evil"'
    hostile = [
        forged, line(server_name="evil.example"), '"', "\\", '\\"', "{}", "}", "\0\n\r\t", "é\u2028\U0001f600", "%22",
        *("".join(chance.choices(string.printable + "äß", k=chance.randrange(60))) for _number in range(500)),
    ]  # fmt: skip
    lines = [
        line(form, wss_jwt_subject=words, wss_jwt_id=words, remote_addr=f"2001:db8::{number:x}", connection=number)
        for number, words in enumerate(hostile)
    ]
    assert counted(tmp_path, lines) == {
        ("wssgate_handshakes_total", (("location", PLACE), ("reason", "token"), ("server", SERVER), ("status", "403"))):
            len(lines),
        ("wssgate_bytes_total", (("direction", "in"), ("location", PLACE), ("server", SERVER))): 0,
        ("wssgate_bytes_total", (("direction", "out"), ("location", PLACE), ("server", SERVER))): 0,
    }  # fmt: skip


def test_words_that_are_not_the_gate_s_are_no_reasons(tmp_path: Path) -> None:
    lines = [line(wss_reason=reason) for reason in ("Evil", "a b", "x" * 41, "../../etc", "ä")]
    assert handshakes(counted(tmp_path, lines)) == {(SERVER, PLACE, "403", "other"): 5}


def test_a_line_that_was_cut_is_passed_over_and_the_one_behind_it_counts(tmp_path: Path) -> None:
    form = log_format(jwt=True, has_http=True)
    whole = line(form, status=405, wss_reason="method")
    for place in range(1, len(whole)):
        # On a full disk the next line comes right behind; a rotation ends the file.
        lines = [whole[:place] + line(form), whole[place:], whole[:place]]
        found = handshakes(counted(tmp_path, lines)) if place % 29 == 0 or place > len(whole) - 4 else None
        assert found is None or found == {(SERVER, PLACE, "403", "token"): 1}, f"cut at {place}"


def test_what_is_no_line_of_the_gate_is_passed_over(tmp_path: Path) -> None:
    lines = [
        "", "{}", '203.0.113.7 - - [29/Nov/2026:16:00:00 +0000] "GET / HTTP/1.1" 404 146 "-" "-"',
        line().replace('"status":403', '"status":"403"'), line().replace('"status":403', '"status":40'),
        line().replace('"duration":0.000', '"duration":-'), line().replace('"connection":12', '"connection":'),
    ]  # fmt: skip
    assert counted(tmp_path, lines) == {}
