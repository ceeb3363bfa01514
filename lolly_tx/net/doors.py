"""What stands on either side of an exchange, as types.

    door in  --- request_data, request_end, downstream_failed --->  exchange
    door in  <-- start, write, finish, abort, interim -------------  exchange
    exchange --- send, write, finish, cancel ------------------>  door out
    exchange <-- response_head, response_data, response_end, upstream_failed --  door out

What comes in one piece takes one call: `response_whole` from the door out, `answer` to the
door in.

Both ways there are plain calls, never a Deferred. `pause_*` and `resume_*` carry
back-pressure: who cannot take more pauses the other side's reading.

May import: wire, domain.errors. Used by: net.http1.server, net.upstream, proxy.
"""

from __future__ import annotations

from typing import Any, Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.tunnel import TunnelEnd
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
    """The peer's address in its one spelling, "unix:" for a UNIX socket, "" if unknown."""
    listener: str
    """The name of the listener it came in by."""
    secure: bool
    """The client's connection is encrypted."""
    can_tunnel: bool
    """`tunnel_end` has something to give."""
    exchange: RequestSink | None
    """Where the rest of the request goes; None when the answer is complete."""

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte of an answer."""

    def last(self) -> None:
        """Let the connection end with this answer: what follows is not to be believed."""

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response. `fields`: CRLF, then lines that each end with CRLF."""

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response, whose end the fields tell: `start`, `write` and `finish` in one."""

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response."""

    def write(self, data: bytes) -> None:
        """Pass on body bytes, not empty."""

    def flush(self) -> None:
        """Let the head leave now: the body may be long in coming."""

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """End the response, with `last` body bytes; the exchange is over for the door."""

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

    def request_relaying(self, relay: Relay) -> None:
        """`relay` moves them from now on; whoever makes no progress is the door's to find out."""

    def request_relayed(self) -> None:
        """The relay has moved them all."""

    def tunnel_end(self) -> TunnelEnd | None:
        """The connection as an end of a tunnel, or None when it cannot be one."""


class RequestSink(Protocol):
    """Where a door in delivers a request: the exchange."""

    def request_data(self, data: bytes) -> None:
        """Body bytes, not empty."""

    def request_end(self, trailers: bytes) -> None:
        """The body is complete."""

    def downstream_failed(self, error: ProxyError) -> None:
        """The client is gone or broke the rules. The door needs nothing more."""

    def request_stalled(self) -> None:
        """The relay of the body waits for the backend, and has waited too long."""

    def pause_response(self) -> None:
        """The client takes no more for now."""

    def resume_response(self) -> None:
        """The client takes more."""


class ResponseSink(Protocol):
    """Where a door out delivers a response: the exchange."""

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """A plain response (`head.whole`) has come in one piece.

        Taken: the sink has called `answered` on the door out. False: nothing was done, and
        the response is delivered step by step.
        """

    def response_head(self, head: ResponseHead, framing: int) -> None:
        """The final head."""

    def response_data(self, data: bytes) -> None:
        """Body bytes, not empty."""

    def response_end(self, trailers: bytes, last: bytes = b"") -> None:
        """The body is complete with `last`; the door out has taken its connection back."""

    def response_waits(self) -> None:
        """All body bytes that have come are delivered, and more are to come."""

    def relay_response(self, source: Any, left: int | None) -> Relay | None:
        """Let a relay move the next `left` bytes (None: until it closes), or decline."""

    def stood_still(self, seconds: float, now: float) -> None:
        """The process did; no answer could be heard in that time."""

    def response_stalled(self) -> None:
        """The relay of the body waits for the client, and has waited too long."""

    def upgraded(self, head: ResponseHead) -> None:
        """A 101 that was asked for."""

    def upstream_failed(self, error: ProxyError) -> None:
        """The attempt is over without a complete response."""

    def pause_request(self) -> None:
        """The backend takes no more for now."""

    def resume_request(self) -> None:
        """The backend takes more."""
