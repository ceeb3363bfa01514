"""What a proxy has to know of gRPC: which requests are calls, how they end, and the question of a health check.

See the protocol as the gRPC project describes it ("gRPC over HTTP2", "GRPC Health Checking Protocol").

Imports: wire. Used by: proxy.
"""

from __future__ import annotations

import re

from lolly_tx.wire.message import RequestHead

UNAVAILABLE = 14
NOT_FOUND = 5
UNIMPLEMENTED = 12

_STATUS_LINE = re.compile(rb"(?i)(?:\A|\n)grpc-status:[\t ]*([0-9]{1,2})[\t ]*\r")
_AS_STATUS = {
    0: 200,
    1: 499,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    14: 503,
    16: 401,
}


def is_grpc(head: RequestHead) -> bool:
    """The request is a call."""
    kind = head.block.get(b"content-type")
    return kind is not None and kind.startswith(b"application/grpc")


def grpc_status(lines: bytes) -> int:
    """The status of a call in field lines, each ended by CRLF; 0: it is OK, or there is none."""
    found = _STATUS_LINE.search(lines)
    return 0 if found is None else int(found[1])


def as_http_status(code: int) -> int:
    """The HTTP status that says of a target what a gRPC status says of it.

    As other proxies map them: UNAVAILABLE is 503, DEADLINE_EXCEEDED 504, UNKNOWN, INTERNAL, DATA_LOSS and unknown ones
    are 500, UNIMPLEMENTED is 501; the others are the caller's doing, 4xx.
    """
    return _AS_STATUS.get(code, 500)
