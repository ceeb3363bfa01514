"""The streams of a connection to a target: which are taken, which are open, and how each of them ends.

    take --begun: its head is sent--> open --closed, reset, refused--> freed

Imports: domain, net.http1, net.http2, wire, wire.http2, Twisted. Used by:
net.http2.answers, net.http2.client, net.http2.client_ending, net.http2.client_watch.
"""

from __future__ import annotations

from typing import Protocol

from twisted.python.failure import Failure

from lolly_tx.domain.errors import (
    ConnectionReset,
    Http1Required,
    NotProcessed,
    ProxyError,
)
from lolly_tx.net.http1 import losses
from lolly_tx.net.http2.closed import ClosedStreams
from lolly_tx.net.http2.request import ClientStream, Line
from lolly_tx.net.http2.sending import Sender
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import (
    HTTP_1_1_REQUIRED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Http2Error,
    name_of,
)


class Owner(Line, Protocol):
    """The connection: what its streams ask of it, and a bit more."""

    def works(self) -> None:
        """A first stream is open, or the last one that there can be."""

    def freed(self) -> None:
        """A stream has ended."""


class ClientStreams:
    """See the module. `open`: those that have sent their head and are not closed, by number.

    `taken`: those, and the ones that have sent none yet. `served`: taken so far.
    """

    __slots__ = (
        "_closed",
        "_most",
        "_next",
        "_owner",
        "_sender",
        "open",
        "served",
        "taken",
    )

    def __init__(self, owner: Owner, sender: Sender) -> None:
        self._owner = owner
        self._sender = sender
        self.open: dict[int, ClientStream] = {}
        self.taken = self.served = 0
        self._closed = ClosedStreams()
        self._next = 1
        self._most = fr.MOST_STREAM

    @property
    def room(self) -> int:
        """Streams that may be taken, if the target is to take more at all."""
        return min(self._sender.peer.streams, self._most) - self.taken

    @property
    def used_up(self) -> bool:
        """There are no more numbers."""
        return self._next > fr.MOST_STREAM

    def take(self) -> ClientStream:
        """One for an exchange."""
        self.taken += 1
        self.served += 1
        return ClientStream(self._owner)

    def begun(self, stream: ClientStream) -> None:
        """It sends its head now: number it."""
        owner = self._owner
        stream.id = number = self._next
        self._next = number + 2
        stream.window = self._sender.peer.window
        stream.heard_before = owner.heard
        stream.first = self.served == 1
        self.open[number] = stream
        if len(self.open) == 1 or number + 2 > fr.MOST_STREAM:
            owner.works()

    def check(self, kind: int, number: int) -> None:
        """Raise `Http2Error` for a stream that nobody has opened."""
        if not number & 1 or number >= self._next:
            what = f"{fr.kind_name(kind)} on an idle stream"
            raise Http2Error(PROTOCOL_ERROR, what)

    def check_cut(self, kind: int, number: int) -> None:
        """Raise it for one that its target has ended, or reset: what comes was not on its way when we did."""
        closed = self._closed
        if number > closed.forgotten and not closed.is_cut(number):
            what = f"{fr.kind_name(kind)} on a closed stream"
            raise Http2Error(STREAM_CLOSED, what)

    def ended(self, number: int) -> None:
        """A stream that we have reset is over for its target, too."""
        self._closed.ended(number)

    def closed(self, stream: ClientStream) -> None:
        """It has ended on both sides, or was never begun."""
        if stream.id:
            self.forget(stream)
        else:
            self._free()

    def forget(self, stream: ClientStream) -> None:
        """It is closed."""
        if self.open.pop(stream.id, None) is None:
            return
        stream.ended = stream.over = True
        self._sender.drop(stream)
        self._free()

    def _free(self) -> None:
        self.taken -= 1
        self._owner.freed()

    def reset(self, stream: ClientStream, code: int) -> None:
        """End it at once."""
        if self.open.get(stream.id) is stream:
            if not stream.ended:
                self._closed.cut(stream.id)
            self._sender.send(fr.rst_stream(stream.id, code))
            self.forget(stream)

    def was_reset(self, number: int, code: int) -> None:
        """The target has done so. Raises `Http2Error`."""
        self.check(fr.RST_STREAM, number)
        self._closed.ended(number)
        stream = self.open.get(number)
        if stream is None:
            return
        error: ProxyError
        if code == REFUSED_STREAM and stream.head is None:
            error = NotProcessed("stream refused by the target")
            self._most = max(1, self.taken - 1)
        elif code == HTTP_1_1_REQUIRED and stream.head is None:
            error = Http1Required("the target wants HTTP/1.1 for it")
        else:
            said = "within" if stream.head is not None else "before"
            error = ConnectionReset(
                f"stream reset {said} the response: {name_of(code)}"
            )
            error.code = code
        self.forget(stream)
        stream.fail(error)

    def not_processed(self, last: int, code: int) -> None:
        """The target goes away, and has not looked at those after `last`."""
        for number, stream in [*self.open.items()]:
            if number > last:
                self._closed.cut(number)
                self.forget(stream)
                stream.fail(NotProcessed(f"the target goes away: {name_of(code)}"))

    def fail_all(self, error: ProxyError | None, reason: Failure | None = None) -> None:
        """No stream gets an answer any more. No `error`: the connection was lost, maybe for a `reason`."""
        streams, self.open = self.open, {}
        self.taken -= len(streams)
        for stream in streams.values():
            stream.ended = stream.over = True
            self._sender.drop(stream)
            stream.fail(error or self._loss_of(stream, reason))

    def _loss_of(self, stream: ClientStream, reason: Failure | None) -> ProxyError:
        """What the end of the connection means for a stream."""
        begun = stream.head is not None
        # If nothing came since it began, most likely the target was closing an idle connection.
        stale = not stream.first and stream.heard_before == self._owner.heard
        if reason is None:
            return losses.cut_short(begun, stale)
        return losses.lost(reason, begun, stale)
