"""Ten thousand connections that come, ask and leave together: how long one turn of the event loop is held."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from tests.system.faults.clients import GET, Held, held_many
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.inside import INSIDE, Eyes
from tests.system.faults.process import pool_config, running_origins, running_proxy

REST = '[limits]\nconnections = 20000\n[timeouts]\nkeepalive = "300s"\n'
POOL = 'max_conns = 256\n[pool.p.queue]\nsize = 20000\ntimeout = "60s"\n'
"""A target's connections are descriptors, too, and there are 20,000 at most."""


@scenario("L07b", "many connections that come, ask and leave together")
async def l07b(found: Findings, size: Size) -> None:
    """No turn of the event loop takes long, whatever is due in it, and the collector's work is short."""
    await _many(found, size, size.pick(300, 5000, 10000), Front())
    await _many(found, size, size.pick(50, 1000, 10000), tls_front())


async def _many(found: Findings, size: Size, count: int, front: Front) -> None:
    with running_origins(1) as origins:
        config = front.in_config(pool_config(origins, pool=POOL, rest=REST))
        async with running_proxy(config, files=front.files, launcher=INSIDE) as proxy:
            eyes = Eyes(proxy)
            await eyes.pauses()  # those of the start
            for _ in range(2):
                async with held_many(
                    count, proxy.port, GET, answered=True, **front.options
                ) as held:
                    for _ in range(size.pick(1, 2, 4)):
                        answered = await _ask_together(eyes, held)
                    lost = sum(each.closed is not None for each in held)
                    proxy.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.3)  # that they leave is in the kernel
                proxy.process.send_signal(signal.SIGCONT)
                await asyncio.sleep(1.5)
            seen = await eyes.pauses()
            bad, starved = proxy.bad_lines(), proxy.starved()
    found.starved = max(found.starved, starved)
    word = front.word
    found.equal(f"{word}log", bad[:1] or "clean", "clean")
    found.note(f"{word}connections", count)
    found.equal(f"{word}answered", answered, count)
    found.equal(f"{word}closed", lost, 0)
    found.soon(f"{word}p99.9 held", seen.p999, 10, " ms")
    found.soon(f"{word}longest held", seen.longest, 20, " ms")
    found.soon(f"{word}longest collection", seen.collection, 10, " ms")
    found.note(f"{word}full collections", seen.full)


async def _ask_together(eyes: Eyes, held: Sequence[Held]) -> int:
    """All of them ask in the same moment: how many are answered."""
    for each in held:
        each.heard.clear()
        each.received = b""
    eyes.proxy.process.send_signal(signal.SIGSTOP)
    for each in held:
        each.transport.write(GET)
    await asyncio.sleep(0.3)  # it is in the kernel
    eyes.proxy.process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(60):
        for each in held:
            await each.heard.wait()
    return sum(each.received.startswith(b"HTTP/1.1 200 ") for each in held)


SCENARIOS = (l07b,)
