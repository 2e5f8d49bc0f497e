# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Chromium on the controller, as Playwright starts it for a gate in a container. Also a pytest plugin."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, expect, sync_playwright

from .gate import CERTIFICATES, Gate

FOREIGN_SITE = "https://evil.example.net"
# Milliseconds; a loaded machine may take its time.
PATIENCE = 30_000

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def key_hash(certificate: Path) -> str:
    """The name by which Chromium is told to trust one key, and no other."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def chromium_for(gate: Gate, folder: Path) -> tuple[Path, str]:
    """The program to start, and the address at which it meets the gate.

    Chromium drops what it is loading (ERR_NETWORK_CHANGED) whenever the machine gets or loses an interface, and every
    container that starts or ends beside this one is such a change. So it runs in the gate's own network namespace,
    where nothing changes; to enter that takes root. Anybody else gets the published port, and is better off without
    neighbours.
    """
    program = shutil.which("chromium")
    assert program, "this scenario drives Debian's package chromium on the controller; install it"
    if os.getuid() != 0:
        return Path(program), f"127.0.0.1:{gate.port}"
    inside = folder / f"chromium-{gate.name}"
    inside.write_text(f'#!/bin/sh\nexec nsenter --net={gate.network} {program} "$@"\n')
    inside.chmod(0o700)
    return inside, "127.0.0.1:443"


def options_for(gate: Gate, folder: Path, sites: Iterable[str], certificates: Iterable[Path]) -> dict[str, Any]:
    """How Chromium is started: with these sites on the gate, and no other site anywhere."""
    program, address = chromium_for(gate, folder)
    return {
        "executable_path": program,
        # Chromium's own sandbox does not start for root.
        "chromium_sandbox": os.getuid() != 0,
        "args": [
            *FLAGS,
            "--host-resolver-rules="
            + "".join(f"MAP {name} {address}, " for name in sites)
            + "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--ignore-certificate-errors-spki-list=" + ",".join(map(key_hash, certificates)),
        ],
    }


def open_socket(page: Page, url: str) -> str:
    """Opens a WebSocket as any script of the page would; 'open' or 'closed CODE'."""
    result: str = page.evaluate(
        """url => new Promise(resolve => {
            const socket = new WebSocket(url);
            socket.onopen = () => { resolve('open'); socket.close(); };
            socket.onclose = event => resolve('closed ' + event.code);
        })""",
        url,
    )
    return result


@pytest.fixture(scope="module")
def chromium(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium that trusts the gate's certificates. It finds `*.example.com` there, and another site's name, too."""
    certificates = [gate.certificate(name) for name in gate.run("ls", CERTIFICATES).split()]
    sites = ["*.example.com", FOREIGN_SITE.partition("//")[2]]
    options = options_for(gate, tmp_path_factory.mktemp("chromium"), sites, certificates)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser) -> Iterator[Page]:
    """A private window: no cookies, no history."""
    context = chromium.new_context(viewport={"width": 1000, "height": 620})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def foreign(window: Page) -> Page:
    """The same window on a page of another site: the 404 of the gate, under a name that no server has.

    It has to come over the network. What the driver answers in a server's place has no address, and Chromium lets such
    a page open nothing on the loopback.
    """
    window.goto(f"{FOREIGN_SITE}/nothing")
    return window
