"""How rates are written: "10/s", "100/m", "5/10s".

Imports: config.kinds. Used by: config.middleware.rate_limit.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from lolly_tx.config.kinds.plain import (
    Duration,
    Word,
    duration_text,
    plain_text,
    quoted,
)
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place

_RATE = re.compile(r"([0-9]{1,9})/([0-9]*\.?[0-9]*)(ms|s|m|h|d)")
_DURATION = Duration(0.001)


@attrs.frozen
class PerTime:
    """So many in each so many seconds."""

    count: int
    seconds: float

    def __str__(self) -> str:
        per = duration_text(self.seconds)
        for one in ("s", "m", "h"):
            if per == f"1{one}":
                per = one
        return f"{self.count}/{per}"


class _Rate(Word):
    """A rate."""

    word = "rate"

    def read(self, raw: Any, place: Place) -> PerTime:
        text = plain_text(raw)
        found = _RATE.fullmatch(text)
        if found is None or not int(found[1]):
            raise Rejected('must be a rate such as "10/s", "100/m" or "5/10s"')
        return PerTime(
            int(found[1]), _DURATION.read(f"{found[2] or 1}{found[3]}", place)
        )

    def show(self, value: Any) -> str:
        return quoted(str(value))


RATE = _Rate()
