"""Tests of purges on their way to all workers."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.service.purging import Purged, told
from lolly_tx.service.workers.purges import PATIENCE_SECONDS, Purges


class Place:
    """A worker's seat. `channel`: None when nobody is there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.channel: Any = object()


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two workers."""
        self.clock = Clock()
        self.seats: list[Any] = [Place(1), Place(2)]
        self.sent: list[tuple[int, Any]] = []
        self.purges = Purges(
            self.clock,
            lambda seat, message: self.sent.append((seat.number, message)),
            self.seats,
        )

    def test_all(self) -> None:
        """All are told, and what they have dropped is counted together."""
        done = self.purges.purge([Purge(tag=b"t")])
        self.assertEqual([number for number, _ in self.sent], [1, 2])
        number = self.sent[0][1]["number"]
        self.purges.heard(self.seats[0], number, 3)
        self.purges.heard(self.seats[0], number, 3)
        self.assertNoResult(done)
        self.purges.heard(self.seats[1], number, 4)
        self.assertEqual(self.successResultOf(done), Purged(7))
        self.purges.heard(self.seats[1], number, 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """Who does not say anything in time is named; it will do it."""
        done = self.purges.purge([Purge(tag=b"t")])
        self.purges.heard(self.seats[0], 1, 3)
        self.clock.advance(PATIENCE_SECONDS)
        self.assertEqual(self.successResultOf(done), Purged(3, (2,)))

    def test_missed(self) -> None:
        """Who is not there, or ends meanwhile, is told when it begins again, once."""
        self.seats[0].channel = None
        done = self.purges.purge([Purge(tag=b"t")])
        self.purges.lost(self.seats[1])
        self.assertEqual(self.successResultOf(done), Purged(0))
        for number in (1, 2):
            self.assertEqual(self.purges.missed(number), [told(Purge(tag=b"t"))])
            self.assertEqual(self.purges.missed(number), [])

    def test_nobody(self) -> None:
        """Without any worker there is nothing to wait for."""
        for seat in self.seats:
            seat.channel = None
        done = self.purges.purge([Purge(tag=b"t")])
        self.assertEqual(self.successResultOf(done), Purged(0))
