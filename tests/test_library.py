"""Tests of what lolly_tx itself exports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

import lolly_tx
from lolly_tx.domain.events import Event
from tests.net.connects import ADDRESS, RecorderFactory
from tests.net.fakes import MemoryTransport, Recorder

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text()
URLS = ("http://127.0.0.1:9001", "http://127.0.0.1:9002")


def in_a_new_process(program: str) -> str:
    """What `program` prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        text=True,
        timeout=60,
    ).stdout


class ExportTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Every promised name is there, and is what its module calls so."""
        self.assertEqual(sorted(lolly_tx.__all__), lolly_tx.__all__)
        for name in lolly_tx.__all__:
            value = getattr(lolly_tx, name)
            if name != "__version__":
                self.assertEqual(value.__name__, name)
        self.assertLessEqual(set(lolly_tx.__all__), set(dir(lolly_tx)))

    def test_types(self) -> None:
        """The type checker is told the same names, from the same modules."""
        tree = ast.parse(Path(lolly_tx.__file__).read_text())
        [told] = [node for node in tree.body if isinstance(node, ast.If)]
        homes = {
            alias.name: node.module
            for node in told.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.assertEqual(set(homes), set(lolly_tx.__all__) - {"__version__"})
        for name, home in homes.items():
            self.assertEqual(f"lolly_tx.{lolly_tx._HOMES[name]}", home)

    def test_unknown(self) -> None:
        """Another name is an AttributeError that says so."""
        with self.assertRaisesRegex(AttributeError, "'lolly_tx'.*'balance'"):
            lolly_tx.balance  # noqa: B018

    def test_cheap(self) -> None:
        """Importing it, or what is pure of it, imports neither Twisted nor treq."""
        program = "import sys, lolly_tx; lolly_tx.Target; print('twisted' in sys.modules, 'treq' in sys.modules)"
        self.assertEqual(in_a_new_process(program), "False False\n")

    def test_no_reactor(self) -> None:
        """Importing all of it installs no reactor."""
        program = (
            "import sys; from lolly_tx import *; "
            "print('twisted.internet.reactor' in sys.modules, balanced.__name__)"
        )
        self.assertEqual(in_a_new_process(program), "False balanced\n")


class PageTests(SynchronousTestCase):
    """The examples of docs/library.md work."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def example(self, name: str) -> Any:
        """What the example that defines `name` makes of it."""
        sources = [
            source
            for source in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
            if re.search(rf"^(?:async def|def|class) {name}\b", source, re.MULTILINE)
        ]
        self.assertEqual(len(sources), 1, name)
        self.assertLessEqual(sources[0].count("\n"), 24)
        names: dict[str, Any] = {"__name__": "example"}
        exec(compile(sources[0], "library.md", "exec"), names)
        return names[name]

    def accept(self, number: int = -1) -> Any:
        """A connect of the program comes about; the other end."""
        transport: Any = MemoryTransport(lenient=True)
        transport.abortConnection = transport.loseConnection
        transport.protocol = self.reactor.tcpClients[number][2].buildProtocol(ADDRESS)
        transport.protocol.makeConnection(transport)
        return transport

    def refuse(self) -> None:
        """The latest connect of the program is refused."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(
            self.reactor.connectors[-1], Failure(ConnectionRefusedError())
        )

    def asked(self, root: Any, path: bytes) -> bytes:
        """The request line that a target gets for a request for `path` to a site."""
        transport: Any = MemoryTransport(lenient=True, peerAddress=ADDRESS)
        client = root.buildProtocol(ADDRESS)
        client.makeConnection(transport)
        client.dataReceived(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        line, _, _ = self.accept().value().partition(b"\r\n")
        return bytes(line)

    def test_every_example(self) -> None:
        """There is none that is not tried here."""
        self.assertEqual(PAGE.count("```python\n"), 6)

    def test_names(self) -> None:
        """Every name of the table is exported, and every export is on the page."""
        for name in lolly_tx.__all__:
            if name != "__version__":
                self.assertIn(f"`{name}", PAGE.replace("`lolly_tx.", "`"), name)
        for name in re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE):
            self.assertIn(name, lolly_tx.__all__)

    def test_endpoint(self) -> None:
        """The endpoint connects to one of its targets, and to the next when that fails."""
        connecting = self.example("connect")(self.reactor, Recorder)
        self.assertIn(self.reactor.tcpClients[0][0], ("10.0.0.1", "10.0.0.2"))
        self.refuse()
        self.refuse()
        self.assertEqual(self.reactor.tcpClients[2][0], "10.0.0.3")
        self.accept()
        self.assertIsInstance(self.successResultOf(connecting), Recorder)

    def test_client(self) -> None:
        """The program prints what a target answers."""
        said: list[Any] = []
        main = self.example("main")
        main.__globals__["print"] = lambda *words: said.append(words)
        done = Deferred.fromCoroutine(main(self.reactor, *URLS))
        target = self.accept()
        self.assertIn(b"GET / HTTP/1.1\r\n", target.value())
        target.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self.successResultOf(done)
        self.assertEqual(said, [(200, "hi")])

    def test_checker_and_tracker(self) -> None:
        """Checks and failures of traffic take a target out, and the program hears of it."""
        heard: list[Event] = []
        backends = self.example("Backends")(self.reactor, URLS, heard.append)
        self.addCleanup(backends.checker.stop)
        for _ in URLS:  # one in each turn, where a turn takes long
            self.reactor.advance(0)
        for number, status in enumerate((b"503 Busy", b"200 OK")):
            self.accept(number).protocol.dataReceived(
                b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status
            )
        self.assertEqual([(e.fact, e.new) for e in heard], [("health", "down")])

        def ask(send: Any) -> Deferred[Any]:
            return Deferred.fromCoroutine(backends.ask(send))

        good = ask(lambda host, port: succeed((host, port)))
        self.assertIn(self.successResultOf(good)[1], (9001, 9002))
        for _ in range(3):
            asking = ask(lambda host, port: fail(ConnectionRefusedError()))
            self.failureResultOf(asking, lolly_tx.ProxyError)
        nobody = ask(lambda host, port: succeed(port))
        self.failureResultOf(nobody, lolly_tx.AllDown)
        nodes = backends.endpoint.pool.nodes.values()
        self.assertEqual([node.in_flight for node in nodes], [0, 0])
        self.assertEqual(sum(node.stats.failures for node in nodes), 3)

    def test_health_map(self) -> None:
        """An address that is down is passed over at once."""
        connects = self.example("Connects")(self.reactor)
        resolver = connects.health_map.resolver
        resolver.resolve = lambda name: succeed(["10.0.0.7"])
        for _ in range(3):
            connecting = Deferred.fromCoroutine(connects.connect(RecorderFactory()))
            self.refuse()
            self.failureResultOf(connecting, lolly_tx.ProxyError)
        Deferred.fromCoroutine(connects.connect(RecorderFactory()))
        self.assertEqual(len(self.reactor.tcpClients), 3)
        self.assertEqual(self.reactor.unixClients[0][0], "/run/db.sock")

    def test_site(self) -> None:
        """The resource answers below its path, without that path."""
        self.successResultOf(self.example("serve")(self.reactor, URLS))
        [(_, site, *_)] = self.reactor.tcpServers
        self.assertEqual(self.asked(site, b"/api/x%2Fy"), b"GET /x%2Fy HTTP/1.1")

    def test_klein(self) -> None:
        """So it does in a klein app, here with the path."""
        app = self.example("app")(self.reactor, URLS)
        site = Site(app.resource(), reactor=self.reactor)
        self.assertEqual(self.asked(site, b"/api/x?y"), b"GET /api/x?y HTTP/1.1")
