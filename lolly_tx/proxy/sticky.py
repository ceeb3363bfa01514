"""The cookie that binds a client to a node.

The value is made and verified by the pool's sticky balancer: signed, and without the
node's address in it.

May import: domain, wire. Used by: proxy.forward, proxy.delivery.
"""

from __future__ import annotations

import re
from typing import Protocol

from lolly_tx.domain.node import Node
from lolly_tx.wire.http1 import RequestHead


class Bonds(Protocol):
    """What a sticky balancer offers beside `pick`."""

    def bond(self, node_id: str) -> bytes:
        """The cookie value that binds to a node."""

    def bound(self, bond: bytes, nodes: object) -> str | None:
        """The node a value binds to, None for one that is not ours."""


class StickyCookie:
    """Reads and writes the cookie `name`; `attributes`: what follows its value."""

    def __init__(self, bonds: Bonds, name: str, attributes: str) -> None:
        self._bonds = bonds
        self._name = name.encode("ascii")
        self._attributes = attributes.encode("ascii")
        self._find = re.compile(rb"(?:^|;)[ \t]*%b=([^;, \t]*)" % re.escape(self._name))

    def read(self, head: RequestHead) -> bytes | None:
        """The value the client brought back, or None."""
        for cookies in head.block.get_all(b"cookie"):
            match = self._find.search(cookies)
            if match is not None:
                return match[1]
        return None

    def set_cookie(self, head: RequestHead, node: Node) -> bytes:
        """The Set-Cookie line for a client that `node` has answered, b"" if it has it."""
        value = self.read(head)
        if value and self._bonds.bound(value, {node.id: node}) == node.id:
            return b""
        return b"Set-Cookie: %b=%b%b\r\n" % (
            self._name,
            self._bonds.bond(node.id),
            self._attributes,
        )
