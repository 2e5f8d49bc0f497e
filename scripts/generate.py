"""Writes what follows from the roles' argument_specs: generate.py [--check]

An option's type, default, choices and description stand once, in roles/ROLE/meta/argument_specs.yml. From it come

- roles/ROLE/defaults/main.yml, together with roles/ROLE/meta/computed_defaults.yml, which has the defaults that Ansible
  works out from other variables (argument_specs can only state fixed ones),
- the tables of roles/ROLE/README.md, between the two markers below,
- plugins/plugin_utils/_gate/defaults.py, which gives the gate's filters the defaults and choices of role wss_proxy.

The platforms in roles/ROLE/meta/main.yml come from the table of operating systems, plugins/plugin_utils/_platforms.py.

With --check nothing is written; each file that differs from what would be written is named, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml
from antsibull_docs_parser import dom
from antsibull_docs_parser.format import Formatter, format_paragraphs
from antsibull_docs_parser.parser import Context, parse

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "wssgate.nginx"
COMMAND = "make generate"
BEGIN = "<!-- options: begin -->"
END = "<!-- options: end -->"
README_NOTE = (
    f"<!-- Generated from meta/argument_specs.yml by '{COMMAND}'. Changes made between the markers are lost. -->"
)
WIDTH = 120

# The role whose nested options the gate's filters read.
GATE_ROLE = "wss_proxy"
PLATFORMS_FILE = "plugins/plugin_utils/_platforms.py"
GATE_FILE = "plugins/plugin_utils/_gate/defaults.py"

# What an option without a default has in Python: nothing, of its own type where there is such a value.
NOTHING: t.Dict[str, t.Any] = {"str": "", "path": "", "list": [], "dict": {}}

TYPES = {
    "bool": ("boolean", "booleans"),
    "dict": ("dictionary", "dictionaries"),
    "float": ("number", "numbers"),
    "int": ("integer", "integers"),
    "list": ("list", "lists"),
    "path": ("path", "paths"),
    "raw": ("any", "any type"),
    "str": ("string", "strings"),
}

Options = t.Dict[str, t.Any]

# The same in C, where there is one.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SourceError(Exception):
    """What is wrong with a source, and where."""


# -- descriptions, in Ansible's markup ---------------------------------------------------------------------------

# Marks the end of a sentence while a description is rendered. A full stop within code ends none.
_SENTENCE_END = "\0"


class _Text(Formatter):
    """Plain text, for comments."""

    def __init__(self, siblings: str = "") -> None:
        # Where the described option stands. Options beside it go by their last name.
        self.siblings = siblings

    def text(self, text: str) -> str:
        return text

    def code(self, text: str) -> str:
        return text if any(letter.isalnum() for letter in text) else f"'{text}'"

    def format_text(self, part: dom.TextPart) -> str:
        return re.sub(r"(?<=[.]) +", _SENTENCE_END, self.text(part.text))

    def format_error(self, part: dom.ErrorPart) -> str:
        raise SourceError(part.message)

    def format_option_name(self, part: dom.OptionNamePart, url: t.Optional[str]) -> str:
        above, _dot, last = part.name.rpartition(".")
        name = last if above == self.siblings else part.name
        return self.code(name if part.value is None else f"{name}={part.value}")

    def format_return_value(self, part: dom.ReturnValuePart, url: t.Optional[str]) -> str:
        return self.code(part.name if part.value is None else f"{part.name}={part.value}")

    def format_bold(self, part: dom.BoldPart) -> str:
        return self.text(part.text)

    def format_italic(self, part: dom.ItalicPart) -> str:
        return self.text(part.text)

    def format_code(self, part: dom.CodePart) -> str:
        return self.code(part.text)

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        return self.code(part.value)

    def format_env_variable(self, part: dom.EnvVariablePart) -> str:
        return self.code(part.name)

    def format_module(self, part: dom.ModulePart, url: t.Optional[str]) -> str:
        return self.code(part.fqcn)

    def format_plugin(self, part: dom.PluginPart, url: t.Optional[str]) -> str:
        return self.code(part.plugin.fqcn)

    def format_link(self, part: dom.LinkPart) -> str:
        return f"{self.text(part.text)} ({part.url})"

    def format_url(self, part: dom.URLPart) -> str:
        return part.url

    def format_rst_ref(self, part: dom.RSTRefPart) -> str:
        return self.text(part.text)

    def format_horizontal_line(self, part: dom.HorizontalLinePart) -> str:
        return ""


class _Markdown(_Text):
    """A cell of a table in GitHub's Markdown. The escapes of antsibull_docs_parser.md are unreadable in the source."""

    def text(self, text: str) -> str:
        return re.sub(r"([\\`*<>\[\]|])", r"\\\1", text)

    def code(self, text: str) -> str:
        fence = "``" if "`" in text else "`"
        return f"{fence}{text}{fence}".replace("|", r"\|")

    def format_bold(self, part: dom.BoldPart) -> str:
        return f"**{self.text(part.text)}**"

    def format_italic(self, part: dom.ItalicPart) -> str:
        return f"*{self.text(part.text)}*"

    def format_link(self, part: dom.LinkPart) -> str:
        return f"[{self.text(part.text)}]({part.url})"

    def format_url(self, part: dom.URLPart) -> str:
        return f"<{part.url}>"


def sentences(role: str, entry_point: str, description: t.Any, formatter: Formatter) -> t.List[str]:
    """A description's sentences, rendered."""
    paragraphs = [description] if isinstance(description, str) else list(description or [])
    plugin = dom.PluginIdentifier(fqcn=f"{COLLECTION}.{role}", type="role")
    found: t.List[str] = []
    for paragraph in paragraphs:
        text = " ".join(str(paragraph).split())
        parsed = parse([text], Context(current_plugin=plugin, role_entrypoint=entry_point))
        rendered = format_paragraphs(
            parsed,
            formatter=formatter,
            link_provider=None,
            par_start="",
            par_end="",
            par_sep="",
            par_empty="",
            current_plugin=plugin,
        )
        found += [sentence.strip() for sentence in rendered.split(_SENTENCE_END) if sentence.strip()]
    return found


# -- sources -----------------------------------------------------------------------------------------------------


class Role:
    """A role's options, as its sources have them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self.specs_path = directory / "meta" / "argument_specs.yml"
        self.computed_path = directory / "meta" / "computed_defaults.yml"
        self.entry_points: t.Dict[str, Options] = self._loaded(self.specs_path)["argument_specs"]
        self.computed: Options = self._loaded(self.computed_path) if self.computed_path.exists() else {}
        self.options: Options = self.entry_points["main"].get("options") or {}
        self.defaults = self._defaults()

    @staticmethod
    def _loaded(path: Path) -> t.Any:
        return yaml.load(path.read_text(encoding="utf-8"), Loader) or {}

    def _defaults(self) -> t.Dict[str, t.Any]:
        """The defaults of the variables that entry point main takes."""
        found: t.Dict[str, t.Any] = {}
        for name, option in self.options.items():
            if name in self.computed and "default" in option:
                raise SourceError(f"{self.computed_path}: {name} has a default in argument_specs.yml, too; keep one")
            if name in self.computed:
                found[name] = self.computed[name]
            elif "default" in option:
                found[name] = option["default"]
            elif not option.get("required"):
                raise SourceError(
                    f"{self.specs_path}: {name} has no default; give it one there, or one that is worked out "
                    f"from other variables in {self.computed_path.name}"
                )
        unknown = [name for name in self.computed if name not in self.options]
        if unknown:
            raise SourceError(f"{self.computed_path}: {', '.join(unknown)} is no variable in argument_specs.yml")
        return found

    def described(self, entry_point: str, name: str, option: Options, formatter: Formatter) -> t.List[str]:
        try:
            return sentences(self.name, entry_point, option.get("description"), formatter)
        except SourceError as error:
            raise SourceError(f"{self.specs_path}: the description of {name}: {error}") from error


def is_list(option: Options) -> bool:
    """Whether it is a list. One that the role checks itself, instead of Ansible, has type raw."""
    kind = option.get("type", "str")
    return kind == "list" or (kind == "raw" and "options" in option and isinstance(option.get("default"), list))


def step(name: str, option: Options) -> str:
    """The part of a path that leads to an option's own options."""
    return f"{name}[]" if is_list(option) else name


def levels(options: Options, *above: str) -> t.Iterator[t.Tuple[t.Tuple[str, ...], Options]]:
    """The options of every option that has some, at all depths, each with the path to them."""
    for name, option in options.items():
        if option.get("options"):
            yield (*above, name), option["options"]
            yield from levels(option["options"], *above, name)


# -- defaults/main.yml -------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Lists within mappings are indented, as yamllint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def yaml_text(value: t.Any) -> str:
    return yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, width=10**6, sort_keys=False, allow_unicode=True
    ).rstrip()


def yaml_entry(name: str, value: t.Any) -> str:
    """A key and its value, as one writes it by hand."""
    is_template = isinstance(value, str) and "{{" in value
    text = f"{name}: {json.dumps(value, ensure_ascii=False)}" if is_template else yaml_text({name: value})
    # Only what folding leaves as it is.
    if isinstance(value, str) and len(text) > WIDTH and value == " ".join(value.split()):
        text = f"{name}: >-\n" + "\n".join(f"  {line}" for line in wrapped(value, WIDTH - 2))
    return text


def wrapped(text: str, width: int) -> t.List[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in wrapped(text, WIDTH - 2))


def defaults_file(role: Role) -> str:
    sources = "meta/argument_specs.yml" + (f" and meta/{role.computed_path.name}" if role.computed else "")
    parts = [
        comment(f"Generated from {sources} by '{COMMAND}'. Changes made here are lost.")
        + "\n"
        + comment(f"README.md and 'ansible-doc -t role {COLLECTION}.{role.name}' have all about each variable.")
    ]
    for name, default in role.defaults.items():
        described = role.described("main", name, role.options[name], _Text())
        parts.append("\n".join([*(comment(sentence) for sentence in described[:1]), yaml_entry(name, default)]))
    text = "---\n" + "\n\n".join(parts) + "\n"
    if (yaml.load(text, Loader) or {}) != role.defaults:
        raise SourceError(f"{role.specs_path}: there is a default that cannot be written and read again")
    return text


# -- README.md ---------------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def heading_of(path: t.Sequence[str]) -> str:
    """What is at a path such as ("wss_proxy_servers[]", "listen[]")."""
    dotted = ".".join(path)
    return f"An entry of `{dotted.removesuffix('[]')}`" if dotted.endswith("[]") else f"The dictionary `{dotted}`"


def type_of(option: Options, target: str) -> str:
    kind = option.get("type", "str")
    if not is_list(option):
        kind = "dict" if kind == "raw" and target else kind
        return f"[{TYPES[kind][0]}](#{target})" if target else TYPES[kind][0]
    elements = option.get("elements", "raw") if kind == "list" else "dict"
    if elements != "raw":
        return f"list of [{TYPES[elements][1]}](#{target})" if target else f"list of {TYPES[elements][1]}"
    # A dictionary is one of the forms that an item may have.
    return f"list, see [its options](#{target})" if target else "list"


def flow(value: t.Any) -> str:
    """A value as one writes it in a line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def default_of(option: Options, told: t.List[str]) -> str:
    """What stands in the column of defaults. Where that is a sentence of the description, it is taken out of there."""
    if option.get("required"):
        return "required"
    default = option.get("default")
    if default in (None, "", [], {}):
        for sentence in told:
            if sentence.startswith("Default is "):
                told.remove(sentence)
                return sentence.removeprefix("Default is ").removesuffix(".")
    if default is None:
        return "none"
    return "empty" if default == "" else _Markdown().code(flow(default))


def table(role: Role, entry_point: str, options: Options, path: t.Sequence[str]) -> t.List[str]:
    markdown = _Markdown(".".join(path))
    lines = [f"| {'option' if path else 'variable'} | type | default | description |", "|---|---|---|---|"]
    for name, option in options.items():
        told = role.described(entry_point, ".".join([*path, name]), option, markdown)
        default = default_of(option, told)
        if option.get("choices"):
            told.append("Choices: " + ", ".join(markdown.code(flow(choice)) for choice in option["choices"]) + ".")
        if option.get("version_added"):
            told.append(f"Since version {option['version_added']}.")
        target = anchor(heading_of([*path, step(name, option)])) if option.get("options") else ""
        lines.append(f"| `{name}` | {type_of(option, target)} | {default} | {' '.join(told)} |")
    return lines


def tables(role: Role, entry_point: str, options: Options, path: t.Sequence[str] = ()) -> t.List[str]:
    """The table of these options, and of all below them."""
    lines = table(role, entry_point, options, path)
    for name, option in options.items():
        if option.get("options"):
            below = [*path, step(name, option)]
            lines += ["", f"### {heading_of(below)}", "", *tables(role, entry_point, option["options"], below)]
    return lines


def readme_section(role: Role) -> str:
    lines = [BEGIN, README_NOTE, "", *tables(role, "main", role.options)]
    for name, entry_point in role.entry_points.items():
        own = {
            key: option for key, option in (entry_point.get("options") or {}).items() if role.options.get(key) != option
        }
        if name != "main" and own:
            about = " ".join(sentences(role.name, name, entry_point.get("description"), _Markdown()))
            lines += ["", f"### Entry point `{name}`", "", *wrapped(about, WIDTH)]
            lines += ["", *tables(role, name, own)]
    return "\n".join([*lines, "", END])


def readme_file(role: Role) -> str:
    path = role.directory / "README.md"
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise SourceError(f"{path}: needs the lines {BEGIN} and {END}, once each and in this order")
    return before + readme_section(role) + after


# -- plugins/plugin_utils/_gate/defaults.py ----------------------------------------------------------------------

GATE_HEADER = f'''\
# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults and choices of role {GATE_ROLE}'s options.

Generated from roles/{GATE_ROLE}/meta/argument_specs.yml by '{COMMAND}'. Changes made here are lost.
"""

from __future__ import annotations

import typing as t
'''


def python(value: t.Any) -> str:
    """A value in Python, with the quotes of the other files."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        items = ", ".join(python(item) for item in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{python(key)}: {python(item)}" for key, item in value.items()) + "}"
    return repr(value)


def python_item(key: str, value: t.Any, indent: str) -> t.List[str]:
    """An item of a dictionary, in several lines where it is too long for one, as the formatter writes it."""
    line = f"{indent}{python(key)}: {python(value)},"
    if len(line) <= WIDTH or not isinstance(value, (list, tuple)):
        return [line]
    opening, closing = "[]" if isinstance(value, list) else "()"
    inner = [f"{indent}    {python(item)}," for item in value]
    return [f"{indent}{python(key)}: {opening}", *inner, f"{indent}{closing},"]


def python_default(option: Options) -> t.Any:
    nothing = NOTHING.get(option.get("type", "str"))
    default = option.get("default")
    return nothing if default is None else default


def gate_file(role: Role) -> str:
    fixed = {name: option["default"] for name, option in role.options.items() if "default" in option}
    lines = [GATE_HEADER, "# Variables that have a fixed default.", "VARIABLES: t.Dict[str, t.Any] = {"]
    for name, default in fixed.items():
        lines += python_item(name, default, " " * 4)
    lines += [
        "}",
        "",
        "# The options of each dictionary within them. One without a default has what is nothing of its type: '', []",
        "# or {}, and None where its type has no such value.",
        "OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {",
    ]
    for path, options in levels(role.options):
        lines.append(f"    {python('.'.join(path))}: {{")
        for name, option in options.items():
            lines += python_item(name, python_default(option), " " * 8)
        lines.append("    },")
    lines += [
        "}",
        "",
        "# What an option may be, where only some values are.",
        "CHOICES: t.Dict[str, t.Tuple[t.Any, ...]] = {",
    ]
    for path, options in [((), role.options), *levels(role.options)]:
        for name, option in options.items():
            if option.get("choices"):
                lines += python_item(".".join([*path, name]), tuple(option["choices"]), " " * 4)
    return "\n".join([*lines, "}"]) + "\n"


# -- meta/main.yml -----------------------------------------------------------------------------------------------


def galaxy_platforms(root: Path) -> t.List[t.Dict[str, t.Any]]:
    """The operating systems of the table, which imports nothing of Ansible's."""
    return runpy.run_path(str(root / PLATFORMS_FILE))["galaxy_platforms"]()


def metadata_file(role: Role, platforms: t.List[t.Dict[str, t.Any]]) -> str:
    """A role's metadata with these platforms in the place of those that are there."""
    path = role.directory / "meta" / "main.yml"
    text = path.read_text(encoding="utf-8")
    entries = [f"    - name: {entry['name']}\n      versions: {json.dumps(entry['versions'])}\n" for entry in platforms]
    # Up to the next key of galaxy_info, or of the file.
    found = re.subn(r"(?m)^  platforms:\n(?: {4}.*\n)+", lambda _found: "  platforms:\n" + "".join(entries), text)
    if found[1] != 1:
        raise SourceError(f"{path}: needs 'platforms:' in galaxy_info, once")
    return found[0]


# -- all of it ---------------------------------------------------------------------------------------------------


def generated(root: Path) -> t.Dict[Path, str]:
    """Every file of which something is generated, as it has to be."""
    files: t.Dict[Path, str] = {}
    platforms = galaxy_platforms(root)
    for directory in sorted(path.parents[1] for path in (root / "roles").glob("*/meta/argument_specs.yml")):
        role = Role(directory)
        files[directory / "defaults" / "main.yml"] = defaults_file(role)
        files[directory / "README.md"] = readme_file(role)
        files[directory / "meta" / "main.yml"] = metadata_file(role, platforms)
        if role.name == GATE_ROLE:
            files[root / GATE_FILE] = gate_file(role)
    return files


def stale(root: Path) -> t.Dict[Path, str]:
    """Those that are not."""
    return {
        path: text
        for path, text in generated(root).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(command_line: t.Optional[t.Sequence[str]] = None, root: Path = ROOT) -> t.Optional[str]:
    """Returns what is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file is not as it would be written"
    )
    arguments = parser.parse_args(command_line)
    try:
        differing = stale(root)
    except SourceError as error:
        return str(error)
    names = [str(path.relative_to(root)) for path in differing]
    if arguments.check:
        return f"Not up to date, run '{COMMAND}': {', '.join(names)}" if names else None
    for path, text in differing.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print("\n".join(f"Written: {name}" for name in names) or "Everything is up to date")
    return None


if __name__ == "__main__":
    sys.exit(main())
