"""What is made of heads that repeat, made once.

Imports: wire. Used by: proxy.middleware.headers, proxy.middleware.paths,
proxy.middleware.rewrite.

Readers remember the heads of clients that repeat themselves, so what comes again is the same object. Bounded as their
memory is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lolly_tx.wire.memory import REMEMBERED, REMEMBERED_BYTES
from lolly_tx.wire.message import RequestHead

Made = TypeVar("Made")


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
        keep(self.known, head, made)
        return made


def keep(known: dict[RequestHead, Made], head: RequestHead, made: Made) -> None:
    """Have `known` tell what was made of `head`, unless it is too long; a full one begins anew."""
    if len(head.block.raw) + len(head.target) <= REMEMBERED_BYTES:
        if len(known) >= REMEMBERED:
            known.clear()
        known[head] = made
