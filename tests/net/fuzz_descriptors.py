"""Reading and writing by descriptor under the sanitizers of the C compiler (`make fuzz-native`).

    python -m tests.net.fuzz_descriptors [--pieces N] [--seed N] [--sanitize]

Pieces of any size go through a pair of sockets, in bits of any size, and have to come out as they were; between them
are the calls that are refused: descriptors that are closed, sizes and types that are none.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
from contextlib import suppress
from typing import Any

from lolly_tx.net.sockets.descriptors import MOST_BYTES
from tests.wire.native import SANITIZED, extension

REFUSED: tuple[tuple[Any, ...], ...] = (
    (),
    (0,),
    (0, 1, 2),
    ("0", 1),
    (-1, b"x"),
    (-1, 10),
    (2**80, b"x"),
    (0, "x"),
    (0, 0),
    (0, -1),
    (0, MOST_BYTES + 1),
    (0, None),
)


def wrong(module: Any, chance: random.Random) -> None:
    """A call that is refused, and does nothing else."""
    call = module.receive if chance.random() < 0.5 else module.transmit
    arguments = chance.choice(REFUSED)
    with suppress(OSError, ValueError, TypeError, OverflowError):
        call(*arguments)
        raise AssertionError(f"{call.__name__}{arguments!r} was not refused")


def differences(pieces: int, seed: int, flags: tuple[str, ...] = ()) -> int:
    """How many came out as others."""
    module = extension("net/sockets/_descriptors.c", flags)
    assert module is not None, "no C compiler"
    chance = random.Random(seed)
    ours, theirs = socket.socketpair()
    different = 0
    with ours, theirs:
        for _ in range(pieces):
            data = chance.randbytes(chance.choice((1, 2, 200, 4096, 70_000, 300_000)))
            left, got = memoryview(data), b""
            while len(got) < len(data):
                if left:
                    with suppress(BlockingIOError):
                        sent = module.transmit(ours.fileno(), bytes(left))
                        left = left[sent:]
                most = chance.choice((1, 100, 65536, MOST_BYTES))
                with suppress(BlockingIOError):
                    got += module.receive(theirs.fileno(), max(most, len(data) // 50))
            different += got != data
            wrong(module, chance)
    return different


def main() -> int:
    """1: there are some."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pieces", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    flags = SANITIZED if options.sanitize else ()
    found = differences(options.pieces, options.seed, flags)
    print(f"{options.pieces} pieces, {found} differences")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
