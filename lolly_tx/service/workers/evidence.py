"""What workers saw of targets, reported to the process that judges: one `max_fails` for all of them together.

    worker: Verdicts.elsewhere -> Outbox --(a message)--> supervisor: hear -> Verdicts.ended

A failure is sent at once. Successes are sent only while they could change something (`Facts.heard`) and wait a moment
for others, in front of any failure that comes after them.

Imports: domain, Twisted. Used by: service.workers.supervisor, service.workers.worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lolly_tx.domain import errors
from lolly_tx.domain.errors import ProxyError, UpstreamError
from lolly_tx.domain.node import Node, Use
from lolly_tx.domain.outcomes import Outcome
from lolly_tx.domain.pool import Pool

SOON_SECONDS = 0.02
"""How long a success may wait to be sent with others."""

Entry = list[Any]


class Outbox:
    """Collects what is seen at the nodes of a worker. `send`: takes entries, oldest first."""

    def __init__(
        self, clock: IReactorTime, send: Callable[[list[Entry]], None]
    ) -> None:
        self._clock = clock
        self._send = send
        self._entries: list[Entry] = []
        self._timer: IDelayedCall | None = None
        self._urgent = False

    def watch(self, pool: Pool) -> None:
        """Report what is seen of the nodes of `pool`, in place of judging it."""
        pool.verdicts.elsewhere = partial(self._seen, pool.name)

    def _seen(
        self, pool: str, lease: Use, outcome: Outcome, now: float, head: bool
    ) -> None:
        node = lease.node
        accrual = node.accrual
        if (
            outcome.ok
            and node.ejection == "up"
            and accrual is not None
            and accrual.clean
        ):
            return
        error = outcome.error
        self._entries.append(
            [
                pool,
                node.id,
                now,
                lease.started,
                lease.asked,
                0 if head else lease.status,
                outcome.ok,
                outcome.status,
                outcome.seconds,
                None if error is None else [type(error).__name__, error.detail],
            ]
        )
        urgent = not outcome.ok or node.ejection == "trial"
        if urgent and not self._urgent:
            self._rest()
            self._urgent = True
            self._timer = self._clock.callLater(0, self.flush)
        elif self._timer is None:
            self._timer = self._clock.callLater(SOON_SECONDS, self.flush)

    def flush(self) -> None:
        """Send what there is."""
        self._rest()
        entries, self._entries = self._entries, []
        if entries:
            self._send(entries)

    def _rest(self) -> None:
        timer, self._timer = self._timer, None
        self._urgent = False
        if timer is not None and timer.active():
            timer.cancel()


class ReportedUse:
    """A lease that a worker had (`domain.node.Use`)."""

    def __init__(
        self, node: Node, started: float, asked: float, status: int, seconds: float
    ) -> None:
        self.node = node
        self.started = started
        self.asked = asked
        self.status = status
        self.seconds = seconds

    @property
    def on_trial(self) -> bool:
        """It is to show whether its node is well again."""
        node = self.node
        return node.ejection == "trial" and self.started >= node.ejected_until

    def succeeded(self, now: float, status: int = 200) -> None:
        """Reported by its end."""


def hear(pools: Mapping[str, Pool], entries: list[Entry]) -> list[Node]:
    """Judge what workers saw; the nodes that it was about. Those who left in the meantime are passed over."""
    nodes = []
    for (
        pool_name,
        node_id,
        at,
        started,
        asked,
        begun,
        ok,
        status,
        seconds,
        error,
    ) in entries:
        pool = pools.get(pool_name)
        node = pool.nodes.get(node_id) if pool is not None else None
        if pool is None or node is None:
            continue
        pool.available(at)  # what time has brought comes first
        use = ReportedUse(node, started, asked, begun, seconds)
        what = None if error is None else _error(*error)
        pool.verdicts.ended(use, Outcome(ok, what, status, seconds), at)
        nodes.append(node)
    return nodes


def _error(name: str, detail: str) -> ProxyError:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, ProxyError)):
        kind = UpstreamError  # of a plugin's
    return kind(detail)
