"""The epoll reactor with a lean poll loop and a clock that only goes forward.

Offered to twistd as `--reactor=lolly`; everything else of ours also runs on Twisted's
own reactors. Five differences from `EPollReactor`:

- An event is dispatched directly. Twisted sets up a logging
  context around each one, 8 to 10 % of the CPU of a small request; we log with a
  namespace of our own and do not need it. Hang-ups and errors that leave nothing to
  read go the stock way.
- A round of events ends after `TURN` seconds, however many there are: timers and calls from
  threads run, and what is left is served first in the next round.
- `seconds` is the monotonic clock: a step of the wall clock neither fires nor delays a
  timer. Who wants the date must ask `time.time` (twisted.web's own access log does not,
  and would print 1970; ours does).
- SIGTERM ends the process with status 0 once it has stopped.
- pyOpenSSL is not there before somebody imports it (`net.sockets.later_tls`).

Imports: net.sockets, Twisted. Used by: twisted.plugins.
"""

from __future__ import annotations

import errno
import time
from types import FrameType
from typing import Any

from twisted.logger import Logger
from twisted.python.log import callWithLogger

from lolly_tx.net.sockets.later_tls import tls_later

with tls_later():
    from twisted.internet.epollreactor import EPOLLIN, EPOLLOUT, EPollReactor
    from twisted.internet.main import installReactor

    from lolly_tx.net.sockets.serving import serve_all

__all__ = ["LollyReactor", "install"]

EVENTS_AT_ONCE = 128
"""Events taken by one epoll_wait."""

TURN = 0.01
"""Seconds that a round of events may take while timers wait: a thousand connections that are
refused together take 0.5 ms each. It ends with the event, or the `SLICE`, that goes beyond."""

SLICE = 8
"""Events served between two looks at the clock."""


class LollyReactor(EPollReactor):
    """See the module."""

    _log = Logger()

    # Everything in Twisted that computes a timer's time asks this attribute.
    seconds = staticmethod(time.monotonic)

    _left: list[tuple[int, int, Any]]
    """Of a round that took too long: descriptor, event, and whose it was."""

    def __init__(self) -> None:
        self._left = []
        super().__init__()

    def doPoll(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds (None: for ever) and serve what happened."""
        if self._left:
            self._serve_left()
            return
        selectables = self._selectables
        try:
            events = self._poller.poll(
                -1 if timeout is None else timeout,
                min(len(selectables), EVENTS_AT_ONCE),
            )
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        if len(events) <= SLICE:
            self._serve_all(events)
            return
        ends = self.seconds() + TURN
        for served in range(0, len(events), SLICE):
            self._serve_all(events[served : served + SLICE])
            if self.seconds() >= ends:
                self._leave(events[served + SLICE :])
                break

    doIteration = doPoll

    def _serve_all(self, events: list[tuple[int, int]]) -> None:
        serve_all(events, self._selectables, self)

    def serve_other(self, selectable: Any, fd: int, event: int) -> None:
        """Serve one that is not just readable."""
        if event & EPOLLIN or event == EPOLLOUT:
            self._serve(selectable, event)
        else:
            callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)

    def _leave(self, events: list[tuple[int, int]]) -> None:
        """Keep what is to be served after the timers.

        Asked anew, epoll would name those first again that it has named first this time.
        """
        selectables = self._selectables
        self._left = [
            (fd, event, selectables[fd]) for fd, event in events if fd in selectables
        ]

    def _serve_left(self) -> None:
        """Serve those that are still open and still ask for it, as long as a round may take."""
        left, self._left = self._left, []
        ends = self.seconds() + TURN
        for served in range(0, len(left), SLICE):
            self._serve_all(
                [
                    (fd, wanted)
                    for fd, event, selectable in left[served : served + SLICE]
                    if self._selectables.get(fd) is selectable
                    and (wanted := event & self._wanted(fd))
                ]
            )
            if self.seconds() >= ends:
                self._left = left[served + SLICE :]
                break

    def _wanted(self, fd: int) -> int:
        """The events it asks for, and those that nobody needs to ask for."""
        wanted: int = ~(EPOLLIN | EPOLLOUT)
        if fd in self._reads:
            wanted |= EPOLLIN
        if fd in self._writes:
            wanted |= EPOLLOUT
        return wanted

    def _serve(self, selectable: Any, event: int) -> None:
        """Serve one that is readable, or writable, or both; if it has hung up, reading tells."""
        reading = bool(event & EPOLLIN)
        try:
            why = selectable.doRead() if reading else None
            if not why and event & EPOLLOUT:
                reading = False
                why = selectable.doWrite()
        except BaseException as error:
            why = self.failed(selectable, error)
        if why:
            self._disconnectSelectable(selectable, why, reading)

    def failed(self, selectable: Any, error: BaseException) -> BaseException:
        """As in Twisted, even SystemExit only ends the connection it came from."""
        self._log.failure(
            "{selectable} failed; disconnecting it", selectable=selectable
        )
        return error

    def sigTerm(self, number: int, frame: FrameType | None = None) -> None:
        """Stop in good order. The process then exits with 0.

        Twisted's reactors have twistd end by the signal itself, which a supervisor takes
        for a failure; but we were asked to stop, and did.
        """
        self._log.info("Received SIGTERM, shutting down.")
        self.callFromThread(self._stop_unless_stopped)

    def _stop_unless_stopped(self) -> None:
        if not self._stopped:
            self.stop()


def install() -> None:
    """Install this reactor as the process's own: what a Twisted reactor plugin calls."""
    installReactor(LollyReactor())
