"""Where datagrams come: a socket, and the sessions of those who send there.

    datagram --> is there a session of this client? --no--> the acceptor's word, then the site finds a target
                        | yes
                        v
                 its socket --> target --> its socket --> from here to the client

A client is its address and port, and the address of ours that it used. Several datagrams are read in one turn, but not
more than `AT_ONCE`: others have their turn as well.

Imports: domain, domain.access, net.datagrams, Twisted. Used by: net.datagrams.endpoint,
service, simulate.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.access.forwarded import canonical
from lolly_tx.domain.node import Node
from lolly_tx.net.datagrams.acceptor import DatagramAcceptor
from lolly_tx.net.datagrams.session import DatagramSession
from lolly_tx.net.datagrams.sockets import (
    ANCILLARY_BYTES,
    LONGEST,
    UNREACHED,
    answering_from,
    asked_at,
    host_of,
    is_everywhere,
    why_dropped,
)

AT_ONCE = 64
"""Datagrams that are read in one turn, less than a millisecond; what does not fit is first in the next."""

MOST_AVOIDED = 4096
"""Clients of whom it is remembered who refused them last."""


@implementer(IListeningPort, IReadDescriptor)
class DatagramPort:
    """See the module. `listening`: bound, ours from now on. `is_lent`: it is somebody else's, too."""

    resting = False
    """Nobody new gets a session, until `wake`."""

    def __init__(
        self,
        reactor: Any,
        listening: socket.socket,
        factory: DatagramAcceptor,
        is_lent: bool = False,
    ) -> None:
        self.reactor = reactor
        self.socket = listening
        self.factory = factory
        self.is_lent = is_lent
        self.now = factory.now
        self.addressFamily = listening.family
        self.buffer = memoryview(bytearray(LONGEST))
        """For whatever is read by the port and its sessions; nothing stays there."""
        self.sessions: dict[Any, DatagramSession] = {}
        self._avoided: dict[Any, Node] = {}
        self._everywhere = is_everywhere(listening)
        self._receive: Any = listening.recvfrom_into
        self._send: Any = listening.sendto
        self._closing = False
        self._open = False

    def __repr__(self) -> str:
        return f"<DatagramPort {self.getHost()} with {len(self.sessions)} sessions>"

    # -- what clients send

    def doRead(self) -> None:
        """Datagrams have come."""
        if self._everywhere:
            self._read_everywhere()
            return
        receive, view, get = self._receive, self.buffer, self.sessions.get
        now = self.now()
        for _ in range(AT_ONCE):
            try:
                size, client = receive(view)
            except BlockingIOError:
                return
            except OSError as error:
                self._odd(error)
                return
            session = get(client)
            if session is None or not session.forward(view[:size], now):
                self._begin(client, client, b"", view[:size], now)

    def _read_everywhere(self) -> None:
        """The same, where each datagram may have been sent to another address of ours."""
        receive, view, get = self.socket.recvmsg_into, self.buffer, self.sessions.get
        now = self.now()
        for _ in range(AT_ONCE):
            try:
                size, ancillary, _, client = receive([view], ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._odd(error)
                return
            ours = asked_at(ancillary)
            key = (client, ours)
            session = get(key)
            if session is None or not session.forward(view[:size], now):
                self._begin(key, client, ours, view[:size], now)

    def _odd(self, error: OSError) -> None:
        """The socket has something else to tell, such as of an answer that did not arrive."""
        self.factory.site.dropped(why_dropped(error), True)

    def _begin(
        self, key: Any, client: Any, ours: bytes, data: memoryview, now: float
    ) -> None:
        """A client that has no session, or none any more, has sent `data`."""
        acceptor = self.factory
        if self.resting or self._closing:
            acceptor.site.dropped("no new sessions here", True)
            return
        host: str = client[0]
        if ":" in host:
            host = canonical(host.partition("%")[0])
        session = acceptor.session_for(host, now)
        if session is None:
            return
        session.port = self
        session.key, session.client, session.asked_at = key, client, ours
        session.answering = answering_from(ours)
        self.sessions[key] = session
        acceptor.connected(session)
        avoided = self._avoided.pop(key, None)
        session.forward(data, now)  # kept until there is a target
        session.site.find(session, () if avoided is None else (avoided,))

    def answer(self, data: memoryview, session: DatagramSession) -> None:
        """Send what came from the target of `session` to its client."""
        try:
            if session.answering:
                self.socket.sendmsg([data], session.answering, 0, session.client)
            else:
                self._send(data, session.client)
        except OSError as error:
            # What ICMP says of a client is no matter: it may listen again.
            if error.errno not in UNREACHED:
                session.site.dropped(why_dropped(error), False)

    # -- its sessions

    def avoid(self, key: Any, node: Node) -> None:
        """The next session of a client is to be with somebody else, if there is one."""
        if len(self._avoided) >= MOST_AVOIDED:
            del self._avoided[next(iter(self._avoided))]
        self._avoided[key] = node

    def forget(self, session: DatagramSession) -> None:
        """A session is over."""
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
        if self._closing and not self.sessions:
            self._close()

    # -- as a listening port

    def startListening(self) -> None:
        """Take datagrams."""
        self._open = True
        self.reactor.addReader(self)

    def lend(self) -> None:
        """Another process has the socket as well from now on."""
        self.is_lent = True

    def rest(self, *, last_call: bool | None = None) -> None:
        """Give nobody new a session, until `wake`; those who have one go on."""
        self.resting = True

    def wake(self, *, listen: bool | None = None) -> None:
        """Give sessions again."""
        self.resting = False

    def stopListening(self) -> Deferred[None]:
        """Take nobody new, and close with the last session.

        What comes for those there are is still read, unless the socket is somebody else's as well: whose turn it is
        cannot be told, so the other has all of it, and only answers still go out here.
        """
        self._closing = True
        if not self.sessions:
            self._close()
        elif self.is_lent:
            self.reactor.removeReader(self)
        return succeed(None)

    loseConnection = stopListening

    def _close(self) -> None:
        if self._open:
            self._open = False
            self.reactor.removeReader(self)
            self.socket.close()
            self._avoided.clear()

    def getHost(self) -> Any:
        """Its address."""
        return host_of(self.socket)

    # -- what a reactor asks

    def fileno(self) -> int:
        """Of the socket."""
        return self.socket.fileno()

    def logPrefix(self) -> str:
        """What the log calls it."""
        return "datagrams"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has taken it for closed: it stops, or an error waits, which reading the socket's state clears."""
        if not self._open:
            return
        if self.reactor.running and self.socket.getsockopt(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            self.reactor.addReader(self)
            return
        self._closing = True
        for session in [*self.sessions.values()]:
            session.shut()
        self._close()
