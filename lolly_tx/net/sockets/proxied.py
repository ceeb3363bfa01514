"""Listeners whose clients are spoken for by a load balancer, with a PROXY header ahead of everything else.

    connect --listed peer--> Expected --header--> the door of the client that it names
                                  +--none, a bad one, none in time: closed, with a reason
            --anybody else-> Screened --its first bytes--> the same door, which there is from the start
                                  +--a header: closed, with a reason

With TLS on the socket itself the header is ahead of the handshake: `net.sockets.tls` looks at what has come, without
taking it, and asks `preface` how much of that is the header.

Imports: domain.access, net, net.sockets, wire, Twisted. Used by: net.forward,
net.http1, net.http2, net.sockets.acceptor, net.streams, service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.sockets.handover import Handover
from lolly_tx.wire.proxyline import ProxyLine, begins_one, read_proxy_line
from lolly_tx.wire.tlvs import BadProxyLine

QUIET_SECONDS = 60.0
"""Between two lines of the log about refused connections of one listener: there may be thousands."""

DoorFor = Callable[[str, ProxyLine | None], IProtocol | None]
"""Makes the door of a client at an address, with what a header said of it."""


class Proxied:
    """Who has to begin with a header on one listener, and what was refused there.

    `peers`: those who have to; nobody else may. `seconds`: until the header is complete. `most`: connections that may
    wait for theirs at once, 0 = no limit. `refused`: how many connections, by reason: "missing", "malformed",
    "too_long", "checksum", "late", "cut_short", "too_many", "not_allowed".
    """

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        listener: str,
        peers: TrustedPeers,
        *,
        seconds: float,
        deadlines: Deadlines,
        most: int = 0,
    ) -> None:
        self.listener = listener
        self.peers = peers
        self.seconds = seconds
        self.deadlines = deadlines
        self.most = most
        self.waiting = 0
        self.refused: Counter[str] = Counter()
        self._quiet_until = -NEVER

    def follow(self, other: Proxied) -> None:
        """Count on from where `other` is, whose settings held there before."""
        self.refused = other.refused

    def meet(self, peer: str, door_for: DoorFor) -> IProtocol | None:
        """What a connection from `peer` is given to. None: it is to be closed at once."""
        if peer not in self.peers:
            door = door_for(peer, None)
            return None if door is None else Screened(self, peer, door)
        if self.most and self.waiting >= self.most:
            self.refuse(peer, "too_many", "too many wait for their PROXY header")
            return None
        return Expected(self, peer, door_for)

    def refuse(self, peer: str, code: str, reason: str) -> None:
        """Count a connection that is closed, and say it now and then."""
        self.refused[code] += 1
        now = self.deadlines.now()
        if now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_SECONDS
        self._log.warn(
            "listener {listener}: connection of {peer} closed, {code}: {reason}"
            " ({total} so far)",
            listener=self.listener,
            peer=peer,
            code=code,
            reason=reason,
            total=self.refused.total(),
        )


class Expected(Handover):
    """The connection of a listed peer until its header has come."""

    def __init__(self, proxied: Proxied, peer: str, door_for: DoorFor) -> None:
        self.deadline = NEVER
        self._proxied = proxied
        self._peer = peer
        self._door_for = door_for
        self._begun = b""
        self._waits = False

    def connectionMade(self) -> None:
        """It has so long to say who it speaks for."""
        proxied = self._proxied
        self._waits = True
        proxied.waiting += 1
        self.deadline = proxied.deadlines.now() + proxied.seconds
        proxied.deadlines.add(self)

    def preface(self, data: bytes) -> int:
        """How many bytes of `data`, which come next, belong to the header; with its end the client has a door."""
        if not self._waits:
            return len(data)  # refused, and on its way out
        begun = len(self._begun)
        self._begun += data
        try:
            found = read_proxy_line(self._begun)
        except BadProxyLine as error:
            self._refuse(error.code, str(error))
            return len(data)
        if found is None:
            return len(data)
        line, length = found
        self._wait_no_more()
        self._begun = b""
        if line.source:
            door = self._door_for(line.source, line)
        else:
            door = self._door_for(self._peer, None)
        if door is None:
            self._abort()
        else:
            self.hand_over(door)
        return length - begun

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the header, and of what is behind it."""
        taken = self.preface(data)
        if self.inner is not None and taken < len(data):
            self.inner.dataReceived(data[taken:])

    def expired(self, now: float) -> None:
        """The header is late."""
        seconds = self._proxied.seconds
        self._refuse("late", f"no whole PROXY header in {seconds:g} s")

    def readConnectionLost(self) -> None:
        """Nothing more comes."""
        if self.inner is None:
            self._abort()
        else:
            super().readConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended. One that said nothing was to see whether we listen."""
        if self._waits:
            self._wait_no_more()
            if self._begun:
                self._proxied.refuse(
                    self._peer, "cut_short", "closed within its PROXY header"
                )
        super().connectionLost(reason)

    def _wait_no_more(self) -> None:
        self._waits = False
        self.deadline = NEVER
        self._proxied.waiting -= 1
        self._proxied.deadlines.discard(self)

    def _refuse(self, code: str, reason: str) -> None:
        self._wait_no_more()
        self._proxied.refuse(self._peer, code, reason)
        self._abort()

    def _abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class Screened(Handover):
    """The connection of somebody who may not send a header, until its first bytes have shown that it does not."""

    def __init__(self, proxied: Proxied, peer: str, door: IProtocol) -> None:
        self._proxied = proxied
        self._peer = peer
        self._door = door
        self._first = b""

    def connectionMade(self) -> None:
        """Its door is told at once, and minds its time."""
        self.hand_over(self._door)
        self.dataReceived = self._screen  # type: ignore[method-assign]  # for now

    def preface(self, data: bytes) -> int:
        """How many bytes of `data`, the first there are, belong to a header: none. No handshake begins like one."""
        if begins_one(data) is not False:
            self._refuse()
        return 0

    def _screen(self, data: bytes) -> None:
        self._first += data
        begun = begins_one(self._first)
        if begun:
            self._refuse()
        elif begun is False:
            self._pass()

    def _pass(self) -> None:
        first, self._first = self._first, b""
        self.dataReceived = self._door.dataReceived  # type: ignore[method-assign]
        if first:
            self._door.dataReceived(first)

    def readConnectionLost(self) -> None:
        """Nothing more comes: it was no header."""
        self._pass()
        super().readConnectionLost()

    def _refuse(self) -> None:
        self._proxied.refuse(
            self._peer,
            "not_allowed",
            "a PROXY header of one who is not in its proxy_protocol",
        )
        transport: Any = self.transport
        transport.abortConnection()
