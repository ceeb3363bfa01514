"""How long a relay has stood still, and so whether the side it waits for has had its time.

A relay waits for its source or for its sink, and each has a limit of its own. Whoever watches one looks at it
every `LOOK_SECONDS` at the latest: what moved, or a change of turns, starts the time anew. Bytes that leave the
kernel's queue for the sink's peer have moved, although the kernel may take no more of ours for long.

Imports: net.sockets. Used by: net.http1, proxy.files.
"""

from __future__ import annotations

from typing import Protocol

from lolly_tx.net.sockets.splice import SOURCE

LOOK_SECONDS = 2.0
"""The longest between two looks. Between them, nobody sees whose turn it was."""


class Moving(Protocol):
    """A relay, as far as it is watched: `moved` bytes, which side it is `waiting_for`, the sink's `patience`."""

    moved: int
    waiting_for: str
    patience: float

    @property
    def untaken(self) -> int:
        """Bytes that the sink's kernel has and its peer has not confirmed."""

    def cancel(self) -> object:
        """Stop, with no callback."""


class Standstill:
    """A watch on `relay` from `now` on (seconds, monotonic).

    `source_limit`: seconds the source may bring nothing; `relay.patience` is the sink's.
    """

    __slots__ = (
        "_limit",
        "_looked",
        "_moved",
        "_since",
        "_turn",
        "_untaken",
        "relay",
        "sink_seconds",
    )

    def __init__(self, relay: Moving, source_limit: float, now: float) -> None:
        self.relay = relay
        self._limit = source_limit
        self._moved = relay.moved
        self._turn = relay.waiting_for
        self._untaken = 0
        self._since = self._looked = now
        self.sink_seconds = 0.0
        """How long it has waited for its sink, as far as looks tell."""

    @property
    def by_source(self) -> bool:
        """It is the source that has to move."""
        return self.relay.waiting_for == SOURCE

    def left(self, now: float) -> float:
        """Seconds that whoever has to move still has; not more than 0 when they are over."""
        relay = self.relay
        turn = relay.waiting_for
        by_source = self.by_source
        untaken = 0 if by_source else relay.untaken
        if turn == self._turn and not by_source:
            self.sink_seconds += now - self._looked
        self._looked = now
        if (relay.moved, turn, untaken) != (self._moved, self._turn, self._untaken):
            self._moved, self._turn, self._untaken = relay.moved, turn, untaken
            self._since = now
        limit = self._limit if by_source else relay.patience
        return self._since + limit - now

    def restart(self, now: float) -> None:
        """Whoever has to move has had no reason to do so before."""
        self._since = now

    def next_look(self, now: float) -> float:
        """When to look again, while there is time left."""
        return now + min(self.left(now), LOOK_SECONDS)
