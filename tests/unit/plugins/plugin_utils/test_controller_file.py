# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.wssgate.nginx.plugins.lookup.certificates import LookupModule
from ansible_collections.wssgate.nginx.plugins.plugin_utils._certificates.reading import UnreadableError
from ansible_collections.wssgate.nginx.plugins.plugin_utils._controller_file import controller_file_reader

SECRETS = [("default", VaultSecret(b"open sesame"))]
KEY = "-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def vaulted(tmp_path: Path) -> Path:
    path = tmp_path / "wcs.key"
    path.write_bytes(VaultLib(SECRETS).encrypt(KEY, SECRETS[0][1]))
    assert b"hidden" not in path.read_bytes()
    return path


def test_a_vaulted_file_of_the_controller_is_decrypted(vaulted: Path) -> None:
    loader = DataLoader()
    loader.set_vault_secrets(SECRETS)

    assert controller_file_reader(LookupModule(loader=loader), {})(str(vaulted)) == KEY


def test_a_vaulted_file_without_its_password_is_named_and_not_shown(vaulted: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be read on the controller"):
        controller_file_reader(LookupModule(loader=DataLoader()), {})(str(vaulted))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="none.key is not on the controller$"):
        controller_file_reader(LookupModule(loader=DataLoader()), {})(str(tmp_path / "none.key"))


def test_for_a_relative_path_the_message_has_where_it_was_looked_for_and_what_to_write_instead() -> None:
    with pytest.raises(UnreadableError, match="beside the playbook; .* begin the path with {{ inventory_dir }}"):
        controller_file_reader(LookupModule(loader=DataLoader()), {})("none.key")
