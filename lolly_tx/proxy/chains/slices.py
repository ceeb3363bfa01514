"""A body that was given in one piece, on its way through filters slice by slice.

What a filter does to a body takes time, and the event loop serves others meanwhile: a filter that has done enough for
one turn holds its passage (`proxy.chains.passage.Passage.hold`), and the rest waits here.

Imports: domain, net. Used by: proxy.chains.innerdoor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.doors import DoorIn, RequestSink

SLICE_BYTES: Final = 65536
"""Passed on at once; a body that is not longer goes as it is."""


class Slices:
    """See the module; its door's exchange (`net.doors.RequestSink`) until the end. `door`: has the filters.

    `giver`: who gave the body, and is told how much of it the client has got. `over`: called when all is over.
    """

    __slots__ = ("_at", "_body", "_door", "_giver", "_paused", "_within", "over")

    def __init__(self, door: DoorIn, body: bytes, giver: RequestSink | None) -> None:
        self._body = memoryview(body)
        self._door = door
        self._giver = giver
        self.over: Callable[[ProxyError | None], None] | None = None
        self._at = 0
        self._paused = self._within = False

    def begin(self) -> None:
        """The head is on its way."""
        self._door.exchange = self
        self.resume_response()

    def pause_response(self) -> None:
        """No more for now."""
        self._paused = True

    def resume_response(self) -> None:
        """More, as far as it is wanted."""
        self._paused = False
        if self._within:
            return
        self._within = True
        body, door = self._body, self._door
        while self._at < len(body) and not self._paused:
            at = self._at
            self._at = at + SLICE_BYTES
            door.write(bytes(body[at : self._at]))
            if door.exchange is not self:  # it was cut off
                return
        self._within = False
        if self._at >= len(body) and not self._paused:
            door.finish()
            self._end()

    def _end(self, error: ProxyError | None = None) -> None:
        """The client gets no more of it."""
        self._at = len(self._body)
        self._within = True
        self.response_changed(self._door.status, self._door.sent)
        over, self.over, self._giver = self.over, None, None
        if over is not None:
            over(error)

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone."""
        self._end(error)

    def response_unwanted(self) -> None:
        """Nor does anybody else want the rest."""
        self._end()

    def response_changed(self, status: int, size: int) -> None:
        """The client has got so much of it."""
        if self._giver is not None:
            self._giver.response_changed(status, size)

    def request_data(self, data: bytes) -> None:
        """Nobody reads it."""

    def request_end(self, trailers: bytes) -> None:
        """As above."""

    def request_stalled(self) -> None:
        """As above."""
