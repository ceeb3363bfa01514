"""A WebSocket as a transport: what is written becomes binary messages, and what messages carry is read.

    opening --handshake--> open --Close either way--> half closed --the other's--> closed
       +--refused: an answer, and the end

A WebSocket has no half-close. A Close of ours says that no more comes, and what the peer still sends before its own is
read; most peers send nothing more. Between two bridges a half-close passes so.

Imports: domain, wire, Twisted. Used by: net.websockets.endpoints.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from os import urandom
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.wire import websocket_messages as ws

OPENING_SECONDS = 10.0
"""What a peer may take for its part of the handshake."""
CLOSING_SECONDS = 10.0
"""What it may take for its Close, once both have said all."""
PIECE_BYTES = 65536
"""Of one message that is sent."""


@implementer(ITransport, IHalfCloseableProtocol)
class Bridge(Protocol):
    """See the module. `inner`: who speaks over it. `clock`: for limits. A subclass has the handshake."""

    transport: Any

    def __init__(self, clock: IReactorTime, is_client: bool) -> None:
        self.inner: Any = None
        self.disconnecting = False
        self._clock = clock
        self._is_client = is_client
        self._reader = ws.FrameReader(from_client=not is_client)
        self._limit: Any = None
        self._said = self._heard = self._gone = False

    def connectionMade(self) -> None:
        """The handshake has a time."""
        self._limit = self._clock.callLater(OPENING_SECONDS, self.abortConnection)

    def opened(self, inner: Any, rest: bytes) -> None:
        """The handshake is done: `inner` has the connection. `rest`: came behind it."""
        self._stop_limit()
        self.inner = inner
        inner.makeConnection(self)
        if rest:
            self.frames(rest)

    def _stop_limit(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None and limit.active():
            limit.cancel()

    # -- what comes

    def frames(self, data: bytes) -> None:
        """Bytes of frames."""
        try:
            found = self._reader.read(data)
        except ws.BadFrame as bad:
            self._break_off(bad.code)
            return
        for opcode, payload in found:
            if self._heard or self._gone:
                return
            if opcode == ws.BINARY:
                if payload and not self.disconnecting:
                    self.inner.dataReceived(payload)
            elif opcode == ws.PING:
                self._send(ws.PONG, payload)
            elif opcode == ws.CLOSE:
                self._close_heard(payload)

    def _break_off(self, code: int) -> None:
        """Say so, and cut it."""
        self._close(code)
        self.abortConnection()

    def _close_heard(self, payload: bytes) -> None:
        """The peer ends it. What it has broken off is not to look complete."""
        try:
            code = ws.code_of(payload)
        except ws.BadFrame as bad:
            self._break_off(bad.code)
            return
        if ws.is_failure(code):
            self._break_off(code)
        else:
            self._end_heard()

    def _end_heard(self) -> None:
        self._heard = True
        if self._said:
            self.transport.loseConnection()
            return
        half: Any = IHalfCloseableProtocol(self.inner, None)
        if half is not None:
            half.readConnectionLost()
        else:
            self.loseConnection()

    def readConnectionLost(self) -> None:
        """The connection below ends without a Close: what was cut is not to look complete."""
        if self._heard:
            self.transport.loseConnection()
        else:
            self.abortConnection()

    def writeConnectionLost(self) -> None:
        """Never: the connection below is not half-closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self._gone = True
        self._stop_limit()
        if self.inner is not None:
            clean = self._heard and reason.check(ConnectionDone)
            self.inner.connectionLost(reason if clean else Failure(ConnectionLost()))

    # -- ITransport

    def _send(self, opcode: int, payload: bytes) -> None:
        if not self._said and not self._gone:
            mask = urandom(4) if self._is_client else b""
            self.transport.write(ws.frame(opcode, payload, mask))

    def _close(self, code: int) -> None:
        self._send(ws.CLOSE, ws.close(code))
        self._said = True

    def write(self, data: bytes) -> None:
        """Send `data` as messages."""
        for at in range(0, len(data), PIECE_BYTES):
            self._send(ws.BINARY, data[at : at + PIECE_BYTES])

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same of several."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """Say that no more comes."""
        if self._said:
            return
        self._close(ws.NORMAL)
        if self._heard:
            self.transport.loseConnection()
        half: Any = IHalfCloseableProtocol(self.inner, None)
        if half is not None:
            half.writeConnectionLost()

    def loseConnection(self) -> None:
        """Say so, and close when the peer has, too."""
        if self.disconnecting:
            return
        self.disconnecting = True
        self.loseWriteConnection()
        if not self._gone:
            self._stop_limit()
            self._limit = self._clock.callLater(CLOSING_SECONDS, self.abortConnection)
            self.transport.resumeProducing()

    def abortConnection(self) -> None:
        """Cut it."""
        abort = getattr(self.transport, "abortConnection", None)
        (abort or self.transport.loseConnection)()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The connection below says when to stop, and when to go on."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """It has no more."""
        self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._gone:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Close it."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """Who is there."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Where it is."""
        return self.transport.getHost()


class ServerBridge(Bridge):
    """A client's. `inner`: who speaks over it."""

    def __init__(
        self, clock: IReactorTime, opening: ws.ServerOpening, inner: Any
    ) -> None:
        super().__init__(clock, is_client=False)
        self._opening = opening
        self._waiting = inner

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the client."""
        if self.inner is not None:
            self.frames(data)
            return
        try:
            answer = self._opening.receive(data)
        except ws.Refused as refused:
            self.transport.write(ws.refusal(refused))
            self.transport.loseConnection()
            return
        if answer:
            self.transport.write(answer)
            self.opened(self._waiting, self._opening.rest)


class ServerBridges(Factory):
    """Makes them, in front of the protocols of `inner`."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        inner: IProtocolFactory,
        path: str,
        origins: tuple[str, ...],
    ) -> None:
        self._clock = clock
        self._inner = inner
        self._path = path
        self._origins = origins

    def doStart(self) -> None:
        """Pass it on."""
        self._inner.doStart()

    def doStop(self) -> None:
        """Pass it on."""
        self._inner.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One, if there is to be anybody behind it."""
        inner = self._inner.buildProtocol(addr)  # type: ignore[arg-type]  # as in Factory
        if inner is None:
            return None
        opening = ws.ServerOpening(self._path, self._origins)
        return ServerBridge(self._clock, opening, inner)


class ClientBridge(Bridge):
    """To a server. `host`, `path`: what it is asked for. `ready`: fires with the protocol that `inner` makes."""

    def __init__(
        self, clock: IReactorTime, host: str, path: str, inner: IProtocolFactory
    ) -> None:
        super().__init__(clock, is_client=True)
        self.ready: Deferred[Any] = Deferred(lambda _: self.abortConnection())
        self._key = b64encode(urandom(16))
        self._opening = ws.ClientOpening(self._key)
        self._host = host
        self._path = path
        self._factory = inner

    def connectionMade(self) -> None:
        """Ask."""
        super().connectionMade()
        self.transport.write(ws.opening_request(self._host, self._path, self._key))

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the server."""
        if self.inner is not None:
            self.frames(data)
            return
        try:
            whole = self._opening.receive(data)
        except ws.Refused as refused:
            self._fail(ConnectFailed(f"no WebSocket: {refused}"))
            self.abortConnection()
            return
        if whole:
            inner = self._factory.buildProtocol(self.transport.getPeer())
            ready = self.ready
            self.opened(inner, self._opening.rest)
            ready.callback(inner)

    def _fail(self, error: Exception) -> None:
        if self.inner is None and not self.ready.called:
            self.ready.errback(Failure(error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self._fail(ConnectFailed("closed within the WebSocket handshake"))
        super().connectionLost(reason)
