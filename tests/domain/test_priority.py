"""Tests of `lolly_tx.domain.priority`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.priority import tier_health, tier_loads

GOLDEN = {
    (72, 72): [100, 0],
    (71, 71): [99, 1],
    (50, 50): [70, 30],
    (25, 100): [35, 65],
    (25, 25): [50, 50],
    (5, 65): [7, 93],
    (25, 25, 20): [36, 36, 28],
}


class PriorityTests(SynchronousTestCase):
    def test_golden(self) -> None:
        """Traffic spills to the next tier as Envoy's arithmetic says."""
        for available, loads in GOLDEN.items():
            healths = [tier_health(part, 100) for part in available]
            self.assertEqual(tier_loads(healths), loads, available)

    def test_nobody(self) -> None:
        """When no tier has anybody, no tier has any load."""
        self.assertEqual(tier_loads([tier_health(0, 0), tier_health(0, 3)]), [0, 0])

    def test_rounding(self) -> None:
        """What rounding loses or gains by many equal tiers stays within the hundred."""
        for count in (3, 6, 7, 9):
            loads = tier_loads([100 // count] * count)
            self.assertEqual(sum(loads), 100)
            self.assertLessEqual(max(loads) - min(loads), count)

    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1))
    def test_loads_add_up(self, tiers: list[tuple[int, int]]) -> None:
        """Loads add up to 100, none is negative, and a tier without available targets takes none."""
        healths = [tier_health(ok, ok + gone) for ok, gone in tiers]
        loads = tier_loads(healths)
        self.assertEqual(sum(loads), 100 if any(healths) else 0)
        for load, health in zip(loads, healths, strict=True):
            self.assertGreaterEqual(load, 0)
            self.assertTrue(health or not load)
