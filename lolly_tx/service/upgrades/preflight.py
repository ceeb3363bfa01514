"""New code in a process of its own that is only tried, as its parent sees it.

Imports: Twisted. Used by: service.upgrades.upgrade.
"""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

MOST_SAID = 2000
"""Bytes of what a failed preflight said that are looked at."""


class Trial(ProcessProtocol):
    """A preflight, and what it says."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred(lambda _: self.kill())
        self._said = b""

    def connectionMade(self) -> None:
        """It has begun; there is nothing for it to read."""
        assert self.transport is not None
        self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Keep the end."""
        self._said = (self._said + data)[-MOST_SAID:]

    def last_line(self) -> str:
        """What it said last."""
        lines = self._said.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """It takes too long."""
        self._said = b"the new code was not ready in time"
        with suppress(Exception):  # it ends just now
            assert self.transport is not None
            self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        status = "in good order" if reason.check(ProcessDone) else str(reason.value)
        self.ended.callback(status)
