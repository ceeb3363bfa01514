"""How much of what asks for nothing a client may send: buckets that leak.

Imports: nothing of ours. Used by: net.http2.client, net.http2.server.
"""

from __future__ import annotations

EARNED = 2
"""What each frame that carries something makes up for: one update of each window it moves in."""
LEAK = 0.1
"""The part of the limit that is forgiven each second."""


class Patience:
    """Counts up to `most` at once, and on as `LEAK` of them are forgotten each second. `most` 0: for ever."""

    __slots__ = ("_since", "_worked", "count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0.0
        self._since = 0.0
        self._worked = 0

    def strain(self, now: float, worked: int = 0) -> bool:
        """One more at `now` (seconds, monotonic); whether it is too many. `worked`: frames so far that earn some."""
        self.count += 1
        if not self.most or self.count <= self.most:
            if self.count == 1:
                self._since = now
                self._worked = worked
            return False
        forgiven = (now - self._since) * self.most * LEAK
        forgiven += (worked - self._worked) * EARNED
        self._since = now
        self._worked = worked
        self.count = max(1.0, self.count - forgiven)
        return self.count > self.most
