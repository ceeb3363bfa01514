"""The epoll reactor with a lean poll loop and a clock that only goes forward.

Offered to twistd as `--reactor=lolly`; everything else of ours also runs on Twisted's
own reactors. Three differences from `EPollReactor`:

- An event is dispatched directly. Twisted sets up a logging
  context around each one, 8 to 10 % of the CPU of a small request; we log with a
  namespace of our own and do not need it. Hang-ups and errors that leave nothing to
  read go the stock way.
- `seconds` is the monotonic clock: a step of the wall clock neither fires nor delays a
  timer. Who wants the date must ask `time.time` (twisted.web's own access log does not,
  and would print 1970; ours does).
- SIGTERM ends the process with status 0 once it has stopped.

Imports: Twisted. Used by: twisted.plugins.
"""

from __future__ import annotations

import errno
import time
from types import FrameType
from typing import Any

from twisted.internet.epollreactor import EPOLLIN, EPOLLOUT, EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python.log import callWithLogger

__all__ = ["LollyReactor", "install"]

EVENTS_AT_ONCE = 128
"""Events taken by one epoll_wait, between which no timer runs. A thousand connections that are
refused together take 0.1 ms each; what does not fit is first in the next round."""


class LollyReactor(EPollReactor):
    """See the module."""

    _log = Logger()

    # Everything in Twisted that computes a timer's time asks this attribute.
    seconds = staticmethod(time.monotonic)

    def doPoll(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds (None: for ever) and serve what happened."""
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
        for fd, event in events:
            # Served earlier in this round, another may have closed this one.
            selectable = selectables.get(fd)
            if selectable is None:
                continue
            if event == EPOLLIN:
                try:
                    why = selectable.doRead()
                except BaseException as error:
                    why = self._failed(selectable, error)
                if why:
                    self._disconnectSelectable(selectable, why, True)
            elif event & EPOLLIN or event == EPOLLOUT:
                self._serve(selectable, event)
            else:
                callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)

    doIteration = doPoll

    def _serve(self, selectable: Any, event: int) -> None:
        """Serve one that is readable, or writable, or both; if it has hung up, reading tells."""
        reading = bool(event & EPOLLIN)
        try:
            why = selectable.doRead() if reading else None
            if not why and event & EPOLLOUT:
                reading = False
                why = selectable.doWrite()
        except BaseException as error:
            why = self._failed(selectable, error)
        if why:
            self._disconnectSelectable(selectable, why, reading)

    def _failed(self, selectable: Any, error: BaseException) -> BaseException:
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
