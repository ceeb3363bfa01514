"""Tests of events as a stream."""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.events import Event
from lolly_tx.service.admin.eventstreams import BEAT_SECONDS, LOOK_SECONDS
from tests.service.admin import streaming


class EventStreamTests(streaming.StreamContract):
    path = "/api/events"
    accept = "Accept: text/event-stream\r\n"
    seconds = LOOK_SECONDS

    def happen(self, cause: str = "why") -> None:
        now = self.clock.seconds()
        event = Event(now, "web", "a", "health", "up", "down", cause)
        self.running.journal.emit(event)

    def changes(self, transport: Any) -> list[str]:
        return [
            data["cause"] for kind, data in self.told(transport) if kind == "change"
        ]

    def test_new_ones(self) -> None:
        """Who asks gets what happens from then on, soon, with its number."""
        self.happen("before")
        transport, _ = self.connect()
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
            transport, _ = self.connect(more, path=path)
            self.assertEqual(self.changes(transport), ["c", "d"])

    def test_earlier_run(self) -> None:
        """A number that was never given is of an earlier run of the proxy: he gets all there is."""
        self.happen("a")
        transport, _ = self.connect(more="Last-Event-ID: 900\r\n")
        self.assertEqual(self.changes(transport), ["a"])

    def test_bad_number(self) -> None:
        """What is no number is 400."""
        transport, _ = self.connect(path="/api/events?after=x")
        self.assertIn(b" 400 ", transport.value())

    def test_beats(self) -> None:
        """Without events there is a beat now and then."""
        transport, _ = self.connect()
        transport.clear()
        self.clock.pump([LOOK_SECONDS] * int(BEAT_SECONDS / LOOK_SECONDS))
        self.assertEqual(self.told(transport), [("beat", {"latest": 0})])

    def test_json_as_before(self) -> None:
        """Who does not ask for a stream gets JSON."""
        self.accept = ""
        transport, _ = self.connect()
        self.assertIn(b"application/json", transport.value())

    def test_slow(self) -> None:
        """Who does not read for a while gets nothing more until he does; others are served."""
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
