"""A lease: one use of a node, with one verdict at most and exactly one release.

    asked ----------> answered ----------> ended, failed, or released
      the node's time    the head             the rest of the answer

The node's time runs from the moment it has the whole request to the head of its answer; what is before and after
goes at the pace of the client. So latency is what lies between, and a trial is decided by the head. Failures
are counted to the end: an answer that breaks off is one.

Imports: domain. Used by: domain.pool, domain.retries, net.datagrams, net.library,
net.streams, proxy, proxy.streams, simulate, testing.

The happy path, `ended`, is a few attribute operations: whatever else wants to know is behind the flags
`Node.listening` and `Node.attentive`, which the pool keeps.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from lolly_tx.domain.errors import OutOfResources, ProxyError
from lolly_tx.domain.histogram import BOUNDS, QUICK
from lolly_tx.domain.node import Node
from lolly_tx.domain.outcomes import is_server_error

WAITING: Final = float("inf")
"""`Lease.asked` while it is the client who has to move."""


class Lease:
    """One use of `node` from `started` (seconds, monotonic) until `release`.

    `asked`: since when the node owes an answer, `started` unless somebody says otherwise; `WAITING` while it has
    not got the whole request. `status`: of the answer, 0 before its head. `seconds`: from `asked` to the head,
    0 for an answer that came before the node was asked all.

    At most one verdict (`succeeded` or `failed`) counts, and only before the release. A lease released without
    one is a success when its answer had begun; else, because the client went away or the proxy stops, it says
    nothing about the node.
    """

    __slots__ = ("_judged", "_open", "asked", "node", "seconds", "started", "status")

    seconds: float

    def __init__(self, node: Node, started: float) -> None:
        self.node = node
        self.started = self.asked = started
        self.status = 0
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
        """It is to show whether its node is well again."""
        node = self.node
        return node.ejection == "trial" and self.started >= node.ejected_until

    def answered(self, now: float, status: int) -> None:
        """The head of an answer with `status` has come; the rest may take as long as the client likes.

        Statuses the pool's settings call failures are counted as such, at once. Repeating it does nothing.
        """
        if self.status or self._judged:
            return
        self.status = status
        self.seconds = max(0.0, now - self.asked)
        node = self.node
        if node.listening:
            node.pool.lease_answered(self, now)

    def forgive(self, seconds: float, now: float) -> None:
        """The proxy stood still: so much of the time since `asked` is not the node's."""
        if self.asked < now:
            self.asked = min(self.asked + seconds, now)

    def succeeded(self, now: float, status: int = 200) -> None:
        """The node did its part, and answered with `status` if its head was not `answered` before."""
        self.answered(now, status)
        if self._judged:
            return
        self._judged = True
        node = self.node
        stats = node.stats
        if self.status >= 500:
            stats.errors += 1
        stats.successes += 1
        stats.latency_sum += self.seconds
        if self.seconds > QUICK:
            stats.slower[bisect_left(BOUNDS, self.seconds)] += 1
        if node.listening:
            node.pool.lease_succeeded(self, now)

    def ended(self, now: float, status: int) -> None:
        """The whole answer has come: `succeeded` and `release` in one."""
        node = self.node
        if self.status or self._judged or node.listening or node.attentive:
            self.succeeded(now, status)
            completed = node.tier.completed
            if completed is not None and self._open:
                seconds = max(0.0, now - self.asked)
                completed(node, seconds, not is_server_error(status), now)
            self.release(now)
            return
        self._judged = True
        self._open = False
        stats = node.stats
        if status >= 500:
            stats.errors += 1
        stats.successes += 1
        seconds = now - self.asked
        stats.latency_sum += seconds
        if seconds > QUICK:
            stats.slower[bisect_left(BOUNDS, seconds)] += 1
        node.in_flight -= 1

    def failed(self, now: float, error: ProxyError) -> None:
        """The attempt ended with `error`; it is held against the node only if `error.blames`."""
        if self._judged:
            return
        if not error.blames:
            if isinstance(error, OutOfResources):
                self.node.pool.lease_starved(error)
            return
        self._judged = True
        self.node.pool.lease_failed(self, error, now)

    def beaten(self, now: float) -> None:
        """Another attempt of the same exchange was faster. No verdict, but it would have taken at least this long."""
        tell = self.node.tier.tell
        if tell is not None and not self._judged:
            tell(self.node, max(0.0, now - self.asked), True, now)
        self.release(now)

    def release(self, now: float) -> None:
        """Give the node back: at the end of the body, on an error, or on a cancel. Repeating it does nothing."""
        if self._open:
            if self.status and not self._judged:
                self.succeeded(now)
            self._open = False
            self._judged = True
            node = self.node
            node.in_flight -= 1
            if node.attentive:
                node.pool.lease_released(self, now)
