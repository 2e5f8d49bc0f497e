# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/performance.md and its pictures from the results."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from .counts import spread
from .drawing import draw

Results = dict[str, Any]
ORDER = [
    "direct",
    "bare",
    "bare_tls",
    "bare_sized",
    "bare_smallest",
    "recipe",
    "gate",
    "gate_newest",
    "haproxy",
    "caddy",
    "traefik",
    "envoy",
]
# Measured in one part only, to tell what the gate's figure is made of.
YARDSTICKS = ("bare_sized", "bare_smallest")
# Two sockets with an inode, a file and an epoll entry each, by the object sizes in /proc/slabinfo; empty buffers.
KERNEL_KIB = 8
NOTES = Path(__file__).with_name("notes.md")


def median(values: list[float]) -> float:
    return statistics.median(values)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def thousands(value: float) -> str:
    return f"{value / 1000:,.1f}"


def row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: list[str], rows: list[list[Any]]) -> str:
    return "\n".join([row(*head), row("---", *["---:"] * (len(head) - 1)), *(row(*cells) for cells in rows)]) + "\n"


def shares(mine: list[float], others: list[float]) -> list[float]:
    """The quotient of each round."""
    return [a / b for a, b in zip(mine, others, strict=True)]


def ratios(mine: list[float], others: list[float]) -> str:
    """The median of the rounds' own, with the least and the greatest."""
    each = shares(mine, others)
    return f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def present(figures: dict[str, Any]) -> list[str]:
    return [name for name in ORDER if name in figures]


class Page:
    def __init__(self, results: Results, folder: Path) -> None:
        self.results, self.folder = results, folder
        self.titles = {name: facts["title"] for name, facts in results["contenders"].items()}
        self.pictures: list[dict[str, Any]] = []
        self.parts: list[str] = []

    def add(self, text: str) -> None:
        self.parts.append(text.rstrip() + "\n")

    def figures(self, part: str) -> Any:
        return self.results.get(part, {}).get("figures")

    def picture(
        self, name: str, title: str, unit: str, kind: str, labels: list[Any], series: dict[str, list[float]]
    ) -> None:
        path = self.folder / "performance" / f"{name}.svg"
        self.pictures.append(
            {"path": str(path), "title": title, "unit": unit, "kind": kind, "labels": labels, "series": series}
        )
        self.add(f"![{title}](performance/{name}.svg)")

    def with_ratio(
        self, figures: dict[str, dict[str, list[float]]], name: str, key: str, to: str = "bare"
    ) -> tuple[str, str]:
        """The median, and the median of the rounds' own ratios to bare nginx."""
        value = number(median(figures[name][key]))
        if to not in figures:
            return value, ""
        return value, "1" if name == to else ratios(figures[name][key], figures[to][key])

    # -- sections

    def head(self) -> None:
        self.add(
            "# Performance\n\nMade by `make bench`, from `performance.json` beside this page; the prose below "
            "the tables is about the "
            "run of November 2026. What is compared was measured in turns, "
            "within the same seconds; **ratio** is the median of the rounds' own ratios to a bare `proxy_pass` "
            "on the same nginx, "
            "with the least and the greatest in brackets. Ratios are "
            "what to trust: the absolute figures are those of a small virtual machine that others used at the "
            "same time."
        )
        parts = [(name, part) for name, part in self.results.items() if isinstance(part, dict) and "seconds" in part]
        machine = next(part["machine"] for _name, part in parts if "machine" in part)
        self.add(
            f"## How\n\n- Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, "
            f"{machine['system']}, "
            f"kernel {machine['kernel']}. Everything on loopback: client, proxy and upstream share these cores.\n"
            "- CPU is the processes' own account (`schedstat` of every thread, children too), memory the "
            "proportional set size "
            "(`smaps_rollup`) of all processes; what the kernel keeps for sockets is not in it.\n"
            "- One worker, thread or processor each (`GOMAXPROCS=1`, `--concurrency 1`). P-256 certificate, "
            "TLS 1.3, the same upstream "
            "(picows, plain ws) and client (Python's OpenSSL), an access log in a file.\n"
            + "\n".join(
                f"- Part *{name}*: {part['date']}, {part['rounds']} rounds, scale {part['scale']:g}, "
                f"{part['seconds']} s, load "
                f"{part['load_before']:.1f} before it began."
                for name, part in parts
            )
            + "\n- In each, memory and reload are one measurement for each contender, guards seven rounds, "
            "sessions under attack and "
            "instructions three."
        )
        rows = [
            [facts["title"], facts["version"] or "", facts["check"]]
            for name, facts in sorted(self.results["contenders"].items(), key=lambda item: ORDER.index(item[0]))
            if name not in YARDSTICKS
        ]
        self.add(table(["contender", "version", "how it checks token and Origin"], rows).replace("---:", "---"))
        for name, why in self.results.get("missing", {}).items():
            self.add(f"Left out here: {name}: {why}")

    def traffic(self) -> None:
        found = self.figures("traffic")
        if not found:
            return
        full, resumed, saturated = found["handshake_full"], found["handshake_resumed"], found["handshake_saturated"]
        self.add(
            "## A handshake\n\nTCP, TLS, request, 101, end. CPU in the proxy alone; times are the client's, "
            "which shares the cores."
        )
        self.add(
            table(
                [
                    "contender",
                    "CPU full µs",
                    "ratio",
                    "CPU resumed µs",
                    "ratio",
                    "p50 ms",
                    "p99 ms",
                    "at saturation /s",
                    "ratio",
                    "p50 ms",
                    "p99 ms",
                ],
                [
                    [
                        self.titles[name],
                        *(self.with_ratio(full, name, "cpu_us") if name != "direct" else ("", "")),
                        *(self.with_ratio(resumed, name, "cpu_us") if name in resumed else ("", "")),
                        number(median(full[name]["p50_ms"])),
                        number(median(full[name]["p99_ms"])),
                        *self.with_ratio(saturated, name, "per_second"),
                        number(median(saturated[name]["p50_ms"])),
                        number(median(saturated[name]["p99_ms"])),
                    ]
                    for name in present(full)
                ],
            )
        )
        names = present(resumed)
        self.picture(
            "handshake",
            "CPU per wss handshake",
            "µs in the proxy",
            "bars",
            [self.titles[name] for name in names],
            {
                "full": [median(full[name]["cpu_us"]) for name in names],
                "resumed": [median(resumed[name]["cpu_us"]) for name in names],
            },
        )
        self.add(
            "## A message\n\nCPU in the proxy for one message there and back, and what a session sees at 1,000 "
            "messages a second: the time "
            "there and back, less that of the upstream without a proxy."
        )
        rows = []
        for name in present(found["message_64"]):
            cells: list[Any] = [self.titles[name]]
            for size in (64, 16384):
                cells += self.with_ratio(found[f"message_{size}"], name, "cpu_us")
                for key in ("p50_ms", "p99_ms"):
                    paced = found[f"paced_{size}"]
                    cells.append(
                        number(median([a - b for a, b in zip(paced[name][key], paced["direct"][key], strict=True)]))
                        if "direct" in paced
                        else ""
                    )
            rows.append(cells)
        self.add(
            table(
                [
                    "contender",
                    "64 B: CPU µs",
                    "ratio",
                    "added p50 ms",
                    "added p99 ms",
                    "16 KiB: CPU µs",
                    "ratio",
                    "added p50 ms",
                    "added p99 ms",
                ],
                rows,
            )
        )
        names = present(found["message_64"])
        self.picture(
            "message",
            "CPU per message, there and back",
            "µs in the proxy",
            "bars",
            [self.titles[name] for name in names],
            {
                "64 B": [median(found["message_64"][name]["cpu_us"]) for name in names],
                "16 KiB": [median(found["message_16384"][name]["cpu_us"]) for name in names],
            },
        )

    def instructions(self) -> None:
        found = self.figures("instructions")
        if not found:
            return
        tls = found["tls"]
        rounds = [
            values
            for part in ("tls", "plain")
            for one in found[part].values()
            for name, values in one.items()
            if not name.endswith("_calls")
        ]
        furthest = max(map(spread, rounds))
        self.add(
            "## Instructions and system calls: what noise does not touch\n\nWhat one more handshake, from the "
            "connection to its end, "
            "makes nginx do: instructions outside the kernel, counted by valgrind "
            f"{found['valgrind']} (callgrind), and calls into the kernel, counted by strace, without waits and "
            f"memory. Median of "
            f"{len(rounds[0])} rounds, which differ by {furthest:.2%} at most.".replace("%", " %")
        )

        def counted(name: str, key: str) -> list[str]:
            mine = tls[name]
            if key not in mine:
                return ["", "", ""]
            value, base = median(mine[key]), median(tls.get("bare", {}).get(key, [0]))
            return [thousands(value), f"{value / base:.3f}" if base else "", f"{median(mine[f'{key}_calls']):.1f}"]

        self.add(
            table(
                [
                    "contender",
                    *(
                        cell
                        for kind in ("full", "resumed")
                        for cell in (f"{kind}: thousand instructions", "ratio", "system calls")
                    ),
                ],
                [[found["titles"][name], *counted(name, "full"), *counted(name, "resumed")] for name in present(tls)],
            )
        )
        self.add("A refusal: the next request over a connection that stays open, and a whole new connection with TLS.")
        kinds = {
            "no_cookie_kept": "no cookie",
            "wrong_origin_kept": "wrong Origin",
            "no_cookie_new": "no cookie, new connection",
            "wrong_origin_new": "wrong Origin, new connection",
        }
        self.add(
            table(
                [
                    "contender",
                    *(cell for title in kinds.values() for cell in (f"{title}: thousand instructions", "system calls")),
                ],
                [
                    [found["titles"][name], *(cell for kind in kinds for cell in counted(name, kind)[::2])]
                    for name in present(tls)
                    if "no_cookie_kept" in tls[name]
                ],
            )
        )
        seen = found["openssl_finds"]
        if seen:
            lost = [name for name, is_there in seen.items() if not is_there]
            self.add(
                f"Of this processor's features valgrind shows OpenSSL "
                f"{', '.join(name for name in seen if name not in lost)}"
                + (f", and hides {', '.join(lost)}." if lost else ", which are all that it looks at.")
            )

    def memory(self) -> None:
        found = self.figures("memory")
        if not found:
            return
        steps = sorted({int(step) for figures in found.values() for step in figures if step.isdigit() and step != "0"})
        self.add(
            "## Memory\n\nKiB for each idle wss session, over what the fresh process had; and what was still "
            "held three seconds after all "
            "had closed, which is used again for the next."
        )
        rows = [
            [
                self.titles[name],
                number(found[name]["0"] / 1024),
                *(number((found[name][str(step)] - found[name]["0"]) / step) for step in steps),
                number((found[name]["after"] - found[name]["0"]) / 1024),
            ]
            for name in present(found)
        ]
        self.add(table(["contender", "fresh MiB", *(f"KiB at {step:,}" for step in steps), "still held MiB"], rows))
        self.picture(
            "memory",
            "Memory of idle wss sessions",
            "MiB",
            "lines",
            [0, *steps],
            {
                self.titles[name]: [found[name][str(step)] / 1024 for step in [0, *steps]]
                for name in present(found)
                if name not in YARDSTICKS
            },
        )

    def guards(self) -> None:
        found = self.figures("guards")
        if not found:
            return
        one, many = found["one_token"], found["many_tokens"]
        whole = one["plain_gate"]["cpu_us"]
        self.add(
            "## What each guard costs\n\nWithout TLS, which would hide most of it: the whole gate, and the "
            "same with one "
            "thing taken out. **costs** is the median of the rounds' differences."
        )
        counted = (self.figures("instructions") or {"plain": {}})["plain"]
        rows = []
        for name, title in sorted(
            found["titles"].items(), key=lambda item: ("plain_bare plain_gate".find(item[0]) % 99, item[0])
        ):
            spent = one[name]["cpu_us"]
            is_whole = name == "plain_gate"
            cells = [
                number(median(spent)),
                "" if is_whole else number(median([a - b for a, b in zip(whole, spent, strict=True)])),
            ]
            if name in counted:
                for key, say in (("full", thousands), ("full_calls", lambda value: f"{value:.1f}")):
                    value, most = median(counted[name][key]), median(counted["plain_gate"][key])
                    cells += [say(value), "" if is_whole else say(most - value)]
            rows.append([title if name in ("plain_bare", "plain_gate") else f"without {title}", *cells])
        more = ["thousand instructions", "cost", "system calls", "cost"] if counted else []
        self.add(table(["", "CPU per handshake µs", "costs µs", *more], rows))

        def extra(figures: dict[str, Any]) -> float:
            pairs = zip(figures["plain_gate"]["cpu_us"], figures["plain_bare"]["cpu_us"], strict=True)
            return median([a / b for a, b in pairs])

        self.add(
            f"With 1 token in the store the gate takes {extra(one):.2f} times what bare `proxy_pass` takes "
            f"without TLS, with 100,000 tokens "
            f"{extra(many):.2f} times: one look-up of a name, however many there are."
        )

    def refusing(self) -> None:
        found = self.figures("refusing")
        if not found:
            return
        cost, felt = found["cost"], found["felt"]
        self.add(
            "## Refusing\n\nCPU in the proxy for one refusal over a connection that stays open, as an attacker "
            "in a hurry would send them, "
            "beside that of an accepted handshake in the same round; and for a refusal with a TLS handshake of "
            "its own, nearly all of which "
            "is TLS."
        )
        self.add(
            table(
                [
                    "contender",
                    "no cookie µs",
                    "share of accepting",
                    "wrong Origin µs",
                    "share",
                    "with a new connection µs",
                    "share",
                    "accepting µs",
                ],
                [
                    [
                        self.titles[name],
                        *(
                            cell
                            for key in ("no_cookie_us", "wrong_origin_us", "new_connection_us")
                            for cell in (
                                number(median(cost[name][key])),
                                f"{median(shares(cost[name][key], cost[name]['accepted_us'])):.3f}",
                            )
                        ),
                        number(median(cost[name]["accepted_us"])),
                    ]
                    for name in present(cost)
                ],
            )
        )
        self.add(
            "What an honest session feels (64 B, 200 messages a second, there and back) while three clients "
            "ask without a cookie as fast as "
            "they can:"
        )
        self.add(
            table(
                ["contender", "refused /s", "quiet p50 ms", "p99", "attacked p50 ms", "p99"],
                [
                    [
                        self.titles[name],
                        number(median(felt[name]["refused_per_second"])),
                        *(
                            number(median(felt[name][f"{when}_{key}_ms"]))
                            for when in ("quiet", "attacked")
                            for key in ("p50", "p99")
                        ),
                    ]
                    for name in present(felt)
                ],
            )
        )

    def requests(self) -> None:
        found = self.figures("requests")
        if not found:
            return
        kept, new, saturated = found["kept"], found["new"], found["saturated"]
        self.add(
            "## A plain request\n\nWith `http` on: GET, answered with 1 KiB, with token and Origin like a handshake. "
            "Over a connection to the proxy that stays open, and with a connection and a TLS handshake of its own. "
            "Both nginx take a connection to the upstream for each request; the others keep theirs."
        )
        self.add(
            table(
                [
                    "contender", "CPU kept µs", "ratio", "p50 ms", "p99 ms", "CPU new µs", "ratio",
                    "at saturation /s", "ratio", "p99 ms",
                ],
                [
                    [
                        self.titles[name],
                        *self.with_ratio(kept, name, "cpu_us"),
                        number(median(kept[name]["p50_ms"])),
                        number(median(kept[name]["p99_ms"])),
                        *self.with_ratio(new, name, "cpu_us"),
                        *self.with_ratio(saturated, name, "per_second"),
                        number(median(saturated[name]["p99_ms"])),
                    ]
                    for name in present(kept)
                ],
            )
        )  # fmt: skip
        counted = found["instructions"]
        if {"bare", "gate"} <= set(counted):
            shown = {key: (median(counted["gate"][key]), median(counted["bare"][key])) for key in ("new", "kept")}
            self.add(
                "Instructions of a request, the gate's and the bare one's: with a connection of its own "
                + f"{thousands(shown['new'][0])} and {thousands(shown['new'][1])} "
                + f"({shown['new'][0] / shown['new'][1]:.3f}), over one that stays "
                + f"{thousands(shown['kept'][0])} and {thousands(shown['kept'][1])} "
                + f"({shown['kept'][0] / shown['kept'][1]:.2f}): the token, the Origin and two log lines cost the same "
                + "with or without TLS."
            )

    def reload(self) -> None:
        found = self.figures("reload")
        if not found:
            return
        self.add(
            "## A reload\n\nA configuration with one more port is taken up, with idle sessions open, while "
            "handshakes at 40 a second go on. Live is "
            "it when a session gets in on that port; kept are the sessions that were still there three seconds later."
        )
        self.add(
            table(
                [
                    "contender",
                    "sessions",
                    "kept",
                    "live after ms",
                    "memory before MiB",
                    "at most MiB",
                    "after MiB",
                    "handshakes failed",
                    "p50 ms before",
                    "p99",
                    "p50 ms within 1.5 s",
                    "p99",
                ],
                [
                    [
                        self.titles[name],
                        one["sessions"],
                        one["kept"],
                        number(one["live_ms"]),
                        *(number(one[key] / 1024) for key in ("before_kib", "peak_kib", "after_kib")),
                        one["failed"],
                        *(number(one[key]) for key in ("calm_p50_ms", "calm_p99_ms", "reload_p50_ms", "reload_p99_ms")),
                    ]
                    for name, one in ((name, found[name]) for name in present(found))
                ],
            )
        )

    def controller(self) -> None:
        found = self.figures("controller")
        if not found:
            return
        self.add(
            "## The controller's side\n\nRuns on containers of this machine, the last of them on "
            f"{self.results['controller']['date']}. Those that change nothing were made in turns: medians of "
            f"the seconds by the clock and "
            "of the controller's processors, tasks in the play's output, processes that Ansible forks for each host, "
            "and commands run on each host (connections)."
        )
        rows = []
        for hosts, figures in sorted(found.items(), key=lambda item: (" " in item[0], int(item[0].split()[0]))):
            base = figures.get("geerlingguy_nginx")
            for one in figures.values():
                cells = []
                for kind in ("s", "cpu_s"):
                    cells += [
                        f"{one[f'second_median_{kind}']:.1f}",
                        "" if not base else ratios(one[f"second_{kind}"], base[f"second_{kind}"]),
                    ]
                rows.append(
                    [
                        one["title"],
                        hosts,
                        f"{one['first_s']:.1f}",
                        len(one["second_s"]),
                        *cells,
                        one["tasks"],
                        one.get("forks", ""),
                        one["connections"],
                    ]
                )
        self.add(
            table(
                [
                    "what",
                    "hosts",
                    "first run s",
                    "rounds",
                    "no change s",
                    "ratio to geerlingguy.nginx",
                    "CPU s",
                    "ratio",
                    "tasks",
                    "processes a host",
                    "connections a host",
                ],
                rows,
            )
        )

    def sizing(self) -> None:
        """The one number an operator gives, and what follows from it; measured as far as it was, computed beyond."""
        found = self.figures("memory")
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
        self.add(
            table(
                [
                    "`nginx_sessions`",
                    "nginx MiB",
                    "kernel MiB, about",
                    "descriptors",
                    "`worker_connections`",
                    "ports towards the upstream",
                    "upstream addresses",
                ],
                rows,
            )
        )

    def text(self) -> str:
        notes = dict(section.split("\n", 1) for section in NOTES.read_text().split("\n@@ ")[1:])
        self.head()
        for section in ("traffic", "instructions", "memory", "guards", "refusing", "requests", "reload", "controller"):
            getattr(self, section)()
            if section in notes:
                self.add(notes[section].strip())
        self.add(notes["sizing"].strip())
        self.sizing()
        self.add(notes["end"].strip())
        return "\n".join(self.parts)


def write(results: Results, folder: Path) -> list[Path]:
    page = Page(results, folder)
    path = folder / "performance.md"
    path.write_text(wrapped(page.text()))
    (folder / "performance").mkdir(exist_ok=True)
    draw(page.pictures)
    return [path, *(Path(picture["path"]) for picture in page.pictures)]
