"""The SOCKS5 side of a forward proxy's client: it logs in, says where to, and is an end of a tunnel.

    GREETING --login wanted--> LOGIN --right--> REQUEST --served--> TUNNEL
        +--------nothing wanted-------------------^

Its one request is served as CONNECT is, by the same proxy: `SocksRequest` is the door of that, and says in
the codes of SOCKS what an answer of HTTP would. Nothing is read of a request before its client may come in.

Imports: domain, net, net.forward, net.http1, net.sockets, net.streams, wire, Twisted.
Used by: net.forward.first_byte, net.forward.listening.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import BODILESS, BodyStart, DoorIn, Peer
from lolly_tx.net.forward.association import Association, Relays
from lolly_tx.net.http1.shared import Shared
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.streams.clients import ClientConnection
from lolly_tx.net.streams.raw import OPENING
from lolly_tx.net.tunnel import TunnelEnd
from lolly_tx.wire import socks5
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock
from lolly_tx.wire.forwardform import ForwardHead
from lolly_tx.wire.message import HTTP_1_1, RequestHead
from lolly_tx.wire.trail import in_methods

_ERROR = re.compile(rb"Proxy-Status: [^\r]*error=([a-z_]+)")
_CODES = {
    b"connection_refused": socks5.REFUSED,
    b"connection_timeout": socks5.HOST_UNREACHABLE,
    b"dns_error": socks5.HOST_UNREACHABLE,
    b"destination_unavailable": socks5.HOST_UNREACHABLE,
    b"http_request_denied": socks5.NOT_ALLOWED,
    b"destination_ip_prohibited": socks5.NOT_ALLOWED,
    b"proxy_loop_detected": socks5.NOT_ALLOWED,
}
_ERRNOS = {
    errno.ENETUNREACH: socks5.NET_UNREACHABLE,
    errno.EHOSTUNREACH: socks5.HOST_UNREACHABLE,
}
_NO_FIELDS = RequestBlock(b"\r\n")

GREETING, LOGIN, REQUEST, SERVED = range(4)
_STREAMS = (socks5.CONNECT,)
_STREAMS_AND_DATAGRAMS = (socks5.CONNECT, socks5.ASSOCIATE)


class SocksSite(Protocol):
    """What serves such clients: a forward proxy. `relays`: of datagrams; None: it has none."""

    relays: Relays | None

    @property
    def asks_for_login(self) -> bool:
        """Clients have to say who they are."""

    def lets_in(self, client: str) -> bool:
        """Whether one may come from the address `client`."""

    def proves(self, client: str, user: bytes, password: bytes) -> Deferred[bool]:
        """Whether that is right."""

    def note(self, why: str) -> None:
        """A client is turned away."""

    def serve(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """Serve a request whose client may come in."""

    def relayed(
        self, door: DoorIn, head: RequestHead, size: int, seconds: float
    ) -> None:
        """A relay of datagrams is over: `size` bytes have come back for the client."""


class SocksRequest(DoorIn):
    """The one request of `line`."""

    __slots__ = ("_line",)

    def __init__(self, line: SocksServer) -> None:
        self._line = line
        self.peer = line.peer
        self.exchange = None

    @property
    def can_tunnel(self) -> bool:
        """It asks for nothing else."""
        return True

    @property
    def write_seconds(self) -> float:
        """How long the client may take no byte."""
        return self._line.write_seconds

    def answer(self, status: int, reason: bytes, fields: bytes, body: bytes) -> None:
        """It is refused."""
        exchange, self.exchange = self.exchange, None
        found = _ERROR.search(fields)
        code = _CODES.get(found[1], socks5.FAILED) if found else socks5.FAILED
        cause = getattr(getattr(exchange, "error", None), "__cause__", None)
        code = _ERRNOS.get(getattr(cause, "osError", 0), code)
        self._line.refuse(code)

    def abort(self, code: int = 0) -> None:
        """The tunnel cannot go on."""
        self._line.abort()

    def tunnel_end(self) -> TunnelEnd:
        """The connection itself."""
        self.exchange = None
        return self._line.tunnel_end()

    def opened(self, target: Any) -> None:
        """Say so, and where the connection comes from."""
        there = target.getHost()
        host, port = getattr(there, "host", ""), getattr(there, "port", 0)
        self._line.transport.write(socks5.reply(socks5.OK, host, port))


class SocksServer(ClientConnection):
    """One client connection."""

    def __init__(
        self, site: SocksSite, shared: Shared, acceptor: Acceptor, client: str
    ) -> None:
        peer = Peer(client, acceptor.name, shared.secure, shared.introduce)
        super().__init__(acceptor, peer, shared.timeouts.write)
        self.site = site
        self._seconds = shared.timeouts.head
        self._stage = GREETING
        self._proving: Deferred[Any] | None = None
        self._request: SocksRequest | None = None
        self._relay: Association | None = None
        self._began = 0.0
        self._idle = NEVER
        self._trail = b""

    def makeConnection(self, transport: Any) -> None:
        """A client has connected."""
        super().makeConnection(transport)
        self.deadline = self.acceptor.now() + self._seconds

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._relay is not None:
            return
        super().dataReceived(data)
        self._go_on()

    def _go_on(self) -> None:
        """Take what is whole of what has come."""
        try:
            while self.state == OPENING and self._stage < SERVED:
                if self._proving is not None or not self._step():
                    return
        except socks5.NotServed as error:
            self.site.note("request")
            self.refuse(error.code)
        except BadMessage:
            self.site.note("malformed")
            self.hang_up()

    def _step(self) -> bool:
        """One stage further; False: more has to come."""
        if self._stage == GREETING:
            return self._greet()
        if self._stage == LOGIN:
            return self._log_in()
        relays = self.site.relays
        commands = _STREAMS if relays is None else _STREAMS_AND_DATAGRAMS
        found = socks5.read_request(self.early, commands)
        if found is None:
            return False
        command, host, port, used = found
        self.early = self.early[used:]
        self._stage = SERVED
        self.deadline = NEVER
        if relays is not None and command == socks5.ASSOCIATE:
            self._associate(relays, port)
            return False
        authority = f"{host}:{port}".encode("ascii")
        fields = _NO_FIELDS
        if self._trail:
            fields = RequestBlock.from_pairs([(b"via", self._trail)])
        head = ForwardHead(b"CONNECT", authority, HTTP_1_1, fields, 0, None)
        self._request = SocksRequest(self)
        self.site.serve(self._request, head, BODILESS)
        return False

    def _associate(self, relays: Relays, port: int) -> None:
        """Relay datagrams from now on; what else comes on this connection is nobody's."""
        here = getattr(self.transport.getHost(), "host", "")
        relay = None
        if here:
            relay = relays.begin(here, self.peer.address, port, self)
        if relay is None:
            self.refuse(socks5.FAILED)
            return
        self._relay, self._began = relay, self.acceptor.now()
        self._idle = relays.idle
        self.early = b""
        self.relayed()
        self.transport.write(socks5.reply(socks5.OK, *relay.getHost()))

    def relayed(self) -> None:
        """A datagram has passed."""
        self.deadline = self.deadlines.now() + self._idle

    def _end_relay(self) -> None:
        relay, self._relay = self._relay, None
        if relay is None:
            return
        relay.end()
        head = ForwardHead(b"ASSOCIATE", b"*", HTTP_1_1, _NO_FIELDS, 0, None)
        seconds = self.acceptor.now() - self._began
        self.site.relayed(SocksRequest(self), head, relay.bytes_out, seconds)

    def _greet(self) -> bool:
        found = socks5.read_methods(self.early)
        if found is None:
            return False
        methods, used = found
        self.early = self.early[used:]
        wanted = socks5.LOGIN if self.site.asks_for_login else socks5.NO_LOGIN
        if not self.site.lets_in(self.peer.address):
            self.site.note("client")
        elif wanted not in methods:
            self.site.note("no password" if wanted else "method")
        else:
            self._trail = in_methods(methods)
            self.transport.write(socks5.method(wanted))
            self._stage = LOGIN if wanted else REQUEST
            return True
        self.transport.write(socks5.method(socks5.NONE_OF_THEM))
        self.part()
        return False

    def _log_in(self) -> bool:
        found = socks5.read_login(self.early)
        if found is None:
            return False
        user, password, used = found
        self.early = self.early[used:]
        self._proving = proving = self.site.proves(self.peer.address, user, password)
        proving.addCallback(self._cb_proven)
        return False

    def _cb_proven(self, right: bool) -> None:
        self._proving = None
        if self.state != OPENING:
            return
        self.transport.write(socks5.GRANTED if right else socks5.DENIED)
        if right:
            self._stage = REQUEST
            self._go_on()
        else:
            self.part()

    def refuse(self, code: int) -> None:
        """Say why not, and close."""
        self._stage = SERVED
        self.transport.write(socks5.reply(code))
        self.part()

    def readConnectionLost(self) -> None:
        """The client has sent its last byte; who has said all may still wait for its tunnel."""
        if self._relay is not None:
            self._end_relay()
            self.hang_up()
            return
        super().readConnectionLost()
        if self.state == OPENING and self._stage < SERVED and self._proving is None:
            self.hang_up()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        super().connectionLost(reason)
        self._end_relay()
        request, self._request = self._request, None
        exchange = None if request is None else request.exchange
        if request is not None and exchange is not None:
            request.exchange = None
            exchange.downstream_failed(DownstreamGone("client closed the connection"))

    def expired(self, now: float) -> None:
        """Its time in this state is over."""
        if self._relay is not None:
            self._end_relay()
            self.hang_up()
        elif self.state == OPENING:
            self.site.note("slow")
            self.hang_up()
        else:
            super().expired(now)
