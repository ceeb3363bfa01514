"""The settings of `type = "rate_limit"`: how many requests of one kind in a time.

Imports: config, config.kinds, config.middleware, domain.access. Used by:
proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import FLAG, TEXT, Count
from lolly_tx.config.kinds.schema import Place, about
from lolly_tx.config.kinds.templatekinds import TEMPLATE
from lolly_tx.config.middleware.rates import RATE, PerTime
from lolly_tx.config.stores import known_store
from lolly_tx.domain.access.rates import KEYS, Rate


@attrs.frozen
class RateLimit:
    """How many requests with the same key in a time; no window of its length has more, wherever it begins."""

    rate: PerTime = attrs.field(
        metadata=about(RATE, 'Requests in a time: "10/s", "100/m", "5/10s".'),
    )
    burst: int = attrs.field(
        default=0,
        metadata=about(
            Count(0, 10**9),
            "Requests that may come at once. 0: as many as the rate has in its time. With `delay`: that may wait.",
        ),
    )
    key: str = attrs.field(
        default="$client",
        metadata=about(
            TEMPLATE,
            "What requests are counted by. An IPv6 client counts with all of its /64.",
        ),
    )
    delay: bool = attrs.field(
        default=False,
        metadata=about(
            FLAG,
            "Let requests that are early wait for their turn, rather than refuse them.",
        ),
    )
    status: int = attrs.field(
        default=429,
        metadata=about(Count(400, 599), "The status of those that are refused."),
    )
    keys: int = attrs.field(
        default=KEYS,
        metadata=about(
            Count(1, 10**8),
            "Keys that are remembered, some 300 bytes each, four times that while they are busy; who has not come for"
            " long is forgotten first.",
        ),
    )

    store: str = attrs.field(
        default="",
        metadata=about(
            TEXT,
            'Name of a `[store.NAME]` by which all instances count together; "" = each counts for itself. Such a limit'
            " needs a table of its own, whose name the instances know it by.",
        ),
    )

    @property
    def limit(self) -> Rate:
        """As the domain has it."""
        burst = self.burst or self.rate.count
        return Rate(self.rate.count, self.rate.seconds, burst)

    def rules(self, config: Any, place: Place) -> None:
        """The store has to be there."""
        known_store(self.store, config.stores, place.at("store"))

    def facts(self) -> Iterator[str]:
        """What it admits, in figures."""
        limit = self.limit
        if self.store:
            yield f"counted by store {self.store}, for all instances together"
        if self.delay:
            apart = 1000 * limit.seconds / limit.count
            yield f"one request each {apart:.4g} ms for each {self.key}; up to {limit.burst} wait"
            return
        most = ", ".join(
            f"{limit.admitted_in(seconds)} in {seconds} s" for seconds in (1, 3, 60)
        )
        yield f"at most {most} for each {self.key}"

    def doubts(self) -> Iterator[str]:
        """Keys that are no keys."""
        if "$" not in self.key:
            yield f'all requests share one limit: key = "{self.key}" has no variable'
