"""Tests of `lolly_tx.domain.pool`, with `lease`, `node`, `ejection` and `snapshot`, which have no other life."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.accruals.gateway import GatewayErrors
from lolly_tx.domain.ejection import EjectionLimits, decayed, grown
from lolly_tx.domain.errors import (
    AllDown,
    AllFull,
    AllTried,
    BadResponse,
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    DownstreamGone,
    NameNotResolved,
    ResponseTimedOut,
    TLSFailed,
    WriteTimedOut,
)
from lolly_tx.domain.node import HISTORY, Node
from lolly_tx.domain.pool import Pool, UnknownNode
from tests.domain.pools import BAD, GOOD, Diary, fail, picks, pool_of, succeed, target


def ids(pool: Pool, now: float) -> list[str]:
    return [node.id for node in pool.available(now)]


class SeedTests(SynchronousTestCase):
    """The table of the seed: passive health with max_fails 3, fail_timeout 60, min_rises 2."""

    def test_unknown_is_up(self) -> None:
        """A target nobody has spoken to is up."""
        self.assertEqual(ids(pool_of("a", "b"), 0.0), ["a", "b"])

    def test_fourth_is_refused_at_once(self) -> None:
        """After three refused connects the fourth exchange is refused by us, with a named error."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        error = self.assertRaises(AllDown, pool.acquire, 0.1)
        self.assertIn("pool p", str(error))

    def test_one_trial_after_the_penalty(self) -> None:
        """When fail_timeout is over one exchange is let through, and the others wait for its verdict."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        self.assertRaises(AllDown, pool.acquire, 59.9)
        trial = pool.acquire(60.0)
        self.assertTrue(pool.nodes["a"].trial)
        self.assertRaises(AllFull, pool.acquire, 60.0)
        trial.succeeded(60.1)
        self.assertEqual(pool.acquire(60.1).node.id, "a")
        trial.release(60.2)

    def test_failed_trial(self) -> None:
        """A failed trial ejects again at once, for another fail_timeout."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        fail(pool, 60.0)
        self.assertRaises(AllDown, pool.acquire, 119.9)
        self.assertTrue(pool.acquire(120.0).node.trial)

    def test_good_trial_forgets(self) -> None:
        """After a good trial three new failures are needed."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        succeed(pool, 60.0)
        fail(pool, 61.0, 2)
        succeed(pool, 61.0)

    def test_interrupted_run(self) -> None:
        """F F S F F stays up."""
        pool = pool_of("a")
        fail(pool, 0.0, 2)
        succeed(pool, 1.0)
        fail(pool, 2.0, 2)
        self.assertEqual(ids(pool, 2.0), ["a"])

    def test_two_good_probes(self) -> None:
        """Two good checks in a row bring an ejected target back before its time; a bad one between starts over."""
        pool = pool_of("a", "b", fall=9)
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        pool.observe("a", GOOD, 1.0)
        pool.observe("a", BAD, 2.0)
        pool.observe("a", GOOD, 3.0)
        self.assertEqual(ids(pool, 3.0), ["b"])
        pool.observe("a", GOOD, 4.0)
        self.assertEqual(ids(pool, 4.0), ["a", "b"])

    def test_first_event_counts(self) -> None:
        """With max_fails 1 the very first failure ejects."""
        pool = pool_of("a", accrual=lambda: ConsecutiveFailures(max_fails=1))
        fail(pool, 0.0)
        self.assertRaises(AllDown, pool.acquire, 0.0)

    def test_never_mixed_between_pools(self) -> None:
        """What one pool saw of an address is not held against it in another."""
        one, other = pool_of("a"), pool_of("a")
        fail(one, 0.0, 3)
        self.assertEqual(ids(other, 0.0), ["a"])


class LeaseTests(SynchronousTestCase):
    def test_released_once(self) -> None:
        """A lease counts until its release, and releasing it again changes nothing."""
        pool = pool_of("a")
        lease = pool.acquire(0.0)
        node = lease.node
        self.assertEqual((node.in_flight, lease.open), (1, True))
        lease.release(1.0)
        lease.release(2.0)
        self.assertEqual((node.in_flight, lease.open), (0, False))

    def test_one_verdict(self) -> None:
        """Only the first verdict of a lease counts, and none after its release."""
        pool = pool_of("a")
        lease = pool.acquire(0.0)
        lease.succeeded(2.0)
        lease.succeeded(3.0)
        lease.failed(3.0, ConnectFailed())
        lease.release(3.0)
        late = pool.acquire(4.0)
        late.release(4.0)
        late.failed(5.0, ConnectFailed())
        stats = pool.nodes["a"].stats
        self.assertEqual((stats.successes, stats.failures), (1, 0))
        self.assertEqual(stats.latency_sum, 2.0)

    def test_ended(self) -> None:
        """`ended` is a success and the release in one, with and without listeners."""
        for status, failures in ((200, ()), (503, ()), (503, (503,))):
            one, two = (pool_of("a", failure_statuses=failures) for _ in "12")
            lease = one.acquire(0.0)
            lease.ended(2.0, status)
            lease.ended(9.0, status)
            lease.failed(9.0, ConnectFailed())
            other = two.acquire(0.0)
            other.succeeded(2.0, status)
            other.release(2.0)
            for pool, it in ((one, lease), (two, other)):
                node = pool.nodes["a"]
                self.assertEqual((node.in_flight, it.open), (0, False))
            self.assertEqual(
                one.nodes["a"].stats.as_dict(), two.nodes["a"].stats.as_dict()
            )

    def test_ended_after_a_verdict(self) -> None:
        """The first verdict stays; the lease is released all the same."""
        pool = pool_of("a")
        lease = pool.acquire(0.0)
        lease.failed(1.0, ConnectFailed())
        lease.ended(2.0, 200)
        stats = pool.nodes["a"].stats
        self.assertEqual((stats.successes, stats.failures), (0, 1))
        self.assertFalse(lease.open)

    def test_client_gone(self) -> None:
        """A client that hangs up is never held against the target."""
        pool = pool_of("a")
        for _ in range(9):
            lease = pool.acquire(0.0)
            lease.failed(0.0, DownstreamGone())
            lease.release(0.0)
        self.assertEqual(pool.nodes["a"].stats.failures, 0)
        self.assertEqual(ids(pool, 0.0), ["a"])

    def test_trial_without_verdict(self) -> None:
        """A trial whose client went away frees the place for the next trial."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        lease = pool.acquire(60.0)
        lease.release(61.0)
        again = pool.acquire(61.0)
        self.assertTrue(again.node.trial)

    def test_kinds_of_failures(self) -> None:
        """Failures are counted by kind, and 5xx answers apart from them."""
        pool = pool_of("a", accrual=None)
        for error in (ConnectFailed(), ResponseTimedOut(), ConnectionReset("gone")):
            lease = pool.acquire(0.0)
            lease.failed(0.0, error)
            lease.release(0.0)
        lease = pool.acquire(0.0)
        lease.succeeded(0.0, 503)
        lease.release(0.0)
        counters = pool.nodes["a"].stats.as_dict()
        for name in ("connect_failures", "timeouts", "resets", "errors", "successes"):
            self.assertEqual(counters[name], 1, name)
        self.assertEqual(counters["failures"], 3)
        self.assertEqual(counters["requests"], 4)

    def test_failure_statuses(self) -> None:
        """Statuses named as failures count against the target as errors do."""
        pool = pool_of("a", "b", failure_statuses=[500])
        for _ in range(3):
            lease = pool.acquire(0.0, tried=[pool.nodes["b"]])
            lease.succeeded(0.0, 500)
            lease.release(0.0)
        self.assertEqual(ids(pool, 0.0), ["b"])
        self.assertIn("status 500", pool.nodes["a"].history[-1].cause)

    def test_statuses_without_accrual(self) -> None:
        """Without passive tracking statuses are counted and nothing else."""
        pool = pool_of("a", failure_statuses=[500], accrual=None)
        for status in (200, 500):
            lease = pool.acquire(0.0)
            lease.succeeded(0.0, status)
            lease.release(0.0)
        self.assertEqual(pool.nodes["a"].stats.errors, 1)

    def test_stale_success_lifts_nothing(self) -> None:
        """A long download that began before the ejection is no evidence that the target is well now."""
        pool = pool_of("a", accrual=lambda: ConsecutiveFailures(min_rises=1))
        old = pool.acquire(0.0)
        fail(pool, 1.0, 3)
        old.succeeded(5.0)
        old.release(5.0)
        self.assertRaises(AllDown, pool.acquire, 5.0)

    def test_stale_failure_extends_nothing(self) -> None:
        """Failures of exchanges from before the ejection do not prolong it, nor end a trial."""
        pool = pool_of("a")
        old, older = pool.acquire(0.0), pool.acquire(0.0)
        fail(pool, 1.0, 3)
        old.failed(30.0, ConnectionReset())
        old.release(30.0)
        trial = pool.acquire(61.0)
        older.failed(61.5, ConnectionReset())
        older.release(61.5)
        self.assertTrue(pool.nodes["a"].trial)
        trial.succeeded(62.0)
        trial.release(62.0)
        self.assertEqual(pool.nodes["a"].ejection, "up")

    def test_repr(self) -> None:
        """A lease and its node say what they are."""
        lease = pool_of("a").acquire(0.0)
        self.assertIn("a open", repr(lease))
        lease.release(1.0)
        self.assertIn("released", repr(lease))
        self.assertIn("ejection=up in_flight=0", repr(lease.node))


class AcquireTests(SynchronousTestCase):
    def test_tried_is_never_taken_again(self) -> None:
        """An exchange goes to each target once, then it is told that all were tried."""
        pool = pool_of("a", "b", "c")
        tried: list[Node] = []
        for _ in range(3):
            lease = pool.acquire(0.0, tried=tried)
            tried.append(lease.node)
        self.assertEqual({node.id for node in tried}, {"a", "b", "c"})
        self.assertRaises(AllTried, pool.acquire, 0.0, None, tried)
        self.assertEqual(sum(n.stats.retries for n in tried), 2)

    def test_full(self) -> None:
        """max_conns is never exceeded, and when everybody is full the error says so."""
        pool = pool_of(target("a", max_conns=1), target("b", max_conns=2))
        leases = [pool.acquire(0.0) for _ in range(3)]
        self.assertEqual(sorted(x.node.id for x in leases), ["a", "b", "b"])
        self.assertRaises(AllFull, pool.acquire, 0.0)
        leases[0].release(1.0)
        self.assertIs(pool.acquire(1.0).node, leases[0].node)

    def test_full_beats_tried(self) -> None:
        """When some targets were tried and the others are full, waiting may help, and the error says full."""
        pool = pool_of("a", target("b", max_conns=1))
        held = [pool.acquire(0.0), pool.acquire(0.0)]
        self.assertRaises(AllFull, pool.acquire, 0.0, None, [pool.nodes["a"]])
        self.assertEqual(len(held), 2)

    def test_many_full(self) -> None:
        """One target with room among many full ones is found."""
        pool = pool_of(*(target(f"t{i}", max_conns=1) for i in range(99)), "free")
        for _ in range(300):
            pool.acquire(0.0)
        self.assertEqual(pool.nodes["free"].in_flight, 201)

    def test_backups(self) -> None:
        """Backups serve only when no primary is available, tried or full ones included."""
        pool = pool_of(target("a", max_conns=2), target("b", backup=True))
        self.assertEqual(picks(pool, 4), "aaaa")
        self.assertEqual(pool.acquire(0.0, tried=[pool.nodes["a"]]).node.id, "b")
        pool.acquire(0.0), pool.acquire(0.0)
        self.assertEqual(pool.acquire(0.0).node.id, "b")
        pool.set_enabled("a", "down", "test", 0.0)
        self.assertEqual(ids(pool, 0.0), ["b"])
        self.assertEqual(picks(pool, 2), "bb")
        pool.set_enabled("a", "up", "test", 0.0)
        self.assertEqual(ids(pool, 0.0), ["a"])

    def test_down_target(self) -> None:
        """A target that is down by configuration is not used until the operator enables it, whatever checks say."""
        pool = pool_of("a", target("b", down=True))
        pool.observe("b", GOOD, 0.0)
        self.assertEqual(picks(pool, 2), "aa")
        pool.set_enabled("b", "up", "test", 0.0)
        self.assertEqual(sorted(picks(pool, 2)), ["a", "b"])

    def test_empty(self) -> None:
        """A pool without targets refuses, also with a last resort."""
        self.assertRaises(AllDown, pool_of().acquire, 0.0)
        self.assertRaises(AllDown, pool_of(all_down="least_bad").acquire, 0.0)

    def test_least_bad(self) -> None:
        """With all_down = least_bad someone is tried even if all are down, except those the operator disabled."""
        diary = Diary()
        pool = pool_of("a", "b", "c", all_down="least_bad", events=diary)
        pool.set_enabled("c", "drain", "test", 0.0)
        for name in "ab":
            pool.observe(name, BAD, 1.0)
        self.assertEqual(sorted(picks(pool, 4, 1.0)), ["a", "a", "b", "b"])
        self.assertEqual(pool.choice.panics, 4)
        self.assertEqual(diary.words("panic"), [": off -> on"])
        tried = list(pool.nodes.values())
        self.assertRaises(AllTried, pool.acquire, 1.0, None, tried)
        pool.observe("a", GOOD, 2.0)
        self.assertEqual(picks(pool, 2, 2.0), "aa")
        pool.observe("b", GOOD, 3.0)
        self.assertEqual(sorted(picks(pool, 2, 3.0)), ["a", "b"])
        self.assertEqual(diary.words("panic"), [": off -> on", ": on -> off"])

    def test_panic_success_counts(self) -> None:
        """Exchanges that go well with an ejected target, started after its ejection, bring it back."""
        pool = pool_of("a", all_down="least_bad")
        fail(pool, 0.0, 3)
        succeed(pool, 1.0)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        succeed(pool, 2.0)
        self.assertEqual(pool.nodes["a"].ejection, "up")

    def test_panic_failures_do_not_prolong(self) -> None:
        """Failures of the last resort leave the end of the ejection where it was."""
        pool = pool_of("a", all_down="least_bad")
        fail(pool, 0.0, 3)
        fail(pool, 30.0, 5)
        self.assertEqual(pool.nodes["a"].ejected_until, 60.0)

    def test_repr(self) -> None:
        """A pool says how many of its targets are available."""
        pool = pool_of("a", "b")
        pool.observe("a", BAD, 0.0)
        pool.available(0.0)
        self.assertEqual(repr(pool), "<Pool p: 1 of 2 available>")


class FactsTests(SynchronousTestCase):
    def test_health_flips_once(self) -> None:
        """Each flip of health is one event with its cause; checks that change nothing are none."""
        diary = Diary()
        pool = pool_of("a", events=diary, fall=2)
        for observation in (GOOD, BAD, BAD, BAD, GOOD):
            pool.observe("a", observation, 1.0)
        self.assertEqual(diary.words("health"), ["a: up -> down", "a: down -> up"])
        self.assertEqual(diary.events[0].cause, "check: 503 from /health")
        self.assertEqual(pool.nodes["a"].last_change, diary.events[-1])

    def test_late_check(self) -> None:
        """The result of a check of a target that has left is ignored."""
        pool_of("a").observe("gone", BAD, 0.0)

    def test_mark(self) -> None:
        """A target marked down by hand is down until it is marked up or its checks say so."""
        pool = pool_of("a")
        pool.mark("a", False, "by hand", 1.0)
        pool.mark("a", False, "by hand", 1.0)
        self.assertEqual(ids(pool, 1.0), [])
        pool.mark("a", True, "by hand", 2.0)
        self.assertEqual(ids(pool, 2.0), ["a"])
        self.assertEqual(len(pool.nodes["a"].history), 2)

    def test_mark_up_lifts_ejection(self) -> None:
        """Marking an ejected target up by hand brings it back at once."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        pool.mark("a", True, "by hand", 1.0)
        self.assertEqual(ids(pool, 1.0), ["a"])

    def test_checks_that_saw_it_down_and_up(self) -> None:
        """A target that checks saw die and return starts with a clean passive record."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        pool.observe("a", BAD, 5.0)
        pool.observe("a", GOOD, 10.0)
        self.assertEqual(ids(pool, 10.0), ["a"])
        fail(pool, 10.0, 2)
        pool.observe("a", BAD, 15.0)
        pool.observe("a", GOOD, 20.0)
        fail(pool, 20.0, 2)
        self.assertEqual(ids(pool, 20.0), ["a"])

    def test_enabled(self) -> None:
        """Drain and down take no new exchanges, and repeating the word is no event."""
        diary = Diary()
        pool = pool_of("a", "b", events=diary)
        held = pool.acquire(0.0)
        for word in ("drain", "drain", "down", "up"):
            pool.set_enabled("a", word, "deploy", 1.0)
        self.assertEqual(
            diary.words("enabled"),
            ["a: up -> drain", "a: drain -> down", "a: down -> up"],
        )
        pool.set_enabled("a", "drain", "deploy", 1.0)
        self.assertEqual(picks(pool, 2, 1.0), "bb")
        held.release(2.0)

    def test_wrong_names(self) -> None:
        """An unknown target or word is an error that says what there is."""
        pool = pool_of("a", "b")
        error = self.assertRaises(UnknownNode, pool.mark, "c", True, "", 0.0)
        self.assertIn("it has: a, b", str(error))
        self.assertRaises(ValueError, pool.set_enabled, "a", "on", "", 0.0)
        self.assertRaises(ValueError, pool_of, "a", "a")

    def test_ejection_events(self) -> None:
        """The way out and back of an ejected target is told step by step, with causes and times."""
        diary = Diary()
        pool = pool_of("a", events=diary)
        fail(pool, 0.0, 3)
        fail(pool, 61.0)
        succeed(pool, 130.0)
        self.assertEqual(
            [(e.at, e.old, e.new) for e in diary.events],
            [
                (0.0, "up", "ejected"),
                (60.0, "ejected", "trial"),
                (61.0, "trial", "ejected"),
                (121.0, "ejected", "trial"),
                (130.0, "trial", "up"),
            ],
        )
        self.assertIn("connection refused", diary.events[0].cause)

    def test_history_is_bounded(self) -> None:
        """A flapping target's history keeps the last events only."""
        pool = pool_of("a")
        for i in range(2 * HISTORY):
            pool.observe("a", BAD if i % 2 == 0 else GOOD, float(i))
        history = pool.nodes["a"].history
        self.assertEqual((len(history), history[-1].at), (HISTORY, 2 * HISTORY - 1.0))


class EjectionLimitsTests(SynchronousTestCase):
    def test_golden_growth(self) -> None:
        """Ejections in a row grow by their base length up to the cap."""
        lengths = [grown(30.0, k, 300.0) for k in range(1, 12)]
        self.assertEqual(lengths[:2] + lengths[9:], [30.0, 60.0, 300.0, 300.0])

    def test_no_growth_and_cap_below_base(self) -> None:
        """Without a cap there is no growth, and a cap below the base never shortens it."""
        self.assertEqual(grown(30.0, 7, 0.0), 30.0)
        self.assertEqual(grown(30.0, 7, 10.0), 30.0)

    def test_decay(self) -> None:
        """Good service takes the growth back step by step."""
        self.assertEqual(
            [decayed(3, t, 10.0) for t in (0, 9, 10, 25, 99)], [3, 3, 2, 1, 0]
        )
        self.assertEqual(decayed(3, 99.0, 0.0), 3)

    def test_growth_in_a_pool(self) -> None:
        """A target that fails its trial is left alone for longer, and for less again after good service."""
        limits = EjectionLimits(max_seconds=150.0, decay=10.0)
        pool = pool_of("a", "b", ejections=limits)
        node, other = pool.nodes.values()
        fail(pool, 0.0, 3, tried=[other])
        fail(pool, 60.0, tried=[other])
        self.assertEqual(node.ejected_until, 180.0)
        fail(pool, 180.0, tried=[other])
        self.assertEqual(node.ejected_until, 330.0)
        succeed(pool, 330.0, tried=[other])
        fail(pool, 350.0, 3, tried=[other])
        self.assertEqual(node.ejected_until, 470.0)

    def test_no_growth_without_others(self) -> None:
        """While nobody else serves, a target is tried as often as ever: growth must not prolong an outage."""
        pool = pool_of("a", ejections=EjectionLimits(max_seconds=300.0))
        fail(pool, 0.0, 3)
        for trial in (60.0, 120.0, 180.0):
            fail(pool, trial)
            self.assertEqual(pool.nodes["a"].ejected_until, trial + 60.0)

    def test_share(self) -> None:
        """No more than the given share is out at once, those on trial included, but one always may be."""
        limits = EjectionLimits(max_share=0.5)
        pool = pool_of("a", "b", "c", ejections=limits)
        a, b, c = pool.nodes.values()
        fail(pool, 0.0, 3, tried=[b, c])
        fail(pool, 0.0, 9, tried=[a, c])
        self.assertEqual(ids(pool, 0.0), ["b", "c"])
        self.assertEqual(pool.ejections.refused, 3)
        pool.available(60.0)
        fail(pool, 60.0, tried=[a, c])
        self.assertEqual(b.ejection, "up")
        succeed(pool, 61.0, tried=[b, c])
        fail(pool, 61.0, tried=[a, c])
        self.assertEqual(b.ejection, "up")  # a refused ejection begins the count anew
        fail(pool, 61.0, tried=[a, c])
        self.assertEqual(b.ejection, "ejected")

    def test_keep_last(self) -> None:
        """Slow and bad answers never eject the last available target, a pool of one included; each is counted."""
        for error in (ResponseTimedOut, WriteTimedOut, ConnectionReset, BadResponse):
            for names in ("a", "ab"):
                pool = pool_of(*names)
                if "b" in names:
                    fail(pool, 0.0, 3, tried=[pool.nodes["a"]])
                fail(pool, 0.0, 9, error())
                self.assertEqual(ids(pool, 0.0), ["a"])
                self.assertEqual(pool.ejections.refused, 3)

    def test_statuses_keep_last(self) -> None:
        """Nor do statuses that count as failures, nor names and certificates."""
        pool = pool_of("a", failure_statuses=[500])
        for _ in range(9):
            lease = pool.acquire(0.0)
            lease.succeeded(0.0, 500)
            lease.release(0.0)
        fail(pool, 0.0, 9, NameNotResolved())
        fail(pool, 0.0, 9, TLSFailed())
        self.assertEqual(ids(pool, 0.0), ["a"])

    def test_connects_eject_the_last(self) -> None:
        """Refused connects and those that take too long eject the last one, and its failed trial again."""
        for error in (ConnectFailed, ConnectTimedOut):
            pool = pool_of("a")
            fail(pool, 0.0, 3, error())
            self.assertEqual(pool.nodes["a"].kind, "connect")
            self.assertRaises(AllDown, pool.acquire, 59.0)
            fail(pool, 60.0, 1, error())
            self.assertRaises(AllDown, pool.acquire, 119.0)

    def test_connects_in_a_row_eject_the_last(self) -> None:
        """One failed connect after slow answers is not enough, under any policy; three in a row are."""
        for accrual, needed in (
            (ConsecutiveFailures, 4),  # the record begins anew after the refusal
            (lambda: GatewayErrors(limit=1), 3),
        ):
            pool = pool_of("a", accrual=accrual)
            fail(pool, 0.0, 2, ResponseTimedOut())
            fail(pool, 0.0, needed - 1)
            self.assertEqual(ids(pool, 0.0), ["a"])
            fail(pool, 0.0, 1)
            self.assertEqual(ids(pool, 0.0), [])

    def test_record_after_a_refusal(self) -> None:
        """A refused ejection begins the record anew: with another target there, three more failures are needed."""
        pool = pool_of("a")
        fail(pool, 0.0, 3, ResponseTimedOut())
        pool.replace([target("a"), target("b")], 1.0)
        others = [pool.nodes["b"]]
        fail(pool, 1.0, 2, ResponseTimedOut(), tried=others)
        self.assertEqual(ids(pool, 1.0), ["a", "b"])
        fail(pool, 1.0, 1, ResponseTimedOut(), tried=others)
        self.assertEqual(ids(pool, 1.0), ["b"])

    def test_trial_of_the_last(self) -> None:
        """A trial that connects and is slow ends the ejection of the last target: it is there."""
        pool = pool_of("a")
        fail(pool, 0.0, 3)
        fail(pool, 60.0, 1, ResponseTimedOut())
        self.assertEqual(pool.nodes["a"].ejection, "up")
        self.assertIn("the last target stays", pool.nodes["a"].history[-1].cause)
        self.assertEqual([pool.acquire(60.0).node.id for _ in "12"], ["a", "a"])

    def test_trial_of_one_of_several(self) -> None:
        """The same trial leaves a target ejected while another one serves."""
        pool = pool_of("a", "b")
        others = [pool.nodes["b"]]
        fail(pool, 0.0, 3, tried=others)
        fail(pool, 60.0, 1, ResponseTimedOut(), tried=others)
        self.assertEqual(pool.nodes["a"].ejection, "ejected")
        self.assertEqual(pool.nodes["a"].kind, "passive")

    def test_ejected_serve_when_nobody_else_is_left(self) -> None:
        """When the others go down, those ejected for their answers serve again, those without connection do not."""
        for state in ("ejected", "trial"):
            pool = pool_of("slow", "gone", "well")
            slow, gone, well = pool.nodes.values()
            fail(pool, 0.0, 3, ResponseTimedOut(), tried=[gone, well])
            fail(pool, 0.0, 3, tried=[slow, well])
            now = 1.0 if state == "ejected" else 60.0
            pool.available(now)
            self.assertEqual(slow.ejection, state)
            pool.observe("well", BAD, now)
            self.assertEqual(slow.ejection, state)
            pool.available(now)
            self.assertEqual(slow.ejection, "up")
            self.assertEqual(gone.ejection, state)
            self.assertIn("no other target", slow.history[-1].cause)

    def test_not_keeping_the_last(self) -> None:
        """Without keep_last slow answers eject the last one as anybody else."""
        pool = pool_of("a", ejections=EjectionLimits(keep_last=False))
        fail(pool, 0.0, 3, ResponseTimedOut())
        self.assertRaises(AllDown, pool.acquire, 1.0)

    def test_dead_last_target_is_ejected(self) -> None:
        """Refused and black-holed connects eject the last available target: keeping it would only make clients wait."""
        for error in (ConnectFailed("connection refused"), ConnectTimedOut("late")):
            pool = pool_of("a", "b", ejections=EjectionLimits(keep_last=True))
            fail(pool, 0.0, 6, error=error)
            self.assertEqual(ids(pool, 0.0), [])
            self.assertRaises(AllDown, pool.acquire, 0.0)
            self.assertEqual([n.kind for n in pool.nodes.values()], ["connect"] * 2)

    def test_shadow(self) -> None:
        """In shadow mode an ejection is only reported."""
        diary = Diary()
        pool = pool_of("a", ejections=EjectionLimits(shadow=True), events=diary)
        fail(pool, 0.0, 3)
        self.assertEqual(diary.words("shadow"), ["a: up -> ejected"])
        self.assertEqual(pool.ejections.shadowed, 1)
        self.assertEqual(ids(pool, 0.0), ["a"])


class ReplaceTests(SynchronousTestCase):
    def test_state_is_kept(self) -> None:
        """Targets that stay keep their health, ejection, counters and exchanges; order and newcomers are as given."""
        diary = Diary()
        pool = pool_of("a", "b", "c", events=diary)
        b = pool.nodes["b"]
        held = pool.acquire(0.0, tried=[pool.nodes["a"], pool.nodes["c"]])
        fail(pool, 0.0, 3, tried=[pool.nodes["a"], pool.nodes["c"]])
        pool.replace([target("d"), target("b", weight=3), target("a")], 1.0)
        self.assertEqual(list(pool.nodes), ["d", "b", "a"])
        self.assertIs(pool.nodes["b"], b)
        self.assertEqual((b.ejection, b.in_flight, b.weight), ("ejected", 1, 3.0))
        self.assertEqual(
            diary.words("membership"),
            ["c: member -> ", "d:  -> member", "b: weight=1 -> weight=3"],
        )
        held.release(2.0)

    def test_leaving(self) -> None:
        """A target that left ends its exchanges in peace, and nothing it does touches the pool."""
        pool = pool_of("a", target("b", max_conns=1))
        lease = pool.acquire(0.0, tried=[pool.nodes["a"]])
        node = lease.node
        pool.replace([target("a")], 1.0)
        lease.failed(2.0, ConnectFailed())
        lease.release(2.0)
        self.assertEqual(node.in_flight, 0)
        self.assertEqual(picks(pool, 2, 2.0), "aa")

    def test_leaving_while_ejected(self) -> None:
        """An ejected target that leaves no longer counts for the share of the ejected."""
        pool = pool_of("a", "b")
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        pool.replace([target("b")], 1.0)
        self.assertEqual(pool.ejections.count, 0)

    def test_back_again(self) -> None:
        """A target that comes back after it had left is a new one."""
        pool = pool_of("a", "b")
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        pool.replace([target("b")], 1.0)
        pool.replace([target("a"), target("b")], 2.0)
        self.assertEqual(ids(pool, 2.0), ["a", "b"])

    def test_down_by_settings(self) -> None:
        """Only a change of `down` in the settings overrides the operator's word."""
        pool = pool_of("a", "b")
        pool.set_enabled("a", "drain", "deploy", 0.0)
        pool.replace([target("a", weight=2), target("b")], 1.0)
        self.assertEqual(pool.nodes["a"].enabled, "drain")
        pool.replace([target("a", weight=2, down=True), target("b")], 2.0)
        self.assertEqual(pool.nodes["a"].enabled, "down")
        pool.replace([target("a"), target("b")], 3.0)
        self.assertEqual(pool.nodes["a"].enabled, "up")

    def test_new_limit(self) -> None:
        """A lower max_conns holds for the next exchange."""
        pool = pool_of("a")
        pool.acquire(0.0), pool.acquire(0.0)
        pool.replace([target("a", max_conns=2)], 1.0)
        self.assertRaises(AllFull, pool.acquire, 1.0)
        pool.replace([target("a", max_conns=3)], 2.0)
        pool.acquire(2.0)

    def test_nobody_looks_meanwhile(self) -> None:
        """Half a replacement is never judged: no panic while the other targets are still to come."""
        events = Diary()
        pool = pool_of("a", "b", "c", all_down="least_bad", events=events)
        pool.observe("a", BAD, 1.0)
        pool.available(1.0)
        pool.replace([target("a", weight=2, down=True), target("b"), target("c")], 2.0)
        pool.available(2.0)
        self.assertEqual(events.words("enabled"), ["a: up -> down"])
        self.assertEqual(events.words("panic"), [])


class SnapshotTests(SynchronousTestCase):
    def test_shape(self) -> None:
        """The snapshot is JSON, with the three facts, the last change, the load and the counters."""
        pool = pool_of("a", target("b", backup=True, weight=2))
        pool.observe("a", GOOD, 1.0)
        succeed(pool, 1.0)
        a, b = json.loads(json.dumps(pool.snapshot(3.0)))
        self.assertEqual((a["id"], a["address"]), ("a", "http://a.example"))
        self.assertEqual((a["enabled"], a["health"]["state"]), ("up", "up"))
        self.assertEqual(a["ejection"]["state"], "up")
        self.assertEqual(a["health"]["checked_seconds_ago"], 2.0)
        self.assertEqual((a["available"], a["why_not"], a["back"]), (True, "", []))
        self.assertEqual((a["counters"]["requests"], a["in_flight"]), (1, 0))
        self.assertIsNone(a["last_change"])
        self.assertEqual((b["backup"], b["weight"], b["room"]), (True, 2, None))

    def test_when_it_comes_back(self) -> None:
        """For each reason of absence the snapshot says what has to happen."""
        pool = pool_of("a", target("b", max_conns=1), rise=2)
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        (a, b) = pool.snapshot(18.0)
        self.assertEqual(a["why_not"], "ejected")
        self.assertEqual(a["back"], ["in 42.0 s, for one trial request"])
        self.assertEqual(a["last_change"]["seconds_ago"], 18.0)
        pool.acquire(18.0)
        self.assertEqual(pool.snapshot(18.0)[1]["back"], ["when an exchange ends"])
        self.assertEqual(pool.snapshot(18.0)[1]["why_not"], "full")
        pool.observe("b", BAD, 19.0)
        pool.set_enabled("b", "drain", "deploy", 19.0)
        b = pool.snapshot(19.0)[1]
        self.assertEqual(
            b["back"],
            [
                "when the operator enables it",
                "after 2 more good checks in a row (none is planned)",
            ],
        )
        self.assertEqual(b["why_not"], "draining")
        pool.acquire(60.0)
        a = pool.snapshot(60.0)[0]
        self.assertEqual(a["why_not"], "trial in flight")
        self.assertEqual(a["back"], ["when the trial in flight is answered well"])

    def test_words(self) -> None:
        """Disabled and unhealthy targets are told apart."""
        pool = pool_of("a", "b")
        pool.set_enabled("a", "down", "deploy", 0.0)
        pool.observe("b", BAD, 0.0)
        self.assertEqual(
            [n["why_not"] for n in pool.snapshot(0.0)], ["disabled", "unhealthy"]
        )
        self.assertEqual(
            pool.snapshot(0.0)[1]["back"], ["after 1 more good check (none is planned)"]
        )


class EarlyReturnTests(SynchronousTestCase):
    def test_streak(self) -> None:
        """An ejection that good checks cut short does not make the next one longer."""
        limits = EjectionLimits(max_seconds=600.0, decay=1000.0)
        pool = pool_of("a", "b", ejections=limits)
        a, b = pool.nodes.values()
        for at in (0.0, 10.0, 20.0):
            fail(pool, at, 3, tried=[b])
            self.assertEqual(a.ejected_until, at + 60.0)
            for _ in range(2):
                pool.observe("a", GOOD, at + 1.0)
            self.assertEqual(a.ejection, "up")

    def test_cause(self) -> None:
        """The cause of an ejection is in words."""
        pool = pool_of("a", "b")
        fail(pool, 0.0, 3, tried=[pool.nodes["b"]])
        change = pool.nodes["a"].last_change
        assert change is not None
        self.assertIn("3 of 3 failures in a row", change.cause)
