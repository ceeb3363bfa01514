"""Tests of the template as its supervisor has it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ProcessDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.workers.channel import Message, encode
from lolly_tx.service.workers.templates import Templates
from tests.service.workers.test_crew import FakeReactor


class Starting(FakeReactor):
    """What it starts has a number."""

    pid = 77


class TemplatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        """One that has loaded."""
        self.reactor: Any = Starting()
        self.loaded = 0
        self.said: list[Message] = []
        self.templates = Templates(
            self.reactor,
            lambda fd: ["python", str(fd)],
            lambda: ({"t": "settings"}, ()),
            loaded=self.count,
            said=self.said.append,
        )
        self.templates.start()
        self.say({"t": "loaded"})

    def count(self) -> None:
        self.loaded += 1

    def say(self, message: Message) -> None:
        """The template that is there says something."""
        self.reactor.wires[-1].channel.dataReceived(encode(message))

    def end(self) -> None:
        """Its process ends, as its parent hears."""
        self.reactor.processes[-1].processEnded(Failure(ProcessDone(0)))

    def look(self, seconds: float = 1.0) -> None:
        self.reactor.advance(seconds)
        self.templates.look(self.reactor.seconds())

    def test_child(self) -> None:
        """The end of a child is the process's; without its channel alone it is still there."""
        self.assertEqual((self.loaded, self.templates.children), (1, (77,)))
        self.reactor.wires[-1].channel.connectionLost()
        self.look()
        self.assertEqual(len(self.reactor.processes), 1)
        self.end()
        self.assertFalse(self.templates.loaded)
        self.assertIn("ended", self.templates.why)
        self.look()
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertIn("Templates the template ended", repr(self.templates))
        self.flushLoggedErrors()

    def test_of_another_process(self) -> None:
        """In a copy of its parent, the end of the channel tells of its end; the next is the copy's child."""
        self.templates.parted()
        self.assertEqual(self.templates.children, ())
        self.say({"t": "forked", "number": 1, "pid": 5})
        self.assertEqual(self.said, [{"t": "forked", "number": 1, "pid": 5}])
        self.reactor.wires[-1].channel.connectionLost()
        self.assertFalse(self.templates.loaded)
        self.look()
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertEqual(self.templates.children, (77,))
        self.say({"t": "loaded"})
        self.assertEqual(self.loaded, 2)

    def test_cannot_load_in_a_copy(self) -> None:
        """Other settings that it cannot load end its channel, and it with that."""
        self.templates.parted()
        self.say({"t": "failed", "why": "TypeError: no"})
        self.assertTrue(self.reactor.wires[-1].closed)
        self.assertEqual(self.templates.why, "TypeError: no")

    def test_not_wanted(self) -> None:
        """At the end of all no other is started."""
        self.templates.wanted = False
        self.end()
        self.look(60.0)
        self.assertEqual(len(self.reactor.processes), 1)

    def test_end(self) -> None:
        """Its channel ends, and it with that."""
        self.templates.end()
        self.assertTrue(self.reactor.wires[-1].closed)
