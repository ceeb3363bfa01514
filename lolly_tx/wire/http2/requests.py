"""Header lists of HTTP/2 requests become the heads that HTTP/1.1 requests have (RFC 9113 section 8).

A request that is forwarded in HTTP/1.1 is written out as text, so nothing may be in a name or a value that would be
more than that there: all of it is checked before any of it is put together. What breaks the rules of HTTP/2 is
malformed (section 8.1.1), a `Malformed`; what is well-formed and not served is a `BadMessage`, as of HTTP/1.1.

Imports: wire. Used by: net.checks, net.http2, wire.http2.known, wire.http2.responses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from lolly_tx.wire.chunked import MAX_TRAILER_BYTES
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock
from lolly_tx.wire.grammar import TARGET, HeadLimits
from lolly_tx.wire.message import HTTP_2, RequestHead

Pairs = Sequence[tuple[bytes, bytes]]

_PSEUDO: Final = frozenset(
    (b":method", b":scheme", b":path", b":authority", b":protocol")
)

# One search for all names, one for all values: each is followed by a line feed, which is in none of them.
_NAMES: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9a-z]++\n)*+")
_VALUES: Final = re.compile(rb"(?:(?![\t ])[\t -~\x80-\xff]*+(?<![\t ])\n)*+")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_TARGET: Final = re.compile(TARGET)
_UNPRINTABLE: Final = re.compile(rb"[^!-~]")

OF_THE_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
_LOOKED_AT: Final = OF_THE_HOP | {b"te", b"host", b"cookie"}


class Malformed(BadMessage):
    """A request that breaks the rules of HTTP/2: its stream is reset."""


def request_head(
    pairs: Pairs, *, ended: bool, limits: HeadLimits, key: bytes = b""
) -> RequestHead:
    """The head that a header list means.

    `ended`: there is no body. `key`: Sec-WebSocket-Key of a WebSocket, in base64 (RFC 8441); b"": extended CONNECT is
    not offered. Raises `Malformed` and `BadMessage` (400, 405, 414, 501), whose `line` says what there is of one.
    """
    pseudo, rest = _split(pairs)
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    try:
        names = [name for name, _ in rest]
        check_names(names)
        check_values([value for _, value in rest], pseudo)
        protocol = pseudo.get(b":protocol")
        if protocol is not None:
            rest = _websocket(pseudo, protocol, rest, key)
            method = b"GET"
        elif method == b"CONNECT":
            if pseudo.keys() == {b":method", b":authority"}:
                raise BadMessage("CONNECT is not served here", 405)
            raise Malformed("CONNECT with :scheme or :path, or no :authority")
        elif b":scheme" not in pseudo or not path:
            raise Malformed("no :method, :scheme or :path")
        if _METHOD.fullmatch(method) is None:
            raise Malformed("malformed method")
        _check_path(path, limits)
        if pseudo[b":scheme"] not in (b"https", b"http"):
            raise BadMessage("scheme that is not served")
        host = pseudo.get(b":authority")
        if not _LOOKED_AT.isdisjoint(names):
            host, rest = _look_at(host, rest, protocol is not None)
        block = RequestBlock(_text(host, rest, b"_" in b"".join(names), ended))
        if ended and block.length:
            raise Malformed("Content-Length and no body")
        head = RequestHead(method, path, HTTP_2, block, 0)
        head.check()
        return head
    except BadMessage as error:
        error.line = _line(method, path)
        raise


def with_path(head: RequestHead, path: bytes, limits: HeadLimits) -> RequestHead:
    """The same with another :path. Raises as `request_head` does."""
    try:
        _check_path(path, limits)
        other = RequestHead(head.method, path, HTTP_2, head.block, 0)
        other.check()
        return other
    except BadMessage as error:
        error.line = _line(head.method, path)
        raise


def _check_path(path: bytes, limits: HeadLimits) -> None:
    if path != b"*" and _TARGET.fullmatch(path) is None:
        if not path or _VALUES.fullmatch(path + b"\n") is None:
            raise Malformed("malformed :path")
        raise BadMessage("malformed request target")
    if len(path) > limits.line_bytes:
        raise BadMessage("request target too long", 414)


def _line(method: bytes, path: bytes) -> bytes:
    """What a log shows of them."""
    shown = _UNPRINTABLE.sub(b"?", method[:32]) or b"-"
    return b"%b %b HTTP/2.0" % (shown, path[:1024] or b"-")


def request_lines(head: RequestHead, more: bytes) -> bytes:
    """The field lines of `head`, and `more`, for a target that gets them over HTTP/2."""
    block = head.block
    lines = block.rest + more
    if block.length is not None and not block.length_kept:
        lines += b"content-length: %d\r\n" % block.length
    if head.awaits_continue:
        lines += b"expect: 100-continue\r\n"
    if block.wants_trailers:
        lines += b"te: trailers\r\n"
    return lines


def trailer_lines(pairs: Pairs) -> bytes:
    """Trailers as field lines, each with its CRLF; raises `Malformed`."""
    names = [name for name, _ in pairs]
    check_names(names)
    check_values([value for _, value in pairs], {})
    if not OF_THE_HOP.isdisjoint(names):
        raise Malformed("field of a connection")
    lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    if len(lines) > MAX_TRAILER_BYTES:
        raise Malformed("trailers too large")
    return lines


def _split(pairs: Pairs) -> tuple[dict[bytes, bytes], Pairs]:
    """The pseudo-fields, each known and there once (section 8.3), and what follows them."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name[:1] != b":":
            break
        if name not in _PSEUDO:
            raise Malformed("unknown pseudo-field")
        if name in pseudo:
            raise Malformed("pseudo-field that is there twice")
        pseudo[name] = value
    if b":method" not in pseudo:
        raise Malformed("no :method")
    return pseudo, pairs[len(pseudo) :]


def check_names(names: list[bytes]) -> None:
    """Raise `Malformed` unless all of them are field names in lower case (section 8.2)."""
    text = b"\n".join([*names, b""])
    if _NAMES.fullmatch(text) is None or text.count(b"\n") != len(names):
        raise Malformed("malformed field name")


def check_values(values: list[bytes], pseudo: dict[bytes, bytes]) -> None:
    """The same for values: no control bytes in them, and no blanks around them (section 8.2.1)."""
    values += pseudo.values()
    text = b"\n".join([*values, b""])
    if _VALUES.fullmatch(text) is None or text.count(b"\n") != len(values):
        raise Malformed("malformed field value")


def _look_at(
    host: bytes | None, rest: Pairs, websocket: bool
) -> tuple[bytes | None, Pairs]:
    """The host, and the fields that go on, where some of them are special."""
    kept = []
    crumbs = []
    named: bytes | None = None
    for pair in rest:
        name, value = pair
        if name == b"cookie":
            crumbs.append(value)  # section 8.2.3
        elif name == b"host":
            if named is not None:
                raise BadMessage("more than one Host field")
            named = value
        elif name == b"te":
            if value.lower() != b"trailers":
                raise Malformed("TE that is not trailers")
            kept.append(pair)
        elif name in OF_THE_HOP and not websocket:
            raise Malformed("field of a connection")
        else:
            kept.append(pair)
    if crumbs:
        kept.append((b"cookie", b"; ".join(crumbs)))
    if host is None:
        host = named
    elif named is not None and named.lower() != host.lower():
        raise BadMessage("Host that is not the :authority")
    return host, kept


def _websocket(
    pseudo: dict[bytes, bytes], protocol: bytes, rest: Pairs, key: bytes
) -> Pairs:
    """The fields of the HTTP/1.1 upgrade that an extended CONNECT asks for (RFC 8441 section 5)."""
    if pseudo[b":method"] != b"CONNECT" or not key:
        raise Malformed(":protocol that is not offered")
    if not {b":scheme", b":path", b":authority"} <= pseudo.keys():
        raise Malformed("extended CONNECT without :scheme, :path or :authority")
    if not OF_THE_HOP.isdisjoint([name for name, _ in rest]):
        raise Malformed("field of a connection")
    if protocol.lower() != b"websocket":
        raise BadMessage("protocol that is not served", 501)
    skipped = (b"sec-websocket-key", b"content-length")
    return [
        *[pair for pair in rest if pair[0] not in skipped],
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-key", key),
    ]


def _text(host: bytes | None, rest: Pairs, underscores: bool, ended: bool) -> bytes:
    """The field block in the form of HTTP/1.1. Names with "_" are left out, as they are there."""
    if underscores:
        rest = [pair for pair in rest if b"_" not in pair[0]]
    lines = [b"%b: %b\r\n" % pair for pair in rest]
    if host is not None:
        lines.insert(0, b"host: %b\r\n" % host)
    upgrades = (b"connection", b"Upgrade") in rest
    if not ended and not upgrades:
        if not any(name == b"content-length" for name, _ in rest):
            # Its end is known when it comes (RFC 9112 section 6.3): downstream by END_STREAM, upstream by a chunk.
            lines.append(b"transfer-encoding: chunked\r\n")
    return b"\r\n" + b"".join(lines)
