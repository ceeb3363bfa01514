r"""`type = "mirror"`: copies of requests for another pool, whose answers nobody gets.

    request --> its pool
         \--> Copy --> the pool of the copies          its own leases, retries, limits and numbers

Nothing waits for a copy, and nothing of one comes back: neither its answer nor its failure, and its client may be gone
long before it is done.

Imports: config.middleware, domain, net, proxy, proxy.chains, proxy.middleware, wire,
Twisted. Used by: programs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lolly_tx.config.middleware.mirror import Mirror
from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.domain.interfaces import IMiddlewareFactory
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import BodyStart, DoorIn, Peer, RequestSink
from lolly_tx.proxy.chains.filters import BodyFilter
from lolly_tx.proxy.chains.link import ASKED, REQUEST_BODY
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.proxy import RouteEnd
from lolly_tx.wire.message import RequestHead

LONGEST_SECONDS = 60.0
"""A copy may take: whatever its pool allows, it is no use any more."""
READ_BYTES = 1 << 20
"""Of an answer, so that its connection can be kept; a longer one is cut off."""


class Copy(DoorIn):
    """The door of a copy. `over`: called once, when it is done with."""

    __slots__ = ("_left", "_over", "_timer")

    can_tunnel = False
    write_seconds = NEVER

    def __init__(
        self, peer: Peer, clock: IReactorTime, over: Callable[[], None]
    ) -> None:
        self.peer = peer
        self.exchange: RequestSink | None = None
        self._left = READ_BYTES
        self._over = over
        self._timer: IDelayedCall | None = clock.callLater(
            LONGEST_SECONDS, self.give_up
        )

    def give_up(self) -> None:
        """Let it go."""
        exchange, self.exchange = self.exchange, None
        self._end()
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone("a copy is not waited for"))

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            if timer.active():
                timer.cancel()
            self._over()

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """See `DoorIn`."""

    def write(self, data: bytes) -> None:
        """See `DoorIn`."""
        self._left -= len(data)
        if self._left < 0:
            self.give_up()

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """See `DoorIn`."""
        self.exchange = None
        self._end()

    def abort(self, code: int = 0) -> None:
        """See `DoorIn`."""
        self.exchange = None
        self._end()


class Gathering(BodyFilter):
    """Keeps what passes of a body, at most `most` bytes, and has `send` have it at the end."""

    keeps_length = True

    def __init__(self, most: int, send: Callable[[bytes], None]) -> None:
        self._most = most
        self._send = send
        self._kept: list[bytes] | None = []

    def data(self, data: bytes) -> bytes:
        """See `BodyFilter`."""
        if self._kept is not None:
            self._most -= len(data)
            if self._most < 0:
                self._kept = None
            else:
                self._kept.append(data)
        return data

    def end(self) -> bytes:
        """See `BodyFilter`."""
        kept, self._kept = self._kept, None
        if kept is not None:
            self._send(b"".join(kept))
        return b""

    def close(self) -> None:
        """See `BodyFilter`."""
        self._kept = None


class MirrorMiddleware(Middleware):
    """See the module. `pool(name)`: where the copies go. `under_way`: copies that are not done with."""

    def __init__(
        self,
        settings: Mirror,
        pool: Callable[[str], RouteEnd],
        clock: IReactorTime,
        random: Random,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._clock = clock
        self._random = random
        self.under_way = 0
        bodies = {REQUEST_BODY} if settings.body else set()
        self.touches = frozenset({ASKED} | bodies)

    def _wanted(self, head: RequestHead) -> bool:
        settings = self._settings
        if head.block.upgrade or self.under_way >= settings.most:
            return False
        share = settings.percent
        return share >= 100.0 or self._random.random() * 100.0 < share

    def request(self, passage: Passage) -> None:
        """Send the copy of a request without a body; one with a body has its own when that has passed."""
        block = passage.head.block
        if not block.chunked and not block.length and self._wanted(passage.head):
            self._send(passage, b"")

    def request_body(self, passage: Passage) -> BodyFilter | None:
        """See what passes, if it can be kept."""
        head, most = passage.head, self._settings.body
        if not (head.block.chunked or head.block.length):
            return None  # its copy is on its way
        if (head.block.length or 0) > most or not self._wanted(head):
            return None
        return Gathering(most, lambda body: self._send(passage, body))

    def _send(self, passage: Passage, body: bytes) -> None:
        if self.under_way >= self._settings.most:
            return
        client, asked = passage.peer, passage.asked
        peer = Peer(
            client.address,
            client.listener,
            client.secure,
            lambda _, head: client.lines(asked),
        )
        self.under_way += 1
        door = Copy(peer, self._clock, self._over)
        end = self._pool(self._settings.pool)
        end.open_exchange(door, passage.head, BodyStart(body))

    def _over(self) -> None:
        self.under_way -= 1


@implementer(IMiddlewareFactory)
class MirrorFactory:
    """Makes them."""

    name = "mirror"
    settings = Mirror

    def build(self, settings: Mirror, deps: Any) -> MirrorMiddleware:
        """See `domain.interfaces.IPluginFactory`."""
        return MirrorMiddleware(settings, deps.pool, deps.clock, deps.random)
