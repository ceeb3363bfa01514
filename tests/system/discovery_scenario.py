"""Engines that say which targets there are, killed and frozen under load; and a thousand targets that come and go.

`python -m tests.system.discovery_scenario [SECONDS] [NAME...]` prints the figures; `test_engines` asserts what has
to hold of them. SECONDS: how long each stands still (6), and a tenth of the minute that targets change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.system.engines import Engine, Etcd, Knot, Stand
from tests.system.faults.client import Tally, numbered, steady_load
from tests.system.faults.origin import OriginConnection
from tests.system.faults.process import ProxyProcess, free_ports, running_proxy

RATE = 300.0
CONNECTIONS = 8
PATIENCE = 30.0
MANY, AT_ONCE = 1000, 100

CONFIG = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
pool = "p"
[pool.p]
targets = []
[pool.p.discover]
settle = "1s"
"""

Hosts = Sequence[tuple[str, int]]


class Source:
    """An engine, how a pool asks it, and how it is told what there is."""

    def __init__(
        self, engine: Engine, settings: str, say: Callable[[Hosts], None]
    ) -> None:
        self.engine, self.settings, self.say = engine, settings, say


def etcd_source() -> Source:
    """Keys below a prefix."""
    etcd = Etcd()
    there: dict[str, str] = {}

    def say(hosts: Hosts) -> None:
        wanted = {f"/t/{host}:{port}": f"http://{host}:{port}" for host, port in hosts}
        puts = {key: url for key, url in wanted.items() if key not in there}
        gone = [key for key in there if key not in wanted]
        etcd.change(puts, gone)
        there.clear()
        there.update(wanted)

    return Source(etcd, f'type = "etcd"\nurl = "{etcd.url}"\nprefix = "/t/"\n', say)


def dns_source() -> Source:
    """Addresses of a name, with a time to live of a second; all on one port."""
    knot = Knot()

    def say(hosts: Hosts) -> None:
        knot.say(*(f"app 1 A {host}" for host, _ in hosts))

    settings = f'type = "dns"\nname = "app.example.test"\nport = PORT\nresolvers = ["127.0.0.1:{knot.port}"]\n'
    return Source(knot, settings, say)


def srv_source() -> Source:
    """Hosts and ports of a service."""
    knot = Knot()

    def say(hosts: Hosts) -> None:
        records = []
        for number, (host, port) in enumerate(hosts):
            records.append(f"_http._tcp 1 SRV 0 1 {port} h{number}")
            records.append(f"h{number} 1 A {host}")
        knot.say(*records)

    settings = f'type = "srv"\nname = "_http._tcp.example.test"\nresolvers = ["127.0.0.1:{knot.port}"]\n'
    return Source(knot, settings, say)


def consul_source() -> Source:
    """Instances of a service; the stand-in for Consul."""
    stand = Stand()
    settings = f'type = "consul"\nurl = "{stand.url}"\nservice = "app"\n'
    return Source(stand, settings, lambda hosts: stand.say(list(hosts)))


def http_source() -> Source:
    """A list, asked for every second."""
    stand = Stand()
    settings = f'type = "http"\nurl = "{stand.url}/targets"\ninterval = "1s"\n'
    return Source(stand, settings, lambda hosts: stand.say(list(hosts)))


SOURCES = {
    "etcd": etcd_source,
    "dns": dns_source,
    "consul": consul_source,
    "http": http_source,
}


@attrs.define
class Figures:
    """What was seen. Times are seconds."""

    name: str
    requests: int = 0
    failed: int = 0
    why: str = ""
    recovery: float = 0.0
    latency: float = 0.0
    cpu: float = 0.0
    idle_cpu: float = 0.0
    changes: int = 0
    beats: dict[float, int] = attrs.Factory(dict)
    held: float = 0.0
    state: str = ""
    bad_lines: list[str] = attrs.Factory(list)

    def line(self) -> str:
        """For people."""
        late = {f"{at * 1000:g}": n for at, n in self.beats.items() if n}
        said = [
            f"{self.name:>16}: {self.failed} of {self.requests} requests failed{f' ({self.why})' if self.why else ''}"
        ]
        if self.recovery:
            said.append(f"recovery noticed after {self.recovery:.2f} s")
        if self.changes:
            said.append(
                f"{self.changes} changes, CPU {100 * self.cpu:.0f} % (without changes {100 * self.idle_cpu:.0f} %)"
            )
        said.append(f"p99 {self.latency:.1f} ms, loop late by at most ms: {late}")
        if self.state:
            said.append(f"meanwhile {self.state}")
        return "; ".join(said + self.bad_lines[:1])


@contextlib.asynccontextmanager
async def origin() -> AsyncIterator[int]:
    """An origin at every address of this machine; its port."""
    from random import Random

    from tests.system.faults.origin import Counters

    counters, chance = Counters(), Random(1)
    server = await asyncio.get_running_loop().create_server(
        lambda: OriginConnection(counters, -1, 0.0, chance), "0.0.0.0", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def discovery(proxy: ProxyProcess) -> dict[str, Any]:
    """What the proxy knows of its discovery."""
    url = f"http://127.0.0.1:{proxy.admin}/api/pools/p"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)["discovery"]
    return found


async def until(proxy: ProxyProcess, what: Callable[[dict[str, Any]], bool]) -> float:
    """How long it took until it was so."""
    began, seen = time.monotonic(), None
    while True:
        with contextlib.suppress(OSError):  # its admin endpoint is the last to listen
            seen = await asyncio.to_thread(discovery, proxy)
        if seen is not None and what(seen):
            break
        if time.monotonic() - began > PATIENCE:
            raise AssertionError(f"it has not come about: {seen}")
        await asyncio.sleep(0.03)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def under_load(proxy: ProxyProcess, figures: Figures) -> AsyncIterator[None]:
    """Clients that ask all the time."""
    tally, over = Tally(), asyncio.Event()
    load = asyncio.ensure_future(
        steady_load(
            proxy.port,
            tally,
            numbered("n", 100),
            rate=RATE,
            seconds=600,
            connections=CONNECTIONS,
            until=over,
        )
    )
    try:
        yield
    finally:
        over.set()
        await load
        figures.requests = tally.ok + tally.failures + tally.wrong
        figures.failed, figures.why = tally.failures + tally.wrong, tally.why()
        figures.latency = tally.at(0.99) if tally.seconds else 0.0
        figures.beats = proxy.beats()
        figures.held = proxy.longest_hold()
        figures.bad_lines = proxy.bad_lines()


def hosts(port: int, first: int, count: int) -> list[tuple[str, int]]:
    """So many addresses of the origin."""
    return [
        (f"127.0.{1 + number // 250}.{1 + number % 250}", port)
        for number in range(first, first + count)
    ]


async def outage(name: str, how: str, seconds: float) -> Figures:
    """The engine is killed, or frozen, for so long; what comes after that is noticed."""
    source, figures = SOURCES[name](), Figures(f"{name} {how}")
    async with origin() as port:
        with source.engine as engine:
            await asyncio.to_thread(source.say, hosts(port, 0, 2))
            config = CONFIG + source.settings.replace("PORT", str(port))
            async with running_proxy(config) as proxy:
                await until(proxy, lambda seen: seen["targets"] == 2)
                async with under_load(proxy, figures):
                    await asyncio.sleep(0.5)
                    engine.kill() if how == "killed" else engine.freeze()
                    await asyncio.sleep(seconds)
                    seen = await asyncio.to_thread(discovery, proxy)
                    figures.state = f"{seen['state']}, {seen['targets']} targets"
                    if how == "killed":
                        await asyncio.to_thread(engine.start)
                    else:
                        engine.thaw()
                    # It comes back, and has news.
                    began = time.monotonic()
                    await asyncio.to_thread(source.say, hosts(port, 0, 3))
                    await until(proxy, lambda seen: seen["targets"] == 3)
                    figures.recovery = time.monotonic() - began
                    await asyncio.sleep(0.5)
    return figures


async def churn(name: str, seconds: float) -> Figures:
    """A thousand targets, of which a hundred are others each second."""
    figures = Figures(f"{name} changing")
    async with origin() as port:
        say: Callable[[Hosts], None]
        with contextlib.ExitStack() as stack:
            if name == "file":
                [number] = free_ports(1)
                path = Path(f"/tmp/lolly-targets-{number}.json")
                stack.callback(path.unlink, missing_ok=True)
                settings = f'type = "file"\npath = "{path}"\n'

                def write(there: Hosts) -> None:
                    fresh = path.with_suffix(".new")
                    fresh.write_text(json.dumps([f"http://{h}:{p}" for h, p in there]))
                    fresh.rename(path)

                say = write
            else:
                source = SOURCES[name]()
                stack.enter_context(source.engine)
                settings = source.settings.replace("PORT", str(port))
                say = source.say
            first = 0
            await asyncio.to_thread(say, hosts(port, first, MANY))
            async with running_proxy(CONFIG + settings) as proxy:
                await until(proxy, lambda seen: seen["targets"] == MANY)
                await asyncio.sleep(1)
                before = Figures("")
                async with under_load(proxy, before):
                    figures.idle_cpu = await proxy.idle_cpu(min(5.0, seconds))
                quiet = dict(before.beats)
                async with under_load(proxy, figures):
                    cpu, began = proxy.reading().cpu, time.monotonic()
                    due = began
                    while time.monotonic() < began + seconds:
                        first += AT_ONCE
                        await asyncio.to_thread(say, hosts(port, first, MANY))
                        figures.changes += 1
                        due += 1.0
                        await asyncio.sleep(max(0.0, due - time.monotonic()))
                    took = time.monotonic() - began
                    figures.cpu = (proxy.reading().cpu - cpu) / took
                figures.beats = {
                    at: count - quiet.get(at, 0) for at, count in figures.beats.items()
                }
                await until(proxy, lambda seen: seen["targets"] == MANY)
    return figures


async def scenario(seconds: float, names: Sequence[str]) -> AsyncIterator[Figures]:
    """All of it, one after the other."""
    for name in names:
        if name in SOURCES:
            for how in ("killed", "frozen"):
                yield await outage(name, how, seconds)
    for name in ("file", "etcd"):
        if f"churn-{name}" in names:
            yield await churn(name, 10 * seconds)


async def _print(seconds: float, names: Sequence[str]) -> None:
    async for figures in scenario(seconds, names):
        print(figures.line(), flush=True)


def main() -> None:
    """Print the figures."""
    words = sys.argv[1:]
    seconds = float(words.pop(0)) if words and words[0][0].isdigit() else 6.0
    everything = [*SOURCES, "churn-file", "churn-etcd"]
    asyncio.run(_print(seconds, words or everything))


if __name__ == "__main__":
    main()
