# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unix sockets that a real nginx listens on: who can connect, and from when on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import transaction as _nginx_transaction
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.sockets import Socket

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="it takes another account to be kept out, and root to become one"
)

NOBODY = 65534
GROUP = 33
# A millisecond or less was measured, up to nine at a load of 8. Less than the time for which new workers are watched:
# looking for the socket after that only would not do.
WINDOW = 0.09
# Somebody without rights who tries all the time, and tells when it worked.
KNOCK = """
import json, os, socket, sys, time
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
os.set_blocking(0, False)
print("ready", flush=True)
moments = []
while True:
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(sys.argv[1])
        moments.append(time.monotonic())
    except OSError:
        pass
    client.close()
print(json.dumps(moments))
"""


@pytest.fixture
def path():
    """Short: the system takes 107 bytes. Its folder is open to all, as /run is."""
    folder = Path(tempfile.mkdtemp(prefix="wssgate-"))
    folder.chmod(0o755)
    yield folder / "gate.sock"
    shutil.rmtree(folder)


def can_connect(path, account=NOBODY, group=NOBODY):
    script = (
        "import os, socket, sys; os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]));"
        "socket.socket(1).connect(sys.argv[1])"
    )
    command = [sys.executable, "-c", script, str(path), str(account), str(group)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0 or "Error" in done.stderr
    return done.returncode == 0


def state(path):
    found = path.lstat()
    return stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode), found.st_gid


@contextlib.contextmanager
def connecting(path):
    moments = []
    with subprocess.Popen(
        [sys.executable, "-c", KNOCK, str(path), str(NOBODY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield moments
        process.stdin.close()
        moments += json.loads(process.stdout.read())


def files(host, port, path, answer="hello"):
    return host.files(gate=host.server(f"127.0.0.1:{port}", answer), local=host.server(f"unix:{path}"))


@pytest.mark.parametrize("way", ["start", "reload"])
def test_a_new_socket_is_closed_to_others_by_the_end_of_the_run_and_open_no_longer_than_is_promised(
    host, port, path, way
):
    if way == "reload":
        host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    with connecting(path) as moments:
        outcome = host.apply(files(host, port, path), sockets=[Socket(str(path), 0o660, GROUP)])
        assert state(path) == (True, 0o660, GROUP)
        assert not can_connect(path)
    assert outcome.started == (way == "start")
    assert can_connect(path, group=GROUP)
    if moments:
        assert moments[-1] - moments[0] < WINDOW


def test_without_the_option_it_stays_open_to_all_which_is_what_the_others_are_about(host, port, path):
    host.apply(files(host, port, path))
    assert state(path)[:2] == (True, 0o666) and can_connect(path)


def test_a_run_without_a_change_gives_a_socket_its_mode_and_says_so_and_a_dry_run_only_says_so(host, port, path):
    wanted = [Socket(str(path), 0o660, GROUP)]
    host.apply(files(host, port, path), sockets=wanted)
    workers = host.workers()
    path.chmod(0o666)
    dry = host.apply(files(host, port, path), sockets=wanted, check=True)
    assert dry.result()["changed"] and dry.result()["protected_sockets"] == [str(path)]
    assert can_connect(path)
    outcome = host.apply(files(host, port, path), sockets=wanted)
    assert outcome.result()["changed"] and outcome.result()["protected_sockets"] == [str(path)] and not outcome.reloaded
    assert state(path) == (True, 0o660, GROUP)
    again = host.apply(files(host, port, path), sockets=wanted)
    assert not again.result()["changed"] and again.result()["protected_sockets"] == []
    assert host.workers() == workers


def test_a_socket_that_cannot_be_had_takes_the_whole_change_back(host, port, path):
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))
    before = host.snapshot(content_only=True)
    other = path.with_name("other.sock")
    with pytest.raises(
        NginxError, match=f"nginx does not listen on {other}. What was there before was put back and is live"
    ):
        host.apply(files(host, port, path, "changed"), sockets=[Socket(str(path), 0o660), Socket(str(other), 0o660)])
    assert host.snapshot(content_only=True) == before
    assert not path.exists() and host.get(port) == "hello"


def test_a_rollback_brings_a_socket_back_with_the_mode_that_it_had(host, port, other_port, path):
    host.apply(files(host, port, path), sockets=[Socket(str(path), 0o640, GROUP)])
    with connecting(path) as moments:
        with pytest.raises(NginxError, match="put back and is live"):
            # nginx gives up the former socket, then the run cannot be proven.
            host.apply(host.files(gate=host.server(f"127.0.0.1:{other_port}")), sockets=[Socket(str(path), 0o660)])
        assert state(path) == (True, 0o640, GROUP)
        assert not can_connect(path)
    assert not moments or moments[-1] - moments[0] < WINDOW


def test_a_socket_that_does_not_come_back_as_it_was_is_told(host, port, other_port, path, monkeypatch):
    host.apply(files(host, port, path), sockets=[Socket(str(path), 0o660)])
    monkeypatch.setattr(_nginx_transaction, "problem", lambda sockets: "no mode for " + sockets[0].path)
    told = f"put back, but that did not become live either: no mode for {path}"
    with pytest.raises(NginxError, match=told):
        host.apply(host.files(gate=host.server(f"127.0.0.1:{other_port}")), sockets=[Socket(str(path), 0o660)])


@pytest.mark.parametrize("present", ["a link", "a file"])
def test_what_is_no_socket_is_refused_and_left_alone(host, port, path, present):
    wanted = [Socket(str(path), 0o660)]
    host.apply(files(host, port, path), sockets=wanted)
    path.unlink()
    target = path.with_name("target")
    target.touch(mode=0o600)
    if present == "a link":
        path.symlink_to(target)
    else:
        target.rename(path)
    with pytest.raises(
        NginxError, match="is {}, not a socket".format("a symbolic link" if present == "a link" else "in the way")
    ):
        host.apply(files(host, port, path), sockets=wanted)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_somebody_removed_is_an_error(host, port, path):
    wanted = [Socket(str(path), 0o660)]
    host.apply(files(host, port, path), sockets=wanted)
    path.unlink()
    with pytest.raises(NginxError, match=f"{path} is not there any more"):
        host.apply(files(host, port, path), sockets=wanted)


def test_a_run_that_is_killed_after_the_reload_is_made_good_by_the_next_one(host, port, path, monkeypatch):
    host.apply(host.files(gate=host.server(f"127.0.0.1:{port}")))

    class Nothing:
        def __init__(self, sockets):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            # As after a kill: nothing of what comes next is done, the way back included.
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(_nginx_transaction, "Guard", Nothing)
        patch.setattr(_nginx_transaction.Exchange, "undo", lambda _self: [])
        with pytest.raises(SystemExit):
            host.apply(files(host, port, path), sockets=[Socket(str(path), 0o660)])
    assert can_connect(path)
    host.apply(files(host, port, path), sockets=[Socket(str(path), 0o660)])
    assert state(path)[:2] == (True, 0o660) and not can_connect(path)


def test_a_connection_that_is_allowed_is_served(host, port, path):
    host.apply(files(host, port, path), sockets=[Socket(str(path), 0o600)])
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
