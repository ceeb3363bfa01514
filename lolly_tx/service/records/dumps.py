"""Dumps of the flight recorder: what they hold, and those that are made by themselves when something is wrong.

A dump is a JSON object: `version`, `made` (when, by what), `began` and `now` (monotonic seconds), `settings` (of the
pools, secrets hidden), `targets` (what stands for whom on the tapes), `events`, and `tapes`, compressed.

Imports: config, domain, service, service.records, Twisted. Used by: service.
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.model import Config
from lolly_tx.config.shown import shown
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.tape import Tape, key_of
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.records.journal import Journal
from lolly_tx.service.surroundings import Surroundings

VERSION = 1
"""Of dumps; it grows when older code could not read them."""

AFTER_SECONDS = 10.0
"""From a trigger to its dump, which is to show what followed."""

AGAIN_SECONDS = 300.0
"""From one dump of a trigger to the next."""

KEPT = 10
"""Dumps of triggers, the latest."""


class Recorded(Protocol):
    """The running proxy, as far as dumps tell of it."""

    config: Config
    surroundings: Surroundings
    journal: Journal

    @property
    def pools(self) -> Mapping[str, Pool]:
        """By name."""


@implementer(IEventSink)
class Dumps:
    """Makes dumps of `service`, when asked and when an event is one of the triggers in its settings.

    `tapes`: what is recorded on. `tell`: has all written on that of this process which is over.
    """

    log = Logger()

    def __init__(
        self,
        service: Recorded,
        tapes: Sequence[Tape],
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self.tapes = tuple(tapes)
        self._tell = tell
        self._service = service
        self._reactor = service.surroundings.reactor
        self._planned: IDelayedCall | None = None
        self._latest = float("-inf")

    @property
    def shown(self) -> dict[str, object]:
        """How much is recorded, for the API."""
        self._tell()
        held = [min(tape.count, tape.size) for tape in self.tapes]
        return {
            "records": sum(held),
            "room": sum(tape.size for tape in self.tapes),
            "written": sum(tape.count for tape in self.tapes),
        }

    def dump(self, why: str) -> Deferred[bytes]:
        """The text of a dump of things as they are now. `why`: what it is made for, in words."""
        self._tell()
        told, tapes = self._told(why), [tape.copy() for tape in self.tapes]

        def text() -> bytes:
            packed = [b64encode(zlib.compress(one, 1)).decode("ascii") for one in tapes]
            return json.dumps({**told, "tapes": packed}).encode()

        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), text)

    def _told(self, why: str) -> dict[str, object]:
        service = self._service
        pools, config = service.pools, service.config
        names = {
            str(key_of(name, node)): [name, node]
            for name, pool in pools.items()
            for node in ("", *pool.nodes)
        }
        return {
            "version": VERSION,
            "made": {"at": iso_time(service.surroundings.wall()), "why": why},
            "now": service.surroundings.now(),
            "settings": {
                "pool": {name: shown(one) for name, one in config.pools.items()},
                "file": config.file,
            },
            "targets": names,
            "events": [attrs.asdict(each) for _, each in service.journal.after(0)],
        }

    # -- by itself

    def emit(self, event: Event) -> None:
        """Make a dump, if it is a reason for one."""
        settings = self._service.config.recorder
        if self._planned is not None or settings is None or not settings.dir:
            return
        why = self._reason(event, settings.triggers)
        if why and self._reactor.seconds() >= self._latest + AGAIN_SECONDS:
            self._planned = self._reactor.callLater(AFTER_SECONDS, self._due, why)

    def _reason(self, event: Event, triggers: Sequence[str]) -> str:
        name = event.pool
        if event.fact == "panic":
            starts = event.new != "off" and "panic" in triggers
            return f"panic of pool {name}" if starts else ""
        if event.fact in ("health", "ejection") and "pool_down" in triggers:
            pool = self._service.pools.get(name)
            if pool is not None and not any(n.available for n in pool.nodes.values()):
                return f"pool {name} has no target left"
        return ""

    def _due(self, why: str) -> None:
        self._planned = None
        self._latest = self._reactor.seconds()
        self.dump(why).addCallback(self._write).addErrback(self._failed)

    def _write(self, text: bytes) -> None:
        settings = self._service.config.recorder
        if settings is None:
            return
        folder = Path(settings.dir)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = iso_time(self._service.surroundings.wall())
        path = folder / f"lolly-{at.replace(':', '').replace('-', '')}.json"
        written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(written, "wb") as file:
            file.write(text)
        self.log.info("What led to it is recorded in {path}", path=str(path))
        for old in sorted(folder.glob("lolly-*.json"))[:-KEPT]:
            with suppress(OSError):
                old.unlink()

    def _failed(self, why: Failure) -> None:
        said = why.getErrorMessage()
        self.log.error("A dump of the recorder could not be written: {said}", said=said)

    def stop(self) -> None:
        """The service stops: nothing more is written."""
        planned, self._planned = self._planned, None
        if planned is not None:
            planned.cancel()
