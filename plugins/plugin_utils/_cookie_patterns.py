# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How nginx reads a token out of an Authorization header, one cookie out of a Cookie header, and what is left of the
header without it (RFC 6265 4.2.1).
"""

from __future__ import annotations

import re
import typing as t

from ..module_utils._tokens.pattern import TOKEN_PATTERN

# What a value may be, by kind of token. Whether it is a signed one, jwt.js tells.
VALUES = {"token": TOKEN_PATTERN, "jwt": "[A-Za-z0-9._-]++"}
# RFC 6750 2.1: the scheme has no case, one or more blanks follow. nginx has taken the blanks at the header's ends.
BEARER_TOKEN = rf"^(?i:bearer) ++(?<wss_value_of_bearer>{VALUES['token']})$"
BEARER_JWT = rf"^(?i:bearer) ++(?<wss_jwt_of_bearer>{VALUES['jwt']})$"
# Whatever some server may take for a token by this way.
BEARER_PRESENT = r"(?:^|,)[ \t]*bearer(?:[ \t,]|$)"


def cookie_patterns(name: str, kind: str = "token") -> t.Dict[str, str]:
    """The regular expressions (PCRE) of the two maps on a Cookie header.

    ``token``: the cookie exactly once, in its exact case, with a value that can be a token, which it captures.
    ``none``: no spelling of the cookie is there.
    ``absent``, ``first`` and ``later`` capture what else stands in the header where the cookie is not there at all, is
    the first, or follows others.

    Each step is possessive, so a long header costs one pass and cannot be made to backtrack. All cookies have the same
    captures: a map reads its own as soon as it has matched.
    """
    cookie, value = re.escape(name), VALUES[kind]
    # Any spelling that some server would read as this cookie counts as a second one: blanks around its name, too.
    other = rf"(?![ \t]*{cookie}[ \t]*=)[^;]*+"
    others = rf"{other}(?:;{other})*+"
    this = rf"[ \t]?{cookie}="
    return {
        "token": rf"^(?:{other};)*+{this}(?<wss_value>{value})(?:;{other})*+$",
        "none": rf"^{others}$",
        "absent": rf"^(?<wss_all>{others})$",
        "first": rf"^{this}{value}(?:;[ \t]?(?<wss_after>{others}))?$",
        "later": rf"^(?<wss_before>{others});{this}{value}(?<wss_behind>(?:;{other})*+)$",
    }
