# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A changed drop-in counts from nginx's next start on: the run says so, and restarts nginx only where that is allowed.

The name has this file come last: here the configuration is deployed anew and nginx is restarted.
"""

from __future__ import annotations

import pytest

from lib.molecule.gate import Gate
from lib.molecule.modules import Run, run_playbook

# The lookup loads the filters once for all tasks.
PLAY = """
- hosts: "{{ query('wssgate.nginx.gate_hosts', 'wss_proxies') }}"
  gather_subset: ['!all', min, network]
  roles: {roles}
"""
DROP_IN = "/etc/systemd/system/nginx.service.d/wssgate.conf"


def test_a_changed_drop_in_restarts_nginx_only_where_that_is_allowed_and_is_refused_where_it_could_not_start(
    gate: Gate, tmp_path, host
) -> None:
    if "debian12" in host.backend.get_pytest_id():
        pytest.skip("nothing in it depends on the system; once is enough")
    play = tmp_path / "play.yml"

    def deploy(roles: str, status: int = 0, **variables: object) -> Run:
        play.write_text(PLAY.replace("{roles}", roles))
        run = run_playbook(str(play), tmp_path, "--limit", gate.name, **variables)
        assert run.returncode == status, run.text[-3000:]
        return run

    def master() -> str:
        return gate.run("pgrep", "-f", "^nginx: master process")

    before = master()
    told = deploy("[wssgate.nginx.nginx]", nginx_sessions=5000)
    assert "LimitNOFILE=11024" in host.file(DROP_IN).content_string
    assert "counts from its next start on. Drain the host first" in told.text
    assert master() == before

    # Allowed only now, when the drop-in is there already: once, and not in each run from then on.
    for is_due in (True, False):
        deploy("[wssgate.nginx.nginx, wssgate.nginx.wss_proxy]", nginx_sessions=5000, nginx_allow_restart=True)
        former, before = before, master()
        assert (before != former) is is_due

    restarted = deploy("[wssgate.nginx.nginx, wssgate.nginx.wss_proxy]", nginx_sessions=4000, nginx_allow_restart=True)
    assert "nginx is restarted at the end of this run, which cuts every session" in restarted.text
    assert master() != before
    assert gate.run("pgrep", "-f", "^nginx: worker process$")

    # Another site's log, which nginx could not open in its sandbox: it would not start again.
    before = master()
    gate.run("sh", "-c", "mkdir /srv/other; echo 'access_log /srv/other/access.log;' > /etc/nginx/conf.d/other.conf")
    refused = deploy("[wssgate.nginx.nginx]", 2, nginx_sessions=6000)
    assert "nginx would not start again" in refused.text and "/srv/other/access.log" in refused.text
    assert "LimitNOFILE=9024" in host.file(DROP_IN).content_string
    deploy("[wssgate.nginx.nginx]", nginx_sessions=6000, nginx_writable_paths=["/srv/other"])
    assert "LimitNOFILE=13024" in host.file(DROP_IN).content_string
    assert master() == before
