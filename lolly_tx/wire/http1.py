r"""HTTP/1.x message heads: bytes to values, strictly (RFC 9112), and back.

May import: wire.errors, domain.hosts. Used by: net.downstream, net.upstream, net.checks,
proxy.resource.

A head is a start line and a field block:

    b"GET /a HTTP/1.1"  b"\r\nHost: a\r\nTE: x\r\nAccept: */*\r\n"  b"\r\n"
                        the block begins and ends with CRLF

One regular expression for each is both the recogniser and the validation: token
characters in names, no control byte in values, CRLF only. Their repeats are possessive,
so they keep no backtracking state. What they refuse goes to `wire.refusals`, which says
precisely why (and mends a few harmless forms).

A block is not turned into a list of pairs. One search finds the few fields a proxy must
look at or drop, everything between is copied through in slices (`FieldBlock.kept`).
Clients on a persistent connection repeat their fields from request to request, so a
reader remembers the blocks it has validated (HPACK's idea without its wire format): a
known block costs one dictionary lookup. `HeadReader.blocks` is bounded and holds small
blocks only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from typing import Generic, TypeVar

import attrs

from lolly_tx.domain.hosts import BadHost, host_name
from lolly_tx.wire.errors import BadMessage

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Request names with "_" go the slow way: beside their "-" twin they confuse CGI-like
# backends, so they are dropped there (RELIABILITY S13).
_NAME_NO_UNDERSCORE = rb"[!#$%&'*+\-.^`|~0-9A-Za-z]++"
_VALUE = rb"[\t -~\x80-\xff]*+"
# Visible ASCII without " < > \ # (never valid in a URI) and "%" only as an escape. RFC
# 3986 would also refuse [ ] ^ ` { | }, which browsers send unescaped in queries.
TARGET = rb"/(?:[!$&-;=?-\[\]^-~]++|%[0-9A-Fa-f]{2})*+"

_REQUEST_LINE = re.compile(
    # CONNECT is for wire.refusals: what follows it is not ours to read.
    rb"(?!CONNECT )(%b) (%b|\*) HTTP/1\.([01])(?=\r\n)" % (_TOKEN, TARGET)
)
_REQUEST_BLOCK = re.compile(rb"\r\n(?:%b:%b\r\n)*+" % (_NAME_NO_UNDERSCORE, _VALUE))
_STATUS_LINE = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (%b))?(?=\r\n)" % _VALUE
)
_RESPONSE_BLOCK = re.compile(rb"\r\n(?:%b:%b\r\n)*+" % (_TOKEN, _VALUE))
_FIELD = re.compile(rb"\n(%b):[\t ]*+(%b)\r" % (_TOKEN, _VALUE))

# Found in the lower-cased block. The literal "\n" in front lets the matcher jump from
# line to line.
_REQUEST_SPECIAL = re.compile(
    rb"\n(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect"
    rb"|keep-alive|forwarded|x-forwarded-[^:]++|x-real-ip|proxy(?:-[^:]++)?"
    rb"|http2-settings):[\t ]*+([^\r]*+)\r"
)
_RESPONSE_SPECIAL = re.compile(
    rb"\n(connection|content-length|transfer-encoding|te|trailer|upgrade|keep-alive"
    rb"|proxy-connection|proxy-authenticate|date):[\t ]*+([^\r]*+)\r"
)

MAX_LENGTH = 2**63 - 1
"""Largest Content-Length accepted (RELIABILITY S03): a signed 64-bit counter's."""

_LENGTH = re.compile(rb"[0-9]{1,19}")
_MAX_FORWARDS = re.compile(rb"(?i)\nmax-forwards:[^\r]*+\r")

# Names a Connection field must not be able to delete: framing, routing, and what we set
# ourselves.
_PROTECTED = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"forwarded",
        b"x-real-ip",
        b"close",
        b"keep-alive",
        b"upgrade",
    )
)

# A reader remembers this many blocks of at most this size: 1 MiB at the worst.
_REMEMBERED_BLOCKS = 512
_REMEMBERED_BYTES = 2048


@attrs.frozen
class HeadLimits:
    """How large a head may be.

    `head_bytes` in all, `fields` field lines, `line_bytes` for the start line and for
    each field line.
    """

    head_bytes: int = 32768
    fields: int = 200
    line_bytes: int = 8192


REQUEST_LIMITS = HeadLimits()
RESPONSE_LIMITS = HeadLimits(head_bytes=65536, fields=1000, line_bytes=65536)


class FieldBlock:
    """A validated field block, and what a proxy needs to know of it. Never changed.

    `raw`: CRLF, then the field lines, each with its CRLF. `kept`: `raw` without the lines
    that are not passed on. `length`: Content-Length, or None. `length_kept`: its line is in
    `kept`. `chunked`: Transfer-Encoding is exactly "chunked". `connection`: the
    lower-cased tokens of Connection. `upgrade`: the lower-cased Upgrade value, b"" unless
    Connection vouches for it.
    """

    __slots__ = (
        "chunked",
        "connection",
        "kept",
        "length",
        "length_kept",
        "raw",
        "upgrade",
    )

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.kept = raw
        self.length: int | None = None
        self.length_kept = False
        self.chunked = False
        self.connection: tuple[bytes, ...] = ()
        self.upgrade = b""

    def fields(self) -> list[tuple[bytes, bytes]]:
        """All field lines as (name, value), in order, values without outer spaces."""
        return [
            (name, value.rstrip(b"\t ")) for name, value in _FIELD.findall(self.raw)
        ]

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all fields called `name` (lower case), in order."""
        return [value for key, value in self.fields() if key.lower() == name]

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field called `name` (lower case), or None."""
        values = self.get_all(name)
        return values[0] if values else None

    def _take_length(self, value: bytes) -> bool:
        """Note a Content-Length value; whether its line can be passed on as it is."""
        if self.length is not None:
            raise BadMessage("more than one Content-Length field")
        if _LENGTH.fullmatch(value) is None:
            raise BadMessage("malformed Content-Length")
        self.length = int(value)
        if self.length > MAX_LENGTH:
            raise BadMessage("Content-Length out of range")
        return b"%d" % self.length == value

    def _finish(
        self, cuts: list[tuple[int, int]], connection: bytes, upgrade: bytes, low: bytes
    ) -> None:
        """Act on Connection (RFC 9110 section 7.6.1) and take the `cuts` out."""
        if connection:
            self.connection = tokens = tuple(
                [t for t in (p.strip(b"\t ") for p in connection.split(b",")) if t]
            )
            if b"upgrade" in tokens:
                self.upgrade = upgrade
            named = {
                t
                for t in tokens
                if t not in _PROTECTED and not t.startswith(b"x-forwarded-")
            }
            if named:
                found = {
                    (match.start() + 1, match.end() + 1)
                    for match in _FIELD.finditer(low)
                    if match[1] in named
                }
                cuts = sorted(found.union(cuts))
        if cuts:
            raw = self.raw
            pieces = []
            at = 0
            for start, end in cuts:
                pieces.append(raw[at:start])
                at = end
            pieces.append(raw[at:])
            self.kept = b"".join(pieces)


class RequestBlock(FieldBlock):
    """The fields of a request.

    `host`: the Host value, valid, or b"" when there is none or it is empty (`has_host`).
    `rest`: `kept` without the Host line. `expect`: the client waits for a 100. `forwarded`:
    the forwarding fields as (lower-case name, value), none of which is kept.
    """

    __slots__ = ("expect", "forwarded", "has_host", "host", "rest")

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.expect = False
        self.forwarded: tuple[tuple[bytes, bytes], ...] = ()
        self.host = b""
        low = raw.lower()
        cuts = []
        host_line = None
        connection = upgrade = b""
        for match in _REQUEST_SPECIAL.finditer(low):
            name, value = match.groups()
            line = (match.start() + 1, match.end() + 1)
            if name == b"host":
                if host_line is not None:
                    raise BadMessage("more than one Host field")
                host_line = line
                self.host = raw[slice(*match.span(2))].rstrip(b"\t ")
                if self.host:
                    try:
                        host_name(self.host)
                    except BadHost as error:
                        raise BadMessage(error.detail) from None
                continue
            value = value.rstrip(b"\t ")
            if name == b"connection":
                connection = connection + b"," + value if connection else value
            elif name == b"content-length":
                if self._take_length(value):
                    self.length_kept = True
                    continue
            elif name == b"transfer-encoding":
                if self.chunked or value != b"chunked":
                    raise BadMessage("unsupported Transfer-Encoding", 501)
                self.chunked = True
            elif name == b"expect":
                self.expect = value == b"100-continue"
            elif name == b"upgrade":
                upgrade = upgrade + b"," + value if upgrade else value
            elif name == b"forwarded" or name.startswith(b"x-"):
                value = raw[slice(*match.span(2))].rstrip(b"\t ")
                self.forwarded += ((name, value),)
            cuts.append(line)
        if self.chunked and self.length is not None:
            raise BadMessage("both Content-Length and Transfer-Encoding")
        if not self.chunked and not self.length:
            self.expect = False  # nothing to hold back
        self._finish(cuts, connection, upgrade, low)
        self.has_host = host_line is not None
        self.rest = self.kept
        if host_line is not None:
            line_bytes = raw[slice(*host_line)]
            self.rest = self.kept.replace(b"\n" + line_bytes, b"\n", 1)

    def without_upgrade(self) -> RequestBlock:
        """The same, for a request whose wish to upgrade is not granted."""
        if not self.upgrade:
            return self
        plain = copy(self)
        plain.upgrade = b""
        return plain

    def with_max_forwards(self, hops: int) -> RequestBlock:
        """The same with another Max-Forwards value (RFC 9110 section 7.6.2)."""
        changed = copy(self)
        line = b"\nMax-Forwards: %d\r" % hops
        changed.kept = _MAX_FORWARDS.sub(line, self.kept)
        changed.rest = _MAX_FORWARDS.sub(line, self.rest)
        return changed


class ResponseBlock(FieldBlock):
    """The fields of a response. `date`: there is a Date field.

    Framing fields are read here; that HEAD, 1xx, 204 and 304 have no body whatever they say
    (RFC 9112 section 6.3) is for the reader of the message to know.
    """

    __slots__ = ("date",)

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.date = False
        low = raw.lower()
        cuts = []
        connection = upgrade = b""
        for match in _RESPONSE_SPECIAL.finditer(low):
            name, value = match.groups()
            if name == b"date":
                self.date = True
                continue
            value = value.rstrip(b"\t ")
            if name == b"content-length":
                if self._take_length(value):
                    self.length_kept = True
                    continue
            elif name == b"connection":
                connection = connection + b"," + value if connection else value
            elif name == b"transfer-encoding":
                if self.chunked or value != b"chunked":
                    raise BadMessage("unsupported Transfer-Encoding")
                self.chunked = True
            elif name == b"upgrade":
                upgrade = upgrade + b"," + value if upgrade else value
            cuts.append((match.start() + 1, match.end() + 1))
        if self.chunked and self.length is not None:
            raise BadMessage("both Content-Length and Transfer-Encoding")
        self._finish(cuts, connection, upgrade, low)

    def without_length(self) -> bytes:
        """`kept` without Content-Length, for 1xx and 204 (RFC 9110 section 8.6)."""
        if not self.length_kept:
            return self.kept
        return re.sub(rb"(?i)\ncontent-length:[^\r]*\r\n", b"\n", self.kept)


class RequestHead:
    """A request's head (RFC 9112 section 3).

    `method`, `target`: as received; `target` is in origin-form or "*" (absolute-form has
    been taken apart). `version`: the minor one, 0 or 1. `end`: offset of the first body byte
    in the data that was read.
    """

    __slots__ = ("block", "end", "method", "target", "version")

    def __init__(
        self, method: bytes, target: bytes, version: int, block: RequestBlock, end: int
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.block = block
        self.end = end

    @property
    def keep_alive(self) -> bool:
        """The client wants the connection kept (RFC 9112 section 9.3)."""
        return _keep_alive(self.version, self.block.connection)


class ResponseHead:
    """A response's head (RFC 9112 section 4). `status`: 100-599; `reason`: may be empty."""

    __slots__ = ("block", "end", "reason", "status", "version")

    def __init__(
        self, status: int, reason: bytes, version: int, block: ResponseBlock, end: int
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.block = block
        self.end = end

    @property
    def keep_alive(self) -> bool:
        """The backend keeps the connection open (RFC 9112 section 9.3)."""
        return _keep_alive(self.version, self.block.connection)

    @property
    def length(self) -> int | None:
        """Content-Length, or None."""
        return self.block.length

    @property
    def chunked(self) -> bool:
        """The body is in the chunked coding."""
        return self.block.chunked

    def fields(self) -> list[tuple[bytes, bytes]]:
        """All field lines as (name, value), in order."""
        return self.block.fields()


def _keep_alive(version: int, connection: tuple[bytes, ...]) -> bool:
    if not connection:
        return version == 1
    return b"close" not in connection and (version == 1 or b"keep-alive" in connection)


_Block = TypeVar("_Block", RequestBlock, ResponseBlock)


class _HeadReader(Generic[_Block]):
    """What the readers share: the limits, and the blocks they remember."""

    __slots__ = ("_blocks", "_line_bytes", "_most", "limits")

    def __init__(self, limits: HeadLimits) -> None:
        self.limits = limits
        self._line_bytes = limits.line_bytes
        self._most = limits.head_bytes - 4  # without the CRLFs that end a head
        self._blocks: dict[bytes, _Block] = {}

    def _remember(self, raw: bytes, block: _Block) -> None:
        if len(raw) <= _REMEMBERED_BYTES:
            if len(self._blocks) >= _REMEMBERED_BLOCKS:
                self._blocks.clear()
            self._blocks[raw] = block

    def _within_limits(self, line_bytes: int, raw: bytes) -> bool:
        """Whether the sizes alone show that no limit is exceeded."""
        return (
            line_bytes + len(raw) <= self.limits.line_bytes
            and len(raw) <= 4 * self.limits.fields  # a field line has at least 4 bytes
            and line_bytes + len(raw) <= self.limits.head_bytes
        )


class RequestReader(_HeadReader[RequestBlock]):
    """Reads request heads; one per listener, shared by its connections."""

    __slots__ = ()

    def __init__(self, limits: HeadLimits = REQUEST_LIMITS) -> None:
        super().__init__(limits)

    def read(self, data: bytes, seen: int = 0) -> RequestHead | None:
        """Read the request head at the start of `data`.

        Returns None when `data` ends within the head. Then call again with more; `seen`
        bytes at its start are known from that call. Raises `BadMessage` (400, 405, 414, 431,
        501, 505).
        """
        match = _REQUEST_LINE.match(data)
        if match is not None:
            at = match.end()
            end = data.find(b"\r\n\r\n", at)
            if 0 <= end <= self._most and at <= self._line_bytes:
                raw = data[at : end + 2]
                block = self._blocks.get(raw)
                if block is None:
                    if _REQUEST_BLOCK.fullmatch(raw) is None:
                        return self._mend(data)
                    if not self._within_limits(at, raw):
                        _check_limits(data[: end + 4], self.limits, "request")
                    block = RequestBlock(raw)
                    self._remember(raw, block)
                method, target, version = match.groups()
                if version == b"1":
                    if not block.host:
                        raise BadMessage(
                            "empty Host" if block.has_host else "no Host field"
                        )
                elif block.chunked:
                    raise BadMessage("Transfer-Encoding in HTTP/1.0")
                if target == b"*" and method != b"OPTIONS":
                    raise BadMessage("asterisk target for a method other than OPTIONS")
                return RequestHead(method, target, version == b"1", block, end + 4)
        return self._mend(data, seen)

    def _mend(self, data: bytes, seen: int = 0) -> RequestHead | None:
        from lolly_tx.wire.refusals import examine_request

        mended = examine_request(data, self.limits, seen)
        if mended is None:
            return None
        head = self.read(mended[0])
        assert head is not None
        head.end = mended[1]
        return head


class ResponseReader(_HeadReader[ResponseBlock]):
    """Reads response heads; one per pool, shared by its connections."""

    __slots__ = ()

    def __init__(self, limits: HeadLimits = RESPONSE_LIMITS) -> None:
        super().__init__(limits)

    def read(self, data: bytes, seen: int = 0) -> ResponseHead | None:
        """Read the response head at the start of `data`.

        Returns None when `data` ends within the head. Then call again with more; `seen`
        bytes at its start are known from that call. Raises `BadMessage`.
        """
        match = _STATUS_LINE.match(data)
        if match is not None:
            at = match.end()
            end = data.find(b"\r\n\r\n", at)
            if 0 <= end <= self._most and at <= self._line_bytes:
                raw = data[at : end + 2]
                block = self._blocks.get(raw)
                if block is None:
                    if _RESPONSE_BLOCK.fullmatch(raw) is None:
                        _explain_response(data, self.limits)
                    if not self._within_limits(at, raw):
                        _check_limits(data[: end + 4], self.limits, "response")
                    block = ResponseBlock(raw)
                    self._remember(raw, block)
                version, status, reason = match.groups()
                if version == b"1":
                    return ResponseHead(int(status), reason or b"", 1, block, end + 4)
                if block.chunked:
                    raise BadMessage("Transfer-Encoding in HTTP/1.0")
                return ResponseHead(int(status), reason or b"", 0, block, end + 4)
        _explain_response(data, self.limits, seen)
        return None


def _check_limits(head: bytes, limits: HeadLimits, kind: str) -> None:
    from lolly_tx.wire.refusals import check_limits

    check_limits(head, limits, kind)


def _explain_response(data: bytes, limits: HeadLimits, seen: int = 0) -> None:
    from lolly_tx.wire.refusals import examine_response

    examine_response(data, limits, seen)


def parse_request(
    data: bytes, limits: HeadLimits = REQUEST_LIMITS
) -> RequestHead | None:
    """`RequestReader.read` for a single head."""
    return RequestReader(limits).read(data)


def parse_response(
    data: bytes, limits: HeadLimits = RESPONSE_LIMITS
) -> ResponseHead | None:
    """`ResponseReader.read` for a single head."""
    return ResponseReader(limits).read(data)


_VALID_NAME = re.compile(_TOKEN)
_VALID_VALUE = re.compile(_VALUE)


def render_fields(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines for `pairs`, each ended by CRLF.

    Raises ValueError for what would not be a valid line (RELIABILITY S35).
    """
    lines = []
    for name, value in pairs:
        if not _VALID_NAME.fullmatch(name) or not _VALID_VALUE.fullmatch(value):
            raise ValueError(f"not a valid field: {name!r}: {value!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
