"""A dynamic table of HPACK as a value (RFC 7541 sections 2.3 and 4).

    index   1 ......... 61   62 ............... newest first
            static table     entries, as many as fit into `most` bytes

A table is never changed: what inserts makes another, which has all fields by their index in one tuple. So a table may
belong to many connections at once, and what follows from one and a block may be remembered with it.

Imports: wire.hpack. Used by: wire.hpack.decoder.
"""

from __future__ import annotations

from lolly_tx.wire.hpack.static import (
    FIRST_DYNAMIC,
    OVERHEAD_BYTES,
    STATIC,
    TABLE_BYTES,
    Field,
)


class Table:
    """What a decoder knows between two blocks.

    `fields`: by index, the static ones and then the entries, newest first. `size`: of the entries, in bytes, counted as
    section 4.1 does. `most`: bytes that they may take.
    """

    __slots__ = ("fields", "most", "size")

    def __init__(self, fields: tuple[Field, ...], size: int, most: int) -> None:
        self.fields = fields
        self.size = size
        self.most = most


def empty_table() -> Table:
    """That of a connection that begins."""
    return Table(STATIC, 0, TABLE_BYTES)


class Draft:
    """What a block makes of a table, while it is read. `fields`: by index, as of a `Table`."""

    __slots__ = ("fields", "most", "size")

    def __init__(self, table: Table) -> None:
        self.fields = list(table.fields)
        self.size = table.size
        self.most = table.most

    def insert(self, field: Field) -> None:
        """Put in a new entry (section 4.4); one that is larger than the table empties it."""
        self.size += len(field[0]) + len(field[1]) + OVERHEAD_BYTES
        self.fields.insert(FIRST_DYNAMIC, field)
        if self.size > self.most:
            self._evict()

    def resize(self, most: int) -> None:
        """Another size, within what we have allowed (section 4.3)."""
        self.most = most
        self._evict()

    def _evict(self) -> None:
        fields = self.fields
        while self.size > self.most:
            name, value = fields.pop()
            self.size -= len(name) + len(value) + OVERHEAD_BYTES

    def table(self) -> Table:
        """What has come of it."""
        return Table(tuple(self.fields), self.size, self.most)
