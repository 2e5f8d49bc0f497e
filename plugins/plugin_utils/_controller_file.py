# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads files of the controller for lookups, searched for and decrypted as Ansible does for its own."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ._certificates.reading import UnreadableError

# Playbook site is within the installed collection, where nobody keeps files.
BESIDE_THE_PLAYBOOK = (
    ", neither in a folder 'files' nor beside the playbook; "
    "for a file beside the inventory, begin the path with {{ inventory_dir }}"
)


def controller_file_reader(lookup: LookupBase, variables: t.Dict[str, t.Any]) -> t.Callable[[str], str]:
    """Return a function that returns the content of a file."""

    def read(source: str) -> str:
        path = lookup.find_file_in_search_path(variables, "files", source, ignore_missing=True)
        if not path:
            raise UnreadableError(
                f"{source} is not on the controller" + ("" if source.startswith("/") else BESIDE_THE_PLAYBOOK)
            )
        loader = lookup._loader
        try:
            if hasattr(loader, "get_text_file_contents"):
                return loader.get_text_file_contents(path)
            # ansible-core before 2.19
            return loader._get_file_contents(path)[0].decode("utf-8")
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise UnreadableError(
                f"{source} cannot be read on the controller: {getattr(error, 'message', None) or error}"
            ) from error

    return read
