"""A model-based test of `lolly_tx.domain.pool`: whatever happens in whatever order, these things hold."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.errors import AllDown, AllFull, AllTried, NoTarget, ProxyError
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IBalancer
from lolly_tx.domain.lease import Lease
from lolly_tx.domain.node import Enabled, Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from tests import strategies
from tests.domain.pools import BAD, GOOD, SETTINGS, Diary

NAMES = st.sampled_from(strategies.TARGET_NAMES)


class PoolMachine(RuleBasedStateMachine):
    """Drives a pool with everything that can happen to it, and keeps a model from its events alone."""

    @initialize(
        members=strategies.memberships(),
        balance=st.sampled_from(Balancers().names()),
        accrual=strategies.accruals(),
        thresholds=strategies.thresholds(),
        limits=strategies.ejection_limits(),
        all_down=st.sampled_from(["refuse", "least_bad"]),
        initial=st.sampled_from(["up", "down", "probation"]),
        outliers=strategies.outlier_limits(),
        slow_start=strategies.slow_starts(),
        statuses=st.sampled_from([(), (503,)]),
    )
    def start(
        self,
        members: list[Target],
        balance: str,
        accrual: ConsecutiveFailures,
        thresholds: Any,
        limits: Any,
        all_down: Any,
        initial: Any,
        outliers: Any,
        slow_start: Any,
        statuses: Any,
    ) -> None:
        self.now = 0.0
        self.diary = Diary()
        self.leases: list[Lease] = []
        self.limits = limits
        random = Random(1)

        def balancer() -> IBalancer:
            return Balancers().make(balance, SETTINGS.get(balance, {}), random)

        self.pool = Pool(
            "p",
            members,
            balancer=balancer(),
            another_balancer=balancer,
            accrual=lambda: ConsecutiveFailures(
                accrual.max_fails, accrual.fail_timeout, accrual.min_rises
            ),
            thresholds=thresholds,
            now=0.0,
            events=self.diary,
            random=random,
            all_down=all_down,
            initial=initial,
            ejections=limits,
            outliers=outliers,
            slow_start=slow_start,
            failure_statuses=statuses,
        )
        self.seen: dict[tuple[str, str], str] = {}
        for node in self.pool.nodes.values():
            self._learn(node)
        self.read = 0

    def _learn(self, node: Node) -> None:
        self.seen[node.id, "health"] = node.health.word
        self.seen[node.id, "ejection"] = node.ejection
        self.seen[node.id, "enabled"] = node.enabled

    # -- what can happen

    @rule(key=st.sampled_from([None, b"x", b"y"]), tried=st.sets(NAMES, max_size=2))
    def acquire(self, key: bytes | None, tried: set[str]) -> None:
        nodes = self.pool.nodes
        used = [nodes[name] for name in sorted(tried) if name in nodes]
        before = {node: node.ejection for node in self.pool.available(self.now)}
        try:
            lease = self.pool.acquire(self.now, key, used)
        except NoTarget as error:
            self._check_refusal(error, used)
            return
        node = lease.node
        self.leases.append(lease)
        assert node not in used
        assert node.enabled == "up"
        limit = node.target.max_conns
        assert not limit or node.in_flight <= limit or before.get(node) == "trial"
        if self.pool.all_down == "refuse":
            assert node.available
        if node.target.backup and self.pool.all_down == "refuse":
            better = [n for n in nodes.values() if not n.target.backup]
            others = [n for n in better if n is not node and n.available]
            assert all(n.full or n in used for n in others)

    def _check_refusal(self, error: NoTarget, used: list[Node]) -> None:
        nodes = self.pool.nodes.values()
        usable = [n for n in nodes if n.available]
        if not usable and self.pool.all_down == "least_bad":
            usable = [n for n in nodes if n.enabled == "up"]
        assert all(n.full or n in used for n in usable)
        if isinstance(error, AllDown):
            assert not usable
            if self.limits.keep_last:
                ready = [n for n in nodes if n.willing and n.well]
                assert all(n.kind == "connect" for n in ready)
        elif isinstance(error, AllTried):
            assert usable
            assert all(n in used for n in usable)
        else:
            assert isinstance(error, AllFull)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), error=strategies.errors(), end=st.integers(0, 3))
    def end_lease(self, data: st.DataObject, error: ProxyError, end: int) -> None:
        lease = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        if end == 0:
            lease.failed(self.now, error)
        elif end == 1:
            lease.succeeded(self.now)
        elif end == 2:
            lease.succeeded(self.now, 503)
        lease.release(self.now)
        lease.release(self.now)

    @rule(data=st.data(), times=st.integers(1, 4))
    def fail(self, data: st.DataObject, times: int) -> None:
        """Several failures in a row at the nodes the pool likes to pick."""
        for _ in range(times):
            try:
                lease = self.pool.acquire(self.now)
            except NoTarget:
                return
            lease.failed(self.now, data.draw(strategies.errors()))
            lease.release(self.now)

    @rule(seconds=st.sampled_from([0.1, 3.0, 5.0, 30.0, 60.0, 1000.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def wait_for_trial(self) -> None:
        """To the end of the next ejection, and one exchange with whoever comes back."""
        ends = [
            node.ejected_until
            for node in self.pool.nodes.values()
            if node.ejection == "ejected"
        ]
        if ends:
            self.now = max(self.now, min(ends))
            on_trial = [
                node
                for node in self.pool.available(self.now)
                if node.ejection == "trial" and not node.trial
            ]
            if on_trial and not on_trial[0].target.max_conns:
                others = [n for n in self.pool.nodes.values() if n is not on_trial[0]]
                lease = self.pool.acquire(self.now, None, others)
                assert lease.node.trial
                assert lease.node.full
                self.leases.append(lease)

    @rule(name=NAMES, good=st.booleans())
    def observe(self, name: str, good: bool) -> None:
        self.pool.observe(name, GOOD if good else BAD, self.now)

    @rule(name=NAMES, up=st.booleans())
    def mark(self, name: str, up: bool) -> None:
        if name in self.pool.nodes:
            self.pool.mark(name, up, "by hand", self.now)

    @rule(name=NAMES, word=st.sampled_from(["up", "drain", "down"]))
    def enable(self, name: str, word: Enabled) -> None:
        if name in self.pool.nodes:
            self.pool.set_enabled(name, word, "by hand", self.now)

    @rule(members=strategies.memberships())
    def replace(self, members: list[Target]) -> None:
        self._follow_events()
        old = dict(self.pool.nodes)
        self.pool.replace(members, self.now)
        assert list(self.pool.nodes) == [t.id for t in members]
        for node in self.pool.nodes.values():
            assert old.get(node.id, node) is node
            if node.id not in old:
                self._learn(node)

    # -- what must hold

    def _follow_events(self) -> None:
        for event in self.diary.events[self.read :]:
            self._check_ejection(event)
            assert event.cause
            assert event.old != event.new
            if event.fact in ("health", "ejection", "enabled"):
                key = event.node, event.fact
                if event.node in self.pool.nodes:
                    assert self.seen[key] == event.old, event
                self.seen[key] = event.new
        self.read = len(self.diary.events)

    def _check_ejection(self, event: Event) -> None:
        """Read before the next step, so the pool is still as the ejection left it."""
        if event.fact == "ejection" and event.new == "ejected":
            nodes = self.pool.nodes.values()
            if event.old == "up" and event is self.diary.events[-1]:
                share = max(1, int(self.limits.max_share * len(nodes)))
                assert self.pool.ejections.count <= share
            dead = self.pool.nodes[event.node].kind == "connect"
            last_event = event is self.diary.events[-1]
            if self.limits.keep_last and last_event and not dead:
                assert any(n.available for n in nodes)

    @invariant()
    def no_change_without_an_event(self) -> None:
        self._follow_events()
        for node in self.pool.nodes.values():
            assert self.seen[node.id, "health"] == node.health.word
            assert self.seen[node.id, "ejection"] == node.ejection
            assert self.seen[node.id, "enabled"] == node.enabled

    @invariant()
    def leases_add_up(self) -> None:
        for node in self.pool.nodes.values():
            held = sum(lease.node is node for lease in self.leases)
            assert node.in_flight == held
            assert node.stats.requests >= node.stats.successes + node.stats.failures

    @invariant()
    def ejections_are_limited(self) -> None:
        nodes = self.pool.nodes.values()
        out = [n for n in nodes if n.ejection != "up"]
        assert self.pool.ejections.count == len(out)
        assert all(n.trial_lease is None or n.ejection == "trial" for n in nodes)
        if self.limits.shadow:
            assert not out

    @invariant()
    def a_snapshot_can_always_be_made(self) -> None:
        for row in self.pool.snapshot(self.now):
            assert row["why_not"] == "" or row["back"]

    def teardown(self) -> None:
        """Once all is well again, everybody comes back: recovery is always reachable."""
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        while self.leases:
            self.leases.pop().release(self.now)
        for node in pool.nodes.values():
            assert node.in_flight == 0
            pool.set_enabled(node.id, "up", "recovery", self.now)
            for _ in range(pool.thresholds.rise):
                pool.observe(node.id, GOOD, self.now)
        self.now += 1000.0
        for node in pool.nodes.values():
            others = [n for n in pool.nodes.values() if n is not node]
            lease = pool.acquire(self.now, b"x", others)
            assert lease.node is node
            lease.succeeded(self.now)
            lease.release(self.now)
            assert node.available
            assert node.ejection == "up"
            assert node.in_flight == 0


PoolMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


class PoolTests(PoolMachine.TestCase):  # type: ignore[valid-type,misc]  # made by hypothesis
    """The machine above, run by the test runner."""
