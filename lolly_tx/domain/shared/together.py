"""A pool that several processes serve: which numbers they hold together, and under which names.

Imports: domain. Used by: service.workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lolly_tx.domain.holding import Holding
from lolly_tx.domain.node import Node
from lolly_tx.domain.pool import Pool
from lolly_tx.domain.shares import Share, Shares


def shared_names(pool: str, node_ids: Iterable[str]) -> Iterator[str]:
    """The names of the rows that a pool needs."""
    yield from _of_caps(pool)
    for node_id in node_ids:
        yield from _of_node(pool, node_id)


def _of_caps(pool: str) -> tuple[str, str]:
    return f"{pool}: leases", f"{pool}: retries"


def _of_node(pool: str, node_id: str) -> tuple[str, str]:
    return f"{pool}/{node_id}: leases", f"{pool}/{node_id}: trials"


def hold_together(pool: Pool, shares: Shares) -> None:
    """Hold the limits of `pool` with the other processes of the proxy, and compare loads by what all have.

    Count over all processes from now on, those who join later too. Raises LookupError where a row is missing.
    """
    roster = pool.roster

    def row(name: str) -> Share:
        found = shares.share(name)
        if found is None:
            raise LookupError(f"there is no shared row {name!r}")
        return found

    def hold(node: Node) -> Holding:
        look: Callable[[], None] | None = None
        for tier in roster.tiers.values():
            if tier is node.tier:
                look = getattr(tier.balancer, "look_together", None)
        if look is not None:
            look()
        leases, trials = map(row, _of_node(pool.name, node.id))
        return Holding(leases, trials, always=look is not None)

    leases, retries = map(row, _of_caps(pool.name))
    pool.caps.share(leases, retries)
    roster.hold = hold
    for node in roster.nodes.values():
        node.holding = hold(node)
        roster.tune(node)
    pool.changed()
