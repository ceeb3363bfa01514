"""The sentence that says what lolly_tx is, walked on the running service, word for word.

A twistd plugin builds a ReverseProxyResource backed by a load-balancing endpoint factory whose LoopingCall active
checker and errback-driven passive tracker mark targets up or down.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import twisted.internet
import twisted.internet.reactor  # noqa: F401  # installed, so that it can be patched
from twisted.application.service import IServiceMaker
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.plugin import getPlugins
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import IResource

from lolly_tx.domain.node import Node
from lolly_tx.net.library.balanced import BalancedEndpointFactory
from lolly_tx.net.library.tracker import Tracker
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.service import build as building
from lolly_tx.service.service import LollyService
from tests.proxy.world import GET, OK, Line, answer
from tests.service.test_build import BuildTestCase

CONFIG = """
[listener.web]
endpoint = "tcp:8080"
[listener.other]
endpoint = "tcp:8081"
[[route]]
pool = "app"
[pool.app]
targets = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
[pool.app.passive]
max_fails = 1
recheck = 0
"""
HEALTH = '[pool.app.health]\ntype = "http"\ninterval = "1s"\n'
ONE, TWO = "http-127-0-0-1-9001", "http-127-0-0-1-9002"


class CardTests(BuildTestCase):
    def plugin(self, more: str = "") -> LollyService:
        """What the twistd plugin builds of a configuration file, on a reactor and a clock in memory, started."""
        path = Path(self.folder, "lolly.toml")
        path.write_text(CONFIG + more)
        clock = self.reactor.seconds
        self.patch(twisted.internet, "reactor", self.reactor)
        build = partial(building.build, now=clock, wall=clock, random=Random(1))
        self.patch(building, "build", build)
        [maker] = [p for p in getPlugins(IServiceMaker) if p.tapname == "lolly"]
        options = maker.options()
        options.parseOptions(["--config", str(path)])
        whole = maker.makeService(options)
        whole.privilegedStartService()
        whole.startService()
        [service] = whole.services
        assert isinstance(service, LollyService)
        self.service = service
        return service

    def node(self, node_id: str) -> Node:
        node: Node = self.service.pools["app"].nodes[node_id]
        return node

    def refuse(self) -> int:
        """Refuse the connect that was asked for last; the port it was meant for."""
        connector = self.reactor.connectors.pop()
        _, port, factory, *_ = self.reactor.tcpClients.pop()
        factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
        return int(port)

    def test_resource(self) -> None:
        """The plugin builds a resource for each listener, and what listens there is a door to that very object."""
        service = self.plugin()
        self.assertEqual(list(service.resources), ["web", "other"])
        for name, port in (("web", 8080), ("other", 8081)):
            resource = service.resources[name]
            self.assertIsInstance(resource, ReverseProxyResource)
            self.assertTrue(IResource.providedBy(resource))
            acceptor = self.reactor.ports[port]
            self.assertIs(acceptor, service.acceptors[name])
            client = self.client(port)
            client.send(GET.replace(b"GET ", b"BAD@ "))
            self.assertIn(b"HTTP/1.1 400 ", client.take())
            self.assertEqual(resource.proxy.refusals, 1)

    def test_endpoint_factory(self) -> None:
        """A load-balancing endpoint factory stands behind each, and has every endpoint the proxy connects through."""
        service = self.plugin()
        running = service.running_pools["app"]
        for resource in service.resources.values():
            factory = resource.endpoints
            self.assertIsInstance(factory, BalancedEndpointFactory)
            self.assertTrue(IAgentEndpointFactory.providedBy(factory))
        for node in running.pool.nodes.values():
            upstream = running.forwarder.upstreams.of(node)
            endpoint = running.endpoint.connect_to(node.target)
            self.assertTrue(IStreamClientEndpoint.providedBy(endpoint))
            self.assertIs(upstream.endpoint, endpoint)

    def test_one_record(self) -> None:
        """What a program finds out through the factory the proxy knows, and the other way round."""
        service = self.plugin()
        factory = service.resources["web"].endpoints
        assert factory is not None
        endpoint = factory.endpointForURI(URI.fromBytes(b"http://app/"))
        connecting = endpoint.connect(Factory.forProtocol(Protocol))
        self.assertEqual(self.refuse(), 9001)
        self.assertEqual(self.node(ONE).ejection, "ejected")
        self.client().send(GET)
        self.assertEqual([client[1] for client in self.reactor.tcpClients], [9002] * 2)
        connecting.cancel()
        self.failureResultOf(connecting)

    def test_passive_tracker(self) -> None:
        """The errback of the tracker takes a target out; requests on a kept connection make no tracker."""
        tracked: list[Any] = []
        track = Tracker.track

        def noted(tracker: Tracker, attempt: Any, *, connecting: bool) -> Any:
            tracked.append((tracker.lease.node.id, attempt))
            return track(tracker, attempt, connecting=connecting)

        self.patch(Tracker, "track", noted)
        self.plugin()
        client = self.client()
        client.send(GET)
        [(node_id, attempt)] = tracked
        self.assertEqual(node_id, ONE)
        self.assertFalse(attempt.called)
        self.assertEqual(self.node(ONE).ejection, "up")
        self.assertEqual(self.refuse(), 9001)
        self.assertTrue(attempt.called)
        self.assertEqual(self.node(ONE).ejection, "ejected")
        self.assertEqual(self.node(ONE).stats.connect_failures, 1)
        self.assertEqual([node_id for node_id, _ in tracked], [ONE, TWO])
        backend = self.backend(9002)
        for _ in range(3):
            backend.send(OK)
            self.assertEqual(client.take(), OK)
            client.send(GET)
        self.assertEqual(len(tracked), 2)
        backend.send(OK)
        self.assertEqual(self.node(TWO).stats.successes, 4)
        self.assertEqual(self.node(TWO).ejection, "up")

    def test_active_checker(self) -> None:
        """A LoopingCall asks every target each second, and what they answer takes them out and back in."""
        self.plugin(HEALTH)
        [checker] = self.service.running_pools["app"].probing.checkers
        loop: Any = checker._loop
        self.assertIsInstance(loop, LoopingCall)
        self.assertTrue(loop.running)
        self.assertIs(loop.clock, self.reactor)
        for status, up in ((200, True), (503, False), (200, True)):
            for probe in self.probes():
                probe.send(answer(b"", status))
            self.assertEqual(self.node(ONE).health.up, up)
            self.assertEqual(self.node(TWO).health.up, up)
        client = self.client()
        client.send(GET)
        self.backend(9001).send(OK)
        self.assertEqual(client.take(), OK)
        self.service.stopService()
        self.assertFalse(loop.running)

    def probes(self) -> list[Line]:
        """The connections of the next round of checks, one to each target."""
        for _ in range(30):
            self.pass_time(0.05)
            if len(self.reactor.tcpClients) == 2:
                break
        lines = []
        asked, self.reactor.tcpClients[:] = list(self.reactor.tcpClients), []
        self.assertEqual({client[1] for client in asked}, {9001, 9002})
        for _, _, factory, *_ in asked:
            line = Line(self.reactor)
            line.protocol = factory.buildProtocol(None)
            line.protocol.makeConnection(line)
            self.assertIn(b"User-Agent: Lolly-HealthChecker/1.0\r\n", line.take())
            lines.append(line)
        return lines
