# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.fixes import missing_fixes

MAPS, UPSTREAMS, BODY, TICKETS = "CVE-2026-42533", "CVE-2026-1642", "CVE-2026-118899", "CVE-2026-97629"
NEWEST = [BODY, "CVE-2026-123007", "CVE-2026-123633"]


def names(version, package_version=""):
    return [fix["name"] for fix in missing_fixes(version, package_version)]


@pytest.mark.parametrize(
    ("package", "missing"),
    [
        ("1.22.1-9", [*NEWEST, MAPS, UPSTREAMS]),
        ("1.22.1-9+deb12u3", [*NEWEST, MAPS, UPSTREAMS]),
        ("1.22.1-9+deb12u4", [*NEWEST, MAPS]),
        ("1.22.1-9+deb12u9", [*NEWEST, MAPS]),
        ("1.22.1-9+deb12u10", NEWEST),
        ("1.22.1-9+deb12u11", []),
        ("1.26.3-3", [*NEWEST, TICKETS, MAPS, UPSTREAMS]),
        ("1.26.3-3+deb13u1", [*NEWEST, TICKETS, MAPS, UPSTREAMS]),
        ("1.26.3-3+deb13u2", [*NEWEST, TICKETS, MAPS]),
        ("1.26.3-3+deb13u7", [*NEWEST, TICKETS, MAPS]),
        ("1.26.3-3+deb13u9", [*NEWEST, TICKETS]),
        ("1.26.3-3+deb13u10", NEWEST),
        ("1.26.3-3+deb13u11", []),
    ],
)
def test_debians_package_version_decides(package, missing):
    assert names(package.partition("-")[0], package) == missing


def test_the_package_version_that_has_the_fix_is_named():
    assert missing_fixes("1.22.1", "1.22.1-9+deb12u9")[-1] == {
        "name": MAPS,
        "what": "buffer overflow in maps with regular expressions",
        "fixed_in": "1.22.1-9+deb12u10",
    }
    assert [fix["fixed_in"] for fix in missing_fixes("1.26.3", "1.26.3-3+deb13u1")] == [
        *["1.26.3-3+deb13u11"] * 3,
        "1.26.3-3+deb13u10",
        "1.26.3-3+deb13u8",
        "1.26.3-3+deb13u2",
    ]


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        # Keys of tickets do not rotate yet
        ("1.23.1", [*NEWEST, MAPS, UPSTREAMS]),
        ("1.23.2", [*NEWEST, TICKETS, MAPS, UPSTREAMS]),
        ("1.28.1", [*NEWEST, TICKETS, MAPS, UPSTREAMS]),
        ("1.28.2", [*NEWEST, TICKETS, MAPS]),
        ("1.29.4", [*NEWEST, TICKETS, MAPS, UPSTREAMS]),
        ("1.29.5", [*NEWEST, TICKETS, MAPS]),
        ("1.30.3", [*NEWEST, TICKETS, MAPS]),
        ("1.30.4", [*NEWEST, TICKETS]),
        ("1.30.6", NEWEST),
        ("1.30.7", []),
        ("1.31.2", [*NEWEST, TICKETS, MAPS]),
        ("1.31.3", [*NEWEST, TICKETS]),
        ("1.31.7", NEWEST),
        ("1.31.8", NEWEST),
        ("1.31.9", []),
        ("1.32.0", []),
        ("2.0.0", []),
    ],
)
@pytest.mark.parametrize("package", ["", "{0}-1~bookworm", "{0}-1.el9.ngx"])
def test_a_build_that_is_no_distributions_has_what_its_version_has(version, missing, package):
    assert names(version, package.format(version)) == missing


@pytest.mark.parametrize(
    "package",
    ["1.18.0-6ubuntu14", "1.24.0-2ubuntu7.5", "1.20.1-20.el9", "2:1.26.3-1.el10", "1.28.0-6", "1.26.3-3+deb14u1"],
)
def test_of_other_distributions_packages_nothing_is_known(package):
    assert names("1.18.0", package) == []


def test_no_version_lacks_nothing():
    assert names("", "") == []
