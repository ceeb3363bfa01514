"""The flight recorder: it writes down what decisions are made from, for `lolly replay`.

    exchanges are over --> finished --+
    a check is over    --> checked  --+--> domain.tape, in memory --> service.dumps

Exchanges are written down some at a time (`proxy.endings`); where there is no `[recorder]` they are not even counted.

Imports: domain, domain.checks, domain.retries, proxy. Used by: service,
service.changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import (
    ConnectFailed,
    ConnectionReset,
    ConnectTimedOut,
    ProxyError,
    ResponseTimedOut,
    WriteTimedOut,
)
from lolly_tx.domain.node import Node
from lolly_tx.domain.retries.retry import IDEMPOTENT as REPEATABLE
from lolly_tx.domain.tape import (
    ATTEMPT,
    CHECK,
    CODES,
    IDEMPOTENT,
    LAST,
    OK,
    Tape,
    key_of,
)
from lolly_tx.proxy.endings import Ended
from lolly_tx.proxy.exchange import Exchange

_KEYS = 10_000
"""Nodes whose keys are remembered: those of targets that left are forgotten with the rest."""

_WORDS: Sequence[tuple[type[ProxyError], int]] = (
    (ConnectTimedOut, CODES["unreachable"]),
    (ConnectFailed, CODES["refused"]),
    (ResponseTimedOut, CODES["silent"]),
    (WriteTimedOut, CODES["silent"]),
    (ConnectionReset, CODES["reset"]),
)


OnEnd = Callable[[Any], None]
"""Told of each exchange that is over."""


@attrs.frozen
class _Both:
    """One after the other. It is the same for the same two, so a reload does not take it for a change."""

    first: OnEnd
    second: OnEnd

    def __call__(self, exchange: Any) -> None:
        self.first(exchange)
        self.second(exchange)


class Observer(Protocol):
    """Told of each exchange that is over."""

    @property
    def finished(self) -> OnEnd:
        """What is told."""


def told(*observers: Observer | None) -> OnEnd | None:
    """What exchanges tell of their end at once: who exports spans, who keeps exemplars; None for nobody."""
    log: OnEnd | None = None
    for one in observers:
        if one is not None:
            log = one.finished if log is None else _Both(log, one.finished)
    return log


def code_of(error: ProxyError | None) -> int:
    """What a record says of the end of an attempt; 0 where the target is not to blame."""
    if error is None or not error.blames:
        return 0
    for kind, code in _WORDS:
        if isinstance(error, kind):
            return code
    return CODES["failed"]


class Flight:
    """Writes on `tape`. `column`: of this process among those that have a tape.

    `first`: the number of its first exchange, below 2 ** 26; another one than of who wrote on that tape before.
    """

    def __init__(self, tape: Tape, column: int = 0, first: int = 0) -> None:
        self.tape = tape
        self._write = tape.write
        self._lowest = column % 32 << 27
        self._highest = self._lowest + (1 << 27) - 2
        self._number = self._lowest + first
        self._keys: dict[Node | None, int] = {}

    def finished(self, ended: list[Ended]) -> None:
        """These exchanges are over."""
        keys, write, number = self._keys, self._write, self._number
        for exchange, at in ended:
            number += 1
            if exchange.past:
                self._write_past(exchange, number)
            node = exchange.node
            flags = IDEMPOTENT if exchange.head.method in REPEATABLE else 0
            if exchange.fault is not None or exchange.error is not None:
                flags |= code_of(exchange.fault or exchange.error)
            write(
                at,
                keys.get(node) or self._key(node, exchange),
                number,
                exchange.upstream_seconds,
                at - exchange.started,
                exchange.upstream_status,
                exchange.status,
                LAST,
                flags,
            )
            if number >= self._highest:
                number = self._lowest
        self._number = number

    def _write_past(self, exchange: Exchange, number: int) -> None:
        flags = IDEMPOTENT if exchange.head.method in REPEATABLE else 0
        at = started = exchange.started
        for node, status, seconds, error in exchange.past:
            at += seconds
            self._write(
                at,
                self._key(node, exchange),
                number,
                seconds,
                at - started,
                status,
                0,
                ATTEMPT,
                flags | code_of(error),
            )

    def checked(self, pool: str, node_id: str, found: Observation, now: float) -> None:
        """An active check is over."""
        self._write(
            now,
            key_of(pool, node_id),
            0,
            found.latency or 0.0,
            0.0,
            found.status or 0,
            0,
            CHECK,
            OK if found.ok else _code_of_words(found.cause),
        )

    def _key(self, node: Node | None, exchange: Exchange) -> int:
        keys = self._keys
        pool = exchange.forwarder.pool.name
        if node is None:
            return key_of(pool)
        if node not in keys:
            if len(keys) >= _KEYS:
                keys.clear()
            keys[node] = key_of(pool, node.id)
        return keys[node]


def _code_of_words(cause: str) -> int:
    """What a check met in place of an answer, from its words for people."""
    if "refused" in cause:
        return CODES["refused"]
    return CODES["silent" if cause.startswith("no ") else "failed"]
