# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets plain pytest import ansible_collections.wssgate.nginx from any checkout.

`ansible-test units` brings a loader of its own and a checkout that lies where a collection belongs; there this file
does nothing.
"""

from __future__ import annotations

from pathlib import Path

if Path(__file__).resolve().parts[-5:-2] != ("ansible_collections", "wssgate", "nginx"):
    from lib.collection import install_loader

    install_loader()
