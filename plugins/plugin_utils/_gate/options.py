# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of a gate, its default and its choices, by the names that the gate's code has for them.

They stand in role wss_proxy's argument_specs.yml, from which defaults.py is generated. ``None``: the default comes
from somewhere else, such as the role's own variable or the operating system.
"""

from __future__ import annotations

import typing as t

from ...module_utils._certificates.paths import DIRECTORY
from .._platforms import FAMILIES, PLANNED_FAMILY
from .defaults import CHOICES, OPTIONS, VARIABLES

AUTH_LISTED = CHOICES["wss_proxy_servers.locations.auth.any"]
SERVER_AUTH_KINDS = CHOICES["wss_proxy_servers.auth"]
TOKEN_SOURCES = CHOICES["wss_proxy_servers.locations.sources"]
# What applications serve. TRACE shows a client's credentials to its page, CONNECT is for proxies that clients choose.
HTTP_METHODS = CHOICES["wss_proxy_servers.locations.http.methods"]
BALANCING_METHODS = CHOICES["wss_proxy_upstreams.balancing"]
TLS_PROFILES = CHOICES["wss_proxy_tls_profile"]
SIGNATURE_ALGORITHMS = CHOICES["wss_proxy_issuers.algorithms"]
# What is spoken to an upstream under each scheme, and the port where none is named.
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

SERVER_DEFAULTS = OPTIONS["wss_proxy_servers"]
LISTEN_DEFAULTS = OPTIONS["wss_proxy_servers.listen"]
LOCATION_DEFAULTS = OPTIONS["wss_proxy_servers.locations"]
AUTH_LIST_DEFAULTS = OPTIONS["wss_proxy_servers.locations.auth"]
HTTP_DEFAULTS = OPTIONS["wss_proxy_servers.locations.http"]
CLIENT_CERTIFICATES_DEFAULTS = OPTIONS["wss_proxy_servers.client_certificates"]
ERROR_PAGE_DEFAULTS = OPTIONS["wss_proxy_servers.error_pages"]
UPSTREAM_HEADER_DEFAULTS = OPTIONS["wss_proxy_servers.locations.upstream_headers"]
UPSTREAM_DEFAULTS = OPTIONS["wss_proxy_upstreams"]
PEER_DEFAULTS = OPTIONS["wss_proxy_upstreams.servers"]
ISSUER_DEFAULTS = OPTIONS["wss_proxy_issuers"]
ISSUER_KEY_DEFAULTS = OPTIONS["wss_proxy_issuers.keys"]
ISSUER_RULE_DEFAULTS = OPTIONS["wss_proxy_issuers.require"]
ISSUER_HEADER_DEFAULTS = OPTIONS["wss_proxy_issuers.headers"]

# What else the filters take: the role's other variables, and facts.
CONTEXT_DEFAULTS: t.Dict[str, t.Any] = {
    "upstreams": VARIABLES["wss_proxy_upstreams"],
    "issuers": VARIABLES["wss_proxy_issuers"],
    # What files of issuers' keys have, by 'source:' or 'path:' and the file: {content} or {problem}.
    "key_files": {},
    "revocations_path": VARIABLES["wss_proxy_revocations_path"],
    "jwt_socket_path": VARIABLES["wss_proxy_jwt_socket_path"],
    # nginx's JavaScript module, empty where there is none.
    "javascript_module": FAMILIES[PLANNED_FAMILY]["nginx_javascript_module"],
    # Trusted where a listener has the PROXY protocol and its server names nobody.
    "balancers": [],
    "certificates": [],
    "certificates_directory": DIRECTORY,
    "htpasswd_files": [],
    "token_store_path": "",
    "nginx_directory": "/etc/nginx",
    "nginx_version": FAMILIES[PLANNED_FAMILY]["nginx_planned_version"],
    "openssl_version": "",
    "ipv6": True,
    "ca_bundle_path": FAMILIES[PLANNED_FAMILY]["ca_bundle_path"],
    "http_redirect_enabled": VARIABLES["wss_proxy_http_redirect_enabled"],
    "http_redirect_port": VARIABLES["wss_proxy_http_redirect_port"],
    "access_log_path": "/var/log/nginx/wss_access.log",
    "session_log_path": "",
    "acme_webroot": "",
    "drain_path": "",
    "hub_marker_path": "",
    # What a scraper reads, as metrics.py takes it; empty: nothing is served.
    "metrics": {},
    "drain_retry_after": VARIABLES["wss_proxy_drain_retry_after"],
    "buffer_size": VARIABLES["wss_proxy_buffer_size"],
    "tls_tickets": VARIABLES["wss_proxy_tls_tickets"],
    "tls_profile": VARIABLES["wss_proxy_tls_profile"],
}
