"""The heartbeat of a tunnel: who has been silent for a while is asked, and who does not answer is gone.

Anything that comes is a sign of life; only an answer to a PING shows that it is the program that lives, and not just
its kernel.

Imports: wire.http2. Used by: net.tunnels.session, net.tunnels.streams.
"""

from __future__ import annotations

from lolly_tx.wire.http2.frames import ping


class Heart:
    """`seconds`: of silence until the peer is asked; after two of them it is gone. `heard`: when anything last came.

    `round_trip`: seconds that its last answer took; None: there was none yet. `shortest`: of all its answers.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self.heard = now
        self.round_trip: float | None = None
        self.shortest: float | None = None
        self._asked: float | None = None
        self._count = 0

    def stopped(self, now: float) -> bool:
        """The peer is gone."""
        return now - self.heard >= 2 * self.seconds

    def ask(self, now: float) -> bytes:
        """A PING, if it is time for one; b"": it is not."""
        if now - self.heard < self.seconds:
            return b""
        return self.begin(now)

    def begin(self, now: float) -> bytes:
        """A PING, whenever that is: how long an answer takes is best seen before there is anything else to say."""
        self._count += 1
        self._asked = now
        return ping(self._count.to_bytes(8, "big"))

    def next_look(self, now: float) -> float:
        """When to ask, or to give up."""
        silent = now - self.heard
        return self.heard + (2 if silent >= self.seconds else 1) * self.seconds

    def answered(self, payload: bytes, now: float) -> None:
        """A PING was answered."""
        if self._asked is not None and payload == self._count.to_bytes(8, "big"):
            self.round_trip = max(0.0, now - self._asked)
            self._asked = None
            if self.shortest is None or self.round_trip < self.shortest:
                self.shortest = self.round_trip

    def stood_still(self, seconds: float, now: float) -> None:
        """Of this process: that is not the peer's silence."""
        self.heard = min(now, self.heard + seconds)
