"""The workers of a supervisor: started, told, heard, watched and replaced.

    template --forks--> worker 1 .. N        a Seat for each: who is there, since when, and what it said

A worker that is gone is replaced at once, later and later when it keeps failing; meanwhile a sibling accepts on its
slot. One that is silent for `SILENT_SECONDS` is killed, and replaced like any other.

Imports: service.workers, Twisted. Used by: service.workers.siblings,
service.workers.supervisor.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lolly_tx.service.workers.channel import Channel, Message, attach
from lolly_tx.service.workers.seats import (
    SILENT_SECONDS,
    START_SECONDS,
    STEADY_SECONDS,
    Office,
    Seat,
    delay_after,
)
from lolly_tx.service.workers.templates import Templates

TICK_SECONDS = 0.1


class Crew:
    """See the module. `command`: what starts the template, given the number of its descriptor."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        reactor: Any,
        count: int,
        office: Office,
        command: Callable[[int], Sequence[str]],
    ) -> None:
        self.seats = [Seat(number) for number in range(1, count + 1)]
        self._reactor = reactor
        self._office = office
        self._templates = Templates(
            reactor,
            command,
            office.settings,
            loaded=lambda: self._start_due(reactor.seconds()),
            said=self._template_says,
        )
        self._killing: Any = None
        self._on_complete: list[Callable[[], None]] = []
        self._stopping: Deferred[None] | None = None
        self._last_tick = 0.0
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor

    @property
    def serving(self) -> list[Seat]:
        """Those that serve."""
        return [seat for seat in self.seats if seat.serving]

    @property
    def complete(self) -> bool:
        """On every slot somebody accepts, and nobody is waited for who may serve at once."""
        return all(
            seat.serving or (seat.failures and seat.keeper is not None)
            for seat in self.seats
        )

    def when_complete(self, call: Callable[[], None]) -> None:
        """Have it called once that is so."""
        self._on_complete.append(call)

    def _look_whether_complete(self) -> None:
        if self._on_complete and self.complete:
            calls, self._on_complete = self._on_complete, []
            for call in calls:
                call()

    @property
    def children(self) -> Sequence[int]:
        """Processes of ours that are no workers."""
        return self._templates.children

    def parted(self) -> None:
        """We are in a copy of the process that has started it all, and the crew is the copy's."""
        self._templates.parted()

    # -- starting

    def start(self) -> None:
        """Start the template, and all workers."""
        self._last_tick = now = self._reactor.seconds()
        for seat in self.seats:
            seat.since = now
        self._templates.start()
        self._ticking.start(TICK_SECONDS, now=False).addErrback(
            lambda why: self.log.failure("Watching the workers", failure=why)
        )

    def _template_says(self, message: Message) -> None:
        kind = message["t"]
        if kind == "forked":
            seat = self.seats[message["number"] - 1]
            if seat.channel is not None:
                seat.pid = message["pid"]
        elif kind == "ended":
            for seat in self.seats:
                if seat.pid == message["pid"]:
                    seat.why = seat.why or _how(message["status"])

    def _start_due(self, now: float) -> None:
        if self._stopping is not None or not self._templates.loaded:
            return
        for seat in self.seats:
            if seat.due is not None and seat.due <= now:
                self._start(seat, now)

    def _start(self, seat: Seat, now: float) -> None:
        seat.due = None
        seat.pid = 0
        seat.patience = START_SECONDS
        seat.began = seat.heard = seat.since = now
        seat.leaves = False
        seat.starts += 1
        seat.why = ""
        ours, theirs = socket.socketpair()
        channel: Channel | None = None

        def said(message: Message, descriptors: list[int]) -> None:
            if descriptors:
                self._office.passed(seat, message, descriptors)
            elif seat.channel is channel:
                self._worker_says(seat, message)

        def lost() -> None:
            if seat.channel is channel:
                self._worker_lost(seat)

        channel = seat.channel = Channel(said, lost)
        attach(self._reactor, ours, channel)
        self._templates.fork(seat.number, theirs)
        channel.send(*self._office.beginning(seat.number))

    # -- hearing

    def _worker_says(self, seat: Seat, message: Message) -> None:
        seat.heard = self._reactor.seconds()
        kind = message["t"]
        if kind == "ready":
            seat.serving = True
            seat.since = seat.heard
            seat.patience = SILENT_SECONDS
            seat.pid = message["pid"]
            self.log.info(
                "Worker {number} serves, process {pid}",
                number=seat.number,
                pid=seat.pid,
            )
            self._relieve(seat)
            self._look_whether_complete()
        elif kind == "leaving":
            seat.leave(seat.heard)
        elif kind == "failed":
            seat.why = message["why"]
        else:
            self._office.heard(seat, message)

    def _worker_lost(self, seat: Seat) -> None:
        now = self._reactor.seconds()
        served = seat.serving
        seat.channel = None
        seat.serving = seat.leaves = False
        seat.since = now
        self._office.lost(seat)
        if seat.pid:
            with suppress(ProcessLookupError):
                os.kill(seat.pid, signal.SIGKILL)  # it may be without its channel only
        for other in self.seats:
            if other.keeper is seat:
                other.keeper = None
                self._cover(other)
        if self._stopping is not None:
            self._look_whether_stopped()
            return
        lasted = now - seat.began
        seat.failures = 1 if served and lasted >= STEADY_SECONDS else seat.failures + 1
        delay = delay_after(seat.failures)
        seat.due = now + delay
        seat.why = seat.why or "it ended"
        self.log.error(
            "Worker {number}, process {pid}, is gone ({why}): another one starts in"
            " {delay:g} s",
            number=seat.number,
            pid=seat.pid,
            why=seat.why,
            delay=delay,
        )
        self._cover(seat)
        self._start_due(now)

    def _cover(self, seat: Seat) -> None:
        """Have a sibling accept on the slot of `seat`, where nobody is."""
        others = [one for one in self.serving if one is not seat]
        if seat.serving or seat.keeper is not None or not others:
            return
        keeper = min(others, key=lambda one: sum(s.keeper is one for s in self.seats))
        seat.keeper = keeper
        self._adopt(seat, keeper)

    def _adopt(self, seat: Seat, keeper: Seat) -> None:
        names, descriptors = self._office.slots(seat.number)
        message = {"t": "adopt", "slot": seat.number - 1, "listeners": names}
        self.send(keeper, message, descriptors)

    def _relieve(self, seat: Seat) -> None:
        keeper, seat.keeper = seat.keeper, None
        if keeper is not None:
            self.send(keeper, {"t": "leave", "slot": seat.number - 1})
        for other in self.seats:
            if not other.serving and other is not seat:
                self._cover(other)

    def send(
        self, seat: Seat, message: Message, descriptors: Sequence[int] = ()
    ) -> None:
        """Tell one worker; nobody, when nobody is there."""
        if seat.channel is not None:
            seat.channel.send(message, descriptors)

    @property
    def manned(self) -> list[Seat]:
        """Those where somebody is, serving or about to."""
        return [seat for seat in self.seats if seat.channel is not None]

    def settings_changed(self) -> None:
        """Other settings are in force: for those that are forked from now on, and for slots that are looked after."""
        self._templates.settings_changed()
        for seat in self.seats:
            if seat.keeper is not None:
                self._adopt(seat, seat.keeper)

    def tell(self, message: Message) -> None:
        """Tell every worker. One that is about to begin is told all anyway, in order."""
        for seat in self.seats:
            self.send(seat, message)

    # -- watching

    def _tick(self) -> None:
        """One look. Must not raise: a LoopingCall never runs again after that."""
        try:
            now = self._reactor.seconds()
            late = now - self._last_tick > 1.0
            self._last_tick = now
            for seat in self.seats:
                if late:  # it was us who stood still
                    seat.heard = now
                elif seat.channel is not None and now - seat.heard > seat.patience:
                    self._end_hung(seat)
            self._templates.look(now)
            self._start_due(now)
            self._look_whether_complete()
        except Exception:
            self.log.failure("Watching the workers failed")

    def _end_hung(self, seat: Seat) -> None:
        seat.why = f"it was silent for {seat.patience:g} s"
        channel = seat.channel
        if seat.pid:
            with suppress(ProcessLookupError):
                os.kill(seat.pid, signal.SIGKILL)
        if channel is not None and channel.transport is not None:
            transport: Any = channel.transport
            transport.abortConnection()

    def ailing(self) -> list[str]:
        """The workers that do not serve, each with the reason."""
        found = []
        for seat in self.seats:
            if not seat.serving and (seat.why or self._templates.why):
                why = self._templates.why or seat.why
                found.append(f"worker {seat.number} does not serve: {why}")
        return found

    def shown(self) -> list[dict[str, Any]]:
        """For the admin side."""
        now, why = self._reactor.seconds(), self._templates.why
        return [seat.shown(now, why) for seat in self.seats]

    # -- the end

    def stop(
        self, seconds: float, patient: bool = False, replaced: bool = False
    ) -> Deferred[None]:
        """Let all of them end what they do, tunnels too if `patient`. Fires when none is left.

        Those that have not ended after `seconds` are killed. `replaced`: others accept on their slots already.
        """
        if self._stopping is None:
            self._stopping = Deferred()
            self._templates.wanted = False
            self._on_complete.clear()
            for seat in self.seats:
                seat.due = None
                seat.leave(self._reactor.seconds())
            said = {"last": not replaced, "patient": patient, "replaced": replaced}
            self.tell({"t": "stop", **said})
            self._killing = self._reactor.callLater(seconds, self.kill)
            self._stopping.addBoth(self._cb_stopped)
            self._look_whether_stopped()
        return self._stopping

    def hurry(self, seconds: float) -> None:
        """A stop that is under way is not patient any more; `seconds` from now on those that are left are killed."""
        self.tell({"t": "hurry"})
        killing = self._killing
        if killing is not None and killing.active():
            if killing.getTime() > self._reactor.seconds() + seconds:
                killing.reset(seconds)

    def _look_whether_stopped(self) -> None:
        stopping = self._stopping
        if stopping is not None and not stopping.called:
            if all(seat.channel is None for seat in self.seats):
                stopping.callback(None)

    def _cb_stopped(self, _: object) -> None:
        if self._killing.active():
            self._killing.cancel()
        if self._ticking.running:
            self._ticking.stop()
        self._templates.end()

    def kill(self) -> None:
        """End all of them at once."""
        for seat in self.seats:
            if seat.channel is not None and seat.pid:
                with suppress(ProcessLookupError):
                    os.kill(seat.pid, signal.SIGKILL)


def _how(status: int) -> str:
    """How a process ended, for a person."""
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}"
