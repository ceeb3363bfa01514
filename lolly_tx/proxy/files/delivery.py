"""A body that is too large for memory: by sendfile(2) where the client's connection is plain, else in pieces.

    begin --one piece, plain socket--> FileRelay --> the end
          --else--> read a piece (a thread, unless the kernel has it) --> door.write --> ... --> the end
                    not while the client takes no more (pause_response)

A file that has become shorter than was promised, or cannot be read, ends the answer where it is: the client
sees that it is not complete.

Imports: domain, net, net.files, net.sockets, proxy.files, wire, Twisted. Used by:
proxy.files.answer.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import LENGTH
from lolly_tx.net.files.content import OpenFile
from lolly_tx.net.files.relay import FileRelay
from lolly_tx.net.sockets.splice import SINK_LOST, can_splice
from lolly_tx.net.sockets.standstill import Standstill
from lolly_tx.net.sockets.transports import BULK_BYTES
from lolly_tx.proxy.files.request import Book, FileRequest
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.wire.ranges import Part

Piece = bytes | Part
"""Bytes as they are, or a part of the file."""

TURN_BYTES = 8 * BULK_BYTES
"""Passed on in one turn of the event loop; then it is others' turn."""

DISK_SECONDS = 60.0
"""A disk that gives nothing for so long will not."""


class Delivery:
    """The body of one answer; its door's exchange meanwhile. `file` is its to release."""

    log = Logger()

    __slots__ = (
        "_asked",
        "_book",
        "_door",
        "_file",
        "_next_turn",
        "_paused",
        "_pieces",
        "_pumping",
        "_reading",
        "_relay",
        "_sent",
        "_status",
        "_supplies",
        "_watch",
        "deadline",
    )

    def __init__(
        self,
        supplies: FileSupplies,
        book: Book,
        asked: FileRequest,
        file: OpenFile,
        status: int,
    ) -> None:
        self._supplies = supplies
        self._book = book
        self._asked = asked
        self._door = door = asked.door
        self._file: OpenFile | None = file
        self._status = status
        self._pieces: deque[Piece] = deque()
        self._sent = 0
        self._relay: FileRelay | None = None
        self._watch: Standstill | None = None
        self._paused = self._reading = self._pumping = False
        self._next_turn: IDelayedCall | None = None
        self.deadline = NEVER
        door.exchange = self

    def begin(self, reason: bytes, fields: bytes, pieces: list[Piece]) -> None:
        """Send the head, and begin with the body."""
        door, file = self._door, self._file
        assert file is not None
        door.start(self._status, reason, fields, LENGTH)
        first = pieces[0]
        if len(pieces) == 1 and not isinstance(first, bytes):
            sink = door.response_sink()
            if sink is not None and can_splice(sink, sink):
                self._relay_to(sink, file, first)
                return
        self._pieces.extend(pieces)
        self._pump()

    # -- by the kernel

    def _relay_to(self, sink: Any, file: OpenFile, part: Part) -> None:
        start, stop = part
        self._relay = relay = FileRelay(
            file,
            start,
            stop - start,
            sink,
            on_done=self._relayed,
            on_error=self._relay_failed,
            patience=self._door.write_seconds,
        )
        relay.begin()
        if relay.active:
            now = self._supplies.now()
            self._watch = Standstill(relay, DISK_SECONDS, now)
            self.deadline = self._watch.next_look(now)
            self._supplies.deadlines.add(self)

    def expired(self, now: float) -> None:
        """It is time to look whether the relay moves."""
        watch = self._watch
        if watch is None:
            self.deadline = NEVER
        elif watch.left(now) > 0:
            self.deadline = watch.next_look(now)
        elif watch.by_source:
            self._cut("the disk gave no more of the file")
        else:
            self._cut("client took no more of the response")

    def _relayed(self) -> None:
        self._finish()

    def _relay_failed(self, reason: str) -> None:
        if (
            reason != SINK_LOST
        ):  # the door learns of its own connection's loss by itself
            self._cut("file has become shorter or cannot be read")

    # -- in pieces

    def _pump(self) -> None:
        """Pass pieces on until the client has had enough, the disk has to be waited for, or it is others' turn."""
        if self._pumping or self._reading or self._next_turn is not None:
            return
        self._pumping = True
        budget = TURN_BYTES
        while self._pieces and not self._paused and self._file is not None:
            if budget <= 0:
                self._next_turn = self._supplies.clock.callLater(0, self._go_on)
                break
            piece = self._pieces[0]
            if isinstance(piece, bytes):
                self._pieces.popleft()
                self._write(piece)
                continue
            start, stop = piece
            size = min(stop - start, BULK_BYTES)
            data = self._file.read_now(start, size)
            if data is None:
                self._reading = True
                self._file.read(start, size, self._arrived)
                break
            budget -= size
            self._take(data)
        self._pumping = False
        if not self._pieces and self._file is not None:
            self._finish()

    def _go_on(self) -> None:
        self._next_turn = None
        self._pump()

    def _arrived(self, data: bytes | None, error: Exception | None) -> None:
        """A thread has read a piece."""
        self._reading = False
        if self._file is None:
            return
        if data is None:
            self._cut("file cannot be read")
            return
        self._take(data)
        self._pump()

    def _take(self, data: bytes) -> None:
        """The next bytes of the part that is first."""
        start, stop = self._pieces[0]
        if not data:
            self._cut("file has become shorter")
            return
        start += len(data)
        if start == stop:
            self._pieces.popleft()
        else:
            self._pieces[0] = (start, stop)
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        self._door.write(data)

    # -- RequestSink

    def request_data(self, data: bytes) -> None:
        """What comes with the request says nothing here."""

    def request_end(self, trailers: bytes) -> None:
        """Nothing waits for it."""

    def request_stalled(self) -> None:
        """Nobody relays it."""

    def pause_response(self) -> None:
        """The client takes no more for now."""
        self._paused = True

    def resume_response(self) -> None:
        """It takes more; of a relay the transport tells that itself."""
        self._paused = False
        if self._relay is None and self._file is not None:
            self._pump()

    def response_changed(self, status: int, size: int) -> None:
        """The client gets something else than what was sent."""
        self._status = status
        if self._relay is None:
            self._sent = size

    def response_unwanted(self) -> None:
        """The rest is not wanted."""
        if self._release():
            self._tell("")

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""
        if self._release():
            self._tell(error.detail)

    # -- the end

    def _finish(self) -> None:
        if self._release():
            self._door.finish()
            self._tell("")

    def _cut(self, why: str) -> None:
        """End it so that the client sees that it is not complete."""
        if self._release():
            if "client" not in why:
                self.log.warn(
                    "answer for {target} cut: {why}",
                    target=self._asked.head.target.decode("ascii", "replace"),
                    why=why,
                )
            self._door.abort()
            self._tell(why)

    def _release(self) -> bool:
        """Let go of what was held; False the second time."""
        file, self._file = self._file, None
        if file is None:
            return False
        if self._relay is not None:
            self._relay.cancel()
            self._sent += self._relay.moved
            self._supplies.deadlines.discard(self)
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        self._pieces.clear()
        file.release()
        return True

    def _tell(self, why: str) -> None:
        relayed = self._relay is not None
        self._book.given(self._asked, self._status, self._sent, why, relayed)
