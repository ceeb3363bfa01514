"""The streams of one client: which are open, and how each of them ends (RFC 9113 sections 5.1, 5.4.2 and 8.1).

    opened --answered, and all of the request is here--> closed
      +--reset by us, who may still be sent to--> cut      (`net.http2.closed`)
      +--reset by the client--> closed

Imports: domain, net.http2, wire, wire.http2. Used by: net.http2.ending,
net.http2.heads, net.http2.server, net.http2.watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lolly_tx.domain.errors import DownstreamError, DownstreamGone, ProxyError
from lolly_tx.net.http2.closed import ClosedStreams
from lolly_tx.net.http2.patience import Patience
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.stream import Stream, Table
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Http2Error,
)


class Owner(Protocol):
    """The connection."""

    now: Callable[[], float]

    def rests(self) -> None:
        """No stream is open any more."""


class Streams(Table):
    """See the module. `open`: those that are not closed, by number. `last`: the highest number so far.

    `silent`: the client has sent its last byte. `most_resets`: see `Patience`.
    """

    __slots__ = (
        "_owner",
        "_resets",
        "_sender",
        "closed",
        "last",
        "open",
        "silent",
    )

    def __init__(self, owner: Owner, sender: Sender, most_resets: int) -> None:
        self._owner = owner
        self._sender = sender
        self._resets = Patience(most_resets)
        self.open: dict[int, Stream] = {}
        self.closed = ClosedStreams()
        self.last = 0
        self.silent = False

    def check(self, kind: int, number: int) -> None:
        """Raise `Http2Error` for a stream that was never opened."""
        if number > self.last:
            what = f"{fr.kind_name(kind)} on an idle stream"
            raise Http2Error(PROTOCOL_ERROR, what)

    def check_cut(self, kind: int, number: int) -> None:
        """Raise it for one that is closed, unless what comes may have been on its way when we reset it."""
        self.check(kind, number)
        if not self.closed.is_cut(number):
            what = f"{fr.kind_name(kind)} on a closed stream"
            raise Http2Error(STREAM_CLOSED, what)

    def strain(self) -> None:
        """One more was reset, or has to be. Raises `Http2Error`."""
        if self._resets.strain(self._owner.now()):
            raise Http2Error(ENHANCE_YOUR_CALM, "too many streams reset")

    def forget(self, stream: Stream) -> None:
        """It is closed."""
        if self.open.pop(stream.id, None) is None:
            return
        stream.over = True
        stream.release()
        if stream.queued or stream.ending is not None:
            self._sender.drop(stream)
        if not self.open:
            self._owner.rests()

    def finished(self, stream: Stream) -> None:
        """Its answer is complete. Who goes on sending its request is told that nobody reads it (section 8.1)."""
        if stream.ended and not stream.queued:
            streams = self.open
            if streams.pop(stream.id, None) is not None and not streams:
                self._owner.rests()
            return
        if not stream.ended and not self.silent:
            if not stream.can_tunnel:
                stream.await_end()
                return
            self.closed.cut(stream.id)
            self._sender.send(fr.rst_stream(stream.id, NO_ERROR))
        self.forget(stream)

    def end_of_body(self, stream: Stream, trailers: bytes) -> None:
        """Its client has sent all of the request. Raises `Http2Error`."""
        stream.body_end(trailers)
        if stream.over:
            self.forget(stream)

    def reset(self, stream: Stream, code: int) -> None:
        """End it at once."""
        if self.open.get(stream.id) is stream:
            if not stream.ended:
                self.closed.cut(stream.id)
            self._sender.send(fr.rst_stream(stream.id, code))
            self.forget(stream)

    def cancel(self, stream: Stream, code: int, why: str) -> None:
        """The same, for what its client does not do."""
        self.reset(stream, code)
        stream.fail(DownstreamGone(why))

    def drop(self, stream: Stream, why: str) -> None:
        """Its client is not there any more, so nobody is told."""
        self.forget(stream)
        stream.fail(DownstreamGone(why))

    def was_reset(self, number: int) -> None:
        """The client has reset it. Raises `Http2Error`."""
        self.check(fr.RST_STREAM, number)
        self.closed.ended(number)
        stream = self.open.get(number)
        if stream is not None:
            answered = stream.over
            self.drop(stream, "client reset the stream")
            if not answered:
                self.strain()

    def broken(self, error: Http2Error) -> None:
        """The rules of one were broken (section 5.4.2). Raises `Http2Error` if that happens too often."""
        number = error.stream
        stream = self.open.get(number)
        self.strain()
        if stream is not None:
            self.reset(stream, error.code)
            stream.fail(DownstreamError(error.reason, 400))
        else:
            self._sender.send(fr.rst_stream(number, error.code))

    def fail_all(self, error: ProxyError) -> None:
        """None of them gets an answer any more."""
        streams, self.open = self.open, {}
        for stream in streams.values():
            stream.over = True
            self._sender.drop(stream)
            stream.fail(error)
