"""Threads that are none: calls wait until the test lets them be made."""

from __future__ import annotations

from lolly_tx.net.files.threads import Done, Work


class FakeThreads:
    """`calls`: those that wait, for `run`; `at_once`: each is made when `run` is not called for, in the next `turn`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Work, Done]] = []
        self.stopped = False
        self.made = 0

    def call(self, work: Work, done: Done) -> None:
        """Keep it."""
        self.calls.append((work, done))

    def run(self) -> None:
        """Make those that wait, and those that come of them."""
        while self.calls:
            work, done = self.calls.pop(0)
            self.made += 1
            result = error = None
            try:
                result = work()
            except Exception as raised:
                error = raised
            done(result, error)

    def fail(self, error: Exception) -> None:
        """Let those that wait fail."""
        calls, self.calls = self.calls, []
        for _, done in calls:
            done(None, error)

    def stop(self) -> None:
        """Note it."""
        self.stopped = True
