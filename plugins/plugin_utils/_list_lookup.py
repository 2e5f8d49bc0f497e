# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lookups share that read a list of a play and the controller's files that it names."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ._controller_file import controller_file_reader


class ListLookup(LookupBase):
    """Returns the items of its one term, or fails with all that is wrong with them."""

    def read(self, given: t.Any, read_file: t.Callable[[str], str]) -> t.Tuple[t.List[t.Any], t.List[str]]:
        """Return the items as the module takes them, and what is wrong."""
        raise NotImplementedError

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the items."""
        self.set_options(var_options=variables, direct=kwargs)
        items, problems = self.read(terms[0] if terms else None, controller_file_reader(self, variables or {}))
        if problems:
            raise AnsibleLookupError("; ".join(problems))
        return items
