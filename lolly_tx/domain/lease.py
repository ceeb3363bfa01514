"""A lease: one use of a node, with one verdict at most and exactly one release.

May import: domain values. Used by: domain.pool (hands them out), proxy.forward (judges and releases them).

The happy path, `succeeded` then `release`, is a few attribute operations: whatever else wants to know is behind
the flags `Node.listening` and `Node.attentive`, which the pool keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.domain.errors import ProxyError
    from lolly_tx.domain.node import Node


class Lease:
    """One use of `node` from `started` (seconds, monotonic) until `release`.

    At most one verdict (`succeeded` or `failed`) counts, and only before the release. A lease released without
    one, because the client went away or the proxy stops, says nothing about the node.
    """

    __slots__ = ("_judged", "_open", "node", "started")

    def __init__(self, node: Node, started: float) -> None:
        self.node = node
        self.started = started
        self._judged = False
        self._open = True

    def __repr__(self) -> str:
        state = "open" if self._open else "released"
        return f"<Lease {self.node.id} {state} since {self.started:.3f}>"

    @property
    def open(self) -> bool:
        """Not yet released."""
        return self._open

    @property
    def on_trial(self) -> bool:
        """It is the one exchange that is to show whether its node is well again."""
        return self.node.trial_lease is self

    def succeeded(
        self, now: float, status: int = 200, seconds: float | None = None
    ) -> None:
        """The node answered with `status`. Statuses the pool's settings call failures are counted as such.

        `seconds`: how long the answer took, when that is not the time since the start of the lease.
        """
        if self._judged:
            return
        self._judged = True
        node = self.node
        stats = node.stats
        if status >= 500:
            stats.errors += 1
        stats.successes += 1
        if seconds is None:
            seconds = now - self.started
        stats.latency_sum += seconds
        if node.listening:
            node.pool.lease_succeeded(self, status, seconds, now)

    def ended(self, now: float, status: int) -> None:
        """`succeeded` and `release` in one: the whole answer came at `now`."""
        node = self.node
        if self._judged or node.listening or node.attentive:
            self.succeeded(now, status)
            self.release(now)
            return
        self._judged = True
        self._open = False
        stats = node.stats
        if status >= 500:
            stats.errors += 1
        stats.successes += 1
        stats.latency_sum += now - self.started
        node.in_flight -= 1

    def failed(self, now: float, error: ProxyError) -> None:
        """The attempt ended with `error`; it is held against the node only if `error.blames`."""
        if self._judged:
            return
        self._judged = True
        if error.blames:
            self.node.pool.lease_failed(self, error, now)

    def soft_eject(self, seconds: float, cause: str, now: float) -> bool:
        """The node asked to be left alone for `seconds` (Retry-After with 429 or 503); whether it will be."""
        return self.node.pool.soft_eject(self.node, seconds, cause, now)

    def beaten(self, now: float) -> None:
        """Another attempt of the same exchange was faster. No verdict, but it would have taken at least this long."""
        finished = self.node.tier.finished
        if finished is not None and not self._judged:
            finished(self.node, max(0.0, now - self.started), True, now)
        self.release(now)

    def release(self, now: float) -> None:
        """Give the node back: at the end of the body, on an error, or on a cancel. Repeating it does nothing."""
        if self._open:
            self._open = False
            self._judged = True
            node = self.node
            node.in_flight -= 1
            if node.attentive:
                node.pool.lease_released(self, now)
