"""What a service gets from outside, as one value: sockets and timers, the time, chance, standard output.

Imports: service. Used by: service, simulate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from lolly_tx.service.logfile import LogFile


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
