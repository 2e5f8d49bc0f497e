# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import resource

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import capacity as _nginx_capacity
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.capacity import (
    Capacity,
    descriptors,
    measure,
    worker_connections,
)


def written_for(sessions, workers, limit):
    """Return what runs where role nginx's configuration got no more than a limit."""
    return Capacity(sessions, workers, limit, 2 * sessions + 512)


@pytest.mark.parametrize(
    ("sessions", "workers", "limit"),
    [
        (4000, 1, 9024),
        (1, 1, 1026),
        (100000, 1, 201024),
        (100000, 1, _nginx_capacity.UNLIMITED),
        # Ten workers carry 97440 of 100000, eleven all of them
        (100000, 11, 20000),
        (100000, 14, 20000),
    ],
)
def test_workers_that_have_enough_are_no_problem(sessions, workers, limit):
    assert written_for(sessions, workers, limit).problem() == ""


def test_too_few_descriptors_are_told_with_what_to_set():
    found = written_for(100000, 2, 20000)
    assert found.sessions == 19488
    assert found.problem() == (
        "100000 sessions were asked for (nginx_sessions), and nginx carries 19488: "
        "each of its 2 workers may have 20000 open files and "
        "200512 connections. Let a worker have 201024 open files "
        "(a limit of the service, the container or the machine; it counts from "
        "nginx's next start on), or set nginx_worker_processes to 11 or more"
    )
    assert written_for(100000, 10, 20000).problem()


def test_with_hardly_any_descriptors_more_workers_are_no_help():
    found = written_for(4000, 2, 256)
    assert found.sessions == 0
    assert "its 2 workers may have 256 open files" in found.problem()
    assert "nginx_worker_processes" not in found.problem()


def test_a_configuration_for_fewer_is_told():
    found = Capacity(9000, 1, 9024, 8512)
    assert found.problem().endswith(
        "nginx carries 4256: its worker may have 9024 open files and 8512 connections. "
        "Its configuration was written for fewer: run site.yml"
    )


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("Max open files            1024                 524288               files     \n", 1024),
        ("Max open files            unlimited            unlimited            files     \n", _nginx_capacity.UNLIMITED),
        ("Max processes             1                    1                    processes \n", None),
    ],
)
def test_the_limit_that_counts_is_the_soft_one(tmp_path, line, limit):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "limits").write_text(
        "Limit                     Soft Limit           Hard Limit           Units     \n" + line
    )
    assert descriptors(7, str(tmp_path)) == limit


def test_a_process_tells_its_own_limit():
    assert descriptors(os.getpid()) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert descriptors(2**30) is None


@pytest.mark.parametrize(
    ("text", "connections"),
    [
        ("events {\n    worker_connections 8512;\n}\n", 8512),
        ("# worker_connections 1;\nevents { worker_connections 64; }\n", 64),
        ("events {}\n", 512),
        ("include more.conf;\n", 99),
    ],
)
def test_the_configuration_tells_the_connections(tmp_path, text, connections):
    (tmp_path / "more.conf").write_text("events { worker_connections 99; }\n")
    (tmp_path / "nginx.conf").write_text(text)
    assert worker_connections(str(tmp_path / "nginx.conf")) == connections


def test_what_the_configuration_was_written_for_is_asked_for_where_nobody_says(tmp_path):
    (tmp_path / "nginx.conf").write_text("events { worker_connections 8512; }\n")
    main = str(tmp_path / "nginx.conf")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert measure(main, [os.getpid(), 2**30]) == Capacity(4000, 1, limit, 8512)
    assert measure(main, [os.getpid()], 5) == Capacity(5, 1, limit, 8512)
    assert measure(main, []) is None
    assert measure(main, [2**30]) is None
