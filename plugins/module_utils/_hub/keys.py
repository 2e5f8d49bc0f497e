# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of a fleet in the hub, and the users that go with them: the one place that has their names."""

from __future__ import annotations

import re

# A name in a key and in a user's name: nothing that means something in a pattern of the ACL or in a key.
FLEET = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
GATE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
ISSUER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

OPERATOR = "operator"


def prefix(fleet: str) -> str:
    """What all keys of the fleet begin with. The braces keep them on one node of a cluster."""
    return f"{{wssgate:{fleet}}}:"


def issue(fleet: str, issuer: str) -> str:
    """Stream of what an issuer issued."""
    return f"{prefix(fleet)}issue:{issuer}"


def operate(fleet: str) -> str:
    """Stream of what operators issued and revoked."""
    return f"{prefix(fleet)}operate"


def standing(fleet: str) -> str:
    """Hash of the tokens without an end."""
    return f"{prefix(fleet)}standing"


def gate(fleet: str, name: str) -> str:
    """Hash of how far a gate is."""
    return f"{prefix(fleet)}gate:{name}"


def revoked(fleet: str, name: str) -> str:
    """Stream of what was revoked on a gate."""
    return f"{gate(fleet, name)}:revoked"


def gate_user(name: str) -> str:
    """User that a gate logs in as."""
    return f"gate-{name}"


def issuer_user(name: str) -> str:
    """User that an issuer logs in as."""
    return f"issuer-{name}"
