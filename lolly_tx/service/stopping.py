"""The stop of a service: who is waited for and how long, and how far it is.

    announce   what is open, as a line in the log and a word to whoever asked to be told
    wait       until the last connection has ended, or time is over and the rest is cut
    conclude   what became of it

Meanwhile it says every few seconds what is left. `shown` is the same for the admin side.

Imports: service, Twisted. Used by: service.listener_drains, service.metrics,
service.service, service.serving.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lolly_tx.service.listeners import Listeners

GOODBYE_SECONDS = 2.0
"""Before tunnels are cut, they are told, so that WebSockets can end with a word."""

PROGRESS_SECONDS = 5.0
"""From one line of progress to the next."""

LOOK_SECONDS = 0.05


@attrs.frozen
class Left:
    """What is open. `in_flight`: exchanges, tunnels among them. `oldest_seconds`: of the connections; None: unknown."""

    connections: int
    in_flight: int
    oldest_seconds: float | None

    def __str__(self) -> str:
        said = f"{self.connections} connection{'' if self.connections == 1 else 's'}"
        said += (
            f", {self.in_flight} exchange{'' if self.in_flight == 1 else 's'} in flight"
        )
        if self.oldest_seconds is not None:
            said += f", the oldest connection {self.oldest_seconds:.0f} s old"
        return said


class Stopping:
    """Of the service whose `listeners` these are. `left`: counts what is open, here or in the processes that serve.

    `quiet`: somebody else tells of the stop, but for what is cut here.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        listeners: Listeners,
        left: Callable[[], Left],
        *,
        quiet: bool,
    ) -> None:
        self.patient = False
        """Tunnels are not told before the end of their time is near."""
        self.told: list[Callable[[str], None]] = []
        """Called with each line."""
        self.whose = ""
        """Begins each line, where several processes write one log."""
        self._clock = clock
        self._now = now
        self._listeners = listeners
        self._left = left
        self._quiet = quiet
        self._until: float | None = None
        self._timer: IDelayedCall | None = None
        self._cut = 0

    def announce(self, seconds: float) -> None:
        """It begins, and takes so long at most."""
        self._until = self._now() + seconds
        if not self._quiet:
            self._say(f"{self._left()}; {seconds:g} s at most")
            self._timer = self._clock.callLater(PROGRESS_SECONDS, self._go_on)

    def limit(self, seconds: float) -> None:
        """It has no more than that from now on, whatever it had before."""
        until = self._now() + seconds
        self._until = until if self._until is None else min(self._until, until)

    def shown(self) -> dict[str, Any] | None:
        """What is left, and for how long it may be; None when no stop was asked for."""
        if self._until is None:
            return None
        ends = round(max(0.0, self._until - self._now()), 3)
        return {**attrs.asdict(self._left()), "ends_in_seconds": ends}

    def wait(self, _: object = None) -> Deferred[None]:
        """Fires when the last connection has ended; what has not at the end of the time is cut."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            doors = self._listeners.doors
            now, until = self._now(), self._until
            assert until is not None
            if self.patient and now >= until - GOODBYE_SECONDS:
                self.patient = False
                self._listeners.hurry()
            if now >= until:
                self._cut = self._cut or len(doors)
                for door in doors:
                    door.shut()
            # Those are gone, and what they did is recorded, in the reactor's next round.
            if not doors or now >= until + 1.0:
                loop.stop()
                done.callback(None)

        loop = LoopingCall(look)
        loop.clock = self._clock
        loop.start(LOOK_SECONDS)
        return done

    def conclude(self) -> None:
        """It has ended."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        cut, self._cut = self._cut, 0
        if cut:
            self._say(
                f"time is over, {cut} connection{'' if cut == 1 else 's'} cut", True
            )
        elif not self._quiet:
            self._say("all connections have ended")

    def _go_on(self) -> None:
        self._timer = self._clock.callLater(PROGRESS_SECONDS, self._go_on)
        until = self._until if self._until is not None else self._now()
        left = max(0.0, until - self._now())
        self._say(f"{self._left()}; {left:.0f} s to go")

    def _say(self, what: str, bad: bool = False) -> None:
        say = self.log.warn if bad else self.log.info
        say("{whose}Stopping: {what}", whose=self.whose, what=what, every=True)
        for tell in self.told:
            try:
                tell(f"Stopping: {what}")
            except Exception:
                self.log.failure("Somebody could not be told of the stop")
