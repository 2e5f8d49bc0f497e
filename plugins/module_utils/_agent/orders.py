# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders to the agent of a gate: which sessions it shall end, and how fast.

An order is a file in the folder ``orders`` of the agent's state, which only root can enter: ``ID.json``. What became of
it stands beside it in ``ID.result``, which the agent writes. The agent removes an order that is done, and whatever else
is in the folder after a day.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import os
import re
import stat
import typing as t

from .._host import files, locks
from .._host.error import HostError, reason
from .._sessions.selection import Selection
from .causes import DRAINED, ENDED
from .settings import Settings

FOLDER = "orders"
ORDER, RESULT = ".json", ".result"
REFUSED = ".refused-"
LIMIT = 1 << 18
# Seconds that an order may count
LONGEST = 86400.0
# Less than that, so that a clock that is put right by a little makes no order void.
LIFE = LONGEST - 3600.0
RATE_AT_MOST = 100000.0
CAUSES = (DRAINED, ENDED)
STATE = Settings._field_defaults["state"]

# What has become of an order
WORKING, DONE, VOID, EXPIRED = "working", "done", "void", "expired"
OVER = (DONE, VOID, EXPIRED)

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")
_RUN = re.compile(r"[0-9a-f]{16}\Z")
Identity = t.Tuple[int, int, int]


class OrderError(HostError):
    """An order that cannot be placed, or that is not obeyed."""


class Order(t.NamedTuple):
    """What the agent shall do.

    id: the order's name; whoever places another one of this name replaces it. sessions: which are meant. rate: how many
    may be ended a second, 0 for all at once. share: how many percent of those that are open when it begins. cause: of
    causes.py. ports: addresses and ports of the gate; connections there that the session log does not know are closed
    as well. while_path: a file without which the order does not count; while_file: which file that has to be.
    expires: when it ends, in seconds since 1970, at most a day ahead. run: tells orders of one name apart.
    """

    id: str
    sessions: Selection
    expires: float
    rate: float = 0.0
    share: float = 100.0
    cause: str = ENDED
    ports: t.Tuple[t.Tuple[str, int], ...] = ()
    while_path: str = ""
    while_file: t.Optional[Identity] = None
    run: str = ""

    def check(self) -> None:
        """Raise OrderError for what the agent would not obey."""
        check_name(self.id, self.run)
        if not 0 <= self.rate <= RATE_AT_MOST:
            raise OrderError(f"rate is {self.rate:g}: it has to be from 0 to {RATE_AT_MOST:g} sessions a second")
        if not 0 < self.share <= 100:
            raise OrderError(f"share is {self.share:g}: it has to be more than 0 and at most 100 percent")
        if self.cause not in CAUSES:
            raise OrderError(f"cause is {self.cause!r}: it has to be one of {', '.join(CAUSES)}")
        if not 0 < self.expires < 1e11:
            raise OrderError(f"expires is {self.expires:g}: it has to be a time in seconds since 1970")
        for address, port in self.ports:
            if not 0 < port < 65536:
                raise OrderError(f"{port} is no port: 1 to 65535")
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                raise OrderError(f"{address!r} is no address: {error}") from None
        if bool(self.while_path) != (self.while_file is not None):
            raise OrderError("while_path and while_file go together")
        if self.while_path:
            check_path("while_path", self.while_path)
        self.sessions.check()


class Result(t.NamedTuple):
    """What has become of an order.

    found: connections that it is about. ended: those of them that have gone. remaining: those that are still there.
    mark: of an order for a share, up to which place in the order of chance sessions are ended.
    """

    run: str
    state: str = WORKING
    found: int = 0
    ended: int = 0
    remaining: int = 0
    reason: str = ""
    mark: t.Optional[str] = None

    @property
    def is_over(self) -> bool:
        """Whether the agent does no more for it."""
        return self.state in OVER


def check_name(name: str, run: str) -> None:
    """Raise OrderError for an id and a run that no order can have."""
    if not _ID.match(name):
        raise OrderError(f"{name!r} is no order's id: 1 to 64 of a-z, 0-9 and -")
    if not _RUN.match(run):
        raise OrderError("run is not 16 of the digits 0-9 and a-f")


def check_path(option: str, path: str) -> None:
    """Raise OrderError for what is no absolute path of a file."""
    if not os.path.isabs(path):
        raise OrderError(f"{option} is {path!r}: it has to be an absolute path")
    if "\0" in path or not _is_encodable(path):
        raise OrderError(f"{option} is {path!r}: no file can be called that")


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except ValueError:
        return False
    return True


def share_of(count: int, percent: float) -> int:
    """How many of so many a share is."""
    return int(count * percent / 100 + 0.5)


# Which file it is


def identity_of(path: str) -> t.Optional[Identity]:
    """Which file is at a path; None where nginx would find none. One that went and came again is another one.

    Links are followed, as nginx does; nothing but the file's numbers is looked at.
    """
    # ValueError: nothing can have such a path.
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            # A new file often has the number of the one that has just been removed.
            return found.st_dev, found.st_ino, found.st_mtime_ns
    return None


# The text of an order


def encode(order: Order) -> bytes:
    """The content of an order's file."""
    return json.dumps({**order._asdict(), "sessions": order.sessions._asdict()}, sort_keys=True).encode("utf-8")


def decode(text: bytes) -> Order:
    """Read an order's file; whatever is wrong with it is an OrderError."""
    try:
        document = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise OrderError("is no JSON") from None
    if not isinstance(document, dict):
        raise OrderError("is no JSON object")
    unknown = sorted(set(document) - set(Order._fields))
    missing = sorted(set(Order._fields) - set(document))
    if unknown or missing:
        raise OrderError(f"holds the unknown {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}")
    order = Order(
        id=_text(document, "id"),
        sessions=_selection(document["sessions"]),
        expires=_number(document, "expires"),
        rate=_number(document, "rate"),
        share=_number(document, "share"),
        cause=_text(document, "cause"),
        ports=tuple(_port(one) for one in _list(document, "ports")),
        while_path=_text(document, "while_path"),
        while_file=_identity(document["while_file"]),
        run=_text(document, "run"),
    )
    order.check()
    return order


def _text(document: t.Mapping[str, t.Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise OrderError(f"{name} is no text")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(document: t.Mapping[str, t.Any], name: str) -> float:
    try:
        if _is_number(document[name]):
            return float(document[name])
    except OverflowError:
        pass
    raise OrderError(f"{name} is no number")


def _list(document: t.Mapping[str, t.Any], name: str) -> t.List[t.Any]:
    value = document[name]
    if not isinstance(value, list):
        raise OrderError(f"{name} is no list")
    return value


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _port(value: t.Any) -> t.Tuple[str, int]:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_integer(value[1]):
        return value[0], value[1]
    raise OrderError("ports has an entry that is no address with a port")


def _identity(value: t.Any) -> t.Optional[Identity]:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 3 and all(map(_is_integer, value)):
        return value[0], value[1], value[2]
    raise OrderError("while_file is not three numbers")


def _selection(value: t.Any) -> Selection:
    if not isinstance(value, dict) or set(value) - set(Selection._fields):
        raise OrderError("sessions has to name sessions, and nothing else")
    fields: t.Dict[str, t.Any] = {}
    for name, content in value.items():
        if name == "until":
            fields[name] = None if content is None else _number(value, name)
        else:
            fields[name] = tuple(_list(value, name))
            if not all(isinstance(one, str) for one in fields[name]):
                raise OrderError(f"sessions.{name} has an entry that is no text")
    return Selection(**fields)


# The folder


@contextlib.contextmanager
def open_orders(state: str, make: bool = False) -> t.Iterator[int]:
    """The folder of the orders; one that others than root can enter is refused."""
    path = os.path.join(state, FOLDER)
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                files.make_folder(path, 0o700)
        handle = files.open_folder(path)
    except OSError as error:
        raise OrderError(f"cannot open {path}: {reason(error)}") from None
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise OrderError(f"{path} is not root's alone: remove it, the agent makes it anew")
        yield handle
    finally:
        os.close(handle)


def has_agent(state: str = STATE) -> bool:
    """Whether an agent is at work that takes orders from this folder."""
    try:
        handle = files.open_folder(state)
    except (OSError, HostError):
        return False
    try:
        return bool(locks.holders(handle)) or not locks.take(handle, wait=0)
    finally:
        os.close(handle)


def place(state: str, order: Order) -> Order:
    """Give an order to the agent, in place of one with the same id; return it as it was given."""
    order = order._replace(run=os.urandom(8).hex())
    order.check()
    text = encode(order)
    if len(text) > LIMIT:
        raise OrderError(f"the order names too many sessions: {len(text)} bytes, and at most {LIMIT} can be taken")
    with open_orders(state, make=True) as folder:
        files.write(order.id + ORDER, text, files.PRIVATE, folder=folder)
    return order


def withdraw(state: str, name: str) -> bool:
    """Take an order back; return whether there was one. What it has ended stays ended."""
    if not os.path.isdir(os.path.join(state, FOLDER)):
        return False
    with open_orders(state) as folder:
        return files.remove(name + ORDER, folder=folder)


def placed(state: str, name: str) -> t.Optional[Order]:
    """The order of this id that the agent has; None where it has none that can be read."""
    with contextlib.suppress(HostError, OSError), open_orders(state) as folder:
        return read_order(name + ORDER, folder)
    return None


def names(state: str) -> t.List[str]:
    """The ids of the orders that are under way."""
    with contextlib.suppress(HostError, OSError), open_orders(state) as folder:
        found = sorted(name[: -len(ORDER)] for name in os.listdir(folder) if name.endswith(ORDER))
        return [name for name in found if not _is_over(name, folder)]
    return []


def _is_over(name: str, folder: int) -> bool:
    """Whether an order is about to be removed by the agent."""
    found = read_result(name, folder)
    with contextlib.suppress(HostError, OSError):
        order = read_order(name + ORDER, folder)
        return found is not None and found.is_over and order is not None and order.run == found.run
    return False


def result(state: str, name: str, run: str) -> t.Optional[Result]:
    """What has become of an order, by its id and its run; None before the agent has seen it, and a day later."""
    with contextlib.suppress(HostError, OSError), open_orders(state) as folder:
        found = read_result(name, folder)
        return found if found is not None and found.run == run else None
    return None


def read_order(name: str, folder: int) -> t.Optional[Order]:
    """Read an order of the open folder; None where it has gone."""
    text = _read(name, folder, LIMIT)
    if text is None:
        return None
    order = decode(text)
    if order.id + ORDER != name:
        raise OrderError(f"is the order {order.id!r} by its content")
    return order


def read_result(name: str, folder: int) -> t.Optional[Result]:
    """What the open folder has about an order; None where that is nothing or cannot be read."""
    with contextlib.suppress(HostError, OSError, ValueError, TypeError, KeyError):
        text = _read(name + RESULT, folder, LIMIT)
        if text is not None:
            document = json.loads(text.decode("utf-8"))
            mark = document["mark"]
            return Result(
                run=str(document["run"]),
                state=str(document["state"]),
                found=int(document["found"]),
                ended=int(document["ended"]),
                remaining=int(document["remaining"]),
                reason=str(document["reason"]),
                mark=None if mark is None else str(mark),
            )
    return None


def write_result(name: str, found: Result, folder: int) -> None:
    """Write what has become of an order."""
    text = json.dumps({**found._asdict()}, sort_keys=True).encode("utf-8")
    files.write(name + RESULT, text, files.PRIVATE, folder=folder)


def _read(name: str, folder: int, most: int) -> t.Optional[bytes]:
    """What a file of the folder holds, if it is root's alone."""
    try:
        handle = files.open_file(name, folder=folder)
    except FileNotFoundError:
        return None
    except files.FileError as error:
        raise OrderError(error.message.partition(":")[0]) from None
    except OSError as error:
        raise OrderError(f"cannot be opened: {reason(error)}") from None
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise OrderError("is not root's alone (owner root, mode 0600)")
        if found.st_size > most:
            raise OrderError(f"holds more than {most} bytes")
        return os.read(handle, most)
    finally:
        os.close(handle)


def forget(state: str) -> None:
    """Remove the orders and their folder, when the agent goes."""
    with contextlib.suppress(OSError, HostError), open_orders(state) as folder:
        for name in os.listdir(folder):
            if name.endswith((ORDER, RESULT)) or name.startswith((REFUSED, files.STAGED_PREFIX)):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
    # Not empty: somebody else's files are in it.
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(state, FOLDER))
