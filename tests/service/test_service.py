"""Tests of the running service while parts of it change."""

from __future__ import annotations

from typing import Any

import attrs

from lolly_tx.service.listeners import place_of
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.service import LollyService
from tests.proxy.world import OK, get
from tests.service.test_build import BuildTestCase, Reactor


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
