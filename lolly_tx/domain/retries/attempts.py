r"""The attempts of one request: which come next, and whose answer the client gets.

    begin -> lease -> send -> failed ----> another lease, or give up
      |                |  \-> answered --> welcome; or held back, and another lease
      |                \----- slow ------> a hedge beside it, and the faster one wins
      +-- all full --> the waiting room, then the same

Decisions only, the same ones for real exchanges (`proxy.exchange`) and sessions (`proxy.streams.session`), which share
`proxy.attempting`, and for simulated ones (`simulate.journey`, `simulate.sessions`). These are its only subclasses:
they perform what is decided (the abstract methods) and report what has come of it.

It is long because a subclass has to see at one place what it is told and what it is asked.

Imports: domain, domain.retries. Used by: proxy, proxy.streams, service, simulate.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from lolly_tx.domain.errors import (
    Abandoned,
    AllFull,
    ConnectionReset,
    NoTarget,
    ProxyError,
    ResponseTimedOut,
)
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.retries.budget import extra_lease

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.lease import Lease
    from lolly_tx.domain.node import Node
    from lolly_tx.domain.pool import Pool
    from lolly_tx.domain.retries.policy import Policy, Room

NEVER: Final = float("inf")


@mypyc_attr(allow_interpreted_subclasses=True)
class Choosing:
    """Who has the nodes for attempts: a `pool` with its `policy`.

    `keyless`: nothing about a request matters for whom it gets. A class, not a protocol: each request asks it.
    """

    __slots__ = ("keyless", "policy", "pool")

    pool: Pool
    policy: Policy
    keyless: bool

    def acquire(self, attempts: Any, now: float) -> Lease:
        """A lease for the next attempt. Raises `NoTarget`."""
        raise NotImplementedError

    def admits(self, now: float) -> bool:
        """Whether a request may go on, where a part of them is refused."""
        raise NotImplementedError

    def pause_before(self, attempts: int) -> float:
        """Seconds to wait before another attempt after so many."""
        raise NotImplementedError

    def retried(self) -> None:
        """An attempt after the first is made."""
        raise NotImplementedError

    def hedged(self) -> None:
        """An attempt beside the first is made."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Attempts(metaclass=ABCMeta):
    """One request's attempts, from its arrival at `started` (seconds) to its end.

    `tried`: nodes whose attempt has failed. `attempts`: made so far, hedges not counted.
    `lease`, `node`: of the current attempt; `node` stays when it is over. `hedge`: the
    lease of the attempt beside it. `deadline`: when `expired` is due.
    """

    __slots__ = (
        "_until",
        "attempts",
        "chooser",
        "deadline",
        "hedge",
        "lease",
        "node",
        "pausing",
        "started",
        "tried",
    )

    # Set by the subclasses in one go: a chain of constructors costs as much as a route.
    chooser: Choosing
    started: float
    attempts: int
    tried: tuple[Node, ...]
    lease: Lease | None
    node: Node | None
    hedge: Lease | None
    pausing: bool
    deadline: float
    _until: float

    # -- what subclasses tell

    @property
    @abstractmethod
    def method(self) -> bytes:
        """The request's."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """The client has sent all of the request."""

    @property
    @abstractmethod
    def answering(self) -> bool:
        """The client's answer has begun: nothing can be taken back."""

    @property
    @abstractmethod
    def replayable(self) -> bool:
        """All of the request is there to be sent once more."""

    @property
    @abstractmethod
    def idempotent(self) -> bool:
        """Done twice it does no more than once (RFC 9110 section 9.2.2), or is told apart."""

    @property
    def repeatable(self) -> bool:
        """It may be sent once more, whatever became of the first."""
        return self.replayable and self.idempotent and not self.answering

    @property
    @abstractmethod
    def sent(self) -> bool:
        """A byte of the current attempt may have reached its node."""

    # -- what subclasses perform

    @abstractmethod
    def send(self, lease: Lease, now: float) -> None:
        """Ask the node of `lease`. What comes of it: `failed` or `answered`."""

    @abstractmethod
    def send_hedge(self, lease: Lease, now: float) -> None:
        """The same beside the current attempt: `hedge_failed` or `hedge_answered`."""

    @abstractmethod
    def withdraw(self) -> None:
        """The current attempt is given up."""

    @abstractmethod
    def withdraw_hedge(self) -> None:
        """The hedge, or the wait for its time, is given up."""

    @abstractmethod
    def limit(self, at: float) -> None:
        """Have `expired` called at that time, and no sooner."""

    @abstractmethod
    def pause(self, seconds: float, lease: Lease) -> None:
        """Have `resumed` called with `lease` then, unless `pausing` has ended."""

    @abstractmethod
    def hedge_after(self, seconds: float, lease: Lease) -> None:
        """Have `hedge_due` called with `lease` then."""

    @abstractmethod
    def heed(self, lease: Lease, answer: Any, now: float) -> None:
        """`answer` may ask to be left alone with such requests for a while (Retry-After)."""

    @abstractmethod
    def hold(self, lease: Lease, answer: Any, now: float) -> None:
        """Keep `answer` of the current attempt instead of the one that is kept."""

    @abstractmethod
    def drop_held(self) -> None:
        """A better answer has come than the one that is kept, if one is."""

    @abstractmethod
    def deliver_held(self) -> bool:
        """Nothing better has come: the answer that is kept is the client's; False: none is."""

    @abstractmethod
    def refuse(self, error: ProxyError) -> None:
        """No attempt is left: tell the client, and be over."""

    # -- what subclasses may want to know

    def failure_of(self, status: int) -> ProxyError | int:
        """What to try again for, where an answer with `status` says that it failed."""
        return status

    def turned_over(self) -> None:
        """An attempt is over, and another node's turn begins."""
        return

    def dropped(self, lease: Lease, error: ProxyError, now: float) -> None:
        """The attempt of `lease` has ended in `error`."""
        return

    def hedge_over(self, lease: Lease, now: float) -> None:
        """A hedge has ended without an answer."""
        return

    # -- the beginning

    def begin(self) -> None:
        """Make the first attempt, or wait for room."""
        chooser = self.chooser
        policy = chooser.policy
        now = self.started
        if policy.budget is not None:
            policy.budget.request(now)
        if not policy.direct and not self._may_begin(policy, now):
            return
        try:
            if chooser.keyless:
                lease = chooser.pool.acquire(now)
            else:
                lease = chooser.acquire(self, now)
        except NoTarget as error:
            if policy.room is not None and isinstance(error, AllFull):
                self._wait(policy.room, now)
            else:
                self.refused(error)
            return
        self.attempt(lease, now)

    def _may_begin(self, policy: Policy, now: float) -> bool:
        """Let the clock run, where there is one; False: refused, or behind others."""
        if policy.total_timeout:
            self._until = now + policy.total_timeout
            self.limit(self._until)
        if not self.chooser.admits(now):
            self.give_up(NoTarget("too few requests succeed"))
            return False
        room = policy.room
        if room is None or not room.occupied:
            return True
        self._wait(room, now)
        return False

    def _wait(self, room: Room, now: float) -> None:
        if not room.enter(self, now):
            self.give_up(AllFull("every target and the waiting room are full"))

    def refused(self, error: NoTarget) -> None:
        """There is no node for the first attempt."""
        # Its traceback leads to the caller's frame and so to us: a cycle per refusal.
        self.give_up(error.with_traceback(None))

    def turned_away(self) -> None:
        """Waited for room in vain."""
        self.give_up(AllFull("every target stayed full"))

    # -- attempts

    def attempt(self, lease: Lease, now: float) -> None:
        """Make one attempt."""
        self.lease = lease
        self.node = lease.node
        self.attempts += 1
        if not self.chooser.policy.direct:
            self._watch(lease, now)
        self.send(lease, now)

    def _watch(self, lease: Lease, now: float) -> None:
        """Its time runs, and a hedge may be due."""
        self.pausing = False
        self.limit_try(now)
        hedging = self.chooser.policy.hedging
        if hedging is not None and self.attempts == 1 and self.complete:
            delay = hedging.delay()
            if delay is not None and self.repeatable:
                self.hedge_after(delay, lease)

    def limit_try(self, now: float) -> None:
        """The time of a try runs from `now` on, once the request is complete."""
        seconds = self.chooser.policy.try_timeout
        if seconds and self.complete and self.lease is not None and not self.pausing:
            self.limit(min(self._until, now + seconds))

    def request_complete(self, now: float) -> None:
        """The client has sent all of the request: from now on the node owes an answer."""
        if self.lease is not None:
            self.lease.asked = now
        if not self.chooser.policy.direct:
            self.limit_try(now)

    def failed(self, error: ProxyError, now: float) -> None:
        """The current attempt is over without an answer."""
        self._drop(error, now)
        if self.hedge is None:  # else it may still bring the answer
            self._try_again(error, now)

    def _drop(self, error: ProxyError, now: float) -> None:
        lease, self.lease = self.lease, None
        assert lease is not None
        lease.failed(now, error)
        self.tried += (lease.node,)
        lease.release(now)
        self.dropped(lease, error, now)

    def waits_at(self, node: Node) -> bool:
        """Its answer is to come from `node`, and has not begun."""
        lease = self.lease
        return lease is not None and lease.node is node and not self.answering

    def abandon(self, node: Node, now: float) -> None:
        """`node` has gone down: wait there no longer, if another one may be asked at once."""
        if not self.waits_at(node) or self.hedge is not None:
            return  # or another one has been asked already
        error = Abandoned("taken down by its checks", nothing_sent=not self.sent)
        tried, self.tried = self.tried, (*self.tried, node)
        another = self._another(error, now)
        self.tried = tried
        if another is not None:
            self.withdraw()
            self._drop(error, now)
            self._resume(another, now)

    def _try_again(self, error: ProxyError, now: float) -> None:
        another = self._another(error, now)
        if another is None:
            self.give_up(error)
        else:
            self._resume(another, now)

    def _another(self, failure: ProxyError | int, now: float) -> Lease | None:
        """The lease for another attempt after `failure`, if one may be made."""
        chooser = self.chooser
        policy = chooser.policy
        if not policy.retry.decide(
            failure,
            attempts=self.attempts,
            method=self.method,
            replayable=self.replayable,
            response_started=self.answering,
            idempotency_key=self.idempotent,
        ):
            return None
        if now >= self._until:
            return None
        lease = self._extra(now)
        if lease is not None:
            chooser.retried()
        return lease

    def _extra(self, now: float) -> Lease | None:
        """A lease for an attempt beyond the first, if the budget and the pool have it."""
        chooser = self.chooser
        try:
            return extra_lease(
                chooser.policy.budget, lambda: chooser.acquire(self, now), now
            )
        except NoTarget:
            return None

    def _resume(self, lease: Lease, now: float) -> None:
        """Make the next attempt: the first other node at once, later ones after a wait."""
        self._end_hedge(now)
        delay = self.chooser.pause_before(self.attempts)
        if not delay:
            self.turned_over()
            self.attempt(lease, now)
            return
        self.lease = lease
        self.pausing = True
        if self.chooser.policy.timed:  # the time of a try does not run before it
            self.limit(self._until)
        self.pause(delay, lease)

    def resumed(self, lease: Lease, now: float) -> None:
        """The wait is over."""
        lease.asked = now  # the wait was ours
        self.turned_over()
        self.attempt(lease, now)

    # -- answers

    def answered(self, status: int, answer: Any, now: float) -> bool:
        """The current attempt has the head of an `answer`: whether it is the client's.

        Else it is held back, and another attempt is made.
        """
        policy, lease = self.chooser.policy, self.lease
        if not policy.direct:
            self._end_hedge(now)
            if policy.hedging is not None and lease is not None:
                policy.hedging.note_answer(lease, now)
        if status >= 500 or status in policy.notable_statuses:
            if lease is not None and self._unwelcome(status, answer, lease, now):
                return False
        self.drop_held()
        if lease is not None:
            lease.answered(now, status)
        return True

    def _unwelcome(self, status: int, answer: Any, lease: Lease, now: float) -> bool:
        """Whether another node is asked because of this answer's status."""
        policy = self.chooser.policy
        if status in policy.soft_statuses:
            self.heed(lease, answer, now)
        failure = self.failure_of(status)
        if status not in policy.retry_statuses and failure == status:
            if status < 500 or not lease.on_trial:
                return False
            # A trial is to harm nobody: its failure counts as a lost connection does.
            failure = ConnectionReset("failed trial")
        tried = self.tried
        self.tried = (*tried, lease.node)
        another = self._another(failure, now)
        if another is None:
            self.tried = tried
            return False
        lease.answered(now, status)
        self.hold(lease, answer, now)
        self._resume(another, now)
        return True

    # -- hedges

    def hedge_due(self, lease: Lease, now: float) -> None:
        """`lease` has had its time: ask another node as well."""
        policy = self.chooser.policy
        if self.lease is not lease or policy.hedging is None:
            return
        tried = self.tried
        self.tried = (*tried, lease.node)
        self.hedge = hedge = self._extra(now)
        self.tried = tried
        if hedge is not None:
            policy.hedging.started += 1
            self.chooser.hedged()
            self.send_hedge(hedge, now)

    def hedge_answered(self, now: float) -> None:
        """The hedge was faster and is the attempt now. Nobody is blamed for losing."""
        hedging, beaten = self.chooser.policy.hedging, self.lease
        winner, self.hedge = self.hedge, None
        assert hedging is not None and winner is not None
        hedging.won += 1
        self.withdraw()
        self.turned_over()
        self.lease, self.node = winner, winner.node
        if beaten is not None:
            # It would have taken at least that long: left out, the percentile would sink.
            hedging.note_answer(beaten, now)
            beaten.beaten(now)

    def hedge_failed(self, error: ProxyError, now: float) -> None:
        """The hedge brought nothing."""
        lease, self.hedge = self.hedge, None
        assert lease is not None
        lease.failed(now, error)
        lease.release(now)
        self.tried += (lease.node,)
        self.hedge_over(lease, now)
        if self.lease is None:  # the first attempt has failed before
            self._try_again(error, now)

    def _end_hedge(self, now: float) -> None:
        self.withdraw_hedge()
        hedge, self.hedge = self.hedge, None
        if hedge is not None:
            hedge.release(now)
            self.hedge_over(hedge, now)

    # -- limits

    def expired(self, now: float) -> None:
        """The time for this try, or for all of them, is over."""
        self.deadline = NEVER
        if self.answering:
            return
        whole = now >= self._until
        if not whole:
            self.limit(self._until)
            if not self.complete:
                return  # it is the client who takes its time
        error = ResponseTimedOut("no answer in the time allowed")
        lease = self.lease
        if whole:
            if lease is not None and self._could_have_answered(lease):
                lease.failed(now, error)
            self.stop(now)
            self.give_up(error)
        elif lease is not None:
            self.withdraw()
            self.failed(error, now)

    def _could_have_answered(self, lease: Lease) -> bool:
        """The attempt had most of the time, and it was the node that took it."""
        policy = self.chooser.policy
        if policy.try_timeout or self.pausing:
            return False
        # What went before, such as waiting for room or for the client to send, is not this
        # node's doing.
        return lease.asked - self.started <= policy.total_timeout / 2

    # -- the end

    def stop(self, now: float) -> None:
        """No attempt goes on, and nobody is blamed: the client has gone, or time is up."""
        policy = self.chooser.policy
        if not policy.direct:
            self.pausing = False
            self._end_hedge(now)
            if self.lease is None and policy.room is not None:
                policy.room.leave(self)
        lease, self.lease = self.lease, None
        self.withdraw()
        if lease is not None:
            lease.release(now)

    def give_up(self, error: ProxyError) -> None:
        """No further attempt: the last real answer is the client's, or one of ours."""
        if self.answering or not self.deliver_held():
            self.refuse(error)
