"""What instances tell each other of failing targets, by a store that they share.

    Verdicts.on_failure --> Standing (a while) --a question a second for a pool--> store: who stands by what
                                ^----------------- how many stand elsewhere ------------'

Nothing is asked while nothing has failed, and nobody waits for an answer: while the store is away, slow or says what
cannot be meant, this instance goes on by what it sees itself, and what stands is told anew when the store is back. The
process that judges does this, so all workers of a machine are one instance.

Imports: domain, domain.shared, net.stores, service, service.checks, service.stores,
wire, Twisted. Used by: service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.node import Node
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.standing import Standing, Told
from lolly_tx.domain.target import Target
from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.net.stores.scripts import STAND
from lolly_tx.service.checks.local_faults import LocalFaults
from lolly_tx.service.pools import RunningPool
from lolly_tx.service.stores.running import Stores
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.wire.resp import Reply

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.net.stores.store import SharedStore

TELL_SECONDS: Final = 1.0
"""From one time that what stands is told to the next."""

KEEP_SECONDS: Final = 4.0
"""The store forgets what nobody has repeated for so long: an instance that died, a success it has not heard of."""

MOST_TARGETS: Final = 64
"""Of one question, which no other one is to wait for long; the other targets have the next one."""

MOST_FAILURES: Final = 256
"""At one target, as the store keeps them: many times what it takes to eject."""


_ALMOST: Final = 0.001
"""Seconds: no timer is to ring in the moment before."""


class _Shared:
    """A pool whose failures are shared by the store of that name."""

    def __init__(self, pool: Pool, store: str) -> None:
        self.pool = pool
        self.store = store
        self.standing = Standing(pool)
        self.asked: Deferred[Reply] | None = None


class FleetEvidence:
    """See the module. `stores`: those in force. `faults`: who knows whether it is us that nobody is reached.

    `workers`: processes that serve for this instance, as they are counted by stores.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        around: Surroundings,
        stores: Stores,
        faults: LocalFaults,
        workers: Callable[[], int],
    ) -> None:
        self.member = f"{around.random.getrandbits(64):016x}"
        """What this instance is called there."""
        self._clock = around.reactor
        self._now = around.now
        self._stores = stores
        self._faults = faults
        self._workers = workers
        self._shared: dict[str, _Shared] = {}
        self._timer: IDelayedCall | None = None
        self._at = 0.0
        self._told_at = float("-inf")
        faults.on_change.append(self._fault_changed)

    # -- life

    def go_by(self, running: Mapping[str, RunningPool]) -> None:
        """Share what these pools are to share, by their settings; what stands in those that stay is kept."""
        before, self._shared = self._shared, {}
        for name, one in running.items():
            store = one.settings.passive.share
            if not store:
                continue
            shared = before.get(name)
            if shared is None or shared.pool is not one.pool or shared.store != store:
                shared = _Shared(one.pool, store)
            self._shared[name] = shared
        for name, shared in before.items():
            if self._shared.get(name) is not shared:
                self._leave(shared)
        for shared in self._shared.values():
            shared.pool.verdicts.on_failure = partial(self._failed, shared)

    def stop(self) -> None:
        """Tell nothing more; no timer and no question is left."""
        self.go_by({})
        self._rest()

    def _leave(self, shared: _Shared) -> None:
        shared.pool.verdicts.on_failure = None
        asked, shared.asked = shared.asked, None
        if asked is not None:
            asked.cancel()

    # -- what happens here

    def _failed(
        self, shared: _Shared, node: Node, outcome: Outcome, now: float
    ) -> None:
        """A failure is held against a node."""
        if self._faults.fault.word == "network":
            return  # who knows whose it is
        self._tell_at(shared.standing.failed(node, outcome, now))

    def _fault_changed(self, lost: bool) -> None:
        """The network is lost, and so is what was seen of late; or it is there again."""
        if lost:
            for shared in self._shared.values():
                shared.standing.forget()

    # -- what is told

    def _tell_at(self, at: float) -> None:
        """Tell what stands then, or before; not before a second after the last time."""
        at = max(at, self._told_at + TELL_SECONDS)
        if self._timer is not None:
            if self._at <= at:
                return
            self._rest()
        self._at = at
        delay = max(0.0, at - self._now()) + _ALMOST
        self._timer = self._clock.callLater(delay, self._tell)

    def _rest(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _tell(self) -> None:
        """Tell what stands, pool by pool. It goes on a second later, as long as something does."""
        self._timer = None
        now = self._told_at = self._now()
        try:
            for shared in self._shared.values():
                self._tell_of(shared, now)
        except Exception:
            self.log.failure("Telling of failures")
        if any(shared.standing for shared in self._shared.values()):
            self._tell_at(now)

    def _tell_of(self, shared: _Shared, now: float) -> None:
        if not shared.standing or shared.asked is not None:
            return
        told = shared.standing.tell(now, MOST_TARGETS)
        store = self._stores.get(shared.store)
        if not told or store is None or not store.here:
            return
        keys, words = [], []
        for one in told:
            keys.append(_key(store, shared.pool.name, one.node.target))
            words += [one.count, one.before]
        keep = int(1000 * KEEP_SECONDS)
        asked = store.run(STAND, keys, self.member, keep, MOST_FAILURES, *words)
        shared.asked = asked
        asked.addBoth(self._cb_over, shared)
        asked.addCallback(self._cb_heard, shared, told)
        asked.addErrback(self._eb_away)

    def _cb_over(self, result: Reply | Failure, shared: _Shared) -> Reply | Failure:
        shared.asked = None
        return result

    def _cb_heard(self, reply: Reply, shared: _Shared, told: list[Told]) -> None:
        """How many stand elsewhere, of each; what is no such answer is none."""
        numbers = reply if isinstance(reply, list) else []
        store = self._stores.get(shared.store)
        if len(numbers) != len(told) or store is None:
            return
        now, instances = self._now(), store.sharers / self._workers()
        for one, number in zip(told, numbers, strict=True):
            if isinstance(number, int):
                shared.standing.hear(one, number, now, instances)

    def _eb_away(self, failure: Failure) -> None:
        """No answer, or nobody wants it any more."""
        if not failure.check(StoreAway, CancelledError):
            self.log.failure("Hearing of failures elsewhere", failure=failure)


def _key(store: SharedStore, pool: str, target: Target) -> bytes:
    """Of what is known there of a target: it is the same one where the pool's name and the address are."""
    place = target.endpoint or f"{target.scheme}://{target.host}:{target.port}"
    return store.key("evidence", pool, place)
