"""Who has given wrong credentials too often, and is not listened to for a while.

Imports: nothing of ours. Used by: proxy.middleware, service.admin.

Ten failures a minute from one address: guessing a token becomes pointless,
and a person who mistypes does not notice. Addresses are remembered up to a bound; beyond it
the one that failed longest ago is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque

FAILURES = 10
SECONDS = 60.0
ADDRESSES = 1024


class Lockout:
    """Counts failures per address. `now`: seconds, monotonic."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, address: str, now: float) -> float:
        """Seconds until `address` is listened to again, 0 if it is."""
        times = self._failures.get(address)
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + SECONDS - now)

    def failed(self, address: str, now: float) -> None:
        """`address` has given wrong credentials."""
        times = self._failures.pop(address, None)
        if times is None:
            times = deque(maxlen=FAILURES)
            if len(self._failures) >= ADDRESSES:
                self._failures.popitem(last=False)
        times.append(now)
        self._failures[address] = times
