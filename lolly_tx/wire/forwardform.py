"""Requests as a forward proxy gets them: absolute-form, or CONNECT with an authority (RFC 9112 section 3.2).

    GET http://h/p HTTP/1.1        a head whose `inner` is the request for h: origin-form, Host replaced
    CONNECT h:443 HTTP/1.1         a head without `inner`; its target is the authority
    GET /p HTTP/1.1                refused: by Host it would lead to ourselves, or make a reverse proxy of us

Everything else about heads is `wire.http1`, limits and strictness included.

Imports: domain.routing, wire. Used by: net.forward, proxy.forwards, proxy.records,
service.forwards.
"""

from __future__ import annotations

import re

from lolly_tx.domain.routing.hosts import BadHost, host_name
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.fields import RequestBlock
from lolly_tx.wire.grammar import HeadLimits
from lolly_tx.wire.http1 import RequestReader
from lolly_tx.wire.memory import Memory
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.refusals import worth_a_look

_START = re.compile(
    rb"(?:\r\n){0,64}([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([!-~\x80-\xff]++) (HTTP/1\.[01])\r\n"
)
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]++\]|[^\[\]:@/?#]++):([0-9]{1,5})")


class Onward(RequestHead):
    """What goes on of a request to the host of its `url`."""

    __slots__ = ("url",)

    def __init__(self, head: RequestHead, url: bytes) -> None:
        super().__init__(head.method, head.target, head.version, head.block, head.end)
        self.url = url

    @property
    def as_asked(self) -> RequestHead:
        """The request as it came."""
        return RequestHead(self.method, self.url, self.version, self.block, self.end)


def by_proxy(head: RequestHead, line: bytes) -> Onward:
    """`head` as another proxy gets it: in absolute-form (RFC 9112 section 3.2.2), with a `line` for that proxy alone.

    The log says what the client has asked for, and nothing has the line but what is sent.
    """
    block = head.block
    # OPTIONS * is asked for by a URL without a path.
    path = b"" if head.target == b"*" else head.target
    target = b"http://%b%b" % (block.host, path)
    if line:
        block = block.like(block.kept + line)
    there = RequestHead(head.method, target, head.version, block, head.end)
    return Onward(there, head.url if isinstance(head, Onward) else target)


class ForwardHead(RequestHead):
    """A request as it came. `inner`: what goes on to its host; None for CONNECT."""

    __slots__ = ("inner",)

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: bytes,
        block: RequestBlock,
        end: int,
        inner: Onward | None,
    ) -> None:
        super().__init__(method, target, version, block, end)
        self.inner = inner


def authority_of(target: bytes) -> tuple[str, int]:
    """Host (lower case, an IPv6 address in brackets) and port of an authority; the port has no default.

    Raises `BadMessage`.
    """
    found = _AUTHORITY.fullmatch(target)
    if found is None or not 0 < int(found[2]) <= 65535:
        raise BadMessage("malformed authority")
    try:
        return host_name(found[1]), int(found[2])
    except BadHost:
        raise BadMessage("malformed authority") from None


class ForwardReader(RequestReader):
    """Reads the heads of such requests; one per place, shared by its connections."""

    __slots__ = ("_asked",)

    def __init__(self, limits: HeadLimits) -> None:
        super().__init__(limits)
        self._asked: Memory[RequestHead] = Memory()
        self.known = self._asked.known

    def read(self, data: bytes, seen: int = 0) -> RequestHead | None:
        """As `RequestReader.read`; the head is a `ForwardHead`."""
        if seen and not worth_a_look(data, seen):
            return None
        start = _START.match(data)
        if start is None:
            head = super().read(data, seen)
            if head is not None:
                raise BadMessage("malformed request line")
            return None
        method, target, version = start.groups()
        if start.end() - start.start(1) > self.limits.line_bytes:
            raise BadMessage("start line too long", 414)
        if method == b"CONNECT":
            return self._connect(data, start.end(), target, version)
        if target[:8].lower() == b"https://":
            raise BadMessage("https:// is asked for by CONNECT", 501)
        if target[:1] == b"/" or target == b"*":
            raise BadMessage("no absolute URL in a request to a forward proxy")
        found = super().read(data, seen)
        if found is None:
            return None
        inner = Onward(found, target)
        head = ForwardHead(method, target, inner.version, inner.block, inner.end, inner)
        if inner.end == len(data):
            self._asked.met(data, head)
        return head

    def _connect(
        self, data: bytes, at: int, target: bytes, version: bytes
    ) -> RequestHead | None:
        authority_of(target)
        # The fields are those of any request.
        line = b"GET / %b\r\n" % version
        inner = super().read(line + data[at:])
        if inner is None:
            return None
        block = inner.block
        if block.chunked or block.length is not None:
            raise BadMessage("CONNECT with a body")
        end = inner.end - len(line) + at
        return ForwardHead(b"CONNECT", target, inner.version, block, end, None)
