# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project of docs/your-project.md in a folder, and sessions that are held open beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path

from lib import wire
from lib.guide import blocks

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "your-project.md"
ORIGIN = "https://app.example.com"


class Project:
    """An empty folder and a home of its own; nothing of this checkout's Ansible settings. ``current`` is a version."""

    def __init__(self, folder: Path, galaxy: str, current: str, container: str) -> None:
        self.folder, self.home, self.current = folder / "project", folder / "home", current
        self.output = ""
        for path in (self.folder, self.home):
            path.mkdir()
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))
        } | {"HOME": str(self.home), "ANSIBLE_GALAXY_SERVER": galaxy, "ANSIBLE_NOCOWS": "1", "NO_COLOR": "1"}
        # All that is not the page's: how the host is reached. Without pipelining each task is four times docker exec.
        way = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": container,
            "ansible_user": "root",
            "ansible_become": False,
            "ansible_pipelining": True,
        }
        self._put("host_vars/gate1.example.com.yml", json.dumps(way))

    def _put(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def write(self, heading: str) -> None:
        """Write the files below this heading as the page has them."""
        for block in blocks(PAGE):
            if block.heading == heading and block.name:
                self._put(block.name, block.content)

    def commands(self, heading: str) -> list[str]:
        """The commands below this heading, one a line."""
        found = [block.content for block in blocks(PAGE) if block.heading == heading and block.language == "console"]
        return "".join(found).splitlines()

    def run_block(self, heading: str, word: str) -> str:
        """Run the one block below this heading that has this word; its output."""
        (block,) = [
            block
            for block in blocks(PAGE)
            if block.heading == heading and block.language == "console" and word in block.content
        ]
        return self.run(block.content)

    def run(self, command: str) -> str:
        """Run it as a shell would; its output, or a failure that shows it."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        output = done.stdout + done.stderr
        if "ansible-vault view" not in command:
            self.output += output
        assert done.returncode == 0, f"{command}\n{output[-4000:]}"
        return output

    @staticmethod
    def changes(output: str) -> int:
        """How many tasks changed something, by the recap."""
        return int(re.search(r"^gate1\.example\.com +: .*\bchanged=(\d+)", output, re.MULTILINE)[1])

    def version(self) -> str:
        """Of the collection that is installed in the project; empty without one."""
        path = self.folder / "collections/ansible_collections/wssgate/nginx/MANIFEST.json"
        return json.loads(path.read_text())["collection_info"]["version"] if path.exists() else ""

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @staticmethod
    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o777


class Held:
    """Sessions that echo twice a second, in threads, until they are closed."""

    def __init__(self, sessions: dict[str, wire.Session]) -> None:
        self._over = threading.Event()
        self._ends: dict[str, str] = {}
        self._echoes = dict.fromkeys(sessions, 0)
        self._threads = [threading.Thread(target=self._hold, args=item, daemon=True) for item in sessions.items()]
        for thread in self._threads:
            thread.start()

    def _hold(self, name: str, session: wire.Session) -> None:
        with session:
            while not self._over.wait(0.5):
                try:
                    assert session.echo(name, timeout=30) == name
                    self._echoes[name] += 1
                except (OSError, AssertionError, wire.WireError) as error:
                    self._ends[name] = repr(error)
                    return

    def assert_open(self) -> None:
        """All of them go on: each gets one more echo from now on."""
        before = dict(self._echoes)
        for _attempt in range(120):
            if self._ends or all(self._echoes[name] > count for name, count in before.items()):
                break
            self._over.wait(0.25)
        assert self._ends == {}
        assert all(self._echoes[name] > count for name, count in before.items()), (before, self._echoes)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)
