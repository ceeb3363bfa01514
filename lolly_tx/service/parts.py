"""Parts of a service that are made in the same way when it is built and when it is reloaded.

Imports: config, domain.access, domain.routing, net.library, proxy, service,
service.acme, service.admin, service.process, service.records, Twisted. Used by:
service.build, service.changes.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from lolly_tx.config.model import Config, Listener
from lolly_tx.domain.access.forwarded import TrustedPeers
from lolly_tx.domain.routing.routes import RouteTable
from lolly_tx.net.library.balanced import BalancedEndpointFactory
from lolly_tx.proxy.endings import Endings, Writer
from lolly_tx.proxy.identity import Identities, RequestIds, Tracing
from lolly_tx.proxy.own_answers import OnRefusal, OwnAnswers
from lolly_tx.proxy.proxy import Proxy, RouteEnd
from lolly_tx.proxy.resource import ReverseProxyResource
from lolly_tx.proxy.trace import Traces
from lolly_tx.service.acme.renewals import thread_of
from lolly_tx.service.admin.answers import unready
from lolly_tx.service.listeners import place_of
from lolly_tx.service.listening import Place
from lolly_tx.service.process.descriptors import (
    affordable_connections,
    descriptor_limit,
)
from lolly_tx.service.records.history import HistoryFile
from lolly_tx.service.surroundings import Surroundings

if TYPE_CHECKING:  # pragma: no cover
    from lolly_tx.service.records.flight import Flight
    from lolly_tx.service.records.recording import Recorder
    from lolly_tx.service.records.spans import Spans
    from lolly_tx.service.service import LollyService

_log = Logger()


def traces_of(config: Config, surroundings: Surroundings) -> Traces | None:
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


def identities_of(
    config: Config, trusted: TrustedPeers, random: Random
) -> Identities | None:
    """What makes the identity of exchanges; None when they are to have none."""
    ids = tracing = None
    if config.request_id is not None:
        ids = RequestIds(
            config.request_id.header,
            trusted,
            random,
            anybody=config.request_id.trust,
            echo=config.request_id.echo,
        )
    if config.trace is not None:
        tracing = Tracing(
            trusted, random, begin=config.trace.begin, sample=config.trace.sample
        )
    if ids is None and tracing is None:
        return None
    return Identities(ids, tracing)


def spans_of(config: Config, around: Surroundings) -> Spans | None:
    """Who exports the spans of exchanges; None when nobody does."""
    trace = config.trace
    if trace is None or not trace.export or not around.part.serves:
        return None
    from lolly_tx.service.records.spans import Spans

    return Spans(
        trace.export, trace.service, around.reactor, wall=around.wall, now=around.now
    )


def history_file(service: LollyService) -> HistoryFile:
    """Where `service` keeps what its targets have been."""
    reactor = service.surroundings.reactor
    path = Path(service.config.state_dir, "history.jsonl")
    return HistoryFile(path, service.history, reactor, thread_of(reactor))


def in_pairs(config: Config) -> bool:
    """Whether clients may have a connection to a target for as long as their own."""
    return bool(config.streams or config.forwards or config.tunnels)


def connection_cap(config: Config) -> int:
    """How many client connections there may be, by the settings and by what the process may have."""
    descriptors, wanted = descriptor_limit(), config.limits.connections
    most = affordable_connections(wanted, descriptors, in_pairs(config))
    if most != wanted:
        _log.warn(
            "At most {most} client connections in place of limits.connections ="
            " {wanted}: the process may have {descriptors} descriptors (ulimit -n)",
            most=most,
            wanted=wanted,
            descriptors=descriptors,
        )
    return most


def make_resource(
    service: LollyService,
    listener: Listener,
    table: RouteTable[RouteEnd],
    own: OwnAnswers,
    on_refusal: OnRefusal | None = None,
) -> ReverseProxyResource:
    """What serves the clients of `listener`. `own`: who is told of what is answered here.

    `on_refusal`: None: as for the listeners there are.
    """
    refused = on_refusal or service.on_refusal
    config = service.config
    asked: dict[str, Any] = {}
    made: Any = Proxy
    if config.acme and config.state_dir:
        from lolly_tx.service.acme.folders import answers_folder

        asked["folder"] = answers_folder(config.state_dir)
    if listener.health:

        def ready() -> bool:
            return not unready(service, service.now())

        from lolly_tx.proxy.challenges import ChallengeHealthProxy
        from lolly_tx.proxy.health import HealthProxy

        made = ChallengeHealthProxy if asked else HealthProxy
        asked["ready"] = ready
    elif asked:
        from lolly_tx.proxy.challenges import ChallengeProxy

        made = ChallengeProxy
    proxy: Proxy = made(table, service.introduction, refused, own, **asked)
    own.identities = service.circumstances.identities
    endpoints = BalancedEndpointFactory(service.endpoints)
    return ReverseProxyResource(proxy, listener.name, endpoints)


def make_place(
    service: LollyService,
    config: Config,
    listener: Listener,
    resource: ReverseProxyResource,
) -> Place:
    """Where `listener`, one of `config`, is to serve `resource`. Raises as `place_of` does."""
    return place_of(
        listener,
        config,
        resource,
        reactor=service.surroundings.reactor,
        deadlines=service.commons.deadlines,
        census=service.census,
        ports=service.surroundings.part.ports,
        staples=service.commons.staples,
    )


def write_down(
    endings: Endings, recorder: Recorder | None, flight: Flight | None
) -> None:
    """Have `endings` tell the access logs and the flight recorder, where there are any."""
    writers: list[Writer] = []
    logs = None if recorder is None else recorder.logs
    if recorder is not None and logs is not None:
        writers.append(recorder.finished)
    if flight is not None:
        writers.append(flight.finished)
    endings.go_by(tuple(writers), at_once=logs is not None and logs.at_once)
