"""A view of a reactor whose streams are our transports: ports and connectors that make them.

    eager(reactor) ---- listenTCP/connectTCP ---> PlainPort / PlainConnector
    (a view that                                       |
     proxies the rest)                       PlainServer / PlainClient  (net.sockets.transports)

Imports: net.sockets, Twisted. Used by: net.sockets, service.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import abstract, tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from zope.interface import directlyProvides, providedBy

from lolly_tx.net.sockets.direct import dial
from lolly_tx.net.sockets.inherited import Heirloom
from lolly_tx.net.sockets.ports import LastCall, LastCallUNIX
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1
from lolly_tx.net.sockets.transports import (
    PlainClient,
    PlainServer,
    PlainUNIXClient,
    PlainUNIXServer,
)

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOFactory

LEAST_BACKLOG = 1024
"""Queue of connections not yet accepted. Twisted's 50 overflows in one burst, and then
clients wait a second for their SYN to be repeated; the kernel caps it at somaxconn."""

_log = Logger()


def missing_names() -> list[str]:
    """The private names of Twisted this module leans on which are not there.

    Empty with every release this was tested with. Otherwise `eager` changes nothing.
    """
    blank = abstract.FileDescriptor(reactor=object())  # type: ignore[arg-type]  # unused
    needed = (
        (blank, "_tempDataBuffer _tempDataLen dataBuffer offset"),
        (blank, "_writeDisconnecting _writeDisconnected _maybePauseProducer"),
        (blank, "_postLoseConnection bufferSize disconnecting connected"),
        (tcp.Connection, "_aborting TLS _closeWriteConnection writeSomeData"),
        (tcp.Port, "transport createInternetSocket _fromListeningDescriptor"),
        (tcp.Port, "_closeSocket _shouldShutdown doRead"),
        (tcp.Connector, "_makeTransport"),
        (tcp.Client, "_finishInit _setRealAddress _connectDone _commonConnection"),
        (unix.Connector, "_makeTransport"),
        (unix.Port, "transport _fromListeningDescriptor"),
    )
    return [
        f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
        for owner, names in needed
        for name in names.split()
        if not hasattr(owner, name)
    ]


_MISSING = missing_names()
if _MISSING:  # pragma: no cover  # only with a Twisted that does not exist yet
    _log.warn(
        "This Twisted lacks {names}: connections are served by its own transports, "
        "correctly but slower",
        names=", ".join(_MISSING),
    )


def share_address(listening: socket.socket, on: bool) -> None:
    """Let others with the same wish be bound to an address that overlaps that of `listening`; `on`: or no more."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, on)


class PlainPort(LastCall, tcp.Port):
    """A listening TCP socket that makes `PlainServer`s."""

    transport: Any = PlainServer  # the stock Port names its own class
    beside_others = False
    """It may listen where another socket of this process, which says the same, does already."""

    def __init__(
        self,
        port: int,
        factory: Any,
        backlog: int = LEAST_BACKLOG,
        interface: str = "",
        reactor: Any = None,
    ) -> None:
        # An adopted socket (no port number) is listening already and passes None.
        backlog = max(backlog or 0, LEAST_BACKLOG)
        super().__init__(port, factory, backlog, interface, reactor)

    def createInternetSocket(self) -> socket.socket:
        """The socket, before it is bound."""
        made: socket.socket = super().createInternetSocket()
        if self.beside_others:
            share_address(made, True)
        return made

    def startListening(self) -> None:
        """Listen. Accepted sockets inherit TCP_NODELAY, one system call less each."""
        super().startListening()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)


class PlainUNIXPort(LastCallUNIX, unix.Port):
    """A listening UNIX socket that makes `PlainUNIXServer`s."""

    transport: Any = PlainUNIXServer


class PlainConnector(tcp.Connector):
    """Opens `PlainClient`s."""

    def _makeTransport(self) -> PlainClient:
        return PlainClient(self.host, self.port, self.bindAddress, self, self.reactor)


class PlainUNIXConnector(unix.Connector):
    """Opens `PlainUNIXClient`s."""

    def _makeTransport(self) -> Any:  # the base class names tcp.Client
        return PlainUNIXClient(self.address, self, self.reactor, self.checkPID)


class EagerReactor:
    """A reactor whose stream connections are ours; all else is the real one's.

    Not a reactor itself: a view to give to endpoints and to string parsers.
    """

    _port: type[tcp.Port] = PlainPort
    _unix_port: type[unix.Port] = PlainUNIXPort

    def __init__(self, reactor: PosixReactorBase) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    secure = False
    """What listens speaks TLS."""
    beside_others = False
    """What listens from now on may do so beside other sockets of this process (`share_address`)."""
    heirloom: Heirloom | None = None
    """The socket for the next port, which it listens on in place of a new one."""

    def go_by(self, other: EagerReactor) -> None:
        """Have the certificates of `other`, for the listeners to come; this one has none."""

    def _listen(self, port: Any) -> Any:
        port.beside_others = self.beside_others
        if self.heirloom is not None:
            port.inherit(self.heirloom.socket, self.heirloom.owned)
            self.heirloom = None
        port.startListening()
        return port

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> tcp.Port:
        """As IReactorTCP.listenTCP."""
        made = self._port(port, factory, backlog, interface, self._reactor)
        return self._listen(made)  # type: ignore[no-any-return]  # what went in

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,
    ) -> tcp.Connector:
        """As IReactorTCP.connectTCP."""
        connector = PlainConnector(
            host, port, factory, timeout, bindAddress, self._reactor
        )
        connector.connect()
        return connector

    def dial(
        self, host: str, port: int, factory: IProtocolFactory, bind: Any = None
    ) -> Deferred[Any]:
        """Connect to an address, as endpoints do, by the shortest way."""
        return dial(self._reactor, host, port, factory, bind)

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> tcp.Port:
        """As IReactorSSL.listenSSL: Twisted's TLS over our plain transport."""
        wrapped = self.wrap_tls(factory, contextFactory)
        listening = PlainPort(port, wrapped, backlog, interface, self._reactor)
        listening._type = "TLS"  # only the word in Twisted's log lines
        return self._listen(listening)  # type: ignore[no-any-return]  # as above

    def wrap_tls(self, factory: Any, contextFactory: Any) -> TLSMemoryBIOFactory:
        """`factory` behind Twisted's TLS, for a port of ours."""
        from twisted.internet.ssl import CertificateOptions
        from twisted.protocols.tls import TLSMemoryBIOFactory

        from lolly_tx.net.sockets.tls_contexts import alpn_chooser

        if isinstance(contextFactory, CertificateOptions):
            # Its own choice ends the handshake when there is nothing in common.
            offers = getattr(factory, "acceptableProtocols", None)
            offered = (ALPN_HTTP1,) if offers is None else tuple(offers())
            context = contextFactory.getContext()
            context.set_alpn_select_callback(alpn_chooser(offered))
        return TLSMemoryBIOFactory(contextFactory, False, factory, self._reactor)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> unix.Port:
        """As IReactorUNIX.listenUNIX."""
        made = self._unix_port(
            address,
            factory,
            max(backlog, LEAST_BACKLOG),
            mode,
            self._reactor,
            wantPID,
        )
        return self._listen(made)  # type: ignore[no-any-return]  # as above

    def connectUNIX(
        self, address: Any, factory: Any, timeout: float = 30, checkPID: int = 0
    ) -> unix.Connector:
        """As IReactorUNIX.connectUNIX."""
        connector = PlainUNIXConnector(
            address, factory, timeout, self._reactor, checkPID
        )
        connector.connect()
        return connector

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: Any
    ) -> Any:
        """As IReactorSocket.adoptStreamPort: listeners passed by a supervisor."""
        if addressFamily == socket.AF_UNIX:
            made: Any = self._unix_port._fromListeningDescriptor(
                self._reactor, fileDescriptor, factory
            )
        elif addressFamily in (socket.AF_INET, socket.AF_INET6):
            made = self._port._fromListeningDescriptor(
                self._reactor, fileDescriptor, addressFamily, factory
            )
        else:
            return self._reactor.adoptStreamPort(fileDescriptor, addressFamily, factory)
        return self._listen(made)


def eager(reactor: Any) -> Any:
    """A view of `reactor` whose TCP and UNIX streams use the transports above.

    `reactor` itself where that cannot be: one not made of file descriptors (a test's
    MemoryReactor), or a Twisted that lacks a name we need. Applied twice, it is the
    same view.
    """
    if _MISSING or not isinstance(reactor, PosixReactorBase):
        return reactor
    return EagerReactor(reactor)
