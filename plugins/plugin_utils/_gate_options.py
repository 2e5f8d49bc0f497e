# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of a gate and its default; role wss_proxy's argument_specs.yml and README explain them.

``None``: the default comes from somewhere else, such as the role's own variable or the operating system.
"""

from __future__ import annotations

import typing as t

AUTH_KINDS = ("token", "basic", "token_or_basic", "token_and_basic", "external", "none")
TLS_PROFILES = ("intermediate", "modern")
SERVER_AUTH_KINDS = ("none", "basic")
BALANCING_METHODS = ("round_robin", "least_conn", "ip_hash", "random", "hash")
# What is spoken to an upstream under each scheme, and the port where none is named.
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

LISTEN_DEFAULTS: t.Dict[str, t.Any] = {
    "port": None,
    "address": "",
    "unix": "",
    "unix_mode": "0660",
    "unix_group": "",
    "tls": True,
    "proxy_protocol": False,
    "default_server": False,
}

SERVER_DEFAULTS: t.Dict[str, t.Any] = {
    "name": "",
    "server_names": [],
    "listen": [{"port": 443}],
    "certificate": [],
    "locations": [],
    "http_redirect_enabled": None,
    "http_redirect_port": None,
    "auth": "none",
    "htpasswd_file": "",
    "realm": "Restricted",
    "root": "",
    "index": ["index.html"],
    "error_pages": [],
    "trusted_proxies": [],
    "real_ip_header": "",
    "hsts_max_age": 0,
    "http2_enabled": False,
    "client_max_body_size": "",
    "client_certificates": {},
    "connection_check_path": "",
    "extra_directives": "",
}

LOCATION_DEFAULTS: t.Dict[str, t.Any] = {
    "path": "",
    "upstream": "",
    "auth": "",
    "cookie_name": "AUTH",
    "origins": [],
    "allow_missing_origin": False,
    "htpasswd_file": "",
    "realm": "",
    "external_auth_url": "",
    "idle_timeout": 75,
    "connect_timeout": 5,
    "max_attempts_per_second": 0,
    "max_sessions_per_address": 0,
    "max_sessions_per_token": 0,
    "client_ip_header": "X-Client-IP",
    "forward_credentials": False,
    "upstream_verify_enabled": None,
    "upstream_ca_path": "",
    "upstream_tls_name": "",
    "client_certificate_required": None,
    "extra_directives": "",
}

CLIENT_CERTIFICATES_DEFAULTS: t.Dict[str, t.Any] = {
    "ca_path": "",
    "crl_path": "",
    "required": True,
    "subject_header": "X-Client-Subject",
    "depth": 1,
}

ERROR_PAGE_DEFAULTS: t.Dict[str, t.Any] = {
    "codes": [],
    "path": "",
}

UPSTREAM_DEFAULTS: t.Dict[str, t.Any] = {
    "name": "",
    "scheme": "http",
    "servers": [],
    "balancing": "round_robin",
    "hash_key": "$remote_addr consistent",
    "verify_enabled": None,
    "ca_path": "",
    "tls_name": "",
}

PEER_DEFAULTS: t.Dict[str, t.Any] = {
    "address": "",
    "weight": 1,
    "max_fails": 1,
    "fail_timeout": 10,
    "backup": False,
    "down": False,
}

# What else the filters take: the role's other variables, and facts.
CONTEXT_DEFAULTS: t.Dict[str, t.Any] = {
    "upstreams": [],
    "certificates": [],
    "certificates_directory": "/etc/nginx/certificates",
    "htpasswd_files": [],
    "token_store_path": "",
    "nginx_directory": "/etc/nginx",
    "nginx_version": "1.22.1",
    "ipv6": True,
    "ca_bundle_path": "/etc/ssl/certs/ca-certificates.crt",
    "http_redirect_enabled": True,
    "http_redirect_port": 80,
    "access_log_path": "/var/log/nginx/wss_access.log",
    "session_log_path": "",
    "acme_webroot": "",
    "drain_path": "",
    "drain_retry_after": 10,
    "buffer_size": 4096,
    "tls_tickets": 1,
    "tls_profile": "intermediate",
}
