"""What the factories of discoveries may use.

Imports: Twisted. Used by: net.discovery, service, service.providers, testing.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger


@attrs.frozen(kw_only=True)
class DiscoveryDeps:
    """See the module.

    `pool`: its name. `interval`: seconds from one question to the next, where changes do not come by themselves.
    `reactor`: sockets, time. `clock`: `IReactorTime`. `now`: seconds, monotonic. `random`: seeded in tests. `log`: a
    logger of its own. `in_thread`: does in a thread what waits for the disk. `shared`: what the discoveries of a
    service have together, under keys that begin with the name of their type.
    """

    pool: str
    interval: float
    reactor: Any
    clock: Any
    now: Callable[[], float]
    random: Random
    log: Logger
    in_thread: Callable[[Callable[[], Any]], Deferred[Any]]
    shared: dict[Any, Any] = attrs.field(factory=dict)
