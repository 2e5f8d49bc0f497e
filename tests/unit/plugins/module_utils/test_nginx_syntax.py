# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.syntax import (
    LOADED_ONCE,
    directives,
    read_tree,
    with_pid,
)


def words(text):
    return [directive.words for directive in directives(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c;", [("a", "b", "c")]),
        ("a 'b c' \"d;e\";", [("a", "b c", "d;e")]),
        ("a b\\;c \"d\\\"e\" 'f\\'g';", [("a", "b;c", 'd"e', "f'g")]),
        ("a; # b; c\nd;", [("a",), ("d",)]),
        ("a b#c;", [("a", "b#c")]),
        ("a it's;", [("a", "it's")]),
        ("a ${b}c;", [("a", "${b}c")]),
        ('a "\n;\n" b;', [("a", "\n;\n", "b")]),
        ("a { b; } c;", [("a",), ("b",), ("c",)]),
        ("a ~^x{2}$ { b; }", [("a", "~^x"), ("2}$",), ("b",)]),
        ("}}} a;", [("a",)]),
        ("a { b } c;", [("a",), ("c",)]),
        ("a 'unfinished", []),
        ("", []),
    ],
)
def test_directives_are_read_as_nginx_reads_them(text, expected):
    assert words(text) == expected


def test_a_directive_knows_the_blocks_around_it():
    found = {directive.words[0]: directive.context for directive in directives("a; b { c; d { e; } f; } g;")}
    assert found == {"a": (), "b": (), "c": ("b",), "d": ("b",), "e": ("b", "d"), "f": ("b",), "g": ()}


def test_braces_and_quotes_of_lua_do_not_count():
    text = """
        content_by_lua_block {
            local a = { "}", '}', [[ } ]], [==[ }]] ]==] } -- }
            --[[ } ]]
            local t = { { 1 }, {} }; t = 1; u = 2;
        }
        after;
    """
    assert words(text) == [("content_by_lua_block",), ("after",)]
    assert [directive.context for directive in directives(text)] == [(), ()]


@given(st.text(alphabet="ab ;{}\"'\\$#\n~", max_size=60))
def test_no_text_makes_the_reader_fail_or_hang(text):
    list(directives(text))
    with_pid(text, "/x", True)


@given(
    st.lists(st.lists(st.text(min_size=1, alphabet=st.characters(codec="utf-8")), min_size=1, max_size=4), max_size=4)
)
def test_quoted_words_come_back_whatever_is_in_them(lines):
    text = "".join(
        " ".join('"{0}"'.format(word.replace("\\", "\\\\").replace('"', '\\"')) for word in line) + ";"
        for line in lines
    )
    assert words(text) == [tuple(line) for line in lines]


@pytest.fixture
def tree(tmp_path):
    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        return read_tree(str(tmp_path / "nginx.conf"))

    return write


def test_includes_are_relative_to_the_main_file_wherever_they_stand(tree, tmp_path):
    found = tree(nginx_conf="http { include a/one.conf; }", a__one_conf="include a/two.conf;", a__two_conf="")
    assert found.files == [str(tmp_path / name) for name in ("nginx.conf", "a/one.conf", "a/two.conf")]


def test_wildcards_name_files_in_order_and_the_folder_that_is_looked_into(tree, tmp_path):
    found = tree(
        nginx_conf="include a/*.conf; include b/*.conf;", a__2_conf="", a__1_conf="", a__1_conf_off="", a__x=""
    )
    assert found.files == [str(tmp_path / name) for name in ("nginx.conf", "a/1.conf", "a/2.conf")]
    assert found.directories == [str(tmp_path / "a")]


def test_an_include_that_is_not_there_is_listed_because_it_may_come(tree, tmp_path):
    assert tree(nginx_conf="include later.inc;").files[1:] == [str(tmp_path / "later.inc")]


def test_files_that_include_each_other_end(tree):
    assert len(tree(nginx_conf="include a/one.conf;", a__one_conf="include nginx.conf; include a/*.conf;").files) == 2


def test_certificates_and_their_kin_are_found_and_what_is_read_later_is_not(tree, tmp_path):
    found = tree(
        nginx_conf="""
        http {
            ssl_certificate one/fullchain.pem;
            ssl_certificate_key /two/privkey.pem;
            server { proxy_ssl_trusted_certificate three.pem; ssl_certificate $ssl_server_name.pem; }
            ssl_certificate data:$variable; ssl_certificate_key engine:foo:bar;
            ssl_session_ticket_key ticket.key; ssl_dhparam dh.pem; ssl_crl crl.pem;
            auth_basic_user_file .htpasswd;
            js_import gate from gate.js;
        }
        load_module modules/x.so;
    """,
        gate_js="",
    )
    (tmp_path / "gate.js").write_text("")
    found = read_tree(str(tmp_path / "nginx.conf"))
    assert found.loaded == [
        str(tmp_path / "one/fullchain.pem"),
        "/two/privkey.pem",
        str(tmp_path / "three.pem"),
        str(tmp_path / "ticket.key"),
        str(tmp_path / "dh.pem"),
        str(tmp_path / "crl.pem"),
        str(tmp_path / "gate.js"),
    ]


def test_what_is_named_twice_is_looked_at_once(tree):
    found = tree(
        nginx_conf="server { ssl_crl a.pem; include a/*.conf; } server { ssl_crl a.pem; include a/*.conf; }",
        a__1_conf="",
    )
    assert (len(found.loaded), len(found.files), len(found.directories)) == (1, 2, 1)


@pytest.mark.parametrize(
    "name",
    [
        "ssl_certificate",
        "ssl_certificate_key",
        "ssl_trusted_certificate",
        "ssl_client_certificate",
        "ssl_crl",
        "ssl_dhparam",
        "ssl_password_file",
        "ssl_session_ticket_key",
        "ssl_stapling_file",
        "proxy_ssl_certificate",
        "proxy_ssl_certificate_key",
        "proxy_ssl_trusted_certificate",
        "proxy_ssl_crl",
        "proxy_ssl_password_file",
        "grpc_ssl_certificate",
        "uwsgi_ssl_crl",
        "access_by_lua_file",
        "geoip_country",
        "perl_require",
    ],
)
def test_files_that_nginx_opens_with_its_configuration_make_a_reload_due(name):
    assert LOADED_ONCE.match(name)


@pytest.mark.parametrize(
    "name",
    [
        "auth_basic_user_file",
        "load_module",
        "ssl_certificate_cache",
        "ssl_certificate_compression",
        "ssl_verify_client",
        "ssl_ciphers",
        "include",
        "root",
        "proxy_ssl_name",
        "geoip_proxy",
        "ssl_crl_something",
    ],
)
def test_other_directives_do_not(name):
    assert not LOADED_ONCE.match(name)


def test_logs_sockets_and_pid_of_the_master_are_found(tree, tmp_path):
    found = tree(
        nginx_conf=(
            "error_log /var/log/a.log warn; error_log relative; include a/main.inc; http { error_log "
            "/var/log/http.log; include a/*.conf; }"
        ),
        a__1_conf="server { listen 443; listen unix:/run/gate.sock ssl; pid nonsense; }",
    )
    (tmp_path / "a" / "main.inc").write_text("pid /run/x.pid; error_log stderr; error_log /var/log/b.log;")
    found = read_tree(str(tmp_path / "nginx.conf"))
    assert found.error_logs == ["/var/log/a.log", "/var/log/b.log"]
    assert found.sockets == ["/run/gate.sock"]
    assert found.pid_owner == str(tmp_path / "a" / "main.inc")


def test_a_pid_in_a_block_is_not_nginxs(tree):
    assert tree(nginx_conf="http { pid /run/x; }").pid_owner is None
    assert with_pid("http { pid /run/x; }\npid y;", "/work/pid", False) == 'http { pid /run/x; }\npid "/work/pid";'


def test_directives_without_arguments_are_passed_over(tree):
    found = tree(nginx_conf="include; pid; error_log; listen; ssl_certificate; js_import;")
    assert len(found.files) == 1 and found[1:] == ([], [], [], [], None, [])


def test_other_directives_with_the_same_arguments_are_neither_logs_nor_sockets(tree):
    found = tree(nginx_conf="lock_file /run/nginx.lock; http { upstream x { server unix:/run/x.sock; } }")
    assert found.error_logs == [] and found.sockets == []


def test_the_pid_is_exchanged_in_place_and_lines_keep_their_numbers():
    text = "# a\nuser x; pid\n  /run/nginx.pid ; http { pid y; }\n"
    changed = with_pid(text, "/work/pid", True)
    assert changed == '# a\nuser x; pid "/work/pid"\n; http { pid y; }\n'


def test_a_pid_is_added_in_front_of_the_first_line_only_when_there_is_none_elsewhere():
    assert with_pid("# a\nuser x;\n", "/work/pid", True) == 'pid "/work/pid"; # a\nuser x;\n'
    assert with_pid("# a\nuser x;\n", "/work/pid", False) == "# a\nuser x;\n"


def test_bytes_that_are_no_utf_8_survive(tmp_path):
    (tmp_path / "nginx.conf").write_bytes(b"include caf\xe9/*.conf; # \xff\n")
    (tmp_path / "caf\udce9").mkdir()
    (tmp_path / "caf\udce9" / "x.conf").write_text("")
    assert len(read_tree(str(tmp_path / "nginx.conf")).files) == 2
