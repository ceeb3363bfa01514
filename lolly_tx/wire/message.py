"""Heads of messages as values, however they came: start line and fields of a request or a response.

`wire.http1` reads them from bytes and renders them. A version is one of the constants here, and compared by identity.

Imports: domain, domain.retries, wire. Used by: net, net.checks, net.forward, net.http1,
net.http2, net.streams, proxy, proxy.caching, proxy.chains, proxy.files, proxy.forwards,
proxy.middleware, proxy.records, proxy.streams, service, service.forwards,
service.records, simulate, testing, wire.cookies, wire.forwardform, wire.grpc,
wire.http1, wire.http2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Self

from lolly_tx.domain.native import mypyc_attr
from lolly_tx.domain.retries.retry import IDEMPOTENT
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock, ResponseBlock
from lolly_tx.wire.grammar import TARGET, TOKEN

HTTP_1_0: Final = b"HTTP/1.0"
HTTP_1_1: Final = b"HTTP/1.1"
HTTP_2: Final = b"HTTP/2.0"

_METHOD: Final = re.compile(TOKEN)
_TARGET: Final = re.compile(TARGET)


def _keep_alive(old: bool, connection: tuple[bytes, ...]) -> bool:
    if not connection:
        return not old
    return b"close" not in connection and (not old or b"keep-alive" in connection)


@mypyc_attr(allow_interpreted_subclasses=True, acyclic=True)
class RequestHead:
    """A request's head (RFC 9112 section 3). Never changed: others may have it, too.

    `method`, `target`: as received; `target` is in origin-form or "*" (absolute-form has
    been taken apart). `version`: `HTTP_1_0`, `HTTP_1_1` or `HTTP_2`; `old`: it is the first. `end`: offset
    of the first body byte in the data that was read. `plain`: not old, and `block` is plain. `is_head`: the
    method is HEAD, so the response has no body. `idempotent`: by its method it may be repeated.
    """

    __slots__ = (
        "block",
        "end",
        "idempotent",
        "is_head",
        "method",
        "old",
        "plain",
        "target",
        "version",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: bytes,
        block: RequestBlock,
        end: int,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.block = block
        self.end = end
        self.old = old = version is HTTP_1_0
        self.plain = block.plain and not old
        self.is_head = method == b"HEAD"
        self.idempotent = method == b"GET" or method in IDEMPOTENT

    @classmethod
    def from_pairs(
        cls, method: bytes, target: bytes, pairs: Iterable[tuple[bytes, bytes]]
    ) -> Self:
        """A head that did not come as a text of its own.

        `target`: in origin-form, or "*". Names with "_" are left out. Raises `BadMessage` (400, 405, 501)
        for what a reader of its text would refuse.
        """
        if method == b"CONNECT":
            raise BadMessage("CONNECT is not served here", 405)
        if not _METHOD.fullmatch(method):
            raise BadMessage("malformed method")
        if target != b"*" and not _TARGET.fullmatch(target):
            raise BadMessage("malformed request target")
        fields = [pair for pair in pairs if b"_" not in pair[0]]
        head = cls(method, target, HTTP_1_1, RequestBlock.from_pairs(fields), 0)
        head.check()
        return head

    @property
    def start_line(self) -> bytes:
        """The request line."""
        return b"%b %b %b" % (self.method, self.target, self.version)

    @property
    def keep_alive(self) -> bool:
        """The client wants the connection kept (RFC 9112 section 9.3)."""
        return _keep_alive(self.old, self.block.connection)

    @property
    def awaits_continue(self) -> bool:
        """The body is sent when the server has agreed (RFC 9110 section 10.1.1)."""
        return self.block.expect and not self.old

    def check(self) -> None:
        """Raise `BadMessage` for fields that do not go with the start line."""
        block = self.block
        if self.old:
            if block.chunked:
                raise BadMessage("Transfer-Encoding in HTTP/1.0")
        elif not block.host:
            raise BadMessage("empty Host" if block.has_host else "no Host field")
        if self.target == b"*" and self.method != b"OPTIONS":
            raise BadMessage("asterisk target for a method other than OPTIONS")

    def with_block(self, block: RequestBlock) -> RequestHead:
        """The same with other fields."""
        return RequestHead(self.method, self.target, self.version, block, self.end)

    def with_target(self, target: bytes) -> RequestHead:
        """The same for another target, in origin-form. Raises `BadMessage`."""
        if not _TARGET.fullmatch(target):
            raise BadMessage("malformed request target")
        return RequestHead(self.method, target, self.version, self.block, self.end)


@mypyc_attr(acyclic=True)
class ResponseHead:
    """A response's head (RFC 9112 section 4). Never changed: others may have it, too.

    `status`: 100-599; `reason`: may be empty. `version`, `old`: as of requests. `whole`: the size of
    head and body together if the block is plain and the version and the status take nothing away from that; else 0.
    """

    __slots__ = ("block", "end", "old", "reason", "status", "version", "whole")

    def __init__(
        self, status: int, reason: bytes, version: bytes, block: ResponseBlock, end: int
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.block = block
        self.end = end
        self.old = old = version is HTTP_1_0
        self.whole = 0
        if block.plain and not old and status >= 200 and status not in (204, 304):
            self.whole = end + (block.length or 0)

    @classmethod
    def from_pairs(
        cls, status: int, pairs: Iterable[tuple[bytes, bytes]], reason: bytes = b""
    ) -> Self:
        """A head that did not come as a text of its own; raises `BadMessage` for bad fields."""
        if not 100 <= status <= 599:
            raise BadMessage("malformed status")
        return cls(status, reason, HTTP_1_1, ResponseBlock.from_pairs(pairs), 0)

    @property
    def keep_alive(self) -> bool:
        """The backend keeps the connection open (RFC 9112 section 9.3)."""
        return _keep_alive(self.old, self.block.connection)

    @property
    def length(self) -> int | None:
        """Content-Length, or None."""
        return self.block.length

    @property
    def chunked(self) -> bool:
        """The body is in the chunked coding."""
        return self.block.chunked

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        """All field lines as (name, value), in order."""
        return self.block.pairs
