"""Dates in fields, written and read (RFC 9110 section 5.6.7).

Imports: nothing of ours. Used by: proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime


class DateLine:
    """A Date field line for answers without one (RFC 9110 section 6.6.1), made once a second.

    `wall`: seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._line = b""
        self._until = float("-inf")

    def at(self, now: float) -> bytes:
        """The line at `now` (seconds, monotonic)."""
        if now >= self._until:
            wall = self._wall()
            self._line = b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode("ascii")
            self._until = now + 1.0 - wall % 1.0
        return self._line


def retry_after(value: bytes, wall: float) -> float:
    """The seconds of a Retry-After, a number or a date (RFC 9110 section 10.2.3); 0.0: neither.

    `wall`: now, seconds since the epoch.
    """
    if value.isdigit():
        return float(value[:9])
    try:
        return parsedate_to_datetime(value.decode("ascii")).timestamp() - wall
    except (ValueError, OverflowError):
        return 0.0
