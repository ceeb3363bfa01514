"""The site of the admin endpoint: what a connection may send, and how long it may take, before anything is looked at.

Imports: Twisted. Used by: service.admin.endpoint, service.demo.

twisted.web keeps a body of any size, on disk from 100 kB on, before it asks a resource, and lets a client take for
ever as long as it sends something. Here a body is bounded whatever the path, a longer one gets 413, and a request has
to be complete `REQUEST_SECONDS` after the connection or the answer before it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.protocols.basic import LineReceiver
from twisted.web import http
from twisted.web.server import Request, Site

LARGEST_BODY = 64 << 10
"""Bytes. No other request to this endpoint needs any."""

LARGEST_SETTINGS = 1 << 20
"""Bytes of a configuration that is sent: some thousand targets."""

_SETTINGS = (b"/api/apply", b"/api/plan")

REQUEST_SECONDS = 30
"""From a connection, or the end of an answer, to the end of the next request."""

LINGER_SECONDS = 2
"""So long a refused body is read and thrown away: closed at once, the refusal might never arrive."""

_REASON = b'{"error": "the body is too long"}\n'
_TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_REASON), _REASON)


class AdminChannel(http.HTTPChannel):
    """A connection whose time does not begin anew with every byte."""

    def dataReceived(self, data: bytes) -> None:
        """Take it; the clock runs on."""
        LineReceiver.dataReceived(self, data)

    def timeoutConnection(self) -> None:
        """End the connection, without a line in the log for each."""
        transport: Any = self.transport
        transport.abortConnection()


class AdminRequest(Request):
    """A request whose body is small and in memory, or refused."""

    _refused = False
    _size = 0
    _most = LARGEST_BODY

    def gotLength(self, length: int | None) -> None:
        """The head is complete. `length`: of the body; None when it is chunked."""
        self.content = BytesIO()
        # The request's own path is set when all of it has come.
        path = getattr(self.channel, "_path", b"").partition(b"?")[0]
        self._most = LARGEST_SETTINGS if path in _SETTINGS else LARGEST_BODY
        if length is not None and length > self._most:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep `data`, or throw it away with the rest."""
        if self._refused:
            return
        self._size += len(data)
        if self._size > self._most:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, unless that has been done."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")  # no 100 after the answer
        self.channel.write(_TOO_LARGE)
        self.channel.setTimeout(LINGER_SECONDS)


class QuietSite(Site):
    """A Site without a line in the log for each probe, and for its start and stop."""

    noisy = False

    def log(self, request: http.Request) -> None:
        """Say nothing."""


class AdminSite(QuietSite):
    """A quiet site whose clients are bounded."""

    protocol = AdminChannel  # type: ignore[assignment]  # all that is asked of one is to be a channel
    requestFactory = AdminRequest
