"""Tests of proxy.destined: as many places as are worth it, and their memory back."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.proxy.forwards.destined import Destined


def end(place: Any) -> Any:
    """One that nobody uses."""
    return Mock(place=place, forwarder=Mock(in_flight=0))


class DestinedTests(SynchronousTestCase):
    def test_forgotten(self) -> None:
        """The one that was not used for longest goes, unless it is in use; as many again, and memory is freed."""
        freed: list[int] = []
        places = Destined(end, 3, lambda: freed.append(1))
        busy: Any = places.of("busy")
        busy.forwarder.in_flight = 1
        first: Any = places.of(0)
        for place in range(1, 4):
            places.of(place)
            self.assertIs(places.of("busy"), busy)
        self.assertEqual(len(places), 3)
        first.forwarder.close.assert_called_once_with()
        busy.forwarder.close.assert_not_called()
        self.assertEqual(freed, [])
        places.of(4)
        self.assertEqual(freed, [1])
        for place in range(5, 11):
            places.of(place)
        self.assertEqual(freed, [1, 1, 1])
        self.assertEqual(len(places), 3)

    def test_all_in_use(self) -> None:
        """Nobody is thrown out who is served: then there are more for a while."""
        places = Destined(end, 1, self.fail)
        for place in range(3):
            one: Any = places.of(place)
            one.forwarder.in_flight = 1
        self.assertEqual(len(places), 3)
        self.assertEqual(places.in_flight, 3)
