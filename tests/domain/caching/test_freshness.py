"""Tests of `lolly_tx.domain.caching.freshness`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.caching.freshness import (
    NO_RULES,
    Life,
    Rules,
    Said,
    life_of,
    lifetime_of,
    why_not,
)

FRESH: dict[str, Any] = {"lifetime": 60.0}


def _why(
    rules: Rules = NO_RULES,
    *,
    credentials: bool = False,
    secret: bool = False,
    **said: Any,
) -> str:
    return why_not(Said(**said), rules, credentials=credentials, secret=secret)


class StoringTests(SynchronousTestCase):
    def test_why_not(self) -> None:
        """Each reason against storing, and what lifts it."""
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("", FRESH),
            ("no-lifetime", {}),
            ("stale", {"lifetime": 0.0}),
            ("stale", {"lifetime": 60.0, "age": 60.0}),
            ("", {"lifetime": 0.0, "validator": True}),
            ("", {"lifetime": 0.0, "stale_if_error": 60.0}),
            ("", {"lifetime": 0.0, "stale_while_revalidate": 60.0}),
            ("stale", {"lifetime": 0.0, "stale_if_error": 60.0, "revalidate": True}),
            ("no-store", {**FRESH, "no_store": True}),
            ("", {**FRESH, "no_store": True, "must_understand": True}),
            ("status", {**FRESH, "must_understand": True, "status": 599}),
            ("", {**FRESH, "status": 599}),
            ("status", {**FRESH, "status": 206}),
            ("status", {**FRESH, "status": 304}),
            ("status", {**FRESH, "status": 101}),
            ("private", {**FRESH, "private": True}),
            ("authorization", {**FRESH, "credentials": True}),
            ("", {**FRESH, "credentials": True, "for_all": True}),
            ("set-cookie", {**FRESH, "cookie": True}),
            ("vary", {**FRESH, "any_vary": True}),
            ("request-no-store", {**FRESH, "secret": True}),
        )
        for why, said in cases:
            with self.subTest(said=said):
                self.assertEqual(_why(**said), why)

    def test_rules(self) -> None:
        """The operator's times hold where the answer says nothing, errors only if they are named."""
        rules = Rules(default_ttl=60.0, ttl={404: 10.0, 200: 5.0})
        for status, lifetime in ((203, 60.0), (404, 10.0), (200, 5.0), (500, None)):
            self.assertEqual(lifetime_of(Said(status=status), rules), lifetime)
        self.assertEqual(lifetime_of(Said(lifetime=1.0), rules), 1.0)
        self.assertIsNone(lifetime_of(Said(status=203), Rules(ttl={404: 10.0})))
        # However old it was when it came.
        life = life_of(Said(status=404, age=100.0), rules, 1000.0)
        self.assertEqual(life.fresh_until, 1010.0)


class LifeTests(SynchronousTestCase):
    def test_times(self) -> None:
        """Fresh, then usable while it is asked for anew, then where that fails."""
        said = Said(
            lifetime=60.0, age=10.0, stale_while_revalidate=5.0, stale_if_error=20.0
        )
        life = life_of(said, NO_RULES, 100.0)
        self.assertEqual(life, Life(90.0, 60.0, 5.0, 20.0))
        self.assertEqual(
            (life.fresh_until, life.refreshable_until, life.usable_until),
            (150.0, 155.0, 170.0),
        )
        self.assertEqual([life.age(at) for at in (50.0, 100.0, 101.9)], [0, 10, 11])

    def test_stale(self) -> None:
        """The operator's stale times fill in, and never against the target's word."""
        rules = Rules(stale_if_error=7.0, stale_while_revalidate=3.0)
        for said, stale in (
            (Said(lifetime=1.0), (3.0, 7.0)),
            (Said(lifetime=1.0, stale_if_error=0.0), (3.0, 0.0)),
            (Said(lifetime=1.0, stale_while_revalidate=9.0), (9.0, 7.0)),
            (Said(lifetime=1.0, revalidate=True, stale_if_error=9.0), (0.0, 0.0)),
            (Said(lifetime=1.0, revalidate_unless_said=True), (0.0, 0.0)),
            (
                Said(lifetime=1.0, revalidate_unless_said=True, stale_if_error=9.0),
                (0.0, 9.0),
            ),
            (Said(lifetime=1.0, no_cache=True, stale_if_error=9.0), (0.0, 0.0)),
        ):
            with self.subTest(said=said):
                life = life_of(said, rules, 0.0)
                self.assertEqual((life.stale_while, life.stale_error), stale)

    def test_ended(self) -> None:
        """What has been ended is stale at once, and good for nothing."""
        for born, now in ((0.0, 10.0), (0.0, 1000.0)):
            life = Life(born, 60.0, 100.0, 100.0).ended(now)
            self.assertLess(life.fresh_until, now)
            self.assertLess(life.usable_until, now)
