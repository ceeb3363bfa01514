"""Tunnels: connectors that are killed, stopped and cut off, with many streams and under load."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

from tests.system.faults.client import Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.process import (
    ProxyProcess,
    free_ports,
    running_origins,
    running_proxy,
)
from tests.system.faults.relay import reset
from tests.system.faults.watched import watched_proxy

HEARTBEAT = 1.0
WORD_BYTES = 16

SERVER = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
pool = "p"
[pool.p]
targets = [{{ endpoint = "tunnel:home:web" }}]
[tunnel.edge]
endpoint = "tcp:{edge}:interface=127.0.0.1"
heartbeat = "{heartbeat:g}s"
connectors.home = {{ secret = "sixteen letters!", services = ["web"], ports = [{port}] }}
"""
CONNECTOR = """
[admin]
endpoint = "tcp:@admin@:interface=127.0.0.1"
[listener.web]
endpoint = "tcp:@port@:interface=127.0.0.1"
[[route]]
respond = {{ body = "up" }}
[connector.home]
server = "tcp:127.0.0.1:{edge}"
secret = "sixteen letters!"
heartbeat = "{heartbeat:g}s"
services = {{ web = "tcp:127.0.0.1:{target}" }}
publish = [{{ service = "web", port = {port} }}]
"""


class Echo:
    """The service: says again what it hears, and keeps all words it has heard, of which none comes twice."""

    def __init__(self) -> None:
        self.heard: set[bytes] = set()
        self.twice = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Where it listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                word = await reader.readexactly(WORD_BYTES)
                self.twice += word in self.heard
                self.heard.add(word)
                writer.write(word)
                await writer.drain()
        writer.close()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()


class Cut:
    """A network between connector and server, that can be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Where it listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            there, way = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._ends |= {writer, way}
        await asyncio.gather(self._pass(reader, way), self._pass(there, writer))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self._ends.discard(writer)

    def cut(self) -> None:
        """All connections break."""
        for one in [*self._ends]:
            reset(one.transport)

    def stop(self) -> None:
        """Listen no more, and break what is there."""
        if self._server is not None:
            self._server.close()
        self.cut()


class Streams:
    """Clients of a published port that speak all the time. `ended`: when each was cut, since `at`."""

    def __init__(self, port: int, count: int) -> None:
        self.ended: list[float] = []
        self.at = 0.0
        self.spoke = 0
        self._port = port
        self._tasks = [asyncio.create_task(self._speak(n)) for n in range(count)]

    async def _speak(self, which: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        first = True
        try:
            for number in range(1 << 30):
                word = b"%d %d" % (which, time.monotonic_ns() + number)
                writer.write(word[-WORD_BYTES:].rjust(WORD_BYTES))
                await writer.drain()
                await reader.readexactly(WORD_BYTES)
                self.spoke += first
                first = False
                await asyncio.sleep(0.05)
        except (OSError, asyncio.IncompleteReadError):
            self.ended.append(time.monotonic() - self.at)
        writer.close()

    async def all_speak(self) -> None:
        """Each has heard an answer."""
        until = time.monotonic() + 30
        while self.spoke < len(self._tasks) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)

    async def end(self, seconds: float) -> None:
        """Wait until all were cut, no longer than that."""
        await asyncio.wait(self._tasks, timeout=seconds)
        for one in self._tasks:
            one.cancel()


async def reached(port: int, seconds: float) -> float:
    """How long it takes until a word comes back from the published port."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    word = b"%d" % time.monotonic_ns()
                    writer.write(word[-WORD_BYTES:].rjust(WORD_BYTES))
                    await reader.readexactly(WORD_BYTES)
                    return time.monotonic() - began
                finally:
                    writer.close()
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def connecting(edge: int, target: int, port: int) -> AsyncIterator[ProxyProcess]:
    """A connector as a process."""
    text = CONNECTOR.format(edge=edge, target=target, port=port, heartbeat=HEARTBEAT)
    async with running_proxy(text) as proxy:
        yield proxy


@scenario("L33", "a connector with 100 streams is killed, stopped, cut off")
async def l33(found: Findings, size: Size) -> None:
    """Streams fail visibly within two heartbeats, the tunnel is back in seconds, and no byte is delivered twice."""
    count = size.pick(40, 100, 100)
    edge, port = free_ports(2)
    echo = Echo()
    target = await echo.start()
    text = SERVER.format(edge=edge, port=port, heartbeat=HEARTBEAT)
    async with watched_proxy(found, text) as proxy:
        cable = Cut(edge)
        via = await cable.start()
        before = 0

        async def lose(what: str, streams: Streams) -> None:
            await streams.end(20.0)
            found.equal(f"{what}: streams cut", len(streams.ended), count)
            worst = max(streams.ended, default=20.0)
            found.soon(f"{what}: the last after", worst, 2 * HEARTBEAT + 0.5, " s")

        async def begin() -> Streams:
            streams = Streams(port, count)
            await streams.all_speak()
            return streams

        async with connecting(via, target, port) as connector:
            await reached(port, 20)
            before = proxy.reading().fds
            streams = await begin()
            streams.at = time.monotonic()
            cable.cut()
            await lose("cut", streams)
            found.soon("cut: back after", await reached(port, 20), 5.0, " s")

            streams = await begin()
            streams.at = time.monotonic()
            connector.process.send_signal(signal.SIGSTOP)
            await lose("stopped", streams)
            connector.process.send_signal(signal.SIGCONT)
            found.soon("stopped: back after", await reached(port, 20), 5.0, " s")

            streams = await begin()
            streams.at = time.monotonic()
            connector.process.kill()
            await lose("killed", streams)
        async with connecting(via, target, port):
            found.soon("killed: back after", await reached(port, 20), 5.0, " s")
            fds, _ = await proxy.fds_fall_to(before, 10.0)
            found.most("descriptors more", fds - before, 0)
        cable.stop()
    echo.stop()
    found.equal("words delivered twice", echo.twice, 0)
    found.note("words", len(echo.heard))


@scenario("L33b", "one of two connectors of a name is killed under load")
async def l33b(found: Findings, size: Size) -> None:
    """Requests go to the other one: no GET fails."""
    seconds = size.pick(6.0, 12.0, 60.0)
    edge, port = free_ports(2)
    tally, done = Tally(), asyncio.Event()
    text = SERVER.format(edge=edge, port=port, heartbeat=HEARTBEAT)
    killed = 0
    with running_origins(1) as origins:
        async with watched_proxy(found, text) as proxy:
            async with contextlib.AsyncExitStack() as stack:
                running = []
                for _ in range(2):
                    more = connecting(edge, origins[0].port, port)
                    running.append(await stack.enter_async_context(more))
                await until_joined(proxy, 2)
                load = asyncio.create_task(
                    steady_load(
                        proxy.port,
                        tally,
                        numbered("t", 2000),
                        rate=200,
                        seconds=3600,
                        connections=16,
                        until=done,
                    )
                )
                began = time.monotonic()
                while time.monotonic() < began + seconds:
                    await asyncio.sleep(1.0)
                    joined = proxy.log_text().count(JOINED)
                    running.pop(0).process.kill()
                    killed += 1
                    more = connecting(edge, origins[0].port, port)
                    running.append(await stack.enter_async_context(more))
                    await until_joined(proxy, joined + 1)
                done.set()
                await load
    found.least("connectors killed", killed, 1)
    found.least("GETs", tally.ok, 100)
    found.equal("failed", tally.why() or 0, 0)
    found.equal("wrong", tally.wrong, 0)
    found.note("p99", f"{tally.at(0.99):.0f} ms")


JOINED = "connector home: gone -> connected"


async def until_joined(proxy: ProxyProcess, count: int) -> None:
    """So many have connected since the beginning."""
    until = time.monotonic() + 30
    while proxy.log_text().count(JOINED) < count and time.monotonic() < until:
        await asyncio.sleep(0.02)


SCENARIOS = (l33, l33b)
