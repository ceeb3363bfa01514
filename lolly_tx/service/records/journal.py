"""The latest events of all pools in one place, and one sink that stands for several.

Imports: domain, Twisted. Used by: service, service.records.dumps, service.workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink

AT_ONCE = 50
"""Events handed on in one turn of the event loop, some 3 ms with a line in the log for each."""

KEPT = 1000
"""Events: some hours of a flapping target, a quarter of a megabyte."""


@implementer(IEventSink)
class Journal:
    """Keeps the last `limit` events, each under a number that only grows."""

    def __init__(self, limit: int = KEPT) -> None:
        self.count = 0
        """Events since the start: the number of the latest."""
        self._events: deque[Event] = deque(maxlen=limit)

    def __repr__(self) -> str:
        return f"<Journal {len(self._events)} of {self.count} events>"

    def emit(self, event: Event) -> None:
        """Keep it."""
        self.count += 1
        self._events.append(event)

    def after(self, number: int) -> Iterator[tuple[int, Event]]:
        """The events with larger numbers, oldest first, as far as they are kept."""
        first = self.count - len(self._events) + 1
        for at, event in enumerate(self._events, first):
            if at > number:
                yield at, event


@implementer(IEventSink)
class EverySink:
    """Hands each event to all `sinks`; one that fails is logged and hinders no other."""

    log = Logger()

    def __init__(self, sinks: Iterable[IEventSink]) -> None:
        self.sinks = tuple(sinks)
        self._held: deque[Event] | None = None

    def hold(self) -> None:
        """Keep events until `release`: a thousand at once would hold the event loop."""
        if self._held is None:
            self._held = deque()

    def release(self, clock: IReactorTime) -> None:
        """Hand on what was held, in its order and in parts, and then again each event as it comes."""
        held = self._held
        if held is None:
            return
        for _ in range(min(AT_ONCE, len(held))):
            self._hand_on(held.popleft())
        if held:
            clock.callLater(0, self.release, clock)
        else:
            self._held = None

    def emit(self, event: Event) -> None:
        """Hand it on."""
        if self._held is not None:
            self._held.append(event)
        else:
            self._hand_on(event)

    def _hand_on(self, event: Event) -> None:
        for sink in self.sinks:
            try:
                sink.emit(event)
            except Exception:
                self.log.failure("An event sink failed: {sink}", sink=sink)
