"""Tests of how far a stop is: what is said of it, to whom, and for how long the admin side answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.listeners import Listeners
from lolly_tx.service.stopping import PROGRESS_SECONDS, Left, Stopping
from tests.proxy.world import OK, get
from tests.service.test_build import ADMIN, CONFIG, BuildTestCase


def lines(events: Any) -> list[str]:
    """What a log says of a stop."""
    return [
        f"{one['whose']}{one['what']}"
        for one in events
        if one.get("log_format", "").startswith("{whose}Stopping")
    ]


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two connections, then one, then none."""
        self.clock = Clock()
        self.left = Left(2, 1, 61.4)
        self.told: list[str] = []

    def stopping(self, quiet: bool = False) -> Stopping:
        """One that has not begun."""
        made = Stopping(
            self.clock,
            self.clock.seconds,
            Listeners(),
            lambda: self.left,
            quiet=quiet,
        )
        made.told.append(self.told.append)
        return made

    def test_from_begin_to_end(self) -> None:
        """The count at the beginning, every few seconds, and what became of it; systemd is told the same."""
        stopping = self.stopping()
        self.assertIsNone(stopping.shown())
        with capturedLogs() as events:
            stopping.announce(30.0)
            self.clock.advance(PROGRESS_SECONDS)
            self.left = Left(1, 0, None)
            self.clock.advance(PROGRESS_SECONDS)
            stopping.conclude()
        self.assertEqual(
            lines(events),
            [
                "2 connections, 1 exchange in flight, the oldest connection 61 s old;"
                " 30 s at most",
                "2 connections, 1 exchange in flight, the oldest connection 61 s old;"
                " 25 s to go",
                "1 connection, 0 exchanges in flight; 20 s to go",
                "all connections have ended",
            ],
        )
        self.assertEqual(self.told, [f"Stopping: {one}" for one in lines(events)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whose(self) -> None:
        """The old code after an upgrade, which writes to the same log, says who it is."""
        stopping = self.stopping()
        stopping.whose = "The old process 7: "
        with capturedLogs() as events:
            stopping.announce(5.0)
            stopping.conclude()
        self.assertEqual(
            lines(events)[1], "The old process 7: all connections have ended"
        )

    def test_quiet(self) -> None:
        """A worker leaves it to its supervisor to tell of the stop."""
        stopping = self.stopping(quiet=True)
        stopping.announce(30.0)
        stopping.conclude()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    def test_who_cannot_be_told(self) -> None:
        """Somebody who fails hinders nobody."""
        stopping = self.stopping()

        def fail(text: str) -> None:
            raise ZeroDivisionError

        stopping.told.insert(0, fail)
        stopping.announce(1.0)
        stopping.conclude()
        self.assertEqual(len(self.told), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_less_time(self) -> None:
        """A limit never gives more time than there was."""
        stopping = self.stopping()
        stopping.announce(30.0)
        for seconds, left in ((60.0, 30.0), (5.0, 5.0)):
            stopping.limit(seconds)
            shown = stopping.shown() or {}
            self.assertEqual(shown["ends_in_seconds"], left)
        stopping.conclude()


class ServiceTests(BuildTestCase):
    def test_progress(self) -> None:
        """A stop counts what is open, and at its end what was cut."""
        service = self.started(CONFIG + ADMIN)
        client, idle = self.client(), self.client(8081)
        client.send(get("/app/"))
        self.backend()
        self.pass_time(3.0)
        done: list[Any] = []
        with capturedLogs() as events:
            service.stopService().addCallback(done.append)
            shown = service.stopping.shown() or {}
            self.assertEqual((shown["connections"], shown["in_flight"]), (2, 1))
            self.assertEqual(round(shown["oldest_seconds"]), 3)
            self.assertEqual(shown["ends_in_seconds"], service.config.timeouts.shutdown)
            self.pass_time(7.0)
            self.assertTrue(idle.closed)
            self.pass_time(service.config.timeouts.shutdown)
        self.assertEqual(done, [None])
        said = lines(events)
        self.assertTrue(said[0].startswith("2 connections, 1 exchange in flight"), said)
        self.assertTrue(said[1].startswith("1 connection, 1 exchange in flight"), said)
        self.assertEqual(said[-1], "time is over, 1 connection cut")
        self.assertEqual(
            [one["log_level"] for one in events if one.get("what") == said[-1]],
            [LogLevel.warn],
        )

    def test_admin_answers_until_the_end(self) -> None:
        """Who asks how far a stop is, is answered; clients find nobody."""
        service = self.started(CONFIG + ADMIN)
        client = self.client()
        client.send(get("/app/"))
        backend = self.backend()
        done: list[Any] = []
        service.stopService().addCallback(done.append)
        self.pass_time(1.0)
        self.assertEqual(list(self.reactor.ports), [8082])
        backend.send(OK)
        self.assertIn(b"Connection: close", client.take())
        self.pass_time(0.2)
        self.assertEqual((list(self.reactor.ports), done), ([], [None]))
