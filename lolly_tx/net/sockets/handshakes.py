"""The TLS handshakes of a listener: how long one may take, and what became of them.

Imports: net, pyOpenSSL. Used by: net.sockets.credentials, net.sockets.tls, service.
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


class Handshakes:
    """`seconds`: what one may take; without `deadlines` nobody looks. `completed`, `failures` (by reason): counters."""

    def __init__(
        self, seconds: float = 0.0, deadlines: Deadlines | None = None
    ) -> None:
        self.seconds = seconds
        self.completed = 0
        self.failures: Counter[str] = Counter()
        self._deadlines = deadlines

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
