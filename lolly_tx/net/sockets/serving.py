"""Serving what a poll has found ready, one after the other: the innermost loop of `net.sockets.reactor`.

Apart from the reactor because it is compiled, and what extends Twisted's classes is not.

Imports: nothing of ours. Used by: net.sockets.reactor.
"""

from __future__ import annotations

from select import EPOLLIN as READABLE
from typing import Any, Final

EPOLLIN: Final[int] = READABLE


def serve_all(
    events: list[tuple[Any, int]], selectables: dict[Any, Any], reactor: Any
) -> None:
    """Have those whose descriptors are in `events` read, by `selectables`; what else is due to one `reactor` knows."""
    for fd, event in events:
        # Served earlier in this round, another may have closed this one.
        selectable = selectables.get(fd)
        if selectable is None:
            continue
        if event == EPOLLIN:
            try:
                why = selectable.doRead()
            except BaseException as error:
                why = reactor.failed(selectable, error)
            if why:
                reactor._disconnectSelectable(selectable, why, True)
        else:
            reactor.serve_other(selectable, fd, event)
