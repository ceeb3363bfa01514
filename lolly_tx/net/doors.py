"""What stands on either side of an exchange, as types.

    door in  --- request_data, request_end, downstream_failed --->  exchange
    door in  <-- start, write, finish, abort, interim -------------  exchange
    exchange --- send, write, finish, cancel ------------------>  door out
    exchange <-- response_head, response_data, response_end, upstream_failed --  door out

Both ways there are plain calls, never a Deferred. `pause_*` and `resume_*` carry
back-pressure: who cannot take more pauses the other side's reading.

May import: wire, domain.errors. Used by: net.downstream, net.upstream, proxy.
"""

from __future__ import annotations

from typing import Any, Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.wire.http1 import RequestHead, ResponseHead

# How the body of a response ends.
NO_BODY = 0
"""There is none: HEAD, 204, 304."""
LENGTH = 1
"""After Content-Length bytes, and the fields say so."""
STREAM = 2
"""When the sender says so: the door frames it (chunked)."""
CLOSE = 3
"""With the connection. Cheapest for the kernel to relay, ends keep-alive."""


class DoorIn(Protocol):
    """The client's side of an exchange."""

    client: str
    """The peer's address, "" for a UNIX socket."""
    secure: bool
    """The client's connection is encrypted."""

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response. `fields`: CRLF, then lines that each end with CRLF."""

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response."""

    def write(self, data: bytes) -> None:
        """Pass on body bytes, not empty."""

    def finish(self, trailers: bytes = b"") -> None:
        """End the response; the exchange is over for the door."""

    def abort(self) -> None:
        """End the response so that the client sees it is not complete."""

    def pause_request(self) -> None:
        """Read no more of the request's body for now."""

    def resume_request(self) -> None:
        """Read on."""

    def forwarding(self, head: RequestHead) -> bytes:
        """The X-Forwarded-* and Forwarded lines to send upstream."""

    def response_sink(self) -> Any | None:
        """The transport for a relay of response bytes, or None when copying is due."""

    def request_source(self) -> tuple[Any, int] | None:
        """The transport and how many body bytes it still brings, for a relay."""

    def request_relayed(self) -> None:
        """A relay has moved the rest of the request's body."""

    def open_tunnel(self) -> tuple[Any, bytes]:
        """After a 101: this connection as a `net.tunnel.TunnelEnd`, and bytes already read."""


class RequestSink(Protocol):
    """Where a door in delivers a request: the exchange."""

    def request_data(self, data: bytes) -> None:
        """Body bytes, not empty."""

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone or broke the rules. The door needs nothing more."""

    def pause_response(self) -> None:
        """The client takes no more for now."""

    def resume_response(self) -> None:
        """The client takes more."""


class ResponseSink(Protocol):
    """Where a door out delivers a response: the exchange."""

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """The final head."""

    def response_data(self, data: bytes) -> None:
        """Body bytes, not empty."""

    def response_end(self, trailers: bytes) -> None:
        """The body is complete; the door out has taken its connection back."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """A 101 that was asked for; `data` follows it."""

    def upstream_failed(self, error: ProxyError) -> None:
        """This attempt is over without a complete response."""

    def pause_request(self) -> None:
        """The backend takes no more for now."""

    def resume_request(self) -> None:
        """The backend takes more."""
