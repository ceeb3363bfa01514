r"""HTTP/1.x message heads: bytes to values, strictly (RFC 9112).

May import: wire. Used by: net.downstream, net.upstream, net.checks, proxy.resource.

A head is a start line and a field block (`wire.fields`). One regular expression for each
is both the recogniser and the validation: token characters in names, no control byte in
values, CRLF only. What they refuse goes to `wire.refusals`, which says precisely why (and
mends a few harmless forms).

Clients on a persistent connection repeat their fields from request to request, so a
reader remembers the blocks it has validated (HPACK's idea without its wire format): a
known block costs one dictionary lookup. What it remembers is bounded and small.
"""

from __future__ import annotations

import re
from typing import Generic, TypeVar

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock, ResponseBlock, render_fields
from lolly_tx.wire.grammar import (
    NAME_NO_UNDERSCORE,
    REQUEST_LIMITS,
    RESPONSE_LIMITS,
    TARGET,
    TOKEN,
    VALUE,
    HeadLimits,
)
from lolly_tx.wire.refusals import check_limits, examine_request, examine_response

__all__ = [
    "REQUEST_LIMITS",
    "RESPONSE_LIMITS",
    "HeadLimits",
    "RequestBlock",
    "RequestHead",
    "RequestReader",
    "ResponseBlock",
    "ResponseHead",
    "ResponseReader",
    "parse_request",
    "parse_response",
    "render_fields",
]

_REQUEST_LINE = re.compile(
    # CONNECT is for wire.refusals: what follows it is not ours to read.
    rb"(?!CONNECT )(%b) (%b|\*) HTTP/1\.([01])(?=\r\n)" % (TOKEN, TARGET)
)
_REQUEST_BLOCK = re.compile(rb"\r\n(?:%b:%b\r\n)*+" % (NAME_NO_UNDERSCORE, VALUE))
_STATUS_LINE = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (%b))?(?=\r\n)" % VALUE
)
_RESPONSE_BLOCK = re.compile(rb"\r\n(?:%b:%b\r\n)*+" % (TOKEN, VALUE))

# A reader remembers this many blocks of at most this size: 1 MiB at the worst.
_REMEMBERED_BLOCKS = 512
_REMEMBERED_BYTES = 2048


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
    """Reads request heads; one per listener, shared by its connections.

    `secure`: the listener speaks TLS, so absolute-form targets are https ones.
    """

    __slots__ = ("_scheme",)

    def __init__(
        self, limits: HeadLimits = REQUEST_LIMITS, secure: bool = False
    ) -> None:
        super().__init__(limits)
        self._scheme = b"https" if secure else b"http"

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
                        check_limits(data[: end + 4], self.limits, "request")
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
        mended = examine_request(data, self.limits, seen, self._scheme)
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
                        examine_response(data, self.limits)
                    if not self._within_limits(at, raw):
                        check_limits(data[: end + 4], self.limits, "response")
                    block = ResponseBlock(raw)
                    self._remember(raw, block)
                version, status, reason = match.groups()
                if version == b"1":
                    return ResponseHead(int(status), reason or b"", 1, block, end + 4)
                if block.chunked:
                    raise BadMessage("Transfer-Encoding in HTTP/1.0")
                return ResponseHead(int(status), reason or b"", 0, block, end + 4)
        examine_response(data, self.limits, seen)
        return None


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
