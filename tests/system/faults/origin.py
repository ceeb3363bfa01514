"""A small origin in a process of its own: `python -m tests.system.faults.origin PORT NAME RECORD [FAULT=SHARE]`.

It prints its port, then serves until it is killed. What it serves is in the path:

    GET  /body/BYTES/ID          BYTES bytes made from ID, so that a client can check them
    GET  /chunked/BYTES/ID       the same in chunks
    GET  /wait/SECONDS/ID        100 bytes, after a while
    GET  /stream/ID              a body that goes on until somebody ends it
    GET  /extra/BYTES/ID         as /body, with a response nobody asked for behind it
    GET  /big/BYTES              BYTES zeros, as fast as they are taken
    POST /post/ID                notes ID in RECORD, then answers with the body's SHA-256
    POST /slow/BYTES_PER_SECOND  reads slowly, then answers
    POST /begun/ID               as /post, with the head of the answer before the body
    POST /strict/SECONDS         hangs up on a body that takes longer
    POST /early/BYTES            answers 413 once BYTES of the body are here, and closes
    GET  /health
    GET  /stats                  counters, as JSON
    GET  /ws with Upgrade        101, then every byte comes back

Faults: `close=0.2` closes a fifth of the connections a moment after a response.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import resource
import signal
import sys
from typing import Any

STREAM_PIECE = b"s" * 4096
BIG_PIECE = bytes(1 << 18)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.I)


def body_of(length: int, name: str) -> bytes:
    """The body that belongs to `name`: different in every 32 bytes from any other's."""
    unit = hashlib.sha256(name.encode()).digest()
    return (unit * (length // 32 + 1))[:length]


class Counters:
    """What is told under /stats."""

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0
        self.open = 0
        self.streams = 0


class OriginConnection(asyncio.Protocol):
    """One connection; requests one after the other."""

    def __init__(
        self, counters: Counters, record: int, close: float, chance: random.Random
    ) -> None:
        self.counters = counters
        self.record = record
        self.close = close
        self.chance = chance
        self.data = b""
        self.busy = False
        self.tunnel = False
        self.streaming = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.left = 0
        self.chunked = False
        self.digest: Any = None
        self.path: list[str] = []
        self.slow = 0
        self.early = 0
        self.transport: Any = None
        self.work: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """A proxy connects."""
        self.transport = transport
        self.counters.connections += 1
        self.counters.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: stop what was done for it."""
        self.counters.open -= 1
        self.writable.set()
        if self.streaming:
            self.streaming = False
            self.counters.streams -= 1
        if self.work is not None:
            self.work.cancel()

    def pause_writing(self) -> None:
        """The proxy takes no more."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It does."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self.tunnel:
            self.transport.write(data)
            return
        self.data += data
        self.advance()

    def advance(self) -> None:
        """Go on as far as the bytes reach."""
        while self.data and not self.busy:
            if self.digest is not None:
                if not self.take_body():
                    return
                continue
            head, mark, rest = self.data.partition(b"\r\n\r\n")
            if not mark:
                return
            self.data = rest
            self.begin(head + b"\r\n")

    def begin(self, head: bytes) -> None:
        """A head is complete."""
        self.counters.requests += 1
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self.path = target.split("?")[0].strip("/").split("/")
        length = _LENGTH.search(head)
        self.left = int(length[1]) if length else 0
        self.chunked = _CHUNKED.search(head) is not None
        if self.left or self.chunked:
            self.digest = hashlib.sha256()
            if self.path[0] == "early":
                self.early = max(1, int(self.path[1]))
            if b"\r\nexpect: 100-continue" in head.lower():
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self.path[0] == "slow":
                self.slow = int(self.path[1])
            elif self.path[0] == "begun":
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n")
            elif self.path[0] == "strict":
                asyncio.get_running_loop().call_later(
                    float(self.path[1]), self.hang_up, self.digest
                )
            return
        self.answer(method == "HEAD")

    def take_body(self) -> bool:
        """Take what is here of a body; whether to go on."""
        if self.early:
            self.early -= len(self.data)
            self.data = b""
            if self.early <= 0:
                self.transport.write(
                    b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n"
                    b"Connection: close\r\n\r\nbig"
                )
                self.transport.close()
            return False
        if self.chunked:
            size_line, mark, rest = self.data.partition(b"\r\n")
            size = int(size_line, 16) if mark else 0
            if not mark or len(rest) < size + 2:
                return False
            self.digest.update(rest[:size])
            self.data = rest[size + 2 :]
            if size:
                return True
        else:
            take = self.data[: self.left]
            self.digest.update(take)
            self.left -= len(take)
            self.data = self.data[len(take) :]
            if self.slow and self.left:
                self.transport.pause_reading()
                wait = len(take) / self.slow
                asyncio.get_running_loop().call_later(wait, self.read_on)
            if self.left:
                return False
        self.answer(False)
        return True

    def hang_up(self, digest: Any) -> None:
        """The body it belongs to has taken too long, if it is not over."""
        if self.digest is digest:
            self.transport.abort()

    def read_on(self) -> None:
        """End of a pause."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def answer(self, is_head: bool) -> None:
        """Answer the request at hand."""
        kind, *rest = self.path
        digest, self.digest = self.digest, None
        self.slow = 0
        if kind in ("body", "extra"):
            body = body_of(int(rest[0]), rest[1])
            self.respond(body, is_head)
            if kind == "extra":
                self.transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
                )
        elif kind == "chunked":
            body = body_of(int(rest[0]), rest[1])
            half = len(body) // 2
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
                % (half, body[:half], len(body) - half, body[half:])
            )
        elif kind == "post":
            os.write(self.record, rest[0].encode() + b"\n")
            self.respond(digest.hexdigest().encode() if digest else b"")
        elif kind == "begun":
            self.transport.write(digest.hexdigest().encode() if digest else b"")
        elif kind in ("slow", "strict"):
            self.respond(b"taken")
        elif kind == "stats":
            self.respond(json.dumps(vars(self.counters)).encode())
        elif kind == "ws":
            self.tunnel = True
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
            )
        elif kind in ("wait", "stream", "big"):
            self.busy = True
            self.work = asyncio.ensure_future(self.take_time(kind, rest))
        else:
            self.respond(b"ok")
        if self.close and self.chance.random() < self.close and not self.busy:
            delay = self.chance.uniform(0.0, 0.01)
            asyncio.get_running_loop().call_later(delay, self.transport.close)

    async def take_time(self, kind: str, rest: list[str]) -> None:
        """The answers that are not there at once."""
        if kind == "wait":
            await asyncio.sleep(float(rest[0]))
            self.respond(body_of(100, rest[1]))
        elif kind == "big":
            left = int(rest[0])
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left
            )
            while left:
                await self.writable.wait()
                piece = BIG_PIECE[:left] if left < len(BIG_PIECE) else BIG_PIECE
                self.transport.write(piece)
                left -= len(piece)
        else:
            self.streaming = True
            self.counters.streams += 1
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            while True:
                await self.writable.wait()
                self.transport.write(
                    b"%x\r\n%b\r\n" % (len(STREAM_PIECE), STREAM_PIECE)
                )
                await asyncio.sleep(0.01)
        self.busy = False
        self.advance()

    def respond(self, body: bytes, is_head: bool = False) -> None:
        """A short response."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head if is_head else head + body)


async def serve(port: int, name: str, record: str, faults: dict[str, float]) -> None:
    """Listen, say where, and serve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counters = Counters()
    chance = random.Random(name)
    file = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    close = faults.get("close", 0.0)
    server = await asyncio.get_running_loop().create_server(
        lambda: OriginConnection(counters, file, close, chance),
        "127.0.0.1",
        port,
        backlog=1024,
        reuse_address=True,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    """Run the origin."""
    port, name, record, *faults = arguments
    shares = {key: float(value) for key, _, value in (f.partition("=") for f in faults)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(int(port), name, record, shares))


if __name__ == "__main__":
    main(sys.argv[1:])
