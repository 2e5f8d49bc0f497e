# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sessions are meant: each criterion, several at a time, and what names none."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import criteria
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Log, Session
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.selection import Selection, SelectionError, id_of
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import StoreError, full_fingerprint

ONE, TWO = "one-token-of-16ch", "two-token-of-16ch"
SUBJECTS = {ONE: "client-42", TWO: None}


def sessions() -> t.List[Session]:
    lines = (
        (1, "203.0.113.7", ONE, "chat.example.com", "/chat"),
        (2, "2001:db8::7", TWO, "chat.example.com", "/wss"),
        (3, "::ffff:203.0.113.8", "-", "wcs.example.com", "/wss"),
        (4, "unix:", ONE, "-", "-"),
    )
    log = Log()
    for number, visitor, token, server, location in lines:
        log.feed(
            f"S 180000000{number}.5 700 {number} 1 192.0.2.9 5000{number} 192.0.2.1 443 {visitor} {token} "
            f"{server} {location} -\n".encode()
        )
    return list(log.open.values())


def found(**fields: t.Any) -> t.List[int]:
    """The numbers of those that are meant."""
    is_meant = Selection(**fields).matcher(SUBJECTS.get)
    return [int(session.key[1]) for session in sessions() if is_meant(session)]


def test_without_a_criterion_all_are_meant() -> None:
    assert found() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"ids": ("700-2-1", "700-9-1")}, [2]),
        ({"subjects": ("client-42",)}, [1, 4]),
        ({"subjects": ("", "None")}, []),
        ({"fingerprints": (full_fingerprint(TWO)[:12],)}, [2]),
        ({"fingerprints": (full_fingerprint("-")[:12], full_fingerprint("")[:12])}, []),
        ({"addresses": ("203.0.113.7",)}, [1]),
        ({"addresses": ("203.0.113.0/24",)}, [1, 3]),
        ({"addresses": ("::ffff:203.0.113.8",)}, [3]),
        ({"addresses": ("::ffff:203.0.113.0/120",)}, [1, 3]),
        ({"addresses": ("2001:DB8::/32", "198.51.100.1")}, [2]),
        ({"addresses": ("192.0.2.9",)}, []),
        ({"server_names": ("Chat.example.com",)}, [1, 2]),
        ({"locations": ("/wss",)}, [2, 3]),
        ({"locations": ("/WSS", "")}, [4]),
        ({"until": 1800000002.5}, [1, 2]),
        ({"server_names": ("chat.example.com",), "locations": ("/wss", "/chat"), "subjects": ("client-42",)}, [1]),
        ({"subjects": ("client-42",), "addresses": ("2001:db8::/32",)}, []),
    ],
)
def test_a_session_has_to_meet_every_criterion_and_one_value_of_each(
    fields: t.Dict[str, t.Any], numbers: t.List[int]
) -> None:
    assert found(**fields) == numbers


def test_a_signed_token_is_named_by_its_subject_and_its_id() -> None:
    log = Log()
    log.feed(b"S 1800000000.5 700 1 1 192.0.2.9 50001 192.0.2.1 443 192.0.2.9 - a /wss - " + b"ab" * 32 + b" 1 ann\n")
    session = next(iter(log.open.values()))
    for fields, expected in (
        ({"subjects": ("ann",)}, True),
        ({"subjects": ("", "None", "bob")}, False),
        ({"fingerprints": ("abababababab",)}, True),
        ({"fingerprints": ("abababababac",)}, False),
    ):
        assert Selection(**fields).matcher(SUBJECTS.get)(session) is expected  # type: ignore[arg-type]


def test_the_subject_is_looked_up_last_and_only_where_it_counts() -> None:
    asked: t.List[str] = []

    def subject_of(token: str) -> t.Optional[str]:
        asked.append(token)
        return None

    for fields in ({"locations": ("/wss",)}, {"locations": ("/wss",), "subjects": ("client-42",)}):
        is_meant = Selection(**fields).matcher(subject_of)  # type: ignore[arg-type]
        assert len([session for session in sessions() if is_meant(session)]) == (0 if "subjects" in fields else 2)
    assert asked == [TWO]


def test_an_id_is_worker_connection_and_request() -> None:
    assert id_of(sessions()[1]) == "700-2-1"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ids": ("700-2-1", "700-2")}, r"ids\[1\] is not a session's id"),
        ({"ids": ("700-2-1\n",)}, r"ids\[0\] is not a session's id"),
        ({"fingerprints": ("abc",)}, r"fingerprints\[0\] is not a fingerprint"),
        ({"fingerprints": ("ABCDEF12",)}, r"fingerprints\[0\] is not a fingerprint"),
        ({"addresses": ("203.0.113.256",)}, "'203.0.113.256' is no address and no network"),
        ({"addresses": ("203.0.113.7/24",)}, "host bits set"),
    ],
)
def test_what_can_name_no_session_is_told(fields: t.Dict[str, t.Any], words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        Selection(**fields).check()


@pytest.mark.parametrize("field", ["ids", "fingerprints"])
def test_a_token_that_is_given_in_place_of_its_name_is_not_repeated(field: str) -> None:
    with pytest.raises(SelectionError) as caught:
        Selection(**{field: (ONE,)}).check()  # type: ignore[arg-type]
    assert ONE not in str(caught.value)


# The options of modules


def params(**options: t.Any) -> t.Dict[str, t.Any]:
    return {**dict.fromkeys(criteria.OPTIONS), **options}


def test_options_are_the_criteria_of_a_selection() -> None:
    values = {
        "subjects": ["client-42"],
        "fingerprints": ["0123456789ab"],
        "clients": ["203.0.113.7"],
        "servers": ["chat.example.com"],
        "locations": ["/wss"],
        "ids": ["1-2-3"],
    }
    assert criteria.given(params(**values)) == list(criteria.OPTIONS)
    assert criteria.selection_of(params(**values)) == Selection(
        ids=("1-2-3",),
        subjects=("client-42",),
        fingerprints=("0123456789ab",),
        addresses=("203.0.113.7",),
        server_names=("chat.example.com",),
        locations=("/wss",),
    )
    assert criteria.selection_of(params()) == Selection()


@pytest.mark.parametrize("name", criteria.OPTIONS)
@pytest.mark.parametrize("value", [[], [""], [" "]])
def test_an_empty_option_is_an_error_and_not_all_sessions(name: str, value: t.List[str]) -> None:
    with pytest.raises(SelectionError, match=f"{name}.* is empty"):
        criteria.selection_of(params(**{name: value}))


def test_a_fingerprint_is_as_long_as_for_the_token_modules() -> None:
    with pytest.raises(StoreError, match=r"fingerprints\[0\] .* 8 to 64 digits"):
        criteria.selection_of(params(fingerprints=["0123456"]))
