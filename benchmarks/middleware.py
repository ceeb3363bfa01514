"""What middleware costs one small exchange, without the kernel.

The exchanges are those of `benchmarks/exchange.py`, whose heads repeat. Each row is a route behind one middleware, with
the settings of its example in docs/middleware.md, but that `access` and `rate_limit` let it pass and `cache` has the
answer; the last is the usual three together. Prints microseconds, what is more than without any, and a ratio; rows take
turns, each in a process of its own, and the best of many counts. A browser's longer heads: `--browser`. As the table
of the page: `--page`.

Rows of types that answer such a request themselves (401 of `basic_auth` and `jwt`) end without a target, and may be
cheaper than none.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import execute
from twisted.internet.task import Clock
from twisted.logger import Logger

from benchmarks.exchange import ANSWER, BROWSER, SMALL, Nowhere, listening
from lolly_tx.config.load import parse
from lolly_tx.config.middleware.by_type import BUILT_IN
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.http1.listening import http1_acceptor
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.asked import Along
from lolly_tx.proxy.caching.caches import Caches
from lolly_tx.proxy.chains.chain import Chain
from lolly_tx.proxy.chains.fielddoor import FieldDoor
from lolly_tx.proxy.chains.link import Link
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.middleware.deps import MiddlewareDeps
from lolly_tx.service.registry import Registry

TURNS, EXCHANGES = 240, 75
USUAL = ("headers", "access", "rate_limit")
PAGE = Path(__file__).parents[1] / "docs" / "middleware.md"
REST = """
[listener.other]
endpoint = "tcp:8081"
[[route]]
pool = "api"
[pool.api]
targets = ["http://127.0.0.1:9001"]
"""
PASSING = {
    "access": '[middleware.m]\ntype = "access"\nallow = ["127.0.0.0/8"]\n',
    "rate_limit": '[middleware.m]\ntype = "rate_limit"\nrate = "1000000/s"\n',
}
"""In place of examples that refuse."""
STORED = ANSWER % b"Cache-Control: max-age=315360000\r\n"
"""For whom answers that may be kept matter."""
TOGETHER = """
[middleware.m1]
type = "headers"
request = { set = { X-From = "proxy" } }
response = { set = { X-Frame-Options = "DENY" } }
[middleware.m2]
type = "access"
allow = ["127.0.0.0/8"]
[middleware.m3]
type = "rate_limit"
rate = "1000000/s"
"""


def links(text: str, wanted: tuple[str, ...], folder: str) -> list[Link]:
    """The middlewares of those types that the tables of `text` describe."""
    config = parse(REST + text, f"{folder}/lolly.toml")
    clock, now = Clock(), time.monotonic
    made = []
    for name, one in config.middlewares.items():
        if one.type not in wanted:
            continue
        deps = MiddlewareDeps(
            name=name,
            reactor=clock,
            clock=clock,
            now=now,
            wall=time.time,
            random=Random(1),
            log=Logger(),
            config=config,
            pool=lambda _: Answer(200),
            client_of=Introduction(TrustedPeers(())).client_of,
            in_thread=execute,
            caches=Caches(clock, now, time.time),
        )
        made.append(Link(name, Registry().middleware(one.type, one.settings, deps)))
    return made


def door(before: list[Link]) -> Any:
    """The door of a client whose requests pass these."""

    def behind(end: Any) -> Any:
        if not before:
            return end
        along = Along(
            "* /", client_of=Introduction(TrustedPeers(())).client_of, wall=time.time
        )
        return Chain(before, end, lambda *told: None, along)

    connections: list[Any] = []
    acceptor = listening(
        http1_acceptor, Clock(), behind=behind, connections=connections
    )
    made = acceptor.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
    made.makeConnection(Nowhere())
    return made, connections


def seconds_of(
    door: Any, connections: list[Any], request: bytes, answer: bytes
) -> float:
    """How long some exchanges take. `connections`: those to targets."""
    started = time.perf_counter()
    for _ in range(EXCHANGES):
        door.dataReceived(request)
        exchange = door.exchange
        while exchange is not None and exchange.__class__ is not Exchange:
            inner = exchange.exchange if exchange.__class__ is FieldDoor else None
            exchange = inner or getattr(exchange, "_sink", None)
        if exchange is not None:
            exchange.client.dataReceived(answer)
        elif door.exchange is not None:  # somebody else has asked a target for it
            for one in connections:
                if one.sink is not None:
                    one.dataReceived(answer)
        if door.exchange is not None:
            raise RuntimeError("a request was not answered")
    return time.perf_counter() - started


class Row:
    """One of the table, in a process of its own: the interpreter fits code to the types it meets there."""

    def __init__(self, made: Callable[[], Any], request: bytes, answer: bytes) -> None:
        ours, its = socket.socketpair()
        self._line = ours
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            _measure(its, made, request, answer)
            os._exit(0)
        its.close()

    def seconds(self) -> float:
        """Of so many exchanges. Raises RuntimeError where one cannot be measured here."""
        self._line.sendall(b"!")
        said = self._line.recv(1000).decode()
        try:
            return float(said)
        except ValueError:
            raise RuntimeError(said) from None

    def stop(self) -> None:
        """Let it end."""
        self._line.sendall(b".")  # its siblings have this end of the line, too
        os.waitpid(self.pid, 0)


def _measure(
    line: socket.socket, made: Callable[[], Any], request: bytes, answer: bytes
) -> None:
    door: Any = None
    while line.recv(1) == b"!":
        try:
            door = door or made()
            said = repr(seconds_of(*door, request, answer))
        except Exception as error:  # one that needs a reactor, or a package
            said = f"{error.__class__.__name__}: {error}"
        line.sendall(said.encode())


def main() -> None:
    """Print the table."""
    request = BROWSER % (b"page", b"0") if "--browser" in sys.argv else SMALL % b""
    examples = re.findall(
        r"```toml\n(.*?)```", PAGE.read_text().partition("## Types")[2], re.DOTALL
    )
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("404.html", "5xx.html"):
            Path(folder, name).write_text("a page")

        def row(text: str, *types: str) -> Row:
            answer = STORED if types == ("cache",) else ANSWER % b""
            return Row(lambda: door(links(text, types, folder)), request, answer)

        rows["none"] = Row(lambda: door([]), request, ANSWER % b"")
        for type in BUILT_IN:
            for example in examples:
                if f'type = "{type}"' in example:
                    rows[type] = row(PASSING.get(type, example), type)
                    break
        rows[" + ".join(USUAL)] = row(TOGETHER, *USUAL)
        best: dict[str, float] = dict.fromkeys(rows, float("inf"))
        broken: dict[str, str] = {}
        for _ in range(TURNS):
            for name, one in rows.items():
                if name in broken:
                    continue
                try:
                    best[name] = min(best[name], one.seconds() / EXCHANGES * 1e6)
                except RuntimeError as error:
                    broken[name] = str(error)
        for one in rows.values():
            one.stop()
    report(best, broken, "--page" in sys.argv)


def report(best: dict[str, float], broken: dict[str, str], page: bool) -> None:
    """Print the table. `page`: for docs/middleware.md, which has no microseconds: they are of one machine."""
    none = best["none"]
    if page:
        print("| type | times an exchange without any |\n|---|---|")
        for name, spent in sorted(best.items()):
            if name not in broken and name != "none":
                print(f"| `{name.replace(' + ', '`, `')}` | {spent / none:.1f} |")
        return
    print(f"{'middleware':36} {'us':>6} {'more':>6} {'ratio':>6}")
    for name, spent in best.items():
        if name in broken:
            print(f"{name:36} {broken[name]}")
        else:
            print(f"{name:36} {spent:6.2f} {spent - none:6.2f} {spent / none:6.2f}")


if __name__ == "__main__":
    main()
