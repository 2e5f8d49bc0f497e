# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys

from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.connections import (
    clients,
    connections,
    count,
    ephemeral_ports,
)

MASTER, WORKER, LEAVING, STRANGER = 10, 11, 12, 13
TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def tcp(port, state, inode, address="0100007F", account=33):
    return (
        f"   0: {address}:{port:04X} 0100007F:C001 {state} 00000000:00000000 00:00000000 00000000 {account:5d}"
        f"        0 {inode} 1 0 20 4 30 10 -1\n"
    )


@pytest.fixture
def proc(tmp_path):
    """Return a /proc with the sockets of each process."""

    def furnish(sockets, tcp_lines="", tcp6_lines="", unix_lines="", ports="32768\t60999\n"):
        for pid, inodes in sockets.items():
            folder = tmp_path / str(pid) / "fd"
            folder.mkdir(parents=True)
            (folder / "0").symlink_to("/dev/null")
            for number, inode in enumerate(inodes, 1):
                (folder / str(number)).symlink_to(f"socket:[{inode}]")
        net = tmp_path / str(MASTER) / "net"
        net.mkdir()
        (net / "tcp").write_text(TCP + tcp_lines)
        (net / "tcp6").write_text(TCP + tcp6_lines)
        (net / "unix").write_text("Num       RefCount Protocol Flags    Type St Inode Path\n" + unix_lines)
        limits = tmp_path / "sys" / "net" / "ipv4"
        limits.mkdir(parents=True)
        (limits / "ip_local_port_range").write_text(ports)
        return str(tmp_path)

    return furnish


def test_the_clients_end_counts_and_the_upstreams_does_not(proc):
    root = proc(
        {MASTER: ["1"], WORKER: ["1", "2", "3"]}, tcp(443, "0A", "1") + tcp(443, "01", "2") + tcp(40000, "01", "3")
    )
    assert count(MASTER, [WORKER], root) == 1


def test_a_port_that_others_take_for_outgoing_connections_counts_when_it_is_listened_on(proc):
    lines = tcp(40000, "0A", "1") + tcp(40000, "01", "2") + tcp(40001, "01", "3")
    assert count(MASTER, [WORKER], proc({MASTER: ["1"], WORKER: ["1", "2", "3"]}, lines)) == 1


def test_a_worker_that_leaves_counts_after_its_listener_is_gone(proc):
    root = proc({MASTER: [], LEAVING: ["2", "3"]}, tcp(8443, "01", "2") + tcp(40000, "01", "3"))
    assert count(MASTER, [LEAVING], root) == 1


def test_ipv6_counts(proc):
    lines = tcp(443, "0A", "1", "0" * 32) + tcp(443, "01", "2", "0" * 32)
    assert count(MASTER, [WORKER], proc({MASTER: ["1"], WORKER: ["1", "2"]}, tcp6_lines=lines)) == 1


def test_a_connection_that_is_closing_or_is_somebody_elses_does_not_count(proc):
    lines = tcp(443, "0A", "1") + tcp(443, "06", "2") + tcp(443, "08", "3") + tcp(443, "01", "4") + tcp(443, "01", "0")
    assert count(MASTER, [WORKER], proc({MASTER: ["1"], WORKER: ["1", "2", "3"], STRANGER: ["4"]}, lines)) == 0


def test_a_client_of_a_unix_socket_counts_and_a_unix_upstream_or_the_masters_channel_does_not(proc):
    row = "0000000000000000: 0000000{0} 00000000 {1} 0001 {2} {3}{4}\n"
    unix = (
        row.format(2, "00010000", "01", "1", " /run/gate.sock")
        + row.format(3, "00000000", "03", "2", " /run/gate.sock")
        + row.format(3, "00000000", "03", "3", "")
        + row.format(3, "00000000", "03", "4", "")
    )
    assert count(MASTER, [WORKER], proc({MASTER: ["1", "4"], WORKER: ["1", "2", "3", "4"]}, unix_lines=unix)) == 1


def test_a_worker_that_is_gone_has_no_connections(proc):
    assert count(MASTER, [99], proc({MASTER: []})) == 0


@pytest.mark.parametrize("hidden", [(MASTER, WORKER), (WORKER,)])
def test_where_processes_sockets_must_not_be_seen_the_account_does(proc, monkeypatch, hidden):
    root = proc(
        {MASTER: ["1"], WORKER: ["1", "2", "3"]},
        tcp(443, "0A", "1", account=0)
        + tcp(443, "01", "2")
        + tcp(40000, "01", "3")
        + tcp(443, "01", "4", account=1000),
    )
    for pid in (MASTER, WORKER):
        (Path(root) / str(pid) / "status").write_text("Name:\tnginx\nUid:\t33\t33\t33\t33\n")
    readlink = os.readlink

    def denied(path):
        if any(f"/{pid}/fd/" in path for pid in hidden):
            raise PermissionError(13, "Permission denied", path)
        return readlink(path)

    monkeypatch.setattr(os, "readlink", denied)
    assert count(MASTER, [WORKER], root) == 1


@pytest.mark.skipif(sys.byteorder != "little", reason="the addresses below are as such a machine writes them")
def test_where_clients_reached_it_is_told_with_the_address_as_others_write_it(proc):
    lines = tcp(443, "0A", "1", "00000000") + tcp(443, "01", "2", "010200C0") + tcp(40000, "01", "3")
    lines6 = tcp(443, "01", "4", "0000000000000000FFFF0000020200C0")
    lines6 += tcp(443, "01", "5", "B80D0120000000000000000001000000") + tcp(8443, "01", "6", "B80D0120" + "0" * 24)
    sockets = {MASTER: ["1"], WORKER: ["1", "2", "3", "4", "5"], LEAVING: ["6"]}
    found = clients(MASTER, [WORKER, LEAVING], proc(sockets, lines, lines6))
    assert found.number == 4
    assert found.ports == {("192.0.2.1", 443), ("192.0.2.2", 443), ("2001:db8::1", 443), ("2001:db8::", 8443)}


def test_the_local_ports_to_each_upstream_are_counted_beside_the_clients(proc):
    lines = tcp(443, "0A", "1") + tcp(443, "01", "2")
    lines += tcp(40000, "01", "3") + tcp(40001, "02", "4") + tcp(40002, "06", "5") + tcp(40003, "01", "9")
    root = proc({MASTER: ["1"], WORKER: ["1", "2", "3", "4", "5"], STRANGER: ["9"]}, lines)
    found = connections(MASTER, [WORKER], root)
    assert (found.clients.number, found.upstreams) == (1, {("127.0.0.1", 0xC001): 2})


def test_the_ports_that_connections_from_here_get_are_read_from_proc(proc, tmp_path):
    assert ephemeral_ports(proc({MASTER: []}, ports="20000\t60000\n")) == (20000, 60000)
    assert ephemeral_ports(str(tmp_path / "nothing")) == (32768, 60999)
