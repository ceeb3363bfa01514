"""Everything that asks a pool's targets how they are: one check or several with a ballot, and their agents.

    [pool.x.health]      one HealthChecker, whose results are the pool's
    [[pool.x.checks]]    a HealthChecker each, whose results go to the ballot, and its verdict to the pool
    [pool.x.agent]       TargetAgentRounds
    neither of the first two: a Rechecker, for targets that take no connections

Imports: config, domain, domain.checks, net.checks, net.sockets, service,
service.checks. Used by: service.changes, service.pools, simulate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

from lolly_tx.config.checks import Health
from lolly_tx.config.pools import PoolSettings
from lolly_tx.domain.addresses import DOWN
from lolly_tx.domain.checks.health import Initial, Thresholds
from lolly_tx.domain.checks.quorum import Opinion, verdict
from lolly_tx.domain.checks.recheck import RecheckDelays
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.net.checks.agent_channel import AgentChannel
from lolly_tx.net.checks.kinds import BadCheckSettings, UnknownCheck
from lolly_tx.net.sockets.endpoints import client_endpoint
from lolly_tx.net.sockets.resolver import Lane
from lolly_tx.service.checks.checker import HealthChecker, Judge, PoolJudge
from lolly_tx.service.checks.local_faults import LocalFaults
from lolly_tx.service.checks.quorum import Ballot, BallotJudge, members_of
from lolly_tx.service.checks.rechecks import Rechecker
from lolly_tx.service.checks.rounds import NOBODY
from lolly_tx.service.checks.target_agents import TargetAgentRounds
from lolly_tx.service.commons import Commons


def first_state(settings: PoolSettings) -> tuple[Thresholds, Initial]:
    """The thresholds and the initial health that the domain's pool is to be made with.

    With several checks each has thresholds of its own; what they say together counts at once.
    """
    if settings.health is not None:
        return settings.health.thresholds, settings.health.initial
    if not settings.checks:
        return Thresholds(), "up"
    opinions = [Opinion.first(member) for member in members_of(settings.checks)]
    up = verdict(opinions, settings.quorum).ok
    return Thresholds(), "up" if up else "down"


class Probing:
    """What probes one pool. `checkers`: one for each active check. `ballot`: None when there is one check at most."""

    def __init__(
        self,
        pool: Pool,
        checkers: Sequence[HealthChecker] = (),
        ballot: Ballot | None = None,
        agents: TargetAgentRounds | None = None,
        rechecker: Rechecker | None = None,
        local_faults: LocalFaults | None = None,
    ) -> None:
        self.pool = pool
        self.checkers = tuple(checkers)
        self.ballot = ballot
        self.agents = agents
        self.rechecker = rechecker
        self._local_faults = local_faults

    def __repr__(self) -> str:
        return f"<Probing of {self.pool.name}: {self.checkers!r}, {self.agents!r}>"

    def start(self, known: Mapping[str, float] = NOBODY) -> None:
        """Begin to probe. Does nothing when running. `known`: who need not be checked before such a time."""
        if self._local_faults is not None:
            self._local_faults.join(self.pool, self.ballot)
        if self.checkers:
            self.pool.suspect = self._suspect
        for checker in self.checkers:
            checker.start(known)
        if self.agents is not None:
            self.agents.start()
        if self.rechecker is not None:
            self.rechecker.start()

    def follow(self, before: Probing) -> None:
        """Begin in place of `before`, which asks the same by other settings and stops."""
        for mine, its in zip(self.checkers, before.checkers, strict=False):
            mine.follow(its)
        if self.agents is not None and before.agents is not None:
            self.agents.follow(before.agents)
        before.stop()
        self.start()

    def stop(self) -> None:
        """Cancel all that is in flight. Does nothing when stopped."""
        if self._local_faults is not None:
            self._local_faults.leave(self.pool)
        if self.pool.suspect == self._suspect:
            self.pool.suspect = None
        for checker in self.checkers:
            checker.stop()
        if self.agents is not None:
            self.agents.stop()
        if self.rechecker is not None:
            self.rechecker.stop()

    def renew(self, node_ids: Collection[str]) -> None:
        """Those targets are at other addresses: ask there, at once, and drop the questions to the old ones."""
        for each in (*self.checkers, self.agents):
            if each is not None and each.is_running:
                each.renew(node_ids)

    def hurry(self, node_id: str, now: float) -> None:
        """There is somebody to be asked again, who was not for a while."""
        for checker in self.checkers:
            checker.hurry(node_id, now)

    def _suspect(self, node: Node, now: float) -> None:
        """Real traffic failed at `node`: whichever check cares looks at once."""
        for checker in self.checkers:
            checker.suspect(node, now)


def probing(settings: PoolSettings, pool: Pool, commons: Commons) -> Probing:
    """What `settings` want of `pool`; nothing is started yet.

    Raises `net.checks.kinds.UnknownCheck` and `BadCheckSettings`.
    """
    if settings.health is not None:
        checkers = [_checker(settings.health, settings, pool, commons, None)]
        ballot = None
    else:
        members = members_of(settings.checks)
        ballot = Ballot(pool, members, settings.quorum) if members else None
        checkers = [
            _checker(one, settings, pool, commons, BallotJudge(ballot, index))
            for index, one in enumerate(settings.checks)
            if ballot is not None
        ]
    if commons.flight is not None:
        for checker in checkers:
            checker.overhear(partial(commons.flight.checked, pool.name))
    around = commons.surroundings
    agents = None
    if settings.agent is not None:
        channel = AgentChannel(
            settings.agent,
            partial(
                client_endpoint,
                around.reactor,
                timeout=None,
                patience=settings.agent.timeout,
                dialer=commons.health_map.dialer(lane=Lane(), worst=DOWN),
            ),
            clock=around.reactor,
            now=around.now,
        )
        agents = TargetAgentRounds(
            pool,
            channel,
            settings.agent,
            clock=around.reactor,
            now=around.now,
            random=around.random,
        )
    rechecker = None
    if not checkers and settings.passive.recheck:
        rechecker = _rechecker(settings, pool, commons)
    faults = commons.local_faults
    return Probing(pool, checkers, ballot, agents, rechecker, faults)


def _rechecker(settings: PoolSettings, pool: Pool, commons: Commons) -> Rechecker:
    around = commons.surroundings
    delays = RecheckDelays(settings.passive.recheck)
    make = partial(
        commons.kinds.reach,
        around.reactor,
        min(settings.timeout.connect, delays.patience),
        now=around.now,
        dialer=commons.health_map.dialer(worst=DOWN),
    )
    return Rechecker(
        pool, make, delays, clock=around.reactor, now=around.now, random=around.random
    )


def _checker(
    health: Health,
    settings: PoolSettings,
    pool: Pool,
    commons: Commons,
    judge: Judge | None,
) -> HealthChecker:
    around = commons.surroundings
    make = partial(
        commons.kinds.make,
        around.reactor,
        health,
        settings.tls,
        now=around.now,
        random=around.random,
        dialer=commons.health_map.dialer(worst=DOWN),
        send_proxy=settings.send_proxy,
    )
    try:
        way = (settings.tls, settings.send_proxy)
        seat = commons.shared_checks.seat(health, way, make)
    except (BadCheckSettings, UnknownCheck) as e:
        raise type(e)(f"pool {settings.name}: {e}") from e
    return HealthChecker(
        pool,
        seat,
        health,
        clock=around.reactor,
        now=around.now,
        random=around.random,
        judge=judge or PoolJudge(pool),
    )
