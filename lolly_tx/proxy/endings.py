"""Exchanges that are over, told of some at a time to those who write them down.

    an exchange ends --append--> Endings.ended --tell--> the access log, the recorder

On a busy socket the code and data of one request are pushed out of the processor's caches by those of the next; a line
written between two requests costs several times as much as the same line right after others. So the way of a request
only puts the exchange into a list. It is told of when there are `MOST`, and every `TELL_SECONDS`.

Imports: Twisted. Used by: proxy.forwarder, proxy.records, service, service.records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

MOST = 256
"""Exchanges that wait to be told of, at most: some 300 kB, and a millisecond or two to write down."""

TELL_SECONDS = 0.25
"""The longest they wait."""

Ended = tuple[Any, float]
"""An exchange, and when it was over by the monotonic clock."""

Writer = Callable[[list[Ended]], None]
"""Writes them down. What it raises is logged, and no concern of the exchanges."""


class Endings:
    """Those of one process. `clock`: what the tellings are scheduled on.

    `ended`: where exchanges put themselves; whoever makes it `most` long calls `tell`.
    """

    _log: ClassVar = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.ended: list[Ended] = []
        self.most = MOST
        self._writers: tuple[Writer, ...] = ()
        self._started = False
        self._loop = LoopingCall(self.tell)
        self._loop.clock = clock

    def go_by(self, writers: tuple[Writer, ...], *, at_once: bool = False) -> None:
        """Tell these from now on, and the ones before of what was over before. `at_once`: of each when it is over."""
        self.tell()
        self._writers = writers
        self.most = 1 if at_once else MOST
        self._run()

    def tell(self) -> None:
        """Tell of what is over."""
        if not self.ended:
            return
        batch = self.ended[:]
        self.ended.clear()
        for write in self._writers:
            try:
                write(batch)
            except Exception:
                self._log.failure("What is over could not be written down")

    def start(self) -> None:
        """Tell every now and then, as long as there is somebody to tell."""
        self._started = True
        self._run()

    def stop(self) -> None:
        """Tell of the rest."""
        self._started = False
        self._run()
        self.tell()

    def _run(self) -> None:
        wanted = self._started and bool(self._writers)
        if wanted and not self._loop.running:
            self._loop.start(TELL_SECONDS, now=False)
        elif not wanted and self._loop.running:
            self._loop.stop()
