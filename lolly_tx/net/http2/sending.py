"""What an HTTP/2 connection sends: gathered while a turn lasts, then written in one go.

    answers, acknowledgements --> out -----------------------------+
    bodies --> queue of their stream --by urgency, in turn--> out --+--> transport.write, once a turn

Bodies leave as far as the windows allow, one frame of each stream at a time within an urgency (RFC 9218 section 10). A
stream whose client gave no priority, or said that it is of use in parts, takes part in the round; of the others only
the oldest does. What cannot leave waits at its stream, and the exchange is told to wait, too.

Imports: net, wire.http2. Used by: net.http2, net.tunnels.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Protocol

from lolly_tx.net.turn import Turn
from lolly_tx.wire.http2.flow import FIRST_WINDOW
from lolly_tx.wire.http2.frames import (
    DATA,
    END_STREAM,
    frame_header,
    headers,
    whole_answer,
)
from lolly_tx.wire.http2.settings import PeerSettings

STREAM_BYTES: Final = 131072
"""Of a body that wait at their stream before its target is not read any more."""
TURN_BYTES: Final = 524288
"""Of bodies that a connection sends in a turn; then others have theirs."""
OUT_BYTES: Final = 65536
"""Of frames without flow control that wait for a client that takes nothing, before it is not read any more."""
SMALL_BYTES: Final = 8
"""Of a message: who streams small ones widens windows for each, however many of them share a frame. A frame with less,
because the peer's window has no room for more, makes up for nothing: one widened bytewise would pay for itself."""
FRAME_BYTES: Final = 16375
"""The largest DATA we send: with its header it fills a TLS record. Larger ones hold up what is more urgent."""


class Outlet(Protocol):
    """A stream's side of sending: what waits, and what may be sent.

    `window`: bytes, may be negative. `ending`: None while there is more to come, then the block of trailers, b"" for
    none. `over`: its last frame is in `Sender.out`. `paused`: its exchange was told to wait.
    """

    id: int
    window: int
    ending: bytes | None
    over: bool
    urgency: int
    incremental: bool
    paused: bool
    queue: deque[bytes | memoryview]
    queued: int

    def sent_all(self) -> None:
        """Its last frame is with the transport."""

    def stalled(self, yes: bool) -> None:
        """Whether its body waits for a window."""

    def relieved(self) -> None:
        """There is room for more of its body."""


class Owner(Protocol):
    """The connection."""

    transport: Any

    def overfull(self) -> None:
        """Too much waits in `Sender.out`: read no more from the client."""


class Sender:
    """The sending side of `owner`. `peer`: its settings. `window`: of the connection. `full`: the socket takes no more.

    `frames`: DATA sent so far, as if it had come in small pieces.
    """

    __slots__ = (
        "_asked",
        "_owner",
        "_turn",
        "buffered",
        "closed",
        "frames",
        "full",
        "most_buffered",
        "out",
        "out_bytes",
        "peer",
        "waiting",
        "window",
    )

    def __init__(
        self, owner: Owner, peer: PeerSettings, turn: Turn, most_buffered: int
    ) -> None:
        self._owner = owner
        self._turn = turn
        self.peer = peer
        self.most_buffered = most_buffered
        self.window = FIRST_WINDOW
        self.out: list[bytes | memoryview] = []
        self.out_bytes = self.buffered = self.frames = 0
        self.waiting: dict[int, Outlet] = {}
        self.full = self.closed = self._asked = False

    # -- what is to be sent

    def send(self, data: bytes) -> None:
        """Whole frames without flow control."""
        self.out.append(data)
        if not self._asked:
            self._asked = True
            self._turn.ask(self)
        if self.full:
            self.out_bytes += len(data)
            if self.out_bytes > OUT_BYTES:
                self._owner.overfull()

    def send_whole(self, number: int, window: int, block: bytes, body: bytes) -> bool:
        """A whole answer at once on a stream with this `window`, if that, ours and the client allow; whether so."""
        size, many = len(body), len(block)
        if (
            size > FRAME_BYTES
            or size > self.window
            or size > window
            or self.full
            or many > FRAME_BYTES
        ):
            return False
        self.window -= size
        self.frames += 1
        self.out.append(whole_answer(number, block, body))
        if not self._asked:
            self._asked = True
            self._turn.ask(self)
        return True

    def send_head(self, stream: Outlet, block: bytes, end: bool) -> None:
        """A header block."""
        self.send(headers(stream.id, block, end, self.peer.frame_bytes))

    def add(self, stream: Outlet, data: bytes | memoryview) -> bool:
        """Bytes of a body; whether there is room for more."""
        stream.queue.append(data)
        size = len(data)
        stream.queued += size
        self.buffered += size
        self.wait(stream)
        return (
            not self.full
            and stream.queued <= STREAM_BYTES
            and self.buffered <= self.most_buffered
        )

    def wait(self, stream: Outlet) -> None:
        """Something of `stream` can be sent, or its end."""
        self.waiting[stream.id] = stream
        if not self._asked:
            self._asked = True
            self._turn.ask(self)

    def unblock(self) -> None:
        """The connection's window is wider."""
        if self.waiting:
            for stream in self.waiting.values():
                stream.stalled(False)
            if not self._asked:
                self._asked = True
                self._turn.ask(self)

    def drop(self, stream: Outlet) -> None:
        """Nothing more of `stream` is sent."""
        self.waiting.pop(stream.id, None)
        self.buffered -= stream.queued
        stream.queued = 0
        stream.queue.clear()

    # -- sending

    def flush(self) -> None:
        """Write what has come together, and of the bodies what may leave."""
        self._asked = False
        if self.closed:
            self.out.clear()
            return
        if self.full:
            return  # until the transport says that it is not
        relieved: list[Outlet] = []
        ended: list[Outlet] = []
        if self.waiting:
            self._fill(relieved, ended)
        out = self.out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            self.out_bytes = 0
            self._owner.transport.write(bytes(data))
        for stream in ended:
            stream.sent_all()
        for stream in relieved:
            if stream.paused and not self.full:
                stream.relieved()
        if self.waiting and not self.full and not self._asked:
            if self.window > 0:
                self._asked = True
                self._turn.ask(self)
            else:
                for stream in self.waiting.values():
                    stream.stalled(True)

    def _fill(self, relieved: list[Outlet], ended: list[Outlet]) -> None:
        """Move frames of bodies to `out`, in turn."""
        budget = TURN_BYTES
        waiting = self.waiting
        while waiting and budget > 0:
            progress = False
            frames = FRAME_BYTES if len(waiting) > 1 else budget
            for stream in self._round():
                if stream.queued:
                    most = min(frames, stream.window, self.window)
                    if most <= 0:
                        if stream.window <= 0:
                            del waiting[stream.id]
                            stream.stalled(True)
                            progress = True  # it is somebody else's turn
                        continue
                    budget -= self._send_data(stream, most)
                    progress = True
                    stream.stalled(False)
                    if stream.queued <= STREAM_BYTES // 2:
                        relieved.append(stream)
                if stream.queued:
                    waiting[stream.id] = waiting.pop(stream.id)  # to the end of the row
                else:
                    del waiting[stream.id]
                    if stream.ending is not None:
                        self._end(stream, stream.ending)
                        progress = True
                    if stream.over:
                        ended.append(stream)
                if budget <= 0:
                    return
            if not progress:
                return

    def _round(self) -> list[Outlet]:
        """The streams whose turn it is: of the most urgent ones, all that share and the first that does not."""
        streams = [*self.waiting.values()]
        if len(streams) == 1:
            return streams
        if self.window <= 0:
            return [each for each in streams if not each.queued]
        urgency = min([each.urgency for each in streams])
        found = [each for each in streams if each.urgency == urgency]
        alone = [each.id for each in found if not each.incremental]
        if len(alone) > 1:
            first = min(alone)
            found = [each for each in found if each.incremental or each.id == first]
        return found

    def _send_data(self, stream: Outlet, most: int) -> int:
        """Frames of up to `most` bytes; how many that were."""
        queue, out = stream.queue, self.out
        queued = stream.queued
        narrow = most < queued and most < SMALL_BYTES
        most = min(most, queued)
        ends = stream.ending == b""
        sent = flags = 0
        while sent < most:
            size = min(FRAME_BYTES, most - sent)
            sent += size
            if ends and sent == queued:
                flags = END_STREAM
            out.append(frame_header(size >> 8, size & 255, DATA, flags, stream.id))
            while size:
                piece = queue[0]
                if len(piece) <= size:
                    queue.popleft()
                    size -= len(piece)
                else:
                    view = memoryview(piece)
                    piece, queue[0] = view[:size], view[size:]
                    size = 0
                out.append(piece)
        stream.queued -= sent
        stream.window -= sent
        self.buffered -= sent
        self.window -= sent
        if not narrow:
            self.frames += (sent - 1) // FRAME_BYTES + 1 + sent // SMALL_BYTES
        if flags:
            stream.ending = None
            stream.over = True
        return sent

    def _end(self, stream: Outlet, block: bytes) -> None:
        """The end of a body that did not come with its last bytes."""
        stream.ending = None
        stream.over = True
        if block:
            self.out.append(headers(stream.id, block, True, self.peer.frame_bytes))
        else:
            self.out.append(frame_header(0, 0, DATA, END_STREAM, stream.id))
