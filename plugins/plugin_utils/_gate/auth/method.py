# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a method of authentication is, and how an operator combines methods."""

from __future__ import annotations

import typing as t

from ..context import Gate

Options = t.Mapping[str, t.Any]


class Method:
    """One way to tell who may connect to a location."""

    name = ""
    # What a client has to bring, in a word.
    credential = ""
    # Answers to a client that brings nothing; 101: it is let in.
    answers: t.Tuple[int, ...] = ()
    # Which of its fields of a location decide who is let in.
    guards: t.Tuple[str, ...] = ()

    def read(self, gate: Gate, where: str, kind: Kind, options: Options, inherited: Options) -> t.Dict[str, t.Any]:
        """Check the method's own options, and return its fields of the location, also where it is not used.

        ``inherited`` has the server's htpasswd_file and realm, checked.
        """
        return {}

    def complete(self, gate: Gate, where: str, kind: Kind, options: Options, location: Options) -> t.Dict[str, t.Any]:
        """The same for what depends on the rest of the location, its upstream among it."""
        return {}


class Kind(t.NamedTuple):
    """A value of the option auth: one method, or any or all of several.

    One without methods could not be read; what is wrong with it has been told.
    """

    name: str
    methods: t.Tuple[Method, ...]
    is_any: bool = False
    # More than one of its methods is asked in subrequests, and nginx has one subrequest of this kind a location.
    is_combined: bool = False

    def uses(self, method: Method) -> bool:
        return method in self.methods

    def requires(self, method: Method) -> bool:
        """Nobody gets in without."""
        return self.uses(method) and not (self.is_any and len(self.methods) > 1)

    def is_content_with(self, method: Method) -> bool:
        """Nothing else is needed."""
        return self.uses(method) and (self.is_any or len(self.methods) == 1)

    def rendered(self) -> t.Dict[str, t.Any]:
        """What the templates go by."""
        methods = [method.name for method in self.methods]
        if self.is_combined:
            methods = [name for name in methods if name == "basic"] + ["combined"]
        return {
            "methods": methods,
            # What is asked for, where it is more than one.
            "asked": [method.name for method in self.methods] if len(self.methods) > 1 else [],
            "is_any": self.is_any,
            "is_combined": self.is_combined,
            # A password, and what else is asked for.
            "is_satisfied_by_any": self.is_any and len(methods) > 1,
        }

    def answers(self) -> t.Tuple[int, ...]:
        """What a client may get that brings nothing."""
        return tuple(sorted({status for method in self.methods for status in method.answers}))
