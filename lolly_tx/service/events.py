"""Where changes of availability go: one structured log event each.

May import: domain. Used by: service.build.
"""

from __future__ import annotations

from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink

_BAD = frozenset(("down", "ejected", "panic"))


@implementer(IEventSink)
class EventLog:
    """Logs each event once: changes for the worse as warnings, others as information."""

    log = Logger()

    def emit(self, event: Event) -> None:
        """Log `event`."""
        self.log.emit(
            LogLevel.warn if event.new in _BAD else LogLevel.info,
            "{pool}/{node}: {fact} {old} -> {new}: {cause}",
            pool=event.pool,
            node=event.node or "*",
            fact=event.fact,
            old=event.old,
            new=event.new,
            cause=event.cause,
            every=True,
        )
