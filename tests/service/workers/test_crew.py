"""Tests of the workers of a supervisor, without processes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.workers.channel import Channel, Message, encode
from lolly_tx.service.workers.crew import Crew
from lolly_tx.service.workers.seats import LONGEST_DELAY, Seat, delay_after


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.sent: list[Message] = []
        self.closed = False

    def write(self, data: bytes) -> None:

        self.sent.append(json.loads(data[4:]))

    def sendFileDescriptor(self, fd: int) -> None:
        os.fstat(fd)

    def loseConnection(self) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.channel.connectionLost()

    def words(self) -> list[str]:
        """What kinds of messages were sent."""
        return [one["t"] for one in self.sent]


class FakeReactor(Clock):
    """Starts nothing, and keeps the ends of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Any] = []
        self.wires: list[Wire] = []

    def spawnProcess(self, protocol: Any, *rest: Any, **named: Any) -> Any:
        self.processes.append(protocol)
        return self

    def signalProcess(self, name: str) -> None:
        self.killed = name

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        assert family == socket.AF_UNIX
        channel = factory.buildProtocol(None)
        wire = Wire(channel)
        self.wires.append(wire)
        channel.makeConnection(wire)


class Desk:
    """The supervisor, as far as the crew needs one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone: list[int] = []

    def settings(self) -> tuple[Message, Sequence[int]]:
        return {"t": "settings"}, ()

    def beginning(self, number: int) -> tuple[Message, Sequence[int]]:
        return {"t": "begin", "number": number}, ()

    def slots(self, number: int) -> tuple[list[str], list[int]]:
        return ["web"], [0]

    def heard(self, seat: Seat, message: Message) -> None:
        self.messages.append(message)

    def passed(self, seat: Seat, message: Message, descriptors: list[int]) -> None:
        self.messages.append({**message, "descriptors": descriptors})

    def lost(self, seat: Seat) -> None:
        self.gone.append(seat.number)


class CrewTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two workers that serve."""
        self.reactor = FakeReactor()
        self.desk = Desk()
        self.killed: list[tuple[int, int]] = []
        self.patch(os, "kill", lambda pid, number: self.killed.append((pid, number)))
        self.crew = Crew(self.reactor, 2, self.desk, lambda fd: ["python", str(fd)])
        self.crew.start()
        self.template, *_ = self.reactor.wires
        self.say(self.template, {"t": "loaded"})
        self.one, self.two = self.reactor.wires[1:3]

    def say(self, wire: Wire, message: Message) -> None:
        """What comes from the other end."""
        wire.channel.dataReceived(encode(message))

    def serve(self) -> None:
        """Both say that they are ready."""
        for pid, wire in ((901, self.one), (902, self.two)):
            self.say(wire, {"t": "ready", "pid": pid})

    def pass_time(self, seconds: float, *alive: Wire) -> None:
        """Time passes, and those that live say so."""
        for _ in range(int(seconds * 10)):
            self.reactor.advance(0.1)
            for wire in alive:
                self.say(wire, {"t": "beat", "numbers": {}})

    def test_start(self) -> None:
        """The template gets the settings, then a worker each is forked and told how to begin."""
        self.assertEqual(self.template.words(), ["settings", "fork", "fork"])
        self.assertEqual(self.one.sent, [{"t": "begin", "number": 1}])
        self.assertEqual(self.crew.serving, [])
        self.serve()
        self.assertEqual([s.pid for s in self.crew.serving], [901, 902])
        self.say(self.one, {"t": "seen", "entries": []})
        self.assertEqual(self.desk.messages, [{"t": "seen", "entries": []}])
        self.one.channel.fileDescriptorReceived(99)
        self.say(self.one, {"t": "hop", "fds": 1})
        self.assertEqual(self.desk.messages[1]["descriptors"], [99])
        self.assertEqual(self.crew.ailing(), [])
        self.crew.tell({"t": "facts"})
        self.assertEqual(self.two.words()[-1], "facts")

    def test_first_start(self) -> None:
        """A worker that waits for the template to be loaded is starting, since the start of the crew."""
        self.reactor.advance(36000.0)
        crew = Crew(self.reactor, 1, self.desk, lambda fd: ["python", str(fd)])
        crew.start()
        self.reactor.advance(2.0)
        [shown] = crew.shown()
        self.assertEqual((shown["state"], shown["state_seconds"]), ("starting", 2.0))
        self.assertEqual((shown["next_start_seconds"], shown["starts"]), (None, 0))
        crew.stop(1.0)
        self.assertEqual(crew.shown()[0]["state"], "stopped")

    def test_dead_worker_is_replaced_at_once(self) -> None:
        """A sibling accepts on its slot until the next one does."""
        self.serve()
        self.say(self.template, {"t": "ended", "pid": 901, "status": 9})
        self.one.channel.connectionLost()
        self.assertEqual(self.desk.gone, [1])
        self.assertEqual(self.two.words()[-1], "adopt")
        self.assertEqual(self.two.sent[-1]["slot"], 0)
        self.assertIn("ended by SIGKILL", self.crew.seats[0].why or "ended by SIGKILL")
        fresh = self.reactor.wires[3]
        self.assertEqual(fresh.sent, [{"t": "begin", "number": 1}])
        self.say(fresh, {"t": "ready", "pid": 903})
        self.assertEqual(self.two.words()[-1], "leave")
        self.assertEqual(self.crew.seats[0].starts, 2)
        shown = self.crew.shown()
        self.assertEqual([one["pid"] for one in shown], [903, 902])

    def test_silent_worker_is_killed(self) -> None:
        """After five seconds without a word; the others go on."""
        self.serve()
        self.pass_time(4.9, self.two)
        self.assertEqual(self.killed, [])
        self.pass_time(0.4, self.two)
        self.assertEqual(self.killed[0][0], 901)
        self.assertEqual(self.desk.gone, [1])
        self.assertEqual(len(self.reactor.wires), 4)

    def test_supervisor_that_stood_still_blames_nobody(self) -> None:
        """Nobody could be heard meanwhile."""
        self.serve()
        self.reactor.advance(60)
        self.reactor.advance(0.1)
        self.assertEqual(self.killed, [])

    def test_crash_loop_backs_off_and_is_named(self) -> None:
        """Each failure doubles the wait; the reason is shown."""
        self.serve()
        wire = self.one
        times = []
        for _ in range(5):
            count = len(self.reactor.wires)
            self.say(wire, {"t": "failed", "why": "no such file"})
            wire.channel.connectionLost()
            waited = 0.0
            while len(self.reactor.wires) == count:
                self.assertIn(
                    "worker 1 does not serve: no such file", self.crew.ailing()
                )
                self.pass_time(0.1, self.two)
                waited += 0.1
            times.append(round(waited, 1))
            wire = self.reactor.wires[-1]
        self.assertEqual(times[0], 0.0)
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1], 0.5)
        self.assertEqual(self.crew.seats[1].starts, 1)

    def states(self) -> list[tuple[str, float]]:
        """The state of each worker, and for how many seconds."""
        return [(s["state"], s["state_seconds"]) for s in self.crew.shown()]

    def test_states(self) -> None:
        """Each worker is shown in one of a few states, with the time since it came to be so."""
        self.pass_time(0.2)
        self.assertEqual(self.states(), [("starting", 0.2), ("starting", 0.2)])
        self.serve()
        self.pass_time(0.3, self.one, self.two)
        self.assertEqual(self.states(), [("serving", 0.3), ("serving", 0.3)])
        self.say(self.one, {"t": "leaving"})
        self.pass_time(0.1, self.one, self.two)
        self.assertEqual(self.states(), [("draining", 0.1), ("serving", 0.4)])
        self.one.channel.connectionLost()
        self.assertEqual(self.states()[0], ("starting", 0.0))

    def test_back_off_is_shown(self) -> None:
        """With the reason and the time of the next start; restarts are counted."""
        self.serve()
        self.one.channel.connectionLost()
        again = self.reactor.wires[-1]
        self.say(again, {"t": "failed", "why": "no such file"})
        again.channel.connectionLost()
        shown = self.crew.shown()[0]
        self.assertEqual((shown["state"], shown["why"]), ("back-off", "no such file"))
        self.assertEqual(shown["next_start_seconds"], 0.1)
        self.assertEqual((shown["pid"], shown["restarts"]), (None, 1))
        self.pass_time(0.2, self.two)
        shown = self.crew.shown()[0]
        self.assertEqual((shown["state"], shown["restarts"]), ("starting", 2))

    def test_stop_is_shown(self) -> None:
        """All drain, and those that have ended are stopped."""
        self.serve()
        self.crew.stop(10.0)
        self.one.channel.connectionLost()
        self.assertEqual([s for s, _ in self.states()], ["stopped", "draining"])

    def test_delays(self) -> None:
        """None for the first, and never longer than the longest."""
        self.assertEqual([delay_after(n) for n in (0, 1, 2, 3)], [0.0, 0.0, 0.1, 0.2])
        self.assertEqual(delay_after(1000), LONGEST_DELAY)

    def test_keeper_dies_too(self) -> None:
        """With nobody left to accept the slots wait; who comes first takes care of both."""
        self.serve()
        self.one.channel.connectionLost()
        self.two.channel.connectionLost()
        third, fourth = self.reactor.wires[3:5]
        self.say(fourth, {"t": "ready", "pid": 904})
        self.assertEqual(fourth.words(), ["begin", "adopt"])
        self.say(third, {"t": "ready", "pid": 903})
        self.assertEqual(fourth.words()[-1], "leave")

    def test_template_that_ends_is_started_again(self) -> None:
        """Workers serve meanwhile; one that dies then waits for it."""
        self.serve()
        self.reactor.processes[0].processEnded(Failure(ProcessDone(0)))
        self.one.channel.connectionLost()
        self.assertIn(
            "worker 1 does not serve: the template ended", self.crew.ailing()[0]
        )
        self.pass_time(0.3, self.two)
        self.assertEqual(len(self.reactor.processes), 2)
        fresh = self.reactor.wires[-1]
        self.say(fresh, {"t": "loaded"})
        self.assertEqual(fresh.words(), ["settings", "fork"])

    def test_template_that_cannot_load(self) -> None:
        """It says why, and is tried again later."""
        self.say(self.template, {"t": "failed", "why": "BadThing: x"})
        self.assertEqual(self.reactor.killed, "KILL")
        self.assertIn("worker 1 does not serve: BadThing: x", self.crew.ailing())

    def test_stop(self) -> None:
        """All are told, and it is over when the last is gone; nobody is replaced."""
        self.serve()
        stopped = self.crew.stop(10.0)
        self.assertEqual(
            self.one.sent[-1],
            {"t": "stop", "last": True, "patient": False, "replaced": False},
        )
        self.one.channel.connectionLost()
        self.assertNoResult(stopped)
        self.two.channel.connectionLost()
        self.successResultOf(stopped)
        self.assertTrue(self.template.closed)
        self.assertEqual(len(self.reactor.wires), 3)
        self.reactor.advance(2.0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_of_those_who_are_replaced(self) -> None:
        """Others accept on their slots, so nobody calls last; hurried, they have no more than a stop has."""
        self.serve()
        self.crew.hurry(1.0)
        stopped = self.crew.stop(300.0, patient=True, replaced=True)
        self.assertEqual(
            self.one.sent[-1],
            {"t": "stop", "last": False, "patient": True, "replaced": True},
        )
        self.crew.hurry(3.0)
        self.assertEqual(self.one.sent[-1], {"t": "hurry"})
        self.pass_time(2.0, self.one, self.two)
        self.crew.hurry(10.0)
        self.assertEqual(self.killed, [])
        self.pass_time(1.2, self.one, self.two)
        self.assertEqual({pid for pid, _ in self.killed}, {901, 902})
        self.assertNoResult(stopped)

    def test_complete(self) -> None:
        """As soon as all serve, or those that cannot have somebody in their place."""
        calls: list[str] = []
        self.crew.when_complete(lambda: calls.append("complete"))
        self.assertFalse(self.crew.complete)
        self.say(self.one, {"t": "ready", "pid": 901})
        self.assertFalse(self.crew.complete)
        self.say(self.two, {"t": "failed", "why": "no"})
        self.two.channel.connectionLost()
        self.assertTrue(self.crew.complete)
        self.pass_time(0.3, self.one)
        self.assertEqual(calls, ["complete"])
        self.one.channel.connectionLost()
        self.assertFalse(self.crew.complete)

    def test_complete_at_once(self) -> None:
        """It is said with the word of the last one."""
        calls: list[str] = []
        self.crew.when_complete(lambda: calls.append("complete"))
        self.serve()
        self.assertEqual(calls, ["complete"])

    def test_parted(self) -> None:
        """In a copy of the process workers go on, and are replaced by the template there is, or by the next one."""
        self.serve()
        self.crew.parted()
        self.assertEqual(self.crew.children, ())
        self.two.channel.connectionLost()
        self.assertEqual(self.template.words()[-1], "fork")
        self.template.channel.connectionLost()
        self.pass_time(0.3, self.one)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_stop_does_not_wait_for_ever(self) -> None:
        """Who has not ended in time is killed."""
        self.serve()
        self.crew.stop(3.0)
        self.pass_time(3.2, self.one, self.two)
        self.assertEqual({pid for pid, _ in self.killed}, {901, 902})
