"""A TCP relay that injures what passes through it.

    relay = FaultRelay(target_port, seed=1, faults=Faults(reset=0.01, delay=0.3))
    port = await relay.start()
    ...
    relay.hold()        # from now on nothing passes, and nobody is told
    await relay.stop()

Each connection draws its own injuries from the seed, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import Any

import attrs

PIECE_BYTES = 65536


def reset(transport: Any) -> None:
    """Close with a reset (RST) instead of an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@attrs.frozen
class Faults:
    """What may happen to a connection, to the bytes on their way back to the proxy.

    `delay`: the longest wait before each piece, seconds. `reset`, `truncate`: share of
    connections that are reset, or ended as if in good order, after at most
    `injury_bytes`. `slice`: share whose bytes come one by one. `slow`: share limited to
    `rate` bytes a second. The rest only have the delay.
    """

    delay: float = 0.0
    reset: float = 0.0
    truncate: float = 0.0
    injury_bytes: int = 20000
    slice: float = 0.0
    slow: float = 0.0
    rate: int = 10240


class FaultRelay:
    """Relays to `target` on 127.0.0.1. `injured`: how many connections were cut."""

    def __init__(self, target: int, *, seed: int = 1, faults: Faults | None = None):
        self.target = target
        self.faults = faults or Faults()
        self.injured = 0
        self.connections = 0
        self._chance = random.Random(seed)
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, backlog=1024
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def hold(self) -> None:
        """The peers vanish for each other: no byte, no end, no reset passes."""
        self._passing.clear()

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
        for each in list(self._tasks):
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        chance = random.Random(self._chance.random())
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        up = asyncio.ensure_future(self._pass(reader, back))
        down = asyncio.ensure_future(self._injure(there, writer, chance))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            await self._passing.wait()
            await asyncio.wait({up, down}, timeout=0.05)
        except asyncio.CancelledError:
            pass
        finally:
            for each in (up, down):
                each.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, back):
                if not end.transport.is_closing():
                    end.close()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One direction, unharmed."""
        try:
            while data := await reader.read(PIECE_BYTES):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return

    async def _injure(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        chance: random.Random,
    ) -> None:
        """The other one, with this connection's faults."""
        faults = self.faults
        kind = _draw(
            chance,
            (
                ("reset", faults.reset),
                ("truncate", faults.truncate),
                ("slice", faults.slice),
                ("slow", faults.slow),
            ),
        )
        left = chance.randrange(1, faults.injury_bytes + 1)
        try:
            while data := await reader.read(PIECE_BYTES):
                if faults.delay:
                    await asyncio.sleep(chance.uniform(0, faults.delay))
                await self._passing.wait()
                if kind in ("reset", "truncate"):
                    piece, left = data[:left], left - len(data)
                    writer.write(piece)
                    if left <= 0:
                        self.injured += 1
                        await writer.drain()
                        if kind == "reset":
                            reset(writer.transport)
                        return
                elif kind == "slice":
                    for at in range(len(data)):
                        writer.write(data[at : at + 1])
                        await asyncio.sleep(0)
                elif kind == "slow":
                    step = max(1, faults.rate // 20)
                    for at in range(0, len(data), step):
                        writer.write(data[at : at + step])
                        await asyncio.sleep(0.05)
                else:
                    writer.write(data)
                await writer.drain()
        except OSError:
            return


def _draw(chance: random.Random, shares: tuple[tuple[str, float], ...]) -> str:
    """One of the names by its share, "" for the rest."""
    at = chance.random()
    for name, share in shares:
        if at < share:
            return name
        at -= share
    return ""


class ResettingListener:
    """Accepts on a port and resets at once. `attempts`: how often it was tried."""

    def __init__(self) -> None:
        self.attempts = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._made, "127.0.0.1", port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    def _made(self) -> asyncio.Protocol:
        listener = self

        class Resetting(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                listener.attempts += 1
                reset(transport)

        return Resetting()

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class SilentListener:
    """Accepts and never says a word."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._transports: list[Any] = []

    async def start(self) -> int:
        """Listen; returns the port."""
        listener = self

        class Silent(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                listener._transports.append(transport)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Silent, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop everybody."""
        if self._server is not None:
            self._server.close()
        for each in self._transports:
            each.abort()


class BlackHole:
    """A port where a SYN is never answered: a listener whose queue is full."""

    def __init__(self) -> None:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        self.port = self._listening.getsockname()[1]
        self._callers = []
        for _ in range(8):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", self.port))
            self._callers.append(caller)

    def close(self) -> None:
        """Let go of everything."""
        for each in (*self._callers, self._listening):
            each.close()
