# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a host, and the gate before and after it."""

from __future__ import annotations

import hashlib

import pytest

from lib import wire
from lib.molecule import modules

STORE = "/var/lib/nginx/tokens"
ONE = "molecule-token-number-one"
TWO = "molecule-token-number-two"


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def store(host):
    return set(host.check_output(f"ls -A {STORE}").split())


@pytest.fixture
def name(host):
    return host.backend.get_pytest_id().rpartition("://")[2]


@pytest.fixture
def wss_token(name, tmp_path):
    """Runs the module, without a word about secrets in any output."""

    def run(*arguments, **options):
        done = modules.run_module("wssgate.nginx.wss_token", name, tmp_path, *arguments, path=STORE, **options)
        for token in options.get("tokens", ()):
            assert len(token) < 8 or token not in done.text
        return done.result(name)

    return run


@pytest.fixture(scope="module")
def knock(gate):
    """The status that a handshake with this token gets."""
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")
    request = wire.Request(host="wcs.example.com").origin("https://app.example.com")

    def status(token):
        with wire.handshake(endpoint, request.token(token)) as reply:
            return reply.status

    return status


@pytest.fixture(autouse=True)
def clean(host):
    yield
    host.run(f"rm -rf {STORE}/molecule-* {STORE}/README")
