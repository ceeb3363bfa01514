"""What follows the commit of a change, a part in each turn of the event loop: it is in force already.

Imports: service, service.changes, Twisted. Used by: service.changes.reload,
service.workers.
"""

from __future__ import annotations

from twisted.internet.task import deferLater
from twisted.logger import Logger

from lolly_tx.service.changes.change import Change
from lolly_tx.service.farewells import Farewells

_log = Logger()


async def settled(change: Change, farewells: Farewells) -> None:
    """Have new pools ask their targets, and those that have left end; `farewells` see off who is connected there.

    Never raises: what goes wrong is logged.
    """
    service = change.service
    try:
        for left in change.settle():
            if left and not service.draining:  # else all of it ends as the service does
                farewells.see_off(left, service.config.timeouts.drain)
            await deferLater(service.surroundings.reactor, 0)
    except Exception:
        _log.failure("Not all pools ask their targets, or have ended: restart")
