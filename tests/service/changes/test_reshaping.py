"""Tests of single settings that change while a service runs: of pools, and of what all pools share."""

from __future__ import annotations

from typing import Any

from lolly_tx.domain.checks.health import Observation
from lolly_tx.net.multiplexed import Multiplexed
from lolly_tx.wire.http2.frames import HEADERS, FrameReader, frame
from tests.proxy.world import OK, get
from tests.service.changes.test_reload import TWO, A, ReloadTestCase


class PoolSettingsTests(ReloadTestCase):
    """Each kind of setting of a pool, changed while it serves."""

    def changed(self, more: str) -> Any:
        """The pool at work after `more` was added to its settings."""
        self.reload(TWO + more)
        return self.service.running_pools["app"]

    def test_timeouts_of_connections(self) -> None:
        """Another read timeout holds on the connections there are, which stay."""
        self.start()
        self.served(self.client())
        before, _ = (
            one for _, one in self.service.running_pools["app"].forwarder.upstreams
        )
        running = self.changed(
            "timeout.read = '3s'\n[pool.app.connections]\nidle = 4\n"
        )
        after, _ = (one for _, one in running.forwarder.upstreams)
        self.assertIs(after, before)
        self.assertEqual(
            (after.limits.read, after.limits.idle, after.idle), (3.0, 4, 1)
        )

    def test_another_way_to_connect(self) -> None:
        """With another connect timeout idle connections end, busy ones after their exchange, and new ones are made."""
        self.start()
        idle, busy = self.client(), self.client()
        self.served(idle)
        busy.send(get("/"))
        backend = self.backend(self.reactor.tcpClients[-1][1])
        before = self.service.running_pools["app"]
        after = self.changed("timeout.connect = '1s'\n")
        self.assertIsNot(after.endpoint, before.endpoint)
        self.assertIs(self.service.endpoints["app"], after.endpoint)
        self.assertIs(after.directory.find("app"), after.endpoint)
        backend.send(OK)
        self.assertEqual(busy.take(), OK)
        self.reactor.advance(0)
        self.assertTrue(backend.lost)
        self.assertIn(self.served(idle), (9001, 9002))
        self.assertEqual(len(after.pool.on_back), 1)

    def test_another_protocol(self) -> None:
        """With another protocol new connections speak it, and exchanges end on those they began on."""
        self.start()
        busy = self.client()
        busy.send(get("/"))
        backend = self.backend(self.reactor.tcpClients[-1][1])
        after = self.changed("protocol = 'h2c'\n")
        backend.send(OK)
        self.assertEqual(busy.take(), OK)
        self.reactor.advance(0)
        self.assertTrue(backend.lost)
        busy.send(get("/"))
        backend = self.backend(self.reactor.tcpClients[-1][1])
        self.assertTrue(backend.take().startswith(b"PRI * HTTP/2.0\r\n"))
        kinds = {type(one) for _, one in after.forwarder.upstreams}
        self.assertEqual(kinds, {Multiplexed})
        backend.send(frame(4, 0, 0))
        self.reactor.advance(0)
        kinds_of_frames = [each[0] for each in FrameReader().read(backend.take())]
        self.assertIn(HEADERS, kinds_of_frames)
        busy.lose()
        self.reactor.advance(0)

    def test_policies(self) -> None:
        """Balance, passive policy, hedges, admission and limits are those of the new settings."""
        self.start()
        running = self.changed(
            "balance = 'least_conn'\nslow_start = '5s'\n"
            "[pool.app.passive]\nmax_fails = 1\n[pool.app.hedge]\n[pool.app.admission]\n"
            "[pool.app.adaptive]\n[pool.app.outlier]\n"
        )
        self.assertEqual(type(running.pool.balancer).__name__, "LeastConn")
        self.assertIsNotNone(running.pool.caps.adaptive)
        self.assertIsNotNone(running.pool.roster.outliers)
        policy = running.forwarder.policy
        self.assertIsNotNone(policy.hedging and policy.admission)
        client = self.client()
        client.send(get("/"))
        self.backend(self.reactor.tcpClients[-1][1]).lose()
        self.reactor.advance(0)
        self.assertEqual(
            [n.ejection for n in running.pool.nodes.values()].count("ejected"), 1
        )

    def test_sticky(self) -> None:
        """Bonds hold over a reload that changes something else."""
        sticky = "balance = 'sticky'\n[pool.app.sticky]\nkey = ['0123456789abcdef0123456789abcdef']\n"
        self.start(TWO + sticky)
        client = self.client()
        client.send(get("/"))
        port = self.reactor.tcpClients[-1][1]
        backend = self.backend(port)
        backend.send(OK)
        [cookie] = [
            line for line in client.take().split(b"\r\n") if b"Set-Cookie" in line
        ]
        bond = cookie.partition(b": ")[2].partition(b";")[0].decode()
        self.reload(TWO.replace("9002", "9003") + sticky)
        nodes = self.service.pools["app"].nodes.values()
        for _ in range(3):
            client.send(get("/", f"Cookie: {bond}\r\n"))
            busy = [node.target.port for node in nodes if node.in_flight]
            self.assertEqual(busy, [port])
            backend.send(OK)
            self.assertTrue(client.take().startswith(b"HTTP/1.1 200"))

    def test_agents(self) -> None:
        """A target's agent that comes with a reload is asked; another time between questions forgets nothing."""
        self.start()
        agent = "[pool.app.agent]\nport = 9100\ninterval = '%s'\n"
        self.changed(agent % "5s")
        self.assertEqual({port for _, port, *_ in self.reactor.tcpClients}, {9100})
        self.reactor.tcpClients.clear()
        running = self.changed(agent % "7s")
        self.assertTrue(running.probing.agents.is_running)

    def test_several_checks(self) -> None:
        """One check becomes several with a ballot, and the targets are asked anew."""
        self.start(TWO + "[pool.app.health]\n")
        running = self.changed(
            "[[pool.app.checks]]\nname = 'a'\n[[pool.app.checks]]\nname = 'b'\npath = '/b'\n"
        )
        self.assertEqual(len(running.probing.checkers), 2)
        self.assertTrue(all(one.is_running for one in running.probing.checkers))
        running = self.changed("")
        self.assertEqual(running.probing.checkers, ())

    def test_trusted_proxies(self) -> None:
        """Whom we believe is another one at once, for clients that are connected as well."""
        self.start()
        client = self.client()
        text = 'trusted_proxies = ["192.0.2.0/24"]\nvia = "lolly"\n' + TWO
        self.reload(text)
        client.send(get("/", "X-Forwarded-For: 203.0.113.9\r\n"))
        sent = self.backend(self.reactor.tcpClients[-1][1]).take()
        self.assertIn(b"X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n", sent)
        self.assertIn(b"Via: 1.1 lolly\r\n", sent)

    def test_traces(self) -> None:
        """Traces begin with the settings that ask for them."""
        self.start()
        self.reload(TWO + "[explain]\nsample = 1.0\n")
        self.served(self.client())
        self.assertEqual(len(self.service.traced()), 1)

    def test_event_sinks(self) -> None:
        """A sink that comes with a reload is told of what happens next; one that goes is ended."""
        self.start()
        others = len(self.service.every_sink.sinks)
        file = self.folder / "events.jsonl"
        self.reload(TWO + f'[events]\nfile = {{ path = "{file}" }}\n')
        self.service.pools["app"].observe(A, Observation(False, "500"), 0.0)
        self.pass_time(2)
        self.assertIn("500", file.read_text())
        self.reload(TWO)
        self.assertEqual(self.service.sinks, ())
        self.assertEqual(len(self.service.every_sink.sinks), others)

    def test_admin_token(self) -> None:
        """Another token of the admin endpoint holds at once, at the same place."""
        admin = '[admin]\nendpoint = "tcp:8099:interface=127.0.0.1"\ntoken = "%s"\n'
        self.start(TWO + admin % ("a" * 20))
        site = self.reactor.ports[8099]
        before = site.resource
        self.reload(TWO + admin % ("b" * 20))
        self.assertIs(self.reactor.ports[8099], site)
        self.assertIsNot(site.resource, before)
        self.reload(TWO)
        self.assertNotIn(8099, self.reactor.ports)
        self.reload(TWO + admin % ("b" * 20))
        self.assertIn(8099, self.reactor.ports)

    def test_health_paths_of_a_listener(self) -> None:
        """A listener that comes to answer /readyz itself needs its socket anew, which memory has none of."""
        self.start()
        text = TWO.replace('"tcp:8080"\n', '"tcp:8080"\nhealth = true\n')
        self.assertIn("cannot be changed in place", self.refused(text)[0])
