"""The caps of a whole pool: leases at once, and those of them that are further attempts.

Imports: domain. Used by: domain.pool.
"""

from __future__ import annotations

from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.node import UNLIMITED, Use
from lolly_tx.domain.shares import Share


class Caps:
    """`max_conns`: leases at once. `max_retries`: further attempts among them. 0: no limit.

    `adaptive`: a moving limit in place of `max_conns`, of the leases whose node owes an answer.
    """

    def __init__(
        self, max_conns: int, max_retries: int, adaptive: AdaptiveLimit | None
    ) -> None:
        self.max_conns = max_conns
        self.max_retries = max_retries
        self.adaptive = adaptive
        self.there = bool(max_conns or max_retries or adaptive is not None)
        """Leases have to be counted."""
        self.leases: set[Use] = set()
        """Those that count, as far as there is a cap."""
        self.refused = 0
        self._retries: set[Use] = set()
        self._shared: tuple[Share, Share] | None = None

    def share(self, leases: Share, retries: Share) -> None:
        """The caps hold for all processes of the proxy together; an adaptive one goes by what each sees."""
        self._shared = (leases, retries)

    def go_by(self, other: Caps, *, another_limit: bool) -> None:
        """Have the limits of `other` from now on; `another_limit`: its moving one, too, which begins anew.

        Leases from before there was any cap are not known, and do not count.
        """
        self.max_conns, self.max_retries = other.max_conns, other.max_retries
        shared = self._shared is not None
        anew = shared and (self.adaptive is None) is not (other.adaptive is None)
        if another_limit:
            self.adaptive = other.adaptive
        if self.there is not other.there or anew:
            self.there = other.there
            self.leases.clear()  # nobody would tell of their ends
            self._retries.clear()
            for share in self._shared or ():
                share.hold(0)

    def why_not(self, now: float, retry: bool) -> str:
        """What stands against one more lease, "" when nothing does; a refusal is counted.

        Its place among the processes is taken then, until it is `granted` and released, or `let_go`.
        """
        if self._shared is not None and self.adaptive is None:
            return self._why_not_shared(self._shared, retry)
        limit = self.adaptive.limit if self.adaptive is not None else self.max_conns
        if limit and len(self.leases) >= limit and self._running(now) >= limit:
            self.refused += 1
            return f"{limit} exchanges are running"
        if retry and self.max_retries and len(self._retries) >= self.max_retries:
            self.refused += 1
            return f"{self.max_retries} retries are running"
        return ""

    def _why_not_shared(self, shared: tuple[Share, Share], retry: bool) -> str:
        leases, retries = shared
        if not leases.reserve(self.max_conns or UNLIMITED):
            self.refused += 1
            return f"{self.max_conns} exchanges are running"
        if retry and not retries.reserve(self.max_retries or UNLIMITED):
            leases.give()
            self.refused += 1
            return f"{self.max_retries} retries are running"
        return ""

    def let_go(self, retry: bool) -> None:
        """There was no node for the lease that nothing stood against."""
        if self._shared is not None and self.there and self.adaptive is None:
            leases, retries = self._shared
            leases.give()
            if retry:
                retries.give()

    def _running(self, now: float) -> int:
        """How many leases count; slow clients are no reason to have an adaptive cap refuse others."""
        if self.adaptive is None:
            return len(self.leases)
        return sum(lease.asked <= now for lease in self.leases)

    def granted(self, lease: Use, retry: bool) -> None:
        """One more."""
        self.leases.add(lease)
        if retry:
            self._retries.add(lease)

    def answered(self, lease: Use, now: float) -> bool:
        """The head of an answer has come; whether that makes room."""
        if self.adaptive is None:
            return False
        if lease.asked <= now:
            self.adaptive.sample(lease.seconds, len(self.leases), now)
        self.leases.discard(lease)
        return True

    def released(self, lease: Use) -> None:
        """One less."""
        if lease in self.leases:
            self.leases.remove(lease)
            retry = lease in self._retries
            self._retries.discard(lease)
            self.let_go(retry)
        else:
            self._retries.discard(lease)
