# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that had a gate, and has none any more."""

from __future__ import annotations

GET = "python3 -c \"import urllib.request as u; print(u.urlopen('{}').read().decode())\""


def test_every_file_is_as_it_was_before_the_gate(host):
    now = "find /etc/nginx /etc/systemd/system /var/lib/nginx -not -type d -exec sha256sum {} + | sort"
    # Enabled with the system it was by its package.
    assert host.check_output(now) == host.check_output("cat /root/before")


def test_nothing_of_the_gate_is_left(host):
    for path in ("/etc/nginx/wssgate.d", "/etc/nginx/certificates", "/var/lib/nginx/tokens", "/var/log/nginx/wssgate"):
        assert not host.file(path).exists, path
    assert host.file("/etc/nginx/sites-enabled/default").is_symlink


def test_nginx_serves_its_own_site_and_somebody_else_s_again(host):
    assert "Welcome to nginx" in host.check_output(GET.format("http://127.0.0.1/"))
    assert "somebody else's" in host.check_output(GET.format("http://127.0.0.1:8088/"))
    assert host.socket("tcp://0.0.0.0:443").is_listening is False
