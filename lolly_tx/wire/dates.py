"""Dates in fields, written and read (RFC 9110 section 5.6.7).

Imports: nothing of ours. Used by: proxy, proxy.caching, proxy.files, wire.cachefields,
wire.conditionals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = rb"(?P<month>%b)" % b"|".join(_MONTHS)
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = (
    re.compile(
        rb"%b, (?P<day>[0-9]{2}) %b (?P<year>[0-9]{4}) %b GMT" % (_DAY, _MONTH, _TIME)
    ),
    re.compile(
        rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, "
        rb"(?P<day>[0-9]{2})-%b-(?P<short>[0-9]{2}) %b GMT" % (_MONTH, _TIME)
    ),
    re.compile(
        rb"%b %b (?P<day>[ 0-9][0-9]) %b (?P<year>[0-9]{4})" % (_DAY, _MONTH, _TIME)
    ),
)


class DateLine:
    """A Date field line for answers without one (RFC 9110 section 6.6.1), made once a second.

    `wall`: seconds since the epoch. `ahead`: seconds until another date, to be said in a line called `name`.
    """

    def __init__(
        self, wall: Callable[[], float], name: bytes = b"Date", ahead: float = 0.0
    ) -> None:
        self._wall = wall
        self._name = name
        self._ahead = ahead
        self._line = b""
        self._until = float("-inf")

    def at(self, now: float) -> bytes:
        """The line at `now` (seconds, monotonic)."""
        if now >= self._until:
            wall = self._wall()
            self._line = b"%b: %b\r\n" % (self._name, http_date(wall + self._ahead))
            self._until = now + 1.0 - wall % 1.0
        return self._line


def http_date(wall: float) -> bytes:
    """A moment, in seconds since the epoch, as fields say it."""
    return formatdate(wall, usegmt=True).encode("ascii")


def read_date(value: bytes, wall: float) -> int | None:
    """The seconds since the epoch that a date in a field says, in one of its three forms; None: it is none.

    `wall`: now, seconds since the epoch: a year of two digits is at most 50 years ahead.
    """
    for form in _FORMS:
        found = form.fullmatch(value)
        if found is None:
            continue
        parts = found.groupdict()
        if "short" in parts:
            this = datetime.fromtimestamp(wall, UTC).year
            year = this - this % 100 + int(parts["short"])
            if year > this + 50:
                year -= 100
        else:
            year = int(parts["year"])
        month = _MONTHS.index(parts["month"]) + 1
        hour, minute, second = (int(parts[of]) for of in ("hour", "minute", "second"))
        try:
            day = datetime(year, month, int(parts["day"]), hour, minute, tzinfo=UTC)
        except ValueError:
            return None
        # A leap second counts as the one after it.
        return int(day.timestamp()) + second if second <= 60 else None
    return None


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
