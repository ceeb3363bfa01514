"""What tests of streams share: a site on a clock, clients of it, and what they were told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.pool import Pool
from lolly_tx.service.admin.endpoint import AdminResource
from lolly_tx.service.admin.site import AdminSite
from lolly_tx.service.admin.streams import DEAF_SECONDS, MOST_STREAMS
from tests.service.admin.test_endpoint import Running


class Connection(StringTransport):
    """A client's connection that can be cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class StreamTestCase(SynchronousTestCase):
    """`path`: of the stream. `accept`: what its clients say that they take."""

    path = ""
    accept = ""
    token: str | None = None
    read_token: str | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.running = Running(self.pools())
        serving: Any = self.running
        resource = AdminResource(
            serving,
            now=self.clock.seconds,
            wall=lambda: 1.8e9 + self.clock.seconds(),
            reactor=self.clock,
            token=self.token,
            read_token=self.read_token,
        )
        self.site: Any = AdminSite(resource, reactor=self.clock)

    def pools(self) -> dict[str, Pool]:
        """Those of the proxy."""
        return {}

    def connect(
        self, more: str = "", method: str = "GET", path: str = ""
    ) -> tuple[Any, Any]:
        """A connection that has asked for the stream, and its protocol. `more`: lines of its head."""
        transport = Connection()
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        head = f"{method} {path or self.path} HTTP/1.1\r\nHost: localhost\r\n"
        protocol.dataReceived(f"{head}{self.accept}{more}\r\n".encode())
        self.addCleanup(self.lose, protocol)
        self.clock.advance(0)
        return transport, protocol

    def lose(self, protocol: Any) -> None:
        """Its client is gone."""
        protocol.connectionLost(Failure(ConnectionDone()))

    def told(self, transport: Any) -> list[tuple[str, dict[str, Any]]]:
        """The events that came: kind and data."""
        found = []
        for block in transport.value().decode().split("\n\n"):
            lines = dict(
                line.split(": ", 1) for line in block.splitlines() if ": " in line
            )
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    def ticking(self) -> Sequence[Any]:
        """What would look again."""
        return [c for c in self.clock.getDelayedCalls() if "_tick" in str(c)]


class StreamContract(StreamTestCase):
    """What holds for every stream. `seconds`: between two looks."""

    seconds = 0.0

    def test_only_read(self) -> None:
        """Nothing but GET."""
        transport, _ = self.connect(method="DELETE")
        self.assertIn(b" 405 ", transport.value())

    def test_head(self) -> None:
        """It is an event stream that nobody keeps, and does not name the software."""
        transport, _ = self.connect()
        head = transport.value().lower()
        self.assertIn(b"content-type: text/event-stream", head)
        self.assertIn(b"cache-control: no-store", head)
        self.assertNotIn(b"server:", head)

    def test_gone(self) -> None:
        """When nobody listens any more nothing runs."""
        _, one = self.connect()
        _, other = self.connect()
        self.lose(one)
        self.clock.advance(self.seconds)
        self.assertEqual(len(self.ticking()), 1)
        self.lose(other)
        self.clock.advance(self.seconds)
        self.assertEqual(self.ticking(), [])

    def test_deaf(self) -> None:
        """Who takes nothing for a while is cut off; others are served."""
        slow, _ = self.connect()
        quick, _ = self.connect()
        slow.producer.pauseProducing()
        for _ in range(3):
            self.clock.advance(DEAF_SECONDS)
        self.assertTrue(slow.aborted)
        self.assertFalse(quick.aborted)

    def test_too_many(self) -> None:
        """There is a bound."""
        for _ in range(MOST_STREAMS):
            self.connect()
        transport, _ = self.connect()
        self.assertIn(b" 503 ", transport.value())

    def test_end(self) -> None:
        """When the proxy stops, streams end."""
        transport, _ = self.connect()
        self.running.draining = True
        self.clock.advance(self.seconds)
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(self.ticking(), [])
