"""Who a request is, for those who look for it in several logs: its request id, and its place in a trace.

Imports: domain.access, net, wire. Used by: proxy, proxy.chains, proxy.files,
proxy.middleware, proxy.records, service, service.records.

Only made where the settings ask for it. What a client says itself is taken out of what its target gets, also where it
counts: one line, by us.
"""

from __future__ import annotations

import re
from random import Random

from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.net.doors import Peer
from lolly_tx.wire.message import RequestHead
from lolly_tx.wire.traceparent import context_line, trace_context, trace_state

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")

_RATIO_BITS = 56
"""Of a trace id that decide whether it is kept: all who go by them decide alike."""


class Identity:
    """Of one exchange. What is not known is b"". `sampled`: its span is kept.

    `lines`: what its target is told of it. `echo`: what its client is.
    """

    __slots__ = (
        "echo",
        "lines",
        "parent_id",
        "request_id",
        "sampled",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(self) -> None:
        self.request_id = self.lines = self.echo = b""
        self.trace_id = self.span_id = self.parent_id = self.state = b""
        self.sampled = False


class RequestIds:
    """Gives each request an id, or takes over what a trusted peer says. `header`: the field. `trusted`: peers.

    `anybody`: a client's word is taken whoever it is. `echo`: clients are told.
    """

    def __init__(
        self,
        header: str,
        trusted: TrustedPeers,
        random: Random,
        *,
        anybody: bool = False,
        echo: bool = True,
    ) -> None:
        self.field = header.lower().encode("ascii")
        self.echo = echo
        self._line = header.encode("ascii") + b": %b\r\n"
        self._trusted = trusted
        self._anybody = anybody
        self._bits = random.getrandbits

    def mark(self, identity: Identity, head: RequestHead, peer: Peer) -> None:
        """Let `identity` have the id of the request."""
        id = b""
        if self._anybody or peer.address in self._trusted:
            given = head.block.get_all(self.field)
            if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]):
                id = given[0]
        identity.request_id = id = id or b"%032x" % self._bits(128)
        line = self._line % id
        identity.lines += line
        if self.echo:
            identity.echo = line


class Tracing:
    """Continues the traces that requests belong to, and begins new ones. `begin`: where there is none.

    `sample`: share of traces whose spans are kept. A sender's word that it keeps none is taken; that it keeps one is
    when the peer is `trusted`, else `sample` decides.
    """

    def __init__(
        self, trusted: TrustedPeers, random: Random, *, begin: bool, sample: float
    ) -> None:
        self._trusted = trusted
        self._begin = begin
        self._most = int(sample * (1 << _RATIO_BITS))
        self._bits = random.getrandbits

    def mark(self, identity: Identity, head: RequestHead, peer: Peer) -> None:
        """Let `identity` have a span of a trace."""
        block = head.block
        before = trace_context(block.get_all(b"traceparent"))
        if before is not None:
            identity.trace_id, identity.parent_id, sampled = before
            identity.state = trace_state(block.get_all(b"tracestate"))
            if sampled and peer.address not in self._trusted:
                sampled = self._keeps(before.trace_id)
        elif self._begin:
            identity.trace_id = b"%032x" % (self._bits(128) | 1)
            sampled = self._keeps(identity.trace_id)
        else:
            return
        identity.sampled = sampled
        identity.span_id = b"%016x" % (self._bits(64) | 1)
        identity.lines += context_line(identity.trace_id, identity.span_id, sampled)
        if identity.state:
            identity.lines += b"tracestate: %b\r\n" % identity.state

    def _keeps(self, trace_id: bytes) -> bool:
        return int(trace_id[-_RATIO_BITS // 4 :], 16) < self._most


class Identities:
    """Makes the identity of each request. `ids`, `tracing`: None where that is not asked for."""

    def __init__(self, ids: RequestIds | None, tracing: Tracing | None) -> None:
        self._ids = ids
        self._tracing = tracing
        fields = {b"traceparent", b"tracestate"} if tracing is not None else set()
        self._ours = frozenset(fields | ({ids.field} if ids is not None else set()))
        self.echo_field = ids.field if ids is not None and ids.echo else b""
        """The field that clients are told by, lower case; b"" for none."""

    def of(self, head: RequestHead, peer: Peer) -> Identity:
        """That of the request with `head`."""
        identity = Identity()
        if self._ids is not None:
            self._ids.mark(identity, head, peer)
        if self._tracing is not None:
            self._tracing.mark(identity, head, peer)
        return identity

    def without(self, head: RequestHead) -> RequestHead:
        """`head` without what its client says of this itself."""
        block = head.block.without_fields(self._ours)
        return head if block is head.block else head.with_block(block)
