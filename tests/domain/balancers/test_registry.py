"""Tests of the registry in `lolly_tx.domain.balancers`."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.by_name import Balancers, UnknownBalancer
from lolly_tx.domain.balancers.round_robin import RoundRobin


class BalancersTests(SynchronousTestCase):
    def test_unknown(self) -> None:
        """The error for an unknown balancer names the known ones."""
        error = self.assertRaises(
            UnknownBalancer, Balancers().make, "round_robbin", {}, Random(1)
        )
        self.assertIn("round_robin", str(error))

    def test_plugin(self) -> None:
        """A plugin's balancer is made by its name, in this registry only, and cannot shadow another."""
        registry = Balancers()
        registry.register("mine", RoundRobin)
        self.assertIsInstance(registry.make("mine", {}, Random(1)), RoundRobin)
        self.assertIn("mine", registry.names())
        self.assertNotIn("mine", Balancers().names())
        self.assertRaises(ValueError, registry.register, "mine", RoundRobin)
