"""Real stores: what the scripts do there, and three instances whose store is frozen and killed, under load or not."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.stores.scripts import ADMIT, HEARTBEAT, PACE, STAND, Script
from lolly_tx.wire.resp import Reply, ReplyReader, command
from tests.system.fleet_scenario import scenario as fleet_scenario
from tests.system.redis_server import redis_server
from tests.system.store_scenario import scenario

HOUR = 3_600_000_000
DEADLINE = 30.0


def connected(test: SynchronousTestCase, path: str) -> socket.socket:
    """A connection for a test, once somebody listens."""
    until = time.monotonic() + DEADLINE
    while True:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(DEADLINE)
        test.addCleanup(made.close)
        try:
            made.connect(path)
        except OSError:
            test.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        else:
            return made


def said(line: socket.socket, *commands: bytes) -> list[Reply]:
    """The answers to commands that are sent all at once."""
    line.sendall(b"".join(commands))
    reader = ReplyReader()
    found: list[Reply] = []
    while len(found) < len(commands):
        found += reader.feed(line.recv(65536))
    return found


class ScriptTests(SynchronousTestCase):
    """Limits are of hours, so that it does not matter how long a test takes."""

    def setUp(self) -> None:
        serving = redis_server()
        self.path = serving.__enter__().path
        self.addCleanup(serving.__exit__, None, None, None)

    def connected(self) -> socket.socket:
        """A connection, once it listens."""
        return connected(self, self.path)

    def ask(self, line: socket.socket, *commands: bytes) -> list[Reply]:
        """The answers to commands that are sent all at once."""
        return said(line, *commands)

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

    def stand(
        self, who: str, *counts: int, before: int = 0, keep: int = 60_000, most: int = 8
    ) -> bytes:
        """What `who` stands by, of keys k0 and on."""
        keys = [f"k{number}" for number in range(len(counts))]
        words = [word for count in counts for word in (count, before)]
        return command("EVAL", STAND.text, len(keys), *keys, who, keep, most, *words)

    def test_stand(self) -> None:
        """Each is told what the others stand by, of each key; one's own word replaces the one before."""
        line = self.connected()
        found = self.ask(
            line,
            self.stand("a", 1),
            self.stand("b", 2, 1),
            self.stand("a", 1, 1, before=1),
            self.stand("c", 1, 0),
            self.stand("a", 2, 4, before=1),
            self.stand("b", 0, 1, before=2),
            self.stand("c", 1, 0, before=1),
            self.stand("a", 1, 0, before=4),
        )
        right = [[0], [1, 0], [2, 1], [3, 2], [3, 1], [3, 4], [2, 5], [1, 1]]
        self.assertEqual(found, right)
        [left, none] = self.ask(line, command("PTTL", "k0"), command("PTTL", "k2"))
        assert isinstance(left, int)
        self.assertTrue(0 < left <= 60_000)
        self.assertEqual(none, -2)

    def test_stand_no_more(self) -> None:
        """Who has not repeated its word in time is forgotten, by the store's clock; then the key is."""
        line = self.connected()
        until = time.monotonic() + DEADLINE
        self.ask(line, self.stand("a", 1, keep=200))
        while self.ask(line, self.stand("b", 1, keep=200)) != [[0]]:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        self.assertEqual(self.ask(line, command("ZCARD", "k0")), [1])
        while self.ask(line, command("EXISTS", "k0")) != [0]:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_stand_bounded(self) -> None:
        """A key has so many failures at most, and what the store's clock has not come to is nothing."""
        line = self.connected()
        later = int(time.time() * 1000) + 3_600_000
        self.ask(line, *[command("ZADD", "k0", later, f"r {n}") for n in range(9)])
        asks = [self.stand(f"m{number}", 1, most=4) for number in range(9)]
        found = [one[0] for one in self.ask(line, *asks) if isinstance(one, list)]
        self.assertEqual(found, [0, 1, 2, 3, 3, 3, 3, 3, 3])
        self.assertEqual(self.ask(line, command("ZCARD", "k0")), [4])
        self.assertEqual(self.ask(line, self.stand("m8", 0, before=1)), [[3]])


class ScenarioTests(SynchronousTestCase):
    def test_frozen_and_killed(self) -> None:
        """No request fails while the store is frozen, killed and started again, and all come back to it."""
        found = asyncio.run(scenario(0.5))
        self.assertEqual(found.failed, [])
        self.assertEqual(found.bad_lines, [])
        self.assertGreater(found.requests, 100)
        self.assertGreater(found.admitted_away, 0)

    def test_fleet(self) -> None:
        """Three instances with a failure each eject; without the store each goes by its own word, until it is back."""
        found = asyncio.run(fleet_scenario())
        self.assertEqual(found.questions, [0, 0, 0], "successes ask nothing")
        self.assertEqual(found.bad_lines, [])
        said = "3 failures in the fleet (1 here)"
        self.assertIn(f"passive: {said}, last: status 500", found.cause)
        self.assertIn(said, found.explained)
        for length in found.lengths:
            self.assertApproximates(length, 60.0, 1.0)
        self.assertEqual(found.alone_frozen, [0])
        self.assertEqual(found.alone_killed, [])
