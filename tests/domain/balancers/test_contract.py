"""Every built-in balancer keeps the contract of balancers."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.balancers.consistent_hash import ConsistentHash
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.testing import BalancerContract

KEYS = [b"a key for the tests"]


class RoundRobinContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("round_robin", {}, random)


class LeastConnContractTests(BalancerContract, SynchronousTestCase):
    # One exchange at a time leaves all idle, so that weights decide nothing but ties.
    shares_evenly = False

    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("least_conn", {}, random)


class RandomContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("random", {}, random)


class IpHashContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("ip_hash", {}, random)


class RingContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        return ConsistentHash(method="ring")


class BoundedHashContractTests(BalancerContract, SynchronousTestCase):
    # With one exchange at a time every node but the key's own is above nothing.
    shares_evenly = False

    def make_balancer(self, random: Random) -> IBalancer:
        return ConsistentHash(balance_factor=1.5)


class LeastTimeContractTests(BalancerContract, SynchronousTestCase):
    # The latencies of the contract are all the same, weights are not.
    shares_evenly = False

    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("least_time", {}, random)


class FirstContractTests(BalancerContract, SynchronousTestCase):
    shares_evenly = False

    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("first", {}, random)


class StickyContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        return Balancers().make("sticky", {"keys": KEYS}, random)


class StickyHashContractTests(BalancerContract, SynchronousTestCase):
    def make_balancer(self, random: Random) -> IBalancer:
        settings = {"keys": KEYS, "fallback": "ip_hash"}
        return Balancers().make("sticky", settings, random)
