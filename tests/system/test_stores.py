"""Real stores: what the scripts do there, and three instances whose store is frozen and killed under load."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.stores.scripts import ADMIT, HEARTBEAT, PACE, Script
from lolly_tx.wire.resp import Reply, ReplyReader, command
from tests.system.redis_server import WHY_NOT, redis_server
from tests.system.store_scenario import scenario

HOUR = 3_600_000_000
DEADLINE = 30.0


@skipIf(WHY_NOT, WHY_NOT)
class ScriptTests(SynchronousTestCase):
    """Limits are of hours, so that it does not matter how long a test takes."""

    def setUp(self) -> None:
        serving = redis_server()
        self.path = serving.__enter__().path
        self.addCleanup(serving.__exit__, None, None, None)

    def connected(self) -> socket.socket:
        """A connection, once it listens."""
        until = time.monotonic() + DEADLINE
        while True:
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(DEADLINE)
            self.addCleanup(made.close)
            try:
                made.connect(self.path)
            except OSError:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.02)
            else:
                return made

    def ask(self, line: socket.socket, *commands: bytes) -> list[Reply]:
        """The answers to commands that are sent all at once."""
        line.sendall(b"".join(commands))
        reader = ReplyReader()
        found: list[Reply] = []
        while len(found) < len(commands):
            found += reader.feed(line.recv(65536))
        return found

    def run_script(self, script: Script, *args: Any) -> bytes:
        """As a command, on one key."""
        return command("EVAL", script.text, 1, "k", *args)

    def test_admit(self) -> None:
        """Through however many connections, no more than the limit is admitted; the others are told when."""
        asks = self.run_script(ADMIT, HOUR, HOUR / 100, 99 * HOUR / 100, 100, 64, 0)
        lines = [self.connected() for _ in range(3)]
        for line in lines:
            line.sendall(asks * 100)
        replies: list[Reply] = []
        for line in lines:
            reader = ReplyReader()
            found: list[Reply] = []
            while len(found) < 100:
                found += reader.feed(line.recv(65536))
            replies += found
        waits = [one for one in replies if isinstance(one, int)]
        self.assertEqual(len(waits), 300, replies[:2])
        self.assertEqual(sum(1 for wait in waits if not wait), 100)
        later = [wait for wait in waits if wait]
        self.assertGreater(min(later), HOUR // 2)
        self.assertLessEqual(max(later), HOUR + HOUR // 64)

    def test_owed(self) -> None:
        """What was admitted elsewhere counts, also for who is refused."""
        line = self.connected()
        limits = (HOUR, HOUR / 10, 9 * HOUR / 10, 10, 64)
        [first] = self.ask(line, self.run_script(ADMIT, *limits, 7))
        self.assertEqual(first, 0)
        rest = self.ask(line, *[self.run_script(ADMIT, *limits, 0)] * 3)
        self.assertEqual([bool(one) for one in rest], [False, False, True])
        [more] = self.ask(line, self.run_script(ADMIT, *limits, 50))
        assert isinstance(more, int)
        self.assertTrue(0 < more <= HOUR + HOUR // 64)
        [left] = self.ask(line, command("PTTL", "k"))
        assert isinstance(left, int)
        self.assertTrue(0 < left <= 3 * HOUR / 1000 + 1)

    def test_pace(self) -> None:
        """They go on one by one; too many are refused, and count for nothing."""
        line = self.connected()
        waits = self.ask(line, *[self.run_script(PACE, HOUR / 10, 2 * HOUR / 10)] * 5)
        apart = [round(10 * wait / HOUR) for wait in waits if isinstance(wait, int)]
        self.assertEqual(apart[:3], [0, 1, 2])
        self.assertEqual(waits[3:], [-1, -1])

    def test_heartbeat(self) -> None:
        """Members are counted, once each, and the time is told."""
        line = self.connected()
        beats = [self.run_script(HEARTBEAT, who, 60_000) for who in ("a", "b", "a", "")]
        counts = [one[0] for one in self.ask(line, *beats) if isinstance(one, list)]
        self.assertEqual(counts, [1, 2, 2, 2])


@skipIf(WHY_NOT, WHY_NOT)
class ScenarioTests(SynchronousTestCase):
    def test_frozen_and_killed(self) -> None:
        """No request fails while the store is frozen, killed and started again, and all come back to it."""
        found = asyncio.run(scenario(0.5))
        self.assertEqual(found.failed, [])
        self.assertEqual(found.bad_lines, [])
        self.assertGreater(found.requests, 100)
        self.assertGreater(found.admitted_away, 0)
