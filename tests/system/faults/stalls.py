"""HTTP/2 on both sides with streams that stand still: nothing piles up, and those beside them do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, h2c_front, tls_front
from tests.system.faults.http2 import Streams, client, origin
from tests.system.faults.process import ProxyProcess, pool_config, running_origins
from tests.system.faults.watched import watched_proxy

BIG = 1 << 30
BODY = 20000
OTHERS = 99
TAKES = 10240
"""Bytes that a slow client takes in a tenth of a second."""
SLOWLY = 102400
"""Bytes that a slow origin takes in a second."""


@contextlib.asynccontextmanager
async def _proxy(
    found: Findings, front: Front, both: bool
) -> AsyncIterator[ProxyProcess]:
    """The proxy before an origin; `both`: HTTP/2 there as well."""
    rest = '[timeouts]\nshutdown = "1s"\n'
    async with contextlib.AsyncExitStack() as stack:
        pool = ""
        if both:
            target = await stack.enter_async_context(origin())
            pool = 'protocol = "h2c"'
        else:
            target = stack.enter_context(running_origins(1))[0].port
        config = front.in_config(pool_config([target], pool=pool, rest=rest))
        yield await stack.enter_async_context(
            watched_proxy(found, config, files=front.files)
        )


def _ways() -> list[tuple[str, Front, bool]]:
    """What is before the proxy and behind it."""
    return [
        (f"{front.word}{'to h2c ' if both else ''}", front, both)
        for front in (h2c_front(), tls_front())
        for both in (False, True)
    ]


@scenario("L13c", "slow readers of streams on both sides")
async def slow_streams(found: Findings, size: Size) -> None:
    """A slow side of a stream slows the other; nothing piles up, and other streams of the connection go on."""
    for word, front, both in _ways():
        await _slow_streams(found, size, word, front, both)


async def _slow_streams(
    found: Findings, size: Size, word: str, front: Front, both: bool
) -> None:
    seconds = size.pick(2.0, 6.0, 30.0)
    each_way = size.pick(5, 20, 20)
    async with _proxy(found, front, both) as proxy, client(proxy.port, front) as one:
        await one.ask("/body/100/warm").ended
        base = proxy.reading().rss_kib
        until = time.monotonic() + seconds
        downs = [one.ask(f"/big/{BIG}", slow=True) for _ in range(each_way)]
        ups = [one.ask(f"/slow/{SLOWLY}", post=BIG) for _ in range(each_way)]
        giving = [asyncio.create_task(each.give(BIG, seconds)) for each in ups]
        took: list[float] = []
        most = 0
        while time.monotonic() < until:
            for down in downs:
                down.take(TAKES)
            begun = time.monotonic()
            await one.ask("/body/200/x").ended
            took.append(time.monotonic() - begun)
            most = max(most, proxy.reading().rss_kib)
            await asyncio.sleep(0.1)
        await asyncio.gather(*giving)
        down_kib = sum(each.taken for each in downs) >> 10
        up_kib = sum(each.given for each in ups) >> 10
    found.note(f"{word}taken, given", f"{down_kib} KiB, {up_kib} KiB")
    grown = (most - base) / 1024
    found.most(f"{word}RSS per transfer", grown / (2 * each_way), 1, " MiB")
    found.soon(f"{word}others at most", 1000 * max(took), 200, " ms")


@scenario("L13d", "one stalled stream among a hundred")
async def stalled_stream(found: Findings, size: Size) -> None:
    """A download or an upload that stands still costs the others of its connection nothing."""
    for word, front, both in _ways():
        await _stalled(found, size, word, front, both)


async def _others(streams: Streams) -> float:
    """Seconds for a hundred others at once."""
    begun = time.monotonic()
    asked = [streams.ask(f"/body/{BODY}/{n}") for n in range(OTHERS)]
    await asyncio.gather(*(each.ended for each in asked))
    seconds = time.monotonic() - begun
    assert all(each.taken == BODY for each in asked)
    return seconds


async def _stalled(
    found: Findings, size: Size, word: str, front: Front, both: bool
) -> None:
    rounds = size.pick(10, 30, 60)
    least: dict[str, float] = {}
    async with (
        _proxy(found, front, both) as proxy,
        contextlib.AsyncExitStack() as stack,
    ):
        ways = {
            name: await stack.enter_async_context(client(proxy.port, front))
            for name in ("none", "download", "upload")
        }
        await ways["none"].ask("/body/100/warm").ended
        down = ways["download"].ask(f"/big/{BIG}", slow=True)
        up = ways["upload"].ask("/slow/1", post=BIG)
        await up.give(BIG, 0.5)
        for _ in range(rounds):
            for name, streams in ways.items():
                seconds = await _others(streams)
                least[name] = min(seconds, least.get(name, seconds))
        found.equal(
            f"{word}stalled ones go on", down.ended.done() or up.ended.done(), False
        )
    found.note(f"{word}99 others alone", f"{1000 * least['none']:.1f} ms")
    for name in ("download", "upload"):
        ratio = least[name] / least["none"]
        found.soon(f"{word}beside a stalled {name}", ratio, 1.5, " times")


SCENARIOS = (slow_streams, stalled_stream)
