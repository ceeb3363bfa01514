"""Tests of work that is done at once, and of what is made in steps."""

from __future__ import annotations

from collections.abc import Generator

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.routing.routes import (
    PATTERNS_AT_ONCE,
    Pattern,
    RouteTable,
    by_host,
)
from lolly_tx.domain.steps import at_once


class AtOnceTests(SynchronousTestCase):
    def test_all_steps(self) -> None:
        """Each is done, and what it comes to is given."""
        seen: list[int] = []

        def work() -> Generator[None, None, str]:
            for number in range(3):
                seen.append(number)
                yield
            return "done"

        self.assertEqual((at_once(work()), seen), ("done", [0, 1, 2]))

    def test_error(self) -> None:
        """What goes wrong is raised."""

        def work() -> Generator[None, None, str]:
            yield
            raise ValueError

        self.assertRaises(ValueError, at_once, work())


class RoutesTests(SynchronousTestCase):
    def test_table_in_steps(self) -> None:
        """Thousands of routes are put in their place some at each step, and lead where they do otherwise."""
        patterns = [
            Pattern((f"h{n % 999}.example",), f"/{n}/", n)
            for n in range(3 * PATTERNS_AT_ONCE)
        ]
        making = by_host(patterns)
        self.assertEqual(sum(1 for _ in making), 6)
        table = RouteTable(patterns, at_once(by_host(patterns)))
        for n in (0, 998, 999, 3 * PATTERNS_AT_ONCE - 1):
            asked = f"h{n % 999}.example".encode(), b"/%d/x" % n
            self.assertEqual(table.find(*asked), n)
            self.assertEqual(RouteTable(patterns).find(*asked), n)
        self.assertIsNone(table.find(b"h1.example", b"/2/"))
