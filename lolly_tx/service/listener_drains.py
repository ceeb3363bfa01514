"""Drains of listeners: nobody new is taken, who is connected may end what he does, and it can be opened again.

    drain    the address refuses; connections end with their next answer; tunnels go on until the deadline
    enable   the same address is served again

The word is the operator's: it holds whatever a reload makes of the listener's settings, until that removes the
listener. Where other processes serve they are told, and count.

Imports: domain, service, Twisted. Used by: service.metrics, service.service,
service.serving, service.workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lolly_tx.domain.events import Event
from lolly_tx.service.listeners import Listeners
from lolly_tx.service.stopping import GOODBYE_SECONDS

LOOK_SECONDS = 0.5

OPERATOR = "operator: admin API"


@attrs.define
class _Drain:
    """One of them. `until`: monotonic; None: for ever. `hurried`: tunnels have been told. `over`: it was told."""

    until: float | None
    hurried: bool = False
    over: bool = False


def carry_out(listeners: Listeners, word: str, name: str) -> None:
    """What a process that serves does when it hears `word` of the listener `name`. Raises `CannotListen`."""
    if word == "rest":
        listeners.rest(name)
    elif word == "wake":
        listeners.wake(name)
    elif word == "hurry":
        listeners.hurry(name)
    elif word == "cut":
        listeners.cut(name)


class ListenerDrains:
    """Of `listeners`. `open_at`: how many connections one of them has. `emit`: takes events."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        listeners: Listeners,
        open_at: Callable[[str], int],
        emit: Callable[[Event], None],
    ) -> None:
        self.tell: Callable[[str, str], None] = lambda word, name: None
        """Has other processes that serve carry out a word, too."""
        self._clock = clock
        self._now = now
        self._listeners = listeners
        self._open_at = open_at
        self._emit = emit
        self._drains: dict[str, _Drain] = {}
        self._timer: IDelayedCall | None = None

    def __iter__(self) -> Iterator[tuple[str, float | None]]:
        """Those that are drained, and when their time is over (monotonic); None: never."""
        self._forget_gone()
        for name, drain in self._drains.items():
            yield name, drain.until

    @property
    def everywhere(self) -> bool:
        """No listener takes anybody new."""
        resting = self._listeners.resting
        names = self._listeners.acceptors.keys() if resting else ()
        return bool(names) and resting.issuperset(names)

    def begin(self, name: str, seconds: float | None, cause: str = OPERATOR) -> None:
        """Drain one; `seconds`: until what is left is cut. Raises `CannotListen`, and nothing has happened."""
        before = self.state(name)
        self._do("rest", name)
        until = None if seconds is None else self._now() + seconds
        self._drains[name] = _Drain(until)
        if before == "up":
            self._happened(name, "up", "drain", cause)
        self._schedule()

    def enable(self, name: str, cause: str = OPERATOR) -> None:
        """Open it again. Raises `CannotListen`, and it is drained still."""
        before = self.state(name)
        self._do("wake", name)
        self._drains.pop(name, None)
        if before != "up":
            self._happened(name, "drain", "up", cause)

    def state(self, name: str) -> str:
        """One of "up", "draining" and, when nobody is connected any more, "drained"."""
        if name not in self._listeners.resting:
            return "up"
        return "draining" if self._open_at(name) else "drained"

    def left(self, name: str) -> float | None:
        """Seconds until the deadline; None without one."""
        drain = self._drains.get(name)
        if drain is None or drain.until is None or self.state(name) == "up":
            return None
        return max(0.0, drain.until - self._now())

    def stop(self) -> None:
        """The service stops, and everything with it."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _forget_gone(self) -> None:
        """A reload has removed the listener; another one that is called so later is a new one."""
        for name in self._drains.keys() - self._listeners.resting:
            del self._drains[name]

    def _schedule(self) -> None:
        self._forget_gone()
        if self._timer is None and any(not d.over for d in self._drains.values()):
            self._timer = self._clock.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        self._forget_gone()
        for name, drain in self._drains.items():
            try:
                if not drain.over:
                    self._look_at(name, drain)
            except Exception:
                self.log.failure("The drain of {listener} is stuck", listener=name)
        self._schedule()

    def _look_at(self, name: str, drain: _Drain) -> None:
        connections, now = self._open_at(name), self._now()
        if not connections:
            drain.over = True
            self._happened(name, "drain", "drained", "its last connection has ended")
            return
        if drain.until is None:
            return
        if not drain.hurried and now >= drain.until - GOODBYE_SECONDS:
            drain.hurried = True
            self._do("hurry", name)
        if now >= drain.until:
            drain.over = True
            self._do("cut", name)
            cut = f"{connections} connection{'' if connections == 1 else 's'} cut"
            cause = f"the deadline of the drain has passed, {cut}"
            self._happened(name, "drain", "drained", cause)

    def _do(self, word: str, name: str) -> None:
        carry_out(self._listeners, word, name)
        self.tell(word, name)

    def _happened(self, name: str, old: str, new: str, cause: str) -> None:
        self._emit(Event(self._now(), "", name, "listener", old, new, cause))
