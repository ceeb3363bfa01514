"""Tests of what new code is told of a node."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.errors import ConnectFailed
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.heritage import facts_of, take_facts
from tests.domain.pools import pool_of, target


def troubled() -> Pool:
    """One target is down, one drained, one ejected, one well."""
    pool = pool_of("a", "b", "c", "d")
    pool.observe("a", Observation(False, "500 from /"), 1.0)
    pool.set_enabled("b", "drain", "operator: deploy", 2.0)
    others = [pool.nodes[name] for name in "abd"]
    for _ in range(3):
        lease = pool.acquire(3.0, tried=others)
        lease.failed(3.0, ConnectFailed())
        lease.release(3.0)
    return pool


def handed(pool: Pool, name: str) -> Any:
    """The facts of a node, as they arrive."""
    return json.loads(json.dumps(facts_of(pool.nodes[name])))


class HeritageTests(SynchronousTestCase):
    def test_nothing_is_forgotten(self) -> None:
        """Health, evidence, ejection, the operator's word, history and counters are what they were."""
        old, new = troubled(), pool_of("a", "b", "c", "d")
        for name in old.nodes:
            self.assertTrue(take_facts(new, name, handed(old, name), True))
        for name in old.nodes:
            self.assertEqual(handed(new, name), handed(old, name))
        self.assertEqual([n.id for n in new.available(4.0)], ["d"])
        for before, after in zip(old.snapshot(4.0), new.snapshot(4.0), strict=True):
            # Failures in a row, below the threshold, are counted afresh.
            for key in before.keys() - {"ejection"}:
                self.assertEqual((key, after[key]), (key, before[key]))
        self.assertEqual(new.ejections.count, 1)

    def test_ejection_ends(self) -> None:
        """An ejection ends when it would have, with one trial."""
        old, new = troubled(), pool_of("a", "b", "c", "d")
        take_facts(new, "c", handed(old, "c"), True)
        until = old.nodes["c"].ejected_until
        new.available(until + 0.1)
        self.assertEqual(new.nodes["c"].ejection, "trial")

    def test_other_checks(self) -> None:
        """What other checks said does not hold for the new ones; the operator's word does."""
        old, new = troubled(), pool_of("a", "b", "c", "d")
        for name in old.nodes:
            take_facts(new, name, handed(old, name), False)
        self.assertTrue(new.nodes["a"].health.up)
        self.assertEqual(new.nodes["b"].enabled, "drain")

    def test_other_target(self) -> None:
        """A target that is gone, or is at another address now, takes nothing."""
        moved = attrs.evolve(target("a"), address="http://127.0.0.1:9999")
        old, new = troubled(), pool_of(moved)
        self.assertFalse(take_facts(new, "a", handed(old, "a"), True))
        self.assertFalse(take_facts(new, "c", handed(old, "c"), True))
        self.assertTrue(new.nodes["a"].health.up)

    def test_of_other_code(self) -> None:
        """Facts that are not understood are ignored, and of another shape refused with nothing taken."""
        old, new = troubled(), pool_of("a", "b", "c", "d")
        facts = handed(old, "b")
        facts["mood"] = "good"
        facts["counters"]["smiles"] = 7
        self.assertTrue(take_facts(new, "b", facts, True))
        for key, value in (
            ("enabled", "perhaps"),
            ("health", None),
            ("streak", "many"),
            ("history", [[1]]),
        ):
            wrong = {**handed(old, "a"), key: value}
            with self.assertRaises((ValueError, TypeError)):
                take_facts(new, "a", wrong, True)
            self.assertTrue(new.nodes["a"].health.up)
        self.assertRaises(LookupError, take_facts, new, "a", {}, True)
