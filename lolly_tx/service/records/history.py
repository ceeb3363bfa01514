"""What every target has been, hour by hour, over restarts.

    events -> History -> segments in memory, of each target when it became what
                      -> HistoryFile, in batches and in a thread: one JSON line for each change

A target that nobody watched, because the proxy did not run, was "off". When it ended is known by the file's own time,
which moves on while it runs.

Imports: domain, Twisted. Used by: service, service.admin.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool

KEPT_SECONDS = 24 * 3600.0

KEPT_SEGMENTS = 120
"""Of each target: an hour of one that flaps each minute, there and back."""

MOST_TARGETS = 10_000
"""Remembered; those that were never seen again are forgotten first."""

LARGEST_BYTES = 4 << 20
"""Of the file. One that has grown so far is written anew, with what is still remembered."""

KEPT_RECORDS = 20_000
"""Then, the latest ones: less than half of that."""

BATCH_SECONDS = 5.0
"""How much a crash may lose."""

OFF = "off"
"""What targets are that nobody watches."""

Key = tuple[str, str]
"""Pool and target."""


@attrs.frozen
class Segment:
    """From `at`, seconds since the epoch, a target was `word`: "up", or what kept exchanges away."""

    at: float
    word: str


def word_of(node: Node) -> str:
    """What a target is. One that is only full is up."""
    why = node.why_not()
    return "up" if why in ("", "full", "trial in flight") else why


@implementer(IEventSink)
class History:
    """`pools`: those of now. `now`: seconds, monotonic, as in events; `wall`: seconds since the epoch."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._pools = pools
        self._now = now
        self._wall = wall
        self._segments: dict[Key, deque[Segment]] = {}
        self.fresh: list[tuple[Key, Segment]] | None = None
        """What came since somebody wrote it down; None: nobody does."""

    def __len__(self) -> int:
        return len(self._segments)

    def emit(self, event: Event) -> None:
        """Something happened to a target."""
        pool = self._pools.get(event.pool)
        node = pool.nodes.get(event.node) if pool is not None else None
        if node is not None:
            at = self._wall() - max(0.0, self._now() - event.at)
            self._note((event.pool, event.node), Segment(at, word_of(node)))
        elif event.node:
            self._segments.pop((event.pool, event.node), None)

    def of(self, pool: str, node: Node, since: float) -> list[Segment]:
        """What it has been since then; the first one may have begun before."""
        key = pool, node.id
        segments = self._segments.get(key)
        if segments is None or segments[-1].word == OFF:
            self._note(key, Segment(self._wall(), word_of(node)))
            segments = self._segments[key]
        found: list[Segment] = []
        for one in reversed(segments):
            found.append(one)
            if one.at <= since:
                break
        found.reverse()
        return found

    def _note(self, key: Key, segment: Segment) -> None:
        segments = self._segments.get(key)
        if segments is None:
            while len(self._segments) >= MOST_TARGETS:
                del self._segments[next(iter(self._segments))]
            segments = self._segments[key] = deque(maxlen=KEPT_SEGMENTS)
        elif segments[-1].word == segment.word:
            return
        segments.append(segment)
        if self.fresh is not None:
            self.fresh.append((key, segment))

    # -- over a restart

    def recall(self, records: Iterable[tuple[Key, Segment]], ended: float) -> None:
        """Go on from what was written down; `ended`: when nobody watched any more, seconds since the epoch."""
        oldest = self._wall() - KEPT_SECONDS
        for key, segment in records:
            self._note(key, segment)
        for key, segments in tuple(self._segments.items()):
            if max(segments[-1].at, ended) < oldest:
                del self._segments[key]
            elif segments[-1].word != OFF:
                segments.append(Segment(max(segments[-1].at, ended), OFF))

    def all(self) -> Iterator[tuple[Key, Segment]]:
        """Everything that is remembered."""
        for key, segments in tuple(self._segments.items()):
            for segment in tuple(segments):
                yield key, segment


InThread = Callable[[Callable[[], None]], Deferred[Any]]
"""Runs work where it may wait for a disk."""


class HistoryFile:
    """Keeps `history` in the file `path`. A disk that refuses is told once, and costs nothing but the history."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, path: Path, history: History, reactor: Any, in_thread: InThread
    ) -> None:
        self._path = path
        self._history = history
        self._in_thread = in_thread
        self._loop = LoopingCall(self._write)
        self._loop.clock = reactor
        self._lines = b""
        self._failed = False

    def load(self) -> None:
        """Read what was written by those before us. For the start: it reads from the disk."""
        records: list[tuple[Key, Segment]] = []
        ended = 0.0
        try:
            with open(self._path, "rb") as file:
                ended = os.fstat(file.fileno()).st_mtime
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - 2 * LARGEST_BYTES))
                records.extend(_parsed(file.read(2 * LARGEST_BYTES)))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._say(error)
        self._history.recall(records, ended)
        self._history.fresh = []

    def start(self) -> None:
        """Write from now on."""
        self._loop.start(BATCH_SECONDS, now=False)

    def stop(self) -> None:
        """Write what is left, now."""
        if self._loop.running:
            self._loop.stop()
        self._lines += self._taken()
        with suppress(OSError):
            self._append()

    def _taken(self) -> bytes:
        fresh, self._history.fresh = self._history.fresh or [], []
        return _lines(fresh)

    def _write(self) -> Deferred[Any]:
        """One batch. The loop waits for it."""
        self._lines += self._taken()
        done = self._in_thread(self._append)
        return done.addErrback(self._eb_write)

    def _append(self) -> None:
        lines = self._lines
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o640)
        try:
            os.utime(descriptor)
            if lines:
                os.write(descriptor, lines)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        self._lines = b""
        self._failed = False
        if size > LARGEST_BYTES:
            other = self._path.with_suffix(".new")
            known = sorted(self._history.all(), key=lambda one: one[1].at)
            other.write_bytes(_lines(known[-KEPT_RECORDS:]))
            os.replace(other, self._path)

    def _eb_write(self, failure: Failure) -> None:
        if len(self._lines) > LARGEST_BYTES:
            self._lines = b""
        self._say(failure.value)

    def _say(self, error: object) -> None:
        if not self._failed:
            self._failed = True
            self.log.warn(
                "the history of targets is not kept: {error}", error=str(error)
            )


def _lines(records: Iterable[tuple[Key, Segment]]) -> bytes:
    return b"".join(
        json.dumps([round(one.at, 3), *key, one.word]).encode() + b"\n"
        for key, one in records
    )


def _parsed(text: bytes) -> Iterator[tuple[Key, Segment]]:
    """The records of a file; a line that is none, such as the half of one, is passed over."""
    for line in text.splitlines():
        try:
            said: Sequence[Any] = json.loads(line)
            at, pool, target, word = said
            yield (str(pool), str(target)), Segment(float(at), str(word))
        except (ValueError, TypeError):
            continue
