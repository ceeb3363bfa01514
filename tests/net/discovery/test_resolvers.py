"""Tests of lolly_tx.net.discovery.resolvers: one question to several DNS servers."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.names.error import DNSFormatError, DNSNameError, DNSServerError
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.discovery.resolvers import (
    ALL_SECONDS,
    MOST_DATAGRAMS,
    NEXT_SECONDS,
    PORTS_TRIED,
    Servers,
    _OverTCP,
)

A, B = ("10.0.0.2", 53), ("10.0.0.3", 5353)


def message(rcode: int = dns.OK, *, truncated: bool = False, address: str = "") -> Any:
    """An answer."""
    found = dns.Message(rCode=rcode, trunc=truncated)
    if address:
        record = dns.Record_A(address, 5)
        found.answers = [dns.RRHeader(b"a", dns.A, ttl=5, payload=record)]
    return found


class ServersTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two servers, which answer when the test says so."""
        self.clock = Clock()
        self.asked: list[tuple[str, Any, Deferred[Any]]] = []
        self.servers = self.made(A, B)

    def made(self, *servers: Any) -> Servers:
        """Some of them."""

        def by(how: str) -> Any:
            def ask(server: Any, queries: Any) -> Deferred[Any]:
                self.asked.append((how, server, Deferred()))
                return self.asked[-1][2]

            return ask

        return Servers(servers, self.clock, by("udp"), by("tcp"))

    def ask(self, servers: Servers | None = None) -> Deferred[Any]:
        """A question."""
        done: Deferred[Any] = (servers or self.servers).lookupAddress(b"a")
        return done

    def order(self) -> list[Any]:
        """Who was asked."""
        return [server for _, server, _ in self.asked]

    def address(self, done: Deferred[Any]) -> str:
        """Of the answer."""
        [record] = self.successResultOf(done)[0]
        return str(record.payload.dottedQuad())

    def test_the_first(self) -> None:
        """The first server is asked, and where it answers nobody else is."""
        done = self.ask()
        self.clock.advance(NEXT_SECONDS / 2)
        self.asked[0][2].callback(message(address="10.1.1.1"))
        self.assertEqual(self.address(done), "10.1.1.1")
        self.assertEqual(self.order(), [A])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow(self) -> None:
        """The next one is asked after a moment; the slow one's answer counts as well, the rest is taken back."""
        done = self.ask()
        self.clock.advance(NEXT_SECONDS)
        self.assertEqual(self.order(), [A, B])
        self.clock.advance(NEXT_SECONDS)
        self.asked[0][2].callback(message(address="10.1.1.1"))
        self.assertEqual(self.address(done), "10.1.1.1")
        for _, _, other in self.asked[1:]:
            self.assertTrue(other.called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_always_slow(self) -> None:
        """A server that takes five seconds each time is heard, though it is asked again meanwhile."""
        done = self.ask(self.made(A))
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.order(), [A] * 6)
        self.asked[0][2].callback(message(address="10.1.1.1"))
        self.assertEqual(self.address(done), "10.1.1.1")

    def test_failing(self) -> None:
        """One that fails costs no time, and is not asked again; one that cannot be reached neither."""
        done = self.ask()
        self.asked[0][2].callback(message(dns.ESERVER))
        self.assertEqual(self.order(), [A, B])
        self.clock.advance(NEXT_SECONDS)
        self.assertEqual(self.order(), [A, B, B])
        self.asked[2][2].callback(message(address="10.1.1.1"))
        self.assertEqual(self.address(done), "10.1.1.1")

    def test_all_fail(self) -> None:
        """When all have failed there is no answer, at once."""
        done = self.ask()
        self.asked[0][2].errback(ConnectionRefusedError())
        self.asked[1][2].callback(message(dns.ESERVER))
        self.failureResultOf(done, DNSServerError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_such_name(self) -> None:
        """That is an answer, which nobody else is asked about."""
        done = self.ask()
        self.asked[0][2].callback(message(dns.ENAME))
        self.failureResultOf(done, DNSNameError)
        self.assertEqual(self.order(), [A])

    def test_silence(self) -> None:
        """All are asked in turn, and waited for so long."""
        done = self.ask()
        self.clock.pump([0.25] * int(4 * ALL_SECONDS))
        self.failureResultOf(done, TimeoutError)
        self.assertEqual(self.order(), [A, B, A, B, A, B, A])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_truncated(self) -> None:
        """What does not fit is asked for over TCP, from the same server; one that fails there has failed."""
        done = self.ask()
        self.asked[0][2].callback(message(truncated=True))
        self.assertEqual(self.asked[1][:2], ("tcp", A))
        self.asked[1][2].callback(message(address="10.1.1.1"))
        self.assertEqual(self.address(done), "10.1.1.1")
        self.ask()
        self.asked[2][2].callback(message(truncated=True))
        self.asked[3][2].errback(ConnectionRefusedError())
        self.assertEqual(self.asked[4][:2], ("udp", B))

    def test_taken_back(self) -> None:
        """A question that is not wanted any more asks nobody."""
        done = self.ask()
        self.clock.advance(NEXT_SECONDS)
        done.cancel()
        self.failureResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(all(one.called for _, _, one in self.asked))


class Listening(Clock):
    """A reactor with one UDP socket. `taken`: ports that others have, of those that are tried."""

    def __init__(self, taken: int = 0) -> None:
        super().__init__()
        self.taken = taken
        self.protocol: Any = None
        self.sent: list[tuple[bytes, Any]] = []
        self.listening = False
        self.maxThroughput = 0

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Any:
        """See IReactorUDP."""
        if self.taken:
            self.taken -= 1
            raise CannotListenError(interface, port, OSError())
        self.protocol, self.listening = protocol, True
        protocol.startProtocol()
        protocol.transport = self
        return self

    def write(self, data: bytes, address: Any) -> None:
        """See IUDPTransport."""
        self.sent.append((data, address))

    def stopListening(self) -> None:
        """See IListeningPort."""
        self.listening = False


class UdpTests(SynchronousTestCase):
    def ask(self, reactor: Listening) -> Deferred[Any]:
        asking: Deferred[Any] = Servers([A], reactor).lookupAddress(b"a")
        return asking

    def answer(self, reactor: Listening, id_more: int = 0) -> bytes:
        """To what was asked last, or to another question."""
        asked = dns.Message()
        asked.fromStr(reactor.sent[-1][0])
        said = message(address="10.1.1.1")
        said.id = (asked.id + id_more) % 65536
        data: bytes = said.toStr()
        return data

    def test_answer(self) -> None:
        """The answer of the server counts, and what others say is not even read; afterwards nobody listens."""
        reactor = Listening(taken=3)
        done = self.ask(reactor)
        with mock.patch.object(dns.Message, "fromStr", side_effect=AssertionError):
            reactor.protocol.datagramReceived(b"x" * 50, B)
        reactor.protocol.datagramReceived(b"rubbish", A)
        reactor.protocol.datagramReceived(self.answer(reactor, 1), A)
        self.assertNoResult(done)
        self.assertTrue(reactor.maxThroughput)
        reactor.protocol.datagramReceived(self.answer(reactor), A)
        [record] = self.successResultOf(done)[0]
        self.assertEqual(record.payload.dottedQuad(), "10.1.1.1")
        self.assertFalse(reactor.listening)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_flood(self) -> None:
        """After some that are none nothing is read any more."""
        reactor = Listening()
        done = self.ask(reactor)
        for _ in range(MOST_DATAGRAMS):
            reactor.protocol.datagramReceived(b"", A)
        late = self.answer(reactor)
        with mock.patch.object(dns.Message, "fromStr", side_effect=AssertionError):
            reactor.protocol.datagramReceived(late, A)
        done.cancel()
        self.failureResultOf(done)
        self.assertEqual((reactor.listening, reactor.getDelayedCalls()), (False, []))

    def test_no_port(self) -> None:
        """Without a port to ask from there is no answer."""
        self.failureResultOf(self.ask(Listening(taken=PORTS_TRIED)), CannotListenError)


class TcpTests(SynchronousTestCase):
    def test_one_message(self) -> None:
        """A connection hears one message: one that answers nothing ends the question, and no other is read."""
        for data in (b"\0\0" * 30_000, b"\0\2xx" * 9, b"\0\x0c" + b"\0" * 12 + b"\0\0"):
            clock = Clock()
            protocol: Any = _OverTCP(clock).buildProtocol(None)
            protocol.makeConnection(StringTransport())
            done = protocol.query([dns.Query(b"a")], ALL_SECONDS)
            with mock.patch.object(
                dns.Message, "fromStr", autospec=True, side_effect=dns.Message.fromStr
            ) as read:
                protocol.dataReceived(data)
            self.assertEqual(read.call_count, 1)
            self.failureResultOf(done, DNSFormatError)
            self.assertEqual(clock.getDelayedCalls(), [])
