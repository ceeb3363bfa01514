r"""HTTP/1.x message heads: bytes to values, strictly (RFC 9112), and back.

Imports: domain, wire. Used by: net.checks, net.http1, proxy, proxy.forwards, service,
service.forwards, simulate, testing, wire.asking, wire.forwardform.

A head is a start line and a field block (`wire.fields`). One regular expression for each
is both the recogniser and the validation: token characters in names, no control byte in
values, CRLF only. What they refuse goes to `wire.refusals`, which says precisely why (and
mends a few harmless forms).

Clients on a persistent connection repeat their fields from request to request, and often
the whole head, so a reader remembers what it has validated (HPACK's idea without its wire
format; `wire.memory`): a known head costs one dictionary lookup, the known block of a request
under another start line one more. What is remembered is shared: heads never change.
"""

from __future__ import annotations

import re
from typing import Any, Final, Generic, TypeVar

from lolly_tx.domain.native import mypyc_attr
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock, ResponseBlock
from lolly_tx.wire.grammar import (
    NAME_NO_UNDERSCORE,
    REQUEST_LIMITS,
    RESPONSE_LIMITS,
    TARGET,
    TOKEN,
    VALUE,
    HeadLimits,
)
from lolly_tx.wire.memory import Memory
from lolly_tx.wire.message import HTTP_1_0, HTTP_1_1, HTTP_2, RequestHead, ResponseHead
from lolly_tx.wire.ordinary import REQUEST, RESPONSE
from lolly_tx.wire.refusals import examine_request, examine_response, worth_a_look
from lolly_tx.wire.scanner import RequestScan, ResponseScan, scan_request, scan_response

_REQUEST_LINE: Final = re.compile(
    # CONNECT is for wire.refusals: what follows it is not ours to read.
    rb"(?!CONNECT )(%b) (%b|\*) HTTP/1\.([01])(?=\r\n)" % (TOKEN, TARGET)
)
_REQUEST_BLOCK: Final = re.compile(
    rb"\r\n(?:%b:%b\r\n)*+" % (NAME_NO_UNDERSCORE, VALUE)
)
_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (%b))?(?=\r\n)" % VALUE
)
_RESPONSE_BLOCK: Final = re.compile(rb"\r\n(?:%b:%b\r\n)*+" % (TOKEN, VALUE))

_ordinary_request: Final = REQUEST.match
_ordinary_response: Final = RESPONSE.match

_Head = TypeVar("_Head", RequestHead, ResponseHead)


@mypyc_attr(allow_interpreted_subclasses=True)
class _HeadReader(Generic[_Head]):
    """What the readers share: the limits, and the heads they know again, by all of their bytes."""

    __slots__ = (
        "_head_bytes",
        "_last",
        "_last_raw",
        "_line_bytes",
        "_memory",
        "_most_fields",
        "known",
        "limits",
    )

    def __init__(self, limits: HeadLimits) -> None:
        self.limits = limits
        # As objects, which the scan is given: compiled code would make new ones for each head.
        self._head_bytes: Any = limits.head_bytes
        self._line_bytes: Any = limits.line_bytes
        self._most_fields: Any = limits.fields
        self._memory: Memory[_Head] = Memory()
        self.known: dict[bytes, _Head] = self._memory.known
        self._last_raw = b""
        self._last: _Head | None = None

    def known_again(self, data: bytes) -> _Head | None:
        """The head that `data` is, all of it, if it is known.

        To hash a head costs as much as to read a part of it: the one that came last is known without, and so is that
        there is none of that size.
        """
        if data == self._last_raw:
            return self._last
        if len(data) not in self._memory.sizes:
            return None
        head = self.known.get(data)
        if head is not None:
            self._last_raw = data
            self._last = head
        return head

    def _check_fields(self, raw: bytes) -> None:
        """Raise `BadMessage` when the block `raw` has too many lines."""
        most = self.limits.fields
        # A field line has at least 4 bytes.
        if len(raw) > 4 * most and raw.count(b"\n") - 1 > most:
            raise BadMessage("too many fields", 431)


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestReader(_HeadReader[RequestHead]):
    """Reads request heads; one per listener, shared by its connections.

    `secure`: the listener speaks TLS, so absolute-form targets are https ones. `known`:
    heads that came alone, as most do, by all their bytes; they need not be read again. `scan`: reads the usual ones
    (`wire.scanner`); None: the regular expressions read all.
    """

    __slots__ = ("_blocks", "_known_blocks", "_scan", "_scheme")

    def __init__(
        self,
        limits: HeadLimits = REQUEST_LIMITS,
        secure: bool = False,
        scan: RequestScan | None = scan_request,
    ) -> None:
        super().__init__(limits)
        self._scan = scan
        self._scheme = b"https" if secure else b"http"
        self._blocks: Memory[RequestBlock] = Memory()
        self._known_blocks: dict[bytes, RequestBlock] = self._blocks.known

    def read(self, data: bytes, seen: int = 0) -> RequestHead | None:
        """Read the request head at the start of `data`.

        Returns None when `data` ends within the head. Then call again with more; `seen`
        bytes at its start are known from that call. Raises `BadMessage` (400, 405, 414, 431,
        501, 505).
        """
        if seen and not worth_a_look(data, seen):
            return None
        scan = self._scan
        if scan is not None:
            found = scan(data, self._head_bytes, self._line_bytes, self._most_fields)
            if found is not None:
                method, target, one, at, end, special = found
                return self._scanned(data, method, target, one, at, end, special)
        elif self._blocks.passing:
            head = self._ordinary(data)
            if head is not None:
                return head
        match = _REQUEST_LINE.match(data)
        if match is not None:
            at = match.end()
            end = data.find(b"\r\n\r\n", at) + 4
            if at < end <= self._head_bytes and at <= self._line_bytes:
                fields = data[at : end - 2]
                block = self._known_blocks.get(fields)
                known = block is not None
                if block is None:
                    if _REQUEST_BLOCK.fullmatch(fields) is None:
                        return self._mend(data)
                    self._check_fields(fields)
                    block = RequestBlock(fields)
                    self._blocks.met(fields, block)
                else:
                    self._blocks.news = 0
                method, target, minor = match.groups()
                version = HTTP_1_1 if minor == b"1" else HTTP_1_0
                head = RequestHead(method, target, version, block, end)
                if not head.plain or target == b"*":
                    head.check()
                if known and end == len(data):
                    self._memory.met(data, head)
                return head
        return self._mend(data, seen)

    def _ordinary(self, data: bytes) -> RequestHead | None:
        """The head in one go, if it is an ordinary one; nobody expects to know it again."""
        self._blocks.passing -= 1
        match = _ordinary_request(data)
        if match is None:
            return None
        method, target, fields, host, rest = match.groups()
        at, end = match.start(3), match.end()
        if end > self._head_bytes or at > self._line_bytes:
            return None
        kept = b""
        if rest is not None:
            kept = fields + rest
            fields = data[at : end - 2]
        self._check_fields(fields)
        block = RequestBlock(fields, host, None, kept)
        return RequestHead(method, target, HTTP_1_1, block, end)

    def _scanned(
        self,
        data: bytes,
        method: bytes,
        target: bytes,
        minor: int,
        at: int,
        end: int,
        found: list[tuple[bytes, bytes]],
    ) -> RequestHead:
        """The head that the scan has found."""
        fields = data[at : end - 2]
        block = self._known_blocks.get(fields)
        known = block is not None
        if block is None:
            block = RequestBlock(fields, b"", found)
            self._blocks.met(fields, block)
        head = RequestHead(method, target, HTTP_1_1 if minor else HTTP_1_0, block, end)
        if not head.plain or target == b"*":
            head.check()
        if known and end == len(data):
            self._memory.met(data, head)
        return head

    def _mend(self, data: bytes, seen: int = 0) -> RequestHead | None:
        mended = examine_request(data, self.limits, seen, self._scheme)
        if mended is None:
            return None
        # What is mended has another form than what a subclass may insist on.
        head = RequestReader.read(self, mended[0])
        assert head is not None
        return RequestHead(
            head.method, head.target, head.version, head.block, mended[1]
        )


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseReader(_HeadReader[ResponseHead]):
    """Reads response heads; one per pool, shared by its connections. `scan`: as of requests."""

    __slots__ = ("_scan",)

    def __init__(
        self,
        limits: HeadLimits = RESPONSE_LIMITS,
        scan: ResponseScan | None = scan_response,
    ) -> None:
        super().__init__(limits)
        self._scan = scan

    def read(self, data: bytes, seen: int = 0) -> ResponseHead | None:
        """Read the response head at the start of `data`.

        Returns None when `data` ends within the head. Then call again with more; `seen`
        bytes at its start are known from that call. Raises `BadMessage`.
        """
        if seen and not worth_a_look(data, seen):
            return None
        last = self._last
        if last is not None and data.startswith(self._last_raw):
            return last  # whose end need not be looked for
        if self._scan is None and self._memory.passing:
            head = self._ordinary(data)
            if head is not None:
                return head
        end = data.find(b"\r\n\r\n") + 4
        raw = data if end == len(data) else data[:end]
        head = self.known_again(raw)
        if head is not None:
            self._memory.news = 0
            return head
        scan = self._scan
        if scan is not None:
            found = scan(data, self._head_bytes, self._line_bytes, self._most_fields)
            if found is not None:
                code, words, one, at, end, special = found
                return self._scanned(raw, code, words, one, at, end, special)
        match = _STATUS_LINE.match(data)
        if match is not None:
            at = match.end()
            if at < end <= self._head_bytes and at <= self._line_bytes:
                fields = raw[at:-2]
                if _RESPONSE_BLOCK.fullmatch(fields) is None:
                    return self._mend(data)
                self._check_fields(fields)
                block = ResponseBlock(fields)
                minor, status, reason = match.groups()
                version = HTTP_1_1 if minor == b"1" else HTTP_1_0
                head = ResponseHead(int(status), reason or b"", version, block, end)
                if head.old and block.chunked:
                    raise BadMessage("Transfer-Encoding in HTTP/1.0")
                self._memory.met(raw, head)
                return head
        return self._mend(data, seen)

    def _ordinary(self, data: bytes) -> ResponseHead | None:
        """As of requests."""
        self._memory.passing -= 1
        match = _ordinary_response(data)
        if match is None:
            return None
        status, reason, fields, length, other, rest = match.groups()
        at, end = match.start(3), match.end()
        if end > self._head_bytes or at > self._line_bytes:
            return None
        kept = b""
        if rest is not None:
            kept = fields + rest
            fields = data[at : end - 2]
        self._check_fields(fields)
        block = ResponseBlock(fields, None, int(length or other), kept)
        return ResponseHead(int(status), reason or b"", HTTP_1_1, block, end)

    def _scanned(
        self,
        raw: bytes,
        status: int,
        reason: bytes,
        minor: int,
        at: int,
        end: int,
        found: list[tuple[bytes, bytes]],
    ) -> ResponseHead:
        """The head `raw` as the scan has found it."""
        block = ResponseBlock(raw[at:-2], found)
        version = HTTP_1_1 if minor else HTTP_1_0
        head = ResponseHead(status, reason, version, block, end)
        if head.old and block.chunked:
            raise BadMessage("Transfer-Encoding in HTTP/1.0")
        self._memory.met(raw, head)
        return head

    def _mend(self, data: bytes, seen: int = 0) -> ResponseHead | None:
        mended = examine_response(data, self.limits, seen)
        if mended is None:
            return None
        head = self.read(mended[0])
        assert head is not None
        return ResponseHead(
            head.status, head.reason, head.version, head.block, mended[1]
        )


def via_lines(name: str) -> dict[bytes, bytes]:
    """Our Via line by the version in which a message came (RFC 9110 section 7.6.3); empty for no `name`."""
    return {
        version: b"Via: %b %b\r\n" % (version[5:], name.encode()) if name else b""
        for version in (HTTP_1_0, HTTP_1_1, HTTP_2)
    }


def hop_line(name: bytes) -> bytes:
    """The line by which the proxy `name` (lower case) knows its own requests again."""
    return b"Lolly-Hop: %b\r\n" % name


STATUS_LINES: Final = tuple(b"HTTP/1.1 %d " % status for status in range(1000))
"""The beginnings of responses. Joining takes a third of the time of formatting."""


def render_response(status: int, reason: bytes, fields: bytes) -> bytes:
    """The head to send to a client. `fields`: CRLF, then lines that each end with CRLF."""
    return b"HTTP/1.1 %d %b%b\r\n" % (status, reason, fields)


def render_request(head: RequestHead, host: bytes, lines: bytes) -> bytes:
    """The head to send to a backend in HTTP/1.1, whatever the client spoke.

    `host`: the Host value; b"" = the client's own line stays. `lines`: ours, each ends
    with CRLF.
    """
    block = head.block
    kept = b"\r\nHost: %b%b" % (host, block.rest) if host else block.kept
    data = b"%b %b HTTP/1.1%b%b" % (head.method, head.target, kept, lines)
    if block.chunked:
        data += b"Transfer-Encoding: chunked\r\n"
    elif block.length is not None and not block.length_kept:
        data += b"Content-Length: %d\r\n" % block.length
    if head.awaits_continue:
        data += b"Expect: 100-continue\r\n"
    if block.upgrade:
        data += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    elif block.wants_trailers and not head.old:
        # Trailers of the answer are passed on (RFC 9110 section 6.5.1).
        data += b"Connection: TE\r\nTE: trailers\r\n"
    return data + b"\r\n"


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
