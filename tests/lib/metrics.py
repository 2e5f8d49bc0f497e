# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of a fleet: what alerts, the dashboard and docs/monitoring.md may name, and an example of all of them."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Metric:
    kind: str
    # By which path below /metrics it is served; handshakes come from both.
    sources: tuple[str, ...]
    labels: tuple[str, ...] = ()


_WHERE = ("server", "location")
METRICS = {
    "wssgate_handshakes_total": Metric("counter", ("log", "agent"), (*_WHERE, "status", "reason")),
    "wssgate_session_duration_seconds": Metric("histogram", ("log",), _WHERE),
    "wssgate_bytes_total": Metric("counter", ("log",), (*_WHERE, "direction")),
    "wssgate_sessions": Metric("gauge", ("agent",), (*_WHERE, "upstream")),
    "wssgate_sessions_ended_total": Metric("counter", ("agent",), ("cause",)),
    "wssgate_sessions_owed": Metric("gauge", ("agent",)),
    "wssgate_tokens": Metric("gauge", ("agent",), ("kind",)),
    "wssgate_token_next_expiry_timestamp_seconds": Metric("gauge", ("agent",)),
    "wssgate_revocations": Metric("gauge", ("agent",)),
    "wssgate_certificate_not_after_timestamp_seconds": Metric("gauge", ("agent",), ("certificate",)),
    "wssgate_configuration_live": Metric("gauge", ("agent",)),
    "wssgate_old_workers": Metric("gauge", ("agent",)),
    "wssgate_old_workers_sessions": Metric("gauge", ("agent",)),
    "wssgate_old_worker_age_seconds": Metric("gauge", ("agent",)),
    "wssgate_draining": Metric("gauge", ("agent",)),
    "wssgate_hub_connected": Metric("gauge", ("agent",)),
    "wssgate_hub_position_age_seconds": Metric("gauge", ("agent",)),
    "wssgate_key_set_age_seconds": Metric("gauge", ("agent",), ("key_set",)),
    "wssgate_agent_errors_total": Metric("counter", ("agent",)),
    "wssgate_agent_last_turn_timestamp_seconds": Metric("gauge", ("agent",)),
    "wssgate_connections": Metric("gauge", ("agent",)),
    "wssgate_connections_limit": Metric("gauge", ("agent",)),
    "wssgate_descriptors": Metric("gauge", ("agent",)),
    "wssgate_descriptors_limit": Metric("gauge", ("agent",)),
    "wssgate_upstream_ports": Metric("gauge", ("agent",), ("upstream",)),
    "wssgate_upstream_ports_limit": Metric("gauge", ("agent",)),
    "wssgate_agent_info": Metric("gauge", ("agent",), ("version",)),
}
# Of the many that HAProxy and prometheus-redis-exporter have, those that an alert or the dashboard names; HAProxy's
# with the labels that Prometheus gives them, as the scrape configuration has it.
OTHER_METRICS = {
    "haproxy_server_status": Metric("gauge", ("balancer",), ("service", "gate", "state")),
    "haproxy_server_current_sessions": Metric("gauge", ("balancer",), ("service", "gate")),
    "redis_up": Metric("gauge", ("hub",)),
    "redis_master_link_up": Metric("gauge", ("hub",), ("master_host", "master_port")),
    "redis_connected_slaves": Metric("gauge", ("hub",)),
    "redis_connected_clients": Metric("gauge", ("hub",)),
    "redis_memory_used_bytes": Metric("gauge", ("hub",)),
    "redis_memory_max_bytes": Metric("gauge", ("hub",)),
}
# What Prometheus itself has, and the labels that it gives to all.
PROMETHEUS_METRICS = ("up",)
TARGET_LABELS = ("job", "instance")
# Of a histogram.
SERIES = ("_bucket", "_sum", "_count")
EXAMPLES = {
    "server": "wss.example.com",
    "location": "/wss",
    "upstream": "127.0.0.1:8080",
    "cause": "revoked",
    "kind": "expiring",
    "certificate": "/etc/nginx/tls/wss/fullchain.pem",
    "key_set": "provider",
    "version": "1.1.0",
    "service": "wss",
    "gate": "gate1",
    "state": "UP",
    "master_host": "hub1",
    "master_port": "6380",
}
BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)


def metric_of(name: str) -> Metric | None:
    """What a series' name stands for."""
    if name in METRICS or name in OTHER_METRICS:
        return METRICS.get(name) or OTHER_METRICS[name]
    for ending in SERIES:
        base = METRICS.get(name.removesuffix(ending))
        if name.endswith(ending) and base and base.kind == "histogram":
            return base
    return None


def used_by(expression: str) -> tuple[set[str], set[str]]:
    """Metrics and labels that a PromQL expression names, without the values of labels and the names of functions."""
    text = re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"(?<![\w$])((?:wssgate|nginx|node|haproxy|redis)_\w+|up)\b(?!\s*\()", text))
    labels = {
        name
        for inside in re.findall(r"\{([^}]*)\}", text)
        for name in re.findall(r"([a-z_]+)\s*(?:=~|!=|!~|=)", inside)
    }
    grouped = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", text)
    labels |= {name for inside in grouped for name in re.findall(r"[a-z_]+", inside)}
    return names, labels


def example(source: str, now: float, step: int) -> str:
    """A text of all metrics of one source as they are at a step; counters grow by steps."""
    lines = []
    for name, metric in {**METRICS, **OTHER_METRICS}.items():
        if source in metric.sources:
            lines.append(f"# TYPE {name} {metric.kind}")
            lines += _series(name, metric, source, now, step)
    return "\n".join(lines) + "\n"


def _series(name: str, metric: Metric, source: str, now: float, step: int) -> list[str]:
    own = {label: EXAMPLES.get(label, "") for label in metric.labels}
    if name == "wssgate_handshakes_total":
        answers = [("101", "")] if source == "agent" else [("403", "token"), ("502", "upstream_unreachable")]
        return [_line(name, {**own, "status": status, "reason": why}, 10 * step) for status, why in answers]
    if name == "wssgate_bytes_total":
        return [_line(name, {**own, "direction": direction}, 1000 * step) for direction in ("in", "out")]
    if metric.kind == "histogram":
        # All of them lasted for four minutes.
        buckets = [(str(limit), 2 * step if limit >= 300 else 0) for limit in BUCKETS]
        found = [
            _line(f"{name}_bucket", {**own, "le": limit}, value) for limit, value in [*buckets, ("+Inf", 2 * step)]
        ]
        return [*found, _line(f"{name}_sum", own, 240 * 2 * step), _line(f"{name}_count", own, 2 * step)]
    if name.endswith("_timestamp_seconds"):
        return [_line(name, own, now if "last_turn" in name else now + 90 * 86400)]
    if metric.kind == "counter":
        return [_line(name, own, step)]
    return [_line(name, own, 1000 if name.endswith(("_limit", "_max_bytes")) else 1)]


def _line(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value:.17g}" if labels else f"{name} {value:.17g}"


def prometheus_program(name: str) -> str | None:
    """`promtool` and others: WSSGATE_PROMETHEUS names a folder that has them; `scripts/prometheus.sh` fetches them."""
    folder = os.environ.get("WSSGATE_PROMETHEUS")
    return str(Path(folder) / name) if folder else shutil.which(name)
