"""The modelled clients."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.simulate.load import Client, arrivals, pieces
from lolly_tx.simulate.scenario import Burst, Load, Phase


def times(duration: float = 10.0, **load: Any) -> list[float]:
    load.setdefault("arrivals", "constant")
    return list(arrivals(Load(**load), duration, Random(3)))


class ArrivalTests(SynchronousTestCase):
    def test_constant(self):
        """Evenly spaced requests come one after the other."""
        self.assertEqual(times(1.0, rate=4.0), [0.25, 0.5, 0.75])

    def test_poisson(self):
        """Random ones have their rate, and differ by the source of chance only."""
        found = times(1000.0, rate=10.0, arrivals="poisson")
        self.assertApproximates(len(found), 10000, 400)
        self.assertEqual(found, sorted(found))
        self.assertEqual(found, times(1000.0, rate=10.0, arrivals="poisson"))

    def test_no_load(self):
        """A rate of 0 is nobody at all."""
        self.assertEqual(times(rate=0.0), [])

    def test_step(self):
        """A phase changes the rate at once."""
        found = times(rate=1.0, phase=(Phase(at=5.0, rate=10.0),))
        self.assertEqual(len([t for t in found if t < 5]), 4)
        self.assertApproximates(len([t for t in found if t > 5]), 50, 1)

    def test_ramp(self):
        """A ramp from 0 to 10 in ten seconds makes fifty requests, most at its end."""
        found = times(rate=0.0, phase=(Phase(at=0.0, rate=10.0, over=10.0),))
        self.assertApproximates(len(found), 50, 1)
        self.assertApproximates(len([t for t in found if t < 5]), 12.5, 1)

    def test_ramp_down(self):
        """A ramp may go down to nothing."""
        found = times(rate=10.0, phase=(Phase(at=0.0, rate=0.0, over=10.0),))
        self.assertApproximates(len(found), 50, 1)

    def test_pieces(self):
        """A phase that begins while another is on its way ends that one."""
        load = Load(
            rate=10.0,
            phase=(
                Phase(at=2.0, rate=20.0, over=4.0),
                Phase(at=4.0, rate=0.0),
                Phase(at=6.0, rate=5.0),
                Phase(at=99.0, rate=5.0),
            ),
        )
        self.assertEqual(
            list(pieces(load, 8.0)),
            [
                (0.0, 2.0, 10.0, 10.0),
                (2.0, 4.0, 10.0, 15.0),
                (4.0, 6.0, 0.0, 0.0),
                (6.0, 8.0, 5.0, 5.0),
            ],
        )

    def test_bursts(self):
        """Bursts come on top, once or again and again."""
        found = times(
            rate=0.0,
            burst=(
                Burst(at=1.0, requests=2),
                Burst(at=2.0, requests=1, every=4.0),
                Burst(at=50.0, requests=9),
            ),
        )
        self.assertEqual(found, [1.0, 1.0, 2.0, 6.0])


class ClientTests(SynchronousTestCase):
    def test_heads(self):
        """Each client has an address, a URI and cookies of its own."""
        one, other = Client(1), Client(1000)
        self.assertNotEqual(one.address, other.address)
        self.assertNotEqual(one.head.target, other.head.target)
        self.assertEqual((one.head.method, one.post.method), (b"GET", b"POST"))
        self.assertEqual(one.head.block.get(b"cookie"), b"client=1")

    def test_cookie(self):
        """A client brings back the cookie it was given."""
        client = Client(1)
        client.take_cookie(b"Set-Cookie: lolly=abc; Path=/; HttpOnly\r\n")
        self.assertEqual(client.head.block.get(b"cookie"), b"client=1; lolly=abc")
