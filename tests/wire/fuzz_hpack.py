"""Header blocks that another library makes, some of them spoiled: they mean the same to both, or are refused by both.

`python -m tests.wire.fuzz_hpack [--talks N] [--seed N]` prints how many were compared; it fails with the block where
they differ. Each talk is a connection of 20 blocks with a table of its own, whose size changes now and then.

May import: lolly_tx.wire. Used by: `make fuzz`, tests.wire.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from random import Random
from typing import Any

import hpack

from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack.decoder import BlockMemory, Decoder
from lolly_tx.wire.hpack.static import FIRST_DYNAMIC, STATIC
from lolly_tx.wire.http2_errors import Http2Error

LOOSE = HeadLimits(head_bytes=10**6, fields=1000)
"""Limits that no random head reaches."""
BLOCKS = 20

Fields = list[tuple[bytes, bytes]]


def entries(of: Decoder) -> Fields:
    """The dynamic table, newest first."""
    return list(of.table.fields[FIRST_DYNAMIC:])


NAMES = [name for name, _ in STATIC[1:]] + [b"x-a", b"x-b", b"x" * 200]


def random_fields(random: Random) -> Fields:
    fields = []
    for _ in range(random.randrange(12)):
        name = random.choice(NAMES)
        size = random.choice((0, 1, 5, 20, 60, 300))
        value = bytes(random.choices(b"abc/=;012 XYZ\xff", k=size))
        fields.append(random.choice(((name, value), random.choice(STATIC[1:]))))
    return fields


def outcome(decode: Callable[[bytes], Any], block: bytes) -> Fields | None:
    """The fields, or None for an error of the coding."""
    try:
        return [(bytes(n), bytes(v)) for n, v in decode(block)]
    except (hpack.HPACKError, Http2Error):
        return None


def differences(random: Random, blocks: int) -> int:
    """Raise AssertionError where the libraries differ; whether the talk ended with a block that both refused."""
    most = random.choice((4096, 4096, 5000, 65536))
    ours = Decoder(BlockMemory(LOOSE, most))
    theirs = hpack.Decoder(max_header_list_size=10**6)
    theirs.max_allowed_table_size = most
    encoder = hpack.Encoder()
    for _ in range(blocks):
        if random.random() < 0.1:
            encoder.header_table_size = random.randrange(most + 1)
        fields = [
            hpack.NeverIndexedHeaderTuple(*f) if random.random() < 0.1 else f
            for f in random_fields(random)
        ]
        block = encoder.encode(fields, huffman=random.random() < 0.7)
        mutated = bytearray(block)
        if mutated and random.random() < 0.1:
            for _ in range(random.randrange(1, 4)):
                at = random.randrange(len(mutated))
                if random.random() < 0.5:
                    mutated[at] = random.randrange(256)
                elif len(mutated) > 1:
                    del mutated[at]
        block = bytes(mutated)
        got = outcome(lambda b: ours.decode(b).fields, block)
        wanted = outcome(lambda b: theirs.decode(b, raw=True), block)
        if got != wanted:
            raise AssertionError(f"{block.hex()}: {got} instead of {wanted}")
        if wanted is None:
            return 1
        table = [tuple(entry) for entry in theirs.header_table.dynamic_entries]
        if entries(ours) != table or ours.table.most != theirs.header_table_size:
            raise AssertionError(f"{block.hex()}: tables differ")
    return 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="HPACK against another library")
    parser.add_argument("--talks", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    refused = 0
    for seed in range(options.seed, options.seed + options.talks):
        try:
            refused += differences(Random(seed), BLOCKS)
        except AssertionError as error:
            raise SystemExit(f"seed {seed}: {error}") from None
    print(
        f"{options.talks} talks of {BLOCKS} blocks, {refused} ended by a bad one: no difference"
    )


if __name__ == "__main__":
    main()
