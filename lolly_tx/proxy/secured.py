"""What stands before the proxy of a TLS listener whose settings ask for it.

Names of a policy of their own: who asked for one of them gets nothing but their site, and nobody
else gets that. And fields that tell targets what TLS knows of a client: nobody but this proxy sets
those.

Chosen when the listener is made, so that others never ask.

Imports: domain.routing, net, proxy, wire. Used by: service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs

from lolly_tx.domain.routing.hosts import host_name
from lolly_tx.net.doors import BodyStart, DoorIn, Peer
from lolly_tx.net.tls_facts import asked_for, facts_of_peer
from lolly_tx.proxy.proxy import Proxy
from lolly_tx.wire.errors import BadMessage
from lolly_tx.wire.message import RequestHead

_UNSAFE = re.compile(r"[^ -~]|%")


class SecuredSite:
    """`net.http1.shared.Site` before `proxy`.

    `site_of(name)`: what a name has of its own; None: no name has. `fields`: what of
    `tls_facts.Facts` each of these fields carries; one that has nothing to say is not sent.
    """

    def __init__(
        self,
        proxy: Proxy,
        site_of: Callable[[str], object] | None,
        fields: Mapping[str, str],
    ) -> None:
        self.proxy = proxy
        self.refused: Callable[[DoorIn, BadMessage, bool], None] = proxy.refused
        self._site_of = site_of
        self._fields = [(name.encode("ascii"), fact) for name, fact in fields.items()]
        self._ours = frozenset(
            name.lower().replace(b"_", b"-") for name, _ in self._fields
        )

    def open_exchange(self, door: DoorIn, head: RequestHead, start: BodyStart) -> None:
        """See `net.http1.shared.Site`."""
        site_of = self._site_of
        if site_of is not None:
            host = head.block.host
            name = host_name(host) if host else ""
            if site_of(name) is not site_of(asked_for(door.peer.transport)):
                self.proxy.misdirected(door, head)
                return
        if self._ours:
            block = head.block.without_fields(self._ours)
            if block is not head.block:
                head = head.with_block(block)
        self.proxy.open_exchange(door, head, start)

    def introduce(self, peer: Peer, head: RequestHead) -> bytes:
        """See `net.http1.shared.Site`."""
        lines = self.proxy.introduce(peer, head)
        facts = facts_of_peer(peer) if self._fields else None
        if facts is None:
            return lines
        said = attrs.asdict(facts)
        return lines + b"".join(
            b"%b: %b\r\n" % (name, _value(said[fact]))
            for name, fact in self._fields
            if said[fact]
        )


def _value(text: str) -> bytes:
    """`text` for a field: what is not printable ASCII, and "%", as %XX of UTF-8."""
    return _UNSAFE.sub(
        lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), text
    ).encode("ascii")
