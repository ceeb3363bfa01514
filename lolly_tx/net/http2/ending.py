"""How a client's connection ends (RFC 9113 sections 5.4.1 and 6.8).

    PREFACE --> OPEN --go: GOAWAY in two steps--> no stream is left --+--> close --> LINGER --hang_up--> CLOSED
                  +--leave: idle, shed, stopped ----------------------+
                  +--broke: the client broke the rules ---------------+      abort: at once

After the last byte that is said the client may still send for a while, which is thrown away: a reset would destroy what
it has not read yet.

Imports: domain, net, net.http2, net.sockets, wire, wire.http2, Twisted. Used by:
net.http2.heads, net.http2.server, net.http2.watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from twisted.logger import Logger

from lolly_tx.domain.errors import DownstreamError, Shutdown
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.doors import Peer
from lolly_tx.net.http2.backlog import Backlog
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.http2.streams import Streams
from lolly_tx.net.sockets.parting import CLOSE_SECONDS, Leftover, end_writing
from lolly_tx.net.sockets.transports import untaken_bytes
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import NO_ERROR, Http2Error

PREFACE: Final = 0
OPEN: Final = 1
LINGER: Final = 2
CLOSED: Final = 3

GOAWAY_SECONDS: Final = 1.0
"""Between the two steps of a graceful end, unless the client answers the PING that goes with the first."""
BROKEN_SECONDS: Final = 0.8
"""How long a client that has broken the rules may go on sending after our last word, and take nothing of it: one that
does so on purpose is away within two seconds."""
GOODBYE: Final = b"lolly-by"
"""What that PING says."""
_STOPPED: Final = "the proxy stopped"


class Owner(Protocol):
    """The connection. `deadline`: when it is looked at."""

    transport: Any
    deadline: float
    now: Callable[[], float]
    peer: Peer

    def watch(self, due: float) -> None:
        """Something has to have happened then."""


class Ending:
    """Of the connection `owner`. `state`: how far it is. `final`: the client knows which was the last request we take.

    `due`: when the second step of a graceful end is. `write_seconds`: how long a client may take nothing of what was
    said last. Which request is the last one is said once: later words never name another (section 6.8).
    """

    __slots__ = (
        "_backlog",
        "_last",
        "_leaving",
        "_owner",
        "_rest",
        "_sender",
        "_streams",
        "due",
        "final",
        "state",
    )

    _log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        owner: Owner,
        sender: Sender,
        streams: Streams,
        backlog: Backlog,
        write_seconds: float,
    ) -> None:
        self._owner = owner
        self._sender = sender
        self._streams = streams
        self._backlog = backlog
        self._rest = Leftover(write_seconds)
        self._leaving = False
        self._last = 0
        self.state = PREFACE
        self.final = False
        self.due = NEVER

    def go(self) -> None:
        """Take no more requests, gracefully: those on their way are still served (section 6.8)."""
        if not self._leaving and self.state <= OPEN:
            self._leaving = True
            owner = self._owner
            self.due = owner.now() + GOAWAY_SECONDS
            owner.watch(self.due)
            said = fr.goaway(fr.MOST_STREAM, NO_ERROR) + fr.ping(GOODBYE)
            self._sender.send(said)

    def go_finally(self) -> None:
        """The second step: what was not here by now is not served."""
        if self._leaving and not self.final and self.state == OPEN:
            self.due = NEVER
            self._say(NO_ERROR, b"")
            if not self._streams.open:
                self.close()

    def _say(self, code: int, why: bytes) -> None:
        if not self.final:
            self.final = True
            self._last = self._streams.last
        self._sender.send(fr.goaway(self._last, code, why))

    def leave(self, code: int, why: bytes) -> None:
        """Say why, and close."""
        if not self.final:
            self._say(code, why)
        self.close()

    def broke(self, error: Http2Error) -> None:
        """The connection's rules were broken (section 5.4.1)."""
        self._log.debug(
            "HTTP/2 connection of {client} ended: {error}",
            client=self._owner.peer.address,
            error=error,
        )
        self.state = LINGER
        self._say(error.code, error.reason.encode())
        self._streams.fail_all(DownstreamError(error.reason, 400))
        self._rest = Leftover(BROKEN_SECONDS)
        self.close()
        self._owner.watch(self._owner.now() + BROKEN_SECONDS)

    def stop(self) -> None:
        """The proxy stops now: exchanges that are going on are cut."""
        if self.state == CLOSED:
            return
        if self._streams.open:
            self._say(NO_ERROR, _STOPPED.encode())
            self._sender.flush()
            self.state = CLOSED
            self._streams.fail_all(Shutdown(_STOPPED))
            self.abort()
        else:
            self.leave(NO_ERROR, _STOPPED.encode())
            self.hang_up()

    def close(self) -> None:
        """Close after what was gathered has left. What still comes is thrown away, for a while."""
        if self.state == CLOSED:
            return
        self.state = LINGER
        sender, owner = self._sender, self._owner
        sender.full = False  # the transport queues what it cannot send
        sender.flush()
        sender.closed = True
        if self._streams.silent:
            self.hang_up()
            return
        owner.deadline = owner.now() + CLOSE_SECONDS
        end_writing(owner.transport)
        sender.full = False
        self._backlog.read_on()

    def settle(self, now: float) -> None:
        """See that the client has taken what was said last."""
        owner = self._owner
        untaken = untaken_bytes(owner.transport)
        if untaken:
            owner.deadline = self._rest.next_look(untaken, now)
            if owner.deadline <= now:
                self.abort()
        elif self.state == LINGER:
            self.hang_up()
        else:
            self.abort()

    def hang_up(self) -> None:
        """Close, as soon as all has left."""
        owner = self._owner
        self.state = CLOSED
        owner.deadline = owner.now() + CLOSE_SECONDS
        owner.transport.unregisterProducer()
        owner.transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        self.state = CLOSED
        self._owner.deadline = NEVER
        self._sender.closed = True
        self._owner.transport.abortConnection()

    def lost(self) -> None:
        """It is closed, whoever did it."""
        self.state = CLOSED
        self._owner.deadline = NEVER
        self._sender.closed = True
