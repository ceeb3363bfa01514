"""Large bodies: back-pressure, and that they arrive as they were sent."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time

from tests.system.faults.client import HttpClient, Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.origin import BIG_PIECE
from tests.system.faults.process import pool_config, running_origins
from tests.system.faults.watched import watched_proxy

MIB = 1 << 20


@scenario("L13", "slow readers on both sides")
async def l13(found: Findings, size: Size) -> None:
    """A slow side slows the fast one; nothing piles up, and others do not notice."""
    await _slow_sides(found, size, Front())
    await _slow_sides(found, size, tls_front())


async def _slow_sides(found: Findings, size: Size, front: Front) -> None:
    seconds = size.pick(2.0, 8.0, 30.0)
    each_way = size.pick(5, 20, 20)
    tally = Tally()
    with running_origins(1) as origins:
        # What is in the kernel's buffers keeps slow uploads going at the end.
        config = pool_config(origins, rest='[timeouts]\nshutdown = "1s"\n')
        config = front.in_config(config)
        async with watched_proxy(found, config, files=front.files) as proxy:
            until = time.monotonic() + seconds + 1

            async def down() -> int:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", proxy.port, limit=8192, **front.options
                )
                writer.write(b"GET /big/%d HTTP/1.1\r\nHost: t\r\n\r\n" % (1 << 30))
                taken = 0
                while time.monotonic() < until:
                    taken += len(await reader.read(10240))
                    await asyncio.sleep(0.1)
                writer.transport.abort()
                return taken

            async def up() -> int:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", proxy.port, **front.options
                )
                writer.write(
                    b"POST /slow/102400 HTTP/1.1\r\nHost: t\r\n"
                    b"Content-Length: %d\r\n\r\n" % (1 << 30)
                )
                given = 0
                try:
                    while time.monotonic() < until:
                        writer.write(BIG_PIECE)
                        given += len(BIG_PIECE)
                        left = until - time.monotonic()
                        await asyncio.wait_for(writer.drain(), max(0.01, left))
                except TimeoutError:
                    pass
                writer.transport.abort()
                return given

            base = proxy.reading().rss_kib
            transfers = [
                asyncio.create_task(one())
                for one in (down, up)
                for _ in range(each_way)
            ]
            await asyncio.sleep(0.5)
            await steady_load(
                proxy.port,
                tally,
                numbered("b", 200),
                rate=50,
                seconds=seconds,
                connections=4,
                options=front.options,
            )
            grown = (proxy.reading().rss_kib - base) / 1024
            moved = await asyncio.gather(*transfers)
    found.note(
        f"{front.word}taken by slow readers MiB", f"{sum(moved[:each_way]) / MIB:.1f}"
    )
    found.most(f"{front.word}RSS per transfer", grown / (2 * each_way), 1, " MiB")
    found.equal(f"{front.word}others failed", tally.why() or 0, 0)
    found.soon(f"{front.word}others p99", tally.at(0.99), 100, " ms")


@scenario("L13b", "slow readers of a connection's last answer")
async def last_answers(found: Findings, size: Size) -> None:
    """An answer after which the proxy closes arrives whole, however slowly it is taken."""
    await _last_answers(found, size, Front())
    await _last_answers(found, size, tls_front())


async def _last_answers(found: Findings, size: Size, front: Front) -> None:
    # Longer than a close may take, at a rate at which the kernel's queue stays full.
    slowly = size.pick(3.5, 10.0, 30.0)
    each = size.pick(3, 10, 20)
    length = 3_000_000
    path = b"GET /big/%d HTTP/" % length
    requests = (
        path + b"1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        path + b"1.0\r\nHost: t\r\n\r\n",
    )

    async def take(port: int, request: bytes) -> str:
        """Read slowly, then the rest; what has come."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(
            sock=sock, limit=8192, **front.options
        )
        writer.write(request)
        taken = b""
        until = time.monotonic() + slowly
        try:
            while data := await reader.read(4096):
                taken += data
                if time.monotonic() < until:
                    await asyncio.sleep(0.1)
        except ConnectionError as error:
            return f"{error!r} after {len(taken)}"
        finally:
            writer.transport.abort()
        return "whole" if len(taken.partition(b"\r\n\r\n")[2]) == length else "cut"

    with running_origins(1) as origins:
        config = front.in_config(pool_config(origins))
        async with watched_proxy(found, config, files=front.files) as proxy:
            ends = await asyncio.gather(
                *(take(proxy.port, one) for one in requests for _ in range(each))
            )
    found.equal(f"{front.word}whole", ends.count("whole"), len(ends))
    found.equal(f"{front.word}others", ", ".join(sorted(set(ends) - {"whole"})) or 0, 0)


@scenario("L14", "large bodies both ways")
async def l14(found: Findings, size: Size) -> None:
    """A large body arrives unchanged, and the proxy does not grow."""
    length = size.pick(32, 512, 2048) * MIB
    with running_origins(1) as origins:
        async with watched_proxy(found, pool_config(origins)) as proxy:
            client = HttpClient(proxy.port)
            await client.ask("/body/10/warm")
            client.close()
            base = proxy.reading().rss_kib
            started = time.monotonic()
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", proxy.port, limit=MIB
            )
            writer.write(b"GET /big/%d HTTP/1.1\r\nHost: t\r\n\r\n" % length)
            await reader.readuntil(b"\r\n\r\n")
            digest, left = hashlib.sha256(), length
            while left:
                data = await reader.read(MIB)
                if not data:
                    break
                digest.update(data)
                left -= len(data)
            wanted = hashlib.sha256()
            for _ in range(length // len(BIG_PIECE)):
                wanted.update(BIG_PIECE)
            found.equal("down", digest.hexdigest()[:8], wanted.hexdigest()[:8])
            down = time.monotonic() - started
            writer.write(
                b"POST /post/big HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n"
                % length
            )
            for _ in range(length // len(BIG_PIECE)):
                writer.write(BIG_PIECE)
                await writer.drain()
            await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readexactly(64)
            found.equal("up", answer.decode()[:8], wanted.hexdigest()[:8])
            grown = (proxy.reading().rss_kib - base) / 1024
            writer.close()
    found.note("down MiB/s", int(length / MIB / down))
    found.most("RSS", grown, 16, " MiB")


SCENARIOS = (l13, last_answers, l14)
