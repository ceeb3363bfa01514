"""Tests of settings as values that people are shown."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.config.load import parse
from lolly_tx.config.shown import AT_ONCE, TARGETS_AT_ONCE, shown, shown_in_steps


class StepsTests(SynchronousTestCase):
    def steps(self, text: str) -> int:
        """How many turns a configuration takes beside the first; it says what it says at once."""
        config = parse(text, "lolly.toml", {})
        made, count = shown_in_steps(config), 0
        while True:
            try:
                next(made)
            except StopIteration as told:
                self.assertEqual(told.value, shown(config))
                self.assertEqual(list(told.value), list(shown(config)))
                return count
            count += 1

    def test_small(self) -> None:
        """What is small is told at once, secrets hidden."""
        text = '[admin]\nendpoint = "tcp:1:interface=127.0.0.1"\ntoken = "0123456789abcdef"\n'
        route = '[[route]]\npool = "p"\n'
        pool = '[pool.p]\ntargets = ["http://127.0.0.1:1"]\n'
        self.assertEqual(self.steps(text + route + pool), 0)

    def test_many_pools_and_routes(self) -> None:
        """Some at each step."""
        many = range(3 * AT_ONCE)
        pools = "".join(
            f'[pool.p{n}]\ntargets = ["http://127.0.0.1:9"]\n' for n in many
        )
        routes = "".join(f'[[route]]\npath = "/{n}"\npool = "p{n}"\n' for n in many)
        self.assertEqual(self.steps(pools), 3)
        self.assertEqual(self.steps(routes + pools), 6)

    def test_many_targets(self) -> None:
        """Of one pool as well."""
        targets = ", ".join(
            f'"http://127.0.{n // 250}.{n % 250 + 1}:9"'
            for n in range(2 * TARGETS_AT_ONCE + 1)
        )
        self.assertEqual(self.steps(f"[pool.p]\ntargets = [{targets}]\n"), 2)
