# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's settings for the documentation as a site, by `make docs-site`.

The Markdown files are those of the repository, in the same folders, so that their links to each other hold. What a
link leads to that is no page of the site (a program, an inventory) is shown by the repository's own pages.
"""

from __future__ import annotations

import html
import os
import sys
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from pygments.lexers.configs import IniLexer
from pygments.lexers.shell import BashLexer
from pygments.lexers.special import TextLexer

SOURCE = Path(__file__).resolve().parent
CHECKOUT = Path(os.environ["WSSGATE_CHECKOUT"])
sys.path.insert(0, str(CHECKOUT / "scripts" / "site"))

import markdown  # noqa: E402

REPOSITORY = "https://github.com/wssgate/wssgate.nginx"

project = "wssgate.nginx"
author = "wssgate contributors"
project_copyright = "wssgate contributors"
release = version = os.environ["WSSGATE_VERSION"]
html_title = f"{project} {release}"
html_short_title = project

extensions = ["sphinx_antsibull_ext", "sphinx.ext.intersphinx", "myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
default_role = "any"
highlight_language = "YAML+Jinja"
pygments_style = "ansible"

html_theme = "sphinx_ansible_theme"
html_theme_options = {
    "documentation_home_url": REPOSITORY,
    "show_extranav": False,
    "show_rtd_ethical_ads": False,
    "titles_only": True,
    "navigation_depth": 2,
    "topbar_links": {"Source": REPOSITORY},
}
html_static_path = ["_static"]
html_use_index = False
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions: list[str] = []
myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]

nitpicky = True

# What Ansible's own documentation has. Its whole list would have to be fetched, which fails where there is no network.
ANSIBLE = {
    "action_plugins": "plugins/action.html#action-plugins",
    "ansible_configuration_settings": "reference_appendices/config.html#ansible-configuration-settings",
    "common_return_values": "reference_appendices/common_return_values.html#common-return-values",
}
ANSIBLE_PLUGINS = (
    "ansible.builtin.b64encode_filter",
    "ansible.builtin.copy_module",
    "ansible.builtin.slurp_module",
    "ansible.builtin.uri_module",
    "community.crypto.x509_certificate_module",
)
# How blocks of code are coloured that Pygments has another idea of, or none.
LEXERS = {"alloy": TextLexer, "conf": IniLexer, "console": BashLexer, "rsyslog": TextLexer}


def write_inventory(path: Path) -> None:
    """Writes the labels of Ansible's documentation in the form that Sphinx reads."""
    head = "# Sphinx inventory version 2\n# Project: Ansible\n# Version: \n# The rest is compressed using zlib.\n"
    plugins = {f"ansible_collections.{name}": f"collections/{name.replace('.', '/')}.html" for name in ANSIBLE_PLUGINS}
    lines = "".join(f"{label} std:label -1 {place} {label}\n" for label, place in (ANSIBLE | plugins).items())
    path.write_bytes(head.encode() + zlib.compress(lines.encode()))


write_inventory(SOURCE / "ansible.inv")
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/latest/", "ansible.inv")}


class Mermaid(Directive):
    """A picture that the reader's browser draws, by a program that the site has itself."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = html.escape("\n".join(self.content), quote=False)
        return [nodes.raw("", f'<pre class="mermaid">\n{text}\n</pre>', format="html")]


def rewrite(app: Any, page: str, content: list[str]) -> None:
    """Has links lead out of the site where it has no such page, and names of modules to their documentation."""
    path = Path(app.env.doc2path(page))
    if path.suffix != ".md":
        return
    name = path.relative_to(SOURCE).as_posix()

    def change(address: str) -> str:
        if markdown.is_elsewhere(address):
            return address
        wanted, anchor = markdown.target(name, address)
        if (SOURCE / wanted).is_file():
            return address
        if not (CHECKOUT / wanted).exists():
            raise ValueError(f"{name}: there is no {wanted}")
        kind = "tree" if (CHECKOUT / wanted).is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{wanted}{f'#{anchor}' if anchor else ''}"

    text = markdown.rewritten(content[0], change)
    above = "../" * name.count("/")
    modules = {
        file.stem.removesuffix("_module"): f"{above}collections/{file.name}"
        for file in (SOURCE / "collections").glob("*_module.rst")
    }
    content[0] = markdown.linked(text, modules)


def add_pictures(app: Any, page: str, _template: str, _context: dict[str, Any], tree: nodes.document | None) -> None:
    """Gives a page the program that draws, where it has pictures."""
    if tree is not None and any('class="mermaid"' in node.astext() for node in tree.findall(nodes.raw)):
        app.add_js_file("mermaid.min.js")
        app.add_js_file("pictures.js")


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("mermaid", Mermaid)
    for name, lexer in LEXERS.items():
        app.add_lexer(name, lexer)
    app.connect("source-read", rewrite)
    app.connect("html-page-context", add_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
