"""Admission: refusing a part of the requests when too few of them succeed.

Imports: nothing of ours. Used by: domain.retries, service.

Client-side throttling as in the SRE book: with n requests in the window and s successes, the odds of a refusal
are ((n - s / threshold) / (n + 1)) ^ (1 / aggression), so a backend that fails is left a trickle to show that
it is back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pragma: no cover
    from random import Random

_SLOTS = 12


def refusal_odds(
    requests: int, successes: int, threshold: float = 0.95, aggression: float = 1.0
) -> float:
    """The odds, 0..1, that a request is refused after `successes` of `requests` went well."""
    excess = max(0.0, requests - successes / threshold)
    odds: float = (excess / (requests + 1)) ** (1 / aggression)
    return odds


class Admission:
    """Refuses by the odds above over the last `window` seconds.

    `at_least`: requests per second below which everybody is let in. `most`: the largest part refused.
    """

    __slots__ = (
        "_ends",
        "_slots",
        "aggression",
        "at_least",
        "most",
        "refused",
        "threshold",
        "window",
    )

    def __init__(
        self,
        window: float = 120.0,
        threshold: float = 0.95,
        aggression: float = 1.0,
        at_least: float = 1.0,
        most: float = 0.8,
    ) -> None:
        self.window = window
        self.threshold = threshold
        self.aggression = aggression
        self.at_least = at_least
        self.most = most
        self.refused = 0
        self._slots: deque[list[int]] = deque([[0, 0]], maxlen=_SLOTS)
        self._ends = float("-inf")

    def odds(self, now: float) -> float:
        """The odds of a refusal at `now`."""
        self._turn(now)
        requests = sum(slot[0] for slot in self._slots)
        successes = sum(slot[1] for slot in self._slots)
        if requests < self.at_least * self.window:
            return 0.0
        odds = refusal_odds(requests, successes, self.threshold, self.aggression)
        return min(self.most, odds)

    def admit(self, now: float, random: Random) -> bool:
        """Whether this request may go on."""
        odds = self.odds(now)
        if odds and random.random() < odds:
            self.refused += 1
            return False
        return True

    def finished(self, ok: bool, now: float) -> None:
        """An admitted request has ended."""
        self._turn(now)
        slot = self._slots[-1]
        slot[0] += 1
        slot[1] += ok

    def _turn(self, now: float) -> None:
        length = self.window / _SLOTS
        if self._ends == float("-inf") or now >= self._ends + self.window:
            self._slots.clear()
            self._slots.append([0, 0])
            self._ends = now + length
        while now >= self._ends:
            self._slots.append([0, 0])
            self._ends += length
