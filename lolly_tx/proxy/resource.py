"""The proxy as a `twisted.web` resource: the same exchanges through another door.

    resource = ReverseProxyResource.to(reactor, ["http://127.0.0.1:9001", ...])
    root.putChild(b"api", resource)

mounts it in any site or klein app, with no listener of its own. Everything from routing to retries, health and
back-pressure of responses is the very code behind our own listeners. What the site
decides before a resource is asked:

- the request's body has been read whole (into memory, or a temporary file when it is
  long), so uploads do not stream and `Expect: 100-continue` is answered by the site;
- its own parser accepts some requests ours would refuse, and refuses others; what it
  passes on is checked again by ours, and answered 400 if it is not valid;
- 1xx answers of the backend and request trailers are dropped, WebSocket and other
  upgrades are not possible, HTTP/1.0 clients are not kept alive;
- it frames the answer itself: a body without a length is sent in chunks.

What targets say of their own paths, in Location, cookies and pages, is passed on as it is:
with `strip_prefix` they have to know where they are mounted.

Imports: domain, domain.routing, net, net.http1, net.http2, net.library, net.sockets,
proxy, wire, Twisted. Used by: lolly_tx, service, service.changes, service.metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from zope.interface import classImplements

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.domain.routing.routes import BadPath, normal_path
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import BodyStart, DoorIn, Peer, RequestSink
from lolly_tx.net.http1.listening import http1_acceptor
from lolly_tx.net.http1.shared import Site
from lolly_tx.net.library.balanced import BalancedEndpointFactory
from lolly_tx.net.sockets.acceptor import Acceptor, address_text
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import REQUEST_LIMITS
from lolly_tx.wire.http1 import RequestReader
from lolly_tx.wire.message import RequestHead

if TYPE_CHECKING:
    from twisted.web.server import Request

# Said about the bytes the site received, or sends (no trailers); ours are said about
# those we send.
_LENGTH: Final = frozenset((b"transfer-encoding", b"content-length"))
_OF_THE_SITE: Final = _LENGTH | {b"expect", b"te"}


class SiteDoor(DoorIn):
    """One request of a site. It reads it whole, and frames the answer itself."""

    def __init__(self, request: Request, proxy: Proxy, listener: str) -> None:
        client = address_text(request.getClientAddress())
        self.peer = Peer(client, listener, bool(request.isSecure()), proxy.introduce)
        channel = request.channel
        self.peer.transport = getattr(channel, "transport", channel)
        self.exchange: RequestSink | None = None
        self._request = request
        self._proxy = proxy
        self._over = False
        request.notifyFinish().addErrback(self._eb_gone)

    def _eb_gone(self, reason: Failure) -> None:
        self._over = True
        self.peer.gone()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.downstream_failed(DownstreamGone("client closed the connection"))

    def last(self) -> None:
        """The connection ends with this answer: what follows is not to be believed."""
        channel = self._request.channel
        if hasattr(channel, "persistent"):  # not so over HTTP/2
            channel.persistent = False

    # -- DoorIn

    @property
    def write_seconds(self) -> float:
        """The site's own affair."""
        return NEVER

    def start(self, status: int, reason: bytes, fields: bytes, framing: int) -> None:
        """Begin the response."""
        request = self._request
        request.setResponseCode(status, reason)
        headers = request.responseHeaders
        # The site's own Server and Date stand for an origin; here there is one.
        headers.removeHeader(b"server")
        headers.removeHeader(b"date")
        request.defaultContentType = None
        for line in fields.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                headers.addRawHeader(name, value.strip(b"\t "))
        request.registerProducer(self, True)

    def interim(self, status: int, reason: bytes, fields: bytes) -> None:
        """A site has no way to send one."""

    def write(self, data: bytes) -> None:
        """Body bytes."""
        self._request.write(data)

    def flush(self) -> None:
        """Let the head leave."""
        if not self._over:
            self._request.write(b"")

    def finish(self, trailers: bytes = b"", last: bytes = b"") -> None:
        """The response is complete with `last`."""
        self.exchange = None
        self.peer.gone()
        if not self._over:
            self._over = True
            if last:
                self._request.write(last)
            self._request.unregisterProducer()
            self._request.finish()

    def abort(self, code: int = 0) -> None:
        """Let the client see that the response is not complete."""
        self.exchange = None
        self.peer.gone()
        if not self._over:
            self._over = True
            channel = self._request.channel
            transport = getattr(channel, "transport", channel)
            getattr(transport, "abortConnection", transport.loseConnection)()

    def pause_request(self) -> None:
        """The site has read it all already."""

    def resume_request(self) -> None:
        """As above."""

    # -- IPushProducer: whether the client takes our bytes

    def pauseProducing(self) -> None:
        """It does not."""
        if self.exchange is not None:
            self.exchange.pause_response()

    def resumeProducing(self) -> None:
        """It does again."""
        if self.exchange is not None:
            self.exchange.resume_response()

    def stopProducing(self) -> None:
        """The connection is going; notifyFinish tells."""


classImplements(SiteDoor, IPushProducer)


class ReverseProxyResource(Resource):
    """Every request below its place in a site goes to the pools of `proxy`.

    The request target goes upstream byte for byte as the client sent it, with the path segments
    that led here, or without them: `strip_prefix`. A target whose dots lead out of them is
    refused where they are kept. `listener`: the name that the access log shows. `endpoints`: the
    pools behind it as endpoints, for an Agent of one's own: the same targets, with the same
    record of each.
    """

    isLeaf = True

    def __init__(
        self,
        proxy: Proxy,
        listener: str = "site",
        endpoints: BalancedEndpointFactory | None = None,
        *,
        strip_prefix: bool = False,
    ) -> None:
        super().__init__()
        self.proxy = proxy
        self.listener = listener
        self.endpoints = endpoints
        self.strip_prefix = strip_prefix
        self._reader = RequestReader(REQUEST_LIMITS)
        self.ending: Callable[[], None] | None = None
        """What `close` is to do."""

    def close(self) -> None:
        """End what was made for this resource alone. Repeated, or with nothing to end, it does nothing."""
        ending, self.ending = self.ending, None
        if ending is not None:
            ending()

    def site(self, front: Site | None = None, **settings: Any) -> Acceptor:
        """The fast door to the same: to be listened for in place of a Site.

        `front`: what stands before `proxy` there. `settings`: `http_acceptor`'s others.
        """
        if settings.get("http2") is None:
            settings.pop("http2", None)
            return http1_acceptor(self.listener, front or self.proxy, **settings)
        from lolly_tx.net.http2.listening import http_acceptor

        return http_acceptor(self.listener, front or self.proxy, **settings)

    def render(self, request: Request) -> int:
        """Begin the exchange; it answers in its own time."""
        # Who asks has a site, and with it this module; behind our own listeners nobody needs it.
        from twisted.web.server import NOT_DONE_YET

        door = SiteDoor(request, self.proxy, self.listener)
        assert request.content is not None
        body = request.content.read()
        try:
            head = self._head(request, len(body))
        except BadMessage as error:
            door.last()
            self.proxy.refused(door, error, False)
            return NOT_DONE_YET
        self.proxy.open_exchange(door, head, BodyStart(body))
        return NOT_DONE_YET

    def _head(self, request: Request, length: int) -> RequestHead:
        """What the client sent, as our own reader sees it. Raises `BadMessage`."""
        target = self._target(request)
        lines = [b"%b %b %b" % (request.method, target, request.clientproto)]
        had_body = False
        for name, values in request.requestHeaders.getAllRawHeaders():
            lower = name.lower()
            if lower in _OF_THE_SITE:
                had_body = had_body or lower in _LENGTH
                continue
            lines += [b"%b: %b" % (name, value) for value in values]
        if had_body or length:
            lines.append(b"Content-Length: %d" % length)
        head = self._reader.read(b"\r\n".join(lines) + b"\r\n\r\n")
        if head is None:
            raise BadMessage("malformed request")
        return head

    def _target(self, request: Request) -> bytes:
        """The request target as it goes upstream. Raises `BadMessage`."""
        uri: bytes = request.uri
        if not uri.startswith(b"/"):
            return uri
        path, mark, query = uri.partition(b"?")
        # The site has decoded its segments; their number is that of the encoded ones.
        segments = path.split(b"/")
        at = max(1, len(segments) - len(request.postpath or ()))
        if self.strip_prefix:
            return b"/" + b"/".join(segments[at:]) + mark + query
        if at > 1 and not _is_below(path, b"/".join(segments[:at])):
            raise BadMessage("the path leads out of where it was mounted")
        return uri


classImplements(ReverseProxyResource, IResource)


def _is_below(path: bytes, prefix: bytes) -> bool:
    """Whether `path` leads to `prefix`, or below it, for whoever resolves its dots."""
    try:
        return (normal_path(path) + b"/").startswith(normal_path(prefix) + b"/")
    except BadPath:
        return False
