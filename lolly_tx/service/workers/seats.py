"""One worker's place among others: who is there, since when, and when the next one is to be.

Imports: service.workers. Used by: service.workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from lolly_tx.service.workers.channel import Channel, Message

State = Literal["starting", "serving", "draining", "back-off", "stopped"]

SILENT_SECONDS = 5.0
"""Without a word from a worker: it hangs."""

START_SECONDS = 30.0
"""The same of one that is being made."""

STEADY_SECONDS = 10.0
"""A worker that served for so long has not failed to start; its end says nothing about the next one."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0
"""Seconds from the end of a worker that keeps failing to its next start; they double from the first to the longest."""


def delay_after(failures: int) -> float:
    """Seconds until the next start after so many failures in a row; the first costs nothing."""
    if failures < 2:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 2, 30))


class Seat:
    """One worker's place. `number`: 1 and up. `pid`: 0 while there is nobody, or nobody knows it yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.channel: Channel | None = None
        self.pid = 0
        self.serving = False
        self.began = 0.0
        """When the one that is there was started (monotonic)."""
        self.heard = 0.0
        self.patience = START_SECONDS
        self.due: float | None = 0.0
        """When the next one is to be started; None: somebody is there, or nobody is to be."""
        self.failures = 0
        self.starts = 0
        self.why = ""
        """Why nobody serves here."""
        self.since = 0.0
        """When it came to be as it is (monotonic)."""
        self.leaves = False
        """The one that is there accepts nothing more: it ends, and is replaced."""
        self.keeper: Seat | None = None
        """Who accepts on this slot meanwhile."""

    @property
    def state(self) -> State:
        """What is the matter with it, in a word."""
        if self.channel is None:
            if self.due is None:
                return "stopped"
            return "back-off" if self.starts else "starting"
        if self.leaves:
            return "draining"
        return "serving" if self.serving else "starting"

    def leave(self, now: float) -> None:
        """Who is there accepts nothing more."""
        if not self.leaves:
            self.leaves, self.since = True, now

    def shown(self, now: float, template_why: str) -> dict[str, Any]:
        """For the admin side. `template_why`: why nobody can be forked."""
        there = self.channel is not None
        wait = None
        if self.due is not None and self.starts:
            wait = round(max(0.0, self.due - now), 3)
        return {
            "worker": self.number,
            "pid": self.pid if there else None,
            "state": self.state,
            "state_seconds": round(max(0.0, now - self.since), 3),
            "serving": self.serving,
            "silent_seconds": round(now - self.heard, 3) if there else None,
            "starts": self.starts,
            "restarts": max(0, self.starts - 1),
            "seconds": round(now - self.began, 3) if there else None,
            "next_start_seconds": wait,
            "why": self.why or ("" if self.serving else template_why),
        }

    def __repr__(self) -> str:
        return f"<Seat {self.number}: {'serving' if self.serving else self.why or 'starting'}>"


class Office(Protocol):
    """What the crew needs of the supervisor: what it tells workers, and who wants to hear what they say."""

    def settings(self) -> tuple[Message, Sequence[int]]:
        """For the template."""

    def beginning(self, number: int) -> tuple[Message, Sequence[int]]:
        """For a new worker, with the descriptors of its slots."""

    def slots(self, number: int) -> tuple[list[str], list[int]]:
        """The listeners, and the descriptors of one slot of each."""

    def heard(self, seat: Seat, message: Message) -> None:
        """What a worker says beside that it lives."""

    def passed(self, seat: Seat, message: Message, descriptors: list[int]) -> None:
        """What a worker says, with descriptors, which are the office's own from then on."""

    def lost(self, seat: Seat) -> None:
        """A worker is gone."""
