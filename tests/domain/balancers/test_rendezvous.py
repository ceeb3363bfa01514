"""Tests of `lolly_tx.domain.balancers.rendezvous` and `hashing`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.domain.balancers.hashing import hash64
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from tests.domain.pools import picks, pool_of, target

KEYS = [b"10.%d.%d.%d" % (i % 5, i % 251, i // 251) for i in range(10_000)]


def owners(pool: Pool, keys: list[bytes] = KEYS) -> list[str]:
    out = []
    for key in keys:
        lease = pool.acquire(0.0, key)
        lease.release(0.0)
        out.append(lease.node.id)
    return out


class RendezvousTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """Five equal targets hold 15 to 25 per cent of ten thousand clients each."""
        counts = Counter(owners(pool_of(*"abcde", balance="ip_hash")))
        for count in counts.values():
            self.assertTrue(1500 <= count <= 2500, counts)

    def test_only_its_own_keys_move(self) -> None:
        """When one of five is down only its clients move, and they return with it."""
        pool = pool_of(*"abcde", balance="ip_hash")
        before = owners(pool)
        pool.set_enabled("c", "down", "test", 0.0)
        during = owners(pool)
        for old, new in zip(before, during, strict=True):
            self.assertTrue(old == new or (old == "c" and new != "c"))
        pool.set_enabled("c", "up", "test", 0.0)
        self.assertEqual(owners(pool), before)

    def test_weights(self) -> None:
        """Shares follow the weights, and a new weight moves no more keys than it must."""
        pool = pool_of(target("a", weight=3), "b", balance="ip_hash")
        before = owners(pool)
        self.assertApproximates(before.count("a"), 7500, 200)
        pool.replace([target("a", weight=3), target("b", weight=3)], 0.0)
        after = owners(pool)
        self.assertApproximates(after.count("a"), 5000, 200)
        moves = Counter(zip(before, after, strict=True))
        self.assertEqual(moves["b", "a"], 0)

    def test_full_owner(self) -> None:
        """While its target is full a client goes to the next in its own order."""
        pool = pool_of(*(target(n, max_conns=1) for n in "abc"), balance="ip_hash")
        order = [pool.acquire(0.0, b"key").node.id for _ in range(3)]
        self.assertEqual(sorted(order), ["a", "b", "c"])
        again = pool_of(*"abc", balance="ip_hash")
        tried: list[Node] = []
        for name in order:
            node = again.acquire(0.0, b"key", tried).node
            self.assertEqual(node.id, name)
            tried.append(node)

    def test_no_key(self) -> None:
        """Exchanges without a key take turns, past full targets too."""
        pool = pool_of(*"abc", balance="ip_hash")
        self.assertEqual(sorted(picks(pool, 3)), ["a", "b", "c"])
        tried = [pool.nodes["a"], pool.nodes["b"]]
        self.assertEqual(pool.acquire(0.0, None, tried).node.id, "c")

    def test_same_everywhere(self) -> None:
        """The hash does not depend on the process."""
        self.assertEqual(hash64(b"lolly"), 0x0 + hash64(b"lolly"))
        self.assertEqual(f"{hash64(b''):016x}", "e4a6a0577479b2b4")
