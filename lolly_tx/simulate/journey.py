"""A simulated exchange: the decisions of `proxy.exchange`, in its order, without bytes.

    begin -> acquire a lease -> ask the model -> its answer, later
       |             ^                                  |
       |             +-- another node <- may be retried <+--> the client has its answer
       +-- all full: the waiting room

Whoever decides is production code: the forwarder's pool, retry policy, budget, back-off,
hedging, waiting room. The head of a response and the end of its body come at one time.

May import: domain, proxy, simulate. Used by: simulate.world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lolly_tx.domain.errors import (
    AllFull,
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    NoTarget,
    ProxyError,
    ResponseTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.proxy.replies import status_of
from lolly_tx.simulate.faults import NEVER
from lolly_tx.simulate.load import Client
from lolly_tx.simulate.recording import GONE

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.simulate.world import World


class _Head:
    """Of a response, as far as `Forwarder.grant_respite` looks at it."""

    __slots__ = ("block", "status")

    def __init__(self, status: int, retry_after: int) -> None:
        self.status = status
        self.block = {b"retry-after": b"%d" % retry_after} if retry_after else {}


class Journey:
    """One request from its arrival to its end. Stands in for an `Exchange`.

    `door`, `head`, `tried`: what the forwarder and the waiting room read of one.
    """

    __slots__ = (
        "attempts",
        "door",
        "forwarder",
        "head",
        "hedge",
        "held",
        "lease",
        "over",
        "pausing",
        "started",
        "tried",
        "until",
        "world",
    )

    def __init__(self, world: World, client: Client, post: bool, now: float) -> None:
        self.world = world
        self.forwarder = world.forwarder
        self.door = client
        self.head = client.post if post else client.head
        self.started = now
        self.tried: tuple[Node, ...] = ()
        self.attempts = 0
        self.lease: Lease | None = None
        self.hedge: Lease | None = None
        self.held: tuple[Lease, int] | None = None
        self.until = NEVER
        self.over = False
        self.pausing = False

    def begin(self, now: float) -> None:
        """Arrive."""
        forwarder = self.world.forwarder
        if forwarder.budget is not None:
            forwarder.budget.request(now)
        if forwarder.total_timeout:
            self.until = now + forwarder.total_timeout
            self.world.schedule(self.until, self._timed_out)
        if self.world.patience:
            self.world.schedule(now + self.world.patience, self._hung_up)
        if not forwarder.admits(now):
            self.refused(NoTarget("too few requests succeed"))
            return
        room = self.world.room
        if room is not None and room.occupied:
            self._wait(room, now)
            return
        try:
            lease = self.world.acquire(self, now)
        except NoTarget as error:
            if room is not None and isinstance(error, AllFull):
                self._wait(room, now)
            else:
                self.refused(error)
            return
        self.attempt(lease, now)

    def _wait(self, room: Any, now: float) -> None:
        if not room.enter(self, now):
            error = AllFull("every target and the waiting room are full")
            self._give_up(error, now)

    # -- what the waiting room tells

    def refused(self, error: NoTarget) -> None:
        """There is no node for the first attempt."""
        self._give_up(error.with_traceback(None), self.world.now())

    def turned_away(self) -> None:
        """Waited for room in vain."""
        self._give_up(AllFull("every target stayed full"), self.world.now())

    # -- attempts

    def attempt(self, lease: Lease, now: float) -> None:
        """Make one attempt."""
        self.lease = lease
        self.attempts += 1
        world = self.world
        seconds = self._send(lease, now)
        if self.attempts == 1 and world.forwarder.hedging is not None:
            self._consider_hedge(lease, now, seconds)
        limit = world.forwarder.try_timeout
        if limit and seconds > limit:
            world.schedule(now + limit, self._try_timed_out, lease)

    def _send(self, lease: Lease, now: float) -> float:
        """Ask the model; the seconds until something comes of it."""
        world = self.world
        seconds, status, trouble = world.models[lease.node.id].answer(now)
        result: int | ProxyError = status
        if trouble or seconds > world.read_timeout:
            if trouble == "refused":
                result = ConnectFailed("connection refused")
            elif trouble == "unreachable":
                seconds = world.connect_timeout
                result = ConnectTimedOut(f"no connection in {seconds:g} s")
            elif trouble == "reset" and seconds <= world.read_timeout:
                result = ConnectionReset("closed before the response")
            else:
                seconds = world.read_timeout
                result = ResponseTimedOut(f"no byte in {seconds:g} s")
        world.schedule(now + seconds, self._ended, lease, result)
        return seconds

    def _ended(self, now: float, lease: Lease, result: int | ProxyError) -> None:
        """Something has come back for `lease`."""
        if lease is self.lease:
            if isinstance(result, int):
                self._answered(lease, result, now)
            else:
                self._failed(lease, result, now)
        elif lease is self.hedge:
            if isinstance(result, int):
                self._hedge_answered(lease, result, now)
            else:
                self._hedge_failed(lease, result, now)
        # Else nobody waits for it any more.

    def _answered(self, lease: Lease, status: int, now: float) -> None:
        forwarder = self.world.forwarder
        if self.hedge is not None:
            self.hedge.release(now)
            self.hedge = None
        if forwarder.hedging is not None:
            forwarder.hedging.note_answer(lease, now)
        if status >= 429 and status in forwarder.soft_statuses:
            seconds = self.world.models[lease.node.id].retry_after(now)
            head: Any = _Head(status, seconds)
            forwarder.grant_respite(lease.node, self.head.target, head)
        failure: ProxyError | int | None = None
        if status in forwarder.retry_statuses:
            failure = status
        elif status >= 500 and lease.on_trial:
            failure = ConnectionReset("failed trial")
        if failure and self._try_for_better(lease, status, failure, now):
            return
        self._discard_held(now)
        self._deliver(lease, status, now)

    def _deliver(self, lease: Lease, status: int, now: float) -> None:
        """The client has its answer."""
        self.lease = None
        lease.ended(now, status)
        forwarder = self.world.forwarder
        if forwarder.sticky is not None:
            line = forwarder.sticky.set_cookie(
                self.head, lease.node, forwarder.pool.nodes, False
            )
            if line:
                self.door.take_cookie(line)
        self._over(status, now)

    def _try_for_better(
        self, lease: Lease, status: int, failure: ProxyError | int, now: float
    ) -> bool:
        """Hold this answer back and ask another node; False: there is no other."""
        tried = self.tried
        self.tried = (*tried, lease.node)
        another = self._another(failure, now)
        if another is None:
            self.tried = tried
            return False
        lease.answered(now, status)
        self._discard_held(now)
        self.held = (lease, status)
        self._resume(another, now)
        return True

    def _failed(self, lease: Lease, error: ProxyError, now: float) -> None:
        lease.failed(now, error)
        self._drop(lease, now)
        if self.hedge is None:
            self._try_again(error, now)

    def _drop(self, lease: Lease, now: float) -> None:
        self.lease = None
        self.tried += (lease.node,)
        lease.release(now)

    def _try_again(self, error: ProxyError, now: float) -> None:
        another = self._another(error, now)
        if another is None:
            self._give_up(error, now)
        else:
            self._resume(another, now)

    def _another(self, failure: ProxyError | int, now: float) -> Lease | None:
        """The lease for another attempt after `failure`, if one may be made."""
        forwarder = self.world.forwarder
        if not forwarder.retry.decide(
            failure,
            attempts=self.attempts,
            method=self.head.method,
            replayable=True,
            response_started=False,
        ):
            return None
        if now >= self.until:
            return None
        budget = forwarder.budget
        if budget is not None and not budget.withdraw(now):
            return None
        try:
            lease = self.world.acquire(self, now)
        except NoTarget:
            if budget is not None:
                budget.give_back()
            return None
        forwarder.retries += 1
        self.world.recording.retried(now)
        return lease

    def _resume(self, lease: Lease, now: float) -> None:
        """Make the next attempt: the first other node at once, later ones after a wait."""
        if self.hedge is not None:
            self.hedge.release(now)
            self.hedge = None
        delay = self.world.forwarder.pause_before(self.attempts)
        if not delay:
            self.attempt(lease, now)
            return
        self.lease = lease
        self.pausing = True
        self.world.schedule(now + delay, self._paused, lease)

    def _paused(self, now: float, lease: Lease, _: object) -> None:
        if lease is self.lease:
            self.pausing = False
            lease.asked = now
            self.attempt(lease, now)

    # -- hedging

    def _consider_hedge(self, lease: Lease, now: float, seconds: float) -> None:
        hedging = self.world.forwarder.hedging
        assert hedging is not None
        delay = hedging.percentile.value()
        if delay is None or self.head is self.door.post:
            return
        delay = max(delay, hedging.least)
        if delay < seconds:
            self.world.schedule(now + delay, self._start_hedge, lease)

    def _start_hedge(self, now: float, lease: Lease, _: object) -> None:
        forwarder = self.world.forwarder
        budget = forwarder.budget
        if lease is not self.lease:
            return
        if budget is not None and not budget.withdraw(now):
            return
        tried = self.tried
        self.tried = (*tried, lease.node)
        try:
            self.hedge = self.world.acquire(self, now)
        except NoTarget:
            if budget is not None:
                budget.give_back()
            return
        finally:
            self.tried = tried
        self.world.recording.hedged(now)
        self._send(self.hedge, now)

    def _hedge_answered(self, lease: Lease, status: int, now: float) -> None:
        """The hedge was faster: the first attempt is cancelled, and nobody blamed."""
        self.hedge = None
        beaten, self.lease = self.lease, lease
        if beaten is not None:
            hedging = self.world.forwarder.hedging
            if hedging is not None:
                hedging.note_answer(beaten, now)
            beaten.beaten(now)
        self._answered(lease, status, now)

    def _hedge_failed(self, lease: Lease, error: ProxyError, now: float) -> None:
        self.hedge = None
        lease.failed(now, error)
        lease.release(now)
        self.tried += (lease.node,)
        if self.lease is None:
            self._try_again(error, now)

    # -- limits

    def _try_timed_out(self, now: float, lease: Lease, _: object) -> None:
        if lease is self.lease:
            error = ResponseTimedOut("no answer in the time allowed")
            self._failed(lease, error, now)

    def _timed_out(self, now: float, _: object, __: object) -> None:
        """The time for all attempts is over."""
        if self.over:
            return
        error = ResponseTimedOut("no answer in the time allowed")
        forwarder = self.world.forwarder
        could_have = not (forwarder.try_timeout or self.pausing)
        if (
            self.lease is not None
            and could_have
            and self.lease.asked - self.started <= forwarder.total_timeout / 2
        ):
            self.lease.failed(now, error)
        self._cancel(now)
        self._give_up(error, now)

    def _hung_up(self, now: float, _: object, __: object) -> None:
        """The client has waited long enough; nobody is blamed."""
        if self.over:
            return
        self._cancel(now)
        self._discard_held(now)
        self._over(GONE, now)

    def _cancel(self, now: float) -> None:
        if self.lease is None and self.world.room is not None:
            self.world.room.leave(self)
        for lease in (self.lease, self.hedge):
            if lease is not None:
                lease.release(now)
        self.lease = self.hedge = None

    # -- the end

    def _discard_held(self, now: float) -> None:
        if self.held is not None:
            self.held[0].release(now)
            self.held = None

    def _give_up(self, error: ProxyError, now: float) -> None:
        """No further attempt: pass on the last real answer, or answer ourselves."""
        if self.held is None:
            self._over(status_of(error), now, error)
            return
        lease, status = self.held
        self.held = None
        self._deliver(lease, status, now)

    def _over(self, status: int, now: float, error: ProxyError | None = None) -> None:
        self.over = True
        world = self.world
        world.open -= 1
        world.recording.finished(self, status, error, now)
        admission = world.forwarder.admission
        if admission is not None and self.attempts and status != GONE:
            admission.finished(error is None and status < 500, now)
