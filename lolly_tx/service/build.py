"""From a configuration to a running proxy.

    build(reactor, config) -> LollyService

May import: everything below. Used by: tap, cli, service.demo, and whoever embeds the
proxy. Nothing listens before `privilegedStartService`; if one listener cannot listen,
none does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from random import Random
from secrets import token_hex
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from lolly_tx._version import __version__
from lolly_tx.config.model import Config, Listener
from lolly_tx.domain.account import NextCheck
from lolly_tx.domain.balancers import Balancers
from lolly_tx.domain.forwarding import TrustedPeers
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.routes import Pattern, RouteTable
from lolly_tx.net.deadlines import NEVER, Deadlines
from lolly_tx.net.http1.server import HALF_CLOSE_SECONDS
from lolly_tx.net.library.directory import RUNNING
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.net.sockets.acceptor import Acceptor, Census, ClientTimeouts
from lolly_tx.net.sockets.endpoints import BadEndpoint
from lolly_tx.net.sockets.tls import secure, server_context
from lolly_tx.net.sockets.transports import eager
from lolly_tx.proxy.accesslog import AccessLog
from lolly_tx.proxy.health import HealthProxy
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.route import ToPool
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.admin import admin_site
from lolly_tx.service.answers import unready
from lolly_tx.service.descriptors import affordable_connections, descriptor_limit
from lolly_tx.service.dryrun import Question, dry_run
from lolly_tx.service.journal import EverySink, Journal
from lolly_tx.service.listening import CannotListen, Listening
from lolly_tx.service.logfile import LAST_SECONDS, LogFile
from lolly_tx.service.pools import Deps, RunningPool, run_pool
from lolly_tx.service.probing import ProbingDeps
from lolly_tx.service.recording import Recorder
from lolly_tx.service.registry import PluginDeps, Registry
from lolly_tx.service.statistics import listener_statistics, pool_statistics
from lolly_tx.service.watchdog import Watchdog, WatchdogSnapshot
from lolly_tx.wire.http1 import HeadLimits

__all__ = ["CannotListen", "LollyService", "build", "log_files"]


class LollyService(Service):
    """The running proxy (`service.answers.Serving`).

    `resources`: each listener's proxy as a `twisted.web` resource, to mount elsewhere.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        *,
        deadlines: Deadlines,
        running: Mapping[str, RunningPool],
        listeners: Mapping[str, tuple[Any, Acceptor]],
        resources: Mapping[str, ReverseProxyResource],
        access_log: AccessLog | None,
        log_file: LogFile | None,
        log_shared: bool,
        journal: Journal,
        traces: Traces | None,
        sinks: Sequence[IEventSink] = (),
    ) -> None:
        self.config = config
        self.pools: dict[str, Pool] = {n: r.pool for n, r in running.items()}
        self.running_pools = running
        self.resources = resources
        self.draining = False
        self.listening = False
        self.acceptors = {name: acceptor for name, (_, acceptor) in listeners.items()}
        self.access_log = access_log
        self.journal = journal
        self.traces = traces
        self._log_file = log_file
        self._log_shared = log_shared
        self._sinks = sinks
        self._reactor = reactor
        self._deadlines = deadlines
        self._listeners = listeners
        self._ports = Listening(self._endpoints())
        self._flush: LoopingCall | None = None
        self.watchdog = Watchdog(
            reactor, deadlines.now, sampling=IReactorThreads.providedBy(reactor)
        )

    # -- starting

    def privilegedStartService(self) -> None:
        """Listen everywhere, or raise `CannotListen` and listen nowhere."""
        super().privilegedStartService()
        self._ports.listen()

    def listen_early(self) -> None:
        """Listen on plain TCP ports now, before the process becomes a daemon. Raises `CannotListen`."""
        self._ports.listen_early()

    def _endpoints(self) -> Iterator[tuple[str, Any, Any]]:
        """What to listen on, with its string and its factory."""
        for name, listener in self.config.listeners.items():
            yield listener.endpoint, *self._listeners[name]
        admin = self.config.admin
        if admin is not None:
            endpoint = _server(eager(self._reactor), admin.endpoint, "admin.endpoint")
            site = admin_site(
                self,
                now=self._deadlines.now,
                token=admin.token or None,
                read_token=admin.read_token or None,
                hosts=admin.hosts,
                reactor=self._reactor,
            )
            yield admin.endpoint, endpoint, site

    def startService(self) -> None:
        """Begin to serve."""
        if not self._ports.complete:
            self.privilegedStartService()
        super().startService()
        self._deadlines.start()
        self.watchdog.start()
        for each in self.running_pools.values():
            each.start()
        if self.access_log is not None and self.config.access_log is not None:
            self._flush = LoopingCall(self._flush_log)
            self._flush.clock = self._reactor
            self._flush.start(self.config.access_log.flush, now=False)
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

    def _flush_log(self) -> None:
        """Write what is collected, and what a reader did not take before."""
        log, file = self.access_log, self._log_file
        if log is not None and file is not None:
            log.flush()
            with suppress(OSError):  # said when a line meets the same
                file.flush()

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
        stopped = self._ports.stop()
        for acceptor in self.acceptors.values():
            acceptor.drain()
        for each in self.running_pools.values():
            each.stop()
        until = self._deadlines.now() + self.config.timeouts.shutdown
        # Ports accept who waits in their queues before they close: those doors count.
        stopped.addCallback(self._wait_for_doors, until)
        return stopped.addCallback(self._cb_drained)

    def _wait_for_doors(self, _: object, until: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()

        def look() -> None:
            doors = [d for a in self.acceptors.values() for d in a.doors]
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
        if self._flush is not None and self._flush.running:
            self._flush.stop()
        self._flush_log()
        if self._log_file is not None and not self._log_shared:
            self._log_file.drain(LAST_SECONDS)
            self._log_file.close()

    def reopen_logs(self) -> None:
        """After the log file was renamed: go on in a new one."""
        if self._log_file is not None:
            self._log_file.reopen()
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


def log_files(config: Config) -> Iterator[str]:
    """The files that lines of the proxy are appended to."""
    events = config.events.get("file")
    for owner in (config.access_log, events):
        path = getattr(owner, "path", "-")
        if path != "-":
            yield path


def build(
    reactor: Any,
    config: Config,
    *,
    now: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    random: Random | None = None,
    events: IEventSink | None = None,
    balancers: Balancers | None = None,
    registry: Registry | None = None,
    stdout: LogFile | None = None,
) -> LollyService:
    """Build the service that `config` describes.

    `registry`: the plugins there are; only what is built in, when it is not given.
    `stdout`: what an access log "-" goes to, shared with others so that no lines mix.
    `reactor`: any that has TCP. `now`: monotonic clock; `wall`: seconds since the epoch.
    Raises `net.sockets.tls.TLSSettingsError`, `net.sockets.endpoints.BadEndpoint` and OSError for files
    and addresses that cannot be used.
    """
    deadlines = Deadlines(reactor, now)
    limits = config.limits
    random = random or Random()
    # Of this process, so that proxies like us in a row tell their own requests from others.
    hop = token_hex(8).encode("ascii")
    journal = Journal()
    traces = _traces(config, random, wall)
    trusted = TrustedPeers(config.trusted_proxies)
    registry = registry or Registry()
    plugin_deps = PluginDeps(reactor, reactor, now, random, Logger("lolly_tx.plugin"))
    sinks = registry.sinks(config.events, plugin_deps)
    deps = Deps(
        reactor=reactor,
        now=now,
        wall=wall,
        random=random,
        events=EverySink((journal, events or EventLog(), *sinks)),
        deadlines=deadlines,
        balancers=balancers or registry.balancers(plugin_deps),
        trusted=trusted,
        response_limits=HeadLimits(
            head_bytes=limits.response_head_size,
            fields=limits.response_fields,
            line_bytes=limits.response_head_size,
        ),
        interim=limits.interim_responses,
        via=config.via,
        half_closed=config.timeouts.half_closed,
        directory=RUNNING,
        traces=traces,
        policies=lambda named: registry.accruals(named, plugin_deps),
        probing=ProbingDeps(reactor, now, random, kinds=registry.check_kinds()),
    )
    log_file, access_log, log_shared = None, None, False
    if config.access_log is not None:
        shared = stdout if config.access_log.path == "-" else None
        log_shared = shared is not None
        log_file = shared or LogFile(config.access_log.path)
        access_log = AccessLog(
            log_file.write,
            config.access_log.format,
            now=now,
            batch_bytes=config.access_log.buffer_size,
        )
    introduction = Introduction(trusted, config.forwarded, config.via, hop)
    recorder = None
    if access_log is not None:
        recorder = Recorder(access_log, introduction, wall, now)
    running = {
        name: run_pool(settings, deps, recorder.finished if recorder else None)
        for name, settings in config.pools.items()
    }
    census = Census(_connection_cap(limits.connections), limits.connections_per_client)
    timeouts = config.timeouts
    listeners = {}
    resources = {}

    def ready() -> bool:
        return not unready(service, now())

    for name, listener in config.listeners.items():
        proxied = (
            _table(config, name, running),
            introduction,
            recorder.refused if recorder else None,
        )
        proxy = (
            HealthProxy(*proxied, ready=ready) if listener.health else Proxy(*proxied)
        )
        resources[name] = resource = ReverseProxyResource(proxy, name)
        endpoint = _endpoint(reactor, listener)
        acceptor = Acceptor(
            name,
            resource.proxy,
            secure=listener.tls is not None
            or listener.endpoint.startswith(("ssl:", "tls:")),
            deadlines=deadlines,
            census=census,
            timeouts=ClientTimeouts(
                head=timeouts.head,
                body=timeouts.body,
                keepalive=timeouts.keepalive,
                write=timeouts.write,
                body_rate=limits.body_rate,
                gone=HALF_CLOSE_SECONDS if limits.half_close == "cancel" else NEVER,
            ),
            limits=HeadLimits(
                head_bytes=limits.head_size,
                fields=limits.fields,
                line_bytes=limits.line_size,
            ),
            body_bytes=limits.body_size,
            requests_per_connection=limits.requests_per_connection,
            most=limits.connections_per_listener,
        )
        listeners[name] = (endpoint, acceptor)
    service = LollyService(
        reactor,
        config,
        deadlines=deadlines,
        running=running,
        listeners=listeners,
        resources=resources,
        access_log=access_log,
        log_file=log_file,
        log_shared=log_shared,
        journal=journal,
        traces=traces,
        sinks=sinks,
    )
    return service


def _traces(config: Config, random: Random, wall: Callable[[], float]) -> Traces | None:
    """Where traces are kept; None when no exchange is to leave one."""
    explain = config.explain
    traces = Traces(
        sample=explain.sample,
        header=explain.header,
        token=config.admin.token if config.admin is not None else "",
        keep=explain.keep,
        random=random,
        wall=wall,
    )
    return traces if traces.on else None


def _connection_cap(wanted: int) -> int:
    descriptors = descriptor_limit()
    most = affordable_connections(wanted, descriptors)
    if most != wanted:
        LollyService.log.warn(
            "At most {most} client connections in place of limits.connections ="
            " {wanted}: the process may have {descriptors} descriptors (ulimit -n)",
            most=most,
            wanted=wanted,
            descriptors=descriptors,
        )
    return most


def _endpoint(reactor: Any, listener: Listener) -> Any:
    key = f"listener.{listener.name}.endpoint"
    if listener.tls is None:
        return _server(eager(reactor), listener.endpoint, key)
    context = server_context(
        listener.tls.certificate, listener.tls.key or listener.tls.certificate
    )
    return _server(secure(reactor, context), listener.endpoint, key)


def _server(reactor: Any, text: str, key: str) -> Any:
    """The endpoint that a string means. Raises `BadEndpoint`, whatever its parser raises: it may be a plugin's."""
    try:
        return serverFromString(reactor, text)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise BadEndpoint(f'{key}: "{text}" cannot be used: {said}') from error


def _table(
    config: Config, listener: str, running: Mapping[str, RunningPool]
) -> RouteTable[RouteEnd]:
    return RouteTable(
        Pattern(route.hosts, route.path, ToPool(running[route.pool].forwarder))
        for route in config.routes
        if not route.listeners or listener in route.listeners
    )
