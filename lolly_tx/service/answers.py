"""What the admin API answers, as JSON-able values: pools, targets, events, traces, the watchdog.

Imports: config, domain, service, Twisted. Used by: service.admin, service.adminwords,
service.parts, service.service.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from lolly_tx.config.model import Config
from lolly_tx.domain.account import account, departed_account
from lolly_tx.domain.histogram import Exemplar
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.snapshot import describe, event_dict
from lolly_tx.domain.tallies import Number
from lolly_tx.domain.target import Target
from lolly_tx.domain.wayback import NextCheck, Planned
from lolly_tx.service.drains import Drains
from lolly_tx.service.generation import (
    Amending,
    Discovering,
    Providing,
    Reloading,
    Upgrading,
)
from lolly_tx.service.history import History
from lolly_tx.service.isotime import iso_time
from lolly_tx.service.journal import Journal
from lolly_tx.service.listener_drains import ListenerDrains
from lolly_tx.service.purging import Purging
from lolly_tx.service.stopping import Stopping
from lolly_tx.service.watchdog import WatchdogSnapshot

if TYPE_CHECKING:
    from lolly_tx.service.dryrun import Question
    from lolly_tx.service.dumps import Dumps

MOST_EVENTS = 1000


class Serving(Protocol):
    """The running proxy, as far as the admin endpoint shows it."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by name."""

    @property
    def listening(self) -> bool:
        """Every configured listener accepts connections."""

    @property
    def draining(self) -> bool:
        """A stop was asked for; exchanges in flight are being finished."""

    @property
    def journal(self) -> Journal:
        """The latest events."""

    @property
    def history(self) -> History:
        """What every target has been."""

    @property
    def reloading(self) -> Reloading | None:
        """Who changes the settings; None: nobody."""

    @property
    def amending(self) -> Amending | None:
        """Who changes targets; None: nobody."""

    @property
    def discoveries(self) -> Discovering | None:
        """Who finds targets; None: nobody."""

    @property
    def providers(self) -> Providing | None:
        """Who brings routes from elsewhere; None: nobody."""

    @property
    def dumps(self) -> Dumps | None:
        """Who makes dumps of the recorder; None: nothing is recorded."""

    @property
    def drains(self) -> Drains:
        """Drains that have a deadline."""

    @property
    def upgrading(self) -> Upgrading | None:
        """Who replaces the code; None: nobody."""

    @property
    def reopening(self) -> Callable[[], None]:
        """Opens the log files anew; raises `service.reopening.NotReopened`."""

    @property
    def purging(self) -> Purging:
        """Drops what caches have of something, in all processes."""

    def local_fault(self) -> dict[str, Any] | None:
        """What is the matter with this machine; None: nothing."""

    def settings(self) -> dict[str, Any]:
        """The settings in force, secrets hidden, with their generation."""

    @property
    def listener_drains(self) -> ListenerDrains:
        """The operator's words about listeners."""

    @property
    def stopping(self) -> Stopping:
        """How far a stop is."""

    def places(self) -> list[dict[str, Any]]:
        """The listeners, and where they listen."""

    @property
    def colleagues(self) -> Colleagues | None:
        """The processes that serve; None: this one does."""

    def watched(self) -> WatchdogSnapshot:
        """How the event loop has been."""

    def ordered(self) -> list[dict[str, Any]]:
        """The names whose certificates are asked for and renewed here."""

    def certificates(self) -> list[dict[str, Any]]:
        """Those that are served."""

    def expiries(self) -> Iterable[tuple[str, float]]:
        """The certificates that are served, each with its end (seconds since the epoch)."""

    def statistics(self) -> dict[str, Any]:
        """All counters."""

    def telling(self) -> Generator[None, None, dict[str, Any]]:
        """The same a part at each step."""

    def next_check(self, pool: str, target: str) -> NextCheck:
        """When a target is checked next."""

    def next_recheck(self, pool: str, target: str) -> NextCheck:
        """When a target that takes no connections is asked by one of our own (monotonic); None when it is not."""

    def exemplars(self, pool: str) -> Mapping[int, Exemplar]:
        """Traced exchanges of a pool, by their place in the histogram of durations."""

    def dry_run(self, question: Question) -> dict[str, Any]:
        """What would become of a request. Raises `dryrun.CannotExplain`."""

    def traced(self) -> list[dict[str, Any]]:
        """The traces that are kept, oldest first."""


class Colleagues(Protocol):
    """The processes that serve, where this one does not."""

    @property
    def serving(self) -> bool:
        """At least one of them serves."""

    def ailing(self) -> list[str]:
        """Those that do not, each with the reason."""

    def statistics(self, told: dict[str, Any]) -> dict[str, Any]:
        """Our own counters `told`, with the numbers of them all."""

    def connections(self, listener: str) -> tuple[int, float | None]:
        """Of clients at a listener in all of them, and the age of the oldest (s)."""

    def in_flight(self, pools: Iterable[str]) -> int:
        """Exchanges at `pools` that are not over."""

    def counted(self) -> Mapping[str, Number]:
        """All that they have counted, by the names of `service.counting`; nothing of what they have now."""

    def cut(self, pool: str, target: str) -> None:
        """Have them end what they have open to a target."""

    def prepare(self, config: Config) -> Deferred[None]:
        """Have them make ready for other settings; errbacks with `generation.Refused`."""

    def commit(self) -> Deferred[tuple[int, ...]]:
        """What they prepared is in force here, and is to be there; fires when it is, or soon after.

        With the numbers of those that did not say so in time.
        """

    def forget(self) -> None:
        """What they prepared is not to be."""


def unready(serving: Serving, now: float) -> list[str]:
    """Why new requests are better sent elsewhere; empty when all is well."""
    reasons = []
    colleagues = serving.colleagues
    if colleagues is not None and not colleagues.serving:
        reasons += colleagues.ailing() or ["no worker serves yet"]
    if not serving.listening:
        reasons.append("not every listener is up")
    if serving.draining:
        reasons.append("draining")
    elif serving.listener_drains.everywhere:
        reasons.append("every listener is drained")
    fault = serving.local_fault()
    if fault is not None and fault["kind"] == "network":
        reasons.append(f"local fault: {fault['why']}")
    providers = serving.providers
    if providers is not None:
        reasons += providers.unready()
    return reasons + [
        f"pool {name}: no target is available"
        for name, pool in serving.pools.items()
        # Whoever deploys a service without endpoints does not take the proxy of all others away.
        if not (pool.available(now) or (providers and providers.provides(name)))
    ]


def readiness(serving: Serving, now: float) -> tuple[int, dict[str, Any]]:
    """The status that says it, and what a person wants to know besides."""
    reasons = unready(serving, now)
    body: dict[str, Any] = {"ready": not reasons}
    if reasons:
        body["reasons"] = reasons
    left = serving.stopping.shown() if serving.draining else None
    if left is not None:
        body["draining"] = left
    degraded = [f"listener {name} is drained" for name, _ in serving.listener_drains]
    fault = serving.local_fault()
    if fault is not None:
        degraded.append(f"local fault: {fault['why']}")
    if serving.colleagues is not None:
        degraded += serving.colleagues.ailing()
    if serving.providers is not None:
        degraded += [
            f"provider {one['name']}: {one['error']}"
            for one in serving.providers.shown()
            if one["error"]
        ]
    if degraded and not reasons:
        body["degraded"] = degraded
    return (503 if reasons else 200), body


def pool_shown(serving: Serving, pool: Pool, now: float) -> dict[str, Any]:
    """One pool with its targets."""
    pool.available(now)  # what time has brought is to be told as well
    targets = [_shown(serving, pool, node, now) for node in pool.nodes.values()]
    return {
        "name": pool.name,
        "available": len(pool.available(now)),
        "refusals": pool.refusals,
        "local_fault": serving.local_fault(),
        "discovery": _discovery(serving, pool),
        "targets": targets,
        "leaving": [
            {
                "id": node.id,
                "address": node.target.address,
                "in_flight": node.in_flight,
                "last_change": event_dict(node.last_change, now),
            }
            for node in pool.departed.values()
            if node.in_flight
        ],
    }


def target_shown(
    serving: Serving, pool: Pool, target: str, now: float
) -> dict[str, Any]:
    """One target, named by its id or its address. Raises `UnknownNode`."""
    pool.available(now)
    return _shown(serving, pool, pool.node(id_of(pool, target)), now)


def _shown(serving: Serving, pool: Pool, node: Node, now: float) -> dict[str, Any]:
    shown = describe(node, pool.thresholds, now, _planned(serving, pool, node.id))
    shown["drain_ends_in_seconds"] = serving.drains.left(pool.name, node.id)
    return shown


def _planned(serving: Serving, pool: Pool, target: str) -> Planned:
    """Who asks the target of that id next."""
    return Planned(
        serving.next_check(pool.name, target), serving.next_recheck(pool.name, target)
    )


def id_of(pool: Pool, text: str) -> str:
    """The id of the target that `text` names: by its id, or by its address, with or without the scheme."""
    if text in pool.nodes:
        return text
    wanted = _address(text)
    found = [
        node.id
        for node in pool.nodes.values()
        if wanted in (_address(node.target.address), _place(node.target))
    ]
    return found[0] if len(found) == 1 else text


def _address(text: str) -> str:
    return text.lower().rstrip("/")


def _place(target: Target) -> str:
    """HOST:PORT as people write it, "" for an endpoint string."""
    if not target.host:
        return ""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}".lower()


def pool_explained(serving: Serving, pool: Pool, now: float) -> dict[str, Any]:
    """Every target of a pool with its account."""
    targets = [target_explained(serving, pool, name, now) for name in pool.nodes]
    return {
        "pool": pool.name,
        "available": len(pool.available(now)),
        "panic_odds": round(pool.choice.panic_odds, 6),
        "local_fault": serving.local_fault(),
        "discovery": _discovery(serving, pool),
        "targets": targets,
    }


def _discovery(serving: Serving, pool: Pool) -> Mapping[str, Any] | None:
    found = serving.discoveries
    return None if found is None else found.shown(pool.name)


def target_explained(
    serving: Serving, pool: Pool, target: str, now: float
) -> dict[str, Any]:
    """The account of one target. Raises `UnknownNode`."""
    pool.available(now)  # what time has brought is to be told as well
    if target in pool.departed:
        found = departed_account(pool.departed[target], pool.thresholds, now)
    else:
        node = pool.node(id_of(pool, target))
        planned = _planned(serving, pool, node.id)
        found = account(node, pool.thresholds, now, planned)
    return {**found, "local_fault": serving.local_fault()}


def events_shown(
    serving: Serving,
    now: float,
    wall: float,
    *,
    after: int = 0,
    limit: int = MOST_EVENTS,
) -> dict[str, Any]:
    """The latest `limit` events with a number above `after`, in the order they happened.

    `wall`: seconds since the epoch at `now`. The end of an ejection is noticed when somebody looks, so numbers, which
    say when an event was noticed, need not be in that order.
    """
    for pool in serving.pools.values():
        pool.available(now)  # what time has brought is to be told as well
    journal = serving.journal
    chosen = list(journal.after(after))[-limit:] if limit else []
    chosen.sort(key=lambda one: one[1].at)
    return {
        "latest": journal.count,
        "events": [
            {
                "number": number,
                "time": iso_time(wall - max(0.0, now - event.at)),
                "pool": event.pool,
                "target": event.node,
                **(event_dict(event, now) or {}),
            }
            for number, event in chosen
        ],
    }


def watchdog_shown(seen: WatchdogSnapshot, now: float) -> dict[str, Any]:
    """How the event loop has been."""
    last = seen.last
    return {
        **attrs.asdict(
            seen,
            filter=attrs.filters.exclude(
                attrs.fields(WatchdogSnapshot).last,
                attrs.fields(WatchdogSnapshot).lateness,
            ),
        ),
        "lateness": [
            {"at_most_seconds": None if math.isinf(bound) else bound, "beats": count}
            for bound, count in seen.lateness
        ],
        "last": None
        if last is None
        else {
            "seconds_ago": round(max(0.0, now - last.at), 3),
            "seconds": last.seconds,
            "waiting": last.waiting,
            "stack": list(last.stack),
        },
    }
