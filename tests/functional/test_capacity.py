# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that does not let nginx's workers have what the sessions need is told of."""

from __future__ import annotations

import resource

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.capacity import descriptors, measure_running

from lib.local_gate import LocalGate, free_port

# The hard limit of many a container: root may not raise it there.
LIMIT = 20_000
WANTED = 100_000


def gate(host, workers=2, sessions=WANTED, limit=0):
    """What role nginx writes for so many sessions, but for the limit."""
    files = host.files("worker_rlimit_nofile {0};\n".format(limit or 2 * sessions + 1024))
    text, mode = files["nginx.conf"]
    text = text.replace("worker_connections 64", "worker_connections {0}".format(2 * sessions + 512))
    files["nginx.conf"] = (text.replace("worker_processes 2", "worker_processes {0}".format(workers)), mode)
    return files


def restrain(workers, limit):
    """Have the workers as they are where the system says no; one that says yes lets root do this."""
    for pid in workers:
        if descriptors(pid) > limit:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))


def test_a_run_warns_and_the_check_finds_that_the_workers_got_less_than_was_asked_for(host):
    files = gate(host)
    started = host.apply(files, sessions=WANTED)
    restrain(started.workers, LIMIT)
    again = host.apply(files, sessions=WANTED)
    assert not again.result()["changed"]
    (warning,) = again.warnings
    assert "and nginx carries 19488: each of its 2 workers may have 20000 open files and 200512 connections" in warning
    assert "set nginx_worker_processes to 11 or more" in warning
    assert again.result()["capacity"]["problem"] == warning
    # By what is live alone, and by what the inventory says
    for wanted in (0, WANTED):
        found = measure_running(host.binary, str(host.etc / "nginx.conf"), str(host.pid_file), wanted)
        assert found.problem() == warning


def test_the_roles_warn_where_the_host_gives_less_than_they_need():
    location = {
        "path": "/wss",
        "upstream": "http://127.0.0.1:8080",
        "auth": "none",
        "origins": ["https://app.example.com"],
    }
    listen = [{"address": "127.0.0.1", "port": free_port(), "tls": False}]
    server = {"name": "gate", "server_names": ["gate.example.com"], "listen": listen, "locations": [location]}
    local_gate = LocalGate([server], nginx_sessions=WANTED, nginx_worker_processes=2)
    # As in many a container: a hard limit, and a root that may not raise it.
    local_gate.wrapper = ["prlimit", "--nofile={0}:{0}".format(LIMIT), "setpriv", "--bounding-set=-sys_resource"]
    with local_gate:
        said = " ".join(local_gate.warnings.split())
    assert "100000 sessions were asked for (nginx_sessions), and nginx carries 19488" in said
    assert "set nginx_worker_processes to 11 or more" in said


@pytest.mark.parametrize(("limit", "sessions"), [(0, 2512), (1512, 1000), (1510, 998)])
def test_workers_that_carry_them_together_are_enough(host, limit, sessions):
    outcome = host.apply(gate(host, 2, 1000, limit), sessions=1000)
    assert outcome.result()["capacity"]["sessions"] == sessions
    assert bool(outcome.warnings) == (sessions < 1000)


def test_a_configuration_for_fewer_sessions_is_told(host):
    started = host.apply(gate(host, 1, 100), sessions=500)
    (warning,) = started.warnings
    assert "nginx carries 356: its worker may have 1224 open files and 712 connections" in warning
    assert "run site.yml" in warning


@pytest.mark.parametrize("settings", [{"sessions": 0}, {"sessions": 500, "check": True}])
def test_nobody_is_warned_who_does_not_ask(host, settings):
    files = gate(host, 1, 100)
    host.apply(files)
    outcome = host.apply(files, **settings)
    assert (outcome.warnings, outcome.result()["capacity"]) == ([], None)
