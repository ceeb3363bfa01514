"""Tests of limits that instances share: asked, refused, known to be refused, and without their store."""

from __future__ import annotations

from typing import Any

from lolly_tx.net.stores.scripts import ADMIT, PACE
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.wire.resp import Refusal, Reply
from tests.net.stores.fakes import FakeStore
from tests.proxy.middleware.behind import REST, behind, settings
from tests.proxy.world import GET, OK, World, WorldTestCase

STORE = '[store.shared]\nurl = "redis://127.0.0.1"\n'
TEN = 'type = "rate_limit"\nrate = "10/s"\nstore = "shared"\n'


class SharedLimitTestCase(WorldTestCase):
    """A route with a limit that a store in memory counts."""

    def begin(self, table: str = TEN, store: str = STORE, **deps: Any) -> World:
        """The store is here."""
        config = settings(table, rest=REST + store)

        def find(name: str) -> SharedStore:
            shared: SharedStore = self.shared
            return shared

        world = self.world()
        self.fake = FakeStore(world.clock)
        self.fake.sharers = 2
        self.fake.on(ADMIT, self.admit)
        self.fake.on(PACE, self.admit)
        named = config.stores["shared"]
        self.shared = self.fake.store(fail=named.fail, timeout=named.timeout)
        self.addCleanup(self.shared.stop)
        self.waits: list[int] = []
        self.asked: list[tuple[list[bytes], list[bytes]]] = []
        self.behind = behind(self, config=config, deps={"store": find, **deps})
        return self.behind

    def world(self, **more: Any) -> World:
        """One for all: `behind` makes none of its own."""
        made = getattr(self, "_world", None)
        if made is None:
            made = self._world = super().world(**more)
        return made

    def admit(self, keys: list[bytes], args: list[bytes]) -> int:
        """What the store says: the next of `waits`, else 0."""
        self.asked.append((keys, args))
        return self.waits.pop(0) if self.waits else 0

    def start(self) -> None:
        """Connect to it."""
        self.shared.start()
        self.pass_time(0.01)
        self.assertTrue(self.shared.here)

    def get(self, seconds: float = 0.01) -> bytes:
        """The status of one request, after so long at most; empty: there is none yet."""
        line = self.behind.client()
        line.send(GET)
        self.pass_time(seconds)
        return self.status_of(line)

    def pass_time(self, seconds: float) -> None:
        """In small steps, for what is said follows what is said."""
        for _ in range(round(seconds / 0.001)):
            self.behind.pass_time(0.001)

    def status_of(self, line: Any) -> bytes:
        """What it has got; empty: nothing yet."""
        if self.behind.connects():
            self.target = self.behind.accept()
        if self.behind.in_flight:
            self.target.send(OK)
        got: bytes = line.take()
        return got[9:12]


class SharedLimitTests(SharedLimitTestCase):
    def test_asks(self) -> None:
        """Each request asks the store, in one question; a refused key is refused without asking until its time."""
        self.begin()
        self.start()
        self.assertEqual(self.get(), b"200")
        keys, args = self.asked[0]
        self.assertEqual(keys, [b"lolly:rate:m0:10/s:192.0.2.1"])
        self.assertEqual(
            args, [b"1000000", b"100000.000", b"900000.000", b"10", b"64", b"0"]
        )
        self.waits = [500_000]
        self.assertEqual(self.get(), b"429")
        self.assertEqual(self.get(), b"429")
        self.assertEqual(len(self.asked), 2)
        self.pass_time(0.5)
        self.assertEqual(self.get(), b"200")
        self.assertEqual(len(self.asked), 3)

    def test_local(self) -> None:
        """While it is away each admits its part, less what it had; afterwards the store hears what that was."""
        self.begin()
        self.start()
        self.assertEqual(self.get(), b"200")
        self.fake.kill()
        self.pass_time(0.01)
        self.assertFalse(self.shared.here)
        found = [self.get(0.0) for _ in range(4)]
        self.assertEqual(found, [b"200", b"429", b"429", b"429"])
        self.pass_time(1.5)
        found = [self.get(0.0) for _ in range(7)]
        self.assertEqual(found.count(b"200"), 5)
        self.fake.down = False
        while not self.shared.here:
            self.pass_time(0.01)
        self.assertEqual(self.get(), b"200")
        owed = int(self.asked[-1][1][-1])
        self.assertTrue(1 <= owed <= 5, owed)
        self.assertEqual(self.get(), b"200")
        self.assertEqual(self.asked[-1][1][-1], b"0")

    def test_late(self) -> None:
        """A store that does not answer costs a request its timeout and no more."""
        self.begin()
        self.start()
        self.fake.freeze()
        line = self.behind.client()
        line.send(GET)
        self.pass_time(0.045)
        self.assertEqual(self.status_of(line), b"")
        self.pass_time(0.01)
        self.assertEqual(self.status_of(line), b"200")

    def test_open(self) -> None:
        """`fail = "open"` lets everybody in."""
        self.begin(store=STORE + 'fail = "open"\n')
        self.assertEqual([self.get(0.0) for _ in range(15)], [b"200"] * 15)

    def test_closed(self) -> None:
        """`fail = "closed"` refuses with 503, for it is no fault of the client's."""
        self.begin(store=STORE + 'fail = "closed"\n')
        self.assertEqual(self.get(0.0), b"503")

    def test_nonsense(self) -> None:
        """What is no number, or no time that can be meant, is as no answer."""
        self.begin()
        self.start()
        replies: list[Reply] = [
            b"0",
            [],
            None,
            10**18,
            3 * 10**6,
            -5,
            Refusal("ERR no"),
        ]
        for said in replies:
            with self.subTest(said=said):
                self.fake.answers[b"EVALSHA"] = said
                self.fake.answers[b"EVAL"] = said
                self.assertIn(self.get(), (b"200", b"429"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_lies_end(self) -> None:
        """A wait that the limit cannot ask for is not remembered: who lied once has nobody refused for long."""
        self.begin()
        self.start()
        for script in (b"EVALSHA", b"EVAL"):
            self.fake.answers[script] = 86_400 * 10**6
        self.assertIn(self.get(), (b"200", b"429"))
        self.fake.answers.clear()
        self.pass_time(1.0)
        self.assertEqual(self.get(), b"200")

    def test_never_there(self) -> None:
        """Without ever having been there it is as alone as its machine: the workers share."""
        self.begin(workers=5)
        self.assertEqual(
            self.get(0.0), b"429"
        )  # others may have had it all just before
        self.pass_time(1.0)
        found = [self.get(0.0) for _ in range(4)]
        self.assertEqual(found.count(b"200"), 2)

    def test_delay(self) -> None:
        """With `delay` the store says how long each waits; also that is done without it."""
        self.begin(TEN + "delay = true\nburst = 2\n")
        self.start()
        self.waits = [0, 100_000, -1]
        self.assertEqual(self.get(), b"200")
        self.assertEqual(self.get(0.09), b"")
        self.assertEqual(self.get(0.0), b"")  # it waits for the store to say so
        self.pass_time(0.02)
        self.fake.kill()
        self.pass_time(1.0)
        found = [self.get(0.0) for _ in range(3)]
        self.assertEqual(found[0], b"200")
        self.assertIn(b"429", found)
