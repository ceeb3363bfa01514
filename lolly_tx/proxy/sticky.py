"""The cookie that binds a client to a node.

The value is made and verified by the pool's sticky balancer: signed, and without the
node's address in it. A browser may send several of one name, such as one of another path
that nobody renews; the first that binds to anybody counts. When a value has an end we
keep to it, whatever the client does with the age it was told.

Imports: domain, domain.balancers, wire. Used by: proxy.forwarder, service, simulate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import ceil
from typing import Protocol

from lolly_tx.domain.balancers.sticky import LATEST
from lolly_tx.domain.node import Node
from lolly_tx.wire.cookies import cookie_reader
from lolly_tx.wire.message import RequestHead

_LOOKED_AT = 8
"""Cookies of the name; a browser has one for each path and domain that fits."""


class Bonds(Protocol):
    """What a sticky balancer offers beside `pick`."""

    def bond(self, node_id: str, until: int = 0) -> bytes:
        """The cookie value that binds to a node until then, seconds since the epoch."""

    def bound(self, bond: bytes, ids: Collection[str]) -> str | None:
        """The one of `ids` that it binds to."""

    def until(self, bond: bytes) -> int:
        """When it ends; 0: it does not."""


class StickyCookie:
    """Reads and writes the cookie `name`.

    `attributes`: such as "Path=/; HttpOnly". `expires`: seconds a value binds, 0 = no end.
    `wall`: seconds since the epoch.
    """

    def __init__(
        self,
        bonds: Bonds,
        name: str,
        attributes: str,
        *,
        expires: float,
        wall: Callable[[], float],
    ) -> None:
        self._bonds = bonds
        self._name = name.encode("ascii")
        words = [word.strip().lower() for word in attributes.split(";")]
        self._secure = b"" if "secure" in words else b"; Secure"
        self._expires = expires
        self._wall = wall
        self._values = cookie_reader(name)
        if expires:
            attributes += "; " if attributes else ""
            attributes += f"Max-Age={max(1, round(expires))}"
        self._attributes = b"; " + attributes.encode("ascii") if attributes else b""

    def read(self, head: RequestHead, ids: Collection[str]) -> bytes | None:
        """The first value the client brought back that binds to one of `ids`, or None."""
        for value in self._values(head)[:_LOOKED_AT]:
            if self._bonds.bound(value, ids) is not None:
                until = self._bonds.until(value)
                if not until or self._wall() < until:
                    return value
        return None

    def set_cookie(
        self, head: RequestHead, node: Node, ids: Collection[str], secure: bool
    ) -> bytes:
        """The Set-Cookie line for a client that `node` has answered, b"" if it has it.

        `secure`: the client uses TLS, so the cookie is to be sent over nothing else.
        """
        held = self.read(head, ids)
        if held is not None:
            until = self._bonds.until(held)
            # One made with an older key is replaced, so that the key can be given up, and
            # one made before there was an end, so that it gets one.
            newest = self._bonds.bond(node.id, until)
            if held == newest and bool(until) is bool(self._expires):
                return b""
        until = 0
        if self._expires:
            until = min(LATEST, ceil(self._wall() + self._expires))
        return b"Set-Cookie: %b=%b%b%b\r\n" % (
            self._name,
            self._bonds.bond(node.id, until),
            self._attributes,
            self._secure if secure else b"",
        )
