"""The fields of an answer as the client gets it: the backend's that are passed on, and what we add.

Imports: domain, net, proxy, wire. Used by: proxy.forwarder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Protocol

from lolly_tx.domain.node import Node
from lolly_tx.net.doors import LENGTH, Peer
from lolly_tx.proxy.identity import Identity
from lolly_tx.wire.dates import DateLine
from lolly_tx.wire.http1 import via_lines
from lolly_tx.wire.message import RequestHead, ResponseHead


def _lines_of(name: bytes) -> re.Pattern[bytes]:
    """The lines of a field."""
    return re.compile(rb"(?i)(?<=\r\n)%b:[^\r]*\r\n" % re.escape(name))


class Answered(Protocol):
    """Who gets an answer, and from whom."""

    head: RequestHead
    node: Node | None
    identity: Identity | None

    @property
    def peer(self) -> Peer:
        """Who sent the request."""


class Binding(Protocol):
    """Binds a client to the node that has answered it (`proxy.sticky`)."""

    def set_cookie(
        self, head: RequestHead, node: Node, ids: Collection[str], secure: bool
    ) -> bytes:
        """The line that does, b"" if the client has it."""


class ResponseFields:
    """Makes them for the answers of one pool.

    `now`: seconds, monotonic. `wall`: seconds since the epoch, for the Date of answers
    without one. `via`: our name in Via, "" = no such field. `sticky`: the cookie that binds
    clients to the nodes among `ids`. `echo`: the field by which clients are told of request ids. `marking`:
    lines of ours are added to every answer.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        via: str,
        sticky: Binding | None,
        ids: Collection[str],
        echo: bytes = b"",
    ) -> None:
        self._now = now
        self._date = DateLine(wall)
        self._via = via_lines(via)
        self._sticky = sticky
        self._ids = ids
        self._echo = _lines_of(echo) if echo else None
        self.marking = bool(via or sticky or echo)

    def of(self, head: ResponseHead, framing: int, exchange: Answered) -> bytes:
        """Those of the final `head`: CRLF, then lines that each end with CRLF."""
        block = head.block
        status = head.status
        fields = block.kept
        if status == 204:
            fields = block.without_length()
        elif framing == LENGTH and not block.length_kept:
            fields += b"Content-Length: %d\r\n" % (block.length or 0)
        if not block.date:
            fields += self._date.at(self._now())
        if status == 426:
            fields += block.offer()
        if self.marking:
            fields = self.marked(fields, head, exchange)
        return fields

    def of_upgrade(self, head: ResponseHead, exchange: Answered) -> bytes:
        """Those of a 101."""
        block = head.block
        fields = block.without_length()
        fields += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % block.upgrade
        if self.marking:
            fields = self.marked(fields, head, exchange)
        return fields

    def marked(self, fields: bytes, head: ResponseHead, exchange: Answered) -> bytes:
        """`fields` with the lines we add to every answer: Via, the cookie that binds a client, its request id."""
        identity = exchange.identity
        if identity is not None and identity.echo:
            if (
                self._echo is not None
            ):  # the target's own is not what the client asks us about
                fields = self._echo.sub(b"", fields)
            fields += identity.echo
        marks = self._via[head.version]
        node = exchange.node
        if self._sticky is not None and node is not None:
            secure = exchange.peer.secure
            marks += self._sticky.set_cookie(exchange.head, node, self._ids, secure)
        return fields + marks
