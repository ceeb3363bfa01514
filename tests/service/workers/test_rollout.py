"""Tests of a change of the settings on its way to all workers."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.service.generation import Refused
from lolly_tx.service.workers.channel import Message
from lolly_tx.service.workers.rollout import COMMIT_SECONDS, PREPARE_SECONDS, Rollout
from lolly_tx.service.workers.seats import Seat


class RolloutTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Two workers."""
        self.clock = Clock()
        self.sent: list[tuple[int, str, list[int]]] = []
        self.one, self.two = self.seats = [Seat(1), Seat(2)]
        self.rollout = Rollout(self.clock, self.send)

    def send(self, seat: Seat, message: Message, fds: Sequence[int]) -> None:
        """Keep what is sent."""
        self.sent.append((seat.number, message["t"], list(fds)))

    def prepare(self) -> Deferred[None]:
        """Begin."""
        return self.rollout.prepare(
            self.seats, {"t": "prepare"}, lambda number: [10 * number]
        )

    def test_all_prepare_then_all_commit(self) -> None:
        """Each with its own slots."""
        done = self.prepare()
        self.assertEqual(
            sorted(self.sent), [(1, "prepare", [10]), (2, "prepare", [20])]
        )
        self.rollout.heard(self.one, "")
        self.assertNoResult(done)
        self.rollout.heard(self.two, "")
        self.successResultOf(done)
        self.sent.clear()
        followed = self.rollout.commit(self.seats, {"t": "commit"})
        self.assertEqual(self.sent, [(1, "commit", []), (2, "commit", [])])
        self.rollout.committed(self.two)
        self.assertNoResult(followed)
        self.rollout.committed(self.one)
        self.assertEqual(self.successResultOf(followed), ())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def committing(self) -> Deferred[tuple[int, ...]]:
        """All have prepared it, and it is in force."""
        self.prepare()
        for seat in self.seats:
            self.rollout.heard(seat, "")
        return self.rollout.commit(self.seats, {"t": "commit"})

    def test_silence_after_a_commit(self) -> None:
        """Who waits for the answer is not held up by a worker that hangs; the log and the answer name it."""
        followed = self.committing()
        self.rollout.committed(self.one)
        with capturedLogs() as events:
            self.clock.advance(COMMIT_SECONDS)
        self.assertEqual(self.successResultOf(followed), (2,))
        [said] = [formatEvent(one) for one in events]
        self.assertIn("Worker 2 has not said", said or "")
        self.rollout.committed(self.two)

    def test_worker_that_dies_after_a_commit(self) -> None:
        """It is not waited for: who follows it has the settings from the beginning."""
        followed = self.committing()
        self.rollout.lost(self.one)
        self.rollout.committed(self.two)
        self.successResultOf(followed)

    def test_one_refuses_so_none_has_it(self) -> None:
        """The reason names the worker, and the others forget what they prepared."""
        done = self.prepare()
        self.rollout.heard(self.one, "")
        self.rollout.heard(self.two, "no room")
        refused = self.failureResultOf(done, Refused).value
        self.assertEqual(refused.errors, ["worker 2: no room"])
        self.sent.clear()
        self.rollout.forget()
        self.assertEqual(self.sent, [(1, "forget", [])])

    def test_silence_is_a_refusal(self) -> None:
        """A worker that hangs does not hold a change up for ever."""
        done = self.prepare()
        self.rollout.heard(self.one, "")
        self.clock.advance(PREPARE_SECONDS)
        self.assertIn("worker 2", str(self.failureResultOf(done, Refused).value))

    def test_worker_that_dies_meanwhile_is_not_waited_for(self) -> None:
        """Who follows it and has not prepared makes room for one that begins with what is in force."""
        done = self.prepare()
        self.rollout.heard(self.one, "")
        self.rollout.lost(self.two)
        self.successResultOf(done)
        self.two.starts += 1
        self.sent.clear()
        self.rollout.commit(self.seats, {"t": "commit"})
        self.assertEqual(self.sent, [(1, "commit", []), (2, "stop", [])])

    def test_late_words_change_nothing(self) -> None:
        """Of a worker that nobody waits for."""
        self.rollout.heard(self.one, "late")
        self.rollout.lost(self.one)
        self.successResultOf(self.rollout.prepare([], {"t": "prepare"}, lambda n: []))
        self.rollout.forget()
        self.assertEqual(self.sent, [])
