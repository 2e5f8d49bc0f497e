# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults and choices of role wss_proxy's options.

Generated from roles/wss_proxy/meta/argument_specs.yml by 'make generate'. Changes made here are lost.
"""

from __future__ import annotations

import typing as t

# Variables that have a fixed default.
VARIABLES: t.Dict[str, t.Any] = {
    "wss_proxy_servers": [],
    "wss_proxy_upstreams": [],
    "wss_proxy_issuers": [],
    "wss_proxy_probes_enabled": True,
    "wss_proxy_allow_empty": False,
    "wss_proxy_other_variables": [],
    "wss_proxy_revocations_path": "/var/lib/nginx/revoked",
    "wss_proxy_jwt_socket_path": "/var/lib/nginx/wssgate/jwt.sock",
    "wss_proxy_http_redirect_enabled": True,
    "wss_proxy_http_redirect_port": 80,
    "wss_proxy_tls_profile": "intermediate",
    "wss_proxy_tls_tickets": 1,
    "wss_proxy_buffer_size": 4096,
    "wss_proxy_drain_retry_after": 10,
}

# The options of each dictionary within them. One without a default has what is nothing of its type: '', []
# or {}, and None where its type has no such value.
OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "wss_proxy_servers": {
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
        "refuse_untrusted_proxies": None,
        "real_ip_header": "",
        "allow_from": [],
        "deny_from": [],
        "hsts_max_age": 0,
        "http2_enabled": False,
        "client_max_body_size": "",
        "client_certificates": {},
        "connection_check_path": "",
        "extra_directives": "",
    },
    "wss_proxy_servers.listen": {
        "port": None,
        "address": "",
        "unix": "",
        "unix_mode": "0660",
        "unix_group": "",
        "tls": True,
        "proxy_protocol": False,
        "default_server": False,
    },
    "wss_proxy_servers.locations": {
        "path": "",
        "upstream": "",
        "auth": "",
        "issuers": [],
        "cookie_name": "AUTH",
        "sources": [],
        "origins": [],
        "allow_missing_origin": False,
        "allow_from": [],
        "deny_from": [],
        "http": False,
        "htpasswd_file": "",
        "realm": "",
        "external_auth_url": "",
        "idle_timeout": 75,
        "connect_timeout": 5,
        "messages": "",
        "message_buffer_size": 0,
        "max_attempts_per_second": 0,
        "max_sessions_per_address": 0,
        "max_sessions_per_token": 0,
        "max_session_lifetime": 0,
        "max_session_lifetime_spread": 10,
        "session_listed": False,
        "client_ip_header": "X-Client-IP",
        "forward_credentials": False,
        "upstream_host": "client",
        "upstream_headers": [],
        "upstream_verify_enabled": None,
        "upstream_ca_path": "",
        "upstream_tls_name": "",
        "client_certificate_required": None,
        "extra_directives": "",
    },
    "wss_proxy_servers.locations.auth": {
        "any": [],
        "all": [],
    },
    "wss_proxy_servers.locations.http": {
        "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    },
    "wss_proxy_servers.locations.upstream_headers": {
        "name": "",
        "value": "",
    },
    "wss_proxy_servers.error_pages": {
        "codes": [],
        "path": "",
    },
    "wss_proxy_servers.client_certificates": {
        "ca_path": "",
        "crl_path": "",
        "required": True,
        "subject_header": "X-Client-Subject",
        "depth": 1,
    },
    "wss_proxy_upstreams": {
        "name": "",
        "scheme": "http",
        "servers": [],
        "balancing": "round_robin",
        "hash_key": "$remote_addr consistent",
        "verify_enabled": None,
        "ca_path": "",
        "tls_name": "",
    },
    "wss_proxy_upstreams.servers": {
        "address": "",
        "weight": 1,
        "max_fails": 1,
        "fail_timeout": 10,
        "backup": False,
        "down": False,
    },
    "wss_proxy_issuers": {
        "name": "",
        "issuer": "",
        "audience": [],
        "keys": [],
        "jwks_url": "",
        "jwks_ca_path": "",
        "jwks_interval": 300,
        "key_grace": 0,
        "algorithms": [],
        "clock_skew": 5,
        "max_token_lifetime": 86400,
        "require": [],
        "headers": [],
    },
    "wss_proxy_issuers.keys": {
        "content": "",
        "source": "",
        "path": "",
    },
    "wss_proxy_issuers.require": {
        "claim": "",
        "any_of": [],
        "all_of": [],
        "scopes": [],
    },
    "wss_proxy_issuers.headers": {
        "name": "",
        "claim": None,
    },
}

# What an option may be, where only some values are.
CHOICES: t.Dict[str, t.Tuple[t.Any, ...]] = {
    "wss_proxy_tls_profile": ("intermediate", "modern"),
    "wss_proxy_servers.auth": ("none", "basic"),
    "wss_proxy_servers.locations.sources": ("cookie", "bearer"),
    "wss_proxy_servers.locations.messages": ("", "small", "mixed", "large"),
    "wss_proxy_servers.locations.auth.any": ("token", "jwt", "external", "client_certificate", "basic"),
    "wss_proxy_servers.locations.auth.all": ("token", "jwt", "external", "client_certificate", "basic"),
    "wss_proxy_servers.locations.http.methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
    "wss_proxy_upstreams.scheme": ("ws", "wss", "http", "https"),
    "wss_proxy_upstreams.balancing": ("round_robin", "least_conn", "ip_hash", "random", "hash"),
    "wss_proxy_issuers.algorithms": ("ES256", "ES384", "RS256", "PS256"),
}
