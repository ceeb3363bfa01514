"""A pool in a program: from a list of targets to an endpoint that balances, with a default for all the rest.

    balanced(reactor, ["http://10.0.0.1:8080", "http://10.0.0.2:8080"])

Imports: config, domain, domain.accruals, domain.balancers, domain.checks,
domain.retries, net.library, net.sockets. Used by: lolly_tx, net.library.client,
service, service.checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, cast

from lolly_tx.config.pools import UpstreamTLS
from lolly_tx.domain.accruals.consecutive import ConsecutiveFailures
from lolly_tx.domain.addresses import ConnectLimits
from lolly_tx.domain.balancers.by_name import Balancers
from lolly_tx.domain.checks.health import Thresholds
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IBalancer, IEventSink
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.retries.budget import RetryBudget
from lolly_tx.domain.target import Target, speaks_datagrams, target_id
from lolly_tx.net.library.balanced import BalancedEndpoint
from lolly_tx.net.library.eventlog import EventCallback, EventLog
from lolly_tx.net.sockets.endpoints import CONNECT_TIMEOUT, TargetEndpoints
from lolly_tx.net.sockets.health_map import HealthMap
from lolly_tx.net.sockets.resolver import Lane

Targets = Iterable[Target | str]
"""Targets, their URLs, or Twisted client endpoint strings."""

Events = IEventSink | Callable[[Event], object]
"""Who hears of every change of availability."""


def balanced(
    reactor: Any,
    targets: Targets,
    *,
    name: str = "pool",
    balance: str | IBalancer = "round_robin",
    max_fails: int = 3,
    fail_timeout: float = 60.0,
    min_rises: int = 2,
    timeout: float | None = CONNECT_TIMEOUT,
    budget: RetryBudget | None = None,
    tls: UpstreamTLS | None = None,
    health_map: HealthMap | None = None,
    events: Events | None = None,
    now: Callable[[], float] | None = None,
    random: Random | None = None,
) -> BalancedEndpoint:
    """An endpoint that connects to one of `targets`, and to another when that fails.

    `name`: in events and errors. `balance`: the name of a balancer, or one of your own. `max_fails`: failures in a row
    that take a target out for `fail_timeout` seconds, 0: none does; `min_rises`: good checks in a row that bring it
    back before. `timeout`: seconds for one connect, TLS included; None: no limit. `budget`: of connects and requests
    at further targets; None: no limit. `tls`: how https targets are verified; None: by the system's authorities.
    `health_map`: shared with others that connect to the same addresses. `events`: a sink, which gets what is logged
    otherwise, or a function, which hears it besides. `now`: seconds, monotonic.

    Raises ValueError for no target, two that are the same, an address that cannot be meant, or numbers that make no
    sense; LookupError for a balancer that does not exist.
    """
    now = now or time.monotonic
    random = random or Random()
    balancer: IBalancer
    another: Callable[[], IBalancer] | None = None
    if isinstance(balance, str):
        another = _balancers(balance, random)
        balancer = another()
    else:
        balancer = balance
    health_map = health_map or HealthMap(reactor, now=now)
    limits = ConnectLimits(max_fails, fail_timeout, min_rises)
    # One is made now, so that wrong numbers are an error here and not at the first failure.
    ConsecutiveFailures(max_fails, fail_timeout, min_rises)
    endpoints = TargetEndpoints(
        reactor,
        tls=tls,
        timeout=None,
        patience=timeout,
        dialer=health_map.dialer(limits, Lane()),
    )
    pool = Pool(
        name,
        _distinct(targets),
        balancer=balancer,
        another_balancer=another,
        accrual=lambda: ConsecutiveFailures(max_fails, fail_timeout, min_rises),
        thresholds=Thresholds(),
        now=now(),
        events=_sink(events),
        random=random,
    )
    for node in pool.nodes.values():
        endpoints(node.target)  # raises for an address that cannot be meant

    def ask_again(node: Node) -> None:
        endpoints(node.target).ask_again()

    pool.on_back.append(ask_again)
    return BalancedEndpoint(
        pool, endpoints, reactor, now, timeout=timeout, budget=budget
    )


def _balancers(name: str, random: Random) -> Callable[[], IBalancer]:
    known = Balancers()
    return lambda: known.make(name, {}, random)


def _sink(events: Events | None) -> IEventSink:
    if events is None:
        return EventLog()
    if callable(getattr(events, "emit", None)):
        return cast(IEventSink, events)
    return EventCallback(cast(Callable[[Event], object], events))


def _distinct(targets: Targets) -> list[Target]:
    """The targets that are meant. Raises ValueError."""
    if isinstance(targets, str):
        raise ValueError(f"targets are a list, even if there is one: [{targets!r}]")
    made: dict[str, Target] = {}
    for each in targets:
        target = each if isinstance(each, Target) else _target(each)
        if target.id in made:
            other = made[target.id].address
            raise ValueError(
                f'"{target.address}" and "{other}" have the same id {target.id}:'
                " give one of them another, Target.from_url(..., id=...)"
            )
        made[target.id] = target
    if not made:
        raise ValueError("a pool needs at least one target")
    return list(made.values())


def _target(text: str) -> Target:
    if speaks_datagrams(text):
        raise ValueError(
            f"{text} is for datagrams, and a pool of a program is connected to"
        )
    if "://" in text:
        return Target.from_url(text)
    return Target(id=target_id(text), address=text, endpoint=text)
