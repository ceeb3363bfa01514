"""The end of a listening socket, on the real reactor."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from lolly_tx.net.sockets.eager import eager

reactor: Any = _reactor


class Accepted(Protocol):
    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.factory.accepted += 1
        self.transport.abortConnection()


class LastCallTests(TestCase):
    def setUp(self) -> None:
        factory: Any = Factory.forProtocol(Accepted)
        factory.accepted = 0
        self.factory = factory
        view: Any = eager(reactor)
        self.port = view.listenTCP(0, self.factory, interface="127.0.0.1")

    async def test_nothing_is_left(self) -> None:
        """When it has stopped, the reactor does not look at it any more."""
        self.assertIn(self.port, reactor.getReaders())
        stopped = self.port.stopListening()
        self.assertIs(self.port.stopListening(), stopped)
        await stopped
        self.assertNotIn(self.port, reactor.getReaders())

    async def test_who_waits(self) -> None:
        """Who is in the kernel's queue when it is stopped is accepted."""
        address = self.port.getHost()
        with socket.create_connection((address.host, address.port), 10):
            await self.port.stopListening()
        self.assertEqual(self.factory.accepted, 1)
