"""What a pool relies on in a balancer.

Imports: domain, testing, Twisted. Used by: testing.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from zope.interface.verify import verifyObject

from lolly_tx.domain.errors import AllDown, AllFull, AllTried
from lolly_tx.domain.interfaces import (
    IBalancer,
    IBindingBalancer,
    IOutcomeListener,
    IPreviewBalancer,
    IRankingBalancer,
    IReleaseListener,
)
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.testing.fakes import (
    BAD_CHECK,
    fake_pool,
    fake_target,
)

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Base
else:
    _Base = object


class BalancerContract(_Base):
    """What a pool relies on in any `IBalancer`."""

    shares_evenly = True
    """Equal targets get about equal shares of many different keys. False for balancers that prefer someone."""

    spread = 0.25
    """How far a share may be from the even one: hashing 10,000 keys over 5 nodes by 160 points each needs this much."""

    def make_balancer(self, random: Random) -> IBalancer:
        """A new balancer; to be supplied."""
        raise NotImplementedError

    def _pool(self, *targets: Target | str, **settings: Any) -> Pool:
        return fake_pool(targets, self.make_balancer(Random(1)), **settings)

    def _keys(self, count: int) -> list[bytes]:
        return [b"10.0.%d.%d" % divmod(i, 251) for i in range(count)]

    def test_contract_interfaces(self) -> None:
        """A balancer is an IBalancer, and each further method it has belongs to an interface it declares."""
        balancer: Any = self.make_balancer(Random(1))
        verifyObject(IBalancer, balancer)
        further = {
            "ranked": IRankingBalancer,
            "released": IReleaseListener,
            "finished": IOutcomeListener,
            "bound": IBindingBalancer,
            "preview": IPreviewBalancer,
        }
        for name, interface in further.items():
            if interface.providedBy(balancer):
                verifyObject(interface, balancer)
            elif not IBindingBalancer.providedBy(balancer):
                self.assertFalse(hasattr(balancer, name), name)

    def test_contract_picks_a_candidate(self) -> None:
        """Every pick is one of the candidates, with and without a key, also when they change each time."""
        random = Random(2)
        names = [f"t{i}" for i in range(12)]
        pool = self._pool(*names)
        balancer = pool.balancer
        for key in self._keys(200):
            count = random.randint(1, len(names))
            some = tuple(pool.nodes[n] for n in random.sample(names, count))
            for _ in range(3):
                self.assertIn(balancer.pick(some, key), some)
                self.assertIn(balancer.pick(some, None), some)

    def test_contract_ranking(self) -> None:
        """A ranking names every candidate once and begins with one that `pick` could give."""
        pool = self._pool(*"abcdef")
        candidates = pool.available(0.0)
        ranked = getattr(pool.balancer, "ranked", None)
        if ranked is None:
            return
        for key in [None, *self._keys(50)]:
            order = list(ranked(candidates, key))
            self.assertEqual(Counter(order), Counter(candidates))
            if key is not None:
                self.assertIs(order[0], pool.balancer.pick(candidates, key))

    def test_contract_unavailable(self) -> None:
        """Nobody goes to a target that is disabled, unhealthy or ejected."""
        pool = self._pool(*"abcd", accrual=None)
        pool.set_enabled("a", "down", "test", 0.0)
        pool.set_enabled("b", "drain", "test", 0.0)
        pool.observe("c", BAD_CHECK, 0.0)
        for key in self._keys(50):
            self.assertEqual(_one(pool, key), "d")
        pool.observe("d", BAD_CHECK, 1.0)
        self.assertRaises(AllDown, pool.acquire, 1.0, b"key")

    def test_contract_max_conns(self) -> None:
        """All the room there is gets used, and no more."""
        pool = self._pool(*(fake_target(n, max_conns=2) for n in "abc"))
        held = [pool.acquire(0.0, b"one key") for _ in range(6)]
        self.assertRaises(AllFull, pool.acquire, 0.0, b"one key")
        counts = {node.in_flight for node in pool.nodes.values()}
        self.assertEqual(counts, {2})
        held[3].release(0.0)
        self.assertIs(pool.acquire(0.0, b"one key").node, held[3].node)

    def test_contract_tried(self) -> None:
        """An exchange that fails everywhere meets each target once."""
        pool = self._pool(*"abcdefghijkl")
        leases: list[Lease] = []
        for _ in range(12):
            tried = [lease.node for lease in leases]
            leases.append(pool.acquire(0.0, b"key", tried))
        self.assertEqual(len({lease.node for lease in leases}), 12)
        tried = [lease.node for lease in leases]
        self.assertRaises(AllTried, pool.acquire, 0.0, b"key", tried)

    def test_contract_preview(self) -> None:
        """A preview is the next pick, however often it is asked for, and whatever else happens before."""
        pool = self._pool(
            *"abc", fake_target("d", weight=5), fake_target("e", weight=7)
        )
        preview = getattr(pool.balancer, "preview", None)
        if preview is None:
            return
        candidates = pool.available(0.0)
        for i, key in enumerate(self._keys(200)):
            said = [preview(candidates, key) for _ in range(i % 3 + 1)]
            if said[0] is None:
                continue
            lease = pool.acquire(0.0, key)
            self.assertEqual(said, [lease.node] * len(said))
            if i % 4:
                lease.release(0.0)

    def test_contract_backups(self) -> None:
        """Backups wait until no primary is available."""
        pool = self._pool("a", fake_target("b", backup=True))
        self.assertEqual({_one(pool, key) for key in self._keys(30)}, {"a"})
        pool.observe("a", BAD_CHECK, 0.0)
        self.assertEqual({_one(pool, key) for key in self._keys(30)}, {"b"})

    def test_contract_even_shares(self) -> None:
        """Equal targets get about equal shares of many clients."""
        pool = self._pool(*"abcde")
        counts = Counter(
            _one(pool, key, i / 100) for i, key in enumerate(self._keys(10_000))
        )
        if self.shares_evenly:
            for name in "abcde":
                self.assertTrue(abs(counts[name] / 2000 - 1) <= self.spread, counts)

    def test_contract_weights(self) -> None:
        """A target of weight 3 gets about three times as much as one of weight 1."""
        pool = self._pool(fake_target("a", weight=3), "b")
        counts = Counter(
            _one(pool, key, i / 100) for i, key in enumerate(self._keys(8000))
        )
        if self.shares_evenly:
            self.assertTrue(2.4 <= counts["a"] / counts["b"] <= 3.6, counts)

    def test_contract_slow_start(self) -> None:
        """A tenth of the weight is about a tenth of the share, and no error."""
        pool = self._pool("a", "b", accrual=None)
        pool.available(0.0)
        pool.nodes["a"].weight = 0.1
        some = tuple(pool.nodes.values())
        counts: Counter[str] = Counter()
        for i, key in enumerate(self._keys(5000)):
            lease = Lease(pool.balancer.pick(some, key), i / 100)
            lease.node.in_flight += 1
            counts[lease.node.id] += 1
            lease.succeeded(i / 100 + 0.01)
            lease.release(i / 100 + 0.01)
        if self.shares_evenly:
            self.assertTrue(0.02 <= counts["a"] / 5000 <= 0.2, counts)

    def test_contract_restart(self) -> None:
        """The same seed and the same events make the same choices."""
        runs = []
        for _ in range(2):
            pool = self._pool(*"abcde")
            runs.append([_one(pool, key) for key in self._keys(100)])
        self.assertEqual(*runs)


def _one(pool: Pool, key: bytes | None, now: float = 0.0) -> str:
    """The id of the node of one finished exchange."""
    lease = pool.acquire(now, key)
    lease.succeeded(now + 0.005)
    lease.release(now + 0.005)
    return lease.node.id
