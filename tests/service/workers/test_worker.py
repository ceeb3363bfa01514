"""Tests of the slots of a process that serves, and of its end in an upgrade."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.config.model import Config
from lolly_tx.domain.errors import OutOfResources
from lolly_tx.domain.shared.together import shared_names
from lolly_tx.net.sockets.slots import bind_slots
from lolly_tx.service.registry import Registry
from lolly_tx.service.workers import worker as worker_module
from lolly_tx.service.workers.channel import Channel, encode
from lolly_tx.service.workers.parcel import packed
from lolly_tx.service.workers.sharedmemory import SharedMemory
from lolly_tx.service.workers.worker import Inheritance, Worker
from tests.service.test_build import BuildTestCase
from tests.service.workers.test_crew import Wire

TEXT = """
workers = 2
[listener.web]
endpoint = "tcp:80"
[[route]]
pool = "app"
[pool.app]
targets = [{ url = "http://127.0.0.1:9001", id = "a" }]
[timeouts]
lame_duck = "9s"
drain = "60s"
shutdown = "2s"
"""


class Port:
    """What accepts on one socket."""

    is_lent = True
    stopped = False

    def stopListening(self) -> None:
        self.stopped = True


class WorkerTests(BuildTestCase):
    def setUp(self) -> None:
        """Number 1 of two, of five slots that there are; it has the first, the third and the fifth."""
        super().setUp()
        self.reactor.adoptStreamPort = lambda *place: Port()
        config = parse(TEXT, str(self.folder / "lolly.toml"), {})
        self.left: list[None] = []
        shared = SharedMemory(numbers=64 * 8, tape=0, workers=2)
        memory = memoryview(bytearray(shared.size))
        inherited = Inheritance(1, config, Registry(), shared, memory)
        self.worker = Worker(self.reactor, inherited, lambda: self.left.append(None))
        self.sockets = bind_slots("127.0.0.1", 0, 5)
        for one in self.sockets:
            self.addCleanup(one.close)
        self.wire = Wire(self.worker.channel)
        self.worker.channel.makeConnection(self.wire)
        rows = {name: row for row, name in enumerate(shared_names("app", ["a"]))}
        begin = {"t": "begin", "hop": "x", "rows": rows, "facts": {}, "lent": []}
        begin |= {"staples": {}, "resting": []}
        self.tell({**begin, "listeners": ["web"] * 3}, 0, 2, 4)
        self.port = self.worker._ports()["web"]

    def tell(self, message: dict[str, Any], *slots: int) -> None:
        """The supervisor says something, with so many of the slots."""
        channel: Channel = self.worker.channel
        for slot in slots:
            channel.fileDescriptorReceived(os.dup(self.sockets[slot].fileno()))
        channel.dataReceived(encode({**message, "fds": len(slots)}))

    def test_slots(self) -> None:
        """It accepts on all of its own, and on all of a sibling's while that one has nobody."""
        self.assertIn("ready", self.wire.words())
        self.assertEqual(self.port.slots, {0, 2, 4})
        self.tell({"t": "adopt", "slot": 1, "listeners": ["web"] * 2}, 1, 3)
        self.assertEqual(self.port.slots, {0, 1, 2, 3, 4})
        self.tell({"t": "leave", "slot": 1})
        self.assertEqual(self.port.slots, {0, 2, 4})

    def test_replaced(self) -> None:
        """It accepts nothing more at once, and leaves the queues to others."""
        ports: Any = list(self.port._ports.values())
        stop = {"t": "stop", "last": False, "patient": True, "replaced": True}
        self.tell(stop)
        self.assertTrue(all(one.stopped and one.is_lent for one in ports))
        self.pass_time(1.0)
        self.assertEqual(self.wire.words()[-1], "stopped")
        self.assertEqual(len(self.left), 1)

    def test_stopped(self) -> None:
        """In an ordinary stop it is a lame duck first."""
        self.tell({"t": "stop", "last": True, "patient": False})
        self.pass_time(5.0)
        self.assertEqual(self.port.slots, {0, 2, 4})
        self.pass_time(6.0)
        self.assertEqual(len(self.left), 1)

    def test_network_lost(self) -> None:
        """While the network is lost no address is taken for down; what this process runs out of is told."""
        service = self.worker._service
        assert service is not None
        known, now = service.commons.health_map, service.now()
        self.tell({"t": "network", "lost": True})
        for lost in (True, False):
            for _ in range(3):
                known.records.failed(("10.0.0.1", 80), now)
            down = known.dialer().judge.is_down(("10.0.0.1", 80), now)
            self.assertIs(down, not lost)
            self.tell({"t": "network", "lost": False})
        (pool,) = service.pools.values()
        lease = pool.acquire(now)
        lease.failed(now, OutOfResources("no file descriptor left"))
        lease.release(now)
        self.assertEqual(self.wire.words()[-1], "short")

    def test_hurried(self) -> None:
        """Who has time to end loses it, when the new code is told to stop."""
        service = self.worker._service
        assert service is not None
        stop = {"t": "stop", "last": False, "patient": True, "replaced": True}
        doors: Any = service.acceptors["web"].doors
        doors[Open()] = 0.0
        self.tell(stop)
        now = service.now()
        self.assertTrue(service.patient)
        self.assertGreater(service.stopping._until or 0.0, now + 50.0)
        self.tell({"t": "hurry"})
        self.assertFalse(service.patient)
        self.assertLess(service.stopping._until or 0.0, now + 50.0)
        self.assertEqual(self.left, [])


class Open:
    """A client that does not leave."""

    def drain(self, until: float) -> None:
        """It has time."""

    def shut(self) -> None:
        """It stays all the same."""


class _Preparing(Worker):
    """One that is told of other settings, as far as that takes it."""

    def __init__(self, following: Any) -> None:
        self.told: list[Any] = []
        self._following = following
        self._shares: Any = self
        self._ending = False
        self._reactor: Any = self
        self._inherited: Any = self
        self._reach, self._service = None, None
        self.workers: Any = None
        self.channel: Any = self

    def getThreadPool(self) -> None:
        """Nobody's."""

    def learn(self, rows: Any) -> None:
        """Shares."""

    def send(self, message: Any) -> None:
        """To the supervisor."""
        self.told.append(message)

    def _take_slots(self, message: Any, descriptors: Any) -> None:
        """There are none."""

    def _close_slots(self) -> None:
        """There are none."""


class PreparingTests(SynchronousTestCase):
    """What a worker does with other settings."""

    def prepared(self, text: str) -> tuple[list[Any], Any, _Preparing]:
        """What is to be done in a thread, which settings were prepared, and the worker that was told of `text`."""
        work: list[Any] = []
        configs: list[Any] = []

        class Following:
            def prepare(self, config: Any) -> Any:
                configs.append(config)
                return succeed(None)

        def later(reactor: Any, pool: Any, call: Any) -> Any:
            done: Deferred[Any] = Deferred()
            work.append(lambda: execute(call).chainDeferred(done))
            return done

        self.patch(worker_module, "deferToThreadPool", later)
        self.patch(worker_module, "of_worker", lambda config, workers: config)
        one = _Preparing(Following())
        one._prepare({"rows": [], "config": text}, ())
        return work, configs, one

    def test_in_a_thread(self) -> None:
        """Settings of thousands of pools take long to unpack: clients are served meanwhile."""
        config = Config("lolly.toml")
        work, configs, one = self.prepared(packed(config))
        self.assertEqual((configs, one.told), ([], []))
        work[0]()
        self.assertEqual(configs, [config])
        self.assertEqual(one.told, [{"t": "prepared", "why": ""}])

    def test_not_to_be_read(self) -> None:
        """What cannot be unpacked is said, like whatever else stands against it."""
        work, configs, one = self.prepared("AAAA")
        work[0]()
        self.assertEqual(configs, [])
        self.assertTrue(one.told[0]["why"])
