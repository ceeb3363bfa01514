"""What header blocks of HTTP/2 cost, read and written, and the heads made of them, without frames and connections.

"same" blocks repeat, the "path" varies, "unique" ones have a field that no other has. Blocks are made as nghttp2 and
browsers make them: fields that repeat are put into the table, paths are not. "not remembered" is the same with a memory
of no bytes. Then what attacks cost, and answers. Prints microseconds (least of several rounds); fails nothing.
`python benchmarks/header_blocks.py`
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.encoder import Encoder, LineMemory, integer, string
from lolly_tx.wire.http2.known import RequestHeads
from lolly_tx.wire.http2_errors import Http2Error

ROUNDS, BLOCKS = 7, 4000
LIMITS = HeadLimits()

SMALL = [(b"user-agent", b"h2load nghttp2/1.52.0")]
BROWSER = [
    (b"sec-ch-ua", b'"Chromium";v="128", "Not;A=Brand";v="24"'),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b'"Linux"'),
    (b"upgrade-insecure-requests", b"1"),
    (
        b"user-agent",
        b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    ),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"sec-fetch-site", b"none"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-dest", b"document"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"cookie", b"session=abcdef0123456789"),
    (b"cookie", b"theme=dark"),
]
ANSWER = (
    b"\r\nServer: origin\r\nDate: Sat, 21 Nov 2026 20:48:42 GMT\r\nContent-Type: text/plain"
    b"\r\nContent-Length: 13\r\n%b"
)


def inserted(name: bytes, value: bytes) -> bytes:
    """A literal that is put into the table."""
    return b"\x40" + string(name) + string(value)


def talk(fields: list[tuple[bytes, bytes]], kind: str) -> tuple[bytes, list[bytes]]:
    """The first block of a connection, and those that follow."""
    start = b"\x82\x86"
    first = start + b"\x41" + string(b"127.0.0.1:8080") + b"\x84"
    first += b"".join([inserted(*field) for field in fields])
    count = len(fields)
    after = b"".join([bytes((0x80 | 62 + n,)) for n in reversed(range(count))])
    authority = bytes((0x80 | 62 + count,))
    blocks = []
    for n in range(BLOCKS):
        path = b"/%d/some/page" % n if kind == "path" else b"/some/page"
        unique = (
            b"\x00\x09x-request" + string(b"%016x" % n) if kind == "unique" else b""
        )
        blocks.append(start + authority + b"\x04" + string(path) + after + unique)
    return first, blocks


def least(work: Callable[[], int]) -> float:
    """Microseconds for each of the things that `work` does, and tells the number of."""
    best = 1e9
    for _ in range(ROUNDS):
        before = time.perf_counter()
        count = work()
        best = min(best, (time.perf_counter() - before) / count)
    return best * 1e6


def reading(
    fields: list[tuple[bytes, bytes]], kind: str, most: int, made: bool
) -> float:
    """Blocks of one connection; `made`: and the heads that are made of them."""
    heads = RequestHeads(LIMITS)
    memory = BlockMemory(LIMITS, most_bytes=most)
    first, blocks = talk(fields, kind)
    decoder = Decoder(memory)
    decoder.decode(first)

    def work() -> int:
        # Equal blocks come as different objects from the wire.
        for block in [bytes(bytearray(block)) for block in blocks]:
            decoded = decoder.decode(block)
            if made:
                heads.head_of(decoded, True)
        return len(blocks)

    copying = least(lambda: len([bytes(bytearray(block)) for block in blocks]))
    return least(work) - copying


def writing(kind: str) -> float:
    """Heads of answers."""
    encoder = Encoder(LineMemory())
    heads = [
        ANSWER % (b"ETag: %d\r\n" % n if kind == "unique" else b"")
        for n in range(BLOCKS)
    ]

    def work() -> int:
        for head in heads:
            encoder.answer(200, head)
        return len(heads)

    return least(work)


def attack(block: bytes, before: bytes) -> float:
    """One block, to its error if it comes to one."""

    def work() -> int:
        decoder = Decoder(BlockMemory(LIMITS))
        decoder.decode(before)
        try:
            decoder.decode(block)
        except (BadMessage, Http2Error):
            pass
        return 1

    return least(work)


def main() -> None:
    """Print all figures."""
    print(
        f"{'reading, us':<24}{'same':>8}{'path':>8}{'unique':>8}{'not remembered':>16}"
    )
    for name, fields in (("small", SMALL), ("browser", BROWSER)):
        for made in (False, True):
            kinds = ("same", "path", "unique")
            figures = [reading(fields, kind, 1 << 21, made) for kind in kinds]
            row = "".join([f"{figure:8.2f}" for figure in figures])
            title = name + ", with head" * made
            print(f"{title:<24}{row}{reading(fields, 'path', 0, made):16.2f}")
    for kind in ("same", "unique"):
        print(f"{'writing, ' + kind:<24}{writing(kind):8.2f}")
    large = inserted(b"a", b"b" * 4000)
    for name, block in (
        ("16,000 references", b"\xbe" * 16000),
        ("2,048 references", b"\xbe" * 2048),
        ("3,000 insertions", b"\x41\x01a" * 3000),
        ("2,048 insertions", b"\x41\x00" * 2048),
        (
            "8,000 bytes Huffman",
            b"\x01" + integer(0x80, 0x7F, 8000) + b"\x18\xc6\x31\x8c\x63" * 1600,
        ),
        (
            "64 KiB Huffman",
            b"\x41" + integer(0x80, 0x7F, 65000) + b"\x18\xc6\x31\x8c\x63" * 13000,
        ),
    ):
        print(f"{name:<24}{attack(block, large):8.0f}")


if __name__ == "__main__":
    main()
