"""Tests of net.sockets.challenges: what an authority that looks is shown, and that nobody else notices (RFC 8737)."""

from __future__ import annotations

import shutil
import socket
import ssl
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone

from lolly_tx.net.sockets.certificates import load_certificate
from lolly_tx.net.sockets.challenges import ACME_TLS, Challenges
from lolly_tx.net.sockets.client_certificates import load_policy
from lolly_tx.net.sockets.credentials import Credentials, Terms
from lolly_tx.net.sockets.tls import TLSServer
from lolly_tx.service.acme.answers import IDENTIFIER, challenge_certificate
from tests.net.fakes import Recorder
from tests.net.test_tls import NAME, TLSTestCase

SAID = "token.print"


class Introduced(Recorder):
    """A protocol that takes five bytes ahead of the handshake."""

    inner: Any = None

    def preface(self, data: bytes) -> int:
        """They have come, or not yet."""
        if len(data) < 5:
            return 0
        self.inner = self
        return 5


class ChallengesTests(TLSTestCase):
    def setUp(self) -> None:
        """A listener with a certificate and with challenges."""
        super().setUp()
        self.shown = Path(self.mktemp())
        self.addCleanup(shutil.rmtree, self.shown, True)
        self.credentials = Credentials(
            [load_certificate(self.folder / "site.pem")],
            Terms(alpn=(b"h2", b"http/1.1")),
            challenges=Challenges(str(self.shown)),
        )

    def show(self, host: str = NAME) -> None:
        """An authority may look."""
        self.shown.mkdir(exist_ok=True)
        (self.shown / f"{host}.pem").write_bytes(challenge_certificate(host, SAID))

    def connected(self) -> tuple[Any, Any, socket.socket]:
        """A connection, its protocol and its client's end."""
        return self.accepted(
            None, TLSServer, send_buffer=65536, credentials=self.credentials
        )

    def asked(self, *protocols: str, name: str = NAME, **settings: Any) -> Any:
        """A handshake with ALPN; transport, protocol, client."""
        transport, proto, raw = self.connected()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(list(protocols))
        for key, value in settings.items():
            setattr(context, key, value)
        raw.setblocking(False)
        client = context.wrap_socket(
            raw, server_hostname=name, do_handshake_on_connect=False
        )
        self.addCleanup(client.close)
        self.attempt(client.do_handshake)
        return transport, proto, client

    def leaf(self, client: ssl.SSLSocket) -> x509.Certificate:
        """What the client was shown."""
        found = client.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found)

    def assertSite(self, client: ssl.SSLSocket) -> None:
        """It was shown the certificate of the site."""
        site = load_certificate(self.folder / "site.pem").leaf
        self.assertEqual(self.leaf(client), site)

    def test_shown(self) -> None:
        """Who asks for the challenge of a name gets it, with the digest, in either version, and the connection ends."""
        self.show()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            transport, proto, client = self.asked("acme-tls/1", maximum_version=version)
            self.assertEqual(client.selected_alpn_protocol(), "acme-tls/1")
            leaf = self.leaf(client)
            [names, digest] = leaf.extensions
            self.assertEqual(names.value.get_values_for_type(x509.DNSName), [NAME])
            self.assertEqual((digest.oid, digest.critical), (IDENTIFIER, True))
            self.assertEqual(
                digest.value.value, b"\x04\x20" + sha256(SAID.encode()).digest()
            )
            self.assertEqual(self.attempt(partial(client.recv, 10)), b"")
            self.spin(partial(getattr, proto, "reason"))
            self.assertIs(proto.reason, ConnectionDone)
            self.assertEqual(proto.received, b"")
            self.assertFalse(transport.connected)
        self.assertEqual(self.credentials.handshakes.completed, 2)

    def test_whatever_is_asked_of_clients(self) -> None:
        """An authority shows no certificate, and needs none, also where clients and a site of that name do."""
        authority = load_policy("require", str(self.folder / "ca.pem"))
        self.credentials.agree(Terms(policy=authority, sites=((NAME, authority),)))
        self.show()
        _, _, client = self.asked("acme-tls/1")
        self.assertEqual(client.selected_alpn_protocol(), "acme-tls/1")
        self.assertEqual(self.attempt(partial(client.recv, 10)), b"")
        self.assertEqual(dict(self.credentials.handshakes.failures), {})

    def test_behind_a_proxy_header(self) -> None:
        """What comes ahead of the handshake is taken first."""
        self.show()
        proto = Introduced()
        _, _, raw = self.accepted(
            proto, TLSServer, send_buffer=65536, credentials=self.credentials
        )
        raw.sendall(b"HELLO")
        raw.setblocking(False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        client = context.wrap_socket(
            raw, server_hostname=NAME, do_handshake_on_connect=False
        )
        self.addCleanup(client.close)
        self.attempt(client.do_handshake)
        self.assertEqual(client.selected_alpn_protocol(), "acme-tls/1")
        self.assertIs(proto.inner, proto)

    def test_nothing_else_on_it(self) -> None:
        """What comes behind the handshake is not served, and what a door wanted to say is not sent."""
        self.show()
        transport, proto, raw = self.connected()
        transport.write(b"HTTP/1.1 503 Full\r\n\r\n")
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([ACME_TLS])
        raw.setblocking(False)
        client = SSL.Connection(context, raw)
        client.set_tlsext_host_name(NAME.encode())
        client.set_connect_state()
        got: list[Any] = []

        def step() -> bool:
            try:
                client.do_handshake()
                got.append(client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
            except SSL.WantReadError:
                return False
            return True

        self.spin(step, "the handshake")
        self.spin(lambda: proto.reason is not None)
        self.assertEqual(proto.received, b"")
        self.assertRaises((SSL.ZeroReturnError, SSL.SysCallError), client.recv, 100)

    def test_others_meanwhile(self) -> None:
        """Everybody else is served as ever while an authority may look: other protocols, other names, none at all."""
        self.show("other.test")
        for protocols, name, agreed in (
            (("h2", "http/1.1"), "other.test", "h2"),
            (("http/1.1",), NAME, "http/1.1"),
            (("acme-tls/1",), NAME, None),
            (("acme-tls/1", "h2"), NAME, "h2"),
        ):
            _, proto, client = self.asked(*protocols, name=name)
            self.assertSite(client)
            self.assertEqual(client.selected_alpn_protocol(), agreed)
            self.send_all(client, b"ask")
            self.spin(partial(proto.received.startswith, b"ask"))

    def test_no_order(self) -> None:
        """Without a challenge nobody looks at anything, and after one it is not shown any more."""
        transport, _, client = self.asked("acme-tls/1")
        self.assertIsNone(transport._looking)
        self.assertIsNone(client.selected_alpn_protocol())
        self.show()
        (self.shown / f"{NAME}.pem").write_text("no certificate")
        _, _, client = self.asked("acme-tls/1")
        self.assertSite(client)
        shutil.rmtree(self.shown)
        self.assertIsNone(Challenges(str(self.shown)).context_for(NAME))

    def test_names_that_are_paths(self) -> None:
        """A name leads to no file elsewhere."""
        self.show()
        (self.shown / "below").mkdir()
        shutil.copy(self.shown / f"{NAME}.pem", self.shown / "below/a.pem")
        shutil.copy(self.shown / f"{NAME}.pem", self.shown / "../outside.pem")
        challenges = Challenges(str(self.shown))
        self.assertIsNotNone(challenges.context_for(NAME))
        for name in ("below/a", "../outside", "", "."):
            self.assertIsNone(challenges.context_for(name))

    def test_in_pieces(self) -> None:
        """A hello that comes byte by byte is waited for, without being read again and again."""
        self.show()
        _, proto, raw = self.connected()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        transport = proto.transport
        looks = 0
        real = transport._looking.look

        def counted(sock: Any) -> Any:
            nonlocal looks
            looks += 1
            return real(sock)

        transport._looking.look = counted
        raw.sendall(hello[:1])
        self.rounds(5)
        self.assertEqual(looks, 1)
        raw.sendall(hello[1:100])
        self.rounds(5)
        self.assertEqual(looks, 2)
        raw.sendall(hello[100:])
        self.spin(lambda: transport._challenged, "the challenge")
        raw.setblocking(False)

        def step() -> bool:
            try:
                incoming.write(raw.recv(65536))
                client.do_handshake()
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            finally:
                data = outgoing.read()
                if data:
                    raw.sendall(data)
            return True

        self.spin(step, "the handshake")
        self.assertEqual(client.selected_alpn_protocol(), "acme-tls/1")

    def test_no_hello(self) -> None:
        """What is no hello, or ends in the middle of one, is left to the handshake, which counts it."""
        self.show()
        _, proto, raw = self.connected()
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.spin(lambda: proto.reason is not None)
        self.assertEqual(self.credentials.handshakes.failures["not_tls"], 1)
        _, proto, raw = self.connected()
        raw.sendall(b"\x16\x03\x01\x02")
        self.rounds()
        raw.close()
        self.spin(lambda: proto.reason is not None)
        self.assertEqual(self.credentials.handshakes.failures["client_left"], 1)
        _, proto, raw = self.connected()
        raw.close()
        self.spin(lambda: proto.reason is not None)
