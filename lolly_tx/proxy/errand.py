"""A request of our own to a route's end, whose answer is collected.

Imports: domain, net, proxy, wire, Twisted. Used by: proxy.middleware.

For those who have to ask somebody before they know what becomes of a request. It goes the way of all requests: with
checks, retries and limits of its pool, and counts there.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import BODILESS, DoorIn, Peer, RequestSink
from lolly_tx.proxy.answer import AnswerHead
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead


class NoAnswer(Exception):
    """There was no answer, or not in time, or not all of it, or it was too long."""


class NotWaitedFor(NoAnswer):
    """Who has sent the request has cancelled it."""


class Errand(DoorIn):
    """The door of such a request. `peer`: who is told to the target as the client. `most`: bytes of a body.

    `done`: errbacks `NoAnswer`, or fires with the head and the body.
    """

    __slots__ = ("_body", "_head", "_most", "_size", "_timer", "done")

    write_seconds = NEVER

    def __init__(
        self, peer: Peer, clock: IReactorTime, seconds: float, most: int
    ) -> None:
        self.peer = peer
        self.exchange: RequestSink | None = None
        self.done: Deferred[tuple[AnswerHead, bytes]] = Deferred(self._cancelled)
        self._head: AnswerHead | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._most = most
        self._timer: IDelayedCall | None = clock.callLater(
            seconds, self._give_up, "no answer in time"
        )

    def begin(
        self, end: RouteEnd, head: RequestHead
    ) -> Deferred[tuple[AnswerHead, bytes]]:
        """Have `end` answer a request without a body."""
        end.open_exchange(self, head, BODILESS)
        return self.done

    def _cancelled(self, _: Deferred[Any]) -> None:
        self._give_up("not waited for", NotWaitedFor)

    def _give_up(self, why: str, error: type[NoAnswer] = NoAnswer) -> None:
        exchange, self.exchange = self.exchange, None
        self._over(None, why, error)
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone(why))

    def _over(
        self, head: AnswerHead | None, why: str = "", error: type[NoAnswer] = NoAnswer
    ) -> None:
        timer, self._timer = self._timer, None
        if timer is None:
            return
        if timer.active():
            timer.cancel()
        if head is None:
            self.done.errback(error(why))
        else:
            self.done.callback((head, b"".join(self._body)))

    # -- DoorIn

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """The head of the answer."""
        self._head = AnswerHead(status, reason, fields, framing)

    def write(self, data: bytes) -> None:
        """Body bytes."""
        self._size += len(data)
        if self._size > self._most:
            self._give_up("too long")
        elif self._timer is not None:
            self._body.append(data)

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The answer is complete."""
        if last:
            self.write(last)
        self.exchange = None
        self._over(self._head)

    def abort(self, code: int = 0) -> None:
        """It never will be."""
        self.exchange = None
        self._over(None, "cut short")
