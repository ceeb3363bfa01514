"""Random events on a proxy in memory: one record per exchange, never an exception."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.main import CONNECTION_LOST
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.http1.shared import ClientTimeouts
from lolly_tx.net.upstreams import UpstreamLimits
from tests.net.test_tunnel import AGREED
from tests.net.test_tunnel import ASK as UPGRADE
from tests.proxy.configured import configured
from tests.proxy.world import GET, OK, Line, World, answer, chunked, get, post

REQUESTS = (
    GET,
    get("/", "Connection: close\r\n"),
    get(version="1.0"),
    b"HEAD" + GET[3:],
    post(6, b"abcdef"),
    post(6, b"abcdef", method="PUT", extra="Expect: 100-continue\r\n"),
    post(90000, b"x" * 90000, method="PUT"),
    chunked(b"abc", b"x" * 5000, end=b"0\r\nX-T: 1\r\n\r\n", method="PUT"),
    UPGRADE,
    b"nonsense\r\n\r\n",
)
RESPONSES = (
    OK,
    answer(b"busy", 503),
    answer(b"x" * 90000),
    answer(b"bye", extra="Connection: close\r\n"),
    b"HTTP/1.1 204 N\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 H\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 503 S\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
    AGREED + b"frames",
    b"HTTP/9.9 what\r\n\r\n",
)
CUTS = (100, 100, 100, 100, 99, 90, 50, 5)
"""Per cent of a message that come in the first of two reads."""
RARE = (
    "client refuse lose lose stick free free wait wait drain shut enable enable".split()
)


def events(random: Random, count: int) -> Iterator[tuple[Any, ...]]:
    """A script: mostly requests and answers, sometimes something else."""
    for _ in range(count):
        name = random.choice(("ask", "ask", "accept", "say", "say", "rare"))
        who, node = random.randrange(3), random.choice("ab")
        yes = random.random() < 0.5
        if name == "rare":
            name = random.choice(RARE)
        yield (
            name,
            *{
                "client": (who,),
                "ask": (who, random.choice(REQUESTS), random.choice(CUTS)),
                "accept": (node,),
                "refuse": (node, yes),
                "say": (who, random.choice(RESPONSES), random.choice(CUTS)),
                "lose": (yes, who, random.choice(("end", "reset"))),
                "stick": (yes, who),
                "free": (yes, who),
                "wait": (random.choice((0.0, 0.2, 3.0)),),
                "drain": (),
                "shut": (who,),
                "enable": (node, random.random() < 0.7),
            }[name],
        )


SEVERAL = """[pool.app.retry]
tries = 3
on = ["connect", "timeout", "reset", "503"]
backoff = "300ms"
[pool.app.timeout]
try = "800ms"
total = "4s"
[pool.app.hedge]
percentile = 0.5
least = "100ms"
[pool.app.queue]
size = 2
timeout = "1s"
"""
"""A pool with all that can happen to an exchange."""


class Plain:
    """Makes worlds whose times are short."""

    def world(self, *nodes: str, **more: Any) -> World:
        more.setdefault("on", ("connect", "timeout", "reset", "503"))
        return World(
            *nodes,
            upstream=UpstreamLimits(read=2.0, write=2.0, idle_timeout=5.0),
            timeouts=ClientTimeouts(head=2.0, body=2.0, keepalive=5.0, write=2.0),
            **more,
        )


PLAIN: Any = Plain()


class Script:
    """Carries events out on a world."""

    def __init__(self, text: str = "") -> None:
        self.world = (
            configured(PLAIN, text, "ab", each={"max_conns": 2})
            if text
            else PLAIN.world("a", "b")
        )
        hedging = self.world.forwarder.policy.hedging
        if hedging is not None:
            for _ in range(100):
                hedging.percentile.add(0.05)
        self.begun = 0
        site: Any = self.world.acceptor.buildProtocol(None)
        site = site.shared
        begin = site.open_exchange

        def counted(*args):
            self.begun += 1
            return begin(*args)

        site.open_exchange = counted
        self.clients = [self.world.client()]
        self.backends: list[Line] = []

    def line(self, clients: bool, number: int):
        lines = self.clients if clients else self.backends
        alive = [line for line in lines if not (line.lost or line.disconnecting)]
        return alive[number % len(alive)] if alive else None

    def client(self, number):
        self.clients.append(self.world.client())

    def send(self, line, data, cut):
        if line is None or line.aborted or None in line.inbox:
            return
        at = len(data) * cut // 100
        for piece in (data[:at], data[at:]):
            if piece and not line.lost:
                line.send(piece)

    def ask(self, number, data, cut):
        if self.line(True, number) is None:
            self.client(number)
        self.send(self.line(True, number), data, cut)

    def say(self, number, data, cut):
        """A response, where one is waited for if anywhere."""
        busy = [b for b in self.backends if b.protocol.sink is not None]
        line = busy[number % len(busy)] if busy else self.line(False, number)
        self.send(line, data, cut)

    def accept(self, node):
        if self.world.connects(node):
            self.backends.append(self.world.accept(node))

    def refuse(self, node, timeout):
        if self.world.connects(node):
            error = TimeoutError() if timeout else ConnectionRefusedError()
            self.world.refuse(node, error)

    def lose(self, clients, number, how):
        line = self.line(clients, number)
        if line is not None and None not in line.inbox:
            getattr(line, how)()

    def stick(self, clients, number):
        line = self.line(clients, number)
        if line is not None:
            line.stop_reading()

    def free(self, clients, number):
        line = self.line(clients, number)
        if line is not None and line.stuck:
            line.read_on()

    def wait(self, seconds):
        self.world.pass_time(seconds)

    def drain(self):
        self.world.acceptor.drain()

    def shut(self, number):
        line = self.line(True, number)
        if line is not None:
            line.protocol.shut()

    def enable(self, node, up):
        now = self.world.clock.seconds()
        self.world.pool.set_enabled(node, "up" if up else "down", "script", now)

    def finish(self):
        """All connections are lost and all attempts decided."""
        for node in "ab":
            while self.world.connects(node):
                self.world.refuse(node)
        self.world.pass_time(0.1)
        for line in self.world.lines:
            line.lose(CONNECTION_LOST)
        for node in "ab":
            while self.world.connects(node):
                self.world.refuse(node)
        self.world.pass_time(0.1)
        for line in self.world.lines:
            line.lose(CONNECTION_LOST)
        self.world.pass_time(0.1)
        self.world.deadlines.stop()


class MachineTests(SynchronousTestCase):
    def test_any_script(self):
        """Whatever happens in whatever order, all is accounted for once."""
        seen = set()
        for seed in range(150):
            seen |= self.run_script(seed)
        # The scripts are worth something.
        self.assertLessEqual({101, 200, 204, 499, 502, 503, 504}, seen)

    def test_any_script_and_every_policy(self):
        """The same in a pool that retries, hedges, waits and has limits of all kinds."""
        for seed in range(150):
            self.run_script(seed, SEVERAL)

    def run_script(self, seed: int, text: str = "") -> set[int]:
        """Run one; the statuses that came of it."""
        script = Script(text)
        world = script.world
        for name, *arguments in events(Random(seed), 40):
            getattr(script, name)(*arguments)
            for line in world.lines:
                # One read of each pipelined answer may be queued, not all of them.
                self.assertLess(line.queued, 300000, seed)
        script.finish()
        self.assertEqual(script.begun, len(world.ended))
        self.assertEqual(script.begun, len({id(each) for each in world.ended}))
        self.assertEqual(world.in_flight, {})
        self.assertEqual(world.forwarder.in_flight, 0)
        self.assertEqual(world.acceptor.doors, {})
        self.assertEqual(len(world.deadlines), 0)
        for upstream in world.upstreams.values():
            self.assertEqual((upstream.open, upstream.idle), (0, 0))
        for exchange in world.ended:
            self.assertGreater(exchange.status, 0)
            self.assertIsNone(exchange.lease)
            self.assertIsNone(exchange.client)
        self.assertEqual(self.flushLoggedErrors(), [])
        return {each.status for each in world.ended}
