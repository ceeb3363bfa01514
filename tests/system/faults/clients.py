"""Faults of clients: vanished, idle, slow, too many, gone in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

from lolly_tx.net.sockets.parting import LINGER_IDLE_SECONDS
from tests.system.faults.backends import origin_stats
from tests.system.faults.client import (
    HttpClient,
    Tally,
    full_load,
    in_groups,
    numbered,
    steady_load,
)
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.process import (
    ProxyProcess,
    pool_config,
    running_origins,
)
from tests.system.faults.relay import FaultRelay, reset
from tests.system.faults.watched import watched_proxy

GET = b"GET /body/10/i HTTP/1.1\r\nHost: t\r\n\r\n"


class Held(asyncio.Protocol):
    """A connection that is held open: what came, and when it was closed."""

    reads = True

    def __init__(self) -> None:
        self.opened = time.monotonic()
        self.closed: float | None = None
        self.received = b""
        self.heard = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Connected."""
        self.transport = transport
        if not self.reads:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Remember the beginning of it."""
        if len(self.received) < 4096:
            self.received += data
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has closed it."""
        self.closed = time.monotonic()
        self.heard.set()


class Deaf(Held):
    """One that reads nothing."""

    reads = False


async def hold(
    port: int, say: bytes = b"", *, receive_bytes: int = 0, **options: Any
) -> Held:
    """Connect, say something, and hold on.

    `receive_bytes`: with a kernel's buffer so small, and reading nothing at first.
    """
    loop = asyncio.get_running_loop()
    held: Held
    if receive_bytes:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        _, held = await loop.create_connection(Deaf, sock=sock)
    else:
        _, held = await loop.create_connection(Held, "127.0.0.1", port, **options)
    if say:
        held.transport.write(say)
    return held


@contextlib.asynccontextmanager
async def held_many(
    count: int,
    port: int,
    say: bytes = b"",
    *,
    answered: bool = False,
    rate: float = 0.0,
    **options: Any,
) -> AsyncIterator[list[Held]]:
    """`count` of them; `answered`: each has heard something.

    `rate`: how many are opened in a second, 0 = as fast as can be.
    """

    async def one(number: int) -> Held:
        if rate:
            await asyncio.sleep(number % 200 / rate)
        held = await hold(port, say, **options)
        if answered:
            await asyncio.wait_for(held.heard.wait(), 20)
        return held

    held = await in_groups(count, 200, one)
    try:
        yield held
    finally:
        for each in held:
            each.transport.abort()


@scenario("L05", "peers that vanish without a word")
async def l05(found: Findings, size: Size) -> None:
    """Half-open connections are given back when their time is over."""
    count = size.pick(50, 500, 500)
    rest = '[timeouts]\nhead = "2s"\nkeepalive = "2s"\n'
    pool = (
        '[pool.p.timeout]\nread = "1500ms"\n'
        '[pool.p.connections]\nidle = 1000\nidle_timeout = "2s"\n'
        "[pool.p.passive]\nmax_fails = 0\n[pool.p.retry]\ntries = 1\n"
    )
    with running_origins(1) as origins:
        behind = FaultRelay(origins[0].port)
        config = pool_config([await behind.start()], pool=pool, rest=rest)
        async with watched_proxy(found, config) as proxy:
            before = FaultRelay(proxy.port)
            front = await before.start()
            try:
                await asyncio.sleep(0.2)
                base = proxy.reading().fds
                half = count // 2
                waiting = b"GET /wait/0.4/w HTTP/1.1\r\nHost: t\r\n\r\n"
                async with (
                    held_many(half, front, GET, answered=True),
                    held_many(half // 2, front, b"GET / HT"),
                    held_many(count - half - half // 2, front, waiting),
                ):
                    await asyncio.sleep(0.2)
                    most = proxy.reading().fds
                    before.hold()
                    behind.hold()
                    # Response at its timeout, then keep-alive; or the head's time, and
                    # the wait for what may still come after a 408.
                    fds, after = await proxy.fds_fall_to(base + 2, 12)
            finally:
                await before.stop()
        await behind.stop()
    found.note("descriptors with peers", most)
    found.most("descriptors after", fds - base, 2)
    found.soon("reclaimed after", after, 2 + LINGER_IDLE_SECONDS + 1, " s")


async def _idle(
    found: Findings, size: Size, count: int, kib: float, front: Front
) -> None:
    rest = '[limits]\nconnections = 20000\n[timeouts]\nkeepalive = "120s"\n'
    with running_origins(1) as origins:
        config = front.in_config(pool_config(origins, rest=rest))
        async with watched_proxy(found, config, files=front.files) as proxy:
            async with held_many(20, proxy.port, GET, answered=True, **front.options):
                await asyncio.sleep(0.5)
            base = proxy.reading().rss_kib
            async with held_many(
                count, proxy.port, GET, answered=True, **front.options
            ) as held:
                await asyncio.sleep(0.5)
                grown = proxy.reading().rss_kib - base
                idle = await proxy.idle_cpu(3)
                tally = Tally()
                if not front.options:
                    await steady_load(
                        proxy.port,
                        tally,
                        numbered("n", 100),
                        rate=100,
                        seconds=2,
                        connections=8,
                    )
                lost = sum(each.closed is not None for each in held)
    found.note(f"{front.word}connections", count)
    found.equal(f"{front.word}closed", lost, 0)
    found.most(f"{front.word}RSS each", grown / count, kib, " KiB")
    found.most(f"{front.word}idle CPU", 100 * idle, 3, " %")
    if not front.options:
        found.equal("failed", tally.why() or 0, 0)
        found.soon("new requests p99", tally.at(0.99), 50, " ms")


@scenario("L07", "idle keep-alive connections")
async def l07(found: Findings, size: Size) -> None:
    """An idle connection costs little memory and no CPU."""
    await _idle(found, size, size.pick(300, 10000, 10000), 20, Front())
    if size.level:
        await _idle(found, size, size.pick(50, 1000, 3000), 90, tls_front())


@scenario("L08", "slow heads, slow bodies and slow readers")
async def l08(found: Findings, size: Size) -> None:
    """Slow clients end at their limits; good ones do not notice them."""
    count = size.pick(150, 2001, 2001)
    limit = size.pick(1.5, 5.0, 10.0)
    rest = (
        f'[timeouts]\nhead = "{limit}s"\nbody = "{limit}s"\nwrite = "{limit}s"\n'
        f'keepalive = "60s"\n'
    )
    tally = Tally()
    with running_origins(2) as origins:
        # The origin of the large bodies has a lot to do at first; the other is idle.
        rest += (
            '[[route]]\npath = "/big/"\npool = "q"\n'
            f'[pool.q]\ntargets = ["http://127.0.0.1:{origins[1].port}"]\n'
        )
        config = pool_config(origins[:1], rest=rest)
        async with watched_proxy(found, config) as proxy:
            base = proxy.reading().rss_kib
            third = count // 3
            rate = 600.0
            head = b"GET / HTTP/1.1\r\nHost:"
            post = b"POST /post/x HTTP/1.1\r\nHost: t\r\nContent-Length: 99999\r\n\r\nx"
            # More than the kernel's buffers on the way, and not gigabytes in all.
            big = b"GET /big/2000000 HTTP/1.1\r\nHost: t\r\n\r\n"
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("g", 200),
                    rate=50,
                    seconds=limit + 2.5 + count / rate,
                    connections=5,
                )
            )
            async with (
                held_many(third, proxy.port, head, rate=rate) as heads,
                held_many(third, proxy.port, post, rate=rate) as bodies,
                held_many(
                    third, proxy.port, big, rate=rate, receive_bytes=4096
                ) as readers,
            ):
                dripping = asyncio.create_task(_drip(heads))
                await load
                grown = (proxy.reading().rss_kib - base) / 1024
                dripping.cancel()
                for each in readers:
                    each.transport.resume_reading()
                await asyncio.sleep(0.5)
    found.note("slow clients", 3 * third)
    found.equal("good failed", tally.why() or 0, 0)
    found.soon("good p99", tally.at(0.99), 200, " ms")
    for word, group in (("heads", heads), ("bodies", bodies)):
        ages = [each.closed - each.opened for each in group if each.closed is not None]
        found.equal(f"slow {word} closed", len(ages), third)
        if ages:
            worst = max(ages, key=lambda age: abs(age - limit))
            found.within(f"slow {word} worst age", worst, limit, 1.0, " s")
    found.equal(
        "slow readers closed", sum(r.closed is not None for r in readers), third
    )
    found.most("RSS", grown, 100, " MB")


@scenario("L08b", "bodies that trickle below the least rate")
async def trickle(found: Findings, size: Size) -> None:
    """A body that comes too slowly ends after the grace, one just fast enough goes on."""
    count = size.pick(20, 300, 600)
    grace = 10.0
    rest = '[limits]\nbody_rate = 1000\n[timeouts]\nbody = "5s"\n'
    post = b"POST /post/x HTTP/1.1\r\nHost: t\r\nContent-Length: 99999\r\n\r\nx"
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins, rest=rest)) as proxy:
            async with (
                held_many(count, proxy.port, post) as slow,
                held_many(count, proxy.port, post) as fast,
            ):
                until = time.monotonic() + grace + 2
                while time.monotonic() < until:
                    await asyncio.sleep(0.5)
                    for each in slow:
                        if each.closed is None:
                            each.transport.write(b"x" * 10)
                    for each in fast:
                        if each.closed is None:
                            each.transport.write(b"x" * 800)
                told = sum(b" 408 " in each.received for each in slow)
                going = sum(each.closed is None for each in fast)
    found.note("bodies", 2 * count)
    found.equal("too slow: told so (408)", told, count)
    found.equal("fast enough: still going", going, count)


@scenario("LCAP", "more connections than the cap, most of them idle")
async def cap(found: Findings, size: Size) -> None:
    """At the cap idle connections make room; busy ones are never closed for it."""
    most = size.pick(100, 1000, 4000)
    rest = f"[limits]\nconnections = {most}\n"
    tally = Tally()
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins, rest=rest)) as proxy:
            busy = b"GET /wait/4/busy HTTP/1.1\r\nHost: t\r\n\r\n"
            half = most // 2
            async with (
                held_many(half, proxy.port, busy) as working,
                held_many(most - half, proxy.port, GET, answered=True) as idle,
            ):
                async with held_many(half // 2, proxy.port, GET, answered=True) as new:
                    served = sum(b" 200 " in each.received for each in new)
                    shed = sum(each.closed is not None for each in idle)
                await full_load(
                    proxy.port, tally, numbered("c", 50), requests=50, connections=5
                )
                for each in working:
                    await asyncio.wait_for(each.heard.wait(), 8)
                right = sum(b" 200 " in each.received for each in working)
            # Busy ones only: nothing can be shed, and who comes is told so.
            async with held_many(most, proxy.port, busy):
                await asyncio.sleep(0.3)
                refused = HttpClient(proxy.port)
                answer = await refused.ask("/body/1/x")
                refused.close()
    found.equal("new ones served at the cap", served, half // 2)
    found.least("idle ones shed", shed, half // 2)
    found.most("idle ones shed at most", shed, half // 2 + most // 8 + 2)
    found.equal("busy ones answered", right, half)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("all busy: status", answer.status, 503)


async def _drip(group: list[Held]) -> None:
    while True:
        await asyncio.sleep(0.5)
        for each in group:
            if each.closed is None and not each.transport.is_closing():
                each.transport.write(b"x")


STAGES = (
    "connect",
    "TLS hello",
    "mid-head",
    "head done",
    "mid-body up",
    "waiting",
    "mid-body down",
    "WebSocket",
)

_POST_HEAD = b"POST /post/a HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n"
_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_SAYS = {
    "connect": b"",
    "mid-head": b"GET / HTTP/1.1\r\nHo",
    "head done": _POST_HEAD,
    "mid-body up": _POST_HEAD + b"x" * 5000,
    "waiting": b"GET /wait/30/x HTTP/1.1\r\nHost: t\r\n\r\n",
    "mid-body down": b"GET /stream/x HTTP/1.1\r\nHost: t\r\n\r\n",
    "WebSocket": _UPGRADE,
}


async def _abort_at(
    stage: str, proxy: ProxyProcess, tls_port: int, chance: random.Random
) -> None:
    """One client that resets its connection at `stage`."""
    if stage == "TLS hello":
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40
        held = await hold(tls_port, hello)
    else:
        held = await hold(proxy.port, _SAYS[stage])
    if stage in ("mid-body down", "WebSocket"):
        await asyncio.wait_for(held.heard.wait(), 10)
        if stage == "WebSocket":
            held.transport.write(b"\x81\x85aaaahello")
    else:
        await asyncio.sleep(chance.uniform(0, 0.01))
    reset(held.transport)


@scenario("L16", "clients that reset at each stage")
async def l16(found: Findings, size: Size) -> None:
    """Nothing of an aborted exchange stays."""
    each_stage = size.pick(20, 300, 10000)
    front = tls_front()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        tls_port = sock.getsockname()[1]
    rest = (
        f'[listener.tls]\nendpoint = "tcp:{tls_port}:interface=127.0.0.1"\n'
        f"{front.listener}"
    )
    chance = random.Random(size.seed)
    with running_origins(1) as origins:
        config = pool_config(origins, rest=rest)
        async with watched_proxy(found, config, files=front.files) as proxy:
            await full_load(
                proxy.port, Tally(), numbered("w", 10), requests=200, connections=32
            )
            await asyncio.sleep(0.2)
            base = proxy.reading()
            for stage in STAGES:

                async def one(number: int, stage: str = stage) -> None:
                    await _abort_at(stage, proxy, tls_port, chance)

                await in_groups(each_stage, 50, one)
                fds, after = await proxy.fds_fall_to(base.fds + 2, 5)
                if fds > base.fds + 2:
                    found.most(f"{stage}: descriptors", fds - base.fds, 2)
            tally = Tally()
            await full_load(
                proxy.port, tally, numbered("v", 10), requests=200, connections=8
            )
            stats = await origin_stats(origins[0])
            end = proxy.reading()
            idle = await proxy.idle_cpu(1)
    found.note("aborts", each_stage * len(STAGES))
    found.most("descriptors more than at first", end.fds - base.fds, 2)
    found.equal("upstream streams left", stats["streams"], 0)
    found.equal("failed afterwards", tally.why() or 0, 0)
    found.most("RSS", (end.rss_kib - base.rss_kib) / 1024, 8, " MiB")
    found.most("idle CPU", 100 * idle, 3, " %")


@scenario("L17", "256 descriptors and 1,000 clients")
async def l17(found: Findings, size: Size) -> None:
    """Out of descriptors it neither spins nor dies, and afterwards serves as before."""
    seconds = size.pick(1.5, 3.0, 10.0)
    with running_origins(1) as origins:
        config = pool_config(origins)
        async with watched_proxy(found, config, descriptors=256) as proxy:

            async def one(number: int) -> Held | None:
                try:
                    return await asyncio.wait_for(hold(proxy.port, GET), 5)
                except OSError:
                    return None

            held = await in_groups(1000, 250, one)
            await asyncio.sleep(0.5)
            cpu = await proxy.idle_cpu(seconds)
            answered = sum(h is not None and b" 200 " in h.received for h in held)
            told = sum(h is not None and b" 503 " in h.received for h in held)
            for each in held:
                if each is not None:
                    each.transport.abort()
            await asyncio.sleep(2)
            tally = Tally()
            await full_load(
                proxy.port, tally, numbered("f", 100), requests=400, connections=50
            )
            alive = proxy.process.poll() is None
    found.note("told 503", told)
    found.least("answered 200 meanwhile", answered, 192)
    found.least("told anything", told + answered, 500)
    found.most("CPU while full", 100 * cpu, 20, " %")
    found.equal("failed afterwards", tally.why() or 0, 0)
    found.equal("still runs", alive, True)


@scenario("L23", "clients that reset in the middle of a response")
async def l23(found: Findings, size: Size) -> None:
    """The transfer upstream ends at once, and later answers are right."""
    count = size.pick(50, 500, 1000)
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:
            path = b"GET /stream/x HTTP/1.1\r\nHost: t\r\n\r\n"
            slowest = 0.0
            for start in range(0, count, 50):
                group = min(50, count - start)
                async with held_many(group, proxy.port, path, answered=True) as held:
                    for each in held:
                        reset(each.transport)
                    at = time.monotonic()
                while (await origin_stats(origins[0]))["streams"]:
                    if time.monotonic() > at + 5:
                        break
                    await asyncio.sleep(0.02)
                slowest = max(slowest, time.monotonic() - at)
            tally = Tally()
            await full_load(
                proxy.port, tally, numbered("u", 500), requests=count, connections=16
            )
    found.soon("cancelled upstream after", slowest, 1, " s")
    found.equal("failed afterwards", tally.why() or 0, 0)
    found.equal("wrong afterwards", tally.wrong, 0)


@scenario("L31", "idle WebSockets")
async def l31(found: Findings, size: Size) -> None:
    """An idle tunnel costs little, and each echoes its own bytes."""
    count = size.pick(50, 1000, 2000)
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:
            async with held_many(20, proxy.port, _UPGRADE, answered=True):
                pass
            await asyncio.sleep(0.3)
            base = proxy.reading()
            async with held_many(count, proxy.port, _UPGRADE, answered=True) as held:
                await asyncio.sleep(0.5)
                grown = proxy.reading().rss_kib - base.rss_kib
                cpu = await proxy.idle_cpu(2)
                for number, each in enumerate(held):
                    each.received = b""
                    each.transport.write(b"message %d." % number)
                await asyncio.sleep(1)
                right = sum(
                    each.received == b"message %d." % number
                    for number, each in enumerate(held)
                )
            fds, _ = await proxy.fds_fall_to(base.fds + 2, 5)
    found.note("tunnels", count)
    found.equal("echoed right", right, count)
    found.most("RSS each", grown / count, 60, " KiB")
    found.most("idle CPU", 100 * cpu, 3, " %")
    found.most("descriptors left", fds - base.fds, 2)


@scenario("LHC", "clients that only connect, at once")
async def burst(found: Findings, size: Size) -> None:
    """A burst of connections is accepted, none waits for a repeated SYN."""
    count = size.pick(200, 1000, 1000)
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:

            async def one(number: int) -> float:
                started = time.monotonic()
                client = HttpClient(proxy.port)
                await client.ask("/body/10/x")
                client.close()
                return time.monotonic() - started

            took = await asyncio.gather(*(one(n) for n in range(count)))
    found.soon("slowest of all", max(took), 2.0, " s")


SCENARIOS = (l05, l07, l08, trickle, cap, l16, l17, l23, l31, burst)
