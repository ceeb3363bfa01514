"""The end of a listening socket, on a real reactor."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from lolly_tx.net.sockets.eager import eager
from tests.net.fakes import SteppingTestCase


class Accepted(Protocol):
    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.factory.accepted += 1
        self.transport.abortConnection()


class LastCallTests(SteppingTestCase):
    def setUp(self) -> None:
        super().setUp()
        factory: Any = Factory.forProtocol(Accepted)
        factory.accepted = 0
        self.factory = factory
        view: Any = eager(self.reactor)
        self.port = view.listenTCP(0, self.factory, interface="127.0.0.1")

    def test_nothing_is_left(self) -> None:
        """When it has stopped, the reactor does not look at it any more."""
        self.assertIn(self.port, self.reactor.getReaders())
        stopped = self.port.stopListening()
        self.assertIs(self.port.stopListening(), stopped)
        self.spin(lambda: stopped.called)
        self.assertNotIn(self.port, self.reactor.getReaders())

    def test_who_waits(self) -> None:
        """Who is in the kernel's queue when it is stopped is accepted."""
        address = self.port.getHost()
        with socket.create_connection((address.host, address.port), 10):
            stopped = self.port.stopListening()
            self.spin(lambda: stopped.called)
        self.assertEqual(self.factory.accepted, 1)
