# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certbot's hook does to a real nginx: the program as it is shipped, started as certbot does."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates.hook import CODE, PACKAGE
from ansible_collections.wssgate.nginx.plugins.module_utils._host.shipped import needed, package_files, start_program
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import Lock

KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}
TLS = """    ssl_certificate {0}/certificates/gate/fullchain.pem;
    ssl_certificate_key {0}/certificates/gate/privkey.pem;
    ssl_protocols TLSv1.2;
"""


class Hook:
    """The program, certbot's folder, and an nginx that serves a certificate."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.live = host.root / "live" / "gate"
        self.installed = host.etc / "certificates" / "gate"
        for folder in (self.live, self.installed):
            folder.mkdir(parents=True)
        library = host.root / "lib"
        for path, content in package_files(f"{library}/{PACKAGE}", needed(CODE)).items():
            (host.root / path).parent.mkdir(parents=True, exist_ok=True)
            (host.root / path).write_text(content)
        self.program = host.root / "deploy"
        self.program.write_text(start_program(sys.executable, str(library), PACKAGE, CODE))
        self.program.chmod(0o755)
        self.configuration = host.root / "hook.json"
        self.configuration.write_text(
            json.dumps(
                {
                    "nginx": [host.binary, "-c", str(host.etc / "nginx.conf")],
                    "live_directory": str(self.live.parent),
                    "pid_path": str(host.pid_file),
                    "timeout": 10,
                    "certificates": [
                        {
                            "name": "gate",
                            "lineage": "gate",
                            "certificate_path": str(self.installed / "fullchain.pem"),
                            "key_path": str(self.installed / "privkey.pem"),
                            "server_name": "localhost",
                            "served_at": [f"127.0.0.1:{port}"],
                        }
                    ],
                }
            )
        )

    def make(self, folder, key="ecdsa"):
        command = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "1", "-newkey", *KEYS[key]]
        command += ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return (folder / "fullchain.pem").read_text()

    def serve(self, key="ecdsa", extra=""):
        """Have nginx serve a first certificate, and certbot hold none yet."""
        first = self.make(self.installed, key)
        self.host.apply(
            self.host.files(
                gate=self.host.server(f"127.0.0.1:{self.port} ssl", extra=TLS.format(self.host.etc) + extra)
            )
        )
        assert self.served() == first
        return first

    def served(self):
        return ssl.get_server_certificate(("127.0.0.1", self.port))

    def start(self, **options):
        command = [str(self.program), "--configuration", str(self.configuration)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run(self):
        process = self.start()
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def hook(host, port):
    return Hook(host, port)


def test_a_renewed_certificate_is_served_after_one_reload_that_ends_no_session(hook):
    hook.serve()
    master, workers = hook.host.master.pid, hook.host.workers()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", hook.port)) as raw, context.wrap_socket(raw) as session:
        new = hook.make(hook.live)
        status, output, errors = hook.run()
        assert (status, errors) == (0, "")
        assert json.loads(output) == {"changed": True, "installed": ["gate"], "reloaded": True, "served": ["gate"]}
        assert hook.served() == new
        assert hook.host.master.pid == master and not set(workers) & set(hook.host.workers())
        session.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert session.recv(65536).startswith(b"HTTP/1.1 200")

    workers = hook.host.workers()
    status, output, _errors = hook.run()
    assert (status, json.loads(output)["changed"]) == (0, False)
    assert hook.host.workers() == workers
    # Nor does the transaction see anything to do.
    server = hook.host.server(f"127.0.0.1:{hook.port} ssl", extra=TLS.format(hook.host.etc))
    assert not hook.host.apply(hook.host.files(gate=server)).result()["changed"]


def test_a_certificate_that_no_client_can_use_makes_room_for_the_former_one(hook):
    """nginx's test and its reload are content with it, and nobody gets in any more."""
    first = hook.serve("rsa", "    ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256;\n")
    hook.make(hook.live, "ecdsa")
    status, _output, errors = hook.run()
    assert status == 1
    assert "where nothing answers in TLS, though nginx was reloaded" in errors
    assert "what was there before of gate was put back and is served" in errors
    assert hook.served() == first
    assert (hook.installed / "fullchain.pem").read_text() == first


def test_a_configuration_that_nginx_does_not_take_on_leaves_the_former_certificate(hook, other_port):
    """Somebody has altered the configuration, and its new port is taken."""
    first = hook.serve()
    hook.make(hook.live)
    with socket.create_server(("127.0.0.1", other_port)):
        (hook.host.etc / "conf.d").mkdir(exist_ok=True)
        (hook.host.etc / "conf.d" / "theirs.conf").write_text(hook.host.server(f"127.0.0.1:{other_port}"))
        status, _output, errors = hook.run()
    assert status == 1
    assert "bind() to" in errors
    assert hook.served() == first
    assert (hook.installed / "fullchain.pem").read_text() == first


def test_it_waits_for_a_transaction_that_is_under_way(hook):
    hook.serve()
    new = hook.make(hook.live)
    with Lock(str(hook.host.etc)):
        waiting = hook.start()
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.5)
        assert (hook.installed / "fullchain.pem").read_text() != new
    _output, errors = waiting.communicate(timeout=60)
    assert (waiting.returncode, errors) == (0, "")
    assert hook.served() == new
