"""Faults of the way to a target: names that hang, a lone backend that is restarted."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import signal
import time
from pathlib import Path

from tests.system.faults.client import HttpClient, Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, percentile, scenario
from tests.system.faults.process import ROOT, Origin, pool_config, running_origins
from tests.system.faults.watched import watched_proxy

NAMES = {"PYTHONPATH": f"{Path(__file__).parent / 'hanging'}:{ROOT}"}

CHECKED = '[pool.{}.health]\ninterval = "500ms"\ntimeout = "400ms"\n'


@scenario("L43", "names that hang")
async def l43(found: Findings, size: Size) -> None:
    """Twelve names that hang, asked for by checks and requests, harm no other pool."""
    seconds = size.pick(4.0, 12.0, 30.0)
    with running_origins(1) as origins:
        slow = ", ".join(f'"http://s{number}.hang.test:80"' for number in range(12))
        config = pool_config([origins[0]], pool=CHECKED.format("p")).replace(
            "http://127.0.0.1:", "http://a.good.test:"
        )
        # Every request of the good pool connects, and so asks for its name.
        config += (
            "[pool.p.connections]\nrequests = 1\n"
            f'[[route]]\npath = "/slow/"\npool = "slow"\n[pool.slow]\ntargets = [{slow}]\n'
            + CHECKED.format("slow")
        )
        async with watched_proxy(found, config, environ=NAMES) as proxy:
            clients = [HttpClient(proxy.port) for _ in range(24)]
            waiting = [asyncio.create_task(c.ask("/slow/x")) for c in clients]
            tally = Tally()
            await steady_load(
                proxy.port,
                tally,
                numbered("n", 100),
                rate=50,
                seconds=seconds,
                connections=8,
            )
            for each in waiting:
                each.cancel()
            for each in waiting:
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await each
            for client in clients:
                client.close()
    found.note("ok", tally.ok)
    found.equal("failed", tally.why() or 0, 0)
    found.soon("p99", tally.at(0.99), 100, " ms")


@scenario("L44", "a lone backend restarted")
async def l44(found: Findings, size: Size) -> None:
    """While it is away clients are told at once, and it is back about a second after it listens."""
    backs, refusals = [], []
    statuses: collections.Counter[int] = collections.Counter()
    with running_origins(1) as origins:
        (origin,) = origins
        async with watched_proxy(found, pool_config(origins)) as proxy:
            client = HttpClient(proxy.port)
            for _ in range(size.pick(2, 5, 20)):
                found_first = (await client.ask("/body/10/x")).status
                origin.signal(signal.SIGKILL)
                restarting = asyncio.create_task(_restart(origin))
                while True:
                    began = time.monotonic()
                    status = (await client.ask("/body/10/x")).status
                    statuses[status] += 1
                    if status == 200:
                        break
                    if status == 503:
                        refusals.append(time.monotonic() - began)
                    await asyncio.sleep(0.02)
                backs.append(time.monotonic() - await restarting)
                statuses[found_first] += 1
            client.close()
    found.equal("other statuses", set(statuses) - {200, 502, 503} or 0, 0)
    found.most("502 in all", statuses[502], 3 * len(backs))
    found.soon("503 p50", 1000 * percentile(refusals, 0.5), 5, " ms")
    found.soon("back after, at worst", max(backs), 1.5, " s")


async def _restart(origin: Origin) -> float:
    """Start it again after a while; when it listens."""
    await asyncio.sleep(1.0)
    await asyncio.to_thread(origin.start)
    return time.monotonic()


SCENARIOS = (l43, l44)
