"""Every built-in check keeps the contract of health checks."""

from __future__ import annotations

from typing import Any

import hpack
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from lolly_tx.config.checks import Health, Step
from lolly_tx.net.checks.datagrams import UDPCheck
from lolly_tx.net.checks.grpc import GrpcCheck
from lolly_tx.net.checks.http import HTTPCheck, TCPCheck, TLSCheck
from lolly_tx.net.checks.scripts import ScriptCheck
from lolly_tx.testing import HealthCheckContract
from lolly_tx.wire.http2.frames import DATA, frame, headers
from lolly_tx.wire.http2.settings import settings
from tests.net.connects import FakeEndpoint
from tests.net.test_datagrams import FakeReactor


class OverConnections(HealthCheckContract):
    kind: Any = TCPCheck
    settings = Health()

    def make_check(self) -> Any:
        self.endpoint = FakeEndpoint()
        return self.kind(
            self.settings,
            lambda target: self.endpoint,
            clock=self.clock,
            now=self.clock.seconds,
        )

    def answer(self) -> None:
        """Let the target say what makes it good."""

    def good(self, start: Any) -> Any:
        result = start()
        self.endpoint.last.accept()
        self.answer()
        self.endpoint.last.part()
        return result

    def bad(self, start: Any) -> Any:
        result = start()
        self.endpoint.last.refuse(ConnectionRefusedError())
        return result

    def silent(self, start: Any) -> Any:
        return start()


class TCPContractTests(OverConnections, SynchronousTestCase):
    pass


class HTTPContractTests(OverConnections, SynchronousTestCase):
    kind = HTTPCheck

    def answer(self) -> None:
        self.endpoint.last.protocol.dataReceived(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        )


class GrpcContractTests(OverConnections, SynchronousTestCase):
    kind = GrpcCheck
    settings = Health(type="grpc")

    def answer(self) -> None:
        encoder = hpack.Encoder()
        head = encoder.encode([(":status", "200")])
        end = encoder.encode([("grpc-status", "0")])
        self.endpoint.last.protocol.dataReceived(
            settings([])
            + headers(1, head, False, 16384)
            + frame(DATA, 0, 1, b"\0\0\0\0\2\x08\1")
            + headers(1, end, True, 16384)
        )


class ScriptContractTests(OverConnections, SynchronousTestCase):
    kind = ScriptCheck
    settings = Health(type="script", steps=(Step(send="PING\r\n", expect="+PONG"),))

    def answer(self) -> None:
        self.endpoint.last.protocol.dataReceived(b"+PONG\r\n")


class TLSContractTests(OverConnections, SynchronousTestCase):
    kind = TLSCheck

    def good(self, start: Any) -> Any:
        result = start()
        transport = StringTransport()
        directlyProvides(transport, ISSLTransport)
        self.endpoint.last.accept(transport)
        self.endpoint.last.part()
        return result


class UDPContractTests(HealthCheckContract, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = self.reactor = FakeReactor()

    def make_check(self) -> Any:
        settings = Health(type="udp", steps=(Step(send="ping", expect="pong"),))
        return UDPCheck(settings, reactor=self.reactor, now=self.reactor.seconds)

    def good(self, start: Any) -> Any:
        result = start()
        port = self.reactor.ports[-1]
        port.proto.datagramReceived(b"pong", port.peer)
        return result

    def bad(self, start: Any) -> Any:
        result = start()
        self.reactor.ports[-1].proto.connectionRefused()
        return result

    def silent(self, start: Any) -> Any:
        return start()
