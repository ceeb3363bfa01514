"""Tests of lolly_tx.net.quiet: no line in the log for each connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from zope.interface.verify import verifyObject

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
