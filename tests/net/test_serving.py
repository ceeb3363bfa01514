"""Tests of lolly_tx.net.sockets.serving: who is ready is served in turn, whatever becomes of the others."""

from __future__ import annotations

from typing import Any

from twisted.internet.epollreactor import EPOLLIN, EPOLLOUT
from twisted.trial.unittest import SynchronousTestCase

from lolly_tx.net.sockets.serving import serve_all


class Ready:
    """Something that can be read. `outcome`: what comes of it; an exception class is raised."""

    def __init__(self, outcome: Any = None) -> None:
        self.outcome = outcome
        self.reads = 0

    def doRead(self) -> Any:
        """Count it."""
        self.reads += 1
        if isinstance(self.outcome, type):
            raise self.outcome
        return self.outcome


class Noting:
    """A reactor that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def failed(self, selectable: Any, error: BaseException) -> BaseException:
        """It has raised."""
        self.said.append(("failed", selectable, type(error)))
        return error

    def serve_other(self, selectable: Any, fd: int, event: int) -> None:
        """There is more than bytes to read."""
        self.said.append(("other", selectable, fd, event))

    def _disconnectSelectable(self, selectable: Any, why: Any, reading: bool) -> None:
        self.said.append(("over", selectable, why.__class__, reading))


class ServingTests(SynchronousTestCase):
    def test_all(self) -> None:
        """Each is read once; one that is over, that raises or wants something else keeps none from its turn."""
        quiet, over, bad, other, last = every = (
            Ready(),
            Ready(ValueError("over")),
            Ready(SystemExit),
            Ready(),
            Ready(),
        )
        events = [(300 + n, EPOLLIN) for n in range(5)]
        events[3] = (303, EPOLLIN | EPOLLOUT)
        reactor = Noting()
        serve_all(events, {300 + n: one for n, one in enumerate(every)}, reactor)
        self.assertEqual([one.reads for one in every], [1, 1, 1, 0, 1])
        self.assertEqual(
            reactor.said,
            [
                ("over", over, ValueError, True),
                ("failed", bad, SystemExit),
                ("over", bad, SystemExit, True),
                ("other", other, 303, EPOLLIN | EPOLLOUT),
            ],
        )

    def test_closed_by_another(self) -> None:
        """Who was closed by one that was served before is passed over."""
        second = Ready()
        selectables: dict[int, Any] = {2: second}

        class Closing(Ready):
            def doRead(self) -> Any:
                del selectables[2]

        selectables[1] = Closing()
        serve_all([(1, EPOLLIN), (2, EPOLLIN)], selectables, Noting())
        self.assertEqual(second.reads, 0)
