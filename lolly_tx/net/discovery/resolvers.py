"""One question to several DNS servers: the first answer counts, and those that fail, or are slow, cost little.

    0 s  the first server is asked        a server that refuses or fails: the next one at once
    1 s  the next one as well, ...        an answer that comes late counts as well
    6.5 s  no answer

`twisted.names` sends and reads: it checks who answers. By itself it asks the next server only when one is silent, never
hears an answer that is slower than its first patience, leaves connections of TCP open, and reads as many messages as
somebody cares to send: here one connection hears one, and a socket a few.

Imports: Twisted. Used by: net.discovery.dns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.names import dns
from twisted.names.common import ResolverBase
from twisted.names.error import DNSFormatError, DNSNameError
from twisted.python.failure import Failure

NEXT_SECONDS = 1.0
"""From one server to the next one, and round again, while there is no answer."""

ALL_SECONDS = 6.5
"""For the whole of a question."""

MOST_DATAGRAMS = 20
"""Heard from a server that was asked once; whoever sends more has no answer."""

PIECE = 16_384
"""Bytes of datagrams that are read in a turn of the event loop."""

PORTS_TRIED = 100
"""Random ports to ask from, of which each may be taken."""

Server = tuple[str, int]
Queries = list[Any]
Ask = Callable[[Server, Queries], Deferred[Any]]
"""Puts queries to one server; fires with the message that answers, errbacks where there is none."""


class Servers(ResolverBase):
    """An `IResolver` that asks these. `udp`, `tcp`: in place of the network's."""

    def __init__(
        self,
        servers: Sequence[Server],
        reactor: Any,
        udp: Ask | None = None,
        tcp: Ask | None = None,
    ) -> None:
        super().__init__()
        self.servers = list(servers)
        self._reactor = reactor
        self._udp = udp or self._by_udp
        self._tcp = tcp or self._by_tcp

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> Deferred[Any]:
        question = Question(self.servers, self._asked, self._reactor)
        return question.begin([dns.Query(name, type, cls)])

    def _asked(self, server: Server, queries: Queries) -> Deferred[Any]:
        """The sections of an answer of this one."""

        def answered(message: Any) -> Any:
            if message.trunc:
                return self._tcp(server, queries).addCallback(self._sections)
            return self._sections(message)

        return self._udp(server, queries).addCallback(answered)

    def _sections(self, message: Any) -> Any:
        if message.rCode != dns.OK:
            raise self.exceptionForCode(message.rCode)(message)
        return message.answers, message.authority, message.additional

    def _by_udp(self, server: Server, queries: Queries) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._over_udp(server, queries))

    async def _over_udp(self, server: Server, queries: Queries) -> Any:
        protocol = _Datagrams(server, self._reactor)
        self._listen(protocol, "::" if ":" in server[0] else "")
        try:
            return await protocol.query(server, queries, ALL_SECONDS)
        finally:
            protocol.over()

    def _listen(self, protocol: _Datagrams, interface: str) -> None:
        """At a port that nobody can guess."""
        for left in reversed(range(PORTS_TRIED)):
            try:
                port = self._reactor.listenUDP(
                    dns.randomSource(), protocol, interface=interface
                )
            except CannotListenError:
                if not left:
                    raise
            else:
                port.maxThroughput = PIECE
                return

    def _by_tcp(self, server: Server, queries: Queries) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._over_tcp(server, queries))

    async def _over_tcp(self, server: Server, queries: Queries) -> Any:
        family = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        place = family(self._reactor, *server, timeout=ALL_SECONDS)
        protocol: Any = await place.connect(_OverTCP(self._reactor))
        try:
            return await protocol.query(queries, ALL_SECONDS)
        finally:
            protocol.transport.abortConnection()


class _Nobody:
    """Is told of messages that answer nothing, and of connections: nobody needs that."""

    def connectionMade(self, protocol: object) -> None:
        """It asks by itself."""

    def connectionLost(self, protocol: object) -> None:
        """What was asked has an end of its own."""

    def messageReceived(self, *message: object) -> None:
        """An answer to nothing."""


class _Datagrams(dns.DNSDatagramProtocol):
    """Asks `server` one question."""

    def __init__(self, server: Server, reactor: Any) -> None:
        super().__init__(_Nobody(), reactor)
        self._server = server
        self._left = MOST_DATAGRAMS

    def datagramReceived(self, data: bytes, addr: tuple[str, int]) -> None:
        """See DatagramProtocol."""
        if addr == self._server and self._left > 0:
            self._left -= 1
            super().datagramReceived(data, addr)

    def over(self) -> None:
        """Hear nothing more."""
        for _, timer in self.liveMessages.values():
            timer.cancel()
        self.transport.stopListening()


class _OneAnswer(dns.DNSProtocol):
    """Hears one message: it answers what was asked, or nobody here does."""

    def stringReceived(self, data: bytes) -> None:
        """See Int16StringReceiver."""
        self.pauseProducing()  # those that are here already as well
        super().stringReceived(data)
        live, self.liveMessages = self.liveMessages, {}
        for asking, timer in live.values():
            timer.cancel()
            asking.errback(DNSFormatError())


class _OverTCP(Factory):
    """Makes the protocol of one question."""

    noisy = False

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def buildProtocol(self, addr: object) -> dns.DNSProtocol:
        """See IProtocolFactory."""
        return _OneAnswer(_Nobody(), reactor=self._reactor)


class Question:
    """One question on its way. `ask`: puts it to one server."""

    def __init__(self, servers: Sequence[Server], ask: Ask, clock: Any) -> None:
        self._servers = list(servers)
        self._ask = ask
        self._clock = clock
        self._queries: Queries = []
        self._turn = 0
        self._waiting: list[Deferred[Any]] = []
        self._failed: dict[Server, Failure] = {}
        self._timer: IDelayedCall | None = None
        self._end: IDelayedCall | None = None
        self._ended = False
        self.done: Deferred[Any] = Deferred(lambda _: self._over())

    def begin(self, queries: Queries) -> Deferred[Any]:
        """Ask; fires with the sections of the answer."""
        self._queries = queries
        self._end = self._clock.callLater(ALL_SECONDS, self._late)
        self._next()
        return self.done

    def _next(self) -> None:
        """Put it to the next one that has not failed."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        left = [one for one in self._servers if one not in self._failed]
        if not left:
            # Each said why; the last one will do.
            self._finish(next(reversed(self._failed.values())))
            return
        server = left[self._turn % len(left)]
        self._turn += 1
        self._timer = self._clock.callLater(NEXT_SECONDS, self._next)
        asking = self._ask(server, self._queries)
        self._waiting.append(asking)
        asking.addCallbacks(self._cb_answered, self._eb_failed, errbackArgs=(server,))

    def _cb_answered(self, sections: Any) -> None:
        if not self._ended:
            self._finish(sections)

    def _eb_failed(self, reason: Failure, server: Server) -> None:
        if self._ended:
            return
        if reason.check(DNSNameError):  # that is an answer
            self._finish(reason)
        elif server not in self._failed:
            self._failed[server] = reason
            self._next()

    def _late(self) -> None:
        self._finish(Failure(TimeoutError("no answer in time")))

    def _finish(self, result: Any) -> None:
        self._over()
        if not self.done.called:
            self.done.callback(result)

    def _over(self) -> None:
        """Wait for nobody any more."""
        self._ended = True
        for timer in (self._timer, self._end):
            if timer is not None and timer.active():
                timer.cancel()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.cancel()
