"""What stands in for a limit that several processes share, while nobody can be asked what it has admitted.

    here   what was admitted to this process is noted
    away   this process admits its part of the rate, and goes on from what it noted
    here   what it admitted meanwhile is owed: it is told with the next question about the same key

Nobody knows while it is away what the others have had, and they may have had all of it just before. So for the length
of a window a process admits no more than it had (what leaves its own window makes room again) and `ROOM` of its part:
all together 1.3 times the rate at most, wherever the window begins. After that their parts add up to the rate. A part
below one is one in a longer time.

Imports: domain.access. Used by: proxy.middleware.
"""

from __future__ import annotations

from lolly_tx.domain.access.rates import KEYS, Rate, Rates

ROOM = 0.3
"""Of the rate: what all together may admit beyond it in the window in which the store goes away."""


def part_of(rate: Rate, sharers: int) -> Rate:
    """What one of so many processes may admit."""
    sharers = max(1, sharers)
    burst = max(1, rate.burst // sharers)
    if rate.count >= sharers:
        return Rate(rate.count // sharers, rate.seconds, burst)
    return Rate(1, rate.seconds * sharers / rate.count, 1)


class StandIn:
    """See the module. `keys`: how many are remembered. Times are monotonic seconds."""

    def __init__(self, rate: Rate, keys: int = KEYS) -> None:
        self.rate = rate
        self.sharers = 1
        self._keys = keys
        self._rates = Rates(rate, keys)
        self._since: float | None = None
        self._until = 0.0
        self._most: dict[bytes, int] = {}
        """Of keys that came in the first window: what they may have in it."""
        self._owed: dict[bytes, int] = {}

    @property
    def part(self) -> Rate:
        """What this process admits by itself, of what it heard last."""
        return part_of(self.rate, self.sharers)

    def note(self, key: bytes, now: float) -> None:
        """One more of `key` was admitted to this process by all of them."""
        self._rates.note(key, now)

    def owed(self, key: bytes, now: float) -> int:
        """How many of `key` were admitted here that the store has not heard of, as far as they matter. It hears now."""
        count = self._owed.pop(key, 0)
        return min(count, self._rates.had(key, now)) if count else 0

    def owe(self, key: bytes, count: int) -> None:
        """It did not hear of them."""
        if count and (key in self._owed or len(self._owed) < self._keys):
            self._owed[key] = self._owed.get(key, 0) + count

    def admit(self, key: bytes, now: float, since: float, sharers: int) -> float:
        """As `Rates.admit`. `since`: when the store went away; `sharers`: processes that it served."""
        room = self._away(now, since, sharers)
        if room is not None:
            had = self._rates.had(key, now)
            most = self._most.get(key)
            if most is None:
                if len(self._most) >= self._keys:
                    self._most.clear()
                most = self._most[key] = had + room
            if had >= most:
                return max(self._rates.leaves(key, now), _LEAST_WAIT)
        wait = self._rates.admit(key, now)
        if not wait:
            self.owe(key, 1)
        return wait

    def pace(self, key: bytes, now: float, since: float, sharers: int) -> float | None:
        """As `Rates.pace`; the rest as for `admit`."""
        self._away(now, since, sharers)
        return self._rates.pace(key, now)

    def _away(self, now: float, since: float, sharers: int) -> int | None:
        """What each key may have beyond what it had; None: the first window is over, or nobody else is there."""
        window = self.rate.seconds
        if since != self._since:
            self._since = since
            if (
                since >= self._until
            ):  # else it was away just before: nobody gets the room twice
                self._most.clear()
            self._until = since + window
            self.sharers = max(1, sharers)
            self._rates.go_by(part_of(self.rate, sharers))
        if self.sharers == 1 or now >= self._until:
            return None
        return int(ROOM * self.rate.count / self.sharers)


_LEAST_WAIT = 0.001
"""Seconds: who is refused has to wait, if only for a moment."""
