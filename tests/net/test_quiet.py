"""Tests of lolly_tx.net.quiet: no line in the log for each connection, and no heads without an end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from zope.interface.verify import verifyObject

from lolly_tx.net.bounded import MOST_HEAD, Bounded
from lolly_tx.net.failures import BadAnswer
from lolly_tx.net.quiet import PIECE, QuietConnections, Quietly


class QuietTests(SynchronousTestCase):
    def test_endpoint(self) -> None:
        """The factory is quiet before the endpoint has it."""
        made: list[Any] = []

        def connect(factory: Any) -> Deferred[Any]:
            made.append(factory)
            return Deferred()

        inner: Any = SimpleNamespace(connect=connect)
        factory = SimpleNamespace(noisy=True)
        verifyObject(IStreamClientEndpoint, Quietly(inner))
        Quietly(inner).connect(factory)
        self.assertEqual((made, factory.noisy), ([factory], False))

    def test_small_pieces(self) -> None:
        """What comes is read in small pieces, below TLS as well."""
        below = SimpleNamespace(bufferSize=65536)
        for transport in (below, SimpleNamespace(transport=below)):
            below.bufferSize = 65536
            protocol = SimpleNamespace(transport=transport)
            inner: Any = SimpleNamespace(connect=lambda _, p=protocol: succeed(p))
            connected = Quietly(inner).connect(SimpleNamespace(noisy=True))
            self.assertIs(self.successResultOf(connected), protocol)
            self.assertEqual(below.bufferSize, PIECE)

    def test_requests_of_an_agent(self) -> None:
        """A request says nothing in the log when it connects and when its connection ends."""
        reactor: Any = MemoryReactorClock()
        said: list[Any] = []
        observe: Any = said.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        agent = Agent(reactor, pool=QuietConnections(reactor))
        asked = agent.request(b"GET", b"http://127.0.0.1:1/")
        factory = reactor.tcpClients[-1][2]
        factory.doStart()
        factory.doStop()
        self.assertEqual(said, [])
        asked.addErrback(lambda _: None).cancel()


class HeadTests(SynchronousTestCase):
    def setUp(self) -> None:
        """An agent, and its connection to whoever answers."""
        self.reactor: Any = MemoryReactorClock()
        self.agent = Agent(self.reactor, pool=QuietConnections(self.reactor))
        self.asked = self.ask()
        factory: Any = self.reactor.tcpClients[-1][2]
        self.protocol: Any = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def ask(self) -> Deferred[Any]:
        return self.agent.request(b"GET", b"http://127.0.0.1:1/")

    def hear(self, data: bytes) -> None:
        """As the reactor does it, until the connection is aborted."""
        for at in range(0, len(data), PIECE):
            if not self.transport.disconnected:
                self.protocol.dataReceived(data[at : at + PIECE])

    def test_ends(self) -> None:
        """A head of as much as it may have is one; what follows is not counted, and each answer has its own."""
        for asked in (self.asked, None):
            answer = asked or self.ask()
            head = b"HTTP/1.1 200 OK\r\n"
            end = b"Content-Length: 200000\r\n\r\n"
            field = b"X: " + b"y" * 995 + b"\r\n"
            fields = (MOST_HEAD - len(head + end)) // len(field) * field
            self.hear(head + fields + end)
            response = self.successResultOf(answer)
            body = Bounded(200_000)
            response.deliverBody(body)
            done = body.done
            self.hear(b"z" * 200_000)
            self.assertEqual(len(self.successResultOf(done)), 200_000)

    def test_does_not_end(self) -> None:
        """One that goes on is given up, and its connection as well; so are heads of 1xx that lead to none."""
        for data in (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MOST_HEAD,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * MOST_HEAD,
        ):
            self.setUp()
            self.hear(data)
            failed = self.failureResultOf(self.asked, BadAnswer)
            self.assertIn(f"more than {MOST_HEAD} bytes", failed.getErrorMessage())
            self.assertTrue(self.transport.disconnected)
            self.protocol.dataReceived(data[:9])
            self.protocol.connectionLost(Failure(ConnectionAborted()))
