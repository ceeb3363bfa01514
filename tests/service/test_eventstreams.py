"""Tests of events as a stream."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.events import Event
from lolly_tx.service.admin import admin_site
from lolly_tx.service.eventstreams import BEAT_SECONDS, LOOK_SECONDS
from lolly_tx.service.streams import DEAF_SECONDS, MOST_STREAMS
from tests.service.test_admin import Running


class Connection(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.running = running = Running()
        serving: Any = running
        self.site: Any = admin_site(serving, now=self.clock.seconds, reactor=self.clock)

    def connect(self, path: str = "/api/events", more: str = "") -> tuple[Any, Any]:
        """A connection that asked for events, and its protocol."""
        transport = Connection()
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Accept: text/event-stream\r\n{more}\r\n".encode()
        )
        self.addCleanup(self.lose, protocol)
        return transport, protocol

    def lose(self, protocol: Any) -> None:
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        protocol.connectionLost(Failure(ConnectionDone()))

    def happen(self, cause: str = "why") -> None:
        now = self.clock.seconds()
        event = Event(now, "web", "a", "health", "up", "down", cause)
        self.running.journal.emit(event)

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

    def changes(self, transport: Any) -> list[str]:
        return [
            data["cause"] for kind, data in self.told(transport) if kind == "change"
        ]

    def test_new_ones(self) -> None:
        """Who asks gets what happens from then on, soon, with its number."""
        self.happen("before")
        transport, _ = self.connect()
        head = transport.value().lower()
        self.assertIn(b"content-type: text/event-stream", head)
        self.assertIn(b"cache-control: no-store", head)
        self.assertNotIn(b"server:", head)
        self.assertEqual(self.told(transport), [("beat", {"latest": 1})])
        self.happen("after")
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.changes(transport), ["after"])
        self.assertIn(b"id: 2\n", transport.value())

    def test_where_he_left(self) -> None:
        """Who says what he has seen last gets what came after it; by the field that browsers send, or the query."""
        for cause in "abcd":
            self.happen(cause)
        for path, more in (
            ("/api/events", "Last-Event-ID: 2\r\n"),
            ("/api/events?after=2", ""),
            ("/api/events?after=0", "Last-Event-ID: 2\r\n"),
        ):
            transport, _ = self.connect(path, more)
            self.assertEqual(self.changes(transport), ["c", "d"])

    def test_earlier_run(self) -> None:
        """A number that was never given is of an earlier run of the proxy: he gets all there is."""
        self.happen("a")
        transport, _ = self.connect(more="Last-Event-ID: 900\r\n")
        self.assertEqual(self.changes(transport), ["a"])

    def test_bad_number(self) -> None:
        """What is no number is 400."""
        transport, _ = self.connect("/api/events?after=x")
        self.assertIn(b" 400 ", transport.value())

    def test_beats(self) -> None:
        """Without events there is a beat now and then."""
        transport, _ = self.connect()
        transport.clear()
        self.clock.pump([LOOK_SECONDS] * int(BEAT_SECONDS / LOOK_SECONDS))
        self.assertEqual(self.told(transport), [("beat", {"latest": 0})])

    def test_json_as_before(self) -> None:
        """Who does not ask for a stream gets JSON."""
        transport = Connection()
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b"application/json", transport.value())
        self.lose(protocol)

    def test_only_read(self) -> None:
        """Nothing but GET."""
        transport = Connection()
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(
            b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
            b"Accept: text/event-stream\r\n\r\n"
        )
        self.assertIn(b" 405 ", transport.value())
        self.lose(protocol)

    def test_gone(self) -> None:
        """When nobody listens any more nothing runs."""
        _, one = self.connect()
        _, other = self.connect()
        self.lose(one)
        self.happen()
        self.clock.advance(LOOK_SECONDS)
        self.lose(other)
        left = [c for c in self.clock.getDelayedCalls() if "_tick" in str(c)]
        self.assertEqual(left, [])

    def test_slow(self) -> None:
        """Who does not read for a while gets nothing more until he does, or is cut off; others are served."""
        slow, _ = self.connect()
        quick, _ = self.connect()
        slow.producer.pauseProducing()
        self.happen("a")
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.changes(slow), [])
        self.assertEqual(self.changes(quick), ["a"])
        slow.producer.resumeProducing()
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.changes(slow), ["a"])
        slow.producer.pauseProducing()
        for _ in range(2):
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
        self.clock.advance(LOOK_SECONDS)
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        left = [c for c in self.clock.getDelayedCalls() if "_tick" in str(c)]
        self.assertEqual(left, [])
