"""What a client's connection waits for, and what happens when that takes too long.

One deadline stands for all: that of the transport, of the streams, of a header block, of the next request, and of the
second step of a graceful end, whichever is first.

Imports: net, net.http2, net.sockets, wire. Used by: net.http2.server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from lolly_tx.net.deadlines import NEVER, PERIOD
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.ending import LINGER, OPEN, Ending
from lolly_tx.net.http2.heads import Heads
from lolly_tx.net.http2.shared import Http2Shared
from lolly_tx.net.http2.streams import Streams
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.transports import has_hung_up
from lolly_tx.wire.http2_errors import NO_ERROR

LOOK_SECONDS: Final = 2.0
"""How often a client is looked after that is not read."""


class Owner(Protocol):
    """The connection. `deadline`: see the module."""

    transport: Any
    deadline: float
    acceptor: Acceptor
    shared: Http2Shared
    now: Callable[[], float]

    def watch(self, due: float) -> None:
        """Something has to have happened then."""


class Watch:
    """Over the connection `owner`, whose parts the others are."""

    __slots__ = ("_backlog", "_ending", "_heads", "_owner", "_streams")

    def __init__(
        self,
        owner: Owner,
        streams: Streams,
        heads: Heads,
        ending: Ending,
        backlog: Backlog,
    ) -> None:
        self._owner = owner
        self._streams = streams
        self._heads = heads
        self._ending = ending
        self._backlog = backlog

    def set(self) -> None:
        """What is waited for has changed."""
        streams, owner = self._streams, self._owner
        if streams.open:
            owner.deadline = min([each.due for each in streams.open.values()])
            owner.watch(min(self._ending.due, self._heads.due))
            if streams.silent:
                self.look_after()
        else:
            self.rest()

    def rest(self) -> None:
        """The next request is waited for."""
        owner = self._owner
        idle = owner.now() + owner.acceptor.idle_seconds
        owner.deadline = min(idle, self._ending.due, self._heads.due)

    def writing(self) -> None:
        """The transport takes no more."""
        self._owner.watch(self._owner.now() + PERIOD)

    def look_after(self) -> None:
        """Nobody tells when a client is gone that has sent its last byte."""
        owner = self._owner
        gone = owner.shared.timeouts.gone
        started = all(each.started for each in self._streams.open.values())
        soon = LOOK_SECONDS if started or gone == NEVER else gone
        owner.watch(owner.now() + soon)

    def expired(self, now: float) -> None:
        """The time for something is over."""
        ending, streams, owner = self._ending, self._streams, self._owner
        if ending.state >= LINGER:
            ending.settle(now)
            return
        if (self._backlog.unread or streams.silent) and has_hung_up(owner.transport):
            ending.abort()
            return
        waits, stuck = self._backlog.look()
        if stuck:
            ending.abort()
        elif waits:
            owner.deadline = now + owner.shared.timeouts.write
        elif ending.due <= now:
            ending.go_finally()
            self._go_on()
        elif self._heads.due <= now:
            ending.broke(self._heads.late())
        elif not streams.open:
            ending.leave(NO_ERROR, b"idle")
        else:
            self._look_at_streams(now)
            self._go_on()

    def _go_on(self) -> None:
        if self._ending.state == OPEN:
            self.set()

    def _look_at_streams(self, now: float) -> None:
        streams = self._streams
        for stream in [*streams.open.values()]:
            if streams.silent and not stream.started:
                streams.drop(
                    stream, "client closed its side and there was no answer yet"
                )
            elif stream.due <= now:
                stream.expired(now)
