"""What is made of heads that repeat, made once.

Imports: wire. Used by: proxy.middleware.headers, proxy.middleware.paths.

Readers remember the heads of clients that repeat themselves, so what comes again is the same object. Bounded as their
memory is.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.wire.http1 import REMEMBERED, REMEMBERED_BYTES
from lolly_tx.wire.message import RequestHead


class Remembered:
    """`make(head)`, which must depend on nothing else."""

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[RequestHead], RequestHead]) -> None:
        self._make = make
        self._known: dict[RequestHead, RequestHead] = {}

    def of(self, head: RequestHead) -> RequestHead:
        """What is made of `head`."""
        known = self._known.get(head)
        if known is not None:
            return known
        made = self._make(head)
        if len(head.block.raw) + len(head.target) <= REMEMBERED_BYTES:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[head] = made
        return made
