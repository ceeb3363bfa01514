"""Tests of what exchanges with pools came to that are no more."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.proxy.counters import Counters
from lolly_tx.service.past import Past


class Leaving:
    """A pool, as far as it is looked at."""

    def __init__(self, bytes_out: int, in_flight: int = 0) -> None:
        self.in_flight = in_flight
        self.forwarder: Any = self
        self.counters = Counters()
        served = self.counters.begin("web")
        served.bytes_out, served.bytes_in = bytes_out, 1


class PastTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.past = Past()

    def bytes_out(self, *running: Any) -> int:
        return self.past.served(running)["web"]["bytes_out"]

    def test_what_left_and_what_is_there(self) -> None:
        """All of it together, each once."""
        pool = Leaving(5)
        self.assertEqual(self.bytes_out(pool), 5)
        self.past.add(pool)  # type: ignore[arg-type]  # as far as it is looked at
        self.assertEqual(self.bytes_out(), 5)
        self.assertEqual(self.bytes_out(Leaving(7)), 12)
        self.assertNotIn("other", self.past.served(()))

    def test_exchanges_that_go_on(self) -> None:
        """What a pool that left still does is counted until it is done, and then kept."""
        pool: Any = Leaving(5, in_flight=1)
        self.past.add(pool)
        pool.counters.served["web"].bytes_out = 9
        self.assertEqual(self.bytes_out(), 9)
        pool.in_flight = 0
        self.past.add(Leaving(1))  # type: ignore[arg-type]  # as above
        self.assertEqual(self.bytes_out(), 10)
        pool.counters.served["web"].bytes_out = 100
        self.assertEqual(self.bytes_out(), 10)

    def test_another_image(self) -> None:
        """It goes on from the same numbers, those of pools that are not done among them."""
        self.past.add(Leaving(5))  # type: ignore[arg-type]  # as above
        self.past.add(Leaving(6, in_flight=1))  # type: ignore[arg-type]  # as above
        said, before = self.past.as_dict(), self.bytes_out()
        self.past = Past()
        self.past.take(said)
        self.assertEqual(self.bytes_out(), before)
