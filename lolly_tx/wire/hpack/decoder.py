"""Header blocks to fields (RFC 7541), and remembering what they mean.

    decoder.decode(block) -> Decoded         and the decoder's table is the next one

Clients say the same again and again, and so do clients of one kind. A block that is known costs a lookup, one that is
known but for its path little more, and what the caller made of it is there as well (`made`). The connections of a
listener, or of a pool, share a memory: they begin with the same table, and have the same one for as long as they say
the same. What is remembered is bounded by its bytes and forgotten all at once; a connection then has just its own
table.

A block that has a literal of a credential in it, or one that is never indexed, is not remembered, and the table that
comes of it is only that connection's. So how long a block takes never tells anybody that somebody else has sent the
same cookie.

Imports: wire, wire.hpack. Used by: net.checks, net.http2, net.tunnels.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack import huffman
from lolly_tx.wire.hpack.native import Fields, ReadBlock, read_block
from lolly_tx.wire.hpack.reading import counted_bytes, integer_at, read
from lolly_tx.wire.hpack.static import HUFFMAN, TABLE_BYTES
from lolly_tx.wire.hpack.table import Decoded, Pattern, Table, empty_table

REMEMBERED_BYTES: Final = 1 << 21
"""What the blocks that are remembered may take, about, with what is made of them."""
LARGEST_BYTES: Final = 8192
"""The largest of them, with its fields."""
RECENT: Final = 1024
"""Blocks that are noticed, so that only what comes twice is remembered; then it begins anew."""

_ENTRY_BYTES: Final = 1500
"""Of each, beside its bytes: objects, places in dictionaries, a small table."""
_TIMES: Final = 4
"""How often the bytes of its fields are there: here, and in the head that is made of them."""

# Indexed fields, then a path that is not indexed (and not never indexed), and the size of its string.
_SPLIT: Final = re.compile(rb"[\x81-\xfe]{0,16}[\x04\x05](?=.)", re.DOTALL)
_SIZE_BITS: Final = 0x7F


class BlockMemory:
    """What decoders with the same limits remember, and what it may take.

    `limits`: of a head; all fields together may count `head_bytes`, each with 32 bytes beside its name and value as
    RFC 9113 section 6.5.2 says. The crumbs of a cookie are bounded by that alone, not by `fields`. `most_table`: our
    SETTINGS_HEADER_TABLE_SIZE in bytes, `TABLE_BYTES` or more and never changed. `most_bytes`: for what is remembered;
    0: nothing. `first`: the table of a connection that begins. `scan`: reads ordinary blocks in one pass; None: nothing
    does.
    """

    __slots__ = (
        "_left",
        "_recent",
        "_scan",
        "_tables",
        "first",
        "limits",
        "most_bytes",
        "most_table",
    )

    def __init__(
        self,
        limits: HeadLimits,
        most_table: int = TABLE_BYTES,
        most_bytes: int = REMEMBERED_BYTES,
        scan: ReadBlock | None = read_block,
    ) -> None:
        self._scan = scan
        self.limits = limits
        self.most_table = most_table
        self.most_bytes = most_bytes
        self.first = empty_table()
        self.first.shared = True
        self._left = most_bytes
        self._tables: list[Table] = []
        self._recent: set[int] = set()

    @property
    def used_bytes(self) -> int:
        """What it takes, about."""
        return self.most_bytes - self._left

    def whole(
        self, block: bytes, table: Table
    ) -> tuple[Fields, tuple[int, ...], bool, int, Fields | None, int] | None:
        """What an ordinary block says, where there is what reads those in one pass (`wire.hpack.native`)."""
        scan = self._scan
        if scan is None:
            return None
        limits = self.limits
        return scan(
            block,
            table.fields,
            table.size,
            table.most,
            limits.head_bytes,
            limits.fields,
        )

    def again(self, block: bytes) -> bool:
        """Whether `block` is likely to have been asked about before."""
        recent = self._recent
        mark = hash(block)
        if mark in recent:
            return True
        if len(recent) >= RECENT:
            recent.clear()
        recent.add(mark)
        return False

    def room(self, table: Table, size: int, after: Table) -> bool:
        """Whether something of `size` bytes that leads to `after` may be kept with `table`; makes room for it."""
        if size > LARGEST_BYTES:
            return False
        size = size * _TIMES + _ENTRY_BYTES
        if after is not table:
            size += _table_bytes(after)
        unlisted = not table.known and not table.patterns
        if unlisted:
            size += _table_bytes(table)
        if size > self._left:
            self._forget()
            if size > self._left:
                return False
            unlisted = True
        if unlisted:
            self._tables.append(table)
        self._left -= size
        after.shared = True
        return True

    def _forget(self) -> None:
        for table in self._tables:
            table.known.clear()
            table.patterns.clear()
        self._tables.clear()
        self._left = self.most_bytes


def _table_bytes(table: Table) -> int:
    """What a table takes, with its entries."""
    return 16 * len(table.fields) + 2 * table.size


def _apart(block: bytes) -> tuple[bytes, int, bool, bytes] | None:
    """`block` without its path, the place of that among the fields, whether it is in Huffman's code, and as it came.

    None: there is none where they usually have it, or it is cut off.
    """
    split = _SPLIT.match(block)
    if split is None:
        return None
    at = split.end()
    first = block[at]
    size, start = first & _SIZE_BITS, at + 1
    if size == _SIZE_BITS:
        size, start = integer_at(block, at, _SIZE_BITS)
    end = start + size
    if end > len(block):
        return None
    return block[:at] + block[end:], at - 1, first >= HUFFMAN, block[start:end]


class Decoder:
    """One direction of a connection. `memory`: what it shares with others. `table`: what the next block follows."""

    __slots__ = ("_memory", "table")

    def __init__(self, memory: BlockMemory) -> None:
        self._memory = memory
        self.table = memory.first

    def decode(self, block: bytes) -> Decoded:
        """What a whole block says.

        Raises `Http2Error`, after which nothing can be decoded any more, and `BadMessage` (431), after which the next
        block can.
        """
        table = self.table
        found = table.known.get(block)
        if found is None and table.patterns:
            found = self._like(block)
        if found is None:
            found = self._read(block)
        self.table = found.table
        return found

    def _like(self, block: bytes) -> Decoded | None:
        """What `block` says, if it is known but for its path."""
        apart = _apart(block)
        if apart is None:
            return None
        key, _, coded, path = apart
        table = self.table
        pattern = table.patterns.get(key)
        memory = self._memory
        most = memory.limits.head_bytes
        if pattern is None or len(path) > most:
            return None
        if coded:
            path = huffman.decode(path)
        after = self.table = pattern.table
        counted = pattern.counted + len(path)
        if counted > most:
            raise BadMessage("head too large", 431)
        found = Decoded(None, (), after, pattern, path)
        if memory.again(block) and memory.room(table, counted, after):
            table.known[block] = found
            found.lasting = True
        return found

    def _read(self, block: bytes) -> Decoded:
        """The same, read in full."""
        memory = self._memory
        table = self.table
        limits = memory.limits
        whole = memory.whole(block, table)
        if whole is not None:
            fields, never, private, counted, entries, size = whole
            after = table
            if entries is not None:
                after = table.followed_by(entries, size, table.most, size)
            self.table = after
        else:
            reading = read(block, table, limits, memory.most_table)
            after = self.table = reading.table
            reading.check(limits)
            fields, never = tuple(reading.fields), tuple(reading.never)
            private, counted = reading.private, -1
        if private or not (after is table or table.shared):
            # Or nobody comes by this table again: it is another now, and only this connection had it.
            return Decoded(fields, never, after, None, b"")
        pattern, path = None, b""
        apart = _apart(block)
        if apart is not None and memory.again(apart[0]):
            key, place = apart[:2]
            path = fields[place][1]
            if counted < 0:
                counted = counted_bytes(fields)
            rest = counted - len(path)
            if memory.room(table, rest, after):
                pattern = Pattern(fields[:place], fields[place + 1 :], rest, after)
                table.patterns[key] = pattern
        found = Decoded(fields, (), after, pattern, path)
        if memory.again(block):
            if counted < 0:
                counted = counted_bytes(fields)
            if memory.room(table, counted, after):
                table.known[block] = found
                found.lasting = True
        return found
