"""The PROXY protocol over real sockets: received ahead of TLS, and sent on to targets that speak TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from lolly_tx.config import parse
from lolly_tx.service.build import build
from lolly_tx.wire.proxyline import ProxyLine, read_proxy_line, render_v2
from lolly_tx.wire.tlvs import Encrypted
from tests.net.fakes import SteppingTestCase

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n"
CLIENT = ProxyLine("203.0.113.77", 4000, "203.0.113.1", 443)


class Origin(Protocol):
    """Keeps the header of its connection, and answers what is behind it."""

    def connectionMade(self) -> None:
        self.line: ProxyLine | None = None
        self.begun = b""
        self.requests: list[bytes] = []
        self.factory.served.append(self)

    def dataReceived(self, data: bytes) -> None:
        if self.line is None:
            self.begun += data
            found = read_proxy_line(self.begun)
            if found is None:
                return
            self.line, length = found
            data = self.begun[length:]
        if data:
            self.requests.append(data)
            assert self.transport is not None
            self.transport.write(ANSWER)


class ProxyProtocolTests(SteppingTestCase):
    def setUp(self) -> None:
        """A folder with a certificate, and an origin that wants to be told of clients."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("site.example", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(self.folder / "site.pem")
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.served: list[Origin] = []
        factory: Any = Factory.forProtocol(Origin)
        factory.served = self.served
        endpoint = serverFromString(self.reactor, "tcp:0:interface=127.0.0.1")
        self.origin = self.successResultOf(endpoint.listen(factory))
        self.addCleanup(self.origin.stopListening)

    def start(self, text: str) -> tuple[str, int]:
        """A proxy with one listener, `text` more of it first, then of the pool; where it listens."""
        listener, pool = text.split("--")
        config = parse(
            f"""
            [listener.web]
            endpoint = "tcp:0:interface=127.0.0.1"
            {listener}
            [[route]]
            pool = "app"
            [pool.app]
            targets = ["http://127.0.0.1:{self.origin.getHost().port}"]
            {pool}
            """,
            str(self.folder / "lolly.toml"),
        )
        self.service = build(self.reactor, config)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        host = self.service.listeners.places["web"].port.getHost()
        return host.host, host.port

    def client(self, place: tuple[str, int], first: bytes) -> socket.socket:
        """A connection that begins so."""
        made = socket.create_connection(place, timeout=5)
        self.addCleanup(made.close)
        made.sendall(first)
        return made

    def answered(self, sock: Any) -> bytes:
        """What a request gets."""
        sock.setblocking(True)
        sock.sendall(GET)
        return self.drain(sock, 40)

    def test_both_ways(self) -> None:
        """Who a load balancer speaks for is who the target is told of, on connections of its own."""
        place = self.start('proxy_protocol = ["127.0.0.0/8"]--send_proxy = "v2"')
        for _ in range(2):
            client = self.client(place, render_v2(CLIENT))
            for _ in range(3):
                self.assertTrue(self.answered(client).startswith(b"HTTP/1.1 200"))
        self.assertEqual([one.line for one in self.served], [CLIENT] * 2)
        self.assertEqual([len(one.requests) for one in self.served], [3, 3])
        forwarded = self.served[0].requests[0]
        self.assertIn(b"X-Forwarded-For: 203.0.113.77\r\n", forwarded)

    def test_ahead_of_tls(self) -> None:
        """Ahead of TLS, too; the target is told of the TLS that ended here."""
        place = self.start(
            'proxy_protocol = ["127.0.0.0/8"]\ntls.certificate = "site.pem"'
            '--send_proxy = "v2"'
        )
        raw = self.client(place, render_v2(CLIENT))
        raw.setblocking(False)
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.set_alpn_protocols(["http/1.1"])
        client = context.wrap_socket(
            raw, server_hostname="site.example", do_handshake_on_connect=False
        )
        self.addCleanup(client.close)

        def shaken() -> bool:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                return False
            return True

        self.spin(shaken, "the handshake")
        client.send(GET)
        self.spin(lambda: self.served and self.served[0].requests, "the request")
        line = self.served[0].line
        assert line is not None
        self.assertEqual((line.source, line.source_port), ("203.0.113.77", 4000))
        self.assertEqual(line.authority, b"site.example")
        self.assertEqual((line.alpn, line.tls), (b"http/1.1", Encrypted("TLSv1.3")))

    def test_own_ends(self) -> None:
        """Without a header of its own a client is told of by the ends of its connection; checks are nobody's."""
        place = self.start(
            '--send_proxy = "v1"\nhealth = { path = "/health", interval = "50ms" }'
        )
        client = self.client(place, b"")
        self.answered(client)
        self.spin(lambda: len(self.served) > 3, "some checks")
        lines = [one.line for one in self.served]
        own = client.getsockname()
        self.assertIn(ProxyLine(own[0], own[1], *place), lines)
        others = {line for line in lines if line is not None and line.source != own[0]}
        self.assertEqual(others, {ProxyLine()})
