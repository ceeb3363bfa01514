"""What one acquire, success and release costs, per balancer, for 2 and for 1,000 targets.

Run: `python benchmarks/pick.py [ROUNDS]`. Prints nanoseconds (best of five) and the ratio; asserts nothing.
"""

from __future__ import annotations

import sys
import time
from random import Random

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.events import Event
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target

SETTINGS = {"sticky": {"keys": [b"a key for a benchmark"]}}


class _Silence:
    def emit(self, event: Event) -> None:
        pass


def pool_of(size: int, balance: str, weights: bool) -> Pool:
    """A pool of `size` targets that are all up."""
    targets = [
        Target(id=f"t{i}", address=f"http://t{i}", weight=1 + i % 3 if weights else 1)
        for i in range(size)
    ]
    random = Random(1)
    return Pool(
        "bench",
        targets,
        balancer=Balancers().make(balance, SETTINGS.get(balance, {}), random),
        accrual=ConsecutiveFailures,
        thresholds=Thresholds(),
        now=0.0,
        events=_Silence(),
        random=random,
    )


def cost(pool: Pool, rounds: int, in_flight: int) -> float:
    """Nanoseconds per exchange with `in_flight` others running; the best of five."""
    keys = [b"10.0.%d.%d" % (i % 7, i % 251) for i in range(1024)]
    held = [pool.acquire(1.0, key) for key in keys[:in_flight]]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for i in range(rounds):
            lease = pool.acquire(1.0, keys[i & 1023])
            lease.succeeded(1.5)
            lease.release(1.5)
        best = min(best, time.perf_counter() - start)
    for lease in held:
        lease.release(2.0)
    return best / rounds * 1e9


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{'balancer':<24}{'2 targets':>12}{'1,000':>12}{'ratio':>8}")
    for balance in Balancers().names():
        for weights in (False, True):
            few = cost(pool_of(2, balance, weights), rounds, 16)
            many = cost(pool_of(1000, balance, weights), rounds, 16)
            name = balance + (", weights" if weights else "")
            print(f"{name:<24}{few:>9.0f} ns{many:>9.0f} ns{many / few:>8.2f}")


if __name__ == "__main__":
    main()
