# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any or all of several methods of authentication.

nginx asks one subrequest a location, and looks at neither a password nor an address in it. So a password is asked for
in the location itself, beside the subrequest (``satisfy``), and the subrequest goes from one internal location to the
next for everything else: a client certificate, a token, a signed token, the operator's own service, in this order.
"""

from __future__ import annotations

import typing as t

from ..._problems import shown
from ..context import Gate
from ..options import AUTH_LIST_DEFAULTS, AUTH_LISTED
from .basic import BASIC
from .client_certificate import CLIENT_CERTIFICATE
from .external import EXTERNAL
from .jwt import JWT
from .method import Kind, Method
from .token import TOKEN

# In the order in which nginx asks for them.
LISTED: t.Dict[str, Method] = {method.name: method for method in (BASIC, CLIENT_CERTIFICATE, TOKEN, JWT, EXTERNAL)}
# In the order in which they stand in a kind's name, as they do in token_or_basic.
_NAMED = ("token", "jwt", "external", "client_certificate", "basic")
_JOINTS = {"any": "_or_", "all": "_and_"}


def kind(names: t.Collection[str], is_any: bool) -> Kind:
    """Any or all of these methods, two or more."""
    methods = tuple(method for name, method in LISTED.items() if name in names)
    asked = [method for method in methods if method is not BASIC]
    joint = _JOINTS["any" if is_any else "all"]
    return Kind(
        joint.join(name for name in _NAMED if name in names),
        methods,
        is_any=is_any,
        is_combined=len(asked) > 1 or CLIENT_CERTIFICATE in asked,
    )


def kind_of(name: str) -> t.Optional[Kind]:
    """The kind of that name, as kind() gives it."""
    for joint in _JOINTS.values():
        names = name.split(joint)
        if len(names) > 1 and set(names) <= set(LISTED):
            return kind(names, joint == _JOINTS["any"])
    return None


def names(gate: Gate, where: str, given: t.Mapping[str, t.Any]) -> t.Tuple[t.List[str], bool]:
    """The methods that ``{any: [...]}`` or ``{all: [...]}`` names, and whether any of them is enough.

    None of them where something is wrong, which is told once.
    """
    problems = gate.problems
    before = len(problems.found)
    options = problems.options(f"{where}, auth", given, AUTH_LIST_DEFAULTS)
    wanted = [word for word in _JOINTS if given.get(word) is not None]
    is_any = wanted == ["any"]
    found: t.List[str] = []
    if len(problems.found) > before:
        return [], is_any
    if len(wanted) != 1:
        problems.add(
            where,
            f"auth {shown(given)} needs any or all, one of the two; write {{any: [token, jwt]}} or "
            "{all: [token, basic]}. Lists of methods do not go within each other",
        )
        return [], is_any
    here = f"auth {wanted[0]}"
    for item in problems.items(where, here, options[wanted[0]]):
        what = _complaint(item, found)
        if what:
            problems.add(where, f"{here} {what}")
            return [], is_any
        found.append(str(item))
    if len(problems.found) == before and not found:
        problems.add(where, f"{here} is empty; name some of {', '.join(AUTH_LISTED)}")
    elif not is_any and {"token", "jwt", "basic"} <= set(found):
        problems.add(
            where,
            "auth all of token, jwt and basic needs two places in Authorization: one for the signed token, as the "
            "cookie has the token, and one for the password; leave one of the three out",
        )
        return [], is_any
    return found, is_any


def _complaint(item: t.Any, before: t.Sequence[str]) -> str:
    """What is wrong with an item of a list; nothing where nothing is."""
    if isinstance(item, (list, tuple, t.Mapping)):
        return f"has {shown(item)} in it; lists of methods do not go within each other, so name the methods one by one"
    if item == "none":
        return "has none in it, which asks for nothing; leave it out, or set auth: none to let everybody in"
    if item not in AUTH_LISTED:
        return f"has {shown(item)} in it, which is none of {', '.join(AUTH_LISTED)}"
    return f"names {item} twice; keep one" if item in before else ""


def rendered(kind: Kind, location: t.Mapping[str, t.Any]) -> t.Optional[t.Dict[str, t.Any]]:
    """What the templates go by; None where a method is asked as it is alone."""
    if not kind.is_combined:
        return None
    is_last = [method for method in (EXTERNAL, TOKEN, JWT) if kind.uses(method)]
    has_bearer = any("bearer" in location[name]["sources"] for name in ("token", "jwt") if location[name])
    has_last_word = kind.is_any and kind.uses(EXTERNAL)
    # With all of them, the token that may come in Authorization is the one that is refused there.
    blamed = {"external": "external_auth", "token": "token", "jwt": "jwt_malformed"}
    carried = JWT if kind.uses(JWT) and not kind.is_any else TOKEN
    decider = is_last[0] if kind.is_any and is_last else carried
    return {
        "path": f"/.wssgate/{'any' if kind.is_any else 'all'}/{location['slug']}",
        "is_any": kind.is_any,
        "asked": [method.name for method in kind.methods if method is not BASIC],
        **{name: kind.uses(method) for name, method in LISTED.items()},
        # Whether a refusal has a location of its own, and what the log has where no method has said more.
        "has_refusal": has_bearer or (has_last_word and kind.uses(JWT)),
        "has_bearer": has_bearer,
        "has_last_word": has_last_word,
        "blamed": blamed[decider.name],
    }
