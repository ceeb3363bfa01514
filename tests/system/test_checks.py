"""Active checks over real sockets: plain, TLS and UNIX targets, and what they leave behind."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.endpoints import serverFromString, wrapServerTLS
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from lolly_tx.config.checks import Health, Step, TargetAgent
from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.agent_channel import AgentChannel
from lolly_tx.net.checks.kinds import health_check
from lolly_tx.net.sockets.endpoints import client_endpoint
from tests.net.fakes import SteppingTestCase, open_descriptors


class Healthy(Protocol):
    """Answers the request and leaves the connection open."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(  # type: ignore[union-attr]  # connected
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )


class Case(SteppingTestCase):
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


class ProbeTests(Case):
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

    def test_small_server(self) -> None:
        """Python's own server sees probes end in good order: it has no error to print."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "health").write_text("x" * 40_000)
            errors: list[Any] = []

            class Server(ThreadingHTTPServer):
                def handle_error(self, request: Any, client_address: Any) -> None:
                    errors.append(sys.exc_info()[1])

            class Handler(SimpleHTTPRequestHandler):
                def log_message(self, format: str, *args: Any) -> None:
                    """Say nothing."""

            server = Server(("127.0.0.1", 0), partial(Handler, directory=folder))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            target = self.url("http", server.server_port)
            for kind in ("http", "tcp"):
                for _ in range(20):
                    self.assertTrue(self.probe(target, type=kind).ok)
            self.rounds()
            server.shutdown()
            server.server_close()
            thread.join()
        self.assertEqual(errors, [])

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
        self.assertIn("unable to get local issuer certificate", observation.cause)
        before = open_descriptors()
        for _ in range(20):
            self.probe(target, UpstreamTLS(verify=False))
        self.rounds()
        self.assertLessEqual(open_descriptors(), before)
        plain = self.url("https", self.listen("tcp:0:interface=127.0.0.1").port)
        observation = self.probe(plain)
        self.assertFalse(observation.ok)
        self.assertIn("TLS", observation.cause)


class Talker(Protocol):
    """A small line server: PING, and a greeting when `greeting` is set."""

    greeting = b""

    def connectionMade(self) -> None:
        self.transport.write(self.greeting)  # type: ignore[union-attr]  # connected

    def dataReceived(self, data: bytes) -> None:
        if data == b"PING\r\n":
            self.transport.write(b"+PO")  # type: ignore[union-attr]
            self.transport.write(b"NG\r\n")  # type: ignore[union-attr]


class Greeter(Talker):
    greeting = b"220 ready\r\n"


class Echo(DatagramProtocol):
    """Answers "ask" with "answer", and nothing else."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if datagram == b"ask":
            self.transport.write(b"the answer", addr)  # type: ignore[union-attr]


class OtherTypesTests(Case):
    """Scripts, TLS, UDP and agents over loopback."""

    def serve(self, protocol: type[Protocol]) -> int:
        """A TCP server of that protocol; its port."""
        endpoint = serverFromString(self.reactor, "tcp:0:interface=127.0.0.1")
        port = self.successResultOf(endpoint.listen(Factory.forProtocol(protocol)))
        self.addCleanup(port.stopListening)
        host: Any = port.getHost()
        number: int = host.port
        return number

    def test_script(self) -> None:
        """Steps are gone through on two ports of one target, and leave nothing behind."""
        first, second = self.serve(Talker), self.serve(Greeter)
        steps = (
            Step(send="PING\r\n", expect="+PONG\r\n"),
            Step(port=second, expect_regex=r"^220 [a-z]+\r\n"),
        )
        target = self.url("http", first)
        observation = self.probe(target, type="script", steps=steps)
        self.assertEqual(
            (observation.ok, observation.cause), (True, "every step went well")
        )
        self.rounds()
        before = open_descriptors()
        for _ in range(30):
            self.assertTrue(self.probe(target, type="script", steps=steps).ok)
        self.rounds()
        self.assertEqual(open_descriptors(), before)
        wrong = (Step(send="PONG\r\n", expect="+PING"),)
        observation = self.probe(target, type="script", steps=wrong, timeout=0.2)
        self.assertEqual(
            observation.cause, 'step 1: "+PING" did not come in 0.2 s', observation
        )

    def test_udp(self) -> None:
        """A UDP service is asked and answers; one that is not there is refused, or silent."""
        port = self.reactor.listenUDP(0, Echo(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        target = self.url("http", port.getHost().port)
        good = (Step(send="ask", expect="answer"),)
        observation = self.probe(target, type="udp", steps=good)
        self.assertEqual(
            (observation.ok, observation.cause), (True, "answered as expected")
        )
        self.rounds()
        before = open_descriptors()
        for _ in range(30):
            self.assertTrue(self.probe(target, type="udp", steps=good).ok)
        self.rounds()
        self.assertEqual(open_descriptors(), before)
        silent = (Step(send="what", expect="answer"),)
        observation = self.probe(target, type="udp", steps=silent, timeout=0.2)
        self.assertEqual(observation.cause, "no answer in 0.2 s")
        observation = self.probe(self.url("http", 1), type="udp", steps=good)
        self.assertEqual(observation.cause, "connection refused")

    def test_udp_by_name(self) -> None:
        """A UDP target may have a name."""
        port = self.reactor.listenUDP(0, Echo(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        target = Target("t", f"http://localhost:{number}", "http", "localhost", number)
        steps = (Step(send="ask", expect="answer"),)
        self.reactor.running = True  # or its threads do not start
        self.reactor._initThreadPool()
        self.reactor.threadpool.start()
        self.addCleanup(self.reactor.threadpool.stop)
        self.assertTrue(self.probe(target, type="udp", steps=steps).ok)

    def test_tls_port_of_a_plain_target(self) -> None:
        """The TLS side of a target whose traffic is plain is verified with the pool's settings."""
        authority, ca, site = trustme.CA(), self.mktemp(), self.mktemp()
        authority.cert_pem.write_to_path(ca)
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(site)
        options: Any = DefaultOpenSSLContextFactory(site, site)
        listening = wrapServerTLS(
            options,
            serverFromString(self.reactor, "tcp:0:interface=127.0.0.1"),
            self.reactor,
        ).listen(Factory.forProtocol(Healthy))
        port = self.successResultOf(listening)
        self.addCleanup(port.stopListening)
        host: Any = port.getHost()
        plain = self.url("http", self.serve(Talker))
        observation = self.probe(plain, UpstreamTLS(ca=ca), type="tls", port=host.port)
        self.assertEqual(
            (observation.ok, observation.cause), (True, "TLS handshake complete")
        )
        observation = self.probe(plain, type="tls", port=host.port)
        self.assertIn("unable to get local issuer certificate", observation.cause)
        observation = self.probe(plain, UpstreamTLS(ca=ca), type="tls", timeout=0.5)
        self.assertFalse(observation.ok)

    def test_agent(self) -> None:
        """An agent on a port of its own is asked for its line."""

        class Speaker(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"up 75% # fine\n")  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

        channel = AgentChannel(
            TargetAgent(self.serve(Speaker)),
            partial(client_endpoint, self.reactor, timeout=None),
            clock=self.reactor,
            now=time.monotonic,
        )
        got: list[Any] = []
        channel.ask(self.url("http", 1)).addBoth(got.append)
        self.spin(lambda: got, "the agent")
        self.assertEqual((got[0].share, got[0].reason), (0.75, "fine"))
