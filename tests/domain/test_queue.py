"""Tests of `lolly_tx.domain.queue`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.queue import Ticket, WaitingLine


class WaitingLineTests(SynchronousTestCase):
    def test_first_come(self) -> None:
        """Those who wait are served in the order they came."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        for item in "abc":
            line.offer(item, 0.0)
        self.assertEqual([line.take().item for _ in "abc"], list("abc"))  # type: ignore[union-attr]
        self.assertIsNone(line.take())

    def test_next(self) -> None:
        """Whose turn it is can be seen without losing that one's place."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        self.assertIsNone(line.next())
        line.offer("a", 0.0)
        line.offer("b", 5.0)
        first = line.next()
        assert first is not None
        self.assertEqual((first.item, len(line)), ("a", 2))

    def test_late_and_not_told_so(self) -> None:
        """Who has waited too long is served as long as nobody has been told that it is over."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        line.offer("a", 0.0)
        first = line.next()
        assert first is not None
        self.assertEqual(first.item, "a")
        line.expire(10.0)
        self.assertIsNone(line.next())

    def test_priority(self) -> None:
        """A lower priority number goes first."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        line.offer("later", 0.0, priority=5)
        line.offer("sooner", 0.0, priority=-5)
        ticket = line.take()
        assert ticket is not None
        self.assertEqual(ticket.item, "sooner")

    def test_limit(self) -> None:
        """A full line refuses, unless the newcomer is better than the worst, who then goes."""
        line: WaitingLine[str] = WaitingLine(2, 10.0)
        line.offer("a", 0.0, priority=1)
        b, _ = line.offer("b", 0.0, priority=1)
        self.assertEqual(line.offer("c", 0.0, priority=1), (None, None))
        ticket, pushed = line.offer("d", 0.0, priority=0)
        self.assertIsNotNone(ticket)
        self.assertIs(pushed, b)
        self.assertEqual((len(line), line.refused), (2, 2))
        empty: WaitingLine[str] = WaitingLine(0, 1.0)
        self.assertEqual(empty.offer("x", 0.0), (None, None))

    def test_timeout(self) -> None:
        """Those whose time is over are named once, and not served after that."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        line.offer("a", 0.0)
        line.offer("b", 0.0, timeout=3.0)
        line.offer("c", 5.0)
        self.assertEqual(line.next_deadline(), 3.0)
        self.assertEqual([t.item for t in line.expire(3.0)], ["b"])
        self.assertEqual(line.expire(3.0), [])
        self.assertEqual([t.item for t in line.expire(12.0)], ["a"])
        ticket = line.take()
        assert ticket is not None
        self.assertEqual(ticket.item, "c")
        self.assertIsNone(line.take())
        self.assertEqual((len(line), line.expired), (0, 2))
        self.assertIsNone(line.next_deadline())

    def test_cancel(self) -> None:
        """A client that goes away leaves its place, and is neither served nor named."""
        line: WaitingLine[str] = WaitingLine(5, 10.0)
        ticket, _ = line.offer("a", 0.0)
        assert ticket is not None
        line.cancel(ticket)
        line.cancel(ticket)
        self.assertEqual((len(line), line.take()), (0, None))
        self.assertIsNone(line.next_deadline())
        self.assertEqual(line.expire(99.0), [])
        self.assertIn("done", repr(ticket))
        self.assertEqual(repr(line), "<WaitingLine 0 of 5>")

    @given(st.lists(st.tuples(st.sampled_from("otxc"), st.integers(-2, 2))))
    def test_nobody_is_lost(self, steps: list[tuple[str, int]]) -> None:
        """Everybody is served, pushed out, expired or cancelled exactly once, and the line stays small."""
        line: WaitingLine[int] = WaitingLine(4, 3.0)
        inside: set[Ticket[int]] = set()
        for now, (what, priority) in enumerate(steps):
            if what == "o":
                ticket, pushed = line.offer(now, now, priority=priority)
                inside -= {pushed}
                inside |= {ticket} if ticket else set()
            elif what == "t":
                ticket = line.take()
                if ticket is not None:
                    self.assertIn(ticket, inside)
                    self.assertEqual(ticket.priority, min(t.priority for t in inside))
                    inside.remove(ticket)
            elif what == "x":
                for ticket in line.expire(now):
                    inside.remove(ticket)
            elif inside:
                line.cancel(inside.pop())
            self.assertEqual(len(line), len(inside))
            self.assertLessEqual(len(line._heap), 2 * len(line) + 18)

    def test_memory(self) -> None:
        """Thousands that come and go leave nothing behind."""
        line: WaitingLine[int] = WaitingLine(100, 10.0)
        for i in range(5000):
            ticket, _ = line.offer(i, 0.0)
            assert ticket is not None
            line.cancel(ticket)
        self.assertLess(len(line._heap) + len(line._deadlines), 50)
