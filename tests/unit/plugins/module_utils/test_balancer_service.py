# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a HAProxy that does not start: its own reason, and not where to look for it."""

from __future__ import annotations

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._balancer import service
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.error import BalancerError
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run

# A journal of HAProxy 2.6, as systemd started it twice
JOURNAL = """\
[NOTICE]   (748) : path to executable is /usr/sbin/haproxy
[WARNING]  (748) : Exiting Master process...
[ALERT]    (748) : Current worker (750) exited with code 143 (Terminated)
haproxy.service: Deactivated successfully.
[NOTICE]   (836) : haproxy version is 2.6.12-1+deb12u4
[ALERT]    (836) : [/usr/sbin/haproxy.main()] Cannot raise FD limit to 40042, limit is 20000.
haproxy.service: Main process exited, code=exited, status=1/FAILURE
[ALERT]    (841) : [/usr/sbin/haproxy.main()] Cannot raise FD limit to 40042, limit is 20000.
"""
REASON = "[/usr/sbin/haproxy.main()] Cannot raise FD limit to 40042, limit is 20000."


def test_the_reason_is_told_once_and_the_process_that_was_ended_is_none() -> None:
    assert service.alerts(JOURNAL) == [REASON]
    assert service.alerts("Started haproxy.service - HAProxy Load Balancer.\n") == []


@pytest.mark.parametrize(("journal", "told"), [(JOURNAL, REASON[:-1]), ("", "Job for haproxy failed")])
def test_a_start_that_fails_tells_the_reason_of_the_journal_or_that_of_systemd(
    monkeypatch: pytest.MonkeyPatch, journal: str, told: str
) -> None:
    asked: list[str] = []

    def finished(command: list[str], **_options: object) -> run.Finished:
        asked.append(command[0])
        is_journal = command[0] == "journalctl"
        return run.Finished(0 if is_journal else 1, journal if is_journal else "Job for haproxy failed.\n", "")

    monkeypatch.setattr(run, "run", finished)
    with pytest.raises(BalancerError) as caught:
        service.Systemd("haproxy.service").call("restart", "haproxy.service")
    assert str(caught.value) == f"systemctl restart haproxy.service failed: {told}"
    assert asked == ["systemctl", "journalctl"]
