"""Rates that hold in every window of their length, for any number of keys.

    admit   at most `count` in any `seconds` (a log of what was admitted, exact), and no more than `burst` at once
            over the steady rate (GCRA, as ATM's): both have to agree
    pace    one each `seconds / count`, the others later, as long as no more than `burst` of them wait

A bucket alone admits its burst and the rate together: "10 in a second" would be 40 in three. Of large counts the log
keeps sums of neighbours, dated by the last of them: it may admit a little later than it had to, never earlier.

Imports: nothing of ours. Used by: config.middleware, proxy.middleware.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import attrs

FINE = 64
"""Entries of a log that are exact; beyond them neighbours within a 64th of the window become one."""
KEYS = 100_000
"""Keys that are remembered; who was admitted longest ago is forgotten first."""


@attrs.frozen
class Rate:
    """`count` in any `seconds`; `burst` at once."""

    count: int = attrs.field(validator=attrs.validators.ge(1))
    seconds: float = attrs.field(validator=attrs.validators.gt(0))
    burst: int = attrs.field(validator=attrs.validators.ge(1))

    @property
    def most(self) -> int:
        """Admitted in any one window."""
        return max(self.count, self.burst)

    def admitted_in(self, seconds: float) -> int:
        """The most that are admitted in any time of that length."""
        steady = self.burst + int(seconds * self.count / self.seconds)
        windows = -int(-seconds // self.seconds)
        return min(steady, self.most * max(1, windows))


class _Log:
    """What was admitted of one key: [first, last, how many], the oldest first. `due`: GCRA's arrival time."""

    __slots__ = ("due", "entries", "total")

    def __init__(self, now: float) -> None:
        self.entries: deque[list[float]] = deque()
        self.total = 0
        self.due = now


class Rates:
    """What of each key is admitted at `rate`. `keys`: how many are remembered."""

    def __init__(self, rate: Rate, keys: int = KEYS) -> None:
        self.rate = rate
        self._keys = keys
        self._logs: OrderedDict[bytes, _Log] = OrderedDict()
        self._seconds = rate.seconds
        self._fine = rate.seconds / FINE
        self._most = rate.most
        self._interval = rate.seconds / rate.count
        self._slack = (rate.burst - 1) * self._interval

    def __len__(self) -> int:
        return len(self._logs)

    def admit(self, key: bytes, now: float) -> float:
        """Seconds until one more of `key` is admitted; 0.0: this one is. One that is not counts for nothing."""
        log = self._logs.get(key)
        if log is None:
            log = self._begun(key, now)
        else:
            self._logs.move_to_end(key)
        entries, due = log.entries, log.due
        past = now - self._seconds
        while entries and entries[0][1] <= past:
            log.total -= int(entries.popleft()[2])
        wait = due - self._slack - now
        if log.total >= self._most:
            wait = max(wait, entries[0][1] + self._seconds - now)
        if wait > _NOTHING:
            return wait
        log.due = (due if due > now else now) + self._interval
        log.total += 1
        if len(entries) >= FINE and now - entries[-1][0] < self._fine:
            entries[-1][1] = now
            entries[-1][2] += 1
        else:
            entries.append([now, now, 1])
        return 0.0

    def pace(self, key: bytes, now: float) -> float | None:
        """Seconds after which one more of `key` may go on; None: too many wait already, and it counts for nothing."""
        log = self._logs.get(key)
        if log is None:
            log = self._begun(key, now)
        else:
            self._logs.move_to_end(key)
        wait = max(0.0, log.due - now)
        if wait > self.rate.burst * self._interval - _NOTHING:
            return None
        log.due = max(log.due, now) + self._interval
        return wait

    def _begun(self, key: bytes, now: float) -> _Log:
        self._tidy(now)
        log = self._logs[key] = _Log(now)
        return log

    def _tidy(self, now: float) -> None:
        """Forget two that say nothing any more for each that is new, and the oldest where there are too many."""
        logs = self._logs
        for _ in range(2):
            if not logs:
                return
            key, log = next(iter(logs.items()))
            recent = log.entries and log.entries[-1][1] > now - self.rate.seconds
            if len(logs) < self._keys and (recent or log.due > now):
                return
            del logs[key]


_NOTHING = 1e-9
"""Seconds that are no wait: what is left of sums of intervals."""
