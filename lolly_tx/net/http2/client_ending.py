"""How a connection to a target ends.

    GREETING --ready--> OPEN --leave: GOAWAY, age, shutdown--> no stream is left --> close --> CLOSED
       +--fail: no HTTP/2--+--fail: broken rules, silence -----------------------------------^

Imports: domain, net, net.http2, net.sockets, wire, wire.http2, Twisted. Used by:
net.http2.client, net.http2.client_watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from twisted.logger import Logger

from lolly_tx.domain.errors import BadResponse, NoHttp2, ProxyError
from lolly_tx.net.deadlines import NEVER
from lolly_tx.net.http2.client_streams import ClientStreams
from lolly_tx.net.http2.sending import Sender
from lolly_tx.net.multiplexed import Multiplexed, SharedConnection
from lolly_tx.net.sockets.parting import CLOSE_SECONDS
from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2_errors import NO_ERROR, Http2Error

GREETING: Final = 0
OPEN: Final = 1
CLOSED: Final = 2


class Owner(SharedConnection, Protocol):
    """The connection."""

    transport: Any
    deadline: float
    now: Callable[[], float]
    upstream: Multiplexed


class ClientEnding:
    """Of the connection `owner`. `state`: how far it is. `leaving`: it takes no more streams.

    `failed`: why it ended before its target had said that it speaks HTTP/2.
    """

    __slots__ = ("_owner", "_sender", "_streams", "failed", "leaving", "state")

    _log: ClassVar[Logger] = Logger()

    def __init__(self, owner: Owner, sender: Sender, streams: ClientStreams) -> None:
        self._owner = owner
        self._sender = sender
        self._streams = streams
        self.failed: ProxyError | None = None
        self.leaving = False
        self.state = GREETING

    def leave(self) -> None:
        """Take no more streams, and close after the last one."""
        self._not_taken()
        if not self._streams.taken:
            self.close()

    def _not_taken(self) -> None:
        if not self.leaving:
            self.leaving = True
            self._owner.upstream.leaves(self._owner)

    def close(self) -> None:
        """Say good-bye, and close."""
        if self.state == CLOSED:
            return
        sender = self._sender
        sender.full = False
        if self.state == OPEN:
            sender.send(fr.goaway(0, NO_ERROR))
        sender.flush()
        self.stop()
        self._hang_up()

    def _hang_up(self) -> None:
        owner = self._owner
        owner.deadline = owner.now() + CLOSE_SECONDS
        owner.transport.unregisterProducer()
        owner.transport.loseConnection()

    def stop(self) -> None:
        """Nothing is taken or sent any more."""
        if self.state == GREETING and self.failed is None:
            self.failed = NoHttp2(
                "the target closed the connection before it spoke HTTP/2"
            )
        self.state = CLOSED
        self._sender.closed = True
        self._not_taken()

    def broke(self, error: Http2Error) -> None:
        """The target broke the rules of the connection (section 5.4.1)."""
        self._log.debug(
            "HTTP/2 connection to {target} ended: {error}",
            target=self._owner.upstream.name,
            error=error,
        )
        if self.state == OPEN:
            sender = self._sender
            sender.full = False
            sender.send(fr.goaway(0, error.code, error.reason.encode()))
            sender.flush()
            self.fail(BadResponse(f"HTTP/2: {error.reason}"), at_once=False)
        else:
            self.fail(NoHttp2(f"the target speaks no HTTP/2: {error.reason}"))

    def fail(self, error: ProxyError, at_once: bool = True) -> None:
        """Close the connection, and end what is on it in `error`."""
        if self.state == CLOSED:
            return
        if self.state == GREETING:
            self.failed = error
        self.stop()
        self._owner.deadline = NEVER
        if at_once:
            self._owner.transport.abortConnection()
        else:
            self._hang_up()
        self._streams.fail_all(error)
