"""The scan of a head in one pass, where its extension was compiled; what it goes by is made of `wire.grammar`.

    scan_request(data, head_bytes, line_bytes, fields)
        (method, target, minor version, end of the line, end of the head, special fields in lower case)
    scan_response(...)     (status, reason, ...)

None: the head is not whole, larger than allowed, or not known to be right; then the regular expressions of `wire.http1`
say what it is. They are the reference: what the scan takes, it reads exactly as they do (`tests.wire.fuzz_heads`).

Imports: wire. Used by: wire.http1.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lolly_tx.wire.grammar import (
    NAME_NO_UNDERSCORE,
    PATH_BYTE,
    QUERY_BYTE,
    REQUEST_NAMES,
    RESPONSE_NAMES,
    TOKEN,
    VALUE,
)

Specials = list[tuple[bytes, bytes]]
RequestScan = Callable[
    [bytes, int, int, int], tuple[bytes, bytes, int, int, int, Specials] | None
]
ResponseScan = Callable[
    [bytes, int, int, int], tuple[int, bytes, int, int, int, Specials] | None
]


def beginnings(names: tuple[bytes, ...]) -> bytes:
    """A pattern of what one of `names` begins with, in either case."""
    return b"(?i:[%b])" % b"".join(sorted({name[:1] for name in names}))


CLASSES = (
    TOKEN,
    NAME_NO_UNDERSCORE,
    VALUE,
    PATH_BYTE,
    QUERY_BYTE,
    rb"[0-9A-Fa-f]",
    beginnings(REQUEST_NAMES),
    beginnings(RESPONSE_NAMES),
)
"""What a byte may be part of, a bit for each, as `_scan.c` numbers them."""


def classes() -> bytes:
    """For each byte the classes it belongs to, asked of the grammar's own patterns."""
    patterns = [re.compile(each) for each in CLASSES]
    return bytes(
        sum(
            1 << bit
            for bit, pattern in enumerate(patterns)
            if pattern.fullmatch(bytes((value,)))
        )
        for value in range(256)
    )


scan_request: RequestScan | None = None
scan_response: ResponseScan | None = None
try:
    from lolly_tx.wire import _scan
except ImportError:  # a pure installation
    pass
else:
    _scan.configure(classes(), REQUEST_NAMES, RESPONSE_NAMES)
    scan_request, scan_response = _scan.scan_request, _scan.scan_response
