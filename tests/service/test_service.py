"""Tests of the running service while parts of it change."""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.config.load import parse
from lolly_tx.service.farewells import GRACE_SECONDS
from lolly_tx.service.listeners import place_of
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.metrics.statistics import awaited_by
from lolly_tx.service.service import LollyService
from tests.proxy.world import OK, Line, get
from tests.service.test_build import CONFIG, BuildTestCase, Reactor


class ListenerTests(BuildTestCase):
    """One listener comes, goes or changes; clients of the others notice nothing."""

    def test_removed(self) -> None:
        """A listener that is removed takes no clients; those it has get their answer, and a stop waits for them."""
        service = self.started()
        kept, leaving = self.client(8080), self.client(8081)
        leaving.send(get("/other/"))
        backend = self.backend()
        self.successResultOf(service.listeners.drain("other"))
        self.assertEqual(sorted(self.reactor.ports), [8080])
        self.assertEqual(list(service.acceptors), ["web"])
        self.assertEqual(list(service.statistics()["listeners"]), ["web"])
        self.assertEqual(len(service.listeners.doors), 2)
        done: list[Any] = []
        service.stopService().addCallback(done.append)
        self.pass_time(3.0)
        self.assertTrue(kept.closed)
        self.assertEqual(done, [])
        backend.send(OK)
        self.assertIn(b"Connection: close\r\n", leaving.take())
        self.pass_time(0.2)
        self.assertEqual((done, service.listeners.doors), ([None], []))

    def test_moved(self) -> None:
        """A listener that moves is there before the old place is closed; who is connected is served to the end."""
        service = self.started()
        before = self.client(8080)
        self.prepare(service, "web", "tcp:8090")
        service.listeners.commit()
        self.assertEqual(sorted(self.reactor.ports), [8081, 8090])
        after = self.client(8090)
        before.send(get("/app/"))
        backend = self.backend()
        for client, closes in ((before, True), (after, False)):
            backend.send(OK)
            self.assertEqual(b"Connection: close\r\n" in client.take(), closes)
            after.send(get("/app/"))

    def test_moved_in_vain(self) -> None:
        """If it cannot listen at its new place, it stays where it is."""
        self.reactor = Reactor(taken=(8090,))
        service = self.started()
        self.prepare(service, "web", "tcp:8090")
        self.assertRaises(CannotListen, service.listeners.commit)
        self.assertEqual(sorted(self.reactor.ports), [8080, 8081])
        client = self.client(8080)
        client.send(get("/app/"))
        self.backend().send(OK)
        self.assertNotIn(b"Connection: close", client.take())

    def prepare(self, service: LollyService, name: str, endpoint: str) -> None:
        """Prepare the listener at another endpoint, as the service was built."""
        settings = attrs.evolve(service.config.listeners[name], endpoint=endpoint)
        acceptor = service.acceptors[name]
        place = place_of(
            settings,
            service.config,
            service.resources[name],
            reactor=self.reactor,
            deadlines=acceptor.deadlines,
            census=acceptor.census,
        )
        service.serve(name, service.resources[name], place)


UPGRADE = get(
    "/app/",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
FRAME = b"\x81\x02hi"
CLOSE = b"\x88\x02\x03\xe9"


class PatientStopTests(BuildTestCase):
    """What SIGQUIT asks for: what takes long has the time of `timeouts.drain`."""

    def stopping(self, drain: str, *, patient: bool) -> tuple[list[Any], Line, Line]:
        """A stop while a WebSocket is open: whether it has ended, the client and the backend."""
        service = self.started(f'{CONFIG}drain = "{drain}"\n')
        client = self.client()
        client.send(UPGRADE)
        backend = self.backend()
        backend.send(AGREED)
        self.assertIn(b" 101 ", client.take())
        service.patient = patient
        done: list[Any] = []
        service.stopService().addCallback(done.append)
        return done, client, backend

    def test_tunnels_go_on(self) -> None:
        """A WebSocket goes on past `timeouts.shutdown`, and when it ends by itself, so does the process."""
        done, client, backend = self.stopping("60s", patient=True)
        self.pass_time(50.0)
        backend.send(FRAME)
        self.assertEqual((done, client.take()), ([], FRAME))
        client.lose()
        self.pass_time(0.2)
        self.assertEqual(done, [None])

    def test_not_for_ever(self) -> None:
        """Shortly before `timeouts.drain` is over, WebSockets are told, and are cut at its end."""
        done, client, _ = self.stopping("20s", patient=True)
        self.pass_time(17.9)
        self.assertEqual((client.take(), client.closed), (b"", False))
        self.pass_time(0.2)
        self.assertEqual((client.take(), done), (CLOSE, []))
        self.pass_time(3.1)
        self.assertEqual((done, client.closed), ([None], True))

    def test_otherwise_at_once(self) -> None:
        """A stop that is not patient tells WebSockets at once."""
        _, client, _ = self.stopping("60s", patient=False)
        self.assertEqual(client.take(), CLOSE)


class DrainTests(BuildTestCase):
    def test_deadline(self) -> None:
        """A drain leaves what is under way alone until its deadline, which cuts it; a stop leaves no timer."""
        service = self.started()
        client = self.client()
        client.send(UPGRADE)
        self.backend().send(AGREED)
        client.take()
        pool = service.pools["app"]
        [name] = pool.nodes
        pool.set_enabled(name, "drain", "test", self.reactor.seconds())
        service.drains.begin("app", name, 5.0)
        self.pass_time(4.8)
        self.assertFalse(client.disconnecting)
        self.pass_time(0.5)
        self.assertEqual(client.take(), CLOSE)
        self.pass_time(GRACE_SECONDS + 0.5)
        self.assertTrue(client.disconnecting)
        self.assertEqual(pool.nodes[name].enabled, "down")
        service.drains.begin("app", name, 50.0)
        service.stopService()
        self.assertEqual(list(service.drains), [])


class BondsTests(BuildTestCase):
    """Clients that are bound to a target that drains."""

    STICKY = """
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
balance = "sticky"
[pool.app.sticky]
key = ["0123456789abcdef0123456789abcdef"]
"""

    def asked(self, client: Line, *fields: str) -> tuple[int, bytes]:
        """The port that a request came to, and the answer's head."""
        client.send(get("/", *fields))
        before = {port: node.in_flight for port, node in self.nodes.items()}
        [port] = [port for port, busy in before.items() if busy]
        if self.reactor.tcpClients:
            self.backends[port] = self.backend(port)
        self.backends[port].send(OK)
        return port, client.take()

    def test_until_the_deadline(self) -> None:
        """They stay with it, newcomers go elsewhere; at the deadline they go, too, with what may be asked again."""
        service = self.started(self.STICKY)
        pool = service.pools["app"]
        self.nodes = {node.target.port: node for node in pool.nodes.values()}
        self.backends: dict[int, Line] = {}
        client = self.client()
        port, head = self.asked(client)
        [cookie] = [line for line in head.split(b"\r\n") if b"Set-Cookie" in line]
        bond = f"Cookie: {cookie.partition(b': ')[2].partition(b';')[0].decode()}\r\n"
        [other] = self.nodes.keys() - {port}
        name = self.nodes[port].id
        pool.set_enabled(name, "drain", "test", self.reactor.seconds())
        service.drains.begin("app", name, 60.0)
        for _ in range(3):
            self.assertEqual(self.asked(client, bond)[0], port)
            self.assertEqual(self.asked(self.client())[0], other)
        self.pass_time(55.0)
        self.assertEqual(self.asked(self.client(), bond)[0], port)
        waiting = self.client()
        waiting.send(get("/", bond))
        self.assertEqual(self.nodes[port].in_flight, 1)
        self.pass_time(5.0 + GRACE_SECONDS + 0.5)
        self.assertEqual([node.in_flight for node in self.nodes.values()].count(1), 1)
        self.assertEqual(self.nodes[port].in_flight, 0)
        self.backends[other] = self.backend(other)
        self.backends[other].send(OK)
        self.assertIn(b" 200 ", waiting.take())
        late, head = self.asked(self.client(), bond)
        self.assertEqual(late, other)
        self.assertIn(b"Set-Cookie: ", head)
        service.stopService()


class TargetTests(BuildTestCase):
    def test_new_address(self) -> None:
        """A target that moves keeps its name and its counters, and is asked at its new address from then on."""
        service = self.started()
        pool = service.pools["app"]
        client = self.client()
        client.send(get("/app/"))
        kept = self.backend(9001)
        kept.send(OK)
        self.assertEqual(client.take(), OK)
        [node] = pool.nodes.values()
        moved = attrs.evolve(node.target, address="http://127.0.0.1:9009", port=9009)
        pool.replace([moved], self.reactor.seconds())
        client.send(get("/app/"))
        self.backend(9009).send(OK)
        self.assertEqual(client.take(), OK)
        [new] = pool.nodes.values()
        self.assertEqual((new.id, new.stats.successes), (node.id, 2))
        service.running_pools["app"].forwarder.upstreams.keep([new])
        self.assertTrue(kept.closed)


class AwaitedTests(BuildTestCase):
    def test_words(self) -> None:
        """Every place where somebody is awaited is named with its kind; a listener needs none."""
        more = """
[stream.db]
endpoint = "tcp:5432"
pool = "db"
[pool.db]
targets = ["tcp://127.0.0.1:5433"]
[forward.out]
endpoint = "tcp:3128:interface=127.0.0.1"
allow = ["127.0.0.1"]
"""
        found = list(awaited_by(parse(more)))
        self.assertEqual(
            found,
            [
                "stream db (tcp:5432)",
                "forward out (tcp:3128:interface=127.0.0.1)",
            ],
        )
        self.assertEqual(list(awaited_by(parse(CONFIG + more)))[0], "web (tcp:8080)")
