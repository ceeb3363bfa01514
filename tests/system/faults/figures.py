"""What a fault test found, next to what it should find. Used by the scenarios."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import attrs


@attrs.frozen
class Size:
    """How large a run is: the shortest that means something, short, or full. `workers`: of the proxy."""

    level: int
    seed: int = 1
    workers: int = 1

    def pick(self, ci: Any, short: Any, long: Any) -> Any:
        """The value for this size."""
        return (ci, short, long)[self.level]


CI, SHORT, LONG = 0, 1, 2

SLACK = 3.0
"""Where tests share a machine with others, times may be so many times longer."""


@attrs.frozen
class Figure:
    """One number. `good`: it meets `goal`; None: it has no goal."""

    name: str
    value: str
    goal: str
    good: bool | None


@attrs.define
class Findings:
    """The figures of one test. `slack`: how much longer than the goal things may take. `workers`: of the proxy."""

    name: str
    title: str
    slack: float = 1.0
    workers: int = 1
    figures: list[Figure] = attrs.Factory(list)
    beats: Counter[float] = attrs.Factory(Counter)
    """Of the event loops, by how late they came at most, in seconds."""
    starved: float = 0.0
    """The share of its time in which a proxy was ready to run and had no processor, 0 to 1."""

    def note(self, name: str, value: object) -> None:
        """A figure without a goal."""
        self.figures.append(Figure(name, str(value), "", None))

    def most(self, name: str, value: float, goal: float, unit: str = "") -> None:
        """At most `goal`."""
        text = f"{value:.4g}{unit}"
        self.figures.append(Figure(name, text, f"<= {goal:g}{unit}", value <= goal))

    def soon(self, name: str, value: float, goal: float, unit: str) -> None:
        """A time of at most `goal`, and more on a machine that is busy with others."""
        self.most(name, value, goal * self.slack, unit)

    def least(self, name: str, value: float, goal: float, unit: str = "") -> None:
        """At least `goal`."""
        text = f"{value:.4g}{unit}"
        self.figures.append(Figure(name, text, f">= {goal:g}{unit}", value >= goal))

    def equal(self, name: str, value: object, goal: object) -> None:
        """Exactly `goal`."""
        self.figures.append(Figure(name, str(value), f"= {goal}", value == goal))

    def within(
        self, name: str, value: float, goal: float, by: float, unit: str = ""
    ) -> None:
        """A time of `goal` give or take `by`."""
        by *= self.slack
        text = f"{value:.4g}{unit}"
        good = abs(value - goal) <= by
        self.figures.append(Figure(name, text, f"{goal:g}+-{by:g}{unit}", good))

    @property
    def good(self) -> bool:
        """No figure misses its goal."""
        return all(figure.good is not False for figure in self.figures)

    def misses(self) -> list[str]:
        """The figures that miss their goals, as text."""
        return [
            f"{each.name} {each.value} (goal {each.goal})"
            for each in self.figures
            if each.good is False
        ]

    def line(self) -> str:
        """All of it on one line."""
        parts = [
            f"{each.name} {each.value}"
            + (f" [{each.goal}{'' if each.good else ' MISSED'}]" if each.goal else "")
            for each in self.figures
        ]
        verdict = "ok  " if self.good else "MISS"
        return f"{self.name} {verdict} {self.title}: " + "; ".join(parts)


Scenario = Callable[[Findings, Size], Coroutine[Any, Any, None]]


@attrs.frozen
class Registered:
    """A scenario by its name, such as L01."""

    name: str
    title: str
    run: Scenario

    def findings(self, size: Size) -> Findings:
        """What to `run` it with."""
        slack = SLACK if size.level == CI else 1.0
        return Findings(self.name, self.title, slack, size.workers)


def scenario(name: str, title: str) -> Callable[[Scenario], Registered]:
    """Mark an `async def` as a scenario."""

    def mark(run: Scenario) -> Registered:
        return Registered(name, title, run)

    return mark


def percentile_of(counts: Counter[float], share: float) -> float:
    """The bound that `share` of what was counted do not exceed; 0.0 for nothing."""
    left = share * counts.total()
    for bound in sorted(counts):
        left -= counts[bound]
        if left <= 0:
            return bound
    return 0.0


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of `values` do not exceed; 0.0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
