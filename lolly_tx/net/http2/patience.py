"""How much of what asks for nothing a peer may send: buckets that leak.

Imports: net.http2, wire, wire.http2. Used by: net.http2.
"""

from __future__ import annotations

from lolly_tx.net.http2.sending import Sender
from lolly_tx.wire.http2.frames import DATA, END_STREAM, kind_name
from lolly_tx.wire.http2_errors import ENHANCE_YOUR_CALM, Http2Error

EARNED = 2
"""What each frame that carries something makes up for: one update of each window it moves in."""
LEAK = 0.1
"""The part of the limit that is forgiven each second."""


class Patience:
    """Counts up to `most` at once, and on as `LEAK` of them are forgotten each second. `most` 0: for ever."""

    __slots__ = ("_since", "_worked", "count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0.0
        self._since = 0.0
        self._worked = 0

    def strain(self, now: float, worked: int = 0) -> bool:
        """One more at `now` (seconds, monotonic); whether it is too many. `worked`: frames so far that earn some."""
        self.count += 1
        if not self.most or self.count <= self.most:
            if self.count == 1:
                self._since = now
                self._worked = worked
            return False
        forgiven = (now - self._since) * self.most * LEAK
        forgiven += (worked - self._worked) * EARNED
        self._since = now
        self._worked = worked
        self.count = max(1.0, self.count - forgiven)
        return self.count > self.most


class OddFrames:
    """Those of a connection that ask for nothing, `most` at once. `worked`: frames that have brought something.

    What `sender` has sent earns some, too: windows are widened for it.
    """

    __slots__ = ("_patience", "_sender", "worked")

    def __init__(self, most: int, sender: Sender) -> None:
        self._patience = Patience(most)
        self._sender = sender
        self.worked = 0

    def strain(self, kind: int, now: float) -> None:
        """One more, of this `kind`. Raises `Http2Error`."""
        if self._patience.strain(now, self.worked + self._sender.frames):
            what = "empty DATA" if kind == DATA else kind_name(kind)
            said = f"too many frames that ask for nothing: {what}"
            raise Http2Error(ENHANCE_YOUR_CALM, said)

    def weigh(self, flags: int, data: bytes, size: int, now: float) -> None:
        """DATA with `flags`, `size` bytes with its padding. Raises `Http2Error` for too many that are mostly that."""
        if len(data) * 8 < size or not size:
            if not flags & END_STREAM:
                self.strain(DATA, now)
                return
        self.worked += 1
