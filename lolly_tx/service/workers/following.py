"""A worker's settings, as they change: prepared when its supervisor says so, in force when it says so.

Imports: config, domain, net.sockets, service, service.changes, Twisted. Used by:
service.workers.worker.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lolly_tx.config.model import Config
from lolly_tx.domain.pool import Pool
from lolly_tx.net.sockets.adopted import AdoptedPort
from lolly_tx.service.changes.change import Change
from lolly_tx.service.changes.settling import settled
from lolly_tx.service.farewells import Farewells
from lolly_tx.service.service import LollyService


class Following:
    """`service`: the worker's. `joined`: told of each pool that is new with a change."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, service: LollyService, joined: Callable[[Pool], None]) -> None:
        self._service = service
        self._joined = joined
        self._change: Change | None = None
        self._settled: Deferred[None] = succeed(None)
        """Fires when the pools of the change before ask their targets, or have ended; never errbacks."""
        self._farewells = Farewells(
            service.surroundings.reactor, service.commons.deadlines
        )

    def prepare(self, config: Config) -> Deferred[None]:
        """Make all that is new; errbacks with whatever stands against it, and then nothing has happened."""
        return Deferred.fromCoroutine(self._prepare(config))

    async def _prepare(self, config: Config) -> None:
        self.forget()
        await self._settled
        change = self._change = Change(self._service, config)
        try:
            for _ in change.prepare():
                await deferLater(self._service.surroundings.reactor, 0)
            change.ready()
        except Exception:
            self._change = None
            change.forget()
            raise

    def commit(self) -> None:
        """What was prepared is in force."""
        change, self._change = self._change, None
        if change is None:
            raise RuntimeError("nothing is prepared")
        service = self._service
        before = set(service.pools.values())
        self._call_last(change.leaving)
        left = change.commit()
        for pool in service.pools.values():
            if pool not in before:
                self._joined(pool)
        self._farewells.see_off(left, service.config.timeouts.drain)
        self._settled = Deferred.fromCoroutine(settled(change, self._farewells))

    def _call_last(self, leaving: Collection[str]) -> None:
        """Nobody will accept on slots that are given up: who waits there is served first."""
        listeners = self._service.listeners
        prepared = listeners.prepared
        for name, place in listeners.places.items():
            new = place is prepared.get(name)
            given_up = not new and (name in prepared or name in leaving)
            if given_up and isinstance(place.port, AdoptedPort):
                place.port.call_last()

    def forget(self) -> None:
        """What was prepared is not to be. Does nothing when nothing was."""
        change, self._change = self._change, None
        if change is not None:
            change.forget()

    def stop(self) -> None:
        """No timer is left."""
        self._farewells.stop()
