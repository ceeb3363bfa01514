"""A proxy in memory (`tests.proxy.world`) whose route has a cache."""

from __future__ import annotations

from random import Random
from typing import Any

from lolly_tx.domain.caching.freshness import Rules
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.proxy.caching.desk import Desk
from lolly_tx.proxy.caching.store import Bounds, Store
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.middleware.cache import Caching
from lolly_tx.proxy.route import ToPool
from lolly_tx.wire.dates import http_date
from tests.proxy.world import Line, WorldTestCase

METHODS = frozenset((b"GET", b"HEAD"))


class CacheTestCase(WorldTestCase):
    """A world with a cache; the wall clock begins at 1,000,000,000."""

    def cached(
        self,
        *middleware: Any,
        bounds: dict[str, Any] | None = None,
        rules: dict[str, Any] | None = None,
        vary: tuple[bytes, ...] = (),
        dropped: frozenset[bytes] = frozenset(),
        outer: tuple[Any, ...] = (),
        **settings: Any,
    ) -> Any:
        """`middleware`: after the cache; `outer`: before it."""
        self.w = world = self.world("a", **settings)
        self.store = Store(
            "pages",
            Bounds(**{"size": 1 << 20, "entry": 1 << 16, **(bounds or {})}),
            Rules(**(rules or {})),
            now=world.clock.seconds,
            wall=self.wall,
        )
        self.desk = Desk(
            self.store, world.clock, random=Random(1), vary=vary, dropped=dropped
        )
        self.backends: list[Line] = []
        self.told: list[tuple[int, int, str]] = []
        caching = Caching("pages", self.desk, METHODS)
        links = [
            Link(f"m{n}", one) for n, one in enumerate((*outer, caching, *middleware))
        ]
        chain = Chain(
            links,
            ToPool(world.forwarder),
            lambda door, head, status, size, why: self.told.append((status, size, why)),
        )
        world.proxy.table = RouteTable([Pattern((), "/", chain)])
        return world

    def assert_counted(self, counts: dict[str, int]) -> None:
        """So many requests had these verdicts, and none another one."""
        found = {word: count for word, count in self.store.counted().items() if count}
        self.assertEqual(found, counts)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return 1e9 + float(self.w.clock.seconds())

    def date(self, ago: float = 0.0) -> str:
        """A date so many seconds ago."""
        return http_date(self.wall() - ago).decode()

    def ask(
        self, target: str = "/", *lines: str, method: str = "GET", host: str = "x"
    ) -> Line:
        """A client of its own sends a request."""
        client: Line = self.w.client()
        text = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
        client.send((text + "".join(line + "\r\n" for line in lines) + "\r\n").encode())
        return client

    def reply(
        self,
        backend: Line,
        body: bytes = b"ok",
        *lines: str,
        status: int = 200,
        length: bool = True,
    ) -> None:
        """A target answers."""
        head = f"HTTP/1.1 {status} R\r\nDate: {self.date()}\r\n"
        head += "".join(line + "\r\n" for line in lines)
        if length and status not in (204, 304):
            head += f"Content-Length: {len(body)}\r\n"
        backend.send(head.encode() + b"\r\n" + body)

    def fill(
        self,
        *lines: str,
        target: str = "/",
        body: bytes = b"ok",
        asked: tuple[str, ...] = (),
    ) -> bytes:
        """A client asks, and a target answers; what the client got."""
        client = self.ask(target, *asked)
        self.reply(self.backend(), body, *lines)
        got: bytes = client.take()
        return got

    def asked(self) -> list[tuple[Line, bytes]]:
        """What targets have been asked since the last time: a connection and a request each."""
        while self.w.connects():
            self.backends.append(self.w.accept())
        found = [(line, line.take()) for line in self.backends]
        return [(line, request) for line, request in found if request]

    def backend(self) -> Line:
        """The connection of a target by which the only request came since the last time; that is `request`."""
        [(line, self.request)] = self.asked()
        return line
