"""Active checks over real sockets: plain, TLS and UNIX targets, and what they leave behind."""

from __future__ import annotations

import os
import time
from typing import Any

import trustme
from twisted.internet.endpoints import serverFromString, wrapServerTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from lolly_tx.config.pools import Health, UpstreamTLS
from lolly_tx.domain.health import Observation
from lolly_tx.domain.target import Target
from lolly_tx.net.check_kinds import health_check
from tests.net.fakes import SteppingTestCase, open_descriptors


class Healthy(Protocol):
    """Answers the request and leaves the connection open."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(  # type: ignore[union-attr]  # connected
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )


class ProbeTests(SteppingTestCase):
    def listen(self, text: str) -> Any:
        listening = serverFromString(self.reactor, text).listen(
            Factory.forProtocol(Healthy)
        )
        port = self.successResultOf(listening)
        self.addCleanup(port.stopListening)
        return port.getHost()

    def probe(
        self, target: Target, tls: UpstreamTLS | None = None, **settings: Any
    ) -> Observation:
        check = health_check(self.reactor, Health(**settings), tls, now=time.monotonic)
        got: list[Any] = []
        check.check(target).addBoth(got.append)
        self.spin(lambda: got, "a verdict")
        self.assertIsInstance(got[0], Observation, got[0])
        observation: Observation = got[0]
        return observation

    def url(self, scheme: Any, port: int) -> Target:
        return Target("t", f"{scheme}://127.0.0.1:{port}", scheme, "127.0.0.1", port)

    def test_plain(self) -> None:
        """Hundreds of probes leave no descriptor behind."""
        target = self.url("http", self.listen("tcp:0:interface=127.0.0.1").port)
        self.assertEqual(self.probe(target).cause, "200 from /health")
        self.rounds()
        before = open_descriptors()
        for kind in ("http", "tcp"):
            for _ in range(100):
                self.assertTrue(self.probe(target, type=kind).ok)
        self.rounds()
        self.assertEqual(open_descriptors(), before)

    def test_nobody_listens(self) -> None:
        """A port nobody listens on refuses."""
        observation = self.probe(self.url("http", 1))
        self.assertEqual(
            (observation.ok, observation.cause), (False, "connection refused")
        )

    def test_unix(self) -> None:
        """A target behind an endpoint string is probed through it."""
        path = os.path.join("/tmp", f"lolly-test-{os.getpid()}.sock")
        self.listen(f"unix:{path}")
        target = Target("t", f"unix:{path}", endpoint=f"unix:{path}")
        self.assertTrue(self.probe(target).ok)
        self.assertTrue(self.probe(target, type="tcp").ok)

    def test_tls(self) -> None:
        """A TLS target is probed over TLS, verified as its traffic would be."""
        authority, ca, site = trustme.CA(), self.mktemp(), self.mktemp()
        authority.cert_pem.write_to_path(ca)
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(site)
        options: Any = DefaultOpenSSLContextFactory(site, site)
        listening = wrapServerTLS(
            options,
            serverFromString(self.reactor, "tcp:0:interface=127.0.0.1"),
            self.reactor,  # or its small writes would wait for the global one
        ).listen(Factory.forProtocol(Healthy))
        port = self.successResultOf(listening)
        self.addCleanup(port.stopListening)
        host: Any = port.getHost()
        target = self.url("https", host.port)
        for kind, cause in (("http", "200 from /health"), ("tcp", "connected")):
            observation = self.probe(target, UpstreamTLS(ca=ca), type=kind)
            self.assertEqual((observation.ok, observation.cause), (True, cause))
        observation = self.probe(target)
        self.assertFalse(observation.ok)
        self.assertIn("certificate verify failed", observation.cause)
        before = open_descriptors()
        for _ in range(20):
            self.probe(target, UpstreamTLS(verify=False))
        self.rounds()
        self.assertLessEqual(open_descriptors(), before)
        plain = self.url("https", self.listen("tcp:0:interface=127.0.0.1").port)
        observation = self.probe(plain)
        self.assertFalse(observation.ok)
        self.assertIn("TLS", observation.cause)
