"""An origin for tests: `python -m tests.system.origin [--unix PATH] [--pem FILE]`.

Prints its port when it listens. GET hello, big/BYTES, chunks/BYTES, rest/BYTES (ends with
the connection), slow/SECONDS and ws (a WebSocket that echoes); PUT or POST sum (length and
SHA-256 of the body) and mirror (the body itself, chunk by chunk). The first segment of a
path says how one came here.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import sys
from collections.abc import AsyncIterator

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Request,
    TextMessage,
)

PIECE = bytes(range(256)) * 256


def pieces(size: int) -> AsyncIterator[bytes]:
    """`size` bytes of a pattern."""

    async def each() -> AsyncIterator[bytes]:
        for at in range(0, size, len(PIECE)):
            yield PIECE[: size - at]

    return each()


async def body(
    reader: asyncio.StreamReader, fields: dict[str, str]
) -> AsyncIterator[bytes]:
    """The body of a request."""
    if "transfer-encoding" in fields:
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return
    left = int(fields.get("content-length", 0))
    while left:
        data = await reader.read(min(left, 1 << 16))
        if not data:
            raise ConnectionError("body cut short")
        left -= len(data)
        yield data


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while await exchange(reader, writer):
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request; whether another may follow."""
    line = (await reader.readline()).decode().split()
    if not line:
        return False
    fields = {}
    raw = [" ".join(line).encode()]
    while field := (await reader.readline()).strip():
        raw.append(field)
        name, _, value = field.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    what, _, size = line[1].lstrip("/").partition("/")[2].partition("/")
    if what == "ws":
        await websocket(b"\r\n".join(raw) + b"\r\n\r\n", reader, writer)
        return False
    if what == "mirror":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for data in body(reader, fields):
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True
    digest, length = hashlib.sha256(), 0
    async for data in body(reader, fields):
        digest.update(data)
        length += len(data)
    if what in ("big", "chunks"):
        chunked = what == "chunks"
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        async for data in pieces(int(size)):
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")
        return True
    if what == "rest":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async for data in pieces(int(size)):
            writer.write(data)
            await writer.drain()
        return False
    if what == "slow":
        await asyncio.sleep(float(size))
    text = f"{length} {digest.hexdigest()}" if what == "sum" else f"hello {os.getpid()}"
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
    )
    return True


async def websocket(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Echo messages until the client closes, with its own code."""
    ws = WSConnection(ConnectionType.SERVER)
    data = head
    while True:
        ws.receive_data(data or None)
        for event in ws.events():
            if isinstance(event, Request):
                writer.write(ws.send(AcceptConnection()))
            elif isinstance(event, TextMessage):
                writer.write(ws.send(TextMessage(data=event.data)))
            elif isinstance(event, BytesMessage):
                writer.write(ws.send(BytesMessage(data=event.data)))
            elif isinstance(event, Ping):
                writer.write(ws.send(event.response()))
            elif isinstance(event, CloseConnection):
                writer.write(ws.send(event.response()))
                return
        await writer.drain()
        if not data:
            return
        data = await reader.read(1 << 16)


async def main(words: list[str]) -> None:
    """Listen until killed."""
    settings = dict(zip(words[::2], words[1::2], strict=True))
    context = None
    if "--pem" in settings:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["--pem"])
    if "--unix" in settings:
        server = await asyncio.start_unix_server(serve, settings["--unix"])
        print(0, flush=True)
    else:
        port = int(settings.get("--port", 0))
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
        print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
