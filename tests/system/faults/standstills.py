"""Peers that are slow but steady, and processes that stand still: the proxy, a target."""

from __future__ import annotations

import asyncio
import collections
import json
import signal
import socket
import time
import urllib.request
from typing import Any

from tests.system.faults.client import HttpClient, Visible
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.process import (
    ProxyProcess,
    pool_config,
    running_origins,
    running_proxy,
)
from tests.system.faults.watched import watched_proxy

LIMIT = 3.0
"""Seconds without a byte that both sides are allowed."""

LIMITS = f"""
[pool.p.timeout]
read = "{LIMIT}s"
write = "{LIMIT}s"
"""

STEADY = f'[timeouts]\nbody = "{LIMIT}s"\nwrite = "{LIMIT}s"\nshutdown = "1s"\n'

KINDS = {"counted": "/big/{}", "chunked": "/chunked/{}/x"}

UPLOAD_RATE = 400_000
"""Bytes per second that an origin takes."""

BUFFERED = 12_000_000
"""More than all the kernels' buffers on the way take."""

WINDOW = 2_000_000
"""What a reader's kernel may take of an answer ahead of it. It confirms a sixteenth of its buffer at a time, and left
to itself lets that grow with every burst: at 32 MiB, a reader of 150 kB/s is silent for 14 s, which nobody can tell
from a stalled one."""


async def _read_steadily(
    port: int, path: str, rate: int, seconds: float, options: dict[str, Any]
) -> str:
    """Take `rate` bytes a second of an answer; "" or how it ended before its time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=8192, **options)
    path = path.format(int(rate * seconds) + BUFFERED)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    started, taken = time.monotonic(), 0
    try:
        while time.monotonic() < started + seconds:
            data = await asyncio.wait_for(reader.read(rate // 10), 5)
            if not data:
                return "closed"
            taken += len(data)
            due = started + taken / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    finally:
        writer.transport.abort()
    return ""


async def _send_to_slow(port: int, rate: int, length: int, chunked: bool) -> str:
    """Send a body that the origin takes at `rate` bytes a second; "" or what went wrong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d"
    if not chunked:
        framing %= length
    writer.write(b"POST /slow/%d HTTP/1.1\r\nHost: t\r\n%b\r\n\r\n" % (rate, framing))
    piece = bytes(50_000)
    try:
        for _ in range(length // len(piece)):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)
    except (OSError, EOFError, TimeoutError) as error:
        return type(error).__name__
    finally:
        writer.transport.abort()
    return "" if b" 200 " in head[:15] else head[9:12].decode()


@scenario("L50", "slow-but-steady readers")
async def l50(found: Findings, size: Size) -> None:
    """Who takes bytes without a pause is never cut, at whatever rate, on either side."""
    await _steady(found, size, Front(), uploads=True)
    if size.level:
        await _steady(found, size, tls_front(), uploads=False)


async def _steady(found: Findings, size: Size, front: Front, uploads: bool) -> None:
    seconds = size.pick(10.0, 20.0, 60.0)
    rates = size.pick((150_000,), (150_000, 400_000), (150_000, 400_000, 10**6))
    each = size.pick(1, 3, 10)
    with running_origins(1) as origins:
        config = front.in_config(pool_config(origins, pool=LIMITS, rest=STEADY))
        async with watched_proxy(found, config, files=front.files) as proxy:
            work = {
                f"{kind} at {rate // 1000} kB/s": [
                    _read_steadily(proxy.port, path, rate, seconds, front.options)
                    for _ in range(each)
                ]
                for kind, path in KINDS.items()
                for rate in rates
            }
            if uploads:
                # What fits the kernels' queues has soon left the proxy, but not arrived.
                for word, chunked in (("counted", False), ("chunked", True)):
                    work[f"{word} upload"] = [
                        _send_to_slow(proxy.port, UPLOAD_RATE, length, chunked)
                        for length in (5 * UPLOAD_RATE, 20 * UPLOAD_RATE)
                    ]
            ended = await asyncio.gather(
                *(asyncio.gather(*group) for group in work.values())
            )
    for word, how in zip(work, ended, strict=True):
        bad = collections.Counter(one for one in how if one)
        found.equal(f"{front.word}{word} cut", dict(bad) or 0, 0)


async def _ask_often(
    port: int, path: str, seconds: float, workers: int, took: list[float]
) -> collections.Counter[str]:
    """Ask again and again; what was answered other than 200. `took`: seconds of each."""
    wrong: collections.Counter[str] = collections.Counter()
    until = time.monotonic() + seconds

    async def work() -> None:
        client = HttpClient(port)
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                answer = await asyncio.wait_for(client.ask(path), 30)
            except (Visible, OSError, TimeoutError) as error:
                client.close()
                wrong[str(error) or type(error).__name__] += 1
                continue
            took.append(time.monotonic() - started)
            if answer.status != 200:
                wrong[str(answer.status)] += 1
        client.close()

    await asyncio.gather(*(work() for _ in range(workers)))
    return wrong


def _downs(proxy: ProxyProcess) -> list[str]:
    """The events that took a target out of service."""
    url = f"http://127.0.0.1:{proxy.admin}/api/events"
    with urllib.request.urlopen(url, timeout=5) as answer:
        events = json.load(answer)["events"]
    return [
        f"{one['fact']} {one['cause']}"
        for one in events
        if one["new"] in ("down", "ejected")
    ]


@scenario("L51", "a frozen proxy")
async def l51(found: Findings, size: Size) -> None:
    """After a standstill what has come is read first: no 504, and no target goes down."""
    frozen = 3.5
    pool = (
        '[pool.p.health]\ninterval = "500ms"\ntimeout = "1s"\n'
        "[pool.p.passive]\nmax_fails = 1\n"
        '[pool.p.timeout]\nconnect = "1s"\nread = "2s"\n'
    )
    took: list[float] = []
    with running_origins(2) as origins:
        # Not watched: that it stands still is our doing.
        async with running_proxy(pool_config(origins, pool=pool)) as proxy:
            load = asyncio.create_task(
                _ask_often(
                    proxy.port,
                    "/wait/0.5/x",
                    size.pick(2.0, 4.0, 30.0) + 2 * frozen,
                    size.pick(30, 200, 500),
                    took,
                )
            )
            # The second comes before the first is caught up with.
            for _ in range(size.pick(2, 2, 6)):
                await asyncio.sleep(1.0)
                proxy.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(frozen)
                proxy.process.send_signal(signal.SIGCONT)
            wrong = await load
            downs = await asyncio.to_thread(_downs, proxy)
            bad = proxy.bad_lines()
    found.note("answers", len(took))
    found.equal("not answered with 200", dict(wrong) or 0, 0)
    found.equal("targets taken down", downs or 0, 0)
    found.equal("log", bad or "clean", "clean")


@scenario("L52", "a frozen target")
async def l52(found: Findings, size: Size) -> None:
    """Requests that wait at a target that checks take down are answered by another."""
    pool = (
        '[pool.p.health]\ninterval = "500ms"\ntimeout = "500ms"\nfall = 2\n'
        '[pool.p.timeout]\nread = "20s"\n'
    )
    took: list[float] = []
    with running_origins(2) as origins:
        async with watched_proxy(found, pool_config(origins, pool=pool)) as proxy:
            load = asyncio.create_task(
                _ask_often(
                    proxy.port,
                    "/wait/0.1/x",
                    size.pick(5.0, 6.0, 10.0),
                    size.pick(16, 100, 200),
                    took,
                )
            )
            await asyncio.sleep(1.0)
            origins[0].signal(signal.SIGSTOP)
            wrong = await load
            origins[0].signal(signal.SIGCONT)
    found.note("answers", len(took))
    found.equal("failed", dict(wrong) or 0, 0)
    found.soon("slowest", max(took), 3.0, " s")


SCENARIOS = (l50, l51, l52)
