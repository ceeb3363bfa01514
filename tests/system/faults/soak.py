"""A long run of everything at once, and whether anything grows with it.

Each round has clients of HTTP/1.1, of TLS and of HTTP/2, WebSockets, a download and clients that reset, while an origin
is killed and settings change. Then everybody leaves. In that silence rounds can be compared: what is there more of
after many of them than after some stays for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections import Counter
from pathlib import Path

import httpx

from lolly_tx.net.sockets.splice import KEPT_PIPES
from tests.system.faults.client import Tally, in_groups, numbered, steady_load
from tests.system.faults.clients import hold
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.inside import INSIDE, Eyes
from tests.system.faults.process import (
    Origin,
    free_ports,
    running_origins,
)
from tests.system.faults.relay import reset
from tests.system.faults.reloads import TOKEN, Settings, download, websocket
from tests.system.faults.watched import watched_proxy

SECONDS = 6.0
"""Of a round, without the silence after it."""
SPARE = 12
"""So many more objects of one type, in either half, are none that were left behind by hundreds of requests."""

KEPT = {
    "lolly_tx.domain.events.Event",
    "lolly_tx.service.records.history.Segment",
    "lolly_tx.wire.fields.RequestBlock",
    "lolly_tx.wire.hpack.table.Decoded",
    "lolly_tx.wire.message.RequestHead",
    "builtins.frozenset",
    "builtins.list",
}
"""Memories of fixed size that take more rounds than these to fill: the last hundreds of changes of targets, and heads
with what they are made of (docs/performance.md), of which a few come again by chance."""

_STREAMS = 8


def _config(
    origins: list[Origin], tls: int, extra: int, front: Front, step: int
) -> str:
    """The settings of `step`: each changes something of the one before."""
    urls = [f'"http://127.0.0.1:{one.port}"' for one in origins]
    more = f'[listener.more]\nendpoint = "tcp:{extra}:interface=127.0.0.1"\n'
    return (
        "[admin]\n"
        f'endpoint = "tcp:@admin@:interface=127.0.0.1"\ntoken = "{TOKEN}"\n'
        '[listener.web]\nendpoint = "tcp:@port@:interface=127.0.0.1"\n'
        f'[listener.tls]\nendpoint = "tcp:{tls}:interface=127.0.0.1"\n{front.listener}'
        f"{more if step % 3 == 1 else ''}"
        '[[route]]\npool = "calm"\npath = "/ws"\n'
        '[[route]]\npool = "calm"\npath = "/body/4000000/"\n'
        f'[[route]]\npool = "p"\npath = "/step{step % 4}/"\n'
        '[[route]]\npool = "p"\n'
        f"[pool.calm]\ntargets = [{urls[0]}]\nconnections.idle_timeout = '1s'\n"
        f"[pool.p]\ntargets = [{', '.join(urls[: 2 + step % 2])}]\n"
        f"connections.idle_timeout = '1s'\nhealth.interval = '{500 + step % 5}ms'\n"
    )


def _http2(front: Front) -> ssl.SSLContext:
    """What trusts whom `front` trusts: httpx has contexts of its own offer HTTP/2."""
    context = ssl.create_default_context()
    for known in front.options["ssl"].get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=known)
    return context


async def _over_http2(port: int, tally: Tally, context: ssl.SSLContext) -> None:
    """Streams of one connection that ask one after the other for `SECONDS`.

    Each asks for the same again: blocks of fields that come anew are remembered, up to 2 MiB of them.
    """
    ends = time.monotonic() + SECONDS
    make = numbered("h", 300)
    async with httpx.AsyncClient(
        http1=False, http2=True, verify=context, timeout=10
    ) as client:

        async def stream(number: int) -> None:
            path, body = make(number)
            while time.monotonic() < ends:
                answer = await client.get(f"https://localhost:{port}{path}")
                if answer.status_code != 200:
                    tally.failed[f"HTTP/2: {answer.status_code}"] += 1
                elif answer.content != body:
                    tally.wrong += 1
                else:
                    tally.ok += 1
                await asyncio.sleep(0.1)

        await asyncio.gather(*(stream(number) for number in range(_STREAMS)))


async def _resets(port: int) -> None:
    """Clients that leave in the middle of an answer."""

    async def one(number: int) -> None:
        held = await hold(port, b"GET /stream/x HTTP/1.1\r\nHost: t\r\n\r\n")
        await asyncio.wait_for(held.heard.wait(), 10)
        reset(held.transport)

    await in_groups(60, 10, one)


def _pipes(pid: int) -> int:
    """How many descriptors are of pipes: of those that tunnels have used some are kept."""
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(each).startswith("pipe:")
    return count


@scenario("L34", "rounds of everything at once")
async def l34(found: Findings, size: Size) -> None:
    """Nothing fails, and after many rounds there is nothing more than after some."""
    rounds, warm = size.pick((3, 1), (9, 3), (40, 10))
    front, tally, alive, whole, most_pipes = tls_front(), Tally(), 0, 0, 0
    context = _http2(front)
    [tls, extra] = free_ports(2)
    seen: list[tuple[int, int, Counter[str]]] = []
    with running_origins(3) as origins:
        first = _config(origins, tls, extra, front, 0)
        async with watched_proxy(
            found, first, files=front.files, launcher=INSIDE
        ) as proxy:
            eyes, settings = Eyes(proxy), Settings(proxy)
            calm = proxy.reading().fds
            for number in range(rounds):
                ending = asyncio.Event()
                sockets = [
                    asyncio.create_task(websocket(proxy.port, ending)) for _ in range(5)
                ]
                file = asyncio.create_task(
                    download(proxy.port, f"d{number}", 4_000_000, SECONDS)
                )
                loads = asyncio.gather(
                    steady_load(
                        proxy.port,
                        tally,
                        numbered(f"p{number}.", 500),
                        rate=100,
                        seconds=SECONDS,
                        connections=8,
                    ),
                    steady_load(
                        tls,
                        tally,
                        numbered(f"t{number}.", 5000),
                        rate=60,
                        seconds=SECONDS,
                        connections=6,
                        options=front.options,
                    ),
                    _over_http2(tls, tally, context),
                    _resets(proxy.port),
                )
                await asyncio.sleep(SECONDS / 4)
                killed = origins[1 + number % 2]
                killed.signal(signal.SIGKILL)
                for part in range(3):
                    text = _config(origins, tls, extra, front, 3 * number + part)
                    code, told = await settings.reload(text)
                    if code != 200:
                        found.equal("reload", told, 200)
                    await asyncio.sleep(SECONDS / 8)
                killed.start()
                await loads
                ending.set()
                alive += sum(await asyncio.gather(*sockets))
                whole += await file
                await settings.reload(first)
                pipes = _pipes(proxy.process.pid)
                calm = (await proxy.fds_fall_to(calm + pipes, 5))[0] - pipes
                most_pipes = max(most_pipes, pipes)
                await asyncio.sleep(0.5)
                objects = await eyes.objects()
                await asyncio.sleep(0.5)
                objects &= await eyes.objects()  # without what comes and goes
                seen.append((calm, proxy.reading().rss_kib, objects))
                tally.seconds.clear()
    found.note("rounds", rounds)
    found.note("answers", tally.ok)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)
    found.equal("WebSockets alive", alive, 5 * rounds)
    found.equal("whole downloads", whole, rounds)
    fds_then, kib_then, objects_then = seen[warm - 1]
    fds, kib, objects = seen[-1]
    found.most("descriptors but of pipes", fds - fds_then, 0)
    found.most("of pipes", most_pipes, 2 * KEPT_PIPES)
    found.most("RSS", (kib - kib_then) / 1024, 4, " MiB")
    quarters = [seen[rounds * part // 4 - 1][1] / 1024 for part in range(1, 5)]
    found.note("RSS by quarters, MiB", " ".join(f"{one:.1f}" for one in quarters))
    found.note("objects", f"{objects_then.total()}, then {objects.total()}")
    # What is left behind is so in both halves; a memory of fixed size fills once.
    middle = seen[(warm - 1 + rounds) // 2][2]
    grown = {
        each: count - objects_then[each]
        for each, count in objects.items()
        if min(count - middle[each], middle[each] - objects_then[each]) > SPARE
        and each not in KEPT
    }
    found.equal("types of which there are more", grown or "none", "none")


SCENARIOS = (l34,)
