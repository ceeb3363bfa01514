"""One header block of HPACK while it is read, strictly and within limits (RFC 7541 sections 4 to 6).

What breaks the coding costs the connection (`Http2Error` with COMPRESSION_ERROR), as nothing that comes later could be
understood. A head that is too large is only a `BadMessage` (431): the block is read to its end, so that the table is
right for the next. That is bounded as well: each representation costs about the same, a block has at most `MOST_STEPS`
of them, and a string that is beyond the limit is not decoded where nothing depends on it. Who sends more pays with the
connection (ENHANCE_YOUR_CALM).

Imports: wire, wire.hpack, wire.http2. Used by: wire.hpack.decoder.
"""

from __future__ import annotations

import re

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.hpack import huffman
from lolly_tx.wire.hpack.static import (
    CREDENTIALS,
    HUFFMAN,
    INDEXED,
    INSERTED,
    NEVER_INDEXED,
    OVERHEAD_BYTES,
    SIZE_UPDATE,
    Field,
)
from lolly_tx.wire.hpack.table import Draft, Table
from lolly_tx.wire.http2.errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    Http2Error,
)

MOST_STEPS = 2048
"""Representations in a block: several times what a head within usual limits has, and 2 ms at the worst."""
MOST_INTEGER_BYTES = 5
"""Of an integer after its prefix: 32 bits and more, beyond which no index and no length is right (section 5.1)."""

_INDEXED_RUN = re.compile(rb"[\x81-\xfe]++")
_CRUMB = b"cookie"


class Reading:
    """One block with the table that it follows.

    `limits`: of the head. `most_table`: bytes to which the peer may widen the table. After `run`: `fields` as (name,
    value), `never`: the places of those that are never indexed, `counted`: bytes of all as RFC 9113 section 6.5.2
    counts them, `private`: there are literals with credentials, or that are never indexed.
    """

    __slots__ = (
        "_at",
        "_block",
        "_draft",
        "_large",
        "_left",
        "_limits",
        "_most_table",
        "_table",
        "counted",
        "fields",
        "never",
        "private",
    )

    def __init__(
        self, block: bytes, table: Table, limits: HeadLimits, most_table: int
    ) -> None:
        self._block = block
        self._table = table
        self._limits = limits
        self._most_table = most_table
        self._draft: Draft | None = None
        self.fields: list[Field] = []
        self.never: list[int] = []
        self.counted = 0
        self.private = False
        self._at = 0
        self._left = limits.head_bytes  # for literal strings
        self._large = False

    def run(self) -> None:
        """Read the block to its end; raises `Http2Error`."""
        block = self._block
        size = len(block)
        fields = self.fields
        known: tuple[Field, ...] | list[Field] = self._table.fields
        at = self._size_updates()
        if self._draft is not None:
            known = self._draft.fields
        try:
            while at < size:
                first = block[at]
                if INDEXED < first < 0xFF:
                    run = _INDEXED_RUN.match(block, at)
                    assert run is not None
                    at = run.end()
                    if len(fields) + at - run.start() > MOST_STEPS:
                        raise Http2Error(ENHANCE_YOUR_CALM, "too many fields")
                    fields += [known[byte & 0x7F] for byte in run[0]]
                    continue
                if len(fields) >= MOST_STEPS:
                    raise Http2Error(ENHANCE_YOUR_CALM, "too many fields")
                self._at = at
                if first < SIZE_UPDATE:
                    index = self._integer(0x0F)
                    if first >= NEVER_INDEXED:
                        self.private = True
                        self.never.append(len(fields))
                    fields.append(self._literal(known, index))
                elif first == 0xFF:
                    fields.append(known[self._integer(0x7F)])
                elif INSERTED <= first < INDEXED:
                    index = self._integer(0x3F)
                    draft = self._draft
                    if draft is None:
                        draft = self._draft = Draft(self._table)
                        known = draft.fields
                    field = self._literal(known, index, draft)
                    draft.insert(field)
                    fields.append(field)
                elif first == INDEXED:
                    raise Http2Error(COMPRESSION_ERROR, "index 0")
                else:
                    raise Http2Error(
                        COMPRESSION_ERROR, "table size update after a field"
                    )
                at = self._at
        except IndexError:
            raise Http2Error(COMPRESSION_ERROR, "index of nothing") from None

    def table(self) -> Table:
        """The next one."""
        return self._table if self._draft is None else self._draft.table()

    def check(self) -> None:
        """Count the fields; raises `BadMessage` (431). The crumbs of a cookie are bounded by their bytes alone."""
        fields, limits = self.fields, self._limits
        if len(fields) > limits.fields:
            crumbs = sum(name == _CRUMB for name, _ in fields)
            if len(fields) - crumbs > limits.fields:
                raise BadMessage("too many fields", 431)
        counted = len(fields) * OVERHEAD_BYTES
        for name, value in fields:
            counted += len(name) + len(value)
        self.counted = counted
        if self._large or counted > limits.head_bytes:
            raise BadMessage("head too large", 431)

    def _size_updates(self) -> int:
        """Take those at the block's beginning (section 4.2); where it goes on."""
        block = self._block
        updates = 0
        while self._at < len(block) and SIZE_UPDATE <= block[self._at] < INSERTED:
            most = self._integer(0x1F)
            updates += 1
            if most > self._most_table or updates > 2:
                # Two at most are ever of use: the least of several, and the last.
                raise Http2Error(COMPRESSION_ERROR, "table size update out of range")
            if self._draft is None:
                self._draft = Draft(self._table)
            self._draft.resize(most)
        return self._at

    def _integer(self, mask: int) -> int:
        """The integer whose prefix has the bits `mask` (section 5.1)."""
        block = self._block
        at = self._at
        value = block[at] & mask
        at += 1
        if value == mask:
            shift = 0
            while True:
                if at >= len(block):
                    raise Http2Error(COMPRESSION_ERROR, "block is cut off")
                if shift >= 7 * MOST_INTEGER_BYTES:
                    raise Http2Error(COMPRESSION_ERROR, "integer out of range")
                byte = block[at]
                at += 1
                value += (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
        self._at = at
        return value

    def _literal(
        self,
        known: tuple[Field, ...] | list[Field],
        index: int,
        draft: Draft | None = None,
    ) -> Field:
        """The rest of a literal whose name is that of `index`, or comes first (section 6.2)."""
        name = known[index][0] if index else self._string(draft)
        if name in CREDENTIALS:
            self.private = True
        return (name, self._string(draft))

    def _string(self, draft: Draft | None) -> bytes:
        """A string (section 5.2). Beyond the limits it is none, unless it is for a `draft` that may depend on it."""
        block = self._block
        if self._at >= len(block):
            raise Http2Error(COMPRESSION_ERROR, "block is cut off")
        coded = block[self._at] >= HUFFMAN
        size = self._integer(0x7F)
        at = self._at
        end = self._at = at + size
        if end > len(block):
            raise Http2Error(COMPRESSION_ERROR, "block is cut off")
        self._left -= size
        if self._left < 0:
            self._large = True
            if draft is None:
                return b""
            if size * 8 // huffman.LONGEST_BITS > draft.most:
                return bytes(draft.most)  # as good as any that empties it
        return huffman.decode(block[at:end]) if coded else block[at:end]
