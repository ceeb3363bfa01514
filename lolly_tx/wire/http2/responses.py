"""Header lists of HTTP/2 responses become the heads that HTTP/1.1 responses have (RFC 9113 section 8.3.2).

Nothing that is refused here reaches a client: a target that breaks these rules has not answered. All of it is checked
before any of it is put together, because clients of HTTP/1.1 get it as text.

Imports: wire, wire.http2. Used by: net.checks, net.http2.
"""

from __future__ import annotations

import re
from typing import Final

from lolly_tx.wire.fields import ResponseBlock
from lolly_tx.wire.http2.requests import (
    OF_THE_HOP,
    Malformed,
    Pairs,
    check_names,
    check_values,
)
from lolly_tx.wire.message import HTTP_2, ResponseHead

_STATUS: Final = re.compile(rb"[1-5][0-9][0-9]")
_SPECIAL: Final = OF_THE_HOP | {b"te", b"trailer"}


def response_head(pairs: Pairs) -> ResponseHead:
    """The head that a header list means; raises `BadMessage`."""
    if not pairs or pairs[0][0] != b":status":
        raise Malformed("no :status")
    status = pairs[0][1]
    if _STATUS.fullmatch(status) is None:
        raise Malformed("malformed :status")
    if status == b"101":
        raise Malformed("101, which HTTP/2 does not have")
    rest = pairs[1:]
    names = [name for name, _ in rest]
    check_names(names)
    check_values([value for _, value in rest], {})
    if not _SPECIAL.isdisjoint(names):
        if not OF_THE_HOP.isdisjoint(names) or b"te" in names:
            raise Malformed("field of a connection")
        # It says what trailers will come; those who get them as HTTP/1.1 need no such promise.
        rest = [pair for pair in rest if pair[0] != b"trailer"]
    lines = b"".join([b"%b: %b\r\n" % pair for pair in rest])
    return ResponseHead(int(status), b"", HTTP_2, ResponseBlock(b"\r\n" + lines), 0)


def check_length(head: ResponseHead, body: int, ended: bool) -> None:
    """Raise `Malformed` for a body of so many bytes that does not go with the head (RFC 9113 section 8.1.1)."""
    length = head.block.length
    if length is None:
        return
    if body > length:
        raise Malformed("more than Content-Length")
    if ended and body < length:
        raise Malformed("less than Content-Length")
