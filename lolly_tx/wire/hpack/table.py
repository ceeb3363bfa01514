"""A dynamic table of HPACK as a value (RFC 7541 sections 2.3 and 4), and what blocks were found to mean with it.

    index   1 ......... 61   62 ............... newest first
            static table     entries, as many as fit into `most` bytes

    table --block--> Decoded (fields, next table) --block--> ...

A table is never changed: what inserts makes another, which has all fields by their index in one tuple. Decoding is a
pure function of a table and a block, so what came of it is kept with the table itself (`known`), and is right for
whoever has that table, one connection or many. Most requests of a client differ in their path alone, which is hardly
ever put into a table; so a block is also known without its path (`patterns`).

Imports: wire.hpack. Used by: wire.hpack.decoder, wire.hpack.reading, wire.http2.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.wire.hpack.static import (
    OVERHEAD_BYTES,
    PATH,
    STATIC,
    TABLE_BYTES,
    Field,
)


class Table:
    """What a decoder knows between two blocks.

    `fields`: by index, the static ones and then the entries, newest first. `size`: of the entries, in bytes, counted as
    section 4.1 does. `most`: bytes that they may take. `widest`: bytes that none of them takes more than. `shared`:
    others may come by this table. `known`: what blocks mean; `patterns`: what blocks without their path mean, which are
    no blocks themselves. These three are for `wire.hpack.decoder` to fill.
    """

    __slots__ = ("fields", "known", "most", "patterns", "shared", "size", "widest")

    def __init__(
        self, fields: tuple[Field, ...], size: int, most: int, widest: int
    ) -> None:
        self.fields = fields
        self.size = size
        self.most = most
        self.widest = widest
        self.shared = False
        self.known: dict[bytes, Decoded] = {}
        self.patterns: dict[bytes, Pattern] = {}

    def followed_by(
        self, fields: tuple[Field, ...], size: int, most: int, widest: int
    ) -> Table:
        """The next one; the same one, if it says the same: who inserts what is there already gets that far.

        Some servers, nginx among them, insert the same fields with each answer and never refer to them.
        """
        if size == self.size and most == self.most and fields == self.fields:
            return self
        return Table(fields, size, most, widest)


def empty_table() -> Table:
    """That of a connection that begins."""
    return Table(STATIC, 0, TABLE_BYTES, 0)


class Pattern:
    """What blocks say that differ in their path alone. Never changed but for `made`: others have it, too.

    `before`, `after`: the fields around the path. `counted`: bytes of all, as RFC 9113 section 6.5.2 counts them,
    with an empty path. `table`: the next one. `made`: for the caller, who may keep here what it has made of them;
    None at first.
    """

    __slots__ = ("after", "before", "counted", "made", "table")

    def __init__(
        self,
        before: tuple[Field, ...],
        after: tuple[Field, ...],
        counted: int,
        table: Table,
    ) -> None:
        self.before = before
        self.after = after
        self.counted = counted
        self.table = table
        self.made: Any = None


class Decoded:
    """What a block says. Never changed but for `made`: others may have it, too.

    `never`: the places in `fields` of those that came as literals that are never indexed; who sends them on has to do
    the same (sections 6.2.3 and 7.1.3), see `unindexed`. `table`: the next one. `pattern`, `path`: the same, taken
    apart, if the block is of such a kind; else None and b"". `lasting`: it is remembered. `made`: for the caller, who
    may keep here what it has made of all; None at first.
    """

    __slots__ = ("_fields", "lasting", "made", "never", "path", "pattern", "table")

    def __init__(
        self,
        fields: tuple[Field, ...] | None,
        never: tuple[int, ...],
        table: Table,
        pattern: Pattern | None,
        path: bytes,
    ) -> None:
        self._fields = fields
        self.never = never
        self.table = table
        self.pattern = pattern
        self.path = path
        self.lasting = False
        self.made: Any = None

    @property
    def unindexed(self) -> frozenset[bytes]:
        """The names of those that are never indexed."""
        fields = self.fields
        return frozenset([fields[at][0] for at in self.never])

    @property
    def fields(self) -> tuple[Field, ...]:
        """All as (name, value), in order."""
        fields = self._fields
        if fields is None:
            pattern = self.pattern
            assert pattern is not None
            fields = (*pattern.before, (PATH, self.path), *pattern.after)
            self._fields = fields
        return fields


def evict(fields: list[Field], size: int, most: int) -> int:
    """Take out the oldest entries until what is left has at most `most` bytes; its `size` was that, and is returned."""
    while size > most:
        name, value = fields.pop()
        size -= len(name) + len(value) + OVERHEAD_BYTES
    return size
