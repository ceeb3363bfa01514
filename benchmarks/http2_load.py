"""Load over HTTP/2 in which no two requests are alike, which h2load cannot make (`http2.py --unique`).

    python benchmarks/http2_load.py PORT REQUESTS CONNECTIONS STREAMS [tls]

Each request has a path, a cookie and an identifier of its own, and the fields of a browser; they are encoded before
the clock runs, with the usual dynamic table. A connection has `STREAMS` requests under way, and sends the next ones
when all of them are answered. Prints how many had status 200.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import time
from struct import Struct

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, DATA, SETTINGS, PING = 1, 0, 4, 6
END_STREAM, END_HEADERS = 1, 4
_HEADER = Struct(">HBBBL")

BROWSER = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-mode", "navigate"),
]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return _HEADER.pack(size >> 8, size & 255, kind, flags, stream) + payload


def requests(name: str, scheme: str, count: int, at_once: int) -> list[bytes]:
    """What a connection sends: `count` requests, `at_once` in a piece."""
    encoder = Encoder()
    pieces, piece = [], b""
    for n in range(count):
        mark = f"{name}-{n:x}"
        fields = [
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", "localhost"),
        ]
        path = f"/?item={mark}".encode()
        more = [
            *BROWSER,
            ("cookie", f"theme=dark; session={mark}"),
            ("x-request-id", mark),
        ]
        # Paths are not indexed, as by clients.
        block = encoder.encode(fields) + b"\x04%c%b" % (len(path), path)
        block += encoder.encode(more)
        piece += frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block)
        if n % at_once == at_once - 1:
            pieces.append(piece)
            piece = b""
    return [*pieces, piece] if piece else pieces


def piece_requests(piece: bytes) -> int:
    """How many requests are in a piece; the last may have fewer."""
    at = count = 0
    while at < len(piece):
        high, low, *_ = _HEADER.unpack_from(piece, at)
        at += 9 + (high << 8 | low)
        count += 1
    return count


class Connection:
    """One of them. `pieces`: what it sends."""

    def __init__(self, sock: socket.socket, pieces: list[bytes], at_once: int) -> None:
        self.sock = sock
        self.good = 0
        self._pieces = iter(pieces)
        self._at_once = at_once
        self._open = 0
        self._kept = b""

    def begin(self) -> None:
        """Say that windows never matter, and ask for the first time."""
        wide = frame(8, 0, 0, (1 << 30).to_bytes(4, "big"))
        first = frame(SETTINGS, 0, 0, b"\x00\x04" + (1 << 30).to_bytes(4, "big"))
        self.sock.sendall(PREFACE + first + wide)
        self._ask()

    def _ask(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._open = piece_requests(piece)
        self.sock.sendall(piece)
        return True

    def read(self) -> bool:
        """Look at answers; whether there is more to do."""
        data = self._kept + self.sock.recv(65536)
        at = 0
        while len(data) - at >= 9:
            high, low, kind, flags, _ = _HEADER.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > len(data):
                break
            if kind == HEADERS and data[at + 9] & 0xC8 == 0x88:
                self.good += 1
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self._open -= 1
            elif kind == SETTINGS and not flags:
                self.sock.sendall(frame(SETTINGS, 1, 0))
            at = end
        self._kept = data[at:]
        return bool(self._open) or self._ask()


def main() -> None:
    """Run it."""
    port, total, count, at_once = map(int, sys.argv[1:5])
    secure = "tls" in sys.argv[5:]
    connections = []
    watch = selectors.DefaultSelector()
    for number in range(count):
        name = f"{time.time_ns() & 0xFFFFFF:x}{number}"
        pieces = requests(name, "https" if secure else "http", total // count, at_once)
        sock: socket.socket = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname="localhost")
        connections.append(Connection(sock, pieces, at_once))
    print("ready", flush=True)
    sys.stdin.readline()
    for each in connections:
        each.begin()
        watch.register(each.sock, selectors.EVENT_READ, each)
    left = len(connections)
    while left:
        for key, _ in watch.select(20):
            more = key.data.read()
            while more and secure and key.data.sock.pending():
                more = key.data.read()
            if not more:
                watch.unregister(key.fileobj)
                left -= 1
    print(sum(each.good for each in connections), flush=True)


if __name__ == "__main__":
    main()
