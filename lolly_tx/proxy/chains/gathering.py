"""A request's body, waited for as a whole before anybody serves the request.

Imports: net, proxy, wire, Twisted. Used by: proxy.chains.keptbody,
proxy.chains.passage.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.answer import Answer
from lolly_tx.wire.message import RequestHead


class Gathering:
    """Waits for a body of at most `most` bytes; `refusal` is the answer to a longer one.

    `done` fires with None when it is there, and with `refusal` when it is too long.
    """

    __slots__ = ("_refusal", "done", "most")

    def __init__(self, most: int, refusal: Answer) -> None:
        self.most = most
        self._refusal = refusal
        self.done: Deferred[Answer | None] = Deferred(lambda _: None)

    def grown(self, size: int) -> None:
        """So much of it is there."""
        if size > self.most and not self.done.called:
            self.done.callback(self._refusal)

    def complete(self) -> None:
        """That was all."""
        if not self.done.called:
            self.done.callback(None)


def told_to_go_on(door: DoorIn, head: RequestHead, size: int) -> RequestHead:
    """Let a client that waits send its body, `size` bytes of which are there; its head, which waits no more."""
    if not size:
        door.interim(100, b"Continue", b"\r\n")
    return head.with_block(head.block.without_expect())
