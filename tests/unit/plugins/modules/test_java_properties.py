# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of Java properties is read as Java reads it, and what is not asked for stays byte for byte.

What Java makes of the texts was seen with java.util.Properties of OpenJDK 17.
"""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import java_properties
from ansible_collections.wssgate.nginx.plugins.modules import java_properties as module
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

SECRET = "hunter2-keystore"
Call = t.Callable[..., t.Dict[str, t.Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flashphoner.properties"


@pytest.fixture
def call(path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(check: bool = False, **settings: t.Any) -> t.Dict[str, t.Any]:
        arguments = {"path": str(path), "settings": settings, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        text = capsys.readouterr().out
        assert SECRET not in text
        found: t.Dict[str, t.Any] = json.loads(text)
        return found

    return call


READ = [
    ("a=1", {"a": "1"}),
    ("a = 1 \nb:2\nc 3\n\td\f=\t4\n", {"a": "1 ", "b": "2", "c": "3", "d": "4"}),
    ("a\nb=\nc:\n", {"a": "", "b": "", "c": ""}),
    ("a==1\nb=:2\nc : = 3\n", {"a": "=1", "b": ":2", "c": "= 3"}),
    ("# a=1\n ! b=2\n\n \t\nc=3 # not a comment\n", {"c": "3 # not a comment"}),
    ("a=1\na=2\n", {"a": "2"}),
    ("a=1\rb=2\r\nc=3\r", {"a": "1", "b": "2", "c": "3"}),
    ("a=1,\\\n  2,\\\r\n\t3\nb=4", {"a": "1,2,3", "b": "4"}),
    ("a=1\\\nb=2\n", {"a": "1b=2"}),
    ("a=1\\\n\nb=2\n", {"a": "1", "b": "2"}),
    ("a=1\\\n# 2\n", {"a": "1# 2"}),
    ("a=1\\\\\nb=2\\\\\\\n3\n", {"a": "1\\", "b": "2\\3"}),
    ("# a=1\\\nb=2\n", {"b": "2"}),
    ("a\\\n  b=1\n", {"ab": "1"}),
    ("\\\na=1\n", {"a": "1"}),
    ("\\\n\n# a=1\n", {}),
    ("\\\n# a=1\nb=2\n", {"b": "2"}),
    ("a=1\\", {"a": "1"}),
    ("\\", {}),
    ("a\\=b=1\na\\ c=2\na\\:d\\:=3\n\\#e=4\n", {"a=b": "1", "a c": "2", "a:d:": "3", "#e": "4"}),
    ("\\u0061\\u003db=\\u00e9\\u20AC\\ud83d\\ude00\n", {"a=b": "\u00e9\u20ac\U0001f600"}),
    ("a=\\t\\n\\r\\f\\q\\\\u0041\n", {"a": "\t\n\r\fq\\u0041"}),
    ("a=caf\u00e9\x00\x85\n", {"a": "caf\u00e9\x00\x85"}),
    ("=1\n", {"": "1"}),
    ("", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "settings"), READ, ids=[repr(text) for text, _settings in READ])
def test_a_file_is_read_as_java_reads_it(text: str, settings: t.Dict[str, str]) -> None:
    assert {one.key: one.value for one in java_properties.settings_of(text)[0]} == settings


@pytest.mark.parametrize(("text", "_settings"), READ, ids=[repr(text) for text, _settings in READ])
@pytest.mark.parametrize("key", ["a", "new key"])
@pytest.mark.parametrize("value", ["x", "  y\\ \u00e9\u20ac\U0001f600\n#="])
def test_what_is_set_is_what_is_read_and_nothing_else_changes(
    text: str, _settings: t.Dict[str, str], key: str, value: str
) -> None:
    before = {one.key: one.value for one in java_properties.settings_of(text)[0]}
    after, changes = java_properties.changed(text, {key: value})
    assert {one.key: one.value for one in java_properties.settings_of(after)[0]} == {**before, key: value}
    assert changes == [(key, before.get(key), value)]
    assert java_properties.changed(after, {key: value}) == (after, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# h\na=0\r\n  a : 1\r\nb=2", "# h\na=0\r\na=new\r\nb=2"),
        ("b=2\na=1", "b=2\na=new"),
        ("a=1,\\\n 2\nb=2\n", "a=new\nb=2\n"),
        ("b=2", "b=2\na=new\n"),
        ("b=2\r", "b=2\ra=new\n"),
        ("b=2,\\\n", "b=2,\\\n\n\na=new\n"),
        ("b=2,\\", "b=2,\\\n\na=new\n"),
        ("\\\n\n", "\\\n\na=new\n"),
        ("", "a=new\n"),
        ("a=n\\u0065w\\\n", "a=n\\u0065w\\\n"),
    ],
)
def test_lines_keep_their_ends_and_what_is_added_stands_alone(before: str, after: str) -> None:
    assert java_properties.changed(before, {"a": "new"})[0] == after


def test_several_keys_change_at_once_in_whatever_order_they_are_there() -> None:
    text = "a=1\nb=a long value\n# c\nc=\\\n3\n"
    wanted = {"c": "x", "d": "new", "a": "longer than before", "b": ""}
    assert java_properties.changed(text, wanted)[0] == "a=longer than before\nb=\n# c\nc=x\nd=new\n"


def test_a_file_is_changed_in_place_and_a_second_run_changes_nothing(path: Path, call: Call) -> None:
    path.write_bytes(f"password={SECRET}\r\ncaf\xe9=\x00\n a : 1\n".encode("iso-8859-1"))
    path.chmod(0o640)
    expected = [{"key": "a", "before": "1", "after": "2"}, {"key": "b", "before": None, "after": "3"}]
    for check in (True, False):
        found = call(check, a="2", b="3")
        assert (found["changed"], found["changes"]) == (True, expected)
        assert (found["diff"]["before"], found["diff"]["after"]) == ("a=1\n", "a=2\nb=3\n")
        assert (b"\n a : 1\n" in path.read_bytes()) is check
    assert path.read_bytes() == f"password={SECRET}\r\ncaf\xe9=\x00\na=2\nb=3\n".encode("iso-8859-1")
    assert path.stat().st_mode & 0o7777 == 0o640
    status = path.stat()
    found = call(a="2", b="3")
    assert (found["changed"], found["changes"]) == (False, [])
    assert path.stat() == status and os.listdir(path.parent) == [path.name]


def test_a_value_that_is_no_text_is_shown_all_the_same(path: Path, call: Call) -> None:
    path.write_text("a=\\ud83d\n")
    assert call(a="2")["changes"] == [{"key": "a", "before": "\\ud83d", "after": "2"}]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to("elsewhere"), "is a symlink, which is not followed"),
        (Path.mkdir, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: None, ": No such file or directory"),
        (lambda path: path.write_text("# 1\nb=2\\\n3\nc=\\u12\n"), ": line 4 has \\u without four hexadecimal digits"),
        (lambda path: path.write_bytes(b"#" * (module.LIMIT + 1)), "holds more than 16777216 bytes"),
    ],
    ids=["a symlink", "a folder", "a pipe", "nothing", "an escape that Java refuses", "too much"],
)
def test_what_is_no_file_of_properties_is_refused_and_stays(
    path: Path, call: Call, make: t.Callable[[Path], t.Any], words: str
) -> None:
    (path.parent / "elsewhere").write_text(f"root:{SECRET}\n")
    make(path)
    before = sorted((one.name, one.lstat()) for one in path.parent.iterdir())
    found = call(a="2")
    assert found["failed"] and found["msg"].startswith(str(path)) and words in found["msg"]
    assert [(name, status.st_ino, status.st_size) for name, status in before] == sorted(
        (one.name, one.lstat().st_ino, one.lstat().st_size) for one in path.parent.iterdir()
    )


def test_a_value_that_is_no_string_is_refused(path: Path, call: Call) -> None:
    path.write_text("a=1\n")
    assert "settings: a is True, which is no string; write it in quotes" in call(a=True)["msg"]
    assert path.read_text() == "a=1\n"


def test_content_and_attributes_are_of_one_file_whatever_takes_its_place(
    path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the module has opened is what it reads: a link that is put there then gives nothing away."""
    path.write_text("a=1\n")
    path.chmod(0o600)
    opened = module.files.open_file

    def swapping(name: str) -> int:
        handle = opened(name)
        path.unlink()
        path.symlink_to(path.parent / "elsewhere")
        return handle

    (path.parent / "elsewhere").write_text(f"root:{SECRET}\n")
    monkeypatch.setattr(module.files, "open_file", swapping)
    found = call(a="2")
    assert found["failed"] and "is a symlink" in found["msg"]
    assert (path.parent / "elsewhere").read_text() == f"root:{SECRET}\n"
