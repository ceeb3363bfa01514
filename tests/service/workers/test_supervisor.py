"""Tests of what the supervisor of workers does in an upgrade."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.error import ProcessDone
from twisted.python.failure import Failure

from lolly_tx.config.load import parse
from lolly_tx.net.sockets.inherited import Heirloom, Inheritance
from lolly_tx.net.sockets.slots import bind_slots
from lolly_tx.service.registry import Registry
from lolly_tx.service.upgrades.handover import numbers_in, restore, sockets_of, state_of
from lolly_tx.service.workers.channel import encode
from lolly_tx.service.workers.several import supervise
from lolly_tx.service.workers.supervisor import Supervisor
from tests.service.test_build import BuildTestCase, Reactor
from tests.service.workers.test_crew import FakeReactor

TEXT = """
workers = 2
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://127.0.0.1:9001", id = "a" }]
[timeouts]
drain = "60s"
shutdown = "5s"
lame_duck = "2s"
"""


class SupervisingReactor(FakeReactor, Reactor):
    """Starts nothing, and has the other ends of channels."""

    pid = 77


class SupervisorTestCase(BuildTestCase):
    """Two workers, which this test is."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = SupervisingReactor()
        self.patch(os, "kill", lambda pid, number: None)

    def supervise(self, *, start: bool = True) -> Supervisor:
        """A supervisor; its workers have not begun."""
        made = supervise(
            self.reactor,
            parse(TEXT, str(self.folder / "lolly.toml"), {}),
            registry=Registry(),
            command=lambda fd: ["python", str(fd)],
        )
        if start:
            made.privilegedStartService()
            self.addCleanup(made.service.listeners.stop)
            made.startService()
            self.say(0, t="loaded")
        return made

    def say(self, wire: int, **message: Any) -> None:
        """The template (0) or a worker says something."""
        self.reactor.wires[wire].channel.dataReceived(encode(message))

    def told(self, wire: int, word: str) -> list[dict[str, Any]]:
        """What one of them was told of that kind."""
        return [one for one in self.reactor.wires[wire].sent if one["t"] == word]


class SharedRowsTests(SupervisorTestCase):
    """The memory that workers share follows the targets."""

    def test_thousands_more_and_gone_again(self) -> None:
        """A reload may name thousands; the rows of those that left are for the next ones."""
        made = self.supervise()
        before = made._shares.rows
        many = ", ".join(f'"http://127.0.0.1:{port}"' for port in range(2001, 6001))
        for text in (TEXT + f"[pool.more]\ntargets = [{many}]\n", TEXT):
            made.prepare(parse(text, str(self.folder / "lolly.toml"), {}))
            sizes = len(made._shares.rows)
            made.forget()
        self.assertEqual(made._shares.rows, before)
        self.assertLess(sizes, 10)


class NetworkTests(SupervisorTestCase):
    """Whoever serves knows that the network is lost."""

    def test_what_a_worker_has_run_out_of(self) -> None:
        """It is shown as a fault of this machine."""
        made = self.supervise()
        seat: Any = None
        made.heard(seat, {"t": "short", "words": "no file descriptor left"})
        self.pass_time(1.0)
        fault = made.service.local_fault()
        assert fault is not None
        self.assertEqual(fault["kind"], "resources")
        made.service.commons.local_faults.stop()


class RetireTests(SupervisorTestCase):
    def test_replaced(self) -> None:
        """Its workers drain without a last call and with time, and it listens, judges and probes no more."""
        supervisor = self.supervise()
        for number in (1, 2):
            self.say(number, t="ready", pid=10 + number)
        supervisor.service.listeners.lend()
        [place] = supervisor.service.listeners.places.values()
        self.assertTrue(place.port.is_lent)
        supervisor.parted()
        self.assertEqual(supervisor.crew.children, ())
        supervisor.retire()
        stopped = supervisor.stopService()
        [said] = self.told(1, "stop")
        self.assertEqual(
            (said["last"], said["patient"], said["replaced"]), (False, True, True)
        )
        self.assertIsNone(place.port)
        failed = ["app", "a", 0.0, 0.0, 0.0, 0, False, 0, 0.0, ["ConnectFailed", ""]]
        self.say(1, t="seen", entries=[failed] * 9)
        [node] = supervisor.service.pools["app"].nodes.values()
        self.assertEqual(node.ejection, "up")
        self.pass_time(4.0)
        self.assertNoResult(stopped)
        for wire in self.reactor.wires[1:]:
            wire.channel.connectionLost()
        self.successResultOf(stopped)
        self.assertTrue(self.reactor.wires[0].closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_hurried(self) -> None:
        """A signal to who has retired leaves its workers what a stop has."""
        supervisor = self.supervise()
        self.say(1, t="ready", pid=11)
        supervisor.retire()
        supervisor.stopService()
        supervisor.hurry()
        self.assertEqual(len(self.told(1, "hurry")), 1)

    def test_ordinary_stop(self) -> None:
        """Nobody else accepts on the slots, so who waits there is taken."""
        supervisor = self.supervise()
        self.say(1, t="ready", pid=11)
        supervisor.stopService()
        [said] = self.told(1, "stop")
        self.assertEqual(
            (said["last"], said["patient"], said["replaced"]), (True, False, False)
        )

    def test_template_ends_with_the_old_one(self) -> None:
        """Its end is not one of ours: the child of a process that has become other code is not waited for here."""
        supervisor = self.supervise()
        self.assertEqual(supervisor.crew.children, (77,))
        self.reactor.processes[0].processEnded(Failure(ProcessDone(0)))
        self.assertEqual(supervisor.crew.children, ())


class HandedOverTests(SupervisorTestCase):
    def state(self) -> dict[str, Any]:
        """What a supervisor knows whose workers have served."""
        supervisor = self.supervise()
        for number in (1, 2):
            self.say(number, t="ready", pid=10 + number)
            numbers = {
                "listeners/web/accepted": 4,
                "listeners/web/open": 1,
                "nodes/app/a/requests": 3,
                "nodes/app/a/in_flight": 1,
                "pools/app/exchanges": 3,
            }
            self.say(number, t="beat", oldest={}, numbers=numbers)
        supervisor.service.pools["app"].set_enabled("a", "drain", "operator: x", 0.0)
        return dict(json.loads(json.dumps(state_of(supervisor.service))))

    def test_counters(self) -> None:
        """What workers counted goes over, what they had open does not; new ones count on from there."""
        state = self.state()
        self.reactor.wires.clear()
        new = self.supervise(start=False)
        restore(new.service, state)
        new.count_on(numbers_in(state))
        new.privilegedStartService()
        self.addCleanup(new.service.listeners.stop)
        new.startService()
        self.say(0, t="loaded")
        self.say(1, t="ready", pid=21)
        self.say(1, t="beat", oldest={}, numbers={"listeners/web/accepted": 2})
        self.pass_time(0.2)
        told = new.service.statistics()
        self.assertEqual(told["listeners"]["web"]["accepted"], 10)
        self.assertEqual(told["listeners"]["web"]["open"], 0)
        self.assertEqual(told["pools"]["app"]["exchanges"], 6)
        [node] = new.service.pools["app"].nodes.values()
        self.assertEqual((node.stats.requests, node.in_flight), (6, 0))

    def test_counters_of_one_process(self) -> None:
        """What the only process counted is counted on by those that follow."""
        service = self.build(TEXT)
        service.acceptors["web"].accepted = 7
        [node] = service.pools["app"].nodes.values()
        node.stats.requests = 5
        state = json.loads(json.dumps(state_of(service)))
        new = self.supervise(start=False)
        restore(new.service, state)
        new.count_on(numbers_in(state))
        self.assertIs(new.service.colleagues, new)
        counted = new.counted()
        self.assertEqual(counted["listeners/web/accepted"], 7)
        self.assertEqual(counted["nodes/app/a/requests"], 5)
        self.assertEqual(new.service.statistics()["listeners"]["web"]["accepted"], 7)

    def test_words(self) -> None:
        """Workers of the new code begin with the operator's word."""
        state = self.state()
        new = self.supervise(start=False)
        restore(new.service, state)
        begin, _ = new.beginning(1)
        self.assertEqual(begin["facts"]["app"]["a"]["enabled"], "drain")

    def test_slots(self) -> None:
        """Sockets that were left are the slots of the new workers: of three the first of two has two."""
        supervisor = self.supervise(start=False)
        text = "tcp:0:interface=127.0.0.1"
        first, *others = bind_slots("127.0.0.1", 0, 3)
        left = Heirloom(first, "web", text, True, others=tuple(others))
        # A view of a reactor without sockets takes no heirloom.
        place = supervisor.service.listeners.prepared["web"]
        place._endpoint._reactor.heirloom = left
        supervisor.service.listeners.inherit(Inheritance())
        supervisor.privilegedStartService()
        self.addCleanup(supervisor.service.listeners.stop)
        begin, fds = supervisor.beginning(1)
        self.assertEqual(begin["listeners"], ["web", "web"])
        self.assertEqual(fds, [first.fileno(), others[1].fileno()])
        self.assertEqual(supervisor.slots(2), (["web"], [others[0].fileno()]))
        [told] = sockets_of(supervisor.service)
        self.assertEqual(len(told["others"]), 2)
        self.assertTrue(told["owned"])
