"""The cookie that binds a client to a node.

The value is made and verified by the pool's sticky balancer: signed, and without the
node's address in it.

May import: domain, wire, proxy. Used by: proxy.forward, proxy.delivery.
"""

from __future__ import annotations

from typing import Protocol

from lolly_tx.domain.node import Node
from lolly_tx.proxy.keys import cookie_reader
from lolly_tx.wire.http1 import RequestHead


class Bonds(Protocol):
    """What a sticky balancer offers beside `pick`."""

    def bond(self, node_id: str) -> bytes:
        """The cookie value that binds to a node."""


class StickyCookie:
    """Reads and writes the cookie `name`; `attributes`: such as "Path=/; HttpOnly"."""

    def __init__(self, bonds: Bonds, name: str, attributes: str) -> None:
        self._bonds = bonds
        self._name = name.encode("ascii")
        self._attributes = b"; " + attributes.encode("ascii") if attributes else b""
        words = [word.strip().lower() for word in attributes.split(";")]
        self._secure = b"" if "secure" in words else b"; Secure"
        self.read = cookie_reader(name)
        """The value the client brought back, or None."""

    def set_cookie(self, head: RequestHead, node: Node, secure: bool) -> bytes:
        """The Set-Cookie line for a client that `node` has answered, b"" if it has it.

        `secure`: the client uses TLS, so the cookie is to be sent over nothing else.
        """
        value = self._bonds.bond(node.id)
        # One made with an older key is replaced, so that the key can be given up.
        if self.read(head) == value:
            return b""
        return b"Set-Cookie: %b=%b%b%b\r\n" % (
            self._name,
            value,
            self._attributes,
            self._secure if secure else b"",
        )
