"""The running proxy: what starts it, what stops it, and what it says of itself.

Nothing listens before `privilegedStartService`; if one listener cannot listen, none does. `service.build` makes it.

It is long because it is where all parts meet: each of its methods starts, stops or shows several of them, in an order
that is only to be seen together. What a part does is in the part.

Imports: _version, config, config.kinds, domain, domain.caching, net.datagrams,
net.sockets, proxy, proxy.streams, service, service.admin, service.forwards,
service.metrics, service.records, service.stores, service.tunnels, Twisted. Used by:
service, service.changes, service.upgrades, service.workers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lolly_tx._version import described
from lolly_tx.config.kinds.addresses import with_mode
from lolly_tx.config.model import Admin, Config
from lolly_tx.config.shown import shown_in_steps
from lolly_tx.domain.caching.catalog import Purge
from lolly_tx.domain.histogram import Exemplar
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.steps import at_once
from lolly_tx.domain.wayback import NextCheck
from lolly_tx.net.sockets.acceptor import Acceptor, Census
from lolly_tx.net.sockets.eager import eager
from lolly_tx.proxy.counters import Counters
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OnRefusal
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.commons import Commons
from lolly_tx.service.division import workers_of
from lolly_tx.service.drains import Drains
from lolly_tx.service.farewells import Farewells
from lolly_tx.service.generation import (
    Amending,
    Discovering,
    Generation,
    Providing,
    Reloading,
    Upgrading,
)
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.listeners import Listeners
from lolly_tx.service.listening import Place, server_endpoint
from lolly_tx.service.metrics.statistics import (
    awaited_by,
    cache_statistics,
    connections_at,
    left_of,
    places_of,
    process_statistics,
    telling_of,
)
from lolly_tx.service.middlewares import Middlewares
from lolly_tx.service.past import Past
from lolly_tx.service.pools import Circumstances, RunningPool
from lolly_tx.service.purging import Purged, Purging
from lolly_tx.service.records.history import History, HistoryFile
from lolly_tx.service.records.journal import EverySink, Journal
from lolly_tx.service.records.logchoice import wanted_logs
from lolly_tx.service.records.reopening import reopen_all, require_writable
from lolly_tx.service.serving import Colleagues
from lolly_tx.service.stopping import Stopping
from lolly_tx.service.stores.running import Stores
from lolly_tx.service.stores.shared_purges import SharedPurges
from lolly_tx.service.tunnels.absence import is_behind
from lolly_tx.service.tunnels.running import Tunnels
from lolly_tx.service.upkeep import Upkeep
from lolly_tx.service.watchdog import Watchdog, WatchdogSnapshot

if TYPE_CHECKING:
    from lolly_tx.config.forward import Forward as ForwardSettings
    from lolly_tx.proxy.streams.streaming import StreamCounters
    from lolly_tx.service.dryrun import Question
    from lolly_tx.service.forwards.places import Forward
    from lolly_tx.service.records.dumps import Dumps
    from lolly_tx.service.records.recording import AccessLogs, Recorder
    from lolly_tx.service.records.spans import Spans
    from lolly_tx.service.stores.fleet import FleetEvidence

ADMIN_MODE = "660"
"""Of its socket, if it is a UNIX one; Twisted's own would let in everybody on the machine."""

ADMIN = "[admin]"
"""Its name among the listeners; no listener can be called so."""


class LollyService(Service):
    """The running proxy (`service.admin.answers.Serving`).

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
        every_sink: EverySink,
        introduction: Introduction,
        census: Census,
        circumstances: Circumstances,
        logs: AccessLogs | None = None,
        spans: Spans | None = None,
        recorder: Recorder | None = None,
        sinks: Sequence[IEventSink] = (),
    ) -> None:
        self.config = config
        self.commons = commons
        self.surroundings = commons.surroundings
        self.generation = Generation(1, self.surroundings.wall())
        self.reloading: Reloading | None = None
        """Who changes the settings while it runs; None: nobody."""
        self.amending: Amending | None = None
        """Who changes targets while it runs; None: nobody."""
        self.discoveries: Discovering | None = None
        """Who finds targets while it runs; None: nobody."""
        self.providers: Providing | None = None
        """Who brings routes from elsewhere while it runs; None: nobody."""
        self.upgrading: Upgrading | None = None
        """Who replaces the code while it runs; None: nobody."""
        self.running_pools = dict(running)
        self.endpoints = {name: each.endpoint for name, each in running.items()}
        """What `lolly:pool=NAME` connects through, by pool."""
        self.stream_counters: dict[str, StreamCounters] = {}
        """What became of the connections of streams, by name, whatever their settings were."""
        self.tunnels = Tunnels(
            commons, self._renew, every_sink.emit, self._look_for_absent
        )
        self.forwards: dict[str, Forward] = {}
        """The forward proxies, by name."""
        self.every_sink = every_sink
        self.introduction = introduction
        self.census = census
        self.circumstances = circumstances
        self.middlewares = Middlewares(
            self.surroundings, commons.registry, introduction.client_of
        )
        self.stores = Stores(self.surroundings)
        """Those that are shared with other instances."""
        self.fleet: FleetEvidence | None = None
        """What is told other instances of targets, and heard of them; None: nobody asked for it yet."""
        self.purging: Purging = self._purge
        """Drops what caches have, in all processes."""
        self.shared_purges = SharedPurges(
            self.surroundings, lambda purges: self.purging(purges)
        )
        self.logs = logs
        self.spans = spans
        self.recorder = recorder
        self.pools: dict[str, Pool] = {n: r.pool for n, r in running.items()}
        self.past = Past()
        self.listeners = Listeners()
        self.resources: dict[str, ReverseProxyResource] = {}
        self.journal = journal
        self.reopening: Callable[[], None] = self.reopen_logs
        """Opens the log files anew, those of the process as well if it is told of them. Raises `NotReopened`."""
        self.draining = False
        self.listening = False
        self.sinks = tuple(sinks)
        self.dumps: Dumps | None = None
        """Who makes dumps of the recorder; None: nothing is recorded."""
        self.colleagues: Colleagues | None = None
        """The processes that serve; None: this one does."""
        self._deadlines = commons.deadlines
        self._reactor = reactor = commons.surroundings.reactor
        self.history = History(self.pools, self._deadlines.now, self.surroundings.wall)
        self.history_file: HistoryFile | None = None
        """Where that is kept; None: nowhere."""
        self.drains = Drains(reactor, self._deadlines.now, self.pools, self._cut)
        self.listener_drains = ListenerDrains(
            reactor,
            self._deadlines.now,
            self.listeners,
            lambda name: connections_at(self, name)[0],
            every_sink.emit,
        )
        self.stopping = Stopping(
            reactor,
            self._deadlines.now,
            self.listeners,
            lambda: left_of(self),
            quiet=not self.surroundings.part.admin,
        )
        sampling = IReactorThreads.providedBy(reactor)
        self.upkeep = Upkeep(
            commons,
            self.listeners,
            lambda: self.config,
            self.surroundings.part.admin,
            self.stores,
        )
        self.watchdog = Watchdog(reactor, self._deadlines.now, sampling=sampling)

    def serve(self, name: str, resource: ReverseProxyResource, place: Place) -> None:
        """Have the next start listen at `place` for clients of `resource`; `name`: the listener's."""
        self.resources[name] = resource
        self.listeners.prepare(name, place)

    @property
    def now(self) -> Callable[[], float]:
        """The monotonic clock, seconds."""
        return self._deadlines.now

    @property
    def traces(self) -> Traces | None:
        """Where exchanges leave traces; None: none does."""
        return self.circumstances.traces

    @property
    def on_refusal(self) -> OnRefusal | None:
        """Told of each request that no route end has seen."""
        recorder = self.recorder
        return None if recorder is None or recorder.logs is None else recorder.refused

    @property
    def acceptors(self) -> Mapping[str, Acceptor]:
        """What makes doors for clients, by listener."""
        return self.listeners.acceptors

    def make_forward(self, settings: ForwardSettings, around: Circumstances) -> Forward:
        """A forward proxy, which nobody has listened for yet. Raises `CannotMake`."""
        from lolly_tx.service.forwards.places import Forward

        hop, ports = self.introduction.hop, self.listeners.ports
        return Forward(settings, around, self.commons, hop, ports, self.running_pools)

    def serve_admin(self) -> None:
        """The same for the admin endpoint, if there is to be one. Raises `BadEndpoint`."""
        if self.config.admin is not None:
            self.listeners.prepare(ADMIN, self.admin_place(self.config.admin))

    def admin_place(self, admin: Admin) -> Place:
        """Where the admin endpoint is to be. Raises `BadEndpoint`."""
        view = eager(self._reactor)
        text = with_mode(admin.endpoint, ADMIN_MODE)
        endpoint = server_endpoint(view, text, "admin.endpoint")
        from lolly_tx.service.admin.endpoint import (
            admin_site,  # and with it twisted.web
        )

        site = admin_site(
            self,
            now=self._deadlines.now,
            token=admin.token or None,
            read_token=admin.read_token or None,
            hosts=admin.hosts,
            reactor=self._reactor,
        )
        return Place(admin.endpoint, endpoint, site, view)

    def settings_changed(self, running: Mapping[str, RunningPool]) -> None:
        """The pools are these from now on."""
        self.running_pools.clear()
        self.running_pools.update(running)
        self.endpoints.clear()
        self.endpoints.update({name: each.endpoint for name, each in running.items()})
        self.pools.clear()
        self.pools.update({name: each.pool for name, each in running.items()})
        if self.running:
            self._share(running)

    def _share(self, running: Mapping[str, RunningPool]) -> None:
        """Tell other instances what is seen in those of these pools that are to share it."""
        if self.fleet is None:
            if not any(one.settings.passive.share for one in running.values()):
                return
            from lolly_tx.service.stores.fleet import (
                FleetEvidence,  # few have use for it
            )

            self.fleet = FleetEvidence(
                self.surroundings,
                self.stores,
                self.commons.local_faults,
                lambda: workers_of(self.config),
            )
        self.fleet.go_by(running)

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
        self.upkeep.start()
        self.stores.start()
        self.shared_purges.start()
        if self.history_file is not None:
            self.history_file.start()
        for each in self.running_pools.values():
            each.start()
        self._share(self.running_pools)
        self.commons.local_faults.start()
        self.commons.endings.start()
        if self.logs is not None:
            self.logs.start()
        self.tunnels.start()
        if self.discoveries is not None:
            self.discoveries.start()
        if self.providers is not None:
            self.providers.start()
        self.listening = True
        self.log.info(
            "{what} serves {file}: pools {pools}; listeners {listeners}",
            what=described(),
            file=self.config.file,
            pools=", ".join(self.config.pools) or "none",
            listeners=", ".join(awaited_by(self.config)) or "none",
        )

    # -- stopping

    def stopService(self) -> Deferred[None]:
        """Say that we are not ready, then accept nothing more, let exchanges end, and stop.

        Fires at the latest after `timeouts.lame_duck` and `timeouts.shutdown`; when `patient`, `timeouts.drain` in
        place of that.
        """
        super().stopService()
        self.draining = True
        if self.discoveries is not None:
            self.discoveries.stop()
        if self.providers is not None:
            self.providers.stop()
        if self.reloading is not None:
            self.reloading.stop()
        self.drains.stop()
        self.listener_drains.stop()
        if not self.surroundings.part.serves:
            return self._drain()
        lame_duck = self.config.timeouts.lame_duck if self.listening else 0.0
        self.stopping.announce(lame_duck + self._drain_seconds)
        if not lame_duck:
            return self._drain()
        return deferLater(self._reactor, lame_duck).addCallback(self._drain)

    @property
    def patient(self) -> bool:
        """A stop lets tunnels and downloads have `timeouts.drain`."""
        return self.stopping.patient

    @patient.setter
    def patient(self, patient: bool) -> None:
        self.stopping.patient = patient

    @property
    def _drain_seconds(self) -> float:
        timeouts = self.config.timeouts
        return timeouts.drain if self.patient else timeouts.shutdown

    def _drain(self, _: object = None) -> Deferred[None]:
        self.listening = False
        stopped = self.listeners.stop(self.patient, last=ADMIN)  # to say how far it is
        self.tunnels.stop()
        for each in self.running_pools.values():
            each.stop()
        if self.fleet is not None:
            self.fleet.stop()
        self.commons.local_faults.stop()
        for forward in self.forwards.values():
            forward.stop()
        if self.surroundings.part.serves:
            self.stopping.limit(self._drain_seconds)
            # Ports accept who waits in their queues before they close: those doors count.
            stopped.addCallback(self.stopping.wait)
        stopped.addCallback(lambda _: self.listeners.end())
        return stopped.addCallback(self._cb_drained)

    def _cut(self, pool: str, node: Node) -> None:
        """End what is open to `node`, wherever it is."""
        if self.colleagues is None:
            self.cut(pool, node)
        else:
            self.colleagues.cut(pool, node.id)

    def cut(self, pool: str, node: Node) -> None:
        """End what is open to `node` in this process."""
        from lolly_tx.net.datagrams.session import DatagramSession

        upstreams = self.running_pools[pool].forwarder.upstreams
        leaving = [each for owner, each in upstreams if owner is node]
        for door in self.listeners.doors:
            if isinstance(door, DatagramSession) and door.node is node:
                door.shut()
        Farewells(self._reactor, self._deadlines).see_off(leaving, 0.0)

    def _renew(self, connector: str) -> None:
        """Close what is idle to the services of a connector, in this process."""
        begins = f"tunnel:{connector}:"
        for each in self.running_pools.values():
            for node, upstream in each.forwarder.upstreams:
                if node.target.endpoint.startswith(begins):
                    upstream.renew()

    def _look_for_absent(self, connector: str) -> None:
        """It has come or gone: targets behind it are there, or are not. Who is back is asked at once."""
        now = self.now()
        whose = partial(is_behind, connector=connector)
        for each in self.running_pools.values():
            for node in each.pool.look_for_absent(now, whose):
                each.probing.hurry(node.id, now)

    def retire(self) -> None:
        """Another process serves in our place: a stop takes its time for those who are there, and for nobody else."""
        self.patient, self.listening = True, False
        self.listeners.leave()

    def hurry(self) -> None:
        """A stop that is under way has no more than `timeouts.shutdown` from now on."""
        self.patient = False
        self.stopping.limit(self.config.timeouts.shutdown)
        self.listeners.hurry()

    def _cb_drained(self, _: object) -> Deferred[None] | None:
        if self.surroundings.part.serves:
            self.stopping.conclude()
        self.tunnels.abort()
        self._deadlines.stop()
        self.middlewares.stop()
        self.shared_purges.stop()
        self.upkeep.stop()
        self.stores.stop()
        self.commons.files.close()
        self.watchdog.stop()
        if self.history_file is not None:
            self.history_file.stop()
        self.commons.endings.stop()
        if self.logs is not None:
            self.logs.stop()
        if self.dumps is not None:
            self.dumps.stop()
        for sink in self.sinks:
            end = getattr(sink, "end", None)
            if end is not None:
                end()
        return None if self.spans is None else self.spans.stop()

    def _purge(self, purges: Sequence[Purge]) -> Deferred[Purged]:
        return self.middlewares.purge(purges).addCallback(Purged)

    def purge(self, purge: Purge) -> Deferred[Purged]:
        """Drop what caches have of what it names, here and in other instances that share their purges."""
        return self.shared_purges.purge(purge)

    def reopen_logs(self) -> None:
        """After log files were renamed: go on in new ones. Raises `NotReopened`."""
        each = [] if self.logs is None else [self.logs.reopen]
        if not self.surroundings.part.serves:
            # Those who write there have no way to tell who asks.
            paths = {log.path for log in wanted_logs(self.config) if log.in_file}
            each += [partial(require_writable, path) for path in sorted(paths)]
        sinks = [getattr(sink, "reopen", None) for sink in self.sinks]
        reopen_all([*each, *(one for one in sinks if one is not None)])

    # -- what the admin endpoint shows (`service.admin.answers.Serving`)

    def settings(self) -> dict[str, Any]:
        """The settings in force, secrets hidden, with their generation."""
        return at_once(self.showing())

    def showing(self) -> Generator[None, None, dict[str, Any]]:
        """The same a part at each step, for who has no hurry."""
        changes = [] if self.amending is None else self.amending.shown()
        told = {**self._in_force(), "run_time": changes}
        return {**told, "config": (yield from shown_in_steps(self.config))}

    def _in_force(self) -> dict[str, Any]:
        """Which settings are in force, and since when."""
        now = self.generation
        trial = self.reloading.trial if self.reloading is not None else None
        return {
            "file": self.config.file,
            "generation": now.number,
            "loaded_at": iso_time(now.loaded_at),
            "last_reload_ok": now.reloaded,
            "reload_failures": now.failures,
            "unconfirmed_until": None if trial is None else iso_time(trial.until),
            "applied": self.reloading is not None and self.reloading.applied,
            "run_time_changes": 0 if self.amending is None else len(self.amending),
        }

    def places(self, told: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The listeners: where they listen, and who is connected there. `told`: the counters, if they are there."""
        return places_of(self, self.statistics() if told is None else told)

    def watched(self) -> WatchdogSnapshot:
        """How the event loop has been."""
        return self.watchdog.snapshot()

    def certificates(self) -> list[dict[str, Any]]:
        """Those that are served."""
        return self.upkeep.shown()

    def local_fault(self) -> dict[str, Any] | None:
        """What is the matter with this machine; None: nothing."""
        return self.commons.local_faults.shown()

    def expiries(self) -> Iterator[tuple[str, float]]:
        """Of each of them the first name, or else the file, and when it ends (seconds since the epoch)."""
        return self.upkeep.expiries()

    def ordered(self) -> list[dict[str, Any]]:
        """The names whose certificates are asked for and renewed here."""
        return self.upkeep.renewals.shown()

    def statistics(self) -> dict[str, Any]:
        """All counters."""
        return at_once(self.telling())

    def telling(self) -> Generator[None, None, dict[str, Any]]:
        """The same a part at each step, for who has no hurry."""
        told = {
            "settings": self._in_force(),
            "process": process_statistics(
                self.watched(), process_time(), self.logs, self.spans
            ),
            "caches": cache_statistics(self.middlewares.caches),
            "stores": self._stores_shown(),
            **self.upkeep.counted(),
            "local_faults": {
                "now": self.local_fault(),
                "count": self.commons.local_faults.count,
            },
        }
        told.update((yield from telling_of(self, self.surroundings.wall())))
        if self.colleagues is None:
            return told
        yield
        return self.colleagues.statistics(told)

    def _stores_shown(self) -> dict[str, Any]:
        """How each store is, and what is heard of purges there."""
        purges = self.shared_purges.shown()
        return {
            name: {**one, "purges": purges.get(name)}
            for name, one in self.stores.shown().items()
        }

    def store_accounts(self) -> list[dict[str, Any]]:
        """How each store is, since when and why, who uses it, and what that means."""
        from lolly_tx.config.stores import store_users
        from lolly_tx.service.stores.accounts import store_account

        told, users = self.statistics()["stores"], store_users(self.config)
        return [
            store_account(store, told[name], users.get(name, ()), self.now())
            for name, store in self.stores
        ]

    def next_check(self, pool: str, target: str) -> NextCheck:
        """When a target is checked next; with several checks, by the first of them."""
        running = self.running_pools.get(pool)
        if running is None:
            return None  # it has left since it was asked for
        checkers = running.probing.checkers
        if any(checker.asking(target) for checker in checkers):
            return "in progress"
        times = [checker.due(target) for checker in checkers]
        return min((at for at in times if at is not None), default=None)

    def next_recheck(self, pool: str, target: str) -> NextCheck:
        """When a target that takes no connections is asked by one of our own."""
        running = self.running_pools.get(pool)
        rechecker = running.probing.rechecker if running is not None else None
        return None if rechecker is None else rechecker.due(target)

    def exemplars(self, pool: str) -> Mapping[int, Exemplar]:
        """Traced exchanges of a pool, by their place in the histogram of durations."""
        counted = self.counters.get(pool)
        return {} if counted is None else counted.exemplars

    @property
    def counters(self) -> Mapping[str, Counters]:
        """What exchanges came to, by pool."""
        running = self.running_pools.items()
        return {name: one.forwarder.counters for name, one in running}

    def dry_run(self, question: Question) -> dict[str, Any]:
        """What would become of a request. Raises `dryrun.CannotExplain`."""
        from lolly_tx.service.dryrun import dry_run

        return dry_run(
            question,
            {name: resource.proxy for name, resource in self.resources.items()},
            {name: each.forwarder for name, each in self.running_pools.items()},
            self._deadlines.now(),
            self.config,
        )

    def traced(self) -> list[dict[str, Any]]:
        """The traces that are kept, oldest first."""
        return self.traces.latest() if self.traces is not None else []
