# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sessions outlived their token before an agent first saw the store: they are left as they are.

It is all that the agent keeps. Where the record is gone, or is about another store, the sessions of that moment count.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._host import files
from .._host.error import HostError, told
from .._sessions.log import Key, Session
from .._tokens.record import StoreError
from .._tokens.store import open_store
from .prune import owed_of
from .store_watch import Identity, is_there, opened

NAME = "left-open.json"
LIMIT = 1 << 26


# With the time at which it began: after a boot nginx numbers workers and connections from the beginning.
Begun = t.Tuple[Key, float]


class LeftOpen(t.NamedTuple):
    """The store, by device and inode, and the sessions."""

    store: Identity
    sessions: t.FrozenSet[Begun]


def named(sessions: t.Iterable[Session]) -> t.FrozenSet[Begun]:
    """Sessions as the record names them."""
    return frozenset((session.key, session.started_at) for session in sessions)


def without_token(path: str, identity: Identity, sessions: t.Iterable[Session]) -> t.FrozenSet[Begun]:
    """Those of the sessions whose token is neither in the store nor owed their end."""
    with open_store(path, write=False) as store:
        owed = {record.name for record in owed_of(store, [])}
    with opened(path, identity) as folder:
        if folder is None:
            raise StoreError(f"{path} was replaced while it was looked at")
        return named(one for one in sessions if one.token not in owed and not is_there(one.token, folder))


def begin(
    store: str, folder: str, identity: Identity, sessions: t.Sequence[Session], is_log_there: bool
) -> t.Tuple[t.FrozenSet[Begun], str, str]:
    """What is left open of a store that an agent begins with; words about it, and what went wrong with the record."""
    known = load(folder)
    words = ""
    if known is None or known.store != identity:
        found = without_token(store, identity, sessions)
        if found:
            words = f"{len(found)} sessions are older than this agent and have no token; they are left open"
    elif is_log_there:
        found = named(sessions) & known.sessions
    else:
        found = known.sessions
    record = LeftOpen(identity, found)
    return found, words, "" if record == known else save(folder, record)


def load(folder: str) -> t.Optional[LeftOpen]:
    """Return the record; None where there is none that can be read."""
    with contextlib.suppress(OSError, HostError, ValueError, KeyError, TypeError):
        data = files.read(os.path.join(folder, NAME), most=LIMIT)
        if data is not None:
            document = json.loads(data.decode("utf-8"))
            device, inode = document["store"]
            found = document["sessions"]
            sessions = frozenset(
                ((str(worker), str(connection), str(request)), float(began))
                for (worker, connection, request), began in found
            )
            return LeftOpen((int(device), int(inode)), sessions)
    return None


def save(folder: str, record: LeftOpen) -> str:
    """Write the record, whole or not at all; return why it could not be written. Until a restart nothing is lost."""
    document = {"store": list(record.store), "sessions": sorted(record.sessions)}
    try:
        files.write(os.path.join(folder, NAME), json.dumps(document).encode("utf-8"), mode=files.PRIVATE)
    except (OSError, HostError) as error:
        return f"cannot write {folder}/{NAME}: {told(error)}"
    return ""


def forget(folder: str, names: t.Collection[str] = (NAME,)) -> None:
    """Remove these records and the folder: an agent that comes later has not seen what happens until then."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name in names or name.startswith(files.STAGED_PREFIX):
                files.remove(os.path.join(folder, name))
    # Not empty: somebody else's files are in it.
    with contextlib.suppress(OSError):
        os.rmdir(folder)
