"""Streams over real sockets: spliced, half-closed, by name without decrypting, TLS ended here, through a reload."""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import trustme
from twisted.internet.defer import execute
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from lolly_tx.config import load, parse
from lolly_tx.service.build import build
from lolly_tx.service.changes.reload import Reloader
from tests.net.fakes import SteppingTestCase

BULK = 4 << 20


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """Sends back what comes, and a last word behind it, behind the name it was given."""

    def connectionMade(self) -> None:
        self.factory.made.append(self)
        assert self.transport is not None
        self.transport.write(self.factory.name)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.transport.write(b"bye")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


class StreamTests(SteppingTestCase):
    def setUp(self) -> None:
        """A folder with a certificate, and two targets."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("a.example.com", "127.0.0.1")
        self.pem = issued.private_key_and_cert_chain_pem.bytes()
        (self.folder / "site.pem").write_bytes(self.pem)
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.a, self.b = self.target(b"A"), self.target(b"B")

    def target(self, name: bytes) -> Any:
        """A port behind which somebody echoes."""
        factory: Any = Factory.forProtocol(Echo)
        factory.name, factory.made = name, []
        endpoint = serverFromString(self.reactor, "tcp:0:interface=127.0.0.1")
        port = self.successResultOf(endpoint.listen(factory))
        self.addCleanup(port.stopListening)
        return port

    def start(self, text: str) -> None:
        """A proxy with these streams; $a and $b are the ports of the targets."""
        for name in "ab":
            text = text.replace(f"${name}", str(getattr(self, name).getHost().port))
        path = self.folder / "lolly.toml"
        path.write_text(text)
        self.service = build(self.reactor, load(str(path), {}))
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def connect(self, stream: str = "s") -> socket.socket:
        """A client of a stream."""
        place = self.service.listeners.places[f"stream {stream}"]
        host = place.port.getHost()
        made = socket.create_connection((host.host, host.port), timeout=5)
        self.addCleanup(made.close)
        return made

    def test_bulk_and_half_close(self) -> None:
        """Megabytes go through the kernel, and the client's end of file reaches the target, whose last word comes."""
        self.start(
            '[stream.s]\nendpoint = "tcp:0:interface=127.0.0.1"\npool = "p"\n'
            '[pool.p]\ntargets = ["tcp://127.0.0.1:$a"]\n'
        )
        client = self.connect()
        self.assertEqual(self.drain(client, 1), b"A")
        data = bytes(range(256)) * (BULK // 256)
        sent = 0
        got = bytearray()

        def step() -> bool:
            nonlocal sent
            try:
                sent += client.send(data[sent : sent + 65536]) if sent < BULK else 0
            except BlockingIOError:
                pass
            try:
                got.extend(client.recv(1 << 20))
            except BlockingIOError:
                pass
            return len(got) == BULK

        client.setblocking(False)
        self.spin(step, "all of it")
        self.assertEqual(bytes(got), data)
        self.trickles(client)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(client), b"bye")
        counters = self.service.stream_counters["s"]
        self.spin(lambda: counters.served, "the end")
        self.assertEqual((counters.sent, counters.received), (BULK + 3, BULK + 7))
        node = self.service.running_pools["p"].pool.nodes.values()
        self.spin(lambda: not any(one.in_flight for one in node), "the lease")
        told = self.service.statistics()["listeners"]["stream s"]
        self.assertEqual((told["streams"], told["bytes_in"]), (1, BULK + 3))

    def trickles(self, client: socket.socket) -> None:
        """The kernel has moved the many bytes; when there are few they are copied again."""
        [door] = self.service.acceptors["stream s"].doors
        tunnel: Any = door
        tunnel = tunnel._tunnel
        self.assertEqual(len(tunnel._relays), 2)
        now = self.service.now()
        tunnel.expired(now)
        self.assertEqual(len(tunnel._relays), 2)
        tunnel.expired(now)
        self.assertEqual(len(tunnel._relays), 0)
        client.send(b"few")
        self.assertEqual(self.drain(client, 3), b"few")

    def test_by_name(self) -> None:
        """TLS goes through to the target that the name leads to, as it is."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        served = Thread(target=self.serve_tls, args=(listening,), daemon=True)
        served.start()
        self.addCleanup(served.join, 10)
        port = listening.getsockname()[1]
        self.start(
            '[stream.s]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            'sni = { "a.example.com" = "p" }\n'
            f'[pool.p]\ntargets = ["tcp://127.0.0.1:{port}"]\n'
        )
        self.assertEqual(self.tls("a.example.com", 1), b"?")
        with self.assertRaises(OSError):
            self.tls("b.example.com", 1)
        refused = self.service.stream_counters["s"].refused
        self.assertEqual(refused, {"destination_unavailable": 1})

    def serve_tls(self, listening: socket.socket) -> None:
        """Answer one client, whose TLS ends here."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / "site.pem")
        listening.settimeout(10)
        raw, _ = listening.accept()
        raw.settimeout(10)
        with context.wrap_socket(raw, server_side=True) as client:
            client.sendall(client.recv(1))

    def tls(self, name: str, size: int) -> bytes:
        """What a client of TLS that asks for `name` gets first, of so many bytes."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        raw = self.connect()
        raw.setblocking(False)
        client = context.wrap_socket(
            raw, server_hostname=name, do_handshake_on_connect=False
        )
        self.addCleanup(client.close)
        got = bytearray()
        asked = False

        def step() -> bool:
            nonlocal asked
            try:
                client.do_handshake()
                if not asked:
                    asked = client.send(b"?") == 1
                got.extend(client.recv(size))
            except ssl.SSLWantReadError:
                return False
            return len(got) == size

        self.spin(step, "an answer")
        return bytes(got)

    def test_tls_ends_here(self) -> None:
        """With a certificate TLS ends here, and the target gets what is in it."""
        self.start(
            '[stream.s]\nendpoint = "tcp:0:interface=127.0.0.1"\npool = "p"\n'
            'tls.certificate = "site.pem"\n'
            '[pool.p]\ntargets = ["tcp://127.0.0.1:$a"]\n'
        )
        self.assertEqual(self.tls("a.example.com", 2), b"A?")

    def test_reload(self) -> None:
        """A reload leads new clients elsewhere, and leaves those alone that are there."""
        self.start(
            '[stream.s]\nendpoint = "tcp:0:interface=127.0.0.1"\npool = "p"\n'
            '[pool.p]\ntargets = ["tcp://127.0.0.1:$a"]\n'
            '[pool.q]\ntargets = ["tcp://127.0.0.1:$b"]\n'
        )
        old = self.connect()
        self.assertEqual(self.drain(old, 1), b"A")
        path = self.folder / "lolly.toml"
        path.write_text(path.read_text().replace('pool = "p"', 'pool = "q"'))
        reloader = Reloader(
            self.service, lambda: load(str(path), {}), in_thread=execute
        )
        done = reloader.reload()
        self.spin(lambda: done.called, "the reload")
        self.assertEqual(self.drain(self.connect(), 1), b"B")
        old.setblocking(True)
        old.sendall(b"still here")
        self.assertEqual(self.drain(old, 10), b"still here")

    def test_not_ours(self) -> None:
        """What leads nowhere, or to nobody, is refused with its key."""
        for text, said in (
            ('[stream.s]\nendpoint = "tcp:1"\n', "stream.s: leads nowhere"),
            ('[stream.s]\nendpoint = "tcp:1"\npool = "x"\n', "no pool has this name"),
            (
                '[listener.w]\nendpoint = "tcp:1"\n[[route]]\npool = "p"\n',
                "has targets for streams",
            ),
            (
                '[stream.s]\nendpoint = "tcp:1"\nsni = { "a.b" = "p" }\n'
                'tls.certificate = "site.pem"\n',
                "ends it here",
            ),
        ):
            with self.assertRaises(Exception) as raised:
                parse(
                    f'{text}[pool.p]\ntargets = ["tcp://127.0.0.1:1"]\n',
                    str(self.folder / "x.toml"),
                )
            self.assertIn(said, str(raised.exception))
