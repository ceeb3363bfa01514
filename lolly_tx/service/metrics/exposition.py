"""Metrics, read from what the running proxy counts anyway, as text in slices.

    statistics() --once--> of pools, listeners, processes      nodes --a few hundred at a time--> of targets

The text of a thousand targets takes some milliseconds, so that it is made slice by slice, and the event loop has its
turn between them. A target's labels are written once, when it is first met. With workers the numbers of them all are in
the supervisor's own pools (`service.workers.counting`), and what is read here is the same.

Imports: domain, domain.checks, service, service.metrics, service.process, wire. Used
by: service.admin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from lolly_tx.domain.checks.health import CheckResult
from lolly_tx.domain.histogram import filled_in
from lolly_tx.domain.node import EjectionKind, Node, NodeStats
from lolly_tx.domain.pool import Pool
from lolly_tx.service.metrics import families as f
from lolly_tx.service.metrics.readings import (
    no_exemplars,
    of_caches,
    of_certificates,
    of_discoveries,
    of_listeners,
    of_pools,
    of_processes,
    of_stores,
    of_tunnels,
)
from lolly_tx.service.process.procfs import Processes, processes
from lolly_tx.service.serving import Serving
from lolly_tx.wire.exposition import END, Family, filled

AT_ONCE = 100
"""Targets in one slice: less than a millisecond."""

T = TypeVar("T")
Targets = Sequence[tuple[Node, str]]

_NODE_NUMBERS: tuple[tuple[Family, Callable[[Node], float]], ...] = (
    (f.TARGET_UP, lambda node: int(node.well)),
    (f.TARGET_AVAILABLE, lambda node: int(node.available)),
    (f.IN_FLIGHT, lambda node: node.in_flight),
    (f.TARGET_REQUESTS, lambda node: node.stats.requests),
    (f.TARGET_ERRORS, lambda node: node.stats.errors),
)
_KINDS = ("connect", "timeout", "reset", "other")
_POLICIES: tuple[EjectionKind, ...] = ("passive", "connect", "outlier", "fleet")
_RESULTS: tuple[CheckResult, ...] = ("success", "failure", "drain")


def _failures(stats: NodeStats) -> tuple[int, int, int, int]:
    known = stats.connect_failures + stats.timeouts + stats.resets
    other = max(0, stats.failures - known)
    return stats.connect_failures, stats.timeouts, stats.resets, other


_NODE_WORDS: tuple[
    tuple[Family, tuple[str, ...], Callable[[NodeStats], Iterable[int]]], ...
] = (
    (
        f.TARGET_BYTES,
        ("in", "out"),
        lambda stats: (stats.bytes_in, stats.bytes_out),
    ),
    (f.TARGET_FAILURES, _KINDS, _failures),
    (
        f.EJECTIONS,
        _POLICIES,
        lambda stats: [stats.ejected.get(each, 0) for each in _POLICIES],
    ),
)


class Metrics:
    """See the module. `read`: what the kernel says of processes."""

    def __init__(
        self,
        serving: Serving,
        now: Callable[[], float],
        read: Callable[[Iterable[int]], Processes] = processes,
    ) -> None:
        self._serving = serving
        self._now = now
        self._read = read
        self._labels: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        self._forms: WeakKeyDictionary[Node, str] = WeakKeyDictionary()

    def slices(self, openly: bool) -> Iterator[str]:
        """All of it, a part at each step. `openly`: as OpenMetrics."""
        serving = self._serving
        pools = tuple(serving.pools.values())
        now = self._now()
        for part in _parts(pools):
            for pool in part:
                pool.available(now)  # what time has brought is to be told as well
            yield ""
        telling = serving.telling()
        while True:
            try:
                next(telling)
            except StopIteration as all_of_it:
                told = all_of_it.value
                break
            yield ""
        exemplars = serving.exemplars if openly else no_exemplars
        yield from _shown(of_pools(told["pools"], pools, exemplars), openly)
        yield from _shown(of_listeners(told["listeners"], told["pools"]), openly)
        yield from self._of_targets(pools, openly)
        certificates = of_certificates(
            serving.expiries(), told.get("acme"), told.get("ocsp")
        )
        yield from _shown(certificates, openly)
        yield from _shown(of_caches(told), openly)
        yield from _shown(of_stores(told), openly)
        yield from _shown(of_tunnels(told), openly)
        found = of_discoveries(serving.discoveries, serving.pools)
        yield from _shown(found, openly)
        yield from _shown(of_processes(told, self._read), openly)
        if openly:
            yield END

    def _of_targets(self, pools: Iterable[Pool], openly: bool) -> Iterator[str]:
        """Families first: all samples of one have to stand together."""
        all_of_them: list[tuple[Node, str]] = []
        checked: list[tuple[Node, str]] = []
        begun = 0
        for pool in pools:
            nodes = tuple(pool.nodes.values())
            some = checked if any(node.stats.checks for node in nodes) else None
            for some_of_them in _parts(nodes):
                labelled = [(one, self._labels_of(one)) for one in some_of_them]
                all_of_them += labelled
                if some is not None:
                    some += labelled
                if len(all_of_them) >= begun + AT_ONCE:
                    begun = len(all_of_them)
                    yield ""
        for family, number in _NODE_NUMBERS:
            yield family.head(openly)
            name = family.name
            for part in _parts(all_of_them):
                yield "".join(
                    [f"{name}{{{labels}}} {number(node)}\n" for node, labels in part]
                )
        for family, words, numbers in _NODE_WORDS:
            yield from _by_word(family, words, numbers, all_of_them, openly)
        yield from _by_word(f.CHECKS, _RESULTS, _results, checked, openly)
        yield f.UPSTREAM_SECONDS.head(openly)
        for part in _parts(all_of_them):
            yield "".join([self._latencies(node, labels) for node, labels in part])

    def _latencies(self, node: Node, labels: str) -> str:
        form = self._forms.get(node)
        if form is None:
            form = self._forms[node] = f.UPSTREAM_SECONDS.form(labels)
        stats = node.stats
        counts = filled_in(stats.successes, stats.slower)
        return filled(form, counts, stats.latency_sum)

    def _labels_of(self, node: Node) -> str:
        found = self._labels.get(node)
        if found is None:
            found = f.TARGET_UP.of(node.pool.name, node.id)
            self._labels[node] = found
        return found


def _results(stats: NodeStats) -> list[int]:
    return [stats.checks.get(each, 0) for each in _RESULTS]


def _parts(members: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(members), AT_ONCE):
        yield members[first : first + AT_ONCE]


def _by_word(
    family: Family,
    words: tuple[str, ...],
    numbers: Callable[[NodeStats], Iterable[int]],
    targets: Targets,
    openly: bool,
) -> Iterator[str]:
    """A family with one more label than a target has."""
    if not targets:
        return
    yield family.head(openly)
    name, last = family.name, family.labels[-1]
    said = [f'{last}="{word}"' for word in words]
    for part in _parts(targets):
        yield "".join(
            [
                f"{name}{{{labels},{word}}} {number}\n"
                for node, labels in part
                for word, number in zip(said, numbers(node.stats), strict=True)
            ]
        )


def _shown(
    found: Iterable[tuple[Family, Iterator[str]]], openly: bool
) -> Iterator[str]:
    """Those that have samples."""
    for family, samples in found:
        head = family.head(openly)
        while part := "".join(islice(samples, AT_ONCE)):
            yield head + part
            head = ""
