"""The settings of `type = "fault"`: delays and failures on purpose.

Imports: config.kinds. Used by: proxy.middleware.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import attrs

from lolly_tx.config.kinds.httpkinds import OPTIONAL_FIELD_NAME
from lolly_tx.config.kinds.plain import Count, Duration, Number, duration_text
from lolly_tx.config.kinds.problems import Rejected
from lolly_tx.config.kinds.schema import Place, about

FOREVER = 0.0


class _Moment:
    """A moment, as seconds since the epoch."""

    word = "ISO time"

    def read(self, raw: Any, place: Place) -> float:
        if raw == "":
            return FOREVER
        if isinstance(raw, str):
            try:
                raw = datetime.fromisoformat(raw)
            except ValueError:
                pass
        if not isinstance(raw, datetime):
            raise Rejected('must be a moment such as "2026-11-28T18:00:00Z"')
        if raw.tzinfo is None:
            raise Rejected('needs a time zone: "Z" at its end is UTC')
        return raw.timestamp()

    def show(self, value: float) -> str:
        if value == FOREVER:
            return '""'
        shown = datetime.fromtimestamp(value, UTC).isoformat()
        return f'"{shown.replace("+00:00", "Z")}"'


class _Status(Count):
    """A status, or 0 for none."""

    word = "status, or 0"

    def read(self, raw: Any, place: Place) -> int:
        status = super().read(raw, place)
        if 0 < status < 200:
            raise Rejected("must be a status from 200 to 599, or 0 for none")
        return status


@attrs.frozen
class Fault:
    """Delays and failures on purpose, to see what becomes of them."""

    delay: float = attrs.field(
        default=0.0,
        metadata=about(Duration(0.0), "How long requests are held; 0s = not at all."),
    )
    delay_percent: float = attrs.field(
        default=100.0,
        metadata=about(Number(0.0, 100.0), "How many of them, in percent."),
    )
    status: int = attrs.field(
        default=0,
        metadata=about(
            _Status(0, 599),
            "What requests get in the place of an answer; 0 = nothing of the kind. After the delay, for those that have"
            " one.",
        ),
    )
    abort_percent: float = attrs.field(
        default=100.0,
        metadata=about(Number(0.0, 100.0), "How many of them, in percent."),
    )
    header: str = attrs.field(
        default="",
        metadata=about(
            OPTIONAL_FIELD_NAME,
            'Only requests with this field are touched, for tests that ask for it; "" = all. Targets do not get it.',
        ),
    )
    until: float = attrs.field(
        default=FOREVER,
        metadata=about(
            _Moment(),
            'When it ends by itself: "2026-11-28T18:00:00Z"; "" = never.',
        ),
    )
    most: int = attrs.field(
        default=100,
        metadata=about(
            Count(1, 100_000),
            "Requests that are held at once; others pass as if nothing were.",
        ),
    )

    def rules(self, config: Any, place: Place) -> None:
        """It has to do something."""
        written = [key for key in ("delay", "status") if place.at(key).written]
        if not self.delay and not self.status and not written:
            place.wrong("does nothing: give it a delay or a status")

    def facts(self) -> Iterator[str]:
        """What happens to how many."""
        whose = f" of those with {self.header}" if self.header else ""
        if self.delay:
            held = duration_text(self.delay)
            yield f"holds {self.delay_percent:g} % of the requests{whose} for {held}"
        if self.status:
            yield f"answers {self.abort_percent:g} % of the requests{whose} with {self.status}"

    def doubts(self) -> Iterator[str]:
        """What may be forgotten."""
        if self.until == FOREVER and not self.header:
            yield "has no end: set until, or it fails requests until somebody remembers"
