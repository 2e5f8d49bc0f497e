# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws what report.py asks for: plots.py reads a list of pictures as JSON on stdin, writes SVG. Needs matplotlib.

A picture: {path, title, unit, kind: bars|lines, x, labels: […], series: {name: [values]}}, or several side by side:
{path, kind: panels, x, labels: […], panels: [{title, unit, series, log, aim}]}, where `aim` is drawn as a line.
"""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402  after the choice of the backend

COLOURS = ["#1f6f8b", "#e08e45", "#7a9e7e", "#8d6b94", "#b04a5a", "#5b6770", "#c2a83e", "#3b3b6d"]


def draw(picture: dict) -> None:
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(picture["labels"]) + 1.6 if picture["kind"] == "bars" else 4.2))
    series, labels = picture["series"], picture["labels"]
    if picture["kind"] == "bars":
        thick = 0.8 / len(series)
        for number, (name, values) in enumerate(series.items()):
            places = [place + number * thick for place in range(len(labels))]
            bars = axes.barh(places, values, thick * 0.92, label=name, color=COLOURS[number])
            axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
        axes.set_yticks([place + 0.4 - thick / 2 for place in range(len(labels))], labels)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel(picture["unit"])
    else:
        for number, (name, values) in enumerate(series.items()):
            axes.plot(labels, values, marker="o" if len(labels) < 30 else None, label=name, color=COLOURS[number])
        axes.set_xlabel(picture.get("x", "open sessions"))
        axes.set_ylabel(picture["unit"])
        axes.set_ylim(bottom=0)
    axes.set_title(picture["title"], fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(picture["path"], metadata={"Date": None, "Creator": None})
    plt.close(figure)


def draw_panels(picture: dict) -> None:
    """By a number that grows by factors."""
    figure, all_axes = plt.subplots(1, len(picture["panels"]), figsize=(3.7 * len(picture["panels"]), 3.6))
    for axes, panel in zip(all_axes, picture["panels"], strict=True):
        for number, (name, values) in enumerate(panel["series"].items()):
            axes.plot(picture["labels"], values, marker="o", label=name, color=COLOURS[number])
        if "aim" in panel:
            axes.axhline(panel["aim"], linestyle=":", color=COLOURS[4], label="aim: less than this")
        axes.set(xscale="log", xlabel=picture["x"], ylabel=panel["unit"])
        if panel.get("log"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_title(panel["title"], fontsize=11, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(picture["path"], metadata={"Date": None, "Creator": None})
    plt.close(figure)


# Readable on a page of either colour; text stays text; the same figures give the same file.
plt.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "wssgate", "savefig.facecolor": "white", "font.family": "sans-serif"}
)
for asked in json.load(sys.stdin):
    draw_panels(asked) if asked["kind"] == "panels" else draw(asked)
