"""Heads of HTTP/2 requests, without making again what was made before.

Checking fields and making a head of them costs more than decoding them. So a head is kept with the header block that it
was made of (`wire.hpack.table.Decoded`), and with the same block without its path, which leaves just the path to check.
Heads never change, and go where the block goes: they are forgotten with it, and shared where it is. What is left, heads
of which some field is new, mostly have other fields that are known: their lines are remembered, if they are of a
kind that a proxy only passes on. Everything else is for `wire.http2.requests`, which makes the same of all.

Imports: wire, wire.hpack, wire.http2. Used by: net.http2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock, is_special
from lolly_tx.wire.grammar import TARGET, HeadLimits
from lolly_tx.wire.hpack.native import (
    LOWER_NAME,
    METHODS,
    SCHEMES,
    PlainHead,
    plain_head,
)
from lolly_tx.wire.hpack.static import CREDENTIALS, Field
from lolly_tx.wire.hpack.table import Decoded, Pattern
from lolly_tx.wire.http2.requests import request_head, with_path
from lolly_tx.wire.message import HTTP_2, RequestHead

REMEMBERED_BYTES: Final = 262144
"""What the lines that are remembered may take, about."""
LARGEST_BYTES: Final = 1024
"""The largest of them."""
_ENTRY_BYTES: Final = 350
NAMES: Final = 512
"""Names of fields that are known to be only passed on; then it begins anew."""
LARGEST_NAME_BYTES: Final = 64
"""The largest of them."""

_target: Final = re.compile(TARGET).fullmatch
# A name in lower case, and a value without blanks around it (RFC 9113 section 8.2.1).
_SOUND: Final = rb"(?![\t ])[\t -~\x80-\xff]*+(?<![\t ])"
_VALUE: Final = re.compile(rb"(?=.)%b|" % _SOUND, re.DOTALL)
_NAME: Final = re.compile(LOWER_NAME)
_sound_value: Final = _VALUE.fullmatch
_COOKIE: Final = b"cookie"

_Kept = list[RequestHead | None]
"""The head of a request with a body, and of one without."""


class RequestHeads:
    """Makes the heads of a listener's requests.

    `limits`: the same as of the memory of blocks. `new_key`: gives a Sec-WebSocket-Key; None: extended CONNECT is not
    offered. `scan`: makes the lines of ordinary heads in one pass; None: nothing does.
    """

    __slots__ = (
        "_left",
        "_limits",
        "_line_bytes",
        "_lines",
        "_new_key",
        "_passed",
        "_scan",
    )

    def __init__(
        self,
        limits: HeadLimits,
        new_key: Callable[[], bytes] | None = None,
        scan: PlainHead | None = plain_head,
    ) -> None:
        self._scan = scan
        self._limits = limits
        self._line_bytes = limits.line_bytes
        self._new_key = new_key
        self._lines: dict[Field, bytes] = {}
        self._passed: set[bytes] = set()
        self._left = REMEMBERED_BYTES

    def head_of(self, decoded: Decoded, ended: bool) -> RequestHead:
        """The head that a header block means. `ended`: there is no body. Raises what `request_head` does."""
        kept: _Kept | None = decoded.made
        if kept is not None:
            head = kept[ended]
            if head is not None:
                return head
        pattern = decoded.pattern
        if pattern is not None:
            kept = pattern.made
            if kept is not None:
                head = kept[ended]
                if head is not None:
                    path = decoded.path
                    if len(path) <= self._line_bytes and _target(path) is not None:
                        head = RequestHead(head.method, path, HTTP_2, head.block, 0)
                    else:
                        head = with_path(head, path, self._limits)
                    if decoded.lasting:
                        _keep(decoded, ended, head)
                    return head
        made = None
        if ended and not decoded.never:
            made = self._ordinary(decoded.fields)
        if made is None:
            new_key = self._new_key
            key = new_key() if new_key is not None and not ended else b""
            made = request_head(
                decoded.fields, ended=ended, limits=self._limits, key=key
            )
            if decoded.never:
                made.block.never = decoded.unindexed
            if made.block.upgrade:
                return made  # its key is for this request alone
        if decoded.lasting:
            _keep(decoded, ended, made)
        if pattern is not None:
            _keep(pattern, ended, made)
        return made

    def _ordinary(self, fields: tuple[Field, ...]) -> RequestHead | None:
        """The head, if there is nothing about it that needs a closer look."""
        scan = self._scan
        if scan is not None:
            made = scan(fields, self._limits.line_bytes)
            if made is None:
                return None
            method, path, host, raw, priority = made
            head = self._head(method, path, host, raw)
            if head is not None:
                head.block.priority = priority
            return head
        pseudo = dict(fields[:4])
        method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
        host = pseudo.get(b":authority", b"")
        if (
            not host
            or method not in METHODS
            or pseudo.get(b":scheme") not in SCHEMES
            or len(path) > self._line_bytes
            or _target(path) is None
        ):
            return None
        known = self._lines
        lines = [b"\r\nhost: %b\r\n" % host]
        crumbs = []
        for field in fields[4:]:
            line = known.get(field)
            if line is None:
                if field[0] == _COOKIE:  # section 8.2.3
                    crumbs.append(field[1])
                    continue
                line = self._line(field)
                if line is None:
                    return None
            lines.append(line)
        for crumb in crumbs:
            if _sound_value(crumb) is None:
                return None
        if crumbs:
            lines.append(b"cookie: %b\r\n" % b"; ".join(crumbs))
        return self._head(method, path, host, b"".join(lines))

    def _head(
        self, method: bytes, path: bytes, host: bytes, raw: bytes
    ) -> RequestHead | None:
        try:
            block = RequestBlock(raw, host)
        except BadMessage:
            return None
        return RequestHead(method, path, HTTP_2, block, 0)

    def _line(self, field: Field) -> bytes | None:
        """The line of a field that is only passed on, b"" of one that is not; None: it needs a closer look."""
        name, value = field
        passed = self._passed
        if name not in passed:
            if is_special(name) or _NAME.fullmatch(name) is None:
                return None
            if len(passed) >= NAMES:
                passed.clear()
            if len(name) <= LARGEST_NAME_BYTES:
                passed.add(name)
        if _sound_value(value) is None:
            return None
        line = b"" if b"_" in name else b"%b: %b\r\n" % field
        if len(line) <= LARGEST_BYTES and name not in CREDENTIALS:
            self._left -= len(line) + _ENTRY_BYTES
            if self._left < 0:
                self._lines.clear()
                self._left = REMEMBERED_BYTES
            self._lines[field] = line
        return line


def _keep(at: Decoded | Pattern, ended: bool, head: RequestHead) -> None:
    kept: _Kept | None = at.made
    if kept is None:
        at.made = kept = [None, None]
    kept[ended] = head
