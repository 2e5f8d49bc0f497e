# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody could do who has taken over a worker: looked at from inside its sandbox, with its account."""

from __future__ import annotations

import json
import re

import pytest

# Runs as the worker's account in the worker's view of the file system.
LOOK = r"""
import json, os
SECRET = ("/etc/nginx/", "/etc/shadow", "/etc/gshadow", "/root", "/var/lib/nginx", "/var/log", "/etc/ssl/private")
readable, writable = [], []
for top, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(top, name) not in ("/proc", "/sys", "/dev")]
    for path in [top] + [os.path.join(top, name) for name in names]:
        if not os.path.islink(path) and os.access(path, os.W_OK):
            writable.append(path)
        if path.startswith(SECRET) and os.path.isfile(path) and os.access(path, os.R_OK):
            readable.append(path)

def tries(function, *arguments):
    try:
        function(*arguments)
        return True
    except OSError:
        return False

store = "/var/lib/nginx/tokens"
token = store + "/token-of-the-whole-crowd"
print(json.dumps({
    "readable": sorted(readable),
    "writable": sorted(writable),
    "can_list_the_store": tries(os.listdir, store),
    "can_look_a_token_up": os.path.isfile(token),
    "can_add_a_token": tries(os.open, store + "/a-token-of-its-own", os.O_CREAT | os.O_WRONLY),
    "can_remove_a_token": os.access(store, os.W_OK | os.X_OK),
    "sees_processes_of_others": [
        pid for pid in os.listdir("/proc") if pid.isdigit() and os.stat("/proc/" + pid).st_uid != os.getuid()
    ],
}))
"""
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_SYS_RESOURCE": 24,
}


@pytest.fixture
def worker(host):
    return host.run("pgrep -f '^nginx: worker process$'").stdout.split()[0]


@pytest.fixture
def status(host, worker):
    text = host.file(f"/proc/{worker}/status").content_string
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.fixture(scope="module")
def sandboxed(host):
    """Runs a command with the very settings of the service.

    To enter the worker's own sandbox takes more than a container has.
    """
    lines = host.file("/etc/systemd/system/nginx.service.d/wssgate.conf").content_string.splitlines()
    others = ("Restart=", "RestartSec=", "Limit", "Exec", "Ambient")
    settings = [line for line in lines if re.match("[A-Z][A-Za-z]+=", line) and not line.startswith(others)]
    assert len(settings) > 15

    def run(program: str, script: str, account: str):
        # There is no bus in a container by which systemd-run could pass the output on; oneshot: it returns when all is
        # done.
        complete = [
            *settings,
            f"User={account}",
            "Type=oneshot",
            "StandardOutput=truncate:/run/looked",
            "StandardError=truncate:/run/complaints",
        ]
        properties = " ".join(f"--property='{setting}'" for setting in complete)
        result = host.run(f"systemd-run --quiet --collect {properties} {program} -c %s", script)
        assert result.rc == 0, result.stderr
        return host.file("/run/looked").content_string, host.file("/run/complaints").content_string

    return run


@pytest.fixture(scope="module")
def seen(sandboxed):
    output, complaints = sandboxed("/usr/bin/python3", LOOK, "www-data")
    assert complaints == ""
    return json.loads(output)


def test_the_worker_may_look_a_token_up_and_no_more(seen):
    assert seen["can_look_a_token_up"]
    assert not seen["can_list_the_store"]
    assert not seen["can_add_a_token"]
    assert not seen["can_remove_a_token"]


def test_the_worker_reads_no_key_no_log_and_nobody_elses_secret(seen):
    needed = re.compile(
        r"/etc/nginx/(wssgate\.d/.*|(nginx\.conf|sites-enabled%2Fdefault)(\.wssgate-saved)?|\.htpasswd"
        r"|certificates/[^/]+/fullchain\.pem"
        # The package's own.
        r"|(conf\.d|modules-available|modules-enabled|sites-available|sites-enabled|snippets)/.*"
        r"|[a-z_]+_params|mime\.types|koi-utf|koi-win|win-utf|fastcgi\.conf)"
    )
    unexpected = [path for path in seen["readable"] if not needed.fullmatch(path) and not path.startswith("/var/log/")]
    assert unexpected == []
    assert [path for path in seen["readable"] if "wssgate" in path and path.startswith("/var/log/")] == []
    # It does need these.
    assert {"/etc/nginx/.htpasswd", "/etc/nginx/certificates/wcs/fullchain.pem"} <= set(seen["readable"])


# A worker has its master's descriptor of the session log, opened for writing. What more can its account have of it?
DESCRIPTOR = r"""
import os
log = os.open("/var/log/nginx/wssgate/sessions.log", os.O_WRONLY | os.O_APPEND)
os.setgroups([])
os.setgid(33)
os.setuid(33)
for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY):
    try:
        os.open("/proc/self/fd/%d" % log, flags)
        print("opened", flags)
    except PermissionError:
        print("refused")
"""
# It is given to the workers here, unless the file system and the container let it be append-only.
ROTATED = """
log=/var/log/nginx/wssgate/sessions.log
kill -USR1 "$(cat /run/nginx.pid)"
for _turn in $(seq 50); do
    [ "$(stat -c %U $log)" = root ] || break
    sleep 0.1
done
for _turn in $(seq 100); do
    [ "$(stat -c %U%a $log)" != root600 ] || exit 0
    sleep 0.1
done
exit 1
"""


@pytest.mark.parametrize("before", ["true", ROTATED], ids=["always", "after a rotation, when the agent has seen it"])
def test_the_worker_s_descriptor_of_the_session_log_lets_it_read_nothing(host, before):
    assert host.run(before).rc == 0
    log = host.file("/var/log/nginx/wssgate/sessions.log")
    assert (log.user, log.group, log.mode) == ("root", "root", 0o600)
    assert host.check_output("python3 -c %s", DESCRIPTOR).split() == ["refused"] * 3


def test_the_worker_writes_temporary_files_and_nothing_else(seen):
    # Those of systemd are sockets that are open to everybody; the two logs, of other sites, are given away by Debian's
    # package.
    expected = re.compile(
        r"/(tmp|var/tmp|run/lock|run/systemd/.*)|/var/lib/nginx/(body|fastcgi|proxy|scgi|uwsgi)(/.*)?"
        r"|/var/log/nginx/(access|error)\.log"
    )
    assert [path for path in seen["writable"] if not expected.fullmatch(path)] == []


def test_the_worker_sees_no_processes_of_others(seen):
    assert seen["sees_processes_of_others"] == []


def test_the_worker_can_gain_no_privilege(status):
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    allowed = sum(1 << bit for bit in CAPABILITIES.values())
    assert int(status["CapBnd"], 16) & ~allowed == 0


def test_not_even_root_could_write_where_programs_and_configuration_are(sandboxed):
    closed, open_ = ("/usr/sbin", "/etc/nginx", "/root", "/srv"), ("/run", "/var/log/nginx", "/var/lib/nginx")
    script = "; ".join(f"touch {path}/x && rm {path}/x && echo {path}" for path in closed + open_) + "; true"
    output, complaints = sandboxed("/bin/sh", script, "root")
    assert output.split() == list(open_)
    assert complaints.count("Read-only file system") == len(closed)


def test_the_master_that_runs_is_in_the_sandbox(host):
    (master,) = host.run("pgrep -f '^nginx: master process'").stdout.split()
    status = host.file(f"/proc/{master}/status").content_string
    assert "NoNewPrivs:\t1\n" in status and "Seccomp:\t2\n" in status
