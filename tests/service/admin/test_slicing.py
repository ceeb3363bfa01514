"""Tests of answers that are made a part in each turn of the event loop."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.admin.answers import POOLS_AT_ONCE, TARGETS_AT_ONCE
from lolly_tx.service.admin.desk import Answer
from lolly_tx.service.admin.endpoint import admin_site
from lolly_tx.service.admin.slicing import PIECES, body_of
from tests.service.admin.test_endpoint import Running, make_pool


class Turns(Clock):
    """Counts what is put off to the next turn."""

    count = 0

    def callLater(self, delay: float, callable: Any, *args: Any, **kw: Any) -> Any:
        self.count += not delay
        return super().callLater(delay, callable, *args, **kw)


class BodyTests(SynchronousTestCase):
    def steps(self, body: Any) -> tuple[int, bytes]:
        """How many turns it takes beside the first one, and the bytes."""
        making, count = body_of(Answer(200, body)), 0
        while True:
            try:
                next(making)
            except StopIteration as made:
                return count, made.value
            count += 1

    def test_text(self) -> None:
        """It is the same text, whatever its length."""
        for length in (0, 1, 7, PIECES, 5 * PIECES):
            body = {"a": [{"n": n, "é": [None, "x"]} for n in range(length // 8)]}
            count, text = self.steps(body)
            self.assertEqual(text, json.dumps(body, indent=2).encode() + b"\n")
            self.assertEqual(bool(count), length >= PIECES)

    def test_bytes(self) -> None:
        """What is there already is sent as it is."""
        self.assertEqual(self.steps(b"{}"), (0, b"{}"))


class ListingTests(SynchronousTestCase):
    """Of many pools and targets only some are told in one turn."""

    def setUp(self) -> None:
        self.clock: Any = Turns()
        targets = [f"t{n}" for n in range(3 * TARGETS_AT_ONCE)]
        pools = {f"p{n}": make_pool(f"p{n}", "a") for n in range(2 * POOLS_AT_ONCE)}
        self.pools = {"web": make_pool("web", *targets), **pools}
        running: Any = Running(self.pools)
        site = admin_site(running, now=lambda: 50.0, reactor=self.clock)
        site.doStart()
        self.addCleanup(site.doStop)
        self.protocol: Any = site.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def ask(self, path: bytes) -> None:
        self.protocol.dataReceived(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path)

    def answered(self) -> tuple[int, Any]:
        """After how many turns, and with what."""
        self.clock.advance(0)
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % len(body), head)
        turns, self.clock.count = self.clock.count, 0
        return turns, json.loads(body)

    def test_pools(self) -> None:
        """All of them are there in the end."""
        self.ask(b"/api/pools")
        turns, told = self.answered()
        self.assertGreaterEqual(turns, 5)
        self.assertEqual([one["name"] for one in told["pools"]], list(self.pools))
        [web] = [one for one in told["pools"] if one["name"] == "web"]
        self.assertEqual(
            [one["id"] for one in web["targets"]], list(self.pools["web"].nodes)
        )

    def test_one_pool(self) -> None:
        """Its targets, with and without their accounts."""
        for path in (b"/api/pools/web", b"/api/explain/web"):
            self.ask(path)
            turns, told = self.answered()
            self.assertGreaterEqual(turns, 3)
            self.assertEqual(len(told["targets"]), 3 * TARGETS_AT_ONCE)
            self.transport.clear()

    def test_small(self) -> None:
        """What is small is answered in the turn it is asked for."""
        self.ask(b"/api/pools/p1")
        self.assertEqual(self.answered()[0], 0)

    def test_targets_that_leave_meanwhile(self) -> None:
        """They are told as they were when they were asked for."""
        self.ask(b"/api/explain/web")
        self.pools["web"].replace((), 50.0)
        _, told = self.answered()
        self.assertEqual(len(told["targets"]), 3 * TARGETS_AT_ONCE)
        self.assertEqual(told["available"], 0)

    def test_nobody_waits(self) -> None:
        """When who asked is gone nothing more is made, and no timer is left."""
        self.ask(b"/api/pools")
        self.assertEqual(len(self.turns()), 1)
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0)
        self.assertEqual(self.turns(), [])
        self.assertEqual(self.transport.value(), b"")

    def turns(self) -> list[Any]:
        """What is to be done in the next one."""
        now = self.clock.seconds()
        return [one for one in self.clock.getDelayedCalls() if one.getTime() <= now]

    def test_bug(self) -> None:
        """An error on the way is an answer as well, and logged."""
        seen: list[Any] = []
        hear: Any = seen.append
        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        self.ask(b"/api/pools")
        self.pools["p1"].nodes["a"].target = None
        _, told = self.answered()
        self.assertEqual(told, {"error": "internal error"})
        self.assertIn(LogLevel.critical, [one["log_level"] for one in seen])
        self.flushLoggedErrors()
