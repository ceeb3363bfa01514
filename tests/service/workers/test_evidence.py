"""Tests of what workers report of targets, and of what becomes of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.errors import ConnectFailed, ProxyError, UpstreamError
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.facts import Elsewhere
from lolly_tx.service.workers.evidence import Outbox, hear
from tests.domain.pools import pool_of


class EvidenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two workers, and the process that judges."""
        self.clock = Clock()
        self.judge = pool_of("a", "b", accrual=lambda: ConsecutiveFailures(3, 60.0, 2))
        self.sent: list[Any] = []
        self.workers = [self.worker(), self.worker()]

    def worker(self) -> Pool:
        """A pool whose leases are judged elsewhere."""
        pool = pool_of("a", "b", accrual=Elsewhere)
        Outbox(self.clock, self.send).watch(pool)
        return pool

    def send(self, entries: list[Any]) -> None:
        """As by a message."""
        self.sent.append(json.loads(json.dumps(entries)))

    def lose(self, worker: Pool, now: float, error: ProxyError | None = None) -> None:
        """One exchange with "a" fails."""
        lease = worker.acquire(now, tried=(worker.nodes["b"],))
        lease.failed(now, error or ConnectFailed("refused"))
        lease.release(now)

    def succeed(self, worker: Pool, now: float) -> None:
        """One exchange with "a" goes well."""
        worker.acquire(now, tried=(worker.nodes["b"],)).ended(now, 200)

    def judged(self) -> list[str]:
        """Let what was sent be judged; about whom it was."""
        sent, self.sent = self.sent, []
        pools = {"p": self.judge}
        return [node.id for entries in sent for node in hear(pools, entries)]

    def test_three_failures_are_three_whoever_saw_them(self) -> None:
        """Two in one worker and one in another eject the target."""
        one, two = self.workers
        self.lose(one, 1.0)
        self.lose(two, 1.1)
        self.clock.advance(0)
        self.assertEqual(self.judged(), ["a", "a"])
        self.assertEqual(self.judge.nodes["a"].ejection, "up")
        self.lose(one, 1.2)
        self.clock.advance(0)
        self.assertEqual(self.judged(), ["a"])
        node = self.judge.nodes["a"]
        self.assertEqual((node.ejection, node.kind), ("ejected", "connect"))
        self.assertEqual(node.evidence.failures[-1].cause, "refused")
        self.assertEqual(one.nodes["a"].ejection, "up")

    def test_success_in_between_counts(self) -> None:
        """In a row means in a row: successes are reported while they matter, before the failure after them."""
        [one, _] = self.workers
        self.lose(one, 1.0)
        self.lose(one, 1.0)
        self.clock.advance(0)
        self.judged()
        accrual: Any = one.nodes["a"].accrual
        accrual.clean = False
        one.roster.tune(one.nodes["a"])
        self.succeed(one, 1.1)
        self.clock.advance(0)
        self.assertEqual(self.sent, [])  # it waits a moment for others
        self.lose(one, 1.2)
        self.clock.advance(0)
        self.assertEqual([entry[6] for entry in self.sent[0]], [True, False])
        self.judged()
        self.assertEqual(self.judge.nodes["a"].ejection, "up")
        self.clock.advance(1)
        self.assertEqual(self.sent, [])

    def test_success_nobody_waits_for_costs_no_message(self) -> None:
        """While the record of a target is clean."""
        self.succeed(self.workers[0], 1.0)
        self.clock.advance(1)
        self.assertEqual(self.sent, [])

    def test_success_alone_is_sent_soon(self) -> None:
        """When nothing else comes along."""
        [one, _] = self.workers
        accrual: Any = one.nodes["a"].accrual
        accrual.clean = False
        one.roster.tune(one.nodes["a"])
        self.succeed(one, 1.0)
        self.clock.advance(0.02)
        self.assertEqual(len(self.sent), 1)

    def test_trial_is_judged_by_its_head(self) -> None:
        """The target is back when it answers, and its end changes nothing more."""
        [one, _] = self.workers
        for _ in range(3):
            self.lose(one, 1.0)
        self.clock.advance(0)
        self.judged()
        until = self.judge.nodes["a"].ejected_until
        node = one.nodes["a"]
        node.ejection, node.ejected_until = "ejected", until
        one.changed()
        lease = one.acquire(until, tried=(one.nodes["b"],))
        lease.answered(until, 200)
        self.clock.advance(0)
        self.judged()
        self.assertEqual(self.judge.nodes["a"].ejection, "up")
        lease.ended(until + 1, 200)
        self.clock.advance(0)
        self.judged()
        self.assertEqual(self.judge.nodes["a"].ejection, "up")

    def test_trial_that_fails_ejects_again(self) -> None:
        """As in one process."""
        [one, _] = self.workers
        for _ in range(3):
            self.lose(one, 1.0)
        self.clock.advance(0)
        self.judged()
        until = self.judge.nodes["a"].ejected_until
        node = one.nodes["a"]
        node.ejection, node.ejected_until = "ejected", until
        one.changed()
        self.lose(one, until)
        self.clock.advance(0)
        self.judged()
        self.assertEqual(self.judge.nodes["a"].ejection, "ejected")
        self.assertGreater(self.judge.nodes["a"].ejected_until, until)

    def test_who_left_and_errors_of_plugins(self) -> None:
        """Both may come late or unknown; nothing breaks."""

        class Special(UpstreamError):
            """Of a plugin."""

        self.lose(self.workers[0], 1.0, Special("odd"))
        self.clock.advance(0)
        entry = self.sent[0][0]
        self.assertEqual(self.judged(), ["a"])
        self.assertEqual(self.judge.nodes["a"].evidence.failures[-1].cause, "odd")
        gone = [["p", "z", *entry[2:]], ["q", "a", *entry[2:]]]
        self.assertEqual(hear({"p": self.judge}, gone), [])
