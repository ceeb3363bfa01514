"""The TLS handshakes of a listener: how many may begin, how long one may take, and what became of them.

Imports: net, pyOpenSSL. Used by: net.sockets.credentials, net.sockets.tls, service,
service.certificates.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from OpenSSL import SSL

from lolly_tx.net.deadlines import Deadlines, Watched

KNOWN = {
    "http request": "not_tls",
    "https proxy request": "not_tls",
    "wrong version number": "not_tls",
    "unsupported protocol": "version",
    "version too low": "version",
    "no protocols available": "version",
    "no shared cipher": "cipher",
    "no suitable signature algorithm": "cipher",
    "no suitable groups": "cipher",
    "peer did not return a certificate": "no_client_certificate",
    "certificate verify failed": "client_certificate",
}
"""OpenSSL's words, by what is counted. What the client says of us, in an alert, is "alert"; the rest is "malformed"."""


def reason_of(error: SSL.Error) -> str:
    """The word under which a failed handshake is counted."""
    if isinstance(error, SSL.SysCallError) or not (error.args and error.args[0]):
        return "client_left"
    said = [str(entry[-1]) for entry in error.args[0]]
    for one in said:
        if one in KNOWN:
            return KNOWN[one]
    if any("alert" in one for one in said):
        return "alert"
    return "client_left" if "unexpected eof while reading" in said else "malformed"


SLACK_SECONDS = 1e-6
"""What sums of parts of a second are wrong by at most: so long ahead is not ahead."""


class Rate:
    """Allows `most` at once, and as many again in each second.

    As one number: the time until which what was allowed so far fills a steady flow.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._filled_until = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more may begin at `now` (seconds, monotonic); if so, it counts."""
        filled_until = max(self._filled_until, now) + 1.0 / self.most
        if filled_until - now > 1.0 + SLACK_SECONDS:
            return False
        self._filled_until = filled_until
        return True


class Handshakes:
    """`seconds`: what one may take. `rate`: how many may begin at once, and in each second; 0 = no limit.

    Without `deadlines` nobody looks. `completed`, `failures` (by reason): counters.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        deadlines: Deadlines | None = None,
        rate: int = 0,
    ) -> None:
        self.seconds = seconds
        self.completed = 0
        self.failures: Counter[str] = Counter()
        self._deadlines = deadlines
        self._rate = Rate(rate) if rate else None

    def allowed(self) -> bool:
        """Whether one more may begin; one that may not is counted as "rate"."""
        rate, deadlines = self._rate, self._deadlines
        if rate is None or deadlines is None or rate.allows(deadlines.now()):
            return True
        self.failures["rate"] += 1
        return False

    def follow(self, other: Handshakes) -> None:
        """Count on from where `other` is."""
        self.completed += other.completed
        self.failures.update(other.failures)

    def begin(self, connection: Any) -> None:
        """A client has connected. `connection`: `Watched`."""
        deadlines = self._deadlines
        if deadlines is not None:
            connection.deadline = deadlines.now() + self.seconds
            deadlines.add(connection)

    def done(self, connection: Watched) -> None:
        """Its handshake is complete."""
        self.completed += 1
        self._forget(connection)

    def failed(self, connection: Watched, reason: str) -> None:
        """It is not going to be."""
        self.failures[reason] += 1
        self._forget(connection)

    def left(self, connection: Watched) -> None:
        """The connection has ended before; what failed is counted already."""
        self._forget(connection)

    def _forget(self, connection: Watched) -> None:
        if self._deadlines is not None:
            self._deadlines.discard(connection)
