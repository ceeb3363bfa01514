"""Event sinks that are built in, as factories (`IEventSinkFactory`) like those of plugins.

    [events.file]        one JSON object a line, for programs that follow the file
    path = "events.jsonl"

The log of the process gets every event in any case (`net.library.eventlog`).

Imports: config, domain, service, Twisted. Used by: service.registry.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.addresses import LOG_PATH
from lolly_tx.config.schema import about
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink, IEventSinkFactory
from lolly_tx.service.logfile import LogFile


@attrs.frozen
class EventFileSettings:
    """Where the events go."""

    path: str = attrs.field(
        metadata=about(LOG_PATH, 'File to append to; "-" = standard output.')
    )


@implementer(IEventSink)
class EventFile:
    """Appends each event as a line of JSON. A line that cannot be written is lost, and that is logged once."""

    log = Logger()

    def __init__(self, path: str) -> None:
        self.file = LogFile(path)
        self.lost = 0
        """Events that could not be written."""

    def __repr__(self) -> str:
        return f"<EventFile {self.file.path}>"

    def emit(self, event: Event) -> None:
        """Write it."""
        line = json.dumps(attrs.asdict(event), separators=(",", ":"))
        try:
            self.file.write(line.encode() + b"\n")
        except OSError as error:
            self.lost += 1
            if self.lost == 1:
                self.log.error("{sink} loses events: {error}", sink=self, error=error)

    def reopen(self) -> None:
        """After the file was renamed: go on in a new one. Raises OSError, and keeps the old one."""
        self.file.reopen()


@implementer(IEventSinkFactory)
class _EventFileFactory:
    name = "file"
    settings = EventFileSettings

    def build(self, settings: EventFileSettings, deps: Any) -> EventFile:
        return EventFile(settings.path)


BUILT_IN_SINKS = (_EventFileFactory(),)
