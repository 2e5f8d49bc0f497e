# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate on this machine with all that role monitoring puts beside it: mtail, what feeds it, and the agent.

The units of systemd are left out: the programs run as the tests' children, by the same files and the same options.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import metrics
from ansible_collections.wssgate.nginx.plugins.plugin_utils._sha512_crypt import sha512_crypt

from . import mtail, pki
from .agent_process import AgentProcess
from .local_gate import LocalGate, free_port
from .processes import end, wait_for

ROOT = Path(__file__).resolve().parents[2]
FEED = ROOT / "roles/monitoring/files/log_feed.py"
NAME = "gate.example.com"
USER, PASSWORD = "prometheus", "battery staple"
LIBRARY = Path("/usr/lib/python3/dist-packages")
# The agent finds Debian's library. Its clock is wrong by the seconds that a file has, and it takes workers for older
# than they are by those of another: nobody waits for a day.
PRELUDE = """
import sys, time
sys.path.append({library!r})
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import gate_look
def _told(path):
    try:
        with open(path) as stream:
            return float(stream.read())
    except (OSError, ValueError):
        return 0.0
_clock, _age = time.time, gate_look._age
time.time = lambda: _clock() + _told({skew!r})
gate_look._age = lambda *given: _age(*given) + _told({aged!r})
"""
# What takes 15 seconds on a host takes moments.
QUICK = """
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import duty, metrics
duty.FAILURE_PAUSES = (0.2,)
metrics.WRITE_PAUSE, metrics.WRITE_EVERY, metrics.LOOK_PAUSE, metrics.LOOK_SHARE = 0.1, 0.3, 0.2, 1.0
"""


class MonitoredGate(LocalGate):
    """`locations` are those of one server on `port`; metrics are served on `metrics_port` to who has the password.

    `quick` has the agent look and write several times a second.
    """

    def __init__(
        self,
        locations: Sequence[dict[str, Any]],
        certificates: Sequence[str] = (),
        quick: bool = True,
        **variables: Any,
    ) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        super().__init__([], token_store_pruner="agent", **variables)
        self.folder = self.root / "monitoring"
        self.folder.mkdir(mode=0o755)
        self.skew, self.aged = self.folder / "skew", self.folder / "aged"
        self.metrics_file = self.root / "metrics" / "agent.prom"
        self.metrics_file.parent.mkdir(mode=0o755)
        (self.etc / "htpasswd").write_text(f"{USER}:{sha512_crypt(PASSWORD.encode(), 'salt')}\n")
        names = ["gate", *certificates]
        self.variables |= {
            "monitoring_enabled": True,
            "monitoring_listen": [{"address": "127.0.0.1", "port": self.metrics_port}],
            "monitoring_certificate": "gate",
            "monitoring_htpasswd_file": str(self.etc / "htpasswd"),
            "token_store_metrics_file": str(self.metrics_file),
            "wss_proxy_certificates": [self.lasting(name, 90) for name in names],
            "wss_proxy_servers": [
                {
                    "name": name,
                    "server_names": [NAME if name == "gate" else f"{name}.example.com"],
                    "certificate": name,
                    "listen": [{"address": "127.0.0.1", "port": self.port}],
                    "locations": list(locations),
                }
                for name in names
            ],
        }
        self._agent_options = [
            "--metrics", str(self.metrics_file), "--nginx-main", str(self.etc / "nginx.conf"),
            "--nginx-binary", self.binary, "--nginx-pid", str(self.pid_path),
            "--drain-file", str(self.etc / "wssgate.drain"),
        ]  # fmt: skip
        paths = {"library": self._library(), "skew": self.skew, "aged": self.aged}
        prelude = PRELUDE.format(**{name: str(path) for name, path in paths.items()})
        self._prelude = prelude + (QUICK if quick else "")
        self.agent = self._agent()
        self.mtail: subprocess.Popen[bytes] | None = None
        self.feed: subprocess.Popen[bytes] | None = None

    def _library(self) -> Path:
        """The one package and what it needs, and not all that this machine has."""
        folder = self.folder / "library"
        folder.mkdir()
        for name in ("prometheus_client", "decorator.py"):
            (folder / name).symlink_to(LIBRARY / name)
        return folder

    def _agent(self) -> AgentProcess:
        return AgentProcess(
            self.root / "agent", self.tokens, self.session_log, options=self._agent_options, prelude=self._prelude
        )

    def lasting(self, name: str, days: int) -> dict[str, str]:
        """A certificate that is good for so many days, in the place of the one before, as an entry."""
        folder = self.etc / "certificates" / name
        folder.mkdir(parents=True, exist_ok=True)
        names = (NAME, "localhost") if name == "gate" else (f"{name}.example.com",)
        identity = pki.issue(names[0], names=names, ca=True, end=days)
        paths = {}
        for part, content in (("fullchain", identity.pem), ("privkey", identity.key_pem)):
            # Renamed: nginx goes on using a file of the same inode and second.
            new = folder / f"{part}.new"
            new.write_bytes(content)
            paths[part] = new.rename(folder / f"{part}.pem")
        return {"name": name, "certificate_path": str(paths["fullchain"]), "key_path": str(paths["privkey"])}

    def __enter__(self) -> MonitoredGate:
        super().__enter__()
        try:
            self._serve_metrics()
            self.agent.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _serve_metrics(self) -> None:
        served = self.etc / "wssgate.d" / "metrics.conf"
        text, socket = served.read_text(), self.folder / "mtail.sock"
        assert metrics.LOG_SOCKET in text
        served.write_text(text.replace(metrics.LOG_SOCKET, str(socket)))
        self.reload()
        programs, pipe = self.folder / "progs", self.folder / "feed.fifo"
        programs.mkdir()
        # The locations that the agent does not see are those of role wss_proxy; here it sees all.
        (programs / "wssgate.mtail").write_text(mtail.rendered())
        os.mkfifo(pipe, 0o600)
        self.access_log.touch()
        with (self.folder / "output").open("ab") as output:
            # systemd holds the pipe open for both.
            self.feed = subprocess.Popen(
                ["/bin/sh", "-c", 'exec 3<>"$0"; LISTEN_FDS=1 exec "$@"', str(pipe), sys.executable, "-ISB", str(FEED),
                 str(self.access_log), str(self.folder / "feed-state")],
                stdout=output, stderr=output,
            )  # fmt: skip
            self.mtail = subprocess.Popen(
                [mtail.binary(), "-progs", str(programs), "-logs", str(pipe), "-unix_socket", str(socket),
                 "-emit_prog_label=false", "-logtostderr", "-poll_interval=1ms"],
                stdout=output, stderr=output, umask=0,
            )  # fmt: skip
        wait_for(lambda: socket.exists() and (self.folder / "feed-state").exists())

    def __exit__(self, *error: object) -> None:
        for process in (self.feed, self.mtail):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                end([process.pid])
                process.wait()
        self.agent.__exit__()
        super().__exit__(*error)
