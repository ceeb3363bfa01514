"""A client that must always be served, whatever others do to the proxy.

It runs in a process of its own with an origin of its own, so that what it measures is
the proxy and not the fuzzer. May import: nothing of ours. Used by: fuzz.
"""

from __future__ import annotations

import asyncio
import time
from multiprocessing.connection import Connection


def canary(pipe: Connection) -> None:
    """In a process of its own: an origin, and a client that asks it through the proxy.

    Sends the origin's port, receives the proxy's, and sends figures when told to stop.
    """
    asyncio.run(_canary(pipe))


async def _canary(pipe: Connection) -> None:
    async def serve(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await r.readuntil(b"\r\n\r\n")
                body = head.split(b" ", 2)[1]
                w.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
        except (EOFError, OSError, asyncio.CancelledError):
            w.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    while not pipe.poll():
        await asyncio.sleep(0.01)
    port = pipe.recv()
    seconds: list[float] = []
    failed = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not pipe.poll():
        target = b"/canary/%d" % len(seconds)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(5):
                writer.write(b"GET %b HTTP/1.1\r\nHost: canary.test\r\n\r\n" % target)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(len(target))
        except (EOFError, OSError, TimeoutError):
            failed += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        seconds.append(time.perf_counter() - started)
        failed += body != target or not head.startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.005)
    seconds.sort()
    pipe.send(
        {
            "requests": len(seconds),
            "failed": failed,
            "p50_ms": round(1000 * seconds[len(seconds) // 2], 2),
            "p99_ms": round(1000 * seconds[len(seconds) * 99 // 100], 2),
            "max_ms": round(1000 * seconds[-1], 2),
        }
    )
    writer.close()
    server.close()
