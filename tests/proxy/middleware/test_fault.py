"""Tests of `type = "fault"`: who is held and failed, for how long, and until when."""

from __future__ import annotations

from typing import Any

from lolly_tx.config.facts.consequences import consequences
from lolly_tx.config.kinds.problems import ConfigErrors
from lolly_tx.config.middleware.fault import Fault, _Moment
from tests.proxy.middleware.behind import behind, settings
from tests.proxy.world import OK, WorldTestCase, get

FAULT = 'type = "fault"\n'


class FaultTests(WorldTestCase):
    def ask(self, world: Any, fields: str = "") -> Any:
        client = world.client()
        client.send(get("/", fields))
        return client

    def test_status(self) -> None:
        """Requests are answered in place of a target, which does not hear of them."""
        world = behind(self, FAULT + "status = 503")
        client = self.ask(world)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 503 "))
        self.assertEqual(world.refusals[-1][1], 503)
        self.assertEqual(world.pool.in_flight, 0)

    def test_delay(self) -> None:
        """Requests are held, and then served; one that leaves is let go of."""
        world = behind(self, FAULT + 'delay = "2s"')
        self.ask(world)
        gone = self.ask(world)
        world.clock.advance(1.0)
        gone.lose()
        self.assertEqual(world.connects("a"), [])
        world.clock.advance(1.0)
        self.assertEqual(len(world.connects("a")), 1)
        self.assertIn(b"GET / ", world.accept().take())

    def test_both(self) -> None:
        """A request may be held, and failed then."""
        world = behind(self, FAULT + 'delay = "2s"\nstatus = 500')
        client = self.ask(world)
        self.assertEqual(client.take(), b"")
        world.clock.advance(2.0)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 500 "))

    def test_percent(self) -> None:
        """As many as it says."""
        world = behind(self, FAULT + "status = 503\nabort_percent = 25")
        failed = 0
        for _ in range(400):
            client = self.ask(world)
            failed += client.take().startswith(b"HTTP/1.1 503 ")
        self.assertLess(abs(failed - 100), 40)
        none = behind(self, FAULT + "status = 503\nabort_percent = 0")
        self.ask(none)
        none.accept()

    def test_header(self) -> None:
        """Only who asks for it, and the target does not hear of that."""
        table = FAULT + 'delay = "1s"\nheader = "X-Chaos"'
        world = behind(self, table)
        self.ask(world, "x-chaos: 1\r\n")
        self.assertEqual(world.connects("a"), [])
        world.clock.advance(1.0)
        target = world.accept()
        self.assertNotIn(b"chaos", target.take())
        target.send(OK)
        world = behind(self, table)
        self.ask(world)
        world.accept()

    def test_until(self) -> None:
        """It ends by itself."""
        world = behind(self, FAULT + 'status = 503\nuntil = "1970-01-01T00:00:10Z"')
        client = self.ask(world)
        self.assertTrue(client.take().startswith(b"HTTP/1.1 503 "))
        world.clock.advance(10.0)
        self.ask(world)
        self.assertIn(b"GET / ", world.accept().take())

    def test_most(self) -> None:
        """So many are held and no more."""
        world = behind(self, FAULT + 'delay = "2s"\nmost = 2')
        clients = [self.ask(world) for _ in range(3)]
        self.assertEqual(len(world.connects("a")), 1)
        self.assertEqual(len(clients), 3)
        world.clock.advance(2.0)
        self.assertEqual(len(world.connects("a")), 3)

    def test_settings(self) -> None:
        """Each fault is told, and what has no end is doubtful."""
        for lines, why in (
            ("", "does nothing"),
            ("status = 100", "from 200 to 599"),
            ("status = 503\nabort_percent = 101", "between 0 and 100"),
            ("status = 503\nuntil = '2026-11-28T18:00:00'", "needs a time zone"),
            ("status = 503\nuntil = 'soon'", "must be a moment"),
            ("status = 503\nuntil = 5", "must be a moment"),
        ):
            with self.assertRaises(ConfigErrors) as caught:
                settings(FAULT + lines)
            self.assertIn(why, str(caught.exception))
        config = settings(FAULT + "status = 503\nuntil = 2026-11-28T18:00:00Z")
        fault = config.middlewares["m0"].settings
        assert isinstance(fault, Fault)
        self.assertEqual(_Moment().show(fault.until), '"2026-11-28T18:00:00Z"')
        said = [str(one) for one in consequences(settings(FAULT + "status = 503"))]
        self.assertTrue(any("has no end: set until" in one for one in said))
        said = [
            str(one)
            for one in consequences(settings(FAULT + 'delay = "1s"\nheader = "X-F"'))
        ]
        self.assertIn(
            "middleware m0: holds 100 % of the requests of those with X-F for 1s", said
        )
