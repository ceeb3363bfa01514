"""Accepted TLS connections with OpenSSL on the socket itself (`net.sockets.tls_ports` listens).

Twisted's TLS passes every byte through memory buffers and a second transport. Here
OpenSSL reads and writes the socket, and `TLSServer` is the eager transport with three
methods replaced, so nothing above can tell it from a plain one but by `secure`.

    accept --> handshaking --doRead/doWrite: do_handshake--> open --> closed
                 no byte to or from the protocol;            doRead: one record
                 writes are queued                           write: SSL_write at once

OpenSSL may need to write before it can read, and the reverse: `_reads_blocked` and
`_writes_blocked` say which of our two interests waits for the other readiness. It reads
no more than the record at hand (no read-ahead) and a record fits one `recv`, so that
nothing is left inside it that the reactor could not see.

Imports: net, net.sockets, wire, Twisted, pyOpenSSL. Used by: net.sockets.tls_ports.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from OpenSSL import SSL
from twisted.internet import tcp, unix
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.sockets.challenges import Challenges, Looking
from lolly_tx.net.sockets.handshakes import Handshakes, reason_of
from lolly_tx.net.sockets.records import single, write
from lolly_tx.net.sockets.records_at_once import RecordAtOnce
from lolly_tx.net.sockets.tls_contexts import clear_errors
from lolly_tx.net.sockets.transports import SocketTransport
from lolly_tx.wire.proxyline import V2_MOST

PREFACE_BYTES = V2_MOST
"""The most that comes ahead of a handshake."""
BEFORE = b"before SSL initialization"
"""OpenSSL's word for a handshake that still waits for the whole ClientHello."""
HANDSHAKE_FAILURE = b"\x15\x03\x03\x00\x02\x02\x28"
"""The alert, in the clear."""


@implementer(ISSLTransport)
class TLSTransport(RecordAtOnce, SocketTransport):
    """The server's side of TLS, mixed in before a stock server transport.

    The protocol gets makeConnection at accept and data only after the handshake. Limit
    the time of the handshake by that of the first request, with abortConnection.
    """

    doRead: Any  # as in `SocketTransport`
    secure = True
    _log = Logger()
    _goodbye = False
    _challenged = False
    _looking: Looking | None = None
    _reads_blocked = False
    deadline = NEVER
    """When the handshake has to be done."""
    handshake_failure = ""
    """Why it is not going to be, as it is counted."""

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, *rest: Any):
        # Before the stock part, which begins to read.
        self._preface: Callable[[bytes], int] | None = getattr(
            protocol, "preface", None
        )
        self._credentials = server.credentials
        self._secure(self._credentials.context, sock)
        challenges = self._credentials.challenges
        if challenges is not None and challenges.pending:
            self._looking = Looking(challenges)
        # The class mixed into is a stock Server, whose arguments these are.
        super().__init__(sock, protocol, client, server, *rest)
        self._credentials.handshakes.begin(self)

    def _secure(self, context: SSL.Context, sock: Any) -> None:
        self._ssl = SSL.Connection(context, sock)
        single(self._ssl)
        self._ssl.set_accept_state()

    def getHandle(self) -> Any:
        """The OpenSSL connection."""
        return self._ssl

    def getPeerCertificate(self) -> Any:
        """The client's certificate, or None."""
        return self._ssl.get_peer_certificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN agreed on, or None."""
        return self._ssl.get_alpn_proto_negotiated() or None

    # -- the handshake

    def _may_shake(self) -> bool:
        return self._preface is None and not self._aborting

    def _read_preface(self, preface: Callable[[bytes], int]) -> Exception | None:
        """Let the protocol have what comes ahead of the handshake, and no byte more."""
        try:
            data = self.socket.recv(PREFACE_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return self._end()
        if not data:
            return CONNECTION_DONE
        taken = preface(data)
        if taken:
            self.socket.recv(taken)
        introduced: Any = self.protocol  # `net.sockets.proxied`'s
        if introduced.inner is not None:
            self._preface = None
        return None

    def _may_begin(self, looking: Looking) -> bool:
        """Whether it is known whom the handshake is with: an authority that looks for a challenge, or anybody."""
        context = looking.look(self.socket)
        if looking.waiting:
            return False
        self._looking = None
        if context is not None:
            self._challenged = True
            self._secure(context, self.socket)
        return True

    def _shake(self) -> Exception | None:
        if self._looking is not None and not self._may_begin(self._looking):
            return None
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return None
        except SSL.WantWriteError:
            self._block_reads()
            return None
        except SSL.Error as error:
            # Scanners, plain HTTP, old versions: no fault of ours and no news.
            self._log.debug(
                "TLS handshake failed ({peer}): {error!r}",
                peer=getattr(self.getPeer(), "host", "unix:"),
                error=error,
            )
            self._fail(reason_of(error))
            return self._end()
        if not (self._challenged or self._credentials.admits(self._ssl)):
            self._fail("other_policy")
            return self._end()
        self._credentials.handshakes.done(self)
        self._handshaking = False
        if self._challenged:
            # That was all there is to it (RFC 8737 section 4).
            self._tempDataBuffer.clear()
            self._tempDataLen = 0
            return CONNECTION_DONE
        self._unblock_writes()
        told = getattr(self.protocol, "handshakeCompleted", None)
        if told is not None:  # who has something to do before a byte has come
            told()
        return None

    def _fail(self, reason: str) -> None:
        self.handshake_failure = reason
        self._credentials.handshakes.failed(self, reason)

    # -- its time (`net.deadlines.Watched`)

    def expired(self, now: float) -> None:
        """The handshake has had its time."""
        if self._preface is None and self._ssl.get_state_string() == BEFORE:
            # Nothing is encrypted yet, and whoever waits is told (RFC 8446 section 6).
            with suppress(OSError):
                self.socket.send(HANDSHAKE_FAILURE)
        self._fail("timeout")
        self.loseConnection()  # a reset would destroy the alert

    def _end(self) -> Exception:
        self._broken = True
        clear_errors()
        return CONNECTION_LOST

    def _block_reads(self) -> None:
        self._reads_blocked = True
        self.stopReading()
        super().startWriting()

    def _unblock_writes(self) -> None:
        self._writes_blocked = False
        if self.pending_bytes() or self.disconnecting or self._writeDisconnecting:
            self.startWriting()

    def startWriting(self) -> None:
        """Watch for writability, unless OpenSSL must read before it can write."""
        if not self._writes_blocked:
            super().startWriting()

    # -- reading

    def _get_ready(self) -> Exception | None:
        if not self._handshaking:
            self._unblock_writes()
            return None
        if self._preface is not None:
            why = self._read_preface(self._preface)
            if not self._may_shake():
                return why
        # The first request often comes along with the end of the handshake.
        return self._shake()

    def _not_read(self, error: Exception) -> Exception | None:
        if isinstance(error, SSL.WantReadError):
            return None
        if isinstance(error, SSL.WantWriteError):
            self._block_reads()
            return None
        if isinstance(error, SSL.ZeroReturnError):
            return CONNECTION_LOST if self._broken else CONNECTION_DONE
        # Among them an end of file without close_notify: somebody may have cut it.
        return self._end()

    # -- writing

    def _send(self, data: bytes | memoryview) -> int:
        """Send until the kernel takes no more. Sets `_broken` on an error.

        What was refused must be offered again, first: it is, from the queue's head.
        """
        connection = self._ssl
        sent = 0
        try:
            sent = write(connection, data)
            if sent < len(data):
                view = memoryview(data)
                while sent < len(view):
                    sent += write(connection, view[sent:])
        except SSL.Error as error:
            self._not_sent(error)
        return sent

    def _not_sent(self, error: Exception) -> None:
        if isinstance(error, SSL.WantReadError):
            self._writes_blocked = True
            self.stopWriting()
        elif not isinstance(error, SSL.WantWriteError):
            self._end()

    def writeSomeData(self, data: bytes) -> Any:
        """As the stock method, which sends to the socket: doWrite calls it."""
        if not data:
            return 0  # OpenSSL has no such write
        if self._broken:
            return CONNECTION_LOST
        sent = self._send(memoryview(data)[: self.SEND_LIMIT])
        return sent if sent or not self._broken else CONNECTION_LOST

    def doWrite(self) -> Any:
        """Go on with what waited for the socket to take bytes."""
        if self._reads_blocked and not self.disconnecting:
            self._reads_blocked = False
            self.stopWriting()
            self.startReading()
            why = self.doRead()
            if why is not None or self._handshaking or self._reads_blocked:
                return why
            if not (self.pending_bytes() or self.disconnecting):
                return None
        return super().doWrite()

    # -- the end

    def loseConnection(self) -> None:
        """Flush, send close_notify and close. In a handshake: close."""
        if self._handshaking:
            self._tempDataBuffer.clear()
            self._tempDataLen = 0
            self._writes_blocked = self._reads_blocked = False
        super().loseConnection()

    def _say_goodbye(self) -> bool:
        """Send close_notify, once; nobody waits for the answer. False: there is no room yet.

        Not when bytes are left unsent: the peer is to see that something is missing.
        """
        if self._handshaking or self._broken or self._goodbye or self.pending_bytes():
            return True
        try:
            self._ssl.shutdown()
        except SSL.WantWriteError:
            return False
        except SSL.Error:
            clear_errors()
        self._goodbye = True
        return True

    def _postLoseConnection(self) -> Any:
        return super()._postLoseConnection() if self._said_goodbye() else None

    def _closeWriteConnection(self) -> None:
        if self._said_goodbye():
            super()._closeWriteConnection()

    def _said_goodbye(self) -> bool:
        """Whether close_notify has left; if not, doWrite asks again when there is room."""
        said = self._say_goodbye()
        if not said:
            super().startWriting()
        return said

    def connectionLost(self, reason: Failure) -> None:
        """Close, tell the protocol, and let OpenSSL's half go."""
        if self._handshaking:
            self._credentials.handshakes.left(self)
        if self.connected and not self._aborting:
            self._say_goodbye()
        super().connectionLost(reason)
        self._ssl = None


class ContextSource(Protocol):
    """What secures the connections of a listener.

    `context`: of the next one. `handshakes`: what is allowed to them, and what became of them. `challenges`: of
    authorities; None: there are none.
    """

    handshakes: Handshakes
    challenges: Challenges | None

    @property
    def context(self) -> SSL.Context:
        """Of the next connection."""

    def admits(self, connection: SSL.Connection) -> bool:
        """Whether a connection whose handshake is done may go on."""


class OneContext:
    """A context that is never another."""

    challenges: Challenges | None = None

    def __init__(self, context: SSL.Context) -> None:
        self.context = context
        self.handshakes = Handshakes()

    def admits(self, connection: SSL.Connection) -> bool:
        """Always."""
        return True


class TLSServer(TLSTransport, tcp.Server):
    """An accepted TLS connection over TCP."""


class TLSUNIXServer(TLSTransport, unix.Server):
    """An accepted TLS connection over a UNIX socket."""
