"""Tests of the settings of each process of a proxy that has several."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.service.division import of_worker, part_of, workers_of

TEXT = """
workers = 3
access_log = { path = "-" }
[admin]
endpoint = "tcp:8081:interface=127.0.0.1"
[limits]
connections = 100
connections_per_client = 7
handshakes = 100
[timeouts]
shutdown = "3s"
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://127.0.0.1:9001", max_conns = 10 }]
connections = { idle = 32 }
queue = { size = 100 }
outlier = {}
retry = { budget = 0.1, budget_floor = 3.0 }
health = { path = "/" }
agent = { port = 9000 }
[pool.other]
targets = ["http://127.0.0.1:9002"]
adaptive = { initial = 20, floor = 2, ceiling = 100 }
"""


class DivisionTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Together they are as much as was asked for; no limit stays no limit."""
        self.assertEqual([part_of(n, 3) for n in (0, 1, 3, 4, 100)], [0, 1, 1, 2, 34])

    def test_workers(self) -> None:
        """A number, or the cores that the process may use."""
        self.assertEqual(workers_of(parse(TEXT)), 3)
        auto = parse(TEXT.replace("workers = 3", 'workers = "auto"'))
        self.assertEqual(workers_of(auto), len(os.sched_getaffinity(0)))

    def test_worker_has_its_part_of_what_is_divided(self) -> None:
        """Connections, idle ones, places in line, the floor of the budget, a moving limit."""
        config = of_worker(parse(TEXT), 3)
        limits = config.limits
        pool: Any = config.pools["app"]
        self.assertEqual((limits.connections, limits.connections_per_client), (34, 3))
        self.assertEqual((limits.connections_per_listener, limits.handshakes), (0, 34))
        self.assertEqual((pool.connections.idle, pool.queue.size), (11, 34))
        adaptive: Any = config.pools["other"].adaptive
        self.assertEqual(
            (adaptive.initial, adaptive.floor, adaptive.ceiling), (7, 1, 34)
        )
        self.assertEqual((pool.retry.budget, pool.retry.budget_floor), (0.1, 1.0))
        self.assertEqual(config.pools["other"].connections.idle, "auto")

    def test_worker_has_the_whole_of_what_is_counted_together(self) -> None:
        """The limits of targets and pools."""
        pool = of_worker(parse(TEXT), 3).pools["app"]
        self.assertEqual(pool.targets[0].max_conns, 10)

    def test_worker_probes_and_judges_nothing(self) -> None:
        """There is one probe per target, and one judge."""
        pool = of_worker(parse(TEXT), 3).pools["app"]
        self.assertIsNone(pool.health)
        self.assertIsNone(pool.agent)
        self.assertIsNone(pool.outlier)
        self.assertEqual((pool.checks, pool.passive.recheck), ((), 0.0))
        self.assertEqual(pool.passive.share, "", "who judges shares")
