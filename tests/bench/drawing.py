# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has plots.py draw pictures, by the Python that has matplotlib."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(pictures: Sequence[dict[str, Any]]) -> None:
    """Draw each to its ``path``; raises subprocess.CalledProcessError where that fails."""
    python = Path(os.environ["CACHE"]) / "venv-bench" / "bin" / "python"
    drawer = [str(python), str(Path(__file__).with_name("plots.py"))]
    subprocess.run(drawer, input=json.dumps(pictures), text=True, check=True)
