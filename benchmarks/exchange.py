"""What our own code costs for one small exchange, without the kernel.

A door in, routing, the pool, a door out and the answer, between transports that do
nothing. "known" heads repeat their fields, as clients on a persistent connection mostly
do, "new" ones differ in every request and every answer, so that nothing remembered
helps. Prints microseconds and the ratio to the first row; fails nothing.

With `--access-log` it compares exchanges with and without one, in turns, and prints what a line
adds; the requests are those of the browser.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.round_robin import RoundRobin
from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.routing.routes import Pattern, RouteTable
from lolly_tx.domain.target import Target
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.http1.client import Http1Client
from lolly_tx.net.http1.listening import http1_acceptor
from lolly_tx.net.http1.shared import Http1Settings
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.upstreams import Upstream, UpstreamLimits, Upstreams
from lolly_tx.proxy.endings import Ended, Endings
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.proxy.records.accesslog import AccessLog
from lolly_tx.proxy.records.lineformat import LineFormat
from lolly_tx.proxy.route import ToPool
from lolly_tx.wire.http1 import ResponseReader

ROUNDS, EXCHANGES, TURN = 7, 10000, 250

SMALL = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n%b\r\n"
BROWSER = (
    b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux"
    b" x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/"
    b"xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\nCookie: session=abcdef0123456789;"
    b" theme=dark\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
    b"Sec-Fetch-Site: none\r\nPriority: u=0, i\r\nX-Request: %b\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 20:48:42 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 13\r\n%b\r\nhello world!\n"
)


class Nowhere:
    """A transport that forgets what it is given."""

    secure = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Nothing to do."""

    def write(self, data: bytes) -> None:
        """Forget it."""

    def pauseProducing(self) -> None:
        """Nothing to do."""

    def resumeProducing(self) -> None:
        """Nothing to do."""


class Loopback:
    """An endpoint that connects to `Nowhere`. `made`: all connections, where somebody wants to find them."""

    def __init__(self, made: list[Any] | None = None) -> None:
        self._made = made

    def connect(self, factory: Any) -> Deferred[Any]:
        """At once."""
        protocol = factory.buildProtocol(None)
        if self._made is not None:
            self._made.append(protocol)
        protocol.makeConnection(Nowhere())
        return succeed(protocol)


class NoEvents:
    """A sink for availability events."""

    def emit(self, event: Any) -> None:
        """Nothing changes here."""


def listening(
    make: Callable[..., Acceptor],
    clock: Clock,
    endings: Endings | None = None,
    behind: Callable[[Any], Any] = lambda end: end,
    connections: list[Any] | None = None,
    **more: Any,
) -> Acceptor:
    """The listener of a proxy with two targets, made by `make`.

    `clock`: only for what has to wait. `endings`: where exchanges are put. `behind`: puts something before the
    route's end. `connections`: where those to targets are put.
    """
    deadlines = Deadlines(clock, time.monotonic)
    pool = Pool(
        "bench",
        [Target(f"t{n}", f"http://127.0.0.1:{n}") for n in (9000, 9001)],
        balancer=RoundRobin(random=Random(1)),
        accrual=ConsecutiveFailures,
        thresholds=Thresholds(),
        now=time.monotonic(),
        events=NoEvents(),
        random=Random(1),
    )
    to_target = partial(Http1Client, ResponseReader())

    def connect_to(target: Target) -> Upstream:
        return Upstream(
            Loopback(connections),
            to_target,
            deadlines=deadlines,
            limits=UpstreamLimits(),
        )

    forwarder = Forwarder(
        pool,
        upstreams=Upstreams(connect_to),
        policy=Policy(budget=RetryBudget()),
        deadlines=deadlines,
        clock=clock,
        wall=time.time,
        random=Random(1),
        endings=endings,
    )
    introduction = Introduction(TrustedPeers(()), hop=b"0123456789abcdef")
    return make(
        "web",
        Proxy(RouteTable([Pattern((), "/", behind(ToPool(forwarder)))]), introduction),
        secure=False,
        deadlines=deadlines,
        census=Census(0, 0),
        settings=Http1Settings(),
        **more,
    )


def client(endings: Endings | None = None) -> Any:
    """The door of a client. `endings`: as of `listening`."""
    acceptor = listening(http1_acceptor, Clock(), endings)
    door = acceptor.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
    door.makeConnection(Nowhere())
    return door


def cost(requests: list[bytes], answers: list[bytes]) -> float:
    """Microseconds for one exchange, the best of many short turns: others may be at work on this machine."""
    door = client()
    turns = [slice(n, n + TURN) for n in range(0, len(requests), TURN)]
    best = min(
        seconds_of(door, requests[turn], answers[turn])
        for _ in range(ROUNDS)
        for turn in turns
    )
    return best / TURN * 1e6


def seconds_of(door: Any, requests: list[bytes], answers: list[bytes]) -> float:
    """How long all of them take."""
    started = time.perf_counter()
    for request, answer in zip(requests, answers, strict=True):
        door.dataReceived(request)
        door.exchange.client.dataReceived(answer)
    return time.perf_counter() - started


def heads(build: Callable[[int], bytes], new: bool) -> list[bytes]:
    """So many heads: all the same, or each different."""
    return [build(n if new else 0) for n in range(EXCHANGES)]


def recorder(format: str) -> Endings:
    """Who writes a line of each exchange, to nowhere."""
    log = AccessLog(lambda _: None, LineFormat(format), now=time.monotonic)

    def written(ended: list[Ended]) -> None:
        epoch = time.time() - time.monotonic()
        log.record_ended(ended, epoch, lambda peer, _: peer.address)

    endings = Endings(Clock())
    endings.go_by((written,))
    return endings


def compare_access_log() -> None:
    """Print what a line of each format adds to an exchange, the best of many turns."""
    doors = {"none": client()}
    for format in ("combined", "json", "$time $client $method $uri $status $seconds"):
        doors[format] = client(recorder(format))
    print(f"{'heads':8} {'access log':44} {'us':>6} {'more':>6}")
    for new in (False, True):
        requests = heads(lambda n: BROWSER % (b"page%d" % n, b"%d" % n), new)
        answers = heads(lambda n: ANSWER % (b"X-Answer: %d\r\n" % n), new)
        best = dict.fromkeys(doors, float("inf"))
        for start in range(0, EXCHANGES, TURN):
            turn = slice(start, start + TURN)
            for name, door in doors.items():
                spent = seconds_of(door, requests[turn], answers[turn])
                best[name] = min(best[name], spent / TURN * 1e6)
        for name, spent in best.items():
            more = spent - best["none"]
            print(f"{'new' if new else 'known':8} {name:44} {spent:6.2f} {more:6.2f}")


def main() -> None:
    """Print the table."""
    if sys.argv[1:] == ["--access-log"]:
        compare_access_log()
        return
    kinds: dict[str, Callable[[int], bytes]] = {
        "small": lambda n: SMALL % (b"X-Request: %d\r\n" % n if n else b""),
        "browser": lambda n: BROWSER % (b"page%d" % n, b"%d" % n),
    }
    print(f"{'request':10} {'heads':8} {'us':>6} {'ratio':>6}")
    first = 0.0
    for name, build in kinds.items():
        for new in (False, True):
            answers = heads(lambda n: ANSWER % (b"X-Answer: %d\r\n" % n), new)
            spent = cost(heads(build, new), answers)
            first = first or spent
            word = "new" if new else "known"
            print(f"{name:10} {word:8} {spent:6.2f} {spent / first:6.2f}")


if __name__ == "__main__":
    main()
