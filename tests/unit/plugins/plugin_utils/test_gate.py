# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate takes, what it refuses and in which words, and what it makes of it."""

from __future__ import annotations

import copy
import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import (
    checks as _checks,
    model as _gate,
    options as _gate_options,
    origins as _origins,
)

STORE = "/var/lib/nginx/tokens"
CONTEXT = {"certificates": [{"name": "wcs"}, {"name": "other"}], "token_store_path": STORE}

Options = t.Dict[str, t.Any]


def location(**changes: t.Any) -> Options:
    return {"path": "/wss", "upstream": "http://127.0.0.1:8080", **changes}


def server(*locations: Options, **changes: t.Any) -> Options:
    """A server that is right, but for the changes."""
    return {
        "name": "wcs",
        "server_names": ["wcs.example.com"],
        "certificate": "wcs",
        "locations": list(locations) or [location()],
        **changes,
    }


def other_server(*locations: Options, **changes: t.Any) -> Options:
    return server(*locations, **{"name": "other", "server_names": ["other.example.com"], **changes})


def upstream(**changes: t.Any) -> Options:
    return {"name": "app", "servers": ["127.0.0.1:8080"], **changes}


def errors(*servers: Options, **context: t.Any) -> t.List[str]:
    return _gate.gate_errors(list(servers), {**CONTEXT, **context})


def model(*servers: Options, **context: t.Any) -> Options:
    return _gate.gate_model(list(servers), {**CONTEXT, **context})


def only_location(item: Options, **context: t.Any) -> Options:
    return model(server(item), **context)["servers"][0]["locations"][0]


def only_server(**changes: t.Any) -> Options:
    return model(server(**changes))["servers"][0]


LOADED = {"upstreams": [upstream()]}
BASIC = {"htpasswd_files": [{"path": "/etc/nginx/.htpasswd"}]}
LONG_PATH = "/run/" + "x" * 103
LONGEST_PATH = "/run/" + "x" * 102
CLIENTS = {"ca_path": "/etc/ssl/clients.pem"}

# What is wrong: the servers, the context, and the one sentence that it gets: where, what, what to do.
REFUSED: t.Dict[str, t.Tuple[t.List[Options], Options, t.Tuple[str, str, str]]] = {
    # -- servers
    "a certificate that nobody provides": (
        [server(certificate="nope")],
        {},
        ("server 'wcs'", "certificate 'nope' is not in certificates_list (there: other, wcs)", "add it there"),
    ),
    "a certificate where there are none at all": (
        [server()],
        {"certificates": []},
        ("server 'wcs'", "certificate 'wcs' is not in certificates_list (there: none)", "add it there"),
    ),
    "one unknown certificate among known ones": (
        [server(certificate=["wcs", "nope"])],
        {},
        ("server 'wcs'", "certificate 'nope' is not in certificates_list", "add it there"),
    ),
    "TLS without a certificate": (
        [server(certificate=[])],
        {},
        ("server 'wcs'", "it listens with TLS and names no certificate", "set certificate"),
    ),
    "two servers of one name": (
        [server(), server(listen=[{"port": 8443}])],
        {},
        ("server 'wcs'", "two servers have this name", "give each its own"),
    ),
    "two servers of one name in another case, which would be one file on some disks": (
        [server(), server(name="WCS", listen=[{"port": 8443}])],
        {},
        ("server 'WCS'", "two servers have this name", "give each its own"),
    ),
    "two servers of one name, the first in capitals": (
        [server(name="WCS"), server(listen=[{"port": 8443}])],
        {},
        ("server 'wcs'", "two servers have this name", "give each its own"),
    ),
    "two servers with one address, port and server name": (
        [server(), other_server(server_names=["WCS.example.com"])],
        {"ipv6": False},
        ("server 'other'", "'WCS.example.com' on 443 is served by server 'wcs' already", "another name or port"),
    ),
    "two servers with one server name on an address in two spellings": (
        [
            server(listen=[{"port": 443, "address": "2001:DB8:0::1"}]),
            other_server(server_names=["wcs.example.com"], listen=[{"port": 443, "address": "[2001:db8::1]"}]),
        ],
        {},
        (
            "server 'other'",
            "'wcs.example.com' on [2001:db8::1]:443 is served by server 'wcs' already",
            "another name or port",
        ),
    ),
    "two servers with one server name on a unix socket": (
        [
            server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock"}]),
            other_server(
                location(origins=["https://a.example"]),
                server_names=["wcs.example.com"],
                listen=[{"unix": "/run/gate.sock"}],
            ),
        ],
        {},
        (
            "server 'other'",
            "'wcs.example.com' on unix:/run/gate.sock is served by server 'wcs' already",
            "another name or port",
        ),
    ),
    "PROXY protocol and plain connections on one address and port": (
        [server(), other_server(listen=[{"port": 443, "proxy_protocol": True}], trusted_proxies=["10.0.0.1"])],
        {"ipv6": False},
        (
            "server 'other'",
            "443 has PROXY protocol here and plain connections in server 'wcs'",
            "one address takes one kind",
        ),
    ),
    "PROXY protocol and plain connections on the wildcard in two spellings": (
        [
            server(),
            other_server(
                listen=[{"port": 443, "address": "0.0.0.0", "proxy_protocol": True}], trusted_proxies=["10.0.0.1"]
            ),
        ],
        {"ipv6": False},
        (
            "server 'other'",
            "443 has PROXY protocol here and plain connections in server 'wcs'",
            "one address takes one kind",
        ),
    ),
    "TLS and plain text on one address and port": (
        [server(), other_server(location(origins=["https://a.example"]), listen=[{"port": 443, "tls": False}])],
        {"ipv6": False},
        ("server 'other'", "443 has plain text here and TLS in server 'wcs'", "one address takes one kind"),
    ),
    "two default servers on one address": (
        [
            server(listen=[{"port": 443, "default_server": True}]),
            other_server(listen=[{"port": 443, "default_server": True}]),
        ],
        {"ipv6": False},
        ("server 'other'", "server 'wcs' is the default server of 443 already", "keep one"),
    ),
    "one address twice on a server": (
        [server(listen=[{"port": 443}, {"port": 443, "address": "0.0.0.0"}])],
        {"ipv6": False},
        ("server 'wcs'", "it listens on 443 twice", "keep one"),
    ),
    "a port that redirects and serves": (
        [server(listen=[{"port": 443}, {"port": 80, "tls": False}])],
        {},
        (
            "server 'wcs'",
            "port 80 cannot both redirect to https and be listened on",
            "set http_redirect_enabled: false or another http_redirect_port",
        ),
    ),
    "a port that redirects for one server and serves for another": (
        [server(), other_server(location(origins=["https://a.example"]), listen=[{"port": 80, "tls": False}])],
        {},
        (
            "server 'wcs'",
            "port 80 cannot both redirect to https and be listened on",
            "set http_redirect_enabled: false or another http_redirect_port",
        ),
    ),
    "a redirect port that is none": (
        [server(http_redirect_port=0)],
        {},
        ("server 'wcs'", "http_redirect_port 0 is not a whole number", "from 1 to 65535"),
    ),
    "a server that listens nowhere": (
        [server(location(origins=["https://a.example"]), listen=[])],
        {},
        ("server 'wcs'", "listen is empty", "name at least one port"),
    ),
    "a listener without a port": (
        [server(location(origins=["https://a.example"]), listen=[{"address": "192.0.2.1"}])],
        {},
        ("server 'wcs', listen[0]", "it names neither a port nor a unix socket", "name one"),
    ),
    "a listener with a port and a unix socket": (
        [server(location(origins=["https://a.example"]), listen=[{"port": 443, "unix": "/run/gate.sock"}])],
        {},
        ("server 'wcs', listen[0]", "a unix socket has neither port nor address", "name one of them only"),
    ),
    "a listener with an address and a unix socket": (
        [server(location(origins=["https://a.example"]), listen=[{"address": "192.0.2.1", "unix": "/run/gate.sock"}])],
        {},
        ("server 'wcs', listen[0]", "a unix socket has neither port nor address", "name one of them only"),
    ),
    "a port beyond the last": (
        [server(listen=[{"port": 65536}])],
        {},
        ("server 'wcs', listen[0]", "port 65536 is not a whole number", "from 1 to 65535"),
    ),
    "a host name for an address to listen on": (
        [server(listen=[{"port": 443, "address": "localhost"}])],
        {},
        ("server 'wcs', listen[0]", "address 'localhost'", "is not an IP address"),
    ),
    "an IPv6 zone, after which Python would take anything": (
        [server(listen=[{"port": 443, "address": "fe80::1%eth0"}])],
        {},
        ("server 'wcs', listen[0]", "address 'fe80::1%eth0'", "is not an IP address"),
    ),
    "a unix listener in a second spelling": (
        [server(location(origins=["https://a.example"]), listen=[{"unix": "/run//gate.sock"}])],
        {},
        ("server 'wcs', listen[0]", "'/run//gate.sock' has an empty, '.' or '..' part", "write it without"),
    ),
    "one unix socket with two modes": (
        [
            server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock"}]),
            other_server(
                location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock", "unix_mode": "0600"}]
            ),
        ],
        {},
        (
            "server 'other'",
            "unix:/run/gate.sock has another unix_mode or unix_group in server 'wcs'",
            "one socket has one of each",
        ),
    ),
    "one unix socket with two groups": (
        [
            server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock", "unix_group": "staff"}]),
            other_server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock"}]),
        ],
        {},
        (
            "server 'other'",
            "unix:/run/gate.sock has another unix_mode or unix_group in server 'wcs'",
            "one socket has one of each",
        ),
    ),
    "HTTP/2 for one of two servers on a port, where it is the port's": (
        [server(http2_enabled=True), other_server()],
        {"ipv6": False, "nginx_version": "1.22.1"},
        ("server 'other'", "443 has HTTP/1.1 alone here and HTTP/2 in server 'wcs'", "one address takes one kind"),
    ),
    "a path that no request can have": (
        [server(location(path="/a/../wss"))],
        {},
        (
            "server 'wcs', locations[0]",
            "path '/a/../wss' has an empty, '.' or '..' part",
            "no request would ever match it",
        ),
    ),
    "a path of two slashes": (
        [server(location(path="//wss"))],
        {},
        ("server 'wcs', locations[0]", "path '//wss' has an empty, '.' or '..' part", "no request would ever match it"),
    ),
    "two verifications of one address": (
        [
            server(
                location(upstream="https://ws.example.com:8443/a"),
                location(path="/other", upstream="wss://WS.example.com:8443/b", upstream_verify_enabled=False),
            )
        ],
        {},
        (
            "server 'wcs', location '/other'",
            "https://WS.example.com:8443 is verified differently in server 'wcs', location '/wss'",
            "wss_proxy_upstreams once for each",
        ),
    ),
    "an upstream and a service that decides, verified differently at one address": (
        [
            server(
                location(
                    upstream="https://ws.example.com",
                    auth="external",
                    external_auth_url="https://ws.example.com/check",
                    upstream_ca_path="/etc/ssl/own.pem",
                )
            )
        ],
        {},
        (
            "server 'wcs', location '/wss'",
            "https://ws.example.com:443 is verified differently",
            "give both the same settings",
        ),
    ),
    "two verifications of one https socket": (
        [
            server(
                location(upstream="https://unix:/run/ws.sock"),
                location(
                    path="/other",
                    upstream="https://unix:/run/ws.sock",
                    upstream_verify_enabled=True,
                    upstream_tls_name="ws.example.com",
                ),
            )
        ],
        {},
        (
            "server 'wcs', location '/other'",
            "https://unix:/run/ws.sock is verified differently",
            "give both the same settings",
        ),
    ),
    "a service that decides under an upstream's name": (
        [server(location(upstream="app", auth="external", external_auth_url="http://app:9000/check"))],
        LOADED,
        (
            "server 'wcs', locations[0]",
            "external_auth_url 'http://app:9000/check' has the name of one in wss_proxy_upstreams",
            "name the service's own host",
        ),
    ),
    "the client's address in a header that every handshake has": (
        [server(location(client_ip_header="Sec-WebSocket-Key"))],
        {},
        (
            "server 'wcs', locations[0]",
            "client_ip_header 'Sec-WebSocket-Key' is a header that the gate or the handshake itself sets",
            "name another",
        ),
    ),
    "a page to try locations that are not there": (
        [{**server(root="/srv/www", connection_check_path="/check"), "locations": []}],
        {},
        (
            "server 'wcs'",
            "connection_check_path is set, and no location lets pages of this server connect",
            "there are no locations to try",
        ),
    ),
    "a drain file where the workers see nothing": (
        [server()],
        {"drain_path": "/root/drain"},
        (
            "wss_proxy",
            "drain_path '/root/drain' is in root's own folder, where nginx's workers see nothing",
            "choose another",
        ),
    ),
    "a unix listener's path that is too long": (
        [server(location(origins=["https://a.example"]), listen=[{"unix": LONG_PATH}])],
        {},
        ("server 'wcs', listen[0]", "the unix socket's path is 108 bytes long", "the system takes 107 at most"),
    ),
    "a mode that YAML read as a decimal number": (
        [server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock", "unix_mode": 0o660}])],
        {},
        ("server 'wcs', listen[0]", "unix_mode is not quoted", "write it as '0660'"),
    ),
    "a mode that is none": (
        [server(location(origins=["https://a.example"]), listen=[{"unix": "/run/gate.sock", "unix_mode": "0888"}])],
        {},
        ("server 'wcs', listen[0]", "unix_mode '0888' is not", "an octal mode such as '0660'"),
    ),
    "PROXY protocol from anybody": (
        [server(listen=[{"port": 443, "proxy_protocol": True}])],
        {},
        (
            "server 'wcs', listen[0]",
            "proxy_protocol without trusted_proxies would let every client choose its address",
            "name the proxies",
        ),
    ),
    "a client's address from a header that anybody can send": (
        [server(real_ip_header="X-Forwarded-For")],
        {},
        (
            "server 'wcs'",
            "real_ip_header without trusted_proxies would let every client choose its address",
            "name the proxies",
        ),
    ),
    "the whole Internet as a trusted proxy": (
        [server(trusted_proxies=["0.0.0.0/0"])],
        {},
        (
            "server 'wcs', trusted_proxies[0]",
            "0.0.0.0/0 would trust the whole Internet",
            "name the load balancers only",
        ),
    ),
    "the whole IPv6 Internet as a trusted proxy": (
        [server(trusted_proxies=["10.0.0.1", "::/0"])],
        {},
        ("server 'wcs', trusted_proxies[1]", "::/0 would trust the whole Internet", "name the load balancers only"),
    ),
    "the whole Internet in two halves": (
        [server(trusted_proxies=["0.0.0.0/1", "10.0.0.1", "128.0.0.0/1"])],
        {},
        (
            "server 'wcs', trusted_proxies",
            "these together would trust the whole Internet of IPv4",
            "name the load balancers only",
        ),
    ),
    "the whole IPv6 Internet in two halves": (
        [server(trusted_proxies=["::/1", "8000::/1"])],
        {},
        (
            "server 'wcs', trusted_proxies",
            "these together would trust the whole Internet of IPv6",
            "name the load balancers only",
        ),
    ),
    "the PROXY protocol's address where no listener has it": (
        [server(trusted_proxies=["10.0.0.1"], real_ip_header="proxy_protocol")],
        {},
        ("server 'wcs'", "real_ip_header 'proxy_protocol' is not a header's name", "goes with a listener that has it"),
    ),
    "a trusted network with host bits": (
        [server(trusted_proxies=["10.0.0.1/8"])],
        {},
        (
            "server 'wcs', trusted_proxies[0]",
            "'10.0.0.1/8' is not an address or a network in CIDR notation",
            "host bits set",
        ),
    ),
    "a trusted proxy by its name": (
        [server(trusted_proxies=["lb.example.com"])],
        {},
        (
            "server 'wcs', trusted_proxies[0]",
            "'lb.example.com' is not an address or a network",
            "such as 192.0.2.7 or 10.0.0.0/8",
        ),
    ),
    "a trusted proxy with an IPv6 zone, after which Python would take anything": (
        [server(trusted_proxies=["fe80::1%x; return 200"])],
        {},
        (
            "server 'wcs', trusted_proxies[0]",
            "'fe80::1%x; return 200' is not an address or a network",
            "such as 192.0.2.7 or 10.0.0.0/8",
        ),
    ),
    "error pages without a folder to find them in": (
        [server(error_pages=[{"codes": [404], "path": "/404.html"}])],
        {},
        ("server 'wcs'", "error_pages are files below root", "set root"),
    ),
    "an error page for no status": (
        [server(root="/srv/www", error_pages=[{"codes": [], "path": "/404.html"}])],
        {},
        ("server 'wcs', error_pages[0]", "codes is empty", "name at least one status such as 404"),
    ),
    "an error page for a success": (
        [server(root="/srv/www", error_pages=[{"codes": [200], "path": "/404.html"}])],
        {},
        ("server 'wcs', error_pages[0]", "code 200 is not a whole number", "from 400 to 599"),
    ),
    "an error page for a client that went away": (
        [server(root="/srv/www", error_pages=[{"codes": [499], "path": "/404.html"}])],
        {},
        ("server 'wcs', error_pages[0]", "499 is a client that went away", "leave it out"),
    ),
    "one status with two error pages": (
        [
            server(
                root="/srv/www",
                error_pages=[{"codes": [404], "path": "/a.html"}, {"codes": [500, 404], "path": "/b.html"}],
            )
        ],
        {},
        ("server 'wcs'", "error_pages names 404 twice", "each status has one page"),
    ),
    "a server with nothing on it": (
        [server(locations=[])],
        {},
        ("server 'wcs'", "locations is empty", "name at least one path with its upstream"),
    ),
    "a server name with a hole": (
        [server(server_names=["wcs.example.com", "wcs..example.com"])],
        {},
        ("server 'wcs'", "server name 'wcs..example.com' is not", "a host name"),
    ),
    "a server name with a star in the middle": (
        [server(server_names=["wcs.example.com", "wcs.*.com"])],
        {},
        ("server 'wcs'", "server name 'wcs.*.com' is not", "'*.' and a host name"),
    ),
    "a server without a name": (
        [server(name=None)],
        {},
        ("wss_proxy, wss_proxy_servers[0]", "name '' is not", "a name of letters, digits"),
    ),
    "basic auth without a password file": (
        [server(location(auth="token"), auth="basic")],
        {},
        (
            "server 'wcs'",
            "basic authentication needs a password file",
            "set htpasswd_file (htpasswd_files has 0 to choose from)",
        ),
    ),
    "a server's auth that is a location's": (
        [server(auth="token")],
        {},
        ("server 'wcs'", "auth 'token' is none of", "none, basic"),
    ),
    "client certificates where nothing is encrypted": (
        [
            server(
                location(origins=["https://a.example"]),
                listen=[{"port": 8080, "tls": False}],
                client_certificates=CLIENTS,
            )
        ],
        {},
        ("server 'wcs', client_certificates", "client certificates need", "a listener with TLS"),
    ),
    "client certificates of no authority": (
        [server(client_certificates={"required": "yes"})],
        {},
        ("server 'wcs', client_certificates", "ca_path '' is not", "the absolute path of the authority's certificate"),
    ),
    "a subject in a header that the gate sets": (
        [server(client_certificates={**CLIENTS, "subject_header": "X-Real-IP"})],
        {},
        (
            "server 'wcs', client_certificates",
            "subject_header 'X-Real-IP' is a header that the gate or the handshake itself sets",
            "name another",
        ),
    ),
    "clients of two authorities on one address": (
        [
            server(client_certificates=CLIENTS),
            other_server(client_certificates={**CLIENTS, "ca_path": "/etc/ssl/others.pem"}),
        ],
        {},
        (
            "server 'other', client_certificates",
            "ca_path differs from that of server 'wcs' on 443,",
            "give both the same ca_path, crl_path and depth",
        ),
    ),
    "one of two servers of an address that knows of no revocation": (
        [
            server(client_certificates=CLIENTS),
            other_server(client_certificates={**CLIENTS, "crl_path": "/etc/ssl/clients.crl"}),
        ],
        {},
        (
            "server 'other', client_certificates",
            "crl_path differs from that of server 'wcs' on 443,",
            "or one of them another port or address",
        ),
    ),
    "longer chains in one of two servers of an address, far apart in the list": (
        [
            server(client_certificates={**CLIENTS, "required": False}),
            other_server(name="between", server_names=["between.example.com"]),
            other_server(client_certificates={**CLIENTS, "depth": 2}),
        ],
        {},
        (
            "server 'other', client_certificates",
            "depth differs from that of server 'wcs' on 443,",
            "give both the same",
        ),
    ),
    "clients of two authorities on the second address of a server": (
        [
            server(client_certificates=CLIENTS),
            other_server(
                listen=[{"port": 8443}, {"port": 443, "address": "0.0.0.0"}],
                client_certificates={"ca_path": "/etc/ssl/others.pem", "crl_path": "/etc/ssl/others.crl"},
            ),
        ],
        {},
        (
            "server 'other', client_certificates",
            "ca_path, crl_path differs from that of server 'wcs' on 443,",
            "give both the same",
        ),
    ),
    "a body size that is none": (
        [server(client_max_body_size="much")],
        {},
        ("server 'wcs'", "client_max_body_size 'much' is not", "a size such as 500m"),
    ),
    "messages of no known size": (
        [server(location(messages="huge"))],
        {},
        ("server 'wcs', locations[0]", "messages 'huge' is none of", "small, mixed, large"),
    ),
    "messages and a size of their buffer": (
        [server(location(messages="large", message_buffer_size=4096))],
        {},
        ("server 'wcs', locations[0]", "messages and message_buffer_size both say", "give one of them"),
    ),
    "an option that is misspelt": (
        [server(server_name=["wcs.example.com"])],
        {},
        ("wss_proxy, wss_proxy_servers[0]", "there is no option 'server_name' here", "'server_names' is one"),
    ),
    "an option that is like none": (
        [server(listen=[{"port": 443, "quic": True}])],
        {},
        ("server 'wcs', listen[0]", "there is no option 'quic' here", "there are port, address, unix"),
    ),
    "a lone text where a list is wanted": (
        [server(location(origins=["https://a.example"]), server_names="wcs.example.com")],
        {},
        ("server 'wcs'", "server_names 'wcs.example.com' is not a list", "put it in [ ]"),
    ),
    "a server that is a text": (
        ["wcs"],  # type: ignore[list-item]
        {},
        ("wss_proxy, wss_proxy_servers[0]", "'wcs' is not a set of options", "write 'option: value'"),
    ),
    "raw directives that are a list": (
        [server(extra_directives=["gzip off;"])],
        {},
        ("server 'wcs'", "extra_directives is not text", "write it as one block"),
    ),
    "a static root beside a location that wants every path": (
        [server(location(path="/"), root="/srv/www")],
        {},
        ("server 'wcs'", "a location / and a static root both want every other path", "keep one of them"),
    ),
    # -- locations
    "a path without its slash": (
        [server(location(path="wss"))],
        {},
        ("server 'wcs', locations[0]", "path 'wss' is not", "a path that starts with /"),
    ),
    "no path": (
        [server({"upstream": "http://127.0.0.1:8080"})],
        {},
        ("server 'wcs', locations[0]", "path '' is not", "a path that starts with /"),
    ),
    "one path in two locations": (
        [server(location(), location())],
        {},
        ("server 'wcs'", "path '/wss' is used twice", "needs its own"),
    ),
    "a location on the connection check's path": (
        [server(connection_check_path="/wss")],
        {},
        ("server 'wcs'", "path '/wss' is used twice", "needs its own"),
    ),
    "a connection check that is a folder": (
        [server(connection_check_path="/check/")],
        {},
        ("server 'wcs'", "connection_check_path '/check/' ends with /", "leave the / out"),
    ),
    "a connection check that is not encrypted": (
        [
            server(
                location(origins=["https://a.example"]),
                listen=[{"port": 8080, "tls": False}],
                connection_check_path="/check",
            )
        ],
        {},
        (
            "server 'wcs'",
            "connection_check_path needs a listener with TLS",
            "no browser keeps a Secure cookie of a plain page",
        ),
    ),
    "a connection check that may connect nowhere": (
        [server(location(origins=["https://a.example"]), connection_check_path="/check")],
        {},
        (
            "server 'wcs'",
            "no location lets pages of this server connect",
            "add https://wcs.example.com to the origins of one",
        ),
    ),
    "a path among the gate's own": (
        [server(location(path="/.wssgate/token/AUTH"))],
        {},
        ("server 'wcs'", "path '/.wssgate/token/AUTH' is among the gate's own", "choose another"),
    ),
    "an origin with a path": (
        [server(location(origins=["https://app.example.com", "https://app.example.com/"]))],
        {},
        (
            "server 'wcs', locations[0], origins[1]",
            "'https://app.example.com/' is not scheme://host[:port]",
            "with nothing after it",
        ),
    ),
    "an origin without a scheme": (
        [server(location(origins=["app.example.com"]))],
        {},
        (
            "server 'wcs', locations[0], origins[0]",
            "'app.example.com' is not scheme://host[:port]",
            "such as https://app.example.com",
        ),
    ),
    **{
        f"the origin {origin}, with a wildcard in another place": (
            [server(location(origins=[origin]))],
            {},
            (
                "server 'wcs', locations[0], origins[0]",
                f"'{origin}' is not scheme://host[:port]",
                "* stands only for whole labels in front of a domain, such as https://*.example.com",
            ),
        )
        for origin in (
            "*",
            "https://*",
            "https://*:8443",
            "*://app.example.com",
            "https://app*.example.com",
            "https://*app.example.com",
            "https://app.*.example.com",
            "https://*.*.example.com",
            "https://app.example.*",
            "https://*.example.com:*",
            "https://*.example.com/",
            "https://*.",
            "https://**.example.com",
            "https://*.[2001:db8::1]",
        )
    },
    **{
        f"the origin {origin}, with a wildcard for domains of everybody": (
            [server(location(origins=[origin]))],
            {},
            (
                "server 'wcs', locations[0], origins[0]",
                f"'{origin}' would let in everybody's pages",
                "list the origins themselves",
            ),
        )
        for origin in ("https://*.com", "https://*.localhost:8443", "http://*.0.0.1", "https://*.168.192.in-addr.7")
    },
    "an origin with a wildcard and a scheme of its own": (
        [server(location(origins=["moz-extension://*.example.com"]))],
        {},
        (
            "server 'wcs', locations[0], origins[0]",
            "'moz-extension://*.example.com' has a scheme whose hosts have no domains",
            "list the origins themselves",
        ),
    ),
    "the origin null, which every sandboxed page has": (
        [server(location(origins=["null"]))],
        {},
        (
            "server 'wcs', locations[0], origins[0]",
            "'null' is not scheme://host[:port]",
            "such as https://app.example.com",
        ),
    ),
    "an origin in brackets that are around no address": (
        [server(location(origins=["https://[::1::2]"]))],
        {},
        (
            "server 'wcs', locations[0], origins[0]",
            "'https://[::1::2]' is not scheme://host[:port]",
            "such as https://app.example.com",
        ),
    ),
    "an origin with a port beyond the last": (
        [server(location(origins=["https://app.example.com:65536"]))],
        {},
        ("server 'wcs', locations[0], origins[0]", "port '65536' is not a whole number", "from 1 to 65535"),
    ),
    "no origins where none can be derived from the names": (
        [server(server_names=["_", "*.example.com"])],
        {},
        (
            "server 'wcs', locations[0]",
            "origins is empty, and the server has no plain name and https port",
            "list the origins",
        ),
    ),
    "no origins where nothing is served over https": (
        [server(listen=[{"port": 8080, "tls": False}])],
        {},
        (
            "server 'wcs', locations[0]",
            "origins is empty, and the server has no plain name and https port",
            "list the origins",
        ),
    ),
    "an upstream that is neither a URL nor a name": (
        [server(location(upstream="backend"))],
        LOADED,
        (
            "server 'wcs', locations[0]",
            "upstream 'backend' is neither a URL such as http://127.0.0.1:8080",
            "nor a name from wss_proxy_upstreams (there: app)",
        ),
    ),
    "no upstream": (
        [server({"path": "/wss"})],
        {},
        (
            "server 'wcs', locations[0]",
            "upstream is missing: a URL such as http://127.0.0.1:8080",
            "or a name from wss_proxy_upstreams (there: none)",
        ),
    ),
    "an upstream of a scheme that nginx does not speak": (
        [server(location(upstream="ftp://127.0.0.1:21"))],
        {},
        ("server 'wcs', locations[0]", "upstream 'ftp://127.0.0.1:21' is neither", "http://127.0.0.1:8080"),
    ),
    "an upstream in brackets that are around no address": (
        [server(location(upstream="http://[::1::2]:80"))],
        {},
        ("server 'wcs', locations[0]", "upstream 'http://[::1::2]:80' is neither", "http://127.0.0.1:8080"),
    ),
    "an upstream's password, which is not repeated": (
        [server(location(upstream="http://user:secret@127.0.0.1:8080"))],
        {},
        ("server 'wcs', locations[0]", "upstream 'http://…@127.0.0.1:8080' is neither", "http://127.0.0.1:8080"),
    ),
    "an upstream's port beyond the last": (
        [server(location(upstream="http://127.0.0.1:65536"))],
        {},
        ("server 'wcs', locations[0]", "upstream port '65536' is not a whole number", "from 1 to 65535"),
    ),
    "an upstream's unix path that is too long": (
        [server(location(upstream=f"http://unix:{LONG_PATH}"))],
        {},
        ("server 'wcs', locations[0]", "the unix socket's path is 108 bytes long", "the system takes 107 at most"),
    ),
    "a URL made of an upstream's name": (
        [server(location(upstream="http://App"))],
        LOADED,
        (
            "server 'wcs', locations[0]",
            "upstream 'http://App' has the name of one in wss_proxy_upstreams for its host",
            "write upstream: App",
        ),
    ),
    "a URL made of an upstream's name in another case": (
        [server(location(upstream="ws://app:8080"))],
        {"upstreams": [upstream(name="App")]},
        (
            "server 'wcs', locations[0]",
            "upstream 'ws://app:8080' has the name of one in wss_proxy_upstreams for its host",
            "write upstream: app",
        ),
    ),
    "a folder that would be cut in the middle of a name": (
        [server(location(path="/app/", upstream="http://127.0.0.1:8080/x"))],
        {},
        ("server 'wcs', locations[0]", "path '/app/' ends with /", "so the upstream's path '/x' must, too"),
    ),
    "TLS options of an upstream that is not encrypted": (
        [server(location(upstream_verify_enabled=True))],
        {},
        (
            "server 'wcs', locations[0]",
            "upstream_verify_enabled goes with an https or wss upstream",
            "this one is not encrypted",
        ),
    ),
    "TLS options beside an upstream's name": (
        [server(location(upstream="app", upstream_ca_path="/etc/ssl/ca.pem"))],
        LOADED,
        (
            "server 'wcs', locations[0]",
            "upstream_ca_path has no effect on an upstream from wss_proxy_upstreams",
            "set it there, without 'upstream_'",
        ),
    ),
    "verification of an address, which nginx never lets pass": (
        [server(location(upstream="https://192.0.2.1"))],
        {},
        (
            "server 'wcs', locations[0]",
            "an upstream's certificate is checked against a host name, and there is none",
            "set upstream_tls_name, or upstream_verify_enabled: false",
        ),
    ),
    "verification of a unix socket without a name": (
        [server(location(upstream="https://unix:/run/app.sock", upstream_verify_enabled=True))],
        {},
        (
            "server 'wcs', locations[0]",
            "an upstream's certificate is checked against a host name, and there is none",
            "set upstream_tls_name",
        ),
    ),
    "verification against an address for a name": (
        [server(location(upstream="https://192.0.2.1", upstream_tls_name="192.0.2.1"))],
        {},
        (
            "server 'wcs', locations[0]",
            "an upstream's certificate is checked against a host name, and there is none",
            "set upstream_tls_name",
        ),
    ),
    "an auth kind that is none": (
        [server(location(auth="magic"))],
        {},
        (
            "server 'wcs', locations[0]",
            "auth 'magic' is none of",
            "token, basic, token_or_basic, token_and_basic, jwt, jwt_or_basic, jwt_and_basic, external, none",
        ),
    ),
    "auth external without its URL": (
        [server(location(auth="external"))],
        {},
        (
            "server 'wcs', locations[0]",
            "auth external needs external_auth_url, the http(s) URL of the service that decides",
            "('' is none)",
        ),
    ),
    "auth external over a WebSocket": (
        [server(location(auth="external", external_auth_url="ws://127.0.0.1:9000"))],
        {},
        (
            "server 'wcs', locations[0]",
            "auth external needs external_auth_url, the http(s) URL",
            "('ws://127.0.0.1:9000' is none)",
        ),
    ),
    "auth external over a unix socket": (
        [server(location(auth="external", external_auth_url="http://unix:/run/auth.sock"))],
        {},
        (
            "server 'wcs', locations[0]",
            "auth external needs external_auth_url, the http(s) URL",
            "('http://unix:/run/auth.sock' is none)",
        ),
    ),
    "auth external at a port beyond the last": (
        [server(location(auth="external", external_auth_url="http://127.0.0.1:65536"))],
        {},
        ("server 'wcs', locations[0]", "external_auth_url port '65536' is not a whole number", "from 1 to 65535"),
    ),
    "auth external at an https address, which nginx never lets pass": (
        [server(location(auth="external", external_auth_url="https://192.0.2.1/check"))],
        {},
        ("server 'wcs', locations[0]", "external_auth_url is https at an address", "name the host"),
    ),
    "an auth service that nobody asks": (
        [server(location(auth="token", external_auth_url="http://127.0.0.1:9000"))],
        {},
        ("server 'wcs', locations[0]", "external_auth_url goes with auth: external", "not with token"),
    ),
    **{
        f"auth {kind} without a token store": (
            [server(location(auth=kind))],
            {"token_store_path": "", **BASIC},
            ("server 'wcs', locations[0]", f"auth {kind} needs a token store", "set token_store_path"),
        )
        for kind in ("token", "token_or_basic", "token_and_basic")
    },
    **{
        f"auth {kind} with several password files to choose from": (
            [server(location(auth=kind))],
            {"htpasswd_files": [{"path": "/etc/nginx/a"}, {"path": "/etc/nginx/b"}]},
            (
                "server 'wcs', locations[0]",
                "basic authentication needs a password file",
                "set htpasswd_file (htpasswd_files has 2 to choose from)",
            ),
        )
        for kind in ("basic", "token_or_basic", "token_and_basic")
    },
    "a server's realm that asks for no password": (
        [server(location(auth="token"), realm="off")],
        {},
        ("server 'wcs'", "realm 'off' would have nginx ask for no password", "choose another word"),
    ),
    "a realm that asks for no password": (
        [server(location(auth="basic", realm="off", htpasswd_file="/etc/nginx/.htpasswd"))],
        {},
        ("server 'wcs', locations[0]", "realm 'off' would have nginx ask for no password", "choose another word"),
    ),
    "a limit per token without tokens": (
        [server(location(auth="none", max_sessions_per_token=2))],
        {},
        ("server 'wcs', locations[0]", "max_sessions_per_token goes with a token", "auth is none"),
    ),
    "a lifetime without a session log": (
        [server(location(max_session_lifetime=3600))],
        {"session_log_path": ""},
        ("server 'wcs', locations[0]", "max_session_lifetime needs the session log", "set token_store_session_log"),
    ),
    "sessions listed without a session log": (
        [server(location(auth="none", session_listed=True))],
        {"session_log_path": ""},
        ("server 'wcs', locations[0]", "session_listed needs the session log", "set token_store_session_log"),
    ),
    "a lifetime of no whole number": (
        [server(location(max_session_lifetime="1h"))],
        {"session_log_path": "/var/log/s.log"},
        ("server 'wcs', locations[0]", "max_session_lifetime '1h' is not a whole number", "from 0 to 10000000"),
    ),
    "a spread of more than half": (
        [server(location(max_session_lifetime=3600, max_session_lifetime_spread=51))],
        {"session_log_path": "/var/log/s.log"},
        ("server 'wcs', locations[0]", "max_session_lifetime_spread 51 is not a whole number", "from 0 to 50"),
    ),
    "a limit below nothing": (
        [server(location(max_attempts_per_second=-1))],
        {},
        ("server 'wcs', locations[0]", "max_attempts_per_second -1 is not a whole number", "from 0 to"),
    ),
    "a time that is not whole": (
        [server(location(idle_timeout=7.5))],
        {},
        ("server 'wcs', locations[0]", "idle_timeout 7.5 is not a whole number", "from 1 to"),
    ),
    "a time with a unit": (
        [server(location(connect_timeout="5s"))],
        {},
        ("server 'wcs', locations[0]", "connect_timeout '5s' is not a whole number", "from 1 to 75"),
    ),
    "a truth for a number": (
        [server(location(connect_timeout=True))],
        {},
        ("server 'wcs', locations[0]", "connect_timeout True is not a whole number", "from 1 to 75"),
    ),
    "a method that is none of http's": (
        [server(location(http={"methods": ["GET", "TRACE"]}))],
        {},
        ("server 'wcs', locations[0], http", "methods 'TRACE' is none of", "GET, HEAD"),
    ),
    "a method in small letters": (
        [server(location(http={"methods": ["get"]}))],
        {},
        ("server 'wcs', locations[0], http", "methods 'get' is none of", "GET, HEAD"),
    ),
    "http without a method": (
        [server(location(http={"methods": []}))],
        {},
        ("server 'wcs', locations[0], http", "methods is empty", "http: false"),
    ),
    "a page to try tokens where none can come from a page": (
        [
            server(
                location(sources=["bearer"], origins=["https://a.example"]),
                server_names=["*.example.com"],
                connection_check_path="/check",
            )
        ],
        {},
        ("server 'wcs'", "no location lets pages of this server connect", "add cookie to the sources of one"),
    ),
    "methods of http that are no list": (
        [server(location(http={"methods": "GET"}))],
        {},
        ("server 'wcs', locations[0], http", "methods 'GET' is not a list", "put it in [ ]"),
    ),
    "sources that are no list": (
        [server(location(sources="bearer"))],
        {},
        ("server 'wcs', locations[0]", "sources 'bearer' is not a list", "put it in [ ]"),
    ),
    "http that is neither a flag nor options": (
        [server(location(http="GET"))],
        {},
        ("server 'wcs', locations[0]", "http 'GET' is neither", "true nor false"),
    ),
    "an option that http has not": (
        [server(location(http={"method": ["GET"]}))],
        {},
        ("server 'wcs', locations[0], http", "there is no option 'method'", "'methods' is one"),
    ),
    "a source of tokens that is none": (
        [server(location(sources=["query"]))],
        {},
        ("server 'wcs', locations[0]", "sources 'query' is none of", "cookie, bearer"),
    ),
    "the only source of tokens not in a list": (
        [server(location(sources="bearer"))],
        {},
        ("server 'wcs', locations[0]", "sources 'bearer' is not a list", "put it in [ ]"),
    ),
    "a source of tokens without tokens": (
        [server(location(auth="none", sources=["bearer"]))],
        {},
        ("server 'wcs', locations[0]", "sources goes with a token", "auth is none"),
    ),
    "a password and a token in one header": (
        [server(location(auth="token_and_basic", sources=["cookie", "bearer"], htpasswd_file="/etc/nginx/.htpasswd"))],
        {},
        ("server 'wcs', locations[0]", "takes the password from Authorization", "set sources: [cookie]"),
    ),
    "a flag that is neither true nor false": (
        [server(location(forward_credentials="maybe"))],
        {},
        ("server 'wcs', locations[0]", "forward_credentials 'maybe' is neither", "true nor false"),
    ),
    "a client certificate without an authority on the server": (
        [server(location(client_certificate_required=True))],
        {},
        ("server 'wcs', locations[0]", "client_certificate_required needs client_certificates", "on the server"),
    ),
    "a location's way around the server's client certificates": (
        [server(location(client_certificate_required=False), client_certificates=CLIENTS)],
        {},
        (
            "server 'wcs', locations[0]",
            "the server asks every path for a client certificate",
            "set client_certificates.required: false there",
        ),
    ),
    "a header's name that is too long for nginx": (
        [server(location(client_ip_header="X" * 47))],
        {},
        ("server 'wcs', locations[0]", f"client_ip_header '{'X' * 47}' is not", "a header's name"),
    ),
    "the client's address in a header that the gate clears": (
        [server(location(client_ip_header="Forwarded"))],
        {},
        (
            "server 'wcs', locations[0]",
            "client_ip_header 'Forwarded' is a header that the gate or the handshake itself sets",
            "name another",
        ),
    ),
    "the client's address in a header that the gate sets": (
        [server(location(client_ip_header="x-forwarded-for"))],
        {},
        (
            "server 'wcs', locations[0]",
            "client_ip_header 'x-forwarded-for' is a header that the gate or the handshake itself sets",
            "name another",
        ),
    ),
    "the client's address and subject in one header": (
        [server(location(client_ip_header="x-client-SUBJECT"), client_certificates=CLIENTS)],
        {},
        (
            "server 'wcs', locations[0]",
            "client_ip_header and the server's subject_header are the same",
            "name two headers",
        ),
    ),
    "a cookie name too long for nginx": (
        [server(location(cookie_name="A" * 65))],
        {},
        ("server 'wcs', locations[0]", f"cookie_name '{'A' * 65}' is not", "1 to 64 letters"),
    ),
    # -- upstreams
    "one upstream name used twice": (
        [server()],
        {"upstreams": [upstream(), upstream()]},
        ("upstream 'app'", "this name is used twice in wss_proxy_upstreams", "give each upstream its own"),
    ),
    "one upstream name used twice but for its case, which nginx ignores": (
        [server()],
        {"upstreams": [upstream(), upstream(name="APP")]},
        ("upstream 'APP'", "this name is used twice in wss_proxy_upstreams", "give each upstream its own"),
    ),
    "one upstream name used twice, first in capitals": (
        [server()],
        {"upstreams": [upstream(name="APP"), upstream()]},
        ("upstream 'app'", "this name is used twice in wss_proxy_upstreams", "give each upstream its own"),
    ),
    "a balancing method that nginx lacks": (
        [server()],
        {"upstreams": [upstream(balancing="fastest")]},
        ("upstream 'app'", "balancing 'fastest' is none of", "round_robin, least_conn, ip_hash, random, hash"),
    ),
    "an upstream without servers": (
        [server()],
        {"upstreams": [upstream(servers=[])]},
        ("upstream 'app'", "servers is empty", "name at least one address"),
    ),
    "an upstream of nothing but backups": (
        [server()],
        {"upstreams": [upstream(servers=[{"address": "127.0.0.1:1", "backup": True}])]},
        ("upstream 'app'", "every server is a backup", "at least one must not be"),
    ),
    **{
        f"a backup with balancing {method}": (
            [server()],
            {
                "upstreams": [
                    upstream(balancing=method, servers=["127.0.0.1:1", {"address": "127.0.0.1:2", "backup": True}])
                ]
            },
            ("upstream 'app'", f"nginx has no backup servers with balancing {method}", "use round_robin or least_conn"),
        )
        for method in ("ip_hash", "hash", "random")
    },
    "a hash over no variable": (
        [server()],
        {"upstreams": [upstream(balancing="hash", hash_key="remote_addr")]},
        ("upstream 'app'", "hash_key 'remote_addr' is not", "nginx variables such as '$remote_addr consistent'"),
    ),
    "an upstream's scheme that nginx does not speak": (
        [server()],
        {"upstreams": [upstream(scheme="h2")]},
        ("upstream 'app'", "scheme 'h2' is none of", "ws, wss, http, https"),
    ),
    "an upstream's server without its port": (
        [server()],
        {"upstreams": [upstream(servers=["127.0.0.1"])]},
        ("upstream 'app', servers[0]", "address '127.0.0.1' is neither", "host:port nor unix:/path"),
    ),
    "an upstream's server with a port beyond the last": (
        [server()],
        {"upstreams": [upstream(servers=[{"address": "127.0.0.1:65536"}])]},
        ("upstream 'app', servers[0]", "port '65536' is not a whole number", "from 1 to 65535"),
    ),
    "an upstream's server with a unix path that is too long": (
        [server()],
        {"upstreams": [upstream(servers=[f"unix:{LONG_PATH}"])]},
        ("upstream 'app', servers[0]", "the unix socket's path is 108 bytes long", "the system takes 107 at most"),
    ),
    "an upstream of several https hosts without the name to verify": (
        [server()],
        {"upstreams": [upstream(scheme="wss", servers=["a.example:443", "b.example:443"])]},
        (
            "upstream 'app'",
            "an upstream's certificate is checked against a host name, and there is none",
            "set tls_name, or verify_enabled: false",
        ),
    ),
    "an upstream's TLS options where nothing is encrypted": (
        [server()],
        {"upstreams": [upstream(tls_name="app.example")]},
        ("upstream 'app'", "tls_name goes with an https or wss upstream", "this one is not encrypted"),
    ),
    # -- what is around them
    "a token store whose path is relative": (
        [server()],
        {"token_store_path": "tokens"},
        ("wss_proxy", "token_store_path 'tokens' is not", "an absolute path"),
    ),
    "something else that nobody knows": (
        [server()],
        {"token_store": STORE},
        ("wss_proxy", "there is no option 'token_store' here", "'token_store_path' is one"),
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_gets_one_sentence_that_says_what_where_and_what_to_do(case: t.Any) -> None:
    servers, context, (where, what, to_do) = case
    found = errors(*servers, **context)
    assert len(found) == 1, found
    assert found[0].startswith(f"{where}: ")
    assert what in found[0]
    assert to_do in found[0]
    with pytest.raises(_gate.GateError) as error:
        model(*servers, **context)
    assert str(error.value) == found[0]


@pytest.mark.parametrize("context", ["wcs", ["wcs"], 5])
def test_a_context_that_is_no_mapping_is_refused(context: t.Any) -> None:
    assert _gate.gate_errors([], context) == [
        f"wss_proxy: {context!r} is not a set of options; write 'option: value', one a line"
    ]


def test_client_certificates_that_are_no_mapping_are_refused() -> None:
    found = errors(server(client_certificates="/etc/ssl/clients.pem"))
    assert found[0] == (
        "server 'wcs', client_certificates: '/etc/ssl/clients.pem' is not a set of options; write 'option: "
        "value', one a line"
    )


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = errors(
        server(location(path="wss"), location(auth="magic"), certificate="nope"), upstreams=[upstream(balancing="x")]
    )
    assert len(found) == 4
    with pytest.raises(_gate.GateError) as error:
        model(
            server(location(path="wss"), location(auth="magic"), certificate="nope"),
            upstreams=[upstream(balancing="x")],
        )
    assert str(error.value) == "\n".join(found)


def test_what_is_right_has_no_errors() -> None:
    assert errors(server()) == []
    assert errors() == []
    assert _gate.gate_errors(None) == []


@pytest.mark.parametrize(
    ("servers", "context"),
    [
        ([server(), other_server()], {}),
        ([server(), other_server(server_names=["wcs.example.com"], listen=[{"port": 8443}])], {}),
        (
            [
                server(listen=[{"port": 443, "address": "192.0.2.1"}]),
                other_server(listen=[{"port": 443, "proxy_protocol": True}], trusted_proxies=["10.0.0.1"]),
            ],
            {},
        ),
        ([server(location(origins=["https://a.example"]), listen=[{"unix": LONGEST_PATH}])], {}),
        ([server(location(upstream=f"http://unix:{LONGEST_PATH}"))], {}),
        ([server(trusted_proxies=["10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix:"])], {}),
        ([server(location(path="/app"), location(path="/app/"), location(path="/"))], {}),
        ([server(locations=[], root="/srv/www")], {}),
        (
            [
                server(
                    location(
                        origins=["http://localhost:3000", "chrome-extension://abcdef", "https://[2001:db8::1]:8443"]
                    )
                )
            ],
            {},
        ),
        ([server(location(path="/app/", upstream="http://127.0.0.1:8080/"))], {}),
        ([server(location(path="/wss", upstream="http://127.0.0.1:8080/"))], {}),
        ([server(http_redirect_enabled=False, listen=[{"port": 443}, {"port": 80, "tls": False}])], {}),
        ([server(http_redirect_port=8080, listen=[{"port": 443}, {"port": 80, "tls": False}])], {}),
        ([server(location(path="/.wssgateway"))], {}),
        ([server(location(client_ip_header="X" * 46))], {}),
        (
            [
                server(
                    root="/srv/www",
                    error_pages=[{"codes": [404], "path": "/e.html"}, {"codes": [500, 502], "path": "/e.html"}],
                )
            ],
            {},
        ),
    ],
)
def test_what_only_looks_like_a_clash_is_taken(servers: t.List[Options], context: Options) -> None:
    assert errors(*servers, **context) == []


# -- nothing can be smuggled in --------------------------------------------------------------------------------------

# A value for each option that nginx could make sense of, so that only the addition is at fault.
SANE: t.Dict[str, t.Dict[str, t.Any]] = {
    "server": {
        "name": "wcs",
        "server_names": ["wcs.example.com"],
        "listen": [{"port": 443}],
        "certificate": ["wcs"],
        "locations": [],
        "http_redirect_enabled": True,
        "http_redirect_port": 80,
        "auth": "none",
        "htpasswd_file": "/etc/nginx/.htpasswd",
        "realm": "Restricted",
        "root": "/srv/www",
        "index": ["index.html"],
        "error_pages": [],
        "trusted_proxies": ["10.0.0.1"],
        "refuse_untrusted_proxies": False,
        "real_ip_header": "X-Forwarded-For",
        "allow_from": ["192.0.2.1"],
        "deny_from": ["2001:db8::/32"],
        "hsts_max_age": 5,
        "http2_enabled": True,
        "client_max_body_size": "500m",
        "client_certificates": {},
        "connection_check_path": "/check",
    },
    "location": {
        "path": "/wss",
        "upstream": "https://app.example",
        "auth": "token",
        "cookie_name": "AUTH",
        "sources": ["cookie", "bearer"],
        "issuers": [],
        "origins": ["https://app.example.com"],
        "allow_missing_origin": True,
        "allow_from": ["192.0.2.1"],
        "deny_from": ["2001:db8::/32"],
        "http": True,
        "htpasswd_file": "/etc/nginx/.htpasswd",
        "realm": "Restricted",
        "external_auth_url": "http://127.0.0.1:9000/check",
        "idle_timeout": 75,
        "connect_timeout": 5,
        "messages": "",
        "message_buffer_size": 4096,
        "max_attempts_per_second": 1,
        "max_sessions_per_address": 1,
        "max_sessions_per_token": 1,
        "max_session_lifetime": 3600,
        "max_session_lifetime_spread": 10,
        "session_listed": True,
        "client_ip_header": "X-Client-IP",
        "forward_credentials": True,
        "upstream_host": "app.example:8443",
        "upstream_headers": [],
        "upstream_verify_enabled": True,
        "upstream_ca_path": "/etc/ssl/ca.pem",
        "upstream_tls_name": "app.example",
        "client_certificate_required": True,
    },
    "upstream_header": {"name": "X-Api-Key"},
    "listen": {
        "port": 443,
        "address": "fe80::1",
        "unix": "/run/gate.sock",
        "unix_group": "haproxy",
        "unix_mode": "0660",
        "tls": True,
        "proxy_protocol": True,
        "default_server": True,
    },
    "client_certificates": {
        "ca_path": "/etc/ssl/ca.pem",
        "crl_path": "/etc/ssl/crl.pem",
        "required": True,
        "subject_header": "X-Client-Subject",
        "depth": 1,
    },
    "error_page": {"codes": [404], "path": "/404.html"},
    "upstream": {
        "name": "app",
        "scheme": "wss",
        "servers": ["127.0.0.1:8080"],
        "balancing": "hash",
        "hash_key": "$remote_addr consistent",
        "verify_enabled": True,
        "ca_path": "/etc/ssl/ca.pem",
        "tls_name": "app.example",
    },
    "peer": {"address": "127.0.0.1:8080", "weight": 1, "max_fails": 1, "fail_timeout": 1, "backup": True, "down": True},
    "certificate": {"certificate_path": "/etc/ssl/a.pem", "key_path": "/etc/ssl/a.key"},
    "htpasswd": {"path": "/etc/nginx/.htpasswd"},
    "context": {
        "upstreams": [],
        "issuers": [],
        "revocations_path": "/var/lib/nginx/revoked",
        "jwt_socket_path": "/var/lib/nginx/wssgate/jwt.sock",
        "balancers": ["10.0.0.1"],
        "certificates": [],
        "certificates_directory": "/etc/nginx/certificates",
        "token_store_path": STORE,
        "ipv6": True,
        "ca_bundle_path": "/etc/ssl/ca.pem",
        "http_redirect_enabled": True,
        "http_redirect_port": 80,
        "access_log_path": "/var/log/a.log",
        "session_log_path": "/var/log/s.log",
        "acme_webroot": "/var/www",
        "drain_path": "/etc/nginx/wssgate.drain",
        "hub_marker_path": "/run/wssgate-hub/caught-up",
        "drain_retry_after": 10,
        "buffer_size": 4096,
        "tls_tickets": 1,
        "tls_profile": "modern",
        "nginx_directory": "/etc/nginx",
    },
}
SCHEMAS = {
    "server": _gate_options.SERVER_DEFAULTS,
    "location": _gate_options.LOCATION_DEFAULTS,
    "upstream_header": _gate_options.UPSTREAM_HEADER_DEFAULTS,
    "listen": _gate_options.LISTEN_DEFAULTS,
    "client_certificates": _gate_options.CLIENT_CERTIFICATES_DEFAULTS,
    "error_page": _gate_options.ERROR_PAGE_DEFAULTS,
    "upstream": _gate_options.UPSTREAM_DEFAULTS,
    "peer": _gate_options.PEER_DEFAULTS,
    "context": _gate_options.CONTEXT_DEFAULTS,
}
# Raw by intent; a version, of which only the numbers are looked at; files of another role, of which only the paths are
# taken (tried as "htpasswd").
NOT_CHECKED = {
    ("server", "extra_directives"),
    ("location", "extra_directives"),
    # Any visible character, quoted: test_a_value_is_written_as_nginx_reads_it.
    ("upstream_header", "value"),
    ("context", "nginx_version"),
    ("context", "openssl_version"),
    ("context", "htpasswd_files"),
    # test_gate_metrics.py
    ("context", "metrics"),
    # Public keys, and whether there is a module: test_gate_issuers.py.
    ("context", "key_files"),
    ("context", "javascript_module"),
}
SMUGGLERS = [
    ";",
    "; return 200",
    "{",
    "}",
    "\n",
    "\r\n",
    "\0",
    '"',
    "'",
    "$",
    "$cookie_AUTH",
    "\\",
    "#",
    " #",
    "\t",
    "%;",
    "`",
    "<",
    "|",
    "*",
    "\u2028",
    "é",
]
FIELDS = [(kind, key) for kind, options in SANE.items() for key in options]


def placed(kind: str, key: str, value: t.Any) -> t.Tuple[Options, Options]:
    """A gate in which everything of that kind is sane, and one option has that value."""
    options = {**({"name": "x"} if kind == "certificate" else {}), key: value}
    if kind == "context":
        return server(), {**options}
    if kind == "server":
        return server(**options), {}
    if kind == "location":
        needs_log = key in ("max_session_lifetime", "session_listed") and value not in (0, False)
        return server(location(**options)), {"session_log_path": "/var/log/s.log"} if needs_log else {}
    if kind == "upstream_header":
        return server(location(upstream_headers=[{"value": "v", **options}])), {}
    if kind == "listen":
        return server(listen=[{**({} if key == "unix" else {"port": 443}), **options}]), {}
    if kind == "client_certificates":
        return server(client_certificates={"ca_path": "/etc/ssl/ca.pem", **options}), {}
    if kind == "error_page":
        return server(root="/srv/www", error_pages=[{"codes": [404], "path": "/404.html", **options}]), {}
    if kind == "upstream":
        return server(), {"upstreams": [upstream(**options)]}
    if kind == "peer":
        return server(), {"upstreams": [upstream(servers=[{"address": "127.0.0.1:8080", **options}])]}
    if kind == "certificate":
        return server(certificate="x"), {"certificates": [options]}
    return server(auth="basic"), {"htpasswd_files": [options]}


def test_every_option_there_is_gets_tried() -> None:
    tried = set(FIELDS) | NOT_CHECKED
    assert {(kind, key) for kind, options in SCHEMAS.items() for key in options} <= tried


@pytest.mark.parametrize(("kind", "key"), FIELDS, ids=lambda value: str(value))
def test_no_option_takes_what_could_end_its_directive(kind: str, key: str) -> None:
    sane = SANE[kind][key]
    is_list = isinstance(sane, list)
    text = str(sane[0]) if is_list and sane else str(sane or "")
    text = "" if text.startswith("{") else text
    for smuggler in SMUGGLERS:
        if (key, smuggler) == ("hash_key", "$"):
            continue  # another variable, which is what it takes
        for poison in (f"{text}{smuggler}", f"{smuggler}{text}", f"{text[:2]}{smuggler}{text[2:]}"):
            item, context = placed(kind, key, [poison] if is_list else poison)
            assert errors(item, **context), (kind, key, poison)


BOUNDS = [
    ("listen", "port", 1, 65535),
    ("server", "http_redirect_port", 1, 65535),
    ("server", "hsts_max_age", 0, 10**9),
    ("client_certificates", "depth", 1, 10),
    ("location", "idle_timeout", 1, 10**7),
    ("location", "connect_timeout", 1, 75),
    ("location", "message_buffer_size", 1024, 1048576),
    ("location", "max_attempts_per_second", 0, 10**6),
    ("location", "max_sessions_per_address", 0, 65535),
    ("location", "max_sessions_per_token", 0, 65535),
    ("location", "max_session_lifetime", 0, 10**7),
    ("location", "max_session_lifetime_spread", 0, 50),
    ("peer", "weight", 1, 65535),
    ("peer", "max_fails", 0, 65535),
    ("peer", "fail_timeout", 1, 86400),
    ("context", "http_redirect_port", 1, 65535),
    ("context", "drain_retry_after", 1, 86400),
    ("context", "buffer_size", 1024, 1048576),
    ("context", "tls_tickets", 0, 10),
]


@pytest.mark.parametrize(("kind", "key", "low", "high"), BOUNDS)
def test_numbers_have_bounds(kind: str, key: str, low: int, high: int) -> None:
    for value in (low, high):
        item, context = placed(kind, key, value)
        assert errors(item, **context) == []
    for value in (low - 1, high + 1):
        item, context = placed(kind, key, value)
        assert any(
            f"{key} {value} is not a whole number from {low} to {high}" in line for line in errors(item, **context)
        )


def test_a_hash_takes_variables_and_nothing_else() -> None:
    for key in ("$remote_addr", "$remote_addr consistent", "$host$request_uri consistent"):
        assert errors(server(), upstreams=[upstream(balancing="hash", hash_key=key)]) == []
    for key in (
        "",
        "$",
        "$remote_addr;",
        "$remote_addr other",
        "$remote_addr consistent;",
        "${remote_addr}",
        "$remote_addr\nconsistent",
    ):
        assert errors(server(), upstreams=[upstream(balancing="hash", hash_key=key)])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
# Text that is often sane, and often sane but for one thing.
TEXT = st.one_of(
    st.sampled_from(sorted({v for options in SANE.values() for v in options.values() if isinstance(v, str)})),
    st.text(alphabet="/a.:-_1[]", max_size=12),
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(["/", "a", "https://", "unix:", "1", ":", ".", ";", "}", "$", "\n", " ", '"', "%"]),
            max_size=8,
        ),
    ),
)
VALUE = st.one_of(TEXT, st.integers(-1, 70000), st.booleans(), st.lists(TEXT, max_size=2), ANYTHING)


def some(kind: str, base: Options) -> st.SearchStrategy[Options]:
    keys = sorted(
        set(SCHEMAS[kind])
        - {"locations", "listen", "client_certificates", "upstream_headers", "error_pages", "upstreams", "servers"}
        - set(base)
    )
    return st.dictionaries(st.sampled_from(keys), VALUE, max_size=3).map(lambda changes: {**base, **changes})


@settings(max_examples=300, deadline=None)
@given(ANYTHING, ANYTHING)
def test_nothing_makes_it_stumble(servers: t.Any, context: t.Any) -> None:
    assert isinstance(_gate.gate_errors(servers, context), list)
    assert isinstance(_gate.gate_errors([servers], {"upstreams": [context], "certificates": [context]}), list)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_in_the_model_could_end_a_directive(data: st.DataObject) -> None:
    item = data.draw(some("server", {"name": "wcs", "certificate": "wcs"}))
    item["locations"] = [
        data.draw(
            some("location", {"path": "/wss", "upstream": "https://app.example", "origins": ["https://a.example"]})
        )
    ]
    item["listen"] = [data.draw(some("listen", {"port": 443}))]
    context = {
        **CONTEXT,
        "upstreams": [
            {
                **data.draw(some("upstream", {"name": "app"})),
                "servers": [data.draw(some("peer", {"address": "127.0.0.1:1"}))],
            }
        ],
    }
    item.pop("extra_directives", None)
    item["locations"][0].pop("extra_directives", None)
    found = _gate.gate_errors([item], context)
    assert all(isinstance(line, str) for line in found)
    if found:
        return
    for path, text in texts_of(_gate.gate_model([item], context)):
        # A pattern stands between quotes.
        allowed = {"allow": " ", "hash_key": "$ ", "key": "$", "pattern": " {}$\\|", "realm": " (),"}.get(path[-1], "")
        assert not set(text) & (set(" \t\r\n\0;{}\"'$\\#`|<>%") - set(allowed)), (path, text)


def texts_of(value: t.Any, *path: str) -> t.Iterator[t.Tuple[t.Tuple[str, ...], str]]:
    if "patterns" in path:
        return
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_of(inner, *path, key)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner, *path)


# -- what comes out --------------------------------------------------------------------------------------------------


def test_the_smallest_gate_gets_the_defaults() -> None:
    made = model(server())
    assert made["servers"][0] == {
        "name": "wcs",
        "slug": "wcs",
        "proxies": "wcs",
        "server_names": ["wcs.example.com"],
        "listeners": [
            {
                "port": 443,
                "address": "",
                "unix": "",
                "unix_group": "",
                "unix_mode": "0660",
                "addresses": ["443", "[::]:443"],
                "tls": True,
                "proxy_protocol": False,
                "default_server": False,
            }
        ],
        "tls": True,
        "certificates": [
            {
                "certificate": "/etc/nginx/certificates/wcs/fullchain.pem",
                "key": "/etc/nginx/certificates/wcs/privkey.pem",
            }
        ],
        "client_certificates": None,
        "tls_resumption": True,
        "redirect": {"port": 80, "to": "", "addresses": ["80", "[::]:80"], "server_names": ["wcs.example.com"]},
        "auth": "none",
        "htpasswd_path": "",
        "realm": "Restricted",
        "root": "",
        "index": ["index.html"],
        "error_pages": [],
        "trusted_proxies": [],
        "real_ip_header": "",
        "refuses_untrusted_proxies": False,
        "addresses": [],
        "hsts_max_age": 0,
        "http2_enabled": False,
        "client_max_body_size": "",
        "connection_check_path": "",
        "connection_check": None,
        "extra_directives": "",
        "locations": [
            {
                "path": "/wss",
                "exact": True,
                "slug": "wcs_0",
                "auth": "token",
                "http": None,
                "uses_token": True,
                "uses_basic": False,
                "htpasswd_path": "",
                "realm": "Restricted",
                "cookie": made["cookies"][0],
                "token": {"slug": "AUTH", "variable": "wss_token_AUTH", "sources": ["cookie"]},
                "uses_jwt": False,
                "jwt": None,
                "origins": {
                    "slug": "wcs_0",
                    "server": "wcs",
                    "path": "/wss",
                    "allowed": ["https://wcs.example.com"],
                    "exact": ["https://wcs.example.com", "https://wcs.example.com:443"],
                    "patterns": [],
                    "missing": False,
                    "http": False,
                    "variable": "http_origin",
                    "pattern": r"^https://wcs\.example\.com(?::443)?$",
                },
                "upstream": {"url": "http://127.0.0.1:8080/wss", "path": "/wss", "tls": None},
                "external": "",
                "external_tls": None,
                "forwarded": "",
                "below": "",
                "idle_timeout": 75,
                "connect_timeout": 5,
                "message_buffer_size": 4096,
                "client_ip_header": "X-Client-IP",
                "cleared_headers": ["X-Client-Subject", *_checks.TARGET_HEADERS],
                "addresses": [],
                "upstream_host": "",
                "upstream_headers": [],
                "cleared_upstream_headers": [],
                "cleared_external_headers": [],
                "readings": [],
                "reading": "wcs_0",
                "realm_slug": "wcs_0",
                "forward_credentials": False,
                "client_certificate_required": False,
                "extra_directives": "",
                "limits": {"attempts": 0, "sessions_per_address": 0, "sessions_per_token": 0},
                "session_lifetime": "",
                "combination": None,
                "session_noted": False,
                "ends_in_time": False,
            }
        ],
    }
    assert made["cookies"][0]["name"] == made["cookies"][0]["slug"] == "AUTH"
    assert made["origins"] == []
    assert made["addresses"] == []
    assert made["jwt"] is None
    assert not made["has_bearer"] and not made["has_jwt_bearer"] and not made["has_http"] and not made["has_preflights"]
    assert made["zones"] == []
    assert made["written"] is None
    assert made["redirect_addresses"] == ["80", "[::]:80"]
    assert made["upstreams"] == []
    assert made["token_store_path"] == STORE


def test_the_input_is_left_as_it_was() -> None:
    given_server = server(location(origins=["https://a.example"]), trusted_proxies=["10.0.0.1"])
    given_context = {**CONTEXT, "upstreams": [upstream()]}
    before = copy.deepcopy((given_server, given_context, SCHEMAS))
    _gate.gate_model([given_server], given_context)
    assert (given_server, given_context, SCHEMAS) == before


def test_null_means_the_default() -> None:
    nothing = {key: None for key in _gate_options.LOCATION_DEFAULTS if key not in ("path", "upstream")}
    assert model(server(location(**nothing))) == model(server())
    empty = {
        key: None
        for key in _gate_options.SERVER_DEFAULTS
        if key not in ("name", "server_names", "certificate", "locations")
    }
    assert model(server(**empty)) == model(server())


def test_numbers_and_flags_may_come_as_text_as_from_a_command_line() -> None:
    item = only_location(location(idle_timeout="600", forward_credentials="Yes", allow_missing_origin="off"))
    assert (item["idle_timeout"], item["forward_credentials"], item["origins"]["missing"]) == (600, True, False)
    assert model(server(listen=[{"port": "8443"}]), ipv6="False")["servers"][0]["listeners"][0]["addresses"] == ["8443"]


def test_a_server_answers_to_its_name_when_no_others_are_given() -> None:
    made = model(server(name="wcs.example.com", server_names=[]))
    assert made["servers"][0]["server_names"] == ["wcs.example.com"]


@pytest.mark.parametrize(
    ("version", "http2_directive", "rotating_tickets"),
    [
        ("1.18.0", False, False),
        ("1.22.1", False, False),
        ("1.23.1", False, False),
        ("1.23.2", False, True),
        ("1.25.0", False, True),
        ("1.25.1", True, True),
        ("1.31.3", True, True),
        ("2.0", True, True),
        ("", False, False),
    ],
)
def test_the_version_of_nginx_decides(version: str, http2_directive: bool, rotating_tickets: bool) -> None:
    made = model(server(), nginx_version=version)
    assert (made["has_http2_directive"], made["has_rotating_tickets"]) == (http2_directive, rotating_tickets)


@pytest.mark.parametrize(
    ("version", "is_there"), [("1.18.0", False), ("1.19.3", False), ("1.19.4", True), ("1.22.1", True), ("", False)]
)
def test_settings_of_openssl_are_for_an_nginx_that_knows_the_directive(version: str, is_there: bool) -> None:
    assert model(server(), nginx_version=version)["has_conf_command"] is is_there


# -- listeners, redirects, certificates


@pytest.mark.parametrize(
    ("listen", "ipv6", "addresses"),
    [
        ({"port": 443}, True, ["443", "[::]:443"]),
        ({"port": 443}, False, ["443"]),
        ({"port": 8443, "address": "192.0.2.1"}, True, ["192.0.2.1:8443"]),
        ({"port": 8443, "address": "0.0.0.0"}, True, ["8443"]),
        ({"port": 8443, "address": "2001:DB8:0:0::1"}, True, ["[2001:db8::1]:8443"]),
        ({"port": 8443, "address": "[::1]"}, False, ["[::1]:8443"]),
        ({"unix": "/run/gate.sock", "unix_mode": "0666"}, True, ["unix:/run/gate.sock"]),
    ],
)
def test_listeners_become_addresses(listen: Options, ipv6: bool, addresses: t.List[str]) -> None:
    made = model(server(location(origins=["https://a.example"]), listen=[listen]), ipv6=ipv6)
    assert made["servers"][0]["listeners"][0]["addresses"] == addresses


@pytest.mark.parametrize(
    ("changes", "redirect"),
    [
        ({}, {"port": 80, "to": "", "addresses": ["80", "[::]:80"]}),
        ({"listen": [{"port": 8443}, {"port": 443}]}, {"port": 80, "to": ":8443", "addresses": ["80", "[::]:80"]}),
        ({"listen": [{"port": 443, "address": "127.0.0.1"}]}, {"port": 80, "to": "", "addresses": ["127.0.0.1:80"]}),
        (
            {"listen": [{"port": 443, "address": "127.0.0.1"}, {"port": 8443}]},
            {"port": 80, "to": "", "addresses": ["80", "[::]:80"]},
        ),
        (
            {"listen": [{"port": 443, "address": "192.0.2.1"}, {"port": 8443, "address": "192.0.2.1"}]},
            {"port": 80, "to": "", "addresses": ["192.0.2.1:80"]},
        ),
        ({"http_redirect_port": 8080}, {"port": 8080, "to": "", "addresses": ["8080", "[::]:8080"]}),
        ({"http_redirect_enabled": False}, None),
        ({"listen": [{"unix": "/run/gate.sock"}]}, None),
        ({"listen": [{"port": 8080, "tls": False}]}, None),
    ],
)
def test_the_plain_port_redirects_where_https_is_served(changes: Options, redirect: t.Optional[Options]) -> None:
    made = model(server(location(origins=["https://a.example"]), **changes))["servers"][0]["redirect"]
    assert (made and {key: made[key] for key in ("port", "to", "addresses")}) == redirect


def test_the_roles_own_redirect_options_are_the_default() -> None:
    assert model(server(), http_redirect_enabled=False)["servers"][0]["redirect"] is None
    assert model(server(http_redirect_enabled=True), http_redirect_enabled=False)["servers"][0]["redirect"]
    assert model(server(), http_redirect_port=8080)["servers"][0]["redirect"]["port"] == 8080


def test_a_name_is_redirected_once_and_to_its_first_server() -> None:
    first = server(server_names=["a.example", "b.example"])
    second = other_server(server_names=["B.example", "c.example"], listen=[{"port": 8443}])
    third = server(name="third", server_names=["c.example"], listen=[{"port": 9443}])
    elsewhere = server(name="elsewhere", server_names=["c.example"], listen=[{"port": 9443, "address": "192.0.2.1"}])
    redirects = [
        s["redirect"] and s["redirect"]["server_names"] for s in model(first, second, third, elsewhere)["servers"]
    ]
    assert redirects == [["a.example", "b.example"], ["c.example"], None, ["c.example"]]


def test_the_plain_port_is_shared_by_all_and_its_names_are_those_of_hosts() -> None:
    made = model(
        server(server_names=["_", "a.example", "*.a.example"]),
        other_server(
            location(origins=["https://a.example"]), server_names=["_"], listen=[{"port": 443, "address": "192.0.2.1"}]
        ),
        server(
            location(origins=["https://a.example"]), name="third", server_names=["c.example"], listen=[{"port": 8443}]
        ),
    )
    assert [s["redirect"] and s["redirect"]["server_names"] for s in made["servers"]] == [
        ["a.example", "*.a.example"],
        None,
        ["c.example"],
    ]
    assert made["redirect_addresses"] == ["80", "[::]:80", "192.0.2.1:80"]
    assert model(server(http_redirect_enabled=False))["redirect_addresses"] == []


def test_every_location_clears_the_identity_headers_that_others_set() -> None:
    clients = {"ca_path": "/etc/ssl/clients.pem", "subject_header": "X-Who"}
    made = model(
        server(
            location(client_ip_header="X-Caller"), location(path="/b"), location(path="/c", client_ip_header="x-caller")
        ),
        other_server(location(client_ip_header="X-Peer"), client_certificates=clients),
    )
    target = list(_checks.TARGET_HEADERS)
    assert [[loc["cleared_headers"] for loc in s["locations"]] for s in made["servers"]] == [
        [
            ["X-Client-IP", "X-Client-Subject", *target, "X-Who", "X-Peer"],
            ["X-Client-Subject", *target, "X-Caller", "X-Who", "X-Peer"],
            ["X-Client-IP", "X-Client-Subject", *target, "X-Who", "X-Peer"],
        ],
        [["X-Client-IP", "X-Client-Subject", *target, "X-Caller"]],
    ]


@pytest.mark.parametrize(
    ("path", "given_upstream", "forwarded"),
    [
        ("/wss", "http://127.0.0.1:8080", "/wss$is_args$args"),
        ("/wss", "http://127.0.0.1:8080/", "/$is_args$args"),
        ("/wss", "http://unix:/run/a.sock", "/wss$is_args$args"),
        ("/app/", "http://127.0.0.1:8080", "/app$wss_below$is_args$args"),
        ("/app/", "http://127.0.0.1:8080/", "$wss_below$is_args$args"),
        ("/app/", "http://127.0.0.1:8080/x/", "/x$wss_below$is_args$args"),
        ("/", "http://127.0.0.1:8080", "$wss_below$is_args$args"),
    ],
)
def test_the_service_that_decides_learns_what_the_upstream_will_get(
    path: str, given_upstream: str, forwarded: str
) -> None:
    item = location(path=path, upstream=given_upstream, auth="external", external_auth_url="http://127.0.0.1:9000")
    made = model(server(item))
    assert made["servers"][0]["locations"][0]["forwarded"] == forwarded
    assert bool(made["written"]) == path.endswith("/")


@pytest.mark.parametrize(
    ("request_uri", "below", "before_1_21_1"),
    [
        ("/app/a%20b", "/a%20b", "/a%20b"),
        ("/app/%C3%A9/..x/x..?q=%zz", "/%C3%A9/..x/x..", "/%C3%A9/..x/x.."),
        ("/app/%22%3C%7D", "/%22%3C%7D", None),
        # Each is another spelling of what nginx writes.
        ("/app/%c3%a9", None, None),
        ("/app/%61%20", None, None),
        ("/app/a/../b%20", None, None),
        ("/app/a/./b%20", None, None),
        ("/app/a//b%20", None, None),
        ("/app//b%20", None, None),
        ("/app/%20/..", None, None),
        ("/app/%20/.?x", None, None),
        ("/app/%20%2Fb", None, None),
        ('/app/%20"', None, None),
        ("/app/%20#x", None, None),
        ("/%61pp/%20", None, None),
        ("/application/%20", None, None),
        ("/app/%0A", None, None),
        ("/app/%5C", None, None),
    ],
)
def test_a_path_is_told_as_it_came_only_where_nginx_would_write_it_so(
    request_uri: str, below: t.Optional[str], before_1_21_1: t.Optional[str]
) -> None:
    item = location(path="/app/", auth="external", external_auth_url="http://127.0.0.1:9000")
    for version, wanted in (("1.21.1", below), ("1.18.0", before_1_21_1)):
        made = model(server(item), nginx_version=version)
        below = made["servers"][0]["locations"][0]["below"].replace("(?<", "(?P<")
        whole = re.search(made["written"]["encoded"].replace("(?<wss_whole>", "(?P<wss_whole>"), request_uri)
        match = re.search(below, whole["wss_whole"] if whole else "")
        assert (match and match["wss_below"]) == wanted


def test_certificates_are_where_the_role_puts_them_unless_they_say_otherwise() -> None:
    provided = [
        {
            "name": "wcs",
            "certificate_path": "/etc/pki/tls/yourdomain/a.crt",
            "key_path": "/etc/pki/tls/yourdomain/a.key",
        },
        {"name": "rsa"},
    ]
    made = model(server(certificate=["wcs", "rsa"]), certificates=provided, certificates_directory="/srv/certs/")
    assert made["servers"][0]["certificates"] == [
        {"certificate": "/etc/pki/tls/yourdomain/a.crt", "key": "/etc/pki/tls/yourdomain/a.key"},
        {"certificate": "/srv/certs/rsa/fullchain.pem", "key": "/srv/certs/rsa/privkey.pem"},
    ]


def test_a_server_without_tls_needs_no_certificate() -> None:
    made = only_server(
        certificate="", listen=[{"port": 8080, "tls": False}], locations=[location(origins=["https://a.example"])]
    )
    assert (made["tls"], made["certificates"]) == (False, [])


@pytest.mark.parametrize(
    ("version", "is_post_quantum"),
    [
        ("3.5.0", True),
        ("3.6.5", True),
        ("3.5.0-beta1", True),
        ("4.0.1", True),
        ("10.0.0", True),
        ("3.10.0", True),
        ("3.4.9", False),
        ("3.0.22", False),
        ("1.1.1w", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_a_post_quantum_group_is_offered_first_where_openssl_knows_it(version: str, is_post_quantum: bool) -> None:
    groups = model(server(), openssl_version=version)["key_exchange_groups"]
    assert groups == ["X25519MLKEM768"] * is_post_quantum + ["X25519", "prime256v1", "secp384r1"]


@pytest.mark.parametrize(
    ("listens", "with_clients", "resuming"),
    [
        # The servers' listeners, those that ask for client certificates, and those that resume TLS.
        ([[443], [443]], [], [0, 1]),
        ([[443], [443]], [0], []),
        ([[443], [443]], [1], []),
        ([[443], [8443]], [1], [0]),
        # The one in the middle shares an address with each of the others; they share none.
        ([[443], [443, 8443], [8443]], [0], [2]),
        ([["127.0.0.1"], ["127.0.0.2"]], [0], [1]),
        # Port 443 of each address, and port 443 of one, are two addresses to nginx.
        ([[443], ["127.0.0.2"]], [0], [1]),
    ],
)
def test_no_server_resumes_tls_on_an_address_where_one_asks_for_client_certificates(
    listens: t.List[t.List[t.Any]], with_clients: t.List[int], resuming: t.List[int]
) -> None:
    servers = [
        server(
            name=f"s{index}",
            server_names=[f"s{index}.example.com"],
            listen=[
                {"port": listen} if isinstance(listen, int) else {"port": 443, "address": listen}
                for listen in listens[index]
            ],
            client_certificates=CLIENTS if index in with_clients else {},
        )
        for index in range(len(listens))
    ]
    assert [index for index, made in enumerate(model(*servers)["servers"]) if made["tls_resumption"]] == resuming


def test_a_plain_listener_is_no_address_where_tls_could_be_resumed() -> None:
    plain = {"port": 8080, "tls": False}
    servers = [
        server(location(origins=["https://a.example"]), listen=[{"port": 443}, plain], client_certificates=CLIENTS),
        other_server(
            location(origins=["https://a.example"]),
            listen=[{"port": 8443}, plain],
            client_certificates={"ca_path": "/etc/ssl/others.pem"},
        ),
        other_server(
            location(origins=["https://a.example"]),
            name="third",
            server_names=["third.example.com"],
            listen=[{"port": 9443}, plain],
        ),
    ]
    assert [made["tls_resumption"] for made in model(*servers)["servers"]] == [False, False, True]


def test_servers_of_one_authority_may_share_an_address() -> None:
    servers = [
        server(client_certificates={**CLIENTS, "subject_header": "X-Member"}),
        other_server(client_certificates={**CLIENTS, "required": False}),
        other_server(name="open", server_names=["open.example.com"]),
        other_server(
            name="far",
            server_names=["far.example.com"],
            listen=[{"port": 8443}],
            client_certificates={"ca_path": "/etc/ssl/others.pem"},
        ),
    ]
    assert errors(*servers) == []


def test_client_certificates_get_their_defaults() -> None:
    assert only_server(client_certificates=CLIENTS)["client_certificates"] == {
        "ca_path": "/etc/ssl/clients.pem",
        "crl_path": "",
        "required": True,
        "subject_header": "X-Client-Subject",
        "depth": 1,
    }
    made = only_server(
        client_certificates={**CLIENTS, "required": False},
        locations=[location(client_certificate_required=True), location(path="/open")],
    )
    assert [item["client_certificate_required"] for item in made["locations"]] == [True, False]


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({}, ""),
        ({"trusted_proxies": ["10.0.0.1"]}, "X-Forwarded-For"),
        ({"trusted_proxies": ["10.0.0.1"], "real_ip_header": "X-Real-IP"}, "X-Real-IP"),
        ({"trusted_proxies": ["10.0.0.1"], "listen": [{"port": 443, "proxy_protocol": True}]}, "proxy_protocol"),
        (
            {
                "trusted_proxies": ["10.0.0.1"],
                "listen": [{"port": 443, "proxy_protocol": True}],
                "real_ip_header": "X-Real-IP",
            },
            "X-Real-IP",
        ),
    ],
)
def test_only_a_load_balancer_names_the_client(changes: Options, header: str) -> None:
    assert only_server(**changes)["real_ip_header"] == header


def test_trusted_networks_are_written_as_nginx_reads_them() -> None:
    # nginx takes no netmask behind the slash.
    made = only_server(trusted_proxies=["10.0.0.0/255.0.0.0", "192.0.2.7", "unix:", "2001:DB8::/32"])
    assert made["trusted_proxies"] == ["10.0.0.0/8", "192.0.2.7/32", "unix:", "2001:db8::/32"]


# -- locations


@pytest.mark.parametrize(
    ("server_auth", "auth", "expected", "uses_token", "uses_basic"),
    [
        ("none", "", "token", True, False),
        ("basic", "", "basic", False, True),
        ("basic", "token", "token", True, False),
        ("basic", "none", "none", False, False),
        ("none", "basic", "basic", False, True),
        ("none", "token_or_basic", "token_or_basic", True, True),
        ("none", "token_and_basic", "token_and_basic", True, True),
        ("none", "external", "external", False, False),
        ("none", "none", "none", False, False),
    ],
)
def test_auth_kinds_ask_for_what_their_names_say(
    server_auth: str, auth: str, expected: str, uses_token: bool, uses_basic: bool
) -> None:
    url = {"external_auth_url": "http://127.0.0.1:9000"} if auth == "external" else {}
    made = model(server(location(auth=auth, **url), auth=server_auth), **BASIC)["servers"][0]
    item = made["locations"][0]
    assert (item["auth"], item["uses_token"], item["uses_basic"]) == (expected, uses_token, uses_basic)
    assert item["htpasswd_path"] == ("/etc/nginx/.htpasswd" if uses_basic else "")
    assert made["htpasswd_path"] == ("/etc/nginx/.htpasswd" if server_auth == "basic" else "")
    assert (item["cookie"] is not None) == uses_token


def test_a_kind_without_tokens_needs_no_store() -> None:
    assert errors(server(location(auth="none")), token_store_path="") == []


def test_the_nearest_password_file_and_realm_win() -> None:
    files = {"htpasswd_files": [{"path": "/etc/nginx/only"}]}
    made = model(
        server(
            location(auth="basic"),
            location(path="/own", auth="basic", htpasswd_file="/etc/nginx/own", realm="Own"),
            realm="All",
        ),
        **files,
    )
    assert [(item["htpasswd_path"], item["realm"]) for item in made["servers"][0]["locations"]] == [
        ("/etc/nginx/only", "All"),
        ("/etc/nginx/own", "Own"),
    ]
    made = model(server(location(auth="basic"), htpasswd_file="/etc/nginx/server"), **files)
    assert made["servers"][0]["locations"][0]["htpasswd_path"] == "/etc/nginx/server"


OWN = {"origins": ["https://wcs.example.com"]}
FILE = {"htpasswd_file": "/etc/nginx/a"}


@pytest.mark.parametrize(
    ("locations", "server_auth", "offered", "password"),
    [
        ([location(**OWN)], "none", ["/wss"], ("", "")),
        ([location(auth="basic", **FILE)], "none", ["/wss"], ("/etc/nginx/a", "Restricted")),
        (
            [location(auth="basic", **FILE), location(path="/b", auth="token_and_basic", **FILE)],
            "none",
            ["/wss", "/b"],
            ("/etc/nginx/a", "Restricted"),
        ),
        (
            [location(auth="basic", **FILE), location(path="/b", auth="basic", realm="Other", **FILE)],
            "none",
            ["/wss", "/b"],
            ("", ""),
        ),
        ([location(auth="basic", **FILE), location(path="/b", auth="token")], "none", ["/wss", "/b"], ("", "")),
        ([location(auth="token_or_basic", **FILE)], "none", ["/wss"], ("", "")),
        ([location(auth="basic", **FILE)], "basic", ["/wss"], ("", "")),
        ([location(**OWN), location(path="/b", origins=["https://app.example.com"])], "none", ["/wss"], ("", "")),
        (
            [location(auth="basic", **FILE), location(path="/b", origins=["https://app.example.com"])],
            "none",
            ["/wss"],
            ("/etc/nginx/a", "Restricted"),
        ),
    ],
)
def test_the_connection_check_offers_what_its_page_may_open_and_asks_for_the_one_password(
    locations: t.List[Options], server_auth: str, offered: t.List[str], password: t.Tuple[str, str]
) -> None:
    made = model(server(*locations, auth=server_auth, connection_check_path="/check"), **BASIC)["servers"][0][
        "connection_check"
    ]
    assert made["path"] == "/check"
    assert [item["path"] for item in made["locations"]] == offered
    assert (made["htpasswd_path"], made["realm"]) == password


@pytest.mark.parametrize(("path", "exact"), [("/wss", True), ("/", False), ("/app/", False), ("/a/b", True)])
def test_a_path_is_that_path_alone_unless_it_ends_with_a_slash(path: str, exact: bool) -> None:
    assert only_location(location(path=path))["exact"] is exact


@pytest.mark.parametrize(
    ("changes", "origins"),
    [
        ({}, ["https://wcs.example.com"]),
        ({"listen": [{"port": 443}, {"port": 8443}]}, ["https://wcs.example.com", "https://wcs.example.com:8443"]),
        (
            {"listen": [{"port": 8443, "address": "192.0.2.1"}, {"port": 8443, "address": "192.0.2.2"}]},
            ["https://wcs.example.com:8443"],
        ),
        (
            {"server_names": ["WCS.example.com", "*.example.com", "b.example"]},
            ["https://wcs.example.com", "https://b.example"],
        ),
        ({"listen": [{"port": 443}, {"port": 8080, "tls": False}]}, ["https://wcs.example.com"]),
        ({"listen": [{"port": 443}, {"unix": "/run/gate.sock"}]}, ["https://wcs.example.com"]),
    ],
)
def test_a_server_lets_in_its_own_https_pages(changes: Options, origins: t.List[str]) -> None:
    assert model(server(**changes))["servers"][0]["locations"][0]["origins"]["allowed"] == origins


def test_given_origins_replace_the_servers_own() -> None:
    item = only_location(
        location(
            origins=["https://App.example.com", "https://app.example.com", "http://localhost:3000"],
            allow_missing_origin=True,
        )
    )
    assert item["origins"]["allowed"] == ["https://app.example.com", "http://localhost:3000"]
    assert item["origins"]["missing"] is True


@pytest.mark.parametrize(
    ("given_origins", "allowed", "exact"),
    [
        (
            ["https://A.example:443", "https://a.example"],
            ["https://a.example"],
            ["https://a.example", "https://a.example:443"],
        ),
        (["http://a.example"], ["http://a.example"], ["http://a.example", "http://a.example:80"]),
        (["ws://a.example:80"], ["ws://a.example"], ["ws://a.example", "ws://a.example:80"]),
        (["wss://a.example"], ["wss://a.example"], ["wss://a.example", "wss://a.example:443"]),
        (["https://a.example:80"], ["https://a.example:80"], ["https://a.example:80"]),
        (["http://a.example:443"], ["http://a.example:443"], ["http://a.example:443"]),
        (["https://a.example:0443"], ["https://a.example"], ["https://a.example", "https://a.example:443"]),
        (["https://a.example:08443"], ["https://a.example:8443"], ["https://a.example:8443"]),
        (["https://[2001:db8::1]"], ["https://[2001:db8::1]"], ["https://[2001:db8::1]", "https://[2001:db8::1]:443"]),
        (
            ["https://[2001:db8::1]:443"],
            ["https://[2001:db8::1]"],
            ["https://[2001:db8::1]", "https://[2001:db8::1]:443"],
        ),
        (["https://[2001:db8::1]:8443"], ["https://[2001:db8::1]:8443"], ["https://[2001:db8::1]:8443"]),
        *(
            ([origin], [origin], [origin])
            for origin in (
                "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "capacitor://localhost",
                "app://localhost:443",
            )
        ),
    ],
)
def test_an_origin_with_the_default_port_is_the_one_without(
    given_origins: t.List[str], allowed: t.List[str], exact: t.List[str]
) -> None:
    made = only_location(location(origins=given_origins))["origins"]
    assert (made["allowed"], made["exact"], made["patterns"]) == (allowed, exact, [])


@pytest.mark.parametrize(
    ("origin", "pattern"),
    [
        ("https://*.Example.com", r"https://(?:[a-z0-9_-]{1,63}\.){1,126}example\.com(?::443)?"),
        ("https://*.example.com:443", r"https://(?:[a-z0-9_-]{1,63}\.){1,126}example\.com(?::443)?"),
        ("http://*.example.com", r"http://(?:[a-z0-9_-]{1,63}\.){1,126}example\.com(?::80)?"),
        ("https://*.a-b.example.com:8443", r"https://(?:[a-z0-9_-]{1,63}\.){1,126}a\-b\.example\.com:8443"),
    ],
)
def test_a_wildcard_becomes_an_anchored_pattern(origin: str, pattern: str) -> None:
    made = only_location(location(origins=[origin, "https://example.com"]))["origins"]
    assert made["patterns"] == [pattern]
    assert made["exact"] == ["https://example.com", "https://example.com:443"]
    assert made["pattern"] == rf"^(?:{pattern}|https://example\.com(?::443)?)$"


@pytest.mark.parametrize(
    ("changes", "variable", "pattern"),
    [
        ({}, "http_origin", r"^https://a\.example(?::443)?$"),
        ({"origins": ["https://a.example:8443"]}, "http_origin", r"^https://a\.example:8443$"),
        ({"origins": ["a+b.c://x", "http://[::1]"]}, "http_origin", r"^(?:a\+b\.c://x|http://\[::1\](?::80)?)$"),
        ({"allow_missing_origin": True}, "http_origin", r"^(?:|https://a\.example(?::443)?)$"),
        # Where no origin may be enough, no origin that is sent can be taken for that.
        ({"http": True}, "wss_page", r"^(?:1|from https://a\.example(?::443)?)$"),
        ({"http": True, "allow_missing_origin": True}, "http_origin", r"^(?:|https://a\.example(?::443)?)$"),
    ],
)
def test_a_location_looks_at_its_origins_itself(changes: Options, variable: str, pattern: str) -> None:
    made = model(server(location(**{"origins": ["https://a.example"], **changes})))
    origins = made["servers"][0]["locations"][0]["origins"]
    assert (origins["variable"], origins["pattern"], made["origins"]) == (variable, pattern, [])


def test_a_pattern_of_no_origins_lets_nobody_in() -> None:
    for missing, let_in in ((False, [""] * 0), (True, [""])):
        pattern = _origins._pattern_of_all({"allowed": [], "missing": missing, "http": False})
        assert [text for text in ("", "1", "https://a.example") if re.search(pattern, text)] == let_in


def test_long_lists_of_origins_are_maps_that_are_shared() -> None:
    long = [f"https://tenant-{number}.example.com" for number in range(30)]
    made = model(
        server(
            location(path="/a", origins=long),
            location(path="/b", origins=list(reversed(long))),
            location(path="/c", origins=long, http=True),
            location(path="/d", origins=long, allow_missing_origin=True),
            location(path="/e", origins=[*long, "https://*.example.com"]),
        )
    )
    variables = [item["origins"]["variable"] for item in made["servers"][0]["locations"]]
    assert variables == [f"wss_origin_wcs_{number}" for number in (0, 0, 2, 3, 4)]
    assert [item["slug"] for item in made["origins"]] == ["wcs_0", "wcs_2", "wcs_3", "wcs_4"]
    assert not any(item["origins"]["pattern"] for item in made["servers"][0]["locations"])


def test_what_is_alike_has_one_variable() -> None:
    external = {"auth": "external", "external_auth_url": "http://127.0.0.1:9000"}
    locations = [
        location(path="/a", allow_from=["192.0.2.1", "192.0.2.2"], http={"methods": ["POST", "GET"]}),
        location(path="/b", allow_from=["192.0.2.2", "192.0.2.1"], http={"methods": ["GET", "POST"]}),
        location(path="/c", deny_from=["192.0.2.1", "192.0.2.2"], http={"methods": ["GET"]}),
        location(path="/d/", **external),
        location(path="/d/x", origins=["https://a.example"]),
    ]
    given = [server(*locations), other_server(*locations)]
    made = model(*given)
    found = [item for s in made["servers"] for item in s["locations"]]
    assert [lists["variable"] for item in found for lists in item["addresses"]] == [
        "wss_allow_wcs_0",
        "wss_allow_wcs_0",
        "wss_deny_wcs_2",
    ] * 2
    assert [lists["variable"] for lists in made["addresses"]] == ["wss_allow_wcs_0", "wss_deny_wcs_2"]
    assert [item["http"]["variable"] for item in found if item["http"]] == [
        "wss_method_wcs_0",
        "wss_method_wcs_0",
        "wss_method_wcs_2",
    ] * 2
    assert [item["reading"] for item in found if item["readings"]] == ["wcs_3"] * 2
    assert [folder["reading"] for folder in made["readings"]] == ["wcs_3"]


def test_the_connection_check_is_offered_where_a_wildcard_lets_its_page_in() -> None:
    for origins, is_offered in ((["https://*.example.com"], True), (["https://*.wcs.example.com"], False)):
        found = errors(server(location(origins=origins), connection_check_path="/check"))
        assert (found == []) is is_offered, found


@pytest.mark.parametrize(
    ("given_url", "path", "url"),
    [
        ("http://127.0.0.1:8080", "/wss", "http://127.0.0.1:8080/wss"),
        ("ws://127.0.0.1:8080", "/wss", "http://127.0.0.1:8080/wss"),
        ("wss://localhost", "/wss", "https://localhost:443/wss"),
        ("http://app.example", "/wss", "http://app.example:80/wss"),
        ("ws://app.example", "/wss", "http://app.example:80/wss"),
        ("http://[::1]:8080", "/wss", "http://[::1]:8080/wss"),
        ("http://127.0.0.1:8080/", "/wss", "http://127.0.0.1:8080/"),
        ("http://127.0.0.1:8080/other", "/wss", "http://127.0.0.1:8080/other"),
        ("http://127.0.0.1:8080/x/", "/app/", "http://127.0.0.1:8080/x/"),
        ("http://unix:/run/app.sock", "/wss", "http://unix:/run/app.sock:/wss"),
        ("ws://unix:/run/app.sock", "/app/", "http://unix:/run/app.sock:/app/"),
        ("app", "/wss", "https://app/wss"),
    ],
)
def test_upstreams_become_what_proxy_pass_takes(given_url: str, path: str, url: str) -> None:
    item = only_location(location(path=path, upstream=given_url), upstreams=[upstream(scheme="wss")])
    assert item["upstream"]["url"] == url


BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.mark.parametrize(
    ("changes", "tls"),
    [
        ({"upstream": "http://app.example"}, None),
        ({"upstream": "https://127.0.0.1:8443"}, {"verified": False, "ca_path": BUNDLE, "name": ""}),
        ({"upstream": "https://[::1]:8443"}, {"verified": False, "ca_path": BUNDLE, "name": ""}),
        ({"upstream": "wss://localhost:8443"}, {"verified": False, "ca_path": BUNDLE, "name": "localhost"}),
        ({"upstream": "https://unix:/run/app.sock"}, {"verified": False, "ca_path": BUNDLE, "name": ""}),
        ({"upstream": "https://app.example"}, {"verified": True, "ca_path": BUNDLE, "name": "app.example"}),
        (
            {"upstream": "https://app.example", "upstream_verify_enabled": False},
            {"verified": False, "ca_path": BUNDLE, "name": "app.example"},
        ),
        (
            {"upstream": "https://192.0.2.1", "upstream_verify_enabled": False},
            {"verified": False, "ca_path": BUNDLE, "name": ""},
        ),
        (
            {"upstream": "https://192.0.2.1", "upstream_tls_name": "app.example"},
            {"verified": True, "ca_path": BUNDLE, "name": "app.example"},
        ),
        (
            {
                "upstream": "https://127.0.0.1",
                "upstream_verify_enabled": True,
                "upstream_tls_name": "app.example",
                "upstream_ca_path": "/etc/ssl/own.pem",
            },
            {"verified": True, "ca_path": "/etc/ssl/own.pem", "name": "app.example"},
        ),
    ],
)
def test_https_upstreams_outside_loopback_are_verified(changes: Options, tls: t.Optional[Options]) -> None:
    assert only_location(location(**changes))["upstream"]["tls"] == tls


@pytest.mark.parametrize(
    ("changes", "tls"),
    [
        ({"scheme": "ws"}, None),
        ({"scheme": "wss"}, {"verified": False, "ca_path": BUNDLE, "name": ""}),
        (
            {"scheme": "https", "servers": ["app.example:443", "127.0.0.1:8443"]},
            {"verified": True, "ca_path": BUNDLE, "name": "app.example"},
        ),
        (
            {
                "scheme": "https",
                "servers": ["a.example:443", "b.example:443"],
                "tls_name": "app.example",
                "ca_path": "/etc/ssl/own.pem",
            },
            {"verified": True, "ca_path": "/etc/ssl/own.pem", "name": "app.example"},
        ),
        (
            {"scheme": "https", "servers": ["a.example:443", "b.example:443"], "verify_enabled": False},
            {"verified": False, "ca_path": BUNDLE, "name": ""},
        ),
    ],
)
def test_groups_of_https_upstreams_are_verified_too(changes: Options, tls: t.Optional[Options]) -> None:
    made = model(server(location(upstream="app")), upstreams=[upstream(**changes)])
    assert made["upstreams"][0]["tls"] == tls
    assert made["servers"][0]["locations"][0]["upstream"]["tls"] == tls


def test_a_group_of_upstreams_keeps_its_servers_in_order() -> None:
    peers = [
        "127.0.0.1:8080",
        {"address": "unix:/run/app.sock", "weight": 3, "max_fails": 0, "fail_timeout": 30, "down": True},
        {"address": "[::1]:1", "backup": True},
    ]
    group = model(server(), upstreams=[upstream(servers=peers, balancing="least_conn")])["upstreams"][0]
    assert group["balancing"] == "least_conn"
    assert group["peers"] == [
        {
            "address": "127.0.0.1:8080",
            "host": "127.0.0.1",
            "local": True,
            "weight": 1,
            "max_fails": 1,
            "fail_timeout": 10,
            "backup": False,
            "down": False,
        },
        {
            "address": "unix:/run/app.sock",
            "host": "",
            "local": True,
            "weight": 3,
            "max_fails": 0,
            "fail_timeout": 30,
            "backup": False,
            "down": True,
        },
        {
            "address": "[::1]:1",
            "host": "[::1]",
            "local": True,
            "weight": 1,
            "max_fails": 1,
            "fail_timeout": 10,
            "backup": True,
            "down": False,
        },
    ]


@pytest.mark.parametrize(
    ("given_url", "url", "tls"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/", None),
        ("http://127.0.0.1:9000/check", "http://127.0.0.1:9000/check", None),
        (
            "https://auth.example/check",
            "https://auth.example:443/check",
            {"verified": True, "ca_path": BUNDLE, "name": "auth.example"},
        ),
        ("https://127.0.0.1/check", "https://127.0.0.1:443/check", {"verified": False, "ca_path": BUNDLE, "name": ""}),
    ],
)
def test_the_service_that_decides_is_asked_at_its_own_path_and_verified(
    given_url: str, url: str, tls: t.Optional[Options]
) -> None:
    item = only_location(location(auth="external", external_auth_url=given_url))
    assert (item["external"], item["external_tls"]) == (url, tls)


def test_limits_get_a_zone_each() -> None:
    made = model(
        server(
            location(
                max_attempts_per_second=5, max_sessions_per_address=10, max_sessions_per_token=2, cookie_name="a.b"
            )
        )
    )
    assert made["servers"][0]["locations"][0]["limits"] == {
        "attempts": 5,
        "sessions_per_address": 10,
        "sessions_per_token": 2,
    }
    assert made["zones"] == [
        {"kind": "req", "key": "$wss_network", "name": "wss_attempts64_wcs_0", "rate": 5},
        {"kind": "conn", "key": "$wss_network", "name": "wss_sessions64_wcs_0", "rate": 0},
        {"kind": "conn", "key": "$wss_token_a_b", "name": "wss_tokens_a_b-wcs_0", "rate": 0},
    ]


@pytest.mark.parametrize(
    ("most", "spread", "lifetime"),
    [
        (0, 10, ""),
        (3600, 10, "3240-3600"),
        (3600, 0, "3600-3600"),
        (3600, 50, "1800-3600"),
        (1, 50, "1-1"),
        (10**7, 33, "6700000-10000000"),
    ],
)
def test_a_session_lasts_as_long_as_it_may_or_a_little_less(most: int, spread: int, lifetime: str) -> None:
    one = location(max_session_lifetime=most, max_session_lifetime_spread=spread)
    (place,) = model(server(one), session_log_path="/var/log/s.log")["servers"][0]["locations"]
    assert place["session_lifetime"] == lifetime


@pytest.mark.parametrize(
    ("auth", "is_noted"),
    [
        ("none", True),
        ("basic", True),
        ("external", True),
        ("token_or_basic", True),
        ("token", False),
        ("token_and_basic", False),
    ],
)
def test_sessions_are_noted_besides_where_no_token_has_to_let_them_in(auth: str, is_noted: bool) -> None:
    def place(**options: t.Any) -> t.Dict[str, t.Any]:
        if auth == "external":
            options["external_auth_url"] = "http://127.0.0.1:9000/check"
        gate = server(location(auth=auth, **options))
        return model(gate, session_log_path="/var/log/s.log", **BASIC)["servers"][0]["locations"][0]

    assert place(session_listed=True)["session_noted"] is is_noted
    assert place(max_session_lifetime=60)["session_noted"] is is_noted
    assert place()["session_noted"] is False


def test_another_cookie_means_a_zone_of_another_name() -> None:
    def zones(*names: str) -> dict[str, str]:
        locations = [
            location(path=f"/{name}", cookie_name=name, max_sessions_per_token=1, auth="token") for name in names
        ]
        return {zone["name"]: zone["key"] for zone in model(server(*locations))["zones"]}

    before, after = zones("A", "B_x", "B"), zones("C", "A", "B", "B_x")
    assert len(before) == 3 and len(after) == 4
    assert all(after[name] == before[name] for name in set(before) & set(after))


def test_raw_directives_pass_as_they_are() -> None:
    made = only_server(
        extra_directives="gzip off;\n", locations=[location(extra_directives="proxy_buffering off;  \n")]
    )
    assert (made["extra_directives"], made["locations"][0]["extra_directives"]) == ("gzip off;", "proxy_buffering off;")


# -- names inside nginx


def test_one_cookie_is_read_once_however_many_locations_use_it() -> None:
    made = model(server(location(), location(path="/b")), other_server())
    assert [cookie["name"] for cookie in made["cookies"]] == ["AUTH"]
    assert all(
        item["cookie"] == made["cookies"][0]
        for item in made["servers"][0]["locations"] + made["servers"][1]["locations"]
    )


def test_names_that_nginx_would_take_for_the_same_stay_apart() -> None:
    # Variables of nginx have no case: $wss_token_AUTH is $wss_token_auth, and the second map would win for both.
    names = ["AUTH", "auth", "other", "OTHER", "a.b", "a_b", "a-b", "a_b_2", "x" * 40 + "1", "x" * 40 + "2"]
    made = model(server(*(location(path=f"/{i}", cookie_name=name) for i, name in enumerate(names))))
    assert [cookie["name"] for cookie in made["cookies"]] == names
    assert len({cookie["slug"].lower() for cookie in made["cookies"]}) == len(names)


def test_servers_whose_names_differ_by_a_dot_do_not_share_origins() -> None:
    made = model(server(name="a.b"), other_server(name="a-b"), server(name="a_b", server_names=["third.example"]))
    slugs = [item["origins"]["slug"].lower() for one in made["servers"] for item in one["locations"]]
    assert len(set(slugs)) == 3


def test_zones_of_two_servers_do_not_clash() -> None:
    made = model(
        server(location(max_attempts_per_second=1), name="a.b"),
        other_server(location(max_attempts_per_second=2), name="a-b"),
    )
    assert len({zone["name"] for zone in made["zones"]}) == 2


def test_what_is_the_same_twice_is_no_contradiction() -> None:
    shared = {"unix": "/run/gate.sock", "unix_mode": "0600", "unix_group": "staff"}
    both = location(upstream="https://ws.example.com", origins=["https://a.example"])
    assert errors(server(both, listen=[shared]), other_server({**both, "path": "/other"}, listen=[shared])) == []
    assert errors(server(http2_enabled=True), other_server(), nginx_version="1.26.3") == []
    plain = [{"port": 8080, "tls": False}]
    mixed = server(both, http2_enabled=True, listen=[{"port": 443}, *plain])
    assert errors(mixed, other_server(both, listen=plain), nginx_version="1.22.1") == []
    # Upstreams of one address and two names do not share their TLS sessions.
    groups = [
        upstream(name=name, scheme="https", servers=["ws.example.com:443"], **more)
        for name, more in (("a", {}), ("b", {"ca_path": "/etc/ssl/b.pem"}))
    ]
    assert errors(server(location(upstream="a"), location(path="/b", upstream="b")), upstreams=groups) == []


BALANCED = [{"port": 8443, "proxy_protocol": True}]


def test_the_balancers_are_trusted_where_the_proxy_protocol_is_spoken_and_nobody_else_is_named() -> None:
    def made(**changes: t.Any) -> t.Tuple[t.List[str], bool, str]:
        found = model(server(**changes), balancers=["10.0.0.1", "2001:db8::1"])["servers"][0]
        return found["trusted_proxies"], found["refuses_untrusted_proxies"], found["real_ip_header"]

    both = ["10.0.0.1/32", "2001:db8::1/128"]
    assert made(listen=BALANCED) == (both, True, "proxy_protocol")
    assert made(listen=BALANCED, refuse_untrusted_proxies=False) == (both, False, "proxy_protocol")
    assert made(listen=BALANCED, trusted_proxies=["10.0.0.7"]) == (["10.0.0.7/32"], False, "proxy_protocol")
    assert made(listen=BALANCED, trusted_proxies=["10.0.0.7"], refuse_untrusted_proxies=True)[1]
    assert made() == ([], False, "")


def test_a_balancer_without_a_known_address_is_told_where_it_is_to_be_believed() -> None:
    found = errors(server(listen=BALANCED), balancers=["10.0.0.1", "balancer2"])
    assert len(found) == 1 and "where balancer2 comes from is not known" in found[0], found
    assert "set balancer_address" in found[0]
    assert errors(server(), balancers=["balancer2"]) == []
    assert errors(server(listen=BALANCED, trusted_proxies=["10.0.0.7"]), balancers=["balancer2"]) == []


def test_to_refuse_liars_takes_a_listener_with_the_proxy_protocol() -> None:
    found = errors(server(trusted_proxies=["10.0.0.7"], refuse_untrusted_proxies=True))
    assert found == ["server 'wcs': refuse_untrusted_proxies needs a listener with proxy_protocol; leave it out"]


def test_nginx_s_own_word_for_the_proxy_protocol_is_understood() -> None:
    made = model(
        server(
            listen=[{"port": 443, "proxy_protocol": True}],
            trusted_proxies=["10.0.0.1"],
            real_ip_header="proxy_protocol",
        )
    )
    assert made["servers"][0]["real_ip_header"] == "proxy_protocol"


def test_an_open_reverse_proxy_is_warned_of() -> None:
    def warnings(**more: t.Any) -> list[str]:
        return _gate.gate_warnings([server(location(**more))], CONTEXT)

    (found,) = warnings(path="/app/", auth="none", http=True)
    assert "server 'wcs', locations[0]" in found and "/app/" in found and "an open reverse proxy" in found
    # A path alone, credentials, and WebSockets alone are no such thing.
    assert warnings(path="/app", auth="none", http=True) == []
    assert warnings(path="/app/", http=True) == []
    assert warnings(path="/app/", auth="none") == []


def test_an_origin_that_no_browser_sends_is_warned_of() -> None:
    def warnings(*origins: str) -> list[str]:
        return _gate.gate_warnings([server(location(origins=list(origins)))], CONTEXT)

    (found,) = warnings("https://app.example.com", "WSS://app.example.com")
    assert found.startswith("server 'wcs', locations[0], origins[1]: browsers send a page's own scheme, https://, and")
    assert "http://, and never ws://" in warnings("ws://app.example.com")[0]
    assert warnings("https://app.example.com", "app://local") == []


def test_a_lifetime_that_a_unix_socket_knows_nothing_of_gets_a_warning() -> None:
    def warnings(*listen: Options, **more: t.Any) -> list[str]:
        context = {**CONTEXT, "session_log_path": "/var/log/s.log"}
        return _gate.gate_warnings([server(location(**more), listen=list(listen))], context)

    port, socket = {"port": 443}, {"unix": "/run/gate.sock", "tls": False}
    (found,) = warnings(port, socket, max_session_lifetime=60)
    assert found.startswith(
        "server 'wcs', locations[0]: max_session_lifetime ends no session that comes by /run/gate.sock"
    )
    assert warnings(port, max_session_lifetime=60) == warnings(port, socket, session_listed=True) == []


def test_plain_requests_are_let_through_where_that_is_asked_for_in_any_spelling() -> None:
    assert only_location(location(http="no"))["http"] is None
    assert only_location(location(http="Yes"))["http"] == only_location(location(http={}))["http"]
    some_methods = only_location(location(http={"methods": ["POST", "HEAD", "POST"]}))["http"]
    assert some_methods == {
        "methods": ["POST", "HEAD"],
        "variable": "wss_method_wcs_0",
        "allow": "GET, POST, HEAD",
        "has_preflights": False,
    }


def test_a_token_that_counts_in_authorization_has_a_name_of_its_own_in_limits() -> None:
    """A reload refuses a zone that has another key than before."""
    names = {
        (zone["key"], zone["name"])
        for sources in (["cookie"], ["bearer"], ["bearer", "cookie"])
        for zone in model(server(location(sources=sources, max_sessions_per_token=1)))["zones"]
    }
    assert names == {
        ("$wss_token_AUTH", "wss_tokens_AUTH-wcs_0"),
        ("$wss_bearer", "wss_tokens_-bearer-wcs_0"),
        ("$wss_either_AUTH", "wss_tokens_AUTH-bearer-wcs_0"),
    }


def test_the_page_offers_no_location_that_takes_tokens_from_authorization_alone() -> None:
    made = model(
        server(
            location(path="/program", sources=["bearer"]),
            location(path="/any", sources=["cookie", "bearer"]),
            connection_check_path="/check",
        )
    )
    assert [item["path"] for item in made["servers"][0]["connection_check"]["locations"]] == ["/any"]


def test_a_check_page_of_a_server_without_an_origin_of_its_own_and_with_no_cookie_is_refused() -> None:
    given = server(
        location(sources=["bearer"], origins=["https://a.example"]), connection_check_path="/check", server_names=["_"]
    )
    found = errors(given)
    assert any("lets pages of this server connect; add cookie to the sources of one" in line for line in found), found


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 8192),
        ({"messages": "small"}, 2048),
        ({"messages": "mixed"}, 4096),
        ({"messages": "large"}, 16384),
        ({"message_buffer_size": 65536}, 65536),
        ({"message_buffer_size": "1024"}, 1024),
    ],
)
def test_a_location_holds_for_messages_what_it_says_or_what_all_do(options: Options, size: int) -> None:
    assert only_location(location(**options), buffer_size=8192)["message_buffer_size"] == size
