"""What lolly_tx exports, together and over real sockets: a site with a mounted proxy, a checker, and a client of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.web.resource import Resource
from twisted.web.server import Site

from lolly_tx import (
    AllDown,
    HealthChecker,
    HealthMap,
    balanced,
    client,
    reverse_proxy,
)
from lolly_tx.domain.events import Event
from tests.net.fakes import Recorder, SteppingTestCase
from tests.system.test_balanced_endpoint import Origin


class TogetherTests(SteppingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.origins = [Origin(self.reactor, name) for name in ("one", "two")]
        for origin in self.origins:
            origin.come_up()
            self.addCleanup(origin.die)
        self.heard: list[Event] = []
        self.endpoint = balanced(
            self.reactor,
            [origin.target.address for origin in self.origins],
            events=self.heard.append,
        )

    def result(self, waiting: Deferred[Any]) -> Any:
        """What `waiting` fires with."""
        found: list[Any] = []
        waiting.addBoth(found.append)
        self.spin(lambda: found, "a result")
        return found[0]

    def serve(self, resource: Resource) -> int:
        """The port of a site with `resource` at /api."""
        root = Resource()
        root.putChild(b"api", resource)
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = self.result(endpoint.listen(Site(root, reactor=self.reactor)))
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def get(self, port: int) -> str:
        """What a client of the site gets, by a connection of its own."""
        recorder = Recorder()
        connecting = HealthMap(self.reactor).connect(
            ("127.0.0.1", port), Factory.forProtocol(lambda: recorder)
        )
        self.result(connecting)
        recorder.transport.write(  # type: ignore[union-attr]  # connected
            b"GET /api/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.spin_until_lost(recorder)
        return recorder.received.decode()

    def test_a_target_dies(self) -> None:
        """Checks take it out, nobody sees an error, and it comes back; with nobody left it is a 503."""
        checker = HealthChecker.of(self.reactor, self.endpoint, interval=0.1)
        self.addCleanup(checker.stop)
        resource = reverse_proxy(self.reactor, self.endpoint, strip_prefix=True)
        self.addCleanup(resource.close)
        port = self.serve(resource)
        checker.start()
        answers = {self.get(port)[-3:] for _ in range(4)}
        self.assertEqual(answers, {"one", "two"})
        one, two = self.origins
        one.die()
        for _ in range(4):
            self.assertTrue(self.get(port).endswith("two"))
        self.spin(lambda: any(e.new == "down" for e in self.heard), "a verdict")
        two.die()
        self.spin(
            lambda: not any(n.health.up for n in self.endpoint.pool.nodes.values()),
            "the other verdict",
        )
        self.assertTrue(self.get(port).startswith("HTTP/1.1 503 "))
        self.assertRaises(AllDown, self.endpoint.lease)
        one.come_up()
        self.spin(lambda: self.heard[-1].new == "up", "its return")
        self.assertTrue(self.get(port).endswith("one"))

    def test_client(self) -> None:
        """The treq client goes round, and past a target that is gone."""
        treq = client(self.reactor, {"app": self.endpoint})
        agent: Any = treq._agent
        self.addCleanup(agent.close)

        def ask() -> Any:
            answering = treq.get("http://app/x")
            return self.result(answering.addCallback(lambda answer: answer.text()))

        self.assertEqual({ask() for _ in range(4)}, {"one", "two"})
        self.origins[0].die()
        self.rounds()
        self.assertEqual({ask() for _ in range(4)}, {"two"})
