"""One header block of HPACK while it is read, strictly and within limits (RFC 7541 sections 4 to 6).

What breaks the coding costs the connection (`Http2Error` with COMPRESSION_ERROR), as nothing that comes later could be
understood. A head that is too large is only a `BadMessage` (431): the block is read to its end, so that the table is
right for the next. That is bounded as well: each representation costs about the same, a block has at most `MOST_STEPS`
of them, and a string that is beyond the limit is not decoded where nothing depends on it. Who sends more pays with the
connection (ENHANCE_YOUR_CALM).

Imports: wire, wire.hpack. Used by: wire.hpack.decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack import huffman
from lolly_tx.wire.hpack.static import (
    CREDENTIALS,
    FIRST_DYNAMIC,
    HUFFMAN,
    INDEXED,
    INSERTED,
    NEVER_INDEXED,
    OVERHEAD_BYTES,
    SIZE_UPDATE,
    Field,
)
from lolly_tx.wire.hpack.table import Table, evict
from lolly_tx.wire.http2_errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    Http2Error,
)

MOST_STEPS: Final = 2048
"""Representations in a block: several times what a head within usual limits has, and 2 ms at the worst."""
MOST_INTEGER_BYTES: Final = 5
"""Of an integer after its prefix: 32 bits and more, beyond which no index and no length is right (section 5.1)."""

_LONG_INDEX: Final = 0xFF
_STATIC_BYTES: Final = 2 * OVERHEAD_BYTES  # no field of the static table counts more
_CRUMB: Final = b"cookie"


def counted_bytes(fields: Sequence[Field]) -> int:
    """Bytes of `fields`, as RFC 9113 section 6.5.2 counts them."""
    return sum(map(len, chain.from_iterable(fields))) + len(fields) * OVERHEAD_BYTES


class Reading:
    """What a block says that was read to its end.

    `fields`: as (name, value), in order. `never`: the places of those that are never indexed. `private`: there are
    literals with credentials, or such. `large`: strings have been left out. `table`: the next one.
    `widest`: bytes that no field counts more than.
    """

    __slots__ = ("fields", "large", "never", "private", "table", "widest")

    def __init__(
        self,
        fields: list[Field],
        never: list[int],
        private: bool,
        large: bool,
        table: Table,
        widest: int,
    ) -> None:
        self.fields = fields
        self.never = never
        self.private = private
        self.large = large
        self.table = table
        self.widest = widest

    def counted(self) -> int:
        """Bytes of all fields, as RFC 9113 section 6.5.2 counts them."""
        return counted_bytes(self.fields)

    def check(self, limits: HeadLimits) -> None:
        """Raise `BadMessage` (431) beyond `limits`. The crumbs of a cookie are bounded by their bytes alone."""
        fields = self.fields
        if len(fields) > limits.fields:
            crumbs = sum(name == _CRUMB for name, _ in fields)
            if len(fields) - crumbs > limits.fields:
                raise BadMessage("too many fields", 431)
        # The size of the table bounds that of its fields, which is mostly enough to know.
        if self.large or (
            len(fields) * self.widest > limits.head_bytes
            and self.counted() > limits.head_bytes
        ):
            raise BadMessage("head too large", 431)


def read(block: bytes, table: Table, limits: HeadLimits, most_table: int) -> Reading:
    """Read a `block` that follows `table`; raises `Http2Error`.

    `limits`: of the head, of which only the bytes that need not be decoded are known from here on. `most_table`:
    bytes to which the peer may widen the table.
    """
    size = len(block)
    fields: list[Field] = []
    never: list[int] = []
    private = large = False
    left = limits.head_bytes  # for literal strings
    known: Sequence[Field] = table.fields
    entries: list[Field] | None = None  # the same, once it is changed
    held, most, widest = table.size, table.most, table.widest
    at = 0
    if size and SIZE_UPDATE <= block[0] < INSERTED:
        least, most, at = _size_updates(block, most_table)
        known = entries = [*known]
        held = evict(entries, held, least)
    many = size > MOST_STEPS
    try:
        while at < size:
            if many and len(fields) >= MOST_STEPS:
                raise Http2Error(ENHANCE_YOUR_CALM, "too many fields")
            first = block[at]
            if INDEXED < first < _LONG_INDEX:
                at += 1
                fields.append(known[first & 0x7F])
                continue
            if first >= INDEXED:
                index, at = integer_at(block, at, 0x7F)
                if not index:
                    raise Http2Error(COMPRESSION_ERROR, "index 0")
                fields.append(known[index])
                continue
            mask = 0x0F
            if first >= INSERTED:
                mask = 0x3F
            elif first >= SIZE_UPDATE:
                raise Http2Error(COMPRESSION_ERROR, "table size update after a field")
            elif first >= NEVER_INDEXED:
                private = True
                never.append(len(fields))
            index = first & mask
            at += 1
            if index == mask:
                index, at = integer_at(block, at - 1, mask)
            name = known[index][0] if index else None
            while True:  # the name, unless it has come by its index, and the value
                if at >= size:
                    raise Http2Error(COMPRESSION_ERROR, "block is cut off")
                length = block[at]
                coded = length >= HUFFMAN
                length &= 0x7F
                at += 1
                if length == 0x7F:
                    length, at = integer_at(block, at - 1, 0x7F)
                end = at + length
                if end > size:
                    raise Http2Error(COMPRESSION_ERROR, "block is cut off")
                left -= length
                if left >= 0:
                    text = block[at:end]
                    if coded:
                        text = huffman.decode(text)
                else:
                    large = True
                    room = most if first >= INSERTED else 0
                    text = _beyond(block[at:end], coded, room)
                at = end
                if name is not None:
                    break
                name = text
            if name in CREDENTIALS:
                private = True
            field = (name, text)
            fields.append(field)
            if first >= INSERTED:
                if entries is None:
                    known = entries = [*known]
                counted = len(name) + len(text) + OVERHEAD_BYTES
                if counted > widest:
                    widest = counted
                entries.insert(FIRST_DYNAMIC, field)
                held += counted
                if held > most:
                    held = evict(entries, held, most)
    except IndexError:
        raise Http2Error(COMPRESSION_ERROR, "index of nothing") from None
    after = table
    if entries is not None:
        after = table.followed_by(tuple(entries), held, most, widest)
    # Literals grow by 8/5 at the most, but for what they take of a table.
    widest = max(widest, _STATIC_BYTES) + 2 * size
    return Reading(fields, never, private, large, after, widest)


def _beyond(text: bytes, coded: bool, room: int) -> bytes:
    """A string beyond the limit: none, unless it is for a table with `room` whose next entries may depend on it."""
    if not room:
        return b""
    if len(text) * 8 // huffman.LONGEST_BITS > room:
        return bytes(room)  # as good as any that empties it
    return huffman.decode(text) if coded else text


def _size_updates(block: bytes, most_table: int) -> tuple[int, int, int]:
    """Those at the block's beginning (section 4.2): the least of them, the last, and where the block goes on."""
    at = updates = most = 0
    least = most_table
    while at < len(block) and SIZE_UPDATE <= block[at] < INSERTED:
        most, at = integer_at(block, at, 0x1F)
        updates += 1
        if most > most_table or updates > 2:
            # Two at most are ever of use: the least of several, and the last.
            raise Http2Error(COMPRESSION_ERROR, "table size update out of range")
        least = min(least, most)
    return least, most, at


def integer_at(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer at `at` whose prefix has the bits `mask` (section 5.1), and where it ends."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 7 * MOST_INTEGER_BYTES, 7):
        if at >= len(block):
            raise Http2Error(COMPRESSION_ERROR, "block is cut off")
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Http2Error(COMPRESSION_ERROR, "integer out of range")
