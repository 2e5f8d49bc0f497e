# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets plain `pytest tests/unit` import ansible_collections.wssgate.nginx from any checkout.

`ansible-test units` brings a loader of its own and a checkout that lies where a collection
belongs; there this file does nothing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def _collections_tree() -> Path:
    """A directory in which this checkout is ansible_collections/wssgate/nginx."""
    tree = Path(tempfile.mkdtemp(prefix="wssgate-unit-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    namespace = tree / "ansible_collections" / "wssgate"
    namespace.mkdir(parents=True)
    (namespace / "nginx").symlink_to(CHECKOUT, target_is_directory=True)
    return tree


def _install_loader() -> None:
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    tree = str(_collections_tree())
    _AnsibleCollectionFinder(paths=[tree])._install()
    # For the tests that start Ansible.
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(
        part for part in (tree, os.environ.get("ANSIBLE_COLLECTIONS_PATH")) if part
    )


if CHECKOUT.parts[-3:] != ("ansible_collections", "wssgate", "nginx"):
    _install_loader()
