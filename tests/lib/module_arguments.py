# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands arguments to a module within a test, by every ansible-core; from 2.17 `patch_module_args` is its own.

On a managed host's Python, 3.8 and newer.
"""

from __future__ import annotations

__all__ = ["patch_module_args"]

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    import contextlib
    import json
    import typing as t
    from unittest import mock

    from ansible.module_utils import basic

    @contextlib.contextmanager
    def patch_module_args(args: t.Mapping[str, t.Any]) -> t.Iterator[None]:
        content = json.dumps({"ANSIBLE_MODULE_ARGS": dict(args)}).encode()
        with mock.patch.object(basic, "_ANSIBLE_ARGS", content):
            yield
