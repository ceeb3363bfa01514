"""How long a modelled target takes: distributions, as values.

Imports: nothing of ours. Used by: simulate.kinds, simulate.scenario, simulate.staying.
"""

from __future__ import annotations

from math import exp, log
from random import Random
from typing import Protocol

import attrs

_Z99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""


class Latency(Protocol):
    """A distribution of seconds."""

    def draw(self, random: Random) -> float:
        """One sample, seconds."""


@attrs.frozen
class Constant:
    """Always the same."""

    seconds: float

    def draw(self, random: Random) -> float:
        """See `Latency`."""
        return self.seconds


@attrs.frozen
class Uniform:
    """Anything from `low` to `high`, evenly."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """See `Latency`."""
        return self.low + (self.high - self.low) * random.random()


@attrs.frozen
class Exponential:
    """Of that `mean`."""

    mean: float

    def draw(self, random: Random) -> float:
        """See `Latency`."""
        return -self.mean * log(1.0 - random.random())


@attrs.frozen
class Lognormal:
    """Half below `median`, one in a hundred above `p99`: what services look like."""

    median: float
    p99: float
    _sigma: float = attrs.field(init=False, eq=False, repr=False)

    @_sigma.default
    def _sigma_of(self) -> float:
        return log(self.p99 / self.median) / _Z99

    def draw(self, random: Random) -> float:
        """See `Latency`."""
        return self.median * exp(self._sigma * random.gauss(0.0, 1.0))
