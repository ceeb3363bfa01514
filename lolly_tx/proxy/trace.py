"""Traces: what became of single exchanges, each try with its candidates, kept in memory.

A pool whose exchanges may be traced has a `TracingForwarder` in place of the plain one; that is decided when the
configuration is loaded, so that without traces nothing is asked on the way of a request.

May import: domain, wire, proxy. Used by: service.pools, the admin API (`/api/traces`).
"""

from __future__ import annotations

import hmac
import re
from collections import deque
from collections.abc import Callable
from copy import copy
from random import Random
from typing import Any

from lolly_tx.domain.errors import NoTarget, ProxyError
from lolly_tx.domain.lease import Lease
from lolly_tx.net.doors import DoorIn
from lolly_tx.proxy.exchange import Exchange
from lolly_tx.proxy.forward import Forwarder
from lolly_tx.wire.http1 import RequestBlock, RequestHead


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
        changed = copy(block)
        changed.raw = self._line.sub(b"", block.raw)
        changed.kept = self._line.sub(b"", block.kept)
        return changed

    def add(self, trace: dict[str, Any]) -> None:
        """Keep one, under the next number."""
        self.count += 1
        trace["number"] = self.count
        self._kept.append(trace)

    def latest(self) -> list[dict[str, Any]]:
        """Those that are kept, oldest first."""
        return list(self._kept)


class TracedExchange(Exchange):
    """An exchange that notes what happens to it. `notes`: its tries so far."""

    __slots__ = ("notes", "why")

    def __init__(self, why: str, *args: Any) -> None:
        super().__init__(*args)
        self.why = why
        self.notes: list[dict[str, Any]] = []

    def _attempt_failed(self, error: ProxyError) -> None:
        self._note(error)
        super()._attempt_failed(error)

    def _leave(self, error: ProxyError, another: Lease, now: float) -> None:
        self._note(error)
        super()._leave(error, another, now)

    def _note(self, error: ProxyError) -> None:
        node = self.node.id if self.node is not None else ""
        for note in self.notes:
            # No node is tried twice, and a hedge has a note of its own.
            if note["choice"] == node:
                note["failed"] = error.detail or type(error).__name__


class TracingForwarder(Forwarder):
    """A forwarder some of whose exchanges are traced; set `traces` before the first of them."""

    traces: Traces

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.keyless = False  # or acquisitions would pass us by

    def open_exchange(
        self,
        door: DoorIn,
        head: RequestHead,
        body: bytes,
        trailers: bytes,
        complete: bool,
    ) -> Exchange:
        """Begin an exchange, and note its way if it is to be traced."""
        why = self.traces.wants(head)
        if not why:
            return super().open_exchange(door, head, body, trailers, complete)
        if why == "header":
            head = head.with_block(self.traces.without_header(head.block))
        exchange = TracedExchange(why, self, door, head, body, trailers, complete)
        exchange.begin()
        return exchange

    def acquire(self, exchange: Exchange, now: float) -> Lease:
        """A lease, after a note of who could have been chosen."""
        if not isinstance(exchange, TracedExchange):
            return super().acquire(exchange, now)
        key = self.key_of(exchange)
        sticky, nodes = self.sticky, self.pool.nodes
        bond = sticky.read(exchange.head, nodes) if sticky is not None else None
        note: dict[str, Any] = {
            "after_ms": round((now - exchange.started) * 1000, 3),
            "candidates": self.pool.explain(now, key, bond),
            "tried": [node.id for node in exchange.tried],
            "choice": None,
        }
        exchange.notes.append(note)
        try:
            lease = super().acquire(exchange, now)
        except NoTarget as error:
            note["refused"] = error.detail or type(error).__name__
            raise
        note["choice"] = lease.node.id
        return lease

    def record(self, exchange: Exchange) -> None:
        """An exchange is over."""
        super().record(exchange)
        if isinstance(exchange, TracedExchange):
            self.traces.add(self._trace(exchange))

    def _trace(self, exchange: TracedExchange) -> dict[str, Any]:
        head, error = exchange.head, exchange.error
        return {
            "at": round(self.traces.wall(), 3),
            "because": exchange.why,
            "pool": self.pool.name,
            "listener": exchange.door.listener,
            "client": exchange.door.client,
            "method": head.method.decode("latin-1"),
            "host": head.block.host.decode("latin-1"),
            # The query may hold secrets.
            "path": head.target.partition(b"?")[0].decode("latin-1"),
            "status": exchange.status,
            "target": exchange.node.id if exchange.node is not None else None,
            "took_ms": round((self.now() - exchange.started) * 1000, 3),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "error": None if error is None else error.token,
            "tries": exchange.notes,
        }
