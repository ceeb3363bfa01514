"""The moments (`proxy.moments`) of many exchanges at once.

    exchanges that are over    --column-->    one piece of each of their lines

A call of a function costs more than most of what it would find out here, so that the commonest moments are written as
one loop each, with the tables of `proxy.moments`. What a column says of an exchange is what its moment says.

Imports: proxy. Used by: proxy.records.firstcolumns, proxy.records.lineformat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.moments import (
    DIGITS,
    MILLISECONDS,
    MILLISECONDS_JSON,
    THOUSANDTHS,
    Moment,
    last_seconds,
    last_seconds_json,
    millionths,
    second_iso,
    second_local,
    seconds,
    seconds_json,
    thousandths,
    time,
    time_json,
    time_local,
    time_local_json,
)

Written = tuple[Exchange, float]
"""One that is over, and when it was by the monotonic clock."""

Column = Callable[[list[Written], float], list[bytes]]
"""From exchanges, at least one, and the wall clock at zero of the monotonic one."""


def column_of(moment: Moment) -> Column:
    """The same of many."""
    return _WRITTEN.get(moment) or _called(moment)


def _called(moment: Moment) -> Column:
    def column(ended: list[Written], epoch: float) -> list[bytes]:
        return [
            moment(
                epoch + now,
                now - one.started,
                one.upstream_seconds,
                one.door.peer,
                one.identity or one.door.identity,
            )
            for one, now in ended
        ]

    return column


def _within_a_second(ended: list[Written], epoch: float) -> int:
    """The second in which all were over; -1: not in the same one."""
    # Almost in order, but for those who were told what time it is by others.
    times = [now for _, now in ended]
    second = int(epoch + min(times))
    return second if second == int(epoch + max(times)) else -1


def _times(ended: list[Written], epoch: float) -> list[bytes]:
    second = _within_a_second(ended, epoch)
    if second < 0:
        return [time(epoch + now) for _, now in ended]
    text = second_iso(second)
    return [text + MILLISECONDS[int((epoch + now - second) * 1000)] for _, now in ended]


def _times_json(ended: list[Written], epoch: float) -> list[bytes]:
    second = _within_a_second(ended, epoch)
    if second < 0:
        return [time_json(epoch + now) for _, now in ended]
    text = b'"' + second_iso(second)
    return [
        text + MILLISECONDS_JSON[int((epoch + now - second) * 1000)] for _, now in ended
    ]


def _times_local(ended: list[Written], epoch: float) -> list[bytes]:
    second = _within_a_second(ended, epoch)
    if second < 0:
        return [time_local(epoch + now) for _, now in ended]
    return [second_local(second)] * len(ended)


def _times_local_json(ended: list[Written], epoch: float) -> list[bytes]:
    return [b'"%b"' % text for text in _times_local(ended, epoch)]


def _seconds(ended: list[Written], epoch: float) -> list[bytes]:
    return [
        THOUSANDTHS[int(took * 1000 + 0.5)]
        if 0.0 <= (took := now - one.started) < 0.9995
        else thousandths(took)
        for one, now in ended
    ]


def _seconds_json(ended: list[Written], epoch: float) -> list[bytes]:
    return [
        THOUSANDTHS[(whole := int(took * 1000000 + 0.5)) // 1000] + DIGITS[whole % 1000]
        if 0.0 <= (took := now - one.started) < 0.999999
        else millionths(took)
        for one, now in ended
    ]


def _last_seconds(ended: list[Written], epoch: float) -> list[bytes]:
    return [
        THOUSANDTHS[int(took * 1000 + 0.5)]
        if 0.0 <= (took := one.upstream_seconds) < 0.9995
        else thousandths(took)
        for one, _ in ended
    ]


def _last_seconds_json(ended: list[Written], epoch: float) -> list[bytes]:
    return [
        THOUSANDTHS[(whole := int(took * 1000000 + 0.5)) // 1000] + DIGITS[whole % 1000]
        if 0.0 <= (took := one.upstream_seconds) < 0.999999
        else millionths(took)
        for one, _ in ended
    ]


_WRITTEN: Final[Mapping[Moment, Column]] = {
    time: _times,
    time_json: _times_json,
    time_local: _times_local,
    time_local_json: _times_local_json,
    seconds: _seconds,
    seconds_json: _seconds_json,
    last_seconds: _last_seconds,
    last_seconds_json: _last_seconds_json,
}
