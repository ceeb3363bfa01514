"""The rows of `/api/live` as they are now and were a moment ago, which rates are made of.

Imports: domain. Used by: commands.board, commands.top.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from lolly_tx.domain.histogram import BOUNDS

Row = Mapping[str, Any]
_SLACK_SECONDS = 0.2
"""Deltas come each second, more or less."""


class Moments:
    """What was told last, and what was told at least `interval` seconds before it."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.at = 0.0
        """Of what was told last, seconds since the epoch by the proxy's clock; 0: nothing was."""
        self.rows: dict[str, Row] = {}
        self._past: deque[tuple[float, dict[str, Row]]] = deque()

    def take(self, kind: str, told: Mapping[str, Any]) -> None:
        """Take in an event of the stream. `kind`: "snapshot" or "delta"."""
        rows = {} if kind == "snapshot" else dict(self.rows)
        for key, row in told["rows"].items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = {**rows.get(key, {}), **row}
        if kind == "snapshot":
            self._past.clear()
        self.rows, self.at = rows, float(told["at"])
        self._past.append((self.at, rows))
        latest_of_use = self.at - self.interval + _SLACK_SECONDS
        while len(self._past) > 1 and self._past[1][0] <= latest_of_use:
            self._past.popleft()

    @property
    def rated(self) -> bool:
        """Whether there are two moments, far enough apart for rates."""
        seconds = self._seconds
        return seconds > 0 and seconds >= self.interval - _SLACK_SECONDS

    @property
    def _seconds(self) -> float:
        return self.at - self._past[0][0] if self._past else 0.0

    def of(self, prefix: str) -> Iterator[tuple[str, Row]]:
        """The rows of a kind: "pool/", "target/"."""
        return (one for one in self.rows.items() if one[0].startswith(prefix))

    def change(self, key: str, counter: str) -> float:
        """By how much a counter of a row has grown; 0 for a row that was not there, or that was told anew."""
        before = self._past[0][1].get(key) if self._past else None
        if before is None:
            return 0.0
        return float(max(0.0, (self.rows[key][counter] or 0) - (before[counter] or 0)))

    def rate(self, key: str, counter: str) -> float | None:
        """The same in a second; None while there is one moment only."""
        return self.change(key, counter) / self._seconds if self._seconds > 0 else None

    def percentile(self, key: str, part: float) -> str:
        """How long `part` of the exchanges of a pool took at most, "5 ms"; "-" when there were none."""
        before = self._past[0][1].get(key) if self._past else None
        now = self.rows[key]["served"]
        if before is None or now is None or before["served"] is None:
            return "-"
        counts = [new - old for new, old in zip(now, before["served"], strict=True)]
        total, so_far = sum(counts), 0
        for bound, count in zip(BOUNDS, counts, strict=False):
            so_far += count
            if total and so_far >= part * total:
                return f"<={span(bound)}"
        return f">{span(BOUNDS[-1])}" if total > 0 else "-"

    def mean(self, key: str) -> str:
        """How long the requests of a target took, on average."""
        requests = self.change(key, "requests")
        return span(self.change(key, "seconds") / requests) if requests else "-"


def span(seconds: float) -> str:
    """A duration in three digits: "5 ms", "1.25 s"."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
