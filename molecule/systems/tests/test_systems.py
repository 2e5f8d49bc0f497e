# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is the system's own: which nginx it has, and that playbook check finds nothing wrong there."""

from __future__ import annotations

from lib.molecule.modules import run_playbook

# What README.md says of each.
VERSIONS = {"11": "1.18.", "14": "1.30."}


def test_the_system_is_the_one_that_is_meant_and_has_the_nginx_of_its_packages(host):
    release = host.backend.get_pytest_id().rpartition("debian")[2]
    assert f"nginx/{VERSIONS[release]}" in host.check_output("nginx -v 2>&1")


def test_check_finds_nothing_wrong(host, tmp_path):
    name = host.backend.get_pytest_id().rpartition("://")[2]
    run = run_playbook("wssgate.nginx.check", tmp_path, wssgate_hosts=name)
    assert run.returncode == 0, run.text
    assert run.stats(name)["failures"] == 0
