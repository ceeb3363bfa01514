"""Two configurations under the same scenario, side by side.

Imports: config.kinds, simulate. Used by: simulate.command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lolly_tx.config.kinds.plain import duration_text
from lolly_tx.simulate.findings import Values

_Reading = Callable[[Values], float]

_TOTALS: tuple[tuple[str, str, _Reading], ...] = (
    ("requests", "{:.0f}", lambda found: found["totals"]["requests"]),
    ("errors clients saw", "{:.0f}", lambda found: found["totals"]["errors"]),
    ("share of errors", "{:.3%}", lambda found: found["totals"]["error_share"]),
    ("retries", "{:.0f}", lambda found: found["totals"]["retries"]),
    ("hedges", "{:.0f}", lambda found: found["totals"]["hedges"]),
    ("attempts per request", "{:.3f}", lambda found: found["totals"]["amplification"]),
    ("changes of state", "{:.0f}", lambda found: _changes(found)),
    ("false ejections", "{:.0f}", lambda found: found["totals"]["false_ejections"]),
    ("false flips to down", "{:.0f}", lambda found: found["totals"]["false_downs"]),
    ("p50", "{:.4f}s", lambda found: found["totals"]["latency"]["p50"]),
    ("p99", "{:.4f}s", lambda found: found["totals"]["latency"]["p99"]),
    ("p999", "{:.4f}s", lambda found: found["totals"]["latency"]["p999"]),
)


_SESSIONS: tuple[tuple[str, str, _Reading], ...] = (
    ("sessions that were up", "{:.0f}", lambda found: found["sessions"]["up"]),
    ("sessions cut", "{:.0f}", lambda found: _cut(found)),
    ("sessions open at the end", "{:.0f}", lambda found: found["sessions"]["open"]),
)
"""Of streams besides."""

_OF_ATTEMPTS = ("retries", "hedges", "attempts per request")
"""What datagrams have none of."""


def _cut(found: Values) -> int:
    ended: dict[str, int] = found["sessions"]["ended"]
    usual = "idle" if "lost" in found else "client"
    return sum(number for why, number in ended.items() if why != usual)


def _rows(*found: Values) -> tuple[tuple[str, str, _Reading], ...]:
    if not all("sessions" in one for one in found):
        return _TOTALS
    if any("lost" in one for one in found):
        return (*(row for row in _TOTALS if row[0] not in _OF_ATTEMPTS), *_SESSIONS)
    return _TOTALS + _SESSIONS


def _changes(found: Values) -> int:
    return sum(1 for row in found["timeline"] if row["fact"] != "fault")


def comparison(one: Values, other: Values) -> str:
    """The text: totals, faults and targets, with what the second changes."""
    return "\n".join(_lines(one, other)) + "\n"


def differences(one: Values, other: Values) -> Values:
    """The numbers of the text, for programs."""
    return {
        name: {"one": read(one), "other": read(other)}
        for name, _, read in _rows(one, other)
    }


def _lines(one: Values, other: Values) -> Iterator[str]:
    if one["shows"]:
        yield one["shows"]
    yield f"{duration_text(one['duration'])}, seed {one['seed']}"
    yield f"  one:   pool {one['pool']} of {one['config']}"
    yield f"  other: pool {other['pool']} of {other['config']}"
    yield ""
    yield f"  {'':<28}{'one':>15}{'other':>15}{'change':>12}"
    for name, form, read in _rows(one, other):
        yield _row(name, form, read(one), read(other))
    for fault, again in zip(one["faults"], other["faults"], strict=False):
        yield ""
        yield f"  #{fault['target']} {fault['does']}"[:78]
        for key, name in (("out_after", "out after"), ("back_after", "back after")):
            yield _row(f"  {name}", "{:.2f}s", fault[key], again[key])
        yield _row("  noticed", "{:.0f}", fault["noticed"], again["noticed"])
    yield ""
    for target, again in zip(one["targets"], other["targets"], strict=False):
        name = f"share of #{target['number']}"
        yield _row(name, "{:.1%}", target["share"], again["share"])


def _row(name: str, form: str, one: float | None, other: float | None) -> str:
    shown = ["-" if value is None else form.format(value) for value in (one, other)]
    change = ""
    if one is not None and other is not None and one != other:
        change = f"{(other - one) / one:+.1%}" if one else "new"
    return f"  {name:<28}{shown[0]:>15}{shown[1]:>15}{change:>12}".rstrip()
