# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules as on a managed host, whatever the process has imported."""

from __future__ import annotations

import pytest

try:
    from ansible.module_utils import _internal
except ImportError:  # ansible-core before 2.19 makes no difference
    _internal = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def on_a_managed_host(monkeypatch: pytest.MonkeyPatch) -> None:
    # Other tests import the controller's side; from then on warnings would go to its display, not into the result.
    if _internal is not None:
        monkeypatch.setattr(_internal, "is_controller", False, raising=False)
