"""Header blocks in one pass, where the extension was compiled; what it goes by is told here.

    read_block(block, the table's fields, its bytes, its most, head_bytes, fields)
        (fields, places of those never indexed, whether any is private, bytes counted, the table's next fields or None,
        their bytes)
    plain_head(fields, line_bytes)     (method, target, host, field lines, the first value of Priority or b"")

None: there is something about it that is not ordinary; then `wire.hpack.reading`, and `wire.http2.known`, say what it
means. They are the reference: what is taken here means the same to them (`tests.wire.fuzz_blocks`).

Imports: wire, wire.hpack. Used by: wire.hpack.decoder, wire.http2.known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from lolly_tx.wire.grammar import PATH_BYTE, QUERY_BYTE, REQUEST_NAMES, VALUE
from lolly_tx.wire.hpack.huffman import LENGTHS
from lolly_tx.wire.hpack.static import CREDENTIALS, FIRST_DYNAMIC, Field

Fields = tuple[Field, ...]
ReadBlock = Callable[
    [bytes, Fields, int, int, int, int],
    tuple[Fields, tuple[int, ...], bool, int, Fields | None, int] | None,
]
PlainHead = Callable[[Fields, int], tuple[bytes, bytes, bytes, bytes, bytes] | None]

METHODS: Final = frozenset((b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"POST", b"PUT"))
SCHEMES: Final = frozenset((b"https", b"http"))
"""Of requests that need no closer look."""

LOWER_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9a-z]++"
CLASSES: Final = (LOWER_NAME, VALUE, PATH_BYTE, QUERY_BYTE, rb"[0-9A-Fa-f]")
"""What a byte may be part of, a bit for each, as `_blocks.c` numbers them."""


def told() -> tuple[Any, ...]:
    """What `configure` is given."""
    patterns = [re.compile(each) for each in CLASSES]
    table = bytes(
        sum(
            1 << bit
            for bit, pattern in enumerate(patterns)
            if pattern.fullmatch(bytes((value,)))
        )
        for value in range(256)
    )
    return LENGTHS, table, REQUEST_NAMES, CREDENTIALS, METHODS, SCHEMES, FIRST_DYNAMIC


read_block: ReadBlock | None = None
plain_head: PlainHead | None = None
try:
    from lolly_tx.wire.hpack import _blocks
except ImportError:  # a pure installation
    pass
else:
    _blocks.configure(*told())
    read_block, plain_head = _blocks.read_block, _blocks.plain_head
