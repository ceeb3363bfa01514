"""Tests of `lolly_tx.domain.balancers.sticky`."""

from __future__ import annotations

from random import Random
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers import sticky as sticky_module
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.balancers.sticky import Sticky
from lolly_tx.domain.pool import Pool
from tests.domain.pools import BAD, fail, pool_of, target

KEY = b"sixteen bytes or more"
OTHER = b"quite another, also long"


def sticky(*names: object, **settings: object) -> tuple[Pool, Sticky]:
    balancer = Sticky(keys=[KEY])
    pool = pool_of(*names, balancer=balancer, **settings)  # type: ignore[arg-type]
    return pool, balancer


def one(pool: Pool, bond: bytes | None, now: float = 0.0) -> str:
    lease = pool.acquire(now, None, (), bond)
    lease.release(now)
    return lease.node.id


class StickyTests(SynchronousTestCase):
    def test_bound(self) -> None:
        """A client that brings its cookie back gets its target each time."""
        pool, balancer = sticky(*"abc")
        for name in "abc":
            bond = balancer.bond(name)
            self.assertEqual({one(pool, bond) for _ in range(9)}, {name})

    def test_not_bound(self) -> None:
        """Clients without a cookie are spread by the fallback."""
        pool, _ = sticky(*"abc")
        self.assertEqual([one(pool, None) for _ in range(3)], ["a", "b", "c"])

    def test_shows_nothing(self) -> None:
        """The cookie's value shows neither address nor id, and fits into a cookie."""
        balancer = Sticky(keys=[KEY])
        bond = balancer.bond("http-10-0-0-1-80")
        self.assertRegex(bond.decode(), r"\A[A-Za-z0-9_-]{32}\Z")
        self.assertNotEqual(bond, Sticky(keys=[OTHER]).bond("http-10-0-0-1-80"))

    @given(st.binary(max_size=40))
    def test_made_up(self, bond: bytes) -> None:
        """A value somebody made up binds to nobody."""
        self.assertIsNone(Sticky(keys=[KEY]).bound(bond, ["a", "b"]))

    @given(st.integers(0, 31), st.integers(1, 255), st.sampled_from([0, 1 << 31]))
    def test_changed(self, at: int, change: int, until: int) -> None:
        """A value of which any character was changed, its end included, binds to nobody."""
        balancer = Sticky(keys=[KEY])
        bond = bytearray(balancer.bond("a", until))
        bond[at] ^= change
        self.assertIsNone(balancer.bound(bytes(bond), ["a", "b"]))

    def test_end(self) -> None:
        """The end of a value is read back, signed with it, and none where there is none."""
        balancer = Sticky(keys=[KEY])
        bond = balancer.bond("a", 1_800_000_000)
        self.assertEqual(balancer.until(bond), 1_800_000_000)
        self.assertEqual(balancer.bound(bond, "ab"), "a")
        self.assertIsNone(Sticky(keys=[OTHER]).bound(bond, "ab"))
        for other in (balancer.bond("a"), b"x", b"\xff" * 40):
            self.assertEqual(balancer.until(other), 0)
        self.assertRegex(bond.decode(), r"\A[A-Za-z0-9_-]{40}\Z")

    def test_change_of_keys(self) -> None:
        """Values made with the old key still bind after a change of keys; new ones are made with the new."""
        old = Sticky(keys=[KEY])
        new = Sticky(keys=[OTHER, KEY])
        self.assertEqual(new.bound(old.bond("b"), "abc"), "b")
        self.assertIsNone(old.bound(new.bond("b"), "abc"))
        self.assertIsNone(Sticky(keys=[OTHER]).bound(old.bond("b"), "abc"))

    def test_draining(self) -> None:
        """A draining target keeps its clients and gets no new ones."""
        pool, balancer = sticky(*"ab")
        pool.set_enabled("a", "drain", "deploy", 0.0)
        self.assertEqual(one(pool, balancer.bond("a")), "a")
        self.assertEqual({one(pool, None) for _ in range(5)}, {"b"})

    def test_all_draining(self) -> None:
        """Bound clients are served even if nobody takes new ones."""
        pool, balancer = sticky("a")
        pool.set_enabled("a", "drain", "deploy", 0.0)
        self.assertEqual(one(pool, balancer.bond("a")), "a")

    def test_gone(self) -> None:
        """When its target is down, unhealthy, ejected, full, tried or gone, a client gets another."""
        pool, balancer = sticky("a", "b", target("c", max_conns=1))
        bonds = {name: balancer.bond(name) for name in "abc"}
        held = pool.acquire(0.0, None, (), bonds["c"])
        self.assertNotEqual(one(pool, bonds["c"]), "c")
        held.release(0.0)
        pool.set_enabled("a", "down", "deploy", 0.0)
        self.assertNotEqual(one(pool, bonds["a"]), "a")
        pool.observe("b", BAD, 0.0)
        self.assertEqual(one(pool, bonds["b"]), "c")
        pool.mark("b", True, "test", 0.0)
        fail(pool, 0.0, 3, bond=bonds["b"])
        self.assertEqual(one(pool, bonds["b"]), "c")
        pool.replace([target("c")], 1.0)
        self.assertEqual(one(pool, bonds["b"]), "c")
        tried = [pool.nodes["c"]]
        pool.replace([target("c"), target("d")], 2.0)
        lease = pool.acquire(2.0, None, tried, bonds["c"])
        self.assertEqual(lease.node.id, "d")

    def test_cookies_of_who_has_left(self) -> None:
        """However often the cookie of a target that has left is brought, names are computed for newcomers only."""
        balancer = Sticky(keys=[KEY])
        gone, ids = balancer.bond("gone"), ["a", "b", "gone"]
        self.assertEqual(balancer.bound(gone, ids), "gone")
        ids[-1] = "new"
        with mock.patch.object(sticky_module, "_mac", wraps=sticky_module._mac) as made:
            for _ in range(9):
                self.assertIsNone(balancer.bound(gone, ids))
        named = [call.args[2] for call in made.mock_calls if call.args[1] == b"name"]
        self.assertEqual(named, [b"new"])
        self.assertEqual(balancer.bound(balancer.bond("new"), ids), "new")
        self.assertEqual(balancer.bound(gone, ["gone"]), "gone")

    def test_explain(self) -> None:
        """The explanation of a bound client's exchange names its target, draining or not."""
        pool, balancer = sticky(*"ab")
        pool.set_enabled("a", "drain", "deploy", 0.0)
        a, b = pool.explain(0.0, None, balancer.bond("a"))
        self.assertEqual((a["bound"], a["excluded"]), (True, ""))
        self.assertEqual(b["bound"], False)
        self.assertEqual(pool.explain(0.0)[0]["excluded"], "draining")

    def test_fallbacks(self) -> None:
        """Any other balancer may choose for new clients, and hears what it needs."""
        for name in ("least_conn", "least_time", "ip_hash"):
            settings = {"keys": [KEY], "fallback": name}
            pool = pool_of(
                "a", "b", balancer=Balancers().make("sticky", settings, Random(1))
            )
            tier = pool.roster.tiers[0]
            hooks = (tier.released, tier.finished, tier.ranked)
            self.assertEqual(sum(hook is not None for hook in hooks), 1)
            self.assertIn(one(pool, None), "ab")

    def test_wrong_settings(self) -> None:
        """No key, a short one, or sticky over sticky is refused."""
        self.assertRaises(ValueError, Sticky, keys=[])
        self.assertRaises(ValueError, Sticky, keys=[b"short"])
        self.assertRaises(ValueError, Sticky, keys=[KEY], fallback=Sticky(keys=[KEY]))
        settings = {"keys": [KEY], "fallback": "sticky"}
        self.assertRaises(ValueError, Balancers().make, "sticky", settings, None)
