"""Outliers: a node that does worse than its peers, found among as few as two.

Imports: nothing of ours. Used by: domain.pool, domain.roster, service.

Errors. All nodes share a rate of errors: that is the hypothesis. What the peers of a node did, k of n failed,
makes our belief about that rate a Beta(k + 1/2, n - k + 1/2). Under it the node's own failures are
Beta-Binomial, and the odds of as many failures as it had, or more, are the p-value. It is an outlier when these
odds are below `false_rate`, and when its rate is also at least `at_least_rate` and `times` that of its peers,
because a tiny difference that is certain is still tiny. No count of hosts and no volume is asked for beyond the
`requests` that bound the work: with little evidence the odds are never small.

False ejections. Each sweep of each node is one test, so under the hypothesis there are at most false_rate x
nodes x sweeps of them: with the default 1e-8, three nodes and a sweep a second, 0.0026 a day. Measured, with
the floors of the rate off: 72 hours of 200 requests per second over three nodes, 1 % and 5 % errors on all,
gave 0.23 to 0.77 of that bound at a false_rate of 1e-3, 1e-4 and 1e-5. With the defaults, 24 hours at 20 and at
200 requests per second and 1 % errors: none.

Latency. A node is slow when the median of its answers is `times_slower` than the median of its peers' medians,
and is further above it than `deviations` times their spread (the median of absolute deviations, taken as at
least a tenth of the median, for among three hosts it is often nearly 0 by chance), and than `at_least_slower`
seconds: where answers take a millisecond, many times as long is a busy moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import exp, lgamma

import attrs

_SAMPLES = 64
"""Latencies kept per node: the median of 64 is within about 16 % of the rank it stands for."""


@attrs.frozen
class OutlierLimits:
    """When a node counts as an outlier; see the module for what the numbers mean. Times are seconds."""

    window: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    interval: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    seconds: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))
    requests: int = 5
    false_rate: float = 1e-8
    at_least_rate: float = 0.1
    times: float = 2.0
    latency: bool = False
    times_slower: float = 3.0
    deviations: float = 5.0
    at_least_slower: float = 0.025
    shadow: bool = False


@attrs.frozen
class Counts:
    """What one node did in a window: `requests` in all, `failures` of them, latencies of some (seconds)."""

    requests: int = 0
    failures: int = 0
    latencies: tuple[float, ...] = ()


@attrs.frozen
class Outlier:
    """One node that stands out, and the `cause` for a person."""

    node_id: str
    cause: str


def at_least_odds(k: int, n: int, peer_k: int, peer_n: int) -> float:
    """The odds of `k` or more failures in `n`, after `peer_k` in `peer_n` of the peers (Beta-Binomial, upper tail)."""
    if k <= 0:
        return 1.0
    a, b = peer_k + 0.5, peer_n - peer_k + 0.5
    log_first = (
        lgamma(n + 1)
        - lgamma(k + 1)
        - lgamma(n - k + 1)
        + lgamma(k + a)
        + lgamma(n - k + b)
        - lgamma(n + a + b)
        + lgamma(a + b)
        - lgamma(a)
        - lgamma(b)
    )
    term = exp(log_first)
    total = 0.0
    for j in range(k, n + 1):
        total += term
        if j < n:
            term *= (n - j) / (j + 1) * (j + a) / (n - j - 1 + b)
            if term < 1e-6 * total:
                break
    return min(1.0, total)


def find_outliers(counts: Mapping[str, Counts], limits: OutlierLimits) -> list[Outlier]:
    """The nodes of `counts` that stand out, the worst first."""
    found: list[tuple[float, Outlier]] = []
    all_requests = sum(c.requests for c in counts.values())
    all_failures = sum(c.failures for c in counts.values())
    for node_id, mine in counts.items():
        n, k = mine.requests, mine.failures
        peer_n, peer_k = all_requests - n, all_failures - k
        if n < limits.requests or not peer_n:
            continue
        rate, peer_rate = k / n, peer_k / peer_n
        if rate < limits.at_least_rate or rate < limits.times * peer_rate:
            continue
        odds = at_least_odds(k, n, peer_k, peer_n)
        if odds < limits.false_rate:
            cause = (
                f"outlier: {k} of {n} failed, {peer_k} of {peer_n} at its peers "
                f"(odds by chance {odds:.0e})"
            )
            found.append((odds, Outlier(node_id, cause)))
    found.sort(key=lambda pair: pair[0])
    outliers = [outlier for _, outlier in found]
    if limits.latency:
        known = {outlier.node_id for outlier in outliers}
        outliers += [o for o in find_slow(counts, limits) if o.node_id not in known]
    return outliers


def find_slow(counts: Mapping[str, Counts], limits: OutlierLimits) -> list[Outlier]:
    """The nodes whose answers take far longer than their peers', the slowest first."""
    medians = {
        node_id: _median(c.latencies)
        for node_id, c in counts.items()
        if len(c.latencies) >= limits.requests
    }
    found = []
    for node_id, mine in medians.items():
        peers = [m for other, m in medians.items() if other != node_id]
        if not peers:
            continue
        usual = _median(peers)
        spread = _median([abs(m - usual) for m in peers])
        spread = max(spread, usual / 10)
        more = max(limits.deviations * spread, limits.at_least_slower)
        if mine > limits.times_slower * usual and mine > usual + more:
            cause = f"outlier: median {_ms(mine)}, {_ms(usual)} at its peers"
            found.append((-mine, Outlier(node_id, cause)))
    found.sort(key=lambda pair: pair[0])
    return [outlier for _, outlier in found]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _median(values: tuple[float, ...] | list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


class _Window:
    """The counts of one node: this window's and the last one's, so a sweep sees one to two windows."""

    __slots__ = ("failures", "latencies", "old_failures", "old_requests", "requests")

    def __init__(self) -> None:
        self.requests = self.failures = 0
        self.old_requests = self.old_failures = 0
        self.latencies: deque[float] = deque(maxlen=_SAMPLES)

    def turn(self) -> None:
        self.old_requests, self.old_failures = self.requests, self.failures
        self.requests = self.failures = 0


class OutlierDetector:
    """Counts what nodes do, and sweeps."""

    def __init__(self, limits: OutlierLimits, now: float) -> None:
        self.limits = limits
        self.next_sweep = now + limits.interval
        self._turn_at = now + limits.window
        self._windows: dict[str, _Window] = {}

    def record(
        self, node_id: str, failed: bool, seconds: float, timed: bool = True
    ) -> None:
        """One exchange ended; `timed`: its `seconds` say how long the node took."""
        window = self._windows.get(node_id)
        if window is None:
            window = self._windows[node_id] = _Window()
        window.requests += 1
        if failed:
            window.failures += 1
        elif timed:
            window.latencies.append(seconds)

    def forget(self, node_id: str) -> None:
        """The node was ejected, came back or left: it starts afresh."""
        self._windows.pop(node_id, None)

    def sweep(self, now: float) -> list[Outlier]:
        """Who stands out at `now`; to be called from `next_sweep` on."""
        limits = self.limits
        self.next_sweep = now + limits.interval
        counts = {
            node_id: Counts(
                w.requests + w.old_requests,
                w.failures + w.old_failures,
                tuple(w.latencies) if limits.latency else (),
            )
            for node_id, w in self._windows.items()
        }
        if now >= self._turn_at:
            self._turn_at = now + limits.window
            for window in self._windows.values():
                window.turn()
        return find_outliers(counts, limits)
