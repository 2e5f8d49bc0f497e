# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both documents' set-ups, used as their readers would."""

from __future__ import annotations

import json
import re
import time

import pytest

from lib import wire

STORE = "/var/lib/nginx/tokens"
TOKEN = "ABCDEF1234565789"
PASSWORD = ("operator", "correct horse battery staple")
PAGE_404 = b"our own page for what is not there\n"
PAGE_50X = b"our own page for what is broken\n"
SOCKET = "/run/gate.sock"
ACCESS_LOG = "/var/log/nginx/wss_access.log"

# The main file's options, by host: as the document has them, and the other way round (molecule.yml).
MAIN_OPTIONS = {
    "debian12": {
        "sendfile": "on",
        "tcp_nopush": "on",
        "tcp_nodelay": "on",
        "keepalive_timeout": "65s",
        "types_hash_max_size": "2048",
    },
    "debian13": {
        "sendfile": "off",
        "tcp_nopush": "off",
        "tcp_nodelay": "off",
        "keepalive_timeout": "30s",
        "types_hash_max_size": "4096",
    },
}
# A group's lines for nginx: its method, and its servers.
GROUPS = {
    "appserver": [
        "least_conn",
        "server 127.0.0.1:8101 weight=1 max_fails=2 fail_timeout=1s",
        "server 127.0.0.1:8102 weight=1 max_fails=2 fail_timeout=1s",
        "server 127.0.0.1:8103 weight=1 max_fails=1 fail_timeout=10s backup",
    ],
    "by_address": [
        "ip_hash",
        "server 127.0.0.1:8101 weight=1 max_fails=1 fail_timeout=10s",
        "server 127.0.0.1:8102 weight=1 max_fails=1 fail_timeout=10s",
    ],
    "by_chance": [
        "random",
        "server 127.0.0.1:8101 weight=1 max_fails=1 fail_timeout=10s",
        "server 127.0.0.1:8102 weight=1 max_fails=1 fail_timeout=10s",
    ],
    "by_path": [
        "hash $request_uri consistent",
        "server 127.0.0.1:8101 weight=1 max_fails=1 fail_timeout=10s",
        "server 127.0.0.1:8102 weight=1 max_fails=1 fail_timeout=10s",
    ],
    "by_socket": [
        "server unix:/run/chat/a.sock weight=3 max_fails=5 fail_timeout=7s",
        "server unix:/run/chat/b.sock weight=1 max_fails=1 fail_timeout=10s",
        "server 127.0.0.1:8103 weight=1 max_fails=1 fail_timeout=10s down",
    ],
}


@pytest.fixture(scope="module")
def ca_path(gate):
    copy = gate.scratch / "ca.pem"
    copy.write_bytes(gate.read("/etc/pki/tls/yourdomain/yourdomain.crt"))
    return copy


@pytest.fixture
def ask(gate, ca_path):
    """Sends a handshake to a port of a name, from a page of that very server."""

    def ask(path="/wss", name="wcs", port=443, **changes):
        host = f"{name}.yourdomain.com" + ("" if port == 443 else f":{port}")
        request = wire.Request(path=path, host=host).origin(f"https://{host}")
        for method, arguments in changes.items():
            request = getattr(request, method)(*arguments)
        endpoint = wire.Endpoint(port=gate.published(port), ca_path=ca_path, server_name=f"{name}.yourdomain.com")
        return wire.handshake(endpoint, request)

    return ask


@pytest.fixture
def get(gate, ca_path):
    def get(path, *credentials):
        request = wire.Request(path=path, host="wcs.yourdomain.com", headers=())
        endpoint = wire.Endpoint(port=gate.port, ca_path=ca_path, server_name="wcs.yourdomain.com")
        return wire.handshake(endpoint, request.basic(*credentials) if credentials else request)

    return get


@pytest.fixture
def token(host):
    """As the first document has it."""
    host.check_output(f"touch {STORE}/{TOKEN} && chown nginx {STORE}/{TOKEN}")
    yield TOKEN
    host.run(f"rm -f {STORE}/{TOKEN}")


@pytest.fixture(scope="module")
def configuration(host):
    """What nginx reads, every file of it."""
    return host.check_output("nginx -T 2>/dev/null")


def echoes(reply) -> bool:
    with reply:
        return reply.upgraded and reply.session.echo("over and out") == "over and out"


def upstream_of(reply) -> str:
    """The gate tells no client; the session log does, but only at the end. The upstream knows its own port."""
    with reply:
        reply.session.send("headers?")
        return json.loads(reply.session.receive_text())["request"]


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def sessions(host, server: str, location: str) -> list[str]:
    """Which upstream each session of a location met; each has its line once it has ended."""
    lines = map(json.loads, host.check_output(f"cat {ACCESS_LOG}").splitlines())
    return [
        line["upstream"]
        for line in lines
        if (line["server"], line["location"], line["status"]) == (f"{server}.yourdomain.com", location, 101)
    ]


# -- the first document ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAIN_OPTIONS["debian12"])
def test_the_main_file_has_the_option_as_it_was_set_and_once(gate, configuration, name):
    wanted = MAIN_OPTIONS[gate.name.rpartition("-")[2]][name]
    assert re.findall(rf"^ *{name} +(.*);$", configuration, re.MULTILINE) == [wanted]


def test_the_workers_are_nginx_and_so_is_the_owner_of_the_token_store(host):
    assert set(host.check_output("ps -o user= -p $(pgrep -d, -f '^nginx: worker')").split()) == {"nginx"}
    store = host.file(STORE)
    assert (store.user, store.group, store.mode) == ("nginx", "nginx", 0o710)


def test_the_certificate_is_where_the_document_has_it(host, ask, token):
    key = host.file("/etc/pki/tls/yourdomain/yourdomain.key")
    assert (key.user, key.mode) == ("root", 0o600)
    # `ask` trusts that file alone.
    assert echoes(ask("/wss-token", token=(token,)))


@pytest.mark.parametrize(
    "path, has_password, has_token, status",
    [
        ("/wss", True, False, 101),
        ("/wss", False, False, 401),
        ("/wss", False, True, 401),
        ("/wss-token", False, True, 101),
        ("/wss-token", True, False, 403),
        ("/wss-token", False, False, 403),
        ("/wss-both", True, True, 101),
        ("/wss-both", True, False, 403),
        ("/wss-both", False, True, 401),
    ],
)
def test_each_location_wants_what_it_says(ask, token, path, has_password, has_token, status):
    changes = {}
    if has_password:
        changes["basic"] = PASSWORD
    if has_token:
        changes["token"] = (token,)
    reply = ask(path, **changes)
    assert reply.status == status
    if status == 101:
        assert echoes(reply)
    if status == 401:
        assert reply.header("WWW-Authenticate") == 'Basic realm="Restricted Area"'


def test_a_wrong_password_and_a_wrong_token_are_refused(ask, token):
    assert ask("/wss", basic=("operator", "wrong")).status == 401
    assert ask("/wss", basic=("nobody", PASSWORD[1])).status == 401
    assert ask("/wss-token", token=("ABCDEF1234565780",)).status == 403
    assert ask("/wss-token", cookie=(f"AUTH=../tokens/{TOKEN}",)).status == 403
    assert ask("/wss-token", cookie=("AUTH=../../../../etc/passwd",)).status == 403


def test_the_whole_server_asks_for_the_password(get):
    for path in ("/", "/404.html", "/not-there"):
        assert get(path).status == 401
        assert get(path, "operator", "wrong").status == 401


def test_static_files_are_served_and_what_is_not_there_gets_the_page_for_it(get):
    assert (get("/", *PASSWORD).status, get("/", *PASSWORD).body) == (200, b"the front page\n")
    reply = get("/not-there", *PASSWORD)
    assert (reply.status, reply.body, reply.header("Content-Type")) == (404, PAGE_404, "text/html")
    assert get("/.wssgate/error/404", *PASSWORD).status == 404
    assert get("/../../etc/passwd", *PASSWORD).status == 400


@pytest.mark.parametrize("excess, status", [(0, 405), (1, 413)])
def test_a_body_may_be_as_large_as_the_document_says_and_no_larger(gate, ca_path, excess, status):
    """A file takes no POST; before that is found out, the length is. No body is sent: nginx answers to the head."""
    length = str(500 * 1024 * 1024 + excess)
    request = wire.Request("/404.html", "wcs.yourdomain.com", "POST", headers=(("Content-Length", length),)).basic(
        *PASSWORD
    )
    assert (
        wire.handshake(wire.Endpoint(port=gate.port, ca_path=ca_path, server_name="wcs.yourdomain.com"), request).status
        == status
    )


def test_a_dead_or_silent_upstream_keeps_its_status_and_shows_the_page(ask):
    for path, status in (("/down", 502), ("/silent", 504)):
        reply = ask(path)
        assert (reply.status, reply.body) == (status, PAGE_50X)


def test_an_upstream_s_own_refusal_passes_through_as_it_is(ask):
    reply = ask("/refused")
    assert (reply.status, reply.body) == (503, b"upstream refuses\n")


def test_an_error_page_that_nobody_wrote_changes_no_status(ask, get):
    assert ask("/wss-token").status == 403
    assert ask("/wss").status == 401
    assert ask("/wss").header("WWW-Authenticate") == 'Basic realm="Restricted Area"'
    reply = ask("/wss", without=("Upgrade",))
    assert (reply.status, reply.header("Upgrade")) == (426, "websocket")


def test_the_reason_of_a_refusal_is_logged_where_it_has_an_error_page_too(host, ask):
    ask("/wss-token")
    ask("/down")
    lines = [json.loads(line) for line in host.check_output("tail -n 2 /var/log/nginx/wss_access.log").splitlines()]
    assert [(line["location"], line["status"], line["reason"]) for line in lines] == [
        ("/wss-token", 403, "token"),
        ("/down", 502, "upstream_unreachable"),
    ]


def test_a_session_that_the_upstream_never_took_is_closed_in_the_session_log(host, ask, token):
    """The start line is written by the token's check; a 502 with an error page must write the end line, too."""
    assert ask("/down-token", token=(token,)).status == 502
    log = "/var/log/nginx/wssgate/sessions.log"
    started, ended = (int(host.run(f"grep -c '^{kind}' {log}").stdout) for kind in "SE")
    assert started == ended > 0


def test_http2_is_spoken_where_asked_and_hsts_goes_with_every_answer(gate, ca_path, get, ask):
    for name, port, wanted in (("wcs", 443, "h2"), ("app", 8888, "http/1.1")):
        endpoint = wire.Endpoint(
            port=gate.published(port), ca_path=ca_path, server_name=f"{name}.yourdomain.com", alpn=("h2", "http/1.1")
        )
        with endpoint.connect() as connection:
            assert connection.selected_alpn_protocol() == wanted
    for reply in (get("/", *PASSWORD), get("/"), ask("/wss"), ask("/down"), get("/not-there", *PASSWORD)):
        assert reply.header("Strict-Transport-Security") == "max-age=300"
        assert reply.header("Server") == "nginx"


def test_the_upstream_gets_the_name_that_was_asked_for_and_no_credentials(ask, token):
    with ask("/wss-both", basic=PASSWORD, cookie=(f"a=1; AUTH={token}; b=2",)) as reply:
        reply.session.send("headers?")
        told = json.loads(reply.session.receive_text())
    headers = {name.lower(): value for name, value in told["headers"]}
    assert told["request"] == "GET /wss-both HTTP/1.1"
    assert headers["host"] == "wcs.yourdomain.com"
    assert headers["x-forwarded-proto"] == "https"
    assert "authorization" not in headers
    assert token not in json.dumps(told)


def test_other_people_s_servers_go_on_and_log_in_the_document_s_format(host):
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8088/x').read().decode())"
    assert host.check_output(f'python3 -c "{code}"').strip() == "somebody else's"
    line = host.check_output("tail -n 1 /var/log/nginx/access.log")
    assert line.startswith("127.0.0.1 - - [")
    assert '"GET /x HTTP/1.1" 200' in line
    assert line.endswith('"-"')


# -- the second document -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [8888, 8889])
@pytest.mark.parametrize("path", ["/", "/deep/er?a=b", "/address/x", "/chance/x", "/path/x"])
def test_every_port_and_every_balancing_leads_to_an_echo(ask, port, path):
    assert echoes(ask(path, "app", port))


@pytest.mark.parametrize("path", ["/", "/one", "/two/three"])
def test_unix_socket_upstreams_echo_on_their_own_port(ask, path):
    assert upstream_of(ask(path, "chat", 9443)) == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_its_method_and_its_servers_with_their_options(configuration, group):
    (block,) = re.findall(rf"^upstream {group} {{\n(.*?)\n}}$", configuration, re.MULTILINE | re.DOTALL)
    lines = [line.strip().removesuffix(";") for line in block.splitlines()]
    assert [line for line in lines if not line.startswith(("#", "zone "))] == GROUPS[group]


def met(host, ask, server: str, port: int, location: str, *paths: str) -> list[str]:
    """The upstreams that sessions of these paths met, one after the other."""
    host.check_output(f"truncate -s 0 {ACCESS_LOG}")
    for path in paths:
        with ask(path, server, port) as reply:
            assert reply.upgraded
    assert wait_for(lambda: len(sessions(host, server, location)) == len(paths), 5)
    return sessions(host, server, location)


def test_a_session_goes_where_the_fewest_are(host, ask):
    with ask("/", "app", 8888) as held:
        assert held.upgraded
        # Each is over before the next one starts. Taken in turns, they would alternate.
        others = [met(host, ask, "app", 8888, "/", "/")[0] for _number in range(3)]
    assert wait_for(lambda: len(sessions(host, "app", "/")) == 2, 5)
    assert {*others, sessions(host, "app", "/")[-1]} == {"127.0.0.1:8101", "127.0.0.1:8102"}
    assert len(set(others)) == 1


def test_a_path_keeps_its_server_and_another_path_may_have_another(host, ask):
    assert len(set(met(host, ask, "app", 8888, "/path/", *["/path/x"] * 10))) == 1
    others = met(host, ask, "app", 8888, "/path/", *(f"/path/{letter}" for letter in "abcdefgh"))
    assert set(others) == {"127.0.0.1:8101", "127.0.0.1:8102"}


def test_an_address_keeps_its_server_whatever_path_it_asks_for(host, ask):
    assert len(set(met(host, ask, "app", 8888, "/address/", *(f"/address/{letter}" for letter in "abcdefghij")))) == 1


def test_sockets_get_their_share_by_weight_and_a_server_that_is_down_gets_nothing(host, ask):
    upstreams = met(host, ask, "chat", 9443, "/", *["/"] * 24)
    # Three to one, between all workers; without weights it would be twelve each.
    assert {socket: upstreams.count(socket) for socket in set(upstreams)} == {
        "unix:/run/chat/a.sock": 18,
        "unix:/run/chat/b.sock": 6,
    }


def test_a_plain_request_does_not_reach_the_application(ask):
    assert ask("/", "app", 8888, without=("Upgrade",)).status == 426


def test_a_page_of_another_port_is_another_origin(ask):
    assert ask("/", "app", 8888, origin=("https://app.yourdomain.com:9999",)).status == 403
    assert ask("/", "app", 8888, origin=("https://app.yourdomain.com:8889",)).status == 101


def test_the_load_is_shared_and_the_backup_steps_in_only_when_the_others_are_gone(host, ask):
    host.check_output(f"truncate -s 0 {ACCESS_LOG}")
    for _number in range(4):
        assert echoes(ask("/", "app", 8888))
    assert wait_for(lambda: len(sessions(host, "app", "/")) == 4, 5)
    assert set(sessions(host, "app", "/")) == {"127.0.0.1:8101", "127.0.0.1:8102"}
    host.check_output("kill $(cat /root/first.pid)")
    try:
        assert wait_for(lambda: host.run("ss -Hltn 'sport = :8101' | grep -q .").rc != 0, 5)
        for _number in range(3):
            assert echoes(ask("/", "app", 8889))
        assert wait_for(lambda: len(sessions(host, "app", "/")) == 7, 5)
        assert all(upstream.endswith("127.0.0.1:8103") for upstream in sessions(host, "app", "/")[4:])
    finally:
        host.check_output(
            "env PYTHONPATH=/mnt/tests python3 -m lib.echo_server --echo 127.0.0.1:8101 --echo 127.0.0.1:8102"
            " --daemon --pid-file /root/first.pid"
        )
    assert wait_for(
        lambda: (
            echoes(ask("/", "app", 8888)) and sessions(host, "app", "/")[-1] in ("127.0.0.1:8101", "127.0.0.1:8102")
        ),
        10,
    )


# -- the socket --------------------------------------------------------------------------------------------------------

KNOCK = """
import sys
from lib.wire import Endpoint, Request, handshake
request = Request(path='/wss', host='local').origin('https://wcs.yourdomain.com')
if len(sys.argv) > 1:
    request = request.token(sys.argv[1])
try:
    with handshake(Endpoint(unix='/run/gate.sock', tls=False), request) as reply:
        print(reply.status, reply.session.echo('through a socket') if reply.session else '')
except OSError as error:
    print(type(error).__name__)
"""


def knock(host, user: str, *arguments: str) -> str:
    return host.check_output(
        "runuser -u %s -- env PYTHONPATH=/mnt/tests python3 -B -c %s %s", user, KNOCK, " ".join(arguments)
    ).strip()


def test_the_socket_is_for_its_group_only_and_the_gate_s_rules_hold_there_too(host, token):
    assert knock(host, "balancer", token) == "101 through a socket"
    assert knock(host, "balancer", "no-such-token-0000") == "403"
    assert knock(host, "nobody", token) == "PermissionError"
    socket = host.file(SOCKET)
    assert (socket.user, socket.group, socket.mode) == ("root", "staff", 0o660)


def master(host) -> str:
    return host.run("cat /run/nginx.pid").stdout.strip()


def test_after_kill_9_nginx_comes_back_by_itself_with_its_socket_and_its_mode(host, token):
    before = master(host)
    host.check_output(f"kill -9 {before}")
    is_back = wait_for(
        lambda: master(host) not in ("", before) and host.run("systemctl is-active --quiet nginx").rc == 0, 20
    )
    assert is_back, host.run("systemctl status nginx").stdout
    assert knock(host, "balancer", token) == "101 through a socket"
    assert knock(host, "nobody", token) == "PermissionError"
    assert (host.file(SOCKET).group, host.file(SOCKET).mode) == ("staff", 0o660)


def test_a_socket_that_a_living_process_has_bound_is_left_to_it(host):
    host.check_output("systemctl stop nginx")
    host.check_output(
        "(setsid python3 -c \"import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('%s'); s.listen(); "
        'time.sleep(60)"'
        " >/dev/null 2>&1 & echo $! > /run/squatter.pid)" % SOCKET
    )
    try:
        assert wait_for(lambda: host.file(SOCKET).exists, 5)
        inode = host.check_output(f"stat -c %i {SOCKET}")
        assert host.run("systemctl start nginx").rc != 0
        assert host.check_output(f"stat -c %i {SOCKET}") == inode
    finally:
        host.run("kill $(cat /run/squatter.pid)")
        host.run("systemctl stop nginx")
        host.run("systemctl reset-failed nginx")
        started = host.run("systemctl start nginx")
    # The squatter has left its socket behind: nobody's now, so it goes.
    assert started.rc == 0
    assert (host.file(SOCKET).group, host.file(SOCKET).mode) == ("staff", 0o660)
