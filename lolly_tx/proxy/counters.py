"""What the exchanges of a pool came to, in plain numbers that are read when somebody asks.

    Counters, of a pool
      served: Served, for the clients of each listener

Imports: domain. Used by: proxy.forwarder, service, service.forwards, service.metrics,
service.records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lolly_tx.domain.histogram import NONE, Exemplar, dense, sparse


class Served:
    """Exchanges of the clients of one listener that are over.

    `codes`: how many by the status that the client got. `bytes_in`, `bytes_out`: of bodies and tunnels, from and to
    clients. `seconds`: from the whole head of the request to the end of the answer (of a tunnel: to its beginning),
    summed up. `slower`: how many took how long, but for quick ones (`domain.histogram`).
    """

    __slots__ = ("bytes_in", "bytes_out", "codes", "seconds", "slower")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.bytes_in = 0
        self.bytes_out = 0
        self.seconds = 0.0
        self.slower = list(NONE)

    @property
    def exchanges(self) -> int:
        """How many there were."""
        return sum(self.codes.values())

    def add(self, other: Served) -> None:
        """Those of `other` as well."""
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.seconds += other.seconds
        self.slower = [a + b for a, b in zip(self.slower, other.slower, strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "codes": {str(code): count for code, count in self.codes.items()},
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "seconds": self.seconds,
            "slower": sparse(self.slower),
        }

    @classmethod
    def of_dict(cls, said: Mapping[str, Any]) -> Served:
        """What `as_dict` made; keys may be missing. Raises ValueError, TypeError or LookupError for other shapes."""
        made = cls()
        made.codes = {int(code): int(n) for code, n in said.get("codes", {}).items()}
        made.bytes_in = int(said.get("bytes_in", 0))
        made.bytes_out = int(said.get("bytes_out", 0))
        made.seconds = float(said.get("seconds", 0.0))
        made.slower = dense(said.get("slower", {}), len(NONE))
        return made


class Counters:
    """Of one pool, since the start. `retries`, `hedges`: attempts after, and beside, the first."""

    __slots__ = ("exemplars", "failed", "gone", "hedges", "retries", "served")

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}
        """By listener; the dictionary stays the same object."""
        self.exemplars: dict[int, Exemplar] = {}
        """By place in the histogram of durations, where one is known; put there by who keeps traces."""
        self.failed = 0
        """Answered by ourselves, or cut short."""
        self.gone = 0
        """The client left before the end."""
        self.retries = 0
        self.hedges = 0

    def begin(self, listener: str) -> Served:
        """For the first exchange of a client of `listener`."""
        return self.served.setdefault(listener, Served())

    @property
    def exchanges(self) -> int:
        """Exchanges that are over."""
        return sum(one.exchanges for one in self.served.values())

    @property
    def bytes_in(self) -> int:
        """Of bodies, from clients."""
        return sum(one.bytes_in for one in self.served.values())

    @property
    def bytes_out(self) -> int:
        """Of bodies, to clients."""
        return sum(one.bytes_out for one in self.served.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            **{name: getattr(self, name) for name in NUMBERS},
            "served": {name: one.as_dict() for name, one in self.served.items()},
        }

    def take(self, said: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` made. Raises what `Served.of_dict` does, with nothing taken."""
        numbers = {name: int(said.get(name, 0)) for name in NUMBERS}
        served = {
            str(name): Served.of_dict(one)
            for name, one in said.get("served", {}).items()
        }
        for name, number in numbers.items():
            setattr(self, name, number)
        self.served.clear()
        self.served.update(served)


NUMBERS: Final = ("failed", "gone", "hedges", "retries")
