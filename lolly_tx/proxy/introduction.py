"""What backends are told of a client and of ourselves: the lines added to every request.

Imports: domain, domain.access, net, wire. Used by: proxy.forwards, proxy.health,
proxy.proxy, service, service.records.
"""

from __future__ import annotations

from collections.abc import Sequence

from lolly_tx.domain.access.forwarded import (
    SENT,
    X_REAL_IP,
    TrustedPeers,
    forwarding_lines,
    original_client,
)
from lolly_tx.domain.native import mypyc_attr
from lolly_tx.net.doors import Peer
from lolly_tx.wire.http1 import hop_line, via_lines
from lolly_tx.wire.message import RequestHead


@mypyc_attr(allow_interpreted_subclasses=True)
class Introduction:
    """Says who sends a request.

    `trusted`: peers whose word on the client is taken. `sent`: the forwarding fields that
    targets get. `via`: our name in Via, "" = no such field. `hop`: the name that our own
    requests are known by when they come back, b"" = none.
    """

    def __init__(
        self,
        trusted: TrustedPeers,
        sent: Sequence[str] = SENT,
        via: str = "",
        hop: bytes = b"",
    ) -> None:
        self.hop = hop
        self.go_by(trusted, sent, via)

    def go_by(self, trusted: TrustedPeers, sent: Sequence[str], via: str) -> None:
        """Say it so from the next request on."""
        self.trusted = trusted
        self.sent = sent
        self.via = via
        self._sends_client = X_REAL_IP in sent
        hop = self.hop
        mark = hop_line(hop) if hop else b""
        # By the version in which the request came.
        self._last = {v: line + mark for v, line in via_lines(via).items()}

    def lines(self, peer: Peer, head: RequestHead) -> bytes:
        """The lines for `head`, each with its CRLF."""
        address, block = peer.address, head.block
        received = block.forwarded
        first = self.client_of(peer, head) if self._sends_client and received else ""
        lines = forwarding_lines(
            address,
            peer.secure,
            block.host,
            received,
            address in self.trusted,
            client=first,
            sent=self.sent,
        )
        return lines + self._last[head.version]

    def client_of(self, peer: Peer, head: RequestHead) -> str:
        """The address of the client, believing trusted proxies only."""
        received = head.block.forwarded
        if not received:
            return peer.address
        return original_client(peer.address, received, self.trusted)
