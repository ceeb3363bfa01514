"""`type = "rate_limit"` with a `store`: all instances count together, each asks for every request.

    known to be too early? refused at once --> ask the store (`net.stores.scripts`) --> admitted, or refused
                                                 `-- away, or too late --> `fail` of the store: stand in, open, closed

Whoever was refused is refused until the time that the store has named, without asking it again: a flood costs it
nothing.

Imports: config, config.middleware, domain.access, domain.shared, net.stores, proxy,
proxy.chains, proxy.middleware, wire, Twisted. Used by: proxy.middleware.rate_limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lolly_tx.config.middleware.rate_limit import RateLimit
from lolly_tx.config.stores import CLOSED, OPEN
from lolly_tx.domain.access.rates import FINE
from lolly_tx.domain.shared.standin import StandIn
from lolly_tx.net.stores.errors import StoreAway
from lolly_tx.net.stores.scripts import ADMIT, PACE
from lolly_tx.net.stores.store import SharedStore
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.link import ASKED
from lolly_tx.proxy.chains.passage import Passage
from lolly_tx.proxy.middleware.base import Middleware
from lolly_tx.proxy.middleware.clientkeys import CountedBy
from lolly_tx.proxy.replies import page
from lolly_tx.wire.resp import Reply

Refusal = Callable[[float], Answer]
UNKNOWN = Answer(503, page(503)[0] + b"Retry-After: 1\r\n", page(503)[1])
"""The store is away, and nobody is to be let in then."""

_WINDOWS = 2.0
"""No limit has anybody wait longer than so many of its times, or than its burst takes, whatever a store says."""


class SharedRateLimit(Middleware):
    """See the module. `refusal(wait)`: what who is too early gets. `name`: of its table. `workers`: processes here."""

    touches = frozenset((ASKED,))

    def __init__(
        self,
        settings: RateLimit,
        store: SharedStore,
        stand_in: StandIn,
        refusal: Refusal,
        *,
        name: str,
        workers: int,
        now: Callable[[], float],
        clock: IReactorTime,
    ) -> None:
        self.store = store
        self.stand_in = stand_in
        self._settings = settings
        self._refusal = refusal
        self._workers = workers
        self._now = now
        self._clock = clock
        self._key = CountedBy(settings.key)
        self._until: dict[bytes, float] = {}
        """Of keys that were refused: until when."""
        self._since: float | None = None
        """Since when the stand-in decides; None: the store does."""
        rate = settings.limit
        self._longest = max(_WINDOWS, rate.burst / rate.count) * rate.seconds
        micros = 1e6 * rate.seconds
        interval = micros / rate.count
        self._base = store.key("rate", name, str(settings.rate)) + b":"
        self._pacing = (f"{interval:.3f}", f"{rate.burst * interval:.3f}")
        self._limits = (
            f"{micros:.0f}",
            f"{interval:.3f}",
            f"{(rate.burst - 1) * interval:.3f}",
            rate.most,
            FINE,
        )

    def request(self, passage: Passage) -> Answer | Deferred[Any] | None:
        """Let it pass, refuse it, or have it wait."""
        key = self._key.of(passage)
        if self._settings.delay:
            return self._paced(key)
        now = self._now()
        until = self._until.get(key)
        if until is not None:
            if until > now:
                return self._refusal(until - now)
            del self._until[key]
        if not self.store.here:
            return self._alone(key)
        owed = self.stand_in.owed(key, now)
        asked = self.store.run(ADMIT, [self._base + key], *self._limits, owed)
        return asked.addCallbacks(
            self._cb_said, self._eb_away, (key,), errbackArgs=(key, owed)
        )

    def _cb_said(self, reply: Reply, key: bytes) -> Answer | None:
        wait = self._seconds(reply)
        if wait is None or wait < 0.0:
            return self._alone(key)  # no answer to what was asked
        now = self._now()
        self._since = None
        if not wait:
            self.stand_in.note(key, now)
            return None
        if len(self._until) >= self._settings.keys:
            self._until.clear()
        self._until[key] = now + wait
        return self._refusal(wait)

    def _eb_away(self, failure: Any, key: bytes, owed: int) -> Answer | None:
        failure.trap(StoreAway)
        self.stand_in.owe(key, owed)
        return self._alone(key)

    def _paced(self, key: bytes) -> Answer | Deferred[Any] | None:
        if not self.store.here:
            return self._paced_alone(key)
        asked = self.store.run(PACE, [self._base + key], *self._pacing)
        return asked.addCallbacks(
            self._cb_paced, self._eb_unpaced, (key,), errbackArgs=(key,)
        )

    def _cb_paced(self, reply: Reply, key: bytes) -> Any:
        wait = self._seconds(reply)
        if wait is None:
            return self._paced_alone(key)
        self._since = None
        if wait < 0.0:
            return self._too_many()
        self.stand_in.note(key, self._now())
        return self._waited(wait)

    def _eb_unpaced(self, failure: Any, key: bytes) -> Any:
        failure.trap(StoreAway)
        return self._paced_alone(key)

    # -- without it

    def _alone(self, key: bytes) -> Answer | None:
        fail = self.store.settings.fail
        if fail == OPEN:
            return None
        if fail == CLOSED:
            return UNKNOWN
        now = self._now()
        wait = self.stand_in.admit(key, now, self._away_since(now), self._sharers)
        return self._refusal(wait) if wait else None

    def _paced_alone(self, key: bytes) -> Answer | Deferred[Any] | None:
        fail = self.store.settings.fail
        if fail == OPEN:
            return None
        if fail == CLOSED:
            return UNKNOWN
        now = self._now()
        wait = self.stand_in.pace(key, now, self._away_since(now), self._sharers)
        return self._too_many() if wait is None else self._waited(wait)

    def _away_since(self, now: float) -> float:
        if self._since is None:
            away = self.store.away_since
            self._since = now if away is None else away
        return self._since

    @property
    def _sharers(self) -> int:
        """As many as the store has last said; if it never did, those of this machine."""
        return self.store.sharers or self._workers

    def _too_many(self) -> Answer:
        rate = self._settings.limit
        return self._refusal(rate.burst * rate.seconds / rate.count)

    def _waited(self, wait: float) -> Deferred[None] | None:
        if not wait:
            return None
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(wait, waiting.callback, None)
        return waiting

    def _seconds(self, reply: Reply) -> float | None:
        """What a script says, in seconds; None: it is no number, or none that can be meant.

        So a store that lied once has nobody refused, or held, for longer than the limit could have done.
        """
        if not isinstance(reply, int) or reply > self._longest * 1e6 + 1000:
            return None
        return math.copysign(1.0, reply) if reply < 0 else reply / 1e6
