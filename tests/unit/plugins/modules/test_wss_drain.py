# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that order the agent of a gate to end sessions: what they refuse, what they order, and that twice is once."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import orders
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.orders import Order, OrderError, Result
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.connections import Clients
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Session
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.selection import Selection
from ansible_collections.wssgate.nginx.plugins.modules import wss_drain, wss_order_info, wss_rebalance
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

PORTS = frozenset({("192.0.2.1", 443), ("2001:db8::1", 443)})


class Host:
    """A host with an agent's folder, and modules that are run on it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state, self.flag = root / "state", root / "drain"
        self.state.mkdir(mode=0o700)
        self._capsys = capsys

    def run(self, module: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        with patch_module_args({**options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return found

    def drain(self, **options: Any) -> dict[str, Any]:
        return self.run(wss_drain, path=str(self.flag), **options)

    def rebalance(self, **options: Any) -> dict[str, Any]:
        return self.run(wss_rebalance, drain_path=str(self.flag), **{"share": 25, **options})

    def order(self) -> Order:
        names = orders.names(str(self.state))
        assert len(names) == 1
        found = orders.placed(str(self.state), names[0])
        assert found is not None
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    found = Host(tmp_path, capsys)
    monkeypatch.setattr(orders, "STATE", str(found.state))
    monkeypatch.setattr(orders, "has_agent", lambda state: True)
    monkeypatch.setattr(wss_drain, "HIDDEN", ())
    for module in (wss_drain, wss_rebalance):
        monkeypatch.setattr(module, "clients_of", lambda *_arguments: Clients(10, PORTS))
    sessions = [
        Session(("7", str(one), "1"), 1.0, (("192.0.2.1", 443), ("198.51.100.1", one)), "", "", b"") for one in range(8)
    ]
    monkeypatch.setattr(wss_rebalance, "open_sessions", lambda _path: sessions)
    return found


def test_a_drain_that_fails_leaves_the_gate_as_it_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> Order:
        raise OSError(28, "No space left on device", "/var/lib/wssgate-agent/orders")

    monkeypatch.setattr(orders, "place", full)
    assert "No space left" in host.drain(rate=50)["msg"] and not host.flag.exists()
    host.flag.touch()
    assert host.drain(rate=50)["failed"] and host.flag.exists()


def test_a_drain_writes_the_file_and_then_orders_what_it_names(host: Host) -> None:
    result = host.drain(rate=50)
    order = host.order()
    assert (result["changed"], result["connections"]) == (True, 10)
    assert result["order"] == {"id": order.id, "run": order.run}
    assert host.flag.stat().st_mode & 0o7777 == 0o644
    assert (order.rate, order.share, order.cause, order.ports) == (50, 100, "drained", tuple(sorted(PORTS)))
    assert (order.while_path, order.while_file) == (str(host.flag), orders.identity_of(str(host.flag)))
    assert order.sessions == Selection() and time.time() < order.expires < time.time() + orders.LONGEST
    path = host.state / "orders/drain.json"
    assert path.stat().st_mode & 0o7777 == 0o600 and path.parent.stat().st_mode & 0o7777 == 0o700


def test_a_second_drain_changes_nothing_and_another_pace_or_file_is_another_order(host: Host) -> None:
    first = host.drain(rate=50)
    assert host.drain(rate=50) == {**first, "changed": False, "invocation": host.drain(rate=50)["invocation"]}
    second = host.drain(rate=5)
    assert second["changed"] and second["order"]["run"] != first["order"]["run"] and host.order().rate == 5
    host.flag.unlink()
    third = host.drain(rate=5)
    assert third["changed"] and third["order"]["run"] != second["order"]["run"]


def test_what_is_over_is_ordered_again(host: Host) -> None:
    first = host.drain(rate=50)["order"]
    with orders.open_orders(str(host.state)) as folder:
        orders.write_result("drain", Result(first["run"], orders.DONE), folder)
    assert host.drain(rate=50)["order"]["run"] != first["run"]


def test_a_drain_without_a_pace_takes_the_order_back(host: Host) -> None:
    assert host.drain()["changed"] and not host.drain()["changed"]
    host.drain(rate=50)
    assert host.drain(check=True)["changed"] and orders.names(str(host.state)) == ["drain"]
    result = host.drain()
    assert result["changed"] and result["order"] is None and orders.names(str(host.state)) == []
    assert host.flag.exists()


def test_check_mode_orders_and_writes_nothing(host: Host) -> None:
    result = host.drain(rate=50, check=True)
    assert result["changed"] and result["order"] is None and not host.flag.exists() and not os.listdir(host.state)
    assert host.rebalance(check=True)["chosen"] == 2 and not os.listdir(host.state)
    host.flag.touch()
    assert host.drain(state="absent", check=True)["changed"] and host.flag.exists()


def test_undrain_removes_the_file(host: Host) -> None:
    host.drain()
    assert host.drain(state="absent")["changed"] and not host.flag.exists()
    assert not host.drain(state="absent")["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_undrain_takes_a_link_away_and_no_folder(host: Host, check: bool) -> None:
    target = host.flag.with_name("target")
    target.touch()
    host.flag.symlink_to(target)
    assert host.drain(state="absent", check=check)["changed"]
    assert (host.flag.is_symlink(), target.exists()) == (check, True)
    host.flag.unlink(missing_ok=True)
    host.flag.mkdir()
    (host.flag / "precious").touch()
    result = host.drain(state="absent", check=check)
    assert result["failed"] and f"{host.flag} is not a regular file: remove it first" in result["msg"]
    assert (host.flag / "precious").exists()


def test_where_nobody_is_connected_nothing_is_ordered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wss_drain, "clients_of", lambda *_arguments: None)
    result = host.drain(rate=50)
    assert (result["changed"], result["connections"], result["order"]) == (True, 0, None)
    assert orders.names(str(host.state)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": -1}, "rate is -1: it has to be 0, or from 0.1 to 100000"),
        ({"rate": 0.05}, "rate is 0.05"),
        ({"rate": 1e9}, "rate is 1e+09"),
        ({"rate": "nan"}, "rate is nan"),
    ],
)
def test_a_pace_that_is_none_is_refused_before_anything_changes(host: Host, options: Any, words: str) -> None:
    result = host.drain(**options)
    assert result["failed"] and words in result["msg"] and not host.flag.exists()
    assert words in host.rebalance(**options)["msg"] and not os.listdir(host.state)


@pytest.mark.parametrize("share", [0, -5, 101, "nan"])
def test_a_share_that_is_none_is_refused(host: Host, share: Any) -> None:
    result = host.rebalance(share=share)
    assert result["failed"] and f"share is {share}: it has to be more than 0" in result["msg"]


def test_without_an_agent_it_is_refused_before_anything_changes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "has_agent", lambda state: False)
    for result in (host.drain(rate=50), host.rebalance(), host.drain(rate=50, check=True)):
        assert result["failed"] and "no agent of the gate is at work here" in result["msg"]
        assert "token_store_pruner: agent" in result["msg"]
    assert not host.flag.exists() and not os.listdir(host.state)
    assert host.drain()["changed"]


def test_a_drain_file_that_the_agent_cannot_see_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wss_drain, "HIDDEN", (str(host.flag.parent),))
    result = host.drain(rate=50)
    assert result["failed"] and f"the agent of the gate cannot see {host.flag}" in result["msg"]
    assert not host.flag.exists() and host.drain()["changed"]


def test_a_link_in_place_of_the_drain_file_is_not_written_through(host: Host) -> None:
    host.flag.symlink_to(host.state / "elsewhere")
    result = host.drain(rate=50)
    assert result["failed"] and "is a symlink" in result["msg"] and not os.listdir(host.state)


def test_a_share_is_ordered_of_those_that_are_there_now(host: Host) -> None:
    began = time.time()
    result = host.rebalance(rate=5)
    order = host.order()
    assert (result["changed"], result["sessions"], result["chosen"], result["unseen"]) == (True, 8, 2, 2)
    assert (order.share, order.rate, order.ports, order.while_path) == (25, 5, (), "")
    assert order.sessions.until is not None and began <= order.sessions.until <= time.time()
    # Another one would draw anew from those that are left.
    again = host.rebalance()
    assert again["failed"] and f"the order {order.id} is still under way" in again["msg"]
    # When it is over, the agent removes it in a moment.
    with orders.open_orders(str(host.state)) as folder:
        orders.write_result(order.id, Result(order.run, orders.DONE, 2, 2, 0), folder)
    assert host.rebalance()["order"]["id"] != order.id


def test_a_share_of_a_few_may_be_nobody_and_a_drained_host_has_none(host: Host) -> None:
    result = host.rebalance(share=1)
    assert (result["changed"], result["chosen"], result["order"]) == (False, 0, None)
    host.flag.touch()
    result = host.rebalance()
    assert (result["changed"], result["drained"], result["order"]) == (False, True, None)
    assert orders.names(str(host.state)) == []


def test_how_far_it_is(host: Host) -> None:
    order = host.drain(rate=50)["order"]

    def look() -> tuple[str, int, int, int]:
        found = host.run(wss_order_info, order=order)
        return found["state"], found["found"], found["ended"], found["remaining"]

    assert look() == ("waiting", 0, 0, 0)
    with orders.open_orders(str(host.state)) as folder:
        orders.write_result("drain", Result(order["run"], orders.WORKING, 10, 4, 6), folder)
    assert look() == ("working", 10, 4, 6)
    # Another drain has taken its place.
    host.drain(rate=5)
    with orders.open_orders(str(host.state)) as folder:
        orders.write_result("drain", Result("0" * 16, orders.WORKING, 10, 5, 5), folder)
    assert look() == ("void", 0, 0, 0)


@pytest.mark.parametrize("options", [{"wait": -1}, {"interval": 0.1}, {"wait": "nan"}])
def test_a_wait_that_is_none_is_refused(host: Host, options: Any) -> None:
    assert "wait has to be 0 or more" in host.run(wss_order_info, order={"id": "a", "run": "b"}, **options)["msg"]


def test_an_order_that_names_too_much_is_refused(host: Host) -> None:
    much = Selection(subjects=tuple(f"client-{number}" for number in range(30000)))
    with pytest.raises(OrderError, match="names too many sessions"):
        orders.place(str(host.state), Order("end", much, expires=time.time() + 60))
    assert not os.listdir(host.state)


@pytest.mark.parametrize("name", ["", "../drain", "Drain", "-drain", "a" * 65, "drain.json"])
def test_an_order_with_a_name_that_is_none_is_refused(host: Host, name: str) -> None:
    with pytest.raises(OrderError, match="is no order's id"):
        orders.place(str(host.state), Order(name, Selection(), expires=time.time() + 60))


def test_an_order_comes_back_as_it_was_given(host: Host) -> None:
    selection = Selection(("1-2-3",), ("client-7",), ("abcd",), ("192.0.2.0/24",), ("a.example.com",), ("/wss",), 12.5)
    given = Order("end", selection, 1e9, 2.5, 50.0, "ended", (("::1", 443),), "/etc/drain", (1, 2, 3))
    placed = orders.place(str(host.state), given)
    assert orders.placed(str(host.state), "end") == placed == given._replace(run=placed.run)


def test_with_the_agent_the_orders_go(host: Host) -> None:
    host.drain(rate=50)
    (host.state / "orders/.refused-x").touch()
    orders.forget(str(host.state))
    assert not os.listdir(host.state)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_path_that_no_file_can_have_is_told(host: Host, state: str) -> None:
    result = host.run(wss_drain, path="/etc/nginx/wssgate\0drain", state=state)
    # From 2.19 ansible-core cannot log such a call, and says so before the module sees it.
    assert result["failed"] and re.search("no file can be called that|embedded null character", result["msg"])


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"id": "dra\0in", "run": "0" * 16}, "is no order's id"),
        ({"id": "../drain", "run": "0" * 16}, "is no order's id"),
        ({"id": "drain", "run": "\0"}, "run is not 16"),
    ],
)
def test_what_no_order_is_called_is_told(host: Host, order: dict[str, str], why: str) -> None:
    result = host.run(wss_order_info, order=order)
    assert result["failed"] and result["msg"].startswith("order: ") and why in result["msg"]
