"""What a service gets from outside, as one value: sockets and timers, the time, chance, standard output.

Imports: domain.accruals, service. Used by: service, service.checks, service.records,
service.stores, service.workers, simulate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from lolly_tx.domain.accruals.interfaces import IAccrual
from lolly_tx.service.logfile import LogFile


def _as_it_is(listener: str, view: Any) -> Any:
    """Listeners listen by themselves."""
    return view


@attrs.frozen
class Part:
    """What of a proxy of several processes this one does.

    `ports(listener, view)`: the view of the reactor that a listener listens on. `hop`: the name by which the proxy
    knows requests that went through it before. `accrual`: the passive policy of nodes; None: that of the settings.
    `admin`: it has the admin side, if there is to be one. `serves`: clients, and so writes of them. `number`: of the
    worker, 0 of who is none. `tape`: memory for what is recorded, that others see; None: some of one's own.
    """

    ports: Callable[[str, Any], Any] = _as_it_is
    hop: bytes = b""
    accrual: Callable[[], IAccrual] | None = None
    admin: bool = True
    serves: bool = True
    number: int = 0
    tape: memoryview | None = None


WHOLE = Part()
"""Of the only process."""


@attrs.frozen
class Surroundings:
    """`reactor`: any that has TCP. `random`: seeded in tests.

    `now`: seconds, monotonic; `wall`: seconds since the epoch.
    `stdout`: what a log "-" goes to, where others write there, too, and lines must not mix; None: nobody else does.
    """

    reactor: Any
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Random = attrs.field(factory=Random)
    stdout: LogFile | None = None
    part: Part = WHOLE
