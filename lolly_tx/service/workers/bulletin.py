"""Facts of targets told to those that serve, when they have changed.

    Roster.record -> Bell -> Bulletin --(in the same round of the reactor)--> every worker

A thousand targets may change at once, and what is said of one takes some 15 us here and as long in each worker: so no
round says more than `AT_ONCE`.

Imports: domain, domain.checks, domain.shared, Twisted. Used by:
service.workers.several, service.workers.supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lolly_tx.domain.checks.health import Health
from lolly_tx.domain.checks.target_agent import SILENT
from lolly_tx.domain.events import Event
from lolly_tx.domain.interfaces import IEventSink
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shared.facts import Facts, facts_of

AT_ONCE = 100
"""Targets that are told of in one round of the reactor."""


@implementer(IEventSink)
class Bell:
    """Rings when a fact of a node changes. `heard`: set by who wants to know."""

    def __init__(self) -> None:
        self.heard: Callable[[str, str], None] = lambda pool, node: None

    def emit(self, event: Event) -> None:
        """A fact changed."""
        if event.node:
            self.heard(event.pool, event.node)


class Bulletin:
    """Tells workers the facts of nodes when they have changed. `tell`: sends them."""

    def __init__(
        self, reactor: Any, pools: Mapping[str, Pool], tell: Callable[[Any], None]
    ) -> None:
        self._reactor = reactor
        self._pools = pools
        self._tell = tell
        self._told: dict[tuple[str, str], Facts] = {}
        self._wanted: dict[tuple[str, str], None] = {}
        self._timer: IDelayedCall | None = None

    def changed(self, pool: str, node: str) -> None:
        """Something may have changed; it is told in the next round of the reactor."""
        self._wanted[pool, node] = None
        if self._timer is None:
            self._timer = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._timer = None
        wanted = self._wanted
        news: dict[str, dict[str, Any]] = {}
        for pool_name, node_id in list(islice(wanted, AT_ONCE)):
            del wanted[pool_name, node_id]
            pool = self._pools.get(pool_name)
            node = pool.nodes.get(node_id) if pool is not None else None
            if pool is None or node is None:
                continue
            facts = _facts(pool, node)
            if self._told.get((pool_name, node_id)) != facts:
                self._told[pool_name, node_id] = facts
                news.setdefault(pool_name, {})[node_id] = facts.as_dict()
        if wanted:
            self._timer = self._reactor.callLater(0, self._flush)
        if news:
            self._tell(news)

    def committed(self, now: float) -> dict[str, dict[str, Any]]:
        """What has to be known with other settings: of targets that are new, those that are not like new ones.

        Of the others there is time to tell as of any change.
        """
        found: dict[str, dict[str, Any]] = {}
        known: dict[tuple[str, str], Facts] = {}
        for name, pool in self._pools.items():
            pool.available(now)
            for node in pool.nodes.values():
                told = self._told.get((name, node.id))
                if told is None and not _like_new(pool, node):
                    told = _facts(pool, node)
                    found.setdefault(name, {})[node.id] = told.as_dict()
                if told is not None:
                    known[name, node.id] = told
                else:
                    self.changed(name, node.id)
        self._told = known
        return found

    def whole(self, now: float) -> dict[str, dict[str, Any]]:
        """All facts, for who begins."""
        found: dict[str, dict[str, Any]] = {}
        for name, pool in self._pools.items():
            pool.available(now)  # what time has brought is to be told as well
            found[name] = {n.id: _facts(pool, n).as_dict() for n in pool.nodes.values()}
        return found

    def stop(self) -> None:
        """Tell nothing any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _like_new(pool: Pool, node: Node) -> bool:
    """It takes requests or does not as one that has just been made of the same settings."""
    return (
        node.ejection == "up"
        and node.health.up is Health.initial(pool.initial, pool.thresholds).up
        and node.enabled == ("down" if node.target.down else "up")
        and node.agent == SILENT
        and not node.lame
    )


def _facts(pool: Pool, node: Node) -> Facts:
    return facts_of(node, all_heard=pool.roster.outliers is not None)
