"""For those who write plugins: fakes, and one contract per interface to mix into a test case.

A balancer's tests begin so:

    class MyBalancerTests(BalancerContract, SynchronousTestCase):
        def make_balancer(self, random):
            return MyBalancer(random)

A contract tests what a pool relies on, with seeded chance, and says in each test's name what failed.

Imports: testing. Used by: programs.
"""

from lolly_tx.testing.accruals import AccrualContract
from lolly_tx.testing.balancers import BalancerContract
from lolly_tx.testing.checks import EventSinkContract, HealthCheckContract
from lolly_tx.testing.discoveries import DiscoveryContract
from lolly_tx.testing.fakes import (
    BAD_CHECK,
    GOOD_CHECK,
    RecordedEvents,
    ScriptedCheck,
    ScriptedTraffic,
    fake_pool,
    fake_target,
)
from lolly_tx.testing.middleware import MiddlewareContract
from lolly_tx.testing.passages import MemoryDoor, MemoryEnd, Passages, Served

__all__ = [
    "BAD_CHECK",
    "GOOD_CHECK",
    "AccrualContract",
    "BalancerContract",
    "DiscoveryContract",
    "EventSinkContract",
    "HealthCheckContract",
    "MemoryDoor",
    "MemoryEnd",
    "MiddlewareContract",
    "Passages",
    "RecordedEvents",
    "ScriptedCheck",
    "ScriptedTraffic",
    "Served",
    "fake_pool",
    "fake_target",
]
