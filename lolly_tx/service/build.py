"""From a configuration to a running proxy.

    build(reactor, config) -> LollyService

Imports: config, domain, net, net.library, net.sockets, proxy, service, Twisted. Used
by: tap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from secrets import token_hex
from typing import Any

from twisted.logger import Logger

from lolly_tx.config.model import Config
from lolly_tx.domain.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.routes import Pattern, RouteTable
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.library.balanced import BalancedEndpointFactory
from lolly_tx.net.library.directory import RUNNING
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.proxy.health import HealthProxy
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.route import ToPool
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.answers import unready
from lolly_tx.service.commons import Commons
from lolly_tx.service.descriptors import affordable_connections, descriptor_limit
from lolly_tx.service.journal import EverySink, Journal
from lolly_tx.service.listeners import place_of
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.pools import RunningPool, run_pool
from lolly_tx.service.recording import LogWriting, Recorder
from lolly_tx.service.registry import Registry
from lolly_tx.service.service import LollyService
from lolly_tx.service.surroundings import Surroundings

__all__ = ["CannotListen", "LollyService", "build", "log_files"]

_log = Logger()


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
    around = Surroundings(reactor, now, wall, random or Random(), stdout)
    registry = registry or Registry()
    journal = Journal()
    sinks = registry.sinks(config.events, around)
    commons = Commons(
        around,
        Deadlines(reactor, now),
        EverySink((journal, events or EventLog(), *sinks)),
        registry=registry,
        directory=RUNNING,
    )
    trusted = TrustedPeers(config.trusted_proxies)
    # Of this process, so that proxies like us in a row tell their own requests from others.
    hop = token_hex(8).encode("ascii")
    introduction = Introduction(trusted, config.forwarded, config.via, hop)
    log_writing = recorder = None
    if config.access_log is not None:
        log_writing = LogWriting(config.access_log, around)
        recorder = Recorder(log_writing.log, introduction, wall, now)
    traces = _traces(config, around)
    running = {
        name: run_pool(
            settings,
            config,
            commons,
            trusted=trusted,
            traces=traces,
            on_end=recorder.finished if recorder else None,
        )
        for name, settings in config.pools.items()
    }
    endpoints = BalancedEndpointFactory(
        {n: each.endpoint for n, each in running.items()}
    )

    service = LollyService(
        config,
        commons,
        running=running,
        journal=journal,
        traces=traces,
        log_writing=log_writing,
        sinks=sinks,
    )

    def ready() -> bool:
        return not unready(service, now())

    limits = config.limits
    most = _connection_cap(limits.connections)
    census = Census(most, limits.connections_per_client)
    for name, listener in config.listeners.items():
        table = _table(config, name, running)
        refused = recorder.refused if recorder else None
        if listener.health:
            proxy: Proxy = HealthProxy(table, introduction, refused, ready=ready)
        else:
            proxy = Proxy(table, introduction, refused)
        resource = ReverseProxyResource(proxy, name, endpoints)
        place = place_of(
            listener,
            config,
            resource,
            reactor=reactor,
            deadlines=commons.deadlines,
            census=census,
        )
        service.serve(name, resource, place)
    service.serve_admin()
    return service


def _traces(config: Config, surroundings: Surroundings) -> Traces | None:
    """Where traces are kept; None when no exchange is to leave one."""
    explain = config.explain
    traces = Traces(
        sample=explain.sample,
        header=explain.header,
        token=config.admin.token if config.admin is not None else "",
        keep=explain.keep,
        random=surroundings.random,
        wall=surroundings.wall,
    )
    return traces if traces.on else None


def _connection_cap(wanted: int) -> int:
    descriptors = descriptor_limit()
    most = affordable_connections(wanted, descriptors)
    if most != wanted:
        _log.warn(
            "At most {most} client connections in place of limits.connections ="
            " {wanted}: the process may have {descriptors} descriptors (ulimit -n)",
            most=most,
            wanted=wanted,
            descriptors=descriptors,
        )
    return most


def _table(
    config: Config, listener: str, running: Mapping[str, RunningPool]
) -> RouteTable[RouteEnd]:
    return RouteTable(
        Pattern(route.hosts, route.path, ToPool(running[route.pool].forwarder))
        for route in config.routes
        if not route.listeners or listener in route.listeners
    )
