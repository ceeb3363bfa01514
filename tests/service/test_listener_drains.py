"""Tests of drains of listeners on a reactor in memory, where a port that rests is closed and opened again."""

from __future__ import annotations

from typing import Any

from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.upgrades.handover import restore, state_of
from lolly_tx.service.workers.worker import Worker
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import TWO, ReloadTestCase
from tests.service.test_build import BuildTestCase, Reactor
from tests.service.test_service import AGREED, CLOSE, FRAME, UPGRADE

MORE = TWO + '[listener.more]\nendpoint = "tcp:8081"\n'


class DrainTestCase(ReloadTestCase):
    """Two listeners, of which one is drained."""

    def setUp(self) -> None:
        """They serve."""
        super().setUp()
        self.start(MORE)
        self.drains: ListenerDrains = self.service.listener_drains

    def listened(self) -> list[int]:
        """The ports that take clients."""
        return sorted(self.reactor.ports)

    def told(self) -> list[tuple[str, str, str]]:
        """The events of listeners: which one, what of it, and why."""
        return [
            (event.node, event.new, event.cause)
            for _, event in self.service.journal.after(0)
            if event.fact == "listener"
        ]

    def shown(self, name: str = "web") -> dict[str, Any]:
        """A listener as the API shows it."""
        return next(one for one in self.service.places() if one["name"] == name)

    def tunnel(self) -> tuple[Any, Any]:
        """A WebSocket: its client and its backend."""
        client = self.client()
        client.send(UPGRADE)
        backend = self.backend(self.reactor.tcpClients[-1][1])
        backend.send(AGREED)
        self.assertIn(b" 101 ", client.take())
        return client, backend


class ConnectionsTests(DrainTestCase):
    def test_who_is_connected(self) -> None:
        """An exchange ends with its answer, which says so; an idle client may ask once more; a tunnel goes on."""
        busy, idle, leaving = self.client(), self.client(), self.client()
        ws, server = self.tunnel()
        busy.send(get("/"))
        backend = self.backend(self.reactor.tcpClients[-1][1])
        for each in (idle, leaving):
            self.served(each)
        self.drains.begin("web", None)
        self.assertEqual(self.listened(), [8081])
        self.assertEqual(self.shown()["state"], "draining")
        self.assertEqual(self.shown("more")["state"], "up")
        backend.send(OK)
        self.assertIn(b"Connection: close\r\n", busy.take())
        self.pass_time(1.0)
        idle.send(get("/"))
        self.assertFalse(idle.closed)
        self.pass_time(1.5)
        self.assertTrue(leaving.closed)
        self.pass_time(600)
        server.send(FRAME)
        self.assertEqual((ws.take(), ws.closed), (FRAME, False))
        self.assertEqual(self.shown()["open"], 1)
        self.assertGreater(self.shown()["oldest_seconds"], 600)
        self.assertEqual(self.served(self.client(8081)) in (9001, 9002), True)

    def test_events(self) -> None:
        """One when it begins, one when the last connection has ended, one when it is opened again."""
        client = self.client()
        self.served(client)
        self.drains.begin("web", None)
        self.drains.begin("web", None)
        self.pass_time(4.0)
        self.assertEqual(self.shown()["state"], "drained")
        self.drains.enable("web")
        self.drains.enable("web")
        self.pass_time(4.0)
        self.assertEqual(
            self.told(),
            [
                ("web", "drain", "operator: admin API"),
                ("web", "drained", "its last connection has ended"),
                ("web", "up", "operator: admin API"),
            ],
        )

    def test_opened_again(self) -> None:
        """Clients are taken again, and kept alive as ever, those who were there all the while as well."""
        ws, _ = self.tunnel()
        self.drains.begin("web", None)
        self.drains.enable("web")
        self.assertEqual(self.listened(), [8080, 8081])
        client = self.client()
        for _ in range(2):
            self.assertIn(self.served(client), (9001, 9002))
        self.pass_time(10.0)
        self.assertFalse(client.closed or ws.closed)
        self.assertEqual(self.shown()["state"], "up")

    def test_deadline(self) -> None:
        """Two seconds before it WebSockets are told; then all that is left is cut, and the event counts it."""
        ws, _ = self.tunnel()
        busy = self.client()
        busy.send(get("/"))
        self.drains.begin("web", 20.0)
        self.assertEqual(self.shown()["drain_ends_in_seconds"], 20.0)
        self.pass_time(17.4)
        self.assertEqual((ws.take(), ws.closed), (b"", False))
        self.pass_time(1.2)
        self.assertEqual(ws.take(), CLOSE)
        self.pass_time(2.0)
        self.assertEqual((ws.closed, busy.lost), (True, True))
        self.assertEqual(
            self.told()[-1][1:],
            ("drained", "the deadline of the drain has passed, 1 connection cut"),
        )

    def test_deadline_taken_back(self) -> None:
        """Another word without one, and what is open may stay open."""
        ws, _ = self.tunnel()
        self.drains.begin("web", 5.0)
        self.drains.begin("web", None)
        self.pass_time(60.0)
        self.assertEqual(
            (ws.take(), self.shown()["drain_ends_in_seconds"]), (b"", None)
        )

    def test_address_is_taken_meanwhile(self) -> None:
        """It stays drained, with the reason, until the address is free."""
        self.drains.begin("web", None)
        self.reactor.taken = (8080,)
        self.assertRaises(CannotListen, self.drains.enable, "web")
        self.assertEqual(self.shown()["state"], "drained")
        self.reactor.taken = ()
        self.drains.enable("web")
        self.assertEqual(self.listened(), [8080, 8081])

    def test_failure_of_a_look(self) -> None:
        """One that cannot be looked at hinders no other, and is looked at again."""
        self.client()
        self.drains.begin("web", None)
        before, self.drains._open_at = self.drains._open_at, lambda name: 1 // 0
        self.pass_time(1.0)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.drains._open_at = before
        self.pass_time(60.0)
        self.assertEqual(self.told()[-1][1], "drained")

    def test_stop(self) -> None:
        """A stop leaves no timer, and cuts what is left at its own time."""
        self.tunnel()
        self.drains.begin("web", 600.0)
        done: list[Any] = []
        self.service.stopService().addCallback(done.append)
        self.pass_time(31.5)
        self.assertEqual((done, self.reactor.getDelayedCalls()), ([None], []))


class ReloadTests(DrainTestCase):
    """The word is the operator's, and is not forgotten by a reload of something else."""

    def test_same_listener(self) -> None:
        """Nothing of it changes: it stays drained."""
        self.drains.begin("web", 600.0)
        self.reload(MORE.replace("9002", "9003"))
        self.assertEqual(self.listened(), [8081])
        self.assertEqual(self.shown()["drain_ends_in_seconds"], 600.0)

    def test_other_limits(self) -> None:
        """Its settings change in place: it stays drained, and has them when it is opened."""
        ws, _ = self.tunnel()
        self.drains.begin("web", None)
        self.reload(MORE + "[timeouts]\nkeepalive = 40\n")
        self.assertEqual(self.listened(), [8081])
        acceptor = self.service.acceptors["web"]
        self.assertEqual(acceptor.idle_seconds, 2.0)
        self.drains.enable("web")
        self.assertEqual((self.listened(), acceptor.idle_seconds), ([8080, 8081], 40.0))
        self.assertFalse(ws.closed)

    def test_other_address(self) -> None:
        """It moves: the new place takes nobody either, until it is opened."""
        self.drains.begin("web", None)
        self.reload(MORE.replace("8080", "8090"))
        self.assertEqual(self.listened(), [8081])
        self.drains.enable("web")
        self.assertEqual(self.listened(), [8081, 8090])
        self.assertIn(self.served(self.client(8090)), (9001, 9002))

    def test_other_address_that_is_taken(self) -> None:
        """A drained listener cannot move where somebody else is, and the reload is refused as ever."""
        self.reactor.taken = (8090,)
        self.drains.begin("web", None)
        [error] = self.refused(MORE.replace("8080", "8090"))
        self.assertIn("tcp:8090", error)
        self.assertEqual(self.listened(), [8081])

    def test_removed(self) -> None:
        """A reload that removes the listener ends the drain; one of that name that comes later is a new one."""
        self.drains.begin("web", 600.0)
        only_more = MORE.replace("[listener.web]", "[listener.web2]")
        self.reload(only_more.replace("8080", "8085"))
        self.assertEqual(list(self.drains), [])
        self.reload(MORE)
        self.assertEqual((self.listened(), self.shown()["state"]), ([8080, 8081], "up"))
        self.assertIsNone(self.shown()["drain_ends_in_seconds"])


class UpgradeTests(BuildTestCase):
    def test_handed_over(self) -> None:
        """New code begins drained where the old one was, with what is left of the deadline."""
        service = self.started(MORE)
        service.listener_drains.begin("web", 600.0)
        service.listener_drains.begin("more", None)
        self.pass_time(100.0)
        left, at = state_of(service), self.reactor.seconds()
        service.stopService()
        self.pass_time(31.0)
        self.reactor = Reactor()
        self.reactor.advance(at)
        service = self.build(MORE.replace("[listener.more]", "[listener.other]"))
        restore(service, left)
        service.startService()
        self.assertEqual(sorted(self.reactor.ports), [8081])
        [shown] = [one for one in service.places() if one["name"] == "web"]
        self.assertEqual(
            (shown["state"], round(shown["drain_ends_in_seconds"])), ("drained", 500)
        )
        service.stopService()
        self.pass_time(31.0)


class WorkerTests(DrainTestCase):
    def test_what_a_worker_hears(self) -> None:
        """It rests, wakes, hurries and cuts by what its supervisor says; a name it does not have is no matter."""
        worker = Worker(self.reactor, None, lambda: None)  # type: ignore[arg-type]  # nothing is inherited here
        worker._service = self.service
        ws, _ = self.tunnel()

        def hear(word: str, name: str = "web") -> None:
            worker._told({"t": "listener", "word": word, "name": name}, [])

        hear("rest")
        hear("rest", "nobody")
        self.assertEqual((self.listened(), ws.take()), ([8081], b""))
        hear("hurry")
        self.assertEqual(ws.take(), CLOSE)
        hear("cut")
        hear("cut", "nobody")
        self.pass_time(3.0)
        self.assertTrue(ws.closed)
        self.reactor.taken = (8080,)
        hear("wake")
        self.assertEqual(self.listened(), [8081])
        self.reactor.taken = ()
        hear("wake")
        self.assertEqual(self.listened(), [8080, 8081])
        worker._ending = True
        hear("rest")
        self.assertEqual(self.listened(), [8080, 8081])
