"""Tests of the journal of events."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.service.records.journal import AT_ONCE, EverySink, Journal
from lolly_tx.testing import RecordedEvents


def event(number):
    return Event(float(number), "app", "a", "health", "up", "down", "check: 503")


class Broken:
    """A sink that always fails."""

    def emit(self, event):
        raise RuntimeError("disk full")


class JournalTests(SynchronousTestCase):
    def test_numbers(self):
        """Events have numbers that only grow, and one can ask for those after one of them."""
        journal = Journal(3)
        for number in range(1, 6):
            journal.emit(event(number))
        self.assertEqual([n for n, _ in journal.after(0)], [3, 4, 5])
        self.assertEqual([(n, e.at) for n, e in journal.after(4)], [(5, 5.0)])
        self.assertIn("3 of 5", repr(journal))
        verifyObject(IEventSink, journal)


class EverySinkTests(SynchronousTestCase):
    def test_failing_sink(self):
        """A sink that fails is logged and hinders no other."""
        kept = RecordedEvents()
        EverySink([Broken(), kept]).emit(event(1))
        self.assertEqual(len(kept.events), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_held(self):
        """Events that are held come in their order and in parts, those that come meanwhile behind them."""
        kept, clock = RecordedEvents(), Clock()
        every = EverySink([kept])
        every.release(clock)
        every.hold()
        every.hold()
        for number in range(AT_ONCE + 10):
            every.emit(event(number))
        self.assertEqual(kept.events, [])
        every.release(clock)
        self.assertEqual(len(kept.events), AT_ONCE)
        every.emit(event(1000))
        clock.advance(0)
        self.assertEqual(
            [one.at for one in kept.events], [*map(float, range(AT_ONCE + 10)), 1000.0]
        )
        self.assertEqual(clock.getDelayedCalls(), [])
        every.emit(event(1001))
        self.assertEqual(len(kept.events), AT_ONCE + 12)
