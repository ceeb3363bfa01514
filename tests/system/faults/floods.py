"""Clients that flood HTTP/2 connections with what costs work and asks for little (RFC 9113 section 10.5).

Each `Flood` is a public class of attacks. It goes on until the proxy has ended the connection, beside a canary on a
connection of its own, that must have all of its answers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings
from tests.system.faults.backends import origin_stats
from tests.system.faults.client import Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, h2c_front, tls_front
from tests.system.faults.http2 import POST, block
from tests.system.faults.process import (
    Origin,
    ProxyProcess,
    pool_config,
    running_origins,
)
from tests.system.faults.watched import watched_proxy

BOTH = fr.END_HEADERS | fr.END_STREAM
WINDOW, TABLE = 4, 1
"""SETTINGS_INITIAL_WINDOW_SIZE and SETTINGS_HEADER_TABLE_SIZE."""
AT_ONCE = 200
"""Frames that are written at once."""
MOST_SECONDS = 10.0
WRITE_SECONDS = 2.0
"""What a client may take nothing for."""
AWAY_SECONDS = 2.0
UPSTREAM = 200
"""Requests that reach a target, for all that one attacker does."""
STREAMS_MIB = 16.0
"""What the hundred streams of one attacker who takes nothing may hold: 160 KiB each, with the records of TLS."""


def head(stream: int, path: str, flags: int = BOTH, **how: Any) -> bytes:
    """HEADERS of a request."""
    return fr.frame(fr.HEADERS, flags, stream, block(path, **how))


@attrs.frozen
class Flood:
    """An attack.

    `pieces`: what is written, one after the other. `begins`: behind the preface. `settings`: of the client. `pause`:
    seconds between pieces. `reads`: the client takes what the proxy says. `ended`: the connection is, within
    `AWAY_SECONDS` of a piece that follows `allowed` seconds of it; else the attack is over after that, and harmless.
    """

    name: str
    pieces: Callable[[], Iterator[bytes]]
    begins: bytes = b""
    settings: bytes = settings([])
    pause: float = 0.0
    reads: bool = True
    ended: bool = True
    allowed: float = 0.0


def again(piece: bytes) -> Callable[[], Iterator[bytes]]:
    """The same for ever."""
    return lambda: itertools.repeat(piece)


def streams(
    make: Callable[[int], bytes], at_once: int
) -> Callable[[], Iterator[bytes]]:
    """Of streams without end, `at_once` in a piece."""

    def pieces() -> Iterator[bytes]:
        for first in itertools.count(1, 2 * at_once):
            yield b"".join(make(n) for n in range(first, first + 2 * at_once, 2))

    return pieces


def two_steps(
    first: Callable[[int], bytes], then: Callable[[int], bytes]
) -> Callable[[], Iterator[bytes]]:
    """Of streams without end, ten at a time; the second step comes by itself, when what the first begins has begun."""

    def pieces() -> Iterator[bytes]:
        for start in itertools.count(1, 20):
            yield b"".join(first(number) for number in range(start, start + 20, 2))
            yield b"".join(then(number) for number in range(start, start + 20, 2))

    return pieces


def asking(stream: int) -> bytes:
    """A request that is answered late."""
    return head(stream, f"/wait/5/{stream}")


def cancel(stream: int) -> bytes:
    """RST_STREAM, CANCEL."""
    return fr.rst_stream(stream, 8)


def wrong(stream: int) -> bytes:
    """What a stream has to be reset for: a window that grows by nothing."""
    return fr.frame(fr.WINDOW_UPDATE, 0, stream, bytes(4))


def post(stream: int) -> bytes:
    """A request with a body to come."""
    return head(stream, f"/post/{stream}", fr.END_HEADERS, method=POST)


def bomb() -> Iterator[bytes]:
    """One field that is kept, then heads that refer to it 4,000 times: 16 MB each."""
    entry = b"\x40\x01x\x7f" + _long(3900) + b"a" * 3900
    yield fr.frame(fr.HEADERS, BOTH, 1, block("/") + entry)
    for number in itertools.count(3, 2):
        yield fr.frame(fr.HEADERS, BOTH, number, block("/") + b"\xbe" * 4000)


def _long(length: int) -> bytes:
    """What follows the prefix of seven bits of a length (RFC 7541 section 5.1)."""
    rest = length - 127
    said = b""
    while rest >= 128:
        said += bytes([rest % 128 + 128])
        rest //= 128
    return said + bytes([rest])


def endless_trailers(stream: int) -> bytes:
    """Header blocks that end nothing, on a stream that was reset."""
    return fr.frame(fr.HEADERS, fr.END_HEADERS, stream, b"\x00\x01x\x01y")


EMPTY = fr.frame(fr.DATA, 0, 1)
PADDED = fr.frame(fr.DATA, fr.PADDED, 1, b"\xff" + bytes(256))
MANY = settings([(WINDOW, 0)])
WIDE = settings([(WINDOW, fr.MOST_STREAM)])
HUNDRED = b"".join(head(n, "/big/1000000000") for n in range(1, 200, 2))

FLOODS = (
    Flood("rapid reset", streams(lambda n: asking(n) + cancel(n), 100)),
    Flood("resets of what has begun", two_steps(asking, cancel), pause=0.002),
    Flood("made to reset", two_steps(asking, wrong), pause=0.002),
    Flood(
        "CONTINUATION",
        again(fr.frame(fr.CONTINUATION, 0, 1) * AT_ONCE),
        head(1, "/", 0),
    ),
    Flood(
        "large CONTINUATION",
        again(fr.frame(fr.CONTINUATION, 0, 1, bytes(16384)) * 4),
        head(1, "/", 0),
    ),
    Flood("HPACK bomb", bomb),
    Flood("SETTINGS", again(settings([(WINDOW, 70000), (TABLE, 0)]) * AT_ONCE)),
    Flood("PING", again(fr.ping(bytes(8)) * AT_ONCE)),
    Flood("PING without reading", again(fr.ping(bytes(8)) * AT_ONCE), reads=False),
    Flood("PRIORITY", again(fr.frame(fr.PRIORITY, 0, 1, bytes(5)) * AT_ONCE)),
    Flood(
        "PRIORITY_UPDATE",
        again(fr.frame(fr.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x09u=1") * AT_ONCE),
    ),
    Flood("WINDOW_UPDATE", again(fr.window_update(0, 1) * AT_ONCE)),
    Flood("unknown frames", again(fr.frame(0x77, 0, 0) * AT_ONCE)),
    Flood("empty DATA", again(EMPTY * AT_ONCE), post(1)),
    Flood("padding", again(PADDED * AT_ONCE), post(1)),
    Flood(
        "blocks on a closed stream",
        again(endless_trailers(1) * AT_ONCE),
        post(1) + wrong(1),
    ),
    Flood(
        "window by single bytes",
        again(fr.window_update(1, 1) * 16),
        head(1, "/big/1000000000"),
        MANY,
        pause=0.002,
    ),
    Flood(
        "zero windows",
        again(b""),
        HUNDRED,
        MANY,
        pause=0.1,
        ended=False,
        allowed=WRITE_SECONDS + 1,
    ),
    Flood(
        "takes nothing",
        again(fr.ping(bytes(8))),
        fr.window_update(0, fr.MOST_STREAM - 65535) + HUNDRED,
        WIDE,
        pause=0.1,
        reads=False,
        allowed=2 * WRITE_SECONDS,
    ),
)


@attrs.define
class Outcome:
    """What became of one attacker.

    `sent`: bytes. `seconds`: until it was away, or over. `told`: why it was ended. `last`: seconds since it was told,
    or since the beginning.
    """

    away: bool = False
    sent: int = 0
    seconds: float = 0.0
    told: str = ""
    last: float = 0.0


def held(port: int, client: int) -> bool:
    """Whether the proxy still has the connection of a client, by their ports: what the client sees may come later."""
    ends = (f"0100007F:{port:04X}", f"0100007F:{client:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == ends:
            return fields[9] != "0"  # its inode: none once it is closed
    return False


async def attack(flood: Flood, port: int, front: Front) -> Outcome:
    """Go on until the connection is over."""
    options = {**front.options, **front.http2}
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, limit=1024, **options
    )
    client: int = writer.get_extra_info("sockname")[1]
    outcome = Outcome()
    started = told = time.monotonic()

    async def listen() -> None:
        nonlocal told
        frames = fr.FrameReader()
        try:
            while data := await reader.read(1 << 16):
                for kind, _, _, payload in frames.read(data):
                    if kind == fr.GOAWAY:
                        outcome.told = fr.goaway_says(payload)[2].decode()
                        told = time.monotonic()
        except OSError:
            pass

    async def send() -> None:
        writer.write(fr.PREFACE + flood.settings + flood.begins)
        try:
            for piece in flood.pieces():
                writer.write(piece)
                await writer.drain()
                outcome.sent += len(piece)
                await asyncio.sleep(flood.pause)
        except OSError:
            pass

    accepted = "ssl" in options  # until it is, it has no inode either
    most = flood.allowed + MOST_SECONDS if flood.ended else flood.allowed
    tasks = [asyncio.create_task(send())]
    if flood.reads:
        tasks.append(asyncio.create_task(listen()))
    while outcome.seconds < most and not outcome.away:
        await asyncio.sleep(0.02)
        outcome.seconds = time.monotonic() - started
        there = held(port, client)
        outcome.away = accepted and not there
        accepted = accepted or there
    outcome.last = time.monotonic() - told
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    writer.transport.abort()
    return outcome


@scenario("L20", "floods over HTTP/2")
async def l20(found: Findings, size: Size) -> None:
    """Who floods is away within two seconds, at little cost, and nobody else notices."""
    for front in (h2c_front(), tls_front()):
        await _floods(found, size, front)


async def _floods(found: Findings, size: Size, front: Front) -> None:
    attackers = size.pick(1, 2, 5)
    limits = f'[timeouts]\nwrite = "{WRITE_SECONDS}s"\nshutdown = "1s"\n'
    tally, over = Tally(), asyncio.Event()
    with running_origins(2) as (origin, own):
        # The canary has a target of its own: what is counted at the other one is the attackers'.
        rest = f'{limits}[pool.c]\ntargets = ["http://127.0.0.1:{own.port}"]\n'
        config = front.in_config(pool_config([origin], rest=rest))
        config = config.replace(
            "[[route]]", '[[route]]\npath = "/body/"\npool = "c"\n[[route]]', 1
        )
        async with watched_proxy(found, config, files=front.files) as proxy:
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("c", 100),
                    rate=50,
                    seconds=3600,
                    connections=4,
                    until=over,
                    options=front.options,
                )
            )
            await asyncio.sleep(1)
            await _each(found, front, attackers, proxy, origin)
            over.set()
            await load
    word = front.word
    found.equal(f"{word}canary failed", tally.why() or 0, 0)
    found.equal(f"{word}canary wrong", tally.wrong, 0)
    found.note(f"{word}canary answered", tally.ok)
    found.note(f"{word}canary p99", f"{tally.at(0.99):.0f} ms")


async def _each(
    found: Findings, front: Front, attackers: int, proxy: ProxyProcess, origin: Origin
) -> None:
    word = front.word
    base = most = proxy.reading().rss_kib
    slowest = 0.0
    for flood in FLOODS:
        before = (await origin_stats(origin))["requests"]
        cpu = proxy.reading().cpu
        attacks = [
            asyncio.create_task(attack(flood, proxy.port, front))
            for _ in range(attackers)
        ]
        peak = 0
        while not all(one.done() for one in attacks):
            await asyncio.sleep(0.05)
            peak = max(peak, proxy.reading().rss_kib)
        outcomes = [one.result() for one in attacks]
        asked = (await origin_stats(origin))["requests"] - before - 1
        took = max(one.seconds for one in outcomes)
        spent = proxy.reading().cpu - cpu
        most = max(most, peak)
        text = (
            f"{took:.2f} s, {asked / attackers:.0f} asked, {(peak - base) / 1024:.1f} MiB,"
            f" {spent / attackers:.2f} s CPU, {sum(one.sent for one in outcomes) >> 10} KiB"
            f" {outcomes[0].told}"
        )
        found.note(f"{word}{flood.name}", text)
        if flood.ended:
            last = max(one.last for one in outcomes)
            slowest = max(slowest, last - flood.allowed)
            still = sum(not one.away for one in outcomes)
            if still:
                found.equal(f"{word}{flood.name}: still there", still, 0)
        if asked > UPSTREAM * attackers:
            found.most(f"{word}{flood.name}: upstream", asked / attackers, UPSTREAM)
    found.soon(f"{word}away after", slowest, AWAY_SECONDS, " s")
    found.most(f"{word}RSS", (most - base) / 1024, STREAMS_MIB * attackers, " MiB")


SCENARIOS = (l20,)
