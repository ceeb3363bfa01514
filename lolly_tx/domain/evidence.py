"""What was seen of a target lately: the last checks and the last failures of its traffic, each a few.

Imports: nothing of ours. Used by: domain, domain.shared.
"""

from __future__ import annotations

from collections import deque

import attrs

KEPT = 8
"""Of each kind, per node: more than any threshold people set, and little enough for a thousand targets."""


@attrs.frozen
class Sighting:
    """One thing seen. `at`: seconds, monotonic. `cause`: one line for a person. `seconds`: how long it took."""

    at: float
    ok: bool
    cause: str
    seconds: float | None = None


class Evidence:
    """The last `KEPT` checks (good and bad) and the last `KEPT` failures of real traffic of one node."""

    __slots__ = ("checks", "failures")

    def __init__(self) -> None:
        self.checks: deque[Sighting] = deque(maxlen=KEPT)
        self.failures: deque[Sighting] = deque(maxlen=KEPT)

    def __repr__(self) -> str:
        return f"<Evidence {len(self.checks)} checks, {len(self.failures)} failures>"
