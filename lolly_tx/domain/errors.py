"""The failures of an exchange, as values with the facts a retry needs.

Imports: nothing of ours. Used by: domain, domain.access, domain.checks, domain.retries,
domain.routing, lolly_tx, net, net.checks, net.datagrams, net.forward, net.http1,
net.http2, net.library, net.proxies, net.sockets, net.stores, net.tunnels,
net.websockets, proxy, proxy.caching, proxy.chains, proxy.files, proxy.forwards,
proxy.middleware, proxy.streams, service, service.checks, service.records,
service.workers, simulate, testing.

Foreign exceptions (sockets, TLS, DNS) are translated into these in `net.failures` only; HTTP statuses are derived
from these in `proxy.replies` only.
"""

from __future__ import annotations

from typing import ClassVar


class ProxyError(Exception):
    """Something ended an attempt or an exchange.

    `source`: "downstream" (the client's doing), "upstream" (the backend's doing) or "internal" (ours).
    `token`: the error token of RFC 9209 section 2.3, for the Proxy-Status field.
    `nothing_sent`: no byte of the request reached the upstream, so any method may be tried elsewhere.
    `again`: seconds until it is worth another try, for Retry-After; 0: nobody knows.
    `code`: of the HTTP/2 reset that it was; 0: none.
    `blames`: the failure counts against the node's passive record.
    `unreachable`: there was no connection, as with a target that is gone; the only thing that ejects a last one.
    `silent`: nothing came from there, so it may as well be our own network. `ours`: this machine says that it is.
    `heard`: something came from there: the network is well. Neither: it says nothing about the way.
    `kind`: the word used in `retry.on` settings: "connect", "timeout", "reset", "grpc:unavailable", or "" (never
    retried).
    """

    source: ClassVar[str] = "internal"
    token: str = "proxy_internal_error"
    kind: ClassVar[str] = ""
    code = 0
    again: ClassVar[int] = 0
    blames: bool = False
    unreachable: ClassVar[bool] = False
    silent: ClassVar[bool] = False
    ours: ClassVar[bool] = False
    heard: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, nothing_sent: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.nothing_sent = nothing_sent


class UpstreamError(ProxyError):
    """The backend failed this attempt."""

    source = "upstream"
    blames = True


class ConnectFailed(UpstreamError):
    """No connection: refused, unreachable, or closed during the TLS handshake. Nothing was sent."""

    token = "connection_refused"
    kind = "connect"
    unreachable = True

    def __init__(self, detail: str = "", *, nothing_sent: bool = True) -> None:
        super().__init__(detail, nothing_sent=nothing_sent)


class ConnectRefused(ConnectFailed):
    """The target's host refuses connections: it, or something before it, is there to say so."""

    heard = True


class NoRoute(ConnectFailed):
    """No route to the host: what a dead machine in our own network looks like, or a router says of one in its own."""

    silent = True


class NoNetwork(ConnectFailed):
    """There is no network on this machine to reach the target by."""

    silent = True
    ours = True


class NameNotResolved(ConnectFailed):
    """The target's host name has no address."""

    token = "dns_error"
    unreachable = False


class NoNameServer(NameNotResolved):
    """Nobody who knows names has answered."""

    silent = True
    ours = True


class TLSFailed(ConnectFailed):
    """The TLS handshake with the backend failed, or its certificate is not the one asked for."""

    token = "tls_protocol_error"
    unreachable = False
    heard = True


class CertificateRefused(TLSFailed):
    """The backend has a certificate that is not believed: expired, for another name, signed by nobody we know."""

    token = "tls_certificate_error"


class ConnectTimedOut(ConnectFailed):
    """No connection within `timeout.connect`."""

    token = "connection_timeout"
    kind = "timeout"
    silent = True


class ProxyRefused(ConnectFailed):
    """A proxy on the way has not let us in, or does not speak as one. That says nothing about what is behind it."""

    token = "http_request_denied"
    unreachable = False


class BeyondProxy(ConnectFailed):
    """A proxy on the way could not, or would not, connect us to what is behind it.

    `token`: what it has said, as for a connect of our own. `blames`: the target is what is behind it.
    """

    def __init__(self, detail: str, token: str, blames: bool) -> None:
        super().__init__(detail)
        self.token = token
        self.blames = blames


class NoHttp2(ConnectFailed):
    """The backend does not speak HTTP/2, which its pool says it does. Nothing was sent."""

    token = "http_protocol_error"
    unreachable = False
    heard = True


class ResponseTimedOut(UpstreamError):
    """No byte from the backend within `timeout.read`."""

    token = "connection_read_timeout"
    kind = "timeout"


class WriteTimedOut(UpstreamError):
    """The backend took no byte of the request within `timeout.write`."""

    token = "connection_write_timeout"
    kind = "timeout"


class Abandoned(UpstreamError):
    """Checks took the target down while it owed an answer; they have counted that already."""

    token = "destination_unavailable"
    kind = "timeout"
    blames = False


class ConnectionReset(UpstreamError):
    """The backend closed before a complete response."""

    token = "connection_terminated"
    kind = "reset"


class StaleConnection(ConnectionReset):
    """A reused connection was closed before a byte of the response came.

    Most likely the backend closed it as idle while the request was on its way, so it
    says nothing about the node. A request that may be repeated goes to the same node
    again, on a new connection.
    """

    blames = False


CLIENT_SECONDS = 1.0
"""How long a client may make a backend wait until a hang-up counts as `HungUpOnClient`."""


class HungUpOnClient(ConnectionReset):
    """The backend closed while it was waiting for the client, who had taken its time.

    It has a limit of its own for that, which says nothing about the node.
    """

    blames = False


class NotProcessed(ConnectionReset):
    """The backend has said that it did nothing with the request (RFC 9113 section 8.7), so any may be repeated.

    It refused the stream, or goes away: that says nothing about the node.
    """

    kind = "connect"
    blames = False

    def __init__(self, detail: str = "", *, nothing_sent: bool = True) -> None:
        super().__init__(detail, nothing_sent=nothing_sent)


class Http1Required(UpstreamError):
    """The backend serves this request over HTTP/1.1 only (RFC 9113 section 7), which its pool does not speak.

    That is about the request and the settings: another node would say the same.
    """

    token = "http_protocol_error"
    blames = False


class GrpcUnavailable(UpstreamError):
    """The backend answered a gRPC call with UNAVAILABLE and nothing else."""

    kind = "grpc:unavailable"
    heard = True


class BadResponse(UpstreamError):
    """What the backend sent is no valid HTTP response. Never retried: the request was executed."""

    token = "http_protocol_error"
    heard = True


class NoTarget(ProxyError):
    """The pool has nobody to send this exchange to."""

    source = "upstream"
    token = "destination_unavailable"


class AllDown(NoTarget):
    """Every node is down, ejected or disabled."""


class AllAbsent(AllDown):
    """Nobody is there to be connected to, and that is why nothing is left: it is tried again after some seconds."""

    again = 5


class AllFull(NoTarget):
    """Every available node is at its max_conns (and the queue, if any, is full or timed out)."""

    token = "connection_limit_reached"


class AllTried(NoTarget):
    """Every available node was tried in this exchange."""


class TargetDown(ConnectFailed):
    """A connect to a node whose passive record says down: refused at once, without a SYN."""

    token = "destination_unavailable"
    blames = False
    unreachable = False


class AddressDown(TargetDown):
    """Every address of the target is known to be down, from this pool's connects or another's: refused at once too.

    That is as good as a refusal by the target itself, and counts like one.
    """

    blames = True
    unreachable = True


class DownstreamError(ProxyError):
    """The client's doing; never held against a target. `status`: what it is told."""

    source = "downstream"
    token = "http_request_error"

    def __init__(
        self, detail: str = "", status: int = 400, *, nothing_sent: bool = False
    ) -> None:
        super().__init__(detail, nothing_sent=nothing_sent)
        self.status = status


class DownstreamGone(DownstreamError):
    """The client hung up."""


class OutOfResources(ProxyError):
    """No descriptor, port or memory is left here for the attempt; its target has done nothing."""

    token = "connection_limit_reached"


class Shutdown(ProxyError):
    """The proxy is stopping; never held against a target."""
