"""Clients that count what they get: right, failed, wrong, and how long it took."""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from tests.system.faults.figures import percentile
from tests.system.faults.origin import body_of

LATE_SECONDS = 2.0
"""An answer that takes longer is a failure."""

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
"""Of `loop.create_connection`, for a plain connection."""

_FAILURES = (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError)


class Visible(Exception):
    """A failure the client can see: a status, a cut connection."""


@attrs.define
class Tally:
    """Counts. `wrong`: bodies that are not the ones asked for, without any sign of it."""

    ok: int = 0
    wrong: int = 0
    failed: collections.Counter[str] = attrs.Factory(collections.Counter)
    seconds: list[float] = attrs.Factory(list)

    @property
    def failures(self) -> int:
        """All that failed visibly."""
        return self.failed.total()

    def at(self, share: float) -> float:
        """Milliseconds that `share` of the right answers took at most."""
        return 1000 * percentile(self.seconds, share)

    def why(self) -> str:
        """The commonest failures, for a message."""
        return ", ".join(f"{n} x {what}" for what, n in self.failed.most_common(3))


@attrs.define
class Response:
    """What came back."""

    status: int
    head: bytes
    body: bytes


class HttpClient:
    """One connection at a time to `port`; opened again when it was closed."""

    def __init__(
        self, port: int, limit: int = 1 << 20, options: Mapping[str, Any] = NO_OPTIONS
    ) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self._limit = limit
        self._options = options

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, limit=self._limit, **self._options
        )

    def close(self) -> None:
        """Close."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    async def ask(
        self, path: str, *, method: str = "GET", body: bytes = b"", head: str = ""
    ) -> Response:
        """One request. Raises `Visible` for a response that cannot be complete."""
        if self.writer is None:
            await self.open()
        assert self.reader is not None and self.writer is not None
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: t\r\n{length}{head}\r\n".encode() + body
        )
        try:
            response = await self._response(self.reader, method)
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            raise Visible(type(error).__name__) from error
        except BaseException:
            self.close()
            raise
        if b"\r\nconnection: close" in response.head.lower():
            self.close()
        return response

    async def _response(self, reader: asyncio.StreamReader, method: str) -> Response:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        if method == "HEAD":
            return Response(status, head, b"")
        if b"transfer-encoding: chunked" in lower:
            parts = []
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = await reader.readexactly(size + 2)
                parts.append(piece[:-2])
                if not size:
                    return Response(status, head, b"".join(parts))
        at = lower.find(b"content-length: ")
        if at < 0:
            return Response(status, head, await reader.read(-1))
        length = int(lower[at + 16 : lower.index(b"\r\n", at)])
        return Response(status, head, await reader.readexactly(length))


async def get_checked(client: HttpClient, tally: Tally, path: str, body: bytes) -> bool:
    """Ask for `path` and count the answer; right is 200 with `body`."""
    started = time.monotonic()
    try:
        response = await asyncio.wait_for(client.ask(path), 30)
    except Visible as error:
        tally.failed[str(error)] += 1
        return False
    except _FAILURES as error:
        client.close()
        tally.failed[type(error).__name__] += 1
        return False
    took = time.monotonic() - started
    if response.status != 200:
        tally.failed[str(response.status)] += 1
    elif response.body != body:
        tally.wrong += 1
    elif took > LATE_SECONDS:
        tally.failed["late"] += 1
    else:
        tally.ok += 1
        tally.seconds.append(took)
        return True
    return False


def numbered(prefix: str, length: int) -> Callable[[int], tuple[str, bytes]]:
    """Requests with bodies of their own: (path, expected body) by number."""

    def make(number: int) -> tuple[str, bytes]:
        name = f"{prefix}{number}"
        return f"/body/{length}/{name}", body_of(length, name)

    return make


async def steady_load(
    port: int,
    tally: Tally,
    make: Callable[[int], tuple[str, bytes]],
    *,
    rate: float,
    seconds: float,
    connections: int,
    until: asyncio.Event | None = None,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> None:
    """`rate` requests a second over keep-alive connections, each answer checked."""
    started = time.monotonic()
    numbers = iter(range(1 << 30))

    async def work(which: int) -> None:
        client = HttpClient(port, options=options)
        due = started + which / rate
        step = connections / rate
        while due < started + seconds and not (until and until.is_set()):
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            path, body = make(next(numbers))
            await get_checked(client, tally, path, body)
            due += step
        client.close()

    await asyncio.gather(*(work(which) for which in range(connections)))


async def full_load(
    port: int,
    tally: Tally,
    make: Callable[[int], tuple[str, bytes]],
    *,
    requests: int,
    connections: int,
) -> None:
    """`requests` as fast as they are answered, each answer checked."""
    numbers = iter(range(requests))

    async def work() -> None:
        client = HttpClient(port)
        for number in numbers:
            path, body = make(number)
            await get_checked(client, tally, path, body)
        client.close()

    await asyncio.gather(*(work() for _ in range(connections)))


async def in_groups(
    count: int, size: int, make: Callable[[int], Awaitable[Any]]
) -> list[Any]:
    """The results of `make(0)`, `make(1)`..., `size` of them at once."""
    results: list[Any] = []
    for start in range(0, count, size):
        group = (make(n) for n in range(start, min(count, start + size)))
        results += await asyncio.gather(*group)
    return results


def seeded(seed: int) -> random.Random:
    """Chance that is the same in each run."""
    return random.Random(seed)
