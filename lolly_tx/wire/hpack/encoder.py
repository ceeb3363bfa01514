r"""Heads to header blocks (RFC 7541): of answers to clients, and of requests to targets.

    status 200, b"\r\nDate: ...\r\nETag: x\r\n"    ->   0x88, then a literal for each line

Field lines come in the form that HTTP/1.1 has, as everywhere in this proxy, and names become lower case. Nothing is
ever put into the peer's dynamic table: so a line always has the same bytes, on every connection, and can be remembered.
Whole heads are tried first, then single lines. What is remembered is bounded by its bytes, and forgotten all at once.

Imports: wire.hpack. Used by: net.checks, net.http2, net.tunnels.
"""

from __future__ import annotations

from typing import Final

from lolly_tx.wire.hpack.static import (
    CREDENTIALS,
    INDEXED,
    NEVER_INDEXED,
    NOT_INDEXED,
    PATH,
    SIZE_UPDATE,
    STATIC,
    TABLE_BYTES,
    Field,
)

REMEMBERED_BYTES: Final = 1 << 20
"""What the heads and lines that are remembered may take, with what Python needs for them."""
LARGEST_BYTES: Final = 4096
"""The largest of them."""
_ENTRY_BYTES: Final = 300
"""Of each, beside its bytes: two objects, a key, and a place in a dictionary."""

Names = frozenset[bytes]
NONE: Final[Names] = frozenset()

_NEVER: Final = frozenset((b"authorization", b"proxy-authorization"))

_BY_FIELD: Final = {
    field: index for index, field in enumerate(STATIC) if index and field[1]
}
_BY_NAME: Final = {
    name: index for index, (name, _) in reversed([*enumerate(STATIC)]) if index
}


def integer(first: int, mask: int, value: int) -> bytes:
    """`value` in the bits `mask` of a byte that has `first` in the others, and what follows (section 5.1)."""
    if value < mask:
        return bytes((first | value,))
    made = bytearray((first | mask,))
    value -= mask
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def string(text: bytes) -> bytes:
    """`text` as it is (section 5.2): the Huffman code costs more time here than it saves."""
    size = len(text)
    if size < 0x7F:
        return b"%c%b" % (size, text)
    return integer(0, 0x7F, size) + text


def literal(name: bytes, value: bytes, never: bool = False) -> bytes:
    """A field that is not indexed, or never (sections 6.2.2 and 6.2.3). `name`: in lower case."""
    first = NEVER_INDEXED if never else NOT_INDEXED
    index = _BY_NAME.get(name, 0)
    start = integer(first, 0x0F, index)
    return start + string(value) if index else start + string(name) + string(value)


def field(name: bytes, value: bytes) -> bytes:
    """A field in as few bytes as it takes without a dynamic table; never indexed if it is for our eyes only."""
    index = _BY_FIELD.get((name, value))
    if index is None:
        return literal(name, value, name in _NEVER)
    return bytes((INDEXED | index,))


_STATUSES: Final = [field(b":status", b"%d" % status) for status in range(600)]


class LineMemory:
    """What encoders remember; one for each listener and each pool, shared by its connections.

    Fields with credentials in them are not remembered, nor heads that have any: how long something takes would tell
    others that they have been seen before.
    """

    __slots__ = ("_heads", "_left", "_lines", "_starts", "known", "most_bytes")

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self.most_bytes = most_bytes
        self._left = most_bytes
        self._lines: dict[bytes, bytes] = {}
        self._heads: dict[tuple[bytes, bytes], bytes] = {}
        self._starts: dict[tuple[bytes, bytes, bytes], bytes] = {}
        self.known = self._heads.get

    @property
    def used_bytes(self) -> int:
        """What it takes, about."""
        return self.most_bytes - self._left

    def block(self, start: bytes, lines: bytes) -> bytes:
        """`start`, which is encoded, and the field `lines`: each ends with CRLF, and there may be one before them."""
        key = (start, lines)
        block = self._heads.get(key)
        if block is None:
            known = self._lines
            pieces = [start]
            secret = False
            for line in lines.split(b"\r\n"):
                piece = known.get(line)
                if piece is None and line:
                    name, value = _split(line)
                    piece = field(name, value)
                    if name in CREDENTIALS:
                        secret = True
                    elif self._take(len(line) + len(piece)):
                        known[line] = piece
                if piece is not None:
                    pieces.append(piece)
            block = b"".join(pieces)
            if not secret and self._take(len(lines) + len(block)):
                self._heads[key] = block
        return block

    def start(self, method: bytes, scheme: bytes, authority: bytes) -> bytes:
        """The pseudo-fields of a request but for its path (RFC 9113 section 8.3.1)."""
        key = (method, scheme, authority)
        start = self._starts.get(key)
        if start is None:
            start = field(b":method", method) + field(b":scheme", scheme)
            start += field(b":authority", authority)
            if self._take(len(authority) + len(start)):
                self._starts[key] = start
        return start

    def _take(self, size: int) -> bool:
        """Whether something of `size` bytes may be remembered; makes room for it."""
        if size > LARGEST_BYTES:
            return False
        size += _ENTRY_BYTES
        if self._left < size:
            self._heads.clear()
            self._lines.clear()
            self._starts.clear()
            self._left = self.most_bytes
        self._left -= size
        return True


def _split(line: bytes) -> Field:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b"\t ")


def _fields(lines: bytes, never: Names) -> bytes:
    """Field lines, those called as in `never` never indexed."""
    fields = [_split(line) for line in lines.split(b"\r\n") if line]
    return b"".join(
        [literal(n, v, True) if n in never else field(n, v) for n, v in fields]
    )


class Encoder:
    """One direction of a connection. `memory`: what it shares with others."""

    __slots__ = ("_memory", "_table", "_update")

    def __init__(self, memory: LineMemory) -> None:
        self._memory = memory
        self._table = TABLE_BYTES
        self._update = b""

    def table_size(self, most: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE, in bytes, as it comes.

        Who makes the table smaller has to be told that we keep to it (RFC 9113 section 4.3.1). We need none at all, and
        say so once, with the next block.
        """
        if most < self._table:
            self._table = 0
            self._update = bytes((SIZE_UPDATE,))

    def answer(self, status: int, lines: bytes, never: Names = NONE) -> bytes:
        """The block of an answer's head.

        `status`: 100 to 599. `lines`: CRLF, then field lines that each end with CRLF, none of them of a connection.
        `never`: names (lower case) of fields that are sent as never indexed, because they came so (RFC 7541 section
        6.2.3).
        """
        start = _STATUSES[status]
        if not (never or self._update):
            known = self._memory.known((start, lines))
            if known is not None:
                return known
        return self._block(start, lines, never)

    def request(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        lines: bytes,
        never: Names = NONE,
    ) -> bytes:
        """The block of a request's head; `lines`, `never`: as of answers, and without Host."""
        memory = self._memory
        start = memory.start(method, scheme, authority)
        if PATH in never:
            start += literal(PATH, path, True)
        else:
            start += field(PATH, path)
        update = self._update
        if update:
            self._update = b""
            start = update + start
        return start + (_fields(lines, never) if never else memory.block(b"", lines))

    def fields(self, lines: bytes, never: Names = NONE) -> bytes:
        """The block of trailers."""
        return self._block(b"", lines, never)

    def _block(self, start: bytes, lines: bytes, never: Names) -> bytes:
        if never:
            block = start + _fields(lines, never)
        else:
            block = self._memory.block(start, lines)
        if self._update:
            block = self._update + block
            self._update = b""
        return block
