"""Uploads that take their time: longer than `timeout.read`, stalled, and hung up on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.request
from collections import Counter
from typing import Any

from tests.system.faults.client import HttpClient, Tally, numbered, steady_load
from tests.system.faults.figures import Findings, Size, scenario
from tests.system.faults.front import Front, tls_front
from tests.system.faults.origin import body_of
from tests.system.faults.process import ProxyProcess, pool_config, running_origins
from tests.system.faults.watched import watched_proxy

READ_SECONDS = 1.0
STRICT_SECONDS = 1.3
"""Longer than a second, so that it is the client's doing."""
BIG = 30 << 20
PIECES = 30

LIMITS = f"[pool.p.timeout]\nread = {READ_SECONDS}\n"
CLIENTS = "[timeouts]\nbody = 3\n"


async def steady_upload(
    port: int, path: str, body: bytes, seconds: float, front: Front, expect: bool
) -> str:
    """Send `body` in pieces that never pause for long; "ok", or what went wrong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **front.options)
    word = b"Expect: 100-continue\r\n" if expect else b""
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n%b\r\n"
        % (path.encode(), len(body), word)
    )
    try:
        if expect:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 100 " not in head:
                return head[9:12].decode()
        piece = len(body) // PIECES
        for at in range(0, len(body), piece):
            writer.write(body[at : at + piece])
            await writer.drain()
            await asyncio.sleep(seconds / PIECES)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            return head[9:12].decode()
        answer = await reader.readexactly(64)
    except (OSError, EOFError) as error:
        return type(error).__name__
    finally:
        writer.close()
    return "ok" if answer == hashlib.sha256(body).hexdigest().encode() else "wrong"


async def stalled_upload(port: int, front: Front) -> str:
    """Send the half of a body and no more; how that ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **front.options)
    writer.write(
        b"POST /strict/%g HTTP/1.1\r\nHost: t\r\nContent-Length: 400000\r\n\r\n%b"
        % (STRICT_SECONDS, b"x" * 200000)
    )
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[9:12].decode()
    except (OSError, EOFError) as error:
        return type(error).__name__
    finally:
        writer.close()


def record_of(proxy: ProxyProcess) -> list[dict[str, Any]]:
    """What the proxy has on its targets."""
    url = f"http://127.0.0.1:{proxy.admin}/api/pools/p"
    with urllib.request.urlopen(url, timeout=5) as answer:
        targets: list[dict[str, Any]] = json.load(answer)["targets"]
    return targets


@scenario("L53", "uploads longer than timeout.read, and stalled ones")
async def l53(found: Findings, size: Size) -> None:
    """Slow clients are served at their pace, stalled ones cost nobody else anything."""
    for front in (Front(), tls_front()):
        await _uploads(found, size, front)


async def _uploads(found: Findings, size: Size, front: Front) -> None:
    rounds = size.pick(1, 3, 20)
    tally, ended = Tally(), Counter[str]()
    uploads: Counter[str] = Counter()
    with running_origins(2) as origins:
        config = front.in_config(pool_config(origins, pool=LIMITS, rest=CLIENTS))
        async with watched_proxy(found, config, files=front.files) as proxy:

            async def steady(path: str, number: int, length: int, expect: bool) -> None:
                body = body_of(length, f"{path}{number}")
                outcome = await steady_upload(
                    proxy.port, f"{path}u{number}", body, 3.0, front, expect
                )
                uploads[outcome if outcome == "ok" else f"{path} {outcome}"] += 1

            async def stalled() -> None:
                ended[await stalled_upload(proxy.port, front)] += 1

            stop = asyncio.Event()
            load = asyncio.create_task(
                steady_load(
                    proxy.port,
                    tally,
                    numbered("b", 200),
                    rate=50,
                    seconds=600,
                    connections=4,
                    until=stop,
                    options=front.options,
                )
            )
            for number in range(rounds):
                await asyncio.gather(
                    *(
                        steady("/post/", number * 10 + n, 30000, False)
                        for n in range(3)
                    ),
                    *(
                        steady("/post/", number * 10 + 3 + n, 30000, True)
                        for n in range(3)
                    ),
                    steady("/post/", number * 10 + 6, BIG, True),
                    steady("/begun/", number * 10 + 7, 30000, False),
                    steady("/begun/", number * 10 + 8, BIG, False),
                    *(stalled() for _ in range(10)),
                )
            stop.set()
            await load
            targets = await asyncio.to_thread(record_of, proxy)
            client = HttpClient(proxy.port, options=front.options)
            found.equal(
                f"{front.word}afterwards", (await client.ask("/body/10/z")).status, 200
            )
            client.close()
    bad = uploads.total() - uploads["ok"]
    found.equal(f"{front.word}uploads failed", dict(uploads) if bad else 0, 0)
    found.equal(f"{front.word}others failed", tally.why() or 0, 0)
    found.note(f"{front.word}stalled ended with", dict(ended))
    for name in ("failures", "ejections"):
        total = sum(target["counters"][name] for target in targets)
        found.equal(f"{front.word}{name} of targets", total, 0)


SCENARIOS = (l53,)
