"""The modelled clients: when their requests come, and what they look like to the pool.

Imports: simulate, wire. Used by: simulate.journey, simulate.recorded,
simulate.sessions, simulate.staging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from random import Random

from lolly_tx.simulate.scenario import Burst, Load
from lolly_tx.wire.http1 import parse_request
from lolly_tx.wire.message import RequestHead

_NEVER = float("inf")


class Client:
    """A client, standing in for the `Peer` its requests come from.

    `address`: its own. `head`, `post`: the heads of its requests, real ones, because
    the pool's hash key and sticky cookie are read from them.
    """

    __slots__ = ("address", "cookie", "head", "number", "post")

    def __init__(self, number: int) -> None:
        self.number = number
        high, low = divmod(number, 250)
        self.address = f"10.{high // 250}.{high % 250}.{low + 1}"
        self.cookie = b""
        self._render()

    def take_cookie(self, line: bytes) -> None:
        """Keep the cookie of a Set-Cookie line."""
        self.cookie = line.partition(b":")[2].strip().partition(b";")[0]
        self._render()

    def _render(self) -> None:
        self.head = self._head(b"GET")
        self.post = self._head(b"POST")

    def _head(self, method: bytes) -> RequestHead:
        cookies = b"client=%d" % self.number
        if self.cookie:
            cookies += b"; " + self.cookie
        head = parse_request(
            b"%b /client/%d HTTP/1.1\r\nHost: simulated\r\nX-Client: %d\r\n"
            b"Cookie: %b\r\n\r\n" % (method, self.number, self.number, cookies)
        )
        assert head is not None, "it is complete"
        return head


def arrivals(load: Load, duration: float, random: Random) -> Iterator[float]:
    """The times of all requests, in order, seconds."""
    steady = _steady(load, duration, random)
    if not load.burst:
        return steady
    return merge(steady, *(_burst(burst, duration) for burst in load.burst))


def _burst(burst: Burst, duration: float) -> Iterator[float]:
    number = 0
    at = burst.at
    while at < duration:
        for _ in range(burst.requests):
            yield at
        if not burst.every:
            return
        number += 1
        at = burst.at + number * burst.every


def _steady(load: Load, duration: float, random: Random) -> Iterator[float]:
    if load.arrivals == "constant":
        return _at_rate(load, duration, lambda: 1.0)
    return _at_rate(load, duration, lambda: random.expovariate(1.0))


def _at_rate(load: Load, duration: float, gap: Callable[[], float]) -> Iterator[float]:
    """Requests whose gaps, in units of the mean gap, come from `gap`.

    Each gap is used up at the rate of the moment, so a change of rate in the middle of it
    takes effect at once and ramps are exact.
    """
    at = 0.0
    for start, end, first, last in pieces(load, duration):
        at = start
        slope = (last - first) / (end - start)
        left = gap()
        while True:
            rate = first + slope * (at - start)
            step = _solve(left, rate, slope)
            if at + step >= end:
                break
            at += step
            yield at
            left = gap()


def _solve(area: float, rate: float, slope: float) -> float:
    """The time in which a rate that begins at `rate` and changes by `slope` makes `area`."""
    if not slope:
        return area / rate if rate > 0 else _NEVER
    inside = rate * rate + 2 * slope * area
    if inside < 0:
        return _NEVER
    return float((inside**0.5 - rate) / slope)


def pieces(load: Load, duration: float) -> Iterator[tuple[float, float, float, float]]:
    """Start, end, and the rates at both, of each stretch of the load."""
    rate = load.rate
    at = 0.0
    phases = sorted(load.phase, key=lambda phase: phase.at)
    for index, phase in enumerate(phases):
        limit = duration
        if index + 1 < len(phases):
            limit = min(duration, phases[index + 1].at)
        if phase.at > at and phase.at < duration:
            yield at, phase.at, rate, rate
            at = phase.at
        if phase.over and at < limit:
            end = min(phase.at + phase.over, limit)
            reached = rate + (phase.rate - rate) * (end - phase.at) / phase.over
            yield at, end, rate, reached
            at, rate = end, reached
        else:
            rate = phase.rate
    if at < duration:
        yield at, duration, rate, rate
