# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change after which clients get worse answers is taken back, and one that is left to a later task is tested only."""

from __future__ import annotations

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._handshake.served import Address
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import answers, former
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.answers import Probe
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(answers, "PAUSE", 0.05)


def probe(port, path="/wss"):
    return Probe(Address("127.0.0.1", port, "wss.example.com", tls=False), path)


def server(host, port, *locations):
    # What is no location here is not found.
    extra = " ".join(f"location = {path} {{ return {status}; }}" for path, status in locations)
    return host.server(f"127.0.0.1:{port}", extra=f"{extra} location ~ . {{ return 404; }}")


def content(host):
    return {path: entry[0] for path, entry in host.snapshot().items()}


@pytest.mark.parametrize(("before", "after"), [(403, 502), (403, 500), (401, 503), (403, 404), (426, 444), (204, 502)])
def test_a_change_that_makes_a_location_fail_is_taken_back(host, port, before, after):
    host.apply(host.files(gate=server(host, port, ("/wss", before))))
    known, workers = content(host), host.workers()
    with pytest.raises(NginxError) as refused:
        host.apply(host.files(gate=server(host, port, ("/wss", after))), probes=[probe(port)])
    words = "no answer" if after == 444 else str(after)
    assert f"wss.example.com:{port}/wss answered {before} before and {words} now" in str(refused.value)
    assert "What was there before was put back and is live" in str(refused.value)
    assert content(host) == known and host.workers() != workers
    assert answers.ask([probe(port)]) == {probe(port): before}
    # The next good run has nothing to heal.
    assert not host.apply(host.files(gate=server(host, port, ("/wss", before))), probes=[probe(port)]).changes


@pytest.mark.parametrize(("before", "after"), [(403, 401), (401, 403), (403, 400), (502, 503), (404, 502), (503, 503)])
def test_a_change_of_what_is_refused_is_nobodys_loss(host, port, before, after):
    host.apply(host.files(gate=server(host, port, ("/wss", before))))
    done = host.apply(host.files(gate=server(host, port, ("/wss", after), ("/x", 403))), probes=[probe(port)])
    assert done.reloaded and answers.ask([probe(port)]) == {probe(port): after}


def test_a_location_that_is_new_or_goes_is_not_judged(host, port):
    host.apply(host.files(gate=server(host, port, ("/wss", 403))))
    done = host.apply(host.files(gate=server(host, port, ("/new", 502))), probes=[probe(port, "/new")])
    assert done.reloaded


def test_a_port_that_goes_is_told_as_no_answer(host, port, other_port):
    host.apply(host.files(gate=server(host, port, ("/wss", 403))))
    with pytest.raises(NginxError, match="answered 403 before and no answer now"):
        host.apply(host.files(gate=server(host, other_port, ("/wss", 403))), probes=[probe(port)])
    assert answers.ask([probe(port)]) == {probe(port): 403}


def test_several_are_told_in_one_sentence_and_a_moment_s_failure_is_none(host, port, monkeypatch):
    paths = [f"/{number}" for number in range(7)]
    host.apply(host.files(gate=server(host, port, *((path, 403) for path in paths))))
    with pytest.raises(NginxError) as refused:
        host.apply(
            host.files(gate=server(host, port, *((path, 502) for path in paths))),
            probes=[probe(port, path) for path in paths],
        )
    assert str(refused.value).count("answered 403") == 5 and "; and 2 more" in str(refused.value)

    asked = []

    def flaky(address, path, timeout, origin=""):
        asked.append(path)
        return 502 if len(asked) in (2, 3) else 403

    monkeypatch.setattr(answers, "answer", flaky)
    assert host.apply(host.files(gate=server(host, port, ("/a", 403))), probes=[probe(port)]).reloaded
    assert len(asked) == 4


def test_nothing_is_asked_where_nothing_is_done(host, port, monkeypatch):
    files = host.files(gate=server(host, port, ("/wss", 403)))
    host.apply(files)
    monkeypatch.setattr(answers, "answer", None)
    assert not host.apply(files, probes=[probe(port)]).result()["changed"]
    assert host.apply(host.files(gate=server(host, port, ("/wss", 502))), probes=[probe(port)], check=True).reloaded


# -- left to a later task ----------------------------------------------------------------------------------------------


def test_what_is_deferred_is_tested_and_not_done(host, port):
    first = host.apply(host.files(gate=server(host, port, ("/wss", 403))))
    before = host.snapshot()
    wanted = host.files(gate=server(host, port, ("/wss", 401)))
    left = host.apply(wanted, defer=True).result()
    assert (left["deferred"], left["changed"], left["changed_files"], left["reloaded"]) == (True, False, [], False)
    assert left["reason"] == "the configuration differs" and left["workers"] == first.workers
    assert host.snapshot() == before and host.workers() == first.workers

    done = host.apply(wanted).result()
    assert (done["deferred"], done["changed"], done["reloaded"]) == (False, True, True)
    assert not host.apply(wanted, defer=True).result()["deferred"]


def test_what_nginx_refuses_is_refused_before_any_host_has_its_turn(host, port):
    host.apply(host.files(gate=server(host, port, ("/wss", 403))))
    before = host.snapshot()
    with pytest.raises(NginxError, match="nginx refuses this configuration; nothing was changed"):
        host.apply(host.files(gate=host.server(f"127.0.0.1:{port}", extra="lisen 80;")), defer=True)
    assert host.snapshot() == before


def test_a_start_is_deferred_as_well(host, port):
    wanted = host.files(gate=server(host, port, ("/wss", 403)))
    assert host.apply(wanted, defer=True).result()["deferred"] and not host.family()
    assert host.apply(wanted).started


@pytest.mark.parametrize(("status", "is_answering"), [(403, True), (503, False), (404, False)])
def test_a_host_whose_clients_are_refused_service_shows_nothing_of_a_change(host, port, status, is_answering):
    host.apply(host.files(gate=server(host, port, ("/wss", status))))
    wanted = host.files(gate=server(host, port, ("/wss", status), ("/x", 403)))
    assert host.apply(wanted, defer=True, probes=[probe(port)]).result()["answering"] is is_answering


def test_a_host_that_is_new_shows_nothing_of_a_change(host, port):
    assert not host.apply(host.files(gate=server(host, port, ("/wss", 403))), defer=True).result()["answering"]


# -- judged by others --------------------------------------------------------------------------------------------------


def changed(host, port, **settings):
    """A change whose former state is kept; what there was, and what there is to be."""
    host.apply(host.files(gate=server(host, port, ("/wss", 403))))
    known = content(host)
    wanted = host.files(gate=server(host, port, ("/wss", 401)))
    done = host.apply(wanted, keep_former=True, **settings).result()
    assert done["kept_former"] and done["reloaded"]
    return known, wanted


def work_folders(host):
    return list(host.etc.glob(".wssgate-work-*"))


def test_what_was_there_before_comes_back_when_others_find_the_change_wrong(host, port):
    known, _wanted = changed(host, port)
    assert answers.ask([probe(port)]) == {probe(port): 401} and work_folders(host)
    assert former.put_back(host.settings({})).result()["reloaded"]
    assert answers.ask([probe(port)]) == {probe(port): 403}
    assert content(host) == known
    with pytest.raises(NginxError, match="nothing of what was there before is kept"):
        former.put_back(host.settings({}))


def test_a_change_that_is_settled_cannot_be_taken_back(host, port):
    _known, wanted = changed(host, port)
    assert former.settle(host.settings({})).result()["changed"] is False
    assert not work_folders(host)
    with pytest.raises(NginxError, match="nothing of what was there before is kept"):
        former.put_back(host.settings({}))
    assert not host.apply(wanted).result()["changed"]


def test_any_other_run_takes_the_change_for_final(host, port):
    """A run that is cut short before the judgement leaves what its own proof has passed."""
    _known, wanted = changed(host, port)
    done = host.apply(wanted).result()
    assert not done["changed"] and not work_folders(host)
    assert answers.ask([probe(port)]) == {probe(port): 401}


def test_a_dry_run_leaves_what_is_kept(host, port):
    changed(host, port)
    for act in (former.settle, former.put_back):
        assert act(host.settings({}, check=True)).result()["changed"] is False
        assert work_folders(host)


def test_nothing_is_kept_of_what_did_not_change(host, port):
    files = host.files(gate=server(host, port, ("/wss", 403)))
    host.apply(files)
    assert not host.apply(files, keep_former=True).result()["kept_former"] and not work_folders(host)
