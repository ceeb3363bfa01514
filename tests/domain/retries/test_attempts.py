"""The decisions over the attempts of one request, with a stand-in that performs nothing."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.admission import Admission
from lolly_tx.domain.errors import (
    AllDown,
    AllFull,
    ConnectFailed,
    ConnectionReset,
    ProxyError,
    ResponseTimedOut,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.percentile import Percentile
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.queue import WaitingLine
from lolly_tx.domain.retries.attempts import NEVER, Attempts, Choosing
from lolly_tx.domain.retries.backoff import Backoff
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.policy import Hedging, Policy
from lolly_tx.domain.retries.retry import RetryPolicy
from tests.domain.pools import fail, pool_of

ALL = ("connect", "timeout", "reset", "503")


class Chooser(Choosing):
    """A pool with its policy, as attempts see it."""

    def __init__(self, pool: Pool, policy: Policy, keyless: bool = True) -> None:
        self.pool = pool
        self.policy = policy
        self.keyless = keyless
        self.retries = 0
        self.hedges = 0
        self.wait = 0.0
        self.welcome = True

    def acquire(self, attempts: Any, now: float) -> Lease:
        return self.pool.acquire(now, None, attempts.tried)

    def admits(self, now: float) -> bool:
        return self.welcome

    def pause_before(self, attempts: int) -> float:
        return self.wait

    def retried(self) -> None:
        self.retries += 1

    def hedged(self) -> None:
        self.hedges += 1


class Room:
    """A waiting room with a place, or without."""

    def __init__(self, free: bool = True, occupied: bool = False) -> None:
        self.free = free
        self.occupied = occupied
        self.waiting: list[Any] = []
        self.line: WaitingLine[Any] = WaitingLine(1, 1.0)

    def enter(self, attempts: Any, now: float) -> bool:
        if self.free:
            self.waiting.append(attempts)
        return self.free

    def leave(self, attempts: Any) -> None:
        if attempts in self.waiting:
            self.waiting.remove(attempts)

    def admit(self, now: float) -> None:
        """Nobody is."""


class Played(Attempts):
    """Writes down what it is asked to perform."""

    complete = True
    answering = False
    replayable = True
    idempotent = True
    sent = True
    method = b"GET"

    def __init__(self, chooser: Chooser, now: float = 0.0) -> None:
        self.chooser = chooser
        self.started = now
        self.tried = ()
        self.attempts = 0
        self.lease = self.node = self.hedge = None
        self.deadline = self._until = NEVER
        self.pausing = False
        self.held: Any = None
        self.said: list[str] = []
        self.error: ProxyError | None = None

    def send(self, lease: Lease, now: float) -> None:
        self.said.append(f"send {lease.node.id}")

    def send_hedge(self, lease: Lease, now: float) -> None:
        self.said.append(f"hedge {lease.node.id}")

    def withdraw(self) -> None:
        self.said.append("withdraw")

    def withdraw_hedge(self) -> None:
        """There is no timer."""

    def limit(self, at: float) -> None:
        self.deadline = at

    def pause(self, seconds: float, lease: Lease) -> None:
        self.said.append(f"pause {seconds:g}")

    def hedge_after(self, seconds: float, lease: Lease) -> None:
        self.said.append("hedge later")

    def heed(self, lease: Lease, answer: Any, now: float) -> None:
        self.said.append(f"heed {answer}")

    def hold(self, lease: Lease, answer: Any, now: float) -> None:
        self.drop_held()
        self.held = lease
        self.said.append(f"hold {answer}")

    def drop_held(self) -> None:
        if self.held is not None:
            self.held.release(0.0)
            self.held = None

    def deliver_held(self) -> bool:
        if self.held is None:
            return False
        self.said.append("deliver")
        self.drop_held()
        return True

    def refuse(self, error: ProxyError) -> None:
        self.error = error
        self.said.append(f"refuse {type(error).__name__}")


class Case(SynchronousTestCase):
    def played(
        self, *targets: str, chooser: dict[str, Any] | None = None, **policy: Any
    ) -> Played:
        """One that has begun."""
        policy.setdefault("retry", RetryPolicy(tries=3, on=ALL))
        who = Chooser(pool_of(*targets or ("a", "b", "c")), Policy(**policy))
        for name, value in (chooser or {}).items():
            setattr(who, name, value)
        played = Played(who)
        played.begin()
        return played

    def none_left(self, played: Played) -> None:
        """No lease is out."""
        self.assertEqual(played.chooser.pool.in_flight, 0)


class FirstTests(Case):
    def test_answered(self) -> None:
        """The first attempt is sent at once, and its answer is the client's."""
        played = self.played()
        self.assertEqual(played.said, ["send a"])
        self.assertTrue(played.answered(200, "ok", 1.0))
        assert played.lease is not None
        self.assertEqual((played.lease.status, played.lease.seconds), (200, 1.0))
        played.stop(2.0)
        self.none_left(played)

    def test_keyed(self) -> None:
        """Where something about a request matters, the chooser chooses."""
        played = self.played(chooser={"keyless": False})
        self.assertEqual(played.said, ["send a"])
        played.stop(0.0)

    def test_nobody(self) -> None:
        """Without a target the client is told at once."""
        who = Chooser(pool_of("a"), Policy())
        who.pool.set_enabled("a", "down", "test", 0.0)
        played = Played(who)
        played.begin()
        self.assertEqual(played.said, ["refuse AllDown"])
        assert played.error is not None
        self.assertIsNone(played.error.__traceback__)
        self.assertIsInstance(played.error, AllDown)

    def test_not_admitted(self) -> None:
        """Refused by chance while too few succeed; nobody is asked."""
        played = self.played(chooser={"welcome": False}, admission=Admission())
        self.assertEqual(played.said, ["refuse NoTarget"])
        self.assertEqual(played.attempts, 0)

    def test_waits_for_room(self) -> None:
        """With all full it waits, gives up its place when it stops, or is turned away."""
        room = Room()
        who = Chooser(pool_of("a", max_conns=1), Policy(room=room))
        taken = who.pool.acquire(0.0)
        played = Played(who)
        played.begin()
        self.assertEqual((played.said, room.waiting), ([], [played]))
        played.stop(1.0)
        self.assertEqual(room.waiting, [])
        other = Played(who)
        other.begin()
        other.turned_away()
        self.assertEqual(other.said, ["refuse AllFull"])
        room.free = False
        third = Played(who)
        third.begin()
        self.assertIsInstance(third.error, AllFull)
        taken.release(2.0)

    def test_behind_others(self) -> None:
        """Who comes while others wait does not pass them."""
        room = Room(occupied=True)
        played = Played(Chooser(pool_of("a"), Policy(room=room)))
        played.begin()
        self.assertEqual((played.said, room.waiting), ([], [played]))


class AgainTests(Case):
    def test_another(self) -> None:
        """A failed attempt is followed by one at another node, until tries are used up."""
        played = self.played(budget=RetryBudget(1.0, 10.0))
        played.failed(ConnectFailed("refused"), 0.1)
        played.failed(ConnectionReset("reset"), 0.2)
        self.assertEqual(played.said, ["send a", "send b", "send c"])
        assert isinstance(played.chooser, Chooser)
        self.assertEqual(played.chooser.retries, 2)
        played.failed(ConnectionReset("reset"), 0.3)
        self.assertEqual(played.said[-1], "refuse ConnectionReset")
        self.assertEqual([node.id for node in played.tried], ["a", "b", "c"])
        self.none_left(played)

    def test_no_budget(self) -> None:
        """Without budget there is no other; without a node the budget is not spent."""
        played = self.played(budget=RetryBudget(0.0, 0.0))
        played.failed(ConnectFailed("refused"), 0.1)
        self.assertEqual(played.said[-1], "refuse ConnectFailed")
        budget = RetryBudget(1.0, 10.0)
        alone = self.played("a", budget=budget)
        alone.failed(ConnectFailed("refused"), 0.1)
        self.assertEqual((alone.said[-1], budget.spent), ("refuse ConnectFailed", 0))

    def test_not_repeatable(self) -> None:
        """What may have been executed and may not be twice is not sent again."""
        for name in ("idempotent", "replayable"):
            played = self.played()
            played.method = b"POST"
            setattr(played, name, False)
            self.assertFalse(played.repeatable)
            played.failed(ConnectionReset("reset"), 0.1)
            self.assertEqual(played.said[-1], "refuse ConnectionReset")

    def test_pause(self) -> None:
        """Back-off is waited for, and is not counted as the next node's time."""
        played = self.played(
            chooser={"wait": 0.5}, backoff=Backoff(0.5, 1.0), try_timeout=1.0
        )
        self.assertEqual(played.deadline, 1.0)
        played.failed(ConnectFailed("refused"), 0.1)
        self.assertEqual((played.said[-1], played.pausing), ("pause 0.5", True))
        self.assertEqual(played.deadline, NEVER)
        lease = played.lease
        assert lease is not None
        played.resumed(lease, 0.6)
        self.assertEqual((played.said[-1], lease.asked), ("send b", 0.6))
        self.assertEqual((played.deadline, played.pausing), (1.6, False))
        played.stop(1.0)
        self.none_left(played)


class AnswerTests(Case):
    def test_held(self) -> None:
        """A status to retry on is held back, and delivered when nobody has a better one."""
        played = self.played(soft_statuses=frozenset({503}))
        self.assertFalse(played.answered(503, "busy", 0.1))
        self.assertEqual(played.said, ["send a", "heed busy", "hold busy", "send b"])
        played.failed(ConnectFailed("refused"), 0.2)
        played.failed(ConnectFailed("refused"), 0.3)
        self.assertEqual(played.said[-1], "deliver")
        self.none_left(played)

    def test_better(self) -> None:
        """A better answer drops the one that was held."""
        played = self.played()
        self.assertFalse(played.answered(503, "busy", 0.1))
        self.assertTrue(played.answered(200, "ok", 0.2))
        self.assertIsNone(played.held)
        played.stop(0.3)
        self.none_left(played)

    def test_nobody_better(self) -> None:
        """With nobody else to ask, a bad answer is the client's."""
        played = self.played("a")
        self.assertTrue(played.answered(503, "busy", 0.1))
        self.assertEqual(played.tried, ())
        played.stop(0.2)

    def test_failed_trial(self) -> None:
        """A server error of a trial is asked again elsewhere, whatever the statuses to retry on."""
        who = Chooser(pool_of("a", "b"), Policy(retry=RetryPolicy(tries=2)))
        first = who.pool.nodes["a"]
        while first.ejection == "up":
            fail(who.pool, 0.0)
        both = {node.id: node.ejection for node in who.pool.nodes.values()}
        self.assertEqual(both["a"], "ejected")
        played = Played(who, 61.0)
        played.begin()
        while played.node is not first:  # the trial has its turn among the others
            played.stop(61.0)
            played = Played(who, 61.0)
            played.begin()
        self.assertFalse(played.answered(500, "broken", 61.1))
        self.assertIn("hold broken", played.said)
        played.drop_held()
        played.stop(61.2)

    def test_error_that_is_nobodys_concern(self) -> None:
        """Another server error is passed on."""
        played = self.played(retry=RetryPolicy(tries=3))
        self.assertTrue(played.answered(500, "broken", 0.1))
        played.stop(0.2)


class AbandonTests(Case):
    def test_elsewhere(self) -> None:
        """What waits at a node that goes down is asked of another, and nobody is blamed."""
        played = self.played()
        first = played.node
        assert first is not None
        self.assertTrue(played.waits_at(first))
        played.abandon(first, 1.0)
        self.assertEqual(played.said, ["send a", "withdraw", "send b"])
        self.assertEqual(first.stats.failures, 0)
        played.abandon(first, 1.1)  # it waits elsewhere now
        self.assertEqual(len(played.said), 3)
        played.stop(2.0)

    def test_nobody_else(self) -> None:
        """With nobody else it goes on waiting."""
        played = self.played("a")
        assert played.node is not None
        played.abandon(played.node, 1.0)
        self.assertEqual((played.said, played.tried), (["send a"], ()))
        played.stop(2.0)


class HedgeTests(Case):
    def hedged(self, *targets: str, **policy: Any) -> Played:
        """One whose hedge is due after 50 ms."""
        hedging = Hedging(Percentile(0.9), 0.05)
        self.assertIsNone(hedging.delay())
        for _ in range(20):
            hedging.percentile.add(0.001)
        self.assertEqual(hedging.delay(), 0.05)
        played = self.played(*targets, hedging=hedging, **policy)
        self.assertEqual(played.said, ["send a", "hedge later"][::-1])
        assert played.lease is not None
        played.hedge_due(played.lease, 0.05)
        return played

    def test_faster(self) -> None:
        """The hedge that answers first is the attempt from then on; the first is given up."""
        played = self.hedged()
        self.assertEqual(played.said[-1], "hedge b")
        played.hedge_answered(0.1)
        self.assertTrue(played.answered(200, "ok", 0.1))
        assert played.node is not None
        self.assertEqual((played.node.id, played.hedge), ("b", None))
        hedging = played.chooser.policy.hedging
        assert hedging is not None
        self.assertEqual((hedging.started, hedging.won), (1, 1))
        played.stop(0.2)
        self.none_left(played)

    def test_slower(self) -> None:
        """The answer of the first ends the hedge."""
        played = self.hedged()
        self.assertTrue(played.answered(200, "ok", 0.1))
        self.assertIsNone(played.hedge)
        played.stop(0.2)
        self.none_left(played)

    def test_both_fail(self) -> None:
        """The failure of one leaves the other; that of both asks a third."""
        played = self.hedged()
        played.failed(ConnectionReset("reset"), 0.1)
        self.assertEqual(played.said[-1], "hedge b")
        assert played.node is not None
        played.abandon(played.node, 0.15)
        played.hedge_failed(ConnectionReset("reset"), 0.2)
        self.assertEqual(played.said[-1], "send c")
        played.stop(0.3)
        self.none_left(played)

    def test_hedge_fails_first(self) -> None:
        """A hedge that fails alone changes nothing for the first."""
        played = self.hedged()
        played.hedge_failed(ConnectionReset("reset"), 0.1)
        self.assertTrue(played.answered(200, "ok", 0.2))
        played.stop(0.3)
        self.none_left(played)

    def test_nobody_else(self) -> None:
        """Without a second node, or after the first is over, there is no hedge."""
        self.assertEqual(self.hedged("a").said[-1], "send a")
        played = self.played()
        lease = played.lease
        assert lease is not None
        played.hedge_due(lease, 0.1)  # nobody asked for hedges
        self.assertEqual(played.said, ["send a"])


class LimitTests(Case):
    def test_try(self) -> None:
        """A try that takes too long is given up, blamed and made elsewhere."""
        played = self.played(try_timeout=1.0)
        played.expired(1.0)
        self.assertEqual(played.said, ["send a", "withdraw", "send b"])
        self.assertEqual(played.tried[0].stats.failures, 1)
        self.assertEqual(played.deadline, 2.0)
        played.stop(1.5)

    def test_total(self) -> None:
        """All tries together end at the whole time; a node that had most of it is blamed."""
        played = self.played(total_timeout=2.0)
        self.assertEqual(played.deadline, 2.0)
        played.expired(2.0)
        self.assertEqual(played.said[-1], "refuse ResponseTimedOut")
        self.assertIsInstance(played.error, ResponseTimedOut)
        assert played.node is not None
        self.assertEqual(played.node.stats.failures, 1)
        self.none_left(played)

    def test_total_late(self) -> None:
        """One that was asked late is not, and no try begins after the whole time."""
        played = self.played(total_timeout=2.0)
        played.failed(ConnectFailed("refused"), 1.5)
        assert played.node is not None and played.lease is not None
        played.lease.asked = 1.5
        played.expired(2.0)
        self.assertEqual(played.node.stats.failures, 0)
        late = self.played(total_timeout=2.0)
        late.failed(ConnectFailed("refused"), 2.0)
        self.assertEqual(late.said[-1], "refuse ConnectFailed")

    def test_tries_within_the_whole(self) -> None:
        """With a time for tries, the whole time blames nobody; a try ends with the whole."""
        played = self.played(try_timeout=5.0, total_timeout=2.0)
        self.assertEqual(played.deadline, 2.0)
        played.expired(2.0)
        assert played.node is not None
        self.assertEqual(played.node.stats.failures, 0)

    def test_client_takes_its_time(self) -> None:
        """The time of a try runs when the request is complete, not before."""
        who = Chooser(pool_of("a"), Policy(try_timeout=1.0, total_timeout=9.0))
        played = Played(who)
        played.complete = False
        played.begin()
        self.assertEqual(played.deadline, 9.0)
        played.expired(1.0)
        self.assertEqual(played.said, ["send a"])
        played.complete = True
        played.request_complete(3.0)
        assert played.lease is not None
        self.assertEqual((played.deadline, played.lease.asked), (4.0, 3.0))
        played.stop(4.0)
        played.request_complete(4.0)  # nobody owes anything any more
        self.assertIsNone(played.lease)

    def test_answer_has_begun(self) -> None:
        """An answer that has begun is not cut, and a failure then is told as it is."""
        played = self.played(total_timeout=2.0)
        played.answering = True
        played.expired(2.0)
        self.assertEqual((played.said, played.deadline), (["send a"], NEVER))
        played.failed(ConnectionReset("reset"), 3.0)
        self.assertEqual(played.said[-1], "refuse ConnectionReset")

    def test_waiting_in_vain(self) -> None:
        """The whole time ends for one who has no node yet, too."""
        room = Room()
        who = Chooser(pool_of("a", max_conns=1), Policy(room=room, total_timeout=2.0))
        taken = who.pool.acquire(0.0)
        played = Played(who)
        played.begin()
        played.expired(2.0)
        self.assertEqual(
            (room.waiting, played.said[-1]), ([], "refuse ResponseTimedOut")
        )
        taken.release(2.0)


class PolicyTests(SynchronousTestCase):
    def test_derived(self) -> None:
        """What asks for a thought, and what does not."""
        plain = Policy()
        self.assertTrue(plain.direct)
        self.assertEqual(plain.easy_statuses, frozenset(range(200, 500)))
        asked = Policy(
            retry=RetryPolicy(on=("404", "5xx")), soft_statuses=frozenset({429})
        )
        self.assertEqual(asked.retry_statuses, {404, *range(500, 600)})
        self.assertNotIn(429, asked.easy_statuses)
        self.assertNotIn(404, asked.easy_statuses)
        timed = Policy(try_timeout=1.0)
        self.assertEqual((timed.timed, timed.direct), (True, False))
        self.assertEqual(timed.easy_statuses, frozenset())

    def test_early_answers(self) -> None:
        """An answer before the request's end says nothing about how long they take."""
        hedging = Hedging(Percentile(0.5), 0.0)
        lease = pool_of("a").acquire(0.0)
        lease.asked = NEVER
        for _ in range(20):
            hedging.note_answer(lease, 1.0)
        self.assertIsNone(hedging.delay())
        lease.asked = 0.5
        for _ in range(20):
            hedging.note_answer(lease, 1.0)
        self.assertLess(abs((hedging.delay() or 0.0) - 0.5), 0.06)


class PercentileTests(SynchronousTestCase):
    def test_values(self) -> None:
        """At most ten per cent too high, from a tenth of a millisecond to minutes."""
        random = Random(1)
        for scale in (0.00001, 0.01, 1.0, 900.0):
            percentile = Percentile(0.9)
            seen = [random.random() * scale for _ in range(900)]
            for seconds in seen:
                percentile.add(seconds)
            true = sorted(seen)[int(0.9 * 900) - 1]
            found = percentile.value()
            assert found is not None
            if 1e-4 < true < 400.0:
                self.assertTrue(true * 0.99 <= found <= true * 1.11, (true, found))

    def test_forgets(self) -> None:
        """What is older than two windows does not count."""
        percentile = Percentile(0.5)
        for seconds in (1.0, 0.01):
            for _ in range(2000):
                percentile.add(seconds)
        self.assertLess(percentile.value() or 1.0, 0.02)

    def test_share(self) -> None:
        """A share lies between 0 and 1."""
        for share in (0.0, 1.0):
            self.assertRaises(ValueError, Percentile, share)
