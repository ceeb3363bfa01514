"""Files behind a listener in memory: clients, a root on the disk, threads that wait for the test."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.routing.files import TryList
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.files.finding import Spec
from lolly_tx.net.http1.shared import Http1Settings
from lolly_tx.net.http2.listening import http_acceptor
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.proxy.files.end import FilesEnd
from lolly_tx.proxy.files.store import FileStore, Shelf
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.wire.mediatypes import MediaTypes
from tests.net.files.fakes import FakeThreads
from tests.proxy.world import Line

WALL = 1800000000.0
"""2027-01-15: later than any file of a test, but for those that say so."""


class SiteTestCase(SynchronousTestCase):
    """Requests for the files of a folder. `told`: status, body bytes and why of each answer."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve() / "www"
        self.root.mkdir()
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, self.clock.seconds)
        self.deadlines.start()
        self.threads = FakeThreads()
        self.store = FileStore()
        self.wall = WALL
        # What a file's age is measured with.
        self.patch(time, "time", lambda: self.wall)
        self.supplies = FileSupplies(
            self.clock,
            self.deadlines,
            self.threads,
            self.store,
            Random(1),
            lambda: self.wall + self.clock.seconds(),
        )
        self.addCleanup(self.supplies.close)
        self.told: list[tuple[int, int, str]] = []
        self.seconds: list[float] = []
        self.own = OwnAnswers(self._note)
        self.serve()

    def _note(
        self,
        door: Any,
        head: Any,
        status: int,
        size: int,
        why: str,
        *identity: Any,
        route: str,
        seconds: float = 0.0,
    ) -> None:
        self.told.append((status, size, why))
        self.seconds.append(seconds)

    def end(self, named: dict[str, Any], **spec: Any) -> FilesEnd:
        """The end for a root."""
        made = Spec(os.fsencode(self.root), (b"index.html",), TryList())
        named.setdefault("shelf", Shelf())
        named.setdefault("types", MediaTypes())
        return FilesEnd(
            attrs.evolve(made, **spec), self.supplies, self.own, route="r", **named
        )

    def serve(
        self, http2: bool = False, named: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        """Serve by these settings."""
        self.files = self.end(named or {}, **spec)
        self.listen(self.files, http2)

    def listen(self, end: RouteEnd, http2: bool = False) -> None:
        """Serve what that end does."""
        self.proxy = Proxy(
            RouteTable([Pattern((), "/", end)]),
            Introduction(TrustedPeers([])),
            self._note,
            self.own,
        )
        self.acceptor = http_acceptor(
            "web",
            self.proxy,
            secure=False,
            deadlines=self.deadlines,
            census=Census(0, 0),
            settings=Http1Settings(),
            http2=Http2Settings() if http2 else None,
        )

    def write(self, name: str, content: bytes, modified: float = 1000.25) -> Path:
        """A file that was last changed then."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (modified, modified))
        return path

    def client(self) -> Line:
        """A client's connection."""
        line = Line(self.clock)
        line.protocol = self.acceptor.buildProtocol(line.peerAddr)
        line.protocol.makeConnection(line)
        return line

    def ask(
        self, target: str, *fields: str, method: str = "GET", line: Line | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """What a request gets: status, fields by lower-case name, body."""
        line = line or self.client()
        more = "".join(f"{one}\r\n" for one in fields)
        line.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        self.settle()
        return self.read(line.take())

    def settle(self) -> None:
        """Let threads and turns have theirs."""
        while self.threads.calls:
            self.threads.run()
            self.clock.advance(0)
        self.clock.advance(0)

    def pass_time(self) -> None:
        """A turn, as `tests.proxy.world.World` has them."""
        self.settle()

    def read(self, answer: bytes) -> tuple[int, dict[str, str], bytes]:
        """An answer, taken apart."""
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields: dict[str, str] = {}
        for one in lines:
            name, _, value = one.partition(": ")
            self.assertNotIn(name.lower(), fields)
            fields[name.lower()] = value
        return int(first.split(" ")[1]), fields, body
