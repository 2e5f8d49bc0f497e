# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets tests import ansible_collections.wssgate.nginx from any checkout, as Ansible itself would."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def collections_tree() -> Path:
    """A new directory in which this checkout is ansible_collections/wssgate/nginx; it goes when the process ends."""
    tree = Path(tempfile.mkdtemp(prefix="wssgate-collections-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    namespace = tree / "ansible_collections" / "wssgate"
    namespace.mkdir(parents=True)
    (namespace / "nginx").symlink_to(CHECKOUT, target_is_directory=True)
    return tree


def install_loader() -> None:
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    tree = str(collections_tree())
    _AnsibleCollectionFinder(paths=[tree])._install()
    # For the tests that start Ansible.
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(
        part for part in (tree, os.environ.get("ANSIBLE_COLLECTIONS_PATH")) if part
    )
