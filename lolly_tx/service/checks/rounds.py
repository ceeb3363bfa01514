"""Asks every target of a pool something, again and again: the loop below checks and agents.

    LoopingCall --tick--> due targets --ask--> Deferred --> heard
                             ^                                |
                             +-------- next due time <--------+

One `LoopingCall` ticks for the whole pool and starts what is due, instead of one loop for
each target: then a thousand targets cost one timer, the cap on questions in flight is a
queue that is there already (the heap of due times), a question that is still open simply
is not in the heap, so those of one target cannot overlap, and a late tick, after a clock
jump or a pause of the machine, asks each target once and gives up on nobody (`net.alarm`).
The price is that one starts up to half a tick (1/40 of the shortest interval) early or late.

The first questions start at once, as many as may be in flight. From then on the targets
are spread evenly over the interval. A due time can be moved (`service.checks.agenda`).

To start a question costs a connect, so a thousand of them would hold the loop: what takes
longer than `TURN_SECONDS` goes on in the next turn, after whatever else is waiting.

It is long because the loop, its questions in flight and their due times are one thing: each step
of one moves the others.

Imports: domain, net, service.checks, Twisted. Used by: service, service.checks.checker,
service.checks.rechecks, service.checks.target_agents, simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.net.alarm import Patience
from lolly_tx.service.checks.agenda import Agenda, Due

TICKS_PER_INTERVAL = 20
_SHORTEST_TICK = 0.02
NOBODY: Mapping[str, float] = MappingProxyType({})
_LONGEST_TICK = 1.0
TURN_SECONDS = 0.002
"""Seconds of starting questions after which everything else has its turn.

Of targets that refuse connections the answers come together in the same turn, and take some three times as long.
"""
_GRACE = 1.0
"""Seconds beyond the timeout that a question may take to give up by itself."""


def tick_of(interval: float) -> float:
    """Seconds between two looks, for the shortest interval there is."""
    tick = max(interval / TICKS_PER_INTERVAL, _SHORTEST_TICK)
    return min(tick, _LONGEST_TICK, interval)


@attrs.frozen
class _Asked:
    """A question in flight. `slot`: as of its due time; `started`: when it did start."""

    slot: float
    started: float
    result: Deferred[Any]


class Rounds:
    """Asks every target of `pool` each `interval`, and never ends by itself.

    `what`: for the log, "health check". `shortest`: the shortest interval there can be.
    `timeout`: seconds after which a question without an answer is given up. `concurrency`:
    questions in flight at once, all of them more than 0. `clock`: drives the loop. `now`: seconds, monotonic; what
    due times are compared with. `random`: for the jitter.

    A question that was cancelled, by a stop or because its target left, has no answer;
    neither has one that could not be asked because this machine ran out of descriptors.
    """

    log = Logger()
    what = "question"

    def __init__(
        self,
        pool: Pool,
        *,
        interval: float,
        shortest: float,
        timeout: float,
        concurrency: int,
        jitter: float,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Random,
    ) -> None:
        if min(interval, shortest, timeout, concurrency) <= 0:
            raise ValueError(
                f"{self.what}: interval, timeout and concurrency are more than 0"
            )
        self.pool = pool
        self.interval = interval
        self.timeout = timeout
        self.concurrency = concurrency
        self.jitter = jitter
        self.asked = 0
        """Questions started since this object was made."""
        self._clock = clock
        self._now = now
        self._random = random
        self._tick_seconds = tick_of(shortest)
        self._patience = Patience(self._tick_seconds)
        self._loop: LoopingCall | None = None
        self._soon: IDelayedCall | None = None
        self._agenda = Agenda()
        self._in_flight: dict[str, _Asked] = {}
        self._starting = False
        self._excuse = ""

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return (
            f"<{type(self).__name__} of {self.pool.name} {state}, "
            f"{len(self._in_flight)} probes in flight>"
        )

    # -- what those above fill in

    def ask(self, node: Node) -> Deferred[Any]:
        """Ask `node` something. Errbacks with a `ProxyError` when nothing was learned."""
        raise NotImplementedError

    def heard(self, node_id: str, answer: Any, now: float) -> None:
        """An answer came in."""
        raise NotImplementedError

    def unanswered(self, node_id: str, now: float) -> None:
        """A question was given up."""

    def wait(self, node_id: str) -> float:
        """Seconds from the start of a question that was just answered to the next."""
        return self.interval

    def spares(self, node: Node) -> bool:
        """Whether the question that is due can be left out this time."""
        return False

    def followed(self) -> None:
        """The membership changed."""

    # -- life

    @property
    def is_running(self) -> bool:
        """Whether it asks."""
        return self._loop is not None

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._in_flight)

    def start(self, known: Mapping[str, float] = NOBODY) -> None:
        """Start asking, every target at once first. Does nothing when running.

        `known`: targets that need not be asked before such a time, at the latest an interval from now.
        """
        if self._loop is not None:
            return
        now, nodes = self._now(), self.pool.nodes
        for number, node_id in enumerate(nodes):
            if node_id in known:
                at = min(known[node_id], now + self.interval)
                self._agenda.set(node_id, at, at)
            else:
                self._agenda.set(
                    node_id, now, now - self.interval * number / len(nodes)
                )
        self._patience.begin(now)
        self._loop = loop = LoopingCall(self._tick)
        loop.clock = self._clock
        loop.start(self._tick_seconds, now=True).addErrback(self._eb_bug)

    def follow(self, before: Rounds) -> None:
        """Start in place of `before`, which asks the same by other times and stops; who has his time keeps it."""
        known = before._agenda.times()
        before.stop()
        self.start(known)

    def stop(self) -> None:
        """Stop asking and cancel the questions in flight. Does nothing when stopped.

        When it returns no timer and no socket is left, and `start` may be called again.
        """
        if self._loop is None:
            return
        self._loop.stop()
        self._loop = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._agenda.clear()
        for node_id in list(self._in_flight):
            self._abandon(node_id)

    def due(self, node_id: str) -> float | None:
        """When `node_id` is asked next; None while a question is open, or when nothing runs."""
        return self._agenda.time_of(node_id)

    def asking(self, node_id: str) -> bool:
        """Whether a question to `node_id` is open."""
        return node_id in self._in_flight

    def hurry(self, node_id: str, at: float) -> None:
        """Ask `node_id` at `at` if it would be asked later; not while a question is open."""
        due = self._agenda.time_of(node_id)
        if due is None or due <= at:
            return
        self._agenda.set(node_id, at, at)
        if at <= self._now():
            # Not from within whatever the caller is doing: an answer may come at once.
            self._look_soon()

    def _look_soon(self) -> None:
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._hurried)

    def _hurried(self) -> None:
        self._soon = None
        self._tick()

    def delay(self, node_id: str, now: float) -> None:
        """What would have been asked was learned elsewhere just now: start afresh from here."""
        if node_id in self._agenda:
            at = now + self.wait(node_id)
            self._agenda.set(node_id, at, at)

    def renew(self, node_ids: Collection[str]) -> None:
        """Forget the questions to `node_ids`, open ones as well; they are asked like newcomers at the next tick."""
        for node_id in node_ids:
            self._agenda.strike(node_id)
            if node_id in self._in_flight:
                self._abandon(node_id)

    # -- the loop

    def _tick(self) -> None:
        """One turn. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self._now()
            self._follow_membership(now)
            if self._patience.allows(now):
                self._give_up_on_overdue(now)
            self._start_due(now)
        except Exception:
            self.log.failure(
                "The {what} of pool {pool} failed", what=self.what, pool=self.pool.name
            )

    def _eb_bug(self, failure: Failure) -> None:
        self.log.failure(
            "The {what} of pool {pool} failed",
            failure=failure,
            what=self.what,
            pool=self.pool.name,
        )

    def _follow_membership(self, now: float) -> None:
        """Ask who joined at once, forget who left."""
        members = self.pool.nodes
        waiting, in_flight = self._agenda, self._in_flight
        if len(waiting) + len(in_flight) == len(members) and all(
            node_id in waiting or node_id in in_flight for node_id in members
        ):
            return
        waiting.keep(members)
        for node_id in [one for one in in_flight if one not in members]:
            self._abandon(node_id)
        for node_id in members:
            if node_id not in waiting and node_id not in in_flight:
                slot = now - self.interval * self._random.random()
                self._agenda.set(node_id, now, slot)
        self.followed()

    def _give_up_on_overdue(self, now: float) -> None:
        """End questions that did not keep their own limit; ours always do."""
        limit = now - self.timeout - _GRACE
        overdue = [
            node_id for node_id, one in self._in_flight.items() if one.started < limit
        ]
        for node_id in overdue:
            one = self._in_flight[node_id]
            self._abandon(node_id)
            self.unanswered(node_id, now)
            self._again(node_id, one.slot, now)

    def _start_due(self, now: float) -> None:
        """Start what is due, as far as the cap allows."""
        if self._starting or self._soon is not None:
            return  # from within the loop below, or others have their turn first
        self._starting = True
        try:
            # Half a tick early is nearer than half a tick late.
            until = now + self._tick_seconds / 2
            agenda, began = self._agenda, self._now()
            while agenda.is_due(until) and len(self._in_flight) < self.concurrency:
                if self._now() - began >= TURN_SECONDS:
                    self._look_soon()
                    return
                self._ask(agenda.take(), now)
        finally:
            self._starting = False

    def _again(self, node_id: str, slot: float, now: float) -> None:
        """Schedule the next question: an interval after `slot`, or in a tick if that is over."""
        shift = self.jitter * self._random.uniform(-1.0, 1.0) if self.jitter else 0.0
        wait = self.wait(node_id) * (1.0 + shift)
        at = max(now + self._tick_seconds, slot + wait)
        self._agenda.set(node_id, at, at)

    # -- one question

    def _ask(self, due: Due, now: float) -> None:
        node_id = due.node_id
        node = self.pool.nodes.get(node_id)
        if node is None:
            return  # left since the last look
        if self.spares(node):
            self._again(node_id, max(due.slot, due.at), now)
            return
        self.asked += 1
        try:
            result = self.ask(node)
            if not isinstance(result, Deferred):
                raise TypeError(f"the answer is {result!r}, not a Deferred")
        except Exception:
            text = "The {what} of {target} in pool {pool} failed to start"
            pool = self.pool.name
            self.log.failure(text, what=self.what, target=node_id, pool=pool)
            self._again(node_id, max(now, due.slot), now)
            return
        one = self._in_flight[node_id] = _Asked(due.slot, now, result)
        result.addCallbacks(
            self._cb_heard,
            self._eb_no_answer,
            callbackArgs=(node_id,),
            errbackArgs=(node_id,),
        )
        result.addBoth(self._cb_over, node_id, one)
        result.addErrback(self._eb_bug)

    def _cb_heard(self, answer: Any, node_id: str) -> None:
        self._excuse = ""
        self.heard(node_id, answer, self._now())

    def _eb_no_answer(self, failure: Failure, node_id: str) -> None:
        """Nothing was learned about the target, so its state stays."""
        if node_id not in self._in_flight:
            return  # cancelled by us
        if not failure.check(ProxyError):
            self.log.failure(
                "The {what} of {target} in pool {pool} failed",
                failure=failure,
                what=self.what,
                target=node_id,
                pool=self.pool.name,
            )
            return
        self.not_learned(node_id, failure.getErrorMessage())

    def not_learned(self, node_id: str, excuse: str) -> None:
        """Nothing can be learned for the reason `excuse`; that is said once, not each time."""
        if excuse != self._excuse:  # it may hold for a thousand probes a second
            self._excuse = excuse
            self.log.warn(
                "Targets of pool {pool} cannot be probed: {excuse}",
                pool=self.pool.name,
                excuse=excuse,
            )

    def _cb_over(self, bug: Failure | None, node_id: str, one: _Asked) -> None:
        """The question is over: schedule the next; who waited for room starts soon."""
        if bug is not None:
            self.log.failure(
                "Taking in the {what} of {target} in pool {pool}",
                failure=bug,
                what=self.what,
                target=node_id,
                pool=self.pool.name,
            )
        if self._in_flight.get(node_id) is not one:
            return  # abandoned
        del self._in_flight[node_id]
        now = self._now()
        self._again(node_id, one.slot, now)
        if not self._starting and self._agenda.is_due(now + self._tick_seconds / 2):
            self._look_soon()  # many may be over in one turn

    def _abandon(self, node_id: str) -> None:
        """Cancel a question and want nothing more of it."""
        one = self._in_flight.pop(node_id)
        one.result.cancel()
