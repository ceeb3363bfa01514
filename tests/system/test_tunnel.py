"""A tunnel over real sockets and TLS: a server, connectors and services in one process, and clients of the server."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import trustme
from twisted.internet.defer import execute
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from lolly_tx.config import load
from lolly_tx.service.build import build
from lolly_tx.service.changes.reload import Reloader
from tests.net.fakes import SteppingTestCase, reset
from tests.proxy.forwardworld import USERS
from tests.system.test_stream_ends import End

BULK = 10 << 20

SERVER = """
[listener.web]
endpoint = "tcp:0:interface=127.0.0.1"
[tunnel.edge]
endpoint = "tcp:0:interface=127.0.0.1"
tls.certificate = "site.pem"
heartbeat = "5s"
[tunnel.edge.connectors.$name]
secret = "sixteen letters!"
services = ["web", "echo"]
hosts = ["home.example.com"]
ports = [$port]
"""
CONNECTOR = """
[connector.$name]
server = "tls:127.0.0.1:$tunnel"
secret = "sixteen letters!"
tls.ca = "ca.pem"
heartbeat = "5s"
services = { web = "tcp:127.0.0.1:$web", echo = "tcp:127.0.0.1:$echo" }
publish = [{ service = "web", host = "home.example.com" }, { service = "echo", port = $port }]
"""


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Web(Protocol):
    """Answers every GET, with its factory's name."""

    def connectionMade(self) -> None:
        self.factory.made.append(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        for _ in range(data.count(b"\r\n\r\n")):
            self.factory.served += 1
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """Sends back what comes, and a last word behind it."""

    def connectionMade(self) -> None:
        self.factory.made.append(self)
        self.lost: Any = None

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        assert self.transport is not None
        self.transport.write(b"bye")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class TunnelTests(SteppingTestCase):
    def setUp(self) -> None:
        """A folder with certificates, and two services."""
        super().setUp()
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(self.folder / "site.pem")
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.web, self.echo = self.listen(Web), self.listen(Echo)
        self.name = f"home-{os.getpid()}-{self.id()[-20:]}".replace(".", "-")
        self.port = free_port()

    def listen(self, protocol: Any) -> Any:
        """A port behind which such protocols are."""
        factory: Any = Factory.forProtocol(protocol)
        factory.made, factory.served = [], 0
        endpoint = serverFromString(self.reactor, "tcp:0:interface=127.0.0.1")
        port = self.successResultOf(endpoint.listen(factory))
        self.addCleanup(port.stopListening)
        return port

    def write(self, name: str, text: str) -> str:
        """A configuration file."""
        values = {
            "$name": self.name,
            "$port": str(self.port),
            "$web": str(self.web.getHost().port),
            "$echo": str(self.echo.getHost().port),
        }
        if hasattr(self, "server"):
            place = self.server.listeners.places["tunnel edge"]
            values["$tunnel"] = str(place.port.getHost().port)
        for key, value in values.items():
            text = text.replace(key, value)
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def start(self, name: str, text: str) -> Any:
        """A proxy of that configuration."""
        service = build(self.reactor, load(self.write(name, text), {}))
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def begin(self, connectors: int = 1) -> list[Any]:
        """The server, and so many connectors."""
        self.server = self.start("server.toml", SERVER)
        found = [self.start(f"c{n}.toml", CONNECTOR) for n in range(connectors)]
        self.spin(lambda: self.connected() == connectors, "connectors")
        return found

    def connected(self) -> int:
        """How many connectors the server has."""
        [shown] = self.server.tunnels.shown()["tunnels"]["edge"].values()
        return len(shown["connected"])

    def connect(self, place: str) -> socket.socket:
        """A client of the server."""
        host = self.server.listeners.places[place].port.getHost()
        made = socket.create_connection((host.host, host.port), timeout=5)
        self.addCleanup(made.close)
        return made

    def get(self, host: str = "home.example.com") -> bytes:
        """The answer to a request, and nothing behind it."""
        client = self.connect("web")
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode())
        answer = self.drain(client)
        client.close()
        return answer

    def test_host(self) -> None:
        """A published host is served; another is 404, and without its connector it is 503, until it is back."""
        [connector] = self.begin()
        self.assertTrue(self.get().endswith(b"hello"))
        self.assertIn(b" 404 ", self.get("nobody.example.com"))
        connector.tunnels.stop()
        self.spin(lambda: not self.connected(), "the connector's end")
        answer = self.get()
        self.assertIn(b" 503 ", answer)
        self.assertIn(b"Retry-After", answer)
        connector.tunnels.start()
        self.spin(self.connected, "the connector")
        self.assertTrue(self.get().endswith(b"hello"))

    def test_available(self) -> None:
        """Its target is available while its connector is connected, for all that ask; nothing is held against it."""
        [connector] = self.begin()
        pool = self.server.pools[f"tunnel.{self.name}.home.example.com"]
        [node] = pool.nodes.values()
        now = self.server.now
        self.assertEqual(len(pool.available(now())), 1)
        connector.tunnels.stop()
        self.spin(lambda: not self.connected(), "the connector's end")
        self.assertEqual(pool.available(now()), ())
        self.assertEqual(node.why_not(), "not connected")
        self.assertIn(b" 503 ", self.get())
        self.assertEqual((node.stats.requests, node.ejection), (0, "up"))
        connector.tunnels.start()
        self.spin(self.connected, "the connector")
        self.assertEqual(len(pool.available(now())), 1)
        told = [one.new for one in node.history if one.fact == "tunnel"]
        self.assertEqual(told, ["up", "down", "up"])

    def test_port(self) -> None:
        """Bytes of a published port go through a slow reader as they were; ends and resets pass as such."""
        self.begin()
        place = f"stream tunnel.{self.name}.{self.port}"
        client = self.connect(place)
        data = os.urandom(1 << 20) * (BULK >> 20)
        sent, got = 0, hashlib.sha256()
        size = rounds = 0
        client.setblocking(False)

        def step() -> bool:
            nonlocal sent, size, rounds
            rounds += 1
            try:
                sent += client.send(data[sent : sent + 65536]) if sent < BULK else 0
            except BlockingIOError:
                pass
            if sent == BULK or not rounds % 8:  # it reads late, and slowly before
                try:
                    piece = client.recv(1 << 18 if sent == BULK else 4096)
                    got.update(piece)
                    size += len(piece)
                except BlockingIOError:
                    pass
            return size == BULK

        self.spin(step, "all of it")
        self.assertEqual(got.digest(), hashlib.sha256(data).digest())
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(client), b"bye")
        other = self.connect(place)
        other.sendall(b"x")
        self.drain(other, 1)
        service = self.echo.factory.made[-1]
        reset(other)
        self.spin(lambda: service.lost, "the reset")
        third = self.connect(place)
        third.sendall(b"x")
        self.drain(third, 1)
        self.echo.factory.made[-1].transport.abortConnection()
        with self.assertRaises(ConnectionResetError):
            self.drain(third)

    def test_own_domains(self) -> None:
        """Two connectors serve their own hosts, and a forward proxy at the far end lets clients out from there."""
        other = self.name + "-b"
        self.server = self.start(
            "server.toml",
            SERVER
            + f"[tunnel.edge.connectors.{other}]\n"
            + 'secret = "0123456789abcdef"\nservices = ["web", "out"]\n'
            + f'hosts = ["away.example.com"]\nports = [{free_port()}]\n',
        )
        [port] = self.server.config.tunnels["edge"].connectors[other].ports
        proxy = free_port()
        away = CONNECTOR.replace("sixteen letters!", "0123456789abcdef")
        away = away.replace("home.example.com", "away.example.com")
        away = away.replace("connector.$name", f"connector.{other}")
        away = away.replace('echo = "tcp:127.0.0.1:$echo"', 'out = "forward:office"')
        away = away.replace('"echo", port = $port', f'"out", port = {port}')
        away += (
            f'[forward.office]\nendpoint = "tcp:{proxy}:interface=127.0.0.1"\n'
            'allow = ["127.0.0.1"]\nports = ["any"]\nallow_targets = ["127.0.0.0/8"]\n'
        )
        home = self.start("home.toml", CONNECTOR)
        self.start("away.toml", away)
        self.spin(
            lambda: all(
                one["connected"]
                for one in self.server.tunnels.shown()["tunnels"]["edge"].values()
            ),
            "both",
        )
        self.assertTrue(self.get("home.example.com").endswith(b"hello"))
        self.assertTrue(self.get("away.example.com").endswith(b"hello"))
        client = self.connect(f"stream tunnel.{other}.{port}")
        there = f"127.0.0.1:{self.web.getHost().port}"
        client.sendall(f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.drain(client, 1)
        self.assertIn(b" 200 ", got)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", self.drain(client, 40))
        home.tunnels.stop()
        self.spin(lambda: b" 503 " in self.get("home.example.com"), "its end")
        self.assertTrue(self.get("away.example.com").endswith(b"hello"))

    def test_https(self) -> None:
        """A published host is served by a listener with TLS as by any other; a name that nobody has is not found."""
        self.server = self.start(
            "server.toml",
            SERVER
            + '[listener.secure]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            + 'tls.certificate = "site.pem"\n',
        )
        self.start("c.toml", CONNECTOR)
        self.spin(lambda: self.connected() == 1, "the connector")
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        for host, status in (("home", b" 200 "), ("nobody", b" 404 ")):
            client = End(self.connect("secure"), context, server=False)

            def step(client: End = client) -> bool:
                client.step()
                return client.ready

            self.spin(step, "the handshake")
            head = f"GET / HTTP/1.1\r\nHost: {host}.example.com\r\nConnection: close\r\n\r\n"
            client.send(head.encode())

            def over(client: End = client) -> bool:
                client.step()
                return client.over

            self.spin(over, "the answer")
            self.assertIn(status, client.got)

    def test_proxy_with_users(self) -> None:
        """A forward proxy at the far end asks clients of the server who they are, and they go out from there."""
        proxy = free_port()
        self.server = self.start("server.toml", SERVER)
        self.start(
            "c.toml",
            CONNECTOR.replace("tcp:127.0.0.1:$echo", "forward:office")
            + f'[forward.office]\nendpoint = "tcp:{proxy}:interface=127.0.0.1"\n'
            + f'{USERS}ports = ["any"]\nallow_targets = ["127.0.0.0/8"]\n',
        )
        self.spin(lambda: self.connected() == 1, "the connector")
        there = f"127.0.0.1:{self.web.getHost().port}"
        for credentials, status in (
            ("", b" 407 "),
            ("alice:wrong", b" 407 "),
            ("alice:secret", b" 200 "),
        ):
            client = self.connect(f"stream tunnel.{self.name}.{self.port}")
            coded = base64.b64encode(credentials.encode()).decode()
            says = f"Proxy-Authorization: Basic {coded}\r\n" if credentials else ""
            head = f"GET http://{there}/ HTTP/1.1\r\nHost: {there}\r\n{says}\r\n"
            client.sendall(head.encode())
            self.assertIn(status, self.drain(client, 13), credentials)
        self.assertEqual(self.web.factory.served, 1)

    def test_killed(self) -> None:
        """While one of two connectors is cut, no request fails."""
        first, _ = self.begin(2)
        answers = []
        for number in range(60):
            if number == 20:
                [[dialing]] = first.tunnels.connectors.values()
                dialing.connection.transport.abortConnection()
            answers.append(self.get().partition(b"\r\n")[0])
        self.assertEqual(set(answers), {b"HTTP/1.1 200 OK"})
        self.spin(lambda: self.connected() == 2, "it to come back")

    def test_reload(self) -> None:
        """What is permitted changes for who is connected, whose connection stays; a service that is down is 502."""
        self.begin()
        self.get()
        path = self.write("server.toml", SERVER.replace('"web", ', ""))
        reloader = Reloader(self.server, lambda: load(path, {}), in_thread=execute)
        done = reloader.reload()
        self.spin(lambda: done.called, "the reload")
        self.assertEqual(self.connected(), 1)
        self.assertIn(b" 503 ", self.get())
        self.write("server.toml", SERVER)
        done = reloader.reload()
        self.spin(lambda: done.called, "the reload")
        self.assertTrue(self.get().endswith(b"hello"))
        self.assertEqual(self.connected(), 1)
        self.web.stopListening()
        for made in self.web.factory.made:
            made.transport.abortConnection()
        self.rounds()
        self.assertIn(b" 502 ", self.get())
