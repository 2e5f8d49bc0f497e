# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a host: the one number that an operator gives, and what follows from it."""

from __future__ import annotations

from .report_tables import Page, table

# Two sockets with an inode, a file and an epoll entry each, by the object sizes in /proc/slabinfo; empty buffers.
KERNEL_KIB = 8


def sizing(page: Page) -> None:
    """The one number an operator gives, and what follows from it; measured as far as it was, computed beyond."""
    found = page.figures("memory")
    if not found or "gate" not in found:
        return
    mine = found["gate"]
    measured = max(int(step) for step in mine if step.isdigit())
    each, fresh = (mine[str(measured)] - mine["0"]) / measured, mine["0"]
    rows = []
    for sessions in (1000, 4000, 8000, 20000, 28000, 50000, 100000):
        memory = (mine[str(sessions)] if str(sessions) in mine else fresh + each * sessions) / 1024
        rows.append(
            [
                f"{sessions:,}",
                f"{memory:,.0f}{'' if str(sessions) in mine else ' (computed)'}",
                f"{sessions * KERNEL_KIB / 1024:,.0f}",
                f"{sessions * 2 + 1024:,}",
                f"{sessions * 2 + 512:,}",
                f"{sessions:,}",
                -(-sessions // 28000),
            ]
        )
    head = [
        "`nginx_sessions`", "nginx MiB", "kernel MiB, about", "descriptors", "`worker_connections`",
        "ports towards the upstream", "upstream addresses",
    ]  # fmt: skip
    page.add(table(head, rows))
