# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A molecule host as its clients see it: published ports and the certificate to trust."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import docker
from docker.errors import NotFound
from docker.models.containers import Container

CERTIFICATES = "/etc/nginx/certificates"


@dataclass
class Gate:
    """One container with nginx in it, reached from the machine that runs the tests."""

    name: str
    scratch: Path
    host: str = "127.0.0.1"

    @cached_property
    def container(self) -> Container:
        return docker.from_env().containers.get(self.name)

    def published(self, port: int) -> int:
        """The port of the loopback that leads to `port` inside."""
        # Read anew each time: a restarted container gets other ports.
        self.container.reload()
        bindings = self.container.ports.get(f"{port}/tcp")
        if not bindings:
            raise LookupError(f"{self.name} publishes no port {port}; add it to published_ports")
        return int(bindings[0]["HostPort"])

    @property
    def port(self) -> int:
        return self.published(443)

    @property
    def network(self) -> str:
        """The container's network namespace, for a client that is to run inside of it."""
        self.container.reload()
        return f"/proc/{self.container.attrs['State']['Pid']}/ns/net"

    @property
    def plain_port(self) -> int:
        return self.published(80)

    def certificate(self, name: str) -> Path:
        """A copy of the certificate `name` of this host, to be trusted as a CA."""
        copy = self.scratch / f"{self.name}-{name}.pem"
        copy.write_bytes(self.read(f"{CERTIFICATES}/{name}/fullchain.pem"))
        return copy

    @property
    def ca_path(self) -> Path:
        """The only certificate of this host; where it has several, `certificate(name)` says which."""
        names = self.run("ls", CERTIFICATES).split()
        if len(names) != 1:
            raise LookupError(f"{self.name} has the certificates {names}; name one")
        return self.certificate(names[0])

    def read(self, path: str) -> bytes:
        try:
            chunks, _stat = self.container.get_archive(path)
        except NotFound:
            raise FileNotFoundError(f"{self.name}:{path}") from None
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.next()
            content = archive.extractfile(member) if member else None
            if content is None:
                raise IsADirectoryError(f"{self.name}:{path}")
            return content.read()

    def run(self, *command: str) -> str:
        """Runs a command inside; its output, or an error that holds it."""
        status, output = self.container.exec_run(list(command))
        text = output.decode("utf-8", "replace")
        if status != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: exit {status}\n{text}")
        return text
