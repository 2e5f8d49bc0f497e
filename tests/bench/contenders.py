# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate and what it is compared with: each in a folder of its own, on a free port of the loopback, with one worker.

All have the same certificate (P-256), TLS 1.3, the same upstream, an access log in a file, and check the same cookie
and the same Origin with the means they have.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import pki, usage
from lib.load import Dialler, Refused, Target
from lib.local_gate import LocalGate, free_port, temporary_paths
from lib.processes import end, start, wait_for

CACHE = Path(os.environ["CACHE"])
PEERS = CACHE / "bench-peers"
PROGRAMS = CACHE / "venv-bench" / "bin"
DEBIAN_NGINX = PEERS / "usr" / "sbin" / "nginx"

NAME = "gate.example.com"
ORIGIN = "https://app.example.com"
TOKEN = "Bench-token_0123456789abcdef"
COOKIE = f"AUTH={TOKEN}"
NO_COOKIE, WRONG_ORIGIN = {"cookie": ""}, {"origin": "https://evil.example.net"}


class Shared:
    """What every contender shares: the certificate, the store, the upstream, which a Python of its own runs."""

    def __init__(self, python: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wssgate-bench-"))
        self.root.chmod(0o755)
        self.tokens = self.root / "tokens"
        self.tokens.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.tokens, "root", "www-data")
            self.tokens.chmod(0o710)
        self.issue(TOKEN)
        self.certificate, self.key = pki.self_signed(self.root, NAME)
        self.upstream_port, self.page_port = free_port(), free_port()
        self._upstream = start(
            "load_echo_server",
            str(self.upstream_port),
            str(self.page_port),
            python=python or PROGRAMS / "python",
            start_new_session=True,
        )
        wait_for(lambda: answers(Target(self.upstream_port, tls=False)), 10)

    def with_pages(self) -> Shared:
        """The same with an upstream that answers plain requests."""
        other = copy.copy(self)
        other.upstream_port = self.page_port
        return other

    def issue(self, token: str) -> None:
        path = self.tokens / token
        path.touch()
        path.chmod(0o640)

    def close(self) -> None:
        self._upstream.kill()
        self._upstream.wait()
        shutil.rmtree(self.root)


def answers(target: Target) -> bool:
    with contextlib.suppress(OSError, Refused):
        Dialler(target).open().close()
        return True
    return False


class Contender:
    name = ""
    title = ""
    #: How it checks the token and the Origin, for the report.
    check = ""
    #: What it answers with 403, and what makes a request such.
    refuses: dict[str, dict[str, str]] = {}
    #: Whether it takes up a new configuration while it runs.
    can_reload = False

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.port = free_port()
        #: It listens on one port, and on two after a reload.
        self.ports = [self.port]
        self.folder = shared.root / f"{self.name}-{self.port}"
        self.folder.mkdir()

    @property
    def target(self) -> Target:
        return Target(self.port, origin=ORIGIN, cookie=COOKIE)

    def __enter__(self) -> Contender:
        self.start()
        try:
            wait_for(lambda: answers(self.target), 20)
        except AssertionError as error:
            log_tail = self.log_tail()
            self.stop()
            raise RuntimeError(f"{self.title} does not let a session in: {log_tail}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def halt(self) -> None:
        """End its processes; its files stay for another nginx on the same port."""
        self.stop()

    def reload(self) -> None:
        """Have it take up a configuration with one more port, as an operator would."""
        self.ports.append(free_port())
        self.take_up()

    def take_up(self) -> None:
        raise NotImplementedError

    def alone(self) -> list[str]:
        """The command that runs an nginx on the same configuration."""
        raise NotImplementedError

    def log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(errors="replace")[-2000:]
        return ""

    def pids(self) -> list[int]:
        raise NotImplementedError

    def cpu(self) -> float:
        return usage.cpu_seconds(self.pids())

    def memory(self) -> int:
        return usage.memory_kib(self.pids())

    def version(self) -> str:
        return ""


class Direct(Contender):
    """No proxy at all, and no TLS: what latencies are counted from."""

    name, title, check = "direct", "the upstream itself (no TLS)", "none"

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def pids(self) -> list[int]:
        return []

    @property
    def target(self) -> Target:
        return Target(self.shared.upstream_port, tls=False)


class Nginx(Contender):
    """An nginx with a configuration of its own; the binary is the gate's."""

    binary = DEBIAN_NGINX
    http = ""
    location = ""

    def text(self) -> str:
        shared = self.shared
        temporary = textwrap.indent(temporary_paths(self.folder), "    ")
        listen = "\n        ".join(f"listen 127.0.0.1:{port} ssl;" for port in self.ports)
        return f"""\
user www-data www-data;
worker_processes 1;
worker_rlimit_nofile 17024;
pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{
    worker_connections 16512;
}}
http {{
{temporary}
    default_type application/octet-stream;
    {self.http}
    server {{
        {listen}
        server_name {NAME};
        ssl_certificate {shared.certificate};
        ssl_certificate_key {shared.key};
        # This nginx's own default leaves 1.3 out.
        ssl_protocols TLSv1.2 TLSv1.3;
        location /wss {{
            {self.location.replace("@store@", str(shared.tokens))}
            proxy_pass http://127.0.0.1:{shared.upstream_port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""

    def _command(self, *arguments: str) -> None:
        subprocess.run(
            [str(self.binary), "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log"), *arguments],
            check=True,
        )

    def _write(self) -> None:
        (self.folder / "nginx.conf").write_text(self.text().replace("@folder@", str(self.folder)))

    def start(self) -> None:
        self._write()
        self._command()

    def take_up(self) -> None:
        self._write()
        self._command("-s", "reload")

    def stop(self) -> None:
        end(self.pids())

    def log_tail(self) -> str:
        return (self.folder / "error.log").read_text()[-2000:]

    def master(self) -> int:
        return int((self.folder / "pid").read_text())

    def pids(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return usage.family(self.master())
        return []

    def alone(self) -> list[str]:
        return [str(self.binary), "-c", str(self.folder / "nginx.conf")]

    def version(self) -> str:
        return nginx_version(self.binary)


class Bare(Nginx):
    name, title, check = "bare", "nginx, bare proxy_pass", "none"
    can_reload = True
    http = "access_log @folder@/access.log;"


class Recipe(Nginx):
    """The published recipe: `if (!-f …$cookie_AUTH)`; its upstream without TLS, as everybody's here."""

    name, title, check = "recipe", "nginx, the published recipe", "if (!-f TOKENS/$cookie_AUTH), no Origin"
    http = """\
log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for"';
    access_log @folder@/access.log main;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 65;
    types_hash_max_size 2048;"""
    location = """\
if (!-f @store@/$cookie_AUTH) {
                return 403;
            }
            proxy_set_header Host $host;
            proxy_read_timeout 86400;"""
    refuses = {"no_cookie": NO_COOKIE}


class Gate(Contender):
    """What the roles make of the shortest inventory; the binary is Debian's unless another is named."""

    name, title, check = "gate", "this gate", "map, Origin list, auth_request and -f"
    refuses = {"no_cookie": NO_COOKIE, "wrong_origin": WRONG_ORIGIN}
    tls = True
    can_reload = True
    binary: Path | None = DEBIAN_NGINX
    variables: dict[str, Any] = {}
    edit: Callable[[str, str], str] | None = None

    def _server(self) -> dict[str, Any]:
        listen = {"address": "127.0.0.1", "port": self.port}
        if not self.tls:
            listen["tls"] = False
        return {
            "name": "bench",
            "server_names": [NAME],
            "listen": [listen],
            "certificate": "bench",
            "locations": [
                {"path": "/wss", "upstream": f"http://127.0.0.1:{self.shared.upstream_port}", "origins": [ORIGIN]}
            ],
        }

    def start(self) -> None:
        os.environ.pop("WSSGATE_NGINX", None)
        if self.binary:
            os.environ["WSSGATE_NGINX"] = str(self.binary)
        entry = {"name": "bench", "certificate_path": str(self.shared.certificate), "key_path": str(self.shared.key)}
        self.local_gate = LocalGate(
            [self._server()],
            **{
                "nginx_sessions": 8000,
                "wss_proxy_certificates": [entry],
                "wss_proxy_token_store_path": str(self.shared.tokens),
            }
            | self.variables,
        )
        self.local_gate.__enter__()

    def take_up(self) -> None:
        for name, text in self.local_gate.configuration().items():
            more = re.sub(
                rf"^( *)listen 127\.0\.0\.1:{self.port}\b(.*)$",
                rf"\g<0>\n\1listen 127.0.0.1:{self.ports[-1]}\2",
                text,
                flags=re.M,
            )
            (self.local_gate.etc / name).write_text(more)
        done = self.local_gate.command("-s", "reload")
        assert done.returncode == 0, done.stderr

    @property
    def target(self) -> Target:
        return Target(self.port, tls=self.tls, origin=ORIGIN, cookie=COOKIE)

    def stop(self) -> None:
        self.local_gate.__exit__()

    def log_tail(self) -> str:
        return self.local_gate.error_log()[-2000:]

    def master(self) -> int:
        return self.local_gate.master() or 0

    def pids(self) -> list[int]:
        return usage.family(self.master())

    def halt(self) -> None:
        self.local_gate.stop()

    def alone(self) -> list[str]:
        return [self.local_gate.binary, "-c", str(self.local_gate.etc / "nginx.conf")]

    def version(self) -> str:
        return nginx_version(Path(self.local_gate.binary))


class GateNewest(Gate):
    name, title = "gate_newest", "this gate, newest nginx"
    can_reload = False
    binary = None


class Program(Contender):
    """A peer that runs in the foreground."""

    environment: dict[str, str] = {}

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        arguments = self.command()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                arguments,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # As a daemon: the scheduler shares the cores out between sessions first (sched(7), autogroup).
                start_new_session=True,
                env={**os.environ, "HOME": str(self.folder), "GOMAXPROCS": "1", **self.environment},
            )

    def stop(self) -> None:
        end(self.pids())
        self._process.wait()

    def pids(self) -> list[int]:
        return usage.family(self._process.pid)


class HAProxy(Program):
    name, title, check = "haproxy", "HAProxy", "ACL: cookie in a list, Origin"
    environment = {"LD_LIBRARY_PATH": str(PEERS / "usr" / "lib" / "x86_64-linux-gnu")}
    binary = PEERS / "usr" / "sbin" / "haproxy"
    can_reload = True

    def take_up(self) -> None:
        self.command()
        os.kill(self._process.pid, signal.SIGUSR2)

    def command(self) -> list[str]:
        pem, tokens = self.folder / "both.pem", self.folder / "tokens.lst"
        pem.write_text(self.shared.certificate.read_text() + self.shared.key.read_text())
        tokens.write_text(TOKEN + "\n")
        bind = "\n    ".join(f"bind 127.0.0.1:{port} ssl crt {pem} alpn http/1.1" for port in self.ports)
        (self.folder / "haproxy.cfg").write_text(f"""\
global
    maxconn 9000
    nbthread 1
    log stdout format raw local0
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
frontend wss
    {bind}
    acl origin_known req.hdr(Origin) -m str {ORIGIN}
    acl token_known req.cook(AUTH) -m str -f {tokens}
    http-request deny status 403 unless origin_known
    http-request deny status 403 unless token_known
    default_backend echo
backend echo
    server echo 127.0.0.1:{self.shared.upstream_port}
""")
        return [str(self.binary), "-W", "-f", str(self.folder / "haproxy.cfg")]

    def version(self) -> str:
        return first_line([str(self.binary), "-v"], self.environment, r"version (\S+)")


class Caddy(Program):
    name, title, check = "caddy", "Caddy", "file matcher on the cookie, header matcher on Origin"
    binary = PROGRAMS / "caddy"
    can_reload = True

    def take_up(self) -> None:
        _caddy, _run, *configuration = self.command()
        subprocess.run(
            [str(self.binary), "reload", *configuration, "--address", f"unix/{self.folder}/admin"],
            check=True,
            capture_output=True,
            env={**os.environ, "HOME": str(self.folder)},
        )

    def command(self) -> list[str]:
        sites = ", ".join(f"https://{NAME}:{port}" for port in self.ports)
        (self.folder / "Caddyfile").write_text(f"""\
{{
    admin unix/{self.folder}/admin
    auto_https off
    storage file_system {self.folder}/storage
    servers {{
        protocols h1
    }}
}}
{sites} {{
    bind 127.0.0.1
    tls {self.shared.certificate} {self.shared.key}
    log {{
        output file {self.folder}/access.log
    }}
    @good {{
        path /wss
        header Origin {ORIGIN}
        file {{
            root {self.shared.tokens}
            try_files /{{http.request.cookie.AUTH}}
        }}
    }}
    handle @good {{
        reverse_proxy 127.0.0.1:{self.shared.upstream_port}
    }}
    respond 403
}}
""")
        return [str(self.binary), "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]

    def version(self) -> str:
        return first_line([str(self.binary), "version"], {}, r"v(\S+)")


class Traefik(Program):
    name, title, check = "traefik", "Traefik", "static router rule on Cookie and Origin"
    binary = PROGRAMS / "traefik"

    def command(self) -> list[str]:
        (self.folder / "static.yml").write_text(f"""\
entryPoints: {{wss: {{address: "127.0.0.1:{self.port}"}}}}
providers: {{file: {{filename: {self.folder}/dynamic.yml, watch: false}}}}
accessLog: {{filePath: {self.folder}/access.log}}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
""")
        (self.folder / "dynamic.yml").write_text(f"""\
http:
  routers:
    good:
      entryPoints: [wss]
      rule: "Path(`/wss`) && Header(`Origin`, `{ORIGIN}`) && HeaderRegexp(`Cookie`, `(^|; )AUTH={TOKEN}(;|$)`)"
      service: echo
      tls: {{}}
    refused:
      entryPoints: [wss]
      rule: "PathPrefix(`/`)"
      priority: 1
      middlewares: [refuse]
      service: echo
      tls: {{}}
  middlewares:
    refuse: {{ipAllowList: {{sourceRange: [192.0.2.1/32]}}}}
  services:
    echo: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{self.shared.upstream_port}"}}]}}}}
tls:
  certificates: [{{certFile: {self.shared.certificate}, keyFile: {self.shared.key}}}]
  stores: {{default: {{defaultCertificate: {{certFile: {self.shared.certificate}, keyFile: {self.shared.key}}}}}}}
""")
        return [str(self.binary), f"--configFile={self.folder}/static.yml"]

    def version(self) -> str:
        return first_line([str(self.binary), "version"], {}, r"Version:\s+(\S+)")


class Envoy(Program):
    name, title, check = "envoy", "Envoy", "RBAC filter on Cookie and Origin"
    binary = PROGRAMS / "envoy"

    def command(self) -> list[str]:
        (self.folder / "envoy.yaml").write_text(f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {self.port}}}}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_params: {{tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3}}
            alpn_protocols: [http/1.1]
            tls_certificates:
            - certificate_chain: {{filename: {self.shared.certificate}}}
              private_key: {{filename: {self.shared.key}}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: wss
          codec_type: HTTP1
          upgrade_configs: [{{upgrade_type: websocket}}]
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {self.folder}/access.log
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{path: /wss}}, route: {{cluster: echo, timeout: 0s}}}}]
          http_filters:
          - name: rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  good:
                    principals: [{{any: true}}]
                    permissions:
                    - and_rules:
                        rules:
                        - header: {{name: origin, string_match: {{exact: "{ORIGIN}"}}}}
                        - header:
                            name: cookie
                            string_match: {{safe_regex: {{regex: "(?:.*; )?AUTH={TOKEN}(?:;.*)?"}}}}
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: echo
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{thresholds: [{{max_connections: 20000, max_requests: 20000, max_pending_requests: 20000}}]}}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self.shared.upstream_port}}}}}}}
""")
        return [
            str(self.binary),
            "-c",
            str(self.folder / "envoy.yaml"),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "warn",
        ]

    def version(self) -> str:
        return first_line([str(self.binary), "--version"], {}, r"/(\d+\.\d+\.\d+)/")


ALL: list[type[Contender]] = [Direct, Bare, Recipe, Gate, GateNewest, HAProxy, Caddy, Traefik, Envoy]


def nginx_version(binary: Path) -> str:
    done = subprocess.run([str(binary), "-V"], capture_output=True, text=True, check=True)
    found = re.findall(r"nginx/(\S+)|OpenSSL (\S+)", done.stderr)
    return " with OpenSSL ".join(dict.fromkeys(a or b for a, b in found[:2]))


def first_line(command: list[str], environment: dict[str, str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return (re.findall(pattern, done.stdout + done.stderr) or ["?"])[0]
