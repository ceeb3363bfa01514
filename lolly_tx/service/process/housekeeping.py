"""What a process that is nothing but the proxy does with itself: memory, threads and signals.

    SIGUSR1   open the log files anew, after a rotation
    SIGHUP    read the configuration again; a terminal that closes ends nothing

Stopping is `service.process.signals`. An application that embeds the proxy has its own ideas of all this, so
`build` does none of it.

Imports: service.records, Twisted. Used by: service.changes, service.workers, tap.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from incremental import Version
from twisted._version import __version__ as installed_twisted
from twisted.logger import Logger

from lolly_tx.service.records.reopening import NotReopened, reopen_all

YOUNG_OBJECTS = 2_000
"""Allocations between two collections of the young. Few, and looked at often: then what they look at is small."""
MIDDLE, OLD = 5, 1_000
"""Of the young between two of the middle, and of those between two of everything that came since the start."""

SWITCH = 0.0002
"""Seconds a thread may compute while the event loop's waits for its turn; Python's own are 5 ms."""

OLDEST_TWISTED = Version("Twisted", 26, 10, 0)
"""Older ones let requests be smuggled, run out of order, or floods through."""

_log = Logger(namespace="lolly_tx.service.process.housekeeping")


def collect_garbage() -> None:
    """Call once when everything is built and nobody is served yet: it takes 40 to 100 ms."""
    gc.collect()


def settle_memory() -> None:
    """Call once when everything runs: what is there now is there to stay.

    A full collection looks at every object there is. With those of the start left out for good it takes
    microseconds instead of some 60 ms, in which no client would be served. What comes later is looked at: with
    9,000 connections the longest collection takes 3 to 6 ms with these thresholds, 25 to 32 ms with fewer and larger
    ones, and all together less time.
    """
    gc.freeze()
    gc.enable()  # `lolly run` begins without
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)


def loop_first() -> None:
    """Call once: threads that compute (a reload reads and compares settings in one) give way to the event loop soon.

    The loop lets go of the interpreter in every system call and gets it back when the thread's time is over: with
    Python's 5 ms a connect of six calls takes 30 ms as long as the thread is busy.
    """
    sys.setswitchinterval(SWITCH)


@contextmanager
def no_collection() -> Iterator[None]:
    """Look for garbage afterwards: for what is done in one turn, however much of it there is."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def leave_no_core() -> None:
    """No memory image after a crash: it would hold keys, tokens and cookies."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (
        OSError,
        ValueError,
    ) as error:  # pragma: no cover  # lowering is always allowed
        _log.warn("Core dumps stay on: {error}", error=error)


def require_versions(installed: Version = installed_twisted) -> str:
    """Why the Twisted that is installed will not do, "" if it does."""
    if installed < OLDEST_TWISTED:
        return f"Twisted {installed.short()} has known holes; {OLDEST_TWISTED.short()} or newer is needed"
    return ""


def hear_signals(
    reactor: Any,
    *reopen: Callable[[], None],
    reload: Callable[[], None] | None = None,
    install: Callable[[int, Any], Any] = signal.signal,
) -> None:
    """From the start of `reactor` on, act on SIGUSR1 and SIGHUP.

    `reopen`: open the logs anew, may raise OSError. `reload`: reads the settings again; None: there are none to read.
    """

    def logs() -> None:
        try:
            reopen_all(reopen)
        except NotReopened as failed:
            for error in failed.errors:
                _log.error("The log stays as it is: {error}", error=error)
        else:
            _log.info("SIGUSR1: the log files were opened anew")

    def nothing() -> None:
        _log.info("SIGHUP: there is no configuration file to read again")

    def begin() -> None:
        # twistd rotates its own log file at this signal, if it has one.
        before = signal.getsignal(signal.SIGUSR1)

        def on_usr1(number: int, frame: FrameType | None) -> None:
            if callable(before):
                before(number, frame)
            reactor.callFromThread(logs)

        def on_hup(number: int, frame: FrameType | None) -> None:
            reactor.callFromThread(reload or nothing)

        install(signal.SIGUSR1, on_usr1)
        install(signal.SIGHUP, on_hup)

    reactor.callWhenRunning(begin)
