"""Answers on their way from the cache to one client, as fast as it takes them.

    Sending            what they share: to the client's door they are the exchange
      FromMemory       a body that is there
      FromFetch        one that is on its way in
      shelf.FromShelf  one in a file

Imports: domain, net, proxy.caching. Used by: proxy.caching.ends, proxy.caching.fetch,
proxy.caching.shelf, proxy.caching.store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.doors import LENGTH, DoorIn
from lolly_tx.proxy.caching.choosing import Choice, whole_body

PIECE_BYTES = 65536
"""Written at once."""

ENDLESS = 1 << 62
"""The length of a body whose length nobody knows."""

Ended = Callable[[int, int], None]
"""Told of the status the client got, and how many body bytes, when that is over."""


class Sending:
    """See the module; `net.doors.RequestSink`. `choice`: what is sent. `with_body`: and not its head alone."""

    __slots__ = ("choice", "door", "ended", "over", "paused", "sent", "status")

    def __init__(self, door: DoorIn, choice: Choice, ended: Ended) -> None:
        self.door = door
        self.choice = choice
        self.ended = ended
        self.status = choice.status
        self.sent = 0
        self.paused = self.over = False

    def begin(self, framing: int = LENGTH) -> None:
        """Send the head, and go on with the body."""
        choice, door = self.choice, self.door
        door.exchange = self
        door.start(choice.status, choice.reason, choice.fields, framing)
        self.go_on()

    def go_on(self) -> None:
        """Send what may be sent now; called again and again, also when there is nothing."""
        raise NotImplementedError

    def stopped(self) -> None:
        """Nothing more is wanted."""

    def write(self, data: bytes) -> None:
        """Body bytes."""
        self.sent += len(data)
        self.door.write(data)

    def finish(self) -> None:
        """That was all."""
        if not self.over:
            self.over = True
            self.door.finish()
            self.ended(self.status, self.sent)

    def abort(self) -> None:
        """The rest cannot be had: let the client see that."""
        if not self.over:
            self.over = True
            self.door.abort()
            self.ended(self.status, self.sent)

    # -- RequestSink

    def request_data(self, data: bytes) -> None:
        """There was to be no body."""

    def request_end(self, trailers: bytes) -> None:
        """As above."""

    def request_stalled(self) -> None:
        """As above."""

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""
        self._leave()

    def response_changed(self, status: int, size: int) -> None:
        """A chain has made something else of it."""
        self.status, self.sent = status, size

    def response_unwanted(self) -> None:
        """It has made something of its own."""
        self._leave()

    def _leave(self) -> None:
        if not self.over:
            self.over = True
            self.stopped()
            self.ended(self.status, self.sent)

    def pause_response(self) -> None:
        """The client takes no more for now."""
        self.paused = True

    def resume_response(self) -> None:
        """It does again."""
        self.paused = False
        if not self.over:
            self.go_on()


class FromMemory(Sending):
    """Sends a body that is in memory, in pieces."""

    __slots__ = ("_at", "_body", "_within")

    def __init__(self, door: DoorIn, choice: Choice, body: bytes, ended: Ended) -> None:
        super().__init__(door, choice, ended)
        self._body = memoryview(whole_body(choice, body))
        self._at = 0
        self._within = False

    def go_on(self) -> None:
        """See `Sending`."""
        if self._within:  # the door has asked for more while it was given some
            return
        self._within = True
        body, size = self._body, len(self._body)
        while self._at < size and not (self.paused or self.over):
            at = self._at
            self._at = min(size, at + PIECE_BYTES)
            self.write(bytes(body[at : self._at]))
        self._within = False
        if self._at >= size and not self.over:
            self.finish()


class Coming(Protocol):
    """A body that comes in (`proxy.caching.fetch.Fetch`)."""

    whole: bool
    broken: bool

    def chunk(self, index: int) -> bytes | None:
        """Its piece of that number, from the first on; None: not yet, or never."""

    def read(self) -> None:
        """A piece was taken."""

    def left(self, reader: FromFetch) -> None:
        """No more is."""


class FromFetch(Sending):
    """Sends a part of a body while that comes in. `index`: the next piece that is wanted."""

    __slots__ = ("_at", "_fetch", "_within", "index")

    def __init__(
        self, door: DoorIn, choice: Choice, fetch: Coming, ended: Ended
    ) -> None:
        super().__init__(door, choice, ended)
        self._fetch = fetch
        self.index = 0
        self._at = 0
        self._within = False

    def go_on(self) -> None:
        """See `Sending`."""
        if self._within or self.over:
            return
        self._within = True
        fetch = self._fetch
        parts = self.choice.parts
        start, stop = parts[0] if parts else (0, 0)
        while not (self.paused or self.over or self._at >= stop):
            piece = fetch.chunk(self.index)
            if piece is None:
                break
            self.index += 1
            at = self._at
            self._at += len(piece)
            if at < start or self._at > stop:
                piece = piece[max(0, start - at) : stop - at]
            if piece:
                self.write(piece)
            fetch.read()
        self._within = False
        self._look_whether_over(stop)

    def _look_whether_over(self, stop: int) -> None:
        fetch = self._fetch
        if self.over:
            return
        if self._at >= stop or (fetch.whole and fetch.chunk(self.index) is None):
            fetch.left(self)
            self.finish()
        elif fetch.broken and fetch.chunk(self.index) is None:
            fetch.left(self)
            self.abort()

    def stopped(self) -> None:
        """See `Sending`."""
        self._fetch.left(self)
