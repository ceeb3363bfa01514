"""Notices when the event loop stands still, and what held it.

    event loop:  beat ... beat ... (something takes 300 ms) ........ beat -> a Stall
    thread:         look   look   look, the beat is late: note the loop's stack

Everything of this process happens in one thread, so one call that takes 300 ms makes
every client wait that long. A timer marks time in the event loop.
A thread looks whether the mark is fresh, and when it is not, takes a sample of what the
event loop's thread is doing. On a machine with little to spare the loop can also be late
because it got no processor; the kernel counts that, and a stall says how much of it was
that. When a stall has no stack, the thread did not run either: the process was stopped.

Costs 20 wake-ups a second in each of both threads: some tenths of one per cent of a core
in a process that idles, and less where the loop is awake anyway.

Imports: Twisted. Used by: service.admin, service.metrics, service.service,
service.serving.
"""

from __future__ import annotations

import os
import sys
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

BEAT = 0.05
"""Seconds from one mark to the next, and from one look to the next."""

STALL = 0.1
"""Seconds by which a mark has to be late to make a stall. So what holds the loop for STALL
+ BEAT is always seen."""

LOG_INTERVAL = 1.0
"""Seconds: at most one line about stalls in this time."""

RECENT = 60.0
"""Seconds that `WatchdogSnapshot.recent` looks back, and up to a sixth more."""

_SLOT = RECENT / 6

STACK_FRAMES = 12
"""The innermost calls that are kept; the outer ones are always the reactor's."""

LATENESS_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds: marks are counted by how late they came through our own doing (`Stall.held`),
up to each of these and beyond."""


@attrs.frozen
class Stall:
    """One time the event loop stood still.

    `at`: monotonic time of its end. `seconds`: how late the mark came. `waiting`: for how
    many of them the thread was ready and had no processor, 0.0 where the kernel does not
    say. `stack`: the calls it was in, outermost first.
    """

    at: float
    seconds: float
    waiting: float
    stack: tuple[str, ...]

    @property
    def held(self) -> float:
        """Seconds that are our own doing."""
        return max(0.0, self.seconds - self.waiting)


@attrs.frozen
class WatchdogSnapshot:
    """What has been seen since the start.

    `longest`, `longest_held`: seconds, of a stall and of one's own part (`Stall.held`).
    `lateness`: pairs (seconds, count): marks that came at most so late, the time without
    a processor left out; the last bound is infinity.
    """

    beats: int
    stalls: int
    longest: float
    longest_held: float
    last: Stall | None
    lateness: tuple[tuple[float, int], ...]
    recent: float = 0.0
    """Seconds: by how much the latest mark was late at most, in the last `RECENT` seconds."""


class Watchdog:
    """Watches the event loop of `clock`.

    `now`: seconds, monotonic. `sampling`: whether to start the thread that takes stacks
    (a test with a fake clock has no event loop to look at). Start it in the event loop's
    own thread.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, now: Callable[[], float], *, sampling: bool = True
    ) -> None:
        self._clock = clock
        self._now = now
        self._sampling = sampling
        self._timer: IDelayedCall | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._watched = 0
        self._beat_at = 0.0
        self._sampled_beat = 0.0
        self._stack: tuple[str, ...] = ()
        self._processor = _ProcessorWait()
        self._waited = 0.0
        self._logged_at = float("-inf")
        self._unlogged = 0
        self._beats = 0
        self._stalls = 0
        self._longest = 0.0
        self._longest_held = 0.0
        self._last: Stall | None = None
        self._late = [0] * (len(LATENESS_BOUNDS) + 1)
        self._worst: deque[tuple[float, float]] = deque(maxlen=7)

    def start(self) -> None:
        """Begin to watch; does nothing when it does already."""
        if self._timer is not None:
            return
        self._watched = threading.get_ident()
        self._processor.open()
        self._waited = self._processor.seconds()
        self._beat_at = self._now()
        self._timer = self._clock.callLater(BEAT, self._beat)
        if self._sampling:
            self._stop = stop = threading.Event()
            self._thread = threading.Thread(
                target=self._look, args=(stop,), name="watchdog", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Watch no more; does nothing when it does not."""
        timer, self._timer = self._timer, None
        if timer is None:
            return
        timer.cancel()
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self._processor.close()

    def count_on(self, stalls: int) -> None:
        """So many were seen by who watched before."""
        self._stalls += stalls

    def snapshot(self) -> WatchdogSnapshot:
        """What has been seen so far."""
        bounds = (*LATENESS_BOUNDS, float("inf"))
        return WatchdogSnapshot(
            beats=self._beats,
            stalls=self._stalls,
            longest=self._longest,
            longest_held=self._longest_held,
            last=self._last,
            lateness=tuple(zip(bounds, self._late, strict=True)),
            recent=self._recent(self._now()),
        )

    def _recent(self, now: float) -> float:
        """A loop that stands still at this moment is as late as it is now."""
        overdue = now - self._beat_at - BEAT if self._timer is not None else 0.0
        ended = now - RECENT - _SLOT
        return max(0.0, overdue, *(late for at, late in self._worst if at > ended))

    # -- in the event loop

    def _beat(self) -> None:
        now = self._now()
        late = now - self._beat_at - BEAT
        self._beats += 1
        waited = self._processor.seconds()
        waiting = waited - self._waited
        self._late[bisect_left(LATENESS_BOUNDS, late - waiting)] += 1
        if self._worst and now - self._worst[-1][0] < _SLOT:
            at, worst = self._worst[-1]
            if late > worst:
                self._worst[-1] = at, late
        else:
            self._worst.append((now, late))
        if late >= STALL:
            self._record(now, late, waiting)
        self._waited = waited
        self._beat_at = now
        self._timer = self._clock.callLater(BEAT, self._beat)

    def _record(self, now: float, late: float, waiting: float) -> None:
        sampled = self._sampled_beat == self._beat_at
        stall = Stall(now, late, min(waiting, late), self._stack if sampled else ())
        self._stalls += 1
        self._last = stall
        self._longest = max(self._longest, late)
        self._longest_held = max(self._longest_held, stall.held)
        if now - self._logged_at < LOG_INTERVAL:
            self._unlogged += 1
            return
        self.log.warn(
            "The event loop stood still for {stall.seconds:.3f} s, of which it waited"
            " {stall.waiting:.3f} s for a processor, in {where} ({unlogged} more since"
            " the last such line)",
            stall=stall,
            where=" > ".join(stall.stack) or "a process that did not run",
            unlogged=self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0

    # -- in the thread

    def _look(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            beat = self._beat_at
            if self._now() - beat >= STALL and self._sampled_beat != beat:
                frame = sys._current_frames().get(self._watched)
                self._stack = stack_of(frame)
                self._sampled_beat = beat


def stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """The innermost calls of a thread as "file:line function", outermost first."""
    calls: list[str] = []
    while frame is not None and len(calls) < STACK_FRAMES:
        code = frame.f_code
        name = os.sep.join(code.co_filename.split(os.sep)[-2:])
        calls.append(f"{name}:{frame.f_lineno} {code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(calls))


class _ProcessorWait:
    """How long this thread was ready to run and had no processor (Linux)."""

    _fd = -1

    def open(self) -> None:
        """Begin; in the thread in question."""
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._fd = -1

    def seconds(self) -> float:
        """So far; 0.0 where it cannot be known."""
        if self._fd < 0:
            return 0.0
        try:
            fields: list[Any] = os.pread(self._fd, 128, 0).split()
            return int(fields[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def close(self) -> None:
        """End."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
