"""What a proxy has to know of gRPC: which requests are calls, how they end, and the question of a health check.

See the protocol as the gRPC project describes it ("gRPC over HTTP2", "GRPC Health Checking Protocol").

Imports: wire. Used by: net.checks, proxy.
"""

from __future__ import annotations

import re

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.message import RequestHead

UNAVAILABLE = 14

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


# -- the question of a health check, and its answer: two messages of one field each

CHECK_PATH = b"/grpc.health.v1.Health/Check"
SERVING = 1
STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
MOST_ANSWER_BYTES = 4096


def health_question(service: str) -> bytes:
    """The message that asks for `service`, "" for the server as a whole, with its prefix."""
    name = service.encode()
    field = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0%b%b" % (len(field).to_bytes(4, "big"), field)


def health_answer(body: bytes) -> int:
    """The place in `STATES` that a message says, with its prefix. Raises `BadMessage`."""
    if len(body) < 5 or body[0] or int.from_bytes(body[1:5], "big") != len(body) - 5:
        raise BadMessage("malformed gRPC message")
    state, at = 0, 5
    while at < len(body):
        tag, at = _number(body, at)
        if tag & 7 == 0:
            value, at = _number(body, at)
            if tag >> 3 == 1:
                state = value
        elif tag & 7 == 2:
            size, at = _number(body, at)
            at += size
        else:
            raise BadMessage("unexpected field in a gRPC message")
    if at != len(body):
        raise BadMessage("gRPC message cut short")
    return state if state < len(STATES) else 0


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(body: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise BadMessage("gRPC message cut short")
