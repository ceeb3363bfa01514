"""Three instances that share what they see of targets by a real store, which is frozen, killed and started again.

`python -m tests.system.fleet_scenario` prints the figures; `test_stores` asserts what must hold of them.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from contextlib import AsyncExitStack
from typing import Any

import attrs

from tests.system.faults.client import HttpClient
from tests.system.faults.process import ProxyProcess, running_proxy
from tests.system.redis_server import RedisServer, redis_server
from tests.system.store_scenario import until

WORKERS = (2, 1, 1)
"""Of each instance: those of one are one instance to the others."""
TARGETS = 7
PATIENCE = 20.0
ALONE_SECONDS = 3.0
"""How long one waits to see that nothing happens."""

CONFIG = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
pool = "app"
[store.shared]
url = "unix://PATH"
[pool.app]
targets = [TARGETS]
[pool.app.passive]
statuses = ["500-599"]
share = "shared"
"""


@attrs.define
class Figures:
    """What was seen. `after_`: seconds from the third failure until all have ejected, or from the store's return."""

    after_here: float = 0.0
    after_thaw: float = 0.0
    after_start: float = 0.0
    alone_frozen: list[int] = attrs.Factory(list)
    """Who had ejected while it was frozen: one that saw three failures itself, and nobody else."""
    alone_killed: list[int] = attrs.Factory(list)
    cause: str = ""
    explained: str = ""
    lengths: list[float] = attrs.Factory(list)
    """How long the first target stays out, at each."""
    questions: list[int] = attrs.Factory(list)
    """Of each instance, before anything failed."""
    bad_lines: list[str] = attrs.Factory(list)


class Backend:
    """Answers 200, or 500 while it is `ill`."""

    def __init__(self) -> None:
        self.ill = False
        self.port = 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen on a port of the system's choice."""
        server = await stack.enter_async_context(
            await asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]

    @property
    def id(self) -> str:
        """What the pool calls it."""
        return f"http-127-0-0-1-{self.port}"

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                status = b"500 Ill" if self.ill else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


def told(proxy: ProxyProcess, path: str) -> Any:
    """What its API says."""
    url = f"http://127.0.0.1:{proxy.admin}/api/{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def ejected(proxy: ProxyProcess, backend: Backend) -> bool:
    """Whether it leaves that target alone."""
    state = told(proxy, f"pools/app/{backend.id}")["ejection"]["state"]
    return bool(state == "ejected")


async def out(proxies: list[ProxyProcess], backend: Backend) -> list[int]:
    """Who leaves that target alone, by number."""
    asking = [asyncio.to_thread(ejected, proxy, backend) for proxy in proxies]
    return [n for n, one in enumerate(await asyncio.gather(*asking)) if one]


async def all_out(proxies: list[ProxyProcess], backend: Backend) -> float:
    """Seconds until all do."""
    began = time.monotonic()
    while len(await out(proxies, backend)) < len(proxies):
        if time.monotonic() - began > PATIENCE:
            raise AssertionError("not all eject it")
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def failures(proxy: ProxyProcess, times: int = 1) -> None:
    """Requests, until so many were answered with 500."""
    client = HttpClient(proxy.port)
    for _ in range(50 * times):
        times -= (await client.ask("/")).status == 500
        if not times:
            break
    client.close()
    if times:
        raise AssertionError("the target gets no requests")


async def scenario() -> Figures:
    """All of it."""
    figures = Figures()
    with redis_server() as server:
        async with AsyncExitStack() as stack:
            backends = [Backend() for _ in range(TARGETS)]
            for one in backends:
                await one.start(stack)
            urls = ", ".join(f'"http://127.0.0.1:{one.port}"' for one in backends)
            text = CONFIG.replace("PATH", server.path).replace("TARGETS", urls)
            starting = [
                stack.enter_async_context(running_proxy(text, workers=workers))
                for workers in WORKERS
            ]
            proxies = await asyncio.gather(*starting)
            await _act(server, proxies, backends, figures)
            for proxy in proxies:
                figures.bad_lines += proxy.bad_lines()
    return figures


async def _act(
    server: RedisServer,
    proxies: list[ProxyProcess],
    backends: list[Backend],
    figures: Figures,
) -> None:
    first, second, third = backends[:3]
    await until(proxies, "here")
    for proxy in proxies:
        client = HttpClient(proxy.port)
        for _ in range(50):
            await client.ask("/")
        client.close()
        asked = await asyncio.to_thread(told, proxy, "stats")
        figures.questions.append(asked["stores"]["shared"]["questions"]["asked"])

    first.ill = True
    for proxy in proxies:
        await failures(proxy)
    figures.after_here = await all_out(proxies, first)
    for proxy in proxies:
        said = await asyncio.to_thread(told, proxy, f"explain/app/{first.id}")
        [fact] = [one for one in said["facts"] if one["fact"] == "ejection"]
        figures.explained, figures.cause = fact["detail"], fact["cause"]
        length = fact["since_seconds"] + float(
            said["summary"].split("in ")[1].split()[0]
        )
        figures.lengths.append(length)

    server.freeze()
    await until(proxies, "away")
    second.ill = True
    for proxy in proxies:
        await failures(proxy)
    await failures(proxies[0], 2)
    await asyncio.sleep(ALONE_SECONDS)
    figures.alone_frozen = await out(proxies, second)
    server.thaw()
    figures.after_thaw = await all_out(proxies, second)

    server.kill()
    await until(proxies, "away")
    third.ill = True
    for proxy in proxies:
        await failures(proxy)
    await asyncio.sleep(ALONE_SECONDS)
    figures.alone_killed = await out(proxies, third)
    server.start()
    figures.after_start = await all_out(proxies, third)


def lines(found: Figures) -> list[str]:
    """The figures as lines."""
    return [
        f"{len(WORKERS)} instances, of {WORKERS} workers; {TARGETS} targets, max_fails = 3, one failure at each",
        f"questions before any       {found.questions}",
        f"all eject after, s         {found.after_here:.2f}, for {[round(s, 1) for s in found.lengths]}",
        f"                           {found.cause}",
        f"ejected by, store frozen   {found.alone_frozen}, by all {found.after_thaw:.2f} s after its return",
        f"ejected by, store killed   {found.alone_killed}, by all {found.after_start:.2f} s after it was started",
        f"lines that speak of a bug  {found.bad_lines or 'none'}",
    ]


if __name__ == "__main__":
    print("\n".join(lines(asyncio.run(scenario()))))
