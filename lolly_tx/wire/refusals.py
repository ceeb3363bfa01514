"""Why a head was refused, and the few forms that are mended instead.

Imports: domain.routing, wire. Used by: net.http1, wire.forwardform, wire.http1.

Mended: empty lines before a request line (RFC 9112 section 2.2), absolute-form targets (section 3.2.2: the authority
replaces Host), request fields with "_" in their name (dropped), blanks between the name of a response
field and its colon (section 5.1; not of a field that says where the body ends). Everything else is an error with the
status a client should see, as soon as the line it is in has arrived. Lines of an incomplete head that were examined
before are not examined again, and a long head not with every piece (`worth_a_look`), so that a head which comes byte
by byte costs no more than its bytes.
"""

from __future__ import annotations

import re

from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.grammar import TARGET, HeadLimits

# A control byte, a CR without LF (a CR at the very end may still get its LF), an LF without CR.
_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP/([0-9])\.([0-9])"
)
_ORIGIN_FORM = re.compile(TARGET)
_ABSOLUTE_FORM = re.compile(rb"([A-Za-z]+)://([^/?]*)([/?].*)?")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [\t -~\x80-\xff]*)?")
_STATUS_START = re.compile(rb"HTTP/1\.[01] ")
_BLANK_BEFORE_COLON = re.compile(rb"(\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++)[\t ]++:")
_FRAMING = (b"content-length", b"transfer-encoding")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
MAX_EMPTY_BYTES = 128
"""Of empty lines before a request; RFC 9112 section 2.2 asks for one to be borne."""

SHOWN_BYTES = 1024
"""Of the line a refused request began with, in the access log."""


def start_line(data: bytes) -> bytes:
    """The line that `data`, which may be anything, begins with; at most `SHOWN_BYTES` of it."""
    return (
        data[: SHOWN_BYTES + MAX_EMPTY_BYTES]
        .lstrip(b"\r\n")
        .partition(b"\r")[0][:SHOWN_BYTES]
    )


OFTEN_BYTES = 4096
"""An incomplete head of so many bytes is looked at whenever a line ends; a longer one,
and one within a line, when another `SELDOM_BYTES` have come."""
SELDOM_BYTES = 1024


def worth_a_look(data: bytes, seen: int) -> bool:
    """Whether to examine an incomplete head again, of which `seen` bytes were examined."""
    if len(data) // SELDOM_BYTES != seen // SELDOM_BYTES:
        return True
    if len(data) <= OFTEN_BYTES:
        return data.find(b"\n", seen) >= 0
    return data.find(b"\n\r\n", max(0, seen - 2)) >= 0  # it is complete


def _check_limits(head: bytes, limits: HeadLimits, kind: str) -> None:
    """Raise `BadMessage` (414, 431) when the complete `head` is larger than allowed."""
    _check_start(head.find(b"\r\n"), limits, kind)
    if len(head) > limits.head_bytes:
        raise BadMessage("head too large", 431)
    # But for the start line and the empty one at the end.
    if head.count(b"\r\n") - 2 > limits.fields:
        raise BadMessage("too many fields", 431)


def _check_start(size: int, limits: HeadLimits, kind: str) -> None:
    """`size`: of the start line."""
    if size > limits.line_bytes:
        raise BadMessage("start line too long", 414 if kind == "request" else 400)


def examine_request(
    data: bytes, limits: HeadLimits, seen: int = 0, scheme: bytes = b"http"
) -> tuple[bytes, int] | None:
    """Explain why `data` does not start with an acceptable request head.

    `seen` bytes at its start have been examined before and were found incomplete.
    `scheme`: of the listener, "http" or "https"; a target of another one is not for us.
    Returns None when it may still become one, or (mended head, offset of the first body byte in `data`).
    Raises `BadMessage`.
    """
    empty = _EMPTY_LINES.match(data)
    start = empty.end() if empty else 0
    if start > MAX_EMPTY_BYTES:
        raise BadMessage("too many empty lines before a request")
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        seen = max(0, seen - start)
        _examine_prefix(data[start:], limits, "request", seen, scheme)
        return None
    head = data[start : end + 4]
    _check_limits(head, limits, "request")
    if _ILLEGAL.search(head):
        raise BadMessage("control byte or bare CR or LF")
    lines = head[:-4].split(b"\r\n")
    method, target = _examine_request_line(lines[0], scheme)
    fields = [line for line in lines[1:] if b"_" not in _examine_field(line)]
    if not target.startswith(b"/") and target != b"*":
        authority, target = _take_apart(target, method, scheme)
        fields = [
            b"Host: " + authority,
            *_without_host(fields, required=lines[0].endswith(b"1")),
        ]
    version = lines[0][-8:]
    mended = b"\r\n".join([b"%b %b %b" % (method, target, version), *fields])
    return mended + b"\r\n\r\n", end + 4


def examine_response(
    data: bytes, limits: HeadLimits, seen: int = 0
) -> tuple[bytes, int] | None:
    """Explain why `data` does not start with an acceptable response head.

    Parameters and result: as for requests.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        _examine_prefix(data, limits, "response", seen)
        return None
    head = data[: end + 4]
    _check_limits(head, limits, "response")
    _examine_prefix(head, limits, "response", 0)
    mended = _BLANK_BEFORE_COLON.sub(rb"\1:", head)
    if mended == head:
        raise BadMessage("malformed response")
    return mended, end + 4


def _examine_prefix(
    data: bytes, limits: HeadLimits, kind: str, seen: int, scheme: bytes = b""
) -> None:
    """Raise `BadMessage` for what more bytes cannot make right.

    The lines that ended within the first `seen` bytes are known to be right.
    """
    if seen > OFTEN_BYTES:
        seen -= seen % SELDOM_BYTES  # what came since then was not worth a look
    at = data.rfind(b"\r\n", 0, seen) + 2 if seen else 0
    if at == 1:
        at = 0
    lines = data[at:].split(b"\r\n")
    if not at:
        _check_start(len(lines[0]), limits, kind)
    if len(data) > limits.head_bytes:
        raise BadMessage("head too large", 431)
    if data.count(b"\r\n") - 1 > limits.fields:
        raise BadMessage("too many fields", 431)
    if _ILLEGAL.search(data, at):
        raise BadMessage("control byte or bare CR or LF")
    if not at:
        _examine_start(lines[0], len(lines) > 1, kind, scheme)
        lines = lines[1:]
    for line in lines[:-1]:
        if line:
            _examine_field(line, blanks=kind == "response")
    if lines and lines[-1][:1] in (b" ", b"\t"):
        raise BadMessage("folded field line")


def _examine_start(line: bytes, complete: bool, kind: str, scheme: bytes) -> None:
    if kind == "request":
        if complete:
            _examine_request_line(line, scheme)
    elif complete:
        if not _STATUS_LINE.fullmatch(line):
            raise BadMessage("malformed status line")
    elif not (b"HTTP/1.1 ".startswith(line) or b"HTTP/1.0 ".startswith(line)):
        if not _STATUS_START.match(line):
            raise BadMessage("not HTTP/1")


def _examine_request_line(line: bytes, scheme: bytes) -> tuple[bytes, bytes]:
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
        _take_apart(target, method, scheme)
    return method, target


def _take_apart(target: bytes, method: bytes, scheme: bytes) -> tuple[bytes, bytes]:
    """An absolute-form target as (authority, origin-form or "*")."""
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None or match[1].lower() != scheme:
        raise BadMessage("malformed request target")
    authority, rest = match[2], match[3] or b""
    try:
        host_name(authority)
    except BadHost:
        raise BadMessage("malformed authority") from None
    if not rest:
        return authority, b"*" if method == b"OPTIONS" else b"/"
    if rest.startswith(b"?"):
        rest = b"/" + rest
    if not _ORIGIN_FORM.fullmatch(rest):
        raise BadMessage("malformed request target")
    return authority, rest


def _without_host(fields: list[bytes], required: bool) -> list[bytes]:
    """The `fields` but Host, which must be right although it is not used."""
    hosts = [f[5:].strip(b"\t ") for f in fields if f[:5].lower() == b"host:"]
    if len(hosts) > 1 or (required and not hosts):
        raise BadMessage("not exactly one Host field")
    for host in hosts:
        try:
            host_name(host)
        except BadHost:
            raise BadMessage("malformed Host") from None
    return [f for f in fields if f[:5].lower() != b"host:"]


def _examine_field(line: bytes, blanks: bool = False) -> bytes:
    """The field's name; raises `BadMessage` for what is no field line.

    `blanks`: there may be some before the colon, but not of a field of the framing.
    """
    if line[:1] in (b" ", b"\t"):
        raise BadMessage("folded field line")
    name, colon, _ = line.partition(b":")
    if blanks and name.endswith((b" ", b"\t")):
        name = name.rstrip(b"\t ")
        if name.lower() in _FRAMING:
            raise BadMessage("blanks in a framing field")
    if not colon or not _NAME.fullmatch(name):
        raise BadMessage("malformed field line")
    return name
