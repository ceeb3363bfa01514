"""TLS towards targets over real sockets: who is refused, what the client and the operator are told, and sessions."""

from __future__ import annotations

import shutil
import socket
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from lolly_tx.config import parse
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_ports import secure
from lolly_tx.service.build import build
from tests.net.fakes import SteppingTestCase
from tests.net.test_target_tls import self_signed

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n"


class Origin(Protocol):
    """Answers whatever comes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(ANSWER)


class Greeter(Protocol):
    """Speaks first, and no TLS."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 hello\r\n")


class TargetTLSTests(SteppingTestCase):
    def setUp(self) -> None:
        """A folder with an authority."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")

    def issued(self, *names: str, **more: Any) -> SSL.Context:
        """The context of a target with such a certificate."""
        one = self.authority.issue_cert(*names, **more)
        one.private_key_and_cert_chain_pem.write_to_path(self.folder / "one.pem")
        return server_context(self.folder / "one.pem")

    def target(self, context: SSL.Context | None, kind: Any = Origin) -> int:
        """Where a target listens."""
        view = self.reactor if context is None else secure(self.reactor, context)
        endpoint = serverFromString(view, "tcp:0:interface=127.0.0.1")
        port = self.successResultOf(endpoint.listen(Factory.forProtocol(kind)))
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def start(self, target: int, more: str = "") -> tuple[str, int]:
        """A proxy in front of a target; where it listens."""
        config = parse(
            f"""
            [listener.web]
            endpoint = "tcp:0:interface=127.0.0.1"
            [[route]]
            pool = "app"
            [pool.app]
            targets = ["https://127.0.0.1:{target}"]
            tls.ca = "ca.pem"
            {more}
            """,
            str(self.folder / "lolly.toml"),
        )
        self.service = build(self.reactor, config)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        host = self.service.listeners.places["web"].port.getHost()
        return host.host, host.port

    def answer(self, place: tuple[str, int]) -> bytes:
        """What a request on a connection of its own gets."""
        made = socket.create_connection(place, timeout=5)
        self.addCleanup(made.close)
        made.sendall(GET)
        return self.drain(made, 60)

    def test_refused(self) -> None:
        """Each is a 502 with its own reason, for the client and in the account of the target."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        self_signed(self.folder / "self.pem", "127.0.0.1")
        cases: dict[str, Any] = {
            "certificate has expired": self.issued("127.0.0.1", not_after=yesterday),
            "the certificate is not for": self.issued("evil.example"),
            "self-signed certificate": server_context(self.folder / "self.pem"),
            "plain bytes came in place of a handshake": None,
        }
        for words, context in cases.items():
            kind = Greeter if context is None else Origin
            place = self.start(self.target(context, kind))
            got = self.answer(place)
            self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
            token = b"tls_protocol_error" if context is None else b"tls_certificate"
            self.assertIn(token, got)
            [node] = self.service.pools["app"].nodes.values()
            causes = [one.cause for one in node.evidence.failures]
            self.assertIn(words, str(causes))

    def test_checks(self) -> None:
        """A check believes and refuses as the traffic does, and shows the same certificate."""
        server = self.issued("127.0.0.1")
        self.authority.configure_trust(server)
        server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        self.authority.issue_cert(
            "me.example"
        ).private_key_and_cert_chain_pem.write_to_path(self.folder / "me.pem")
        target = self.target(server)
        check = 'health = { path = "/", interval = "50ms", timeout = "2s" }\n'
        self.start(target, 'tls.certificate = "me.pem"\n' + check)
        [node] = self.service.pools["app"].nodes.values()
        self.spin(
            lambda: node.health.checked is not None and node.health.up, "the check"
        )
        self.start(target, check)
        [node] = self.service.pools["app"].nodes.values()
        self.spin(lambda: not node.health.up, "the check")

    def test_sessions_go_on(self) -> None:
        """Connections that are not kept shake hands in full once, with either version of TLS."""
        for version in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
            server = self.issued("127.0.0.1")
            server.set_max_proto_version(version)
            place = self.start(self.target(server), "connections.idle = 0")
            for _ in range(5):
                self.assertTrue(self.answer(place).startswith(b"HTTP/1.1 200 "))
                self.rounds(20)
            [(_, upstream)] = self.service.running_pools["app"].forwarder.upstreams
            endpoint: Any = upstream.endpoint
            self.assertEqual(endpoint._layers._options.resumed, 4, version)
