"""The kinds of values only scenarios have: which targets, and how long they take.

Imports: config.kinds, simulate. Used by: simulate.scenario, simulate.staying.
"""

from __future__ import annotations

from typing import Any

from lolly_tx.config.kinds.plain import Duration, Size, nearest, type_word
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Kind, Place
from lolly_tx.config.kinds.tables import read_or_none
from lolly_tx.simulate.latency import (
    Constant,
    Exponential,
    Latency,
    Lognormal,
    Uniform,
)

SECONDS = Duration(0.0)
_SHAPES = {
    frozenset(("median", "p99")): Lognormal,
    frozenset(("low", "high")): Uniform,
    frozenset(("mean",)): Exponential,
}


class _On:
    """Targets by position (from 1), id or address; "all"; or a list of these."""

    word = "target or list"

    def read(self, raw: Any, place: Place) -> tuple[int | str, ...]:
        """See `schema.Kind`; "all" is the empty tuple."""
        one_by_one = raw if isinstance(raw, list) else [raw]
        if raw == "all":
            return ()
        if not one_by_one:
            raise Rejected("names no target")
        for one in one_by_one:
            if isinstance(one, bool) or not isinstance(one, (int, str)):
                raise Rejected(
                    'must be a target\'s position, id or address, or "all", not '
                    + type_word(one)
                )
        return tuple(one_by_one)


class _Distribution:
    """A single value, or a table that names a distribution of such values. `each`: what reads one."""

    def __init__(self, word: str, each: Duration | Size) -> None:
        self.word = word
        self._each = each

    def read(self, raw: Any, place: Place) -> Latency:
        """See `schema.Kind`."""
        each: Kind = self._each
        if not isinstance(raw, dict):
            return Constant(each.read(raw, place))
        known = sorted({key for keys in _SHAPES for key in keys})
        values: dict[str, float] = {}
        for key, value in raw.items():
            if key not in known:
                place.at(key).wrong("unknown key" + nearest(key, known))
            elif (read := read_or_none(each, value, place.at(key))) is not None:
                values[key] = read
        if len(values) < len(raw):
            raise Rejected()
        shape = _SHAPES.get(frozenset(values))
        if shape is None:
            raise Rejected("must have median and p99, low and high, or mean")
        for lower, higher in (("median", "p99"), ("low", "high")):
            if lower in values and values[higher] < values[lower]:
                place.at(higher).wrong(f"must not be below {lower}")
                raise Rejected()
        latency: Latency = shape(**values)
        return latency


ON = _On()
LATENCY = _Distribution("latency", Duration(0.00001))
BYTES = _Distribution("size", Size(1, 1 << 50))
