"""How the bodies of messages end: three readers of one shape (RFC 9112 section 6.3).

Whoever reads a body feeds one of them whatever the socket gave, and passes on what comes back, the body bytes in it.
All have, beside `feed`:

- `done`: the body is complete; `rest`: the bytes after it, then; `trailers`: its trailer section's lines;
- `appetite`: how many bytes to feed next, at most;
- `verbatim`: its bytes are those of the wire, so that a relay may take the reader's place; `left`: how many of them
  are to come then, None where only the sender knows.

Imports: wire. Used by: net.http1.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.wire.chunked import LARGE_MEAL, ChunkDecoder


class Counted:
    """A body of `left` bytes."""

    __slots__ = ("done", "left", "rest")

    verbatim = True
    trailers = b""
    appetite = LARGE_MEAL

    def __init__(self, left: int) -> None:
        self.left = left
        self.done = not left
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`."""
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        self.left = 0
        self.done = True
        if left:
            self.rest = data[left:]
            return data[:left]
        return data


class UntilClose:
    """A body that ends with its connection."""

    __slots__ = ()

    verbatim = True
    done = False
    left: int | None = None
    rest = b""
    trailers = b""
    appetite = LARGE_MEAL

    def feed(self, data: bytes) -> bytes:
        """All of it is body."""
        return data


UNTIL_CLOSE: Final = UntilClose()
"""It keeps nothing, so one does for all."""

BodyReader = ChunkDecoder | Counted | UntilClose
