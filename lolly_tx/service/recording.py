"""The access log at work: what it is told of each exchange, and the file it is written to.

Imports: config, net, proxy, service, wire, Twisted. Used by: service.build,
service.change, service.service.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.task import LoopingCall

from lolly_tx.config import model
from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.accesslog import AccessLog
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.record import exchange_entry, refusal_entry
from lolly_tx.service.draining import Draining
from lolly_tx.service.logfile import LAST_SECONDS, LogFile
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.message import RequestHead


class Recorder:
    """Makes the entries of `log`.

    `introduction`: knows how far a client's address can be believed. `wall`: seconds since
    the epoch; `now`: monotonic.
    """

    def __init__(
        self,
        log: AccessLog | None,
        introduction: Introduction,
        wall: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.log = log
        """None: nothing is recorded any more."""
        self._client_of = introduction.client_of
        self._wall = wall
        self._now = now

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        if self.log is None:
            return
        client = self._client_of(exchange.peer, exchange.head)
        self.log.record(exchange_entry(exchange, client, self._wall(), self._now()))

    def refused(
        self,
        door: DoorIn,
        head: RequestHead | bytes,
        status: int,
        size: int,
        why: str,
    ) -> None:
        """A request was answered without asking a backend (`proxy.proxy.OnRefusal`)."""
        if self.log is None:
            return
        client = door.peer.address
        if isinstance(head, RequestHead):
            client = self._client_of(door.peer, head)
        listener = door.peer.listener
        self.log.record(
            refusal_entry(head, client, status, size, listener, self._wall())
        )


class LogWriting:
    """Writes `log` to its file in batches, and what is left at the end. Raises OSError when there can be no such file.

    A file that the surroundings share stays open: others write there to the last.
    """

    def __init__(self, settings: model.AccessLog, surroundings: Surroundings) -> None:
        shared = surroundings.stdout if settings.path == "-" else None
        self._shared = shared is not None
        self._file = shared or LogFile(settings.path)
        self._seconds = settings.flush
        self._draining = Draining(self._file, surroundings.reactor, self._drain)
        self.log = AccessLog(
            self._write,
            settings.format,
            now=surroundings.now,
            batch_bytes=settings.buffer_size,
        )
        self._flushing = LoopingCall(self._flush)
        self._flushing.clock = surroundings.reactor

    def start(self) -> None:
        """Write what is collected every `flush` seconds."""
        if not self._flushing.running:
            self._flushing.start(self._seconds, now=False)

    def _write(self, lines: bytes) -> None:
        try:
            self._file.write(lines)
        finally:
            if self._file.waiting:
                self._draining.begin()

    def _drain(self) -> bool:
        """Write what was not taken before; whether something is left of it."""
        with suppress(OSError):  # said when a line meets the same
            self._file.flush()
        return self._file.waiting

    def _flush(self) -> None:
        """Write what is collected, and say what was lost of it."""
        self.log.flush()
        self.log.settle(drained=not self._file.waiting)

    def stop(self) -> None:
        """Write the rest."""
        if self._flushing.running:
            self._flushing.stop()
        self._draining.end()
        self.log.flush()
        if self._shared:
            self.log.end(0)
        else:
            self._file.drain(LAST_SECONDS)
            self.log.end(self._file.waiting_lines)
            self._file.close()

    def reopen(self) -> None:
        """After the file was renamed: go on in a new one."""
        self._file.reopen()
