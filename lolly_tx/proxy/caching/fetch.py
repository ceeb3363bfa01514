"""One request to a target, whose answer goes to all that wait for it, and into the store.

    door of a client --.                                   .--> Stored
    door of a client ---+-- wait --> Fetch (a door) --------+--> Reader --> door of a client
    door of a client --'            exchange, middlewares    '--> FromFetch --> door of a client

It is the client of the exchange, so that none of those who wait can hold up the others: what is to be stored is
read as fast as it comes, however slowly anybody takes it, and whoever asked first may leave. What is not to be stored
goes to the one that asked, as fast as that takes it; the others are told to ask for themselves.

Imports: domain, domain.caching, net, proxy.caching, wire, Twisted. Used by:
proxy.caching.desk, proxy.caching.ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from lolly_tx.domain.caching.catalog import Names, Select
from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.domain.native import slots_beside
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import NO_BODY, DoorIn, Peer, RequestSink
from lolly_tx.proxy.caching.sending import ENDLESS, FromFetch
from lolly_tx.wire.fields import ResponseBlock
from lolly_tx.wire.message import RequestHead

HIGH_BYTES = 262144
"""So much of what is not stored waits for a slow reader; then the target is read no further."""

_ENOUGH_BYTES = 1 << 20
"""Of an answer that nobody wants so much is read, to keep the connection; beyond that it is cut."""


class Judge(Protocol):
    """Who decides what becomes of an answer (`proxy.caching.desk`)."""

    def answered(self, fetch: Fetch) -> None:
        """The head is there: `status`, `reason`, `block`. Calls `store` or `ignore`, or neither, and `release`."""

    def more(self, fetch: Fetch) -> None:
        """A piece of what is to be stored is there; it may be too much now: `stop_storing`."""

    def complete(self, fetch: Fetch, body: bytes) -> None:
        """All that was to be stored is there."""

    def failed(self, fetch: Fetch) -> None:
        """There will be no answer, or not all of it."""


class Waiting:
    """Who waits for the head of an answer. `select`: of its request. `first`: the one that it is fetched for."""

    __slots__ = ("deferred", "first", "select")

    def __init__(
        self, select: Select, first: bool, left: Callable[[Waiting], None]
    ) -> None:
        self.select = select
        self.first = first
        self.deferred: Deferred[Fetch | None] = Deferred(lambda _: left(self))


class Fetch(DoorIn):
    """See the module. `peer`: who is told to the target as the client.

    `asked_for`: what its judge knows of the request. `instead`: what that gives to clients in place of the answer.
    `verdict`: a word for the access log. `got`: the status and the body bytes that the first has got. `fields`,
    `block`: those of the answer. `length`: of its body, None if nobody knows. `storing`: it goes to the store.
    `ignoring`: nobody is to have it. `background`: nobody waits. `whole`, `broken`: how it ended. `vary`,
    `selecting`: what the answer depends on; None before its head.
    """

    __slots__ = slots_beside(
        DoorIn,
        "_base",
        "_chunks",
        "_first",
        "_held",
        "_judge",
        "_paused",
        "_readers",
        "_released",
        "_waiting",
        "background",
        "asked",
        "asked_for",
        "block",
        "broken",
        "fields",
        "got",
        "head_at",
        "identity",
        "instead",
        "head_seen",
        "ignoring",
        "length",
        "on_held",
        "reason",
        "selecting",
        "started",
        "status",
        "storing",
        "total",
        "vary",
        "verdict",
        "whole",
    )

    write_seconds = NEVER  # we are always ready to read, or have paused ourselves

    exchange: RequestSink | None

    def __init__(
        self,
        peer: Peer,
        judge: Judge,
        asked_for: Any,
        started: float,
        on_held: Callable[[int], None],
    ) -> None:
        """`started`: seconds, monotonic. `on_held`: told how many more bytes are held for the store."""
        self.peer = peer
        self.asked: RequestHead | None = None
        self.identity: Any = None
        self.asked_for = asked_for
        self.fields = b""
        self.instead: Any = None
        self.got: tuple[int, int] | None = None
        self.head_at = started
        self.verdict = ""
        self.exchange = None
        self.started = started
        self.on_held = on_held
        self.status = 0
        self.reason = b""
        self.block: ResponseBlock | None = None
        self.length: int | None = None
        self.vary: Names | None = None
        self.selecting: Names | None = None
        self.background = False
        self.head_seen = self.storing = self.ignoring = self.whole = self.broken = False
        self.total = 0
        self._judge = judge
        self._waiting: list[Waiting] = []
        self._readers: list[FromFetch] = []
        self._chunks: list[bytes] = []
        self._first: FromFetch | None = None
        self._base = 0
        self._held = 0
        self._paused = False

    @property
    def over(self) -> bool:
        """Nothing more is to come."""
        return self.whole or self.broken

    # -- who waits, and who reads

    def wait(self, select: Select, first: bool = False) -> Deferred[Fetch | None]:
        """Fires when it is known what becomes of the answer: with this, to be read, or None: look again."""
        waiting = Waiting(select, first, self._left)
        self._waiting.append(waiting)
        return waiting.deferred

    def _left(self, waiting: Waiting) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            self._look_whether_wanted()

    def release(self, suits: Callable[[Waiting], bool]) -> None:
        """Tell all that wait: those whom the answer `suits` get it."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.deferred.callback(self if suits(one) else None)

    def read_by(self, reader: FromFetch, first: bool) -> None:
        """One more reads it, from the first byte; only while `storing`, unless it is the first that asked."""
        self._readers.append(reader)
        if first:
            self._first = reader

    def left(self, reader: FromFetch) -> None:
        """It wants no more."""
        if reader in self._readers:
            self._readers.remove(reader)
            self._trim()
            self._look_whether_wanted()

    def _look_whether_wanted(self) -> None:
        """Nobody may be there any more who wants it."""
        if self._waiting or self._readers or self.storing or self.background:
            return
        if self.over or self.ignoring or self.total == self.length:
            return
        self.cut("nobody waits for it")

    # -- what becomes of it

    def store(self) -> None:
        """Keep all of the body."""
        self.storing = True

    def ignore(self) -> None:
        """Nobody is to have it."""
        self.ignoring = True

    def stop_storing(self) -> None:
        """It is too long: from now on only readers hold it."""
        self.storing = False
        self._hold(-self._held)
        self._trim()
        self._look_whether_wanted()

    def chunk(self, index: int) -> bytes | None:
        """The body's piece of that number; None: it has not come yet."""
        at = index - self._base
        return self._chunks[at] if at < len(self._chunks) else None

    def _hold(self, count: int) -> None:
        self._held += count
        self.on_held(count)

    def _trim(self) -> None:
        """Forget pieces that everybody has read, where they are not stored, and stop or go on reading."""
        if self.storing or self.whole or self.broken:
            return
        first = min(
            (one.index for one in self._readers),
            default=self._base + len(self._chunks),
        )
        del self._chunks[: first - self._base]
        self._base = max(self._base, first)
        behind = sum(map(len, self._chunks))
        exchange = self.exchange
        if exchange is None:
            return
        if behind > HIGH_BYTES and not self._paused:
            self._paused = True
            exchange.pause_response()
        elif self._paused and behind <= HIGH_BYTES // 2:
            self._paused = False
            exchange.resume_response()

    def read(self) -> None:
        """A reader has read a piece."""
        if not self.storing:
            self._trim()

    # -- DoorIn: what the exchange tells

    def last(self) -> None:
        """There is no connection that could end."""

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """The head of the answer."""
        self.status, self.reason, self.fields = status, reason, fields
        self.block = block = ResponseBlock(fields)
        self.length = 0 if framing == NO_BODY else block.length
        self.head_seen = True
        self._judge.answered(self)
        self._look_whether_wanted()

    def write(self, data: bytes) -> None:
        """More of the body."""
        if self.broken:
            return
        self.total += len(data)
        if self.ignoring:
            if self.total > _ENOUGH_BYTES:
                self.cut("of no use")
            return
        self._chunks.append(data)
        if self.storing:
            self._hold(len(data))
            self._judge.more(self)
        for reader in tuple(self._readers):
            reader.go_on()
        if not self.storing:
            self._trim()

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The answer is complete."""
        if last:
            self.write(last)
        if self.broken:
            return
        if self.length is not None and self.total != self.length:
            self.exchange = None
            self._break()  # it would stay
            return
        self.whole = True
        if self.storing:
            self._judge.complete(self, b"".join(self._chunks))
            self._hold(-self._held)
        for reader in tuple(self._readers):
            reader.go_on()
        self._tell_what_was_got()
        self.exchange = None

    def _tell_what_was_got(self) -> None:
        """The line that the exchange leaves in the access log stands for the client that it was fetched for."""
        got, first, exchange = self.got, self._first, self.exchange
        if got is None and first is not None and first.choice.size < ENDLESS:
            got = first.status, first.choice.size
        if got is not None and exchange is not None:
            exchange.response_changed(*got)

    def abort(self, code: int = 0) -> None:
        """The answer is not complete, and will not be."""
        self.exchange = None
        self._break()

    def _break(self) -> None:
        self.broken = True
        self.storing = False
        self._hold(-self._held)
        self._judge.failed(self)
        self.release(lambda _: False)
        for reader in tuple(self._readers):
            reader.go_on()

    def cut(self, why: str) -> None:
        """Nobody wants the rest."""
        exchange = self.exchange
        if exchange is not None:
            self._tell_what_was_got()
            self.exchange = None
            if self.ignoring:
                exchange.response_unwanted()
            else:
                exchange.downstream_failed(DownstreamGone(why))
        self._break()
