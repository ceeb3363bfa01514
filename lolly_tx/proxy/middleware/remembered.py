"""What is made of heads that repeat, made once.

Imports: wire. Used by: proxy.middleware.headers, proxy.middleware.paths.

Readers remember the heads of clients that repeat themselves, so what comes again is the same object. Bounded as their
memory is.
"""

from __future__ import annotations

from collections.abc import Callable

from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES
from lolly_tx.wire.message import RequestHead


class Remembered:
    """`make(head)`, which must depend on nothing else. `known`: what was made."""

    __slots__ = ("_make", "known")

    def __init__(self, make: Callable[[RequestHead], RequestHead]) -> None:
        self._make = make
        self.known: dict[RequestHead, RequestHead] = {}

    def of(self, head: RequestHead) -> RequestHead:
        """What is made of `head`."""
        made = self.known.get(head)
        if made is not None:
            return made
        made = self._make(head)
        if len(head.block.raw) + len(head.target) <= REMEMBERED_BYTES:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[head] = made
        return made
