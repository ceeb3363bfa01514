"""From a configuration to a running proxy.

    build(reactor, config) -> LollyService

Imports: config, domain, domain.access, net, net.library, net.sockets, proxy,
proxy.streams, service, service.forwards, service.records, service.tunnels. Used by:
service.workers, tap.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from secrets import token_hex
from typing import Any

from lolly_tx.config.model import Config
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.steps import at_once
from lolly_tx.domain.tape import Tape
from lolly_tx.net.deadlines import Deadlines
from lolly_tx.net.library.directory import RUNNING
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.net.sockets.acceptor import Census
from lolly_tx.proxy.introduction import Introduction
from lolly_tx.proxy.own_answers import OwnAnswers
from lolly_tx.proxy.streams.streamnames import place_name
from lolly_tx.service.commons import Commons
from lolly_tx.service.listening import CannotListen
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.parts import (
    connection_cap,
    history_file,
    identities_of,
    make_place,
    make_resource,
    spans_of,
    traces_of,
    write_down,
)
from lolly_tx.service.pools import Circumstances, run_pool
from lolly_tx.service.records.flight import Flight, told
from lolly_tx.service.records.journal import EverySink, Journal
from lolly_tx.service.records.logchoice import wanted_logs
from lolly_tx.service.registry import Registry
from lolly_tx.service.routing import Routing
from lolly_tx.service.service import LollyService
from lolly_tx.service.surroundings import WHOLE, Part, Surroundings
from lolly_tx.service.tunnels.absence import absence
from lolly_tx.service.tunnels.running import tunnel_place_name

__all__ = ["CannotListen", "LollyService", "build"]


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
    part: Part = WHOLE,
) -> LollyService:
    """Build the service that `config` describes.

    `registry`: the plugins there are; only what is built in, when it is not given.
    `stdout`: what an access log "-" goes to, shared with others so that no lines mix.
    `part`: what of it this process does, where there are several.
    `reactor`: any that has TCP. `now`: monotonic clock; `wall`: seconds since the epoch.
    Raises `service.middlewares.CannotMake`, `net.sockets.certificates.TLSSettingsError`,
    `net.sockets.endpoints.BadEndpoint` and OSError for files and addresses that cannot be used.
    """
    around = Surroundings(reactor, now, wall, random or Random(), stdout, part)
    registry = registry or Registry()
    journal = Journal()
    sinks = registry.sinks(config.events, around)
    every = EverySink((journal, events or EventLog(), *sinks))
    flight = None
    if config.recorder is not None:
        memory = part.tape or bytearray(config.recorder.size)
        flight = Flight(Tape(memory), part.number, around.random.getrandbits(26))
    commons = Commons(
        around,
        Deadlines(reactor, now),
        every,
        registry=registry,
        directory=RUNNING,
        flight=flight,
        absence=absence,
    )
    commons.local_faults.go_by(config.local_fault)
    # Of this process, so that proxies like us in a row tell their own requests from others.
    hop = part.hop or token_hex(8).encode("ascii")
    trusted = TrustedPeers(config.trusted_proxies)
    introduction = Introduction(trusted, config.forwarded, config.via, hop)
    logs = recorder = None
    if wanted_logs(config) and part.serves:
        from lolly_tx.service.records.recording import AccessLogs, Recorder

        logs = AccessLogs(config, around, commons.endings.tell)
        recorder = Recorder(logs, introduction, wall, now, commons.endings.tell)
    traces = traces_of(config, around)
    spans = spans_of(config, around)
    on_end = told(spans, commons.exemplars if config.trace is not None else None)
    write_down(commons.endings, recorder, flight)
    identities = identities_of(config, trusted, around.random)
    circumstances = Circumstances.of(
        config,
        trusted,
        traces,
        on_end,
        identities,
        commons.endings if recorder or flight else None,
    )
    running = {
        name: run_pool(settings, commons, circumstances)
        for name, settings in config.pools.items()
    }
    for each in running.values():
        for _ in each.targets_tried():
            pass  # nobody is served yet who would have to have a turn
    limits = config.limits
    most = connection_cap(config)
    service = LollyService(
        config,
        commons,
        running=running,
        journal=journal,
        every_sink=every,
        introduction=introduction,
        census=Census(most, limits.connections_per_client),
        circumstances=circumstances,
        logs=logs,
        spans=spans,
        recorder=recorder,
        sinks=sinks,
    )
    ends = {name: each.end for name, each in running.items()}
    stores = service.stores.prepare(config)
    middleware = service.middlewares.prepare(config, ends, stores.store)
    routing = Routing(config, ends, introduction, around, middleware, commons.files)
    for name, listener in config.listeners.items():
        own = OwnAnswers()
        table = at_once(routing.table(name, own))
        resource = make_resource(service, listener, table, own)
        service.serve(name, resource, make_place(service, config, listener, resource))
    service.stores.commit(stores)
    service.shared_purges.go_by(config.caches, service.stores)
    service.middlewares.commit(middleware)
    for stream in config.streams.values():
        from lolly_tx.service.streamplaces import stream_place

        place = stream_place(service, config, stream)
        service.listeners.prepare(place_name(stream.name), place)
    servers = service.tunnels.prepare(None, config)
    for tunnel in config.tunnels.values():
        from lolly_tx.service.tunnelplaces import tunnel_place

        place = tunnel_place(service, config, tunnel, servers[tunnel.name])
        service.listeners.prepare(tunnel_place_name(tunnel.name), place)
    service.tunnels.commit()
    if config.forwards:
        _serve_forwards(service, config)
    if part.admin:
        if flight is not None:
            from lolly_tx.service.records.dumps import Dumps

            service.dumps = Dumps(service, [flight.tape], commons.endings.tell)
            every.sinks = (*every.sinks, service.dumps)
        every.sinks = (*every.sinks, service.history)
        if config.state_dir:
            service.history_file = history_file(service)
            service.history_file.load()
        service.serve_admin()
    return service


def _serve_forwards(service: LollyService, config: Config) -> None:
    """Have the next start listen for the clients of forward proxies."""
    from lolly_tx.service.forwards.places import forward_place

    for name, settings in config.forwards.items():
        forward = service.make_forward(settings, service.circumstances)
        service.forwards[name] = forward
        forward.proxy.own.on_refusal = service.on_refusal
        forward.proxy.own.identities = service.circumstances.identities
        place = forward_place(forward, config, settings, service.census)
        service.listeners.prepare(forward.place_name, place)
