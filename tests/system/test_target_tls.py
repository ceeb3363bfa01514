"""TLS towards targets over real sockets: who is refused, what the client and the operator are told, and sessions."""

from __future__ import annotations

import shutil
import socket
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from OpenSSL import SSL
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from lolly_tx.config import parse
from lolly_tx.net.sockets.tls_contexts import server_context
from lolly_tx.net.sockets.tls_names import ALPN_HTTP1, ALPN_HTTP2
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


class Http2Origin(Protocol):
    """Answers in HTTP/2, whatever ALPN has agreed on, and keeps what that was. `agreed`: of all connections."""

    agreed: ClassVar[list[bytes | None]] = []

    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=False))

    def connectionMade(self) -> None:
        """Begin with our settings."""
        self._h2.initiate_connection()
        self._send()

    def dataReceived(self, data: bytes) -> None:
        """Frames."""
        transport: Any = self.transport
        for event in self._h2.receive_data(data):
            if isinstance(event, RequestReceived):
                self.agreed.append(transport.negotiatedProtocol)
                answer = [(":status", "200"), ("content-length", "2")]
                self._h2.send_headers(event.stream_id, answer)
                self._h2.send_data(event.stream_id, b"ok", end_stream=True)
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        self.transport.write(self._h2.data_to_send())


class TargetTLSTests(SteppingTestCase):
    def setUp(self) -> None:
        """A folder with an authority."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")

    def issued(
        self, *names: str, alpn: tuple[bytes, ...] = (ALPN_HTTP1,), **more: Any
    ) -> SSL.Context:
        """The context of a target with such a certificate. `alpn`: what it agrees on."""
        one = self.authority.issue_cert(*names, **more)
        one.private_key_and_cert_chain_pem.write_to_path(self.folder / "one.pem")
        return server_context(self.folder / "one.pem", alpn=alpn)

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

    def test_http2_is_agreed_on(self) -> None:
        """With `protocol = "h2"` that is what ALPN agrees on; one connection has the requests of several clients."""
        Http2Origin.agreed.clear()
        context = self.issued("127.0.0.1", alpn=(ALPN_HTTP1, ALPN_HTTP2))
        place = self.start(self.target(context, Http2Origin), 'protocol = "h2"')
        for _ in range(3):
            got = self.answer(place)
            self.assertTrue(got.startswith(b"HTTP/1.1 200 "), got)
        self.assertEqual(Http2Origin.agreed, [ALPN_HTTP2] * 3)
        [(_, upstream)] = self.service.running_pools["app"].forwarder.upstreams
        self.assertEqual(upstream.connects, 1)

    def test_http2_is_not_agreed_on(self) -> None:
        """A target that has only HTTP/1.1, or no ALPN at all, is sent nothing: a 502 with its own reason."""
        for alpn in ((ALPN_HTTP1,), (b"spdy/3",)):
            Http2Origin.agreed.clear()
            context = self.issued("127.0.0.1", alpn=alpn)
            place = self.start(self.target(context, Http2Origin), 'protocol = "h2"')
            got = self.answer(place)
            self.assertTrue(got.startswith(b"HTTP/1.1 502 "), got)
            self.assertIn(b"http_protocol_error", got)
            self.assertEqual(Http2Origin.agreed, [])
            [node] = self.service.pools["app"].nodes.values()
            causes = [one.cause for one in node.evidence.failures]
            self.assertIn("does not agree on HTTP/2 (ALPN h2)", str(causes))

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
