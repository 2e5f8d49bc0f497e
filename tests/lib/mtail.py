# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the program of role monitoring by the real mtail, on a log as it is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/monitoring/templates/wssgate.mtail.j2"

Labels = tuple[tuple[str, str], ...]
_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)\Z")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@cache
def binary() -> str:
    """This machine's own, or the one of Debian's package."""
    done = subprocess.run([str(ROOT / "scripts/mtail.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def rendered(unseen: Sequence[Mapping[str, str]] = ()) -> str:
    """The program; ``unseen`` are the locations whose sessions the agent does not see."""
    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters["comment"] = lambda text: f"# {text}"
    return environment.from_string(PROGRAM.read_text()).render(ansible_managed="managed", __monitoring_unseen=unseen)


def samples(text: str) -> dict[tuple[str, Labels], float]:
    """Metrics in Prometheus's text format: each value by its name and labels, sorted; empty labels are none."""
    found = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and not line.startswith("#"):
            labels = tuple(sorted(pair for pair in _LABEL.findall(sample["labels"] or "") if pair[1]))
            assert (sample["name"], labels) not in found, f"{line} is there twice"
            found[sample["name"], labels] = float(sample["value"])
    return found


def counted(folder: Path, log: Path, unseen: Sequence[Mapping[str, str]] = ()) -> dict[tuple[str, Labels], float]:
    """What mtail counts of a log that is whole."""
    programs = folder / "mtail"
    programs.mkdir(exist_ok=True)
    (programs / "wssgate.mtail").write_text(rendered(unseen))
    done = subprocess.run(
        [
            binary(), "--one_shot", "--one_shot_format=prometheus", "--emit_prog_label=false", "--logtostderr",
            f"--progs={programs}", f"--logs={log}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return samples(done.stdout)
