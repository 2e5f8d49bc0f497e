# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Galaxy on the loopback: the part of its interface (v3) by which ansible-galaxy finds and fetches artifacts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def information(artifact: Path) -> dict[str, Any]:
    """What MANIFEST.json of an artifact has of the collection: namespace, name, version, dependencies."""
    with tarfile.open(artifact) as archive:
        manifest = archive.extractfile("MANIFEST.json")
        assert manifest is not None, artifact
        return json.load(manifest)["collection_info"]


def _version(artifact: Path, address: str) -> dict[str, Any]:
    about = information(artifact)
    content = artifact.read_bytes()
    return {
        "namespace": {"name": about["namespace"]},
        "collection": {"name": about["name"]},
        "name": about["name"],
        "version": about["version"],
        "href": f"/api/v3/collections/{about['namespace']}/{about['name']}/versions/{about['version']}/",
        "artifact": {
            "filename": artifact.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        },
        "download_url": f"{address}/{artifact.name}",
        "metadata": {"dependencies": about["dependencies"]},
        "signatures": [],
    }


def answers(artifacts: list[Path], address: str) -> dict[str, bytes]:
    """The body of each path. Artifacts of one collection stand together, whatever their versions are."""
    bodies: dict[str, Any] = {"/api/": {"available_versions": {"v3": "v3/"}}}
    for artifact in artifacts:
        version = _version(artifact, address)
        collection = version["href"].partition("versions/")[0]
        bodies[collection] = {"namespace": version["namespace"]["name"], "name": version["name"]}
        versions = bodies.setdefault(f"{collection}versions/", {"links": {"next": None}, "data": []})
        versions["data"].append({"version": version["version"], "href": version["href"]})
        versions["meta"] = {"count": len(versions["data"])}
        bodies[version["href"]] = version
    found = {path.rstrip("/"): json.dumps(body).encode() for path, body in bodies.items()}
    return found | {f"/{artifact.name}": artifact.read_bytes() for artifact in artifacts}


@contextlib.contextmanager
def galaxy_server(artifacts: list[Path]) -> Iterator[str]:
    """Serve these artifacts; the address, which goes into ANSIBLE_GALAXY_SERVER. Anything else is not found (404)."""
    bodies: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies.get(self.path.partition("?")[0].rstrip("/"))
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        bodies |= answers(artifacts, address)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"{address}/"
        finally:
            server.shutdown()
            thread.join()
