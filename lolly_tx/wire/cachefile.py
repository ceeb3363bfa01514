r"""A stored answer as a file: a head that says what it is, then the body, all of it with checksums.

    b"LOLLYC1\n"   length and CRC-32 of the head   head (JSON)   body
    8 bytes        4 + 4 bytes, big-endian

The head has a checksum for each block of the body, so that any part of it can be read without trusting the rest. A file
that was cut off, or is another version's, is no file.

Imports: wire. Used by: net, proxy.caching.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import attrs

from lolly_tx.wire.cachefields import Names, Pairs

MAGIC = b"LOLLYC1\n"
_FRAME = struct.Struct(">II")
FRONT_BYTES = len(MAGIC) + _FRAME.size
BLOCK_BYTES = 262144
"""Of the body; the last block is shorter."""

MOST_HEAD_BYTES = 4 << 20
"""Fields, and the checksums of a body of 100 GB."""


class BadFile(ValueError):
    """It is none, or not all of one."""


@attrs.frozen
class Card:
    """What the head says. Times are seconds, `born` since the epoch; see `Life`, and `proxy.caching.stored.Facts`."""

    site: bytes
    target: bytes
    url_target: bytes
    vary: Names
    selecting: Names
    tags: tuple[bytes, ...]
    status: int
    reason: bytes
    pairs: Pairs
    length: int
    for_all: bool
    born: float
    lifetime: float
    stale_while: float
    stale_error: float
    checksums: tuple[int, ...] = ()


def checksums(body: bytes) -> tuple[int, ...]:
    """Those of the blocks of `body`."""
    view = memoryview(body)
    return tuple(
        zlib.crc32(view[at : at + BLOCK_BYTES])
        for at in range(0, len(body), BLOCK_BYTES)
    )


def front(card: Card) -> bytes:
    """All that stands before the body."""
    head = json.dumps(
        attrs.astuple(card), default=_text, separators=(",", ":")
    ).encode()
    return MAGIC + _FRAME.pack(len(head), zlib.crc32(head)) + head


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def head_bytes(start: bytes) -> int:
    """How long the head is, from the first `FRONT_BYTES` bytes. Raises `BadFile`."""
    if len(start) < FRONT_BYTES or not start.startswith(MAGIC):
        raise BadFile("no stored answer")
    length = int(_FRAME.unpack_from(start, len(MAGIC))[0])
    if length > MOST_HEAD_BYTES:
        raise BadFile("head too long")
    return length


def read_head(start: bytes, head: bytes) -> Card:
    """What the head says, after the first `FRONT_BYTES` bytes. Raises `BadFile`."""
    length, checksum = _FRAME.unpack_from(start, len(MAGIC))
    if len(head) != length or zlib.crc32(head) != checksum:
        raise BadFile("damaged head")
    try:
        values = json.loads(head)
        card = Card(*[_bytes(value) for value in values])
        return attrs.evolve(card, pairs=list(card.pairs))
    except (TypeError, ValueError) as error:  # of a version with other ideas
        raise BadFile("unknown head") from error


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("latin-1")
    return tuple(map(_bytes, value)) if isinstance(value, list) else value


def check_block(card: Card, number: int, block: bytes) -> None:
    """Raise `BadFile` if that block of the body is not what it was."""
    whole = min(BLOCK_BYTES, card.length - number * BLOCK_BYTES)
    if len(block) != whole or zlib.crc32(block) != card.checksums[number]:
        raise BadFile("damaged body")
