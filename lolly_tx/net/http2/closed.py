"""What a connection remembers of streams that are over (RFC 9113 sections 5.1 and 5.1.1).

Imports: nothing of ours. Used by: net.http2.client_streams, net.http2.streams.
"""

from __future__ import annotations

from typing import Final

REMEMBERED_RESETS: Final = 256
"""Streams that we have reset and the client may still send on: so many are known as such."""
REMEMBERED_GAPS: Final = 32
"""Numbers of streams that a client has left out, in runs: using one later is an error of another kind."""


class ClosedStreams:
    """The streams of one connection that are over. Bounded: the oldest are forgotten first.

    `forgotten`: up to this number nothing is known for sure, because one that was reset is not remembered any more.
    """

    __slots__ = ("_cut", "_gaps", "forgotten")

    def __init__(self) -> None:
        self.forgotten = 0
        self._cut: dict[int, None] = {}
        self._gaps: list[tuple[int, int]] = []

    def cut(self, number: int) -> None:
        """We have reset this one before its peer's end: what is on its way is to be ignored."""
        self._cut[number] = None
        if len(self._cut) > REMEMBERED_RESETS:
            oldest = next(iter(self._cut))
            del self._cut[oldest]
            self.forgotten = max(self.forgotten, oldest)

    def is_cut(self, number: int) -> bool:
        """Whether something may still come on it."""
        return number in self._cut

    def ended(self, number: int) -> None:
        """Its peer has sent its last frame."""
        self._cut.pop(number, None)

    def skip(self, first: int, last: int) -> None:
        """These were left out by the peer, which closes them (section 5.1.1)."""
        self._gaps.append((first, last))
        del self._gaps[:-REMEMBERED_GAPS]

    def was_skipped(self, number: int) -> bool:
        """Whether it never was open."""
        return any(first <= number <= last for first, last in self._gaps)
