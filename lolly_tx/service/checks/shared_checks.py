"""One probe for all pools that ask the same of the same address.

    pool a --seat--\
                    SharedCheck --> the check itself
    pool b --seat--/

Pools whose checks have equal settings, TLS included, share a check, and each has a seat at it. A probe that is asked
for while one of the same address is in flight joins it; what a probe finds goes to whoever waits for it and to the
other seats of pools that have this address, which then put off their own. So each address is probed as often as one
pool alone would. What the pools make of it stays theirs: nothing but the `Observation` is shared.

Imports: config, domain, domain.checks, service.checks, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.config.checks import Health
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.target import Target
from lolly_tx.service.checks.checker import place_of

Heard = Callable[[str, Observation], None]


@implementer(IHealthCheck)
class Seat:
    """One pool's part in a shared check. `check` like any other; `listen` says who hears of the others' probes."""

    def __init__(self, shared: SharedCheck) -> None:
        self.heard: Heard | None = None
        self._shared = shared
        self._places: Collection[str] = ()
        shared.given.add(self)

    def listen(self, heard: Heard | None, places: Collection[str] = ()) -> None:
        """Call `heard` with the place and the result of each probe of `places` that somebody else made.

        None: nobody listens.
        """
        there = self._shared.listening
        for place in self._places:
            there[place].pop(self, None)
            if not there[place]:
                del there[place]
        self.heard, self._places = heard, tuple(places) if heard is not None else ()
        for place in self._places:
            there.setdefault(place, {})[self] = None

    def check(self, target: Target) -> Deferred[Observation]:
        """Probe `target`, or wait for the probe of its address that is in flight."""
        return self._shared.check(self, target)


class SharedCheck:
    """A check with all who sit at it."""

    log = Logger()

    def __init__(self, check: IHealthCheck) -> None:
        self.inner = check
        self.listening: dict[str, dict[Seat, None]] = {}
        """Who listens, by the place of probes: thousands of pools may ask the same of other addresses."""
        self.given: WeakSet[Seat] = WeakSet()
        """All seats there are; with one alone there is nothing to share."""
        self.probes = 0
        """Probes that were shared."""
        self._in_flight: dict[str, _Flight] = {}

    def check(self, seat: Seat, target: Target) -> Deferred[Observation]:
        """Probe `target` for `seat`."""
        if len(self.given) < 2:
            probing: Deferred[Observation] = self.inner.check(target)
            return probing
        place = place_of(target)
        flight = self._in_flight.get(place)
        if flight is not None and seat not in flight.waiting:
            return flight.join(seat)
        self.probes += 1
        flight = _Flight(lambda: self._in_flight.pop(place, None))
        self._in_flight[place] = flight
        joined = flight.join(seat)
        flight.probing = self.inner.check(target)
        flight.probing.addBoth(self._cb_found, place, flight)
        return joined

    def _cb_found(self, result: Any, place: str, flight: _Flight) -> None:
        if self._in_flight.get(place) is flight:
            del self._in_flight[place]
        waiting, flight.waiting = flight.waiting, {}
        there = self.listening.get(place, {})
        others = [seat for seat in there if seat not in waiting]
        for joined in waiting.values():
            joined.callback(result)  # a Failure errbacks
        if isinstance(result, Failure):
            return
        for seat in others:
            try:
                if seat.heard is not None:
                    seat.heard(place, result)
            except Exception:
                self.log.failure(
                    "Sharing the result of a check of {place}", place=place
                )


class _Flight:
    """A probe in flight with those who wait for it; cancelled when the last of them gives up."""

    def __init__(self, forget: Callable[[], object]) -> None:
        self.probing: Deferred[Any] | None = None
        self.waiting: dict[Seat, Deferred[Observation]] = {}
        self._forget = forget

    def join(self, seat: Seat) -> Deferred[Observation]:
        """One more who waits."""
        joined: Deferred[Observation] = Deferred(lambda _: self._leave(seat))
        self.waiting[seat] = joined
        return joined

    def _leave(self, seat: Seat) -> None:
        self.waiting.pop(seat, None)
        if not self.waiting and self.probing is not None:
            self._forget()
            self.probing.cancel()


class SharedChecks:
    """The shared checks of a process, by what they ask; each lives as long as its seats."""

    def __init__(self) -> None:
        self._checks: WeakValueDictionary[tuple[str, str], SharedCheck] = (
            WeakValueDictionary()
        )

    def seat(
        self,
        health: Health,
        way: Hashable,
        make: Callable[[], IHealthCheck],
    ) -> Seat:
        """A seat at the check with these settings.

        `way`: what else of the pool decides how it connects. `make`: makes the check when there is none yet.
        """
        key = (health.alike, repr(way))
        shared = self._checks.get(key)
        if shared is None:
            shared = self._checks[key] = SharedCheck(make())
        return Seat(shared)
