"""A modelled target of a stream: whom it accepts, and what becomes of the sessions that it has.

Imports: simulate. Used by: simulate.sessions, simulate.staging.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Literal

import attrs

from lolly_tx.simulate.staying import Staying
from lolly_tx.simulate.targets import (
    REFUSAL_SECONDS,
    Answer,
    ConnectTrouble,
    ModelledTarget,
)

Ended = Literal["client", "target_reset", "idle"]


@attrs.frozen
class Stay:
    """A session that is up: seconds until it ends, bytes both ways by then, and what ends it."""

    seconds: float
    sent: int
    received: int
    why: Ended


class SessionTarget:
    """A target of a stream. `model`: what goes wrong with it, and how soon it accepts.

    `most`: sessions at once, 0 = any number. `idle`: seconds after which a session without a byte is closed. `random`:
    draws what sessions are like.
    """

    def __init__(
        self,
        model: ModelledTarget,
        staying: Staying,
        most: int,
        idle: float,
        random: Random,
    ) -> None:
        self.open = self.peak = 0
        self.sent = self.received = 0
        self.ended: Counter[str] = Counter()
        self._model = model
        self._staying = staying
        self._most = most
        self._idle = idle
        self._random = random

    # -- for probes (`staging.Model`)

    def answer(self, now: float, probe: bool = False, number: int = 0) -> Answer:
        """What becomes of a connect, or of a probe, that comes at `now`."""
        if not probe and self._most and self.open >= self._most:
            return REFUSAL_SECONDS, 0, "refused"
        return self._model.answer(now, probe)

    def connect_fault(self, now: float) -> ConnectTrouble:
        """What keeps a connect from it."""
        return self._model.connect_fault(now)

    def retry_after(self, now: float) -> int:
        """It says nothing."""
        return 0

    # -- for sessions

    def begin(self, now: float, trouble: str) -> Stay:
        """One is up; what it will be. `trouble`: what the model does to it."""
        self.open += 1
        self.peak = max(self.peak, self.open)
        random, staying = self._random, self._staying
        lasts = staying.lasts.draw(random) * self._model.slowness(now)
        sent = staying.sent.draw(random)
        received = staying.received.draw(random)
        if trouble == "reset":
            return Stay(0.0, int(sent), 0, "target_reset")
        cut = self._model.next_death(now) - now
        if trouble == "silent":
            if cut < self._idle:
                return Stay(cut, int(sent), 0, "target_reset")
            return Stay(self._idle, int(sent), 0, "idle")
        if cut < lasts:
            share = cut / lasts
            return Stay(cut, int(sent * share), int(received * share), "target_reset")
        return Stay(lasts, int(sent), int(received), "client")

    def end(self, stay: Stay) -> None:
        """One is over."""
        self.open -= 1
        self.sent += stay.sent
        self.received += stay.received
        self.ended[stay.why] += 1
