"""Traces: what became of single exchanges, each try with its candidates, kept in memory.

An exchange that is traced has a `Trace`, which its forwarder gives it before it begins. Where the configuration asks
for no traces there is nobody to ask, and the way of a request is the short one.

Imports: domain, net, wire. Used by: proxy.exchange, proxy.forwarder, proxy.streams,
service.
"""

from __future__ import annotations

import hmac
import re
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.net.doors import Peer
from lolly_tx.wire.fields import RequestBlock
from lolly_tx.wire.message import RequestHead


class Traced(Protocol):
    """What a trace tells of an exchange."""

    head: RequestHead
    started: float
    status: int
    bytes_in: int
    bytes_out: int
    error: ProxyError | None
    node: Node | None

    @property
    def peer(self) -> Peer:
        """Who sent it."""


class Traces:
    """Decides who is traced, and keeps the last `keep` traces.

    `sample`: share of the exchanges, 0..1. `header`: the field that asks for a trace when its value is `token`;
    "" for none. `wall`: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        sample: float,
        header: str,
        token: str,
        keep: int,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self.sample = sample
        self.header = header.lower().encode("ascii") if token else b""
        self.count = 0
        """Traces made since the start."""
        self.wall = wall
        self._token = token.encode("latin-1")
        self._random = random
        self._kept: deque[dict[str, Any]] = deque(maxlen=keep)
        self._line = re.compile(rb"(?i)\n%b:[^\n]*(?=\n)" % re.escape(self.header))

    def __repr__(self) -> str:
        return f"<Traces {len(self._kept)} of {self.count}>"

    @property
    def on(self) -> bool:
        """Whether any exchange may be traced."""
        return bool(self.sample or self.header)

    def wants(self, head: RequestHead) -> str:
        """Why `head` is traced: "header", "sample", or "" when it is not."""
        if self.header:
            given = head.block.get(self.header)
            if given is not None and hmac.compare_digest(given, self._token):
                return "header"
        if self.sample and self._random.random() < self.sample:
            return "sample"
        return ""

    def without_header(self, block: RequestBlock) -> RequestBlock:
        """The same fields without the token, which no target may see."""
        raw, kept = block.raw, block.kept
        return block.like(self._line.sub(b"", kept), self._line.sub(b"", raw))

    def consider(
        self, head: RequestHead, now: float
    ) -> tuple[RequestHead, Trace | None]:
        """`head` as it is to be sent, and its trace if it is to have one."""
        why = self.wants(head)
        if not why:
            return head, None
        if why == "header":
            head = head.with_block(self.without_header(head.block))
        return head, Trace(why, now)

    def add(self, exchange: Traced, trace: Trace, pool: str, now: float) -> None:
        """`exchange` of `pool` is over: keep its trace, under the next number."""
        self.count += 1
        head, error = exchange.head, exchange.error
        self._kept.append(
            {
                "number": self.count,
                "at": round(self.wall(), 3),
                "because": trace.why,
                "pool": pool,
                "listener": exchange.peer.listener,
                "client": exchange.peer.address,
                "method": head.method.decode("latin-1"),
                "host": head.block.host.decode("latin-1"),
                # The query may hold secrets.
                "path": head.target.partition(b"?")[0].decode("latin-1"),
                "status": exchange.status,
                "target": exchange.node.id if exchange.node is not None else None,
                "took_ms": round((now - exchange.started) * 1000, 3),
                "bytes_in": exchange.bytes_in,
                "bytes_out": exchange.bytes_out,
                "error": None if error is None else error.token,
                "tries": trace.tries,
            }
        )

    def take(self, trace: dict[str, Any]) -> None:
        """Keep one that another process made, under the next number here."""
        self.count += 1
        self._kept.append({**trace, "number": self.count})

    def latest(self) -> list[dict[str, Any]]:
        """Those that are kept, oldest first."""
        return list(self._kept)


class Trace:
    """What happens to one exchange. `why`: it is traced. `tries`: one note each, so far."""

    def __init__(self, why: str, started: float) -> None:
        self.why = why
        self.tries: list[dict[str, Any]] = []
        self._started = started

    def acquire(
        self,
        pool: Pool,
        now: float,
        key: bytes | None,
        tried: tuple[Node, ...],
        bond: bytes | None,
        avoid: tuple[Node, ...],
    ) -> Lease:
        """As `Pool.acquire`, after a note of who could have been chosen."""
        note: dict[str, Any] = {
            "after_ms": round((now - self._started) * 1000, 3),
            "candidates": pool.explain(now, key, bond),
            "tried": [node.id for node in tried],
            "choice": None,
        }
        self.tries.append(note)
        try:
            lease = pool.acquire(now, key, tried, bond, avoid)
        except NoTarget as error:
            note["refused"] = error.detail or type(error).__name__
            raise
        note["choice"] = lease.node.id
        return lease

    def failed(self, node: Node, error: ProxyError) -> None:
        """The attempt at `node` has failed."""
        for note in self.tries:
            # No node is tried twice, and a hedge has a note of its own.
            if note["choice"] == node.id:
                note["failed"] = error.detail or type(error).__name__
