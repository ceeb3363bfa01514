"""Tests of pools built from settings, through the service that has them."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

from tests.proxy.world import GET, OK, answer, get
from tests.service.test_build import BuildTestCase

CONFIG = """
trusted_proxies = ["192.0.2.0/24"]
[listener.web]
endpoint = "tcp:8080"
[[route]]
pool = "app"
[pool.app]
targets = [{targets}]
{settings}
"""


class PoolTests(BuildTestCase):
    def pool(self, settings="", targets=1):
        """A service with a pool of so many targets, from port 9001 on."""
        text = ", ".join(f'"http://127.0.0.1:{9001 + n}"' for n in range(targets))
        self.service = self.started(CONFIG.format(targets=text, settings=settings))
        return self.service.pools["app"]

    def ask(self, request=GET):
        client = self.client()
        client.send(request)
        return client

    def refuse(self):
        """Refuse the proxy's last connect."""
        *_, connector = range(1), self.reactor.connectors.pop()
        factory = self.reactor.tcpClients.pop()[2]
        factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))

    def test_timeouts(self):
        """The times for reading and writing are the pool's."""
        self.pool('[pool.app.timeout]\nread = "3s"\n[pool.app.retry]\ntries = 1\n')
        client = self.ask()
        self.backend()
        self.pass_time(2.8)
        self.assertEqual(client.take(), b"")
        self.pass_time(0.4)
        self.assertIn(b"HTTP/1.1 504 ", client.take())

    def test_known_addresses(self):
        """What one pool finds out about an address all pools know: refused at once, without a connect, by name."""
        self.service = self.started(
            CONFIG.format(targets='"http://127.0.0.1:9001"', settings="")
            + '[[route]]\npath = "/b/"\npool = "b"\n[[route]]\npath = "/c/"\npool = "c"\n'
            '[pool.b]\ntargets = ["http://127.0.0.1:9001"]\n'
            '[pool.c]\ntargets = ["http://127.0.0.1:9001"]\npassive = { max_fails = 0 }\n'
        )
        for _ in range(3):
            client = self.ask()
            self.refuse()
            self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertIn(b"HTTP/1.1 503 ", self.ask().take())
        for _ in range(3):
            got = self.ask(get("/b/")).take()
            self.assertIn(b"HTTP/1.1 503 ", got)
            self.assertIn(b"error=destination_unavailable", got)
        self.assertEqual(self.reactor.tcpClients, [])
        # It is as good as a refusal to this pool.
        self.assertEqual(
            [n.ejection for n in self.service.pools["b"].nodes.values()], ["ejected"]
        )
        # A pool that keeps no record asks whatever the others think.
        client = self.ask(get("/c/"))
        self.backend().send(OK)
        self.assertEqual(client.take(), OK)

    def test_lone_backend_restarted(self):
        """A lone target that refuses is asked by connects of our own, and is back about a second after it accepts."""
        pool = self.pool()
        for _ in range(3):
            self.ask()
            self.refuse()
        self.assertIn(b"HTTP/1.1 503 ", self.ask().take())
        self.assertIsNotNone(self.service.next_recheck("app", "http-127-0-0-1-9001"))
        for _ in range(2):
            self.pass_time(1.1)
            self.refuse()
        self.pass_time(1.1)
        self.backend(9001)
        self.assertEqual(pool.available(self.reactor.seconds()), ())
        self.pass_time(0.4)
        self.backend(9001)
        client = self.ask()
        self.backend(9001).send(OK)
        self.assertEqual(client.take(), OK)
        self.assertIsNone(self.service.next_recheck("app", "http-127-0-0-1-9001"))
        (node,) = pool.nodes.values()
        self.assertEqual(node.stats.rechecks, 4)

    def test_recheck_off(self):
        """With recheck = 0, or with checks, there are no such connects."""
        for settings in ('recheck = "0s"\n', "[pool.app.health]\n"):
            self.pool(f"[pool.app.passive]\n{settings}")
            self.assertIsNone(self.service.running_pools["app"].probing.rechecker)

    def test_check_of_another_port(self):
        """A target that its check has seen come back is asked, whatever its addresses were known for."""
        self.pool('[pool.app.health]\nport = 9009\ninterval = "1s"\ntype = "tcp"\n')
        self.backend(9009)
        for _ in range(3):
            self.ask()
            self.refuse()
        pool = self.service.pools["app"]
        pool.mark("http-127-0-0-1-9001", False, "test", 0.0)
        pool.mark("http-127-0-0-1-9001", True, "test", 0.0)
        client = self.ask()
        self.backend(9001).send(OK)
        self.assertEqual(client.take(), OK)

    def test_connect_timeout(self):
        """So is that for connecting."""
        self.pool('[pool.app.timeout]\nconnect = "2s"\n[pool.app.retry]\ntries = 1\n')
        client = self.ask()
        self.pass_time(2.2)
        self.assertIn(b"HTTP/1.1 504 ", client.take())

    def test_connections(self):
        """How connections are kept is the pool's to say."""
        self.pool("[pool.app.connections]\nrequests = 1\n")
        self.ask()
        backend = self.backend()
        backend.send(OK)
        self.assertTrue(backend.closed)

    def test_retry(self):
        """How often and on what is tried again."""
        self.pool('[pool.app.retry]\ntries = 3\non = ["connect", "503"]\n', targets=3)
        client = self.ask()
        self.refuse()
        self.backend(9002).send(answer(b"busy", 503))
        self.pass_time(1.0)
        self.backend(9003).send(OK)
        self.assertEqual(client.take(), OK)

    def test_passive(self):
        """After so many failures the target is left alone."""
        pool = self.pool(
            "[pool.app.passive]\nmax_fails = 2\n[pool.app.retry]\ntries = 1\n"
        )
        for _ in range(2):
            client = self.ask()
            self.refuse()
            self.assertIn(b"HTTP/1.1 502 ", client.take())
        self.assertIn(b"HTTP/1.1 503 ", self.ask().take())
        [node] = pool.nodes.values()
        self.assertEqual(node.ejection, "ejected")

    def test_passive_off(self):
        """Zero turns that off."""
        self.pool("[pool.app.passive]\nmax_fails = 0\n[pool.app.retry]\ntries = 1\n")
        for _ in range(5):
            client = self.ask()
            self.refuse()
            self.assertIn(b"HTTP/1.1 502 ", client.take())

    def test_host(self):
        """The Host that is sent is the pool's to choose."""
        self.pool('host = "target"\n')
        self.ask()
        self.assertIn(b"\r\nHost: 127.0.0.1:9001\r\n", self.backend().take())

    def test_hash_by_client(self):
        """ip_hash goes by the original client behind trusted proxies."""
        pool = self.pool('balance = "ip_hash"\n', targets=8)
        for name in ("198.51.100.1", "198.51.100.2", "198.51.100.1"):
            client = self.ask(get("/", f"X-Forwarded-For: {name}\r\n"))
            port = self.reactor.tcpClients[-1][1] if self.reactor.tcpClients else 0
            if port:
                self.backend(port).send(OK)
            client.lose()
        counts = sorted(n.stats.requests for n in pool.nodes.values())
        self.assertIn(counts[-2:], ([1, 2], [0, 3]))

    def test_initial_state(self):
        """A pool whose targets have to prove themselves begins with none."""
        self.pool('[pool.app.health]\ninitial = "down"\n')
        self.assertIn(b"HTTP/1.1 503 ", self.ask().take())

    def test_stop(self):
        """A stop closes idle connections to targets."""
        self.pool()
        self.ask()
        backend = self.backend()
        backend.send(OK)
        self.assertFalse(backend.disconnecting)
        self.service.stopService()
        self.assertTrue(backend.closed)
