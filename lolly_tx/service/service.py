"""The running proxy: what starts it, what stops it, and what it says of itself.

Nothing listens before `privilegedStartService`; if one listener cannot listen, none does. `service.build` makes it.

Imports: _version, config, domain, net.sockets, proxy, service, Twisted. Used by:
service.build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from lolly_tx._version import __version__
from lolly_tx.config.model import Config
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.wayback import NextCheck
from lolly_tx.net.sockets.acceptor import Acceptor
from lolly_tx.net.sockets.eager import eager
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.admin import admin_site
from lolly_tx.service.commons import Commons
from lolly_tx.service.dryrun import Question, dry_run
from lolly_tx.service.journal import Journal
from lolly_tx.service.listeners import Listeners
from lolly_tx.service.listening import Place, server_endpoint
from lolly_tx.service.pools import RunningPool
from lolly_tx.service.recording import LogWriting
from lolly_tx.service.statistics import listener_statistics, pool_statistics
from lolly_tx.service.watchdog import Watchdog, WatchdogSnapshot

ADMIN = "[admin]"
"""Its name among the listeners; no listener can be called so."""


class LollyService(Service):
    """The running proxy (`service.answers.Serving`).

    `resources`: each listener's proxy as a `twisted.web` resource, to mount elsewhere.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        commons: Commons,
        *,
        running: Mapping[str, RunningPool],
        journal: Journal,
        traces: Traces | None = None,
        log_writing: LogWriting | None = None,
        sinks: Sequence[IEventSink] = (),
    ) -> None:
        self.config = config
        self.running_pools = running
        self.pools: dict[str, Pool] = {n: r.pool for n, r in running.items()}
        self.listeners = Listeners()
        self.resources: dict[str, ReverseProxyResource] = {}
        self.journal = journal
        self.traces = traces
        self.draining = False
        self.listening = False
        self._log_writing = log_writing
        self._sinks = sinks
        self._deadlines = commons.deadlines
        self._reactor = reactor = commons.surroundings.reactor
        sampling = IReactorThreads.providedBy(reactor)
        self.watchdog = Watchdog(reactor, self._deadlines.now, sampling=sampling)

    def serve(self, name: str, resource: ReverseProxyResource, place: Place) -> None:
        """Have the next start listen at `place` for clients of `resource`; `name`: the listener's."""
        self.resources[name] = resource
        self.listeners.prepare(name, place)

    @property
    def acceptors(self) -> Mapping[str, Acceptor]:
        """What makes doors for clients, by listener."""
        return self.listeners.acceptors

    def serve_admin(self) -> None:
        """The same for the admin endpoint, if there is to be one. Raises `BadEndpoint`."""
        admin = self.config.admin
        if admin is None:
            return
        endpoint = server_endpoint(
            eager(self._reactor), admin.endpoint, "admin.endpoint"
        )
        site = admin_site(
            self,
            now=self._deadlines.now,
            token=admin.token or None,
            read_token=admin.read_token or None,
            hosts=admin.hosts,
            reactor=self._reactor,
        )
        self.listeners.prepare(ADMIN, Place(admin.endpoint, endpoint, site))

    # -- starting

    def privilegedStartService(self) -> None:
        """Listen everywhere, or raise `CannotListen` and listen nowhere."""
        super().privilegedStartService()
        self.listeners.commit()

    def listen_early(self) -> None:
        """Listen on plain TCP ports now, before the process becomes a daemon. Raises `CannotListen`."""
        self.listeners.commit_early()

    def startService(self) -> None:
        """Begin to serve."""
        if not self.listeners.complete:
            self.privilegedStartService()
        super().startService()
        self._deadlines.start()
        self.watchdog.start()
        for each in self.running_pools.values():
            each.start()
        if self._log_writing is not None:
            self._log_writing.start()
        self.listening = True
        self.log.info(
            "lolly_tx {version} serves {file}: pools {pools}; listeners {listeners}",
            version=__version__,
            file=self.config.file,
            pools=", ".join(self.config.pools) or "none",
            listeners=", ".join(
                f"{one.name} ({one.endpoint})" for one in self.config.listeners.values()
            )
            or "none",
        )

    # -- stopping

    def stopService(self) -> Deferred[None]:
        """Say that we are not ready, then accept nothing more, let exchanges end, and stop.

        Fires at the latest after `timeouts.lame_duck` and `timeouts.shutdown`.
        """
        super().stopService()
        self.draining = True
        lame_duck = self.config.timeouts.lame_duck
        if lame_duck and self.listening:
            waited: Deferred[Any] = deferLater(self._reactor, lame_duck)
            return waited.addCallback(self._drain)
        return self._drain()

    def _drain(self, _: object = None) -> Deferred[None]:
        self.listening = False
        stopped = self.listeners.stop()
        for each in self.running_pools.values():
            each.stop()
        until = self._deadlines.now() + self.config.timeouts.shutdown
        # Ports accept who waits in their queues before they close: those doors count.
        stopped.addCallback(self._wait_for_doors, until)
        return stopped.addCallback(self._cb_drained)

    def _wait_for_doors(self, _: object, until: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()

        def look() -> None:
            doors = self.listeners.doors
            now = self._deadlines.now()
            if now >= until:
                for door in doors:
                    door.shut()
            # Those are gone, and what they did is recorded, in the reactor's next round.
            if not doors or now >= until + 1.0:
                loop.stop()
                done.callback(None)

        loop = LoopingCall(look)
        loop.clock = self._reactor
        loop.start(0.05)
        return done

    def _cb_drained(self, _: object) -> None:
        self._deadlines.stop()
        self.watchdog.stop()
        if self._log_writing is not None:
            self._log_writing.stop()
        for sink in self._sinks:
            end = getattr(sink, "end", None)
            if end is not None:
                end()

    def reopen_logs(self) -> None:
        """After the log file was renamed: go on in a new one."""
        if self._log_writing is not None:
            self._log_writing.reopen()
        for sink in self._sinks:
            reopen = getattr(sink, "reopen", None)
            if reopen is not None:
                reopen()

    # -- what the admin endpoint shows (`service.answers.Serving`)

    def watched(self) -> WatchdogSnapshot:
        """How the event loop has been."""
        return self.watchdog.snapshot()

    def statistics(self) -> dict[str, Any]:
        """All counters."""
        now = self._deadlines.now()
        return {
            "listeners": {
                name: {
                    **listener_statistics(acceptor),
                    "refused": self.resources[name].proxy.refusals,
                }
                for name, acceptor in self.acceptors.items()
            },
            "pools": {
                name: pool_statistics(running.forwarder, now)
                for name, running in self.running_pools.items()
            },
        }

    def next_check(self, pool: str, target: str) -> NextCheck:
        """When a target is checked next; with several checks, by the first of them."""
        checkers = self.running_pools[pool].probing.checkers
        if any(checker.asking(target) for checker in checkers):
            return "in progress"
        times = [checker.due(target) for checker in checkers]
        return min((at for at in times if at is not None), default=None)

    def next_recheck(self, pool: str, target: str) -> NextCheck:
        """When a target that takes no connections is asked by one of our own."""
        rechecker = self.running_pools[pool].probing.rechecker
        return None if rechecker is None else rechecker.due(target)

    def dry_run(self, question: Question) -> dict[str, Any]:
        """What would become of a request. Raises `dryrun.CannotExplain`."""
        return dry_run(
            question,
            {name: resource.proxy for name, resource in self.resources.items()},
            {name: each.forwarder for name, each in self.running_pools.items()},
            self._deadlines.now(),
        )

    def traced(self) -> list[dict[str, Any]]:
        """The traces that are kept, oldest first."""
        return self.traces.latest() if self.traces is not None else []
