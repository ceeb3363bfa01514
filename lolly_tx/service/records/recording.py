"""The access logs at work: which exchanges each is told of, and the files they are written to.

Imports: config, config.kinds, net, net.streams, proxy, proxy.caching, proxy.records,
proxy.streams, service, service.records, wire, Twisted. Used by: service,
service.changes, service.metrics.

    AccessLogs   those of a configuration: of all, of a listener, of a route; equal settings are one log
      LogWriting   one of them: lines made, gathered, written each second
        LogFile      where they go; logs that go to the same place share it

It is long because the three follow one reload together: what is kept, what is opened anew, what is closed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from twisted.internet.task import LoopingCall

from lolly_tx.config import model
from lolly_tx.config.accesslogs import NO_FIELDS, STREAM_FORMATS
from lolly_tx.config.diff import route_name
from lolly_tx.config.kinds.problems import key_text
from lolly_tx.net.doors import DoorIn
from lolly_tx.net.streams.door import StreamDoor
from lolly_tx.proxy.caching.store import VERDICTS
from lolly_tx.proxy.endings import Ended
from lolly_tx.proxy.identity import Identity
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.masking import Masking
from lolly_tx.proxy.records.accesslog import AccessLog
from lolly_tx.proxy.records.lineformat import LineFormat
from lolly_tx.proxy.records.record import refusal_entry, turned_away_entry
from lolly_tx.proxy.sampling import Sampling
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.service.logfile import LAST_SECONDS, LogFile
from lolly_tx.service.records import syslog
from lolly_tx.service.records.draining import Draining
from lolly_tx.service.records.logchoice import (
    log_of_listener,
    log_of_route,
    log_of_stream,
    log_places,
    wanted_logs,
)
from lolly_tx.service.records.reopening import reopen_all
from lolly_tx.service.records.syslog import PREFIX, Syslog
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.message import RequestHead


def _cannot_open(
    config: model.Config, settings: model.AccessLog, error: OSError
) -> OSError:
    keys = [key for key, log in log_places(config) if log == settings]
    named = ", ".join(key_text((*key, "path")) for key in keys)
    said = error.strerror or str(error)
    return OSError(f'{named}: "{settings.path}" cannot be opened: {said}')


def _identity_fields(config: model.Config) -> dict[str, str]:
    """What JSON lines say of who a request is, where that is known."""
    ids = ("request_id",) if config.request_id is not None else ()
    traced = ("trace_id", "span_id") if config.trace is not None else ()
    return {name: name for name in (*ids, *traced)}


class Recorder:
    """Makes the entries of `logs`.

    `introduction`: knows how far a client's address can be believed. `wall`: seconds since
    the epoch; `now`: monotonic. `tell`: tells of the exchanges that are over, so that lines are in order.
    """

    def __init__(
        self,
        logs: AccessLogs | None,
        introduction: Introduction,
        wall: Callable[[], float],
        now: Callable[[], float],
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self.logs = logs
        """None: nothing is recorded any more."""
        self._client_of = introduction.client_of
        self._wall = wall
        self._now = now
        self._tell = tell

    def finished(self, ended: list[Ended]) -> None:
        """These are over."""
        logs = self.logs
        if logs is None:
            return
        epoch = self._wall() - self._now()
        only = logs.only
        if only is not None:
            only.record_ended(ended, epoch, self._client_of)
            return
        chosen: dict[AccessLog, list[Ended]] = {}
        for one in ended:
            exchange, now = one
            log = logs.of(exchange.door.peer.listener, exchange.route)
            if log is None or (
                log.samples
                and log.passes_over(
                    exchange.status,
                    exchange.past,
                    exchange.error,
                    now - exchange.started,
                )
            ):
                continue
            chosen.setdefault(log, []).append(one)
        for log, theirs in chosen.items():
            log.record_ended(theirs, epoch, self._client_of)

    def turned_away(
        self, door: StreamDoor, head: RequestHead, status: int, why: str
    ) -> None:
        """A client of a stream was closed before it had a pool (`proxy.streams.streaming.Refused`)."""
        self._tell()
        peer = door.peer
        log = None if self.logs is None else self.logs.of(peer.listener, None)
        if log is not None:
            seconds = self._now() - door.since
            wall = self._wall()
            log.record(turned_away_entry(head, peer, status, why, wall, seconds))

    def refused(
        self,
        door: DoorIn,
        head: RequestHead | bytes,
        status: int,
        size: int,
        why: str,
        identity: Identity | None = None,
        route: str | None = None,
        seconds: float = 0.0,
        error: str | None = None,
    ) -> None:
        """A request was answered without asking a backend (`proxy.own_answers.OnRefusal`)."""
        self._tell()
        listener = door.peer.listener
        log = None if self.logs is None else self.logs.of(listener, route)
        if log is None or (
            log.samples and log.passes_over(status, False, None, seconds)
        ):
            return
        client = door.peer.address
        if isinstance(head, RequestHead):
            client = self._client_of(door.peer, head)
        log.record(
            refusal_entry(
                head,
                client,
                status,
                size,
                listener,
                self._wall(),
                door.peer,
                identity,
                route,
                seconds,
                why if why in VERDICTS else None,
                error,
            )
        )


class AccessLogs:
    """The access logs of `config`. Raises OSError when one cannot have its file.

    `tell`: tells of the exchanges that are over.
    """

    def __init__(
        self,
        config: model.Config,
        surroundings: Surroundings,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._all: list[LogWriting] = []
        self._before = 0, 0
        try:
            for settings in wanted_logs(config):
                there = [one for one in self._all if one.path == settings.path]
                file = there[0].file if there else None
                more = _identity_fields(config)
                self._all.append(LogWriting(settings, surroundings, file, more, tell))
        except OSError as error:
            self.stop()
            raise _cannot_open(config, settings, error) from error
        self.go_by(config)

    def go_by(self, config: model.Config) -> None:
        """Know the listeners and routes of `config`, which wants the same logs."""
        self.usual = self._log(config.access_log)
        self._listeners: dict[str, AccessLog | None] = {}
        self._routes: dict[tuple[str, str], AccessLog | None] = {}
        for name, listener in config.listeners.items():
            self._listeners[name] = self._log(log_of_listener(config, listener))
            for route in config.routes:
                if route.access_log is not None:
                    log = self._log(log_of_route(config, listener, route))
                    self._routes[name, route_name(route)] = log
        for name, stream in config.streams.items():
            log = self._log(log_of_stream(config, stream))
            self._listeners[place_name(name)] = log
        every = {self.usual, *self._listeners.values(), *self._routes.values()}
        log = every.pop()
        self.only: AccessLog | None = None
        """Who is told of every exchange, if it is the same one."""
        if not every and log is not None and not log.samples:
            self.only = log

    def _log(self, settings: model.AccessLog | None) -> AccessLog | None:
        for one in self._all:
            if one.settings == settings:
                return one.log
        return None

    def of(self, listener: str, route: str | None) -> AccessLog | None:
        """What is told of an exchange that came by these; None: nobody."""
        log = self._listeners.get(listener, self.usual)
        if route is None:
            return log
        return self._routes.get((listener, route), log)

    @property
    def at_once(self) -> bool:
        """One of them is to have each line at once."""
        return any(not one.settings.buffer_size for one in self._all)

    @property
    def written(self) -> int:
        """Lines that were written, since the start."""
        return self._before[0] + sum(one.log.written for one in self._all)

    @property
    def dropped(self) -> int:
        """Lines that were lost, since the start."""
        return self._before[1] + sum(one.log.dropped for one in self._all)

    def goes_on_from(self, before: AccessLogs) -> None:
        """Count on: these come in the place of `before`, which has been stopped."""
        self._before = before.written, before.dropped

    def __iter__(self) -> Iterator[LogWriting]:
        return iter(self._all)

    def start(self) -> None:
        """Write what is collected from now on."""
        for one in self._all:
            one.start()

    def stop(self) -> None:
        """Write the rest."""
        for one in reversed(self._all):  # whose file it is comes last
            one.stop()

    def reopen(self) -> None:
        """After files were renamed: go on in new ones. Raises `NotReopened`."""
        reopen_all(one.reopen for one in self._all)


class LogWriting:
    """Writes `log` to its file in batches, and what is left at the end. Raises OSError when there can be no such file.

    `more`: fields of JSON objects beside those of the settings. `file`: of another log that goes to the same path.
    One that is shared stays open: others write there to the last. `tell`: tells of the exchanges that are over.
    """

    def __init__(
        self,
        settings: model.AccessLog,
        surroundings: Surroundings,
        file: LogFile | Syslog | None = None,
        more: Mapping[str, str] = NO_FIELDS,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._tell = tell
        self.path = settings.path
        shared = surroundings.stdout if settings.path == "-" else file
        self._shared = shared is not None
        heading = None
        self.file: LogFile | Syslog
        if shared is None and settings.path.startswith(PREFIX):
            self.file = Syslog(
                settings.path, surroundings.reactor.resolve, surroundings.now
            )
        else:
            self.file = shared or LogFile(settings.path)
        if isinstance(self.file, Syslog):
            heading = syslog.heading(socket.gethostname(), os.getpid())
        self._seconds = settings.flush
        self._draining = Draining(self.file, surroundings.reactor, self._drain)
        sampling = Sampling(settings.sample, settings.slow)
        if settings.format in STREAM_FORMATS.values():
            more = NO_FIELDS  # of requests
        self.log = AccessLog(
            self._write,
            LineFormat(
                settings.format,
                {**more, **settings.fields},
                masking=Masking(settings.mask),
                sampling=sampling,
                heading=heading,
            ),
            sampling=sampling,
            random=surroundings.random.random,
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
            self.file.write(lines)
        finally:
            if self.file.waiting:
                self._draining.begin()

    def _drain(self) -> bool:
        """Write what was not taken before; whether something is left of it."""
        with suppress(OSError):  # said when a line meets the same
            self.file.flush()
        return self.file.waiting

    def _flush(self) -> None:
        """Write what is collected, and say what was lost of it."""
        self._tell()
        self.log.flush()
        self.log.settle(drained=not self.file.waiting)

    def stop(self) -> None:
        """Write the rest."""
        if self._flushing.running:
            self._flushing.stop()
        self._draining.end()
        self.log.flush()
        if self._shared:
            self.log.end(0)
        else:
            self.file.drain(LAST_SECONDS)
            self.log.end(self.file.waiting_lines)
            self.file.close()

    def reopen(self) -> None:
        """After the file was renamed: go on in a new one. A file that is shared is its owner's affair."""
        if not self._shared:
            self.file.reopen()
