# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every difference between operating systems that the roles know, in one table.

The roles read it by the filter ``platform``; their metadata is generated from it, and README.md names the same systems.
"""

from __future__ import annotations

import copy
import typing as t

Platform = t.Dict[str, t.Any]

# By Ansible's os_family. Every family has the same keys; nothing ('' or []) stands for what a family does not have.
FAMILIES: t.Dict[str, Platform] = {
    # Run by the tests on Debian 12 and 13.
    "Debian": {
        # Names and versions as people say them, with the names that Ansible Galaxy has for the versions; empty: none.
        "systems": {
            "Debian": {"12": "bookworm", "13": "trixie"},
            "Ubuntu": {"22.04": "jammy", "24.04": "noble"},
        },
        "nginx_packages": ["nginx"],
        "nginx_user": "www-data",
        "nginx_group": "www-data",
        "nginx_includes": ["conf.d/*.conf", "sites-enabled/*"],
        "nginx_modules_include": "modules-enabled/*.conf",
        # nginx's JavaScript module (njs), for signed tokens; what its package has loaded in nginx's configuration.
        "nginx_javascript_packages": ["libnginx-mod-http-js"],
        "nginx_javascript_module": "modules/ngx_http_js_module.so",
        "nginx_javascript_link": "modules-enabled/50-mod-http-js.conf",
        # Before the package is there, a dry run plans for this one: Debian 12's.
        "nginx_planned_version": "1.22.1",
        "certificates_packages": ["python3-cryptography"],
        "acme_packages": ["certbot"],
        "acme_service": "certbot.service",
        "acme_timer": "certbot.timer",
        "acme_cron": "/etc/cron.d/certbot",
        # The program ss, which ends sessions.
        "session_packages": ["iproute2"],
        # What role monitoring runs, and which metrics are missing where a package is not there.
        "monitoring": {
            "mtail": {
                "package": "mtail",
                "unit": "mtail.service",
                "program": "/usr/bin/mtail",
                "metrics": "refusals, durations and bytes (/metrics/log)",
            },
            "nginx_exporter": {
                "package": "prometheus-nginx-exporter",
                "unit": "prometheus-nginx-exporter.service",
                "program": "/usr/bin/prometheus-nginx-exporter",
                "metrics": "nginx's own counters (/metrics/nginx)",
            },
            "node_exporter": {
                "package": "prometheus-node-exporter",
                "unit": "prometheus-node-exporter.service",
                "program": "/usr/bin/prometheus-node-exporter",
                "metrics": "the host's own (/metrics/node)",
            },
        },
        # And on a hub.
        "monitoring_hub": {
            "redis_exporter": {
                "package": "prometheus-redis-exporter",
                "unit": "prometheus-redis-exporter.service",
                "program": "/usr/bin/prometheus-redis-exporter",
                "metrics": "the hub's (redis_up, redis_memory_used_bytes and so on)",
            },
            "front": {"package": "haproxy", "unit": "haproxy.service", "program": "/usr/sbin/haproxy"},
        },
        # What is put on the hosts of wss_monitors, by role monitoring.
        "monitor_packages": ["prometheus", "prometheus-alertmanager"],
        # What the agent writes metrics by, and reads certificates.
        "agent_metrics_packages": ["python3-prometheus-client", "python3-cryptography"],
        "haproxy_packages": ["haproxy"],
        "haproxy_user": "haproxy",
        # How its unit is told of a folder of files that are read after the main one.
        "haproxy_environment": "EXTRAOPTS=-S /run/haproxy-master.sock -f FOLDER",
        "keepalived_packages": ["keepalived"],
        # Authorities that the system trusts.
        "ca_bundle_path": "/etc/ssl/certs/ca-certificates.crt",
        # What a hub may run, and the releases of these systems that have no Valkey.
        "hub_engines": {
            "valkey": {"packages": ["valkey-server"], "server": "/usr/bin/valkey-server", "unit": "valkey-server"},
            "redis": {"packages": ["redis-server"], "server": "/usr/bin/redis-server", "unit": "redis-server"},
        },
        "hub_redis_releases": ["11", "12", "22.04"],
        # Tools of SELinux's policy, on systems that come with one.
        "selinux_packages": [],
    },
    # Written for EL 9 and 10, not yet run there. certbot is in EPEL, which has to be enabled.
    "RedHat": {
        # Automation Hub's checks have no name for 10 yet.
        "systems": {"EL": {"9": "9", "10": ""}},
        "nginx_packages": ["nginx"],
        "nginx_user": "nginx",
        "nginx_group": "nginx",
        "nginx_includes": ["conf.d/*.conf"],
        "nginx_modules_include": "/usr/share/nginx/modules/*.conf",
        # EL's own nginx has none.
        "nginx_javascript_packages": [],
        "nginx_javascript_module": "",
        "nginx_javascript_link": "",
        "nginx_planned_version": "1.20.1",
        "certificates_packages": ["python3-cryptography"],
        "acme_packages": ["certbot"],
        "acme_service": "certbot-renew.service",
        "acme_timer": "certbot-renew.timer",
        "acme_cron": "a cron job of your own",
        "session_packages": ["iproute"],
        # In EPEL, which has to be enabled; it has no mtail and no exporter for nginx.
        "monitoring": {
            "mtail": {
                "package": "",
                "unit": "",
                "program": "",
                "metrics": "refusals, durations and bytes (/metrics/log)",
            },
            "nginx_exporter": {
                "package": "",
                "unit": "",
                "program": "",
                "metrics": "nginx's own counters (/metrics/nginx)",
            },
            "node_exporter": {
                "package": "golang-github-prometheus-node-exporter",
                "unit": "prometheus-node-exporter.service",
                "program": "/usr/bin/node_exporter",
                "metrics": "the host's own (/metrics/node)",
            },
        },
        # No package is there that knows a hub.
        "monitoring_hub": {
            "redis_exporter": {
                "package": "",
                "unit": "",
                "program": "",
                "metrics": "the hub's (redis_up, redis_memory_used_bytes and so on)",
            },
            "front": {"package": "haproxy", "unit": "haproxy.service", "program": "/usr/sbin/haproxy"},
        },
        "monitor_packages": [],
        # In EPEL, the first of them.
        "agent_metrics_packages": ["python3-prometheus_client", "python3-cryptography"],
        "haproxy_packages": ["haproxy"],
        "haproxy_user": "haproxy",
        "haproxy_environment": "CFGDIR=FOLDER",
        "keepalived_packages": ["keepalived"],
        "ca_bundle_path": "/etc/pki/tls/certs/ca-bundle.crt",
        "hub_engines": {
            "valkey": {"packages": ["valkey"], "server": "/usr/bin/valkey-server", "unit": "valkey"},
            "redis": {"packages": ["redis"], "server": "/usr/bin/redis-server", "unit": "redis"},
        },
        "hub_redis_releases": ["9"],
        "selinux_packages": ["policycoreutils-python-utils", "python3-libselinux", "python3-libsemanage"],
    },
}

# What a play plans for where nothing else is known.
PLANNED_FAMILY = "Debian"


def platform(family: str) -> Platform:
    """What is in the table for a family; for one that is not in it, the same keys with nothing in them."""
    if family in FAMILIES:
        return copy.deepcopy(FAMILIES[family])
    return {key: type(value)() for key, value in FAMILIES[PLANNED_FAMILY].items()}


def galaxy_platforms() -> t.List[t.Dict[str, t.Any]]:
    """The systems as a role's meta/main.yml lists them."""
    return [
        {"name": name, "versions": [version for version in versions.values() if version]}
        for family in FAMILIES.values()
        for name, versions in family["systems"].items()
    ]


def problems(facts: t.Mapping[str, t.Any]) -> t.List[str]:
    """One sentence where the host's family is not in the table; nothing where the play has not gathered it."""
    family = facts.get("os_family")
    if family is None or family in FAMILIES:
        return []
    return [
        f"{facts.get('distribution') or 'This system'} is not supported: this collection knows the families "
        f"{' and '.join(FAMILIES)}, and this is {family}"
    ]
