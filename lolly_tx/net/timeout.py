"""A limit on how long a Deferred may take.

Where one Deferred waits. The many connections of the data plane share the coarse scan of
`net.deadlines` instead.

May import: domain errors, net.alarm, Twisted. Used by: net.sockets.endpoints, net.library.agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.alarm import Alarm

T = TypeVar("T")


def within(
    attempt: Deferred[T],
    seconds: float,
    clock: IReactorTime,
    late: Callable[[], ProxyError],
) -> Deferred[T]:
    """Cancel `attempt` after `seconds`; it then fails with `late()`.

    That is what tells our limit from a cancel by the caller, which passes through as it
    is. The timer is gone once `attempt` has ended, and a result that arrives in spite of
    the cancel is kept.
    """
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        attempt.cancel()

    alarm = Alarm(clock, seconds, expire)

    def finish(result: T | Failure) -> T | Failure:
        alarm.cancel()
        if expired and isinstance(result, Failure):
            error = late()
            error.__cause__ = result.value
            return Failure(error)
        return result

    return attempt.addBoth(finish)
