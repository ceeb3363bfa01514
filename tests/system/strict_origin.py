"""An origin that believes nothing and remembers everything.

It answers `/r/ID` with the raw bytes of response case ID and everything else with the
id, the target and a hash of what it was asked, and records each request, each fragment
and each breach of the rules under the case it belongs to. Used by: corpus_judge, fuzz.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import attrs

from tests.system.strict_http import Broken, Message, read_request

_PATH_ID = re.compile(rb"/(?:c|r|smuggled)/([a-z0-9-]+)")
_FIELD_ID = re.compile(rb"(?i)\nx-case:[\t ]*([a-z0-9-]+)")

STRAY = ""
"""The case of what belongs to none."""


def case_of(raw: bytes) -> str:
    """The id of the case that `raw`, the start of a request, belongs to."""
    found = _PATH_ID.search(raw) or _FIELD_ID.search(raw)
    return found[1].decode() if found else STRAY


def digest(data: bytes) -> str:
    """A short name for a body."""
    return hashlib.sha1(data).hexdigest()[:12]


def raw_bytes(segment: str | dict[str, Any]) -> bytes:
    """A segment of a case as bytes; b"" for pauses and ends."""
    if isinstance(segment, str):
        return segment.encode("latin-1")
    if "rep" in segment:
        return bytes(segment["rep"].encode("latin-1") * segment["n"])
    return b""


async def play(raw: Any, writer: asyncio.StreamWriter) -> None:
    """Send a raw message: a string, or a list with `rep`, `pause` and `fin` in it."""
    for segment in [raw] if isinstance(raw, str) else raw:
        data = raw_bytes(segment)
        for at in range(0, len(data), 65536):
            writer.write(data[at : at + 65536])
            await writer.drain()
        if isinstance(segment, dict) and "pause" in segment:
            await asyncio.sleep(segment["pause"])
        elif isinstance(segment, dict) and "fin" in segment:
            writer.write_eof()
    await writer.drain()


@attrs.define
class Arrival:
    """What came for a case: a request, complete or not, or what was wrong."""

    message: Message | None
    broken: str = ""


@attrs.define
class StrictOrigin:
    """`responses`: the response cases by id. `arrivals`: by case id."""

    responses: dict[str, dict[str, Any]]
    arrivals: dict[str, list[Arrival]] = attrs.Factory(lambda: defaultdict(list))
    reused: dict[str, str] = attrs.Factory(dict)
    """Response cases whose connection must not have been used again, but was."""
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port the system chooses."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=1024, limit=1 << 22
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def broken(self) -> Iterable[tuple[str, str]]:
        """All breaches of the rules: the case and what it was."""
        for case, arrivals in self.arrivals.items():
            for each in arrivals:
                if each.broken:
                    yield case, each.broken

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        try:
            await self._requests(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        data = b""
        tainted = ""
        while True:
            arrival: Arrival | None = None
            end = 0
            continued = False
            while True:
                try:
                    read = read_request(data)
                except Broken as error:
                    self.arrivals[case_of(data)].append(Arrival(None, str(error)))
                    return
                if read is not None:
                    message, end = read
                    if arrival is None:
                        arrival = Arrival(message)
                        self.arrivals[case_of(data)].append(arrival)
                    arrival.message = message
                    if message.complete:
                        break
                    if not continued and message.all("expect"):
                        continued = True
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                more = await reader.read(1 << 20)
                if tainted and more:
                    self.reused[tainted] = repr((data + more)[:60])
                if not more:
                    if data and arrival is None:
                        case = case_of(data)
                        self.arrivals[case].append(Arrival(None, "half a head"))
                    return
                data += more
            case = case_of(data[:end])
            data = data[end:]
            script = self.responses.get(case)
            assert arrival is not None and arrival.message is not None
            if (
                script is not None
                and arrival.message.start[1] == b"/r/" + case.encode()
            ):
                if await self._perform(script, reader, writer):
                    return
                tainted = case if script["reuse"] == "no" else tainted
            else:
                writer.write(self.answer(case, arrival.message))
                await writer.drain()
                if "close" in ",".join(arrival.message.all("connection")).lower():
                    return

    def answer(self, case: str, message: Message) -> bytes:
        """The ordinary answer to `message`."""
        target = message.start[1].decode("latin-1")
        body = f"case={case} target={target} body={digest(message.body)}\n".encode()
        head = b"HTTP/1.1 200 OK\r\nX-Origin: strict\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + (b"" if message.start[0] == b"HEAD" else body)

    async def _perform(
        self,
        script: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Send the raw response of `script`; whether that ends the connection."""
        await play(script["raw"], writer)
        after = script["after"]
        if after == "rst":
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif after == "stall":
            await reader.read(1)
        return bool(after != "keep")
