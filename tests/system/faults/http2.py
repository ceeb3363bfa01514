"""Both ends of HTTP/2 for fault tests: a client of raw frames, and an origin with `h2`, in the process of the test.

async with client(proxy.port, front) as streams:
    one = streams.ask("/big/1000000", window=0)     takes nothing until `one.take(...)`
    await streams.ask("/body/100/x").ended

async with origin() as port:                        serves paths as `origin` does: body, big, post, slow
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from lolly_tx.wire.http2 import frames as fr
from lolly_tx.wire.http2.settings import settings
from tests.system.faults.front import Front
from tests.system.faults.origin import body_of

FIRST_WINDOW = 65535
PIECE = bytes(16384)
GET, POST = b"\x82", b"\x83"
_OK = b"\x88"
_INITIAL_WINDOW = 4


def block(path: str, method: bytes = GET) -> bytes:
    """A header block without Huffman and without entries of a table. `method`: GET or POST."""
    return method + b"\x86\x04" + bytes([len(path)]) + path.encode() + b"\x01\x01t"


class Stream:
    """One request. `taken`: bytes of the answer so far. `ended`: done when the answer is whole, or an error.

    `slow`: its window is widened by `take` only. `room`: bytes that may be sent.
    """

    def __init__(self, owner: Streams, number: int, slow: bool) -> None:
        self.number = number
        self.slow = slow
        self.taken = self.given = 0
        self.room = owner.first_room
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.more_room = asyncio.Event()
        self._owner = owner

    def take(self, size: int) -> None:
        """So much more may come."""
        self._owner.send(fr.window_update(self.number, size))

    async def give(self, size: int, seconds: float) -> None:
        """Send a body of so many bytes as it is taken, for so long."""
        owner = self._owner
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.given < size:
                    most = min(self.room, owner.room, len(PIECE), size - self.given)
                    if most <= 0:
                        self.more_room.clear()
                        await self.more_room.wait()
                        continue
                    self.room -= most
                    owner.room -= most
                    self.given += most
                    end = fr.END_STREAM if self.given == size else 0
                    owner.send(fr.frame(fr.DATA, end, self.number, PIECE[:most]))
                    await owner.writer.drain()


class Streams:
    """A client's connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.first_room = self.room = FIRST_WINDOW
        self.open: dict[int, Stream] = {}
        self._next = 1
        self.send(fr.PREFACE + settings([]) + fr.window_update(0, 1 << 24))

    def send(self, data: bytes) -> None:
        """Write frames."""
        self.writer.write(data)

    def ask(self, path: str, *, slow: bool = False, post: int = 0) -> Stream:
        """A request; `post`: a body of so many bytes follows."""
        number, self._next = self._next, self._next + 2
        self.open[number] = stream = Stream(self, number, slow)
        flags = fr.END_HEADERS if post else fr.END_HEADERS | fr.END_STREAM
        said = block(path)
        if post:
            length = str(post).encode()
            said = block(path, POST) + b"\x0f\x0d" + bytes([len(length)]) + length
        self.send(fr.frame(fr.HEADERS, flags, number, said))
        return stream

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Take what comes, until the connection is over."""
        frames = fr.FrameReader()
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                for each in frames.read(data):
                    self._take(*each)
        for stream in self.open.values():
            self._fail(stream, "the connection is over")

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self.open.get(number)
        if kind == fr.SETTINGS and not flags & fr.ACK:
            for at in range(0, len(payload), 6):
                if int.from_bytes(payload[at : at + 2]) == _INITIAL_WINDOW:
                    self.first_room = int.from_bytes(payload[at + 2 : at + 6])
            self.send(settings([])[:4] + b"\x01" + bytes(4))
        elif kind == fr.PING and not flags & fr.ACK:
            self.send(fr.ping(payload, ack=True))
        elif kind == fr.WINDOW_UPDATE:
            more = fr.window_increment(number, payload)
            if stream is not None:
                stream.room += more
                stream.more_room.set()
            elif not number:
                self.room += more
                for each in self.open.values():
                    each.more_room.set()
        elif stream is None:
            return
        elif kind == fr.RST_STREAM:
            self._fail(stream, f"reset {fr.number(payload)}")
        elif kind == fr.HEADERS and not payload.startswith(_OK):
            self._fail(stream, f"answer {payload[:1]!r}")
        elif kind == fr.DATA:
            stream.taken += len(payload)
            if payload:
                self.send(fr.window_update(0, len(payload)))
                if not stream.slow:
                    stream.take(len(payload))
        if stream is not None and kind in (fr.DATA, fr.HEADERS):
            if flags & fr.END_STREAM and not stream.ended.done():
                stream.ended.set_result(None)

    def _fail(self, stream: Stream, why: str) -> None:
        if not stream.ended.done():
            stream.ended.set_exception(ConnectionError(why))
            stream.ended.exception()  # nobody has to wait for it


@contextlib.asynccontextmanager
async def client(port: int, front: Front) -> AsyncIterator[Streams]:
    """A connection to the proxy; it is cut at the end."""
    options = {**front.options, **front.http2}
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    streams = Streams(writer)
    listening = asyncio.create_task(streams.listen(reader))
    try:
        yield streams
    finally:
        writer.transport.abort()
        listening.cancel()


class _Served:
    """A connection of the proxy to the origin."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.h2.initiate_connection()
        self.bodies: dict[int, tuple[bytes, int]] = {}
        self.slow: dict[int, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def take(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._begin(event.stream_id, self._path(event))
        elif isinstance(event, h2.events.DataReceived):
            number, size = event.stream_id, event.flow_controlled_length
            rate = self.slow.get(number)
            if rate is None:
                self.h2.acknowledge_received_data(size, number)
            else:
                self.h2.increment_flow_control_window(size)
                later = asyncio.create_task(self._later(number, size, size / rate))
                self.tasks.add(later)
                later.add_done_callback(self.tasks.discard)
        elif isinstance(event, h2.events.StreamEnded):
            self.slow.pop(event.stream_id, None)
            if event.stream_id not in self.bodies:
                self._answer(event.stream_id, b"done", 4)
        elif isinstance(event, h2.events.StreamReset):
            self.bodies.pop(event.stream_id, None)
            self.slow.pop(event.stream_id, None)

    def _path(self, event: Any) -> list[str]:
        path = dict(event.headers)[b":path"].decode()
        return list(path.split("/"))

    async def _later(self, number: int, size: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self.h2.increment_flow_control_window(size, number)
            self.flush()

    def _begin(self, number: int, path: list[str]) -> None:
        if path[1] == "body":
            self._answer(number, body_of(int(path[2]), path[3]), int(path[2]))
        elif path[1] == "big":
            self._answer(number, PIECE, int(path[2]))
        elif path[1] == "slow":
            self.slow[number] = float(path[2])

    def _answer(self, number: int, body: bytes, size: int) -> None:
        head = [(":status", "200"), ("content-length", str(size))]
        self.h2.send_headers(number, head)
        self.bodies[number] = body, size

    def fill(self) -> None:
        """Send what the windows allow."""
        for number, (body, left) in [*self.bodies.items()]:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                while left:
                    window = self.h2.local_flow_control_window(number)
                    most = min(window, left, self.h2.max_outbound_frame_size, len(body))
                    if most <= 0:
                        break
                    left -= most
                    self.h2.send_data(number, body[:most], end_stream=not left)
                    if len(body) != len(PIECE):
                        body = body[most:]
                self.bodies[number] = body, left
            if not left:
                del self.bodies[number]
        self.flush()


@contextlib.asynccontextmanager
async def origin() -> AsyncIterator[int]:
    """An origin that speaks HTTP/2 without TLS; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served = _Served(writer)
        with contextlib.suppress(
            OSError, asyncio.CancelledError, h2.exceptions.ProtocolError
        ):  # for `h2` nothing comes after a GOAWAY
            while data := await reader.read(1 << 18):
                for event in served.h2.receive_data(data):
                    served.take(event)
                served.fill()
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
