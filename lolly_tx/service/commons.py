"""What all pools of a service have in common, whatever their settings and however often these change.

Imports: domain, domain.balancers, net, net.checks, net.files, net.library, net.sockets,
proxy, proxy.files, service, service.checks, service.records. Used by: service,
service.changes, service.forwards, service.tunnels, simulate.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.roster import never_absent
from lolly_tx.domain.target import Target
from lolly_tx.net.checks.kinds import CheckKinds
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.files.threads import FileThreads
from lolly_tx.net.library.directory import PoolDirectory
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.sockets.staples import Staples
from lolly_tx.proxy.endings import Endings
from lolly_tx.proxy.files.supplies import FileSupplies
from lolly_tx.service.checks.local_faults import LocalFaults
from lolly_tx.service.checks.shared_checks import SharedChecks
from lolly_tx.service.records.exemplars import Exemplars
from lolly_tx.service.records.flight import Flight
from lolly_tx.service.registry import Registry
from lolly_tx.service.surroundings import Surroundings


@attrs.frozen
class Commons:
    """`events`: the one sink. `registry`: the plugins there are. `directory`: where pools are found by name.

    `health_map`: what is known of addresses. `local_faults`: whether it is us that nobody is reached.
    `shared_checks`: one probe for all that ask the same. `flight`: who writes down what checks find; None: nobody.
    `staples`: those of certificates. `files`: what all routes to files
    share. `exemplars`: who puts down traced exchanges, where traces are kept. `endings`: where exchanges are put that
    are over. `absence`: why there is nobody to connect to for a target (`domain.pool.Pool`).
    """

    surroundings: Surroundings
    deadlines: Deadlines
    events: IEventSink
    registry: Registry = attrs.field(factory=Registry)
    directory: PoolDirectory = attrs.field(factory=PoolDirectory)
    shared_checks: SharedChecks = attrs.field(factory=SharedChecks)
    flight: Flight | None = None
    staples: Staples = attrs.field(factory=Staples)
    absence: Callable[[Target], str] = never_absent
    kinds: CheckKinds = attrs.field()
    balancers: Balancers = attrs.field()
    health_map: HealthMap = attrs.field()
    files: FileSupplies = attrs.field()
    exemplars: Exemplars = attrs.field()
    endings: Endings = attrs.field()
    local_faults: LocalFaults = attrs.field()

    @kinds.default
    def _kinds(self) -> CheckKinds:
        return self.registry.check_kinds()

    @balancers.default
    def _balancers(self) -> Balancers:
        return self.registry.balancers(self.surroundings)

    @exemplars.default
    def _exemplars(self) -> Exemplars:
        return Exemplars(self.surroundings.now, self.surroundings.wall)

    @endings.default
    def _endings(self) -> Endings:
        return Endings(self.surroundings.reactor)

    @health_map.default
    def _health_map(self) -> HealthMap:
        return HealthMap(self.surroundings.reactor, now=self.surroundings.now)

    @local_faults.default
    def _local_faults(self) -> LocalFaults:
        return LocalFaults(self.surroundings, self.health_map, self.kinds, self.events)

    @files.default
    def _files(self) -> FileSupplies:
        around = self.surroundings
        return FileSupplies(
            around.reactor,
            self.deadlines,
            FileThreads(around.reactor),
            None,
            around.random,
            around.wall,
        )
