"""Whether an answer may be stored in a shared cache, and for how long it may be used (RFC 9111 sections 3 and 4).

    born           born + lifetime            + stale_while           + stale_error
    |--- fresh -----|--- used while asked anew ---|                         |
                    |--- used where asking fails --------------------------|

Imports: nothing of ours. Used by: proxy.caching, wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

_BY_DEFAULT = frozenset((200, 203, 204, 300, 301, 308))
"""Statuses that `default_ttl` holds for. What else RFC 9110 section 15.1 allows (404, 410 and such) are errors."""

UNDERSTOOD = _BY_DEFAULT | {302, 303, 307, 404, 405, 410, 414, 501}
"""Those whose meaning for caches we know, for `must-understand` (RFC 9111 section 5.2.2.3)."""

FAILURES = frozenset((500, 502, 503, 504))
"""Statuses in whose place a stale answer may be used (RFC 5861 section 4)."""

NO_TTLS: Mapping[int, float] = MappingProxyType({})


@attrs.frozen
class Rules:
    """What the operator says, where an answer says nothing. Times are seconds.

    `default_ttl`: for how long answers are fresh; `ttl`: the same by status, which also lets others be stored.
    `stale_if_error`, `stale_while_revalidate`: as the directives of RFC 5861.
    """

    default_ttl: float = 0.0
    ttl: Mapping[int, float] = NO_TTLS
    stale_if_error: float = 0.0
    stale_while_revalidate: float = 0.0


NO_RULES = Rules()


@attrs.frozen
class Said:
    """What an answer says of its use by caches. Times are seconds.

    `lifetime`: None = nothing; 0.0 also for what makes no sense. `age`: when it arrived. `for_all`: also where the
    request had credentials (`public`, `s-maxage`, `must-revalidate`: RFC 9111 section 3.5). `revalidate`: stale is
    never good enough; `revalidate_unless_said`: only where the answer itself says otherwise (`s-maxage`: section
    5.2.2.10). `stale_if_error`, `stale_while_revalidate`: None = nothing. `cookie`: it sets one. `any_vary`: it
    depends on what no cache can know. `validator`: it can be asked whether it is still right.
    """

    status: int = 200
    no_store: bool = False
    private: bool = False
    no_cache: bool = False
    for_all: bool = False
    revalidate: bool = False
    revalidate_unless_said: bool = False
    must_understand: bool = False
    lifetime: float | None = None
    age: float = 0.0
    stale_if_error: float | None = None
    stale_while_revalidate: float | None = None
    cookie: bool = False
    any_vary: bool = False
    validator: bool = False


@attrs.frozen
class Life:
    """For how long a stored answer is good for what.

    `born`: when it was made (seconds, monotonic), so that its age was 0 then. `lifetime`, `stale_while`,
    `stale_error`: seconds, the latter two after the lifetime; with 0.0 for all of them each use has to ask.
    """

    born: float
    lifetime: float
    stale_while: float = 0.0
    stale_error: float = 0.0

    @property
    def fresh_until(self) -> float:
        """Until then it is used without asking."""
        return self.born + self.lifetime

    @property
    def refreshable_until(self) -> float:
        """Until then it is used while it is asked for anew."""
        return self.fresh_until + self.stale_while

    @property
    def usable_until(self) -> float:
        """Until then it is used where asking fails."""
        return self.fresh_until + self.stale_error

    def age(self, now: float) -> int:
        """Whole seconds (RFC 9111 section 4.2.3)."""
        return max(0, int(now - self.born))

    def ended(self, now: float) -> Life:
        """The same, but stale since `now` and good for nothing without asking."""
        lifetime = min(self.lifetime, now - self.born - 1.0)
        return Life(self.born, lifetime)


def lifetime_of(said: Said, rules: Rules) -> float | None:
    """For how long an answer is fresh, from its birth; None: nobody says (RFC 9111 section 4.2.1)."""
    if said.lifetime is not None:
        return said.lifetime
    ttl = rules.ttl.get(said.status)
    if ttl is None and said.status in _BY_DEFAULT and rules.default_ttl:
        ttl = rules.default_ttl
    # What it was before it came counts for the target's own word, not for ours.
    return None if ttl is None else ttl + said.age


def life_of(said: Said, rules: Rules, now: float) -> Life:
    """The life of an answer that came `now` (seconds, monotonic)."""
    lifetime = lifetime_of(said, rules) or 0.0
    born = now - said.age
    if said.no_cache:
        return Life(born, 0.0)
    if said.revalidate:
        return Life(born, lifetime)
    if said.revalidate_unless_said:
        rules = NO_RULES
    while_ = said.stale_while_revalidate
    error = said.stale_if_error
    return Life(
        born,
        lifetime,
        rules.stale_while_revalidate if while_ is None else while_,
        rules.stale_if_error if error is None else error,
    )


def why_not(said: Said, rules: Rules, *, credentials: bool, secret: bool) -> str:
    """Why an answer is not stored, in a word for logs; "": it is.

    `credentials`: the request had an Authorization. `secret`: it asked for nothing to be stored.
    """
    status = said.status
    if secret:
        return "request-no-store"
    if status < 200 or status in (206, 304):
        return "status"
    if said.must_understand:
        if status not in UNDERSTOOD:
            return "status"
    elif said.no_store:
        return "no-store"
    if said.private:
        return "private"
    if credentials and not said.for_all:
        return "authorization"
    if said.cookie:
        return "set-cookie"
    if said.any_vary:
        return "vary"
    lifetime = lifetime_of(said, rules)
    if lifetime is None:
        return "no-lifetime"
    life = life_of(said, rules, 0.0)
    if said.validator:
        return ""
    if max(life.fresh_until, life.refreshable_until, life.usable_until) <= 0:
        return "stale"
    return ""
