# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code and tables that the tasks of a play need, loaded once, in the process that Ansible forks for each of them.

Ansible starts a process for each task and host, and keeps no byte code of a collection: each of these processes would
compile this collection's filters and lookups anew, and read the roles' specifications. What the first process has
loaded they have, too. A play's ``hosts`` are worked out there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
from pathlib import Path

from . import _role_variables

PLUGINS = Path(__file__).resolve().parents[1]


def load() -> None:
    """Load the filters, the lookups and the roles' specifications."""
    package = __name__.rpartition(".plugin_utils.")[0]
    for kind in ("filter", "lookup"):
        for path in sorted((PLUGINS / kind).glob("*.py")):
            # One that cannot be loaded here matters to the tasks alone that need it, and they report it.
            with contextlib.suppress(ImportError):
                importlib.import_module(f"{package}.{kind}.{path.stem}")
    _role_variables.known_names()
    # What is there by now stays: the collector of each process would look at it all, and copy its pages by that.
    gc.freeze()
