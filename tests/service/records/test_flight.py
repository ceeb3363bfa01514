"""Tests of the flight recorder: what is written down, and the dumps."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config import parse
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import (
    BadResponse,
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    DownstreamGone,
    HungUpOnClient,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.domain.events import Event
from lolly_tx.domain.tape import (
    ATTEMPT,
    LAST,
    OUTCOMES,
    RECORD_BYTES,
    Record,
    Tape,
    key_of,
    records,
)
from lolly_tx.service.records import dumps
from lolly_tx.service.records.dumps import AFTER_SECONDS, AGAIN_SECONDS, KEPT, Dumps
from lolly_tx.service.records.flight import Flight, code_of, told
from lolly_tx.service.records.journal import Journal
from lolly_tx.service.surroundings import Surroundings
from lolly_tx.simulate.dump import read_dump
from lolly_tx.testing import fake_pool
from tests.proxy.world import World, WorldTestCase

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
OK_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ExchangeTests(WorldTestCase):
    """What is written of exchanges."""

    def written(self, world: World) -> list[Record]:
        tape = Tape(bytearray(100 * RECORD_BYTES))
        flight = Flight(tape, column=2)
        now = world.clock.seconds() + 1
        flight.finished([(exchange, now) for exchange in world.ended])
        return list(records(tape.copy()))

    def test_answered(self) -> None:
        """One that was answered at once is one record."""
        world = self.world("a")
        client = world.client()
        client.send(GET)
        line = world.accept("a")
        world.pass_time(0.5)
        line.send(OK_ANSWER)
        [one] = self.written(world)
        self.assertEqual(one.who, key_of(world.pool.name, "a"))
        self.assertEqual((one.status, one.given, one.kind), (200, 200, LAST))
        self.assertEqual((one.outcome, one.idempotent), ("", True))
        self.assertAlmostEqual(one.seconds, 0.5, 3)
        self.assertEqual(one.exchange, (2 << 27) + 1)

    def test_post(self) -> None:
        """Whether it may be done twice is written, too."""
        world = self.world("a")
        world.client().send(POST)
        world.accept("a").send(OK_ANSWER)
        [one] = self.written(world)
        self.assertFalse(one.idempotent)

    def test_tried_again(self) -> None:
        """Each attempt is a record; they share a number."""
        world = self.world("a", "b")
        world.pass_time(1.0)
        world.client().send(GET)
        [first] = [n for n in ("a", "b") if world.connects(n)]
        [second] = {"a", "b"} - {first}
        world.refuse(first)
        world.pass_time(0.1)
        world.accept(second).send(OK_ANSWER)
        one, other = self.written(world)
        self.assertEqual(one.kind, ATTEMPT)
        self.assertEqual((one.who, one.outcome), (key_of("p", first), "refused"))
        self.assertEqual((other.who, other.status), (key_of("p", second), 200))
        self.assertEqual(one.exchange, other.exchange)

    def test_failed(self) -> None:
        """The last attempt's failure stands beside what the client got."""
        world = self.world("a")
        world.client().send(GET)
        world.refuse("a")
        world.pass_time(0.1)
        one = self.written(world)[-1]
        self.assertEqual((one.outcome, one.status, one.given), ("refused", 0, 502))

    def test_numbers_wrap(self) -> None:
        """A number is that of its process, whatever comes."""
        world = self.world("a")
        world.client().send(GET)
        world.accept("a").send(OK_ANSWER)
        tape = Tape(bytearray(100 * RECORD_BYTES))
        flight = Flight(tape, column=1)
        flight._number = (2 << 27) - 3
        flight.finished([(world.ended[0], at) for at in (1.0, 2.0)])
        numbers = [one.exchange for one in records(tape.copy())]
        self.assertEqual(numbers, [(2 << 27) - 2, (1 << 27) + 1])


class CodeTests(SynchronousTestCase):
    def test_words(self) -> None:
        """Failures of targets have a word; what others did has none."""
        for error, word in (
            (None, ""),
            (ConnectFailed(), "refused"),
            (ConnectTimedOut(), "unreachable"),
            (ResponseTimedOut(), "silent"),
            (WriteTimedOut(), "silent"),
            (ConnectionReset(), "reset"),
            (BadResponse(), "failed"),
            (DownstreamGone(), ""),
            (HungUpOnClient(), ""),
        ):
            self.assertEqual(OUTCOMES[code_of(error)], word, error)

    def test_checks(self) -> None:
        """A check is written with what it saw."""
        tape = Tape(bytearray(100 * RECORD_BYTES))
        flight = Flight(tape)
        for found in (
            Observation(True, "200 from /", 0.25, 200),
            Observation(False, "503 from /", 0.25, 503),
            Observation(False, "connection refused"),
            Observation(False, "no answer in 2 s"),
        ):
            flight.checked("p", "a", found, 7.0)
        told = [(r.ok, r.status, r.outcome, r.seconds) for r in records(tape.copy())]
        self.assertEqual(
            told,
            [
                (True, 200, "", 0.25),
                (False, 503, "failed", 0.25),
                (False, 0, "refused", 0.0),
                (False, 0, "silent", 0.0),
            ],
        )

    def test_who_is_told(self) -> None:
        """Each observer is told, and the same two are the same."""
        heard: list[str] = []
        one: Any = SimpleNamespace(finished=heard.append)
        other: Any = SimpleNamespace(finished=lambda exchange: heard.append("other"))
        self.assertIsNone(told(None, None))
        self.assertEqual(told(one, None), one.finished)
        self.assertEqual(told(None, other), other.finished)
        self.assertEqual(told(one, other), told(one, other))
        both: Any = told(one, other)
        both("one")
        self.assertEqual(heard, ["one", "other"])
        self.assertNotEqual(both, told(other, one))


class Threads(Clock):
    """A clock with a pool of threads that nobody looks into."""

    def getThreadPool(self) -> None:
        return None


@attrs.define
class Running:
    """A proxy as far as dumps tell of it."""

    config: Any
    surroundings: Surroundings
    journal: Journal
    pools: dict[str, Any]


CONFIG = """
[recorder]
{}
[listener.web]
endpoint = "tcp:1"
[[route]]
pool = "test"
[pool.test]
targets = ["http://a"]
health = {{ headers = {{ Authorization = "Basic c2VjcmV0" }} }}
"""


class DumpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(dumps, "deferToThreadPool", lambda _, __, work: maybeDeferred(work))
        self.folder = Path(self.mktemp())
        self.clock = Threads()

    def dumps(self, text: str | None = None) -> Dumps:
        if text is None:
            text = f'dir = "{self.folder}"'
        around = Surroundings(self.clock, self.clock.seconds, self.clock.seconds)
        pool = fake_pool(["a"], RoundRobin(random=Random(0)))
        self.pool = pool
        running = Running(parse(CONFIG.format(text)), around, Journal(), {"test": pool})
        self.running = running
        self.tape = Tape(bytearray(100 * RECORD_BYTES))
        made = Dumps(running, [self.tape])
        self.addCleanup(made.stop)
        return made

    def event(self, fact: str = "health", new: str = "down") -> Event:
        return Event(self.clock.seconds(), "test", "a", fact, "up", new, "a cause")

    def written(self) -> list[Path]:
        return sorted(self.folder.glob("*")) if self.folder.exists() else []

    def test_dump(self) -> None:
        """It has settings without secrets, events and the tape, and can be read again."""
        made = self.dumps()
        self.running.journal.emit(self.event())
        self.tape.write(1.0, key_of("test", "a"), 1, 0.1, 0.1, 200, 200, LAST, 8)
        text = self.successResultOf(made.dump("a test"))
        self.assertNotIn(b"c2VjcmV0", text)
        self.folder.mkdir()
        path = self.folder / "d.json"
        path.write_bytes(text)
        read = read_dump(str(path))
        self.assertEqual((read.why, len(read.events)), ("a test", 1))
        self.assertEqual(list(read.of_pool("test")), ["", "http-a", "a"])
        self.assertEqual(made.shown, {"records": 1, "room": 99, "written": 1})
        self.assertIn("a", [b for _, b in json.loads(text)["targets"].values()])

    def test_pool_down(self) -> None:
        """A pool without a target makes a dump a while later, once, readable for its owner only."""
        made = self.dumps()
        made.emit(self.event())
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(self.written(), [], "it still has one")
        self.pool.mark("a", False, "a test", self.clock.seconds())
        made.emit(self.event())
        made.emit(self.event())
        self.assertEqual(self.written(), [])
        self.clock.advance(AFTER_SECONDS)
        [path] = self.written()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertIn(
            "test has no target left", json.loads(path.read_text())["made"]["why"]
        )
        made.emit(self.event())
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(len(self.written()), 1, "too soon")
        self.clock.advance(AGAIN_SECONDS)
        made.emit(self.event())
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(len(self.written()), 2)

    def test_panic(self) -> None:
        """So does a panic, not its end; a trigger that is not named does not."""
        for text, count in (("", 1), ('triggers = ["pool_down"]', 0)):
            made = self.dumps(f'dir = "{self.folder}"\n{text}')
            for one in self.written():
                one.unlink()
            made.emit(self.event("panic", "off"))
            self.clock.advance(AFTER_SECONDS)
            self.assertEqual(self.written(), [])
            made.emit(self.event("panic", "on"))
            self.clock.advance(AFTER_SECONDS)
            self.assertEqual(len(self.written()), count)

    def test_no_folder(self) -> None:
        """Without a folder nothing is written."""
        made = self.dumps("")
        self.pool.mark("a", False, "a test", self.clock.seconds())
        made.emit(self.event())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kept(self) -> None:
        """The latest are kept."""
        made = self.dumps()
        for _ in range(KEPT + 2):
            made.emit(self.event("panic", "on"))
            self.clock.advance(AFTER_SECONDS)
            self.clock.advance(AGAIN_SECONDS)
        self.assertEqual(len(self.written()), KEPT)

    def test_cannot_be_written(self) -> None:
        """What cannot be written is said in a line, and the proxy goes on."""
        made = self.dumps()
        self.folder.write_text("a file")
        with capturedLogs() as events:
            made.emit(self.event("panic", "on"))
            self.clock.advance(AFTER_SECONDS)
        said = [formatEvent(one) for one in events]
        self.assertTrue(any("could not be written" in one for one in said), said)

    def test_stop(self) -> None:
        """At the end no timer is left."""
        made = self.dumps()
        made.emit(self.event("panic", "on"))
        made.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
