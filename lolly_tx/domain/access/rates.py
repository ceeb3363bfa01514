"""Rates that hold in every window of their length, for any number of keys.

    admit   at most `count` in any `seconds` (a log of what was admitted, exact), and no more than `burst` at once
            over the steady rate (GCRA, as ATM's): both have to agree
    pace    one each `seconds / count`, the others later, as long as no more than `burst` of them wait

A bucket alone admits its burst and the rate together: "10 in a second" would be 40 in three. Of large counts the log
keeps sums of neighbours, dated by the last of them: it may admit a little later than it had to, never earlier.

Imports: nothing of ours. Used by: config.middleware, domain.shared, proxy.middleware.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import attrs

FINE = 64
"""Entries of a log that are exact; beyond them neighbours within a 64th of the window become one."""
KEYS = 100_000
"""Keys that are remembered; who was not admitted for long is forgotten first."""
LOOKED_AT = 4
"""Keys that are looked at for each new one: whether they may be forgotten."""


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
    """What was admitted of one key. `due`: GCRA's arrival time. `total`: how many the window has.

    `entries`: (when, how many), the oldest first, but for the youngest, which is in `last` and `count`; others join it
    until `fine`. `leaves`: when the oldest of all leaves the window. `placed`: as `last` was when its key came into its
    place. One object, because each admission touches it when nothing of it is in the processor's caches any more.
    """

    entries: deque[tuple[float, int]]

    __slots__ = (
        "count",
        "due",
        "entries",
        "fine",
        "last",
        "leaves",
        "placed",
        "total",
    )

    def __init__(self, now: float) -> None:
        self.due = self.last = self.placed = now
        self.count = self.total = 0
        self.fine = -_NEVER
        self.leaves = _NEVER
        self.entries = _NO_ENTRIES  # most keys never have a second one, and an empty deque takes 600 bytes

    def age(self, now: float, seconds: float) -> None:
        """Have those leave that are `seconds` old."""
        entries = self.entries
        while entries and entries[0][0] + seconds <= now:
            self.total -= entries.popleft()[1]
        if len(entries) + 1 < FINE:
            self.fine = -_NEVER
        if entries:
            self.leaves = entries[0][0] + seconds
            return
        self.entries = _NO_ENTRIES
        if self.last + seconds <= now:
            self.count = self.total = 0
            self.leaves = _NEVER
        else:
            self.leaves = self.last + seconds

    def begin(self, now: float, rate: Rate) -> None:
        """One more is admitted, with an entry of its own."""
        entries = self.entries
        if self.count:
            if entries is _NO_ENTRIES:
                entries = self.entries = deque()
            entries.append((self.last, self.count))
        else:
            self.leaves = now + rate.seconds
        self.count = 1
        self.last = now
        if len(entries) + 1 >= FINE:
            self.fine = now + rate.seconds / FINE


class Rates:
    """What of each key is admitted at `rate`. `keys`: how many are remembered."""

    def __init__(self, rate: Rate, keys: int = KEYS) -> None:
        self._keys = keys
        self._logs: OrderedDict[bytes, _Log] = OrderedDict()
        self.go_by(rate)

    def go_by(self, rate: Rate) -> None:
        """Another rate holds; what is known of keys stays."""
        self.rate = rate
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
        elif log.leaves <= now:
            log.age(now, self.rate.seconds)
        due = log.due
        wait = due - self._slack - now
        if log.total >= self._most:
            wait = max(wait, log.leaves - now)
        if wait > _NOTHING:
            return wait
        log.due = (due if due > now else now) + self._interval
        log.total += 1
        if now < log.fine:
            log.last = now
            log.count += 1
        else:
            log.begin(now, self.rate)
        return 0.0

    def pace(self, key: bytes, now: float) -> float | None:
        """Seconds after which one more of `key` may go on; None: too many wait already, and it counts for nothing."""
        log = self._logs.get(key)
        if log is None:
            log = self._begun(key, now)
        wait = max(0.0, log.due - now)
        if wait > self.rate.burst * self._interval - _NOTHING:
            return None
        log.due = max(log.due, now) + self._interval
        log.last = now
        return wait

    def note(self, key: bytes, now: float) -> None:
        """One more of `key` was admitted, by somebody else's word: it counts, whatever is admitted here."""
        log = self._logs.get(key)
        if log is None:
            log = self._begun(key, now)
        elif log.leaves <= now:
            log.age(now, self.rate.seconds)
        latest = now + self._slack + self._interval
        log.due = min(max(log.due, now) + self._interval, latest)
        log.total += 1
        if now < log.fine:
            log.last = now
            log.count += 1
        else:
            log.begin(now, self.rate)

    def had(self, key: bytes, now: float) -> int:
        """How many of `key` the window has."""
        log = self._logs.get(key)
        if log is None:
            return 0
        if log.leaves <= now:
            log.age(now, self.rate.seconds)
        return log.total

    def leaves(self, key: bytes, now: float) -> float:
        """Seconds until the oldest of them leaves the window; that of a whole one where there are none."""
        log = self._logs.get(key)
        if log is None or not log.total:
            return self.rate.seconds
        return log.leaves - now

    def _begun(self, key: bytes, now: float) -> _Log:
        self._tidy(now)
        log = self._logs[key] = _Log(now)
        return log

    def _tidy(self, now: float) -> None:
        """Look at those that came into their places longest ago: forget who says nothing any more.

        Whoever was admitted since then gets a new place. Where there are too many, one goes in any case.
        """
        logs = self._logs
        for _ in range(LOOKED_AT):
            if not logs:
                return
            key, log = next(iter(logs.items()))
            recent = log.last > now - self.rate.seconds or log.due > now
            if not recent:
                del logs[key]
            elif log.last > log.placed:
                log.placed = log.last
                logs.move_to_end(key)
            else:
                break
        if len(logs) >= self._keys:
            logs.popitem(last=False)


_NEVER = float("inf")
_NO_ENTRIES: deque[tuple[float, int]] = deque(maxlen=0)
_NOTHING = 1e-9
"""Seconds that are no wait: what is left of sums of intervals."""
