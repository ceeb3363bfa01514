"""Fakes: targets, pools, checks, traffic, and a sink that remembers.

Imports: domain, domain.checks, Twisted. Used by: testing, testing.accruals,
testing.balancers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.errors import ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import (
    IAccrual,
    IBalancer,
    IEventSink,
    IHealthCheck,
)
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target

GOOD_CHECK = Observation(ok=True, cause="200 from /health", latency=0.01, status=200)
BAD_CHECK = Observation(ok=False, cause="503 from /health", latency=0.01, status=503)


@implementer(IEventSink)
class RecordedEvents:
    """An event sink that keeps what it gets in `events`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def changes(self, fact: str) -> list[tuple[str, str, str]]:
        """The changes of one fact: (node, old, new)."""
        return [(e.node, e.old, e.new) for e in self.events if e.fact == fact]


def fake_target(name: str, **settings: Any) -> Target:
    """A target of that id, with an address nobody answers at."""
    return Target(id=name, address=f"http://{name}.invalid", **settings)


def fake_pool(
    targets: Iterable[Target | str],
    balancer: IBalancer,
    accrual: Callable[[], IAccrual] | None = None,
    **settings: Any,
) -> Pool:
    """A pool at time 0, of targets or their names; its events are in `pool.recorded`."""
    settings.setdefault("events", RecordedEvents())
    settings.setdefault("random", Random(1))
    return Pool(
        "test",
        [fake_target(t) if isinstance(t, str) else t for t in targets],
        balancer=balancer,
        accrual=accrual,
        thresholds=Thresholds(),
        now=0.0,
        **settings,
    )


@implementer(IHealthCheck)
class ScriptedCheck:
    """A health check that says what its script says: `answers`, by target id, each used once, the last one for ever."""

    def __init__(self, answers: Mapping[str, Iterable[Observation]]) -> None:
        self._answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[str] = []
        """The ids of the targets that were checked, in order."""

    def check(self, target: Target) -> Deferred[Observation]:
        """The next answer of `target`; GOOD_CHECK when it has none."""
        self.asked.append(target.id)
        answers = self._answers.get(target.id) or [GOOD_CHECK]
        return succeed(answers.pop(0) if len(answers) > 1 else answers[0])


class ScriptedTraffic:
    """Exchanges through a pool, one at a time, on a clock that they move.

    `script`: what each target does, by id: seconds its answers take, or the error it fails with. It may be changed
    while the traffic runs. A target that is not in it answers in 10 ms.
    """

    def __init__(
        self, pool: Pool, script: dict[str, float | ProxyError] | None = None
    ) -> None:
        self.pool = pool
        self.script = script if script is not None else {}
        self.now = 0.0

    def send(self, count: int = 1, key: bytes | None = None) -> list[str]:
        """The ids of the targets that `count` exchanges went to. Raises what the pool raises."""
        return [self._send(key) for _ in range(count)]

    def _send(self, key: bytes | None) -> str:
        lease = self.pool.acquire(self.now, key)
        act = self.script.get(lease.node.id, 0.01)
        if isinstance(act, ProxyError):
            lease.failed(self.now, act)
        else:
            self.now += act
            lease.succeeded(self.now)
        lease.release(self.now)
        return lease.node.id
