"""Three instances that share limits by a real store, under load, while it is frozen, killed and started again.

`python -m tests.system.store_scenario` prints the figures; `test_stores` asserts what must hold of them.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from bisect import bisect_left
from contextlib import AsyncExitStack
from typing import Any

import attrs

from tests.system.faults.client import HttpClient, Visible
from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.redis_server import RedisServer, redis_server

INSTANCES = 3
RATE = 300.0
"""Requests a second, to all of them together, for the path that has a limit of `LIMIT`; as many for the one that has
a limit that nobody reaches."""
LIMIT = 100
PATIENCE = 20.0

CONFIG = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
path = "/limited"
use = ["limited"]
respond = { body = "in" }
[[route]]
path = "/wide"
use = ["wide"]
respond = { body = "in" }
[middleware.limited]
type = "rate_limit"
rate = "LIMIT/s"
store = "shared"
key = "all"
[middleware.wide]
type = "rate_limit"
rate = "100000/s"
store = "shared"
key = "all"
[store.shared]
url = "unix://PATH"
"""


@attrs.define
class Figures:
    """What was seen. `admitted_`: the most in a second; `noticed_`: seconds; `slowest_`: milliseconds."""

    requests: int = 0
    failed: list[str] = attrs.Factory(list)
    admitted_here: int = 0
    admitted_away: int = 0
    slowest_here: float = 0.0
    slowest_away: float = 0.0
    noticed_frozen: float = 0.0
    noticed_killed: float = 0.0
    latest_beat: float = 0.0
    bad_lines: list[str] = attrs.Factory(list)


class Load:
    """Asks a path of all instances in turn, at a steady rate, and notes when one was let in."""

    def __init__(self, ports: list[int], path: str, rate: float) -> None:
        self.admitted: list[tuple[float, float]] = []
        """When each was answered, and how many seconds it took."""
        self.refused = 0
        self.failed: list[str] = []
        self._path = path
        self._rate = rate
        self._over = False
        self._work = [
            asyncio.ensure_future(self._ask(port, index / 4))
            for port in ports
            for index in range(4)
        ]

    async def _ask(self, port: int, part: float) -> None:
        client = HttpClient(port)
        step = len(self._work) / self._rate if self._work else 12 / self._rate
        due = time.monotonic() + step * part
        while not self._over:
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            due += step
            began = time.monotonic()
            try:
                answer = await asyncio.wait_for(client.ask(self._path), 10)
            except (Visible, OSError, TimeoutError) as error:
                client.close()
                self.failed.append(type(error).__name__)
                continue
            now = time.monotonic()
            if answer.status == 200:
                self.admitted.append((now, now - began))
            elif answer.status == 429:
                self.refused += 1
            else:
                self.failed.append(str(answer.status))
        client.close()

    async def stop(self) -> None:
        """Ask no more."""
        self._over = True
        await asyncio.gather(*self._work)

    def most(self, begin: float, end: float) -> int:
        """The most that were let in within a second between these."""
        times = sorted(at for at, _ in self.admitted if begin <= at <= end)
        return max(
            (bisect_left(times, at + 1.0) - n for n, at in enumerate(times)), default=0
        )

    def slowest(self, begin: float, end: float) -> float:
        """Milliseconds, between these."""
        took = [took for at, took in self.admitted if begin <= at <= end]
        return 1000 * max(took, default=0.0)


def asked_of(proxy: ProxyProcess) -> dict[str, Any]:
    """How the store is to one of them."""
    url = f"http://127.0.0.1:{proxy.admin}/api/stats"
    with urllib.request.urlopen(url, timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)["stores"]["shared"]
    return told


async def until(proxies: list[ProxyProcess], state: str) -> float:
    """How long it takes until the store is so to all of them."""
    began = time.monotonic()
    while True:
        asking = [asyncio.to_thread(asked_of, one) for one in proxies]
        if all(one["state"] == state for one in await asyncio.gather(*asking)):
            return time.monotonic() - began
        if time.monotonic() - began > PATIENCE:
            raise AssertionError(f"it is not {state}")
        await asyncio.sleep(0.02)


async def scenario(seconds: float = 3.0) -> Figures:
    """All of it. `seconds`: of each part."""
    figures = Figures()
    with redis_server() as server:
        text = CONFIG.replace("PATH", server.path).replace("LIMIT", str(LIMIT))
        async with AsyncExitStack() as stack:
            starting = [
                stack.enter_async_context(running_proxy(text)) for _ in range(INSTANCES)
            ]
            proxies = await asyncio.gather(*starting)
            await _act(server, proxies, figures, seconds)
            for proxy in proxies:
                figures.bad_lines += proxy.bad_lines()
    return figures


async def _act(
    server: RedisServer, proxies: list[ProxyProcess], figures: Figures, seconds: float
) -> None:
    await until(proxies, "here")
    await asyncio.sleep(1.2)  # a heartbeat later each knows of the others
    ports = [proxy.port for proxy in proxies]
    limited, wide = Load(ports, "/limited", RATE), Load(ports, "/wide", RATE)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    frozen = time.monotonic()
    server.freeze()
    await until(proxies, "away")
    await asyncio.sleep(seconds)
    thawed = time.monotonic()
    server.thaw()
    figures.noticed_frozen = await until(proxies, "here")
    await asyncio.sleep(1.0)
    killed = time.monotonic()
    server.kill()
    await until(proxies, "away")
    await asyncio.sleep(seconds)
    started = time.monotonic()
    server.start()
    figures.noticed_killed = await until(proxies, "here")
    await asyncio.sleep(0.5)
    await asyncio.gather(limited.stop(), wide.stop())
    figures.failed = limited.failed + wide.failed
    figures.requests = len(limited.admitted) + limited.refused + len(wide.admitted)
    figures.admitted_here = limited.most(began, frozen)
    figures.admitted_away = max(
        limited.most(frozen - 1.0, thawed), limited.most(killed - 1.0, started)
    )
    figures.slowest_here = wide.slowest(began, frozen)
    figures.slowest_away = max(
        wide.slowest(frozen, thawed), wide.slowest(killed, started)
    )
    for proxy in proxies:
        late = [
            at for at, count in (await asyncio.to_thread(proxy.beats)).items() if count
        ]
        figures.latest_beat = max(figures.latest_beat, *late, 0.0)


def told(found: Figures) -> list[str]:
    """The figures as lines."""
    here, away = found.admitted_here, found.admitted_away
    return [
        f"{INSTANCES} instances, {RATE:g} requests/s with a limit of {LIMIT}/s, as many with a wide one",
        f"requests                   {found.requests}, failed: {found.failed or 'none'}",
        f"most admitted in a second  {here} while the store is here, {away} around its absence",
        f"slowest request, ms        {found.slowest_here:.0f} here, {found.slowest_away:.0f} when it goes away",
        f"return noticed after, s    {found.noticed_frozen:.2f} frozen, {found.noticed_killed:.2f} killed",
        f"latest beat of a loop, s   at most {found.latest_beat:g}",
        f"lines that speak of a bug  {found.bad_lines or 'none'}",
    ]


if __name__ == "__main__":
    print("\n".join(told(asyncio.run(scenario(5.0)))))
