# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what the agent counts into a file, in Prometheus's text format.

Labels have what the operator configured, and words of the gate: never a client, a subject, a token, or what a client
sent. What takes long is done by a thread, so that no end waits for it.

Beside the file is another one, FILE.state, with what the next agent goes on counting with. Where it has gone, as /run
has after a boot, counters begin at 0.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import threading
import time
import typing as t

from .._host import files
from .._host.error import HostError, told
from .._revocations.store import MissingRevocations, open_revocations
from .._sessions.log import Session, is_running
from .._sessions.workers import booted_at
from .._tokens.store import open_store
from .asking import Asking
from .causes import WORDS
from .duty import Duty, Figure, Gate
from .gate_look import GateLook, Look
from .log_watch import LogWatch
from .metrics_settings import LIBRARY, PACKAGE, STATE_SUFFIX
from .session_counts import Ends, Handshakes, place_of
from .settings import Metrics, Settings

# That of galaxy.yml
VERSION = "1.1.0"
PREFIX = "wssgate_"
# Seconds between two files at least, while something is counted, and at most
WRITE_PAUSE, WRITE_EVERY = 5.0, 15.0
# Seconds between two looks at what costs, at least, and the share of a core that they may take together
LOOK_PAUSE, LOOK_SHARE = 15.0, 0.01
# While a thread looks, what it has found is asked for this often.
POLL = 0.1
FILES_AT_ONCE = 2000
STATE_LIMIT = 1 << 26

# Each metric, its labels and what it is. What ends in _total counts.
HELP = {
    "handshakes_total": "Handshakes that passed, by the session log; the access log has those that did not.",
    "sessions": "Sessions that are open, by the session log.",
    "sessions_ended_total": "Sessions that ended because the agent or wss_token had them ended.",
    "sessions_owed": "Sessions that are to end and are still open.",
    "tokens": "Tokens in the store.",
    "token_next_expiry_timestamp_seconds": "When the next token ends.",
    "revocations": "Entries of signed tokens that were taken back.",
    "certificate_not_after_timestamp_seconds": "When a certificate of nginx's configuration ends; 0 for a bad file.",
    "configuration_live": "Whether nginx's workers have read what is on the disk.",
    "old_workers": "Workers of a former configuration that still have sessions.",
    "old_workers_sessions": "Sessions of workers of a former configuration.",
    "old_worker_age_seconds": "Time since the oldest of these workers was replaced.",
    "draining": "Whether the gate refuses newcomers because it is drained.",
    "hub_connected": "Whether the gate is connected with the hub.",
    "hub_position_age_seconds": "Time since the gate last had all that the hub has.",
    "key_set_age_seconds": "Time since a key set was last fetched.",
    "agent_errors_total": "Turns of the agent in which something failed.",
    "agent_last_turn_timestamp_seconds": "When the agent wrote this.",
    "connections": "Connections of all workers, with clients and upstreams.",
    "connections_limit": "Connections that all workers may have.",
    "descriptors": "Open files of the worker that is nearest to its limit.",
    "descriptors_limit": "Open files that this worker may have.",
    "upstream_ports": "Local ports in use by connections to an address.",
    "upstream_ports_limit": "Local ports that there are for connections to an address.",
    "agent_info": "The agent.",
}
LABELS = {
    "handshakes_total": ("server", "location", "status", "reason"),
    "sessions": ("server", "location", "upstream"),
    "sessions_ended_total": ("cause",),
    "tokens": ("kind",),
    "certificate_not_after_timestamp_seconds": ("certificate",),
    "key_set_age_seconds": ("key_set",),
    "upstream_ports": ("upstream",),
    "agent_info": ("version",),
}


class Found(t.NamedTuple):
    """What a thread has found; None where it was not looked for."""

    gate: t.Optional[Look] = None
    tokens: t.Optional[t.Mapping[str, int]] = None
    next_expiry: t.Optional[float] = None
    revocations: t.Optional[int] = None


class WriteMetrics(Duty):
    """The file with metrics."""

    name = "metrics"

    def __init__(
        self,
        gate: Gate,
        settings: Settings,
        metrics: Metrics,
        asking: Asking,
        log: t.Optional[LogWatch],
        others: t.Sequence[Duty],
    ) -> None:
        super().__init__(gate)
        self.path = metrics.path
        self._settings = settings
        self._drain_file = metrics.drain_file
        self._asking = asking
        self._others = others
        self._handshakes = Handshakes(booted_at())
        self._ends = Ends()
        self._load()
        self._gate_look = GateLook(metrics)
        self._found = Found()
        self._lock = threading.Lock()
        self._is_looking = False
        self._has_new: t.List[t.Union[Found, HostError]] = []
        self._look_at = 0.0
        self._has_changed = True
        self._saved = ""
        self._write_at = self._write_until = 0.0
        self._is_failing = False
        asking.begin = self._begin
        if log is not None:
            log.follower.watcher = self

    # What is counted

    def began(self, session: Session, is_again: bool) -> None:
        """A session began."""
        self._handshakes.began(session, is_again)
        self._has_changed = True

    def ended(self, session: Session, status: str, is_again: bool) -> None:
        """A session is over."""
        self._handshakes.ended(session, status, is_again)
        self._has_changed = True

    def _begin(self, sessions: t.Iterable[Session], cause: str) -> None:
        self._ends.begin(sessions, cause)
        self._has_changed = True

    # The duty

    def turn(self) -> None:
        now = time.monotonic()
        self._has_changed = self._has_changed or now >= self._handshakes.settles_at()
        self._collect(now)
        if now >= self._look_at:
            self._start_look()
        # What fails is tried at each turn, between which Turns waits: one without a try would tell that it is over.
        if self._is_failing or now >= (self._write_at if self._has_changed else self._write_until):
            self._write_at, self._write_until = now + WRITE_PAUSE, now + WRITE_EVERY
            self._is_failing = True
            self._write()
            self._is_failing = False

    def next_turn(self) -> t.Optional[float]:
        moments = [self._write_at if self._has_changed else self._write_until]
        moments.append(time.monotonic() + POLL if self._is_looking else self._look_at)
        # They are counted when that is written.
        moments.append(max(self._handshakes.settles_at(), self._write_at))
        return min(moments)

    def close(self) -> None:
        """Leave nothing uncounted that an agent which comes next would not read again."""
        with contextlib.suppress(HostError, OSError):
            self._write()

    # What costs

    def _start_look(self) -> None:
        with self._lock:
            if self._is_looking:
                return
            self._is_looking = True
        self._look_at = float("inf")
        try:
            threading.Thread(target=self._look, name="metrics", daemon=True).start()
        except RuntimeError:
            self._is_looking = False
            self._look_at = time.monotonic() + LOOK_PAUSE

    def _look(self) -> None:
        """In a thread of its own."""
        found: t.Union[Found, HostError]
        try:
            found = self._looked()
        except (HostError, OSError) as error:
            found = HostError(f"metrics about nginx and the store are old: {told(error)}")
        except Exception as error:  # a thread that ended in silence would leave them old for ever
            found = HostError(f"metrics about nginx and the store are old: {type(error).__name__}")
        # What it has worked, and not what it has waited for.
        pause = max(LOOK_PAUSE, time.thread_time() / LOOK_SHARE)
        with self._lock:
            self._has_new.append(found)
            self._look_at = time.monotonic() + pause
            self._is_looking = False

    def _looked(self) -> Found:
        found = Found(self._gate_look.look())
        with open_store(self._settings.store, write=False, missing_ok=True) as store:
            for kinds, soonest in store.tally(FILES_AT_ONCE):
                found = found._replace(tokens=kinds, next_expiry=soonest)
        if self._settings.revocations:
            count = 0
            with contextlib.suppress(MissingRevocations), open_revocations(self._settings.revocations) as folder:
                count = sum(1 for _name in folder.names())
            found = found._replace(revocations=count)
        return found

    def _collect(self, now: float) -> None:
        with self._lock:
            new, self._has_new = self._has_new, []
        for one in new:
            if isinstance(one, Found):
                self._has_changed = self._has_changed or one != self._found
                self._found = one
            self.gate.note("metrics look", "" if isinstance(one, Found) else str(one))

    # Writing

    def _figures(self) -> t.Iterator[Figure]:
        look, now = self._found.gate or Look(), time.time()
        for (server, location), count in sorted(self._handshakes.counts.items()):
            labels = {"server": server, "location": location, "status": "101", "reason": ""}
            yield "handshakes_total", labels, count
        sessions = dict.fromkeys(self._handshakes.counts, 0)
        workers: t.Dict[str, bool] = {}
        of_old_workers = 0
        for session in self.gate.open_sessions().values():
            worker = session.key[0]
            if worker not in workers:
                # One that crashed has logged no end.
                workers[worker] = is_running(int(worker))
            if workers[worker]:
                place = place_of(session)
                sessions[place] = sessions.get(place, 0) + 1
                of_old_workers += worker in look.old_workers
        for place, count in sorted(sessions.items()):
            labels = {"server": place[0], "location": place[1], "upstream": look.upstreams.get(place, "")}
            yield "sessions", labels, count
        for cause in WORDS:
            yield "sessions_ended_total", {"cause": cause}, self._ends.counts.get(cause, 0)
        yield "sessions_owed", {}, self._asking.owed
        for kind, count in (self._found.tokens or {}).items():
            yield "tokens", {"kind": kind}, count
        if self._found.next_expiry is not None and self._found.next_expiry > now:
            yield "token_next_expiry_timestamp_seconds", {}, self._found.next_expiry
        if self._found.revocations is not None:
            yield "revocations", {}, self._found.revocations
        if self._found.gate is not None:
            yield from self._of_gate(look, of_old_workers)
        if self._drain_file:
            yield "draining", {}, float(os.path.isfile(self._drain_file))
        for duty in self._others:
            yield from duty.figures()
        yield "agent_errors_total", {}, self.gate.errors
        yield "agent_last_turn_timestamp_seconds", {}, now
        yield "agent_info", {"version": VERSION}, 1

    def _of_gate(self, look: Look, of_old_workers: int) -> t.Iterator[Figure]:
        for path, end in sorted(look.certificates.items()):
            yield "certificate_not_after_timestamp_seconds", {"certificate": path}, end
        yield "configuration_live", {}, float(look.is_live)
        yield "old_workers", {}, len(look.old_workers)
        yield "old_workers_sessions", {}, of_old_workers
        yield "old_worker_age_seconds", {}, look.oldest
        for name in ("connections", "connections_limit", "descriptors", "descriptors_limit"):
            value = getattr(look, name)
            if value is not None:
                yield name, {}, value
        for upstream, count in sorted(look.ports.items()):
            yield "upstream_ports", {"upstream": upstream}, count
        if look.ports_limit:
            yield "upstream_ports_limit", {}, look.ports_limit

    def _write(self) -> None:
        self._handshakes.settle()
        self._ends.settle(self.gate.open_sessions())
        state = json.dumps(
            {"handshakes": self._handshakes.as_dict(), "ended": self._ends.counts}, separators=(",", ":")
        )
        text = text_of(self._figures())
        # The state first: an agent that is killed in between counts nothing twice.
        if state != self._saved:
            files.write(self.path + STATE_SUFFIX, state.encode("ascii"), mode=files.PRIVATE)
            self._saved = state
        files.write(self.path, text, mode=files.PUBLIC)
        self._has_changed = False

    def _load(self) -> None:
        try:
            data = files.read(self.path + STATE_SUFFIX, STATE_LIMIT)
            if data is None:
                return
            known = json.loads(data.decode("ascii"))
            ended = {str(cause): int(count) for cause, count in known["ended"].items()}
            self._handshakes = Handshakes.of(known["handshakes"])
            self._ends = Ends(ended)
        except (OSError, HostError, ValueError, TypeError, KeyError, AttributeError):
            self.gate.say(f"{self.path}{STATE_SUFFIX} cannot be read: counters begin at 0")


def text_of(figures: t.Iterable[Figure]) -> bytes:
    """The metrics in Prometheus's text format, by its own library."""
    try:
        client = importlib.import_module(LIBRARY)
        core = importlib.import_module(LIBRARY + ".core")
    except ImportError as error:
        raise HostError(f"metrics are asked for and cannot be written: {error} (package {PACKAGE})") from None
    families: t.Dict[str, t.Any] = {}
    for name, labels, value in figures:
        if name not in families:
            kind = core.CounterMetricFamily if name.endswith("_total") else core.GaugeMetricFamily
            families[name] = kind(PREFIX + name, HELP[name], labels=LABELS.get(name, ()))
        families[name].add_metric([_shown(labels[label]) for label in LABELS.get(name, ())], value)
    registry = client.CollectorRegistry()
    registry.register(_Families(families.values()))
    return t.cast(bytes, client.generate_latest(registry))


def _shown(text: str) -> str:
    """A label's value. nginx takes any byte in a path, and the format UTF-8 alone."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class _Families:
    """What a registry asks for metrics."""

    def __init__(self, families: t.Iterable[t.Any]) -> None:
        self._families = list(families)

    def collect(self) -> t.List[t.Any]:
        """All of them."""
        return self._families
