"""The caps of a whole pool: leases at once, and those of them that are further attempts.

Imports: domain. Used by: domain.pool.
"""

from __future__ import annotations

from lolly_tx.domain.concurrency import AdaptiveLimit
from lolly_tx.domain.node import Use


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

    def go_by(self, other: Caps, *, another_limit: bool) -> None:
        """Have the limits of `other` from now on; `another_limit`: its moving one, too, which begins anew.

        Leases from before there was any cap are not known, and do not count.
        """
        self.max_conns, self.max_retries = other.max_conns, other.max_retries
        if another_limit:
            self.adaptive = other.adaptive
        if self.there is not other.there:
            self.there = other.there
            self.leases.clear()  # nobody would tell of their ends
            self._retries.clear()

    def why_not(self, now: float, retry: bool) -> str:
        """What stands against one more lease, "" when nothing does; a refusal is counted."""
        limit = self.adaptive.limit if self.adaptive is not None else self.max_conns
        if limit and len(self.leases) >= limit and self._running(now) >= limit:
            self.refused += 1
            return f"{limit} exchanges are running"
        if retry and self.max_retries and len(self._retries) >= self.max_retries:
            self.refused += 1
            return f"{self.max_retries} retries are running"
        return ""

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
        self.leases.discard(lease)
        self._retries.discard(lease)
