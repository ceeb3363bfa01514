"""Header blocks read in one pass, some of them spoiled: they mean the same as to who reads them step by step.

`python -m tests.wire.fuzz_blocks [--talks N] [--seed N] [--sanitize]` prints how many were compared, and fails with the
block where they differ. Each talk is a connection of 20 blocks; heads are made of what was read.

May import: lolly_tx.wire. Used by: `make fuzz-native`, tests.wire.
"""

from __future__ import annotations

import argparse
import re
from random import Random
from typing import Any

import hpack

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.static import STATIC
from lolly_tx.wire.http2.known import RequestHeads
from lolly_tx.wire.http2_errors import Http2Error
from tests.wire.native import SANITIZED, blocks

LIMITS = HeadLimits(head_bytes=1500, fields=14, line_bytes=60)
BLOCKS = 20
PRIORITY = re.compile(rb"\npriority: ([^\r]*)\r")

PSEUDO = [
    (b":method", (b"GET", b"POST", b"CONNECT", b"G T")),
    (b":scheme", (b"https", b"http", b"ftp")),
    (b":authority", (b"a.test", b"A.test:8", b"", b"a b")),
    (
        b":path",
        (b"/", b"/a%20b?q=%zz", b"/%00", b"x", b"/" + b"a" * 60, b"*", b"/\xff"),
    ),
]
NAMES = [name for name, _ in STATIC[15:]]
NAMES += [
    b"priority",
    b"x-a",
    b"x_b",
    b"X-C",
    b"x-forwarded-for",
    b"proxy-x",
    b"proxy-",
    b"x d",
    b"",
]
VALUES = (b"", b"a", b" a", b"a\t", b"a b", b"a\rb", b"\0", b"\xff", b"x" * 200, b"1")


def random_fields(chance: Random) -> list[tuple[bytes, bytes]]:
    """Those of a request, mostly as they should be."""
    fields = []
    for name, values in PSEUDO:
        at = 0 if chance.random() < 0.85 else chance.randrange(len(values))
        fields.append((name, values[at]))
    if chance.random() < 0.15:
        chance.shuffle(fields)
    if chance.random() < 0.05:
        fields.pop(chance.randrange(4))
    for _ in range(chance.randrange(12)):
        usual = chance.random() < 0.9
        name = chance.choice(NAMES[:40] if usual else NAMES)
        value = b"v%d" % chance.randrange(30) if usual else chance.choice(VALUES)
        fields.append((name, value))
    return fields


def spoiled(chance: Random, block: bytes) -> bytes:
    """The same with some bytes that are others, or gone."""
    made = bytearray(block)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(made))
        if chance.random() < 0.5:
            made[at] = chance.randrange(256)
        elif len(made) > 1:
            del made[at]
    return bytes(made)


def read(decoder: Decoder, heads: RequestHeads, block: bytes) -> list[Any]:
    """What comes of a block, comparable."""
    found: list[Any] = []
    try:
        decoded = decoder.decode(block)
        found += [decoded.fields, decoded.never, decoded.unindexed, decoded.lasting]
        head = heads.head_of(decoded, True)
        block_ = head.block
        said = block_.priority
        if said is None:
            said = PRIORITY.findall(block_.raw + b"\npriority: \r")[0]
        found.append(said)
        found += [head.method, head.target, head.plain, head.is_head, block_.raw]
        found += [block_.kept, block_.host, block_.length, block_.hops, block_.never]
    except (BadMessage, Http2Error) as error:
        found += [type(error), error.reason, getattr(error, "status", 0)]
    table = decoder.table
    return [*found, table.fields, table.size, table.most]


def differences(chance: Random, flags: tuple[str, ...] = ()) -> int:
    """Raise AssertionError where the two differ; how many blocks were read in one pass."""
    module = blocks(flags)
    assert module is not None, "no C compiler"
    taken = 0

    def counting(*args: Any) -> Any:
        nonlocal taken
        made = module.read_block(*args)
        taken += made is not None
        return made

    most = chance.choice((4096, 4096, 200))
    kept = chance.choice((0, 1 << 20))
    ways = [
        (
            Decoder(BlockMemory(LIMITS, most_bytes=kept, scan=scan)),
            RequestHeads(LIMITS, scan=plain),
        )
        for scan, plain in ((counting, module.plain_head), (None, None))
    ]
    encoder = hpack.Encoder()
    encoder.header_table_size = most
    before: list[bytes] = []
    for _ in range(BLOCKS):
        fields = [
            hpack.NeverIndexedHeaderTuple(*f) if chance.random() < 0.03 else f
            for f in random_fields(chance)
        ]
        block = encoder.encode(fields, huffman=chance.random() < 0.7)
        if chance.random() < 0.15:
            block = spoiled(chance, block)
        elif before and chance.random() < 0.1:
            block = chance.choice(before)
        before.append(block)
        one, other = [read(*way, block) for way in ways]
        if one != other:
            raise AssertionError(f"{block.hex()}: {one} instead of {other}")
        if Http2Error in one:
            break
    return taken


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Blocks in one pass and step by step")
    parser.add_argument("--talks", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    flags = SANITIZED if options.sanitize else ()
    taken = 0
    for seed in range(options.seed, options.seed + options.talks):
        try:
            taken += differences(Random(seed), flags)
        except AssertionError as error:
            raise SystemExit(f"seed {seed}: {error}") from None
    print(f"{options.talks} talks, {taken} blocks in one pass: no difference")


if __name__ == "__main__":
    main()
