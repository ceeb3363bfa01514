"""Runs the active checks of one pool: what is probed when, and what becomes of the result.

The loop itself is `service.checks.rounds`. Here is what makes it a health check: the interval goes
by the state of the target and by its traffic (`domain.checks.cadence`), a failure of real traffic
brings the next probe forward, a result of another pool's probe of the same address counts
as one's own (`service.checks.shared_checks`), and one of several checks reports to the ballot
(`service.checks.quorum`) instead of to the pool.

`HealthChecker.of` makes one for a program that has no configuration.

Imports: config, domain, domain.checks, net.checks, net.library, net.sockets,
service.checks, Twisted. Used by: lolly_tx, service, service.checks.shared_checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lolly_tx.config.checks import Health
from lolly_tx.config.pools import SendProxy
from lolly_tx.domain.checks.cadence import Traffic
from lolly_tx.domain.checks.health import Health as HealthState
from lolly_tx.domain.checks.health import Observation
from lolly_tx.domain.interfaces import IHealthCheck
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.kinds import CheckKinds
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.pools import Events, Targets, balanced
from lolly_tx.net.sockets.endpoints import TargetEndpoints
from lolly_tx.service.checks.rounds import NOBODY, Rounds

OBSERVE_SPACING = 1.0
"""Seconds from one probe to the next that failures of real traffic can ask for; a busy target may fail a
thousand times a second."""


Heard = Callable[[str, Observation, float], None]
"""Told of a result: of which target, what was seen, and when."""


class Judge(Protocol):
    """Who takes in results: the pool itself, or a ballot when there are several checks."""

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """A result came in."""

    def state(self, node_id: str) -> HealthState:
        """What this check thinks of a target by now."""


class PoolJudge:
    """One check alone: its results are the pool's."""

    def __init__(self, pool: Pool) -> None:
        self.observe = pool.observe
        self._nodes = pool

    def state(self, node_id: str) -> HealthState:
        """What the pool thinks of it."""
        return self._nodes.nodes[node_id].health


class Overheard:
    """A judge, and someone who hears each result before it does."""

    def __init__(self, judge: Judge, hear: Heard) -> None:
        self.state = judge.state
        self._judge = judge
        self._hear = hear

    def observe(self, node_id: str, observation: Observation, now: float) -> None:
        """A result came in."""
        self._hear(node_id, observation, now)
        self._judge.observe(node_id, observation, now)


class HealthChecker(Rounds):
    """Probes every target of `pool` each `interval` and tells the pool what it saw.

    `check`: probes one target. `settings`: the pool's `health` table, or one of its
    `checks`. `judge`: who takes in the results; None = the pool, which then goes by the
    settings' `rise`, `fall` and `initial`. The rest is that of `Rounds`.

    A probe that was cancelled, by a stop or because its target left, is never held against
    the target; neither is one that could not be made because this machine ran out of
    descriptors.
    """

    what = "health check"

    def __init__(
        self,
        pool: Pool,
        check: IHealthCheck,
        settings: Health,
        *,
        clock: IReactorTime,
        now: Callable[[], float],
        random: Random,
        judge: Judge | None = None,
    ) -> None:
        self.cadence = settings.cadence
        super().__init__(
            pool,
            interval=settings.interval,
            shortest=self.cadence.shortest,
            timeout=settings.timeout,
            concurrency=settings.concurrency,
            jitter=settings.jitter,
            clock=clock,
            now=now,
            random=random,
        )
        if judge is None:
            pool.go_by(settings.thresholds, settings.initial)
        self.check = check
        self.path = settings.path
        self.deferred = 0
        """Probes left out because real traffic had gone well."""
        self._judge: Judge = judge or PoolJudge(pool)
        self._observes = settings.observes
        cadence = self.cadence
        self._by_state = cadence.shortest != cadence.steady or (
            cadence.longest != cadence.steady
        )
        self._idles = cadence.idle != cadence.steady
        self._requests: dict[str, int] = {}
        self._relied_on: dict[str, tuple[Traffic, int]] = {}
        self._probed: dict[str, float] = {}
        self._listen: Callable[..., None] | None = getattr(check, "listen", None)
        self._by_place: dict[str, str] = {}

    @classmethod
    def of(
        cls,
        reactor: Any,
        where: BalancedEndpoint | Pool | Targets,
        *,
        path: str = "/health",
        interval: float = 10.0,
        check: IHealthCheck | None = None,
        events: Events | None = None,
        now: Callable[[], float] | None = None,
        random: Random | None = None,
        **settings: Any,
    ) -> HealthChecker:
        """A checker of a pool, of an endpoint that balances, or of targets: `net.library.pools.balanced` takes these.

        `path`: what each target is asked for every `interval` seconds. `check`: what is done in place of that.
        `settings`: more of `config.checks.Health`: `type`, `timeout` (seconds), `rise`, `fall`, `headers`, ...
        `events`: as for `balanced`, when `where` is targets; a pool has been told already who hears of it. `now`:
        seconds, monotonic; that of the endpoint, when there is one.

        Raises ValueError and TypeError for settings that cannot be meant, and what `balanced` raises.
        """
        random = random or Random()
        if not isinstance(where, (BalancedEndpoint, Pool)):
            where = balanced(reactor, where, events=events, now=now, random=random)
        elif events is not None:
            raise ValueError("events: the pool has been told who hears of it")
        health = Health(path=path, interval=interval, **settings)
        tls = dialer = None
        send_proxy: SendProxy = ""
        if isinstance(where, BalancedEndpoint):
            pool, now = where.pool, now or where.now
            endpoints: Any = where.connect_to
            if isinstance(endpoints, TargetEndpoints):
                tls = endpoints.tls
                send_proxy = endpoints.send_proxy
                dialer = endpoints.dialer.for_checks()
        else:
            pool, now = where, now or time.monotonic
        if check is None:
            check = CheckKinds().make(
                reactor,
                health,
                tls,
                now=now,
                random=random,
                dialer=dialer,
                send_proxy=send_proxy,
            )
        return cls(pool, check, health, clock=reactor, now=now, random=random)

    @property
    def probes(self) -> int:
        """Probes started since this object was made."""
        return self.asked

    def overhear(self, hear: Heard) -> None:
        """Tell `hear` of each result as well."""
        self._judge = Overheard(self._judge, hear)

    # -- life

    def start(self, known: Mapping[str, float] = NOBODY) -> None:
        """Start probing, every target at once first but those that are `known`. Does nothing when running."""
        if self.is_running:
            return
        if self._observes and self.pool.suspect is None:
            self.pool.suspect = self.suspect  # else whoever is there passes it on
        self._hear_of_members()
        super().start(known)

    def stop(self) -> None:
        """Stop probing and cancel the probes in flight. Does nothing when stopped.

        When it returns no timer and no socket is left, and `start` may be called again.
        """
        if not self.is_running:
            return
        if self.pool.suspect == self.suspect:
            self.pool.suspect = None
        if self._listen is not None:
            self._listen(None)
        super().stop()
        self._requests.clear()
        self._relied_on.clear()
        self._probed.clear()

    def mark_healthy(self, node_id: str) -> None:
        """Take a target up by hand, until checks say otherwise. Raises UnknownNode."""
        self.pool.mark(node_id, True, "marked healthy", self._now())

    def mark_unhealthy(self, node_id: str) -> None:
        """Take a target down by hand, until checks say otherwise. Raises UnknownNode."""
        self.pool.mark(node_id, False, "marked unhealthy", self._now())

    # -- one probe

    def ask(self, node: Node) -> Deferred[Any]:
        """Probe `node`."""
        if self._observes:
            self._probed[node.id] = self._now()
        result: Deferred[Any] = self.check.check(node.target)
        return result

    def heard(self, node_id: str, answer: Any, now: float) -> None:
        """A verdict came in."""
        self._take(node_id, answer, now)

    def unanswered(self, node_id: str, now: float) -> None:
        """A probe did not end by itself: that is a verdict too."""
        late = Observation(False, f"no verdict in {self.timeout:g} s")
        self.pool.check_times.add(self.timeout)
        self._take(node_id, late, now)

    def _take(self, node_id: str, seen: Observation, now: float) -> None:
        """Count a result, and let it be judged."""
        node = self.pool.nodes.get(node_id)
        if node is not None:
            results, word = node.stats.checks, seen.result
            results[word] = results.get(word, 0) + 1
            if seen.latency is not None:
                self.pool.check_times.add(seen.latency)
        if self.pool.check_counts(node_id, seen, now):
            self._judge.observe(node_id, seen, now)

    # -- when the next one is due

    def wait(self, node_id: str) -> float:
        """Seconds until the next probe, by the state of the target."""
        if not self._by_state:
            return self.interval
        node = self.pool.nodes.get(node_id)
        if node is None:
            return self.interval
        idle = False
        if self._idles:
            requests = node.stats.requests
            idle = self._requests.get(node_id) == requests
            self._requests[node_id] = requests
        return self.cadence.wait(self._judge.state(node_id), idle)

    def spares(self, node: Node) -> bool:
        """Whether there is nobody to ask, or traffic that went well stands in for the probe that is due."""
        if node.absent:
            return True
        if not self.cadence.defer:
            return False
        then, deferred = self._relied_on.get(node.id, (None, 0))
        now = traffic_of(node)
        spared = then is not None and self.cadence.may_defer(
            self._judge.state(node.id), now, then, deferred
        )
        self._relied_on[node.id] = (now, deferred + 1 if spared else 0)
        self.deferred += spared
        return spared

    def suspect(self, node: Node, now: float) -> None:
        """Real traffic failed at `node`: look at once, within reason, if the settings say so."""
        if not self._observes:
            return
        last = self._probed.get(node.id)
        spacing = min(OBSERVE_SPACING, self.cadence.shortest)
        at = now if last is None else max(now, last + spacing)
        self.hurry(node.id, at)

    # -- shared checks

    def followed(self) -> None:
        """The membership changed: so did the addresses."""
        self._hear_of_members()
        members = self.pool.nodes
        for gone in [one for one in self._probed if one not in members]:
            del self._probed[gone]
        for gone in [one for one in self._relied_on if one not in members]:
            del self._relied_on[gone]
        for gone in [one for one in self._requests if one not in members]:
            del self._requests[gone]

    def _hear_of_members(self) -> None:
        """Hear of the probes that other pools make of these addresses."""
        if self._listen is not None:
            nodes = self.pool.nodes.values()
            self._by_place = {place_of(node.target): node.id for node in nodes}
            self._listen(self._heard_elsewhere, self._by_place)

    def _heard_elsewhere(self, place: str, observation: Observation) -> None:
        """Another pool's probe of the same address ended."""
        node_id = self._by_place.get(place)
        if node_id is None or node_id not in self._agenda:
            return
        now = self._now()
        self._take(node_id, observation, now)
        self.delay(node_id, now)


def traffic_of(node: Node) -> Traffic:
    """The counters of a node that say how its traffic goes."""
    stats = node.stats
    bad = stats.failures + stats.errors
    return Traffic(stats.successes - stats.errors, bad)


def place_of(target: Target) -> str:
    """The address a probe of `target` goes to; equal for targets of different pools that are one."""
    return target.endpoint or f"{target.scheme}://{target.host}:{target.port}"
