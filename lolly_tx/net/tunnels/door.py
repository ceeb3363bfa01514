"""A connector's connection, at the server: a handshake, then a session.

    accepted --(it proves who it is)--> session --> closed
        +--refused, with the reason; nothing was kept for it--^

Imports: net, net.sockets, net.tunnels, wire, Twisted. Used by: net.tunnels.connection,
service.tunnels.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Protocol

from cryptography.x509.oid import NameOID
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.parting import CLOSE_SECONDS
from lolly_tx.net.sockets.transports import is_secure, probe_when_idle
from lolly_tx.net.tunnels.directory import Connectors, Joined
from lolly_tx.net.tunnels.session import Session
from lolly_tx.net.tunnels.stream import TunnelStream
from lolly_tx.net.tunnels.streams import SessionSettings
from lolly_tx.net.turn import Turn
from lolly_tx.wire.tunnel import (
    BUSY,
    EXPORTER,
    HandshakeFailed,
    Offer,
    ServerSide,
    Welcome,
    refusal,
)

LEFT, SILENT = "left", "silent"
"""Why there was no handshake, where nobody is told; "tls_" and the word of `net.sockets.handshakes` is another."""


class TunnelSite(Protocol):
    """What connectors connect to. `connectors`: those that are connected. `handshake_seconds`: what they may take."""

    name: str
    settings: SessionSettings
    handshake_seconds: float
    connectors: Connectors
    turn: Turn

    def nonce(self) -> bytes:
        """32 random bytes, never the same again."""

    def decoy(self) -> str:
        """A secret that nobody knows."""

    def secret_of(self, name: str, certified: str | None) -> str | None:
        """What a connector has to know; "": its certificate does. None: there is none such, or not with that one.

        `certified`: the name in the certificate it has shown; None: none.
        """

    def grant(
        self, name: str, offer: Offer
    ) -> tuple[Welcome, frozenset[str], dict[str | int, str]]:
        """What a connector gets, what it may be asked for, and what it has published."""

    def joined(self, joined: Joined) -> None:
        """One is connected."""

    def leaving(self, joined: Joined) -> None:
        """It takes no new streams: what is kept open through it for later is to be let go. Each second until it has."""

    def left(self, joined: Joined, why: str) -> None:
        """It is not any more."""

    def denied(self, client: str, name: str, failed: HandshakeFailed) -> None:
        """One was refused."""


def channel_of(transport: Any) -> bytes:
    """What ties a proof to this TLS channel; b"" without TLS."""
    if not is_secure(transport):
        return b""
    found: bytes = transport.getHandle().export_keying_material(EXPORTER, 32)
    return found


def certified_name(transport: Any) -> str | None:
    """The common name in the certificate that the other side has shown, which TLS has verified; None: none was shown.

    One that has no name, or several, is of nobody: "".
    """
    get = getattr(transport, "getPeerCertificate", None)
    certificate = None if get is None else get()
    if certificate is None:
        return None
    subject = certificate.to_cryptography().subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


@implementer(IProtocol)
class TunnelDoor:
    """See the module (`net.sockets.acceptor.Door`, `net.tunnels.session.SessionOwner`)."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, site: TunnelSite, acceptor: Acceptor, client: str) -> None:
        self.factory: Any = None
        self.transport: Any = None
        self.site = site
        self.acceptor = acceptor
        self.address = client
        self.deadline = NEVER
        self.session: Session | None = None
        self._handshake: ServerSide | None = None
        self._joined: Joined | None = None
        self._over = False

    def makeConnection(self, transport: Any) -> None:
        """A connector has connected, or somebody else."""
        self.transport = transport
        probe_when_idle(transport)
        self.deadline = self.acceptor.now() + self.site.handshake_seconds
        self.acceptor.connected(self)

    def connectionMade(self) -> None:
        """Nothing: makeConnection has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the connector."""
        if self.session is not None:
            self.session.receive(data)
        elif not self._over:
            try:
                self._shake(data)
            except HandshakeFailed as failed:
                self._refuse(failed)

    def _shake(self, data: bytes) -> None:
        handshake = self._handshake
        if handshake is None:
            site = self.site
            certified = certified_name(self.transport)
            self._handshake = handshake = ServerSide(
                partial(site.secret_of, certified=certified),
                site.nonce(),
                channel_of(self.transport),
                site.decoy(),
            )
        answer = handshake.receive(data)
        if answer:
            self.transport.write(answer)
        if handshake.offer is not None:
            self._begin(handshake, handshake.offer)

    def _begin(self, handshake: ServerSide, offer: Offer) -> None:
        site, acceptor = self.site, self.acceptor
        if acceptor.draining:
            raise HandshakeFailed(BUSY, "the server stops", 1.0)
        welcome, services, published = site.grant(handshake.name, offer)
        self.transport.write(handshake.welcome(welcome))
        self.deadline = NEVER
        self.session = session = Session(
            self,
            self.transport,
            handshake.name,
            site.settings,
            opens=True,
            deadlines=acceptor.deadlines,
            turn=site.turn,
        )
        session.start()
        self._joined = joined = Joined(
            session,
            self.address,
            handshake.instance,
            offer,
            services,
            published,
            site.name,
        )
        site.connectors.add(joined)
        site.joined(joined)

    def _refuse(self, failed: HandshakeFailed) -> None:
        self._over = True
        name = "" if self._handshake is None else self._handshake.name
        self.site.denied(self.address, name, failed)
        self.transport.write(refusal(failed))
        self.deadline = self.acceptor.now() + CLOSE_SECONDS
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over."""
        self.acceptor.lost(self)
        if self.session is not None:
            self.session.lost(reason)
        elif not self._over:
            self._over = True
            reason_of_tls = getattr(self.transport, "handshake_failure", "")
            if reason_of_tls:
                failed = HandshakeFailed(f"tls_{reason_of_tls}", "its TLS has failed")
            else:
                failed = HandshakeFailed(LEFT, "it has closed within the handshake")
            self.site.denied(self.address, "", failed)

    def expired(self, now: float) -> None:
        """It has not said who it is in time, or does not go."""
        self.deadline = NEVER
        if not self._over:
            self._over = True
            failed = HandshakeFailed(SILENT, "no handshake in time")
            self.site.denied(self.address, "", failed)
        self.transport.abortConnection()

    # -- net.tunnels.session.SessionOwner

    def asked(self, stream: TunnelStream) -> None:
        """Never: only this side opens streams."""
        raise NotImplementedError

    def session_leaving(self) -> None:
        """It is to have no new streams."""
        if self._joined is not None:
            self.site.leaving(self._joined)

    def session_over(self, why: str) -> None:
        """The session has ended."""
        joined, self._joined = self._joined, None
        if joined is not None:
            self.site.connectors.discard(joined)
            self.site.left(joined, why)

    # -- net.sockets.acceptor.Door

    @property
    def idle(self) -> bool:
        """Never: who is connected is to stay."""
        return False

    def shed(self) -> bool:
        """Not asked for: it is not idle."""
        return False

    def shut(self) -> None:
        """The proxy stops now."""
        if self.session is not None:
            self.session.abort("the server stops")
        else:
            self._over = True
            self.transport.abortConnection()

    def drain(self, until: float) -> None:
        """The proxy stops: the connector looks for its successor, and what goes on is waited for."""
        if self.session is not None:
            self.session.announce()


def nothing_said(transport: Any, data: bytes) -> bytes:
    """What connectors beyond the limits are told: to come again."""
    return refusal(HandshakeFailed(BUSY, "too many connections", 5.0))


def tunnel_acceptor(
    name: str, site: TunnelSite, *, deadlines: Deadlines, census: Census, most: int = 0
) -> Acceptor:
    """The factory behind the tunnel `name`. `most`: connections, 0 = no limit of its own."""
    return Acceptor(
        name,
        partial(TunnelDoor, site),
        alpn=[],
        overloaded=nothing_said,
        idle_seconds=NEVER,
        deadlines=deadlines,
        census=census,
        most=most,
    )
