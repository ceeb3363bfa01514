"""Pools for tests: named targets, a sink that remembers, errors with causes."""

from __future__ import annotations

from random import Random
from typing import Any

from zope.interface import implementer

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.checks.health import Observation, Thresholds
from lolly_tx.domain.errors import ConnectFailed, ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target

GOOD = Observation(ok=True, cause="200 from /health", latency=0.01, status=200)
SETTINGS: dict[str, dict[str, Any]] = {"sticky": {"keys": [b"a key for the tests"]}}
"""What balancers cannot do without."""

BAD = Observation(ok=False, cause="503 from /health", latency=0.01, status=503)


@implementer(IEventSink)
class Diary:
    """An event sink that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def words(self, fact: str) -> list[str]:
        """The changes of one fact, such as "a: up -> down"."""
        return [f"{e.node}: {e.old} -> {e.new}" for e in self.events if e.fact == fact]


def target(name: str, **settings: Any) -> Target:
    return Target(id=name, address=f"http://{name}.example", **settings)


def pool_of(
    *targets: Target | str,
    balance: str = "round_robin",
    seed: int = 1,
    rise: int = 1,
    fall: int = 1,
    **settings: Any,
) -> Pool:
    """A pool at time 0 with the seed's defaults, of targets or their names."""
    random = Random(seed)
    settings.setdefault("accrual", ConsecutiveFailures)
    settings.setdefault("events", Diary())
    settings.setdefault(
        "balancer", Balancers().make(balance, SETTINGS.get(balance, {}), random)
    )
    return Pool(
        "p",
        [target(t) if isinstance(t, str) else t for t in targets],
        thresholds=Thresholds(rise, fall),
        now=0.0,
        random=random,
        **settings,
    )


def fail(
    pool: Pool,
    now: float,
    times: int = 1,
    error: ProxyError | None = None,
    **how: Any,
) -> Lease:
    """Exchanges that fail, to connect unless another `error` is given; the last lease."""
    for _ in range(times):
        lease = pool.acquire(now, **how)
        lease.failed(now, error or ConnectFailed("connection refused"))
        lease.release(now)
    return lease


def succeed(pool: Pool, now: float, times: int = 1, **how: Any) -> Lease:
    """Exchanges that go well; the last lease."""
    for _ in range(times):
        lease = pool.acquire(now, **how)
        lease.succeeded(now)
        lease.release(now)
    return lease


def picks(pool: Pool, times: int, now: float = 0.0, key: bytes | None = None) -> str:
    """The ids of so many finished exchanges in a row."""
    return "".join(succeed(pool, now, key=key).node.id for _ in range(times))
