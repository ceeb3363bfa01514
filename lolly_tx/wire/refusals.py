"""Why a head was refused, and the few forms that are mended instead.

May import: wire.errors, wire.http1's grammar. Used by: wire.http1, only when its one-expression recogniser says no, so
nothing here is on the way of an ordinary request.

Mended: empty lines before a request line (RFC 9112 section 2.2), absolute-form targets (section 3.2.2: the authority
replaces Host), request fields with "_" in their name (dropped: RELIABILITY S13). Everything else is an error with the
status a client should see.
"""

from __future__ import annotations

import re

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.http1 import TARGET, HeadLimits

# A control byte, a CR without LF (a CR at the very end may still get its LF), an LF without CR.
_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9])\.([0-9])"
)
_ORIGIN_FORM = re.compile(TARGET)
_ABSOLUTE_FORM = re.compile(rb"(?i:http)://([^/?]*)([/?].*)?")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [\t -~\x80-\xff]*)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check_limits(head: bytes, limits: HeadLimits, kind: str = "response") -> None:
    """Raise `BadMessage` (414, 431) when `head`, complete or not, is larger than allowed."""
    lines = head.split(b"\r\n")
    if len(lines[0]) > limits.line_bytes:
        raise BadMessage("start line too long", 414 if kind == "request" else 400)
    if len(head) > limits.head_bytes:
        raise BadMessage("head too large", 431)
    # Start line, and the two empty strings after the last CRLFs of a complete head.
    if len(lines) - 3 > limits.fields:
        raise BadMessage("too many fields", 431)
    if any(len(line) > limits.line_bytes for line in lines):
        raise BadMessage("field line too long", 431)


def examine_request(data: bytes, limits: HeadLimits) -> tuple[bytes, int] | None:
    """Explain why `data` does not start with an acceptable request head.

    Returns None when it may still become one, or (mended head, offset of the first body byte in `data`).
    Raises `BadMessage`.
    """
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        _examine_prefix(data[start:], limits)
        return None
    head = data[start : end + 4]
    check_limits(head, limits, "request")
    if _ILLEGAL.search(head):
        raise BadMessage("control byte or bare CR or LF")
    lines = head[:-4].split(b"\r\n")
    method, target = _examine_request_line(lines[0])
    fields = [line for line in lines[1:] if b"_" not in _examine_field(line)]
    if not target.startswith(b"/") and target != b"*":
        authority, target = _take_apart(target, method)
        hosts = [f for f in fields if f[:5].lower() == b"host:"]
        if len(hosts) != 1 and lines[0].endswith(b"1"):
            raise BadMessage("not exactly one Host field")
        if any(not f[5:].strip(b"\t ") for f in hosts):
            raise BadMessage("empty Host")
        fields = [b"Host: " + authority] + [f for f in fields if f not in hosts]
    version = lines[0][-8:]
    mended = b"\r\n".join([b"%b %b %b" % (method, target, version), *fields])
    return mended + b"\r\n\r\n", end + 4


def examine_response(data: bytes, limits: HeadLimits) -> None:
    """Raise `BadMessage` unless `data` may still become a response head."""
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[: end + 4]
    check_limits(head, limits)
    if _ILLEGAL.search(head):
        raise BadMessage("control byte or bare CR or LF")
    lines = head.split(b"\r\n")
    if len(lines) > 1:
        if not _STATUS_LINE.fullmatch(lines[0]):
            raise BadMessage("malformed status line")
        for line in lines[1 : -2 if end >= 0 else -1]:
            _examine_field(line)
    elif not b"HTTP/1.".startswith(head[:7]) and not head.startswith(b"HTTP/1."):
        raise BadMessage("not HTTP/1")
    if end >= 0:
        raise BadMessage("malformed response")


def _examine_prefix(data: bytes, limits: HeadLimits) -> None:
    check_limits(data, limits, "request")
    if _ILLEGAL.search(data):
        raise BadMessage("control byte or bare CR or LF")
    lines = data.split(b"\r\n")
    if len(lines) > 1:
        _examine_request_line(lines[0])
        for line in lines[1:-1]:
            _examine_field(line)


def _examine_request_line(line: bytes) -> tuple[bytes, bytes]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadMessage("malformed request line")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in b"01":
        raise BadMessage("HTTP version not supported", 505)
    if method == b"CONNECT":
        raise BadMessage("CONNECT is not served here", 405)
    if target.startswith(b"/"):
        if not _ORIGIN_FORM.fullmatch(target):
            raise BadMessage("malformed request target")
    elif target != b"*":
        _take_apart(target, method)
    return method, target


def _take_apart(target: bytes, method: bytes) -> tuple[bytes, bytes]:
    """An absolute-form target as (authority, origin-form or "*")."""
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise BadMessage("malformed request target")
    authority, rest = match[1], match[2] or b""
    if not authority or b"@" in authority:
        raise BadMessage("malformed authority")
    if not rest:
        return authority, b"*" if method == b"OPTIONS" else b"/"
    if rest.startswith(b"?"):
        rest = b"/" + rest
    if not _ORIGIN_FORM.fullmatch(rest):
        raise BadMessage("malformed request target")
    return authority, rest


def _examine_field(line: bytes) -> bytes:
    """The field's name; raises `BadMessage` for what is no field line."""
    if line[:1] in (b" ", b"\t"):
        raise BadMessage("folded field line")
    name, colon, _ = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise BadMessage("malformed field line")
    return name
