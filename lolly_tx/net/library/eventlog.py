"""Where changes of availability go: one structured log event each, or a function of whoever wants to know.

Imports: domain, Twisted. Used by: net.library.pools, service, service.workers.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink

_BAD = frozenset(("down", "ejected", "panic"))

_USUAL = "{pool}/{node}: {fact} {old} -> {new}: {cause}"
_OF_NO_POOL = "{fact} {node}: {old} -> {new}: {cause}"


def _is_bad(event: Event) -> bool:
    return event.new in _BAD or (event.fact == "local_fault" and event.new == "on")


@implementer(IEventSink)
class EventLog:
    """Logs each event once: changes for the worse as warnings, others as information."""

    log = Logger()

    def emit(self, event: Event) -> None:
        """Log `event`."""
        self.log.emit(
            LogLevel.warn if _is_bad(event) else LogLevel.info,
            _USUAL if event.pool else _OF_NO_POOL,
            pool=event.pool,
            node=event.node or "*",
            fact=event.fact,
            old=event.old,
            new=event.new,
            cause=event.cause,
            every=True,
        )


@implementer(IEventSink)
class EventCallback:
    """Logs each event and calls `heard` with it; an exception of `heard` is logged and hinders nobody."""

    log = Logger()

    def __init__(self, heard: Callable[[Event], object]) -> None:
        self._heard = heard
        self._log = EventLog()

    def emit(self, event: Event) -> None:
        """Log `event` and pass it on."""
        self._log.emit(event)
        try:
            self._heard(event)
        except Exception:
            self.log.failure("A listener to events failed: {heard}", heard=self._heard)
