"""What a store has been to one process: here or away, since when, and why.

Imports: nothing of ours. Used by: net.stores.store.
"""

from __future__ import annotations

from collections import deque

import attrs

MOST_CHANGES = 16
"""The latest are kept."""


@attrs.frozen
class Change:
    """`at`: seconds, monotonic. `here`: from then on. `why`: it went away, "" when it came."""

    at: float
    here: bool
    why: str = ""


class Past:
    """`answered_in`: what the latest heartbeat took, seconds; None: none was answered yet.

    `refusal`: why it refused a question, in its own words, the latest since it came; "": it did not.
    """

    def __init__(self) -> None:
        self.changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        self.answered_in: float | None = None
        self.refusal = ""

    def came(self, now: float) -> None:
        """It is here."""
        self.changes.append(Change(now, True))
        self.refusal = ""

    def went(self, now: float, why: str) -> None:
        """It is away."""
        self.changes.append(Change(now, False, why))
