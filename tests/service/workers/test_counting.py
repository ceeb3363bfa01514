"""Tests of the numbers of several processes, put where the admin side looks for them."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.domain.histogram import sparse
from lolly_tx.domain.shared.tallies import Tally, Totals
from lolly_tx.domain.target import Target
from lolly_tx.service.build import build
from lolly_tx.service.workers.counting import (
    GAUGES,
    filled_in,
    numbers_of,
    show,
    worked,
)

TEXT = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://127.0.0.1:9001", id = "a" }]
"""


def service() -> Any:
    """One process of a proxy, that does not run."""
    reactor = MemoryReactorClock()
    return build(reactor, parse(TEXT), now=reactor.seconds)


class CountingTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two that serve, and one that shows."""
        self.workers = [service(), service()]
        self.tallies = [Tally(), Tally()]
        self.shown = service()
        self.totals = Totals(GAUGES)

    def beat(self) -> None:
        """Each says what changed."""
        for number, (worker, tally) in enumerate(
            zip(self.workers, self.tallies, strict=True)
        ):
            self.totals.heard(number, tally.changes(numbers_of(worker)))

    def test_sums_are_shown_in_every_place(self) -> None:
        """Of a target, of its pool, and of the listener."""
        for worker in self.workers:
            pool = worker.pools["app"]
            pool.acquire(0.0).ended(0.0, 200)
            pool.acquire(0.0)
            pool.refusals = 2
            served = worker.running_pools["app"].forwarder.counters.begin("web")
            served.codes[200] = 5
            served.slower[3] = served.bytes_in = 2
            served.seconds = 0.5
            worker.resources["web"].proxy.refused_codes[404] = 3
            worker.acceptors["web"].accepted = 7
        self.beat()
        show(self.shown, self.totals)
        node = self.shown.pools["app"].nodes["a"]
        self.assertEqual((node.stats.requests, node.stats.successes), (4, 2))
        self.assertEqual((node.in_flight, self.shown.pools["app"].refusals), (2, 4))
        told = filled_in(self.shown.statistics(), self.totals)
        self.assertEqual(told["listeners"]["web"]["accepted"], 14)
        self.assertEqual(told["pools"]["app"]["exchanges"], 10)
        self.assertEqual(told["pools"]["app"]["targets"], 1)
        self.assertIs(told["listeners"]["web"]["draining"], False)
        self.assertEqual(told["listeners"]["web"]["refused_codes"], {"404": 6})
        self.assertEqual(told["listeners"]["web"]["bytes_in"], 4)
        counters = self.shown.running_pools["app"].forwarder.counters
        served = counters.served["web"]
        self.assertEqual((served.codes, served.seconds), ({200: 10}, 1.0))
        self.assertEqual(sparse(served.slower), {"3": 4})

    def test_how_long_answers_took(self) -> None:
        """Of a target, over all processes, and over those that have ended."""
        for worker in self.workers:
            worker.pools["app"].acquire(0.0).ended(0.3, 200)
        self.beat()
        self.totals.ended(0)
        show(self.shown, self.totals)
        stats = self.shown.pools["app"].nodes["a"].stats
        self.assertEqual(sparse(stats.slower), {"7": 2})
        self.assertEqual(stats.latency_sum, 0.6)

    def test_hedges(self) -> None:
        """They are counted on when the settings of hedges are others."""
        for worker in self.workers:
            worker.running_pools["app"].forwarder.counters.hedges = 2
        self.beat()
        show(self.shown, self.totals)
        self.assertEqual(self.shown.running_pools["app"].forwarder.hedges, 4)

    def test_reason_that_only_a_worker_has_met(self) -> None:
        """It is shown where the others are; nothing is made up for pools that left."""
        self.totals.heard(0, {"listeners/web/proxy_refused/odd": 2})
        self.totals.heard(1, {"listeners/web/proxy_refused/odd": 1})
        self.totals.heard(1, {"pools/gone/exchanges": 9, "listeners/web/no/way": 1})
        told = self.shown.statistics()
        told["listeners"]["web"]["proxy_refused"] = {}
        shown = filled_in(told, self.totals)
        self.assertEqual(shown["listeners"]["web"]["proxy_refused"], {"odd": 3})
        self.assertNotIn("no", shown["listeners"]["web"])
        self.assertNotIn("gone", shown["pools"])

    def test_what_the_judge_counts_is_its_own(self) -> None:
        """Ejections are counted where they are decided."""
        node = self.shown.pools["app"].nodes["a"]
        node.stats.ejections = 3
        self.beat()
        show(self.shown, self.totals)
        self.assertEqual(node.stats.ejections, 3)

    def test_files_are_read_by_all_and_counted_once(self) -> None:
        """Certificates are shown as the one that shows has them, handshakes as the others had them."""
        told = self.shown.statistics()
        own = {"renewed": 1, "refused": 0, "expires_in_seconds": 86400}
        told["listeners"]["web"]["tls"] = {"handshakes": 0, "certificates": own}
        for number, worker in enumerate(self.workers):
            said = worker.statistics()
            said["listeners"]["web"]["tls"] = {
                "handshakes": 3,
                "certificates": {"renewed": 1, "expires_in_seconds": 86399},
            }
            worker.statistics = lambda said=said: said
            self.totals.heard(number, numbers_of(worker))
        shown = filled_in(told, self.totals)["listeners"]["web"]["tls"]
        self.assertEqual(shown, {"handshakes": 6, "certificates": own})

    def test_ratio_is_worked_out_of_the_sums(self) -> None:
        """Ratios of several processes are not added up."""
        for worker, spent in zip(self.workers, (1, 0), strict=True):
            budget = worker.running_pools["app"].forwarder.policy.budget
            budget.requests, budget.spent = 5, spent
        told = filled_in(self.shown.statistics(), self.totals)
        self.assertEqual(told["pools"]["app"]["budget"]["amplification"], 1.0)
        self.beat()
        told = filled_in(self.shown.statistics(), self.totals)
        self.assertEqual(told["pools"]["app"]["budget"]["amplification"], 1.1)

    def test_dead_worker(self) -> None:
        """What it had in flight is in flight no more, what it counted stays."""
        self.workers[0].pools["app"].acquire(0.0)
        self.beat()
        self.totals.ended(0)
        show(self.shown, self.totals)
        node = self.shown.pools["app"].nodes["a"]
        self.assertEqual((node.stats.requests, node.in_flight), (1, 0))

    def test_departed(self) -> None:
        """What workers still have under way at a target that left is shown, and its end is told once."""
        lease = self.workers[1].pools["app"].acquire(0.0)
        self.beat()
        show(self.shown, self.totals)
        other = Target(id="b", address="http://127.0.0.1:9002")
        for one in (*self.workers, self.shown):
            one.pools["app"].replace([other], 1.0)
        node = self.shown.pools["app"].departed["a"]
        self.beat()
        show(self.shown, self.totals)
        self.assertEqual((node.in_flight, node.last_change.new), (1, "leaving"))
        lease.release(2.0)
        for _ in range(2):
            self.beat()
            show(self.shown, self.totals)
        self.assertEqual(node.in_flight, 0)
        self.assertEqual([e.new for e in node.history], ["leaving", ""])

    def test_what_one_has_done(self) -> None:
        """Of one process: its exchanges in all pools, and what is open at all listeners."""
        self.workers[1].running_pools["app"].forwarder.counters.begin("web").codes[
            200
        ] = 7
        self.beat()
        done = [worked(self.totals.of(number)) for number in (0, 1)]
        self.assertEqual([one["exchanges"] for one in done], [0, 7])
        self.assertEqual([one["open"] for one in done], [0, 0])


class StoreTests(SynchronousTestCase):
    def test_its_own(self) -> None:
        """What the supervisor asks a store itself counts with what the workers ask."""
        totals = Totals(GAUGES)
        for number, asked in ((1, 5), (2, 3)):
            base = "stores/shared"
            numbers = {f"{base}/questions/asked": asked, f"{base}/away": 1}
            totals.heard(number, numbers)
        questions = {"asked": 2, "late": 1}
        told = {"away": 0, "sharers": 7, "questions": questions, "purges": {"told": 4}}
        found = filled_in({"stores": {"shared": told}}, totals)["stores"]["shared"]
        self.assertEqual(found["questions"], {"asked": 10, "late": 1})
        self.assertEqual((found["away"], found["sharers"]), (2, 7))
        self.assertEqual(found["purges"], {"told": 4})
