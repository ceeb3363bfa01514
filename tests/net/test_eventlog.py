"""Tests of the log of availability changes."""

from __future__ import annotations

from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.net.library.eventlog import EventCallback, EventLog


class EventLogTests(SynchronousTestCase):
    def logged(self, event):
        """The one log event that `event` makes."""
        seen = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        log = EventLog()
        verifyObject(IEventSink, log)
        log.emit(event)
        [entry] = [each for each in seen if "fact" in each]
        return entry

    def test_worse(self):
        """A change for the worse is a warning that names its cause."""
        for fact, new in (("health", "down"), ("ejection", "ejected")):
            entry = self.logged(Event(1.0, "p", "a", fact, "up", new, "no answer"))
            self.assertEqual(entry["log_level"], LogLevel.warn)
            self.assertEqual(formatEvent(entry), f"p/a: {fact} up -> {new}: no answer")
            self.assertEqual(entry["cause"], "no answer")

    def test_better(self):
        """Other changes are information; those of the whole pool name no node."""
        entry = self.logged(Event(1.0, "p", "", "panic", "on", "off", "a is back"))
        self.assertEqual(entry["log_level"], LogLevel.info)
        self.assertEqual(formatEvent(entry), "p/*: panic on -> off: a is back")

    def test_callback(self):
        """A function hears each event, which is logged as well; if it fails, that is logged and nothing more."""
        heard = []

        def hear(event):
            heard.append(event)
            raise KeyError("a bug")

        seen = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        sink = EventCallback(hear)
        verifyObject(IEventSink, sink)
        event = Event(1.0, "p", "a", "health", "up", "down", "no answer")
        sink.emit(event)
        self.assertEqual(heard, [event])
        self.assertEqual(len([each for each in seen if "fact" in each]), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
