"""The connector's end of a tunnel: a handshake, then streams that are each joined to a service.

    connected --(both prove who they are)--> session --> closed
        +--refused, with the reason--^

Imports: domain.access, net, net.sockets, net.streams, net.tunnels, wire, Twisted,
pyOpenSSL. Used by: net.tunnels.siblings, service.tunnels, service.workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.access.forwarded import UNIX
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.failures import translate
from lolly_tx.net.sockets.acceptor import address_text
from lolly_tx.net.sockets.transports import is_secure, probe_when_idle
from lolly_tx.net.streams.raw import OPENING, RawConnection
from lolly_tx.net.tunnel import Tunnel
from lolly_tx.net.tunnels.door import channel_of
from lolly_tx.net.tunnels.session import Session
from lolly_tx.net.tunnels.stream import TunnelStream
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.net.turn import Turn
from lolly_tx.wire.tunnel import (
    DENIED,
    ConnectorSide,
    HandshakeFailed,
    Offer,
    Welcome,
)

HANDSHAKE_SECONDS = 10.0
"""What a server may take to say who it is."""

Services = Mapping[str, IStreamClientEndpoint]


@attrs.frozen(eq=False)
class Identity:
    """Who connects. `secret`: "" where a certificate does. `instance`: what tells it from others of its name."""

    name: str
    secret: str = attrs.field(repr=False)
    instance: str


@attrs.frozen(eq=False)
class Circumstances:
    """What all connections of a connector share. `half_closed`: seconds, of streams of which one side has ended.

    `write_seconds`: how long a peer may take no byte.
    """

    settings: SessionSettings
    deadlines: Deadlines
    turn: Turn
    half_closed: float = 60.0
    write_seconds: float = 60.0


class ConnectionOwner(Protocol):
    """Whose connection it is. `services`: by name, what leads to each."""

    services: Services

    def welcomed(self, connection: ConnectorConnection, welcome: Welcome) -> None:
        """The handshake is done."""

    def leaving(self, connection: ConnectorConnection) -> None:
        """The server asks for nothing more on it."""

    def ended(
        self, connection: ConnectorConnection, why: HandshakeFailed | str
    ) -> None:
        """It is over; called once."""


@implementer(IProtocol)
class ConnectorConnection:
    """See the module (`net.tunnels.session.SessionOwner`)."""

    def __init__(
        self,
        owner: ConnectionOwner,
        identity: Identity,
        offer: Offer,
        nonce: bytes,
        around: Circumstances,
    ) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.deadline = NEVER
        self.session: Session | None = None
        self.around = around
        self._owner = owner
        self._identity = identity
        self._offer = offer
        self._nonce = nonce
        self._handshake: ConnectorSide | None = None
        self._over = False

    def makeConnection(self, transport: Any) -> None:
        """The server is there, and what TLS there is has verified it."""
        self.transport = transport
        probe_when_idle(transport)
        if not is_secure(transport) and not _is_near(transport):
            self._end("refused: the connection leaves this machine, and has no TLS")
            return
        who, deadlines = self._identity, self.around.deadlines
        self._handshake = handshake = ConnectorSide(
            who.name,
            who.secret,
            who.instance,
            self._nonce,
            channel_of(transport),
            self._offer,
        )
        self.deadline = deadlines.now() + HANDSHAKE_SECONDS
        deadlines.add(self)
        transport.write(handshake.hello)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the server."""
        if self.session is not None:
            self.session.receive(data)
        elif not self._over:
            assert self._handshake is not None  # it is connected
            try:
                self._shake(self._handshake, data)
            except HandshakeFailed as failed:
                self._end(failed)

    def _shake(self, handshake: ConnectorSide, data: bytes) -> None:
        answer = handshake.receive(data)
        if answer:
            self.transport.write(answer)
        if handshake.welcome is None:
            return
        around = self.around
        self.deadline = NEVER
        self.session = session = Session(
            self,
            self.transport,
            self._identity.name,
            around.settings,
            opens=False,
            deadlines=around.deadlines,
            turn=around.turn,
        )
        session.start()
        self._owner.welcomed(self, handshake.welcome)
        if handshake.rest:
            session.receive(handshake.rest)

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        self.around.deadlines.discard(self)
        if self.session is not None:
            self.session.lost(reason)
        elif not self._over:
            self._over = True
            self._owner.ended(self, _why_lost(reason))

    def expired(self, now: float) -> None:
        """The server has not said who it is in time, or does not go."""
        self.deadline = NEVER
        self._end("no handshake in time")

    def _end(self, why: HandshakeFailed | str) -> None:
        if not self._over:
            self._over = True
            self.around.deadlines.discard(self)
            self.transport.abortConnection()
            self._owner.ended(self, why)

    def leave(self) -> None:
        """Take no more streams, and close after the last one."""
        if self.session is not None:
            self.session.drain()
        else:
            self._end("told to go")

    def abort(self) -> None:
        """Cut it."""
        if self.session is not None:
            self.session.abort("told to go")
        else:
            self._end("told to go")

    # -- net.tunnels.session.SessionOwner

    def asked(self, stream: TunnelStream) -> None:
        """The server wants to have a stream joined to a service."""
        assert self.session is not None  # who asks
        name = stream.address.service
        endpoint = self._owner.services.get(name)
        if endpoint is None:
            self.session.streams.refuse(stream, "the connector has no such service")
        else:
            stream.attach(Incoming(self.session, stream, endpoint, self.around))

    def session_leaving(self) -> None:
        """The server asks for nothing more."""
        self._owner.leaving(self)

    def session_over(self, why: str) -> None:
        """The session has ended."""
        if not self._over:
            self._over = True
            self._owner.ended(self, why)


def _why_lost(reason: Failure) -> HandshakeFailed | str:
    """What a server says of us within TLS, such as of our certificate, comes behind our side of the handshake."""
    if isinstance(reason.value, SSL.Error) and reason.value.args:
        return HandshakeFailed(DENIED, str(translate(reason, connecting=True)))
    return "connection lost within the handshake"


def _is_near(transport: Any) -> bool:
    """The other end is on this machine, as far as its address tells."""
    host = address_text(transport.getPeer())
    return host in (UNIX, "::1") or host.startswith("127.")


class _ServiceFactory(Factory):
    """Makes the protocol of one connection to a service."""

    noisy = False

    def __init__(self, around: Circumstances) -> None:
        self._around = around

    def buildProtocol(self, addr: Any) -> Any:
        """One that waits for its tunnel."""
        return RawConnection(self._around.deadlines, self._around.write_seconds)


class Incoming(RawConnection):
    """A stream that the server has opened: it waits for its service, then both are ends of a `net.tunnel`."""

    def __init__(
        self,
        session: Session,
        stream: TunnelStream,
        endpoint: IStreamClientEndpoint,
        around: Circumstances,
    ) -> None:
        super().__init__(around.deadlines, around.write_seconds)
        self._session = session
        self._stream = stream
        self._endpoint = endpoint
        self._around = around
        self._connecting: Deferred[Any] | None = None

    def makeConnection(self, transport: Any) -> None:
        """It is open."""
        super().makeConnection(transport)
        self._connecting = connecting = self._endpoint.connect(
            _ServiceFactory(self._around)
        )
        connecting.addCallbacks(self._cb_connected, self._eb_failed)

    def _cb_connected(self, service: RawConnection) -> None:
        self._connecting = None
        if self.state != OPENING:
            service.abort()
            return
        self._session.streams.accept(self._stream)
        Tunnel(
            self.tunnel_end(),
            service.tunnel_end(),
            _unnoted,
            deadlines=self.deadlines,
            half_closed=self._around.half_closed,
            frames=False,
        )

    def _eb_failed(self, reason: Failure) -> None:
        self._connecting = None
        if self.state == OPENING:
            self._session.streams.refuse(
                self._stream, str(translate(reason, connecting=True))
            )

    def connectionLost(self, reason: Failure) -> None:
        """The stream is over."""
        super().connectionLost(reason)
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()


def _unnoted(sent: int, received: int) -> None:
    """The session counts its bytes."""
