"""What has come of a request's body while the middleware before its end thinks.

Beyond `HELD_BYTES`, or what a middleware waits for, nothing more is read from the client.

Imports: net, proxy.chains. Used by: proxy.chains.passage.
"""

from __future__ import annotations

from lolly_tx.net.doors import BodyStart, DoorIn
from lolly_tx.proxy.chains.gathering import Gathering

HELD_BYTES = 65536
"""Of a request body, kept while middleware thinks."""


class KeptBody:
    """See the module. `start`: what came with the head. `size`: bytes of all. `gathering`: who waits for it."""

    __slots__ = ("_paused", "_pieces", "complete", "gathering", "size", "trailers")

    def __init__(self, start: BodyStart) -> None:
        self._pieces = [start.data] if start.data else []
        self._paused = False
        self.complete = start.complete
        self.gathering: Gathering | None = None
        self.size = len(start.data)
        self.trailers = start.trailers

    @property
    def empty(self) -> bool:
        """That was all, and it was nothing."""
        return self.complete and not self._pieces

    def add(self, data: bytes, door: DoorIn) -> None:
        """More has come, from `door`."""
        self._pieces.append(data)
        self.size += len(data)
        most, gathering = HELD_BYTES, self.gathering
        if gathering is not None:
            most = max(most, gathering.most)
            gathering.grown(self.size)
        if self.size > most and not self._paused:
            self._paused = True
            door.pause_request()

    def end(self, trailers: bytes) -> None:
        """It is complete; nobody has been asked to serve it yet."""
        self.trailers = trailers
        if self.gathering is not None:
            self.gathering.complete()

    def taken(self) -> bytes:
        """All that is kept; from now on there is nothing."""
        body, self._pieces = b"".join(self._pieces), []
        return body

    def read_on(self, door: DoorIn) -> None:
        """Somebody takes what follows."""
        if self._paused:
            self._paused = False
            door.resume_request()
