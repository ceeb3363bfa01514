r"""The protocols of active checks: one object is one probe on one connection, and judges the answer.

    start --> connect --> (request --> head --> body) --> finish --> the rest, then our FIN
       \_____ refused, timed out, closed, nonsense _____/
       cancel: no verdict

Whatever happens, `done` fires once. A target that has answered sees an end in good order, for small servers take a
reset for an error worth a traceback. It takes `PARTING_SECONDS` at most after the verdict; who did not answer in time
is reset. Plain callbacks on few attributes, no coroutine and no client library: a thousand of these run every second.

Imports: domain, domain.checks, net, net.checks, net.sockets, wire, Twisted. Used by:
net.checks.agent_channel, net.checks.grpc, net.checks.http, net.checks.scripts.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ConnectTimedOut, ProxyError
from lolly_tx.net.alarm import Alarm
from lolly_tx.net.checks.expectation import BODY_BYTES
from lolly_tx.net.failures import is_cancellation, translate
from lolly_tx.net.sockets.transports import is_secure, pending_bytes
from lolly_tx.wire.chunked import ChunkDecoder
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.message import ResponseHead

MAX_INTERIM = 16
"""1xx answers before the real one: some are usual, a flood of them is an attack."""


PARTING_SECONDS = 1.0
"""How long a connection may take to end after its verdict."""
PARTING_BYTES = 65536
"""Of an answer that is not needed any more, read until its end."""


@attrs.frozen
class Plan:
    """How to probe one target: where, and with which bytes."""

    endpoint: IStreamClientEndpoint
    request: bytes


@implementer(IProtocolFactory)
class Probe(Protocol):
    """One probe: its protocol, and the factory that builds it (itself, once).

    `done` fires exactly once; with it the timer and the attempt at a connection are gone,
    and a connection ends within `PARTING_SECONDS`.
    """

    _timely = True
    _swallowed = 0

    def __init__(self, check: Any) -> None:
        self._check = check
        self._over = False
        self._alarm: Alarm | None = None
        self._parting: Any = None
        self._connecting: Deferred[Any] | None = None
        self._started = 0.0
        self._limit = 0.0
        self.done: Deferred[Observation] = Deferred(self._cancelled)

    def start(self, plan: Plan, limit: float | None = None) -> None:
        """Connect, and let things happen. `limit`: seconds, in place of the check's own."""
        check = self._check
        self._request = plan.request
        self._started = check.now()
        self._limit = check.timeout if limit is None else limit
        self._alarm = Alarm(check.clock, self._limit, self._rang)
        self._connecting = plan.endpoint.connect(self)
        self._connecting.addErrback(self._eb_connect)

    def doStart(self) -> None:
        """Nothing to prepare."""

    def doStop(self) -> None:
        """Nothing to clean up."""

    def buildProtocol(self, addr: IAddress) -> Protocol | None:
        """The probe itself, for the first address that accepts."""
        if self._over or self.transport is not None:
            return None
        return self

    def finish(
        self,
        ok: bool,
        cause: str,
        status: int | None = None,
        drain: bool = False,
        error: ProxyError | None = None,
    ) -> None:
        """End the probe with a verdict. `error`: why there was no connection."""
        if self._over:
            return
        latency = None
        if ok or status is not None:
            latency = max(0.0, self._check.now() - self._started)
        self._part()
        self.done.callback(Observation(ok, cause, latency, status, drain, error))

    def _part(self) -> None:
        """All is known: end the connection in good order."""
        if self.transport is None or not self._timely:
            self._end()
            return
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        owed = self._owed()
        if owed or is_secure(self.transport) or pending_bytes(self.transport):
            self._parting = self._check.clock.callLater(PARTING_SECONDS, self._end)
        if not owed:
            self.transport.loseConnection()

    def _owed(self) -> bool:
        """Whether the target has more to say: closing now would reset it."""
        return False

    def _swallow(self, data: bytes) -> None:
        """What comes after the verdict."""
        self._swallowed += len(data)
        if self._swallowed > PARTING_BYTES:
            self._end()

    def _end(self) -> None:
        """End it at once."""
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        parting, self._parting = self._parting, None
        if parting is not None and parting.active():
            parting.cancel()
        if self.transport is not None:
            # Unlike a close, this needs no consent of the peer.
            self.transport.abortConnection()  # type: ignore[attr-defined]  # ITCPTransport
        elif self._connecting is not None:
            self._connecting.cancel()

    def _cancelled(self, _: Deferred[Observation]) -> None:
        self._end()

    def _rang(self) -> None:
        self._timely = False
        self._expired()

    def _expired(self) -> None:
        if self.transport is not None:
            self.finish(False, f"no answer in {self._limit:g} s")
            return
        late = ConnectTimedOut(f"no connection in {self._limit:g} s")
        self.finish(False, late.detail, error=late)

    def _eb_connect(self, failure: Failure) -> None:
        if self._over:
            return
        error = translate(failure, connecting=True)
        if error.blames and not is_cancellation(failure):
            self.finish(False, error.detail, error=error)
            return
        self._end()
        self.done.errback(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The target hung up, before the verdict or as was due."""
        self.transport = None
        if self._over:
            if self._parting is not None:
                self._end()
            return
        how = translate(reason, connecting=False).detail
        self.finish(False, f"{how} before an answer")


class TCPProbe(Probe):
    """Satisfied by a connection."""

    def connectionMade(self) -> None:
        """That is all there is to know."""
        self.finish(True, "connected")


class TLSProbe(Probe):
    """Satisfied by a TLS handshake, which the endpoint has done by the time there is a connection."""

    def connectionMade(self) -> None:
        """See that there was one: an endpoint string may well connect without."""
        if ISSLTransport.providedBy(self.transport):
            self.finish(True, "TLS handshake complete")
        else:
            self.finish(False, "the target's endpoint does no TLS")


class HTTPProbe(Probe):
    """Asks, and reads as much of the answer as the verdict needs."""

    _buffer = b""
    _body: bytearray
    _head: ResponseHead | None = None
    _left: int | None = 0
    _interim = 0
    _chunks: ChunkDecoder | None = None

    def connectionMade(self) -> None:
        """Send the request."""
        assert self.transport is not None  # connected
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Read on; a verdict as soon as there is one."""
        if self._over:
            self._swallow(data)
            return
        try:
            if self._head is None:
                seen = len(self._buffer)
                self._buffer = self._buffer + data if seen else data
                self._read_head(seen)
            else:
                self._count(len(data))
                self._read_body(self._head, data)
        except BadMessage as e:
            self.finish(False, f"invalid response: {e.reason}")

    def _read_head(self, seen: int) -> None:
        check = self._check
        while (head := check.reader.read(self._buffer, seen)) is not None:
            seen = 0
            rest = self._buffer[head.end :]
            status = head.status
            # A 101 was not asked for: it is as final as any other wrong status.
            if 100 <= status < 200 and status != 101:
                self._interim += 1
                if self._interim > MAX_INTERIM:
                    raise BadMessage("too many interim responses")
                self._buffer = rest
                continue
            self._left = self._length(head)
            self._count(len(rest))
            expects = check.expects
            if status == 404 and check.drains:
                cause = f"404 from {check.settings.path}: no new clients"
                self.finish(False, cause, status, drain=True)
                return
            if status not in expects.statuses:
                self._answered(False, f"{status} from {check.settings.path}", head)
                return
            if expects.headers:
                fault = expects.header_fault(head.block.pairs)
                if fault is not None:
                    self._answered(False, fault, head)
                    return
            if expects.body is None:
                self._answered(True, f"{status} from {check.settings.path}", head)
                return
            self._head = head
            self._body = bytearray()
            if head.block.chunked:
                self._chunks = ChunkDecoder()
            self._read_body(head, rest)
            return

    def _length(self, head: ResponseHead) -> int | None:
        """How long the body is; None: until the target closes, as it was asked to."""
        if head.status in (204, 304) or self._check.settings.method == "HEAD":
            return 0
        return None if head.block.chunked else head.block.length

    def _count(self, size: int) -> None:
        if self._left is not None:
            self._left -= size

    def _owed(self) -> bool:
        return self._left is None or self._left > 0

    def _swallow(self, data: bytes) -> None:
        super()._swallow(data)
        self._count(len(data))
        if not self._owed() and self.transport is not None:
            self.transport.loseConnection()

    def _read_body(self, head: ResponseHead, data: bytes) -> None:
        """Gather the first `BODY_BYTES` of the body, then judge."""
        if self._chunks is not None:
            data = self._chunks.feed(data)
            if self._chunks.done:
                self._left = 0
        self._body += data[: BODY_BYTES - len(self._body)]
        got = len(self._body)
        if got >= BODY_BYTES or self._is_whole(head, got):
            self._judge_body(head)

    def _is_whole(self, head: ResponseHead, got: int) -> bool:
        if head.status in (204, 304) or self._check.settings.method == "HEAD":
            return True
        if self._chunks is not None:
            return self._chunks.done
        return head.block.length is not None and got >= head.block.length

    def _judge_body(self, head: ResponseHead) -> None:
        body = bytes(self._body)
        if head.block.length is not None and not head.block.chunked:
            body = body[: head.block.length]
        fault = self._check.expects.body_fault(body)
        cause = fault or f"{head.status} from {self._check.settings.path}"
        self._answered(fault is None, cause, head)

    def _answered(self, ok: bool, cause: str, head: ResponseHead) -> None:
        self.finish(ok, cause, head.status)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of a body without a length, or of the probe."""
        head = self._head
        if head is None or self._over:
            super().connectionLost(reason)
            return
        self.transport = None
        how = translate(reason, connecting=False).detail
        if (
            head.block.length is None
            and not head.block.chunked
            and how == "connection closed"
        ):
            self._judge_body(head)
        else:
            self._answered(False, f"{how} within the body", head)
