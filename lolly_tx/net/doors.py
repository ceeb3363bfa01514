"""What stands on either side of an exchange, as types.

    door in  --- request_data, request_end, downstream_failed --->  exchange
    door in  <-- start, write, finish, abort, interim -------------  exchange
    exchange --- send, write, finish, cancel ------------------->  door out
    exchange <-- response_head, response_data, response_end, upstream_failed --  door out

What comes in one piece takes one call: `response_whole` from the door out, `answer` to the
door in.

Both ways there are plain calls, never a Deferred. `pause_*` and `resume_*` carry
back-pressure: who cannot take more pauses the other side's reading.

Imports: domain, net, net.sockets, wire. Used by: net, net.forward, net.http1,
net.http2, net.streams, proxy, proxy.caching, proxy.chains, proxy.files, proxy.forwards,
proxy.middleware, proxy.records, proxy.streams, service, service.forwards,
service.records, testing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.native import mypyc_attr, trait
from lolly_tx.net.sockets.splice import Relay
from lolly_tx.net.tunnel import TunnelEnd
from lolly_tx.wire.message import RequestHead, ResponseHead
from lolly_tx.wire.proxyline import ProxyLine

# How the body of a response ends.
NO_BODY: Final = 0
"""There is none: HEAD, 204, 304."""
LENGTH: Final = 1
"""After Content-Length bytes, and the fields say so."""
STREAM: Final = 2
"""When the sender says so: the door frames it (chunked)."""
CLOSE: Final = 3
"""With the connection. Cheapest for the kernel to relay, ends keep-alive."""


class Bound(Protocol):
    """Connections to a target that only one client may use."""

    def close(self) -> None:
        """Close them when they are idle."""


class Peer:
    """Who is on the other end of a client's connection.

    `address`: in its one spelling, "unix:" for a UNIX socket, "" if unknown. `listener`: the name of the one it came
    in by. `secure`: its connection is encrypted. `introduce(peer, head)`: the lines that
    tell a backend of it, for one request. `last`: those of the last plain request, whose
    Host was `host`. `transport`: of its connection, None where that serves others, too. `told`: what a PROXY header
    said of it. `tls`: what its TLS has agreed on, once somebody has asked (`net.tls_facts`). `bound`:
    connections to targets that only it may use; whoever made it says when it is `gone`.
    """

    __slots__ = (
        "_introduce",
        "address",
        "bound",
        "host",
        "last",
        "listener",
        "secure",
        "tls",
        "told",
        "transport",
    )

    def __init__(
        self,
        address: str,
        listener: str,
        secure: bool,
        introduce: Callable[[Peer, RequestHead], bytes],
    ) -> None:
        self.address = address
        self.listener = listener
        self.secure = secure
        self._introduce = introduce
        self.host: bytes | None = None
        self.last = b""
        self.transport: Any = None
        self.told: ProxyLine | None = None
        self.tls: Any = None
        self.bound: dict[Any, Bound] | None = None

    def unlogged(self) -> Peer:
        """Who is named for a request of ours that one of its has given rise to: by no listener, so in no log."""
        return Peer(self.address, "", self.secure, self._introduce)

    def gone(self) -> None:
        """Its connection has ended: nobody will use those that are bound to it."""
        bound, self.bound = self.bound, None
        if bound is not None:
            for each in bound.values():
                each.close()

    def lines(self, head: RequestHead) -> bytes:
        """The lines to send upstream; the same as last time unless the host differs."""
        block = head.block
        if not head.plain and (block.forwarded or head.old):
            return self._introduce(self, head)
        if block.host != self.host:
            self.host = block.host
            self.last = self._introduce(self, head)
        return self.last


@mypyc_attr(allow_interpreted_subclasses=True)
class DoorIn:
    """The client's side of an exchange.

    `peer`: who it is. `exchange`: where the rest of the request goes; None when the answer
    is complete. `asked`: the head that the client sent, where the
    one that is served is another; None: they are the same. `identity`: who the request is, once somebody in front has
    found out (`proxy.identity`). `status`, `sent`: what the client has got, and how many body bytes, where something in
    front may make another answer of one; 0: what was answered. `verdict`: what a cache made of the request, for logs.
    """

    __slots__ = ("exchange", "peer")

    asked: RequestHead | None = None
    identity: Any = None
    status: int = 0
    sent: int = 0
    verdict: str = ""

    peer: Peer
    exchange: RequestSink | None

    @property
    def can_tunnel(self) -> bool:
        """`tunnel_end` has something to give."""
        return False

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte of an answer."""
        raise NotImplementedError

    def last(self) -> None:
        """Let the connection end with this answer: what follows is not to be believed."""

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response. `fields`: CRLF, then lines that each end with CRLF."""
        raise NotImplementedError

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """The whole response, whose end the fields tell: `start`, `write` and `finish`."""
        self.start(status, reason, fields, LENGTH)
        if body:
            self.write(body)
        self.finish()

    def still_sending(self, over: Callable[[ProxyError | None], None]) -> bool:
        """Whether an answer that was given in one piece is on its way yet.

        Then `over` is called when it has gone, with what has ended it before that, or None.
        """
        return False

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """Pass on a 1xx response."""

    def keep_unindexed(self, names: frozenset[bytes]) -> None:
        """Fields of the response to come, by their names in lower case, that no compression may put into a table."""

    def write(self, data: bytes) -> None:
        """Pass on body bytes, not empty."""
        raise NotImplementedError

    def flush(self) -> None:
        """Let the head leave now: the body may be long in coming."""

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """End the response, with `last` body bytes; the exchange is over for the door."""
        raise NotImplementedError

    def abort(self, code: int = 0) -> None:
        """End the response so that the client sees it is not complete. `code`: of the reset that ended it; 0: none."""
        raise NotImplementedError

    def pause_request(self) -> None:
        """Read no more of the request's body for now."""

    def resume_request(self) -> None:
        """Read on."""

    def response_sink(self) -> Any | None:
        """The transport for a relay of response bytes, or None when copying is due."""
        return None

    def request_source(self) -> tuple[Any, int] | None:
        """The transport and how many body bytes it still brings, for a relay."""
        return None

    def request_relaying(self, relay: Relay) -> None:
        """`relay` moves them from now on; whoever makes no progress is the door's to find out."""

    def request_relayed(self) -> None:
        """The relay has moved them all."""

    def tunnel_end(self) -> TunnelEnd | None:
        """The connection as an end of a tunnel, or None when it cannot be one."""
        return None

    def opened(self, target: Any) -> None:
        """The tunnel that was asked for by CONNECT begins; `target`: the transport of its other end."""
        raise NotImplementedError

    def tunnel_closed(self) -> None:
        """It was one, and the tunnel is closed."""


@mypyc_attr(allow_interpreted_subclasses=True)
class DoorOut:
    """A backend's side of an exchange, for one request at a time. A class, not a protocol: each request calls it."""

    __slots__ = ()

    def send(
        self,
        sink: ResponseSink,
        head: RequestHead,
        host: bytes,
        lines: bytes,
        body: bytes,
        complete: bool,
        now: float,
    ) -> None:
        """Send a request: `head` with the Host `host` (b"" = its own) and our `lines`.

        `body`: what there is of it; `complete`: that is all.
        """
        raise NotImplementedError

    def await_answer(self, now: float) -> None:
        """The target has been asked whether it wants the body, and owes that answer."""
        raise NotImplementedError

    def await_request(self, now: float) -> None:
        """The client has to send before the target owes anything."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """More of the request's body, not empty."""
        raise NotImplementedError

    def finish(self, trailers: bytes = b"") -> None:
        """The request is complete."""
        raise NotImplementedError

    def deliver_to(self, sink: ResponseSink) -> None:
        """Another one than `send` named gets the rest of the answer."""
        raise NotImplementedError

    def answered(self, now: float) -> None:
        """The sink has taken a whole response (`response_whole`)."""
        raise NotImplementedError

    def pause(self) -> None:
        """Read no more of the response for now."""
        raise NotImplementedError

    def resume(self) -> None:
        """Read on."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Give the request up; nothing more is delivered."""
        raise NotImplementedError

    def patience(self) -> float:
        """How many seconds the target may take no byte of a request."""
        raise NotImplementedError

    def request_sink(self) -> Any | None:
        """The transport for a relay of request bytes, or None when they need framing."""
        raise NotImplementedError

    def response_relayed(self) -> None:
        """The relay has moved the rest of the response."""
        raise NotImplementedError

    def relay_failed(self, reset: bool) -> None:
        """It has ended early; after a `reset` the loss of the connection is reported."""
        raise NotImplementedError

    def last_words(self) -> None:
        """Writing has failed: take the answer that may have come before that."""
        raise NotImplementedError

    def raw(self) -> TunnelEnd:
        """The connection itself, after an upgrade."""
        raise NotImplementedError


class BodyStart:
    """What there is of a request's body when its exchange begins. `complete`: that is all of it, with `trailers`."""

    __slots__ = ("complete", "data", "trailers")

    def __init__(
        self, data: bytes = b"", trailers: bytes = b"", complete: bool = True
    ) -> None:
        self.data = data
        self.trailers = trailers
        self.complete = complete


BODILESS: Final = BodyStart()
"""A request has no body, or an empty one."""


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

    def response_changed(self, status: int, size: int) -> None:
        """The client has got `status`, and `size` body bytes so far, whatever was sent to the door."""

    def response_unwanted(self) -> None:
        """Nobody wants the rest of the answer, and the door needs nothing more. Nothing has failed."""

    def pause_response(self) -> None:
        """The client takes no more for now."""

    def resume_response(self) -> None:
        """The client takes more."""


@trait
@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseSink:
    """Where a door out delivers a response: the exchange. By default all of it is ignored."""

    __slots__ = ()

    def response_interim(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    def response_whole(self, head: ResponseHead, body: bytes, now: float) -> bool:
        """A plain response (`head.whole`) has come in one piece.

        Taken: the sink has called `answered` on the door out. False: nothing was done, and
        the response is delivered step by step.
        """
        return False

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
        return None

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
