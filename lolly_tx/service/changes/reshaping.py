"""A pool that goes on under other settings: prepared first, which may fail, then committed, which may not.

    reshape(old, settings, ...) --> Reshape      builds and tries all that is new; touches nothing that runs
    Reshape.commit(now)         --> RunningPool  assigns; the targets that stay do not notice

The domain's pool, its nodes and their connections are the same objects before and after. What depends on settings that
did not change is kept with all it knows: checks with their phase, budgets, waiting rooms, rotation. Exchanges that are
under way end with the forwarder they began with; its counters are those of the new one.

Imports: config, domain, domain.retries, net, net.library, proxy, service. Used by:
service.changes.change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from lolly_tx.config.model import PoolSettings
from lolly_tx.domain.new_settings import PolicyWord, take_settings
from lolly_tx.domain.retries.policy import Policy
from lolly_tx.domain.target import Target
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.upstreams import Upstream
from lolly_tx.proxy.forwarder import Forwarder
from lolly_tx.service.commons import Commons
from lolly_tx.service.policies import connect_limits_of
from lolly_tx.service.pools import (
    TARGETS_AT_ONCE,
    Circumstances,
    RunningPool,
    asking,
    connecting,
    connection_maker,
    make_forwarder,
    run_pool,
    upstream_limits,
)
from lolly_tx.service.probing import Probing, probing

_JUDGED_BY = (
    "max_fails",
    "fail_timeout",
    "min_rises",
    "gateway_errors",
    "rate",
    "latency",
    "policies",
)
"""What of the passive settings makes a policy that counts."""

_CHOSEN_BY = (
    "balance",
    "balance_settings",
    "consistent_hash",
    "least_time",
    "sticky",
)
_PROBED_BY = ("health", "checks", "quorum", "agent", "tls", "send_proxy")
_HOW_OFTEN = frozenset(
    (
        "interval",
        "interval_suspect",
        "interval_down",
        "interval_idle",
        "timeout",
        "rise",
        "fall",
        "jitter",
        "concurrency",
        "defer",
        "observe",
        "initial",
    )
)
"""What of a check says nothing of its question."""


def _differ(old: Any, new: Any, *names: str) -> bool:
    """Whether two tables of settings differ in any of these."""
    return any(getattr(old, n, None) != getattr(new, n, None) for n in names)


@attrs.frozen
class Reshape:
    """What is ready for `commit`. `fresh`: a pool of the new settings, without targets, that never serves.

    `endpoint`, `probing`: the old ones where nothing changed for them. `asks_another`: what checks ask is not the same.
    """

    old: RunningPool
    settings: PoolSettings
    fresh: RunningPool
    commons: Commons
    endpoint: BalancedEndpoint
    probing: Probing
    asks_another: bool

    def targets_tried(self) -> Iterator[None]:
        """Make the endpoints of all new targets, a part at each step. Raises `BadEndpoint`."""
        known = set(self.old.settings.targets)
        if self.endpoint is not self.old.endpoint:
            known = set()
        new = [one for one in self.settings.targets if one not in known]
        for number, target in enumerate(new, 1):
            self.endpoint.connect_to(target)
            if not number % TARGETS_AT_ONCE:
                yield

    def commit(self, now: float, by: str = "") -> tuple[RunningPool, list[Upstream]]:
        """Go by the new settings; the pool, and the connections in use to what has left.

        `by`: who changes targets; "" for the configuration.
        """
        old, settings, fresh = self.old, self.settings, self.fresh
        pool, around = old.pool, fresh.circumstances
        before = {node.id: node.target for node in pool.nodes.values()}
        take_settings(pool, fresh.pool, tuple(self._anew()), now)
        if old.settings.targets != settings.targets:
            pool.replace(settings.targets, now, by)
        if self.asks_another:
            pool.begin_health_anew("the check changed", now)
        left = self._lead_connections()
        forwarder = self._forwarder()
        ask_again = old.ask_again
        if self.endpoint is not old.endpoint:
            pool.on_back.remove(ask_again)
            ask_again = asking(self.endpoint)
            pool.on_back.append(ask_again)
        old.end.lead_to(forwarder)
        earlier = tuple(f for f in (old.forwarder, *old.earlier) if f.in_flight)
        new = RunningPool(
            settings,
            around,
            pool,
            forwarder,
            self.probing,
            self.endpoint,
            old.directory,
            old.end,
            ask_again,
            earlier,
        )
        self._probe(before)
        return new, left

    def _anew(self) -> Iterator[PolicyWord]:
        """The policies of the pool that have to begin anew."""
        old, new = self.old.settings, self.settings
        if _differ(old, new, *_CHOSEN_BY):
            yield "balance"
        if _differ(old.passive, new.passive, *_JUDGED_BY):
            yield "accrual"
        if _differ(old, new, "outlier"):
            yield "outliers"
        if _differ(old, new, "adaptive"):
            yield "limit"

    def _lead_connections(self) -> list[Upstream]:
        old, settings, around = self.old, self.settings, self.fresh.circumstances
        upstreams = old.forwarder.upstreams
        if old.settings.protocol == settings.protocol:
            make = connection_maker(settings, self.commons, around)
            upstreams.go_by(upstream_limits(settings, around), make)
        connect_to = connecting(settings, self.commons, around, self.endpoint)
        if self.endpoint is not old.endpoint:
            return upstreams.lead(connect_to)
        upstreams.connect_to = connect_to
        return upstreams.keep(old.pool.nodes.values())

    def _forwarder(self) -> Forwarder:
        """Who sends exchanges from now on, with what the old one knows, as far as it still holds."""
        old = self.old.forwarder
        old.retire()
        return make_forwarder(
            self.settings,
            self.commons,
            self.fresh.circumstances,
            self.old.pool,
            old.upstreams,
            self._policy(),
            old.counters,
        )

    def _policy(self) -> Policy:
        """The new one, with the parts of the old one whose settings are the same."""
        before, after = self.old.settings, self.settings
        old, new = self.old.forwarder.policy, self.fresh.forwarder.policy
        budget, hedging, room = new.budget, new.hedging, new.room
        admission = new.admission
        if old.budget and budget:
            if not _differ(before.retry, after.retry, "budget", "budget_floor"):
                budget = old.budget
        if not _differ(before, after, "hedge"):
            hedging = old.hedging
        trusted = self.old.circumstances.trusted
        if before.queue == after.queue and trusted is self.fresh.circumstances.trusted:
            room = old.room
        if not _differ(before, after, "admission"):
            admission = old.admission
        return new.with_parts(budget, hedging, room, admission)

    def _probe(self, before: Mapping[str, Target]) -> None:
        """Ask by the new settings. What is asked as `before` goes on in its phase."""
        old = self.old
        if self.probing is not old.probing:
            if self.asks_another:
                old.probing.stop()
                self.probing.start()
            else:
                self.probing.follow(old.probing)
        else:
            moved = []
            for node in old.pool.nodes.values():
                target, was = node.target, before.get(node.id, node.target)
                # One that did not change is the same object, or equal to it; most are.
                if target is not was and target.place != was.place:
                    moved.append(node.id)
            self.probing.renew(moved)
        if self.endpoint is not old.endpoint:
            old.directory.withdraw(old.endpoint)
            old.directory.publish(self.endpoint)


def reshape(
    old: RunningPool,
    settings: PoolSettings,
    commons: Commons,
    circumstances: Circumstances,
) -> Reshape:
    """Prepare other settings for `old`. Raises what `service.pools.run_pool` raises; then nothing has happened."""
    # Of no targets, so that it costs the same for one and for a thousand.
    alone = attrs.evolve(settings, targets=())
    fresh = run_pool(alone, commons, circumstances)
    before = old.settings
    endpoint = old.endpoint
    if (
        _differ(before, settings, "tls", "send_proxy", "protocol")
        or _differ(before.timeout, settings.timeout, "connect")
        or connect_limits_of(before) != connect_limits_of(settings)
    ):
        around = commons.surroundings
        endpoint = BalancedEndpoint(
            old.pool,
            fresh.endpoint.connect_to,
            around.reactor,
            around.now,
            timeout=None,
        )
    probes = old.probing
    if (
        _differ(before, settings, *_PROBED_BY)
        or before.passive.recheck != settings.passive.recheck
        or _differ(before.timeout, settings.timeout, "connect")
    ):
        probes = probing(settings, old.pool, commons)
    another = _asked_of(before) != _asked_of(settings)
    return Reshape(old, settings, fresh, commons, endpoint, probes, another)


def _asked_of(settings: PoolSettings) -> list[str]:
    """What the checks of a pool ask and accept; how often, and how many answers it takes, is no part of it."""
    quorum = settings.quorum if settings.checks else 0
    found = [repr((settings.tls, settings.send_proxy, quorum))]
    for check in (*((settings.health,) if settings.health else ()), *settings.checks):
        fields = (field.name for field in attrs.fields(type(check)))
        values = [getattr(check, name) for name in fields if name not in _HOW_OFTEN]
        found.append(repr([dict(v) if isinstance(v, Mapping) else v for v in values]))
    return found
