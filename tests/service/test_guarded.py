"""Tests of plugins that make mistakes in the middle of an exchange."""

from random import Random

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lolly_tx.domain.balancers.consistent_hash import ConsistentHash
from lolly_tx.domain.balancers.least_time import LeastTime
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.foresight import balancer_name
from lolly_tx.domain.interfaces import IAccrual, IBalancer, IOutcomeAccrual
from lolly_tx.service.guarded import GuardedBalancer, guarded_accrual
from lolly_tx.testing import BalancerContract, fake_pool, fake_target


class Mistake(Exception):
    """What plugins of these tests raise."""


@implementer(IBalancer)
class Broken:
    """A balancer whose every method raises."""

    def fail(self, *words):
        raise Mistake

    pick = ranked = released = finished = preview = bound = fail


@implementer(IBalancer)
class Picks:
    """A balancer that picks what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def pick(self, candidates, key):
        return self.answer


@implementer(IAccrual)
class BrokenPolicy:
    """A policy whose every method raises."""

    def fail(self, *words):
        raise Mistake

    succeeded = failed = reset = fail
    clean = property(fail)


@implementer(IOutcomeAccrual)
class BrokenListener(BrokenPolicy):
    """The same that wants to hear more."""

    heard = BrokenPolicy.fail


class GuardedCase(SynchronousTestCase):
    def guarded(self, balancer):
        return GuardedBalancer("acme", balancer, Logger("acme"))

    def policy(self, accrual):
        return guarded_accrual("acme", accrual, Logger("acme"))

    def said(self, error):
        """How often an error was logged since the last time."""
        return len(self.flushLoggedErrors(error))


class BalancerTests(GuardedCase):
    def pool(self, balancer, ids="ab"):
        return fake_pool([fake_target(one) for one in ids], self.guarded(balancer))

    def ids(self, pool, count=4):
        """Who gets so many exchanges, each of which ends before the next."""
        found = []
        for _ in range(count):
            lease = pool.acquire(0.0, b"key")
            found.append(lease.node.id)
            lease.ended(0.0, 200)
        return "".join(found)

    def test_raises(self):
        """While a balancer raises its targets take turns, and each mistake is logged."""
        pool = self.pool(Broken())
        self.assertEqual("".join(sorted(self.ids(pool))), "aabb")
        self.assertGreaterEqual(self.said(Mistake), 4)
        self.assertEqual([node.in_flight for node in pool.nodes.values()], [0, 0])

    def test_no_candidate(self):
        """Who is picked without being a candidate gets nothing."""
        for answer in (None, "a", fake_pool(["a"], RoundRobin()).nodes["a"]):
            self.assertEqual(self.ids(self.pool(Picks(answer))), "abab")
            self.assertEqual(self.said(LookupError), 4)

    def test_tried(self):
        """A second try goes to another target, also when the order of preference breaks off."""
        pool = self.pool(Broken(), "abc")
        first, second = (pool.nodes[one] for one in "ab")
        self.assertEqual(pool.acquire(0.0, b"", tried=[first, second]).node.id, "c")
        self.said(Mistake)

    def test_order_breaks_off(self):
        """Who was not named when the order broke off comes after those who were, once."""

        class Half(Broken):
            def ranked(self, candidates, key):
                yield candidates[-1]
                raise Mistake

        pool = self.pool(Half(), "abc")
        nodes = tuple(pool.nodes.values())
        found = [one.id for one in self.guarded(Half()).ranked(nodes, b"")]
        self.assertEqual(found, ["c", "a", "b"])
        self.assertEqual(self.said(Mistake), 1)

    def test_order_of_strangers(self):
        """An order that names a stranger is not followed any further."""

        class Strangers(Broken):
            def ranked(self, candidates, key):
                return iter(["nobody", candidates[-1]])

        nodes = tuple(self.pool(Strangers()).nodes.values())
        found = [one.id for one in self.guarded(Strangers()).ranked(nodes, b"")]
        self.assertEqual(found, ["a", "b"])
        self.assertEqual(self.said(LookupError), 1)

    def test_explained(self):
        """Explaining a choice works with a balancer that raises, and calls it by its own name."""
        pool = self.pool(Broken())
        self.assertIn("Broken", pool.foresee(0.0, None).why)
        self.assertEqual(balancer_name(self.guarded(Broken())), "Broken")
        self.assertEqual(balancer_name(Broken()), "Broken")
        self.said(Mistake)

    def test_offers_what_there_is(self):
        """What a balancer does not offer is not there, and what it does is its own."""
        plain = self.guarded(Picks(None))
        for word in ("ranked", "released", "finished", "preview", "bound", "bond"):
            self.assertFalse(hasattr(plain, word), word)
        told = self.guarded(LeastTime(random=Random(1)))
        self.assertTrue(hasattr(told, "finished"))
        self.assertIs(verifyObject(IBalancer, told), True)
        self.assertIn("acme", repr(told))

    def test_sound(self):
        """A sound balancer is heard as ever."""
        pool = self.pool(ConsistentHash(), "abc")
        self.assertEqual(len(set(self.ids(pool, 9))), 1)
        self.assertEqual(self.said(Exception), 0)


class SoundBalancerTests(BalancerContract, SynchronousTestCase):
    """A balancer that is held keeps the contract of balancers."""

    def make_balancer(self, random):
        @implementer(IBalancer)
        class Turns:
            """A balancer that offers `pick` and nothing else."""

            def __init__(self):
                self.pick = RoundRobin(random).pick

        return GuardedBalancer("acme", Turns(), Logger("acme"))


class PolicyTests(GuardedCase):
    def pool(self, accrual):
        return fake_pool("ab", RoundRobin(), lambda: self.policy(accrual()))

    def test_raises(self):
        """An exchange ends, and its place is free, whatever a policy raises, for both kinds of policies."""
        for kind in (BrokenPolicy, BrokenListener):
            pool = self.pool(kind)
            pool.acquire(0.0).ended(1.0, 200)
            lease = pool.acquire(1.0)
            lease.failed(2.0, ConnectFailed("refused"))
            lease.release(2.0)
            self.assertEqual([one.in_flight for one in pool.nodes.values()], [0, 0])
            self.assertEqual([one.ejection for one in pool.nodes.values()], ["up"] * 2)
            self.assertGreaterEqual(self.said(Mistake), 2)

    def test_answers(self):
        """A time is a number from 0 on, or None; all else is a mistake."""

        class Says(BrokenPolicy):
            def __init__(self, answer):
                self.answer = answer

            def failed(self, now):
                return self.answer

        for answer, seconds in ((None, None), (0, 0.0), (2.5, 2.5)):
            self.assertEqual(self.policy(Says(answer)).failed(0.0), seconds)
        for answer in ("soon", -1, float("nan"), float("inf"), []):
            self.assertIsNone(self.policy(Says(answer)).failed(0.0), answer)
        self.assertEqual(self.said(ValueError) + self.said(TypeError), 5)

    def test_words(self):
        """People read what a policy says of itself; where it says nothing, its name and no address of memory."""

        class Speaks(BrokenPolicy):
            def __str__(self):
                return "two of three"

        self.assertEqual(str(self.policy(Speaks())), "two of three")
        self.assertEqual(str(self.policy(BrokenPolicy())), "policy acme")

        class Stutters(BrokenPolicy):
            def __str__(self):
                raise Mistake

        self.assertEqual(str(self.policy(Stutters())), "policy acme")
        self.assertEqual(self.said(Mistake), 1)

    def test_interfaces(self):
        """What is held provides what the policy provides."""
        self.assertFalse(IOutcomeAccrual.providedBy(self.policy(BrokenPolicy())))
        self.assertIs(
            verifyObject(IOutcomeAccrual, self.policy(BrokenListener())), True
        )
        self.said(Mistake)
