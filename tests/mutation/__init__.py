# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that take something out of the gate or of the code and look which test notices."""

from __future__ import annotations

from lib.collection import install_loader

install_loader()
