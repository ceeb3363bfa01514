"""What our own code costs for one small exchange over HTTP/2, without the kernel.

As `exchange.py`, with a client's connection of HTTP/2: so many requests come in one read, their targets answer over
HTTP/1.1, and the answers leave in one write. "known" requests are what a client says again and again, "path" ones
differ in their path alone, "browser" ones have the fields of a browser and a new path each, "new" ones a new value of a
field each as well. Prints microseconds and the ratio to the first row; fails nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from exchange import ANSWER, Nowhere, listening
from hpack import Encoder
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from lolly_tx.net.http2.listening import http_acceptor
from lolly_tx.net.http2.shared import Http2Settings
from lolly_tx.wire.http2.frames import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    frame,
    window_update,
)
from lolly_tx.wire.http2.settings import settings

ROUNDS, READS, STREAMS = 7, 1000, 8

PSEUDO = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "localhost:8080"),
]
BROWSER = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("cookie", "session=abcdef0123456789"),
    ("cookie", "theme=dark"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
    ("priority", "u=0, i"),
]


class Client:
    """One connection. `fields`: of request number n."""

    def __init__(self, fields: Callable[[int], list[tuple[str, str]]]) -> None:
        self._fields = fields
        self._encoder = Encoder()
        self._number = -1
        self._clock = clock = Clock()
        acceptor = listening(http_acceptor, clock, http2=Http2Settings())
        self.door: Any = acceptor.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        self._transport: Any = Nowhere()
        self._transport.protocol = self.door  # until it knows what is spoken
        self.door.makeConnection(self._transport)
        self.door.dataReceived(PREFACE + settings([(4, 1 << 30)]))
        self.door.dataReceived(window_update(0, 1 << 30))
        self.turn = self._clock.advance

    def read(self) -> bytes:
        """The next requests, as they come in one read."""
        frames = []
        for _ in range(STREAMS):
            self._number += 2
            fields = self._fields(self._number // 2)
            path = fields[3][1].encode()
            # As clients do: indexed fields, the path not indexed, the rest.
            block = self._encoder.encode(fields[:3])
            block += b"\x04%c%b" % (len(path), path) + self._encoder.encode(fields[4:])
            frames.append(frame(HEADERS, END_HEADERS | END_STREAM, self._number, block))
        return b"".join(frames)

    def serve(self, read: bytes) -> None:
        """Have them served."""
        door = self._transport.protocol
        door.dataReceived(read)
        for stream in [*door.streams.open.values()]:
            stream.exchange.client.dataReceived(ANSWER % b"")
        self.turn(0)


def cost(fields: Callable[[int], list[tuple[str, str]]]) -> float:
    """Microseconds for one exchange, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        client = Client(fields)
        reads = [client.read() for _ in range(READS)]
        for read in reads[:20]:
            client.serve(read)
        started = time.perf_counter()
        for read in reads[20:]:
            client.serve(read)
        best = min(best, time.perf_counter() - started)
    return best / (READS - 20) / STREAMS * 1e6


def main() -> None:
    """Print the table."""
    kinds: dict[str, Callable[[int], list[tuple[str, str]]]] = {
        "known": lambda n: [*PSEUDO, (":path", "/")],
        "path": lambda n: [*PSEUDO, (":path", f"/page{n}")],
        "browser": lambda n: [*PSEUDO, (":path", f"/page{n}"), *BROWSER],
        "new": lambda n: [
            *PSEUDO,
            (":path", f"/page{n}"),
            *BROWSER,
            ("x-request-id", f"{n:x}-{n}"),
        ],
    }
    print(f"{'requests':10} {'us':>6} {'ratio':>6}")
    first = 0.0
    for name, fields in kinds.items():
        spent = cost(fields)
        first = first or spent
        print(f"{name:10} {spent:6.2f} {spent / first:6.2f}")


if __name__ == "__main__":
    main()
