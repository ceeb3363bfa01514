"""A proxy of several processes, put together: the supervisor of a configuration.

Imports: config, domain, net.library, net.sockets, service, service.records,
service.workers. Used by: tap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any

from lolly_tx.config.model import Config
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.net.library.eventlog import EventLog
from lolly_tx.net.sockets.slots import SlotReactor
from lolly_tx.service.build import build
from lolly_tx.service.division import workers_of
from lolly_tx.service.logfile import LogFile
from lolly_tx.service.records.journal import EverySink
from lolly_tx.service.registry import Registry
from lolly_tx.service.surroundings import Part
from lolly_tx.service.workers.bulletin import Bell
from lolly_tx.service.workers.supervisor import Supervisor


def supervise(
    reactor: Any,
    config: Config,
    *,
    registry: Registry,
    command: Callable[[int], Sequence[str]],
    stdout: LogFile | None = None,
    events: IEventSink | None = None,
) -> Supervisor:
    """The supervisor for `config`. `command`: what starts the template.

    The rest, and what is raised, is as with `build`.
    """
    workers = workers_of(config)
    hop = token_hex(8)
    bell = Bell()

    def ports(listener: str, view: Any) -> Any:
        return SlotReactor(view, workers)

    service = build(
        reactor,
        config,
        registry=registry,
        stdout=stdout,
        events=EverySink((events or EventLog(), bell)),
        part=Part(ports, hop.encode(), serves=False),
    )
    return Supervisor(reactor, service, bell, workers=workers, hop=hop, command=command)
