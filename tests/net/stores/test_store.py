"""Tests of stores that are shared: asked in time or not at all, lost, frozen, back, and what they answer."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lolly_tx.net.stores import link, store
from lolly_tx.net.stores.errors import StoreRefused
from lolly_tx.net.stores.scripts import ADMIT, Script
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.wire.resp import Refusal
from tests.net.stores.fakes import FakeStore, Heard

REFUSED = "Connection was refused by other side: refused."


class StoreTestCase(SynchronousTestCase):
    """A store in memory, and ours connected to it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fake = FakeStore(self.clock)
        self.heard = Heard()
        self.lines: list[str] = []

        @implementer(ILogObserver)
        def note(event: Any) -> None:
            if str(event.get("log_namespace", "")).startswith("lolly_tx.net.stores"):
                text = event["log_format"].format(**event)
                self.lines.append(f"{event['log_level'].name}: {text}")

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def begin(self, **settings: Any) -> SharedStore:
        """One that is started, and here if the fake answers."""
        made = self.fake.store(**settings)
        self.addCleanup(made.stop)
        made.start()
        self.pass_time(0.01)
        return made

    def pass_time(self, seconds: float, step: float = 0.001) -> None:
        """Let the clock run in small steps."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)


class QuestionTests(StoreTestCase):
    def test_answers(self) -> None:
        """Questions go out at once, one behind the other, and each gets its own answer."""
        shared = self.begin()
        self.assertTrue(shared.here)
        self.fake.answers = {b"GET": b"x", b"TTL": 7, b"DEL": None}
        for words in (("GET", "a"), ("TTL", "b"), ("DEL", "c")):
            self.heard.ask(shared, *words)
        self.assertEqual(
            self.fake.seen[-3:], [[b"GET", b"a"], [b"TTL", b"b"], [b"DEL", b"c"]]
        )
        self.assertEqual(self.heard.said, [])
        self.pass_time(0.002)
        self.assertEqual(self.heard.said, [b"x", 7, None])
        self.assertEqual(shared.counts["answered"], 3)
        self.assertEqual(self.lines, ["info: Store shared is there"])

    def test_scripts(self) -> None:
        """A script is sent by its digest, and as a text once to a store that does not know it."""
        shared = self.begin()
        script = Script("return 1")
        self.fake.on(script, lambda keys, args: [*keys, *args])
        for _ in range(2):
            shared.run(script, [b"k"], 1, "two").addCallback(self.heard.said.append)
            self.pass_time(0.005)
        self.assertEqual(self.heard.said, [[b"k", b"1", b"two"]] * 2)
        names = [words[0] for words in self.fake.seen if words[0] != b"PING"]
        self.assertEqual(names[-3:], [b"EVALSHA", b"EVAL", b"EVALSHA"])
        self.assertEqual(shared.counts["refused"], 0)

    def test_refusals(self) -> None:
        """An error is told to who has asked, and once in the log as long as it is the same."""
        shared = self.begin()
        self.fake.answers[b"SET"] = Refusal("OOM command not allowed\x07")
        failures: list[Any] = []
        for _ in range(3):
            asked = shared.ask("SET", "a", 1)
            asked.addErrback(lambda failure: failures.append(failure.type))
            self.pass_time(0.005)
        self.assertEqual(failures, [StoreRefused] * 3)
        self.assertEqual(
            [one for one in self.lines if "refuses" in one],
            [
                "warn: Store shared refuses what it is asked: OOM command not allowed\x07"
            ],
        )
        self.assertTrue(shared.here)
        self.assertEqual(shared.counts["refused"], 3)

    def test_late(self) -> None:
        """Nobody waits longer than the timeout; what comes later is not taken for another answer."""
        shared = self.begin()
        self.fake.answers = {b"GET": b"late", b"TTL": 7}
        self.fake.latency = 0.08
        self.heard.ask(shared, "GET", "a")
        self.pass_time(0.055)
        self.assertEqual(self.heard.failed, ["no answer in 50 ms"])
        self.fake.latency = 0.03
        self.heard.ask(shared, "TTL", "b")
        self.pass_time(0.04)
        self.assertEqual(self.heard.said, [7])
        self.assertTrue(shared.here)
        self.assertEqual(shared.counts["late"], 1)

    def test_late_by_us(self) -> None:
        """An answer that waits in the socket while the loop stands still is in time."""
        shared = self.begin()
        self.fake.answers = {b"GET": b"x"}
        self.fake.latency = 0.04
        self.heard.ask(shared, "GET", "a")
        self.clock.advance(
            0.2
        )  # both are due: the timer is called first, and waits for a turn
        self.clock.advance(0)
        self.assertEqual((self.heard.said, self.heard.failed), ([b"x"], []))

    def test_cancel(self) -> None:
        """Who goes away takes nobody's answer along."""
        shared = self.begin()
        self.fake.answers = {b"GET": b"x", b"TTL": 7}
        gone = self.heard.ask(shared, "GET", "a")
        self.heard.ask(shared, "TTL", "b")
        gone.cancel()
        self.pass_time(0.005)
        self.assertEqual((self.heard.said, self.heard.failed), ([7], [""]))

    def test_most(self) -> None:
        """There is an end to questions without an answer."""
        self.patch(store, "MOST_OPEN", 2)
        shared = self.begin()
        self.fake.latency = 0.01
        for _ in range(3):
            self.heard.ask(shared, "PING")
        self.assertEqual(self.heard.failed, ["too many questions without an answer"])


class AwayTests(StoreTestCase):
    def test_frozen(self) -> None:
        """After three in a row without an answer nobody waits any more; once it goes on it is noticed."""
        shared = self.begin()
        self.fake.answers = {b"GET": b"x"}
        self.fake.freeze()
        for _ in range(10):
            self.heard.ask(shared, "GET", "a")
            self.pass_time(0.003)
        self.pass_time(0.06)
        self.assertFalse(shared.here)
        self.assertEqual(len(self.heard.failed), 10)
        self.heard.ask(shared, "GET", "a")
        self.assertEqual(len(self.heard.failed), 11)  # at once
        self.pass_time(10, 0.01)
        self.fake.thaw()
        at = self.clock.seconds()
        while not shared.here:
            self.pass_time(0.01)
        self.assertLess(self.clock.seconds() - at, 1.0)
        self.heard.ask(shared, "GET", "a")
        self.pass_time(0.005)
        self.assertEqual(self.heard.said, [b"x"])
        told = [one for one in self.lines if "Store" in one]
        self.assertEqual(len(told), 3, told)
        self.assertIn("no answer in 50 ms, 3 times in a row", told[1])
        self.assertIn("is back after", told[2])
        self.assertEqual(shared.losses, 1)

    def test_frozen_and_idle(self) -> None:
        """Heartbeats find out, too, when nobody asks."""
        shared = self.begin()
        self.fake.freeze()
        self.pass_time(6, 0.01)
        self.assertFalse(shared.here)
        self.assertGreater(self.fake.connects, 1)

    def test_killed(self) -> None:
        """When the connection is lost whoever waits is told at once; it connects again within two seconds."""
        shared = self.begin()
        self.fake.latency = 0.02
        self.heard.ask(shared, "PING")
        self.fake.kill()
        self.pass_time(0.001)
        self.assertEqual(len(self.heard.failed), 1)
        self.assertFalse(shared.here)
        self.pass_time(30, 0.01)
        self.assertLess(self.fake.connects, 80)
        self.fake.down = False
        at = self.clock.seconds()
        while not shared.here:
            self.pass_time(0.01)
        self.assertLess(self.clock.seconds() - at, 1.5)
        self.assertEqual(len(self.lines), 3, self.lines)

    def test_never_there(self) -> None:
        """One that is not there from the start is told once."""
        self.fake.down = True
        shared = self.begin()
        self.pass_time(5, 0.01)
        self.heard.ask(shared, "PING")
        self.assertEqual(self.heard.failed, [f"no connection: {REFUSED}"])
        self.assertEqual(
            self.lines,
            [
                f"warn: Store shared is away: no connection: {REFUSED}; what it is for goes on without it"
            ],
        )
        self.assertEqual(shared.shown()["state"], "away")

    def test_no_reply(self) -> None:
        """What is no reply, and what nobody has asked for, ends the connection."""
        shared = self.begin()
        self.fake.lines[0].protocol.dataReceived(b"HTTP/1.1 400\r\n")
        self.assertFalse(shared.here)
        self.assertIn("it sent what is no reply", shared.why)
        self.pass_time(1)
        self.assertTrue(shared.here)
        self.fake.lines[-1].protocol.dataReceived(b"+OK\r\n+OK\r\n")
        self.assertFalse(shared.here)
        self.assertIn("what nobody has asked", shared.why)

    def test_refuses_us(self) -> None:
        """A password that is wrong, and a store that cannot be written to, are named; the password is not."""
        self.fake.answers[b"AUTH"] = Refusal("WRONGPASS invalid username-password pair")
        shared = self.fake.store()
        self.addCleanup(shared.stop)
        shared.password = "s3cret"
        shared.start()
        self.pass_time(0.01)
        self.assertIn("does not let us in: WRONGPASS", shared.why)
        self.assertNotIn("s3cret", str(self.lines))
        del self.fake.answers[b"AUTH"]
        self.fake.answers[b"EVAL"] = Refusal("READONLY You can't write")
        self.pass_time(1)
        self.assertIn([b"AUTH", b"s3cret"], self.fake.seen)
        self.assertFalse(shared.here)
        del self.fake.answers[b"EVAL"]
        self.pass_time(1)
        self.assertTrue(shared.here)

    def test_heartbeats(self) -> None:
        """They say how many share it and what time it has; what cannot be is not believed."""
        self.fake.sharers = 3
        shared = self.begin(member="me")
        self.assertEqual(shared.sharers, 3)
        self.assertAlmostEqual(shared.offset or 0.0, 1000.0, 1)
        self.assertIn(b"me", self.fake.seen[-1])
        self.fake.sharers = -1
        self.pass_time(2, 0.01)
        self.assertEqual(shared.sharers, 3)
        self.fake.answers[b"EVAL"] = [b"x"]
        self.pass_time(2, 0.01)
        self.assertFalse(shared.here)

    def test_stop(self) -> None:
        """Nothing is left behind."""
        shared = self.begin()
        self.fake.latency = 0.02
        self.heard.ask(shared, "PING")
        shared.stop()
        self.pass_time(0.1)
        self.assertEqual(len(self.heard.failed), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(any(line.open for line in self.fake.lines))

    def test_greeting(self) -> None:
        """Who we are and which database come first; who says nothing to that is left."""
        self.fake.freeze()
        shared = self.fake.store(username="app", password_file="x")
        self.addCleanup(shared.stop)
        shared.password = "p"
        shared.start()
        self.pass_time(link.GREET_SECONDS + 0.5)
        self.assertEqual(self.fake.connects, 2)
        self.fake.thaw()
        self.pass_time(1)
        self.assertIn([b"AUTH", b"app", b"p"], self.fake.seen)
        self.assertTrue(shared.here)

    def test_keys(self) -> None:
        """All that it has of ours begins with the prefix."""
        shared = self.begin(prefix="a:")
        self.assertEqual(shared.key("rate", "x"), b"a:rate:x")
        self.assertEqual(len(ADMIT.digest), 40)
