"""Event sinks that are built in, as factories (`IEventSinkFactory`) like those of plugins.

    [events.file]        one JSON object a line, for programs that follow the file
    path = "events.jsonl"

The log of the process gets every event in any case (`net.library.eventlog`).

Imports: config.kinds, domain, service, service.records, Twisted. Used by: service.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from lolly_tx.config.kinds.addresses import LOG_PATH
from lolly_tx.config.kinds.schema import about
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink, IEventSinkFactory
from lolly_tx.service.logfile import LAST_SECONDS, LogFile
from lolly_tx.service.records.draining import Draining


@attrs.frozen
class EventFileSettings:
    """Where the events go."""

    path: str = attrs.field(
        metadata=about(LOG_PATH, 'File to append to; "-" = standard output.')
    )


@implementer(IEventSink)
class EventFile:
    """Appends each event as a line of JSON. A line that cannot be written is lost, and how many are is logged.

    `stdout`: what "-" stands for, where others write there as well.
    """

    log = Logger()

    def __init__(
        self, path: str, clock: IReactorTime, stdout: LogFile | None = None
    ) -> None:
        shared = stdout if path == "-" else None
        self._shared = shared is not None
        self.file = shared or LogFile(path)
        self.lost = 0
        """Events that could not be written."""
        self._told = 0
        self._draining = Draining(self.file, clock, self._drain)

    def __repr__(self) -> str:
        return f"<EventFile {self.file.path}>"

    def emit(self, event: Event) -> None:
        """Write it."""
        line = json.dumps(attrs.asdict(event), separators=(",", ":"))
        try:
            self.file.write(line.encode() + b"\n")
        except OSError as error:
            self.lost += 1
            if self._told == self.lost - 1:
                self.log.error("{sink} loses events: {error}", sink=self, error=error)
        else:
            self._tell()
        if self.file.waiting:
            self._draining.begin()

    def _drain(self) -> bool:
        with suppress(OSError):  # said when an event meets the same
            self.file.flush()
        if not self.file.waiting:
            self._tell()
        return self.file.waiting

    def _tell(self) -> None:
        if self.lost != self._told:
            self._told = self.lost
            self.log.error("{sink} has lost {lost} events", sink=self, lost=self.lost)

    def reopen(self) -> None:
        """After the file was renamed: go on in a new one. Raises OSError, and keeps the old one."""
        self.file.reopen()

    def end(self) -> None:
        """Nothing more happens: give a reader what it takes of the rest, and say what was lost."""
        self._draining.end()
        if not self._shared:
            self.file.drain(LAST_SECONDS)
            self.lost += self.file.waiting_lines
        self._tell()


@implementer(IEventSinkFactory)
class _EventFileFactory:
    name = "file"
    settings = EventFileSettings

    def build(self, settings: EventFileSettings, deps: Any) -> EventFile:
        try:
            return EventFile(settings.path, deps.clock, deps.stdout)
        except OSError as error:
            said = error.strerror or str(error)
            raise OSError(
                f'events.file.path: "{settings.path}" cannot be opened: {said}'
            ) from error


BUILT_IN_SINKS = (_EventFileFactory(),)
