"""What may differ between exchanges that are alike in all else, as it stands in a line of the access log.

Each is a function of a few plain values; `proxy.records.columns` has those of many lines at once. The rest
(`proxy.variables`) is found out for one line of its kind.

Imports: net, proxy. Used by: proxy.records, proxy.variables.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from functools import lru_cache

from lolly_tx.net.doors import Peer
from lolly_tx.proxy.identity import Identity

Moment = Callable[[float, float, float | None, Peer | None, Identity | None], bytes]
"""From what may differ between exchanges that are alike in all else: when it was over (seconds since the epoch), how
long it took, how long its attempt took, who sent it and its identity."""


MILLISECONDS = tuple([b".%03dZ" % part for part in range(1000)])
MILLISECONDS_JSON = tuple([b'.%03dZ"' % part for part in range(1000)])
"""What comes after the second of a time of day."""

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@lru_cache(4)
def second_local(second: int) -> bytes:
    """`21/Nov/2026:20:41:00 +0000`, whatever the locale."""
    at = clock.gmtime(second)
    return (
        f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year:04}"
        f":{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    ).encode()


@lru_cache(4)
def second_iso(second: int) -> bytes:
    """`2026-11-21T20:41:00`."""
    return clock.strftime("%Y-%m-%dT%H:%M:%S", clock.gmtime(second)).encode()


# Seconds with three and six decimals; formatting a float takes several times as long.
THOUSANDTHS = tuple([b"0.%03d" % n for n in range(1000)])
DIGITS = tuple([b"%03d" % n for n in range(1000)])


def thousandths(seconds: float | None) -> bytes:
    """For texts."""
    if seconds is None:
        return b"-"
    if 0.0 <= seconds < 0.9995:
        return THOUSANDTHS[int(seconds * 1000 + 0.5)]
    return b"%.3f" % seconds


def millionths(seconds: float | None) -> bytes:
    """For JSON."""
    if seconds is None:
        return b"null"
    if 0.0 <= seconds < 0.999999:
        whole = int(seconds * 1000000 + 0.5)
        return THOUSANDTHS[whole // 1000] + DIGITS[whole % 1000]
    return b"%.6f" % seconds


def time(wall: float, *_: object) -> bytes:
    """`2026-11-21T20:41:00.250Z`, when it was over."""
    second = int(wall)
    return second_iso(second) + MILLISECONDS[int((wall - second) * 1000)]


def time_json(wall: float, *_: object) -> bytes:
    """The same as a string of JSON."""
    second = int(wall)
    part = MILLISECONDS_JSON[int((wall - second) * 1000)]
    return b'"' + second_iso(second) + part


def time_local(wall: float, *_: object) -> bytes:
    """When it was over, as combined logs have it."""
    return second_local(int(wall))


def time_local_json(wall: float, *_: object) -> bytes:
    """The same as a string of JSON."""
    return b'"%b"' % second_local(int(wall))


def seconds(wall: float, took: float, *_: object) -> bytes:
    """How long all of it took."""
    return thousandths(took)


def seconds_json(wall: float, took: float, *_: object) -> bytes:
    """The same in JSON."""
    return millionths(took)


def last_seconds(wall: float, took: float, last: float | None, *_: object) -> bytes:
    """How long its attempt took."""
    return thousandths(last)


def last_seconds_json(
    wall: float, took: float, last: float | None, *_: object
) -> bytes:
    """The same in JSON."""
    return millionths(last)
